//! Who calls: API keys of one ledger, in memory.
//!
//! Promises: a presented key is compared by its keyed hash only and never kept; a revoked key is refused from the moment
//! its revocation is stored on this server, and within [`REFRESH`] on the others of one database.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use crate::crypto::blind::MacKey;
use crate::crypto::hash::{Digest, sha256};
use crate::crypto::token;
use crate::domain::ids::PrincipalId;
use crate::policy::access::Role;
use crate::store::{Store, StoreError};

/// After how long another server's changes are read again.
pub const REFRESH: Duration = Duration::from_secs(10);
/// Presented keys that are remembered by their digest, to save the keyed hash.
const CACHE_MAX: usize = 4_096;

/// A key's owner and what it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Opaque id, as entries name their actor.
    pub principal: PrincipalId,
    /// Its role.
    pub role: Role,
}

/// Live API keys of one ledger.
#[derive(Debug, Default)]
pub struct Keys {
    by_hash: RwLock<HashMap<[u8; 32], Known>>,
    /// By SHA-256 of the presented text: keys are random, so the digest reveals nothing that could be guessed.
    presented: RwLock<HashMap<Digest, Known>>,
    /// Keys that no store knows.
    of_this_run: RwLock<Vec<([u8; 32], Known)>>,
    loaded_ms: AtomicU64,
}

impl Keys {
    /// Reads the keys that are not revoked. A role that this version does not know gives no rights.
    ///
    /// # Errors
    /// What the store answers; the keys known so far stay.
    pub async fn load(&self, store: &Store, elapsed: Duration) -> Result<(), StoreError> {
        let rows = store.principals().await?;
        let mut by_hash = HashMap::with_capacity(rows.len());
        for row in rows.into_iter().filter(|row| row.revoked.is_none()) {
            match row.role.parse() {
                Ok(role) => {
                    by_hash.insert(row.hash, Known { principal: row.principal, role });
                }
                Err(unknown) => tracing::warn!(principal = %row.principal, error = %unknown, "access.key ignored"),
            }
        }
        by_hash.extend(self.of_this_run.read().unwrap_or_else(PoisonError::into_inner).iter().copied());
        let mut live = self.by_hash.write().unwrap_or_else(PoisonError::into_inner);
        if *live != by_hash {
            *live = by_hash;
            self.presented.write().unwrap_or_else(PoisonError::into_inner).clear();
        }
        self.loaded_ms.store(millis(elapsed), Ordering::Relaxed);
        Ok(())
    }

    /// Takes a key that lives as long as this process.
    pub fn keep_for_this_run(&self, hash: [u8; 32], known: Known) {
        self.of_this_run.write().unwrap_or_else(PoisonError::into_inner).push((hash, known));
        self.by_hash.write().unwrap_or_else(PoisonError::into_inner).insert(hash, known);
    }

    /// Whether it is time to read the keys again; says so once per period.
    pub fn is_due(&self, elapsed: Duration) -> bool {
        let loaded = self.loaded_ms.load(Ordering::Relaxed);
        let now = millis(elapsed);
        now.saturating_sub(loaded) > millis(REFRESH)
            && self.loaded_ms.compare_exchange(loaded, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// The owner of a presented key.
    pub fn find(&self, text: &str, pepper: &MacKey) -> Option<Known> {
        let digest = sha256(text.as_bytes());
        if let Some(known) = self.presented.read().unwrap_or_else(PoisonError::into_inner).get(&digest) {
            return Some(*known);
        }
        let key = token::parse(text).ok()?;
        let hash = token::hash(pepper, &key);
        // Held while the cache is filled: a reload in between would leave a revoked key in it.
        let live = self.by_hash.read().unwrap_or_else(PoisonError::into_inner);
        let known = *live.get(&hash)?;
        let mut presented = self.presented.write().unwrap_or_else(PoisonError::into_inner);
        if presented.len() >= CACHE_MAX {
            presented.clear();
        }
        presented.insert(digest, known);
        Some(known)
    }

    /// Whether a principal still has a live key.
    pub fn is_live(&self, principal: PrincipalId) -> bool {
        self.by_hash.read().unwrap_or_else(PoisonError::into_inner).values().any(|known| known.principal == principal)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
