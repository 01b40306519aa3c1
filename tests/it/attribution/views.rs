//! Attribution asked of a ledger: the golden journeys posted as events, money that goes back, what stands behind a cent.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tallystick::domain::attribution::journey::Lookback;
use tallystick::domain::time::Timestamp;
use tallystick::http::state::Settings;
use tallystick::ingest::{Ledger, Outcome};
use tallystick::policy::access::Role;
use tallystick::projections::Projections;
use tallystick::views::attribution::{Attribution, AttributionQuery, attribution, conversion};

use super::golden::{compare, golden, shared};
use crate::engines::Engine;
use crate::http::{Served, serve_bench, served};
use crate::support::{Bench, options, received, scratch, time};

const RULES: [&str; 6] = ["first", "last", "linear", "position_40_20_40", "time_decay_7d", "w_shaped_30_30_30_10"];
const OTHERS: [&str; 5] = ["markov:1", "markov:2", "markov:3", "shapley_sets", "shapley_rate"];

fn query(models: &[&str], days: Option<u32>) -> AttributionQuery {
    AttributionQuery {
        models: models.iter().map(|name| (*name).to_owned()).collect(),
        lookback: Lookback { days, steps: None },
        from: None,
        to: None,
        as_of: Timestamp::MAX,
        known_at: Timestamp::MAX,
        seller: None,
        campaign: None,
        currency: None,
        engaged: false,
        replicates: 0,
        seed: 0,
    }
}

/// Posts events in batches; the position of each.
async fn post_all(ledger: &Arc<Ledger>, events: Vec<Value>) -> Vec<u64> {
    let mut positions = Vec::new();
    for batch in events.chunks(1_000) {
        let batch = batch.iter().cloned().map(received).collect();
        for outcome in ledger.submit(batch, options()).await.unwrap() {
            match outcome {
                Outcome::Recorded(receipt) => positions.push(receipt.position),
                other => panic!("{other:?}"),
            }
        }
    }
    positions
}

async fn caught_up(bench: &Bench) -> Projections {
    let projections = Projections::start(Arc::clone(&bench.ledger));
    projections.wait_for(bench.ledger.size() - 1, Duration::from_secs(60)).await.unwrap();
    projections
}

/// The answer in the form of the command's, value in cents.
fn by_model(answer: &Attribution) -> Value {
    let mut models = Map::new();
    for model in &answer.models {
        let row = |row: &tallystick::views::attribution::ChannelRow| {
            let value = row.value.as_ref().map(|value| value.amount.parse::<f64>().unwrap() * 100.0);
            (row.channel.clone(), json!({ "conversions": row.conversions, "value": value }))
        };
        models.insert(model.model.clone(), Value::Object(model.channels.iter().map(row).collect()));
    }
    Value::Object(models)
}

fn event(id: String, kind: &str, subject: &str, time: &str, data: Value) -> Value {
    json!({ "specversion": "1.0", "id": id, "source": "/golden", "type": kind, "subject": subject, "time": time, "data": data })
}

fn lines(path: &Path) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

/// Set c as events; positions of touches by (journey, number), and of conversions by journey.
async fn post_c(ledger: &Arc<Ledger>, folder: &Path) -> (BTreeMap<u64, (String, String)>, Vec<(String, u64)>) {
    let touches = lines(&folder.join("c_touches.csv"));
    let events = touches.iter().map(|line| {
        let mut data = json!({ "channel": line[3] });
        if !line[4].is_empty() {
            data["milestone"] = json!(line[4]);
        }
        event(format!("{}-{}", line[0], line[1]), "touch.recorded", &line[0], &line[2], data)
    });
    let placed = post_all(ledger, events.collect()).await;
    let by_position = placed.into_iter().zip(&touches).map(|(at, line)| (at, (line[0].clone(), line[1].clone())));
    let by_position = by_position.collect();
    let sales: Vec<Vec<String>> =
        lines(&folder.join("c_journeys.csv")).into_iter().filter(|line| line[1] == "1").collect();
    let events = sales.iter().map(|line| {
        let cents: i64 = line[3].parse().unwrap();
        let amount = format!("{}.{:02}", cents / 100, cents % 100);
        let data = json!({ "sale": line[0], "kind": "lead_sale", "amount": { "amount": amount, "currency": "USD" } });
        event(format!("sale-{}", line[0]), "revenue.recorded", &line[0], &line[2], data)
    });
    let placed = post_all(ledger, events.collect()).await;
    (by_position, sales.into_iter().map(|line| line[0].clone()).zip(placed).collect())
}

