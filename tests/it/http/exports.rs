//! Exports by HTTP: recorded, fetched, verified by their bytes alone.

use axum::body::Body;
use serde_json::json;
use tallystick::exports::verify::verify_bundle;
use tallystick::policy::access::Role;

use super::served;
use crate::support::consent;

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_recorded_and_its_bundle_verifies() {
    let served = served(1101).await;
    served.post(&consent("a", "lead-1", "+16145550101")).await.ok(201);
    let body = json!({"profile": "audit", "subject": "lead-1"}).to_string();
    let made = served.call(Role::Auditor, "POST", "/v1/exports", &[], body).await.ok(201);
    let id = made["id"].as_str().unwrap();
    let path = format!("/v1/exports/{id}/bundle");
    let bundle = served.call(Role::Auditor, "GET", &path, &[], Body::empty()).await;
    assert_eq!((bundle.status.as_u16(), bundle.header("content-type")), (200, "application/zip"));
    let key = tallystick::jobs::checkpoint::verifier_key(&served.bench.ledger).unwrap();
    let report = verify_bundle(&bundle.bytes, Some(&key));
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    let mut broken = bundle.bytes.clone();
    let middle = broken.len() / 2;
    broken[middle] ^= 1;
    assert!(!verify_bundle(&broken, Some(&key)).problems.is_empty());
    let created = served.get("/v1/events?type=export.created").await.ok(200);
    assert_eq!(created["items"][0]["data"]["export"], id);
    assert_eq!(served.get("/v1/exports").await.ok(200)["items"][0]["id"], id);

    served.manage("/v1/exports", &json!({"subject": "nobody"})).await.refused(404, "not_found");
    served.manage("/v1/exports", &json!({"subject": "lead-1", "profile": "x"})).await.refused(422, "request_invalid");
    served.get("/v1/exports/1/bundle").await.refused(404, "not_found");
    served.call(Role::Reader, "POST", "/v1/exports", &[], "{}").await.refused(403, "forbidden");
}
