//! Customers' own event types: registered as entries, found again at every start without reading the log.
//!
//! The registrations of a ledger are numbered from 0: the n-th is the event with the source [`SOURCE`] and the id `n`. So
//! the index of duplicates, which knows every (source, id) ever recorded, also knows where each registration stands, on
//! every copy of the log and after every restart. What else was posted under such a pair is passed over.

use serde_json::{Value, json};

use super::admit::SubmitOptions;
use super::forms::Received;
use super::ledger::Ledger;
use super::read::ReadError;
use super::receipt::{Outcome, Receipt, SubmitError};
use crate::chain::decode::EntryRef;
use crate::crypto::hash::{Digest, sha256};
use crate::domain::ids::PrincipalId;
use crate::domain::parts::PartKind;
use crate::domain::time::Timestamp;
use crate::schema::SchemaError;
use crate::store::index::RunError;

/// CloudEvents source of registrations.
pub const SOURCE: &str = "/tallystick/schemas";
const REGISTERED: &str = "schema.registered";
/// Times a registration is tried again because another server took the number meanwhile.
const TRIES: usize = 8;

/// Why types cannot be read back, or a new one not be registered.
#[derive(Debug, thiserror::Error)]
pub enum CustomTypeError {
    /// The schema breaks a rule.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The ledger did not take the registration.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The index cannot be read.
    #[error("index")]
    Index(#[from] RunError),
    /// A registration cannot be opened.
    #[error("registration")]
    Read(#[from] ReadError),
    /// A registration in the log is not one that this program can have written.
    #[error("the registration at {position} does not load: {what}")]
    Registration {
        /// Where.
        position: u64,
        /// Why.
        what: String,
    },
    /// Others kept registering at the same time.
    #[error("other registrations came in between; try again")]
    Busy,
}

/// A registered type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// SHA-256 of the document, as entries name their schema.
    pub digest: Digest,
    /// Its entry; `None` when the very same document was registered before.
    pub receipt: Option<Receipt>,
}

enum Place {
    /// Nothing has this number.
    Free,
    /// Something else was posted under it.
    Other,
    /// A registration, and whether its document could be had.
    Registration(u64, Option<String>),
}

impl Ledger {
    /// Takes in every type that the log registers and this process does not know yet.
    ///
    /// # Errors
    /// [`CustomTypeError`]; the types known so far stay.
    pub async fn custom_types_load(&self) -> Result<(), CustomTypeError> {
        let mut known = self.registering.lock().await;
        *known = self.load_after(*known).await?;
        Ok(())
    }

    /// Registers one more type, or one more version of one. Another registration of the same document is none.
    ///
    /// # Errors
    /// [`CustomTypeError::Schema`] says which rule the document breaks; nothing is recorded then.
    pub async fn schema_register(
        &self,
        document: &str,
        actor: PrincipalId,
        now: Option<Timestamp>,
    ) -> Result<Registered, CustomTypeError> {
        let mut known = self.registering.lock().await;
        let digest = sha256(document.as_bytes());
        for _ in 0..TRIES {
            *known = self.load_after(*known).await?;
            let registry = self.registry();
            if registry.by_digest(&digest).is_some() {
                return Ok(Registered { digest, receipt: None });
            }
            let next = registry.with_custom(document.as_bytes())?;
            let Some(schema) = next.by_digest(&digest) else { return Err(CustomTypeError::Busy) };
            let mut data = json!({
                "type": schema.event_type, "version": schema.version, "sha256": digest, "document": document,
            });
            if let (Some(before), Some(data)) = (registry.current(&schema.event_type), data.as_object_mut()) {
                data.insert("replaces".to_owned(), json!(before.digest));
            }
            let event = json!({
                "specversion": "1.0", "id": known.to_string(), "source": SOURCE, "type": REGISTERED, "data": data,
            });
            let options = SubmitOptions { actor, strict: true, dry_run: false, now, service: true, closing: None };
            let outcomes = self.submit(vec![Received { raw: event.to_string().into() }], options).await?;
            match outcomes.into_iter().next() {
                Some(Outcome::Recorded(receipt)) => {
                    self.registry_set(next);
                    *known += 1;
                    return Ok(Registered { digest, receipt: Some(receipt) });
                }
                // The number was taken meanwhile.
                Some(Outcome::Refused { .. } | Outcome::Duplicate { .. }) => {}
                Some(other) => {
                    return Err(SubmitError::ReadOnly(format!("a registration was refused: {other:?}")).into());
                }
                None => return Err(SubmitError::Stopping.into()),
            }
        }
        Err(CustomTypeError::Busy)
    }

    /// Loads registrations from number `first` on; gives the first free number.
    async fn load_after(&self, first: u64) -> Result<u64, CustomTypeError> {
        let mut number = first;
        loop {
            match self.registration(number).await? {
                Place::Free => return Ok(number),
                Place::Other => {}
                Place::Registration(position, document) => {
                    let lost = || "its document is gone".to_owned();
                    let broken = |what: String| CustomTypeError::Registration { position, what };
                    let document = document.ok_or_else(lost).map_err(broken)?;
                    let next = self.registry().with_custom(document.as_bytes());
                    self.registry_set(next.map_err(|error| broken(error.to_string()))?);
                }
            }
            number += 1;
        }
    }

    async fn registration(&self, number: u64) -> Result<Place, CustomTypeError> {
        let dedupe = self.secrets.dedupe.dedupe(SOURCE, &number.to_string());
        let Some(position) = self.index_read().dedupe(&dedupe)? else { return Ok(Place::Free) };
        let opened = match self.store().entry_at(position).await.map_err(ReadError::from)? {
            Some(bytes) => {
                let entry = EntryRef::decode(&bytes).map_err(|source| ReadError::Entry { position, source })?;
                // A run's word is a candidate only: half of the value may be another event's.
                if entry.dedupe != dedupe {
                    return Ok(Place::Free);
                }
                if entry.event_type != REGISTERED {
                    return Ok(Place::Other);
                }
                self.open_entry(position).await?
            }
            None => return Ok(Place::Free),
        };
        let part: Option<Value> =
            opened.plaintext(PartKind::Business).and_then(|bytes| serde_json::from_slice(bytes).ok());
        let document = part.as_ref().and_then(|part| part.pointer("/data/document")).and_then(Value::as_str);
        Ok(Place::Registration(position, document.map(str::to_owned)))
    }
}
