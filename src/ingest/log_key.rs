//! The key that signs checkpoints, and how it changes: a new key lies in the vault first, then an entry hands over to it,
//! then both sign under the one origin until the stated day is over (design section 3).
//!
//! A key signs only if the log says so: one that lies in the vault without its entry (a rotation cut short) is taken up by
//! the next rotation. The hand-overs are numbered from 0 like registrations of types (`custom_types`): the n-th is the
//! event with the source [`SOURCE`] and the id `n`, so a start finds them in the index and reads nothing else.

use std::sync::{Arc, PoisonError};

use serde::Deserialize;
use serde_json::json;

use super::admit::SubmitOptions;
use super::forms::Received;
use super::ledger::Ledger;
use super::read::ReadError;
use super::receipt::{Outcome, Receipt, SubmitError};
use super::secrets::{LedgerSecrets, Rewrapped, SecretsError};
use crate::chain::decode::EntryRef;
use crate::crypto::sign::SigningKey;
use crate::domain::ids::PrincipalId;
use crate::domain::parts::PartKind;
use crate::domain::time::Timestamp;
use crate::store::index::RunError;

/// CloudEvents source of hand-overs.
const SOURCE: &str = "/tallystick/log-keys";
const ROTATED: &str = "log.key_rotated";
/// Longest overlap that may be asked for, in days.
pub const OVERLAP_DAYS_MAX: u32 = 400;

