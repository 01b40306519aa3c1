//! Lists: taken in over HTTP, asked by the gate, on both engines.

use axum::body::Body;
use bytes::Bytes;
use serde_json::{Value, json};
use tallystick::http::state::Settings;
use tallystick::policy::access::Role;

use super::{Answer, Served, serve_bench, served};
use crate::engines::Engine;

const DAY: &str = "2026-11-24T17:00:00Z";

async fn import(served: &Served, query: &str, now: &str, file: impl Into<Body>) -> Answer {
    let headers = [("tallystick-now", now), ("content-type", "text/csv")];
    served.call(Role::Admin, "POST", &format!("/v1/lists?{query}"), &headers, file).await
}

async fn decide(served: &Served, now: &str, phone: &str, contact: Value) -> Value {
    let mut all = json!({ "channel": "voice", "technology": "manual", "purpose": "marketing", "seller": "broker-a" });
    for (name, value) in contact.as_object().unwrap() {
        all[name] = value.clone();
    }
    let body = json!({ "recipient": { "phone": phone, "line_type": "mobile" }, "contact": all }).to_string();
    let headers = [("tallystick-now", now), ("content-type", "application/json")];
    served.call(Role::Recorder, "POST", "/v1/decisions/contact", &headers, body).await.ok(200)
}

async fn reasons(served: &Served, now: &str, phone: &str) -> Vec<String> {
    let decided = decide(served, now, phone, json!({})).await;
    serde_json::from_value(decided["reasons"].clone()).unwrap()
}

