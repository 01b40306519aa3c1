//! Adding up leads and spreading what nobody's event cost.

use std::collections::{BTreeMap, HashMap};

use super::{LeadMoney, LeadsQuery};
use crate::domain::attribution::cents::split;
use crate::store::Store;
use crate::store::views::{Account, DimsRow, LineRow, measures_cost, measures_revenue};
use crate::views::lead_lines::{LeadLines, NOBODY};
use crate::views::{Money, ViewError, more};

/// Leads that one answer weighs.
const LEADS_MAX: usize = 500_000;
/// Days of a month of age.
const MONTH_DAYS: i64 = 30;

/// What a cost is spread in proportion to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Driver {
    /// Leads of the day, each alike.
    Leads,
    /// Leads that sellers accepted on the day.
    AcceptedLeads,
    /// Contacts attempted on the day: what sends and calls are counted by.
    Contacts,
    /// Sales of the day.
    Sales,
    /// Revenue of the day, in the currency of the cost.
    Revenue,
}

impl Driver {
    /// The driver of a name in a cost or a question.
    pub fn from_name(name: &str) -> Option<Driver> {
        match name {
            "leads" => Some(Driver::Leads),
            "accepted_leads" => Some(Driver::AcceptedLeads),
            "contacts" | "sends" | "calls" => Some(Driver::Contacts),
            "sales" => Some(Driver::Sales),
            "revenue" => Some(Driver::Revenue),
            _ => None,
        }
    }

    fn of(line: &LineRow) -> Option<Driver> {
        match Account::from_code(line.account)? {
            Account::Leads => Some(Driver::Leads),
            Account::AcceptedLeads => Some(Driver::AcceptedLeads),
            Account::Contacts => Some(Driver::Contacts),
            Account::Sales => Some(Driver::Sales),
            account if measures_revenue(account.code()) => Some(Driver::Revenue),
            _ => None,
        }
    }
}

/// A lead while it is added up.
pub(super) struct Lead {
    pub subject: [u8; 16],
    pub position: i64,
    pub day: i64,
    pub dims: i64,
    pub sold: bool,
    pub sums: Sums,
    /// Revenue less payouts by month of age.
    pub value: BTreeMap<i64, i64>,
}

/// Micro-units of one lead or several.
#[derive(Default, Clone)]
pub(super) struct Sums {
    pub revenue: i64,
    pub costs: BTreeMap<i64, i64>,
    pub allocated: BTreeMap<i64, i64>,
    /// What stands in the accounts of the balance sheet.
    pub stands: i64,
}

fn total<'a>(amounts: impl Iterator<Item = &'a i64>) -> Result<i64, ViewError> {
    amounts.copied().try_fold(0_i64, i64::checked_add).ok_or(ViewError::TooLarge)
}

impl Sums {
    fn add(&mut self, line: &LineRow) -> Result<(), ViewError> {
        match line.account {
            account if measures_revenue(account) => more(&mut self.revenue, -line.amount),
            account if measures_cost(account) => more(self.costs.entry(account).or_default(), line.amount),
            account if account < Account::LeadSales.code() => more(&mut self.stands, line.amount),
            _ => Ok(()),
        }
    }

    pub fn join(&mut self, other: &Sums) -> Result<(), ViewError> {
        more(&mut self.revenue, other.revenue)?;
        more(&mut self.stands, other.stands)?;
        other.costs.iter().try_for_each(|(account, sum)| more(self.costs.entry(*account).or_default(), *sum))?;
        other.allocated.iter().try_for_each(|(account, sum)| more(self.allocated.entry(*account).or_default(), *sum))
    }

    pub fn payout(&self) -> i64 {
        self.costs.get(&Account::Payout.code()).copied().unwrap_or(0)
    }

    /// Everything but payouts.
    pub fn acquisition(&self) -> Result<i64, ViewError> {
        total(self.costs.values().chain(self.allocated.values()))?.checked_sub(self.payout()).ok_or(ViewError::TooLarge)
    }

