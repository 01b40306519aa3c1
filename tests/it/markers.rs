//! Personal data stays inside sealed parts: a thousand seeded markers go in by every door, and none is found in database
//! files, write-ahead logs, index, archive, logs, metrics or problem documents.

use std::path::Path;

use serde_json::{Map, Value, json};
use sqlx::AssertSqlSafe;
use sqlx::{Connection, PgConnection, Row};

use crate::engines::postgres_database;
use crate::scan::{Markers, Scanner};
use crate::server::{Client, Data, Server};

/// Every schema that anybody may post, with its first example.
fn schemas() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .map(|path| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
        .collect()
}

/// Puts a marker into every personal field that takes free text, a phone number or an address.
fn fill(schema: &Value, data: &mut Map<String, Value>, markers: &mut Markers) {
    let Some(properties) = schema["properties"].as_object() else { return };
    for (name, property) in properties {
        let free = property["pattern"].is_null() && property["enum"].is_null() && property["const"].is_null();
        let long = property["maxLength"].as_u64().unwrap_or(1_000) >= 20;
        if property["x-business"] == json!(true) || property["x-format"] == json!("time") {
            continue;
        }
        match (property["type"].as_str(), property["x-format"].as_str()) {
            (Some("object"), _) => {
                let mut inner = data.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
                fill(property, &mut inner, markers);
                data.insert(name.clone(), Value::Object(inner));
            }
            (Some("string"), Some("phone")) => {
                data.insert(name.clone(), markers.phone().into());
            }
            (Some("string"), Some("email")) => {
                data.insert(name.clone(), markers.email().into());
            }
            (Some("string"), None) if free && long => {
                data.insert(name.clone(), markers.text().into());
            }
            _ => {}
        }
    }
    data.insert("unknown_to_us".to_owned(), json!({ "deep": [markers.text(), { "deeper": markers.text() }] }));
}

/// A whole event of a schema, marked all over.
fn marked(schema: &Value, markers: &mut Markers) -> Value {
    let mut event = schema["examples"][0].clone();
    let mut data = event["data"].as_object().cloned().unwrap_or_default();
    fill(schema, &mut data, markers);
    event["data"] = Value::Object(data);
    event["id"] = markers.text().into();
    event["source"] = format!("/{}", markers.text()).into();
    event["extension"] = markers.text().into();
    if schema["x-subject"] == json!(true) {
        event["subject"] = markers.text().into();
    }
    event
}

/// Events that are wrong in ways that tempt a program to say what it saw.
fn wrong(markers: &mut Markers) -> Vec<Value> {
    let mut events = Vec::new();
    for pointer in [
        "/type",
        "/specversion",
        "/time",
        "/data",
        "/data/kind",
        "/data/phone",
        "/data/email",
        "/data/sellers",
        "/data/channels/0",
        "/datacontenttype",
    ] {
        for _ in 0..4 {
            let mut event = json!({
                "specversion": "1.0", "id": markers.text(), "source": format!("/{}", markers.text()), "type": "consent.granted",
                "subject": markers.text(), "time": "2026-11-19T12:00:00Z", "datacontenttype": "application/json",
                "data": {
                    "kind": "pewc", "phone": markers.phone(), "email": markers.email(), "sellers": ["broker-a"], "channels": ["sms"],
                    "purposes": ["marketing"],
                },
            });
            *event.pointer_mut(pointer).unwrap() = markers.text().into();
            events.push(event);
        }
    }
    events.push(json!({ "only": markers.text() }));
    events.push(json!({ "type": "ledger.created", "id": markers.text(), "source": "/x", "specversion": "1.0", "data": { "origin": markers.text() } }));
    events
}

/// What came back, for the scan of problem documents.
#[derive(Default)]
struct Answers {
    recorded: u64,
    quarantined: u64,
    refused: u64,
    bodies: Vec<u8>,
}

impl Answers {
    fn take(&mut self, (status, body): (u16, bytes::Bytes)) {
        self.refused += u64::from(status >= 400);
        let text: Value = serde_json::from_slice(&body).unwrap_or_default();
        self.recorded += u64::from(status == 201) + text["recorded"].as_u64().unwrap_or(0);
        self.quarantined += u64::from(status == 422) + text["quarantined"].as_u64().unwrap_or(0);
        self.bodies.extend_from_slice(&body);
        self.bodies.push(b'\n');
    }
}

