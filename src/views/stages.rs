//! How far people come: funnels and business metrics, person by person from the journeys.
//!
//! Promises: a person counts once in each stage, whatever he did twice; rates say what they are of, with Wilson's interval, and say
//! nothing below a least number; machines' opens stand apart from people's. Memory is bounded by one person's journey and the answer.
#![expect(
    clippy::float_arithmetic,
    reason = "shares and their intervals are estimates; money is counted in micro-units"
)]

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use utoipa::ToSchema;

use super::ViewError;
use super::attribution::undone;
use crate::domain::score::metrics::wilson;
use crate::domain::time::{MICROS_PER_DAY, Timestamp, day_text};
use crate::store::Store;
use crate::store::views::{JourneyRow, JourneyStep, marks};

/// Rows read at a time.
const PAGE_ROWS: i64 = 20_000;
/// Below this many a rate says nothing.
pub const LEAST: u64 = 30;
const HOUR_MICROS: i64 = MICROS_PER_DAY / 24;

/// A stage of a journey, in the order in which a lead goes through them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// The lead came in.
    Lead,
    /// A seller took it.
    Accepted,
    /// A contact was attempted.
    Contacted,
    /// A message arrived.
    Delivered,
    /// A person opened it, as far as can be told.
    Opened,
    /// He clicked by hand.
    Clicked,
    /// He answered in words or on the phone.
    Replied,
    /// An appointment was booked.
    Booked,
    /// He came.
    Shown,
    /// It earned money.
    Sold,
}

impl Stage {
    /// Every stage in order.
    pub const ALL: [Stage; 10] = [
        Stage::Lead,
        Stage::Accepted,
        Stage::Contacted,
        Stage::Delivered,
        Stage::Opened,
        Stage::Clicked,
        Stage::Replied,
        Stage::Booked,
        Stage::Shown,
        Stage::Sold,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Lead => "lead",
            Stage::Accepted => "accepted",
            Stage::Contacted => "contacted",
            Stage::Delivered => "delivered",
            Stage::Opened => "opened",
            Stage::Clicked => "clicked",
            Stage::Replied => "replied",
            Stage::Booked => "booked",
            Stage::Shown => "shown",
            Stage::Sold => "sold",
        }
    }

    /// The stage of a name.
    pub fn from_name(name: &str) -> Option<Stage> {
        Stage::ALL.into_iter().find(|stage| stage.name() == name)
    }

    /// What a row is to the stages; none: nothing.
    pub(super) fn of(row: &JourneyRow) -> Option<Stage> {
        match (row.step, row.mark.as_str()) {
            (_, marks::LEAD_CREATED | marks::IMPORTED) => Some(Stage::Lead),
            (JourneyStep::Touch, marks::ATTEMPT) => Some(Stage::Contacted),
            (JourneyStep::Engagement, marks::REPLY | marks::ANSWERED) => Some(Stage::Replied),
            (JourneyStep::Engagement, marks::CLICK) => Some(Stage::Clicked),
            (JourneyStep::Milestone, _) if row.channel == marks::BOOKED => Some(Stage::Booked),
            (JourneyStep::Stage, marks::ACCEPTED) => Some(Stage::Accepted),
            (JourneyStep::Stage, marks::DELIVERED) => Some(Stage::Delivered),
            (JourneyStep::Stage, marks::OPENED) => Some(Stage::Opened),
            (JourneyStep::Stage, marks::SHOWN) => Some(Stage::Shown),
            (JourneyStep::Conversion, _) => Some(Stage::Sold),
            _ => None,
        }
    }
}

/// Whom a question is about: persons whose first lead, or else whose first event, falls on one of the days.
#[derive(Debug, Clone)]
pub struct StagesQuery {
    /// First day, since 1970-01-01.
    pub day_from: i64,
    /// The day after the last.
    pub day_to: i64,
    /// Only persons whose lead is of this campaign.
    pub campaign: Option<String>,
    /// What had occurred by then.
    pub as_of: Timestamp,
    /// What had been recorded by then.
    pub known_at: Timestamp,
}

