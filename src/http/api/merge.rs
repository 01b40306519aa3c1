//! Saying that two subjects are one person, or are not. Reads take both from then on; no entry changes.

use axum::body::Body;
use axum::extract::{Path, Request};
use axum::http::{Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::subjects;
use crate::domain::ids::SubjectId;
use crate::http::codes;
use crate::http::error::Problem;
use crate::http::front::Caller;
use crate::http::paging::json_response;
use crate::http::request;
use crate::ingest::Receipt;
use crate::ingest::merge::{MergeError, MergeRequest};

impl From<MergeError> for Problem {
    fn from(error: MergeError) -> Problem {
        let told = error.to_string();
        match error {
            MergeError::Merged | MergeError::NotMerged | MergeError::Same | MergeError::TooMany => {
                Problem::new(codes::MERGE_REFUSED, sentence(&told))
            }
            MergeError::Busy => Problem::new(codes::EXPECT_FAILED, sentence(&told)),
            MergeError::Refused(why) => Problem::new(codes::REQUEST_INVALID, sentence(&why)),
            MergeError::Unknown(_) => Problem::absent("subject"),
            MergeError::Submit(source) => source.into(),
            MergeError::Read(source) => source.into(),
            MergeError::Index(source) => Problem::failed(&source),
        }
    }
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}

/// Two subjects that are one person, or are not.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubjectMerge {
    /// The other subject's id.
    #[schema(value_type = String)]
    pub other: SubjectId,
    /// To join: same_phone, same_email, same_ref, operator or person_said. To part: entered_in_error, operator or
    /// person_said.
    #[schema(example = "operator")]
    pub reason: String,
    /// Why, in words; sealed with each person.
    pub note: Option<String>,
    /// Position of the event whose identifier conflict this settles; to join only.
    pub conflict_position: Option<u64>,
}

async fn asked(caller: &Caller, subject: &str, request: Request) -> Result<MergeRequest, Problem> {
    let (parts, body) = request.into_parts();
    let merge: SubjectMerge = request::json(&parts.headers, body).await?;
    let ledger = &caller.service.ledger;
    let (subject, _) = subjects::known(ledger, subject)?;
    Ok(MergeRequest {
        subject,
        other: merge.other,
        reason: merge.reason,
        note: merge.note,
        conflict: merge.conflict_position,
        actor: caller.principal,
        now: request::now(&parts.headers, ledger)?,
    })
}

async fn answer(caller: &Caller, receipts: [Receipt; 2], subject: SubjectId) -> Result<Response<Body>, Problem> {
    let union = caller.service.ledger.union_of(&subject, crate::domain::time::Timestamp::MAX).await?;
    let entries: Vec<Value> = receipts
        .iter()
        .map(|receipt| json!({ "subject": receipt.subject, "position": receipt.position, "leaf": receipt.leaf.to_string() }))
        .collect();
    let mut response = json_response(&json!({ "subject": subject, "subjects": union, "entries": entries }));
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

/// Join two subjects
///
/// They are one person: consent, timeline and exports of either take both from now on. One entry in the history of each says
/// so; nothing that was recorded changes, and `known_at` before it reads them apart.
#[utoipa::path(
    post,
    path = "/v1/subjects/{subject}/merge",
    tag = "subjects",
    params(("subject" = String, Path, description = "Pseudonym")),
    request_body = SubjectMerge,
    responses(
        (status = 201, description = "`subjects` that are read together now, and the `entries`", body = serde_json::Value),
        (status = 404, description = "There is no such subject"),
        (status = 409, description = "`merge_refused`: joined already, or the same subject"),
        (status = 422, description = "`request_invalid`")
    )
)]
pub async fn subject_merge(
    caller: Caller,
    Path(subject): Path<String>,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let merge = asked(&caller, &subject, request).await?;
    let receipts = caller.service.ledger.subjects_merge(&merge).await?;
    answer(&caller, receipts, merge.subject).await
}

/// Part two subjects
///
/// They were joined by mistake: from now on they are read apart, as far as no third subject joins them.
#[utoipa::path(
    post,
    path = "/v1/subjects/{subject}/unmerge",
    tag = "subjects",
    params(("subject" = String, Path, description = "Pseudonym")),
    request_body = SubjectMerge,
    responses(
        (status = 201, description = "`subjects` that are still read together, and the `entries`", body = serde_json::Value),
        (status = 404, description = "There is no such subject"),
        (status = 409, description = "`merge_refused`: they are not joined with each other"),
        (status = 422, description = "`request_invalid`")
    )
)]
pub async fn subject_unmerge(
    caller: Caller,
    Path(subject): Path<String>,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let merge = asked(&caller, &subject, request).await?;
    if merge.conflict.is_some() {
        return Err(Problem::member("/conflict_position", "property_unknown", "is for joining only"));
    }
    let receipts = caller.service.ledger.subjects_unmerge(&merge).await?;
    answer(&caller, receipts, merge.subject).await
}
