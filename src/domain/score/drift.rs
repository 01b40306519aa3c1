//! Drift: how far the scores of a later sample have moved from those of an earlier one.
//!
//! The population stability index compares shares by bin. Its habitual limits of 0.10 and 0.25 (Lewis 1994) are no tests: they
//! depend on sample sizes and bins, so the critical value for these sizes stands beside it (Yurdakul and Naranjo 2020).
#![expect(clippy::float_arithmetic, reason = "shares are real numbers; no money is here")]
#![expect(clippy::cast_precision_loss, reason = "counts of rows stay far below 2^53")]
#![expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank between 0 and the number of rows")]

use super::metrics::sum;

/// Share that an empty bin counts with.
const SHARE_MIN: f64 = 1e-4;

/// One bin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DriftBin {
    /// Lower end, included; none: no lower end.
    pub from: Option<f64>,
    /// Upper end, not included; none: no upper end.
    pub to: Option<f64>,
    /// Rows of the earlier sample.
    pub earlier: u64,
    /// Rows of the later sample.
    pub later: u64,
    /// Its part of the index.
    pub index: f64,
}

/// The index and what it is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Drift {
    /// Population stability index.
    pub index: f64,
    /// What it stays under in 95 of 100 cases if nothing has moved, for these sizes and bins.
    pub critical: f64,
    /// Its bins, ascending.
    pub bins: Vec<DriftBin>,
}

/// Quantile by linear interpolation between the two nearest ranks (type 7 of Hyndman and Fan 1996).
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len().saturating_sub(1)) as f64;
    let low = at.floor();
    let value = |rank: f64| sorted.get(rank as usize).copied().unwrap_or_default();
    let (first, second) = (value(low), value(at.ceil()));
    first + (second - first) * (at - low)
}

/// Compares a later sample with an earlier one in as many bins as the earlier one's quantiles tell apart. None where a sample
/// is empty, a score is not finite, or there are fewer than two bins.
pub fn drift(earlier: &[f64], later: &[f64], bins_max: u32) -> Option<Drift> {
    if earlier.is_empty() || later.is_empty() || earlier.iter().chain(later).any(|score| !score.is_finite()) {
        return None;
    }
    let mut sorted = earlier.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let mut edges: Vec<f64> = (1..bins_max).map(|at| quantile(&sorted, f64::from(at) / f64::from(bins_max))).collect();
    edges.dedup_by(|a, b| a <= b);
    if edges.is_empty() {
        return None;
    }
    let count = |scores: &[f64]| {
        let mut counts = vec![0u64; edges.len() + 1];
        for score in scores {
            if let Some(bin) = counts.get_mut(edges.partition_point(|edge| edge <= score)) {
                *bin += 1;
            }
        }
        counts
    };
    let share = |count: u64, rows: usize| match count {
        0 => SHARE_MIN,
        count => count as f64 / rows as f64,
    };
    let bins: Vec<DriftBin> = count(earlier)
        .into_iter()
        .zip(count(later))
        .enumerate()
        .map(|(at, (before, after))| {
            let (old, new) = (share(before, earlier.len()), share(after, later.len()));
            let from = at.checked_sub(1).and_then(|at| edges.get(at)).copied();
            let index = (new - old) * (new / old).ln();
            DriftBin { from, to: edges.get(at).copied(), earlier: before, later: after, index }
        })
        .collect();
    let freedom = edges.len() as f64;
    let sizes = 1.0 / earlier.len() as f64 + 1.0 / later.len() as f64;
    Some(Drift { index: sum(bins.iter().map(|bin| bin.index)), critical: sizes * chi_square_95(freedom), bins })
}

/// 95th percentile of chi-square, by halving on the regularised gamma function.
fn chi_square_95(freedom: f64) -> f64 {
    let (mut low, mut high) = (0.0, freedom + 20.0 * (freedom + 4.0).sqrt());
    for _ in 0..100 {
        let middle = (low + high) / 2.0;
        if gamma_p(freedom / 2.0, middle / 2.0) < 0.95 { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

/// Regularised lower incomplete gamma function by its series (Abramowitz and Stegun 6.5.29).
fn gamma_p(shape: f64, x: f64) -> f64 {
    let (mut term, mut total) = (1.0 / shape, 1.0 / shape);
    for step in 1..2_000u32 {
        term *= x / (shape + f64::from(step));
        total += term;
        if term < total * 1e-16 {
            break;
        }
    }
    total * (shape * x.ln() - x - ln_gamma(shape)).exp()
}

/// Logarithm of the gamma function for positive halves and wholes, exactly by its recursion.
fn ln_gamma(shape: f64) -> f64 {
    let half = (shape.fract() - 0.5).abs() < 1e-9;
    let (mut at, mut total) = if half { (0.5, std::f64::consts::PI.sqrt().ln()) } else { (1.0, 0.0) };
    while at + 0.5 < shape {
        total += f64::ln(at);
        at += 1.0;
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_not_moved_has_no_drift() {
        let scores: Vec<f64> = (0..1000).map(f64::from).collect();
        let drift = drift(&scores, &scores, 10).unwrap();
        assert_eq!((drift.index, drift.bins.len()), (0.0, 10));
        assert!(drift.bins.iter().all(|bin| bin.earlier == 100));
    }

    #[test]
    fn the_critical_value_is_chi_square() {
        // 16.919 for nine degrees of freedom, 3.841 for one, 18.307 for ten.
        for (freedom, expected) in [(9.0, 16.918_977_6), (1.0, 3.841_458_8), (10.0, 18.307_038_1)] {
            assert!((chi_square_95(freedom) - expected).abs() < 1e-6, "{freedom}");
        }
    }

    #[test]
    fn a_moved_sample_has_drift_above_the_critical_value_and_its_twin_has_not() {
        let earlier: Vec<f64> = (0..1000).map(f64::from).collect();
        let moved: Vec<f64> = earlier.iter().map(|score| score + 200.0).collect();
        let mixed: Vec<f64> = (0..1000).map(|at| f64::from((at * 7) % 1000)).collect();
        let (moved, mixed) = (drift(&earlier, &moved, 10).unwrap(), drift(&earlier, &mixed, 10).unwrap());
        assert!(moved.index > moved.critical && mixed.index < mixed.critical);
    }

    #[test]
    fn one_value_or_none_has_no_bins() {
        assert_eq!(drift(&[], &[1.0], 10), None);
        assert_eq!(drift(&[1.0], &[f64::INFINITY], 10), None);
        assert_eq!(drift(&[1.0, 2.0], &[1.0], 1), None);
    }
}
