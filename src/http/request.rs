//! Reading requests: bodies within their limit, parameters by name, preferences, the caller's clock.
//!
//! Every reader here answers with a problem that names the parameter and never its value. A parameter that a route does not
//! know is refused: a filter misspelt and ignored would answer another question than the one asked.

use std::time::Duration;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::extract::Query;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::codes;
use super::error::Problem;
use crate::domain::time::Timestamp;
use crate::ingest::Ledger;

/// Body of every request but posted events.
pub const SMALL_BODY_BYTES: usize = 256 << 10;
/// Longest wait that `Prefer: wait=` may ask for.
const WAIT_SECONDS_MAX: u64 = 10;
const NOW: &str = "tallystick-now";

/// Reads a body to its end.
///
/// # Errors
/// `body_too_large`, `body_unreadable`, `encoding_unsupported`.
pub async fn body(headers: &HeaderMap, body: Body, bytes_max: usize) -> Result<Bytes, Problem> {
    let too_large =
        || Problem::new(codes::BODY_TOO_LARGE, format!("A body of at most {bytes_max} bytes is taken here."));
    if headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return Err(Problem::new(codes::ENCODING_UNSUPPORTED, "Send the body without content encoding."));
    }
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > bytes_max as u64) {
        return Err(too_large());
    }
    match Limited::new(body, bytes_max).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(error) => {
            Err(Problem::new(codes::BODY_UNREADABLE, "The body ended early; nothing of it was kept.").because(error))
        }
    }
}

/// Reads a small JSON body.
///
/// # Errors
/// As [`body`]; `not_json`, or `request_invalid` when it is JSON of another form.
pub async fn json<T: serde::de::DeserializeOwned>(headers: &HeaderMap, content: Body) -> Result<T, Problem> {
    let bytes = body(headers, content, SMALL_BODY_BYTES).await?;
    serde_json::from_slice(&bytes).map_err(|error| {
        if error.is_data() {
            // The reader's text may repeat values; the place is enough.
            let place = format!("line {} column {}", error.line(), error.column());
            Problem::new(
                codes::REQUEST_INVALID,
                format!("The request does not have the form of this route, near {place}."),
            )
        } else {
            Problem::new(codes::NOT_JSON, "The body is not JSON.")
        }
    })
}

/// The query's parameters.
#[derive(Debug)]
pub struct Params(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Params, Problem> {
        if parts.uri.query().is_none() {
            return Ok(Params(Vec::new()));
        }
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|_| Problem::new(codes::PARAMETER_INVALID, "The query is not percent-encoded UTF-8."))?;
        Ok(Params(pairs.0))
    }
}

impl Params {
    /// Refuses parameters that the route does not know, and ones given twice.
    ///
    /// # Errors
    /// `parameter_invalid`.
    pub fn only(self, known: &[&str]) -> Result<Params, Problem> {
        for (at, (name, _)) in self.0.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let list = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                let detail = format!("The route does not know one of the parameters; it knows: {list}.");
                return Err(Problem::new(codes::PARAMETER_INVALID, detail));
            }
            if self.0.iter().take(at).any(|(before, _)| before == name) {
                return Err(Problem::parameter(name, "is given twice"));
            }
        }
        Ok(self)
    }

    /// A parameter's text; an empty one counts as absent.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// Whether a flag stands in the query: `?flag`, `?flag=true`, `?flag=1`.
    ///
    /// # Errors
    /// `parameter_invalid` for another value.
    pub fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str()) {
            None | Some("false" | "0") => Ok(false),
            Some("" | "true" | "1") => Ok(true),
            Some(_) => Err(Problem::parameter(name, "is true or false")),
        }
    }

    /// A position or count.
    ///
    /// # Errors
    /// `parameter_invalid`.
    pub fn number(&self, name: &str) -> Result<Option<u64>, Problem> {
        let parse = |text: &str| text.parse().map_err(|_| Problem::parameter(name, "is a whole number from 0"));
        self.text(name).map(parse).transpose()
    }

    /// A time.
    ///
    /// # Errors
    /// `parameter_invalid`.
    pub fn time(&self, name: &str) -> Result<Option<Timestamp>, Problem> {
        let parse = |text: &str| {
            Timestamp::parse_rfc3339(text)
                .map_err(|_| Problem::parameter(name, "is an RFC 3339 time, such as 2026-11-03T16:40:00Z"))
        };
        self.text(name).map(parse).transpose()
    }
}

