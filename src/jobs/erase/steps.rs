//! The steps of an erasure up to the empty write-ahead log: those that cost the same for one person and for a thousand run
//! once. Each may run twice.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::EraseError;
use super::items::{open_items, replay_fenced};
use super::journal::{DoomedKey, Erasure, Journal, State};
use super::person::Person;
use super::plan::plan;
use super::run::{EraseOptions, Progress, Step, Told, copy_out, destroy, journal_error};
use crate::domain::ids::{EventId, KeyId, SubjectId};
use crate::domain::time::Timestamp;
use crate::ingest::Ledger;
use crate::ingest::erasure::token_data;
use crate::policy::rights::Rights;

/// Own entries that one request to the lane carries.
const ENTRIES_AT_ONCE: usize = 200;
/// Rows that one statement deletes.
pub(super) const ROWS_AT_ONCE: usize = 2_000;
/// Tries to empty the write-ahead log, and the pause between two.
const WAL_TRIES: u32 = 100;
const WAL_PAUSE: Duration = Duration::from_millis(50);

/// Erasures on their way.
pub(super) struct Run<'a> {
    pub(super) ledger: &'a Arc<Ledger>,
    pub(super) journal: Journal,
    pub(super) options: &'a EraseOptions,
    pub(super) now: Timestamp,
    pub(super) told: Told<'a>,
    pub(super) going: Vec<Erasure>,
}

