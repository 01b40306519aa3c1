//! Integration tests: one binary, one module per promise.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod bundle;
mod chain_go;
mod chain_speed;
mod chain_vectors;
mod http;
mod log_folder;
mod pipeline;
mod projections;
mod schemas;
mod support;
