//! `GET /v1/events/stream`: the log as server-sent events, from any position, without gaps.
//!
//! A stream reads the log and waits for the head to move, so it can neither lose nor reorder an event however slow its
//! reader is. It ends when the service stops or the key is revoked.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::events_read::{fact_view, facts};
use crate::http::codes;
use crate::http::error::Problem;
use crate::http::front::Caller;
use crate::http::request::Params;
use crate::http::state::AppState;
use crate::store::Head;

/// Entries read at once.
const CHUNK: u64 = 200;
const KEEP_ALIVE: Duration = Duration::from_secs(15);

struct Reader {
    caller: Caller,
    state: Arc<AppState>,
    next: u64,
    event_type: Option<String>,
    ready: VecDeque<Event>,
    head: watch::Receiver<Option<Head>>,
    _permit: OwnedSemaphorePermit,
}

/// Follow the log
///
/// Server-sent events: `id` is the position, `event` the type, `data` the event as `GET /v1/events` shows it. Starts at
/// `from`, after the header `Last-Event-ID`, or with what is recorded from now on.
#[utoipa::path(
    get,
    path = "/v1/events/stream",
    tag = "events",
    params(
        ("from" = Option<u64>, Query, description = "First position"),
        ("type" = Option<String>, Query, description = "Only events of this type"),
        ("Last-Event-ID" = Option<u64>, Header, description = "Last position seen"),
    ),
    responses((status = 200, description = "The stream", content_type = "text/event-stream"))
)]
pub async fn events_stream(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    params: Params,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let params = params.only(&["from", "type"])?;
    let seen = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let head = caller.service.ledger.head_watch();
    let next = match (seen, params.number("from")?) {
        (Some(seen), _) => seen.saturating_add(1),
        (None, Some(from)) => from,
        (None, None) => caller.service.ledger.size(),
    };
    let permit = Arc::clone(&state.streams).try_acquire_owned();
    let permit =
        permit.map_err(|_| Problem::new(codes::STREAMS_FULL, "Too many streams are open; try again later."))?;
    let event_type = params.text("type").map(str::to_owned);
    let reader = Reader { caller, state, next, event_type, ready: VecDeque::new(), head, _permit: permit };
    Ok(Sse::new(unfold(reader, step)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

async fn step(mut reader: Reader) -> Option<(Result<Event, Infallible>, Reader)> {
    loop {
        if let Some(event) = reader.ready.pop_front() {
            return Some((Ok(event), reader));
        }
        if !reader.may_go_on() {
            return None;
        }
        reader.head.mark_unchanged();
        if reader.next < reader.caller.service.ledger.size() {
            if let Err(problem) = reader.read().await {
                tracing::error!(code = problem.name, reason = problem.internal.as_deref(), "http.stream ended");
                return None;
            }
            continue;
        }
        let tasks = reader.state.tasks.clone();
        tokio::select! {
            () = tasks.stopping() => return None,
            moved = reader.head.changed() => moved.ok()?,
            // Look again whether the key still lives.
            () = tokio::time::sleep(KEEP_ALIVE) => {}
        }
    }
}

impl Reader {
    fn may_go_on(&self) -> bool {
        self.caller.service.keys.is_live(self.caller.principal) && !self.state.tasks.is_stopping()
    }

    async fn read(&mut self) -> Result<(), Problem> {
        let ledger = &self.caller.service.ledger;
        let end = self.next.saturating_add(CHUNK).min(ledger.size());
        for fact in facts(ledger, self.caller.role, self.next, end, self.event_type.as_deref()).await? {
            let view = fact_view(&fact, self.caller.role, ledger)?;
            let name = view.get("type").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
            self.ready.push_back(Event::default().id(fact.position.to_string()).event(name).data(view.to_string()));
        }
        self.next = end;
        Ok(())
    }
}
