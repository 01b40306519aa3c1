//! Erasing persons, resumable at each step.
//!
//! Order, and what a death after each step leaves: (1) the journal object: asked for, nothing changed; (2) the fence,
//! `subject.erasure_started`: no key of the person is minted any more, events about them wait as items; (3) suppression
//! tokens; (4) the list of keys in the journal; (5) keys destroyed: unusable from here on; (6) sealed bytes deleted; (7)
//! index rows that found the person removed; (8) write-ahead logs emptied; (9) other servers' caches expired; (10)
//! `subject.erased`, the certificate; (11) items that waited are resolved afresh. Every step may run twice. Promises: what
//! law obliges to keep stays, a hold wins over everything, suppression survives, and what cannot be finished is an error,
//! never a silence.

mod items;
mod journal;
mod person;
mod plan;
mod run;

pub use journal::{DoomedKey, Erasure, Item, Journal, Kept, State};
pub use person::{HeldPart, Person};
pub use plan::{ClassFate, Plan, plan};
pub use run::{EraseOptions, Progress, STEPS, Step, apply_journal, begin, resume, run};

use std::sync::Arc;

use crate::ingest::Ledger;
use crate::ingest::create::SERVICE;

/// Bases that an erasure may rest on, as in `subject.erasure_started`.
pub const BASES: [&str; 6] = ["gdpr_17", "ccpa_105", "delete_act", "retention", "contract", "operator"];

/// Why an erasure cannot begin or go on. What was begun is in the journal and goes on where it stopped.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// The ledger knows nobody by this.
    #[error("the ledger knows nobody by this id, reference, phone or e-mail")]
    Unknown,
    /// They were erased before and nothing is left to destroy.
    #[error("this person was erased already")]
    Erased,
    /// More pseudonyms are merged than one erasure takes.
    #[error("more than {0} pseudonyms are merged; unmerge first")]
    TooMany(usize),
    /// The basis is none that certificates know.
    #[error("the basis is one of gdpr_17, ccpa_105, delete_act, retention, contract, operator")]
    Basis,
    /// The journal cannot be read or written.
    #[error("the erasure journal in {folder} cannot be used")]
    Journal {
        /// Its folder.
        folder: std::path::PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A key that was to be destroyed is still in the vault.
    #[error("{0} keys that were to be destroyed are still in the vault")]
    KeysLeft(usize),
    /// A reader still looks at old pages, so that deleted rows stay readable in the write-ahead log.
    #[error("the write-ahead log cannot be emptied while a reader looks at old pages; it goes on at the next try")]
    WalBusy,
    /// A step was asked to be the last one.
    #[error("stopped after {0:?}")]
    Stopped(Step),
    /// The rules cannot be read.
    #[error("policy")]
    Policy(#[from] crate::policy::retention::PolicyError),
    /// Entries cannot be read.
    #[error("read")]
    Read(#[from] crate::ingest::read::ReadError),
    /// The index cannot be used.
    #[error("index")]
    Index(#[from] crate::ingest::subjects::SubjectsSealError),
    /// The store failed.
    #[error("store")]
    Store(#[from] crate::store::StoreError),
    /// The ledger did not take an entry.
    #[error(transparent)]
    Submit(#[from] crate::ingest::SubmitError),
    /// An item cannot be treated.
    #[error("quarantine")]
    Quarantine(#[from] crate::ingest::quarantine::QuarantineError),
    /// The archive did not take the journal object.
    #[error("archive")]
    Archive(#[from] crate::blob::BlobError),
}

/// Starts the job that finishes, once, what an earlier process left unfinished, and destroys again what a restored backup
/// brought back.
pub fn start(ledger: &Arc<Ledger>, archive: Option<Arc<crate::blob::Archive>>) {
    let ledger = Arc::clone(ledger);
    ledger.tasks.clone().spawn(async move {
        if !ledger.is_leader() {
            return;
        }
        let options = EraseOptions { archive, ..EraseOptions::new(SERVICE, &ledger) };
        let finished = async {
            let again = apply_journal(&ledger).await?;
            let resumed = resume(&ledger, &options, &|_| {}).await?;
            Ok::<_, EraseError>((again, resumed.len()))
        };
        match finished.await {
            Ok((0, 0)) => {}
            Ok((again, resumed)) => tracing::warn!(again, resumed, "erase.resumed"),
            Err(error) => {
                tracing::error!(error = %error, source = ?std::error::Error::source(&error), "erase.resume failed");
                metrics::counter!("tallystick_erasure_failures_total").increment(1);
            }
        }
    });
}
