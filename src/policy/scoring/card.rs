//! A score card: which acts and features count how much, within which bounds, and where bands begin.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::crypto::hash::{Digest, sha256};

/// Rules of one card: what one score weighs.
const RULES_MAX: usize = 200;
/// Greatest number of points either way.
pub(super) const POINTS_MAX: i64 = 100_000;
/// Newest acts of a kind that one rule counts.
const TIMES_MAX: u32 = 50;
/// Longest age that a card can speak of, in days.
const DAYS_MAX: u32 = 3_650;
const DAY_SECONDS: u64 = 86_400;

/// The card of this build.
pub const TEXT: &str = include_str!("../../../policies/scoring.toml");

/// An act of a person's history that points can be given for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// A call that a person answered.
    AnsweredCall,
    /// An appointment booked.
    Booking,
    /// A click by hand.
    Click,
    /// Consent given.
    Consent,
    /// A lead came in.
    Lead,
    /// An appointment that the person did not keep.
    NoShow,
    /// Money went back.
    Refund,
    /// A message of the person's own that is no wish to stop.
    Reply,
    /// A sale.
    Sale,
    /// An appointment kept.
    Show,
    /// A wish to stop.
    Stop,
}

/// A card that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// SHA-256 of its text: what scores cite.
    pub digest: Digest,
    /// Its version, for people.
    pub version: String,
    /// Points that everybody has.
    pub base: i64,
    /// What callers may state.
    pub features: Vec<Feature>,
    /// Bounds of sums.
    pub groups: Vec<Group>,
    /// Its rules, in order.
    pub rules: Vec<Rule>,
    /// Bands, the highest first.
    pub bands: Vec<Band>,
}

/// What a caller may state of a lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Feature {
    /// A whole number within bounds, both included.
    Number {
        /// Its name.
        name: String,
        /// Least.
        from: i64,
        /// Greatest.
        to: i64,
    },
    /// One of some words.
    Word {
        /// Its name.
        name: String,
        /// The words.
        words: Vec<String>,
    },
}

impl Feature {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Feature::Number { name, .. } | Feature::Word { name, .. } => name,
        }
    }
}

/// Bounds of the sum of some rules.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Least sum.
    pub min: Option<i64>,
    /// Greatest sum.
    pub max: Option<i64>,
}

/// One reason to give or take points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its id: the code of the reason.
    pub id: String,
    /// Place of its group among the card's.
    pub group: Option<usize>,
    /// Points, once.
    pub points: i64,
    /// When they are given.
    pub when: Condition,
}

/// When a rule gives its points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// For acts of the person.
    Acts {
        /// Which.
        act: Act,
        /// Seconds of age up to which one counts.
        within: Option<u64>,
        /// Seconds in which its points halve.
        half_life: Option<u64>,
        /// How many of the newest count.
        times: u32,
    },
    /// For a number within bounds, both included.
    Number {
        /// Its feature.
        feature: String,
        /// Least.
        from: Option<i64>,
        /// Greatest.
        to: Option<i64>,
    },
    /// For one of some words.
    Word {
        /// Its feature.
        feature: String,
        /// The words.
        words: Vec<String>,
    },
}

/// A band of scores.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Band {
    /// Its name, such as A or B2.
    pub name: String,
    /// Least score; none: all that is left.
    pub from: Option<i64>,
}

/// Which part of a card is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CardError {
    /// Not a card at all.
    #[error("the card does not read: {0}")]
    Text(String),
    /// A part of it.
    #[error("{0}: {1}")]
    Part(String, &'static str),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    pack: String,
    version: String,
    #[serde(default)]
    base: i64,
    #[serde(default)]
    feature: Vec<FeatureText>,
    #[serde(default)]
    group: Vec<Group>,
    #[serde(default)]
    rule: Vec<RuleText>,
    #[serde(default)]
    band: Vec<Band>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FeatureText {
    name: String,
    kind: Kind,
    from: Option<i64>,
    to: Option<i64>,
    #[serde(default)]
    words: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Number,
    Word,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    id: String,
    group: Option<String>,
    points: i64,
    act: Option<Act>,
    within_days: Option<u32>,
    half_life_days: Option<u32>,
    times: Option<u32>,
    feature: Option<String>,
    is: Option<Vec<String>>,
    from: Option<i64>,
    to: Option<i64>,
}

/// The card of this build; none if it does not read.
pub fn builtin() -> Option<&'static Card> {
    static CARD: LazyLock<Option<Card>> = LazyLock::new(|| Card::parse(TEXT).ok());
    CARD.as_ref()
}

fn part<T>(of: &str, what: &'static str) -> Result<T, CardError> {
    Err(CardError::Part(of.to_owned(), what))
}

fn is_id(text: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    text.len() <= 64 && text.bytes().all(inside) && text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
}

