//! Verifying a whole ledger from its rows: the chain, the tree, every person's history, every stored part.
//!
//! Promises: every entry is read and linked to the one before, in parallel ranges that are stitched together; every stored
//! part has the digest that its entry names; every missing part is excused by a later entry that names its key; the newest
//! sealed map of subjects is recomputed; head, subtree rows and checkpoints agree with what was read. Needs no key; with
//! keys it also opens every part. Reads only, so it may run beside a server: it verifies up to the head at its start. Must
//! never take a derived table's word for anything.

mod keys;
mod missing;
mod range;
mod seals;
mod tree;

use std::sync::Arc;

use futures_util::{StreamExt, stream};

use crate::chain::checkpoint::Checkpoint;
use crate::chain::heads::Share;
use crate::chain::note::VerifierKey;
use crate::chain::verify::{ChainVerifier, Problem, SubjectsSeal, VerifiedChain, What};
use crate::crypto::hash::Digest;
use crate::exports::log_keys::LogKeys;
use crate::exports::report::{Findings, Report, Statements};
use crate::runtime::Tasks;
use crate::store::{Head, Store, StoreError};

pub use keys::{PartKeys, VaultKeys};
pub(in crate::exports) use seals::newest_seal;

use missing::Missing;
use range::{RangeFound, RangeReader};
use tree::StoredTree;

/// Entries of one range: 4 MB or so of rows, and a multiple of 256, so that ranges and stored subtrees align.
const RANGE_ENTRIES: u64 = 4096;

/// What to verify, and against what.
#[derive(Debug, Clone, Default)]
pub struct VerifyOptions {
    /// The log's verifier key, from outside; without it the keys that the log names are used.
    pub key: Option<VerifierKey>,
    /// Signed checkpoints that the log must contain: its own published ones and those that somebody kept elsewhere.
    pub checkpoints: Vec<NamedCheckpoint>,
    /// Recompute every sealed map of subjects and not only the newest; reads the log once more.
    pub every_seal: bool,
    /// Leave the stored parts alone: chain, tree, histories and maps only.
    pub entries_only: bool,
    /// Ranges in work at a time; 0 is one.
    pub workers: usize,
}

/// A signed checkpoint and what to call it.
#[derive(Debug, Clone)]
pub struct NamedCheckpoint {
    /// Where it comes from, for the report.
    pub name: String,
    /// The signed note.
    pub note: Vec<u8>,
    /// Whether it was kept outside of the data that is verified.
    pub from_outside: bool,
}

/// How far a verification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Entries verified.
    pub entries: u64,
    /// Entries to verify.
    pub of: u64,
}

/// Why nothing can be said: not a problem of the ledger but of reading it.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A range was cut short: the service stops.
    #[error("verification was cut short")]
    Cut,
    /// The vault or the keyring failed.
    #[error("keys: {0}")]
    Keys(String),
    /// The store failed.
    #[error("store")]
    Store(#[from] StoreError),
}

