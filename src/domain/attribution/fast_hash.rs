//! A fast hasher for keys this process made itself: channel numbers, windows of them, and the few names of a file.
//!
//! It has no secret, so it must never key a table that strangers can fill without bound.

use std::hash::{BuildHasherDefault, Hasher};

/// Maps under [`FastHasher`].
pub(super) type FastMap<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<FastHasher>>;

/// Folds each word into the state with a 64 x 64 -> 128 bit multiplication.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct FastHasher(u64);

/// An odd constant with its bits well spread (the fractional part of the golden ratio).
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

impl FastHasher {
    #[inline]
    fn fold(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word ^ SPREAD) * u128::from(SPREAD.rotate_left(31) | 1);
        // Both halves: the high bits of the sum choose the group in the table, the low bits the bucket.
        self.0 = (product as u64) ^ ((product >> 64) as u64);
    }
}

impl Hasher for FastHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let length = (bytes.len() as u64) << 56;
        // Names are mostly 4 to 16 bytes: two words that may overlap hold them whole.
        if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
            self.fold(u64::from_le_bytes(*first) ^ length);
            if bytes.len() > 16 {
                let (words, _) = bytes.as_chunks::<8>();
                words.iter().skip(1).for_each(|word| self.fold(u64::from_le_bytes(*word)));
            }
            if bytes.len() > 8 {
                self.fold(u64::from_le_bytes(*last));
            }
        } else if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
            let (first, last) = (u64::from(u32::from_le_bytes(*first)), u64::from(u32::from_le_bytes(*last)));
            self.fold((first | last << 32) ^ length);
        } else {
            self.fold(bytes.iter().fold(length, |word, byte| word << 8 ^ u64::from(*byte)));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.fold(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.fold(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.fold(value);
    }

    fn write_u128(&mut self, value: u128) {
        self.fold(value as u64);
        self.fold((value >> 64) as u64);
    }

    fn write_usize(&mut self, value: usize) {
        self.fold(value as u64);
    }
}
