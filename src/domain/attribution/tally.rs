//! Credit of one model over many journeys, taken in one by one.
//!
//! Rule models and Shapley over sets keep sums by channel only, Markov keeps transition counts, the other games keep counts
//! by set or path: none keeps the journeys.
#![expect(clippy::float_arithmetic, reason = "sums of shares; what is booked per touch is whole cents (cents.rs)")]

use super::cents;
use super::counts::Counts;
use super::journey::Touch;
use super::markov::{Effects, removal_effects};
use super::model::{CustomRules, Model, ModelError};
use super::names::NameId;
use super::path_file::Walk;
use super::rules::{Rule, Shape};
use super::shapley::{Coalitions, Paths, distinct_steps};
use super::{Vocabulary, rules};

/// What a channel earned.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Credit {
    /// Conversions.
    pub conversions: f64,
    /// Value, in the unit that went in.
    pub value: f64,
}

/// Credit by channel, and what nobody earned.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sums {
    /// By channel number; channels without credit may be missing at the end.
    pub channels: Vec<Credit>,
    /// Conversions without a touch that could earn them.
    pub nobody: Credit,
}

impl Sums {
    #[inline]
    pub(super) fn add(&mut self, channel: NameId, conversions: f64, value: f64) {
        let at = channel as usize;
        if at >= self.channels.len() {
            self.channels.resize(at + 1, Credit::default());
        }
        if let Some(credit) = self.channels.get_mut(at) {
            credit.conversions += conversions;
            credit.value += value;
        }
    }

    pub(super) fn unattributed(&mut self, conversions: f64, value: f64) {
        self.nobody.conversions += conversions;
        self.nobody.value += value;
    }
}

/// A model's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Credit by channel.
    pub sums: Sums,
    /// Whether credit of conversions means anything; not where a model has nothing to go by.
    pub has_conversions: bool,
    /// Whether credit of value means anything.
    pub has_value: bool,
    /// Removal effects of a Markov model.
    pub effects: Option<Effects>,
}

/// One model over the journeys so far.
#[derive(Debug, Clone)]
pub struct Tally(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Coalitions(Coalitions),
    Markov(Box<Counts>),
    Paths(Paths),
    Rule(RuleTally),
    Sets(Sums, Vec<NameId>),
}

impl Tally {
    /// An empty tally of a model. `paths_only` says that journeys come without times and milestones.
    ///
    /// # Errors
    /// The model needs what a path does not say, or names a custom rule that is not there.
    pub fn new(
        model: &Model,
        name: &str,
        paths_only: bool,
        custom: &CustomRules,
        words: &mut Vocabulary,
    ) -> Result<Tally, ModelError> {
        if let Some(rule) = model.rule(custom, words)? {
            let needs = match &rule {
                Rule::Decay(_) => true,
                Rule::Shape(shape) => shape.needs_touches(),
            };
            if needs && paths_only {
                return Err(ModelError::NeedsTouches(name.to_owned()));
            }
            return Ok(Tally(Kind::Rule(RuleTally::new(rule))));
        }
        Ok(Tally(match model {
            Model::Markov(order) => Kind::Markov(Box::new(Counts::new(*order))),
            Model::ShapleyCounterfactual(collapse) => Kind::Paths(Paths::new(*collapse)),
            Model::ShapleyOrdered => Kind::Coalitions(Coalitions::new(true)),
            Model::ShapleyRate => Kind::Coalitions(Coalitions::new(false)),
            _ => Kind::Sets(Sums::default(), Vec::new()),
        }))
    }

    /// Takes in journeys that took the same steps.
    #[inline]
    pub fn add(&mut self, walk: &Walk<'_>) {
        match &mut self.0 {
            Kind::Coalitions(coalitions) => coalitions.add(walk),
            Kind::Markov(counts) => counts.add(walk.steps, walk.conversions, walk.nulls, walk.value),
            Kind::Paths(paths) => paths.add(walk),
            Kind::Rule(rule) => rule.add(walk),
            Kind::Sets(sums, distinct) => add_sets(sums, distinct, walk),
        }
    }

    /// Takes in one journey `weight` times (once, but for resampling): its touches in order, and its conversion's cents if it
    /// converted. Rule models give whole cents to each touch; the parts are handed to `credited`.
    pub fn add_journey(
        &mut self,
        touches: &[Touch],
        cents: Option<i64>,
        weight: f64,
        credited: impl FnMut(&Touch, i64),
    ) {
        if let Kind::Rule(rule) = &mut self.0 {
            if let Some(cents) = cents {
                rule.add_touches(touches, cents, weight, credited);
            }
            return;
        }
        let steps: Vec<NameId> = touches.iter().map(|touch| touch.channel).collect();
        let (conversions, nulls) = if cents.is_some() { (weight, 0.0) } else { (0.0, weight) };
        self.add(&Walk { steps: &steps, conversions, nulls, value: weight * cents.unwrap_or(0) as f64 });
    }

    /// The answer over channels 0 to `channels` - 1.
    pub fn answer(&self, channels: usize) -> Answer {
        let mut sums = Sums::default();
        let (mut has_conversions, mut has_value, mut effects) = (true, true, None);
        match &self.0 {
            Kind::Coalitions(coalitions) => coalitions.finish(&mut sums),
            Kind::Markov(counts) => {
                let found = removal_effects(counts, channels);
                (has_conversions, has_value) = share_effects(counts, &found, &mut sums);
                effects = Some(found);
            }
            Kind::Paths(paths) => paths.finish(&mut sums),
            Kind::Rule(rule) => sums = rule.sums.clone(),
            Kind::Sets(so_far, _) => sums = so_far.clone(),
        }
        sums.channels.resize(channels.max(sums.channels.len()), Credit::default());
        Answer { sums, has_conversions, has_value, effects }
    }

