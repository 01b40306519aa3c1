//! The lane: one task per ledger that lets events in, in order. Duplicates, subjects and keys are settled here, where no
//! two events of a ledger can race; what follows (sealing) needs no order and what follows that (linking) needs no thought.
//!
//! It never refuses a fact for being unlawful. It refuses: a reused (source, id) with other content, an `expect` that does
//! not hold, and nothing else; everything else that cannot be recorded goes to quarantine.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::accept::{Accepted, Expect, Rejected, Validated, fingerprint};
use super::data_keys::Wanted;
use super::erasure::{Standing, marks, marks_of, takes_back, token_data};
use super::forms::Received;
use super::items::ItemChange;
use super::ledger::Ledger;
use super::receipt::{Outcome, Receipt, Reply, ReplySlot, SubmitError};
use super::resolve::{Resolution, SubjectMint, resolve};
use super::seal::{Admitted, Answer, Cause, Content, PlainPart, SealEventError, Sealed, seal};
use crate::chain::decode::EntryRef;
use crate::chain::leaf::leaf_hash;
use crate::crypto::derive::Dek;
use crate::crypto::hash::sha256;
use crate::domain::identifier::Identifier;
use crate::domain::ids::{EventId, IdentifierId, PrincipalId, SubjectId, uuid_v7};
use crate::domain::parts::{PartKind, RetentionClass};
use crate::domain::time::{Quarter, Timestamp};
use crate::schema::{EventSchema, FieldProblem};
use crate::store::index::{IdMap, SubjectHead};
use crate::store::{DekRow, DekSlot, NO_OWNER, StoreError};

/// Events that one sealing task takes.
const SEAL_CHUNK: usize = 64;
/// A request of fewer events does not start a batch of its own while another is on its way to the log.
const SMALL_BATCH_EVENTS: usize = 32;

/// How a quarantined item ends with this job's event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closing {
    /// The item.
    pub item: EventId,
    /// Position of its `quarantine.received`.
    pub position: u64,
    /// Type of the entry that says so.
    pub event_type: &'static str,
}

/// One request on its way through the lane. Kept until it is answered, so that a moved head can send it round again.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub events: Vec<Received>,
    pub options: SubmitOptions,
    pub reply: Arc<Reply>,
    /// Heads that the events were made from; empty for what was made from nothing.
    pub cites: super::seal::CitedHeads,
    /// Which of the request's events these are.
    pub indexes: Vec<usize>,
}

/// How a request wants its events treated.
#[derive(Debug, Clone)]
pub struct SubmitOptions {
    /// Who posts.
    pub actor: PrincipalId,
    /// All or nothing (`Prefer: handling=strict`).
    pub strict: bool,
    /// Validate and decide, record nothing.
    pub dry_run: bool,
    /// The caller's clock, on a scratch ledger.
    pub now: Option<Timestamp>,
    /// The service's own events: reserved types are allowed.
    pub service: bool,
    /// A quarantined item that this event puts right.
    pub closing: Option<Closing>,
}

pub(super) enum LaneMessage {
    Fresh(Job, Vec<Accepted>),
    Again(Vec<Job>),
}

impl LaneMessage {
    fn events(&self) -> usize {
        match self {
            LaneMessage::Fresh(job, _) => job.events.len(),
            LaneMessage::Again(jobs) => jobs.iter().map(|job| job.events.len()).sum(),
        }
    }
}

/// Events whose sealing is under way, in the order of the log to be.
pub(super) struct SealingBatch {
    pub sealing: Vec<JoinHandle<Result<Vec<Sealed>, SealEventError>>>,
    /// The minted keys on their way into the vault.
    pub keys_stored: Option<JoinHandle<Result<bool, StoreError>>>,
    pub count: usize,
    pub quarter: Quarter,
    pub now: Option<Timestamp>,
    pub generation: u64,
    /// Heads of known subjects as the lane saw them.
    pub heads: IdMap<SubjectId, SubjectHead>,
    pub jobs: Vec<Job>,
}

/// An event that was admitted and is not yet committed.
#[derive(Debug)]
pub(super) struct Pending {
    raw: Bytes,
    waiters: Vec<ReplySlot>,
}

/// What the lane knows that the log does not say yet.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    pub events: IdMap<[u8; 32], Pending>,
    pub bindings: super::resolve::PendingBindings,
    /// Batches handed to the appender and not yet answered.
    pub batches: usize,
}

impl InFlight {
    /// Ends an admitted event: later copies find it in the log, earlier ones are told now.
    pub fn settle(&mut self, dedupe: &[u8; 32], binds: &[[u8; 16]], receipt: &Receipt) {
        if let Some(pending) = self.events.remove(dedupe) {
            for waiter in pending.waiters {
                waiter.fill(Outcome::Duplicate { receipt: receipt.clone(), compared: true });
            }
        }
        for blind in binds {
            self.bindings.remove(blind);
        }
    }

    /// Forgets everything in flight, because none of it will be committed as it stands. Copies that wait are returned.
    pub fn abandon(&mut self) -> Vec<ReplySlot> {
        self.bindings.clear();
        self.events.drain().flat_map(|(_, pending)| pending.waiters).collect()
    }
}

/// The lane's own state.
pub(super) struct Lane {
    ledger: Arc<Ledger>,
    mint: SubjectMint,
    sealed: mpsc::Sender<SealingBatch>,
    /// The ground that this lane stands on.
    generation: u64,
}

