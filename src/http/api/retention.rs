//! Erasures and retention: what is due, what was destroyed, certificates.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request};
use axum::http::{Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::domain::ids::{EventId, SubjectId};
use crate::http::codes;
use crate::http::error::{Problem, chain};
use crate::http::front::Caller;
use crate::http::paging::json_response;
use crate::http::request::{self, Params};
use crate::ingest::Ledger;
use crate::jobs::erase::{self, EraseError, EraseOptions, Erasure, Journal, Person, State};
use crate::jobs::retention::{self, RetainError, RetainOptions};
use crate::policy::retention::Retention;

/// Persons that one request may erase.
const SUBJECTS_MAX: usize = 1_000;

impl From<EraseError> for Problem {
    fn from(error: EraseError) -> Problem {
        match error {
            EraseError::Unknown => Problem::absent("subject"),
            EraseError::Erased => {
                Problem::new(codes::ALREADY_ERASED, "This person was erased already; nothing is left to destroy.")
            }
            EraseError::Basis => {
                Problem::member("/basis", "not_in_enum", &format!("must be one of {}", erase::BASES.join(", ")))
            }
            EraseError::TooMany(_) => Problem::member("/subjects", "too_many_items", "too many pseudonyms are merged"),
            EraseError::Submit(source) => source.into(),
            EraseError::Index(source) => source.into(),
            other => {
                let detail = "The erasure was begun and goes on by itself; its journal says how far it is.";
                Problem::new(codes::ERASURE_UNFINISHED, detail).because(chain(&other))
            }
        }
    }
}

impl From<RetainError> for Problem {
    fn from(error: RetainError) -> Problem {
        match error {
            RetainError::Submit(source) => source.into(),
            other => {
                let detail = "The run was begun and goes on at the next one; its journal says how far it is.";
                Problem::new(codes::ERASURE_UNFINISHED, detail).because(chain(&other))
            }
        }
    }
}

/// Runs work that a client who hangs up must not cut short.
pub(super) async fn owned<T, E>(
    ledger: &Arc<Ledger>,
    work: impl Future<Output = Result<T, E>> + Send + 'static,
) -> Result<T, Problem>
where
    T: Send + 'static,
    E: Into<Problem> + Send + 'static,
{
    let done = ledger.tasks.spawn(work).await;
    done.map_err(|_| {
        Problem::new(codes::STOPPING, "The service is stopping; what was begun goes on at the next start.")
    })?
    .map_err(Into::into)
}

/// Who is to be erased.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewErasure {
    /// Persons: our subject ids, clients' references, phones or e-mails; 1 to 1,000.
    pub subjects: Vec<String>,
    /// Source of references, where several sources use them.
    pub source: Option<String>,
    /// `gdpr_17`, `ccpa_105`, `delete_act`, `retention`, `contract` or `operator`.
    pub basis: String,
    /// Your reference of the request that this answers.
    pub request: Option<String>,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// Erase persons
///
/// Destroys what no law obliges to keep, at once and for good. A hold wins: then the erasure waits, and its release runs it.
/// With `dry_run` the answer says what would be destroyed and kept, and nothing is done.
#[utoipa::path(
    post,
    path = "/v1/retention/erasures",
    tag = "privacy",
    request_body = NewErasure,
    responses(
        (status = 200, description = "`items`: what would be done", body = serde_json::Value),
        (status = 201, description = "`items`: what was done, with certificates", body = serde_json::Value),
        (status = 202, description = "`items`: some wait for a hold", body = serde_json::Value),
        (status = 404, description = "There is no such subject; nothing was done"),
        (status = 409, description = "`already_erased`; nothing was done"),
        (status = 503, description = "`erasure_unfinished`: it goes on by itself")
    )
)]
pub async fn erasure_create(caller: Caller, request: Request) -> Result<Response<Body>, Problem> {
    let (parts, body) = request.into_parts();
    let new: NewErasure = request::json(&parts.headers, body).await?;
    let ledger = Arc::clone(&caller.service.ledger);
    if new.subjects.is_empty() || new.subjects.len() > SUBJECTS_MAX {
        return Err(Problem::member("/subjects", "too_many_items", "must hold 1 to 1,000 persons"));
    }
    let now = request::now(&parts.headers, &ledger)?;
    let mut subjects: Vec<SubjectId> = Vec::new();
    for text in &new.subjects {
        let subject = ledger.subject_find_restricted(text, new.source.as_deref())?;
        if !subjects.contains(&subject) {
            subjects.push(subject);
        }
    }
    if new.dry_run {
        let at = now.unwrap_or_else(|| ledger.now());
        let mut items = Vec::new();
        for subject in subjects {
            let person = Person::read(&ledger, subject).await?;
            items.push(erase::plan(&ledger, &person, at).await?);
        }
        return Ok(json_response(&json!({ "dry_run": true, "items": items })));
    }
    let options = EraseOptions { now, ..EraseOptions::new(caller.principal, &ledger) };
    let done = erase_now(&ledger, subjects, &new.basis, new.request, options).await?;
    let waits = done.iter().any(|erasure| erasure.state == State::Waiting);
    let items: Vec<Value> = done.iter().map(|erasure| view(&ledger, erasure)).collect();
    let mut response = json_response(&json!({ "items": items }));
    *response.status_mut() = if waits { StatusCode::ACCEPTED } else { StatusCode::CREATED };
    Ok(response)
}