    /// The transition counts of a Markov model.
    pub fn counts(&self) -> Option<&Counts> {
        match &self.0 {
            Kind::Markov(counts) => Some(counts),
            Kind::Coalitions(_) | Kind::Paths(_) | Kind::Rule(_) | Kind::Sets(..) => None,
        }
    }
}

/// Even split over the distinct channels of a path.
fn add_sets(sums: &mut Sums, distinct: &mut Vec<NameId>, walk: &Walk<'_>) {
    if walk.conversions == 0.0 && walk.value == 0.0 {
        return;
    }
    distinct_steps(walk.steps, distinct);
    if distinct.is_empty() {
        sums.unattributed(walk.conversions, walk.value);
    }
    let count = distinct.len() as f64;
    for channel in distinct {
        sums.add(*channel, walk.conversions / count, walk.value / count);
    }
}

/// Credit = total x effect / sum of effects. Where no channel has an effect there is nothing to go by.
fn share_effects(counts: &Counts, effects: &Effects, sums: &mut Sums) -> (bool, bool) {
    let (totals, nobody) = (counts.totals(), counts.ends().first().copied().unwrap_or_default());
    sums.unattributed(nobody.conversions, nobody.value);
    let mut share = |effects: &Option<Vec<f64>>, total: f64, give: fn(&mut Sums, NameId, f64)| {
        let Some(effects) = effects else { return false };
        let whole: f64 = effects.iter().sum();
        for (channel, effect) in effects.iter().enumerate() {
            give(sums, channel as NameId, if whole == 0.0 { 0.0 } else { total * (effect / whole) });
        }
        whole != 0.0
    };
    let conversions = totals.conversions - nobody.conversions;
    let has_conversions = share(&effects.conversions, conversions, |sums, at, part| sums.add(at, part, 0.0));
    let has_value = share(&effects.value, totals.value - nobody.value, |sums, at, part| sums.add(at, 0.0, part));
    (has_conversions, has_value)
}

/// A rule model's sums.
#[derive(Debug, Clone)]
struct RuleTally {
    rule: Rule,
    sums: Sums,
    /// Shares of the first, a middle and the last of so many steps, where channels weigh the same.
    ends: Vec<[f64; 3]>,
    weights: Vec<u64>,
}

/// Longer paths are weighed each time.
const ENDS_MAX: usize = 256;

impl RuleTally {
    fn new(rule: Rule) -> RuleTally {
        let mut tally = RuleTally { rule, sums: Sums::default(), ends: Vec::new(), weights: Vec::new() };
        if let Rule::Shape(shape) = &tally.rule
            && !shape.has_factors()
        {
            tally.ends = (0..ENDS_MAX).map(|length| shares_of_ends(shape, length)).collect();
        }
        tally
    }

    #[inline]
    fn add(&mut self, walk: &Walk<'_>) {
        if walk.conversions == 0.0 && walk.value == 0.0 {
            return;
        }
        let sums = &mut self.sums;
        let give = |sums: &mut Sums, channel: NameId, share: f64| {
            if share != 0.0 {
                sums.add(channel, share * walk.conversions, share * walk.value);
            }
        };
        match (walk.steps, self.ends.get(walk.steps.len())) {
            ([], _) => sums.unattributed(walk.conversions, walk.value),
            ([only], Some([share, ..])) => give(sums, *only, *share),
            ([first, middle @ .., last], Some([at_first, between, at_last])) => {
                give(sums, *first, *at_first);
                if *between != 0.0 {
                    middle.iter().for_each(|channel| give(sums, *channel, *between));
                }
                give(sums, *last, *at_last);
            }
            (steps, None) => {
                match &self.rule {
                    // Without times all touches are of one age.
                    Rule::Decay(_) => self.weights = vec![1; steps.len()],
                    Rule::Shape(shape) => shape.weigh_steps(steps, &mut self.weights),
                }
                if self.weights.iter().all(|weight| *weight == 0) {
                    sums.unattributed(walk.conversions, walk.value);
                }
                for (channel, share) in steps.iter().zip(shares(&self.weights)) {
                    give(sums, *channel, share);
                }
            }
        }
    }

    fn add_touches(&mut self, touches: &[Touch], cents: i64, weight: f64, mut credited: impl FnMut(&Touch, i64)) {
        self.rule.weigh(touches, &mut self.weights);
        let Some(parts) = cents::split(cents, &self.weights) else {
            self.sums.unattributed(weight, weight * cents as f64);
            return;
        };
        let shares = shares(&self.weights);
        for ((touch, share), part) in touches.iter().zip(shares).zip(parts) {
            self.sums.add(touch.channel, weight * share, weight * part as f64);
            credited(touch, part);
        }
    }
}

fn shares_of_ends(shape: &Shape, length: usize) -> [f64; 3] {
    let mut weights = Vec::new();
    shape.weigh_steps(&vec![0; length], &mut weights);
    let shares: Vec<f64> = shares(&weights).collect();
    let at = |place: usize| shares.get(place).copied().unwrap_or(0.0);
    [at(0), at(1), at(length.saturating_sub(1))]
}

/// Weights as parts of 1; all 0 where nobody weighs anything.
pub(super) fn shares(weights: &[u64]) -> impl Iterator<Item = f64> {
    let whole: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
    weights.iter().map(move |weight| if whole == 0 { 0.0 } else { *weight as f64 / whole as f64 })
}

const _: () = assert!(rules::TOUCHES_MAX < u32::MAX as usize, "steps are counted in 32 bits");
