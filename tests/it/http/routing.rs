//! Routing over HTTP: plans, shares, caps, consent inside, reassignment, replay.

use std::collections::BTreeMap;
use std::time::Instant;

use axum::body::Body;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tallystick::decisions::replay_routes;
use tallystick::http::state::Settings;
use tallystick::policy::access::Role;

use super::{Answer, Served, serve_bench, served};
use crate::engines::Engine;
use crate::script::Dice;

const NOW: &str = "2026-11-24T17:00:00Z";
const WITH: [(&str, &str); 2] = [("tallystick-now", NOW), ("content-type", "application/json")];

async fn plan(served: &Served, text: &str) -> Answer {
    let text = format!("pack='routing'\nversion='1'\n{text}");
    served.call(Role::Admin, "POST", "/v1/routing/plan", &[("tallystick-now", NOW)], text).await
}

fn pool(strategy: &str, consent: &str, buyers: &[&str]) -> String {
    let buyers: Vec<String> = buyers.iter().map(|buyer| format!("[[buyer]]\npool='p'\n{buyer}\n")).collect();
    format!("[[pool]]\nid='p'\nstrategy='{strategy}'\nconsent='{consent}'\nsla_minutes=15\n{}", buyers.concat())
}

async fn lead(served: &Served, person: u64) {
    let event = json!({ "specversion": "1.0", "id": format!("lead-{person}"), "source": "/t", "type": "lead.received",
        "subject": format!("lead-{person}"), "time": "2026-11-20T11:00:00Z", "data": { "lead": format!("L-{person}"), "phone": phone(person), "state": "OH" } });
    served.post_with("/v1/events", &WITH, &event).await.ok(201);
}

fn phone(person: u64) -> String {
    format!("+1614555{person:04}")
}

async fn ask(served: &Served, person: u64, more: Value) -> Answer {
    let mut body =
        json!({ "recipient": { "phone": phone(person) }, "lead": { "ref": format!("L-{person}"), "state": "OH" } });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    served.call(Role::Recorder, "POST", "/v1/decisions/route", &WITH, body.to_string()).await
}

async fn identical(served: &Served) -> u64 {
    let (mut count, mut wrong) = (0, Vec::new());
    let ledger = &served.bench.ledger;
    replay_routes(ledger, ledger.size(), |replay| {
        count += 1;
        wrong.extend((!replay.differs.is_empty()).then_some((replay.position, replay.differs)));
    })
    .await
    .unwrap();
    assert_eq!(wrong, []);
    count
}

