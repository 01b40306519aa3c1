//! Ledgers to test on: a fresh one per call, on SQLite in a temporary folder or on the Postgres that `ops/test` started.

use std::sync::Arc;

use tallystick::crypto::keyring::Keyring;
use tallystick::crypto::secret::Secret;
use tallystick::domain::ids::{LedgerId, PrincipalId, uuid_v7};
use tallystick::domain::time::Timestamp;
use tallystick::ingest::admit::SubmitOptions;
use tallystick::ingest::create::NewLedger;
use tallystick::ingest::forms::Received;
use tallystick::ingest::{Ledger, LedgerOptions, Limits, Outcome, Receipt};
use tallystick::runtime::{Clock, Randomness, Tasks};
use tallystick::store::Location;

/// A ledger and the folder it lives in.
pub struct Bench {
    pub ledger: Arc<Ledger>,
    pub folder: tempfile::TempDir,
    pub tasks: Tasks,
    pub options: LedgerOptions,
    pub clock: Clock,
}

/// The Postgres URL of this run; `None` is said loudly, and is a failure where the suite must be whole.
pub fn postgres_url() -> Option<String> {
    let url = std::env::var("TALLYSTICK_TEST_POSTGRES").ok();
    if url.is_none() {
        assert!(std::env::var("CI").is_err(), "TALLYSTICK_TEST_POSTGRES is not set: CI must test both engines");
        eprintln!("!!! PostgreSQL IS NOT TESTED: TALLYSTICK_TEST_POSTGRES is not set (ops/test sets it)");
    }
    url
}

/// The keyring of all tests.
pub fn keyring() -> Arc<Keyring> {
    Arc::new(Keyring::from_epochs(vec![(1, Secret::new([7; 32]))]).unwrap())
}

pub fn time(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

/// A scratch ledger with a seeded stream and a clock that stands still.
pub async fn scratch(location: Option<Location>, seed: u64) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_path_buf();
    let location = location.unwrap_or_else(|| Location::Sqlite(path.clone()));
    let options = LedgerOptions { folder: path, location, limits: Limits::default() };
    let clock = Clock::manual(time("2026-11-20T12:00:00Z"));
    let random = Randomness::seeded(seed);
    let id = LedgerId::from_bytes(uuid_v7(clock.now().unix_ms(), random.bytes()));
    let tasks = Tasks::default();
    let new = NewLedger { id, origin: format!("test.example/{id}"), scratch: true, begins: None };
    let ledger = Ledger::create(new, options.clone(), keyring(), clock.clone(), random, tasks.clone()).await.unwrap();
    Bench { ledger, folder, tasks, options, clock }
}

impl Bench {
    /// Ends the ledger's tasks and opens it again from what is stored.
    pub async fn reopen(&mut self) {
        let id = self.ledger.id;
        self.ledger.close();
        self.tasks.stop().await;
        self.ledger.store().close().await;
        self.tasks = Tasks::default();
        self.ledger = Ledger::open(
            id,
            self.options.clone(),
            keyring(),
            self.clock.clone(),
            Randomness::System,
            self.tasks.clone(),
        )
        .await
        .unwrap();
    }
}

pub fn options() -> SubmitOptions {
    SubmitOptions {
        actor: PrincipalId::from_bytes([1; 16]),
        strict: false,
        dry_run: false,
        now: None,
        service: false,
        closing: None,
    }
}

pub fn received(event: serde_json::Value) -> Received {
    Received { raw: event.to_string().into() }
}

/// A consent event of one person.
pub fn consent(id: &str, subject: &str, phone: &str) -> serde_json::Value {
    serde_json::json!({
        "specversion": "1.0", "id": id, "source": "/test", "type": "consent.granted", "subject": subject,
        "time": "2026-11-19T12:00:00Z",
        "data": { "kind": "pewc", "phone": phone, "sellers": ["broker-a"], "channels": ["sms"], "purposes": ["marketing"] }
    })
}

pub async fn post(ledger: &Arc<Ledger>, event: serde_json::Value) -> Outcome {
    ledger.submit(vec![received(event)], options()).await.unwrap().remove(0)
}

pub fn recorded(outcome: Outcome) -> Receipt {
    match outcome {
        Outcome::Recorded(receipt) => receipt,
        other => panic!("not recorded: {other:?}"),
    }
}