impl Card {
    /// Reads a card.
    ///
    /// # Errors
    /// [`CardError`] names the first part that is wrong.
    pub fn parse(text: &str) -> Result<Card, CardError> {
        let file: File = toml::from_str(text).map_err(|error| CardError::Text(error.to_string()))?;
        if file.pack != "scoring" {
            return part("pack", "must be scoring");
        }
        if !is_id(&file.version) {
            return part("version", "is letters, digits, . _ - and at most 64 of them");
        }
        if !(-POINTS_MAX..=POINTS_MAX).contains(&file.base) {
            return part("base", "is at most 100,000 points either way");
        }
        if file.rule.len() > RULES_MAX {
            return part("rule", "there are more than 200");
        }
        let features = file.feature.into_iter().map(feature_of).collect::<Result<Vec<Feature>, CardError>>()?;
        unique(features.iter().map(Feature::name))?;
        unique(file.group.iter().map(|group| group.name.as_str()))?;
        unique(file.rule.iter().map(|rule| rule.id.as_str()))?;
        unique(file.band.iter().map(|band| band.name.as_str()))?;
        for group in &file.group {
            check_group(group)?;
        }
        let rules = file.rule.into_iter().map(|rule| rule_of(rule, &features, &file.group));
        let rules = rules.collect::<Result<Vec<Rule>, CardError>>()?;
        check_bands(&file.band)?;
        let digest = sha256(text.as_bytes());
        Ok(Card {
            digest,
            version: file.version,
            base: file.base,
            features,
            groups: file.group,
            rules,
            bands: file.band,
        })
    }

    /// The band of a score.
    pub fn band(&self, score: i64) -> Option<&str> {
        let band = self.bands.iter().find(|band| band.from.is_none_or(|from| score >= from));
        band.map(|band| band.name.as_str())
    }
}

fn unique<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), CardError> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !is_id(name) {
            return part(name, "is letters, digits, . _ - and at most 64 of them");
        }
        if !seen.insert(name) {
            return part(name, "stands twice");
        }
    }
    Ok(())
}

fn feature_of(text: FeatureText) -> Result<Feature, CardError> {
    let name = text.name;
    match text.kind {
        Kind::Number if !text.words.is_empty() => part(&name, "a number has no words"),
        Kind::Number => match (text.from, text.to) {
            (Some(from), Some(to)) if from <= to => Ok(Feature::Number { name, from, to }),
            _ => part(&name, "a number has from and to, from not above to"),
        },
        Kind::Word if text.from.is_some() || text.to.is_some() => part(&name, "a word has no bounds"),
        Kind::Word if text.words.is_empty() => part(&name, "a word has words to choose from"),
        Kind::Word => {
            unique(text.words.iter().map(String::as_str))?;
            Ok(Feature::Word { name, words: text.words })
        }
    }
}

fn check_group(group: &Group) -> Result<(), CardError> {
    // A group whose bounds leave out 0 would give points to whom no rule speaks of.
    if group.min.is_some_and(|min| min > 0) || group.max.is_some_and(|max| max < 0) {
        return part(&group.name, "0 lies within the bounds of a group");
    }
    if group.min.is_none() && group.max.is_none() {
        return part(&group.name, "a group has min or max");
    }
    Ok(())
}

fn check_bands(bands: &[Band]) -> Result<(), CardError> {
    let form = |name: &str| match name.as_bytes() {
        [letter] => letter.is_ascii_uppercase(),
        [letter, digit] => letter.is_ascii_uppercase() && digit.is_ascii_digit(),
        _ => false,
    };
    let mut above: Option<i64> = None;
    for (at, band) in bands.iter().enumerate() {
        if !form(&band.name) {
            return part(&band.name, "a band is a capital letter, and at most a digit");
        }
        match band.from {
            Some(from) if above.is_some_and(|above| from >= above) => {
                return part(&band.name, "bands go from the highest down");
            }
            None if at + 1 != bands.len() => return part(&band.name, "only the last band has no from"),
            from => above = from,
        }
    }
    Ok(())
}

