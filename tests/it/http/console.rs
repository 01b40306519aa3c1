//! The console: login, what it shows, what it refuses.

use axum::body::Body;
use axum::http::{HeaderMap, Request};
use serde_json::json;
use tallystick::http::state::Settings;
use tallystick::policy::access::Role;

use super::{Answer, Served, served, served_with};

async fn ask(served: &Served, method: &str, path: &str, headers: &[(&str, &str)], body: String) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    served.send(request.body(Body::from(body)).unwrap()).await
}

fn cookie(headers: &HeaderMap) -> String {
    headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned()
}

async fn login(served: &Served, role: Role) -> Answer {
    let headers = [("host", "127.0.0.1:8480"), ("origin", "http://127.0.0.1:8480")];
    ask(served, "POST", "/console/login", &headers, format!("key={}", served.key(role))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_opens_the_overview_and_logging_out_closes_it() {
    let served = served(1001).await;
    let mut cost = json!({"id": "c1", "source": "/test", "type": "cost.recorded", "data": {}});
    let example = served.bench.ledger.registry().current("cost.recorded").unwrap().example().unwrap().clone();
    cost["data"] = example["data"].clone();
    cost["data"]["campaign"] = "spring-<b>".into();
    let posted = served.post(&cost).await;
    let campaign = if posted.status == 201 { "spring-&#60;b&#62;" } else { "No cost" };

    let stranger = ask(&served, "GET", "/", &[], String::new()).await;
    assert_eq!(stranger.status, 200);
    assert!(
        stranger.text().contains("type=\"password\"") && !stranger.text().contains(&served.bench.ledger.id.to_string())
    );
    let policy = stranger.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");

    let entered = login(&served, Role::Reader).await;
    assert_eq!((entered.status.as_u16(), entered.header("location")), (303, "/"));
    let set = entered.header("set-cookie");
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Strict") && !set.contains("Secure"), "{set}");
    assert!(!set.contains(served.key(Role::Reader)), "the key itself never becomes a cookie");
    let cookie = cookie(&entered.headers);
    let position = served.bench.ledger.size() - 1;
    let last = served.get(&format!("/v1/views/health?after={position}")).await;
    assert_eq!(last.status, 200);
    let page = ask(&served, "GET", "/", &[("cookie", &cookie)], String::new()).await;
    let text = page.text();
    for shown in
        ["entries in the log", &served.bench.ledger.root_now().1.to_string(), campaign, "Verifier key", "Log out"]
    {
        assert!(text.contains(shown), "{shown} in {text}");
    }
    assert!(!text.contains("<script") && !text.contains("style="));
    assert!(
        ask(&served, "GET", "/console/console.css", &[], String::new())
            .await
            .header("content-type")
            .starts_with("text/css")
    );
    ask(&served, "GET", "/console/nothing.css", &[], String::new()).await.refused(404, "not_found");

    ask(&served, "POST", "/console/logout", &[("cookie", &cookie)], String::new()).await;
    let after = ask(&served, "GET", "/", &[("cookie", &cookie)], String::new()).await;
    assert!(after.text().contains("type=\"password\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_sites_wrong_keys_and_small_roles_stay_outside() {
    let served = served(1002).await;
    let headers = [("host", "127.0.0.1:8480"), ("origin", "https://evil.example")];
    let body = format!("key={}", served.key(Role::Admin));
    ask(&served, "POST", "/console/login", &headers, body).await.refused(403, "origin_refused");
    let wrong = ask(&served, "POST", "/console/login", &[], "key=tsk_nothing".into()).await;
    assert_eq!(wrong.status, 401);
    assert!(!wrong.headers.contains_key("set-cookie") && !wrong.text().contains("tsk_nothing"));
    let recorder = cookie(&login(&served, Role::Recorder).await.headers);
    assert_eq!(ask(&served, "GET", "/", &[("cookie", &recorder)], String::new()).await.status, 403);
    // A session is for the console alone: the API takes keys.
    let admin = cookie(&login(&served, Role::Admin).await.headers);
    ask(&served, "GET", "/v1/events", &[("cookie", &admin)], String::new()).await.refused(401, "unauthenticated");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_ends_its_sessions() {
    let served = served(1003).await;
    let cookie = cookie(&login(&served, Role::Reader).await.headers);
    let keys = served.get("/v1/admin/keys").await.ok(200);
    let reader = keys["items"].as_array().unwrap().iter().find(|item| item["role"] == "reader").unwrap().clone();
    let path = format!("/v1/admin/keys/{}", reader["principal"].as_str().unwrap());
    served.call(Role::Admin, "DELETE", &path, &[], Body::empty()).await.ok(200);
    let page = ask(&served, "GET", "/", &[("cookie", &cookie)], String::new()).await;
    assert!(page.text().contains("type=\"password\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_tls_the_cookie_is_bound_to_the_host() {
    let served = served_with(1004, Settings { secure_cookies: true, ..Settings::default() }).await;
    let set = login(&served, Role::Reader).await;
    assert!(
        set.header("set-cookie").starts_with("__Host-tallystick=") && set.header("set-cookie").contains("; Secure")
    );
}
