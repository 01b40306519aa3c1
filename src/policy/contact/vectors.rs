//! Acceptance cases: a question, a history and the answer that must come. JSON vectors and the `*.cases.toml` beside each
//! pack have one form; cases may name a template (`like`) and give only what differs.

use serde_json::{Map, Value};

use super::answer::Answer;
use super::facts::{Act, Campaign, Category, Contact, Facts, Grant, Mail, Number, Recipient, StopBy, What};
use super::place::{home_of, phone_place};
use super::switches::Switches;
use crate::domain::phone::Phone;
use crate::domain::reply::{ReplyClass, classify};
use crate::domain::time::{MICROS_PER_DAY, Timestamp, parse_day};

/// A case that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{id}: {what}")]
pub struct VectorError {
    /// The case, or its number.
    pub id: String,
    /// What is wrong.
    pub what: String,
}

/// The answer that must come. Absent members are not asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Allowed or not.
    pub allow: bool,
    /// Sorted codes.
    pub reasons: Vec<String>,
    /// First allowed minute.
    pub next_allowed_at: Option<Timestamp>,
    /// Last day to honour the revocation.
    pub honor_by: Option<String>,
}

/// A case.
#[derive(Debug, Clone)]
pub struct Vector {
    /// Its id.
    pub id: String,
    /// As it was given, templates applied.
    pub source: Map<String, Value>,
    /// Its facts, for the pure evaluation.
    pub facts: Facts,
    /// Its answer.
    pub expected: Expected,
}

/// Reads vectors: a JSON list. One that cannot be read stands as its error, so that the others still run.
///
/// # Errors
/// [`VectorError`] when the text is no list of objects.
pub fn vectors(text: &str) -> Result<Vec<Result<Vector, VectorError>>, VectorError> {
    let fail = |what: String| VectorError { id: "file".to_owned(), what };
    let all: Vec<Map<String, Value>> = serde_json::from_str(text).map_err(|error| fail(error.to_string()))?;
    Ok(all.into_iter().map(vector).collect())
}

/// The cases beside the pack of this build.
///
/// # Errors
/// None in practice: a test proves that they read.
pub fn builtin_cases() -> Result<Vec<Vector>, VectorError> {
    const TEXTS: [&str; 4] = [
        include_str!("../../../policies/calling.cases.toml"),
        include_str!("../../../policies/consent.cases.toml"),
        include_str!("../../../policies/email.cases.toml"),
        include_str!("../../../policies/privacy.cases.toml"),
    ];
    let mut all = Vec::new();
    for text in TEXTS {
        all.extend(cases(text)?);
    }
    Ok(all)
}

/// Reads a cases file: templates under `[template.<name>]`, cases under `[[case]]`.
///
/// # Errors
/// [`VectorError`] names the first that cannot be read.
pub fn cases(text: &str) -> Result<Vec<Vector>, VectorError> {
    let fail = |what: String| VectorError { id: "file".to_owned(), what };
    let file: Map<String, Value> = toml::from_str(text).map_err(|error| fail(error.to_string()))?;
    let none = Value::Null;
    let templates = file.get("template").unwrap_or(&none);
    let all = file.get("case").and_then(Value::as_array).ok_or_else(|| fail("no [[case]]".to_owned()))?;
    let each = all.iter().map(|case| {
        let mut whole = Value::Object(Map::new());
        if let Some(like) = case.get("like").and_then(Value::as_str) {
            let template = templates.get(like).ok_or_else(|| fail(format!("no template {like}")))?;
            merge(&mut whole, template);
        }
        merge(&mut whole, case);
        let Value::Object(mut whole) = whole else { return Err(fail("a case is a table".to_owned())) };
        freshen(&mut whole);
        vector(whole)
    });
    each.collect()
}

/// Lays `over` over `base`: tables member by member, `history` after what is there, anything else replaced.
fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (name, value) in over {
                match base.get_mut(name) {
                    Some(Value::Array(list)) if name == "history" => {
                        list.extend(value.as_array().into_iter().flatten().cloned());
                    }
                    Some(known) if known.is_object() && value.is_object() => merge(known, value),
                    _ => {
                        base.insert(name.clone(), value.clone());
                    }
                }
            }
        }
        (base, over) => *base = over.clone(),
    }
}

/// `scrub = "<answer>"` stands for an answer of the national registry a day before `now`; an empty one for none.
fn freshen(case: &mut Map<String, Value>) {
    let Some(scrub) = case.remove("scrub").and_then(|scrub| scrub.as_str().map(str::to_owned)) else { return };
    let now = case.get("now").and_then(Value::as_str).and_then(|now| Timestamp::parse_rfc3339(now).ok());
    let Some(at) = now.and_then(|now| now.checked_add_micros(-MICROS_PER_DAY)).filter(|_| !scrub.is_empty()) else {
        return;
    };
    let check = serde_json::json!({ "type": "list_check", "list": "ndnc", "at": at, "result": scrub });
    if let Value::Array(history) = case.entry("history").or_insert_with(|| Value::Array(Vec::new())) {
        history.push(check);
    }
}

