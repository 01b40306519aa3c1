//! People: found by an identifier in a body, never in a URL; read by their pseudonym.

use axum::body::Body;
use axum::extract::{Path, Request};
use axum::http::{Response, Uri};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::event_view;
use crate::chain::decode::EntryRef;
use crate::domain::email::Email;
use crate::domain::identifier::{Identifier, IdentifierKind};
use crate::domain::ids::SubjectId;
use crate::domain::parts::PartKind;
use crate::domain::phone::Phone;
use crate::domain::time::Timestamp;
use crate::http::codes;
use crate::http::error::Problem;
use crate::http::front::Caller;
use crate::http::paging::{Page, json_response, page};
use crate::http::request::{self, Params};
use crate::ingest::Ledger;
use crate::ingest::read::{Opened, ReadError};
use crate::ingest::subjects::{FindError, SubjectsSealError};
use crate::store::index::SubjectHead;

/// Entries of a person that one request walks.
const WALK_MAX: usize = 5_000;

impl From<SubjectsSealError> for Problem {
    fn from(error: SubjectsSealError) -> Problem {
        match error {
            SubjectsSealError::Submit(source) => source.into(),
            other => Problem::failed(&other),
        }
    }
}

/// Exactly one of `phone`, `email`, and `ref`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubjectSearch {
    /// A phone number in any usual form.
    pub phone: Option<String>,
    /// The country whose numbers need no prefix; US if absent.
    pub country: Option<String>,
    /// An e-mail address.
    pub email: Option<String>,
    /// A client's own reference.
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    /// The CloudEvents source that the reference belongs to; needed where several sources use it.
    pub source: Option<String>,
}

impl SubjectSearch {
    fn identifier(self) -> Result<Identifier, Problem> {
        let invalid = |pointer: &str, detail: &str| {
            let mut problem = Problem::member(pointer, "identifier_invalid", detail);
            (problem.code, problem.name) = (codes::IDENTIFIER_INVALID, codes::IDENTIFIER_INVALID.name);
            problem
        };
        match self {
            SubjectSearch { phone: Some(phone), email: None, reference: None, source: None, country } => {
                let country = country.unwrap_or_else(|| Phone::DEFAULT_COUNTRY.to_owned());
                let phone = Phone::parse(&phone, &country).map_err(|error| invalid("/phone", &error.to_string()))?;
                Ok(Identifier { kind: IdentifierKind::Phone, value: phone.into_string() })
            }
            SubjectSearch { email: Some(email), phone: None, reference: None, source: None, country: None } => {
                let email = Email::parse(&email).map_err(|error| invalid("/email", &error.to_string()))?;
                Ok(Identifier { kind: IdentifierKind::Email, value: email.into_string() })
            }
            SubjectSearch {
                reference: Some(reference),
                source: Some(source),
                phone: None,
                email: None,
                country: None,
            } => Identifier::reference(&source, &reference).map_err(|error| invalid("/ref", &error.to_string())),
            _ => Err(invalid("", "name a phone, an email, or a ref (with its source), and nothing else")),
        }
    }
}

/// Find a person
///
/// By a phone number, an e-mail address, or a client's reference with its source. The answer names nobody that the ledger
/// does not know: then `items` is empty.
#[utoipa::path(
    post,
    path = "/v1/subjects/search",
    tag = "subjects",
    request_body = SubjectSearch,
    responses(
        (status = 200, description = "`items` with the subject, if it is known", body = serde_json::Value),
        (status = 409, description = "`identifier_ambiguous`: name the source"),
        (status = 422, description = "`identifier_invalid`")
    )
)]
pub async fn subject_search(caller: Caller, request: Request) -> Result<Response<Body>, Problem> {
    let (parts, body) = request.into_parts();
    let search: SubjectSearch = request::json(&parts.headers, body).await?;
    let ledger = &caller.service.ledger;
    let found = match search {
        SubjectSearch { reference: Some(reference), source: None, phone: None, email: None, country: None } => {
            match ledger.subject_find(&reference, None) {
                Err(FindError::Unknown) => None,
                found => Some(found?),
            }
        }
        search => ledger.subject_of(&search.identifier()?)?,
    };
    let mut items = Vec::new();
    if let Some(subject) = found
        && let Some(head) = ledger.subject_head(&subject)?
    {
        items.push(json!({ "subject": subject, "events": head.sequence, "last_position": head.position }));
    }
    Ok(json_response(&json!({ "items": items })))
}

