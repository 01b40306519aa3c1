//! Proofs for anybody: inclusion files in the public `tlog-proof` form, and consistency between two sizes.
//!
//! Only published checkpoints leave the process, so a proof is always against one of them.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Response, header};
use serde_json::json;
use std::sync::Arc;

use super::receipts::receipt_of;
use crate::chain::proof::{ConsistencyFile, InclusionFile};
use crate::http::codes;
use crate::http::error::Problem;
use crate::http::front::Caller;
use crate::http::paging::json_response;
use crate::http::request::{self, Params, Preferences};
use crate::http::state::{AppState, Service};
use crate::ingest::Outcome;
use crate::jobs::checkpoint::Published;

/// Proofs of a request's events, each `None` where no checkpoint covers it in time: what is recorded stays recorded.
pub async fn for_outcomes(
    service: &Service,
    outcomes: &[Outcome],
    wait: Duration,
) -> Result<Vec<Option<String>>, Problem> {
    let last = outcomes.iter().filter_map(receipt_of).map(|receipt| receipt.position).max();
    let published = match last {
        Some(last) => service.checkpoints.wait_for(last + 1, wait).await,
        None => None,
    };
    let Some(published) = published else { return Ok(vec![None; outcomes.len()]) };
    let mut proofs = Vec::with_capacity(outcomes.len());
    for outcome in outcomes {
        proofs.push(match receipt_of(outcome) {
            Some(receipt) => match inclusion(service, receipt.position, &published).await {
                Ok(file) => Some(file),
                Err(problem) => {
                    tracing::error!(reason = problem.internal.as_deref(), "proof.inclusion failed after recording");
                    None
                }
            },
            None => None,
        });
    }
    Ok(proofs)
}

async fn inclusion(service: &Service, position: u64, published: &Published) -> Result<String, Problem> {
    let hashes = service.ledger.inclusion(position, published.size).await?;
    let file = InclusionFile { extra: None, index: position, hashes, checkpoint: published.note.clone() };
    Ok(file.to_string())
}

fn text(body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// Prove that an event is in the log
///
/// A `tlog-proof` file (C2SP): index, hashes, and the newest published checkpoint, signed. It verifies offline, with the
/// entry's leaf hash and the log's verifier key.
#[utoipa::path(
    get,
    path = "/v1/events/{position}/proof",
    tag = "log",
    params(
        ("position" = u64, Path, description = "Place in the log"),
        ("Prefer" = Option<String>, Header, description = "`wait=<seconds>` for a checkpoint, at most 10"),
    ),
    responses(
        (status = 200, description = "The file", body = String, content_type = "text/plain"),
        (status = 404, description = "There is no such entry"),
        (status = 503, description = "`checkpoint_behind`: no published checkpoint covers it yet")
    )
)]
pub async fn event_proof(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Path(position): Path<String>,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    let position = request::position(&position)?;
    if position >= caller.service.ledger.size() {
        return Err(Problem::absent("entry"));
    }
    let wait = Preferences::read(&headers).wait.unwrap_or(state.settings.proof_wait);
    let published = caller.service.checkpoints.wait_for(position + 1, wait).await;
    let published = published.ok_or_else(behind)?;
    inclusion(&caller.service, position, &published).await.map(text)
}

/// No published checkpoint covers it yet.
pub fn behind() -> Problem {
    Problem::new(codes::CHECKPOINT_BEHIND, "No published checkpoint covers this position yet; ask again in a second.")
}

/// Prove that the log only grew
///
/// The RFC 6962 consistency proof between two sizes, with both roots. Without `to` it leads to the newest published
/// checkpoint; then `file` holds the proof with that checkpoint as one signed text.
#[utoipa::path(
    get,
    path = "/v1/consistency",
    tag = "log",
    params(
        ("from" = u64, Query, description = "The older size, from 1"),
        ("to" = Option<u64>, Query, description = "The newer size; the newest published one if absent"),
    ),
    responses((status = 200, description = "`from`, `to`, both roots, `hashes`, `file`", body = serde_json::Value))
)]
pub async fn consistency(caller: Caller, params: Params) -> Result<Response<Body>, Problem> {
    let params = params.only(&["from", "to"])?;
    let from = params.number("from")?.filter(|from| *from > 0);
    let from = from.ok_or_else(|| Problem::parameter("from", "is the older size, from 1"))?;
    let published = caller.service.checkpoints.latest().ok_or_else(behind)?;
    let to = params.number("to")?.unwrap_or(published.size);
    if from > to {
        return Err(Problem::parameter("from", "is larger than the newer size"));
    }
    if to > published.size {
        return Err(behind());
    }
    let ledger = &caller.service.ledger;
    let hashes = ledger.consistency(from, to).await?;
    let (from_root, to_root) = (ledger.root_at(from).await?, ledger.root_at(to).await?);
    let file = (to == published.size)
        .then(|| ConsistencyFile { old: from, hashes: hashes.clone(), checkpoint: published.note.clone() }.to_string());
    let body = json!({
        "from": from, "to": to, "from_root": from_root, "to_root": to_root, "hashes": hashes, "file": file,
    });
    Ok(json_response(&body))
}

/// The newest published checkpoint, or why there is none.
///
/// # Errors
/// `checkpoint_behind`.
pub fn newest(service: &Service) -> Result<Arc<Published>, Problem> {
    service.checkpoints.latest().ok_or_else(behind)
}
