//! Carrying a retention run out.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::RetainError;
use super::batch::{Batch, remove};
use super::carry::Carrier;
use super::clocks::Clocks;
use super::due::{Due, Fate, Verdict, after, due};
use crate::chain::decode::EntryRef;
use crate::domain::ids::{EventId, KeyId, PrincipalId, SubjectId, uuid_v7};
use crate::domain::parts::{PartKind, RetentionClass};
use crate::domain::time::{Quarter, Timestamp};
use crate::ingest::Ledger;
use crate::ingest::erasure::Standing;
use crate::ingest::read::ReadError;
use crate::jobs::checkpoint::write_durably;
use crate::jobs::erase::Journal;
use crate::policy::retention::Retention;
use crate::store::{DekSlot, NO_OWNER};

/// Keys that one `retention.completed` names; its schema takes 1,000.
const KEYS_AT_ONCE: u32 = 1_000;
/// Entries read at a time.
const READ_ENTRIES: u64 = 2_048;
/// Rows that `decision.retention_recorded` takes.
const DUE_MAX: usize = 400;
/// Tries to empty the write-ahead log, and the pause between two.
const WAL_TRIES: u32 = 100;
const WAL_PAUSE: Duration = Duration::from_millis(50);

/// How a run is carried out.
#[derive(Debug, Clone)]
pub struct RetainOptions {
    /// Who asks.
    pub actor: PrincipalId,
    /// The caller's clock, on a scratch ledger.
    pub now: Option<Timestamp>,
    /// Ends after this many batches' keys were destroyed and before that is recorded, as if the process had died there.
    pub stop_after: Option<u64>,
}

impl RetainOptions {
    /// As the scheduled job does it.
    pub const fn new(actor: PrincipalId) -> RetainOptions {
        RetainOptions { actor, now: None, stop_after: None }
    }
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetainProgress {
    /// Classes and quarters done.
    pub done: usize,
    /// Classes and quarters to do.
    pub of: usize,
    /// Keys destroyed so far.
    pub keys: u64,
}

/// What a run did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The run; none where nothing was due.
    pub run: Option<EventId>,
    /// What was due.
    pub due: Vec<Due>,
    /// Keys destroyed.
    pub keys: u64,
    /// Sealed parts deleted.
    pub parts: u64,
    /// Facts re-recorded.
    pub carried: u64,
}

/// Ends what is due, after finishing what an earlier run began.
///
/// # Errors
/// [`RetainError`]; run again to go on.
pub async fn run(
    ledger: &Arc<Ledger>,
    options: &RetainOptions,
    told: &(dyn Fn(RetainProgress) + Send + Sync),
) -> Result<Report, RetainError> {
    let _alone = ledger.destroying.lock().await;
    let now = options.now.unwrap_or_else(|| ledger.now());
    let id = EventId::from_bytes(uuid_v7(now.unix_ms(), ledger.random.bytes()));
    let folder = Journal::of(ledger).folder().to_path_buf();
    let mut run = Run { ledger, options, now, id, folder, report: Report::default(), batches: 0 };
    let begun = run.finish_begun().await?;
    let due: Vec<Due> = due(ledger, now).await?;
    let going: Vec<Due> = due.iter().filter(|due| due.verdict == Verdict::Destroy).cloned().collect();
    run.report.due.clone_from(&due);
    if !going.is_empty() {
        run.report.run = Some(id);
        let decision = run.decide(&due).await?;
        let mut carrier = Carrier::new(ledger, options.actor, options.now).await?;
        let mut clocks = Clocks::new(ledger, now).await?;
        for (done, due) in going.iter().enumerate() {
            if due.business {
                carrier.business(due.class, due.quarter).await?;
            }
            run.class(due, decision, &mut carrier, &mut clocks).await?;
            told(RetainProgress { done: done + 1, of: going.len(), keys: run.report.keys });
        }
        run.report.carried = carrier.made;
    }
    for (class, quarter) in going.iter().map(|due| (due.class, due.quarter)).chain(begun) {
        run.report.parts += remove(ledger, class, quarter).await?;
    }
    run.empty().await?;
    for file in run.files("removal")? {
        fs::remove_file(&file).map_err(run.failed())?;
    }
    Ok(run.report)
}

