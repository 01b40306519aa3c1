//! Publishing checkpoints: signed, written durably, then released.
//!
//! Order: (1) size and root of one moment; (2) signature; (3) the file `checkpoint` in the ledger's folder, synced and
//! renamed (and a row, on Postgres); (4) the archive, if there is one; (5) release to proofs, routes and witnesses. Nothing
//! leaves the process before (3) and (4): after a crash the start finds at least what anybody may have seen, and a log that
//! is behind it is refused instead of signed over.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::blob::Archive;
use crate::chain::checkpoint::{Checkpoint, CheckpointError};
use crate::chain::note::{KeyKind, NoteError, VerifierKey};
use crate::crypto::hash::Digest;
use crate::ingest::{Ledger, OpenError};

/// Least time between two checkpoints: a commit is covered at most this much and one write later.
const INTERVAL: Duration = Duration::from_millis(300);

/// A checkpoint that has left the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Entries covered.
    pub size: u64,
    /// Root over them.
    pub root: Digest,
    /// The signed note.
    pub note: String,
}

/// Why a checkpoint was not published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The note cannot be made.
    #[error("note")]
    Note(#[from] NoteError),
    /// The file cannot be written.
    #[error("cannot write {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The row cannot be written.
    #[error("store")]
    Store(#[from] crate::store::StoreError),
    /// The archive is behind.
    #[error("archive")]
    Archive(#[from] super::archive::ArchiveError),
}

/// The published checkpoints of one ledger. Cheap to clone.
#[derive(Clone)]
pub struct Checkpoints {
    latest: watch::Receiver<Option<Arc<Published>>>,
}

impl Checkpoints {
    /// Checks what was published before against the log and starts the publisher.
    ///
    /// # Errors
    /// [`OpenError::Rollback`] when the log is behind a published checkpoint or has another root at its size.
    pub async fn start(ledger: &Arc<Ledger>, archive: Option<Arc<Archive>>) -> Result<Checkpoints, OpenError> {
        let mut known = None;
        if let Some((note, from)) = last_known(ledger, archive.as_deref()).await? {
            known = Some(check_known(ledger, &note, from).await?);
        }
        let (sender, latest) = watch::channel(known);
        let publisher = Publisher { ledger: Arc::clone(ledger), archive, sender };
        ledger.tasks.spawn(publisher.run());
        Ok(Checkpoints { latest })
    }

    /// The newest published checkpoint.
    pub fn latest(&self) -> Option<Arc<Published>> {
        self.latest.borrow().clone()
    }

    /// Waits for a published checkpoint of at least `size` entries; `None` when `timeout` passes first.
    pub async fn wait_for(&self, size: u64, timeout: Duration) -> Option<Arc<Published>> {
        let mut latest = self.latest.clone();
        let covered = |published: &Option<Arc<Published>>| published.as_ref().is_some_and(|found| found.size >= size);
        let found = tokio::time::timeout(timeout, latest.wait_for(covered)).await;
        found.ok()?.ok()?.as_ref().map(Arc::clone)
    }
}

/// The log key as readers hold it.
///
/// # Errors
/// [`NoteError`] when the origin cannot name a key.
pub fn verifier_key(ledger: &Ledger) -> Result<VerifierKey, NoteError> {
    VerifierKey::new(&ledger.origin, KeyKind::Ed25519, ledger.log_signer().public())
}

fn checkpoint_file(ledger: &Ledger) -> PathBuf {
    ledger.folder.join("checkpoint")
}

/// The largest checkpoint that this log is known to have published, and where that is written.
async fn last_known(ledger: &Ledger, archive: Option<&Archive>) -> Result<Option<(String, &'static str)>, OpenError> {
    let mut notes = Vec::new();
    match fs::read_to_string(checkpoint_file(ledger)) {
        Ok(note) => notes.push((note, "the checkpoint file")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(OpenError::Rollback(format!("the checkpoint file cannot be read: {error}"))),
    }
    if let Some((_, note)) = ledger.store().checkpoint_last().await? {
        notes.push((note, "the checkpoints table"));
    }
    if let Some(archive) = archive {
        let found = archive.checkpoint(&ledger.id).await;
        let found = found.map_err(|error| OpenError::Rollback(format!("the archive cannot be asked: {error}")))?;
        notes.extend(found.map(|note| (note, "the archive")));
    }
    let size = |note: &str| note.lines().nth(1).and_then(|line| line.parse::<u64>().ok()).unwrap_or(u64::MAX);
    Ok(notes.into_iter().max_by_key(|(note, _)| size(note)))
}

async fn check_known(ledger: &Ledger, note: &str, from: &'static str) -> Result<Arc<Published>, OpenError> {
    let refuse = |why: String| OpenError::Rollback(format!("{from} {why}"));
    // Any key that the log named: the newest may be newer than what was published.
    let keys = ledger.log_public_keys().into_iter().map(|key| VerifierKey::new(&ledger.origin, KeyKind::Ed25519, key));
    let keys = keys.collect::<Result<Vec<_>, _>>().map_err(|error| refuse(format!("has no key: {error}")))?;
    let (checkpoint, _) = Checkpoint::open(note.as_bytes(), &keys)
        .map_err(|error: CheckpointError| refuse(format!("does not open: {error}")))?;
    if checkpoint.origin != ledger.origin {
        return Err(refuse(format!("is of the log {}", checkpoint.origin)));
    }
    if checkpoint.size > ledger.size() {
        // Another server may have appended and published since this one read the log.
        ledger.follow().await?;
    }
    if checkpoint.size > ledger.size() {
        return Err(refuse(format!("covers {} entries, the log holds {}", checkpoint.size, ledger.size())));
    }
    let root = ledger.root_at(checkpoint.size).await.map_err(|error| refuse(error.to_string()))?;
    if root != checkpoint.root {
        return Err(refuse(format!("has another root at size {} than the log", checkpoint.size)));
    }
    Ok(Arc::new(Published { size: checkpoint.size, root, note: note.to_owned() }))
}

struct Publisher {
    ledger: Arc<Ledger>,
    archive: Option<Arc<Archive>>,
    sender: watch::Sender<Option<Arc<Published>>>,
}

impl Publisher {
    async fn run(self) {
        let mut head = self.ledger.head_watch();
        head.mark_changed();
        loop {
            tokio::select! {
                changed = head.changed() => if changed.is_err() { return },
                () = self.ledger.tasks.stopping() => {
                    // What was acknowledged last is to be covered too.
                    self.publish_or_log().await;
                    return;
                }
            }
            self.publish_or_log().await;
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                () = self.ledger.tasks.stopping() => {}
            }
        }
    }

    async fn publish_or_log(&self) {
        if let Err(error) = self.publish().await {
            tracing::error!(error = %error, source = ?std::error::Error::source(&error), "checkpoint.publish failed");
            metrics::counter!("tallystick_checkpoint_failures_total").increment(1);
        }
    }

    async fn publish(&self) -> Result<(), PublishError> {
        if !self.ledger.is_leader() {
            return Ok(());
        }
        let (size, root) = self.ledger.root_now();
        if self.sender.borrow().as_ref().is_some_and(|last| last.size >= size) {
            return Ok(());
        }
        let signers = self.ledger.log_signers();
        let note = Checkpoint::new(&self.ledger.origin, size, root)?
            .sign(&signers.iter().map(Arc::as_ref).collect::<Vec<_>>())?
            .to_string();
        if let Some(archive) = &self.archive {
            // With an archive nothing leaves for sizes that it does not hold yet.
            super::archive::extend(&self.ledger, archive, size, &note).await?;
        }
        let path = checkpoint_file(&self.ledger);
        write_durably(&path, note.as_bytes()).map_err(|source| PublishError::File { path, source })?;
        let store = self.ledger.store();
        if store.engine() == "postgres" {
            store.checkpoint_insert(size, &note).await?;
        }
        self.sender.send_replace(Some(Arc::new(Published { size, root, note })));
        Ok(())
    }
}

/// Writes a file so that a crash leaves the old one or the new one.
pub fn write_durably(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
