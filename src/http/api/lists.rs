//! Lists of numbers and addresses: taken in as a stream, shown with their age.

use std::io::{self, Read};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{Response, StatusCode, header};
use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use crate::domain::list::List;
use crate::domain::time::{MICROS_PER_DAY, Timestamp};
use crate::http::codes;
use crate::http::error::{Problem, chain};
use crate::http::front::Caller;
use crate::http::paging::json_response;
use crate::http::request::{self, Params};
use crate::ingest::lists::{BadLine, ListImport, ListImportError, ListImported, ListVersion, PARAMETERS};
use crate::schema::FieldProblem;

/// Pieces of a body that wait to be read.
const PIECES: usize = 16;
/// Longest file: the whole registry is a fiftieth of it.
const BYTES_MAX: u64 = 16 << 30;

impl From<ListImportError> for Problem {
    fn from(error: ListImportError) -> Problem {
        let refused = |detail: &str| Problem::new(codes::LIST_REFUSED, detail);
        match error {
            ListImportError::Lines { rejected, bad } => {
                let detail =
                    format!("{rejected} lines cannot be read, and nothing of the file counts; errors names the first.");
                let mut problem = Problem::new(codes::LIST_LINE_INVALID, detail);
                problem.errors = bad.iter().map(line_problem).collect();
                problem
            }
            ListImportError::File(error) => {
                Problem::new(codes::LIST_UNREADABLE, sentence(&error)).because(chain(&error))
            }
            ListImportError::Answers | ListImportError::Empty => Problem::new(codes::LIST_UNREADABLE, sentence(&error)),
            ListImportError::Future => Problem::parameter("as_of", "is a day that has not begun"),
            ListImportError::NoBase => {
                refused("There is no copy of this list yet that the file could change: send a full one.")
            }
            ListImportError::Older => refused("A copy of a later day is here already, and stays the one that counts."),
            ListImportError::Shrunk { before, after } => refused(&format!(
                "The copy holds {after} entries and the one before {before}: if it is whole, send it with may_shrink=true."
            )),
            ListImportError::Missing { .. } => {
                Problem::new(codes::LIST_MISSING, "A list that counts cannot be asked; nothing was answered.")
                    .because(chain(&error))
            }
            ListImportError::Submit(error) => error.into(),
            ListImportError::Cut => {
                Problem::new(codes::STOPPING, "The service is stopping; nothing of the list counts.")
            }
            ListImportError::Read(_) | ListImportError::Store(_) | ListImportError::Write(_) => Problem::failed(&error),
        }
    }
}

fn sentence(error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).chain(['.']).collect()
}

fn line_problem(bad: &BadLine) -> FieldProblem {
    FieldProblem { pointer: format!("/{}", bad.line), code: "list_line_invalid", detail: bad.what.clone() }
}

/// Lists and how old they are
///
/// Every version that was taken in, newest first; `current` are those that the gate asks today. A copy of the national registry
/// is of use for 31 days: `stale_at` says until when.
#[utoipa::path(
    get,
    path = "/v1/lists",
    tag = "decisions",
    responses((status = 200, description = "`items`: versions; `has_more` is false", body = serde_json::Value))
)]
pub async fn lists_read(caller: Caller, params: Params) -> Result<Response<Body>, Problem> {
    params.only(&[])?;
    let ledger = &caller.service.ledger;
    let versions = ledger.list_versions().await?;
    Ok(json_response(&versions_view(&versions, ledger.now())))
}

/// The versions as a document.
pub fn versions_view(versions: &[Arc<ListVersion>], now: Timestamp) -> Value {
    let newer = |one: &ListVersion, other: &ListVersion| {
        one.list == other.list && (one.as_of, one.position) > (other.as_of, other.position)
    };
    let items: Vec<Value> = versions
        .iter()
        .rev()
        .map(|version| {
            let mut item: Map<String, Value> = version.data.clone();
            let mut put = |name: &str, value: Value| item.insert(name.to_owned(), value);
            put("list", json!(version.list.to_string()));
            put("position", json!(version.position));
            put("recorded", json!(version.recorded));
            put("current", json!(!versions.iter().any(|other| newer(other, version))));
            put("age_days", json!(now.micros_since(version.as_of).div_euclid(MICROS_PER_DAY)));
            if version.list == List::Ndnc {
                // The age at which the pack's rule of 31 days refuses, compliance 8.1 item 12.
                put("stale_at", json!(version.as_of.checked_add_days(31)));
            }
            Value::Object(item)
        })
        .collect();
    json!({ "items": items, "next_cursor": null, "has_more": false })
}