/// A subject's id and last entry from a path.
pub(super) fn known(ledger: &Ledger, text: &str) -> Result<(SubjectId, SubjectHead), Problem> {
    let subject: SubjectId = text.parse().map_err(|_| Problem::absent("subject"))?;
    let head = ledger.subject_head(&subject)?.ok_or_else(|| Problem::absent("subject"))?;
    Ok((subject, head))
}

/// Read what is known of a person
///
/// The number of events, and the identifiers bound to the pseudonym, with their values while their keys exist; `subjects`
/// are all pseudonyms that are read as this person, this one first.
#[utoipa::path(
    get,
    path = "/v1/subjects/{subject}",
    tag = "subjects",
    params(("subject" = String, Path, description = "Pseudonym")),
    responses(
        (status = 200, description = "The subject", body = serde_json::Value),
        (status = 404, description = "There is no such subject")
    )
)]
pub async fn subject_read(caller: Caller, Path(subject): Path<String>) -> Result<Response<Body>, Problem> {
    let ledger = &caller.service.ledger;
    let (subject, head) = known(ledger, &subject)?;
    let mut identifiers: Vec<Value> = Vec::new();
    let mut at = Some(head.position);
    let (mut first_recorded, mut last_recorded) = (None, None);
    let mut walked = 0;
    while let Some(position) = at.filter(|_| walked < WALK_MAX) {
        walked += 1;
        let bytes = ledger.store().entry_at(position).await?.ok_or(ReadError::Absent(position))?;
        let entry = EntryRef::decode(&bytes).map_err(|source| ReadError::Entry { position, source })?;
        first_recorded = Some(entry.recorded);
        last_recorded = last_recorded.or(first_recorded);
        at = entry.subject.and_then(|link| link.previous);
        if entry.event_type.starts_with("identifier.") {
            let opened = ledger.open_entry(position).await?;
            identifiers.extend(identifiers_of(&opened));
        }
    }
    identifiers.reverse();
    let union = ledger.union_of(&subject, Timestamp::MAX).await?;
    Ok(json_response(&json!({
        "subject": subject,
        "subjects": union,
        "events": head.sequence,
        "last_position": head.position,
        "first_recorded": first_recorded.filter(|_| at.is_none()),
        "last_recorded": last_recorded,
        "identifiers": identifiers,
    })))
}

/// What an `identifier.*` entry says, newest last; values are absent once their key is destroyed.
fn identifiers_of(opened: &Opened) -> Vec<Value> {
    let read = |kind: PartKind, list: &str| -> Vec<Value> {
        let plaintext = opened.plaintext(kind).unwrap_or(b"null");
        let mut part: Value = serde_json::from_slice(plaintext).unwrap_or_default();
        match part.pointer_mut(&format!("/data/{list}")).map(Value::take) {
            Some(Value::Array(items)) => items,
            Some(_) | None => Vec::new(),
        }
    };
    let values = read(PartKind::Personal, "values");
    let act = opened.entry.event_type.strip_prefix("identifier.").unwrap_or_default().to_owned();
    let of = |item: &Value| {
        let id = item.get("identifier").cloned();
        let value =
            values.iter().find(|value| value.get("identifier") == id.as_ref()).and_then(|value| value.get("value"));
        json!({
            "identifier": id,
            "kind": item.get("kind"),
            "value": value.and_then(Value::as_str).map(|value| value.replace('\u{1f}', " ")),
            "act": act,
            "position": opened.entry.position,
        })
    };
    let mut found: Vec<Value> = read(PartKind::Business, "identifiers").iter().map(of).collect();
    found.reverse();
    found
}

