//! Transition counts of a Markov chain of order k over paths: what a projection keeps and one journey changes.
//!
//! A state is the window of the last k channels; the empty window is the start. A path shorter than k is one state. Equal
//! neighbouring windows are one visit, which changes no answer (staying put does not move the odds of leaving) and keeps
//! the counts those of ChannelAttribution's state definition. Counts are linear: adding a journey with negated numbers
//! takes it out again, exactly as long as the numbers are whole.

#![expect(clippy::float_arithmetic, reason = "the solver works on real numbers; money leaves it only as shares")]

use super::fast_hash::FastMap;
use super::names::NameId;

/// Bits of a channel in a window's key: five channels fit a `u128`.
const CHANNEL_BITS: u32 = 24;
/// The highest order there is.
pub const ORDER_MAX: u8 = 5;

/// How journeys end at one state.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Ends {
    pub conversions: f64,
    pub nulls: f64,
    pub value: f64,
}

/// Journeys that go on from one state to another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Move {
    pub from: u32,
    pub to: u32,
    pub count: f64,
}

/// Transition counts of one order.
#[derive(Debug, Clone)]
pub struct Counts {
    order: u8,
    /// Keys of the windows by state; state 0 is the start.
    windows: Vec<u128>,
    states: FastMap<u128, u32>,
    ends: Vec<Ends>,
    /// Journeys that begin with a window, by state.
    starts: Vec<f64>,
    moves: Vec<Move>,
    /// Index in `moves` by `state << 32 | next channel`.
    by_step: FastMap<u64, u32>,
}

impl Counts {
    /// Nothing counted yet. `order` is brought into 1 to [`ORDER_MAX`].
    pub fn new(order: u8) -> Counts {
        let mut counts = Counts {
            order: order.clamp(1, ORDER_MAX),
            windows: Vec::new(),
            states: FastMap::default(),
            ends: Vec::new(),
            starts: Vec::new(),
            moves: Vec::new(),
            by_step: FastMap::default(),
        };
        counts.state(0);
        counts
    }

    /// Adds journeys that took these steps; negative numbers take them out again.
    pub fn add(&mut self, steps: &[NameId], conversions: f64, nulls: f64, value: f64) {
        let journeys = conversions + nulls;
        let (head, rest) = steps.split_at(steps.len().min(usize::from(self.order)));
        let mut state = self.state(head.iter().fold(0, |key, channel| self.slide(key, *channel)));
        if let Some(starts) = self.starts.get_mut(state as usize) {
            *starts += journeys;
        }
        for channel in rest {
            state = self.step(state, *channel, journeys);
        }
        if let Some(ends) = self.ends.get_mut(state as usize) {
            ends.conversions += conversions;
            ends.nulls += nulls;
            ends.value += value;
        }
    }

    /// Moves `journeys` on from `state` by one channel and gives the state they reach.
    fn step(&mut self, state: u32, channel: NameId, journeys: f64) -> u32 {
        let key = u64::from(state) << 32 | u64::from(channel);
        let known = self.by_step.get(&key).and_then(|at| self.moves.get_mut(*at as usize));
        if let Some(known) = known {
            known.count += journeys;
            return known.to;
        }
        let window = self.windows.get(state as usize).copied().unwrap_or_default();
        let to = self.state(self.slide(window, channel));
        self.by_step.insert(key, index(self.moves.len()));
        self.moves.push(Move { from: state, to, count: journeys });
        to
    }

    fn slide(&self, window: u128, channel: NameId) -> u128 {
        let mask = u128::MAX >> (128 - CHANNEL_BITS * u32::from(self.order));
        // Channels count from 1 here, so that a short window is no long one.
        ((window << CHANNEL_BITS) | (u128::from(channel) + 1)) & mask
    }

    fn state(&mut self, window: u128) -> u32 {
        let next = index(self.windows.len());
        let state = *self.states.entry(window).or_insert(next);
        if state == next {
            self.windows.push(window);
            self.ends.push(Ends::default());
            self.starts.push(0.0);
        }
        state
    }

    /// The order.
    pub fn order(&self) -> u8 {
        self.order
    }

    /// How many states there are, the start not counted.
    pub fn states(&self) -> usize {
        self.windows.len() - 1
    }

    /// How many different moves journeys made, into and out of the chain among them.
    pub fn transitions(&self) -> usize {
        let ends = self.ends.iter().map(|ends| usize::from(ends.conversions > 0.0) + usize::from(ends.nulls > 0.0));
        self.moves().count() + ends.sum::<usize>()
    }

    /// Channels in the window of a state.
    pub(super) fn channels_of(&self, state: u32) -> impl Iterator<Item = NameId> + use<> {
        let mut window = self.windows.get(state as usize).copied().unwrap_or_default();
        std::iter::from_fn(move || {
            let channel = (window & ((1 << CHANNEL_BITS) - 1)) as u32;
            window >>= CHANNEL_BITS;
            channel.checked_sub(1)
        })
    }

    /// How journeys end, by state; index 0 are journeys without a single touch.
    pub(super) fn ends(&self) -> &[Ends] {
        &self.ends
    }

    /// All moves that somebody made, those from the start among them, none from a state to itself.
    pub(super) fn moves(&self) -> impl Iterator<Item = Move> {
        let starts = self.starts.iter().enumerate().skip(1);
        let starts = starts.map(|(to, count)| Move { from: 0, to: index(to), count: *count });
        starts.chain(self.moves.iter().copied()).filter(|step| step.count > 0.0 && step.from != step.to)
    }

    /// Conversions, journeys that did not convert, and value.
    pub(super) fn totals(&self) -> Ends {
        self.ends.iter().fold(Ends::default(), |sum, ends| Ends {
            conversions: sum.conversions + ends.conversions,
            nulls: sum.nulls + ends.nulls,
            value: sum.value + ends.value,
        })
    }
}

/// Positions in these tables stay below 2^32: each costs tens of bytes.
fn index(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
