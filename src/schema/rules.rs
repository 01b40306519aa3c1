//! What a schema file must keep besides being a JSON Schema: everything bounded, every field marked, nothing personal
//! called business. Checked for every file whenever a registry is built, so an unmarked field never reaches a log.

use serde_json::{Map, Value};

use crate::domain::identifier::IdentifierKind;
use crate::domain::parts::RetentionClass;

use super::derive::DERIVED;
use super::format::Format;
use super::node::validator;

/// One rule that a schema breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleBreak {
    /// RFC 6901 pointer into the schema file.
    pub pointer: String,
    /// The rule, in words.
    pub what: String,
}

impl std::fmt::Display for RuleBreak {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", if self.pointer.is_empty() { "/" } else { &self.pointer }, self.what)
    }
}

/// Longest text of a business field whose pattern is all that bounds it.
const BUSINESS_CHARS_MAX: u64 = 64;
/// No pattern of a business field may match these: a number, an address, words, a page, a name with a blank.
const PERSONAL_PROBES: &[&str] =
    &["+16145550142", "ann.lee@example.com", "Please call me back", "https://example.com/a", "Ann Lee", "12 Main St"];
/// Words that a business field of text or number may not have in its name, whatever its pattern.
const PERSONAL_WORDS: &[&str] = &[
    "zip",
    "zip4",
    "zipcode",
    "postal",
    "postcode",
    "address",
    "street",
    "phone",
    "email",
    "name",
    "firstname",
    "lastname",
    "surname",
    "birthdate",
    "dob",
    "ssn",
    "ip",
    "url",
    "uri",
    "lat",
    "latitude",
    "lon",
    "longitude",
    "note",
    "notes",
    "comment",
    "comments",
    "message_text",
];
const KEYWORDS: &[&str] = &[
    "type",
    "title",
    "description",
    "enum",
    "const",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minItems",
    "maxItems",
    "uniqueItems",
    "items",
    "properties",
    "required",
    "additionalProperties",
    "minProperties",
    "maxProperties",
    "dependentRequired",
    "anyOf",
    "oneOf",
    "allOf",
    "not",
    "if",
    "then",
    "else",
    "default",
    "deprecated",
    "x-business",
    "x-ref",
    "x-category",
    "x-retention",
    "x-identifier",
    "x-format",
];
const ROOT_KEYWORDS: &[&str] = &[
    "$schema",
    "$id",
    "examples",
    "x-type",
    "x-version",
    "x-class",
    "x-subject",
    "x-service",
    "x-public",
    "x-subject-optional",
    "x-subject-of",
];
const COMBINATORS: &[&str] = &["anyOf", "oneOf", "allOf", "not", "if", "then", "else", "dependentRequired"];

/// Every rule that `schema` breaks; `event_type` and `version` are what its file name says.
pub(super) fn broken_rules(schema: &Map<String, Value>, event_type: &str, version: u32) -> Vec<RuleBreak> {
    let flag = |keyword: &str| schema.get(keyword) == Some(&Value::Bool(true));
    let mut rules = Rules {
        breaks: Vec::new(),
        public: flag("x-public"),
        machine_only: flag("x-service") && !flag("x-subject"),
        has_subject: flag("x-subject") || flag("x-subject-optional"),
    };
    rules.root(schema, event_type, version);
    rules.node(schema, "", Place { name: "", category: false, in_items: false });
    rules.breaks
}

struct Rules {
    breaks: Vec<RuleBreak>,
    /// Nothing personal may be in a type whose facts stand unsealed.
    public: bool,
    /// The service alone writes the type, and not about a person: its texts may be long (signatures, account names).
    machine_only: bool,
    /// Entries of the type have a subject, always or at times.
    has_subject: bool,
}

#[derive(Clone, Copy)]
struct Place<'a> {
    /// Name of the property, or of the array that holds it.
    name: &'a str,
    /// An array above gives the category.
    category: bool,
    in_items: bool,
}

impl Rules {
    fn add(&mut self, pointer: &str, what: impl Into<String>) {
        self.breaks.push(RuleBreak { pointer: pointer.to_owned(), what: what.into() });
    }

