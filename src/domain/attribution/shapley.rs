//! Four games sold under the name of Shapley; a result always names the one it used.
//!
//! - *sets*: v(S) = conversions of paths whose channels all lie in S. Its Shapley value is an even split of each path's
//!   conversions over its distinct channels (Zhao, Mahboobi and Bagheri 2018), so one pass is exact.
//! - *rate*: v(S) = conversion rate of journeys whose set of channels is exactly S, 0 if there was none. The value of each
//!   converting set is scaled to the set's conversions. Nothing is floored: a channel may earn less than nothing.
//! - *ordered*: as rate, with the channels in order of their first touch: journeys by a, b and by b, a are two coalitions,
//!   and channels join in the order of the path at hand.
//! - *counterfactual*: per path, what the conversion rate loses with each touch taken out, floored at 0 and normalised; all
//!   to the last touch where nothing is lost.
#![expect(clippy::float_arithmetic, reason = "shares of conversions are real numbers; money leaves only as shares")]

use super::fast_hash::FastMap;
use super::names::NameId;
use super::path_file::Walk;
use super::tally::Sums;

/// Counts of journeys that are alike.
#[derive(Debug, Clone, Copy, Default)]
struct Alike {
    conversions: f64,
    journeys: f64,
    value: f64,
}

impl Alike {
    fn add(&mut self, walk: &Walk<'_>) {
        self.conversions += walk.conversions;
        self.journeys += walk.conversions + walk.nulls;
        self.value += walk.value;
    }

    fn rate(&self) -> f64 {
        if self.journeys > 0.0 { self.conversions / self.journeys } else { 0.0 }
    }

    fn earns(&self) -> bool {
        self.conversions != 0.0 || self.value != 0.0
    }
}

/// The distinct channels of a path in order of their first touch, into `distinct`.
pub(super) fn distinct_steps(steps: &[NameId], distinct: &mut Vec<NameId>) {
    distinct.clear();
    for step in steps {
        if !distinct.contains(step) {
            distinct.push(*step);
        }
    }
}

/// Journeys by their channels, as sets or in order of first touch.
#[derive(Debug, Clone, Default)]
pub(super) struct Coalitions {
    ordered: bool,
    alike: FastMap<Box<[NameId]>, Alike>,
    distinct: Vec<NameId>,
}

/// Up to as many channels all sub-coalitions are looked up; beyond, or if that is more work, the coalitions seen are
/// searched for sub-coalitions.
const LOOK_UP_MAX: usize = 20;

impl Coalitions {
    pub fn new(ordered: bool) -> Coalitions {
        Coalitions { ordered, ..Coalitions::default() }
    }

    pub fn add(&mut self, walk: &Walk<'_>) {
        distinct_steps(walk.steps, &mut self.distinct);
        if !self.ordered {
            self.distinct.sort_unstable();
        }
        match self.alike.get_mut(self.distinct.as_slice()) {
            Some(alike) => alike.add(walk),
            None => self.alike.entry(self.distinct.as_slice().into()).or_default().add(walk),
        }
    }

    pub fn finish(&self, sums: &mut Sums) {
        let seen: Vec<(&[NameId], f64)> = {
            let rates = self.alike.iter().map(|(coalition, alike)| (&**coalition, alike.rate()));
            let mut seen: Vec<_> = rates.filter(|(coalition, rate)| !coalition.is_empty() && *rate > 0.0).collect();
            // Sums are taken in one order, whatever the order of the rows.
            seen.sort_unstable_by_key(|(coalition, _)| *coalition);
            seen
        };
        let mut earning: Vec<_> = self.alike.iter().filter(|(_, alike)| alike.earns()).collect();
        earning.sort_unstable_by_key(|(coalition, _)| *coalition);
        for (coalition, alike) in earning {
            let rate = alike.rate();
            if coalition.is_empty() || rate == 0.0 {
                sums.unattributed(alike.conversions, alike.value);
                continue;
            }
            let values = self.shapley(coalition, &seen);
            for (channel, value) in coalition.iter().zip(values) {
                let share = value / rate;
                sums.add(*channel, share * alike.conversions, share * alike.value);
            }
        }
    }

