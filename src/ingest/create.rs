//! Making a ledger: its secrets, its row, and position 0, `ledger.created`, which names its origin and public key.

use std::sync::Arc;

use serde_json::json;

use super::ledger::{Ledger, LedgerOptions, OpenError};
use super::link::link;
use super::seal::{Admitted, Cause, Content, PlainPart, SealEventError, seal};
use super::secrets::LedgerSecrets;
use super::tree::TreeState;
use crate::chain::entry::{EntryError, FORMAT};
use crate::crypto::keyring::Keyring;
use crate::domain::ids::{EventId, LedgerId, PrincipalId, uuid_v7};
use crate::domain::parts::PartKind;
use crate::domain::time::Timestamp;
use crate::runtime::{Clock, Randomness, Tasks};
use crate::schema::Registry;
use crate::store::{LedgerRow, Store};

/// What a new ledger is to be.
#[derive(Debug, Clone)]
pub struct NewLedger {
    /// Its id.
    pub id: LedgerId,
    /// Its origin name, fixed for ever.
    pub origin: String,
    /// Whether its clock is the caller's.
    pub scratch: bool,
    /// When its history begins, on a scratch ledger; `None` is now.
    pub begins: Option<Timestamp>,
}

/// Principal of the service itself, as entries name their actor.
pub const SERVICE: PrincipalId = PrincipalId::from_bytes([0; 16]);

impl Ledger {
    /// Makes a ledger and opens it.
    ///
    /// # Errors
    /// [`OpenError::Exists`] when it exists; else what the store or the keyring refuses.
    pub async fn create(
        new: NewLedger,
        options: LedgerOptions,
        keyring: Arc<Keyring>,
        clock: Clock,
        random: Randomness,
        tasks: Tasks,
    ) -> Result<Arc<Ledger>, OpenError> {
        let store = Store::open(&options.location, new.id).await?;
        if store.ledger_row().await?.is_some() {
            return Err(OpenError::Exists(new.id));
        }
        LedgerSecrets::create(&store, &keyring, &random).await?;
        let secrets = LedgerSecrets::open(&store, &keyring).await?;
        let recorded = new.begins.unwrap_or_else(|| clock.now());
        genesis(&store, &secrets, &new, recorded, &random).await?;
        // Last, so that a creation cut short leaves no ledger that could be opened.
        let row = LedgerRow { ledger: new.id, origin: new.origin, scratch: new.scratch, created: recorded };
        store.ledger_insert(&row).await?;
        store.close().await;
        Ledger::open(new.id, options, keyring, clock, random, tasks).await
    }
}

async fn genesis(
    store: &Store,
    secrets: &LedgerSecrets,
    new: &NewLedger,
    recorded: Timestamp,
    random: &Randomness,
) -> Result<(), OpenError> {
    let fail = |what: String| OpenError::Log { position: 0, what };
    let registry = Registry::builtin()?;
    let schema = registry.current("ledger.created").ok_or_else(|| fail("no schema for ledger.created".to_owned()))?;
    let data = json!({
        "ledger": new.id.to_string(),
        "origin": new.origin,
        "public_key": data_encoding::BASE64.encode(&secrets.log.public()),
        "format": FORMAT,
        "scratch": new.scratch,
    });
    if let Err(problems) = schema.validate(&data) {
        return Err(fail(format!("origin or key do not fit the schema: {problems:?}")));
    }
    let event = EventId::from_bytes(uuid_v7(recorded.unix_ms(), random.bytes()));
    let admitted = Admitted {
        event,
        schema: Arc::clone(schema),
        subject: None,
        actor: SERVICE,
        cause: Cause::None,
        corrects: None,
        dedupe: secrets.dedupe.dedupe_own(&event),
        parts: vec![PlainPart {
            kind: PartKind::Public,
            class: schema.class,
            key: None,
            content: Content::Json(json!({ "data": data })),
        }],
        binds: Vec::new(),
        bare_refs: Vec::new(),
        item: None,
        reply: None,
    };
    let sealed = seal(new.id, &mut random.fork(), admitted).map_err(|error: SealEventError| fail(error.to_string()))?;
    let linked = link(None, &TreeState::default(), recorded, vec![sealed], |_| Ok::<_, EntryError>(None))
        .map_err(|error| fail(error.to_string()))?;
    store.append(linked.batch).await.map_err(|error| fail(error.to_string()))
}
