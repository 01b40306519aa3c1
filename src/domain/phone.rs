//! Phone numbers in E.164, so that equal lines are equal bytes.
//!
//! Promises: what parses has a known country calling code and a length that is possible there; under +1 also the shape
//! `NXX NXX XXXX`. Whether a range is assigned is not asked: new area codes appear faster than tables, and a STOP from an
//! unlisted number must still count. Extensions are dropped, letters are refused: nobody guesses what `FLOWERS` dials.

use std::fmt;

use rlibphonenumber::{NumberLengthType, PHONE_NUMBER_UTIL, ParseError, PhoneNumber, Region, ValidationError};

use super::country::country;
use super::nanp::{area_code_of, area_codes, is_nanp_shape};

/// A number in E.164: `+`, calling code, national number; at most 15 digits. `Debug` hides it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Phone(String);

/// Which rule a text breaks. Never carries the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PhoneError {
    /// No such country calling code.
    #[error("unknown country calling code")]
    CallingCode,
    /// A number without + was given, and the default country is not an ISO 3166 code with numbers of its own.
    #[error("the number has no country calling code and no usable default country")]
    Country,
    /// Letters, or something else that is not a phone number.
    #[error("not a phone number: only digits, a leading +, blanks and - . ( ) / are read")]
    Form,
    /// Under +1: not area code, exchange and line, each in range.
    #[error("not a North American number: area code and exchange start with 2 to 9")]
    Nanp,
    /// More digits than any number of the country has.
    #[error("too many digits for the country")]
    TooLong,
    /// Fewer digits than any number of the country has, or an area code is missing.
    #[error("too few digits for the country, or the area code is missing")]
    TooShort,
}

impl Phone {
    /// Country of numbers that events give without `+`: senders here are US lead tools.
    pub const DEFAULT_COUNTRY: &'static str = "US";
    /// Longest text that is looked at, in bytes.
    const RAW_BYTES_MAX: usize = 64;

    /// Reads a number as people write it: with `+` in any country, without it as dialled in `default_country` (ISO 3166).
    ///
    /// # Errors
    /// [`PhoneError`] names the rule it breaks.
    pub fn parse(raw: &str, default_country: &str) -> Result<Phone, PhoneError> {
        if let Some(phone) = Phone::from_plain_nanp(raw) {
            return Ok(phone);
        }
        let dialled = dialled_part(raw)?;
        let international = dialled.starts_with('+');
        let region = default_country.parse::<Region>().ok().filter(|_| country(default_country).is_some());
        if !international && region.is_none() {
            return Err(PhoneError::Country);
        }
        let number = PHONE_NUMBER_UTIL.parse(dialled, region).map_err(|error| match error {
            ParseError::InvalidCountryCode if !international => PhoneError::Country,
            ParseError::InvalidCountryCode => PhoneError::CallingCode,
            ParseError::NotANumber(_) => PhoneError::Form,
            ParseError::TooShortAfterIdd | ParseError::TooShortNsn => PhoneError::TooShort,
            ParseError::TooLongNsn => PhoneError::TooLong,
        })?;
        possible(&number)?;
        let text = number.to_string();
        match text.strip_prefix("+1") {
            Some(national) if !is_nanp_shape(national) => Err(PhoneError::Nanp),
            _ => Ok(Phone(text)),
        }
    }

    /// Checks what [`Phone::parse`] checks; allocates nothing for the common case.
    ///
    /// # Errors
    /// As [`Phone::parse`].
    pub fn check(raw: &str, default_country: &str) -> Result<(), PhoneError> {
        match raw.strip_prefix("+1") {
            Some(national) if is_nanp_shape(national) => Ok(()),
            _ => Phone::parse(raw, default_country).map(|_| ()),
        }
    }

    /// The common case without tables: `+1` and ten digits.
    fn from_plain_nanp(raw: &str) -> Option<Phone> {
        raw.strip_prefix("+1").filter(|national| is_nanp_shape(national)).map(|_| Phone(raw.to_owned()))
    }

    /// The E.164 text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The E.164 text, without a copy.
    pub fn into_string(self) -> String {
        self.0
    }

    /// ISO 3166 country of the number, or none if it is not one country's: satellite, toll-free under +1, or an area code
    /// under +1 that `policies/area-codes.toml` does not list. US territories answer US.
    pub fn country(&self) -> Option<&'static str> {
        if self.0.starts_with("+1") {
            return area_codes().area(self.area_code()?).map(|area| area.country);
        }
        let number = PHONE_NUMBER_UTIL.parse(&self.0, None).ok()?;
        let mut regions = PHONE_NUMBER_UTIL.get_regions_for_country_calling_code(number.country_code)?;
        let region = match (regions.next(), regions.next()) {
            (Some(only), None) => only,
            // Several countries share the code; where the number alone does not tell, the code's main country stands.
            (Some(main), Some(_)) => PHONE_NUMBER_UTIL.get_region_for_number(&number).unwrap_or(main),
            (None, _) => return None,
        };
        country(&region.to_string())
    }

    /// Area code of a number under +1.
    pub fn area_code(&self) -> Option<u16> {
        area_code_of(&self.0)
    }
}

impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phone(..)")
    }
}

/// What of `raw` is dialled: without `tel:` and without an extension. Refuses other letters, so that the library's own
/// leniency (vanity letters, numbers found inside sentences) never applies.
fn dialled_part(raw: &str) -> Result<&str, PhoneError> {
    let text = raw.trim();
    if text.len() > Phone::RAW_BYTES_MAX {
        return Err(PhoneError::Form);
    }
    let text = text.strip_prefix("tel:").unwrap_or(text);
    let end = text.find(|c: char| c.is_alphabetic() || c == ';' || c == '#').unwrap_or(text.len());
    let (dialled, extension) = text.split_at(end);
    let marker = extension.trim_end_matches(|c: char| c.is_ascii_digit());
    let marked =
        matches!(marker.trim_end_matches(['.', ' ', ':', '=']), "" | "x" | "X" | "ext" | "Ext" | "EXT" | "#" | ";ext");
    let inside = |c: char| c.is_numeric() || " \u{a0}-.()/\u{2010}\u{2011}\u{2012}\u{2013}".contains(c);
    let digits = dialled.strip_prefix(['+', '\u{ff0b}']).unwrap_or(dialled);
    if !marked || digits.is_empty() || !digits.chars().all(inside) {
        return Err(PhoneError::Form);
    }
    Ok(dialled.trim_end())
}

fn possible(number: &PhoneNumber) -> Result<(), PhoneError> {
    match PHONE_NUMBER_UTIL.is_possible_number_with_reason(number) {
        Ok(NumberLengthType::IsPossible) => Ok(()),
        Ok(NumberLengthType::IsPossibleLocalOnly) | Err(ValidationError::TooShort) => Err(PhoneError::TooShort),
        Err(ValidationError::InvalidCountryCode) => Err(PhoneError::CallingCode),
        Err(ValidationError::InvalidLength | ValidationError::TooLong) => Err(PhoneError::TooLong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(raw: &str, country: &str) -> Result<String, PhoneError> {
        Phone::parse(raw, country).map(Phone::into_string)
    }

    #[test]
    fn one_line_written_many_ways_is_one_value() {
        for raw in [
            "+16145550142",
            "614-555-0142",
            "(614) 555-0142",
            "1 614 555 0142",
            "614.555.0142",
            " +1 (614) 555-0142 ",
            "tel:+1-614-555-0142",
            "011 1 614 555 0142",
            "614-555-0142 x12",
            "614-555-0142 x",
            "614-555-0142 ext. 12",
            "614-555-0142;ext=12",
            "\u{ff0b}1 614\u{a0}555\u{2011}0142",
            "+1 ６１４ 555 0142",
        ] {
            assert_eq!(parsed(raw, "US").as_deref(), Ok("+16145550142"), "{raw}");
        }
        assert_eq!(parsed("030 901820", "DE").as_deref(), Ok("+4930901820"));
        assert_eq!(parsed("+39 06 698 1234", "US").as_deref(), Ok("+39066981234"), "Italian zeros stay");
    }

    #[test]
    fn what_is_not_a_number_is_refused_with_its_rule() {
        use PhoneError::*;
        for (raw, country, error) in [
            ("", "US", Form),
            ("+", "US", Form),
            ("none", "US", Form),
            ("1-800-FLOWERS", "US", Form),
            ("call 614-555-0142", "US", Form),
            ("614-555-0142 or 614-555-0143", "US", Form),
            ("ann@example.com", "US", Form),
            ("614-555-0142 x12 x13", "US", Form),
            ("555-0142", "US", TooShort),
            ("614555014", "US", TooShort),
            ("+1614555014299", "US", TooLong),
            ("114-555-0142", "US", Nanp),
            ("+16141550142", "US", Nanp),
            ("614-555-0142", "", Country),
            ("614-555-0142", "ZZ", Country),
            ("+999 123 4567", "US", CallingCode),
        ] {
            assert_eq!(parsed(raw, country), Err(error), "{raw}");
        }
    }

    #[test]
    fn numbers_know_their_country() {
        for (e164, country, area) in [
            ("+16145550142", Some("US"), Some(614)),
            ("+14165550142", Some("CA"), Some(416)),
            ("+18765550142", Some("JM"), Some(876)),
            ("+17875550142", Some("US"), Some(787)),
            ("+18005550142", None, Some(800)),
            ("+15555550142", None, Some(555)),
            ("+442079460018", Some("GB"), None),
            ("+447700900123", Some("GB"), None),
            ("+4930901820", Some("DE"), None),
            ("+77172123456", Some("KZ"), None),
            ("+80012345678", None, None),
        ] {
            let phone = Phone::parse(e164, "").unwrap();
            assert_eq!((phone.as_str(), phone.country(), phone.area_code()), (e164, country, area));
        }
    }

    #[test]
    fn debug_hides_the_number() {
        assert_eq!(format!("{:?}", Phone::parse("+16145550142", "").unwrap()), "Phone(..)");
        assert_eq!(Phone::check("6145550142", ""), Err(PhoneError::Country));
        assert_eq!(Phone::check("6145550142", Phone::DEFAULT_COUNTRY), Ok(()));
    }
}
