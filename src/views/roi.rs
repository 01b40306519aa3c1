//! What did it cost and what did it earn: by any of day, week, month, campaign, channel, source, seller and vendor, and by state and month (cohort) of
//! the lead that it is about.
//!
//! A question adds up sums that are kept by period; `as_of` and `known_at` also read the lines of the two periods that they break
//! (decision 0012). Both give what the lines alone give, which a test holds them to. Ratios are integers divided once, at the end.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use utoipa::ToSchema;

use super::{Money, ViewError};
use crate::domain::time::{MICROS_PER_DAY, Timestamp, day_text};
use crate::store::Store;
use crate::store::views::{
    Account, DimsRow, MoneyFilter, MoneySum, NAMES, measures_cash, measures_cost, measures_revenue,
};

/// Costs that come with each contact and sale.
const VARIABLE: [Account; 6] =
    [Account::Media, Account::Data, Account::Telephony, Account::Sms, Account::Email, Account::Payout];
/// Every kind of cost, by the name of its account.
pub const COST_KINDS: [Account; 12] = [
    Account::Media,
    Account::Data,
    Account::Telephony,
    Account::Sms,
    Account::Email,
    Account::Enrichment,
    Account::Labour,
    Account::Software,
    Account::Compliance,
    Account::Payout,
    Account::PaymentFees,
    Account::OtherCost,
];
/// Decimals of a ratio.
const RATIO_SCALE: i128 = 10_000;

/// What a row of the answer stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dimension {
    /// Accounting day.
    Day,
    /// Week of accounting days, from Monday (ISO 8601).
    Week,
    /// Month of accounting days.
    Month,
    /// Campaign.
    Campaign,
    /// Marketing channel.
    Channel,
    /// List, publisher or form.
    Source,
    /// Seller.
    Seller,
    /// Vendor: who sold the lead or the data.
    Vendor,
    /// State that the person's lead named.
    State,
    /// Month of the person's first lead.
    Cohort,
}

