//! Who reaches what: every route, every role.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use tallystick::http::routes::{Access, ROUTES};
use tallystick::http::state::Settings;
use tallystick::policy::access::{Action, Role, allowed};

use super::{served, served_with};

/// A path that the route matches, whatever it then answers.
fn concrete(path: &str, ledger: &str) -> String {
    path.replace("{ledger}", ledger)
        .replace("{position}", "0")
        .replace("{*tile}", "0/000.p/1")
        .replace("{*rest}", "index.css")
        .replace("{subject}", "01a1a1ec-9980-7000-8000-000000000000")
        .replace("{principal}", "01a1a1ec-9980-7000-8000-000000000000")
        .replace("{export}", "1")
        .replace("{request}", "00000000000000000000000000000000")
        .replace("{hold}", "matter-1")
        .replace("{erasure}", "01a1a1ec-9980-7000-8000-000000000000")
        .replace("{decision}", "01a1a1ec-9980-7000-8000-000000000000")
        .replace("{asset}", "console.css")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_asks_for_a_key_and_heeds_its_role() {
    let served = served(301).await;
    let ledger = served.bench.ledger.id.to_string();
    for route in ROUTES {
        let path = concrete(route.path, &ledger);
        let request = Request::builder().method(route.method).uri(&path).body(Body::empty()).unwrap();
        // A stream would never end; the table is asked for its roles below all the same.
        let stranger = if route.path == "/v1/events/stream" { None } else { Some(served.send(request).await) };
        let Access::Needs(action) = route.access else {
            // A login without a key is refused as a login, by its own page.
            if let Some(answer) = stranger.filter(|_| route.path != "/console/login") {
                assert_ne!(answer.status, StatusCode::UNAUTHORIZED, "{} {path}", route.method);
            }
            continue;
        };
        if let Some(answer) = stranger {
            answer.refused(401, "unauthenticated");
            assert!(answer.header("www-authenticate").starts_with("Bearer"));
        }
        for role in Role::ALL.into_iter().filter(|role| !allowed(*role, action)) {
            served.call(role, route.method, &path, &[], Body::empty()).await.refused(403, "forbidden");
        }
        for role in Role::ALL.into_iter().filter(|role| allowed(*role, action)) {
            if route.path == "/v1/events/stream" {
                continue;
            }
            let answer = served.call(role, route.method, &path, &[], Body::empty()).await;
            let status = answer.status.as_u16();
            assert!(status != 401 && status != 403, "{role} {} {path}: {}", route.method, answer.text());
            assert_ne!(status, 405, "{} {path} is in the table and not in the router", route.method);
        }
    }
}

/// The router and the table name the same routes.
#[test]
fn what_is_documented_is_what_the_table_knows() {
    let document: serde_json::Value = serde_json::from_str(&tallystick::http::openapi_document().unwrap()).unwrap();
    let mut documented = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys().filter(|name| *name != "parameters" && *name != "summary") {
            documented.push((method.to_uppercase(), path.replace("{tile}", "{*tile}")));
        }
    }
    documented.sort();
    let hidden = ["/openapi.json", "/docs", "/docs/", "/docs/{*rest}"];
    let mut known: Vec<(String, String)> = ROUTES
        .iter()
        .filter(|route| !hidden.contains(&route.path) && route.access != Access::Console)
        .map(|route| (route.method.to_owned(), route.path.to_owned()))
        .collect();
    known.sort();
    assert_eq!(documented, known);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_refused_whatever_is_wrong_with_them() {
    let served = served(302).await;
    let other = super::served(303).await;
    let good = served.key(Role::Admin).to_owned();
    let mut mistyped = good.clone();
    mistyped.replace_range(20..21, if good[20..21] == *"A" { "B" } else { "A" });
    for key in [String::new(), "x".into(), mistyped, other.key(Role::Admin).to_owned(), format!("{good} ")] {
        let request = Request::builder().uri("/v1/events").header("authorization", format!("Bearer {key}"));
        let answer = served.send(request.body(Body::empty()).unwrap()).await;
        if key.trim() == good {
            assert_eq!(answer.status, 200);
        } else {
            answer.refused(401, "unauthenticated");
        }
    }
    let basic = Request::builder().uri("/v1/events").header("authorization", format!("Basic {good}"));
    served.send(basic.body(Body::empty()).unwrap()).await.refused(401, "unauthenticated");
}

#[tokio::test(flavor = "multi_thread")]
async fn hash_tiles_are_open_or_not_as_set_and_bundles_never() {
    let served = served_with(304, Settings { log_public: false, ..Settings::default() }).await;
    let id = served.bench.ledger.id;
    served.state.services()[0].checkpoints.wait_for(1, std::time::Duration::from_secs(5)).await.unwrap();
    let ask = async |path: &str| served.send(Request::builder().uri(path).body(Body::empty()).unwrap()).await;
    ask(&format!("/log/{id}/checkpoint")).await.refused(401, "unauthenticated");
    ask(&format!("/log/{id}/tile/0/000.p/1")).await.refused(401, "unauthenticated");
    let reader = served.call(Role::Reader, "GET", &format!("/log/{id}/tile/0/000.p/1"), &[], Body::empty()).await;
    assert_eq!(reader.status, 200);

    let open = super::served(305).await;
    let id = open.bench.ledger.id;
    open.state.services()[0].checkpoints.wait_for(1, std::time::Duration::from_secs(5)).await.unwrap();
    let ask = async |path: &str| open.send(Request::builder().uri(path).body(Body::empty()).unwrap()).await;
    assert_eq!(ask(&format!("/log/{id}/checkpoint")).await.status, 200);
    assert_eq!(ask(&format!("/log/{id}/tile/0/000.p/1")).await.status, 200);
    ask(&format!("/log/{id}/tile/entries/000.p/1")).await.refused(401, "unauthenticated");
    // The path as decoded decides, not as sent.
    ask(&format!("/log/{id}/tile/%65ntries/000.p/1")).await.refused(401, "unauthenticated");
    for role in Role::ALL {
        let answer = open.call(role, "GET", &format!("/log/{id}/tile/entries/000.p/1"), &[], Body::empty()).await;
        assert_eq!(answer.status.as_u16(), if allowed(role, Action::LogEntries) { 200 } else { 403 }, "{role}");
    }
    ask("/log/01a1a1ec-9980-7000-8000-000000000000/checkpoint").await.refused(404, "ledger_unknown");
}
