//! Where the next dollar earns most, and which money earned nothing: weeks of spend beside what the touches of those weeks earned.
//!
//! A suggestion is an answer, never an act. Weeks are seven days that end at `to`, so the last one is as long as the others.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::attribution::{AttributionError, AttributionQuery, touch_earnings};
use super::{Money, ViewError};
use crate::domain::attribution::journey::Lookback;
use crate::domain::budget::{Limits, Period, PlanError, Response, plan};
use crate::domain::money::{Currency, Micros};
use crate::domain::time::{MICROS_PER_DAY, Timestamp, day_text};
use crate::store::Store;
use crate::store::views::{Account, MoneyFilter, MoneySum, NAMES, measures_cost};

/// Days of a period.
const WEEK: i64 = 7;

/// A question about budgets.
#[derive(Debug, Clone)]
pub struct OptimisationQuery {
    /// Weeks that are looked at.
    pub weeks: u32,
    /// The day after the last one, in days since 1970-01-01.
    pub to: i64,
    /// Model that says what touches earned; one that credits touch by touch.
    pub model: String,
    /// Days before a conversion in which touches earn.
    pub lookback_days: u32,
    /// Needed where money is in several currencies.
    pub currency: Option<Currency>,
    /// Micro-units a week to share out; none: as much as was spent a week.
    pub budget: Option<i64>,
    /// How far a channel's budget may move, in percent of what it spent.
    pub change_percent: u32,
    /// Least and most micro-units a week of channels that have such limits, beside how far they may move.
    pub limits: BTreeMap<String, (Option<i64>, Option<i64>)>,
    /// Bootstrap replicates of the bands.
    pub replicates: u32,
    /// Their seed.
    pub seed: u64,
    /// Days in which spend without an accepted lead is waste.
    pub waste_days: u32,
    /// Micro-units from which it is.
    pub waste_from: i64,
    /// Only what had been recorded by then; none: all.
    pub known_at: Option<Timestamp>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum OptimisationError {
    /// What touches earned cannot be said.
    #[error(transparent)]
    Attribution(#[from] AttributionError),
    /// Spend is in several currencies.
    #[error("spend is in {0}")]
    Currencies(String),
    /// No budget fits the limits.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Rows cannot be read.
    #[error(transparent)]
    View(#[from] ViewError),
}

/// What to do with the money, and how sure that is.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Optimisation {
    /// First day that was looked at.
    pub from: String,
    /// The day after the last.
    pub to: String,
    /// Weeks between them.
    pub weeks: u32,
    /// Model that says what touches earned.
    pub model: String,
    /// Currency of all money; none where nothing was spent or earned.
    pub currency: Option<String>,
    /// Money a week that was shared out.
    pub budget: Money,
    /// What of it nobody should get.
    pub unspent: Money,
    /// What the curves say the change would bring a week.
    pub expected_change: Money,
    /// Channels by name.
    pub channels: Vec<ChannelBudget>,
    /// Spend without accepted leads, the largest first.
    pub waste: Vec<Waste>,
}

/// A channel's budget.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ChannelBudget {
    /// Marketing channel; empty where events gave none.
    pub channel: String,
    /// Weeks in which it spent anything.
    pub weeks_with_spend: u32,
    /// Money a week.
    pub spend: Money,
    /// What its touches earned a week, less what went back.
    pub earned: Money,
    /// Earned by spent, to 4 decimals; null where nothing was spent.
    pub average_return: Option<String>,
    /// What the next unit of money would earn, to 4 decimals; null where too little is known.
    pub marginal_return: Option<String>,
    /// Its 90 % band.
    pub marginal_band: Option<[String; 2]>,
    /// Money a week that it should get.
    pub suggested: Money,
    /// Whether the bands say so too: those of all channels that get more lie above those of all that get less.
    pub clear: bool,
    /// Why its budget stays: `too_few_weeks`; absent where it was judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
}

/// Spend that brought no accepted lead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Waste {
    /// Campaign; empty where events gave none.
    pub campaign: String,
    /// Marketing channel.
    pub channel: String,
    /// List, publisher or form.
    pub source: String,
    /// What was spent.
    pub spend: Money,
    /// First day of the span.
    pub from: String,
    /// Leads that came, none of them accepted.
    pub leads: i64,
}

