//! Both time axes: what is known at an instant, of what had occurred by an instant, is what a ledger says that was cut there.

use std::cell::Cell;
use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use tallystick::chain::decode::EntryRef;
use tallystick::chain::entry::Entry;
use tallystick::domain::ids::LedgerId;
use tallystick::domain::money::Micros;
use tallystick::domain::time::Timestamp;
use tallystick::ingest::ledger::RawFact;
use tallystick::store::Store;
use tallystick::views::roi::{Dimension, RoiQuery, roi};
use tallystick::views::{PageRequest, moves};

use super::script::{BASE, HOUR, Script, fold_into, groupings, sqlite, step, totals, usd};

/// Time from one entry to the next: a script crosses the periods by which sums are kept apart.
const STEP: i64 = 20 * HOUR;

fn recorded_at(position: u64) -> Timestamp {
    Timestamp::from_micros(BASE + i64::try_from(position).unwrap() * STEP)
}

/// When an event happened: up to 60 steps before it was recorded, each by its own; costs in the order in which they were recorded,
/// because a figure replaces the estimate that was recorded last.
fn occurred_at(position: u64, event_type: &str) -> Timestamp {
    let lag = if event_type.starts_with("cost.") { 30 } else { i64::try_from(position * 37 % 61).unwrap() };
    Timestamp::from_micros(BASE + (i64::try_from(position).unwrap() - lag) * STEP)
}

fn event_type(fact: &RawFact) -> String {
    EntryRef::decode(&fact.entry).unwrap().event_type.to_owned()
}

/// Says when each event was recorded and when it happened.
fn dated(script: &Script) -> Script {
    let mut dated = script.clone();
    for fact in &mut dated.0 {
        let at = occurred_at(fact.position, &event_type(fact));
        let entry = Entry { recorded: recorded_at(fact.position), ..Entry::decode(&fact.entry).unwrap() };
        fact.entry = entry.encode().unwrap();
        if let Some(bytes) = &mut fact.business {
            let mut part: Value = serde_json::from_slice(bytes).unwrap();
            part["occurred"] = at.to_string().into();
            *bytes = part.to_string().into_bytes();
        }
    }
    dated
}

/// The log as it was after entry `known`, without what happened after `as_of`; that an event was annulled is knowledge, whenever it was
/// said.
fn cut(script: &Script, known: u64, as_of: Timestamp) -> Script {
    let mut cut = Script(script.0.iter().filter(|fact| fact.position <= known).cloned().collect());
    for fact in &mut cut.0 {
        let of = event_type(fact);
        if occurred_at(fact.position, &of) > as_of && of != "event.annulled" {
            let mut entry = Entry::decode(&fact.entry).unwrap();
            // Without a business part only this may still say something.
            entry.corrects = None;
            fact.entry = entry.encode().unwrap();
            fact.business = None;
        }
    }
    cut
}

async fn by_day(store: &Store, query: RoiQuery) -> tallystick::views::roi::Roi {
    roi(store, &RoiQuery { by: BTreeSet::from([Dimension::Day]), ..query }).await.unwrap()
}

