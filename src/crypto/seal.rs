//! A part sealed for exactly one place: AES-256-GCM under the part's own key, with everything the entry says about the part
//! as associated data, so that a part moved to another event, type, subject, class or number does not open.
//!
//! Opening checks the key commitment before anything is decrypted. GCM alone would let an operator prepare one sealed text
//! that opens to two plaintexts under two keys.

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::derive::PartSecret;
use super::hash::Digest;
use super::{aead, cbor};
use crate::domain::ids::{EventId, KeyId, LedgerId, SubjectId};
use crate::domain::parts::RetentionClass;

/// Suite of an unsealed (`public`) part: no key, no commitment.
pub const SUITE_NONE: u8 = 0;
/// Suite of every sealed part: AES-256-GCM with HKDF-SHA-256 keys and commitment.
pub const SUITE_AES_256_GCM: u8 = 1;
/// The entry format that sealed parts are bound to; field 1 of the entry.
pub const ENTRY_FORMAT: u32 = 1;
/// Bytes that sealing adds: nonce before, tag behind.
pub const SEALING_OVERHEAD_BYTES: usize = aead::NONCE_LEN + aead::TAG_LEN;

/// What the entry says about a part, as far as it is known before the part's position is.
#[derive(Clone, Copy, Debug)]
pub struct PartContext<'a> {
    /// The ledger that records the event.
    pub ledger: &'a LedgerId,
    /// Our id of the event.
    pub event: &'a EventId,
    /// Its type, such as `consent.granted`.
    pub event_type: &'a str,
    /// Digest of the schema that it was validated with.
    pub schema: &'a Digest,
    /// The person it is about, if any.
    pub subject: Option<&'a SubjectId>,
    /// Index of the part in the entry.
    pub part_no: u8,
    /// How long the part is kept.
    pub class: RetentionClass,
    /// Fingerprint of the data key.
    pub key: &'a KeyId,
}

/// Why a part does not open. Says nothing about its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Bytes, place or tag are not those that were sealed.
    #[error("sealed part was altered or moved")]
    Altered,
    /// The secret is not the one that the entry commits to.
    #[error("secret does not match the commitment of the entry")]
    Commitment,
}

/// Seals `plaintext` for its place: nonce || ciphertext || tag. `nonce` is 96 random bits; the key is used for this one part
/// only, so a repeated nonce under another part is harmless.
pub fn seal(secret: &PartSecret, context: &PartContext<'_>, nonce: [u8; 12], plaintext: &[u8]) -> Vec<u8> {
    aead::seal(secret.key().expose(), nonce, &associated_data(context), plaintext)
}

/// Opens a sealed part; `commitment` and `context` come from the entry, never from whoever brought the secret.
///
/// # Errors
/// [`SealError::Commitment`] before anything is decrypted, [`SealError::Altered`] if a bit of nonce, ciphertext, tag or place
/// differs.
pub fn open(
    secret: &PartSecret,
    context: &PartContext<'_>,
    commitment: &[u8; 32],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    if !bool::from(secret.commitment().ct_eq(commitment)) {
        return Err(SealError::Commitment);
    }
    aead::open(secret.key().expose(), &associated_data(context), sealed).ok_or(SealError::Altered)
}

