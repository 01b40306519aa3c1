//! Legal holds: placed, listed, released. A hold wins over erasure and retention.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request};
use axum::http::{Response, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::retention::owned;
use crate::domain::hold::Hold;
use crate::domain::ids::SubjectId;
use crate::http::error::Problem;
use crate::http::front::Caller;
use crate::http::paging::json_response;
use crate::http::request::{self, Params};
use crate::ingest::Ledger;
use crate::jobs::erase::{self, EraseOptions};
use crate::views::matters::MattersError;

impl From<MattersError> for Problem {
    fn from(error: MattersError) -> Problem {
        match error {
            MattersError::Store(source) => source.into(),
            MattersError::Read(source) => Problem::failed(&source),
        }
    }
}

/// Checks data that the service is about to record in its own name, as a posted event would be.
pub(super) fn checked(ledger: &Ledger, event_type: &str, data: &Value) -> Result<(), Problem> {
    let registry = ledger.registry();
    let schema =
        registry.current(event_type).ok_or_else(|| Problem::internal(format!("no schema for {event_type}")))?;
    match schema.validate(data).map_err(|problems| problems.into_iter().next()) {
        Ok(()) => Ok(()),
        Err(Some(found)) => Err(Problem::member(&found.pointer, found.code, &found.detail)),
        Err(None) => Err(Problem::internal("data was refused without a reason")),
    }
}

/// A hold to be placed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewHold {
    /// Its name: letters, digits, `.`, `_` and `-`. One name may hold many persons.
    pub hold: String,
    /// The person: our subject id, a client's reference, a phone or an e-mail.
    pub subject: String,
    /// Source of the reference, where several sources use it.
    pub source: Option<String>,
    /// `litigation`, `regulator`, `investigation`, `dispute`, `audit` or `other`.
    pub reason: String,
    /// Id of the matter.
    pub matter: Option<String>,
    /// Classes held; absent: all.
    pub classes: Option<Vec<String>>,
    /// When it ends by itself.
    pub until: Option<String>,
    /// Day on which somebody looks whether it is still needed, `YYYY-MM-DD`.
    pub review_on: Option<String>,
    /// Why, in words.
    pub note: Option<String>,
}

fn put(data: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        data.insert(name.to_owned(), value.into());
    }
}

fn view(subject: &SubjectId, hold: &Hold, in_force: bool) -> Value {
    json!({
        "hold": hold.hold, "subject": subject, "reason": hold.reason, "classes": hold.classes, "until": hold.until,
        "in_force": in_force, "placed": hold.placed, "released": hold.released,
    })
}

/// Place a hold
#[utoipa::path(
    post,
    path = "/v1/holds",
    tag = "privacy",
    request_body = NewHold,
    responses(
        (status = 201, description = "`hold`, `subject`, `position`", body = serde_json::Value),
        (status = 404, description = "There is no such subject"),
        (status = 422, description = "`request_invalid`")
    )
)]
pub async fn hold_place(caller: Caller, request: Request) -> Result<Response<Body>, Problem> {
    let (parts, body) = request.into_parts();
    let new: NewHold = request::json(&parts.headers, body).await?;
    let ledger = &caller.service.ledger;
    let subject = ledger.subject_find_restricted(&new.subject, new.source.as_deref())?;
    let mut data = Map::new();
    put(&mut data, "hold", Some(new.hold.clone()));
    put(&mut data, "reason", Some(new.reason));
    put(&mut data, "matter", new.matter);
    put(&mut data, "classes", new.classes);
    put(&mut data, "until", new.until);
    put(&mut data, "review_on", new.review_on);
    put(&mut data, "note", new.note);
    let data = Value::Object(data);
    checked(ledger, "hold.placed", &data)?;
    let now = request::now(&parts.headers, ledger)?;
    let receipt = ledger.record_own("hold.placed", Some(subject), data, caller.principal, now).await?;
    let mut response = json_response(&json!({ "hold": new.hold, "subject": subject, "position": receipt.position }));
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

/// List holds
///
/// `in_force=true` leaves out those that were released or have ended.
#[utoipa::path(
    get,
    path = "/v1/holds",
    tag = "privacy",
    params(("in_force" = Option<bool>, Query, description = "Only those in force")),
    responses((status = 200, description = "`items`", body = serde_json::Value))
)]
pub async fn holds_list(caller: Caller, params: Params) -> Result<Response<Body>, Problem> {
    let params = params.only(&["in_force"])?;
    let only = params.flag("in_force")?;
    let ledger = &caller.service.ledger;
    let now = ledger.now();
    let mut matters = caller.service.matters.lock().await;
    matters.catch_up(ledger).await?;
    let items: Vec<Value> = matters
        .holds()
        .map(|(subject, hold)| (subject, hold, hold.in_force(now)))
        .filter(|(.., in_force)| *in_force || !only)
        .map(|(subject, hold, in_force)| view(subject, hold, in_force))
        .collect();
    Ok(json_response(&json!({ "items": items })))
}

