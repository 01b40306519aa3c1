//! What of a schema is read for every event: to which part each field belongs, and which of our forms it has.
//!
//! JSON Schema itself is judged by the `jsonschema` crate: measured at half a microsecond an event, so nothing is gained by
//! judging it here a second time.

use jsonschema::{PatternOptions, Validator};
use serde_json::{Map, Value};

use crate::domain::identifier::IdentifierKind;
use crate::domain::parts::RetentionClass;

use super::format::Format;

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
    pub mark: Mark,
    /// `x-retention`, where it differs from what is above.
    pub class: Option<RetentionClass>,
    pub format: Option<Format>,
    pub identifier: Option<IdentifierKind>,
    pub category: Option<Box<str>>,
    /// What every item of an array is.
    pub items: Option<Box<Node>>,
    pub object: Option<ObjectNode>,
    /// The whole value is business: a marked scalar, or a marked array all of whose items are.
    pub wholly_business: bool,
    /// A ref or an identifier is here or below.
    pub collects: bool,
}

/// The properties of an object.
#[derive(Debug)]
pub(super) struct ObjectNode {
    /// Sorted by name, as the members of a JSON object are here: both lists are walked side by side.
    pub properties: Vec<(Box<str>, Node)>,
    /// `additionalProperties: false`.
    pub closed: bool,
}

impl ObjectNode {
    /// The property of a name.
    pub(super) fn property(&self, name: &str) -> Option<&Node> {
        let place = self.properties.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        self.properties.get(place).map(|(_, node)| node)
    }
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
    /// Reads one schema object. Keywords that are not ours, or not well formed, are left to the rules and the validator.
    pub(super) fn new(schema: &Map<String, Value>) -> Node {
        let text = |keyword: &str| schema.get(keyword).and_then(Value::as_str);
        let mark = match text("x-ref") {
            Some(kind) => Mark::Ref(kind.into()),
            None if schema.get("x-business") == Some(&Value::Bool(true)) => Mark::Business,
            None => Mark::Personal,
        };
        let items = schema.get("items").and_then(Value::as_object).map(|items| Box::new(Node::new(items)));
        let object = object(schema);
        let identifier = text("x-identifier").and_then(|kind| kind.parse().ok());
        let collects = matches!(mark, Mark::Ref(_))
            || identifier.is_some()
            || object.as_ref().is_some_and(|object| object.properties.iter().any(|(_, node)| node.collects));
        let wholly_business =
            mark == Mark::Business && object.is_none() && items.as_deref().is_none_or(is_business_item);
        Node {
            mark,
            class: text("x-retention").and_then(|name| name.parse().ok()),
            format: text("x-format").and_then(Format::from_name),
            identifier,
            category: text("x-category").map(Into::into),
            items,
            object,
            wholly_business,
            collects,
        }
    }
}

fn object(schema: &Map<String, Value>) -> Option<ObjectNode> {
    let listed = schema.get("properties").and_then(Value::as_object).filter(|listed| !listed.is_empty())?;
    let node = |property: &Value| property.as_object().map(Node::new);
    let mut properties: Vec<(Box<str>, Node)> =
        listed.iter().filter_map(|(name, property)| Some((name.as_str().into(), node(property)?))).collect();
    properties.sort_by(|(a, _), (b, _)| a.cmp(b));
    Some(ObjectNode { properties, closed: schema.get("additionalProperties") == Some(&Value::Bool(false)) })
}

/// An item is business if it is marked itself, or a closed object of nothing else: an open one could carry a name along.
fn is_business_item(item: &Node) -> bool {
    match &item.object {
        Some(object) => object.closed && object.properties.iter().all(|(_, node)| is_business_item(node)),
        None => item.wholly_business,
    }
}
