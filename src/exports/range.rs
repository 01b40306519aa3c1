//! Exporting a range of the log: audits by campaign or period, the log of requests, accounts, the record of processing.
//!
//! Order: (1) `export.created` without a person, with the range; (2) the caller waits for a checkpoint that covers it; (3) the
//! bundle streams out, block by block. Promises: memory is bounded by a block, the persons of a campaign and the requests of
//! a log, whatever the range; nothing recorded in (3). Must never open a part that the scope does not name.

use std::collections::HashSet;

use bytes::Bytes;
use data_encoding::BASE64;
use serde_json::json;
use tokio::sync::mpsc::Sender;

use crate::chain::checkpoint::Checkpoint;
use crate::chain::decode::EntryRef;
use crate::chain::note::Note;
use crate::chain::proof::InclusionFile;
use crate::crypto::derive::PartSecret;
use crate::crypto::hash::{Digest, sha256};
use crate::domain::ids::{EventId, PrincipalId, SubjectId, uuid_v7};
use crate::domain::parts::PartKind;
use crate::domain::time::{MICROS_PER_DAY, Timestamp};
use crate::exports::bundle::{BundleError, Draft};
use crate::exports::container::Stream;
use crate::exports::gather::{Choice, fields, gather};
use crate::exports::manifest::{FileDigest, Profile, TreeHead, proof_name};
use crate::exports::page::PageEntry;
use crate::exports::parts::{PartError, data_of};
use crate::exports::range_head::RangeHead;
use crate::exports::redaction::{Asked, Redaction, Verdict};
use crate::exports::reports::RangeReport;
use crate::exports::scope::{BlockPart, Scope, entries_name, parts_name, push_entry};
use crate::exports::subject::{Disclosure, EXPORT_CREATED, ExportError, Extras, check_extras, since_of};
use crate::ingest::Ledger;
use crate::ingest::read::{Opened, OpenedPart, ReadError};
use crate::schema::Registry;

/// Entries of a block.
const BLOCK_ENTRIES: u64 = 2_048;
/// Entries of a block where raw parts may be opened, which are up to a megabyte each.
const BLOCK_ENTRIES_OPENED: u64 = 64;
/// How far back a log of requests reaches if nobody says: 24 months (11 CCR 7101(a)).
const LOG_DAYS: i64 = 731;

/// What to export.
#[derive(Debug, Clone)]
pub struct RangeRequest {
    /// What it is for.
    pub profile: Profile,
    /// Recorded at or after this; by default what the profile says.
    pub from: Option<Timestamp>,
    /// Recorded before this; by default no end.
    pub to: Option<Timestamp>,
    /// Only this campaign's persons and facts are opened.
    pub campaign: Option<String>,
    /// What it asks for beside its profile; `redaction` here says what of personal and raw parts is shown, none by default.
    pub extras: Extras,
    /// Who asks.
    pub actor: PrincipalId,
    /// The caller's clock, on a scratch ledger.
    pub now: Option<Timestamp>,
}

/// An export that is recorded; what [`finish_range`] takes.
#[derive(Debug, Clone)]
pub struct RangeBegun {
    request: RangeRequest,
    export: String,
    position: u64,
    scope: Scope,
}

impl RangeBegun {
    /// Least size of a checkpoint that covers it.
    pub const fn size_min(&self) -> u64 {
        self.position + 1
    }

    /// Id that `export.created` carries.
    pub fn export(&self) -> &str {
        &self.export
    }
}

/// Types whose business parts a profile opens; none for a profile that is about one person.
pub fn types_of(profile: Profile) -> Option<&'static [&'static str]> {
    match profile {
        Profile::Accounting => {
            Some(&["balance.*", "cost.*", "credit_note.*", "invoice.*", "payment.*", "rate.*", "revenue.*"])
        }
        Profile::Article30 => Some(&[]),
        Profile::Audit => Some(&["*"]),
        Profile::CcpaLog => Some(&["privacy.*"]),
        Profile::Dsar | Profile::ErasureCertificate | Profile::TcpaCall => None,
    }
}

