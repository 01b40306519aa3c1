//! What could not be recorded: seen, fixed, replayed or discarded by a person. Every act is an entry.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::event_view;
use super::receipts::{self, Counts};
use crate::domain::parts::PartKind;
use crate::http::codes;
use crate::http::error::{Problem, fragment};
use crate::http::front::Caller;
use crate::http::paging::json_response;
use crate::http::request;
use crate::http::state::AppState;
use crate::ingest::quarantine::QuarantineError;
use crate::ingest::{Ledger, Outcome};
use crate::policy::access::Action;

/// Read one item
///
/// Why it is here and what is wrong with it under today's schemas; the bytes as received for an admin.
#[utoipa::path(
    get,
    path = "/v1/quarantine/{position}",
    tag = "quarantine",
    params(("position" = u64, Path, description = "Position of its `quarantine.received`")),
    responses(
        (status = 200, description = "The item", body = serde_json::Value),
        (status = 404, description = "There is no such item")
    )
)]
pub async fn quarantine_read(caller: Caller, Path(position): Path<String>) -> Result<Response<Body>, Problem> {
    let ledger = &caller.service.ledger;
    let position = item_position(ledger, &position)?;
    let item = ledger.item(position).await?;
    let opened = ledger.open_entry(position).await?;
    let public: Value =
        opened.plaintext(PartKind::Public).and_then(|bytes| serde_json::from_slice(bytes).ok()).unwrap_or_default();
    let received = public.get("data").cloned().unwrap_or_default();
    let problems: Vec<Value> = item
        .problems
        .iter()
        .map(|found| json!({ "pointer": fragment(&found.pointer), "code": found.code, "detail": found.detail }))
        .collect();
    let mut view = json!({
        "item": item.item,
        "position": position,
        "recorded": opened.entry.recorded,
        "received": received,
        "bytes_kept": item.raw.is_some(),
        "errors": problems,
    });
    if let (Some(raw), true, Value::Object(view)) = (&item.raw, caller.may(Action::QuarantineManage), &mut view) {
        view.insert("raw".to_owned(), event_view::raw(raw));
    }
    Ok(json_response(&view))
}

fn item_position(ledger: &Ledger, text: &str) -> Result<u64, Problem> {
    let position = request::position(text)?;
    if position < ledger.size() { Ok(position) } else { Err(Problem::absent("item in quarantine")) }
}

/// Offer an item again
///
/// As it was received, under today's schemas. If it is recorded now, an entry directly behind the event closes the item.
#[utoipa::path(
    post,
    path = "/v1/quarantine/{position}/replay",
    tag = "quarantine",
    params(("position" = u64, Path, description = "Position of its `quarantine.received`")),
    responses(
        (status = 200, description = "The receipt", body = receipts::ReceiptDoc),
        (status = 410, description = "Its bytes are gone"),
        (status = 422, description = "It is still not valid; it stays where it is")
    )
)]
pub async fn quarantine_replay(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Path(position): Path<String>,
) -> Result<Response<Body>, Problem> {
    let position = item_position(&caller.service.ledger, &position)?;
    let outcome = caller.service.ledger.item_replay(position, None, caller.principal).await?;
    answer(&state, &outcome)
}

/// Record an item in a corrected form
///
/// The body is the corrected event. If it is recorded, an entry directly behind it closes the item; the bytes as first
/// received stay until their time is over.
#[utoipa::path(
    post,
    path = "/v1/quarantine/{position}/fix",
    tag = "quarantine",
    params(("position" = u64, Path, description = "Position of its `quarantine.received`")),
    request_body(content = serde_json::Value, description = "The corrected event", content_type = "application/json"),
    responses(
        (status = 200, description = "The receipt", body = receipts::ReceiptDoc),
        (status = 422, description = "The corrected form is not valid either; the item stays where it is")
    )
)]
pub async fn quarantine_fix(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Path(position): Path<String>,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let ledger = &caller.service.ledger;
    let position = item_position(ledger, &position)?;
    let (parts, body) = request.into_parts();
    let body = request::body(&parts.headers, body, ledger.options.limits.event_bytes_max).await?;
    let forms = crate::ingest::forms::read(&[("content-type", b"application/json")], body)?;
    let event = match (forms.list, forms.events.into_iter().next()) {
        (false, Some(event)) => event,
        (true | false, _) => {
            return Err(Problem::new(codes::NOT_AN_EVENT, "The corrected form of an item is one event."));
        }
    };
    let outcome = ledger.item_replay(position, Some(event.raw), caller.principal).await?;
    answer(&state, &outcome)
}

fn answer(state: &AppState, outcome: &Outcome) -> Result<Response<Body>, Problem> {
    if let Some(problem) = receipts::problem_of(outcome) {
        return Err(problem);
    }
    state.routes.outcomes(Counts::of(std::slice::from_ref(outcome)));
    let mut body = Vec::with_capacity(400);
    receipts::one(&mut body, outcome, None);
    let mut response = Response::new(Body::from(body));
    response
        .headers_mut()
        .insert(axum::http::header::CONTENT_TYPE, axum::http::HeaderValue::from_static("application/json"));
    Ok(response)
}

/// Why an item is given up.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Discard {
    /// `test`, `spam`, `duplicate`, `not_ours`, `unreadable`, `superseded`, `requested` or `other`.
    pub reason: String,
}

/// Give an item up
///
/// An entry says who and why; then its key and bytes are destroyed.
#[utoipa::path(
    post,
    path = "/v1/quarantine/{position}/discard",
    tag = "quarantine",
    params(("position" = u64, Path, description = "Position of its `quarantine.received`")),
    request_body = Discard,
    responses(
        (status = 200, description = "Position of the entry that says so", body = serde_json::Value),
        (status = 410, description = "It was discarded before")
    )
)]
pub async fn quarantine_discard(
    caller: Caller,
    Path(position): Path<String>,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let ledger = &caller.service.ledger;
    let position = item_position(ledger, &position)?;
    let (parts, body) = request.into_parts();
    let discard: Discard = request::json(&parts.headers, body).await?;
    let reasons = reasons(ledger);
    if !reasons.contains(&discard.reason) {
        return Err(Problem::member("/reason", "not_in_enum", &format!("must be one of {}", reasons.join(", "))));
    }
    if ledger.item(position).await?.raw.is_none() {
        return Err(QuarantineError::Gone(position).into());
    }
    let receipt = ledger.item_discard(position, &discard.reason, caller.principal).await?;
    Ok(json_response(&json!({ "position": receipt.position, "leaf": receipt.leaf, "recorded": receipt.recorded })))
}

/// The reasons that the schema of `quarantine.discarded` knows.
fn reasons(ledger: &Ledger) -> Vec<String> {
    let registry = ledger.registry();
    let listed = registry.current("quarantine.discarded").and_then(|schema| {
        schema
            .document
            .pointer("/properties/reason/enum")?
            .as_array()
            .map(|reasons| reasons.iter().filter_map(|reason| reason.as_str().map(str::to_owned)).collect())
    });
    listed.unwrap_or_default()
}
