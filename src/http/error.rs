//! From inner errors to RFC 9457 problems: the one place that decides what a client is told.
//!
//! Promises: every refusal is `application/problem+json` with a stable `code`, the places that are wrong as JSON pointers,
//! and the request's id; no problem repeats a value of the request or an inner error's text. What the operator needs is
//! logged under the same request id. `detail` is always a sentence, because automations show that member alone.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use serde::Serialize;

use super::codes::{self, Code};
use crate::ingest::SubmitError;
use crate::ingest::forms::FormError;
use crate::ingest::proofs::ProofReadError;
use crate::ingest::quarantine::QuarantineError;
use crate::ingest::read::ReadError;
use crate::schema::FieldProblem;
use crate::store::{StoreError, no_connection};

/// Base of problem type URIs; each code has an anchor in `ops/errors.md`.
const TYPE_BASE: &str = "https://tallystick.local/problems/";
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// A refusal on its way to the client. Boxed: handlers carry it in every result and nearly never need it.
#[derive(Debug, Clone)]
pub struct Problem(Box<Occurrence>);

/// What a refusal says.
#[derive(Debug, Clone)]
pub struct Occurrence {
    /// Which kind.
    pub code: Code,
    /// The kind's name where an event's own code is more precise than the request's.
    pub name: &'static str,
    /// A sentence about this occurrence.
    pub detail: String,
    /// Places that are wrong.
    pub errors: Vec<FieldProblem>,
    /// Receipt of the quarantined event.
    pub quarantine: Option<QuarantineReceipt>,
    /// Seconds after which trying again may help.
    pub retry_after: Option<u32>,
    /// What the operator reads in the log; never sent.
    pub internal: Option<String>,
}

/// Where a quarantined event is kept.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct QuarantineReceipt {
    /// Id of the item.
    pub item: String,
    /// Position of its `quarantine.received`: the id under `/v1/quarantine/`.
    pub position: u64,
    /// Leaf hash of that entry.
    pub leaf: String,
    /// When it was received.
    pub recorded: String,
}

impl std::ops::Deref for Problem {
    type Target = Occurrence;

    fn deref(&self) -> &Occurrence {
        &self.0
    }
}

impl std::ops::DerefMut for Problem {
    fn deref_mut(&mut self) -> &mut Occurrence {
        &mut self.0
    }
}

impl Problem {
    /// A problem of a kind, with a sentence about this occurrence.
    pub fn new(code: Code, detail: impl Into<String>) -> Problem {
        Problem(Box::new(Occurrence {
            code,
            name: code.name,
            detail: detail.into(),
            errors: Vec::new(),
            quarantine: None,
            retry_after: (code.status == StatusCode::SERVICE_UNAVAILABLE).then_some(1),
            internal: None,
        }))
    }

    /// The same with a reason for the operator.
    pub fn because(mut self, why: impl std::fmt::Display) -> Problem {
        self.internal = Some(why.to_string());
        self
    }

    /// A parameter that cannot be read; `name` is our own word, never the client's.
    pub fn parameter(name: &str, what: &str) -> Problem {
        Problem::new(codes::PARAMETER_INVALID, format!("The parameter {name} {what}."))
    }

    /// A member of a JSON request that is not valid.
    pub fn member(pointer: &str, code: &'static str, detail: &str) -> Problem {
        let mut problem =
            Problem::new(codes::REQUEST_INVALID, format!("The request is not valid at {pointer}: {detail}."));
        problem.errors.push(FieldProblem { pointer: pointer.to_owned(), code, detail: detail.to_owned() });
        problem
    }

    /// There is nothing at this address.
    pub fn absent(what: &str) -> Problem {
        Problem::new(codes::NOT_FOUND, format!("There is no such {what}."))
    }

    /// The service failed; `why` goes to the log only.
    pub fn internal(why: impl std::fmt::Display) -> Problem {
        let detail = "The service could not answer this request; the operator finds the reason under the request id.";
        Problem::new(codes::INTERNAL, detail).because(why)
    }

    /// Something beneath failed: the caller may ask again if only no connection came free in time, else the service failed.
    pub fn failed(error: &(dyn std::error::Error + 'static)) -> Problem {
        if !no_connection(error) {
            return Problem::internal(chain(error));
        }
        let detail = "Every connection to the store was in use for too long. Whether anything of this request was recorded is unknown: send \
                      it again with the same ids.";
        let mut problem = Problem::new(codes::STORE_BUSY, detail).because(chain(error));
        problem.retry_after = Some(2);
        problem
    }

    /// The body, with the request's id.
    pub fn to_json(&self, request_id: &str) -> Vec<u8> {
        #[derive(Serialize)]
        struct Error<'a> {
            pointer: String,
            code: &'a str,
            detail: &'a str,
        }
        #[derive(Serialize)]
        struct Body<'a> {
            detail: &'a str,
            r#type: String,
            title: &'a str,
            status: u16,
            code: &'a str,
            instance: String,
            request_id: &'a str,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            errors: Vec<Error<'a>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            quarantine: Option<&'a QuarantineReceipt>,
        }
        let body = Body {
            detail: &self.detail,
            r#type: format!("{TYPE_BASE}{}", self.name),
            title: self.code.title,
            status: self.code.status.as_u16(),
            code: self.name,
            instance: format!("urn:tallystick:request:{request_id}"),
            request_id,
            errors: self.errors.iter().map(error).collect(),
            quarantine: self.quarantine.as_ref(),
        };
        fn error(found: &FieldProblem) -> Error<'_> {
            Error { pointer: fragment(&found.pointer), code: found.code, detail: &found.detail }
        }
        // Strings and numbers always serialise; an empty body would still carry the status.
        serde_json::to_vec(&body).unwrap_or_default()
    }

    /// The answer, once the request's id is known.
    pub fn respond(&self, request_id: &str) -> Response<Body> {
        let mut response = Response::new(Body::from(self.to_json(request_id)));
        *response.status_mut() = self.code.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, PROBLEM_JSON);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.code == codes::UNAUTHENTICATED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"tallystick\""));
        }
        response
    }
}

