//! Reading journeys: a page of steps in order of persons, and the few rows that speak of other rows.

use sqlx::{ColumnIndex, Decode, Row, Type};

use super::JourneyStep;
use super::rows::JourneyRow;
use super::sql;
use crate::store::db::on_db;
use crate::store::rows::array;
use crate::store::{Store, StoreError};

/// One row, in the order of the statements' columns.
fn step<'r, R: Row>(row: &'r R) -> Result<JourneyRow, sqlx::Error>
where
    usize: ColumnIndex<R>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
    String: Decode<'r, R::Database> + Type<R::Database>,
    Vec<u8>: Decode<'r, R::Database> + Type<R::Database>,
{
    let wrong = |error: StoreError| sqlx::Error::Decode(Box::new(error));
    let bytes = |place: usize| -> Result<[u8; 16], sqlx::Error> {
        array("journey_steps", &row.try_get::<Vec<u8>, usize>(place)?).map_err(wrong)
    };
    let currency: String = row.try_get(11)?;
    Ok(JourneyRow {
        subject: bytes(0)?,
        position: row.try_get(1)?,
        step: JourneyStep::from_code(row.try_get(2)?)
            .ok_or_else(|| wrong(StoreError::inconsistent("journey_steps", "unknown step".to_owned())))?,
        occurred: row.try_get(3)?,
        recorded: row.try_get(4)?,
        micros: row.try_get(5)?,
        target: row.try_get(6)?,
        channel: row.try_get(7)?,
        mark: row.try_get(8)?,
        campaign: row.try_get(9)?,
        seller: row.try_get(10)?,
        currency: array("journey_steps", currency.as_bytes()).map_err(wrong)?,
        record: bytes(12)?,
    })
}

impl Store {
    /// Steps behind (`subject`, `position`), in that order, at most `rows_max`.
    pub async fn journey_steps(
        &self,
        subject: &[u8; 16],
        position: i64,
        rows_max: i64,
    ) -> Result<Vec<JourneyRow>, StoreError> {
        Ok(on_db!(self.db, views_read, pool => {
            sqlx::query(sql::JOURNEYS_FROM)
                .bind(self.key())
                .bind(subject.as_slice())
                .bind(position)
                .bind(rows_max)
                .try_map(|row| step(&row))
                .fetch_all(pool)
                .await
        })?)
    }

    /// Rows that take money back or undo another row, whoever they are about, in order of positions.
    pub async fn journey_reversals(&self) -> Result<Vec<JourneyRow>, StoreError> {
        Ok(on_db!(self.db, views_read, pool => {
            sqlx::query(sql::JOURNEYS_ASIDE).bind(self.key()).try_map(|row| step(&row)).fetch_all(pool).await
        })?)
    }
}
