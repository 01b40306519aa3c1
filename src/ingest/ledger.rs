//! An open ledger: everything that one tenant's log needs while it is served, and the way in.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Notify, broadcast, mpsc, watch};

use super::accept::{AcceptContext, Accepted, accept};
use super::admit::{InFlight, Job, Lane, LaneMessage, SubmitOptions};
use super::append::Appender;
use super::data_keys::DataKeys;
use super::forms::Received;
use super::items::OpenItems;
use super::limits::Limits;
use super::log_key::LogSigners;
use super::receipt::{Outcome, Receipt, Reply, SubmitError};
use super::seal::CitedHeads;
use super::secrets::{LedgerSecrets, SecretsError};
use super::tree::TreeState;
use crate::crypto::keyring::Keyring;
use crate::domain::ids::{EventId, LedgerId, PrincipalId, SubjectId};
use crate::domain::time::Timestamp;
use crate::runtime::{Clock, Randomness, Tasks};
use crate::schema::Registry;
use crate::store::index::{self, Index};
use crate::store::{Head, Location, Store, StoreError};

/// How far the wall clock may be behind the last entry before appends stop; less is clamped.
const CLOCK_BEHIND_MICROS_MAX: i64 = 2_000_000;
/// How far the wall clock may run ahead of the monotonic one within one process.
const CLOCK_JUMP_MICROS_MAX: i64 = 3_600_000_000;
/// Batches that may be sealed and not yet committed.
const SEALED_BATCHES_MAX: usize = 4;
/// Committed batches that a slow reader may fall behind before it has to read the log.
const FEED_BATCHES: usize = 256;

/// How a ledger is opened.
#[derive(Debug, Clone)]
pub struct LedgerOptions {
    /// Its folder: index, checkpoint file, and on SQLite the database files.
    pub folder: PathBuf,
    /// Where its rows are.
    pub location: Location,
    /// Limits by name.
    pub limits: Limits,
}

