//! A ledger's own secrets: the keys of its keyed hashes and its log-signing key. Random, kept wrapped in the vault,
//! rewrapped when the KEK changes, never changed themselves.

use std::sync::Arc;

use crate::crypto::blind::MacKey;
use crate::crypto::cbor;
use crate::crypto::keyring::{Keyring, KeyringError, Wrapped};
use crate::crypto::secret::Secret;
use crate::crypto::sign::SigningKey;
use crate::domain::ids::LedgerId;
use crate::runtime::Randomness;
use crate::store::{DekRow, DekSlot, SecretRow, Store, StoreError};

/// Names of the secrets, in the vault and in their wrapping context.
const NAMES: [&str; 6] = ["dedupe", "ref", "blind", "suppression", "pepper", "log"];

/// Data keys wrapped anew in one transaction.
const REWRAP_ROWS: i64 = 500;

/// What wrapping anew did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewrapped {
    /// Keys that are under the newest epoch now and were not before.
    pub rewrapped: u64,
    /// Keys that are still under an older one.
    pub remaining: u64,
}

/// Why a ledger's secrets cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The vault lacks one.
    #[error("the vault lacks the secret {0}")]
    Missing(&'static str),
    /// The keyring cannot open one: the KEK is not the one that wrapped it.
    #[error("secret {name} cannot be unwrapped")]
    Unwrap {
        /// Its name.
        name: &'static str,
        /// The keyring's reason.
        source: KeyringError,
    },
    /// The vault cannot be read or written.
    #[error("vault")]
    Store(#[from] StoreError),
}

/// Opened secrets of one ledger.
pub struct LedgerSecrets {
    /// Keyed hash of (source, id): duplicates.
    pub dedupe: MacKey,
    /// Keyed hash of clients' record ids.
    pub refs: MacKey,
    /// Keyed hash of identifiers: the blind index.
    pub blind: MacKey,
    /// Keyed hash that outlives erasure: suppression.
    pub suppression: MacKey,
    /// Keyed hash of API keys.
    pub pepper: MacKey,
    /// The log's first key; [`super::log_key`] says which one signs.
    pub log: Arc<SigningKey>,
}

fn context(ledger: &LedgerId, name: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    cbor::array(&mut out, 3);
    cbor::text(&mut out, "secret");
    cbor::bytes(&mut out, ledger.as_bytes());
    cbor::text(&mut out, name);
    out
}

/// Wrapping context of a data key: it opens for this ledger, owner, class and quarter only.
pub(super) fn dek_context(ledger: &LedgerId, slot: &DekSlot) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    cbor::array(&mut out, 5);
    cbor::text(&mut out, "dek");
    cbor::bytes(&mut out, ledger.as_bytes());
    cbor::bytes(&mut out, &slot.owner);
    cbor::uint(&mut out, slot.class.into());
    cbor::uint(&mut out, slot.quarter.into());
    out
}

impl LedgerSecrets {
    /// Draws all secrets of a new ledger and stores them wrapped.
    pub async fn create(store: &Store, keyring: &Keyring, random: &Randomness) -> Result<(), SecretsError> {
        for name in NAMES {
            let secret = Secret::new(random.bytes::<32>());
            let wrapped = keyring.wrap(&context(&store.ledger(), name), secret.expose(), random.bytes());
            let row = SecretRow { name: name.to_owned(), version: 1, epoch: wrapped.epoch, wrapped: wrapped.bytes };
            store.secret_insert(&row).await?;
        }
        Ok(())
    }

