//! One event, priced.

use std::collections::BTreeMap;

use super::contract::{Billable, Caps, Contract, Cut, Period, Pricing, Rule, Tier};
use crate::domain::money::{Currency, MoneyError};
use crate::domain::time::Timestamp;

/// Something that may be billed, without a person in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BillableEvent {
    /// What it is.
    pub on: Billable,
    /// Who pays.
    pub seller: String,
    /// When it happened.
    pub occurred: Timestamp,
    /// Campaign.
    pub campaign: Option<String>,
    /// Source.
    pub source: Option<String>,
    /// State.
    pub state: Option<String>,
    /// Score band.
    pub band: Option<String>,
    /// A consent that names the seller was in force.
    pub consent: bool,
    /// Connected seconds of a call.
    pub seconds: Option<i64>,
    /// Offer at routing, or amount of the sale, in micro-units.
    pub stated: Option<(i64, Currency)>,
}

/// What rules priced before, by rule and the period's first day.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage(BTreeMap<(String, i64), RuleUsage>);

/// What one rule priced in one period.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RuleUsage {
    /// Events.
    pub count: u64,
    /// Micro-units.
    pub spend: i64,
}

impl Usage {
    /// Usage of a rule in the period that holds `at`.
    pub fn of(&self, rule: &str, period: Period, at: Timestamp) -> RuleUsage {
        self.0.get(&(rule.to_owned(), period.begins(at.unix_days()))).copied().unwrap_or_default()
    }

    /// Counts a priced event for the periods that its rule looks at.
    ///
    /// # Errors
    /// [`MoneyError::Range`] when a sum does not fit.
    pub fn count(&mut self, rule: &Rule, at: Timestamp, amount: i64) -> Result<(), MoneyError> {
        self.add(rule, at.unix_days(), RuleUsage { count: 1, spend: amount })
    }

    /// Counts what a rule priced on a day, since 1970-01-01.
    ///
    /// # Errors
    /// [`MoneyError::Range`] when a sum does not fit.
    pub fn add(&mut self, rule: &Rule, day: i64, priced: RuleUsage) -> Result<(), MoneyError> {
        let mut periods: Vec<i64> = periods_of(rule).map(|period| period.begins(day)).collect();
        periods.dedup();
        for period in periods {
            let usage = self.0.entry((rule.id.clone(), period)).or_default();
            usage.spend = usage.spend.checked_add(priced.spend).ok_or(MoneyError::Range)?;
            usage.count += priced.count;
        }
        Ok(())
    }

    /// Says what a rule had priced in the period that holds a day: what a recorded decision went by.
    pub fn set(&mut self, rule: &str, period: Period, day: i64, priced: RuleUsage) {
        self.0.insert((rule.to_owned(), period.begins(day)), priced);
    }

    /// What the rules of a seller had priced in the periods that they look at: what a decision at `at` goes by.
    pub fn looked_at<'a>(
        &self,
        contract: &'a Contract,
        seller: &str,
        at: Timestamp,
    ) -> Vec<(&'a Rule, Period, RuleUsage)> {
        let mut all = Vec::new();
        for rule in contract.rules.iter().filter(|rule| rule.seller == seller) {
            let mut periods: Vec<Period> = periods_of(rule).collect();
            periods.dedup();
            all.extend(periods.into_iter().map(|period| (rule, period, self.of(&rule.id, period, at))));
        }
        all
    }
}

fn periods_of(rule: &Rule) -> impl Iterator<Item = Period> {
    let tiers = match &rule.price {
        Pricing::Graduated(period, _) | Pricing::Volume(period, _) => Some(*period),
        Pricing::Band(_)
        | Pricing::Call { .. }
        | Pricing::Duration(_)
        | Pricing::Fixed(_)
        | Pricing::Offer
        | Pricing::Share { .. } => None,
    };
    rule.caps.map(|caps| caps.period).into_iter().chain(tiers)
}