impl Run<'_> {
    pub(super) async fn all(&mut self) -> Result<(), EraseError> {
        self.ends(Step::Planned)?;
        let begun = self.ledger.size();
        self.fence().await?;
        self.ends(Step::Fenced)?;
        let people = self.people().await?;
        self.tokens(&people).await?;
        self.ends(Step::Tokens)?;
        self.list(&people).await?;
        self.ends(Step::Listed)?;
        self.destroy_keys().await?;
        self.ends(Step::Destroyed)?;
        self.remove(&people).await?;
        self.ends(Step::Removed)?;
        self.forget(&people).await?;
        self.ends(Step::Forgotten)?;
        self.empty().await?;
        self.ends(Step::Emptied)?;
        self.record(&people).await?;
        self.ends(Step::Recorded)?;
        let fences = people.values().flat_map(|person| person.fences.iter().map(|(.., position)| *position));
        let first = fences.min().unwrap_or(begun);
        replay_fenced(self.ledger, first, self.options.actor, self.now).await?;
        self.ends(Step::Replayed)?;
        self.finish().await
    }

    /// Says that a step is over; where the run was asked to stop there, it does.
    fn ends(&self, step: Step) -> Result<(), EraseError> {
        (self.told)(Progress { step, done: self.going.len(), of: self.going.len() });
        if self.options.stop_after == Some(step) { Err(EraseError::Stopped(step)) } else { Ok(()) }
    }

    pub(super) fn save(&self, erasure: &Erasure) -> Result<(), EraseError> {
        self.journal.save(erasure).map_err(journal_error(&self.journal))
    }

    /// Everybody, read behind the fence: nothing can be added to them any more.
    async fn people(&self) -> Result<BTreeMap<EventId, Person>, EraseError> {
        let mut people = BTreeMap::new();
        for (done, erasure) in self.going.iter().enumerate() {
            let mut whole = Person::default();
            for subject in &erasure.subjects {
                // A merge may be undone meanwhile; what the fence named is what is erased.
                let person = Person::read(self.ledger, *subject).await?;
                whole.subjects.push(*subject);
                whole.parts.extend(person.parts.iter().filter(|part| part.slot.owner == *subject.as_bytes()));
                whole.identifiers.extend(person.identifiers);
                whole.holds.extend(person.holds);
                whole.fences.extend(person.fences.iter().filter(|(_, of, _)| of == subject));
                whole.erased.extend(person.erased.iter().filter(|(_, of)| of == subject));
                whole.tokens.extend(person.tokens);
            }
            people.insert(erasure.erasure, whole);
            (self.told)(Progress { step: Step::Tokens, done, of: self.going.len() });
        }
        Ok(people)
    }

    async fn fence(&mut self) -> Result<(), EraseError> {
        let mut events: Vec<(&str, Option<SubjectId>, Value)> = Vec::new();
        for erasure in &self.going {
            for subject in &erasure.subjects {
                let person = Person::read(self.ledger, *subject).await?;
                if person.fences.iter().any(|(id, of, _)| (id, of) == (&erasure.erasure, subject)) {
                    continue;
                }
                let planned = plan(self.ledger, &person, self.now).await?;
                let (held, lawful) = planned.kept_classes();
                let tokens: Vec<String> = person
                    .identifiers
                    .iter()
                    .filter_map(|found| self.ledger.suppression_token(found))
                    .map(|token| data_encoding::HEXLOWER.encode(&token))
                    .collect();
                let mut data = json!({
                    "erasure": erasure.erasure, "basis": erasure.basis, "subjects": erasure.subjects,
                    "held_classes": held, "kept_classes": lawful, "tokens": tokens,
                });
                if let (Some(request), Value::Object(data)) = (&erasure.request, &mut data) {
                    data.insert("request".to_owned(), Value::String(request.clone()));
                }
                events.push(("subject.erasure_started", Some(*subject), data));
            }
        }
        self.say(events).await.map(|_| ())
    }

    pub(super) async fn say(&self, events: Vec<(&str, Option<SubjectId>, Value)>) -> Result<Vec<u64>, EraseError> {
        let mut positions = Vec::with_capacity(events.len());
        let mut events = events.into_iter().peekable();
        while events.peek().is_some() {
            let some: Vec<_> = events.by_ref().take(ENTRIES_AT_ONCE).collect();
            let receipts = self.ledger.record_own_all(some, self.options.actor, self.options.now).await?;
            positions.extend(receipts.into_iter().map(|receipt| receipt.position));
        }
        Ok(positions)
    }

    async fn tokens(&self, people: &BTreeMap<EventId, Person>) -> Result<(), EraseError> {
        if !Rights::builtin()?.suppress() {
            return Ok(());
        }
        let mut known: BTreeSet<[u8; 32]> = BTreeSet::new();
        let mut events = Vec::new();
        for erasure in &self.going {
            let reason = if erasure.basis == "delete_act" { "drop" } else { "erased" };
            for identifier in people.get(&erasure.erasure).into_iter().flat_map(|person| &person.identifiers) {
                let Some(token) = self.ledger.suppression_token(identifier) else { continue };
                if known.insert(token) && !self.ledger.is_suppressed(identifier)? {
                    let data = token_data(self.ledger, identifier.kind, &token, reason);
                    events.push(("suppression.token_kept", None, data));
                }
            }
        }
        self.say(events).await.map(|_| ())
    }

    async fn list(&mut self, people: &BTreeMap<EventId, Person>) -> Result<(), EraseError> {
        if self.going.iter().all(|erasure| erasure.state == State::Listed) {
            return Ok(());
        }
        let fences = people.values().flat_map(|person| person.fences.iter().map(|(.., position)| *position));
        let fence = fences.min().unwrap_or_else(|| self.ledger.size());
        let items = open_items(self.ledger, None, fence, self.now).await?;
        let epoch = self.ledger.kek_epoch();
        let irrecoverable_on = Rights::builtin()?.irrecoverable_on(self.now);
        let mut going = std::mem::take(&mut self.going);
        for erasure in going.iter_mut().filter(|erasure| erasure.state != State::Listed) {
            let Some(person) = people.get(&erasure.erasure) else { continue };
            let planned = plan(self.ledger, person, self.now).await?;
            let named = |found: &&super::items::Found| erasure.subjects.iter().any(|own| found.names.contains(own));
            erasure.items = items.iter().filter(named).map(|found| found.item).collect();
            // Keys of an earlier run of the same erasure stay named: what they sealed may have come back with a restore.
            for key in planned.keys.into_iter().chain(erasure.items.iter().map(|item| item.key)) {
                if !erasure.keys.contains(&key) {
                    erasure.keys.push(key);
                }
            }
            erasure.kept = planned.kept;
            erasure.tokens = planned.suppressed;
            erasure.request = None;
            erasure.kek_epoch = epoch;
            erasure.irrecoverable_on.clone_from(&irrecoverable_on);
            erasure.state = State::Listed;
            self.save(erasure)?;
            if let Some(archive) = &self.options.archive {
                copy_out(archive, erasure).await?;
            }
        }
        self.going = going;
        Ok(())
    }

    async fn destroy_keys(&self) -> Result<(), EraseError> {
        let keys: Vec<DoomedKey> = self.going.iter().flat_map(|erasure| erasure.keys.iter().copied()).collect();
        destroy(self.ledger, &keys).await?;
        let mut left = 0;
        let doomed: HashSet<KeyId> = keys.iter().map(|key| key.key).collect();
        for owner in keys.iter().map(|key| key.owner).collect::<BTreeSet<SubjectId>>() {
            let there = self.ledger.store().deks_of(owner.as_bytes()).await?;
            left += there.iter().filter(|(_, row)| doomed.contains(&row.key)).count();
        }
        if left == 0 { Ok(()) } else { Err(EraseError::KeysLeft(left)) }
    }

    async fn remove(&self, people: &BTreeMap<EventId, Person>) -> Result<(), EraseError> {
        let mut rows: Vec<(u64, u8)> = Vec::new();
        for erasure in &self.going {
            let doomed: HashSet<KeyId> = erasure.keys.iter().map(|key| key.key).collect();
            let parts = people.get(&erasure.erasure).into_iter().flat_map(|person| &person.parts);
            rows.extend(parts.filter(|part| doomed.contains(&part.key)).map(|part| (part.position, part.part)));
            rows.extend(erasure.items.iter().map(|item| (item.position, item.part)));
        }
        rows.sort_unstable();
        for rows in rows.chunks(ROWS_AT_ONCE) {
            self.ledger.store().payloads_delete(rows).await?;
        }
        Ok(())
    }

    async fn forget(&self, people: &BTreeMap<EventId, Person>) -> Result<(), EraseError> {
        let subjects: Vec<SubjectId> = self.going.iter().flat_map(|erasure| erasure.subjects.clone()).collect();
        let tokens: BTreeSet<[u8; 32]> = people.values().flat_map(|person| person.tokens.iter().copied()).collect();
        let tokens: Vec<[u8; 32]> = tokens.into_iter().collect();
        self.ledger.index_forget(&subjects, &tokens).await?;
        Ok(())
    }

    async fn empty(&self) -> Result<(), EraseError> {
        // Once more: a reader that had asked the vault just before may have remembered a key just after.
        let keys = self.going.iter().flat_map(|erasure| &erasure.keys);
        self.ledger.keys_forget(&keys.map(DoomedKey::slot).collect::<Vec<_>>());
        for _ in 0..WAL_TRIES {
            if self.ledger.store().wal_emptied().await? {
                tokio::time::sleep(self.options.settle).await;
                return Ok(());
            }
            tokio::time::sleep(WAL_PAUSE).await;
        }
        Err(EraseError::WalBusy)
    }
}
