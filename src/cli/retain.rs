//! `tallystick retain`: ends keys whose class's days are over. Shows what is due and wants `--yes`.

use std::sync::Arc;

use bytes::Bytes;
use clap::Args;
use serde_json::{Value, json};

use super::control::{Connection, Control, problem_text};
use super::{DataArgs, Failure, Outcome, failed, print_json, progress};
use crate::app::App;
use crate::ingest::Ledger;
use crate::ingest::create::SERVICE;
use crate::jobs::retention::{self, RetainOptions, RetainProgress};

/// How a run is to be.
#[derive(Debug, Args)]
pub(super) struct Retain {
    #[command(flatten)]
    data: DataArgs,
    /// Only show what is due
    #[arg(long)]
    dry_run: bool,
    /// Do it: what is destroyed cannot be brought back
    #[arg(long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Retain {
    pub async fn run(self) -> Outcome {
        match Control::find(&self.data.data).await {
            Some(connection) => self.remote(connection).await,
            None => {
                let app = App::open(&self.data.data, &self.data.flags())?;
                let (ledger, _) = app.ledger_open(app.ledger_pick(self.data.ledger)?).await?;
                let done = self.local(&ledger).await;
                app.close(&[ledger]).await;
                done
            }
        }
    }

    const fn goes(&self) -> bool {
        self.yes && !self.dry_run
    }

    async fn remote(&self, mut connection: Connection) -> Outcome {
        let body = Bytes::from(json!({ "dry_run": !self.goes() }).to_string());
        let answer = connection.request("POST", "/v1/retention/runs", "application/json", body).await?;
        if answer.status != 200 {
            return Err(Failure::Failed(problem_text(&answer)));
        }
        let report: Value = serde_json::from_slice(&answer.body).map_err(failed)?;
        self.shown(&report)
    }

    async fn local(&self, ledger: &Arc<Ledger>) -> Outcome {
        if !self.goes() {
            let due = retention::plan(ledger, ledger.now()).await.map_err(failed)?;
            return self.shown(&json!({ "dry_run": true, "due": due }));
        }
        let bar = progress::bar(1, "ending keys");
        let told = |progress: RetainProgress| {
            bar.set_length(progress.of as u64);
            bar.set_position(progress.done as u64);
        };
        let report = retention::run(ledger, &RetainOptions::new(SERVICE), &told).await.map_err(failed)?;
        bar.finish_and_clear();
        self.shown(&serde_json::to_value(&report).map_err(failed)?)
    }

    fn shown(&self, report: &Value) -> Outcome {
        if self.json {
            print_json(report)?;
        } else {
            let text = |row: &Value, name: &str| match row.get(name) {
                Some(Value::String(text)) => text.clone(),
                Some(value) => value.to_string(),
                None => String::new(),
            };
            for row in report.get("due").and_then(Value::as_array).into_iter().flatten() {
                let [class, quarter, keys, held, waiting, verdict] =
                    ["class", "quarter", "keys", "held", "waiting", "verdict"].map(|name| text(row, name));
                println!("{class} {quarter}: {verdict}; {keys} keys end, {held} held, {waiting} wait");
            }
            if self.goes() {
                let [keys, parts, carried] = ["keys", "parts", "carried"].map(|name| text(report, name));
                println!("{keys} keys destroyed, {parts} parts deleted, {carried} facts carried");
            }
        }
        if self.goes() || self.dry_run {
            Ok(())
        } else {
            Err(Failure::Failed("nothing was done: add --yes to do it".to_owned()))
        }
    }
}
