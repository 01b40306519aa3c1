//! Every event type this ledger knows: the files under `schemas/`, built into the program, and the customers' own types.
//!
//! A registry is a value: registering a type makes a new one, so readers never see half of a change. Nothing is fetched.

use std::sync::Arc;

use rust_embed::RustEmbed;
use serde_json::{Map, Value};

use crate::crypto::hash::{Digest, sha256};
use crate::domain::parts::RetentionClass;

use super::event_schema::EventSchema;
use super::node::CompileError;
use super::rules::RuleBreak;
use super::upcast::{UPCASTS, Upcast, steps};

#[derive(RustEmbed)]
#[folder = "schemas/"]
struct Files;

/// Longest schema that a customer may register, in bytes: what `schema.registered` can hold.
pub const CUSTOM_BYTES_MAX: usize = 48_000;
/// Classes that a customer's type may have.
const CUSTOM_CLASSES: [RetentionClass; 4] =
    [RetentionClass::Consent, RetentionClass::Contact, RetentionClass::Profile, RetentionClass::Billing];

/// Why a schema is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// It breaks rules of this project; the list is never empty.
    #[error("schema {name} breaks {} rules, first {}", .breaks.len(), first(.breaks))]
    Rules {
        /// Type and version.
        name: String,
        /// The rules.
        breaks: Vec<RuleBreak>,
    },
    /// It is not a JSON Schema.
    #[error("schema {name} does not compile")]
    Compile {
        /// Type and version.
        name: String,
        /// Where and why.
        #[source]
        source: CompileError,
    },
    /// A customer's schema is too large, or its name, class or version is not one that customers may use.
    #[error("custom schema refused: {0}")]
    Custom(String),
    /// Two files describe the same version.
    #[error("schema {0} exists already with other content")]
    Duplicate(String),
    /// Its first example is not an event of its type that passes.
    #[error("the first example of schema {name} {what}")]
    Example {
        /// Type and version.
        name: String,
        /// What is wrong with it.
        what: String,
    },
    /// Not `<type>.v<N>.json`.
    #[error("{0} is not named <type>.v<N>.json")]
    FileName(String),
    /// Not a JSON object.
    #[error("schema {0} is not a JSON object")]
    NotJson(String),
    /// A newer version exists, and nothing reads the older one as that.
    #[error("no upcast of {event_type} from version {from}")]
    UpcastMissing {
        /// The type.
        event_type: String,
        /// The version that cannot be read.
        from: u32,
    },
}

fn first(breaks: &[RuleBreak]) -> String {
    breaks.first().map(RuleBreak::to_string).unwrap_or_default()
}

/// The event types of one ledger.
#[derive(Debug, Clone)]
pub struct Registry {
    /// Sorted by type and version.
    all: Vec<Arc<EventSchema>>,
    /// The newest version of each type, sorted by type.
    newest: Vec<Arc<EventSchema>>,
    /// Sorted by digest.
    digests: Vec<Arc<EventSchema>>,
}

impl Registry {
    /// The types built into the program. Their rules are not checked here but by the tests, for every file: this runs at
    /// each start of each command.
    ///
    /// # Errors
    /// [`SchemaError`] if a file does not read or an upcast is missing.
    pub fn builtin() -> Result<Registry, SchemaError> {
        let files: Vec<_> = Files::iter()
            .filter(|name| name.ends_with(".json"))
            .filter_map(|name| Files::get(&name).map(|file| (name, file.data)))
            .collect();
        let read = files.iter().map(|(name, data)| read_file(name, data)).collect::<Result<_, _>>()?;
        Registry::assemble(read, UPCASTS)
    }

