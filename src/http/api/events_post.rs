//! `POST /v1/events`: the way in for everything that happens, and the abuse-protection handshake of CloudEvents webhooks.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;

use super::proofs;
use super::receipts::{self, Counts, ReceiptDoc, ReceiptsDoc};
use crate::crypto::hash::sha256_parts;
use crate::http::codes;
use crate::http::error::Problem;
use crate::http::front::Caller;
use crate::http::idempotency::{Answer, Turn, key_of};
use crate::http::request::{self, Params, Preferences};
use crate::http::state::AppState;
use crate::ingest::Outcome;
use crate::ingest::admit::SubmitOptions;
use crate::ingest::forms;

/// Events of one request whose proofs may be waited for.
const PROOF_EVENTS_MAX: usize = 256;
/// Requests a minute that a webhook sender is told it may make; a figure for its planning, not a limit.
const WEBHOOK_RATE: HeaderValue = HeaderValue::from_static("100000");
const JSON: &str = "application/json";

/// Record events
///
/// Takes one event or many: CloudEvents 1.0 structured (`application/cloudevents+json`), binary (`ce-` headers) or batch
/// (`application/cloudevents-batch+json`), a plain JSON object or array, or one JSON object a line (`application/x-ndjson`).
/// Every event has its own result; one that is not valid is kept in quarantine and never lost. Sending an event again is
/// safe: the pair of `source` and `id` is recognised for ever, so an `Idempotency-Key` is welcome but not needed.
/// `Prefer: handling=strict` records all events of the request or none.
#[utoipa::path(
    post,
    path = "/v1/events",
    tag = "events",
    params(
        ("dry_run" = Option<bool>, Query, description = "Validate and decide, record nothing"),
        ("proof" = Option<String>, Query, description = "`wait`: answer with inclusion proofs"),
        ("Prefer" = Option<String>, Header, description = "`handling=strict`; `wait=<seconds>` for proofs, at most 10"),
        ("Idempotency-Key" = Option<String>, Header, description = "Remembered for 24 hours"),
        ("Tallystick-Now" = Option<String>, Header, description = "Scratch ledgers only: the time to record at"),
    ),
    request_body(content = serde_json::Value, description = "Events in one of the forms", content_type = "application/json"),
    responses(
        (status = 201, description = "A single event was recorded", body = ReceiptDoc),
        (status = 200, description = "A single event was recorded before, or a list was answered event by event", body = ReceiptsDoc),
        (status = 400, description = "Not JSON, or not events; nothing was kept"),
        (status = 409, description = "`expect_failed` or `event_id_reused`"),
        (status = 413, description = "Too large, as a body, a batch or an event"),
        (status = 415, description = "Not a media type that carries events"),
        (status = 422, description = "The event is kept in quarantine"),
        (status = 503, description = "Not now; `Retry-After` says when"),
    )
)]
pub async fn events_post(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    params: Params,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let asked = Asked::read(&state, &caller, &params.only(&["dry_run", "proof"])?, request.headers())?;
    let (parts, body) = request.into_parts();
    let ledger = &caller.service.ledger;
    let body = request::body(&parts.headers, body, ledger.options.limits.body_bytes_max).await?;
    let Some(key) = parts.headers.get("idempotency-key") else {
        return answer(&state, &caller, &asked, &parts.headers, body).await.map(plain);
    };
    let key = key_of(key.as_bytes())?;
    let query = parts.uri.query().unwrap_or_default();
    let preferred = parts.headers.get("prefer").map_or(&b""[..], HeaderValue::as_bytes);
    // In binary mode the event's attributes are headers: with other ones it is another event.
    let mut pieces = vec![query.as_bytes(), b"\0", preferred, b"\0"];
    for (name, value) in form_headers(&parts.headers) {
        pieces.extend([name.as_bytes(), b"\0", value, b"\0"]);
    }
    pieces.extend([&b"\0"[..], &body]);
    let digest = sha256_parts(&pieces);
    match state.idempotency.turn(caller.principal, key, "events", digest, state.clock.elapsed())? {
        Turn::Again(known) => {
            let mut response = plain((*known).clone());
            response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
            Ok(response)
        }
        Turn::First(ticket) => {
            let answer = answer(&state, &caller, &asked, &parts.headers, body).await?;
            ticket.answered(answer.clone());
            Ok(plain(answer))
        }
    }
}

/// What the request asks for besides its events.
struct Asked {
    options: SubmitOptions,
    proof_wait: Option<Duration>,
}

impl Asked {
    fn read(state: &AppState, caller: &Caller, params: &Params, headers: &HeaderMap) -> Result<Asked, Problem> {
        let preferences = Preferences::read(headers);
        let proof_wait = match params.text("proof") {
            None => None,
            Some("wait") => Some(preferences.wait.unwrap_or(state.settings.proof_wait)),
            Some(_) => return Err(Problem::parameter("proof", "is \"wait\"")),
        };
        let options = SubmitOptions {
            actor: caller.principal,
            strict: preferences.strict,
            dry_run: params.flag("dry_run")?,
            now: request::now(headers, &caller.service.ledger)?,
            service: false,
            closing: None,
        };
        Ok(Asked { options, proof_wait })
    }
}

