//! Verifying a whole chain: every entry, both ways.
//!
//! Promises: a chain that passes has every position from 0 once, each entry carrying the leaf hash of the one before, one
//! ledger, recorded times that never go back, every subject's list complete and unforked, the subjects maps that were
//! sealed, and the root that was expected. Every link is followed, not only the ends (a chain checked at its ends alone is
//! a known hole: CVE-2022-36111). The first bad position is named. Must never skip an entry because a later one is good.

use crate::chain::entry::{EntryError, EntryRef, SubjectLink};
use crate::chain::heads::{HeadMap, LinkError, Share};
use crate::chain::segment::{Segment, Tail};
use crate::chain::subjects::SubjectsRoot;
use crate::chain::tree::{Frontier, TreeError};
use crate::crypto::hash::Digest;
use crate::domain::ids::LedgerId;
use crate::domain::time::Timestamp;

/// What is wrong, and at which position first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("position {position}: {what}")]
pub struct Problem {
    /// The entry at which the chain stops being good; the size, if what is wrong is the whole.
    pub position: u64,
    /// What is wrong there.
    pub what: What,
}

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum What {
    /// The bytes are not an entry.
    #[error("not an entry: {0}")]
    Entry(#[from] EntryError),
    /// The entry belongs to another ledger.
    #[error("the entry is of another ledger")]
    Ledger,
    /// The entry's place in its subject's history.
    #[error("{0}")]
    Link(#[from] LinkError),
    /// The entry at this position was not given.
    #[error("the entry is missing")]
    Missing,
    /// The first entry is not `ledger.created`.
    #[error("the first entry is not ledger.created")]
    NotCreated,
    /// The entry says that it stands elsewhere.
    #[error("the entry says it stands at another position")]
    Position,
    /// The link to the entry before is broken.
    #[error("previous is not the leaf hash of the entry before")]
    Previous,
    /// The entry was recorded before the one before it.
    #[error("recorded before the entry before it")]
    Recorded,
    /// The tree has another root than expected.
    #[error("the tree has another root than expected")]
    Root,
    /// The tree has another size than expected.
    #[error("the tree has another size than expected")]
    Size,
    /// A sealed subjects map is not that of the heads.
    #[error("the sealed subjects map is not that of the heads")]
    Subjects,
    /// A sealed subjects map cannot be checked: by a share of subjects, or for a size that is already past.
    #[error("the sealed subjects map cannot be checked here")]
    SubjectsUnchecked,
}

/// What a `subjects.sealed` entry claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubjectsSeal {
    /// Where the claim stands.
    pub position: u64,
    /// The claim is about the first `size` entries; at most `position`.
    pub size: u64,
    /// Count and root claimed.
    pub map: SubjectsRoot,
}

/// A chain that passed.
#[derive(Debug)]
pub struct VerifiedChain {
    /// Number of entries.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Digest,
    /// Leaf hash of the last entry; 32 zero bytes if there is none.
    pub head: Digest,
    /// When the last entry was recorded.
    pub recorded: Timestamp,
    /// The heads of all subjects (or of the share that was asked for).
    pub heads: HeadMap,
}

/// Takes a chain from position 0, entry by entry or run by run.
#[derive(Debug)]
pub struct ChainVerifier {
    tail: Tail,
    frontier: Frontier,
    heads: HeadMap,
    /// Seals still to be checked, by size; the next one last.
    seals: Vec<SubjectsSeal>,
    failed: Option<Problem>,
}

impl ChainVerifier {
    /// For the chain of a ledger. With a [`Share`] other than all, subjects' lists are checked for that share only.
    pub fn new(ledger: LedgerId, share: Share) -> ChainVerifier {
        ChainVerifier {
            tail: Tail::new(ledger, 0),
            frontier: Frontier::new(),
            heads: HeadMap::new(share),
            seals: Vec::new(),
            failed: None,
        }
    }

    /// Also checks these sealed maps. They have to be known before the entries at their sizes come: read the
    /// `subjects.sealed` entries first, or give one at the latest when its size is reached.
    ///
    /// # Errors
    /// [`What::SubjectsUnchecked`] if a size is already past, is beyond its own entry, or a share is checked.
    pub fn expect_subjects(&mut self, seals: impl IntoIterator<Item = SubjectsSeal>) -> Result<(), Problem> {
        self.seals.extend(seals);
        self.seals.sort_unstable_by_key(|seal| std::cmp::Reverse((seal.size, seal.position)));
        let unchecked = |seal: &&SubjectsSeal| seal.size < self.frontier.size() || seal.size > seal.position;
        match self.seals.iter().find(unchecked) {
            Some(seal) => Err(self.fail(seal.position, What::SubjectsUnchecked)),
            None => Ok(()),
        }
    }

    /// Checks the entry that comes next; gives it with its leaf hash. After a problem every call gives that problem.
    ///
    /// # Errors
    /// The first [`Problem`] of the chain.
    pub fn feed<'a>(&mut self, position: u64, bytes: &'a [u8]) -> Result<(EntryRef<'a>, Digest), Problem> {
        self.alive()?;
        // The place in the chain is what is named, whatever position the bytes or the caller claim.
        let place = self.tail.next;
        let (entry, leaf) = self.tail.advance(position, bytes).map_err(|what| self.fail(place, what))?;
        self.check_seals_to(place)?;
        if let Some(link) = &entry.subject {
            self.take_link(place, link)?;
        }
        self.frontier.push(leaf);
        Ok((entry, leaf))
    }

    /// Takes the run that comes next. A run that a problem ended is stitched all the same, so that the first problem of the
    /// chain is found, and not the first that a run shows by itself.
    ///
    /// # Errors
    /// The first [`Problem`] of the chain.
    pub fn stitch(&mut self, segment: Segment) -> Result<(), Problem> {
        self.alive()?;
        let size = self.size();
        if segment.first != size {
            return Err(self.fail(size, What::Missing));
        }
        if segment.tail.ledger != self.tail.ledger {
            return Err(self.fail(size, What::Ledger));
        }
        if let (Some((previous, recorded)), Some((leaf, last_recorded))) = (segment.start, self.tail.last) {
            if previous != leaf {
                return Err(self.fail(size, What::Previous));
            }
            if recorded < last_recorded {
                return Err(self.fail(size, What::Recorded));
            }
        }
        for (position, link) in &segment.links {
            self.check_seals_to(*position)?;
            self.take_link(*position, link)?;
        }
        if let Some(last) = segment.next().checked_sub(1) {
            self.check_seals_to(last)?;
        }
        for (level, root) in segment.subtrees {
            // Cannot fail: subtrees of a run that starts at the size are aligned to it.
            self.frontier.push_subtree(level, root).map_err(|_: TreeError| self.fail(size, What::Missing))?;
        }
        if segment.start.is_some() {
            self.tail = segment.tail;
        }
        match segment.failed {
            Some(problem) => Err(self.fail(problem.position, problem.what)),
            None => Ok(()),
        }
    }

    fn take_link(&mut self, position: u64, link: &SubjectLink) -> Result<(), Problem> {
        self.heads.take(link, position).map_err(|wrong| self.fail(position, What::Link(wrong)))
    }

    /// Checks the seals of sizes up to `size`; the heads must be those of the first `size` entries.
    fn check_seals_to(&mut self, size: u64) -> Result<(), Problem> {
        while let Some(seal) = self.seals.pop_if(|seal| seal.size <= size) {
            match self.heads.root() {
                Ok(map) if map == seal.map => {}
                Ok(_) => return Err(self.fail(seal.position, What::Subjects)),
                Err(_) => return Err(self.fail(seal.position, What::SubjectsUnchecked)),
            }
        }
        Ok(())
    }

    /// Entries taken so far.
    pub const fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// Root of the tree over the entries taken so far: to compare with a checkpoint of that size on the way.
    pub fn root(&self) -> Digest {
        self.frontier.root()
    }

    /// Ends the chain, which must have the size and root of a checkpoint, if one is given.
    ///
    /// # Errors
    /// The first [`Problem`] of the chain.
    pub fn finish(mut self, expected: Option<(u64, Digest)>) -> Result<VerifiedChain, Problem> {
        self.alive()?;
        let (size, root) = (self.size(), self.root());
        self.check_seals_to(size)?;
        if let Some(seal) = self.seals.last().copied() {
            return Err(self.fail(seal.position, What::SubjectsUnchecked));
        }
        match expected {
            Some((expected, _)) if expected != size => return Err(self.fail(size.min(expected), What::Size)),
            Some((_, expected)) if expected != root => return Err(self.fail(size, What::Root)),
            Some(_) | None => {}
        }
        let (head, recorded) = self.tail.last.unwrap_or((Digest::ZERO, Timestamp::from_micros(0)));
        Ok(VerifiedChain { size, root, head, recorded, heads: self.heads })
    }

    fn alive(&self) -> Result<(), Problem> {
        self.failed.map_or(Ok(()), Err)
    }

    fn fail(&mut self, position: u64, what: What) -> Problem {
        *self.failed.insert(Problem { position, what })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chain::entry::Entry;
    use crate::chain::samples::{LEDGER, chain, relink, subject};
    use crate::chain::segment::SegmentVerifier;
    use crate::chain::subjects::{SubjectHead, SubjectsBuilder};
    use crate::chain::tree::root_of;

    const SUBJECTS: [u64; 12] = [3, 0, 1, 3, 3, 2, 1, 0, 9, 3, 9, 2];

    fn bytes(entries: &[Entry]) -> Vec<Vec<u8>> {
        entries.iter().map(|entry| entry.encode().unwrap()).collect()
    }

    fn verify(entries: &[Vec<u8>], seals: &[SubjectsSeal]) -> Result<VerifiedChain, Problem> {
        let mut verifier = ChainVerifier::new(LEDGER, Share::ALL);
        verifier.expect_subjects(seals.iter().copied())?;
        for (position, entry) in (0..).zip(entries) {
            verifier.feed(position, entry)?;
        }
        verifier.finish(None)
    }

    fn verify_in_runs(entries: &[Vec<u8>], seals: &[SubjectsSeal], length: usize) -> Result<VerifiedChain, Problem> {
        let mut verifier = ChainVerifier::new(LEDGER, Share::ALL);
        verifier.expect_subjects(seals.iter().copied())?;
        for (number, run) in entries.chunks(length).enumerate() {
            let first = (number * length) as u64;
            let mut segment = SegmentVerifier::new(LEDGER, first);
            let fed = (first..).zip(run).try_for_each(|(position, entry)| segment.feed(position, entry).map(drop));
            let stitched = verifier.stitch(segment.finish());
            assert!(fed.is_ok() || stitched.is_err());
            stitched?;
        }
        verifier.finish(None)
    }

    fn problem(entries: &[Entry]) -> Problem {
        let entries = bytes(entries);
        let found = verify(&entries, &[]).unwrap_err();
        // Runs see the same first bad entry, wherever they are cut.
        for length in 1..=entries.len() {
            assert_eq!(verify_in_runs(&entries, &[], length).unwrap_err(), found, "runs of {length}");
        }
        found
    }

    fn seal_at(entries: &[Entry], size: u64) -> SubjectsSeal {
        let mut heads: Vec<SubjectHead> = Vec::new();
        for entry in entries.iter().take(usize::try_from(size).unwrap()) {
            if let Some(link) = entry.subject {
                heads.retain(|head| head.subject != link.subject);
                heads.push(SubjectHead { subject: link.subject, sequence: link.sequence, position: entry.position });
            }
        }
        heads.sort_unstable();
        let mut builder = SubjectsBuilder::default();
        heads.iter().for_each(|head| builder.push(head).unwrap());
        SubjectsSeal { position: size + 1, size, map: builder.root() }
    }

    #[test]
    fn good_chain_passes_entry_by_entry_and_in_runs_of_every_length() {
        let entries = chain(&SUBJECTS);
        let stored = bytes(&entries);
        let root = root_of(stored.iter().map(|entry| crate::chain::leaf::leaf_hash(entry)));
        let seals: Vec<_> = [0, 1, 5, 5, 9, 13].map(|size| seal_at(&entries, size)).into();
        let verified = verify(&stored, &seals).unwrap();
        assert_eq!((verified.size, verified.root), (13, root));
        assert_eq!(verified.heads.head(&subject(3)).unwrap().sequence, 4);
        for length in 1..=14 {
            let verified = verify_in_runs(&stored, &seals, length).unwrap();
            assert_eq!((verified.size, verified.root), (13, root), "runs of {length}");
            assert_eq!(verified.head, crate::chain::leaf::leaf_hash(stored.last().unwrap()));
        }
    }

    #[test]
    fn any_flipped_bit_is_found_at_its_position_or_the_next() {
        let stored = bytes(&chain(&SUBJECTS));
        let root = verify(&stored, &[]).unwrap().root;
        for (position, entry) in stored.iter().enumerate() {
            for bit in 0..entry.len() * 8 {
                let mut forged = stored.clone();
                forged[position][bit / 8] ^= 1 << (bit % 8);
                let found = verify(&forged, &[]);
                for length in [1, 3, 13] {
                    let in_runs = verify_in_runs(&forged, &[], length);
                    let both =
                        [&found, &in_runs].map(|verified| verified.as_ref().map(|chain| chain.root).map_err(|p| *p));
                    assert_eq!(both[0], both[1], "position {position}, bit {bit}, runs of {length}");
                }
                match found {
                    Err(problem) => assert!([position as u64, position as u64 + 1].contains(&problem.position)),
                    // Nothing follows the last entry: there the root alone tells.
                    Ok(verified) => assert!(position + 1 == stored.len() && verified.root != root),
                }
            }
        }
    }

    #[test]
    fn removed_repeated_and_exchanged_entries_are_found() {
        let entries = chain(&SUBJECTS);
        let stored = bytes(&entries);
        let mut removed = stored.clone();
        removed.remove(4);
        assert_eq!(verify(&removed, &[]).unwrap_err(), Problem { position: 4, what: What::Position });
        let mut repeated = stored.clone();
        repeated.insert(4, stored[3].clone());
        assert_eq!(verify(&repeated, &[]).unwrap_err(), Problem { position: 4, what: What::Position });
        let mut exchanged = stored.clone();
        exchanged.swap(4, 5);
        assert_eq!(verify(&exchanged, &[]).unwrap_err(), Problem { position: 4, what: What::Position });
        let mut verifier = ChainVerifier::new(LEDGER, Share::ALL);
        let skipped = Problem { position: 0, what: What::Missing };
        assert_eq!(verifier.feed(1, &stored[1]).unwrap_err(), skipped);
        assert_eq!(verifier.feed(0, &stored[0]).unwrap_err(), skipped);
        assert_eq!(verifier.finish(None).unwrap_err(), skipped);
    }

    #[test]
    fn rechained_forgeries_are_found_by_their_rule() {
        let forged = |position: usize, forge: &dyn Fn(&mut Entry)| {
            let mut entries = chain(&SUBJECTS);
            forge(&mut entries[position]);
            relink(&mut entries);
            problem(&entries)
        };
        let other = LedgerId::from_bytes([2; 16]);
        assert_eq!(forged(3, &|entry| entry.ledger = other).what, What::Ledger);
        assert_eq!(forged(0, &|entry| entry.event_type = "cost.recorded".to_owned()).what, What::NotCreated);
        let back = Timestamp::from_micros(1);
        assert_eq!(forged(3, &|entry| entry.recorded = back), Problem { position: 3, what: What::Recorded });
        let dropped = forged(4, &|entry| entry.subject = None);
        assert_eq!(dropped.what, What::Link(LinkError::Sequence { expected: 2, found: 3 }));
        let forked = forged(5, &|entry| entry.subject.as_mut().unwrap().previous = Some(1));
        assert_eq!(forked, Problem { position: 5, what: What::Link(LinkError::Previous) });
        let stolen = forged(5, &|entry| entry.subject.as_mut().unwrap().subject = subject(1));
        assert_eq!(stolen.position, 5);
    }

    #[test]
    fn runs_with_a_gap_twice_or_of_another_ledger_are_not_stitched() {
        let stored = bytes(&chain(&SUBJECTS));
        let run = |from: usize, to: usize| {
            let mut segment = SegmentVerifier::new(LEDGER, from as u64);
            for (position, entry) in (from as u64..).zip(&stored[from..to]) {
                segment.feed(position, entry).unwrap();
            }
            segment.finish()
        };
        for next in [4, 6, 0] {
            let mut verifier = ChainVerifier::new(LEDGER, Share::ALL);
            verifier.stitch(run(0, 5)).unwrap();
            assert_eq!(verifier.stitch(run(next, 8)), Err(Problem { position: 5, what: What::Missing }), "{next}");
        }
        let mut verifier = ChainVerifier::new(LedgerId::from_bytes([2; 16]), Share::ALL);
        assert_eq!(verifier.stitch(run(0, 5)), Err(Problem { position: 0, what: What::Ledger }));
        let mut verifier = ChainVerifier::new(LEDGER, Share::ALL);
        verifier.stitch(run(0, 5)).unwrap();
        verifier.stitch(run(5, 5)).unwrap();
        verifier.stitch(run(5, 13)).unwrap();
        assert_eq!(verifier.finish(None).unwrap().size, 13);
    }

    #[test]
    fn first_entry_must_follow_nothing() {
        let mut entries = chain(&SUBJECTS);
        entries[0].previous = Digest::from_bytes([1; 32]);
        assert_eq!(problem(&entries), Problem { position: 0, what: What::Previous });
    }

    #[test]
    fn wrong_size_root_and_sealed_map_are_found() {
        let entries = chain(&SUBJECTS);
        let stored = bytes(&entries);
        let root = verify(&stored, &[]).unwrap().root;
        let finish = |expected| {
            let mut verifier = ChainVerifier::new(LEDGER, Share::ALL);
            for (position, entry) in (0..).zip(&stored) {
                verifier.feed(position, entry).unwrap();
            }
            verifier.finish(Some(expected)).map(|verified| verified.size)
        };
        assert_eq!(finish((13, root)), Ok(13));
        assert_eq!(finish((14, root)).unwrap_err().what, What::Size);
        assert_eq!(finish((12, root)).unwrap_err().what, What::Size);
        assert_eq!(finish((13, Digest::ZERO)).unwrap_err().what, What::Root);
        let good = seal_at(&entries, 9);
        let found = |seal| verify(&stored, &[seal]).unwrap_err();
        assert_eq!(found(SubjectsSeal { size: 7, ..good }), Problem { position: 10, what: What::Subjects });
        let counted = SubjectsRoot { count: good.map.count + 1, ..good.map };
        assert_eq!(found(SubjectsSeal { map: counted, ..good }).what, What::Subjects);
        assert_eq!(found(SubjectsSeal { size: 11, ..good }).what, What::SubjectsUnchecked);
        assert_eq!(found(SubjectsSeal { size: 40, position: 41, ..good }).what, What::SubjectsUnchecked);
    }

    #[test]
    fn shares_together_find_what_one_pass_finds() {
        let mut entries = chain(&SUBJECTS);
        entries[5].subject.as_mut().unwrap().previous = Some(1);
        relink(&mut entries);
        let stored = bytes(&entries);
        let mut found = Vec::new();
        for number in 0..4 {
            let mut verifier = ChainVerifier::new(LEDGER, Share::new(number, 4).unwrap());
            let result = (0..).zip(&stored).try_for_each(|(position, entry)| verifier.feed(position, entry).map(drop));
            found.extend(result.err());
        }
        assert_eq!(found, [Problem { position: 5, what: What::Link(LinkError::Previous) }]);
        assert!(Share::new(4, 4).is_none());
        let mut verifier = ChainVerifier::new(LEDGER, Share::new(0, 4).unwrap());
        verifier.expect_subjects([seal_at(&entries, 0)]).unwrap();
        assert_eq!(verifier.feed(0, &stored[0]).unwrap_err().what, What::SubjectsUnchecked);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn random_chains_pass_however_they_are_cut(
            subjects in prop::collection::vec(0_u64..20, 0..120), cut in 1_usize..50, size: prop::sample::Index,
        ) {
            let entries = chain(&subjects);
            let stored = bytes(&entries);
            let seal = seal_at(&entries, size.index(entries.len()) as u64);
            let whole = verify(&stored, &[seal]).unwrap();
            let cut = verify_in_runs(&stored, &[seal], cut).unwrap();
            prop_assert_eq!((whole.size, whole.root, whole.head), (cut.size, cut.root, cut.head));
        }
    }
}
