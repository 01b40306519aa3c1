//! Serde form of 32 bytes that are not a digest: 64 lower-case hex digits.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::hash::Digest;

pub(super) fn serialize<S: Serializer>(bytes: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
    Digest::from_bytes(*bytes).serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
    Digest::deserialize(deserializer).map(|digest| *digest.as_bytes())
}
