//! Moving SQLite's write-ahead log into the database file, off the commit path.
//!
//! A commit that runs into an automatic checkpoint waits for the whole file to sync. Here a task copies pages while commits
//! go on (`PASSIVE`), and the writer only restarts the log when little is left to copy. The file of the log keeps its length when
//! it is begun anew: a commit that overwrites blocks is on the disk once its data is, one that lengthens a file also waits
//! for the file system's journal, and so for whatever others write. Therefore the file of a ledger in use is lengthened ahead of its
//! commits, with zeros, which SQLite takes for the end of the log: syncs of a log that still grew took up to 225 ms, and none more than 8 ms
//! once it had its length (`strace`, 1,000 decisions/s).

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use sqlx::{Executor, SqlitePool};

use super::db::{Db, Files, SQLITE_PAGE_BYTES};
use super::{Store, StoreError};

/// Above this a passive copy starts. Small, because what is copied goes to the disk at once, and the next commit waits for it: at 1,000
/// decisions a second, copies of 13 to 35 MB made answers wait up to 100 ms.
pub const WAL_COPY_BYTES: u64 = 2 << 20;
/// Above this the writer stops for the rest and starts the log anew: a long log cannot fill the disk, and every page that a reader
/// wants is looked up in all of it first, which showed in the slowest answers from some 80 MiB on.
pub const WAL_RESTART_BYTES: u64 = 64 << 20;

/// Above this a ledger is in use, and its log gets its whole length.
pub const WAL_BUSY_BYTES: u64 = 4 << 20;
/// That length: what the log has when it is started anew, and room for what is written until that is done.
const WAL_LENGTH_BYTES: u64 = WAL_RESTART_BYTES + (16 << 20);
/// Zeros written at a time: a commit beside them waits about a millisecond.
static ZEROS: [u8; 1 << 20] = [0; 1 << 20];

const LOOK: &str = "PRAGMA wal_checkpoint(NOOP)";
const PASSIVE: &str = "PRAGMA wal_checkpoint(PASSIVE)";
/// Without waiting for readers: a long one would stop all appends for as long; the log grows meanwhile.
const RESTART: &str = "PRAGMA busy_timeout = 0; PRAGMA wal_checkpoint(RESTART); PRAGMA busy_timeout = 5000";
const TRUNCATE: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

/// A file of a ledger on SQLite; each has a write-ahead log of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WalFile {
    /// `log.db`.
    Log,
    /// `vault.db`.
    Vault,
    /// `views.db`.
    Views,
}

impl WalFile {
    /// Every file.
    pub const ALL: [WalFile; 3] = [WalFile::Log, WalFile::Vault, WalFile::Views];

    /// Name of the file, without its ending.
    pub const fn name(self) -> &'static str {
        match self {
            WalFile::Log => "log",
            WalFile::Vault => "vault",
            WalFile::Views => "views",
        }
    }
}

impl Files {
    fn reader(&self, file: WalFile) -> &SqlitePool {
        match file {
            WalFile::Log => &self.log_read,
            WalFile::Vault => &self.vault_read,
            WalFile::Views => &self.views_read,
        }
    }

    fn writer(&self, file: WalFile) -> &SqlitePool {
        match file {
            WalFile::Log => &self.log_write,
            WalFile::Vault => &self.vault_write,
            WalFile::Views => &self.views_write,
        }
    }
}

impl Store {
    /// Bytes that the write-ahead log of one file has in use; its file may be longer. 0 on Postgres.
    pub async fn wal_bytes(&self, file: WalFile) -> Result<u64, StoreError> {
        let Db::Sqlite(pools) = &self.db else { return Ok(0) };
        let (_, frames, _): (i64, i64, i64) = sqlx::query_as(LOOK).fetch_one(pools.reader(file)).await?;
        // SQLite says -1 where there is no such log.
        Ok(u64::try_from(frames).unwrap_or(0) * u64::from(SQLITE_PAGE_BYTES))
    }

    /// Copies what can be copied of one file without waiting for anyone. Does nothing on Postgres.
    pub async fn wal_copy(&self, file: WalFile) -> Result<(), StoreError> {
        if let Db::Sqlite(pools) = &self.db {
            // A reading connection may checkpoint: it writes the database file from the log, it does not write the log.
            sqlx::query(PASSIVE).execute(pools.reader(file)).await?;
        }
        Ok(())
    }

