//! Keeping SQLite's write-ahead logs short, off the commit path (see `store/wal.rs`).

use std::sync::Arc;
use std::time::Duration;

use crate::ingest::Ledger;
use crate::runtime::clock::Clock;
use crate::store::{Store, StoreError, WAL_BUSY_BYTES, WAL_COPY_BYTES, WAL_RESTART_BYTES, WalFile};

/// Often, so that a copy is small: commits wait while the disk takes one in.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Between pieces, so that commits come between them.
const LENGTHEN_EVERY: Duration = Duration::from_millis(5);

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
                match shorten(&ledger.store(), &ledger.clock, file).await {
                    Ok(bytes) => largest = largest.max(bytes),
                    Err(error) => tracing::warn!(error = %error, file = file.name(), "wal.copy failed"),
                }
            }
            metrics::gauge!("tallystick_wal_bytes").set(largest as f64);
        }
    });
}

/// Copies or restarts the log of one file by its own size: one long log must not make the writers of the others stop. Gives the bytes
/// it had.
async fn shorten(store: &Store, clock: &Clock, file: WalFile) -> Result<u64, StoreError> {
    let bytes = store.wal_bytes(file).await?;
    if bytes > WAL_BUSY_BYTES {
        while store.wal_lengthen(file).await? {
            tokio::time::sleep(LENGTHEN_EVERY).await;
        }
    }
    if bytes > WAL_COPY_BYTES {
        let started = clock.elapsed();
        store.wal_copy(file).await?;
        metrics::histogram!("tallystick_wal_copy_seconds", "file" => file.name())
            .record(clock.elapsed().saturating_sub(started));
    }
    if bytes > WAL_RESTART_BYTES {
        // Right after the copy, so that the writer stops for the pages of these milliseconds alone.
        let started = clock.elapsed();
        store.wal_restart(file).await?;
        metrics::histogram!("tallystick_wal_restart_seconds", "file" => file.name())
            .record(clock.elapsed().saturating_sub(started));
    }
    Ok(bytes)
}
