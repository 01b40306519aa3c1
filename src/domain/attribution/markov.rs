//! Removal effects of an order-k Markov chain, solved exactly.
//!
//! Taking a channel away turns every state that holds it into a dead end. What is lost is the flow that would first enter
//! such a state, times what it would have earned from there on: a sum of positive terms, so an effect keeps its precision
//! even where a channel matters little, and is exactly 0 where it never leads to a conversion. The common form, one minus
//! the conversions that remain, is the same number with the precision cancelled away.

#![expect(clippy::float_arithmetic, reason = "the solver works on real numbers; money leaves it only as shares")]

use super::counts::{Counts, Ends};
use super::eliminate::{Chain, Plan, Row, Taken};

/// What the chain says about each channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Effects {
    /// By channel: the share of all conversions that would be lost without it; none where nothing converts.
    pub conversions: Option<Vec<f64>>,
    /// By channel: the share of all value that would be lost without it; none where there is no value.
    pub value: Option<Vec<f64>>,
    /// Probability that a journey converts.
    pub conversion_rate: Option<f64>,
}

/// What a state earns from there on, for one journey: conversions and value.
type Worth = [f64; 2];

/// Removal effects of channels 0 to `channels` - 1.
pub fn removal_effects(counts: &Counts, channels: usize) -> Effects {
    let totals = counts.totals();
    let rows = rows(counts);
    let (plan, taken) = Chain::new(rows.clone()).plan();
    let worth = worth_of_states(rows.len(), &taken);
    let mut holders = vec![Vec::new(); channels];
    for state in 1..rows.len() {
        for channel in counts.channels_of(state as u32) {
            let list: &mut Vec<u32> = &mut holders[channel as usize];
            if list.last() != Some(&(state as u32)) {
                list.push(state as u32);
            }
        }
    }
    let lost: Vec<Worth> = holders.iter().map(|holders| lost_without(&rows, holders, &worth, &plan)).collect();
    let shares =
        |which: usize, total: f64| (total != 0.0).then(|| lost.iter().map(|lost| lost[which] / total).collect());
    let journeys = totals.conversions + totals.nulls;
    Effects {
        conversions: shares(0, totals.conversions),
        value: shares(1, totals.value),
        conversion_rate: (journeys > 0.0).then(|| totals.conversions / journeys),
    }
}

fn rows(counts: &Counts) -> Vec<Row> {
    let row = |ends: &Ends| Row {
        outs: Vec::new(),
        leave: ends.conversions + ends.nulls,
        earns: [ends.conversions, ends.value],
    };
    let mut rows: Vec<Row> = counts.ends().iter().map(row).collect();
    for step in counts.moves() {
        rows[step.from as usize].outs.push((step.to, step.count));
    }
    rows
}

/// Worth of each state, by back substitution over the order in which they were taken out.
fn worth_of_states(states: usize, taken: &[Taken]) -> Vec<Worth> {
    let mut worth = vec![[0.0; 2]; states];
    for state in taken.iter().rev() {
        worth[state.state as usize] = state.worth(&worth);
    }
    worth
}

/// Conversions and value lost when the states in `holders` are dead ends.
fn lost_without(rows: &[Row], holders: &[u32], worth: &[Worth], plan: &Plan) -> Worth {
    let mut dead = vec![false; rows.len()];
    for state in holders {
        dead[*state as usize] = true;
    }
    let kept = rows.iter().zip(&dead).map(|(row, own_dead)| {
        if *own_dead {
            return Row::default();
        }
        let mut kept = Row { outs: Vec::with_capacity(row.outs.len()), leave: row.leave, earns: [0.0; 2] };
        for (to, flow) in &row.outs {
            if dead[*to as usize] {
                kept.leave += flow;
                for (mine, theirs) in kept.earns.iter_mut().zip(worth[*to as usize]) {
                    *mine += flow * theirs;
                }
            } else {
                kept.outs.push((*to, *flow));
            }
        }
        kept
    });
    Chain::new(kept.collect()).earned(plan)
}
