//! A routing plan: which pools there are, which leads each takes, who buys in it and within which limits.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use chrono_tz::Tz;
use serde::Deserialize;

use crate::crypto::hash::{Digest, sha256};
use crate::domain::money::{Currency, Micros};
use crate::domain::nanp::area_codes;

/// Buyers of one pool: what one decision weighs.
pub const BUYERS_MAX: usize = 1_000;
/// Greatest weight.
const WEIGHT_MAX: u32 = 1_000;

const TEXT: &str = include_str!("../../../policies/routing.toml");

/// A plan that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// SHA-256 of its text: what decisions cite.
    pub digest: Digest,
    /// Its version, for people.
    pub version: String,
    /// Zone in which hours, days and months of caps and budgets begin.
    pub zone: Tz,
    /// Pools, in the order in which a lead that names none is offered to them.
    pub pools: Vec<Pool>,
}

/// Buyers that compete for the same leads.
#[derive(Debug, Clone, PartialEq)]
pub struct Pool {
    /// Its id.
    pub id: String,
    /// How one of the eligible is chosen.
    pub strategy: Strategy,
    /// What must hold before a lead goes to a seller.
    pub consent: ConsentRule,
    /// Minutes in which the seller must answer.
    pub sla_minutes: Option<u32>,
    /// Share of leads, in per cent, that a bandit gives to chance.
    pub explore_percent: u32,
    /// Least price of an offer.
    pub reserve: Option<Price>,
    /// Which leads it takes; empty lists take all.
    pub takes: Takes,
    /// Its buyers, in the order of the plan.
    pub buyers: Vec<Buyer>,
}

/// Which leads a pool takes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Takes {
    /// Campaigns.
    pub campaigns: Vec<String>,
    /// Sources.
    pub sources: Vec<String>,
    /// Verticals.
    pub verticals: Vec<String>,
    /// States.
    pub states: Vec<String>,
}

/// How one of the eligible is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// The seller whose leads are taken most often, save a share given to chance.
    Bandit,
    /// The best offer; each comes with the question.
    HighestBid,
    /// The least priority number, then by weight.
    Priority,
    /// In turn.
    RoundRobin,
    /// In proportion to weights.
    Weighted,
}

impl Strategy {
    /// Name in decisions.
    pub const fn name(self) -> &'static str {
        match self {
            Strategy::Bandit => "bandit",
            Strategy::HighestBid => "highest_bid",
            Strategy::Priority => "priority",
            Strategy::RoundRobin => "round_robin",
            Strategy::Weighted => "weighted",
        }
    }
}

/// What must hold before a lead goes to a seller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsentRule {
    /// Nothing.
    None,
    /// Nobody objects to the transfer: opt-outs of sale, the deletion platform, erasure.
    Transfer,
    /// That, and written consent in force that names the seller.
    Seller,
}

/// Money in a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price {
    /// Micro-units.
    pub micros: i64,
    /// Its currency.
    pub currency: Currency,
}

/// A buyer in a pool.
#[derive(Debug, Clone, PartialEq)]
pub struct Buyer {
    /// The seller on whose behalf he buys.
    pub seller: String,
    /// Share in proportion to the others'.
    pub weight: u32,
    /// Less comes first, where the strategy minds it.
    pub priority: i64,
    /// Takes nothing for now.
    pub paused: bool,
    /// States that he takes; empty: all.
    pub states: BTreeSet<String>,
    /// States in which he is licensed, with the last day; none: no licence is asked for.
    pub licences: Option<Vec<(String, i64)>>,
    /// Score bands that he takes; empty: all.
    pub bands: BTreeSet<String>,
    /// Least score.
    pub score_min: Option<i64>,
    /// When he takes leads; none: always.
    pub hours: Option<Hours>,
    /// Leads in an hour, a day, a month.
    pub caps: [Option<u64>; 3],
    /// Micro-units in a day, a month.
    pub budget: [Option<i64>; 2],
    /// What he pays for a lead.
    pub price: Option<Price>,
}

/// A daily window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hours {
    /// Zone of the window.
    pub zone: Tz,
    /// Weekdays from 0, Monday.
    pub days: [bool; 7],
    /// First second of the day.
    pub from: i64,
    /// The second after the last.
    pub to: i64,
}

