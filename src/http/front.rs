//! What every request passes: an id, authentication and the access table, a problem body in one form, counting.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::header::{self, HeaderMap, HeaderName};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Response};
use axum::middleware::Next;
use futures_util::FutureExt;

use super::codes;
use super::error::Problem;
use super::keys::Known;
use super::routes::{self, Access, ROUTES};
use super::state::{AppState, Service};
use crate::crypto::token;
use crate::domain::ids::{LedgerId, PrincipalId};
use crate::policy::access::{Action, Role, allowed};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const LEDGER: HeaderName = HeaderName::from_static("tallystick-ledger");

/// Whoever reads the key of this run from the data directory: file access to it counts as admin.
pub const OPERATOR: PrincipalId = PrincipalId::from_bytes([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

/// The state of the front.
#[derive(Clone)]
pub struct Front {
    /// Shared state.
    pub state: Arc<AppState>,
}

/// An authenticated caller on its ledger. Only the front makes one, after the access table allowed the route's action.
#[derive(Clone)]
pub struct Caller {
    /// Its ledger.
    pub service: Arc<Service>,
    /// Who it is.
    pub principal: PrincipalId,
    /// What it may be.
    pub role: Role,
}

impl Caller {
    /// Whether the caller may do something beyond its route's own action.
    pub fn may(&self, action: Action) -> bool {
        allowed(self.role, action)
    }

    /// Refuses unless the caller may.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn needs(&self, action: Action) -> Result<(), Problem> {
        if self.may(action) { Ok(()) } else { Err(forbidden(self.role)) }
    }
}

fn forbidden(role: Role) -> Problem {
    Problem::new(codes::FORBIDDEN, format!("A key with the role {role} may not do this."))
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Caller, Problem> {
        parts.extensions.get::<Caller>().cloned().ok_or_else(unauthenticated)
    }
}

fn unauthenticated() -> Problem {
    Problem::new(codes::UNAUTHENTICATED, "Send a valid API key as Authorization: Bearer KEY.")
}

/// The outermost layer of every route.
pub async fn front(State(front): State<Front>, mut request: Request, next: Next) -> Response<Body> {
    let started = front.state.clock.elapsed();
    let id = front.state.request_id();
    let matched = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let route = matched.and_then(|path| routes::find(request.method().as_str(), path));
    let admitted = match route.and_then(|number| ROUTES.get(number)) {
        Some(route) => admit(&front, &mut request, route.access),
        // No route of ours: the router answers 404 or 405 by itself. A matched path with another method, likewise.
        None => Ok(()),
    };
    let response = match admitted {
        Err(problem) => problem.respond(&id),
        Ok(()) => match AssertUnwindSafe(next.run(request)).catch_unwind().await {
            Ok(response) => response,
            Err(_) => Problem::internal("a handler panicked").respond(&id),
        },
    };
    let mut response = finished(response, &id);
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::try_from(id) {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    let took = front.state.clock.elapsed().saturating_sub(started);
    front.state.routes.answered(route, response.status().as_u16(), took);
    response
}

/// Gives problems their body, logs what the operator must see, and says the router's own refusals in the same form.
fn finished(mut response: Response<Body>, id: &str) -> Response<Body> {
    if let Some(problem) = response.extensions_mut().remove::<Arc<Problem>>() {
        if problem.code.status.is_server_error() {
            tracing::error!(request = id, code = problem.name, reason = problem.internal.as_deref(), "http.failed");
        } else if let Some(reason) = &problem.internal {
            tracing::info!(request = id, code = problem.name, reason, "http.refused");
        }
        let rendered = problem.respond(id);
        let (mut parts, body) = rendered.into_parts();
        // What the handler set besides (Allow, a cookie) stays.
        for (name, value) in response.headers() {
            parts.headers.entry(name).or_insert_with(|| value.clone());
        }
        return Response::from_parts(parts, body);
    }
    response
}

fn admit(front: &Front, request: &mut Request, access: Access) -> Result<(), Problem> {
    let action = match access {
        Access::Open | Access::Console => return Ok(()),
        Access::Log(_) if front.state.settings.log_public && !is_bundle(request.uri().path()) => return Ok(()),
        Access::Log(_) if is_bundle(request.uri().path()) => Action::LogEntries,
        Access::Log(action) | Access::Needs(action) => action,
    };
    let caller = authenticate(front, request.headers())?;
    if !allowed(caller.role, action) {
        return Err(forbidden(caller.role));
    }
    request.extensions_mut().insert(caller);
    Ok(())
}

/// `/log/{ledger}/tile/entries/...`
fn is_bundle(path: &str) -> bool {
    path.split('/').nth(4) == Some("entries")
}

/// The caller of a request by its API key.
///
/// # Errors
/// `unauthenticated`, the same for every reason.
pub fn authenticate(front: &Front, headers: &HeaderMap) -> Result<Caller, Problem> {
    let value = headers.get(header::AUTHORIZATION).ok_or_else(unauthenticated)?;
    let (scheme, key) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(unauthenticated)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(unauthenticated());
    }
    let (service, known) = by_key(&front.state, key.trim())?;
    let service = match headers.get(LEDGER) {
        // The operator's own commands reach every ledger of the data directory with one key.
        Some(named) if known.principal == OPERATOR => named_ledger(&front.state, named)?,
        Some(_) | None => service,
    };
    Ok(Caller { service, principal: known.principal, role: known.role })
}

/// The ledger and rights of a presented key.
///
/// # Errors
/// `unauthenticated`.
pub fn by_key(state: &AppState, key: &str) -> Result<(Arc<Service>, Known), Problem> {
    let short = short_of(key).ok_or_else(unauthenticated)?;
    let (service, known) = state.find_key(key, short).ok_or_else(unauthenticated)?;
    if service.keys.is_due(state.clock.elapsed()) {
        let reloaded = Arc::clone(&service);
        state.tasks.spawn(async move {
            if let Err(error) = reloaded.keys_reload().await {
                tracing::warn!(error = %super::error::chain(&error), "access.keys cannot be read again");
            }
        });
    }
    Ok((service, known))
}

/// The four bytes of a key that name its ledger, read without checking the rest.
fn short_of(key: &str) -> Option<[u8; 4]> {
    if key.len() != token::API_KEY_LEN {
        return None;
    }
    let mut short = [0; 4];
    data_encoding::HEXLOWER.decode_mut(key.as_bytes().get(4..12)?, &mut short).ok()?;
    Some(short)
}

fn named_ledger(state: &AppState, named: &HeaderValue) -> Result<Arc<Service>, Problem> {
    let ledger = named.to_str().ok().and_then(|text| text.parse::<LedgerId>().ok());
    let unknown =
        || Problem::new(codes::LEDGER_UNKNOWN, "The header Tallystick-Ledger names no ledger of this server.");
    ledger.and_then(|ledger| state.service(ledger)).ok_or_else(unknown)
}
