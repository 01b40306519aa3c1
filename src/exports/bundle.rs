//! Making a bundle from what was read of a ledger.
//!
//! Promises: one source gives one sequence of bytes; what cannot be proved is not written: a part that its secret does not
//! open, or an entry without its proof, is an error and not a bundle. Must never put more into the container than the source
//! discloses.

use std::collections::{BTreeMap, BTreeSet};

use crate::chain::entry::{EntryError, EntryRef, Part};
use crate::chain::note::{Note, NoteError};
use crate::chain::proof::InclusionFile;
use crate::chain::subjects::SubjectProof;
use crate::crypto::derive::PartSecret;
use crate::crypto::fields::FieldDisclosure;
use crate::crypto::hash::{Digest, sha256};
use crate::crypto::sign::SigningKey;
use crate::domain::ids::LedgerId;
use crate::domain::parts::PartKind;
use crate::domain::time::Timestamp;
use crate::exports::container::{self, ContainerError};
use crate::exports::manifest::{
    BUNDLE_FORMAT, CERTIFICATION, CHECKPOINT, COMPLETENESS, Completeness, DISCLOSURES, Disclosures, FileDigest, Head,
    MANIFEST, MANIFEST_SIGNATURE, Manifest, PAGE, PartRecord, PartState, Profile, README, REPORT, Seal, TreeHead,
    VERIFY_PAGE, entry_name, note_text, notice_name, part_name, plaintext_name, proof_name, schema_name, to_bytes,
};
use crate::exports::notices::TextsNamed;
use crate::exports::page::{PageEntry, PagePart, facts, page};
use crate::exports::parts::{PartError, check_digest, open_part};
use crate::exports::pdf::{self, PdfError};
use crate::exports::range_head::RangeHead;
use crate::exports::reports::{self, Material, RangeReport};
use crate::exports::since::{SINCE_CHECKPOINT, SINCE_CONSISTENCY, Since};
use crate::exports::statements::{Facts, KeySource};
use crate::exports::withdrawals::{Known, known};
use crate::schema::JcsError;

/// Program and version, as manifests name it.
pub(super) const TOOL: &str = concat!("tallystick ", env!("CARGO_PKG_VERSION"));
const README_TEXT: &str = include_str!("readme.txt");
/// The page that verifies a bundle in a browser, without this program and without a network. It is in every bundle; a page
/// inside of a bundle vouches for itself, so the program also prints it.
pub const VERIFY_PAGE_TEXT: &str = include_str!("verify/page/verify.html");
const CERTIFICATION_TEXT: &str = include_str!("certification.txt");

/// Everything that a bundle is made from.
#[derive(Debug)]
pub struct BundleSource {
    /// The ledger.
    pub ledger: LedgerId,
    /// Its origin.
    pub origin: String,
    /// Whether it is a scratch ledger.
    pub scratch: bool,
    /// What the bundle is for.
    pub profile: Profile,
    /// Id that the `export.created` entries carry; none on a read-only copy.
    pub export: Option<String>,
    /// When it is made.
    pub created: Timestamp,
    /// The sealed map.
    pub seal: Seal,
    /// Proofs of the subjects' last entries, in any order.
    pub heads: Vec<SubjectProof>,
    /// The signed checkpoint, verbatim.
    pub checkpoint: String,
    /// Its size and root.
    pub tree: TreeHead,
    /// The entries, in order of position: the log's first, those that change its keys, the persons', the seal, and those
    /// that excuse missing parts.
    pub entries: Vec<BundleEntry>,
    /// Schema files that the entries name, as far as they are to be had.
    pub schemas: Vec<Vec<u8>>,
    /// A checkpoint that the reader kept, and the proof that the log has only grown since.
    pub since: Option<Since>,
    /// Texts whose hash an entry shown names.
    pub notices: Vec<Vec<u8>>,
}

/// One entry.
#[derive(Debug)]
pub struct BundleEntry {
    /// Its stored bytes.
    pub bytes: Vec<u8>,
    /// Its proof of inclusion in the checkpoint's tree.
    pub hashes: Vec<Digest>,
    /// Its parts, all of them, in order.
    pub parts: Vec<BundlePart>,
}

/// One part.
#[derive(Debug)]
pub struct BundlePart {
    /// Its stored bytes, if they are still there.
    pub stored: Option<Vec<u8>>,
    /// What is shown of it.
    pub shown: Shown,
}

