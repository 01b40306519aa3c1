//! Questions and their answers: plain structs, made from rows of projections at the moment of asking.
//!
//! Promises: every question takes both time axes where its rows carry them (`as_of`: what had occurred; `known_at`: what the
//! ledger had recorded), and the same rows give the same answer on both engines. Must never write, never decide whether
//! somebody may be contacted (gates read the log), and never hold personal data: what a reader may open he opens himself.

pub mod attribution;
pub mod billing;
pub mod cohorts;
pub mod compliant;
pub mod consent;
pub mod health;
mod lead_lines;
pub mod leads;
pub mod matters;
pub mod moves;
pub mod optimisation;
mod paging;
pub mod quarantine;
pub mod roi;
pub mod scores;
pub mod stages;

pub use paging::{Cursor, CursorError, Page, PageRequest};

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::money::Micros;
use crate::domain::time::Timestamp;
use crate::store::StoreError;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The cursor of a page is not one that was given out for this list.
    #[error("page")]
    Cursor(#[from] CursorError),
    /// Rows cannot be read.
    #[error("rows of projections cannot be read")]
    Store(#[from] StoreError),
    /// A total leaves 64 bits of micro-units.
    #[error("a total is too large")]
    TooLarge,
    /// More of something than one answer weighs.
    #[error("there are more {0} than one answer weighs")]
    TooMany(&'static str),
}

/// The two instants of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instants {
    /// What had occurred by then counts.
    pub as_of: Timestamp,
    /// What the ledger had recorded by then counts.
    pub known_at: Timestamp,
}

/// Money outside: a decimal string and a currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Money {
    /// Major units with two to six decimals.
    #[schema(example = "12.34")]
    pub amount: String,
    /// ISO 4217 code.
    #[schema(example = "USD")]
    pub currency: String,
}

impl Money {
    fn of(micros: i64, currency: &str) -> Money {
        Money { amount: Micros::from_micros(micros).to_string(), currency: currency.to_owned() }
    }
}

/// Adds to a sum of micro-units.
fn more(place: &mut i64, amount: i64) -> Result<(), ViewError> {
    *place = place.checked_add(amount).ok_or(ViewError::TooLarge)?;
    Ok(())
}

/// Names of the bits that are set.
fn names_of<const N: usize>(bits: i64, names: &[&'static str; N]) -> Vec<&'static str> {
    (0..).zip(names).filter(|(place, _)| bits >> place & 1 == 1).map(|(_, name)| *name).collect()
}
