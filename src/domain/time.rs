//! Instants and quarters, in UTC.
//!
//! Promises: a [`Timestamp`] is whole microseconds since 1970-01-01T00:00:00Z; what [`Timestamp::parse_rfc3339`] accepts
//! is RFC 3339 and nothing wider; text written by `Display` has a fixed width, so it sorts as it compares. Never reads a
//! clock, a time zone database or the locale: `now` is an argument everywhere above this module.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

/// Microseconds in a second.
pub const MICROS_PER_SECOND: i64 = 1_000_000;
/// Microseconds in a day of 86,400 seconds; leap seconds have no length of their own here.
pub const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// An instant in UTC: microseconds since the Unix epoch.
///
/// Text form is `2026-11-03T16:40:00.000000Z` (design section 5a). Every value that was parsed lies in the years
/// 0000-9999; one made from raw microseconds outside them prints a signed long year that no parser here takes back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// Why a text is not an RFC 3339 date-time that we take. Never carries the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// A field is out of its range: month 13, 30 February, hour 24, minute 60, offset +24:00.
    #[error("a date or time field is out of range")]
    FieldRange,
    /// Not shaped as `YYYY-MM-DDThh:mm:ss[.fraction](Z|+hh:mm|-hh:mm)`.
    #[error("not an RFC 3339 date-time with a time zone offset")]
    Form,
    /// Second 60 anywhere but in the last minute of a UTC month.
    #[error("second 60 is allowed only at 23:59 UTC on the last day of a month")]
    LeapSecond,
    /// The fraction has no digit, or more than nine.
    #[error("the fraction of a second has 1 to 9 digits")]
    Fraction,
    /// The offset moves the instant out of the years 0000-9999.
    #[error("the instant lies outside the years 0000 to 9999")]
    YearRange,
}

impl Timestamp {
    /// The epoch, 1970-01-01T00:00:00Z.
    pub const EPOCH: Timestamp = Timestamp(0);
    /// First instant of the year 0000.
    pub const MIN: Timestamp = Timestamp(-62_167_219_200 * MICROS_PER_SECOND);
    /// Last microsecond of the year 9999.
    pub const MAX: Timestamp = Timestamp(253_402_300_800 * MICROS_PER_SECOND - 1);

    /// The instant `micros` microseconds after the epoch (before it, if negative).
    pub const fn from_micros(micros: i64) -> Timestamp {
        Timestamp(micros)
    }

    /// The first instant of a civil UTC date, or none if there is no such date in the years 0000-9999.
    pub fn from_date(year: i32, month: u8, day: u8) -> Option<Timestamp> {
        if !(0..=9999).contains(&year) || day == 0 || day > days_in_month(i64::from(year), month)? {
            return None;
        }
        let days = days_from_civil(i64::from(year), i64::from(month), i64::from(day));
        Some(Timestamp(days * MICROS_PER_DAY))
    }

    /// Microseconds since the epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Whole milliseconds since the epoch, 0 for instants before it: the form a UUIDv7 carries.
    pub const fn unix_ms(self) -> u64 {
        if self.0 < 0 { 0 } else { self.0.unsigned_abs() / 1_000 }
    }

    /// Whole days since the epoch, rounded down.
    pub const fn unix_days(self) -> i64 {
        self.0.div_euclid(MICROS_PER_DAY)
    }

    /// The UTC civil date: year, month 1-12, day 1-31.
    pub fn date(self) -> (i64, u8, u8) {
        civil_from_days(self.unix_days())
    }

    /// This instant moved by `micros`, or none if that leaves the years 0000-9999.
    pub fn checked_add_micros(self, micros: i64) -> Option<Timestamp> {
        let moved = Timestamp(self.0.checked_add(micros)?);
        (Self::MIN..=Self::MAX).contains(&moved).then_some(moved)
    }

    /// This instant moved by whole days of 86,400 s, or none if that leaves the years 0000-9999.
    pub fn checked_add_days(self, days: i64) -> Option<Timestamp> {
        self.checked_add_micros(days.checked_mul(MICROS_PER_DAY)?)
    }

