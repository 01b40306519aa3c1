//! A ledger's own secrets: the keys of its keyed hashes and its log-signing key. Random, kept wrapped in the vault,
//! rewrapped when the KEK changes, never changed themselves.

use crate::crypto::blind::MacKey;
use crate::crypto::cbor;
use crate::crypto::keyring::{Keyring, KeyringError, Wrapped};
use crate::crypto::secret::Secret;
use crate::crypto::sign::SigningKey;
use crate::domain::ids::LedgerId;
use crate::runtime::Randomness;
use crate::store::{DekSlot, SecretRow, Store, StoreError};

/// Names of the secrets, in the vault and in their wrapping context.
const NAMES: [&str; 6] = ["dedupe", "ref", "blind", "suppression", "pepper", "log"];

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
    /// Signs checkpoints.
    pub log: SigningKey,
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
            log: SigningKey::from_seed(&open("log")?),
        })
    }
}