/// Verifies the ledger of a store. `keys` opens parts; without it what is sealed stays closed.
///
/// # Errors
/// [`VerifyError`] if the ledger cannot be read to its end. Rows that contradict each other are problems in the report.
pub async fn verify_ledger(
    store: &Store,
    tasks: &Tasks,
    keys: Option<Arc<dyn PartKeys>>,
    options: &VerifyOptions,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Report, VerifyError> {
    let mut run = Run::default();
    let Some(head) = store.head().await? else {
        run.findings.at(0, "the ledger has no head: there is no log");
        return Ok(run.findings.report(0, None, 0, Statements::default()));
    };
    let opens = keys.is_some();
    run.seals = seals::find(store, head.size, options.every_seal, &mut run.findings).await?;
    let (store_read, entries_only) = (store.clone(), options.entries_only);
    let reader = Arc::new(RangeReader { store: store_read, tasks: tasks.clone(), keys, entries_only });
    let chain = run.read(&reader, head.size, options.workers.max(1), progress).await?;
    run.check_missing();
    let chain = match chain {
        Some(chain) => chain,
        None => return Ok(run.report(None, head.size, opens, options)),
    };
    run.check_head(store, &head, &chain).await?;
    run.check_strays(store, chain.size).await?;
    let tree = StoredTree::read(store, chain.size).await?;
    tree.check(&chain.root, &mut run.findings).await?;
    run.check_log_keys(options);
    run.check_checkpoints(&tree, &chain, options).await?;
    Ok(run.report(Some(chain), head.size, opens, options))
}

/// What was found so far.
#[derive(Default)]
struct Run {
    findings: Findings,
    seals: Vec<SubjectsSeal>,
    log_keys: LogKeys,
    missing: Missing,
    opened: u64,
    parts: u64,
    agreed: Vec<String>,
}

impl Run {
    /// Reads every range in order; none if the chain breaks. What later ranges hold is then not looked at: nothing ties
    /// them to what came before.
    async fn read(
        &mut self,
        reader: &Arc<RangeReader>,
        size: u64,
        workers: usize,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Option<VerifiedChain>, VerifyError> {
        let mut verifier = ChainVerifier::new(reader.store.ledger(), Share::ALL);
        if let Err(problem) = verifier.expect_subjects(self.seals.iter().copied()) {
            self.findings.at(problem.position, problem.what);
            return Ok(None);
        }
        let starts = (0..size.div_ceil(RANGE_ENTRIES)).map(|number| number * RANGE_ENTRIES);
        let ranges = starts.map(|first| {
            // A task of its own: taking rows from the driver costs as much as checking them.
            let (reader, tasks) = (Arc::clone(reader), reader.tasks.clone());
            async move {
                let range = tasks.spawn(async move { reader.check(first, size.min(first + RANGE_ENTRIES)).await });
                range.await.unwrap_or(Err(VerifyError::Cut))
            }
        });
        let mut ranges = stream::iter(ranges).buffered(workers);
        while let Some(found) = ranges.next().await {
            let RangeFound { segment, end, findings, missing, log_keys, opened, parts } = found?;
            self.findings.extend(findings);
            self.missing.extend(missing);
            self.opened += opened;
            self.parts += parts;
            for named in log_keys {
                if let Err(error) = named.take(&mut self.log_keys) {
                    self.findings.at(named.position, error);
                }
            }
            let missing_from = segment.next();
            let lost = Err(Problem { position: missing_from, what: What::Missing });
            let stitched = verifier.stitch(segment).and(if missing_from == end { Ok(()) } else { lost });
            if let Err(problem) = stitched {
                self.findings.at(problem.position, problem.what);
                return Ok(None);
            }
            progress(Progress { entries: verifier.size(), of: size });
        }
        match verifier.finish(None) {
            Ok(chain) => Ok(Some(chain)),
            Err(problem) => {
                self.findings.at(problem.position, problem.what);
                Ok(None)
            }
        }
    }

    fn check_missing(&mut self) {
        let Run { missing, findings, .. } = self;
        missing.check(findings);
    }

    /// The head row says what was read, and there is no entry behind it that it does not say.
    async fn check_head(&mut self, store: &Store, head: &Head, chain: &VerifiedChain) -> Result<(), VerifyError> {
        if chain.size != head.size || chain.head != head.leaf {
            self.findings.at(head.size, "the head row is not that of the last entry");
        }
        if chain.recorded != head.recorded {
            self.findings.at(head.size, "the head row has another recorded time than the last entry");
        }
        let behind = store.entries_from(head.size, u64::MAX).await?;
        let still = store.head().await?.map(|head| head.size) == Some(head.size);
        if let Some((position, _)) = behind.first().filter(|_| still) {
            self.findings.at(*position, "an entry behind the head");
        }
        Ok(())
    }

    /// No row lies where no reader of the log comes by.
    async fn check_strays(&mut self, store: &Store, size: u64) -> Result<(), VerifyError> {
        for stray in store.stray_rows(size).await? {
            self.findings.whole(format_args!(
                "table {} holds a row at {} that belongs to no entry of the log",
                stray.table, stray.at
            ));
        }
        Ok(())
    }

    fn check_log_keys(&mut self, options: &VerifyOptions) {
        if let Some(key) = &options.key
            && !self.log_keys.keys().contains(key)
        {
            self.findings.at(0, "the key given is not one that the log names as its own");
        }
    }

    /// Every checkpoint is signed by the log's key, and the log still has its root at its size.
    async fn check_checkpoints(
        &mut self,
        tree: &StoredTree<'_>,
        chain: &VerifiedChain,
        options: &VerifyOptions,
    ) -> Result<(), VerifyError> {
        let keys = options.key.as_ref().map_or_else(|| self.log_keys.keys().to_vec(), |key| vec![key.clone()]);
        for NamedCheckpoint { name, note, .. } in &options.checkpoints {
            let checkpoint = match Checkpoint::open(note, &keys) {
                Ok((checkpoint, _)) => checkpoint,
                Err(error) => {
                    self.findings.whole(format_args!("{name}: {error}"));
                    continue;
                }
            };
            if checkpoint.size > chain.size {
                let what = format!(
                    "{name}: signed for {} entries, and the log has fewer: it was rolled back",
                    checkpoint.size
                );
                self.findings.at(chain.size, what);
            } else if tree.root_at(checkpoint.size).await? != checkpoint.root {
                let what = format!(
                    "{name}: the log has another root at {} entries: it was forked or rewritten",
                    checkpoint.size
                );
                self.findings.at(checkpoint.size.saturating_sub(1), what);
            } else {
                self.agreed.push(name.clone());
            }
        }
        Ok(())
    }

    fn report(self, chain: Option<VerifiedChain>, size: u64, opens: bool, options: &VerifyOptions) -> Report {
        let statements = self.statements(chain.as_ref(), opens, options);
        let root: Option<Digest> = chain.map(|chain| chain.root);
        self.findings.report(size, root, self.opened, statements)
    }

    fn statements(&self, chain: Option<&VerifiedChain>, opens: bool, options: &VerifyOptions) -> Statements {
        let mut proves = Vec::new();
        if let Some(chain) = chain {
            proves.push(format!("{} entries, each linked to the one before, in one tree", chain.size));
            proves.push(format!(
                "the histories of {} persons, each counted from 1 without a gap or a fork",
                chain.heads.len()
            ));
        }
        for seal in &self.seals {
            let map = format!(
                "the subjects map sealed at position {} is that of the first {} entries",
                seal.position, seal.size
            );
            proves.push(map);
        }
        if !options.entries_only {
            proves.push(format!("{} stored parts, each with the digest that its entry names", self.parts));
            proves.push(format!(
                "{} keys have parts missing, and later entries say that they were destroyed",
                self.missing.keys()
            ));
        }
        proves
            .extend(self.agreed.iter().map(|name| format!("{name} is a signed earlier or present state of this log")));
        let mut does_not_prove = vec![
            "that phone numbers, addresses and references were bound to the right person".to_owned(),
            "that what was recorded is true: captured forms, times and contents are as whoever posted them said"
                .to_owned(),
        ];
        if !opens || options.entries_only {
            does_not_prove.push("what is in the sealed parts: they were not opened".to_owned());
        }
        if options.entries_only {
            does_not_prove.push("that the stored parts are there and unchanged: they were not read".to_owned());
        }
        if self.seals.is_empty() {
            does_not_prove.push("any sealed subjects map: the log has none yet".to_owned());
        }
        if !options.checkpoints.iter().any(|checkpoint| checkpoint.from_outside) {
            does_not_prove.push(
                "that the whole log was not written anew by whoever holds its keys: give a checkpoint kept elsewhere"
                    .to_owned(),
            );
        }
        Statements { proves, does_not_prove }
    }
}
