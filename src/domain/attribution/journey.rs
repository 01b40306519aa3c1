//! One journey: its touches in order, and which of them a conversion may credit.

use crate::domain::time::{MICROS_PER_DAY, Timestamp};

use super::names::NameId;

/// One touch of a journey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Touch {
    /// When it happened.
    pub at: Timestamp,
    /// Its place among touches of the same instant.
    pub seq: i64,
    /// Its channel, a number in [`Vocabulary::channels`](super::Vocabulary).
    pub channel: NameId,
    /// What the journey reached with it, a number in [`Vocabulary::marks`](super::Vocabulary).
    pub milestone: Option<NameId>,
    /// What sort of touch it was (reply, click, open), a number in [`Vocabulary::marks`](super::Vocabulary).
    pub kind: Option<NameId>,
}

/// Brings touches into their order: by time, then by sequence.
pub fn sort(touches: &mut [Touch]) {
    touches.sort_by_key(|touch| (touch.at, touch.seq));
}

/// How far back from a conversion a touch still earns credit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lookback {
    /// Days of 86,400 s before the anchor, the first instant included; none: all the way.
    pub days: Option<u32>,
    /// The last touches in those days; none: all of them.
    pub steps: Option<u32>,
}

impl Lookback {
    /// The touches that count, of touches in order. The anchor is the conversion: what comes after it never counts. A
    /// journey that never converted is seen from its last touch.
    pub fn window<'a>(&self, touches: &'a [Touch], conversion: Option<Timestamp>) -> &'a [Touch] {
        let Some(anchor) = conversion.or(touches.last().map(|touch| touch.at)) else { return &[] };
        let until = touches.partition_point(|touch| touch.at <= anchor);
        let from = self.days.map_or(0, |days| {
            let back = i64::from(days).saturating_mul(MICROS_PER_DAY);
            let start = Timestamp::from_micros(anchor.micros().saturating_sub(back));
            touches.partition_point(|touch| touch.at < start)
        });
        let steps = self.steps.map_or(usize::MAX, |steps| steps as usize);
        touches.get(from.max(until.saturating_sub(steps))..until).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(day: i64, seq: i64) -> Touch {
        let at = Timestamp::from_micros(day * MICROS_PER_DAY);
        Touch { at, seq, channel: 0, milestone: None, kind: None }
    }

    fn days(window: &[Touch]) -> Vec<i64> {
        window.iter().map(|touch| touch.at.unix_days()).collect()
    }

    #[test]
    fn windows_hold_both_their_ends_and_nothing_after_the_conversion() {
        let touches: Vec<Touch> = [0, 10, 20, 30, 31].into_iter().zip(1..).map(|(day, seq)| touch(day, seq)).collect();
        let at = |day| Some(Timestamp::from_micros(day * MICROS_PER_DAY));
        let back = |days, steps| Lookback { days, steps };
        for (lookback, conversion, expected) in [
            (back(None, None), at(30), vec![0, 10, 20, 30]),
            (back(Some(20), None), at(30), vec![10, 20, 30]),
            (back(Some(19), None), at(30), vec![20, 30]),
            (back(None, Some(2)), at(30), vec![20, 30]),
            (back(Some(5), Some(3)), at(30), vec![30]),
            (back(Some(0), None), at(29), vec![]),
            (back(Some(11), None), None, vec![20, 30, 31]),
            (back(None, Some(0)), at(30), vec![]),
        ] {
            assert_eq!(days(lookback.window(&touches, conversion)), expected, "{lookback:?} {conversion:?}");
        }
        assert!(back(Some(1), None).window(&[], at(1)).is_empty());
    }

    #[test]
    fn equal_times_keep_their_sequence() {
        let mut touches = [touch(1, 2), touch(1, 1), touch(0, 3)];
        sort(&mut touches);
        assert_eq!(touches.map(|touch| touch.seq), [3, 1, 2]);
    }
}