impl Dimension {
    /// The dimension of a name in a query.
    pub fn from_name(name: &str) -> Option<Dimension> {
        match name {
            "day" => Some(Dimension::Day),
            "week" => Some(Dimension::Week),
            "month" => Some(Dimension::Month),
            "campaign" => Some(Dimension::Campaign),
            "channel" => Some(Dimension::Channel),
            "source" => Some(Dimension::Source),
            "seller" => Some(Dimension::Seller),
            "vendor" => Some(Dimension::Vendor),
            "state" => Some(Dimension::State),
            "cohort" => Some(Dimension::Cohort),
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
    /// Only this vendor.
    pub vendor: Option<String>,
    /// Only leads of this state.
    pub state: Option<String>,
    /// Only leads of this month, `YYYY-MM`.
    pub cohort: Option<String>,
    /// What had occurred by then; none: all.
    pub as_of: Option<Timestamp>,
    /// What had been recorded by then; none: all.
    pub known_at: Option<Timestamp>,
}

impl RoiQuery {
    /// Which sums it takes.
    pub(super) fn filter(&self) -> MoneyFilter {
        let by = |dimension| self.by.contains(&dimension);
        let only = [&self.campaign, &self.channel, &self.source, &self.seller, &self.vendor, &self.state, &self.cohort];
        MoneyFilter {
            day_from: self.day_from.unwrap_or(i64::MIN),
            day_to: self.day_to.unwrap_or(i64::MAX),
            by_day: [Dimension::Day, Dimension::Week, Dimension::Month].into_iter().any(by),
            by: NAMES.map(|name| Dimension::from_name(name).is_some_and(by)),
            only: only.map(Clone::clone),
        }
    }
}

impl RoiQuery {
    /// The group of a line that was asked for by `filter`; none where it is not asked about.
    pub(super) fn key_of(&self, filter: &MoneyFilter, day: i64, dims: &DimsRow) -> Option<RoiKey> {
        let within = (filter.day_from..filter.day_to).contains(&day);
        let fits =
            filter.only.iter().zip(&dims.names).all(|(only, name)| only.as_ref().is_none_or(|only| only == name));
        let names = std::array::from_fn(|place| match (filter.by.get(place), dims.names.get(place)) {
            (Some(true), Some(name)) => name.clone(),
            _ => String::new(),
        });
        (within && fits).then(|| (if filter.by_day { begins(day, &self.by) } else { 0 }, names))
    }

    /// The group of a sum that was asked for by `filter`.
    pub(super) fn group_of(&self, sum: &MoneySum, filter: &MoneyFilter) -> RoiKey {
        (if filter.by_day { begins(sum.day, &self.by) } else { 0 }, sum.names.clone())
    }

    /// The names of a group, those that were asked for.
    pub(super) fn names(&self, (day, names): RoiKey) -> RoiNames {
        let asked = |dimension, text: String| self.by.contains(&dimension).then_some(text);
        let [campaign, channel, source, seller, vendor, state, cohort, _] = names;
        let monday = day - (day + 3).rem_euclid(7);
        RoiNames {
            day: asked(Dimension::Day, day_text(day)),
            week: asked(Dimension::Week, day_text(monday)),
            month: asked(Dimension::Month, day_text(day).chars().take(7).collect()),
            campaign: asked(Dimension::Campaign, campaign),
            channel: asked(Dimension::Channel, channel),
            source: asked(Dimension::Source, source),
            seller: asked(Dimension::Seller, seller),
            vendor: asked(Dimension::Vendor, vendor),
            state: asked(Dimension::State, state),
            cohort: asked(Dimension::Cohort, cohort),
        }
    }
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Roi {
    /// One row a group, ordered by day, campaign, channel, source, seller, vendor, state, cohort.
    pub rows: Vec<RoiRow>,
    /// All rows together.
    pub totals: RoiRow,
}

/// The names that a group stands for. One is absent when the answer is not grouped by it, empty when events gave none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct RoiNames {
    /// UTC accounting day.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "2026-11-03")]
    pub day: Option<String>,
    /// First day of the week, a Monday.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "2026-11-02")]
    pub week: Option<String>,
    /// Month.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "2026-11")]
    pub month: Option<String>,
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
    /// Vendor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    /// State that the lead named.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "TX")]
    pub state: Option<String>,
    /// Month of the person's first lead.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "2026-10")]
    pub cohort: Option<String>,
}

/// Money and counts of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct RoiRow {
    /// What it stands for.
    #[serde(flatten)]
    pub names: RoiNames,
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
    /// Cash: received from sellers, less what was sent back to them.
    pub received: Money,
    /// Cash: paid to vendors, for costs without a vendor and for fees; what a vendor is still owed is no cash.
    pub paid: Money,
    /// Received less paid.
    pub cash_flow: Money,
    /// Income before anything was given back.
    pub gross: Money,
    /// Refunds, returns, chargebacks, clawbacks, credits and write-offs: gross less revenue.
    pub returns: Money,
    /// Revenue less the costs that come with each contact and sale: media, data, telephony, sms, email, payout.
    pub contribution: Money,
    /// Costs by kind: media, data, telephony, sms, email, enrichment, labour, software, compliance, payout, payment_fees, other.
    pub costs: BTreeMap<String, Money>,
    /// Cost / accepted leads; null without one. As all money a lead, to the micro-unit, halves to even.
    pub cpl: Option<Money>,
    /// Cost / leads received or imported; null without one.
    pub cpl_gross: Option<Money>,
    /// Cost / sales: all acquisition cost a sale; null without one.
    pub cac: Option<Money>,
    /// Revenue / sales: what a sale keeps of its price; null without one.
    pub effective_price: Option<Money>,
    /// Revenue / media spend to 4 decimals; null when nothing was spent on media.
    pub roas: Option<String>,
    /// Returns / gross to 4 decimals; null when nothing was earned.
    pub return_rate: Option<String>,
}

/// A group: first day of its period, and the names in the order of [`NAMES`]; 0 and empty where it is not grouped by them.
pub(super) type RoiKey = (i64, [String; NAMES.len()]);

/// Sums of a group: micro-units by currency and account, counts by counter.
#[derive(Default)]
pub(super) struct Group {
    money: BTreeMap<String, BTreeMap<i64, i64>>,
    counts: BTreeMap<i64, i64>,
}

/// Answers a question about return on investment.
///
/// # Errors
/// [`ViewError::TooLarge`] if a total leaves 64 bits of micro-units.
pub async fn roi(store: &Store, query: &RoiQuery) -> Result<Roi, ViewError> {
    let filter = query.filter();
    let open = Timestamp::MAX;
    let sums = store.money_sums(&filter, query.as_of.unwrap_or(open), query.known_at.unwrap_or(open)).await?;
    answer(sums, query, &filter)
}

/// The first day of the period that stands for a day, by the finest that was asked for: a day is in one week and in one month, so
/// that day and week, or day and month, are one group a day; week and month together are one group for each part.
fn begins(day: i64, by: &BTreeSet<Dimension>) -> i64 {
    let monday = day - (day + 3).rem_euclid(7);
    let first = day - i64::from(Timestamp::from_micros(day.saturating_mul(MICROS_PER_DAY)).date().2) + 1;
    if by.contains(&Dimension::Day) {
        day
    } else if by.contains(&Dimension::Week) && by.contains(&Dimension::Month) {
        monday.max(first)
    } else if by.contains(&Dimension::Week) {
        monday
    } else {
        first
    }
}

fn answer(sums: Vec<MoneySum>, query: &RoiQuery, filter: &MoneyFilter) -> Result<Roi, ViewError> {
    let mut groups: BTreeMap<RoiKey, Group> = BTreeMap::new();
    let mut totals = Group::default();
    for sum in sums {
        totals.add(&sum)?;
        groups.entry(query.group_of(&sum, filter)).or_default().add(&sum)?;
    }
    // What was undone altogether leaves sums of zero: no row for them.
    let rows = groups
        .into_iter()
        .filter(|(_, group)| !group.is_empty())
        .map(|(key, group)| Ok(RoiRow { names: query.names(key), ..group.row()? }))
        .collect::<Result<Vec<RoiRow>, ViewError>>()?;
    Ok(Roi { rows, totals: totals.row()? })
}

impl Group {
    /// Adds a sum.
    pub(super) fn add(&mut self, sum: &MoneySum) -> Result<(), ViewError> {
        let place = if measures_revenue(sum.measure) || measures_cost(sum.measure) || measures_cash(sum.measure) {
            self.money.entry(sum.currency.clone()).or_default().entry(sum.measure).or_default()
        } else {
            self.counts.entry(sum.measure).or_default()
        };
        *place = place.checked_add(sum.value).ok_or(ViewError::TooLarge)?;
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.money.values().flat_map(BTreeMap::values).all(|micros| *micros == 0)
            && self.counts.values().all(|count| *count == 0)
    }