async fn post_everything(server: &Server, key: &str, markers: &mut Markers) -> Answers {
    let mut answers = Answers::default();
    let mut client = Client::connect(server.address, key).await.unwrap();
    let mut events: Vec<Value> = schemas().iter().map(|schema| marked(schema, markers)).collect();
    events.extend(wrong(markers));
    for (number, event) in events.iter().enumerate() {
        let path = if number % 9 == 0 { "/v1/events?dry_run=true" } else { "/v1/events" };
        answers.take(client.send("POST", path, "application/cloudevents+json", event.to_string()).await.unwrap());
    }
    // Once more with other content: the same ids used for something else.
    for event in events.iter().step_by(7) {
        let mut event = event.clone();
        // Some of them are wrong in that their data is a text.
        match event["data"].as_object_mut() {
            Some(data) => drop(data.insert("changed".to_owned(), markers.text().into())),
            None => event["data"] = markers.text().into(),
        }
        answers.take(client.send("POST", "/v1/events", "application/json", event.to_string()).await.unwrap());
    }
    let batch: Vec<Value> = events
        .iter()
        .take(30)
        .map(|event| {
            let mut event = event.clone();
            event["id"] = markers.text().into();
            event
        })
        .collect();
    answers.take(
        client
            .send("POST", "/v1/events", "application/cloudevents-batch+json", Value::from(batch).to_string())
            .await
            .unwrap(),
    );
    let broken = format!("{{\"name\": \"{}\", ", markers.text());
    answers.take(client.send("POST", "/v1/events", "application/json", broken).await.unwrap());
    answers.take(client.send("POST", "/v1/events", "text/plain", markers.text()).await.unwrap());
    answers
}

/// Markers in places where nobody asked for data: headers, paths, queries, keys.
async fn post_oddly(server: &Server, key: &str, markers: &mut Markers) -> Answers {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut answers = Answers::default();
    let mut requests = Vec::new();
    for number in 0..24 {
        let mut mark = || markers.text();
        let body = json!({ "kind": "pewc", "phone": "+16145550100", "note": mark(), "sellers": ["broker-a"], "channels": ["sms"], "purposes": ["marketing"] });
        let body = body.to_string();
        let head = format!(
            "host: {}\r\nuser-agent: {}\r\nreferer: http://{}/\r\ncookie: a={}\r\nx-forwarded-for: {}\r\nx-request-id: {}\r\n\
             traceparent: {}\r\nidempotency-key: {}\r\ncontent-length: {}\r\nconnection: close\r\n",
            mark(),
            mark(),
            mark(),
            mark(),
            mark(),
            mark(),
            mark(),
            mark(),
            body.len()
        );
        let auth = if number % 4 == 3 { mark() } else { key.to_owned() };
        let line = match number % 6 {
            0 => "POST /v1/events HTTP/1.1".to_owned(),
            1 => format!("GET /v1/subjects/{} HTTP/1.1", mark()),
            2 => format!("POST /v1/events?{}={} HTTP/1.1", mark(), mark()),
            3 => format!("GET /{}/{} HTTP/1.1", mark(), mark()),
            4 => format!("GET /v1/events/{} HTTP/1.1", mark()),
            _ => format!("PUT /v1/events?dry_run={} HTTP/1.1", mark()),
        };
        let events = format!(
            "content-type: application/json\r\nce-specversion: 1.0\r\nce-id: {}\r\nce-source: /{}\r\nce-type: consent.granted\r\nce-subject: {}\r\nce-other: {}\r\n",
            mark(),
            mark(),
            mark(),
            mark()
        );
        requests.push(format!("{line}\r\n{head}authorization: Bearer {auth}\r\n{events}\r\n{body}"));
    }
    for request in requests {
        let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        answers.bodies.extend_from_slice(&answer);
        answers.refused += u64::from(!answer.starts_with(b"HTTP/1.1 2"));
    }
    let mut client = Client::connect(server.address, key).await.unwrap();
    for body in [
        json!({ "phone": markers.phone() }),
        json!({ "email": markers.email() }),
        json!({ "phone": markers.text() }),
        json!({ "ref": markers.text() }),
        json!({ "ref": { "source": markers.text(), "id": markers.text() } }),
        json!({ markers.text(): 1 }),
    ] {
        answers.take(client.send("POST", "/v1/subjects/search", "application/json", body.to_string()).await.unwrap());
    }
    answers
}

/// Everything that Postgres holds, as text: byte strings come out as hex, which the scanner knows.
async fn postgres_rows(url: &str) -> Vec<u8> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let sql = "SELECT table_schema || '.' || table_name FROM information_schema.tables \
               WHERE table_schema IN ('log', 'vault', 'views') AND table_type = 'BASE TABLE'";
    let tables = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
    assert!(tables.len() > 10);
    let mut all = Vec::new();
    for table in tables {
        let name: String = table.get(0);
        let sql = format!("SELECT convert_to(CAST(t.* AS TEXT), 'UTF8') FROM {name} t");
        for row in sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap() {
            all.extend_from_slice(&row.get::<Vec<u8>, _>(0));
            all.push(b'\n');
        }
    }
    all
}

