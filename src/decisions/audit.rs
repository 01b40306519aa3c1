//! After the fact: every contact in the log, judged as known then and as known now, and held against the decision it names.
//!
//! A fact is never refused for being unlawful, so an unlawful contact is in the log; here it becomes a finding.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::fold::Event;
use super::gate::{DecideError, Gate};
use super::question::ContactQuestion;
use super::replay::{ReplayError, Stored};
use crate::chain::decode::EntryRef;
use crate::domain::ids::SubjectId;
use crate::domain::parts::PartKind;
use crate::domain::time::Timestamp;
use crate::ingest::Ledger;
use crate::ingest::read::Opened;
use crate::policy::contact::{Code, StopBy, What, builtin};
use crate::policy::exposure::{Broken, Exposure, Laws};

/// Entries read at a time.
const CHUNK: u64 = 4_096;
/// Contacts and stops that one audit judges: each is read, opened and, if a contact, judged twice.
const ACTS_MAX: usize = 100_000;
/// Types that may be a stop.
const STOPS: [&str; 4] =
    ["consent.revoked", "contact.received", "suppression.dnc_requested", "suppression.email_opted_out"];

/// What became of the decision that a contact names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It allowed this contact at this time.
    Valid,
    /// It was over by then.
    Expired,
    /// It names none.
    None,
    /// It was for another person, channel, purpose or seller, or refused.
    Other,
    /// There is no such decision here.
    Unknown,
}

impl Decision {
    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Decision::Valid => "valid",
            Decision::Expired => "expired",
            Decision::None => "none",
            Decision::Other => "other",
            Decision::Unknown => "unknown",
        }
    }
}

/// A contact, judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its entry.
    pub position: u64,
    /// When it happened.
    pub at: Timestamp,
    /// Whom it reached.
    pub subject: Option<SubjectId>,
    /// For whom; empty if it does not say.
    pub seller: String,
    /// By which channel; empty if it does not say.
    pub channel: String,
    /// By which technology; `automated` if it does not say.
    pub technology: String,
    /// Its decision.
    pub decision: Decision,
    /// Rules that it broke by what was recorded then; `None` where its number can no longer be read.
    pub then: Option<Vec<Code>>,
    /// And by what is recorded now about that time.
    pub now: Option<Vec<Code>>,
}

impl Finding {
    /// Decided, and no rule says otherwise.
    fn is_clean(&self) -> bool {
        let none = |codes: &Option<Vec<Code>>| codes.as_ref().is_none_or(Vec::is_empty);
        self.decision == Decision::Valid && none(&self.then) && none(&self.now)
    }
}

/// A stop, and how long it took to be known. The gate refuses from the entry on, so what counts is when it was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Its entry.
    pub position: u64,
    /// Its type.
    pub event_type: String,
    /// When it reached the company.
    pub at: Timestamp,
    /// When the ledger learnt it.
    pub recorded: Timestamp,
    /// The law's last day to honour it, in days since 1970-01-01, 47 CFR 64.1200(a)(10), (d)(3) or 15 U.S.C. 7704(a)(4);
    /// none where no row of the pack held then.
    pub honor_by: Option<i64>,
}

impl Revocation {
    /// From its receipt until the gate knew of it.
    pub const fn lag_micros(&self) -> i64 {
        self.recorded.micros_since(self.at)
    }

    /// Known only after the law's last day.
    pub fn is_late(&self) -> bool {
        self.honor_by.is_some_and(|day| self.recorded.unix_days() > day)
    }
}

/// Which contacts and stops are judged: happened from `from` to before `to`, recorded by `known_at`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Inclusive.
    pub from: Timestamp,
    /// Exclusive.
    pub to: Timestamp,
    /// What was recorded by then, inclusive, is known.
    pub known_at: Timestamp,
}

impl Span {
    /// All that there is.
    pub const ALL: Span = Span { from: Timestamp::MIN, to: Timestamp::MAX, known_at: Timestamp::MAX };

    fn holds(&self, at: Timestamp) -> bool {
        self.from <= at && at < self.to
    }
}

/// The contacts and stops of a span.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audit {
    /// Contacts.
    pub contacts: u64,
    /// Of these, with a valid decision.
    pub decided: u64,
    /// Contacts by what became of the decision that they name.
    pub by_decision: BTreeMap<&'static str, u64>,
    /// Contacts whose number can no longer be read, so that no rule could be asked.
    pub unreadable: u64,
    /// Those that were not right, in the order of the log.
    pub findings: Vec<Finding>,
    /// Findings by rule, as known then.
    pub by_rule_then: BTreeMap<&'static str, u64>,
    /// Findings by rule, as known now.
    pub by_rule_now: BTreeMap<&'static str, u64>,
    /// Stops, in the order of the log.
    pub revocations: Vec<Revocation>,
}

/// Why there is no audit.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// More contacts and stops than one audit judges.
    #[error("more than {ACTS_MAX} contacts and stops are in the span")]
    TooMany,
    /// The log cannot be read or judged.
    #[error(transparent)]
    Decide(#[from] DecideError),
}

