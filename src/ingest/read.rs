//! Reading back: entries with what of them can still be opened. Opening is for readers with a right to it; nothing here
//! checks that right, the layers above do.

use std::collections::HashMap;

use bytes::Bytes;

use super::data_keys::DataKeyError;
use super::ledger::{Ledger, RawFact};
use crate::chain::decode::EntryRef;
use crate::chain::entry::{Entry, EntryError, Part};
use crate::crypto::derive::{Dek, PartSecret};
use crate::crypto::seal::{PartContext, SUITE_NONE, SealError, open};
use crate::domain::parts::{PartKind, RetentionClass};
use crate::domain::time::{Quarter, Timestamp};
use crate::store::{DekSlot, NO_OWNER, StoreError, WholeEntry};

/// Entries that are opened on the thread that asks; more would keep others waiting behind it.
const OPENED_HERE_MAX: usize = 64;

/// Why something cannot be read back.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The store failed.
    #[error("store")]
    Store(#[from] StoreError),
    /// The vault or keyring failed.
    #[error("keys")]
    Keys(#[from] DataKeyError),
    /// A stored entry is not an entry.
    #[error("entry {position} cannot be decoded")]
    Entry {
        /// Where.
        position: u64,
        /// Why.
        source: EntryError,
    },
    /// A stored part does not open under the key that its entry names: it was altered or moved.
    #[error("part {part} of entry {position} does not open")]
    Part {
        /// Where.
        position: u64,
        /// Which part.
        part: u8,
        /// Why.
        source: SealError,
    },
    /// There is no such entry.
    #[error("there is no entry {0}")]
    Absent(u64),
}

/// A part of an entry as far as it can be opened.
#[derive(Debug, Clone)]
pub struct OpenedPart {
    /// What the entry says of it.
    pub part: Part,
    /// Stored bytes; `None` when retention or erasure removed them.
    pub sealed: Option<Vec<u8>>,
    /// Plaintext; `None` when bytes or key are gone.
    pub plaintext: Option<Vec<u8>>,
    /// The part's secret S, to disclose it in a bundle; `None` for public parts and where the key is gone.
    pub secret: Option<[u8; 32]>,
}

/// An entry with its parts.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The entry.
    pub entry: Entry,
    /// Its stored bytes.
    pub bytes: Vec<u8>,
    /// Its parts in order.
    pub parts: Vec<OpenedPart>,
}

impl Opened {
    /// Plaintext of the first part of a kind.
    pub fn plaintext(&self, kind: PartKind) -> Option<&[u8]> {
        self.parts.iter().find(|part| part.part.kind == kind).and_then(|part| part.plaintext.as_deref())
    }
}

/// Which key seals a part of an entry: the vault's slot for it.
pub fn slot_of(entry: &EntryRef<'_>, part: &Part) -> DekSlot {
    let owner = match part.kind {
        PartKind::Public | PartKind::Business => NO_OWNER,
        // An item's bytes have a key of their own, named by the event.
        PartKind::Raw if part.class == RetentionClass::Quarantine => *entry.event.as_bytes(),
        PartKind::Personal | PartKind::Raw => entry.subject.map_or(NO_OWNER, |link| *link.subject.as_bytes()),
    };
    DekSlot { owner, class: part.class.code(), quarter: Quarter::of(entry.recorded).ordinal() }
}

/// Plaintext of a part, and its secret where it was sealed.
type Clear = (Vec<u8>, Option<[u8; 32]>);

fn open_part(
    entry: &EntryRef<'_>,
    part_no: u8,
    part: &Part,
    dek: Option<&Dek>,
    sealed: &[u8],
) -> Result<Option<Clear>, SealError> {
    if part.suite == SUITE_NONE {
        return Ok(Some((sealed.to_vec(), None)));
    }
    let (Some(dek), Some(key), Some(commitment)) = (dek, part.key.as_ref(), part.commitment.as_ref()) else {
        return Ok(None);
    };
    if dek.id() != *key {
        // A key minted after the entry's was destroyed opens nothing.
        return Ok(None);
    }
    let secret: PartSecret = dek.part_secret(&entry.event, part_no);
    let subject = entry.subject.map(|link| link.subject);
    let context = PartContext {
        ledger: &entry.ledger,
        event: &entry.event,
        event_type: entry.event_type,
        schema: &entry.schema,
        subject: subject.as_ref(),
        part_no,
        class: part.class,
        key,
    };
    let plaintext = open(&secret, &context, commitment, sealed)?;
    Ok(Some((plaintext.to_vec(), Some(secret.disclose()))))
}

/// An entry as stored, with those of its parts that are to be opened.
struct StoredEntry {
    position: u64,
    bytes: Vec<u8>,
    stored: HashMap<u8, Vec<u8>>,
}

