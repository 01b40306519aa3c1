//! Projections and views: folding in pieces gives what folding at once gives, on both engines, and money adds up.

mod axes;
mod leads;
mod runner;
mod script;

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;
use tallystick::domain::ids::{LedgerId, SubjectId};
use tallystick::domain::time::Timestamp;
use tallystick::ingest::ledger::RawFact;
use tallystick::projections::{Folder, PROJECTIONS};
use tallystick::store::views::{ConsentAct, ProjectionCursor, Stage, Track};
use tallystick::store::{Location, Store};
use tallystick::views::roi::{Dimension, RoiQuery, roi};
use tallystick::views::{Instants, consent, health};

use crate::support::postgres_url;
use script::{
    PERSON, Script, assert_balanced, dump, fold, fold_into, hash, recorded_at, sample, sqlite, step, totals, usd,
};

#[test]
fn folding_in_pieces_equals_folding_at_once_and_journals_balance() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (_folder, store) = runtime.block_on(sqlite());
    let number = std::cell::Cell::new(1_u128);
    let draws = prop::collection::vec(any::<(u8, u8, u8, u16)>(), 1..60);
    let sizes = prop::collection::vec(1..20_usize, 1..6);
    let mut runner = TestRunner::new(Config { cases: 48, failure_persistence: None, ..Config::default() });
    runner
        .run(&(draws, sizes), |(draws, sizes)| {
            let mut script = Script::default();
            draws.into_iter().for_each(|draw| step(&mut script, draw));
            let next = || {
                number.set(number.get() + 1);
                store.for_ledger(LedgerId::from_bytes(number.get().to_be_bytes()))
            };
            let (whole, pieces) = (next(), next());
            runtime.block_on(async {
                fold_into(&whole, &script, &[]).await;
                fold_into(&pieces, &script, &sizes).await;
                assert_balanced(&whole).await;
                assert_eq!(dump(&whole).await, dump(&pieces).await);
            });
            Ok(())
        })
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn both_engines_give_the_same_rows() {
    let Some(url) = postgres_url() else { return };
    let (_folder, sqlite) = sqlite().await;
    let unique = tallystick::runtime::Randomness::System.bytes::<16>();
    let postgres = Store::open(&Location::Postgres(url), LedgerId::from_bytes(unique)).await.unwrap();
    let script = sample();
    fold_into(&sqlite, &script, &[64]).await;
    fold_into(&postgres, &script, &[37]).await;
    assert_balanced(&postgres).await;
    assert_eq!(dump(&sqlite).await, dump(&postgres).await);
    sweeps_clean(&postgres).await;
}

/// Conformance: a retired generation loses every row, piece by piece, and the one in use none.
pub async fn sweeps_clean(store: &Store) {
    let before = dump(store).await;
    let cursors: Vec<ProjectionCursor> =
        PROJECTIONS.iter().map(|(projection, _)| ProjectionCursor { projection, generation: 2 }).collect();
    for (cursor, (_, version)) in cursors.iter().zip(PROJECTIONS) {
        store.views_cursor_create(*cursor, *version, Track::Building).await.unwrap();
    }
    let script = sample();
    let mut folder = Folder::new(Track::Building, &cursors, 0);
    script.0.iter().for_each(|fact| folder.take(fact));
    let end = folder.next();
    folder.finish().commit(store).await.unwrap();
    assert_eq!(dump(store).await, before, "rows being built are not seen");
    store.views_promote(&cursors, end).await.unwrap();
    assert_eq!(dump(store).await, before, "a rebuilt generation says the same");
    for (projection, _) in PROJECTIONS {
        while !store.views_sweep(projection, 1, 50).await.unwrap() {}
    }
    let left = store.views_cursors().await.unwrap();
    assert!(left.iter().all(|row| row.generation == 2 && row.stage == Stage::Live), "{left:?}");
    assert_eq!(dump(store).await, before, "sweeping takes nothing that is in use");
}

