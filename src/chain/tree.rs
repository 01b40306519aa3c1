//! The RFC 6962 Merkle tree: its right edge, its roots and its proofs.
//!
//! Promises: roots and proofs are those of RFC 6962 section 2.1. Nothing here reads storage: whoever has hashes lends a
//! [`HashReader`], and [`inclusion_nodes`] and its like say beforehand which hashes will be asked for. Must never hash an
//! incomplete subtree into a stored node: only right edges are folded, and only for a stated size.

use crate::chain::entry::MAX_POSITION;
use crate::chain::leaf::{empty_root, node_hash};
use crate::crypto::hash::Digest;

pub use crate::chain::memory::MemoryTree;
pub use crate::chain::path::{ProofError, verify_consistency, verify_inclusion};

/// Longest proof that any tree of at most 2^63 leaves needs.
pub const PROOF_HASHES_MAX: usize = 64;

/// Why a tree operation was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// The reader has no such complete subtree.
    #[error("no hash for level {level} index {index}")]
    Missing {
        /// Height of the subtree: it has 2^level leaves.
        level: u8,
        /// Which subtree of that height, from 0.
        index: u64,
    },
    /// A position or an old size lies outside the tree.
    #[error("{asked} is outside a tree of size {size}")]
    OutOfRange {
        /// The position or the old size that was asked about.
        asked: u64,
        /// Leaves in the tree.
        size: u64,
    },
    /// The number of edge hashes does not belong to the size.
    #[error("a tree of size {size} has {expected} edge hashes, not {found}")]
    Edge {
        /// Leaves in the tree.
        size: u64,
        /// Edge hashes that such a tree has.
        expected: u32,
        /// Edge hashes given.
        found: usize,
    },
    /// A subtree was appended where none of its height can begin.
    #[error("a subtree of level {level} cannot follow {size} leaves")]
    Unaligned {
        /// Height of the subtree.
        level: u8,
        /// Leaves before it.
        size: u64,
    },
    /// The reader failed; the text says how, without any value read.
    #[error("hashes cannot be read: {0}")]
    Read(String),
}

/// One complete subtree: 2^level leaves from leaf `index * 2^level` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    /// Height; 0 is a leaf.
    pub level: u8,
    /// Which subtree of that height, from 0.
    pub index: u64,
}

/// Whoever has the hashes of complete subtrees.
pub trait HashReader {
    /// Hash of the complete subtree of 2^level leaves at `index`.
    ///
    /// # Errors
    /// [`TreeError::Missing`] if that subtree is not there or not complete, [`TreeError::Read`] if reading failed.
    fn subtree(&self, level: u8, index: u64) -> Result<Digest, TreeError>;
}

impl<R: HashReader + ?Sized> HashReader for &R {
    fn subtree(&self, level: u8, index: u64) -> Result<Digest, TreeError> {
        (**self).subtree(level, index)
    }
}

/// The right edge of a growing tree: O(log n) hashes that give the root and take the next leaf.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    /// Roots of the complete subtrees that the size decomposes into, largest first: one for each bit set in `size`.
    edge: Vec<Digest>,
}

impl Frontier {
    /// The tree without leaves.
    pub const fn new() -> Frontier {
        Frontier { size: 0, edge: Vec::new() }
    }

    /// A frontier as [`Frontier::edge`] gave it.
    ///
    /// # Errors
    /// [`TreeError::Edge`] unless there is one hash for each bit set in `size`, [`TreeError::OutOfRange`] from 2^63 on.
    pub fn from_parts(size: u64, edge: Vec<Digest>) -> Result<Frontier, TreeError> {
        if size > MAX_POSITION {
            return Err(TreeError::OutOfRange { asked: size, size: MAX_POSITION });
        }
        if u32::try_from(edge.len()) != Ok(size.count_ones()) {
            return Err(TreeError::Edge { size, expected: size.count_ones(), found: edge.len() });
        }
        Ok(Frontier { size, edge })
    }

