//! What a bundle of a person needs from the log: the histories, the entries that the proof rests on, and the entries that
//! excuse what is missing.

use std::collections::{BTreeMap, HashMap};

use crate::chain::entry::EntryRef;
use crate::chain::subjects::SubjectProof;
use crate::crypto::derive::PartSecret;
use crate::domain::ids::KeyId;
use crate::domain::parts::{PartKind, RetentionClass};
use crate::exports::bundle::{BundleEntry, BundlePart, Shown};
use crate::exports::covers::{Cover, cover_of, is_cover_type};
use crate::exports::log_keys::is_key_type;
use crate::exports::subject::{Disclosure, ExportError};
use crate::ingest::Ledger;
use crate::ingest::read::{Opened, OpenedPart, ReadError};
use crate::schema::Registry;

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
    seal: u64,
    heads: &[SubjectProof],
    disclosure: Disclosure,
    size: u64,
) -> Result<Gathered, ExportError> {
    let mut opened: BTreeMap<u64, Opened> = BTreeMap::new();
    for head in heads {
        history(ledger, head, &mut opened).await?;
    }
    for position in [0, seal] {
        opened.insert(position, ledger.open_entry(position).await?);
    }
    let closed = closed_keys(&opened);
    for position in needed(ledger, &opened, &closed, size).await? {
        opened.insert(position, ledger.open_entry(position).await?);
    }
    let covers = covers(&opened)?;
    let registry = ledger.registry();
    let mut schemas = Vec::new();
    let mut entries = Vec::with_capacity(opened.len());
    for (position, found) in opened {
        schemas.extend(registry.by_digest(&found.entry.schema).and_then(|schema| Registry::file_of(schema)));
        let hashes = ledger.inclusion(position, size).await?;
        let whole = disclosure.opens(&found.entry.event_type);
        let parts = (0..).zip(found.parts).map(|(number, part)| shown(position, number, part, whole, &covers));
        entries.push(BundleEntry { bytes: found.bytes, hashes, parts: parts.collect::<Result<_, _>>()? });
    }
    schemas.sort_unstable();
    schemas.dedup();
    Ok(Gathered { entries, schemas })
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
    cover_of(&found.entry.event_type, public).map_err(|source| {
        crate::exports::bundle::BundleError::Part { position: found.entry.position, part: 0, source }.into()
    })
}

/// The first entry after `position` that says the key was destroyed.
fn excuse(covers: &BTreeMap<u64, Cover>, key: &KeyId, class: RetentionClass, position: u64) -> Option<u64> {
    covers.range(position + 1..).find(|(_, cover)| cover.excuses(key, class)).map(|(by, _)| *by)
}

fn shown(
    position: u64,
    number: u8,
    part: OpenedPart,
    whole: bool,
    covers: &BTreeMap<u64, Cover>,
) -> Result<BundlePart, ExportError> {
    let shown = match (part.part.key, part.secret) {
        (None, _) => Shown::Public,
        (Some(_), Some(secret)) if whole => Shown::Whole(PartSecret::from_disclosed(secret)),
        (Some(_), Some(_)) => Shown::Withheld,
        (Some(key), None) => match excuse(covers, &key, part.part.class, position) {
            Some(by) => Shown::Erased(by),
            None => return Err(ExportError::Unexcused { position, part: number }),
        },
    };
    Ok(BundlePart { stored: part.sealed, shown })
}