#[tokio::test(flavor = "multi_thread")]
async fn retired_rows_are_swept_and_a_rebuild_says_the_same() {
    let (_folder, store) = sqlite().await;
    fold_into(&store, &sample(), &[50]).await;
    sweeps_clean(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn annulment_counts_from_the_moment_it_was_recorded() {
    let (_folder, store) = sqlite().await;
    let mut script = Script::default();
    script.data("lead.received", json!({}));
    let sale = script.data("revenue.recorded", json!({ "kind": "call", "amount": usd("50.00"), "campaign": "spring" }));
    let annulled = script.data("event.annulled", json!({ "position": sale }));
    let restored = script.data("event.annulled", json!({ "position": annulled }));
    let store = fold(&store, 1, &script, &[]).await;
    let known = |position| RoiQuery { known_at: Some(recorded_at(position)), ..RoiQuery::default() };
    let fifty = (vec![("50.00".to_owned(), "0.00".to_owned())], 1);
    assert_eq!(totals(&store, known(0)).await, (vec![], 0));
    assert_eq!(totals(&store, known(sale)).await, fifty);
    assert_eq!(totals(&store, known(annulled)).await, (vec![], 0));
    assert_eq!(totals(&store, known(restored)).await, fifty);
    assert_eq!(totals(&store, RoiQuery::default()).await, fifty);
    // On the other axis the sale had not occurred yet, whatever is known.
    let early = RoiQuery { as_of: Some(recorded_at(0)), ..RoiQuery::default() };
    assert_eq!(totals(&store, early).await, (vec![], 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn refund_takes_the_names_of_its_sale_and_a_correction_replaces() {
    let (_folder, store) = sqlite().await;
    let mut script = Script::default();
    let sale = json!({ "sale": hash(1) });
    let first = script.with_refs(
        "revenue.recorded",
        json!({ "kind": "lead_sale", "amount": usd("80.00"), "campaign": "spring", "seller": "broker-a" }),
        sale.clone(),
    );
    script.with_refs("revenue.refunded", json!({ "amount": usd("30.00"), "reason": "quality" }), sale.clone());
    script.data("cost.recorded", json!({ "kind": "media", "amount": usd("20.00"), "campaign": "spring" }));
    script.push(
        "revenue.recorded",
        Some(first),
        Some(json!({ "data": { "kind": "lead_sale", "amount": usd("90.00"), "campaign": "spring", "seller": "broker-a" } })),
    );
    let store = fold(&store, 2, &script, &[1]).await;
    let query = RoiQuery { by: BTreeSet::from([Dimension::Campaign, Dimension::Seller]), ..RoiQuery::default() };
    let answer = roi(&store, &query).await.unwrap();
    let rows: Vec<_> = answer
        .rows
        .iter()
        .map(|row| (row.names.campaign.as_deref(), row.names.seller.as_deref(), row.money[0].revenue.amount.as_str()))
        .collect();
    assert_eq!(rows, [(Some("spring"), Some(""), "0.00"), (Some("spring"), Some("broker-a"), "60.00")]);
    assert_eq!(answer.totals.money[0].roi.as_deref(), Some("2.0000"));
    assert_eq!(answer.totals.money[0].margin.amount, "40.00");
    assert_eq!((answer.totals.sales, answer.totals.refunds), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_and_a_month_have_their_costs_by_kind_and_figures_a_piece() {
    let (_folder, store) = sqlite().await;
    let mut script = Script::default();
    let names = |data: serde_json::Value| {
        let mut data = data;
        data["vendor"] = json!("list-house");
        data
    };
    for number in 1..=3 {
        script.data("lead.received", names(json!({})));
        let sale = json!({ "sale": hash(number) });
        script.with_refs("revenue.recorded", names(json!({ "kind": "lead_sale", "amount": usd("100.00") })), sale);
    }
    script.data("lead.accepted", names(json!({ "seller": "broker-a" })));
    let back = json!({ "sale": hash(1) });
    script.with_refs("revenue.refunded", names(json!({ "amount": usd("50.00"), "reason": "quality" })), back);
    for (kind, amount) in [("media", "80.00"), ("data", "20.00"), ("labour", "30.00")] {
        script.data("cost.recorded", names(json!({ "kind": kind, "amount": usd(amount) })));
    }
    let store = fold(&store, 9, &script, &[3]).await;
    let by = BTreeSet::from([Dimension::Vendor, Dimension::Month]);
    let asked = RoiQuery { by, vendor: Some("list-house".to_owned()), ..RoiQuery::default() };
    let answer = roi(&store, &asked).await.unwrap();
    // The accepted lead is of a seller too; it is of the same vendor and month.
    let [row] = answer.rows.as_slice() else { panic!("{answer:?}") };
    assert_eq!((row.names.vendor.as_deref(), row.names.month.as_deref()), (Some("list-house"), Some("2026-09")));
    let money = serde_json::to_value(&row.money[0]).unwrap();
    let shown = |name: &str| money[name].get("amount").unwrap_or(&money[name]).clone();
    for (name, figure) in [
        ("gross", "300.00"),
        ("returns", "50.00"),
        ("revenue", "250.00"),
        ("cost", "130.00"),
        ("margin", "120.00"),
        ("contribution", "150.00"),
        ("roi", "0.9231"),
        ("roas", "3.1250"),
        ("return_rate", "0.1667"),
        ("cpl", "130.00"),
        ("cpl_gross", "43.333333"),
        ("cac", "43.333333"),
        ("effective_price", "83.333333"),
    ] {
        assert_eq!(shown(name), json!(figure), "{name}");
    }
    assert_eq!(money["costs"], json!({ "data": usd("20.00"), "labour": usd("30.00"), "media": usd("80.00") }));
    let weeks = roi(&store, &RoiQuery { by: BTreeSet::from([Dimension::Week]), ..RoiQuery::default() }).await.unwrap();
    assert_eq!(weeks.rows.iter().map(|row| row.names.week.as_deref()).collect::<Vec<_>>(), [Some("2026-09-21")]);
    let none = roi(&store, &RoiQuery { vendor: Some("other".to_owned()), ..RoiQuery::default() }).await.unwrap();
    assert!(none.rows.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn estimate_is_replaced_and_a_period_is_spread_over_its_days() {
    let (_folder, store) = sqlite().await;
    let mut script = Script::default();
    let cost = json!({ "cost": hash(5) });
    script.with_refs(
        "cost.recorded",
        json!({ "kind": "media", "amount": usd("70.00"), "estimate": true }),
        cost.clone(),
    );
    script.with_refs(
        "cost.recorded",
        json!({ "kind": "media", "amount": usd("100.00"), "replaces_estimate": true,
            "period_from": "2026-09-01", "period_to": "2026-09-03" }),
        cost,
    );
    let store = fold(&store, 3, &script, &[1]).await;
    let query = RoiQuery { by: BTreeSet::from([Dimension::Day]), ..RoiQuery::default() };
    let answer = roi(&store, &query).await.unwrap();
    let days: Vec<_> =
        answer.rows.iter().map(|row| (row.names.day.as_deref().unwrap(), row.money[0].cost.amount.as_str())).collect();
    assert_eq!(days, [("2026-09-01", "33.333334"), ("2026-09-02", "33.333333"), ("2026-09-03", "33.333333")]);
    assert_eq!(answer.totals.money[0].cost.amount, "100.00");
    assert_eq!(answer.totals.money[0].roi.as_deref(), Some("-1.0000"));
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_is_parked_with_a_code_and_absent_parts_are_not_poison() {
    let (_folder, store) = sqlite().await;
    let mut script = Script::default();
    let poison = script.data("revenue.recorded", json!({ "kind": "call", "amount": usd("a secret") }));
    script.push("consent.granted", None, None);
    script.push("revenue.recorded", None, None);
    let later = script.data("event.annulled", json!({ "position": 99 }));
    script.0.push(RawFact { position: 4, entry: vec![1, 2, 3], business: None });
    script.data("revenue.recorded", json!({ "kind": "call", "amount": usd("5.00") }));
    let store = fold(&store, 4, &script, &[2]).await;
    let parked = health::parked(&store, 0, 100).await.unwrap();
    let parked: Vec<_> =
        parked.iter().map(|row| (row.position, row.projection.as_str(), row.reason.as_str())).collect();
    assert_eq!(
        parked,
        [
            (poison, "billing", "amount_unreadable"),
            (poison, "journeys", "amount_unreadable"),
            (poison, "money", "amount_unreadable"),
            (later, "billing", "target_not_before"),
            (later, "consent", "target_not_before"),
            (later, "journeys", "target_not_before"),
            (later, "money", "target_not_before"),
            (4, "billing", "entry_unreadable"),
            (4, "consent", "entry_unreadable"),
            (4, "health", "entry_unreadable"),
            (4, "journeys", "entry_unreadable"),
            (4, "money", "entry_unreadable"),
            (4, "quarantine", "entry_unreadable"),
            (4, "scores", "entry_unreadable"),
            (4, "trails", "entry_unreadable"),
        ]
    );
    assert_eq!(totals(&store, RoiQuery::default()).await, (vec![("5.00".to_owned(), "0.00".to_owned())], 1));
    let health = health::health(&store, i64::MIN, i64::MAX).await.unwrap();
    assert_eq!(health.days.iter().map(|day| day.absent).sum::<i64>(), 2);
    assert!(health.projections.iter().all(|projection| projection.position == 6));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_that_stands_elsewhere_refuses_the_batch_whole() {
    let (_folder, store) = sqlite().await;
    let mut script = Script::default();
    script.data("lead.received", json!({}));
    let store = fold(&store, 5, &script, &[]).await;
    let before = dump(&store).await;
    let cursors: Vec<ProjectionCursor> =
        PROJECTIONS.iter().map(|(projection, _)| ProjectionCursor { projection, generation: 1 }).collect();
    let mut folder = Folder::new(Track::Live, &cursors, 0);
    folder.take(&script.0[0]);
    assert!(folder.finish().commit(&store).await.is_err(), "another server folded it already");
    assert_eq!(dump(&store).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn consent_is_asked_on_both_axes() {
    let (_folder, store) = sqlite().await;
    let mut script = Script::default();
    let granted = script.push(
        "consent.granted",
        None,
        Some(json!({
            "data": { "kind": "pewc", "sellers": ["broker-a"], "channels": ["sms"], "purposes": ["marketing"] },
            "derived": { "signature_present": true, "disclosures_complete": true },
            "occurred": recorded_at(0).to_string(),
        })),
    );
    script.data("lead.received", json!({}));
    // Learnt two hours later, but it reached the company one hour after the grant.
    let stop = json!({ "data": { "method": "reply", "received_at": recorded_at(1).to_string() } });
    let revoked = script.push("consent.revoked", None, Some(stop));
    let store = fold(&store, 6, &script, &[]).await;
    let subjects = [SubjectId::from_bytes(PERSON)];
    let standing = async |as_of, known_at| {
        let at = Instants { as_of: recorded_at(as_of), known_at: recorded_at(known_at) };
        let cells = consent::state(&store, &subjects, at).await.unwrap();
        let cell = cells.into_iter().find(|cell| cell.channel == "sms" && cell.seller.is_some());
        cell.map(|cell| (cell.standing, cell.act.position))
    };
    use consent::ConsentStanding::{Granted, Revoked};
    assert_eq!(standing(1, 1).await, Some((Granted, granted)), "not known yet");
    assert_eq!(standing(1, 2).await, Some((Revoked, revoked)), "known later, it counts from receipt");
    assert_eq!(standing(0, 2).await, Some((Granted, granted)), "before it, consent stood");
    let activity = consent::activity(&store, recorded_at(0), recorded_at(9), Timestamp::MAX).await.unwrap();
    let acts: Vec<_> = activity.iter().map(|row| (row.act, row.count)).collect();
    assert_eq!(acts, [(ConsentAct::Granted.name(), 1), (ConsentAct::Revoked.name(), 1)]);
}