    /// Microseconds from `earlier` to this instant (negative if `earlier` is later), kept at the ends of i64.
    pub const fn micros_since(self, earlier: Timestamp) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Reads an RFC 3339 date-time.
    ///
    /// - The offset is required; `-00:00` (unknown local offset, section 4.3) reads as UTC. `t` and `z` may be lower case
    ///   (section 5.6); a space instead of `T` is refused.
    /// - 1 to 9 fraction digits; what is finer than a microsecond is cut off, never rounded up into the next second.
    /// - Second 60 is taken only in the last minute of a UTC month and reads as `23:59:59.999999`, so that a leap second
    ///   stays in its own day, quarter and retention period.
    ///
    /// # Errors
    /// [`TimeError`] says which rule the text breaks.
    pub fn parse_rfc3339(text: &str) -> Result<Timestamp, TimeError> {
        let bytes = text.as_bytes();
        let (head, rest) = bytes.split_first_chunk::<19>().ok_or(TimeError::Form)?;
        let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T' | b't', h1, h2, b':', i1, i2, b':', s1, s2] = *head
        else {
            return Err(TimeError::Form);
        };
        let year = pair(y1, y2)? * 100 + pair(y3, y4)?;
        let (month, day) = (pair(m1, m2)?, pair(d1, d2)?);
        let (hour, minute, second) = (pair(h1, h2)?, pair(i1, i2)?, pair(s1, s2)?);
        let (fraction, rest) = fraction_micros(rest)?;
        let offset_minutes = offset_minutes(rest)?;

        let month_length =
            u8::try_from(month).ok().and_then(|m| days_in_month(year, m)).ok_or(TimeError::FieldRange)?;
        if day < 1 || day > i64::from(month_length) || hour > 23 || minute > 59 || second > 60 {
            return Err(TimeError::FieldRange);
        }
        let minutes = days_from_civil(year, month, day) * 1440 + hour * 60 + minute - offset_minutes;
        let within = if second == 60 {
            check_leap_minute(minutes)?;
            60 * MICROS_PER_SECOND - 1
        } else {
            second * MICROS_PER_SECOND + fraction
        };
        let instant = Timestamp(minutes * 60 * MICROS_PER_SECOND + within);
        if (Self::MIN..=Self::MAX).contains(&instant) { Ok(instant) } else { Err(TimeError::YearRange) }
    }

