//! Carrying erasures out, many at once: the steps that cost the same for one person and for a thousand run once.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::items::{open_items, replay_fenced};
use super::journal::{DoomedKey, Erasure, FORMAT, Journal, State};
use super::person::Person;
use super::plan::{Plan, plan};
use super::{BASES, EraseError};
use crate::blob::Archive;
use crate::domain::ids::{EventId, KeyId, PrincipalId, SubjectId, uuid_v7};
use crate::domain::time::{Quarter, Timestamp};
use crate::ingest::Ledger;
use crate::ingest::erasure::{Standing, token_data};
use crate::policy::rights::Rights;
use crate::store::DekSlot;

/// Own entries that one request to the lane carries.
const ENTRIES_AT_ONCE: usize = 200;
/// Rows that one statement deletes.
const ROWS_AT_ONCE: usize = 2_000;
/// Keys that one `subject.erased` names; its schema takes 500.
const KEYS_AN_ENTRY: usize = 500;
/// Tries to empty the write-ahead log, and the pause between two.
const WAL_TRIES: u32 = 100;
const WAL_PAUSE: Duration = Duration::from_millis(50);
/// How long another server may still hold a key that was destroyed: the age of its cache, and a second.
const SERVERS_SETTLE: Duration = Duration::from_secs(61);

/// The steps, in order. Each leaves a state from which the whole can be run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The journal object is written.
    Planned,
    /// The fence stands.
    Fenced,
    /// Suppression tokens are recorded.
    Tokens,
    /// The keys are listed in the journal.
    Listed,
    /// The keys are destroyed.
    Destroyed,
    /// The sealed bytes are deleted.
    Removed,
    /// The index rows are removed.
    Forgotten,
    /// The write-ahead logs are emptied and other servers' caches have expired.
    Emptied,
    /// `subject.erased` is recorded.
    Recorded,
    /// Items that waited are resolved afresh.
    Replayed,
}

/// Every step.
pub const STEPS: [Step; 10] = [
    Step::Planned,
    Step::Fenced,
    Step::Tokens,
    Step::Listed,
    Step::Destroyed,
    Step::Removed,
    Step::Forgotten,
    Step::Emptied,
    Step::Recorded,
    Step::Replayed,
];

/// How erasures are carried out.
#[derive(Clone)]
pub struct EraseOptions {
    /// Who asks.
    pub actor: PrincipalId,
    /// The caller's clock, on a scratch ledger.
    pub now: Option<Timestamp>,
    /// How long to wait until other servers have forgotten the keys.
    pub settle: Duration,
    /// Where journal objects are copied to.
    pub archive: Option<Arc<Archive>>,
    /// Ends after this step as if the process had died there.
    pub stop_after: Option<Step>,
}

impl EraseOptions {
    /// As a server does it.
    pub fn new(actor: PrincipalId, ledger: &Ledger) -> EraseOptions {
        let alone = ledger.store().engine() == "sqlite";
        let settle = if alone { Duration::ZERO } else { SERVERS_SETTLE };
        EraseOptions { actor, now: None, settle, archive: None, stop_after: None }
    }
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The step.
    pub step: Step,
    /// Persons done in it.
    pub done: usize,
    /// Persons to do.
    pub of: usize,
}

/// Tells how far a run is.
pub type Told<'a> = &'a (dyn Fn(Progress) + Send + Sync);

fn journal_error(journal: &Journal) -> impl FnOnce(std::io::Error) -> EraseError {
    let folder = journal.folder().to_path_buf();
    move |source| EraseError::Journal { folder, source }
}

