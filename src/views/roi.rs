//! What did it cost and what did it earn: by any of day, campaign, channel, source and seller.
//!
//! A question about now reads daily sums; one with `as_of` or `known_at` reads the lines themselves. Both give the same
//! answer where they ask the same, which a test holds them to. Ratios are integers divided once, at the end.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use utoipa::ToSchema;

use super::{Money, ViewError, day_text};
use crate::domain::time::Timestamp;
use crate::store::Store;
use crate::store::views::{Account, MEASURE_COST, MEASURE_REVENUE, MoneyFilter, MoneySum};

/// Decimals of a ratio.
const RATIO_SCALE: i128 = 10_000;

/// What a row of the answer stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dimension {
    /// Accounting day.
    Day,
    /// Campaign.
    Campaign,
    /// Marketing channel.
    Channel,
    /// List, publisher or form.
    Source,
    /// Seller.
    Seller,
}

impl Dimension {
    /// The dimension of a name in a query.
    pub fn from_name(name: &str) -> Option<Dimension> {
        match name {
            "day" => Some(Dimension::Day),
            "campaign" => Some(Dimension::Campaign),
            "channel" => Some(Dimension::Channel),
            "source" => Some(Dimension::Source),
            "seller" => Some(Dimension::Seller),
            _ => None,
        }
    }
}

/// A question about return on investment.
#[derive(Debug, Clone, Default)]
pub struct RoiQuery {
    /// First accounting day, in days since 1970-01-01; none: from the start.
    pub day_from: Option<i64>,
    /// The day after the last one; none: to the end.
    pub day_to: Option<i64>,
    /// What to group by; nothing: one row.
    pub by: BTreeSet<Dimension>,
    /// Only this campaign.
    pub campaign: Option<String>,
    /// Only this marketing channel.
    pub channel: Option<String>,
    /// Only this source.
    pub source: Option<String>,
    /// Only this seller.
    pub seller: Option<String>,
    /// What had occurred by then; none: all.
    pub as_of: Option<Timestamp>,
    /// What had been recorded by then; none: all.
    pub known_at: Option<Timestamp>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Roi {
    /// One row a group, ordered by day, campaign, channel, source, seller.
    pub rows: Vec<RoiRow>,
    /// All rows together.
    pub totals: RoiRow,
}

/// Money and counts of a group. A name is absent when the answer is not grouped by it, empty when events gave none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct RoiRow {
    /// UTC accounting day.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "2026-11-03")]
    pub day: Option<String>,
    /// Campaign.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub campaign: Option<String>,
    /// Marketing channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// List, publisher or form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Seller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seller: Option<String>,
    /// Money by currency; nothing is converted.
    pub money: Vec<RoiMoney>,
    /// Leads received or imported.
    pub leads: i64,
    /// Leads that sellers accepted.
    pub accepted_leads: i64,
    /// Contact attempts.
    pub contacts: i64,
    /// Appointments booked.
    pub appointments: i64,
    /// Appointments shown.
    pub shows: i64,
    /// Billable events.
    pub sales: i64,
    /// Refunds.
    pub refunds: i64,
}

/// Money of a group in one currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RoiMoney {
    /// Income less refunds, chargebacks, clawbacks and credits; accrued.
    pub revenue: Money,
    /// All costs.
    pub cost: Money,
    /// Revenue less cost.
    pub margin: Money,
    /// (revenue - cost) / cost to 4 decimals, halves to even; null when there is no cost to divide by.
    #[schema(example = "0.2500")]
    pub roi: Option<String>,
}

type Key = (i64, [String; 4]);

#[derive(Default)]
struct Group {
    money: BTreeMap<String, (i64, i64)>,
    counts: BTreeMap<i64, i64>,
}

/// Answers a question about return on investment.
///
/// # Errors
/// [`ViewError::TooLarge`] if a total leaves 64 bits of micro-units.
pub async fn roi(store: &Store, query: &RoiQuery) -> Result<Roi, ViewError> {
    let by = |dimension| query.by.contains(&dimension);
    let filter = MoneyFilter {
        day_from: query.day_from.unwrap_or(i64::MIN),
        day_to: query.day_to.unwrap_or(i64::MAX),
        by_day: by(Dimension::Day),
        by: [by(Dimension::Campaign), by(Dimension::Channel), by(Dimension::Source), by(Dimension::Seller)],
        only: [query.campaign.clone(), query.channel.clone(), query.source.clone(), query.seller.clone()],
    };
    let sums = if query.as_of.is_none() && query.known_at.is_none() {
        store.money_sums_daily(&filter).await?
    } else {
        let end = Timestamp::from_micros(i64::MAX);
        store.money_sums_exact(&filter, query.as_of.unwrap_or(end), query.known_at.unwrap_or(end)).await?
    };
    answer(sums, &filter)
}

