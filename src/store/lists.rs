//! Versions of lists in pieces, where servers share a database. On SQLite they are files of the one server, and nothing is here.

use super::db::Db;
use super::rows::to_i64;
use super::{Store, StoreError, sql};
use crate::crypto::hash::Digest;

impl Store {
    /// Whether versions of lists are shared through the database.
    pub fn shares_lists(&self) -> bool {
        matches!(self.db, Db::Postgres(_))
    }

    /// Keeps a piece of a version. One that is there stays: pieces of a version never differ.
    pub async fn list_chunk_insert(&self, version: &Digest, chunk: u64, tokens: &[u8]) -> Result<(), StoreError> {
        if let Db::Postgres(pools) = &self.db {
            sqlx::query(sql::LIST_CHUNK_INSERT)
                .bind(self.key())
                .bind(version.as_bytes().as_slice())
                .bind(to_i64(chunk))
                .bind(tokens)
                .execute(&pools.log_write)
                .await?;
        }
        Ok(())
    }

    /// A piece of a version.
    pub async fn list_chunk(&self, version: &Digest, chunk: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let Db::Postgres(pools) = &self.db else { return Ok(None) };
        let row: Option<(Vec<u8>,)> = sqlx::query_as(sql::LIST_CHUNK)
            .bind(self.key())
            .bind(version.as_bytes().as_slice())
            .bind(to_i64(chunk))
            .fetch_optional(&pools.log_read)
            .await?;
        Ok(row.map(|(tokens,)| tokens))
    }
}
