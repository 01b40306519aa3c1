//! Where the policy of a ledger stands in its log: emergencies, registrations, switches, kept suppression tokens and items in
//! quarantine have no person whose history would lead to them, and a decision must not wait for a projection. Their
//! positions are kept at hand.
//!
//! The list is derived: a start reads it from `policy.positions` in the ledger's folder and the rest from the log.

use std::path::PathBuf;
use std::sync::PoisonError;

use serde::{Deserialize, Serialize};

use super::ledger::Ledger;
use super::read::ReadError;
use crate::chain::decode::EntryRef;

/// Entries read at a time.
const CHUNK: u64 = 4_096;
/// Raised whenever [`is_noted`] learns a type: a file of an earlier version lacks its entries.
const VERSION: u32 = 4;

/// Positions of noted entries, and how far the log was read for them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Noted {
    /// What counted as policy when the file was written.
    #[serde(default)]
    version: u32,
    through: u64,
    positions: Vec<u64>,
    #[serde(skip)]
    ready: bool,
}

/// An event of this type is part of the policy.
pub(super) fn is_noted(event_type: &str) -> bool {
    matches!(
        event_type,
        "decision.routing_recorded"
            | "lead.accepted"
            | "lead.rejected"
            | "list.imported"
            | "policy.emergency_declared"
            | "policy.registration_recorded"
            | "policy.pack_activated"
            | "score.model_activated"
            | "suppression.token_kept"
            | "quarantine.discarded"
            | "quarantine.fixed"
            | "quarantine.received"
            | "quarantine.replayed"
            | "quarantine.resolved"
            | "quarantine.translated"
            | "retention.completed"
    )
}

impl Ledger {
    /// Keeps the position of an entry that is part of the policy.
    pub(super) fn note(&self, position: u64) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.positions.last().is_none_or(|last| *last < position) {
            noted.positions.push(position);
        }
    }

    fn noted_file(&self) -> PathBuf {
        self.folder.join("policy.positions")
    }

    /// Positions of noted entries that are committed, in order, without the first `known`. The first call of a process may
    /// read the log.
    ///
    /// # Errors
    /// [`ReadError`] when the log cannot be read.
    pub async fn noted_from(&self, known: usize) -> Result<Vec<u64>, ReadError> {
        let copy = |noted: &Noted| noted.positions.iter().skip(known).copied().collect::<Vec<u64>>();
        {
            let noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
            if noted.ready {
                return Ok(copy(&noted));
            }
        }
        let size = self.size();
        // A file that does not read, or is of a longer log, is as good as none.
        let kept = std::fs::read(self.noted_file()).ok().and_then(|bytes| serde_json::from_slice::<Noted>(&bytes).ok());
        let mut found = kept.filter(|kept| kept.through <= size && kept.version == VERSION).unwrap_or_default();
        while found.through < size {
            let end = size.min(found.through + CHUNK);
            for (position, bytes) in self.store().entries_from(found.through, end).await? {
                let entry = EntryRef::decode(&bytes).map_err(|source| ReadError::Entry { position, source })?;
                if is_noted(entry.event_type) {
                    found.positions.push(position);
                }
            }
            found.through = end;
        }
        found.version = VERSION;
        if let Ok(text) = serde_json::to_vec(&found)
            && let Err(error) = std::fs::write(self.noted_file(), text)
        {
            tracing::warn!(error = %error, "policy.positions cannot be kept; the next start reads the log again");
        }
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        // What was committed while the log was read is behind what was read.
        let later: Vec<u64> = noted.positions.iter().copied().filter(|at| *at >= found.through).collect();
        noted.positions = found.positions;
        noted.positions.extend(later);
        noted.through = found.through;
        noted.ready = true;
        Ok(copy(&noted))
    }
}

impl Ledger {
    /// Position of an event that the service itself wrote under this id, from the index; the caller looks whether the entry
    /// there is of the type it wants.
    ///
    /// # Errors
    /// [`super::subjects::SubjectsSealError::Run`] when the index cannot be read.
    pub fn service_event(&self, id: &str) -> Result<Option<u64>, super::subjects::SubjectsSealError> {
        Ok(self.index_read().dedupe(&self.secrets.dedupe.dedupe("/tallystick", id))?)
    }
}
