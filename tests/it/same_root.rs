//! One script, one clock, one stream of randomness: one root, whatever the engine.

use serde_json::json;
use tallystick::crypto::hash::Digest;
use tallystick::ingest::Outcome;

use crate::engines::{Engine, assert_verified};
use crate::script;
use crate::support::{consent, options, post, received, recorded, time};

/// Runs the script and returns every leaf hash, then the root.
async fn run(engine: &Engine, seed: u64) -> Vec<Digest> {
    let bench = engine.bench(seed).await;
    // Batches that many sealing tasks work on at once.
    for batch in 0..4_u64 {
        let events = (0..300).map(|number| received(script::event(batch * 300 + number, 40))).collect();
        bench.ledger.submit(events, options()).await.unwrap().into_iter().map(recorded).for_each(drop);
        bench.clock.set(time(&format!("2026-11-20T12:0{}:00Z", batch + 1)));
    }
    // A copy, an item, its fix, an item discarded, an event about two persons.
    assert!(matches!(post(&bench.ledger, script::event(7, 40)).await, Outcome::Duplicate { .. }));
    let mut broken = consent("broken", "lead-1", "+16145550101");
    broken["type"] = "consent.gruntled".into();
    let Outcome::Quarantined { receipt, .. } = post(&bench.ledger, broken).await else { panic!() };
    let fixed = consent("broken", "lead-1", "+16145550101").to_string();
    let fixed = bench.ledger.item_replay(receipt.position, Some(fixed.into()), options().actor).await;
    recorded(fixed.unwrap());
    let Outcome::Quarantined { receipt, .. } = post(&bench.ledger, json!({ "id": "x" })).await else { panic!() };
    bench.ledger.item_discard(receipt.position, "unreadable", options().actor).await.unwrap();
    recorded(post(&bench.ledger, consent("two", "lead-2", "+16145550103")).await);
    // A new quarter, with new keys.
    bench.clock.set(time("2027-01-04T09:00:00Z"));
    recorded(post(&bench.ledger, script::event(5_000, 40)).await);
    bench.ledger.subjects_seal(options().actor, None).await.unwrap();
    assert_verified(&bench.ledger.store()).await;
    let (size, root) = bench.ledger.root_now();
    let mut hashes = bench.ledger.leaf_hashes(0, size).await.unwrap();
    hashes.push(root);
    bench.ledger.close();
    bench.tasks.stop().await;
    hashes
}

#[tokio::test(flavor = "multi_thread")]
async fn same_script_gives_the_same_root_on_both_engines() {
    let Some(postgres) = Engine::postgres().await else { return };
    let (sqlite, postgres) = (run(&Engine::Sqlite, 31).await, run(&postgres, 31).await);
    assert!(sqlite.len() > 1_200);
    let differ = sqlite.iter().zip(&postgres).position(|(one, other)| one != other);
    assert_eq!((differ, sqlite.len()), (None, postgres.len()), "the first entry that differs");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_randomness_gives_another_root() {
    let (one, same, other) =
        (run(&Engine::Sqlite, 32).await, run(&Engine::Sqlite, 32).await, run(&Engine::Sqlite, 33).await);
    assert_eq!(one, same);
    assert_ne!(one.last(), other.last());
}
