//! The events that moved a figure of ROI between two instants of knowledge: why Monday's number is not today's.
//!
//! Promises: the changes of all pages add up to the difference between the two answers, to the micro-unit; an event that was undone and
//! stands again shows both times.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use utoipa::ToSchema;

use super::paging::{Cursor, Page, PageRequest};
use super::roi::{Group, RoiQuery};
use super::{Money, ViewError};
use crate::domain::time::Timestamp;
use crate::store::Store;
use crate::store::views::{LineKind, MoneySum, MoveLine};

/// Tag of this list in cursors.
pub const LIST: u8 = 11;
/// Lines read for a page; an event has some hundreds at most.
const LINES_MAX: i64 = 20_000;

/// An event that moved figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Move {
    /// Where it stands in the log.
    pub position: u64,
    /// Its type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// What its lines are: `revenue`, `refund`, `cost`, `annulment`, `correction`, `estimate_replaced`, `count` and so on.
    pub why: BTreeSet<&'static str>,
    /// Entries that it takes out of the figures, or puts back.
    pub about: BTreeSet<u64>,
    /// When it happened; of several instants the first.
    #[schema(value_type = String)]
    pub occurred: Timestamp,
    /// When the ledger learnt it.
    #[schema(value_type = String)]
    pub recorded: Timestamp,
    /// How it moved money, by currency.
    pub money: Vec<MovedMoney>,
    /// How it moved counts; those that it did not move are absent.
    pub counts: BTreeMap<&'static str, i64>,
}

/// How an event moved money of one currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct MovedMoney {
    /// Revenue.
    pub revenue: Money,
    /// Cost.
    pub cost: Money,
    /// Margin.
    pub margin: Money,
    /// Cash received.
    pub received: Money,
    /// Cash paid.
    pub paid: Money,
}

#[derive(Default)]
struct Found {
    why: BTreeSet<&'static str>,
    about: BTreeSet<u64>,
    occurred: Option<i64>,
    recorded: i64,
    group: Group,
}

/// Answers which events, recorded after `known_from` and by `query.known_at`, moved the figures of a question; what it groups by does not matter.
/// `event_type` is left empty: it stands in the log.
///
/// # Errors
/// [`ViewError::TooLarge`] if a sum leaves 64 bits of micro-units.
pub async fn moves(
    store: &Store,
    query: &RoiQuery,
    known_from: Timestamp,
    request: &PageRequest,
) -> Result<Page<Move>, ViewError> {
    let (filter, open) = (query.filter(), Timestamp::MAX);
    let instants = (query.as_of.unwrap_or(open), query.known_at.unwrap_or(open));
    let after = request.after.map_or(Ok(-1), i64::try_from).unwrap_or(i64::MAX);
    let lines = store.money_moves(&filter, known_from, instants, after, LINES_MAX).await?;
    let full = i64::try_from(lines.len()).is_ok_and(|count| count == LINES_MAX);
    let mut found: BTreeMap<u64, Found> = BTreeMap::new();
    for line in lines {
        found.entry(line.position).or_default().take(line)?;
    }
    if full {
        // Lines of the last one may be missing.
        found.pop_last();
    }
    let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
    let has_more = full || found.len() > limit;
    let items = found.into_iter().take(limit).map(|(position, found)| found.shown(position));
    let items = items.collect::<Result<Vec<Move>, ViewError>>()?;
    let last = items.last().filter(|_| has_more);
    let next_cursor = last.map(|last| Cursor { list: LIST, after: last.position }.encode());
    Ok(Page { items, next_cursor, has_more })
}

impl Found {
    fn take(&mut self, line: MoveLine) -> Result<(), ViewError> {
        self.why.extend(LineKind::from_code(line.kind).map(LineKind::name));
        if line.origin != line.position {
            self.about.insert(line.origin);
        }
        self.occurred = Some(self.occurred.map_or(line.occurred, |before| before.min(line.occurred)));
        self.recorded = line.recorded;
        let names = std::array::from_fn(|_| String::new());
        let (measure, currency, value) = (line.measure, line.currency, line.value);
        self.group.add(&MoneySum { day: 0, names, measure, currency, value })
    }

    fn shown(self, position: u64) -> Result<Move, ViewError> {
        let row = self.group.row()?;
        let counts = [
            ("leads", row.leads),
            ("accepted_leads", row.accepted_leads),
            ("contacts", row.contacts),
            ("appointments", row.appointments),
            ("shows", row.shows),
            ("sales", row.sales),
            ("refunds", row.refunds),
        ];
        let money = row.money.into_iter();
        Ok(Move {
            position,
            event_type: String::new(),
            why: self.why,
            about: self.about,
            occurred: Timestamp::from_micros(self.occurred.unwrap_or(self.recorded)),
            recorded: Timestamp::from_micros(self.recorded),
            money: money
                .map(|money| MovedMoney {
                    revenue: money.revenue,
                    cost: money.cost,
                    margin: money.margin,
                    received: money.received,
                    paid: money.paid,
                })
                .collect(),
            counts: counts.into_iter().filter(|(_, count)| *count != 0).collect(),
        })
    }
}
