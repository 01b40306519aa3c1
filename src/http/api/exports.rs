//! Exports: bundles that a stranger verifies offline.
//!
//! Making one is a writing act in two steps: it is recorded and sealed at once, and its bundle is read out of the log when it
//! is fetched, against a published checkpoint that covers it. Nothing opened is kept in between, so a person erased
//! meanwhile is absent from the bundle too.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Request};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::proofs::behind;
use crate::domain::ids::{PrincipalId, SubjectId};
use crate::domain::time::Timestamp;
use crate::exports::bundle::BundleError;
use crate::exports::manifest::{PROFILES, Profile};
use crate::exports::range::{RangeBegun, RangeRequest, begin_range, finish_range};
use crate::exports::redaction::Redaction;
use crate::exports::subject::{Begun, Disclosure, ExportError, ExportRequest, Extras, begin, finish};
use crate::http::codes;
use crate::http::error::{Problem, chain};
use crate::http::front::Caller;
use crate::http::paging::json_response;
use crate::http::request::{self, Params, Preferences};
use crate::http::state::Service;
use crate::ingest::Ledger;
use crate::ingest::subjects::FindError;

/// Exports that can be fetched; an older one is made again.
const KEPT_MAX: usize = 256;
/// Blocks of a range that wait for a slow reader.
const BLOCKS_WAITING: usize = 2;
/// How long a fetch waits for its checkpoint.
const CHECKPOINT_WAIT: Duration = Duration::from_secs(10);

/// Exports that were begun since this server started.
#[derive(Debug, Default)]
pub struct Exports(Mutex<VecDeque<Arc<Kept>>>);

#[derive(Debug)]
struct Kept {
    id: String,
    profile: Profile,
    subject: Option<SubjectId>,
    created: Timestamp,
    begun: Making,
}

/// An export of either kind, recorded and to be fetched.
#[derive(Debug)]
enum Making {
    Person(Box<Begun>),
    Range(Box<RangeBegun>),
}

impl Kept {
    fn view(&self) -> Value {
        json!({ "id": self.id, "profile": self.profile.name(), "subject": self.subject, "created": self.created })
    }
}

impl Exports {
    fn keep(&self, kept: Arc<Kept>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= KEPT_MAX {
            all.pop_front();
        }
        all.push_back(kept);
    }

    fn all(&self) -> Vec<Arc<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().map(Arc::clone).collect()
    }
}

impl From<ExportError> for Problem {
    fn from(error: ExportError) -> Problem {
        match error {
            ExportError::Unknown => Problem::absent("subject"),
            ExportError::Unexcused { .. } => {
                let detail = "Something in this export was destroyed after it was begun: make the export again.";
                Problem::new(codes::GONE, detail).because(chain(&error))
            }
            ExportError::Since(source) => Problem::member("/since_checkpoint", "schema_mismatch", &source.to_string()),
            ExportError::NeedsSubject => Problem::member("/subject", "required_missing", &error.to_string()),
            ExportError::NoSubject => Problem::member("/subject", "property_unknown", &error.to_string()),
            ExportError::Include(_) => Problem::member("/include", "schema_mismatch", &error.to_string()),
            ExportError::Bundle(BundleError::Notice(_)) => {
                Problem::member("/notices", "schema_mismatch", &chain(&error))
            }
            ExportError::Submit(source) => source.into(),
            ExportError::SubjectsSeal(source) => source.into(),
            ExportError::Read(source) => source.into(),
            ExportError::Store(source) => source.into(),
            other => Problem::failed(&other),
        }
    }
}

impl From<FindError> for Problem {
    fn from(error: FindError) -> Problem {
        match error {
            FindError::Unknown => Problem::absent("subject"),
            FindError::Ambiguous => {
                let detail = "Several people have this reference at different sources; name the source.";
                Problem::new(codes::IDENTIFIER_AMBIGUOUS, detail)
            }
            FindError::Index(source) => source.into(),
        }
    }
}

