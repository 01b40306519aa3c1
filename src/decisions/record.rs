//! What a decision leaves in the log: the answer, every row's verdict, the digests it depended on, and its reduced inputs,
//! so that it is computed again from its own entry.

use serde_json::{Map, Value, json};

use super::gate::DecideError;
use super::inputs::inputs;
use super::question::Asked;
use crate::domain::ids::SubjectId;
use crate::domain::time::{MICROS_PER_SECOND, Timestamp};
use crate::ingest::forms::Received;
use crate::policy::contact::{Answer, Facts, Pack, evaluate, tzdb_version};
use crate::store::index::SubjectHead;

/// How long an allow may be used, at most.
const EXPIRES_SECONDS: i64 = 60;

/// A decision as the event that it is recorded as; its data is written from where it is, not copied first.
#[derive(serde::Serialize)]
pub(super) struct Recorded<'a> {
    specversion: &'a str,
    id: &'a str,
    source: &'a str,
    #[serde(rename = "type")]
    event_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    data: &'a Map<String, Value>,
}

impl<'a> Recorded<'a> {
    pub fn new(id: &'a str, event_type: &'a str, subject: Option<String>, data: &'a Map<String, Value>) -> Self {
        Recorded { specversion: "1.0", id, source: "/tallystick", event_type, subject, data }
    }

    pub fn received(&self) -> Result<Received, DecideError> {
        let raw = serde_json::to_vec(self).map_err(|error| DecideError::Refused(error.to_string()))?;
        Ok(Received { raw: raw.into() })
    }
}

/// What a decision depended on.
pub(super) struct Basis<'a> {
    pub decision: &'a str,
    pub pack: &'a Pack,
    pub heads: &'a [(SubjectId, Option<SubjectHead>)],
    pub lists: &'a [(String, String, Option<String>)],
    pub known_at: Timestamp,
}

/// The data of `decision.contact_recorded`.
pub(super) fn event_data(asked: &Asked, facts: &Facts, answer: &Answer, basis: &Basis<'_>) -> Map<String, Value> {
    let mut data = answer_data(basis.pack, facts, answer);
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            data.insert(name.to_owned(), value);
        }
    };
    put("decision", json!(basis.decision));
    put("known_at", json!(basis.known_at));
    put("heads", Value::Array(heads_json(basis.heads)));
    put("lists", Value::Array(lists_json(basis.lists)));
    put("recipient_party", json!(asked.recipient_party));
    put("topic", json!(asked.topic));
    put("campaign", json!(asked.campaign));
    put("phone", json!(asked.phone.as_ref().map(|phone| phone.as_str())));
    put("email", json!(asked.email.as_ref().map(|email| email.as_str())));
    put("from", json!(asked.caller_id));
    put("inputs", inputs(facts));
    data
}

/// Heads that a decision depended on, as it carries them.
pub(super) fn heads_json(heads: &[(SubjectId, Option<SubjectHead>)]) -> Vec<Value> {
    let of = |(subject, head): &(SubjectId, Option<SubjectHead>)| {
        head.map(|head| json!({ "subject": subject, "sequence": head.sequence, "position": head.position }))
    };
    heads.iter().filter_map(of).collect()
}

/// Versions of lists that a decision depended on, as it carries them.
pub(super) fn lists_json(lists: &[(String, String, Option<String>)]) -> Vec<Value> {
    let of = |(list, version, date): &(String, String, Option<String>)| match date {
        Some(date) => json!({ "list": list, "version": version, "as_of": date }),
        None => json!({ "list": list, "version": version }),
    };
    lists.iter().map(of).collect()
}

/// The part of the data that facts and pack alone determine: what a replay must give again.
pub(super) fn answer_data(pack: &Pack, facts: &Facts, answer: &Answer) -> Map<String, Value> {
    let rules: Vec<Value> = answer
        .rules
        .iter()
        .map(|row| match row.code {
            Some(code) => json!({ "rule": row.rule, "verdict": row.verdict.name(), "code": code.name() }),
            None => json!({ "rule": row.rule, "verdict": row.verdict.name() }),
        })
        .collect();
    let names = |codes: &[crate::policy::contact::Code]| codes.iter().map(|code| code.name()).collect::<Vec<_>>();
    let local: Vec<Value> =
        answer.local_times.iter().map(|time| json!({ "zone": time.zone, "local": time.local })).collect();
    let contact = &facts.contact;
    let all = json!({
        "pack": "contact",
        "pack_sha256": pack.digest.to_string(),
        "tzdb": tzdb_version(),
        "now": facts.now,
        "allow": answer.allow,
        "reasons": names(&answer.reasons),
        "warnings": names(&answer.warnings),
        "channel": contact.channel,
        "technology": contact.technology,
        "purpose": contact.purpose,
        "sub_purpose": contact.sub_purpose,
        "seller": contact.seller,
        "next_allowed_at": answer.next_allowed_at,
        "honor_by": answer.honor_by,
        "expires_at": expires_at(pack, facts, answer),
        "states": answer.states,
        "zones": answer.zones,
        "grant_position": answer.grant,
    });
    let Value::Object(mut all) = all else { return Map::new() };
    all.retain(|_, value| !value.is_null());
    // Moved, not written by the macro, which would copy them.
    all.insert("rules".to_owned(), Value::Array(rules));
    all.insert("local_times".to_owned(), Value::Array(local));
    all
}

/// Until when an allow may be used: a minute, or the last second before a window closes or a consent ends.
fn expires_at(pack: &Pack, facts: &Facts, answer: &Answer) -> Option<Timestamp> {
    if !answer.allow {
        return None;
    }
    let allowed = |seconds: i64| {
        let now = facts.now.checked_add_micros(seconds * MICROS_PER_SECOND)?;
        evaluate(pack, &Facts { now, ..facts.clone() }).allow.then_some(now)
    };
    if let Some(whole) = allowed(EXPIRES_SECONDS) {
        return Some(whole);
    }
    let (mut good, mut bad) = (0, EXPIRES_SECONDS);
    while bad - good > 1 {
        let middle = i64::midpoint(good, bad);
        if allowed(middle).is_some() { good = middle } else { bad = middle }
    }
    facts.now.checked_add_micros(good * MICROS_PER_SECOND)
}
