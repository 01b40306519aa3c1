//! `tallystick prove`: a `tlog-proof` file for an entry, or a consistency proof between two sizes, from a data directory.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{DataArgs, Failure, Outcome, failed};
use crate::app::App;
use crate::chain::proof::{ConsistencyFile, InclusionFile};

/// How long to wait for the checkpoint that covers the log as it is.
const CHECKPOINT_WAIT: Duration = Duration::from_secs(10);

/// What to prove.
#[derive(Debug, Args)]
pub(super) struct Prove {
    #[command(flatten)]
    data: DataArgs,
    /// Position of the entry whose inclusion to prove
    #[arg(long, value_name = "POSITION", required_unless_present = "from", conflicts_with = "from")]
    position: Option<u64>,
    /// Prove that the log of this many entries is a beginning of the log as it is
    #[arg(long, value_name = "SIZE")]
    from: Option<u64>,
    /// File to write; standard output without it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Prove {
    pub async fn run(self) -> Outcome {
        let app = App::open(&self.data.data, &self.data.flags())?;
        let (ledger, checkpoints) = app.ledger_open(app.ledger_pick(self.data.ledger)?).await?;
        let text = async {
            let published = checkpoints
                .wait_for(ledger.size(), CHECKPOINT_WAIT)
                .await
                .ok_or_else(|| Failure::Failed("no checkpoint covers the log yet".to_owned()))?;
            let checkpoint = published.note.clone();
            match (self.position, self.from) {
                (Some(index), _) => {
                    let hashes = ledger.inclusion(index, published.size).await.map_err(failed)?;
                    Ok(InclusionFile { extra: None, index, hashes, checkpoint }.to_string())
                }
                (None, Some(old)) => {
                    let hashes = ledger.consistency(old, published.size).await.map_err(failed)?;
                    Ok(ConsistencyFile { old, hashes, checkpoint }.to_string())
                }
                (None, None) => Err(Failure::Failed("name a position or a size".to_owned())),
            }
        }
        .await;
        app.close(&[ledger]).await;
        match &self.out {
            Some(path) => std::fs::write(path, text?).map_err(failed),
            None => {
                print!("{}", text?);
                Ok(())
            }
        }
    }
}
