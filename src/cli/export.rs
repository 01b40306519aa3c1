//! `tallystick export`: a bundle that a stranger verifies offline.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;

use super::control::{Control, problem_text};
use super::{DataArgs, Failure, Outcome, failed};
use crate::app::App;
use crate::exports::manifest::Profile;
use crate::exports::redaction::Redaction;
use crate::exports::subject::{Disclosure, ExportRequest, Extras, begin, finish};
use crate::ingest::Ledger;
use crate::ingest::create::SERVICE;
use crate::jobs::checkpoint::Checkpoints;

/// How long to wait for the checkpoint that covers the export.
const CHECKPOINT_WAIT: Duration = Duration::from_secs(10);

/// What to export.
#[derive(Debug, Args)]
pub(super) struct Export {
    #[command(flatten)]
    data: DataArgs,
    /// Profile of the bundle
    #[arg(long, value_name = "PROFILE", default_value = "audit")]
    profile: Profile,
    /// The person: our subject id, the client's reference, a phone or an e-mail
    #[arg(long, value_name = "REF")]
    subject: String,
    /// Source of the reference, where several sources use it
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// Show only what these rules show: counsel, regulator or counterparty (policies/redaction.toml)
    #[arg(long, value_name = "PROFILE", conflicts_with = "disclose")]
    redact: Option<String>,
    /// Show only what the rules in this JSON file show
    #[arg(long, value_name = "FILE.json")]
    disclose: Option<PathBuf>,
    /// Checkpoint that the reader kept: the bundle proves that the log has only grown since
    #[arg(long, value_name = "FILE")]
    since_checkpoint: Option<PathBuf>,
    /// Text whose SHA-256 an exported event names, to lie beside it; may be given several times
    #[arg(long, value_name = "FILE")]
    notice: Vec<PathBuf>,
    /// Position of a further entry without a person, such as a registered script; may be given several times
    #[arg(long, value_name = "POSITION")]
    include: Vec<u64>,
    /// File to write
    #[arg(long, value_name = "FILE.zip")]
    out: PathBuf,
}

impl Export {
    pub async fn run(self) -> Outcome {
        let bundle = match Control::find(&self.data.data).await {
            Some(mut connection) => {
                let request = self.request_body()?;
                let request = request.to_string();
                let made = connection.request("POST", "/v1/exports", "application/json", Bytes::from(request)).await?;
                if made.status != 201 {
                    return Err(Failure::Failed(problem_text(&made)));
                }
                let made: serde_json::Value = serde_json::from_slice(&made.body).map_err(failed)?;
                let id = made.get("id").and_then(serde_json::Value::as_str).unwrap_or_default();
                let path = format!("/v1/exports/{id}/bundle");
                let answer = connection.request("GET", &path, "application/json", Bytes::new()).await?;
                if answer.status != 200 {
                    return Err(Failure::Failed(problem_text(&answer)));
                }
                answer.body.to_vec()
            }
            None => self.local().await?,
        };
        std::fs::write(&self.out, &bundle)
            .map_err(|error| Failure::Failed(format!("cannot write {}: {error}", self.out.display())))?;
        println!("{} ({} bytes)", self.out.display(), bundle.len());
        Ok(())
    }

    fn request_body(&self) -> Result<serde_json::Value, Failure> {
        let extras = self.extras()?;
        let notices: Vec<String> = extras
            .notices
            .into_iter()
            .map(|text| String::from_utf8(text).map_err(|_| Failure::Failed("a notice is not UTF-8 text".to_owned())))
            .collect::<Result<_, _>>()?;
        let disclose = extras.redaction.filter(|_| self.disclose.is_some());
        Ok(serde_json::json!({
            "profile": self.profile.name(), "subject": self.subject, "source": self.source, "redact": self.redact,
            "disclose": disclose.as_deref(), "since_checkpoint": extras.since, "notices": notices,
            "include": self.include,
        }))
    }

    fn extras(&self) -> Result<Extras, Failure> {
        let read = |path: &PathBuf| {
            std::fs::read(path).map_err(|error| Failure::Failed(format!("cannot read {}: {error}", path.display())))
        };
        let redaction = match (&self.redact, &self.disclose) {
            (Some(name), _) => Some(Redaction::named(name).map_err(failed)?),
            (None, Some(path)) => Some(Redaction::from_json(&read(path)?).map_err(failed)?),
            (None, None) => None,
        };
        let since = self.since_checkpoint.as_ref().map(read).transpose()?.map(String::from_utf8);
        Ok(Extras {
            redaction: redaction.map(Arc::new),
            since: since.transpose().map_err(failed)?,
            notices: self.notice.iter().map(read).collect::<Result<_, _>>()?,
            include: self.include.clone(),
        })
    }

    async fn local(&self) -> Result<Vec<u8>, Failure> {
        let app = App::open(&self.data.data, &self.data.flags())?;
        let (ledger, checkpoints) = app.ledger_open(app.ledger_pick(self.data.ledger)?).await?;
        let bundle = self.bundle(&ledger, &checkpoints).await;
        app.close(&[ledger]).await;
        bundle
    }

    async fn bundle(&self, ledger: &Arc<Ledger>, checkpoints: &Checkpoints) -> Result<Vec<u8>, Failure> {
        let subject = ledger.subject_find_restricted(&self.subject, self.source.as_deref()).map_err(failed)?;
        let request = ExportRequest {
            profile: self.profile,
            subjects: ledger.union_of(&subject, crate::domain::time::Timestamp::MAX).await.map_err(failed)?,
            disclosure: Disclosure::of(self.profile),
            extras: self.extras()?,
            actor: SERVICE,
            now: None,
        };
        let begun = begin(ledger, request).await.map_err(failed)?;
        let published = checkpoints
            .wait_for(begun.size_min(), CHECKPOINT_WAIT)
            .await
            .ok_or_else(|| Failure::Failed("no checkpoint covers the export yet; try again".to_owned()))?;
        finish(ledger, &begun, &published.note).await.map_err(failed)
    }
}
