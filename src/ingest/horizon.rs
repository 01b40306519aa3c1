//! How far back the business facts of a class can be read: a question about an earlier instant has no answer any more, and says so
//! instead of leaving out what is gone.

use std::collections::BTreeMap;

use serde_json::Value;

use super::ledger::Ledger;
use super::noted::NotedFor;
use super::read::ReadError;
use crate::chain::decode::EntryRef;
use crate::domain::parts::{PartKind, RetentionClass};
use crate::domain::time::{Quarter, Timestamp};
use crate::store::NO_OWNER;

/// Ended quarters of each class, as far as the log was read for them.
#[derive(Debug, Default)]
pub(super) struct Horizons {
    noted_read: usize,
    /// Quarters that a retention run named.
    named: BTreeMap<u8, Vec<Quarter>>,
}

impl Ledger {
    /// The first instant from which every business fact of these classes can still be read; none if nothing ended.
    ///
    /// A run names a class and quarter also when it ends people's keys alone; the business key of the quarter decides.
    ///
    /// # Errors
    /// [`ReadError`] when the log or the vault cannot be read.
    pub async fn history_begins(&self, classes: &[RetentionClass]) -> Result<Option<Timestamp>, ReadError> {
        let mut horizons = self.horizons.lock().await;
        for position in self.noted_from(NotedFor::Retention, horizons.noted_read).await? {
            if let Some((class, quarter)) = self.retention_at(position).await? {
                horizons.named.entry(class.code()).or_default().push(quarter);
            }
            horizons.noted_read += 1;
        }
        if horizons.named.is_empty() {
            return Ok(None);
        }
        let kept = &self.store().deks_of(&NO_OWNER).await?;
        let ended = classes.iter().flat_map(|class| {
            let code = class.code();
            let named = horizons.named.get(&code).into_iter().flatten();
            let lives = move |quarter: &Quarter| {
                kept.iter().any(|(slot, _)| slot.class == code && slot.quarter == quarter.ordinal())
            };
            named.filter(move |quarter| !lives(quarter)).map(|quarter| quarter.end())
        });
        Ok(ended.max())
    }

    async fn retention_at(&self, position: u64) -> Result<Option<(RetentionClass, Quarter)>, ReadError> {
        let bytes = self.store().entry_at(position).await?.ok_or(ReadError::Absent(position))?;
        let entry = EntryRef::decode(&bytes).map_err(|source| ReadError::Entry { position, source })?;
        if entry.event_type != "retention.completed" {
            return Ok(None);
        }
        let opened = self.open_entry(position).await?;
        let public: Option<Value> =
            opened.plaintext(PartKind::Public).and_then(|bytes| serde_json::from_slice(bytes).ok());
        let text = |name: &str| public.as_ref()?.get("data")?.get(name)?.as_str();
        let class = text("class").and_then(|class| class.parse().ok());
        Ok(class.zip(text("quarter").and_then(|quarter| quarter.parse().ok())))
    }
}
