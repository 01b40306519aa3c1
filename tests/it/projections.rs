//! Projections and views: folding in pieces gives what folding at once gives, on both engines, and money adds up.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use tallystick::chain::entry::{Entry, SubjectLink};
use tallystick::crypto::hash::Digest;
use tallystick::domain::ids::{EventId, LedgerId, PrincipalId, SubjectId};
use tallystick::domain::time::Timestamp;
use tallystick::ingest::ledger::RawFact;
use tallystick::projections::{Folder, PROJECTIONS, Projections};
use tallystick::store::views::{ConsentAct, ProjectionCursor, Stage, Track};
use tallystick::store::{Location, Store};
use tallystick::views::roi::{Dimension, RoiQuery, roi};
use tallystick::views::{Instants, PageRequest, consent, health, quarantine};

use crate::support::{post, postgres_url, received, recorded, scratch};

const BASE: i64 = 1_790_000_000_000_000;
const HOUR: i64 = 3_600_000_000;
const PERSON: [u8; 16] = [9; 16];
const EVER: Instants = Instants { as_of: Timestamp::MAX, known_at: Timestamp::MAX };

/// A log written by hand: an entry an hour.
#[derive(Default, Clone)]
struct Script(Vec<RawFact>);

impl Script {
    fn push(&mut self, event_type: &str, corrects: Option<u64>, business: Option<Value>) -> u64 {
        let position = self.0.len() as u64;
        let person = !event_type.starts_with("cost.") && !event_type.starts_with("quarantine.");
        let subject = SubjectLink { subject: SubjectId::from_bytes(PERSON), sequence: 1, previous: None };
        let entry = Entry {
            format: 1,
            ledger: LedgerId::from_bytes([3; 16]),
            position,
            previous: Digest::ZERO,
            event: EventId::from_bytes([u8::try_from(position % 251).unwrap(); 16]),
            event_type: event_type.to_owned(),
            schema: Digest::ZERO,
            subject: person.then_some(subject),
            recorded: Timestamp::from_micros(BASE + i64::try_from(position).unwrap() * HOUR),
            actor: PrincipalId::from_bytes([1; 16]),
            cause: None,
            corrects,
            dedupe: [0; 32],
            parts: Vec::new(),
        };
        let business = business.map(|value| value.to_string().into_bytes());
        self.0.push(RawFact { position, entry: entry.encode().unwrap(), business });
        position
    }

    fn data(&mut self, event_type: &str, data: Value) -> u64 {
        self.push(event_type, None, Some(json!({ "data": data })))
    }

    fn with_refs(&mut self, event_type: &str, data: Value, refs: Value) -> u64 {
        self.push(event_type, None, Some(json!({ "data": data, "refs": refs })))
    }
}

fn usd(amount: &str) -> Value {
    json!({ "amount": amount, "currency": "USD" })
}

fn hash(number: u8) -> String {
    format!("{number:032x}")
}

fn recorded_at(position: u64) -> Timestamp {
    Timestamp::from_micros(BASE + i64::try_from(position).unwrap() * HOUR)
}

/// Folds a log into a ledger of its own, in batches of the given sizes (the last one again and again).
async fn fold(store: &Store, ledger: u8, script: &Script, sizes: &[usize]) -> Store {
    let store = store.for_ledger(LedgerId::from_bytes([ledger; 16]));
    fold_into(&store, script, sizes).await;
    store
}

async fn fold_into(store: &Store, script: &Script, sizes: &[usize]) {
    let cursors: Vec<ProjectionCursor> =
        PROJECTIONS.iter().map(|(projection, _)| ProjectionCursor { projection, generation: 1 }).collect();
    for (cursor, (_, version)) in cursors.iter().zip(PROJECTIONS) {
        store.views_cursor_create(*cursor, *version, Track::Live).await.unwrap();
    }
    let (mut rest, mut next, mut batch) = (script.0.as_slice(), 0, 0);
    while !rest.is_empty() {
        let size = sizes.get(batch).or(sizes.last()).copied().unwrap_or(rest.len()).clamp(1, rest.len());
        let (now, later) = rest.split_at(size);
        let mut folder = Folder::new(Track::Live, &cursors, next);
        now.iter().for_each(|fact| folder.take(fact));
        next = folder.next();
        folder.finish().commit(store).await.unwrap();
        (rest, batch) = (later, batch + 1);
    }
}