/// Dates in a history become times: the first instant of the day, or for an end the first instant after it.
fn timed(source: &mut Map<String, Value>) {
    let items = source.get_mut("history").and_then(Value::as_array_mut).into_iter().flatten();
    for item in items.filter_map(Value::as_object_mut) {
        for (name, after) in
            [("at", 0), ("recorded_at", 0), ("from", 0), ("until", 1), ("valid_from", 0), ("valid_until", 1)]
        {
            let day = item.get(name).and_then(Value::as_str).and_then(parse_day);
            let time = day.and_then(|day| day.checked_add(after)?.checked_mul(MICROS_PER_DAY));
            if let Some(micros) = time {
                item.insert(name.to_owned(), Value::String(Timestamp::from_micros(micros).to_string()));
            }
        }
    }
}

fn vector(mut source: Map<String, Value>) -> Result<Vector, VectorError> {
    timed(&mut source);
    let id = source.get("id").and_then(Value::as_str).unwrap_or("without id").to_owned();
    let read = || -> Result<(Facts, Expected), String> { Ok((facts(&source)?, expected(&source)?)) };
    let (facts, expected) = read().map_err(|what| VectorError { id: id.clone(), what })?;
    Ok(Vector { id, source, facts, expected })
}

fn expected(source: &Map<String, Value>) -> Result<Expected, String> {
    let expect = source.get("expect").ok_or("no expect")?;
    let allow = expect.get("allow").and_then(Value::as_bool).ok_or("expect has no allow")?;
    let reasons = expect.get("reasons").and_then(Value::as_array).ok_or("expect has no reasons")?;
    let reasons = reasons.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let next = expect.get("next_allowed_at").and_then(Value::as_str).map(instant).transpose()?;
    let honor_by = expect.get("honor_by").and_then(Value::as_str).map(str::to_owned);
    Ok(Expected { allow, reasons, next_allowed_at: next, honor_by })
}

/// The answer is the one expected.
pub fn compare(expected: &Expected, answer: &Answer) -> bool {
    let reasons: Vec<&str> = answer.reasons.iter().map(|code| code.name()).collect();
    expected.allow == answer.allow
        && expected.reasons == reasons
        && expected.next_allowed_at == answer.next_allowed_at
        && (expected.honor_by.is_none() || expected.honor_by == answer.honor_by)
}

fn instant(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse_rfc3339(text).map_err(|error| format!("{text}: {error}"))
}

fn facts(source: &Map<String, Value>) -> Result<Facts, String> {
    let text = |of: &Value, name: &str| of.get(name).and_then(Value::as_str).map(str::to_owned);
    let now = instant(source.get("now").and_then(Value::as_str).ok_or("no now")?)?;
    let none = Value::Null;
    let (asked, who) = (source.get("contact").unwrap_or(&none), source.get("recipient").unwrap_or(&none));
    let phone = text(who, "phone").map(|phone| Phone::parse(&phone, Phone::DEFAULT_COUNTRY)).transpose();
    let phone = phone.map_err(|error| error.to_string())?;
    let (of_number, place) = phone.as_ref().map(phone_place).unwrap_or_default();
    let home = home_of(text(who, "zip").as_deref(), text(who, "state").as_deref());
    let recipient = Recipient {
        country: text(who, "country").or_else(|| of_number.map(str::to_owned)),
        line_type: named(who.get("line_type").unwrap_or(&none)).unwrap_or_default(),
        place: place.with_home(home),
        wireless_domain: asked.get("email").and_then(|mail| mail.get("wireless_domain")) == Some(&Value::Bool(true)),
    };
    let mail = asked.get("email").map(|mail| serde_json::from_value::<Mail>(mail.clone()));
    let campaign = asked.get("campaign_stats").map(|stats| serde_json::from_value::<Campaign>(stats.clone()));
    let contact = Contact {
        channel: named(asked.get("channel").unwrap_or(&none))?,
        technology: named(asked.get("technology").unwrap_or(&none))?,
        purpose: named(asked.get("purpose").unwrap_or(&none))?,
        sub_purpose: asked.get("sub_purpose").map(named).transpose()?,
        seller: text(asked, "seller").ok_or("contact has no seller")?,
        topic: text(asked, "topic").or_else(|| text(asked, "subject")),
        mail: mail.transpose().map_err(|error| error.to_string())?,
        caller_id_missing: asked.get("caller_id").is_some_and(|from| from.as_str().is_none_or(str::is_empty)),
        campaign: campaign.transpose().map_err(|error| error.to_string())?,
    };
    let mut acts = Vec::new();
    for item in source.get("history").and_then(Value::as_array).into_iter().flatten() {
        acts.extend(act(item, phone.as_ref())?.filter(|act| act.at <= now && act.recorded <= now));
    }
    acts.sort_by_key(|act| act.at);
    let set = source.get("policy").and_then(Value::as_object).cloned().unwrap_or_default();
    let switches = Switches::default().with(&set).map_err(|error| error.to_string())?;
    Ok(Facts { now, recipient, contact, acts, switches })
}

