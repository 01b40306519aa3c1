//! A schema compiled for the hot path: what a value may be, and to which part of an event each field belongs.
//!
//! Only plain keywords are compiled here. Everything else on a node (`anyOf`, `if`, `uniqueItems` over objects ...) goes
//! into a small validator of its own, so that the compiled form never accepts what the schema refuses.

use jsonschema::{PatternOptions, Validator};
use serde_json::{Map, Value};

use crate::domain::identifier::IdentifierKind;
use crate::domain::parts::RetentionClass;

use super::format::Format;

/// Bits of [`Node::types`].
pub(super) mod types {
    pub const NULL: u8 = 1;
    pub const BOOLEAN: u8 = 2;
    pub const INTEGER: u8 = 4;
    /// Any number; implies integers.
    pub const NUMBER: u8 = 8;
    pub const STRING: u8 = 16;
    pub const ARRAY: u8 = 32;
    pub const OBJECT: u8 = 64;
    pub const ANY: u8 = 127;
}

/// Where a field goes when an event is sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mark {
    /// Into the business part.
    Business,
    /// Into the personal part of its class; the default.
    Personal,
    /// Personal as given; the business part holds a keyed hash under this kind.
    Ref(Box<str>),
}

/// One place in a schema.
#[derive(Debug)]
pub(super) struct Node {
    /// Bits of the JSON types allowed.
    pub types: u8,
    pub mark: Mark,
    /// `x-retention`, where it differs from what is above.
    pub class: Option<RetentionClass>,
    pub format: Option<Format>,
    pub identifier: Option<IdentifierKind>,
    pub category: Option<Box<str>>,
    /// `enum` or `const` of strings.
    pub choices: Option<Vec<Box<str>>>,
    pub chars_min: usize,
    pub chars_max: usize,
    pub pattern: Option<Box<Validator>>,
    pub minimum: Option<f64>,
    pub maximum: Option<f64>,
    pub array: Option<Box<ArrayRules>>,
    pub object: Option<Box<ObjectRules>>,
    /// Keywords that the compiled form does not know.
    pub other: Option<Box<Validator>>,
    /// The whole value is business: a marked scalar, or an array all of whose items are.
    pub wholly_business: bool,
    /// A ref or an identifier is here or below.
    pub collects: bool,
}

#[derive(Debug)]
pub(super) struct ArrayRules {
    pub items_min: usize,
    pub items_max: usize,
    pub unique: bool,
    pub items: Node,
}

#[derive(Debug)]
pub(super) struct ObjectRules {
    /// Sorted by name, as the members of a JSON object are here: checking and splitting walk both lists side by side.
    pub properties: Vec<Property>,
    pub required_count: usize,
    /// `additionalProperties: false`.
    pub closed: bool,
}

#[derive(Debug)]
pub(super) struct Property {
    pub name: Box<str>,
    pub required: bool,
    pub node: Node,
}

/// Why a schema does not compile: the keyword, and the validator's words about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("keyword {keyword}: {what}")]
pub struct CompileError {
    /// The keyword at fault.
    pub keyword: String,
    /// What is wrong with it.
    pub what: String,
}

/// A validator that fetches nothing, asserts no `format` and matches patterns in linear time.
pub(super) fn validator(schema: &Value) -> Result<Validator, CompileError> {
    jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .should_validate_formats(false)
        .with_pattern_options(PatternOptions::regex())
        .build(schema)
        .map_err(|error| CompileError { keyword: error.kind().keyword().to_owned(), what: error.to_string() })
}

impl Node {
    /// Compiles one schema object.
    pub(super) fn compile(schema: &Map<String, Value>) -> Result<Node, CompileError> {
        let mut other = Map::new();
        let text = |keyword: &str| schema.get(keyword).and_then(Value::as_str);
        let count = |keyword: &str| schema.get(keyword).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
        let mark = match text("x-ref") {
            Some(kind) => Mark::Ref(kind.into()),
            None if schema.get("x-business") == Some(&Value::Bool(true)) => Mark::Business,
            None => Mark::Personal,
        };
        let types = types_of(schema.get("type"));
        let array = array_rules(schema, &mut other)?;
        let object = object_rules(schema, &mut other)?;
        let pattern = match schema.get("pattern") {
            Some(pattern) => Some(Box::new(validator(&serde_json::json!({ "pattern": pattern }))?)),
            None => None,
        };
        let identifier = text("x-identifier").and_then(|kind| kind.parse().ok());
        let collects = matches!(mark, Mark::Ref(_))
            || identifier.is_some()
            || array.as_ref().is_some_and(|array| array.items.collects)
            || object.as_ref().is_some_and(|object| object.properties.iter().any(|property| property.node.collects));
        let wholly_business = match (&array, &object) {
            (Some(array), _) => mark == Mark::Business && is_business_item(&array.items),
            (None, Some(_)) => false,
            (None, None) => mark == Mark::Business && types & (types::ARRAY | types::OBJECT) == 0,
        };
        let choices = choices(schema, &mut other);
        for (keyword, value) in schema {
            if !COMPILED.contains(&keyword.as_str()) && !keyword.starts_with("x-") && !keyword.starts_with('$') {
                other.insert(keyword.clone(), value.clone());
            }
        }
        let other = if other.is_empty() { None } else { Some(Box::new(validator(&Value::Object(other))?)) };
        Ok(Node {
            types,
            mark,
            class: text("x-retention").and_then(|name| name.parse().ok()),
            format: text("x-format").and_then(Format::from_name),
            identifier,
            category: text("x-category").map(Into::into),
            choices,
            chars_min: count("minLength").unwrap_or(0),
            chars_max: count("maxLength").unwrap_or(usize::MAX),
            pattern,
            minimum: schema.get("minimum").and_then(Value::as_f64),
            maximum: schema.get("maximum").and_then(Value::as_f64),
            array,
            object,
            other,
            wholly_business,
            collects,
        })
    }
}

