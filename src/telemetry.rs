//! Logs and metrics. Fields are ids, counts and codes; a test greps the output for seeded personal markers.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

/// Starts logging to standard error. A second call in one process changes nothing.
pub fn logs(format: &str, filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = if format == "json" { builder.json().try_init() } else { builder.try_init() };
    drop(started);
}

/// Installs the metrics recorder and returns what renders it, or `None` when one is installed already.
pub fn metrics() -> Option<PrometheusHandle> {
    PrometheusBuilder::new().install_recorder().ok()
}
