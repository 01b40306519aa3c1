//! One file per resource. A handler reads its request, asks the ledger, and says the answer; it decides nothing about
//! access (the front did) and nothing about how errors look (`error` does).

pub mod attribution;
pub mod billing;
pub mod billing_documents;
pub mod billing_items;
pub mod compliance;
pub mod decisions;
pub mod event_view;
pub mod events_post;
pub mod events_read;
pub mod exports;
pub mod health;
pub mod holds;
pub mod journal;
pub mod keys;
pub mod leads;
pub mod ledgers;
pub mod lists;
pub mod log;
pub mod merge;
pub mod optimisation;
pub mod privacy_acts;
mod privacy_letter;
pub mod privacy_requests;
pub mod proofs;
pub mod quarantine;
pub mod receipts;
pub mod retention;
pub mod routing;
pub mod schemas;
pub mod scores;
pub mod stages;
pub mod stream;
pub mod subjects;
pub mod views;