#[test]
fn roi_at_two_instants_equals_a_ledger_cut_there_and_replayed() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (_folder, store) = runtime.block_on(sqlite());
    let number = Cell::new(1_u128);
    let (seen, differ, sooner) = (Cell::new(0_u32), Cell::new(0_u32), Cell::new(0_u32));
    let draws = prop::collection::vec(any::<(u8, u8, u8, u16)>(), 8..60);
    let mut runner = TestRunner::new(Config { cases: 40, failure_persistence: None, ..Config::default() });
    runner
        .run(&(draws, any::<u64>(), any::<u64>()), |(draws, known, as_of)| {
            let mut script = Script::default();
            draws.into_iter().for_each(|draw| step(&mut script, draw));
            let script = dated(&script);
            let size = script.0.len() as u64;
            let known = known % size;
            let steps = i64::try_from(as_of % (size + 40)).unwrap() - 40;
            let as_of = Timestamp::from_micros(BASE + steps * STEP);
            let before = Timestamp::from_micros(BASE + (steps - 6) * STEP);
            let next = || {
                number.set(number.get() + 1);
                store.for_ledger(LedgerId::from_bytes(number.get().to_be_bytes()))
            };
            let (whole, then, both, short, early) = (next(), next(), next(), next(), next());
            runtime.block_on(async {
                fold_into(&whole, &script, &[7]).await;
                fold_into(&then, &cut(&script, known, Timestamp::MAX), &[5]).await;
                fold_into(&both, &cut(&script, known, as_of), &[]).await;
                let known_at = Some(recorded_at(known));
                for by in groupings() {
                    let asked = RoiQuery { by: by.clone(), known_at, ..RoiQuery::default() };
                    let replayed = RoiQuery { by, ..RoiQuery::default() };
                    assert_eq!(roi(&whole, &asked).await.unwrap(), roi(&then, &replayed).await.unwrap());
                }
                let asked = RoiQuery { as_of: Some(as_of), known_at, ..RoiQuery::default() };
                let answer = by_day(&whole, asked).await;
                assert_eq!(answer, by_day(&both, RoiQuery::default()).await);
                // The controls: a ledger cut one entry or six steps earlier says something else where that moved a figure.
                fold_into(&early, &cut(&script, known, before), &[]).await;
                let other = by_day(&early, RoiQuery::default()).await;
                sooner.set(sooner.get() + u32::from(other != answer));
                if known > 0 {
                    fold_into(&short, &cut(&script, known - 1, as_of), &[]).await;
                    let other = by_day(&short, RoiQuery::default()).await;
                    differ.set(differ.get() + u32::from(other != answer));
                }
                seen.set(seen.get() + u32::from(!answer.rows.is_empty()));
            });
            Ok(())
        })
        .unwrap();
    assert!(seen.get() > 20, "answers with figures: {}", seen.get());
    assert!(differ.get() > 3, "cuts of one entry that were seen: {}", differ.get());
    assert!(sooner.get() > 3, "cuts of six steps that were seen: {}", sooner.get());
}

/// Revenue and cost in US dollars, and sales, of everything, in micro-units.
async fn figures(store: &Store, as_of: Timestamp, known_at: Timestamp) -> [i128; 3] {
    let query = RoiQuery { as_of: Some(as_of), known_at: Some(known_at), ..RoiQuery::default() };
    let totals = roi(store, &query).await.unwrap().totals;
    let usd = totals.money.iter().find(|money| money.revenue.currency == "USD");
    let micros = |text: &str| i128::from(Micros::parse(text).unwrap().micros());
    let [revenue, cost] = usd.map_or([0, 0], |usd| [micros(&usd.revenue.amount), micros(&usd.cost.amount)]);
    [revenue, cost, i128::from(totals.sales)]
}

