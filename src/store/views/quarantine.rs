//! Reading the quarantine's items.

use super::ItemState;
use super::sql;
use crate::domain::ids::EventId;
use crate::domain::time::Timestamp;
use crate::store::db::on_db;
use crate::store::rows::{array, to_i64, to_u64};
use crate::store::{Store, StoreError};

/// An item and the last act on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineItem {
    /// The entry that received it; names the item.
    pub position: u64,
    /// Event id of that entry.
    pub event: EventId,
    /// Why it is here, a code.
    pub reason: String,
    /// Way it came.
    pub via: String,
    /// Its size in bytes.
    pub bytes: i64,
    /// Problems found.
    pub problems: i64,
    /// Why more exactly; empty: not said.
    pub code: String,
    /// Keyed hash of the client's (source, id), by which a corrected retry finds it; empty: none.
    pub pair: Vec<u8>,
    /// When it came.
    pub recorded: Timestamp,
    /// Where it stands.
    pub state: ItemState,
    /// The last act on it: position and time.
    pub acted: Option<(u64, Timestamp)>,
    /// Position that it became.
    pub result: Option<u64>,
    /// Outcome or reason of the last act, a code; empty before one.
    pub outcome: String,
}

type Item = (i64, i64, i64, i64, i64, i64, i64, i64, Vec<u8>, String, String, String, String, Vec<u8>);

fn item(row: Item) -> Result<QuarantineItem, StoreError> {
    let (
        position,
        bytes,
        problems,
        recorded,
        state,
        acted_at,
        acted_when,
        result,
        event,
        reason,
        via,
        code,
        outcome,
        pair,
    ) = row;
    let table = "quarantine_items";
    let state = ItemState::from_code(state)
        .ok_or_else(|| StoreError::inconsistent(table, format!("state of item {position}")))?;
    Ok(QuarantineItem {
        position: to_u64(table, position)?,
        event: EventId::from_bytes(array(table, &event)?),
        reason,
        via,
        bytes,
        problems,
        code,
        pair,
        recorded: Timestamp::from_micros(recorded),
        state,
        acted: u64::try_from(acted_at).ok().map(|position| (position, Timestamp::from_micros(acted_when))),
        result: u64::try_from(result).ok(),
        outcome,
    })
}

impl Store {
    /// How many items stand in each state, and when the oldest of them came: state, count, recorded.
    pub async fn quarantine_counts(&self) -> Result<Vec<(ItemState, i64, Timestamp)>, StoreError> {
        let rows: Vec<(i64, i64, i64)> = on_db!(self.db, views_read, pool => {
            sqlx::query_as(sql::ITEMS_COUNT).bind(self.key()).fetch_all(pool).await
        })?;
        rows.into_iter()
            .map(|(state, count, oldest)| {
                let state = ItemState::from_code(state)
                    .ok_or_else(|| StoreError::inconsistent("quarantine_items", format!("state {state}")))?;
                Ok((state, count, Timestamp::from_micros(oldest)))
            })
            .collect()
    }

    /// Items after position `after` (from the start: none) in order, at most `rows_max`; only open ones if asked.
    pub async fn quarantine_items(
        &self,
        after: Option<u64>,
        open_only: bool,
        rows_max: i64,
    ) -> Result<Vec<QuarantineItem>, StoreError> {
        let statement = if open_only { sql::ITEMS_OPEN } else { sql::ITEMS_ALL };
        let rows: Vec<Item> = on_db!(self.db, views_read, pool => {
            sqlx::query_as(statement)
                .bind(self.key())
                .bind(after.map_or(-1, to_i64))
                .bind(rows_max)
                .fetch_all(pool)
                .await
        })?;
        rows.into_iter().map(item).collect()
    }

    /// The item received at `position`.
    pub async fn quarantine_item(&self, position: u64) -> Result<Option<QuarantineItem>, StoreError> {
        let row: Option<Item> = on_db!(self.db, views_read, pool => {
            sqlx::query_as(sql::ITEM_AT).bind(self.key()).bind(to_i64(position)).fetch_optional(pool).await
        })?;
        row.map(item).transpose()
    }
}