/// What a rule said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerdictCode {
    /// It prices the event.
    Applied,
    /// The rule is for other bands, or has no price for this one.
    Band,
    /// The rule is for other campaigns.
    Campaign,
    /// Its events of the period are used up.
    CapCount,
    /// Its money of the period is used up.
    CapSpend,
    /// The rule asks for consent, or for none.
    Consent,
    /// The call was too short.
    Duration,
    /// A rule before it priced the event.
    Earlier,
    /// It was not in force on the day.
    NotInForce,
    /// The rule is for other events.
    OtherEvent,
    /// The rule is for other sources.
    Source,
    /// The rule is for other states.
    State,
    /// No offer or amount is known, or it is in another currency.
    Stated,
}

impl VerdictCode {
    /// Reason code.
    pub const fn code(self) -> &'static str {
        match self {
            VerdictCode::Applied => "PRICE_APPLIED",
            VerdictCode::Band => "BAND",
            VerdictCode::Campaign => "CAMPAIGN",
            VerdictCode::CapCount => "CAP_COUNT",
            VerdictCode::CapSpend => "CAP_SPEND",
            VerdictCode::Consent => "CONSENT",
            VerdictCode::Duration => "DURATION",
            VerdictCode::Earlier => "EARLIER_RULE",
            VerdictCode::NotInForce => "NOT_IN_FORCE",
            VerdictCode::OtherEvent => "OTHER_EVENT",
            VerdictCode::Source => "SOURCE",
            VerdictCode::State => "STATE",
            VerdictCode::Stated => "NO_STATED_AMOUNT",
        }
    }
}

/// A rule and what it said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Its id.
    pub rule: String,
    /// What it said.
    pub code: VerdictCode,
}

/// Who gets what of a price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paid {
    /// Publisher or agent.
    pub party: String,
    /// `publisher`, `agent`, `referral`.
    pub kind: String,
    /// Micro-units.
    pub amount: i64,
}

/// A price, or why there is none.
#[derive(Debug, Clone, PartialEq)]
pub struct Priced<'a> {
    /// The rule that priced it; none: not billable.
    pub rule: Option<&'a Rule>,
    /// Micro-units of the rule's currency; 0 without a rule.
    pub amount: i64,
    /// Payouts of the rule.
    pub payouts: Vec<Paid>,
    /// Every rule of the seller, in order.
    pub verdicts: Vec<Verdict>,
}

/// Prices an event.
///
/// # Errors
/// [`MoneyError::Range`] when an amount does not fit.
pub fn price<'a>(contract: &'a Contract, event: &BillableEvent, usage: &Usage) -> Result<Priced<'a>, MoneyError> {
    let mut priced = Priced { rule: None, amount: 0, payouts: Vec::new(), verdicts: Vec::new() };
    for rule in contract.rules.iter().filter(|rule| rule.seller == event.seller) {
        let code = match (priced.rule, judged(rule, event, usage)?) {
            (Some(_), _) => VerdictCode::Earlier,
            (None, Err(code)) => code,
            (None, Ok(amount)) => {
                priced.rule = Some(rule);
                priced.amount = amount;
                priced.payouts = paid(rule, amount)?;
                VerdictCode::Applied
            }
        };
        priced.verdicts.push(Verdict { rule: rule.id.clone(), code });
    }
    Ok(priced)
}

fn judged(rule: &Rule, event: &BillableEvent, usage: &Usage) -> Result<Result<i64, VerdictCode>, MoneyError> {
    if let Err(code) = takes(rule, event) {
        return Ok(Err(code));
    }
    let amount = match amount_of(rule, event, usage)? {
        Ok(amount) => amount,
        Err(code) => return Ok(Err(code)),
    };
    match rule.caps {
        Some(caps) => Ok(within(caps, usage.of(&rule.id, caps.period, event.occurred), amount).map(|()| amount)),
        None => Ok(Ok(amount)),
    }
}

