//! Proofs as files: inclusion (C2SP tlog-proof) and consistency (the body of a witness request, C2SP tlog-witness).
//!
//! Promises: a file verifies with nothing but the entry (or the old checkpoint) and the keys that the reader trusts. The
//! `extra` line is never trusted: nothing signs it.

use std::fmt;

use data_encoding::BASE64;

use crate::chain::checkpoint::{Checkpoint, CheckpointError, root_of_text, size_of_text};
use crate::chain::note::{NOTE_BYTES_MAX, VerifierKey};
use crate::chain::tree::{PROOF_HASHES_MAX, ProofError, verify_consistency, verify_inclusion};
use crate::crypto::hash::Digest;

/// First line of an inclusion proof.
pub const PROOF_HEADER: &str = "c2sp.org/tlog-proof@v1";

/// Why a proof file does not prove.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofFileError {
    /// Not exactly in form.
    #[error("not a proof file")]
    Form,
    /// Its checkpoint cannot be trusted.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Its hashes do not prove it.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The old checkpoint is of another log.
    #[error("the old checkpoint has another origin")]
    Origin,
    /// The old checkpoint has another size than the proof starts from.
    #[error("the old checkpoint has another size")]
    OldSize,
}

/// A `.tlog-proof` file: that a leaf is in the tree of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InclusionFile {
    /// Opaque context, not authenticated.
    pub extra: Option<Vec<u8>>,
    /// Position of the entry.
    pub index: u64,
    /// Hashes from the leaf's sibling upward.
    pub hashes: Vec<Digest>,
    /// The signed checkpoint, verbatim.
    pub checkpoint: String,
}

impl InclusionFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ProofFileError::Form`] for what is not exactly in form. The checkpoint is read only when verified.
    pub fn parse(bytes: &[u8]) -> Result<InclusionFile, ProofFileError> {
        let (head, checkpoint) = split(bytes)?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(PROOF_HEADER) {
            return Err(ProofFileError::Form);
        }
        let extra = match lines.peek().and_then(|line| line.strip_prefix("extra ")) {
            Some(extra) => {
                lines.next();
                Some(BASE64.decode(extra.as_bytes()).map_err(|_| ProofFileError::Form)?)
            }
            None => None,
        };
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).and_then(size_of_text);
        let index = index.ok_or(ProofFileError::Form)?;
        Ok(InclusionFile { extra, index, hashes: hashes(lines)?, checkpoint: checkpoint.to_owned() })
    }

    /// Verifies that the entry with this leaf hash stands at [`InclusionFile::index`] under a checkpoint signed by its
    /// log, and gives that checkpoint.
    ///
    /// # Errors
    /// [`ProofFileError`] says what does not hold.
    pub fn verify(&self, leaf: &Digest, keys: &[VerifierKey]) -> Result<Checkpoint, ProofFileError> {
        let (checkpoint, _) = Checkpoint::open(self.checkpoint.as_bytes(), keys)?;
        verify_inclusion(leaf, self.index, checkpoint.size, &self.hashes, &checkpoint.root)?;
        Ok(checkpoint)
    }
}

impl fmt::Display for InclusionFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{PROOF_HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", BASE64.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        write_hashes(f, &self.hashes)?;
        write!(f, "\n{}", self.checkpoint)
    }
}

/// A consistency proof with the checkpoint it leads to: what a witness is sent, and what an auditor keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsistencyFile {
    /// Size that the proof starts from.
    pub old: u64,
    /// Hashes as RFC 6962 section 2.1.2 orders them.
    pub hashes: Vec<Digest>,
    /// The signed newer checkpoint, verbatim.
    pub checkpoint: String,
}

impl ConsistencyFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ProofFileError::Form`] for what is not exactly in form.
    pub fn parse(bytes: &[u8]) -> Result<ConsistencyFile, ProofFileError> {
        let (head, checkpoint) = split(bytes)?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old ")).and_then(size_of_text);
        let old = old.ok_or(ProofFileError::Form)?;
        Ok(ConsistencyFile { old, hashes: hashes(lines)?, checkpoint: checkpoint.to_owned() })
    }

    /// Verifies that the log of `old` only grew, and gives the newer checkpoint.
    ///
    /// # Errors
    /// [`ProofFileError`] says what does not hold.
    pub fn verify(&self, old: &Checkpoint, keys: &[VerifierKey]) -> Result<Checkpoint, ProofFileError> {
        let (new, _) = Checkpoint::open(self.checkpoint.as_bytes(), keys)?;
        if new.origin != old.origin {
            return Err(ProofFileError::Origin);
        }
        if self.old != old.size {
            return Err(ProofFileError::OldSize);
        }
        verify_consistency(old.size, new.size, &self.hashes, &old.root, &new.root)?;
        Ok(new)
    }
}

