//! Exact elimination of the states of an absorbing Markov chain (after Grassmann, Taksar and Heyman 1985).
//!
//! A row holds how much flows from a state to others, how much leaves the chain, and what that earns. Taking a state out
//! hands each predecessor its share of the row. The pivot is the sum of what flows out, never one minus what stays, so
//! nothing is ever subtracted: every entry keeps nearly full relative precision, however rare the channel. Flows are in
//! journeys, not probabilities, so a row needs no normalising.
//!
//! The order is chosen once, on the whole chain, cheapest state first; chains with fewer states follow the same order, as
//! what they fill in is a part of what the whole chain fills in.

#![expect(clippy::float_arithmetic, reason = "the solver works on real numbers; money leaves it only as shares")]

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What one state sends on, loses and earns.
#[derive(Debug, Clone, Default)]
pub(super) struct Row {
    /// Flow to other states, each at most once, never to itself.
    pub outs: Vec<(u32, f64)>,
    /// Flow that leaves the chain, whether it earns or not.
    pub leave: f64,
    /// What the flow that leaves earns: conversions and value.
    pub earns: [f64; 2],
}

impl Row {
    /// All that flows out: the divisor when the state is taken out. 0 for a state nobody leaves, as nobody reaches it.
    fn pivot(&self) -> f64 {
        self.leave + self.outs.iter().map(|(_, flow)| flow).sum::<f64>()
    }
}

/// In which order to take states out, and which ones at last as a full matrix.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan {
    sparse: Vec<u32>,
    full: Vec<u32>,
}

/// A state that was taken out, with its row as it stood then.
#[derive(Debug, Clone)]
pub(super) struct Taken {
    pub state: u32,
    pub row: Row,
}

impl Taken {
    /// What one journey earns from this state on, given what it earns from the states taken out after it.
    pub fn worth(&self, later: &[[f64; 2]]) -> [f64; 2] {
        let pivot = self.row.pivot();
        if pivot == 0.0 {
            return [0.0; 2];
        }
        let mut sum = self.row.earns;
        for (to, flow) in &self.row.outs {
            for (mine, theirs) in sum.iter_mut().zip(later[*to as usize]) {
                *mine += flow * theirs;
            }
        }
        sum.map(|sum| sum / pivot)
    }
}

/// A chain under elimination. State 0 is the start; nothing flows into it.
#[derive(Debug, Clone)]
pub(super) struct Chain {
    rows: Vec<Row>,
    /// States that send flow to a state, and some that are gone.
    ins: Vec<Vec<u32>>,
    gone: Vec<bool>,
    /// Scratch: where a state stands in the row at hand, `NOWHERE` otherwise.
    places: Vec<u32>,
}

const NOWHERE: u32 = u32::MAX;

/// Above this share of all possible flows a block is worked on as a full matrix.
const FULL_SHARE: f64 = 0.12;

impl Chain {
    /// A chain of these rows.
    pub fn new(rows: Vec<Row>) -> Chain {
        let mut ins = vec![Vec::new(); rows.len()];
        for (from, row) in rows.iter().enumerate() {
            for (to, _) in &row.outs {
                ins[*to as usize].push(from as u32);
            }
        }
        let (gone, places) = (vec![false; rows.len()], vec![NOWHERE; rows.len()]);
        Chain { rows, ins, gone, places }
    }

    /// Chooses the order while taking out every state but the start, and gives all rows as they were taken, in that order.
    pub fn plan(mut self) -> (Plan, Vec<Taken>) {
        let (mut plan, mut taken) = (Plan::default(), Vec::with_capacity(self.rows.len()));
        let mut queue: BinaryHeap<_> = (1..self.rows.len()).map(|state| Reverse((self.cost(state), state))).collect();
        let mut left = queue.len();
        let mut flows: usize = self.rows.iter().map(|row| row.outs.len()).sum();
        while let Some(Reverse((cost, state))) = queue.pop() {
            if self.gone[state] {
                continue;
            }
            // A state that grew dearer waits again; one that grew cheaper was queued again below.
            if self.cost(state) > cost {
                queue.push(Reverse((self.cost(state), state)));
                continue;
            }
            if flows as f64 > FULL_SHARE * (left * left) as f64 {
                break;
            }
            let ins = std::mem::take(&mut self.ins[state]);
            let before: usize = ins.iter().map(|from| self.rows[*from as usize].outs.len()).sum();
            let row = self.take(state, &ins);
            let after: usize = ins.iter().map(|from| self.rows[*from as usize].outs.len()).sum();
            flows = flows + after - before - row.outs.len();
            left -= 1;
            for (to, _) in &row.outs {
                let ins = &mut self.ins[*to as usize];
                ins.retain(|from| *from as usize != state);
                queue.push(Reverse((self.cost(*to as usize), *to as usize)));
            }
            plan.sparse.push(state as u32);
            taken.push(Taken { state: state as u32, row });
        }
        plan.full = (0..self.rows.len()).filter(|state| !self.gone[*state]).map(|state| state as u32).collect();
        self.take_full(&plan.full, &mut |state| taken.push(state));
        (plan, taken)
    }

