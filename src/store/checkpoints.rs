//! Published checkpoints, beside the file that the signer writes first.

use super::db::on_db;
use super::rows::{to_i64, to_u64};
use super::{Store, StoreError, sql};

impl Store {
    /// Keeps a signed checkpoint. The first one of a size stays.
    pub async fn checkpoint_insert(&self, size: u64, note: &str) -> Result<(), StoreError> {
        on_db!(self.db, log_write, pool => {
            sqlx::query(sql::CHECKPOINT_INSERT)
                .bind(self.key())
                .bind(to_i64(size))
                .bind(note)
                .execute(pool)
                .await
                .map(|_| ())
        })?;
        Ok(())
    }

    /// The newest kept checkpoint: size and note.
    pub async fn checkpoint_last(&self) -> Result<Option<(u64, String)>, StoreError> {
        let row: Option<(i64, String)> = on_db!(self.db, log_read, pool => {
            sqlx::query_as(sql::CHECKPOINT_LAST).bind(self.key()).fetch_optional(pool).await
        })?;
        row.map(|(size, note)| Ok((to_u64("checkpoints", size)?, note))).transpose()
    }
}
