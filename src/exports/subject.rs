//! Exporting a person: the export is recorded, the map of subjects is sealed over it, and the bundle shows both.
//!
//! Order, and why: (1) `export.created` for each pseudonym, which takes the next sequence; (2) `subjects.sealed` over a size
//! that includes it; (3) the caller waits until a checkpoint that covers the seal has been published, because a checkpoint
//! may leave the process only then; (4) the bundle is read, built, signed and verified. A death after (1) or (2) leaves true
//! entries and no bundle. Promises: what [`finish`] gives has passed the verification that its reader will run. Must never
//! record anything in [`finish`].

use std::sync::Arc;

use serde_json::json;

use crate::chain::checkpoint::{Checkpoint, CheckpointError};
use crate::chain::entry::EntryRef;
use crate::chain::heads::{HeadMap, LinkError, Share};
use crate::chain::note::{KeyKind, Note, NoteError, VerifierKey};
use crate::chain::subjects::{SubjectProof, SubjectsError};
use crate::domain::ids::{EventId, PrincipalId, SubjectId, uuid_v7};
use crate::domain::time::Timestamp;
use crate::exports::bundle::{BundleError, BundleSource, build};
use crate::exports::gather::{Choice, gather};
use crate::exports::ledger_verify::{VerifyError, newest_seal};
use crate::exports::manifest::{Profile, Seal, TreeHead};
use crate::exports::redaction::Redaction;
use crate::exports::since::{self, Consistency, Since, SinceError};
use crate::exports::verify::verify_bundle;
use crate::ingest::proofs::ProofReadError;
use crate::ingest::read::ReadError;
use crate::ingest::subjects::SubjectsSealError;
use crate::ingest::{Ledger, SubmitError};
use crate::store::StoreError;

/// Type of the entry that records an export.
pub(super) const EXPORT_CREATED: &str = "export.created";
/// Entries read at a time where the map is made again from the log.
const READ_ENTRIES: u64 = 4096;

/// What to export.
#[derive(Debug, Clone)]
pub struct ExportRequest {
    /// What it is for.
    pub profile: Profile,
    /// The person's pseudonyms: all that share an identifier or were merged. At least one.
    pub subjects: Vec<SubjectId>,
    /// Whether parts are opened.
    pub disclosure: Disclosure,
    /// What it asks for beside its profile.
    pub extras: Extras,
    /// Who asks.
    pub actor: PrincipalId,
    /// The caller's clock, on a scratch ledger.
    pub now: Option<Timestamp>,
}

/// What a request asks for beside its profile; nothing, by default.
#[derive(Debug, Clone, Default)]
pub struct Extras {
    /// What of the parts that the profile opens is shown; all, if absent.
    pub redaction: Option<Arc<Redaction>>,
    /// A checkpoint that the reader kept, verbatim: the bundle shows that the log has only grown since.
    pub since: Option<String>,
    /// Texts whose hash an entry shown names, to lie beside it: notices, disclosures, scripts.
    pub notices: Vec<Vec<u8>>,
    /// Positions of further entries without a person: a registered script, an imported list, an activated pack.
    pub include: Vec<u64>,
}

/// How much a bundle opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disclosure {
    /// Only the record of the export itself: that entries exist, of which type and when.
    None,
    /// Every part that can still be opened.
    WholeParts,
    /// What is about the erasure itself: requests, holds, the fence, the certificate. The rest stays closed.
    Erasure,
}

impl Disclosure {
    /// What a profile opens.
    pub const fn of(profile: Profile) -> Disclosure {
        match profile {
            Profile::ErasureCertificate => Disclosure::Erasure,
            _ => Disclosure::WholeParts,
        }
    }

    /// Whether it opens the parts of entries of a type.
    pub fn opens(self, event_type: &str) -> bool {
        let of_erasure = ["privacy.", "hold.", "subject.eras", "suppression.token", "quarantine."];
        match self {
            Disclosure::None => false,
            Disclosure::WholeParts => true,
            Disclosure::Erasure => of_erasure.iter().any(|family| event_type.starts_with(family)),
        }
    }
}

/// An export that is recorded and sealed, or chosen from a copy; what [`finish`] takes.
#[derive(Debug, Clone)]
pub struct Begun {
    request: ExportRequest,
    export: Option<String>,
    seal: Seal,
    heads: Vec<SubjectProof>,
}

impl Begun {
    /// Least size of a checkpoint that covers it.
    pub const fn size_min(&self) -> u64 {
        self.seal.position + 1
    }

