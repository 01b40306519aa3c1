//! Derived segments: what is damaged or missing is made again from the log, and never believed.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tallystick::chain::decode::EntryRef;
use tallystick::domain::ids::SubjectId;
use tallystick::ingest::noted::NotedFor;
use tallystick::ingest::{Limits, Receipt};
use tallystick::store::index::SubjectHead;

use crate::engines::{Engine, assert_verified};
use crate::script;
use crate::support::{Bench, options, post, received, recorded};

/// Positions of a run here; in service it is half a million.
const TAIL: u64 = 500;
const EVENTS: u64 = 2_600;
/// Runs that are written at a time: one a kind.
const KINDS: usize = 4;

fn runs(bench: &Bench) -> Vec<PathBuf> {
    let index = bench.options.folder.join("index");
    let files = fs::read_dir(index).unwrap().map(|file| file.unwrap().path());
    let mut runs: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end == "run")).collect();
    runs.sort();
    runs
}

/// A ledger whose index is mostly in runs, some of them merged.
async fn with_runs(engine: &Engine, seed: u64) -> (Bench, Vec<Receipt>) {
    let mut bench = engine.bench(seed).await;
    bench.options.limits = Limits { index_tail_positions: TAIL, ..Limits::default() };
    bench.reopen().await;
    let mut receipts = Vec::new();
    for first in (0..EVENTS).step_by(100) {
        let events = (first..first + 100).map(|number| received(script::event(number, 300))).collect();
        receipts.extend(bench.ledger.submit(events, options()).await.unwrap().into_iter().map(recorded));
        let due = usize::try_from(bench.ledger.size() / (TAIL * 2)).unwrap();
        // The runs are written behind the commits; a test that outruns them would have only one large tail.
        for _ in 0..200 {
            if runs(&bench).len() >= KINDS * due.min(2) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    assert!(runs(&bench).len() >= 2 * KINDS, "{:?}", runs(&bench));
    (bench, receipts)
}

/// Whether the index answers as the log does: copies are known, histories go on where they ended, persons are found.
async fn assert_right(bench: &Bench, receipts: &[Receipt], round: u64) {
    let again = (0..EVENTS).step_by(7).map(|number| received(script::event(number, 300))).collect();
    let again = bench.ledger.submit(again, options()).await.unwrap();
    for (number, outcome) in (0..EVENTS).step_by(7).zip(again) {
        assert_eq!(script::duplicate(outcome), receipts[usize::try_from(number).unwrap()]);
    }
    let new = recorded(post(&bench.ledger, script::event(1_000_000 + 300 * round, 300)).await);
    let known = receipts[0].subject;
    assert_eq!(new.subject, known, "the person is found again");
    assert_histories(bench).await;
    let root = bench.ledger.root_now().1;
    assert_eq!(assert_verified(&bench.ledger.store()).await.root, Some(root));
}

/// Everybody's entries stand where the index says, whole and from any of them on.
async fn assert_histories(bench: &Bench) {
    let mut histories: HashMap<SubjectId, Vec<SubjectHead>> = HashMap::new();
    for (position, bytes) in bench.ledger.store().entries_from(0, bench.ledger.size()).await.unwrap() {
        if let Some(link) = EntryRef::decode(&bytes).unwrap().subject {
            let entry = SubjectHead { sequence: link.sequence, position };
            histories.entry(link.subject).or_default().push(entry);
        }
    }
    assert!(histories.len() >= 100 && histories.values().any(|history| history.len() > 8));
    for (subject, history) in histories {
        for after in [0, history.len() / 2, history.len() - 1, history.len()] {
            let listed = bench.ledger.subject_entries(&subject, after as u64).unwrap();
            assert_eq!(listed, history[after..], "after {after}");
        }
    }
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    let at = at % bytes.len();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// What can happen to a run file.
fn damage(path: &Path, how: u64) -> &'static str {
    let bytes = fs::read(path).unwrap();
    match how {
        0 => {
            flip(path, bytes.len() / 2);
            "a bit is flipped"
        }
        1 => {
            fs::remove_file(path).unwrap();
            "it is gone"
        }
        2 => {
            fs::write(path, &bytes[..bytes.len() - 32]).unwrap();
            "its last row is cut"
        }
        3 => {
            fs::write(path, b"").unwrap();
            "it is empty"
        }
        4 => {
            let name = path.file_name().unwrap().to_str().unwrap().replacen(
                "-00000000000000000000-",
                "-00000000000000000001-",
                1,
            );
            fs::rename(path, path.with_file_name(name)).unwrap();
            "it claims other positions"
        }
        _ => {
            fs::rename(path, path.with_extension("tmp")).unwrap();
            "it was never renamed"
        }
    }
}

async fn damaged_runs_are_made_again(engine: Engine) {
    let (mut bench, receipts) = with_runs(&engine, 41).await;
    assert_right(&bench, &receipts, 0).await;
    // The twin: intact runs are used and stay.
    bench.reopen().await;
    let intact = runs(&bench);
    assert!(intact.len() >= 2 * KINDS);
    assert_right(&bench, &receipts, 1).await;
    for how in 0..12 {
        let before = runs(&bench);
        let target = &before[usize::try_from(how).unwrap() % before.len()];
        let what = damage(target, how % 6);
        bench.reopen().await;
        let after = runs(&bench);
        let bytes_agree = after.iter().all(|path| {
            let digest = tallystick::crypto::hash::sha256(&fs::read(path).unwrap()).to_string();
            path.to_str().unwrap().contains(&digest)
        });
        assert!(bytes_agree && (after.len() < before.len() || after == before), "{what}: {after:?}");
        assert_right(&bench, &receipts, 2 + how).await;
        // Enough new events to have runs again.
        while runs(&bench).len() < 2 * KINDS {
            let first = 2_000_000 + bench.ledger.size() * 10;
            let events = (first..first + 300).map(|number| received(script::event(number, 300))).collect();
            bench.ledger.submit(events, options()).await.unwrap().into_iter().map(recorded).for_each(drop);
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_runs_are_made_again_on_sqlite() {
    damaged_runs_are_made_again(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_runs_are_made_again_on_postgres() {
    if let Some(engine) = Engine::postgres().await {
        damaged_runs_are_made_again(engine).await;
    }
}

/// Runs of a longer history than the log has belong to one that was cut off.
#[tokio::test(flavor = "multi_thread")]
async fn runs_beyond_the_log_are_thrown_away() {
    let (bench, _) = with_runs(&Engine::Sqlite, 42).await;
    let fresh = Engine::Sqlite.bench(43).await;
    for path in runs(&bench) {
        fs::copy(&path, fresh.options.folder.join("index").join(path.file_name().unwrap())).unwrap();
    }
    let mut fresh = fresh;
    fresh.reopen().await;
    assert_eq!(runs(&fresh), [] as [PathBuf; 0]);
    recorded(post(&fresh.ledger, script::event(0, 300)).await);
}

/// What the policy is made of is kept beside the index, and a start looks at what came behind it. The twin: what the file leaves out
/// stays out, so nothing read the log for it.
#[tokio::test(flavor = "multi_thread")]
async fn positions_of_the_policy_are_taken_up_and_the_log_is_not_read_for_them() {
    let (mut bench, _) = with_runs(&Engine::Sqlite, 44).await;
    let emergency = |id: &str| {
        json!({
            "specversion": "1.0", "id": id, "source": "/test", "type": "policy.emergency_declared",
            "data": { "state": "NY", "until": "2026-11-30T00:00:00Z" }
        })
    };
    let noted = async |bench: &Bench| bench.ledger.noted_from(NotedFor::Gate, 0).await.unwrap();
    let first = recorded(post(&bench.ledger, emergency("e1")).await).position;
    let file = bench.ledger.folder.join("policy.positions");
    let kept = || serde_json::from_slice::<Value>(&fs::read(&file).unwrap()).unwrap();
    let mut more = 3_000_000;
    while kept()["through"].as_u64().unwrap() <= first {
        let events = (more..more + 300).map(|number| received(script::event(number, 300))).collect();
        bench.ledger.submit(events, options()).await.unwrap().into_iter().map(recorded).for_each(drop);
        more += 300;
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    let second = recorded(post(&bench.ledger, emergency("e2")).await).position;
    assert_eq!(noted(&bench).await, [first, second]);
    assert_eq!(kept()["positions"][0], json!([first]), "as far as the index has runs");
    bench.reopen().await;
    assert_eq!(noted(&bench).await, [first, second]);
    let mut less = kept();
    less["positions"][0] = json!([]);
    fs::write(&file, less.to_string()).unwrap();
    bench.reopen().await;
    assert_eq!(noted(&bench).await, [second]);
    fs::remove_file(&file).unwrap();
    bench.reopen().await;
    assert_eq!(noted(&bench).await, [first, second], "without a file the log tells");
}