fn open_one<'a>(of: StoredEntry, key: impl Fn(&DekSlot) -> Option<&'a Dek>) -> Result<Opened, ReadError> {
    let StoredEntry { position, bytes, mut stored } = of;
    let entry = EntryRef::decode(&bytes).map_err(|source| ReadError::Entry { position, source })?;
    let mut parts = Vec::new();
    for (part_no, part) in (0u8..).zip(entry.parts()) {
        let sealed = stored.remove(&part_no);
        let opened = match &sealed {
            None => None,
            Some(sealed) => open_part(&entry, part_no, &part, key(&slot_of(&entry, &part)), sealed)
                .map_err(|source| ReadError::Part { position, part: part_no, source })?,
        };
        let (plaintext, secret) = opened.map_or((None, None), |(plaintext, secret)| (Some(plaintext), secret));
        parts.push(OpenedPart { part, sealed, plaintext, secret });
    }
    let entry = entry.to_entry();
    Ok(Opened { entry, bytes, parts })
}

impl Ledger {
    /// The first position recorded at or after an instant; the size of the log where there is none. Recorded time never
    /// goes back, so halving finds it.
    ///
    /// # Errors
    /// When an entry cannot be read.
    pub async fn position_recorded_from(&self, at: Timestamp) -> Result<u64, ReadError> {
        let store = self.store();
        let (mut low, mut high) = (0, self.size());
        while low < high {
            let middle = low + (high - low) / 2;
            let bytes = store.entry_at(middle).await?.ok_or(ReadError::Absent(middle))?;
            let entry = EntryRef::decode(&bytes).map_err(|source| ReadError::Entry { position: middle, source })?;
            if entry.recorded < at { low = middle + 1 } else { high = middle }
        }
        Ok(low)
    }

    async fn keys_of(&self, slots: &[DekSlot]) -> Result<Vec<Option<Dek>>, DataKeyError> {
        self.deks.find(&self.store(), &self.keyring, &self.clock, slots).await
    }

    /// One entry and what of it can be opened.
    ///
    /// # Errors
    /// [`ReadError::Absent`] past the end; [`ReadError::Part`] when stored bytes were altered.
    pub async fn open_entry(&self, position: u64) -> Result<Opened, ReadError> {
        let store = self.store();
        let (bytes, stored) = store.entry_with_parts(position).await?.ok_or(ReadError::Absent(position))?;
        self.open_single(position, bytes, stored).await
    }

