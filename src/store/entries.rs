//! Reading entries. There is no method here that changes one.

use futures_util::future::try_join_all;

use super::db::{Db, lookup_rows, on_db, range_pieces};
use super::lookup::{Reading, numbered};
use super::rows::{digest, to_i64, to_u64};
use super::{Store, StoreError, sql};
use crate::crypto::hash::Digest;

impl Store {
    /// The stored bytes of one entry, or `None` past the end.
    pub async fn entry_at(&self, position: u64) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.entries_at(&[position]).await?.pop().map(|(_, entry)| entry))
    }

    /// Entries of `[first, end)` in order, as far as they exist.
    pub async fn entries_from(&self, first: u64, end: u64) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let rows: Vec<(i64, Vec<u8>)> = match &self.db {
            Db::Sqlite(files) => {
                let pieces = range_pieces(first, end).into_iter().map(|(first, end)| {
                    let (ledger, first, end) = (self.ledger, to_i64(first), to_i64(end));
                    let read = move |reading: &Reading<'_>| {
                        reading.rows(sql::ENTRIES_FROM, (ledger.as_bytes(), first, end), numbered)
                    };
                    files.lookups.log.read(read)
                });
                try_join_all(pieces).await?.into_iter().flatten().collect()
            }
            Db::Postgres(pools) => {
                let query = sqlx::query_as(sql::ENTRIES_FROM).bind(self.key());
                query.bind(to_i64(first)).bind(to_i64(end)).fetch_all(&pools.log_read).await?
            }
        };
        rows.into_iter().map(|(position, entry)| Ok((to_u64("entries", position)?, entry))).collect()
    }

    /// Entries at the given positions, in no particular order; missing ones are left out.
    pub async fn entries_at(&self, positions: &[u64]) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        // In order of the rows, so that neighbours share a page.
        let mut positions: Vec<i64> = positions.iter().map(|position| to_i64(*position)).collect();
        positions.sort_unstable();
        let pieces = positions.chunks(lookup_rows(positions.len())).map(|piece| self.entries_piece(piece));
        let rows = try_join_all(pieces).await?.into_iter().flatten();
        rows.map(|(position, entry)| Ok((to_u64("entries", position)?, entry))).collect()
    }

    async fn entries_piece(&self, positions: &[i64]) -> Result<Vec<(i64, Vec<u8>)>, StoreError> {
        match &self.db {
            Db::Sqlite(files) => {
                let (ledger, positions) = (self.ledger, positions.to_vec());
                let read = move |reading: &Reading<'_>| {
                    reading.each(sql::sqlite::ENTRY_AT, &positions, |position| (ledger.as_bytes(), *position), numbered)
                };
                files.lookups.log.read(read).await
            }
            Db::Postgres(pools) => {
                let query = sqlx::query_as(sql::postgres::ENTRIES_AT).bind(self.key());
                Ok(query.bind(positions).fetch_all(&pools.log_read).await?)
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
