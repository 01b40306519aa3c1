//! What came of scores: each version of a model held against what the scored leads did, and challengers against the champion.
//!
//! Promises: a person counts once a version, by his first score in the span, so that a score that already knew the outcome is never
//! measured; a lead too young to have had its time is told apart, never taken for one that came to nothing; a figure that is not
//! defined is null with the reason. Memory grows with the persons scored, some 60 bytes each, and those who had the outcome.
#![expect(clippy::float_arithmetic, reason = "statistics of scores; no money is here")]
#![expect(clippy::cast_precision_loss, reason = "points and billionths stay far below 2^53")]

mod report;

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

pub use report::{moved, performance};

use super::ViewError;
use super::attribution::undone;
use super::stages::{Rate, Stage, StagesQuery, people};
use crate::domain::score::compare::{Pair, difference};
use crate::domain::score::drift::drift;
use crate::domain::score::{Sample, SampleError};
use crate::domain::time::{MICROS_PER_DAY, Timestamp};
use crate::store::Store;
use crate::store::views::{JourneyRow, JourneyStep, ScoreRow};

/// Rows read at a time.
const PAGE_ROWS: i64 = 20_000;
/// Bins of the drift of a score.
const BINS_MAX: u32 = 10;

/// What a score is to foretell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foretold {
    /// A seller took the lead.
    Accepted,
    /// An appointment was booked.
    Appointment,
    /// Money of the lead went back.
    Return,
    /// The lead earned money.
    Sale,
    /// The person came.
    Show,
}

impl Foretold {
    /// The outcome of a name in `score.assigned`.
    pub fn from_name(name: &str) -> Option<Foretold> {
        match name {
            "accepted" => Some(Foretold::Accepted),
            "appointment" => Some(Foretold::Appointment),
            "return" => Some(Foretold::Return),
            "sale" => Some(Foretold::Sale),
            "show" => Some(Foretold::Show),
            _ => None,
        }
    }

    fn is(self, row: &JourneyRow) -> bool {
        let stage = match self {
            Foretold::Return => return row.step == JourneyStep::Reversal && row.micros < 0,
            Foretold::Accepted => Stage::Accepted,
            Foretold::Appointment => Stage::Booked,
            Foretold::Sale => Stage::Sold,
            Foretold::Show => Stage::Shown,
        };
        Stage::of(row) == Some(stage)
    }
}

/// A question about scores.
#[derive(Debug, Clone)]
pub struct ScoresQuery {
    /// Scores made from this day on, since 1970-01-01.
    pub day_from: i64,
    /// And before this one.
    pub day_to: i64,
    /// What they are to foretell.
    pub outcome: Foretold,
    /// Days after a score within which the outcome counts.
    pub within: i64,
    /// Only this model.
    pub model: Option<String>,
    /// Only scores of this campaign.
    pub campaign: Option<String>,
    /// What had occurred by then.
    pub as_of: Timestamp,
    /// What had been recorded by then.
    pub known_at: Timestamp,
}

/// How one version of a model has done.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ModelScores {
    /// Model.
    pub model: String,
    /// Its version.
    pub version: String,
    /// Persons scored.
    pub persons: u64,
    /// Of them, those whose score nobody acted on: a challenger's.
    pub aside: u64,
    /// Of them, those whose time is not over: in no figure below.
    pub open: u64,
    /// The outcome, of those whose time is over.
    pub outcome: Rate,
    /// `probability` where every score states one, else `points`: what the figures are of.
    pub scale: &'static str,
    /// AUC, Gini, KS, deciles with lift and gain; Brier, log loss and calibration of probabilities. Null where not defined.
    #[schema(value_type = Option<Object>)]
    pub performance: Option<Value>,
    /// Why there is no performance.
    pub undefined: Option<String>,
    /// The outcome by band, the best first as bands are named; of those whose time is over.
    pub bands: Vec<BandScores>,
    /// Drift between the earlier and the later half of all persons scored: population stability index and the value that chance stays
    /// below in 95 of 100. Null where too few were scored.
    #[schema(value_type = Option<Object>)]
    pub drift: Option<Value>,
    /// Against the version whose scores were acted on most, on the persons whom both scored (DeLong). Null for that version itself.
    #[schema(value_type = Option<Object>)]
    pub against_champion: Option<Value>,
}

