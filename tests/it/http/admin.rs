//! Keys, ledgers, event types, health, metrics.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tallystick::http::state::{CreatedLedger, LedgerFactory, LedgerFactoryError, LedgerRequest, Settings};
use tallystick::policy::access::Role;

use super::{served, served_with};
use crate::support::{consent, scratch};

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_made_once_works_and_stops_working() {
    let served = served(701).await;
    let made = served.manage("/v1/admin/keys", &json!({"role": "recorder", "label": "n8n"})).await.ok(201);
    let key = made["key"].as_str().unwrap();
    let post = async |id: &str| {
        let request = Request::builder()
            .method("POST")
            .uri("/v1/events")
            .header("authorization", format!("Bearer {key}"))
            .body(Body::from(consent(id, "lead-1", "+16145550101").to_string()));
        served.send(request.unwrap()).await
    };
    let receipt = post("a").await.ok(201);
    let entry = served.get(&format!("/v1/events/{}", receipt["position"])).await.ok(200);
    assert_eq!(entry["actor"], made["principal"], "the entry names the key's principal");
    let list = served.get("/v1/admin/keys").await;
    assert!(!list.text().contains(key));
    let items = list.json()["items"].as_array().unwrap().clone();
    assert!(items.iter().any(|item| item["label"] == "n8n" && item["revoked"].is_null()));
    let path = format!("/v1/admin/keys/{}?reason=rotated", made["principal"].as_str().unwrap());
    let revoked = served.call(Role::Admin, "DELETE", &path, &[], Body::empty()).await.ok(200);
    post("b").await.refused(401, "unauthenticated");
    served.call(Role::Admin, "DELETE", &path, &[], Body::empty()).await.refused(404, "not_found");
    for (position, expected) in
        [(&made["position"], "access.key_created"), (&revoked["position"], "access.key_revoked")]
    {
        let entry = served.get(&format!("/v1/events/{position}")).await.ok(200);
        assert_eq!(entry["type"], expected);
        assert_eq!(entry["data"]["principal"], made["principal"]);
    }
    served.manage("/v1/admin/keys", &json!({"role": "owner"})).await.refused(422, "request_invalid");
    served.manage("/v1/admin/keys", &json!({"role": "reader", "label": "a b"})).await.refused(422, "request_invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_admin_key_cannot_be_revoked() {
    let served = served(702).await;
    let keys = served.get("/v1/admin/keys").await.ok(200);
    let admin = keys["items"].as_array().unwrap().iter().find(|item| item["role"] == "admin").unwrap().clone();
    let path = format!("/v1/admin/keys/{}", admin["principal"].as_str().unwrap());
    served.call(Role::Admin, "DELETE", &path, &[], Body::empty()).await.refused(409, "last_admin");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customers_own_type_is_registered_and_used() {
    let served = served(703).await;
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://tallystick.local/schemas/x.door_knock.v1",
        "title": "Door knock", "description": "Somebody knocked.",
        "type": "object", "x-type": "x.door_knock", "x-version": 1, "x-class": "contact", "x-subject": true,
        "x-service": false,
        "properties": { "outcome": {
            "type": "string", "description": "What came of it.", "enum": ["talked", "nobody"], "maxLength": 10, "x-business": true
        } },
        "required": ["outcome"]
    });
    let event = |outcome: &str| {
        json!({
            "id": format!("knock-{outcome}"), "source": "/field", "type": "x.door_knock", "subject": "lead-1",
            "data": { "outcome": outcome }
        })
    };
    served.post(&event("talked")).await.refused(422, "unknown_type");
    let registered = served.manage("/v1/admin/schemas", &schema).await;
    registered.ok(201);
    assert_eq!(served.manage("/v1/admin/schemas", &schema).await.ok(200)["version"], 1);
    served.post(&event("talked")).await.ok(201);
    assert_eq!(served.post(&event("sang")).await.refused(422, "not_in_enum")["errors"][0]["pointer"], "#/data/outcome");
    let document = served.get("/v1/admin/schemas?type=x.door_knock").await.ok(200);
    assert_eq!(document["title"], "Door knock");
    served.manage("/v1/admin/schemas", &json!({"x-type": "consent.granted"})).await.refused(422, "schema_refused");
}

struct Factory(tokio::sync::Mutex<Vec<crate::support::Bench>>);

impl LedgerFactory for Factory {
    fn ledger_create(&self, request: LedgerRequest) -> BoxFuture<'_, Result<CreatedLedger, LedgerFactoryError>> {
        Box::pin(async move {
            if !request.scratch {
                return Err(LedgerFactoryError::Refused("only scratch ledgers are made here"));
            }
            let bench = scratch(None, 799).await;
            let other = super::serve_bench(bench, Settings::default()).await;
            let service = Arc::clone(&other.state.services()[0]);
            let admin_key = other.key(Role::Admin).to_owned();
            let verifier_key = tallystick::jobs::checkpoint::verifier_key(&service.ledger).unwrap().to_string();
            self.0.lock().await.push(other.bench);
            Ok(CreatedLedger { service, verifier_key, admin_key })
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scratch_ledger_is_made_and_served_beside_the_first() {
    let factory = Arc::new(Factory(tokio::sync::Mutex::default()));
    let served = served_with(704, Settings { ledgers: Some(factory), ..Settings::default() }).await;
    let made = served.manage("/v1/admin/ledgers", &json!({"scratch": true})).await.ok(201);
    let request = |id: &str| {
        Request::builder()
            .method("POST")
            .uri("/v1/events")
            .header("authorization", format!("Bearer {}", made["admin_key"].as_str().unwrap()))
            .body(Body::from(consent(id, "lead-1", "+16145550101").to_string()))
            .unwrap()
    };
    served.send(request("a")).await.ok(201);
    assert_eq!(served.bench.ledger.size(), 1, "the first ledger saw nothing of it");
    served.manage("/v1/admin/ledgers", &json!({"scratch": false})).await.refused(422, "request_invalid");
    served
        .manage("/v1/admin/ledgers", &json!({"begins": "2026-01-01T00:00:00Z"}))
        .await
        .refused(422, "request_invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_metrics_and_state_are_told() {
    let served = served(705).await;
    let ask = async |path: &str| served.send(Request::builder().uri(path).body(Body::empty()).unwrap()).await;
    assert_eq!(ask("/healthz").await.ok(200)["status"], "ok");
    let ready = ask("/readyz").await.ok(200);
    assert_eq!(ready["status"], "ready");
    let event = consent("MARKER-ID", "MARKER-SUBJECT", "+16145550101");
    served.post(&event).await.ok(201);
    let subject = served.manage("/v1/subjects/search", &json!({"phone": "+16145550101"})).await.ok(200);
    let subject = subject["items"][0]["subject"].as_str().unwrap().to_owned();
    served.get(&format!("/v1/subjects/{subject}")).await.ok(200);
    let metrics = ask("/metrics").await.text();
    for name in
        ["tallystick_http_requests_total", "tallystick_events_total", "tallystick_log_entries", "_seconds_bucket"]
    {
        assert!(metrics.contains(name), "{name} in {metrics}");
    }
    for personal in ["MARKER", "6145550101", &subject] {
        assert!(!metrics.contains(personal), "{personal} in metrics");
    }
    let state = served.get("/v1/admin/ledger").await.ok(200);
    assert_eq!(state["size"].as_u64(), Some(served.bench.ledger.size()));
    assert_eq!(state["role"], "admin");
    let refusal: Value = served.call(Role::Admin, "POST", "/v1/admin/clock/confirm", &[], Body::empty()).await.json();
    assert_eq!(refusal["code"], "now_not_allowed");
}
