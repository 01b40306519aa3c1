//! Holding the lease of a ledger on Postgres, where several servers may serve it: one appends, the others follow and answer
//! 503 to writes. The lease only decides who should; the head's compare-and-swap decides who can.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::ids::uuid_v7;
use crate::ingest::Ledger;
use crate::store::StoreError;

/// How often the lease is renewed.
const RENEW: Duration = Duration::from_secs(1);
/// How long it holds without renewal, in microseconds.
const HOLD_MICROS: i64 = 5_000_000;

/// Takes the lease if it is free and keeps trying; returns after the first try.
pub async fn start(ledger: &Arc<Ledger>) {
    if ledger.store().engine() != "postgres" {
        return;
    }
    ledger.leader_set(false);
    let id = uuid_v7(ledger.clock.now().unix_ms(), ledger.random.bytes());
    let holder = data_encoding::HEXLOWER.encode(&id);
    try_take(ledger, &holder).await;
    let ledger = Arc::clone(ledger);
    ledger.tasks.clone().spawn(async move {
        loop {
            tokio::select! {
                () = tokio::time::sleep(RENEW) => try_take(&ledger, &holder).await,
                () = ledger.tasks.stopping() => {
                    give_up(&ledger, &holder).await;
                    return;
                }
            }
        }
    });
}

async fn try_take(ledger: &Arc<Ledger>, holder: &str) {
    match take(ledger, holder).await {
        Ok(leader) => ledger.leader_set(leader),
        Err(error) => {
            // Without a word from the database nobody can know who holds it: the swap keeps this safe either way.
            tracing::warn!(error = %error, "lease.take failed");
        }
    }
}

async fn take(ledger: &Arc<Ledger>, holder: &str) -> Result<bool, StoreError> {
    let now = ledger.clock.now();
    let expires = now.checked_add_micros(HOLD_MICROS).unwrap_or(now);
    let lease = ledger.store().lease_take(holder, now, expires).await?;
    if lease.holder != holder {
        return Ok(false);
    }
    if !ledger.is_leader() {
        // Fence first, so that what the last holder still has in flight cannot land behind our back; then learn its log.
        ledger.store().head_fence(lease.epoch).await?;
        ledger.follow().await?;
        tracing::info!(epoch = lease.epoch, "lease.taken");
    }
    Ok(true)
}

async fn give_up(ledger: &Arc<Ledger>, holder: &str) {
    if ledger.is_leader() {
        let now = ledger.clock.now();
        // Expired at once: the next server need not wait.
        if let Err(error) = ledger.store().lease_take(holder, now, now).await {
            tracing::warn!(error = %error, "lease.release failed");
        }
    }
}
