//! The console: one page that says how the ledger stands, rendered here, readable without scripts.
//!
//! Promises: no script and no style but the one asset of its own (strict content security policy); the API key is posted
//! once and never stored in the browser, the cookie holds an opaque token; forms are taken from its own pages only.

mod pages;

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use rust_embed::RustEmbed;

use super::codes;
use super::error::Problem;
use super::front::by_key;
use super::request;
use super::session::SESSION;
use super::state::{AppState, Service};
use crate::policy::access::{Action, Role, allowed};

/// Nothing but our own style sheet; nobody frames us; forms go nowhere else.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

#[derive(RustEmbed)]
#[folder = "src/http/console/assets/"]
struct Assets;

/// `GET /`: the overview, or the login.
pub async fn overview(State(state): State<Arc<AppState>>, headers: HeaderMap) -> Result<Response<Body>, Problem> {
    match logged_in(&state, &headers) {
        Some((service, role)) if allowed(role, Action::ViewsRead) => {
            let page = pages::overview(&state, &service, role).await?;
            html(StatusCode::OK, &page)
        }
        Some(_) => login_page(StatusCode::FORBIDDEN, "A key with this role may not see the console."),
        None => login_page(StatusCode::OK, ""),
    }
}

/// `POST /console/login`: an API key for a session.
pub async fn login(State(state): State<Arc<AppState>>, request: Request) -> Result<Response<Body>, Problem> {
    let (parts, body) = request.into_parts();
    own_page(&parts.headers)?;
    let body = request::body(&parts.headers, body, 4_096).await?;
    let key = form_field(&body, "key");
    let Some((service, known)) = key.as_deref().and_then(|key| by_key(&state, key.trim()).ok()) else {
        return login_page(StatusCode::UNAUTHORIZED, "This is not a live key of a ledger on this server.");
    };
    let token = state.sessions.begin(service.ledger.id, known, state.random.bytes(), state.clock.elapsed());
    let secure = if state.settings.secure_cookies { "; Secure" } else { "" };
    let name = cookie_name(&state);
    let seconds = SESSION.as_secs();
    back_home(&format!("{name}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}"))
}

/// `POST /console/logout`: ends the session.
pub async fn logout(State(state): State<Arc<AppState>>, headers: HeaderMap) -> Result<Response<Body>, Problem> {
    own_page(&headers)?;
    let name = cookie_name(&state);
    if let Some(token) = cookie(&headers, name) {
        state.sessions.end(token);
    }
    let secure = if state.settings.secure_cookies { "; Secure" } else { "" };
    back_home(&format!("{name}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0{secure}"))
}

/// `GET /console/{asset}`: the style sheet.
pub async fn asset(Path(asset): Path<String>) -> Result<Response<Body>, Problem> {
    let file = Assets::get(&asset).filter(|_| asset.ends_with(".css")).ok_or_else(|| Problem::absent("asset"))?;
    let mut response = Response::new(Body::from(file.data.into_owned()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/css; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    Ok(response)
}

fn login_page(status: StatusCode, refused: &str) -> Result<Response<Body>, Problem> {
    html(status, &pages::Login { refused })
}

fn html(status: StatusCode, page: &impl Template) -> Result<Response<Body>, Problem> {
    let mut response = Response::new(Body::from(page.render().map_err(Problem::internal)?));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HTML);
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    Ok(response)
}

fn back_home(cookie: &str) -> Result<Response<Body>, Problem> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static("/"));
    response.headers_mut().insert(header::SET_COOKIE, HeaderValue::try_from(cookie).map_err(Problem::internal)?);
    Ok(response)
}

/// The `__Host-` prefix binds a cookie to this host and to TLS; on plain loopback browsers refuse it.
fn cookie_name(state: &AppState) -> &'static str {
    if state.settings.secure_cookies { "__Host-tallystick" } else { "tallystick" }
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let values = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
}

fn logged_in(state: &AppState, headers: &HeaderMap) -> Option<(Arc<Service>, Role)> {
    let session = state.sessions.find(cookie(headers, cookie_name(state))?, state.clock.elapsed())?;
    let service = state.service(session.ledger)?;
    // A revoked key ends its sessions.
    service.keys.is_live(session.known.principal).then_some((service, session.known.role))
}

/// Refuses a form that a browser sends from another site's page. Callers that are no browsers send neither header.
fn own_page(headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text("host");
    let same_origin = match text("origin") {
        Some(origin) => host.is_some() && origin.split_once("://").map(|(_, authority)| authority) == host,
        None => true,
    };
    let same_site = matches!(text("sec-fetch-site"), None | Some("same-origin" | "none"));
    if same_origin && same_site {
        Ok(())
    } else {
        Err(Problem::new(codes::ORIGIN_REFUSED, "The console takes forms from its own pages only."))
    }
}

/// One field of an `application/x-www-form-urlencoded` body.
fn form_field(body: &[u8], name: &str) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let value = text.split('&').filter_map(|pair| pair.split_once('=')).find(|(known, _)| *known == name)?.1;
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'+', _) => out.push(b' '),
            (b'%', [high, low, tail @ ..]) => {
                let digits = [*high, *low];
                out.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
                rest = tail;
            }
            (other, _) => out.push(other),
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_other_sites_are_refused() {
        let check = |pairs: &[(&'static str, &'static str)]| {
            let headers = pairs
                .iter()
                .map(|(name, value)| (header::HeaderName::from_static(name), HeaderValue::from_static(value)));
            own_page(&headers.collect()).is_ok()
        };
        assert!(check(&[
            ("host", "127.0.0.1:8480"),
            ("origin", "http://127.0.0.1:8480"),
            ("sec-fetch-site", "same-origin")
        ]));
        assert!(check(&[]));
        assert!(!check(&[("host", "127.0.0.1:8480"), ("origin", "https://evil.example")]));
        assert!(!check(&[("host", "127.0.0.1:8480"), ("origin", "null")]));
        assert!(!check(&[("sec-fetch-site", "cross-site")]));
    }

    #[test]
    fn a_form_field_is_decoded_once() {
        assert_eq!(form_field(b"a=1&key=tsk_%61b+c%2525", "key").as_deref(), Some("tsk_ab c%25"));
        assert_eq!(form_field(b"keys=1", "key"), None);
        assert_eq!(form_field(b"key=%zz", "key"), None);
    }
}
