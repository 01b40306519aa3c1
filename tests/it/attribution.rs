//! Attribution: golden answers, properties against brute force, and the command.

mod command;
mod golden;
mod properties;
mod reference;
