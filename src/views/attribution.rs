//! Which touches earned what: any of the attribution models over the journeys of the ledger, as of and as known at any instant.
//!
//! A journey is what the log says of one person. Each conversion credits the touches in its lookback window; people who never
//! converted count as journeys that led nowhere. Credit is in whole minor units; money that went back is taken from the touches that
//! earned it, in proportion to what each had, whatever the models say by then. Rows are read in pages, person by person, so memory
//! does not grow with the log (bands keep their sample).
#![expect(clippy::float_arithmetic, reason = "models weigh in real numbers; what is credited is whole minor units")]

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;
use utoipa::ToSchema;

use super::{Money, ViewError};
use crate::domain::attribution::bands::Band;
use crate::domain::attribution::journey::{Lookback, Touch, sort};
use crate::domain::attribution::study::{ChannelCredit, NOBODY, Study};
use crate::domain::attribution::{CustomRules, ModelError, cents};
use crate::domain::money::{Currency, Micros};
use crate::domain::time::Timestamp;
use crate::store::Store;
use crate::store::views::marks::{ATTEMPT, IMPORTED};
use crate::store::views::{JourneyRow, JourneyStep};

/// Rows read at a time.
const PAGE_ROWS: i64 = 20_000;
/// Models of one question.
pub const MODELS_MAX: usize = 16;

/// A question about attribution.
#[derive(Debug, Clone)]
pub struct AttributionQuery {
    /// Models by name.
    pub models: Vec<String>,
    /// How far back a conversion credits.
    pub lookback: Lookback,
    /// Only conversions from here on.
    pub from: Option<Timestamp>,
    /// Only conversions before.
    pub to: Option<Timestamp>,
    /// What had occurred by then.
    pub as_of: Timestamp,
    /// What had been recorded by then.
    pub known_at: Timestamp,
    /// Only conversions for this seller.
    pub seller: Option<String>,
    /// Only conversions of this campaign.
    pub campaign: Option<String>,
    /// Currency of the conversions; none: the only one there is.
    pub currency: Option<String>,
    /// Only touches that the person made or took up earn.
    pub engaged: bool,
    /// Bootstrap replicates for bands; 0: none.
    pub replicates: u32,
    /// Seed of the bootstrap.
    pub seed: u64,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AttributionError {
    /// Conversions are in several currencies, and none was named.
    #[error("conversions are in several currencies: {0}")]
    Currencies(String),
    /// A model that there is not.
    #[error("model {0}: {1}")]
    Model(String, ModelError),
    /// Rows cannot be read.
    #[error(transparent)]
    View(#[from] ViewError),
}

impl From<crate::store::StoreError> for AttributionError {
    fn from(error: crate::store::StoreError) -> AttributionError {
        AttributionError::View(error.into())
    }
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Attribution {
    /// Currency of all money in the answer; none where nothing was earned.
    pub currency: Option<String>,
    /// Journeys that ended without a conversion.
    pub journeys_without: u64,
    /// Conversions.
    pub conversions: u64,
    /// What they earned.
    pub value: Money,
    /// Of it, what went back.
    pub reversed: Money,
    /// What conversions left over when each was brought to whole minor units.
    pub rounding: Money,
    /// By model, in the order asked for.
    pub models: Vec<ModelCredit>,
}

/// What a model says.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ModelCredit {
    /// Its name.
    pub model: String,
    /// Channels by name.
    pub channels: Vec<ChannelRow>,
}

/// What a channel earned.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ChannelRow {
    /// Marketing channel; `(unattributed)` for what no touch could earn.
    pub channel: String,
    /// Conversions, in shares; null where the model has nothing to go by.
    pub conversions: Option<f64>,
    /// Value before anything went back, exact to the model; null where it has nothing to go by.
    pub value: Option<ModelMoney>,
    /// Whole minor units credited, of models that credit touch by touch.
    pub credit: Option<Money>,
    /// The same less what went back.
    pub net: Option<Money>,
    /// 90 % band of the conversions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversions_band: Option<[f64; 2]>,
    /// Removal effect on conversions, of Markov models.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removal_effect: Option<f64>,
}

/// Money as a model weighs it: not rounded to what can be paid.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ModelMoney {
    /// Major units, with up to twelve decimals.
    #[schema(example = "12.345678901234")]
    pub amount: String,
    /// ISO 4217 code.
    pub currency: String,
}