/// A batch under construction.
struct Batch {
    admitted: Vec<Draft>,
    wanted: Wanted,
    quarter: Quarter,
    now: Timestamp,
    /// Subjects this batch touches and the position of their last entry in it, for `expect`.
    touched: IdMap<SubjectId, Option<u64>>,
    heads: IdMap<SubjectId, SubjectHead>,
    /// Those of them that no entry has borne out yet.
    unproven: IdMap<SubjectId, SubjectHead>,
}

/// An admitted event whose keys are named but not yet there.
struct Draft {
    admitted: Admitted,
    slots: Vec<Option<DekSlot>>,
}

/// Why a valid event is not recorded now.
enum NotRecorded {
    Refused(Outcome),
    /// It is about somebody who is being erased.
    Fenced(Box<Validated>),
}

/// Code of events about somebody who is being erased.
const FENCED: &str = "subject_being_erased";

/// A batch's keys, and the rows of those that were minted for it.
type Keys = (IdMap<DekSlot, Dek>, Vec<(DekSlot, DekRow)>);

/// Entries that may be first copies of a batch's events, by dedupe value, and the log's size before the index was asked.
struct Candidates {
    size: u64,
    found: IdMap<[u8; 32], (u64, Vec<u8>)>,
}

enum Verdict {
    New,
    Duplicate(Outcome),
    Waits,
    Reused,
}

impl Lane {
    pub fn new(ledger: Arc<Ledger>, sealed: mpsc::Sender<SealingBatch>) -> Lane {
        let generation = ledger.generation();
        Lane { ledger, mint: SubjectMint::default(), sealed, generation }
    }

    /// Runs until the queue is closed and empty: what was accepted is answered.
    pub async fn run(mut self, mut queue: mpsc::Receiver<LaneMessage>, mut again: mpsc::Receiver<LaneMessage>) {
        let events_max = self.ledger.options.limits.lane_events_max;
        let mut carried = None;
        loop {
            let first = match carried.take() {
                Some(message) => message,
                None => tokio::select! {
                    biased;
                    Some(message) = again.recv() => message,
                    message = queue.recv() => match message {
                        Some(message) => message,
                        None => return,
                    },
                },
            };
            if first.events() < SMALL_BATCH_EVENTS {
                // Single events wait for the commit under way and then go together: each commit costs the same for one.
                self.ledger.drained().await;
            }
            self.find_ground().await;
            let mut jobs: Vec<(Job, Vec<Accepted>)> = Vec::new();
            self.take(first, &mut jobs);
            let alone = |job: &Job| job.options.now.is_some() || job.options.strict || job.options.dry_run;
            let mut events: usize = jobs.iter().map(|(job, _)| job.events.len()).sum();
            let single = jobs.iter().any(|(job, accepted)| alone(job) || expects(accepted));
            while !single && events < events_max {
                let Ok(message) = queue.try_recv() else { break };
                if matches!(&message, LaneMessage::Fresh(job, accepted) if alone(job) || expects(accepted)) {
                    carried = Some(message);
                    break;
                }
                self.take(message, &mut jobs);
                events = jobs.iter().map(|(job, _)| job.events.len()).sum();
            }
            if !jobs.iter().any(|(job, accepted)| alone(job) || expects(accepted)) {
                self.batch_or_fail(jobs).await;
                continue;
            }
            // What comes round again together was not always posted together: such requests are judged one by one.
            for job in jobs {
                // What `expect` asks about must be in the log before it can be answered.
                self.ledger.drained().await;
                self.find_ground().await;
                self.batch_or_fail(vec![job]).await;
            }
        }
    }

    async fn batch_or_fail(&mut self, jobs: Vec<(Job, Vec<Accepted>)>) {
        let now = jobs.first().and_then(|(job, _)| job.options.now);
        let kept: Vec<Job> = jobs.iter().map(|(job, _)| job.clone()).collect();
        if let Err(error) = self.batch(jobs, now).await {
            tracing::error!(error = %error, "lane.batch failed");
            // Keys may have been minted for it that nobody will store.
            self.ledger.deks.clear();
            self.ledger.generation_next();
            self.find_ground().await;
            for job in kept {
                job.reply.fail(SubmitError::ReadOnly("the batch could not be prepared".to_owned()));
            }
        }
    }

    /// When the ground moved (another writer was first, a commit failed), everything between lane and log is stale. Waits
    /// until the appender has sent all of it back and forgets it, before anything is judged on the new ground.
    async fn find_ground(&mut self) {
        loop {
            let seen = self.ledger.generation();
            if seen == self.generation {
                return;
            }
            self.ledger.drained().await;
            self.ledger.forget_in_flight();
            self.generation = seen;
        }
    }

    fn take(&self, message: LaneMessage, jobs: &mut Vec<(Job, Vec<Accepted>)>) {
        match message {
            LaneMessage::Fresh(job, accepted) => jobs.push((job, accepted)),
            LaneMessage::Again(again) => {
                for job in again {
                    let accepted = self.ledger.accept_all(&job.events, &job.options);
                    jobs.push((job, accepted));
                }
            }
        }
    }

    async fn batch(&mut self, jobs: Vec<(Job, Vec<Accepted>)>, now: Option<Timestamp>) -> Result<(), LaneError> {
        let clock = match self.ledger.recording_time(now) {
            Ok(time) => time,
            Err(error) => {
                jobs.iter().for_each(|(job, _)| job.reply.fail(error.clone()));
                return Ok(());
            }
        };
        let generation = self.generation;
        let mut batch = Batch {
            admitted: Vec::new(),
            wanted: Wanted::default(),
            quarter: Quarter::of(clock),
            now: clock,
            touched: IdMap::default(),
            heads: IdMap::default(),
            unproven: IdMap::default(),
        };
        let mut kept = Vec::with_capacity(jobs.len());
        let candidates = self.candidates(&jobs).await?;
        for (job, accepted) in jobs {
            if self.job(&mut batch, &job, accepted, &candidates).await? {
                kept.push(job);
            }
        }
        if batch.admitted.is_empty() {
            return Ok(());
        }
        let ledger = &self.ledger;
        let store = ledger.store();
        let keys = ledger.deks.find_or_mint(&store, &ledger.keyring, &ledger.clock, &ledger.random, &batch.wanted);
        let keys = async { keys.await.map_err(|error| LaneError::Keys(error.to_string())) };
        let ((), keys) = tokio::try_join!(self.verify_heads(&batch.unproven), keys)?;
        self.dispatch(batch, keys, now, generation, kept).await
    }

