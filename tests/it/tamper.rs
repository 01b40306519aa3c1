//! Tampering with stored rows: whatever is changed by direct SQL with the triggers gone, `verify` says so.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tallystick::chain::checkpoint::Checkpoint;
use tallystick::chain::leaf::leaf_hash;
use tallystick::chain::note::VerifierKey;
use tallystick::domain::ids::LedgerId;
use tallystick::exports::ledger_verify::{NamedCheckpoint, VerifyError, VerifyOptions, verify_ledger};
use tallystick::exports::report::Report;
use tallystick::jobs::checkpoint::{Checkpoints, verifier_key};
use tallystick::runtime::Tasks;
use tallystick::store::{Location, Store};

use crate::engines::{Engine, Shell, verify};
use crate::evidence;
use crate::script;
use crate::support::{Bench, keyring, options, received};
use crate::tampering::{Density, Rows, Tamper, other_actor};

/// A stored ledger that nobody has open, and the checkpoint that somebody took away with him.
struct Stored {
    bench: Bench,
    id: LedgerId,
    location: Location,
    checkpoint: Vec<u8>,
    key: VerifierKey,
}

impl Stored {
    async fn new(engine: &Engine, seed: u64, events: u64) -> Stored {
        let bench = engine.bench(seed).await;
        for first in (0..events).step_by(20) {
            let mut batch: Vec<_> =
                (first..events.min(first + 20)).map(|number| received(script::event(number, 9))).collect();
            batch.push(received(serde_json::json!({ "id": format!("broken-{first}"), "source": "/script" })));
            bench.ledger.submit(batch, options()).await.unwrap();
        }
        let (size, root) = bench.ledger.root_now();
        let note = Checkpoint::new(&bench.ledger.origin, size, root).unwrap();
        let checkpoint = note.sign(&[&bench.ledger.secrets.log]).unwrap().to_string().into_bytes();
        let key = verifier_key(&bench.ledger).unwrap();
        let (id, location) = (bench.ledger.id, bench.options.location.clone());
        bench.ledger.close();
        bench.tasks.stop().await;
        bench.ledger.store().wal_truncate().await.unwrap();
        bench.ledger.store().close().await;
        Stored { bench, id, location, checkpoint, key }
    }

    async fn shell(&self, location: &Location) -> Shell {
        let mut shell = Shell::open(location).await;
        shell.drop_triggers().await;
        if matches!(shell, Shell::Sqlite(_)) {
            shell.run("PRAGMA synchronous = OFF").await.unwrap();
        }
        shell
    }

    fn held_outside(&self) -> VerifyOptions {
        let note = self.checkpoint.clone();
        let checkpoint = NamedCheckpoint { name: "kept outside".to_owned(), note, from_outside: true };
        VerifyOptions { key: Some(self.key.clone()), checkpoints: vec![checkpoint], ..VerifyOptions::default() }
    }
}

