//! Exports that a stranger can verify, and verification: of a bundle and of a whole ledger.
//!
//! Promises: a bundle verifies with nothing but its bytes, and with the log's key if the reader has it; any changed byte,
//! any entry left out and any wrong plaintext is found. The format is `ops/format-bundle.md`. Must never disclose more than
//! asked: a bundle holds secrets of single parts, never a data key.
//!
//! Reading order: [`container`], [`manifest`], [`parts`], [`log_keys`], [`covers`], [`bundle`] (with [`statements`] and
//! [`page`]), [`verify`]; then [`ledger_verify`], [`subject`] and
//! [`range`] (a person, a range of the log), [`redaction`] and [`reports`]. [`report`] is what both verifications answer.
//! [`accounting`] and [`journal_text`] give the journal to bookkeepers' programs.

pub mod accounting;
pub mod bundle;
pub mod container;
pub mod covers;
pub mod csv;
mod gather;
pub mod journal_text;
pub mod ledger_verify;
pub mod log_keys;
pub mod manifest;
pub mod notices;
pub mod page;
pub mod parts;
pub mod pdf;
pub mod range;
mod range_head;
pub mod redaction;
pub mod report;
pub mod reports;
pub mod scope;
pub mod since;
pub mod statements;
pub mod subject;
pub mod verify;
pub mod withdrawals;
