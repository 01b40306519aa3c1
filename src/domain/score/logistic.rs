//! Logistic regression with an L2 penalty: trained by Newton's method, applied with reasons.
//!
//! Minimises `sum of log losses + |coefficients|^2 / (2 C)`; the intercept is not penalised. That is what scikit-learn's
//! `LogisticRegression(C=C, solver="newton-cholesky")` minimises. Deterministic: sums run in the order of the rows, and a step
//! that does not lower the loss is halved.
#![expect(clippy::float_arithmetic, reason = "a statistical model; no money is here")]
#![expect(clippy::cast_precision_loss, reason = "counts of rows stay far below 2^53")]
#![expect(clippy::indexing_slicing, reason = "square matrices indexed by loops over their own sizes")]

use super::sample::SampleError;

/// Newton steps at most; ten are the rule.
const STEPS_MAX: u32 = 100;
/// Greatest mean gradient of a finished training.
const TOLERANCE: f64 = 1e-12;
/// Halvings of a step at most.
const HALVINGS_MAX: u32 = 60;
/// Features at most: the normal matrix is dense.
pub const FEATURES_MAX: usize = 512;

/// Rows to train on: `features` numbers a row, one after the other.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
    /// Numbers a row has.
    pub features: usize,
    /// All rows' numbers.
    pub values: Vec<f64>,
    /// Whether each row's outcome came.
    pub outcomes: Vec<bool>,
}

/// A trained model.
#[derive(Debug, Clone, PartialEq)]
pub struct Logistic {
    /// Log odds where all features are zero.
    pub intercept: f64,
    /// Log odds that one unit of each feature adds.
    pub coefficients: Vec<f64>,
    /// Mean of each feature in training: reasons are told against it.
    pub means: Vec<f64>,
}

/// A training and how it ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// The model.
    pub model: Logistic,
    /// Newton steps taken.
    pub steps: u32,
    /// Mean log loss of the training rows.
    pub loss: f64,
}

/// Why nothing could be trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TrainError {
    /// The rows cannot be used.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// A number that is not finite.
    #[error("row {row}, feature {feature}: not a finite number")]
    NotFinite {
        /// From 0.
        row: usize,
        /// From 0.
        feature: usize,
    },
    /// No features, or too many.
    #[error("from 1 to {FEATURES_MAX} features are needed")]
    Features,
    /// `C` is not above zero.
    #[error("C must be above zero")]
    Penalty,
    /// Numbers so large that the normal matrix cannot be solved.
    #[error("the features' numbers are too far apart to train on; scale them")]
    Singular,
    /// The gradient did not vanish.
    #[error("training did not come to an end in {STEPS_MAX} steps")]
    NotConverged,
}

impl Rows {
    /// One row's numbers.
    pub fn row(&self, at: usize) -> &[f64] {
        &self.values[at * self.features..(at + 1) * self.features]
    }

    fn check(&self) -> Result<(), TrainError> {
        if self.features == 0 || self.features > FEATURES_MAX {
            return Err(TrainError::Features);
        }
        if self.outcomes.is_empty() {
            return Err(SampleError::Empty.into());
        }
        if let Some(at) = self.values.iter().position(|value| !value.is_finite()) {
            return Err(TrainError::NotFinite { row: at / self.features, feature: at % self.features });
        }
        let positives = self.outcomes.iter().filter(|outcome| **outcome).count();
        if positives == 0 || positives == self.outcomes.len() {
            return Err(SampleError::OneOutcome.into());
        }
        Ok(())
    }

    /// Penalised loss of weights, the intercept last.
    fn loss(&self, weights: &[f64], penalty: f64) -> f64 {
        let rows = self.outcomes.iter().enumerate();
        let fit: f64 = rows.map(|(at, outcome)| log_loss(logit(weights, self.row(at)), *outcome)).sum();
        let squares: f64 = weights[..self.features].iter().map(|weight| weight * weight).sum();
        fit + squares * penalty / 2.0
    }

