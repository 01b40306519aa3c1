//! One version of one event type: checks data, divides it, and says what each field is.

use std::sync::OnceLock;

use jsonschema::Validator;
use serde_json::{Map, Value};

use crate::crypto::hash::Digest;
use crate::domain::parts::{PartKind, RetentionClass};

use super::check::forms_hold;
use super::derive;
use super::node::{CompileError, Mark, Node, validator};
use super::problems::{FieldProblem, problems, unusable};
use super::registry::SchemaError;
use super::rules::{RuleBreak, broken_rules};
use super::split::{self, Split};
use super::upcast::Upcast;

/// One version of one event type.
#[derive(Debug)]
pub struct EventSchema {
    /// `family.verb_past`.
    pub event_type: String,
    /// From 1.
    pub version: u32,
    /// SHA-256 of the file; stands in every entry of the type.
    pub digest: Digest,
    /// `title` of the file.
    pub title: String,
    /// `description` of the file.
    pub description: String,
    /// An event of the type is about a person and needs a subject.
    pub needs_subject: bool,
    /// An event of the type may have a subject though it needs none.
    pub subject_optional: bool,
    /// The property that holds the position whose subject the event has, where the poster names none.
    pub subject_of: Option<String>,
    /// Only the service writes it; posting one is refused.
    pub service: bool,
    /// Its fields stand unsealed in the public part; then all are business.
    pub public: bool,
    /// Retention class of the business part, and of personal fields that name no other.
    pub class: RetentionClass,
    /// The file, for readers of the API.
    pub document: Value,
    pub(super) upcasts: Vec<Upcast>,
    root: Node,
    /// Built at the first check: most commands check nothing, and building all takes longer than the rest of a start.
    reference: OnceLock<Result<Validator, CompileError>>,
}

/// What a schema says of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldNote {
    /// RFC 6901 pointer into the data; `*` stands for every item of an array.
    pub pointer: String,
    /// Business, or personal with its class.
    pub place: FieldPlace,
    /// Fideslang category of a personal field.
    pub category: Option<String>,
}

/// Where a field goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldPlace {
    /// The business part (the public part of a public type).
    Business,
    /// The personal part of this class.
    Personal(RetentionClass),
    /// The personal part of this class, and a keyed hash under this kind in the business part.
    Ref(RetentionClass, String),
}

impl EventSchema {
    pub(super) fn new(
        event_type: &str,
        version: u32,
        digest: Digest,
        document: Map<String, Value>,
    ) -> Result<EventSchema, SchemaError> {
        let text = |keyword: &str| document.get(keyword).and_then(Value::as_str);
        let flag = |keyword: &str| document.get(keyword) == Some(&Value::Bool(true));
        let class = text("x-class").and_then(|name| name.parse().ok());
        let class = class.ok_or_else(|| SchemaError::Rules {
            name: format!("{event_type}.v{version}"),
            breaks: broken_rules(&document, event_type, version),
        })?;
        Ok(EventSchema {
            event_type: event_type.to_owned(),
            version,
            digest,
            title: text("title").unwrap_or_default().to_owned(),
            description: text("description").unwrap_or_default().to_owned(),
            needs_subject: flag("x-subject"),
            subject_optional: flag("x-subject-optional"),
            subject_of: text("x-subject-of").map(str::to_owned),
            service: flag("x-service"),
            public: flag("x-public"),
            class,
            upcasts: Vec::new(),
            root: Node::new(&document),
            reference: OnceLock::new(),
            document: Value::Object(document),
        })
    }

    /// Type and version, as in the file name.
    pub fn name(&self) -> String {
        format!("{}.v{}", self.event_type, self.version)
    }

