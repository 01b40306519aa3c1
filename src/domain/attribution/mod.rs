//! Attribution: which touches earned a conversion, and how much.
//!
//! Promises: pure computation over numbers and names; the same journeys in any order give the same credit (to rounding of
//! sums); every conversion's credit sums to it, in whole cents where touches are known; what nobody can earn is told apart,
//! never dropped. Exact, not simulated: Markov removal effects come from solving the chain. Definitions and what peers get
//! wrong: `ops/attribution.md`. Floats live in sums and solvers only; cents are split in integers ([`cents`]).

pub mod bands;
pub mod books;
pub mod cents;
pub mod counts;
mod csv;
mod eliminate;
mod fast_hash;
mod fields;
pub mod journey;
pub mod journey_file;
pub mod markov;
pub mod model;
pub mod names;
pub mod path_file;
pub mod rules;
mod shapley;
pub mod study;
pub mod tally;

pub use csv::{FileError, Problem};
pub use model::{CustomRules, Model, ModelError};
pub use names::{NameId, Names};
pub use path_file::{PathFile, Walk};
pub use tally::{Answer, Credit, Sums, Tally};

/// The names that numbers stand for.
#[derive(Debug, Clone, Default)]
pub struct Vocabulary {
    /// Channels.
    pub channels: Names,
    /// Milestones and kinds of touches.
    pub marks: Names,
}
