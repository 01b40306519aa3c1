//! A list version on disk: sorted, distinct tokens of 16 bytes, end to end, and nothing else. Its name is the SHA-256 of its
//! bytes. Immutable; holds no number and no address, only keyed hashes of them.

use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::crypto::hash::{Digest, Sha256};

/// Bytes of a token.
pub(super) const TOKEN: usize = 16;
/// Tokens read at a time once the place is nearly known.
const WINDOW: u64 = 256;

/// A token: a keyed hash.
pub(super) type Token = [u8; TOKEN];

/// An open list version.
#[derive(Debug)]
pub(super) struct ListFile {
    file: File,
    tokens: u64,
}

impl ListFile {
    /// Opens a file and checks that it is the version it is named for: somebody who takes a number out of it takes a person
    /// off a list.
    ///
    /// # Errors
    /// When it is not there, cannot be read, or has other bytes.
    pub fn open(path: &Path, version: &Digest) -> std::io::Result<ListFile> {
        let file = File::open(path)?;
        let mut hasher = Sha256::default();
        let mut reader = BufReader::with_capacity(1 << 20, &file);
        let mut piece = vec![0; 1 << 20];
        loop {
            let read = reader.read(&mut piece)?;
            if read == 0 {
                break;
            }
            hasher.update(piece.get(..read).unwrap_or_default());
        }
        if hasher.finish() != *version {
            return Err(std::io::Error::new(
                std::io::ErrorKind::InvalidData,
                "the list file is not what its name says",
            ));
        }
        let tokens = file.metadata()?.len() / TOKEN as u64;
        Ok(ListFile { file, tokens })
    }

    /// Whether a token is in the list. Tokens are evenly spread, so where one must stand is nearly known from its value: three
    /// or four reads find it among ten million.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn contains(&self, token: &Token) -> std::io::Result<bool> {
        let (mut low, mut high) = (0, self.tokens);
        let (mut below, mut above) = (0_u128, u128::from(u64::MAX));
        let wanted = u128::from(leading(token));
        let mut halve = false;
        while high - low > WINDOW {
            let span = u128::from(high - low - 1);
            let share = (wanted.saturating_sub(below) * span).checked_div(above - below).unwrap_or(0).min(span);
            // Every second step halves what is left, so that an unlikely spread costs time and never an endless search.
            let step = if halve { (high - low) / 2 } else { u64::try_from(share).unwrap_or(0) };
            halve = !halve;
            let at = low + step;
            let mut found = [0; TOKEN];
            self.file.read_exact_at(&mut found, at * TOKEN as u64)?;
            match found.cmp(token) {
                std::cmp::Ordering::Equal => return Ok(true),
                std::cmp::Ordering::Less => (low, below) = (at + 1, u128::from(leading(&found))),
                std::cmp::Ordering::Greater => (high, above) = (at, u128::from(leading(&found))),
            }
            if above <= below {
                above = below + 1;
            }
        }
        let mut window = vec![0; usize::try_from(high - low).unwrap_or(0) * TOKEN];
        self.file.read_exact_at(&mut window, low * TOKEN as u64)?;
        let (tokens, _) = window.as_chunks::<TOKEN>();
        Ok(tokens.binary_search(token).is_ok())
    }
}

/// The first eight bytes as a number: enough to guess a place by.
fn leading(token: &Token) -> u64 {
    token.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::hash::sha256;

    fn kept(mut tokens: Vec<Token>) -> (ListFile, tempfile::TempDir) {
        tokens.sort_unstable();
        let folder = tempfile::tempdir().unwrap();
        let bytes = tokens.concat();
        std::fs::write(folder.path().join("list"), &bytes).unwrap();
        (ListFile::open(&folder.path().join("list"), &sha256(&bytes)).unwrap(), folder)
    }

    #[test]
    fn what_is_in_is_found_and_what_is_not_is_not() {
        let token = |number: u64| -> Token { sha256(&number.to_be_bytes()).as_bytes()[..16].try_into().unwrap() };
        for count in [0, 1, 2, 255, 256, 257, 10_000] {
            let (list, _folder) = kept((0..count).map(token).collect());
            assert_eq!(list.tokens, count);
            assert!((0..count).all(|number| list.contains(&token(number)).unwrap()), "{count}");
            assert!((count..count + 1_000).all(|number| !list.contains(&token(number)).unwrap()), "{count}");
        }
    }

    #[test]
    fn tokens_in_a_heap_are_found_too() {
        let token = |number: u64| -> Token { (u128::from(number) + (7 << 100)).to_be_bytes() };
        let (list, _folder) = kept((0..5_000).map(|number| token(number * 2)).collect());
        assert!((0..5_000).all(|number| list.contains(&token(number * 2)).unwrap()));
        assert!((0..5_000).all(|number| !list.contains(&token(number * 2 + 1)).unwrap()));
        assert!(!list.contains(&[0; 16]).unwrap() && !list.contains(&[255; 16]).unwrap());
    }

    #[test]
    fn a_changed_file_is_not_opened() {
        let (_, folder) = kept(vec![[1; 16], [2; 16]]);
        let path = folder.path().join("list");
        let version = sha256(&std::fs::read(&path).unwrap());
        std::fs::write(&path, [1; 16]).unwrap();
        assert!(ListFile::open(&path, &version).is_err());
    }
}