async fn shares_and_caps(served: &Served) {
    lead(served, 1).await;
    ask(served, 1, json!({})).await.refused(409, "routing_refused");
    let bad = plan(served, &pool("weighted", "none", &["seller='a'\nweight=0"])).await.refused(422, "plan_invalid");
    assert!(bad["detail"].as_str().unwrap().contains("a: weight"), "{bad}");
    let buyers = ["seller='a'\nweight=3", "seller='b'\nweight=1", "seller='c'\nstates=['MI']"];
    let made = plan(served, &pool("weighted", "none", &buyers)).await.ok(201);
    assert_eq!(made["pools"], json!([{ "pool": "p", "strategy": "weighted", "buyers": 3 }]));
    let (mut counts, mut last) = (BTreeMap::<String, u64>::new(), Value::Null);
    for turn in 0..40 {
        let routed = ask(served, 1, json!({})).await.ok(200);
        assert_eq!(routed.get("previous").cloned().unwrap_or_default(), last, "each names the one before it");
        assert_eq!(routed["refused"], json!([{ "code": "TERRITORY", "count": 1, "sellers": ["c"] }]));
        assert_eq!(
            (&routed["pack_sha256"], &routed["respond_by"]),
            (&made["pack_sha256"], &json!("2026-11-24T17:15:00.000000Z"))
        );
        *counts.entry(routed["chosen"].as_str().unwrap().to_owned()).or_default() += 1;
        last = routed["position"].clone();
        let gap = (counts.get("b").copied().unwrap_or(0) * 4).abs_diff(turn + 1);
        assert!(gap <= 4, "{counts:?}");
    }
    assert_eq!(counts, BTreeMap::from([("a".to_owned(), 30), ("b".to_owned(), 10)]));

    // Caps cannot be raced: sixty at once, room for twenty.
    plan(served, &pool("weighted", "none", &["seller='d'\ncaps={day=20}"])).await.ok(201);
    let at_once = join_all((0..60).map(|_| ask(served, 1, json!({})))).await;
    let given = at_once.iter().filter(|answer| answer.ok(200)["chosen"] == json!("d")).count();
    assert_eq!(given, 20);
    assert_eq!(identical(served).await, 100);
    let shown = served.get("/v1/views/routing").await.ok(200);
    let of = |seller: &str| {
        shown["items"].as_array().unwrap().iter().find(|item| item["seller"] == json!(seller)).unwrap().clone()
    };
    assert_eq!(
        (&of("a")["chosen"], &of("d")["chosen"], &of("d")["refused"]["CAP_DAY"]),
        (&json!(30), &json!(20), &json!(40))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_follow_weights_and_caps_hold_on_sqlite() {
    shares_and_caps(&served(971).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_follow_weights_and_caps_hold_on_postgres() {
    let Some(engine) = Engine::postgres().await else { return };
    shares_and_caps(&serve_bench(engine.bench(972).await, Settings::default()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_lead_goes_to_a_seller_whom_the_consent_does_not_name() {
    let served = served(973).await;
    lead(&served, 2).await;
    let buyers = ["seller='broker-b'\nweight=9", "seller='broker-a'"];
    plan(&served, &pool("weighted", "seller", &buyers)).await.ok(201);
    let nobody = ask(&served, 2, json!({})).await.ok(200);
    assert_eq!(nobody["chosen"], Value::Null);
    assert_eq!(nobody["refused"], json!([{ "code": "CONSENT", "count": 2, "sellers": ["broker-b", "broker-a"] }]));
    assert_eq!(nobody["consent"][0], json!({ "candidate": "broker-b", "codes": ["NO_PEWC"] }));
    let grant = json!({ "specversion": "1.0", "id": "g", "source": "/t", "type": "consent.granted", "subject": "lead-2",
        "time": "2026-11-20T11:00:00Z", "data": { "kind": "pewc", "phone": phone(2), "sellers": ["broker-a"],
            "channels": ["voice"], "technologies": ["automated"], "purposes": ["marketing"], "signature": "checkbox_and_submit",
            "disclosure": { "authorizes_automated": true, "not_condition_of_purchase": true } } });
    served.post_with("/v1/events", &WITH, &grant).await.ok(201);
    for _ in 0..5 {
        let routed = ask(&served, 2, json!({})).await.ok(200);
        assert_eq!(routed["chosen"], json!("broker-a"));
        assert_eq!(routed["consent"], json!([{ "candidate": "broker-b", "codes": ["CONSENT_SCOPE_SELLER"] }]));
    }
    // The twin: where no consent is asked for, the heavier one gets it, so the check bites.
    plan(&served, &pool("weighted", "none", &buyers)).await.ok(201);
    assert_eq!(ask(&served, 2, json!({})).await.ok(200)["chosen"], json!("broker-b"));
    plan(&served, &pool("weighted", "transfer", &buyers)).await.ok(201);
    let mut heavier = 0;
    for _ in 0..10 {
        heavier += u32::from(ask(&served, 2, json!({})).await.ok(200)["chosen"] == json!("broker-b"));
    }
    assert!((8..=10).contains(&heavier), "nine of ten were meant for him: {heavier}");
    let opted_out = json!({ "specversion": "1.0", "id": "o", "source": "/t", "type": "privacy.opted_out", "subject": "lead-2",
        "data": { "source": "gpc", "rights": ["sale"], "phone": phone(2) } });
    let posted = served.post_with("/v1/events", &WITH, &opted_out).await;
    assert_eq!(posted.status.as_u16(), 201, "{}", posted.text());
    let nobody = ask(&served, 2, json!({})).await.ok(200);
    assert_eq!((&nobody["chosen"], &nobody["consent"][0]["codes"]), (&Value::Null, &json!(["CCPA_OPT_OUT_GPC"])));
    identical(&served).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_taken_back_goes_to_another_one() {
    let served = served(974).await;
    lead(&served, 3).await;
    plan(
        &served,
        &pool(
            "priority",
            "none",
            &["seller='a'\npriority=1\ncaps={day=1}", "seller='b'\npriority=2", "seller='c'\npriority=3"],
        ),
    )
    .await
    .ok(201);
    let first = ask(&served, 3, json!({})).await.ok(200);
    assert_eq!((&first["chosen"], &first["in_line"]), (&json!("a"), &json!(["a", "b", "c"])));
    let again = |of: &Value, reason: &str| json!({ "reassigns": { "decision": of["decision"], "reason": reason } });
    let second = ask(&served, 3, again(&first, "timeout")).await.ok(200);
    assert_eq!((&second["chosen"], &second["reassigns"]), (&json!("b"), &first["decision"]));
    let third = ask(&served, 3, again(&second, "rejected")).await.ok(200);
    assert_eq!(third["chosen"], json!("c"), "neither of those who had it");
    // His cap has room again: another lead goes to him.
    assert_eq!(ask(&served, 3, json!({})).await.ok(200)["chosen"], json!("a"));
    ask(&served, 3, json!({ "reassigns": { "decision": first["position"].to_string(), "reason": "timeout" } }))
        .await
        .refused(422, "request_invalid");
    ask(&served, 3, again(&first, "whim")).await.refused(422, "request_invalid");
    ask(&served, 4, json!({})).await.refused(404, "not_found");
    ask(&served, 3, json!({ "lead": { "state": "ZZ" } })).await.refused(422, "request_invalid");
    ask(&served, 3, json!({ "pool": "q" })).await.refused(409, "routing_refused");
    assert_eq!(identical(&served).await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_buyers_and_decisions_are_routed_and_computed_again() {
    let mut served = served(975).await;
    let buyers: Vec<String> = (0..1_000)
        .map(|at| format!("seller='broker-{at}'\nweight={}\nstates=['OH','MI']\ncaps={{hour={},day=40}}\nprice={{amount='{}.00',currency='USD'}}\nbudget={{day='400.00'}}", 1 + at % 9, 2 + at % 4, 20 + at % 30))
        .collect();
    let buyers: Vec<&str> = buyers.iter().map(String::as_str).collect();
    // Longer than one entry takes: registered in pieces.
    plan(&served, &pool("weighted", "transfer", &buyers)).await.ok(201);
    for person in 10..30 {
        lead(&served, person).await;
    }
    let mut dice = Dice(3);
    let mut latencies = Vec::new();
    for _ in 0..1_000 {
        let begun = Instant::now();
        let routed = ask(&served, 10 + dice.roll(20), json!({})).await.ok(200);
        latencies.push(begun.elapsed());
        assert!(routed["chosen"].is_string());
    }
    latencies.sort_unstable();
    eprintln!(
        "1,000 buyers: p50 {:?}, p99 {:?} a routing decision, recorded, with the transfer's consent",
        latencies[500], latencies[990]
    );
    assert_eq!(identical(&served).await, 1_000);
    let before = ask(&served, 10, json!({})).await.ok(200);
    let mut bench = served.bench;
    bench.reopen().await;
    served = serve_bench(bench, Settings::default()).await;
    let after = ask(&served, 10, json!({})).await.ok(200);
    assert_eq!(after["previous"], before["position"], "the standings come from the log alone");
    assert_eq!(identical(&served).await, 1_002);
    let csv = served.call(Role::Reader, "GET", "/v1/views/routing", &[("accept", "text/csv")], Body::empty()).await;
    assert!(csv.text().starts_with("pool,seller,chosen,"), "{}", csv.text());
}
