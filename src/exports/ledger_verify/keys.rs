//! Keys for opening parts while verifying: from the vault, without an open ledger.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::VerifyError;
use crate::crypto::derive::Dek;
use crate::crypto::keyring::Keyring;
use crate::ingest::data_keys::DataKeys;
use crate::runtime::Clock;
use crate::store::{DekSlot, Store};

/// Whoever has data keys.
pub trait PartKeys: Send + Sync {
    /// The keys of `slots`, in order; none where there is no key (any more).
    fn find<'a>(&'a self, slots: &'a [DekSlot]) -> BoxFuture<'a, Result<Vec<Option<Dek>>, VerifyError>>;
}

/// The keys of a vault that a keyring opens.
pub struct VaultKeys {
    keys: DataKeys,
    store: Store,
    keyring: Arc<Keyring>,
    clock: Clock,
}

impl VaultKeys {
    /// The keys of this store's ledger.
    pub fn new(store: Store, keyring: Arc<Keyring>, clock: Clock) -> VaultKeys {
        let ages = store.engine() == "postgres";
        VaultKeys { keys: DataKeys::new(store.ledger(), ages), store, keyring, clock }
    }
}

impl PartKeys for VaultKeys {
    fn find<'a>(&'a self, slots: &'a [DekSlot]) -> BoxFuture<'a, Result<Vec<Option<Dek>>, VerifyError>> {
        Box::pin(async move {
            let found = self.keys.find(&self.store, &self.keyring, &self.clock, slots).await;
            found.map_err(|error| VerifyError::Keys(error.to_string()))
        })
    }
}
