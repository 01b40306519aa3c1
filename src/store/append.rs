//! The append transaction: head, entries, payloads and subtree hashes in one commit, or nothing.
//!
//! The commit point is the `COMMIT` of [`Store::append`] on SQLite, and the end of its one statement on Postgres. An error
//! that the engine gives before it means that nothing was written. An error from the commit itself, or no answer, means
//! *unknown*: the caller must read the head again before it says anything to anybody.

use futures_util::TryStreamExt;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Either, Executor, PgConnection, Sqlite, SqliteConnection};

use super::db::Db;
use super::heads::Head;
use super::pack::{NUMBER, Packed, ROWS_MAX};
use super::payloads::slot;
use super::rows::to_i64;
use super::{Store, StoreError, sql};
use crate::crypto::hash::Digest;

/// One sealed part on its way to its row.
#[derive(Debug)]
pub struct PayloadRow {
    /// Position of its entry.
    pub position: u64,
    /// Index in the entry's list of parts.
    pub part: u8,
    /// The bytes whose SHA-256 stands in the entry.
    pub sealed: Vec<u8>,
}

/// What one entry's row needs beside its bytes: the columns that Postgres keeps unique.
#[derive(Debug, Clone, Copy)]
pub struct EntryKeys {
    /// Length of the entry's bytes in the batch's buffer.
    pub length: usize,
    /// The entry's dedupe value.
    pub dedupe: [u8; 32],
    /// Subject and sequence, when the entry has a subject.
    pub subject: Option<([u8; 16], u64)>,
}

/// A linked batch: consecutive entries from `expected.size` on.
#[derive(Debug)]
pub struct AppendBatch {
    /// The head this batch was linked to; `None` creates the log.
    pub expected: Option<Head>,
    /// The head after it.
    pub next: Head,
    /// Entries one after the other.
    pub entries: Vec<u8>,
    /// Lengths and unique columns, one per entry.
    pub keys: Vec<EntryKeys>,
    /// Sealed parts in order of position and part.
    pub payloads: Vec<PayloadRow>,
    /// Subtrees of 256 leaves that this batch completes.
    pub subtrees: Vec<(u64, Digest)>,
}

