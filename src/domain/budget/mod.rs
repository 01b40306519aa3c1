//! Where the next dollar earns most: what each channel's spend brought, how sure that is, and a budget that follows from it.
//!
//! Promises: pure computation; a channel that was not seen in enough periods keeps its budget; no channel moves further than it
//! may; a suggestion names its bands, so that nobody moves money on noise. Nothing here spends. What is assumed: a channel's
//! return grows as a logarithm of its spend (each further dollar brings less), spend of a period earns through the touches of that
//! period, and channels do not help each other beyond what the attribution model says. `ops/optimisation.md` says how to read it.

mod plan;
mod response;

pub use plan::{Limits, PlanError, plan};
pub use response::{PERIODS_MIN, Period, Response};
