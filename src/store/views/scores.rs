//! Reading scores: a page of them in order of persons.

use super::rows::ScoreRow;
use super::sql;
use crate::store::db::on_db;
use crate::store::rows::array;
use crate::store::{Store, StoreError};

/// subject, position, occurred, recorded, points, chance, aside, model, version, band, campaign.
type Row = (Vec<u8>, i64, i64, i64, i64, i64, i64, String, String, String, String);

impl Store {
    /// Scores behind (`subject`, `position`), in that order, at most `rows_max`.
    pub async fn scores(&self, subject: &[u8; 16], position: i64, rows_max: i64) -> Result<Vec<ScoreRow>, StoreError> {
        let rows: Vec<Row> = on_db!(self.db, views_read, pool => {
            sqlx::query_as(sql::SCORES_FROM)
                .bind(self.key())
                .bind(subject.as_slice())
                .bind(position)
                .bind(rows_max)
                .fetch_all(pool)
                .await
        })?;
        rows.into_iter().map(row).collect()
    }
}

fn row(row: Row) -> Result<ScoreRow, StoreError> {
    let (subject, position, occurred, recorded, points, chance, aside, model, version, band, campaign) = row;
    Ok(ScoreRow {
        subject: array("scores", &subject)?,
        position,
        occurred,
        recorded,
        points,
        chance: (chance >= 0).then_some(chance),
        aside: aside == 1,
        model,
        version,
        band,
        campaign,
    })
}
