//! Rights requests: received, listed with their clocks, read, and the letters about them. What is done about one is in
//! `privacy_acts`.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::extract::{Path, Request};
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::holds::checked;
use super::privacy_letter::letter;
use crate::chain::decode::EntryRef;
use crate::domain::ids::{SubjectId, uuid_v7};
use crate::domain::parts::PartKind;
use crate::domain::privacy::{Request as Matter, RequestError};
use crate::domain::time::Timestamp;
use crate::http::codes;
use crate::http::error::Problem;
use crate::http::front::Caller;
use crate::http::paging::json_response;
use crate::http::request::{self, Params};
use crate::ingest::Ledger;
use crate::ingest::read::ReadError;
use crate::views::matters::{self, request_view};

impl From<RequestError> for Problem {
    fn from(error: RequestError) -> Problem {
        let mut detail = error.to_string();
        if let Some(first) = detail.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        detail.push('.');
        let code = match error {
            RequestError::Answered => codes::REQUEST_ANSWERED,
            RequestError::NotVerified => codes::IDENTITY_NOT_VERIFIED,
            RequestError::ExtendedBefore
            | RequestError::NoExtension
            | RequestError::ExtensionLate
            | RequestError::ExtensionLong => codes::EXTENSION_REFUSED,
        };
        Problem::new(code, detail)
    }
}

/// A request as it came.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRequest {
    /// `access`, `portability`, `delete`, `correct`, `restrict`, `object`, `opt_out_sale`, `limit_sensitive`,
    /// `withdraw_consent` or `know`.
    pub right: String,
    /// `gdpr`, `ccpa`, `us_state`, `delete_act` or `other`.
    pub regime: String,
    /// The person, where the ledger knows them: our subject id, a client's reference, a phone or an e-mail.
    pub subject: Option<String>,
    /// Source of the reference, where several sources use it.
    pub source: Option<String>,
    /// Your own reference; one is made where there is none.
    pub request: Option<String>,
    /// Phone of the person.
    pub phone: Option<String>,
    /// E-mail of the person.
    pub email: Option<String>,
    /// Name of the person.
    pub name: Option<String>,
    /// How it came: `form`, `email`, `phone`, `mail`, `in_person`, `portal`, `platform`, `agent` or `other`.
    pub received_via: Option<String>,
    /// When it came; the clock runs from here. Absent: now.
    pub received_at: Option<String>,
    /// Country of the person.
    pub country: Option<String>,
    /// State of the person.
    pub state: Option<String>,
    /// It came through an authorised agent.
    pub by_agent: Option<bool>,
    /// What it says.
    pub text: Option<String>,
}

pub(super) fn put(data: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        data.insert(name.to_owned(), value.into());
    }
}

