//! Reduced inputs as they stand in a decision's business part, and back: field by field, each a closed list, a flag, a time, a
//! keyed hash or an id, because nothing else may outlive the person.

use serde_json::{Map, Value, json};

use crate::domain::time::{MICROS_PER_DAY, Timestamp};
use crate::policy::contact::{Act, Contact, Facts, Place, Purpose, Recipient, Switches, What};

/// Attempts older than this bear on no limit: the longest counts thirty days.
const ATTEMPT_DAYS: i64 = 31;

/// The acts that can bear on an answer at `now` or later; a long history is not kept whole with each decision.
pub(super) fn relevant(acts: &mut Vec<Act>, now: Timestamp) {
    let old = now.checked_add_micros(-ATTEMPT_DAYS * MICROS_PER_DAY).unwrap_or(Timestamp::MIN);
    let mut answered: Vec<(String, crate::policy::contact::Number)> = Vec::new();
    let mut kept: Vec<Act> = Vec::with_capacity(acts.len());
    for act in acts.drain(..).rev() {
        let keep = match &act.what {
            What::Attempted { purpose, .. } => act.at > old || *purpose == Purpose::OptOutConfirmation,
            // Every answer about a reassigned number counts; of other lists the newest alone, and never an empty one.
            What::ListChecked { list, result, .. } if list != "rnd" => {
                let key = (list.clone(), act.number);
                let newest = result != "unknown" && !answered.contains(&key);
                if newest {
                    answered.push(key);
                }
                newest
            }
            _ => true,
        };
        if keep {
            kept.push(act);
        }
    }
    kept.reverse();
    *acts = kept;
}

/// Leaves out what is null: a schema has no word for it.
fn without_null(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(name, value)| (name, without_null(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_null).collect()),
        other => other,
    }
}

fn switch_word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The inputs of a decision.
pub(super) fn inputs(facts: &Facts) -> Value {
    let (who, what, place) = (&facts.recipient, &facts.contact, &facts.recipient.place);
    let switches: Vec<Value> = facts
        .switches
        .to_map()
        .iter()
        .map(|(name, value)| json!({ "switch": name, "value": switch_word(value) }))
        .collect();
    without_null(json!({
        "country": who.country,
        "line_type": who.line_type,
        "wireless_domain": who.wireless_domain,
        "number_states": place.phone_states,
        "number_zones": place.phone_zones,
        "home_states": place.home_states,
        "home_zones": place.home_zones,
        "topic_hash": what.topic,
        "mail": what.mail,
        "caller_id_missing": what.caller_id_missing,
        "figures": what.campaign,
        "switches": switches,
        "acts": facts.acts,
    }))
}

/// The facts of a recorded decision; `None` where they do not read.
pub(super) fn facts_of(data: &Map<String, Value>) -> Option<Facts> {
    let inputs = data.get("inputs")?;
    let none = Value::Null;
    let of = |name: &str| inputs.get(name).unwrap_or(&none);
    let top = |name: &str| data.get(name).cloned().unwrap_or(Value::Null);
    let list = |name: &str| -> Option<Vec<String>> {
        match of(name) {
            Value::Null => Some(Vec::new()),
            list => serde_json::from_value(list.clone()).ok(),
        }
    };
    let mut set = Map::new();
    for item in of("switches").as_array().into_iter().flatten() {
        let word = item.get("value")?.as_str()?;
        let value = word.parse::<bool>().map_or_else(|_| json!(word), Value::Bool);
        set.insert(item.get("switch")?.as_str()?.to_owned(), value);
    }
    let acts = match of("acts") {
        Value::Null => Vec::new(),
        acts => serde_json::from_value(acts.clone()).ok()?,
    };
    Some(Facts {
        now: serde_json::from_value(top("now")).ok()?,
        recipient: Recipient {
            country: of("country").as_str().map(str::to_owned),
            line_type: serde_json::from_value(of("line_type").clone()).ok()?,
            place: Place {
                phone_states: list("number_states")?,
                phone_zones: list("number_zones")?,
                home_states: list("home_states")?,
                home_zones: list("home_zones")?,
            },
            wireless_domain: of("wireless_domain") == &Value::Bool(true),
        },
        contact: Contact {
            channel: serde_json::from_value(top("channel")).ok()?,
            technology: serde_json::from_value(top("technology")).ok()?,
            purpose: serde_json::from_value(top("purpose")).ok()?,
            sub_purpose: serde_json::from_value(top("sub_purpose")).ok()?,
            seller: top("seller").as_str()?.to_owned(),
            topic: of("topic_hash").as_str().map(str::to_owned),
            mail: serde_json::from_value(of("mail").clone()).ok()?,
            caller_id_missing: of("caller_id_missing") == &Value::Bool(true),
            campaign: serde_json::from_value(of("figures").clone()).ok()?,
        },
        acts,
        switches: Switches::default().with(&set).ok()?,
    })
}
