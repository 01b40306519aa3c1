//! Projection `consent`: what persons agreed to and refused, as a history with both time axes, one row an act and seller.
//!
//! The rows say what happened, not what it means: the state at an instant is worked out when it is read
//! (`views::consent`), so that a question about the past and one about now are the same question. An act without a seller
//! applies to all of them and stands with an empty seller.

use std::borrow::Cow;

use serde::Deserialize;

use super::Projection;
use super::fact::{Business, Fact, FoldError, bits, record, time};
use crate::store::views::{CHANNELS, ConsentAct, ConsentRow, PURPOSES, TECHNOLOGIES, ViewsBatch};

/// All channels.
const ALL_CHANNELS: i64 = 0b1111;
/// Voice, text and picture messages: what 47 CFR 64.1200 calls a call.
const CALLS: i64 = 0b0111;
const TEXTS: i64 = 0b0110;
const EMAIL: i64 = 0b1000;
/// All purposes.
const ALL_PURPOSES: i64 = 0b11_1111;
const MARKETING: i64 = 0b00_0001;
const INFORMATIONAL: i64 = 0b00_0010;
const SELL_LEAD: i64 = 0b00_1000;
const PROFILING: i64 = 0b01_0000;

/// A batch of `consent`.
#[derive(Debug, Default)]
pub struct Consent {
    rows: Vec<ConsentRow>,
}

/// Business fields of every type that bears on consent; each type has some of them.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Data<'a> {
    #[serde(borrow)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    sellers: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    seller: Option<Cow<'a, str>>,
    #[serde(borrow)]
    sender: Option<Cow<'a, str>>,
    #[serde(borrow)]
    channels: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    channel: Option<Cow<'a, str>>,
    #[serde(borrow)]
    purposes: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    technologies: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    rights: Option<Vec<Cow<'a, str>>>,
    #[serde(borrow)]
    against: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    category: Option<Cow<'a, str>>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    reason: Option<Cow<'a, str>>,
    #[serde(borrow)]
    source: Option<Cow<'a, str>>,
    #[serde(borrow)]
    verdict: Option<Cow<'a, str>>,
    #[serde(borrow)]
    value: Option<Cow<'a, str>>,
    #[serde(borrow)]
    valid_from: Option<Cow<'a, str>>,
    #[serde(borrow)]
    valid_until: Option<Cow<'a, str>>,
    #[serde(borrow)]
    received_at: Option<Cow<'a, str>>,
    #[serde(borrow)]
    carried: Option<CarriedFrom<'a>>,
    disclosure: Disclosure,
    confirmed: bool,
    identity_match: bool,
    disclosure_match: bool,
    one_to_one: bool,
    position: Option<i64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Disclosure {
    authorizes_automated: bool,
    not_condition_of_purchase: bool,
}

#[derive(Deserialize)]
struct CarriedFrom<'a> {
    position: i64,
    #[serde(borrow)]
    occurred: Cow<'a, str>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Derived<'a> {
    #[serde(borrow)]
    reply_class: Option<Cow<'a, str>>,
    signature_present: bool,
    disclosures_complete: bool,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Refs<'a> {
    #[serde(borrow)]
    consent: Option<Cow<'a, str>>,
}

/// What an act does, before it is written out seller by seller.
struct Scope<'a> {
    act: ConsentAct,
    channels: i64,
    purposes: i64,
    seller: Option<&'a str>,
    method: Option<&'a str>,
}

impl Projection for Consent {
    const NAME: &'static str = "consent";
    const VERSION: i64 = 1;

    fn reads(event_type: &str) -> bool {
        matches!(
            event_type,
            "consent.granted"
                | "consent.carried"
                | "consent.confirmed"
                | "consent.evidence_attached"
                | "consent.revoked"
                | "contact.received"
                | "event.annulled"
                | "privacy.objected"
                | "privacy.opted_in"
                | "privacy.opted_out"
                | "privacy.processing_restricted"
                | "privacy.restriction_lifted"
                | "privacy.signal_received"
                | "subject.carried"
                | "suppression.added"
                | "suppression.dnc_requested"
                | "suppression.drop_matched"
                | "suppression.email_opted_out"
                | "suppression.removed"
                | "suppression.wrong_number_reported"
        )
    }

    fn fold(&mut self, fact: &Fact<'_>) -> Result<(), FoldError> {
        let Some(link) = fact.entry.subject else { return Ok(()) };
        let subject = *link.subject.as_bytes();
        let corrects = fact.entry.corrects.map(i64::try_from).transpose().map_err(|_| FoldError("entry_unreadable"))?;
        // The entry alone says that another one is corrected, whatever this one is about.
        let correction = |rows: &mut Vec<ConsentRow>| {
            rows.extend(corrects.map(|target| correction(fact, subject, target)));
            Ok(())
        };
        let read = if Consent::reads(fact.entry.event_type) { fact.business()? } else { None };
        let Some(business) = read else { return correction(&mut self.rows) };
        let data: Data<'_> = business.data()?;
        let derived: Derived<'_> = business.derived()?.unwrap_or_default();
        let Some(scope) = scope(fact.entry.event_type, &data, &derived)? else { return correction(&mut self.rows) };
        let row = row(fact, &business, &data, &derived, &scope, subject, corrects)?;
        if data.sellers.is_empty() {
            self.rows.push(row);
            return Ok(());
        }
        for (line, seller) in (0..).zip(&data.sellers) {
            self.rows.push(ConsentRow { line, seller: seller.to_string(), ..row.clone() });
        }
        Ok(())
    }

