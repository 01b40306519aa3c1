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
/// Raised whenever [`noted_for`] learns a type: a file of an earlier version lacks its entries.
const VERSION: u32 = 5;

/// Who reads noted entries. Each has a list of his own: routing decisions come by the million, and the gate must not look at them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotedFor {
    /// The gate: emergencies, registrations, switches, kept tokens, items in quarantine.
    Gate,
    /// Versions of lists.
    Lists,
    /// How far back history can be read.
    Retention,
    /// The lane of routing and scores.
    Routing,
}

/// Positions of noted entries, and how far the log was read for them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Noted {
    /// What counted as policy when the file was written.
    #[serde(default)]
    version: u32,
    through: u64,
    /// By who reads them.
    positions: [Vec<u64>; 4],
    #[serde(skip)]
    ready: bool,
}

/// Who reads an event of this type; nobody, unless it is part of the policy.
pub(super) fn noted_for(event_type: &str) -> &'static [NotedFor] {
    match event_type {
        "list.imported" => &[NotedFor::Lists],
        "decision.routing_recorded" | "lead.accepted" | "lead.rejected" | "score.model_activated" => {
            &[NotedFor::Routing]
        }
        "policy.pack_activated" => &[NotedFor::Gate, NotedFor::Routing],
        "policy.emergency_declared"
        | "policy.registration_recorded"
        | "suppression.token_kept"
        | "quarantine.discarded"
        | "quarantine.fixed"
        | "quarantine.received"
        | "quarantine.replayed"
        | "quarantine.resolved"
        | "quarantine.translated" => &[NotedFor::Gate],
        "retention.completed" => &[NotedFor::Retention],
        _ => &[],
    }
}

impl Noted {
    fn list(&mut self, reader: NotedFor) -> &mut Vec<u64> {
        let [gate, lists, retention, routing] = &mut self.positions;
        match reader {
            NotedFor::Gate => gate,
            NotedFor::Lists => lists,
            NotedFor::Retention => retention,
            NotedFor::Routing => routing,
        }
    }

    fn add(&mut self, position: u64, readers: &[NotedFor]) {
        for reader in readers {
            let list = self.list(*reader);
            if list.last().is_none_or(|last| *last < position) {
                list.push(position);
            }
        }
    }

    fn after(&mut self, reader: NotedFor, known: usize) -> Vec<u64> {
        self.list(reader).get(known..).unwrap_or_default().to_vec()
    }
}

impl Ledger {
    /// Keeps the position of an entry that is part of the policy.
    pub(super) fn note(&self, position: u64, readers: &[NotedFor]) {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner).add(position, readers);
    }

    fn noted_file(&self) -> PathBuf {
        self.folder.join("policy.positions")
    }

    /// Positions of one reader's noted entries that are committed, in order, without the first `known`. The first call of a process may
    /// read the log.
    ///
    /// # Errors
    /// [`ReadError`] when the log cannot be read.
    pub async fn noted_from(&self, reader: NotedFor, known: usize) -> Result<Vec<u64>, ReadError> {
        {
            let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
            if noted.ready {
                return Ok(noted.after(reader, known));
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
                found.add(position, noted_for(entry.event_type));
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
        if !noted.ready {
            // What was committed while the log was read is behind what was read.
            for (list, later) in found.positions.iter_mut().zip(&noted.positions) {
                list.extend(later.iter().filter(|at| **at >= found.through));
            }
            *noted = Noted { ready: true, ..found };
        }
        Ok(noted.after(reader, known))
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
