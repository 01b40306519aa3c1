//! API keys: `tsk_<8 hex of the ledger>_<43 base62><6 base62 of CRC-32>`.
//!
//! The prefix lets a secret scanner find a leaked key, the hex says which ledger it is for, the checksum tells a mistyped key
//! from a wrong one without a lookup. Only a keyed hash of the key is ever stored.

use std::fmt;

use super::blind::MacKey;
use super::cbor;
use super::secret::Secret;
use crate::domain::ids::LedgerId;

const PREFIX: &str = "tsk_";
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const SECRET_LEN: usize = 43;
const CHECK_LEN: usize = 6;
const BODY_AT: usize = 4 + 8 + 1;
const CHECK_AT: usize = BODY_AT + SECRET_LEN;
/// Characters of an API key.
pub const API_KEY_LEN: usize = CHECK_AT + CHECK_LEN;

/// A well-formed API key. Whether it is a valid one, only the stored hash can tell.
pub struct ApiKey {
    ledger_short: [u8; 4],
    secret: Secret<32>,
}

/// Why a text is not an API key. Never echoes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The checksum does not match: most likely mistyped or cut.
    #[error("api key has a wrong checksum")]
    Checksum,
    /// Not the form of an API key.
    #[error("not an api key")]
    Form,
}

/// Writes the API key of 32 random bytes. It is shown once; keep its [`hash`] and not the text.
pub fn mint(ledger: &LedgerId, random: &[u8; 32]) -> String {
    let mut key = String::with_capacity(API_KEY_LEN);
    key.push_str(PREFIX);
    key.push_str(&data_encoding::HEXLOWER.encode(&ledger_short(ledger)));
    key.push('_');
    base62(random, SECRET_LEN, &mut key);
    let check = crc32fast::hash(key.as_bytes());
    base62(&check.to_be_bytes(), CHECK_LEN, &mut key);
    key
}

/// Reads an API key; the checksum is checked before anything else is made of it.
///
/// # Errors
/// [`TokenError`] when form or checksum are wrong.
pub fn parse(text: &str) -> Result<ApiKey, TokenError> {
    let bytes = text.as_bytes();
    if bytes.len() != API_KEY_LEN || !bytes.starts_with(PREFIX.as_bytes()) || bytes[BODY_AT - 1] != b'_' {
        return Err(TokenError::Form);
    }
    let mut ledger_short = [0; 4];
    match data_encoding::HEXLOWER.decode_mut(&bytes[PREFIX.len()..BODY_AT - 1], &mut ledger_short) {
        Ok(_) => {}
        Err(_) => return Err(TokenError::Form),
    }
    let mut check = [0; 4];
    unbase62(&bytes[CHECK_AT..], &mut check)?;
    if u32::from_be_bytes(check) != crc32fast::hash(&bytes[..CHECK_AT]) {
        return Err(TokenError::Checksum);
    }
    let mut result = Ok(());
    let secret = Secret::fill(|out| result = unbase62(&bytes[BODY_AT..CHECK_AT], out));
    result.map(|()| ApiKey { ledger_short, secret })
}

/// The four bytes that name a ledger in its API keys: its last, since the first of a UUIDv7 are a clock that ledgers made
/// within a minute share.
pub fn ledger_short(ledger: &LedgerId) -> [u8; 4] {
    let [.., a, b, c, d] = *ledger.as_bytes();
    [a, b, c, d]
}

impl ApiKey {
    /// Which ledgers the key can be for; see [`ledger_short`].
    pub fn ledger_short(&self) -> [u8; 4] {
        self.ledger_short
    }
}

/// What is stored and looked up: HMAC(pepper, CBOR["api-key", ledger short, secret]). The key has 256 random bits, so a slow
/// password hash would add nothing.
pub fn hash(pepper: &MacKey, key: &ApiKey) -> [u8; 32] {
    pepper.mac(|out| {
        cbor::array(out, 3);
        cbor::text(out, "api-key");
        cbor::bytes(out, &key.ledger_short);
        cbor::bytes(out, key.secret.expose());
    })
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({}, ..)", data_encoding::HEXLOWER.encode(&self.ledger_short))
    }
}