    /// Writes the next zeros behind the log of one file; false once it has its length. Does nothing on Postgres.
    pub async fn wal_lengthen(&self, file: WalFile) -> Result<bool, StoreError> {
        let Db::Sqlite(pools) = &self.db else { return Ok(false) };
        let pool = pools.writer(file);
        let path = pool.connect_options().get_filename().with_extension("db-wal");
        // Who holds the write lock is the only one to write the log, so nothing but zeros comes to stand behind its end.
        let tx = pool.begin_with("BEGIN IMMEDIATE").await?;
        let lengthen = || {
            let log = OpenOptions::new().write(true).open(&path)?;
            let length = log.metadata()?.len();
            let more = length < WAL_LENGTH_BYTES;
            if more {
                log.write_all_at(&ZEROS, length)?;
            }
            Ok(more)
        };
        let more = lengthen().map_err(|source| StoreError::Folder { path, source });
        tx.rollback().await?;
        more
    }

    /// Finishes the copy of one file on its writing connection and starts its log anew.
    pub async fn wal_restart(&self, file: WalFile) -> Result<(), StoreError> {
        if let Db::Sqlite(pools) = &self.db {
            pools.writer(file).execute(RESTART).await?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::LedgerId;
    use crate::store::Location;
    use crate::store::views::{ProjectionCursor, Track};

    async fn written(store: &Store, generations: std::ops::Range<i64>) {
        for generation in generations {
            let cursor = ProjectionCursor { projection: "money", generation };
            store.views_cursor_create(cursor, 1, Track::Building).await.unwrap();
        }
    }

    #[tokio::test]
    async fn bytes_in_use_are_told_and_a_log_begins_anew_without_losing_its_length() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::Sqlite(folder.path().to_path_buf());
        let store = Store::open(&location, LedgerId::from_bytes([1; 16])).await.unwrap();
        let length = || std::fs::metadata(folder.path().join("views.db-wal")).unwrap().len();
        store.wal_truncate().await.unwrap();
        assert_eq!((store.wal_bytes(WalFile::Views).await.unwrap(), length()), (0, 0));
        written(&store, 0..100).await;
        let (used, long) = (store.wal_bytes(WalFile::Views).await.unwrap(), length());
        assert!(used >= 100 * u64::from(SQLITE_PAGE_BYTES) && long > used, "{used} of {long}");
        assert_eq!(store.wal_bytes(WalFile::Log).await.unwrap(), 0, "each file has a log of its own");
        store.wal_copy(WalFile::Views).await.unwrap();
        assert_eq!(length(), long, "a copy begins nothing anew");
        store.wal_restart(WalFile::Views).await.unwrap();
        written(&store, 100..101).await;
        let again = store.wal_bytes(WalFile::Views).await.unwrap();
        assert!(again > 0 && again * 10 < used, "{again} after {used}");
        assert_eq!(length(), long);
        store.wal_truncate().await.unwrap();
        assert_eq!(length(), 0, "what must not stay readable is cut off");
    }

    #[tokio::test]
    async fn a_lengthened_log_keeps_what_is_written_beside_and_after_it_also_over_a_crash() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::Sqlite(folder.path().to_path_buf());
        let ledger = LedgerId::from_bytes([1; 16]);
        let store = Store::open(&location, ledger).await.unwrap();
        let length = || std::fs::metadata(folder.path().join("views.db-wal")).unwrap().len();
        written(&store, 0..50).await;
        let lengthened = async {
            let mut pieces = 0;
            while store.wal_lengthen(WalFile::Views).await.unwrap() {
                pieces += 1;
            }
            pieces
        };
        let (pieces, ()) = tokio::join!(lengthened, written(&store, 50..150));
        assert!((40..=80).contains(&pieces) && length() >= WAL_LENGTH_BYTES, "{pieces} pieces, {} bytes", length());
        let long = length();
        written(&store, 150..200).await;
        assert_eq!(length(), long, "commits no longer lengthen it");
        // What a killed process leaves: the files as they are, with nobody to close them.
        let left = tempfile::tempdir().unwrap();
        for name in ["log.db", "vault.db", "views.db", "views.db-wal"] {
            std::fs::copy(folder.path().join(name), left.path().join(name)).unwrap();
        }
        let found = Store::open(&Location::Sqlite(left.path().to_path_buf()), ledger).await.unwrap();
        assert_eq!(found.views_cursors().await.unwrap().len(), 200);
    }
}
