//! The first minute at which the answer would be allow, if nothing new happened (items 18 and 3).
//!
//! Not minute by minute: an evaluation says until when it holds, a closed window says when it may open, and the search goes
//! from one such instant to the next. A property test holds it against the plain search.

use super::answer::judge;
use super::calendar::MINUTE_MICROS;
use super::context::{Context, Ground};
use super::facts::Facts;
use super::pack::Pack;
use crate::domain::time::{MICROS_PER_DAY, Timestamp};

/// How far ahead it looks.
pub(super) const DAYS_AHEAD: i64 = 400;
/// Steps after which it gives up; a year of windows in two zones takes far fewer.
const STEPS_MAX: usize = 20_000;

/// First whole minute at or after an instant.
const fn minute_at(micros: i64) -> i64 {
    let whole = micros.div_euclid(MINUTE_MICROS);
    if micros.rem_euclid(MINUTE_MICROS) == 0 { micros } else { (whole + 1) * MINUTE_MICROS }
}

/// The first allowed whole minute after `facts.now`, or none within 400 days.
pub(super) fn next_allowed(pack: &Pack, facts: &Facts, ground: &Ground<'_>) -> Option<Timestamp> {
    let now = facts.now.micros();
    let end = now.saturating_add(DAYS_AHEAD * MICROS_PER_DAY);
    let mut at = minute_at(now.saturating_add(1));
    for _ in 0..STEPS_MAX {
        if at > end {
            return None;
        }
        let mut context = Context::new(pack, facts, ground, at, false);
        judge(&mut context);
        if !context.codes.is_empty() {
            // Nothing that a check waits for: time alone cures this never.
            if context.until() == i64::MAX {
                return None;
            }
            at = minute_at(context.until());
            continue;
        }
        match context.hours_if_bound() {
            None => return Some(Timestamp::from_micros(at)),
            Some(opens) => at = minute_at(opens.max(at + 1)),
        }
    }
    None
}

impl Context<'_> {
    /// The hours, where they bind.
    pub fn hours_if_bound(&mut self) -> Option<i64> {
        if self.is_marketing() && super::answer::is_domestic_phone(self.facts) { self.hours() } else { None }
    }
}
