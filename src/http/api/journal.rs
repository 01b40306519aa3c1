//! The journal as text that a bookkeeper's program reads and checks.

use std::io;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Response, header};
use futures_util::stream::try_unfold;

use super::views::caught_up;
use crate::exports::accounting::Dialect;
use crate::exports::journal_text::{JournalError, JournalText};
use crate::http::error::{Problem, chain};
use crate::http::front::Caller;
use crate::http::request::Params;

impl From<JournalError> for Problem {
    fn from(error: JournalError) -> Problem {
        match error {
            JournalError::Store(source) => source.into(),
            JournalError::Absent | JournalError::Entry(_) | JournalError::Line(_) => Problem::failed(&error),
        }
    }
}

/// The journal
///
/// Every event that moved money as a balanced transaction with its entry and leaf hash, and at the end every balance asserted:
/// `hledger check` or `bean-check` then checks this ledger's sums. Streamed; a text without its last lines was cut off.
#[utoipa::path(
    get,
    path = "/v1/views/journal",
    tag = "views",
    params(
        ("format" = Option<String>, Query, description = "`hledger` (if absent) or `beancount`"),
        ("after" = Option<u64>, Query, description = "Wait until the view has seen this position"),
    ),
    responses(
        (status = 200, description = "The journal", content_type = "text/plain"),
        (status = 503, description = "`projection_behind`")
    )
)]
pub async fn view_journal(caller: Caller, params: Params, headers: HeaderMap) -> Result<Response<Body>, Problem> {
    let params = params.only(&["format", "after"])?;
    let dialect = Dialect::from_name(params.text("format").unwrap_or("hledger"));
    let dialect = dialect.ok_or_else(|| Problem::parameter("format", "is hledger or beancount"))?;
    caught_up(&caller, &params, &headers).await?;
    let journal = JournalText::begin(caller.service.ledger.store(), dialect).await?;
    let pieces = try_unfold(journal, async |mut journal| {
        let piece = journal.next().await.map_err(|error| {
            tracing::error!(reason = %chain(&error), "http.journal ended");
            io::Error::other("the journal cannot be read further")
        })?;
        Ok::<_, io::Error>(piece.map(|text| (Bytes::from(text), journal)))
    });
    let mut response = Response::new(Body::from_stream(pieces));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    Ok(response)
}
