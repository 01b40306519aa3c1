//! Where each projection stands, which generation is in use, and how one takes the place of another.

use super::commit::{ProjectionCursor, Track};
use super::{rows::ParkedRow, sql};
use crate::domain::time::Timestamp;
use crate::store::db::{Db, on_db};
use crate::store::rows::{to_i64, to_u64};
use crate::store::{Store, StoreError};

/// The life of a set of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// A rebuild writes it; nobody reads it.
    Building,
    /// In use, and written.
    Live,
    /// In use, but written by older code: a rebuilt set will take its place.
    Frozen,
    /// Replaced; its rows are being deleted.
    Retired,
}

/// The cursor of one generation of a projection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CursorRow {
    /// The projection.
    pub projection: String,
    /// Number of the set of rows; grows with each rebuild.
    pub generation: i64,
    /// Version of the folding code that wrote them.
    pub version: i64,
    /// Where it stands in its life.
    pub stage: Stage,
    /// The next position to fold.
    pub position: u64,
    /// Recorded time of the last entry folded.
    pub recorded: Timestamp,
}

type Cursor = (String, i64, i64, i64, i64, i64);

impl Store {
    /// Every cursor of the ledger, by projection and generation.
    pub async fn views_cursors(&self) -> Result<Vec<CursorRow>, StoreError> {
        let rows: Vec<Cursor> = on_db!(self.db, views_read, pool => {
            sqlx::query_as(sql::CURSORS_READ).bind(self.key()).fetch_all(pool).await
        })?;
        rows.into_iter()
            .map(|(projection, generation, version, state, position, recorded)| {
                let stage = match state {
                    0 => Stage::Building,
                    1 => Stage::Live,
                    2 => Stage::Retired,
                    3 => Stage::Frozen,
                    _ => return Err(StoreError::inconsistent("cursors", format!("state {state}"))),
                };
                Ok(CursorRow {
                    projection,
                    generation,
                    version,
                    stage,
                    position: to_u64("cursors", position)?,
                    recorded: Timestamp::from_micros(recorded),
                })
            })
            .collect()
    }

    /// Creates the cursor of a new generation at position 0, unless it exists.
    pub async fn views_cursor_create(
        &self,
        cursor: ProjectionCursor,
        version: i64,
        track: Track,
    ) -> Result<(), StoreError> {
        on_db!(self.db, views_write, pool => {
            sqlx::query(sql::CURSOR_CREATE)
                .bind(self.key())
                .bind(cursor.projection)
                .bind(cursor.generation)
                .bind(version)
                .bind(track.state())
                .execute(pool)
                .await
                .map(|_| ())
        })?;
        Ok(())
    }

    /// Puts rebuilt generations, all at `position`, in the place of those in use, in one transaction.
    ///
    /// # Errors
    /// [`StoreError::RowsAffected`] when a cursor is not where it should be; nothing has changed then.
    pub async fn views_promote(&self, cursors: &[ProjectionCursor], position: u64) -> Result<(), StoreError> {
        macro_rules! promote {
            ($tx:expr) => {{
                for cursor in cursors {
                    for statement in [sql::CURSOR_RETIRE, sql::CURSOR_PROMOTE] {
                        let mut query =
                            sqlx::query(statement).bind(self.key()).bind(cursor.projection).bind(cursor.generation);
                        if statement == sql::CURSOR_PROMOTE {
                            query = query.bind(to_i64(position));
                        }
                        let changed = query.execute(&mut *$tx).await?.rows_affected();
                        if statement == sql::CURSOR_PROMOTE && changed != 1 {
                            return Err(StoreError::RowsAffected {
                                statement: "views.cursor_promote",
                                changed,
                                expected: 1,
                            });
                        }
                    }
                }
                $tx.commit().await?;
            }};
        }
        match &self.db {
            Db::Sqlite(pools) => {
                let mut tx = pools.views_write.begin_with("BEGIN IMMEDIATE").await?;
                promote!(tx);
            }
            Db::Postgres(pools) => {
                let mut tx = pools.views_write.begin().await?;
                promote!(tx);
            }
        }
        Ok(())
    }

    /// Stops writing a generation: one in use stays in use, frozen; one being built is retired.
    pub async fn views_set_aside(&self, projection: &str, generation: i64, track: Track) -> Result<(), StoreError> {
        let statement = match track {
            Track::Building => sql::CURSOR_ABANDON,
            Track::Live => sql::CURSOR_FREEZE,
        };
        on_db!(self.db, views_write, pool => {
            sqlx::query(statement)
                .bind(self.key())
                .bind(projection)
                .bind(generation)
                .execute(pool)
                .await
                .map(|_| ())
        })?;
        Ok(())
    }

    /// Deletes up to `rows_max` rows a table of a retired generation; `true` when none is left and its cursor is gone.
    pub async fn views_sweep(&self, projection: &str, generation: i64, rows_max: i64) -> Result<bool, StoreError> {
        let tables = sql::DELETES.iter().find(|(name, _)| *name == projection).map_or(&[][..], |(_, tables)| tables);
        let mut deleted = 0;
        for statement in tables {
            deleted += on_db!(self.db, views_write, pool => {
                sqlx::query(*statement)
                    .bind(self.key())
                    .bind(generation)
                    .bind(rows_max)
                    .execute(pool)
                    .await
                    .map(|done| done.rows_affected())
            })?;
        }
        if deleted > 0 {
            return Ok(false);
        }
        on_db!(self.db, views_write, pool => {
            sqlx::query(sql::DELETE_PARKED)
                .bind(self.key())
                .bind(generation)
                .bind(projection)
                .execute(pool)
                .await
                .map(|_| ())
        })?;
        on_db!(self.db, views_write, pool => {
            sqlx::query(sql::CURSOR_DELETE)
                .bind(self.key())
                .bind(projection)
                .bind(generation)
                .execute(pool)
                .await
                .map(|_| ())
        })?;
        Ok(true)
    }

    /// How many entries each projection in use could not fold.
    pub async fn views_parked_count(&self) -> Result<Vec<(String, i64)>, StoreError> {
        Ok(on_db!(self.db, views_read, pool => {
            sqlx::query_as(sql::PARKED_COUNT).bind(self.key()).fetch_all(pool).await
        })?)
    }

    /// Entries from position `first` on that a projection in use could not fold: projection, position, reason.
    pub async fn views_parked(&self, first: u64, rows_max: i64) -> Result<Vec<(String, u64, String)>, StoreError> {
        let rows: Vec<(String, i64, String)> = on_db!(self.db, views_read, pool => {
            sqlx::query_as(sql::PARKED_FROM)
                .bind(self.key())
                .bind(to_i64(first))
                .bind(rows_max)
                .fetch_all(pool)
                .await
        })?;
        rows.into_iter()
            .map(|(projection, position, reason)| Ok((projection, to_u64("parked", position)?, reason)))
            .collect()
    }
}

impl ParkedRow {
    /// A parked entry of a projection.
    pub const fn new(cursor: ProjectionCursor, position: i64, reason: &'static str) -> ParkedRow {
        ParkedRow { projection: cursor.projection, generation: cursor.generation, position, reason }
    }
}
