//! Bills, from the log: what contracts say of billable events, returns, invoices and credit notes.
//!
//! Promises: a price is recorded with everything that it was found from, so that it comes out the same years later; books are moved
//! by these records alone; an invoice takes each receivable entry once, by a rule that anyone can follow in the log. One lane per
//! ledger rates and issues, and it starts from rows that have seen the whole log: two runs never price one event twice.

mod document;
mod price;
mod replay;
mod returns;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

pub use document::{DocumentAsked, Drawn, InvoiceAsked, Item, Line};
pub use price::Rated;
pub use replay::{PriceReplay, replay_price};

use super::gate::DecideError;
use super::packs;
use super::replay::ReplayError;
use crate::domain::ids::PrincipalId;
use crate::domain::money::{Currency, Micros, MoneyError};
use crate::domain::parts::PartKind;
use crate::domain::time::Timestamp;
use crate::ingest::read::{Opened, ReadError};
use crate::ingest::{Ledger, Receipt, SubmitError};
use crate::policy::pricing::{Contract, ContractError};
use crate::projections::{Projections, WaitError};
use crate::store::StoreError;
use serde_json::{Map, Value, json};

/// How long a run waits until the rows have seen the log.
const WAIT: Duration = Duration::from_secs(10);

/// Why nothing was priced or issued.
#[derive(Debug, thiserror::Error)]
pub enum BillingError {
    /// The rows have not seen the whole log.
    #[error(transparent)]
    Behind(#[from] WaitError),
    /// The contract does not read.
    #[error(transparent)]
    Contract(#[from] ContractError),
    /// The gate.
    #[error(transparent)]
    Decide(#[from] DecideError),
    /// The seller has receivables in several currencies.
    #[error("the seller has receivables in {0}: say which currency")]
    Currencies(String),
    /// Too many different lines.
    #[error("more than {0} lines: choose a shorter period")]
    Lines(usize),
    /// A sum does not fit.
    #[error("a sum is too large")]
    Money(#[from] MoneyError),
    /// No contract was activated.
    #[error("no contract is in force")]
    NoContract,
    /// The number is taken.
    #[error("the number stands on the document at position {0}")]
    NumberUsed(u64),
    /// Nothing is left to bill or credit.
    #[error("nothing is left to put on it")]
    Nothing,
    /// Entries that the rows could not take.
    #[error("{0} entries could not be folded: rating waits until the rows are built by a version that reads them")]
    Parked(i64),
    /// What is left has the wrong sign for the document.
    #[error("what is left comes to {0}")]
    Sign(String),
    /// The log cannot be read.
    #[error("read")]
    Read(#[from] ReadError),
    /// A contract in the log does not read.
    #[error("read a contract of the log")]
    Replay(#[from] ReplayError),
    /// The rows cannot be read.
    #[error("read rows")]
    Store(#[from] StoreError),
    /// The ledger did not take the record.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// No such document or decision.
    #[error("there is no such {0}")]
    Unknown(&'static str),
}

/// The lane of one ledger, and the contracts that it has read.
#[derive(Debug, Default)]
pub struct Biller {
    lane: tokio::sync::Mutex<HashMap<String, Arc<Contract>>>,
}

/// What every step of a run needs.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// The ledger.
    pub ledger: &'a Ledger,
    /// Its rows.
    pub rows: &'a Projections,
    /// Its gate, for consent.
    pub gate: &'a super::Gate,
    /// Who asked.
    pub actor: PrincipalId,
    /// The caller's clock, on a scratch ledger.
    pub now: Option<Timestamp>,
}

impl Run<'_> {
    /// Waits until the rows have seen every entry.
    async fn caught_up(&self) -> Result<(), BillingError> {
        match self.ledger.size().checked_sub(1) {
            Some(last) => Ok(self.rows.wait_for(last, WAIT).await?),
            None => Ok(()),
        }
    }
}

impl Biller {
    /// Registers a contract and puts it in force.
    ///
    /// # Errors
    /// [`BillingError::Contract`] names what is wrong with it; nothing is recorded then.
    pub async fn activate(&self, run: Run<'_>, text: &str) -> Result<(Contract, Receipt), BillingError> {
        let contract = Contract::parse(text)?;
        let _lane = self.lane.lock().await;
        packs::register_document(run.ledger, "pricing", &contract.version, text, run.now).await?;
        let version: String = contract.digest.to_string().chars().take(16).collect();
        let data = json!({ "pack": "pricing", "version": version, "pack_sha256": contract.digest, "kind": "pricing" });
        let receipt = run.ledger.record_own("policy.pack_activated", None, data, run.actor, run.now).await?;
        Ok((contract, receipt))
    }

    /// The contract in force.
    ///
    /// # Errors
    /// [`BillingError::NoContract`] before one was activated.
    pub async fn contract(&self, run: Run<'_>) -> Result<Arc<Contract>, BillingError> {
        run.caught_up().await?;
        active(run.ledger, &mut *self.lane.lock().await).await
    }
}

async fn active(
    ledger: &Ledger,
    contracts: &mut HashMap<String, Arc<Contract>>,
) -> Result<Arc<Contract>, BillingError> {
    let (_, digest) = ledger.store().billing_contract().await?.ok_or(BillingError::NoContract)?;
    by_digest(ledger, contracts, &digest).await
}

async fn by_digest(
    ledger: &Ledger,
    contracts: &mut HashMap<String, Arc<Contract>>,
    digest: &str,
) -> Result<Arc<Contract>, BillingError> {
    if let Some(contract) = contracts.get(digest) {
        return Ok(Arc::clone(contract));
    }
    let contract = Arc::new(Contract::parse(&packs::document(ledger, digest).await?)?);
    contracts.insert(digest.to_owned(), Arc::clone(&contract));
    Ok(contract)
}

/// The business part of an opened entry; none where it is gone.
fn business(opened: &Opened) -> Option<Value> {
    opened.plaintext(PartKind::Business).and_then(|bytes| serde_json::from_slice(bytes).ok())
}

/// A member of the data of a business part.
fn member<'a>(part: &'a Value, name: &str) -> Option<&'a str> {
    part.get("data")?.get(name)?.as_str()
}

fn money(micros: i64, currency: &str) -> Value {
    json!({ "amount": Micros::from_micros(micros).to_string(), "currency": currency })
}

fn amount(value: Option<&Value>) -> Option<(i64, Currency)> {
    let value = value?;
    let micros = Micros::parse(value.get("amount")?.as_str()?).ok()?.micros();
    Some((micros, Currency::parse(value.get("currency")?.as_str()?).ok()?))
}

/// Data without what is null.
fn said(data: Value) -> Map<String, Value> {
    match data {
        Value::Object(all) => all.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        _ => Map::new(),
    }
}
