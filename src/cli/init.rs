//! `tallystick init`: a data directory with one ledger and one admin key, shown this once.

use std::path::PathBuf;

use clap::Args;

use super::{Outcome, print_json};
use crate::app::{App, InitOptions, Initialised};

/// What to make.
#[derive(Debug, Args)]
pub(super) struct Init {
    /// Data directory to make
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Postgres URL; without it the ledger lives in SQLite in the directory
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Origin name of the log; it never changes once published
    #[arg(long, value_name = "NAME")]
    origin: Option<String>,
    /// Folder of the archive
    #[arg(long, value_name = "URL")]
    archive: Option<String>,
    /// Where the key-encryption key comes from: file, environment or command
    #[arg(long, value_name = "PROVIDER")]
    keys: Option<String>,
    /// Program and arguments, for the provider command
    #[arg(long, value_name = "COMMAND")]
    keys_command: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Init {
    pub async fn run(self) -> Outcome {
        let settings = [
            ("database.url", self.database),
            ("archive.url", self.archive),
            ("keys.provider", self.keys),
            ("keys.command", self.keys_command),
        ];
        let flags: Vec<_> = settings.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        let options = InitOptions { origin: self.origin, ..InitOptions::default() };
        let (app, ledger, made) = App::init(&self.data, &flags, options).await?;
        // A first checkpoint, so that even an empty ledger can be held against something.
        app.jobs_start(&ledger).await?;
        app.close(&[ledger]).await;
        if self.json {
            return print_json(&made);
        }
        print(&made);
        Ok(())
    }
}

/// Prints what a new ledger is, for a person.
pub(super) fn print(made: &Initialised) {
    println!("ledger        {}", made.ledger);
    println!("origin        {}", made.origin);
    println!("verifier key  {}", made.verifier_key);
    println!("admin key     {}", made.admin_key);
    println!("The admin key is shown this once. Keep it; nobody can show it again.");
}
