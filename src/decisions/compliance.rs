//! An audit as a table of figures: the share of contacts with a valid decision, findings by rule, the lag of stops, and what
//! the contacts may cost.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::audit::{Audit, Finding, Revocation};
use crate::domain::time::Timestamp;
use crate::policy::contact::Code;
use crate::policy::exposure::{Exposure, Laws};

const MICROS_PER_SECOND: i64 = 1_000_000;
/// Seconds from 1970-01-01 in a day.
const DAY_SECONDS: i64 = 86_400;

/// Contacts against their decisions and rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Compliance {
    /// Contacts of the span.
    pub contacts: u64,
    /// Of these, with a valid decision: it allowed this contact at this time.
    pub decided: u64,
    /// Contacts with a valid decision of all contacts, in per cent with two decimals, rounded down; null without contacts.
    #[schema(example = "99.12")]
    pub percent: Option<String>,
    /// Contacts by what became of the decision they name: `valid`, `expired`, `none`, `other`, `unknown`.
    pub by_decision: BTreeMap<&'static str, u64>,
    /// Contacts whose number is gone with the person, so that no rule could be asked; they are in no finding by rule.
    pub unreadable: u64,
    /// Contacts that lack a valid decision or broke a rule.
    pub findings: u64,
    /// Rules broken by what was recorded when the contact happened.
    pub by_rule_then: BTreeMap<&'static str, u64>,
    /// Rules broken by all that is recorded by now, or by `known_at`.
    pub by_rule_now: BTreeMap<&'static str, u64>,
    /// Stops and how long they took to be known.
    pub revocations: Lags,
    /// What the contacts may cost, law by law: exposure, not a booked cost.
    pub exposure: Vec<Exposure>,
}

/// How long stops took from their receipt until the gate knew of them, in whole seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Lags {
    /// Stops.
    pub stops: u64,
    /// Known only after the law's last day.
    pub late: u64,
    /// The middle one; null without stops.
    pub p50_seconds: Option<i64>,
    /// Of a hundred, the ninety-fifth.
    pub p95_seconds: Option<i64>,
    /// The longest.
    pub max_seconds: Option<i64>,
}

/// A contact that lacks a valid decision or broke a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FindingRow {
    /// Its entry.
    pub position: u64,
    /// When it happened.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// Whom it reached.
    pub subject: Option<String>,
    /// For whom.
    pub seller: String,
    /// By which channel.
    pub channel: String,
    /// What became of its decision.
    pub decision: &'static str,
    /// Rules broken as known then; null where the number is gone.
    pub then: Option<Vec<&'static str>>,
    /// Rules broken as known now.
    pub now: Option<Vec<&'static str>>,
}

/// A stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RevocationRow {
    /// Its entry.
    pub position: u64,
    /// Its type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// When it reached the company.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// When the ledger learnt it; the gate refuses from then on.
    #[schema(value_type = String)]
    pub recorded: Timestamp,
    /// Between the two.
    pub lag_seconds: i64,
    /// The law's last day, `YYYY-MM-DD`.
    pub honor_by: Option<String>,
    /// Known only after it.
    pub late: bool,
}

impl Compliance {
    /// The figures of an audit.
    pub fn of(audit: &Audit, laws: &Laws) -> Compliance {
        Compliance {
            contacts: audit.contacts,
            decided: audit.decided,
            percent: audit.compliance_per_10_000().map(|share| format!("{}.{:02}", share / 100, share % 100)),
            by_decision: audit.by_decision.clone(),
            unreadable: audit.unreadable,
            findings: audit.findings.len() as u64,
            by_rule_then: audit.by_rule_then.clone(),
            by_rule_now: audit.by_rule_now.clone(),
            revocations: Lags::of(&audit.revocations),
            exposure: audit.exposure(laws),
        }
    }
}

impl Lags {
    fn of(stops: &[Revocation]) -> Lags {
        let mut seconds: Vec<i64> = stops.iter().map(|stop| stop.lag_micros() / MICROS_PER_SECOND).collect();
        seconds.sort_unstable();
        // Nearest rank: the smallest lag that so many of a hundred do not exceed.
        let rank = |of_100: usize| seconds.get((seconds.len() * of_100).div_ceil(100).saturating_sub(1)).copied();
        Lags {
            stops: stops.len() as u64,
            late: stops.iter().filter(|stop| stop.is_late()).count() as u64,
            p50_seconds: rank(50),
            p95_seconds: rank(95),
            max_seconds: seconds.last().copied(),
        }
    }
}

impl From<&Finding> for FindingRow {
    fn from(finding: &Finding) -> FindingRow {
        let names = |codes: &Option<Vec<Code>>| codes.as_ref().map(|codes| codes.iter().map(|c| c.name()).collect());
        FindingRow {
            position: finding.position,
            at: finding.at,
            subject: finding.subject.map(|subject| subject.to_string()),
            seller: finding.seller.clone(),
            channel: finding.channel.clone(),
            decision: finding.decision.name(),
            then: names(&finding.then),
            now: names(&finding.now),
        }
    }
}

impl From<&Revocation> for RevocationRow {
    fn from(stop: &Revocation) -> RevocationRow {
        let date = |day: i64| {
            let (year, month, day) = Timestamp::from_micros(day * DAY_SECONDS * MICROS_PER_SECOND).date();
            format!("{year:04}-{month:02}-{day:02}")
        };
        RevocationRow {
            position: stop.position,
            event_type: stop.event_type.clone(),
            at: stop.at,
            recorded: stop.recorded,
            lag_seconds: stop.lag_micros() / MICROS_PER_SECOND,
            honor_by: stop.honor_by.map(date),
            late: stop.is_late(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stop(lag_seconds: i64, honor_by: i64) -> Revocation {
        Revocation {
            position: 1,
            event_type: "consent.revoked".to_owned(),
            at: Timestamp::from_micros(0),
            recorded: Timestamp::from_micros(lag_seconds * MICROS_PER_SECOND),
            honor_by: Some(honor_by),
        }
    }

    #[test]
    fn lags_are_nearest_ranks_and_late_begins_the_day_after_the_last() {
        assert_eq!(Lags::of(&[]), Lags::default());
        let stops: Vec<Revocation> = (1..=100).map(|second| stop(second, 14)).collect();
        let lags = Lags::of(&stops);
        assert_eq!(
            (lags.p50_seconds, lags.p95_seconds, lags.max_seconds, lags.late),
            (Some(50), Some(95), Some(100), 0)
        );
        let last = [stop(15 * DAY_SECONDS - 1, 14), stop(15 * DAY_SECONDS, 14)];
        assert_eq!(Lags::of(&last).late, 1);
        assert_eq!(RevocationRow::from(&last[0]).honor_by.as_deref(), Some("1970-01-15"));
    }
}
