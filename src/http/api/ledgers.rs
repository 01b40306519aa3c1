//! Ledgers: making one, and how the caller's own stands.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::domain::time::Timestamp;
use crate::http::codes;
use crate::http::error::Problem;
use crate::http::front::Caller;
use crate::http::paging::json_response;
use crate::http::request::{self, Params};
use crate::http::state::{AppState, LedgerFactoryError, LedgerRequest};
use crate::jobs::checkpoint::verifier_key;

/// A ledger to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewLedger {
    /// Whether it takes its clock from the header `Tallystick-Now`. Such a ledger never becomes a real one.
    #[serde(default)]
    pub scratch: bool,
    /// Its origin name; made from its id if absent. Fixed for ever.
    pub origin: Option<String>,
    /// When its history begins, RFC 3339; scratch ledgers only.
    pub begins: Option<String>,
}

/// Make a ledger
///
/// Answers as `tallystick init` does; the admin key is shown this once.
#[utoipa::path(
    post,
    path = "/v1/admin/ledgers",
    tag = "admin",
    request_body = NewLedger,
    responses((status = 201, description = "`ledger`, `origin`, `verifier_key`, `admin_key`", body = serde_json::Value))
)]
pub async fn ledger_create(
    State(state): State<Arc<AppState>>,
    _caller: Caller,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let (parts, body) = request.into_parts();
    let new: NewLedger = request::json(&parts.headers, body).await?;
    let begins = new.begins.as_deref().map(Timestamp::parse_rfc3339).transpose();
    let begins = begins.map_err(|_| Problem::member("/begins", "time_invalid", "not an RFC 3339 timestamp"))?;
    if begins.is_some() && !new.scratch {
        return Err(Problem::member("/begins", "not_scratch", "only a scratch ledger begins at a given time"));
    }
    let refused = |why: &str| Problem::member("", "ledger_refused", why);
    let factory = state.settings.ledgers.as_ref().ok_or_else(|| refused("this server makes no ledgers"))?;
    let asked = LedgerRequest { scratch: new.scratch, origin: new.origin, begins };
    let created = factory.ledger_create(asked).await.map_err(|error| match error {
        LedgerFactoryError::Refused(why) => refused(why),
        LedgerFactoryError::Failed(_) => Problem::internal(error),
    })?;
    let ledger = Arc::clone(&created.service.ledger);
    state.service_add(created.service);
    let mut response = json_response(&json!({
        "ledger": ledger.id,
        "origin": ledger.origin,
        "verifier_key": created.verifier_key,
        "admin_key": created.admin_key,
        "scratch": ledger.scratch,
    }));
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

/// How the ledger stands
#[utoipa::path(
    get,
    path = "/v1/admin/ledger",
    tag = "admin",
    responses((status = 200, description = "Size, root, checkpoint, keys, limits, lag, and whose histories decisions find in memory", body = serde_json::Value))
)]
pub async fn ledger_read(caller: Caller, params: Params) -> Result<Response<Body>, Problem> {
    params.only(&[])?;
    let service = &caller.service;
    let ledger = &service.ledger;
    let (size, root) = ledger.root_now();
    let checkpoint = service.checkpoints.latest();
    let lag = service.runner.lag();
    let limits = ledger.options.limits;
    let remembered = service.gate.remembered();
    let verifier_key = verifier_key(ledger).map_err(Problem::internal)?.to_string();
    Ok(json_response(&json!({
        "ledger": ledger.id,
        "origin": ledger.origin,
        "scratch": ledger.scratch,
        "verifier_key": verifier_key,
        "size": size,
        "root": root,
        "recorded": ledger.head().map(|head| head.recorded),
        "checkpoint": checkpoint.map(|published| json!({ "size": published.size, "root": published.root })),
        "engine": ledger.store().engine(),
        "leader": ledger.is_leader(),
        "read_only": ledger.read_only_reason().is_some(),
        "queue": ledger.queue_len(),
        "projections": { "lag_events": lag.events, "lag_micros": lag.micros, "rebuilding": service.runner.status().rebuilding },
        "histories": { "people": remembered.people, "bytes": remembered.bytes, "read_to": remembered.read_to },
        "limits": {
            "body_bytes": limits.body_bytes_max,
            "batch_events": limits.batch_events_max,
            "event_bytes": limits.event_bytes_max,
            "nesting": limits.nesting_max,
        },
        "role": caller.role.name(),
    })))
}

/// Confirm the clock
///
/// After `clock_jump`: the wall clock's leap ahead was meant, appends go on.
#[utoipa::path(
    post,
    path = "/v1/admin/clock/confirm",
    tag = "admin",
    responses((status = 204, description = "Confirmed"))
)]
pub async fn clock_confirm(caller: Caller) -> Result<StatusCode, Problem> {
    if caller.service.ledger.scratch {
        return Err(Problem::new(codes::NOW_NOT_ALLOWED, "A scratch ledger has no clock of its own to confirm."));
    }
    caller.service.ledger.clock_confirm();
    tracing::warn!(ledger = %caller.service.ledger.id, principal = %caller.principal, "clock.confirmed");
    Ok(StatusCode::NO_CONTENT)
}

/// Rebuild projections
///
/// Builds all rows anew from the log beside those in use, which stay readable and current meanwhile, and swaps them.
/// `projections.rebuilding` of `GET /v1/admin/ledger` is the next position to fold, and null when none is under way.
#[utoipa::path(
    post,
    path = "/v1/admin/projections/rebuild",
    tag = "admin",
    responses((status = 202, description = "Begun"))
)]
pub async fn projections_rebuild(caller: Caller) -> Result<StatusCode, Problem> {
    caller.service.runner.rebuild();
    tracing::info!(ledger = %caller.service.ledger.id, principal = %caller.principal, "projections.rebuild asked for");
    Ok(StatusCode::ACCEPTED)
}
