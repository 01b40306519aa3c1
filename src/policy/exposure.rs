//! What contacts that broke a rule may cost by statute: `policies/exposure.toml`, read once.
//!
//! Promises: a contact counts at most once under each law; a law that asks for several contacts counts none before there
//! are that many; amounts are whole dollars and never booked. Pure: no clock, no IO.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::contact::Code;
use super::retention::PolicyError;
use crate::domain::time::{Timestamp, parse_day};

const TEXT: &str = include_str!("../../policies/exposure.toml");
const DAY_MICROS: i64 = 86_400_000_000;

/// One law.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Law {
    /// Its id.
    pub id: String,
    /// What it is about, in words.
    pub about: String,
    /// Where it stands.
    pub citation: String,
    /// How sure the reading is: `high`, `secondary`, `contested`, `policy`.
    pub certainty: String,
    /// First day on which a contact falls under it, `YYYY-MM-DD`.
    pub effective_from: String,
    /// The day after the last one.
    #[serde(default)]
    pub effective_to: Option<String>,
    /// Channels that it covers.
    pub channels: Vec<String>,
    /// Technologies that it covers; none named: any.
    #[serde(default)]
    pub technologies: Vec<String>,
    /// Rules of which a contact must have broken one.
    pub codes: Vec<String>,
    /// Contacts to one person for one seller before any counts.
    pub contacts: usize,
    /// Within so many days.
    #[serde(default)]
    pub days: Option<i64>,
    /// Dollars a contact.
    pub each: u64,
    /// Dollars a contact that was made knowingly.
    pub willful: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    law: Vec<Law>,
}

/// The laws.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Laws(Vec<Law>);

/// A contact and the rules that it broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken<'a> {
    /// When.
    pub at: Timestamp,
    /// Whom it reached.
    pub person: &'a str,
    /// For whom.
    pub seller: &'a str,
    /// By which channel.
    pub channel: &'a str,
    /// By which technology; none said counts as automated, as the gate counts it.
    pub technology: &'a str,
    /// What it broke.
    pub codes: &'a [Code],
}

/// What contacts may cost under one law.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Exposure {
    /// The law's id.
    pub law: String,
    /// Where it stands.
    pub citation: String,
    /// How sure the reading is.
    pub certainty: String,
    /// Contacts that fall under it.
    pub contacts: u64,
    /// At the statutory amount, in whole dollars.
    pub usd: u64,
    /// At the amount for knowing violations, in whole dollars.
    pub usd_willful: u64,
}

impl Laws {
    /// Reads the form of `policies/exposure.toml`.
    ///
    /// # Errors
    /// [`PolicyError`] names the law that is repeated, or names a rule or a date that is none.
    pub fn parse(text: &str) -> Result<Laws, PolicyError> {
        let file: File = toml::from_str(text).map_err(|error| PolicyError(error.to_string()))?;
        if file.version != 1 {
            return Err(PolicyError("version is not 1".to_owned()));
        }
        for (at, law) in file.law.iter().enumerate() {
            let wrong = |what: String| Err(PolicyError(format!("{}: {what}", law.id)));
            if file.law.iter().take(at).any(|other| other.id == law.id) {
                return wrong("there are two of it".to_owned());
            }
            if let Some(name) = law.codes.iter().find(|name| Code::from_name(name).is_none()) {
                return wrong(format!("no rule is called {name}"));
            }
            let dates = [Some(&law.effective_from), law.effective_to.as_ref()];
            if dates.into_iter().flatten().any(|date| day(date).is_none()) {
                return wrong("a date is not YYYY-MM-DD".to_owned());
            }
            if law.contacts == 0 || law.each > law.willful || law.contacts > 1 && law.days.is_none() {
                return wrong("contacts is from 1, more than one within days, each at most willful".to_owned());
            }
        }
        Ok(Laws(file.law))
    }

    /// The laws of this program.
    ///
    /// # Errors
    /// None in practice: a test reads the file.
    pub fn builtin() -> Result<&'static Laws, PolicyError> {
        static LAWS: OnceLock<Result<Laws, PolicyError>> = OnceLock::new();
        LAWS.get_or_init(|| Laws::parse(TEXT)).as_ref().map_err(Clone::clone)
    }

    /// What contacts may cost, law by law.
    pub fn exposure(&self, broken: &[Broken<'_>]) -> Vec<Exposure> {
        self.0.iter().map(|law| law.exposure(broken)).collect()
    }
}

