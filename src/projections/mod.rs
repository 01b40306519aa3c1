//! Projections: what the log says, folded into rows that views can read.
//!
//! Promises: folding is pure, over the entry and its business part only (the types have no personal part), so totals after
//! an erasure and a rebuild are equal by construction. Rows and cursor move in one transaction. An entry that cannot be
//! folded is parked with a code and the rest goes on. Must never decide anything: gates read the log, never these rows.
//!
//! To add a projection: a file with a type that implements [`Projection`], its tables in `store::views`, a field in
//! [`fold::Folder`], and a line in [`fold::PROJECTIONS`].

pub mod billing;
pub mod complete;
pub mod consent;
pub mod dims;
pub mod fact;
pub mod fold;
pub mod health;
pub mod journeys;
pub mod money;
pub mod money_data;
pub mod quarantine;
mod runner;
pub mod scores;
mod tracks;
pub mod trails;

pub use fact::{Business, Fact, FoldError};
pub use fold::{Folded, Folder, PROJECTIONS};
pub use runner::{Lag, Projections, Status, WaitError};

use crate::store::views::ViewsBatch;

/// A fold of entries into rows. The value is a batch: it starts empty, takes entries in order, and gives its rows.
pub trait Projection: Default {
    /// Its name in `cursors`.
    const NAME: &'static str;
    /// Version of the folding rules and tables; a change makes the rows be built anew.
    const VERSION: i64;

    /// Whether it needs the business part of this type opened for it.
    fn reads(event_type: &str) -> bool;

    /// Takes one entry: whole, or not at all if it is an error.
    ///
    /// # Errors
    /// [`FoldError`] names why the entry has no place in these rows.
    fn fold(&mut self, fact: &Fact<'_>) -> Result<(), FoldError>;

    /// Gives the rows of the batch. Those of `money` are completed first (`complete`): they may lean on committed rows.
    fn finish(self, batch: &mut ViewsBatch);
}