/// Erases persons in an owned task: all of them can be, or none is begun.
pub(super) async fn erase_now(
    ledger: &Arc<Ledger>,
    subjects: Vec<SubjectId>,
    basis: &str,
    request: Option<String>,
    options: EraseOptions,
) -> Result<Vec<Erasure>, Problem> {
    let at = options.now.unwrap_or_else(|| ledger.now());
    for subject in &subjects {
        let person = Person::read(ledger, *subject).await?;
        let standing = ledger.standing(subject)?;
        let left = erase::plan(ledger, &person, at).await?;
        if standing == crate::ingest::erasure::Standing::Erased && left.keys.is_empty() {
            return Err(EraseError::Erased.into());
        }
    }
    let (own, basis) = (Arc::clone(ledger), basis.to_owned());
    owned(ledger, async move {
        let mut begun = Vec::new();
        for subject in subjects {
            begun.push(erase::begin(&own, subject, &basis, request.clone(), &options).await?.0);
        }
        erase::run(&own, begun, &options, &|_| {}).await
    })
    .await
}

fn view(ledger: &Ledger, erasure: &Erasure) -> Value {
    let mut view = json!(erasure);
    if let Value::Object(view) = &mut view {
        view.insert("certificate".to_owned(), Value::String(erase::certificate(&ledger.origin, erasure)));
    }
    view
}

fn journal_problem(error: std::io::Error) -> Problem {
    Problem::internal(format!("erasure journal: {error}"))
}

/// List erasures
///
/// All of this server's journal, oldest first: what waits, what goes on, what is done.
#[utoipa::path(
    get,
    path = "/v1/retention/erasures",
    tag = "privacy",
    responses((status = 200, description = "`items`", body = serde_json::Value))
)]
pub async fn erasures_list(caller: Caller, params: Params) -> Result<Response<Body>, Problem> {
    params.only(&[])?;
    let all = Journal::of(&caller.service.ledger).all().map_err(journal_problem)?;
    let items: Vec<Value> = all
        .iter()
        .map(|erasure| {
            json!({ "erasure": erasure.erasure, "state": erasure.state, "basis": erasure.basis, "asked": erasure.asked,
                "done": erasure.done, "subjects": erasure.subjects, "keys": erasure.keys.len() })
        })
        .collect();
    Ok(json_response(&json!({ "items": items })))
}

/// Read an erasure and its certificate
#[utoipa::path(
    get,
    path = "/v1/retention/erasures/{erasure}",
    tag = "privacy",
    params(("erasure" = String, Path, description = "The erasure's id")),
    responses(
        (status = 200, description = "The erasure; `certificate` is its text", body = serde_json::Value),
        (status = 404, description = "There is no such erasure")
    )
)]
pub async fn erasure_read(caller: Caller, Path(erasure): Path<String>) -> Result<Response<Body>, Problem> {
    let id: EventId = erasure.parse().map_err(|_| Problem::absent("erasure"))?;
    let ledger = &caller.service.ledger;
    let found = Journal::of(ledger).load(&id).map_err(journal_problem)?;
    Ok(json_response(&view(ledger, &found.ok_or_else(|| Problem::absent("erasure"))?)))
}

/// Read the classes and what is due
///
/// How long keys of each class live, where that comes from, and which of them a run would end now.
#[utoipa::path(
    get,
    path = "/v1/retention",
    tag = "privacy",
    responses((status = 200, description = "`classes` and `due`", body = serde_json::Value))
)]
pub async fn retention_read(caller: Caller, params: Params) -> Result<Response<Body>, Problem> {
    params.only(&[])?;
    let ledger = Arc::clone(&caller.service.ledger);
    let rules = Retention::builtin().map_err(Problem::internal)?;
    let classes: Vec<Value> = crate::domain::parts::RetentionClass::ALL
        .into_iter()
        .filter_map(|class| {
            let rule = rules.rule(class)?;
            Some(json!({ "class": class, "days": rule.days, "never": rule.never, "carry": rule.carry, "source": rule.source }))
        })
        .collect();
    let own = Arc::clone(&ledger);
    let due = owned(&ledger, async move { retention::plan(&own, own.now()).await }).await?;
    Ok(json_response(&json!({ "pack_sha256": rules.digest().to_string(), "classes": classes, "due": due })))
}

/// How a run is to be.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NewRun {
    /// Only say what would end.
    pub dry_run: bool,
}

/// Run retention
///
/// Ends keys whose class's days are over, after re-recording what is still live. The server does this by itself every six
/// hours; a run that was cut short is finished first.
#[utoipa::path(
    post,
    path = "/v1/retention/runs",
    tag = "privacy",
    request_body = NewRun,
    responses(
        (status = 200, description = "What was done: `run`, `due`, `keys`, `parts`, `carried`", body = serde_json::Value),
        (status = 503, description = "`erasure_unfinished`: run again to go on")
    )
)]
pub async fn retention_run(caller: Caller, request: Request) -> Result<Response<Body>, Problem> {
    let (parts, body) = request.into_parts();
    let new: NewRun = request::json(&parts.headers, body).await?;
    let ledger = Arc::clone(&caller.service.ledger);
    let now = request::now(&parts.headers, &ledger)?;
    let own = Arc::clone(&ledger);
    if new.dry_run {
        let at = now.unwrap_or_else(|| ledger.now());
        let due = owned(&ledger, async move { retention::plan(&own, at).await }).await?;
        return Ok(json_response(&json!({ "dry_run": true, "due": due })));
    }
    let options = RetainOptions { now, ..RetainOptions::new(caller.principal) };
    let report = owned(&ledger, async move { retention::run(&own, &options, &|_| {}).await }).await?;
    Ok(json_response(&report))
}
