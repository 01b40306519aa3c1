//! The subjects map, kept up to date without reading every head again.
//!
//! Promises: after k heads moved, the root costs one read and 256 hashes for each block they lie in, and one hash for each
//! 256 subjects. New subjects shift what comes after them; their ids are time-ordered, so that they come last or nearly.
//! Must be told of every move: [`SubjectBlocks::moved`] and [`SubjectBlocks::added`] before the next root, and then read
//! all blocks from one snapshot of the heads.

use crate::chain::subjects::{SubjectHead, SubjectProof, SubjectsBuilder, SubjectsError, SubjectsRoot};
use crate::chain::tree::{Frontier, MemoryTree, TreeError, inclusion};
use crate::crypto::hash::Digest;
use crate::domain::ids::SubjectId;

/// Heads in a full block.
pub const BLOCK_HEADS: usize = 256;
const FIRST_SUBJECT: SubjectId = SubjectId::from_bytes([0; 16]);

#[derive(Debug, Clone)]
struct Block {
    first: SubjectId,
    /// Root over the block's heads. A tree's upper levels see aligned blocks of 2^8 leaves as leaves, the last, shorter
    /// one included, because RFC 6962 splits at powers of two.
    root: Digest,
    stale: bool,
}

/// The heads to read next: at most `limit` of them, in order, from `from` on (inclusive).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockRead {
    /// Which block they make.
    pub block: usize,
    /// Where they start.
    pub from: SubjectId,
    /// How many at most.
    pub limit: usize,
}

/// Hashes of blocks of 256 heads, and which of them are out of date.
#[derive(Debug, Clone)]
pub struct SubjectBlocks {
    blocks: Vec<Block>,
    /// Heads in the last block.
    last_heads: usize,
    /// Blocks to read again, unordered; may name blocks that are gone or fresh by now.
    stale: Vec<usize>,
    /// Everything from this subject on is unknown and follows the last block.
    unread: Option<SubjectId>,
}

impl Default for SubjectBlocks {
    fn default() -> SubjectBlocks {
        SubjectBlocks { blocks: Vec::new(), last_heads: 0, stale: Vec::new(), unread: Some(FIRST_SUBJECT) }
    }
}

impl SubjectBlocks {
    /// Knows nothing yet: all heads will be read once.
    pub fn new() -> SubjectBlocks {
        SubjectBlocks::default()
    }

    /// A subject that was in the map has a new last entry.
    pub fn moved(&mut self, subject: &SubjectId) {
        let Some(place) = self.block_of(subject) else { return };
        if let Some(block) = self.blocks.get_mut(place)
            && !block.stale
        {
            block.stale = true;
            self.stale.push(place);
        }
    }

    /// A subject has its first entry.
    pub fn added(&mut self, subject: &SubjectId) {
        if let Some(place) = self.block_of(subject) {
            // What follows the new subject moves to other places; the block before it is read from its old start.
            let from = self.blocks.get(place).filter(|_| place > 0).map_or(FIRST_SUBJECT, |block| block.first);
            self.blocks.truncate(place);
            self.unread = Some(from);
        }
    }

    /// The next heads to read, or none when the root is known.
    pub fn next_read(&mut self) -> Option<BlockRead> {
        while let Some(&place) = self.stale.last() {
            match self.blocks.get(place) {
                Some(block) if block.stale => {
                    return Some(BlockRead { block: place, from: block.first, limit: BLOCK_HEADS });
                }
                Some(_) | None => self.stale.pop(),
            };
        }
        self.unread.map(|from| BlockRead { block: self.blocks.len(), from, limit: BLOCK_HEADS })
    }

    /// Takes the heads that [`SubjectBlocks::next_read`] asked for: fewer than the limit only if there are no more.
    ///
    /// # Errors
    /// [`SubjectsError::Order`] or [`SubjectsError::Block`] if they cannot be those; nothing changes then.
    pub fn fill(&mut self, read: &BlockRead, heads: &[SubjectHead]) -> Result<(), SubjectsError> {
        let mut builder = SubjectsBuilder::default();
        heads.iter().try_for_each(|head| builder.push(head))?;
        let root = builder.root().root;
        if heads.len() > read.limit || heads.first().is_some_and(|head| head.subject < read.from) {
            return Err(SubjectsError::Block);
        }
        if read.block == self.blocks.len() && self.unread == Some(read.from) {
            self.fill_unread(heads, root);
            return Ok(());
        }
        let is_last = read.block + 1 == self.blocks.len() && self.unread.is_none();
        let expected = if is_last { self.last_heads } else { BLOCK_HEADS };
        let before_next = self.blocks.get(read.block + 1).zip(heads.last());
        let fits = heads.len() == expected && before_next.is_none_or(|(next, last)| last.subject < next.first);
        match self.blocks.get_mut(read.block) {
            Some(block) if fits && heads.first().is_some_and(|head| head.subject == block.first) => {
                block.root = root;
                block.stale = false;
                Ok(())
            }
            Some(_) | None => Err(SubjectsError::Block),
        }
    }