struct Run<'a> {
    ledger: &'a Arc<Ledger>,
    options: &'a RetainOptions,
    now: Timestamp,
    id: EventId,
    folder: PathBuf,
    report: Report,
    batches: u64,
}

impl Run<'_> {
    fn failed(&self) -> impl FnOnce(std::io::Error) -> RetainError {
        let folder = self.folder.clone();
        move |source| RetainError::Journal { folder, source }
    }

    fn files(&self, extension: &str) -> Result<Vec<PathBuf>, RetainError> {
        let mut found = Vec::new();
        let items = match fs::read_dir(&self.folder) {
            Ok(items) => items,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(found),
            Err(error) => return Err(self.failed()(error)),
        };
        for item in items {
            let path = item.map_err(self.failed())?.path();
            if path.extension().is_some_and(|own| own == extension) {
                found.push(path);
            }
        }
        found.sort();
        Ok(found)
    }

    fn write(&self, name: &str, batch: &Batch) -> Result<PathBuf, RetainError> {
        fs::create_dir_all(&self.folder).map_err(self.failed())?;
        let path = self.folder.join(name);
        let text = serde_json::to_vec(batch).map_err(std::io::Error::other).map_err(self.failed())?;
        write_durably(&path, &text).map_err(self.failed())?;
        Ok(path)
    }

    fn read(&self, path: &Path) -> Result<Batch, RetainError> {
        let text = fs::read(path).map_err(self.failed())?;
        serde_json::from_slice(&text).map_err(std::io::Error::other).map_err(self.failed())
    }

    /// Ends batches that a process left behind. Returns the classes and quarters whose sealed bytes may still lie around.
    async fn finish_begun(&mut self) -> Result<Vec<(RetentionClass, Quarter)>, RetainError> {
        let mut begun = Vec::new();
        for path in self.files("batch")? {
            let batch = self.read(&path)?;
            self.end(&path, &batch).await?;
        }
        for path in self.files("removal")? {
            let batch = self.read(&path)?;
            begun.extend(Quarter::from_ordinal(batch.quarter).map(|quarter| (batch.class, quarter)));
        }
        Ok(begun)
    }

    async fn decide(&self, due: &[Due]) -> Result<u64, RetainError> {
        let rows: Vec<Value> = due
            .iter()
            .rev()
            .take(DUE_MAX)
            .map(|due| {
                json!({ "class": due.class.name(), "quarter": due.quarter.to_string(), "keys": due.keys,
                    "held": due.held, "verdict": due.verdict.name() })
            })
            .collect();
        let decision = EventId::from_bytes(uuid_v7(self.now.unix_ms(), self.ledger.random.bytes()));
        let data = json!({
            "decision": decision, "pack": "retention", "pack_sha256": Retention::builtin()?.digest().to_string(),
            "now": self.now, "run": self.id, "due": rows,
        });
        let kind = "decision.retention_recorded";
        Ok(self.ledger.record_own(kind, None, data, self.options.actor, self.options.now).await?.position)
    }

    /// Ends the keys of one class and quarter, a thousand at a time.
    async fn class(
        &mut self,
        due: &Due,
        decision: u64,
        carrier: &mut Carrier<'_>,
        clocks: &mut Clocks<'_>,
    ) -> Result<(), RetainError> {
        let (mut from, mut part) = (NO_OWNER, 1);
        loop {
            let owners =
                self.ledger.store().deks_due(due.class.code(), due.quarter.ordinal(), &from, KEYS_AT_ONCE).await?;
            let mut keys = Vec::new();
            let mut forgotten = Vec::new();
            for (owner, key) in &owners {
                let slot = DekSlot { owner: *owner, class: due.class.code(), quarter: due.quarter.ordinal() };
                if clocks.fate(&slot).await? != Fate::Ends {
                    continue;
                }
                let subject = SubjectId::from_bytes(*owner);
                keys.push((subject, *key));
                if due.class == RetentionClass::Privacy && self.ledger.standing(&subject)? == Standing::Erased {
                    // The restricted map was sealed by this key: it goes with it, the marks stay.
                    forgotten.push(subject);
                } else if due.class == RetentionClass::Profile && *owner != NO_OWNER {
                    if self.is_kept(&subject).await? {
                        carrier.bindings(subject, due.quarter).await?;
                    } else {
                        forgotten.push(subject);
                    }
                }
            }
            if !keys.is_empty() {
                let batch = Batch {
                    run: self.id,
                    class: due.class,
                    quarter: due.quarter.ordinal(),
                    part,
                    keys,
                    held: if part == 1 { due.held } else { 0 },
                    carried: if part == 1 { carrier.made } else { 0 },
                    decision,
                    size: self.ledger.size(),
                };
                self.write(
                    &format!("{}-{}.removal", due.class, due.quarter),
                    &Batch { keys: Vec::new(), ..batch.clone() },
                )?;
                let path = self.write(&format!("{}-{}-{part}.batch", due.class, due.quarter), &batch)?;
                self.end(&path, &batch).await?;
                part += 1;
            }
            if !forgotten.is_empty() {
                self.ledger.index_forget(&forgotten, &[]).await?;
            }
            match owners.last().and_then(|(owner, _)| after(owner)) {
                Some(next) if owners.len() == KEYS_AT_ONCE as usize => from = next,
                _ => return Ok(()),
            }
        }
    }

    /// Whether anything but profile and raw parts is kept of a person, or a wish that has no end: then they must stay
    /// findable. Keys are minted in sets, so a key that sealed nothing says nothing.
    async fn is_kept(&self, subject: &SubjectId) -> Result<bool, RetainError> {
        let store = self.ledger.store();
        let passing = [RetentionClass::Profile.code(), RetentionClass::Raw.code()];
        let own = store.deks_of(subject.as_bytes()).await?;
        let lasting: HashSet<KeyId> =
            own.iter().filter(|(slot, _)| !passing.contains(&slot.class)).map(|(_, row)| row.key).collect();
        let mut next = self.ledger.subject_head(subject)?.map(|head| head.position);
        while let Some(position) = next {
            let bytes = store.entry_at(position).await?.ok_or(ReadError::Absent(position))?;
            let entry = EntryRef::decode(&bytes).map_err(|source| ReadError::Entry { position, source })?;
            let wish = entry.event_type.starts_with("suppression.") || entry.event_type == "consent.revoked";
            if wish || entry.parts().any(|part| part.key.is_some_and(|key| lasting.contains(&key))) {
                return Ok(true);
            }
            next = entry.subject.filter(|link| link.subject == *subject).and_then(|link| link.previous);
        }
        Ok(false)
    }

    /// Destroys the keys of a batch and says so, once.
    async fn end(&mut self, path: &Path, batch: &Batch) -> Result<(), RetainError> {
        let slots = batch.slots();
        self.ledger.store().deks_delete(&slots).await?;
        self.ledger.keys_forget(&slots);
        self.batches += 1;
        if self.options.stop_after == Some(self.batches) {
            return Err(RetainError::Stopped);
        }
        if !self.is_said(batch).await? {
            let kind = "retention.completed";
            self.ledger.record_own(kind, None, batch.data(), self.options.actor, self.options.now).await?;
        }
        self.report.keys += batch.keys.len() as u64;
        fs::remove_file(path).map_err(self.failed())
    }

    async fn is_said(&self, batch: &Batch) -> Result<bool, RetainError> {
        let root = batch.data();
        let mut first = batch.size;
        while first < self.ledger.size() {
            let end = self.ledger.size().min(first + READ_ENTRIES);
            for (position, bytes) in self.ledger.store().entries_from(first, end).await? {
                if EntryRef::decode(&bytes).is_ok_and(|entry| entry.event_type == "retention.completed") {
                    let opened = self.ledger.open_entry(position).await?;
                    let public = opened.plaintext(PartKind::Public).unwrap_or_default();
                    let said: Value = serde_json::from_slice(public).unwrap_or_default();
                    if said.pointer("/data/keys_root") == root.get("keys_root") {
                        return Ok(true);
                    }
                }
            }
            first = end;
        }
        Ok(false)
    }

    async fn empty(&self) -> Result<(), RetainError> {
        for _ in 0..WAL_TRIES {
            if self.ledger.store().wal_emptied().await? {
                return Ok(());
            }
            tokio::time::sleep(WAL_PAUSE).await;
        }
        Err(RetainError::WalBusy)
    }
}
