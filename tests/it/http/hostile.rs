//! What a hostile or broken client sends: each request gets a precise answer of its own, never a failure of the service, and
//! the ledger goes on and verifies.

use axum::body::Body;
use axum::http::Request;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tallystick::exports::ledger_verify::VerifyOptions;
use tallystick::policy::access::Role;

use super::{Answer, Served, served};
use crate::engines::verify;
use crate::support::{consent, keyring};

const FUZZED: u64 = 3_000;

async fn raw(served: &Served, headers: &[(&str, &[u8])], body: impl Into<Body>) -> Answer {
    let key = format!("Bearer {}", served.key(Role::Recorder));
    let mut request = Request::builder().method("POST").uri("/v1/events").header("authorization", key);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    served.send(request.body(body.into()).unwrap()).await
}

async fn text(served: &Served, body: &str) -> Answer {
    raw(served, &[("content-type", b"application/json")], body.to_owned()).await
}

async fn still_sound(served: &Served) {
    served.post(&consent("still-here", "lead-9", "+16145550199")).await.ok(201);
    let report = verify(&served.bench.ledger.store(), Some(keyring()), &VerifyOptions::default()).await;
    assert!(report.ok, "{:?}", report.problems);
    let last = served.bench.ledger.size() - 1;
    served.get(&format!("/v1/quarantine?after={last}")).await.ok(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_texts_in_events_are_named() {
    let served = served(1101).await;
    let with = |from: &str, to: &str| consent("odd", "lead-1", "+16145550101").to_string().replace(from, to);
    // An attribute that stands twice is not one of the two.
    for (from, to, code) in [
        (r#""id":"odd""#, r#""id":"odd","id":"even""#, "attribute_repeated"),
        (r#""type":"#, r#""type":"x.y","type":"#, "attribute_repeated"),
        (r#""id":"odd""#, r#""id":7"#, "invalid_attribute_type"),
        (r#""id":"odd""#, r#""id":"odd","UPPER":"x""#, "invalid_attribute_name"),
        (r#""id":"odd""#, r#""id":"odd","expect":"-1""#, "invalid_attribute_type"),
        (r#""id":"odd""#, r#""id":"odd","expect":"99999999999999999999""#, "invalid_attribute_type"),
        (r#""id":"odd""#, r#""id":"odd","corrects":1e3"#, "invalid_attribute_type"),
        (r#""kind":"pewc""#, r#""kind":"pewc\u0000""#, "not_in_enum"),
        (r#""sellers":["broker-a"]"#, r#""sellers":["broker\u0000a"]"#, "pattern_mismatch"),
        (r#""time":"2026-11-19T12:00:00Z""#, r#""time":"2026-11-19T12:00:61Z""#, "time_invalid"),
        (r#""time":"2026-11-19T12:00:00Z""#, r#""time":"9999-12-31T23:59:59Z""#, "occurred_in_future"),
    ] {
        let body = with(from, to);
        assert!(body.contains(to), "{body}");
        text(&served, &body).await.refused(422, code);
    }
    // Half of a surrogate pair is no text at all; as the whole body is not JSON then, or one event of it.
    let halves = text(&served, &with(r#""pewc""#, r#""\ud800""#)).await;
    assert_eq!((halves.status.as_u16(), halves.json()["code"].clone()), (422, json!("data_not_json")));
    let id = text(&served, &with(r#""id":"odd""#, r#""id":"\ud800""#)).await;
    assert_eq!(id.status, 422, "{}", id.text());
    // NUL in what is sealed is a character like any other, on its way in and out.
    let mut event = consent("nul", "lead\u{0}1", "+16145550101");
    event["data"]["note"] = "a\u{0}b".into();
    let position = served.post(&event).await.ok(201)["position"].clone();
    assert_eq!(served.get(&format!("/v1/events/{position}")).await.ok(200)["data"]["note"], "a\u{0}b");
    // Numbers that no reader keeps exactly.
    for number in ["1e400", "-1e400", "123456789012345678901234567890"] {
        let body = with(r#""kind":"pewc""#, &format!(r#""kind":"pewc","score":{number}"#));
        let answer = text(&served, &body).await;
        assert!(matches!(answer.status.as_u16(), 422), "{number}: {}", answer.text());
    }
    // So deep that the reader itself gives up.
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    text(&served, &with(r#""pewc""#, &deep[..20_000])).await.refused(400, "not_json");
    let answer =
        text(&served, &with(r#""kind":"pewc""#, &format!(r#""kind":{}{}"#, "[".repeat(9_000), "]".repeat(9_000))))
            .await;
    assert!(matches!(answer.status.as_u16(), 400 | 422), "{}", answer.text());
    still_sound(&served).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_headers_and_addresses_are_named() {
    let served = served(1102).await;
    let event = consent("a", "lead-1", "+16145550101").to_string();
    raw(&served, &[("content-type", b"\xff\xfe")], event.clone()).await.refused(415, "unknown_content_type");
    raw(&served, &[("content-type", b"multipart/form-data; boundary=x")], event.clone())
        .await
        .refused(415, "unknown_content_type");
    raw(&served, &[("content-type", b"application/json; charset=utf-16")], "\u{feff}{}").await.refused(400, "not_json");
    raw(&served, &[("ce-id", b"%zz"), ("ce-type", b"consent.granted")], "{}").await.refused(422, "not_json");
    for path in [
        "/v1/events/18446744073709551615",
        "/v1/events/9223372036854775808",
        "/v1/events/-1",
        "/v1/events/%00",
        "/v1/events/1/proof?size=18446744073709551615",
        "/v1/events?limit=18446744073709551616",
        "/v1/events?after=18446744073709551615",
        "/v1/events?cursor=%00",
        "/v1/events?from=9999-12-31T23:59:59.999999Z&to=0000-01-01T00:00:00Z",
        "/v1/events?type=%ff",
        "/v1/consistency?from=18446744073709551615&to=1",
        "/v1/consistency?from=5&to=1",
        "/v1/subjects/%e2%80%ae",
        "/v1/subjects/01a1a1ec-9980-7000-8000-000000000000/timeline?limit=0",
        "/v1/views/roi?group=campaign,campaign",
        "/v1/views/roi?from=2026-13-01",
        "/v1/views/health?days=99999999999",
        "/v1/quarantine?state=%00",
        "/v1/quarantine/18446744073709551615",
        "/log/not-a-ledger/checkpoint",
        "/v1/exports/..%2f..%2fkek/bundle",
    ] {
        let answer = served.get(path).await;
        assert!(answer.status.as_u16() < 500, "{path}: {}", answer.text());
        if !answer.status.is_success() {
            assert_eq!(answer.header("content-type"), "application/problem+json", "{path}");
        }
    }
    // The same key with other attributes is another request: in binary mode they are the event.
    let attributes = |id: &'static [u8]| {
        vec![
            ("ce-specversion", &b"1.0"[..]),
            ("ce-id", id),
            ("ce-source", b"/test"),
            ("ce-type", b"consent.granted"),
            ("ce-subject", b"lead-1"),
            ("content-type", b"application/json"),
            ("idempotency-key", b"once"),
        ]
    };
    let data = consent("a", "lead-1", "+16145550101")["data"].to_string();
    raw(&served, &attributes(b"first"), data.clone()).await.ok(201);
    raw(&served, &attributes(b"second"), data.clone()).await.refused(422, "idempotency_key_reused");
    assert_eq!(raw(&served, &attributes(b"first"), data).await.header("idempotent-replayed"), "true");
    still_sound(&served).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_batches_and_retries_hold_together() {
    let served = served(1103).await;
    let first = served.post(&consent("a", "lead-1", "+16145550101")).await.ok(201);
    let position = first["position"].as_u64().unwrap();
    // A retry with another time is the same event; with other data it is another one under a used name.
    let mut again = consent("a", "lead-1", "+16145550101");
    again["time"] = "2026-11-19T12:34:56Z".into();
    assert_eq!(served.post(&again).await.ok(200)["status"], "duplicate");
    again["data"]["kind"] = "pec".into();
    served.post(&again).await.refused(409, "event_id_reused");
    // Only what the subject's last event stands at is expected of it, and a retry needs no condition to hold again.
    let mut next = consent("b", "lead-1", "+16145550101");
    next["expect"] = (position + 7).to_string().into();
    served.post(&next).await.refused(409, "expect_failed");
    next["expect"] = position.to_string().into();
    let second = served.post(&next).await.ok(201);
    assert_eq!(served.post(&next).await.ok(200)["position"], second["position"]);
    let mut new = consent("c", "lead-77", "+16145550177");
    new["expect"] = "none".into();
    served.post(&new).await.ok(201);
    // A batch that chains conditions: each event stands on the one before.
    let size = served.bench.ledger.size();
    let chain: Vec<Value> = (0..3)
        .map(|at| {
            let mut event = consent(&format!("chain-{at}"), "lead-1", "+16145550101");
            event["expect"] = if at == 0 { second["position"].to_string() } else { (size + at - 1).to_string() }.into();
            event
        })
        .collect();
    let strict = [("prefer", "handling=strict")];
    assert_eq!(served.post_with("/v1/events", &strict, &json!(chain)).await.ok(200)["recorded"], 3);
    // All or nothing: the good ones leave nothing behind, and can be posted afterwards.
    let size = served.bench.ledger.size();
    let mut bad = consent("bad", "lead-1", "+16145550101");
    bad["expect"] = "3".into();
    let batch = json!([consent("good", "lead-88", "+16145550188"), bad, consent("good-2", "lead-88", "+16145550188")]);
    let refused = served.post_with("/v1/events", &strict, &batch).await.refused(422, "batch_refused");
    assert_eq!((refused["errors"][0]["pointer"].as_str(), served.bench.ledger.size()), (Some("#/1"), size));
    served.post(&consent("good", "lead-88", "+16145550188")).await.ok(201);
    // A dry run says what would be and changes nothing.
    let size = served.bench.ledger.size();
    let tried = served.post_with("/v1/events?dry_run=true", &[], &consent("dry", "lead-1", "+16145550101")).await;
    assert_eq!((tried.status.as_u16(), served.bench.ledger.size()), (200, size), "{}", tried.text());
    // A bad line in the middle takes no other with it.
    let lines = format!(
        "{}\n{{\"broken\": \n\u{0}\n{}\n",
        consent("line-1", "lead-5", "+16145550105"),
        consent("line-2", "lead-5", "+16145550105")
    );
    let answer = raw(&served, &[("content-type", b"application/x-ndjson")], lines).await.ok(200);
    assert_eq!((answer["recorded"].as_u64(), answer["quarantined"].as_u64()), (Some(2), Some(2)), "{answer}");
    still_sound(&served).await;
}

/// Valid events with bytes flipped, cut, doubled and spliced.
#[tokio::test(flavor = "multi_thread")]
async fn mangled_requests_never_fail_the_service() {
    let served = served(1104).await;
    let mut random = StdRng::seed_from_u64(1104);
    let mut statuses = std::collections::BTreeMap::<u16, u64>::new();
    for number in 0..FUZZED {
        let event = consent(&format!("fuzz-{number}"), &format!("lead-{}", number % 50), "+16145550101");
        let mut body = if number % 3 == 0 { json!([event, event]).to_string() } else { event.to_string() }.into_bytes();
        for _ in 0..random.random_range(1..4) {
            let (at, to) = (random.random_range(0..body.len()), random.random_range(0..body.len()));
            match random.random_range(0..5) {
                0 => body[at] ^= 1 << random.random_range(0..8),
                1 => body.truncate(at.max(1)),
                2 => body.insert(at, random.random()),
                3 => body.swap(at, to),
                _ => {
                    let piece = body[at.min(to)..at.max(to)].to_vec();
                    body.splice(at..at, piece);
                }
            }
        }
        let media: &[u8] = match number % 4 {
            0 => b"application/cloudevents-batch+json",
            1 => b"application/x-ndjson",
            2 => b"application/cloudevents+json",
            _ => b"application/json",
        };
        let answer = raw(&served, &[("content-type", media)], body.clone()).await;
        let status = answer.status.as_u16();
        assert!(status < 500, "{status} {}: {}", String::from_utf8_lossy(&body), answer.text());
        *statuses.entry(status).or_default() += 1;
    }
    println!("{FUZZED} mangled requests: {statuses:?}, {} entries", served.bench.ledger.size());
    assert!(statuses.len() > 3, "{statuses:?}");
    still_sound(&served).await;
}
