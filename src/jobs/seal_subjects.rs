//! Appending `subjects.sealed` each hour in which somebody's history grew.

use std::sync::Arc;
use std::time::Duration;

use crate::ingest::Ledger;
use crate::ingest::create::SERVICE;

const EVERY: Duration = Duration::from_secs(3_600);

/// Starts the job.
pub fn start(ledger: &Arc<Ledger>) {
    let ledger = Arc::clone(ledger);
    ledger.tasks.clone().spawn(async move {
        let mut last = None;
        loop {
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = ledger.tasks.stopping() => return,
            }
            if !ledger.is_leader() {
                continue;
            }
            match ledger.subjects_map().await {
                Ok(map) if last == Some(map.root) => {}
                Ok(_) => match ledger.subjects_seal(SERVICE, None).await {
                    Ok((_, map)) => last = Some(map.root),
                    Err(error) => tracing::warn!(error = %error, "subjects.seal failed"),
                },
                Err(error) => tracing::warn!(error = %error, "subjects.map failed"),
            }
        }
    });
}