fn answer(sums: Vec<MoneySum>, filter: &MoneyFilter) -> Result<Roi, ViewError> {
    let mut groups: BTreeMap<Key, Group> = BTreeMap::new();
    let mut totals = Group::default();
    for sum in sums {
        totals.add(&sum)?;
        let key = (sum.day, sum.names.clone());
        groups.entry(key).or_default().add(&sum)?;
    }
    // What was undone altogether leaves sums of zero, in the lines though not in the daily table: no row for them.
    let rows = groups
        .into_iter()
        .filter(|(_, group)| !group.is_empty())
        .map(|((day, names), group)| {
            let [campaign, channel, source, seller] = names;
            let [by_campaign, by_channel, by_source, by_seller] = filter.by;
            Ok(RoiRow {
                day: filter.by_day.then(|| day_text(day)),
                campaign: by_campaign.then_some(campaign),
                channel: by_channel.then_some(channel),
                source: by_source.then_some(source),
                seller: by_seller.then_some(seller),
                ..group.row()?
            })
        })
        .collect::<Result<Vec<RoiRow>, ViewError>>()?;
    Ok(Roi { rows, totals: totals.row()? })
}

impl Group {
    fn add(&mut self, sum: &MoneySum) -> Result<(), ViewError> {
        let place = match sum.measure {
            MEASURE_REVENUE => &mut self.money.entry(sum.currency.clone()).or_default().0,
            MEASURE_COST => &mut self.money.entry(sum.currency.clone()).or_default().1,
            counter => self.counts.entry(counter).or_default(),
        };
        *place = place.checked_add(sum.value).ok_or(ViewError::TooLarge)?;
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.money.values().all(|money| *money == (0, 0)) && self.counts.values().all(|count| *count == 0)
    }

    fn row(&self) -> Result<RoiRow, ViewError> {
        let count = |counter: Account| self.counts.get(&counter.code()).copied().unwrap_or(0);
        let money = self
            .money
            .iter()
            .filter(|(_, money)| **money != (0, 0))
            .map(|(currency, (revenue, cost))| {
                let margin = revenue.checked_sub(*cost).ok_or(ViewError::TooLarge)?;
                Ok(RoiMoney {
                    revenue: Money::of(*revenue, currency),
                    cost: Money::of(*cost, currency),
                    margin: Money::of(margin, currency),
                    roi: ratio(margin, *cost),
                })
            })
            .collect::<Result<Vec<RoiMoney>, ViewError>>()?;
        Ok(RoiRow {
            money,
            leads: count(Account::Leads),
            accepted_leads: count(Account::AcceptedLeads),
            contacts: count(Account::Contacts),
            appointments: count(Account::Appointments),
            shows: count(Account::Shows),
            sales: count(Account::Sales),
            refunds: count(Account::Refunds),
            ..RoiRow::default()
        })
    }
}

/// `part / whole` to 4 decimals, halves to even; none when `whole` is not positive, where the ratio says nothing.
pub(super) fn ratio(part: i64, whole: i64) -> Option<String> {
    if whole <= 0 {
        return None;
    }
    let (part, whole) = (i128::from(part) * RATIO_SCALE, i128::from(whole));
    let (floor, rest) = (part.div_euclid(whole), part.rem_euclid(whole));
    let up = rest * 2 > whole || (rest * 2 == whole && floor % 2 != 0);
    let scaled = floor + i128::from(up);
    let (sign, size) = (if scaled < 0 { "-" } else { "" }, scaled.unsigned_abs());
    let scale = RATIO_SCALE.unsigned_abs();
    Some(format!("{sign}{}.{:04}", size / scale, size % scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratio_is_exact_to_four_decimals() {
        for (part, whole, text) in [
            (25, 100, Some("0.2500")),
            (-25, 100, Some("-0.2500")),
            (1, 3, Some("0.3333")),
            (2, 3, Some("0.6667")),
            (1, 20_000, Some("0.0000")),
            (3, 20_000, Some("0.0002")),
            (-1, 100_000, Some("0.0000")),
            (i64::MAX, 1, Some("9223372036854775807.0000")),
            (5, 0, None),
            (5, -1, None),
        ] {
            assert_eq!(ratio(part, whole).as_deref(), text, "{part} / {whole}");
        }
    }
}
