//! Verifying whole ledgers: a good one passes, and whatever is changed behind its back is found where it stands.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use tallystick::chain::checkpoint::Checkpoint;
use tallystick::crypto::hash::Digest;
use tallystick::domain::ids::SubjectId;
use tallystick::exports::ledger_verify::{
    NamedCheckpoint, PartKeys, Progress, VaultKeys, VerifyOptions, verify_ledger,
};
use tallystick::exports::manifest::Profile;
use tallystick::exports::report::Report;
use tallystick::exports::subject::{Disclosure, ExportRequest, Extras, begin, begin_from_copy, finish};
use tallystick::exports::verify::verify_bundle;
use tallystick::ingest::create::SERVICE;
use tallystick::ingest::{Ledger, Outcome};
use tallystick::store::{Location, Store};

use crate::support::{Bench, consent, keyring, options, postgres_url, received, scratch};

/// A ledger with a person who has a few events, others around, and a sealed map.
async fn told(seed: u64, events: usize) -> (Bench, SubjectId) {
    let bench = scratch(None, seed).await;
    let ann = tell(&bench, events).await;
    (bench, ann)
}

async fn tell(bench: &Bench, events: usize) -> SubjectId {
    let mut ann = None;
    let all: Vec<usize> = (0..events).collect();
    for numbers in all.chunks(500) {
        let batch = numbers.iter().map(|number| {
            let person = if number % 100 == 0 { 0 } else { number / 3 };
            let phone = format!("+1614555{:04}", 100 + person % 100);
            received(consent(&format!("event-{number}"), &format!("lead-{person}"), &phone))
        });
        for outcome in bench.ledger.submit(batch.collect(), options()).await.unwrap() {
            let Outcome::Recorded(receipt) = outcome else { panic!("{outcome:?}") };
            ann = ann.or(receipt.subject);
        }
    }
    bench.ledger.subjects_seal(SERVICE, None).await.unwrap();
    ann.unwrap()
}

fn signed(ledger: &Ledger, size: u64, root: Digest) -> String {
    let checkpoint = Checkpoint::new(&ledger.origin, size, root).unwrap();
    checkpoint.sign(&[&ledger.secrets.log]).unwrap().to_string()
}

fn vault(bench: &Bench, store: &Store) -> Arc<dyn PartKeys> {
    Arc::new(VaultKeys::new(store.clone(), keyring(), bench.clock.clone()))
}

async fn verify_with(bench: &Bench, keys: bool, asked: &VerifyOptions) -> Report {
    let store = Store::open_reading(&bench.options.location, bench.ledger.id).await.unwrap();
    let keys = keys.then(|| vault(bench, &store));
    let report = verify_ledger(&store, &bench.tasks, keys, asked, &|_| ()).await.unwrap();
    store.close().await;
    report
}

async fn verify(bench: &Bench, keys: bool) -> Report {
    verify_with(bench, keys, &VerifyOptions { workers: 3, ..VerifyOptions::default() }).await
}

/// Runs statements on a file of the ledger, as somebody with access to the disk could.
async fn tamper(bench: &Bench, file: &str, statements: &[&str]) {
    let path = bench.folder.path().join(file);
    assert!(Path::exists(&path));
    let mut connection = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(path)).await.unwrap();
    for statement in ["DROP TRIGGER IF EXISTS entries_no_update", "DROP TRIGGER IF EXISTS entries_no_delete"] {
        if file == "log.db" {
            sqlx::query(statement).execute(&mut connection).await.unwrap();
        }
    }
    sqlx::query("DROP TRIGGER IF EXISTS payloads_no_update").execute(&mut connection).await.unwrap();
    for statement in statements {
        let done = sqlx::query(AssertSqlSafe(statement.to_string())).execute(&mut connection).await.unwrap();
        assert!(done.rows_affected() > 0, "{statement}");
    }
    connection.close().await.unwrap();
}

#[track_caller]
fn found(report: &Report, position: u64, what: &str) {
    assert!(!report.ok && report.proves.is_empty());
    let first = report.problems.first().unwrap();
    assert!(first.position == Some(position) && first.what.contains(what), "{position} {what}: {:#?}", report.problems);
}

#[tokio::test(flavor = "multi_thread")]
async fn good_ledger_passes_with_and_without_keys() {
    let (bench, _) = told(31, 700).await;
    let (size, root) = bench.ledger.root_now();
    let without = verify(&bench, false).await;
    assert_eq!((without.problems, without.size, without.root, without.opened), (vec![], size, Some(root), 0));
    assert!(without.does_not_prove.iter().any(|said| said.contains("not opened")));
    let with = verify(&bench, true).await;
    assert_eq!(with.problems, []);
    // Each consent has business, personal and raw; each binding entry business and personal.
    assert!(with.opened >= 700 * 3, "{}", with.opened);
    assert!(with.proves.iter().any(|said| said.contains("subjects map sealed at position")), "{:#?}", with.proves);
    let only = verify_with(&bench, false, &VerifyOptions { entries_only: true, ..VerifyOptions::default() }).await;
    assert!(only.ok && only.root == Some(root));
}

