//! API keys: made and shown once, listed without their secret, revoked. Each act is an entry; only a keyed hash is kept.

use axum::body::Body;
use axum::extract::{Path, Request};
use axum::http::{HeaderMap, Response, StatusCode};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::crypto::token;
use crate::domain::ids::{PrincipalId, uuid_v7};
use crate::http::codes;
use crate::http::error::Problem;
use crate::http::front::Caller;
use crate::http::paging::json_response;
use crate::http::request::{self, Params};
use crate::ingest::log_key::LogKeyError;
use crate::policy::access::Role;
use crate::store::PrincipalRow;

const LABEL_BYTES_MAX: usize = 64;
/// Reasons that the schema of `access.key_revoked` knows.
const REASONS: [&str; 6] = ["rotated", "leaked", "left", "expired", "unused", "other"];

/// A key to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// `recorder`, `reader`, `auditor` or `admin`.
    pub role: String,
    /// What its owner calls it: letters, digits, `.`, `_` and `-`, at most 64.
    pub label: Option<String>,
}

/// List the keys of the ledger
#[utoipa::path(
    get,
    path = "/v1/admin/keys",
    tag = "admin",
    responses((status = 200, description = "`items`: principal, role, label, times; never the key", body = serde_json::Value))
)]
pub async fn keys_list(caller: Caller, params: Params) -> Result<Response<Body>, Problem> {
    params.only(&[])?;
    let mut rows = caller.service.ledger.store().principals().await?;
    rows.sort_by_key(|row| (row.created, row.principal));
    let items: Vec<_> = rows
        .iter()
        .map(|row| {
            json!({
                "principal": row.principal, "role": row.role, "label": row.label,
                "created": row.created, "revoked": row.revoked,
            })
        })
        .collect();
    Ok(json_response(&json!({ "items": items })))
}

/// Make a key
///
/// The answer holds the key; it cannot be shown again.
#[utoipa::path(
    post,
    path = "/v1/admin/keys",
    tag = "admin",
    request_body = NewKey,
    responses((status = 201, description = "The key, shown this once", body = serde_json::Value))
)]
pub async fn key_create(caller: Caller, request: Request) -> Result<Response<Body>, Problem> {
    let (parts, body) = request.into_parts();
    let new: NewKey = request::json(&parts.headers, body).await?;
    let role: Role = new.role.parse().map_err(|_| {
        let names: Vec<&str> = Role::ALL.iter().map(|role| role.name()).collect();
        Problem::member("/role", "not_in_enum", &format!("must be one of {}", names.join(", ")))
    })?;
    let label = new.label.unwrap_or_default();
    if !label.is_empty() && !is_label(&label) {
        let detail = "letters, digits, ., _ and -, beginning with a letter or digit, at most 64";
        return Err(Problem::member("/label", "pattern_mismatch", detail));
    }
    let service = &caller.service;
    let ledger = &service.ledger;
    let now = request::now(&parts.headers, ledger)?;
    let principal = PrincipalId::from_bytes(uuid_v7(ledger.clock.now().unix_ms(), ledger.random.bytes()));
    let key = token::mint(&ledger.id, &ledger.random.bytes());
    let parsed = token::parse(&key).map_err(Problem::internal)?;
    let mut data = json!({ "principal": principal, "role": role.name() });
    if let (false, Some(data)) = (label.is_empty(), data.as_object_mut()) {
        data.insert("label".to_owned(), json!(label));
    }
    // The entry first: a key that works is one that the log knows.
    let receipt = ledger.record_own("access.key_created", None, data, caller.principal, now).await?;
    let row = PrincipalRow {
        principal,
        hash: token::hash(&ledger.secrets.pepper, &parsed),
        role: role.name().to_owned(),
        label: label.clone(),
        created: receipt.recorded,
        revoked: None,
    };
    ledger.store().principal_insert(&row).await?;
    service.keys_reload().await?;
    let mut response = json_response(&json!({
        "principal": principal, "role": role.name(), "label": label, "key": key,
        "position": receipt.position, "created": receipt.recorded,
    }));
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

fn is_label(text: &str) -> bool {
    let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    first && rest && text.len() <= LABEL_BYTES_MAX
}

/// Revoke a key
///
/// It is refused from the moment this answers, and on other servers of the same database within 10 seconds.
#[utoipa::path(
    delete,
    path = "/v1/admin/keys/{principal}",
    tag = "admin",
    params(
        ("principal" = String, Path, description = "The key's principal"),
        ("reason" = Option<String>, Query, description = "`rotated`, `leaked`, `left`, `expired`, `unused` or `other`"),
    ),
    responses(
        (status = 200, description = "Position of the entry that says so", body = serde_json::Value),
        (status = 404, description = "There is no such live key"),
        (status = 409, description = "`last_admin`: it is the only admin key")
    )
)]
pub async fn key_revoke(
    caller: Caller,
    Path(principal): Path<String>,
    params: Params,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    let params = params.only(&["reason"])?;
    let principal: PrincipalId = principal.parse().map_err(|_| Problem::absent("key"))?;
    let reason = params.text("reason").unwrap_or("other");
    if !REASONS.contains(&reason) {
        return Err(Problem::parameter("reason", &format!("is one of {}", REASONS.join(", "))));
    }
    let service = &caller.service;
    let ledger = &service.ledger;
    let now = request::now(&headers, ledger)?;
    let rows = ledger.store().principals().await?;
    let live = |row: &&PrincipalRow| row.revoked.is_none();
    let row = rows.iter().filter(live).find(|row| row.principal == principal).ok_or_else(|| Problem::absent("key"))?;
    let admins = rows.iter().filter(live).filter(|row| row.role == Role::Admin.name()).count();
    if row.role == Role::Admin.name() && admins == 1 {
        return Err(Problem::new(codes::LAST_ADMIN, "This is the only admin key; make another one first."));
    }
    let mut data = json!({ "principal": principal, "reason": reason });
    if let (true, Some(data)) = (is_label(&row.label), data.as_object_mut()) {
        data.insert("label".to_owned(), json!(row.label));
    }
    let receipt = ledger.record_own("access.key_revoked", None, data, caller.principal, now).await?;
    ledger.store().principal_revoke(principal, receipt.recorded).await?;
    service.keys_reload().await?;
    Ok(json_response(&json!({ "principal": principal, "position": receipt.position, "revoked": receipt.recorded })))
}