    /// The types of some files, given as name and content, and the steps between their versions. Checks every rule.
    ///
    /// # Errors
    /// [`SchemaError`] names the first file that is not taken.
    pub fn from_files<'a>(
        files: impl IntoIterator<Item = (&'a str, &'a [u8])>,
        upcasts: &[Upcast],
    ) -> Result<Registry, SchemaError> {
        let mut all = Vec::new();
        for (name, content) in files {
            all.push(checked(read_file(name, content)?)?);
        }
        Registry::assemble(all, upcasts)
    }

    fn assemble(mut all: Vec<EventSchema>, upcasts: &[Upcast]) -> Result<Registry, SchemaError> {
        all.sort_by(|a, b| (&a.event_type, a.version).cmp(&(&b.event_type, b.version)));
        let mut newest_version = 0;
        let mut newer_type = String::new();
        for schema in all.iter_mut().rev() {
            if schema.event_type != newer_type {
                newer_type.clone_from(&schema.event_type);
                newest_version = schema.version;
            }
            schema.upcasts = steps(upcasts, &schema.event_type, schema.version, newest_version)
                .map_err(|from| SchemaError::UpcastMissing { event_type: schema.event_type.clone(), from })?;
        }
        Registry::index(all.into_iter().map(Arc::new).collect())
    }

    /// `all` must be sorted by type and version.
    fn index(all: Vec<Arc<EventSchema>>) -> Result<Registry, SchemaError> {
        let mut newest: Vec<Arc<EventSchema>> = Vec::new();
        for schema in &all {
            match newest.last_mut().filter(|last| last.event_type == schema.event_type) {
                Some(last) if last.version == schema.version => return Err(SchemaError::Duplicate(schema.name())),
                Some(last) => last.clone_from(schema),
                None => newest.push(schema.clone()),
            }
        }
        let mut digests = all.clone();
        digests.sort_by_key(|schema| schema.digest);
        Ok(Registry { all, newest, digests })
    }

    /// The newest version of a type.
    pub fn current(&self, event_type: &str) -> Option<&Arc<EventSchema>> {
        let place = self.newest.binary_search_by(|schema| schema.event_type.as_str().cmp(event_type)).ok()?;
        self.newest.get(place)
    }

    /// One version of a type.
    pub fn version(&self, event_type: &str, version: u32) -> Option<&Arc<EventSchema>> {
        let wanted = (event_type, version);
        let place =
            self.all.binary_search_by(|schema| (schema.event_type.as_str(), schema.version).cmp(&wanted)).ok()?;
        self.all.get(place)
    }

    /// The schema that an entry names.
    pub fn by_digest(&self, digest: &Digest) -> Option<&Arc<EventSchema>> {
        let place = self.digests.binary_search_by_key(digest, |schema| schema.digest).ok()?;
        self.digests.get(place)
    }

    /// The file of a built-in schema, byte for byte as its digest was taken; none for a customer's own type.
    pub fn file_of(schema: &EventSchema) -> Option<Vec<u8>> {
        let file = Files::get(&format!("{}.json", schema.name()))?;
        (sha256(&file.data) == schema.digest).then(|| file.data.into_owned())
    }

    /// Every version of every type, sorted by both.
    pub fn all(&self) -> &[Arc<EventSchema>] {
        &self.all
    }

    /// This registry and one more customer's type, or one more version of it. Registering the same bytes again changes
    /// nothing, so that a log can be read twice.
    ///
    /// # Errors
    /// [`SchemaError`]; besides the rules for all: type `x.<name>`, class consent, contact, profile or billing, not only for
    /// the service, nothing public, at most [`CUSTOM_BYTES_MAX`], versions in order from 1, an example only if it passes.
    pub fn with_custom(&self, json: &[u8]) -> Result<Registry, SchemaError> {
        if self.by_digest(&sha256(json)).is_some() {
            return Ok(self.clone());
        }
        if json.len() > CUSTOM_BYTES_MAX {
            return Err(SchemaError::Custom(format!("larger than {CUSTOM_BYTES_MAX} bytes")));
        }
        let document = parse(json, "x.")?;
        let event_type = document.get("x-type").and_then(Value::as_str).filter(|name| is_custom_type(name));
        let event_type = event_type.ok_or_else(|| {
            SchemaError::Custom("x-type must be x.<name> in lower case, digits and _, at most 64".into())
        })?;
        let newest = self.current(event_type).map_or(0, |schema| schema.version);
        let version = document.get("x-version").and_then(Value::as_u64).and_then(|version| u32::try_from(version).ok());
        if version != newest.checked_add(1) {
            return Err(SchemaError::Custom(format!("x-version must be {}", u64::from(newest) + 1)));
        }
        let schema = checked(EventSchema::new(event_type, newest + 1, sha256(json), document.clone())?)?;
        if schema.service || schema.public || !CUSTOM_CLASSES.contains(&schema.class) {
            let what = "x-service and x-public must be false, x-class consent, contact, profile or billing";
            return Err(SchemaError::Custom(what.into()));
        }
        if schema.example().is_some() {
            schema.check_example()?;
        }
        let mut all = self.all.clone();
        let wanted = (schema.event_type.clone(), schema.version);
        let place = all.partition_point(|known| (&known.event_type, known.version) < (&wanted.0, wanted.1));
        all.insert(place, Arc::new(schema));
        Registry::index(all)
    }
}

fn read_file(name: &str, content: &[u8]) -> Result<EventSchema, SchemaError> {
    let (event_type, version) = parse_file_name(name).ok_or_else(|| SchemaError::FileName(name.to_owned()))?;
    EventSchema::new(event_type, version, sha256(content), parse(content, name)?)
}

/// The schema again, if it keeps the rules and is a JSON Schema.
fn checked(schema: EventSchema) -> Result<EventSchema, SchemaError> {
    let breaks = schema.broken_rules();
    if !breaks.is_empty() {
        return Err(SchemaError::Rules { name: schema.name(), breaks });
    }
    if let Err(source) = schema.reference() {
        return Err(SchemaError::Compile { name: schema.name(), source: source.clone() });
    }
    Ok(schema)
}

fn parse(content: &[u8], name: &str) -> Result<Map<String, Value>, SchemaError> {
    serde_json::from_slice(content).map_err(|_| SchemaError::NotJson(name.to_owned()))
}

/// `<type>.v<N>.json`, N from 1 without leading zeros.
fn parse_file_name(name: &str) -> Option<(&str, u32)> {
    let (event_type, version) = name.strip_suffix(".json")?.rsplit_once(".v")?;
    let parsed = version.parse().ok().filter(|parsed: &u32| *parsed > 0 && parsed.to_string() == version)?;
    event_type.contains('.').then_some((event_type, parsed))
}

fn is_custom_type(name: &str) -> bool {
    let word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    name.len() <= 64
        && name.strip_prefix("x.").is_some_and(|rest| rest.split('.').count() <= 4 && rest.split('.').all(word))
}
