//! Bands around credit: what it would have been had chance dealt the journeys differently.
//!
//! Poisson bootstrap over journeys: in each replicate every journey counts as often as a Poisson draw of mean 1 says, so a
//! line of n journeys counts Poisson(n) times; the model is computed afresh, and a band reaches from the 5th to the 95th
//! percentile of its answers. The stream of draws is written out here and depends on the seed alone, so a band can be
//! computed again anywhere; all models of one seed see the same draws.
#![expect(clippy::float_arithmetic, reason = "chance is a real number; no money leaves here")]

use super::journey::Touch;
use super::names::NameId;
use super::path_file::Walk;
use super::tally::{Answer, Tally};

/// Journeys kept to be drawn from.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    steps: Vec<NameId>,
    walks: Vec<Kept>,
    touches: Vec<Touch>,
    journeys: Vec<(usize, Option<i64>)>,
}

#[derive(Debug, Clone, Copy)]
struct Kept {
    /// Where its steps end; they begin where those of the walk before end.
    end: usize,
    conversions: f64,
    nulls: f64,
    value: f64,
}

/// Lower and upper end of a band.
pub type Band = (f64, f64);

/// Bands of one channel; none where too few replicates gave an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Bands {
    /// Of conversions.
    pub conversions: Option<Band>,
    /// Of value.
    pub value: Option<Band>,
}

/// As many replicates as make sense.
pub const REPLICATES_MAX: u32 = 100_000;

impl Sample {
    /// Keeps journeys that took the same steps.
    pub fn add(&mut self, walk: &Walk<'_>) {
        self.steps.extend_from_slice(walk.steps);
        let Walk { conversions, nulls, value, .. } = *walk;
        self.walks.push(Kept { end: self.steps.len(), conversions, nulls, value });
    }

    /// Keeps one journey.
    pub fn add_journey(&mut self, touches: &[Touch], cents: Option<i64>) {
        self.touches.extend_from_slice(touches);
        self.journeys.push((self.touches.len(), cents));
    }

    /// Bands by channel of a model, from so many replicates. `empty` is a tally of it that took nothing in.
    pub fn bands(&self, empty: &Tally, channels: usize, replicates: u32, seed: u64) -> Vec<Bands> {
        let answers: Vec<Answer> = (0..replicates.min(REPLICATES_MAX))
            .map(|replicate| self.replicate(empty.clone(), &mut Draws::new(seed, replicate)).answer(channels))
            .collect();
        let band = |channel: usize, has: fn(&Answer) -> bool, of: fn(&Answer, usize) -> f64| {
            let mut values: Vec<f64> =
                answers.iter().filter(|answer| has(answer)).map(|answer| of(answer, channel)).collect();
            values.sort_unstable_by(f64::total_cmp);
            percentile(&values, 5).zip(percentile(&values, 95))
        };
        (0..channels)
            .map(|channel| Bands {
                conversions: band(channel, |answer| answer.has_conversions, conversions_of),
                value: band(channel, |answer| answer.has_value, value_of),
            })
            .collect()
    }

    fn replicate(&self, mut tally: Tally, draws: &mut Draws) -> Tally {
        let mut start = 0;
        for kept in &self.walks {
            let steps = self.steps.get(start..kept.end).unwrap_or_default();
            start = kept.end;
            let (conversions, nulls) = (draws.poisson(kept.conversions), draws.poisson(kept.nulls));
            // A line that has value alone (refunds) counts as one journey.
            let times = if kept.conversions > 0.0 { conversions / kept.conversions } else { draws.poisson(1.0) };
            tally.add(&Walk { steps, conversions, nulls, value: kept.value * times });
        }
        let mut start = 0;
        for (end, cents) in &self.journeys {
            let touches = self.touches.get(start..*end).unwrap_or_default();
            start = *end;
            let weight = draws.poisson(1.0);
            if weight > 0.0 {
                tally.add_journey(touches, *cents, weight, |_, _| ());
            }
        }
        tally
    }
}

