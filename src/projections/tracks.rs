//! Which generations are written, and where they stand. A rebuild writes new generations beside those in use, from
//! position 0, and takes their place when it has caught up.

use super::fold::PROJECTIONS;
use crate::store::views::{CursorRow, ProjectionCursor, Stage, Track};
use crate::store::{Store, StoreError};

/// Rows that a retired generation loses at a time.
const SWEEP_ROWS: i64 = 5_000;

/// The two tracks of a ledger.
#[derive(Debug, Default)]
pub(super) struct Tracks {
    /// Generations in use that are written.
    pub live: Vec<ProjectionCursor>,
    /// Their next position.
    pub live_next: u64,
    /// Generations being built.
    pub building: Vec<ProjectionCursor>,
    /// Their next position.
    pub building_next: u64,
    /// Where the rows that readers see stand at least, frozen ones included.
    pub readable: u64,
    /// Recorded time of the last entry folded into rows in use.
    pub recorded: i64,
    retired: Vec<(String, i64)>,
}

impl Tracks {
    /// Reads the cursors and starts what must be started: all projections of a new ledger, and a rebuild of those whose
    /// rows older code wrote.
    pub async fn open(store: &Store) -> Result<Tracks, StoreError> {
        let rows = store.views_cursors().await?;
        if rows.is_empty() {
            for (projection, version) in PROJECTIONS {
                let cursor = ProjectionCursor { projection, generation: 1 };
                store.views_cursor_create(cursor, *version, Track::Live).await?;
            }
            return Tracks::of(&store.views_cursors().await?);
        }
        let mut changed = false;
        // One position a track: what stands elsewhere (older code, a table lost) is built anew.
        let live_next = rows.iter().filter(|row| fresh(row, Stage::Live)).map(|row| row.position).max();
        for row in rows.iter().filter(|row| row.stage == Stage::Live) {
            if !fresh(row, Stage::Live) || Some(row.position) != live_next {
                store.views_set_aside(&row.projection, row.generation, Track::Live).await?;
                changed = true;
            }
        }
        let rows = if changed { store.views_cursors().await? } else { rows };
        let wanted: Vec<(&'static str, i64)> = PROJECTIONS
            .iter()
            .copied()
            .filter(|(name, _)| !rows.iter().any(|row| row.projection == *name && row.stage == Stage::Live))
            .collect();
        let building: Vec<&CursorRow> = rows.iter().filter(|row| row.stage == Stage::Building).collect();
        let first = building.first().map(|row| row.position);
        let whole = building.iter().all(|row| fresh(row, Stage::Building) && Some(row.position) == first)
            && wanted.iter().all(|(name, _)| building.iter().any(|row| row.projection == *name));
        if !whole {
            start(store, &rows, &wanted).await?;
        }
        Tracks::of(&store.views_cursors().await?)
    }

    /// Starts building every projection anew; one that was being built is given up.
    pub async fn rebuild(store: &Store) -> Result<Tracks, StoreError> {
        let rows = store.views_cursors().await?;
        start(store, &rows, PROJECTIONS).await?;
        Tracks::of(&store.views_cursors().await?)
    }

    fn of(rows: &[CursorRow]) -> Result<Tracks, StoreError> {
        let mut tracks = Tracks { readable: u64::MAX, ..Tracks::default() };
        for row in rows {
            let known = PROJECTIONS.iter().find(|(name, _)| *name == row.projection);
            let cursor = known.map(|(projection, _)| ProjectionCursor { projection, generation: row.generation });
            match (row.stage, cursor) {
                (Stage::Live, Some(cursor)) => {
                    tracks.live.push(cursor);
                    tracks.live_next = row.position;
                    tracks.recorded = row.recorded.micros();
                    tracks.readable = tracks.readable.min(row.position);
                }
                (Stage::Frozen, Some(_)) => tracks.readable = tracks.readable.min(row.position),
                (Stage::Building, Some(cursor)) => {
                    tracks.building.push(cursor);
                    tracks.building_next = row.position;
                    if !rows.iter().any(|other| {
                        other.projection == row.projection && matches!(other.stage, Stage::Live | Stage::Frozen)
                    }) {
                        tracks.readable = 0;
                    }
                }
                (Stage::Retired, _) => tracks.retired.push((row.projection.clone(), row.generation)),
                // A projection of another version of the program: left alone.
                (Stage::Live | Stage::Frozen | Stage::Building, None) => {}
            }
        }
        Ok(tracks)
    }

    /// Where a rebuild stands, if one runs.
    pub fn rebuilding(&self) -> Option<u64> {
        (!self.building.is_empty()).then_some(self.building_next)
    }

    /// Where a rebuild must be to take over: at the live track, or at the end of the log if nothing is live.
    pub fn building_goal(&self, size: u64) -> u64 {
        if self.live.is_empty() { size } else { self.live_next }
    }

    /// Puts the rebuilt generations in the place of those in use. Both tracks stand at the same position.
    pub async fn promote(store: &Store, tracks: &Tracks) -> Result<Tracks, StoreError> {
        store.views_promote(&tracks.building, tracks.building_next).await?;
        Tracks::of(&store.views_cursors().await?)
    }

    /// Deletes some rows of a retired generation; `false` when none is left.
    pub async fn sweep(&mut self, store: &Store) -> Result<bool, StoreError> {
        let Some((projection, generation)) = self.retired.last() else { return Ok(false) };
        if store.views_sweep(projection, *generation, SWEEP_ROWS).await? {
            self.retired.pop();
        }
        Ok(true)
    }
}

/// Whether the code that wrote a set of rows is this code.
fn fresh(row: &CursorRow, stage: Stage) -> bool {
    row.stage == stage && PROJECTIONS.contains(&(row.projection.as_str(), row.version))
}

async fn start(store: &Store, rows: &[CursorRow], wanted: &[(&'static str, i64)]) -> Result<(), StoreError> {
    for row in rows.iter().filter(|row| row.stage == Stage::Building) {
        store.views_set_aside(&row.projection, row.generation, Track::Building).await?;
    }
    for (projection, version) in wanted {
        let last = rows.iter().filter(|row| row.projection == *projection).map(|row| row.generation).max();
        let cursor = ProjectionCursor { projection, generation: last.unwrap_or(0) + 1 };
        store.views_cursor_create(cursor, *version, Track::Building).await?;
    }
    Ok(())
}
