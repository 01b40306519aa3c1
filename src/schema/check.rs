//! The fast path of validation: accepts or not, and never says why. [`super::problems`] says why.
//!
//! It must never accept what the JSON Schema refuses; a property test holds it against the reference validator.

use serde_json::{Map, Value};

use super::canonical::is_exact;
use super::node::{ArrayRules, Node, ObjectRules, types};

/// True if `value` satisfies `node`, its forms included, and every number in it is exact.
pub(super) fn accepts(node: &Node, value: &Value) -> bool {
    let typed = match value {
        Value::Null => node.types & types::NULL != 0,
        Value::Bool(_) => node.types & types::BOOLEAN != 0,
        Value::Number(_) => accepts_number(node, value),
        Value::String(text) => node.types & types::STRING != 0 && accepts_text(node, text, value),
        Value::Array(items) => node.types & types::ARRAY != 0 && accepts_array(node.array.as_deref(), items),
        Value::Object(members) => node.types & types::OBJECT != 0 && accepts_object(node.object.as_deref(), members),
    };
    typed
        && (node.choices.is_none() || value.is_string())
        && node.other.as_ref().is_none_or(|validator| validator.is_valid(value))
}

/// True if every number in `value` is exact, for data that no schema describes.
pub(super) fn numbers_exact(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => true,
        Value::Number(number) => is_exact(number),
        Value::Array(items) => items.iter().all(numbers_exact),
        Value::Object(members) => members.values().all(numbers_exact),
    }
}

fn accepts_number(node: &Node, value: &Value) -> bool {
    let Value::Number(number) = value else { return false };
    // JSON Schema counts 1.0 as an integer.
    let whole = !number.is_f64() || number.as_f64().is_some_and(|float| float.fract() == 0.0);
    let allowed = if whole { types::INTEGER } else { types::NUMBER };
    if node.types & allowed == 0 || !is_exact(number) {
        return false;
    }
    // Exact numbers and the limits of a schema fit 53 bits, so comparing as f64 loses nothing.
    let size = number.as_f64();
    size.is_some_and(|size| {
        node.minimum.is_none_or(|least| size >= least) && node.maximum.is_none_or(|most| size <= most)
    })
}

fn accepts_text(node: &Node, text: &str, value: &Value) -> bool {
    if let Some(choices) = &node.choices
        && !choices.iter().any(|choice| **choice == *text)
    {
        return false;
    }
    // Characters are at most as many as bytes and at least a quarter of them: counting is rarely needed.
    if text.len() > node.chars_max || text.len() < node.chars_min.saturating_mul(4) {
        let chars = text.chars().count();
        if chars > node.chars_max || chars < node.chars_min {
            return false;
        }
    }
    node.pattern.as_ref().is_none_or(|pattern| pattern.is_valid(value))
        && node.format.is_none_or(|format| format.accepts(text))
}

fn accepts_array(rules: Option<&ArrayRules>, items: &[Value]) -> bool {
    let Some(rules) = rules else {
        return items.iter().all(numbers_exact);
    };
    items.len() >= rules.items_min
        && items.len() <= rules.items_max
        && (!rules.unique || all_differ(items))
        && items.iter().all(|item| accepts(&rules.items, item))
}

/// Arrays are bounded by `maxItems`, so comparing each with each is quicker than hashing.
fn all_differ(items: &[Value]) -> bool {
    items.iter().enumerate().all(|(place, item)| items.iter().take(place).all(|earlier| earlier != item))
}

fn accepts_object(rules: Option<&ObjectRules>, members: &Map<String, Value>) -> bool {
    let Some(rules) = rules else {
        return members.values().all(numbers_exact);
    };
    let mut required_seen = 0;
    let mut properties = rules.properties.iter().peekable();
    for (name, value) in members {
        while properties.next_if(|property| *property.name < **name).is_some() {}
        let accepted = match properties.next_if(|property| *property.name == **name) {
            Some(property) => {
                required_seen += usize::from(property.required);
                accepts(&property.node, value)
            }
            None => !rules.closed && numbers_exact(value),
        };
        if !accepted {
            return false;
        }
    }
    required_seen == rules.required_count
}