/// One band.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct BandScores {
    /// Its name; empty: scores without one.
    pub band: String,
    /// The outcome, of those whose time is over.
    pub outcome: Rate,
}

/// One person's score by one version.
struct Case {
    subject: [u8; 16],
    occurred: i64,
    points: i64,
    chance: Option<i64>,
    band: String,
    aside: bool,
    /// Whether the outcome came; none: its time is not over.
    came: Option<bool>,
}

type Versions = BTreeMap<(String, String), Vec<Case>>;

/// Answers how each version of each model has done, as it stands at `now`.
///
/// # Errors
/// [`ViewError::Store`].
pub async fn scores(store: &Store, query: &ScoresQuery, now: Timestamp) -> Result<Vec<ModelScores>, ViewError> {
    let everybody = StagesQuery {
        day_from: i64::MIN,
        day_to: i64::MAX,
        campaign: None,
        as_of: query.as_of,
        known_at: query.known_at,
    };
    let mut outcomes: HashMap<[u8; 16], Vec<i64>> = HashMap::new();
    people(store, &everybody, |person, _| {
        let times: Vec<i64> = person.rows.iter().filter(|row| query.outcome.is(row)).map(|row| row.occurred).collect();
        if let (Some(first), false) = (person.rows.first(), times.is_empty()) {
            outcomes.insert(first.subject, times);
        }
    })
    .await?;
    let versions = cases(store, query, &outcomes, now).await?;
    let used = |cases: &[Case]| cases.iter().filter(|case| !case.aside).count();
    // Of equals the last by name: versions count up.
    let champion = versions.iter().max_by_key(|(_, cases)| used(cases)).map(|(name, _)| name);
    let against = champion.and_then(|name| versions.get(name));
    Ok(versions
        .iter()
        .map(|(name, cases)| {
            let against = against.filter(|_| champion != Some(name));
            shown(name, cases, against.map(Vec::as_slice))
        })
        .collect())
}