/// Answers a question about budgets.
///
/// # Errors
/// [`OptimisationError`].
pub async fn optimisation(store: &Store, query: &OptimisationQuery) -> Result<Optimisation, OptimisationError> {
    let from = query.to - WEEK * i64::from(query.weeks);
    let spent = sums(store, query, from, &["channel"]).await?;
    let (attributed, earned) = touch_earnings(store, &attribution(query, from)).await?;
    let currency = query.currency.or(attributed).or(currency_of(&spent)?);
    let weeks = usize::try_from(query.weeks).unwrap_or(0);
    let mut channels: BTreeMap<String, Vec<(i64, i64)>> = BTreeMap::new();
    let code = currency.as_ref().map_or("", Currency::code);
    for sum in spent.iter().filter(|sum| measures_cost(sum.measure) && sum.currency == code) {
        let [_, channel, ..] = &sum.names;
        add(&mut channels, channel, weeks, sum.day - from, |period| period.0 += sum.value);
    }
    for touch in earned {
        let micros =
            currency.and_then(|currency| Micros::from_minor(touch.minor, currency).ok()).map_or(0, Micros::micros);
        let day = touch.at.micros().div_euclid(MICROS_PER_DAY) - from;
        add(&mut channels, &touch.channel, weeks, day, |period| period.1 += micros);
    }
    let waste = waste(store, query, code).await?;
    let shared = share(query, currency, &channels)?;
    Ok(Optimisation {
        from: day_text(from),
        to: day_text(query.to),
        weeks: query.weeks,
        model: query.model.clone(),
        currency: currency.map(|currency| currency.code().to_owned()),
        budget: Money::of(shared.budget, code),
        unspent: Money::of(shared.budget - shared.given, code),
        expected_change: Money::of(shared.expected, code),
        channels: shared.rows,
        waste,
    })
}

fn attribution(query: &OptimisationQuery, from: i64) -> AttributionQuery {
    AttributionQuery {
        models: vec![query.model.clone()],
        lookback: Lookback { days: Some(query.lookback_days), steps: None },
        // Touches of the span may convert after it; what is known of them counts.
        from: Some(Timestamp::from_micros(from.saturating_mul(MICROS_PER_DAY))),
        to: None,
        as_of: Timestamp::MAX,
        known_at: query.known_at.unwrap_or(Timestamp::MAX),
        seller: None,
        campaign: None,
        currency: query.currency.map(|currency| currency.code().to_owned()),
        engaged: false,
        replicates: 0,
        seed: 0,
    }
}

async fn sums(store: &Store, query: &OptimisationQuery, from: i64, by: &[&str]) -> Result<Vec<MoneySum>, ViewError> {
    let by = NAMES.map(|name| by.contains(&name));
    let filter = MoneyFilter { day_from: from, day_to: query.to, by_day: true, by, ..MoneyFilter::default() };
    let known_at = query.known_at.unwrap_or(Timestamp::MAX);
    Ok(store.money_sums(&filter, Timestamp::MAX, known_at).await?)
}

fn currency_of(spent: &[MoneySum]) -> Result<Option<Currency>, OptimisationError> {
    let costs = spent.iter().filter(|sum| measures_cost(sum.measure) && sum.value != 0);
    let mut codes: Vec<&str> = costs.map(|sum| sum.currency.as_str()).collect();
    codes.sort_unstable();
    codes.dedup();
    match codes.as_slice() {
        [] => Ok(None),
        [code] => Ok(Currency::parse(code).ok()),
        several => Err(OptimisationError::Currencies(several.join(", "))),
    }
}

