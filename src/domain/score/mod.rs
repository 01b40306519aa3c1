//! Lead scores: what a lead is worth, why, and how well such numbers have done.
//!
//! Promises: pure computation; the same rows in the same order give the same bits, whatever ran before. A figure that is not
//! defined (one outcome only, no rows) is an error or absent, never a number. Must never see whom a row is about: rows hold
//! features and an outcome.
//!
//! Reading order: [`sample`], [`metrics`] and [`drift`] say how well scores did; [`logistic`] trains and applies a model,
//! which [`model_file`] keeps; [`compare`] holds two models against each other; [`cutoff`] searches the
//! threshold that pays.

pub mod compare;
pub mod cutoff;
pub mod drift;
pub mod logistic;
pub mod metrics;
pub mod model_file;
pub mod sample;

pub use sample::{Sample, SampleError, Scored};