    pub fn cost(&self) -> Result<i64, ViewError> {
        self.acquisition()?.checked_add(self.payout()).ok_or(ViewError::TooLarge)
    }

    pub fn margin(&self) -> Result<i64, ViewError> {
        self.stands.checked_sub(total(self.allocated.values())?).ok_or(ViewError::TooLarge)
    }

    pub fn shown(&self, currency: &str) -> Result<LeadMoney, ViewError> {
        let money = |micros: i64| Money::of(micros, currency);
        let kinds = |sums: &BTreeMap<i64, i64>| {
            let some = sums.iter().filter(|(_, micros)| **micros != 0);
            let named = some.filter_map(|(account, micros)| Some((Account::from_code(*account)?, *micros)));
            let own = named.filter(|(account, _)| *account != Account::Payout);
            own.map(|(account, micros)| (account.name(), money(micros))).collect()
        };
        let margin = self.margin()?;
        let left = self.revenue.checked_sub(self.cost()?).and_then(|left| left.checked_sub(margin));
        Ok(LeadMoney {
            revenue: money(self.revenue),
            payout: money(self.payout()),
            costs: kinds(&self.costs),
            allocated: kinds(&self.allocated),
            margin: money(margin),
            difference: money(left.ok_or(ViewError::TooLarge)?),
        })
    }
}

/// Everything read and spread.
pub(super) struct Weighed {
    pub leads: Vec<Lead>,
    pub dims: HashMap<i64, DimsRow>,
    pub rest: Sums,
    pub unallocated: BTreeMap<&'static str, i64>,
    pub currency: String,
}

/// What was driven on a day: by which names, which lead, how much.
type Driven = HashMap<(Driver, i64), Vec<(i64, usize, i64)>>;

pub(super) async fn weigh(store: &Store, query: &LeadsQuery) -> Result<Weighed, ViewError> {
    let dims: HashMap<i64, DimsRow> = store.money_dims().await?.into_iter().map(|row| (row.id, row)).collect();
    let mut driven = Driven::new();
    let mut leads: Vec<Lead> = Vec::new();
    let mut rest = Sums::default();
    // Costs of nobody's lead, by day, names and kind.
    let mut pool: BTreeMap<(i64, i64, i64), i64> = BTreeMap::new();
    let mut lines = LeadLines::new(store, (query.as_of, query.known_at), 0..i64::MAX);
    while let Some((subject, mut lines)) = lines.next().await? {
        lines.retain(|line| line.account >= Account::Leads.code() || line.currency == query.currency);
        if subject == NOBODY {
            for line in &lines {
                match measures_cost(line.account) {
                    true => more(pool.entry((line.day, line.dims, line.account)).or_default(), line.amount)?,
                    false => rest.add(line)?,
                }
            }
            continue;
        }
        let Some(lead) = person(subject, &lines)? else {
            lines.iter().try_for_each(|line| rest.add(line))?;
            continue;
        };
        let index = leads.len();
        let drives = lines.iter().filter_map(|line| Some((Driver::of(line)?, line)));
        for (driver, line) in drives {
            let sign = if driver == Driver::Revenue { -1 } else { 1 };
            driven.entry((driver, line.day)).or_default().push((line.dims, index, sign * line.amount));
        }
        leads.push(lead);
        if leads.len() > LEADS_MAX {
            return Err(ViewError::TooMany("leads"));
        }
    }
    let mut unallocated: BTreeMap<&'static str, i64> = BTreeMap::new();
    for ((day, of, account), cost) in pool.into_iter().filter(|(_, cost)| *cost != 0) {
        match shares(&dims, &driven, query.unsaid, (day, of, cost), &leads) {
            Ok(shares) => {
                for (index, share) in shares {
                    let Some(lead) = leads.get_mut(index) else { continue };
                    more(lead.sums.allocated.entry(account).or_default(), share)?;
                }
                // Its lines on the balance sheet stay with the rest; what they pay for goes.
            }
            Err(why) => {
                more(unallocated.entry(why).or_default(), cost)?;
                more(rest.costs.entry(account).or_default(), cost)?;
            }
        }
    }
    leads.sort_unstable_by_key(|lead| lead.position);
    let currency = String::from_utf8_lossy(&query.currency).into_owned();
    Ok(Weighed { leads, dims, rest, unallocated, currency })
}