fn rule_of(text: RuleText, features: &[Feature], groups: &[Group]) -> Result<Rule, CardError> {
    let RuleText { id, group, points, act, within_days, half_life_days, times, feature, is, from, to } = text;
    if points == 0 || !(-POINTS_MAX..=POINTS_MAX).contains(&points) {
        return part(&id, "points are not 0, and at most 100,000 either way");
    }
    let place = match group {
        None => None,
        Some(name) => match groups.iter().position(|group| group.name == name) {
            Some(place) => Some(place),
            None => return part(&id, "names a group that there is not"),
        },
    };
    let timed = within_days.is_some() || half_life_days.is_some() || times.is_some();
    let bounded = from.is_some() || to.is_some();
    let when = match (act, feature) {
        (Some(act), None) if is.is_none() && !bounded => acts_of(&id, act, within_days, half_life_days, times)?,
        (None, Some(name)) if !timed => {
            let Some(known) = features.iter().find(|feature| feature.name() == name) else {
                return part(&id, "names a feature that the card does not declare");
            };
            match (known, is) {
                (Feature::Number { .. }, None) if bounded && from.zip(to).is_none_or(|(from, to)| from <= to) => {
                    Condition::Number { feature: name, from, to }
                }
                (Feature::Word { words: known, .. }, Some(words)) if !bounded && !words.is_empty() => {
                    if words.iter().any(|word| !known.contains(word)) {
                        return part(&id, "names a word that the feature has not");
                    }
                    Condition::Word { feature: name, words }
                }
                _ => return part(&id, "a number takes from and to, a word takes is"),
            }
        }
        _ => return part(&id, "looks at an act or at a feature, each with its own members"),
    };
    Ok(Rule { id, group: place, points, when })
}

fn acts_of(
    id: &str,
    act: Act,
    within: Option<u32>,
    half_life: Option<u32>,
    times: Option<u32>,
) -> Result<Condition, CardError> {
    if [within, half_life].iter().flatten().any(|days| !(1..=DAYS_MAX).contains(days)) {
        return part(id, "days are from 1 to 3,650");
    }
    let times = times.unwrap_or(1);
    if !(1..=TIMES_MAX).contains(&times) {
        return part(id, "times is from 1 to 50");
    }
    let seconds = |days: u32| u64::from(days) * DAY_SECONDS;
    Ok(Condition::Acts { act, within: within.map(seconds), half_life: half_life.map(seconds), times })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Card::parse(&format!("pack='scoring'\nversion='1'\n{text}")).unwrap_err().to_string()
    }

    #[test]
    fn the_shipped_card_reads_and_cites_its_own_text() {
        let card = builtin().unwrap();
        assert_eq!((card.rules.len(), card.bands.len(), card.digest), (9, 4, sha256(TEXT.as_bytes())));
    }

    #[test]
    fn each_wrong_part_is_named() {
        let number = "[[feature]]\nname='n'\nkind='number'\nfrom=0\nto=9\n";
        let word = "[[feature]]\nname='w'\nkind='word'\nwords=['a']\n";
        let cases = [
            ("[[rule]]\nid='r'\npoints=0\nact='reply'".to_owned(), "r: points are not 0"),
            ("[[rule]]\nid='r'\npoints=1".to_owned(), "r: looks at an act or at a feature"),
            ("[[rule]]\nid='r'\npoints=1\nact='reply'\nfrom=1".to_owned(), "r: looks at an act"),
            ("[[rule]]\nid='r'\npoints=1\nact='reply'\ntimes=51".to_owned(), "r: times"),
            ("[[rule]]\nid='r'\npoints=1\nact='reply'\nhalf_life_days=0".to_owned(), "r: days"),
            ("[[rule]]\nid='r'\npoints=1\nact='reply'\ngroup='g'".to_owned(), "r: names a group"),
            ("[[rule]]\nid='r'\npoints=1\nfeature='n'\nfrom=1".to_owned(), "r: names a feature"),
            (format!("{number}[[rule]]\nid='r'\npoints=1\nfeature='n'"), "r: a number takes"),
            (format!("{number}[[rule]]\nid='r'\npoints=1\nfeature='n'\nfrom=5\nto=4"), "r: a number takes"),
            (format!("{word}[[rule]]\nid='r'\npoints=1\nfeature='w'\nis=['b']"), "r: names a word"),
            (format!("{word}{word}"), "w: stands twice"),
            ("[[feature]]\nname='n'\nkind='number'".to_owned(), "n: a number has from and to"),
            ("[[group]]\nname='g'".to_owned(), "g: a group has"),
            ("[[group]]\nname='g'\nmin=1".to_owned(), "g: 0 lies"),
            ("[[band]]\nname='A'\nfrom=1\n[[band]]\nname='B'\nfrom=1".to_owned(), "B: bands go"),
            ("[[band]]\nname='A'\n[[band]]\nname='B'\nfrom=1".to_owned(), "A: only the last"),
            ("[[band]]\nname='AB'".to_owned(), "AB: a band is"),
            ("[[rule]]\nid='r'\npoints=1\nact='rain'".to_owned(), "the card does not read"),
            ("base=100001".to_owned(), "base: "),
        ];
        for (text, expected) in cases {
            let got = refused(&text);
            assert!(got.starts_with(expected), "{text}: {got}");
        }
        assert!(Card::parse("pack='routing'\nversion='1'").is_err());
        assert!(Card::parse("pack='scoring'\nversion='1'\nband=[]").is_ok(), "the twin without a fault reads");
    }
}
