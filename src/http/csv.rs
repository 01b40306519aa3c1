//! CSV answers; the rows themselves are those of exports.

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};

pub use crate::exports::csv::{Cell, row};

/// A table as an answer.
pub fn table(columns: &[&str], rows: &[Vec<Cell>]) -> Response<Body> {
    let mut response = Response::new(Body::from(crate::exports::csv::table(columns, rows)));
    let media = HeaderValue::from_static("text/csv; charset=utf-8; header=present");
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    response
}
