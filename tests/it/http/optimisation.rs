//! Budgets over HTTP: what channels spent and earned by week, where the next dollar earns most, money that earned nothing.
#![expect(clippy::float_arithmetic, reason = "returns are estimates")]

use serde_json::{Value, json};
use tallystick::http::state::Settings;
use tallystick::policy::access::Role;

use super::{Served, serve_bench, served};
use crate::engines::Engine;

const VIEW: &str = "/v1/views/optimisation?to=2026-11-20&weeks=12&bands=200&waste_days=14&after=";

/// Day `days` before 2026-11-20, at noon.
fn before(days: i64) -> String {
    let at = tallystick::domain::time::Timestamp::parse_rfc3339("2026-11-20T12:00:00Z").unwrap();
    at.checked_add_micros(-days * 86_400_000_000).unwrap().to_string()
}

/// Twelve weeks: calls earn much and bend late, mail earns little, print was tried twice, and a list brought nobody.
fn story() -> Vec<Value> {
    let mut events = Vec::new();
    for week in 0..12_i64 {
        let at = before(7 * week + 3);
        let event = |id: String, kind: &str, subject: Option<String>, data: Value| {
            let mut event =
                json!({ "specversion": "1.0", "id": id, "source": "/t", "type": kind, "time": at, "data": data });
            if let Some(subject) = subject {
                event["subject"] = json!(subject);
            }
            event
        };
        let money = |amount: f64| json!({ "amount": format!("{amount:.2}"), "currency": "USD" });
        for (channel, base, gain, scale) in
            [("outbound_call", 800.0, 6_000.0, 1_600.0), ("cold_email", 500.0, 150.0, 250.0)]
        {
            let spend = base + 50.0 * ((week * 5 + 2) % 7) as f64;
            let cost = json!({ "kind": "media", "channel": channel, "campaign": channel, "amount": money(spend) });
            events.push(event(format!("cost-{channel}-{week}"), "cost.recorded", None, cost));
            let person = Some(format!("{channel}-{week}"));
            let touch = json!({ "channel": channel });
            events.push(event(format!("touch-{channel}-{week}"), "touch.recorded", person.clone(), touch));
            let sale = json!({ "kind": "lead_sale", "sale": format!("s-{channel}-{week}"), "campaign": channel,
                "amount": money(gain * (spend / scale).ln_1p()) });
            events.push(event(format!("sale-{channel}-{week}"), "revenue.recorded", person, sale));
        }
        if week < 2 {
            let print = json!({ "kind": "media", "channel": "print", "campaign": "print", "amount": money(100.0) });
            events.push(event(format!("cost-print-{week}"), "cost.recorded", None, print));
            let list = json!({ "kind": "data", "channel": "list", "campaign": "bought", "source": "list-7",
                "amount": money(40.0) });
            events.push(event(format!("cost-list-{week}"), "cost.recorded", None, list));
        }
        let lead = json!({ "lead": format!("L-{week}"), "campaign": "outbound_call", "channel": "outbound_call" });
        events.push(event(format!("lead-{week}"), "lead.received", Some(format!("outbound_call-{week}")), lead));
        let accepted = json!({ "lead": format!("L-{week}"), "seller": "broker-a", "campaign": "outbound_call", "source": "form-1" });
        events.push(event(format!("ok-{week}"), "lead.accepted", Some(format!("outbound_call-{week}")), accepted));
    }
    events
}

async fn told(served: &Served) -> u64 {
    let body = Value::Array(story());
    let answer = served.post_with("/v1/events", &[("content-type", "application/json")], &body).await;
    let results = answer.json();
    let results = results["results"].as_array().unwrap_or_else(|| panic!("{results}"));
    assert!(results.iter().all(|result| result["status"] == json!("recorded")), "{results:?}");
    served.bench.ledger.size() - 1
}

fn number(value: &Value) -> f64 {
    value.as_str().or_else(|| value["amount"].as_str()).unwrap_or_else(|| panic!("{value}")).parse().unwrap()
}

