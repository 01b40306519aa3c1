//! AES-256-GCM as this ledger lays it out: nonce (12 bytes) || ciphertext || tag (16 bytes).
//!
//! GCM does not commit to its key: whoever opens a part must check its commitment first, which is `seal`'s duty.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::sized;

/// Bytes of nonce before the ciphertext.
pub(super) const NONCE_LEN: usize = 12;
/// Bytes of tag after the ciphertext.
pub(super) const TAG_LEN: usize = 16;

pub(super) fn seal(key: &[u8; 32], nonce: [u8; 12], aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(NONCE_LEN + plaintext.len() + TAG_LEN);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(plaintext);
    let nonce = Nonce::assume_unique_for_key(nonce);
    let tag = sized(cipher(key).seal_in_place_separate_tag(nonce, Aad::from(aad), &mut sealed[NONCE_LEN..]));
    sealed.extend_from_slice(tag.as_ref());
    sealed
}

/// The plaintext; none if key, nonce, associated data, ciphertext or tag differ from what was sealed, or bytes are missing.
pub(super) fn open(key: &[u8; 32], aad: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>()?;
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let mut plaintext = Zeroizing::new(body.to_vec());
    let opened = cipher(key).open_in_place(nonce, Aad::from(aad), &mut plaintext).ok()?.len();
    plaintext.truncate(opened);
    Some(plaintext)
}

fn cipher(key: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(sized(UnboundKey::new(&AES_256_GCM, key)))
}
