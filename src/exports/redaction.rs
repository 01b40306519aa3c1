//! What of an export's sealed parts is shown: redaction profiles (`policies/redaction.toml`) and a caller's own rules.
//!
//! Promises: the first rule that fits decides; what no rule shows stays sealed; a field is shown only by its pointer or by a
//! category that its own schema gives it. Must never widen what a profile shows: it is asked after the profile, and only
//! for parts that the profile opens.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::domain::parts::PartKind;
use crate::schema::{EventSchema, FieldNote};

const TEXT: &str = include_str!("../../policies/redaction.toml");
/// Most rules of one set, most names of one rule: far above any use.
const RULES_MAX: usize = 1_000;

/// Rules by which parts and fields are shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redaction {
    /// Whom it is for, in words.
    #[serde(default)]
    pub about: String,
    /// What holds where no rule fits; not `fields`.
    pub otherwise: Show,
    /// In the order in which they are asked.
    #[serde(default, rename = "rule")]
    pub rules: Vec<RedactionRule>,
}

/// One rule; what it does not name, it does not ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedactionRule {
    /// Exact types, or families (`consent.*`).
    #[serde(default)]
    pub types: Vec<String>,
    /// Positions of entries.
    #[serde(default)]
    pub positions: Vec<u64>,
    /// `business`, `personal`, `raw`.
    #[serde(default)]
    pub parts: Vec<PartKind>,
    /// What is shown where it fits.
    pub show: Show,
    /// Pointers into a personal part, with `show = "fields"`.
    #[serde(default)]
    pub fields: Vec<String>,
    /// Fideslang categories, with `show = "fields"`.
    #[serde(default)]
    pub categories: Vec<String>,
}

/// How much of a part is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Show {
    /// Single fields of a personal part.
    Fields,
    /// Nothing.
    None,
    /// All of it.
    Whole,
}

/// Why rules cannot be taken. Names members and numbers, never values of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedactionError {
    /// Not the members that belong there.
    #[error("the rules are not in their form: {0}")]
    Form(String),
    /// A rule that cannot mean anything.
    #[error("rule {number}: {what}")]
    Rule {
        /// Which, from 1; 0 for what holds where none fits.
        number: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// No profile has this name.
    #[error("unknown redaction profile; known are {0}")]
    Unknown(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    profile: BTreeMap<String, Redaction>,
}

/// The sealed part that is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Type of its entry.
    pub event_type: &'a str,
    /// Position of its entry.
    pub position: u64,
    /// What it is.
    pub kind: PartKind,
    /// The entry's schema, if this ledger knows it.
    pub schema: Option<&'a EventSchema>,
}

/// The answer about one part.
#[derive(Debug, Clone)]
pub enum Verdict<'a> {
    /// Only those fields that [`Chosen::shows`].
    Fields(Chosen<'a>),
    /// Nothing.
    None,
    /// All of it.
    Whole,
}

/// Chooses fields of one part.
#[derive(Debug, Clone)]
pub struct Chosen<'a> {
    rule: &'a RedactionRule,
    /// What the entry's schema says of its fields; empty where the rule names no category.
    notes: Vec<FieldNote>,
}

impl Redaction {
    /// A profile that ships.
    ///
    /// # Errors
    /// [`RedactionError::Unknown`] names those that there are.
    pub fn named(name: &str) -> Result<Redaction, RedactionError> {
        let file: File = toml::from_str(TEXT).map_err(|error| RedactionError::Form(error.message().to_owned()))?;
        if file.version != 1 {
            return Err(RedactionError::Form("another version".to_owned()));
        }
        let known = file.profile.keys().cloned().collect::<Vec<_>>().join(", ");
        let found = file.profile.into_iter().find(|(known, _)| known == name).map(|(_, redaction)| redaction);
        found.ok_or(RedactionError::Unknown(known))?.checked()
    }

    /// Rules that a caller brings, in the members of one profile.
    ///
    /// # Errors
    /// [`RedactionError`] says what cannot be meant.
    pub fn from_json(bytes: &[u8]) -> Result<Redaction, RedactionError> {
        let read: Result<Redaction, serde_json::Error> = serde_json::from_slice(bytes);
        let form =
            |error: serde_json::Error| RedactionError::Form(format!("line {} column {}", error.line(), error.column()));
        read.map_err(form)?.checked()
    }

