//! Integration tests: one binary, one module per promise.

mod bundle;
mod pipeline;
mod schemas;
mod support;
