//! Bytes that must not be printed, copied or left behind.
//!
//! A [`Secret`] is wiped when dropped, has no `Clone`, no `PartialEq` and no serde, and its `Debug` shows nothing. Wiping is
//! best effort: a move or `ring`'s own temporaries may leave a copy on the stack.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// `N` secret bytes, wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Secret<const N: usize>([u8; N]);

impl<const N: usize> Secret<N> {
    /// Takes the bytes. The caller's own copy, if it kept one, is the caller's to wipe.
    pub const fn new(bytes: [u8; N]) -> Self {
        Self(bytes)
    }

    /// The bytes, for the one computation that needs them.
    pub const fn expose(&self) -> &[u8; N] {
        &self.0
    }
}

impl Secret<32> {
    /// Fills a secret in place, so that no second copy is made.
    pub(super) fn fill(write: impl FnOnce(&mut [u8; 32])) -> Self {
        let mut secret = Self([0; 32]);
        write(&mut secret.0);
        secret
    }
}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new([7; 32])), "Secret(..)");
    }

    #[test]
    fn wiping_clears_every_byte() {
        let mut secret = Secret::new([7; 32]);
        secret.zeroize();
        assert_eq!(secret.expose(), &[0; 32]);
    }
}