/// Deterministic CBOR of suite, format, ledger, event, type, schema, subject or null, part no, class, key id.
pub fn associated_data(context: &PartContext<'_>) -> Vec<u8> {
    // 129 bytes with a subject, beside the type and the longest head of its length.
    let mut out = Vec::with_capacity(136 + context.event_type.len());
    cbor::array(&mut out, 10);
    cbor::uint(&mut out, u64::from(SUITE_AES_256_GCM));
    cbor::uint(&mut out, u64::from(ENTRY_FORMAT));
    cbor::bytes(&mut out, context.ledger.as_bytes());
    cbor::bytes(&mut out, context.event.as_bytes());
    cbor::text(&mut out, context.event_type);
    cbor::bytes(&mut out, context.schema.as_bytes());
    cbor::bytes_or_null(&mut out, context.subject.map(|subject| subject.as_bytes().as_slice()));
    cbor::uint(&mut out, u64::from(context.part_no));
    cbor::uint(&mut out, u64::from(context.class.code()));
    cbor::bytes(&mut out, context.key.as_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::derive::Dek;
    use crate::crypto::secret::Secret;

    const LEDGER: LedgerId = LedgerId::from_bytes([1; 16]);
    const EVENT: EventId = EventId::from_bytes([2; 16]);
    const SUBJECT: SubjectId = SubjectId::from_bytes([4; 16]);
    const SCHEMA: Digest = Digest::from_bytes([3; 32]);
    const PLAINTEXT: &[u8] = br#"{"phone":"+12125550100"}"#;

    fn dek() -> Dek {
        Dek::new(&Secret::new([7; 32]))
    }

    fn context(key: &KeyId) -> PartContext<'_> {
        PartContext {
            ledger: &LEDGER,
            event: &EVENT,
            event_type: "consent.granted",
            schema: &SCHEMA,
            subject: Some(&SUBJECT),
            part_no: 1,
            class: RetentionClass::Consent,
            key,
        }
    }

    #[test]
    fn sealed_part_opens_in_its_place() {
        let (dek, secret) = (dek(), dek().part_secret(&EVENT, 1));
        let id = dek.id();
        for plaintext in [PLAINTEXT, b"", &[0; 70_000]] {
            let sealed = seal(&secret, &context(&id), [5; 12], plaintext);
            assert_eq!(sealed.len(), plaintext.len() + SEALING_OVERHEAD_BYTES);
            assert_eq!(sealed[..12], [5; 12]);
            assert_eq!(open(&secret, &context(&id), &secret.commitment(), &sealed).unwrap().as_slice(), plaintext);
        }
    }

    #[test]
    fn any_flipped_bit_of_nonce_ciphertext_or_tag_fails() {
        let (dek, secret) = (dek(), dek().part_secret(&EVENT, 1));
        let id = dek.id();
        let mut sealed = seal(&secret, &context(&id), [5; 12], PLAINTEXT);
        for bit in 0..sealed.len() * 8 {
            sealed[bit / 8] ^= 1 << (bit % 8);
            let opened = open(&secret, &context(&id), &secret.commitment(), &sealed);
            assert_eq!(opened.unwrap_err(), SealError::Altered, "bit {bit}");
            sealed[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(open(&secret, &context(&id), &secret.commitment(), &sealed).is_ok());
    }

    #[test]
    fn any_truncation_or_extension_fails() {
        let (dek, secret) = (dek(), dek().part_secret(&EVENT, 1));
        let id = dek.id();
        let mut sealed = seal(&secret, &context(&id), [5; 12], PLAINTEXT);
        for len in 0..sealed.len() {
            let opened = open(&secret, &context(&id), &secret.commitment(), &sealed[..len]);
            assert_eq!(opened.unwrap_err(), SealError::Altered, "{len} bytes");
        }
        sealed.push(0);
        assert_eq!(open(&secret, &context(&id), &secret.commitment(), &sealed).unwrap_err(), SealError::Altered);
    }

    #[test]
    fn any_flipped_bit_of_the_commitment_fails_before_decryption() {
        let (dek, secret) = (dek(), dek().part_secret(&EVENT, 1));
        let id = dek.id();
        let sealed = seal(&secret, &context(&id), [5; 12], PLAINTEXT);
        for bit in 0..256 {
            let mut commitment = secret.commitment();
            commitment[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&secret, &context(&id), &commitment, &sealed).unwrap_err(), SealError::Commitment);
            // Also for bytes that could not be opened: the commitment is checked first.
            assert_eq!(open(&secret, &context(&id), &commitment, &[]).unwrap_err(), SealError::Commitment);
        }
    }

    #[test]
    fn wrong_key_fails_by_commitment() {
        let (dek, secret) = (dek(), dek().part_secret(&EVENT, 1));
        let id = dek.id();
        let sealed = seal(&secret, &context(&id), [5; 12], PLAINTEXT);
        let other = Dek::new(&Secret::new([8; 32])).part_secret(&EVENT, 1);
        assert_eq!(open(&other, &context(&id), &secret.commitment(), &sealed).unwrap_err(), SealError::Commitment);
        // An entry that commits to the other key does not help: the bytes are not that key's.
        assert_eq!(open(&other, &context(&id), &other.commitment(), &sealed).unwrap_err(), SealError::Altered);
    }

    #[test]
    fn moved_part_fails_to_open() {
        let (dek, secret) = (dek(), dek().part_secret(&EVENT, 1));
        let id = dek.id();
        let sealed = seal(&secret, &context(&id), [5; 12], PLAINTEXT);
        // The second event's own secret fails by its commitment ...
        let moved = EventId::from_bytes([9; 16]);
        let other = dek.part_secret(&moved, 1);
        let place = PartContext { event: &moved, ..context(&id) };
        assert_eq!(open(&other, &place, &secret.commitment(), &sealed).unwrap_err(), SealError::Commitment);
        // ... and the right secret by the place.
        assert_eq!(open(&secret, &place, &secret.commitment(), &sealed).unwrap_err(), SealError::Altered);
    }

    #[test]
    fn every_field_of_the_place_is_bound() {
        let (dek, secret) = (dek(), dek().part_secret(&EVENT, 1));
        let id = dek.id();
        let sealed = seal(&secret, &context(&id), [5; 12], PLAINTEXT);
        let (ledger, event, subject) =
            (LedgerId::from_bytes([9; 16]), EventId::from_bytes([9; 16]), SubjectId::from_bytes([9; 16]));
        let (schema, key) = (Digest::from_bytes([9; 32]), KeyId::from_bytes([9; 16]));
        let moved = [
            PartContext { ledger: &ledger, ..context(&id) },
            PartContext { event: &event, ..context(&id) },
            PartContext { event_type: "consent.revoked", ..context(&id) },
            PartContext { schema: &schema, ..context(&id) },
            PartContext { subject: Some(&subject), ..context(&id) },
            PartContext { subject: None, ..context(&id) },
            PartContext { part_no: 2, ..context(&id) },
            PartContext { class: RetentionClass::Profile, ..context(&id) },
            context(&key),
        ];
        for place in moved {
            let opened = open(&secret, &place, &secret.commitment(), &sealed);
            assert_eq!(opened.unwrap_err(), SealError::Altered, "{place:?}");
        }
    }

    /// Suite and format are constants today; the twin shows that they are bound all the same.
    #[test]
    fn suite_and_format_are_bound() {
        let (dek, secret) = (dek(), dek().part_secret(&EVENT, 1));
        let id = dek.id();
        let sealed = seal(&secret, &context(&id), [5; 12], PLAINTEXT);
        let mut aad = associated_data(&context(&id));
        assert!(aead::open(secret.key().expose(), &aad, &sealed).is_some());
        for index in 0..aad.len() {
            aad[index] ^= 1;
            assert!(aead::open(secret.key().expose(), &aad, &sealed).is_none(), "byte {index}");
            aad[index] ^= 1;
        }
        assert_eq!(aad[..3], [0x8a, SUITE_AES_256_GCM, 1]);
    }
}
