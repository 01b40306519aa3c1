//! Keeping SQLite's write-ahead logs short, off the commit path (see `store/wal.rs`).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::ingest::Ledger;
use crate::store::{WAL_COPY_BYTES, WAL_RESTART_BYTES, WalFile};

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
            let mut largest = 0;
            for file in WalFile::ALL {
                let bytes = wal_bytes(&ledger.folder, file.wal_name());
                largest = largest.max(bytes);
                let store = ledger.store();
                // Each file by its own size: one long log must not make the writers of the others stop.
                let done = match bytes {
                    size if size > WAL_RESTART_BYTES => store.wal_restart(file).await,
                    size if size > WAL_COPY_BYTES => store.wal_copy(file).await,
                    _ => Ok(()),
                };
                if let Err(error) = done {
                    tracing::warn!(error = %error, file = file.wal_name(), "wal.copy failed");
                }
            }
            metrics::gauge!("tallystick_wal_bytes").set(largest as f64);
        }
    });
}

fn wal_bytes(folder: &Path, name: &str) -> u64 {
    std::fs::metadata(folder.join(name)).map_or(0, |found| found.len())
}
