//! Credit kept up to date, one conversion, refund or correction at a time.
//!
//! A conversion restates every rule model in O(its path): what each touch earned is added to the totals and handed back to
//! be kept with the conversion. A refund takes back from the same touches the same cents, whatever the rules have become
//! since, so that books and credit never drift apart. Transition counts change by the steps of one journey; Markov effects
//! are solved from them when somebody asks.
#![expect(clippy::float_arithmetic, reason = "counts of conversions are shares; cents are whole numbers")]

use crate::domain::time::Timestamp;

use super::cents;
use super::counts::Counts;
use super::journey::{Lookback, Touch};
use super::names::NameId;
use super::rules::Rule;
use super::tally::shares;

/// Running totals of rule models and transition counts.
#[derive(Debug, Clone)]
pub struct Books {
    lookback: Lookback,
    rules: Vec<(Rule, Vec<Total>)>,
    counts: Vec<Counts>,
    nobody: Vec<Total>,
}

/// What a channel has under one rule.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Total {
    /// Conversions.
    pub conversions: f64,
    /// Cents, refunds taken off. 128 bits hold any number of conversions.
    pub cents: i128,
}

/// What one conversion credited: to be kept with it, and given back with its refunds.
#[derive(Debug, Clone, PartialEq)]
pub struct Credited {
    /// Channels of the touches that counted, in order.
    pub steps: Vec<NameId>,
    /// Cents not refunded yet.
    pub left: i64,
    /// By rule, in the order the rules were given: what each of those touches earned. Empty where nobody could earn.
    pub rules: Vec<Vec<Line>>,
}

/// What one touch earned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// Its share of the conversion.
    pub share: f64,
    /// Cents it earned.
    pub cents: i64,
    /// Cents it still has after refunds.
    pub left: i64,
}

/// A refund that is not above zero, or above what is left of the conversion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a refund is above 0 and at most the {left} cents that are left of the conversion")]
pub struct RefundError {
    /// Cents left.
    pub left: i64,
}

impl Books {
    /// Empty books of these rules and Markov orders.
    pub fn new(lookback: Lookback, rules: Vec<Rule>, orders: &[u8]) -> Books {
        let nobody = vec![Total::default(); rules.len()];
        let rules = rules.into_iter().map(|rule| (rule, Vec::new())).collect();
        Books { lookback, rules, counts: orders.iter().map(|order| Counts::new(*order)).collect(), nobody }
    }

    /// Books a conversion of a journey whose touches are given in order.
    pub fn convert(&mut self, touches: &[Touch], at: Timestamp, cents: i64) -> Credited {
        let window = self.lookback.window(touches, Some(at));
        let steps: Vec<NameId> = window.iter().map(|touch| touch.channel).collect();
        let mut weights = Vec::new();
        let mut rules = Vec::with_capacity(self.rules.len());
        for (rule, _) in &self.rules {
            rule.weigh(window, &mut weights);
            let parts = cents::split(cents, &weights).unwrap_or_default();
            let lines = parts.into_iter().zip(shares(&weights));
            rules.push(lines.map(|(cents, share)| Line { share, cents, left: cents }).collect());
        }
        let credited = Credited { steps, left: cents, rules };
        self.apply(&credited, 1.0, |line| i128::from(line.cents), i128::from(cents));
        for counts in &mut self.counts {
            counts.add(&credited.steps, 1.0, 0.0, cents as f64);
        }
        credited
    }

    /// Takes `cents` of a conversion back from the touches that earned them, in proportion to what each still has, and
    /// gives what each gave back, by rule. The conversion still counts as one.
    ///
    /// # Errors
    /// [`RefundError`]; the books are then unchanged.
    pub fn refund(&mut self, credited: &mut Credited, cents: i64) -> Result<Vec<Vec<i64>>, RefundError> {
        if cents <= 0 || cents > credited.left {
            return Err(RefundError { left: credited.left });
        }
        // What is left sums to at least the refund, and no part gives more than it has: its exact share of a smaller
        // amount is below it, so rounding up does not pass it.
        let given: Vec<Vec<i64>> = credited
            .rules
            .iter()
            .map(|lines| {
                let left: Vec<u64> = lines.iter().map(|line| line.left.unsigned_abs()).collect();
                cents::split(cents, &left).unwrap_or_default()
            })
            .collect();
        let before = credited.clone();
        credited.left -= cents;
        for (lines, given) in credited.rules.iter_mut().zip(&given) {
            for (line, given) in lines.iter_mut().zip(given) {
                line.left -= given;
            }
        }
        self.apply(&before, 0.0, |line| -i128::from(line.left), -i128::from(before.left));
        self.apply(credited, 0.0, |line| i128::from(line.left), i128::from(credited.left));
        for counts in &mut self.counts {
            counts.add(&credited.steps, 0.0, 0.0, -(cents as f64));
        }
        Ok(given)
    }

    /// Takes a conversion out as if it had never been booked: it was recorded in error.
    pub fn annul(&mut self, credited: &Credited) {
        self.apply(credited, -1.0, |line| -i128::from(line.left), -i128::from(credited.left));
        for counts in &mut self.counts {
            counts.add(&credited.steps, -1.0, 0.0, -(credited.left as f64));
        }
    }

    /// Counts a journey that has not converted as it now stands, in place of how it stood before: each is the channels of
    /// its touches that count, none for a journey that was not there or has converted since.
    pub fn walk(&mut self, before: Option<&[NameId]>, after: Option<&[NameId]>) {
        for counts in &mut self.counts {
            if let Some(before) = before {
                counts.add(before, 0.0, -1.0, 0.0);
            }
            if let Some(after) = after {
                counts.add(after, 0.0, 1.0, 0.0);
            }
        }
    }

    /// Totals by channel under rule `rule`, counted as given; channels that never earned may be missing at the end.
    pub fn totals(&self, rule: usize) -> &[Total] {
        self.rules.get(rule).map_or(&[], |(_, totals)| totals)
    }

    /// What nobody earned under rule `rule`.
    pub fn nobody(&self, rule: usize) -> Total {
        self.nobody.get(rule).copied().unwrap_or_default()
    }

    /// Transition counts, by order as given.
    pub fn counts(&self) -> &[Counts] {
        &self.counts
    }

    /// Adds `conversions` times each share and `cents(line)` to the totals of all rules; `whole` where nobody could earn.
    fn apply(&mut self, credited: &Credited, conversions: f64, cents: impl Fn(&Line) -> i128, whole: i128) {
        for (((_, totals), nobody), lines) in self.rules.iter_mut().zip(&mut self.nobody).zip(&credited.rules) {
            if lines.is_empty() {
                nobody.conversions += conversions;
                nobody.cents += whole;
            }
            for (line, channel) in lines.iter().zip(&credited.steps) {
                let place = *channel as usize;
                if place >= totals.len() {
                    totals.resize(place + 1, Total::default());
                }
                if let Some(total) = totals.get_mut(place) {
                    total.conversions += conversions * line.share;
                    total.cents += cents(line);
                }
            }
        }
    }
}
