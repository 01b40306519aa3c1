//! The only module that knows a cipher, a hash or a signature (all through `ring`).
//!
//! It promises that what is sealed opens only in its place, under its key and with its commitment, and that every derived
//! value is written down byte for byte in `ops/format-crypto.md`. It does no IO apart from reading key-encryption keys, and
//! knows no clock, randomness or environment: nonces and seeds are arguments.

pub mod cbor;
pub mod hash;
