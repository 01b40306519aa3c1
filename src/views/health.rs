//! Is everything coming in, and does everything that came in show: counts by family and day, who went silent, what waits.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::ViewError;
use crate::domain::time::{Timestamp, day_text};
use crate::store::Store;
use crate::store::views::Stage;

/// Health of a ledger's intake and projections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Health {
    /// Entries in the log.
    pub size: u64,
    /// When the last entry was recorded.
    #[schema(value_type = Option<String>)]
    pub last_recorded: Option<Timestamp>,
    /// Each projection's state.
    pub projections: Vec<ProjectionHealth>,
    /// Entries by recorded day and family.
    pub days: Vec<FamilyDay>,
    /// The last entry of each event type.
    pub types: Vec<LastSeen>,
    /// The last entry of each principal that posts: an integration that went silent shows here.
    pub principals: Vec<LastSeen>,
    /// Items in quarantine that wait for someone.
    pub quarantine_open: i64,
    /// When the oldest of them came.
    #[schema(value_type = Option<String>)]
    pub quarantine_oldest: Option<Timestamp>,
}

/// A projection's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ProjectionHealth {
    /// Its name.
    pub projection: String,
    /// The next position that readers do not see.
    pub position: u64,
    /// Entries not folded yet.
    pub lag_events: u64,
    /// Where a rebuild stands, if one runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rebuilding: Option<u64>,
    /// Entries that it could not fold.
    pub parked: i64,
}

/// Entries of a family on a recorded day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FamilyDay {
    /// UTC day.
    #[schema(example = "2026-11-03")]
    pub day: String,
    /// First part of the event type.
    #[schema(example = "consent")]
    pub family: String,
    /// Entries.
    pub events: i64,
    /// Of these, entries whose business part could not be opened when they were folded.
    pub absent: i64,
    /// Entries by event type.
    pub types: BTreeMap<String, i64>,
}

/// The last entry of something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LastSeen {
    /// Event type, or a principal's id.
    pub name: String,
    /// Position of its last entry.
    pub position: u64,
    /// When that was recorded.
    #[schema(value_type = String)]
    pub recorded: Timestamp,
    /// Entries in all.
    pub events: i64,
}

/// An entry that a projection could not fold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Parked {
    /// The projection.
    pub projection: String,
    /// The entry.
    pub position: u64,
    /// Why, a code.
    pub reason: String,
}

/// Health over the recorded days `[day_from, day_to)` (days since 1970-01-01).
///
/// # Errors
/// [`ViewError::Store`].
pub async fn health(store: &Store, day_from: i64, day_to: i64) -> Result<Health, ViewError> {
    let head = store.head().await?;
    let size = head.map_or(0, |head| head.size);
    let mut days: BTreeMap<(i64, String), FamilyDay> = BTreeMap::new();
    for row in store.health_days(day_from, day_to).await? {
        let family = family(&row.event_type).to_owned();
        let day = days.entry((row.day, family)).or_insert_with_key(|(day, family)| FamilyDay {
            day: day_text(*day),
            family: family.clone(),
            events: 0,
            absent: 0,
            types: BTreeMap::new(),
        });
        day.events = day.events.saturating_add(row.events);
        day.absent = day.absent.saturating_add(row.absent);
        day.types.insert(row.event_type, row.events);
    }
    let (mut types, mut principals) = (Vec::new(), Vec::new());
    for row in store.health_last().await? {
        let seen = LastSeen { name: row.name, position: row.position, recorded: row.recorded, events: row.events };
        if row.scope == 1 { types.push(seen) } else { principals.push(seen) }
    }
    let counts = store.quarantine_counts().await?;
    let open = counts.iter().filter(|(state, ..)| state.is_open());
    Ok(Health {
        size,
        last_recorded: head.map(|head| head.recorded),
        projections: projections(store, size).await?,
        days: days.into_values().collect(),
        types,
        principals,
        quarantine_open: open.clone().map(|(_, count, _)| count).sum(),
        quarantine_oldest: open.map(|(.., oldest)| *oldest).min(),
    })
}

/// First part of an event type; `x.` types are one family each.
fn family(event_type: &str) -> &str {
    let from = if event_type.starts_with("x.") { 2 } else { 0 };
    let end = event_type.get(from..).and_then(|rest| rest.find('.')).map_or(event_type.len(), |at| from + at);
    event_type.get(..end).unwrap_or(event_type)
}

async fn projections(store: &Store, size: u64) -> Result<Vec<ProjectionHealth>, ViewError> {
    let cursors = store.views_cursors().await?;
    let parked = store.views_parked_count().await?;
    let building = |name: &str| {
        cursors.iter().find(|row| row.projection == name && row.stage == Stage::Building).map(|row| row.position)
    };
    Ok(cursors
        .iter()
        .filter(|row| matches!(row.stage, Stage::Live | Stage::Frozen))
        .map(|row| ProjectionHealth {
            projection: row.projection.clone(),
            position: row.position,
            lag_events: size.saturating_sub(row.position),
            rebuilding: building(&row.projection),
            parked: parked.iter().find(|(name, _)| *name == row.projection).map_or(0, |(_, count)| *count),
        })
        .collect())
}

/// Entries from position `first` on that a projection could not fold.
///
/// # Errors
/// [`ViewError::Store`].
pub async fn parked(store: &Store, first: u64, rows_max: u32) -> Result<Vec<Parked>, ViewError> {
    let rows = store.views_parked(first, i64::from(rows_max)).await?;
    Ok(rows.into_iter().map(|(projection, position, reason)| Parked { projection, position, reason }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn family_is_the_first_part_or_the_customer_s_name() {
        assert_eq!(family("consent.granted"), "consent");
        assert_eq!(family("x.survey.answered"), "x.survey");
        assert_eq!(family("x.survey"), "x.survey");
        assert_eq!(family("odd"), "odd");
    }
}