/// Asks for the erasure of a person: writes its journal object. Nothing is destroyed yet; [`run`] does that. Under a hold on
/// identifiers or on everything it waits.
///
/// # Errors
/// [`EraseError::Unknown`], [`EraseError::Erased`], [`EraseError::Basis`] before anything is written.
pub async fn begin(
    ledger: &Ledger,
    subject: SubjectId,
    basis: &str,
    request: Option<String>,
    options: &EraseOptions,
) -> Result<(Erasure, Plan), EraseError> {
    if !BASES.contains(&basis) {
        return Err(EraseError::Basis);
    }
    ledger.subject_head(&subject)?.ok_or(EraseError::Unknown)?;
    let now = options.now.unwrap_or_else(|| ledger.now());
    let person = Person::read(ledger, subject).await?;
    let planned = plan(ledger, &person, now).await?;
    let journal = Journal::of(ledger);
    let standing = ledger.standing(&subject)?;
    if standing != Standing::Live {
        let known = journal.all().map_err(journal_error(&journal))?;
        let same = known.into_iter().find(|known| known.subjects.contains(&subject) && known.state != State::Done);
        if let Some(known) = same {
            return Ok((known, planned));
        }
        if standing == Standing::Erased && planned.keys.is_empty() {
            return Err(EraseError::Erased);
        }
    }
    let erasure = Erasure {
        format: FORMAT.to_owned(),
        ledger: ledger.id,
        erasure: EventId::from_bytes(uuid_v7(now.unix_ms(), ledger.random.bytes())),
        basis: basis.to_owned(),
        request,
        subjects: person.subjects.clone(),
        state: if planned.waits { State::Waiting } else { State::Planned },
        asked: now,
        keys: Vec::new(),
        items: Vec::new(),
        kept: Vec::new(),
        tokens: 0,
        done: None,
        recorded_at: Vec::new(),
        kek_epoch: 0,
        irrecoverable_on: String::new(),
    };
    journal.save(&erasure).map_err(journal_error(&journal))?;
    Ok((erasure, planned))
}

/// Goes on with every erasure of the journal that is not done; those whose hold is over begin.
///
/// # Errors
/// As [`run`].
pub async fn resume(ledger: &Arc<Ledger>, options: &EraseOptions, told: Told<'_>) -> Result<Vec<Erasure>, EraseError> {
    let journal = Journal::of(ledger);
    let all = journal.all().map_err(journal_error(&journal))?;
    let open: Vec<Erasure> = all.into_iter().filter(|erasure| erasure.state != State::Done).collect();
    if open.is_empty() { Ok(open) } else { run(ledger, open, options, told).await }
}

/// Runs what a hold kept: erasures that waited, and what erasures of these persons had to leave.
///
/// # Errors
/// As [`run`].
pub async fn after_release(
    ledger: &Arc<Ledger>,
    subjects: &[SubjectId],
    options: &EraseOptions,
) -> Result<Vec<Erasure>, EraseError> {
    let journal = Journal::of(ledger);
    let all = journal.all().map_err(journal_error(&journal))?;
    let mut going: Vec<Erasure> = all.iter().filter(|erasure| erasure.state == State::Waiting).cloned().collect();
    for erasure in all.iter().filter(|erasure| erasure.state == State::Done) {
        let left = erasure.kept.iter().any(|kept| kept.ground == "hold");
        let whose = erasure.subjects.iter().find(|subject| subjects.contains(subject));
        if let (true, Some(subject)) = (left, whose) {
            match begin(ledger, *subject, &erasure.basis, None, options).await {
                Ok((erasure, _)) => going.push(erasure),
                Err(EraseError::Erased) => {}
                Err(error) => return Err(error),
            }
        }
    }
    run(ledger, going, options, &|_| {}).await
}