    fn finish(self, batch: &mut ViewsBatch) {
        batch.consent = self.rows;
    }
}

fn scope<'a>(event_type: &str, data: &'a Data<'_>, derived: &Derived<'_>) -> Result<Option<Scope<'a>>, FoldError> {
    let channels = match &data.channel {
        Some(channel) => bits(&[channel], &CHANNELS, "channel_unknown")?,
        None => bits(&data.channels, &CHANNELS, "channel_unknown")?,
    };
    let purposes = bits(&data.purposes, &PURPOSES, "purpose_unknown")?;
    let or_all = |bits: i64| if bits == 0 { ALL_CHANNELS } else { bits };
    let (method, reason) = (data.method.as_deref(), data.reason.as_deref());
    let scope = |act, channels, purposes, method| {
        Some(Scope { act, channels, purposes, seller: data.seller.as_deref(), method })
    };
    Ok(match event_type {
        "consent.granted" => scope(ConsentAct::Granted, channels, purposes, None),
        "consent.carried" => scope(ConsentAct::Carried, channels, purposes, None),
        "consent.confirmed" => scope(ConsentAct::Confirmed, or_all(channels), ALL_PURPOSES, method),
        "consent.evidence_attached" => scope(ConsentAct::Evidence, ALL_CHANNELS, ALL_PURPOSES, data.verdict.as_deref()),
        "consent.revoked" => scope(ConsentAct::Revoked, or_all(channels), category(data), method),
        "subject.carried" if data.kind.as_deref() == Some("revocation") => {
            scope(ConsentAct::Revoked, or_all(channels), category(data), None)
        }
        "contact.received" => match derived.reply_class.as_deref() {
            // A STOP by text ends texts and calls alike: revocation reaches every call to the number.
            Some("opt_out") if channels & EMAIL != 0 => scope(ConsentAct::ReplyOptOut, EMAIL, ALL_PURPOSES, None),
            Some("opt_out") => scope(ConsentAct::ReplyOptOut, CALLS, ALL_PURPOSES, None),
            Some("start") => scope(ConsentAct::ReplyStart, TEXTS, ALL_PURPOSES, None),
            Some("wrong_number") => scope(ConsentAct::WrongNumber, reach(channels), ALL_PURPOSES, None),
            Some("review") => scope(ConsentAct::ReplyReview, reach(channels), ALL_PURPOSES, None),
            Some(_) | None => None,
        },
        "event.annulled" => scope(ConsentAct::Annulled, 0, 0, None),
        "privacy.objected" => {
            let purposes = objected(&data.against);
            scope(ConsentAct::Objected, or_all(channels), purposes, method)
        }
        "privacy.opted_in" => scope(ConsentAct::OptedIn, ALL_CHANNELS, rights(data), data.source.as_deref()),
        "privacy.opted_out" => scope(ConsentAct::OptedOut, ALL_CHANNELS, rights(data), data.source.as_deref()),
        "privacy.signal_received" if data.value.as_deref() == Some("opt_out") => {
            scope(ConsentAct::OptedOut, ALL_CHANNELS, SELL_LEAD, Some("signal"))
        }
        "privacy.processing_restricted" => scope(ConsentAct::Restricted, ALL_CHANNELS, ALL_PURPOSES, reason),
        "privacy.restriction_lifted" => scope(ConsentAct::RestrictionLifted, ALL_CHANNELS, ALL_PURPOSES, reason),
        "suppression.added" => scope(ConsentAct::Suppressed, or_all(channels), category(data), reason),
        "suppression.removed" => {
            // START re-opens text only, whatever else the event names.
            let reopened = if reason == Some("start_keyword") { or_all(channels) & TEXTS } else { or_all(channels) };
            scope(ConsentAct::SuppressionRemoved, reopened, ALL_PURPOSES, reason)
        }
        "suppression.dnc_requested" => scope(ConsentAct::DncRequested, CALLS, MARKETING, method),
        "suppression.drop_matched" => scope(ConsentAct::DropMatched, ALL_CHANNELS, SELL_LEAD | PROFILING, None),
        "suppression.email_opted_out" => {
            let seller = data.sender.as_deref();
            scope(ConsentAct::EmailOptedOut, EMAIL, MARKETING, method).map(|scope| Scope { seller, ..scope })
        }
        "suppression.wrong_number_reported" => scope(ConsentAct::WrongNumber, reach(channels), ALL_PURPOSES, method),
        _ => None,
    })
}