/// Take in a list
///
/// The body is the file itself: lines of text as the registry, a state, a vendor or the deletion platform gives them, with or
/// without a header; of any size, read as it comes. Nothing counts before all of it is in; a file with lines that cannot be
/// read is refused and they are named, unless `rejected_max` allows for them. Of the national registry, numbers under area
/// codes that do not occur in the copy are treated as not checked: state `area_codes` to say what it covers.
/// Answers of the reassigned numbers database (`rnd`: phone, date, answer) become events of the people they are about.
#[utoipa::path(
    post,
    path = "/v1/lists",
    tag = "decisions",
    params(
        ("list" = String, Query, description = "`ndnc`, `state:XX`, `rnd`, `litigator`, `internal`, `drop:phone`, `drop:email`"),
        ("as_of" = String, Query, description = "Day of the copy at its source"),
        ("kind" = Option<String>, Query, description = "`full` (if absent), `changes` or `removals`"),
        ("accessed_at" = Option<String>, Query, description = "When it was obtained"),
        ("area_codes" = Option<String>, Query, description = "Of `ndnc`: `all`, or codes with commas; if absent, those that occur"),
        ("san" = Option<String>, Query, description = "Subscription account number"),
        ("campaign" = Option<String>, Query, description = "Campaign that it was obtained for"),
        ("vendor" = Option<String>, Query, description = "Where it came from"),
        ("rejected_max" = Option<u64>, Query, description = "Lines that may be unreadable; 0 if absent"),
        ("may_shrink" = Option<bool>, Query, description = "It may hold less than half of the copy before"),
        ("Tallystick-Now" = Option<String>, Header, description = "The caller's clock, on a scratch ledger")
    ),
    request_body(content = String, description = "The file", content_type = "text/csv"),
    responses(
        (status = 201, description = "What was recorded, and its position", body = serde_json::Value),
        (status = 409, description = "`list_refused`: an older copy, a change without a copy, a copy cut short"),
        (status = 422, description = "`list_line_invalid`, `list_unreadable`; nothing of the file counts")
    )
)]
pub async fn list_import(caller: Caller, params: Params, request: Request) -> Result<Response<Body>, Problem> {
    let (parts, body) = request.into_parts();
    let params = params.only(&PARAMETERS)?;
    if parts.headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return Err(Problem::new(codes::ENCODING_UNSUPPORTED, "Send the file without content encoding."));
    }
    let import = ListImport::read(|name| params.text(name)).map_err(|(name, what)| Problem::parameter(name, &what))?;
    let ledger = Arc::clone(&caller.service.ledger);
    let now = request::now(&parts.headers, &ledger)?;
    let (pieces, source) = pieces();
    let work = async move { ledger.list_import(import, source, caller.principal, now).await };
    let (_, done) = tokio::join!(pump(body, pieces), super::retention::owned(&caller.service.ledger, work));
    let mut response = json_response(&imported_view(&done?));
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

/// What an import did, as a document.
pub fn imported_view(done: &ListImported) -> Value {
    let mut view = done.data.clone();
    if let Value::Object(view) = &mut view {
        let mut put = |name: &str, value: Value| view.insert(name.to_owned(), value);
        put("position", json!(done.receipt.position));
        put("rows", json!(done.rows));
        let bad: Vec<Value> = done.bad.iter().map(|bad| json!({ "line": bad.line, "what": bad.what })).collect();
        if !bad.is_empty() {
            put("rejected_lines", json!(bad));
        }
        if view.get("list") == Some(&json!("rnd")) {
            let [recorded, duplicate, quarantined] = done.answers;
            let answers = json!({ "recorded": recorded, "duplicate": duplicate, "quarantined": quarantined });
            view.insert("answers".to_owned(), answers);
        }
    }
    view
}

/// A body on its way to a reader that blocks. The end is said: a connection that breaks off is never a file's end.
enum Piece {
    Bytes(Bytes),
    End,
}

struct Pieces {
    pieces: mpsc::Receiver<Piece>,
    current: Bytes,
    ended: bool,
}

fn pieces() -> (mpsc::Sender<Piece>, Pieces) {
    let (sender, receiver) = mpsc::channel(PIECES);
    (sender, Pieces { pieces: receiver, current: Bytes::new(), ended: false })
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.ended {
            match self.pieces.blocking_recv() {
                Some(Piece::Bytes(bytes)) => self.current = bytes,
                Some(Piece::End) => self.ended = true,
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        let length = self.current.len().min(buffer.len());
        if let Some(part) = buffer.get_mut(..length) {
            self.current.copy_to_slice(part);
        }
        Ok(length)
    }
}

/// Reads the body to its end, also when nobody wants the rest any more: a client that is still sending would not see the answer.
async fn pump(mut body: Body, pieces: mpsc::Sender<Piece>) {
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return };
        let Ok(bytes) = frame.into_data() else { continue };
        read += bytes.len() as u64;
        if read > BYTES_MAX {
            return;
        }
        // A reader that is gone has its answer already.
        let _gone = pieces.send(Piece::Bytes(bytes)).await;
    }
    let _gone = pieces.send(Piece::End).await;
}