/// Why the log key cannot be changed or found.
#[derive(Debug, thiserror::Error)]
pub enum LogKeyError {
    /// The vault cannot be read or written.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// The ledger did not take the entry.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The index cannot be read.
    #[error("index")]
    Index(#[from] RunError),
    /// A hand-over cannot be read.
    #[error("hand-over")]
    Read(#[from] ReadError),
    /// The log hands over to a key that the vault does not hold, or not in the form of its type.
    #[error("the log key named at {0} is not in the vault")]
    Absent(u64),
    /// The overlap is too long.
    #[error("an overlap is at most {OVERLAP_DAYS_MAX} days")]
    Overlap,
    /// The schema refuses the reason, or another hand-over came in between.
    #[error("the hand-over was refused: {0}")]
    Refused(String),
}

/// A change of the log key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogKeyRotated {
    /// The entry that hands over.
    pub receipt: Receipt,
    /// The new public key.
    pub public: [u8; 32],
    /// The last instant at which both sign; `None`: only the new one signs from now on.
    pub overlap_until: Option<Timestamp>,
}

/// Who signs.
#[derive(Debug, Clone)]
pub(super) struct LogSigners {
    /// Every key that the log named, oldest first; the last one signs.
    named: Vec<Arc<SigningKey>>,
    /// Until when the one before it signs too.
    overlap_until: Option<Timestamp>,
    /// Number of the next hand-over.
    next: u64,
}

impl LogSigners {
    pub(super) fn first(key: Arc<SigningKey>) -> LogSigners {
        LogSigners { named: vec![key], overlap_until: None, next: 0 }
    }
}

#[derive(Deserialize)]
struct PublicPart {
    data: Rotation,
}

#[derive(Deserialize)]
struct Rotation {
    new_public_key: String,
    #[serde(default)]
    overlap_until: Option<String>,
}

fn end_of(day: &str) -> Option<Timestamp> {
    Timestamp::parse_rfc3339(&format!("{day}T23:59:59.999999Z")).ok()
}

fn text_of(key: &SigningKey) -> String {
    data_encoding::BASE64.encode(&key.public())
}

impl Ledger {
    fn signers(&self) -> LogSigners {
        self.signers.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The key that signs for the log.
    pub fn log_signer(&self) -> Arc<SigningKey> {
        // Never empty: a ledger begins with its first key.
        self.signers().named.last().map_or_else(|| Arc::clone(&self.secrets.log), Arc::clone)
    }

    /// The keys that sign a checkpoint now: two while the log's key changes, the newest first.
    pub fn log_signers(&self) -> Vec<Arc<SigningKey>> {
        let LogSigners { named, overlap_until, .. } = self.signers();
        let count = if overlap_until.is_some_and(|until| self.now() <= until) { 2 } else { 1 };
        named.into_iter().rev().take(count).collect()
    }

    /// Public keys that the log named as its own, oldest first.
    pub fn log_public_keys(&self) -> Vec<[u8; 32]> {
        self.signers().named.iter().map(|key| key.public()).collect()
    }

    /// Wraps every key of the vault under the newest key-encryption key.
    ///
    /// # Errors
    /// [`SecretsError`]; what was wrapped anew stays so, and the next call goes on.
    pub async fn keys_rewrap(&self) -> Result<Rewrapped, SecretsError> {
        LedgerSecrets::rewrap(&self.store(), &self.keyring, &self.random).await
    }

    /// Takes in every hand-over that the log holds and this process does not know yet.
    ///
    /// # Errors
    /// [`LogKeyError::Absent`] when the vault lacks a key that the log names: nothing may be signed then.
    pub async fn log_signers_load(&self) -> Result<(), LogKeyError> {
        let mut signers = self.signers();
        let mut keys = Vec::new();
        loop {
            let dedupe = self.secrets.dedupe.dedupe(SOURCE, &signers.next.to_string());
            let Some(position) = self.index_read().dedupe(&dedupe)? else { break };
            let Some(bytes) = self.store().entry_at(position).await.map_err(ReadError::from)? else { break };
            let entry = EntryRef::decode(&bytes).map_err(|source| ReadError::Entry { position, source })?;
            // A run's word is a candidate only: half of the value may be another event's.
            if entry.dedupe != dedupe {
                break;
            }
            signers.next += 1;
            // Something else was posted under this pair.
            if entry.event_type != ROTATED {
                continue;
            }
            if keys.is_empty() {
                keys = LedgerSecrets::log_keys(&self.store(), &self.keyring).await?;
            }
            let opened = self.open_entry(position).await?;
            let part = opened.plaintext(PartKind::Public).and_then(|bytes| serde_json::from_slice(bytes).ok());
            let PublicPart { data } = part.ok_or(LogKeyError::Absent(position))?;
            let named = keys.iter().find(|key| text_of(key) == data.new_public_key);
            signers.named.push(Arc::clone(named.ok_or(LogKeyError::Absent(position))?));
            signers.overlap_until = data.overlap_until.as_deref().and_then(end_of);
        }
        *self.signers.write().unwrap_or_else(PoisonError::into_inner) = signers;
        Ok(())
    }

    /// Changes the log key. Both sign for `overlap_days` days after today (UTC), so that readers can take the new key while
    /// they still trust the old one; with 0 the old key signs nothing more, as befits one that is lost or known to others.
    ///
    /// # Errors
    /// [`LogKeyError`]; the old key goes on signing then.
    pub async fn log_key_rotate(
        &self,
        reason: &str,
        overlap_days: u32,
        actor: PrincipalId,
        now: Option<Timestamp>,
    ) -> Result<LogKeyRotated, LogKeyError> {
        if overlap_days > OVERLAP_DAYS_MAX {
            return Err(LogKeyError::Overlap);
        }
        let _one_at_a_time = self.rotating.lock().await;
        self.log_signers_load().await?;
        let signers = self.signers();
        let (old, named) = (self.log_signer(), signers.named.len());
        let keys = LedgerSecrets::log_keys(&self.store(), &self.keyring).await?;
        // One that lies there unnamed is of a rotation that was cut short.
        let unnamed = keys.into_iter().find(|key| signers.named.iter().all(|known| known.public() != key.public()));
        let new = match unnamed {
            Some(key) => key,
            None => LedgerSecrets::log_key_add(&self.store(), &self.keyring, &self.random).await?,
        };
        let mut data = json!({ "old_public_key": text_of(&old), "new_public_key": text_of(&new), "reason": reason });
        let day =
            now.unwrap_or_else(|| self.now()).checked_add_days(overlap_days.into()).ok_or(LogKeyError::Overlap)?;
        let day = day.to_string().chars().take(10).collect::<String>();
        if let Some(data) = data.as_object_mut().filter(|_| overlap_days > 0) {
            data.insert("overlap_until".to_owned(), json!(day));
        }
        let event = json!({
            "specversion": "1.0", "id": signers.next.to_string(), "source": SOURCE, "type": ROTATED, "data": data,
        });
        let options = SubmitOptions { actor, strict: true, dry_run: false, now, service: true, closing: None };
        let outcomes = self.submit(vec![Received { raw: event.to_string().into() }], options).await?;
        let receipt = match outcomes.into_iter().next() {
            Some(Outcome::Recorded(receipt)) => receipt,
            Some(Outcome::DryRun { problems, .. }) => {
                let told = problems.first().map(|problem| format!("{}: {}", problem.pointer, problem.detail));
                return Err(LogKeyError::Refused(told.unwrap_or_default()));
            }
            other => return Err(LogKeyError::Refused(format!("{other:?}"))),
        };
        self.log_signers_load().await?;
        let signers = self.signers();
        if signers.named.len() <= named {
            return Err(LogKeyError::Absent(receipt.position));
        }
        Ok(LogKeyRotated { receipt, public: new.public(), overlap_until: signers.overlap_until })
    }
}
