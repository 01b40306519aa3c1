//! Our own rules of data, beside JSON Schema: every number exact, every string of an `x-format` in its form. Accepts or not;
//! [`super::problems`] says why.

use serde_json::{Map, Value};

use super::canonical::is_exact;
use super::node::{Node, ObjectNode};

/// True if every number in `value` is exact and every string has the form that `node` names.
pub(super) fn forms_hold(node: &Node, value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) => true,
        Value::Number(number) => is_exact(number),
        Value::String(text) => node.format.is_none_or(|format| format.accepts(text)),
        Value::Array(items) => match &node.items {
            Some(node) => items.iter().all(|item| forms_hold(node, item)),
            None => items.iter().all(numbers_exact),
        },
        Value::Object(members) => match &node.object {
            Some(object) => members_hold(object, members),
            None => members.values().all(numbers_exact),
        },
    }
}

fn members_hold(object: &ObjectNode, members: &Map<String, Value>) -> bool {
    let mut properties = object.properties.iter().peekable();
    members.iter().all(|(name, value)| {
        while properties.next_if(|(known, _)| **known < **name).is_some() {}
        match properties.next_if(|(known, _)| **known == **name) {
            Some((_, node)) => forms_hold(node, value),
            None => numbers_exact(value),
        }
    })
}

/// For data that no schema describes.
fn numbers_exact(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => true,
        Value::Number(number) => is_exact(number),
        Value::Array(items) => items.iter().all(numbers_exact),
        Value::Object(members) => members.values().all(numbers_exact),
    }
}