/// A change of the log key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewLogKey {
    /// `scheduled`, `compromised`, `lost` or `algorithm`.
    #[schema(example = "scheduled")]
    pub reason: String,
    /// Days after today on which both keys sign, 30 if absent; 0: the old one signs nothing more.
    pub overlap_days: Option<u32>,
}

const OVERLAP_DAYS: u32 = 30;

impl From<LogKeyError> for Problem {
    fn from(error: LogKeyError) -> Problem {
        match error {
            LogKeyError::Submit(source) => source.into(),
            LogKeyError::Overlap => Problem::member("/overlap_days", "too_large", &error.to_string()),
            LogKeyError::Refused(_) => Problem::member("/reason", "not_in_enum", &error.to_string()),
            LogKeyError::Secrets(_) | LogKeyError::Index(_) | LogKeyError::Read(_) | LogKeyError::Absent(_) => {
                Problem::failed(&error)
            }
        }
    }
}

/// Change the log key
///
/// An entry hands over from the old key to the new one. Until `overlap_until` checkpoints carry the signatures of both under
/// the one origin: give readers the new `verifier_key` before that day is over.
#[utoipa::path(
    post,
    path = "/v1/admin/log-key",
    tag = "admin",
    request_body = NewLogKey,
    responses(
        (status = 201, description = "`position`, `verifier_key`, `overlap_until`", body = serde_json::Value),
        (status = 422, description = "`request_invalid`")
    )
)]
pub async fn log_key_rotate(caller: Caller, request: Request) -> Result<Response<Body>, Problem> {
    let (parts, body) = request.into_parts();
    let new: NewLogKey = request::json(&parts.headers, body).await?;
    let ledger = &caller.service.ledger;
    let now = request::now(&parts.headers, ledger)?;
    let days = new.overlap_days.unwrap_or(OVERLAP_DAYS);
    let rotated = ledger.log_key_rotate(&new.reason, days, caller.principal, now).await?;
    let key = crate::jobs::checkpoint::verifier_key(ledger).map_err(Problem::internal)?;
    let mut response = json_response(&json!({
        "position": rotated.receipt.position, "verifier_key": key.to_string(), "overlap_until": rotated.overlap_until,
    }));
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}
