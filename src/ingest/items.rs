//! Items in quarantine that wait for a corrected retry: by the keyed hash of the pair (source, id) that they came with.
//!
//! What is here is a copy of what the log says, kept up by whatever moves this process's knowledge of the log: its own
//! commits, a start, another server's entries. Older items come from the quarantine's rows once, after a start
//! (`jobs::items`); until then a retry is recorded as always and only the closing entry is left to a person.

use std::collections::{HashMap, HashSet};
use std::sync::{MutexGuard, PoisonError};

use serde::Deserialize;

use super::admit::Closing;
use super::ledger::Ledger;
use super::read::ReadError;
use crate::chain::decode::EntryRef;
use crate::domain::ids::EventId;
use crate::domain::parts::PartKind;

/// Items of one pair that one retry closes; more than a client ever leaves behind by honest mistakes.
const CLOSED_AT_ONCE_MAX: usize = 64;

/// What an entry changes about the items that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ItemChange {
    /// It is an item, of this pair.
    Opened([u8; 32]),
    /// It closes the item at this position.
    Closed(u64),
}

/// Items that wait. See the module.
#[derive(Debug)]
pub(super) struct OpenItems {
    by_pair: HashMap<[u8; 32], Vec<Closing>>,
    pairs: HashMap<u64, [u8; 32]>,
    /// Items closed while older ones are still to be loaded, so that none of those is opened again.
    closed: Option<HashSet<u64>>,
}

impl Default for OpenItems {
    fn default() -> OpenItems {
        OpenItems { by_pair: HashMap::new(), pairs: HashMap::new(), closed: Some(HashSet::new()) }
    }
}

impl OpenItems {
    fn open(&mut self, pair: [u8; 32], item: EventId, position: u64) {
        if self.closed.as_ref().is_some_and(|closed| closed.contains(&position)) {
            return;
        }
        if self.pairs.insert(position, pair).is_none() {
            let closing = Closing { item, position, event_type: "quarantine.resolved" };
            self.by_pair.entry(pair).or_default().push(closing);
        }
    }

    fn close(&mut self, position: u64) {
        if let Some(closed) = &mut self.closed {
            closed.insert(position);
        }
        let Some(pair) = self.pairs.remove(&position) else { return };
        if let Some(items) = self.by_pair.get_mut(&pair) {
            items.retain(|item| item.position != position);
            if items.is_empty() {
                self.by_pair.remove(&pair);
            }
        }
    }
}

#[derive(Deserialize)]
struct PublicPart {
    data: PublicData,
}

#[derive(Deserialize)]
struct PublicData {
    #[serde(default)]
    pair: Option<String>,
    #[serde(default)]
    item: Option<u64>,
}

fn pair_of(text: &str) -> Option<[u8; 32]> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}

impl Ledger {
    fn items(&self) -> MutexGuard<'_, OpenItems> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what a committed entry changes.
    pub(super) fn item_changed(&self, change: ItemChange, event: EventId, position: u64) {
        match change {
            ItemChange::Opened(pair) => self.items().open(pair, event, position),
            ItemChange::Closed(item) => self.items().close(item),
        }
    }

    /// Takes in an entry that another writer, or this process before its start, committed.
    pub(super) async fn item_entry(&self, position: u64, entry: &EntryRef<'_>) -> Result<(), ReadError> {
        let opened = self.open_entry(position).await?;
        let public = opened.plaintext(PartKind::Public).and_then(|bytes| serde_json::from_slice(bytes).ok());
        let Some(PublicPart { data }) = public else { return Ok(()) };
        let change = match (entry.event_type, data.pair.as_deref().and_then(pair_of), data.item) {
            ("quarantine.received", Some(pair), _) => Some(ItemChange::Opened(pair)),
            ("quarantine.discarded" | "quarantine.fixed" | "quarantine.resolved", _, Some(item)) => {
                Some(ItemChange::Closed(item))
            }
            // A replay that failed again leaves its item open; one that became an event names it as its cause.
            ("quarantine.replayed", _, Some(item)) if entry.cause.is_some() => Some(ItemChange::Closed(item)),
            _ => None,
        };
        if let Some(change) = change {
            self.item_changed(change, entry.event, position);
        }
        Ok(())
    }

    /// Items that a retry of `pair` puts right.
    pub(super) fn items_waiting(&self, pair: &[u8; 32]) -> Vec<Closing> {
        let items = self.items();
        items.by_pair.get(pair).map_or_else(Vec::new, |items| items.iter().take(CLOSED_AT_ONCE_MAX).copied().collect())
    }

    /// Takes in an older item that the quarantine's rows call open: the keyed hash of its pair, its id and its position.
    pub fn item_open(&self, pair: [u8; 32], item: EventId, position: u64) {
        self.items().open(pair, item, position);
    }

    /// Says that all older items were taken in.
    pub fn items_loaded(&self) {
        self.items().closed = None;
    }
}
