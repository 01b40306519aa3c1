//! Opening one part of an entry with its secret, and what its plaintext has to be.
//!
//! Promises: everything that the seal is bound to is taken from the entry, never from whoever brings the secret; a part is
//! good only if its digest, its commitment, its seal and its tree of fields all hold. Must never name a value or a path in
//! an error: unknown properties are personal.

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::chain::entry::{EntryRef, Part};
use crate::crypto::derive::PartSecret;
use crate::crypto::fields::{FieldError, field_paths, field_root};
use crate::crypto::hash::sha256;
use crate::crypto::seal::{PartContext, SealError, open};
use crate::domain::parts::PartKind;
use crate::domain::time::Timestamp;

/// Why a part is not what its entry commits to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PartError {
    /// The stored bytes are not those that the entry names.
    #[error("the stored bytes do not have the digest that the entry names")]
    Digest,
    /// A tree of fields that is not the entry's, or none where one belongs.
    #[error("the fields of the plaintext are not those that the entry commits to")]
    Fields,
    /// A part that cannot be opened because it was never sealed, or lacks its key or commitment.
    #[error("the part is not a sealed one")]
    NotSealed,
    /// The plaintext of a business or personal part is not RFC 8785 JSON.
    #[error("the plaintext is not canonical JSON")]
    Plaintext,
    /// Secret, place or bytes are wrong.
    #[error("{0}")]
    Seal(#[from] SealError),
    /// The occurred time is no time.
    #[error("the occurred time is not in its only allowed form")]
    Occurred,
}

/// Checks that stored bytes are those that an entry names.
///
/// # Errors
/// [`PartError::Digest`].
pub fn check_digest(part: &Part, stored: &[u8]) -> Result<(), PartError> {
    if sha256(stored) == part.digest { Ok(()) } else { Err(PartError::Digest) }
}

/// Opens a sealed part whose digest was checked, and checks what can be checked of its plaintext.
///
/// # Errors
/// [`PartError`] says what does not hold.
pub fn open_part(
    entry: &EntryRef<'_>,
    part_no: u8,
    part: &Part,
    secret: &PartSecret,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, PartError> {
    let (Some(key), Some(commitment)) = (&part.key, &part.commitment) else { return Err(PartError::NotSealed) };
    let subject = entry.subject.map(|link| link.subject);
    let context = PartContext {
        ledger: &entry.ledger,
        event: &entry.event,
        event_type: entry.event_type,
        schema: &entry.schema,
        subject: subject.as_ref(),
        part_no,
        class: part.class,
        key,
    };
    let plaintext = open(secret, &context, commitment, sealed)?;
    check_plaintext(part, secret, &plaintext)?;
    Ok(plaintext)
}

fn check_plaintext(part: &Part, secret: &PartSecret, plaintext: &[u8]) -> Result<(), PartError> {
    match part.kind {
        PartKind::Raw => Ok(()),
        PartKind::Public => Err(PartError::NotSealed),
        PartKind::Business => {
            field_paths(plaintext).map_err(|_: FieldError| PartError::Plaintext)?;
            occurred(plaintext).map(|_| ())
        }
        PartKind::Personal => {
            let root = field_root(secret, plaintext).map_err(|_: FieldError| PartError::Plaintext)?;
            if part.fields_root == Some(root) { Ok(()) } else { Err(PartError::Fields) }
        }
    }
}

#[derive(Deserialize)]
struct Occurred<'a> {
    #[serde(default, borrow)]
    occurred: Option<std::borrow::Cow<'a, str>>,
}

/// When it happened, as a business part says; none if it does not say.
///
/// # Errors
/// [`PartError::Occurred`] for what is no time, [`PartError::Plaintext`] for what is no object.
pub fn occurred(business: &[u8]) -> Result<Option<Timestamp>, PartError> {
    if !business.starts_with(b"{") {
        return Err(PartError::Plaintext);
    }
    let found: Occurred<'_> = serde_json::from_slice(business).map_err(|_| PartError::Plaintext)?;
    let Some(text) = found.occurred else { return Ok(None) };
    Timestamp::parse_rfc3339(&text).map(Some).map_err(|_| PartError::Occurred)
}

/// What the ledger itself derived of an event, as far as exports read it.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Derived {
    /// What an inbound message asks for.
    #[serde(default)]
    pub reply_class: Option<String>,
}

impl Derived {
    /// Derived facts of a business part, empty if it has none; none if it is no JSON object.
    pub fn read(business: &[u8]) -> Option<Derived> {
        #[derive(Deserialize)]
        struct Envelope {
            #[serde(default)]
            derived: Derived,
        }
        serde_json::from_slice::<Envelope>(business).ok().map(|found| found.derived)
    }
}

/// Data of a public or business part: its member `data`.
///
/// # Errors
/// [`PartError::Plaintext`] if there is none, or not of the type asked for.
pub fn data_of<T: serde::de::DeserializeOwned>(plaintext: &[u8]) -> Result<T, PartError> {
    #[derive(Deserialize)]
    struct Envelope<T> {
        data: T,
    }
    serde_json::from_slice::<Envelope<T>>(plaintext).map(|found| found.data).map_err(|_| PartError::Plaintext)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn occurred_is_read_or_absent_or_refused() {
        assert_eq!(occurred(br#"{"data":{}}"#), Ok(None));
        let at = occurred(br#"{"data":{},"occurred":"2026-11-03T16:40:00.000000Z"}"#).unwrap().unwrap();
        assert_eq!(at.to_string(), "2026-11-03T16:40:00.000000Z");
        assert_eq!(occurred(br#"{"data":{},"occurred":"yesterday"}"#), Err(PartError::Occurred));
        assert_eq!(occurred(b"[]"), Err(PartError::Plaintext));
    }

    #[test]
    fn data_is_the_member_of_that_name() {
        assert_eq!(data_of::<serde_json::Value>(br#"{"data":{"a":1}}"#).unwrap()["a"], 1);
        assert_eq!(data_of::<serde_json::Value>(b"{}"), Err(PartError::Plaintext));
    }
}
