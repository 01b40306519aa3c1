//! The command line: one file per command. Reading commands take `--json`. Exit codes: 0 done, 1 failed, 2 usage, 3
//! verification failed, 78 configuration.

mod attribute;
mod completions;
mod config;
mod control;
mod decide;
mod demo;
mod erase;
mod events;
mod export;
mod init;
mod journal;
mod keys;
mod ledger;
mod lists;
mod openapi;
mod policy;
mod pricing;
mod progress;
mod prove;
mod replay;
mod retain;
mod scores;
mod seed;
mod serve;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::app::AppError;
use crate::domain::ids::LedgerId;

/// An event-sourced compliance and revenue ledger: every dollar traced to a consent you can prove.
#[derive(Debug, Parser)]
#[command(name = "tallystick", version, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the HTTP API of a data directory
    Serve(serve::Serve),
    /// Start a seeded ledger in a fresh folder and serve it
    Demo(demo::Demo),
    /// Make a data directory with one ledger and one admin key
    Init(init::Init),
    /// Make or list ledgers of a data directory
    #[command(subcommand)]
    Ledger(ledger::Ledger),
    /// Post, import or follow events
    #[command(subcommand)]
    Events(events::Events),
    /// Verify a whole ledger or a bundle; exit 3 when it does not hold
    Verify(verify::Verify),
    /// Write an inclusion or consistency proof
    Prove(prove::Prove),
    /// Write an audit bundle that a stranger can verify offline
    Export(export::Export),
    /// Write the journal for hledger or Beancount, with every balance asserted
    Journal(journal::Journal),
    /// Say which channels earned conversions, by the models you name
    Attribute(attribute::Attribute),
    /// Train and judge lead scores; recommends, never switches
    #[command(subcommand)]
    Scores(scores::Scores),
    /// Read contracts, and price billable events by them; nothing is recorded
    #[command(subcommand)]
    Pricing(pricing::Pricing),
    /// Destroy what of persons no law obliges to keep
    Erase(erase::Erase),
    /// End keys whose retention class's days are over
    Retain(retain::Retain),
    /// Take in or show lists of numbers: registries, litigators, own suppressions
    #[command(subcommand)]
    Lists(lists::Lists),
    /// List data keys or make an API key
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Ask whether somebody may be contacted; the answer is recorded first
    Decide(decide::Decide),
    /// Compute a recorded decision again
    Replay(replay::Replay),
    /// Check, test, compare or activate the rules of contact
    #[command(subcommand)]
    Policy(policy::Policy),
    /// Show or check the configuration
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Print the OpenAPI document
    Openapi,
    /// Print shell completions
    Completions(completions::Completions),
}

/// Which data directory and ledger, and what overrides its configuration.
#[derive(Debug, Clone, Args)]
struct DataArgs {
    /// Data directory
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Ledger, where the directory holds several
    #[arg(long, value_name = "ID")]
    ledger: Option<LedgerId>,
    /// Postgres URL; without it, what the data directory says
    #[arg(long, value_name = "URL")]
    database: Option<String>,
}

impl DataArgs {
    fn flags(&self) -> Vec<(&'static str, String)> {
        self.database.iter().map(|url| ("database.url", url.clone())).collect()
    }
}

/// How a command ends when it is not done.
#[derive(Debug)]
enum Failure {
    /// Exit 1 with a message.
    Failed(String),
    /// Exit 3: said already.
    NotVerified,
    /// Exit 78: the configuration is wrong.
    Configuration(String),
}

impl From<AppError> for Failure {
    fn from(error: AppError) -> Failure {
        match error {
            AppError::Config(_) | AppError::KeySource(_) | AppError::Keyring(_) => {
                Failure::Configuration(crate::app::source_text(&error))
            }
            other => Failure::Failed(crate::app::source_text(&other)),
        }
    }
}

fn failed(error: impl std::error::Error) -> Failure {
    Failure::Failed(crate::app::source_text(&error))
}

type Outcome = Result<(), Failure>;

/// As a shell counts a program that ended because nobody read on: 128 and SIGPIPE.
const NOBODY_READS: i32 = 141;

/// Lets `tallystick ... | head` end quietly: `println!` panics when its reader has gone, and nothing is wrong then.
fn end_with_the_reader() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload().downcast_ref::<String>();
        if text.is_some_and(|text| text.starts_with("failed printing to stdout: Broken pipe")) {
            std::process::exit(NOBODY_READS);
        }
        usual(panic);
    }));
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    end_with_the_reader();
    let cli = Cli::parse();
    let outcome = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(dispatch(cli.command)),
        Err(error) => Err(Failure::Failed(format!("cannot start: {error}"))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Failed(message)) => {
            eprintln!("tallystick: {message}");
            ExitCode::from(1)
        }
        Err(Failure::NotVerified) => ExitCode::from(3),
        Err(Failure::Configuration(message)) => {
            eprintln!("tallystick: {message}");
            ExitCode::from(78)
        }
    }
}

async fn dispatch(command: Command) -> Outcome {
    match command {
        Command::Serve(serve) => serve.run().await,
        Command::Demo(demo) => demo.run().await,
        Command::Init(init) => init.run().await,
        Command::Ledger(ledger) => ledger.run().await,
        Command::Events(events) => events.run().await,
        Command::Verify(verify) => verify.run().await,
        Command::Prove(prove) => prove.run().await,
        Command::Export(export) => export.run().await,
        Command::Journal(journal) => journal.run().await,
        Command::Attribute(attribute) => attribute.run(),
        Command::Scores(scores) => scores.run(),
        Command::Pricing(pricing) => pricing.run(),
        Command::Erase(erase) => erase.run().await,
        Command::Retain(retain) => retain.run().await,
        Command::Lists(lists) => lists.run().await,
        Command::Keys(keys) => keys.run().await,
        Command::Decide(decide) => decide.run().await,
        Command::Replay(replay) => replay.run().await,
        Command::Policy(policy) => policy.run().await,
        Command::Config(config) => config.run(),
        Command::Openapi => openapi::run(),
        Command::Completions(completions) => {
            completions.run(&mut Cli::command());
            Ok(())
        }
    }
}

/// Prints one JSON document.
fn print_json(value: &impl serde::Serialize) -> Outcome {
    let text = serde_json::to_string(value).map_err(failed)?;
    println!("{text}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
