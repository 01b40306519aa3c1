//! One range of a ledger: its rows read, then checked off the async threads.

use std::collections::HashMap;
use std::sync::Arc;

use super::VerifyError;
use super::keys::PartKeys;
use super::missing::Missing;
use crate::chain::entry::{EntryRef, Part};
use crate::chain::segment::{Segment, SegmentVerifier};
use crate::crypto::derive::Dek;
use crate::domain::ids::LedgerId;
use crate::domain::parts::PartKind;
use crate::exports::covers::{cover_of, is_cover_type};
use crate::exports::log_keys::{LogKeyError, LogKeys, is_key_type};
use crate::exports::parts::{check_digest, open_part};
use crate::exports::report::Findings;
use crate::ingest::read::slot_of;
use crate::runtime::Tasks;
use crate::store::{DekSlot, RowBlock, Store};

pub(super) struct RangeReader {
    pub(super) store: Store,
    pub(super) tasks: Tasks,
    pub(super) keys: Option<Arc<dyn PartKeys>>,
    pub(super) entries_only: bool,
}

/// Dedupe, subject and sequence as Postgres keeps them beside an entry.
type Beside = (Vec<u8>, Option<Vec<u8>>, Option<i64>);

/// What a range shows by itself.
pub(super) struct RangeFound {
    pub(super) segment: Segment,
    /// Where the range ends: further on than its segment if its last rows are missing.
    pub(super) end: u64,
    pub(super) findings: Findings,
    pub(super) missing: Missing,
    pub(super) log_keys: Vec<NamedKeys>,
    pub(super) opened: u64,
    pub(super) parts: u64,
}

/// An entry that names keys of the log.
pub(super) struct NamedKeys {
    pub(super) position: u64,
    entry: Vec<u8>,
    public: Vec<u8>,
}

impl NamedKeys {
    pub(super) fn take(&self, keys: &mut LogKeys) -> Result<(), LogKeyError> {
        let entry = EntryRef::decode(&self.entry).map_err(|_| LogKeyError::Form)?;
        keys.take(&entry, &self.public)
    }
}

type Entries = RowBlock<u64>;
type Parts = RowBlock<(u64, u8)>;
/// What stands beside the entries, by position.
type Columns = HashMap<u64, Beside>;
type Deks = HashMap<DekSlot, Dek>;

impl RangeReader {
    /// Reads and checks the entries of `[first, end)`.
    pub(super) async fn check(&self, first: u64, end: u64) -> Result<RangeFound, VerifyError> {
        let ledger = self.store.ledger();
        let entries = self.store.entry_block(first, end).await?;
        if self.entries_only {
            let work = move || entries_found(ledger, first, end, &entries);
            let (mut found, naming) = self.tasks.spawn_blocking(work).await.map_err(cut)?;
            self.named_keys(&mut found, naming).await?;
            return Ok(found);
        }
        let parts = self.store.payload_block(first, end).await?;
        let columns = self.store.entry_columns(first, end).await?;
        let columns: Columns = columns
            .into_iter()
            .map(|(position, dedupe, subject, sequence)| (position, (dedupe, subject, sequence)))
            .collect();
        let Some(keys) = &self.keys else {
            let work = move || range_found(ledger, (first, end), &entries, &parts, &columns, None);
            return self.tasks.spawn_blocking(work).await.map_err(cut);
        };
        let (entries, slots) = self.tasks.spawn_blocking(move || slots_of(entries)).await.map_err(cut)?;
        let found = keys.find(&slots).await?;
        let deks = slots.into_iter().zip(found).filter_map(|(slot, dek)| Some((slot, dek?))).collect();
        let work = move || range_found(ledger, (first, end), &entries, &parts, &columns, Some(&deks));
        self.tasks.spawn_blocking(work).await.map_err(cut)
    }
}

impl RangeReader {
    /// The public parts that name keys of the log: checkpoints cannot be checked without them, whatever else is left alone.
    async fn named_keys(&self, found: &mut RangeFound, naming: Vec<(u64, Vec<u8>)>) -> Result<(), VerifyError> {
        for (position, entry) in naming {
            let stored = self.store.payloads_of(position).await?;
            let stored = stored.into_iter().find(|(number, _)| *number == 0).map(|(_, bytes)| bytes);
            let part = EntryRef::decode(&entry).ok().and_then(|entry| entry.parts().next());
            let public = part.filter(|part| part.kind == PartKind::Public).zip(stored);
            let Some((part, public)) = public else {
                found.findings.at(position, "part 0: the public part is missing");
                continue;
            };
            match check_digest(&part, &public) {
                Ok(()) => found.log_keys.push(NamedKeys { position, entry, public }),
                Err(error) => found.findings.at(position, format_args!("part 0: {error}")),
            }
        }
        Ok(())
    }
}

fn cut(_: tokio::task::JoinError) -> VerifyError {
    VerifyError::Cut
}

/// The slots of all sealed parts, each once.
fn slots_of(entries: Entries) -> (Entries, Vec<DekSlot>) {
    let decoded = entries.iter().filter_map(|(_, bytes)| EntryRef::decode(bytes).ok());
    let sealed = |entry: EntryRef<'_>| {
        let slots: Vec<_> =
            entry.parts().filter(|part| part.key.is_some()).map(|part| slot_of(&entry, &part)).collect();
        slots
    };
    let mut slots: Vec<DekSlot> = decoded.flat_map(sealed).collect();
    slots.sort_unstable();
    slots.dedup();
    (entries, slots)
}

