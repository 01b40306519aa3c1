//! Values and state machines. This layer does no IO and knows no clock, randomness or environment: they are arguments.

pub mod identifier;
pub mod ids;
pub mod parts;
pub mod time;
