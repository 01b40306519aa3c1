//! Derived segments: which event is a duplicate, where a person's entries are and where they end, whom an identifier belongs to.
//!
//! All of them are functions of the log, so nothing here is evidence: a segment that is missing, damaged or not what its
//! name says is thrown away and rebuilt. A tail in memory covers the positions since the last segment; every half million
//! positions it is frozen, sorted and written as one run per kind by a task of its own, so no random key is ever written
//! inside an append transaction. Lookups go tail, frozen tail, then runs from newest to oldest behind a filter each.

mod filter;
mod forget;
mod run;
mod tail;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use forget::{Forget, ForgetPlan, Forgotten};
pub use run::RunError;
use run::{Merge, Row, Run, Source};
pub use tail::{IdMap, IdSet, Tail};

/// What the index knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// First 16 bytes of a dedupe value -> position.
    Dedupe,
    /// Subject -> sequence and position of its last entry.
    Head,
    /// Blind index of an identifier -> subject; all zero when it was released.
    Identifier,
    /// Subject -> sequence and position of each of its entries, a row an entry.
    History,
}

/// Runs of each kind, in the order of [`Kind`].
type PerKind<T> = [T; 4];

impl Kind {
    const ALL: PerKind<Kind> = [Kind::Dedupe, Kind::Head, Kind::Identifier, Kind::History];

    const fn name(self) -> &'static str {
        match self {
            Kind::Dedupe => "dedupe",
            Kind::Head => "head",
            Kind::Identifier => "identifier",
            Kind::History => "history",
        }
    }

    /// A key has one row in each run, and the newest run's counts; else it has as many as there are, in all runs.
    const fn is_single(self) -> bool {
        !matches!(self, Kind::History)
    }
}

/// An entry of a subject: its last one, where a head is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubjectHead {
    /// Its sequence number.
    pub sequence: u64,
    /// Its position.
    pub position: u64,
}

impl SubjectHead {
    fn of_value(value: &[u8; 16]) -> SubjectHead {
        SubjectHead { sequence: read_u64(value, 0), position: read_u64(value, 8) }
    }
}

/// A head and whether the log itself said so since this process began (a run's word must be checked against the entry).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundHead {
    /// The head.
    pub head: SubjectHead,
    /// `true` when it came from a tail, which is filled from committed entries only.
    pub certain: bool,
}

/// Positions that one tail covers before it is frozen, unless the ledger's limits say otherwise.
pub const TAIL_POSITIONS: u64 = 500_000;
/// Stands for "several" where one reference names several people.
pub const AMBIGUOUS: [u8; 16] = [0xff; 16];
/// Stands for "bound to no person": a suppression token, which outlives whoever it is of.
pub const NOBODY: [u8; 16] = [0xee; 16];
/// Runs of one size class that are merged into one of the next.
const MERGE_FANIN: usize = 4;

/// The index of one ledger.
#[derive(Debug)]
pub struct Index {
    folder: PathBuf,
    tail_positions: u64,
    runs: PerKind<Vec<Arc<Run>>>,
    frozen: Option<Arc<Tail>>,
    tail: Tail,
}

impl Index {
    /// Opens the runs in `folder` that are intact and cover the log from position 0 without a gap, up to at most `size`.
    /// Everything else there is deleted. The tail then starts at [`Index::covered`]; the caller fills it from the log. A
    /// tail is frozen when it covers `tail_positions` (at least 1).
    pub fn open(folder: &Path, size: u64, tail_positions: u64) -> io::Result<Index> {
        let tail_positions = tail_positions.max(1);
        fs::create_dir_all(folder)?;
        let mut found: PerKind<Vec<Run>> = Default::default();
        for item in fs::read_dir(folder)? {
            let path = item?.path();
            match Run::open(&path) {
                Ok((kind, run)) if run.end() <= size => {
                    if let Some(list) = found.get_mut(kind as usize) {
                        list.push(run);
                    }
                }
                // A run beyond the log belongs to a history that was cut off.
                Ok(_) | Err(_) => fs::remove_file(&path)?,
            }
        }
        let mut dropped = Vec::new();
        let found = found.map(|runs| contiguous(runs, &mut dropped));
        for path in dropped {
            fs::remove_file(path)?;
        }
        let covered = found.iter().map(|runs| runs.last().map_or(0, Run::end)).min().unwrap_or(0);
        let keep = |runs: Vec<Run>| -> io::Result<Vec<Arc<Run>>> {
            let (keep, drop): (Vec<Run>, Vec<Run>) = runs.into_iter().partition(|run| run.end() <= covered);
            for run in drop {
                fs::remove_file(run.path())?;
            }
            Ok(keep.into_iter().map(Arc::new).collect())
        };
        let [dedupe, head, identifier, history] = found;
        let runs = [keep(dedupe)?, keep(head)?, keep(identifier)?, keep(history)?];
        // After dropping, each kind must still end at the same position.
        let covered = runs.iter().map(|list| list.last().map_or(0, |run| run.end())).min().unwrap_or(0);
        let aligned = runs.iter().all(|list| list.last().map_or(0, |run| run.end()) == covered);
        if !aligned {
            for run in runs.iter().flatten() {
                fs::remove_file(run.path())?;
            }
            return Ok(Index {
                folder: folder.to_path_buf(),
                tail_positions,
                runs: Default::default(),
                frozen: None,
                tail: Tail::new(0),
            });
        }
        Ok(Index { folder: folder.to_path_buf(), tail_positions, runs, frozen: None, tail: Tail::new(covered) })
    }

