//! Event types: what may be posted, what of it survives an erasure, and how old data is read.
//!
//! Promises: data that passes is exact and bounded as its schema says; whatever a schema does not mark as business is
//! personal; one value has one canonical text. Knows no keys, no log and no request; never fetches a schema.
//!
//! How to add a type: write `schemas/<type>.v1.json`, run the tests with `TALLYSTICK_BLESS=1`, and read what changed in
//! `tests/golden/business_fields.txt`: every new line there is data that erasure will not reach.

pub mod canonical;
mod check;
pub mod derive;
pub mod event_schema;
pub mod format;
mod node;
mod problems;
pub mod registry;
pub mod rules;
pub mod split;
pub mod upcast;

pub use canonical::{JcsError, canonical_json, canonical_object};
pub use event_schema::{EventSchema, FieldNote, FieldPlace};
pub use node::CompileError;
pub use problems::FieldProblem;
pub use registry::{Registry, SchemaError};
pub use split::{RefField, Split};

#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod tests;
