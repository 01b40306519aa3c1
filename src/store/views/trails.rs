//! Reading what contacts lean on.

use futures_util::stream::{BoxStream, Stream, StreamExt};

use super::rows::TrailRow;
use super::{TrailAct, sql};
use crate::store::db::on_db;
use crate::store::rows::array;
use crate::store::{Store, StoreError};

/// subject, position, act, occurred, recorded, until, channels, granted, purpose, seller, decision.
type Row = (Vec<u8>, i64, i64, i64, i64, i64, i64, i64, String, String, Vec<u8>);

fn trail_row(row: Row) -> Result<TrailRow, StoreError> {
    let (subject, position, act, occurred, recorded, until, channels, grant, purpose, seller, decision) = row;
    let unknown = || StoreError::inconsistent("trail_acts", "an act of no known code");
    Ok(TrailRow {
        subject: array("trail_acts", &subject)?,
        position,
        act: TrailAct::from_code(act).ok_or_else(unknown)?,
        occurred,
        recorded,
        until,
        channels,
        grant,
        purpose,
        seller,
        decision: array("trail_acts", &decision)?,
    })
}

impl Store {
    /// Every act, in the order of persons and, of each, of the log. The database sorts them, as it does [`Store::money_lead_lines`].
    pub fn trail_acts(&self) -> impl Stream<Item = Result<TrailRow, StoreError>> + Send + '_ {
        let rows: BoxStream<'_, Result<Row, sqlx::Error>> = on_db!(self.db, views_read, pool => {
            sqlx::query_as(sql::TRAILS_ALL).bind(self.key()).fetch(pool)
        });
        rows.map(|row| trail_row(row?))
    }
}
