//! The way in, end to end on an open ledger.

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, Executor, SqliteConnection};
use tallystick::ingest::Outcome;

use crate::support::{consent, post, received, recorded, scratch};

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_recorded_opened_and_found_again_after_a_restart() {
    let mut bench = scratch(None, 1).await;
    assert_eq!(bench.ledger.size(), 1);
    let first = recorded(post(&bench.ledger, consent("a", "lead-1", "+16145550101")).await);
    // Position 1 binds the two identifiers that the event brings.
    assert_eq!(first.position, 2);
    let second = recorded(post(&bench.ledger, consent("b", "lead-2", "+16145550101")).await);
    assert_eq!(second.subject, first.subject, "the phone decides where the reference is new");
    let opened = bench.ledger.open_entry(first.position).await.unwrap();
    assert!(opened.parts.iter().all(|part| part.plaintext.is_some()));

    bench.reopen().await;
    let again = post(&bench.ledger, consent("a", "lead-1", "+16145550101")).await;
    match again {
        Outcome::Duplicate { receipt, compared } => {
            assert_eq!(receipt, first);
            assert!(compared);
        }
        other => panic!("{other:?}"),
    }
    let third = recorded(post(&bench.ledger, consent("c", "lead-2", "+16145550199")).await);
    assert_eq!(third.subject, first.subject, "bindings are found again");
    let root = bench.ledger.root_now();
    assert_eq!(root.1, bench.ledger.root_at(root.0).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_id_with_other_data_is_refused_and_kept() {
    let bench = scratch(None, 2).await;
    recorded(post(&bench.ledger, consent("a", "lead-1", "+16145550101")).await);
    match post(&bench.ledger, consent("a", "lead-1", "+16145550102")).await {
        Outcome::Quarantined { code, .. } => assert_eq!(code, "event_id_reused"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_an_event_in_flight_waits_for_the_first() {
    let bench = scratch(None, 3).await;
    let events = (0..10).map(|_| received(consent("same", "lead-1", "+16145550101"))).collect();
    let outcomes = bench.ledger.submit(events, crate::support::options()).await.unwrap();
    let positions: Vec<u64> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Recorded(receipt) | Outcome::Duplicate { receipt, .. } => receipt.position,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(positions, [2; 10]);
    assert_eq!(bench.ledger.size(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn expect_holds_or_refuses() {
    let bench = scratch(None, 4).await;
    let mut event = consent("a", "lead-1", "+16145550101");
    event["expect"] = "none".into();
    let first = recorded(post(&bench.ledger, event).await);
    let mut event = consent("b", "lead-1", "+16145550101");
    event["expect"] = "none".into();
    assert!(matches!(post(&bench.ledger, event.clone()).await, Outcome::Refused { code: "expect_failed", .. }));
    event["expect"] = first.position.to_string().into();
    let second = recorded(post(&bench.ledger, event).await);
    assert_eq!(second.position, first.position + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_type_waits_in_quarantine_and_can_be_fixed() {
    let bench = scratch(None, 5).await;
    let mut event = consent("a", "lead-1", "+16145550101");
    event["type"] = "consent.gruntled".into();
    let Outcome::Quarantined { receipt, code, .. } = post(&bench.ledger, event).await else { panic!() };
    assert_eq!(code, "unknown_type");
    let item = bench.ledger.item(receipt.position).await.unwrap();
    assert_eq!(item.problems[0].code, "unknown_type");
    let fixed = consent("a", "lead-1", "+16145550101").to_string();
    let actor = crate::support::options().actor;
    let outcome = bench.ledger.item_replay(receipt.position, Some(fixed.into()), actor).await.unwrap();
    let receipt = recorded(outcome);
    let closing = bench.ledger.open_entry(receipt.position + 1).await.unwrap();
    assert_eq!(closing.entry.event_type, "quarantine.fixed");
    assert_eq!(closing.entry.cause, Some(receipt.position));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customers_type_is_known_again_after_a_restart() {
    let mut bench = scratch(None, 6).await;
    let document = |version: u32| {
        serde_json::json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": format!("https://tallystick.local/schemas/x.door_knock.v{version}"),
            "title": "Door knock", "description": "Somebody knocked.", "type": "object", "x-type": "x.door_knock",
            "x-version": version, "x-class": "contact", "x-subject": true, "x-service": false,
            "properties": { "outcome": {
                "type": "string", "description": "What came of it.", "enum": ["talked"], "maxLength": 10, "x-business": true
            } },
            "required": ["outcome"]
        })
        .to_string()
    };
    let actor = crate::support::options().actor;
    // Somebody takes the first number for something else.
    let mut squatter = consent("0", "lead-1", "+16145550101");
    squatter["source"] = tallystick::ingest::custom_types::SOURCE.into();
    recorded(post(&bench.ledger, squatter).await);
    let first = bench.ledger.schema_register(&document(1), actor, None).await.unwrap();
    assert!(first.receipt.is_some());
    assert_eq!(bench.ledger.schema_register(&document(1), actor, None).await.unwrap().receipt, None);
    bench.ledger.schema_register(&document(2), actor, None).await.unwrap();
    assert!(bench.ledger.schema_register(&document(2).replace("Door", "Gate"), actor, None).await.is_err());

    bench.reopen().await;
    let registry = bench.ledger.registry();
    assert_eq!(registry.current("x.door_knock").unwrap().version, 2);
    assert!(registry.by_digest(&first.digest).is_some());
    bench.ledger.schema_register(&document(3), actor, None).await.unwrap();
}

/// Takes the place of a server that minted a moment earlier: the vault does not take the first key of a batch.
const KEY_TAKEN: &str = "CREATE TABLE taken (times INTEGER); INSERT INTO taken VALUES (1); \
    CREATE TRIGGER deks_taken BEFORE INSERT ON deks WHEN (SELECT times FROM taken) = 1 BEGIN \
    UPDATE taken SET times = 0; SELECT RAISE(IGNORE); END";

#[tokio::test(flavor = "multi_thread")]
async fn an_event_whose_key_the_vault_did_not_take_is_sealed_anew() {
    let mut bench = scratch(None, 6).await;
    let vault = SqliteConnectOptions::new().filename(bench.folder.path().join("vault.db"));
    let mut vault = SqliteConnection::connect_with(&vault).await.unwrap();
    vault.execute(KEY_TAKEN).await.unwrap();
    let first = recorded(post(&bench.ledger, consent("a", "lead-1", "+16145550101")).await);
    let left: i64 = sqlx::query_scalar("SELECT times FROM taken").fetch_one(&mut vault).await.unwrap();
    assert_eq!(left, 0, "a key was refused");
    bench.reopen().await;
    let opened = bench.ledger.open_entry(first.position).await.unwrap();
    assert!(opened.parts.iter().all(|part| part.plaintext.is_some()), "every key that the entry cites is in the vault");
    // What it would be otherwise: a part whose key is nowhere.
    let gone = vault.execute("DELETE FROM deks WHERE owner <> zeroblob(16)").await.unwrap();
    assert!(gone.rows_affected() > 0);
    bench.reopen().await;
    let opened = bench.ledger.open_entry(first.position).await;
    assert!(opened.is_err() || opened.unwrap().parts.iter().any(|part| part.plaintext.is_none()));
}
