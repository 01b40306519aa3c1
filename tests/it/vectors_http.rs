//! Acceptance vectors as an automation meets them: a scratch ledger over HTTP, the events posted in the order and at the times
//! at which they are recorded, the question asked at its instant.

use serde_json::{Value, json};
use tallystick::decisions::scratch;
use tallystick::domain::time::Timestamp;
use tallystick::policy::contact::Vector;

use crate::contact::cases;
use crate::server::{Client, Data, Server};
use crate::support::postgres_url;

/// One request that must succeed.
async fn call(client: &mut Client, path: &str, body: &Value) -> Value {
    let (status, answer) = client.send("POST", path, "application/json", body.to_string()).await.unwrap();
    assert!((200..300).contains(&status), "{path}: {status} {}", String::from_utf8_lossy(&answer));
    serde_json::from_slice(&answer).unwrap()
}

/// What of an answer a vector speaks of.
fn answered(answer: &Value) -> (Value, Value, Option<Timestamp>, Value) {
    let next = answer["next_allowed_at"].as_str().map(|text| text.parse().unwrap());
    (answer["allow"].clone(), answer["reasons"].clone(), next, answer["honor_by"].clone())
}

/// Asks one vector in a ledger of its own; leaves out the events whose types `left_out` names.
async fn asked(client: &mut Client, admin: &str, vector: &Vector, left_out: &[&str]) -> Value {
    (client.key, client.now) = (admin.to_owned(), None);
    let new = json!({ "scratch": true, "begins": scratch::begins(vector).to_string() });
    let made = call(client, "/v1/admin/ledgers", &new).await;
    made["admin_key"].as_str().unwrap().clone_into(&mut client.key);
    for (recorded, event) in scratch::events(vector).unwrap() {
        if left_out.contains(&event["type"].as_str().unwrap()) {
            continue;
        }
        client.now = Some(recorded.to_string());
        let told = call(client, "/v1/events", &event).await;
        assert_eq!(told["status"], "recorded", "{}: {told}", vector.id);
    }
    client.now = Some(vector.facts.now.to_string());
    call(client, "/v1/decisions/contact", &scratch::question(vector)).await
}

/// Ledgers that one server holds at a time: on Postgres each has connections of its own.
const LEDGERS: usize = 25;

async fn all_hold(database: Option<String>) {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for vectors in cases().chunks(LEDGERS) {
        let data = Data::init(database.clone());
        let server = Server::start(&data).await;
        let mut client = Client::connect(server.address, &data.key).await.unwrap();
        count += vectors.len();
        some_hold(&mut client, &data.key, vectors, &mut wrong).await;
    }
    assert!(count > 10 && wrong.is_empty(), "{} of {count} failed:\n{}", wrong.len(), wrong.join("\n"));
    eprintln!("{count} vectors hold over HTTP");
}

async fn some_hold(client: &mut Client, admin: &str, vectors: &[Vector], wrong: &mut Vec<String>) {
    for vector in vectors {
        let answer = asked(client, admin, vector, &[]).await;
        let (allow, reasons, next, honor_by) = answered(&answer);
        let expected = &vector.expected;
        let same = allow == json!(expected.allow)
            && reasons == json!(expected.reasons)
            && next == expected.next_allowed_at
            && expected.honor_by.as_ref().is_none_or(|day| honor_by == json!(day));
        if !same {
            wrong.push(format!("{}: {allow} {reasons} {next:?} {honor_by}", vector.id));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn vectors_hold_over_http_on_sqlite() {
    all_hold(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vectors_hold_over_http_on_postgres() {
    let Some(url) = postgres_url() else { return };
    all_hold(Some(url)).await;
}

/// The twin: without the events that take consent back, a refusal that rests on them alone is not the answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_vector_whose_revocation_is_hidden_does_not_hold() {
    let data = Data::init(None);
    let server = Server::start(&data).await;
    let mut client = Client::connect(server.address, &data.key).await.unwrap();
    let revoking = ["consent.revoked", "contact.received", "suppression.dnc_requested"];
    let tells = |vector: &&Vector| {
        let events = scratch::events(vector).unwrap();
        !vector.expected.allow && events.iter().any(|(_, event)| revoking.contains(&event["type"].as_str().unwrap()))
    };
    let (mut changed, mut count) = (0, 0);
    for vector in cases().iter().filter(tells).take(8) {
        let answer = asked(&mut client, &data.key, vector, &revoking).await;
        changed += u32::from(answered(&answer).1 != json!(vector.expected.reasons));
        count += 1;
    }
    assert!(count > 0 && changed > 0, "{changed} of {count} changed");
}