async fn packed_rows_are_the_rows(bench: &Bench) {
    let store = bench.ledger.store();
    for (first, end) in [(0, 7), (3, 200), (100, 101), (250, 100_000), (5_000, 6_000)] {
        let block = store.entry_block(first, end).await.unwrap();
        let packed: Vec<_> = block.iter().map(|(position, bytes)| (position, bytes.to_vec())).collect();
        assert_eq!(packed, store.entries_from(first, end).await.unwrap());
        let block = store.payload_block(first, end).await.unwrap();
        let packed: Vec<_> = block.iter().map(|((position, part), bytes)| (position, part, bytes.to_vec())).collect();
        assert_eq!(packed, store.payloads_from(first, end).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn packed_rows_are_the_rows_on_both_engines() {
    packed_rows_are_the_rows(&told(33, 300).await.0).await;
    let Some(url) = postgres_url() else { return };
    let bench = scratch(Some(Location::Postgres(url)), 34).await;
    tell(&bench, 300).await;
    packed_rows_are_the_rows(&bench).await;
    let report = verify(&bench, true).await;
    assert_eq!((report.problems, report.root), (vec![], Some(bench.ledger.root_now().1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn several_ranges_are_stitched_and_progress_is_told() {
    let (bench, _) = told(32, 7_000).await;
    bench.ledger.subjects_seal(SERVICE, None).await.unwrap();
    let told = AtomicU64::new(0);
    let store = Store::open_reading(&bench.options.location, bench.ledger.id).await.unwrap();
    let asked = VerifyOptions { every_seal: true, workers: 2, ..VerifyOptions::default() };
    let progress = |progress: Progress| {
        assert!(progress.entries <= progress.of);
        told.store(progress.entries, Ordering::SeqCst);
    };
    let report = verify_ledger(&store, &bench.tasks, Some(vault(&bench, &store)), &asked, &progress).await.unwrap();
    let (size, root) = bench.ledger.root_now();
    assert!(size > 8192, "at least three ranges, {size}");
    assert_eq!((report.problems, report.root, told.load(Ordering::SeqCst)), (vec![], Some(root), size));
    assert_eq!(report.proves.iter().filter(|said| said.contains("subjects map sealed")).count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_entries_are_found_at_their_position() {
    let cases: [(&str, u64, &str); 5] = [
        (
            "UPDATE entries SET entry = CAST(substr(entry, 1, length(entry) - 1) || X'AB' AS BLOB) WHERE position = 100",
            101,
            "previous is not",
        ),
        ("UPDATE entries SET entry = X'00' WHERE position = 100", 100, "not an entry"),
        ("DELETE FROM entries WHERE position = 100", 100, "missing"),
        ("DELETE FROM entries WHERE position >= 300", 300, "missing"),
        (
            "UPDATE entries SET entry = (SELECT entry FROM entries WHERE position = 99) WHERE position = 100",
            100,
            "another position",
        ),
    ];
    for (number, (statement, position, what)) in (40..).zip(cases) {
        let (bench, _) = told(number, 300).await;
        tamper(&bench, "log.db", &[statement]).await;
        found(&verify(&bench, false).await, position, what);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_and_missing_parts_are_found_at_their_position() {
    let (bench, _) = told(50, 300).await;
    let raw = "SELECT slot FROM payloads WHERE slot % 256 = 2 AND slot > 100 * 256 ORDER BY slot LIMIT 1";
    let mut connection =
        SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(bench.folder.path().join("log.db")))
            .await
            .unwrap();
    let slot: i64 = sqlx::query_scalar(raw).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let at = u64::try_from(slot / 256).unwrap();
    let last = "CAST(substr(sealed, 1, length(sealed) - 1) || X'AB' AS BLOB)";
    tamper(&bench, "log.db", &[&format!("UPDATE payloads SET sealed = {last} WHERE slot = {slot}")]).await;
    found(&verify(&bench, false).await, at, "do not have the digest");
    tamper(&bench, "log.db", &[&format!("DELETE FROM payloads WHERE slot = {slot}")]).await;
    found(&verify(&bench, false).await, at, "no later entry says that its key was destroyed");
    let stray = "INSERT INTO payloads SELECT ledger, slot + 9, X'00' FROM payloads WHERE slot = 7 * 256";
    tamper(&bench, "log.db", &[stray]).await;
    found(&verify(&bench, false).await, 7, "no entry names it");
}

#[tokio::test(flavor = "multi_thread")]
async fn key_that_went_missing_is_found_only_with_keys() {
    let (bench, ann) = told(51, 300).await;
    assert!(verify(&bench, true).await.ok);
    let owner: String = ann.as_bytes().iter().map(|byte| format!("{byte:02X}")).collect();
    tamper(&bench, "vault.db", &[&format!("DELETE FROM deks WHERE owner = X'{owner}' AND class = 8")]).await;
    assert!(verify(&bench, false).await.ok, "without keys nothing is opened");
    // The person's first consent follows the binding of its identifiers.
    found(&verify(&bench, true).await, 2, "missing or closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn head_subtrees_and_rows_behind_the_head_are_held_against_the_entries() {
    let (bench, _) = told(52, 500).await;
    tamper(&bench, "log.db", &["UPDATE subtrees SET hash = zeroblob(32) WHERE number = 1"]).await;
    found(&verify(&bench, false).await, 256, "not that of its 256 entries");
    tamper(&bench, "log.db", &["DELETE FROM subtrees WHERE number = 1"]).await;
    found(&verify(&bench, false).await, 256, "subtree hash is missing");
    let (bench, _) = told(53, 300).await;
    let size = bench.ledger.size();
    tamper(&bench, "log.db", &["UPDATE heads SET leaf = zeroblob(32)"]).await;
    found(&verify(&bench, false).await, size, "not that of the last entry");
    let (bench, _) = told(54, 300).await;
    tamper(&bench, "log.db", &["UPDATE heads SET size = size - 1"]).await;
    let report = verify(&bench, false).await;
    found(&report, size - 1, "");
    assert!(report.problems.iter().any(|problem| problem.what.contains("behind the head")), "{:#?}", report.problems);
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_from_elsewhere_catch_rollback_fork_and_strangers() {
    checkpoints_from_elsewhere(55, false).await;
}

/// The log's key stands in a public part: that one is read even where parts are left alone.
#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_from_elsewhere_hold_entries_alone_too() {
    let bench = checkpoints_from_elsewhere(57, true).await;
    let asked = VerifyOptions { entries_only: true, ..VerifyOptions::default() };
    tamper(&bench, "log.db", &["UPDATE payloads SET sealed = CAST(sealed || x'20' AS BLOB) WHERE slot = 0"]).await;
    found(&verify_with(&bench, false, &asked).await, 0, "do not have the digest");
    tamper(&bench, "log.db", &["DELETE FROM payloads WHERE slot = 0"]).await;
    found(&verify_with(&bench, false, &asked).await, 0, "the public part is missing");
}

async fn checkpoints_from_elsewhere(seed: u64, entries_only: bool) -> Bench {
    let (bench, _) = told(seed, 300).await;
    let ledger = &bench.ledger;
    let (size, root) = ledger.root_now();
    let earlier = ledger.root_at(97).await.unwrap();
    let check = async |name: &str, note: String| {
        let note = NamedCheckpoint { name: name.to_owned(), note: note.into_bytes(), from_outside: true };
        let asked = VerifyOptions { checkpoints: vec![note], workers: 1, entries_only, ..VerifyOptions::default() };
        verify_with(&bench, false, &asked).await
    };
    for (at, root) in [(97, earlier), (size, root), (0, tallystick::chain::leaf::empty_root())] {
        let report = check("outside", signed(ledger, at, root)).await;
        assert!(report.ok && report.proves.iter().any(|said| said.starts_with("outside is")), "{:#?}", report.problems);
        assert!(!report.does_not_prove.iter().any(|said| said.contains("written anew")));
    }
    found(&check("outside", signed(ledger, 97, root)).await, 96, "forked or rewritten");
    found(&check("outside", signed(ledger, size + 1, root)).await, size, "rolled back");
    let stranger = told(56, 1).await.0;
    let report = check("outside", signed(&stranger.ledger, 97, earlier)).await;
    assert!(!report.ok && report.problems[0].what.contains("no signature by a known key"));
    bench
}

fn request(subject: SubjectId) -> ExportRequest {
    ExportRequest {
        profile: Profile::Dsar,
        subjects: vec![subject],
        disclosure: Disclosure::WholeParts,
        extras: Extras::default(),
        actor: SERVICE,
        now: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exported_person_verifies_elsewhere_and_the_ledger_still_does() {
    let (bench, ann) = told(57, 300).await;
    let begun = begin(&bench.ledger, request(ann)).await.unwrap();
    let (size, root) = bench.ledger.root_now();
    assert_eq!(begun.size_min(), size);
    let bundle = finish(&bench.ledger, &begun, &signed(&bench.ledger, size, root)).await.unwrap();
    let report = verify_bundle(&bundle, None);
    assert_eq!((report.problems, report.size, report.root), (vec![], size, Some(root)));
    assert!(report.opened > 6 && report.does_not_prove.iter().any(|said| said.contains("scratch ledger")));
    assert!(!report.does_not_prove.iter().any(|said| said.contains("schemas are not")), "{:#?}", report.does_not_prove);
    assert!(verify(&bench, true).await.ok);
    // An older checkpoint does not cover the seal, a forged one is not the log's.
    let older = signed(&bench.ledger, size - 1, bench.ledger.root_at(size - 1).await.unwrap());
    assert!(finish(&bench.ledger, &begun, &older).await.is_err());
    assert!(finish(&bench.ledger, &begun, &signed(&bench.ledger, size, Digest::ZERO)).await.is_err());
    // What comes later is not in it: the next export counts more.
    let event = json!({
        "specversion": "1.0", "id": "later", "source": "/test", "type": "consent.revoked", "subject": ann.to_string(),
        "time": "2026-11-19T13:00:00Z", "data": { "method": "reply", "scope": "all" }
    });
    let outcome = bench.ledger.submit(vec![received(event)], options()).await.unwrap().remove(0);
    assert!(matches!(outcome, Outcome::Recorded(_)), "{outcome:?}");
    let begun = begin(&bench.ledger, request(ann)).await.unwrap();
    let (size, root) = bench.ledger.root_now();
    let second = finish(&bench.ledger, &begun, &signed(&bench.ledger, size, root)).await.unwrap();
    assert!(second.len() > bundle.len() && verify_bundle(&second, None).ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_that_cannot_record_exports_from_its_newest_seal_and_says_so() {
    let (bench, ann) = told(58, 300).await;
    let before = bench.ledger.root_now();
    let begun = begin_from_copy(&bench.ledger, request(ann)).await.unwrap();
    assert_eq!((begun.export(), bench.ledger.root_now()), (None, before));
    let bundle = finish(&bench.ledger, &begun, &signed(&bench.ledger, before.0, before.1)).await.unwrap();
    let report = verify_bundle(&bundle, None);
    assert!(
        report.ok && report.does_not_prove.iter().any(|said| said.contains("cannot record")),
        "{:#?}",
        report.problems
    );
    let nobody = request(SubjectId::from_bytes([0xee; 16]));
    assert!(begin_from_copy(&bench.ledger, nobody.clone()).await.is_err());
    assert!(begin(&bench.ledger, nobody).await.is_err());
    assert_eq!(bench.ledger.root_now(), before, "a refused export records nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn export_that_opens_nothing_still_proves_completeness() {
    let (bench, ann) = told(59, 30).await;
    let closed = ExportRequest { disclosure: Disclosure::None, profile: Profile::Audit, ..request(ann) };
    let begun = begin(&bench.ledger, closed).await.unwrap();
    let (size, root) = bench.ledger.root_now();
    let bundle = finish(&bench.ledger, &begun, &signed(&bench.ledger, size, root)).await.unwrap();
    let report = verify_bundle(&bundle, None);
    assert_eq!((report.problems, report.opened <= 3), (vec![], true));
    assert!(report.does_not_prove.iter().any(|said| said.contains("does not open")));
}

/// Not a check: `cargo test -- --ignored --nocapture ledger_verify_speed`, with the number of events in
/// `TALLYSTICK_VERIFY_EVENTS`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints figures"]
async fn ledger_verify_speed() {
    let events = std::env::var("TALLYSTICK_VERIFY_EVENTS").ok().and_then(|count| count.parse().ok()).unwrap_or(300_000);
    let (bench, _) = told(60, events).await;
    for (name, keys, entries_only, workers) in [
        ("chain, tree, histories; 1 range at a time", false, true, 1),
        ("chain, tree, histories; 3 ranges at a time", false, true, 3),
        ("and every stored part, 3 ranges at a time", false, false, 3),
        ("and every part opened, 3 ranges at a time", true, false, 3),
    ] {
        let asked = VerifyOptions { entries_only, workers, ..VerifyOptions::default() };
        let start = std::time::Instant::now();
        let report = verify_with(&bench, keys, &asked).await;
        let micros = u64::try_from(start.elapsed().as_micros()).unwrap();
        assert!(report.ok);
        println!("{name}: {} entries, {} a second", report.size, report.size * 1_000_000 / micros);
    }
}
