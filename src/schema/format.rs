//! `x-format`: forms of strings that our own code checks, because JSON Schema's `format` is not asserted.

use crate::domain::country::country;
use crate::domain::email::Email;
use crate::domain::money::{Currency, Micros};
use crate::domain::phone::Phone;
use crate::domain::time::Timestamp;

/// A form named by `x-format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A decimal string with at most six decimals.
    Amount,
    /// An ISO 3166-1 alpha-2 code.
    Country,
    /// An ISO 4217 code in use.
    Currency,
    /// An e-mail address.
    Email,
    /// A phone number: with `+` in any country, without it as dialled in [`Phone::DEFAULT_COUNTRY`].
    Phone,
    /// An RFC 3339 date-time with offset.
    Time,
}

impl Format {
    /// The form of a name in a schema.
    pub fn from_name(name: &str) -> Option<Format> {
        Some(match name {
            "amount" => Format::Amount,
            "country" => Format::Country,
            "currency" => Format::Currency,
            "email" => Format::Email,
            "phone" => Format::Phone,
            "time" => Format::Time,
            _ => return None,
        })
    }

    /// True if no free text, name or address fits the form, so that a field of it may be business.
    pub const fn is_closed(self) -> bool {
        match self {
            Format::Amount | Format::Country | Format::Currency | Format::Time => true,
            Format::Email | Format::Phone => false,
        }
    }

    /// The code of the problem when a string does not have the form.
    pub const fn problem_code(self) -> &'static str {
        match self {
            Format::Amount => "amount_invalid",
            Format::Country => "country_unknown",
            Format::Currency => "currency_unknown",
            Format::Email => "email_invalid",
            Format::Phone => "not_e164",
            Format::Time => "time_invalid",
        }
    }

    /// True if `text` has the form.
    pub fn accepts(self, text: &str) -> bool {
        match self {
            Format::Amount => Micros::parse(text).is_ok(),
            Format::Country => country(text).is_some(),
            Format::Currency => Currency::parse(text).is_ok(),
            Format::Email => Email::check(text).is_ok(),
            Format::Phone => Phone::check(text, Phone::DEFAULT_COUNTRY).is_ok(),
            Format::Time => Timestamp::parse_rfc3339(text).is_ok(),
        }
    }

    /// Which rule `text` breaks, in words that do not repeat it; none if it has the form.
    pub fn complaint(self, text: &str) -> Option<String> {
        match self {
            Format::Amount => Micros::parse(text).err().map(|error| error.to_string()),
            Format::Country => {
                country(text).is_none().then(|| "not an ISO 3166 country code of two capital letters".to_owned())
            }
            Format::Currency => Currency::parse(text).err().map(|error| error.to_string()),
            Format::Email => Email::check(text).err().map(|error| error.to_string()),
            Format::Phone => Phone::check(text, Phone::DEFAULT_COUNTRY).err().map(|error| error.to_string()),
            Format::Time => Timestamp::parse_rfc3339(text).err().map(|error| error.to_string()),
        }
    }
}
