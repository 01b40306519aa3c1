//! What each lead cost and brought, to the micro-unit: price = payout + costs + margin.
//!
//! A line of the journal belongs to the person that its event is about, or whose lead, call or message a cost names. What nobody's event
//! cost is spread over the leads of the same accounting day, as the cost says (`allocation`, `driver`) or else as the question says: in
//! proportion to the driver, by largest remainder, the earlier lead first where remainders are equal. The shares of a cost sum to the cost;
//! what cannot be spread stays visible with the reason, so that all leads and the rest together are `/v1/views/roi` exactly.
//!
//! Margins are read from the other side of the books: what stands in receivables, cash and payables because of the lead. That both sides agree is
//! the reconciliation; a difference would be an event that does not balance.

mod weigh;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use utoipa::ToSchema;

pub use self::weigh::Driver;
use self::weigh::{Lead, Sums, Weighed, weigh};
use super::roi::{per, ratio};
use super::{Cursor, Money, Page, PageRequest, ViewError, more};
use crate::domain::ids::SubjectId;
use crate::domain::time::{Timestamp, day_text};
use crate::store::Store;
use crate::store::views::NAMES;

/// Tag of the list in cursors.
pub const LIST: u8 = 21;

/// What leads are put together by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeadGroup {
    /// Month of the person's first lead.
    Cohort,
    /// State that the lead named.
    State,
    /// Campaign of the lead.
    Campaign,
    /// Channel of the lead.
    Channel,
    /// List, publisher or form.
    Source,
    /// Who sold the lead.
    Vendor,
}

impl LeadGroup {
    /// The group of a name in a question.
    pub fn from_name(name: &str) -> Option<LeadGroup> {
        match name {
            "cohort" => Some(LeadGroup::Cohort),
            "state" => Some(LeadGroup::State),
            "campaign" => Some(LeadGroup::Campaign),
            "channel" => Some(LeadGroup::Channel),
            "source" => Some(LeadGroup::Source),
            "vendor" => Some(LeadGroup::Vendor),
            _ => None,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            LeadGroup::Cohort => "cohort",
            LeadGroup::State => "state",
            LeadGroup::Campaign => "campaign",
            LeadGroup::Channel => "channel",
            LeadGroup::Source => "source",
            LeadGroup::Vendor => "vendor",
        }
    }
}

/// A question about leads.
#[derive(Debug, Clone)]
pub struct LeadsQuery {
    /// First day of leads, since 1970-01-01.
    pub day_from: i64,
    /// The day after the last one.
    pub day_to: i64,
    /// Only leads of this campaign.
    pub campaign: Option<String>,
    /// Only leads of this state.
    pub state: Option<String>,
    /// The currency of all money in the answer.
    pub currency: [u8; 3],
    /// How a cost is spread that does not say how; none: it stays visible.
    pub unsaid: Option<Driver>,
    /// What had occurred by then.
    pub as_of: Timestamp,
    /// What had been recorded by then.
    pub known_at: Timestamp,
}

/// What a lead cost and brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LeadRow {
    /// Entry of the person's first lead.
    pub position: u64,
    /// The person.
    pub subject: String,
    /// Day of the lead.
    #[schema(example = "2026-11-03")]
    pub day: String,
    /// Campaign; empty: none. So the next four.
    pub campaign: String,
    /// Channel.
    pub channel: String,
    /// List, publisher or form.
    pub source: String,
    /// Who sold it.
    pub vendor: String,
    /// State that it named.
    pub state: String,
    /// The money.
    #[serde(flatten)]
    pub money: LeadMoney,
}

/// Money of one lead, or of several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LeadMoney {
    /// Price: income less refunds, returns, chargebacks and credits.
    pub revenue: Money,
    /// Paid out of it to publishers, partners and agents.
    pub payout: Money,
    /// Costs of this lead itself, by kind, without payouts.
    pub costs: BTreeMap<&'static str, Money>,
    /// Its shares of costs of nobody's lead, by kind.
    pub allocated: BTreeMap<&'static str, Money>,
    /// What is left, read from receivables, cash and payables, less the shares.
    pub margin: Money,
    /// revenue - payout - costs - allocated - margin: zero in books that balance.
    pub difference: Money,
}

