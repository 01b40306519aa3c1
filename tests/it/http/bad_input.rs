//! Bad input of each kind that operators send: one named error, and nothing is lost.

use std::process::Command;

use axum::body::Body;
use serde_json::{Value, json};
use tallystick::policy::access::Role;

use super::{Served, served};

const NOON: &str = "2026-11-24T17:00:00Z";

async fn ask(served: &Served, recipient: Value, now: &str) -> super::Answer {
    let body = json!({ "recipient": recipient, "contact": { "channel": "voice", "technology": "manual",
        "purpose": "marketing", "seller": "broker-a" } });
    let headers = [("tallystick-now", now), ("content-type", "application/json")];
    served.call(Role::Recorder, "POST", "/v1/decisions/contact", &headers, body.to_string()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_gets_its_named_error_and_nothing_is_lost() {
    let served = served(961).await;
    ask(&served, json!({ "phone": "+16145550101" }), NOON).await.ok(200);
    let size = served.bench.ledger.size();

    // A state that is none: of a question, and of a list.
    let problem = ask(&served, json!({ "phone": "+16145550101", "state": "ZZ" }), NOON).await;
    let problem = problem.refused(422, "request_invalid");
    assert_eq!(
        (&problem["errors"][0]["pointer"], &problem["errors"][0]["code"]),
        (&json!("#/recipient/state"), &json!("state_unknown"))
    );
    let list = async |query: &str, file: &'static str| {
        let headers = [("tallystick-now", NOON), ("content-type", "text/csv")];
        served.call(Role::Admin, "POST", &format!("/v1/lists?{query}"), &headers, Body::from(file)).await
    };
    list("list=state:ZZ&as_of=2026-11-01", "6145550101\n").await.refused(400, "parameter_invalid");

    // A number that cannot be: of a question, and of an event, which is kept.
    let problem = ask(&served, json!({ "phone": "+11145550101" }), NOON).await.refused(422, "request_invalid");
    assert_eq!(problem["errors"][0]["code"], json!("phone_invalid"));
    assert_eq!(served.bench.ledger.size(), size, "refused questions leave no trace");
    let event = json!({ "specversion": "1.0", "id": "b-1", "source": "/t", "type": "suppression.dnc_requested",
        "subject": "lead-1", "data": { "method": "voice", "phone": "+11145550101" } });
    let kept = served.post_with("/v1/events", &[("tallystick-now", NOON)], &event).await.refused(422, "not_e164");
    assert_eq!(kept["errors"][0]["pointer"], json!("#/data/phone"));
    let item = kept["quarantine"]["position"].as_u64().unwrap();
    let item = served.get(&format!("/v1/quarantine/{item}")).await.ok(200);
    assert!(item.to_string().contains("+11145550101"), "the item holds what was sent: {item}");

    // A line of a list that cannot be read.
    let problem = list("list=litigator&as_of=2026-11-01", "6145550101\n614\n").await.refused(422, "list_line_invalid");
    assert_eq!(problem["errors"][0]["pointer"], json!("#/2"));

    // A clock before the ledger's last time.
    let size = served.bench.ledger.size();
    let early = "2026-11-23T17:00:00Z";
    ask(&served, json!({ "phone": "+16145550101" }), early).await.refused(409, "now_behind");
    served.post_with("/v1/events", &[("tallystick-now", early)], &event).await.refused(409, "now_behind");
    assert_eq!(served.bench.ledger.size(), size);

    // Rules that overlap.
    let folder = tempfile::tempdir().unwrap();
    for file in tallystick::policy::contact::builtin_texts() {
        let mut text = file.text.to_owned();
        if file.name == "calling" {
            let row = text.split("[[rule]]").find(|row| row.contains("id = \"us-hours\"")).unwrap().to_owned();
            text.push_str(&format!("\n[[rule]]{}", row.replace("\"us-hours\"", "\"us-hours-again\"")));
        }
        std::fs::write(folder.path().join(format!("{}.toml", file.name)), text).unwrap();
    }
    let check = |folder: &std::path::Path| {
        Command::new(env!("CARGO_BIN_EXE_tallystick")).args(["policy", "check"]).arg(folder).output().unwrap()
    };
    let refused = check(folder.path());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("us-hours and us-hours-again overlap"), "{said}");
}