    /// Shapley values of the members of `coalition`, by place.
    fn shapley(&self, coalition: &[NameId], seen: &[(&[NameId], f64)]) -> Vec<f64> {
        let size = coalition.len();
        let weights = Weights::new(size);
        let mut values = vec![0.0; size];
        let mut inside = vec![false; size];
        if size <= LOOK_UP_MAX && 1 << size <= seen.len() * 4 {
            let mut part = Vec::with_capacity(size);
            for chosen in 1_u32..1 << size {
                part.clear();
                for (at, (place, channel)) in inside.iter_mut().zip(coalition).enumerate() {
                    *place = chosen >> at & 1 == 1;
                    if *place {
                        part.push(*channel);
                    }
                }
                if let Some(rate) = self.alike.get(part.as_slice()).map(Alike::rate).filter(|rate| *rate > 0.0) {
                    weights.credit(&inside, rate, &mut values);
                }
            }
        } else {
            for (part, rate) in seen {
                if places_in(part, coalition, &mut inside) {
                    weights.credit(&inside, *rate, &mut values);
                }
            }
        }
        values
    }
}

/// Whether `part` can be read off `whole` from left to right, and which places that takes. For sorted sets it is inclusion.
fn places_in(part: &[NameId], whole: &[NameId], places: &mut [bool]) -> bool {
    let mut left = part.iter().peekable();
    for (place, channel) in places.iter_mut().zip(whole) {
        *place = left.next_if_eq(&channel).is_some();
    }
    left.next().is_none()
}

/// |S|! (n - |S| - 1)! / n! for each size of S below n: how often S is there when a channel joins.
struct Weights(Vec<f64>);

impl Weights {
    fn new(size: usize) -> Weights {
        // 1 / (n C(n - 1, s)), the binomial built up factor by factor; one too large for a float gives a weight of 0.
        let mut binomial = 1.0;
        let weights = (0..size).map(|chosen| {
            let weight = 1.0 / (size as f64 * binomial);
            binomial *= (size - 1 - chosen) as f64 / (chosen + 1) as f64;
            weight
        });
        Weights(weights.collect())
    }

    /// Credits the coalition `inside` of worth `worth`: its members for joining last, the others for not adding to it.
    fn credit(&self, inside: &[bool], worth: f64, values: &mut [f64]) {
        let size = inside.iter().filter(|inside| **inside).count();
        let weight = |size: usize| self.0.get(size).copied().unwrap_or(0.0);
        let (joined, missed) = (size.checked_sub(1).map_or(0.0, weight) * worth, weight(size) * worth);
        for (value, inside) in values.iter_mut().zip(inside) {
            *value += if *inside { joined } else { -missed };
        }
    }
}

/// Journeys by path, for the counterfactual game.
#[derive(Debug, Clone, Default)]
pub(super) struct Paths {
    collapse: bool,
    alike: FastMap<Box<[NameId]>, Alike>,
    path: Vec<NameId>,
}

impl Paths {
    pub fn new(collapse: bool) -> Paths {
        Paths { collapse, ..Paths::default() }
    }

    pub fn add(&mut self, walk: &Walk<'_>) {
        self.path.clear();
        self.path.extend_from_slice(walk.steps);
        if self.collapse {
            self.path.dedup();
        }
        match self.alike.get_mut(self.path.as_slice()) {
            Some(alike) => alike.add(walk),
            None => self.alike.entry(self.path.as_slice().into()).or_default().add(walk),
        }
    }

    pub fn finish(&self, sums: &mut Sums) {
        let mut earning: Vec<_> = self.alike.iter().filter(|(_, alike)| alike.earns()).collect();
        earning.sort_unstable_by_key(|(path, _)| *path);
        let mut without = Vec::new();
        for (path, alike) in earning {
            let Some((last, before)) = path.split_last() else {
                sums.unattributed(alike.conversions, alike.value);
                continue;
            };
            let lost = |at: usize, without: &mut Vec<NameId>| {
                without.clear();
                without.extend(path.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, step)| *step));
                (alike.rate() - self.alike.get(without.as_slice()).map_or(0.0, Alike::rate)).max(0.0)
            };
            let losses: Vec<f64> = (0..=before.len()).map(|at| lost(at, &mut without)).collect();
            let whole: f64 = losses.iter().sum();
            if whole == 0.0 {
                sums.add(*last, alike.conversions, alike.value);
                continue;
            }
            for (step, loss) in path.iter().zip(losses) {
                sums.add(*step, loss / whole * alike.conversions, loss / whole * alike.value);
            }
        }
    }
}