    /// What journeys earn from the start on, all other states taken out as planned.
    pub fn earned(mut self, plan: &Plan) -> [f64; 2] {
        for state in &plan.sparse {
            let ins = std::mem::take(&mut self.ins[*state as usize]);
            self.take(*state as usize, &ins);
        }
        self.take_full(&plan.full, &mut |_| {})
    }

    fn cost(&self, state: usize) -> usize {
        self.rows[state].outs.len() * self.ins[state].len()
    }

    /// Takes one state out and hands its row to the states in `ins` that are still there.
    fn take(&mut self, state: usize, ins: &[u32]) -> Row {
        self.gone[state] = true;
        let row = std::mem::take(&mut self.rows[state]);
        let pivot = row.pivot();
        for from in ins.iter().filter(|from| !self.gone[**from as usize]) {
            let Row { outs, leave, earns } = &mut self.rows[*from as usize];
            let Some(at) = outs.iter().position(|(to, _)| *to as usize == state) else { continue };
            let flow = outs.swap_remove(at).1;
            if pivot == 0.0 {
                // Only rounding can send flow to a state that nobody leaves; it stays lost, it does not become NaN.
                *leave += flow;
                continue;
            }
            let share = flow / pivot;
            *leave += share * row.leave;
            for (mine, theirs) in earns.iter_mut().zip(row.earns) {
                *mine += share * theirs;
            }
            for (place, (to, _)) in outs.iter().enumerate() {
                self.places[*to as usize] = place as u32;
            }
            for (to, flow) in row.outs.iter().filter(|(to, _)| to != from) {
                match outs.get_mut(self.places[*to as usize] as usize) {
                    Some(out) => out.1 += share * flow,
                    None => {
                        outs.push((*to, share * flow));
                        self.ins[*to as usize].push(*from);
                    }
                }
            }
            for (to, _) in outs.iter() {
                self.places[*to as usize] = NOWHERE;
            }
        }
        row
    }

    /// The same on a full matrix of the states that are left, the start first; gives what the start earns.
    fn take_full(mut self, states: &[u32], taken: &mut impl FnMut(Taken)) -> [f64; 2] {
        const HEAD: usize = 3;
        for (at, state) in states.iter().enumerate() {
            self.places[*state as usize] = at as u32;
        }
        // What a row earns and leaves stands before what it sends on, so that one loop moves all.
        let width = states.len() + HEAD;
        let mut matrix = vec![0.0; states.len() * width];
        for (line, state) in matrix.chunks_exact_mut(width).zip(states) {
            let row = &self.rows[*state as usize];
            line[..HEAD].copy_from_slice(&[row.earns[0], row.earns[1], row.leave]);
            for (to, flow) in &row.outs {
                line[HEAD + self.places[*to as usize] as usize] = *flow;
            }
        }
        for at in (1..states.len()).rev() {
            let (above, below) = matrix.split_at_mut(at * width);
            let line = &below[..HEAD + at];
            let pivot: f64 = line[HEAD - 1..].iter().sum();
            for (place, upper) in above.chunks_exact_mut(width).enumerate() {
                let share = upper[HEAD + at] / pivot;
                if share > 0.0 && share.is_finite() {
                    for (mine, theirs) in upper.iter_mut().zip(line) {
                        *mine += share * theirs;
                    }
                    // What comes back to the same state never left it.
                    upper[HEAD + place] = 0.0;
                }
            }
            let outs = states.iter().copied().zip(line[HEAD..].iter().copied()).filter(|(_, flow)| *flow > 0.0);
            let row = Row { outs: outs.collect(), leave: line[2], earns: [line[0], line[1]] };
            taken(Taken { state: states[at], row });
        }
        matrix.first_chunk().copied().unwrap_or_default()
    }
}