    /// First position that no run covers.
    pub fn covered(&self) -> u64 {
        self.tail.first()
    }

    /// The tail, to be filled in the order of the log.
    pub fn tail_mut(&mut self) -> &mut Tail {
        &mut self.tail
    }

    /// Candidate position of an event with this dedupe value. From a run it is a candidate only: compare the entry's own.
    pub fn dedupe(&self, dedupe: &[u8; 32]) -> Result<Option<u64>, RunError> {
        let key = first_half(dedupe);
        if let Some(position) = self.tails().find_map(|tail| tail.dedupe(&key)) {
            return Ok(Some(position));
        }
        Ok(self.search(Kind::Dedupe, &key)?.map(|value| read_u64(&value, 0)))
    }

    /// The last entry of a subject.
    pub fn head(&self, subject: &[u8; 16]) -> Result<Option<FoundHead>, RunError> {
        if let Some(head) = self.tails().find_map(|tail| tail.head(subject)) {
            return Ok(Some(FoundHead { head, certain: true }));
        }
        Ok(self
            .search(Kind::Head, subject)?
            .map(|value| FoundHead { head: SubjectHead::of_value(&value), certain: false }))
    }

    /// A subject's entries with a sequence above `after`, in order. From runs they are candidates only: compare the entries.
    pub fn history(&self, subject: &[u8; 16], after: u64) -> Result<Vec<SubjectHead>, RunError> {
        let mut found: Vec<SubjectHead> = self.tails().flat_map(|tail| tail.history(subject, after)).collect();
        // The newest run first; one in which all is known already has the older ones behind it too.
        for run in self.list(Kind::History).iter().rev() {
            if found.iter().any(|entry| entry.sequence == after + 1) {
                break;
            }
            let rows = run.search_all(subject)?;
            found.extend(rows.iter().map(SubjectHead::of_value).filter(|entry| entry.sequence > after));
        }
        found.sort_unstable_by_key(|entry| entry.sequence);
        Ok(found)
    }

    /// The subject that an identifier is bound to.
    pub fn identifier(&self, blind: &[u8; 16]) -> Result<Option<[u8; 16]>, RunError> {
        let subject = match self.tails().find_map(|tail| tail.identifier(blind)) {
            Some(subject) => Some(subject),
            None => self.search(Kind::Identifier, blind)?,
        };
        Ok(subject.filter(|subject| *subject != [0; 16]))
    }

    /// Binds a reference by its text alone. Where sources use one reference for several people it names none of them.
    pub fn bind_bare(&mut self, blind: [u8; 16], subject: [u8; 16]) {
        let known = self.identifier(&blind).ok().flatten();
        let value = if known.is_none_or(|known| known == subject) { subject } else { AMBIGUOUS };
        self.tail.bind(blind, value);
    }

    /// The heads of all subjects at this moment, to be read without holding the index.
    pub fn heads_snapshot(&self) -> HeadsSnapshot {
        HeadsSnapshot {
            runs: self.list(Kind::Head).to_vec(),
            frozen: self.frozen.clone(),
            tail: self.tail.rows(Kind::Head),
        }
    }

    /// Freezes the tail when it covers enough positions and no other one is being written. The caller passes the frozen
    /// tail to [`write_runs`] off the append path and hands the result to [`Index::install`].
    pub fn freeze(&mut self, size: u64) -> Option<(PathBuf, Arc<Tail>, u64)> {
        if self.frozen.is_some() || size < self.tail.first() + self.tail_positions {
            return None;
        }
        let frozen = Arc::new(std::mem::replace(&mut self.tail, Tail::new(size)));
        self.frozen = Some(Arc::clone(&frozen));
        Some((self.folder.clone(), frozen, size))
    }

    /// The tail that is being written, as it is now.
    pub fn frozen(&self) -> Option<Arc<Tail>> {
        self.frozen.clone()
    }

    /// Puts written runs in place of the frozen tail.
    pub fn install(&mut self, written: PerKind<Run>) {
        for (list, run) in self.runs.iter_mut().zip(written) {
            list.push(Arc::new(run));
        }
        self.frozen = None;
    }

    /// The runs of each kind that should be merged into one, oldest first, if any are due.
    pub fn merge_due(&self) -> Option<MergePlan> {
        let list = self.list(Kind::Dedupe);
        let class = |run: &Run| (run.end() - run.first()) / self.tail_positions;
        let last = class(list.last()?);
        let from = list.iter().rposition(|run| class(run) > last).map_or(0, |larger| larger + 1);
        let equal = list.len() - from;
        (equal >= MERGE_FANIN).then(|| MergePlan {
            folder: self.folder.clone(),
            inputs: self.runs.clone().map(|list| list.into_iter().skip(from).collect()),
        })
    }