    /// The frontier of the first `size` leaves that `reader` knows.
    ///
    /// # Errors
    /// What the reader answers.
    pub fn read<R: HashReader + ?Sized>(reader: &R, size: u64) -> Result<Frontier, TreeError> {
        let edge = range_nodes(0, size).map(|node| reader.subtree(node.level, node.index)).collect::<Result<_, _>>()?;
        Ok(Frontier { size, edge })
    }

    /// Appends a leaf.
    pub fn push(&mut self, leaf: Digest) {
        self.push_observed(leaf, |_, _| ());
    }

    /// Appends a leaf and shows each inner node that it completes, lowest first: what a store of hashes must add. The
    /// leaf itself is not shown.
    pub fn push_observed(&mut self, leaf: Digest, mut completed: impl FnMut(Node, &Digest)) {
        self.carry(0, leaf, &mut completed);
        self.size += 1;
    }

    /// Appends a complete subtree of 2^level leaves, as if its leaves were appended one by one.
    ///
    /// # Errors
    /// [`TreeError::Unaligned`] unless the size is a multiple of 2^level and stays below 2^63.
    pub fn push_subtree(&mut self, level: u8, root: Digest) -> Result<(), TreeError> {
        let leaves = 1_u64.checked_shl(u32::from(level)).unwrap_or(0);
        let size = self.size.checked_add(leaves).filter(|size| *size <= MAX_POSITION);
        let aligned = self.size.checked_rem(leaves) == Some(0);
        let Some(size) = size.filter(|_| aligned) else {
            return Err(TreeError::Unaligned { level, size: self.size });
        };
        self.carry(level, root, &mut |_, _| ());
        self.size = size;
        Ok(())
    }

    fn carry(&mut self, level: u8, root: Digest, completed: &mut impl FnMut(Node, &Digest)) {
        let mut node = root;
        let mut at = Node { level, index: self.size >> level };
        while at.index & 1 == 1 {
            let Some(left) = self.edge.pop() else { break };
            node = node_hash(&left, &node);
            at = Node { level: at.level + 1, index: at.index >> 1 };
            completed(at, &node);
        }
        self.edge.push(node);
    }

    /// Leaves appended so far.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The edge hashes, largest subtree first; what [`Frontier::from_parts`] takes.
    pub fn edge(&self) -> &[Digest] {
        &self.edge
    }

    /// Root of the tree as it is.
    pub fn root(&self) -> Digest {
        fold(&self.edge)
    }
}

/// Root of the tree over these leaf hashes.
pub fn root_of(leaves: impl IntoIterator<Item = Digest>) -> Digest {
    let mut frontier = Frontier::new();
    for leaf in leaves {
        frontier.push(leaf);
    }
    frontier.root()
}

/// Root of the first `size` leaves.
///
/// # Errors
/// What the reader answers.
pub fn root_at<R: HashReader + ?Sized>(reader: &R, size: u64) -> Result<Digest, TreeError> {
    range_root(reader, (0, size))
}

/// Inclusion proof of leaf `index` in the tree of the first `size` leaves, from the leaf's sibling upward (RFC 6962
/// section 2.1.1).
///
/// # Errors
/// [`TreeError::OutOfRange`] unless `index < size`, and what the reader answers.
pub fn inclusion<R: HashReader + ?Sized>(reader: &R, index: u64, size: u64) -> Result<Vec<Digest>, TreeError> {
    inclusion_ranges(index, size)?.into_iter().map(|range| range_root(reader, range)).collect()
}

/// Consistency proof from the first `old` leaves to the first `new` ones (RFC 6962 section 2.1.2); empty when `old` is 0
/// or equals `new`.
///
/// # Errors
/// [`TreeError::OutOfRange`] if `old > new`, and what the reader answers.
pub fn consistency<R: HashReader + ?Sized>(reader: &R, old: u64, new: u64) -> Result<Vec<Digest>, TreeError> {
    consistency_ranges(old, new)?.into_iter().map(|range| range_root(reader, range)).collect()
}

