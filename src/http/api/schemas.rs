//! Event types: those built in, and customers' own, registered as entries.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{Response, StatusCode};
use serde_json::{Value, json};

use crate::http::codes;
use crate::http::error::{Problem, chain};
use crate::http::front::Caller;
use crate::http::paging::json_response;
use crate::http::request::{self, Params};
use crate::ingest::custom_types::CustomTypeError;
use crate::schema::EventSchema;

/// List event types
///
/// Every type and version in use; with `type`, the newest schema of that type in full.
#[utoipa::path(
    get,
    path = "/v1/admin/schemas",
    tag = "admin",
    params(("type" = Option<String>, Query, description = "One type")),
    responses(
        (status = 200, description = "`items`, or one schema document", body = serde_json::Value),
        (status = 404, description = "There is no such type")
    )
)]
pub async fn schemas_list(caller: Caller, params: Params) -> Result<Response<Body>, Problem> {
    let params = params.only(&["type"])?;
    let registry = caller.service.ledger.registry();
    if let Some(event_type) = params.text("type") {
        let schema = registry.current(event_type).ok_or_else(|| Problem::absent("event type"))?;
        return Ok(json_response(&schema.document));
    }
    let items: Vec<Value> = registry.all().iter().map(|schema| summary(schema)).collect();
    Ok(json_response(&json!({ "items": items })))
}

fn summary(schema: &EventSchema) -> Value {
    json!({
        "type": schema.event_type,
        "version": schema.version,
        "digest": schema.digest,
        "title": schema.title,
        "description": schema.description,
        "class": schema.class.name(),
        "subject": schema.needs_subject,
        "service": schema.service,
    })
}

/// Register an event type
///
/// The body is a JSON Schema of type `x.<name>` with this service's marking rules (`schemas/README.md`). It is in use when
/// this answers, and its registration is an entry, so every copy of the log knows it.
#[utoipa::path(
    post,
    path = "/v1/admin/schemas",
    tag = "admin",
    request_body(content = serde_json::Value, description = "The schema", content_type = "application/json"),
    responses(
        (status = 201, description = "Registered", body = serde_json::Value),
        (status = 200, description = "The same schema is registered already", body = serde_json::Value),
        (status = 422, description = "`schema_refused`: which rule it breaks")
    )
)]
pub async fn schema_register(caller: Caller, request: Request) -> Result<Response<Body>, Problem> {
    let (parts, body) = request.into_parts();
    let body = request::body(&parts.headers, body, request::SMALL_BODY_BYTES).await?;
    let document =
        std::str::from_utf8(&body).map_err(|_| Problem::new(codes::NOT_JSON, "The body is not UTF-8."))?.trim();
    let ledger = &caller.service.ledger;
    let now = request::now(&parts.headers, ledger)?;
    let registered = ledger.schema_register(document, caller.principal, now).await?;
    let registry = ledger.registry();
    let schema = registry.by_digest(&registered.digest);
    let schema = schema.ok_or_else(|| Problem::internal("a registered schema is not in the registry"))?;
    let mut answer = summary(schema);
    let Some(receipt) = registered.receipt else { return Ok(json_response(&answer)) };
    if let Some(answer) = answer.as_object_mut() {
        answer.insert("position".to_owned(), json!(receipt.position));
    }
    let mut response = json_response(&answer);
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

impl From<CustomTypeError> for Problem {
    fn from(error: CustomTypeError) -> Problem {
        match error {
            // Schemas are written by operators about types, never about people: the reason may be told in full.
            CustomTypeError::Schema(source) => {
                Problem::new(codes::SCHEMA_REFUSED, format!("The schema cannot be registered: {}.", chain(&source)))
            }
            CustomTypeError::Submit(source) => source.into(),
            CustomTypeError::Read(source) => source.into(),
            CustomTypeError::Busy => {
                Problem::new(codes::QUEUE_FULL, "Other registrations came in between; send this one again.")
            }
            CustomTypeError::Index(_) | CustomTypeError::Registration { .. } => Problem::failed(&error),
        }
    }
}