/// Records the export. Writes.
///
/// # Errors
/// [`ExportError::NeedsSubject`] for a profile that is about one person, and what the ledger refuses.
pub async fn begin_range(ledger: &Ledger, request: RangeRequest) -> Result<RangeBegun, ExportError> {
    let types = types_of(request.profile).ok_or(ExportError::NeedsSubject)?;
    check_extras(ledger, &request.extras).await?;
    let size = ledger.size();
    let (first, end) = if request.profile == Profile::Article30 {
        (0, 0)
    } else {
        let now = request.now.unwrap_or_else(|| ledger.now());
        let from = match (request.from, request.profile) {
            (None, Profile::CcpaLog) => now.checked_add_micros(-LOG_DAYS * MICROS_PER_DAY),
            (from, _) => from,
        };
        let first = position_at(ledger, from, 0, size).await?;
        let end = position_at(ledger, request.to, size, size).await?;
        (first, end.max(first))
    };
    let scope = Scope {
        campaign: request.campaign.clone(),
        end,
        first,
        types: types.iter().map(|name| (*name).to_owned()).collect(),
    };
    let export = EventId::from_bytes(uuid_v7(ledger.now().unix_ms(), ledger.random.bytes())).to_string();
    let disclosure = if request.extras.redaction.is_some() { "fields" } else { "none" };
    let mut data = json!({
        "export": export, "profile": request.profile.name(), "disclosure": disclosure, "from_position": first,
        "to_position": end,
    });
    if let (Some(campaign), serde_json::Value::Object(data)) = (&scope.campaign, &mut data) {
        data.insert("campaign".to_owned(), json!(campaign));
    }
    let receipt = ledger.record_own(EXPORT_CREATED, None, data, request.actor, request.now).await?;
    Ok(RangeBegun { request, export, position: receipt.position, scope })
}

/// First position that was recorded at or after a time: recorded time never goes back.
async fn position_at(ledger: &Ledger, at: Option<Timestamp>, absent: u64, size: u64) -> Result<u64, ExportError> {
    let Some(at) = at else { return Ok(absent) };
    let (mut low, mut high) = (0, size);
    while low < high {
        let middle = u64::midpoint(low, high);
        let bytes = ledger.store().entry_at(middle).await?.ok_or(ReadError::Absent(middle))?;
        let entry = EntryRef::decode(&bytes).map_err(|source| ReadError::Entry { position: middle, source })?;
        if entry.recorded < at { low = middle + 1 } else { high = middle }
    }
    Ok(low)
}

/// Where a stream's bytes go; an error ends it.
pub type Sink = Sender<std::io::Result<Bytes>>;

/// Streams the bundle. `checkpoint` is a published one of at least [`RangeBegun::size_min`] entries.
///
/// # Errors
/// [`ExportError`]; what was sent before is then no bundle. [`ExportError::Closed`] if nobody takes it any more.
pub async fn finish_range(
    ledger: &Ledger,
    begun: &RangeBegun,
    checkpoint: &str,
    sink: &Sink,
) -> Result<(), ExportError> {
    let stated = Checkpoint::parse_text(Note::parse(checkpoint.as_bytes())?.text())?;
    let tree = TreeHead { size: stated.size, root: stated.root };
    let covers = stated.size >= begun.size_min() && stated.size <= ledger.size() && stated.origin == ledger.origin;
    if !covers || ledger.root_at(tree.size).await? != tree.root {
        return Err(ExportError::Checkpoint);
    }
    let request = &begun.request;
    let choice = Choice { disclosure: Disclosure::None, redaction: None };
    let mut further = request.extras.include.clone();
    further.push(begun.position);
    let gathered = gather(ledger, &further, &[], choice, tree.size).await?;
    let mut draft = Draft::default();
    for entry in &gathered.entries {
        draft.add_entry(checkpoint, entry)?;
    }
    draft.add_notices(&request.extras.notices)?;
    let mut since = None;
    if let Some(note) = &request.extras.since {
        let found = since_of(ledger, note, tree.size).await?;
        since = Some(found.proof.from);
        draft.add_since(&found)?;
    }
    if let Some(last) = begun.scope.end.checked_sub(1).filter(|_| begun.scope.first < begun.scope.end) {
        let hashes = ledger.inclusion(last, tree.size).await?;
        let proof = InclusionFile { extra: None, index: last, hashes, checkpoint: checkpoint.to_owned() };
        draft.add_once(proof_name(last), proof.to_string().into_bytes());
    }
    let mut out = Out { sink, stream: Stream::default(), files: Vec::new() };
    let (name, text) = Draft::readme();
    out.file(&name, &text).await?;
    let persons = persons_of(ledger, &begun.scope).await?;
    let mut walk =
        Walk { ledger, begun, persons, report: RangeReport::default(), schemas: HashSet::new(), opened: 0, gone: 0 };
    let step = if request.extras.redaction.is_some() { BLOCK_ENTRIES_OPENED } else { BLOCK_ENTRIES };
    let mut first = begun.scope.first;
    while first < begun.scope.end {
        let end = begun.scope.end.min(first + step);
        let (entries, parts) = walk.block(first, end).await?;
        out.file(&entries_name(first), &entries).await?;
        out.file(&parts_name(first), &parts).await?;
        first = end;
    }
    let schemas = walk.schemas(gathered.schemas);
    draft.add_schemas(&schemas);
    let head = RangeHead {
        ledger: ledger.id,
        origin: &ledger.origin,
        scratch: ledger.scratch,
        profile: request.profile,
        export: &begun.export,
        created: request.now.unwrap_or_else(|| ledger.now()),
        checkpoint,
        tree,
        scope: &begun.scope,
        opened: walk.opened,
        gone: walk.gone,
        since,
    };
    for (name, bytes) in draft.range_files(&head, &walk.report, out.files.clone(), &ledger.log_signer())? {
        out.file(&name, &bytes).await?;
    }
    out.end().await
}

