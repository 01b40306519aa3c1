//! The appender: one task per ledger that links sealed events and commits them.
//!
//! Order, and what each step's death means: (1) link, in memory only; (2) commit, the point from which the events exist;
//! (3) index, tree, head, in memory; (4) receipts; (5) live feed. A process that dies before (2) has acknowledged nothing
//! of the batch; after (2) everything is rebuilt from the log. An error at (2) is *unknown* until the head was read again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::admit::{LaneMessage, SealingBatch};
use super::ledger::{CommittedBatch, Ledger, RawFact};
use super::link::{Linked, LinkedEvent, link};
use super::receipt::{Outcome, SubmitError};
use super::seal::{Answer, Sealed};
use crate::chain::decode::EntryRef;
use crate::chain::entry::EntryError;
use crate::domain::ids::SubjectId;
use crate::domain::time::Quarter;
use crate::store::index::{IdMap, NOBODY, RunError, SubjectHead};
use crate::store::{AppendError, Head, StoreError};

/// Events that one commit takes: enough to fill a sync's time, few enough that a single event does not wait long.
const COMMIT_EVENTS_MAX: usize = 8_000;
/// How often a server that may not append looks at what the other one wrote.
const FOLLOW_EVERY: Duration = Duration::from_millis(200);

/// Why the appender could not go on with a batch.
#[derive(Debug, thiserror::Error)]
pub(super) enum AppenderError {
    #[error("an entry breaks the format")]
    Entry(#[from] EntryError),
    #[error("index")]
    Run(#[from] RunError),
    #[error("store")]
    Store(#[from] StoreError),
    #[error("a sealing task died")]
    Sealing(#[from] tokio::task::JoinError),
    #[error("an event could not be sealed")]
    Seal(#[from] super::seal::SealEventError),
    #[error("the index names a head at {0} that the log does not")]
    Head(u64),
}

pub(super) struct Appender {
    ledger: Arc<Ledger>,
    lane: mpsc::Sender<LaneMessage>,
}

/// What became of a commit.
enum Committed {
    Yes,
    /// Another writer was first; nothing of this batch is in the log.
    Overtaken,
    /// The store failed; the batch is not in the log.
    No(String),
}

impl Appender {
    pub fn new(ledger: Arc<Ledger>, lane: mpsc::Sender<LaneMessage>) -> Appender {
        Appender { ledger, lane }
    }

    /// Runs until the lane has ended and everything it sent is answered.
    pub async fn run(self, mut queue: mpsc::Receiver<SealingBatch>) {
        let mut carried: VecDeque<SealingBatch> = VecDeque::new();
        loop {
            let first = match carried.pop_front() {
                Some(batch) => batch,
                None => match tokio::time::timeout(FOLLOW_EVERY, queue.recv()).await {
                    Ok(Some(batch)) => batch,
                    Ok(None) => return,
                    Err(_idle) => {
                        self.follow().await;
                        continue;
                    }
                },
            };
            let mut count = first.count;
            let mut batches = vec![first];
            // Take what is sealed already; never wait for what is not while something is ready to commit.
            while count < COMMIT_EVENTS_MAX && batches.iter().all(|batch| batch.now.is_none()) {
                let Ok(next) = queue.try_recv() else { break };
                let ready = next.sealing.iter().all(JoinHandle::is_finished)
                    && next.keys_stored.as_ref().is_none_or(JoinHandle::is_finished);
                if !ready || next.now.is_some() || batches.first().is_some_and(|first| first.quarter != next.quarter) {
                    carried.push_back(next);
                    break;
                }
                count += next.count;
                batches.push(next);
            }
            self.commit(batches).await;
        }
    }

    /// On a server that may not append: take in what the other one wrote.
    async fn follow(&self) {
        if !self.ledger.is_leader()
            && let Err(error) = self.ledger.catch_up().await
        {
            tracing::warn!(error = %error, "append.follow failed");
        }
    }

    async fn commit(&self, batches: Vec<SealingBatch>) {
        let count = batches.len();
        let (sealing, jobs): (Vec<_>, Vec<_>) = batches
            .into_iter()
            .map(|batch| {
                let SealingBatch { sealing, keys_stored, quarter, now, generation, heads, jobs, .. } = batch;
                ((sealing, keys_stored, quarter, now, generation, heads), jobs)
            })
            .unzip();
        let jobs: Vec<_> = jobs.into_iter().flatten().collect();
        let mut events: Vec<Sealed> = Vec::new();
        let mut heads = IdMap::default();
        let (mut generation, mut quarter, mut now) = (u64::MAX, None, None);
        let mut failure = None;
        let mut keys_taken = false;
        for (handles, keys_stored, batch_quarter, batch_now, batch_generation, batch_heads) in sealing {
            generation = generation.min(batch_generation);
            quarter = Some(batch_quarter);
            now = now.or(batch_now);
            heads.extend(batch_heads);
            for handle in handles {
                match handle.await.map_err(AppenderError::from).and_then(|sealed| sealed.map_err(AppenderError::from)) {
                    Ok(sealed) => events.extend(sealed),
                    Err(error) => failure = Some(error),
                }
            }
            // Keys must be durable before entries cite them.
            let Some(stored) = keys_stored else { continue };
            match stored.await.map_err(AppenderError::from).and_then(|stored| stored.map_err(AppenderError::from)) {
                Ok(stored) => keys_taken |= !stored,
                Err(error) => failure = Some(error),
            }
        }
        if keys_taken || failure.is_some() {
            self.ledger.deks.clear();
        }
        let outcome = match failure {
            Some(error) => Err(error),
            None if keys_taken => {
                self.ledger.generation_next();
                Ok(false)
            }
            None => self.link_and_commit(events, heads, generation, quarter, now).await,
        };
        if outcome.is_err() {
            // Later batches may name people and keys of this one.
            self.ledger.generation_next();
        }
        self.ledger.in_flight_end(count);
        match outcome {
            Ok(true) => {}
            Ok(false) if !self.ledger.is_leader() => {
                jobs.iter().for_each(|job| job.reply.fail(SubmitError::NotLeader));
                self.again(Vec::new()).await;
            }
            Ok(false) => self.again(jobs).await,
            Err(error) => {
                tracing::error!(error = %error, source = ?std::error::Error::source(&error), "append.commit failed");
                let why = SubmitError::ReadOnly(error.to_string());
                jobs.iter().for_each(|job| job.reply.fail(why.clone()));
                self.ledger.recover(error.to_string());
                self.again(Vec::new()).await;
            }
        }
    }

    /// Sends requests through the lane again; with none, only wakes it to forget what was in flight.
    async fn again(&self, jobs: Vec<super::admit::Job>) {
        if let Err(mpsc::error::SendError(LaneMessage::Again(jobs))) = self.lane.send(LaneMessage::Again(jobs)).await {
            jobs.iter().for_each(|job| job.reply.fail(SubmitError::Stopping));
        }
    }

    /// `Ok(true)`: committed and answered. `Ok(false)`: the ground moved, the requests must go through the lane again.
    async fn link_and_commit(
        &self,
        events: Vec<Sealed>,
        heads: IdMap<SubjectId, SubjectHead>,
        generation: u64,
        quarter: Option<Quarter>,
        now: Option<crate::domain::time::Timestamp>,
    ) -> Result<bool, AppenderError> {
        let ledger = &self.ledger;
        // From here to the published batch nobody else may move what this process knows of the log.
        let moving = ledger.catch_up_lock().await;
        if generation != ledger.generation() {
            return Ok(false);
        }
        let recorded = ledger.recording_time(now).ok();
        let same_quarter = recorded.filter(|now| quarter.is_none_or(|quarter| quarter == Quarter::of(*now)));
        let Some(recorded) = same_quarter else {
            ledger.generation_next();
            return Ok(false);
        };
        let head = ledger.head();
        let events = self.cited(events)?;
        if events.is_empty() {
            return Ok(true);
        }
        let unknown = self.heads_missing(&events, &heads)?;
        let looked_up = self.heads_verified(unknown).await?;
        let Linked { batch, growth, events } = {
            let index = ledger.index_read();
            let tree = ledger.tree_read();
            link(head, &tree, recorded, events, |subject| -> Result<_, AppenderError> {
                Ok(match index.head(subject.as_bytes())? {
                    Some(found) if found.certain => Some(found.head),
                    Some(_) => heads.get(subject).or_else(|| looked_up.get(subject)).copied(),
                    None => None,
                })
            })?
        };
        let next = batch.next;
        let entries = ledger.feed_wanted().then(|| batch.entries.clone());
        match self.append(batch).await {
            Committed::Yes => {}
            Committed::Overtaken => {
                drop(moving);
                ledger.catch_up().await?;
                let now = ledger.head();
                if now == head {
                    return Err(AppenderError::Store(StoreError::Check(
                        "a row was refused under an unmoved head".to_owned(),
                    )));
                }
                if now.map(|head| head.epoch) != head.map(|head| head.epoch) {
                    // Somebody raised the fence: the lease is his until this server takes it again.
                    ledger.leader_set(false);
                }
                return Ok(false);
            }
            Committed::No(why) => return Err(AppenderError::Store(StoreError::Check(why))),
        }
        self.publish(next, growth, events, entries);
        Ok(true)
    }

    /// Leaves out events that cite a head which is no longer the subject's last, and says so to their posters: what they
    /// were made from has changed, so they must be made again.
    fn cited(&self, events: Vec<Sealed>) -> Result<Vec<Sealed>, AppenderError> {
        if !events.iter().any(|event| matches!(event.reply, Some(Answer::Cited(..)))) {
            return Ok(events);
        }
        let mut kept: Vec<Sealed> = Vec::with_capacity(events.len());
        let mut touched: IdMap<SubjectId, ()> = IdMap::default();
        let mut binding = None;
        for event in events {
            if let Some(Answer::Cited(slot, heads)) = &event.reply
                && self.heads_moved(heads, &touched)?
            {
                self.ledger.in_flight().events.remove(&event.dedupe);
                slot.fill(Outcome::Refused { code: "head_moved", detail: "a cited head moved".to_owned() });
                touched.extend(binding.take().map(|subject| (subject, ())));
                continue;
            }
            // Identifiers that an event brings are bound directly before it: its own doing, not news to it.
            touched.extend(binding.take().map(|subject| (subject, ())));
            if event.binding {
                binding = event.subject;
            } else {
                touched.extend(event.subject.map(|subject| (subject, ())));
            }
            kept.push(event);
        }
        Ok(kept)
    }

    fn heads_moved(
        &self,
        cited: &[(SubjectId, Option<SubjectHead>)],
        touched: &IdMap<SubjectId, ()>,
    ) -> Result<bool, AppenderError> {
        let index = self.ledger.index_read();
        for (subject, head) in cited {
            let last = index.head(subject.as_bytes())?.map(|found| found.head);
            if last != *head || touched.contains_key(subject) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Subjects whose heads only a run knows and the lane did not look at.
    fn heads_missing(
        &self,
        events: &[Sealed],
        known: &IdMap<SubjectId, SubjectHead>,
    ) -> Result<Vec<(SubjectId, SubjectHead)>, AppenderError> {
        let index = self.ledger.index_read();
        let mut missing = Vec::new();
        for subject in events.iter().filter_map(|event| event.subject) {
            if !known.contains_key(&subject)
                && let Some(found) = index.head(subject.as_bytes())?.filter(|found| !found.certain)
            {
                missing.push((subject, found.head));
            }
        }
        Ok(missing)
    }

    async fn heads_verified(
        &self,
        unknown: Vec<(SubjectId, SubjectHead)>,
    ) -> Result<IdMap<SubjectId, SubjectHead>, AppenderError> {
        let positions: Vec<u64> = unknown.iter().map(|(_, head)| head.position).collect();
        let mut verified = IdMap::with_capacity_and_hasher(unknown.len(), Default::default());
        for (position, entry) in self.ledger.store().entries_at(&positions).await? {
            let link = EntryRef::decode(&entry)?.subject.ok_or(AppenderError::Head(position))?;
            verified.insert(link.subject, SubjectHead { sequence: link.sequence, position });
        }
        match unknown.iter().find(|(subject, head)| verified.get(subject) != Some(head)) {
            Some((_, head)) => Err(AppenderError::Head(head.position)),
            None => Ok(verified),
        }
    }

    async fn append(&self, batch: crate::store::AppendBatch) -> Committed {
        let (expected, next) = (batch.expected, batch.next);
        match self.ledger.store().append(batch).await {
            Ok(()) => Committed::Yes,
            Err(AppendError::HeadMoved | AppendError::Conflict) => Committed::Overtaken,
            Err(AppendError::Failed(error)) => {
                tracing::error!(error = ?error, "append failed before commit");
                Committed::No("the write failed".to_owned())
            }
            Err(AppendError::Unknown(error)) => {
                tracing::error!(error = %error, "commit is unknown");
                self.settle_unknown(expected, next).await
            }
        }
    }

    /// Reads the head until it answers: a commit whose answer was lost is committed, or it is not.
    async fn settle_unknown(&self, expected: Option<Head>, next: Head) -> Committed {
        for attempt in 0..40u32 {
            match self.ledger.store().head().await {
                Ok(Some(head)) if head.size == next.size && head.leaf == next.leaf => return Committed::Yes,
                Ok(head) if head == expected => return Committed::No("the commit did not happen".to_owned()),
                Ok(_) => return Committed::Overtaken,
                Err(error) => {
                    tracing::warn!(error = %error, attempt, "the head cannot be read yet");
                    tokio::time::sleep(Duration::from_millis(50 << attempt.min(4))).await;
                }
            }
        }
        Committed::No("the head cannot be read".to_owned())
    }

    /// Steps 3 to 5: what the log now says becomes what this process knows and what posters are told.
    fn publish(&self, head: Head, growth: super::tree::TreeState, events: Vec<LinkedEvent>, entries: Option<Vec<u8>>) {
        let ledger = &self.ledger;
        {
            let mut index = ledger.index_write();
            let tail = index.tail_mut();
            for event in &events {
                let subject = event.receipt.subject.as_ref();
                let link = subject.map(|subject| (subject.as_bytes(), event.sequence));
                tail.entry(event.receipt.position, &event.sealed.dedupe, link);
                let owner = subject.map_or(NOBODY, |subject| *subject.as_bytes());
                for blind in &event.sealed.binds {
                    tail.bind(*blind, owner);
                }
            }
            for event in &events {
                for (bare, subject) in event.sealed.bare_refs.iter().zip(event.receipt.subject.iter().cycle()) {
                    index.bind_bare(*bare, *subject.as_bytes());
                }
            }
            ledger.tree_write().absorb(growth);
        }
        for event in events.iter().filter(|event| !event.sealed.noted.is_empty()) {
            ledger.note(event.receipt.position, event.sealed.noted);
        }
        ledger.head_set(head);
        {
            let mut in_flight = ledger.in_flight();
            for event in &events {
                in_flight.settle(&event.sealed.dedupe, &event.sealed.binds, &event.receipt);
            }
        }
        for event in &events {
            if let Some(change) = event.sealed.item {
                ledger.item_changed(change, event.receipt.event, event.receipt.position);
            }
        }
        let first = events.first().map_or(head.size, |event| event.receipt.position);
        let mut facts = Vec::with_capacity(if entries.is_some() { events.len() } else { 0 });
        let mut rest = entries.as_deref().unwrap_or_default();
        for event in events {
            if let Some(answer) = event.sealed.reply {
                let receipt = event.receipt;
                match answer {
                    Answer::Recorded(slot) | Answer::Cited(slot, _) => slot.fill(Outcome::Recorded(receipt)),
                    Answer::Quarantined(slot, code, problems) => {
                        slot.fill(Outcome::Quarantined { receipt, code, problems });
                    }
                }
            }
            if entries.is_some() {
                let (entry, after) = rest.split_at(event.length.min(rest.len()));
                rest = after;
                let business = Some(event.sealed.business).filter(|business| !business.is_empty());
                facts.push(RawFact { position: first + facts.len() as u64, entry: entry.to_vec(), business });
            }
        }
        ledger.feed(CommittedBatch { first, facts });
        ledger.index_upkeep();
    }
}
