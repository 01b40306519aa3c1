//! What a person can be found by. Values are personal data: `Debug` hides them and errors never echo them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Stands between source and reference in the value of a [`IdentifierKind::Ref`]: the ASCII unit separator.
pub const REF_SEPARATOR: char = '\u{1f}';

/// The kinds of identifier that a subject may be resolved by. Codes are frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentifierKind {
    /// A phone number in E.164 form.
    Phone = 1,
    /// An e-mail address in its stated form.
    Email = 2,
    /// A client's own reference, scoped by the source that uses it.
    Ref = 3,
}

/// Why a kind or a reference is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentifierError {
    /// Source or reference is empty.
    #[error("source and reference must not be empty")]
    Empty,
    /// The source holds the separator, so two different pairs could share one value.
    #[error("source holds a control character")]
    Separator,
    /// No kind has this name.
    #[error("unknown identifier kind")]
    UnknownKind,
}

impl IdentifierKind {
    /// Every kind, by code.
    pub const ALL: [IdentifierKind; 3] = [IdentifierKind::Phone, IdentifierKind::Email, IdentifierKind::Ref];

    /// The number in the index.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The kind with this number, if this version knows one.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// The name in schemas and in keyed hashes.
    pub const fn name(self) -> &'static str {
        match self {
            IdentifierKind::Phone => "phone",
            IdentifierKind::Email => "email",
            IdentifierKind::Ref => "ref",
        }
    }
}

impl fmt::Display for IdentifierKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for IdentifierKind {
    type Err = IdentifierError;

    fn from_str(name: &str) -> Result<Self, IdentifierError> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or(IdentifierError::UnknownKind)
    }
}

/// One identifier of a person. Equal people's values must be equal bytes, so `value` is always the normalised form.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identifier {
    /// What `value` is.
    pub kind: IdentifierKind,
    /// E.164, the stated form of an address, or `<source>\u{1f}<ref>`.
    pub value: String,
}

impl Identifier {
    /// A client's reference within its source. Case and spaces are the client's: nothing is normalised.
    ///
    /// # Errors
    /// When either is empty or the source holds [`REF_SEPARATOR`].
    pub fn reference(source: &str, reference: &str) -> Result<Identifier, IdentifierError> {
        if source.is_empty() || reference.is_empty() {
            return Err(IdentifierError::Empty);
        }
        if source.contains(REF_SEPARATOR) {
            return Err(IdentifierError::Separator);
        }
        Ok(Identifier { kind: IdentifierKind::Ref, value: format!("{source}{REF_SEPARATOR}{reference}") })
    }

    /// Source and reference of a [`IdentifierKind::Ref`]; none for other kinds.
    pub fn reference_parts(&self) -> Option<(&str, &str)> {
        match self.kind {
            IdentifierKind::Ref => self.value.split_once(REF_SEPARATOR),
            IdentifierKind::Phone | IdentifierKind::Email => None,
        }
    }
}

impl fmt::Debug for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identifier({}, ..)", self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_round_trip_and_are_frozen() {
        let kinds: Vec<String> = IdentifierKind::ALL.iter().map(|kind| format!("{}={kind}", kind.code())).collect();
        assert_eq!(kinds.join(" "), "1=phone 2=email 3=ref");
        for kind in IdentifierKind::ALL {
            assert_eq!(IdentifierKind::from_code(kind.code()), Some(kind));
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        assert_eq!(IdentifierKind::from_code(0), None);
        assert_eq!("fax".parse::<IdentifierKind>(), Err(IdentifierError::UnknownKind));
    }

    #[test]
    fn references_of_different_sources_never_share_a_value() {
        let id = Identifier::reference("/forms", "lead-7").unwrap();
        assert_eq!(id.value, "/forms\u{1f}lead-7");
        assert_eq!(id.reference_parts(), Some(("/forms", "lead-7")));
        assert_eq!(Identifier::reference("/forms\u{1f}lead", "7"), Err(IdentifierError::Separator));
        assert_eq!(Identifier::reference("", "7"), Err(IdentifierError::Empty));
        assert_eq!(Identifier::reference("/forms", ""), Err(IdentifierError::Empty));
    }

    #[test]
    fn debug_hides_the_value() {
        let phone = Identifier { kind: IdentifierKind::Phone, value: "+12125550100".into() };
        assert_eq!(format!("{phone:?}"), "Identifier(phone, ..)");
        assert_eq!(phone.reference_parts(), None);
    }
}
