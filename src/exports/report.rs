//! What a verification found: the same form for a bundle and for a whole ledger.
//!
//! Promises: `ok` is true only if nothing was found, and what was proved is said together with what was not. Must never
//! hold personal values: problems name positions and rules.

use serde::Serialize;

use crate::crypto::hash::Digest;

/// Most problems that a report lists; more are counted.
pub const PROBLEMS_MAX: usize = 100;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// The entry it is about, if it is about one.
    pub position: Option<u64>,
    /// What is wrong, in words.
    pub what: String,
}

/// The answer of `tallystick verify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Nothing was found.
    pub ok: bool,
    /// Size of the tree that was verified against; 0 if there is none.
    pub size: u64,
    /// Its root; none if there is none.
    pub root: Option<Digest>,
    /// Parts that were opened and are what was sealed.
    pub opened: u64,
    /// What is wrong, the first bad position first; at most [`PROBLEMS_MAX`].
    pub problems: Vec<Problem>,
    /// Problems found beyond those listed.
    pub more_problems: u64,
    /// What this verification shows, in sentences.
    pub proves: Vec<String>,
    /// What it does not show.
    pub does_not_prove: Vec<String>,
}

/// Collects problems.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    problems: Vec<Problem>,
    more: u64,
}

impl Findings {
    /// Adds a problem about one entry.
    pub fn at(&mut self, position: u64, what: impl ToString) {
        self.push(Problem { position: Some(position), what: what.to_string() });
    }

    /// Adds a problem about the whole.
    pub fn whole(&mut self, what: impl ToString) {
        self.push(Problem { position: None, what: what.to_string() });
    }

    /// Takes over what was found elsewhere.
    pub fn extend(&mut self, other: Findings) {
        self.more += other.more;
        other.problems.into_iter().for_each(|problem| self.push(problem));
    }

    fn push(&mut self, problem: Problem) {
        if self.problems.len() < PROBLEMS_MAX { self.problems.push(problem) } else { self.more += 1 }
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// The report: problems by position, those about the whole last, because the first bad position is what is asked for.
    pub fn report(mut self, size: u64, root: Option<Digest>, opened: u64, statements: Statements) -> Report {
        self.problems.sort_by_key(|problem| problem.position.unwrap_or(u64::MAX));
        let ok = self.problems.is_empty();
        Report {
            ok,
            size,
            root,
            opened,
            problems: self.problems,
            more_problems: self.more,
            proves: if ok { statements.proves } else { Vec::new() },
            does_not_prove: statements.does_not_prove,
        }
    }
}

/// What is and is not shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statements {
    /// Shown, if nothing was found.
    pub proves: Vec<String>,
    /// Not shown in any case.
    pub does_not_prove: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bad_position_comes_first_and_nothing_is_proved() {
        let mut findings = Findings::default();
        findings.whole("whole");
        findings.at(7, "seven");
        findings.at(3, "three");
        let statements = Statements { proves: vec!["all".to_owned()], does_not_prove: Vec::new() };
        let report = findings.report(9, None, 0, statements);
        assert!(!report.ok && report.proves.is_empty());
        assert_eq!(
            report.problems.iter().map(|problem| problem.position).collect::<Vec<_>>(),
            [Some(3), Some(7), None]
        );
    }

    #[test]
    fn problems_beyond_the_limit_are_counted() {
        let mut findings = Findings::default();
        (0..PROBLEMS_MAX as u64 + 5).for_each(|position| findings.at(position, "bad"));
        let report = findings.report(0, None, 0, Statements::default());
        assert_eq!((report.problems.len(), report.more_problems), (PROBLEMS_MAX, 5));
    }
}