/// A word of a closed list.
fn named<T: serde::de::DeserializeOwned>(value: &Value) -> Result<T, String> {
    serde_json::from_value(value.clone()).map_err(|error| error.to_string())
}

fn act(item: &Value, asked: Option<&Phone>) -> Result<Option<Act>, String> {
    let none = Value::Null;
    let field = |name: &str| item.get(name).unwrap_or(&none);
    let text = |name: &str| field(name).as_str().map(str::to_owned);
    let flag = |name: &str| field(name) == &Value::Bool(true);
    let time = |name: &str| text(name).map(|text| instant(&text)).transpose();
    let need = |name: &str| text(name).ok_or_else(|| format!("no {name}"));
    let at = time("at")?.ok_or("no at")?;
    let recorded = time("recorded_at")?.unwrap_or(at);
    let number = match text("phone").map(|phone| Phone::parse(&phone, Phone::DEFAULT_COUNTRY)) {
        None => Number::Unsaid,
        Some(phone) => {
            if asked.is_some() && phone.ok().as_ref() == asked {
                Number::Same
            } else {
                Number::Other
            }
        }
    };
    let stop = |by, category: Option<Category>, email| -> Result<What, String> {
        Ok(What::Stopped { by, seller: text("seller"), category, phone: true, email })
    };
    let what = match need("type")?.as_str() {
        "ccpa_opt_in" => What::CcpaOptedIn,
        "ccpa_opt_out" => What::CcpaOptedOut { gpc: text("source").as_deref() == Some("gpc") },
        "consent_granted" => What::Granted(grant(item)?),
        "consent_revoked" => stop(StopBy::Revoked, item.get("category").map(named).transpose()?, true)?,
        "contact_attempt" => What::Attempted {
            channel: named(field("channel"))?,
            technology: named(field("technology"))?,
            purpose: named(field("purpose"))?,
            seller: need("seller")?,
            topic: text("topic").or_else(|| text("subject")),
        },
        "dnc_request" => stop(StopBy::DncRequest, None, false)?,
        "drop_match" => {
            What::DropMatched { status: field("status_reported").as_u64().and_then(|status| u8::try_from(status).ok()) }
        }
        "email_opt_out" => What::EmailOptedOut { sender: text("sender") },
        "emergency_declared" => What::Emergency {
            state: need("state")?,
            from: time("from")?.unwrap_or(at),
            until: time("until")?.ok_or("no until")?,
        },
        "erasure_completed" => What::Erased { token_kept: flag("suppression_token_kept") },
        "gdpr_objection" => What::Objected,
        "inbound_sms" => match classify(&need("body")?) {
            ReplyClass::OptOut => stop(StopBy::Reply, None, false)?,
            ReplyClass::Review => What::Reviewed,
            ReplyClass::Start => What::Started,
            ReplyClass::WrongNumber => What::WrongNumber,
            ReplyClass::Other => return Ok(None),
        },
        "inquiry" => What::Inquired { seller: need("seller")? },
        // A list bought anew clears nothing.
        "lead_imported" => return Ok(None),
        "list_check" => What::ListChecked { list: need("list")?, result: need("result")?, copy_of: None },
        "registration" => What::Registered {
            state: need("state")?,
            from: time("from")?.unwrap_or(at),
            until: time("until")?,
            holder: None,
        },
        "transaction" => What::Transacted {
            seller: need("seller")?,
            similar_products: flag("similar_products"),
            opt_out_offered: flag("opt_out_offered"),
        },
        other => return Err(format!("no history of type {other}")),
    };
    Ok(Some(Act { at, recorded, number, position: None, what }))
}

fn grant(item: &Value) -> Result<Grant, String> {
    let list = |name: &str| item.get(name).cloned().unwrap_or_else(|| Value::Array(Vec::new()));
    let disclosed = |flag: &str| item.get("disclosure").and_then(|all| all.get(flag)) == Some(&Value::Bool(true));
    let time = |name: &str| item.get(name).and_then(Value::as_str).map(instant).transpose();
    let signature = item.get("signature").and_then(Value::as_str);
    Ok(Grant {
        kind: named(item.get("kind").unwrap_or(&Value::Null))?,
        sellers: named(&list("sellers"))?,
        channels: named(&list("channels"))?,
        technologies: named(&list("technologies"))?,
        purposes: named(&list("purposes"))?,
        signed: signature.is_some_and(|how| !how.is_empty() && how != "none" && !how.starts_with("pre")),
        disclosed: disclosed("authorizes_automated") && disclosed("not_condition_of_purchase"),
        valid_from: time("valid_from")?,
        valid_until: time("valid_until")?,
    })
}
