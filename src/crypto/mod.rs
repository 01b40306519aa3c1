//! The only module that knows a cipher, a hash or a signature (all through `ring`).
//!
//! It promises that what is sealed opens only in its place, under its key and with its commitment, and that every derived
//! value is written down byte for byte in `ops/format-crypto.md`. It does no IO apart from fetching key-encryption keys at
//! start and rotation, and knows no clock, randomness or environment: nonces, seeds and values are arguments.

mod aead;
pub mod blind;
pub mod cbor;
pub mod derive;
pub mod fields;
pub mod hash;
mod hex32;
mod json;
pub mod keyring;
pub mod kms;
mod mac;
pub mod seal;
pub mod secret;
pub mod sign;
pub mod token;

#[cfg(test)]
mod vectors;

/// Takes the value of a `ring` call whose only failure is a length out of range: keys are 32 bytes by type here, and a text
/// would have to exceed 64 GiB. Going on without the value could only mean to store something unsealed or unsigned.
#[expect(clippy::expect_used, reason = "ring checks lengths at run time that cannot be wrong here")]
fn sized<T, E: std::fmt::Debug>(result: Result<T, E>) -> T {
    result.expect("length within ring's range")
}
