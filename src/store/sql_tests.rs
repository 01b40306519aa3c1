//! Statements against the engines they are for, and what the program's own connections may not do.

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqlSafeStr};

use super::db::{Db, Pools};
use super::{Location, Store, sql, views};
use crate::domain::ids::LedgerId;

const LEDGER: LedgerId = LedgerId::from_bytes([1; 16]);

async fn sqlite() -> (Store, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Sqlite(folder.path().to_path_buf());
    (Store::open(&location, LEDGER).await.unwrap(), folder)
}

/// A store in a database of its own; none where the run has no Postgres, which is a failure in CI.
#[expect(clippy::disallowed_methods, reason = "where the tests' Postgres is, is not configuration of the program")]
async fn postgres(name: &str) -> Option<Store> {
    let Ok(admin) = std::env::var("TALLYSTICK_TEST_POSTGRES") else {
        assert!(std::env::var("CI").is_err(), "TALLYSTICK_TEST_POSTGRES is not set: CI must test both engines");
        return None;
    };
    let name = format!("tallystick_{name}_{}", std::process::id());
    let mut connection = PgConnection::connect(&admin).await.unwrap();
    connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name} TEMPLATE template0"))).await.unwrap();
    let (server, _) = admin.rsplit_once('/').unwrap();
    Some(Store::open(&Location::Postgres(format!("{server}/{name}")), LEDGER).await.unwrap())
}

#[tokio::test]
async fn every_statement_prepares_on_sqlite() {
    let (store, _folder) = sqlite().await;
    let Db::Sqlite(pools) = &store.db else { panic!("asked for SQLite") };
    for statement in sql::SHARED.iter().chain(sql::sqlite::ALL) {
        // Each statement belongs to one of the two files.
        let log = pools.log_read.prepare((*statement).into_sql_str()).await;
        let vault = pools.vault_read.prepare((*statement).into_sql_str()).await;
        assert!(log.is_ok() != vault.is_ok(), "{statement}: {log:?}, {vault:?}");
    }
}

/// A plan with an automatic index reads a whole table for each question, which only a large ledger would show.
#[tokio::test]
async fn no_statement_has_sqlite_index_a_table_for_one_question() {
    let (store, _folder) = sqlite().await;
    let Db::Sqlite(pools) = &store.db else { panic!("asked for SQLite") };
    let plan = async |pool: &sqlx::SqlitePool, statement: &str| -> Option<String> {
        let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
        let rows: Vec<(i64, i64, i64, String)> = sqlx::query_as(explain).fetch_all(pool).await.ok()?;
        Some(rows.into_iter().map(|(.., detail)| detail).collect::<Vec<_>>().join("; "))
    };
    let mut explained = 0;
    for statement in sql::SHARED.iter().chain(sql::sqlite::ALL).chain(views::sql::SHARED).chain(views::sql::sqlite::ALL)
    {
        for pool in [&pools.log_read, &pools.vault_read, &pools.views_read] {
            if let Some(plan) = plan(pool, statement).await {
                explained += 1;
                // What the statement made itself is as small as its answer.
                let own = |name: &str| statement.contains(&format!("{name} AS (SELECT"));
                let made = plan.split("; ").filter(|step| step.contains("AUTOMATIC"));
                let stored = made.filter(|step| !step.split(' ').nth(1).is_some_and(own)).collect::<Vec<_>>();
                assert_eq!(stored, [""; 0], "{statement}");
            }
        }
    }
    assert!(explained > 60, "{explained}");
    // The control: this is how such a plan looks.
    let bad = "SELECT p.sealed FROM series r CROSS JOIN payloads p WHERE p.ledger = x'01' AND p.slot >= r.i * 2 AND p.slot < r.i * 3";
    assert!(plan(&pools.log_read, bad).await.unwrap().contains("AUTOMATIC"));
}