impl Audit {
    /// Contacts with a valid decision, of ten thousand; none where there was no contact.
    pub const fn compliance_per_10_000(&self) -> Option<u64> {
        self.decided.saturating_mul(10_000).checked_div(self.contacts)
    }

    /// What the contacts may cost by statute, by all that is known now.
    pub fn exposure(&self, laws: &Laws) -> Vec<Exposure> {
        let person = |finding: &Finding| {
            finding.subject.map_or_else(|| format!("entry {}", finding.position), |subject| subject.to_string())
        };
        let people: Vec<String> = self.findings.iter().map(person).collect();
        let broken: Vec<Broken<'_>> = self
            .findings
            .iter()
            .zip(&people)
            .filter_map(|(finding, person)| {
                let (seller, channel) = (finding.seller.as_str(), finding.channel.as_str());
                let (technology, codes) = (finding.technology.as_str(), finding.now.as_deref()?);
                Some(Broken { at: finding.at, person, seller, channel, technology, codes })
            })
            .collect();
        laws.exposure(&broken)
    }

    fn add(&mut self, finding: Finding) {
        self.contacts += 1;
        self.decided += u64::from(finding.decision == Decision::Valid);
        *self.by_decision.entry(finding.decision.name()).or_default() += 1;
        self.unreadable += u64::from(finding.now.is_none());
        for code in finding.then.iter().flatten() {
            *self.by_rule_then.entry(code.name()).or_default() += 1;
        }
        for code in finding.now.iter().flatten() {
            *self.by_rule_now.entry(code.name()).or_default() += 1;
        }
        if !finding.is_clean() {
            self.findings.push(finding);
        }
    }
}

/// Judges every `contact.attempted` of a span and measures every stop in it. What a later entry annuls or corrects does not
/// count.
///
/// # Errors
/// [`AuditError`]; the span is then to be narrowed, or the log cannot be read.
pub async fn audit(ledger: &Ledger, gate: &Gate, span: &Span) -> Result<Audit, AuditError> {
    let (mut contacts, mut revocations, mut void) = (Vec::new(), Vec::new(), BTreeSet::new());
    let mut next = 0;
    while next < ledger.size() {
        let end = ledger.size().min(next + CHUNK);
        for (position, bytes) in ledger.store().entries_from(next, end).await.map_err(DecideError::from)? {
            let entry = EntryRef::decode(&bytes).map_err(|_| DecideError::Log(position))?;
            // An act is never recorded before it happened, so one that was recorded before the span is not in it.
            if entry.recorded > span.known_at || entry.recorded < span.from {
                continue;
            }
            void.extend(entry.corrects);
            if contacts.len() + revocations.len() > ACTS_MAX {
                return Err(AuditError::TooMany);
            }
            match entry.event_type {
                "contact.attempted" => {
                    let opened = ledger.open_entry(position).await.map_err(DecideError::from)?;
                    contacts.extend(contact(ledger, gate, &opened, span).await?);
                }
                "event.annulled" => {
                    let opened = ledger.open_entry(position).await.map_err(DecideError::from)?;
                    void.extend(part(&opened, PartKind::Business).get("position").and_then(Value::as_u64));
                }
                stop if STOPS.contains(&stop) => {
                    let opened = ledger.open_entry(position).await.map_err(DecideError::from)?;
                    revocations.extend(revocation(&opened).filter(|stop| span.holds(stop.at)));
                }
                _ => {}
            }
        }
        next = end;
    }
    revocations.retain(|stop| !void.contains(&stop.position));
    let mut audit = Audit { revocations, ..Audit::default() };
    contacts.into_iter().filter(|contact| !void.contains(&contact.position)).for_each(|contact| audit.add(contact));
    Ok(audit)
}

fn revocation(opened: &Opened) -> Option<Revocation> {
    let entry = &opened.entry;
    let business = whole(opened);
    let none = Value::Null;
    let (data, derived) = (business.get("data").unwrap_or(&none), business.get("derived").unwrap_or(&none));
    let event = Event { event_type: &entry.event_type, recorded: entry.recorded, data, derived, topic: None };
    let by_mail = event.acts().into_iter().find_map(|act| match act {
        What::Stopped { by: StopBy::Suppression, .. } => None,
        What::Stopped { phone, email, .. } => Some(email && !phone),
        What::EmailOptedOut { .. } => Some(true),
        _ => None,
    })?;
    let at = event.at(occurred(&business));
    let honor_by = builtin().and_then(|pack| pack.honor_limit(by_mail, at));
    let event_type = entry.event_type.clone();
    Some(Revocation { position: entry.position, event_type, at, recorded: entry.recorded, honor_by })
}

fn whole(opened: &Opened) -> Value {
    let business = opened.plaintext(PartKind::Business);
    business.and_then(|bytes| serde_json::from_slice(bytes).ok()).unwrap_or(Value::Null)
}

