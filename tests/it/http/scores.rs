//! Scores over HTTP: made from the log, recorded first, computed again, taken by routing where none is stated.

use serde_json::{Value, json};
use tallystick::http::state::Settings;
use tallystick::policy::access::Role;

use super::{Answer, Served, serve_bench, served};
use crate::engines::Engine;

const NOW: &str = "2026-11-24T17:00:00Z";
const WITH: [(&str, &str); 2] = [("tallystick-now", NOW), ("content-type", "application/json")];

async fn told(served: &Served, id: &str, kind: &str, person: u64, time: &str, data: Value) -> u64 {
    let event = json!({ "specversion": "1.0", "id": id, "source": "/t", "type": kind, "subject": format!("p-{person}"),
        "time": time, "data": data });
    served.post_with("/v1/events", &WITH, &event).await.ok(201)["position"].as_u64().unwrap()
}

async fn score(served: &Served, leads: Value) -> Answer {
    served.call(Role::Recorder, "POST", "/v1/scores", &WITH, json!({ "leads": leads }).to_string()).await
}

fn person(person: u64) -> Value {
    json!({ "ref": format!("p-{person}"), "source": "/t" })
}

async fn replay(served: &Served, position: &Value) -> Value {
    served.call(Role::Auditor, "POST", &format!("/v1/scores/{position}/replay"), &[], "").await.ok(200)
}

async fn scores_are_made_from_the_log(served: &Served) {
    told(served, "l1", "lead.received", 1, "2026-11-01T17:00:00Z", json!({ "lead": "L-1" })).await;
    told(served, "l2", "lead.received", 2, "2026-11-01T17:00:00Z", json!({ "lead": "L-2" })).await;
    let booked = json!({ "starts_at": "2026-11-25T17:00:00Z", "appointment": "AP-1" });
    let booking = told(served, "b1", "appointment.booked", 1, "2026-11-24T17:00:00Z", booked).await;
    // 20 of the base, 30 of a booking of today, 25 and 20 of features, cut at 40.
    let stated = json!({ "equity_percent": 60, "ownership": "absentee" });
    let asked = json!([{ "recipient": person(1), "features": stated }, { "recipient": person(2) },
        { "recipient": person(3) }, { "recipient": person(2), "features": { "equity": 1 } }]);
    let size = served.bench.ledger.size();
    let dry = json!({ "leads": asked, "dry_run": true }).to_string();
    let dry = served.call(Role::Recorder, "POST", "/v1/scores", &WITH, dry).await.ok(200);
    assert_eq!((served.bench.ledger.size(), &dry["items"][0]["position"]), (size, &Value::Null));
    let made = score(served, asked).await.ok(200);
    let items = made["items"].as_array().unwrap();
    assert_eq!((&items[0]["score"], &items[0]["band"]), (&json!(90), &json!("A")));
    assert_eq!(
        items[0]["reasons"],
        json!([{ "rule": "booked", "points": 30 }, { "rule": "equity-high", "points": 25 },
            { "rule": "absentee-or-inherited", "points": 20 }, { "rule": "fit", "points": -5, "bound": true }])
    );
    assert_eq!((&items[1]["score"], &items[1]["band"]), (&json!(20), &json!("C")));
    assert_eq!(items[2]["error"]["code"], json!("not_found"), "who is not known is not scored");
    assert_eq!(items[3]["error"]["errors"][0]["code"], json!("feature_invalid"), "a feature misspelt is refused");
    assert_eq!(dry["items"][0]["score"], items[0]["score"]);
    for item in &items[..2] {
        let again = replay(served, &item["position"]).await;
        assert_eq!((&again["identical"], &again["from"]), (&json!(true), &json!("all")), "{again}");
    }
    // What does not count is not scored.
    told(served, "no", "event.annulled", 1, NOW, json!({ "position": booking, "reason": "test" })).await;
    let again = score(served, json!([{ "recipient": person(1), "features": stated }])).await.ok(200);
    assert_eq!(again["items"][0]["score"], json!(60));

    // Another card: new scores go by it, old ones come out as they were, and say what it would make of them.
    let card = "pack='scoring'\nversion='2'\nbase=1\n[[rule]]\nid='a-lead'\nact='lead'\npoints=4\n[[band]]\nname='Z'";
    let bad = served
        .call(Role::Admin, "POST", "/v1/scoring/card", &[("tallystick-now", NOW)], card.replace("points=4", "points=x"))
        .await;
    bad.refused(422, "card_invalid");
    served.call(Role::Admin, "POST", "/v1/scoring/card", &[("tallystick-now", NOW)], card).await.ok(201);
    assert_eq!(served.get("/v1/scoring/card").await.ok(200)["version"], json!("2"));
    let new = score(served, json!([{ "recipient": person(2) }])).await.ok(200);
    assert_eq!((&new["items"][0]["score"], &new["items"][0]["band"]), (&json!(5), &json!("Z")));
    let old = replay(served, &items[1]["position"]).await;
    assert_eq!(old["identical"], json!(true));
    served.call(Role::Auditor, "POST", "/v1/scores/0/replay", &[], "").await.refused(404, "not_found");
    score(served, json!([])).await.refused(422, "request_invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn scores_are_made_from_the_log_on_sqlite() {
    scores_are_made_from_the_log(&served(1001).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scores_are_made_from_the_log_on_postgres() {
    let Some(engine) = Engine::postgres().await else { return };
    scores_are_made_from_the_log(&serve_bench(engine.bench(1002).await, Settings::default()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn routing_takes_the_latest_score_where_none_is_stated() {
    let served = served(1003).await;
    told(&served, "l1", "lead.received", 1, "2026-11-01T17:00:00Z", json!({ "lead": "L-1" })).await;
    let plan = "pack='routing'\nversion='1'\n[[pool]]\nid='p'\nstrategy='weighted'\nconsent='none'\n[[buyer]]\npool='p'\nseller='best'\nbands=['A']\n";
    served.call(Role::Admin, "POST", "/v1/routing/plan", &[("tallystick-now", NOW)], plan).await.ok(201);
    let ask = async |lead: Value| {
        let body = json!({ "recipient": person(1), "lead": lead }).to_string();
        served.call(Role::Recorder, "POST", "/v1/decisions/route", &WITH, body).await.ok(200)
    };
    assert_eq!(ask(json!({})).await["chosen"], Value::Null, "no score is known");
    score(&served, json!([{ "recipient": person(1), "features": { "equity_percent": 60 } }])).await.ok(200);
    let low = ask(json!({})).await;
    assert_eq!((&low["chosen"], &low["band"], &low["score"]), (&Value::Null, &json!("B"), &json!(45)));
    let external = json!({ "model": "owner-fit", "model_version": "3", "score": 88, "band": "A" });
    told(&served, "s1", "score.assigned", 1, NOW, external).await;
    let high = ask(json!({})).await;
    assert_eq!((&high["chosen"], &high["band"], &high["score"]), (&json!("best"), &json!("A"), &json!(88)));
    assert_eq!(ask(json!({ "band": "C" })).await["chosen"], Value::Null, "what is stated goes first");
    let mut wrong = 0;
    let ledger = &served.bench.ledger;
    tallystick::decisions::replay_routes(ledger, ledger.size(), |replay| wrong += replay.differs.len()).await.unwrap();
    assert_eq!(wrong, 0);
}