/// A pointer as RFC 9457 section 3 shows it: a URI fragment (RFC 6901 section 6).
pub fn fragment(pointer: &str) -> String {
    let mut out = String::with_capacity(pointer.len() + 1);
    out.push('#');
    for byte in pointer.bytes() {
        if byte.is_ascii_alphanumeric() || b"/~-._!$&'()*+,;=:@?".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&data_encoding::HEXUPPER.encode(&[byte]));
        }
    }
    out
}

impl IntoResponse for Problem {
    /// Leaves the body to the outermost layer, which knows the request's id.
    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.code.status;
        response.extensions_mut().insert(std::sync::Arc::new(self));
        response
    }
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Problem {
        let (code, detail, retry_after) = match &error {
            SubmitError::QueueFull => {
                (codes::QUEUE_FULL, "Nothing of this request was recorded; send it again.", Some(1))
            }
            SubmitError::Stopping => {
                (codes::STOPPING, "The service is stopping; send the request again with the same event ids.", Some(2))
            }
            SubmitError::ReadOnly(_) => (
                codes::READ_ONLY,
                "The store takes no writes at the moment. Whether this request was recorded is unknown: send it again with the \
                 same event ids, copies are recognised.",
                Some(2),
            ),
            SubmitError::NotLeader => {
                (codes::NOT_LEADER, "Another server appends to this ledger; send the request there.", Some(1))
            }
            SubmitError::ClockBehind => {
                (codes::CLOCK_BEHIND, "The server's clock is more than 2 seconds behind the last entry.", Some(5))
            }
            SubmitError::ClockJump => (
                codes::CLOCK_JUMP,
                "The server's clock jumped ahead by more than an hour; an admin has to confirm it first.",
                Some(60),
            ),
            SubmitError::Clock(_) => {
                (codes::NOW_BEHIND, "Tallystick-Now is behind the last entry of this ledger.", None)
            }
        };
        let mut problem = Problem::new(code, detail).because(&error);
        problem.retry_after = retry_after;
        problem
    }
}

impl From<FormError> for Problem {
    fn from(error: FormError) -> Problem {
        match error {
            FormError::NotJson => {
                Problem::new(codes::NOT_JSON, "The body is not JSON, or is cut short; nothing of it was kept.")
            }
            FormError::NotAnEvent => Problem::new(
                codes::NOT_AN_EVENT,
                "The body is JSON but neither an event nor a list of events; nothing of it was kept.",
            ),
            FormError::UnknownContentType => Problem::new(
                codes::UNKNOWN_CONTENT_TYPE,
                "Send application/json, application/cloudevents+json, application/cloudevents-batch+json, \
                 application/x-ndjson, or ce- headers.",
            ),
            FormError::BadHeader => {
                Problem::new(codes::HEADER_INVALID, "The value of a ce- header holds a control character.")
            }
        }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Problem {
        match error {
            ReadError::Absent(_) => Problem::absent("entry"),
            ReadError::Store(source) => source.into(),
            ReadError::Keys(_) | ReadError::Entry { .. } | ReadError::Part { .. } => Problem::failed(&error),
        }
    }
}

impl From<ProofReadError> for Problem {
    fn from(error: ProofReadError) -> Problem {
        match error {
            ProofReadError::Read(source) => source.into(),
            ProofReadError::Store(source) => source.into(),
            ProofReadError::Tree(_) => Problem::failed(&error),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        Problem::failed(&error)
    }
}

impl From<QuarantineError> for Problem {
    fn from(error: QuarantineError) -> Problem {
        match error {
            QuarantineError::NotAnItem(_) => Problem::absent("item in quarantine"),
            QuarantineError::Gone(_) => {
                Problem::new(codes::GONE, "The bytes of this item were discarded, or their time is over.")
            }
            QuarantineError::Read(source) => source.into(),
            QuarantineError::Submit(source) => source.into(),
            QuarantineError::Store(source) => source.into(),
        }
    }
}

/// An error with its sources, for the log.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_code_pointer_and_request_and_nothing_internal() {
        let problem = Problem::member("/data/a b", "too_long", "at most 8 characters").because("secret reason");
        let json: serde_json::Value = serde_json::from_slice(&problem.to_json("r-1")).unwrap();
        assert_eq!(json["code"], "request_invalid");
        assert_eq!(json["errors"][0]["pointer"], "#/data/a%20b");
        assert_eq!(json["request_id"], "r-1");
        assert!(!json.to_string().contains("secret"));
    }

    #[test]
    fn codes_are_unique_and_snake_case() {
        let mut names: Vec<&str> = codes::ALL.iter().map(|code| code.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        for name in names.iter().chain(codes::OF_EVENTS) {
            assert!(
                name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit()),
                "{name}"
            );
        }
    }
}
