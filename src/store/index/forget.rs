//! Forgetting people: the rows that say which identifiers were theirs leave tail and runs.
//!
//! A run that holds such rows is written anew without them and the old file is wiped. The caller lets nothing else write
//! or merge runs meanwhile. Where a key was first theirs and then somebody else's, only their row goes; where its newest
//! word is theirs, or says that it is nobody's in particular, every row of the key goes.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::run::{Row, Run, RunError, Source};
use super::tail::IdSet;
use super::{AMBIGUOUS, Index, Kind};

/// Whom to forget.
#[derive(Debug, Default)]
pub struct Forget {
    /// The people.
    pub subjects: IdSet<[u8; 16]>,
    /// Keys that stay although their value is one of the people.
    pub keep: IdSet<[u8; 16]>,
}

impl Forget {
    fn names(&self, row: &Row) -> bool {
        self.subjects.contains(&row.1) && !self.keep.contains(&row.0)
    }
}

/// The runs before and after, to be put in place by [`Index::install_forgotten`].
#[derive(Debug)]
pub struct Forgotten {
    /// Keys of which nothing stays.
    keys: IdSet<[u8; 16]>,
    runs: Vec<(Arc<Run>, Run)>,
    /// Rows that went from runs.
    pub rows: usize,
}

/// What [`forget`] works on, taken under the index's lock.
#[derive(Debug)]
pub struct ForgetPlan {
    folder: PathBuf,
    runs: Vec<Arc<Run>>,
    tails: Vec<Row>,
}

impl Index {
    /// The runs and memory to look through.
    pub fn forget_plan(&self) -> ForgetPlan {
        // Oldest first, so that the last word about a key is seen last.
        let frozen = self.frozen.iter().flat_map(|tail| tail.identifier_rows());
        let tails = frozen.chain(self.tail.identifier_rows()).collect();
        ForgetPlan { folder: self.folder.clone(), runs: self.list(Kind::Identifier).to_vec(), tails }
    }

    /// Puts rewritten runs in place, wipes the old ones and drops the rows from memory.
    ///
    /// # Errors
    /// When an old file cannot be wiped: run the whole again.
    pub fn install_forgotten(&mut self, forget: &Forget, forgotten: Forgotten) -> io::Result<()> {
        let Forgotten { keys, runs, .. } = forgotten;
        let keep = |row: &Row| !(keys.contains(&row.0) || forget.names(row));
        self.tail.identifiers_retain(keep);
        if let Some(frozen) = &mut self.frozen {
            let mut tail = frozen.as_ref().clone();
            tail.identifiers_retain(keep);
            *frozen = Arc::new(tail);
        }
        let [_, _, list, _] = &mut self.runs;
        for (old, new) in runs {
            if let Some(place) = list.iter_mut().find(|run| Arc::ptr_eq(run, &old)) {
                *place = Arc::new(new);
            }
            old.wipe()?;
        }
        Ok(())
    }
}

impl ForgetPlan {
    /// Reads all runs and writes those anew that hold what is to go. Blocks on the disk; holds the rows of the people only.
    ///
    /// # Errors
    /// [`RunError`] when a run cannot be read or written; nothing was changed then.
    pub fn run(&self, forget: &Forget) -> Result<Forgotten, RunError> {
        let mut theirs: IdSet<[u8; 16]> = IdSet::default();
        let mut note = |row: &Row| {
            if forget.names(row) {
                theirs.insert(row.0);
            }
        };
        for run in &self.runs {
            run.each(&mut note)?;
        }
        self.tails.iter().for_each(&mut note);
        let mut last: super::IdMap<[u8; 16], [u8; 16]> = super::IdMap::default();
        let mut look = |row: &Row| {
            if theirs.contains(&row.0) {
                last.insert(row.0, row.1);
            }
        };
        for run in &self.runs {
            run.each(&mut look)?;
        }
        self.tails.iter().for_each(&mut look);
        let gone = |key: &[u8; 16]| {
            let value = last.get(key).copied().unwrap_or_default();
            value == AMBIGUOUS || value == [0; 16] || forget.subjects.contains(&value)
        };
        let keys: IdSet<[u8; 16]> = theirs.iter().filter(|key| gone(key)).copied().collect();
        let goes = |row: &Row| keys.contains(&row.0) || forget.names(row);
        let (mut runs, mut rows) = (Vec::new(), 0);
        for run in &self.runs {
            let mut count = 0;
            run.each(|row| count += usize::from(goes(row)))?;
            if count == 0 {
                continue;
            }
            rows += count;
            let mut source = Source::disk(run);
            let next = || loop {
                match source.next()? {
                    Some(row) if goes(&row) => {}
                    other => return Ok(other),
                }
            };
            let range = (run.first(), run.end());
            runs.push((Arc::clone(run), Run::write(&self.folder, Kind::Identifier, range, run.count(), next)?));
        }
        Ok(Forgotten { keys, runs, rows })
    }
}
