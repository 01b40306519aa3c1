//! One transaction: rows of all projections of a track, and its cursor.

use sqlx::{PgConnection, SqliteConnection};

use super::columns::{postgres_insert, sqlite_insert};
use super::rows::{
    BillingRow, ConsentRow, DimsRow, HealthDailyRow, HealthLastRow, ItemRow, ItemUpdate, JourneyRow, LineRow,
    ParkedRow, PeriodRow, RecordAt, ScoreRow, SumRow, TrailRow, UndoneRow,
};
use super::sql;
use crate::store::db::Db;
use crate::store::rows::to_i64;
use crate::store::{Store, StoreError};

/// The two sets of rows that are written: those in use, and those that a rebuild makes beside them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Track {
    /// Rows that nobody reads yet.
    Building,
    /// Rows in use.
    Live,
}

impl Track {
    pub(super) const fn state(self) -> i64 {
        match self {
            Track::Building => 0,
            Track::Live => 1,
        }
    }
}

/// A projection of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProjectionCursor {
    /// Its name.
    pub projection: &'static str,
    /// The generation that the track writes.
    pub generation: i64,
}

/// What folding the entries of `[from, to)` gave.
#[derive(Debug, Clone)]
pub struct ViewsBatch {
    /// Which cursors move.
    pub track: Track,
    /// All projections whose cursors stand at `from` on this track.
    pub projections: Vec<ProjectionCursor>,
    /// First position folded.
    pub from: u64,
    /// The position after the last one folded.
    pub to: u64,
    /// Recorded time of the last entry folded, microseconds.
    pub recorded: i64,
    /// Entries that could not be folded.
    pub parked: Vec<ParkedRow>,
    /// Rows of projection `billing`.
    pub billing: Vec<BillingRow>,
    /// Rows of projection `consent`.
    pub consent: Vec<ConsentRow>,
    /// Rows of projection `scores`.
    pub scores: Vec<ScoreRow>,
    /// Rows of projection `trails`.
    pub trails: Vec<TrailRow>,
    /// Rows of projection `journeys`.
    pub journeys: Vec<JourneyRow>,
    /// Rows of projection `money`, and so the next five.
    pub dims: Vec<DimsRow>,
    /// Journal and counters.
    pub lines: Vec<LineRow>,
    /// Records by their client's id.
    pub records: Vec<RecordAt>,
    /// Entries undone or put back.
    pub undone: Vec<UndoneRow>,
    /// Sums of lines.
    pub sums: Vec<SumRow>,
    /// Where periods begin.
    pub periods: Vec<PeriodRow>,
    /// Rows of projection `health`.
    pub health_daily: Vec<HealthDailyRow>,
    /// Rows of projection `health`.
    pub health_last: Vec<HealthLastRow>,
    /// Rows of projection `quarantine`.
    pub items: Vec<ItemRow>,
    /// Changes of rows of projection `quarantine`; at most one an item.
    pub item_updates: Vec<ItemUpdate>,
}

impl ViewsBatch {
    /// An empty batch of a track.
    pub const fn new(track: Track, projections: Vec<ProjectionCursor>, from: u64) -> ViewsBatch {
        ViewsBatch {
            track,
            projections,
            from,
            to: from,
            recorded: 0,
            parked: Vec::new(),
            billing: Vec::new(),
            consent: Vec::new(),
            scores: Vec::new(),
            trails: Vec::new(),
            journeys: Vec::new(),
            dims: Vec::new(),
            lines: Vec::new(),
            records: Vec::new(),
            undone: Vec::new(),
            sums: Vec::new(),
            periods: Vec::new(),
            health_daily: Vec::new(),
            health_last: Vec::new(),
            items: Vec::new(),
            item_updates: Vec::new(),
        }
    }

    /// The generation that this track writes for a projection; none if the projection is not on the track.
    pub fn generation(&self, projection: &str) -> Option<i64> {
        self.projections.iter().find(|cursor| cursor.projection == projection).map(|cursor| cursor.generation)
    }

    fn moved(&self, changed: u64) -> Result<(), StoreError> {
        let expected = self.projections.len() as u64;
        if changed == expected {
            return Ok(());
        }
        Err(StoreError::RowsAffected { statement: "views.cursors_move", changed, expected })
    }
}

