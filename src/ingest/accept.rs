//! Bytes of one event become [`Validated`], or [`Rejected`] with every reason. Pure: no IO, no clock but the one passed.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::envelope::{Envelope, problem};
use super::forms::{Received, header_value};
use super::limits::Limits;
use super::secrets::LedgerSecrets;
use crate::crypto::cbor;
use crate::crypto::hash::{Digest, sha256};
use crate::domain::identifier::{Identifier, IdentifierKind};
use crate::domain::parts::RetentionClass;
use crate::domain::time::Timestamp;
use crate::schema::{EventSchema, FieldProblem, Registry, canonical_json};

/// How far ahead of the ledger's clock an event may claim to have happened.
pub const FUTURE_MICROS_MAX: i64 = 5 * 60 * 1_000_000;

/// What a conditional append expects of its subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// The subject has no event yet.
    None,
    /// Its last event stands here.
    Position(u64),
}

/// An identifier of an event's subject, with its blind index.
#[derive(Debug, Clone)]
pub struct Identified {
    /// Kind and normalised value.
    pub identifier: Identifier,
    /// Keyed hash that the index knows it by.
    pub blind: [u8; 16],
}

/// An event whose form, type and data hold; made only by [`accept`].
#[derive(Debug)]
pub struct Validated {
    pub(super) schema: Arc<EventSchema>,
    pub(super) source: String,
    pub(super) id: String,
    pub(super) dedupe: [u8; 32],
    pub(super) subject: Option<String>,
    pub(super) identifiers: Vec<Identified>,
    pub(super) expect: Option<Expect>,
    pub(super) cause: Option<u64>,
    pub(super) corrects: Option<u64>,
    /// Content of the business or public part.
    pub(super) business: Map<String, Value>,
    /// Contents of the personal parts by class.
    pub(super) personal: Vec<(RetentionClass, Map<String, Value>)>,
    pub(super) raw: Bytes,
}

impl Validated {
    /// The event's type.
    pub fn event_type(&self) -> &str {
        &self.schema.event_type
    }
}

/// An event that cannot be recorded as it is. Its bytes go to quarantine.
#[derive(Debug)]
pub struct Rejected {
    /// The first reason's code.
    pub code: &'static str,
    /// All reasons found.
    pub problems: Vec<FieldProblem>,
    pub(super) source: Option<String>,
    pub(super) id: Option<String>,
    pub(super) raw: Bytes,
}

/// Either.
pub type Accepted = Result<Validated, Rejected>;

/// What accepting needs to know.
pub struct AcceptContext<'a> {
    /// Types and their rules.
    pub registry: &'a Registry,
    /// Keys for dedupe values, record references and blind indexes.
    pub secrets: &'a LedgerSecrets,
    /// Limits by name.
    pub limits: &'a Limits,
    /// The ledger's now.
    pub now: Timestamp,
    /// Whether types that only the service writes are allowed: `true` for the service's own events.
    pub service: bool,
}

/// Validates one event.
pub fn accept(context: &AcceptContext<'_>, received: &Received) -> Accepted {
    let raw = received.raw.clone();
    if raw.len() > context.limits.event_bytes_max {
        let detail = format!("{} bytes; at most {} are taken", raw.len(), context.limits.event_bytes_max);
        return Err(reject(raw, None, "event_too_large", problem("", "event_too_large", detail)));
    }
    let Ok(text) = std::str::from_utf8(&raw) else {
        return Err(reject(raw.clone(), None, "not_utf8", problem("", "not_utf8", "the event is not UTF-8")));
    };
    let envelope = if text.starts_with('{') { Envelope::parse(text).ok() } else { binary_envelope(text) };
    let Some(envelope) = envelope else {
        return Err(reject(raw.clone(), None, "not_json", problem("", "not_json", "the event is not a JSON object")));
    };
    validate(context, &raw, envelope)
}

fn reject(raw: Bytes, envelope: Option<&Envelope<'_>>, code: &'static str, problem: FieldProblem) -> Rejected {
    rejected(raw, envelope, code, vec![problem])
}

fn rejected(raw: Bytes, envelope: Option<&Envelope<'_>>, code: &'static str, problems: Vec<FieldProblem>) -> Rejected {
    let owned = |text: Option<&Cow<'_, str>>| text.map(|text| text.clone().into_owned());
    Rejected {
        code,
        problems,
        source: owned(envelope.and_then(|envelope| envelope.source.as_ref())),
        id: owned(envelope.and_then(|envelope| envelope.id.as_ref())),
        raw,
    }
}

