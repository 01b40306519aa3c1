//! The heads of all subjects in memory: checks each person's linked list and gives the map's root at any moment.
//!
//! Promises: a link is taken only if it continues its subject's list exactly, so that what was taken is complete and
//! unforked. About 70 bytes a subject. Whoever cannot afford that for all subjects checks one [`Share`] of them in each of
//! several passes; a share cannot give the map's root. Must never be shared by two ledgers.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;

use crate::chain::blocks::{BlockRead, SubjectBlocks};
use crate::chain::entry::SubjectLink;
use crate::chain::subjects::{AbsenceProof, SubjectHead, SubjectProof, SubjectsError, SubjectsRoot};
use crate::domain::ids::SubjectId;

/// One of several disjoint sets of subjects that together are all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    number: u8,
    of: u8,
}

impl Share {
    /// All subjects.
    pub const ALL: Share = Share { number: 0, of: 1 };

    /// Share `number` (from 0) of `of` shares; none unless `number < of`.
    pub const fn new(number: u8, of: u8) -> Option<Share> {
        if number < of { Some(Share { number, of }) } else { None }
    }

    /// Whether the share has this subject. The last byte of a UUIDv7 is random, so that shares are of like size.
    pub const fn holds(&self, subject: &SubjectId) -> bool {
        let [.., last] = *subject.as_bytes();
        last % self.of == self.number
    }
}

/// Why a link does not continue its subject's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The sequence is not one more than the last.
    #[error("the subject's sequence is {found}, expected {expected}")]
    Sequence {
        /// One more than the subject's last.
        expected: u64,
        /// What the entry says.
        found: u64,
    },
    /// The back position is not that of the subject's last entry.
    #[error("the subject's previous position is not that of its last entry")]
    Previous,
    /// More subjects than can be numbered.
    #[error("too many subjects")]
    TooMany,
}

/// Heads of all subjects, or of one share of them.
#[derive(Debug)]
pub struct HeadMap {
    share: Share,
    /// Place in `heads` of each subject.
    places: HashMap<SubjectId, u32>,
    /// In order of first entry.
    heads: Vec<SubjectHead>,
    /// Places in order of subject; the subjects that came since the last root are missing.
    sorted: Vec<u32>,
    /// Places of sorted subjects that moved since the last root, each once.
    moved: Vec<u32>,
    /// Whether a place stands in `moved`.
    is_moved: Vec<bool>,
    blocks: SubjectBlocks,
}

impl HeadMap {
    /// Of a ledger without entries.
    pub fn new(share: Share) -> HeadMap {
        HeadMap {
            share,
            places: HashMap::new(),
            heads: Vec::new(),
            sorted: Vec::new(),
            moved: Vec::new(),
            is_moved: Vec::new(),
            blocks: SubjectBlocks::new(),
        }
    }

    /// Takes the link of the entry at `position`; subjects of other shares are passed over.
    ///
    /// # Errors
    /// [`LinkError`] if it does not continue the subject's list; nothing changes then.
    pub fn take(&mut self, link: &SubjectLink, position: u64) -> Result<(), LinkError> {
        if !self.share.holds(&link.subject) {
            return Ok(());
        }
        let head = SubjectHead { subject: link.subject, sequence: link.sequence, position };
        match self.places.entry(link.subject) {
            Slot::Vacant(slot) => {
                check(link, 1, None)?;
                let place = u32::try_from(self.heads.len()).map_err(|_| LinkError::TooMany)?;
                slot.insert(place);
                self.heads.push(head);
                self.is_moved.push(false);
            }
            Slot::Occupied(slot) => {
                let place = *slot.get();
                let index = place as usize;
                let Some(last) = self.heads.get_mut(index) else { return Err(LinkError::TooMany) };
                check(link, last.sequence + 1, Some(last.position))?;
                *last = head;
                // Places from `sorted.len()` on are new since the last root and will be read then anyway.
                let is_sorted = index < self.sorted.len();
                if let Some(mark) = self.is_moved.get_mut(index).filter(|mark| is_sorted && !**mark) {
                    *mark = true;
                    self.moved.push(place);
                }
            }
        }
        Ok(())
    }

    /// The subject's last entry.
    pub fn head(&self, subject: &SubjectId) -> Option<SubjectHead> {
        self.places.get(subject).and_then(|place| self.heads.get(*place as usize)).copied()
    }

    /// Number of subjects.
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// Whether there is no subject.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Count and root of the subjects map over everything taken so far.
    ///
    /// # Errors
    /// [`SubjectsError::Stale`] for a share: a map is of all subjects.
    pub fn root(&mut self) -> Result<SubjectsRoot, SubjectsError> {
        if self.share != Share::ALL {
            return Err(SubjectsError::Stale);
        }
        self.sort_new();
        for place in self.moved.drain(..) {
            let index = place as usize;
            if let Some(mark) = self.is_moved.get_mut(index) {
                *mark = false;
            }
            if let Some(head) = self.heads.get(index) {
                self.blocks.moved(&head.subject);
            }
        }
        while let Some(read) = self.blocks.next_read() {
            let heads = self.read(&read);
            self.blocks.fill(&read, &heads)?;
        }
        self.blocks.root()
    }

