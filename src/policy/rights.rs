//! What persons may ask for, by when it must be answered, and what an erasure leaves behind: `policies/rights.toml`.
//!
//! Promises: law is rows, chosen by regime, right and the day of receipt; where no row fits, there is no clock and the
//! caller must say so. The end of a clock is the last instant of its last day in UTC. Pure: no clock, no IO.

use std::sync::OnceLock;

use serde::Deserialize;

use super::retention::PolicyError;
use crate::crypto::hash::{Digest, sha256};
use crate::domain::parts::RetentionClass;
use crate::domain::time::{MICROS_PER_DAY, Timestamp, day_text};

const TEXT: &str = include_str!("../../policies/rights.toml");

/// A length of time as laws state it; exactly one member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Span {
    /// Calendar days.
    Days(u16),
    /// Monday to Friday.
    BusinessDays(u16),
    /// The same day of a later month.
    Months(u16),
}

/// What identification a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verify {
    /// None may be asked for.
    No,
    /// Reasonable.
    Reasonable,
    /// Reasonably high.
    ReasonablyHigh,
}

impl Verify {
    /// Its name in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Verify::No => "no",
            Verify::Reasonable => "reasonable",
            Verify::ReasonablyHigh => "reasonably_high",
        }
    }
}

/// One clock.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clock {
    /// Regime as in `privacy.request_received`.
    pub regime: String,
    /// Rights as there.
    pub rights: Vec<String>,
    /// Acknowledgement of receipt.
    pub confirm: Option<Span>,
    /// The answer.
    pub answer: Span,
    /// Longest extension beyond the answer; none: no extension.
    pub extend: Option<Span>,
    /// Identification.
    pub verify: Verify,
    /// Where the rule comes from.
    pub source: String,
    /// `settled`, `read_strictly` or `choice`.
    pub certainty: String,
    /// What counsel decides about the row.
    pub switch: String,
    /// First day of receipt that it applies to.
    pub effective_from: String,
    /// First day that it no longer applies to.
    pub effective_to: Option<String>,
}

impl Clock {
    /// Last instant for an answer to a request received at `received`.
    pub fn answer_by(&self, received: Timestamp) -> Timestamp {
        end_of(received, self.answer)
    }

    /// Last instant for the acknowledgement of receipt, where one is due.
    pub fn confirm_by(&self, received: Timestamp) -> Option<Timestamp> {
        self.confirm.map(|span| end_of(received, span))
    }

    /// Last instant that an extension may name; none where no extension is allowed.
    pub fn extend_to(&self, received: Timestamp) -> Option<Timestamp> {
        let extend = self.extend?;
        Some(match (self.answer, extend) {
            // Months are added as one, so that 31 January + 1 + 2 is 30 April and not 28 April.
            (Span::Months(first), Span::Months(more)) => end_of(received, Span::Months(first + more)),
            (Span::Days(first), Span::Days(more)) => end_of(received, Span::Days(first + more)),
            (_, extend) => end_of(self.answer_by(received), extend),
        })
    }
}

/// What of an erased person stays, and why.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keep {
    /// Class of the parts that stay.
    pub class: RetentionClass,
    /// Ground as in `subject.erased`.
    pub ground: String,
    /// Where the rule comes from.
    pub source: String,
    /// `settled`, `read_strictly` or `choice`.
    pub certainty: String,
    /// What counsel decides about the row.
    pub switch: String,
    /// First day of an erasure that it applies to.
    pub effective_from: String,
    /// First day that it no longer applies to.
    pub effective_to: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Erasure {
    suppress: bool,
    #[serde(rename = "suppress_source")]
    _suppress_source: String,
    irrecoverable_days: u16,
    #[serde(rename = "irrecoverable_source")]
    _irrecoverable_source: String,
    keep: Vec<Keep>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    erasure: Erasure,
    clock: Vec<Clock>,
}

/// The rules.
#[derive(Debug, Clone)]
pub struct Rights {
    file: File,
    digest: Digest,
}

