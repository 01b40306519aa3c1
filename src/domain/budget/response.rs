//! What a channel's spend brought, as a curve with diminishing returns.
#![expect(clippy::float_arithmetic, reason = "a curve is an estimate; no money leaves here")]

use crate::domain::attribution::bands::{Band, Draws, percentile};

/// Periods with spend that a curve needs: fewer say nothing about its bend.
pub const PERIODS_MIN: usize = 4;
/// Bends that are tried, as multiples of the mean spend: small ones bend early, large ones are nearly straight.
const SCALES: [f64; 7] = [0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0];

/// One period of a channel, in any unit of money.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Period {
    /// What was spent.
    pub spend: f64,
    /// What its touches earned, less what went back.
    pub earned: f64,
}

/// `earned = gain * ln(1 + spend / scale)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Response {
    gain: f64,
    scale: f64,
}

impl Response {
    /// The curve nearest to the periods by least squares, over the bends that are tried; none of too few periods with spend.
    pub fn fit(periods: &[Period]) -> Option<Response> {
        fit_weighted(periods, |_| 1.0)
    }

    /// The same curve over a larger unit of money, such as minor units of so many micro-units.
    #[expect(clippy::cast_precision_loss, reason = "a unit is a small power of ten")]
    pub fn in_units_of(&self, unit: i64) -> Response {
        let unit = unit as f64;
        Response { gain: self.gain / unit, scale: self.scale / unit }
    }

    /// What a spend earns.
    pub fn earned(&self, spend: f64) -> f64 {
        self.gain * (spend / self.scale).ln_1p()
    }

    /// What the next unit earns at a spend.
    pub fn marginal(&self, spend: f64) -> f64 {
        self.gain / (self.scale + spend)
    }

    /// 90 % band of the marginal return at a spend: each replicate draws the periods anew (Poisson bootstrap) and fits again.
    pub fn marginal_band(periods: &[Period], spend: f64, replicates: u32, seed: u64) -> Option<Band> {
        let mut values: Vec<f64> = (0..replicates)
            .filter_map(|replicate| {
                let mut draws = Draws::new(seed, replicate);
                let weights: Vec<f64> = periods.iter().map(|_| draws.poisson(1.0)).collect();
                let fitted = fit_weighted(periods, |at| weights.get(at).copied().unwrap_or(0.0))?;
                Some(fitted.marginal(spend))
            })
            .collect();
        values.sort_unstable_by(f64::total_cmp);
        percentile(&values, 5).zip(percentile(&values, 95))
    }
}

fn fit_weighted(periods: &[Period], weight: impl Fn(usize) -> f64) -> Option<Response> {
    let spent: Vec<(f64, &Period)> = (0..)
        .zip(periods)
        .map(|(at, period)| (weight(at), period))
        .filter(|(weight, period)| *weight > 0.0 && period.spend > 0.0)
        .collect();
    // Of a replicate two different periods are enough, of the data itself `PERIODS_MIN`.
    if periods.iter().filter(|period| period.spend > 0.0).count() < PERIODS_MIN || spent.len() < 2 {
        return None;
    }
    let whole: f64 = spent.iter().map(|(weight, _)| weight).sum();
    let mean = spent.iter().map(|(weight, period)| weight * period.spend).sum::<f64>() / whole;
    let mut best: Option<(f64, Response)> = None;
    for multiple in SCALES {
        let scale = mean * multiple;
        let x = |period: &Period| (period.spend / scale).ln_1p();
        let across: f64 = spent.iter().map(|(weight, period)| weight * period.earned * x(period)).sum();
        let along: f64 = spent.iter().map(|(weight, period)| weight * x(period).powi(2)).sum();
        // Money lost by spending is no return: the curve is flat then.
        let gain = (across / along).max(0.0);
        let error: f64 = spent.iter().map(|(weight, period)| weight * (period.earned - gain * x(period)).powi(2)).sum();
        if best.as_ref().is_none_or(|(least, _)| error < *least) {
            best = Some((error, Response { gain, scale }));
        }
    }
    best.map(|(_, response)| response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn periods(gain: f64, scale: f64) -> Vec<Period> {
        let of = |spend: f64| Period { spend, earned: gain * (spend / scale).ln_1p() };
        [50.0, 100.0, 150.0, 200.0, 0.0].map(of).to_vec()
    }

    #[test]
    fn a_curve_of_the_family_is_found_again() {
        // The mean of the periods with spend is 125: a scale of 250 is among those tried.
        let fitted = Response::fit(&periods(1_000.0, 250.0)).unwrap();
        assert!((fitted.earned(100.0) - 1_000.0 * 1.4_f64.ln()).abs() < 1e-6);
        assert!((fitted.marginal(100.0) - 1_000.0 / 350.0).abs() < 1e-9);
        let band = Response::marginal_band(&periods(1_000.0, 250.0), 100.0, 200, 7).unwrap();
        assert!(band.0 <= fitted.marginal(100.0) + 0.2 && fitted.marginal(100.0) <= band.1 + 0.2, "{band:?}");
        assert_eq!(Some(band), Response::marginal_band(&periods(1_000.0, 250.0), 100.0, 200, 7), "the seed decides");
    }

    #[test]
    fn noise_widens_the_band_and_few_periods_have_no_curve() {
        let mut noisy = periods(1_000.0, 250.0);
        let exact = Response::marginal_band(&noisy, 100.0, 200, 7).unwrap();
        for (period, factor) in noisy.iter_mut().zip([0.1, 2.5, 0.2, 1.9]) {
            period.earned *= factor;
        }
        let wide = Response::marginal_band(&noisy, 100.0, 200, 7).unwrap();
        assert!(wide.1 - wide.0 > 3.0 * (exact.1 - exact.0), "{exact:?} {wide:?}");
        assert_eq!(Response::fit(&noisy[..3]), None);
        let losing: Vec<Period> = [1.0, 2.0, 3.0, 4.0].map(|spend| Period { spend, earned: -spend }).to_vec();
        assert_eq!(Response::fit(&losing).map(|response| response.marginal(2.0)), Some(0.0));
    }
}
