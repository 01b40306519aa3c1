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
use crate::exports::subject::{Disclosure, ExportRequest, begin, finish};
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
    /// File to write
    #[arg(long, value_name = "FILE.zip")]
    out: PathBuf,
}

impl Export {
    pub async fn run(self) -> Outcome {
        let bundle = match Control::find(&self.data.data).await {
            Some(mut connection) => {
                let request = serde_json::json!({ "profile": self.profile.name(), "subject": self.subject, "source": self.source });
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