fn groupings() -> Vec<BTreeSet<Dimension>> {
    let all = [Dimension::Day, Dimension::Campaign, Dimension::Channel, Dimension::Source, Dimension::Seller];
    (0..32).map(|bits| (0..5).filter(|place| bits >> place & 1 == 1).map(|place| all[place]).collect()).collect()
}

/// Everything that readers can see of a ledger.
async fn dump(store: &Store) -> Value {
    let mut money = Vec::new();
    for by in groupings() {
        let daily = roi(store, &RoiQuery { by: by.clone(), ..RoiQuery::default() }).await.unwrap();
        let exact = RoiQuery { by, known_at: Some(Timestamp::MAX), ..RoiQuery::default() };
        assert_eq!(daily, roi(store, &exact).await.unwrap(), "daily sums and lines agree");
        money.push(daily);
    }
    let subject = [SubjectId::from_bytes(PERSON)];
    let lines = store.money_lines(0, i64::MAX, i64::MAX).await.unwrap();
    let lines: Vec<String> = lines.iter().map(|line| format!("{line:?}")).collect();
    let health = health::health(store, i64::MIN, i64::MAX).await.unwrap();
    json!({
        "money": money,
        "lines": lines,
        "consent": consent::state(store, &subject, EVER).await.unwrap(),
        "history": consent::history(store, &subject, EVER).await.unwrap(),
        "days": health.days,
        "types": health.types,
        "principals": health.principals,
        "parked": health::parked(store, 0, 10_000).await.unwrap(),
        "quarantine": quarantine::items(store, &PageRequest::new(None, Some(1_000), 1).unwrap(), true).await.unwrap(),
    })
}

/// Every event's lines sum to zero in each currency.
async fn assert_balanced(store: &Store) {
    let mut sums: BTreeMap<(i64, [u8; 3]), i64> = BTreeMap::new();
    for line in store.money_lines(0, i64::MAX, i64::MAX).await.unwrap() {
        if line.account < 1_000 {
            *sums.entry((line.position, line.currency)).or_default() += line.amount;
        }
    }
    assert!(sums.values().all(|sum| *sum == 0), "{sums:?}");
}

/// A store on SQLite whose folder lives as long as the first of the pair.
async fn sqlite() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Sqlite(folder.path().to_path_buf());
    let store = Store::open(&location, LedgerId::from_bytes([0; 16])).await.unwrap();
    (folder, store)
}

/// One event of a random log; targets and records are drawn small so that they meet.
fn step(script: &mut Script, draw: (u8, u8, u8, u16)) {
    let (what, record, shape, amount) = draw;
    let (record, position) = (hash(record % 4), script.0.len() as u64);
    let amount = format!("{}.{:02}", i32::from(amount) - 9_000, amount % 100);
    let mut names = json!({});
    for (bit, name) in ["campaign", "channel", "source", "seller", "vendor"].iter().enumerate() {
        if shape >> bit & 1 == 1 {
            names[*name] = format!("{name}-{}", shape % 3).into();
        }
    }
    let data = |extra: Value| {
        let mut data = names.clone();
        data.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        data
    };
    let sale = json!({ "sale": record });
    match what % 20 {
        0 | 1 => {
            script.with_refs("revenue.recorded", data(json!({ "kind": "lead_sale", "amount": usd(&amount) })), sale)
        }
        2 => script.with_refs("revenue.refunded", data(json!({ "amount": usd(&amount), "reason": "returned" })), sale),
        3 => script.with_refs("revenue.adjusted", data(json!({ "amount": usd(&amount), "kind": "clawback" })), sale),
        4 => script.with_refs(
            "revenue.chargeback_recorded",
            data(json!({ "amount": usd(&amount), "fee": usd("15.00"), "status": "lost" })),
            sale,
        ),
        5 | 6 => script.with_refs(
            "cost.recorded",
            data(json!({ "kind": "media", "amount": { "amount": amount, "currency": "EUR" },
                "estimate": shape % 2 == 0, "replaces_estimate": shape % 3 == 0,
                "period_from": "2026-09-01", "period_to": "2026-09-07" })),
            json!({ "cost": record }),
        ),
        7 => script.with_refs(
            "cost.reversed",
            data(json!({ "kind": "media", "amount": usd(&amount) })),
            json!({ "cost": record }),
        ),
        8 => script.data("payment.received", data(json!({ "amount": usd(&amount), "fee": usd("0.30") }))),
        9 => script.data("lead.received", data(json!({}))),
        10 => script.data("contact.attempted", data(json!({ "channel": "sms", "attribution_channel": "cold_sms" }))),
        11..=13 => script.data("event.annulled", json!({ "position": u64::from(shape) % (position + 1) })),
        14 => {
            let corrected = position.checked_sub(1).map(|last| u64::from(shape) % (last + 1));
            let data = data(json!({ "kind": "call", "amount": usd(&amount) }));
            script.push("revenue.recorded", corrected, Some(json!({ "data": data, "refs": sale })))
        }
        15 => script.data("revenue.recorded", json!({ "kind": "call", "amount": usd("lots") })),
        16 => script.push("revenue.recorded", None, None),
        17 => script.data(
            "consent.granted",
            json!({ "kind": "pewc", "sellers": ["a", "b"], "channels": ["sms"], "purposes": ["marketing"] }),
        ),
        18 => script.data("consent.revoked", json!({ "method": "reply", "channels": ["sms", "voice"] })),
        _ if position % 2 == 0 => {
            script.data("quarantine.received", json!({ "reason": "unknown_type", "via": "api", "bytes": 12 }))
        }
        _ => script.data("quarantine.discarded", json!({ "item": u64::from(shape) % position, "reason": "test" })),
    };
}

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