    /// Checks rules that were read as part of something else.
    ///
    /// # Errors
    /// [`RedactionError::Rule`].
    pub fn checked(self) -> Result<Redaction, RedactionError> {
        if self.otherwise == Show::Fields {
            return Err(RedactionError::Rule { number: 0, what: "`otherwise` is whole or none" });
        }
        if self.rules.len() > RULES_MAX {
            return Err(RedactionError::Rule { number: RULES_MAX, what: "more rules than can be taken" });
        }
        for (number, rule) in (1..).zip(&self.rules) {
            rule.check().map_err(|what| RedactionError::Rule { number, what })?;
        }
        Ok(self)
    }

    /// What is shown of a part.
    pub fn verdict<'a>(&'a self, asked: &Asked<'a>) -> Verdict<'a> {
        let rule = self.rules.iter().find(|rule| rule.fits(asked));
        match (rule, rule.map_or(self.otherwise, |rule| rule.show)) {
            (_, Show::Whole) => Verdict::Whole,
            (Some(rule), Show::Fields) => {
                let schema = asked.schema.filter(|_| !rule.categories.is_empty());
                Verdict::Fields(Chosen { rule, notes: schema.map(EventSchema::fields).unwrap_or_default() })
            }
            (_, Show::None) | (None, Show::Fields) => Verdict::None,
        }
    }
}

impl FromStr for Redaction {
    type Err = RedactionError;

    fn from_str(name: &str) -> Result<Redaction, RedactionError> {
        Redaction::named(name)
    }
}

impl RedactionRule {
    fn check(&self) -> Result<(), &'static str> {
        if self.parts.contains(&PartKind::Public) {
            return Err("`parts` are business, personal and raw: what is public was never sealed");
        }
        let chosen = self.fields.len() + self.categories.len();
        match self.show {
            Show::Fields if self.parts != [PartKind::Personal] => {
                Err("single fields are shown of personal parts only: `parts` is [\"personal\"]")
            }
            Show::Fields if chosen == 0 => Err("`fields` or `categories` say which fields are shown"),
            Show::Fields if self.fields.iter().any(|field| !field.starts_with('/')) => {
                Err("`fields` are RFC 6901 pointers and begin with /")
            }
            Show::None | Show::Whole if chosen > 0 => Err("`fields` and `categories` go with `show` fields"),
            Show::Fields | Show::None | Show::Whole => Ok(()),
        }
    }

    fn fits(&self, asked: &Asked<'_>) -> bool {
        let kind = self.parts.is_empty() || self.parts.contains(&asked.kind);
        let event_type = self.types.is_empty() || self.types.iter().any(|named| is_of(asked.event_type, named));
        let position = self.positions.is_empty() || self.positions.contains(&asked.position);
        kind && event_type && position
    }
}

impl Chosen<'_> {
    /// Whether the field at a pointer into the part is shown.
    pub fn shows(&self, pointer: &str) -> bool {
        self.rule.fields.iter().any(|named| is_at_or_below(pointer, named, '/')) || self.by_category(pointer)
    }

    fn by_category(&self, pointer: &str) -> bool {
        let category = pointer.strip_prefix("/data").and_then(|pointer| category_of(&self.notes, pointer));
        category.is_some_and(|of| self.rule.categories.iter().any(|named| is_at_or_below(of, named, '.')))
    }
}

/// Category of the field at a pointer into the data: that of the note at it, or of the nearest above it.
pub fn category_of<'a>(notes: &'a [FieldNote], pointer: &str) -> Option<&'a str> {
    let above = |note: &&FieldNote| {
        let mut segments = pointer.split('/');
        note.pointer.split('/').all(|named| segments.next().is_some_and(|segment| named == "*" || named == segment))
    };
    notes.iter().filter(above).max_by_key(|note| note.pointer.len())?.category.as_deref()
}

/// `consent.granted` is of `consent.granted` and of `consent.*`.
fn is_of(event_type: &str, named: &str) -> bool {
    match named.strip_suffix(".*") {
        Some(family) => event_type.strip_prefix(family).is_some_and(|rest| rest.starts_with('.')),
        None => event_type == named,
    }
}

