//! Data keys for sealing and opening: found in a bounded cache or the vault, minted in sets.
//!
//! A person's first event of a quarter mints the keys of all common classes at once: the rows lie side by side in the
//! vault, so later events of that person read and never write. The appender waits until minted keys are durable before it
//! commits an entry that cites them; sealing does not wait. Only the lane mints, so no key can appear behind an erasure's
//! fence.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::crypto::derive::Dek;
use crate::crypto::keyring::{Keyring, KeyringError, Wrapped};
use crate::crypto::secret::Secret;
use crate::domain::ids::LedgerId;
use crate::domain::parts::RetentionClass;
use crate::runtime::{Clock, Randomness};
use crate::store::index::{IdMap, IdSet};
use crate::store::{DekRow, DekSlot, NO_OWNER, Store, StoreError};

use super::secrets::dek_context;

/// Classes whose keys are minted together for a person.
const PERSON_CLASSES: [RetentionClass; 5] = [
    RetentionClass::Consent,
    RetentionClass::Contact,
    RetentionClass::Profile,
    RetentionClass::Billing,
    RetentionClass::Raw,
];
/// Keys kept unwrapped: 56 bytes each and the table's slack, some 60 MB.
const CACHE_KEYS_MAX: usize = 600_000;
/// After this an unwrapped key is looked up again, so that a key destroyed by another server dies here too.
const CACHE_AGE_MAX: Duration = Duration::from_secs(60);