/// An export to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewExport {
    /// `accounting`, `article_30`, `audit`, `ccpa_log`, `dsar`, `erasure_certificate` or `tcpa_call`; `audit` if absent.
    pub profile: Option<String>,
    /// The person: our subject id, a client's reference, a phone or an e-mail. Absent: a range of the log, which the profiles
    /// `accounting`, `article_30`, `audit` and `ccpa_log` have.
    pub subject: Option<String>,
    /// Of a range: only this campaign's persons and facts are opened.
    pub campaign: Option<String>,
    /// Of a range: recorded at or after this time; for `ccpa_log` 24 months ago if absent.
    #[schema(value_type = Option<String>)]
    pub from: Option<Timestamp>,
    /// Of a range: recorded before this time.
    #[schema(value_type = Option<String>)]
    pub to: Option<Timestamp>,
    /// Source of the reference, where several sources use it.
    pub source: Option<String>,
    /// Show only what these rules show: `counsel`, `regulator` or `counterparty`.
    pub redact: Option<String>,
    /// Show only what these rules show, in the members of one profile of `policies/redaction.toml`; not with `redact`.
    #[schema(value_type = Option<Object>)]
    pub disclose: Option<Redaction>,
    /// A signed checkpoint that the reader kept: the bundle proves that the log has only grown since.
    pub since_checkpoint: Option<String>,
    /// Texts whose SHA-256 an exported event names, to lie beside it.
    #[serde(default)]
    pub notices: Vec<String>,
    /// Positions of further entries without a person, such as a registered script.
    #[serde(default)]
    pub include: Vec<u64>,
}

impl NewExport {
    fn extras(self) -> Result<Extras, Problem> {
        let redaction = match (self.redact, self.disclose) {
            (None, None) => None,
            (Some(name), None) => Some(
                Redaction::named(&name)
                    .map_err(|error| Problem::member("/redact", "not_in_enum", &error.to_string()))?,
            ),
            (None, Some(rules)) => Some(
                rules.checked().map_err(|error| Problem::member("/disclose", "schema_mismatch", &error.to_string()))?,
            ),
            (Some(_), Some(_)) => {
                let detail = "is for exports without a profile in /redact";
                return Err(Problem::member("/disclose", "several_alternatives_fit", detail));
            }
        };
        let notices = self.notices.into_iter().map(String::into_bytes).collect();
        Ok(Extras { redaction: redaction.map(Arc::new), since: self.since_checkpoint, notices, include: self.include })
    }
}

/// Make an export
///
/// Records it; for a person, seals the subjects map over it. The bundle is then at `/v1/exports/{id}/bundle`.
#[utoipa::path(
    post,
    path = "/v1/exports",
    tag = "exports",
    request_body = NewExport,
    responses(
        (status = 201, description = "`id`, `profile`, `subject`, `created`", body = serde_json::Value),
        (status = 404, description = "There is no such subject"),
        (status = 409, description = "`identifier_ambiguous`")
    )
)]
pub async fn export_create(caller: Caller, request: Request) -> Result<Response<Body>, Problem> {
    let (parts, body) = request.into_parts();
    let new: NewExport = request::json(&parts.headers, body).await?;
    let profile = new.profile.as_deref().unwrap_or("audit").parse::<Profile>().map_err(|_| {
        let names: Vec<&str> = PROFILES.iter().map(|profile| profile.name()).collect();
        Problem::member("/profile", "not_in_enum", &format!("must be one of {}", names.join(", ")))
    })?;
    let service = &caller.service;
    let ledger = &service.ledger;
    let now = request::now(&parts.headers, ledger)?;
    let id = match &new.subject {
        Some(subject) => {
            if new.campaign.is_some() || new.from.is_some() || new.to.is_some() {
                let detail = "is for exports of a range of the log, which name no subject";
                return Err(Problem::member("/subject", "several_alternatives_fit", detail));
            }
            // Whoever may export may also find what is kept of somebody erased.
            let subject = ledger.subject_find_restricted(subject, new.source.as_deref())?;
            make(service, profile, subject, new.extras()?, caller.principal, now).await?
        }
        None => make_range(service, profile, new, caller.principal, now).await?,
    };
    let kept = service.exports.all().into_iter().find(|kept| kept.id == id);
    let mut response = json_response(&kept.map(|kept| kept.view()).unwrap_or_default());
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

/// Begins an export and keeps it for fetching; its id.
pub(super) async fn make(
    service: &Service,
    profile: Profile,
    subject: SubjectId,
    extras: Extras,
    actor: PrincipalId,
    now: Option<Timestamp>,
) -> Result<String, Problem> {
    let ledger = &service.ledger;
    let disclosure = Disclosure::of(profile);
    let subjects = ledger.union_of(&subject, Timestamp::MAX).await?;
    let request = ExportRequest { profile, subjects, disclosure, extras, actor, now };
    let begun = begin(ledger, request).await?;
    let id = begun.export().ok_or_else(|| Problem::internal("an export was recorded without an id"))?.to_owned();
    let begun = Making::Person(Box::new(begun));
    let created = ledger.now();
    service.exports.keep(Arc::new(Kept { id: id.clone(), profile, subject: Some(subject), created, begun }));
    Ok(id)
}

/// Begins an export of a range of the log; its id.
async fn make_range(
    service: &Service,
    profile: Profile,
    new: NewExport,
    actor: PrincipalId,
    now: Option<Timestamp>,
) -> Result<String, Problem> {
    let ledger = &service.ledger;
    let (from, to, campaign) = (new.from, new.to, new.campaign.clone());
    let request = RangeRequest { profile, from, to, campaign, extras: new.extras()?, actor, now };
    let begun = begin_range(ledger, request).await?;
    let id = begun.export().to_owned();
    let begun = Making::Range(Box::new(begun));
    service.exports.keep(Arc::new(Kept { id: id.clone(), profile, subject: None, created: ledger.now(), begun }));
    Ok(id)
}

/// List exports that can be fetched
///
/// Those begun since this server started; every export ever made is in the log as `export.created`.
#[utoipa::path(
    get,
    path = "/v1/exports",
    tag = "exports",
    responses((status = 200, description = "`items`", body = serde_json::Value))
)]
pub async fn exports_list(caller: Caller, params: Params) -> Result<Response<Body>, Problem> {
    params.only(&[])?;
    let items: Vec<Value> = caller.service.exports.all().iter().map(|kept| kept.view()).collect();
    Ok(json_response(&json!({ "items": items })))
}

