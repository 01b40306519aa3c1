//! Limits, preferences, the caller's clock, repeated requests.

use axum::body::Body;
use serde_json::json;
use tallystick::decisions::DecideError;
use tallystick::http::error::Problem;
use tallystick::http::state::Settings;
use tallystick::ingest::Ledger;
use tallystick::ingest::create::NewLedger;
use tallystick::ingest::read::ReadError;
use tallystick::policy::access::Role;
use tallystick::store::StoreError;
use tallystick::views::ViewError;

use super::{serve_bench, served};
use crate::support::{Bench, consent, keyring, scratch};

#[tokio::test(flavor = "multi_thread")]
async fn every_limit_has_its_own_answer() {
    let served = served(201).await;
    let limits = served.bench.ledger.options.limits;
    let body = "x".repeat(limits.body_bytes_max + 1);
    served.call(Role::Recorder, "POST", "/v1/events", &[], body).await.refused(413, "body_too_large");
    let list = json!(vec![json!({}); limits.batch_events_max + 1]);
    served.post(&list).await.refused(413, "batch_too_large");
    let mut large = consent("large", "lead-1", "+16145550101");
    large["data"]["note"] = "x".repeat(limits.event_bytes_max).into();
    let problem = served.post(&large).await.refused(413, "event_too_large");
    assert!(problem["quarantine"]["position"].as_u64().is_some(), "a fact too large is kept all the same");
    let mut deep = json!("x");
    for _ in 0..40 {
        deep = json!({ "n": deep });
    }
    let mut event = consent("deep", "lead-1", "+16145550101");
    event["data"]["deep"] = deep;
    served.post(&event).await.refused(422, "nesting_too_deep");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_event_at_all_is_refused_and_not_kept() {
    let served = served(202).await;
    let post = async |media: &str, body: &str| {
        served.call(Role::Recorder, "POST", "/v1/events", &[("content-type", media)], body.to_owned()).await
    };
    post("application/json", "{").await.refused(400, "not_json");
    post("application/json", "").await.refused(400, "not_json");
    post("application/json", "7").await.refused(400, "not_an_event");
    post("application/cloudevents-batch+json", "{}").await.refused(400, "not_an_event");
    post("text/plain", "hello").await.refused(415, "unknown_content_type");
    let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
    served.call(Role::Recorder, "POST", "/v1/events", &headers, "x").await.refused(415, "encoding_unsupported");
    served.post_with("/v1/events?dryrun", &[], &json!({})).await.refused(400, "parameter_invalid");
    assert_eq!(served.bench.ledger.size(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn problems_never_repeat_a_value() {
    let served = served(203).await;
    let mut event = consent("a", "lead-1", "+16145550101");
    event["data"]["phone"] = "tel:MARKER-PHONE".into();
    event["data"]["kind"] = "MARKER-KIND".into();
    let answer = served.post(&event).await;
    assert_eq!(answer.status, 422);
    assert!(!answer.text().contains("MARKER"), "{}", answer.text());
    assert!(answer.json()["errors"].as_array().unwrap().len() >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callers_clock_counts_on_scratch_ledgers_alone() {
    let served = served(204).await;
    let now = [("tallystick-now", "2026-11-21T08:00:00Z")];
    let receipt = served.post_with("/v1/events", &now, &consent("a", "lead-1", "+16145550101")).await.ok(201);
    assert_eq!(receipt["recorded"], "2026-11-21T08:00:00.000000Z");
    let behind = [("tallystick-now", "2026-11-21T07:59:59Z")];
    served.post_with("/v1/events", &behind, &consent("b", "lead-1", "+16145550101")).await.refused(409, "now_behind");
    let wrong = [("tallystick-now", "yesterday")];
    served.post_with("/v1/events", &wrong, &consent("b", "lead-1", "+16145550101")).await.refused(400, "now_invalid");

    let Bench { folder, tasks, options, clock, ledger } = scratch(None, 205).await;
    let id = tallystick::domain::ids::LedgerId::from_bytes([9; 16]);
    let path = folder.path().join("real");
    let location = tallystick::store::Location::Sqlite(path.clone());
    let options = tallystick::ingest::LedgerOptions { folder: path, location, ..options };
    let new = NewLedger { id, origin: "real.example/log".into(), scratch: false, begins: None };
    let random = ledger.random.clone();
    let real = Ledger::create(new, options.clone(), keyring(), clock.clone(), random, tasks.clone()).await.unwrap();
    let real = serve_bench(Bench { ledger: real, folder, tasks, options, clock }, Settings::default()).await;
    real.post_with("/v1/events", &now, &consent("a", "lead-1", "+16145550101")).await.refused(400, "now_not_allowed");
    real.post(&consent("a", "lead-1", "+16145550101")).await.ok(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_answers_again_and_is_bound_to_its_body() {
    let served = served(206).await;
    let key = [("idempotency-key", "\"once\"")];
    let event = consent("a", "lead-1", "+16145550101");
    let first = served.post_with("/v1/events", &key, &event).await;
    let again = served.post_with("/v1/events", &[("idempotency-key", "once")], &event).await;
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (201, 201));
    assert_eq!(first.bytes, again.bytes);
    assert_eq!(again.header("idempotent-replayed"), "true");
    let other = consent("b", "lead-1", "+16145550101");
    served.post_with("/v1/events", &key, &other).await.refused(422, "idempotency_key_reused");
    served.post_with("/v1/events", &[("idempotency-key", "")], &other).await.refused(400, "idempotency_key_invalid");
    // Without any key the event's own source and id make a retry safe.
    assert_eq!(served.post(&event).await.ok(200)["status"], "duplicate");
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_addresses_and_methods_are_problems_too() {
    let served = served(207).await;
    served.get("/v2/events").await.refused(404, "not_found");
    let answer = served.call(Role::Admin, "PUT", "/v1/events", &[], Body::empty()).await;
    answer.refused(405, "method_not_allowed");
    assert!(answer.header("allow").contains("POST"), "{:?}", answer.headers);
}

#[test]
fn a_store_without_a_free_connection_is_busy_and_any_other_failure_is_internal() {
    let busy = Problem::from(StoreError::Database(sqlx::Error::PoolTimedOut));
    assert_eq!((busy.code.status.as_u16(), busy.code.name, busy.retry_after), (503, "store_busy", Some(2)));
    let nested = Problem::from(ViewError::Store(StoreError::Database(sqlx::Error::PoolTimedOut)));
    assert_eq!(nested.code.name, "store_busy");
    let decision = Problem::from(DecideError::Read(ReadError::Store(StoreError::Database(sqlx::Error::PoolTimedOut))));
    assert_eq!(decision.code.name, "store_busy", "no answer, and no failure either");
    let lookup = Problem::from(ReadError::Store(StoreError::Busy));
    assert_eq!(lookup.code.name, "store_busy", "lookups by key have connections of their own");
    let broken = Problem::from(StoreError::Database(sqlx::Error::PoolClosed));
    assert_eq!((broken.code.status.as_u16(), broken.code.name), (500, "internal"));
}