fn sample() -> Script {
    let mut script = Script::default();
    for round in 0..400_u32 {
        let [a, b, c, d] = round.wrapping_mul(2_654_435_761).to_be_bytes();
        step(&mut script, (a, b, c, u16::from_be_bytes([d, a])));
    }
    script
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

async fn totals(store: &Store, query: RoiQuery) -> (Vec<(String, String)>, i64) {
    let totals = roi(store, &query).await.unwrap().totals;
    let money = totals.money.iter().map(|money| (money.revenue.amount.clone(), money.cost.amount.clone())).collect();
    (money, totals.sales)
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
        .map(|row| (row.campaign.as_deref(), row.seller.as_deref(), row.money[0].revenue.amount.as_str()))
        .collect();
    assert_eq!(rows, [(Some("spring"), Some(""), "0.00"), (Some("spring"), Some("broker-a"), "60.00")]);
    assert_eq!(answer.totals.money[0].roi.as_deref(), Some("2.0000"));
    assert_eq!(answer.totals.money[0].margin.amount, "40.00");
    assert_eq!((answer.totals.sales, answer.totals.refunds), (1, 1));
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
        answer.rows.iter().map(|row| (row.day.as_deref().unwrap(), row.money[0].cost.amount.as_str())).collect();
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
            (poison, "money", "amount_unreadable"),
            (later, "consent", "target_not_before"),
            (later, "money", "target_not_before"),
            (4, "consent", "entry_unreadable"),
            (4, "health", "entry_unreadable"),
            (4, "money", "entry_unreadable"),
            (4, "quarantine", "entry_unreadable"),
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

/// A day of lead generation: mostly leads and contacts, some consent, a little money.
fn busy(count: u32) -> Script {
    let mut script = Script::default();
    for id in 0..count {
        let campaign = format!("campaign-{}", id % 20);
        match id % 20 {
            0..8 => script.data("lead.received", json!({ "campaign": campaign, "channel": "web", "source": "form-1" })),
            8..14 => script.data(
                "contact.attempted",
                json!({ "campaign": campaign, "channel": "sms", "purpose": "marketing", "seller": "broker-a" }),
            ),
            14..18 => script.data(
                "consent.granted",
                json!({ "kind": "pewc", "sellers": ["broker-a"], "channels": ["sms"], "purposes": ["marketing"] }),
            ),
            18 => script.with_refs(
                "revenue.recorded",
                json!({ "kind": "lead_sale", "amount": usd("40.00"), "campaign": campaign, "seller": "broker-a" }),
                json!({ "sale": format!("{id:032x}") }),
            ),
            _ => script.data("cost.recorded", json!({ "kind": "media", "amount": usd("12.50"), "campaign": campaign })),
        };
    }
    script
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
    let daily = roi(&store, &RoiQuery { known_at: None, ..known }).await.unwrap();
    eprintln!("daily by all names: {} rows in {:?}", daily.rows.len(), started.elapsed());
    assert_eq!(exact, daily);
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