fn copied(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(folder).unwrap() {
        let path: PathBuf = file.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    copy
}

/// What became of a catalogue.
#[derive(Default)]
struct Tally {
    /// By class: made, found by `verify`, passed by a verifier that looks at the ends only.
    classes: BTreeMap<&'static str, (u64, u64, u64)>,
    missed: Vec<String>,
}

impl Tally {
    fn total(&self) -> (u64, u64, u64) {
        let add = |sum: (u64, u64, u64), one: &(u64, u64, u64)| (sum.0 + one.0, sum.1 + one.1, sum.2 + one.2);
        self.classes.values().fold((0, 0, 0), add)
    }

    fn extend(&mut self, other: Tally) {
        for (class, (made, found, passed)) in other.classes {
            let known = self.classes.entry(class).or_default();
            *known = (known.0 + made, known.1 + found, known.2 + passed);
        }
        self.missed.extend(other.missed);
    }

    /// Everything was found, and the catalogue is one that a weaker check would pass.
    fn assert_all_found(&self, name: &str) {
        for (class, (made, found, passed)) in &self.classes {
            println!("{class}: {found} of {made} found; a check of the ends passes {passed}");
        }
        let (made, found, passed) = self.total();
        println!("{name}: {found} of {made} changes found; a check of the ends alone passes {passed}");
        assert_eq!(self.missed.len() as u64, made - found);
        assert!(
            self.missed.is_empty(),
            "{} changes pass, the first: {:#?}",
            self.missed.len(),
            &self.missed[..self.missed.len().min(20)]
        );
        assert!(passed * 2 > made, "most of the catalogue is seen only by reading everything");
        let classes: serde_json::Map<String, serde_json::Value> = self
            .classes
            .iter()
            .map(|(class, (made, found, passed))| {
                (
                    (*class).to_owned(),
                    serde_json::json!({ "made": made, "found": found, "passed_by_ends_only": passed }),
                )
            })
            .collect();
        evidence::write(
            &format!("tamper-{name}"),
            &serde_json::json!({ "changes": made, "found": found, "passed_by_ends_only": passed, "classes": classes }),
        );
    }
}

/// The twin of `verify`: count, head and last entry agree, so all must be well (CVE-2022-36111).
async fn ends_agree(store: &Store) -> bool {
    let Ok(Some(head)) = store.head().await else { return false };
    let count = store.entries_count().await.unwrap();
    let Some(last) = head.size.checked_sub(1) else { return false };
    let Ok(Some(entry)) = store.entry_at(last).await else { return false };
    count == head.size && leaf_hash(&entry) == head.leaf
}

async fn keyless(store: &Store) -> Result<Report, VerifyError> {
    verify_ledger(store, &Tasks::default(), None, &VerifyOptions::default(), &|_| {}).await
}

/// Makes each change, verifies, and undoes it.
async fn work_off(store: &Store, shell: &mut Shell, catalogue: &[Tamper]) -> Tally {
    let mut tally = Tally::default();
    for Tamper { class, place, apply, undo } in catalogue {
        shell.run(apply).await.unwrap();
        let weak = ends_agree(store).await;
        // Rows that cannot even be read as rows are no ledger that passes.
        let passed = keyless(store).await.is_ok_and(|report| report.ok);
        let counts = tally.classes.entry(class).or_default();
        *counts = (counts.0 + 1, counts.1 + u64::from(!passed), counts.2 + u64::from(weak));
        if passed {
            tally.missed.push(format!("{class}: {place}"));
        }
        shell.run(undo).await.unwrap();
    }
    tally
}

/// Works a catalogue off on two copies of a SQLite ledger at once.
async fn on_copies(stored: &Stored, density: Density) -> Tally {
    let Location::Sqlite(folder) = &stored.location else { panic!("copies are for SQLite") };
    let mut works = Vec::new();
    for half in 0..2 {
        let copy = copied(folder);
        let location = Location::Sqlite(copy.path().to_path_buf());
        let mut shell = stored.shell(&location).await;
        let store = Store::open_reading(&location, stored.id).await.unwrap();
        works.push(Tasks::default().spawn(async move {
            let before = Rows::read(&mut shell).await;
            let catalogue: Vec<Tamper> = before.catalogue(density).into_iter().skip(half).step_by(2).collect();
            let tally = work_off(&store, &mut shell, &catalogue).await;
            let report = verify(&store, Some(keyring()), &VerifyOptions::default()).await;
            assert!(report.ok && Rows::read(&mut shell).await == before, "the undoing did not undo");
            drop(copy);
            tally
        }));
    }
    let mut tally = Tally::default();
    for work in works {
        tally.extend(work.await.unwrap());
    }
    tally
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_a_sqlite_row_is_found() {
    let stored = Stored::new(&Engine::Sqlite, 51, 40).await;
    let few = Density { rows: 1, stride: 6, exhaustive: |row| row % 25 == 1 };
    let all = Density { rows: 1, stride: 1, exhaustive: |_| true };
    on_copies(&stored, if evidence::long() { all } else { few }).await.assert_all_found("sqlite");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_a_larger_tree_is_found() {
    let stored = Stored::new(&Engine::Sqlite, 52, 560).await;
    let few = Density { rows: 41, stride: 97, exhaustive: |_| false };
    let mut tally = on_copies(&stored, few).await;
    // Every bit of the stored subtree hashes.
    let mut shell = stored.shell(&stored.location).await;
    let store = Store::open_reading(&stored.location, stored.id).await.unwrap();
    let every = Density { rows: 4_000, stride: 1, exhaustive: |_| true };
    let flips =
        Rows::read(&mut shell).await.catalogue(every).into_iter().filter(|tamper| tamper.class.contains("subtree"));
    tally.extend(work_off(&store, &mut shell, &flips.collect::<Vec<_>>()).await);
    tally.assert_all_found("sqlite-tree");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_a_postgres_row_is_found() {
    let Some(engine) = Engine::postgres().await else { return };
    let stored = Stored::new(&engine, 53, 12).await;
    let mut shell = stored.shell(&stored.location).await;
    let store = Store::open_reading(&stored.location, stored.id).await.unwrap();
    let before = Rows::read(&mut shell).await;
    let few = Density { rows: 2, stride: 61, exhaustive: |_| false };
    let all = Density { rows: 1, stride: 2, exhaustive: |row| row % 7 == 0 };
    let catalogue = before.catalogue(if evidence::long() { all } else { few });
    let tally = work_off(&store, &mut shell, &catalogue).await;
    assert!(Rows::read(&mut shell).await == before, "the undoing did not undo");
    tally.assert_all_found("postgres");
}

/// Histories that are consistent in themselves: rows alone cannot tell, what was kept outside can.
async fn rewrites_need_an_outside_word(engine: Engine, seed: u64, events: u64) {
    let stored = Stored::new(&engine, seed, events).await;
    let mut shell = stored.shell(&stored.location).await;
    let store = Store::open_reading(&stored.location, stored.id).await.unwrap();
    let before = Rows::read(&mut shell).await;
    let count = before.entries.len();
    let mut histories: Vec<(String, Rows)> = Vec::new();
    for size in 1..count {
        histories.push((format!("cut to {size}"), before.cut(size)));
    }
    for at in 1..count {
        histories.push((format!("rewritten from {at}"), before.rewritten(at, |entry| entry.actor = other_actor())));
        histories.push((format!("without {at}"), before.without(at)));
    }
    let (mut made, mut caught) = (0, 0);
    for (what, rows) in &histories {
        shell.run(&rows.written()).await.unwrap();
        let alone = verify(&store, None, &VerifyOptions::default()).await;
        assert!(alone.ok, "{what} is consistent in itself, so this is the twin: {:?}", alone.problems);
        let held = verify(&store, None, &stored.held_outside()).await;
        made += 1;
        caught += u64::from(!held.ok);
        assert!(!held.ok && held.root != stored_root(&stored), "{what} passes against the checkpoint");
    }
    shell.run(&before.written()).await.unwrap();
    assert!(verify(&store, Some(keyring()), &stored.held_outside()).await.ok);
    println!("{caught} of {made} consistent rewrites caught by a checkpoint kept outside; without one none is");
}

fn stored_root(stored: &Stored) -> Option<tallystick::crypto::hash::Digest> {
    let (checkpoint, _) = Checkpoint::open(&stored.checkpoint, std::slice::from_ref(&stored.key)).unwrap();
    Some(checkpoint.root)
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_tails_and_rewrites_are_found_against_a_checkpoint_on_sqlite() {
    rewrites_need_an_outside_word(Engine::Sqlite, 54, 24).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_tails_and_rewrites_are_found_against_a_checkpoint_on_postgres() {
    if let Some(engine) = Engine::postgres().await {
        rewrites_need_an_outside_word(engine, 55, 6).await;
    }
}

/// A ledger made anew under the same id, with a log key of the forger's own and a checkpoint that it signs.
#[tokio::test(flavor = "multi_thread")]
async fn ledger_made_anew_is_found_by_the_key_kept_outside() {
    let stored = Stored::new(&Engine::Sqlite, 56, 24).await;
    let forged = Stored::new(&Engine::Sqlite, 57, 24).await;
    let store = Store::open_reading(&forged.location, forged.id).await.unwrap();
    assert!(verify(&store, Some(keyring()), &forged.held_outside()).await.ok, "by its own word all is well");
    let key = VerifyOptions { key: Some(stored.key.clone()), ..VerifyOptions::default() };
    assert!(!verify(&store, None, &key).await.ok, "the key from outside is not the one that this log names");
    let kept = VerifyOptions { key: None, ..stored.held_outside() };
    assert!(!verify(&store, None, &kept).await.ok, "the checkpoint from outside is not of this log");
}

/// The ledger's own checkpoint file stops a start behind or beside it, for as long as nobody rewrites that too.
#[tokio::test(flavor = "multi_thread")]
async fn start_refuses_what_the_checkpoint_file_contradicts() {
    let mut stored = Stored::new(&Engine::Sqlite, 58, 24).await;
    let Location::Sqlite(folder) = stored.location.clone() else { panic!() };
    std::fs::write(folder.join("checkpoint"), &stored.checkpoint).unwrap();
    let mut shell = stored.shell(&stored.location).await;
    let before = Rows::read(&mut shell).await;
    let count = before.entries.len();
    for rows in
        [before.cut(count - 1), before.rewritten(count / 2, |entry| entry.actor = other_actor()), before.without(9)]
    {
        shell.run(&rows.written()).await.unwrap();
        stored.bench.reopen().await;
        let refused = Checkpoints::start(&stored.bench.ledger, None).await.err().map(|error| error.to_string());
        assert!(refused.as_ref().is_some_and(|why| why.contains("rollback or fork")), "{refused:?}");
        // The twin: with the file gone as well, nothing inside the directory can tell.
        std::fs::rename(folder.join("checkpoint"), folder.join("away")).unwrap();
        assert!(Checkpoints::start(&stored.bench.ledger, None).await.is_ok());
        stored.bench.ledger.close();
        stored.bench.tasks.stop().await;
        stored.bench.ledger.store().close().await;
        std::fs::rename(folder.join("away"), folder.join("checkpoint")).unwrap();
    }
    shell.run(&before.written()).await.unwrap();
    stored.bench.reopen().await;
    assert!(Checkpoints::start(&stored.bench.ledger, None).await.is_ok());
}