    /// Entries of `[first, end)` with those parts opened that are `wanted`; the others look as if their bytes were gone.
    ///
    /// # Errors
    /// As [`Ledger::open_entry`].
    pub async fn open_range(
        &self,
        first: u64,
        end: u64,
        wanted: impl Fn(&EntryRef<'_>, &Part) -> bool,
    ) -> Result<Vec<Opened>, ReadError> {
        let store = self.store();
        let mut stored = store.payloads_from(first, end).await?.into_iter().peekable();
        let mut all = Vec::new();
        for (position, bytes) in store.entries_from(first, end).await? {
            let entry = EntryRef::decode(&bytes).map_err(|source| ReadError::Entry { position, source })?;
            let asked: Vec<bool> = entry.parts().map(|part| wanted(&entry, &part)).collect();
            let mut own = HashMap::new();
            while let Some((_, part, sealed)) = stored.next_if(|(at, ..)| *at <= position) {
                if asked.get(usize::from(part)) == Some(&true) {
                    own.insert(part, sealed);
                }
            }
            all.push(StoredEntry { position, bytes, stored: own });
        }
        self.open_stored(all).await
    }

    /// Entries at the given positions, in the order asked, with those parts opened that are `wanted`; the others look as if their
    /// bytes were gone.
    ///
    /// # Errors
    /// As [`Ledger::open_entry`].
    pub async fn open_entries(
        &self,
        positions: &[u64],
        wanted: impl Fn(&EntryRef<'_>, &Part) -> bool + Clone + Send + 'static,
    ) -> Result<Vec<Opened>, ReadError> {
        let asked = move |bytes: &[u8]| -> Vec<u8> {
            // What cannot be decoded is found out below, where that can be said.
            let Ok(entry) = EntryRef::decode(bytes) else { return Vec::new() };
            (0u8..).zip(entry.parts()).filter(|(_, part)| wanted(&entry, part)).map(|(part_no, _)| part_no).collect()
        };
        let found = self.store().entries_with_parts(positions, asked).await?;
        let found: HashMap<u64, WholeEntry> = found.into_iter().collect();
        let mut all = Vec::with_capacity(positions.len());
        for position in positions {
            let (bytes, parts) = found.get(position).cloned().ok_or(ReadError::Absent(*position))?;
            all.push(StoredEntry { position: *position, bytes, stored: parts.into_iter().collect() });
        }
        self.open_stored(all).await
    }

    async fn open_single(
        &self,
        position: u64,
        bytes: Vec<u8>,
        stored: Vec<(u8, Vec<u8>)>,
    ) -> Result<Opened, ReadError> {
        let stored = StoredEntry { position, bytes, stored: stored.into_iter().collect() };
        self.open_stored(vec![stored]).await?.pop().ok_or(ReadError::Absent(position))
    }

    /// Opens what was read; the keys of all are asked for at once.
    async fn open_stored(&self, all: Vec<StoredEntry>) -> Result<Vec<Opened>, ReadError> {
        let mut slots: Vec<DekSlot> = Vec::new();
        for StoredEntry { position, bytes, stored } in &all {
            let entry = EntryRef::decode(bytes).map_err(|source| ReadError::Entry { position: *position, source })?;
            // A part whose bytes are not there needs no key.
            let there = (0u8..).zip(entry.parts()).filter(|(part_no, _)| stored.contains_key(part_no));
            slots.extend(there.map(|(_, part)| slot_of(&entry, &part)));
        }
        slots.sort_unstable();
        slots.dedup();
        let deks = self.keys_of(&slots).await?;
        let many = all.len() > OPENED_HERE_MAX;
        let open_all = move || {
            let key = |slot: &DekSlot| slots.binary_search(slot).ok().and_then(|at| deks.get(at)?.as_ref());
            all.into_iter().map(|stored| open_one(stored, key)).collect()
        };
        if !many {
            return open_all();
        }
        self.tasks.spawn_blocking(open_all).await.map_err(|_cut| StoreError::Closed)?
    }

    /// The bytes of an event as it was received, while they exist.
    pub(super) async fn raw_of(&self, position: u64, entry: &[u8]) -> Result<Option<Bytes>, ReadError> {
        let stored = self.store().payloads_of(position).await?;
        let opened = self.open_single(position, entry.to_vec(), stored).await?;
        Ok(opened.plaintext(PartKind::Raw).map(Bytes::copy_from_slice))
    }

    /// Entries of `[first, end)` with their opened business or public parts, as far as they exist.
    ///
    /// # Errors
    /// A part that does not open is an error, not an absence: somebody altered it.
    pub async fn facts(&self, first: u64, end: u64) -> Result<Vec<RawFact>, ReadError> {
        let store = self.store();
        let entries = store.entries_from(first, end).await?;
        let mut payloads = store.first_parts_from(first, end).await?;
        let mut slots: Vec<DekSlot> = Vec::new();
        let mut behind: Vec<u64> = Vec::new();
        let mut decoded = Vec::with_capacity(entries.len());
        for (position, bytes) in &entries {
            let entry = EntryRef::decode(bytes).map_err(|source| ReadError::Entry { position: *position, source })?;
            for (part_no, part) in entry.parts().enumerate().filter(|(_, part)| part.kind == PartKind::Business) {
                let slot = slot_of(&entry, &part);
                if !slots.contains(&slot) {
                    slots.push(slot);
                }
                // Behind a public part: what comes of it is read besides.
                behind.extend((part_no > 0).then_some(*position));
            }
            decoded.push(entry);
        }
        if !behind.is_empty() {
            payloads.retain(|(position, ..)| behind.binary_search(position).is_err());
            for position in behind {
                let parts = store.payloads_of(position).await?;
                payloads.extend(parts.into_iter().map(|(part, sealed)| (position, part, sealed)));
            }
            payloads.sort_unstable_by_key(|(position, part, _)| (*position, *part));
        }
        let deks: Vec<Option<Dek>> = self.keys_of(&slots).await?;
        let key = |slot: &DekSlot| slots.iter().position(|known| known == slot).and_then(|at| deks.get(at)?.as_ref());
        let mut rest = payloads.into_iter().peekable();
        let mut business = Vec::with_capacity(decoded.len());
        for entry in &decoded {
            let mut found = None;
            while let Some((_, part_no, sealed)) = rest.next_if(|(position, ..)| *position <= entry.position) {
                let Some(part) = entry.parts().nth(usize::from(part_no)) else { continue };
                if !matches!(part.kind, PartKind::Public | PartKind::Business) {
                    continue;
                }
                found = open_part(entry, part_no, &part, key(&slot_of(entry, &part)), &sealed)
                    .map_err(|source| ReadError::Part { position: entry.position, part: part_no, source })?
                    .map(|(plaintext, _)| plaintext);
            }
            business.push(found);
        }
        drop(decoded);
        Ok(entries
            .into_iter()
            .zip(business)
            .map(|((position, entry), business)| RawFact { position, entry, business })
            .collect())
    }
}
