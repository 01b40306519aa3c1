//! Which of several servers on one Postgres appends. The lease gives liveness; the head's compare-and-swap gives safety.

use super::db::on_db;
use super::{Store, StoreError, sql};
use crate::domain::time::Timestamp;

/// The lease row of a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The server that holds it.
    pub holder: String,
    /// Fencing number: grows each time the holder changes.
    pub epoch: i64,
    /// When others may take it.
    pub expires: Timestamp,
}

impl Store {
    /// Takes or renews the lease for `holder` until `expires` if it is free, expired before `now` or already his, and
    /// returns the row as it then is: the caller holds it only if the row names him.
    pub async fn lease_take(&self, holder: &str, now: Timestamp, expires: Timestamp) -> Result<Lease, StoreError> {
        on_db!(self.db, log_write, pool => {
            sqlx::query(sql::LEASE_TAKE)
                .bind(self.key())
                .bind(holder)
                .bind(expires.micros())
                .bind(now.micros())
                .execute(pool)
                .await
                .map(|_| ())
        })?;
        let (holder, epoch, expires): (String, i64, i64) = on_db!(self.db, log_write, pool => {
            sqlx::query_as(sql::LEASE_READ).bind(self.key()).fetch_one(pool).await
        })?;
        Ok(Lease { holder, epoch, expires: Timestamp::from_micros(expires) })
    }
}