    /// Positions in the log whose entries may be copies of these events, with the entries: one question for all.
    async fn candidates(&self, jobs: &[(Job, Vec<Accepted>)]) -> Result<Candidates, LaneError> {
        // Before the index is asked: what is committed later than this shows as another size.
        let size = self.ledger.size();
        let mut asked: Vec<([u8; 32], u64)> = Vec::new();
        {
            let index = self.ledger.index_read();
            for accepted in jobs.iter().flat_map(|(_, accepted)| accepted) {
                let dedupe = self.dedupe_of(accepted);
                if let Some(position) = index.dedupe(&dedupe)? {
                    asked.push((dedupe, position));
                }
            }
        }
        if asked.is_empty() {
            return Ok(Candidates { size, found: IdMap::default() });
        }
        let positions: Vec<u64> = asked.iter().map(|(_, position)| *position).collect();
        let entries: HashMap<u64, Vec<u8>> = self.ledger.store().entries_at(&positions).await?.into_iter().collect();
        let mut found = IdMap::with_capacity_and_hasher(asked.len(), Default::default());
        for (dedupe, position) in asked {
            if let Some(entry) = entries.get(&position)
                && EntryRef::decode(entry).is_ok_and(|entry| entry.dedupe == dedupe)
            {
                found.insert(dedupe, (position, entry.clone()));
            }
        }
        Ok(Candidates { size, found })
    }

    fn dedupe_of(&self, accepted: &Accepted) -> [u8; 32] {
        match accepted {
            Ok(event) => event.dedupe,
            Err(rejected) => self.ledger.secrets.dedupe.dedupe_quarantine(
                rejected.source.as_deref(),
                rejected.id.as_deref(),
                &sha256(&rejected.raw),
            ),
        }
    }

    /// Lets one request's events in. Returns whether any of them has to go on.
    async fn job(
        &mut self,
        batch: &mut Batch,
        job: &Job,
        accepted: Vec<Accepted>,
        candidates: &Candidates,
    ) -> Result<bool, LaneError> {
        if job.options.strict && accepted.iter().any(Result::is_err) {
            for (index, accepted) in job.indexes.iter().zip(&accepted) {
                let problems = accepted.as_ref().err().map(|rejected| rejected.problems.clone());
                refuse_strict(job, *index, problems);
            }
            return Ok(false);
        }
        let before = batch.admitted.len();
        let mut refusals: Vec<(usize, Outcome)> = Vec::new();
        for (index, accepted) in job.indexes.iter().zip(accepted) {
            let slot = ReplySlot { reply: Arc::clone(&job.reply), index: *index };
            let dedupe = self.dedupe_of(&accepted);
            let raw = accepted.as_ref().map_or_else(|rejected| &rejected.raw, |event| &event.raw).clone();
            match self.verdict(&dedupe, &raw, &slot, job.options.dry_run, Some(candidates)).await? {
                Verdict::Duplicate(outcome) => slot.fill(outcome),
                Verdict::Waits => {}
                Verdict::Reused if job.options.strict => {
                    refusals.push((
                        *index,
                        refused("event_id_reused", "the same source and id were used for another event"),
                    ));
                }
                Verdict::Reused => {
                    let reason = reused(&accepted);
                    let rejected = into_rejected(accepted, reason);
                    self.quarantine(batch, job, slot, rejected)?;
                }
                Verdict::New => match accepted {
                    Ok(mut event) => {
                        self.subject_of_entry(&mut event).await?;
                        match self.record(batch, job, &slot, event)? {
                            Ok(()) => {}
                            Err(NotRecorded::Refused(outcome)) => refusals.push((*index, outcome)),
                            Err(NotRecorded::Fenced(_)) if job.options.strict => {
                                refusals
                                    .push((*index, refused(FENCED, "the person is being erased; post again later")));
                            }
                            Err(NotRecorded::Fenced(event)) => {
                                self.keep_fenced(batch, job, slot, *event).await?;
                            }
                        }
                    }
                    Err(rejected) => self.quarantine(batch, job, slot, rejected)?,
                },
            }
        }
        if job.options.strict && !refusals.is_empty() {
            // All or nothing: take back what this request already put in.
            for draft in batch.admitted.drain(before..) {
                self.ledger.in_flight().events.remove(&draft.admitted.dedupe);
                for blind in &draft.admitted.binds {
                    self.ledger.in_flight().bindings.remove(blind);
                }
            }
            for index in &job.indexes {
                let own = refusals.iter().find(|(refused, _)| refused == index).map(|(_, outcome)| outcome.clone());
                let outcome =
                    own.unwrap_or_else(|| refused("batch_refused", "another event of this batch was refused"));
                ReplySlot { reply: Arc::clone(&job.reply), index: *index }.fill(outcome);
            }
            return Ok(false);
        }
        for (index, outcome) in refusals {
            ReplySlot { reply: Arc::clone(&job.reply), index }.fill(outcome);
        }
        Ok(batch.admitted.len() > before)
    }

