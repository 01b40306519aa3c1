//! The gate before a contact: asked, recorded, answered; read again; computed again.

use axum::body::Body;
use axum::extract::{Path, Request};
use axum::http::Response;
use serde_json::{Map, Value, json};

use crate::decisions::{ContactQuestion, DecideError, Decided, Replay, ReplayError, Stored};
use crate::http::codes;
use crate::http::error::Problem;
use crate::http::front::Caller;
use crate::http::paging::json_response;
use crate::http::request;

/// Members of a decision's data that are the person's, or only a machine's.
const WITHHELD: [&str; 5] = ["email", "from", "inputs", "phone", "topic"];

impl From<DecideError> for Problem {
    fn from(error: DecideError) -> Problem {
        match error {
            DecideError::Question(error) => Problem::member(error.pointer, error.code, &error.detail),
            DecideError::Switch(error) => Problem::member("/policy", "switch_unknown", &error.0),
            DecideError::PolicyNotAllowed => Problem::member(
                "/policy",
                "policy_not_allowed",
                "only a scratch ledger takes switches from the question",
            ),
            DecideError::Submit(error) => error.into(),
            DecideError::List(error) => error.into(),
            DecideError::Busy => {
                let detail = "Events about the person were recorded each time; nothing was answered. Ask again.";
                let mut problem = Problem::new(codes::DECISION_BUSY, detail);
                problem.retry_after = Some(1);
                problem
            }
            other => Problem::failed(&other),
        }
    }
}

impl From<ReplayError> for Problem {
    fn from(error: ReplayError) -> Problem {
        match error {
            ReplayError::Absent => Problem::absent("decision"),
            ReplayError::Gone => {
                Problem::new(codes::GONE, "What the decision was made from is gone: its retention is over.")
            }
            ReplayError::PackUnknown => {
                Problem::new(codes::PACK_UNKNOWN, "The decision cites rules of another version than this build has.")
            }
            ReplayError::Gather(error) => (*error).into(),
            other => Problem::failed(&other),
        }
    }
}

/// Ask whether somebody may be contacted
///
/// All failing rules, or the ground for an allow; the first minute at which it would be allowed without new events; local
/// times, digests and heads that it depended on. The answer is in the log before it is given: an answer that does not come
/// is no allow. An event that was acknowledged before the question is in the answer. An allow may be used until
/// `expires_at`; the contact names the decision.
#[utoipa::path(
    post,
    path = "/v1/decisions/contact",
    tag = "decisions",
    params(("Tallystick-Now" = Option<String>, Header, description = "The caller's clock, on a scratch ledger")),
    request_body = ContactQuestion,
    responses(
        (status = 200, description = "The decision", body = serde_json::Value),
        (status = 422, description = "`request_invalid`: what is wrong with the question"),
        (status = 503, description = "Not recorded, so not answered: ask again")
    )
)]
pub async fn decision_contact(caller: Caller, request: Request) -> Result<Response<Body>, Problem> {
    let (parts, body) = request.into_parts();
    let question: ContactQuestion = request::json(&parts.headers, body).await?;
    let service = &caller.service;
    let now = request::now(&parts.headers, &service.ledger)?;
    let decided = service.gate.decide(&service.ledger, &question, caller.principal, now).await?;
    Ok(json_response(&view_of(&decided)))
}

/// The answer of the gate, as clients see it.
pub fn view_of(decided: &Decided) -> Value {
    let mut view = shown(&decided.data);
    view.insert("decision".to_owned(), json!(decided.decision));
    view.insert("position".to_owned(), json!(decided.receipt.position));
    view.insert("subject".to_owned(), json!(decided.receipt.subject));
    view.insert("recorded".to_owned(), json!(decided.receipt.recorded));
    Value::Object(view)
}

/// The data of a decision without what is the person's; what is not so is said as null.
fn shown(data: &Map<String, Value>) -> Map<String, Value> {
    let told = data.iter().filter(|(name, _)| !WITHHELD.contains(&name.as_str()));
    let mut view: Map<String, Value> = told.map(|(name, value)| (name.clone(), value.clone())).collect();
    for name in ["next_allowed_at", "honor_by", "expires_at"] {
        view.entry(name).or_insert(Value::Null);
    }
    for name in ["warnings", "lists", "states", "zones"] {
        view.entry(name).or_insert_with(|| json!([]));
    }
    view
}

fn stored_view(stored: &Stored) -> Map<String, Value> {
    let mut view = shown(&stored.data);
    view.insert("position".to_owned(), json!(stored.position));
    view.insert("subject".to_owned(), json!(stored.subject));
    view.insert("recorded".to_owned(), json!(stored.recorded));
    view
}

/// Read a decision
#[utoipa::path(
    get,
    path = "/v1/decisions/{decision}",
    tag = "decisions",
    params(("decision" = String, Path, description = "Its id")),
    responses(
        (status = 200, description = "The decision as it was recorded", body = serde_json::Value),
        (status = 404, description = "There is no such decision"),
        (status = 410, description = "Its retention is over")
    )
)]
pub async fn decision_read(caller: Caller, Path(decision): Path<String>) -> Result<Response<Body>, Problem> {
    let stored = Stored::find(&caller.service.ledger, &decision).await?;
    Ok(json_response(&Value::Object(stored_view(&stored))))
}

/// Compute a decision again
///
/// By the rules that it cites, of this build or as the log has them, from the log up to the heads that it cites (`from` is
/// `raw`) or, where parts of that are gone, from the reduced inputs in its own entry (`reduced`): `identical` says whether
/// every member came out as recorded, `differs` which did not. `today` says what the rules of this build make of the same inputs.
#[utoipa::path(
    post,
    path = "/v1/decisions/{decision}/replay",
    tag = "decisions",
    params(("decision" = String, Path, description = "Its id")),
    responses(
        (status = 200, description = "The comparison", body = serde_json::Value),
        (status = 404, description = "There is no such decision"),
        (status = 409, description = "`pack_unknown`"),
        (status = 410, description = "Its retention is over")
    )
)]
pub async fn decision_replay(caller: Caller, Path(decision): Path<String>) -> Result<Response<Body>, Problem> {
    let service = &caller.service;
    Ok(json_response(&replay_view(&service.gate.replay(&service.ledger, &decision).await?)))
}

/// A replay, as clients see it.
pub fn replay_view(replay: &Replay) -> Value {
    let reasons: Vec<&str> = replay.today.reasons.iter().map(|code| code.name()).collect();
    json!({
        "decision": replay.stored.data.get("decision"),
        "position": replay.stored.position,
        "from": replay.from,
        "identical": replay.differs.is_empty(),
        "differs": replay.differs,
        "pack_sha256": replay.pack_sha256,
        "recorded": { "allow": replay.stored.data.get("allow"), "reasons": replay.stored.data.get("reasons") },
        "today": {
            "allow": replay.today.allow,
            "reasons": reasons,
            "next_allowed_at": replay.today.next_allowed_at,
            "differs": replay.today_differs,
        },
    })
}