/// What the entries alone show, and those of them that name keys of the log.
fn entries_found(ledger: LedgerId, first: u64, end: u64, entries: &Entries) -> (RangeFound, Vec<(u64, Vec<u8>)>) {
    let range = Range::new(std::iter::empty(), None);
    let mut segment = SegmentVerifier::new(ledger, first);
    let mut naming = Vec::new();
    for (position, bytes) in entries.iter() {
        let Ok((entry, _)) = segment.feed(position, bytes) else { break };
        if is_key_type(entry.event_type) {
            naming.push((position, bytes.to_vec()));
        }
    }
    (range.found(segment.finish(), end), naming)
}

fn range_found(
    ledger: LedgerId,
    (first, end): (u64, u64),
    entries: &Entries,
    parts: &Parts,
    columns: &Columns,
    deks: Option<&Deks>,
) -> RangeFound {
    let mut range = Range::new(parts.iter(), deks);
    let mut segment = SegmentVerifier::new(ledger, first);
    for (position, bytes) in entries.iter() {
        match segment.feed(position, bytes) {
            Ok((entry, _)) => {
                range.columns(&entry, columns.get(&position));
                range.entry(&entry, bytes);
            }
            // What the rest of the rows belong to cannot be said any more.
            Err(_) => return range.found(segment.finish(), end),
        }
    }
    let segment = segment.finish();
    if segment.next() == end {
        range.stray_rows();
    }
    range.found(segment, end)
}

struct Range<'r, R: Iterator<Item = ((u64, u8), &'r [u8])>> {
    rows: std::iter::Peekable<R>,
    deks: Option<&'r Deks>,
    findings: Findings,
    missing: Missing,
    log_keys: Vec<NamedKeys>,
    opened: u64,
    parts: u64,
}

impl<'r, R: Iterator<Item = ((u64, u8), &'r [u8])>> Range<'r, R> {
    fn new(rows: R, deks: Option<&'r Deks>) -> Range<'r, R> {
        Range {
            rows: rows.peekable(),
            deks,
            findings: Findings::default(),
            missing: Missing::default(),
            log_keys: Vec::new(),
            opened: 0,
            parts: 0,
        }
    }

    /// Holds an entry's parts against the rows, which come in the same order.
    fn entry(&mut self, entry: &EntryRef<'_>, bytes: &[u8]) {
        let position = entry.position;
        for (number, part) in (0_u8..).zip(entry.parts()) {
            while let Some(((stray, row_part), _)) = self.rows.next_if(|(row, _)| *row < (position, number)) {
                self.findings.at(stray, format_args!("part {row_part}: stored, but no entry names it"));
            }
            let stored = self.rows.next_if(|(row, _)| *row == (position, number));
            match (stored, part.key) {
                (Some((_, stored)), _) => self.stored_part(entry, bytes, number, &part, stored),
                (None, Some(key)) => self.missing.part(key, part.class, position, number),
                (None, None) => self.findings.at(position, format_args!("part {number}: the public part is missing")),
            }
        }
    }

    fn stored_part(&mut self, entry: &EntryRef<'_>, bytes: &[u8], number: u8, part: &Part, stored: &[u8]) {
        let position = entry.position;
        self.parts += 1;
        if let Err(error) = check_digest(part, stored) {
            return self.findings.at(position, format_args!("part {number}: {error}"));
        }
        if part.kind == PartKind::Public {
            return self.public_part(entry, bytes, stored);
        }
        let (Some(deks), Some(key)) = (self.deks, part.key) else { return };
        match deks.get(&slot_of(entry, part)).filter(|dek| dek.id() == key) {
            None => self.missing.part(key, part.class, position, number),
            Some(dek) => match open_part(entry, number, part, &dek.part_secret(&entry.event, number), stored) {
                Ok(_) => {
                    self.opened += 1;
                    self.missing.opened(key);
                }
                Err(error) => self.findings.at(position, format_args!("part {number}: {error}")),
            },
        }
    }

    /// Public parts that this verification itself depends on.
    fn public_part(&mut self, entry: &EntryRef<'_>, bytes: &[u8], public: &[u8]) {
        if is_cover_type(entry.event_type) {
            match cover_of(entry.event_type, public) {
                Ok(cover) => self.missing.cover(entry.position, &cover),
                Err(error) => self.findings.at(entry.position, error),
            }
        }
        if is_key_type(entry.event_type) {
            self.log_keys.push(NamedKeys { position: entry.position, entry: bytes.to_vec(), public: public.to_vec() });
        }
    }

    /// What stands beside an entry says what the entry says: it is what refuses a second copy of an event.
    fn columns(&mut self, entry: &EntryRef<'_>, columns: Option<&Beside>) {
        let Some((dedupe, subject, sequence)) = columns else { return };
        let link = entry.subject.map(|link| (link.subject.as_bytes().to_vec(), i64::try_from(link.sequence).ok()));
        let agrees = *dedupe == entry.dedupe
            && subject.as_ref() == link.as_ref().map(|(subject, _)| subject)
            && *sequence == link.as_ref().and_then(|(_, sequence)| *sequence);
        if !agrees {
            self.findings.at(entry.position, "the columns beside the entry do not say what it says");
        }
    }

    fn stray_rows(&mut self) {
        for ((position, part), _) in self.rows.by_ref() {
            self.findings.at(position, format_args!("part {part}: stored, but no entry names it"));
        }
    }

    fn found(self, segment: Segment, end: u64) -> RangeFound {
        let Range { findings, missing, log_keys, opened, parts, .. } = self;
        RangeFound { segment, end, findings, missing, log_keys, opened, parts }
    }
}
