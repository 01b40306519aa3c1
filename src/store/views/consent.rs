//! Reading what persons agreed to and refused.

use sqlx::{ColumnIndex, Decode, Row, Type};

use super::ConsentAct;
use super::rows::ConsentRow;
use super::sql;
use crate::domain::ids::SubjectId;
use crate::domain::time::Timestamp;
use crate::store::db::on_db;
use crate::store::{Store, StoreError};

/// One row, in the order of the statement's columns: more of them than a tuple can hold.
fn act<'r, R: Row>(row: &'r R, subject: [u8; 16]) -> Result<ConsentRow, sqlx::Error>
where
    usize: ColumnIndex<R>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
    String: Decode<'r, R::Database> + Type<R::Database>,
    Vec<u8>: Decode<'r, R::Database> + Type<R::Database>,
{
    Ok(ConsentRow {
        subject,
        position: row.try_get(0)?,
        line: row.try_get(1)?,
        act: row.try_get(2)?,
        channels: row.try_get(3)?,
        purposes: row.try_get(4)?,
        technologies: row.try_get(5)?,
        flags: row.try_get(6)?,
        effective: row.try_get(7)?,
        occurred: row.try_get(8)?,
        recorded: row.try_get(9)?,
        valid_from: row.try_get(10)?,
        valid_until: row.try_get(11)?,
        target: row.try_get(12)?,
        seller: row.try_get(13)?,
        kind: row.try_get(14)?,
        method: row.try_get(15)?,
        record: row.try_get(16)?,
    })
}

impl Store {
    /// Every act of a subject that the ledger knew at `known_at`, in the order of positions.
    pub async fn consent_acts(&self, subject: &SubjectId, known_at: Timestamp) -> Result<Vec<ConsentRow>, StoreError> {
        let person = *subject.as_bytes();
        Ok(on_db!(self.db, views_read, pool => {
            sqlx::query(sql::CONSENT_OF)
                .bind(self.key())
                .bind(person.as_slice())
                .bind(known_at.micros())
                .try_map(|row| act(&row, person))
                .fetch_all(pool)
                .await
        })?)
    }

    /// Acts in the histories of others that undo acts of these subjects, or undo such an undoing, as known at `known_at`:
    /// position and target. A correction that names another person stands in that person's history.
    pub async fn consent_undoing(
        &self,
        subjects: &[SubjectId],
        known_at: Timestamp,
    ) -> Result<Vec<(i64, i64)>, StoreError> {
        let mut undoing = Vec::new();
        for subject in subjects {
            let rows: Vec<(i64, i64)> = on_db!(self.db, views_read, pool => {
                sqlx::query_as(sql::CONSENT_UNDOING)
                    .bind(self.key())
                    .bind(subject.as_bytes().as_slice())
                    .bind(known_at.micros())
                    .bind(ConsentAct::Carried.code())
                    .fetch_all(pool)
                    .await
            })?;
            undoing.extend(rows);
        }
        Ok(undoing)
    }

    /// How many acts took effect in `[from, to)` as known at `known_at`: act, channel bits, seller, count.
    pub async fn consent_activity(
        &self,
        from: Timestamp,
        to: Timestamp,
        known_at: Timestamp,
    ) -> Result<Vec<(i64, i64, String, i64)>, StoreError> {
        Ok(on_db!(self.db, views_read, pool => {
            sqlx::query_as(sql::CONSENT_ACTIVITY)
                .bind(self.key())
                .bind(from.micros())
                .bind(to.micros())
                .bind(known_at.micros())
                .fetch_all(pool)
                .await
        })?)
    }
}
