//! Attribution: golden answers, properties against brute force, and the command.
#![expect(clippy::float_arithmetic, reason = "references and tolerances are real numbers")]

mod command;
mod golden;
mod properties;
mod reference;
mod views;
