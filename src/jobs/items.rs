//! Taking in, once after a start, the items of the quarantine that still wait: a corrected retry closes them.

use std::sync::Arc;
use std::time::Duration;

use crate::ingest::Ledger;
use crate::projections::Projections;
use crate::store::StoreError;

/// Rows read at a time.
const ROWS: i64 = 1_000;
/// After a failure, before the next try.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Starts the job.
pub fn start(ledger: &Arc<Ledger>, runner: &Projections) {
    let (ledger, runner) = (Arc::clone(ledger), runner.clone());
    ledger.tasks.clone().spawn(async move {
        let Some(last) = ledger.size().checked_sub(1) else { return };
        loop {
            // The rows must know everything that this process did not see itself.
            let done = runner.wait_for(last, RETRY_AFTER).await.is_ok();
            if ledger.tasks.is_stopping() {
                return;
            }
            match done {
                true => match load(&ledger).await {
                    Ok(()) => return ledger.items_loaded(),
                    Err(error) => tracing::warn!(error = %error, "items.load failed"),
                },
                false => continue,
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY_AFTER) => {}
                () = ledger.tasks.stopping() => return,
            }
        }
    });
}

async fn load(ledger: &Ledger) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let items = ledger.store().quarantine_items(after, true, ROWS).await?;
        let Some(last) = items.last() else { return Ok(()) };
        after = Some(last.position);
        for item in items {
            if let Ok(pair) = <[u8; 32]>::try_from(item.pair.as_slice()) {
                ledger.item_open(pair, item.event, item.position);
            }
        }
    }
}
