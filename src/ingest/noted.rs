//! Where the policy of a ledger stands in its log: emergencies, registrations, switches, kept suppression tokens and items in
//! quarantine have no person whose history would lead to them, and a decision must not wait for a projection. So with rights requests
//! and holds, which are asked for all at once. Their positions are kept at hand.
//!
//! The list is derived. `policy.positions` in the ledger's folder keeps it as far as the index has runs, and a start looks at every
//! entry behind those anyway; where there is no such file, the whole log is read for it, once.

use std::path::PathBuf;
use std::sync::{Arc, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::ledger::Ledger;
use super::read::ReadError;
use crate::chain::decode::EntryRef;

/// Entries read at a time.
const CHUNK: u64 = 4_096;
/// Raised whenever [`noted_for`] learns a type: a file of an earlier version lacks its entries.
const VERSION: u32 = 6;

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
    /// Privacy requests and holds.
    Matters,
}

/// Positions of noted entries, and how far the log was read for them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Noted {
    /// What counted as policy when the file was written.
    #[serde(default)]
    version: u32,
    through: u64,
    /// By who reads them.
    positions: [Vec<u64>; 5],
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
        "hold.placed"
        | "hold.released"
        | "privacy.notice_sent"
        | "privacy.recipient_notified"
        | "privacy.request_completed"
        | "privacy.request_denied"
        | "privacy.request_extended"
        | "privacy.request_received"
        | "privacy.request_verified" => &[NotedFor::Matters],
        _ => &[],
    }
}

impl Noted {
    fn list(&mut self, reader: NotedFor) -> &mut Vec<u64> {
        let [gate, lists, retention, routing, matters] = &mut self.positions;
        match reader {
            NotedFor::Gate => gate,
            NotedFor::Lists => lists,
            NotedFor::Retention => retention,
            NotedFor::Routing => routing,
            NotedFor::Matters => matters,
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

    /// Becomes what was `found` of the log's beginning, and what came since behind it.
    fn complete(&mut self, mut found: Noted) {
        if self.ready {
            return;
        }
        for (list, later) in found.positions.iter_mut().zip(&self.positions) {
            list.extend(later.iter().filter(|at| **at >= found.through));
        }
        *self = Noted { ready: true, ..found };
    }

    /// What stands before a position.
    fn before(&self, through: u64) -> Noted {
        let positions = self.positions.each_ref().map(|list| {
            let end = list.partition_point(|at| *at < through);
            list.get(..end).unwrap_or_default().to_vec()
        });
        Noted { version: VERSION, through, positions, ready: false }
    }
}

impl Ledger {
    /// Keeps the position of an entry that is part of the policy.
    pub(super) fn note(&self, position: u64, readers: &[NotedFor]) {
        self.noted_lock().add(position, readers);
    }

    fn noted_file(&self) -> PathBuf {
        self.folder.join("policy.positions")
    }

    fn noted_lock(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What an earlier process kept. A file that does not read, or is of a longer log, is as good as none.
    fn noted_kept(&self) -> Noted {
        let kept = std::fs::read(self.noted_file()).ok().and_then(|bytes| serde_json::from_slice::<Noted>(&bytes).ok());
        kept.filter(|kept| kept.through <= self.size() && kept.version == VERSION).unwrap_or_default()
    }

    /// Takes up what was kept, where that reaches to `read_from`: every entry from there on was looked at by this process.
    pub(super) fn noted_resume(&self, read_from: u64) {
        let kept = self.noted_kept();
        if kept.through >= read_from {
            self.noted_lock().complete(kept);
        }
    }

    /// Keeps the list up to a position, from which on a start will look at every entry. Nothing to keep while it is not whole.
    pub(super) fn noted_keep(&self, through: u64) {
        let kept = {
            let noted = self.noted_lock();
            noted.ready.then(|| noted.before(through))
        };
        let written = kept.map(|kept| serde_json::to_vec(&kept).map(|text| std::fs::write(self.noted_file(), text)));
        if let Some(Ok(Err(error))) = written {
            tracing::warn!(error = %error, "policy.positions cannot be kept; the next start reads the log for it");
        }
    }

    /// Has the list read now where it is not at hand, so that no decision waits for it.
    pub fn noted_start(self: &Arc<Ledger>) {
        if self.noted_lock().ready {
            return;
        }
        let ledger = Arc::clone(self);
        self.tasks.spawn(async move {
            tokio::select! {
                read = ledger.noted_from(NotedFor::Gate, usize::MAX) => {
                    if let Err(error) = read {
                        tracing::warn!(error = %error, "policy.positions cannot be made yet");
                    }
                }
                () = ledger.tasks.stopping() => {}
            }
        });
    }

    /// Positions of one reader's noted entries that are committed, in order, without the first `known`. The first call of a process may
    /// read the log.
    ///
    /// # Errors
    /// [`ReadError`] when the log cannot be read.
    pub async fn noted_from(&self, reader: NotedFor, known: usize) -> Result<Vec<u64>, ReadError> {
        if let Some(found) = self.noted_after(reader, known) {
            return Ok(found);
        }
        // Whoever comes meanwhile waits for this reading instead of making one of his own.
        let _reading = self.noted_reading.lock().await;
        if let Some(found) = self.noted_after(reader, known) {
            return Ok(found);
        }
        let size = self.size();
        let mut found = self.noted_kept();
        while found.through < size {
            let end = size.min(found.through + CHUNK);
            for (position, bytes) in self.store().entries_from(found.through, end).await? {
                let entry = EntryRef::decode(&bytes).map_err(|source| ReadError::Entry { position, source })?;
                found.add(position, noted_for(entry.event_type));
            }
            found.through = end;
        }
        self.noted_lock().complete(found);
        self.noted_keep(size);
        Ok(self.noted_lock().after(reader, known))
    }

    /// How many noted entries of a reader there are; none while the log is read for them.
    pub fn noted_count(&self, reader: NotedFor) -> Option<u64> {
        let mut noted = self.noted_lock();
        noted.ready.then(|| noted.list(reader).len() as u64)
    }

    fn noted_after(&self, reader: NotedFor, known: usize) -> Option<Vec<u64>> {
        let mut noted = self.noted_lock();
        noted.ready.then(|| noted.after(reader, known))
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
