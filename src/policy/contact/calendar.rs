//! Local time, holidays and business days.
//!
//! Instants are converted each time, never by a stored offset (compliance rules, section 3). Days are whole days since
//! 1970-01-01; a week starts on Monday, day 0.

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::Tz;
use serde::Deserialize;

use super::pack::DateText;
use crate::domain::time::{MICROS_PER_DAY, MICROS_PER_SECOND, Timestamp};

/// Seconds in a day.
pub(super) const DAY: i64 = 86_400;
pub(super) const MINUTE_MICROS: i64 = 60 * MICROS_PER_SECOND;
pub(super) const HOUR_MICROS: i64 = 3_600 * MICROS_PER_SECOND;
/// 1970-01-01 was a Thursday.
const EPOCH_WEEKDAY: i64 = 3;
pub(super) const SATURDAY: i64 = 5;
pub(super) const SUNDAY: i64 = 6;

/// Version of the time zone database of this build.
pub fn tzdb_version() -> &'static str {
    chrono_tz::IANA_TZDB_VERSION
}

/// A clock that a window is read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Zone {
    /// A zone of the time zone database.
    Named(Tz),
    /// Seconds east of UTC, the year round.
    Fixed(i64),
}

/// A local date and time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Local {
    pub day: i64,
    pub second: i64,
    pub offset: i64,
}

impl Zone {
    pub fn local(self, micros: i64) -> Local {
        let seconds = micros.div_euclid(MICROS_PER_SECOND);
        let offset = match self {
            Zone::Fixed(offset) => offset,
            Zone::Named(zone) => match DateTime::from_timestamp(seconds, 0) {
                Some(utc) => i64::from(zone.offset_from_utc_datetime(&utc.naive_utc()).fix().local_minus_utc()),
                None => 0,
            },
        };
        let local = seconds + offset;
        Local { day: local.div_euclid(DAY), second: local.rem_euclid(DAY), offset }
    }

    /// The first instant at or after `micros` that reads as `second` of `day` here; a time that the clocks skip gives the
    /// instant after the gap. `day` and `second` must not lie before the local time at `micros`.
    pub fn instant(self, micros: i64, day: i64, second: i64) -> i64 {
        let here = self.local(micros);
        let target = day * DAY + second;
        let guess = (target - here.offset) * MICROS_PER_SECOND;
        let there = self.local(guess);
        (target - there.offset) * MICROS_PER_SECOND
    }
}

impl Local {
    pub const fn weekday(self) -> i64 {
        (self.day + EPOCH_WEEKDAY).rem_euclid(7)
    }
}

pub(super) const fn weekday(day: i64) -> i64 {
    (day + EPOCH_WEEKDAY).rem_euclid(7)
}

/// Year, month and day of a day number.
pub(super) fn civil(day: i64) -> (i64, u8, u8) {
    Timestamp::from_micros(day.saturating_mul(MICROS_PER_DAY)).date()
}

/// Day number of a date, or none if there is no such date.
pub(super) fn day_of(year: i64, month: u8, day: u8) -> Option<i64> {
    Timestamp::from_date(i32::try_from(year).ok()?, month, day).map(Timestamp::unix_days)
}

/// The day `months` calendar months later, held at the end of a shorter month (64.1200(f)(5) counts months).
pub(super) fn months_later(day: i64, months: i64) -> i64 {
    let (year, month, of_month) = civil(day);
    let count = year * 12 + i64::from(month) - 1 + months;
    let (year, month) = (count.div_euclid(12), u8::try_from(count.rem_euclid(12) + 1).unwrap_or(1));
    (0..4).find_map(|back| day_of(year, month, of_month.saturating_sub(back))).unwrap_or(day)
}

/// A holiday of the pack: when it falls.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Holiday {
    pub id: String,
    /// US, or a state whose ban it extends.
    pub jurisdiction: String,
    /// Its name, for people.
    #[serde(rename = "name")]
    pub _name: String,
    /// `MM-DD`.
    pub fixed: Option<MonthDay>,
    /// Month, weekday from 0 = Monday, and which one: 1 to 4, or -1 for the last.
    pub nth: Option<(u8, i64, i64)>,
    /// Days after Easter Sunday; negative before.
    pub easter: Option<i64>,
    /// A Saturday is kept on Friday and a Sunday on Monday too.
    #[serde(default)]
    pub observed: bool,
    pub effective_from: DateText,
    pub effective_to: Option<DateText>,
    #[serde(rename = "citation")]
    pub _citation: String,
    #[serde(rename = "certainty")]
    pub _certainty: super::pack::Certainty,
}

/// A month and a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct MonthDay(u8, u8);

impl TryFrom<String> for MonthDay {
    type Error = String;