/// Why a key cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum DataKeyError {
    /// The vault failed.
    #[error("vault")]
    Store(#[from] StoreError),
    /// A key does not unwrap.
    #[error("a data key cannot be wrapped or unwrapped")]
    Keyring(#[from] KeyringError),
    /// A key that an entry needs is not in the vault: destroyed, or never there.
    #[error("a data key is not in the vault")]
    Absent,
}

struct Cached {
    key: Secret<32>,
    loaded: Duration,
}

/// The data keys of one ledger.
pub struct DataKeys {
    ledger: LedgerId,
    cache: Mutex<IdMap<DekSlot, Cached>>,
    ages: bool,
}

impl DataKeys {
    /// An empty cache. `ages` is `true` where other servers may destroy keys (Postgres).
    pub fn new(ledger: LedgerId, ages: bool) -> DataKeys {
        DataKeys { ledger, cache: Mutex::new(IdMap::default()), ages }
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, IdMap<DekSlot, Cached>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets every key of an owner, at erasure.
    pub fn evict_owner(&self, owner: &[u8; 16]) {
        self.cache().retain(|slot, _| slot.owner != *owner);
    }

    /// Forgets every key of several owners.
    pub fn evict_owners(&self, owners: &std::collections::HashSet<[u8; 16]>) {
        self.cache().retain(|slot, _| !owners.contains(&slot.owner));
    }

    /// The keys of `slots` that are at hand, one look at the cache for all.
    fn cached(&self, slots: &[DekSlot], now: Duration) -> Vec<Option<Dek>> {
        let fresh = |found: &Cached| !self.ages || now.saturating_sub(found.loaded) < CACHE_AGE_MAX;
        let keys: Vec<Option<Secret<32>>> = {
            let cache = self.cache();
            slots
                .iter()
                .map(|slot| cache.get(slot).filter(|found| fresh(found)).map(|found| Secret::new(*found.key.expose())))
                .collect()
        };
        keys.iter().map(|key| key.as_ref().map(Dek::new)).collect()
    }

    fn remember(&self, slot: DekSlot, key: Secret<32>, now: Duration) {
        let mut cache = self.cache();
        if cache.len() >= CACHE_KEYS_MAX {
            // Hash order is as good as random: dropping an eighth keeps hot keys at worst a few milliseconds away.
            let mut kept = 0usize;
            cache.retain(|slot, _| {
                kept += 1;
                slot.owner == NO_OWNER || !kept.is_multiple_of(8)
            });
        }
        cache.insert(slot, Cached { key, loaded: now });
    }

    /// Opens the keys of `slots` that exist, in the order asked; `None` where there is none.
    pub async fn find(
        &self,
        store: &Store,
        keyring: &Keyring,
        clock: &Clock,
        slots: &[DekSlot],
    ) -> Result<Vec<Option<Dek>>, DataKeyError> {
        let now = clock.elapsed();
        let mut found = self.cached(slots, now);
        let missing: Vec<usize> = (0..slots.len()).filter(|at| found.get(*at).is_some_and(Option::is_none)).collect();
        let asked: Vec<DekSlot> = missing.iter().filter_map(|at| slots.get(*at).copied()).collect();
        for (index, row) in store.deks_at(&asked).await? {
            let (Some(at), Some(slot)) = (missing.get(index), asked.get(index)) else {
                return Err(DataKeyError::Absent);
            };
            let wrapped = Wrapped { epoch: row.epoch, bytes: row.wrapped };
            let key = keyring.unwrap_key(&dek_context(&self.ledger, slot), &wrapped)?;
            if let Some(place) = found.get_mut(*at) {
                *place = Some(Dek::new(&key));
            }
            self.remember(*slot, key, now);
        }
        Ok(found)
    }

    /// Forgets all keys: what was minted may not have become durable.
    pub fn clear(&self) {
        self.cache().clear();
    }

    /// Opens the keys of `slots`, minting what is missing. `new_owners` says which owners cannot have keys yet, so that
    /// the vault is not asked about them. The rows returned must be stored, all of them, before an entry cites their keys:
    /// where the vault has another key for a slot already, another server minted it, and what was sealed is sealed anew.
    pub async fn find_or_mint(
        &self,
        store: &Store,
        keyring: &Keyring,
        clock: &Clock,
        random: &Randomness,
        wanted: &Wanted,
    ) -> Result<(IdMap<DekSlot, Dek>, Vec<(DekSlot, DekRow)>), DataKeyError> {
        let (fresh, known): (Vec<DekSlot>, Vec<DekSlot>) =
            wanted.slots.iter().partition(|slot| wanted.new_owners.contains(&slot.owner));
        let found = self.find(store, keyring, clock, &known).await?;
        let mut deks: IdMap<DekSlot, Dek> = IdMap::with_capacity_and_hasher(wanted.slots.len(), Default::default());
        let mut mint: Vec<DekSlot> = Vec::new();
        for (slot, dek) in known.into_iter().zip(found) {
            match dek {
                Some(dek) => {
                    deks.insert(slot, dek);
                }
                None => self.mint_set(&mut mint, slot),
            }
        }
        for slot in fresh {
            self.mint_set(&mut mint, slot);
        }
        mint.sort_unstable();
        mint.dedup();
        mint.retain(|slot| !deks.contains_key(slot));
        let now = clock.elapsed();
        let mut rows = Vec::with_capacity(mint.len());
        let mut minted = Vec::with_capacity(mint.len());
        for slot in mint {
            let key = Secret::new(random.bytes::<32>());
            let wrapped = keyring.wrap(&dek_context(&self.ledger, &slot), key.expose(), random.bytes());
            let dek = Dek::new(&key);
            rows.push((slot, DekRow { key: dek.id(), epoch: wrapped.epoch, wrapped: wrapped.bytes }));
            minted.push((slot, key, dek));
        }
        for (slot, key, dek) in minted {
            self.remember(slot, key, now);
            deks.insert(slot, dek);
        }
        Ok((deks, rows))
    }

    fn mint_set(&self, mint: &mut Vec<DekSlot>, slot: DekSlot) {
        let common = PERSON_CLASSES.iter().any(|class| class.code() == slot.class);
        if slot.owner == NO_OWNER || !common {
            mint.push(slot);
        } else {
            mint.extend(PERSON_CLASSES.iter().map(|class| DekSlot { class: class.code(), ..slot }));
        }
    }
}

/// Keys that a batch needs.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Each once.
    pub slots: IdSet<DekSlot>,
    /// Owners minted in this batch.
    pub new_owners: IdSet<[u8; 16]>,
}
