//! `tallystick replay`: a recorded decision computed again; exit 3 when it does not come out as recorded.

use bytes::Bytes;
use clap::Args;
use serde_json::Value;

use super::control::{Control, problem_text};
use super::{DataArgs, Failure, Outcome, failed, print_json};
use crate::app::App;
use crate::decisions::{Gate, ReplayError};
use crate::http::api::decisions::replay_view;

/// Which decision.
#[derive(Debug, Args)]
pub(super) struct Replay {
    /// Id of the decision
    decision: String,
    #[command(flatten)]
    data: DataArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Replay {
    pub async fn run(self) -> Outcome {
        let answer = match Control::find(&self.data.data).await {
            Some(mut connection) => {
                let path = format!("/v1/decisions/{}/replay", self.decision);
                let answer = connection.request("POST", &path, "application/json", Bytes::new()).await?;
                if answer.status != 200 {
                    return Err(Failure::Failed(problem_text(&answer)));
                }
                serde_json::from_slice(&answer.body).map_err(failed)?
            }
            None => self.local().await?,
        };
        let identical = answer.get("identical") == Some(&Value::Bool(true));
        if self.json {
            print_json(&answer)?;
        } else {
            let today = answer.get("today").cloned().unwrap_or_default();
            println!("{}", if identical { "identical" } else { "differs" });
            println!("recorded  {}", answer.get("recorded").cloned().unwrap_or_default());
            println!("today     {today}");
        }
        if identical { Ok(()) } else { Err(Failure::NotVerified) }
    }

    async fn local(&self) -> Result<Value, Failure> {
        let app = App::open(&self.data.data, &self.data.flags())?;
        let (ledger, _) = app.ledger_open(app.ledger_pick(self.data.ledger)?).await?;
        let replay = Gate::default().replay(&ledger, &self.decision).await;
        app.close(&[ledger]).await;
        replay.map(|replay| replay_view(&replay)).map_err(|error: ReplayError| failed(error))
    }
}