/// Reads every score that counts, in order of persons.
async fn cases(
    store: &Store,
    query: &ScoresQuery,
    outcomes: &HashMap<[u8; 16], Vec<i64>>,
    now: Timestamp,
) -> Result<Versions, ViewError> {
    let gone = undone(&store.journey_reversals().await?, query.known_at);
    let span = query.within.saturating_mul(MICROS_PER_DAY);
    let mut versions = Versions::new();
    let mut take = |row: ScoreRow| {
        let day = row.occurred.div_euclid(MICROS_PER_DAY);
        let counts = row.occurred <= query.as_of.micros()
            && row.recorded <= query.known_at.micros()
            && (query.day_from..query.day_to).contains(&day)
            && query.model.as_ref().is_none_or(|model| *model == row.model)
            && query.campaign.as_ref().is_none_or(|campaign| *campaign == row.campaign)
            && !gone.contains(&row.position);
        if !counts {
            return;
        }
        let until = row.occurred.saturating_add(span);
        let times = outcomes.get(&row.subject).map_or(&[][..], Vec::as_slice);
        let came = times.iter().any(|at| (row.occurred..=until).contains(at));
        let case = Case {
            subject: row.subject,
            occurred: row.occurred,
            points: row.points,
            chance: row.chance,
            band: row.band,
            aside: row.aside,
            came: (until <= now.micros()).then_some(came),
        };
        let all = versions.entry((row.model, row.version)).or_default();
        match all.last_mut() {
            Some(before) if before.subject == case.subject && before.occurred <= case.occurred => {}
            Some(before) if before.subject == case.subject => *before = case,
            _ => all.push(case),
        }
    };
    let (mut subject, mut position) = ([0; 16], -1);
    loop {
        let page = store.scores(&subject, position, PAGE_ROWS).await?;
        let Some(last) = page.last() else { return Ok(versions) };
        (subject, position) = (last.subject, last.position);
        page.into_iter().for_each(&mut take);
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// The number that figures are of.
fn value(case: &Case, probability: bool) -> f64 {
    match case.chance {
        Some(chance) if probability => chance as f64 / 1e9,
        _ => case.points as f64,
    }
}

fn shown(name: &(String, String), cases: &[Case], champion: Option<&[Case]>) -> ModelScores {
    let probability = cases.iter().all(|case| case.chance.is_some());
    let over = |case: &Case| case.came.map(|positive| Sample { score: value(case, probability), positive });
    let sample: Vec<Sample> = cases.iter().filter_map(over).collect();
    let measured = if probability { performance(&sample) } else { performance(&sample).map(without_probabilities) };
    let (performance, undefined) = match measured {
        Ok(figures) => (Some(figures), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let mut bands: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for (case, came) in cases.iter().filter_map(|case| Some((case, case.came?))) {
        let (hits, of) = bands.entry(&case.band).or_default();
        *hits += u64::from(came);
        *of += 1;
    }
    let hits = count(sample.iter().filter(|row| row.positive).count());
    ModelScores {
        model: name.0.clone(),
        version: name.1.clone(),
        persons: count(cases.len()),
        aside: count(cases.iter().filter(|case| case.aside).count()),
        open: count(cases.len() - sample.len()),
        outcome: Rate::new(hits, count(sample.len())),
        scale: if probability { "probability" } else { "points" },
        performance,
        undefined,
        bands: bands
            .into_iter()
            .map(|(band, (hits, of))| BandScores { band: band.to_owned(), outcome: Rate::new(hits, of) })
            .collect(),
        drift: halves(cases, probability),
        against_champion: champion.map(|champion| compared(champion, cases)),
    }
}

/// Points are no probabilities, though some lie between 0 and 1.
fn without_probabilities(mut figures: Value) -> Value {
    if let Some(figures) = figures.as_object_mut() {
        for name in ["brier", "log_loss", "calibration", "calibration_error"] {
            figures.insert(name.to_owned(), Value::Null);
        }
    }
    figures
}

fn halves(cases: &[Case], probability: bool) -> Option<Value> {
    let mut sorted: Vec<&Case> = cases.iter().collect();
    sorted.sort_by_key(|case| (case.occurred, case.subject));
    let (earlier, later) = sorted.split_at(sorted.len() / 2);
    let values = |half: &[&Case]| half.iter().map(|case| value(case, probability)).collect::<Vec<_>>();
    drift(&values(earlier), &values(later), BINS_MAX).map(|found| moved(&found))
}

/// Both are in order of persons.
fn compared(champion: &[Case], challenger: &[Case]) -> Value {
    let all = |cases: &[Case]| cases.iter().all(|case| case.chance.is_some());
    let (old_scale, new_scale) = (all(champion), all(challenger));
    let mut pairs = Vec::new();
    let mut rest = champion.iter().peekable();
    for new in challenger {
        while rest.next_if(|old| old.subject < new.subject).is_some() {}
        // The outcome is asked from the later score on only if both say the same of it: else the pair compares two questions.
        if let Some(old) = rest.next_if(|old| old.subject == new.subject)
            && let (Some(before), Some(positive)) = (old.came, new.came)
            && before == positive
        {
            pairs.push(Pair { champion: value(old, old_scale), challenger: value(new, new_scale), positive });
        }
    }
    let of = |found: Result<_, SampleError>| match found {
        Ok(crate::domain::score::compare::Difference { champion, challenger, band: (low, high) }) => json!({
            "persons": pairs.len(), "auc_champion": champion, "auc": challenger, "difference_95": [low, high],
            "better": if low > 0.0 { json!(true) } else if high < 0.0 { json!(false) } else { Value::Null },
        }),
        Err(error) => json!({ "persons": pairs.len(), "undefined": error.to_string() }),
    };
    of(difference(&pairs))
}
