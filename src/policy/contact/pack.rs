//! The pack: dated rows of law, each with its citation, its certainty and the switch that reads it otherwise.
//!
//! A row turns a check on for a jurisdiction and a span of dates; without the row the check does not run. A pack is read as
//! a whole or not at all: contradictions are refused by name.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde::Deserialize;

use super::calendar::Holiday;
use super::place::zip_version;
use super::switches::Switches;
use crate::crypto::hash::{Digest, sha256};
use crate::domain::nanp::area_codes;
use crate::domain::time::parse_day;

/// One file of the pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackText<'a> {
    /// `calling`, `consent`, `email`, `privacy`.
    pub name: &'a str,
    /// Its text.
    pub text: &'a str,
}

/// Why a text is no pack. Names the row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// A rule ends before it begins.
    #[error("{0}: effective_to is not after effective_from")]
    Dates(String),
    /// Two rows have one id.
    #[error("{0}: the id is used twice")]
    Duplicate(String),
    /// A holiday says when it falls in no way, or in more than one.
    #[error("{0}: a holiday is fixed, nth or easter: exactly one")]
    Holiday(String),
    /// The jurisdiction is none that we know.
    #[error("{0}: {1} is not US, EU or a state")]
    Jurisdiction(String, String),
    /// Two rows of one kind hold in one place at one time.
    #[error("{0} and {1} overlap: both hold in {2}")]
    Overlap(String, String, String),
    /// The kind needs a figure that is not there.
    #[error("{0}: this kind needs {1}")]
    Parameter(String, &'static str),
    /// The switch is none that we know.
    #[error("{0}: there is no switch {1}")]
    Switch(String, String),
    /// Not TOML of this shape.
    #[error("{0}: {1}")]
    Text(String, String),
}

/// How sure we are of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Certainty {
    /// The text of the law was read.
    High,
    /// From secondary sources.
    Secondary,
    /// Sources or courts disagree.
    Contested,
    /// Our choice, stricter than the law.
    Policy,
}

/// A civil date, as a day number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct DateText(i64);

impl DateText {
    pub const fn day(self) -> i64 {
        self.0
    }
}

impl TryFrom<String> for DateText {
    type Error = String;

    fn try_from(text: String) -> Result<DateText, String> {
        parse_day(&text).map(DateText).ok_or_else(|| format!("{text} is no date"))
    }
}

/// A window of local time, in seconds of the day: from `open`, and before `close`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Window {
    pub open: i64,
    pub close: i64,
}

impl TryFrom<String> for Window {
    type Error = String;

    fn try_from(text: String) -> Result<Window, String> {
        let clock = |text: &str| {
            let (hour, minute) = text.split_once(':')?;
            let (hour, minute): (i64, i64) = (hour.parse().ok()?, minute.parse().ok()?);
            ((0..=24).contains(&hour) && (0..60).contains(&minute)).then_some(hour * 3600 + minute * 60)
        };
        let parts = text.split_once('-').and_then(|(open, close)| Some((clock(open)?, clock(close)?)));
        match parts {
            Some((open, close)) if open < close && close <= 86_400 => Ok(Window { open, close }),
            _ => Err(format!("{text} is no window HH:MM-HH:MM")),
        }
    }
}

macro_rules! kinds {
    ($($variant:ident,)*) => {
        /// What a row turns on. One check in code for each; its figures are in the row.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub(super) enum Kind { $($variant,)* }

        impl Kind {
            pub const ALL: &'static [Kind] = &[$(Kind::$variant,)*];
        }
    };
}

kinds! {
    Abandonment, CallerId, Confirmation, ConsentDefective, ConsentInEffect, ConsentWaiver, DeletionPlatform, EbrInquiry,
    EbrTransaction, EmergencyBan, EmergencyPurpose, Erased, ExpressConsent, FrequencyCap, GdprConsent, GdprNoBasis,
    GdprObjection, GdprWithdrawal, HolidayBan, HonorDeadline, Hours, InternalDnc, InternalList, Litigator, Location,
    MailFooter,
    MailHonorDeadline,
    MailOptIn, MailOptOut, NationalRegistry, NumberReassigned, NumberUnverified, OralConsentCircuit, ReConsent,
    Registration, RegistryAge, ReplyReview, ResidentialExemption, Revocation, SaleOptIn, SaleOptOut, SaleSignal, ScopeChannel,
    ScopeNumber, ScopePurpose, ScopeSeller, ScopeTechnology, SoftOptIn, StateMobileBan, StateRegistry, StateTextConsent,
    StateWrittenConsent, SundayBan, TextRestart, Transactional, WirelessDomain, WrittenConsent, WrongNumber,
}