#[test]
fn the_events_that_moved_a_figure_add_up_to_its_difference() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (_folder, store) = runtime.block_on(sqlite());
    let number = Cell::new(1_u128 << 64);
    let (moved, undone) = (Cell::new(0_u32), Cell::new(0_u32));
    let draws = prop::collection::vec(any::<(u8, u8, u8, u16)>(), 8..60);
    let mut runner = TestRunner::new(Config { cases: 30, failure_persistence: None, ..Config::default() });
    runner
        .run(&(draws, any::<(u64, u64, u64)>()), |(draws, (earlier, later, as_of))| {
            let mut script = Script::default();
            draws.into_iter().for_each(|draw| step(&mut script, draw));
            let script = dated(&script);
            let size = script.0.len() as u64;
            let (earlier, later) = ((earlier % size).min(later % size), (earlier % size).max(later % size));
            let steps = i64::try_from(as_of % (size + 40)).unwrap() - 40;
            let as_of = Timestamp::from_micros(BASE + steps * STEP);
            number.set(number.get() + 1);
            let store = store.for_ledger(LedgerId::from_bytes(number.get().to_be_bytes()));
            runtime.block_on(async {
                fold_into(&store, &script, &[7]).await;
                let before = figures(&store, as_of, recorded_at(earlier)).await;
                let mut sums = before;
                let query = RoiQuery { as_of: Some(as_of), known_at: Some(recorded_at(later)), ..RoiQuery::default() };
                let mut cursor: Option<String> = None;
                loop {
                    let request = PageRequest::new(cursor.as_deref(), Some(3), moves::LIST).unwrap();
                    let page = moves::moves(&store, &query, recorded_at(earlier), &request).await.unwrap();
                    for item in &page.items {
                        assert!(item.position > earlier && item.position <= later);
                        undone.set(undone.get() + u32::from(!item.about.is_empty()));
                        let micros = |text: &str| i128::from(Micros::parse(text).unwrap().micros());
                        for usd in item.money.iter().filter(|money| money.revenue.currency == "USD") {
                            sums[0] += micros(&usd.revenue.amount);
                            sums[1] += micros(&usd.cost.amount);
                        }
                        sums[2] += i128::from(item.counts.get("sales").copied().unwrap_or(0));
                    }
                    assert_eq!(page.has_more, page.next_cursor.is_some());
                    cursor = page.next_cursor;
                    if cursor.is_none() {
                        break;
                    }
                }
                let after = figures(&store, as_of, recorded_at(later)).await;
                assert_eq!(sums, after);
                moved.set(moved.get() + u32::from(before != after));
            });
            Ok(())
        })
        .unwrap();
    assert!(moved.get() > 5, "figures that moved: {}", moved.get());
    assert!(undone.get() > 5, "events that undid others: {}", undone.get());
}

/// Revenue as of each hour, of a script whose events say when they happened.
async fn revenue_by_hour(store: &Store, ledger: u8, script: &Script, hours: &[i64]) -> Vec<String> {
    let store = super::script::fold(store, ledger, script, &[1]).await;
    let mut all = Vec::new();
    for hour in hours {
        let as_of = Some(Timestamp::from_micros(BASE + hour * HOUR));
        let (money, _) = totals(&store, RoiQuery { as_of, ..RoiQuery::default() }).await;
        all.push(money.first().map_or_else(String::new, |(revenue, _)| revenue.clone()));
    }
    all
}

fn earned(script: &mut Script, corrects: Option<u64>, amount: &str, hour: i64) -> u64 {
    let occurred = Timestamp::from_micros(BASE + hour * HOUR).to_string();
    let data = json!({ "kind": "call", "amount": usd(amount) });
    script.push("revenue.recorded", corrects, Some(json!({ "data": data, "occurred": occurred })))
}

#[tokio::test]
async fn a_correction_counts_from_when_it_happened_whatever_was_recorded_before_it() {
    let (_folder, store) = sqlite().await;
    // Two corrections of one figure, the later one in the log the earlier one in the world.
    let mut twice = Script::default();
    let first = earned(&mut twice, None, "1.00", -50);
    earned(&mut twice, Some(first), "20.00", -20);
    earned(&mut twice, Some(first), "300.00", -40);
    let seen = revenue_by_hour(&store, 71, &twice, &[-50, -40, -20]).await;
    assert_eq!(seen, ["1.00", "300.00", "320.00"]);
    // A correction corrected before and after it happened puts back what it had taken out only once it had.
    let mut back = Script::default();
    let first = earned(&mut back, None, "1.00", -50);
    let second = earned(&mut back, Some(first), "20.00", -40);
    earned(&mut back, Some(second), "300.00", -20);
    let seen = revenue_by_hour(&store, 72, &back, &[-50, -40, -20]).await;
    assert_eq!(seen, ["1.00", "20.00", "301.00"]);
    // An annulment is knowledge: it holds for every instant.
    let third = 2_u64;
    back.data("event.annulled", json!({ "position": third }));
    let seen = revenue_by_hour(&store, 73, &back, &[-50, -40, -20]).await;
    assert_eq!(seen, ["1.00", "20.00", "20.00"]);
}
