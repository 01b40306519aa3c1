//! From a data key to everything a part needs: HKDF-SHA-256 (RFC 5869), the labels of `ops/format-crypto.md`.
//!
//! ```text
//! PRK  = HKDF-Extract("tallystick/v1", DEK)
//! id   = HKDF-Expand(PRK, "key-id", 32)[..16]
//! S    = HKDF-Expand(PRK, CBOR["part", event id, part no], 32)
//! K    = HKDF-Expand(S, "key", 32)       C = HKDF-Expand(S, "commit", 32)       salt = HKDF-Expand(S, CBOR["salt", path], 32)
//! ```
//!
//! S opens one part and nothing else: it is what a bundle discloses. Nothing here depends on position or time, so a part
//! sealed before its place in the chain is known stays valid.

use std::fmt;
use std::sync::LazyLock;

use super::cbor::{self, Sink};
use super::mac::{MacState, Message};
use super::secret::Secret;
use crate::domain::ids::{EventId, KeyId};

const EXTRACT_SALT: &[u8] = b"tallystick/v1";

static EXTRACT: LazyLock<MacState> = LazyLock::new(|| MacState::new(EXTRACT_SALT));

/// A data key, ready to derive from. It keeps the extracted PRK as HMAC state and not the key itself; both are wiped on
/// drop, so dropping the last copy of a destroyed key ends it in this process.
pub struct Dek {
    prk: MacState,
    id: KeyId,
}

impl Dek {
    /// Extracts once; deriving a part is then two HMAC blocks.
    pub fn new(key: &Secret<32>) -> Dek {
        let prk = MacState::new(Secret::new(EXTRACT.sign(|out| out.put(key.expose()))).expose());
        let mut id = [0; 16];
        id.copy_from_slice(&expand(&prk, |info| info.put(b"key-id")).expose()[..16]);
        Dek { prk, id: KeyId::from_bytes(id) }
    }

    /// The fingerprint that entries, associated data and certificates name this key by. It reveals nothing about the key.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The secret of one part. Event ids are never used twice, so neither is a part's key.
    pub fn part_secret(&self, event: &EventId, part_no: u8) -> PartSecret {
        PartSecret::new(expand(&self.prk, |info| {
            cbor::array(info, 3);
            cbor::text(info, "part");
            cbor::bytes(info, event.as_bytes());
            cbor::uint(info, u64::from(part_no));
        }))
    }
}

impl fmt::Debug for Dek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dek({})", self.id)
    }
}

/// The secret of one part, S in the design: opens that part, proves its fields, and nothing else. Wiped on drop.
pub struct PartSecret {
    secret: Secret<32>,
    prk: MacState,
}

impl PartSecret {
    /// The secret as a bundle discloses it. Whether it is the right one shows in its [`commitment`](Self::commitment).
    pub fn from_disclosed(secret: [u8; 32]) -> PartSecret {
        PartSecret::new(Secret::new(secret))
    }

    /// The bytes for a bundle. Whoever holds them and the sealed part can read the part.
    pub fn disclose(&self) -> [u8; 32] {
        *self.secret.expose()
    }

    /// C: stands in the entry and binds the part to exactly one secret, which GCM alone does not.
    pub fn commitment(&self) -> [u8; 32] {
        *expand(&self.prk, |info| info.put(b"commit")).expose()
    }

    /// The salt of the field at `path` (RFC 6901). Without it a low-entropy value could be guessed from its leaf.
    pub fn salt(&self, path: &str) -> [u8; 32] {
        *expand(&self.prk, |info| {
            cbor::array(info, 2);
            cbor::text(info, "salt");
            cbor::text(info, path);
        })
        .expose()
    }

    /// K: the AES-256-GCM key of the part.
    pub(super) fn key(&self) -> Secret<32> {
        expand(&self.prk, |info| info.put(b"key"))
    }

    fn new(secret: Secret<32>) -> PartSecret {
        let prk = MacState::new(secret.expose());
        PartSecret { secret, prk }
    }
}

impl fmt::Debug for PartSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PartSecret(..)")
    }
}

/// HKDF-Expand for 32 bytes, which is one block: HMAC(PRK, info || 0x01).
fn expand(prk: &MacState, info: impl FnOnce(&mut Message)) -> Secret<32> {
    Secret::new(prk.sign(|message| {
        info(message);
        message.put(&[1]);
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::hkdf;

    struct Len32;
    impl hkdf::KeyType for Len32 {
        fn len(&self) -> usize {
            32
        }
    }

    fn reference_expand(prk: &hkdf::Prk, info: &[u8]) -> [u8; 32] {
        let mut out = [0; 32];
        prk.expand(&[info], Len32).unwrap().fill(&mut out).unwrap();
        out
    }

    #[test]
    fn every_derivation_equals_rings_general_hkdf() {
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, b"tallystick/v1").extract(&[3; 32]);
        let dek = Dek::new(&Secret::new([3; 32]));
        assert_eq!(dek.id().as_bytes()[..], reference_expand(&prk, b"key-id")[..16]);

        let event = EventId::from_bytes([9; 16]);
        let part = dek.part_secret(&event, 2);
        let info = [b"\x83\x64part\x50".as_slice(), &[9; 16], &[2]].concat();
        assert_eq!(part.disclose(), reference_expand(&prk, &info));

        let prk = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, &part.disclose());
        assert_eq!(part.key().expose(), &reference_expand(&prk, b"key"));
        assert_eq!(part.commitment(), reference_expand(&prk, b"commit"));
        assert_eq!(part.salt("/phone"), reference_expand(&prk, b"\x82\x64salt\x66/phone"));
    }

    #[test]
    fn any_other_key_event_part_or_path_gives_another_secret() {
        let dek = Dek::new(&Secret::new([3; 32]));
        let event = EventId::from_bytes([9; 16]);
        let part = dek.part_secret(&event, 2);
        let others = [
            Dek::new(&Secret::new([4; 32])).part_secret(&event, 2),
            dek.part_secret(&EventId::from_bytes([8; 16]), 2),
            dek.part_secret(&event, 1),
        ];
        for other in others {
            assert_ne!(part.disclose(), other.disclose());
            assert_ne!(part.commitment(), other.commitment());
            assert_ne!(part.salt("/a"), other.salt("/a"));
        }
        assert_ne!(part.salt("/a"), part.salt("/b"));
        assert_ne!(dek.id(), Dek::new(&Secret::new([4; 32])).id());
    }

    #[test]
    fn a_disclosed_secret_is_the_same_part() {
        let part = Dek::new(&Secret::new([3; 32])).part_secret(&EventId::from_bytes([9; 16]), 0);
        let disclosed = PartSecret::from_disclosed(part.disclose());
        assert_eq!(disclosed.commitment(), part.commitment());
        assert_eq!(disclosed.key().expose(), part.key().expose());
    }

    #[test]
    fn debug_shows_the_fingerprint_and_no_key() {
        let dek = Dek::new(&Secret::new([3; 32]));
        assert_eq!(format!("{dek:?}"), format!("Dek({})", dek.id()));
        assert_eq!(format!("{:?}", dek.part_secret(&EventId::from_bytes([9; 16]), 0)), "PartSecret(..)");
    }
}
