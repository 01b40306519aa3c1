//! What a bundle of a person needs from the log: the histories, the entries that the proof rests on, and the entries that
//! excuse what is missing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::chain::entry::{EntryRef, Part};
use crate::chain::subjects::SubjectProof;
use crate::crypto::derive::PartSecret;
use crate::crypto::fields::{FieldDisclosure, FieldError, field_paths, field_proof};
use crate::domain::ids::{KeyId, SubjectId};
use crate::domain::parts::{PartKind, RetentionClass};
use crate::exports::bundle::{BundleEntry, BundleError, BundlePart, Shown};
use crate::exports::covers::{Cover, cover_of, is_cover_type};
use crate::exports::log_keys::is_key_type;
use crate::exports::parts::{PartError, data_of};
use crate::exports::redaction::{Asked, Chosen, Redaction, Verdict};
use crate::exports::subject::{Disclosure, EXPORT_CREATED, ExportError};
use crate::ingest::Ledger;
use crate::ingest::read::{Opened, OpenedPart, ReadError};
use crate::policy::rights::Rights;
use crate::schema::{EventSchema, Registry};

/// Entries read at a time where the log is searched.
const READ_ENTRIES: u64 = 4096;

/// Entries in order, with proofs and parts, and the schemas that they name.
pub(super) struct Gathered {
    pub(super) entries: Vec<BundleEntry>,
    pub(super) schemas: Vec<Vec<u8>>,
}

/// Reads everything for the tree of `size` entries.
pub(super) async fn gather(
    ledger: &Ledger,
    further: &[u64],
    heads: &[SubjectProof],
    choice: Choice<'_>,
    size: u64,
) -> Result<Gathered, ExportError> {
    let mut opened: BTreeMap<u64, Opened> = BTreeMap::new();
    for head in heads {
        history(ledger, head, &mut opened).await?;
    }
    for position in std::iter::once(0).chain(further.iter().copied()) {
        opened.insert(position, ledger.open_entry(position).await?);
    }
    let closed = closed_keys(&opened);
    for position in needed(ledger, &opened, &closed, size).await? {
        opened.insert(position, ledger.open_entry(position).await?);
    }
    let covers = covers(&opened)?;
    let erased = erased(&opened);
    let registry = ledger.registry();
    let mut schemas = Vec::new();
    let mut entries = Vec::with_capacity(opened.len());
    for (position, found) in opened {
        schemas.extend(registry.by_digest(&found.entry.schema).and_then(|schema| Registry::file_of(schema)));
        let hashes = ledger.inclusion(position, size).await?;
        let place =
            Place { position, event_type: &found.entry.event_type, schema: registry.by_digest(&found.entry.schema) };
        let kept = found.entry.subject.and_then(|link| erased.get(&link.subject));
        let parts = (0..).zip(found.parts).map(|(number, part)| {
            let verdict = choice.verdict(&place, &part.part, kept);
            shown(position, number, part, &verdict, &covers)
        });
        entries.push(BundleEntry { bytes: found.bytes, hashes, parts: parts.collect::<Result<_, _>>()? });
    }
    schemas.sort_unstable();
    schemas.dedup();
    Ok(Gathered { entries, schemas })
}

/// What is opened of a part: what the profile opens, less what the rules of redaction hold back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice<'a> {
    pub(super) disclosure: Disclosure,
    pub(super) redaction: Option<&'a Redaction>,
}

/// The entry that a part belongs to.
struct Place<'a> {
    position: u64,
    event_type: &'a str,
    schema: Option<&'a Arc<EventSchema>>,
}

