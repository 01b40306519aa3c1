//! Integration tests: one binary, one module per promise.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test that cannot go on has failed, and tests may read the environment and the clock"
)]

mod accounting;
mod attribution;
mod bundle;
mod chain_go;
mod chain_speed;
mod chain_vectors;
mod conformance;
mod contact;
mod demo;
mod disconnect;
mod engines;
mod erasure;
mod erasure_bills;
mod evidence;
mod export_profiles;
mod export_ranges;
mod http;
mod index_runs;
mod journal;
mod kill;
mod layers;
mod ledger_verify;
mod lists_size;
mod log_folder;
mod markers;
mod pipeline;
mod pricing;
mod projections;
mod replays;
mod retention;
mod rotation;
mod same_root;
mod scan;
mod schemas;
mod scores;
mod script;
mod server;
mod support;
mod tamper;
mod tampering;
mod two_servers;
mod vectors_http;
mod verify_page;
mod write_failure;
