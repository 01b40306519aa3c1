//! What every engine must do: each case is written and listed once and runs on SQLite and on Postgres.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tallystick::chain::entry::{Entry, FORMAT, Part};
use tallystick::chain::leaf::leaf_hash;
use tallystick::crypto::hash::{Digest, sha256};
use tallystick::domain::ids::{EventId, PrincipalId, SubjectId};
use tallystick::domain::parts::{PartKind, RetentionClass};
use tallystick::exports::ledger_verify::VerifyOptions;
use tallystick::ingest::{Ledger, LedgerOptions, Outcome, Receipt};
use tallystick::runtime::{Randomness, Tasks};
use tallystick::store::{AppendBatch, AppendError, DekRow, DekSlot, EntryKeys, Head, Location, PayloadRow, Store};

use crate::engines::{Engine, Shell, assert_verified, verify};
use crate::script;
use crate::support::{Bench, consent, keyring, options, post, received, recorded};

macro_rules! conformance {
    ($($case:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$case(super::Engine::Sqlite).await;
            })+
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                if let Some(engine) = super::Engine::postgres().await {
                    super::$case(engine).await;
                }
            })+
        }
    };
}

conformance![
    append_then_read_back,
    head_moves_only_with_events,
    retried_append_is_one_event,
    concurrent_appends_do_not_fork,
    fork_without_the_swap_is_refused_by_the_keys,
    update_and_delete_are_refused,
    lost_ack_is_recovered,
    keys_are_minted_once,
    missing_payload_needs_a_cover,
    moved_payload_fails_to_open,
];

// Where an engine has its own way to break.
mod postgres_only {
    use super::*;

