//! `tallystick erase`: destroys what of a person no law obliges to keep. Shows what it will do and wants `--yes`.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use clap::Args;
use serde_json::{Value, json};

use super::control::{Connection, Control, problem_text};
use super::{DataArgs, Failure, Outcome, failed, print_json, progress};
use crate::app::App;
use crate::blob::Archive;
use crate::ingest::Ledger;
use crate::ingest::create::SERVICE;
use crate::jobs::erase::{self, EraseError, EraseOptions, Erasure, Person, Plan, STEPS, State};

/// Persons of one request to a running server.
const SUBJECTS_AT_ONCE: usize = 1_000;

/// Whom to erase.
#[derive(Debug, Args)]
pub(super) struct Erase {
    #[command(flatten)]
    data: DataArgs,
    /// The person: our subject id, a client's reference, a phone or an e-mail; may be given several times
    #[arg(long, value_name = "REF")]
    subject: Vec<String>,
    /// File with one person a line
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Source of references, where several sources use them
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// Basis: gdpr_17, ccpa_105, delete_act, retention, contract or operator
    #[arg(long, value_name = "BASIS", default_value = "operator")]
    basis: String,
    /// Reference of the request that this answers
    #[arg(long, value_name = "REF")]
    request: Option<String>,
    /// Only finish what was begun before, and begin what a hold no longer keeps
    #[arg(long)]
    resume: bool,
    /// Only show what would be done
    #[arg(long)]
    dry_run: bool,
    /// Do it: what is destroyed cannot be brought back
    #[arg(long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Erase {
    pub async fn run(mut self) -> Outcome {
        if let Some(file) = &self.file {
            let text = std::fs::read_to_string(file)
                .map_err(|error| Failure::Failed(format!("cannot read {}: {error}", file.display())))?;
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
            self.subject.extend(lines.map(str::to_owned));
        }
        if self.subject.is_empty() && !self.resume {
            return Err(Failure::Failed("name persons with --subject or --file, or give --resume".to_owned()));
        }
        if !erase::BASES.contains(&self.basis.as_str()) {
            return Err(failed(EraseError::Basis));
        }
        match Control::find(&self.data.data).await {
            Some(connection) => self.remote(connection).await,
            None => self.local().await,
        }
    }

    async fn remote(&self, mut connection: Connection) -> Outcome {
        if self.resume {
            return Err(Failure::Failed("the running server finishes erasures by itself".to_owned()));
        }
        let mut all = Vec::new();
        for dry_run in [true, false] {
            if !dry_run && !self.goes() {
                break;
            }
            all.clear();
            for subjects in self.subject.chunks(SUBJECTS_AT_ONCE) {
                let body = json!({ "subjects": subjects, "source": self.source, "basis": self.basis,
                    "request": self.request, "dry_run": dry_run });
                let body = Bytes::from(body.to_string());
                let answer = connection.request("POST", "/v1/retention/erasures", "application/json", body).await?;
                if !(200..300).contains(&answer.status) {
                    return Err(Failure::Failed(problem_text(&answer)));
                }
                let answer: Value = serde_json::from_slice(&answer.body).map_err(failed)?;
                all.extend(answer.get("items").and_then(Value::as_array).into_iter().flatten().cloned());
            }
            if dry_run && !self.json {
                println!("{}", serde_json::to_string_pretty(&all).map_err(failed)?);
            }
        }
        if !self.goes() {
            return self.refused(&json!({ "dry_run": true, "items": all }));
        }
        if self.json {
            return print_json(&json!({ "items": all }));
        }
        for item in &all {
            println!("{}", item.get("certificate").and_then(Value::as_str).unwrap_or_default());
        }
        Ok(())
    }

    const fn goes(&self) -> bool {
        self.yes && !self.dry_run
    }

    /// What was shown is all that was done.
    fn refused(&self, shown: &Value) -> Outcome {
        if self.json {
            print_json(shown)?;
        }
        if self.dry_run { Ok(()) } else { Err(Failure::Failed("nothing was done: add --yes to do it".to_owned())) }
    }

    async fn local(&self) -> Outcome {
        let app = App::open(&self.data.data, &self.data.flags())?;
        let (ledger, _) = app.ledger_open(app.ledger_pick(self.data.ledger)?).await?;
        let archive = match app.config.optional("archive.url") {
            Some(url) => Some(Arc::new(Archive::open(url).map_err(failed)?)),
            None => None,
        };
        let done = self.erase(&ledger, archive).await;
        app.close(&[ledger]).await;
        done
    }

    async fn erase(&self, ledger: &Arc<Ledger>, archive: Option<Arc<Archive>>) -> Outcome {
        let mut subjects = Vec::new();
        let mut plans: Vec<Plan> = Vec::new();
        for text in &self.subject {
            let subject = ledger.subject_find_restricted(text, self.source.as_deref()).map_err(failed)?;
            if !subjects.contains(&subject) {
                let person = Person::read(ledger, subject).await.map_err(failed)?;
                plans.push(erase::plan(ledger, &person, ledger.now()).await.map_err(failed)?);
                subjects.push(subject);
            }
        }
        if !self.json {
            plans.iter().for_each(show);
        }
        if !self.goes() {
            return self.refused(&json!({ "dry_run": true, "items": plans }));
        }
        let options = EraseOptions { archive, ..EraseOptions::new(SERVICE, ledger) };
        let mut begun = Vec::new();
        for subject in subjects {
            let request = self.request.clone();
            begun.push(erase::begin(ledger, subject, &self.basis, request, &options).await.map_err(failed)?.0);
        }
        let bar = progress::bar(STEPS.len() as u64, "erasing");
        let told = |progress: erase::Progress| {
            bar.set_position(STEPS.iter().position(|step| *step == progress.step).unwrap_or(0) as u64 + 1);
        };
        let mut done = erase::run(ledger, begun, &options, &told).await.map_err(failed)?;
        if self.resume {
            done.extend(erase::resume(ledger, &options, &told).await.map_err(failed)?);
        }
        bar.finish_and_clear();
        self.report(ledger, &done)
    }

    fn report(&self, ledger: &Ledger, done: &[Erasure]) -> Outcome {
        if self.json {
            return print_json(&json!({ "items": done }));
        }
        for erasure in done {
            println!("{}", erase::certificate(&ledger.origin, erasure));
        }
        let waiting = done.iter().filter(|erasure| erasure.state == State::Waiting).count();
        println!("erased {}, waiting for a hold {waiting}", done.len() - waiting);
        Ok(())
    }
}

fn show(plan: &Plan) {
    let subjects: Vec<String> = plan.subjects.iter().map(ToString::to_string).collect();
    println!("person {}", subjects.join(", "));
    if plan.waits {
        println!("  a legal hold is in force: the erasure waits until it is released");
    }
    for class in &plan.classes {
        println!("  {}: {} parts destroyed, {} kept", class.class, class.destroyed, class.kept);
    }
    for kept in &plan.kept {
        println!("  {} is kept: {} ({})", kept.class, kept.ground, kept.source);
    }
    println!("  {} keys destroyed for good; {} identifiers stay suppressed", plan.keys.len(), plan.suppressed);
}
