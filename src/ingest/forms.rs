//! The forms in which events arrive: CloudEvents structured, batch and binary, plain JSON, NDJSON.
//!
//! All become [`Received`] events whose bytes are what was sent, because those bytes are sealed as the raw part. A binary
//! event is kept as its header lines, an empty line and the body.

use bytes::Bytes;
use serde_json::value::RawValue;

/// One event as received.
#[derive(Debug, Clone)]
pub struct Received {
    /// A JSON object, or header lines, an empty line and the body.
    pub raw: Bytes,
}

/// A request's events and how to answer.
#[derive(Debug)]
pub struct Forms {
    /// The events in order.
    pub events: Vec<Received>,
    /// Whether the request was a list, so that the answer is one too.
    pub list: bool,
}

/// Why a body holds no events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// Not JSON at all, or cut short.
    #[error("the body is not JSON")]
    NotJson,
    /// JSON, but neither an object nor an array of events.
    #[error("the body is neither an event nor a list of events")]
    NotAnEvent,
    /// A media type this service does not read.
    #[error("the content type is not one that carries events")]
    UnknownContentType,
    /// A header value that is not percent-encoded UTF-8.
    #[error("a ce- header is not percent-encoded UTF-8")]
    BadHeader,
}

/// Reads the events of a request. `headers` are the request's, names in lower case.
///
/// # Errors
/// [`FormError`]; nothing of such a body is kept.
pub fn read(headers: &[(&str, &[u8])], body: Bytes) -> Result<Forms, FormError> {
    let content_type = headers
        .iter()
        .find(|(name, _)| *name == "content-type")
        .map_or(Ok("application/json"), |(_, value)| std::str::from_utf8(value))
        .map_err(|_| FormError::UnknownContentType)?;
    let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    // The batch type first: the structured type's name is a prefix of it.
    match media.as_str() {
        "application/cloudevents-batch+json" => list(body),
        "application/cloudevents+json" => one(body),
        _ if headers.iter().any(|(name, _)| name.starts_with("ce-")) => binary(headers, body),
        "application/x-ndjson" | "application/jsonl" | "application/ndjson" | "application/json-lines" => {
            Ok(lines(&body))
        }
        "application/json" | "text/json" | "" => match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'[') => list(body),
            _ => one(body),
        },
        _ => Err(FormError::UnknownContentType),
    }
}

fn one(body: Bytes) -> Result<Forms, FormError> {
    let text = std::str::from_utf8(&body).map_err(|_| FormError::NotJson)?;
    let value: &RawValue = serde_json::from_str(text).map_err(|_| FormError::NotJson)?;
    if !value.get().starts_with('{') {
        return Err(FormError::NotAnEvent);
    }
    let raw = body.slice_ref(value.get().as_bytes());
    Ok(Forms { events: vec![Received { raw }], list: false })
}

fn list(body: Bytes) -> Result<Forms, FormError> {
    let text = std::str::from_utf8(&body).map_err(|_| FormError::NotJson)?;
    let values: Vec<&RawValue> = serde_json::from_str(text)
        .map_err(|error| if error.is_data() { FormError::NotAnEvent } else { FormError::NotJson })?;
    let events = values.iter().map(|value| Received { raw: body.slice_ref(value.get().as_bytes()) }).collect();
    Ok(Forms { events, list: true })
}

/// One event a line; a line that is not JSON becomes an item of its own, so that the others are not lost with it.
fn lines(body: &Bytes) -> Forms {
    let events = body
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty())
        .map(|line| Received { raw: body.slice_ref(line) })
        .collect();
    Forms { events, list: true }
}

fn binary(headers: &[(&str, &[u8])], body: Bytes) -> Result<Forms, FormError> {
    let mut raw = Vec::with_capacity(256 + body.len());
    for (name, value) in headers {
        if name.starts_with("ce-") || *name == "content-type" {
            if value.iter().any(|byte| *byte < b' ' && *byte != b'\t') {
                return Err(FormError::BadHeader);
            }
            raw.extend_from_slice(name.as_bytes());
            raw.extend_from_slice(b": ");
            raw.extend_from_slice(value);
            raw.extend_from_slice(b"\r\n");
        }
    }
    raw.extend_from_slice(b"\r\n");
    raw.extend_from_slice(&body);
    Ok(Forms { events: vec![Received { raw: raw.into() }], list: false })
}

/// A `ce-` header's value: percent-encoded UTF-8, optionally in double quotes (CloudEvents HTTP binding 3.1.3.2). Decoded
/// exactly once.
pub(super) fn header_value(value: &[u8]) -> Option<String> {
    let value = value.trim_ascii();
    let value = match value {
        [b'"', inner @ .., b'"'] => inner,
        other => other,
    };
    let mut decoded = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'%', [high, low, tail @ ..]) => {
                let digits = [*high, *low];
                let hex = std::str::from_utf8(&digits).ok()?;
                decoded.push(u8::from_str_radix(hex, 16).ok()?);
                rest = tail;
            }
            (b'%', _) => return None,
            (b'\\', [escaped, tail @ ..]) => {
                decoded.push(*escaped);
                rest = tail;
            }
            (other, _) => decoded.push(other),
        }
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_not_taken_for_a_structured_event() {
        let headers: &[(&str, &[u8])] = &[("content-type", b"application/cloudevents-batch+json; charset=utf-8")];
        let forms = read(headers, Bytes::from_static(b" [ {\"id\":\"a\"} , {\"id\":\"b\"}] ")).unwrap();
        assert!(forms.list);
        assert_eq!(
            forms.events.iter().map(|event| event.raw.clone()).collect::<Vec<_>>(),
            ["{\"id\":\"a\"}", "{\"id\":\"b\"}"]
        );
        assert_eq!(read(headers, Bytes::from_static(b"{}")).unwrap_err(), FormError::NotAnEvent);
        assert_eq!(read(headers, Bytes::from_static(b"[{}")).unwrap_err(), FormError::NotJson);
    }

    #[test]
    fn header_values_are_decoded_once_and_quotes_are_accepted() {
        assert_eq!(header_value(b"12%20Example%20Ln").unwrap(), "12 Example Ln");
        assert_eq!(header_value(b"a%2525").unwrap(), "a%25");
        assert_eq!(header_value(b"\"quoted \\\" text\"").unwrap(), "quoted \" text");
        assert_eq!(header_value(b"%zz"), None);
        assert_eq!(header_value(b"%"), None);
    }

    #[test]
    fn a_broken_line_does_not_take_the_others_with_it() {
        let headers: &[(&str, &[u8])] = &[("content-type", b"application/x-ndjson")];
        let forms = read(headers, Bytes::from_static(b"{\"id\":\"a\"}\n\nnot json\n{\"id\":\"b\"}")).unwrap();
        assert_eq!(forms.events.len(), 3);
    }
}