    fn root(&mut self, schema: &Map<String, Value>, event_type: &str, version: u32) {
        let id = format!("https://tallystick.local/schemas/{event_type}.v{version}");
        for (keyword, expected) in [
            ("$schema", Value::from("https://json-schema.org/draft/2020-12/schema")),
            ("$id", Value::from(id)),
            ("type", Value::from("object")),
            ("x-type", Value::from(event_type)),
            ("x-version", Value::from(version)),
        ] {
            if schema.get(keyword) != Some(&expected) {
                self.add("", format!("{keyword} must be {expected}"));
            }
        }
        for keyword in ["title", "description"] {
            if schema.get(keyword).and_then(Value::as_str).is_none_or(str::is_empty) {
                self.add("", format!("{keyword} is missing"));
            }
        }
        for keyword in ["x-subject", "x-service", "x-public", "x-subject-optional"] {
            let needed = keyword == "x-subject";
            if !matches!(schema.get(keyword), Some(Value::Bool(_))) && (needed || schema.contains_key(keyword)) {
                self.add("", format!("{keyword} must be true or false"));
            }
        }
        if schema.get("x-class").and_then(Value::as_str).is_none_or(|name| name.parse::<RetentionClass>().is_err()) {
            self.add("", "x-class must be a retention class");
        }
        let properties = schema.get("properties").and_then(Value::as_object);
        if properties.is_none() {
            self.add("", "properties are missing");
        }
        if properties.is_some_and(|properties| properties.contains_key(DERIVED)) {
            self.add("/properties/derived", "this name is kept for derived facts");
        }
        if let Some(of) = schema.get("x-subject-of")
            && of.as_str().is_none_or(|name| properties.is_none_or(|properties| !properties.contains_key(name)))
        {
            self.add("", "x-subject-of must name a property");
        }
        if self.public && schema.get("additionalProperties") != Some(&Value::Bool(false)) {
            self.add("", "a public type must be closed");
        }
        if event_type.len() > 64 {
            self.add("", "the type is longer than 64 characters");
        }
    }

    fn node(&mut self, node: &Map<String, Value>, pointer: &str, place: Place<'_>) {
        for keyword in node.keys() {
            let known =
                KEYWORDS.contains(&keyword.as_str()) || pointer.is_empty() && ROOT_KEYWORDS.contains(&keyword.as_str());
            if !known {
                self.add(pointer, format!("keyword {keyword} is not used in schemas here"));
            }
        }
        for keyword in COMBINATORS {
            if node.get(*keyword).is_some_and(has_marks) {
                self.add(pointer, format!("{keyword} may constrain but not mark fields"));
            }
        }
        if !pointer.is_empty() && node.get("description").and_then(Value::as_str).is_none_or(str::is_empty) {
            self.add(pointer, "description is missing");
        }
        self.marks(node, pointer, place);
        let types = type_names(node);
        if types.is_empty() {
            self.add(pointer, "type is missing");
        }
        if types.contains(&"string") {
            self.text(node, pointer);
        }
        if types.iter().any(|name| matches!(*name, "integer" | "number")) {
            let bounded = ["minimum", "maximum"].iter().all(|keyword| node.get(*keyword).is_some_and(Value::is_number));
            if !bounded {
                self.add(pointer, "a number needs minimum and maximum");
            }
        }
        if types.contains(&"array") {
            self.array(node, pointer, place);
        }
        let has_properties = node.get("properties").and_then(Value::as_object).is_some_and(|all| !all.is_empty());
        if has_properties {
            self.object(node, pointer, place);
        } else if !types.contains(&"array") && !pointer.is_empty() {
            self.leaf(node, &types, pointer, place);
        }
    }

    fn marks(&mut self, node: &Map<String, Value>, pointer: &str, place: Place<'_>) {
        let business = node.get("x-business");
        if business.is_some_and(|mark| !mark.is_boolean()) {
            self.add(pointer, "x-business must be true or false");
        }
        if let Some(kind) = node.get("x-ref") {
            let snake = |kind: &str| {
                !kind.is_empty()
                    && kind.len() <= 32
                    && kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
            };
            if !kind.as_str().is_some_and(snake) {
                self.add(pointer, "x-ref must be a kind in snake_case");
            }
            if business == Some(&Value::Bool(true)) {
                self.add(pointer, "a reference stays personal; its hash is business");
            }
            if type_names(node) != ["string"] {
                self.add(pointer, "a reference must be a string");
            }
        }
        if place.in_items && (node.contains_key("x-ref") || node.contains_key("x-identifier")) {
            self.add(pointer, "no reference and no identifier inside an array");
        }
        if let Some(class) = node.get("x-retention") {
            if class.as_str().is_none_or(|name| name.parse::<RetentionClass>().is_err()) {
                self.add(pointer, "x-retention must be a retention class");
            }
            if place.in_items || business == Some(&Value::Bool(true)) {
                self.add(pointer, "x-retention is for personal fields outside arrays");
            }
        }
        let format = node.get("x-format").map(|name| name.as_str().and_then(Format::from_name));
        if format == Some(None) {
            self.add(pointer, "x-format is not one of ours");
        }
        if let Some(kind) = node.get("x-identifier") {
            let wanted = match kind.as_str().and_then(|name| name.parse().ok()) {
                Some(IdentifierKind::Phone) => Some(Some(Format::Phone)),
                Some(IdentifierKind::Email) => Some(Some(Format::Email)),
                Some(IdentifierKind::Ref) => None,
                None => Some(None),
            };
            if wanted.is_some_and(|wanted| wanted.is_none() || format != Some(wanted)) {
                self.add(pointer, "x-identifier must be phone, email (with that x-format) or ref");
            }
        }
    }