fn validate(context: &AcceptContext<'_>, raw: &Bytes, mut envelope: Envelope<'_>) -> Accepted {
    let problems = envelope_problems(&mut envelope);
    if let Some(first) = problems.first() {
        return Err(rejected(raw.clone(), Some(&envelope), first.code, problems));
    }
    let fail = |code: &'static str, pointer: &str, detail: &str| {
        Err(reject(raw.clone(), Some(&envelope), code, problem(pointer, code, detail)))
    };
    let event_type = envelope.event_type.as_deref().unwrap_or_default();
    let Some(schema) = context.registry.current(event_type) else {
        return fail("unknown_type", "/type", "no schema is registered for this type");
    };
    if schema.service && !context.service {
        return fail("type_reserved", "/type", "only the service itself writes this type");
    }
    let occurred = match envelope.time.as_deref().map(Timestamp::parse_rfc3339) {
        None => None,
        Some(Ok(time)) if time.micros_since(context.now) > FUTURE_MICROS_MAX => {
            return fail("occurred_in_future", "/time", "more than 5 minutes ahead of the ledger's clock");
        }
        Some(Ok(time)) => Some(time),
        Some(Err(_)) => return fail("time_invalid", "/time", "not an RFC 3339 timestamp"),
    };
    let data = match event_data(&envelope) {
        Ok(data) => data,
        Err((code, detail)) => return fail(code, "/data", detail),
    };
    if depth(&data, context.limits.nesting_max).is_none() {
        return fail("nesting_too_deep", "/data", "nested deeper than the limit");
    }
    if let Err(problems) = schema.validate(&data) {
        let code = problems.first().map_or("data_invalid", |first| first.code);
        return Err(rejected(raw.clone(), Some(&envelope), code, data_pointers(problems)));
    }
    let links = match Links::read(&envelope) {
        Ok(links) => links,
        Err((name, detail)) => return fail("invalid_attribute_type", name, detail),
    };
    let validated = split(context, raw, &envelope, schema, data, occurred, links);
    if schema.needs_subject && validated.subject.is_none() && validated.identifiers.is_empty() {
        return fail(
            "subject_missing",
            "/subject",
            "this type needs a subject: an id, a reference, a phone or an e-mail",
        );
    }
    Ok(validated)
}

fn data_pointers(problems: Vec<FieldProblem>) -> Vec<FieldProblem> {
    problems.into_iter().map(|found| FieldProblem { pointer: format!("/data{}", found.pointer), ..found }).collect()
}

/// Required attributes (CloudEvents 1.0, "Required Attributes") and the form of all. A plain JSON event may leave out
/// `specversion`; what it says must be "1.0".
fn envelope_problems(envelope: &mut Envelope<'_>) -> Vec<FieldProblem> {
    let mut problems = std::mem::take(&mut envelope.problems);
    for (name, value) in [("id", &envelope.id), ("source", &envelope.source), ("type", &envelope.event_type)] {
        let malformed = problems.iter().any(|found| found.pointer.strip_prefix('/') == Some(name));
        match value.as_deref() {
            None if !malformed => {
                problems.push(problem(format!("/{name}"), "required_attribute_missing", format!("{name} is required")));
            }
            Some("") => problems.push(problem(format!("/{name}"), "attribute_empty", format!("{name} is empty"))),
            None | Some(_) => {}
        }
    }
    if envelope.specversion.as_deref().is_some_and(|version| version != "1.0") {
        problems.push(problem("/specversion", "specversion_unsupported", "only CloudEvents 1.0 is read"));
    }
    if envelope.data.is_some() && envelope.data_base64.is_some() {
        problems.push(problem("/data_base64", "data_given_twice", "data and data_base64 exclude each other"));
    }
    problems
}

