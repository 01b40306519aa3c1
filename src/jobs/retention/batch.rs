//! A batch of keys that end together: the content of a file of the journal and of `retention.completed`; and the sealed
//! bytes that lie around when their keys are gone.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::RetainError;
use crate::chain::decode::EntryRef;
use crate::chain::leaf::leaf_hash;
use crate::chain::tree::root_of;
use crate::domain::ids::{EventId, KeyId, SubjectId};
use crate::domain::parts::RetentionClass;
use crate::domain::time::Quarter;
use crate::ingest::Ledger;
use crate::ingest::read::{ReadError, slot_of};
use crate::store::DekSlot;

/// Entries read at a time.
const READ_ENTRIES: u64 = 2_048;

/// Keys of one class and quarter that are being destroyed: the content of a file of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The run.
    pub run: EventId,
    /// The class.
    pub class: RetentionClass,
    /// Ordinal of the quarter.
    pub quarter: u16,
    /// Number of the batch within class and quarter, from 1.
    pub part: u64,
    /// Owners and fingerprints.
    pub keys: Vec<(SubjectId, KeyId)>,
    /// Keys that holds keep.
    pub held: u64,
    /// Facts re-recorded first.
    pub carried: u64,
    /// Where the decision stands.
    pub decision: u64,
    /// Size of the log when the batch was written: its record can only stand behind.
    pub size: u64,
}

impl Batch {
    /// Places of its keys in the vault.
    pub(super) fn slots(&self) -> Vec<DekSlot> {
        let slot =
            |owner: &SubjectId| DekSlot { owner: *owner.as_bytes(), class: self.class.code(), quarter: self.quarter };
        self.keys.iter().map(|(owner, _)| slot(owner)).collect()
    }

    /// Data of `retention.completed`.
    pub(super) fn data(&self) -> Value {
        let leaves: Vec<_> = self.keys.iter().map(|(_, key)| leaf_hash(key.as_bytes())).collect();
        json!({
            "run": self.run,
            "class": self.class.name(),
            "quarter": Quarter::from_ordinal(self.quarter).map(|quarter| quarter.to_string()),
            "keys": self.keys.len(),
            "keys_root": root_of(leaves).to_string(),
            "key_ids": self.keys.iter().map(|(_, key)| key).collect::<Vec<_>>(),
            "held": self.held,
            "carried": self.carried,
            "decision_position": self.decision,
            "part": self.part,
        })
    }
}

/// Deletes the sealed parts of a class and quarter whose keys are gone.
pub(super) async fn remove(ledger: &Arc<Ledger>, class: RetentionClass, quarter: Quarter) -> Result<u64, RetainError> {
    let mut first = ledger.position_recorded_from(quarter.start()).await?;
    let last = ledger.position_recorded_from(quarter.end()).await?;
    let store = ledger.store();
    let mut removed = 0;
    while first < last {
        let end = last.min(first + READ_ENTRIES);
        let mut parts: Vec<(u64, u8, DekSlot, KeyId)> = Vec::new();
        for (position, bytes) in store.entry_block(first, end).await?.iter() {
            let entry = EntryRef::decode(bytes).map_err(|source| ReadError::Entry { position, source })?;
            for (number, part) in (0u8..).zip(entry.parts()).filter(|(_, part)| part.class == class) {
                if let Some(key) = part.key {
                    parts.push((position, number, slot_of(&entry, &part), key));
                }
            }
        }
        let slots: Vec<DekSlot> = parts.iter().map(|(_, _, slot, _)| *slot).collect();
        let mut live: Vec<Option<KeyId>> = vec![None; slots.len()];
        for (index, row) in store.deks_at(&slots).await? {
            if let Some(place) = live.get_mut(index) {
                *place = Some(row.key);
            }
        }
        let gone = parts.iter().zip(live).filter(|((.., key), live)| *live != Some(*key));
        let gone: Vec<(u64, u8)> = gone.map(|((position, number, ..), _)| (*position, *number)).collect();
        removed += store.payloads_delete(&gone).await?;
        first = end;
    }
    Ok(removed)
}
