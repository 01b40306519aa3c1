//! The log's tree in memory: all hashes from subtrees of 256 leaves upwards and the leaves since the last such subtree.
//! Ten million entries take 2.5 MB; leaf hashes below that are computed from stored entries when a proof needs them.

use crate::chain::tree::{Frontier, HashReader, TreeError, root_of};
use crate::crypto::hash::Digest;

/// Height of a subtree whose hash is stored: 256 leaves.
pub const SUBTREE_LEVEL: u8 = 8;

/// Hashes that are kept in memory.
#[derive(Debug, Default, Clone)]
pub struct TreeState {
    frontier: Frontier,
    /// `levels[k]` holds the hashes of complete subtrees of 2^(8+k) leaves.
    levels: Vec<Vec<Digest>>,
    /// Leaf hashes since the last multiple of 256.
    edge: Vec<Digest>,
    size: u64,
}

impl TreeState {
    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Root over all leaves.
    pub fn root(&self) -> Digest {
        self.frontier.root()
    }

    /// The right edge alone, to link a batch to: what grows there is taken over with [`TreeState::absorb`] once the batch is
    /// committed, and dropped if it is not.
    pub fn growth(&self) -> TreeState {
        TreeState { frontier: self.frontier.clone(), levels: Vec::new(), edge: self.edge.clone(), size: self.size }
    }

    /// Takes over what a growth of this tree added.
    pub fn absorb(&mut self, growth: TreeState) {
        for (above, hashes) in growth.levels.into_iter().enumerate() {
            for hash in hashes {
                keep(&mut self.levels, u8::try_from(above).unwrap_or(u8::MAX), hash);
            }
        }
        self.frontier = growth.frontier;
        self.edge = growth.edge;
        self.size = growth.size;
    }

    /// Appends a leaf; returns the number and hash of the subtree of 256 leaves it completes.
    pub fn push(&mut self, leaf: Digest) -> Option<(u64, Digest)> {
        let mut completed = None;
        let levels = &mut self.levels;
        self.frontier.push_observed(leaf, |node, hash| {
            if let Some(above) = node.level.checked_sub(SUBTREE_LEVEL) {
                keep(levels, above, *hash);
                if above == 0 {
                    completed = Some((node.index, *hash));
                }
            }
        });
        self.size += 1;
        self.edge.push(leaf);
        if completed.is_some() {
            self.edge.clear();
        }
        completed
    }

    /// Appends a stored subtree of 256 leaves; only while the size is a multiple of 256.
    pub fn push_subtree(&mut self, hash: Digest) -> Result<(), TreeError> {
        self.frontier.push_subtree(SUBTREE_LEVEL, hash)?;
        self.size += 1 << SUBTREE_LEVEL;
        keep(&mut self.levels, 0, hash);
        // Parents completed by this subtree: number k completes one level for each trailing one bit.
        let mut above = 0usize;
        loop {
            let Some([.., left, right]) =
                self.levels.get(above).map(Vec::as_slice).filter(|level| level.len() % 2 == 0)
            else {
                return Ok(());
            };
            let parent = crate::chain::leaf::node_hash(left, right);
            above += 1;
            keep(&mut self.levels, u8::try_from(above).unwrap_or(u8::MAX), parent);
        }
    }
}

fn keep(levels: &mut Vec<Vec<Digest>>, above: u8, hash: Digest) {
    let above = usize::from(above);
    if levels.len() <= above {
        levels.resize_with(above + 1, Vec::new);
    }
    if let Some(level) = levels.get_mut(above) {
        level.push(hash);
    }
}

impl HashReader for TreeState {
    /// Knows levels 8 and up everywhere, and every level among the leaves since the last multiple of 256.
    fn subtree(&self, level: u8, index: u64) -> Result<Digest, TreeError> {
        let missing = TreeError::Missing { level, index };
        if let Some(above) = level.checked_sub(SUBTREE_LEVEL) {
            let at = usize::try_from(index).map_err(|_| TreeError::Missing { level, index })?;
            return self.levels.get(usize::from(above)).and_then(|hashes| hashes.get(at)).copied().ok_or(missing);
        }
        let base = self.size - self.edge.len() as u64;
        let range = (index << level).checked_sub(base).and_then(|start| usize::try_from(start).ok());
        let leaves = range.and_then(|start| self.edge.get(start..start + (1usize << level)));
        leaves.map(|leaves| root_of(leaves.iter().copied())).ok_or(missing)
    }
}