/// Persons with an entry of the scope's campaign; none if it names no campaign.
async fn persons_of(ledger: &Ledger, scope: &Scope) -> Result<Option<HashSet<SubjectId>>, ExportError> {
    let Some(campaign) = &scope.campaign else { return Ok(None) };
    let mut persons = HashSet::new();
    let mut first = scope.first;
    while first < scope.end {
        let end = scope.end.min(first + BLOCK_ENTRIES);
        for fact in ledger.facts(first, end).await? {
            let position = fact.position;
            let entry = EntryRef::decode(&fact.entry).map_err(|source| ReadError::Entry { position, source })?;
            let named = fact.business.as_deref().is_some_and(|business| names(business, campaign));
            persons.extend(entry.subject.filter(|_| named).map(|link| link.subject));
        }
        first = end;
    }
    Ok(Some(persons))
}

/// Whether a business part names the campaign.
fn names(business: &[u8], campaign: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Named {
        #[serde(default)]
        campaign: Option<String>,
    }
    data_of::<Named>(business).is_ok_and(|named| named.campaign.as_deref() == Some(campaign))
}

struct Out<'a> {
    sink: &'a Sink,
    stream: Stream,
    files: Vec<FileDigest>,
}

impl Out<'_> {
    async fn file(&mut self, name: &str, bytes: &[u8]) -> Result<(), ExportError> {
        self.files.push(FileDigest { name: name.to_owned(), bytes: bytes.len() as u64, sha256: sha256(bytes) });
        let bytes = self.stream.file(name, bytes).map_err(BundleError::from)?;
        self.sink.send(Ok(Bytes::from(bytes))).await.map_err(|_| ExportError::Closed)
    }

    async fn end(self) -> Result<(), ExportError> {
        let bytes = self.stream.end().map_err(BundleError::from)?;
        self.sink.send(Ok(Bytes::from(bytes))).await.map_err(|_| ExportError::Closed)
    }
}

struct Walk<'a> {
    ledger: &'a Ledger,
    begun: &'a RangeBegun,
    persons: Option<HashSet<SubjectId>>,
    report: RangeReport,
    schemas: HashSet<Digest>,
    opened: u64,
    gone: u64,
}

