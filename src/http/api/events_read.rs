//! Reading the log: pages by position, type and time, and single events as far as the caller may see them.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Path;
use axum::http::{Response, Uri};
use serde_json::{Map, Value};

use super::event_view;
use crate::chain::entry::Entry;
use crate::http::error::Problem;
use crate::http::front::Caller;
use crate::http::paging::{Page, json_response, page};
use crate::http::request::{self, Params};
use crate::ingest::Ledger;
use crate::ingest::ledger::RawFact;
use crate::ingest::read::ReadError;
use crate::policy::access::{Action, Role, allowed};

/// Entries read at once.
const CHUNK: u64 = 1_000;
/// Entries that one request looks at to fill a filtered page; then it answers with what it has and a cursor.
const SCAN_MAX: u64 = 20_000;

/// Read events in order
///
/// Pages of the log by position, optionally of one type or of a span of recorded time (`from` inclusive, `to` exclusive). A
/// filtered page may be short and still have a next one.
#[utoipa::path(
    get,
    path = "/v1/events",
    tag = "events",
    params(
        ("after" = Option<u64>, Query, description = "Only positions above this one"),
        ("type" = Option<String>, Query, description = "Only events of this type"),
        ("from" = Option<String>, Query, description = "Recorded at or after, RFC 3339"),
        ("to" = Option<String>, Query, description = "Recorded before, RFC 3339"),
        ("limit" = Option<u64>, Query, description = "Most items, 1 to 1000, 100 if absent"),
        ("cursor" = Option<String>, Query, description = "The last page's `next_cursor`"),
    ),
    responses((status = 200, description = "A page: `items`, `next_cursor`, `has_more`", body = serde_json::Value))
)]
pub async fn events_list(caller: Caller, params: Params, uri: Uri) -> Result<Response<Body>, Problem> {
    let params = params.only(&["after", "type", "from", "to", "limit", "cursor"])?;
    let ledger = &caller.service.ledger;
    let asked = Page::read(&params, ledger.id)?;
    let size = ledger.size();
    let first = match params.time("from")? {
        Some(from) => asked.first.max(ledger.position_recorded_from(from).await?),
        None => asked.first,
    };
    let end = match params.time("to")? {
        Some(to) => ledger.position_recorded_from(to).await?.min(size),
        None => size,
    };
    let event_type = params.text("type");
    let mut items = Vec::new();
    let mut at = first;
    while at < end && items.len() < asked.limit && at - first < SCAN_MAX {
        let missing = u64::try_from(asked.limit - items.len()).unwrap_or(CHUNK);
        let step = if event_type.is_some() { CHUNK } else { missing.min(CHUNK) };
        let until = at.saturating_add(step).min(end);
        for fact in facts(ledger, caller.role, at, until, event_type).await? {
            if items.len() == asked.limit {
                break;
            }
            at = fact.position + 1;
            items.push(fact_view(&fact, caller.role, ledger)?);
        }
        if items.len() < asked.limit {
            at = until;
        }
    }
    Ok(page(&uri, items, (at < end).then_some(at), ledger.id))
}

/// Entries of a span, of one type if asked, with their business parts where the role may see them.
pub async fn facts(
    ledger: &Arc<Ledger>,
    role: Role,
    first: u64,
    end: u64,
    event_type: Option<&str>,
) -> Result<Vec<RawFact>, Problem> {
    let facts = if allowed(role, Action::SubjectsRead) {
        ledger.facts(first, end).await?
    } else {
        let entries = ledger.store().entries_from(first, end).await?;
        entries.into_iter().map(|(position, entry)| RawFact { position, entry, business: None }).collect()
    };
    let Some(wanted) = event_type else { return Ok(facts) };
    let mut kept = Vec::new();
    for fact in facts {
        let entry = crate::chain::decode::EntryRef::decode(&fact.entry)
            .map_err(|source| ReadError::Entry { position: fact.position, source })?;
        if entry.event_type == wanted {
            kept.push(fact);
        }
    }
    Ok(kept)
}

/// A fact as a role may see it.
pub fn fact_view(fact: &RawFact, role: Role, ledger: &Ledger) -> Result<Value, Problem> {
    let entry = Entry::decode(&fact.entry).map_err(|source| ReadError::Entry { position: fact.position, source })?;
    let mut view = event_view::receipt_level(&entry, &fact.entry);
    if allowed(role, Action::SubjectsRead) {
        event_view::entry_level(&mut view, &entry, ledger);
        if let Some(plaintext) = &fact.business {
            let mut data = Map::new();
            event_view::business(&mut view, &mut data, plaintext);
            view.insert("data".into(), Value::Object(data));
        }
    }
    Ok(Value::Object(view))
}

/// Read one event
///
/// The entry and its data as far as the key's role may see: a recorder sees what its receipt said, a reader the data, an
/// auditor and an admin also the bytes as received. Parts whose key is destroyed say so.
#[utoipa::path(
    get,
    path = "/v1/events/{position}",
    tag = "events",
    params(("position" = u64, Path, description = "Place in the log")),
    responses(
        (status = 200, description = "The event", body = serde_json::Value),
        (status = 404, description = "There is no such entry")
    )
)]
pub async fn event_read(caller: Caller, Path(position): Path<String>) -> Result<Response<Body>, Problem> {
    let position = request::position(&position)?;
    let ledger = &caller.service.ledger;
    if position >= ledger.size() {
        return Err(Problem::absent("entry"));
    }
    let opened = ledger.open_entry(position).await?;
    Ok(json_response(&event_view::opened(&opened, caller.role, ledger)))
}
