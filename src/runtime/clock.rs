//! Where "now" comes from: the machine, or a test's hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::domain::time::Timestamp;

/// A clock that tells UTC and a monotonic duration. Cheap to clone; clones tell the same time.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The machine's clocks; `started` anchors the monotonic one.
    System {
        /// When this process began to look.
        started: Instant,
    },
    /// Microseconds set by hand; both clocks move together.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Clock {
        Clock::System { started: Instant::now() }
    }

    /// A clock that stands still until it is set.
    pub fn manual(at: Timestamp) -> Clock {
        Clock::Manual(Arc::new(AtomicI64::new(at.micros())))
    }

    /// The wall clock. A machine set before 1970 tells the epoch.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the machine")]
    pub fn now(&self) -> Timestamp {
        match self {
            Clock::System { .. } => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
            }
            Clock::Manual(micros) => Timestamp::from_micros(micros.load(Ordering::SeqCst)),
        }
    }

    /// Time since this clock was made, by a clock that nobody can set.
    pub fn elapsed(&self) -> Duration {
        match self {
            Clock::System { started } => started.elapsed(),
            Clock::Manual(micros) => Duration::from_micros(micros.load(Ordering::SeqCst).unsigned_abs()),
        }
    }

    /// Sets a manual clock; the machine's clock is never moved.
    pub fn set(&self, at: Timestamp) {
        if let Clock::Manual(micros) = self {
            micros.store(at.micros(), Ordering::SeqCst);
        }
    }
}