/// A person's lead; none where he has none that counts.
fn person(subject: [u8; 16], lines: &[LineRow]) -> Result<Option<Lead>, ViewError> {
    let counter = |account: Account| lines.iter().filter(move |line| line.account == account.code());
    let counts =
        |origin: i64| counter(Account::Leads).filter(|line| line.origin == origin).map(|line| line.amount).sum::<i64>();
    let Some(first) = counter(Account::Leads).find(|line| line.origin == line.position && counts(line.origin) > 0)
    else {
        return Ok(None);
    };
    let mut sums = Sums::default();
    let mut value: BTreeMap<i64, i64> = BTreeMap::new();
    for line in lines {
        sums.add(line)?;
        if measures_revenue(line.account) || line.account == Account::Payout.code() {
            more(value.entry((line.day - first.day).max(0) / MONTH_DAYS).or_default(), -line.amount)?;
        }
    }
    let sold = counter(Account::Sales).map(|line| line.amount).sum::<i64>() > 0;
    let (position, day, dims) = (first.position, first.day, first.dims);
    Ok(Some(Lead { subject, position, day, dims, sold, sums, value }))
}

/// The shares of a cost of nobody's lead, or why there are none.
fn shares(
    dims: &HashMap<i64, DimsRow>,
    driven: &Driven,
    unsaid: Option<Driver>,
    (day, of, cost): (i64, i64, i64),
    leads: &[Lead],
) -> Result<Vec<(usize, i64)>, &'static str> {
    let Some(own) = dims.get(&of) else { return Err("unsaid") };
    let [campaign, channel, source, seller, _, _, _, said] = own.names.each_ref().map(String::as_str);
    let driver = match said {
        "" => unsaid.ok_or("unsaid")?,
        "none" => return Err("said_none"),
        "direct" => return Err("said_direct"),
        "fixed" => return Err("shares_unknown"),
        said => Driver::from_name(said).ok_or("driver_unknown")?,
    };
    // A name that either of them leaves out tells nothing apart; a contact's channel is the one that it was sent by.
    let with_channel = matches!(driver, Driver::Leads | Driver::AcceptedLeads);
    let apart = |own: &str, other: &str| !own.is_empty() && !other.is_empty() && own != other;
    let beside = |dims: &DimsRow| {
        let [other_campaign, other_channel, other_source, other_seller, ..] = dims.names.each_ref().map(String::as_str);
        let by_channel = with_channel && apart(channel, other_channel);
        let by_others = apart(campaign, other_campaign) || apart(source, other_source) || apart(seller, other_seller);
        !by_channel && !by_others
    };
    let mut weights: BTreeMap<(i64, usize), i64> = BTreeMap::new();
    for (names, index, value) in driven.get(&(driver, day)).into_iter().flatten() {
        if dims.get(names).is_some_and(&beside)
            && let Some(lead) = leads.get(*index)
        {
            let weight = weights.entry((lead.position, *index)).or_default();
            *weight = weight.saturating_add(*value);
        }
    }
    // Who gave back more than he brought bears nothing.
    let positive: Vec<u64> = weights.values().map(|weight| u64::try_from(*weight).unwrap_or(0)).collect();
    let parts = split(cost, &positive).ok_or("nothing_to_go_by")?;
    Ok(weights.into_keys().map(|(_, index)| index).zip(parts).filter(|(_, part)| *part != 0).collect())
}