async fn registry_is_asked(served: &Served) {
    let ask = async |now: &str, phone: &str| reasons(served, now, phone).await;
    assert_eq!(ask(DAY, "+16145550101").await, ["DNC_SCRUB_STALE"], "nothing is known yet");
    let file = "614,5550101\n614,5550102\n212,5550103\n614,5550101\n";
    let done = import(served, "list=ndnc&as_of=2026-11-20&san=10512345-0001", DAY, file).await.ok(201);
    assert_eq!((&done["entries"], &done["added"], &done["rejected"]), (&json!(3), &json!(3), &json!(0)), "{done}");
    assert_eq!(done["area_codes"], json!(["212", "614"]));
    assert_eq!(ask(DAY, "+16145550101").await, ["NATIONAL_DNC"]);
    assert_eq!(ask(DAY, "+16145550199").await, ["BASIS_NO_CONSENT_REQUIRED"]);
    // The registry is sold by area code: of a number under another one the copy says nothing.
    assert_eq!(ask(DAY, "+13305550199").await, ["DNC_SCRUB_STALE"]);

    let decided = decide(served, DAY, "+16145550101", json!({})).await;
    let cited = json!([{ "list": "ndnc", "version": done["version"], "as_of": "2026-11-20" }]);
    assert_eq!(decided["lists"], cited, "the decision names the copy that it asked");
    let replay = format!("/v1/decisions/{}/replay", decided["decision"].as_str().unwrap());
    let replay = served.call(Role::Auditor, "POST", &replay, &[], Body::empty()).await.ok(200);
    assert_eq!(replay["identical"], json!(true), "{replay}");

    let changes = "614,5550101,2026-11-23,D\n614,5550104,2026-11-23,A\n";
    let done = import(served, "list=ndnc&as_of=2026-11-23&kind=changes", DAY, changes).await.ok(201);
    assert_eq!((&done["entries"], &done["added"], &done["removed"]), (&json!(3), &json!(1), &json!(1)), "{done}");
    assert_eq!(ask(DAY, "+16145550101").await, ["BASIS_NO_CONSENT_REQUIRED"]);
    assert_eq!(ask(DAY, "+16145550104").await, ["NATIONAL_DNC"]);

    let shown = served.call(Role::Reader, "GET", "/v1/lists", &[], Body::empty()).await.ok(200);
    let current: Vec<&Value> = shown["items"].as_array().unwrap().iter().map(|item| &item["current"]).collect();
    assert_eq!(current, [&json!(true), &json!(false)]);
    assert_eq!(shown["items"][0]["stale_at"], json!("2026-12-24T00:00:00.000000Z"));
    assert_eq!(ask("2026-12-23T17:00:00Z", "+16145550199").await, ["BASIS_NO_CONSENT_REQUIRED"]);
    assert_eq!(ask("2026-12-24T17:00:00Z", "+16145550199").await, ["DNC_SCRUB_STALE"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registry_is_asked_on_sqlite() {
    registry_is_asked(&served(951).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registry_is_asked_on_postgres() {
    let Some(engine) = Engine::postgres().await else { return };
    registry_is_asked(&serve_bench(engine.bench(952).await, Settings::default()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_list_refuses_by_its_own_code() {
    let served = served(953).await;
    let ask = async |phone: &str| reasons(&served, DAY, phone).await;
    let mark = async |query: &str, file: &str| import(&served, query, DAY, file.to_owned()).await.ok(201);
    mark("list=ndnc&as_of=2026-11-24&area_codes=all", "6145559999\n").await;
    assert_eq!(ask("+16145550101").await, ["BASIS_NO_CONSENT_REQUIRED"]);
    mark("list=litigator&as_of=2026-11-01", "name;phone\nA;(614) 555-0101\n").await;
    mark("list=internal&as_of=2026-11-01", "phone\n6145550102\n").await;
    mark("list=state:OH&as_of=2026-11-01", "6145550103\n").await;
    mark("list=state:TX&as_of=2026-11-01", "6145550104\n").await;
    assert_eq!(ask("+16145550101").await, ["LITIGATOR_HOLD"]);
    assert_eq!(ask("+16145550102").await, ["INTERNAL_DNC"]);
    assert_eq!(ask("+16145550103").await, ["NATIONAL_DNC"]);
    assert_eq!(ask("+16145550104").await, ["BASIS_NO_CONSENT_REQUIRED"], "another state's list does not bind");

    let hash = "vGM7y5n+hBXRSEAklhHDPCbysyNgYTmXdMcagGUOY8E=";
    mark("list=drop:phone&as_of=2026-11-20", &format!("ID,Hash\n1,{hash}\n")).await;
    let sale = json!({ "channel": "data_transfer", "technology": "api", "purpose": "sell_lead" });
    let sold = async |phone: &str| decide(&served, DAY, phone, sale.clone()).await["reasons"].clone();
    assert_eq!(sold("+14155559317").await, json!(["DATA_BROKER_DROP"]));
    assert_eq!(sold("+14155559318").await, json!(["BASIS_NOT_OPTED_OUT"]));
    mark("list=drop:phone&as_of=2026-11-21&kind=removals", &format!("1,{hash}\n")).await;
    assert_eq!(sold("+14155559317").await, json!(["BASIS_NOT_OPTED_OUT"]), "the platform took it back");

    // A list of people to leave alone speaks of those on it: what a tool said of somebody else stands.
    let event = json!({ "specversion": "1.0", "id": "l-1", "source": "/t", "type": "suppression.added", "subject": "lead-9",
        "data": { "reason": "litigator", "phone": "+16145550109" } });
    served.post_with("/v1/events", &[("tallystick-now", DAY)], &event).await.ok(201);
    assert_eq!(ask("+16145550109").await, ["LITIGATOR_HOLD"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_the_reassigned_numbers_database_become_events_of_their_people() {
    let served = served(954).await;
    let grant = json!({ "specversion": "1.0", "id": "g", "source": "/t", "type": "consent.granted", "subject": "lead-1",
        "time": "2026-09-01T15:00:00Z",
        "data": { "kind": "pewc", "phone": "+16145550101", "sellers": ["broker-a"], "channels": ["voice"],
            "technologies": ["automated"], "purposes": ["marketing"], "signature": "checkbox_and_submit",
            "disclosure": { "authorizes_automated": true, "not_condition_of_purchase": true } } });
    served.post_with("/v1/events", &[("tallystick-now", DAY)], &grant).await.ok(201);
    let automated = json!({ "technology": "ai_voice" });
    let asked = async || decide(&served, DAY, "+16145550101", automated.clone()).await["reasons"].clone();
    assert_eq!(asked().await, json!(["RND_UNVERIFIED"]));
    let file = "Phone,Date,Answer,Query\n6145550101,2026-09-01,No,q-77\n6145550102,2026-09-01,no data,q-78\n";
    let done = import(&served, "list=rnd&as_of=2026-11-24", DAY, file).await.ok(201);
    assert_eq!(done["answers"], json!({ "recorded": 2, "duplicate": 0, "quarantined": 0 }));
    assert_eq!(asked().await, json!(["BASIS_PEWC"]));
    let again = import(&served, "list=rnd&as_of=2026-11-24", DAY, file).await.ok(201);
    assert_eq!(again["answers"], json!({ "recorded": 0, "duplicate": 2, "quarantined": 0 }));
    let file = "6145550101,2026-09-01,Yes\n";
    import(&served, "list=rnd&as_of=2026-11-24", DAY, file).await.ok(201);
    assert_eq!(asked().await, json!(["RND_REASSIGNED"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_files_are_refused_by_name_and_nothing_of_them_counts() {
    let served = served(955).await;
    let send = async |query: &str, file: &str| import(&served, query, DAY, file.to_owned()).await;
    let problem = send("list=litigator&as_of=2026-11-01", "6145550101\n12\nnobody\n").await;
    let problem = problem.refused(422, "list_line_invalid");
    assert_eq!(problem["errors"][0]["pointer"], json!("#/2"));
    assert_eq!(problem["errors"].as_array().unwrap().len(), 2);
    assert!(!problem.to_string().contains("nobody"), "problems never echo values");
    assert_eq!(reasons(&served, DAY, "+16145550101").await, ["DNC_SCRUB_STALE"], "nothing of the file counts");
    let done = send("list=litigator&as_of=2026-11-01&rejected_max=2", "6145550101\n12\nnobody\n").await.ok(201);
    assert_eq!((&done["rejected"], &done["rejected_lines"][1]["line"]), (&json!(2), &json!(3)));
    assert!(reasons(&served, DAY, "+16145550101").await.contains(&"LITIGATOR_HOLD".to_owned()));

    for (query, file, status, code) in [
        ("list=state:ZZ&as_of=2026-11-01", "6145550101\n", 400, "parameter_invalid"),
        ("list=drop:maid&as_of=2026-11-01", "x\n", 400, "parameter_invalid"),
        ("list=dnc&as_of=2026-11-01", "6145550101\n", 400, "parameter_invalid"),
        ("as_of=2026-11-01", "6145550101\n", 400, "parameter_invalid"),
        ("list=ndnc&as_of=2026-02-30", "6145550101\n", 400, "parameter_invalid"),
        ("list=ndnc&as_of=2026-12-30", "6145550101\n", 400, "parameter_invalid"),
        ("list=ndnc&as_of=2026-11-01&kind=part", "6145550101\n", 400, "parameter_invalid"),
        ("list=ndnc&as_of=2026-11-01", "", 422, "list_unreadable"),
        ("list=ndnc&as_of=2026-11-01", "phone\n", 422, "list_unreadable"),
        ("list=ndnc&as_of=2026-11-01", "<list/>", 422, "list_unreadable"),
        ("list=ndnc&as_of=2026-11-01&kind=changes", "614,5550101,A\n", 409, "list_refused"),
        ("list=litigator&as_of=2026-10-31", "6145550101\n", 409, "list_refused"),
    ] {
        let problem = send(query, file).await.refused(status, code);
        assert!(!problem.to_string().contains("ZZ"), "{problem}");
    }
    let many: String = (100..200).map(|line| format!("6145550{line}\n")).collect();
    send("list=internal&as_of=2026-11-01", &many).await.ok(201);
    send("list=internal&as_of=2026-11-02", "6145550101\n").await.refused(409, "list_refused");
    send("list=internal&as_of=2026-11-02&may_shrink=true", "6145550101\n").await.ok(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_is_not_a_shorter_list() {
    let served = served(956).await;
    let pieces = |whole: bool| {
        let mut pieces = vec![Ok(Bytes::from_static(b"6145550101\n6145550102\n"))];
        if !whole {
            pieces.push(Err(std::io::Error::other("gone")));
        }
        Body::from_stream(futures_util::stream::iter(pieces))
    };
    let broken = import(&served, "list=litigator&as_of=2026-11-01", DAY, pieces(false)).await;
    broken.refused(422, "list_unreadable");
    let shown = served.get("/v1/lists").await.ok(200);
    assert_eq!(shown["items"], json!([]));
    // The twin: the same bytes to their end.
    import(&served, "list=litigator&as_of=2026-11-01", DAY, pieces(true)).await.ok(201);
}

async fn lost_file(engine: Engine, seed: u64) -> (Answer, Served) {
    let mut bench = engine.bench(seed).await;
    let before = serve_bench(bench, Settings::default()).await;
    import(&before, "list=litigator&as_of=2026-11-01", DAY, "6145550101\n").await.ok(201);
    bench = before.bench;
    bench.reopen().await;
    for file in std::fs::read_dir(bench.folder.path().join("lists")).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    let after = serve_bench(bench, Settings::default()).await;
    let body = json!({ "recipient": { "phone": "+16145550101" }, "contact": {
        "channel": "voice", "technology": "manual", "purpose": "marketing", "seller": "broker-a" } });
    let headers = [("tallystick-now", DAY), ("content-type", "application/json")];
    let asked = after.call(Role::Recorder, "POST", "/v1/decisions/contact", &headers, body.to_string()).await;
    (asked, after)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_gone_is_no_answer() {
    let (asked, served) = lost_file(Engine::Sqlite, 957).await;
    asked.refused(503, "list_missing");
    let changes = "list=litigator&as_of=2026-11-02&kind=removals";
    import(&served, changes, DAY, "6145550102\n").await.refused(503, "list_missing");
    // Importing the copy again puts it back.
    import(&served, "list=litigator&as_of=2026-11-01", DAY, "6145550101\n").await.ok(201);
    assert!(reasons(&served, DAY, "+16145550101").await.contains(&"LITIGATOR_HOLD".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_of_one_database_share_lists() {
    let Some(engine) = Engine::postgres().await else { return };
    let (asked, _served) = lost_file(engine, 958).await;
    let reasons = asked.ok(200)["reasons"].clone();
    assert!(reasons.as_array().unwrap().contains(&json!("LITIGATOR_HOLD")), "{reasons}");
}