    /// Puts merged runs in place of the plan's inputs and deletes those.
    pub fn install_merged(&mut self, plan: &MergePlan, merged: PerKind<Run>) -> io::Result<()> {
        for ((list, inputs), run) in self.runs.iter_mut().zip(&plan.inputs).zip(merged) {
            let from = inputs.first().map_or(0, |input| input.first());
            list.retain(|old| old.first() < from || old.first() >= run.end());
            let at = list.partition_point(|old| old.first() < from);
            list.insert(at, Arc::new(run));
            for input in inputs {
                fs::remove_file(input.path())?;
            }
        }
        Ok(())
    }

    /// Number of runs per kind, for the health view.
    pub fn run_count(&self) -> usize {
        self.list(Kind::Dedupe).len()
    }

    fn tails(&self) -> impl Iterator<Item = &Tail> {
        std::iter::once(&self.tail).chain(self.frozen.as_deref())
    }

    fn list(&self, kind: Kind) -> &[Arc<Run>] {
        let [dedupe, head, identifier, history] = &self.runs;
        match kind {
            Kind::Dedupe => dedupe,
            Kind::Head => head,
            Kind::Identifier => identifier,
            Kind::History => history,
        }
    }

    fn search(&self, kind: Kind, key: &[u8; 16]) -> Result<Option<[u8; 16]>, RunError> {
        for run in self.list(kind).iter().rev() {
            if let Some(value) = run.search(key)? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }
}

/// Everyone's last entry at one moment. Runs that are merged meanwhile stay readable through their open files.
pub struct HeadsSnapshot {
    runs: Vec<Arc<Run>>,
    frozen: Option<Arc<Tail>>,
    tail: Vec<Row>,
}

impl HeadsSnapshot {
    /// Shows all heads in order of subject, the newest word of each.
    ///
    /// # Errors
    /// [`RunError`] when a run cannot be read.
    pub fn each(&self, mut each: impl FnMut([u8; 16], SubjectHead)) -> Result<(), RunError> {
        let mut sources: Vec<Source<'_>> = self.runs.iter().map(|run| Source::disk(run)).collect();
        if let Some(frozen) = &self.frozen {
            sources.push(Source::Memory(frozen.rows(Kind::Head).into_iter()));
        }
        sources.push(Source::Memory(self.tail.clone().into_iter()));
        let mut merge = Merge::new(Kind::Head, sources)?;
        while let Some((key, value)) = merge.next()? {
            each(key, SubjectHead::of_value(&value));
        }
        Ok(())
    }
}

/// Runs that are to become one.
#[derive(Debug)]
pub struct MergePlan {
    folder: PathBuf,
    inputs: PerKind<Vec<Arc<Run>>>,
}

/// Writes a frozen tail as one run per kind, covering `[tail.first(), end)`. Blocks on the disk.
pub fn write_runs(folder: &Path, tail: &Tail, end: u64) -> Result<PerKind<Run>, RunError> {
    let [a, b, c, d] = Kind::ALL.map(|kind| {
        let rows = tail.rows(kind);
        let count = rows.len();
        let mut rows = rows.into_iter();
        Run::write(folder, kind, (tail.first(), end), count, || Ok(rows.next()))
    });
    Ok([a?, b?, c?, d?])
}

/// Merges what a plan names. Blocks on the disk; holds a few thousand rows at a time.
pub fn write_merged(plan: &MergePlan) -> Result<PerKind<Run>, RunError> {
    let mut merged = Vec::with_capacity(Kind::ALL.len());
    for (kind, inputs) in Kind::ALL.iter().zip(&plan.inputs) {
        let first = inputs.first().map_or(0, |run| run.first());
        let end = inputs.last().map_or(0, |run| run.end());
        let count = inputs.iter().map(|run| run.count()).sum();
        let mut merge = Merge::new(*kind, inputs.iter().map(|run| Source::disk(run)).collect())?;
        merged.push(Run::write(&plan.folder, *kind, (first, end), count, || merge.next())?);
    }
    <PerKind<Run>>::try_from(merged).map_err(|_| RunError::Damaged("merge did not yield a run per kind"))
}

/// From all runs found, the longest ones that follow each other from position 0. The others are named in `dropped`.
fn contiguous(mut runs: Vec<Run>, dropped: &mut Vec<PathBuf>) -> Vec<Run> {
    runs.sort_by_key(|run| (run.first(), std::cmp::Reverse(run.end())));
    let mut chosen: Vec<Run> = Vec::new();
    for run in runs {
        if run.first() == chosen.last().map_or(0, Run::end) {
            chosen.push(run);
        } else {
            dropped.push(run.path().to_path_buf());
        }
    }
    chosen
}

fn first_half(dedupe: &[u8; 32]) -> [u8; 16] {
    let mut key = [0; 16];
    key.copy_from_slice(dedupe.split_at(16).0);
    key
}

fn read_u64(value: &[u8; 16], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(value.split_at(at).1.split_at(8).0);
    u64::from_be_bytes(bytes)
}