/// A share with its 95 % interval (Wilson 1927).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Rate {
    /// How many.
    pub hits: u64,
    /// Of how many.
    pub of: u64,
    /// The share to 4 decimals; null below 30 or of nobody.
    #[schema(example = "0.2710")]
    pub rate: Option<String>,
    /// Wilson's interval; null where there is nobody.
    pub band: Option<[String; 2]>,
}

impl Rate {
    pub(super) fn new(hits: u64, of: u64) -> Rate {
        let text = |share: f64| format!("{share:.4}");
        #[expect(clippy::cast_precision_loss, reason = "persons are fewer than 2^52")]
        let share = (of >= LEAST).then(|| text(hits as f64 / of as f64));
        Rate { hits, of, rate: share, band: wilson(hits, of).map(|(low, high)| [text(low), text(high)]) }
    }
}

/// One step of a funnel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FunnelStep {
    /// Its stage.
    pub stage: String,
    /// Persons who came here through all steps before it, in that order in time.
    pub ordered: u64,
    /// Persons who ever came here.
    pub any_order: u64,
    /// Of those of the step before.
    pub step: Rate,
    /// Of those of the first step.
    pub cumulative: Rate,
    /// Median hours since the step before; null where nobody came.
    pub median_hours: Option<i64>,
}

/// A funnel of one group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Funnel {
    /// Campaign, where it is asked by campaign; else absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub campaign: Option<String>,
    /// Its steps in order.
    pub steps: Vec<FunnelStep>,
}

/// One person's journey, as far as it counts.
pub(super) struct Person<'a> {
    /// What counts of it, in order of the log.
    pub rows: Vec<&'a JourneyRow>,
}

impl Person<'_> {
    /// When he came to a stage, every time, in order.
    pub fn times(&self, stage: Stage) -> Vec<i64> {
        let mut times: Vec<i64> =
            self.rows.iter().filter(|row| Stage::of(row) == Some(stage)).map(|row| row.occurred).collect();
        times.sort_unstable();
        times
    }

    /// The event that he is counted by: his first lead, else his first event.
    fn first(&self) -> Option<&JourneyRow> {
        let by_time = |row: &&&JourneyRow| (row.occurred, row.position);
        let lead = self.rows.iter().filter(|row| Stage::of(row) == Some(Stage::Lead)).min_by_key(by_time);
        lead.or_else(|| self.rows.iter().min_by_key(by_time)).copied()
    }

    fn asked(&self, query: &StagesQuery) -> Option<i64> {
        let first = self.first()?;
        let day = first.occurred.div_euclid(MICROS_PER_DAY);
        let fits = query.campaign.as_ref().is_none_or(|campaign| *campaign == first.campaign);
        (fits && day >= query.day_from && day < query.day_to).then_some(day)
    }
}