/// The subtrees that [`root_at`] will ask for.
pub fn root_nodes(size: u64) -> Vec<Node> {
    range_nodes(0, size).collect()
}

/// The subtrees that [`inclusion`] will ask for.
///
/// # Errors
/// As [`inclusion`].
pub fn inclusion_nodes(index: u64, size: u64) -> Result<Vec<Node>, TreeError> {
    Ok(inclusion_ranges(index, size)?.into_iter().flat_map(|(from, to)| range_nodes(from, to)).collect())
}

/// The subtrees that [`consistency`] will ask for.
///
/// # Errors
/// As [`consistency`].
pub fn consistency_nodes(old: u64, new: u64) -> Result<Vec<Node>, TreeError> {
    Ok(consistency_ranges(old, new)?.into_iter().flat_map(|(from, to)| range_nodes(from, to)).collect())
}

/// Leaf ranges whose roots make the inclusion proof, lowest first.
fn inclusion_ranges(index: u64, size: u64) -> Result<Vec<(u64, u64)>, TreeError> {
    if index >= size {
        return Err(TreeError::OutOfRange { asked: index, size });
    }
    let (mut from, mut to) = (0, size);
    let mut ranges = Vec::with_capacity(PROOF_HASHES_MAX);
    while to - from > 1 {
        let middle = from + split(to - from);
        if index < middle {
            ranges.push((middle, to));
            to = middle;
        } else {
            ranges.push((from, middle));
            from = middle;
        }
    }
    ranges.reverse();
    Ok(ranges)
}

/// Leaf ranges whose roots make the consistency proof, lowest first.
fn consistency_ranges(old: u64, new: u64) -> Result<Vec<(u64, u64)>, TreeError> {
    if old > new {
        return Err(TreeError::OutOfRange { asked: old, size: new });
    }
    let mut ranges = Vec::with_capacity(PROOF_HASHES_MAX);
    let (mut from, mut to) = (0, new);
    // The old root is known to the verifier as long as the path has only gone left.
    let mut old_root_known = true;
    while old != 0 && old != to {
        let middle = from + split(to - from);
        if old <= middle {
            ranges.push((middle, to));
            to = middle;
        } else {
            ranges.push((from, middle));
            from = middle;
            old_root_known = false;
        }
    }
    if !old_root_known {
        ranges.push((from, to));
    }
    ranges.reverse();
    Ok(ranges)
}

/// Largest power of two below `leaves`, which is at least 2.
const fn split(leaves: u64) -> u64 {
    1 << (u64::BITS - 1 - (leaves - 1).leading_zeros())
}

/// The complete subtrees of a leaf range, largest first. `from` must be a multiple of the largest power of two within
/// `to - from`, as every range of a tree's recursion is.
fn range_nodes(from: u64, to: u64) -> impl Iterator<Item = Node> {
    let mut next = from;
    std::iter::from_fn(move || {
        let level = (to - next).checked_ilog2()?;
        let node = Node { level: u8::try_from(level).ok()?, index: next >> level };
        next += 1 << level;
        Some(node)
    })
}

fn range_root<R: HashReader + ?Sized>(reader: &R, (from, to): (u64, u64)) -> Result<Digest, TreeError> {
    let hashes = range_nodes(from, to)
        .map(|node| reader.subtree(node.level, node.index))
        .collect::<Result<Vec<_>, TreeError>>()?;
    Ok(fold(&hashes))
}

/// Root over the roots of complete subtrees, largest first.
fn fold(edge: &[Digest]) -> Digest {
    let Some((last, larger)) = edge.split_last() else { return empty_root() };
    larger.iter().rev().fold(*last, |right, left| node_hash(left, &right))
}
