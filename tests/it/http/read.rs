//! Reading back: pages, single events by role, people, views.

use axum::body::Body;
use serde_json::{Value, json};
use tallystick::policy::access::Role;

use super::{Served, served};
use crate::support::consent;

async fn filled(seed: u64, count: usize) -> Served {
    let served = served(seed).await;
    let batch: Vec<Value> =
        (0..count).map(|n| consent(&n.to_string(), &format!("lead-{n}"), &format!("+1614555{:04}", 100 + n))).collect();
    assert_eq!(served.post(&json!(batch)).await.ok(200)["recorded"], count);
    served
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_cover_the_log_without_gap_or_repeat() {
    let served = filled(501, 25).await;
    let size = served.bench.ledger.size();
    let mut seen = Vec::new();
    let mut path = "/v1/events?limit=7".to_owned();
    loop {
        let answer = served.get(&path).await;
        let page = answer.ok(200);
        seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["position"].as_u64().unwrap()));
        assert_eq!(page["has_more"], page["next_cursor"].is_string());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/events?limit=7&cursor={cursor}");
        assert_eq!(answer.header("link"), format!("<{path}>; rel=\"next\""));
    }
    assert_eq!(seen, (0..size).collect::<Vec<_>>());
    let typed = served.get("/v1/events?type=consent.granted&limit=1000").await.ok(200);
    assert_eq!(typed["items"].as_array().unwrap().len(), 25);
    let after = served.get(&format!("/v1/events?after={}", size - 2)).await.ok(200);
    assert_eq!(after["items"].as_array().unwrap().len(), 1);
    served.get("/v1/events?cursor=AAAA").await.refused(400, "cursor_invalid");
    served.get("/v1/events?limit=0").await.refused(400, "parameter_invalid");
    served.get("/v1/events?typ=consent.granted").await.refused(400, "parameter_invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_time_selects_a_span() {
    let served = served(502).await;
    for (id, now) in [("a", "2026-11-21T08:00:00Z"), ("b", "2026-11-21T09:00:00Z"), ("c", "2026-11-21T10:00:00Z")] {
        served
            .post_with("/v1/events", &[("tallystick-now", now)], &consent(id, "lead-1", "+16145550101"))
            .await
            .ok(201);
    }
    let count = async |query: &str| {
        let page = served.get(&format!("/v1/events?type=consent.granted&{query}")).await.ok(200);
        page["items"].as_array().unwrap().len()
    };
    assert_eq!(count("from=2026-11-21T09:00:00Z").await, 2);
    assert_eq!(count("to=2026-11-21T09:00:00Z").await, 1);
    assert_eq!(count("from=2026-11-21T09:00:00Z&to=2026-11-21T10:00:00Z").await, 1);
    assert_eq!(count("from=2027-01-01T00:00:00Z").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_shows_each_role_what_it_may_see() {
    let served = served(503).await;
    let mut event = consent("a", "lead-1", "+16145550101");
    event["data"]["unknown_note"] = "said yes".into();
    let position = served.post(&event).await.ok(201)["position"].clone();
    let read = async |role: Role| {
        served.call(role, "GET", &format!("/v1/events/{position}"), &[], Body::empty()).await.ok(200)
    };
    let recorder = read(Role::Recorder).await;
    assert_eq!(recorder["type"], "consent.granted");
    assert!(
        recorder.get("data").is_none()
            && recorder.get("parts").is_none()
            && !recorder.to_string().contains("6145550101")
    );
    let reader = read(Role::Reader).await;
    assert_eq!(reader["data"], event["data"], "what was split is put together again");
    assert_eq!(reader["attributes"]["id"], "a");
    assert_eq!(reader["occurred"], "2026-11-19T12:00:00.000000Z");
    assert!(reader.get("raw").is_none());
    for role in [Role::Auditor, Role::Admin] {
        let raw = read(role).await["raw"]["text"].as_str().unwrap().to_owned();
        assert_eq!(serde_json::from_str::<Value>(&raw).unwrap(), event);
    }
    served.get("/v1/events/4096").await.refused(404, "not_found");
    served.get("/v1/events/x").await.refused(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_found_by_what_identifies_them() {
    let served = served(504).await;
    let first = served.post(&consent("a", "lead-1", "+16145550101")).await.ok(201);
    served.post(&consent("b", "lead-1", "+16145550101")).await.ok(201);
    let search = async |body: Value| served.manage("/v1/subjects/search", &body).await;
    for body in [
        json!({"phone": "(614) 555-0101"}),
        json!({"phone": "+16145550101"}),
        json!({"ref": "lead-1", "source": "/test"}),
        json!({"ref": "lead-1"}),
    ] {
        let found = search(body).await.ok(200);
        assert_eq!(found["items"][0]["subject"], first["subject"]);
    }
    assert_eq!(search(json!({"email": "nobody@example.com"})).await.ok(200)["items"], json!([]));
    let problem = search(json!({"phone": "MARKER"})).await.refused(422, "identifier_invalid");
    assert!(!problem.to_string().contains("MARKER"));
    search(json!({"phone": "+16145550101", "email": "a@example.com"})).await.refused(422, "identifier_invalid");
    search(json!({"name": "x"})).await.refused(422, "request_invalid");

    let subject = first["subject"].as_str().unwrap();
    let known = served.get(&format!("/v1/subjects/{subject}")).await.ok(200);
    assert_eq!(known["events"], 3, "the binding and two consents");
    let mut values: Vec<&str> =
        known["identifiers"].as_array().unwrap().iter().map(|item| item["value"].as_str().unwrap()).collect();
    values.sort_unstable();
    assert_eq!(values, ["+16145550101", "/test lead-1"]);
    served.get("/v1/subjects/01a1a1ec-9980-7000-8000-000000000000").await.refused(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeline_follows_the_links_on_both_axes() {
    let served = served(505).await;
    let mut subject = String::new();
    for (id, now, occurred) in
        [("a", "2026-11-21T08:00:00Z", "2026-11-01T00:00:00Z"), ("b", "2026-11-21T09:00:00Z", "2026-10-01T00:00:00Z")]
    {
        let mut event = consent(id, "lead-1", "+16145550101");
        event["time"] = occurred.into();
        let receipt = served.post_with("/v1/events", &[("tallystick-now", now)], &event).await.ok(201);
        subject = receipt["subject"].as_str().unwrap().to_owned();
    }
    let ids = async |query: &str| -> Vec<String> {
        let page = served.get(&format!("/v1/subjects/{subject}/timeline?{query}")).await.ok(200);
        let items = page["items"].as_array().unwrap().clone();
        items.iter().filter_map(|item| item["attributes"]["id"].as_str().map(str::to_owned)).collect()
    };
    assert_eq!(ids("").await, ["b", "a"]);
    assert_eq!(ids("known_at=2026-11-21T08:30:00Z").await, ["a"]);
    assert_eq!(ids("as_of=2026-10-15T00:00:00Z").await, ["b"]);
    let page = served.get(&format!("/v1/subjects/{subject}/timeline?limit=1")).await.ok(200);
    let cursor = page["next_cursor"].as_str().unwrap();
    assert_eq!(ids(&format!("limit=1&cursor={cursor}")).await, ["a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn consent_of_a_person_is_read_back_at_once() {
    let served = served(506).await;
    let receipt = served.post(&consent("a", "lead-1", "+16145550101")).await.ok(201);
    let subject = receipt["subject"].as_str().unwrap();
    let path = format!("/v1/subjects/{subject}/consent?after={}", receipt["position"]);
    let answer = served.call(Role::Reader, "GET", &path, &[("prefer", "wait=10")], Body::empty()).await.ok(200);
    let acts = answer["acts"].as_array().unwrap();
    assert_eq!(acts[0]["act"], "granted", "{answer}");
    assert_eq!(answer["cells"][0]["channel"], "sms");
    let before = served.get(&format!("{path}&as_of=2026-11-18T00:00:00Z")).await.ok(200);
    assert_eq!(before["cells"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn views_answer_as_json_and_csv_and_wait_for_the_callers_own_write() {
    let served = filled(507, 5).await;
    let last = served.bench.ledger.size() - 1;
    for view in ["roi", "health", "consent"] {
        let path = format!("/v1/views/{view}?after={last}");
        served.call(Role::Reader, "GET", &path, &[("prefer", "wait=10")], Body::empty()).await.ok(200);
        let csv = served.call(Role::Reader, "GET", &path, &[("accept", "text/csv")], Body::empty()).await;
        assert_eq!(csv.status, 200);
        assert!(csv.header("content-type").starts_with("text/csv"));
        assert!(csv.text().lines().count() >= 1);
    }
    let consent = served.get("/v1/views/consent").await.ok(200);
    assert_eq!(consent["items"][0]["count"], 5, "{consent}");
    let compliance = &consent["compliance"];
    let (contacts, findings) = (&compliance["contacts"], &compliance["findings"]);
    assert_eq!(compliance["exposure"][0]["law"], "tcpa_227_b", "{consent}");
    assert_eq!(compliance["percent"].is_null(), contacts == 0, "{consent}");
    let listed = served.get("/v1/views/consent?report=findings").await.ok(200);
    assert_eq!(listed["items"].as_array().unwrap().len() as u64, findings.as_u64().unwrap());
    for report in ["findings", "revocations"] {
        let path = format!("/v1/views/consent?report={report}");
        let csv = served.call(Role::Reader, "GET", &path, &[("accept", "text/csv")], Body::empty()).await;
        assert!(csv.text().starts_with("position,"), "{}", csv.text());
    }
    served.get("/v1/views/consent?report=all").await.refused(400, "parameter_invalid");
    let ahead = format!("/v1/views/roi?after={}", last + 1000);
    let answer = served.call(Role::Reader, "GET", &ahead, &[("prefer", "wait=0")], Body::empty()).await;
    answer.refused(503, "projection_behind");
    assert!(answer.header("retry-after").parse::<u64>().is_ok());
    served.get("/v1/views/roi?by=phone").await.refused(400, "parameter_invalid");
    served.get("/v1/views/roi?from=yesterday").await.refused(400, "parameter_invalid");
}