    /// Writes the 27 characters of the text form into `buffer` and returns them as text, without allocating. None for
    /// instants outside the years 0000-9999.
    pub fn write_rfc3339(self, buffer: &mut [u8; 27]) -> Option<&str> {
        if !(Self::MIN..=Self::MAX).contains(&self) {
            return None;
        }
        let (year, month, day) = self.date();
        let micros = self.0.rem_euclid(MICROS_PER_DAY);
        let seconds = micros / MICROS_PER_SECOND;
        *buffer = *b"0000-00-00T00:00:00.000000Z";
        put_digits(&mut buffer[0..4], year);
        put_digits(&mut buffer[5..7], i64::from(month));
        put_digits(&mut buffer[8..10], i64::from(day));
        put_digits(&mut buffer[11..13], seconds / 3600);
        put_digits(&mut buffer[14..16], seconds / 60 % 60);
        put_digits(&mut buffer[17..19], seconds % 60);
        put_digits(&mut buffer[20..26], micros % MICROS_PER_SECOND);
        std::str::from_utf8(buffer).ok()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut buffer = [0; 27];
        if let Some(text) = self.write_rfc3339(&mut buffer) {
            return f.write_str(text);
        }
        let (year, month, day) = self.date();
        let micros = self.0.rem_euclid(MICROS_PER_DAY);
        let (seconds, micros) = (micros / MICROS_PER_SECOND, micros % MICROS_PER_SECOND);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:+07}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Timestamp {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Timestamp, TimeError> {
        Timestamp::parse_rfc3339(text)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut buffer = [0; 27];
        match self.write_rfc3339(&mut buffer) {
            Some(text) => serializer.serialize_str(text),
            None => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Timestamp;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an RFC 3339 date-time")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Timestamp, E> {
                Timestamp::parse_rfc3339(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Reads `YYYY-MM-DD` of the UTC calendar, in days since 1970-01-01; none if the text has another form or there is no such day.
pub fn parse_day(text: &str) -> Option<i64> {
    let (year, rest) = text.split_once('-')?;
    let (month, day) = rest.split_once('-')?;
    let digits = |field: &str| field.bytes().all(|byte| byte.is_ascii_digit());
    if (year.len(), month.len(), day.len()) != (4, 2, 2) || ![year, month, day].into_iter().all(digits) {
        return None;
    }
    let date = Timestamp::from_date(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?);
    date.map(Timestamp::unix_days)
}

/// `YYYY-MM-DD` of days since 1970-01-01.
pub fn day_text(day: i64) -> String {
    let (year, month, day) = Timestamp::from_micros(day.saturating_mul(MICROS_PER_DAY)).date();
    format!("{year:04}-{month:02}-{day:02}")
}

/// A calendar quarter in UTC, the period of data keys and retention (design section 4). Ordinal is `year * 4 + q - 1`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quarter(u16);

impl Quarter {
    /// Ordinal of 9999Q4, the last quarter there is.
    const LAST: u16 = 9999 * 4 + 3;

    /// The quarter that `instant` lies in; instants outside the years 0000-9999 fall into the first or last one.
    pub fn of(instant: Timestamp) -> Quarter {
        let (year, month, _) = instant.clamp(Timestamp::MIN, Timestamp::MAX).date();
        let ordinal = year * 4 + (i64::from(month) - 1) / 3;
        Quarter(u16::try_from(ordinal).map_or(Self::LAST, |ordinal| ordinal.min(Self::LAST)))
    }

    /// `year * 4 + q - 1`.
    pub const fn ordinal(self) -> u16 {
        self.0
    }

    /// The quarter of an ordinal, or none beyond 9999Q4.
    pub const fn from_ordinal(ordinal: u16) -> Option<Quarter> {
        if ordinal <= Self::LAST { Some(Quarter(ordinal)) } else { None }
    }

    /// First instant of the quarter.
    pub fn start(self) -> Timestamp {
        Timestamp(first_day_of_quarter(i64::from(self.0)) * MICROS_PER_DAY)
    }

    /// First instant after the quarter.
    pub fn end(self) -> Timestamp {
        Timestamp(first_day_of_quarter(i64::from(self.0) + 1) * MICROS_PER_DAY)
    }
}

impl fmt::Display for Quarter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}Q{}", self.0 / 4, self.0 % 4 + 1)
    }
}

impl std::str::FromStr for Quarter {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Quarter, TimeError> {
        let (year, quarter) = text.split_once('Q').ok_or(TimeError::Form)?;
        match (year.len(), year.parse::<u16>(), quarter.parse::<u16>()) {
            (4, Ok(year), Ok(quarter @ 1..=4)) => Ok(Quarter(year * 4 + quarter - 1)),
            _ => Err(TimeError::Form),
        }
    }
}

impl fmt::Debug for Quarter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn pair(tens: u8, ones: u8) -> Result<i64, TimeError> {
    if tens.is_ascii_digit() && ones.is_ascii_digit() {
        Ok(i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
    } else {
        Err(TimeError::Form)
    }
}

/// Reads `.digits` if it is there; gives microseconds, cut off, and what follows.
fn fraction_micros(bytes: &[u8]) -> Result<(i64, &[u8]), TimeError> {
    let Some(digits) = bytes.strip_prefix(b".") else {
        return Ok((0, bytes));
    };
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 || count > 9 {
        return Err(TimeError::Fraction);
    }
    let (digits, rest) = digits.split_at(count);
    let digit = |place: usize| digits.get(place).map_or(0, |byte| i64::from(byte - b'0'));
    Ok(((0..6).fold(0, |micros, place| micros * 10 + digit(place)), rest))
}

/// Reads `Z`, `+hh:mm` or `-hh:mm` and nothing after it; gives minutes east of UTC.
fn offset_minutes(bytes: &[u8]) -> Result<i64, TimeError> {
    match *bytes {
        [b'Z' | b'z'] => Ok(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (pair(h1, h2)?, pair(m1, m2)?);
            if hours > 23 || minutes > 59 {
                return Err(TimeError::FieldRange);
            }
            let east = hours * 60 + minutes;
            Ok(if sign == b'-' { -east } else { east })
        }
        _ => Err(TimeError::Form),
    }
}

/// `minutes` since the epoch must be 23:59 on the last day of a month.
fn check_leap_minute(minutes: i64) -> Result<(), TimeError> {
    let (_, _, day_after) = civil_from_days(minutes.div_euclid(1440) + 1);
    if minutes.rem_euclid(1440) == 1439 && day_after == 1 { Ok(()) } else { Err(TimeError::LeapSecond) }
}

fn put_digits(place: &mut [u8], mut value: i64) {
    for digit in place.iter_mut().rev() {
        // A remainder by ten fits u8.
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

const fn days_in_month(year: i64, month: u8) -> Option<u8> {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 => Some(if is_leap(year) { 29 } else { 28 }),
        _ => None,
    }
}

fn first_day_of_quarter(ordinal: i64) -> i64 {
    days_from_civil(ordinal / 4, ordinal % 4 * 3 + 1, 1)
}

/// Days since the epoch of a proleptic Gregorian date. Years are counted from March, so that the leap day is the last.
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, u8, u8) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    // Day is 1-31 and month 1-12 by the arithmetic above.
    (year, month as u8, day as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(text: &str) -> Result<i64, TimeError> {
        Timestamp::parse_rfc3339(text).map(Timestamp::micros)
    }

    #[test]
    fn days_are_read_as_they_are_written() {
        for (text, day) in [
            ("1970-01-02", Some(1)),
            ("2026-11-03", Some(20_760)),
            ("1969-12-31", Some(-1)),
            ("2026-02-31", None),
            ("2026-2-03", None),
            ("2026-+2-03", None),
            ("2026-11-03T00:00:00Z", None),
            ("soon", None),
        ] {
            assert_eq!(parse_day(text), day, "{text}");
            assert!(day.is_none_or(|day| day_text(day) == text), "{text}");
        }
    }

    #[test]
    fn known_instants_read_and_print() {
        for (text, expected, printed) in [
            ("1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00.000000Z"),
            ("2026-11-03T16:40:00Z", 1_793_724_000_000_000, "2026-11-03T16:40:00.000000Z"),
            ("2026-11-03T11:40:00.25-05:00", 1_793_724_000_250_000, "2026-11-03T16:40:00.250000Z"),
            ("2026-11-03t16:40:00.123456789z", 1_793_724_000_123_456, "2026-11-03T16:40:00.123456Z"),
            ("1969-12-31T23:59:59.999999-00:00", -1, "1969-12-31T23:59:59.999999Z"),
            ("2000-02-29T00:00:00+00:00", 951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            ("0000-01-01T00:00:00Z", Timestamp::MIN.micros(), "0000-01-01T00:00:00.000000Z"),
            ("9999-12-31T23:59:59.999999Z", Timestamp::MAX.micros(), "9999-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(micros(text), Ok(expected), "{text}");
            assert_eq!(Timestamp::from_micros(expected).to_string(), printed);
        }
    }

    #[test]
    fn loose_forms_are_refused_with_the_rule_they_break() {
        use TimeError::*;
        for (text, error) in [
            ("", Form),
            ("2026-11-03", Form),
            ("2026-11-03T16:40:00", Form),
            ("2026-11-03 16:40:00Z", Form),
            ("2026-11-03T16:40Z", Form),
            ("2026-11-03T16:40:00ZZ", Form),
            ("2026-11-03T16:40:00+0500", Form),
            ("2026-11-03T16:40:00+5:00", Form),
            ("+026-11-03T16:40:00Z", Form),
            ("2026-11-03T16:40:00,5Z", Form),
            ("２026-11-03T16:40:00Z", Form),
            ("2026-11-03T16:40:00.Z", Fraction),
            ("2026-11-03T16:40:00.1234567890Z", Fraction),
            ("2026-13-03T16:40:00Z", FieldRange),
            ("2026-00-03T16:40:00Z", FieldRange),
            ("2026-02-29T16:40:00Z", FieldRange),
            ("1900-02-29T16:40:00Z", FieldRange),
            ("2026-11-00T16:40:00Z", FieldRange),
            ("2026-11-03T24:00:00Z", FieldRange),
            ("2026-11-03T16:60:00Z", FieldRange),
            ("2026-11-03T16:40:61Z", FieldRange),
            ("2026-11-03T16:40:00+24:00", FieldRange),
            ("2026-11-03T16:40:60Z", LeapSecond),
            ("2026-11-03T23:59:60Z", LeapSecond),
            ("0000-01-01T00:00:00+00:01", YearRange),
            ("9999-12-31T23:59:59-00:01", YearRange),
        ] {
            assert_eq!(micros(text), Err(error), "{text}");
        }
    }

    #[test]
    fn leap_second_stays_in_its_quarter() {
        let last = Ok(1_483_228_799_999_999);
        assert_eq!(micros("2016-12-31T23:59:60Z"), last);
        assert_eq!(micros("2016-12-31T18:59:60.75-05:00"), last);
        assert_eq!(Quarter::of(Timestamp::from_micros(1_483_228_799_999_999)).to_string(), "2016Q4");
    }

    #[test]
    fn every_day_of_ten_thousand_years_round_trips() {
        let mut days = Timestamp::MIN.unix_days();
        for year in 0..=9999 {
            for month in 1..=12 {
                for day in 1..=days_in_month(year, month).unwrap() {
                    assert_eq!(days_from_civil(year, i64::from(month), i64::from(day)), days);
                    assert_eq!(civil_from_days(days), (year, month, day));
                    days += 1;
                }
            }
        }
        assert_eq!(days, Timestamp::MAX.unix_days() + 1);
    }

    #[test]
    fn quarters_meet_without_gap_or_overlap() {
        for ordinal in 0..=Quarter::LAST {
            let quarter = Quarter::from_ordinal(ordinal).unwrap();
            assert_eq!(Quarter::of(quarter.start()), quarter);
            assert_eq!(quarter.to_string().parse(), Ok(quarter));
            assert_eq!(Quarter::of(Timestamp::from_micros(quarter.end().micros() - 1)), quarter);
        }
        assert_eq!(Quarter::from_ordinal(Quarter::LAST + 1), None);
        let quarter = Quarter::of(Timestamp::parse_rfc3339("2026-11-03T16:40:00Z").unwrap());
        assert_eq!((quarter.ordinal(), quarter.to_string().as_str()), (8107, "2026Q4"));
        assert_eq!(quarter.end().to_string(), "2027-01-01T00:00:00.000000Z");
    }

    #[test]
    fn instants_outside_the_calendar_print_but_do_not_read() {
        let far = Timestamp::from_micros(i64::MAX);
        assert_eq!(far.to_string(), "+294247-01-10T04:00:54.775807Z");
        assert_eq!(Timestamp::parse_rfc3339(&far.to_string()), Err(TimeError::Form));
        assert_eq!(Quarter::of(far).ordinal(), Quarter::LAST);
        assert_eq!(Timestamp::from_micros(i64::MIN).checked_add_micros(-1), None);
    }

    #[test]
    fn json_form_is_the_text_form() {
        let instant = Timestamp::from_date(2026, 11, 3).unwrap();
        let json = serde_json::to_string(&instant).unwrap();
        assert_eq!(json, "\"2026-11-03T00:00:00.000000Z\"");
        assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), instant);
        assert!(serde_json::from_str::<Timestamp>("1793724000").is_err());
    }
}
