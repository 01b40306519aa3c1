//! Erasing persons, resumable at each step.
//!
//! Order, and what a death after each step leaves: (1) the journal object: asked for, nothing changed; (2) the fence,
//! `subject.erasure_started`: no key of the person is minted any more, events about them wait as items; (3) suppression
//! tokens; (4) the list of keys in the journal; (5) keys destroyed: unusable from here on; (6) sealed bytes deleted; (7)
//! index rows that found the person removed; (8) write-ahead logs emptied; (9) other servers' caches expired; (10)
//! `subject.erased`, the certificate; (11) items that waited are resolved afresh. Every step may run twice. Promises: what
//! law obliges to keep stays, a hold wins over everything, suppression survives, and what cannot be finished is an error,
//! never a silence.

mod certificate;
mod items;
mod journal;
mod person;
mod plan;
mod record;
mod run;
mod steps;

pub use certificate::certificate;
pub use journal::{DoomedKey, Erasure, Item, Journal, Kept, State};
pub use person::{HeldPart, Person};
pub use plan::{ClassFate, Plan, plan};
pub use run::{EraseOptions, Progress, STEPS, Step, after_release, apply_journal, begin, resume, run};

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

/// How often the job looks for erasures that wait or were cut short.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_secs(60);

/// Starts the job: destroys again what a restored backup brought back, finishes what an earlier process left unfinished,
/// begins what a hold no longer keeps, and copies the journal to the archive.
pub fn start(ledger: &Arc<Ledger>, archive: Option<Arc<crate::blob::Archive>>) {
    let ledger = Arc::clone(ledger);
    ledger.tasks.clone().spawn(async move {
        let options = EraseOptions { archive, ..EraseOptions::new(SERVICE, &ledger) };
        let mut copied = std::collections::BTreeSet::new();
        let mut restored = false;
        loop {
            if let Err(error) = forget_elsewhere(&ledger).await {
                tracing::error!(error = %error, "erase.forget failed");
            }
            if ledger.is_leader() {
                let looked = look(&ledger, &options, &mut copied, &mut restored).await;
                if let Err(error) = looked {
                    tracing::error!(error = %error, source = ?std::error::Error::source(&error), "erase.resume failed");
                    metrics::counter!("tallystick_erasure_failures_total").increment(1);
                }
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = ledger.tasks.stopping() => return,
            }
        }
    });
}

/// Another server erased somebody, or this one slept through it: its own index forgets them too.
async fn forget_elsewhere(ledger: &Arc<Ledger>) -> Result<(), EraseError> {
    let erased = ledger.erased_elsewhere();
    if erased.is_empty() {
        return Ok(());
    }
    let mut tokens = Vec::new();
    for subject in &erased {
        tokens.extend(Person::read(ledger, *subject).await?.tokens);
        ledger.person_forget(subject);
    }
    ledger.index_forget(&erased, &tokens).await?;
    Ok(())
}

async fn look(
    ledger: &Arc<Ledger>,
    options: &EraseOptions,
    copied: &mut std::collections::BTreeSet<crate::domain::ids::EventId>,
    restored: &mut bool,
) -> Result<(), EraseError> {
    if !*restored {
        let again = apply_journal(ledger).await?;
        if again > 0 {
            tracing::warn!(again, "erase.applied: a restored backup had brought keys back");
        }
        *restored = true;
    }
    let resumed = resume(ledger, options, &|_| {}).await?;
    let done = resumed.iter().filter(|erasure| erasure.state == State::Done).count();
    if done > 0 {
        tracing::info!(done, "erase.resumed");
    }
    if let Some(archive) = &options.archive {
        let journal = Journal::of(ledger);
        let failed = |source| EraseError::Journal { folder: journal.folder().to_path_buf(), source };
        for erasure in journal.all().map_err(failed)?.iter().filter(|erasure| erasure.state == State::Done) {
            if copied.insert(erasure.erasure) {
                run::copy_out(archive, erasure).await?;
            }
        }
    }
    Ok(())
}