    /// Whether this is a copy of something in flight or in the log. `candidates` only where this dedupe value was among
    /// those that were asked for.
    async fn verdict(
        &self,
        dedupe: &[u8; 32],
        raw: &Bytes,
        slot: &ReplySlot,
        dry_run: bool,
        candidates: Option<&Candidates>,
    ) -> Result<Verdict, LaneError> {
        if let Some(pending) = self.ledger.in_flight().events.get_mut(dedupe) {
            if pending.raw != *raw && fingerprint(&pending.raw) != fingerprint(raw) {
                return Ok(Verdict::Reused);
            }
            if !dry_run {
                pending.waiters.push(slot.clone());
                return Ok(Verdict::Waits);
            }
            return Ok(Verdict::Duplicate(Outcome::DryRun { status: "duplicate", problems: Vec::new() }));
        }
        let found = match candidates.map(|asked| (asked.size, asked.found.get(dedupe))) {
            Some((_, Some((position, entry)))) => Some((*position, entry.clone())),
            Some((size, None)) if self.ledger.size() == size => None,
            // Committed between the question for all and now: it left the in-flight table, so the tail knows it.
            _ => self.committed_since(dedupe).await?,
        };
        let Some((position, entry)) = found else { return Ok(Verdict::New) };
        let decoded = EntryRef::decode(&entry).map_err(|_| LaneError::Corrupt(position))?;
        let receipt = Receipt {
            event: decoded.event,
            position,
            leaf: leaf_hash(&entry),
            subject: decoded.subject.map(|link| link.subject),
            recorded: decoded.recorded,
        };
        if decoded.event_type == "quarantine.received" {
            return Ok(Verdict::Duplicate(Outcome::Quarantined {
                receipt,
                code: "already_quarantined",
                problems: Vec::new(),
            }));
        }
        let compared = match self.ledger.raw_of(position, &entry).await {
            Ok(Some(first)) if fingerprint(&first) != fingerprint(raw) => return Ok(Verdict::Reused),
            Ok(Some(_)) => true,
            Ok(None) => false,
            Err(error) => return Err(LaneError::Read(error.to_string())),
        };
        if dry_run {
            return Ok(Verdict::Duplicate(Outcome::DryRun { status: "duplicate", problems: Vec::new() }));
        }
        Ok(Verdict::Duplicate(Outcome::Duplicate { receipt, compared }))
    }

    /// An annulment is about the person whose entry it annuls, whomever its poster names: another one's history would not
    /// tell.
    async fn subject_of_entry(&self, event: &mut Validated) -> Result<(), LaneError> {
        let Some(field) = event.schema.subject_of.as_ref() else { return Ok(()) };
        let position = event.business.get("data").and_then(|data| data.get(field)).and_then(Value::as_u64);
        let Some(position) = position else { return Ok(()) };
        if let Some(entry) = self.ledger.store().entry_at(position).await? {
            let entry = EntryRef::decode(&entry).map_err(|_| LaneError::Corrupt(position))?;
            if let Some(link) = entry.subject {
                event.subject = Some(link.subject.to_string());
                event.identifiers.clear();
            }
        }
        Ok(())
    }

    async fn committed_since(&self, dedupe: &[u8; 32]) -> Result<Option<(u64, Vec<u8>)>, LaneError> {
        let Some(position) = self.ledger.index_read().dedupe(dedupe)? else { return Ok(None) };
        let entry = self.ledger.store().entry_at(position).await?;
        Ok(entry
            .filter(|entry| EntryRef::decode(entry).is_ok_and(|entry| entry.dedupe == *dedupe))
            .map(|entry| (position, entry)))
    }

    /// Admits a valid event, with the binding entry that goes directly before it. The inner error says why not.
    fn record(
        &mut self,
        batch: &mut Batch,
        job: &Job,
        slot: &ReplySlot,
        mut event: Validated,
    ) -> Result<Result<(), NotRecorded>, LaneError> {
        let has_subject = event.schema.needs_subject || event.subject.is_some() || !event.identifiers.is_empty();
        let resolution = if has_subject {
            let index = self.ledger.index_read();
            let in_flight = self.ledger.in_flight();
            let fresh = (batch.now, &self.ledger.random);
            Some(resolve(&index, &in_flight.bindings, &mut self.mint, &event, fresh, job.options.service)?)
        } else {
            None
        };
        match resolution.as_ref().map(|found| found.standing) {
            Some(Standing::Fenced | Standing::Erased) if job.options.service => event.personal.clear(),
            Some(Standing::Fenced | Standing::Erased) => return Ok(Err(NotRecorded::Fenced(Box::new(event)))),
            Some(Standing::Live) | None => {}
        }
        let subject = resolution.as_ref().map(|found| found.subject);
        if let Some(subject) = subject {
            let head = self.head_of(batch, job, subject, resolution.as_ref().is_some_and(|found| found.minted))?;
            if let Some(expect) = event.expect
                && expect != head.map_or(Expect::None, Expect::Position)
            {
                let detail = "the subject's last position is another one";
                return Ok(Err(NotRecorded::Refused(refused("expect_failed", detail))));
            }
        } else if event.expect.is_some() {
            let detail = "this type has no subject to expect anything of";
            return Ok(Err(NotRecorded::Refused(refused("expect_without_subject", detail))));
        }
        if job.options.dry_run {
            let outcome = Outcome::DryRun { status: "recorded", problems: Vec::new() };
            return Ok(Err(NotRecorded::Refused(outcome)));
        }
        let size = self.ledger.size();
        if let Some(resolution) = &resolution {
            if resolution.minted {
                batch.wanted.new_owners.insert(*resolution.subject.as_bytes());
            }
            if !resolution.bind.is_empty() {
                let bound = self.binding(batch, job, resolution)?;
                self.push(batch, bound, None);
            }
        }
        // The service's own events say nothing of a person that others need to find.
        let others = resolution.as_ref().filter(|_| !job.options.service).map(|found| found.others.clone());
        let others = others.unwrap_or_default();
        // The item that is being fixed or replayed, and every other one that waited for this pair.
        let mut closings: Vec<Closing> = job.options.closing.into_iter().collect();
        let waiting = self.ledger.items_waiting(&event.dedupe);
        closings.extend(
            waiting.into_iter().filter(|item| job.options.closing.is_none_or(|own| own.position != item.position)),
        );
        let raw = event.raw.clone();
        let admitted = self.event(batch, job, slot, event, resolution.as_ref())?;
        self.push(batch, admitted, Some(raw));
        for (back, closing) in (1..).zip(&closings) {
            let entry = self.closing(batch, job, closing, back)?;
            self.push(batch, entry, None);
        }
        if let Some(subject) = subject {
            // Only read when the pipeline is empty and this request is alone, so the guess is exact.
            batch.touched.insert(subject, Some(size + (batch.admitted.len() - 1 - closings.len()) as u64));
            for (other, kind) in others {
                let entry = self.conflict(batch, job, subject, other, kind)?;
                self.push(batch, entry, None);
                batch.touched.insert(other, Some(size + batch.admitted.len() as u64 - 1));
            }
        }
        Ok(Ok(()))
    }

