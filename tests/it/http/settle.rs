//! Quarantine by HTTP: seen, fixed, replayed, discarded.

use serde_json::json;
use tallystick::policy::access::Role;

use super::served;
use crate::support::consent;

#[tokio::test(flavor = "multi_thread")]
async fn an_item_is_listed_read_fixed_and_closed() {
    let served = served(601).await;
    let mut event = consent("a", "lead-1", "+16145550101");
    event["data"]["phone"] = "12".into();
    let problem = served.post(&event).await;
    assert_eq!(problem.status, 422);
    let position = problem.json()["quarantine"]["position"].as_u64().unwrap();
    let list = served.get(&format!("/v1/quarantine?after={position}")).await.ok(200);
    assert_eq!(list["items"][0]["position"], position, "{list}");
    let path = format!("/v1/quarantine/{position}");
    let item = served.get(&path).await.ok(200);
    assert_eq!(item["errors"][0]["pointer"], "#/data/phone");
    assert!(item["raw"]["text"].as_str().unwrap().contains("lead-1"));
    let reader = served.call(Role::Reader, "GET", &path, &[], axum::body::Body::empty()).await.ok(200);
    assert!(reader.get("raw").is_none(), "the bytes are an admin's alone");
    served.manage(&format!("{path}/replay"), &json!({})).await.ok_or_refused();
    let fixed = served.manage(&format!("{path}/fix"), &consent("a", "lead-1", "+16145550101")).await.ok(200);
    assert_eq!(fixed["status"], "recorded");
    let closing = served.bench.ledger.size() - 1;
    let entry = served.get(&format!("/v1/events/{closing}")).await.ok(200);
    assert_eq!((&entry["type"], &entry["data"]["item"]), (&json!("quarantine.fixed"), &json!(position)));
    let open = served.get(&format!("/v1/quarantine?after={closing}")).await.ok(200);
    assert_eq!(open["items"], json!([]));
    let all = served.get("/v1/quarantine?state=all").await.ok(200);
    assert_eq!(all["items"][0]["state"], "fixed");
}

impl super::Answer {
    #[track_caller]
    fn ok_or_refused(&self) {
        assert_eq!(self.status, 422, "an item that is still wrong stays where it is: {}", self.text());
        assert!(self.json().get("quarantine").is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_is_discarded_for_a_reason_once() {
    let served = served(602).await;
    let position = served.post(&json!({"id": "1"})).await.json()["quarantine"]["position"].as_u64().unwrap();
    let path = format!("/v1/quarantine/{position}/discard");
    served.manage(&path, &json!({"reason": "boredom"})).await.refused(422, "request_invalid");
    served.manage(&path, &json!({"reason": "test"})).await.ok(200);
    served.manage(&path, &json!({"reason": "test"})).await.refused(410, "gone");
    served.manage(&format!("/v1/quarantine/{position}/replay"), &json!({})).await.refused(410, "gone");
    served.manage("/v1/quarantine/0/discard", &json!({"reason": "test"})).await.refused(404, "not_found");
    served.get("/v1/quarantine/99999").await.refused(404, "not_found");
}