/// Why a hold is released.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// `matter_closed`, `settled`, `expired`, `entered_in_error` or `other`.
    pub reason: String,
    /// Only this person; absent: everybody under this name.
    pub subject: Option<String>,
    /// Source of the reference, where several sources use it.
    pub source: Option<String>,
    /// Why, in words.
    pub note: Option<String>,
}

/// Release a hold
///
/// Runs what waited for it: erasures, and what earlier erasures had to leave. What age has ended goes with the next
/// retention run.
#[utoipa::path(
    post,
    path = "/v1/holds/{hold}/release",
    tag = "privacy",
    params(("hold" = String, Path, description = "Its name")),
    request_body = Release,
    responses(
        (status = 200, description = "`released` and `erasures`", body = serde_json::Value),
        (status = 404, description = "No hold of this name is in force")
    )
)]
pub async fn hold_release(
    caller: Caller,
    Path(hold): Path<String>,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let (parts, body) = request.into_parts();
    let release: Release = request::json(&parts.headers, body).await?;
    let ledger = Arc::clone(&caller.service.ledger);
    let now = request::now(&parts.headers, &ledger)?;
    let at = now.unwrap_or_else(|| ledger.now());
    let only = match &release.subject {
        Some(text) => Some(ledger.subject_find_restricted(text, release.source.as_deref())?),
        None => None,
    };
    let subjects: Vec<SubjectId> = {
        let mut matters = caller.service.matters.lock().await;
        matters.catch_up(&ledger).await?;
        let named = matters.holds().filter(|(subject, found)| {
            found.hold == hold && found.in_force(at) && only.is_none_or(|only| only == **subject)
        });
        named.map(|(subject, _)| *subject).collect()
    };
    if subjects.is_empty() {
        return Err(Problem::absent("hold in force"));
    }
    let mut data = Map::new();
    put(&mut data, "hold", Some(hold.clone()));
    put(&mut data, "reason", Some(release.reason));
    put(&mut data, "note", release.note);
    let data = Value::Object(data);
    checked(&ledger, "hold.released", &data)?;
    let events = subjects.iter().map(|subject| ("hold.released", Some(*subject), data.clone())).collect();
    ledger.record_own_all(events, caller.principal, now).await?;
    let options = EraseOptions { now, ..EraseOptions::new(caller.principal, &ledger) };
    let (own, released) = (Arc::clone(&ledger), subjects.clone());
    let ran = owned(&ledger, async move { erase::after_release(&own, &released, &options).await }).await?;
    let erasures: Vec<Value> =
        ran.iter().map(|erasure| json!({ "erasure": erasure.erasure, "state": erasure.state })).collect();
    Ok(json_response(&json!({ "hold": hold, "released": subjects, "erasures": erasures })))
}
