//! Reading entries. There is no method here that changes one.

use futures_util::TryStreamExt;
use futures_util::future::try_join_all;

use super::db::{Db, lookup_rows, on_db};
use super::pack::{NUMBER, Packed, ROWS_MAX, unpack};
use super::rows::{digest, to_i64, to_u64};
use super::{Store, StoreError, sql};
use crate::crypto::hash::Digest;

impl Store {
    /// The stored bytes of one entry, or `None` past the end.
    pub async fn entry_at(&self, position: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let row: Option<(Vec<u8>,)> = on_db!(self.db, log_read, pool => {
            sqlx::query_as(sql::ENTRY_AT).bind(self.key()).bind(to_i64(position)).fetch_optional(pool).await
        })?;
        Ok(row.map(|(entry,)| entry))
    }

    /// Entries of `[first, end)` in order, as far as they exist.
    pub async fn entries_from(&self, first: u64, end: u64) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        if let Some(positions) = self.listed(first, end) {
            let mut entries = self.entries_at(&positions).await?;
            entries.sort_unstable_by_key(|(position, _)| *position);
            return Ok(entries);
        }
        let rows: Vec<(i64, Vec<u8>)> = on_db!(self.db, log_read, pool => {
            sqlx::query_as(sql::ENTRIES_FROM)
                .bind(self.key())
                .bind(to_i64(first))
                .bind(to_i64(end))
                .fetch(pool)
                .try_collect()
                .await
        })?;
        rows.into_iter().map(|(position, entry)| Ok((to_u64("entries", position)?, entry))).collect()
    }

    /// The positions of a range that is better asked for one by one: SQLite packs those into one row, and of a range makes as many
    /// as there are. None for a long range, and on Postgres.
    pub(super) fn listed(&self, first: u64, end: u64) -> Option<Vec<u64>> {
        let short = matches!(self.db, Db::Sqlite(_)) && end.saturating_sub(first) <= ROWS_MAX as u64;
        short.then(|| (first..end).collect())
    }

    /// Entries at the given positions, in no particular order; missing ones are left out.
    pub async fn entries_at(&self, positions: &[u64]) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        // In order of the rows, so that neighbours share a page.
        let mut positions = positions.to_vec();
        positions.sort_unstable();
        let pieces = positions.chunks(lookup_rows(positions.len())).map(|piece| self.entries_piece(piece));
        let rows = try_join_all(pieces).await?.into_iter().flatten();
        rows.map(|(position, entry)| Ok((to_u64("entries", position)?, entry))).collect()
    }

    async fn entries_piece(&self, positions: &[u64]) -> Result<Vec<(i64, Vec<u8>)>, sqlx::Error> {
        match &self.db {
            Db::Sqlite(pools) => {
                let mut packed = Packed::with_capacity(positions.len(), NUMBER, 0);
                for position in positions {
                    packed.row().number(*position);
                }
                let query = sqlx::query_scalar(sql::sqlite::ENTRIES_AT).bind(self.key());
                unpack(query.bind(packed.count).bind(packed.heads).fetch_one(&pools.log_read).await?)
            }
            Db::Postgres(pools) => {
                let positions: Vec<i64> = positions.iter().map(|position| to_i64(*position)).collect();
                let query = sqlx::query_as(sql::postgres::ENTRIES_AT).bind(self.key());
                query.bind(positions).fetch_all(&pools.log_read).await
            }
        }
    }

    /// How many entry rows exist; equals the head's size unless rows were tampered with.
    pub async fn entries_count(&self) -> Result<u64, StoreError> {
        let (count,): (i64,) = on_db!(self.db, log_read, pool => {
            sqlx::query_as(sql::ENTRIES_COUNT).bind(self.key()).fetch_one(pool).await
        })?;
        to_u64("entries", count)
    }

    /// Stored hashes of complete subtrees of 256 leaves, from number `first` on, in order.
    pub async fn subtrees_from(&self, first: u64) -> Result<Vec<(u64, Digest)>, StoreError> {
        let rows: Vec<(i64, Vec<u8>)> = on_db!(self.db, log_read, pool => {
            sqlx::query_as(sql::SUBTREES_FROM).bind(self.key()).bind(to_i64(first)).fetch_all(pool).await
        })?;
        rows.into_iter().map(|(number, hash)| Ok((to_u64("subtrees", number)?, digest("subtrees", &hash)?))).collect()
    }
}