/// How many of the markers can be read with the keys: the proof that they are in there.
async fn sealed_markers(data: &Data, markers: &Markers) -> usize {
    let source = data.reading().await;
    let tasks = tallystick::runtime::Tasks::default();
    let options = tallystick::ingest::LedgerOptions {
        folder: tempfile::tempdir().unwrap().keep(),
        location: match &data.database {
            Some(url) => tallystick::store::Location::Postgres(url.clone()),
            None => tallystick::store::Location::Sqlite(source.folder.clone()),
        },
        limits: tallystick::ingest::Limits::default(),
    };
    let clock = tallystick::runtime::Clock::system();
    let random = tallystick::runtime::Randomness::System;
    let keyring = source.keyring.clone().unwrap();
    let ledger =
        tallystick::ingest::Ledger::open(data.ledger, options, keyring, clock, random, tasks.clone()).await.unwrap();
    let mut opened = Vec::new();
    for position in 0..ledger.size() {
        for part in ledger.open_entry(position).await.unwrap().parts {
            opened.extend(part.plaintext.unwrap_or_default());
            opened.push(b'\n');
        }
    }
    ledger.close();
    tasks.stop().await;
    let opened = String::from_utf8_lossy(&opened).into_owned();
    markers.texts.iter().chain(&markers.phones).filter(|marker| opened.contains(marker.as_str())).count()
}

fn assert_nothing(what: &str, hits: &[String]) {
    assert!(hits.is_empty(), "{what}: {} markers, the first: {:#?}", hits.len(), &hits[..hits.len().min(8)]);
}

async fn markers_stay_inside(database: Option<String>) {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("archive").display().to_string();
    let data = Data::init_in(folder, database, &["--archive", &archive]);
    let mut markers = Markers::default();
    let server = Server::start_with(&data.path(), &[("TALLYSTICK_TELEMETRY_LEVEL", "debug")]).await;
    let answers = post_everything(&server, &data.key, &mut markers).await;
    let odd = post_oddly(&server, &data.key, &mut markers).await;
    let mut client = Client::connect(server.address, &data.key).await.unwrap();
    // Views and projections have read everything by now; what they keep is scanned with the rest.
    for path in ["/v1/views/health", "/v1/views/roi", "/v1/views/consent", "/v1/quarantine", "/v1/events?limit=500"] {
        client.send("GET", path, "application/json", "").await.unwrap();
    }
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    let (status, metrics) = server.get("/metrics", &data.key).await.unwrap();
    assert!(status == 200 && metrics.len() > 200, "{status} {}", String::from_utf8_lossy(&metrics));
    let log = server.log();
    assert!(log.lines().count() > 20, "the log says nothing: {log}");
    assert!(markers.count() >= 1_000, "only {} markers", markers.count());
    let scanner = markers.scanner();
    assert_nothing("metrics", &scanner.found(&metrics));
    assert_nothing("the log", &scanner.found(log.as_bytes()));
    assert_nothing("answers", &scanner.found(&answers.bodies));
    assert_nothing("answers to odd requests", &scanner.found(&odd.bodies));
    let (hits, running) = scanner.found_under(data.folder.path());
    assert_nothing("files of a running server", &hits);
    if let Some(url) = &data.database {
        let rows = postgres_rows(url).await;
        assert!(rows.len() > 500_000);
        assert_nothing("rows", &scanner.found(&rows));
    }
    let log = server.stop_and_log().await;
    assert_nothing("the log of a stop", &scanner.found(log.as_bytes()));
    let (hits, stopped) = scanner.found_under(data.folder.path());
    assert_nothing("files after a stop", &hits);
    let inside = sealed_markers(&data, &markers).await;
    println!(
        "{} markers by {} recorded, {} quarantined and {} refused events and requests: none outside of sealed parts \
         ({running} bytes scanned running, {stopped} stopped), {inside} inside",
        markers.count(),
        answers.recorded,
        answers.quarantined,
        answers.refused + odd.refused
    );
    assert!(inside * 2 > markers.count() && answers.recorded > 60 && answers.quarantined > 20);
    twins(&scanner, &markers, data.folder.path());
}

/// The scanner finds what it is meant to find.
fn twins(scanner: &Scanner, markers: &Markers, folder: &Path) {
    let (text, phone) = (&markers.texts[17], &markers.phones[5]);
    let plain = format!("name={text}");
    for (form, bytes) in [
        ("plain", plain.clone().into_bytes()),
        ("hex", data_encoding::HEXLOWER.encode(plain.as_bytes()).into_bytes()),
        ("base64", data_encoding::BASE64.encode(plain.as_bytes()).into_bytes()),
        ("base64, shifted", data_encoding::BASE64.encode(format!("n={text}").as_bytes()).into_bytes()),
        ("base64, shifted again", data_encoding::BASE64.encode(format!("na={text}").as_bytes()).into_bytes()),
        ("phone", format!("to:+1{phone};").into_bytes()),
        ("digest", tallystick::crypto::hash::sha256(format!("+1{phone}").as_bytes()).as_bytes().to_vec()),
        ("digest in hex", tallystick::crypto::hash::sha256(text.as_bytes()).to_string().into_bytes()),
    ] {
        let path = folder.join("data").join("left-behind");
        std::fs::write(&path, bytes).unwrap();
        assert!(!scanner.found_under(folder).0.is_empty(), "{form}");
        std::fs::remove_file(path).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thousand_markers_stay_inside_sealed_parts_on_sqlite() {
    markers_stay_inside(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thousand_markers_stay_inside_sealed_parts_on_postgres() {
    let Some(url) = postgres_database().await else { return };
    markers_stay_inside(Some(url)).await;
}
