//! The only module that knows SQL: one concrete store over SQLite (embedded) and Postgres (servers), one text of each
//! statement.
//!
//! A [`Store`] is one ledger's view of its database. It promises that an append is all or nothing and moves the head by
//! compare-and-swap, that nothing here can update or delete an entry, and that a row which cannot be read back is an
//! [`StoreError::Inconsistent`], never a default. It must never see plaintext: payloads and keys arrive sealed.
//!
//! Every method that writes belongs in an owned task: a dropped future may leave a commit unknown (see `append`).

mod append;
mod blocks;
mod checkpoints;
mod checks;
mod db;
mod entries;
mod heads;
pub mod index;
mod keys;
mod leases;
mod lists;
mod lookup;
mod migrate;
mod pack;
mod payloads;
mod principals;
mod rows;
mod sql;
#[cfg(test)]
mod sql_tests;
mod strays;
pub mod views;
mod wal;

pub use wal::{WAL_BUSY_BYTES, WAL_COPY_BYTES, WAL_RESTART_BYTES, WalFile};

use std::path::{Path, PathBuf};

pub use append::{AppendBatch, AppendError, EntryKeys, PayloadRow};
pub use blocks::RowBlock;
pub use checks::StartupReport;
pub use heads::Head;
pub use keys::{DekRow, DekSlot, NO_OWNER, SecretRow};
pub use leases::Lease;
pub use payloads::WholeEntry;
pub use principals::{LedgerRow, PrincipalRow};
pub use strays::{EntryColumns, Stray};

use crate::domain::ids::LedgerId;
use db::Db;

/// What can go wrong between the service and its database. `Display` says which operation, never which personal value.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A database file cannot be opened or created.
    #[error("cannot open {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// The driver's reason.
        source: sqlx::Error,
    },
    /// A start-up check failed; the service must not serve.
    #[error("start-up check failed: {0}")]
    Check(String),
    /// A stored row does not have the form that this program writes.
    #[error("table {table} holds a row this program cannot have written: {what}")]
    Inconsistent {
        /// The table.
        table: &'static str,
        /// What is wrong with the row, by key and never by content.
        what: String,
    },
    /// A write changed another number of rows than it must.
    #[error("{statement} changed {changed} rows instead of {expected}")]
    RowsAffected {
        /// The statement's name.
        statement: &'static str,
        /// Rows it changed.
        changed: u64,
        /// Rows it had to change.
        expected: u64,
    },
    /// The schema version is not one this program can work with.
    #[error("the database schema cannot be brought to this program's version")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The driver failed.
    #[error("database")]
    Database(#[from] sqlx::Error),
    /// The driver failed in a lookup by key on SQLite.
    #[error("database")]
    Lookup(#[from] rusqlite::Error),
    /// No connection came free in time.
    #[error("no connection came free in time")]
    Busy,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// The data directory cannot be used.
    #[error("cannot use {path}")]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
}

/// Whether an error, or what caused it, is that no connection came free in time: nothing is wrong with the store then, and the same
/// question may be asked again.
pub fn no_connection(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let late = matches!(error.downcast_ref(), Some(sqlx::Error::PoolTimedOut));
        if late || matches!(error.downcast_ref(), Some(StoreError::Busy)) {
            return true;
        }
        cause = error.source();
    }
    false
}

impl StoreError {
    fn open(path: &Path, source: sqlx::Error) -> StoreError {
        StoreError::Open { path: path.to_path_buf(), source }
    }

    fn check(why: String) -> StoreError {
        StoreError::Check(why)
    }

    fn inconsistent(table: &'static str, what: impl Into<String>) -> StoreError {
        StoreError::Inconsistent { table, what: what.into() }
    }
}

/// Where a ledger's rows live.
#[derive(Debug, Clone)]
pub enum Location {
    /// A folder that holds this ledger's `log.db`, `vault.db` and `views.db`.
    Sqlite(PathBuf),
    /// A Postgres URL; the database holds many ledgers.
    Postgres(String),
}

/// One ledger's rows. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct Store {
    db: Db,
    ledger: LedgerId,
}

impl Store {
    /// Opens the store of `ledger`, creating files, schemas and roles where they are missing, and runs the checks that
    /// must pass before serving (see [`StartupReport`]).
    ///
    /// # Errors
    /// [`StoreError::Check`] names the check that failed; anything else is the database's own refusal.
    pub async fn open(location: &Location, ledger: LedgerId) -> Result<Store, StoreError> {
        let db = match location {
            Location::Sqlite(folder) => {
                std::fs::create_dir_all(folder)
                    .map_err(|source| StoreError::Folder { path: folder.clone(), source })?;
                let pools = db::sqlite_open(folder).await?;
                migrate::sqlite(&pools).await?;
                sync_folder(folder)?;
                Db::Sqlite(pools)
            }
            Location::Postgres(url) => {
                let owner = db::postgres_owner(url).await?;
                migrate::postgres(&owner).await?;
                owner.close().await;
                Db::Postgres(db::postgres_open(url).await?)
            }
        };
        Ok(Store { db, ledger })
    }

    /// Opens the store of `ledger` without creating, migrating or changing anything.
    ///
    /// # Errors
    /// [`StoreError::Open`] when it is not there.
    pub async fn open_reading(location: &Location, ledger: LedgerId) -> Result<Store, StoreError> {
        let db = match location {
            Location::Sqlite(folder) => Db::Sqlite(db::sqlite_open_reading(folder).await?),
            Location::Postgres(url) => Db::Postgres(db::postgres_open(url).await?),
        };
        Ok(Store { db, ledger })
    }

    /// The same connections for another ledger of one Postgres database.
    pub fn for_ledger(&self, ledger: LedgerId) -> Store {
        Store { db: self.db.clone(), ledger }
    }

    /// The ledger whose rows this store reads and writes.
    pub fn ledger(&self) -> LedgerId {
        self.ledger
    }

    /// `"sqlite"` or `"postgres"`, for reports.
    pub fn engine(&self) -> &'static str {
        match self.db {
            Db::Sqlite(_) => "sqlite",
            Db::Postgres(_) => "postgres",
        }
    }

    /// Closes all connections; further calls fail.
    pub async fn close(&self) {
        match &self.db {
            Db::Sqlite(pools) => {
                pools.lookups.log.close();
                pools.lookups.vault.close();
                for pool in [&pools.log_read, &pools.vault_read, &pools.views_read] {
                    pool.close().await;
                }
                for pool in [&pools.log_write, &pools.vault_write, &pools.views_write] {
                    pool.close().await;
                }
            }
            Db::Postgres(pools) => {
                pools.log_write.close().await;
                pools.shred.close().await;
            }
        }
    }

    fn key(&self) -> &[u8] {
        self.ledger.as_bytes().as_slice()
    }
}

/// Makes the creation of files in `folder` itself durable.
fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    std::fs::File::open(folder)
        .and_then(|file| file.sync_all())
        .map_err(|source| StoreError::Folder { path: folder.to_path_buf(), source })
}