/// Why a batch was not appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Another writer moved the head: catch up and link again. Nothing was written.
    #[error("the head moved")]
    HeadMoved,
    /// A unique key refused a row, so another writer stored the same event first. Nothing was written.
    #[error("another writer stored one of these events")]
    Conflict,
    /// The statements failed. Nothing was written.
    #[error("append failed before commit")]
    Failed(#[source] StoreError),
    /// The commit's answer did not arrive. It may have happened: read the head.
    #[error("append may or may not have been committed")]
    Unknown(#[source] sqlx::Error),
}

fn failed(source: sqlx::Error) -> AppendError {
    match &source {
        sqlx::Error::Database(database) if database.is_unique_violation() => AppendError::Conflict,
        _ => AppendError::Failed(StoreError::Database(source)),
    }
}

impl Store {
    /// Appends a batch. Must run in an owned task.
    pub async fn append(&self, batch: AppendBatch) -> Result<(), AppendError> {
        match &self.db {
            Db::Sqlite(pools) => {
                let mut connection = pools.log_write.acquire().await.map_err(failed)?;
                let done = self.append_sqlite(&mut connection, &batch).await;
                if done.is_err() && connection.execute("ROLLBACK").await.is_err() {
                    // No transaction is open: `BEGIN` itself failed, or the engine rolled back. Either way start afresh.
                    connection.close_on_drop();
                }
                done
            }
            Db::Postgres(pools) => {
                let mut connection = pools.log_write.acquire().await.map_err(failed)?;
                self.append_postgres(&mut connection, &batch).await
            }
        }
    }

    async fn append_sqlite(&self, connection: &mut SqliteConnection, batch: &AppendBatch) -> Result<(), AppendError> {
        let runs = runs_of(batch);
        let (statement, steps) = match (batch.expected, runs.len()) {
            (None, 1) => (sql::sqlite::APPEND_FIRST, 6),
            (Some(_), 1) => (sql::sqlite::APPEND, 6),
            (_, _) => (sql::sqlite::APPEND_LARGE, 5),
        };
        for (number, run) in runs.into_iter().enumerate() {
            let whole = statement != sql::sqlite::APPEND_LARGE;
            let (statement, steps) = if number == 0 { (statement, steps) } else { (sql::sqlite::APPEND_MORE, 3) };
            let mut results = connection.fetch_many(self.append_query(statement, batch, run));
            let mut done = 0;
            loop {
                match results.try_next().await {
                    Ok(Some(Either::Left(step))) => {
                        done += 1;
                        // The second step creates or moves the head.
                        if number == 0 && done == 2 && step.rows_affected() != 1 {
                            return Err(AppendError::HeadMoved);
                        }
                    }
                    Ok(Some(Either::Right(_))) => {}
                    Ok(None) => break,
                    // Everything before the commit was done: whether it happened is unknown.
                    Err(error) if whole && done + 1 == steps => return Err(AppendError::Unknown(error)),
                    Err(error) => return Err(failed(error)),
                }
            }
        }
        if statement == sql::sqlite::APPEND_LARGE {
            connection.execute("COMMIT").await.map_err(AppendError::Unknown)?;
        }
        Ok(())
    }

    fn append_query<'q>(
        &'q self,
        statement: &'static str,
        batch: &'q AppendBatch,
        run: Run<'q>,
    ) -> Query<'q, Sqlite, SqliteArguments> {
        let Run { first, entries, bytes, payloads, subtrees } = run;
        let mut entry_rows = Packed::with_capacity(entries.len(), 2 * NUMBER, 0);
        let mut start = 0;
        for keys in entries {
            entry_rows.row().number(start + 1).number(keys.length as u64);
            start += keys.length as u64;
        }
        let payload_bytes = payloads.iter().map(|payload| payload.sealed.len()).sum();
        let mut payload_rows = Packed::with_capacity(payloads.len(), 3 * NUMBER, payload_bytes);
        for payload in payloads {
            payload_rows.row().number(slot(payload.position, payload.part)).bytes(&payload.sealed);
        }
        let mut subtree_rows = Packed::with_capacity(subtrees.len(), NUMBER + 32, 0);
        for (number, hash) in subtrees {
            subtree_rows.row().number(*number).fixed(hash.as_bytes());
        }
        let (next, expected) = (&batch.next, batch.expected.as_ref());
        sqlx::query(statement)
            .bind(self.key())
            .bind(entry_rows.count)
            .bind(entry_rows.heads)
            .bind(to_i64(first))
            .bind(bytes)
            .bind(payload_rows.count)
            .bind(payload_rows.heads)
            .bind(payload_rows.body)
            .bind(subtree_rows.count)
            .bind(subtree_rows.heads)
            .bind(to_i64(next.size))
            .bind(next.leaf.as_bytes().as_slice())
            .bind(next.recorded.micros())
            .bind(expected.map(|head| to_i64(head.size)))
            .bind(expected.map(|head| head.leaf.as_bytes().as_slice()))
            .bind(expected.map_or(next.epoch, |head| head.epoch))
    }

    async fn append_postgres(&self, connection: &mut PgConnection, batch: &AppendBatch) -> Result<(), AppendError> {
        let (next, expected) = (&batch.next, batch.expected.as_ref());
        let first = expected.map_or(0, |head| head.size);
        let count = batch.keys.len();
        let (mut positions, mut entries) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let (mut dedupes, mut subjects, mut sequences) =
            (Vec::with_capacity(count), Vec::with_capacity(count), Vec::with_capacity(count));
        let mut rest = batch.entries.as_slice();
        for (position, keys) in (first..).zip(&batch.keys) {
            let (entry, after) = rest.split_at(keys.length.min(rest.len()));
            rest = after;
            positions.push(to_i64(position));
            entries.push(entry);
            dedupes.push(keys.dedupe.as_slice());
            subjects.push(keys.subject.as_ref().map(|(subject, _)| subject.as_slice()));
            sequences.push(keys.subject.map(|(_, sequence)| to_i64(sequence)));
        }
        let moved: i64 = sqlx::query_scalar(expected.map_or(sql::postgres::APPEND_FIRST, |_| sql::postgres::APPEND))
            .bind(self.key())
            .bind(to_i64(next.size))
            .bind(next.leaf.as_bytes().as_slice())
            .bind(next.recorded.micros())
            .bind(expected.map(|head| to_i64(head.size)))
            .bind(expected.map(|head| head.leaf.as_bytes().as_slice()))
            .bind(expected.map_or(next.epoch, |head| head.epoch))
            .bind(positions)
            .bind(entries)
            .bind(dedupes)
            .bind(subjects)
            .bind(sequences)
            .bind(batch.payloads.iter().map(|row| to_i64(slot(row.position, row.part))).collect::<Vec<_>>())
            .bind(batch.payloads.iter().map(|row| row.sealed.as_slice()).collect::<Vec<_>>())
            .bind(batch.subtrees.iter().map(|(number, _)| to_i64(*number)).collect::<Vec<_>>())
            .bind(batch.subtrees.iter().map(|(_, hash)| hash.as_bytes().as_slice()).collect::<Vec<_>>())
            .fetch_one(connection)
            .await
            .map_err(|error| if refused(&error) { failed(error) } else { AppendError::Unknown(error) })?;
        if moved == 1 { Ok(()) } else { Err(AppendError::HeadMoved) }
    }
}

/// Whether Postgres said itself that the statement did nothing. Any other end leaves open whether its commit happened: a lost
/// connection, and a server that is told to stop (class 57P) while a standby has yet to confirm.
fn refused(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(database) => !database.code().is_some_and(|code| code.starts_with("57P")),
        _ => false,
    }
}

/// Rows of one text: at most [`ROWS_MAX`] of each table.
struct Run<'b> {
    first: u64,
    entries: &'b [EntryKeys],
    bytes: &'b [u8],
    payloads: &'b [PayloadRow],
    subtrees: &'b [(u64, Digest)],
}

/// A batch in runs; nearly always one.
fn runs_of(batch: &AppendBatch) -> Vec<Run<'_>> {
    let mut first = batch.expected.map_or(0, |head| head.size);
    let (mut entries, mut payloads) = (batch.keys.chunks(ROWS_MAX), batch.payloads.chunks(ROWS_MAX));
    let (mut subtrees, mut rest) = (batch.subtrees.chunks(ROWS_MAX), batch.entries.as_slice());
    let mut runs = Vec::with_capacity(1);
    loop {
        let (keys, parts, hashes) = (entries.next(), payloads.next(), subtrees.next());
        if keys.is_none() && parts.is_none() && hashes.is_none() {
            return runs;
        }
        let keys = keys.unwrap_or_default();
        let length: usize = keys.iter().map(|keys| keys.length).sum();
        let (bytes, after) = rest.split_at(length.min(rest.len()));
        rest = after;
        runs.push(Run {
            first,
            entries: keys,
            bytes,
            payloads: parts.unwrap_or_default(),
            subtrees: hashes.unwrap_or_default(),
        });
        first += keys.len() as u64;
    }
}