/// Fetch a bundle
///
/// A zip file that verifies offline with `tallystick verify`. Waits for the checkpoint that covers it.
#[utoipa::path(
    get,
    path = "/v1/exports/{export}/bundle",
    tag = "exports",
    params(
        ("export" = String, Path, description = "The export's id"),
        ("Prefer" = Option<String>, Header, description = "`wait=<seconds>` for the checkpoint, at most 10"),
    ),
    responses(
        (status = 200, description = "The bundle", content_type = "application/zip"),
        (status = 404, description = "There is no such export here; make it again"),
        (status = 503, description = "`checkpoint_behind`")
    )
)]
pub async fn export_bundle(
    caller: Caller,
    Path(export): Path<String>,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    let service = &caller.service;
    let found = service.exports.all().into_iter().find(|kept| kept.id == export);
    let kept = found.ok_or_else(|| Problem::absent("export"))?;
    let wait = Preferences::read(&headers).wait.unwrap_or(CHECKPOINT_WAIT);
    let size_min = match &kept.begun {
        Making::Person(begun) => begun.size_min(),
        Making::Range(begun) => begun.size_min(),
    };
    let published = service.checkpoints.wait_for(size_min, wait).await.ok_or_else(behind)?;
    let body = match &kept.begun {
        Making::Person(begun) => Body::from(finish(&service.ledger, begun, &published.note).await?),
        Making::Range(_) => streamed(&service.ledger, Arc::clone(&kept), published.note.clone()),
    };
    let mut response = Response::new(body);
    let answer = response.headers_mut();
    answer.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/zip"));
    // The id is a UUID of our own: it needs no quoting rules.
    let disposition = HeaderValue::try_from(format!("attachment; filename=\"export-{}.zip\"", kept.id));
    answer.insert(header::CONTENT_DISPOSITION, disposition.map_err(Problem::internal)?);
    Ok(response)
}

/// The bundle of a range as it is made: a block is in memory at a time. What fails on the way ends the body before its end,
/// and a bundle without its end is none.
fn streamed(ledger: &Arc<Ledger>, kept: Arc<Kept>, checkpoint: String) -> Body {
    let (sink, blocks) = tokio::sync::mpsc::channel(BLOCKS_WAITING);
    let own = Arc::clone(ledger);
    ledger.tasks.spawn(async move {
        let Making::Range(begun) = &kept.begun else { return };
        if let Err(error) = finish_range(&own, begun, &checkpoint, &sink).await {
            let why = chain(&error);
            tracing::warn!(export = %kept.id, why, "an export ended before its end");
            // Nobody listens any more if this fails too.
            let _gone = sink.send(Err(std::io::Error::other(why))).await;
        }
    });
    Body::from_stream(futures_util::stream::unfold(blocks, |mut blocks| async {
        let block = blocks.recv().await?;
        Some((block, blocks))
    }))
}