impl Walk<'_> {
    /// Entries and shown parts of `[first, end)`, as the two files of a block.
    async fn block(&mut self, first: u64, end: u64) -> Result<(Vec<u8>, Vec<u8>), ExportError> {
        let (scope, redaction) = (&self.begun.scope, self.begun.request.extras.redaction.as_deref());
        let persons = self.persons.as_ref();
        let opened = self.ledger.open_range(first, end, |entry, part| {
            let person = entry.subject.is_none_or(|link| persons.is_none_or(|persons| persons.contains(&link.subject)));
            let kind = matches!(part.kind, PartKind::Public | PartKind::Business) || redaction.is_some();
            scope.opens(entry.event_type) && person && kind
        });
        let opened = opened.await?;
        let (mut entries, mut parts) = (Vec::new(), Vec::new());
        for found in opened {
            let position = found.entry.position;
            push_entry(&mut entries, &found.bytes).ok_or(ExportError::TooLong(position))?;
            self.entry(&found, redaction, &mut parts)?;
        }
        Ok((entries, parts))
    }

    fn entry(&mut self, found: &Opened, redaction: Option<&Redaction>, lines: &mut Vec<u8>) -> Result<(), ExportError> {
        let position = found.entry.position;
        let decoded = EntryRef::decode(&found.bytes).map_err(|source| ReadError::Entry { position, source })?;
        let mut shown = PageEntry::of(&decoded);
        let inside = self.begun.scope.opens(&found.entry.event_type) && self.is_of_campaign(found);
        if inside {
            self.schemas.insert(found.entry.schema);
            let registry = self.ledger.registry();
            let schema = registry.by_digest(&found.entry.schema).map(|schema| &**schema);
            for (number, part) in (0..).zip(&found.parts) {
                let asked = Asked { event_type: &found.entry.event_type, position, kind: part.part.kind, schema };
                let Some(line) = self.part(&asked, number, part, redaction)? else { continue };
                line.line(lines).map_err(BundleError::from)?;
                if let Some(plaintext) = part.plaintext.as_deref().filter(|_| part.part.kind == PartKind::Business) {
                    shown.take_business(plaintext, part.part.class);
                }
            }
        }
        self.report.take(&shown, inside);
        Ok(())
    }

    /// Facts about nobody count for a campaign only if they name it.
    fn is_of_campaign(&self, found: &Opened) -> bool {
        let (Some(campaign), Some(persons)) = (&self.begun.scope.campaign, &self.persons) else { return true };
        match found.entry.subject {
            Some(link) => persons.contains(&link.subject),
            None => found.plaintext(PartKind::Business).is_some_and(|business| names(business, campaign)),
        }
    }

    fn part(
        &mut self,
        asked: &Asked<'_>,
        number: u8,
        part: &OpenedPart,
        redaction: Option<&Redaction>,
    ) -> Result<Option<BlockPart>, ExportError> {
        let mut line = BlockPart { fields: None, part: number, position: asked.position, secret: None, stored: None };
        let stored = part.sealed.as_deref().map(|bytes| BASE64.encode(bytes));
        let verdict = match (asked.kind, redaction) {
            (PartKind::Public, _) => {
                line.stored = stored;
                return Ok(line.stored.is_some().then_some(line));
            }
            (PartKind::Business, _) => Verdict::Whole,
            (PartKind::Personal | PartKind::Raw, Some(redaction)) => redaction.verdict(asked),
            (PartKind::Personal | PartKind::Raw, None) => Verdict::None,
        };
        match (verdict, part.secret) {
            (Verdict::None, _) => return Ok(None),
            (Verdict::Whole, Some(secret)) => {
                (line.secret, line.stored) = (Some(Digest::from_bytes(secret)), stored);
                self.opened += 1;
            }
            (Verdict::Fields(chosen), Some(secret)) => {
                let wrong =
                    |_| BundleError::Part { position: asked.position, part: number, source: PartError::Plaintext };
                let plaintext = part.plaintext.as_deref().unwrap_or_default();
                let found = fields(&PartSecret::from_disclosed(secret), plaintext, &chosen).map_err(wrong)?;
                if found.is_empty() {
                    return Ok(None);
                }
                line.fields = Some(found);
            }
            (Verdict::Whole | Verdict::Fields(_), None) => self.gone += 1,
        }
        Ok(Some(line))
    }

    /// Files of the schemas of what was opened; of all, for the record of processing.
    fn schemas(&self, mut known: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let registry = self.ledger.registry();
        let all = self.begun.request.profile == Profile::Article30;
        let wanted = registry.all().iter().filter(|schema| all || self.schemas.contains(&schema.digest));
        known.extend(wanted.filter_map(|schema| Registry::file_of(schema)));
        known.sort_unstable();
        known.dedup();
        known
    }
}
