//! Which threshold pays: for every score that could be one, the profit of working only the leads at or above it.
//!
//! A suggestion is made on rows that the model was not trained on, and says by how much it beats working everybody and the
//! threshold in use. It never switches anything.

use super::sample::Scored;

/// What a lead costs to work and what an outcome earns, in micro-units of one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stakes {
    /// Earned by an outcome that comes.
    pub price: i64,
    /// Spent on each lead that is worked.
    pub cost: i64,
}

/// A threshold and what it would have given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cutoff {
    /// Leads at or above it are worked; none: nobody is.
    pub threshold: Option<f64>,
    /// Leads worked.
    pub leads: u64,
    /// Outcomes among them.
    pub positives: u64,
    /// Earned less spent, in micro-units.
    pub profit: i128,
}

fn profit(stakes: Stakes, positives: u64, leads: u64) -> i128 {
    i128::from(stakes.price) * i128::from(positives) - i128::from(stakes.cost) * i128::from(leads)
}

/// The threshold of greatest profit among those that work at most `capacity` leads; of equals, the one that works fewer.
pub fn best(scored: &Scored, stakes: Stakes, capacity: Option<u64>) -> Cutoff {
    let mut best = Cutoff { threshold: None, leads: 0, positives: 0, profit: 0 };
    let (mut leads, mut positives) = (0, 0);
    for tie in scored.ties().iter().rev() {
        leads += tie.positives + tie.negatives;
        positives += tie.positives;
        if capacity.is_some_and(|capacity| leads > capacity) {
            break;
        }
        let profit = profit(stakes, positives, leads);
        if profit > best.profit {
            best = Cutoff { threshold: Some(tie.score), leads, positives, profit };
        }
    }
    best
}

/// What a given threshold would have given.
pub fn at(scored: &Scored, stakes: Stakes, threshold: f64) -> Cutoff {
    let worked = scored.ties().iter().filter(|tie| tie.score >= threshold);
    let (leads, positives) =
        worked.fold((0, 0), |(leads, hits), tie| (leads + tie.positives + tie.negatives, hits + tie.positives));
    Cutoff { threshold: Some(threshold), leads, positives, profit: profit(stakes, positives, leads) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::score::Sample;

    fn scored() -> Scored {
        let rows = [(0.9, true), (0.8, true), (0.8, false), (0.4, false), (0.3, true), (0.1, false)];
        let rows: Vec<Sample> =
            rows.iter().map(|(score, positive)| Sample { score: *score, positive: *positive }).collect();
        Scored::new(&rows).unwrap()
    }

    #[test]
    fn the_best_threshold_beats_every_other() {
        for (price, cost) in [(100, 10), (100, 40), (100, 60), (100, 200), (0, 5)] {
            let stakes = Stakes { price, cost };
            let best = best(&scored(), stakes, None);
            let all = scored().ties().iter().map(|tie| at(&scored(), stakes, tie.score).profit).max().unwrap();
            assert_eq!(best.profit, all.max(0), "{price} {cost}");
        }
    }

    #[test]
    fn capacity_holds_and_nobody_is_worked_at_a_loss() {
        let cheap = Stakes { price: 100, cost: 1 };
        assert_eq!(best(&scored(), cheap, Some(3)).leads, 3);
        assert_eq!(best(&scored(), cheap, Some(2)).leads, 1, "a tie is worked whole or not at all");
        assert_eq!(best(&scored(), Stakes { price: 1, cost: 100 }, None).threshold, None);
    }
}
