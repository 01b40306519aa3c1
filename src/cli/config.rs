//! `tallystick config show | check`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Failure, Outcome, print_json};
use crate::config::Config;

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print every setting with its value and where it comes from
    Show(Which),
    /// Say whether the configuration can be used
    Check(Which),
}

#[derive(Debug, Args)]
pub(super) struct Which {
    /// Data directory whose tallystick.toml counts
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl ConfigCommand {
    pub fn run(self) -> Outcome {
        let (ConfigCommand::Show(which) | ConfigCommand::Check(which)) = &self;
        let config =
            Config::load(which.data.as_deref(), &[]).map_err(|error| Failure::Configuration(error.to_string()))?;
        match self {
            ConfigCommand::Check(which) if which.json => print_json(&serde_json::json!({ "ok": true })),
            ConfigCommand::Check(_) => {
                println!("the configuration can be used");
                Ok(())
            }
            ConfigCommand::Show(which) => {
                if which.json {
                    let settings: Vec<_> = config
                        .shown()
                        .map(|(setting, value, source)| {
                            serde_json::json!({ "key": setting.key, "value": value, "source": source.name(), "variable": setting.variable(), "what": setting.what })
                        })
                        .collect();
                    return print_json(&settings);
                }
                for (setting, value, source) in config.shown() {
                    println!("{:<24} {:<28} {:<12} {}", setting.key, value, source.name(), setting.what);
                }
                Ok(())
            }
        }
    }
}
