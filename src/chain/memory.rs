//! A whole tree in memory, for what fits: blocks of subjects, bundles, tests.
//!
//! Promises the same hashes as any other [`HashReader`]. Must not be used for a ledger's own tree: it grows with it.

use crate::chain::tree::{Frontier, HashReader, TreeError};
use crate::crypto::hash::Digest;

/// Every complete subtree of a small tree.
#[derive(Debug, Clone, Default)]
pub struct MemoryTree {
    frontier: Frontier,
    /// Hashes of complete subtrees, by level.
    levels: Vec<Vec<Digest>>,
}

impl MemoryTree {
    /// The tree over these leaf hashes.
    pub fn from_leaves(leaves: impl IntoIterator<Item = Digest>) -> MemoryTree {
        let mut tree = MemoryTree::default();
        for leaf in leaves {
            tree.push(leaf);
        }
        tree
    }

    /// Appends a leaf.
    pub fn push(&mut self, leaf: Digest) {
        let levels = &mut self.levels;
        if levels.is_empty() {
            levels.push(Vec::new());
        }
        if let Some(leaves) = levels.first_mut() {
            leaves.push(leaf);
        }
        self.frontier.push_observed(leaf, |node, hash| match levels.get_mut(usize::from(node.level)) {
            Some(level) => level.push(*hash),
            None => levels.push(vec![*hash]),
        });
    }

    /// Leaves in the tree.
    pub const fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// Root of the whole tree.
    pub fn root(&self) -> Digest {
        self.frontier.root()
    }
}

impl HashReader for MemoryTree {
    fn subtree(&self, level: u8, index: u64) -> Result<Digest, TreeError> {
        let found = self.levels.get(usize::from(level)).zip(usize::try_from(index).ok());
        found.and_then(|(hashes, index)| hashes.get(index).copied()).ok_or(TreeError::Missing { level, index })
    }
}
