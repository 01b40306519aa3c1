//! The transparency log as static files, exactly at the paths of C2SP `tlog-tiles`: what monitors and witnesses read.
//!
//! Only what the newest published checkpoint covers is served; a partial tile is a prefix of the full one, so older partial
//! widths stay available. Entry bundles name pseudonyms and times, so they are never open to strangers.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, Response, header};

use super::proofs::newest;
use crate::chain::tile::{TILE_WIDTH, Tile, TileKind, bundle_push};
use crate::domain::ids::LedgerId;
use crate::http::codes;
use crate::http::error::Problem;
use crate::http::front::Caller;
use crate::http::state::{AppState, Service};
use crate::policy::access::Action;

const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// The newest checkpoint
///
/// A signed note (C2SP `tlog-checkpoint`).
#[utoipa::path(
    get,
    path = "/log/{ledger}/checkpoint",
    tag = "log",
    params(("ledger" = String, Path, description = "The ledger's id")),
    responses((status = 200, description = "The note", body = String, content_type = "text/plain"))
)]
pub async fn checkpoint(
    State(state): State<Arc<AppState>>,
    caller: Option<axum::Extension<Caller>>,
    Path(ledger): Path<String>,
) -> Result<Response<Body>, Problem> {
    let service = served(&state, caller.as_deref(), &ledger)?;
    let published = newest(&service)?;
    Ok(bytes(published.note.clone().into_bytes(), TEXT, HeaderValue::from_static("max-age=1")))
}

/// A tile
///
/// Hash tiles `<L>/<N>[.p/<W>]` and entry bundles `entries/<N>[.p/<W>]` (C2SP `tlog-tiles`). Bundles need an auditor's or
/// admin's key.
#[utoipa::path(
    get,
    path = "/log/{ledger}/tile/{tile}",
    tag = "log",
    params(
        ("ledger" = String, Path, description = "The ledger's id"),
        ("tile" = String, Path, description = "Level and index, such as `0/x001/234.p/5`"),
    ),
    responses((status = 200, description = "The bytes", content_type = "application/octet-stream"))
)]
pub async fn tile(
    State(state): State<Arc<AppState>>,
    caller: Option<axum::Extension<Caller>>,
    Path((ledger, path)): Path<(String, String)>,
) -> Result<Response<Body>, Problem> {
    let service = served(&state, caller.as_deref(), &ledger)?;
    let tile = Tile::parse(&format!("tile/{path}")).map_err(|_| Problem::absent("tile"))?;
    let published = newest(&service)?;
    let widest = Tile::at(tile.kind, tile.index, published.size).filter(|widest| tile.width <= widest.width);
    widest.ok_or_else(|| Problem::absent("tile"))?;
    let first = tile.index * u64::from(TILE_WIDTH);
    let (content, cache) = match tile.kind {
        TileKind::Entries => {
            // The front asked for this right by the path as sent; the path as decoded decides.
            let caller =
                caller.ok_or_else(|| Problem::new(codes::UNAUTHENTICATED, "Entry bundles need an API key."))?;
            caller.needs(Action::LogEntries)?;
            let entries = service.ledger.store().entries_from(first, first + u64::from(tile.width)).await?;
            let mut bundle = Vec::with_capacity(entries.iter().map(|(_, entry)| entry.len() + 2).sum());
            for (_, entry) in &entries {
                bundle_push(&mut bundle, entry).map_err(Problem::internal)?;
            }
            (bundle, "private, max-age=31536000, immutable")
        }
        TileKind::Hashes(_) => {
            let content = service.ledger.tile(&tile).await?;
            let open = state.settings.log_public;
            (content, if open { "public, max-age=31536000, immutable" } else { "private, max-age=31536000, immutable" })
        }
    };
    Ok(bytes(content, OCTETS, HeaderValue::from_static(cache)))
}

/// The ledger that a path names, and that the caller's key, if there is one, is for.
fn served(state: &AppState, caller: Option<&Caller>, ledger: &str) -> Result<Arc<Service>, Problem> {
    let id = ledger.parse::<LedgerId>().ok();
    let unknown = || Problem::new(codes::LEDGER_UNKNOWN, "There is no such ledger here.");
    let service = id.and_then(|id| state.service(id)).ok_or_else(unknown)?;
    match caller {
        Some(caller) if caller.service.ledger.id != service.ledger.id => Err(unknown()),
        Some(_) | None => Ok(service),
    }
}

fn bytes(content: Vec<u8>, media: HeaderValue, cache: HeaderValue) -> Response<Body> {
    let mut response = Response::new(Body::from(content));
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    response.headers_mut().insert(header::CACHE_CONTROL, cache);
    response
}