fn occurred(business: &Value) -> Option<Timestamp> {
    business.get("occurred").and_then(Value::as_str).and_then(|text| text.parse().ok())
}

fn part(opened: &Opened, kind: PartKind) -> Value {
    let parts = opened.parts.iter().filter(|part| part.part.kind == kind);
    let mut data = Map::new();
    for part in parts.filter_map(|part| serde_json::from_slice::<Value>(part.plaintext.as_deref()?).ok()) {
        data.extend(part.get("data").and_then(Value::as_object).cloned().unwrap_or_default());
    }
    Value::Object(data)
}

/// The contact, judged; `None` where it is not of the span.
async fn contact(ledger: &Ledger, gate: &Gate, opened: &Opened, span: &Span) -> Result<Option<Finding>, DecideError> {
    let (position, recorded) = (opened.entry.position, opened.entry.recorded);
    let at: Timestamp = occurred(&whole(opened)).unwrap_or(recorded).min(recorded);
    if !span.holds(at) {
        return Ok(None);
    }
    let (business, personal) = (part(opened, PartKind::Business), part(opened, PartKind::Personal));
    let subject = opened.entry.subject.map(|link| link.subject);
    let name = subject.map(|subject| subject.to_string());
    let decision = decision_of(ledger, &business, name.as_deref(), at).await?;
    let (mut then, mut now) = (None, None);
    if let Some(question) = question(&business, &personal, name) {
        let failing = |answer: crate::policy::contact::Answer| if answer.allow { Vec::new() } else { answer.reasons };
        let known = ledger.now().min(span.known_at);
        then = Some(failing(gate.judge_past(ledger, &question, at, at, position).await?));
        now = Some(failing(gate.judge_past(ledger, &question, at, known, position).await?));
    }
    let text = |name: &str| business.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let technology = Some(text("technology")).filter(|text| !text.is_empty()).unwrap_or_else(|| "automated".to_owned());
    let (seller, channel) = (text("seller"), text("channel"));
    Ok(Some(Finding { position, at, subject, seller, channel, technology, decision, then, now }))
}

async fn decision_of(
    ledger: &Ledger,
    business: &Value,
    subject: Option<&str>,
    at: Timestamp,
) -> Result<Decision, DecideError> {
    let Some(id) = business.get("decision").and_then(Value::as_str) else { return Ok(Decision::None) };
    let stored = match Stored::find(ledger, id).await {
        Ok(stored) => stored,
        Err(ReplayError::Read(error)) => return Err(error.into()),
        Err(ReplayError::Index(error)) => return Err(error.into()),
        Err(ReplayError::Gather(error)) => return Err(*error),
        Err(ReplayError::Absent | ReplayError::Gone | ReplayError::PackUnknown) => return Ok(Decision::Unknown),
    };
    let same = ["channel", "purpose", "seller"].iter().all(|name| stored.data.get(*name) == business.get(*name));
    let allowed = stored.data.get("allow") == Some(&Value::Bool(true));
    if !same || !allowed || stored.subject.as_deref() != subject {
        return Ok(Decision::Other);
    }
    let time =
        |name: &str| stored.data.get(name).and_then(Value::as_str).and_then(|text| text.parse::<Timestamp>().ok());
    let within = time("now").is_some_and(|now| now <= at) && time("expires_at").is_some_and(|end| at <= end);
    Ok(if within { Decision::Valid } else { Decision::Expired })
}

/// The question that should have been asked; `None` where the number or address is gone with the person.
fn question(business: &Value, personal: &Value, subject: Option<String>) -> Option<ContactQuestion> {
    let copy = |of: &Value, name: &str| of.get(name).cloned();
    let channel = copy(business, "channel")?;
    let mut recipient = json!({ "subject": subject });
    let (phone, email) = (copy(personal, "phone"), copy(personal, "email"));
    if channel == "email" && email.is_none() || channel != "email" && phone.is_none() {
        return None;
    }
    let mut contact = json!({
        "channel": channel, "purpose": copy(business, "purpose")?, "seller": copy(business, "seller")?,
        "technology": copy(business, "technology").unwrap_or_else(|| json!("automated")),
    });
    if let (Value::Object(recipient), Value::Object(contact)) = (&mut recipient, &mut contact) {
        recipient.extend(phone.map(|phone| ("phone".to_owned(), phone)));
        recipient.extend(email.map(|email| ("email".to_owned(), email)));
        contact.extend(copy(business, "sub_purpose").map(|sub| ("sub_purpose".to_owned(), sub)));
        contact.extend(copy(personal, "topic").map(|topic| ("topic".to_owned(), topic)));
        contact.extend(copy(business, "footer").map(|footer| ("email".to_owned(), footer)));
        if channel == "voice" && personal.get("from").is_none() {
            // Absent on a call: no caller ID was transmitted.
            contact.insert("caller_id".to_owned(), Value::Null);
        }
    }
    serde_json::from_value(json!({ "recipient": recipient, "contact": contact })).ok()
}