impl<'a> Choice<'a> {
    /// `kept`: the person was erased, and parts of these classes alone are kept of him.
    fn verdict(&self, place: &Place<'a>, part: &Part, kept: Option<&BTreeSet<RetentionClass>>) -> Verdict<'a> {
        if place.event_type == EXPORT_CREATED && part.kind == PartKind::Business {
            // The proof of completeness needs it.
            return Verdict::Whole;
        }
        let gone = kept.is_some_and(|kept| !kept.contains(&part.class));
        if gone || !self.disclosure.opens(place.event_type) {
            return Verdict::None;
        }
        let Some(redaction) = self.redaction else { return Verdict::Whole };
        let schema = place.schema.map(|schema| &**schema);
        redaction.verdict(&Asked { event_type: place.event_type, position: place.position, kind: part.kind, schema })
    }
}

/// Persons who were erased, and the classes that stay of them: those of the certificate, those that a row of
/// `policies/rights.toml` keeps of everybody, and what keeps the person from being contacted again. Nothing else is
/// opened, though the keys of other business parts live on.
fn erased(opened: &BTreeMap<u64, Opened>) -> BTreeMap<SubjectId, BTreeSet<RetentionClass>> {
    #[derive(serde::Deserialize)]
    struct Certificate {
        #[serde(default)]
        kept: Vec<Kept>,
    }
    #[derive(serde::Deserialize)]
    struct Kept {
        class: RetentionClass,
    }
    let mut persons: BTreeMap<SubjectId, BTreeSet<RetentionClass>> = BTreeMap::new();
    for found in opened.values().filter(|found| found.entry.event_type == "subject.erased") {
        let Some(link) = found.entry.subject else { continue };
        let public = found.plaintext(PartKind::Public).unwrap_or_default();
        // A certificate that cannot be read keeps nothing; `covers` has refused it by then.
        let kept = data_of::<Certificate>(public).map(|certificate| certificate.kept).unwrap_or_default();
        // Rules that cannot be read keep nothing either.
        let rights = Rights::builtin().ok();
        let by_rule = RetentionClass::ALL.into_iter().filter(|class| {
            let row = rights.is_some_and(|rights| rights.keep(*class, found.entry.recorded).is_some());
            row || matches!(class, RetentionClass::Suppression | RetentionClass::System)
        });
        persons.entry(link.subject).or_default().extend(kept.into_iter().map(|kept| kept.class).chain(by_rule));
    }
    persons
}

/// A person's entries, from the last to the first, as each names the one before.
async fn history(ledger: &Ledger, head: &SubjectProof, opened: &mut BTreeMap<u64, Opened>) -> Result<(), ExportError> {
    let mut next = Some(head.head.position);
    while let Some(position) = next {
        let found = ledger.open_entry(position).await?;
        let link = found.entry.subject.filter(|link| link.subject == head.head.subject).ok_or(ExportError::Seal)?;
        // Back positions strictly descend, so this ends.
        next = link.previous;
        opened.insert(position, found);
    }
    Ok(())
}

/// Keys of parts that are missing or closed: where, and of which class.
fn closed_keys(opened: &BTreeMap<u64, Opened>) -> HashMap<KeyId, (u64, RetentionClass)> {
    let parts = opened.iter().flat_map(|(position, found)| found.parts.iter().map(|part| (*position, part)));
    let closed = parts.filter(|(_, part)| part.plaintext.is_none());
    closed.filter_map(|(position, part)| Some((part.part.key?, (position, part.part.class)))).collect()
}

/// Positions of entries elsewhere in the log that excuse closed parts, and of those that changed the log's key. Reads the
/// log only if something is closed that the histories do not excuse, or if the log's key is not its first.
async fn needed(
    ledger: &Ledger,
    opened: &BTreeMap<u64, Opened>,
    closed: &HashMap<KeyId, (u64, RetentionClass)>,
    size: u64,
) -> Result<Vec<u64>, ExportError> {
    let known = covers(opened)?;
    let unexcused = closed.iter().any(|(key, (at, class))| excuse(&known, key, *class, *at).is_none());
    let own = data_encoding::BASE64.encode(&ledger.log_signer().public());
    let first = opened.get(&0).and_then(|found| found.plaintext(PartKind::Public)).unwrap_or_default();
    let rotated = !String::from_utf8_lossy(first).contains(&own);
    let mut positions = Vec::new();
    if !unexcused && !rotated {
        return Ok(positions);
    }
    let store = ledger.store();
    let mut first = 0;
    while first < size {
        let end = size.min(first + READ_ENTRIES);
        for (position, bytes) in store.entry_block(first, end).await?.iter() {
            let entry = EntryRef::decode(bytes).map_err(|source| ReadError::Entry { position, source })?;
            let names_key = rotated && is_key_type(entry.event_type);
            let elsewhere = entry.subject.is_none() && !opened.contains_key(&position);
            let covers = elsewhere && is_cover_type(entry.event_type) && covers_any(ledger, position, closed).await?;
            if names_key || covers {
                positions.push(position);
            }
        }
        first = end;
    }
    Ok(positions)
}

async fn covers_any(
    ledger: &Ledger,
    position: u64,
    closed: &HashMap<KeyId, (u64, RetentionClass)>,
) -> Result<bool, ExportError> {
    let found = ledger.open_entry(position).await?;
    let cover = cover(&found)?;
    Ok(closed.iter().any(|(key, (_, class))| cover.excuses(key, *class)))
}

fn covers(opened: &BTreeMap<u64, Opened>) -> Result<BTreeMap<u64, Cover>, ExportError> {
    let entries = opened.iter().filter(|(_, found)| is_cover_type(&found.entry.event_type));
    entries.map(|(position, found)| Ok((*position, cover(found)?))).collect()
}

fn cover(found: &Opened) -> Result<Cover, ExportError> {
    let public = found.plaintext(PartKind::Public).unwrap_or_default();
    cover_of(&found.entry.event_type, public)
        .map_err(|source| BundleError::Part { position: found.entry.position, part: 0, source }.into())
}

/// The first entry after `position` that says the key was destroyed.
fn excuse(covers: &BTreeMap<u64, Cover>, key: &KeyId, class: RetentionClass, position: u64) -> Option<u64> {
    covers.range(position + 1..).find(|(_, cover)| cover.excuses(key, class)).map(|(by, _)| *by)
}

fn shown(
    position: u64,
    number: u8,
    part: OpenedPart,
    verdict: &Verdict<'_>,
    covers: &BTreeMap<u64, Cover>,
) -> Result<BundlePart, ExportError> {
    let shown = match (part.part.key, part.secret, verdict) {
        (None, ..) => Shown::Public,
        (Some(_), Some(secret), Verdict::Whole) => Shown::Whole(PartSecret::from_disclosed(secret)),
        (Some(_), Some(_), Verdict::None) => Shown::Withheld,
        (Some(_), Some(secret), Verdict::Fields(chosen)) => {
            let wrong = |source| BundleError::Part { position, part: number, source };
            let plaintext = part.plaintext.as_deref().unwrap_or_default();
            let found = fields(&PartSecret::from_disclosed(secret), plaintext, chosen)
                .map_err(|_: FieldError| wrong(PartError::Plaintext))?;
            if found.is_empty() { Shown::Withheld } else { Shown::Fields(found) }
        }
        (Some(key), None, _) => match excuse(covers, &key, part.part.class, position) {
            Some(by) => Shown::Erased(by),
            None => return Err(ExportError::Unexcused { position, part: number }),
        },
    };
    Ok(BundlePart { stored: part.sealed, shown })
}

/// The chosen fields of a personal part, each with its own salt and proof.
pub(super) fn fields(
    secret: &PartSecret,
    plaintext: &[u8],
    chosen: &Chosen<'_>,
) -> Result<Vec<FieldDisclosure>, FieldError> {
    let paths = field_paths(plaintext)?;
    paths.iter().filter(|path| chosen.shows(path)).map(|path| field_proof(secret, plaintext, path)).collect()
}
