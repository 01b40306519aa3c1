//! Both engines for one list of cases: where a ledger's rows are, raw SQL beside the program's own, and verification.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::{AssertSqlSafe, Connection, PgConnection, Row, SqliteConnection};
use tallystick::crypto::keyring::Keyring;
use tallystick::exports::ledger_verify::{PartKeys, VaultKeys, VerifyOptions, verify_ledger};
use tallystick::exports::report::Report;
use tallystick::runtime::{Clock, Tasks};
use tallystick::store::{Location, Store};

use crate::support::{self, Bench};

/// One of the two engines, with a database of its own for one case.
pub enum Engine {
    Sqlite,
    Postgres(String),
}

impl Engine {
    /// A fresh database on the run's Postgres.
    pub async fn postgres() -> Option<Engine> {
        Some(Engine::Postgres(postgres_database().await?))
    }

    /// A fresh ledger on this engine.
    pub async fn bench(&self, seed: u64) -> Bench {
        let location = match self {
            Engine::Sqlite => None,
            Engine::Postgres(url) => Some(Location::Postgres(url.clone())),
        };
        support::scratch(location, seed).await
    }
}

/// Makes a database with a name of its own and returns its URL.
pub async fn postgres_database() -> Option<String> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let admin = support::postgres_url()?;
    let name = format!("tallystick_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
    let mut connection = PgConnection::connect(&admin).await.unwrap();
    let create = format!("CREATE DATABASE {name} TEMPLATE template0");
    sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut connection).await.unwrap();
    let (server, _) = admin.rsplit_once('/').unwrap();
    Some(format!("{server}/{name}"))
}

/// A connection of nobody the program knows: an operator with a database shell.
pub enum Shell {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Shell {
    /// Opens the log database of a ledger.
    pub async fn open(location: &Location) -> Shell {
        match location {
            Location::Sqlite(folder) => {
                let path = folder.join("log.db");
                Shell::Sqlite(SqliteConnection::connect(path.to_str().unwrap()).await.unwrap())
            }
            Location::Postgres(url) => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                sqlx::raw_sql("SET search_path TO log, vault, views").execute(&mut connection).await.unwrap();
                Shell::Postgres(connection)
            }
        }
    }

    /// Runs statements and returns how many rows they changed.
    pub async fn run(&mut self, sql: &str) -> Result<u64, sqlx::Error> {
        match self {
            Shell::Sqlite(connection) => {
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(|done| done.rows_affected())
            }
            Shell::Postgres(connection) => {
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(|done| done.rows_affected())
            }
        }
    }

    /// Rows of integers and byte strings: `sql` selects columns named in `numbers`, then in `blobs`.
    pub async fn rows(&mut self, sql: &str, numbers: usize, blobs: usize) -> Vec<(Vec<i64>, Vec<Vec<u8>>)> {
        macro_rules! read {
            ($connection:expr) => {
                sqlx::query(AssertSqlSafe(sql))
                    .fetch_all($connection)
                    .await
                    .unwrap()
                    .into_iter()
                    .map(|row| {
                        let number = |at: usize| row.get::<i64, _>(at);
                        let blob = |at: usize| row.get::<Vec<u8>, _>(at);
                        ((0..numbers).map(number).collect(), (numbers..numbers + blobs).map(blob).collect())
                    })
                    .collect()
            };
        }
        match self {
            Shell::Sqlite(connection) => read!(connection),
            Shell::Postgres(connection) => read!(connection),
        }
    }

    /// A byte string as a literal of this engine.
    pub fn blob(&self, bytes: &[u8]) -> String {
        let hex = data_encoding::HEXLOWER.encode(bytes);
        match self {
            Shell::Sqlite(_) => format!("x'{hex}'"),
            Shell::Postgres(_) => format!("'\\x{hex}'::bytea"),
        }
    }

    /// Takes away what refuses changes, as somebody does who owns the database.
    pub async fn drop_triggers(&mut self) {
        let statements: &[&str] = match self {
            Shell::Sqlite(_) => {
                &["DROP TRIGGER entries_no_update", "DROP TRIGGER entries_no_delete", "DROP TRIGGER payloads_no_update"]
            }
            Shell::Postgres(_) => &[
                "DROP TRIGGER entries_no_change ON log.entries",
                "DROP TRIGGER entries_no_truncate ON log.entries",
                "ALTER TABLE log.entries DROP CONSTRAINT entries_dedupe, DROP CONSTRAINT entries_sequence",
            ],
        };
        for statement in statements {
            self.run(statement).await.unwrap();
        }
    }
}

/// Verifies a ledger's rows; with a keyring, every part is opened too.
pub async fn verify(store: &Store, keyring: Option<Arc<Keyring>>, options: &VerifyOptions) -> Report {
    let keys =
        keyring.map(|keyring| Arc::new(VaultKeys::new(store.clone(), keyring, Clock::system())) as Arc<dyn PartKeys>);
    verify_ledger(store, &Tasks::default(), keys, options, &|_| {}).await.unwrap()
}

/// Verifies with the keys of all tests and expects that everything holds.
pub async fn assert_verified(store: &Store) -> Report {
    let report = verify(store, Some(support::keyring()), &VerifyOptions::default()).await;
    assert!(report.ok, "{:#?}", report.problems);
    report
}