/// Reads every person's journey in turn.
pub(super) async fn people(
    store: &Store,
    query: &StagesQuery,
    mut each: impl FnMut(&Person<'_>, i64),
) -> Result<(), ViewError> {
    let gone = undone(&store.journey_reversals().await?, query.known_at);
    let mut take = |rows: &[JourneyRow]| {
        let counts = |row: &&JourneyRow| {
            row.subject != [0; 16]
                && row.occurred <= query.as_of.micros()
                && row.recorded <= query.known_at.micros()
                && !gone.contains(&row.position)
        };
        let person = Person { rows: rows.iter().filter(counts).collect() };
        if let Some(day) = person.asked(query) {
            each(&person, day);
        }
    };
    let (mut subject, mut position) = ([0; 16], -1);
    let mut rows: Vec<JourneyRow> = Vec::new();
    loop {
        let page = store.journey_steps(&subject, position, PAGE_ROWS).await?;
        let Some(last) = page.last() else { break };
        (subject, position) = (last.subject, last.position);
        for row in page {
            if rows.last().is_some_and(|before| before.subject != row.subject) {
                take(&rows);
                rows.clear();
            }
            rows.push(row);
        }
    }
    take(&rows);
    Ok(())
}

#[derive(Default, Clone)]
struct Tally {
    ordered: u64,
    any_order: u64,
    waits: Vec<i64>,
}

/// Answers how far people come through `stages`, together or by campaign.
///
/// # Errors
/// [`ViewError::Store`].
pub async fn funnel(
    store: &Store,
    query: &StagesQuery,
    stages: &[Stage],
    by_campaign: bool,
) -> Result<Vec<Funnel>, ViewError> {
    let mut groups: BTreeMap<String, Vec<Tally>> = BTreeMap::new();
    people(store, query, |person, _| {
        let campaign = person.first().filter(|_| by_campaign).map_or_else(String::new, |row| row.campaign.clone());
        let tallies = groups.entry(campaign).or_insert_with(|| vec![Tally::default(); stages.len()]);
        let mut reached = Some(i64::MIN);
        for (stage, tally) in stages.iter().zip(tallies) {
            let times = person.times(*stage);
            tally.any_order += u64::from(!times.is_empty());
            let next = reached.and_then(|before| times.into_iter().find(|at| *at >= before));
            if let (Some(before), Some(at)) = (reached, next) {
                tally.ordered += 1;
                tally.waits.extend((before > i64::MIN).then(|| (at - before) / HOUR_MICROS));
            }
            reached = next;
        }
    })
    .await?;
    Ok(groups.into_iter().map(|(campaign, tallies)| shown(by_campaign.then_some(campaign), stages, tallies)).collect())
}

fn shown(campaign: Option<String>, stages: &[Stage], tallies: Vec<Tally>) -> Funnel {
    let first = tallies.first().map_or(0, |tally| tally.ordered);
    let mut before = first;
    let steps = stages.iter().zip(tallies).map(|(stage, mut tally)| {
        tally.waits.sort_unstable();
        let step = FunnelStep {
            stage: stage.name().to_owned(),
            ordered: tally.ordered,
            any_order: tally.any_order,
            step: Rate::new(tally.ordered, before),
            cumulative: Rate::new(tally.ordered, first),
            median_hours: tally.waits.get(tally.waits.len() / 2).copied(),
        };
        before = tally.ordered;
        step
    });
    Funnel { campaign, steps: steps.collect() }
}

/// The figures by which the business is run, each with what it is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Metrics {
    /// Days of the question.
    pub days: i64,
    /// Leads that sellers accepted on each day, and the mean of that day and the six before it in the question, to one decimal.
    pub accepted_by_day: Vec<AcceptedDay>,
    /// Accepted leads a day that are wanted.
    pub accepted_wanted: u64,
    /// Messages opened by anybody or anything, of those delivered by e-mail.
    pub open_rate_raw: Target,
    /// Messages opened by a person, as far as can be told, of those delivered by e-mail.
    pub open_rate: Target,
    /// Messages that only a machine opened, of those delivered by e-mail.
    pub open_rate_machine: Rate,
    /// Persons who answered in words or on the phone, of those whom a message or call reached or was meant to reach.
    pub reply_rate: Target,
    /// Persons who came, of those with an appointment.
    pub show_per_booked: Rate,
    /// Persons who came, of those who answered.
    pub show_per_reply: Target,
    /// Persons who came, of all leads.
    pub show_per_lead: Target,
}

/// Accepted leads of a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AcceptedDay {
    /// Day in UTC.
    pub day: String,
    /// Leads accepted.
    pub accepted: u64,
    /// Mean of the last seven days of the question up to this one.
    pub mean_7: String,
}

/// A rate beside the range that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Target {
    /// The rate.
    #[serde(flatten)]
    pub rate: Rate,
    /// Least and most that is wanted.
    pub wanted: [String; 2],
}

impl Target {
    fn new(hits: u64, of: u64, wanted: [&str; 2]) -> Target {
        Target { rate: Rate::new(hits, of), wanted: wanted.map(str::to_owned) }
    }
}

#[derive(Default)]
struct Counted {
    accepted: BTreeMap<i64, u64>,
    delivered: u64,
    by_anything: u64,
    by_person: u64,
    contacted: u64,
    replied: u64,
    booked: u64,
    shown: u64,
    shown_after_booking: u64,
    shown_after_reply: u64,
    leads: u64,
}

