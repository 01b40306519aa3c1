//! Pages: `{items, next_cursor, has_more}` and a `Link` to the next page (RFC 8288). Order is always by position.
//!
//! A cursor names a ledger and a position; one of another ledger, or of no form of ours, is refused, never guessed at.

use axum::body::Body;
use axum::http::{HeaderValue, Response, Uri, header};
use serde_json::{Value, json};

use super::codes;
use super::error::Problem;
use super::request::Params;
use crate::domain::ids::LedgerId;

const LIMIT_DEFAULT: u64 = 100;
const LIMIT_MAX: u64 = 1_000;

/// What page is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// First position that may be on it.
    pub first: u64,
    /// Most items on it.
    pub limit: usize,
}

impl Page {
    /// Reads `cursor`, `after` and `limit`.
    ///
    /// # Errors
    /// `parameter_invalid`, `cursor_invalid`.
    pub fn read(params: &Params, ledger: LedgerId) -> Result<Page, Problem> {
        let limit = params.number("limit")?.unwrap_or(LIMIT_DEFAULT);
        if limit == 0 || limit > LIMIT_MAX {
            return Err(Problem::parameter("limit", "is from 1 to 1000"));
        }
        let after = params.number("after")?.map_or(0, |after| after.saturating_add(1));
        let first = match params.text("cursor") {
            Some(text) => cursor_read(text, ledger).ok_or_else(|| {
                Problem::new(codes::CURSOR_INVALID, "The cursor is not one that this ledger gave out.")
            })?,
            None => after,
        };
        Ok(Page { first, limit: usize::try_from(limit).unwrap_or(usize::MAX) })
    }
}

fn cursor_write(position: u64, ledger: LedgerId) -> String {
    let mut bytes = Vec::with_capacity(12);
    bytes.extend_from_slice(ledger.as_bytes().last_chunk::<4>().unwrap_or(&[0; 4]));
    bytes.extend_from_slice(&position.to_be_bytes());
    data_encoding::BASE64URL_NOPAD.encode(&bytes)
}

fn cursor_read(text: &str, ledger: LedgerId) -> Option<u64> {
    let bytes = data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
    let (tail, position) = bytes.split_at_checked(4)?;
    if tail != ledger.as_bytes().last_chunk::<4>()? {
        return None;
    }
    Some(u64::from_be_bytes(position.try_into().ok()?))
}

/// A page as an answer. `next` is the first position that may be on the next page; none ends the list.
pub fn page(uri: &Uri, items: Vec<Value>, next: Option<u64>, ledger: LedgerId) -> Response<Body> {
    let cursor = next.map(|position| cursor_write(position, ledger));
    let link = cursor.as_ref().and_then(|cursor| HeaderValue::try_from(link(uri, cursor)).ok());
    let body = json!({ "items": items, "next_cursor": cursor, "has_more": cursor.is_some() });
    let mut response = json_response(&body);
    if let Some(link) = link {
        response.headers_mut().insert(header::LINK, link);
    }
    response
}

fn link(uri: &Uri, cursor: &str) -> String {
    let kept = uri.query().unwrap_or_default().split('&');
    let kept = kept.filter(|pair| !pair.is_empty() && !pair.starts_with("cursor=") && !pair.starts_with("after="));
    let query: String = kept.flat_map(|pair| [pair, "&"]).collect();
    format!("<{}?{query}cursor={cursor}>; rel=\"next\"", uri.path())
}

/// A value as a JSON answer.
pub fn json_response(body: &impl serde::Serialize) -> Response<Body> {
    // Our own values always serialise.
    let bytes = serde_json::to_vec(body).unwrap_or_default();
    let mut response = Response::new(Body::from(bytes));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_own_ledger_only() {
        let ledger = LedgerId::from_bytes([7; 16]);
        let cursor = cursor_write(42, ledger);
        assert_eq!(cursor_read(&cursor, ledger), Some(42));
        assert_eq!(cursor_read(&cursor, LedgerId::from_bytes([8; 16])), None);
        for wrong in ["", "AAAA", "!", &cursor[1..]] {
            assert_eq!(cursor_read(wrong, ledger), None);
        }
    }

    #[test]
    fn the_link_keeps_the_filters_and_replaces_the_cursor() {
        let uri: Uri = "/v1/events?type=consent.granted&cursor=x&limit=2".parse().unwrap();
        assert_eq!(link(&uri, "y"), "</v1/events?type=consent.granted&limit=2&cursor=y>; rel=\"next\"");
    }
}
