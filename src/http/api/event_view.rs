//! An entry as a reader may see it. What is shown follows from the role alone: a recorder sees what its receipts say, a
//! reader the data, an auditor the bytes as received too.

use serde_json::{Map, Value, json};

use crate::chain::entry::{Entry, Part};
use crate::chain::leaf::leaf_hash;
use crate::domain::parts::PartKind;
use crate::ingest::Ledger;
use crate::ingest::read::{Opened, OpenedPart};
use crate::policy::access::{Action, Role, allowed};

/// What everybody who may see receipts sees of an entry.
pub fn receipt_level(entry: &Entry, bytes: &[u8]) -> Map<String, Value> {
    let mut view = Map::new();
    view.insert("position".into(), json!(entry.position));
    view.insert("event".into(), json!(entry.event));
    view.insert("type".into(), json!(entry.event_type));
    view.insert("leaf".into(), json!(leaf_hash(bytes)));
    view.insert("recorded".into(), json!(entry.recorded));
    view.insert("subject".into(), entry.subject.map_or(Value::Null, |link| json!(link.subject)));
    view
}

/// What a reader sees of the entry itself.
pub fn entry_level(view: &mut Map<String, Value>, entry: &Entry, ledger: &Ledger) {
    if let Some(link) = entry.subject {
        view.insert("subject_sequence".into(), json!(link.sequence));
        view.insert("subject_previous".into(), json!(link.previous));
    }
    let version = ledger.registry().by_digest(&entry.schema).map(|schema| schema.version);
    view.insert("schema".into(), json!({ "digest": entry.schema, "version": version }));
    view.insert("actor".into(), json!(entry.actor));
    view.insert("previous".into(), json!(entry.previous));
    for (name, value) in [("cause", entry.cause), ("corrects", entry.corrects)] {
        if let Some(position) = value {
            view.insert(name.into(), json!(position));
        }
    }
}

/// An opened entry for a role.
pub fn opened(opened: &Opened, role: Role, ledger: &Ledger) -> Value {
    let mut view = receipt_level(&opened.entry, &opened.bytes);
    if !allowed(role, Action::SubjectsRead) {
        return Value::Object(view);
    }
    entry_level(&mut view, &opened.entry, ledger);
    let parts = opened.parts.iter().map(|part| part_view(part, role)).collect();
    view.insert("parts".into(), Value::Array(parts));
    let mut data = Map::new();
    for part in opened.parts.iter().filter(|part| visible(&part.part, role)) {
        let Some(plaintext) = &part.plaintext else { continue };
        match part.part.kind {
            PartKind::Public | PartKind::Business => business(&mut view, &mut data, plaintext),
            PartKind::Personal => personal(&mut view, &mut data, plaintext),
            PartKind::Raw => {
                view.insert("raw".into(), raw(plaintext));
            }
        }
    }
    view.insert("data".into(), Value::Object(data));
    Value::Object(view)
}

/// Adds the members of a business or public part: data, refs, derived facts, the time it happened.
pub fn business(view: &mut Map<String, Value>, data: &mut Map<String, Value>, plaintext: &[u8]) {
    let Ok(Value::Object(members)) = serde_json::from_slice(plaintext) else { return };
    for (name, value) in members {
        match (name.as_str(), value) {
            ("data", Value::Object(fields)) => merge(data, fields),
            ("occurred" | "refs" | "derived", value) => {
                view.insert(name, value);
            }
            _ => {}
        }
    }
}

fn personal(view: &mut Map<String, Value>, data: &mut Map<String, Value>, plaintext: &[u8]) {
    let Ok(Value::Object(members)) = serde_json::from_slice(plaintext) else { return };
    for (name, value) in members {
        match (name.as_str(), value) {
            ("data", Value::Object(fields)) => merge(data, fields),
            ("attributes", value) => {
                view.insert(name, value);
            }
            _ => {}
        }
    }
}

/// Puts what the split took apart together again.
fn merge(into: &mut Map<String, Value>, from: Map<String, Value>) {
    for (name, value) in from {
        match (into.get_mut(&name), value) {
            (Some(Value::Object(known)), Value::Object(more)) => merge(known, more),
            (_, value) => {
                into.insert(name, value);
            }
        }
    }
}

fn visible(part: &Part, role: Role) -> bool {
    match part.kind {
        PartKind::Public | PartKind::Business => true,
        PartKind::Personal => allowed(role, Action::PersonalOpen),
        PartKind::Raw => allowed(role, Action::RawOpen),
    }
}

fn part_view(part: &OpenedPart, role: Role) -> Value {
    let state = match &part.plaintext {
        None => "destroyed",
        Some(_) if visible(&part.part, role) => "open",
        Some(_) => "sealed",
    };
    json!({
        "kind": part.part.kind.name(),
        "class": part.part.class.name(),
        "key": part.part.key,
        "digest": part.part.digest,
        "state": state,
    })
}

/// Bytes as received: text where they are text.
pub fn raw(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!({ "text": text }),
        Err(_) => json!({ "base64": data_encoding::BASE64.encode(bytes) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_data_is_put_together_again() {
        let (mut view, mut data) = (Map::new(), Map::new());
        business(&mut view, &mut data, br#"{"data":{"a":{"b":1},"c":2},"occurred":"t","refs":{"sale":"00"}}"#);
        personal(&mut view, &mut data, br#"{"data":{"a":{"p":"x"}},"attributes":{"id":"i"}}"#);
        assert_eq!(Value::Object(data), json!({"a":{"b":1,"p":"x"},"c":2}));
        assert_eq!(Value::Object(view), json!({"occurred":"t","refs":{"sale":"00"},"attributes":{"id":"i"}}));
    }
}
