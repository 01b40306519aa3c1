//! How well scores did: ranking (AUC, KS, Gini, lift) and probabilities (Brier, log loss, calibration).
//!
//! Ranking is counted in whole numbers and divided once, so ties are exact: a tie of a positive and a negative is half a win
//! (Mann-Whitney). Definitions of probabilities are those of scikit-learn 1.x, which `tests/format/score_golden.py` computes.
#![expect(clippy::float_arithmetic, reason = "shares and probabilities are real numbers; no money is here")]
#![expect(clippy::cast_precision_loss, reason = "counts of rows stay far below 2^53")]

use super::sample::{Sample, SampleError, Scored};

/// Standard normal quantile of 0.975: 95 % intervals.
const Z_95: f64 = 1.959_963_984_540_054;

/// Area under the ROC curve: the chance that a positive scores above a negative.
pub fn auc(scored: &Scored) -> f64 {
    let (mut below, mut twice_wins) = (0u128, 0u128);
    for tie in scored.ties() {
        let (positives, negatives) = (u128::from(tie.positives), u128::from(tie.negatives));
        twice_wins += positives * (2 * below + negatives);
        below += negatives;
    }
    twice_wins as f64 / (2 * u128::from(scored.positives()) * u128::from(scored.negatives())) as f64
}

/// Gini coefficient, `2 AUC - 1`.
pub fn gini(scored: &Scored) -> f64 {
    2.0 * auc(scored) - 1.0
}

/// Kolmogorov-Smirnov statistic: the greatest distance between the shares of positives and of negatives below a score, and the
/// score where it is.
pub fn ks(scored: &Scored) -> (f64, f64) {
    let (all_positives, all_negatives) = (i128::from(scored.positives()), i128::from(scored.negatives()));
    let (mut positives, mut negatives) = (0i128, 0i128);
    let (mut most, mut at) = (0i128, 0.0);
    for tie in scored.ties() {
        positives += i128::from(tie.positives);
        negatives += i128::from(tie.negatives);
        let distance = (positives * all_negatives - negatives * all_positives).abs();
        if distance > most {
            (most, at) = (distance, tie.score);
        }
    }
    (most as f64 / (all_positives * all_negatives) as f64, at)
}

/// A tenth of the leads, best first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decile {
    /// From 1, the best.
    pub number: u32,
    /// Leads in it; a fraction where their number does not divide by ten.
    pub leads: f64,
    /// Positives in it; a tie that a border cuts is shared in proportion.
    pub positives: f64,
    /// Share of positives against that of all leads.
    pub lift: f64,
    /// Share of all positives in this and the better ones.
    pub gain: f64,
}

/// Lift and gain by tenths of the leads.
pub fn deciles(scored: &Scored) -> Vec<Decile> {
    let (rows, all) = (scored.rows() as f64, scored.positives() as f64);
    let mut deciles = Vec::with_capacity(10);
    let mut ties = scored.ties().iter().rev();
    let (mut left, mut rate) = (0.0, 0.0);
    let mut gained = 0.0;
    for number in 1..=10u32 {
        let mut room = rows / 10.0;
        let mut positives = 0.0;
        // What rounding leaves of a border belongs to the side it is on.
        while room > 1e-9 * rows {
            if left <= 0.0 {
                let Some(tie) = ties.next() else { break };
                left = (tie.positives + tie.negatives) as f64;
                rate = tie.positives as f64 / left;
            }
            let taken = f64::min(left, room);
            positives += taken * rate;
            left -= taken;
            room -= taken;
        }
        gained += positives;
        let leads = rows / 10.0;
        deciles.push(Decile { number, leads, positives, lift: (positives / leads) / (all / rows), gain: gained / all });
    }
    deciles
}

/// Sum that does not lose small terms (Neumaier 1974).
pub(super) fn sum(terms: impl Iterator<Item = f64>) -> f64 {
    let (mut total, mut lost) = (0.0f64, 0.0f64);
    for term in terms {
        let next = total + term;
        lost += if total.abs() >= term.abs() { (total - next) + term } else { (term - next) + total };
        total = next;
    }
    total + lost
}

fn outcome(row: &Sample) -> f64 {
    f64::from(u8::from(row.positive))
}

/// Rows whose scores are probabilities.
///
/// # Errors
/// [`SampleError::Empty`], and [`SampleError::NotProbability`] with the row from 0.
pub fn probabilities(sample: &[Sample]) -> Result<&[Sample], SampleError> {
    match sample.iter().position(|row| !(0.0..=1.0).contains(&row.score)) {
        Some(row) => Err(SampleError::NotProbability(row)),
        None if sample.is_empty() => Err(SampleError::Empty),
        None => Ok(sample),
    }
}

/// Brier score: mean squared distance of probability and outcome.
pub fn brier(sample: &[Sample]) -> f64 {
    sum(sample.iter().map(|row| (row.score - outcome(row)).powi(2))) / sample.len() as f64
}

/// Mean negative log likelihood; probabilities are kept one rounding step away from 0 and 1.
pub fn log_loss(sample: &[Sample]) -> f64 {
    let loss = |row: &Sample| {
        let probability = row.score.clamp(f64::EPSILON, 1.0 - f64::EPSILON);
        -if row.positive { probability.ln() } else { (-probability).ln_1p() }
    };
    sum(sample.iter().map(loss)) / sample.len() as f64
}

/// Wilson's 95 % interval of a share (Wilson 1927).
pub fn wilson(hits: u64, of: u64) -> Option<(f64, f64)> {
    if of == 0 {
        return None;
    }
    let (n, share) = (of as f64, hits as f64 / of as f64);
    let square = Z_95 * Z_95;
    let centre = share + square / (2.0 * n);
    let half = Z_95 * (share * (1.0 - share) / n + square / (4.0 * n * n)).sqrt();
    let divisor = 1.0 + square / n;
    Some((((centre - half) / divisor).max(0.0), ((centre + half) / divisor).min(1.0)))
}

