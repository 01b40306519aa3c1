//! Money as integers.
//!
//! Promises: amounts in the journal are whole micro-units (1e-6 of the major unit) of one currency, documents are whole
//! minor units (design section 5a); every conversion is exact or says what it left over, every sum is checked. Never uses
//! floating point and never rounds on the way in: a seventh decimal is refused.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

/// Micro-units in a major unit.
pub const MICROS_PER_UNIT: i64 = 1_000_000;
/// Decimals of a micro-unit.
const DECIMALS: usize = 6;

/// An amount in micro-units of some currency: `12.34` is 12,340,000.
///
/// Text form: a sign if negative, digits, a point, and two to six decimals without needless zeros, as `12.34`, `0.50`,
/// `0.0075`, `-3.00`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Micros(i64);

/// Why a text or number is not an amount or a currency. Never carries the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not an active ISO 4217 code of three capital letters with a minor unit.
    #[error("not an ISO 4217 currency code in use")]
    Currency,
    /// More than six decimals.
    #[error("an amount has at most 6 decimals")]
    Decimals,
    /// Not `-?digits[.digits]`.
    #[error("an amount is digits with an optional sign and decimal point, such as 12.34")]
    Form,
    /// The result does not fit 64 bits of micro-units.
    #[error("the amount is too large")]
    Range,
}

impl Micros {
    /// No money.
    pub const ZERO: Micros = Micros(0);

    /// The amount of `micros` micro-units.
    pub const fn from_micros(micros: i64) -> Micros {
        Micros(micros)
    }

    /// The amount in micro-units.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Reads `-?digits[.digits]` with at most six decimals. No plus sign, exponent, grouping, blank or bare point.
    ///
    /// # Errors
    /// [`MoneyError::Form`], [`MoneyError::Decimals`] or, beyond about nine trillion, [`MoneyError::Range`].
    pub fn parse(text: &str) -> Result<Micros, MoneyError> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((_, "")) => return Err(MoneyError::Form),
            Some((whole, fraction)) => (whole, fraction),
            None => (digits, ""),
        };
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
            return Err(MoneyError::Form);
        }
        if fraction.len() > DECIMALS {
            return Err(MoneyError::Decimals);
        }
        let padding = std::iter::repeat_n(b'0', DECIMALS - fraction.len());
        // Counted downwards from zero when negative, so that i64::MIN can be read back.
        whole
            .bytes()
            .chain(fraction.bytes())
            .chain(padding)
            .map(|byte| i64::from(byte - b'0'))
            .try_fold(0_i64, |sum, digit| {
                let sum = sum.checked_mul(10)?;
                if negative { sum.checked_sub(digit) } else { sum.checked_add(digit) }
            })
            .map(Micros)
            .ok_or(MoneyError::Range)
    }

    /// The sum.
    ///
    /// # Errors
    /// [`MoneyError::Range`] when it does not fit.
    pub fn plus(self, other: Micros) -> Result<Micros, MoneyError> {
        self.0.checked_add(other.0).map(Micros).ok_or(MoneyError::Range)
    }

    /// The difference.
    ///
    /// # Errors
    /// [`MoneyError::Range`] when it does not fit.
    pub fn minus(self, other: Micros) -> Result<Micros, MoneyError> {
        self.0.checked_sub(other.0).map(Micros).ok_or(MoneyError::Range)
    }

    /// The amount `count` times.
    ///
    /// # Errors
    /// [`MoneyError::Range`] when it does not fit.
    pub fn times(self, count: i64) -> Result<Micros, MoneyError> {
        self.0.checked_mul(count).map(Micros).ok_or(MoneyError::Range)
    }

    /// The same amount with the other sign.
    ///
    /// # Errors
    /// [`MoneyError::Range`] for the one amount that has no opposite.
    pub fn negated(self) -> Result<Micros, MoneyError> {
        self.0.checked_neg().map(Micros).ok_or(MoneyError::Range)
    }

    /// Whole minor units of `currency`, and what they leave of the amount: `minor * unit + rest == amount` exactly. Halves
    /// go to the even neighbour, so that documents do not drift to one side. The rest belongs to account rounding.
    pub const fn to_minor(self, currency: Currency) -> (i64, Micros) {
        let unit = currency.micros_per_minor();
        let (floor, over) = (self.0.div_euclid(unit), self.0.rem_euclid(unit));
        let up = over * 2 > unit || (over * 2 == unit && floor % 2 != 0);
        if up { (floor + 1, Micros(over - unit)) } else { (floor, Micros(over)) }
    }

    /// The amount of `minor` whole minor units of `currency`.
    ///
    /// # Errors
    /// [`MoneyError::Range`] when it does not fit.
    pub fn from_minor(minor: i64, currency: Currency) -> Result<Micros, MoneyError> {
        Micros(minor).times(currency.micros_per_minor())
    }
}

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, size) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        let (whole, mut rest) = (size / MICROS_PER_UNIT.unsigned_abs(), size % MICROS_PER_UNIT.unsigned_abs());
        let mut decimals = DECIMALS;
        while decimals > 2 && rest.is_multiple_of(10) {
            rest /= 10;
            decimals -= 1;
        }
        write!(f, "{sign}{whole}.{rest:0decimals$}")
    }
}