/// What a client prefers (RFC 7240), as far as this service knows it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Preferences {
    /// `handling=strict`.
    pub strict: bool,
    /// `wait=<seconds>`, at most 10.
    pub wait: Option<Duration>,
}

impl Preferences {
    /// Reads all `Prefer` headers; unknown preferences are ignored, as the standard asks.
    pub fn read(headers: &HeaderMap) -> Preferences {
        let mut preferences = Preferences::default();
        for value in headers.get_all("prefer") {
            for item in value.to_str().unwrap_or_default().split([',', ';']) {
                let (name, value) = item.split_once('=').unwrap_or((item, ""));
                match (name.trim().to_ascii_lowercase().as_str(), value.trim().trim_matches('"')) {
                    ("handling", handling) => preferences.strict = handling.eq_ignore_ascii_case("strict"),
                    ("wait", seconds) => {
                        let seconds = seconds.parse::<u64>().ok().map(|seconds| seconds.min(WAIT_SECONDS_MAX));
                        preferences.wait = seconds.map(Duration::from_secs);
                    }
                    _ => {}
                }
            }
        }
        preferences
    }
}

/// The caller's clock, on a scratch ledger.
///
/// # Errors
/// `now_not_allowed` on other ledgers, `now_invalid`.
pub fn now(headers: &HeaderMap, ledger: &Ledger) -> Result<Option<Timestamp>, Problem> {
    let Some(value) = headers.get(NOW) else { return Ok(None) };
    if !ledger.scratch {
        let detail = "Only a scratch ledger takes its clock from the header Tallystick-Now.";
        return Err(Problem::new(codes::NOW_NOT_ALLOWED, detail));
    }
    let parsed = value.to_str().ok().and_then(|text| Timestamp::parse_rfc3339(text).ok());
    let invalid =
        || Problem::new(codes::NOW_INVALID, "Tallystick-Now is an RFC 3339 time, such as 2026-11-03T16:40:00Z.");
    parsed.map(Some).ok_or_else(invalid)
}

/// A position in a path.
///
/// # Errors
/// `not_found`: an address with anything else names nothing.
pub fn position(text: &str) -> Result<u64, Problem> {
    let canonical = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| canonical).ok_or_else(|| Problem::absent("entry"))
}

/// Whether a client asks for CSV before JSON. A client that names both, or neither, gets JSON.
pub fn wants_csv(headers: &HeaderMap) -> bool {
    wants(headers, "text/csv")
}

/// Whether a client asks for PDF before JSON. A client that names both, or neither, gets JSON.
pub fn wants_pdf(headers: &HeaderMap) -> bool {
    wants(headers, "application/pdf")
}

fn wants(headers: &HeaderMap, asked: &str) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let accepts =
        |media: &str| accepted.split(',').any(|item| item.split(';').next().unwrap_or_default().trim() == media);
    accepts(asked) && !accepts("application/json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn preferences_are_read_across_headers_and_capped() {
        let mut headers = HeaderMap::new();
        headers.append("prefer", HeaderValue::from_static("handling=strict, wait=60"));
        headers.append("prefer", HeaderValue::from_static("respond-async"));
        let read = Preferences::read(&headers);
        assert_eq!(read, Preferences { strict: true, wait: Some(Duration::from_secs(10)) });
        assert_eq!(Preferences::read(&HeaderMap::new()), Preferences::default());
    }

    #[test]
    fn csv_only_when_it_is_what_is_asked_for() {
        let headers = |accept: &'static str| HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
        assert!(wants_csv(&headers("text/csv")));
        assert!(wants_csv(&headers("text/csv;q=0.9, */*")));
        assert!(!wants_csv(&headers("application/json, text/csv")));
        assert!(!wants_csv(&headers("*/*")));
        assert!(!wants_csv(&HeaderMap::new()));
    }

    #[test]
    fn parameters_unknown_or_given_twice_are_refused() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert!(Params(vec![pair("after", "1")]).only(&["after"]).is_ok());
        assert!(Params(vec![pair("aftr", "1")]).only(&["after"]).is_err());
        assert!(Params(vec![pair("after", "1"), pair("after", "2")]).only(&["after"]).is_err());
        assert!(Params(vec![pair("after", "-1")]).number("after").is_err());
        assert!(Params(vec![pair("dry_run", "")]).flag("dry_run").unwrap());
    }

    #[test]
    fn positions_have_one_spelling() {
        assert_eq!(position("7").unwrap(), 7);
        for wrong in ["", "+7", "-1", "7a", "18446744073709551616"] {
            assert!(position(wrong).is_err(), "{wrong}");
        }
    }
}