    /// Proof that a subject is in the map with its last entry, over everything taken so far.
    ///
    /// # Errors
    /// [`SubjectsError::Absent`] if it is not.
    pub fn prove(&mut self, subject: &SubjectId) -> Result<SubjectProof, SubjectsError> {
        self.root()?;
        let index = self.search(subject).map_err(|_| SubjectsError::Absent)?;
        self.prove_index(index)
    }

    /// Proof that a subject is not in the map, over everything taken so far.
    ///
    /// # Errors
    /// [`SubjectsError::Neighbours`] if it is.
    pub fn prove_absence(&mut self, subject: &SubjectId) -> Result<AbsenceProof, SubjectsError> {
        self.root()?;
        let Err(index) = self.search(subject) else { return Err(SubjectsError::Neighbours) };
        let before = index.checked_sub(1).map(|before| self.prove_index(before)).transpose()?;
        let after = if index < self.sorted.len() { Some(self.prove_index(index)?) } else { None };
        Ok(AbsenceProof { before, after })
    }

    fn prove_index(&mut self, index: usize) -> Result<SubjectProof, SubjectsError> {
        let read = self.blocks.read_of(index / crate::chain::blocks::BLOCK_HEADS).ok_or(SubjectsError::Absent)?;
        let heads = self.read(&read);
        self.blocks.prove(&read, &heads, index % crate::chain::blocks::BLOCK_HEADS)
    }

    /// Puts the subjects that came since the last root into order.
    fn sort_new(&mut self) {
        let known = self.sorted.len();
        let subject_at = |place: &u32| self.heads.get(*place as usize).map(|head| head.subject);
        let mut new: Vec<u32> = (known..self.heads.len()).filter_map(|index| u32::try_from(index).ok()).collect();
        new.sort_unstable_by_key(subject_at);
        let Some(first) = new.first().and_then(subject_at) else { return };
        // Only what stands behind the first new subject has to be merged: nothing at all if ids come in time order.
        let at = self.sorted.partition_point(|place| subject_at(place) < Some(first));
        self.sorted.extend_from_slice(&new);
        if let Some(tail) = self.sorted.get_mut(at..) {
            // Two ascending runs, which the stable sort merges in linear time.
            tail.sort_by_key(subject_at);
        }
        self.blocks.added(&first);
    }

    fn search(&self, subject: &SubjectId) -> Result<usize, usize> {
        self.sorted
            .binary_search_by_key(&Some(*subject), |place| self.heads.get(*place as usize).map(|head| head.subject))
    }

    fn read(&self, read: &BlockRead) -> Vec<SubjectHead> {
        let start = self.search(&read.from).unwrap_or_else(|place| place);
        let places = self.sorted.iter().skip(start).take(read.limit);
        places.filter_map(|place| self.heads.get(*place as usize).copied()).collect()
    }
}