    /// Opens the newest version of every secret.
    pub async fn open(store: &Store, keyring: &Keyring) -> Result<LedgerSecrets, SecretsError> {
        let rows = store.secrets().await?;
        let open = |name: &'static str| -> Result<Secret<32>, SecretsError> {
            let row = rows.iter().rev().find(|row| row.name == name).ok_or(SecretsError::Missing(name))?;
            let wrapped = Wrapped { epoch: row.epoch, bytes: row.wrapped.clone() };
            keyring
                .unwrap_key(&context(&store.ledger(), name), &wrapped)
                .map_err(|source| SecretsError::Unwrap { name, source })
        };
        let mac = |name| open(name).map(MacKey::new);
        Ok(LedgerSecrets {
            dedupe: mac("dedupe")?,
            refs: mac("ref")?,
            blind: mac("blind")?,
            suppression: mac("suppression")?,
            pepper: mac("pepper")?,
            log: Arc::clone(Self::log_keys(store, keyring).await?.first().ok_or(SecretsError::Missing("log"))?),
        })
    }

    /// Every version of the log key, oldest first.
    pub(super) async fn log_keys(store: &Store, keyring: &Keyring) -> Result<Vec<Arc<SigningKey>>, SecretsError> {
        let rows = store.secrets().await?;
        let rows = rows.into_iter().filter(|row| row.name == "log");
        rows.map(|row| {
            let wrapped = Wrapped { epoch: row.epoch, bytes: row.wrapped };
            let seed = keyring.unwrap_key(&context(&store.ledger(), "log"), &wrapped);
            let seed = seed.map_err(|source| SecretsError::Unwrap { name: "log", source })?;
            Ok(Arc::new(SigningKey::from_seed(&seed)))
        })
        .collect()
    }

    /// Draws one more log key and stores it wrapped. It signs nothing before an entry hands over to it.
    pub(super) async fn log_key_add(
        store: &Store,
        keyring: &Keyring,
        random: &Randomness,
    ) -> Result<Arc<SigningKey>, SecretsError> {
        let rows = store.secrets().await?;
        let version = rows.iter().filter(|row| row.name == "log").map(|row| row.version).max().unwrap_or(0) + 1;
        let seed = Secret::new(random.bytes::<32>());
        let wrapped = keyring.wrap(&context(&store.ledger(), "log"), seed.expose(), random.bytes());
        let row = SecretRow { name: "log".to_owned(), version, epoch: wrapped.epoch, wrapped: wrapped.bytes };
        store.secret_insert(&row).await?;
        Ok(Arc::new(SigningKey::from_seed(&seed)))
    }

    /// Wraps again, under the newest key-encryption key, every secret and data key of a ledger that an older one wraps.
    /// Returns how many, and how many are still under an older one. Can be cut short and called again.
    ///
    /// # Errors
    /// [`SecretsError`]; what was wrapped anew stays so.
    pub async fn rewrap(store: &Store, keyring: &Keyring, random: &Randomness) -> Result<Rewrapped, SecretsError> {
        let current = keyring.current_epoch();
        let mut rewrapped = 0;
        for row in store.secrets().await?.into_iter().filter(|row| row.epoch != current) {
            let name = NAMES.iter().find(|name| **name == row.name).ok_or(SecretsError::Missing("a known name"))?;
            let context = context(&store.ledger(), name);
            let fail = |source| SecretsError::Unwrap { name, source };
            let old = Wrapped { epoch: row.epoch, bytes: row.wrapped };
            let secret = keyring.unwrap_key(&context, &old).map_err(fail)?;
            let wrapped = keyring.wrap(&context, secret.expose(), random.bytes());
            rewrapped += store.secret_rewrap(&row.name, row.version, row.epoch, wrapped.epoch, &wrapped.bytes).await?;
        }
        let mut after = None;
        loop {
            let rows = store.deks_page(after, current, REWRAP_ROWS).await?;
            let Some((last, _)) = rows.last() else { break };
            after = Some(*last);
            let mut changed = Vec::with_capacity(rows.len());
            for (slot, row) in rows {
                let context = dek_context(&store.ledger(), &slot);
                let old = Wrapped { epoch: row.epoch, bytes: row.wrapped };
                let fail = |source| SecretsError::Unwrap { name: "data key", source };
                let secret = keyring.unwrap_key(&context, &old).map_err(fail)?;
                let wrapped = keyring.wrap(&context, secret.expose(), random.bytes());
                changed.push((slot, old.epoch, DekRow { key: row.key, epoch: wrapped.epoch, wrapped: wrapped.bytes }));
            }
            rewrapped += store.deks_rewrap(&changed).await?;
        }
        Ok(Rewrapped { rewrapped, remaining: store.keys_remaining(current).await? })
    }
}
