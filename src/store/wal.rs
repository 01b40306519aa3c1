//! Moving SQLite's write-ahead log into the database file, off the commit path.
//!
//! A commit that runs into an automatic checkpoint waits for the whole file to sync. Here a task copies pages while commits
//! go on (`PASSIVE`), and the writer only restarts the log when little is left to copy.

use super::db::Db;
use super::{Store, StoreError};

/// Above this a passive copy starts.
pub const WAL_COPY_BYTES: u64 = 16 << 20;
/// Above this the writer stops for the rest and starts the log anew, so that a long burst cannot fill the disk.
pub const WAL_RESTART_BYTES: u64 = 256 << 20;

const PASSIVE: &str = "PRAGMA wal_checkpoint(PASSIVE)";
const RESTART: &str = "PRAGMA wal_checkpoint(RESTART)";
const TRUNCATE: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

impl Store {
    /// Copies what can be copied without waiting for anyone. Does nothing on Postgres.
    pub async fn wal_copy(&self) -> Result<(), StoreError> {
        if let Db::Sqlite(pools) = &self.db {
            // A reading connection may checkpoint: it writes the database file from the log, it does not write the log.
            for pool in [&pools.log_read, &pools.vault_read, &pools.views_read] {
                sqlx::query(PASSIVE).execute(pool).await?;
            }
        }
        Ok(())
    }

    /// Finishes the copy on the writing connection and starts the log anew.
    pub async fn wal_restart(&self) -> Result<(), StoreError> {
        if let Db::Sqlite(pools) = &self.db {
            sqlx::query(RESTART).execute(&pools.log_write).await?;
            sqlx::query(RESTART).execute(&pools.views_write).await?;
        }
        Ok(())
    }

    /// Empties the write-ahead logs, so that nothing deleted stays readable in them (erasure, clean shutdown).
    pub async fn wal_truncate(&self) -> Result<(), StoreError> {
        if let Db::Sqlite(pools) = &self.db {
            for pool in [&pools.log_write, &pools.vault_write, &pools.views_write] {
                sqlx::query(TRUNCATE).execute(pool).await?;
            }
        }
        Ok(())
    }

    /// Empties the write-ahead logs of log and vault and says whether that worked: a reader that still looks at old pages
    /// keeps them there. `true` on Postgres, which has no such file.
    pub async fn wal_emptied(&self) -> Result<bool, StoreError> {
        let Db::Sqlite(pools) = &self.db else { return Ok(true) };
        let mut emptied = true;
        for pool in [&pools.log_write, &pools.vault_write] {
            let (busy, ..): (i64, i64, i64) = sqlx::query_as(TRUNCATE).fetch_one(pool).await?;
            emptied &= busy == 0;
        }
        Ok(emptied)
    }
}