    /// Keeps an event about somebody who is being erased as an item, to be resolved afresh when that is done. What takes
    /// something back counts at once: the token of each identifier it names is kept with it.
    async fn keep_fenced(
        &self,
        batch: &mut Batch,
        job: &Job,
        slot: ReplySlot,
        event: Validated,
    ) -> Result<(), LaneError> {
        if takes_back(&event) && !job.options.dry_run {
            for identified in &event.identifiers {
                self.keep_token(batch, job, &identified.identifier)?;
            }
        }
        let problem = FieldProblem {
            pointer: "/subject".to_owned(),
            code: FENCED,
            detail: "the person is being erased; the event is kept and resolved afresh afterwards".to_owned(),
        };
        let rejected = Rejected {
            code: FENCED,
            problems: vec![problem],
            source: Some(event.source),
            id: Some(event.id),
            raw: event.raw,
        };
        let raw = rejected.raw.clone();
        let rejected = Err(rejected);
        let dedupe = self.dedupe_of(&rejected);
        // A copy of what is kept already is told so.
        match (self.verdict(&dedupe, &raw, &slot, job.options.dry_run, None).await?, rejected) {
            (Verdict::Duplicate(outcome), _) => slot.fill(outcome),
            (Verdict::New | Verdict::Reused, Err(rejected)) => self.quarantine(batch, job, slot, rejected)?,
            (Verdict::Waits | Verdict::New | Verdict::Reused, _) => {}
        }
        Ok(())
    }

    /// Adds `suppression.token_kept` for an identifier whose token is not kept yet.
    fn keep_token(&self, batch: &mut Batch, job: &Job, identifier: &Identifier) -> Result<(), LaneError> {
        let Some(token) = self.ledger.suppression_token(identifier) else { return Ok(()) };
        let schema = self.service_schema("suppression.token_kept")?;
        let data = token_data(&self.ledger, identifier.kind, &token, "internal_dnc");
        let binds = marks(&self.ledger.secrets, &schema.event_type, None, Some(&data), None);
        let known = |blind: &[u8; 16]| self.ledger.index_read().identifier(blind).map(|found| found.is_some());
        let pending = |batch: &Batch| {
            batch.admitted.iter().any(|draft| binds.iter().all(|mark| draft.admitted.binds.contains(mark)))
        };
        if pending(batch) || binds.first().map_or(Ok(true), known)? {
            return Ok(());
        }
        let mut parts = Parts::new(batch.quarter, None);
        parts.business(schema.class, json!({ "data": data }));
        let event = self.event_id(batch.now);
        let draft = parts.draft(Admitted {
            event,
            schema,
            subject: None,
            actor: job.options.actor,
            cause: Cause::None,
            corrects: None,
            dedupe: self.ledger.secrets.dedupe.dedupe_own(&event),
            parts: Vec::new(),
            binds,
            bare_refs: Vec::new(),
            item: None,
            reply: None,
        });
        self.push(batch, draft, None);
        Ok(())
    }

    /// Position of the subject's last entry as this batch sees it, and a hint for the appender.
    fn head_of(
        &self,
        batch: &mut Batch,
        job: &Job,
        subject: SubjectId,
        minted: bool,
    ) -> Result<Option<u64>, LaneError> {
        if let Some(position) = batch.touched.get(&subject) {
            return Ok(*position);
        }
        if minted {
            return Ok(None);
        }
        if let Some(head) = batch.heads.get(&subject) {
            return Ok(Some(head.position));
        }
        let found = self.ledger.index_read().head(subject.as_bytes())?;
        if let Some(found) = found.filter(|found| !found.certain) {
            batch.heads.insert(subject, found.head);
            // Who cites a head has read its entry.
            if !job.cites.contains(&(subject, Some(found.head))) {
                batch.unproven.insert(subject, found.head);
            }
        }
        Ok(found.map(|found| found.head.position))
    }

