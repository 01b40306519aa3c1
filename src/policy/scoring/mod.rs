//! What a lead is worth, as points of a card that is data, and why: a pure function of the card and what is known of the lead.
//!
//! ```text
//! card (policies/scoring.toml or an own one) + facts (ages of acts, stated features) -> score, band, reasons
//! ```
//!
//! Promises: integers only, so the same card and facts give the same score on every machine, years later; the reasons add up to the
//! score exactly, caps included; a feature that the card does not declare is refused, never ignored. Must never see whom a score
//! is about.

mod card;
mod decay;
mod evaluate;

pub use card::{Act, Band, Card, CardError, Condition, Feature, Group, Rule, TEXT, builtin};
pub use evaluate::{Facts, FactsError, Reason, Scored, Stated, evaluate};
