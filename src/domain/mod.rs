//! Values and state machines. No IO, no clock, no randomness.

pub mod time;