fn check(link: &SubjectLink, expected: u64, previous: Option<u64>) -> Result<(), LinkError> {
    if link.sequence != expected {
        return Err(LinkError::Sequence { expected, found: link.sequence });
    }
    if link.previous == previous { Ok(()) } else { Err(LinkError::Previous) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chain::samples::subject;
    use crate::chain::subjects::SubjectsBuilder;

    /// Takes an entry of each subject in turn, at positions 0, 1, 2 ...
    fn take_all(heads: &mut HeadMap, subjects: &[u64], first: u64) {
        for (position, number) in (first..).zip(subjects) {
            let last = heads.head(&subject(*number));
            let sequence = last.map_or(1, |last| last.sequence + 1);
            let previous = last.map(|last| last.position);
            heads.take(&SubjectLink { subject: subject(*number), sequence, previous }, position).unwrap();
        }
    }

    fn root_from_scratch(heads: &HeadMap) -> SubjectsRoot {
        let mut sorted = heads.heads.clone();
        sorted.sort_unstable();
        let mut builder = SubjectsBuilder::default();
        sorted.iter().for_each(|head| builder.push(head).unwrap());
        builder.root()
    }

    #[test]
    fn list_continues_exactly_or_not_at_all() {
        let mut heads = HeadMap::new(Share::ALL);
        let link = |sequence, previous| SubjectLink { subject: subject(1), sequence, previous };
        assert_eq!(heads.take(&link(2, Some(3)), 4), Err(LinkError::Sequence { expected: 1, found: 2 }));
        assert!(heads.is_empty());
        heads.take(&link(1, None), 4).unwrap();
        assert_eq!(heads.take(&link(1, None), 5), Err(LinkError::Sequence { expected: 2, found: 1 }));
        assert_eq!(heads.take(&link(3, Some(4)), 5), Err(LinkError::Sequence { expected: 2, found: 3 }));
        assert_eq!(heads.take(&link(2, Some(3)), 5), Err(LinkError::Previous));
        assert_eq!(heads.head(&subject(1)).unwrap().position, 4);
        heads.take(&link(2, Some(4)), 5).unwrap();
        assert_eq!(heads.head(&subject(1)), Some(SubjectHead { subject: subject(1), sequence: 2, position: 5 }));
    }

    #[test]
    fn every_subject_proves_present_and_every_gap_absent() {
        for count in [0, 1, 2, 255, 256, 257, 511, 513, 1000] {
            let mut heads = HeadMap::new(Share::ALL);
            let numbers: Vec<u64> = (0..count).map(|number| 2 * number + 1).collect();
            take_all(&mut heads, &numbers, 0);
            let map = heads.root().unwrap();
            assert_eq!(map.count, count);
            for number in numbers.iter().step_by(37) {
                let proof = heads.prove(&subject(*number)).unwrap();
                assert_eq!(proof.verify(&map), Ok(()));
                let mut other = proof.clone();
                other.head.sequence += 1;
                assert!(other.verify(&map).is_err());
                assert_eq!(heads.prove_absence(&subject(*number)), Err(SubjectsError::Neighbours));
            }
            for gap in (0..=2 * count).step_by(2) {
                let proof = heads.prove_absence(&subject(gap)).unwrap();
                assert_eq!(proof.verify(&subject(gap), &map), Ok(()), "{gap} of {count}");
                assert!(proof.verify(&subject(gap + 1), &map).is_err() || gap == 2 * count);
                assert_eq!(heads.prove(&subject(gap)), Err(SubjectsError::Absent));
            }
        }
    }

    #[test]
    fn absence_needs_true_neighbours() {
        let mut heads = HeadMap::new(Share::ALL);
        take_all(&mut heads, &[10, 20, 30], 0);
        let map = heads.root().unwrap();
        let mut proof = heads.prove_absence(&subject(15)).unwrap();
        proof.after = Some(heads.prove(&subject(30)).unwrap());
        assert_eq!(proof.verify(&subject(20), &map), Err(SubjectsError::Neighbours));
        proof.after = None;
        assert_eq!(proof.verify(&subject(15), &map), Err(SubjectsError::Neighbours));
        let first_only = AbsenceProof { before: None, after: Some(heads.prove(&subject(30)).unwrap()) };
        assert_eq!(first_only.verify(&subject(20), &map), Err(SubjectsError::Neighbours));
    }

    #[test]
    fn blocks_refuse_heads_that_are_not_theirs() {
        let mut heads = HeadMap::new(Share::ALL);
        take_all(&mut heads, &(0..600).collect::<Vec<_>>(), 0);
        heads.root().unwrap();
        let mut blocks = heads.blocks.clone();
        blocks.moved(&subject(300));
        assert_eq!(blocks.root(), Err(SubjectsError::Stale));
        let read = blocks.next_read().unwrap();
        assert_eq!((read.block, read.from), (1, subject(256)));
        let rows = heads.read(&read);
        assert_eq!(blocks.fill(&read, &rows[1..]), Err(SubjectsError::Block));
        assert_eq!(blocks.fill(&read, &rows[..255]), Err(SubjectsError::Block));
        let mut swapped = rows.clone();
        swapped.swap(3, 4);
        assert_eq!(blocks.fill(&read, &swapped), Err(SubjectsError::Order));
        blocks.fill(&read, &rows).unwrap();
        assert_eq!(blocks.root(), heads.root());
        assert_eq!(blocks.locate(&subject(599)).unwrap().block, 2);
        assert_eq!(blocks.prove(&read, &rows[1..], 0), Err(SubjectsError::Block));
    }

    #[test]
    fn one_moved_head_costs_one_read() {
        let mut heads = HeadMap::new(Share::ALL);
        take_all(&mut heads, &(0..5000).collect::<Vec<_>>(), 0);
        heads.root().unwrap();
        let mut blocks = heads.blocks.clone();
        blocks.moved(&subject(700));
        blocks.moved(&subject(701));
        let mut reads = 0;
        while let Some(read) = blocks.next_read() {
            blocks.fill(&read, &heads.read(&read)).unwrap();
            reads += 1;
        }
        assert_eq!(reads, 1);
        // The last block of 136 and nothing more is read for a subject that comes last.
        take_all(&mut heads, &[5000], 5000);
        heads.sort_new();
        let read = heads.blocks.next_read().unwrap();
        assert_eq!((read.block, heads.read(&read).len()), (19, 137));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn incremental_root_is_the_root_from_scratch(
            batches in prop::collection::vec(prop::collection::vec(0_u64..3000, 0..700), 1..6),
        ) {
            let mut heads = HeadMap::new(Share::ALL);
            let mut position = 0;
            for batch in batches {
                take_all(&mut heads, &batch, position);
                position += batch.len() as u64;
                prop_assert_eq!(heads.root().unwrap(), root_from_scratch(&heads));
            }
        }
    }
}
