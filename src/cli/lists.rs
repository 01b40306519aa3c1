//! `tallystick lists import | show`: through the running server or on the data directory itself.

use std::fs::File;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::control::{Control, problem_text};
use super::{DataArgs, Failure, Outcome, failed, print_json, progress};
use crate::app::App;
use crate::http::api::lists::{imported_view, versions_view};
use crate::ingest::create::SERVICE;
use crate::ingest::lists::{ListImport, ListImportError, PARAMETERS};

/// What to do with lists.
#[derive(Debug, Subcommand)]
pub(super) enum Lists {
    /// Take in a list: registry, state, litigators, own suppressions, deletion platform, reassigned numbers
    Import(Box<Import>),
    /// Show the versions that were taken in, and how old they are
    Show(Show),
}

#[derive(Debug, Args)]
pub(super) struct Import {
    /// File as its source gives it: lines of text, with or without a header
    file: PathBuf,
    #[command(flatten)]
    data: DataArgs,
    /// ndnc, state:XX, rnd, litigator, internal, drop:phone, drop:email
    #[arg(long)]
    list: String,
    /// Day of the copy at its source, such as 2026-11-02
    #[arg(long, value_name = "DAY")]
    as_of: String,
    /// full, changes or removals
    #[arg(long, default_value = "full")]
    kind: String,
    /// When it was obtained
    #[arg(long, value_name = "TIME")]
    accessed_at: Option<String>,
    /// Area codes that a copy of the registry covers: all, or codes with commas; without it, those that occur
    #[arg(long, value_name = "CODES")]
    area_codes: Option<String>,
    /// Subscription account number
    #[arg(long)]
    san: Option<String>,
    /// Campaign that it was obtained for
    #[arg(long)]
    campaign: Option<String>,
    /// Where it came from
    #[arg(long)]
    vendor: Option<String>,
    /// Lines that may be unreadable before the file is refused
    #[arg(long, default_value_t = 0, value_name = "N")]
    rejected_max: u64,
    /// The copy may hold less than half of the one before
    #[arg(long)]
    may_shrink: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    #[command(flatten)]
    data: DataArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Lists {
    pub async fn run(self) -> Outcome {
        match self {
            Lists::Import(import) => import.run().await,
            Lists::Show(show) => show.run().await,
        }
    }
}

impl Import {
    fn text(&self, name: &str) -> Option<String> {
        match name {
            "list" => Some(self.list.clone()),
            "as_of" => Some(self.as_of.clone()),
            "kind" => Some(self.kind.clone()),
            "accessed_at" => self.accessed_at.clone(),
            "area_codes" => self.area_codes.clone(),
            "san" => self.san.clone(),
            "campaign" => self.campaign.clone(),
            "vendor" => self.vendor.clone(),
            "rejected_max" => Some(self.rejected_max.to_string()),
            "may_shrink" => Some(self.may_shrink.to_string()),
            _ => None,
        }
    }

    async fn run(self) -> Outcome {
        let texts: Vec<(&str, String)> = PARAMETERS.iter().filter_map(|name| Some((*name, self.text(name)?))).collect();
        let of = |name: &str| texts.iter().find(|(known, _)| *known == name).map(|(_, text)| text.as_str());
        let import = ListImport::read(of)
            .map_err(|(name, what)| Failure::Failed(format!("--{} {what}", name.replace('_', "-"))))?;
        let file = File::open(&self.file)
            .map_err(|error| Failure::Failed(format!("cannot read {}: {error}", self.file.display())))?;
        let bar = progress::bytes(file.metadata().map_err(failed)?.len(), "importing");
        let view = match Control::find(&self.data.data).await {
            Some(mut connection) => {
                // What was read above holds no letter but the plus of a time zone that a query would say otherwise.
                let pairs: Vec<String> =
                    texts.iter().map(|(name, text)| format!("{name}={}", text.replace('+', "%2B"))).collect();
                let path = format!("/v1/lists?{}", pairs.join("&"));
                let answer = connection.upload(&path, "text/csv", bar.wrap_read(file)).await?;
                if answer.status != 201 {
                    return Err(Failure::Failed(problem_text(&answer)));
                }
                serde_json::from_slice(&answer.body).map_err(failed)?
            }
            None => {
                let app = App::open(&self.data.data, &self.data.flags())?;
                let (ledger, _) = app.ledger_open(app.ledger_pick(self.data.ledger)?).await?;
                let done = ledger.list_import(import, bar.wrap_read(file), SERVICE, None).await;
                app.close(&[ledger]).await;
                imported_view(&done.map_err(refusal)?)
            }
        };
        bar.finish_and_clear();
        if self.json { print_json(&view) } else { print(&view) }
    }
}

/// The refusal with the lines that it is about.
fn refusal(error: ListImportError) -> Failure {
    let mut text = crate::app::source_text(&error);
    if let ListImportError::Lines { bad, .. } = &error {
        for line in bad {
            text.push_str(&format!("\n  line {}: {}", line.line, line.what));
        }
    }
    Failure::Failed(text)
}

fn print(view: &Value) -> Outcome {
    let of = |name: &str| match view.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => "-".to_owned(),
    };
    println!("list            {} of {}", of("list"), of("as_of"));
    println!(
        "entries         {} ({} added, {} removed, {} lines unreadable)",
        of("entries"),
        of("added"),
        of("removed"),
        of("rejected")
    );
    if let Some(codes) = view.get("area_codes").and_then(Value::as_array) {
        println!("area codes      {}", codes.len());
    }
    if view.get("answers").is_some() {
        println!("answers         {}", of("answers"));
    }
    println!("version         {}", of("version"));
    println!("position        {}", of("position"));
    Ok(())
}

impl Show {
    async fn run(self) -> Outcome {
        let view = match Control::find(&self.data.data).await {
            Some(mut connection) => {
                let answer = connection.request("GET", "/v1/lists", "application/json", bytes::Bytes::new()).await?;
                if answer.status != 200 {
                    return Err(Failure::Failed(problem_text(&answer)));
                }
                serde_json::from_slice(&answer.body).map_err(failed)?
            }
            None => {
                let app = App::open(&self.data.data, &self.data.flags())?;
                let (ledger, _) = app.ledger_open(app.ledger_pick(self.data.ledger)?).await?;
                let (versions, now) = (ledger.list_versions().await, ledger.now());
                app.close(&[ledger]).await;
                versions_view(&versions.map_err(failed)?, now)
            }
        };
        if self.json {
            return print_json(&view);
        }
        for item in view.get("items").and_then(Value::as_array).into_iter().flatten() {
            let of = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or("-").to_owned();
            let number = |name: &str| item.get(name).and_then(Value::as_i64).unwrap_or_default();
            let current = if item.get("current") == Some(&Value::Bool(true)) { "current" } else { "" };
            println!(
                "{:<12} {}  {:>10} entries  {:>4} days old  {current}",
                of("list"),
                of("as_of"),
                number("entries"),
                number("age_days")
            );
        }
        Ok(())
    }
}
