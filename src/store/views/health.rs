//! Reading counts by type and day, and who posted last.

use super::sql;
use crate::domain::time::Timestamp;
use crate::store::db::on_db;
use crate::store::rows::to_u64;
use crate::store::{Store, StoreError};

/// Entries of a type on a recorded day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthDay {
    /// Days since 1970-01-01.
    pub day: i64,
    /// Event type.
    pub event_type: String,
    /// Entries.
    pub events: i64,
    /// Entries whose business part could not be opened.
    pub absent: i64,
}

/// The last entry of a type or of a principal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthLast {
    /// 1 event type, 2 principal.
    pub scope: i64,
    /// Event type, or the principal's id.
    pub name: String,
    /// Its last entry.
    pub position: u64,
    /// When that was recorded.
    pub recorded: Timestamp,
    /// Entries in all.
    pub events: i64,
}

impl Store {
    /// Counts of the recorded days in `[from, to)`.
    pub async fn health_days(&self, from: i64, to: i64) -> Result<Vec<HealthDay>, StoreError> {
        let rows: Vec<(i64, String, i64, i64)> = on_db!(self.db, views_read, pool => {
            sqlx::query_as(sql::HEALTH_DAYS).bind(self.key()).bind(from).bind(to).fetch_all(pool).await
        })?;
        Ok(rows
            .into_iter()
            .map(|(day, event_type, events, absent)| HealthDay { day, event_type, events, absent })
            .collect())
    }

    /// The last entry of every type and every principal.
    pub async fn health_last(&self) -> Result<Vec<HealthLast>, StoreError> {
        let rows: Vec<(i64, String, i64, i64, i64)> = on_db!(self.db, views_read, pool => {
            sqlx::query_as(sql::HEALTH_LAST).bind(self.key()).fetch_all(pool).await
        })?;
        rows.into_iter()
            .map(|(scope, name, position, recorded, events)| {
                let position = to_u64("health_last", position)?;
                Ok(HealthLast { scope, name, position, recorded: Timestamp::from_micros(recorded), events })
            })
            .collect()
    }
}
