//! Folding a run of entries for all projections of a track at once.

use super::Projection;
use super::billing::Billing;
use super::complete::complete;
use super::consent::Consent;
use super::fact::{Fact, FoldError};
use super::health::Health;
use super::journeys::Journeys;
use super::money::Money;
use super::quarantine::Quarantine;
use super::scores::Scores;
use super::trails::Trails;
use crate::ingest::ledger::RawFact;
use crate::store::views::{ParkedRow, ProjectionCursor, Track, ViewsBatch};
use crate::store::{Store, StoreError};

/// Every projection and the version of its rules.
pub const PROJECTIONS: &[(&str, i64)] = &[
    (Billing::NAME, Billing::VERSION),
    (Consent::NAME, Consent::VERSION),
    (Health::NAME, Health::VERSION),
    (Journeys::NAME, Journeys::VERSION),
    (Money::NAME, Money::VERSION),
    (Quarantine::NAME, Quarantine::VERSION),
    (Scores::NAME, Scores::VERSION),
    (Trails::NAME, Trails::VERSION),
];

/// A batch being folded. Pure: it reads no rows, no clock and no randomness.
#[derive(Debug)]
pub struct Folder {
    batch: ViewsBatch,
    billing: Option<(ProjectionCursor, Billing)>,
    consent: Option<(ProjectionCursor, Consent)>,
    health: Option<(ProjectionCursor, Health)>,
    journeys: Option<(ProjectionCursor, Journeys)>,
    money: Option<(ProjectionCursor, Money)>,
    quarantine: Option<(ProjectionCursor, Quarantine)>,
    scores: Option<(ProjectionCursor, Scores)>,
    trails: Option<(ProjectionCursor, Trails)>,
}

/// A folded batch, ready to be completed and written.
#[derive(Debug)]
pub struct Folded {
    batch: ViewsBatch,
    money: Option<Money>,
}

fn slot<P: Projection>(projections: &[ProjectionCursor]) -> Option<(ProjectionCursor, P)> {
    projections.iter().find(|cursor| cursor.projection == P::NAME).map(|cursor| (*cursor, P::default()))
}

/// Folds one fact into one projection, if it is on the track; what does not fold is parked.
fn take<P: Projection>(slot: &mut Option<(ProjectionCursor, P)>, fact: &Fact<'_>, parked: &mut Vec<ParkedRow>) {
    if let Some((cursor, projection)) = slot
        && let Err(FoldError(reason)) = projection.fold(fact)
    {
        parked.push(ParkedRow::new(*cursor, fact.position, reason));
    }
}

impl Folder {
    /// An empty batch that starts at position `from`.
    pub fn new(track: Track, projections: &[ProjectionCursor], from: u64) -> Folder {
        Folder {
            billing: slot(projections),
            consent: slot(projections),
            health: slot(projections),
            journeys: slot(projections),
            money: slot(projections),
            quarantine: slot(projections),
            scores: slot(projections),
            trails: slot(projections),
            batch: ViewsBatch::new(track, projections.to_vec(), from),
        }
    }

    /// The next position that this batch takes.
    pub const fn next(&self) -> u64 {
        self.batch.to
    }

    /// How many entries it took.
    pub const fn len(&self) -> u64 {
        self.batch.to - self.batch.from
    }

    /// Whether it took none.
    pub const fn is_empty(&self) -> bool {
        self.batch.to == self.batch.from
    }

    /// Takes the next entry. One that cannot be folded is parked with the reason and does not hold up the rest.
    pub fn take(&mut self, raw: &RawFact) {
        self.batch.to = raw.position + 1;
        let fact = match Fact::decode(&raw.entry, raw.business.as_deref()) {
            Ok(fact) => fact,
            Err(FoldError(reason)) => {
                let position = i64::try_from(raw.position).unwrap_or(i64::MAX);
                let all = self.batch.projections.iter();
                self.batch.parked.extend(all.map(|cursor| ParkedRow::new(*cursor, position, reason)));
                return;
            }
        };
        self.batch.recorded = fact.recorded();
        let (event_type, corrects) = (fact.entry.event_type, fact.entry.corrects.is_some());
        let parked = &mut self.batch.parked;
        take(&mut self.health, &fact, parked);
        if corrects || Billing::reads(event_type) {
            take(&mut self.billing, &fact, parked);
        }
        if corrects || Consent::reads(event_type) {
            take(&mut self.consent, &fact, parked);
        }
        if corrects || Journeys::reads(event_type) {
            take(&mut self.journeys, &fact, parked);
        }
        if corrects || Money::reads(event_type) {
            take(&mut self.money, &fact, parked);
        }
        if Quarantine::reads(event_type) {
            take(&mut self.quarantine, &fact, parked);
        }
        if Scores::reads(event_type) {
            take(&mut self.scores, &fact, parked);
        }
        if Trails::reads(event_type) {
            take(&mut self.trails, &fact, parked);
        }
    }

    /// Ends the batch.
    pub fn finish(self) -> Folded {
        let mut batch = self.batch;
        if let Some((_, billing)) = self.billing {
            billing.finish(&mut batch);
        }
        if let Some((_, consent)) = self.consent {
            consent.finish(&mut batch);
        }
        if let Some((_, health)) = self.health {
            health.finish(&mut batch);
        }
        if let Some((_, journeys)) = self.journeys {
            journeys.finish(&mut batch);
        }
        if let Some((_, quarantine)) = self.quarantine {
            quarantine.finish(&mut batch);
        }
        if let Some((_, scores)) = self.scores {
            scores.finish(&mut batch);
        }
        if let Some((_, trails)) = self.trails {
            trails.finish(&mut batch);
        }
        Folded { batch, money: self.money.map(|(_, money)| money) }
    }
}

impl Folded {
    /// The position after the last entry folded.
    pub const fn to(&self) -> u64 {
        self.batch.to
    }

    /// Recorded time of the last entry folded, microseconds.
    pub const fn recorded(&self) -> i64 {
        self.batch.recorded
    }

    /// Completes the batch from committed rows and writes it with its cursors in one transaction. Must run in an owned
    /// task, after the batch before it was written.
    ///
    /// # Errors
    /// [`StoreError::RowsAffected`] if the cursors stand elsewhere; nothing was written then.
    pub async fn commit(self, store: &Store) -> Result<(), StoreError> {
        let mut batch = self.batch;
        if let Some(money) = self.money {
            complete(store, money, &mut batch).await?;
        }
        store.views_commit(&batch).await
    }
}