/// Why a ledger cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no such ledger.
    #[error("there is no ledger {0} here")]
    Absent(LedgerId),
    /// There is one already.
    #[error("ledger {0} exists already")]
    Exists(LedgerId),
    /// The store refuses.
    #[error("store")]
    Store(#[from] StoreError),
    /// The secrets cannot be opened.
    #[error("secrets")]
    Secrets(#[from] SecretsError),
    /// Built-in schemas do not load.
    #[error("schemas")]
    Schemas(#[from] crate::schema::SchemaError),
    /// Customers' types do not load.
    #[error("registered types")]
    CustomTypes(#[from] super::custom_types::CustomTypeError),
    /// The log's keys do not load.
    #[error("log keys")]
    LogKeys(#[from] super::log_key::LogKeyError),
    /// The derived index cannot be used.
    #[error("index")]
    Index(#[from] std::io::Error),
    /// The log cannot be read back.
    #[error("the log cannot be read back at {position}: {what}")]
    Log {
        /// Where.
        position: u64,
        /// What is wrong.
        what: String,
    },
    /// The head is not what was published.
    #[error("rollback or fork: {0}")]
    Rollback(String),
}

/// What committed: the live feed of projections and streams.
#[derive(Debug)]
pub struct CommittedBatch {
    /// First position.
    pub first: u64,
    /// Entries in order; empty when nobody listened.
    pub facts: Vec<RawFact>,
}

/// An entry and what a keyless reader plus the business key may know of it.
#[derive(Debug, Clone)]
pub struct RawFact {
    /// Its position.
    pub position: u64,
    /// Stored bytes.
    pub entry: Vec<u8>,
    /// Plaintext of the business or public part; `None` when its key or payload is gone.
    pub business: Option<Vec<u8>>,
}

/// An open ledger. Shared by reference; all its state is behind it.
pub struct Ledger {
    /// Its id.
    pub id: LedgerId,
    /// Its origin name.
    pub origin: String,
    /// Whether its clock is the caller's.
    pub scratch: bool,
    /// Its folder.
    pub folder: PathBuf,
    /// How it was opened.
    pub options: LedgerOptions,
    /// Its clock.
    pub clock: Clock,
    /// Its randomness.
    pub random: Randomness,
    /// Tasks of the service.
    pub tasks: Tasks,
    /// Opened secrets.
    pub secrets: LedgerSecrets,
    pub(super) keyring: Arc<Keyring>,
    pub(super) deks: DataKeys,
    store: RwLock<Store>,
    registry: RwLock<Arc<Registry>>,
    index: RwLock<Index>,
    /// Held by whoever writes, merges or rewrites runs of the index.
    pub(super) index_work: Mutex<()>,
    tree: RwLock<TreeState>,
    in_flight: Mutex<InFlight>,
    drained: Notify,
    head: watch::Sender<Option<Head>>,
    feed: broadcast::Sender<Arc<CommittedBatch>>,
    queue: RwLock<Option<mpsc::Sender<LaneMessage>>>,
    generation: AtomicU64,
    leader: AtomicBool,
    pub(super) signers: RwLock<LogSigners>,
    /// Held while the log key changes.
    pub(super) rotating: tokio::sync::Mutex<()>,
    read_only: Mutex<Option<String>>,
    pub(super) items: Mutex<OpenItems>,
    clock_anchor: Mutex<(i64, Duration)>,
    catching_up: tokio::sync::Mutex<()>,
    /// Persons erased by others, to be forgotten by this process's index.
    pub(super) erased_elsewhere: Mutex<Vec<SubjectId>>,
    /// Who keeps what was opened.
    pub(super) forgetting: Mutex<Vec<Weak<dyn super::erasure::Forgets>>>,
    /// Held while keys are being destroyed: erasures and retention go one after the other.
    pub destroying: tokio::sync::Mutex<()>,
    pub(super) noted: Mutex<super::noted::Noted>,
    /// Held while the log is read for them.
    pub(super) noted_reading: tokio::sync::Mutex<()>,
    pub(super) horizons: tokio::sync::Mutex<super::horizon::Horizons>,
    pub(super) lists: tokio::sync::Mutex<super::lists::Lists>,
    /// Held while a list is taken in.
    pub(super) importing: tokio::sync::Mutex<()>,
    /// Number of the next registration of a customer's type; held while one is registered.
    pub(super) registering: tokio::sync::Mutex<u64>,
}

impl Ledger {
    /// Opens a ledger that `create` made: runs the start-up checks, rebuilds what is derived, starts lane and appender.
    ///
    /// # Errors
    /// [`OpenError`] says which check refused.
    pub async fn open(
        id: LedgerId,
        options: LedgerOptions,
        keyring: Arc<Keyring>,
        clock: Clock,
        random: Randomness,
        tasks: Tasks,
    ) -> Result<Arc<Ledger>, OpenError> {
        let store = Store::open(&options.location, id).await?;
        let report = store.startup_check().await?;
        let row = store.ledger_row().await?.ok_or(OpenError::Absent(id))?;
        let secrets = LedgerSecrets::open(&store, &keyring).await?;
        let size = report.head.map_or(0, |head| head.size);
        let index = Index::open(&options.folder.join("index"), size, options.limits.index_tail_positions)?;
        let postgres = store.engine() == "postgres";
        let anchor = (clock.now().micros(), clock.elapsed());
        let ledger = Arc::new(Ledger {
            id,
            origin: row.origin,
            scratch: row.scratch,
            folder: options.folder.clone(),
            options,
            clock,
            random,
            tasks,
            signers: RwLock::new(LogSigners::first(Arc::clone(&secrets.log))),
            rotating: tokio::sync::Mutex::new(()),
            secrets,
            keyring,
            deks: DataKeys::new(id, postgres),
            store: RwLock::new(store),
            registry: RwLock::new(Arc::new(Registry::builtin()?)),
            index: RwLock::new(index),
            index_work: Mutex::new(()),
            tree: RwLock::new(TreeState::default()),
            in_flight: Mutex::new(InFlight::default()),
            drained: Notify::new(),
            head: watch::Sender::new(None),
            feed: broadcast::Sender::new(FEED_BATCHES),
            queue: RwLock::new(None),
            generation: AtomicU64::new(0),
            leader: AtomicBool::new(true),
            read_only: Mutex::new(None),
            items: Mutex::new(OpenItems::default()),
            clock_anchor: Mutex::new(anchor),
            catching_up: tokio::sync::Mutex::new(()),
            erased_elsewhere: Mutex::new(Vec::new()),
            forgetting: Mutex::default(),
            destroying: tokio::sync::Mutex::new(()),
            noted: Mutex::default(),
            noted_reading: tokio::sync::Mutex::new(()),
            horizons: tokio::sync::Mutex::default(),
            lists: tokio::sync::Mutex::default(),
            importing: tokio::sync::Mutex::new(()),
            registering: tokio::sync::Mutex::new(0),
        });
        ledger.rebuild().await?;
        ledger.custom_types_load().await?;
        ledger.log_signers_load().await?;
        Arc::clone(&ledger).start();
        Ok(ledger)
    }

    /// Starts the lane and the appender. Both end when [`Ledger::close`] drops the queue, after answering what they have.
    fn start(self: Arc<Ledger>) {
        let (to_lane, from_posters) = mpsc::channel(self.options.limits.queue_requests_max);
        let (to_appender, from_lane) = mpsc::channel(SEALED_BATCHES_MAX);
        // Room for all that can come back at once, so that the appender never waits for a lane that waits for it.
        let (again, from_appender) = mpsc::channel(SEALED_BATCHES_MAX + 4);
        *self.queue.write().unwrap_or_else(PoisonError::into_inner) = Some(to_lane);
        let lane = Lane::new(Arc::clone(&self), to_appender);
        self.tasks.spawn(lane.run(from_posters, from_appender));
        let appender = Appender::new(Arc::clone(&self), again);
        self.tasks.spawn(appender.run(from_lane));
    }

    /// Refuses new events; those accepted are answered by the tasks that end now.
    pub fn close(&self) {
        self.queue.write().unwrap_or_else(PoisonError::into_inner).take();
    }

    // -- the way in -------------------------------------------------------------------------------------------------

    /// Validates events without recording anything: pure, on the caller's task.
    pub(super) fn accept_all(&self, events: &[Received], options: &SubmitOptions) -> Vec<Accepted> {
        let registry = self.registry();
        let context = AcceptContext {
            registry: &registry,
            secrets: &self.secrets,
            limits: &self.options.limits,
            now: options.now.unwrap_or_else(|| self.now()),
            service: options.service,
        };
        events.iter().map(|received| accept(&context, received)).collect()
    }

    /// Records events. One outcome per event, in order; every `Recorded` and `Quarantined` is committed.
    ///
    /// # Errors
    /// [`SubmitError`] when the request as a whole could not be served; it says whether trying again helps. After
    /// `ReadOnly` the outcome is unknown: post again with the same ids.
    pub async fn submit(&self, events: Vec<Received>, options: SubmitOptions) -> Result<Vec<Outcome>, SubmitError> {
        self.submit_citing(events, options, Arc::new([])).await
    }

    /// As [`Ledger::submit`], for events that were made from what was known of these subjects: each is recorded only if at
    /// commit every cited entry still is the subject's last, else its outcome is `Refused` with the code `head_moved`.
    ///
    /// # Errors
    /// As [`Ledger::submit`].
    pub async fn submit_citing(
        &self,
        events: Vec<Received>,
        options: SubmitOptions,
        cites: CitedHeads,
    ) -> Result<Vec<Outcome>, SubmitError> {
        if options.now.is_some() && !self.scratch {
            return Err(SubmitError::Clock("only a scratch ledger takes its clock from the caller"));
        }
        if !self.is_leader() {
            return Err(SubmitError::NotLeader);
        }
        if let Some(why) = self.read_only_reason() {
            return Err(SubmitError::ReadOnly(why));
        }
        let accepted = self.accept_all(&events, &options);
        let (reply, answer) = Reply::new(events.len());
        let job = Job { indexes: (0..events.len()).collect(), events, options, reply, cites };
        let queue = self.queue.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(queue) = queue else { return Err(SubmitError::Stopping) };
        queue.try_send(LaneMessage::Fresh(job, accepted)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SubmitError::QueueFull,
            mpsc::error::TrySendError::Closed(_) => SubmitError::Stopping,
        })?;
        drop(queue);
        answer.await.unwrap_or(Err(SubmitError::Stopping))
    }

    /// Records an event of the service itself.
    ///
    /// # Errors
    /// As [`Ledger::submit`]; data that its own schema refuses is [`SubmitError::ReadOnly`], a defect that must be seen.
    pub async fn record_own(
        &self,
        event_type: &str,
        subject: Option<SubjectId>,
        data: Value,
        actor: PrincipalId,
        now: Option<Timestamp>,
    ) -> Result<Receipt, SubmitError> {
        let receipts = self.record_own_all(vec![(event_type, subject, data)], actor, now).await?;
        receipts.into_iter().next().ok_or(SubmitError::Stopping)
    }

    /// Records several events of the service itself, in order, all or none.
    ///
    /// # Errors
    /// As [`Ledger::record_own`].
    pub async fn record_own_all(
        &self,
        events: Vec<(&str, Option<SubjectId>, Value)>,
        actor: PrincipalId,
        now: Option<Timestamp>,
    ) -> Result<Vec<Receipt>, SubmitError> {
        let types: Vec<String> = events.iter().map(|(event_type, ..)| (*event_type).to_owned()).collect();
        let events =
            events.into_iter().map(|(event_type, subject, data)| self.own(event_type, subject, data)).collect();
        let options = SubmitOptions { actor, strict: true, dry_run: false, now, service: true, closing: None };
        let outcomes = self.submit(events, options).await?;
        let receipts = outcomes.into_iter().zip(types).map(|(outcome, event_type)| match outcome {
            Outcome::Recorded(receipt) | Outcome::Duplicate { receipt, .. } => Ok(receipt),
            other => Err(SubmitError::ReadOnly(format!("the service's own {event_type} was refused: {other:?}"))),
        });
        receipts.collect()
    }

    fn own(&self, event_type: &str, subject: Option<SubjectId>, data: Value) -> Received {
        Received { raw: self.own_event(event_type, subject, data).to_string().into() }
    }

    /// An event of the service itself, with an id of its own.
    pub(super) fn own_event(&self, event_type: &str, subject: Option<SubjectId>, data: Value) -> Value {
        let id = EventId::from_bytes(crate::domain::ids::uuid_v7(self.now().unix_ms(), self.random.bytes()));
        let mut event = serde_json::json!({
            "specversion": "1.0", "id": id.to_string(), "source": "/tallystick", "type": event_type, "data": data,
        });
        if let (Some(subject), Value::Object(event)) = (subject, &mut event) {
            event.insert("subject".to_owned(), Value::String(subject.to_string()));
        }
        event
    }

    // -- what others read -------------------------------------------------------------------------------------------

    /// The ledger's now: the caller's clock has passed here, so on a scratch ledger the later of wall clock and last entry.
    pub fn now(&self) -> Timestamp {
        let wall = self.clock.now();
        match self.head() {
            Some(head) if self.scratch && head.recorded > wall => head.recorded,
            _ => wall,
        }
    }

    /// Entries committed.
    pub fn size(&self) -> u64 {
        self.head.borrow().map_or(0, |head| head.size)
    }

    /// The committed head.
    pub fn head(&self) -> Option<Head> {
        *self.head.borrow()
    }

    /// Told at every commit.
    pub fn head_watch(&self) -> watch::Receiver<Option<Head>> {
        self.head.subscribe()
    }

    /// Size and root of the committed tree, of one moment.
    pub fn root_now(&self) -> (u64, crate::crypto::hash::Digest) {
        let tree = self.tree_read();
        (tree.size(), tree.root())
    }

    /// The live feed. A reader that falls behind is told so and reads the log instead.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<CommittedBatch>> {
        self.feed.subscribe()
    }

    /// Types and their rules as they are now.
    pub fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.registry.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts a registry with more types in place.
    pub fn registry_set(&self, registry: Registry) {
        *self.registry.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(registry);
    }

    /// The ledger's rows.
    pub fn store(&self) -> Store {
        self.store.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether this server may append (always, on SQLite).
    pub fn is_leader(&self) -> bool {
        self.leader.load(Ordering::SeqCst)
    }

    /// Takes or gives up the right to append; what the other server wrote must be caught up with before taking it.
    pub fn leader_set(&self, leader: bool) {
        self.leader.store(leader, Ordering::SeqCst);
    }

    /// Why the ledger takes no writes at the moment.
    pub fn read_only_reason(&self) -> Option<String> {
        self.read_only.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Requests waiting for the lane.
    pub fn queue_len(&self) -> usize {
        let queue = self.queue.read().unwrap_or_else(PoisonError::into_inner);
        queue.as_ref().map_or(0, |queue| queue.max_capacity() - queue.capacity())
    }

    /// Confirms that the wall clock's jump was meant.
    pub fn clock_confirm(&self) {
        *self.clock_anchor.lock().unwrap_or_else(PoisonError::into_inner) =
            (self.clock.now().micros(), self.clock.elapsed());
    }

    // -- inside the pipeline ----------------------------------------------------------------------------------------

    /// The time to record at: the clock's, held at the last entry's when it is a little behind.
    pub(super) fn recording_time(&self, asked: Option<Timestamp>) -> Result<Timestamp, SubmitError> {
        let last = self.head().map(|head| head.recorded);
        if let Some(asked) = asked {
            return match last {
                Some(last) if asked < last => Err(SubmitError::Clock("Tallystick-Now is behind the last entry")),
                _ => Ok(asked),
            };
        }
        let now = self.clock.now();
        if self.scratch {
            return Ok(last.map_or(now, |last| last.max(now)));
        }
        let (wall, elapsed) = *self.clock_anchor.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = self.clock.elapsed().saturating_sub(elapsed);
        let expected = wall.saturating_add(i64::try_from(passed.as_micros()).unwrap_or(i64::MAX));
        if now.micros().saturating_sub(expected) > CLOCK_JUMP_MICROS_MAX {
            return Err(SubmitError::ClockJump);
        }
        match last {
            Some(last) if last.micros_since(now) > CLOCK_BEHIND_MICROS_MAX => Err(SubmitError::ClockBehind),
            Some(last) => Ok(last.max(now)),
            None => Ok(now),
        }
    }

    /// Number of the ground that events are judged on: what was judged on an older one must be judged again.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    pub(super) fn generation_next(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn index_read(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn index_write(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tree_read(&self) -> RwLockReadGuard<'_, TreeState> {
        self.tree.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tree_write(&self) -> RwLockWriteGuard<'_, TreeState> {
        self.tree.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn in_flight(&self) -> MutexGuard<'_, InFlight> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn in_flight_end(&self, batches: usize) {
        let mut in_flight = self.in_flight();
        in_flight.batches = in_flight.batches.saturating_sub(batches);
        drop(in_flight);
        self.drained.notify_waiters();
    }

    /// Waits until nothing is between lane and log.
    pub(super) async fn drained(&self) {
        loop {
            let notified = self.drained.notified();
            if self.in_flight().batches == 0 {
                return;
            }
            notified.await;
        }
    }

    /// Forgets what is in flight, none of which will be committed as it stands. Only the lane calls this, when the appender
    /// has sent back everything: an event forgotten earlier could be let in a second time beside its first copy.
    pub(super) fn forget_in_flight(&self) {
        let waiters = self.in_flight().abandon();
        for waiter in waiters {
            waiter
                .reply
                .fail(SubmitError::ReadOnly("the first copy of this event was not recorded; post again".to_owned()));
        }
    }

    pub(super) fn head_set(&self, head: Head) {
        self.head.send_replace(Some(head));
    }

    pub(super) fn feed_wanted(&self) -> bool {
        self.feed.receiver_count() > 0
    }

    pub(super) fn feed(&self, batch: CommittedBatch) {
        // Nobody listening is no failure.
        let _nobody = self.feed.send(Arc::new(batch));
    }

    /// Freezes, writes and merges index runs off the append path, when due.
    pub(super) fn index_upkeep(self: &Arc<Ledger>) {
        let size = self.size();
        let Some((folder, _tail, end)) = self.index_write().freeze(size) else { return };
        let ledger = Arc::clone(self);
        self.tasks.spawn_blocking(move || {
            if let Err(error) = ledger.index_write_out(&folder, end) {
                // The frozen tail stays in memory and answers; the next start rebuilds from the log.
                tracing::error!(error = %error, "index.run cannot be written");
            }
        });
    }

    fn index_write_out(&self, folder: &Path, end: u64) -> Result<(), index::RunError> {
        let _alone = self.index_work.lock().unwrap_or_else(PoisonError::into_inner);
        // As it is now: somebody may have been forgotten since it was frozen.
        let Some(tail) = self.index_read().frozen() else { return Ok(()) };
        let runs = index::write_runs(folder, &tail, end)?;
        self.index_write().install(runs);
        self.noted_keep(end);
        loop {
            let Some(plan) = self.index_read().merge_due() else { return Ok(()) };
            let merged = index::write_merged(&plan)?;
            self.index_write().install_merged(&plan, merged)?;
        }
    }

    /// Stops writes and tries, until it works, to open the store anew and to verify it against what was acknowledged.
    pub(super) fn recover(self: &Arc<Ledger>, why: String) {
        {
            let mut read_only = self.read_only.lock().unwrap_or_else(PoisonError::into_inner);
            if read_only.is_some() {
                return;
            }
            *read_only = Some(why);
        }
        let ledger = Arc::clone(self);
        self.tasks.spawn(async move {
            while !ledger.tasks.is_stopping() {
                tokio::time::sleep(Duration::from_secs(1)).await;
                match ledger.reopen().await {
                    Ok(()) => {
                        ledger.read_only.lock().unwrap_or_else(PoisonError::into_inner).take();
                        tracing::warn!("store.reopened and verified; writes go on");
                        return;
                    }
                    Err(error) => tracing::error!(error = %error, "store.reopen failed"),
                }
            }
        });
    }

    async fn reopen(&self) -> Result<(), OpenError> {
        self.drained().await;
        let acknowledged = self.head();
        let old = self.store();
        old.close().await;
        let store = Store::open(&self.options.location, self.id).await?;
        let report = store.startup_check().await?;
        *self.store.write().unwrap_or_else(PoisonError::into_inner) = store;
        let size = report.head.map_or(0, |head| head.size);
        if let Some(acknowledged) = acknowledged
            && size < acknowledged.size
        {
            return Err(OpenError::Rollback(format!(
                "the store holds {size} entries, {} were acknowledged",
                acknowledged.size
            )));
        }
        self.catch_up().await?;
        Ok(())
    }

    /// Serialises all that moves this process's knowledge of the log forward: its own commits, from the statement to the
    /// index, and what it learns of others'. Both at once would put the same leaves into the tree twice.
    pub(super) async fn catch_up_lock(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.catching_up.lock().await
    }
}
