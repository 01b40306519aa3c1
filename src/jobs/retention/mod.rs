//! Ending keys by age: `policies/retention.toml`, quarter by quarter, resumable, with progress.
//!
//! Order for one class and quarter: (1) what is still live or held and rests on its business parts is re-recorded as
//! `<family>.carried` and read back; (2) `decision.retention_recorded` says what is due and why; (3) per thousand keys: the
//! keys are listed in a file of the erasure journal, destroyed, and named by `retention.completed`; (4) sealed bytes whose
//! key is gone are deleted and the write-ahead logs emptied. A death leaves the file; the next run finishes it first.
//! Promises: a hold wins; a key whose clock cannot be shown to be over stays; nothing live is lost. Must never end a key of a
//! quarter that is not over.

mod batch;
mod carry;
mod clocks;
mod due;
mod run;

pub use batch::Batch;
pub use due::{Due, Verdict};
pub use run::{Report, RetainOptions, RetainProgress, run};

use std::sync::Arc;
use std::time::Duration;

use crate::domain::time::Timestamp;
use crate::ingest::Ledger;
use crate::ingest::create::SERVICE;

/// How often the job looks. Ends fall on days, so once a day is enough; more often catches up after a stop.
const LOOK_EVERY: Duration = Duration::from_secs(6 * 3_600);
/// Before the first look: a start has other work.
const FIRST_LOOK: Duration = Duration::from_secs(60);

/// Why a run cannot go on. What was begun is in the journal and goes on where it stopped.
#[derive(Debug, thiserror::Error)]
pub enum RetainError {
    /// Something that was to be carried cannot be found in the log after it was recorded.
    #[error("entry {0} was to be carried and its copy cannot be read back")]
    NotCarried(u64),
    /// The file of a batch cannot be read or written.
    #[error("the retention journal in {folder} cannot be used")]
    Journal {
        /// Its folder.
        folder: std::path::PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A step was asked to be the last one.
    #[error("stopped as asked")]
    Stopped,
    /// The write-ahead log cannot be emptied while a reader looks at old pages.
    #[error("the write-ahead log cannot be emptied while a reader looks at old pages; run again")]
    WalBusy,
    /// The rules cannot be read.
    #[error("policy")]
    Policy(#[from] crate::policy::retention::PolicyError),
    /// Entries cannot be read.
    #[error("read")]
    Read(#[from] crate::ingest::read::ReadError),
    /// The index cannot be used.
    #[error("index")]
    Index(#[from] crate::ingest::subjects::SubjectsSealError),
    /// Requests and holds cannot be read.
    #[error("matters")]
    Matters(#[from] crate::views::matters::MattersError),
    /// The store failed.
    #[error("store")]
    Store(#[from] crate::store::StoreError),
    /// The ledger did not take an entry.
    #[error(transparent)]
    Submit(#[from] crate::ingest::SubmitError),
}

/// What is due at `now`, without doing it.
///
/// # Errors
/// [`RetainError`].
pub async fn plan(ledger: &Arc<Ledger>, now: Timestamp) -> Result<Vec<Due>, RetainError> {
    due::due(ledger, now).await
}

/// Starts the job.
pub fn start(ledger: &Arc<Ledger>) {
    let ledger = Arc::clone(ledger);
    ledger.tasks.clone().spawn(async move {
        let mut pause = FIRST_LOOK;
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = ledger.tasks.stopping() => return,
            }
            pause = LOOK_EVERY;
            // A scratch ledger lives in its caller's time; nobody waits for its quarters to end.
            if !ledger.is_leader() || ledger.scratch {
                continue;
            }
            match run(&ledger, &RetainOptions::new(SERVICE), &|_| {}).await {
                Ok(report) if report.keys > 0 => {
                    tracing::info!(
                        keys = report.keys,
                        parts = report.parts,
                        carried = report.carried,
                        "retention.done"
                    );
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(error = %error, source = ?std::error::Error::source(&error), "retention failed");
                    metrics::counter!("tallystick_retention_failures_total").increment(1);
                }
            }
        }
    });
}
