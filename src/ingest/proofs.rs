//! Proofs about the committed log. Hashes below subtrees of 256 leaves are computed from the stored entries they cover.

use std::collections::HashMap;

use super::ledger::Ledger;
use super::read::ReadError;
use crate::chain::leaf::leaf_hash;
use crate::chain::tile::{Tile, TileKind, tile_bytes};
use crate::chain::tree::{
    HashReader, Node, TreeError, consistency, consistency_nodes, inclusion, inclusion_nodes, root_at, root_nodes,
    root_of,
};
use crate::crypto::hash::Digest;

/// Why a proof cannot be given.
#[derive(Debug, thiserror::Error)]
pub enum ProofReadError {
    /// The question does not fit the tree.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// Entries cannot be read.
    #[error("entries")]
    Read(#[from] ReadError),
    /// The store failed.
    #[error("store")]
    Store(#[from] crate::store::StoreError),
}

/// Tree hashes in memory plus those fetched for one proof.
struct Fetched<'a> {
    ledger: &'a Ledger,
    nodes: HashMap<Node, Digest>,
}

impl HashReader for Fetched<'_> {
    fn subtree(&self, level: u8, index: u64) -> Result<Digest, TreeError> {
        match self.nodes.get(&Node { level, index }) {
            Some(hash) => Ok(*hash),
            None => self.ledger.tree_read().subtree(level, index),
        }
    }
}

impl Ledger {
    /// Leaf hashes of `[first, end)`, computed from the stored entries.
    pub async fn leaf_hashes(&self, first: u64, end: u64) -> Result<Vec<Digest>, ProofReadError> {
        let entries = self.store().entries_from(first, end).await?;
        Ok(entries.iter().map(|(_, entry)| leaf_hash(entry)).collect())
    }

    async fn fetch(&self, nodes: Vec<Node>) -> Result<Fetched<'_>, ProofReadError> {
        let mut fetched = HashMap::new();
        let mut leaves: HashMap<u64, Vec<Digest>> = HashMap::new();
        for node in nodes {
            if self.tree_read().subtree(node.level, node.index).is_ok() {
                continue;
            }
            let first = node.index << node.level;
            let tile = first / 256;
            if let std::collections::hash_map::Entry::Vacant(vacant) = leaves.entry(tile) {
                vacant.insert(self.leaf_hashes(tile * 256, tile * 256 + 256).await?);
            }
            let start = usize::try_from(first % 256).unwrap_or(0);
            let range = start..start + (1usize << node.level);
            let Some(covered) = leaves.get(&tile).and_then(|hashes| hashes.get(range)) else {
                return Err(TreeError::Missing { level: node.level, index: node.index }.into());
            };
            fetched.insert(node, root_of(covered.iter().copied()));
        }
        Ok(Fetched { ledger: self, nodes: fetched })
    }

    /// Inclusion proof of an entry in the tree of `size` entries (RFC 6962 section 2.1.1).
    ///
    /// # Errors
    /// [`ProofReadError::Tree`] when `position` is not below `size` or `size` is beyond the log.
    pub async fn inclusion(&self, position: u64, size: u64) -> Result<Vec<Digest>, ProofReadError> {
        self.size_check(size)?;
        let fetched = self.fetch(inclusion_nodes(position, size)?).await?;
        Ok(inclusion(&fetched, position, size)?)
    }

    /// Consistency proof between two sizes (RFC 6962 section 2.1.2).
    ///
    /// # Errors
    /// [`ProofReadError::Tree`] when the sizes do not fit the log.
    pub async fn consistency(&self, old: u64, new: u64) -> Result<Vec<Digest>, ProofReadError> {
        self.size_check(new)?;
        let fetched = self.fetch(consistency_nodes(old, new)?).await?;
        Ok(consistency(&fetched, old, new)?)
    }

    /// Root of the tree of the first `size` entries.
    ///
    /// # Errors
    /// [`ProofReadError::Tree`] when `size` is beyond the log.
    pub async fn root_at(&self, size: u64) -> Result<Digest, ProofReadError> {
        self.size_check(size)?;
        let fetched = self.fetch(root_nodes(size)).await?;
        Ok(root_at(&fetched, size)?)
    }

    /// Bytes of a hash tile (C2SP tlog-tiles): its hashes one after the other.
    ///
    /// # Errors
    /// [`ProofReadError::Tree`] when it reaches beyond the log.
    pub async fn tile(&self, tile: &Tile) -> Result<Vec<u8>, ProofReadError> {
        let TileKind::Hashes(level) = tile.kind else {
            return Err(TreeError::Missing { level: 0, index: tile.index }.into());
        };
        if level == 0 {
            let first = tile.index * 256;
            let leaves = self.leaf_hashes(first, first + u64::from(tile.width)).await?;
            if leaves.len() != usize::from(tile.width) {
                return Err(TreeError::Missing { level: 0, index: first }.into());
            }
            return Ok(leaves.iter().flat_map(|leaf| *leaf.as_bytes()).collect());
        }
        Ok(tile_bytes(&*self.tree_read(), tile)?)
    }

    fn size_check(&self, asked: u64) -> Result<(), ProofReadError> {
        let size = self.size();
        if asked > size { Err(TreeError::OutOfRange { asked, size }.into()) } else { Ok(()) }
    }
}
