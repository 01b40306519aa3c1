//! Integration tests: one binary, one module per promise.

mod pipeline;
mod schemas;
mod support;
