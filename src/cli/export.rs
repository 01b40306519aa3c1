//! `tallystick export`: a bundle that a stranger verifies offline.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;

use super::control::{Connection, Control, problem_text};
use super::{DataArgs, Failure, Outcome, failed};
use crate::app::App;
use crate::domain::time::Timestamp;
use crate::exports::manifest::Profile;
use crate::exports::range::{RangeRequest, begin_range, finish_range};
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
    /// The person: our subject id, the client's reference, a phone or an e-mail. Without one: a range of the log
    #[arg(long, value_name = "REF", conflicts_with_all = ["campaign", "from", "to"])]
    subject: Option<String>,
    /// Of a range: open only this campaign's persons and facts
    #[arg(long, value_name = "ID")]
    campaign: Option<String>,
    /// Of a range: recorded at or after this RFC 3339 time
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse_rfc3339)]
    from: Option<Timestamp>,
    /// Of a range: recorded before this RFC 3339 time
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse_rfc3339)]
    to: Option<Timestamp>,
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
        // A file of this name is a whole bundle or is not there.
        let unfinished = self.out.with_extension("zip.part");
        let cannot = |error: std::io::Error| Failure::Failed(format!("cannot write {}: {error}", self.out.display()));
        let mut file = std::fs::File::create(&unfinished).map_err(cannot)?;
        let written = match Control::find(&self.data.data).await {
            Some(mut connection) => self.fetch(&mut connection, &mut file).await,
            None => self.local(&mut file).await,
        };
        if written.is_err() {
            let _absent = std::fs::remove_file(&unfinished);
        }
        let length = written?;
        file.sync_all().map_err(cannot)?;
        std::fs::rename(&unfinished, &self.out).map_err(cannot)?;
        println!("{} ({length} bytes)", self.out.display());
        Ok(())
    }

    /// From the server that has the directory.
    async fn fetch(&self, connection: &mut Connection, file: &mut std::fs::File) -> Result<u64, Failure> {
        let request = self.request_body()?.to_string();
        let made = connection.request("POST", "/v1/exports", "application/json", Bytes::from(request)).await?;
        if made.status != 201 {
            return Err(Failure::Failed(problem_text(&made)));
        }
        let made: serde_json::Value = serde_json::from_slice(&made.body).map_err(failed)?;
        let id = made.get("id").and_then(serde_json::Value::as_str).unwrap_or_default();
        let path = format!("/v1/exports/{id}/bundle");
        let answered = connection.download(&path, file).await?;
        answered.map_err(|answer| Failure::Failed(problem_text(&answer)))
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
            "include": self.include, "campaign": self.campaign, "from": self.from, "to": self.to,
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

    async fn local(&self, file: &mut std::fs::File) -> Result<u64, Failure> {
        let app = App::open(&self.data.data, &self.data.flags())?;
        let (ledger, checkpoints) = app.ledger_open(app.ledger_pick(self.data.ledger)?).await?;
        let written = match &self.subject {
            Some(subject) => self.person(&ledger, &checkpoints, subject, file).await,
            None => self.range(&ledger, &checkpoints, file).await,
        };
        app.close(&[ledger]).await;
        written
    }

    async fn person(
        &self,
        ledger: &Arc<Ledger>,
        checkpoints: &Checkpoints,
        subject: &str,
        file: &mut std::fs::File,
    ) -> Result<u64, Failure> {
        let subject = ledger.subject_find_restricted(subject, self.source.as_deref()).map_err(failed)?;
        let request = ExportRequest {
            profile: self.profile,
            subjects: ledger.union_of(&subject, Timestamp::MAX).await.map_err(failed)?,
            disclosure: Disclosure::of(self.profile),
            extras: self.extras()?,
            actor: SERVICE,
            now: None,
        };
        let begun = begin(ledger, request).await.map_err(failed)?;
        let published = checkpoints.wait_for(begun.size_min(), CHECKPOINT_WAIT).await.ok_or_else(behind)?;
        let bundle = finish(ledger, &begun, &published.note).await.map_err(failed)?;
        file.write_all(&bundle).map_err(failed)?;
        Ok(bundle.len() as u64)
    }

    /// A block is made while the one before is written.
    async fn range(
        &self,
        ledger: &Arc<Ledger>,
        checkpoints: &Checkpoints,
        file: &mut std::fs::File,
    ) -> Result<u64, Failure> {
        let request = RangeRequest {
            profile: self.profile,
            from: self.from,
            to: self.to,
            campaign: self.campaign.clone(),
            extras: self.extras()?,
            actor: SERVICE,
            now: None,
        };
        let begun = begin_range(ledger, request).await.map_err(failed)?;
        let published = checkpoints.wait_for(begun.size_min(), CHECKPOINT_WAIT).await.ok_or_else(behind)?;
        let (sink, mut blocks) = tokio::sync::mpsc::channel(1);
        let making = async move { finish_range(ledger, &begun, &published.note, &sink).await.map_err(failed) };
        let writing = async {
            let mut length = 0;
            while let Some(block) = blocks.recv().await {
                let block = block.map_err(failed)?;
                file.write_all(&block).map_err(failed)?;
                length += block.len() as u64;
            }
            Ok(length)
        };
        let (made, written) = futures_util::future::join(making, writing).await;
        made.and(written)
    }
}

fn behind() -> Failure {
    Failure::Failed("no checkpoint covers the export yet; try again".to_owned())
}
