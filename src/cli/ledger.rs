//! `tallystick ledger create | list`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Outcome, init, print_json};
use crate::app::{App, InitOptions, ledger_ids};

/// What to do with ledgers.
#[derive(Debug, Subcommand)]
pub(super) enum Ledger {
    /// Make another ledger in a data directory
    Create(Create),
    /// List the ledgers of a data directory
    List(List),
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// Data directory
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Origin name of the log
    #[arg(long, value_name = "NAME")]
    origin: Option<String>,
    /// A ledger for trials, whose clock is the caller's; it never becomes a real one
    #[arg(long)]
    scratch: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Data directory
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Ledger {
    pub async fn run(self) -> Outcome {
        match self {
            Ledger::Create(create) => {
                let app = App::open(&create.data, &[])?;
                let options = InitOptions { origin: create.origin, scratch: create.scratch, begins: None };
                let (ledger, made) = app.ledger_create(options).await?;
                app.jobs_start(&ledger).await?;
                app.close(&[ledger]).await;
                if create.json {
                    return print_json(&made);
                }
                init::print(&made);
                Ok(())
            }
            Ledger::List(list) => {
                let ids = ledger_ids(&list.data)?;
                if list.json {
                    return print_json(&ids);
                }
                ids.iter().for_each(|id| println!("{id}"));
                Ok(())
            }
        }
    }
}