    /// Id that `export.created` carries; none on a copy that cannot record.
    pub fn export(&self) -> Option<&str> {
        self.export.as_deref()
    }
}

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The files make no bundle.
    #[error("the bundle cannot be made")]
    Bundle(#[from] BundleError),
    /// The checkpoint given does not cover the seal, or is not of this log.
    #[error("the checkpoint does not cover what was sealed")]
    Checkpoint,
    /// The checkpoint cannot be read.
    #[error("checkpoint")]
    CheckpointForm(#[from] CheckpointError),
    /// An entry asked for is not in the log, or is about a person.
    #[error("position {0}: no entry there, or one about a person")]
    Include(u64),
    /// The log's heads contradict each other.
    #[error("a person's entries do not form one history")]
    History(#[from] LinkError),
    /// Nobody takes the stream any more.
    #[error("the export was not taken to its end")]
    Closed,
    /// The profile is about one person.
    #[error("this profile is about one person: name one")]
    NeedsSubject,
    /// The profile is about nobody.
    #[error("this profile is about no person: name none")]
    NoSubject,
    /// An entry is longer than an entry can be.
    #[error("position {0}: longer than an entry can be")]
    TooLong(u64),
    /// The origin cannot name a key.
    #[error("note")]
    Note(#[from] NoteError),
    /// Proofs cannot be read.
    #[error("proof")]
    Proof(#[from] ProofReadError),
    /// Entries or parts cannot be read.
    #[error("read")]
    Read(#[from] ReadError),
    /// The log has no seal yet, or the newest is not that of its entries.
    #[error("the log has no subjects map to show that nothing is missing")]
    Seal,
    /// The checkpoint that the reader kept is not one of this log.
    #[error(transparent)]
    Since(#[from] SinceError),
    /// The store failed.
    #[error("store")]
    Store(#[from] StoreError),
    /// The export could not be recorded.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The map cannot be sealed or asked.
    #[error("subjects map")]
    SubjectsSeal(#[from] SubjectsSealError),
    /// Heads do not make a map.
    #[error("subjects map")]
    Subjects(#[from] SubjectsError),
    /// A part is missing or closed and no entry says why: the ledger itself does not verify.
    #[error("position {position}, part {part}: missing or closed, and no later entry says that its key was destroyed")]
    Unexcused {
        /// The entry.
        position: u64,
        /// Number of the part.
        part: u8,
    },
    /// No entry is about one of the subjects.
    #[error("the ledger has no entry about one of the subjects")]
    Unknown,
    /// The bundle that was made does not verify.
    #[error("the bundle that was made does not verify: {0}")]
    Unverified(String),
    /// The ledger could not be read while looking for the seal.
    #[error("ledger")]
    Verify(#[from] VerifyError),
}

/// Records the export of each subject and seals the map over it. Writes.
///
/// # Errors
/// [`ExportError::Unknown`] before anything is written if there is nobody to export; else what the ledger refuses.
pub async fn begin(ledger: &Ledger, request: ExportRequest) -> Result<Begun, ExportError> {
    if request.profile == Profile::Article30 {
        return Err(ExportError::NoSubject);
    }
    let subjects = sorted(&request)?;
    for subject in &subjects {
        ledger.subject_head(subject)?.ok_or(ExportError::Unknown)?;
    }
    check_extras(ledger, &request.extras).await?;
    let export = EventId::from_bytes(uuid_v7(ledger.now().unix_ms(), ledger.random.bytes())).to_string();
    let disclosure = match request.disclosure {
        Disclosure::None => "none",
        Disclosure::WholeParts | Disclosure::Erasure if request.extras.redaction.is_some() => "fields",
        Disclosure::WholeParts | Disclosure::Erasure => "whole_parts",
    };
    for subject in &subjects {
        let data = json!({
            "export": export, "profile": request.profile.name(), "disclosure": disclosure, "subjects": subjects.len(),
        });
        ledger.record_own(EXPORT_CREATED, Some(*subject), data, request.actor, request.now).await?;
    }
    let (receipt, map) = ledger.subjects_seal(request.actor, request.now).await?;
    let heads = map.prove(&subjects)?.into_iter().collect::<Option<Vec<_>>>().ok_or(ExportError::Unknown)?;
    let seal = Seal { position: receipt.position, size: map.size, count: map.root.count, root: map.root.root };
    Ok(Begun { request, export: Some(export), seal, heads })
}

/// Chooses the newest seal of a copy that cannot record, and makes its map again from the log. Writes nothing; the bundle
/// says that it was not recorded.
///
/// # Errors
/// [`ExportError::Seal`] if the log has no seal, or one that its entries do not give.
pub async fn begin_from_copy(ledger: &Ledger, request: ExportRequest) -> Result<Begun, ExportError> {
    let subjects = sorted(&request)?;
    check_extras(ledger, &request.extras).await?;
    let store = ledger.store();
    let found = newest_seal(&store, ledger.size()).await?.ok_or(ExportError::Seal)?;
    let mut heads = HeadMap::new(Share::ALL);
    let mut first = 0;
    while first < found.size {
        let end = found.size.min(first + READ_ENTRIES);
        for (position, bytes) in store.entry_block(first, end).await?.iter() {
            let entry = EntryRef::decode(bytes).map_err(|source| ReadError::Entry { position, source })?;
            if let Some(link) = &entry.subject {
                heads.take(link, position)?;
            }
        }
        first = end;
    }
    if heads.root()? != found.map {
        return Err(ExportError::Seal);
    }
    let proofs = subjects.iter().map(|subject| match heads.prove(subject) {
        Err(SubjectsError::Absent) => Err(ExportError::Unknown),
        proof => Ok(proof?),
    });
    let heads = proofs.collect::<Result<_, _>>()?;
    let seal = Seal { position: found.position, size: found.size, count: found.map.count, root: found.map.root };
    Ok(Begun { request, export: None, seal, heads })
}

/// Refuses what could only fail later, before anything is recorded.
pub(super) async fn check_extras(ledger: &Ledger, extras: &Extras) -> Result<(), ExportError> {
    if let Some(note) = &extras.since {
        since_of(ledger, note, ledger.size()).await?;
    }
    for position in &extras.include {
        let bytes = ledger.store().entry_at(*position).await?.ok_or(ExportError::Include(*position))?;
        let entry = EntryRef::decode(&bytes).map_err(|source| ReadError::Entry { position: *position, source })?;
        if entry.subject.is_some() {
            return Err(ExportError::Include(*position));
        }
    }
    Ok(())
}

/// The reader's checkpoint with its proof in the tree of `size` entries.
pub(super) async fn since_of(ledger: &Ledger, note: &str, size: u64) -> Result<Since, ExportError> {
    let kept = since::read(note, &ledger.origin)?;
    if kept.size > size {
        return Err(SinceError::Ahead.into());
    }
    if ledger.root_at(kept.size).await? != kept.root {
        return Err(SinceError::Forked.into());
    }
    let hashes = ledger.consistency(kept.size, size).await?;
    Ok(Since { note: note.to_owned(), proof: Consistency { from: kept.size, to: size, hashes } })
}

fn sorted(request: &ExportRequest) -> Result<Vec<SubjectId>, ExportError> {
    let mut subjects = request.subjects.clone();
    subjects.sort_unstable();
    subjects.dedup();
    if subjects.is_empty() { Err(ExportError::Unknown) } else { Ok(subjects) }
}

/// Reads what the bundle shows, makes it, and verifies it as its reader will. `checkpoint` is a published one of at least
/// [`Begun::size_min`] entries.
///
/// # Errors
/// [`ExportError`]; nothing was written.
pub async fn finish(ledger: &Ledger, begun: &Begun, checkpoint: &str) -> Result<Vec<u8>, ExportError> {
    let stated = Checkpoint::parse_text(Note::parse(checkpoint.as_bytes())?.text())?;
    let tree = TreeHead { size: stated.size, root: stated.root };
    let covers = stated.size >= begun.size_min() && stated.size <= ledger.size() && stated.origin == ledger.origin;
    if !covers || ledger.root_at(tree.size).await? != tree.root {
        return Err(ExportError::Checkpoint);
    }
    let choice = Choice { disclosure: begun.request.disclosure, redaction: begun.request.extras.redaction.as_deref() };
    let mut further = begun.request.extras.include.clone();
    further.push(begun.seal.position);
    let gathered = gather(ledger, &further, &begun.heads, choice, tree.size).await?;
    let since = match &begun.request.extras.since {
        None => None,
        Some(note) => Some(since_of(ledger, note, tree.size).await?),
    };
    let source = BundleSource {
        ledger: ledger.id,
        origin: ledger.origin.clone(),
        scratch: ledger.scratch,
        profile: begun.request.profile,
        export: begun.export.clone(),
        created: begun.request.now.unwrap_or_else(|| ledger.now()),
        seal: begun.seal,
        heads: begun.heads.clone(),
        checkpoint: checkpoint.to_owned(),
        tree,
        entries: gathered.entries,
        schemas: gathered.schemas,
        since,
        notices: begun.request.extras.notices.clone(),
    };
    let signer = ledger.log_signer();
    let bundle = build(&source, &signer)?;
    let key = VerifierKey::new(&ledger.origin, KeyKind::Ed25519, signer.public())?;
    let report = verify_bundle(&bundle, Some(&key));
    match report.problems.first() {
        None => Ok(bundle),
        Some(problem) => Err(ExportError::Unverified(problem.what.clone())),
    }
}