impl fmt::Debug for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Micros {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Micros, MoneyError> {
        Micros::parse(text)
    }
}

impl Serialize for Micros {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Micros {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Micros, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Micros;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an amount as a string, such as \"12.34\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Micros, E> {
                Micros::parse(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// An active ISO 4217 currency that has a minor unit of at most six decimals.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency {
    code: [u8; 3],
    exponent: u8,
}

impl Currency {
    /// The US dollar, in which most ledgers keep most accounts.
    pub const USD: Currency = Currency { code: *b"USD", exponent: 2 };

    /// The currency of a code of three capital letters.
    ///
    /// # Errors
    /// [`MoneyError::Currency`] for unknown and superseded codes and for units without decimals of their own, such as gold.
    pub fn parse(code: &str) -> Result<Currency, MoneyError> {
        // Nearly every amount is in dollars; the table behind from_code is a long match.
        if code == "USD" {
            return Ok(Self::USD);
        }
        let found = iso_currency::Currency::from_code(code).ok_or(MoneyError::Currency)?;
        let exponent = found.exponent().and_then(|exponent| u8::try_from(exponent).ok()).ok_or(MoneyError::Currency)?;
        let code = <[u8; 3]>::try_from(code.as_bytes()).map_err(|_| MoneyError::Currency)?;
        if found.is_superseded().is_some()
            || usize::from(exponent) > DECIMALS
            || !code.iter().all(u8::is_ascii_uppercase)
        {
            return Err(MoneyError::Currency);
        }
        Ok(Currency { code, exponent })
    }

    /// The three letters.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.code).unwrap_or_default()
    }

    /// Decimals of the minor unit: 2 for USD, 0 for JPY, 3 for BHD.
    pub const fn exponent(self) -> u8 {
        self.exponent
    }

