//! The subjects map: one leaf for each subject, saying how many entries it has and which is the last.
//!
//! Promises: with `subjects.sealed{size, count, root}` in the log, a bundle can show that it holds all entries of a person
//! (a leaf's sequence counts them) or that a person has none (the two neighbours leave no room). The map is the RFC 6962
//! tree over CBOR[subject, last sequence, last position], sorted by the 16 bytes of the subject. Must never be built from
//! heads of more than one size of the log.

use crate::chain::leaf::leaf_hash;
use crate::chain::tree::{Frontier, ProofError, verify_inclusion};
use crate::crypto::cbor;
use crate::crypto::hash::Digest;
use crate::domain::ids::SubjectId;

/// The last entry of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubjectHead {
    /// Pseudonym of the person.
    pub subject: SubjectId,
    /// Sequence of the last entry: how many there are.
    pub sequence: u64,
    /// Position of the last entry.
    pub position: u64,
}

/// What `subjects.sealed` commits to, apart from the size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubjectsRoot {
    /// Number of subjects.
    pub count: u64,
    /// Root of the map.
    pub root: Digest,
}

/// Why heads do not make a map, or a map does not prove something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubjectsError {
    /// Subjects are not strictly ascending.
    #[error("subjects are not in strictly ascending order")]
    Order,
    /// Heads read again do not fit what was read before: not one snapshot, or a move that was not reported.
    #[error("heads do not fit the block they were read for")]
    Block,
    /// Blocks have to be read again first.
    #[error("heads have to be read again first")]
    Stale,
    /// The subject is not in the map.
    #[error("the subject is not in the map")]
    Absent,
    /// The neighbours do not enclose the subject, or are not neighbours.
    #[error("the neighbours leave room for the subject")]
    Neighbours,
    /// A leaf's proof does not hold.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// More subjects than this structure can number.
    #[error("too many subjects")]
    TooMany,
}

impl SubjectHead {
    /// The leaf's bytes: a CBOR array of subject (16 bytes), last sequence and last position.
    pub fn leaf_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(36);
        self.write_leaf(&mut bytes);
        bytes
    }

    /// Leaf hash in the map.
    pub fn leaf(&self) -> Digest {
        leaf_hash(&self.leaf_bytes())
    }

    fn write_leaf(&self, bytes: &mut Vec<u8>) {
        cbor::array(bytes, 3);
        cbor::bytes(bytes, self.subject.as_bytes());
        cbor::uint(bytes, self.sequence);
        cbor::uint(bytes, self.position);
    }
}

/// Builds the root from heads in order, holding O(log n).
#[derive(Debug, Default)]
pub struct SubjectsBuilder {
    frontier: Frontier,
    last: Option<SubjectId>,
    leaf: Vec<u8>,
}

impl SubjectsBuilder {
    /// Takes the next head.
    ///
    /// # Errors
    /// [`SubjectsError::Order`] unless its subject comes after the last.
    pub fn push(&mut self, head: &SubjectHead) -> Result<(), SubjectsError> {
        if self.last.is_some_and(|last| last >= head.subject) {
            return Err(SubjectsError::Order);
        }
        self.leaf.clear();
        head.write_leaf(&mut self.leaf);
        self.frontier.push(leaf_hash(&self.leaf));
        self.last = Some(head.subject);
        Ok(())
    }

    /// Count and root of what was pushed.
    pub fn root(&self) -> SubjectsRoot {
        SubjectsRoot { count: self.frontier.size(), root: self.frontier.root() }
    }
}

/// That a head is in the map at an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectProof {
    /// The subject's last entry.
    pub head: SubjectHead,
    /// Its place among the sorted subjects, from 0.
    pub index: u64,
    /// Hashes from the leaf's sibling upward.
    pub hashes: Vec<Digest>,
}

impl SubjectProof {
    /// Verifies the proof against a sealed map.
    ///
    /// # Errors
    /// [`SubjectsError::Proof`] if it does not hold.
    pub fn verify(&self, map: &SubjectsRoot) -> Result<(), SubjectsError> {
        Ok(verify_inclusion(&self.head.leaf(), self.index, map.count, &self.hashes, &map.root)?)
    }
}

/// That a subject is not in the map: the leaves between which it would stand are next to each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AbsenceProof {
    /// The last head before the subject; none if the subject would be first.
    pub before: Option<SubjectProof>,
    /// The first head after the subject; none if the subject would be last.
    pub after: Option<SubjectProof>,
}

impl AbsenceProof {
    /// Verifies that `subject` is not in a sealed map.
    ///
    /// # Errors
    /// [`SubjectsError`] says what does not hold.
    pub fn verify(&self, subject: &SubjectId, map: &SubjectsRoot) -> Result<(), SubjectsError> {
        for neighbour in [&self.before, &self.after].into_iter().flatten() {
            neighbour.verify(map)?;
        }
        let enclosed = self.before.as_ref().is_none_or(|before| before.head.subject < *subject)
            && self.after.as_ref().is_none_or(|after| *subject < after.head.subject);
        let next_index = self.before.as_ref().map_or(0, |before| before.index + 1);
        let after_index = self.after.as_ref().map_or(map.count, |after| after.index);
        // An empty map has only one root; without this, absence from any map could be shown by claiming a count of 0.
        let empty_honestly = map.count != 0 || map.root == crate::chain::leaf::empty_root();
        if enclosed && next_index == after_index && empty_honestly { Ok(()) } else { Err(SubjectsError::Neighbours) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::samples::subject;
    use data_encoding::HEXLOWER;

    fn head(number: u64) -> SubjectHead {
        SubjectHead { subject: subject(number), sequence: number, position: number * 1000 }
    }

    #[test]
    fn leaf_is_the_array_of_subject_sequence_and_position() {
        let head = SubjectHead { subject: SubjectId::from_bytes([7; 16]), sequence: 23, position: 256 };
        assert_eq!(HEXLOWER.encode(&head.leaf_bytes()), format!("8350{}17190100", "07".repeat(16)));
        assert_eq!(head.leaf(), leaf_hash(&head.leaf_bytes()));
    }

    #[test]
    fn heads_out_of_order_or_twice_are_refused() {
        let mut builder = SubjectsBuilder::default();
        builder.push(&head(2)).unwrap();
        assert_eq!(builder.push(&head(2)), Err(SubjectsError::Order));
        assert_eq!(builder.push(&head(1)), Err(SubjectsError::Order));
        assert_eq!(builder.root(), SubjectsRoot { count: 1, root: head(2).leaf() });
    }

    #[test]
    fn absence_from_an_empty_map_needs_the_empty_root() {
        let nobody = AbsenceProof { before: None, after: None };
        let empty = SubjectsBuilder::default().root();
        assert_eq!(nobody.verify(&subject(1), &empty), Ok(()));
        let full = SubjectsRoot { count: 1, root: head(1).leaf() };
        assert_eq!(nobody.verify(&subject(1), &full), Err(SubjectsError::Neighbours));
        let claimed = SubjectsRoot { count: 0, ..full };
        assert_eq!(nobody.verify(&subject(1), &claimed), Err(SubjectsError::Neighbours));
    }
}
