//! Champion against challenger on the same leads: the difference of their areas under the curve, and how sure it is.
//!
//! DeLong, DeLong and Clarke-Pearson 1988: the variance of the difference from each lead's placement among the leads of the
//! other outcome, so that the two scores' agreement is counted in.
#![expect(clippy::float_arithmetic, reason = "a statistic; no money is here")]
#![expect(clippy::cast_precision_loss, reason = "counts of rows stay far below 2^53")]

use super::metrics::sum;
use super::sample::{Sample, SampleError, Scored};

/// Challenger's area less champion's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// Champion's area under the curve.
    pub champion: f64,
    /// Challenger's.
    pub challenger: f64,
    /// 95 % interval of challenger less champion.
    pub band: (f64, f64),
}

/// A lead's outcome and both scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// Champion's score.
    pub champion: f64,
    /// Challenger's score.
    pub challenger: f64,
    /// The outcome came.
    pub positive: bool,
}

/// For each lead the share of leads of the other outcome that it beats (a positive) or that beat it (a negative).
fn placements(sample: &[Sample]) -> Result<Vec<f64>, SampleError> {
    let scored = Scored::new(sample)?;
    let (positives, negatives) = (scored.positives() as f64, scored.negatives() as f64);
    let (mut positives_below, mut negatives_below) = (0u64, 0u64);
    let mut places = Vec::with_capacity(scored.ties().len());
    for tie in scored.ties() {
        let beats = (negatives_below as f64 + tie.negatives as f64 / 2.0) / negatives;
        positives_below += tie.positives;
        negatives_below += tie.negatives;
        let above = (positives - positives_below as f64 + tie.positives as f64 / 2.0) / positives;
        places.push((tie.score, beats, above));
    }
    let place = |row: &Sample| {
        let at = places.partition_point(|(score, ..)| *score < row.score);
        places.get(at).map_or(0.0, |(_, beats, above)| if row.positive { *beats } else { *above })
    };
    Ok(sample.iter().map(place).collect())
}

fn variance_of_mean(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let mean = sum(values.iter().copied()) / count;
    if values.len() < 2 { 0.0 } else { sum(values.iter().map(|value| (value - mean).powi(2))) / (count - 1.0) / count }
}

/// Compares two scores of the same leads.
///
/// # Errors
/// [`SampleError`] as for ranking one score.
pub fn difference(pairs: &[Pair]) -> Result<Difference, SampleError> {
    let side = |score: fn(&Pair) -> f64| -> Vec<Sample> {
        pairs.iter().map(|pair| Sample { score: score(pair), positive: pair.positive }).collect()
    };
    let (champion, challenger) = (placements(&side(|pair| pair.champion))?, placements(&side(|pair| pair.challenger))?);
    let gaps = |positive: bool| -> Vec<f64> {
        let rows = pairs.iter().zip(champion.iter().zip(&challenger));
        rows.filter(|(pair, _)| pair.positive == positive).map(|(_, (old, new))| new - old).collect()
    };
    let area = |places: &[f64]| {
        let rows = pairs.iter().zip(places).filter(|(pair, _)| pair.positive);
        let count = rows.clone().count() as f64;
        sum(rows.map(|(_, place)| *place)) / count
    };
    let (old, new) = (area(&champion), area(&challenger));
    let error = (variance_of_mean(&gaps(true)) + variance_of_mean(&gaps(false))).sqrt();
    let half = 1.959_963_984_540_054 * error;
    Ok(Difference { champion: old, challenger: new, band: (new - old - half, new - old + half) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::score::metrics::auc;

    fn pairs(challenger: impl Fn(u32, bool) -> f64) -> Vec<Pair> {
        (0..400u32)
            .map(|at| {
                let positive = at % 4 == 0;
                let noise = f64::from((at * 7_919) % 400) / 400.0;
                Pair {
                    champion: noise + if positive { 0.2 } else { 0.0 },
                    challenger: challenger(at, positive),
                    positive,
                }
            })
            .collect()
    }

    #[test]
    fn areas_are_those_of_ranking() {
        let pairs = pairs(|at, positive| f64::from((at * 31) % 50) + if positive { 9.0 } else { 0.0 });
        let found = difference(&pairs).unwrap();
        let rows: Vec<Sample> =
            pairs.iter().map(|pair| Sample { score: pair.challenger, positive: pair.positive }).collect();
        assert!((found.challenger - auc(&Scored::new(&rows).unwrap())).abs() < 1e-12);
    }

    #[test]
    fn a_score_does_not_beat_itself_and_a_better_one_does() {
        let same = pairs(|at, positive| f64::from((at * 7_919) % 400) / 400.0 + if positive { 0.2 } else { 0.0 });
        let found = difference(&same).unwrap();
        assert_eq!((found.band.0, found.band.1), (0.0, 0.0));
        let better = pairs(|at, positive| f64::from((at * 7_919) % 400) / 400.0 + if positive { 0.7 } else { 0.0 });
        assert!(difference(&better).unwrap().band.0 > 0.0);
        assert_eq!(difference(&[]), Err(SampleError::Empty));
    }
}
