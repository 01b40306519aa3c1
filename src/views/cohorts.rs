//! What leads brought by the week or month in which they came: earned, given back, net a lead, by age.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::stages::{Stage, StagesQuery, people};
use super::{Money, ViewError};
use crate::domain::time::{MICROS_PER_DAY, Timestamp, day_text};
use crate::store::Store;
use crate::store::views::{JourneyRow, JourneyStep};

/// What the leads of one week or month brought by age.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Cohort {
    /// First day of the week (Monday) or month.
    pub cohort: String,
    /// Persons.
    pub leads: u64,
    /// Persons who earned money.
    pub sold: u64,
    /// By age in weeks or months since each person's lead, from 0.
    pub ages: Vec<CohortAge>,
}

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CohortAge {
    /// Age in weeks of 7 days, or months of 30.
    pub age: i64,
    /// Earned up to this age.
    pub gross: Money,
    /// Given back of it up to this age.
    pub returns: Money,
    /// Earned less given back, a lead.
    pub net_per_lead: Money,
    /// Whether every person of the cohort is of that age by now.
    pub complete: bool,
}

#[derive(Default)]
struct Brought {
    leads: u64,
    sold: u64,
    last_lead: i64,
    gross: BTreeMap<i64, i64>,
    returns: BTreeMap<i64, i64>,
}

/// Answers what leads brought by the week (`months`: the month) in which they came, in one currency, as it stands at `now`.
///
/// # Errors
/// [`ViewError::TooLarge`] if a sum leaves 64 bits of micro-units.
pub async fn cohorts(
    store: &Store,
    query: &StagesQuery,
    currency: &str,
    months: bool,
    now: Timestamp,
) -> Result<Vec<Cohort>, ViewError> {
    let mut all: BTreeMap<i64, Brought> = BTreeMap::new();
    let length = if months { 30 } else { 7 };
    let mut large = false;
    people(store, query, |person, day| {
        if person.times(Stage::Lead).is_empty() {
            return;
        }
        let begins = if months {
            day - i64::from(Timestamp::from_micros(day * MICROS_PER_DAY).date().2) + 1
        } else {
            day - (day + 3).rem_euclid(7)
        };
        let brought = all.entry(begins).or_default();
        brought.leads += 1;
        brought.last_lead = brought.last_lead.max(day);
        let earned = |row: &JourneyRow| row.step == JourneyStep::Conversion && row.currency == currency.as_bytes();
        brought.sold += u64::from(person.rows.iter().any(|row| earned(row)));
        for row in person.rows.iter().filter(|row| row.currency == currency.as_bytes()) {
            let age = (row.occurred.div_euclid(MICROS_PER_DAY) - day).max(0) / length;
            let (place, micros) = match row.step {
                JourneyStep::Reversal if row.micros < 0 => (&mut brought.returns, -row.micros),
                JourneyStep::Conversion | JourneyStep::Reversal => (&mut brought.gross, row.micros),
                _ => continue,
            };
            let sum = place.entry(age).or_default();
            match sum.checked_add(micros) {
                Some(next) => *sum = next,
                None => large = true,
            }
        }
    })
    .await?;
    if large {
        return Err(ViewError::TooLarge);
    }
    Ok(all.into_iter().map(|(begins, brought)| brought.shown(begins, currency, length, now)).collect())
}

impl Brought {
    fn shown(self, begins: i64, currency: &str, length: i64, now: Timestamp) -> Cohort {
        let last = self.gross.keys().chain(self.returns.keys()).copied().max().unwrap_or(0);
        let money = |micros: i64| Money::of(micros, currency);
        let (mut gross, mut returns) = (0_i64, 0_i64);
        let ages = (0..=last).map(|age| {
            gross = gross.saturating_add(self.gross.get(&age).copied().unwrap_or(0));
            returns = returns.saturating_add(self.returns.get(&age).copied().unwrap_or(0));
            let leads = i64::try_from(self.leads).unwrap_or(i64::MAX).max(1);
            CohortAge {
                age,
                gross: money(gross),
                returns: money(returns),
                net_per_lead: money(gross.saturating_sub(returns) / leads),
                complete: now.unix_days() >= self.last_lead + (age + 1) * length,
            }
        });
        Cohort { cohort: day_text(begins), leads: self.leads, sold: self.sold, ages: ages.collect() }
    }
}