    /// Gradient and Hessian of the penalised loss.
    fn derivatives(&self, weights: &[f64], penalty: f64) -> (Vec<f64>, Vec<f64>) {
        let size = self.features + 1;
        let (mut gradient, mut hessian) = (vec![0.0; size], vec![0.0; size * size]);
        let mut extended = vec![1.0; size];
        for (at, outcome) in self.outcomes.iter().enumerate() {
            extended[..self.features].copy_from_slice(self.row(at));
            let probability = sigmoid(logit(weights, self.row(at)));
            let error = probability - f64::from(u8::from(*outcome));
            let curvature = probability * (1.0 - probability);
            for (i, value) in extended.iter().enumerate() {
                gradient[i] += error * value;
                let weighted = curvature * value;
                for (j, other) in extended.iter().enumerate().take(i + 1) {
                    hessian[i * size + j] += weighted * other;
                }
            }
        }
        for i in 0..self.features {
            gradient[i] += penalty * weights[i];
            hessian[i * size + i] += penalty;
        }
        (gradient, hessian)
    }
}

fn logit(weights: &[f64], row: &[f64]) -> f64 {
    row.iter().zip(weights).map(|(value, weight)| value * weight).sum::<f64>() + weights[row.len()]
}

fn sigmoid(logit: f64) -> f64 {
    if logit >= 0.0 {
        1.0 / (1.0 + (-logit).exp())
    } else {
        let odds = logit.exp();
        odds / (1.0 + odds)
    }
}

/// Log loss of a logit, without overflow.
fn log_loss(logit: f64, outcome: bool) -> f64 {
    let against = if outcome { -logit } else { logit };
    against.max(0.0) + (-against.abs()).exp().ln_1p()
}

/// Solves `matrix x = right` for a symmetric positive definite matrix whose lower half is given.
fn cholesky_solve(mut matrix: Vec<f64>, right: &[f64]) -> Option<Vec<f64>> {
    let size = right.len();
    for i in 0..size {
        for j in 0..=i {
            let inner: f64 = (0..j).map(|k| matrix[i * size + k] * matrix[j * size + k]).sum();
            let rest = matrix[i * size + j] - inner;
            if i != j {
                matrix[i * size + j] = rest / matrix[j * size + j];
            } else if rest > 0.0 && rest.is_finite() {
                matrix[i * size + i] = rest.sqrt();
            } else {
                return None;
            }
        }
    }
    let mut x = right.to_vec();
    for i in 0..size {
        let inner: f64 = (0..i).map(|k| matrix[i * size + k] * x[k]).sum();
        x[i] = (x[i] - inner) / matrix[i * size + i];
    }
    for i in (0..size).rev() {
        let inner: f64 = (i + 1..size).map(|k| matrix[k * size + i] * x[k]).sum();
        x[i] = (x[i] - inner) / matrix[i * size + i];
    }
    Some(x)
}

/// Trains on rows with inverse penalty `c`.
///
/// # Errors
/// [`TrainError`].
pub fn train(rows: &Rows, c: f64) -> Result<Trained, TrainError> {
    rows.check()?;
    if !(c > 0.0 && c.is_finite()) {
        return Err(TrainError::Penalty);
    }
    let (penalty, count) = (1.0 / c, rows.outcomes.len() as f64);
    let mut weights = vec![0.0; rows.features + 1];
    let mut loss = rows.loss(&weights, penalty);
    for steps in 0..=STEPS_MAX {
        let (gradient, hessian) = rows.derivatives(&weights, penalty);
        let steepest = gradient.iter().fold(0.0f64, |most, slope| most.max(slope.abs()));
        let step = cholesky_solve(hessian, &gradient).ok_or(TrainError::Singular)?;
        let improved = descend(rows, penalty, &weights, &step, loss);
        // Where rounding hides any further descent, the gradient is as small as it can be.
        if steepest <= TOLERANCE * count || improved.is_none() && steepest <= 1e-6 * count {
            return Ok(Trained { model: Logistic::of(rows, weights), steps, loss: loss / count });
        }
        (weights, loss) = improved.ok_or(TrainError::NotConverged)?;
    }
    Err(TrainError::NotConverged)
}

/// The longest of the step's halvings that lowers the loss.
fn descend(rows: &Rows, penalty: f64, weights: &[f64], step: &[f64], loss: f64) -> Option<(Vec<f64>, f64)> {
    let mut share = 1.0;
    for _ in 0..HALVINGS_MAX {
        let next: Vec<f64> = weights.iter().zip(step).map(|(weight, part)| weight - share * part).collect();
        let reached = rows.loss(&next, penalty);
        if reached < loss {
            return Some((next, reached));
        }
        share /= 2.0;
    }
    None
}

