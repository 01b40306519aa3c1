//! Every form of every type.

use serde_json::{Value, json};
use tallystick::policy::access::Role;
use tallystick::schema::Registry;

use super::{Answer, Served, served};
use crate::support::consent;

/// The first example of each type, as a poster would send it, with an id of its own per form.
fn examples(service: bool) -> Vec<Value> {
    let registry = Registry::builtin().unwrap();
    let mut found = Vec::new();
    for schema in registry.all().iter().filter(|schema| schema.service == service) {
        found.push(schema.example().unwrap().clone());
    }
    found
}

fn with_id(event: &Value, form: &str) -> Value {
    let mut event = event.clone();
    // A type has an example for each of its versions.
    event["id"] = format!("{form}-{}-{}", event["type"].as_str().unwrap(), event["id"].as_str().unwrap()).into();
    event
}

async fn binary(served: &Served, event: &Value) -> Answer {
    let encode = |text: &str| -> String {
        text.bytes()
            .map(|byte| match byte {
                b'!' | b'#'..=b'$' | b'&'..=b'~' => char::from(byte).to_string(),
                other => format!("%{other:02X}"),
            })
            .collect()
    };
    let attributes =
        event.as_object().unwrap().iter().filter(|(name, _)| *name != "data" && *name != "datacontenttype");
    let headers: Vec<(String, String)> = attributes
        .map(|(name, value)| (format!("ce-{name}"), encode(value.as_str().unwrap_or(&value.to_string()))))
        .collect();
    let mut all = vec![("content-type", "application/json")];
    all.extend(headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    served.call(Role::Recorder, "POST", "/v1/events", &all, event["data"].to_string()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_is_recorded_in_every_form() {
    let served = served(101).await;
    let events = examples(false);
    assert!(events.len() > 60, "{}", events.len());
    for event in &events {
        let structured = with_id(event, "structured");
        let headers = [("content-type", "application/cloudevents+json; charset=utf-8")];
        let answer = served.call(Role::Recorder, "POST", "/v1/events", &headers, structured.to_string()).await;
        let receipt = answer.ok(201);
        assert_eq!(receipt["status"], "recorded");
        let again = served.post(&structured).await.ok(200);
        assert_eq!((&again["status"], &again["position"]), (&json!("duplicate"), &receipt["position"]), "{again}");
        assert_eq!(binary(&served, &with_id(event, "binary")).await.ok(201)["status"], "recorded");
    }
    for (form, media) in [
        ("batch", "application/cloudevents-batch+json"),
        ("array", "application/json"),
        ("lines", "application/x-ndjson"),
    ] {
        let list: Vec<Value> = events.iter().map(|event| with_id(event, form)).collect();
        let body = if form == "lines" {
            list.iter().map(|event| format!("{event}\n")).collect::<String>()
        } else {
            Value::Array(list.clone()).to_string()
        };
        let answer = served.call(Role::Recorder, "POST", "/v1/events", &[("content-type", media)], body).await.ok(200);
        assert_eq!(answer["recorded"], list.len(), "{form}: {answer}");
        let statuses = answer["results"].as_array().unwrap();
        assert!(
            statuses
                .iter()
                .all(|result| result["status"] == "recorded" && result["leaf"].as_str().unwrap().len() == 64)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn types_of_the_service_are_refused_by_name_and_kept() {
    let served = served(102).await;
    let events = examples(true);
    assert!(events.len() > 20);
    for event in &events {
        let problem = served.post(event).await.refused(422, "type_reserved");
        assert_eq!(problem["errors"][0]["pointer"], "#/type");
        assert!(problem["quarantine"]["position"].as_u64().is_some(), "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_answered_event_by_event_or_refused_as_a_whole() {
    let served = served(103).await;
    let good = consent("good", "lead-1", "+16145550101");
    let mut bad = consent("bad", "lead-2", "+16145550102");
    bad["data"]["phone"] = "not a phone".into();
    let list = json!([good, bad, good]);
    let strict = served.post_with("/v1/events", &[("prefer", "handling=strict")], &list).await;
    let problem = strict.refused(422, "batch_refused");
    assert_eq!(problem["errors"][0]["pointer"], "#/1/data/phone");
    let size = served.bench.ledger.size();
    assert_eq!(size, 1, "nothing of a refused batch is recorded or kept");
    let answer = served.post(&list).await.ok(200);
    let statuses: Vec<&str> =
        answer["results"].as_array().unwrap().iter().map(|r| r["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["recorded", "quarantined", "duplicate"]);
    assert_eq!(answer["results"][1]["errors"][0]["pointer"], "#/data/phone");
    assert_eq!((&answer["recorded"], &answer["quarantined"], &answer["duplicate"]), (&json!(1), &json!(1), &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_decides_and_records_nothing() {
    let served = served(104).await;
    let event = consent("a", "lead-1", "+16145550101");
    let answer = served.post_with("/v1/events?dry_run", &[], &event).await.ok(200);
    assert_eq!((&answer["status"], &answer["dry_run"]), (&json!("recorded"), &json!(true)));
    let mut wrong = event.clone();
    wrong["type"] = "consent.gruntled".into();
    let problem = served.post_with("/v1/events?dry_run=true", &[], &wrong).await.refused(422, "unknown_type");
    assert!(problem.get("quarantine").is_none());
    assert_eq!(served.bench.ledger.size(), 1);
    served.post(&event).await.ok(201);
    assert_eq!(served.post_with("/v1/events?dry_run", &[], &event).await.ok(200)["status"], "duplicate");
}

#[tokio::test(flavor = "multi_thread")]
async fn expect_and_reused_ids_conflict() {
    let served = served(105).await;
    let mut event = consent("a", "lead-1", "+16145550101");
    event["expect"] = "none".into();
    let first = served.post(&event).await.ok(201);
    let mut second = consent("b", "lead-1", "+16145550101");
    second["expect"] = "none".into();
    served.post(&second).await.refused(409, "expect_failed");
    second["expect"] = first["position"].to_string().into();
    served.post(&second).await.ok(201);
    let other = consent("a", "lead-1", "+16145550177");
    let problem = served.post(&other).await.refused(409, "event_id_reused");
    assert!(problem["quarantine"]["position"].as_u64().is_some());
}

/// The published shapes of CloudEvents, with types that this ledger does not know: understood, and kept.
#[tokio::test(flavor = "multi_thread")]
async fn foreign_cloudevents_are_understood_and_kept() {
    let near = ["../shared/fixtures/cloudevents", "../../shared/fixtures/cloudevents"];
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let Some(folder) = near.iter().map(|path| root.join(path)).find(|path| path.exists()) else {
        eprintln!("no shared fixtures here: not tested");
        return;
    };
    let served = served(106).await;
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let post = async |media: &str, body: String| {
        served.call(Role::Recorder, "POST", "/v1/events", &[("content-type", media)], body).await
    };
    post("application/cloudevents+json", read("structured.json")).await.refused(422, "unknown_type");
    let batch = post("application/cloudevents-batch+json", read("batch.json")).await.ok(200);
    assert_eq!(batch["quarantined"], 2, "{batch}");
    let missing = post("application/cloudevents+json", read("invalid_missing_source.json")).await;
    assert_eq!(missing.refused(422, "required_attribute_missing")["errors"][0]["pointer"], "#/source");
    post("application/cloudevents+json", read("invalid_extension_name.json"))
        .await
        .refused(422, "invalid_attribute_name");
    let binary = read("binary.http").replace("\r\n", "\n");
    let (head, body) = binary.split_once("\n\n").unwrap();
    let headers: Vec<(String, String)> = head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .filter(|(name, _)| *name != "Host")
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    served.call(Role::Recorder, "POST", "/v1/events", &headers, body.to_owned()).await.refused(422, "unknown_type");
}

#[tokio::test(flavor = "multi_thread")]
async fn webhook_senders_are_welcome() {
    let served = served(107).await;
    let request = axum::http::Request::builder()
        .method("OPTIONS")
        .uri("/v1/events")
        .header("webhook-request-origin", "eventgrid.example.test")
        .header("webhook-request-rate", "120")
        .body(axum::body::Body::empty())
        .unwrap();
    let answer = served.send(request).await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("allow").contains("POST"));
    assert_eq!(answer.header("webhook-allowed-origin"), "eventgrid.example.test");
    assert!(answer.header("webhook-allowed-rate").parse::<u64>().is_ok());
}