    /// Checks data against the schema, the forms of `x-format` and exactness of numbers.
    ///
    /// # Errors
    /// What is wrong, sorted by place; never empty, at most 32.
    pub fn validate(&self, data: &Value) -> Result<(), Vec<FieldProblem>> {
        let Ok(reference) = self.reference() else {
            return Err(vec![unusable()]);
        };
        if reference.is_valid(data) && forms_hold(&self.root, data) {
            return Ok(());
        }
        Err(problems(&self.root, reference, data))
    }

    /// The validator of the JSON Schema, built at the first call.
    ///
    /// # Errors
    /// When the file is not a JSON Schema; the tests build every file that ships, registering a custom one builds it.
    pub(super) fn reference(&self) -> Result<&Validator, &CompileError> {
        self.reference.get_or_init(|| validator(&self.document)).as_ref()
    }

    /// The rules of this project that the file breaks.
    pub(super) fn broken_rules(&self) -> Vec<RuleBreak> {
        self.document
            .as_object()
            .map(|document| broken_rules(document, &self.event_type, self.version))
            .unwrap_or_default()
    }

    /// Divides data that [`EventSchema::validate`] accepted into business and personal.
    pub fn split(&self, data: Value) -> Split {
        split::split(&self.root, self.class, self.needs_subject || self.subject_optional, data)
    }

    /// The derived facts of data, to be taken before [`EventSchema::split`]; they belong into the business part under
    /// [`derive::DERIVED`].
    pub fn derive(&self, data: &Value) -> Map<String, Value> {
        if self.public { Map::new() } else { derive::derive(&self.event_type, data) }
    }

    /// Members of one part of an event of this version, as the newest version of the type would have them.
    pub fn upcast(&self, part: PartKind, mut members: Map<String, Value>) -> Map<String, Value> {
        for step in &self.upcasts {
            (step.apply)(part, &mut members);
        }
        members
    }

    /// The first example: a whole CloudEvent.
    pub fn example(&self) -> Option<&Value> {
        self.document.get("examples")?.get(0)
    }

    /// Checks that the first example is an event of this type whose data passes.
    ///
    /// # Errors
    /// [`SchemaError::Example`].
    pub fn check_example(&self) -> Result<(), SchemaError> {
        let broken = |what: String| SchemaError::Example { name: self.name(), what };
        let example = self.example().ok_or_else(|| broken("is missing".into()))?;
        let named = example.get("type").and_then(Value::as_str) == Some(&self.event_type);
        let whole = ["specversion", "id", "source", "data"].iter().all(|name| example.get(name).is_some());
        if !named || !whole {
            return Err(broken("is not a CloudEvent of the type".into()));
        }
        self.validate(&example["data"]).map_err(|found| {
            let first = found.first().map(|problem| format!("{} {}", problem.pointer, problem.code));
            broken(format!("does not pass: {}", first.unwrap_or_default()))
        })
    }

    /// What the schema says of every field, in the order of their pointers; for masking, access copies, the record of
    /// processing and the golden files.
    pub fn fields(&self) -> Vec<FieldNote> {
        let mut notes = Vec::new();
        note(&self.root, self.class, String::new(), None, &mut notes);
        notes
    }
}

fn note(node: &Node, class: RetentionClass, pointer: String, category: Option<&str>, notes: &mut Vec<FieldNote>) {
    let class = node.class.unwrap_or(class);
    let category = node.category.as_deref().or(category);
    if let Some(object) = &node.object {
        for (name, node) in &object.properties {
            let name = name.replace('~', "~0").replace('/', "~1");
            note(node, class, format!("{pointer}/{name}"), category, notes);
        }
        return;
    }
    if let Some(items) = &node.items {
        note(items, class, format!("{pointer}/*"), category, notes);
        return;
    }
    let place = match &node.mark {
        Mark::Business => FieldPlace::Business,
        Mark::Personal => FieldPlace::Personal(class),
        Mark::Ref(kind) => FieldPlace::Ref(class, kind.to_string()),
    };
    let category = category.filter(|_| place != FieldPlace::Business).map(str::to_owned);
    notes.push(FieldNote { pointer, place, category });
}