/// Which part of a plan is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Not a plan at all.
    #[error("the plan does not read: {0}")]
    Text(String),
    /// A part of it.
    #[error("{0}: {1}")]
    Part(String, &'static str),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    pack: String,
    version: String,
    #[serde(default)]
    zone: Option<String>,
    #[serde(default)]
    pool: Vec<PoolText>,
    #[serde(default)]
    buyer: Vec<BuyerText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PoolText {
    id: String,
    strategy: Strategy,
    consent: ConsentRule,
    sla_minutes: Option<u32>,
    explore_percent: Option<u32>,
    reserve: Option<PriceText>,
    #[serde(default)]
    takes: Takes,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PriceText {
    amount: String,
    currency: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BuyerText {
    seller: String,
    pool: String,
    weight: Option<u32>,
    priority: Option<i64>,
    #[serde(default)]
    paused: bool,
    #[serde(default)]
    states: BTreeSet<String>,
    licences: Option<Vec<LicenceText>>,
    #[serde(default)]
    bands: BTreeSet<String>,
    score_min: Option<i64>,
    hours: Option<HoursText>,
    #[serde(default)]
    caps: CapsText,
    #[serde(default)]
    budget: BudgetText,
    price: Option<PriceText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LicenceText {
    state: String,
    until: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HoursText {
    zone: String,
    #[serde(default)]
    days: Vec<String>,
    from: String,
    to: String,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct CapsText {
    hour: Option<u64>,
    day: Option<u64>,
    month: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct BudgetText {
    day: Option<String>,
    month: Option<String>,
}

/// The plan of this build: it routes nothing, and says so.
pub fn builtin() -> Option<&'static Plan> {
    static PLAN: LazyLock<Option<Plan>> = LazyLock::new(|| Plan::parse(TEXT).ok());
    PLAN.as_ref()
}

impl Pool {
    /// Share of a buyer here: where buyers take turns, all have the same.
    pub fn weight_of(&self, buyer: &Buyer) -> u32 {
        if self.strategy == Strategy::RoundRobin { 1 } else { buyer.weight }
    }
}

impl Plan {
    /// Reads a plan.
    ///
    /// # Errors
    /// [`PlanError`] names the first part that is wrong.
    pub fn parse(text: &str) -> Result<Plan, PlanError> {
        let file: File = toml::from_str(text).map_err(|error| PlanError::Text(error.to_string()))?;
        if file.pack != "routing" {
            return Err(PlanError::Part("pack".to_owned(), "must be routing"));
        }
        let mut pools: Vec<Pool> = Vec::with_capacity(file.pool.len());
        for pool in file.pool {
            if !is_id(&pool.id) || pools.iter().any(|known| known.id == pool.id) {
                return Err(PlanError::Part(pool.id, "the id is no id, or is used twice"));
            }
            known_states(&pool.id, &pool.takes.states)?;
            let explore_percent = pool.explore_percent.unwrap_or(10);
            if explore_percent > 100 {
                return Err(PlanError::Part(pool.id, "explore_percent is at most 100"));
            }
            pools.push(Pool {
                reserve: pool.reserve.map(|price| price_of(&pool.id, &price)).transpose()?,
                id: pool.id,
                strategy: pool.strategy,
                consent: pool.consent,
                sla_minutes: pool.sla_minutes,
                explore_percent,
                takes: pool.takes,
                buyers: Vec::new(),
            });
        }
        for buyer in file.buyer {
            let pool = pools.iter_mut().find(|pool| pool.id == buyer.pool);
            let pool = pool.ok_or_else(|| PlanError::Part(buyer.seller.clone(), "names a pool that there is not"))?;
            if pool.buyers.len() >= BUYERS_MAX {
                return Err(PlanError::Part(pool.id.clone(), "has more than 1,000 buyers"));
            }
            if !is_id(&buyer.seller) || pool.buyers.iter().any(|known| known.seller == buyer.seller) {
                return Err(PlanError::Part(buyer.seller, "is no id, or stands twice in its pool"));
            }
            pool.buyers.push(buyer_of(buyer)?);
        }
        if !is_id(&file.version) {
            return Err(PlanError::Part("version".to_owned(), "is letters, digits, . _ - and at most 64 of them"));
        }
        let zone = zone_of("zone", file.zone.as_deref().unwrap_or("UTC"))?;
        Ok(Plan { digest: sha256(text.as_bytes()), version: file.version, zone, pools })
    }

    /// A pool by its id.
    pub fn pool(&self, id: &str) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.id == id)
    }
}

fn buyer_of(text: BuyerText) -> Result<Buyer, PlanError> {
    let wrong = |what| PlanError::Part(text.seller.clone(), what);
    let weight = text.weight.unwrap_or(1);
    if !(1..=WEIGHT_MAX).contains(&weight) {
        return Err(wrong("weight is from 1 to 1,000"));
    }
    known_states(&text.seller, text.states.iter())?;
    let mut licences = None;
    for licence in text.licences.iter().flatten() {
        known_states(&text.seller, [&licence.state])?;
        let last = crate::domain::time::Timestamp::parse_rfc3339(&format!("{}T00:00:00Z", licence.until));
        let last = last.map_err(|_| wrong("a licence ends on a day, such as 2027-01-31"))?.unix_days();
        licences.get_or_insert_with(Vec::new).push((licence.state.clone(), last));
    }
    let money = |amount: &Option<String>| -> Result<Option<i64>, PlanError> {
        let read = amount.as_deref().map(Micros::parse).transpose();
        Ok(read.map_err(|_| wrong("a budget is an amount, such as 500.00"))?.map(Micros::micros))
    };
    let budget = [money(&text.budget.day)?, money(&text.budget.month)?];
    let price = text.price.as_ref().map(|price| price_of(&text.seller, price)).transpose()?;
    if price.is_none() && budget.iter().any(Option::is_some) {
        return Err(wrong("a budget needs a price"));
    }
    Ok(Buyer {
        hours: text.hours.as_ref().map(|hours| hours_of(&text.seller, hours)).transpose()?,
        seller: text.seller,
        weight,
        priority: text.priority.unwrap_or(0),
        paused: text.paused,
        states: text.states,
        licences,
        bands: text.bands,
        score_min: text.score_min,
        caps: [text.caps.hour, text.caps.day, text.caps.month],
        budget,
        price,
    })
}

fn is_id(text: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    text.len() <= 64 && text.bytes().all(inside) && text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
}

fn known_states<'a>(of: &str, states: impl IntoIterator<Item = &'a String>) -> Result<(), PlanError> {
    match states.into_iter().all(|state| !area_codes().state_zones(state).is_empty()) {
        true => Ok(()),
        false => Err(PlanError::Part(of.to_owned(), "names a state that there is not")),
    }
}

fn zone_of(of: &str, text: &str) -> Result<Tz, PlanError> {
    text.parse().map_err(|_| PlanError::Part(of.to_owned(), "names a zone that there is not"))
}

fn price_of(of: &str, text: &PriceText) -> Result<Price, PlanError> {
    let wrong = |_| PlanError::Part(of.to_owned(), "a price is an amount of a currency of ISO 4217");
    let micros = Micros::parse(&text.amount).map_err(wrong)?.micros();
    let currency = Currency::parse(&text.currency).map_err(wrong)?;
    if micros < 0 {
        return Err(PlanError::Part(of.to_owned(), "a price is not below zero"));
    }
    Ok(Price { micros, currency })
}

fn hours_of(of: &str, text: &HoursText) -> Result<Hours, PlanError> {
    let wrong = |what| PlanError::Part(of.to_owned(), what);
    let second = |text: &str| -> Option<i64> {
        let (hour, minute) = text.split_once(':')?;
        let (hour, minute) = (hour.parse::<i64>().ok()?, minute.parse::<i64>().ok()?);
        ((0..=24).contains(&hour) && (0..60).contains(&minute) && hour * 60 + minute <= 24 * 60)
            .then_some(hour * 3_600 + minute * 60)
    };
    let (from, to) = (second(&text.from), second(&text.to));
    let (Some(from), Some(to)) = (from, to) else { return Err(wrong("hours are such as 09:00 and 18:00")) };
    if from >= to {
        return Err(wrong("hours end after they begin"));
    }
    let mut days = [text.days.is_empty(); 7];
    for name in &text.days {
        let place = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"].iter().position(|known| known == name);
        let place = place.and_then(|place| days.get_mut(place)).ok_or_else(|| wrong("days are mon, tue, and so on"))?;
        *place = true;
    }
    Ok(Hours { zone: zone_of(of, &text.zone)?, days, from, to })
}

#[cfg(test)]
mod tests {
    use super::*;

    const POOL: &str = "[[pool]]\nid='p'\nstrategy='weighted'\nconsent='none'\n";

    fn parse(text: &str) -> Result<Plan, String> {
        Plan::parse(&format!("pack='routing'\nversion='1'\n{text}")).map_err(|error| error.to_string())
    }

    #[test]
    fn the_shipped_plan_reads_and_routes_nothing() {
        assert_eq!(builtin().map(|plan| plan.pools.len()), Some(0));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(parse(&format!("{POOL}[[buyer]]\nseller='a'\npool='p'\n")).is_ok());
        for (text, what) in [
            (format!("{POOL}{POOL}"), "p: the id is no id, or is used twice"),
            (format!("{POOL}[[buyer]]\nseller='a'\npool='q'\n"), "a: names a pool"),
            (format!("{POOL}[[buyer]]\nseller='a'\npool='p'\n[[buyer]]\nseller='a'\npool='p'\n"), "stands twice"),
            (format!("{POOL}[[buyer]]\nseller='a'\npool='p'\nweight=0\n"), "a: weight"),
            (format!("{POOL}[[buyer]]\nseller='a'\npool='p'\nstates=['ZZ']\n"), "a: names a state"),
            (format!("{POOL}[[buyer]]\nseller='a'\npool='p'\nbudget={{day='5.00'}}\n"), "a: a budget needs a price"),
            (
                format!("{POOL}[[buyer]]\nseller='a'\npool='p'\nhours={{zone='UTC',from='9',to='10:00'}}\n"),
                "a: hours are",
            ),
            (
                format!("{POOL}[[buyer]]\nseller='a'\npool='p'\nhours={{zone='Nowhere',from='09:00',to='10:00'}}\n"),
                "zone",
            ),
            (format!("{POOL}[[buyer]]\nseller='a'\npool='p'\nnonsense=1\n"), "nonsense"),
            ("zone='Nowhere'\n".to_owned(), "zone: names a zone"),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(what), "{error} instead of {what}");
        }
    }
}