impl Logistic {
    fn of(rows: &Rows, mut weights: Vec<f64>) -> Logistic {
        let count = rows.outcomes.len() as f64;
        let mean = |feature: usize| rows.values.iter().skip(feature).step_by(rows.features).sum::<f64>() / count;
        let means = (0..rows.features).map(mean).collect();
        let intercept = weights.pop().unwrap_or_default();
        Logistic { intercept, coefficients: weights, means }
    }

    /// Log odds of a row.
    pub fn logit(&self, row: &[f64]) -> f64 {
        row.iter().zip(&self.coefficients).map(|(value, weight)| value * weight).sum::<f64>() + self.intercept
    }

    /// Probability of the outcome.
    pub fn probability(&self, row: &[f64]) -> f64 {
        sigmoid(self.logit(row))
    }

    /// Log odds that each feature adds to those of the mean row.
    pub fn contributions(&self, row: &[f64]) -> Vec<f64> {
        let parts = row.iter().zip(&self.coefficients).zip(&self.means);
        parts.map(|((value, weight), mean)| weight * (value - mean)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(features: usize, values: &[f64], outcomes: &[u8]) -> Rows {
        Rows { features, values: values.to_vec(), outcomes: outcomes.iter().map(|outcome| *outcome == 1).collect() }
    }

    #[test]
    fn a_feature_that_says_nothing_has_no_coefficient_and_the_intercept_is_the_rate() {
        let trained = train(&rows(1, &[1.0, -1.0, 1.0, -1.0], &[1, 1, 0, 0]), 1.0).unwrap();
        assert!(trained.model.coefficients[0].abs() < 1e-12 && trained.model.intercept.abs() < 1e-12);
        let rare = train(&rows(1, &[0.0; 10], &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0]), 1.0).unwrap();
        assert!((rare.model.intercept - (1.0f64 / 9.0).ln()).abs() < 1e-9);
    }

    #[test]
    fn separable_rows_are_held_by_the_penalty() {
        let trained = train(&rows(1, &[-2.0, -1.0, 1.0, 2.0], &[0, 0, 1, 1]), 1.0).unwrap();
        // The derivative at the end is zero by hand: sum of errors times values plus the coefficient.
        let model = &trained.model;
        let slope: f64 = [(-2.0, 0.0), (-1.0, 0.0), (1.0, 1.0), (2.0, 1.0)]
            .iter()
            .map(|(value, outcome)| (model.probability(&[*value]) - outcome) * value)
            .sum();
        assert!((slope + model.coefficients[0]).abs() < 1e-9);
        let loose = train(&rows(1, &[-2.0, -1.0, 1.0, 2.0], &[0, 0, 1, 1]), 100.0).unwrap();
        assert!(loose.model.coefficients[0] > model.coefficients[0]);
    }

    #[test]
    fn the_same_rows_give_the_same_bits_and_reasons_add_up() {
        let values: Vec<f64> = (0..300).map(|at| f64::from((at * 37) % 101) / 50.0 - 1.0).collect();
        let outcomes: Vec<u8> = (0..100).map(|at| u8::from((at * 13) % 7 < 3)).collect();
        let rows = rows(3, &values, &outcomes);
        let (one, two) = (train(&rows, 1.0).unwrap(), train(&rows, 1.0).unwrap());
        assert_eq!(one, two);
        let model = one.model;
        let row = rows.row(5);
        let told: f64 = model.contributions(row).iter().sum();
        assert!((model.logit(&model.means) + told - model.logit(row)).abs() < 1e-12);
    }

    #[test]
    fn bad_rows_are_named() {
        assert_eq!(train(&rows(1, &[1.0, f64::NAN], &[1, 0]), 1.0), Err(TrainError::NotFinite { row: 1, feature: 0 }));
        assert_eq!(train(&rows(1, &[1.0, 2.0], &[1, 1]), 1.0), Err(SampleError::OneOutcome.into()));
        assert_eq!(train(&rows(1, &[1.0, 2.0], &[1, 0]), 0.0), Err(TrainError::Penalty));
        assert_eq!(train(&rows(0, &[], &[]), 1.0), Err(TrainError::Features));
    }
}