/// Appends the big-endian number `bytes` as exactly `len` base62 digits, most significant first.
fn base62(bytes: &[u8], len: usize, out: &mut String) {
    let mut number = zeroize::Zeroizing::new(bytes.to_vec());
    let mut digits = zeroize::Zeroizing::new(vec![b'0'; len]);
    for digit in digits.iter_mut().rev() {
        let mut rest = 0_u16;
        for byte in number.iter_mut() {
            let value = (rest << 8) | u16::from(*byte);
            // The quotient is below 256 because the remainder carried in is below 62.
            *byte = (value / 62).to_be_bytes()[1];
            rest = value % 62;
        }
        *digit = ALPHABET[usize::from(rest)];
    }
    out.extend(digits.iter().map(|digit| char::from(*digit)));
}

/// Reads base62 digits into a big-endian number; one that does not fit is refused, so each number has one spelling.
fn unbase62(digits: &[u8], out: &mut [u8]) -> Result<(), TokenError> {
    for digit in digits {
        let Some(mut carry) = ALPHABET.iter().position(|letter| letter == digit) else { return Err(TokenError::Form) };
        for byte in out.iter_mut().rev() {
            let value = usize::from(*byte) * 62 + carry;
            *byte = value.to_le_bytes()[0];
            carry = value >> 8;
        }
        if carry != 0 {
            return Err(TokenError::Form);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEDGER: LedgerId = LedgerId::from_bytes([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0xde, 0xad, 0xbe, 0xef]);

    fn pepper() -> MacKey {
        MacKey::new(Secret::new([5; 32]))
    }

    #[test]
    fn minted_key_parses_to_the_same_secret() {
        for random in [[0; 32], [0xff; 32], [0x5a; 32]] {
            let text = mint(&LEDGER, &random);
            assert_eq!(text.len(), API_KEY_LEN);
            assert!(text.starts_with("tsk_deadbeef_"), "{text}");
            let key = parse(&text).unwrap();
            assert_eq!(key.secret.expose(), &random);
            assert_eq!(key.ledger_short(), ledger_short(&LEDGER));
            assert_eq!(format!("{key:?}"), "ApiKey(deadbeef, ..)");
        }
    }

    #[test]
    fn any_changed_character_is_refused() {
        let text = mint(&LEDGER, &[0x5a; 32]);
        for at in 0..text.len() {
            for letter in ["0", "1", "Z", "a", "_", "-"] {
                let mut wrong = text.clone();
                wrong.replace_range(at..=at, letter);
                assert!(wrong == text || parse(&wrong).is_err(), "{at} {letter}");
            }
        }
        for wrong in ["", "tsk_", &text[1..], &text[..text.len() - 1], &format!("{text}0"), "tsk_é"] {
            assert_eq!(parse(wrong).unwrap_err(), TokenError::Form);
        }
    }

    #[test]
    fn a_number_too_large_is_refused_although_its_checksum_is_right() {
        let mut text = mint(&LEDGER, &[0; 32]);
        text.replace_range(BODY_AT.., &"z".repeat(SECRET_LEN));
        let check = crc32fast::hash(text.as_bytes());
        base62(&check.to_be_bytes(), CHECK_LEN, &mut text);
        assert_eq!(parse(&text).unwrap_err(), TokenError::Form);
    }

    #[test]
    fn mistyped_letter_is_told_from_a_wrong_form() {
        let mut text = mint(&LEDGER, &[0x5a; 32]);
        let letter = if text[BODY_AT..].starts_with('A') { "B" } else { "A" };
        text.replace_range(BODY_AT..=BODY_AT, letter);
        assert_eq!(parse(&text).unwrap_err(), TokenError::Checksum);
    }

    #[test]
    fn hash_depends_on_secret_ledger_and_pepper() {
        let key = parse(&mint(&LEDGER, &[1; 32])).unwrap();
        let other = parse(&mint(&LEDGER, &[2; 32])).unwrap();
        let elsewhere = parse(&mint(&LedgerId::from_bytes([0; 16]), &[1; 32])).unwrap();
        assert_ne!(hash(&pepper(), &key), hash(&pepper(), &other));
        assert_ne!(hash(&pepper(), &key), hash(&pepper(), &elsewhere));
        assert_ne!(hash(&pepper(), &key), hash(&MacKey::new(Secret::new([6; 32])), &key));
    }
}
