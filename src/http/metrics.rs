//! What the service counts about itself. Labels are routes, methods, statuses and outcomes: never a person, a key, a label
//! that a client chose, or a path as sent.

use std::sync::{OnceLock, PoisonError, RwLock};
use std::time::Duration;

use metrics::{
    Counter, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusRecorder};

use super::routes::{ROUTES, Route};
use super::state::Service;

/// Latency buckets in seconds: from a read in memory to a wait for a proof.
const BUCKETS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// A recorder with this service's buckets, to be installed once per process; its handle goes into the settings.
///
/// # Errors
/// None with the buckets above.
pub fn recorder() -> Result<PrometheusRecorder, BuildError> {
    let builder = PrometheusBuilder::new();
    let name = Matcher::Suffix("_seconds".to_owned());
    Ok(builder.set_buckets_for_metric(name, &BUCKETS)?.build_recorder())
}

/// Names each metric's meaning, once a recorder is installed.
pub fn describe() {
    describe_counter!("tallystick_http_requests_total", "Requests answered, by route, method and status");
    describe_histogram!("tallystick_http_request_seconds", Unit::Seconds, "Time to answer, by route and method");
    describe_counter!("tallystick_events_total", "Events posted, by outcome");
    describe_gauge!("tallystick_log_entries", "Entries in the log");
    describe_gauge!("tallystick_checkpoint_entries", "Entries covered by the last published checkpoint");
    describe_gauge!("tallystick_queue_requests", "Requests waiting to be recorded");
    describe_gauge!("tallystick_projection_lag_entries", "Entries that projections have not folded yet");
    describe_gauge!("tallystick_wal_bytes", "Bytes in use in the longest write-ahead log of SQLite");
    describe_histogram!("tallystick_wal_copy_seconds", Unit::Seconds, "Copying pages of a write-ahead log, by file");
    describe_histogram!(
        "tallystick_wal_restart_seconds",
        Unit::Seconds,
        "Writer stopped to begin a write-ahead log anew, by file"
    );
    describe_gauge!("tallystick_read_only", "1 while the store takes no writes");
}

/// Handles of the counters of each route, so that counting looks nothing up by name.
#[derive(Default)]
pub struct RouteMetrics {
    routes: OnceLock<Vec<RouteMetric>>,
    outcomes: OnceLock<[Counter; 4]>,
}

struct RouteMetric {
    latency: Histogram,
    by_status: RwLock<Vec<(u16, Counter)>>,
}

impl RouteMetrics {
    fn routes(&self) -> &[RouteMetric] {
        self.routes.get_or_init(|| {
            let metric = |route: &Route| RouteMetric {
                latency: histogram!("tallystick_http_request_seconds", "route" => route.path, "method" => route.method),
                by_status: RwLock::new(Vec::new()),
            };
            ROUTES.iter().map(metric).collect()
        })
    }

    /// Counts one answer of the route with this number in [`ROUTES`]; `None` is an address that is no route.
    pub fn answered(&self, route: Option<usize>, status: u16, took: Duration) {
        let known = route.and_then(|number| Some((ROUTES.get(number)?, self.routes().get(number)?)));
        let Some((route, metric)) = known else {
            counter!("tallystick_http_requests_total", "route" => "none", "method" => "any", "status" => status.to_string())
                .increment(1);
            return;
        };
        metric.latency.record(took);
        {
            let by_status = metric.by_status.read().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, counter)) = by_status.iter().find(|(known, _)| *known == status) {
                counter.increment(1);
                return;
            }
        }
        let status_label = status.to_string();
        let counter = counter!(
            "tallystick_http_requests_total", "route" => route.path, "method" => route.method, "status" => status_label
        );
        counter.increment(1);
        metric.by_status.write().unwrap_or_else(PoisonError::into_inner).push((status, counter));
    }

    /// Counts the outcomes of one request's events.
    pub fn outcomes(&self, counts: super::api::receipts::Counts) {
        let [recorded, duplicate, quarantined, refused] = self.outcomes.get_or_init(|| {
            ["recorded", "duplicate", "quarantined", "refused"]
                .map(|outcome| counter!("tallystick_events_total", "outcome" => outcome))
        });
        for (counter, count) in [
            (recorded, counts.recorded),
            (duplicate, counts.duplicate),
            (quarantined, counts.quarantined),
            (refused, counts.refused),
        ] {
            if count > 0 {
                counter.increment(count);
            }
        }
    }
}

/// Reads the gauges of one ledger; called when they are asked for.
pub fn observe(service: &Service) {
    let ledger = service.ledger.id.to_string();
    let set = |name: &'static str, value: u64| {
        // Gauges are doubles; above 2^53 entries the last digits round.
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a double; log sizes stay far below 2^53")]
        gauge!(name, "ledger" => ledger.clone()).set(value as f64);
    };
    set("tallystick_log_entries", service.ledger.size());
    set("tallystick_checkpoint_entries", service.checkpoints.latest().map_or(0, |published| published.size));
    set("tallystick_queue_requests", service.ledger.queue_len() as u64);
    set("tallystick_projection_lag_entries", service.runner.lag().events);
    set("tallystick_read_only", u64::from(service.ledger.read_only_reason().is_some()));
}