fn event_data(envelope: &Envelope<'_>) -> Result<Value, (&'static str, &'static str)> {
    let json = envelope.content_type.as_deref().is_none_or(|kind| {
        let media = kind.split(';').next().unwrap_or_default().trim();
        media.eq_ignore_ascii_case("application/json") || media.to_ascii_lowercase().ends_with("+json")
    });
    let text: Cow<'_, str> = match (&envelope.data, &envelope.data_base64) {
        (Some(data), _) => Cow::Borrowed(data.as_ref()),
        (None, Some(encoded)) if json => {
            let bytes = data_encoding::BASE64
                .decode(encoded.as_bytes())
                .map_err(|_| ("data_not_base64", "data_base64 is not base64"))?;
            Cow::Owned(String::from_utf8(bytes).map_err(|_| ("data_not_json", "the data is not JSON"))?)
        }
        (None, Some(_)) => return Err(("data_not_json", "the data of this type is JSON")),
        (None, None) => return Err(("data_missing", "the event has no data")),
    };
    if !json {
        return Err(("data_not_json", "the data of this type is JSON"));
    }
    serde_json::from_str(&text).map_err(|_| ("data_not_json", "the data is not JSON"))
}

/// Depth of `value`, or `None` beyond `max`.
fn depth(value: &Value, max: usize) -> Option<usize> {
    let children: &mut dyn Iterator<Item = &Value> = match value {
        Value::Array(items) => &mut items.iter(),
        Value::Object(fields) => &mut fields.values(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return Some(1),
    };
    let below = max.checked_sub(1)?;
    let mut deepest = 0;
    for child in children {
        deepest = deepest.max(depth(child, below)?);
    }
    Some(deepest + 1)
}

/// Extension attributes that this service understands.
#[derive(Default)]
struct Links {
    expect: Option<Expect>,
    cause: Option<u64>,
    corrects: Option<u64>,
}

impl Links {
    fn read(envelope: &Envelope<'_>) -> Result<Links, (&'static str, &'static str)> {
        let mut links = Links::default();
        for (name, value) in &envelope.extensions {
            let text = value.trim_matches('"');
            let position = text.parse::<u64>().ok().filter(|position| *position < 1 << 53);
            match name.as_ref() {
                "expect" if text == "none" => links.expect = Some(Expect::None),
                "expect" => {
                    let position = position.ok_or(("/expect", "expect is a position or \"none\""))?;
                    links.expect = Some(Expect::Position(position));
                }
                "cause" => links.cause = Some(position.ok_or(("/cause", "cause is a position"))?),
                "corrects" => links.corrects = Some(position.ok_or(("/corrects", "corrects is a position"))?),
                _ => {}
            }
        }
        Ok(links)
    }
}

fn split(
    context: &AcceptContext<'_>,
    raw: &Bytes,
    envelope: &Envelope<'_>,
    schema: &Arc<EventSchema>,
    data: Value,
    occurred: Option<Timestamp>,
    links: Links,
) -> Validated {
    let source = envelope.source.as_deref().unwrap_or_default();
    let id = envelope.id.as_deref().unwrap_or_default();
    let derived = schema.derive(&data);
    let parts = schema.split(data);
    let about_a_person = schema.needs_subject || schema.subject_optional;

    let mut business = Map::new();
    business.insert("data".to_owned(), Value::Object(parts.business));
    if !derived.is_empty() {
        business.insert("derived".to_owned(), Value::Object(derived));
    }
    if let Some(occurred) = occurred {
        business.insert("occurred".to_owned(), Value::String(occurred.to_string()));
    }
    if !parts.refs.is_empty() {
        let refs = parts.refs.iter().map(|found| {
            let hash = context.secrets.refs.record_ref(&found.kind, source, &found.value);
            let name = found.pointer.strip_prefix('/').unwrap_or(&found.pointer).to_owned();
            (name, Value::String(data_encoding::HEXLOWER.encode(&hash)))
        });
        business.insert("refs".to_owned(), Value::Object(refs.collect()));
    }

    let mut personal = Vec::with_capacity(parts.personal.len().max(1));
    if about_a_person {
        let mut own = Map::new();
        own.insert("attributes".to_owned(), attributes(envelope, source, id));
        for (class, fields) in parts.personal {
            if class == schema.class {
                own.insert("data".to_owned(), Value::Object(fields));
            } else {
                let mut other = Map::new();
                other.insert("data".to_owned(), Value::Object(fields));
                personal.push((class, other));
            }
        }
        personal.insert(0, (schema.class, own));
    }

    let mut identifiers: Vec<Identified> = Vec::with_capacity(parts.identifiers.len() + 1);
    let mut identify = |identifier: Identifier| {
        let blind = context.secrets.blind.blind_index(identifier.kind, &identifier.value);
        if !identifiers.iter().any(|known| known.blind == blind) {
            identifiers.push(Identified { identifier, blind });
        }
    };
    let subject = envelope.subject.as_deref().filter(|subject| about_a_person && !subject.is_empty());
    if let Some(Ok(reference)) = subject.map(|subject| Identifier::reference(source, subject)) {
        identify(reference);
    }
    for named in parts.refs.iter().filter(|named| about_a_person && named.identifies) {
        if let Ok(reference) = Identifier::reference(source, &named.value) {
            identify(reference);
        }
    }
    if about_a_person {
        let mut found = parts.identifiers;
        found.sort_by_key(|identifier| match identifier.kind {
            IdentifierKind::Ref => 0,
            IdentifierKind::Phone => 1,
            IdentifierKind::Email => 2,
        });
        found.into_iter().for_each(identify);
    }

    Validated {
        dedupe: context.secrets.dedupe.dedupe(source, id),
        schema: Arc::clone(schema),
        source: source.to_owned(),
        id: id.to_owned(),
        subject: subject.map(str::to_owned),
        identifiers,
        expect: links.expect,
        cause: links.cause,
        corrects: links.corrects,
        business,
        personal,
        raw: raw.clone(),
    }
}

/// The envelope's own attributes are personal: ids and sources of clients lead back to people.
fn attributes(envelope: &Envelope<'_>, source: &str, id: &str) -> Value {
    let mut map = Map::new();
    map.insert("id".to_owned(), Value::String(id.to_owned()));
    map.insert("source".to_owned(), Value::String(source.to_owned()));
    if let Some(subject) = &envelope.subject {
        map.insert("subject".to_owned(), Value::String(subject.clone().into_owned()));
    }
    for (name, value) in &envelope.extensions {
        if let Ok(value) = serde_json::from_str(value) {
            map.insert(name.clone().into_owned(), value);
        }
    }
    Value::Object(map)
}

/// Reads header lines, an empty line and a body back into an envelope (see `forms`).
fn binary_envelope(text: &str) -> Option<Envelope<'_>> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut envelope = Envelope::default();
    for line in head.split("\r\n") {
        let (name, value) = line.split_once(": ")?;
        if name == "content-type" {
            envelope.content_type = Some(Cow::Borrowed(value));
        } else if let Some(attribute) = name.strip_prefix("ce-") {
            let value = header_value(value.as_bytes())?;
            take_owned(&mut envelope, attribute, value);
        }
    }
    envelope.data = Some(Cow::Borrowed(body)).filter(|body| !body.trim().is_empty());
    Some(envelope)
}

