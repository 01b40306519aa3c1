//! Rule models: how one conversion's credit is spread over its touches, as whole-number weights.
//!
//! All but time decay are one form. Some touches have a role (the first, the last, the one that reached a milestone) with a
//! weight of its own; where a touch has several roles they add. `rest` is shared evenly by the touches without a role.
//! Weights are relative: what has no holder in a journey goes to the others in proportion (definitions in
//! `ops/attribution.md`). Whole numbers, so that cents are split exactly and the same everywhere.

use super::fast_hash::FastMap;
use super::journey::Touch;
use super::names::NameId;

/// How a rule spreads credit.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// By half-life: 2^(-age / half-life), continuous, in microseconds; above 0.
    Decay(i64),
    /// By roles.
    Shape(Shape),
}

/// Weights by role, and factors in percent by channel and kind of touch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Shape {
    /// Weight of the first touch.
    pub first: u32,
    /// Weight of the last touch.
    pub last: u32,
    /// Weights of the first touch that reached each milestone.
    pub milestones: Vec<Milestone>,
    /// Weight of all touches without a role together.
    pub rest: u32,
    /// Percent by channel; 100 for a channel that is not listed.
    pub(super) channels: FastMap<NameId, u32>,
    /// Percent by kind of touch; 100 for a kind that is not listed.
    pub(super) kinds: FastMap<NameId, u32>,
}

/// A role of the touch that reached a milestone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Milestone {
    /// Its name, a number in [`Vocabulary::marks`](super::Vocabulary).
    pub mark: NameId,
    /// Its weight.
    pub weight: u32,
    /// Whether the last touch has the role where none is marked.
    pub else_last: bool,
}

/// Weights and factors stay this small, so that products of them fit 63 bits in journeys of a million touches.
pub const WEIGHT_MAX: u32 = 10_000;
/// The largest factor, in percent.
pub const PERCENT_MAX: u32 = 1_000;
/// As many milestones as one rule may name.
pub const MILESTONES_MAX: usize = 16;
/// As many touches as one journey may have.
pub const TOUCHES_MAX: usize = 1_000_000;

impl Rule {
    /// Weights of touches in order, into `weights`. All 0 where the rule credits none of them.
    pub fn weigh(&self, touches: &[Touch], weights: &mut Vec<u64>) {
        weights.clear();
        match self {
            Rule::Decay(half_life) => {
                // The anchor cancels, so age is counted from the last touch, whose weight is 1.
                let Some(last) = touches.last() else { return };
                weights.extend(touches.iter().map(|touch| halved(last.at.micros_since(touch.at), *half_life)));
            }
            Rule::Shape(shape) => shape.weigh(touches, weights),
        }
    }
}

impl Shape {
    /// Whether it asks for more than the order of channels.
    pub fn needs_touches(&self) -> bool {
        !self.milestones.is_empty() || !self.kinds.is_empty()
    }

    /// Whether weights differ by channel.
    pub(super) fn has_factors(&self) -> bool {
        !self.channels.is_empty()
    }

    fn weigh(&self, touches: &[Touch], weights: &mut Vec<u64>) {
        let Some(last) = touches.len().checked_sub(1) else { return };
        // A weight of 0 is no role: the touch shares in the rest.
        weights.resize(touches.len(), 0);
        weights[0] += u64::from(self.first);
        weights[last] += u64::from(self.last);
        for milestone in &self.milestones {
            let at = touches.iter().position(|touch| touch.milestone == Some(milestone.mark));
            if let Some(at) = at.or(milestone.else_last.then_some(last)) {
                weights[at] += u64::from(milestone.weight);
            }
        }
        self.share_rest(weights);
        for (weight, touch) in weights.iter_mut().zip(touches) {
            *weight *= self.percent(touch.channel, touch.kind);
        }
    }

    /// Weights where only the order of channels is known.
    pub(super) fn weigh_steps(&self, steps: &[NameId], weights: &mut Vec<u64>) {
        weights.clear();
        let Some(last) = steps.len().checked_sub(1) else { return };
        weights.resize(steps.len(), 0);
        weights[0] += u64::from(self.first);
        weights[last] += u64::from(self.last);
        self.share_rest(weights);
        for (weight, channel) in weights.iter_mut().zip(steps) {
            *weight *= self.percent(*channel, None);
        }
    }

    /// Gives touches without a role their even share of the rest, all weights scaled by how many they are.
    fn share_rest(&self, weights: &mut [u64]) {
        let others = weights.iter().filter(|weight| **weight == 0).count() as u64;
        for weight in weights.iter_mut() {
            *weight = if *weight == 0 { u64::from(self.rest) } else { *weight * others.max(1) };
        }
    }

    fn percent(&self, channel: NameId, kind: Option<NameId>) -> u64 {
        if self.channels.is_empty() && self.kinds.is_empty() {
            return 1;
        }
        let channel = self.channels.get(&channel).copied().unwrap_or(100);
        let kind = kind.and_then(|kind| self.kinds.get(&kind)).copied().unwrap_or(100);
        u64::from(channel) * u64::from(kind)
    }
}

/// Bits of the fixed point: 1 is 2^62.
const POINT: u32 = 62;

/// 2^(-2^-1), 2^(-2^-2), ... in fixed point: each is the square root of the one before it.
const ROOTS: [u64; POINT as usize] = {
    let mut roots = [0; POINT as usize];
    let (mut at, mut root) = (0, 1_u128 << (POINT - 1));
    while at < roots.len() {
        root = (root << POINT).isqrt();
        roots[at] = root as u64;
        at += 1;
    }
    roots
};

