//! A run of entries checked on its own, so that runs can be checked in parallel and stitched together.
//!
//! Promises: everything that a run's own bytes can show is checked here (format, ledger, positions, links between its
//! entries, recorded times) and every hash is computed here; what depends on the entries before is handed on in the
//! [`Segment`]. Must never be taken for verified before [`crate::chain::verify::ChainVerifier::stitch`] took it.

use crate::chain::entry::{EntryRef, LEDGER_CREATED, SubjectLink};
use crate::chain::leaf::{leaf_hash, node_hash};
use crate::chain::verify::{Problem, What};
use crate::crypto::hash::Digest;
use crate::domain::ids::LedgerId;
use crate::domain::time::Timestamp;

/// What the next entry has to continue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tail {
    pub(super) ledger: LedgerId,
    /// Position that has to come.
    pub(super) next: u64,
    /// Leaf hash and recorded time of the entry before; none where a run starts.
    pub(super) last: Option<(Digest, Timestamp)>,
}

impl Tail {
    pub(super) const fn new(ledger: LedgerId, next: u64) -> Tail {
        Tail { ledger, next, last: None }
    }

    /// Checks one entry against the tail and makes it the new tail.
    pub(super) fn advance<'a>(&mut self, position: u64, bytes: &'a [u8]) -> Result<(EntryRef<'a>, Digest), What> {
        if position != self.next {
            return Err(What::Missing);
        }
        let entry = EntryRef::decode(bytes).map_err(What::Entry)?;
        if entry.position != position {
            return Err(What::Position);
        }
        if entry.ledger != self.ledger {
            return Err(What::Ledger);
        }
        match self.last {
            Some((leaf, _)) if entry.previous != leaf => return Err(What::Previous),
            Some((_, recorded)) if entry.recorded < recorded => return Err(What::Recorded),
            None if position == 0 && entry.previous != Digest::ZERO => return Err(What::Previous),
            None if position == 0 && entry.event_type != LEDGER_CREATED => return Err(What::NotCreated),
            Some(_) | None => {}
        }
        let leaf = leaf_hash(bytes);
        self.last = Some((leaf, entry.recorded));
        self.next = position + 1;
        Ok((entry, leaf))
    }
}

/// What a run says about itself, to be held against what came before.
#[derive(Debug)]
pub struct Segment {
    pub(super) first: u64,
    /// What the first entry names as its predecessor, and when it was recorded; none for a run without entries.
    pub(super) start: Option<(Digest, Timestamp)>,
    pub(super) tail: Tail,
    /// Roots of the complete subtrees that the run covers, from left to right, with their levels.
    pub(super) subtrees: Vec<(u8, Digest)>,
    pub(super) links: Vec<(u64, SubjectLink)>,
    /// What ended the run; the entries before it may still turn out to be bad when the run is stitched.
    pub(super) failed: Option<Problem>,
}

/// Checks the entries of one run, in order.
#[derive(Debug)]
pub struct SegmentVerifier {
    segment: Segment,
}

impl SegmentVerifier {
    /// A run of `ledger` that starts at position `first`.
    pub const fn new(ledger: LedgerId, first: u64) -> SegmentVerifier {
        let tail = Tail::new(ledger, first);
        let segment = Segment { first, start: None, tail, subtrees: Vec::new(), links: Vec::new(), failed: None };
        SegmentVerifier { segment }
    }

    /// Checks the entry that comes next; gives it with its leaf hash. After a problem every call gives that problem.
    ///
    /// # Errors
    /// The first [`Problem`] that the run itself shows. It is not the chain's first before the run was stitched: whether
    /// the run's first entry continues the chain is seen only then.
    pub fn feed<'a>(&mut self, position: u64, bytes: &'a [u8]) -> Result<(EntryRef<'a>, Digest), Problem> {
        let segment = &mut self.segment;
        if let Some(problem) = segment.failed {
            return Err(problem);
        }
        // The place in the run is what is named, whatever position the bytes or the caller claim.
        let place = segment.tail.next;
        let (entry, leaf) = match segment.tail.advance(position, bytes) {
            Ok(fed) => fed,
            Err(what) => return Err(*segment.failed.insert(Problem { position: place, what })),
        };
        segment.start.get_or_insert((entry.previous, entry.recorded));
        segment.append(position, leaf);
        if let Some(link) = entry.subject {
            segment.links.push((position, link));
        }
        Ok((entry, leaf))
    }

    /// The run as far as it is good, with what ended it, for [`crate::chain::verify::ChainVerifier::stitch`].
    pub fn finish(self) -> Segment {
        self.segment
    }
}

impl Segment {
    /// First position of the run.
    pub const fn first(&self) -> u64 {
        self.first
    }

    /// Position after the last of the run.
    pub const fn next(&self) -> u64 {
        self.tail.next
    }

    /// Merges a leaf with what it completes. A run may start anywhere, so that only neighbours under one parent merge.
    fn append(&mut self, position: u64, leaf: Digest) {
        let (mut level, mut index, mut node) = (0_u8, position, leaf);
        while index & 1 == 1
            && let Some((_, left)) = self.subtrees.pop_if(|(left_level, _)| *left_level == level)
        {
            node = node_hash(&left, &node);
            level += 1;
            index >>= 1;
        }
        self.subtrees.push((level, node));
    }
}
