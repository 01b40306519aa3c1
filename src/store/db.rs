//! The two engines: how each is opened, and the macro that runs one statement on either.
//!
//! SQLite keeps three files per ledger (log, vault, views), each with one writing connection and a few that only read.
//! Postgres keeps three schemas for all ledgers and connects in two roles: one that can append, one that can shred.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Executor, Row};

use super::StoreError;
use super::lookup::Lookups;
use super::pack::ROWS_MAX;

/// Expands one query once per engine; the engines share text and row types, not drivers. `$role` is the pool to use.
macro_rules! on_db {
    ($db:expr, $role:ident, $pool:ident => $query:expr) => {
        match &$db {
            $crate::store::db::Db::Sqlite(files) => {
                let $pool = &files.$role;
                $query
            }
            $crate::store::db::Db::Postgres(pools) => {
                let $pool = &pools.$role;
                $query
            }
        }
    };
}
pub(super) use on_db;

/// A database of one of the two kinds.
#[derive(Debug, Clone)]
pub(super) enum Db {
    Sqlite(Files),
    Postgres(Pools<PgPool>),
}

/// The connections to the files of one ledger on SQLite.
pub(super) type Files = Pools<SqlitePool, Lookups>;

/// The connections of one engine by what they are for. `log_write`, `vault_write` and `views_write` are used by one task
/// at a time; on SQLite each is a single connection.
#[derive(Debug, Clone)]
pub(super) struct Pools<P, L = ()> {
    pub log_read: P,
    pub log_write: P,
    pub vault_read: P,
    pub vault_write: P,
    pub views_read: P,
    pub views_write: P,
    /// May delete payloads and keys, and nothing else.
    pub shred: P,
    /// What reads rows by their keys, where that is not the pools' task.
    pub lookups: L,
}

/// SQLite before this version can corrupt a WAL that several connections use (the WAL-reset bug).
const SQLITE_VERSION_MIN: (u32, u32, u32) = (3, 51, 3);
/// In KiB: a batch of projections changes some thousand pages, and one that leaves the cache before its commit is written twice.
const WRITER_CACHE: &str = "-49152";
const SQLITE_READERS: u32 = 4;
/// Rows of a lookup that are worth a reader of their own.
const LOOKUP_ROWS_MIN: usize = 64;
/// Rows of 0.5-2 kB: at 8 KiB a page wastes little and a commit touches half as many pages as at 4 KiB.
pub(super) const SQLITE_PAGE_BYTES: u32 = 8192;

fn sqlite_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .page_size(SQLITE_PAGE_BYTES)
        .journal_mode(SqliteJournalMode::Wal)
        .busy_timeout(Duration::from_secs(5))
        // The appender moves the WAL into the file off the commit path; see `wal.rs`.
        .pragma("wal_autocheckpoint", "0")
        .pragma("trusted_schema", "OFF")
        // Without it `INSERT OR REPLACE` deletes a row and asks no trigger.
        .pragma("recursive_triggers", "ON")
        .pragma("cell_size_check", "ON")
        .pragma("mmap_size", "0")
}

async fn sqlite_pools(
    path: &Path,
    synchronous: SqliteSynchronous,
    secure_delete: bool,
) -> Result<(SqlitePool, SqlitePool), StoreError> {
    let mut writing = sqlite_options(path).synchronous(synchronous).pragma("cache_size", WRITER_CACHE);
    if secure_delete {
        writing = writing.pragma("secure_delete", "ON");
    }
    let write = SqlitePoolOptions::new()
        .max_connections(1)
        .min_connections(1)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(writing)
        .await
        .map_err(|source| StoreError::open(path, source))?;
    let read = SqlitePoolOptions::new()
        .max_connections(SQLITE_READERS)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(
            sqlite_options(path).synchronous(synchronous).pragma("query_only", "ON").pragma("cache_size", "-4096"),
        )
        .await
        .map_err(|source| StoreError::open(path, source))?;
    Ok((read, write))
}

/// Rows that one reader looks up where so many are asked for at once: all readers share them, as each waits for the disk on its
/// own.
pub(super) fn lookup_rows(asked: usize) -> usize {
    asked.div_ceil(SQLITE_READERS as usize).clamp(LOOKUP_ROWS_MIN, ROWS_MAX)
}

/// A range in the pieces that the readers share likewise; a range longer than one statement carries stays whole, and in order.
pub(super) fn range_pieces(first: u64, end: u64) -> Vec<(u64, u64)> {
    let count = usize::try_from(end.saturating_sub(first)).unwrap_or(usize::MAX);
    if count > ROWS_MAX {
        return vec![(first, end)];
    }
    let rows = lookup_rows(count);
    (first..end).step_by(rows).map(|from| (from, end.min(from + rows as u64))).collect()
}

/// Opens or creates the three files of one ledger in `folder`.
pub(super) async fn sqlite_open(folder: &Path) -> Result<Files, StoreError> {
    let (log_read, log_write) = sqlite_pools(&folder.join("log.db"), SqliteSynchronous::Full, true).await?;
    let (vault_read, vault_write) = sqlite_pools(&folder.join("vault.db"), SqliteSynchronous::Full, true).await?;
    // Views can be rebuilt from the log, so losing their last commits to a power cut loses nothing.
    let (views_read, views_write) = sqlite_pools(&folder.join("views.db"), SqliteSynchronous::Normal, false).await?;
    let shred = log_write.clone();
    let lookups = Lookups::new(folder);
    Ok(Pools { log_read, log_write, vault_read, vault_write, views_read, views_write, shred, lookups })
}