    fn text(&mut self, node: &Map<String, Value>, pointer: &str) {
        if node.get("maxLength").and_then(Value::as_u64).is_none() {
            self.add(pointer, "a string needs maxLength");
        }
        if let Some(pattern) = node.get("pattern")
            && validator(&serde_json::json!({ "pattern": pattern })).is_err()
        {
            self.add(pointer, "pattern is not a regular expression that matches in linear time");
        }
    }

    fn array(&mut self, node: &Map<String, Value>, pointer: &str, place: Place<'_>) {
        if node.get("maxItems").and_then(Value::as_u64).is_none() {
            self.add(pointer, "an array needs maxItems");
        }
        let Some(items) = node.get("items").and_then(Value::as_object) else {
            self.add(pointer, "an array needs items");
            return;
        };
        let category = place.category || node.contains_key("x-category");
        self.node(items, &format!("{pointer}/items"), Place { name: place.name, category, in_items: true });
        let (marked, all) = (is_business(node), items_business(items));
        if marked && !all {
            self.add(pointer, "an array is business only if all its items are, objects closed");
        } else if !marked && all {
            self.add(pointer, "all items are business: mark the array too");
        }
    }

    fn object(&mut self, node: &Map<String, Value>, pointer: &str, place: Place<'_>) {
        let properties = node.get("properties").and_then(Value::as_object);
        for (name, property) in properties.into_iter().flatten() {
            let below = format!("{pointer}/properties/{}", name.replace('~', "~0").replace('/', "~1"));
            match property.as_object() {
                Some(property) => self.node(property, &below, Place { name, ..place }),
                None => self.add(&below, "a property must be described by an object"),
            }
        }
        if is_business(node) {
            self.add(pointer, "mark the properties of an object, not the object");
        }
        for name in node.get("required").and_then(Value::as_array).into_iter().flatten() {
            if name.as_str().is_none_or(|name| properties.is_none_or(|properties| !properties.contains_key(name))) {
                self.add(pointer, format!("required {name} is not a property"));
            }
        }
    }

    fn leaf(&mut self, node: &Map<String, Value>, types: &[&str], pointer: &str, place: Place<'_>) {
        if !is_business(node) {
            let category = node.get("x-category").and_then(Value::as_str);
            if !place.category && !category.is_some_and(|name| name.starts_with("user.") || name.starts_with("system."))
            {
                self.add(pointer, "a personal field needs x-category (user.* or system.*)");
            }
            if self.public {
                self.add(pointer, "a public type has no personal field");
            }
            if !self.has_subject && !node.contains_key("x-ref") {
                self.add(pointer, "a type without subject has no personal field: no key would die with it");
            }
            return;
        }
        let closed_list = node.get("enum").is_some() || node.get("const").is_some();
        if types.contains(&"object") {
            self.add(pointer, "an object of unknown properties is never business");
        }
        if closed_list || types.iter().all(|name| matches!(*name, "boolean" | "null")) {
            return;
        }
        if place.name.split('_').any(|word| PERSONAL_WORDS.contains(&word)) {
            self.add(pointer, format!("{} sounds personal: business needs a closed enum or another name", place.name));
        }
        if types.contains(&"string") {
            self.business_text(node, pointer);
        }
    }

    fn business_text(&mut self, node: &Map<String, Value>, pointer: &str) {
        let format = node.get("x-format").and_then(Value::as_str).and_then(Format::from_name);
        if format.is_some_and(Format::is_closed) {
            return;
        }
        let pattern =
            node.get("pattern").and_then(Value::as_str).filter(|text| text.starts_with('^') && text.ends_with('$'));
        let bounded = node.get("maxLength").and_then(Value::as_u64).is_some_and(|most| most <= BUSINESS_CHARS_MAX);
        let (Some(pattern), true) = (pattern, bounded || self.machine_only) else {
            self.add(
                pointer,
                "business text needs enum, const, a closed x-format, or a ^pattern$ with maxLength up to 64",
            );
            return;
        };
        if !self.machine_only
            && let Ok(pattern) = validator(&serde_json::json!({ "pattern": pattern }))
        {
            for probe in PERSONAL_PROBES.iter().filter(|probe| pattern.is_valid(&Value::from(**probe))) {
                self.add(pointer, format!("the pattern of a business field matches personal text such as {probe}"));
            }
        }
    }
}

fn is_business(node: &Map<String, Value>) -> bool {
    node.get("x-business") == Some(&Value::Bool(true))
}

fn items_business(items: &Map<String, Value>) -> bool {
    match items.get("properties").and_then(Value::as_object) {
        Some(properties) => {
            items.get("additionalProperties") == Some(&Value::Bool(false))
                && properties.values().filter_map(Value::as_object).all(items_business)
        }
        None => is_business(items),
    }
}

fn type_names(node: &Map<String, Value>) -> Vec<&str> {
    match node.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// True if any object below has a keyword of ours.
fn has_marks(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.iter().any(|(name, value)| name.starts_with("x-") || has_marks(value)),
        Value::Array(items) => items.iter().any(has_marks),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}