#[tokio::test]
async fn every_statement_prepares_on_postgres() {
    let Some(store) = postgres("statements").await else { return };
    let Db::Postgres(pools) = &store.db else { panic!("asked for Postgres") };
    let views = views::sql::SHARED.iter().chain(views::sql::postgres::ALL);
    for statement in sql::SHARED.iter().chain(sql::postgres::ALL).chain(views) {
        if let Err(error) = pools.log_read.prepare((*statement).into_sql_str()).await {
            panic!("{statement}: {error}");
        }
    }
}

/// What would change history, in every way that SQL has for it.
const FORBIDDEN: [&str; 7] = [
    "UPDATE entries SET entry = entry",
    "UPDATE entries SET position = position + 1",
    "DELETE FROM entries",
    "INSERT INTO entries (ledger, position, entry) SELECT ledger, position, x'00' FROM entries WHERE true \
     ON CONFLICT (position) DO UPDATE SET entry = excluded.entry",
    "INSERT OR REPLACE INTO entries (ledger, position, entry) SELECT ledger, position, x'00' FROM entries",
    "UPDATE OR REPLACE entries SET position = 0",
    "UPDATE payloads SET sealed = sealed",
];

async fn seed<'c, E>(pool: E, text: &'static str)
where
    E: Executor<'c>,
{
    pool.execute(text).await.unwrap();
}

#[tokio::test]
async fn own_sqlite_connections_cannot_change_entries() {
    let (store, _folder) = sqlite().await;
    let Db::Sqlite(pools) = &store.db else { panic!("asked for SQLite") };
    seed(&pools.log_write, "INSERT INTO entries VALUES (x'01', 0, x'aa'), (x'01', 1, x'bb')").await;
    seed(&pools.log_write, "INSERT INTO payloads VALUES (x'01', 0, x'aa')").await;
    let Pools { log_read, log_write, shred, .. } = pools;
    for (name, pool) in [("read", log_read), ("write", log_write), ("shred", shred)] {
        for statement in FORBIDDEN {
            let refused = pool.execute(statement).await;
            assert!(refused.is_err(), "{name}: {statement} changed {refused:?}");
        }
    }
    let rows: Vec<(i64, Vec<u8>)> =
        sqlx::query_as("SELECT position, entry FROM entries ORDER BY position").fetch_all(log_read).await.unwrap();
    assert_eq!(rows, [(0, vec![0xaa]), (1, vec![0xbb])]);
    // The twin: without the guards the same words are obeyed.
    seed(log_write, "DROP TRIGGER entries_no_update").await;
    seed(log_write, "UPDATE entries SET entry = entry").await;
}

#[tokio::test]
async fn own_postgres_connections_cannot_change_entries() {
    let Some(store) = postgres("changes").await else { return };
    let Db::Postgres(pools) = &store.db else { panic!("asked for Postgres") };
    let insert = "INSERT INTO entries (ledger, position, entry, dedupe) VALUES ('\\x01', 0, '\\xaa', '\\x01')";
    seed(&pools.log_write, insert).await;
    let Pools { log_read, log_write, shred, .. } = pools;
    for (name, pool) in [("read", log_read), ("write", log_write), ("shred", shred)] {
        for statement in [
            "UPDATE entries SET entry = entry",
            "UPDATE entries SET position = position + 1",
            "DELETE FROM entries",
            "TRUNCATE entries",
            "INSERT INTO entries (ledger, position, entry, dedupe) VALUES ('\\x01', 0, '\\xbb', '\\x02') \
             ON CONFLICT (ledger, position) DO UPDATE SET entry = excluded.entry",
            "UPDATE payloads SET sealed = sealed",
            "DROP TRIGGER entries_no_change ON entries",
            "ALTER TABLE entries DROP CONSTRAINT entries_dedupe",
        ] {
            let refused = pool.execute(statement).await;
            assert!(refused.is_err(), "{name}: {statement} changed {refused:?}");
        }
    }
    // What is theirs is obeyed: one may add, the other may shred.
    let second = "INSERT INTO entries (ledger, position, entry, dedupe) VALUES ('\\x01', 1, '\\xbb', '\\x02')";
    seed(log_write, second).await;
    seed(shred, "DELETE FROM payloads").await;
    assert!(log_write.execute("DELETE FROM payloads").await.is_err());
}
