//! Ed25519 (RFC 8032), the signature of checkpoints, notes and manifests. Deterministic: no randomness is needed to sign.

use std::fmt;

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use super::secret::Secret;
use super::sized;

/// A log's or witness's key pair, made from its 32-byte seed.
pub struct SigningKey {
    pair: Ed25519KeyPair,
}

impl SigningKey {
    /// The key pair of `seed`, which any 32 random bytes are.
    pub fn from_seed(seed: &Secret<32>) -> SigningKey {
        SigningKey { pair: sized(Ed25519KeyPair::from_seed_unchecked(seed.expose())) }
    }

    /// The public key, 32 bytes.
    pub fn public(&self) -> [u8; 32] {
        let mut out = [0; 32];
        out.copy_from_slice(self.pair.public_key().as_ref());
        out
    }

    /// The signature of `message`, 64 bytes.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut out = [0; 64];
        out.copy_from_slice(self.pair.sign(message).as_ref());
        out
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

/// Whether `signature` is `public`'s over `message`. Malformed keys and signatures are simply not valid.
pub fn verify(public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    UnparsedPublicKey::new(&ED25519, public).verify(message, signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;

    /// RFC 8032 section 7.1, test 2.
    #[test]
    fn signature_matches_rfc_8032_test_2() {
        let seed = HEXLOWER.decode(b"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb").unwrap();
        let key = SigningKey::from_seed(&Secret::new(seed.try_into().unwrap()));
        assert_eq!(HEXLOWER.encode(&key.public()), "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
        assert_eq!(
            HEXLOWER.encode(&key.sign(&[0x72])),
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        );
    }

    #[test]
    fn any_flipped_bit_of_message_signature_or_key_is_refused() {
        let key = SigningKey::from_seed(&Secret::new([1; 32]));
        let (public, signature) = (key.public(), key.sign(b"size 7"));
        assert!(verify(&public, b"size 7", &signature));
        assert!(!verify(&public, b"size 8", &signature));
        for bit in 0..512 {
            let mut forged = signature;
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(!verify(&public, b"size 7", &forged), "bit {bit}");
        }
        for bit in 0..256 {
            let mut other = public;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!verify(&other, b"size 7", &signature), "bit {bit}");
        }
        assert_eq!(format!("{key:?}"), "SigningKey(..)");
    }
}