/// Leads of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LeadsGroup {
    /// Name of the group; empty: none.
    pub name: String,
    /// Leads.
    pub leads: u64,
    /// Leads that brought a sale.
    pub sold: u64,
    /// The money of all of them.
    #[serde(flatten)]
    pub money: LeadMoney,
    /// margin / (payout + costs + allocated); null without cost.
    pub roi: Option<String>,
    /// Acquisition cost (costs and shares, without payouts) a lead that sold; null without one.
    pub cac: Option<Money>,
    /// Value so far (revenue less payouts) a lead that sold; null without one. Observed, not predicted.
    pub ltv: Option<Money>,
    /// ltv / cac; null where nothing was spent.
    pub ltv_to_cac: Option<String>,
    /// Value of the group by age in months of 30 days since each lead.
    pub value_by_month: Vec<Money>,
    /// The first month of age by whose end the value had paid for the acquisition, from 1; null: not yet, or nothing was spent.
    pub payback_months: Option<u64>,
}

/// Costs that no lead bears.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Unallocated {
    /// Why: `said_none`; `said_direct` to a lead that is not known; `unsaid`; `shares_unknown` of fixed shares; `driver_unknown`; `nothing_to_go_by` on
    /// that day.
    pub why: &'static str,
    /// How much.
    pub cost: Money,
}

/// What leads and the rest add up to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LeadsTotals {
    /// All leads, whatever their day.
    pub leads: LeadMoney,
    /// Money of nobody's lead, and of persons without one, before costs that are spread.
    pub rest_revenue: Money,
    /// Costs of the rest that were not spread.
    pub unallocated: Vec<Unallocated>,
    /// Revenue of leads and rest, as `/v1/views/roi` has it.
    pub revenue: Money,
    /// Cost of leads and rest, as `/v1/views/roi` has it.
    pub cost: Money,
}

/// Leads of the question, or their groups, and what everything adds up to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Leads<T> {
    /// Leads or groups.
    #[serde(flatten)]
    pub page: Page<T>,
    /// The whole ledger in this currency.
    pub totals: LeadsTotals,
}

/// Answers what each lead of some days cost and brought, in the order of the log.
///
/// # Errors
/// [`ViewError::TooLarge`] if a sum leaves 64 bits of micro-units, [`ViewError::TooMany`] if there are more leads than one answer weighs.
pub async fn leads(store: &Store, query: &LeadsQuery, request: &PageRequest) -> Result<Leads<LeadRow>, ViewError> {
    let weighed = weigh(store, query).await?;
    let after = request.after.map_or(-1, |after| i64::try_from(after).unwrap_or(i64::MAX));
    let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
    let asked = weighed.leads.iter().filter(|lead| weighed.asked(lead, query) && lead.position > after);
    let mut items = asked.take(limit + 1).map(|lead| weighed.row(lead)).collect::<Result<Vec<_>, _>>()?;
    let has_more = items.len() > limit;
    items.truncate(limit);
    let last = items.last().filter(|_| has_more);
    let next_cursor = last.map(|last| Cursor { list: LIST, after: last.position }.encode());
    Ok(Leads { page: Page { items, next_cursor, has_more }, totals: weighed.totals()? })
}

/// Answers the same by group, in the order of their names.
///
/// # Errors
/// As [`leads`].
pub async fn lead_groups(store: &Store, query: &LeadsQuery, by: LeadGroup) -> Result<Leads<LeadsGroup>, ViewError> {
    let weighed = weigh(store, query).await?;
    let mut groups: BTreeMap<String, Vec<&Lead>> = BTreeMap::new();
    for lead in weighed.leads.iter().filter(|lead| weighed.asked(lead, query)) {
        groups.entry(weighed.name(lead, by.name()).to_owned()).or_default().push(lead);
    }
    let items = groups.into_iter().map(|(name, leads)| group(name, &leads, &weighed.currency));
    let items = items.collect::<Result<Vec<_>, _>>()?;
    Ok(Leads { page: Page { items, next_cursor: None, has_more: false }, totals: weighed.totals()? })
}

