//! What is due: classes and quarters whose days are over, with the verdict on each.

use std::sync::Arc;

use serde::Serialize;

use super::RetainError;
use super::clocks::Clocks;
use crate::domain::parts::RetentionClass;
use crate::domain::time::{Quarter, Timestamp};
use crate::ingest::Ledger;
use crate::policy::retention::Retention;
use crate::store::{DekSlot, NO_OWNER};

/// Owners read at a time.
const OWNERS_AT_ONCE: u32 = 2_000;

/// What becomes of the keys of one class and quarter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Some keys end.
    Destroy,
    /// Every key still waits for its own clock.
    Wait,
    /// Holds keep all of them.
    Held,
    /// Nothing is left of it.
    None,
}

impl Verdict {
    /// Its name in `decision.retention_recorded`.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Destroy => "destroy",
            Verdict::Wait => "wait",
            Verdict::Held => "held",
            Verdict::None => "none",
        }
    }
}

/// One class and quarter whose days are over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Due {
    /// The class.
    pub class: RetentionClass,
    /// The quarter, as `2026Q4`.
    #[serde(serialize_with = "text")]
    pub quarter: Quarter,
    /// When its days were over.
    pub ended: Timestamp,
    /// Keys that end.
    pub keys: u64,
    /// Keys that a hold keeps.
    pub held: u64,
    /// Keys whose own clock still runs.
    pub waiting: u64,
    /// The key of business parts ends as well.
    pub business: bool,
    /// What becomes of them.
    pub verdict: Verdict,
}

fn text<S: serde::Serializer>(quarter: &Quarter, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(quarter)
}

/// Everything due at `now`, oldest quarter first.
pub(super) async fn due(ledger: &Arc<Ledger>, now: Timestamp) -> Result<Vec<Due>, RetainError> {
    let over = over(ledger, now).await?;
    if over.is_empty() {
        return Ok(Vec::new());
    }
    let mut clocks = Clocks::new(ledger, now).await?;
    let mut all = Vec::new();
    for (class, quarter, ended) in over {
        let mut due =
            Due { class, quarter, ended, keys: 0, held: 0, waiting: 0, business: false, verdict: Verdict::None };
        let mut from = NO_OWNER;
        loop {
            let owners = ledger.store().deks_due(class.code(), quarter.ordinal(), &from, OWNERS_AT_ONCE).await?;
            for (owner, _) in &owners {
                match clocks.fate(&DekSlot { owner: *owner, class: class.code(), quarter: quarter.ordinal() }).await? {
                    Fate::Ends => {
                        due.keys += 1;
                        due.business |= *owner == NO_OWNER;
                    }
                    Fate::Held => due.held += 1,
                    Fate::Waits => due.waiting += 1,
                }
            }
            match owners.last().and_then(|(owner, _)| after(owner)) {
                Some(next) if owners.len() == OWNERS_AT_ONCE as usize => from = next,
                _ => break,
            }
        }
        due.verdict = match (due.keys, due.held, due.waiting) {
            (0, 0, 0) => Verdict::None,
            (0, _, 0) => Verdict::Held,
            (0, ..) => Verdict::Wait,
            _ => Verdict::Destroy,
        };
        all.push(due);
    }
    Ok(all)
}

/// Classes and quarters that have keys and whose days are over.
async fn over(ledger: &Ledger, now: Timestamp) -> Result<Vec<(RetentionClass, Quarter, Timestamp)>, RetainError> {
    let retention = Retention::builtin()?;
    let mut found: Vec<(RetentionClass, Quarter, Timestamp)> = Vec::new();
    for (class, quarter, _) in ledger.store().dek_slots().await? {
        let (Some(class), Some(quarter)) = (RetentionClass::from_code(class), Quarter::from_ordinal(quarter)) else {
            continue;
        };
        if retention.is_over(class, quarter, now) {
            found.extend(retention.end(class, quarter).map(|end| (class, quarter, end)));
        }
    }
    found.sort_by_key(|(class, quarter, _)| (*quarter, *class));
    Ok(found)
}

/// The owner after one, in the order of the vault.
pub(super) fn after(owner: &[u8; 16]) -> Option<[u8; 16]> {
    u128::from_be_bytes(*owner).checked_add(1).map(u128::to_be_bytes)
}

/// What becomes of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It ends.
    Ends,
    /// A hold keeps it.
    Held,
    /// Its own clock still runs.
    Waits,
}
