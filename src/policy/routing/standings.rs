//! Where the buyers of each pool stand: a fold of the decisions so far, in their order. Nothing else counts, so that anybody who
//! has the decisions has the standings.

use std::collections::HashMap;

use chrono::{DateTime, Datelike, Timelike};
use chrono_tz::Tz;

use crate::domain::time::{MICROS_PER_SECOND, Timestamp};

/// Virtual time of one assignment of weight 1.
pub(super) const TURN: u128 = 1 << 64;
/// Less than this apart, two virtual times are one: divisions lose less than 1 each, and different ones of up to 1,000 buyers with
/// weights up to 1,000 are at least four times as far apart.
pub(super) const ROUNDING: u128 = 1 << 32;

/// What a decision did to the standings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assigned {
    /// Pool.
    pub pool: String,
    /// Seller chosen.
    pub seller: String,
    /// Instant of the decision.
    pub now: Timestamp,
    /// Virtual time up to which the seller has been served.
    pub pass: u128,
    /// Virtual time of the pool after it.
    pub virtual_time: u128,
    /// Price in micro-units; 0: none.
    pub micros: i64,
}

/// One buyer's standing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Leads that he was given and kept.
    pub assigned: u64,
    /// Virtual time up to which he has been served.
    pub pass: u128,
    /// Leads in the hour, day and month that are named.
    leads: [(i64, u64); 3],
    /// Micro-units in the day and month that are named.
    spent: [(i64, i64); 2],
    /// Leads that he took, and that he refused.
    pub taken: u64,
    /// See `taken`.
    pub refused: u64,
}

/// All standings.
#[derive(Debug, Clone, Default)]
pub struct Standings {
    buyers: HashMap<String, HashMap<String, Standing>>,
    virtual_times: HashMap<String, u128>,
}

/// Numbers of the hour, day and month of an instant in a zone.
pub(super) fn periods(zone: Tz, now: Timestamp) -> [i64; 3] {
    let utc = DateTime::from_timestamp(now.micros().div_euclid(MICROS_PER_SECOND), 0).unwrap_or_default();
    let local = utc.with_timezone(&zone);
    let day = i64::from(local.num_days_from_ce());
    [day * 24 + i64::from(local.hour()), day, i64::from(local.year()) * 12 + i64::from(local.month0())]
}

impl Standings {
    /// Takes in an assignment.
    pub fn assign(&mut self, assigned: &Assigned, zone: Tz) {
        let [hour, day, month] = periods(zone, assigned.now);
        let standing =
            self.buyers.entry(assigned.pool.clone()).or_default().entry(assigned.seller.clone()).or_default();
        standing.assigned += 1;
        standing.pass = assigned.pass;
        for (count, period) in standing.leads.iter_mut().zip([hour, day, month]) {
            *count = if count.0 == period { (period, count.1 + 1) } else { (period, 1) };
        }
        for (sum, period) in standing.spent.iter_mut().zip([day, month]) {
            *sum = if sum.0 == period { (period, sum.1 + assigned.micros) } else { (period, assigned.micros) };
        }
        let time = self.virtual_times.entry(assigned.pool.clone()).or_default();
        *time = assigned.virtual_time.max(*time);
    }

    /// Takes an assignment back: the lead went to another one. His turn is given back too.
    pub fn release(&mut self, assigned: &Assigned, weight: u32, zone: Tz) {
        let [hour, day, month] = periods(zone, assigned.now);
        let Some(standing) = self.buyers.get_mut(&assigned.pool).and_then(|pool| pool.get_mut(&assigned.seller)) else {
            return;
        };
        standing.assigned = standing.assigned.saturating_sub(1);
        standing.pass = standing.pass.saturating_sub(TURN / u128::from(weight.max(1)));
        for (count, period) in standing.leads.iter_mut().zip([hour, day, month]) {
            if count.0 == period {
                count.1 = count.1.saturating_sub(1);
            }
        }
        for (sum, period) in standing.spent.iter_mut().zip([day, month]) {
            if sum.0 == period {
                sum.1 -= assigned.micros;
            }
        }
    }

    /// A seller said whether he takes a lead of a pool.
    pub fn answered(&mut self, pool: &str, seller: &str, took: bool) {
        let standing = self.buyers.entry(pool.to_owned()).or_default().entry(seller.to_owned()).or_default();
        *(if took { &mut standing.taken } else { &mut standing.refused }) += 1;
    }

    /// Where a buyer stands.
    pub fn of(&self, pool: &str, seller: &str) -> Option<&Standing> {
        self.buyers.get(pool)?.get(seller)
    }

    /// Virtual time of a pool.
    pub fn virtual_time(&self, pool: &str) -> u128 {
        self.virtual_times.get(pool).copied().unwrap_or(0)
    }
}

impl Standing {
    /// Leads in the current hour, day and month.
    pub fn leads(&self, periods: &[i64; 3]) -> [u64; 3] {
        let of = |place: usize| match (self.leads.get(place), periods.get(place)) {
            (Some((period, count)), Some(now)) if period == now => *count,
            _ => 0,
        };
        [of(0), of(1), of(2)]
    }

    /// Micro-units in the current day and month.
    pub fn spent(&self, periods: &[i64; 3]) -> [i64; 2] {
        let of = |place: usize| match (self.spent.get(place), periods.get(place + 1)) {
            (Some((period, sum)), Some(now)) if period == now => *sum,
            _ => 0,
        };
        [of(0), of(1)]
    }
}