impl Law {
    fn exposure(&self, broken: &[Broken<'_>]) -> Exposure {
        let mut by_person: BTreeMap<(&str, &str), Vec<i64>> = BTreeMap::new();
        for contact in broken.iter().filter(|contact| self.fits(contact)) {
            by_person.entry((contact.person, contact.seller)).or_default().push(contact.at.micros());
        }
        let contacts = by_person.into_values().map(|times| self.counted(times)).sum::<u64>();
        Exposure {
            law: self.id.clone(),
            citation: self.citation.clone(),
            certainty: self.certainty.clone(),
            contacts,
            usd: contacts.saturating_mul(self.each),
            usd_willful: contacts.saturating_mul(self.willful),
        }
    }

    fn fits(&self, contact: &Broken<'_>) -> bool {
        let names = |list: &[String], word: &str| list.iter().any(|name| name == word);
        let after = day(&self.effective_from).is_some_and(|from| contact.at.unix_days() >= from);
        let before = self.effective_to.as_deref().and_then(day).is_none_or(|to| contact.at.unix_days() < to);
        after
            && before
            && names(&self.channels, contact.channel)
            && (self.technologies.is_empty() || names(&self.technologies, contact.technology))
            && contact.codes.iter().any(|code| names(&self.codes, code.name()))
    }

    /// Of one person's contacts for one seller, those that stand in some run of enough contacts within the days.
    fn counted(&self, mut times: Vec<i64>) -> u64 {
        times.sort_unstable();
        let within = self.days.map_or(i64::MAX, |days| days.saturating_mul(DAY_MICROS));
        let mut counts = vec![false; times.len()];
        for start in 0..times.len() {
            let Some(run) = times.get(start..start + self.contacts) else { break };
            let close = run.first().zip(run.last()).is_some_and(|(first, last)| last - first <= within);
            if close && let Some(run) = counts.get_mut(start..start + self.contacts) {
                run.fill(true);
            }
        }
        counts.into_iter().map(u64::from).sum()
    }
}

fn day(text: &str) -> Option<i64> {
    parse_day(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: &str) -> Timestamp {
        Timestamp::parse_rfc3339(&format!("{day}T12:00:00Z")).unwrap()
    }

    fn contact<'a>(day: &str, person: &'a str, technology: &'a str, codes: &'a [Code]) -> Broken<'a> {
        Broken { at: at(day), person, seller: "broker-a", channel: "sms", technology, codes }
    }

    fn counts(broken: &[Broken<'_>]) -> Vec<u64> {
        Laws::builtin().unwrap().exposure(broken).iter().map(|law| law.contacts).collect()
    }

    #[test]
    fn a_contact_without_consent_counts_alone_and_only_if_it_was_automated() {
        let codes = [Code::NoPewc, Code::ConsentRevoked];
        assert_eq!(counts(&[contact("2026-05-01", "p", "autodialed", &codes)]), [1, 0]);
        assert_eq!(counts(&[contact("2026-05-01", "p", "manual", &codes)]), [0, 0]);
        let mail = Broken { channel: "email", ..contact("2026-05-01", "p", "autodialed", &codes) };
        assert_eq!(counts(&[mail]), [0, 0]);
    }

    #[test]
    fn listed_numbers_count_from_the_second_contact_within_twelve_months() {
        let codes = [Code::NationalDnc];
        let one = contact("2025-01-01", "p", "manual", &codes);
        assert_eq!(counts(std::slice::from_ref(&one)), [0, 0]);
        assert_eq!(counts(&[one.clone(), contact("2025-01-02", "q", "manual", &codes)]), [0, 0]);
        assert_eq!(counts(&[one.clone(), contact("2026-01-02", "p", "manual", &codes)]), [0, 0]);
        let three = [one, contact("2026-01-01", "p", "manual", &codes), contact("2027-06-01", "p", "manual", &codes)];
        assert_eq!(counts(&three), [0, 2]);
        let dollars = Laws::builtin().unwrap().exposure(&three);
        assert_eq!((dollars[1].usd, dollars[1].usd_willful), (1_000, 3_000));
    }

    #[test]
    fn file_with_an_unknown_rule_or_date_is_refused_by_name() {
        let refused = |from: &str, to: &str| Laws::parse(&TEXT.replacen(from, to, 1)).unwrap_err().0;
        assert_eq!(refused("\"NO_PEC\"", "\"NO_PCE\""), "tcpa_227_b: no rule is called NO_PCE");
        assert_eq!(refused("1992-12-20", "1992-13-20"), "tcpa_227_b: a date is not YYYY-MM-DD");
        assert!(refused("tcpa_227_b", "tcpa_227_c").contains("there are two of it"));
        assert!(refused("days = 365", "").contains("within days"));
    }
}