/// Set b as events: each row of the file is as many persons as it counts.
async fn post_b(ledger: &Arc<Ledger>, folder: &Path) -> (usize, usize) {
    let (mut persons, mut sales, mut batch) = (0, 0, Vec::new());
    for line in lines(&folder.join("b_paths.csv")) {
        let [path, conversions, others] = line.as_slice() else { panic!("{line:?}") };
        let (conversions, others): (usize, usize) = (conversions.parse().unwrap(), others.parse().unwrap());
        for turn in 0..conversions + others {
            let subject = format!("b-{persons}");
            persons += 1;
            let at = |step: usize| format!("2026-01-01T{:02}:{:02}:00Z", step / 60, step % 60);
            for (step, channel) in path.split(" > ").enumerate() {
                let data = json!({ "channel": channel });
                batch.push(event(format!("{subject}-{step}"), "touch.recorded", &subject, &at(step), data));
            }
            if turn < conversions {
                sales += 1;
                let amount = json!({ "amount": "1.00", "currency": "USD" });
                let data = json!({ "sale": subject, "kind": "lead_sale", "amount": amount });
                batch.push(event(
                    format!("{subject}-sale"),
                    "revenue.recorded",
                    &subject,
                    "2026-01-02T00:00:00Z",
                    data,
                ));
            }
            if batch.len() > 20_000 {
                post_all(ledger, std::mem::take(&mut batch)).await;
            }
        }
    }
    post_all(ledger, batch).await;
    (persons, sales)
}

/// Set b is 268,680 journeys; posting them takes a minute, so this is a long lane.
#[tokio::test(flavor = "multi_thread")]
async fn the_views_equal_the_golden_answers_of_the_large_set() {
    let Some(folder) = shared().filter(|_| crate::evidence::long()) else { return };
    let golden = golden(&folder);
    let bench = scratch(None, 1202).await;
    bench.clock.set(time("2027-06-01T12:00:00Z"));
    bench.ledger.clock_confirm();
    assert_eq!(post_b(&bench.ledger, &folder).await, (268_680, 1_983));
    let _projections = caught_up(&bench).await;
    let models = [
        "first",
        "last",
        "linear",
        "position_40_20_40",
        "markov:1",
        "markov:2",
        "markov:3",
        "shapley_sets",
        "shapley_rate",
        "shapley_counterfactual_path",
        "shapley_counterfactual_path:exposure",
    ];
    let answer = attribution(&bench.ledger.store(), &query(&models, None)).await.unwrap();
    assert_eq!((answer.conversions, answer.journeys_without), (1_983, 266_697));
    let (wrong, compared) = compare(&golden, "b", &by_model(&answer));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    eprintln!("{compared} figures of set b equal through the views");
    assert!(compared > 150, "only {compared} figures were compared");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_views_equal_the_golden_answers_and_cents() {
    let Some(folder) = shared() else { return };
    let golden = golden(&folder);
    let bench = scratch(None, 1201).await;
    // Journeys of the set run into the next year.
    bench.clock.set(time("2027-06-01T12:00:00Z"));
    bench.ledger.clock_confirm();
    let (touches, sales) = post_c(&bench.ledger, &folder).await;
    let _projections = caught_up(&bench).await;
    let store = bench.ledger.store();
    let models: Vec<&str> = RULES.iter().chain(&OTHERS).copied().collect();
    let (mut wrong, mut compared) = (Vec::new(), 0);
    for (set, days) in [("c90", 90), ("c30", 30)] {
        let answer = attribution(&store, &query(&models, Some(days))).await.unwrap();
        assert_eq!((answer.conversions, answer.value.amount.as_str()), (492, "126265.78"));
        let (more, count) = compare(&golden, set, &by_model(&answer));
        wrong.extend(more);
        compared += count;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared > 250, "only {compared} figures were compared");

    // Whole cents, touch by touch, as the reference has them.
    let credited = ["linear", "position_40_20_40", "time_decay_7d", "w_shaped_30_30_30_10"];
    let asked = query(&credited, Some(90));
    let mut got: BTreeMap<(String, String, String), String> = BTreeMap::new();
    for (journey, position) in &sales {
        let entry = bench.ledger.open_entry(*position).await.unwrap().entry;
        let subject = *entry.subject.unwrap().subject.as_bytes();
        let credit = conversion(&store, &asked, *position, &subject).await.unwrap().unwrap();
        for touch in &credit.touches {
            let (of, seq) = &touches[&touch.position];
            assert_eq!(of, journey);
            for (model, money) in &touch.credit {
                let cents = money.amount.replace('.', "").trim_start_matches('0').to_owned();
                got.insert(
                    (of.clone(), seq.clone(), model.clone()),
                    if cents.is_empty() { "0".to_owned() } else { cents },
                );
            }
        }
    }
    let expected: BTreeMap<(String, String, String), String> = lines(&folder.join("c90_credit_cents.csv"))
        .into_iter()
        .map(|line| ((line[0].clone(), line[1].clone(), line[3].clone()), line[4].clone()))
        .collect();
    let differs: Vec<_> = expected.iter().filter(|(key, cents)| got.get(*key) != Some(cents)).take(5).collect();
    assert!(differs.is_empty() && got.len() == expected.len(), "{differs:?}, {} of {}", got.len(), expected.len());
    eprintln!("{compared} figures and {} credits equal", got.len());
}

/// Three touches, two of one person: a call that was taken up and a mail that was not; and somebody who never bought.
async fn story(served: &Served) -> [u64; 2] {
    let day = |day: u32| format!("2026-11-{day:02}T15:00:00Z");
    let call = |attribution: &str, call: &str| {
        json!({ "channel": "voice", "technology": "manual", "purpose": "marketing", "seller": "broker-a",
            "phone": "+16145550101", "attribution_channel": attribution, "call": call })
    };
    let positions = post_all(
        &served.bench.ledger,
        vec![
            event("t1".into(), "contact.attempted", "lead-1", &day(2), call("outbound_call", "CA-1")),
            event("t2".into(), "contact.attempted", "lead-1", &day(3), call("follow_up_call", "CA-2")),
            event("e1".into(), "contact.connected", "lead-1", &day(3), json!({ "channel": "voice", "call": "CA-2", "answered_by": "human" })),
            event("m1".into(), "appointment.booked", "lead-1", &day(4), json!({ "seller": "broker-a", "appointment": "A-1", "starts_at": "2026-11-06T15:00:00Z" })),
            event("s1".into(), "revenue.recorded", "lead-1", &day(5), json!({ "sale": "S-1", "kind": "lead_sale", "seller": "broker-a", "amount": { "amount": "100.01", "currency": "USD" } })),
            event("t3".into(), "touch.recorded", "lead-2", &day(5), json!({ "channel": "outbound_call" })),
            event("s2".into(), "revenue.recorded", "lead-3", &day(6), json!({ "sale": "S-2", "kind": "lead_sale", "amount": { "amount": "7.00", "currency": "USD" } })),
        ],
    )
    .await;
    [positions[4], positions[0]]
}

async fn ask(served: &Served, query: &str) -> Value {
    let after = served.bench.ledger.size() - 1;
    let path = format!("/v1/views/attribution?after={after}&{query}");
    served.call(Role::Reader, "GET", &path, &[], axum::body::Body::empty()).await.ok(200)
}

fn channel<'a>(answer: &'a Value, name: &str) -> &'a Value {
    let channels = answer["models"][0]["channels"].as_array().unwrap();
    channels.iter().find(|row| row["channel"] == json!(name)).unwrap_or(&Value::Null)
}