    /// A run's word about a head holds only if the entry there says the same.
    async fn verify_heads(&self, heads: &IdMap<SubjectId, SubjectHead>) -> Result<(), LaneError> {
        let positions: Vec<u64> = heads.values().map(|head| head.position).collect();
        let mut confirmed = IdMap::with_capacity_and_hasher(positions.len(), Default::default());
        for (position, entry) in self.ledger.store().entries_at(&positions).await? {
            let entry = EntryRef::decode(&entry).map_err(|_| LaneError::Corrupt(position))?;
            if let Some(link) = entry.subject {
                confirmed.insert(link.subject, SubjectHead { sequence: link.sequence, position });
            }
        }
        for (subject, head) in heads {
            if confirmed.get(subject) != Some(head) {
                return Err(LaneError::Index(head.position));
            }
        }
        Ok(())
    }

    fn push(&self, batch: &mut Batch, draft: Draft, raw: Option<Bytes>) {
        for slot in draft.slots.iter().flatten() {
            batch.wanted.slots.insert(*slot);
        }
        let mut in_flight = self.ledger.in_flight();
        if let Some(raw) = raw {
            in_flight.events.insert(draft.admitted.dedupe, Pending { raw, waiters: Vec::new() });
        }
        if let Some(subject) = draft.admitted.subject {
            for blind in &draft.admitted.binds {
                in_flight.bindings.insert(*blind, subject);
            }
        }
        batch.admitted.push(draft);
    }

    fn event_id(&self, now: Timestamp) -> EventId {
        EventId::from_bytes(uuid_v7(now.unix_ms(), self.ledger.random.bytes()))
    }

    fn event(
        &self,
        batch: &Batch,
        job: &Job,
        slot: &ReplySlot,
        event: Validated,
        resolution: Option<&Resolution>,
    ) -> Result<Draft, LaneError> {
        let subject = resolution.map(|found| found.subject);
        let mut binds = marks_of(&self.ledger.secrets, &event, subject.as_ref());
        let mut business = event.business;
        let ends = matches!(event.schema.event_type.as_str(), "quarantine.discarded" | "quarantine.translated");
        let item = business.get("data").and_then(|data| data.get("item")).and_then(Value::as_u64).filter(|_| ends);
        let item = item.map(ItemChange::Closed);
        let merged = subject.filter(|_| event.schema.event_type == super::merge::MERGED);
        binds.extend(merged.map(|subject| self.ledger.merge_mark(&subject)));
        if resolution.is_some_and(|found| found.conflict) {
            let derived = business.entry("derived").or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(derived) = derived {
                derived.insert("identifier_conflict".to_owned(), Value::Bool(true));
            }
        }
        let mut parts = Parts::new(batch.quarter, subject);
        if event.schema.public {
            let data = business.remove("data").unwrap_or(Value::Null);
            parts.public(event.schema.class, data);
        } else {
            parts.business(event.schema.class, Value::Object(business));
        }
        for (class, fields) in event.personal {
            parts.personal(class, Value::Object(fields));
        }
        if !job.options.service {
            parts.raw(event.raw);
        }
        let event_id = self.event_id(batch.now);
        let dedupe = event.dedupe;
        Ok(parts.draft(Admitted {
            event: event_id,
            schema: event.schema,
            subject,
            actor: job.options.actor,
            cause: event.cause.map_or(Cause::None, Cause::Position),
            corrects: event.corrects,
            dedupe,
            parts: Vec::new(),
            binds,
            bare_refs: Vec::new(),
            item,
            reply: Some(match job.cites.is_empty() {
                true => Answer::Recorded(slot.clone()),
                false => Answer::Cited(slot.clone(), Arc::clone(&job.cites)),
            }),
        }))
    }

    fn service_schema(&self, event_type: &'static str) -> Result<Arc<EventSchema>, LaneError> {
        self.ledger.registry().current(event_type).map(Arc::clone).ok_or(LaneError::NoSchema(event_type))
    }

    /// The `identifier.bound` entry of one event that brings new identifiers.
    fn binding(&self, batch: &Batch, job: &Job, resolution: &Resolution) -> Result<Draft, LaneError> {
        let schema = self.service_schema("identifier.bound")?;
        let ids = resolution.bind.iter().map(|_| IdentifierId::from_bytes(self.ledger.random.bytes()));
        let (mut known, mut values) = (Vec::new(), Vec::new());
        for (id, bound) in ids.zip(&resolution.bind) {
            let kind = bound.identifier.kind.name();
            known.push(json!({ "identifier": id.to_string(), "kind": kind }));
            values.push(json!({ "identifier": id.to_string(), "kind": kind, "value": bound.identifier.value }));
        }
        let mut parts = Parts::new(batch.quarter, Some(resolution.subject));
        parts.business(schema.class, json!({ "data": { "by": "event", "identifiers": known } }));
        parts.personal(schema.class, json!({ "data": { "values": values } }));
        let event = self.event_id(batch.now);
        Ok(parts.draft(Admitted {
            event,
            schema,
            subject: Some(resolution.subject),
            actor: job.options.actor,
            cause: Cause::None,
            corrects: None,
            dedupe: self.ledger.secrets.dedupe.dedupe_own(&event),
            parts: Vec::new(),
            binds: resolution.bind.iter().map(|bound| bound.blind).collect(),
            bare_refs: resolution
                .bind
                .iter()
                .filter_map(|bound| self.ledger.bare_reference(&bound.identifier))
                .collect(),
            item: None,
            reply: None,
        }))
    }