macro_rules! insert_all {
    ($store:expr, $insert:ident, $engine:ident, $tx:expr, $batch:expr) => {{
        let (ledger, batch) = ($store.key(), $batch);
        $insert($tx, sql::$engine::PARKED_INSERT, ledger, 0, &batch.parked).await?;
        if let Some(generation) = batch.generation("billing") {
            $insert($tx, sql::$engine::BILLING_INSERT, ledger, generation, &batch.billing).await?;
        }
        if let Some(generation) = batch.generation("consent") {
            $insert($tx, sql::$engine::CONSENT_INSERT, ledger, generation, &batch.consent).await?;
        }
        if let Some(generation) = batch.generation("journeys") {
            $insert($tx, sql::$engine::JOURNEYS_INSERT, ledger, generation, &batch.journeys).await?;
        }
        if let Some(generation) = batch.generation("scores") {
            $insert($tx, sql::$engine::SCORES_INSERT, ledger, generation, &batch.scores).await?;
        }
        if let Some(generation) = batch.generation("trails") {
            $insert($tx, sql::$engine::TRAILS_INSERT, ledger, generation, &batch.trails).await?;
        }
        if let Some(generation) = batch.generation("money") {
            $insert($tx, sql::$engine::DIMS_INSERT, ledger, generation, &batch.dims).await?;
            $insert($tx, sql::$engine::LINES_INSERT, ledger, generation, &batch.lines).await?;
            $insert($tx, sql::$engine::RECORDS_INSERT, ledger, generation, &batch.records).await?;
            $insert($tx, sql::$engine::UNDONE_INSERT, ledger, generation, &batch.undone).await?;
            $insert($tx, sql::$engine::SUMS_INSERT, ledger, generation, &batch.sums).await?;
            $insert($tx, sql::$engine::PERIODS_INSERT, ledger, generation, &batch.periods).await?;
        }
        if let Some(generation) = batch.generation("health") {
            $insert($tx, sql::$engine::HEALTH_DAILY_INSERT, ledger, generation, &batch.health_daily).await?;
            $insert($tx, sql::$engine::HEALTH_LAST_INSERT, ledger, generation, &batch.health_last).await?;
        }
        if let Some(generation) = batch.generation("quarantine") {
            // Items before the acts on them: both may stand in one batch.
            $insert($tx, sql::$engine::ITEMS_INSERT, ledger, generation, &batch.items).await?;
            $insert($tx, sql::$engine::ITEMS_UPDATE, ledger, generation, &batch.item_updates).await?;
        }
    }};
}

macro_rules! cursors_move {
    ($store:expr, $tx:expr, $batch:expr) => {
        sqlx::query(sql::CURSORS_MOVE)
            .bind($store.key())
            .bind(to_i64($batch.to))
            .bind($batch.recorded)
            .bind($batch.track.state())
            .bind(to_i64($batch.from))
            .execute($tx)
            .await?
            .rows_affected()
    };
}

impl Store {
    /// Writes a batch and moves the cursors of its track. Must run in an owned task.
    ///
    /// # Errors
    /// [`StoreError::RowsAffected`] when the cursors do not stand at `from`: another server folded these entries. Nothing
    /// was written then.
    pub async fn views_commit(&self, batch: &ViewsBatch) -> Result<(), StoreError> {
        match &self.db {
            Db::Sqlite(pools) => {
                let mut tx = pools.views_write.begin_with("BEGIN IMMEDIATE").await?;
                // The cursor first: who lost the race must not wait for the bulk statements to fail.
                batch.moved(cursors_move!(self, &mut *tx, batch))?;
                self.views_insert_sqlite(&mut tx, batch).await?;
                tx.commit().await?;
            }
            Db::Postgres(pools) => {
                let mut tx = pools.views_write.begin().await?;
                batch.moved(cursors_move!(self, &mut *tx, batch))?;
                self.views_insert_postgres(&mut tx, batch).await?;
                tx.commit().await?;
            }
        }
        Ok(())
    }

    async fn views_insert_sqlite(&self, tx: &mut SqliteConnection, batch: &ViewsBatch) -> Result<(), sqlx::Error> {
        insert_all!(self, sqlite_insert, sqlite, &mut *tx, batch);
        Ok(())
    }

    async fn views_insert_postgres(&self, tx: &mut PgConnection, batch: &ViewsBatch) -> Result<(), sqlx::Error> {
        insert_all!(self, postgres_insert, postgres, &mut *tx, batch);
        Ok(())
    }
}
