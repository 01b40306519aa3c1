//! Acceptance cases through the whole path: events recorded in a scratch ledger on the caller's clock, then the question.
//!
//! Every case has a ledger of its own. What the ledger could not know at the instant of the question is not recorded before
//! it; that is what bi-temporal cases are about.

use serde_json::{Map, Value, json};

use super::gate::{DecideError, Gate};
use super::question::ContactQuestion;
use crate::domain::ids::PrincipalId;
use crate::domain::time::{MICROS_PER_SECOND, Timestamp};
use crate::ingest::admit::SubmitOptions;
use crate::ingest::forms::Received;
use crate::ingest::{Ledger, Outcome, SubmitError};
use crate::policy::contact::{Answer, Vector, compare};

/// CloudEvents source of a case's events, and the person's reference there.
const SOURCE: &str = "/vectors";
const PERSON: &str = "person";

/// Why a case could not be run.
#[derive(Debug, thiserror::Error)]
pub enum ScratchError {
    /// An event of it was not recorded.
    #[error("event {0} was not recorded: {1}")]
    Event(usize, String),
    /// It has a member that this version does not know.
    #[error("{0}")]
    Form(String),
    /// The gate gave no answer.
    #[error(transparent)]
    Decide(#[from] DecideError),
    /// The ledger took no events.
    #[error(transparent)]
    Submit(#[from] SubmitError),
}

/// One case's outcome.
#[derive(Debug, Clone)]
pub struct Played {
    /// The answer is the one expected.
    pub ok: bool,
    /// The answer, in the form of `expect`.
    pub got: Value,
}

fn instant(item: &Value, name: &str) -> Option<Timestamp> {
    item.get(name).and_then(Value::as_str).and_then(|text| text.parse().ok())
}

fn history(vector: &Vector) -> Vec<(Timestamp, &Value)> {
    let items = vector.source.get("history").and_then(Value::as_array).into_iter().flatten();
    let mut known: Vec<(Timestamp, &Value)> = items
        .filter_map(|item| {
            let at = instant(item, "at")?;
            Some((instant(item, "recorded_at").unwrap_or(at), item))
        })
        .filter(|(recorded, _)| *recorded <= vector.facts.now)
        .collect();
    known.sort_by_key(|(recorded, _)| *recorded);
    known
}

/// When the ledger of a case must begin: before everything that it records.
pub fn begins(vector: &Vector) -> Timestamp {
    let first = history(vector).first().map_or(vector.facts.now, |(recorded, _)| *recorded);
    first.checked_add_micros(-MICROS_PER_SECOND).unwrap_or(first)
}

/// What the ledger of a case is told before it is asked: CloudEvents in the order in which they are recorded, each with the
/// recorded time.
///
/// # Errors
/// [`ScratchError::Form`] when an item of the history is of no known type.
pub fn events(vector: &Vector) -> Result<Vec<(Timestamp, Value)>, ScratchError> {
    let mut events = Vec::new();
    for (place, (recorded, item)) in history(vector).into_iter().enumerate() {
        let Some((event_type, data)) = event(vector, item)? else { continue };
        let mut event = json!({
            "specversion": "1.0", "id": format!("{}-{place}", vector.id), "source": SOURCE, "type": event_type,
            "time": instant(item, "at"), "data": data,
        });
        if let (false, Value::Object(event)) = (event_type.starts_with("policy."), &mut event) {
            event.insert("subject".to_owned(), json!(PERSON));
        }
        events.push((recorded, event));
    }
    Ok(events)
}

/// Plays a case in its ledger.
///
/// # Errors
/// [`ScratchError`] when it could not be run to an answer.
pub async fn play(ledger: &Ledger, gate: &Gate, vector: &Vector, actor: PrincipalId) -> Result<Played, ScratchError> {
    for (place, (recorded, event)) in events(vector)?.into_iter().enumerate() {
        let options =
            SubmitOptions { actor, strict: false, dry_run: false, now: Some(recorded), service: false, closing: None };
        match ledger.submit(vec![Received { raw: event.to_string().into() }], options).await?.into_iter().next() {
            Some(Outcome::Recorded(_)) => {}
            other => return Err(ScratchError::Event(place, format!("{other:?}"))),
        }
    }
    let question: ContactQuestion =
        serde_json::from_value(question(vector)).map_err(|error| ScratchError::Form(error.to_string()))?;
    let decided = gate.decide(ledger, &question, actor, Some(vector.facts.now)).await?;
    Ok(Played { ok: compare(&vector.expected, &decided.answer), got: got(&decided.answer) })
}

/// What the ledger of a case is asked: the body of `POST /v1/decisions/contact`.
pub fn question(vector: &Vector) -> Value {
    let mut body = Map::new();
    for name in ["recipient", "contact", "policy"] {
        body.extend(vector.source.get(name).map(|value| (name.to_owned(), value.clone())));
    }
    // A vector may say more than the gate asks; the gate itself refuses what it does not know.
    let known = [
        ("recipient", &["phone", "email", "line_type", "zip", "state", "country"][..]),
        (
            "contact",
            &[
                "channel",
                "technology",
                "purpose",
                "sub_purpose",
                "seller",
                "recipient_party",
                "topic",
                "subject",
                "campaign",
                "email",
                "caller_id",
                "campaign_stats",
            ][..],
        ),
    ];
    for (name, members) in known {
        if let Some(Value::Object(all)) = body.get_mut(name) {
            all.retain(|member, _| members.contains(&member.as_str()));
        }
    }
    if let Some(Value::Object(recipient)) = body.get_mut("recipient") {
        recipient.insert("ref".to_owned(), json!(PERSON));
        recipient.insert("source".to_owned(), json!(SOURCE));
    }
    Value::Object(body)
}

/// An answer in the form of the vectors: whole seconds, explicit null.
fn got(answer: &Answer) -> Value {
    let reasons: Vec<&str> = answer.reasons.iter().map(|code| code.name()).collect();
    let next = answer.next_allowed_at.map(|next| next.to_string().replace(".000000Z", "Z"));
    let mut got = json!({
        "allow": answer.allow, "reasons": reasons, "next_allowed_at": next,
        "derived": { "zones": answer.zones, "states": answer.states },
    });
    if let (Some(honor_by), Value::Object(got)) = (&answer.honor_by, &mut got) {
        got.insert("honor_by".to_owned(), json!(honor_by));
    }
    got
}

/// The event of our schemas that says what an item of a history says; none for what leaves no event of its own.
fn event(vector: &Vector, item: &Value) -> Result<Option<(&'static str, Value)>, ScratchError> {
    let text = |name: &str| item.get(name).and_then(Value::as_str);
    let whose = |name: &str| vector.source.get("recipient").and_then(|recipient| recipient.get(name)).cloned();
    let known = |name: &str, words: &[&str], other: &str| {
        json!(text(name).filter(|word| words.contains(word)).unwrap_or(other))
    };
    let mut data = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        data.extend(value.filter(|value| !value.is_null()).map(|value| (name.to_owned(), value)));
    };
    let copy = |name: &str| item.get(name).cloned();
    put("phone", copy("phone").or_else(|| whose("phone")));
    put("email", whose("email"));
    let event_type = match text("type").unwrap_or_default() {
        "ccpa_opt_in" => {
            put("source", Some(json!("form")));
            "privacy.opted_in"
        }
        "ccpa_opt_out" => {
            put("source", Some(known("source", &["link", "gpc", "request", "agent", "phone", "email"], "other")));
            "privacy.opted_out"
        }
        "consent_granted" => {
            for name in
                ["kind", "sellers", "channels", "technologies", "purposes", "disclosure", "valid_from", "valid_until"]
            {
                put(name, copy(name));
            }
            put("signature", text("signature").map(signature));
            "consent.granted"
        }
        "consent_revoked" => {
            let methods = [
                "reply",
                "keypress",
                "website",
                "link",
                "phone_call",
                "voicemail",
                "email",
                "mail",
                "in_person",
                "chat",
                "agent",
            ];
            put("method", Some(known("method", &methods, "other")));
            put("seller", copy("seller"));
            put("category", copy("category"));
            "consent.revoked"
        }
        "contact_attempt" => {
            for name in ["channel", "technology", "purpose", "seller", "from"] {
                put(name, copy(name));
            }
            put("topic", copy("topic").or_else(|| copy("subject")));
            "contact.attempted"
        }
        "dnc_request" => {
            let methods = ["voice", "keypress", "reply", "voicemail", "email", "website", "mail", "in_person", "agent"];
            put("method", Some(known("method", &methods, "other")));
            put("seller", copy("seller"));
            "suppression.dnc_requested"
        }
        "drop_match" => {
            put("list", copy("list"));
            put("status_reported", copy("status_reported"));
            "suppression.drop_matched"
        }
        "email_opt_out" => {
            put("sender", copy("sender"));
            "suppression.email_opted_out"
        }
        // The person's identifiers went with the erasure; what is left is a suppression under a token, or nothing.
        "erasure_completed" if item.get("suppression_token_kept") == Some(&Value::Bool(true)) => {
            put("reason", Some(json!("erased")));
            "suppression.added"
        }
        "erasure_completed" => return Ok(None),
        "emergency_declared" | "registration" => return Ok(Some(posture(item))),
        "gdpr_objection" => {
            put("against", Some(json!(["marketing"])));
            "privacy.objected"
        }
        "inbound_sms" => {
            put("channel", Some(json!("sms")));
            put("body", copy("body"));
            "contact.received"
        }
        "inquiry" => {
            put("seller", copy("seller"));
            "relationship.inquiry_recorded"
        }
        "lead_imported" => {
            put("source", copy("source"));
            "lead.imported"
        }
        "list_check" => {
            put("list", copy("list"));
            put("result", copy("result"));
            "suppression.list_checked"
        }
        "transaction" => {
            for name in ["seller", "similar_products", "opt_out_offered"] {
                put(name, copy(name));
            }
            put("kind", Some(known("kind", &["purchase", "payment", "contract", "rental", "service"], "other")));
            "relationship.transaction_recorded"
        }
        other => return Err(ScratchError::Form(format!("no history of type {other}"))),
    };
    Ok(Some((event_type, Value::Object(data))))
}

/// An event about everybody: no person's identifiers.
fn posture(item: &Value) -> (&'static str, Value) {
    let mut data = Map::new();
    for name in ["state", "from", "until"] {
        data.extend(item.get(name).filter(|value| !value.is_null()).map(|value| (name.to_owned(), value.clone())));
    }
    if item.get("type").and_then(Value::as_str) == Some("emergency_declared") {
        return ("policy.emergency_declared", Value::Object(data));
    }
    data.entry("from").or_insert_with(|| item.get("at").cloned().unwrap_or_default());
    ("policy.registration_recorded", Value::Object(data))
}

/// A signature in the words of the schema.
fn signature(how: &str) -> Value {
    let words = [
        "checkbox_and_submit",
        "submit_button",
        "double_opt_in",
        "keypress",
        "recorded_oral",
        "typed_name",
        "drawn",
        "wet_ink",
        "reply_keyword",
        "none",
    ];
    json!(match how {
        word if words.contains(&word) => word,
        "" => "none",
        word if word.starts_with("pre") => "prechecked_box",
        _ => "typed_name",
    })
}
