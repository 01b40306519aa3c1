//! Quarantine: what could not be recorded waits here, sealed, until it is fixed, replayed or discarded. Each of these is an
//! entry, so that nothing can vanish between "received" and "gone".

use bytes::Bytes;
use serde_json::json;

use super::admit::{Closing, SubmitOptions};
use super::forms::Received;
use super::ledger::Ledger;
use super::read::{ReadError, slot_of};
use super::receipt::{Outcome, Receipt, SubmitError};
use crate::chain::decode::EntryRef;
use crate::domain::ids::{EventId, PrincipalId};
use crate::domain::parts::PartKind;
use crate::schema::FieldProblem;

/// An item as a person sees it.
#[derive(Debug, Clone)]
pub struct Item {
    /// Its id: the event id of its `quarantine.received`.
    pub item: EventId,
    /// Position of that entry.
    pub position: u64,
    /// The bytes as received; `None` when they were discarded or their time is over.
    pub raw: Option<Bytes>,
    /// What is wrong with them under today's schemas.
    pub problems: Vec<FieldProblem>,
}

/// Why an item cannot be treated.
#[derive(Debug, thiserror::Error)]
pub enum QuarantineError {
    /// That entry is not an item.
    #[error("entry {0} is not an item in quarantine")]
    NotAnItem(u64),
    /// Its bytes are gone.
    #[error("the bytes of item {0} are gone")]
    Gone(u64),
    /// It cannot be read.
    #[error("item cannot be read")]
    Read(#[from] ReadError),
    /// The ledger did not take the event.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// Its key cannot be destroyed.
    #[error("store")]
    Store(#[from] crate::store::StoreError),
}

impl Ledger {
    /// Opens an item.
    ///
    /// # Errors
    /// [`QuarantineError::NotAnItem`] when the entry at `position` is something else.
    pub async fn item(&self, position: u64) -> Result<Item, QuarantineError> {
        let opened = self.open_entry(position).await?;
        if opened.entry.event_type != "quarantine.received" {
            return Err(QuarantineError::NotAnItem(position));
        }
        let raw = opened.plaintext(PartKind::Raw).map(Bytes::copy_from_slice);
        let problems = match &raw {
            Some(raw) => self.problems_of(raw.clone()),
            None => Vec::new(),
        };
        Ok(Item { item: opened.entry.event, position, raw, problems })
    }

    fn problems_of(&self, raw: Bytes) -> Vec<FieldProblem> {
        let nobody = PrincipalId::from_bytes([0; 16]);
        let options =
            SubmitOptions { actor: nobody, strict: false, dry_run: true, now: None, service: false, closing: None };
        let accepted = self.accept_all(&[Received { raw }], &options);
        accepted.into_iter().find_map(Result::err).map_or_else(Vec::new, |rejected| rejected.problems)
    }

    /// Posts an item again as it is (`fixed` is `None`) or in a corrected form. If it is recorded now, the item is closed by
    /// an entry directly behind the event; if not, it stays where it is and the reasons are returned.
    ///
    /// # Errors
    /// [`QuarantineError::Gone`] when there is nothing left to replay.
    pub async fn item_replay(
        &self,
        position: u64,
        fixed: Option<Bytes>,
        actor: PrincipalId,
    ) -> Result<Outcome, QuarantineError> {
        let item = self.item(position).await?;
        let event_type = if fixed.is_some() { "quarantine.fixed" } else { "quarantine.replayed" };
        // What was discarded stays discarded, whatever form it is offered in.
        let received = item.raw.ok_or(QuarantineError::Gone(position))?;
        let raw = fixed.unwrap_or(received);
        let problems = self.problems_of(raw.clone());
        if !problems.is_empty() {
            return Ok(Outcome::DryRun { status: "quarantined", problems });
        }
        let closing = Some(Closing { item: item.item, position, event_type });
        let options = SubmitOptions { actor, strict: false, dry_run: false, now: None, service: false, closing };
        let outcomes = self.submit(vec![Received { raw }], options).await?;
        outcomes.into_iter().next().ok_or(QuarantineError::Submit(SubmitError::Stopping))
    }

    /// Discards an item for a reason: an entry says so, then its key and bytes are destroyed.
    ///
    /// # Errors
    /// What the ledger or the vault refuses.
    pub async fn item_discard(
        &self,
        position: u64,
        reason: &str,
        actor: PrincipalId,
    ) -> Result<Receipt, QuarantineError> {
        let item = self.item(position).await?;
        let entry = self.store().entry_at(position).await?.ok_or(ReadError::Absent(position))?;
        let decoded = EntryRef::decode(&entry).map_err(|source| ReadError::Entry { position, source })?;
        let raw = (0u8..).zip(decoded.parts()).find(|(_, part)| part.kind == PartKind::Raw);
        let Some((part_no, part)) = raw else { return Err(QuarantineError::NotAnItem(position)) };
        let key = part.key.map(|key| key.to_string()).unwrap_or_default();
        let data = json!({ "item": position, "reason": reason, "key": key });
        // The entry first: a crash after it leaves bytes that the entry already covers, never a silent gap.
        let receipt = self.record_own("quarantine.discarded", None, data, actor, None).await?;
        let slot = slot_of(&decoded, &part);
        let store = self.store();
        store.dek_delete(&slot).await?;
        self.deks.evict_owner(item.item.as_bytes());
        store.payload_delete(position, part_no).await?;
        Ok(receipt)
    }
}