/// One conversion, touch by touch.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ConversionCredit {
    /// Position of the conversion.
    pub position: u64,
    /// The person.
    pub subject: String,
    /// When it happened.
    pub at: String,
    /// What it earned.
    pub value: Money,
    /// Of it, what went back.
    pub reversed: Money,
    /// Positions of the entries that took it back or changed it.
    pub reversals: Vec<u64>,
    /// The touches that could earn, in order.
    pub touches: Vec<TouchCredit>,
}

/// What a touch earned of a conversion.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TouchCredit {
    /// Position of the touch.
    pub position: u64,
    /// When it happened.
    pub at: String,
    /// Its marketing channel.
    pub channel: String,
    /// What the journey reached with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub milestone: Option<String>,
    /// Whether the person made it or took it up.
    pub engaged: bool,
    /// Whole minor units by model, of models that credit touch by touch.
    pub credit: BTreeMap<String, Money>,
    /// The same less what went back.
    pub net: BTreeMap<String, Money>,
}

/// Answers a question about attribution.
///
/// # Errors
/// [`AttributionError`].
pub async fn attribution(store: &Store, query: &AttributionQuery) -> Result<Attribution, AttributionError> {
    let mut run = Run::new(store, query).await?;
    run.read(store, |_, _, _| ()).await?;
    run.answer()
}

/// What one conversion credited; none if there is no such conversion, or it does not count.
///
/// # Errors
/// [`AttributionError`].
pub async fn conversion(
    store: &Store,
    query: &AttributionQuery,
    position: u64,
    subject: &[u8; 16],
) -> Result<Option<ConversionCredit>, AttributionError> {
    let mut run = Run::new(store, query).await?;
    let mut found = None;
    let mut rows = Vec::new();
    let (mut at, wanted) = (-1, i64::try_from(position).unwrap_or(i64::MAX));
    loop {
        let page = store.journey_steps(subject, at, PAGE_ROWS).await?;
        let own = page.iter().take_while(|row| row.subject == *subject).count();
        let ends = own < page.len() || page.len() < usize::try_from(PAGE_ROWS).unwrap_or(usize::MAX);
        rows.extend(page.into_iter().take(own));
        at = rows.last().map_or(i64::MAX, |row| row.position);
        if ends {
            break;
        }
    }
    run.person(&rows, &mut |conversion, touches, credited| {
        if conversion.position == wanted {
            found = Some((conversion.clone(), touches.to_vec(), credited.clone()));
        }
    });
    let Some((row, touches, credited)) = found else { return Ok(None) };
    Ok(Some(run.conversion_credit(&row, &touches, &credited)))
}

/// Whole minor units that one touch keeps of one conversion after what went back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TouchEarning {
    /// When the touch happened.
    pub at: Timestamp,
    /// Its marketing channel.
    pub channel: String,
    /// Minor units of the currency.
    pub minor: i64,
}

/// What every touch earned under the first model of the question, and the currency of it. Nothing from a model that does not credit
/// touch by touch.
///
/// # Errors
/// [`AttributionError`].
pub async fn touch_earnings(
    store: &Store,
    query: &AttributionQuery,
) -> Result<(Option<Currency>, Vec<TouchEarning>), AttributionError> {
    let mut run = Run::new(store, query).await?;
    let Some(model) = query.models.first() else { return Ok((None, Vec::new())) };
    let mut credited: Vec<(JourneyRow, Vec<Touch>, Vec<i64>)> = Vec::new();
    run.read(store, |conversion, steps, parts| {
        if let Some(parts) = parts.get(model) {
            credited.push((conversion.clone(), steps.iter().map(|step| step.touch).collect(), parts.clone()));
        }
    })
    .await?;
    if run.seen.len() > 1 {
        return Err(AttributionError::Currencies(run.seen.into_iter().collect::<Vec<_>>().join(", ")));
    }
    let Some(currency) = run.currency else { return Ok((None, Vec::new())) };
    let mut earnings = Vec::new();
    for (conversion, touches, parts) in &credited {
        let (minor, _) = Micros::from_micros(conversion.micros).to_minor(currency);
        let gone = taken(parts, run.back(conversion, minor, currency));
        earnings.extend(touches.iter().zip(parts).zip(gone).map(|((touch, part), gone)| TouchEarning {
            at: touch.at,
            channel: run.study.words.channels.text(touch.channel).to_owned(),
            minor: part - gone,
        }));
    }
    Ok((Some(currency), earnings))
}