/// A row.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    pub id: String,
    pub kind: Kind,
    /// `US`, `EU` (every country but the US), or a state.
    pub jurisdiction: String,
    pub effective_from: DateText,
    pub effective_to: Option<DateText>,
    #[serde(rename = "citation")]
    pub _citation: String,
    #[serde(rename = "certainty")]
    pub _certainty: Certainty,
    /// The switch that reads it otherwise.
    pub switch: Option<String>,
    #[serde(rename = "note")]
    pub _note: Option<String>,
    /// Monday to Friday, and the days that have no window of their own.
    pub hours: Option<Window>,
    pub saturday: Option<Window>,
    pub sunday: Option<Window>,
    /// The window binds on this clock as well, minutes east of UTC.
    pub fixed_clock: Option<i64>,
    pub max: Option<usize>,
    pub days: Option<i64>,
    pub check_days: Option<i64>,
    pub months: Option<i64>,
    pub minutes: Option<i64>,
    pub percent: Option<u64>,
    /// Only automated technologies.
    #[serde(default)]
    pub automated: bool,
}

/// A place whose law was read and gave no rule: kept so that silence is an answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Finding {
    pub jurisdictions: Vec<String>,
    #[serde(rename = "text")]
    pub _text: String,
    #[serde(rename = "citation")]
    pub _citation: String,
    #[serde(rename = "certainty")]
    pub _certainty: Certainty,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    pack: String,
    version: String,
    #[serde(default)]
    rule: Vec<Rule>,
    #[serde(default)]
    holiday: Vec<Holiday>,
    #[serde(default)]
    finding: Vec<Finding>,
}

/// The rules of contact, compiled.
#[derive(Debug, Clone)]
pub struct Pack {
    /// SHA-256 over the names and digests of its files and the versions of the tables of places.
    pub digest: Digest,
    /// Versions of its files, joined.
    pub version: String,
    pub(super) rules: Vec<Rule>,
    pub(super) holidays: Vec<Holiday>,
    pub(super) findings: Vec<Finding>,
    /// Rules of each kind, by `Kind as usize`.
    by_kind: Vec<Vec<usize>>,
}

/// A row that two packs do not have alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleChange {
    /// Its id.
    pub rule: String,
    /// `added`, `removed` or `changed`.
    pub change: &'static str,
}