/// Puts something into the week of a day of the span.
fn add(
    channels: &mut BTreeMap<String, Vec<(i64, i64)>>,
    channel: &str,
    weeks: usize,
    day: i64,
    put: impl FnOnce(&mut (i64, i64)),
) {
    let periods = channels.entry(channel.to_owned()).or_insert_with(|| vec![(0, 0); weeks]);
    if let Some(period) = usize::try_from(day.div_euclid(WEEK)).ok().and_then(|week| periods.get_mut(week)) {
        put(period);
    }
}

/// How the budget was shared out.
struct Shared {
    budget: i64,
    given: i64,
    expected: i64,
    rows: Vec<ChannelBudget>,
}

/// A channel on its way to a budget, in micro-units a week.
struct Judged<'a> {
    channel: &'a str,
    spent: i64,
    earned: i64,
    weeks_with_spend: u32,
    response: Option<Response>,
    band: Option<(f64, f64)>,
}

impl<'a> Judged<'a> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "sums of weeks are far below 2^53 micro-units, and a curve is an estimate"
    )]
    fn of(query: &OptimisationQuery, channel: &'a str, weeks: &[(i64, i64)]) -> Judged<'a> {
        let count = i64::from(query.weeks.max(1));
        let period = |(spend, earned): &(i64, i64)| Period { spend: *spend as f64, earned: *earned as f64 };
        let periods: Vec<Period> = weeks.iter().map(period).collect();
        let spent = weeks.iter().map(|week| week.0).sum::<i64>() / count;
        let response = Response::fit(&periods);
        let band = response.and_then(|_| Response::marginal_band(&periods, spent as f64, query.replicates, query.seed));
        Judged {
            channel,
            spent,
            earned: weeks.iter().map(|week| week.1).sum::<i64>() / count,
            weeks_with_spend: u32::try_from(weeks.iter().filter(|week| week.0 > 0).count()).unwrap_or(u32::MAX),
            response,
            band,
        }
    }

    /// How far its budget may move, in whole minor units.
    fn limits(&self, query: &OptimisationQuery, unit: i64) -> Limits {
        let spent = self.spent.max(0);
        let step = i64::try_from(i128::from(spent) * i128::from(query.change_percent) / 100).unwrap_or(i64::MAX);
        let step_down = step.min(spent);
        let (least, most) = query.limits.get(self.channel).copied().unwrap_or_default();
        // What somebody set wins over how far it may move.
        let most = most.map(|most| most.div_euclid(unit));
        let least = least.map(|least| least.div_euclid(unit) + i64::from(least.rem_euclid(unit) > 0));
        let lower = (spent - step_down).div_euclid(unit).max(least.unwrap_or(0)).min(most.unwrap_or(i64::MAX));
        let upper = spent.saturating_add(step).div_euclid(unit).min(most.unwrap_or(i64::MAX)).max(least.unwrap_or(0));
        Limits { least: lower, most: upper.max(lower) }
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::float_arithmetic,
    reason = "what a change would bring is an estimate"
)]
fn share(
    query: &OptimisationQuery,
    currency: Option<Currency>,
    channels: &BTreeMap<String, Vec<(i64, i64)>>,
) -> Result<Shared, OptimisationError> {
    let code = currency.as_ref().map_or("", Currency::code);
    let unit = currency.and_then(|currency| Micros::from_minor(1, currency).ok()).map_or(1, Micros::micros);
    let judged: Vec<Judged<'_>> = channels.iter().map(|(channel, weeks)| Judged::of(query, channel, weeks)).collect();
    let budget = query.budget.unwrap_or_else(|| judged.iter().map(|channel| channel.spent.max(0)).sum());
    // Who cannot be judged keeps what he has; the others share the rest.
    let kept: i64 =
        judged.iter().filter(|channel| channel.response.is_none()).map(|channel| channel.spent.max(0)).sum();
    let open: Vec<(Response, Limits)> = judged
        .iter()
        .filter_map(|channel| Some((channel.response?.in_units_of(unit), channel.limits(query, unit))))
        .collect();
    let parts = plan(&open, budget.saturating_sub(kept).div_euclid(unit))?;
    let mut parts = parts.into_iter().map(|part| part.saturating_mul(unit));
    let suggested: Vec<i64> = judged
        .iter()
        .map(|channel| if channel.response.is_some() { parts.next().unwrap_or(0) } else { channel.spent.max(0) })
        .collect();
    let moved = |wanted: std::cmp::Ordering| {
        let both =
            judged.iter().zip(&suggested).filter(move |(channel, part)| (*part).cmp(&channel.spent.max(0)) == wanted);
        both.filter_map(|(channel, _)| channel.band)
    };
    let worst_of_more = moved(std::cmp::Ordering::Greater).map(|band| band.0).fold(f64::INFINITY, f64::min);
    let best_of_less = moved(std::cmp::Ordering::Less).map(|band| band.1).fold(f64::NEG_INFINITY, f64::max);
    let mut expected = 0.0;
    let mut rows = Vec::with_capacity(judged.len());
    for (channel, part) in judged.iter().zip(&suggested) {
        if let Some(response) = channel.response {
            expected += response.earned(*part as f64) - response.earned(channel.spent.max(0) as f64);
        }
        let moves = *part != channel.spent.max(0);
        rows.push(ChannelBudget {
            channel: channel.channel.to_owned(),
            weeks_with_spend: channel.weeks_with_spend,
            spend: Money::of(channel.spent, code),
            earned: Money::of(channel.earned, code),
            average_return: (channel.spent > 0).then(|| decimal(channel.earned as f64 / channel.spent as f64)),
            marginal_return: channel.response.map(|response| decimal(response.marginal(channel.spent.max(0) as f64))),
            marginal_band: channel.band.map(|(low, high)| [decimal(low), decimal(high)]),
            suggested: Money::of(*part, code),
            clear: moves && channel.band.is_some() && worst_of_more > best_of_less,
            reason: channel.response.is_none().then_some("too_few_weeks"),
        });
    }
    Ok(Shared { budget, given: suggested.iter().sum(), expected: expected as i64, rows })
}