impl fmt::Display for ConsistencyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        write_hashes(f, &self.hashes)?;
        write!(f, "\n{}", self.checkpoint)
    }
}

/// The lines before the first empty line, and the checkpoint after it.
fn split(bytes: &[u8]) -> Result<(&str, &str), ProofFileError> {
    if bytes.len() > NOTE_BYTES_MAX {
        return Err(ProofFileError::Form);
    }
    std::str::from_utf8(bytes).ok().and_then(|text| text.split_once("\n\n")).ok_or(ProofFileError::Form)
}

fn hashes<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Vec<Digest>, ProofFileError> {
    let hashes: Vec<_> =
        lines.take(PROOF_HASHES_MAX).map(root_of_text).collect::<Option<_>>().ok_or(ProofFileError::Form)?;
    // C2SP tlog-witness allows 63 hashes; a tree of 2^63 leaves needs no more.
    if hashes.len() < PROOF_HASHES_MAX { Ok(hashes) } else { Err(ProofFileError::Form) }
}

fn write_hashes(f: &mut fmt::Formatter<'_>, hashes: &[Digest]) -> fmt::Result {
    hashes.iter().try_for_each(|hash| writeln!(f, "{}", BASE64.encode(hash.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::leaf::leaf_hash;
    use crate::chain::note::{KeyKind, NoteError};
    use crate::chain::tree::{HashReader, MemoryTree, consistency, inclusion, root_at};
    use crate::crypto::secret::Secret;
    use crate::crypto::sign::SigningKey;

    const ORIGIN: &str = "example.com/log";

    fn signer() -> SigningKey {
        SigningKey::from_seed(&Secret::new([5; 32]))
    }

    fn keys() -> [VerifierKey; 1] {
        [VerifierKey::new(ORIGIN, KeyKind::Ed25519, signer().public()).unwrap()]
    }

    fn tree() -> MemoryTree {
        MemoryTree::from_leaves((0..77_u64).map(|number| leaf_hash(&number.to_be_bytes())))
    }

    fn checkpoint(size: u64) -> Checkpoint {
        Checkpoint::new(ORIGIN, size, root_at(&tree(), size).unwrap()).unwrap()
    }

    fn inclusion_file(index: u64, extra: Option<Vec<u8>>) -> InclusionFile {
        let hashes = inclusion(&tree(), index, 77).unwrap();
        InclusionFile { extra, index, hashes, checkpoint: checkpoint(77).sign(&[&signer()]).unwrap().to_string() }
    }

    fn consistency_file(old: u64) -> ConsistencyFile {
        let hashes = consistency(&tree(), old, 77).unwrap();
        ConsistencyFile { old, hashes, checkpoint: checkpoint(77).sign(&[&signer()]).unwrap().to_string() }
    }

    #[test]
    fn inclusion_file_round_trips_and_verifies() {
        for extra in [None, Some(Vec::new()), Some(b"extra".to_vec())] {
            let file = inclusion_file(52, extra);
            let read = InclusionFile::parse(file.to_string().as_bytes()).unwrap();
            assert_eq!(read, file);
            let leaf = tree().subtree(0, 52).unwrap();
            assert_eq!(read.verify(&leaf, &keys()), Ok(checkpoint(77)));
        }
        assert!(inclusion_file(52, None).to_string().starts_with("c2sp.org/tlog-proof@v1\nindex 52\n"));
    }

    #[test]
    fn inclusion_file_of_another_leaf_index_size_or_key_fails() {
        let leaf = tree().subtree(0, 52).unwrap();
        let text = inclusion_file(52, None).to_string();
        let verify = |text: &str| InclusionFile::parse(text.as_bytes()).and_then(|file| file.verify(&leaf, &keys()));
        assert_eq!(inclusion_file(52, None).verify(&leaf_hash(b"other"), &keys()), Err(ProofError::Root.into()));
        assert_eq!(verify(&text.replace("index 52", "index 53")), Err(ProofError::Root.into()));
        assert_eq!(verify(&text.replace("index 52", "index 77")), Err(ProofError::OutOfRange.into()));
        let bad_signature = ProofFileError::Checkpoint(CheckpointError::Note(NoteError::BadSignature));
        assert_eq!(verify(&text.replace("\n77\n", "\n78\n")), Err(bad_signature));
        let stranger = [VerifierKey::new(ORIGIN, KeyKind::Ed25519, [7; 32]).unwrap()];
        assert!(inclusion_file(52, None).verify(&leaf, &stranger).is_err());
        let mut flipped = inclusion_file(52, None);
        flipped.hashes[3] = leaf_hash(b"flipped");
        assert_eq!(flipped.verify(&leaf, &keys()), Err(ProofError::Root.into()));
    }

    #[test]
    fn loose_inclusion_files_are_refused() {
        let text = inclusion_file(0, Some(b"x".to_vec())).to_string();
        for loose in [
            "",
            "\n\n",
            &text.replace("@v1", "@v2"),
            &text.replace("index 0", "index 00"),
            &text.replace("index 0", "index"),
            &text.replace("extra ", "extra  "),
            &text.replace("eA==", "eA="),
            &text.replacen('=', "", 3),
            &text.replace("index 0\n", "index 0\n\n").replacen("\n\n", "\n", 2),
            &text.replace('\n', "\r\n"),
        ] {
            let leaf = tree().subtree(0, 0).unwrap();
            let verified = InclusionFile::parse(loose.as_bytes()).and_then(|file| file.verify(&leaf, &keys()));
            assert!(verified.is_err(), "{loose}");
        }
        let mut long = inclusion_file(0, None);
        long.hashes = vec![leaf_hash(b""); 64];
        assert_eq!(InclusionFile::parse(long.to_string().as_bytes()), Err(ProofFileError::Form));
    }

    #[test]
    fn consistency_file_round_trips_verifies_and_its_twins_fail() {
        for old in [0, 1, 45, 64, 77] {
            let file = consistency_file(old);
            let read = ConsistencyFile::parse(file.to_string().as_bytes()).unwrap();
            assert_eq!(read, file);
            assert_eq!(read.verify(&checkpoint(old), &keys()), Ok(checkpoint(77)), "{old}");
            let forked = Checkpoint { root: leaf_hash(b"fork"), ..checkpoint(old) };
            assert!(read.verify(&forked, &keys()).is_err(), "{old}");
        }
        let file = consistency_file(45);
        assert_eq!(file.verify(&checkpoint(46), &keys()), Err(ProofFileError::OldSize));
        let renamed = Checkpoint { origin: "example.com/other".to_owned(), ..checkpoint(45) };
        assert_eq!(file.verify(&renamed, &keys()), Err(ProofFileError::Origin));
        assert_eq!(ConsistencyFile::parse(b"old 01\n\n"), Err(ProofFileError::Form));
    }
}
