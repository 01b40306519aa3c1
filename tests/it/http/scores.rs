//! Scores over HTTP: made from the log, recorded first, computed again, taken by routing where none is stated.
#![expect(clippy::float_arithmetic, reason = "statistics of scores are worked out apart from the code")]

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

fn model(version: &str, coefficient: f64) -> String {
    let feature =
        |name: &str, coefficient: f64, mean: f64| json!({ "name": name, "coefficient": coefficient, "mean": mean });
    let file = json!({
        "format": "tallystick-model/1", "model": "fit", "version": version, "outcome": "sale", "intercept": -1.0,
        "features": [feature("equity", coefficient, 0.5), feature("acts.lead", 1.0, 1.0)],
        "scale": { "even": 500.0, "double": 20.0 }, "c": 1.0, "rows": 100, "positives": 40, "trained_on": "0".repeat(64),
        "bands": [{ "name": "A", "from": 520 }, { "name": "B", "from": 0 }],
    });
    file.to_string()
}

async fn a_model_answers_once_it_is_put_in_force(served: &Served) {
    told(served, "l1", "lead.received", 1, "2026-11-01T17:00:00Z", json!({ "lead": "L-1" })).await;
    let activate = async |role: &str, text: &str| {
        served.call(Role::Admin, "POST", &format!("/v1/scoring/models?role={role}"), &WITH, text.to_owned()).await
    };
    let wrong = model("1", 2.0).replace("\"double\":20.0", "\"double\":0.0");
    activate("champion", &wrong).await.refused(422, "model_invalid");
    activate("champion", &model("1", 2.0).replace("acts.lead", "acts.dream")).await.refused(422, "model_invalid");
    activate("champion", "{}").await.refused(422, "model_invalid");
    activate("retired", &model("1", 2.0)).await.refused(400, "parameter_invalid");
    assert_eq!(served.get("/v1/scoring/models").await.ok(200), json!({ "champion": null, "challengers": [] }));

    // A challenger beside the card: it scores in the shadow, and says so where a feature is missing.
    let shadow = activate("challenger", &model("1", 2.0)).await.ok(201);
    let stated = json!({ "equity_percent": 60, "equity": "1.25" });
    let both = score(served, json!([{ "recipient": person(1), "features": stated }])).await.ok(200)["items"][0].clone();
    assert_eq!((&both["model"], &both["score"]), (&json!("card"), &json!(45)));
    // -1 + 2 x 1.25 + 1 lead: log odds 2.5, which are 500 + 2.5 x 20 / ln 2 points.
    let aside = &both["shadows"][0];
    assert_eq!((&aside["score"], &aside["probability"]), (&json!(572), &json!("0.924141820")));
    let without = score(served, json!([{ "recipient": person(1) }])).await.ok(200)["items"][0].clone();
    assert_eq!(without["shadows"][0]["error"], json!("feature equity is needed and was not stated"));
    let of_shadow = replay(served, &aside["position"]).await;
    assert_eq!((&of_shadow["identical"], &of_shadow["recorded"]["score"]), (&json!(true), &json!(572)));

    // The champion answers, with reasons against the mean lead and its own band; the challenger of another version beside it.
    let first = activate("champion", &model("2", 4.0)).await.ok(201);
    let in_force = served.get("/v1/scoring/models").await.ok(200);
    assert_eq!(
        (&in_force["champion"]["model_version"], &in_force["challengers"][0]["model_version"]),
        (&json!("2"), &json!("1"))
    );
    let asked = json!([{ "recipient": person(1), "features": { "equity": "1.25" } }, { "recipient": person(1) },
        { "recipient": person(1), "features": { "equity": "much" } }, { "recipient": person(1), "features": { "equity_percent": 60 } }]);
    let items = score(served, asked).await.ok(200)["items"].clone();
    assert_eq!(
        (&items[0]["score"], &items[0]["band"], &items[0]["outcome"]),
        (&json!(644), &json!("A"), &json!("sale"))
    );
    assert_eq!(items[0]["reasons"], json!([{ "rule": "equity", "points": 87 }]));
    assert_eq!(items[0]["shadows"][0]["score"], json!(572));
    for (at, why) in [(1, "missing"), (2, "no number"), (3, "of the card")] {
        assert_eq!(items[at]["error"]["errors"][0]["code"], json!("feature_invalid"), "{why}");
    }
    assert_eq!(replay(served, &items[0]["position"]).await["identical"], json!(true));
    // Whoever asks for the latest score is told what is acted on, though the shadow's was recorded after it.
    let plan = "pack='routing'\nversion='1'\n[[pool]]\nid='p'\nstrategy='weighted'\nconsent='none'\n[[buyer]]\npool='p'\nseller='best'\nbands=['A']\n";
    served.call(Role::Admin, "POST", "/v1/routing/plan", &[("tallystick-now", NOW)], plan).await.ok(201);
    let body = json!({ "recipient": person(1), "lead": {} }).to_string();
    let routed = served.call(Role::Recorder, "POST", "/v1/decisions/route", &WITH, body).await.ok(200);
    assert_eq!((&routed["chosen"], &routed["score"]), (&json!("best"), &json!(644)));

    // A model of a digest that nobody registered cannot score, and that is said.
    let none = json!({ "model": "dream", "model_version": "1", "kind": "logistic", "role": "challenger", "file_sha256": "a".repeat(64) });
    let event =
        json!({ "specversion": "1.0", "id": "m1", "source": "/t", "type": "score.model_activated", "data": none });
    served.post_with("/v1/events", &WITH, &event).await.ok(201);
    let items =
        score(served, json!([{ "recipient": person(1), "features": { "equity": 1 } }])).await.ok(200)["items"].clone();
    assert_eq!(items[0]["error"]["code"], json!("pack_unknown"));
    let mut gone = event.clone();
    (gone["id"], gone["data"]["role"]) = (json!("m2"), json!("retired"));
    served.post_with("/v1/events", &WITH, &gone).await.ok(201);

    // Out of force: the card answers again.
    let retire = async |digest: &Value| {
        let path = format!("/v1/scoring/models/{}", digest.as_str().unwrap());
        served.call(Role::Admin, "DELETE", &path, &[("tallystick-now", NOW)], "").await
    };
    retire(&first["file_sha256"]).await.ok(200);
    retire(&first["file_sha256"]).await.refused(404, "not_found");
    retire(&shadow["file_sha256"]).await.ok(200);
    let again = score(served, json!([{ "recipient": person(1) }])).await.ok(200)["items"][0].clone();
    assert_eq!((&again["model"], &again["shadows"]), (&json!("card"), &Value::Null));
    assert_eq!(replay(served, &both["position"]).await["identical"], json!(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_answers_once_it_is_put_in_force_on_sqlite() {
    a_model_answers_once_it_is_put_in_force(&served(1011).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_answers_once_it_is_put_in_force_on_postgres() {
    let Some(engine) = Engine::postgres().await else { return };
    a_model_answers_once_it_is_put_in_force(&serve_bench(engine.bench(1012).await, Settings::default()).await).await;
}

const WITH_LATER: [(&str, &str); 2] =
    [("tallystick-now", "2026-11-25T12:00:00Z"), ("content-type", "application/json")];

/// Ninety leads scored by two versions; those of high points buy more often. The challenger states probabilities and orders them worse.
fn scored_story() -> Vec<Value> {
    let mut events = Vec::new();
    for person in 0..90_u32 {
        let mut tell = |id: &str, kind: &str, time: &str, data: Value| {
            events.push(json!({ "specversion": "1.0", "id": format!("{id}-{person}"), "source": "/t", "type": kind,
                "subject": format!("s-{person}"), "time": time, "data": data }));
        };
        let lead = format!("L-{person}");
        // The last ten are scored too late for their 30 days to be over.
        let day = if person < 80 { 1 + person / 8 } else { 28 };
        let at = |hour: u32| format!("2026-10-{day:02}T{hour:02}:00:00Z");
        tell("lead", "lead.received", &at(8), json!({ "lead": lead, "campaign": "fall", "channel": "web_form" }));
        let band = if points(person) >= 50 { "A" } else { "B" };
        let data = json!({ "model": "fit", "model_version": "1", "score": points(person), "band": band, "lead": lead, "campaign": "fall" });
        tell("one", "score.assigned", &at(9), data);
        // A later score of the same version, that knows what came, is not measured.
        let data = json!({ "model": "fit", "model_version": "1", "score": if bought(person) { 100 } else { 0 }, "band": "A", "lead": lead });
        tell("again", "score.assigned", "2026-11-20T09:00:00Z", data);
        if person % 3 != 0 {
            let data = json!({ "model": "fit", "model_version": "2", "score": chance(person), "champion": false,
                "probability": format!("0.{:03}", chance(person)), "lead": lead });
            tell("two", "score.assigned", &at(10), data);
        }
        if bought(person) {
            let data = json!({ "kind": "lead_sale", "amount": { "amount": "50.00", "currency": "USD" }, "sale": format!("S-{person}") });
            tell("sale", "revenue.recorded", &at(20), data);
        }
    }
    events
}

fn points(person: u32) -> u32 {
    person * 37 % 100
}

fn chance(person: u32) -> u32 {
    100 + person * 53 % 400
}

fn bought(person: u32) -> bool {
    points(person) > 60 + person * 7 % 30 || person.is_multiple_of(11)
}

/// Share of pairs of a buyer and another person that the score orders rightly, ties as half.
fn pairs_in_order(persons: &[u32], score: fn(u32) -> u32) -> f64 {
    let (mut right, mut pairs) = (0.0, 0.0);
    for buyer in persons.iter().filter(|person| bought(**person)) {
        for other in persons.iter().filter(|person| !bought(**person)) {
            pairs += 1.0;
            right += match score(*buyer).cmp(&score(*other)) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            };
        }
    }
    right / pairs
}

async fn scores_are_held_against_what_came(served: &Served) {
    let answer = served.post_with("/v1/events", &WITH_LATER, &Value::Array(scored_story())).await.json();
    let results = answer["results"].as_array().unwrap_or_else(|| panic!("{answer}"));
    assert!(results.iter().all(|result| result["status"] == json!("recorded")), "{results:?}");
    let october = "as_of=2026-11-25T00:00:00Z&to=2026-11-01";
    let after = served.bench.ledger.size() - 1;
    let view = served.get(&format!("/v1/views/scores?after={after}&{october}")).await.ok(200);
    let items = view["items"].as_array().unwrap();
    assert_eq!(items.len(), 2, "{view}");
    let (one, two) = (&items[0], &items[1]);
    let over: Vec<u32> = (0..80).collect();
    let both: Vec<u32> = (0..80).filter(|person| person % 3 != 0).collect();
    let hits = over.iter().filter(|person| bought(**person)).count();
    assert_eq!((&one["persons"], &one["open"], &one["aside"]), (&json!(90), &json!(10), &json!(0)));
    assert_eq!(
        (&one["outcome"]["hits"], &one["outcome"]["of"], &one["scale"]),
        (&json!(hits), &json!(80), &json!("points"))
    );
    let close = |value: &Value, wanted: f64| {
        assert!((value.as_f64().unwrap() - wanted).abs() < 1e-12, "{value} is not {wanted}")
    };
    close(&one["performance"]["auc"], pairs_in_order(&over, points));
    assert_eq!((&one["performance"]["brier"], &one["against_champion"]), (&Value::Null, &Value::Null));
    let of_band = |name: &str| {
        one["bands"].as_array().unwrap().iter().find(|band| band["band"] == name).unwrap()["outcome"].clone()
    };
    let high = over.iter().filter(|person| points(**person) >= 50);
    let wanted = json!([high.clone().filter(|person| bought(**person)).count(), high.count()]);
    assert_eq!(json!([of_band("A")["hits"], of_band("A")["of"]]), wanted);
    assert!(one["drift"]["psi"].is_number(), "{one}");

    assert_eq!((&two["aside"], &two["scale"]), (&two["persons"], &json!("probability")));
    close(&two["performance"]["auc"], pairs_in_order(&both, chance));
    let brier = both.iter().map(|person| {
        let gap = f64::from(chance(*person)) / 1000.0 - f64::from(u8::from(bought(*person)));
        gap * gap
    });
    close(&two["performance"]["brier"], brier.sum::<f64>() / both.len() as f64);
    let against = &two["against_champion"];
    assert_eq!((&against["persons"], &against["better"]), (&json!(both.len()), &json!(false)));
    close(&against["auc_champion"], pairs_in_order(&both, points));

    // Nothing had happened by then but the first scores; then the days of nobody are over.
    let early = served.get("/v1/views/scores?as_of=2026-10-02T00:00:00Z&model=fit").await.ok(200);
    assert_eq!((&early["items"][0]["persons"], &early["items"][0]["open"]), (&json!(8), &json!(8)));
    assert_eq!(early["items"][0]["undefined"], "no rows");
    // A longer wait leaves fewer whose days are over.
    let long = served.get("/v1/views/scores?within=50&as_of=2026-11-25T00:00:00Z&to=2026-11-01").await.ok(200);
    assert_eq!(long["items"][0]["outcome"]["of"], 40);
    let none = served.get("/v1/views/scores?model=other").await.ok(200);
    assert_eq!(none["items"], json!([]));
    for wrong in ["outcome=money", "within=0", "within=367", "from=yesterday"] {
        served.get(&format!("/v1/views/scores?{wrong}")).await.refused(400, "parameter_invalid");
    }
    let csv =
        served.call(Role::Reader, "GET", &format!("/v1/views/scores?{october}"), &[("accept", "text/csv")], "").await;
    let lines: Vec<String> = csv.text().lines().map(str::to_owned).collect();
    assert!(lines[1].starts_with("fit,1,,90,10,"), "{lines:?}");
    assert_eq!(lines.len(), 5, "a head, a version with two bands, a version without: {lines:?}");

    // A score that is annulled does not count.
    let events = served.get("/v1/events?type=score.assigned").await.ok(200);
    let first =
        events["items"].as_array().unwrap().iter().map(|item| item["position"].as_u64().unwrap()).min().unwrap();
    let annul = json!({ "specversion": "1.0", "id": "annul", "source": "/t", "type": "event.annulled", "subject": "s-0",
        "data": { "position": first, "reason": "test" } });
    served.post_with("/v1/events", &WITH_LATER, &annul).await.ok(201);
    let after = served.bench.ledger.size() - 1;
    let after = served.get(&format!("/v1/views/scores?after={after}&{october}")).await.ok(200);
    assert_eq!(after["items"][0]["persons"], 89);
}

#[tokio::test(flavor = "multi_thread")]
async fn scores_are_held_against_what_came_on_sqlite() {
    scores_are_held_against_what_came(&served(1045).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scores_are_held_against_what_came_on_postgres() {
    let Some(engine) = Engine::postgres().await else { return };
    scores_are_held_against_what_came(&serve_bench(engine.bench(1046).await, Settings::default()).await).await;
}