/// Takes up again what the journal says was done and a restored backup undid: keys that are back, or a log that does not
/// say it yet. Keys that are back are destroyed at once; the rest goes its usual way with [`resume`]. Returns how many
/// erasures.
///
/// # Errors
/// What journal or vault answer.
pub async fn apply_journal(ledger: &Arc<Ledger>) -> Result<usize, EraseError> {
    let journal = Journal::of(ledger);
    let mut again = 0;
    for mut erasure in journal.all().map_err(journal_error(&journal))? {
        if erasure.state != State::Done {
            continue;
        }
        let mut back: Vec<DoomedKey> = Vec::new();
        for owner in erasure.keys.iter().map(|key| key.owner).collect::<BTreeSet<SubjectId>>() {
            let there = ledger.store().deks_of(owner.as_bytes()).await?;
            back.extend(erasure.keys.iter().filter(|key| there.iter().any(|(_, row)| row.key == key.key)));
        }
        let mut unsaid = false;
        for subject in &erasure.subjects {
            let known = ledger.subject_head(subject)?.is_some();
            unsaid |= known && ledger.standing(subject)? != Standing::Erased;
        }
        if unsaid || !back.is_empty() {
            erasure.state = State::Planned;
            journal.save(&erasure).map_err(journal_error(&journal))?;
            destroy(ledger, &back).await?;
            again += 1;
        }
    }
    Ok(again)
}

/// Carries erasures out to their end. Waiting ones whose hold is still in force are returned as they are.
///
/// # Errors
/// [`EraseError`]; what was begun goes on where it stopped, with [`resume`].
pub async fn run(
    ledger: &Arc<Ledger>,
    erasures: Vec<Erasure>,
    options: &EraseOptions,
    told: Told<'_>,
) -> Result<Vec<Erasure>, EraseError> {
    let _alone = ledger.destroying.lock().await;
    let now = options.now.unwrap_or_else(|| ledger.now());
    let journal = Journal::of(ledger);
    let (mut waiting, mut going) = (Vec::new(), Vec::new());
    for erasure in erasures {
        // Another run may have come first.
        let known = journal.load(&erasure.erasure).map_err(journal_error(&journal))?;
        let mut erasure = known.unwrap_or(erasure);
        if erasure.state == State::Done {
            waiting.push(erasure);
            continue;
        }
        if erasure.state == State::Waiting {
            if held(ledger, &erasure, now).await? {
                waiting.push(erasure);
                continue;
            }
            erasure.state = State::Planned;
        }
        going.push(erasure);
    }
    let mut run = Run { ledger, journal, options, now, told, going };
    if !run.going.is_empty() {
        run.all().await?;
    }
    waiting.append(&mut run.going);
    Ok(waiting)
}

/// Copies a journal object to the archive, so that a restore from there destroys again what it brings back.
pub(super) async fn copy_out(archive: &Archive, erasure: &Erasure) -> Result<(), EraseError> {
    let name = format!("erasures/{}.json", erasure.erasure);
    let text = serde_json::to_vec(erasure).unwrap_or_default();
    Ok(archive.put(&erasure.ledger, &name, text).await?)
}