fn is_at_or_below(path: &str, named: &str, separator: char) -> bool {
    path.strip_prefix(named).is_some_and(|rest| rest.is_empty() || rest.starts_with(separator))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Registry;

    fn asked<'a>(event_type: &'a str, kind: PartKind, schema: Option<&'a EventSchema>) -> Asked<'a> {
        Asked { event_type, position: 7, kind, schema }
    }

    #[test]
    fn profiles_that_ship_can_be_read() {
        for name in ["counsel", "regulator", "counterparty"] {
            assert!(!Redaction::named(name).unwrap().about.is_empty());
        }
        let unknown = Redaction::named("everybody").unwrap_err();
        assert_eq!(unknown, RedactionError::Unknown("counsel, counterparty, regulator".to_owned()));
    }

    #[test]
    fn first_rule_that_fits_decides() {
        let rules = br#"{"otherwise":"none","rule":[
            {"types":["consent.*"],"parts":["personal"],"show":"fields","fields":["/data/name"]},
            {"types":["consent.granted"],"show":"whole"},
            {"positions":[7],"parts":["raw"],"show":"whole"}]}"#;
        let rules = Redaction::from_json(rules).unwrap();
        let verdict = |event_type, kind| rules.verdict(&asked(event_type, kind, None));
        assert!(matches!(verdict("consent.granted", PartKind::Business), Verdict::Whole));
        assert!(matches!(verdict("consent.revoked", PartKind::Business), Verdict::None));
        assert!(matches!(verdict("contact.received", PartKind::Raw), Verdict::Whole));
        let Verdict::Fields(chosen) = verdict("consent.granted", PartKind::Personal) else { panic!("not by field") };
        assert!(chosen.shows("/data/name") && chosen.shows("/data/name/0"));
        assert!(!chosen.shows("/data/names") && !chosen.shows("/data"));
        assert!(matches!(verdict("consents.granted", PartKind::Personal), Verdict::None));
    }

    #[test]
    fn counterparty_sees_no_contact_data_and_no_field_that_no_schema_describes() {
        let registry = Registry::builtin().unwrap();
        let schema = registry.current("consent.granted").unwrap();
        let rules = Redaction::named("counterparty").unwrap();
        let Verdict::Fields(chosen) = rules.verdict(&asked("consent.granted", PartKind::Personal, Some(schema))) else {
            panic!("not by field")
        };
        assert!(chosen.shows("/data/evidence/text"));
        for hidden in ["/data/phone", "/data/evidence/ip", "/data/name", "/data/unknown", "/attributes/id"] {
            assert!(!chosen.shows(hidden), "{hidden}");
        }
        assert!(matches!(rules.verdict(&asked("consent.granted", PartKind::Raw, Some(schema))), Verdict::None));
        let regulator = Redaction::named("regulator").unwrap();
        let Verdict::Fields(chosen) = regulator.verdict(&asked("consent.granted", PartKind::Personal, Some(schema)))
        else {
            panic!("not by field")
        };
        assert!(chosen.shows("/data/phone") && !chosen.shows("/data/evidence/ip") && !chosen.shows("/data/unknown"));
    }

    #[test]
    fn rules_that_cannot_be_meant_are_refused() {
        for (rules, what) in [
            (r#"{"otherwise":"fields"}"#, "whole or none"),
            (r#"{"otherwise":"none","rule":[{"show":"fields","fields":["/a"]}]}"#, "personal parts only"),
            (r#"{"otherwise":"none","rule":[{"show":"fields","parts":["personal"]}]}"#, "say which fields"),
            (r#"{"otherwise":"none","rule":[{"show":"fields","parts":["personal"],"fields":["a"]}]}"#, "begin with /"),
            (r#"{"otherwise":"none","rule":[{"show":"none","fields":["/a"]}]}"#, "go with"),
            (r#"{"otherwise":"none","rule":[{"show":"none","parts":["public"]}]}"#, "never sealed"),
            (r#"{"otherwise":"none","rules":[]}"#, "form"),
            (r#"{}"#, "form"),
        ] {
            let error = Redaction::from_json(rules.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(what), "{rules}: {error}");
        }
    }
}