/// Record a rights request
///
/// Its clock is that of `policies/rights.toml` for its regime, right and day of receipt.
#[utoipa::path(
    post,
    path = "/v1/privacy-requests",
    tag = "privacy",
    request_body = NewRequest,
    responses(
        (status = 201, description = "The request with its clock and tasks", body = serde_json::Value),
        (status = 404, description = "There is no such subject"),
        (status = 422, description = "`request_invalid`")
    )
)]
pub async fn privacy_request_create(caller: Caller, request: Request) -> Result<Response<Body>, Problem> {
    let (parts, body) = request.into_parts();
    let new: NewRequest = request::json(&parts.headers, body).await?;
    let ledger = &caller.service.ledger;
    let subject = match &new.subject {
        Some(text) => Some(ledger.subject_find_restricted(text, new.source.as_deref())?),
        None if new.phone.is_none() && new.email.is_none() => {
            return Err(Problem::member(
                "/subject",
                "required_missing",
                "name the person: a subject, a phone or an e-mail",
            ));
        }
        None => None,
    };
    let minted = || SubjectId::from_bytes(uuid_v7(ledger.now().unix_ms(), ledger.random.bytes())).to_string();
    let reference = new.request.clone().unwrap_or_else(minted);
    let mut data = Map::new();
    put(&mut data, "request", Some(reference.clone()));
    put(&mut data, "right", Some(new.right));
    put(&mut data, "regime", Some(new.regime));
    put(&mut data, "received_via", new.received_via);
    put(&mut data, "received_at", new.received_at);
    put(&mut data, "country", new.country);
    put(&mut data, "state", new.state);
    put(&mut data, "by_agent", new.by_agent);
    put(&mut data, "phone", new.phone);
    put(&mut data, "email", new.email);
    put(&mut data, "name", new.name);
    put(&mut data, "text", new.text);
    let data = Value::Object(data);
    checked(ledger, "privacy.request_received", &data)?;
    let now = request::now(&parts.headers, ledger)?;
    ledger.record_own("privacy.request_received", subject, data, caller.principal, now).await?;
    let id = ledger.secrets.refs.record_ref("request", "/tallystick", &reference);
    let mut view = view(&caller, &id, now).await?;
    if let Value::Object(view) = &mut view {
        view.insert("request".to_owned(), Value::String(reference));
    }
    let mut response = json_response(&view);
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

pub(super) async fn find(caller: &Caller, id: &[u8; 16]) -> Result<Matter, Problem> {
    let mut matters = caller.service.matters.lock().await;
    matters.catch_up(&caller.service.ledger).await?;
    matters.request(id).cloned().ok_or_else(|| Problem::absent("privacy request"))
}

pub(super) async fn view(caller: &Caller, id: &[u8; 16], now: Option<Timestamp>) -> Result<Value, Problem> {
    let ledger = &caller.service.ledger;
    let matter = find(caller, id).await?;
    let recipients = recipients(ledger, matter.subject).await?;
    let mut view = request_view(&matter, now.unwrap_or_else(|| ledger.now()), &recipients);
    if let Value::Object(view) = &mut view {
        view.insert("recipients".to_owned(), json!(recipients));
    }
    Ok(view)
}

/// Sellers who were given the person's lead: they are told of deletions, corrections and opt-outs (GDPR Art. 19; 11 CCR
/// 7022(c), 7026(f)).
async fn recipients(ledger: &Ledger, subject: SubjectId) -> Result<Vec<String>, Problem> {
    let mut found = BTreeSet::new();
    let mut next = ledger.subject_head(&subject)?.map(|head| head.position);
    while let Some(position) = next {
        let bytes = ledger.store().entry_at(position).await?.ok_or(ReadError::Absent(position))?;
        let entry = EntryRef::decode(&bytes).map_err(|source| ReadError::Entry { position, source })?;
        if matches!(entry.event_type, "lead.offered" | "lead.accepted") {
            let opened = ledger.open_entry(position).await?;
            let business: Option<Value> =
                opened.plaintext(PartKind::Business).and_then(|bytes| serde_json::from_slice(bytes).ok());
            let seller = business.as_ref().and_then(|part| part.pointer("/data/seller")).and_then(Value::as_str);
            found.extend(seller.map(str::to_owned));
        }
        next = entry.subject.filter(|link| link.subject == subject).and_then(|link| link.previous);
    }
    Ok(found.into_iter().collect())
}

/// List rights requests
///
/// The one due first comes first, with the days left; answered ones follow. `state` is `open`, `completed` or `denied`.
#[utoipa::path(
    get,
    path = "/v1/privacy-requests",
    tag = "privacy",
    params(("state" = Option<String>, Query, description = "`open`, `completed` or `denied`")),
    responses((status = 200, description = "`items`, `open`, `overdue`", body = serde_json::Value))
)]
pub async fn privacy_requests_list(caller: Caller, params: Params) -> Result<Response<Body>, Problem> {
    let params = params.only(&["state"])?;
    let wanted = params.text("state");
    if wanted.is_some_and(|state| !matches!(state, "open" | "completed" | "denied")) {
        return Err(Problem::parameter("state", "is open, completed or denied"));
    }
    let ledger = &caller.service.ledger;
    let now = ledger.now();
    let mut matters = caller.service.matters.lock().await;
    matters.catch_up(ledger).await?;
    let items: Vec<Value> = matters.requests().into_iter().map(|matter| request_view(matter, now, &[])).collect();
    let open = items.iter().filter(|item| item.get("state").is_some_and(|state| state == "open")).count();
    let overdue = items.iter().filter(|item| item.get("overdue").is_some_and(|late| late == true)).count();
    let items: Vec<Value> = items
        .into_iter()
        .filter(|item| wanted.is_none_or(|wanted| item.get("state").is_some_and(|state| state == wanted)))
        .collect();
    Ok(json_response(&json!({ "items": items, "open": open, "overdue": overdue })))
}

pub(super) fn id(text: &str) -> Result<[u8; 16], Problem> {
    matters::id_of(text).ok_or_else(|| Problem::absent("privacy request"))
}

/// Read a rights request
///
/// Its clock, what is to be done next, and who was given the person's lead.
#[utoipa::path(
    get,
    path = "/v1/privacy-requests/{request}",
    tag = "privacy",
    params(("request" = String, Path, description = "Its id")),
    responses(
        (status = 200, description = "The request", body = serde_json::Value),
        (status = 404, description = "There is no such request")
    )
)]
pub async fn privacy_request_read(caller: Caller, Path(request): Path<String>) -> Result<Response<Body>, Problem> {
    Ok(json_response(&view(&caller, &id(&request)?, None).await?))
}

/// Read the letter that closes a rights request
///
/// Or, while it is open, the one that confirms its receipt or its extension. Plain text, without personal data: who sends it
/// adds name and address.
#[utoipa::path(
    get,
    path = "/v1/privacy-requests/{request}/letter",
    tag = "privacy",
    params(("request" = String, Path, description = "Its id")),
    responses(
        (status = 200, description = "The letter", content_type = "text/plain"),
        (status = 404, description = "There is no such request")
    )
)]
pub async fn privacy_request_letter(caller: Caller, Path(request): Path<String>) -> Result<Response<Body>, Problem> {
    let matter = find(&caller, &id(&request)?).await?;
    let mut response = Response::new(Body::from(letter(&matter)));
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    Ok(response)
}