fn decimal(value: f64) -> String {
    format!("{value:.4}")
}

/// Spend of the last days by campaign, channel and source that no accepted lead stands beside.
async fn waste(store: &Store, query: &OptimisationQuery, code: &str) -> Result<Vec<Waste>, ViewError> {
    let from = query.to - i64::from(query.waste_days);
    let mut groups: BTreeMap<[String; 3], (i64, i64, i64)> = BTreeMap::new();
    for sum in sums(store, query, from, &["campaign", "channel", "source"]).await? {
        let [campaign, channel, source, ..] = sum.names;
        let (spend, leads, accepted) = groups.entry([campaign, channel, source]).or_default();
        let place = match sum.measure {
            measure if measures_cost(measure) && sum.currency == code => spend,
            measure if measure == Account::Leads.code() => leads,
            measure if measure == Account::AcceptedLeads.code() => accepted,
            _ => continue,
        };
        *place = place.checked_add(sum.value).ok_or(ViewError::TooLarge)?;
    }
    let mut waste: Vec<(i64, Waste)> = Vec::new();
    for (names, (spend, ..)) in groups.iter().filter(|(_, (spend, ..))| *spend > 0 && *spend >= query.waste_from) {
        // A name that either of them leaves out says nothing: a lead stands beside spend unless a name tells them apart.
        let apart = |(name, of): (&String, &String)| !name.is_empty() && !of.is_empty() && name != of;
        let beside = |group: &[String; 3]| !names.iter().zip(group).any(apart);
        let of = groups.iter().filter(|(group, _)| beside(group)).map(|(_, (_, leads, accepted))| (*leads, *accepted));
        let (leads, accepted) = of.fold((0, 0), |sum, group| (sum.0 + group.0, sum.1 + group.1));
        if accepted <= 0 {
            let [campaign, channel, source] = names.clone();
            let (from, spent) = (day_text(from), Money::of(*spend, code));
            waste.push((*spend, Waste { campaign, channel, source, spend: spent, from, leads }));
        }
    }
    waste.sort_by_key(|(spend, _)| std::cmp::Reverse(*spend));
    Ok(waste.into_iter().map(|(_, waste)| waste).collect())
}