    /// On SQLite the lock of the data directory keeps a second process out.
    #[tokio::test(flavor = "multi_thread")]
    async fn two_open_ledgers_write_one_history() {
        if let Some(engine) = Engine::postgres().await {
            two_open_ledgers(engine).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn terminated_connections_lose_nothing() {
        let Some(Engine::Postgres(url)) = Engine::postgres().await else { return };
        terminated_connections(url).await;
    }
}

async fn append_then_read_back(engine: Engine) {
    let mut bench = engine.bench(11).await;
    let events: Vec<serde_json::Value> = (0..40).map(|number| script::event(number, 7)).collect();
    let mut receipts = Vec::new();
    for events in events.chunks(9) {
        let batch = events.iter().cloned().map(received).collect();
        receipts.extend(bench.ledger.submit(batch, options()).await.unwrap().into_iter().map(recorded));
    }
    for _ in 0..2 {
        for (event, receipt) in events.iter().zip(&receipts) {
            let opened = bench.ledger.open_entry(receipt.position).await.unwrap();
            assert_eq!(opened.plaintext(PartKind::Raw).unwrap(), event.to_string().as_bytes(), "the bytes received");
            assert_eq!(leaf_hash(&opened.bytes), receipt.leaf);
            assert_eq!(opened.entry.event_type, event["type"].as_str().unwrap());
        }
        assert_eq!(bench.ledger.root_now().1, assert_verified(&bench.ledger.store()).await.root.unwrap());
        bench.reopen().await;
    }
}

async fn head_moves_only_with_events(engine: Engine) {
    let bench = engine.bench(12).await;
    let store = bench.ledger.store();
    let before = store.head().await.unwrap().unwrap();
    let dry = tallystick::ingest::admit::SubmitOptions { dry_run: true, ..options() };
    bench.ledger.submit(vec![received(consent("a", "lead-1", "+16145550101"))], dry).await.unwrap();
    bench.ledger.submit(Vec::new(), options()).await.unwrap();
    bench.ledger.open_entry(0).await.unwrap();
    let wrong = Head { leaf: sha256(b"another head"), ..before };
    let refused = store.append(batch(&store, wrong, 3)).await;
    assert!(matches!(refused, Err(AppendError::HeadMoved)), "{refused:?}");
    let stale = Head { epoch: before.epoch - 1, ..before };
    assert!(matches!(store.append(batch(&store, stale, 4)).await, Err(AppendError::HeadMoved)));
    assert_eq!(store.head().await.unwrap(), Some(before), "none of these is an event");
    assert_eq!(store.entries_count().await.unwrap(), before.size);

    recorded(post(&bench.ledger, consent("a", "lead-1", "+16145550101")).await);
    let after = store.head().await.unwrap().unwrap();
    assert_eq!(after.size, before.size + 2, "the event and the binding it brings");
    assert_eq!(Some(after), bench.ledger.head());
}

async fn retried_append_is_one_event(engine: Engine) {
    let mut bench = engine.bench(13).await;
    let first = recorded(post(&bench.ledger, consent("a", "lead-1", "+16145550101")).await);
    let mut retry = consent("a", "lead-1", "+16145550101");
    // A client that stamps each attempt anew still means the same event.
    retry["time"] = "2026-11-19T12:00:01Z".into();
    for _ in 0..2 {
        let copies = (0..20).map(|_| received(consent("a", "lead-1", "+16145550101"))).collect();
        let mut outcomes = bench.ledger.submit(copies, options()).await.unwrap();
        outcomes.push(post(&bench.ledger, retry.clone()).await);
        for outcome in outcomes {
            assert_eq!(script::duplicate(outcome), first);
        }
        bench.reopen().await;
    }
    assert_eq!(bench.ledger.size(), 3);
    // The same at the store: a batch that was committed is not committed again.
    let store = bench.ledger.store();
    let head = store.head().await.unwrap().unwrap();
    store.append(batch(&store, head, 1)).await.unwrap();
    assert!(matches!(store.append(batch(&store, head, 1)).await, Err(AppendError::HeadMoved)));
    assert_eq!(store.entries_count().await.unwrap(), 4);
}

async fn concurrent_appends_do_not_fork(engine: Engine) {
    let bench = engine.bench(14).await;
    let one = bench.ledger.store();
    let two = Store::open(&bench.options.location, bench.ledger.id).await.unwrap();
    let (mut won, mut refused) = ([0, 0], 0);
    for round in 0..60_u8 {
        let head = one.head().await.unwrap().unwrap();
        let (a, b) = tokio::join!(
            Tasks::default().spawn(appended(one.clone(), batch(&one, head, round))),
            Tasks::default().spawn(appended(two.clone(), batch(&two, head, 100 + round)))
        );
        for (winner, outcome) in won.iter_mut().zip([a.unwrap(), b.unwrap()]) {
            match outcome {
                Ok(()) => *winner += 1,
                Err(AppendError::HeadMoved | AppendError::Conflict) => refused += 1,
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!(one.head().await.unwrap().unwrap().size, head.size + 1, "one of two, in round {round}");
    }
    assert_eq!((won[0] + won[1], refused), (60, 60));
    assert_verified(&one).await;
}

async fn appended(store: Store, batch: AppendBatch) -> Result<(), AppendError> {
    store.append(batch).await
}

/// The swap's twin: a head row put back by hand lets it through, and what then refuses is the key of the row. Only where
/// that is taken away too can a fork be stored, and then `verify` names the position.
async fn fork_without_the_swap_is_refused_by_the_keys(engine: Engine) {
    let bench = engine.bench(15).await;
    let store = bench.ledger.store();
    let old = store.head().await.unwrap().unwrap();
    store.append(batch(&store, old, 1)).await.unwrap();
    let mut shell = Shell::open(&bench.options.location).await;
    let leaf = shell.blob(old.leaf.as_bytes());
    shell.run(&format!("UPDATE heads SET size = {}, leaf = {leaf}", old.size)).await.unwrap();
    let refused = store.append(batch(&store, old, 2)).await;
    assert!(matches!(refused, Err(AppendError::Conflict)), "{refused:?}");
    assert_eq!(store.entries_count().await.unwrap(), old.size + 1);

    let position = old.size;
    match &mut shell {
        Shell::Postgres(_) => {
            shell.run("ALTER TABLE log.entries DROP CONSTRAINT entries_pkey").await.unwrap();
            shell.run("ALTER TABLE log.payloads DROP CONSTRAINT payloads_pkey").await.unwrap();
        }
        Shell::Sqlite(_) => {
            // The key is the table there: one without it is put in its place.
            for table in ["entries", "payloads"] {
                let copy = format!("CREATE TABLE copy AS SELECT * FROM {table}; DROP TABLE {table}");
                shell.run(&copy).await.unwrap();
                shell.run(&format!("ALTER TABLE copy RENAME TO {table}")).await.unwrap();
            }
        }
    }
    store.append(batch(&store, old, 2)).await.unwrap();
    let rows = shell.rows(&format!("SELECT entry FROM entries WHERE position = {position}"), 0, 1).await;
    assert_eq!(rows.len(), 2, "without swap and keys a fork is stored");
    let report = verify(&store, None, &VerifyOptions::default()).await;
    assert!(!report.ok && report.problems.iter().any(|problem| problem.position >= Some(position)));
}

/// Two servers that both believe they may append.
async fn two_open_ledgers(engine: Engine) {
    let bench = engine.bench(16).await;
    let (other, _folder, tasks) = second(&bench).await;
    let mut posters = Vec::new();
    for poster in 0..6_u64 {
        let ledger = Arc::clone(if poster % 2 == 0 { &bench.ledger } else { &other });
        posters.push(Tasks::default().spawn(async move {
            let mut acked: HashMap<String, Receipt> = HashMap::new();
            for round in 0..25_u64 {
                // Every third event is posted by two posters, on different servers.
                let owner = if round % 3 == 0 { poster / 2 } else { 10 + poster };
                let id = format!("p{owner}-r{round}");
                let phone = format!("+161455501{:02}", (owner * 7 + round) % 100);
                acked.insert(id.clone(), insist(&ledger, consent(&id, &format!("lead-{}", round % 9), &phone)).await);
            }
            acked
        }));
    }
    let mut all: HashMap<String, Receipt> = HashMap::new();
    for poster in posters {
        for (id, receipt) in poster.await.unwrap() {
            let known = all.insert(id.clone(), receipt.clone());
            assert!(known.is_none_or(|known| known == receipt), "{id} was acknowledged at two places");
        }
    }
    bench.ledger.follow().await.unwrap();
    other.follow().await.unwrap();
    assert_eq!(bench.ledger.root_now(), other.root_now());
    let report = assert_verified(&bench.ledger.store()).await;
    assert_eq!(report.root, Some(bench.ledger.root_now().1));
    for (id, receipt) in &all {
        let entry = bench.ledger.store().entry_at(receipt.position).await.unwrap().unwrap();
        let decoded = Entry::decode(&entry).unwrap();
        assert_eq!(decoded.dedupe, bench.ledger.secrets.dedupe.dedupe("/test", id));
    }
    assert_eq!(script::posted(&bench.ledger).await, all.len() as u64, "each event once");
    other.close();
    tasks.stop().await;
}

/// Opens the same rows a second time, with files of its own.
async fn second(bench: &Bench) -> (Arc<Ledger>, tempfile::TempDir, Tasks) {
    let folder = tempfile::tempdir().unwrap();
    let options = LedgerOptions { folder: folder.path().to_path_buf(), ..bench.options.clone() };
    let tasks = Tasks::default();
    let clock = bench.clock.clone();
    let ledger = Ledger::open(bench.ledger.id, options, keyring(), clock, Randomness::System, tasks.clone());
    (ledger.await.unwrap(), folder, tasks)
}

/// Posts until there is a definite answer, as a client does.
async fn insist(ledger: &Arc<Ledger>, event: serde_json::Value) -> Receipt {
    for _ in 0..1_500 {
        match ledger.submit(vec![received(event.clone())], options()).await {
            Ok(outcomes) => match outcomes.into_iter().next().unwrap() {
                Outcome::Recorded(receipt) | Outcome::Duplicate { receipt, .. } => return receipt,
                other => panic!("{other:?}"),
            },
            Err(_unknown) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    panic!("no answer for {}", event["id"]);
}

/// The words of a database shell are refused, on each connection the program has; without the guards they are obeyed.
async fn update_and_delete_are_refused(engine: Engine) {
    let bench = engine.bench(17).await;
    recorded(post(&bench.ledger, consent("a", "lead-1", "+16145550101")).await);
    let mut shell = Shell::open(&bench.options.location).await;
    let before = shell.rows("SELECT position, entry FROM entries ORDER BY position", 1, 1).await;
    let mut statements = vec![
        "UPDATE entries SET position = position + 10",
        "UPDATE entries SET entry = entry WHERE position = 0",
        "DELETE FROM entries WHERE position = 2",
        "DELETE FROM entries",
        "UPDATE payloads SET sealed = sealed",
    ];
    let roles: &[&str] = match engine {
        Engine::Sqlite => &[""],
        Engine::Postgres(_) => {
            statements.push("TRUNCATE entries");
            &["SET ROLE tallystick_appender", "SET ROLE tallystick_shredder", "RESET ROLE"]
        }
    };
    for role in roles {
        shell.run(role).await.unwrap();
        for statement in &statements {
            // Who owns a Postgres database may rewrite sealed bytes; the digest in the entry is what catches it.
            if *role == "RESET ROLE" && statement.contains("payloads") {
                continue;
            }
            let refused = shell.run(statement).await;
            assert!(refused.is_err(), "{role}: {statement} changed {refused:?} rows");
        }
    }
    assert_eq!(shell.rows("SELECT position, entry FROM entries ORDER BY position", 1, 1).await, before);

    shell.drop_triggers().await;
    assert_eq!(shell.run("UPDATE entries SET entry = entry WHERE position = 0").await.unwrap(), 1);
    assert_eq!(shell.run("DELETE FROM entries WHERE position = 2").await.unwrap(), 1);
}

async fn lost_ack_is_recovered(engine: Engine) {
    let bench = engine.bench(18).await;
    let mut lost = 0;
    for number in 0..60_u64 {
        let event = script::event(number, 5);
        let wait = Duration::from_micros(number * 150);
        let submit = bench.ledger.submit(vec![received(event)], options());
        // The poster goes away before, while or after its event is committed.
        lost += u64::from(tokio::time::timeout(wait, submit).await.is_err());
    }
    assert!(lost > 0, "no poster went away in time");
    for number in 0..60 {
        let receipt = insist(&bench.ledger, script::event(number, 5)).await;
        let entry = bench.ledger.store().entry_at(receipt.position).await.unwrap().unwrap();
        assert_eq!(leaf_hash(&entry), receipt.leaf);
    }
    assert_eq!(script::posted(&bench.ledger).await, 60, "each once, whoever heard of it");
    assert_verified(&bench.ledger.store()).await;
}

async fn keys_are_minted_once(engine: Engine) {
    let bench = engine.bench(19).await;
    let store = bench.ledger.store();
    let two = Store::open(&bench.options.location, bench.ledger.id).await.unwrap();
    let slot = |owner: u8| DekSlot { owner: [owner; 16], class: 1, quarter: 8107 };
    for owner in 1..30 {
        let row = |mark: u8| DekRow {
            key: tallystick::domain::ids::KeyId::from_bytes([mark; 16]),
            epoch: 1,
            wrapped: vec![mark; 60],
        };
        let (mine, theirs) = (vec![(slot(owner), row(100))], vec![(slot(owner), row(200))]);
        let (first, second) = (store.clone(), two.clone());
        let one = Tasks::default().spawn(async move { first.deks_insert(&mine).await });
        let other = Tasks::default().spawn(async move { second.deks_insert(&theirs).await });
        let (one, other) = (one.await.unwrap().unwrap(), other.await.unwrap().unwrap());
        assert_ne!(one, other, "one server stored its key, the other was told that it did not");
        let seen = store.deks_at(&[slot(owner)]).await.unwrap();
        let again = two.deks_at(&[slot(owner)]).await.unwrap();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].1.key, again[0].1.key, "both servers believe in the same key");
    }
    // A person's events of one quarter share their keys, however they arrive.
    let events = (0..40).map(|number| received(consent(&format!("e{number}"), "lead-1", "+16145550101"))).collect();
    let receipts: Vec<Receipt> =
        bench.ledger.submit(events, options()).await.unwrap().into_iter().map(recorded).collect();
    let subject: SubjectId = receipts[0].subject.unwrap();
    let mut keys = std::collections::HashSet::new();
    for receipt in &receipts {
        let opened = bench.ledger.open_entry(receipt.position).await.unwrap();
        keys.extend(opened.parts.iter().filter(|part| part.part.kind == PartKind::Personal).map(|part| part.part.key));
    }
    assert_eq!(keys.len(), 1, "one key for {subject}'s consents of a quarter");
}

async fn missing_payload_needs_a_cover(engine: Engine) {
    let bench = engine.bench(20).await;
    let mut broken = consent("broken", "lead-1", "+16145550101");
    broken["type"] = "consent.gruntled".into();
    let Outcome::Quarantined { receipt: item, .. } = post(&bench.ledger, broken).await else { panic!() };
    let kept = recorded(post(&bench.ledger, consent("a", "lead-1", "+16145550101")).await);
    let actor = options().actor;
    bench.ledger.item_discard(item.position, "spam", actor).await.unwrap();
    let store = bench.ledger.store();
    let parts: Vec<u8> = store.payloads_of(item.position).await.unwrap().into_iter().map(|(part, _)| part).collect();
    assert_eq!(parts, [0], "only the public part of a discarded item is left");
    assert_verified(&store).await;

    let parts = store.payloads_of(kept.position).await.unwrap();
    store.payload_delete(kept.position, parts.last().unwrap().0).await.unwrap();
    for keyring in [None, Some(keyring())] {
        let report = verify(&store, keyring, &VerifyOptions::default()).await;
        assert!(!report.ok);
        assert_eq!(report.problems.iter().map(|problem| problem.position).collect::<Vec<_>>(), [Some(kept.position)]);
    }
}

/// Sealed bytes that stand in another row, with every digest put right, still open nowhere but in their own.
async fn moved_payload_fails_to_open(engine: Engine) {
    let bench = engine.bench(21).await;
    let first = recorded(post(&bench.ledger, consent("a", "lead-1", "+16145550101")).await);
    let second = recorded(post(&bench.ledger, consent("b", "lead-1", "+16145550101")).await);
    let mut shell = Shell::open(&bench.options.location).await;
    shell.drop_triggers().await;
    let rows = shell.rows("SELECT slot, sealed FROM payloads ORDER BY slot", 1, 1).await;
    let slot = |position: u64, part: i64| i64::try_from(position).unwrap() * 256 + part;
    let sealed =
        |position: u64, part: i64| rows.iter().find(|(at, _)| *at == [slot(position, part)]).unwrap().1[0].clone();
    for part in 0..3_i64 {
        let moved = shell.blob(&sealed(first.position, part));
        let place = format!("WHERE slot = {}", slot(second.position, part));
        shell.run(&format!("UPDATE payloads SET sealed = {moved} {place}")).await.unwrap();
        assert!(bench.ledger.open_entry(second.position).await.is_err(), "part {part} opened in another row");
        let report = verify(&bench.ledger.store(), None, &VerifyOptions::default()).await;
        assert_eq!(report.problems[0].position, Some(second.position));
        let own = shell.blob(&sealed(second.position, part));
        shell.run(&format!("UPDATE payloads SET sealed = {own} {place}")).await.unwrap();
    }
    bench.ledger.open_entry(second.position).await.unwrap();
    assert_verified(&bench.ledger.store()).await;
}

/// Commits whose answer is lost on the way: the connection dies under them, again and again.
async fn terminated_connections(url: String) {
    let engine = Engine::Postgres(url.clone());
    let bench = engine.bench(22).await;
    let ledger = Arc::clone(&bench.ledger);
    let posters: Vec<_> = (0..4_u64)
        .map(|poster| {
            let ledger = Arc::clone(&ledger);
            Tasks::default().spawn(async move {
                let mut acked = Vec::new();
                for number in 0..40 {
                    acked.push(insist(&ledger, script::event(poster * 1_000 + number, 5)).await);
                }
                acked
            })
        })
        .collect();
    let mut shell = Shell::open(&Location::Postgres(url)).await;
    let kill = "SELECT CAST(COUNT(pg_terminate_backend(pid)) AS BIGINT) FROM pg_stat_activity \
                WHERE datname = current_database() AND application_name = 'tallystick'";
    let mut killed = 0;
    while posters.iter().any(|poster| !poster.is_finished()) {
        killed += shell.rows(kill, 1, 0).await[0].0[0];
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    assert!(killed > 0, "no connection was terminated");
    for poster in posters {
        for receipt in poster.await.unwrap() {
            let entry = insist_entry(&bench.ledger, receipt.position).await;
            assert_eq!(leaf_hash(&entry), receipt.leaf, "acknowledged at {}", receipt.position);
        }
    }
    assert_eq!(script::posted(&bench.ledger).await, 160, "each event once");
    assert_verified(&bench.ledger.store()).await;
}

async fn insist_entry(ledger: &Arc<Ledger>, position: u64) -> Vec<u8> {
    for _ in 0..200 {
        if let Ok(Some(entry)) = ledger.store().entry_at(position).await {
            return entry;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("entry {position} cannot be read")
}

/// A batch of one entry with a public part, linked to `head`.
fn batch(store: &Store, head: Head, mark: u8) -> AppendBatch {
    let public = format!("{{\"data\":{{\"mark\":{mark}}}}}").into_bytes();
    let entry = Entry {
        format: FORMAT,
        ledger: store.ledger(),
        position: head.size,
        previous: head.leaf,
        event: EventId::from_bytes([mark; 16]),
        event_type: "x.conformance".to_owned(),
        schema: Digest::ZERO,
        subject: None,
        recorded: head.recorded,
        actor: PrincipalId::from_bytes([1; 16]),
        cause: None,
        corrects: None,
        dedupe: *sha256(&[mark, 1]).as_bytes(),
        parts: vec![Part {
            kind: PartKind::Public,
            suite: 0,
            class: RetentionClass::System,
            key: None,
            digest: sha256(&public),
            commitment: None,
            fields_root: None,
        }],
    };
    let bytes = entry.encode().unwrap();
    AppendBatch {
        expected: Some(head),
        next: Head { size: head.size + 1, leaf: leaf_hash(&bytes), ..head },
        keys: vec![EntryKeys { length: bytes.len(), dedupe: entry.dedupe, subject: None }],
        entries: bytes,
        payloads: vec![PayloadRow { position: head.size, part: 0, sealed: public }],
        subtrees: Vec::new(),
    }
}
