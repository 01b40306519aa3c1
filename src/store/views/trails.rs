//! Reading what contacts lean on.

use super::rows::TrailRow;
use super::{TrailAct, sql};
use crate::store::db::on_db;
use crate::store::rows::array;
use crate::store::{Store, StoreError};

/// subject, position, act, occurred, recorded, until, channels, granted, purpose, seller, decision.
type Row = (Vec<u8>, i64, i64, i64, i64, i64, i64, i64, String, String, Vec<u8>);

impl Store {
    /// Acts behind (`subject`, `position`), in that order, at most `rows_max`.
    pub async fn trail_acts(
        &self,
        subject: &[u8; 16],
        position: i64,
        rows_max: i64,
    ) -> Result<Vec<TrailRow>, StoreError> {
        let rows: Vec<Row> = on_db!(self.db, views_read, pool => {
            sqlx::query_as(sql::TRAILS_FROM)
                .bind(self.key())
                .bind(subject.as_slice())
                .bind(position)
                .bind(rows_max)
                .fetch_all(pool)
                .await
        })?;
        rows.into_iter()
            .map(|(subject, position, act, occurred, recorded, until, channels, grant, purpose, seller, decision)| {
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
            })
            .collect()
    }
}