    /// The entry in the history of somebody whose identifier an event named that was recorded for another person: whoever
    /// asks about the identifier finds that event too.
    fn conflict(
        &self,
        batch: &Batch,
        job: &Job,
        matched: SubjectId,
        other: SubjectId,
        kind: crate::domain::identifier::IdentifierKind,
    ) -> Result<Draft, LaneError> {
        let schema = self.service_schema("identifier.conflict")?;
        let mut parts = Parts::new(batch.quarter, Some(other));
        let candidates = json!([{ "subject": matched.to_string(), "kind": kind.name() }]);
        let data = json!({ "code": "identifier_conflict", "matched_by": kind.name(), "candidates": candidates });
        parts.business(schema.class, json!({ "data": data }));
        let event = self.event_id(batch.now);
        Ok(parts.draft(Admitted {
            event,
            schema,
            subject: Some(other),
            actor: job.options.actor,
            cause: Cause::None,
            corrects: None,
            dedupe: self.ledger.secrets.dedupe.dedupe_own(&event),
            parts: Vec::new(),
            binds: Vec::new(),
            bare_refs: Vec::new(),
            item: None,
            reply: None,
        }))
    }

    /// The entry that says that an item left quarantine with the event `back` places before.
    fn closing(&self, batch: &Batch, job: &Job, closing: &Closing, back: u64) -> Result<Draft, LaneError> {
        let schema = self.service_schema(closing.event_type)?;
        let mut parts = Parts::new(batch.quarter, None);
        let outcome = if closing.event_type == "quarantine.resolved" { "recorded_elsewhere" } else { "recorded" };
        let mut data = json!({ "item": closing.position });
        if let (Value::Object(data), true) = (&mut data, closing.event_type != "quarantine.fixed") {
            data.insert("outcome".to_owned(), Value::String(outcome.to_owned()));
        }
        parts.public(schema.class, data);
        let event = self.event_id(batch.now);
        Ok(parts.draft(Admitted {
            event,
            schema,
            subject: None,
            actor: job.options.actor,
            cause: Cause::Back(back),
            corrects: None,
            dedupe: self.ledger.secrets.dedupe.dedupe_own(&event),
            parts: Vec::new(),
            binds: Vec::new(),
            bare_refs: Vec::new(),
            item: Some(ItemChange::Closed(closing.position)),
            reply: None,
        }))
    }

    /// Keeps a rejected event, sealed under a key of its own.
    fn quarantine(&self, batch: &mut Batch, job: &Job, slot: ReplySlot, rejected: Rejected) -> Result<(), LaneError> {
        if job.options.dry_run {
            slot.fill(Outcome::DryRun { status: "quarantined", problems: rejected.problems });
            return Ok(());
        }
        let schema = self.service_schema("quarantine.received")?;
        let event = self.event_id(batch.now);
        let mut public = Map::new();
        public.insert("reason".to_owned(), Value::String(reason_of(rejected.code).to_owned()));
        public.insert("code".to_owned(), Value::String(rejected.code.to_owned()));
        public.insert("bytes".to_owned(), json!(rejected.raw.len()));
        public.insert("problems".to_owned(), json!(rejected.problems.len()));
        public.insert("via".to_owned(), json!("api"));
        let pair = match (&rejected.source, &rejected.id) {
            (Some(source), Some(id)) => Some(self.ledger.secrets.dedupe.dedupe(source, id)),
            (Some(_) | None, _) => None,
        };
        if let Some(pair) = &pair {
            // So that a corrected retry of the same pair finds and closes the item.
            public.insert("pair".to_owned(), Value::String(data_encoding::HEXLOWER.encode(pair)));
        }
        let dedupe = self.ledger.secrets.dedupe.dedupe_quarantine(
            rejected.source.as_deref(),
            rejected.id.as_deref(),
            &sha256(&rejected.raw),
        );
        let mut parts = Parts::new(batch.quarter, None);
        parts.public(schema.class, Value::Object(public));
        parts.item(*event.as_bytes(), rejected.raw.clone());
        let draft = parts.draft(Admitted {
            event,
            schema,
            subject: None,
            actor: job.options.actor,
            cause: Cause::None,
            corrects: None,
            dedupe,
            parts: Vec::new(),
            binds: Vec::new(),
            bare_refs: Vec::new(),
            item: pair.map(ItemChange::Opened),
            reply: Some(Answer::Quarantined(slot, rejected.code, rejected.problems)),
        });
        batch.wanted.new_owners.insert(*event.as_bytes());
        self.push(batch, draft, Some(rejected.raw));
        Ok(())
    }

    /// Starts the sealing and hands the batch to the appender.
    async fn dispatch(
        &self,
        batch: Batch,
        (deks, minted): Keys,
        now: Option<Timestamp>,
        generation: u64,
        jobs: Vec<Job>,
    ) -> Result<(), LaneError> {
        let ledger = &self.ledger;
        let deks: IdMap<DekSlot, Arc<_>> = deks.into_iter().map(|(slot, dek)| (slot, Arc::new(dek))).collect();
        let count = batch.admitted.len();
        let mut sealing = Vec::with_capacity(count.div_ceil(SEAL_CHUNK));
        let mut drafts = batch.admitted.into_iter().peekable();
        while drafts.peek().is_some() {
            let chunk: Vec<Admitted> = drafts.by_ref().take(SEAL_CHUNK).map(|draft| draft.with_keys(&deks)).collect();
            let mut random = ledger.random.fork();
            let id = ledger.id;
            sealing.push(
                ledger
                    .tasks
                    .spawn(async move { chunk.into_iter().map(|admitted| seal(id, &mut random, admitted)).collect() }),
            );
        }
        let keys_stored = (!minted.is_empty()).then(|| {
            let store = ledger.store();
            ledger.tasks.spawn(async move { store.deks_insert(&minted).await })
        });
        ledger.in_flight().batches += 1;
        let (quarter, heads) = (batch.quarter, batch.heads);
        let batch = SealingBatch { sealing, keys_stored, count, quarter, now, generation, heads, jobs };
        self.sealed.send(batch).await.map_err(|_| LaneError::Stopped)
    }
}

