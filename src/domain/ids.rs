//! Identities: sixteen bytes each, a type per kind, so that a subject cannot be passed where an event is meant.
//!
//! The text form is the hyphenated lower-case UUID of RFC 9562 section 4, also for ids that are not UUIDs by content
//! (a key id is a fingerprint). Nothing here makes randomness: the caller passes it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

/// The text is not a hyphenated UUID. Never echoes the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a hyphenated uuid")]
pub struct IdError;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// The id with these bytes; any sixteen bytes are an id.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The sixteen bytes, as they stand in entries and associated data.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(Uuid::from_bytes(self.0).hyphenated().encode_lower(&mut Uuid::encode_buffer()))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                parse(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(Uuid::from_bytes(self.0).hyphenated().encode_lower(&mut Uuid::encode_buffer()))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(IdVisitor).map(Self)
            }
        }
    };
}

id! {
    /// One tenant's log. All keys in all tables lead with it.
    LedgerId
}
id! {
    /// A recorded event, UUIDv7, minted by us and never by the client.
    EventId
}
id! {
    /// The pseudonym of a person, UUIDv7. The log knows a person by nothing else.
    SubjectId
}
id! {
    /// Fingerprint of a data key: it names the key and tells nothing about it.
    KeyId
}
id! {
    /// The binding of one (kind, value) to a ledger: random, given at first binding.
    IdentifierId
}
id! {
    /// Who acted: an opaque principal, never a name.
    PrincipalId
}

/// Builds a UUIDv7 (RFC 9562 section 5.7) from milliseconds since the Unix epoch (the low 48 bits are used) and ten random
/// bytes, of which six bits give way to version and variant.
pub fn uuid_v7(unix_ms: u64, random: [u8; 10]) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&unix_ms.to_be_bytes()[2..]);
    bytes[6..].copy_from_slice(&random);
    bytes[6] = (bytes[6] & 0x0f) | 0x70;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    bytes
}

/// One text form only: `Uuid` alone would also take braces, a URN and 32 bare digits, and two spellings of one id are two
/// cache keys.
fn parse(text: &str) -> Result<[u8; 16], IdError> {
    if text.len() != 36 {
        return Err(IdError);
    }
    Uuid::try_parse(text).map(Uuid::into_bytes).map_err(|_| IdError)
}

struct IdVisitor;

impl de::Visitor<'_> for IdVisitor {
    type Value = [u8; 16];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a hyphenated uuid")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<[u8; 16], E> {
        parse(text).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f";

    #[test]
    fn uuid_v7_matches_the_rfc_9562_example() {
        let random = [0x0c, 0xc3, 0x18, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f];
        assert_eq!(EventId::from_bytes(uuid_v7(0x017f_22e2_79b0, random)).to_string(), TEXT);
    }

    #[test]
    fn text_and_json_round_trip() {
        let id: SubjectId = TEXT.parse().unwrap();
        assert_eq!(id.to_string(), TEXT);
        assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"{TEXT}\""));
        assert_eq!(serde_json::from_str::<SubjectId>(&format!("\"{TEXT}\"")).unwrap(), id);
        assert_eq!(TEXT.to_uppercase().parse::<SubjectId>(), Ok(id));
    }

    #[test]
    fn other_spellings_are_refused() {
        let braces = format!("{{{TEXT}}}");
        for text in ["", "017f22e279b07cc398c4dc0c0c07398f", &TEXT[1..], braces.as_str(), &TEXT.replace('-', "_")] {
            assert_eq!(text.parse::<LedgerId>(), Err(IdError), "{text}");
        }
        assert!(serde_json::from_str::<LedgerId>("7").is_err());
    }
}
