//! Turning columns into values. A column that does not fit is an inconsistency with its table and key, never a default.

use super::StoreError;
use crate::crypto::hash::Digest;

pub(super) fn to_i64(value: u64) -> i64 {
    // Positions and sizes are counted one append at a time: 2^63 of them cannot be reached.
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn to_u64(table: &'static str, value: i64) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|_| StoreError::inconsistent(table, format!("negative number {value}")))
}

pub(super) fn array<const N: usize>(table: &'static str, bytes: &[u8]) -> Result<[u8; N], StoreError> {
    bytes.try_into().map_err(|_| StoreError::inconsistent(table, format!("{} bytes where {N} belong", bytes.len())))
}

pub(super) fn digest(table: &'static str, bytes: &[u8]) -> Result<Digest, StoreError> {
    Ok(Digest::from_bytes(array(table, bytes)?))
}
