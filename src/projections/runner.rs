//! The runner: one task a ledger feeds every projection from one stream of entries, the live feed or the log.
//!
//! The commit point is `Folded::commit`: rows and cursors in one transaction. A process that dies before it has folded
//! nothing; one that dies after it goes on from the cursor. While a batch is written the next one is read and folded. On
//! Postgres only the server that leads the ledger folds; the others watch the cursors so that `wait_for` works on each.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{Notify, broadcast, watch};
use tokio::task::JoinHandle;

use super::fold::{Folded, Folder};
use super::tracks::Tracks;
use crate::ingest::ledger::{CommittedBatch, Ledger, RawFact};
use crate::ingest::read::ReadError;
use crate::store::StoreError;
use crate::store::views::Track;

/// Entries of one batch: some 20 ms of writing, so that a reader who waits for his own write waits little.
const BATCH_FACTS: u64 = 4_096;
/// Batches being read from the log at a time: opening parts costs more than folding them.
const AHEAD_BATCHES: usize = 3;
/// Below this a batch waits a moment for company: a transaction costs the same for one entry as for a thousand.
const SMALL_BATCH_FACTS: u64 = 1_024;
/// That moment, unless somebody waits for his own write.
const LINGER: Duration = Duration::from_millis(100);
/// How long the feed may be behind the head before the log is read instead.
const FEED_WAIT: Duration = Duration::from_millis(50);
/// How often a server that does not lead looks at the cursors, and one that does looks for a log that others moved.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// After a failure, before the next try.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How far the rows that readers see are behind the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    /// Entries not folded yet.
    pub events: u64,
    /// Microseconds since the last entry folded was recorded; 0 when there is nothing to fold, or nothing was folded yet.
    pub micros: i64,
}

/// What the runner is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The next position that readers do not see yet.
    pub position: u64,
    /// Where a rebuild stands, if one runs.
    pub rebuilding: Option<u64>,
    /// Why the last try failed, while it has not succeeded since.
    pub failure: Option<String>,
}

/// The rows did not reach a position in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("projections stand at {at}, before {wanted}")]
pub struct WaitError {
    /// The next position they will fold.
    pub at: u64,
    /// The position asked for.
    pub wanted: u64,
}

#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("projections cannot be written")]
    Store(#[from] StoreError),
    #[error("the log cannot be read for projections")]
    Read(#[from] ReadError),
    #[error("a task of the projections ended early")]
    Task,
}

struct Shared {
    ledger: Arc<Ledger>,
    readable: watch::Sender<u64>,
    recorded: AtomicI64,
    /// Position of a rebuild plus one; 0: none runs.
    building: AtomicU64,
    rebuild: AtomicBool,
    wake: Notify,
    /// Readers that wait for a position, and the signal that one more does.
    waiting: AtomicU64,
    hurry: Notify,
    failure: Mutex<Option<String>>,
}

/// The running projections of one ledger. Cheap to clone.
#[derive(Clone)]
pub struct Projections {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Projections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Projections").field("status", &self.status()).finish()
    }
}

impl Projections {
    /// Starts the runner of a ledger; it ends when the ledger's tasks are told to stop.
    pub fn start(ledger: Arc<Ledger>) -> Projections {
        let shared = Arc::new(Shared {
            readable: watch::Sender::new(0),
            recorded: AtomicI64::new(0),
            building: AtomicU64::new(0),
            rebuild: AtomicBool::new(false),
            wake: Notify::new(),
            waiting: AtomicU64::new(0),
            hurry: Notify::new(),
            failure: Mutex::new(None),
            ledger,
        });
        let runner = shared.clone();
        shared.ledger.tasks.spawn(async move { run(&runner).await });
        Projections { shared }
    }

    /// The next position that readers do not see yet.
    pub fn position(&self) -> u64 {
        *self.shared.readable.borrow()
    }

    /// How far readers are behind the log.
    pub fn lag(&self) -> Lag {
        let events = self.shared.ledger.size().saturating_sub(self.position());
        let recorded = self.shared.recorded.load(Ordering::Relaxed);
        let micros = match (events, recorded) {
            (0, _) | (_, 0) => 0,
            (_, _) => self.shared.ledger.clock.now().micros().saturating_sub(recorded).max(0),
        };
        Lag { events, micros }
    }