impl Rights {
    /// Reads the form of `policies/rights.toml`.
    ///
    /// # Errors
    /// [`PolicyError`] if a row cannot be read, or if two rows claim one regime, right and day.
    pub fn parse(text: &str) -> Result<Rights, PolicyError> {
        let file: File = toml::from_str(text).map_err(|error| PolicyError(error.to_string()))?;
        if file.version != 1 {
            return Err(PolicyError("version is not 1".to_owned()));
        }
        for (number, row) in file.clock.iter().enumerate() {
            let (from, to) = interval(&row.effective_from, row.effective_to.as_deref())?;
            for other in file.clock.iter().skip(number + 1).filter(|other| other.regime == row.regime) {
                let (start, end) = interval(&other.effective_from, other.effective_to.as_deref())?;
                let shared = row.rights.iter().find(|right| other.rights.contains(right));
                if let Some(right) = shared.filter(|_| from < end && start < to) {
                    return Err(PolicyError(format!("two clocks for {} {right} on one day", row.regime)));
                }
            }
        }
        for (number, row) in file.erasure.keep.iter().enumerate() {
            interval(&row.effective_from, row.effective_to.as_deref())?;
            if file.erasure.keep.iter().skip(number + 1).any(|other| other.class == row.class) {
                return Err(PolicyError(format!("two rows keep class {}", row.class)));
            }
        }
        Ok(Rights { file, digest: sha256(text.as_bytes()) })
    }

    /// The rules of this program.
    ///
    /// # Errors
    /// None in practice: a test reads the file.
    pub fn builtin() -> Result<&'static Rights, PolicyError> {
        static RULES: OnceLock<Result<Rights, PolicyError>> = OnceLock::new();
        RULES.get_or_init(|| Rights::parse(TEXT)).as_ref().map_err(Clone::clone)
    }

    /// SHA-256 of the file.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The clock of a request; none where the regime does not know the right on that day.
    pub fn clock(&self, regime: &str, right: &str, received: Timestamp) -> Option<&Clock> {
        self.file.clock.iter().find(|row| {
            row.regime == regime
                && row.rights.iter().any(|known| known == right)
                && in_force(&row.effective_from, row.effective_to.as_deref(), received)
        })
    }

    /// Why parts of a class of a person erased at `now` stay; none if they go.
    pub fn keep(&self, class: RetentionClass, now: Timestamp) -> Option<&Keep> {
        let mut rows = self.file.erasure.keep.iter();
        rows.find(|row| row.class == class && in_force(&row.effective_from, row.effective_to.as_deref(), now))
    }

    /// Whether erased persons stay suppressed.
    pub const fn suppress(&self) -> bool {
        self.file.erasure.suppress
    }

    /// Day after which no backup can open what was destroyed at `now`, `YYYY-MM-DD`.
    pub fn irrecoverable_on(&self, now: Timestamp) -> String {
        let day = now.checked_add_days(i64::from(self.file.erasure.irrecoverable_days)).unwrap_or(now);
        date(day)
    }
}

/// `YYYY-MM-DD`.
pub fn date(instant: Timestamp) -> String {
    day_text(instant.unix_days())
}

fn day(text: &str) -> Result<Timestamp, PolicyError> {
    Timestamp::parse_rfc3339(&format!("{text}T00:00:00Z")).map_err(|_| PolicyError(format!("{text} is not a date")))
}

fn interval(from: &str, to: Option<&str>) -> Result<(Timestamp, Timestamp), PolicyError> {
    Ok((day(from)?, to.map_or(Ok(Timestamp::MAX), day)?))
}

fn in_force(from: &str, to: Option<&str>, at: Timestamp) -> bool {
    interval(from, to).is_ok_and(|(from, to)| from <= at && at < to)
}