impl Weighed {
    fn name(&self, lead: &Lead, name: &str) -> &str {
        let place = NAMES.iter().position(|known| *known == name);
        let names = self.dims.get(&lead.dims).map(|dims| &dims.names);
        names.zip(place).and_then(|(names, place)| names.get(place)).map_or("", String::as_str)
    }

    fn asked(&self, lead: &Lead, query: &LeadsQuery) -> bool {
        let fits = |only: &Option<String>, name| only.as_ref().is_none_or(|only| only == self.name(lead, name));
        (query.day_from..query.day_to).contains(&lead.day)
            && fits(&query.campaign, "campaign")
            && fits(&query.state, "state")
    }

    fn row(&self, lead: &Lead) -> Result<LeadRow, ViewError> {
        let name = |name| self.name(lead, name).to_owned();
        Ok(LeadRow {
            position: lead.position.unsigned_abs(),
            subject: SubjectId::from_bytes(lead.subject).to_string(),
            day: day_text(lead.day),
            campaign: name("campaign"),
            channel: name("channel"),
            source: name("source"),
            vendor: name("vendor"),
            state: name("state"),
            money: lead.sums.shown(&self.currency)?,
        })
    }

    fn totals(&self) -> Result<LeadsTotals, ViewError> {
        let mut all = Sums::default();
        self.leads.iter().try_for_each(|lead| all.join(&lead.sums))?;
        let money = |micros: i64| Money::of(micros, &self.currency);
        let sum = |a: i64, b: i64| a.checked_add(b).ok_or(ViewError::TooLarge);
        let unallocated = self.unallocated.iter();
        Ok(LeadsTotals {
            leads: all.shown(&self.currency)?,
            rest_revenue: money(self.rest.revenue),
            unallocated: unallocated.map(|(why, cost)| Unallocated { why, cost: money(*cost) }).collect(),
            revenue: money(sum(all.revenue, self.rest.revenue)?),
            cost: money(sum(all.cost()?, self.rest.cost()?)?),
        })
    }
}

fn group(name: String, leads: &[&Lead], currency: &str) -> Result<LeadsGroup, ViewError> {
    let mut sums = Sums::default();
    let mut by_month: BTreeMap<i64, i64> = BTreeMap::new();
    for lead in leads {
        sums.join(&lead.sums)?;
        lead.value.iter().try_for_each(|(month, value)| more(by_month.entry(*month).or_default(), *value))?;
    }
    let count = |leads: usize| u64::try_from(leads).unwrap_or(u64::MAX);
    let sold = leads.iter().filter(|lead| lead.sold).count();
    let (acquisition, cost) = (sums.acquisition()?, sums.cost()?);
    let value = sums.revenue.checked_sub(sums.payout()).ok_or(ViewError::TooLarge)?;
    let money = |micros: i64| Money::of(micros, currency);
    let a_sold = |micros: i64| per(micros, i64::try_from(sold).unwrap_or(i64::MAX)).map(money);
    let months: BTreeSet<i64> = (0..=by_month.keys().last().copied().unwrap_or(-1)).collect();
    let of = |month: &i64| by_month.get(month).copied().unwrap_or(0);
    let mut so_far = 0_i64;
    let mut payback_months = None;
    for month in &months {
        more(&mut so_far, of(month))?;
        if payback_months.is_none() && acquisition > 0 && so_far >= acquisition {
            payback_months = u64::try_from(month + 1).ok();
        }
    }
    Ok(LeadsGroup {
        name,
        leads: count(leads.len()),
        sold: count(sold),
        money: sums.shown(currency)?,
        roi: ratio(sums.margin()?, cost),
        cac: a_sold(acquisition),
        ltv: a_sold(value),
        ltv_to_cac: ratio(value, acquisition),
        value_by_month: months.iter().map(|month| money(of(month))).collect(),
        payback_months,
    })
}