impl Pack {
    /// Reads the files of a pack.
    ///
    /// # Errors
    /// [`PackError`] names the first row that is wrong.
    pub fn parse(texts: &[PackText<'_>]) -> Result<Pack, PackError> {
        let places = [area_codes().version.as_str(), zip_version()];
        Pack::parse_beside(texts, &places)
    }

    /// Reads the files of a pack that was applied with tables of these versions: places come from tables of their own, and
    /// another table may give another answer, so it gives another digest.
    ///
    /// # Errors
    /// As [`Pack::parse`].
    pub fn parse_beside(texts: &[PackText<'_>], places: &[&str]) -> Result<Pack, PackError> {
        let (mut rules, mut holidays, mut findings, mut versions) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut preimage = Vec::new();
        for PackText { name, text } in texts {
            let file: File =
                toml::from_str(text).map_err(|error| PackError::Text((*name).to_owned(), error.to_string()))?;
            preimage.extend_from_slice(name.as_bytes());
            preimage.push(0);
            preimage.extend_from_slice(sha256(text.as_bytes()).as_bytes());
            versions.push(format!("{}-{}", file.pack, file.version));
            rules.extend(file.rule);
            holidays.extend(file.holiday);
            findings.extend(file.finding);
        }
        for version in places {
            preimage.extend_from_slice(version.as_bytes());
            preimage.push(0);
        }
        let pack = Pack::compile(sha256(&preimage), versions.join(" "), rules, holidays, findings);
        pack.check()?;
        Ok(pack)
    }

    fn compile(
        digest: Digest,
        version: String,
        rules: Vec<Rule>,
        holidays: Vec<Holiday>,
        findings: Vec<Finding>,
    ) -> Pack {
        let mut by_kind = vec![Vec::new(); Kind::ALL.len()];
        for (place, rule) in rules.iter().enumerate() {
            if let Some(of_kind) = by_kind.get_mut(rule.kind as usize) {
                of_kind.push(place);
            }
        }
        Pack { digest, version, rules, holidays, findings, by_kind }
    }

    /// This pack without one row: what the mutation test asks about.
    pub fn without(&self, id: &str) -> Pack {
        let rules = self.rules.iter().filter(|rule| rule.id != id).cloned().collect();
        let holidays = self.holidays.iter().filter(|holiday| holiday.id != id).cloned().collect();
        Pack::compile(self.digest, self.version.clone(), rules, holidays, self.findings.clone())
    }

    /// Ids of every row that has effect, rules and holidays.
    pub fn ids(&self) -> Vec<&str> {
        let holidays = self.holidays.iter().map(|holiday| holiday.id.as_str());
        self.rules.iter().map(|rule| rule.id.as_str()).chain(holidays).collect()
    }

    /// Rows that differ between this pack and a newer one.
    pub fn changes(&self, newer: &Pack) -> Vec<RuleChange> {
        let ids: BTreeSet<&str> = self.ids().into_iter().chain(newer.ids()).collect();
        let row = |pack: &Pack, id: &str| {
            let rule = pack.rules.iter().find(|rule| rule.id == id).cloned();
            (rule, pack.holidays.iter().find(|holiday| holiday.id == id).cloned())
        };
        ids.into_iter()
            .filter_map(|id| {
                let change = match (row(self, id), row(newer, id)) {
                    (old, new) if old == new => return None,
                    ((None, None), _) => "added",
                    (_, (None, None)) => "removed",
                    _ => "changed",
                };
                Some(RuleChange { rule: id.to_owned(), change })
            })
            .collect()
    }

    /// Rows of a kind, whatever their place and time.
    pub(super) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Rule> + Clone {
        let places = self.by_kind.get(kind as usize).map_or(&[][..], Vec::as_slice);
        places.iter().filter_map(|place| self.rules.get(*place))
    }

    fn check(&self) -> Result<(), PackError> {
        let mut seen = BTreeSet::new();
        for id in self.ids() {
            if !seen.insert(id) {
                return Err(PackError::Duplicate(id.to_owned()));
            }
        }
        let places = self.rules.iter().map(|rule| (&rule.id, &rule.jurisdiction));
        let places = places.chain(self.holidays.iter().map(|holiday| (&holiday.id, &holiday.jurisdiction)));
        let finding = String::from("finding");
        let places =
            places.chain(self.findings.iter().flat_map(|row| row.jurisdictions.iter().map(|place| (&finding, place))));
        for (id, place) in places {
            if place != "US" && place != "EU" && area_codes().state_zones(place).is_empty() {
                return Err(PackError::Jurisdiction(id.clone(), place.clone()));
            }
        }
        self.holidays
            .iter()
            .find(|holiday| holiday.ways() != 1)
            .map_or(Ok(()), |holiday| Err(PackError::Holiday(holiday.id.clone())))?;
        let switches = Switches::default().to_map();
        for rule in &self.rules {
            if rule.effective_to.is_some_and(|end| end <= rule.effective_from) {
                return Err(PackError::Dates(rule.id.clone()));
            }
            if let Some(missing) = rule.missing() {
                return Err(PackError::Parameter(rule.id.clone(), missing));
            }
            if let Some(switch) = rule.switch.as_ref().filter(|switch| !switches.contains_key(*switch)) {
                return Err(PackError::Switch(rule.id.clone(), switch.clone()));
            }
        }
        self.check_overlaps()
    }

    fn check_overlaps(&self) -> Result<(), PackError> {
        for (place, rule) in self.rules.iter().enumerate() {
            let ends_after = |end: Option<DateText>, start: DateText| end.is_none_or(|end| end > start);
            let same = |other: &&Rule| other.kind == rule.kind && other.jurisdiction == rule.jurisdiction;
            for other in self.rules.iter().skip(place + 1).filter(same) {
                if ends_after(rule.effective_to, other.effective_from)
                    && ends_after(other.effective_to, rule.effective_from)
                {
                    let (first, second) = (rule.id.clone(), other.id.clone());
                    return Err(PackError::Overlap(first, second, rule.jurisdiction.clone()));
                }
            }
        }
        Ok(())
    }
}

impl Rule {
    /// The figure that its kind needs and it has not.
    fn missing(&self) -> Option<&'static str> {
        let needs = |there: bool, name| if there { None } else { Some(name) };
        match self.kind {
            Kind::Hours => needs(self.hours.is_some(), "hours"),
            Kind::FrequencyCap => needs(self.max.is_some(), "max"),
            Kind::ResidentialExemption => needs(self.max.is_some() && self.days.is_some(), "max and days"),
            Kind::Abandonment => needs(self.percent.is_some(), "percent"),
            Kind::RegistryAge | Kind::HonorDeadline | Kind::MailHonorDeadline => needs(self.days.is_some(), "days"),
            Kind::EbrInquiry | Kind::EbrTransaction => needs(self.months.is_some(), "months"),
            Kind::Confirmation => needs(self.minutes.is_some() && self.max.is_some(), "minutes and max"),
            Kind::NumberUnverified => needs(self.days.is_some() && self.check_days.is_some(), "days and check_days"),
            _ => None,
        }
    }
}

const TEXTS: [PackText<'static>; 4] = [
    PackText { name: "calling", text: include_str!("../../../policies/calling.toml") },
    PackText { name: "consent", text: include_str!("../../../policies/consent.toml") },
    PackText { name: "email", text: include_str!("../../../policies/email.toml") },
    PackText { name: "privacy", text: include_str!("../../../policies/privacy.toml") },
];

/// The texts of the pack of this build.
pub const fn builtin_texts() -> &'static [PackText<'static>] {
    &TEXTS
}