async fn budgets_move_to_what_earns_more(served: &Served) {
    let last = told(served).await;
    let answer = served.get(&format!("{VIEW}{last}")).await.ok(200);
    let channel = |name: &str| {
        let rows = answer["channels"].as_array().unwrap();
        rows.iter().find(|row| row["channel"] == json!(name)).unwrap_or_else(|| panic!("{answer}")).clone()
    };
    let (calls, mail, print) = (channel("outbound_call"), channel("cold_email"), channel("print"));
    // 6000 / (1600 + spend) and 150 / (250 + spend), at a mean spend of 950 and 650.
    assert!((number(&calls["marginal_return"]) - 6_000.0 / 2_550.0).abs() < 0.15, "{calls}");
    assert!((number(&mail["marginal_return"]) - 150.0 / 900.0).abs() < 0.05, "{mail}");
    assert!(number(&calls["marginal_band"][0]) > number(&mail["marginal_band"][1]), "{calls} {mail}");
    assert!((number(&calls["suggested"]) / number(&calls["spend"]) - 1.137).abs() < 0.01, "{calls}");
    assert!(
        (number(&mail["suggested"]) / number(&mail["spend"]) - 0.8).abs() < 0.001,
        "no further than it may: {mail}"
    );
    assert_eq!((&calls["clear"], &mail["clear"]), (&json!(true), &json!(true)));
    assert_eq!((&print["reason"], &print["suggested"]), (&json!("too_few_weeks"), &print["spend"]));
    assert!(number(&answer["expected_change"]) > 100.0, "{answer}");
    assert_eq!(
        answer["waste"],
        json!([
            { "campaign": "cold_email", "channel": "cold_email", "source": "", "spend": mail_spent(), "from": "2026-11-06", "leads": 0 },
            { "campaign": "print", "channel": "print", "source": "", "spend": { "amount": "200.00", "currency": "USD" }, "from": "2026-11-06", "leads": 0 },
            { "campaign": "bought", "channel": "list", "source": "list-7", "spend": { "amount": "80.00", "currency": "USD" }, "from": "2026-11-06", "leads": 0 },
        ])
    );
    let csv = served.call(Role::Reader, "GET", &format!("{VIEW}{last}"), &[("accept", "text/csv")], "").await;
    assert!(csv.text().starts_with("channel,currency,spend,earned,"), "{}", csv.text());
    assert_eq!(csv.text().lines().count(), 1 + answer["channels"].as_array().unwrap().len());
}

fn mail_spent() -> Value {
    let spend = |week: i64| 500 + 50 * ((week * 5 + 2) % 7);
    json!({ "amount": format!("{}.00", spend(0) + spend(1)), "currency": "USD" })
}

#[tokio::test(flavor = "multi_thread")]
async fn budgets_move_to_what_earns_more_on_sqlite() {
    budgets_move_to_what_earns_more(&served(981).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn budgets_move_to_what_earns_more_on_postgres() {
    let Some(engine) = Engine::postgres().await else { return };
    budgets_move_to_what_earns_more(&serve_bench(engine.bench(982).await, Settings::default()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suggestion_is_kept_and_spends_nothing() {
    let served = served(983).await;
    told(&served).await;
    let roi = |at: u64| format!("/v1/views/roi?after={at}");
    let before = served.get(&roi(served.bench.ledger.size() - 1)).await.ok(200);
    let body =
        json!({ "to": "2026-11-20", "waste_from": "100", "limits": [{ "channel": "outbound_call", "most": "900" }] });
    let kept = served.manage("/v1/optimisation/suggestions", &body).await.ok(201);
    let rows = kept["channels"].as_array().unwrap();
    let calls = rows.iter().find(|row| row["channel"] == json!("outbound_call")).unwrap();
    assert_eq!(number(&calls["suggested"]), 900.0, "the limit holds");
    let read = served.get(&format!("/v1/events/{}", kept["position"])).await.ok(200);
    assert_eq!((&read["type"], &read["data"]["suggestion"]), (&json!("budget.suggested"), &kept["suggestion"]));
    // 80 for the list is below what was asked for.
    assert_eq!(kept["alerts"].as_array().unwrap().len(), 2);
    let alert = served.get(&format!("/v1/events/{}", kept["alerts"][0])).await.ok(200);
    assert_eq!(alert["data"]["rule"], json!("spend-without-accepted-leads"));
    let after = served.get(&roi(served.bench.ledger.size() - 1)).await.ok(200);
    assert_eq!(before, after, "no money moved");
    // Before anything was known there is nothing to say.
    let known = "/v1/views/optimisation?to=2026-11-20&known_at=2026-01-01T00:00:00Z";
    let nothing = served.get(known).await.ok(200);
    assert_eq!((&nothing["channels"], &nothing["currency"]), (&json!([]), &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn budgets_that_cannot_be_are_refused_by_name() {
    let served = served(984).await;
    let last = told(&served).await;
    for query in
        ["weeks=0", "model=markov:1", "to=yesterday", "budget=-5", "bands=3", "currency=XXQ", "nobody=1", "budget=100"]
    {
        let path = format!("/v1/views/optimisation?{query}&after={last}");
        served.get(&path).await.refused(400, "parameter_invalid");
    }
    for body in [
        json!({ "limits": [{ "channel": "a", "least": "2", "most": "1" }] }),
        json!({ "limits": [{ "channel": "a" }, { "channel": "a" }] }),
        json!({ "change_percent": 5_000 }),
    ] {
        served.manage("/v1/optimisation/suggestions", &body).await.refused(400, "parameter_invalid");
    }
    let size = served.bench.ledger.size();
    let reader = served
        .call(Role::Reader, "POST", "/v1/optimisation/suggestions", &[("content-type", "application/json")], "{}")
        .await;
    reader.refused(403, "forbidden");
    assert_eq!(served.bench.ledger.size(), size, "nothing was recorded");
}