    /// Its figures, without names.
    pub(super) fn row(&self) -> Result<RoiRow, ViewError> {
        let count = |counter: Account| self.counts.get(&counter.code()).copied().unwrap_or(0);
        let some = |(_, accounts): &(&String, &BTreeMap<i64, i64>)| accounts.values().any(|micros| *micros != 0);
        let money = self
            .money
            .iter()
            .filter(some)
            .map(|(currency, accounts)| self.money_of(currency, accounts))
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

    fn money_of(&self, currency: &str, accounts: &BTreeMap<i64, i64>) -> Result<RoiMoney, ViewError> {
        let sum = |wanted: &dyn Fn(i64) -> bool| -> Result<i64, ViewError> {
            let mut of = accounts.iter().filter(|(measure, _)| wanted(**measure));
            of.try_fold(0_i64, |sum, (_, micros)| sum.checked_add(*micros)).ok_or(ViewError::TooLarge)
        };
        let revenue = sum(&measures_revenue)?;
        let gross = sum(&|measure| measures_revenue(measure) && measure < Account::Returns.code())?;
        let cost = sum(&measures_cost)?;
        let variable = sum(&|measure| VARIABLE.iter().any(|account| account.code() == measure))?;
        let of = |account: Account| accounts.get(&account.code()).copied().unwrap_or(0);
        let (media, received, paid) = (of(Account::Media), of(Account::CashReceived), of(Account::CashPaid));
        let margin = revenue.checked_sub(cost).ok_or(ViewError::TooLarge)?;
        let returns = gross.checked_sub(revenue).ok_or(ViewError::TooLarge)?;
        let count = |counter: Account| self.counts.get(&counter.code()).copied().unwrap_or(0);
        let each = |micros: i64, of: Account| per(micros, count(of)).map(|micros| Money::of(micros, currency));
        let kinds = accounts.iter().filter(|(measure, micros)| measures_cost(**measure) && **micros != 0);
        let kind = |(measure, micros): (&i64, &i64)| {
            Some((Account::from_code(*measure)?.name().to_owned(), Money::of(*micros, currency)))
        };
        Ok(RoiMoney {
            revenue: Money::of(revenue, currency),
            cost: Money::of(cost, currency),
            margin: Money::of(margin, currency),
            roi: ratio(margin, cost),
            received: Money::of(received, currency),
            paid: Money::of(paid, currency),
            cash_flow: Money::of(received.checked_sub(paid).ok_or(ViewError::TooLarge)?, currency),
            gross: Money::of(gross, currency),
            returns: Money::of(returns, currency),
            contribution: Money::of(revenue.checked_sub(variable).ok_or(ViewError::TooLarge)?, currency),
            costs: kinds.filter_map(kind).collect(),
            cpl: each(cost, Account::AcceptedLeads),
            cpl_gross: each(cost, Account::Leads),
            cac: each(cost, Account::Sales),
            effective_price: each(revenue, Account::Sales),
            roas: ratio(revenue, media),
            return_rate: ratio(returns, gross),
        })
    }
}

/// Micro-units a piece, halves to even; none where there is no piece.
pub(super) fn per(micros: i64, pieces: i64) -> Option<i64> {
    if pieces <= 0 {
        return None;
    }
    let (floor, rest) = (micros.div_euclid(pieces), micros.rem_euclid(pieces));
    let (twice, whole) = (i128::from(rest) * 2, i128::from(pieces));
    Some(floor + i64::from(twice > whole || (twice == whole && floor % 2 != 0)))
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
    fn money_a_piece_is_rounded_to_even_micro_units() {
        for (micros, pieces, each) in
            [(10, 4, Some(2)), (14, 4, Some(4)), (-10, 4, Some(-2)), (7, 2, Some(4)), (5, 0, None)]
        {
            assert_eq!(per(micros, pieces), each, "{micros} / {pieces}");
        }
    }

    #[test]
    fn weeks_begin_on_monday_and_months_on_their_first_day() {
        let by = |dimensions: &[Dimension]| dimensions.iter().copied().collect::<BTreeSet<_>>();
        // 2026-11-01 is a Sunday, 20,758 days after the epoch.
        let begun = |day, dimensions: &[Dimension]| day_text(begins(day, &by(dimensions)));
        assert_eq!(begun(20_758, &[Dimension::Week]), "2026-10-26");
        assert_eq!(begun(20_759, &[Dimension::Week]), "2026-11-02");
        assert_eq!(begun(20_787, &[Dimension::Month]), "2026-11-01");
        assert_eq!(
            begun(20_758, &[Dimension::Week, Dimension::Month]),
            "2026-11-01",
            "a week of two months is two groups"
        );
        assert_eq!(begun(20_758, &[Dimension::Day, Dimension::Week]), "2026-11-01");
        assert_eq!(begun(-1, &[Dimension::Week]), "1969-12-29");
    }

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
