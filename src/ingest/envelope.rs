//! Reading a CloudEvents 1.0 envelope from JSON text without building a tree of it: attributes borrow from the body, the
//! data stays text until its schema is known.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::schema::FieldProblem;

/// Longest attribute value, in bytes: far above what sources, ids and types need.
const ATTRIBUTE_BYTES_MAX: usize = 2048;
/// Longest attribute name (CloudEvents 1.0, "Attribute Naming Convention", recommends 20).
const NAME_BYTES_MAX: usize = 64;

/// The attributes of one event as given; nothing is checked but their form.
#[derive(Debug, Default)]
pub struct Envelope<'a> {
    /// `specversion`.
    pub specversion: Option<Cow<'a, str>>,
    /// `id`.
    pub id: Option<Cow<'a, str>>,
    /// `source`.
    pub source: Option<Cow<'a, str>>,
    /// `type`.
    pub event_type: Option<Cow<'a, str>>,
    /// `subject`.
    pub subject: Option<Cow<'a, str>>,
    /// `time`.
    pub time: Option<Cow<'a, str>>,
    /// `datacontenttype`.
    pub content_type: Option<Cow<'a, str>>,
    /// `dataschema`.
    pub data_schema: Option<Cow<'a, str>>,
    /// `data`, as text.
    pub data: Option<Cow<'a, str>>,
    /// `data_base64`.
    pub data_base64: Option<Cow<'a, str>>,
    /// Every other attribute, as JSON text.
    pub extensions: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// What is wrong with the attributes' form.
    pub problems: Vec<FieldProblem>,
}

/// Builds a problem about an attribute.
pub fn problem(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> FieldProblem {
    FieldProblem { pointer: pointer.into(), code, detail: detail.into() }
}

impl<'a> Envelope<'a> {
    /// Reads an envelope from a JSON object.
    ///
    /// # Errors
    /// The JSON reader's reason when the text is not one JSON object.
    pub fn parse(text: &'a str) -> Result<Envelope<'a>, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Takes one attribute by name. `value` is JSON text; `null` counts as absent (CloudEvents JSON format 2.2).
    pub(super) fn take(&mut self, name: Cow<'a, str>, value: &'a str) {
        if value == "null" {
            return;
        }
        if self.has(&name) {
            // Readers disagree about which one counts, so none does.
            self.problems.push(problem(format!("/{name}"), "attribute_repeated", "this attribute stands twice"));
            return;
        }
        match name.as_ref() {
            "data" => self.data = Some(Cow::Borrowed(value)),
            "data_base64" => self.data_base64 = self.text(&name, value),
            "specversion" => self.specversion = self.text(&name, value),
            "id" => self.id = self.text(&name, value),
            "source" => self.source = self.text(&name, value),
            "type" => self.event_type = self.text(&name, value),
            "subject" => self.subject = self.text(&name, value),
            "time" => self.time = self.text(&name, value),
            "datacontenttype" => self.content_type = self.text(&name, value),
            "dataschema" => self.data_schema = self.text(&name, value),
            other => {
                let valid = !other.is_empty()
                    && other.len() <= NAME_BYTES_MAX
                    && other.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
                if !valid {
                    let detail = "attribute names are lower-case ASCII letters and digits only";
                    self.problems.push(problem("", "invalid_attribute_name", detail));
                } else if value.starts_with(['{', '[']) {
                    let detail = "an extension attribute is a string, number or boolean";
                    self.problems.push(problem(format!("/{other}"), "invalid_attribute_type", detail));
                } else if value.len() > ATTRIBUTE_BYTES_MAX {
                    let detail = format!("longer than {ATTRIBUTE_BYTES_MAX} bytes");
                    self.problems.push(problem(format!("/{other}"), "attribute_too_long", detail));
                } else {
                    self.extensions.push((name, Cow::Borrowed(value)));
                }
            }
        }
    }

    fn has(&self, name: &str) -> bool {
        match name {
            "data" => self.data.is_some(),
            "data_base64" => self.data_base64.is_some(),
            "specversion" => self.specversion.is_some(),
            "id" => self.id.is_some(),
            "source" => self.source.is_some(),
            "type" => self.event_type.is_some(),
            "subject" => self.subject.is_some(),
            "time" => self.time.is_some(),
            "datacontenttype" => self.content_type.is_some(),
            "dataschema" => self.data_schema.is_some(),
            other => self.extensions.iter().any(|(known, _)| known == other),
        }
    }

    fn text(&mut self, name: &str, value: &'a str) -> Option<Cow<'a, str>> {
        let text = json_text(value);
        match &text {
            None => {
                let detail = "this attribute is a string";
                self.problems.push(problem(format!("/{name}"), "invalid_attribute_type", detail));
            }
            Some(text) if name != "data_base64" && text.len() > ATTRIBUTE_BYTES_MAX => {
                let detail = format!("longer than {ATTRIBUTE_BYTES_MAX} bytes");
                self.problems.push(problem(format!("/{name}"), "attribute_too_long", detail));
            }
            Some(_) => {}
        }
        text
    }
}

/// A JSON string's text, borrowed when it has no escapes.
fn json_text(value: &str) -> Option<Cow<'_, str>> {
    let inner = value.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str::<String>(value).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

struct EnvelopeVisitor;

impl<'de> Visitor<'de> for EnvelopeVisitor {
    type Value = Envelope<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope<'de>, A::Error> {
        let mut envelope = Envelope::default();
        while let Some(name) = map.next_key::<Name<'de>>()? {
            let value = map.next_value::<&'de RawValue>()?;
            envelope.take(name.0, value.get());
        }
        Ok(envelope)
    }
}

impl<'de> Deserialize<'de> for Envelope<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Envelope<'de>, D::Error> {
        deserializer.deserialize_map(EnvelopeVisitor)
    }
}