/// Positions that do not count, as known at an instant.
pub(super) fn undone(aside: &[JourneyRow], known_at: Timestamp) -> BTreeSet<i64> {
    let mut undone = BTreeSet::new();
    // From the last one back: what undoes another row counts only if nothing later undoes it.
    for row in aside.iter().rev().filter(|row| row.recorded <= known_at.micros()) {
        if row.target >= 0 && !undone.contains(&row.position) {
            undone.insert(row.target);
        }
    }
    undone
}

/// Minor units by model and touch of the window.
type Credited = BTreeMap<String, Vec<i64>>;

/// A touch of a journey and where it stands.
#[derive(Debug, Clone)]
struct Step {
    touch: Touch,
    position: i64,
    engaged: bool,
}

/// One pass over the journeys.
struct Run<'a> {
    query: &'a AttributionQuery,
    study: Study,
    currency: Option<Currency>,
    seen: BTreeSet<String>,
    /// Money that went back, by the sale it speaks of: signed micro-units, and where.
    reversals: HashMap<[u8; 16], Vec<(i64, i64)>>,
    /// Positions that do not count.
    undone: BTreeSet<i64>,
    conversions: u64,
    without: u64,
    micros: i128,
    minor: i128,
    reversed: i128,
    /// By model and channel: credited, and taken back again.
    credit: BTreeMap<String, BTreeMap<u32, (i128, i128)>>,
    nobody: BTreeMap<String, (i128, i128)>,
}

