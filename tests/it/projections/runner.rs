//! The runner on an open ledger: reading one's own writes, rebuilding beside new events, going on after a restart.

use std::time::Duration;

use serde_json::{Value, json};
use tallystick::domain::ids::LedgerId;
use tallystick::domain::time::Timestamp;
use tallystick::projections::{Folder, PROJECTIONS, Projections};
use tallystick::store::views::{ProjectionCursor, Stage, Track};
use tallystick::store::{Location, Store};
use tallystick::views::roi::{RoiQuery, roi};
use tallystick::views::{PageRequest, health, quarantine};

use super::script::{busy, dump, fold_into, groupings, sqlite, totals, usd};
use crate::support::{post, postgres_url, received, recorded, scratch};

fn event(id: u32, event_type: &str, data: Value) -> Value {
    let mut event = json!({ "specversion": "1.0", "id": format!("e-{id}"), "source": "/test", "type": event_type,
        "time": "2026-11-19T12:00:00Z", "data": data });
    if !event_type.starts_with("cost.") {
        event["subject"] = format!("lead-{}", id % 7).into();
    }
    event
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wrote_reads_his_write_and_a_rebuild_beside_new_events_says_the_same() {
    let bench = scratch(None, 71).await;
    let projections = Projections::start(bench.ledger.clone());
    let mut last = 0;
    for id in 0..40 {
        let sale =
            json!({ "sale": format!("s-{id}"), "kind": "lead_sale", "amount": usd("10.00"), "campaign": "spring" });
        last = recorded(post(&bench.ledger, event(id, "revenue.recorded", sale)).await).position;
    }
    projections.wait_for(last, Duration::from_secs(5)).await.unwrap();
    let store = bench.ledger.store();
    assert_eq!(totals(&store, RoiQuery::default()).await, (vec![("400.00".to_owned(), "0.00".to_owned())], 40));

    projections.rebuild();
    let refund = json!({ "sale": "s-3", "amount": usd("10.00"), "reason": "returned" });
    let refunded = recorded(post(&bench.ledger, event(90, "revenue.refunded", refund)).await).position;
    let annul = json!({ "position": last, "reason_code": "entered_in_error", "reason": "a test" });
    let annulled = recorded(post(&bench.ledger, event(91, "event.annulled", annul)).await).position;
    projections.wait_for(annulled, Duration::from_secs(5)).await.unwrap();
    let live = dump(&store).await;
    let rebuilt = async || {
        while projections.status().rebuilding.is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), rebuilt()).await.unwrap();
    assert_eq!(dump(&store).await, live);
    let cursors = store.views_cursors().await.unwrap();
    let used: Vec<_> = cursors.iter().filter(|row| row.stage == Stage::Live).collect();
    assert_eq!(used.len(), PROJECTIONS.len());
    assert!(used.iter().all(|row| row.generation == 2 && row.position == annulled + 1), "{used:?}");
    assert_eq!(totals(&store, RoiQuery::default()).await.0, [("380.00".to_owned(), "0.00".to_owned())]);
    let by = RoiQuery { campaign: Some("spring".to_owned()), ..RoiQuery::default() };
    assert_eq!(totals(&store, by).await.0, [("380.00".to_owned(), "0.00".to_owned())], "the refund found its sale");
    assert_eq!(projections.lag().events, 0);
    assert!(projections.wait_for(annulled + 1, Duration::from_millis(20)).await.is_err(), "not written yet");
    assert!(refunded < annulled);
    bench.ledger.close();
    bench.tasks.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn projections_go_on_where_they_stood_after_a_restart() {
    let mut bench = scratch(None, 72).await;
    let projections = Projections::start(bench.ledger.clone());
    let events = (0..500).map(|id| received(event(id, "lead.received", json!({ "campaign": "spring" })))).collect();
    bench.ledger.submit(events, crate::support::options()).await.unwrap();
    projections.wait_for(bench.ledger.size() - 1, Duration::from_secs(5)).await.unwrap();
    bench.reopen().await;
    // Recorded while no projection runs: found in the log.
    recorded(post(&bench.ledger, event(1_000, "lead.received", json!({ "campaign": "spring" }))).await);
    let projections = Projections::start(bench.ledger.clone());
    projections.wait_for(bench.ledger.size() - 1, Duration::from_secs(5)).await.unwrap();
    let answer = roi(&bench.ledger.store(), &RoiQuery::default()).await.unwrap();
    assert_eq!(answer.totals.leads, 501);
    bench.ledger.close();
    bench.tasks.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quarantined_items_are_listed_until_someone_closes_them() {
    let bench = scratch(None, 73).await;
    let projections = Projections::start(bench.ledger.clone());
    for id in 0..5 {
        post(&bench.ledger, event(id, "lead.recieved", json!({}))).await;
    }
    let store = bench.ledger.store();
    let settle = async || {
        projections.wait_for(bench.ledger.size() - 1, Duration::from_secs(5)).await.unwrap();
    };
    settle().await;
    let (mut seen, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let request = PageRequest::new(cursor.as_deref(), Some(2), quarantine::LIST).unwrap();
        let page = quarantine::items(&store, &request, false).await.unwrap();
        seen.extend(page.items);
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 5);
    assert!(seen.iter().all(|item| item.reason == "unknown_type" && item.open && item.bytes > 0));
    let actor = crate::support::options().actor;
    bench.ledger.item_discard(seen[0].position, "test", actor).await.unwrap();
    let fixed = event(1, "lead.received", json!({})).to_string();
    let became = recorded(bench.ledger.item_replay(seen[1].position, Some(fixed.into()), actor).await.unwrap());
    settle().await;
    let item = quarantine::item(&store, seen[1].position).await.unwrap().unwrap();
    assert_eq!((item.state, item.result), ("fixed", Some(became.position)));
    let open = quarantine::items(&store, &PageRequest::new(None, None, 1).unwrap(), false).await.unwrap();
    assert_eq!(open.items.len(), 3);
    let health = health::health(&store, i64::MIN, i64::MAX).await.unwrap();
    assert_eq!(health.quarantine_open, 3);
    assert_eq!(health.size, bench.ledger.size());
    bench.ledger.close();
    bench.tasks.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures; run it alone"]
async fn speed_of_folding_and_writing() {
    let script = busy(200_000);
    let cursors: Vec<ProjectionCursor> =
        PROJECTIONS.iter().map(|(projection, _)| ProjectionCursor { projection, generation: 1 }).collect();
    let started = std::time::Instant::now();
    for batch in script.0.chunks(4_096) {
        let mut folder = Folder::new(Track::Live, &cursors, batch[0].position);
        batch.iter().for_each(|fact| folder.take(fact));
        folder.finish();
    }
    eprintln!("folding: {:.0} events/s", 200_000.0 / started.elapsed().as_secs_f64());
    let (_folder, store) = sqlite().await;
    let started = std::time::Instant::now();
    fold_into(&store, &script, &[4_096]).await;
    eprintln!("{}: {:.0} events/s", store.engine(), 200_000.0 / started.elapsed().as_secs_f64());
    let started = std::time::Instant::now();
    let known = RoiQuery { known_at: Some(Timestamp::MAX), by: groupings().remove(31), ..RoiQuery::default() };
    let exact = roi(&store, &known).await.unwrap();
    eprintln!("exact by all names: {} rows in {:?}", exact.rows.len(), started.elapsed());
    let started = std::time::Instant::now();
    let sums = roi(&store, &RoiQuery { known_at: None, ..known }).await.unwrap();
    eprintln!("sums by all names: {} rows in {:?}", sums.rows.len(), started.elapsed());
    assert_eq!(exact, sums);
    if let Some(url) = postgres_url() {
        let unique = tallystick::runtime::Randomness::System.bytes::<16>();
        let store = Store::open(&Location::Postgres(url), LedgerId::from_bytes(unique)).await.unwrap();
        let started = std::time::Instant::now();
        fold_into(&store, &script, &[4_096]).await;
        eprintln!("{}: {:.0} events/s", store.engine(), 200_000.0 / started.elapsed().as_secs_f64());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures; run it alone"]
async fn speed_of_a_rebuild_from_the_log() {
    let bench = scratch(None, 74).await;
    let mut id = 0;
    for _ in 0..40 {
        let mut batch = Vec::new();
        for _ in 0..2_500 {
            id += 1;
            let data = json!({ "campaign": format!("campaign-{}", id % 20), "source": "form-1" });
            batch.push(received(event(id, "lead.received", data)));
        }
        bench.ledger.submit(batch, crate::support::options()).await.unwrap();
    }
    let size = bench.ledger.size();
    let started = std::time::Instant::now();
    let projections = Projections::start(bench.ledger.clone());
    projections.wait_for(size - 1, Duration::from_secs(60)).await.unwrap();
    eprintln!("rebuild of {size} entries: {:.0} events/s", 100_000.0 / started.elapsed().as_secs_f64());
    bench.ledger.close();
    bench.tasks.stop().await;
}
