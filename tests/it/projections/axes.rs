//! Both time axes: what is known at an instant, of what had occurred by an instant, is what a ledger says that was cut there.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;
use tallystick::chain::decode::EntryRef;
use tallystick::domain::ids::LedgerId;
use tallystick::domain::time::Timestamp;
use tallystick::store::Store;
use tallystick::views::roi::{Dimension, RoiQuery, roi};

use super::script::{BASE, HOUR, Script, fold_into, groupings, recorded_at, sqlite, step};

/// Everything happened this long before it was recorded.
const LAG: i64 = 30 * HOUR;

fn occurred_at(position: u64) -> Timestamp {
    Timestamp::from_micros(BASE + i64::try_from(position).unwrap() * HOUR - LAG)
}

/// Says when each event happened. Costs happened before all else: a figure takes its estimate out of the sums when it is recorded, also
/// of sums as of an instant before the figure itself.
fn dated(script: &Script) -> Script {
    let mut dated = script.clone();
    for fact in &mut dated.0 {
        if let Some(bytes) = &mut fact.business {
            let mut part: Value = serde_json::from_slice(bytes).unwrap();
            let costs = EntryRef::decode(&fact.entry).unwrap().event_type.starts_with("cost.");
            part["occurred"] = occurred_at(if costs { 0 } else { fact.position }).to_string().into();
            *bytes = part.to_string().into_bytes();
        }
    }
    dated
}

/// The log as it was after entry `known`, without what happened after entry `as_of` did; that an event was undone is knowledge,
/// whenever it was said.
fn cut(script: &Script, known: u64, as_of: u64) -> Script {
    let mut cut = Script(script.0.iter().filter(|fact| fact.position <= known).cloned().collect());
    for fact in &mut cut.0 {
        let event_type = EntryRef::decode(&fact.entry).unwrap().event_type;
        let stays = event_type == "event.annulled" || event_type.starts_with("cost.");
        if fact.position > as_of && !stays {
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
    let number = std::cell::Cell::new(1_u128);
    let (seen, differ) = (std::cell::Cell::new(0_u32), std::cell::Cell::new(0_u32));
    let draws = prop::collection::vec(any::<(u8, u8, u8, u16)>(), 8..60);
    let mut runner = TestRunner::new(Config { cases: 40, failure_persistence: None, ..Config::default() });
    runner
        .run(&(draws, any::<u64>(), any::<u64>()), |(draws, known, as_of)| {
            let mut script = Script::default();
            draws.into_iter().for_each(|draw| step(&mut script, draw));
            let script = dated(&script);
            let size = script.0.len() as u64;
            let (known, as_of) = (known % size, as_of % size);
            let next = || {
                number.set(number.get() + 1);
                store.for_ledger(LedgerId::from_bytes(number.get().to_be_bytes()))
            };
            let (whole, then, both, short) = (next(), next(), next(), next());
            runtime.block_on(async {
                fold_into(&whole, &script, &[7]).await;
                fold_into(&then, &cut(&script, known, u64::MAX), &[5]).await;
                fold_into(&both, &cut(&script, known, as_of), &[]).await;
                let known_at = Some(recorded_at(known));
                for by in groupings() {
                    let asked = RoiQuery { by: by.clone(), known_at, ..RoiQuery::default() };
                    let replayed = RoiQuery { by, ..RoiQuery::default() };
                    assert_eq!(roi(&whole, &asked).await.unwrap(), roi(&then, &replayed).await.unwrap());
                }
                let asked = RoiQuery { as_of: Some(occurred_at(as_of)), known_at, ..RoiQuery::default() };
                let answer = by_day(&whole, asked).await;
                assert_eq!(answer, by_day(&both, RoiQuery::default()).await);
                // The control: a ledger cut one entry earlier says something else where that entry moved a figure.
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
    assert!(differ.get() > 3, "cuts that were seen: {}", differ.get());
}
