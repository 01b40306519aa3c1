//! Reading rows of the log and the vault by their keys on SQLite, on threads that may wait for a disk.
//!
//! A decision looks up some thirty rows that lie scattered over the whole log. Through sqlx each question is a message to the thread of
//! one connection and back; here the thread that asks holds the connection, and runs one prepared statement a row (decision 0014).
//! Only reading: every write goes through sqlx, and so does every question that is not by key.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Params, Row};
use tokio::sync::Semaphore;

use super::StoreError;

/// Connections that read one file at a time: each waits for the disk on its own.
const READERS: usize = 16;
/// How long a lookup waits for one of them, as long as sqlx waits for its own.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// Pages that a connection keeps, in KiB: inner nodes; rows that are asked for once need no keeping.
const CACHE: i64 = -4_096;

/// Lookups in the two files of a ledger that are read by key.
#[derive(Debug, Clone)]
pub(super) struct Lookups {
    pub log: Arc<Readers>,
    pub vault: Arc<Readers>,
}

impl Lookups {
    /// Lookups in the files in `folder`, which are there by the time something is looked up.
    pub fn new(folder: &Path) -> Lookups {
        Lookups::waiting(folder, WAIT_MAX)
    }

    fn waiting(folder: &Path, wait: Duration) -> Lookups {
        let readers = |name| {
            let (idle, free) = (Mutex::default(), Arc::new(Semaphore::new(READERS)));
            Arc::new(Readers { path: folder.join(name), wait, idle, free })
        };
        Lookups { log: readers("log.db"), vault: readers("vault.db") }
    }
}

/// Connections to one file.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    wait: Duration,
    /// Those that nobody uses; opened when there are too few.
    idle: Mutex<Vec<Connection>>,
    /// One permit a connection.
    free: Arc<Semaphore>,
}

impl Readers {
    /// Runs `work` on a connection of its own, off the threads of the runtime. All it reads is of one moment.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when no connection came free in time.
    pub async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Reading<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = tokio::time::timeout(self.wait, Arc::clone(&self.free).acquire_owned()).await;
        let permit = permit.map_err(|_late| StoreError::Busy)?.map_err(|_closed| StoreError::Closed)?;
        let readers = Arc::clone(self);
        let reading = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            readers.read_now(work)
        });
        reading.await.map_err(|_cut| StoreError::Closed)?
    }

    fn read_now<T>(&self, work: impl FnOnce(&Reading<'_>) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = idle.map_or_else(|| self.open(), Ok)?;
        // A connection that failed, in its transaction perhaps, is not used again.
        let found = {
            connection.prepare_cached("BEGIN")?.execute([])?;
            let found = work(&Reading(&connection))?;
            connection.prepare_cached("COMMIT")?.execute([])?;
            found
        };
        if !self.free.is_closed() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
        Ok(found)
    }

    fn open(&self) -> Result<Connection, StoreError> {
        // For writing as well, because the memory that readers of a write-ahead log share is written; the pragma keeps it to that.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.pragma_update(None, "query_only", true)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        connection.pragma_update(None, "cell_size_check", true)?;
        connection.pragma_update(None, "cache_size", CACHE)?;
        Ok(connection)
    }

    /// Reads the file through once, from its beginning to its end, as far as `bytes_max`: a lookup then finds it in the memory of the
    /// operating system. Blocks on the disk.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read_through(&self, bytes_max: u64) -> Result<(), StoreError> {
        let read = File::open(&self.path).and_then(|file| io::copy(&mut file.take(bytes_max), &mut io::sink()));
        read.map(|_bytes| ()).map_err(|source| StoreError::Folder { path: self.path.clone(), source })
    }

    /// Closes what is not in use now, and the rest when its work is done. Later lookups fail.
    pub fn close(&self) {
        self.free.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// A connection in a transaction that only reads.
pub(super) struct Reading<'a>(&'a Connection);

impl Reading<'_> {
    /// The rows of one statement. Its text is prepared once a connection.
    pub fn rows<T>(
        &self,
        statement: &'static str,
        bound: impl Params,
        row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        self.0.prepare_cached(statement)?.query_map(bound, row)?.collect()
    }

    /// The rows that one statement finds for each of `keys`, in their order.
    pub fn each<K, P: Params, T>(
        &self,
        statement: &'static str,
        keys: &[K],
        bound: impl Fn(&K) -> P,
        mut row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        let (mut statement, mut found) = (self.0.prepare_cached(statement)?, Vec::with_capacity(keys.len()));
        for key in keys {
            let mut rows = statement.query(bound(key))?;
            while let Some(next) = rows.next()? {
                found.push(row(next)?);
            }
        }
        Ok(found)
    }
}

/// The first column, a number, and the second, bytes.
pub(super) fn numbered(row: &Row<'_>) -> rusqlite::Result<(i64, Vec<u8>)> {
    Ok((row.get(0)?, row.get_ref(1)?.as_blob()?.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(folder: &Path) -> Lookups {
        let log = Connection::open(folder.join("log.db")).unwrap();
        log.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE rows (n INTEGER PRIMARY KEY, b BLOB)").unwrap();
        log.execute_batch("INSERT INTO rows VALUES (1, x'01'), (3, x'03')").unwrap();
        Lookups::new(folder)
    }

    #[tokio::test]
    async fn rows_come_in_the_order_asked_and_what_is_committed_is_seen_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let lookups = made(folder.path());
        let find = |keys: Vec<i64>| {
            lookups
                .log
                .read(move |reading| reading.each("SELECT n, b FROM rows WHERE n = $1", &keys, |key| (*key,), numbered))
        };
        assert_eq!(find(vec![3, 2, 1]).await.unwrap(), [(3, vec![3]), (1, vec![1])]);
        let writer = Connection::open(folder.path().join("log.db")).unwrap();
        writer.execute_batch("INSERT INTO rows VALUES (2, x'02')").unwrap();
        assert_eq!(find(vec![2]).await.unwrap(), [(2, vec![2])]);
        let all = lookups.log.read(|reading| reading.rows("SELECT n, b FROM rows ORDER BY n", [], numbered));
        assert_eq!(all.await.unwrap().len(), 3);
    }

    #[tokio::test]
    async fn a_lookup_cannot_write_and_one_that_failed_leaves_the_next_unharmed() {
        let folder = tempfile::tempdir().unwrap();
        let lookups = made(folder.path());
        let write = lookups.log.read(|reading| reading.rows("DELETE FROM rows RETURNING n, b", [], numbered)).await;
        assert!(matches!(write, Err(StoreError::Lookup(_))), "{write:?}");
        let all = lookups.log.read(|reading| reading.rows("SELECT n, b FROM rows", [], numbered)).await;
        assert_eq!(all.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn who_gets_no_connection_in_time_is_told_so_and_after_the_end_there_is_none() {
        let folder = tempfile::tempdir().unwrap();
        drop(made(folder.path()));
        let lookups = Lookups::waiting(folder.path(), Duration::from_millis(50));
        let all = || lookups.log.read(|reading| reading.rows("SELECT n, b FROM rows", [], numbered));
        let held = lookups.log.free.acquire_many(u32::try_from(READERS).unwrap()).await.unwrap();
        assert!(matches!(all().await, Err(StoreError::Busy)));
        drop(held);
        assert_eq!(all().await.unwrap().len(), 2);
        lookups.log.close();
        assert!(matches!(all().await, Err(StoreError::Closed)));
    }
}
