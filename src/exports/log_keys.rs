//! The keys that a log names as its own: in `ledger.created`, and wherever it changed.
//!
//! Promises: a key is taken only if the one before it hands over, in an entry of the same log. What a log says of itself
//! shows that it is of one piece, not whose it is: for that a reader brings the key from elsewhere. Must never be asked to
//! vouch for a key that no entry names.

use data_encoding::BASE64;
use serde::Deserialize;

use crate::chain::entry::{EntryRef, LEDGER_CREATED};
use crate::chain::note::{KeyKind, VerifierKey};
use crate::domain::ids::LedgerId;
use crate::exports::parts::data_of;

/// Type of the entry by which a key hands over to the next.
pub const KEY_ROTATED: &str = "log.key_rotated";

/// Whether entries of a type name keys of the log.
pub fn is_key_type(event_type: &str) -> bool {
    matches!(event_type, LEDGER_CREATED | KEY_ROTATED)
}

#[derive(Deserialize)]
struct Created {
    ledger: LedgerId,
    origin: String,
    public_key: String,
    format: u32,
    #[serde(default)]
    scratch: bool,
}

#[derive(Deserialize)]
struct Rotated {
    old_public_key: String,
    new_public_key: String,
}

/// Why an entry that names a key cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LogKeyError {
    /// The data is not that of its type.
    #[error("names no key in the form of its type")]
    Form,
    /// The old key is none of the log's.
    #[error("hands over from a key that is not the log's")]
    Unknown,
    /// It speaks of another ledger, or of another format.
    #[error("is about another ledger or another format")]
    Ledger,
}

/// The keys of a log, as far as its entries were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogKeys {
    origin: String,
    scratch: bool,
    keys: Vec<VerifierKey>,
}

impl LogKeys {
    /// Takes an entry of one of the types, in order of position, with its public part.
    ///
    /// # Errors
    /// [`LogKeyError`]; nothing changes then.
    pub fn take(&mut self, entry: &EntryRef<'_>, public: &[u8]) -> Result<(), LogKeyError> {
        match entry.event_type {
            // A later one continues a restored log under a new origin, with a new key.
            LEDGER_CREATED => {
                let created: Created = data_of(public).map_err(|_| LogKeyError::Form)?;
                if created.ledger != entry.ledger || created.format != crate::chain::entry::FORMAT {
                    return Err(LogKeyError::Ledger);
                }
                let key = key_of(&created.origin, &created.public_key)?;
                *self = LogKeys { origin: created.origin, scratch: created.scratch, keys: vec![key] };
                Ok(())
            }
            KEY_ROTATED => {
                let rotated: Rotated = data_of(public).map_err(|_| LogKeyError::Form)?;
                let old = key_of(&self.origin, &rotated.old_public_key)?;
                if !self.keys.contains(&old) {
                    return Err(LogKeyError::Unknown);
                }
                self.keys.push(key_of(&self.origin, &rotated.new_public_key)?);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The origin that the log gives itself; empty before `ledger.created` was taken.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether the log calls itself a scratch ledger.
    pub const fn scratch(&self) -> bool {
        self.scratch
    }

    /// The keys, oldest first.
    pub fn keys(&self) -> &[VerifierKey] {
        &self.keys
    }
}

fn key_of(origin: &str, public_key: &str) -> Result<VerifierKey, LogKeyError> {
    let public = BASE64.decode(public_key.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
    VerifierKey::new(origin, KeyKind::Ed25519, public.ok_or(LogKeyError::Form)?).map_err(|_| LogKeyError::Form)
}
