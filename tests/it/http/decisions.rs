//! The gate over HTTP: asked on the caller's clock, read again, computed again.

use axum::body::Body;
use serde_json::{Value, json};
use tallystick::policy::access::Role;

use super::served;

const NOON: &str = "2026-11-24T17:00:00Z";

fn question(phone: &str) -> Value {
    json!({
        "recipient": { "phone": phone, "line_type": "mobile", "zip": "43215" },
        "contact": {
            "channel": "voice", "technology": "manual", "purpose": "marketing", "seller": "broker-a", "topic": "listing"
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_is_answered_read_and_computed_again() {
    let served = served(901).await;
    let ask = async |body: &Value, now: &str| {
        let headers = [("tallystick-now", now), ("content-type", "application/json")];
        served.call(Role::Recorder, "POST", "/v1/decisions/contact", &headers, Body::from(body.to_string())).await
    };
    let size = served.bench.ledger.size();
    let decided = ask(&question("+16145550101"), NOON).await.ok(200);
    assert_eq!(decided["allow"], json!(false));
    assert_eq!(decided["reasons"], json!(["DNC_SCRUB_STALE"]));
    assert_eq!(decided["next_allowed_at"], Value::Null);
    assert_eq!(decided["zones"], json!(["America/New_York"]));
    assert_eq!(decided["local_times"][0]["local"], json!("2026-11-24T12:00:00"));
    assert!(decided["rules"].as_array().is_some_and(|rules| rules.len() > 5));
    assert!(served.bench.ledger.size() > size, "the answer is in the log");
    for withheld in ["phone", "topic", "inputs"] {
        assert_eq!(decided.get(withheld), None, "{withheld}");
    }
    let path = format!("/v1/decisions/{}", decided["decision"].as_str().unwrap());
    let read = served.call(Role::Reader, "GET", &path, &[], Body::empty()).await.ok(200);
    assert_eq!((&read["reasons"], &read["position"]), (&decided["reasons"], &decided["position"]));
    let replay = served.call(Role::Auditor, "POST", &format!("{path}/replay"), &[], Body::empty()).await.ok(200);
    assert_eq!((&replay["identical"], &replay["from"]), (&json!(true), &json!("raw")), "{replay}");
    let absent = "/v1/decisions/01a1a1ec-9980-7000-8000-000000000000";
    served.call(Role::Reader, "GET", absent, &[], Body::empty()).await.refused(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_questions_name_what_is_wrong() {
    let served = served(902).await;
    let ask = async |body: Value, now: &str| {
        let headers = [("tallystick-now", now), ("content-type", "application/json")];
        served.call(Role::Recorder, "POST", "/v1/decisions/contact", &headers, Body::from(body.to_string())).await
    };
    let mut state = question("+16145550101");
    state["recipient"]["state"] = json!("ZZ");
    let problem = ask(state, NOON).await.refused(422, "request_invalid");
    assert_eq!(problem["errors"][0]["code"], json!("state_unknown"));
    assert!(!problem.to_string().contains("ZZ"), "problems never echo values");
    ask(question("12"), NOON).await.refused(422, "request_invalid");
    let mut switched = question("+16145550101");
    switched["policy"] = json!({ "nonsense": true });
    let problem = ask(switched, NOON).await.refused(422, "request_invalid");
    assert_eq!(problem["errors"][0]["code"], json!("switch_unknown"));
    ask(question("+16145550101"), NOON).await.ok(200);
    ask(question("+16145550101"), "2026-11-23T17:00:00Z").await.refused(409, "now_behind");
}