/// What a bundle shows of a part.
pub enum Shown {
    /// It was never sealed.
    Public,
    /// All of it.
    Whole(PartSecret),
    /// Single fields, by path.
    Fields(Vec<FieldDisclosure>),
    /// Nothing, by choice.
    Withheld,
    /// Nothing: its key was destroyed, as the entry at this position says.
    Erased(u64),
}

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Shown::Public => "Public",
            Shown::Whole(_) => "Whole(..)",
            Shown::Fields(_) => "Fields(..)",
            Shown::Withheld => "Withheld",
            Shown::Erased(_) => "Erased(..)",
        })
    }
}

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Stored bytes are no entry.
    #[error("a stored entry cannot be read")]
    Entry(#[from] EntryError),
    /// An entry's parts do not match what it names.
    #[error("position {position}: {parts} parts were given for another number")]
    PartCount {
        /// The entry.
        position: u64,
        /// Parts given.
        parts: usize,
    },
    /// A part is not what its entry commits to.
    #[error("position {position}, part {part}")]
    Part {
        /// The entry.
        position: u64,
        /// Number of the part.
        part: u8,
        /// What does not hold.
        source: PartError,
    },
    /// A part that has to be shown is not stored.
    #[error("position {position}, part {part}: its bytes are missing")]
    Missing {
        /// The entry.
        position: u64,
        /// Number of the part.
        part: u8,
    },
    /// A text given as a notice is none whose hash an entry shown names.
    #[error("no entry that the bundle shows names the hash of a text given: {0}")]
    Notice(Digest),
    /// The report for printing cannot be set.
    #[error("report")]
    Pdf(#[from] PdfError),
    /// A number is too large for JSON.
    #[error("a file has no canonical text")]
    Canonical(#[from] JcsError),
    /// The origin cannot name a key.
    #[error("the manifest cannot be signed")]
    Note(#[from] NoteError),
    /// The files make no container.
    #[error("the files make no container")]
    Container(#[from] ContainerError),
}

/// Makes the bundle and signs its manifest with the log's key.
///
/// # Errors
/// [`BundleError`] says what cannot be shown.
pub fn build(source: &BundleSource, key: &SigningKey) -> Result<Vec<u8>, BundleError> {
    let mut draft = Draft::default();
    for entry in &source.entries {
        draft.add_entry(&source.checkpoint, entry)?;
    }
    draft.add_schemas_named(&source.schemas);
    draft.add_notices(&source.notices)?;
    if let Some(since) = &source.since {
        draft.add_since(since)?;
    }
    let mut heads: Vec<Head> = source.heads.iter().map(Head::from).collect();
    heads.sort_unstable_by_key(|head| head.subject);
    let completeness = Completeness { seal: source.seal, heads };
    let records = std::mem::take(&mut draft.records);
    draft.add(CHECKPOINT.to_owned(), source.checkpoint.clone().into_bytes());
    draft.add(COMPLETENESS.to_owned(), to_bytes(&completeness)?);
    let (name, text) = Draft::readme();
    draft.add(name, text);
    draft.add(CERTIFICATION.to_owned(), CERTIFICATION_TEXT.as_bytes().to_vec());
    draft.add(VERIFY_PAGE.to_owned(), VERIFY_PAGE_TEXT.as_bytes().to_vec());
    let mut manifest = manifest_of(source, &completeness, &records, &draft);
    draft.add(DISCLOSURES.to_owned(), to_bytes(&Disclosures { parts: records })?);
    let material = Material { entries: &draft.shown, completeness: &completeness };
    let sections = reports::sections(source.profile, &material);
    let tables = reports::tables(source.profile, &material);
    let page_text = page(&manifest, Some(&completeness), &sections, &draft.shown);
    let head = facts(&manifest, Some(&completeness));
    draft.add(REPORT.to_owned(), pdf::report(&manifest, &head, &sections, &draft.shown)?);
    tables.into_iter().for_each(|table| draft.add(table.name.to_owned(), table.bytes));
    draft.add(PAGE.to_owned(), page_text.into_bytes());
    draft.files.sort_unstable_by(|(before, _), (after, _)| before.cmp(after));
    manifest.files = draft.files.iter().map(digest_of).collect();
    draft.sign(&manifest, key)?;
    Ok(container::write(&draft.files)?)
}

fn digest_of((name, bytes): &(String, Vec<u8>)) -> FileDigest {
    FileDigest { name: name.clone(), bytes: bytes.len() as u64, sha256: sha256(bytes) }
}

/// The manifest without its list of files.
fn manifest_of(source: &BundleSource, completeness: &Completeness, records: &[PartRecord], draft: &Draft) -> Manifest {
    let count = |state| records.iter().filter(|record| record.state == state).count() as u64;
    let known = if source.profile == Profile::TcpaCall { draft.known() } else { Vec::new() };
    let statements = Facts {
        origin: &source.origin,
        size: source.tree.size,
        scratch: source.scratch,
        recorded: source.export.is_some(),
        seal: &completeness.seal,
        heads: &completeness.heads,
        entries: source.entries.len() as u64,
        opened: count(PartState::Opened),
        fields: count(PartState::Fields),
        withheld: count(PartState::Withheld),
        erased: count(PartState::Erased),
        schemas_missing: draft.schemas_missing,
        known: &known,
        notices: draft.notices,
        since: source.since.as_ref().map(|since| since.proof.from),
        key: KeySource::Unchecked,
    }
    .statements();
    Manifest {
        format: BUNDLE_FORMAT.to_owned(),
        ledger: source.ledger,
        origin: source.origin.clone(),
        scratch: source.scratch,
        profile: source.profile,
        export: source.export.clone(),
        tool: TOOL.to_owned(),
        created: source.created,
        scope: None,
        subjects: completeness.heads.iter().map(|head| head.subject).collect(),
        checkpoint: source.tree,
        files: Vec::new(),
        proves: statements.proves,
        does_not_prove: statements.does_not_prove,
    }
}

/// Files and records as they come.
#[derive(Default)]
pub(super) struct Draft {
    files: Vec<(String, Vec<u8>)>,
    records: Vec<PartRecord>,
    /// Schemas that the entries name.
    schemas: BTreeSet<Digest>,
    schemas_missing: bool,
    /// What the parts shown say of texts.
    named: TextsNamed,
    notices: u64,
    shown: Vec<PageEntry>,
}

impl Draft {
    /// What was known of withdrawals at each contact.
    fn known(&self) -> Vec<Known> {
        let own = self.shown.iter().filter(|entry| entry.subject.is_some());
        known(&own.map(PageEntry::told).collect::<Vec<_>>())
    }

    fn add(&mut self, name: String, bytes: Vec<u8>) {
        self.files.push((name, bytes));
    }

    /// Adds a file unless one of its name is there.
    pub(super) fn add_once(&mut self, name: String, bytes: Vec<u8>) {
        if !self.files.iter().any(|(known, _)| *known == name) {
            self.add(name, bytes);
        }
    }

    /// The file that stands before all others.
    pub(super) fn readme() -> (String, Vec<u8>) {
        (README.to_owned(), README_TEXT.as_bytes().to_vec())
    }

    pub(super) fn add_since(&mut self, since: &Since) -> Result<(), BundleError> {
        self.add(SINCE_CHECKPOINT.to_owned(), since.note.clone().into_bytes());
        self.add(SINCE_CONSISTENCY.to_owned(), to_bytes(&since.proof)?);
        Ok(())
    }

    /// Adds manifest and signature to the files, in order.
    fn sign(&mut self, manifest: &Manifest, key: &SigningKey) -> Result<(), BundleError> {
        let bytes = to_bytes(manifest)?;
        let mut note = Note::new(note_text(&manifest.origin, &bytes))?;
        note.sign(&manifest.origin, key)?;
        self.add(MANIFEST.to_owned(), bytes);
        self.add(MANIFEST_SIGNATURE.to_owned(), note.to_string().into_bytes());
        self.files.sort_unstable_by(|(before, _), (after, _)| before.cmp(after));
        Ok(())
    }

    /// The files of a range bundle behind its blocks, in order. `streamed`: those that went out before.
    pub(super) fn range_files(
        mut self,
        head: &RangeHead<'_>,
        report: &RangeReport,
        streamed: Vec<FileDigest>,
        key: &SigningKey,
    ) -> Result<Vec<(String, Vec<u8>)>, BundleError> {
        self.add(CHECKPOINT.to_owned(), head.checkpoint.as_bytes().to_vec());
        self.add(CERTIFICATION.to_owned(), CERTIFICATION_TEXT.as_bytes().to_vec());
        self.add(VERIFY_PAGE.to_owned(), VERIFY_PAGE_TEXT.as_bytes().to_vec());
        let records = std::mem::take(&mut self.records);
        self.add(DISCLOSURES.to_owned(), to_bytes(&Disclosures { parts: records })?);
        let mut manifest = head.manifest();
        let sections = report.sections(head.profile);
        let text = page(&manifest, None, &sections, &self.shown);
        self.add(PAGE.to_owned(), text.into_bytes());
        self.add(REPORT.to_owned(), pdf::report(&manifest, &facts(&manifest, None), &sections, &self.shown)?);
        for table in report.tables(head.profile) {
            self.add(table.name.to_owned(), table.bytes);
        }
        self.files.sort_unstable_by(|(before, _), (after, _)| before.cmp(after));
        manifest.files = streamed.into_iter().chain(self.files.iter().map(digest_of)).collect();
        self.sign(&manifest, key)?;
        Ok(self.files)
    }

    /// Adds schemas, whoever names them, each once.
    pub(super) fn add_schemas(&mut self, given: &[Vec<u8>]) {
        for schema in given {
            self.add_once(schema_name(&sha256(schema)), schema.clone());
        }
    }

    /// Adds those of the given schemas that entries name, each once.
    fn add_schemas_named(&mut self, given: &[Vec<u8>]) {
        let mut missing = std::mem::take(&mut self.schemas);
        for schema in given {
            let digest = sha256(schema);
            if missing.remove(&digest) {
                self.add(schema_name(&digest), schema.clone());
            }
        }
        self.schemas_missing = !missing.is_empty();
    }

    /// Adds the texts given, and those that the parts shown hold together with their hash.
    pub(super) fn add_notices(&mut self, given: &[Vec<u8>]) -> Result<(), BundleError> {
        let mut texts: BTreeMap<Digest, Vec<u8>> = std::mem::take(&mut self.named.texts);
        for text in given {
            let digest = sha256(text);
            if !self.named.digests.contains(&digest) {
                return Err(BundleError::Notice(digest));
            }
            texts.insert(digest, text.clone());
        }
        for (digest, text) in texts {
            self.add(notice_name(&digest), text);
            self.notices += 1;
        }
        Ok(())
    }

    pub(super) fn add_entry(&mut self, checkpoint: &str, given: &BundleEntry) -> Result<(), BundleError> {
        let entry = EntryRef::decode(&given.bytes)?;
        let position = entry.position;
        if entry.parts().len() != given.parts.len() {
            return Err(BundleError::PartCount { position, parts: given.parts.len() });
        }
        let mut shown = PageEntry::of(&entry);
        for ((number, part), given) in (0..).zip(entry.parts()).zip(&given.parts) {
            let page_part = self.add_part(&entry, number, &part, given, &mut shown)?;
            shown.parts.push(page_part);
        }
        let proof = InclusionFile {
            extra: None,
            index: position,
            hashes: given.hashes.clone(),
            checkpoint: checkpoint.to_owned(),
        };
        self.add(entry_name(position), given.bytes.clone());
        self.add(proof_name(position), proof.to_string().into_bytes());
        self.schemas.insert(entry.schema);
        self.shown.push(shown);
        Ok(())
    }

    fn add_part(
        &mut self,
        entry: &EntryRef<'_>,
        number: u8,
        part: &Part,
        given: &BundlePart,
        shown: &mut PageEntry,
    ) -> Result<PagePart, BundleError> {
        let position = entry.position;
        let wrong = |source| BundleError::Part { position, part: number, source };
        let missing = BundleError::Missing { position, part: number };
        let mut record = PartRecord {
            position,
            part: number,
            state: PartState::Public,
            secret: None,
            fields: None,
            covered_by: None,
        };
        let mut page =
            PagePart { kind: part.kind, class: part.class, state: PartState::Public, text: None, covered_by: None };
        let stored = given.stored.as_deref();
        if let Some(stored) = stored {
            check_digest(part, stored).map_err(wrong)?;
            self.add(part_name(position, number, part.kind != PartKind::Public), stored.to_vec());
        }
        match &given.shown {
            Shown::Public => {
                let stored = stored.ok_or(missing)?;
                self.named.take_json(stored);
                shown.take_json(stored);
                page.text = Some(text_of(stored));
            }
            Shown::Whole(secret) => {
                let plaintext = open_part(entry, number, part, secret, stored.ok_or(missing)?).map_err(wrong)?;
                page.text = Some(text_of(&plaintext));
                if part.kind != PartKind::Raw {
                    self.named.take_json(&plaintext);
                    shown.take_json(&plaintext);
                }
                self.add(plaintext_name(position, number, part.kind != PartKind::Raw), plaintext.to_vec());
                (record.state, record.secret) = (PartState::Opened, Some(Digest::from_bytes(secret.disclose())));
            }
            Shown::Fields(fields) => {
                stored.ok_or(missing)?;
                self.named.take_fields(fields);
                shown.take_fields(fields);
                let lines: Vec<_> = fields.iter().map(|field| format!("{} = {}", field.path, field.value)).collect();
                page.text = Some(lines.join("\n"));
                (record.state, record.fields) = (PartState::Fields, Some(fields.clone()));
            }
            Shown::Withheld => {
                stored.ok_or(missing)?;
                record.state = PartState::Withheld;
            }
            Shown::Erased(by) => (record.state, record.covered_by) = (PartState::Erased, Some(*by)),
        }
        (page.state, page.covered_by) = (record.state, record.covered_by);
        self.records.push(record);
        Ok(page)
    }
}

/// Plaintext for the page: JSON and text as they are, other bytes counted.
fn text_of(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| format!("{} bytes that are not text", bytes.len()), str::to_owned)
}
