//! Reading runs of rows as one: for whoever reads the whole log. A row through the driver costs 1.6 us, of which decoding
//! and hashing its entry is half; packed by the database, 4,096 rows are one row, and an entry costs 0.5 us.
//!
//! Promises the same rows as `entries_from` and `payloads_from`, in the same order.

use std::ops::Range;

use super::db::Db;
use super::payloads::{place, slot_bound};
use super::rows::to_i64;
use super::{Store, StoreError};

/// SQLite's SQLITE_TOOBIG: the packed value would be longer than one value may be.
const SQLITE_TOO_BIG: &str = "18";

// The inner ORDER BY is the primary key's own order, in which SQLite aggregates; values of type BLOB pass group_concat
// unchanged, because a database in UTF-8 has nothing to convert.
const SQLITE_ENTRIES: &str = "SELECT group_concat(position || ' ' || length(entry)), CAST(group_concat(entry, '') AS BLOB) \
     FROM (SELECT position, entry FROM entries WHERE ledger = $1 AND position >= $2 AND position < $3 ORDER BY position)";
const SQLITE_PAYLOADS: &str = "SELECT group_concat(slot || ' ' || length(sealed)), CAST(group_concat(sealed, '') AS BLOB) \
     FROM (SELECT slot, sealed FROM payloads WHERE ledger = $1 AND slot >= $2 AND slot < $3 ORDER BY slot)";
const POSTGRES_ENTRIES: &str = "SELECT string_agg(position || ' ' || length(entry), ',' ORDER BY position), \
     string_agg(entry, ''::bytea ORDER BY position) FROM entries \
     WHERE ledger = $1 AND position >= $2 AND position < $3";
const POSTGRES_PAYLOADS: &str = "SELECT string_agg(slot || ' ' || length(sealed), ',' ORDER BY slot), \
     string_agg(sealed, ''::bytea ORDER BY slot) FROM payloads WHERE ledger = $1 AND slot >= $2 AND slot < $3";

type PackedRow = (Option<String>, Option<Vec<u8>>);

/// Rows in order, their bytes end to end. `K` is what names a row: a position, or a position and a part number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowBlock<K> {
    rows: Vec<(K, Range<usize>)>,
    bytes: Vec<u8>,
}

impl<K: Copy> RowBlock<K> {
    /// The rows.
    pub fn iter(&self) -> impl Iterator<Item = (K, &[u8])> {
        self.rows.iter().map(|(key, range)| (*key, self.bytes.get(range.clone()).unwrap_or_default()))
    }

    fn from_rows(rows: impl IntoIterator<Item = (K, Vec<u8>)>) -> RowBlock<K> {
        let mut block = RowBlock { rows: Vec::new(), bytes: Vec::new() };
        for (key, bytes) in rows {
            let start = block.bytes.len();
            block.bytes.extend_from_slice(&bytes);
            block.rows.push((key, start..block.bytes.len()));
        }
        block
    }

    fn parse(
        table: &'static str,
        (heads, bytes): PackedRow,
        key: impl Fn(u64) -> Option<K>,
    ) -> Result<RowBlock<K>, StoreError> {
        let (heads, bytes) = (heads.unwrap_or_default(), bytes.unwrap_or_default());
        let mut rows = Vec::new();
        let mut start = 0_usize;
        for head in heads.split(',').filter(|head| !head.is_empty()) {
            let numbers = head.split_once(' ');
            let found = numbers.and_then(|(number, length)| Some((key(number.parse().ok()?)?, length.parse().ok()?)));
            let (found, length): (K, usize) =
                found.ok_or_else(|| StoreError::inconsistent(table, "a packed row without its key"))?;
            rows.push((found, start..start + length));
            start += length;
        }
        if start != bytes.len() {
            return Err(StoreError::inconsistent(table, format!("{} packed bytes where {start} belong", bytes.len())));
        }
        Ok(RowBlock { rows, bytes })
    }
}

impl Store {
    /// Entries of `[first, end)` in order, as far as they exist.
    ///
    /// # Errors
    /// [`StoreError`] when they cannot be read.
    pub async fn entry_block(&self, first: u64, end: u64) -> Result<RowBlock<u64>, StoreError> {
        match self.packed(SQLITE_ENTRIES, POSTGRES_ENTRIES, to_i64(first), to_i64(end)).await? {
            Some(row) => RowBlock::parse("entries", row, Some),
            None => Ok(RowBlock::from_rows(self.entries_from(first, end).await?)),
        }
    }

    /// Stored parts of entries in `[first, end)`, by position and part number.
    ///
    /// # Errors
    /// [`StoreError`] when they cannot be read.
    pub async fn payload_block(&self, first: u64, end: u64) -> Result<RowBlock<(u64, u8)>, StoreError> {
        match self.packed(SQLITE_PAYLOADS, POSTGRES_PAYLOADS, slot_bound(first), slot_bound(end)).await? {
            Some(row) => RowBlock::parse("payloads", row, |slot| Some(place(slot))),
            None => {
                let rows = self.payloads_from(first, end).await?;
                Ok(RowBlock::from_rows(rows.into_iter().map(|(position, part, sealed)| ((position, part), sealed))))
            }
        }
    }

    /// One packed row; none if it would be too long for the engine.
    async fn packed(
        &self,
        sqlite: &'static str,
        postgres: &'static str,
        first: i64,
        end: i64,
    ) -> Result<Option<PackedRow>, StoreError> {
        let row = match &self.db {
            Db::Sqlite(pools) => {
                sqlx::query_as(sqlite).bind(self.key()).bind(first).bind(end).fetch_one(&pools.log_read).await
            }
            Db::Postgres(pools) => {
                sqlx::query_as(postgres).bind(self.key()).bind(first).bind(end).fetch_one(&pools.log_read).await
            }
        };
        match row {
            Ok(row) => Ok(Some(row)),
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(SQLITE_TOO_BIG) => Ok(None),
            Err(error) => Err(StoreError::Database(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(heads: &str, bytes: &[u8]) -> Result<RowBlock<u64>, StoreError> {
        RowBlock::parse("entries", (Some(heads.to_owned()), Some(bytes.to_vec())), Some)
    }

    #[test]
    fn packed_rows_come_apart_as_they_were() {
        let rows = [(7, b"\0one".to_vec()), (8, Vec::new()), (12, b"\xff".to_vec())];
        let block = parse("7 4,8 0,12 1", b"\0one\xff").unwrap();
        assert_eq!(block, RowBlock::from_rows(rows.clone()));
        assert_eq!(block.iter().map(|(key, bytes)| (key, bytes.to_vec())).collect::<Vec<_>>(), rows);
        let none = RowBlock::<u64>::parse("entries", (None, None), |_| None).unwrap();
        assert_eq!(none.iter().count(), 0);
    }

    #[test]
    fn packed_rows_that_do_not_add_up_are_refused() {
        assert!(parse("7 4", b"one").is_err());
        assert!(parse("7", b"one").is_err());
        assert!(parse("x 3", b"one").is_err());
    }
}