/// Keywords that the compiled form covers, and annotations that assert nothing.
const COMPILED: &[&str] = &[
    "type",
    "properties",
    "required",
    "enum",
    "const",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "items",
    "uniqueItems",
    "additionalProperties",
    "title",
    "description",
    "examples",
    "default",
    "deprecated",
];

fn types_of(keyword: Option<&Value>) -> u8 {
    let bit = |name: &Value| match name.as_str() {
        Some("null") => types::NULL,
        Some("boolean") => types::BOOLEAN,
        Some("integer") => types::INTEGER,
        Some("number") => types::NUMBER | types::INTEGER,
        Some("string") => types::STRING,
        Some("array") => types::ARRAY,
        Some("object") => types::OBJECT,
        _ => 0,
    };
    match keyword {
        None => types::ANY,
        Some(Value::Array(names)) => names.iter().map(bit).fold(0, |all, one| all | one),
        Some(name) => bit(name),
    }
}

/// Strings are compared here; a choice of anything else is left to the validator, for which 1 equals 1.0.
fn choices(schema: &Map<String, Value>, other: &mut Map<String, Value>) -> Option<Vec<Box<str>>> {
    let mut lists = Vec::new();
    for keyword in ["enum", "const"] {
        let Some(value) = schema.get(keyword) else { continue };
        let values = match value {
            Value::Array(values) if keyword == "enum" => values.as_slice(),
            _ => std::slice::from_ref(value),
        };
        let texts: Option<Vec<Box<str>>> = values.iter().map(|value| value.as_str().map(Into::into)).collect();
        match texts {
            Some(texts) if lists.is_empty() => lists.push(texts),
            _ => {
                other.insert(keyword.to_owned(), value.clone());
            }
        }
    }
    lists.pop()
}

fn array_rules(
    schema: &Map<String, Value>,
    other: &mut Map<String, Value>,
) -> Result<Option<Box<ArrayRules>>, CompileError> {
    let count = |keyword: &str| schema.get(keyword).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
    let items = match schema.get("items") {
        Some(Value::Object(items)) => Node::compile(items)?,
        Some(items) => {
            other.insert("items".to_owned(), items.clone());
            return Ok(None);
        }
        None => {
            for keyword in ["minItems", "maxItems", "uniqueItems"] {
                if let Some(value) = schema.get(keyword) {
                    other.insert(keyword.to_owned(), value.clone());
                }
            }
            return Ok(None);
        }
    };
    let mut unique = schema.get("uniqueItems") == Some(&Value::Bool(true));
    if unique && items.types != types::STRING {
        other.insert("uniqueItems".to_owned(), Value::Bool(true));
        unique = false;
    }
    let (items_min, items_max) = (count("minItems").unwrap_or(0), count("maxItems").unwrap_or(usize::MAX));
    Ok(Some(Box::new(ArrayRules { items_min, items_max, unique, items })))
}

fn object_rules(
    schema: &Map<String, Value>,
    other: &mut Map<String, Value>,
) -> Result<Option<Box<ObjectRules>>, CompileError> {
    let required: Vec<&str> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
    if let Some(schema @ Value::Object(_)) = schema.get("additionalProperties") {
        other.insert("additionalProperties".to_owned(), schema.clone());
    }
    let empty = Map::new();
    let listed = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    if listed.is_empty() && required.is_empty() && !closed {
        return Ok(None);
    }
    if other.contains_key("additionalProperties") {
        // It speaks of the properties that are not listed, so the validator must know which are.
        let names = listed.keys().map(|name| (name.clone(), Value::Bool(true))).collect();
        other.insert("properties".to_owned(), Value::Object(names));
    }
    let mut properties = Vec::with_capacity(listed.len());
    for (name, property) in listed {
        let node = match property {
            Value::Object(property) => Node::compile(property)?,
            _ => return Err(CompileError { keyword: "properties".into(), what: "a property is not an object".into() }),
        };
        properties.push(Property { name: name.as_str().into(), required: required.contains(&name.as_str()), node });
    }
    let required_count = properties.iter().filter(|property| property.required).count();
    let unlisted: Vec<Value> =
        required.iter().filter(|name| !listed.contains_key(**name)).map(|name| Value::from(*name)).collect();
    if !unlisted.is_empty() {
        other.insert("required".to_owned(), Value::Array(unlisted));
    }
    properties.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Some(Box::new(ObjectRules { properties, required_count, closed })))
}

/// An item is business if it is marked itself, or a closed object of nothing else: an open one could carry a name along.
fn is_business_item(item: &Node) -> bool {
    match &item.object {
        Some(object) => object.closed && object.properties.iter().all(|property| is_business_item(&property.node)),
        None => item.wholly_business,
    }
}
