//! For operators and their machines: alive, ready, metrics.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use crate::http::metrics;
use crate::http::paging::json_response;
use crate::http::state::{AppState, Service};

/// A checkpoint follows a commit within this, or the service is not ready.
const CHECKPOINT_WAIT: Duration = Duration::from_secs(3);

/// Alive
#[utoipa::path(get, path = "/healthz", tag = "operations", responses((status = 200, description = "The process answers")))]
pub async fn healthz(State(state): State<Arc<AppState>>) -> Response<Body> {
    json_response(&json!({ "status": "ok", "version": state.settings.version }))
}

/// Ready
///
/// 200 when every ledger takes writes, publishes checkpoints and keeps its views; else 503 with the reasons.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "operations",
    responses((status = 200, description = "Ready"), (status = 503, description = "Not ready, with `reasons`"))
)]
pub async fn readyz(State(state): State<Arc<AppState>>) -> Response<Body> {
    let mut ready = !state.tasks.is_stopping();
    let mut ledgers: Vec<Value> = Vec::new();
    for service in state.services() {
        let reasons = reasons(&service).await;
        ready &= reasons.is_empty();
        ledgers.push(json!({ "ledger": service.ledger.id, "size": service.ledger.size(), "reasons": reasons }));
    }
    let mut reasons: Vec<&str> = Vec::new();
    if state.tasks.is_stopping() {
        reasons.push("stopping");
    }
    let status = if ready { "ready" } else { "not_ready" };
    let mut response = json_response(&json!({ "status": status, "reasons": reasons, "ledgers": ledgers }));
    if !ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

async fn reasons(service: &Service) -> Vec<&'static str> {
    let mut reasons = Vec::new();
    if service.ledger.read_only_reason().is_some() {
        reasons.push("read_only");
    }
    if service.runner.status().failure.is_some() {
        reasons.push("projections_failed");
    }
    // A server that does not append publishes nothing either.
    let size = service.ledger.size();
    if service.ledger.is_leader() && service.checkpoints.wait_for(size, CHECKPOINT_WAIT).await.is_none() {
        reasons.push("checkpoint_behind");
    }
    reasons
}

/// Metrics
///
/// Prometheus text. No label names a person, a key or anything a client chose.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operations",
    responses((status = 200, description = "Metrics", body = String, content_type = "text/plain"))
)]
pub async fn metrics_read(State(state): State<Arc<AppState>>) -> Response<Body> {
    for service in state.services() {
        metrics::observe(&service);
    }
    let text = state.settings.metrics.as_ref().map(metrics_exporter_prometheus::PrometheusHandle::render);
    let mut response = Response::new(Body::from(text.unwrap_or_default()));
    let media = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    response
}
