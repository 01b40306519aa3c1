//! Tallystick: an event-sourced compliance and revenue ledger.
//!
//! # The way data flows
//!
//! ```text
//! bytes -> accept -> Validated -> admit -> Admitted -> seal -> Sealed -> link -> Linked -> append -> Committed -> receipt
//! committed entries -> projections (fold Entry + Business) -> views | exports -> http | cli
//! ```
//!
//! One type per state, each made only by the step that earned it. What is stored is the truth: entries are hashed as
//! stored and never serialised again.
//!
//! # Layers, lowest first
//!
//! A module imports only from lower rows; modules of one row do not import each other. `tests/it/layers.rs` reads this
//! table and enforces it, with the sole owners of a technology below it.
//!
//! ```layers
//! domain
//! runtime
//! crypto
//! chain
//! schema policy blob
//! store
//! ingest
//! projections views
//! decisions exports
//! jobs integrations
//! http
//! config telemetry
//! app
//! cli
//! ```
//!
//! ```owners
//! sqlx rusqlite: store
//! object_store: blob
//! ring sha2 hmac: crypto
//! axum: http
//! Utc::now SystemTime::now Instant::now tokio::spawn: runtime
//! std::env: config
//! ```

pub mod app;
pub mod blob;
pub mod chain;
pub mod cli;
pub mod config;
pub mod crypto;
pub mod decisions;
pub mod domain;
pub mod exports;
pub mod http;
pub mod ingest;
pub mod jobs;
pub mod policy;
pub mod projections;
pub mod runtime;
pub mod schema;
pub mod store;
pub mod telemetry;
pub mod views;
