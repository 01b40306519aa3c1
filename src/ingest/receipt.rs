//! What a poster gets back, event by event, and how it travels through the pipeline.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::crypto::hash::Digest;
use crate::domain::ids::{EventId, SubjectId};
use crate::domain::time::Timestamp;
use crate::schema::FieldProblem;

/// Where a recorded event stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Our id of the event.
    pub event: EventId,
    /// Its place in the log.
    pub position: u64,
    /// SHA-256(0x00 || entry).
    pub leaf: Digest,
    /// The person, when the type has one.
    pub subject: Option<SubjectId>,
    /// When the ledger learnt it.
    pub recorded: Timestamp,
}

/// The answer for one event.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Recorded and committed.
    Recorded(Receipt),
    /// The same (source, id) was recorded before; the first receipt. `compared` says whether the data could still be
    /// compared with the first copy.
    Duplicate {
        /// The first receipt.
        receipt: Receipt,
        /// Whether type, subject and data were compared and are equal.
        compared: bool,
    },
    /// Kept sealed until it is fixed, replayed or discarded. The receipt is the `quarantine.received` entry's.
    Quarantined {
        /// That entry.
        receipt: Receipt,
        /// Why.
        code: &'static str,
        /// Every reason found.
        problems: Vec<FieldProblem>,
    },
    /// Nothing was recorded or kept.
    Refused {
        /// Why.
        code: &'static str,
        /// In words, without any value of the event.
        detail: String,
    },
    /// A dry run: what would have happened.
    DryRun {
        /// `recorded`, `duplicate` or `quarantined`.
        status: &'static str,
        /// Reasons, for `quarantined`.
        problems: Vec<FieldProblem>,
    },
}

/// Why a request as a whole was not answered event by event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The lane's queue is full: try again.
    #[error("too many requests are waiting")]
    QueueFull,
    /// The service is stopping.
    #[error("the service is stopping")]
    Stopping,
    /// The store failed and is read-only until it has been opened and verified again.
    #[error("the store does not take writes: {0}")]
    ReadOnly(String),
    /// Another server appends to this ledger.
    #[error("another server appends to this ledger")]
    NotLeader,
    /// The wall clock is behind the last entry.
    #[error("the clock is behind the last entry")]
    ClockBehind,
    /// The wall clock jumped ahead of the monotonic one.
    #[error("the clock jumped ahead")]
    ClockJump,
    /// A caller's clock on a ledger that has its own, or one behind the last entry of a scratch ledger.
    #[error("{0}")]
    Clock(&'static str),
}

/// One request's answers while they come in.
#[derive(Debug)]
pub(super) struct Reply {
    state: Mutex<ReplyState>,
}

#[derive(Debug)]
struct ReplyState {
    outcomes: Vec<Option<Outcome>>,
    missing: usize,
    done: Option<oneshot::Sender<Result<Vec<Outcome>, SubmitError>>>,
}

impl Reply {
    pub fn new(count: usize) -> (Arc<Reply>, oneshot::Receiver<Result<Vec<Outcome>, SubmitError>>) {
        let (done, receiver) = oneshot::channel();
        let state = ReplyState { outcomes: vec![None; count], missing: count, done: Some(done) };
        let reply = Reply { state: Mutex::new(state) };
        if count == 0 {
            reply.send_if_complete(&mut reply.lock());
        }
        (Arc::new(reply), receiver)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ReplyState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send_if_complete(&self, state: &mut ReplyState) {
        if state.missing == 0
            && let Some(done) = state.done.take()
        {
            let outcomes = state.outcomes.drain(..).flatten().collect();
            // The poster may have gone; what was recorded stays recorded.
            let _gone = done.send(Ok(outcomes));
        }
    }

    fn fill(&self, index: usize, outcome: Outcome) {
        let mut state = self.lock();
        if let Some(slot @ None) = state.outcomes.get_mut(index) {
            *slot = Some(outcome);
            state.missing -= 1;
        }
        self.send_if_complete(&mut state);
    }

    pub fn fail(&self, error: SubmitError) {
        if let Some(done) = self.lock().done.take() {
            let _gone = done.send(Err(error));
        }
    }
}

/// The place of one event's answer.
#[derive(Debug, Clone)]
pub(super) struct ReplySlot {
    pub reply: Arc<Reply>,
    pub index: usize,
}

impl ReplySlot {
    pub fn fill(&self, outcome: Outcome) {
        self.reply.fill(self.index, outcome);
    }
}
