//! Says what is wrong with data that was not accepted: where, which rule, in words that never repeat a value.
//!
//! Codes are stable; `ops/errors.md` lists them. JSON Schema's own rules are judged by the reference validator, forms and
//! exact numbers by our code. Names of unknown properties appear in pointers only if they are plain names, because careless
//! senders put phone numbers and addresses there.

use jsonschema::Validator;
use jsonschema::error::{TypeKind, ValidationErrorKind};
use serde_json::{Map, Value};

use super::canonical::is_exact;
use super::node::Node;

/// The most problems that are listed for one event.
const PROBLEMS_MAX: usize = 32;
const WRONG_TYPE: &str = "wrong_type";
/// Longest list of allowed values or patterns that is repeated in a detail, in bytes.
const LISTED_BYTES_MAX: usize = 240;

/// One thing wrong with an event's data.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct FieldProblem {
    /// RFC 6901 pointer into the data; the empty pointer is the whole.
    pub pointer: String,
    /// Stable snake_case code.
    pub code: &'static str,
    /// A sentence for people; never holds the value.
    pub detail: String,
}

/// A place in the data, as a chain on the stack; written out only when something is wrong there.
#[derive(Clone, Copy)]
pub(super) struct Path<'a> {
    above: Option<&'a Path<'a>>,
    segment: Segment<'a>,
}

#[derive(Clone, Copy)]
enum Segment<'a> {
    Root,
    Name(&'a str),
    Place(usize),
}

impl<'a> Path<'a> {
    pub(super) const ROOT: Path<'static> = Path { above: None, segment: Segment::Root };

    pub(super) fn name(&'a self, name: &'a str) -> Path<'a> {
        Path { above: Some(self), segment: Segment::Name(name) }
    }

    pub(super) fn place(&'a self, place: usize) -> Path<'a> {
        Path { above: Some(self), segment: Segment::Place(place) }
    }

    /// The RFC 6901 pointer.
    pub(super) fn pointer(&self) -> String {
        let mut pointer = self.above.map(Path::pointer).unwrap_or_default();
        match self.segment {
            Segment::Root => {}
            Segment::Name(name) => {
                pointer.push('/');
                pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
            }
            Segment::Place(place) => {
                pointer.push('/');
                pointer.push_str(&place.to_string());
            }
        }
        pointer
    }
}

/// The one problem of all data of a type whose schema does not compile. Failing closed keeps the event in quarantine.
pub(super) fn unusable() -> FieldProblem {
    problem(String::new(), "schema_unusable", "the schema of this type does not compile")
}

/// Every problem of `data`, sorted by place, at most [`PROBLEMS_MAX`].
pub(super) fn problems(node: &Node, reference: &Validator, data: &Value) -> Vec<FieldProblem> {
    let mut found = Vec::new();
    for error in reference.iter_errors(data).take(4 * PROBLEMS_MAX) {
        from_reference(error.kind(), error.instance_path().as_str(), &mut found);
    }
    own_rules(Some(node), data, &Path::ROOT, &mut found);
    found.sort();
    found.dedup();
    // A value of the wrong type breaks other rules too; they would only distract.
    let mistyped: Vec<String> =
        found.iter().filter(|problem| problem.code == WRONG_TYPE).map(|problem| problem.pointer.clone()).collect();
    found.retain(|problem| problem.code == WRONG_TYPE || !mistyped.contains(&problem.pointer));
    found.truncate(PROBLEMS_MAX);
    if found.is_empty() {
        // Not reachable as long as both passes judge alike; an empty list would read as a pass.
        found.push(problem(String::new(), "schema_mismatch", "the data does not match the schema"));
    }
    found
}

/// Exact numbers everywhere, forms where the schema names one. `node` is none below what the schema describes.
fn own_rules(node: Option<&Node>, value: &Value, path: &Path<'_>, found: &mut Vec<FieldProblem>) {
    if found.len() > 4 * PROBLEMS_MAX {
        return;
    }
    match value {
        Value::Null | Value::Bool(_) => {}
        Value::Number(number) if is_exact(number) => {}
        Value::Number(_) => found.push(problem(
            path.pointer(),
            "number_not_exact",
            "numbers beyond 9007199254740991 are not exact in JSON; send a string",
        )),
        Value::String(text) => {
            if let Some(format) = node.and_then(|node| node.format)
                && let Some(complaint) = format.complaint(text)
            {
                found.push(problem(path.pointer(), format.problem_code(), &complaint));
            }
        }
        Value::Array(items) => {
            let items_node = node.and_then(|node| node.items.as_deref());
            for (place, item) in items.iter().enumerate() {
                own_rules(items_node, item, &path.place(place), found);
            }
        }
        Value::Object(members) => own_rules_of_members(node, members, path, found),
    }
}