fn plain(answer: Answer) -> Response<Body> {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = answer.status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    response
}

async fn answer(
    state: &AppState,
    caller: &Caller,
    asked: &Asked,
    headers: &HeaderMap,
    body: bytes::Bytes,
) -> Result<Answer, Problem> {
    let ledger = &caller.service.ledger;
    let forms = forms::read(&form_headers(headers), body)?;
    let events_max = ledger.options.limits.batch_events_max;
    if forms.events.len() > events_max {
        let detail =
            format!("The request holds {} events; at most {events_max} are taken at once.", forms.events.len());
        return Err(Problem::new(codes::BATCH_TOO_LARGE, detail));
    }
    if asked.proof_wait.is_some() && forms.events.len() > PROOF_EVENTS_MAX {
        let detail = format!("Proofs can be waited for with at most {PROOF_EVENTS_MAX} events; nothing was recorded.");
        return Err(Problem::new(codes::PROOF_BATCH_TOO_LARGE, detail));
    }
    let outcomes = ledger.submit(forms.events, asked.options.clone()).await?;
    let counts = Counts::of(&outcomes);
    if !asked.options.dry_run {
        state.routes.outcomes(counts);
    }
    if forms.list && asked.options.strict && !asked.options.dry_run && counts.quarantined + counts.refused > 0 {
        return Err(batch_refused(&outcomes));
    }
    let proofs = match asked.proof_wait {
        Some(wait) if !asked.options.dry_run => Some(proofs::for_outcomes(&caller.service, &outcomes, wait).await?),
        _ => None,
    };
    if forms.list {
        let body = receipts::list(&outcomes, counts, proofs.as_deref()).into();
        return Ok(Answer { status: StatusCode::OK, content_type: JSON, body });
    }
    let outcome = outcomes.first().ok_or_else(|| Problem::internal("a single event has no outcome"))?;
    if let Some(problem) = receipts::problem_of(outcome) {
        return Err(problem);
    }
    let mut body = Vec::with_capacity(400);
    receipts::one(&mut body, outcome, proofs.as_ref().map(|proofs| proofs.first().and_then(Option::as_deref)));
    let status = if matches!(outcome, Outcome::Recorded(_)) { StatusCode::CREATED } else { StatusCode::OK };
    Ok(Answer { status, content_type: JSON, body: body.into() })
}

/// The headers that carry an event, names in lower case as HTTP libraries give them.
fn form_headers(headers: &HeaderMap) -> Vec<(&str, &[u8])> {
    headers
        .iter()
        .filter(|(name, _)| *name == header::CONTENT_TYPE || name.as_str().starts_with("ce-"))
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect()
}

/// All or nothing, and it is nothing: which events were the reason.
fn batch_refused(outcomes: &[Outcome]) -> Problem {
    let wrong = outcomes.iter().filter(|outcome| match outcome {
        Outcome::Refused { code, .. } => *code != "batch_refused",
        Outcome::Recorded(_) | Outcome::Duplicate { .. } => false,
        Outcome::Quarantined { .. } | Outcome::DryRun { .. } => true,
    });
    let detail = format!("Nothing of the batch was recorded or kept, because of {} of its events.", wrong.count());
    let mut problem = Problem::new(codes::BATCH_REFUSED, detail);
    for (at, outcome) in outcomes.iter().enumerate() {
        let found: Cow<'_, [_]> = match outcome {
            Outcome::DryRun { problems, .. } | Outcome::Quarantined { problems, .. } => Cow::Borrowed(problems),
            Outcome::Refused { code, detail } if *code != "batch_refused" => {
                Cow::Owned(vec![crate::schema::FieldProblem { pointer: String::new(), code, detail: detail.clone() }])
            }
            Outcome::Refused { .. } | Outcome::Recorded(_) | Outcome::Duplicate { .. } => Cow::Borrowed(&[]),
        };
        for error in found.iter() {
            let pointer = format!("/{at}{}", error.pointer);
            problem.errors.push(crate::schema::FieldProblem { pointer, ..error.clone() });
        }
    }
    problem
}

/// Agree to deliveries
///
/// The abuse-protection handshake of the CloudEvents webhook profile.
#[utoipa::path(
    options,
    path = "/v1/events",
    tag = "events",
    params(("WebHook-Request-Origin" = Option<String>, Header, description = "Who wants to deliver")),
    responses((status = 200, description = "Deliveries are welcome"))
)]
pub async fn events_options(headers: HeaderMap) -> Response<Body> {
    let mut response = StatusCode::OK.into_response();
    let answer = response.headers_mut();
    answer.insert(header::ALLOW, HeaderValue::from_static("GET, POST, OPTIONS"));
    if let Some(origin) = headers.get("webhook-request-origin") {
        answer.insert("webhook-allowed-origin", origin.clone());
        answer.insert("webhook-allowed-rate", WEBHOOK_RATE);
    }
    response
}