/// Read a person's history
///
/// Newest first, by the links that the entries themselves carry, so nothing of it can be missing; the histories of merged
/// subjects are one. `known_at` leaves out what
/// was recorded later, `as_of` what happened later.
#[utoipa::path(
    get,
    path = "/v1/subjects/{subject}/timeline",
    tag = "subjects",
    params(
        ("subject" = String, Path, description = "Pseudonym"),
        ("as_of" = Option<String>, Query, description = "Only what had happened by then, RFC 3339"),
        ("known_at" = Option<String>, Query, description = "Only what was recorded by then, RFC 3339"),
        ("limit" = Option<u64>, Query, description = "Most items, 1 to 1000, 100 if absent"),
        ("cursor" = Option<String>, Query, description = "The last page's `next_cursor`"),
    ),
    responses(
        (status = 200, description = "A page: `items`, `next_cursor`, `has_more`", body = serde_json::Value),
        (status = 404, description = "There is no such subject")
    )
)]
pub async fn subject_timeline(
    caller: Caller,
    Path(subject): Path<String>,
    params: Params,
    uri: Uri,
) -> Result<Response<Body>, Problem> {
    let params = params.only(&["as_of", "known_at", "limit", "cursor"])?;
    let ledger = &caller.service.ledger;
    let (subject, _) = known(ledger, &subject)?;
    let asked = Page::read(&params, ledger.id)?;
    let (as_of, known_at) = (params.time("as_of")?, params.time("known_at")?);
    let cursor = params.text("cursor").map(|_| asked.first);
    let union = ledger.union_of(&subject, known_at.unwrap_or(Timestamp::MAX)).await?;
    let mut walk = Walk::start(ledger, &union, cursor.unwrap_or(u64::MAX)).await?;
    if cursor.is_some_and(|cursor| walk.next() != Some(cursor)) {
        return Err(Problem::new(codes::CURSOR_INVALID, "The cursor is not one of this subject."));
    }
    let mut items = Vec::new();
    while items.len() < asked.limit
        && walk.walked < WALK_MAX
        && let Some(opened) = walk.step(ledger).await?
    {
        if known_at.is_some_and(|until| opened.entry.recorded > until) {
            continue;
        }
        if as_of.is_some_and(|until| occurred(&opened) > until) {
            continue;
        }
        items.push(event_view::opened(&opened, caller.role, ledger));
    }
    Ok(page(&uri, items, walk.next(), ledger.id))
}

/// The histories of subjects that are one person, walked together from the newest entry back.
struct Walk {
    /// The next entry of each history.
    heads: Vec<Option<u64>>,
    walked: usize,
}

impl Walk {
    /// Stands at the newest entries that are not behind `from`; the histories of the others are walked up to there.
    async fn start(ledger: &Ledger, union: &[SubjectId], from: u64) -> Result<Walk, Problem> {
        let single = union.len() == 1;
        let mut walk = Walk { heads: Vec::with_capacity(union.len()), walked: 0 };
        for subject in union {
            let mut at = ledger.subject_head(subject)?.map(|head| head.position);
            // One history alone is entered in its middle: the entry there says whether it belongs to it.
            if single && at.is_some_and(|at| at > from) {
                let bytes = ledger.store().entry_at(from).await?.ok_or(ReadError::Absent(from))?;
                let entry = EntryRef::decode(&bytes).map_err(|source| ReadError::Entry { position: from, source })?;
                at = entry.subject.filter(|link| link.subject == *subject).map(|_| from);
            }
            while let Some(position) = at.filter(|at| !single && *at > from) {
                let bytes = ledger.store().entry_at(position).await?.ok_or(ReadError::Absent(position))?;
                let entry = EntryRef::decode(&bytes).map_err(|source| ReadError::Entry { position, source })?;
                at = entry.subject.and_then(|link| link.previous);
            }
            walk.heads.push(at);
        }
        Ok(walk)
    }

    /// Position of the next entry.
    fn next(&self) -> Option<u64> {
        self.heads.iter().flatten().max().copied()
    }

    async fn step(&mut self, ledger: &Ledger) -> Result<Option<Opened>, Problem> {
        let Some(position) = self.next() else { return Ok(None) };
        let opened = ledger.open_entry(position).await?;
        let previous = opened.entry.subject.as_ref().and_then(|link| link.previous);
        self.heads.iter_mut().filter(|head| **head == Some(position)).for_each(|head| *head = previous);
        self.walked += 1;
        Ok(Some(opened))
    }
}

/// When it happened: as stated, else when it was recorded.
fn occurred(opened: &Opened) -> Timestamp {
    let business: Option<Value> =
        opened.plaintext(PartKind::Business).and_then(|bytes| serde_json::from_slice(bytes).ok());
    let stated = business.as_ref().and_then(|part| part.get("occurred")).and_then(Value::as_str);
    stated.and_then(|text| Timestamp::parse_rfc3339(text).ok()).unwrap_or(opened.entry.recorded)
}
