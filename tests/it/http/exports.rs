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

#[tokio::test(flavor = "multi_thread")]
async fn an_export_shows_what_its_rules_show_and_bad_rules_are_refused() {
    let served = served(1102).await;
    served.post(&consent("a", "lead-1", "+14195550187")).await.ok(201);
    let made = served.manage("/v1/exports", &json!({"subject": "lead-1", "redact": "counterparty"})).await.ok(201);
    let path = format!("/v1/exports/{}/bundle", made["id"].as_str().unwrap());
    let bundle = served.call(Role::Auditor, "GET", &path, &[], Body::empty()).await;
    let key = tallystick::jobs::checkpoint::verifier_key(&served.bench.ledger).unwrap();
    let report = verify_bundle(&bundle.bytes, Some(&key));
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert!(!bundle.bytes.windows(10).any(|window| window == b"4195550187"));
    let size = served.bench.ledger.size();
    for (wrong, pointer) in [
        (json!({"subject": "lead-1", "redact": "everybody"}), "/redact"),
        (json!({"subject": "lead-1", "disclose": {"otherwise": "fields"}}), "/disclose"),
        (json!({"subject": "lead-1", "redact": "counsel", "disclose": {"otherwise": "none"}}), "/disclose"),
        (json!({"subject": "lead-1", "since_checkpoint": "no note"}), "/since_checkpoint"),
        (json!({"subject": "lead-1", "include": [1, 99999]}), "/include"),
        (json!({"subject": "lead-1", "campaign": "spring"}), "/subject"),
        (json!({"subject": "lead-1", "profile": "article_30"}), "/subject"),
        (json!({"profile": "dsar"}), "/subject"),
    ] {
        let refused = served.manage("/v1/exports", &wrong).await.refused(422, "request_invalid");
        assert_eq!(refused["errors"][0]["pointer"], format!("#{pointer}"), "{wrong}");
    }
    assert_eq!(served.bench.ledger.size(), size, "what is refused is not recorded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_is_fetched_as_a_stream_and_verifies() {
    let served = served(1103).await;
    served.post(&consent("a", "lead-1", "+14195550187")).await.ok(201);
    for profile in ["audit", "ccpa_log", "article_30", "accounting"] {
        let made = served.manage("/v1/exports", &json!({"profile": profile})).await.ok(201);
        assert_eq!(made["subject"], serde_json::Value::Null);
        let path = format!("/v1/exports/{}/bundle", made["id"].as_str().unwrap());
        let bundle = served.call(Role::Auditor, "GET", &path, &[], Body::empty()).await;
        let key = tallystick::jobs::checkpoint::verifier_key(&served.bench.ledger).unwrap();
        let report = verify_bundle(&bundle.bytes, Some(&key));
        assert!(report.problems.is_empty(), "{profile}: {:?}", report.problems);
    }
}