    /// What the runner is doing.
    pub fn status(&self) -> Status {
        Status {
            position: self.position(),
            rebuilding: self.shared.building.load(Ordering::Relaxed).checked_sub(1),
            failure: self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Waits until readers see the entry at `position`, so that who wrote it reads it.
    ///
    /// # Errors
    /// [`WaitError`] after `wait`, with where the rows stand: 503 `projection_behind` outside.
    pub async fn wait_for(&self, position: u64, wait: Duration) -> Result<(), WaitError> {
        let mut readable = self.shared.readable.subscribe();
        let _waiting = Waiting::begin(&self.shared);
        match tokio::time::timeout(wait, readable.wait_for(|next| *next > position)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(WaitError { at: self.position(), wanted: position }),
        }
    }

    /// Builds all rows anew from the log beside those in use, which stay readable and current meanwhile.
    pub fn rebuild(&self) {
        self.shared.building.store(1, Ordering::Relaxed);
        self.shared.rebuild.store(true, Ordering::Relaxed);
        self.shared.wake.notify_one();
    }
}

async fn run(shared: &Arc<Shared>) {
    while !shared.ledger.tasks.is_stopping() {
        let outcome = if shared.ledger.is_leader() { Session::run(shared).await } else { follow(shared).await };
        if let Err(error) = outcome {
            tracing::warn!(ledger = %shared.ledger.id, error = &error as &dyn std::error::Error, "projections stopped, will retry");
            *shared.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
            tokio::select! {
                () = tokio::time::sleep(RETRY_AFTER) => {}
                () = shared.ledger.tasks.stopping() => {}
            }
        }
    }
}

/// Tells readers of this server what another one folded.
async fn follow(shared: &Arc<Shared>) -> Result<(), RunError> {
    let rows = shared.ledger.store().views_cursors().await?;
    let used = rows.iter().filter(|row| row.stage == crate::store::views::Stage::Live);
    if let Some(row) = used.min_by_key(|row| row.position) {
        shared.publish(row.position, row.recorded.micros());
    }
    tokio::select! {
        () = tokio::time::sleep(LOOK_AGAIN) => {}
        () = shared.ledger.tasks.stopping() => {}
    }
    Ok(())
}

/// Counts a waiting reader for as long as it lives.
struct Waiting<'s>(&'s Shared);

impl Waiting<'_> {
    fn begin(shared: &Shared) -> Waiting<'_> {
        shared.waiting.fetch_add(1, Ordering::SeqCst);
        shared.hurry.notify_one();
        Waiting(shared)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Shared {
    /// A moment for more entries to arrive; none while somebody waits.
    async fn linger(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(LINGER) => {}
            () = self.hurry.notified() => {}
            () = self.ledger.tasks.stopping() => {}
        }
    }

    fn publish(&self, readable: u64, recorded: i64) {
        self.recorded.store(recorded, Ordering::Relaxed);
        self.readable.send_if_modified(|at| std::mem::replace(at, readable) != readable);
    }
}

/// A batch on its way into the store.
struct Writing {
    track: Track,
    to: u64,
    recorded: i64,
    done: JoinHandle<Result<(), StoreError>>,
}

/// Entries being read from the log ahead of their use.
struct Ahead {
    first: u64,
    end: u64,
    facts: JoinHandle<Result<Vec<RawFact>, ReadError>>,
}

/// The runner between two failures.
struct Session<'a> {
    shared: &'a Arc<Shared>,
    tracks: Tracks,
    feed: broadcast::Receiver<Arc<CommittedBatch>>,
    queue: VecDeque<Arc<CommittedBatch>>,
    queued: u64,
    /// Whether the feed does not reach back to where the rows stand, so that the log is read.
    behind: bool,
    ahead_live: VecDeque<Ahead>,
    ahead_building: VecDeque<Ahead>,
    writing: Option<Writing>,
}