/// Channels and seller of an event by which a person stops contact; no seller: all of them. None where the event is no stop.
pub(super) fn stop_of(event_type: &str, business: &Business<'_>) -> Result<Option<(i64, String)>, FoldError> {
    let data: Data<'_> = business.data()?;
    let derived: Derived<'_> = business.derived()?.unwrap_or_default();
    let scope = scope(event_type, &data, &derived)?;
    Ok(scope
        .filter(|scope| scope.act.stops())
        .map(|scope| (scope.channels, scope.seller.unwrap_or_default().to_owned())))
}

/// Every channel that reaches the same number or address.
fn reach(channels: i64) -> i64 {
    let calls = if channels & CALLS != 0 { CALLS } else { 0 };
    let mail = channels & EMAIL;
    if calls | mail == 0 { ALL_CHANNELS } else { calls | mail }
}

fn category(data: &Data<'_>) -> i64 {
    match data.category.as_deref() {
        Some("marketing") => MARKETING | SELL_LEAD,
        Some("informational") => INFORMATIONAL,
        Some(_) | None => ALL_PURPOSES,
    }
}

/// What an objection under GDPR Art. 21 reaches; without a word of what against: marketing (21(2), (3)) and profiling.
fn objected<T: AsRef<str>>(against: &[T]) -> i64 {
    if against.is_empty() {
        return MARKETING | SELL_LEAD | PROFILING;
    }
    against.iter().fold(0, |bits, what| {
        bits | match what.as_ref() {
            "marketing" => MARKETING | SELL_LEAD,
            "profiling" => PROFILING,
            _ => ALL_PURPOSES,
        }
    })
}

/// What an opt-out under CCPA 1798.120 and .121 reaches: the transfer of the lead, not our own contact. None said: sale
/// and sharing.
fn rights(data: &Data<'_>) -> i64 {
    let Some(rights) = &data.rights else { return SELL_LEAD };
    rights.iter().fold(0, |bits, right| {
        bits | match right.as_ref() {
            "sale" | "sharing" => SELL_LEAD,
            "profiling" | "targeted_advertising" => PROFILING,
            _ => 0,
        }
    })
}

/// The row of an entry that corrects another one and says nothing about consent itself.
fn correction(fact: &Fact<'_>, subject: [u8; 16], target: i64) -> ConsentRow {
    ConsentRow {
        subject,
        position: fact.position,
        line: 0,
        act: ConsentAct::Annulled.code(),
        channels: 0,
        purposes: 0,
        technologies: 0,
        flags: 0,
        effective: fact.recorded(),
        occurred: fact.recorded(),
        recorded: fact.recorded(),
        valid_from: fact.recorded(),
        valid_until: i64::MAX,
        target,
        seller: String::new(),
        kind: String::new(),
        method: String::new(),
        record: Vec::new(),
    }
}

fn row(
    fact: &Fact<'_>,
    business: &Business<'_>,
    data: &Data<'_>,
    derived: &Derived<'_>,
    scope: &Scope<'_>,
    subject: [u8; 16],
    corrects: Option<i64>,
) -> Result<ConsentRow, FoldError> {
    let occurred = match &data.carried {
        Some(carried) => time(&carried.occurred)?,
        None => business.occurred(fact)?,
    };
    // A revocation counts from the moment it reached the company, 47 CFR 64.1200(a)(10), not from its report.
    let effective = match &data.received_at {
        Some(received) if scope.act == ConsentAct::Revoked => time(received)?.min(occurred),
        Some(_) | None => occurred,
    };
    let valid_from = data.valid_from.as_deref().map_or(Ok(effective), time)?;
    let valid_until = data.valid_until.as_deref().map_or(Ok(i64::MAX), time)?;
    let target = match (scope.act, data.position, &data.carried) {
        (ConsentAct::Annulled, Some(position), _) if (0..fact.position).contains(&position) => position,
        (ConsentAct::Annulled, _, _) => return Err(FoldError("target_not_before")),
        (_, _, Some(carried)) => carried.position,
        (_, _, None) => corrects.unwrap_or(-1),
    };
    let refs: Refs<'_> = business.refs()?.unwrap_or_default();
    let flags = [
        derived.signature_present,
        derived.disclosures_complete,
        data.disclosure.authorizes_automated,
        data.disclosure.not_condition_of_purchase,
        data.confirmed || scope.act == ConsentAct::Confirmed,
        data.identity_match,
        data.disclosure_match,
        data.one_to_one,
    ];
    Ok(ConsentRow {
        subject,
        position: fact.position,
        line: 0,
        act: scope.act.code(),
        channels: scope.channels,
        purposes: scope.purposes,
        technologies: bits(&data.technologies, &TECHNOLOGIES, "technology_unknown")?,
        flags: (0..).zip(flags).fold(0, |bits, (place, flag)| bits | i64::from(flag) << place),
        effective,
        occurred,
        recorded: fact.recorded(),
        valid_from,
        valid_until,
        target,
        seller: scope.seller.unwrap_or_default().to_owned(),
        kind: data.kind.as_deref().unwrap_or_default().to_owned(),
        method: scope.method.unwrap_or_default().to_owned(),
        record: match refs.consent.as_deref() {
            Some(hash) => record(hash)?.to_vec(),
            None => Vec::new(),
        },
    })
}