/// Leads whose probabilities lie in one tenth of 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CalibrationBin {
    /// Lower end, not included but for 0.
    pub from: f64,
    /// Upper end, included.
    pub to: f64,
    /// Leads.
    pub rows: u64,
    /// Positives.
    pub positives: u64,
    /// Mean probability.
    pub predicted: f64,
    /// Share of positives.
    pub observed: f64,
    /// Wilson's 95 % interval of it.
    pub band: (f64, f64),
}

/// Probability against outcome by tenths of 0 to 1; empty ones are left out.
pub fn calibration(sample: &[Sample]) -> Vec<CalibrationBin> {
    let mut bins = Vec::with_capacity(10);
    for number in 0..10u32 {
        let (from, to) = (f64::from(number) / 10.0, f64::from(number + 1) / 10.0);
        let within = |row: &&Sample| (row.score > from || number == 0) && (row.score <= to || number == 9);
        let rows: Vec<&Sample> = sample.iter().filter(within).collect();
        let positives = rows.iter().filter(|row| row.positive).count() as u64;
        let count = rows.len() as u64;
        let Some(band) = wilson(positives, count) else { continue };
        bins.push(CalibrationBin {
            from,
            to,
            rows: count,
            positives,
            predicted: sum(rows.iter().map(|row| row.score)) / count as f64,
            observed: positives as f64 / count as f64,
            band,
        });
    }
    bins
}

/// Expected calibration error: distance of probability and share of positives, weighted by rows.
pub fn calibration_error(bins: &[CalibrationBin]) -> f64 {
    let rows: u64 = bins.iter().map(|bin| bin.rows).sum();
    sum(bins.iter().map(|bin| (bin.predicted - bin.observed).abs() * bin.rows as f64)) / rows.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(rows: &[(f64, u8)]) -> Vec<Sample> {
        rows.iter().map(|(score, positive)| Sample { score: *score, positive: *positive == 1 }).collect()
    }

    #[test]
    fn a_tie_is_half_a_win() {
        let scored = Scored::new(&sample(&[(0.1, 0), (0.5, 0), (0.5, 1), (0.9, 1)])).unwrap();
        // Pairs: (0.5 over 0.1), (0.5 with 0.5), (0.9 over both): 3.5 of 4.
        assert_eq!(auc(&scored), 3.5 / 4.0);
        assert_eq!(gini(&scored), 0.75);
        assert_eq!(ks(&scored), (0.5, 0.1));
    }

    #[test]
    fn a_perfect_and_a_reversed_order_are_one_and_zero() {
        let good = Scored::new(&sample(&[(0.1, 0), (0.2, 0), (0.8, 1)])).unwrap();
        let bad = Scored::new(&sample(&[(0.1, 1), (0.2, 0), (0.8, 0)])).unwrap();
        assert_eq!((auc(&good), auc(&bad)), (1.0, 0.0));
        assert_eq!((ks(&good).0, ks(&bad).0), (1.0, 1.0));
    }

    #[test]
    fn what_is_not_defined_is_an_error() {
        assert_eq!(Scored::new(&[]), Err(SampleError::Empty));
        assert_eq!(Scored::new(&sample(&[(0.1, 1), (0.3, 1)])), Err(SampleError::OneOutcome));
        assert_eq!(Scored::new(&sample(&[(0.1, 1), (f64::NAN, 0)])), Err(SampleError::NotFinite(1)));
        assert_eq!(probabilities(&sample(&[(0.1, 1), (1.1, 0)])), Err(SampleError::NotProbability(1)));
        assert_eq!(wilson(0, 0), None);
    }

    #[test]
    fn deciles_gain_everything_and_share_a_cut_tie() {
        let rows: Vec<(f64, u8)> = (0..15).map(|at| (f64::from(at), u8::from(at >= 12))).collect();
        let deciles = deciles(&Scored::new(&sample(&rows)).unwrap());
        assert_eq!(deciles.len(), 10);
        assert!((deciles[9].gain - 1.0).abs() < 1e-12);
        assert!((deciles[0].positives - 1.5).abs() < 1e-12 && (deciles[0].lift - 5.0).abs() < 1e-12);
        let level = deciles_of_one_score();
        assert!(level.iter().all(|decile| (decile.lift - 1.0).abs() < 1e-9), "one score ranks nothing");
    }

    fn deciles_of_one_score() -> Vec<Decile> {
        let rows: Vec<(f64, u8)> = (0..30).map(|at| (0.5, u8::from(at % 3 == 0))).collect();
        deciles(&Scored::new(&sample(&rows)).unwrap())
    }

    #[test]
    fn wilsons_interval_is_that_of_the_textbook() {
        // 10 of 50: 0.1124 to 0.3304 (Newcombe 1998, method 3).
        let (low, high) = wilson(10, 50).unwrap();
        assert!((low - 0.112_4).abs() < 5e-5 && (high - 0.330_4).abs() < 5e-5, "{low} {high}");
        assert_eq!(wilson(0, 10).unwrap().0, 0.0);
    }

    #[test]
    fn calibrated_probabilities_have_no_error() {
        let rows: Vec<(f64, u8)> = (0..100).map(|at| (0.25, u8::from(at % 4 == 0))).collect();
        let bins = calibration(&sample(&rows));
        assert_eq!((bins.len(), bins[0].rows, bins[0].positives), (1, 100, 25));
        assert!(calibration_error(&bins) < 1e-15);
    }
}
