//! A budget under limits: a small linear programme over the pieces of each channel's curve.
#![expect(
    clippy::float_arithmetic,
    reason = "the programme is solved in real numbers; money is cut to whole minor units"
)]

use microlp::{ComparisonOp, OptimizationDirection, Problem};

use super::response::Response;

/// Pieces that a curve is cut into between its limits.
const PIECES: u32 = 24;

/// What a channel may get, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// At least.
    pub least: i64,
    /// At most.
    pub most: i64,
}

/// Why there is no budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// What the channels must get at least is more than there is.
    #[error("the least that the channels must get is more than the budget")]
    Least,
    /// A limit is below zero, or a least above its most.
    #[error("a channel's least is below zero or above its most")]
    Limits,
    /// The solver gave up.
    #[error("the budget cannot be solved")]
    Solver,
}

/// What each channel should get of `budget` minor units so that together they earn most. Whole minor units, never more than the
/// budget; what would earn nothing stays unspent.
///
/// # Errors
/// [`PlanError`].
#[expect(clippy::cast_precision_loss, reason = "budgets are far below 2^53 minor units")]
pub fn plan(channels: &[(Response, Limits)], budget: i64) -> Result<Vec<i64>, PlanError> {
    if channels.iter().any(|(_, limits)| limits.least < 0 || limits.least > limits.most) {
        return Err(PlanError::Limits);
    }
    let least = channels.iter().try_fold(0_i64, |sum, (_, limits)| sum.checked_add(limits.least));
    let free = least.and_then(|least| budget.checked_sub(least)).filter(|free| *free >= 0).ok_or(PlanError::Least)?;
    let mut problem = Problem::new(OptimizationDirection::Maximize);
    let mut pieces = Vec::with_capacity(channels.len());
    for (response, limits) in channels {
        let length = (limits.most - limits.least) as f64 / f64::from(PIECES);
        let from = limits.least as f64;
        // Of a concave curve every piece earns less a unit than the one before it, so the programme fills them in order.
        let own: Vec<_> = (0..PIECES)
            .filter(|_| length > 0.0)
            .map(|piece| {
                let at = from + f64::from(piece) * length;
                let slope = (response.earned(at + length) - response.earned(at)) / length;
                problem.add_var(slope, (0.0, length))
            })
            .collect();
        pieces.push(own);
    }
    let all: Vec<_> = pieces.iter().flatten().map(|piece| (*piece, 1.0)).collect();
    problem.add_constraint(all.as_slice(), ComparisonOp::Le, free as f64);
    let solved = problem.solve().ok().and_then(|outcome| outcome.into_solution().ok());
    let solution = solved.ok_or(PlanError::Solver)?;
    let whole = channels.iter().zip(&pieces).map(|((response, limits), own)| {
        let more: f64 = own.iter().map(|piece| solution.var_value(*piece)).sum();
        // A flat curve is indifferent to money: it gets no more than it must.
        let more = if response.marginal(limits.least as f64) > 0.0 { more } else { 0.0 };
        // Cut, not rounded, so that the sum stays within the budget; the little added makes up for the solver's last digits.
        limits.least + floor(more + 1e-6).min(limits.most - limits.least)
    });
    Ok(whole.collect())
}

#[expect(clippy::cast_possible_truncation, reason = "a part of a budget that is an i64")]
fn floor(value: f64) -> i64 {
    value.max(0.0).floor() as i64
}

#[cfg(test)]
mod tests {
    use super::super::response::Period;
    use super::*;
    use proptest::prelude::*;

    fn response(gain: f64) -> Response {
        let of = |spend: f64| Period { spend, earned: gain * (spend / 1_000.0).ln_1p() };
        Response::fit(&[500.0, 1_000.0, 1_500.0, 1_000.0].map(of)).unwrap()
    }

    const OPEN: Limits = Limits { least: 0, most: 100_000 };

    #[test]
    fn money_goes_where_the_next_unit_earns_more_and_stops_at_limits() {
        let split = plan(&[(response(3_000.0), OPEN), (response(1_000.0), OPEN)], 10_000).unwrap();
        assert!(split[0] > 2 * split[1] && split[1] > 0, "{split:?}");
        assert!((9_990..=10_000).contains(&split.iter().sum::<i64>()), "{split:?}");
        let capped = Limits { least: 0, most: 2_000 };
        let split = plan(&[(response(3_000.0), capped), (response(1_000.0), OPEN)], 10_000).unwrap();
        assert_eq!(split[0], 2_000);
        let kept = Limits { least: 4_000, most: 4_000 };
        assert_eq!(plan(&[(response(3_000.0), OPEN), (response(1.0), kept)], 10_000).unwrap()[1], 4_000);
        assert_eq!(plan(&[(response(0.0), OPEN)], 10_000).unwrap(), [0], "what earns nothing gets nothing");
        assert_eq!(plan(&[], 10_000).unwrap(), [0_i64; 0]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let must = Limits { least: 6_000, most: 9_000 };
        assert_eq!(plan(&[(response(1.0), must), (response(1.0), must)], 10_000), Err(PlanError::Least));
        let wrong = Limits { least: 2, most: 1 };
        assert_eq!(plan(&[(response(1.0), wrong)], 10_000), Err(PlanError::Limits));
    }

    proptest! {
        #[test]
        fn no_other_split_of_the_budget_earns_more(gains in prop::collection::vec(1.0..5_000.0, 2..6), budget in 100_i64..50_000) {
            let channels: Vec<_> = gains.iter().map(|gain| (response(*gain), Limits { least: 10, most: 20_000 })).collect();
            prop_assume!(budget >= 10 * channels.len() as i64);
            let best = plan(&channels, budget).unwrap();
            prop_assert!(best.iter().sum::<i64>() <= budget);
            prop_assert!(best.iter().zip(&channels).all(|(part, (_, limits))| (limits.least..=limits.most).contains(part)));
            let earned = |split: &[i64]| -> f64 {
                split.iter().zip(&channels).map(|(part, (response, _))| response.earned(*part as f64)).sum()
            };
            // Moving one piece's length from any channel to any other earns nothing more, to the size of a piece.
            let step = 20_000 / i64::from(PIECES) * 2;
            for from in 0..best.len() {
                for to in 0..best.len() {
                    let mut other = best.clone();
                    other[from] -= step;
                    other[to] += step;
                    let allowed = other.iter().zip(&channels).all(|(part, (_, limits))| (limits.least..=limits.most).contains(part));
                    if from != to && allowed {
                        prop_assert!(earned(&other) <= earned(&best) + 1e-6 * earned(&best).abs() + 1.0, "{best:?} {other:?}");
                    }
                }
            }
        }
    }
}
