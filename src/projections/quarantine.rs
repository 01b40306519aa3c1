//! Projection `quarantine`: each item that came, and the last act on it. Reads public parts only.

use std::borrow::Cow;
use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use serde::Deserialize;

use super::Projection;
use super::fact::{Fact, FoldError};
use crate::store::views::{ItemRow, ItemState, ItemUpdate, ViewsBatch};

/// A batch of `quarantine`.
#[derive(Debug, Default)]
pub struct Quarantine {
    items: Vec<ItemRow>,
    updates: BTreeMap<i64, ItemUpdate>,
}

#[derive(Deserialize)]
struct Received<'a> {
    #[serde(borrow)]
    reason: Cow<'a, str>,
    #[serde(borrow)]
    via: Cow<'a, str>,
    #[serde(borrow, default)]
    code: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pair: Option<Cow<'a, str>>,
    bytes: i64,
    #[serde(default)]
    problems: i64,
}

#[derive(Deserialize)]
struct Act<'a> {
    item: i64,
    #[serde(borrow, default)]
    outcome: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    reason: Option<Cow<'a, str>>,
    #[serde(default)]
    result: Option<i64>,
    #[serde(default)]
    by: Option<i64>,
    #[serde(default)]
    results: Vec<i64>,
}

impl Projection for Quarantine {
    const NAME: &'static str = "quarantine";
    const VERSION: i64 = 1;

    fn reads(event_type: &str) -> bool {
        event_type.starts_with("quarantine.")
    }

    fn fold(&mut self, fact: &Fact<'_>) -> Result<(), FoldError> {
        let Some(business) = fact.business()? else { return Ok(()) };
        let state = match fact.entry.event_type {
            "quarantine.received" => {
                let data: Received<'_> = business.data()?;
                let pair = match data.pair.as_deref() {
                    Some(pair) => HEXLOWER.decode(pair.as_bytes()).map_err(|_| FoldError("pair_unreadable"))?,
                    None => Vec::new(),
                };
                self.items.push(ItemRow {
                    position: fact.position,
                    bytes: data.bytes,
                    problems: data.problems,
                    recorded: fact.recorded(),
                    event: *fact.entry.event.as_bytes(),
                    reason: data.reason.into_owned(),
                    via: data.via.into_owned(),
                    code: data.code.unwrap_or_default().into_owned(),
                    pair,
                });
                return Ok(());
            }
            "quarantine.discarded" => ItemState::Discarded,
            "quarantine.fixed" => ItemState::Fixed,
            "quarantine.replayed" => ItemState::Replayed,
            "quarantine.resolved" => ItemState::Resolved,
            "quarantine.translated" => ItemState::Translated,
            _ => return Ok(()),
        };
        let act: Act<'_> = business.data()?;
        if act.item < 0 || act.item >= fact.position {
            return Err(FoldError("item_not_before"));
        }
        // An item that became an event is closed by the entry directly behind it, which names it as its cause.
        let cause = fact.entry.cause.and_then(|cause| i64::try_from(cause).ok());
        let result = act.result.or(act.by).or_else(|| act.results.first().copied()).or(cause);
        let outcome = act.outcome.or(act.reason).unwrap_or_default();
        // A replay that fails again leaves the item where it was, unless another item came of it.
        let again = state == ItemState::Replayed && outcome == "quarantined";
        let state = if again && result.is_none_or(|position| position == act.item) { ItemState::Open } else { state };
        self.updates.insert(
            act.item,
            ItemUpdate {
                item: act.item,
                state: state.code(),
                position: fact.position,
                recorded: fact.recorded(),
                result: result.unwrap_or(-1),
                outcome: outcome.into_owned(),
            },
        );
        Ok(())
    }

    fn finish(self, batch: &mut ViewsBatch) {
        batch.items = self.items;
        batch.item_updates = self.updates.into_values().collect();
    }
}