impl Counted {
    fn take(&mut self, person: &Person<'_>) {
        let has = |stage| person.rows.iter().any(|row| Stage::of(row) == Some(stage));
        for at in person.times(Stage::Accepted) {
            *self.accepted.entry(at.div_euclid(MICROS_PER_DAY)).or_default() += 1;
        }
        // Each message once; one without a record of its own counts by itself.
        let messages = |mark: &str| -> BTreeSet<([u8; 16], i64)> {
            let rows = person.rows.iter().filter(|row| row.step == JourneyStep::Stage && row.mark == mark);
            let mail = rows.filter(|row| row.channel == "email");
            mail.map(|row| (row.record, if row.record == [0; 16] { row.position } else { 0 })).collect()
        };
        let (delivered, opened) = (messages(marks::DELIVERED), messages(marks::OPENED));
        let machine = messages(marks::OPENED_BY_MACHINE);
        let count = |set: usize| u64::try_from(set).unwrap_or(u64::MAX);
        self.delivered += count(delivered.len());
        self.by_person += count(opened.intersection(&delivered).count());
        self.by_anything += count(delivered.iter().filter(|one| opened.contains(one) || machine.contains(one)).count());
        self.contacted += u64::from(has(Stage::Contacted) || has(Stage::Delivered));
        let (replied, booked, shown) = (has(Stage::Replied), has(Stage::Booked), has(Stage::Shown));
        self.replied += u64::from(replied && (has(Stage::Contacted) || has(Stage::Delivered)));
        self.booked += u64::from(booked);
        self.shown += u64::from(shown && has(Stage::Lead));
        self.shown_after_booking += u64::from(shown && booked);
        self.shown_after_reply += u64::from(shown && replied);
        self.leads += u64::from(has(Stage::Lead));
    }
}

/// Answers how the business does.
///
/// # Errors
/// [`ViewError::Store`].
pub async fn metrics(store: &Store, query: &StagesQuery) -> Result<Metrics, ViewError> {
    let mut counted = Counted::default();
    let mut repliers = 0;
    people(store, query, |person, _| {
        counted.take(person);
        repliers += u64::from(person.rows.iter().any(|row| Stage::of(row) == Some(Stage::Replied)));
    })
    .await?;
    let days: Vec<i64> = match (counted.accepted.first_key_value(), counted.accepted.last_key_value()) {
        (Some((first, _)), Some((last, _))) => (*first..=*last).collect(),
        _ => Vec::new(),
    };
    let of = |day: i64| counted.accepted.get(&day).copied().unwrap_or(0);
    let accepted_by_day = days.iter().map(|day| {
        let window: Vec<u64> =
            days.iter().filter(|other| **other <= *day && **other > day - 7).map(|day| of(*day)).collect();
        let sum: u64 = window.iter().sum();
        let tenths = sum * 10 / u64::try_from(window.len().max(1)).unwrap_or(1);
        AcceptedDay { day: day_text(*day), accepted: of(*day), mean_7: format!("{}.{}", tenths / 10, tenths % 10) }
    });
    Ok(Metrics {
        days: i64::try_from(days.len()).unwrap_or(i64::MAX),
        accepted_by_day: accepted_by_day.collect(),
        accepted_wanted: 100,
        open_rate_raw: Target::new(counted.by_anything, counted.delivered, ["0.25", "0.35"]),
        open_rate: Target::new(counted.by_person, counted.delivered, ["0.25", "0.35"]),
        open_rate_machine: Rate::new(counted.by_anything - counted.by_person, counted.delivered),
        reply_rate: Target::new(counted.replied, counted.contacted, ["0.03", "0.05"]),
        show_per_booked: Rate::new(counted.shown_after_booking, counted.booked),
        show_per_reply: Target::new(counted.shown_after_reply, repliers, ["0.08", "0.10"]),
        show_per_lead: Target::new(counted.shown, counted.leads, ["0.08", "0.10"]),
    })
}
