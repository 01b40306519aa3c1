//! After the fact: every contact in the log, judged as known then and as known now, and held against the decision it names.
//!
//! A fact is never refused for being unlawful, so an unlawful contact is in the log; here it becomes a finding.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::gate::{DecideError, Gate};
use super::question::ContactQuestion;
use super::replay::{ReplayError, Stored};
use crate::chain::decode::EntryRef;
use crate::domain::parts::PartKind;
use crate::domain::time::Timestamp;
use crate::ingest::Ledger;
use crate::ingest::read::Opened;
use crate::policy::contact::Code;

/// Entries read at a time.
const CHUNK: u64 = 4_096;

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

/// A contact that lacks a decision or broke a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its entry.
    pub position: u64,
    /// When it happened.
    pub at: Timestamp,
    /// Its decision.
    pub decision: Decision,
    /// Rules that it broke by what was recorded then; `None` where its number can no longer be read.
    pub then: Option<Vec<Code>>,
    /// And by what is recorded now about that time.
    pub now: Option<Vec<Code>>,
}

/// All contacts of a ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audit {
    /// Contacts.
    pub contacts: u64,
    /// Of these, with a valid decision.
    pub decided: u64,
    /// Those that were not right, in the order of the log.
    pub findings: Vec<Finding>,
    /// Findings by rule, as known then.
    pub by_rule_then: BTreeMap<&'static str, u64>,
    /// Findings by rule, as known now.
    pub by_rule_now: BTreeMap<&'static str, u64>,
}

impl Audit {
    /// Contacts with a valid decision, of ten thousand; none where there was no contact.
    pub const fn compliance_per_10_000(&self) -> Option<u64> {
        self.decided.saturating_mul(10_000).checked_div(self.contacts)
    }
}

/// Judges every `contact.attempted` of the log.
///
/// # Errors
/// [`DecideError`] when the log cannot be read.
pub async fn audit(ledger: &Ledger, gate: &Gate) -> Result<Audit, DecideError> {
    let mut audit = Audit::default();
    let mut next = 0;
    while next < ledger.size() {
        let end = ledger.size().min(next + CHUNK);
        for (position, bytes) in ledger.store().entries_from(next, end).await? {
            let entry = EntryRef::decode(&bytes).map_err(|_| DecideError::Log(position))?;
            if entry.event_type == "contact.attempted" {
                audit.add(contact(ledger, gate, position).await?);
            }
        }
        next = end;
    }
    Ok(audit)
}

impl Audit {
    fn add(&mut self, finding: Finding) {
        self.contacts += 1;
        self.decided += u64::from(finding.decision == Decision::Valid);
        for code in finding.then.iter().flatten() {
            *self.by_rule_then.entry(code.name()).or_default() += 1;
        }
        for code in finding.now.iter().flatten() {
            *self.by_rule_now.entry(code.name()).or_default() += 1;
        }
        let clean = |codes: &Option<Vec<Code>>| codes.as_ref().is_none_or(Vec::is_empty);
        if finding.decision != Decision::Valid || !clean(&finding.then) || !clean(&finding.now) {
            self.findings.push(finding);
        }
    }
}

fn part(opened: &Opened, kind: PartKind) -> Value {
    let parts = opened.parts.iter().filter(|part| part.part.kind == kind);
    let mut data = Map::new();
    for part in parts.filter_map(|part| serde_json::from_slice::<Value>(part.plaintext.as_deref()?).ok()) {
        data.extend(part.get("data").and_then(Value::as_object).cloned().unwrap_or_default());
    }
    Value::Object(data)
}

async fn contact(ledger: &Ledger, gate: &Gate, position: u64) -> Result<Finding, DecideError> {
    let opened = ledger.open_entry(position).await?;
    let (business, personal) = (part(&opened, PartKind::Business), part(&opened, PartKind::Personal));
    let whole: Value = opened
        .plaintext(PartKind::Business)
        .and_then(|bytes| serde_json::from_slice(bytes).ok())
        .unwrap_or(Value::Null);
    let recorded = opened.entry.recorded;
    let occurred = whole.get("occurred").and_then(Value::as_str).and_then(|text| text.parse().ok());
    let at: Timestamp = occurred.unwrap_or(recorded).min(recorded);
    let subject = opened.entry.subject.map(|link| link.subject.to_string());
    let decision = decision_of(ledger, &business, subject.as_deref(), at).await?;
    let (mut then, mut now) = (None, None);
    if let Some(question) = question(&business, &personal, subject) {
        let failing = |answer: crate::policy::contact::Answer| if answer.allow { Vec::new() } else { answer.reasons };
        then = Some(failing(gate.judge_past(ledger, &question, at, at, position).await?));
        now = Some(failing(gate.judge_past(ledger, &question, at, ledger.now(), position).await?));
    }
    Ok(Finding { position, at, decision, then, now })
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
