//! `tallystick verify`: a whole ledger (`--data`) or a bundle, offline. Exit 0 or 3.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::{DataArgs, Failure, Outcome, failed, print_json};
use crate::chain::note::VerifierKey;
use crate::domain::ids::LedgerId;
use crate::exports::bundle::VERIFY_PAGE_TEXT;
use crate::exports::ledger_verify::{NamedCheckpoint, PartKeys, Progress, VaultKeys, VerifyOptions, verify_ledger};
use crate::exports::report::Report;
use crate::exports::verify::verify_bundle_since;
use crate::runtime::Clock;

/// What to verify.
#[derive(Debug, Args)]
pub(super) struct Verify {
    /// Bundle to verify
    #[arg(required_unless_present_any = ["data", "page"], conflicts_with_all = ["data", "page"])]
    bundle: Option<PathBuf>,
    /// Data directory whose ledger to verify
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Ledger, where the directory holds several
    #[arg(long, value_name = "ID", requires = "data")]
    ledger: Option<LedgerId>,
    /// Postgres URL; without it, what the data directory says
    #[arg(long, value_name = "URL", requires = "data")]
    database: Option<String>,
    /// Checkpoint kept elsewhere, to hold the log or the bundle against
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Check chain, tree and each person's history only; sealed parts are not read
    #[arg(long, requires = "data")]
    entries_only: bool,
    /// The log's public key as you got it elsewhere
    #[arg(long, value_name = "VKEY")]
    verifier_key: Option<String>,
    /// Print the page that verifies bundles in a browser, and do nothing else
    #[arg(long, conflicts_with = "data")]
    page: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub async fn run(self) -> Outcome {
        if self.page {
            print!("{VERIFY_PAGE_TEXT}");
            return Ok(());
        }
        let key = match &self.verifier_key {
            Some(text) => Some(text.parse::<VerifierKey>().map_err(failed)?),
            None => None,
        };
        let report = match (&self.bundle, &self.data) {
            (Some(path), _) => {
                let bytes = std::fs::read(path)
                    .map_err(|error| Failure::Failed(format!("cannot read {}: {error}", path.display())))?;
                let kept = self.checkpoint.as_ref().map(|path| {
                    std::fs::read_to_string(path)
                        .map_err(|error| Failure::Failed(format!("cannot read {}: {error}", path.display())))
                });
                verify_bundle_since(&bytes, key.as_ref(), kept.transpose()?.as_deref())
            }
            (None, Some(folder)) => {
                let data = DataArgs { data: folder.clone(), ledger: self.ledger, database: self.database.clone() };
                self.ledger(&data, key).await?
            }
            (None, None) => return Err(Failure::Failed("name a bundle or --data".to_owned())),
        };
        if self.json {
            print_json(&report)?;
        } else {
            print(&report);
        }
        if report.ok { Ok(()) } else { Err(Failure::NotVerified) }
    }

    async fn ledger(&self, data: &DataArgs, key: Option<VerifierKey>) -> Result<Report, Failure> {
        let source = crate::app::reading(&data.data, &data.flags(), data.ledger).await?;
        let mut checkpoints = Vec::new();
        if let Ok(note) = std::fs::read(source.folder.join("checkpoint")) {
            checkpoints.push(NamedCheckpoint {
                name: "the published checkpoint".to_owned(),
                note,
                from_outside: false,
            });
        }
        if source.store.engine() == "postgres"
            && let Some((_, note)) = source.store.checkpoint_last().await.map_err(failed)?
        {
            let name = "the checkpoints table".to_owned();
            checkpoints.push(NamedCheckpoint { name, note: note.into_bytes(), from_outside: false });
        }
        if let Some(path) = &self.checkpoint {
            let note = std::fs::read(path)
                .map_err(|error| Failure::Failed(format!("cannot read {}: {error}", path.display())))?;
            checkpoints.push(NamedCheckpoint { name: path.display().to_string(), note, from_outside: true });
        }
        let keys = source.keyring.as_ref().map(|keyring| {
            Arc::new(VaultKeys::new(source.store.clone(), Arc::clone(keyring), Clock::system())) as Arc<dyn PartKeys>
        });
        let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let entries_only = self.entries_only;
        let options = VerifyOptions { key, checkpoints, workers, entries_only, ..VerifyOptions::default() };
        let bar = super::progress::bar(0, "verifying");
        let progress = |progress: Progress| {
            bar.set_length(progress.of);
            bar.set_position(progress.entries);
        };
        let report = verify_ledger(&source.store, &source.tasks, keys, &options, &progress).await.map_err(failed);
        bar.finish_and_clear();
        report
    }
}

fn print(report: &Report) {
    println!("{}", if report.ok { "VERIFIED" } else { "NOT VERIFIED" });
    println!("size    {}", report.size);
    println!("root    {}", report.root.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string));
    println!("opened  {}", report.opened);
    for problem in &report.problems {
        match problem.position {
            Some(position) => println!("problem at {position}: {}", problem.what),
            None => println!("problem: {}", problem.what),
        }
    }
    println!("What this proves:");
    report.proves.iter().for_each(|line| println!("  - {line}"));
    println!("What this does not prove:");
    report.does_not_prove.iter().for_each(|line| println!("  - {line}"));
}
