//! The append transaction: head, entries, payloads and subtree hashes in one commit, or nothing.
//!
//! The commit point is the `COMMIT` of [`Store::append`]. An error from the statements before it means that nothing was
//! written. An error from the commit itself means *unknown*: the caller must read the head again before it says anything
//! to anybody.

use sqlx::{PgConnection, SqliteConnection};

use super::db::Db;
use super::heads::Head;
use super::pack::Packed;
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
    /// Part kind code.
    pub kind: u8,
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
                let mut tx = pools.log_write.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
                self.head_swap_sqlite(&mut tx, &batch).await?;
                self.rows_insert_sqlite(&mut tx, batch).await.map_err(failed)?;
                tx.commit().await.map_err(AppendError::Unknown)
            }
            Db::Postgres(pools) => {
                let mut tx = pools.log_write.begin().await.map_err(failed)?;
                self.head_swap_postgres(&mut tx, &batch).await?;
                self.rows_insert_postgres(&mut tx, batch).await.map_err(failed)?;
                tx.commit().await.map_err(AppendError::Unknown)
            }
        }
    }

    async fn rows_insert_sqlite(&self, tx: &mut SqliteConnection, batch: AppendBatch) -> Result<(), sqlx::Error> {
        let first = batch.expected.map_or(0, |head| head.size);
        let mut rows = Packed::with_capacity(batch.keys.len(), 60, 0);
        let mut start = 1;
        for (position, keys) in (first..).zip(&batch.keys) {
            rows.row().number(position).number(start).number(keys.length as u64);
            start += keys.length as u64;
        }
        rows.body = batch.entries;
        self.packed_execute(tx, sql::sqlite::ENTRIES_INSERT, rows).await?;

        let bytes = batch.payloads.iter().map(|payload| payload.sealed.len()).sum();
        let mut rows = Packed::with_capacity(batch.payloads.len(), 100, bytes);
        for payload in &batch.payloads {
            rows.row().number(payload.position).number(payload.part.into()).number(payload.kind.into());
            rows.bytes(&payload.sealed);
        }
        self.packed_execute(tx, sql::sqlite::PAYLOADS_INSERT, rows).await?;

        let mut rows = Packed::with_capacity(batch.subtrees.len(), 52, 0);
        for (number, hash) in &batch.subtrees {
            rows.row().number(*number).fixed(hash.as_bytes());
        }
        self.packed_execute(tx, sql::sqlite::SUBTREES_INSERT, rows).await
    }

    async fn packed_execute(
        &self,
        tx: &mut SqliteConnection,
        statement: &'static str,
        rows: Packed,
    ) -> Result<(), sqlx::Error> {
        if rows.count == 0 {
            return Ok(());
        }
        let query = sqlx::query(statement).bind(self.key()).bind(rows.count).bind(rows.heads);
        // A statement whose rows are all of fixed width has no body to bind.
        if rows.body.is_empty() { query.execute(tx).await } else { query.bind(rows.body).execute(tx).await }?;
        Ok(())
    }

    async fn rows_insert_postgres(&self, tx: &mut PgConnection, batch: AppendBatch) -> Result<(), sqlx::Error> {
        let first = batch.expected.map_or(0, |head| head.size);
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
        sqlx::query(sql::postgres::ENTRIES_INSERT)
            .bind(self.key())
            .bind(positions)
            .bind(entries)
            .bind(dedupes)
            .bind(subjects)
            .bind(sequences)
            .execute(&mut *tx)
            .await?;
        let payloads = &batch.payloads;
        sqlx::query(sql::postgres::PAYLOADS_INSERT)
            .bind(self.key())
            .bind(payloads.iter().map(|row| to_i64(row.position)).collect::<Vec<_>>())
            .bind(payloads.iter().map(|row| i64::from(row.part)).collect::<Vec<_>>())
            .bind(payloads.iter().map(|row| i64::from(row.kind)).collect::<Vec<_>>())
            .bind(payloads.iter().map(|row| row.sealed.as_slice()).collect::<Vec<_>>())
            .execute(&mut *tx)
            .await?;
        if !batch.subtrees.is_empty() {
            sqlx::query(sql::postgres::SUBTREES_INSERT)
                .bind(self.key())
                .bind(batch.subtrees.iter().map(|(number, _)| to_i64(*number)).collect::<Vec<_>>())
                .bind(batch.subtrees.iter().map(|(_, hash)| hash.as_bytes().as_slice()).collect::<Vec<_>>())
                .execute(&mut *tx)
                .await?;
        }
        Ok(())
    }
}

/// The compare-and-swap of the head, the same for both drivers.
macro_rules! head_swap {
    ($name:ident, $connection:ty) => {
        impl Store {
            /// Lock and move the head before any row is written: two writers that share a head would each produce a valid
            /// link and fork the chain.
            async fn $name(&self, tx: &mut $connection, batch: &AppendBatch) -> Result<(), AppendError> {
                let next = &batch.next;
                let query = match &batch.expected {
                    None => sqlx::query(sql::HEAD_CREATE)
                        .bind(self.key())
                        .bind(to_i64(next.size))
                        .bind(next.leaf.as_bytes().as_slice())
                        .bind(next.recorded.micros())
                        .bind(next.epoch),
                    Some(expected) => sqlx::query(sql::HEAD_SWAP)
                        .bind(self.key())
                        .bind(to_i64(next.size))
                        .bind(next.leaf.as_bytes().as_slice())
                        .bind(next.recorded.micros())
                        .bind(to_i64(expected.size))
                        .bind(expected.leaf.as_bytes().as_slice())
                        .bind(expected.epoch),
                };
                let changed = query.execute(tx).await.map_err(failed)?.rows_affected();
                if changed == 1 { Ok(()) } else { Err(AppendError::HeadMoved) }
            }
        }
    };
}
head_swap!(head_swap_sqlite, SqliteConnection);
head_swap!(head_swap_postgres, PgConnection);
