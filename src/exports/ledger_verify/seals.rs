//! The sealed maps of subjects, found before the log is read: a map has to be known when its size is reached.

use super::{RANGE_ENTRIES, VerifyError};
use crate::chain::entry::EntryRef;
use crate::chain::subjects::SubjectsRoot;
use crate::chain::verify::SubjectsSeal;
use crate::crypto::hash::Digest;
use crate::exports::parts::data_of;
use crate::exports::report::Findings;
use crate::store::Store;

/// Type of the entries that seal maps.
const SUBJECTS_SEALED: &str = "subjects.sealed";

#[derive(serde::Deserialize)]
struct Sealed {
    size: u64,
    count: u64,
    root: Digest,
}

/// The newest seal among the first `size` entries, or every one. Reads from the end: the newest is an hour back at most
/// where somebody's history grew.
pub(super) async fn find(
    store: &Store,
    size: u64,
    every: bool,
    findings: &mut Findings,
) -> Result<Vec<SubjectsSeal>, VerifyError> {
    let mut found = Vec::new();
    for number in (0..size.div_ceil(RANGE_ENTRIES)).rev() {
        let first = number * RANGE_ENTRIES;
        let entries = store.entry_block(first, size.min(first + RANGE_ENTRIES)).await?;
        // What is no entry is found when the log is read.
        let is_seal = |bytes| EntryRef::decode(bytes).is_ok_and(|entry| entry.event_type == SUBJECTS_SEALED);
        let sealed: Vec<u64> =
            entries.iter().filter(|(_, bytes)| is_seal(bytes)).map(|(position, _)| position).collect();
        for position in sealed.into_iter().rev() {
            found.extend(seal_at(store, position, findings).await?);
            if !every && !found.is_empty() {
                return Ok(found);
            }
        }
    }
    Ok(found)
}

/// The newest seal among the first `size` entries that can be read.
pub(in crate::exports) async fn newest_seal(store: &Store, size: u64) -> Result<Option<SubjectsSeal>, VerifyError> {
    Ok(find(store, size, false, &mut Findings::default()).await?.into_iter().next())
}

async fn seal_at(store: &Store, position: u64, findings: &mut Findings) -> Result<Option<SubjectsSeal>, VerifyError> {
    let parts = store.payloads_of(position).await?;
    let public = parts.first().map(|(_, stored)| stored.as_slice()).unwrap_or_default();
    match data_of::<Sealed>(public) {
        Ok(Sealed { size, count, root }) => {
            Ok(Some(SubjectsSeal { position, size, map: SubjectsRoot { count, root } }))
        }
        Err(error) => {
            findings.at(position, error);
            Ok(None)
        }
    }
}