/// The pack of this build; `None` if it did not read, and then every contact must be refused. A test proves that it reads.
pub fn builtin() -> Option<&'static Pack> {
    static PACK: LazyLock<Option<Pack>> = LazyLock::new(|| Pack::parse(&TEXTS).ok());
    PACK.as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = "effective_from='2020-01-01'\ncitation='c'\ncertainty='high'\n";

    fn check(rules: &str) -> Result<(), String> {
        let text = format!("pack='t'\nversion='1'\n{rules}");
        Pack::parse(&[PackText { name: "t", text: &text }]).map(|_| ()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_shipped_pack_reads() {
        let pack = Pack::parse(builtin_texts()).unwrap();
        assert_eq!(pack.digest, builtin().unwrap().digest);
        for kind in Kind::ALL {
            assert!(pack.of_kind(*kind).next().is_some(), "{kind:?} has no row, so its check never runs");
        }
    }

    #[test]
    fn every_state_is_a_rule_or_a_finding() {
        let pack = builtin().unwrap();
        let states = "AK AL AR AZ CA CO CT DC DE FL GA HI IA ID IL IN KS KY LA MA MD ME MI MN MO MS MT NC ND NE NH NJ NM NV NY OH OK OR PA RI SC SD TN TX UT VA VT WA WI WV WY";
        for state in states.split(' ') {
            let rule = pack.rules.iter().any(|rule| rule.jurisdiction == state);
            let finding = pack.findings.iter().any(|row| row.jurisdictions.iter().any(|place| place == state));
            assert!(rule || finding, "{state}");
        }
    }

    #[test]
    fn contradictions_are_refused_by_name() {
        let rule =
            |id: &str, rest: &str| format!("[[rule]]\nid='{id}'\nkind='sunday-ban'\njurisdiction='UT'\n{ROW}{rest}");
        assert_eq!(check(&rule("a", "")), Ok(()));
        assert!(check(&format!("{}{}", rule("a", ""), rule("a", ""))).unwrap_err().contains("a: the id is used twice"));
        assert!(check(&format!("{}{}", rule("a", ""), rule("b", ""))).unwrap_err().contains("a and b overlap"));
        assert_eq!(
            check(&format!("{}{}", rule("a", "effective_to='2021-01-01'\n"), rule("b", "").replace("2020", "2021"))),
            Ok(())
        );
        assert!(check(&rule("a", "effective_to='2020-01-01'\n")).unwrap_err().contains("not after"));
        assert!(check(&rule("a", "switch='nope'\n")).unwrap_err().contains("no switch nope"));
        assert!(check(&rule("a", "").replace("'UT'", "'XX'")).unwrap_err().contains("XX is not"));
        assert!(check(&rule("a", "").replace("sunday-ban", "hours")).unwrap_err().contains("needs hours"));
        assert!(check(&rule("a", "hours='21:00-08:00'\n")).unwrap_err().contains("no window"));
        assert!(check(&rule("a", "nonsense=1\n")).unwrap_err().contains("nonsense"));
        let holiday = format!("[[holiday]]\nid='h'\nname='n'\njurisdiction='US'\n{ROW}");
        assert!(check(&holiday).unwrap_err().contains("exactly one"));
        assert_eq!(check(&format!("{holiday}fixed='12-25'\n")), Ok(()));
    }
}