/// Opens the three files of one ledger for reading only, whoever else has them open.
pub(super) async fn sqlite_open_reading(folder: &Path) -> Result<Files, StoreError> {
    let open = async |name: &str| {
        let path = folder.join(name);
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(false)
            .busy_timeout(Duration::from_secs(5))
            .pragma("query_only", "ON")
            .pragma("cache_size", "-16384");
        let pool = SqlitePoolOptions::new().max_connections(SQLITE_READERS).connect_with(options).await;
        pool.map_err(|source| StoreError::open(&path, source))
    };
    let (log, vault, views) = (open("log.db").await?, open("vault.db").await?, open("views.db").await?);
    Ok(Pools {
        log_read: log.clone(),
        log_write: log.clone(),
        vault_read: vault.clone(),
        vault_write: vault,
        views_read: views.clone(),
        views_write: views,
        shred: log,
        lookups: Lookups::new(folder),
    })
}

/// Refuses a linked SQLite with known data loss, and a connection whose pragmas are not as asked.
pub(super) async fn sqlite_check(pools: &Files) -> Result<(), StoreError> {
    let version: String = sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&pools.log_read).await?;
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    if (next(), next(), next()) < SQLITE_VERSION_MIN {
        return Err(StoreError::check(format!("linked SQLite is {version}; 3.51.3 or newer is needed")));
    }
    for (name, pool, synchronous) in
        [("log.db", &pools.log_write, 2), ("vault.db", &pools.vault_write, 2), ("views.db", &pools.views_write, 1)]
    {
        let mut connection = pool.acquire().await?;
        let mode: String = connection.fetch_one("PRAGMA journal_mode").await?.get(0);
        let sync: i64 = connection.fetch_one("PRAGMA synchronous").await?.get(0);
        if mode != "wal" || sync != synchronous {
            return Err(StoreError::check(format!(
                "{name} runs with journal_mode={mode}, synchronous={sync}; wal and {synchronous} are needed"
            )));
        }
    }
    Ok(())
}

/// The role that appends: it can insert into the log and the vault and move the head, and nothing else.
pub(super) const APPENDER: &str = "tallystick_appender";
/// The role that shreds: it can delete payloads and keys.
pub(super) const SHREDDER: &str = "tallystick_shredder";

fn postgres_options(url: &str) -> Result<PgConnectOptions, StoreError> {
    let options = PgConnectOptions::from_str(url)
        .map_err(|_| StoreError::check("the database URL cannot be read as a Postgres URL".to_owned()))?;
    Ok(options.application_name("tallystick").options([
        ("search_path", "log,vault,views"),
        ("synchronous_commit", "on"),
        // Every statement is short or bulk: compiling one costs more than running it.
        ("jit", "off"),
        ("statement_timeout", "60000"),
        ("lock_timeout", "10000"),
        // A server that stands still in the middle of an append holds the head's row no longer than it held the lease.
        ("idle_in_transaction_session_timeout", "5000"),
    ]))
}

fn postgres_pool_options(role: Option<&'static str>, connections: u32) -> PgPoolOptions {
    PgPoolOptions::new().max_connections(connections).acquire_timeout(Duration::from_secs(10)).after_connect(
        move |connection, _| {
            Box::pin(async move {
                match role {
                    Some(APPENDER) => connection.execute("SET ROLE tallystick_appender").await.map(|_| ()),
                    Some(SHREDDER) => connection.execute("SET ROLE tallystick_shredder").await.map(|_| ()),
                    Some(_) | None => Ok(()),
                }
            })
        },
    )
}

/// For connections that begin transactions: sqlx 0.9.0 can hand one back with an open transaction when `begin` is
/// cancelled; such a one is closed. Asked in the simple protocol, where a statement outside a transaction has both times
/// equal; prepared, they differ and every connection would be closed after one use.
fn closing_open_transactions(options: PgPoolOptions) -> PgPoolOptions {
    options.after_release(|connection, _| {
        Box::pin(async move {
            let row = connection.fetch_one("SELECT now() = statement_timestamp()").await?;
            row.try_get(0)
        })
    })
}

/// Connects to Postgres as its owner, for migrations and role set-up only.
pub(super) async fn postgres_owner(url: &str) -> Result<PgPool, StoreError> {
    Ok(closing_open_transactions(postgres_pool_options(None, 2)).connect_with(postgres_options(url)?).await?)
}

/// Connects the working pools. The URL's user must be a member of both roles, or their owner.
pub(super) async fn postgres_open(url: &str) -> Result<Pools<PgPool>, StoreError> {
    let options = postgres_options(url)?;
    // Nothing on these begins a transaction: an append is one statement.
    let append = postgres_pool_options(Some(APPENDER), 12).connect_with(options.clone()).await?;
    // Views can be rebuilt from the log, and a commit that is lost takes its cursor with it.
    let views = options.clone().options([("synchronous_commit", "off")]);
    let views_write = closing_open_transactions(postgres_pool_options(Some(APPENDER), 2)).connect_with(views).await?;
    let shred = closing_open_transactions(postgres_pool_options(Some(SHREDDER), 2)).connect_with(options).await?;
    Ok(Pools {
        log_read: append.clone(),
        log_write: append.clone(),
        vault_read: append.clone(),
        vault_write: append.clone(),
        views_read: append,
        views_write,
        shred,
        lookups: (),
    })
}
