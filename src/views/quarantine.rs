//! What waits in quarantine: reason and size, never content. Who may see an item opens it from the log.

use serde::Serialize;
use utoipa::ToSchema;

use super::ViewError;
use super::paging::{Page, PageRequest};
use crate::domain::time::Timestamp;
use crate::store::Store;
use crate::store::views::QuarantineItem;

/// Tag of this list in cursors.
pub const LIST: u8 = 1;

/// An item of the quarantine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Item {
    /// Position of `quarantine.received`; names the item.
    pub position: u64,
    /// Event id of that entry.
    #[schema(value_type = String)]
    pub event: String,
    /// Why it is here.
    #[schema(example = "schema_invalid")]
    pub reason: String,
    /// Way it came: api, import, hook or replay.
    pub via: String,
    /// Its size in bytes.
    pub bytes: i64,
    /// Problems found.
    pub problems: i64,
    /// Why more exactly: the problem code the poster got.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// When it came.
    #[schema(value_type = String)]
    pub recorded: Timestamp,
    /// open, fixed, replayed, resolved, discarded or translated.
    pub state: &'static str,
    /// Whether it still waits for someone.
    pub open: bool,
    /// Position of the last act on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acted_position: Option<u64>,
    /// When that was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub acted: Option<Timestamp>,
    /// Outcome or reason of that act.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Position that the item became.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<u64>,
}

impl From<QuarantineItem> for Item {
    fn from(item: QuarantineItem) -> Item {
        Item {
            position: item.position,
            event: item.event.to_string(),
            reason: item.reason,
            via: item.via,
            bytes: item.bytes,
            problems: item.problems,
            code: Some(item.code).filter(|code| !code.is_empty()),
            recorded: item.recorded,
            state: item.state.name(),
            open: item.state.is_open(),
            acted_position: item.acted.map(|(position, _)| position),
            acted: item.acted.map(|(_, when)| when),
            outcome: Some(item.outcome).filter(|outcome| !outcome.is_empty()),
            result: item.result,
        }
    }
}

/// Items in the order they came; only those that wait, unless `closed_too`.
///
/// # Errors
/// [`ViewError::Store`].
pub async fn items(store: &Store, request: &PageRequest, closed_too: bool) -> Result<Page<Item>, ViewError> {
    let found = store.quarantine_items(request.after, !closed_too, request.rows_max()).await?;
    Ok(Page::of(found.into_iter().map(Item::from).collect(), request, LIST, |item: &Item| item.position))
}

/// One item by the position that names it.
///
/// # Errors
/// [`ViewError::Store`].
pub async fn item(store: &Store, position: u64) -> Result<Option<Item>, ViewError> {
    Ok(store.quarantine_item(position).await?.map(Item::from))
}