async fn money_goes_back(served: &Served) {
    let [sale, _] = story(served).await;
    let before = ask(served, "models=linear").await;
    assert_eq!((&before["conversions"], &before["journeys_without"]), (&json!(2), &json!(1)), "{before}");
    assert_eq!(
        channel(&before, "outbound_call")["credit"]["amount"],
        json!("50.01"),
        "the earlier touch gets the odd cent"
    );
    assert_eq!(channel(&before, "follow_up_call")["credit"]["amount"], json!("50.00"));
    assert_eq!(channel(&before, "(unattributed)")["credit"]["amount"], json!("7.00"));
    let engaged = ask(served, "models=linear&touches=engaged").await;
    assert_eq!(channel(&engaged, "follow_up_call")["credit"]["amount"], json!("100.01"));
    assert_eq!(channel(&engaged, "outbound_call"), &Value::Null, "nobody took it up");

    let known = served.bench.ledger.now();
    served.bench.clock.set(known.checked_add_micros(1_000_000).unwrap());
    let refund = json!({ "sale": "S-1", "reason": "returned", "amount": { "amount": "60.00", "currency": "USD" } });
    let at = post_all(
        &served.bench.ledger,
        vec![event("r1".into(), "revenue.refunded", "lead-1", "2026-11-10T15:00:00Z", refund)],
    )
    .await;
    let after = ask(served, "models=linear,markov:1").await;
    assert_eq!(channel(&after, "outbound_call")["net"]["amount"], json!("20.01"));
    assert_eq!(channel(&after, "follow_up_call")["net"]["amount"], json!("20.00"));
    assert_eq!(channel(&after, "outbound_call")["credit"]["amount"], json!("50.01"), "what it earned at first stays");
    assert_eq!(after["reversed"]["amount"], json!("60.00"));
    assert_eq!(after["models"][1]["channels"][0]["credit"], Value::Null, "a model of channels credits no touch");
    let then = ask(served, &format!("models=linear&known_at={known}")).await;
    assert_eq!(then["models"], before["models"], "as known before the refund");
    let as_of = ask(served, "models=linear&as_of=2026-11-09T00:00:00Z").await;
    assert_eq!(as_of["models"], before["models"], "as of before the refund");
    let open = ask(served, &format!("models=linear&conversion={sale}")).await;
    assert_eq!(open["reversals"], json!(at));
    assert_eq!(open["touches"][1]["milestone"], json!("opportunity_created"));
    assert_eq!(open["touches"][0]["net"]["linear"]["amount"], json!("20.01"));

    let annul = json!({ "specversion": "1.0", "id": "a1", "source": "/golden", "type": "event.annulled",
        "data": { "position": sale, "reason_code": "entered_in_error", "reason": "test" } });
    post_all(&served.bench.ledger, vec![annul]).await;
    let gone = ask(served, "models=linear").await;
    assert_eq!((&gone["conversions"], &gone["journeys_without"]), (&json!(1), &json!(2)));
    let path = format!("/v1/views/attribution?models=linear&conversion={sale}");
    served.get(&path).await.refused(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn money_that_goes_back_is_taken_from_who_earned_it_on_sqlite() {
    money_goes_back(&served(1202).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn money_that_goes_back_is_taken_from_who_earned_it_on_postgres() {
    let Some(engine) = Engine::postgres().await else { return };
    money_goes_back(&serve_bench(engine.bench(1203).await, Settings::default()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_cent_opens_down_to_contact_decision_and_consent() {
    let served = served(1204).await;
    let now = "2026-11-24T17:00:00Z";
    let with = [("tallystick-now", now), ("content-type", "application/json")];
    let grant = event(
        "g".into(),
        "consent.granted",
        "lead-1",
        "2026-11-20T11:00:00Z",
        json!({ "kind": "pewc", "phone": "+16145550101",
        "sellers": ["broker-a"], "channels": ["voice"], "technologies": ["manual"], "purposes": ["marketing"],
        "signature": "checkbox_and_submit", "disclosure": { "authorizes_automated": true, "not_condition_of_purchase": true } }),
    );
    let grant = served.post_with("/v1/events", &with, &grant).await.ok(201)["position"].clone();
    let question = json!({ "recipient": { "phone": "+16145550101", "line_type": "mobile" }, "contact": { "channel": "voice",
        "technology": "manual", "purpose": "marketing", "seller": "broker-a" } });
    let decided =
        served.call(Role::Recorder, "POST", "/v1/decisions/contact", &with, question.to_string()).await.ok(200);
    assert_eq!(decided["allow"], json!(true), "{decided}");
    let call = json!({ "channel": "voice", "technology": "manual", "purpose": "marketing", "seller": "broker-a",
        "phone": "+16145550101", "attribution_channel": "outbound_call", "decision": decided["decision"] });
    let call = served
        .post_with("/v1/events", &with, &event("c".into(), "contact.attempted", "lead-1", now, call))
        .await
        .ok(201);
    let sale = json!({ "sale": "S-1", "kind": "lead_sale", "amount": { "amount": "45.00", "currency": "USD" } });
    let sale = served
        .post_with("/v1/events", &with, &event("s".into(), "revenue.recorded", "lead-1", now, sale))
        .await
        .ok(201);
    let open = ask(&served, &format!("models=last&conversion={}", sale["position"])).await;
    let touch = &open["touches"][0];
    assert_eq!(touch["credit"]["last"], json!({ "amount": "45.00", "currency": "USD" }), "{open}");
    assert_eq!((&touch["position"], &touch["decision"]), (&call["position"], &decided["decision"]));
    assert_eq!((&touch["allowed"], &touch["consent_position"]), (&json!(true), &grant));
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_that_cannot_be_asked_are_refused_by_name() {
    let served = served(1205).await;
    story(&served).await;
    let eur = json!({ "sale": "S-9", "kind": "lead_sale", "amount": { "amount": "5.00", "currency": "EUR" } });
    post_all(&served.bench.ledger, vec![event("s9".into(), "revenue.recorded", "lead-9", "2026-11-06T15:00:00Z", eur)])
        .await;
    let after = served.bench.ledger.size() - 1;
    for query in ["models=best", "touches=some", "bands=5", "lookback_steps=0", "models=linear", "nonsense=1"] {
        let path = format!("/v1/views/attribution?after={after}&{query}");
        served.get(&path).await.refused(400, "parameter_invalid");
    }
    let eur = ask(&served, "models=linear&currency=EUR").await;
    assert_eq!((&eur["conversions"], &eur["value"]["amount"]), (&json!(1), &json!("5.00")));
    let csv = served
        .call(
            Role::Reader,
            "GET",
            "/v1/views/attribution?models=first&currency=USD",
            &[("accept", "text/csv")],
            axum::body::Body::empty(),
        )
        .await;
    assert!(csv.text().starts_with("model,channel,conversions,currency,value,credit,net\r\n"), "{}", csv.text());
    assert!(time("2026-11-20T12:00:00Z") <= served.bench.ledger.now());
}
