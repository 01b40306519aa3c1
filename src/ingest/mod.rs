//! The way in: bytes become committed entries, or an answer that says precisely why not.
//!
//! ```text
//! forms -> accept -> Validated -> admit -> Admitted -> seal -> Sealed -> link -> Linked -> append -> receipt
//! ```
//!
//! A request's own task runs `forms` and `accept`. One lane per ledger admits (duplicates, subjects, keys), sealers run in
//! parallel, one appender links and commits. Promises: only committed work is acknowledged; what fails validation is kept
//! sealed in quarantine; a fact is never refused for being unlawful. No plaintext passes beyond `seal`.

pub mod accept;
pub mod admit;
mod append;
pub mod create;
pub mod custom_types;
pub mod data_keys;
pub mod envelope;
pub mod erasure;
pub mod forms;
mod horizon;
mod items;
pub mod ledger;
pub mod limits;
mod link;
pub mod lists;
pub mod log_key;
pub mod merge;
pub mod noted;
pub mod proofs;
pub mod quarantine;
pub mod read;
mod rebuild;
pub mod receipt;
mod resolve;
mod seal;
pub mod secrets;
pub mod subjects;
mod tree;

pub use ledger::{CommittedBatch, Ledger, LedgerOptions, OpenError};
pub use limits::Limits;
pub use receipt::{Outcome, Receipt, SubmitError};
pub use seal::CitedHeads;
