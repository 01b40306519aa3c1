//! Divides an event's data into what survives an erasure and what dies with it.
//!
//! Promises: a value goes into the business part only where the schema marks it; everything else, unknown properties
//! included, is personal. No field is lost and none stands in two parts, refs aside, which stay personal as given and are
//! reported beside. Strings are moved, not copied.

use serde_json::{Map, Value};

use crate::domain::email::Email;
use crate::domain::identifier::{Identifier, IdentifierKind};
use crate::domain::parts::RetentionClass;
use crate::domain::phone::Phone;

use super::node::{Mark, Node, ObjectNode};
use super::problems::Path;

/// An event's data, divided.
#[derive(Debug, Default)]
pub struct Split {
    /// What the schema marks as business. Derived facts and keyed hashes of refs are added by the caller.
    pub business: Map<String, Value>,
    /// The rest, one map per retention class, sorted by class code. Empty for types without subject: what is not business
    /// stays in their raw part only.
    pub personal: Vec<(RetentionClass, Map<String, Value>)>,
    /// Record references, in the order of their pointers; the business part gets a keyed hash of each.
    pub refs: Vec<RefField>,
    /// Phone numbers and addresses that identify the subject, normalised, in the order of their pointers, without repeats.
    /// References that identify the subject are in `refs`: only the caller knows the source that scopes them.
    pub identifiers: Vec<Identifier>,
}

/// A record reference of a client or provider.
#[derive(Clone, PartialEq, Eq)]
pub struct RefField {
    /// RFC 6901 pointer into the data.
    pub pointer: String,
    /// What kind of record: `sale`, `call`, `invoice` ...
    pub kind: String,
    /// The reference as given.
    pub value: String,
    /// The reference names the subject (`x-identifier: "ref"`).
    pub identifies: bool,
}

impl std::fmt::Debug for RefField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RefField({}, {}, ..)", self.pointer, self.kind)
    }
}

/// The kind of a reference that identifies the subject and names no other kind.
const SUBJECT_REF: &str = "subject";

/// Divides `data` by `root`. Data that is not an object goes nowhere: validation has refused it.
pub(super) fn split(root: &Node, class: RetentionClass, keeps_personal: bool, data: Value) -> Split {
    let mut split = Split::default();
    let Value::Object(members) = data else {
        return split;
    };
    if root.collects {
        collect_members(root, &members, &Path::ROOT, &mut split);
    }
    let mut divided = divide(root.object.as_ref(), members, class, class);
    divided.personal.sort_by_key(|(class, _)| class.code());
    split.business = divided.business;
    if keeps_personal {
        split.personal = divided.personal;
    }
    split
}

/// Business and personal members of one object.
#[derive(Default)]
struct Divided {
    business: Map<String, Value>,
    personal: Vec<(RetentionClass, Map<String, Value>)>,
}

/// `class` is that of the enclosing object, `unknown` that of the type, for properties that no schema describes.
fn divide(
    object: Option<&ObjectNode>,
    members: Map<String, Value>,
    class: RetentionClass,
    unknown: RetentionClass,
) -> Divided {
    let mut divided = Divided::default();
    let mut properties = object.map_or(&[][..], |object| &object.properties).iter().peekable();
    for (name, value) in members {
        while properties.next_if(|(known, _)| **known < *name).is_some() {}
        let Some((_, node)) = properties.next_if(|(known, _)| **known == *name) else {
            put_personal(&mut divided.personal, unknown, name, value);
            continue;
        };
        let class = node.class.unwrap_or(class);
        match value {
            Value::Object(inner) if node.object.is_some() && !inner.is_empty() => {
                let inner = divide(node.object.as_ref(), inner, class, unknown);
                if !inner.business.is_empty() {
                    divided.business.insert(name.clone(), Value::Object(inner.business));
                }
                for (class, members) in inner.personal {
                    put_personal(&mut divided.personal, class, name.clone(), Value::Object(members));
                }
            }
            value if node.wholly_business && is_wholly_business(node, &value) => {
                divided.business.insert(name, value);
            }
            value => put_personal(&mut divided.personal, class, name, value),
        }
    }
    divided
}

/// The schema says so already; looked at again because one personal value in the business part cannot be taken back.
fn is_wholly_business(node: &Node, value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => node.wholly_business,
        Value::Array(items) => {
            node.items.as_ref().is_some_and(|node| items.iter().all(|item| is_business_item(node, item)))
        }
        Value::Object(_) => false,
    }
}

fn is_business_item(node: &Node, item: &Value) -> bool {
    match (item, &node.object) {
        (Value::Object(members), Some(object)) => {
            members.iter().all(|(name, value)| object.property(name).is_some_and(|node| is_business_item(node, value)))
        }
        _ => is_wholly_business(node, item),
    }
}

fn put_personal(
    personal: &mut Vec<(RetentionClass, Map<String, Value>)>,
    class: RetentionClass,
    name: String,
    value: Value,
) {
    // One or two classes at most: a search is cheaper than a map.
    match personal.iter_mut().find(|(known, _)| *known == class) {
        Some((_, members)) => {
            members.insert(name, value);
        }
        None => personal.push((class, Map::from_iter([(name, value)]))),
    }
}

fn collect_members(node: &Node, members: &Map<String, Value>, path: &Path<'_>, split: &mut Split) {
    let Some(object) = &node.object else { return };
    for (name, node) in object.properties.iter().filter(|(_, node)| node.collects) {
        if let Some(value) = members.get(&**name) {
            collect(node, value, &path.name(name), split);
        }
    }
}

fn collect(node: &Node, value: &Value, path: &Path<'_>, split: &mut Split) {
    match value {
        Value::String(text) => collect_text(node, text, path, split),
        Value::Object(members) => collect_members(node, members, path, split),
        // The rules allow neither references nor identifiers inside arrays.
        Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn collect_text(node: &Node, text: &str, path: &Path<'_>, split: &mut Split) {
    let identifies = node.identifier == Some(IdentifierKind::Ref);
    let kind = match &node.mark {
        Mark::Ref(kind) => Some(&**kind),
        Mark::Business | Mark::Personal => identifies.then_some(SUBJECT_REF),
    };
    if let Some(kind) = kind {
        let (kind, value) = (kind.to_owned(), text.to_owned());
        split.refs.push(RefField { pointer: path.pointer(), kind, value, identifies });
    }
    // Validation has accepted both forms; what does not parse identifies nobody.
    let value = match node.identifier {
        Some(IdentifierKind::Phone) => Phone::parse(text, Phone::DEFAULT_COUNTRY).ok().map(Phone::into_string),
        Some(IdentifierKind::Email) => Email::parse(text).ok().map(Email::into_string),
        Some(IdentifierKind::Ref) | None => None,
    };
    if let (Some(kind), Some(value)) = (node.identifier, value) {
        let identifier = Identifier { kind, value };
        if !split.identifiers.contains(&identifier) {
            split.identifiers.push(identifier);
        }
    }
}
