//! The stored hashes of subtrees: held against the tree that was computed from the entries, then used for earlier roots.

use super::VerifyError;
use crate::chain::leaf::leaf_hash;
use crate::chain::tree::{Frontier, TreeError, root_of};
use crate::crypto::hash::Digest;
use crate::exports::report::Findings;
use crate::store::{Store, StoreError};

/// Height of the subtrees that a store keeps, and their leaves.
const LEVEL: u8 = 8;
const LEAVES: u64 = 1 << LEVEL;

pub(super) struct StoredTree<'s> {
    store: &'s Store,
    size: u64,
    /// Subtree number and hash, as far as complete below `size`.
    rows: Vec<(u64, Digest)>,
}

impl<'s> StoredTree<'s> {
    pub(super) async fn read(store: &'s Store, size: u64) -> Result<StoredTree<'s>, VerifyError> {
        let mut rows = store.subtrees_from(0).await?;
        // A server may have appended meanwhile.
        rows.retain(|(number, _)| *number < size / LEAVES);
        Ok(StoredTree { store, size, rows })
    }

    /// The stored hashes are right if, and only if, they give the root that the entries gave.
    pub(super) async fn check(&self, root: &Digest, findings: &mut Findings) -> Result<(), VerifyError> {
        if let Some((wanted, _)) =
            (0..self.size / LEAVES).zip(&self.rows).find(|(wanted, (number, _))| wanted != number)
        {
            findings.at(wanted * LEAVES, "a stored subtree hash is missing or stands twice");
            return Ok(());
        }
        let count = self.rows.len() as u64;
        if count != self.size / LEAVES {
            findings.at(count * LEAVES, "a stored subtree hash is missing");
            return Ok(());
        }
        if self.root_at(self.size).await? == *root {
            return Ok(());
        }
        for (number, hash) in &self.rows {
            let first = number * LEAVES;
            let entries = self.store.entries_from(first, first + LEAVES).await?;
            if root_of(entries.iter().map(|(_, entry)| leaf_hash(entry))) != *hash {
                findings.at(first, "a stored subtree hash is not that of its 256 entries");
                return Ok(());
            }
        }
        findings.whole("the stored subtree hashes do not give the root of the entries");
        Ok(())
    }

    /// Root of the first `size` entries, from stored hashes that were checked and at most 255 entries.
    pub(super) async fn root_at(&self, size: u64) -> Result<Digest, VerifyError> {
        let full = size / LEAVES;
        let mut frontier = Frontier::new();
        for (_, hash) in self.rows.iter().take_while(|(number, _)| *number < full) {
            frontier.push_subtree(LEVEL, *hash).map_err(unaligned)?;
        }
        for (_, entry) in self.store.entries_from(full * LEAVES, size).await? {
            frontier.push(leaf_hash(&entry));
        }
        Ok(frontier.root())
    }
}

/// Cannot happen: only subtrees of one height are pushed from an empty tree.
fn unaligned(_: TreeError) -> VerifyError {
    VerifyError::Store(StoreError::Check("subtrees do not align".to_owned()))
}