fn take_owned(envelope: &mut Envelope<'_>, name: &str, value: String) {
    let slot = match name {
        "specversion" => &mut envelope.specversion,
        "id" => &mut envelope.id,
        "source" => &mut envelope.source,
        "type" => &mut envelope.event_type,
        "subject" => &mut envelope.subject,
        "time" => &mut envelope.time,
        "dataschema" => &mut envelope.data_schema,
        other => {
            let valid = other.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
            if valid && other != "data" {
                envelope.extensions.push((Cow::Owned(other.to_owned()), Cow::Owned(Value::String(value).to_string())));
            } else {
                let detail = "attribute names are lower-case ASCII letters and digits only";
                envelope.problems.push(problem("", "invalid_attribute_name", detail));
            }
            return;
        }
    };
    *slot = Some(Cow::Owned(value));
}

/// What two copies of one event must share: type, subject and data, whatever their time and form. `None` when the bytes
/// are not an event at all.
pub(super) fn fingerprint(raw: &[u8]) -> Option<Digest> {
    let text = std::str::from_utf8(raw).ok()?;
    let envelope = if text.starts_with('{') { Envelope::parse(text).ok()? } else { binary_envelope(text)? };
    let data = event_data(&envelope).ok()?;
    let mut canonical = Vec::with_capacity(raw.len());
    canonical_json(&data, &mut canonical).ok()?;
    let mut out = Vec::with_capacity(canonical.len() + 128);
    cbor::array(&mut out, 3);
    cbor::text(&mut out, envelope.event_type.as_deref().unwrap_or_default());
    cbor::text_or_null(&mut out, envelope.subject.as_deref());
    cbor::bytes(&mut out, &canonical);
    Some(sha256(&out))
}