fn takes(rule: &Rule, event: &BillableEvent) -> Result<(), VerdictCode> {
    let day = event.occurred.unix_days();
    if rule.on != event.on {
        return Err(VerdictCode::OtherEvent);
    }
    if day < rule.from || rule.to.is_some_and(|to| day >= to) {
        return Err(VerdictCode::NotInForce);
    }
    let when = &rule.when;
    for (list, value, code) in [
        (&when.campaigns, &event.campaign, VerdictCode::Campaign),
        (&when.sources, &event.source, VerdictCode::Source),
        (&when.states, &event.state, VerdictCode::State),
        (&when.bands, &event.band, VerdictCode::Band),
    ] {
        if !list.is_empty() && !value.as_ref().is_some_and(|value| list.contains(value)) {
            return Err(code);
        }
    }
    if when.consent.is_some_and(|asked| asked != event.consent) { Err(VerdictCode::Consent) } else { Ok(()) }
}

fn within(caps: Caps, usage: RuleUsage, amount: i64) -> Result<(), VerdictCode> {
    if caps.count.is_some_and(|count| usage.count >= count) {
        return Err(VerdictCode::CapCount);
    }
    let over = |most: i64| usage.spend.checked_add(amount).is_none_or(|spend| spend > most);
    if caps.spend.is_some_and(over) { Err(VerdictCode::CapSpend) } else { Ok(()) }
}

fn amount_of(rule: &Rule, event: &BillableEvent, usage: &Usage) -> Result<Result<i64, VerdictCode>, MoneyError> {
    let stated = event.stated.filter(|(_, currency)| *currency == rule.currency).map(|(micros, _)| micros);
    let unit = |period: Period| usage.of(&rule.id, period, event.occurred).count.saturating_add(1);
    let found = match &rule.price {
        Pricing::Band(bands) => event.band.as_ref().and_then(|band| bands.get(band).copied()).ok_or(VerdictCode::Band),
        Pricing::Call { over_seconds, amount } => {
            event.seconds.filter(|seconds| seconds > over_seconds).map(|_| *amount).ok_or(VerdictCode::Duration)
        }
        Pricing::Duration(steps) => {
            let reached = |seconds| steps.iter().rev().find(|step| step.from_seconds <= seconds);
            event.seconds.and_then(reached).map(|step| step.amount).ok_or(VerdictCode::Duration)
        }
        Pricing::Fixed(amount) => Ok(*amount),
        Pricing::Graduated(period, tiers) | Pricing::Volume(period, tiers) => Ok(rate(tiers, unit(*period))),
        Pricing::Offer => stated.ok_or(VerdictCode::Stated),
        Pricing::Share { millionths, floor, cap } => match stated {
            Some(sale) => {
                let share = part(sale, *millionths)?;
                let share = floor.map_or(share, |floor| share.max(floor));
                Ok(cap.map_or(share, |cap| share.min(cap)))
            }
            None => Err(VerdictCode::Stated),
        },
    };
    Ok(found)
}

/// Price of a unit by its number, from 1.
fn rate(tiers: &[Tier], unit: u64) -> i64 {
    tiers.iter().rev().find(|tier| tier.from <= unit).map_or(0, |tier| tier.amount)
}

/// What `count` units of a volume rule cost together: events before a tier was reached were priced higher, and an invoice settles that.
///
/// # Errors
/// [`MoneyError::Range`] when it does not fit.
pub fn volume_settled(tiers: &[Tier], count: u64) -> Result<i64, MoneyError> {
    let units = i64::try_from(count).map_err(|_| MoneyError::Range)?;
    rate(tiers, count).checked_mul(units).ok_or(MoneyError::Range)
}

fn paid(rule: &Rule, price: i64) -> Result<Vec<Paid>, MoneyError> {
    let of = |payout: &super::Payout| -> Result<Paid, MoneyError> {
        let amount = match payout.cut {
            Cut::Amount(amount) => amount,
            Cut::Millionths(millionths) => part(price, millionths)?,
        };
        Ok(Paid { party: payout.party.clone(), kind: payout.kind.clone(), amount })
    };
    rule.payouts.iter().map(of).collect()
}

/// Millionths of an amount, towards zero: a part is never more than the whole.
fn part(amount: i64, millionths: i64) -> Result<i64, MoneyError> {
    i64::try_from(i128::from(amount) * i128::from(millionths) / 1_000_000).map_err(|_| MoneyError::Range)
}

#[cfg(test)]
mod tests;