impl<'a> Run<'a> {
    async fn new(store: &Store, query: &'a AttributionQuery) -> Result<Run<'a>, AttributionError> {
        let names = query.models.iter().map(String::as_str);
        let study = Study::new(names, false, query.replicates > 0, &CustomRules::default())
            .map_err(|(name, error)| AttributionError::Model(name, error))?;
        let aside = store.journey_reversals().await?;
        let known = |row: &&JourneyRow| row.recorded <= query.known_at.micros();
        let undone = undone(&aside, query.known_at);
        let mut reversals: HashMap<[u8; 16], Vec<(i64, i64)>> = HashMap::new();
        for row in aside.iter().filter(known) {
            let counts = row.occurred <= query.as_of.micros() && !undone.contains(&row.position);
            if row.step == JourneyStep::Reversal && counts {
                reversals.entry(row.record).or_default().push((row.micros, row.position));
            }
        }
        let currency = query.currency.as_deref().and_then(|code| Currency::parse(code).ok());
        Ok(Run {
            query,
            study,
            currency,
            seen: BTreeSet::new(),
            reversals,
            undone,
            conversions: 0,
            without: 0,
            micros: 0,
            minor: 0,
            reversed: 0,
            credit: BTreeMap::new(),
            nobody: BTreeMap::new(),
        })
    }

    async fn read(
        &mut self,
        store: &Store,
        mut each: impl FnMut(&JourneyRow, &[Step], &Credited),
    ) -> Result<(), AttributionError> {
        let (mut subject, mut position) = ([0; 16], -1);
        let mut rows: Vec<JourneyRow> = Vec::new();
        loop {
            let page = store.journey_steps(&subject, position, PAGE_ROWS).await?;
            let Some(last) = page.last() else { break };
            (subject, position) = (last.subject, last.position);
            for row in page {
                if rows.last().is_some_and(|before| before.subject != row.subject) {
                    self.person(&rows, &mut each);
                    rows.clear();
                }
                rows.push(row);
            }
        }
        self.person(&rows, &mut each);
        Ok(())
    }

    /// Takes in what is known of one person.
    fn person(&mut self, rows: &[JourneyRow], each: &mut impl FnMut(&JourneyRow, &[Step], &Credited)) {
        let query = self.query;
        let counts = |row: &&JourneyRow| {
            row.subject != [0; 16]
                && row.occurred <= query.as_of.micros()
                && row.recorded <= query.known_at.micros()
                && !self.undone.contains(&row.position)
        };
        let rows: Vec<&JourneyRow> = rows.iter().filter(counts).collect();
        let steps = self.steps(&rows);
        let mut converted = false;
        let mut conversions: Vec<&&JourneyRow> = rows.iter().filter(|row| self.is_asked(row)).collect();
        conversions.sort_by_key(|row| (row.occurred, row.position));
        for row in conversions {
            converted = true;
            self.convert(row, &steps, each);
        }
        // Who converted outside of what is asked about is no journey that led nowhere.
        let other = rows.iter().any(|row| row.step == JourneyStep::Conversion);
        if !converted && !other && !steps.is_empty() {
            let touches: Vec<Touch> = steps.iter().map(|step| step.touch).collect();
            let window = query.lookback.window(&touches, None);
            self.study.add_journey(window, None, |_, _, _| ());
            self.without += 1;
        }
    }

    fn is_asked(&mut self, row: &JourneyRow) -> bool {
        let query = self.query;
        let within = query.from.is_none_or(|from| row.occurred >= from.micros())
            && query.to.is_none_or(|to| row.occurred < to.micros());
        let named = query.seller.as_ref().is_none_or(|seller| *seller == row.seller)
            && query.campaign.as_ref().is_none_or(|campaign| *campaign == row.campaign);
        if row.step != JourneyStep::Conversion || !within || !named {
            return false;
        }
        let code = String::from_utf8_lossy(&row.currency).into_owned();
        let fits = query.currency.as_ref().is_none_or(|wanted| *wanted == code);
        if fits {
            self.currency = self.currency.or_else(|| Currency::parse(&code).ok());
            self.seen.insert(code);
        }
        fits
    }

    /// The touches of a person in order, with what they led to.
    fn steps(&mut self, rows: &[&JourneyRow]) -> Vec<Step> {
        let taken_up: BTreeSet<[u8; 16]> =
            rows.iter().filter(|row| row.step == JourneyStep::Engagement).map(|row| row.record).collect();
        let mut steps: Vec<Step> = Vec::new();
        for row in rows.iter().filter(|row| matches!(row.step, JourneyStep::Touch | JourneyStep::EngagedTouch)) {
            let engaged =
                row.step == JourneyStep::EngagedTouch || row.record != [0; 16] && taken_up.contains(&row.record);
            if self.query.engaged && !engaged {
                continue;
            }
            // Names are bounded by their schemas and far fewer than the vocabulary holds.
            let Ok(channel) = self.study.words.channels.id(row.channel.as_bytes()) else { continue };
            let milestone = Some(row.mark.as_str()).filter(|mark| !matches!(*mark, "" | ATTEMPT | IMPORTED));
            let milestone = milestone.and_then(|mark| self.study.words.marks.id(mark.as_bytes()).ok());
            let kind = self.study.words.marks.id(if engaged { b"engaged" } else { b"shown" }).ok();
            let at = Timestamp::from_micros(row.occurred);
            let touch = Touch { at, seq: row.position, channel, milestone, kind };
            steps.push(Step { touch, position: row.position, engaged });
        }
        steps.sort_by_key(|step| (step.touch.at, step.touch.seq));
        // A milestone that names no channel of its own marks the latest touch before it that has none.
        for row in rows.iter().filter(|row| row.step == JourneyStep::Milestone) {
            let mark = self.study.words.marks.id(row.mark.as_bytes()).ok();
            let reached = steps.iter().any(|step| step.touch.milestone == mark);
            let before = steps.iter_mut().rev().find(|step| step.touch.at.micros() <= row.occurred);
            if let Some(step) = before.filter(|step| !reached && step.touch.milestone.is_none()) {
                step.touch.milestone = mark;
            }
        }
        steps
    }

    fn convert(&mut self, row: &JourneyRow, steps: &[Step], each: &mut impl FnMut(&JourneyRow, &[Step], &Credited)) {
        let mut touches: Vec<Touch> = steps.iter().map(|step| step.touch).collect();
        sort(&mut touches);
        let window = self.query.lookback.window(&touches, Some(Timestamp::from_micros(row.occurred))).to_vec();
        let Some(currency) = self.currency else { return };
        let (minor, _) = Micros::from_micros(row.micros).to_minor(currency);
        let mut credited: Credited = BTreeMap::new();
        self.study.add_journey(&window, Some(minor), |model, _, part| match credited.get_mut(model) {
            Some(parts) => parts.push(part),
            None => {
                credited.insert(model.to_owned(), vec![part]);
            }
        });
        self.conversions += 1;
        self.micros += i128::from(row.micros);
        self.minor += i128::from(minor);
        let back = self.back(row, minor, currency);
        self.reversed += i128::from(back);
        for model in &self.query.models {
            match credited.get(model) {
                Some(parts) => {
                    let taken = taken(parts, back);
                    let of_model = self.credit.entry(model.clone()).or_default();
                    for ((touch, part), taken) in window.iter().zip(parts).zip(taken) {
                        let sums = of_model.entry(touch.channel).or_default();
                        sums.0 += i128::from(*part);
                        sums.1 += i128::from(taken);
                    }
                }
                None => {
                    let sums = self.nobody.entry(model.clone()).or_default();
                    sums.0 += i128::from(minor);
                    sums.1 += i128::from(back);
                }
            }
        }
        let from = steps.iter().position(|step| Some(step.touch) == window.first().copied()).unwrap_or(0);
        each(row, steps.get(from..from + window.len()).unwrap_or_default(), &credited);
    }

    /// Minor units of a conversion that went back: never more than it earned; below zero where it was raised.
    fn back(&self, row: &JourneyRow, minor: i64, currency: Currency) -> i64 {
        if row.record == [0; 16] {
            return 0;
        }
        let changes = self.reversals.get(&row.record).into_iter().flatten();
        let sum: i64 = changes.map(|(micros, _)| Micros::from_micros(*micros).to_minor(currency).0).sum();
        (-sum).min(minor)
    }

    fn money(&self, minor: i128) -> Money {
        let Some(currency) = self.currency else { return Money { amount: "0.00".to_owned(), currency: String::new() } };
        let micros = i64::try_from(minor).ok().and_then(|minor| Micros::from_minor(minor, currency).ok());
        Money::of(micros.map_or(0, Micros::micros), currency.code())
    }

    fn conversion_credit(&self, row: &JourneyRow, steps: &[Step], credited: &Credited) -> ConversionCredit {
        let unsigned = |position: i64| u64::try_from(position).unwrap_or_default();
        let at = |micros: i64| Timestamp::from_micros(micros).to_string();
        let minor = self.currency.map_or(0, |currency| Micros::from_micros(row.micros).to_minor(currency).0);
        let back = self.currency.map_or(0, |currency| self.back(row, minor, currency));
        let each = |place: usize, net: bool| -> BTreeMap<String, Money> {
            let part = |(model, parts): (&String, &Vec<i64>)| {
                let gone = if net { taken(parts, back).get(place).copied().unwrap_or(0) } else { 0 };
                Some((model.clone(), self.money(i128::from(parts.get(place)? - gone))))
            };
            credited.iter().filter_map(part).collect()
        };
        let touches = steps.iter().enumerate().map(|(place, step)| TouchCredit {
            position: unsigned(step.position),
            at: at(step.touch.at.micros()),
            channel: self.study.words.channels.text(step.touch.channel).to_owned(),
            milestone: step.touch.milestone.map(|mark| self.study.words.marks.text(mark).to_owned()),
            engaged: step.engaged,
            credit: each(place, false),
            net: each(place, true),
        });
        let reversals = self.reversals.get(&row.record).into_iter().flatten();
        ConversionCredit {
            position: unsigned(row.position),
            subject: crate::domain::ids::SubjectId::from_bytes(row.subject).to_string(),
            at: at(row.occurred),
            value: self.money(i128::from(minor)),
            reversed: self.money(i128::from(back)),
            reversals: match row.record {
                [0, ..] if row.record == [0; 16] => Vec::new(),
                _ => reversals.map(|(_, position)| unsigned(*position)).collect(),
            },
            touches: touches.collect(),
        }
    }

    fn answer(self) -> Result<Attribution, AttributionError> {
        if self.seen.len() > 1 {
            return Err(AttributionError::Currencies(self.seen.into_iter().collect::<Vec<_>>().join(", ")));
        }
        let answers = self.study.answers(self.query.replicates, self.query.seed);
        let models = answers
            .iter()
            .map(|(name, rows)| ModelCredit {
                model: (*name).to_owned(),
                channels: rows.iter().map(|row| self.row(name, row)).collect(),
            })
            .collect();
        let rounding = self.currency.map_or(0, |currency| {
            let unit = Micros::from_minor(1, currency).map_or(0, Micros::micros);
            i64::try_from(self.micros - self.minor * i128::from(unit)).unwrap_or(0)
        });
        let code = self.currency.map(|currency| currency.code().to_owned());
        Ok(Attribution {
            journeys_without: self.without,
            conversions: self.conversions,
            value: self.money(self.minor),
            reversed: self.money(self.reversed),
            rounding: Money::of(rounding, code.as_deref().unwrap_or_default()),
            currency: code,
            models,
        })
    }

    fn row(&self, model: &str, row: &ChannelCredit) -> ChannelRow {
        let per_touch = self.credit.contains_key(model) || self.nobody.contains_key(model);
        let is_rule = self.credit.contains_key(model);
        let sums = if row.channel == NOBODY {
            self.nobody.get(model).copied()
        } else {
            let of_model = self.credit.get(model);
            let found = of_model.and_then(|channels| {
                channels.iter().find(|(id, _)| self.study.words.channels.text(**id) == row.channel)
            });
            found.map(|(_, sums)| *sums).or(per_touch.then_some((0, 0)))
        };
        let sums = sums.filter(|_| is_rule);
        let unit = self.currency.map_or(1, |currency| Micros::from_minor(1, currency).map_or(1, Micros::micros));
        let major = |value: f64| ModelMoney {
            #[expect(clippy::cast_precision_loss, reason = "a minor unit is a small power of ten")]
            amount: decimal(value * unit as f64 / 1e6),
            currency: self.currency.map_or_else(String::new, |currency| currency.code().to_owned()),
        };
        let band = |band: Band| [band.0, band.1];
        ChannelRow {
            channel: row.channel.clone(),
            conversions: row.conversions,
            value: row.value.map(major),
            credit: sums.map(|(credit, _)| self.money(credit)),
            net: sums.map(|(credit, back)| self.money(credit - back)),
            conversions_band: row.bands.and_then(|bands| bands.conversions).map(band),
            removal_effect: row.effects.and_then(|(conversions, _)| conversions),
        }
    }
}

/// What of each part goes back, of `back` in all; what was raised comes in the same way.
fn taken(parts: &[i64], back: i64) -> Vec<i64> {
    let weights: Vec<u64> = parts.iter().map(|part| part.unsigned_abs()).collect();
    let split = cents::split(back.abs(), &weights).unwrap_or_else(|| vec![0; parts.len()]);
    split.into_iter().map(|part| part * back.signum()).collect()
}

/// Up to twelve decimals, at least two.
fn decimal(value: f64) -> String {
    let text = format!("{value:.12}");
    let (whole, decimals) = text.split_once('.').unwrap_or((&text, ""));
    let kept = decimals.trim_end_matches('0');
    format!("{whole}.{kept:0<2}")
}
