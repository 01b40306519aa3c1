//! Rules that are data: who may do what. Pure evaluation; nothing here reads a clock, a file or a database.

pub mod access;
pub mod retention;
pub mod rights;
