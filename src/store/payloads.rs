//! Sealed parts. Only retention and erasure delete them, through the shredding connection.

use super::db::{Db, on_db};
use super::pack::Packed;
use super::rows::{to_i64, to_u64};
use super::{Store, StoreError, sql};

/// A stored part: position, index in the entry's list, sealed bytes.
pub type StoredPart = (u64, u8, Vec<u8>);

fn part_number(part: i64) -> Result<u8, StoreError> {
    u8::try_from(part).map_err(|_| StoreError::inconsistent("payloads", format!("part number {part}")))
}

impl Store {
    /// The stored parts of one entry by part number.
    pub async fn payloads_of(&self, position: u64) -> Result<Vec<(u8, Vec<u8>)>, StoreError> {
        let rows: Vec<(i64, Vec<u8>)> = on_db!(self.db, log_read, pool => {
            sqlx::query_as(sql::PAYLOADS_OF).bind(self.key()).bind(to_i64(position)).fetch_all(pool).await
        })?;
        rows.into_iter().map(|(part, sealed)| Ok((part_number(part)?, sealed))).collect()
    }

    /// The stored parts of entries in `[first, end)` whose kind code is at most `kind_max`, by position and part.
    pub async fn payloads_from(&self, first: u64, end: u64, kind_max: u8) -> Result<Vec<StoredPart>, StoreError> {
        let rows: Vec<(i64, i64, Vec<u8>)> = on_db!(self.db, log_read, pool => {
            sqlx::query_as(sql::PAYLOADS_FROM)
                .bind(self.key())
                .bind(to_i64(first))
                .bind(to_i64(end))
                .bind(i64::from(kind_max))
                .fetch_all(pool)
                .await
        })?;
        rows.into_iter()
            .map(|(position, part, sealed)| Ok((to_u64("payloads", position)?, part_number(part)?, sealed)))
            .collect()
    }

    /// The stored parts of entries in `[first, end)` by position and part, each with the kind that its row claims.
    pub async fn payload_rows(&self, first: u64, end: u64) -> Result<Vec<(u64, u8, i64, Vec<u8>)>, StoreError> {
        let rows: Vec<(i64, i64, i64, Vec<u8>)> = on_db!(self.db, log_read, pool => {
            sqlx::query_as(sql::PAYLOAD_ROWS)
                .bind(self.key())
                .bind(to_i64(first))
                .bind(to_i64(end))
                .fetch_all(pool)
                .await
        })?;
        rows.into_iter()
            .map(|(position, part, kind, sealed)| Ok((to_u64("payloads", position)?, part_number(part)?, kind, sealed)))
            .collect()
    }

    /// Deletes one stored part for good. The entry keeps its digest, so the log still verifies.
    pub async fn payload_delete(&self, position: u64, part: u8) -> Result<(), StoreError> {
        on_db!(self.db, shred, pool => {
            sqlx::query(sql::PAYLOAD_DELETE)
                .bind(self.key())
                .bind(to_i64(position))
                .bind(i64::from(part))
                .execute(pool)
                .await
                .map(|_| ())
        })?;
        Ok(())
    }

    /// Deletes stored parts (position and part number) for good, all or none; those that are gone already are no error.
    pub async fn payloads_delete(&self, parts: &[(u64, u8)]) -> Result<u64, StoreError> {
        if parts.is_empty() {
            return Ok(0);
        }
        Ok(match &self.db {
            Db::Sqlite(pools) => {
                let mut packed = Packed::with_capacity(parts.len(), 40, 0);
                for (position, part) in parts {
                    packed.row().number(*position).number((*part).into());
                }
                let query = sqlx::query(sql::sqlite::PAYLOADS_DELETE).bind(self.key()).bind(packed.count);
                query.bind(packed.heads).execute(&pools.shred).await?.rows_affected()
            }
            Db::Postgres(pools) => sqlx::query(sql::postgres::PAYLOADS_DELETE)
                .bind(self.key())
                .bind(parts.iter().map(|(position, _)| to_i64(*position)).collect::<Vec<_>>())
                .bind(parts.iter().map(|(_, part)| i64::from(*part)).collect::<Vec<_>>())
                .execute(&pools.shred)
                .await?
                .rows_affected(),
        })
    }
}