fn conversions_of(answer: &Answer, channel: usize) -> f64 {
    answer.sums.channels.get(channel).map_or(0.0, |credit| credit.conversions)
}

fn value_of(answer: &Answer, channel: usize) -> f64 {
    answer.sums.channels.get(channel).map_or(0.0, |credit| credit.value)
}

/// Nearest rank; none of fewer than twenty values, where the ends would be the extremes.
pub(crate) fn percentile(sorted: &[f64], percent: usize) -> Option<f64> {
    if sorted.len() < 20 {
        return None;
    }
    sorted.get((percent * sorted.len()).div_ceil(100).saturating_sub(1)).copied()
}

/// A stream of draws: SplitMix64 (Steele, Lea and Flood 2014).
#[derive(Debug, Clone)]
pub(crate) struct Draws(u64);

impl Draws {
    pub(crate) fn new(seed: u64, replicate: u32) -> Draws {
        let mut draws = Draws(seed);
        // A replicate's own stream: its number goes through the mixer before it moves the state.
        draws.0 ^= Draws(u64::from(replicate)).draw();
        draws
    }

    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Above 0, at most 1.
    fn uniform(&mut self) -> f64 {
        ((self.draw() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// A Poisson draw: by multiplication for small means, by transformed rejection (PTRS, Hormann 1993) for others.
    pub(crate) fn poisson(&mut self, mean: f64) -> f64 {
        if mean <= 0.0 {
            return 0.0;
        }
        if mean < 10.0 {
            let (floor, mut product, mut count) = ((-mean).exp(), self.uniform(), 0.0);
            while product > floor {
                product *= self.uniform();
                count += 1.0;
            }
            return count;
        }
        let b = 0.931 + 2.53 * mean.sqrt();
        let a = -0.059 + 0.02483 * b;
        let inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
        let enough = 0.9277 - 3.6224 / (b - 2.0);
        loop {
            let (u, v) = (self.uniform() - 0.5, self.uniform());
            let room = 0.5 - u.abs();
            let count = ((2.0 * a / room + b) * u + mean + 0.43).floor();
            if room >= 0.07 && v <= enough {
                return count;
            }
            if count < 0.0 || (room < 0.013 && v > room) {
                continue;
            }
            let bound = count * mean.ln() - mean - ln_factorial(count);
            if (v * inverse_alpha / (a / (room * room) + b)).ln() <= bound {
                return count;
            }
        }
    }
}

/// ln(n!): by its terms where Stirling's series is coarse.
fn ln_factorial(n: f64) -> f64 {
    if n < 10.0 {
        return (2..=n as u32).map(|factor| f64::from(factor).ln()).sum();
    }
    let x = n + 1.0;
    let series = 1.0 / (12.0 * x) - 1.0 / (360.0 * x.powi(3)) + 1.0 / (1260.0 * x.powi(5));
    (x - 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_the_mean_and_the_variance_of_a_poisson() {
        for mean in [0.3, 1.0, 9.9, 10.1, 47.0, 3_000.0] {
            let mut draws = Draws::new(7, 0);
            let count = 40_000;
            let values: Vec<f64> = (0..count).map(|_| draws.poisson(mean)).collect();
            let average = values.iter().sum::<f64>() / f64::from(count);
            let variance = values.iter().map(|value| (value - average).powi(2)).sum::<f64>() / f64::from(count);
            let error = (mean / f64::from(count)).sqrt();
            assert!((average - mean).abs() < 4.0 * error, "mean {mean}: {average}");
            assert!((variance / mean - 1.0).abs() < 0.05, "mean {mean}: variance {variance}");
        }
    }

    #[test]
    fn factorials_meet_where_the_methods_change() {
        let by_terms = |n: u32| (2..=n).map(|factor| f64::from(factor).ln()).sum::<f64>();
        for n in [0, 1, 9, 10, 11, 50] {
            assert!((ln_factorial(f64::from(n)) - by_terms(n)).abs() < 1e-10, "{n}");
        }
    }
}
