//! Scored outcomes in order of score, ties together: what every measure of ranking is made of.

/// One lead: its score and whether the outcome came.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// The score; a probability where a measure needs one.
    pub score: f64,
    /// The outcome came.
    pub positive: bool,
}

/// Why a sample cannot be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SampleError {
    /// Nothing to measure.
    #[error("no rows")]
    Empty,
    /// A score that is not a finite number.
    #[error("row {0}: the score is not a finite number")]
    NotFinite(usize),
    /// A score outside 0 to 1 where a probability is needed.
    #[error("row {0}: the score is not a probability")]
    NotProbability(usize),
    /// Ranking is not defined where all outcomes are alike.
    #[error("all outcomes are alike; ranking needs both")]
    OneOutcome,
}

/// Leads of one score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tie {
    /// Their score.
    pub score: f64,
    /// Those whose outcome came.
    pub positives: u64,
    /// Those whose outcome did not come.
    pub negatives: u64,
}

/// A sample by ascending score.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    ties: Vec<Tie>,
    positives: u64,
    negatives: u64,
}

impl Scored {
    /// Sorts a sample.
    ///
    /// # Errors
    /// [`SampleError::Empty`], [`SampleError::NotFinite`] with the row from 0, [`SampleError::OneOutcome`].
    pub fn new(sample: &[Sample]) -> Result<Scored, SampleError> {
        if sample.is_empty() {
            return Err(SampleError::Empty);
        }
        if let Some(row) = sample.iter().position(|row| !row.score.is_finite()) {
            return Err(SampleError::NotFinite(row));
        }
        let mut sorted: Vec<Sample> = sample.to_vec();
        sorted.sort_unstable_by(|a, b| a.score.total_cmp(&b.score));
        let mut ties: Vec<Tie> = Vec::new();
        for row in sorted {
            let (positives, negatives) = (u64::from(row.positive), u64::from(!row.positive));
            match ties.last_mut() {
                // Compared as numbers: -0 and 0 are one score.
                Some(tie) if tie.score >= row.score => {
                    tie.positives += positives;
                    tie.negatives += negatives;
                }
                _ => ties.push(Tie { score: row.score, positives, negatives }),
            }
        }
        let positives = ties.iter().map(|tie| tie.positives).sum();
        let negatives = ties.iter().map(|tie| tie.negatives).sum();
        if positives == 0 || negatives == 0 {
            return Err(SampleError::OneOutcome);
        }
        Ok(Scored { ties, positives, negatives })
    }

    /// By ascending score, one a score.
    pub fn ties(&self) -> &[Tie] {
        &self.ties
    }

    /// Leads whose outcome came.
    pub const fn positives(&self) -> u64 {
        self.positives
    }

    /// Leads whose outcome did not come.
    pub const fn negatives(&self) -> u64 {
        self.negatives
    }

    /// All leads.
    pub const fn rows(&self) -> u64 {
        self.positives + self.negatives
    }
}
