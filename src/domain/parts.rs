//! What a piece of an event's data is: its kind and its retention class. Codes stand in entries and in associated data, so
//! they are frozen; names stand in schemas, policies and certificates, and are frozen too.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How long a part is kept and from when: the days are in `policies/retention.toml`, the names are not negotiable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetentionClass {
    /// Proof of consent and of its withdrawal.
    Consent = 1,
    /// Contacts made: calls, texts, mails.
    Contact = 2,
    /// Do-not-contact facts; they outlive erasure.
    Suppression = 3,
    /// What is known about a lead.
    Profile = 4,
    /// Money: sales, invoices, payments, costs.
    Billing = 5,
    /// Rights requests and their answers.
    Privacy = 6,
    /// Access and security events.
    Security = 7,
    /// Bytes as received.
    Raw = 8,
    /// Items that failed validation.
    Quarantine = 9,
    /// The ledger's own life.
    System = 10,
}

/// The text or code names no part kind or retention class of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartsError {
    /// No retention class has this name.
    #[error("unknown retention class")]
    UnknownClass,
    /// No part kind has this name.
    #[error("unknown part kind")]
    UnknownKind,
}

impl RetentionClass {
    /// Every class, by code.
    pub const ALL: [RetentionClass; 10] = [
        RetentionClass::Consent,
        RetentionClass::Contact,
        RetentionClass::Suppression,
        RetentionClass::Profile,
        RetentionClass::Billing,
        RetentionClass::Privacy,
        RetentionClass::Security,
        RetentionClass::Raw,
        RetentionClass::Quarantine,
        RetentionClass::System,
    ];

    /// The number in entries and associated data.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The class with this number, if this version knows one.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.code() == code)
    }

    /// The name in schemas and policies.
    pub const fn name(self) -> &'static str {
        match self {
            RetentionClass::Consent => "consent",
            RetentionClass::Contact => "contact",
            RetentionClass::Suppression => "suppression",
            RetentionClass::Profile => "profile",
            RetentionClass::Billing => "billing",
            RetentionClass::Privacy => "privacy",
            RetentionClass::Security => "security",
            RetentionClass::Raw => "raw",
            RetentionClass::Quarantine => "quarantine",
            RetentionClass::System => "system",
        }
    }
}

impl fmt::Display for RetentionClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for RetentionClass {
    type Err = PartsError;

    fn from_str(name: &str) -> Result<Self, PartsError> {
        Self::ALL.into_iter().find(|class| class.name() == name).ok_or(PartsError::UnknownClass)
    }
}

/// What a part holds, in the order in which parts stand in an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartKind {
    /// Unsealed facts that a verifier without keys needs. Never personal.
    Public = 0,
    /// Sealed; survives the erasure of its subject.
    Business = 1,
    /// Sealed; dies with its subject.
    Personal = 2,
    /// The sealed bytes as received; dies first.
    Raw = 3,
}

impl PartKind {
    /// Every kind, by code.
    pub const ALL: [PartKind; 4] = [PartKind::Public, PartKind::Business, PartKind::Personal, PartKind::Raw];

    /// The number in entries.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The kind with this number, if this version knows one.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// The name in answers and reports.
    pub const fn name(self) -> &'static str {
        match self {
            PartKind::Public => "public",
            PartKind::Business => "business",
            PartKind::Personal => "personal",
            PartKind::Raw => "raw",
        }
    }
}

impl fmt::Display for PartKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for PartKind {
    type Err = PartsError;

    fn from_str(name: &str) -> Result<Self, PartsError> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or(PartsError::UnknownKind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_round_trip_and_are_frozen() {
        let classes: Vec<String> =
            RetentionClass::ALL.iter().map(|class| format!("{}={class}", class.code())).collect();
        assert_eq!(
            classes.join(" "),
            "1=consent 2=contact 3=suppression 4=profile 5=billing 6=privacy 7=security 8=raw 9=quarantine 10=system"
        );
        let kinds: Vec<String> = PartKind::ALL.iter().map(|kind| format!("{}={kind}", kind.code())).collect();
        assert_eq!(kinds.join(" "), "0=public 1=business 2=personal 3=raw");
        for class in RetentionClass::ALL {
            assert_eq!(RetentionClass::from_code(class.code()), Some(class));
            assert_eq!(class.name().parse(), Ok(class));
            assert_eq!(serde_json::to_string(&class).unwrap(), format!("\"{class}\""));
        }
        for kind in PartKind::ALL {
            assert_eq!(PartKind::from_code(kind.code()), Some(kind));
            assert_eq!(kind.name().parse(), Ok(kind));
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
        }
    }

    #[test]
    fn unknown_codes_and_names_are_refused() {
        assert_eq!(RetentionClass::from_code(0), None);
        assert_eq!(RetentionClass::from_code(11), None);
        assert_eq!(PartKind::from_code(4), None);
        assert_eq!("Consent".parse::<RetentionClass>(), Err(PartsError::UnknownClass));
        assert_eq!("secret".parse::<PartKind>(), Err(PartsError::UnknownKind));
    }
}
