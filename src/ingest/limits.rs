//! Limits by name. Each has one problem code, so that a client knows which one it met.

use crate::store::index::TAIL_POSITIONS;

/// What one request and one ledger may ask for.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a request body; above: 413 `body_too_large`.
    pub body_bytes_max: usize,
    /// Events of one request; above: 413 `batch_too_large`.
    pub batch_events_max: usize,
    /// Bytes of one event as received; above: 413 `event_too_large`, kept in quarantine.
    pub event_bytes_max: usize,
    /// Nesting of an event's JSON; above: 422 `nesting_too_deep`, kept in quarantine.
    pub nesting_max: usize,
    /// Requests waiting for the lane of one ledger; above: 503 `queue_full`.
    pub queue_requests_max: usize,
    /// Events that the lane takes into one batch.
    pub lane_events_max: usize,
    /// Positions that the index keeps in memory before it writes them out as sorted runs.
    pub index_tail_positions: u64,
    /// Bytes that folded histories of people may take in memory, by which decisions find them without reading the log: some 0.6 to
    /// 1 KB a person.
    pub histories_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            body_bytes_max: 8 << 20,
            batch_events_max: 5_000,
            event_bytes_max: 65_535,
            nesting_max: 32,
            queue_requests_max: 1_024,
            lane_events_max: 2_000,
            index_tail_positions: TAIL_POSITIONS,
            histories_bytes_max: 1 << 30,
        }
    }
}
