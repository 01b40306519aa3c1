//! How long keys live, by retention class: `policies/retention.toml`, read once.
//!
//! Promises: every class has exactly one row; an end is never earlier than the row's days after the end of the key's
//! quarter. Pure: no clock, no IO.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;

use crate::crypto::hash::{Digest, sha256};
use crate::domain::parts::RetentionClass;
use crate::domain::time::{Quarter, Timestamp};

const TEXT: &str = include_str!("../../policies/retention.toml");

/// A policy file that does not say what it must.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PolicyError(pub String);

/// From when a class's days run for personal and raw parts; business parts always from the end of the quarter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassClock {
    /// End of the quarter of recording.
    QuarterEnd,
    /// End of the consent: revoked, expired, or the last contact that relied on it.
    LastUse,
    /// Last event of the person.
    LastActivity,
    /// End of the matter.
    Closed,
    /// Receipt of the item.
    Received,
}

/// One class.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassRule {
    /// Days; none where the class has no end.
    #[serde(default)]
    pub days: Option<u32>,
    /// No end by time.
    #[serde(default)]
    pub never: bool,
    /// From when the days run.
    #[serde(default)]
    pub clock: Option<ClassClock>,
    /// Families that are re-recorded before business keys end.
    #[serde(default)]
    pub carry: Vec<String>,
    /// Where the rule comes from.
    pub source: String,
}

/// The file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    class: BTreeMap<RetentionClass, ClassRule>,
}

/// All classes.
#[derive(Debug, Clone)]
pub struct Retention {
    classes: BTreeMap<RetentionClass, ClassRule>,
    digest: Digest,
}

impl Retention {
    /// Reads the form of `policies/retention.toml`.
    ///
    /// # Errors
    /// [`PolicyError`] names the class that is missing, repeated or contradicts itself.
    pub fn parse(text: &str) -> Result<Retention, PolicyError> {
        let file: File = toml::from_str(text).map_err(|error| PolicyError(error.to_string()))?;
        if file.version != 1 {
            return Err(PolicyError("version is not 1".to_owned()));
        }
        for class in RetentionClass::ALL {
            let rule = file.class.get(&class).ok_or_else(|| PolicyError(format!("class {class} has no row")))?;
            if rule.never == rule.days.is_some() {
                return Err(PolicyError(format!("class {class}: either days or never")));
            }
        }
        Ok(Retention { classes: file.class, digest: sha256(text.as_bytes()) })
    }

    /// The rules of this program.
    ///
    /// # Errors
    /// None in practice: a test reads the file.
    pub fn builtin() -> Result<&'static Retention, PolicyError> {
        static RULES: OnceLock<Result<Retention, PolicyError>> = OnceLock::new();
        RULES.get_or_init(|| Retention::parse(TEXT)).as_ref().map_err(Clone::clone)
    }

    /// The rule of a class; none where this version has no row, which [`Retention::parse`] refuses.
    pub fn rule(&self, class: RetentionClass) -> Option<&ClassRule> {
        self.classes.get(&class)
    }

    /// SHA-256 of the file.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// When a key of a class and quarter ends at the earliest; none if it never does.
    pub fn end(&self, class: RetentionClass, quarter: Quarter) -> Option<Timestamp> {
        let days = self.rule(class)?.days?;
        quarter.end().checked_add_days(i64::from(days))
    }

    /// Whether the days of a key of a class and quarter are over.
    pub fn is_over(&self, class: RetentionClass, quarter: Quarter, now: Timestamp) -> bool {
        self.end(class, quarter).is_some_and(|end| now >= end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn the_file_is_whole_and_ends_are_exact() {
        let rules = Retention::builtin().unwrap();
        let quarter = Quarter::of(time("2026-11-20T12:00:00Z"));
        assert_eq!(rules.end(RetentionClass::Raw, quarter), Some(time("2027-04-01T00:00:00Z")));
        assert!(!rules.is_over(RetentionClass::Raw, quarter, time("2027-03-31T23:59:59.999999Z")));
        assert!(rules.is_over(RetentionClass::Raw, quarter, time("2027-04-01T00:00:00Z")));
        assert_eq!(rules.end(RetentionClass::Suppression, quarter), None);
        assert_eq!(rules.end(RetentionClass::System, quarter), None);
    }

    #[test]
    fn a_class_without_a_row_or_with_two_ends_is_refused() {
        let without = TEXT.replace("[class.contact]", "[class.contacts]");
        assert!(Retention::parse(&without).is_err());
        let both = TEXT.replacen("days = 90", "days = 90\nnever = true", 1);
        assert!(Retention::parse(&both).unwrap_err().0.contains("either days or never"));
        assert!(Retention::parse(&TEXT.replace("version = 1", "version = 2")).is_err());
    }
}