    /// Micro-units in one minor unit: 10,000 for USD.
    pub const fn micros_per_minor(self) -> i64 {
        let mut unit = MICROS_PER_UNIT;
        let mut decimals = self.exponent;
        while decimals > 0 {
            unit /= 10;
            decimals -= 1;
        }
        unit
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl std::str::FromStr for Currency {
    type Err = MoneyError;

    fn from_str(code: &str) -> Result<Currency, MoneyError> {
        Currency::parse(code)
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Currency, D::Error> {
        let code = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Currency::parse(&code).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts_read_and_print() {
        for (text, micros, printed) in [
            ("0", 0, "0.00"),
            ("-0", 0, "0.00"),
            ("12.34", 12_340_000, "12.34"),
            ("12.340000", 12_340_000, "12.34"),
            ("0.0075", 7_500, "0.0075"),
            ("0.000001", 1, "0.000001"),
            ("-3", -3_000_000, "-3.00"),
            ("-0.5", -500_000, "-0.50"),
            ("007", 7_000_000, "7.00"),
            ("9223372036854.775807", i64::MAX, "9223372036854.775807"),
            ("-9223372036854.775808", i64::MIN, "-9223372036854.775808"),
        ] {
            assert_eq!(Micros::parse(text).map(Micros::micros), Ok(micros), "{text}");
            assert_eq!(Micros(micros).to_string(), printed);
        }
    }

    #[test]
    fn what_is_not_an_exact_amount_is_refused() {
        use MoneyError::*;
        for (text, error) in [
            ("", Form),
            ("-", Form),
            (".5", Form),
            ("5.", Form),
            ("+5", Form),
            ("--5", Form),
            ("1e3", Form),
            ("1,000.00", Form),
            ("1.2.3", Form),
            (" 5", Form),
            ("$5", Form),
            ("٣", Form),
            ("NaN", Form),
            ("0.0000001", Decimals),
            ("9223372036854.775808", Range),
            ("-9223372036854.775809", Range),
            ("99999999999999999999999999", Range),
        ] {
            assert_eq!(Micros::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn sums_that_do_not_fit_are_refused() {
        let most = Micros(i64::MAX);
        assert_eq!(most.plus(Micros(1)), Err(MoneyError::Range));
        assert_eq!(Micros(i64::MIN).minus(Micros(1)), Err(MoneyError::Range));
        assert_eq!(most.times(2), Err(MoneyError::Range));
        assert_eq!(Micros(i64::MIN).negated(), Err(MoneyError::Range));
        assert_eq!(Micros::from_minor(i64::MAX, Currency::USD), Err(MoneyError::Range));
    }

    #[test]
    fn currencies_know_their_minor_unit() {
        for (code, exponent, unit) in [("USD", 2, 10_000), ("EUR", 2, 10_000), ("JPY", 0, 1_000_000), ("BHD", 3, 1_000)]
        {
            let currency = Currency::parse(code).unwrap();
            assert_eq!((currency.code(), currency.exponent(), currency.micros_per_minor()), (code, exponent, unit));
        }
        for code in ["", "usd", "US", "USDD", "ZZZ", "XAU", "DEM", "ＵＳＤ"] {
            assert_eq!(Currency::parse(code), Err(MoneyError::Currency), "{code}");
        }
        let listed = iso_currency::Currency::from_code("USD").and_then(|currency| currency.exponent());
        assert_eq!(listed, Some(u16::from(Currency::USD.exponent())), "the short cut agrees with the table");
    }

    #[test]
    fn halves_go_to_the_even_cent() {
        for (text, cents, rest) in [
            ("0.005", 0, 5_000),
            ("0.015", 2, -5_000),
            ("0.025", 2, 5_000),
            ("-0.005", 0, -5_000),
            ("-0.015", -2, 5_000),
            ("0.0051", 1, -4_900),
            ("12.34", 1234, 0),
        ] {
            assert_eq!(Micros::parse(text).unwrap().to_minor(Currency::USD), (cents, Micros(rest)), "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_form_reads_back(micros: i64) {
            prop_assert_eq!(Micros::parse(&Micros(micros).to_string()), Ok(Micros(micros)));
        }

        #[test]
        fn minor_units_and_rest_make_the_amount(micros in -i64::MAX / 4..i64::MAX / 4) {
            for code in ["USD", "JPY", "BHD"] {
                let currency = Currency::parse(code).unwrap();
                let (minor, rest) = Micros(micros).to_minor(currency);
                prop_assert_eq!(Micros::from_minor(minor, currency).unwrap().plus(rest).unwrap(), Micros(micros));
                prop_assert!(rest.micros().abs() * 2 <= currency.micros_per_minor());
            }
        }
    }
}