impl Draft {
    fn with_keys(mut self, deks: &IdMap<DekSlot, Arc<Dek>>) -> Admitted {
        for (part, slot) in self.admitted.parts.iter_mut().zip(&self.slots) {
            part.key = slot.as_ref().and_then(|slot| deks.get(slot)).map(Arc::clone);
        }
        // An item's public part names the item's key, which is known only now.
        if let [
            PlainPart { content: Content::Json(public), .. },
            PlainPart { class: RetentionClass::Quarantine, key: Some(key), .. },
        ] = self.admitted.parts.as_mut_slice()
            && let Some(Value::Object(data)) = public.get_mut("data")
        {
            data.insert("key".to_owned(), Value::String(key.id().to_string()));
        }
        self.admitted
    }
}

/// Builds the list of parts in the order that the format asks for.
struct Parts {
    quarter: u16,
    owner: [u8; 16],
    parts: Vec<PlainPart>,
    slots: Vec<Option<DekSlot>>,
}

impl Parts {
    fn new(quarter: Quarter, subject: Option<SubjectId>) -> Parts {
        let owner = subject.map_or(NO_OWNER, |subject| *subject.as_bytes());
        Parts { quarter: quarter.ordinal(), owner, parts: Vec::with_capacity(3), slots: Vec::with_capacity(3) }
    }

    fn push(&mut self, kind: PartKind, class: RetentionClass, owner: Option<[u8; 16]>, content: Content) {
        self.parts.push(PlainPart { kind, class, key: None, content });
        self.slots.push(owner.map(|owner| DekSlot { owner, class: class.code(), quarter: self.quarter }));
    }

    fn public(&mut self, class: RetentionClass, data: Value) {
        self.push(PartKind::Public, class, None, Content::Json(json!({ "data": data })));
    }

    fn business(&mut self, class: RetentionClass, content: Value) {
        self.push(PartKind::Business, class, Some(NO_OWNER), Content::Json(content));
    }

    fn personal(&mut self, class: RetentionClass, content: Value) {
        self.push(PartKind::Personal, class, Some(self.owner), Content::Json(content));
    }

    fn raw(&mut self, bytes: Bytes) {
        self.push(PartKind::Raw, RetentionClass::Raw, Some(self.owner), Content::Bytes(bytes));
    }

    fn item(&mut self, item: [u8; 16], bytes: Bytes) {
        self.push(PartKind::Raw, RetentionClass::Quarantine, Some(item), Content::Bytes(bytes));
    }

    fn draft(self, admitted: Admitted) -> Draft {
        Draft { admitted: Admitted { parts: self.parts, ..admitted }, slots: self.slots }
    }
}

/// Why a batch could not be prepared. The ledger stops taking writes until it has looked again.
#[derive(Debug, thiserror::Error)]
pub(super) enum LaneError {
    #[error("store")]
    Store(#[from] crate::store::StoreError),
    #[error("index")]
    Run(#[from] crate::store::index::RunError),
    #[error("entry {0} cannot be decoded")]
    Corrupt(u64),
    #[error("the index names a head at {0} that the log does not")]
    Index(u64),
    #[error("no schema for {0}")]
    NoSchema(&'static str),
    #[error("keys: {0}")]
    Keys(String),
    #[error("reading a first copy: {0}")]
    Read(String),
    #[error("the appender has stopped")]
    Stopped,
}

/// The coarse reason that `quarantine.received` states for a problem code.
fn reason_of(code: &str) -> &'static str {
    match code {
        "unknown_type" => "unknown_type",
        "type_reserved" => "type_reserved",
        "subject_missing" => "subject_missing",
        "occurred_in_future" => "occurred_in_future",
        "event_id_reused" => "event_id_reused",
        "event_too_large" => "too_large",
        FENCED => FENCED,
        "not_json"
        | "not_utf8"
        | "required_attribute_missing"
        | "attribute_empty"
        | "attribute_repeated"
        | "attribute_too_long"
        | "invalid_attribute_name"
        | "invalid_attribute_type"
        | "specversion_unsupported"
        | "data_given_twice"
        | "time_invalid"
        | "data_missing"
        | "data_not_json"
        | "data_not_base64" => "not_cloudevents",
        _ => "schema_invalid",
    }
}

fn expects(accepted: &[Accepted]) -> bool {
    accepted.iter().any(|accepted| accepted.as_ref().is_ok_and(|event| event.expect.is_some()))
}

fn refused(code: &'static str, detail: &str) -> Outcome {
    Outcome::Refused { code, detail: detail.to_owned() }
}

fn refuse_strict(job: &Job, index: usize, problems: Option<Vec<FieldProblem>>) {
    let outcome = match problems {
        Some(problems) => Outcome::DryRun { status: "quarantined", problems },
        None => refused("batch_refused", "another event of this batch is not valid"),
    };
    ReplySlot { reply: Arc::clone(&job.reply), index }.fill(outcome);
}

fn reused(accepted: &Accepted) -> FieldProblem {
    let kind = if accepted.is_ok() { "event" } else { "item" };
    FieldProblem {
        pointer: "/id".to_owned(),
        code: "event_id_reused",
        detail: format!("the same source and id were used for another {kind}"),
    }
}

fn into_rejected(accepted: Accepted, problem: FieldProblem) -> Rejected {
    match accepted {
        Ok(event) => Rejected {
            code: "event_id_reused",
            problems: vec![problem],
            source: Some(event.source),
            id: Some(event.id),
            raw: event.raw,
        },
        Err(rejected) => rejected,
    }
}