/// The last instant of the last day of a span that begins on the day after `from`'s.
fn end_of(from: Timestamp, span: Span) -> Timestamp {
    let last = match span {
        Span::Days(days) => from.checked_add_days(i64::from(days)),
        Span::BusinessDays(days) => business_days(from, days),
        Span::Months(months) => add_months(from, months),
    };
    let last = last.unwrap_or(Timestamp::MAX);
    Timestamp::from_micros(((last.unix_days() + 1).saturating_mul(MICROS_PER_DAY)).saturating_sub(1))
}

fn business_days(from: Timestamp, days: u16) -> Option<Timestamp> {
    let mut at = from;
    let mut left = days;
    while left > 0 {
        at = at.checked_add_days(1)?;
        // 1970-01-01 was a Thursday: day 2 of the epoch is a Saturday.
        if !matches!((at.unix_days() - 2).rem_euclid(7), 0 | 1) {
            left -= 1;
        }
    }
    Some(at)
}

fn add_months(from: Timestamp, months: u16) -> Option<Timestamp> {
    let (year, month, day) = from.date();
    let month = i64::from(month) - 1 + i64::from(months);
    let (year, month) = (i32::try_from(year + month / 12).ok()?, u8::try_from(month % 12 + 1).ok()?);
    (0..4).find_map(|back| Timestamp::from_date(year, month, day.checked_sub(back)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    fn due(regime: &str, right: &str, received: &str) -> String {
        let clock = Rights::builtin().unwrap().clock(regime, right, time(received)).unwrap();
        clock.answer_by(time(received)).to_string()
    }

    #[test]
    fn clocks_end_as_the_laws_say() {
        // One month, clamped; the day of receipt is not counted.
        assert_eq!(due("gdpr", "access", "2026-01-31T10:00:00Z"), "2026-02-28T23:59:59.999999Z");
        assert_eq!(due("gdpr", "delete", "2026-11-20T23:59:59Z"), "2026-12-20T23:59:59.999999Z");
        assert_eq!(due("ccpa", "delete", "2026-11-20T10:00:00Z"), "2027-01-04T23:59:59.999999Z");
        // 2026-11-20 is a Friday: 15 business days are three weeks.
        assert_eq!(due("ccpa", "opt_out_sale", "2026-11-20T10:00:00Z"), "2026-12-11T23:59:59.999999Z");
        assert_eq!(due("ccpa", "opt_out_sale", "2026-11-21T10:00:00Z"), "2026-12-11T23:59:59.999999Z");
        assert_eq!(due("gdpr", "object", "2026-11-20T10:00:00Z"), "2026-11-20T23:59:59.999999Z");
        let clock = Rights::builtin().unwrap().clock("gdpr", "access", time("2026-01-31T10:00:00Z")).unwrap();
        let until = clock.extend_to(time("2026-01-31T10:00:00Z")).unwrap();
        assert_eq!(until.to_string(), "2026-04-30T23:59:59.999999Z");
    }

    #[test]
    fn a_row_applies_from_its_day_on() {
        let rights = Rights::builtin().unwrap();
        assert!(rights.clock("delete_act", "delete", time("2026-07-31T23:59:59Z")).is_none());
        assert!(rights.clock("delete_act", "delete", time("2026-08-01T00:00:00Z")).is_some());
        assert!(rights.clock("gdpr", "opt_out_sale", time("2026-08-01T00:00:00Z")).is_none());
        assert!(rights.keep(RetentionClass::Consent, time("2026-08-01T00:00:00Z")).is_some());
        assert!(rights.keep(RetentionClass::Profile, time("2026-08-01T00:00:00Z")).is_none());
        assert!(rights.keep(RetentionClass::Raw, time("2026-08-01T00:00:00Z")).is_none());
    }

    #[test]
    fn overlapping_rows_are_refused() {
        let (head, last) = TEXT.rsplit_once("[[clock]]").unwrap();
        let twice = format!("{head}[[clock]]{last}\n[[clock]]{last}");
        assert!(Rights::parse(&twice).unwrap_err().0.contains("two clocks"));
        assert!(Rights::parse(&TEXT.replace("2026-08-01", "2026-08-32")).is_err());
    }
}
