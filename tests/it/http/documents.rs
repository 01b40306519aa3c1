//! The documents that go with the code: the API's description and the list of codes.

use std::collections::BTreeSet;
use std::path::Path;

use axum::body::Body;
use axum::http::Request;
use tallystick::http::codes;

use super::served;

#[test]
fn the_checked_in_description_is_the_served_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("ops/openapi.json");
    let now = tallystick::http::openapi_document().unwrap();
    #[expect(clippy::disallowed_methods, reason = "the one switch of this test")]
    let bless = std::env::var("TALLYSTICK_BLESS").is_ok_and(|value| value == "1");
    if bless {
        std::fs::write(&path, &now).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == now,
        "ops/openapi.json differs; if that is meant: TALLYSTICK_BLESS=1 cargo test --test it documents"
    );
    assert!(now.contains("\"openapi\": \"3.1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn description_and_pages_are_served() {
    let served = served(801).await;
    let ask = async |path: &str| served.send(Request::builder().uri(path).body(Body::empty()).unwrap()).await;
    let document = ask("/openapi.json").await.ok(200);
    assert_eq!(document["info"]["title"], "Tallystick");
    let page = ask("/docs/").await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("swagger-ui"));
}

/// Every code in the code is explained, and nothing else is.
#[test]
fn every_code_is_explained() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("ops/errors.md");
    let text = std::fs::read_to_string(path).unwrap();
    let row = |line: &str| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned());
    let explained: BTreeSet<String> = text.lines().filter_map(row).collect();
    let known: BTreeSet<String> =
        codes::ALL.iter().map(|code| code.name).chain(codes::OF_EVENTS.iter().copied()).map(str::to_owned).collect();
    assert_eq!(
        known.difference(&explained).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "not explained in ops/errors.md"
    );
    assert_eq!(explained.difference(&known).collect::<Vec<_>>(), Vec::<&String>::new(), "explained and unknown");
}

/// Codes written as literals in the modules below are all in the list.
#[test]
fn no_event_code_is_forgotten() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let read = |name: &str| {
        let text = std::fs::read_to_string(source.join(name)).unwrap();
        text.split("#[cfg(test)]").next().unwrap_or_default().to_owned()
    };
    let mut found = BTreeSet::new();
    for (file, openers) in [
        ("ingest/accept.rs", &["fail(\"", "Err((\"", "ok_or((\"", "map_err(|_| (\""][..]),
        ("ingest/admit.rs", &["refused(\"", "code: \""][..]),
        ("ingest/envelope.rs", &[", \""][..]),
        ("schema/problems.rs", &["=> (\"", "            (\""][..]),
        ("schema/format.rs", &["=> \""][..]),
    ] {
        for opener in openers {
            for piece in read(file).split(opener).skip(1) {
                let word = piece.split('"').next().unwrap_or_default();
                let shaped = word.contains('_') && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
                let attribute = ["data_base64"].contains(&word);
                if shaped && !attribute {
                    found.insert(word.to_owned());
                }
            }
        }
    }
    assert!(found.len() > 30, "{found:?}");
    let known: BTreeSet<String> = codes::OF_EVENTS.iter().map(|code| (*code).to_owned()).collect();
    assert_eq!(found.difference(&known).collect::<Vec<_>>(), Vec::<&String>::new());
}
