//! A contract that was read: rules in their order, and each seller's terms.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde::Deserialize;

use crate::crypto::hash::{Digest, sha256};
use crate::domain::money::Currency;
use crate::domain::time::{MICROS_PER_DAY, Timestamp};

const TEXT: &str = include_str!("../../../policies/pricing.toml");

/// All contracts of a ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct Contract {
    /// SHA-256 of its text: what price decisions cite.
    pub digest: Digest,
    /// Its version, for people.
    pub version: String,
    /// Rules, in the order in which they are asked.
    pub rules: Vec<Rule>,
    /// Terms by seller.
    pub terms: BTreeMap<String, Terms>,
}

/// One rule of one seller.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Its id.
    pub id: String,
    /// Who pays.
    pub seller: String,
    /// What is billed.
    pub on: Billable,
    /// First day in force, since 1970-01-01.
    pub from: i64,
    /// The day after the last.
    pub to: Option<i64>,
    /// Currency of its amounts.
    pub currency: Currency,
    /// Which events it takes.
    pub when: When,
    /// What they cost.
    pub price: Pricing,
    /// How much it prices in a period.
    pub caps: Option<Caps>,
    /// Who is paid out of the price.
    pub payouts: Vec<Payout>,
}

/// What is billed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Billable {
    /// An appointment was booked.
    Appointment,
    /// A call was completed.
    Call,
    /// A lead was taken.
    Lead,
    /// A lead was closed as won, with its value.
    Sale,
    /// An appointment was kept.
    Show,
}

impl Billable {
    /// What an event of a type bills.
    pub fn of_type(event_type: &str) -> Option<Billable> {
        match event_type {
            "appointment.booked" => Some(Billable::Appointment),
            "appointment.shown" => Some(Billable::Show),
            "contact.completed" => Some(Billable::Call),
            "lead.accepted" => Some(Billable::Lead),
            "lead.closed" => Some(Billable::Sale),
            _ => None,
        }
    }

    /// What revenue of it is called in the books.
    pub const fn revenue_kind(self) -> &'static str {
        match self {
            Billable::Appointment => "appointment",
            Billable::Call => "call",
            Billable::Lead => "lead_sale",
            Billable::Sale => "revenue_share",
            Billable::Show => "show",
        }
    }
}

/// Which events a rule takes; empty lists take all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct When {
    /// Campaigns.
    pub campaigns: BTreeSet<String>,
    /// Sources.
    pub sources: BTreeSet<String>,
    /// States.
    pub states: BTreeSet<String>,
    /// Score bands.
    pub bands: BTreeSet<String>,
    /// Only with, or only without, a consent in force that names the seller.
    pub consent: Option<bool>,
}

/// How a price is found. Amounts are micro-units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pricing {
    /// By score band.
    Band(BTreeMap<String, i64>),
    /// By connected seconds above a threshold.
    Call {
        /// The call must last longer than this.
        over_seconds: i64,
        /// Its price.
        amount: i64,
    },
    /// By duration.
    Duration(Vec<Step>),
    /// The same for all.
    Fixed(i64),
    /// Each unit at the price of its tier.
    Graduated(Period, Vec<Tier>),
    /// What the seller offered.
    Offer,
    /// Part of the sale.
    Share {
        /// Millionths of the sale.
        millionths: i64,
        /// At least this.
        floor: Option<i64>,
        /// At most this.
        cap: Option<i64>,
    },
    /// All units at the price of the tier that the period reached.
    Volume(Period, Vec<Tier>),
}

/// A price from a duration on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Connected seconds.
    pub from_seconds: i64,
    /// Price.
    pub amount: i64,
}

/// A price from a unit on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tier {
    /// First unit, from 1.
    pub from: u64,
    /// Price of a unit.
    pub amount: i64,
}

/// After which usage counts anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// A UTC day.
    Day,
    /// Never.
    Lifetime,
    /// A calendar month in UTC.
    Month,
}

impl Period {
    /// Its name in contracts.
    pub const fn name(self) -> &'static str {
        match self {
            Period::Day => "day",
            Period::Lifetime => "lifetime",
            Period::Month => "month",
        }
    }

    /// The period of a name.
    pub fn from_name(name: &str) -> Option<Period> {
        [Period::Day, Period::Lifetime, Period::Month].into_iter().find(|period| period.name() == name)
    }

    /// The first day of the period that holds a day, since 1970-01-01.
    pub fn begins(self, day: i64) -> i64 {
        match self {
            Period::Day => day,
            Period::Lifetime => i64::MIN,
            Period::Month => {
                let at = Timestamp::from_micros(day.saturating_mul(MICROS_PER_DAY));
                day - i64::from(at.date().2) + 1
            }
        }
    }
}

/// How much a rule prices in a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// The period.
    pub period: Period,
    /// Events.
    pub count: Option<u64>,
    /// Micro-units.
    pub spend: Option<i64>,
}

/// Who is paid out of a price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payout {
    /// Publisher or agent.
    pub party: String,
    /// `publisher`, `agent`, `referral`.
    pub kind: String,
    /// How much.
    pub cut: Cut,
}

/// A part of a price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Micro-units.
    Amount(i64),
    /// Millionths of the price.
    Millionths(i64),
}

/// What holds for a seller besides prices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Currency of its amounts.
    pub currency: Currency,
    /// Least that a period costs.
    pub minimum: Option<(Period, i64)>,
    /// Prepaid: the balance at which it is to be filled up.
    pub recharge_at: Option<i64>,
    /// What may be given back; none: nothing.
    pub returns: Option<Returns>,
}

/// What may be given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Returns {
    /// Reasons that count.
    pub reasons: BTreeSet<String>,
    /// Days after the billable event.
    pub days: i64,
    /// Millionths of what was billed that may be returned.
    pub rate_millionths: Option<i64>,
}

/// Which part of a contract is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContractError {
    /// Not a contract at all.
    #[error("the contract does not read: {0}")]
    Text(String),
    /// A part of it.
    #[error("{0}: {1}")]
    Part(String, &'static str),
}

impl Contract {
    /// Reads contracts.
    ///
    /// # Errors
    /// [`ContractError`] names the first part that is wrong.
    pub fn parse(text: &str) -> Result<Contract, ContractError> {
        let (version, rules, terms) = super::text::read(text)?;
        Ok(Contract { digest: sha256(text.as_bytes()), version, rules, terms })
    }
}

/// The contracts of this build: they price nothing, and say so.
pub fn builtin() -> Option<&'static Contract> {
    static CONTRACT: LazyLock<Option<Contract>> = LazyLock::new(|| Contract::parse(TEXT).ok());
    CONTRACT.as_ref()
}
