//! Rules that are data: who may do what, who may be contacted, how long things live. Pure evaluation; nothing here reads a
//! clock, a file or a database.

pub mod access;
pub mod contact;
pub mod exposure;
pub mod pricing;
pub mod retention;
pub mod rights;
pub mod routing;
pub mod scoring;
