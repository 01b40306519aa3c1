//! Keeping SQLite's write-ahead logs short, off the commit path (see `store/wal.rs`).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::ingest::Ledger;
use crate::store::{WAL_COPY_BYTES, WAL_RESTART_BYTES};

const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Starts the job; does nothing on Postgres.
pub fn start(ledger: &Arc<Ledger>) {
    if ledger.store().engine() != "sqlite" {
        return;
    }
    let ledger = Arc::clone(ledger);
    ledger.tasks.clone().spawn(async move {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = ledger.tasks.stopping() => return,
            }
            let bytes = ["log.db-wal", "vault.db-wal", "views.db-wal"].map(|name| wal_bytes(&ledger.folder, name));
            let largest = bytes.into_iter().max().unwrap_or(0);
            metrics::gauge!("tallystick_wal_bytes").set(largest as f64);
            let store = ledger.store();
            let done = match largest {
                size if size > WAL_RESTART_BYTES => store.wal_restart().await,
                size if size > WAL_COPY_BYTES => store.wal_copy().await,
                _ => Ok(()),
            };
            if let Err(error) = done {
                tracing::warn!(error = %error, "wal.copy failed");
            }
        }
    });
}

fn wal_bytes(folder: &Path, name: &str) -> u64 {
    std::fs::metadata(folder.join(name)).map_or(0, |found| found.len())
}