fn own_rules_of_members(
    node: Option<&Node>,
    members: &Map<String, Value>,
    path: &Path<'_>,
    found: &mut Vec<FieldProblem>,
) {
    let object = node.and_then(|node| node.object.as_ref());
    for (name, value) in members {
        match object.and_then(|object| object.property(name)) {
            Some(node) => own_rules(Some(node), value, &path.name(name), found),
            None if is_plain_name(name) => own_rules(None, value, &path.name(name), found),
            None => own_rules(None, value, path, found),
        }
    }
}

/// True for names that programmers give, false for data used as a name.
fn is_plain_name(name: &str) -> bool {
    let digits = name.bytes().filter(u8::is_ascii_digit).count();
    name.len() <= 64
        && digits <= 4
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

fn problem(pointer: String, code: &'static str, detail: &str) -> FieldProblem {
    FieldProblem { pointer, code, detail: detail.to_owned() }
}

fn from_reference(kind: &ValidationErrorKind, pointer: &str, found: &mut Vec<FieldProblem>) {
    use ValidationErrorKind as Kind;
    let below = |name: &str| format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
    match kind {
        Kind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            found.push(problem(below(name), "required_missing", "this property is required"));
        }
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            for name in unexpected {
                let pointer = if is_plain_name(name) { below(name) } else { pointer.to_owned() };
                found.push(problem(pointer, "property_unknown", "the schema closes this object: no other property"));
            }
        }
        _ => {
            let (code, detail) = described(kind);
            found.push(problem(pointer.to_owned(), code, &detail));
        }
    }
}

/// Code and words for problems that lie where the validator says.
fn described(kind: &ValidationErrorKind) -> (&'static str, String) {
    use ValidationErrorKind as Kind;
    match kind {
        Kind::Type { kind } => (WRONG_TYPE, format!("must be {}", type_names(kind))),
        Kind::Enum { options } => ("not_in_enum", format!("must be one of {}", shortened(&options.to_string()))),
        Kind::Constant { expected_value } => {
            ("not_in_enum", format!("must be {}", shortened(&expected_value.to_string())))
        }
        Kind::MaxLength { limit } => ("too_long", format!("at most {limit} characters")),
        Kind::MinLength { limit } => ("too_short", format!("at least {limit} characters")),
        Kind::Pattern { pattern } => ("pattern_mismatch", format!("must match {}", shortened(pattern))),
        Kind::Maximum { limit } => ("too_large", format!("at most {limit}")),
        Kind::ExclusiveMaximum { limit } => ("too_large", format!("less than {limit}")),
        Kind::Minimum { limit } => ("too_small", format!("at least {limit}")),
        Kind::ExclusiveMinimum { limit } => ("too_small", format!("more than {limit}")),
        Kind::MultipleOf { multiple_of } => ("not_a_multiple", format!("must be a multiple of {multiple_of}")),
        Kind::MaxItems { limit } => ("too_many_items", format!("at most {limit} items")),
        Kind::MinItems { limit } => ("too_few_items", format!("at least {limit} items")),
        Kind::UniqueItems => ("items_not_unique", "no item may appear twice".to_owned()),
        Kind::MaxProperties { limit } => ("too_many_properties", format!("at most {limit} properties")),
        Kind::MinProperties { limit } => ("too_few_properties", format!("at least {limit} properties")),
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => ("no_alternative_fits", alternatives(context)),
        Kind::OneOfMultipleValid { .. } => {
            ("several_alternatives_fit", "exactly one of the alternatives of the schema may apply".to_owned())
        }
        _ => ("schema_mismatch", format!("breaks the keyword {} of the schema", kind.keyword())),
    }
}

/// The usual alternatives are "one of these properties must be there"; then the properties are named.
fn alternatives(context: &[Vec<jsonschema::ValidationError<'static>>]) -> String {
    let mut names = Vec::new();
    for errors in context {
        for error in errors {
            match error.kind() {
                ValidationErrorKind::Required { property } => {
                    names.push(property.as_str().unwrap_or_default().to_owned())
                }
                _ => return "none of the alternatives of the schema applies".to_owned(),
            }
        }
    }
    names.dedup();
    format!("one of these is required: {}", shortened(&names.join(", ")))
}

fn type_names(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(one) => one.to_string(),
        TypeKind::Multiple(several) => several.iter().map(|one| one.to_string()).collect::<Vec<_>>().join(" or "),
    }
}

/// Cut at a character, so that a long list of choices does not fill a response. What is cut comes from the schema.
fn shortened(text: &str) -> String {
    if text.len() <= LISTED_BYTES_MAX {
        return text.to_owned();
    }
    let end = (0..=LISTED_BYTES_MAX).rev().find(|place| text.is_char_boundary(*place)).unwrap_or(0);
    format!("{} ...", text.get(..end).unwrap_or_default())
}