async fn held(ledger: &Ledger, erasure: &Erasure, now: Timestamp) -> Result<bool, EraseError> {
    for subject in &erasure.subjects {
        if Person::read(ledger, *subject).await?.waits(now) {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn destroy(ledger: &Ledger, keys: &[DoomedKey]) -> Result<(), EraseError> {
    let slots: Vec<DekSlot> = keys.iter().map(DoomedKey::slot).collect();
    for slots in slots.chunks(ROWS_AT_ONCE) {
        ledger.store().deks_delete(slots).await?;
    }
    let owners: HashSet<[u8; 16]> = slots.iter().map(|slot| slot.owner).collect();
    ledger.keys_forget(&owners);
    Ok(())
}

struct Run<'a> {
    ledger: &'a Arc<Ledger>,
    journal: Journal,
    options: &'a EraseOptions,
    now: Timestamp,
    told: Told<'a>,
    going: Vec<Erasure>,
}

impl Run<'_> {
    async fn all(&mut self) -> Result<(), EraseError> {
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

    fn save(&self, erasure: &Erasure) -> Result<(), EraseError> {
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

    async fn say(&self, events: Vec<(&str, Option<SubjectId>, Value)>) -> Result<Vec<u64>, EraseError> {
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
        self.ledger
            .keys_forget(&self.going.iter().flat_map(|erasure| &erasure.keys).map(|key| key.slot().owner).collect());
        for _ in 0..WAL_TRIES {
            if self.ledger.store().wal_emptied().await? {
                tokio::time::sleep(self.options.settle).await;
                return Ok(());
            }
            tokio::time::sleep(WAL_PAUSE).await;
        }
        Err(EraseError::WalBusy)
    }

    async fn record(&mut self, people: &BTreeMap<EventId, Person>) -> Result<(), EraseError> {
        let size = self.ledger.size();
        let (mut events, mut of) = (Vec::new(), Vec::new());
        for (number, erasure) in self.going.iter().enumerate() {
            let said = |subject: &SubjectId| {
                let person = people.get(&erasure.erasure);
                person.is_some_and(|person| person.erased.contains(&(erasure.erasure, *subject)))
            };
            if erasure.subjects.iter().all(said) {
                continue;
            }
            for item in &erasure.items {
                let data = json!({ "item": item.position, "outcome": "erased", "key": item.key.key });
                events.push(("quarantine.resolved", None, data));
            }
            for subject in erasure.subjects.iter().filter(|subject| !said(subject)) {
                // Keys of items are named with the first pseudonym.
                let first = erasure.subjects.first() == Some(subject);
                let known = |key: &&DoomedKey| erasure.subjects.contains(&key.owner);
                let own = erasure.keys.iter().filter(|key| key.owner == *subject || first && !known(key));
                let own: Vec<&DoomedKey> = own.collect();
                let mut chunks: Vec<&[&DoomedKey]> = own.chunks(KEYS_AN_ENTRY).collect();
                if chunks.is_empty() {
                    chunks.push(&[]);
                }
                for keys in chunks {
                    of.push((events.len(), number));
                    events.push(("subject.erased", Some(*subject), erased_data(erasure, keys, size)));
                }
            }
        }
        let positions = self.say(events).await?;
        for (event, number) in of {
            if let (Some(position), Some(erasure)) = (positions.get(event), self.going.get_mut(number)) {
                erasure.recorded_at.push(*position);
            }
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), EraseError> {
        let mut going = std::mem::take(&mut self.going);
        for erasure in &mut going {
            if erasure.recorded_at.is_empty() {
                erasure.recorded_at = recorded_at(self.ledger, erasure).await?;
            }
            erasure.state = State::Done;
            erasure.done = Some(self.now);
            self.save(erasure)?;
        }
        self.going = going;
        Ok(())
    }
}

/// Where an erasure was recorded by a process that died right after.
async fn recorded_at(ledger: &Ledger, erasure: &Erasure) -> Result<Vec<u64>, EraseError> {
    let mut positions = Vec::new();
    for subject in &erasure.subjects {
        positions.extend(super::person::erased_at(ledger, *subject, &erasure.erasure).await?);
    }
    positions.sort_unstable();
    Ok(positions)
}

fn erased_data(erasure: &Erasure, keys: &[&DoomedKey], size: u64) -> Value {
    let keys: Vec<Value> = keys
        .iter()
        .map(|key| json!({ "key": key.key, "class": key.class.name(), "quarter": key.quarter_text() }))
        .collect();
    let kept: Vec<Value> =
        erasure.kept.iter().map(|kept| json!({ "class": kept.class.name(), "ground": kept.ground })).collect();
    let mut data = json!({
        "erasure": erasure.erasure,
        "keys": keys,
        "kept": kept,
        "suppression_token_kept": erasure.tokens > 0,
        "kek_epoch": erasure.kek_epoch,
        "irrecoverable_on": erasure.irrecoverable_on,
        "ledger_size": size,
    });
    let until = erasure.kept.iter().map(|kept| kept.until).max().flatten();
    if let (Some(until), true, Value::Object(data)) = (until, erasure.tokens > 0, &mut data) {
        data.insert("map_until".to_owned(), Value::String(Quarter::of(until).to_string()));
    }
    data
}