impl Session<'_> {
    async fn run(shared: &Arc<Shared>) -> Result<(), RunError> {
        // Subscribe before reading the cursors: an entry committed in between is then in the feed or in the log.
        let feed = shared.ledger.subscribe();
        let tracks = Tracks::open(&shared.ledger.store()).await?;
        shared.publish(tracks.readable, tracks.recorded);
        shared.building.store(tracks.rebuilding().map_or(0, |at| at + 1), Ordering::Relaxed);
        let mut session = Session {
            shared,
            tracks,
            feed,
            queue: VecDeque::new(),
            queued: 0,
            behind: true,
            ahead_live: VecDeque::new(),
            ahead_building: VecDeque::new(),
            writing: None,
        };
        let outcome = session.steps().await;
        // What was on its way is written or not by the time the next session reads the cursors.
        let written = session.written().await;
        outcome.and(written)
    }

    async fn steps(&mut self) -> Result<(), RunError> {
        while !self.shared.ledger.tasks.is_stopping() && self.shared.ledger.is_leader() {
            if self.shared.rebuild.swap(false, Ordering::Relaxed) {
                self.written().await?;
                self.tracks = Tracks::rebuild(&self.shared.ledger.store()).await?;
                self.ahead_building.clear();
            }
            let live = self.step_live().await?;
            let built = self.step_building().await?;
            if live || built {
                continue;
            }
            self.written().await?;
            *self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner) = None;
            if !self.tracks.sweep(&self.shared.ledger.store()).await? {
                self.wait().await;
            }
        }
        Ok(())
    }

    /// Folds the next entries into the rows in use; `false` when there are none.
    async fn step_live(&mut self) -> Result<bool, RunError> {
        if self.tracks.live.is_empty() {
            return Ok(false);
        }
        self.drain();
        let waiting = self.shared.ledger.size().saturating_sub(self.tracks.live_next);
        if waiting == 0 && self.queue.is_empty() {
            return Ok(false);
        }
        if waiting < SMALL_BATCH_FACTS {
            self.shared.linger().await;
            self.drain();
        }
        let mut folder = Folder::new(Track::Live, &self.tracks.live, self.tracks.live_next);
        while folder.len() < BATCH_FACTS
            && let Some(batch) = self.queue.front()
        {
            let end = batch.first + batch.facts.len() as u64;
            if batch.first > folder.next() {
                break;
            }
            let skip = usize::try_from(folder.next() - batch.first).unwrap_or(usize::MAX);
            for fact in batch.facts.iter().skip(skip) {
                folder.take(fact);
            }
            debug_assert!(folder.next() >= end);
            self.queued = self.queued.saturating_sub(batch.facts.len() as u64);
            self.queue.pop_front();
        }
        self.behind &= folder.is_empty();
        if folder.is_empty() && !self.behind {
            // The head moves a moment before the feed tells: reading the log now would open these entries twice.
            match tokio::time::timeout(FEED_WAIT, self.feed.recv()).await {
                Ok(Ok(batch)) => self.enqueue(batch),
                Ok(Err(_)) | Err(_) => self.behind = true,
            }
            return Ok(true);
        }
        if folder.is_empty() {
            let end = self.queue.front().map_or(self.shared.ledger.size(), |batch| batch.first);
            for fact in &self.read(Track::Live, self.tracks.live_next, end).await? {
                folder.take(fact);
            }
        }
        if folder.is_empty() {
            return Ok(false);
        }
        self.tracks.live_next = folder.next();
        self.write(Track::Live, folder.finish()).await?;
        Ok(true)
    }

    /// Folds the next entries of a rebuild, and ends it when it has caught up; `false` when there is nothing to build.
    async fn step_building(&mut self) -> Result<bool, RunError> {
        if self.tracks.building.is_empty() {
            return Ok(false);
        }
        let goal = self.tracks.building_goal(self.shared.ledger.size());
        if self.tracks.building_next >= goal {
            // Both tracks must be on disk at this position before one takes the place of the other.
            self.written().await?;
            let store = self.shared.ledger.store();
            self.tracks = Tracks::promote(&store, &self.tracks).await?;
            self.shared.building.store(0, Ordering::Relaxed);
            self.shared.publish(self.tracks.readable, self.shared.recorded.load(Ordering::Relaxed));
            return Ok(true);
        }
        let mut folder = Folder::new(Track::Building, &self.tracks.building, self.tracks.building_next);
        for fact in &self.read(Track::Building, self.tracks.building_next, goal).await? {
            folder.take(fact);
        }
        if folder.is_empty() {
            return Ok(false);
        }
        self.tracks.building_next = folder.next();
        self.shared.building.store(folder.next() + 1, Ordering::Relaxed);
        self.write(Track::Building, folder.finish()).await?;
        Ok(true)
    }

    /// Entries of the log from `first` on, at most a batch of them and none at or past `limit`; begins to read those after.
    async fn read(&mut self, track: Track, first: u64, limit: u64) -> Result<Vec<RawFact>, RunError> {
        let reading = match track {
            Track::Building => &mut self.ahead_building,
            Track::Live => &mut self.ahead_live,
        };
        if limit <= first {
            return Ok(Vec::new());
        }
        // What was read for another place is of no use: the feed caught up meanwhile.
        while reading.front().is_some_and(|ahead| ahead.first != first || ahead.end > limit) {
            reading.pop_front();
        }
        let mut next = reading.back().map_or(first, |ahead| ahead.end);
        while reading.len() < AHEAD_BATCHES && next < limit {
            let (from, end) = (next, limit.min(next + BATCH_FACTS));
            let ledger = self.shared.ledger.clone();
            let facts = self.shared.ledger.tasks.spawn(async move { ledger.facts(from, end).await });
            reading.push_back(Ahead { first: from, end, facts });
            next = end;
        }
        let Some(ahead) = reading.pop_front() else { return Ok(Vec::new()) };
        Ok(ahead.facts.await.map_err(|_| RunError::Task)??)
    }

    /// Hands a batch to the store once the one before it is written.
    async fn write(&mut self, track: Track, folded: Folded) -> Result<(), RunError> {
        self.written().await?;
        let (to, recorded) = (folded.to(), folded.recorded());
        let store = self.shared.ledger.store();
        // An owned task: a transaction of sqlx must not be cancelled half-way.
        let done = self.shared.ledger.tasks.spawn(async move { folded.commit(&store).await });
        self.writing = Some(Writing { track, to, recorded, done });
        Ok(())
    }

    /// Waits for the batch on its way and tells readers.
    async fn written(&mut self) -> Result<(), RunError> {
        let Some(writing) = self.writing.take() else { return Ok(()) };
        writing.done.await.map_err(|_| RunError::Task)??;
        if writing.track == Track::Live {
            // Frozen rows stay where they are until a rebuild replaces them.
            let readable =
                if self.tracks.readable < writing.to && self.frozen() { self.tracks.readable } else { writing.to };
            self.tracks.readable = readable;
            self.shared.publish(readable, writing.recorded);
        }
        Ok(())
    }

    /// Whether some projection in use is not on the live track.
    fn frozen(&self) -> bool {
        self.tracks.live.len() < super::PROJECTIONS.len()
    }

    /// Takes what the feed holds without waiting.
    fn drain(&mut self) {
        loop {
            match self.feed.try_recv() {
                Ok(batch) => self.enqueue(batch),
                Err(TryRecvError::Lagged(_)) => self.behind = true,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
            if self.queued >= 4 * BATCH_FACTS {
                return;
            }
        }
    }

    fn enqueue(&mut self, batch: Arc<CommittedBatch>) {
        // An empty batch was committed before anybody listened: its entries are in the log.
        self.behind |= batch.facts.is_empty();
        if batch.first + batch.facts.len() as u64 > self.tracks.live_next && !batch.facts.is_empty() {
            self.queued += batch.facts.len() as u64;
            self.queue.push_back(batch);
        }
    }

    /// Waits for a commit, a wish to rebuild or the end.
    async fn wait(&mut self) {
        tokio::select! {
            received = self.feed.recv() => match received {
                Ok(batch) => self.enqueue(batch),
                Err(RecvError::Lagged(_)) => self.behind = true,
                // The ledger is closing; the loop sees it.
                Err(RecvError::Closed) => tokio::time::sleep(LOOK_AGAIN).await,
            },
            () = self.shared.wake.notified() => {}
            () = tokio::time::sleep(LOOK_AGAIN) => {}
            () = self.shared.ledger.tasks.stopping() => {}
        }
    }
}