    fn try_from(text: String) -> Result<MonthDay, String> {
        let parts = text.split_once('-').and_then(|(month, day)| Some((month.parse().ok()?, day.parse().ok()?)));
        let (month, day) = parts.ok_or_else(|| format!("{text} is no month and day"))?;
        day_of(2000, month, day).map(|_| MonthDay(month, day)).ok_or_else(|| format!("{text} is no month and day"))
    }
}

impl Holiday {
    /// How many ways it says when it falls; a row must say one.
    pub const fn ways(&self) -> u32 {
        self.fixed.is_some() as u32 + self.nth.is_some() as u32 + self.easter.is_some() as u32
    }

    fn falls_on(&self, day: i64) -> bool {
        let (year, month, of_month) = civil(day);
        if day < self.effective_from.day() || self.effective_to.is_some_and(|end| day >= end.day()) {
            return false;
        }
        if let Some(MonthDay(its_month, its_day)) = self.fixed {
            return month == its_month && of_month == its_day;
        }
        if let Some((its_month, its_weekday, which)) = self.nth {
            let of_month = i64::from(of_month);
            let week = (of_month - 1) / 7 + 1;
            let is_last = civil(day + 7).1 != month;
            return month == its_month
                && weekday(day) == its_weekday
                && if which < 0 { is_last } else { week == which };
        }
        self.easter.is_some_and(|after| easter(year).is_some_and(|easter| easter + after == day))
    }

    /// It is kept on this day: itself, or the day it is observed on.
    pub fn kept_on(&self, day: i64) -> bool {
        if self.falls_on(day) {
            return true;
        }
        self.observed
            && match weekday(day) {
                0 => self.falls_on(day - 1),
                4 => self.falls_on(day + 1),
                _ => false,
            }
    }
}

/// Easter Sunday of the Gregorian calendar, by the anonymous algorithm of 1876.
fn easter(year: i64) -> Option<i64> {
    let (a, b, c) = (year % 19, year / 100, year % 100);
    let (d, e, g) = (b / 4, b % 4, (8 * b + 13) / 25);
    let h = (19 * a + b - d - g + 15) % 30;
    let (i, k) = (c / 4, c % 4);
    let l = (32 + 2 * e + 2 * i - h - k) % 7;
    let m = (a + 11 * h + 19 * l) / 433;
    let month = (h + l - 7 * m + 90) / 25;
    let day = (h + l - 7 * m + 33 * month + 19) % 32;
    day_of(year, u8::try_from(month).ok()?, u8::try_from(day).ok()?)
}

/// The `count`th business day after a day, itself left out: Monday to Friday without federal holidays.
pub(super) fn business_days_after<'a>(day: i64, count: u32, federal: impl Iterator<Item = &'a Holiday> + Clone) -> i64 {
    let (mut at, mut left) = (day, count);
    while left > 0 {
        at += 1;
        if weekday(at) < SATURDAY && !federal.clone().any(|holiday| holiday.kept_on(at)) {
            left -= 1;
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> i64 {
        Timestamp::parse_rfc3339(&format!("{text}T00:00:00Z")).unwrap().unix_days()
    }

    #[test]
    fn months_are_held_at_their_end() {
        for (from, months, to) in [
            ("2026-08-31", 3, "2026-11-30"),
            ("2025-05-24", 18, "2026-11-24"),
            ("2024-02-29", 12, "2025-02-28"),
            ("2025-11-30", 3, "2026-02-28"),
            ("2026-12-31", 2, "2027-02-28"),
        ] {
            assert_eq!(months_later(day(from), months), day(to), "{from} + {months}");
        }
    }

    #[test]
    fn easter_is_where_the_church_puts_it() {
        for (year, text) in [
            (2024, "2024-03-31"),
            (2025, "2025-04-20"),
            (2026, "2026-04-05"),
            (2027, "2027-03-28"),
            (2038, "2038-04-25"),
        ] {
            assert_eq!(easter(year), Some(day(text)));
        }
    }

    #[test]
    fn instants_of_local_times_mind_the_clock_changes() {
        let zone = Zone::Named(chrono_tz::America::New_York);
        let at = |text: &str| Timestamp::parse_rfc3339(text).unwrap().micros();
        let noon = at("2026-10-31T16:00:00Z");
        assert_eq!(zone.instant(noon, day("2026-11-01"), 8 * 3600), at("2026-11-01T13:00:00Z"));
        assert_eq!(zone.instant(noon, day("2026-11-02"), 0), at("2026-11-02T05:00:00Z"));
        let march = at("2027-03-13T17:00:00Z");
        assert_eq!(zone.instant(march, day("2027-03-14"), 8 * 3600), at("2027-03-14T12:00:00Z"));
        assert_eq!(Zone::Fixed(-6 * 3600).local(march).second, 11 * 3600);
    }
}
