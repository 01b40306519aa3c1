//! That the log has only grown since a checkpoint that the reader kept: the checkpoint and a consistency proof.
//!
//! Promises: a bundle that holds them verifies only if the kept checkpoint is of this log, signed by its key, and a prefix
//! of the tree that the bundle's own checkpoint signs (RFC 6962 section 2.1.2). Must never take the place of comparing
//! checkpoints with others: both could be of a log that only this reader is shown.

use serde::{Deserialize, Serialize};

use crate::chain::checkpoint::Checkpoint;
use crate::chain::note::{Note, VerifierKey};
use crate::chain::path::verify_consistency;
use crate::crypto::hash::Digest;

/// Name of the kept checkpoint in a bundle, verbatim.
pub const SINCE_CHECKPOINT: &str = "since/checkpoint";
/// Name of the proof.
pub const SINCE_CONSISTENCY: &str = "since/consistency.json";

/// What a bundle holds of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Since {
    /// The note that the reader named.
    pub note: String,
    /// The proof.
    pub proof: Consistency,
}

/// `since/consistency.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consistency {
    /// Size of the kept checkpoint's tree.
    pub from: u64,
    /// Size of the bundle's checkpoint's tree.
    pub to: u64,
    /// RFC 6962 section 2.1.2; empty if both sizes are equal.
    pub hashes: Vec<Digest>,
}

/// Why a kept checkpoint cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SinceError {
    /// Not a signed checkpoint.
    #[error("the checkpoint named is not a signed checkpoint")]
    Form,
    /// Another origin.
    #[error("the checkpoint named is of another log")]
    Origin,
    /// No good signature by a key of the log.
    #[error("the checkpoint named has no good signature by a key of this log")]
    Signature,
    /// More entries than the log has.
    #[error("the checkpoint named has more entries than this log: the log was rolled back, or is another copy")]
    Ahead,
    /// Not a prefix.
    #[error("the log does not contain the checkpoint named: it was forked or rewritten")]
    Forked,
}

/// Reads a kept checkpoint; its size and root.
///
/// # Errors
/// [`SinceError::Form`] and [`SinceError::Origin`].
pub fn read(note: &str, origin: &str) -> Result<Checkpoint, SinceError> {
    let note = Note::parse(note.as_bytes()).map_err(|_| SinceError::Form)?;
    let checkpoint = Checkpoint::parse_text(note.text()).map_err(|_| SinceError::Form)?;
    if checkpoint.origin == origin { Ok(checkpoint) } else { Err(SinceError::Origin) }
}

impl Since {
    /// Checks the note and the proof against a checkpoint that was verified; the size of the kept one.
    ///
    /// # Errors
    /// [`SinceError`] says what does not hold.
    pub fn verify(&self, newer: &Checkpoint, keys: &[VerifierKey]) -> Result<u64, SinceError> {
        let kept = read(&self.note, &newer.origin)?;
        let note = Note::parse(self.note.as_bytes()).map_err(|_| SinceError::Form)?;
        Checkpoint::verify(&note, keys).map_err(|_| SinceError::Signature)?;
        if kept.size > newer.size {
            return Err(SinceError::Ahead);
        }
        let Consistency { from, to, hashes } = &self.proof;
        let sizes = (*from, *to) == (kept.size, newer.size);
        let holds = verify_consistency(kept.size, newer.size, hashes, &kept.root, &newer.root).is_ok();
        if sizes && holds { Ok(kept.size) } else { Err(SinceError::Forked) }
    }
}
