//! Projection `health`: how many entries of which type on which day, and who posted last. Needs no business part.

use std::collections::BTreeMap;

use super::Projection;
use super::fact::{Fact, FoldError};
use crate::domain::ids::PrincipalId;
use crate::domain::time::MICROS_PER_DAY;
use crate::store::views::{HealthDailyRow, HealthLastRow, ViewsBatch};

/// Scope of a row about an event type.
pub const SCOPE_TYPE: i64 = 1;
/// Scope of a row about a principal.
pub const SCOPE_PRINCIPAL: i64 = 2;

#[derive(Debug, Clone, Copy, Default)]
struct Last {
    position: i64,
    recorded: i64,
    events: i64,
}

/// A batch of `health`.
#[derive(Debug, Default)]
pub struct Health {
    // A batch has a handful of types and principals and nearly always one day: a scan beats a map.
    types: Vec<(String, Last)>,
    principals: Vec<(PrincipalId, Last)>,
    days: Vec<HealthDailyRow>,
}

impl Projection for Health {
    const NAME: &'static str = "health";
    const VERSION: i64 = 1;

    fn reads(_: &str) -> bool {
        false
    }

    fn fold(&mut self, fact: &Fact<'_>) -> Result<(), FoldError> {
        let (event_type, recorded) = (fact.entry.event_type, fact.recorded());
        let day = recorded.div_euclid(MICROS_PER_DAY);
        let absent = i64::from(fact.business.is_none());
        match self.days.iter_mut().find(|row| row.day == day && row.event_type == event_type) {
            Some(row) => {
                row.events += 1;
                row.absent += absent;
            }
            None => self.days.push(HealthDailyRow { day, event_type: event_type.to_owned(), events: 1, absent }),
        }
        let seen = |last: &mut Last| {
            last.position = fact.position;
            last.recorded = recorded;
            last.events += 1;
        };
        match self.types.iter_mut().find(|(name, _)| name == event_type) {
            Some((_, last)) => seen(last),
            None => {
                let mut last = Last::default();
                seen(&mut last);
                self.types.push((event_type.to_owned(), last));
            }
        }
        match self.principals.iter_mut().find(|(principal, _)| *principal == fact.entry.actor) {
            Some((_, last)) => seen(last),
            None => {
                let mut last = Last::default();
                seen(&mut last);
                self.principals.push((fact.entry.actor, last));
            }
        }
        Ok(())
    }

    fn finish(self, batch: &mut ViewsBatch) {
        let principals = self.principals.into_iter().map(|(id, last)| ((SCOPE_PRINCIPAL, id.to_string()), last));
        let types = self.types.into_iter().map(|(name, last)| ((SCOPE_TYPE, name), last));
        // In the order of keys, so that two servers that write the same rows lock them in the same order.
        let rows: BTreeMap<(i64, String), Last> = types.chain(principals).collect();
        batch.health_last = rows
            .into_iter()
            .map(|((scope, name), Last { position, recorded, events })| HealthLastRow {
                scope,
                name,
                position,
                recorded,
                events,
            })
            .collect();
        let mut days = self.days;
        days.sort_by(|a, b| (a.day, &a.event_type).cmp(&(b.day, &b.event_type)));
        batch.health_daily = days;
    }
}
