//! The definitions once more, as plainly and slowly as they can be written, to hold the engine against.

use std::collections::{BTreeMap, BTreeSet};

/// Journeys that took the same steps: channels, conversions, journeys without, value.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub steps: Vec<u32>,
    pub conversions: u32,
    pub nulls: u32,
    pub value: i32,
}

type State = Vec<u32>;

/// Effects of removal on conversions and on value by channel: dense Gaussian elimination, one system a removal, and one
/// minus what remains.
pub fn markov_effects(rows: &[Row], order: usize, channels: u32) -> Option<(Vec<f64>, Option<Vec<f64>>)> {
    let mut moves: BTreeMap<(State, State), f64> = BTreeMap::new();
    let mut ends: BTreeMap<State, (f64, f64, f64)> = BTreeMap::new();
    for row in rows {
        let journeys = f64::from(row.conversions + row.nulls);
        let mut windows: Vec<State> = vec![Vec::new()];
        windows.extend(match row.steps.len() {
            0 => vec![],
            length if length <= order => vec![row.steps.clone()],
            _ => row.steps.windows(order).map(<[u32]>::to_vec).collect(),
        });
        windows.dedup();
        for pair in windows.windows(2) {
            *moves.entry((pair[0].clone(), pair[1].clone())).or_default() += journeys;
        }
        let end = ends.entry(windows.last().unwrap().clone()).or_default();
        end.0 += f64::from(row.conversions);
        end.1 += journeys;
        end.2 += f64::from(row.value);
    }
    let states: Vec<State> = {
        let moved = moves.keys().flat_map(|(from, to)| [from.clone(), to.clone()]);
        moved.chain(ends.keys().cloned()).chain([Vec::new()]).collect::<BTreeSet<_>>().into_iter().collect()
    };
    let leaves = |state: &State| -> f64 {
        let moved: f64 = moves.iter().filter(|((from, _), _)| from == state).map(|(_, count)| count).sum();
        moved + ends.get(state).map_or(0.0, |end| end.1)
    };
    let worth_of_start = |without: Option<u32>| -> (f64, f64) {
        let dead = |state: &State| without.is_some_and(|channel| state.contains(&channel));
        let size = states.len();
        let mut matrix = vec![vec![0.0; size + 2]; size];
        for (at, state) in states.iter().enumerate() {
            matrix[at][at] = 1.0;
            let whole = leaves(state);
            if dead(state) || whole == 0.0 {
                continue;
            }
            for (to, other) in states.iter().enumerate() {
                matrix[at][to] -= moves.get(&(state.clone(), other.clone())).copied().unwrap_or(0.0) / whole;
            }
            let (conversions, _, value) = ends.get(state).copied().unwrap_or_default();
            matrix[at][size] = conversions / whole;
            matrix[at][size + 1] = value / whole;
        }
        let start = states.iter().position(Vec::is_empty).unwrap();
        solve(&mut matrix);
        (matrix[start][size], matrix[start][size + 1])
    };
    let (conversions, value) = worth_of_start(None);
    if conversions == 0.0 {
        return None;
    }
    let without: Vec<_> = (0..channels).map(|channel| worth_of_start(Some(channel))).collect();
    let values = (rows.iter().map(|row| row.value).sum::<i32>() != 0)
        .then(|| without.iter().map(|(_, left)| 1.0 - left / value).collect());
    Some((without.iter().map(|(left, _)| 1.0 - left / conversions).collect(), values))
}

fn solve(matrix: &mut [Vec<f64>]) {
    let size = matrix.len();
    for column in 0..size {
        let pivot =
            (column..size).max_by(|a, b| matrix[*a][column].abs().total_cmp(&matrix[*b][column].abs())).unwrap();
        matrix.swap(column, pivot);
        let line: Vec<f64> = matrix[column].iter().map(|cell| cell / matrix[column][column]).collect();
        for (at, row) in matrix.iter_mut().enumerate() {
            let factor = row[column];
            if at != column {
                row.iter_mut().zip(&line).for_each(|(cell, above)| *cell -= factor * above);
            }
        }
        matrix[column] = line;
    }
}

/// The distinct channels of a path in order of their first touch.
pub fn first_touches(steps: &[u32]) -> Vec<u32> {
    let mut seen = BTreeSet::new();
    steps.iter().copied().filter(|step| seen.insert(*step)).collect()
}

fn factorial(n: usize) -> f64 {
    (1..=n).map(|factor| factor as f64).product()
}

/// Shapley values of a game by its definition: over all coalitions that a player can join.
fn shapley(players: &[u32], worth: &dyn Fn(&[u32]) -> f64) -> Vec<f64> {
    let n = players.len();
    (0..n)
        .map(|player| {
            (0_u32..1 << n)
                .filter(|chosen| chosen >> player & 1 == 0)
                .map(|chosen| {
                    let members = |chosen: u32| -> Vec<u32> {
                        (0..n).filter(|at| chosen >> at & 1 == 1).map(|at| players[at]).collect()
                    };
                    let size = chosen.count_ones() as usize;
                    let weight = factorial(size) * factorial(n - size - 1) / factorial(n);
                    weight * (worth(&members(chosen | 1 << player)) - worth(&members(chosen)))
                })
                .sum()
        })
        .collect()
}

/// Conversions by channel of the game over sets: all channels play, v(S) = conversions of paths inside S.
pub fn shapley_sets(rows: &[Row], channels: u32) -> Vec<f64> {
    let players: Vec<u32> = (0..channels).collect();
    shapley(&players, &|coalition| {
        let inside = |row: &&Row| !row.steps.is_empty() && row.steps.iter().all(|step| coalition.contains(step));
        rows.iter().filter(inside).map(|row| f64::from(row.conversions)).sum()
    })
}

/// Conversions by channel of the game over conversion rates, of sets or of first touches in order.
pub fn shapley_rate(rows: &[Row], channels: u32, ordered: bool) -> Vec<f64> {
    let key = |steps: &[u32]| {
        let mut key = first_touches(steps);
        if !ordered {
            key.sort_unstable();
        }
        key
    };
    let mut seen: BTreeMap<Vec<u32>, (f64, f64)> = BTreeMap::new();
    for row in rows {
        let counts = seen.entry(key(&row.steps)).or_default();
        counts.0 += f64::from(row.conversions);
        counts.1 += f64::from(row.conversions + row.nulls);
    }
    let rate = |coalition: &[u32]| {
        let counts = seen.get(coalition).filter(|(_, journeys)| *journeys > 0.0 && !coalition.is_empty());
        counts.map_or(0.0, |(conversions, journeys)| conversions / journeys)
    };
    let mut credit = vec![0.0; channels as usize];
    for (coalition, (conversions, _)) in
        seen.iter().filter(|(coalition, counts)| counts.0 > 0.0 && !coalition.is_empty())
    {
        for (channel, value) in coalition.iter().zip(shapley(coalition, &rate)) {
            credit[*channel as usize] += conversions * value / rate(coalition);
        }
    }
    credit
}