    fn fill_unread(&mut self, heads: &[SubjectHead], root: Digest) {
        if let Some(first) = heads.first() {
            self.blocks.push(Block { first: first.subject, root, stale: false });
            self.last_heads = heads.len();
        } else {
            self.last_heads = if self.blocks.is_empty() { 0 } else { BLOCK_HEADS };
        }
        let full = heads.len() == BLOCK_HEADS;
        self.unread = heads.last().filter(|_| full).and_then(|last| successor(&last.subject));
    }

    /// Count and root of the map.
    ///
    /// # Errors
    /// [`SubjectsError::Stale`] while [`SubjectBlocks::next_read`] asks for something.
    pub fn root(&mut self) -> Result<SubjectsRoot, SubjectsError> {
        if self.next_read().is_some() {
            return Err(SubjectsError::Stale);
        }
        let mut over_blocks = Frontier::new();
        self.blocks.iter().for_each(|block| over_blocks.push(block.root));
        let full_blocks = self.blocks.len().saturating_sub(1);
        let count = (full_blocks * BLOCK_HEADS + self.last_heads) as u64;
        Ok(SubjectsRoot { count, root: over_blocks.root() })
    }

    /// The read whose heads hold `subject`, if any do; what [`SubjectBlocks::prove`] takes.
    pub fn locate(&self, subject: &SubjectId) -> Option<BlockRead> {
        let block = self.block_of(subject)?;
        self.blocks.get(block).map(|found| BlockRead { block, from: found.first, limit: BLOCK_HEADS })
    }

    /// The read of a block by number, for the neighbour that lies in the next one.
    pub fn read_of(&self, block: usize) -> Option<BlockRead> {
        self.blocks.get(block).map(|found| BlockRead { block, from: found.first, limit: BLOCK_HEADS })
    }

    /// Proof of the head at `offset` among the heads of a block, read as [`SubjectBlocks::locate`] says.
    ///
    /// # Errors
    /// [`SubjectsError::Stale`] before all is read, [`SubjectsError::Block`] if the heads are not the block's.
    pub fn prove(
        &mut self,
        read: &BlockRead,
        heads: &[SubjectHead],
        offset: usize,
    ) -> Result<SubjectProof, SubjectsError> {
        if self.next_read().is_some() {
            return Err(SubjectsError::Stale);
        }
        let head = heads.get(offset).ok_or(SubjectsError::Absent)?;
        let within = MemoryTree::from_leaves(heads.iter().map(SubjectHead::leaf));
        if self.blocks.get(read.block).is_none_or(|block| block.root != within.root()) {
            return Err(SubjectsError::Block);
        }
        let above = MemoryTree::from_leaves(self.blocks.iter().map(|block| block.root));
        let misplaced = |_: TreeError| SubjectsError::Block;
        let mut hashes = inclusion(&within, offset as u64, within.size()).map_err(misplaced)?;
        hashes.extend(inclusion(&above, read.block as u64, above.size()).map_err(misplaced)?);
        Ok(SubjectProof { head: *head, index: (read.block * BLOCK_HEADS + offset) as u64, hashes })
    }

    /// The block in which a subject stands or would stand; none if that part is unread anyway.
    fn block_of(&self, subject: &SubjectId) -> Option<usize> {
        if self.unread.is_some_and(|from| *subject >= from) {
            return None;
        }
        Some(self.blocks.partition_point(|block| block.first <= *subject).saturating_sub(1))
    }
}

/// The next id in order; none after the last.
fn successor(subject: &SubjectId) -> Option<SubjectId> {
    let next = u128::from_be_bytes(*subject.as_bytes()).checked_add(1)?;
    Some(SubjectId::from_bytes(next.to_be_bytes()))
}