/// 2^(-age / half_life) in fixed point, from whole numbers alone, so that cents do not depend on a maths library. A touch
/// more than 62 half-lives older than the last one weighs nothing.
fn halved(age: i64, half_life: i64) -> u64 {
    let (age, half_life) = (u128::from(age.max(0).unsigned_abs()), u128::from(half_life.max(1).unsigned_abs()));
    let halvings = age / half_life;
    if halvings > u128::from(POINT) {
        return 0;
    }
    let fraction = ((age % half_life) << POINT) / half_life;
    let mut weight = 1_u128 << POINT;
    for (bit, root) in (0..POINT).rev().zip(ROOTS) {
        if fraction >> bit & 1 == 1 {
            weight = (weight * u128::from(root)) >> POINT;
        }
    }
    (weight >> halvings) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::{MICROS_PER_DAY, Timestamp};

    fn touches(marks: &[Option<NameId>]) -> Vec<Touch> {
        let touch = |(at, mark): (usize, &Option<NameId>)| Touch {
            at: Timestamp::from_micros(at as i64 * MICROS_PER_DAY),
            seq: at as i64,
            channel: at as NameId,
            milestone: *mark,
            kind: Some(mark.unwrap_or(9)),
        };
        marks.iter().enumerate().map(touch).collect()
    }

    fn weights(rule: &Rule, marks: &[Option<NameId>]) -> Vec<u64> {
        let mut weights = vec![77];
        rule.weigh(&touches(marks), &mut weights);
        weights
    }

    fn position() -> Shape {
        Shape { first: 40, last: 40, rest: 20, ..Shape::default() }
    }

    #[test]
    fn roles_add_and_the_rest_is_shared() {
        let position = Rule::Shape(position());
        assert_eq!(weights(&position, &[None; 0]), [0; 0]);
        assert_eq!(weights(&position, &[None]), [80]);
        assert_eq!(weights(&position, &[None; 2]), [40, 40]);
        assert_eq!(weights(&position, &[None; 3]), [40, 20, 40]);
        assert_eq!(weights(&position, &[None; 4]), [80, 20, 20, 80]);
        let role = |mark| Milestone { mark, weight: 30, else_last: false };
        let w = Rule::Shape(Shape { first: 30, milestones: vec![role(1), role(2)], rest: 10, ..Shape::default() });
        assert_eq!(weights(&w, &[Some(1), None, Some(2), None]), [120, 10, 60, 10], "two roles on the first touch");
        assert_eq!(weights(&w, &[None, Some(1), Some(1)]), [30, 30, 10], "the first that reached it has the role");
        assert_eq!(weights(&w, &[None, None]), [30, 10], "what has no holder goes to the others in proportion");
        let full = Rule::Shape(Shape {
            milestones: vec![Milestone { mark: 3, weight: 5, else_last: true }],
            rest: 1,
            ..Shape::default()
        });
        assert_eq!(weights(&full, &[None, Some(3), None]), [1, 10, 1]);
        assert_eq!(weights(&full, &[None, None, None]), [1, 1, 10]);
    }

    #[test]
    fn factors_multiply_and_may_leave_nobody() {
        let mut shape = position();
        shape.channels.insert(1, 50);
        shape.kinds.insert(4, 0);
        assert_eq!(weights(&Rule::Shape(shape), &[None, None, Some(4)]), [400_000, 100_000, 0]);
        let mut nobody = position();
        nobody.kinds.insert(9, 0);
        assert_eq!(weights(&Rule::Shape(nobody), &[None, None]), [0, 0]);
    }

    #[test]
    fn half_lives_halve() {
        let week = 7 * MICROS_PER_DAY;
        assert_eq!(halved(0, week), 1 << 62);
        assert_eq!(halved(week, week), 1 << 61);
        assert_eq!(halved(62 * week, week), 1);
        assert_eq!(halved(63 * week, week), 0);
        assert_eq!(halved(i64::MAX, 1), 0);
        assert_eq!(halved(-5, week), 1 << 62);
        for age in [1, 3_600_000_000, 86_399_999_999, 5 * MICROS_PER_DAY + 1, 30 * MICROS_PER_DAY + 77] {
            let expected = (-(age as f64) / week as f64).exp2();
            let got = halved(age, week) as f64 / (1_u64 << 62) as f64;
            assert!((got / expected - 1.0).abs() < 1e-15, "{age}: {got} {expected}");
        }
    }

    #[test]
    fn the_longest_journey_does_not_overflow() {
        let role = |mark| Milestone { mark, weight: WEIGHT_MAX, else_last: true };
        let shape = Shape {
            first: WEIGHT_MAX,
            last: WEIGHT_MAX,
            milestones: (0..MILESTONES_MAX as u32).map(role).collect(),
            rest: WEIGHT_MAX,
            channels: [(0, PERCENT_MAX)].into_iter().collect(),
            kinds: [(9, PERCENT_MAX)].into_iter().collect(),
        };
        let touch = Touch { at: Timestamp::EPOCH, seq: 0, channel: 0, milestone: None, kind: Some(9) };
        let mut weights = Vec::new();
        Rule::Shape(shape).weigh(&vec![touch; TOUCHES_MAX], &mut weights);
        let most = (MILESTONES_MAX as u64 + 1) * u64::from(WEIGHT_MAX) * (TOUCHES_MAX as u64 - 2) * 1_000_000;
        assert_eq!(weights.last(), Some(&most));
        assert!(most < 1 << 62);
    }
}
