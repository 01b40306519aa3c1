//! kill -9 of the server under load: what was acknowledged is there, exactly once, where it was acknowledged.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tallystick::chain::entry::Entry;
use tallystick::runtime::Tasks;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::engines::postgres_database;
use crate::evidence;
use crate::journal::{Journal, Shared, Verdict, judge, lock, post_until_cut, snapshot, weigh};
use crate::script;
use crate::server::{Client, Data, Server};
use crate::support::{options, received, scratch};

const POSTERS: u64 = 4;
/// Acknowledgements that a kill waits for, within a few seconds.
const ACKS_BEFORE_A_KILL: usize = 12;
/// Kills of one ledger before the next one takes its place, so that starts stay quick.
const CYCLES_OF_A_LEDGER: u64 = 25;

/// A dead server's lease runs out by itself after seconds; nothing else uses this database, so it may be ended at once.
async fn lease_end(url: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql("UPDATE log.leases SET expires = 0").execute(&mut connection).await.unwrap();
}

/// Posts from several clients for a random time, then kills the server and waits until every client has noticed.
async fn post_and_kill(server: Server, data: &Data, journal: &Shared, random: &mut StdRng) {
    let address = server.address;
    let posters: Vec<JoinHandle<()>> = (0..POSTERS)
        .map(|_| {
            let (key, journal, seed) = (data.key.clone(), Arc::clone(journal), random.random());
            Tasks::default().spawn(post_until_cut(address, key, journal, seed))
        })
        .collect();
    let acknowledged = || lock(journal).acks.len();
    let before = acknowledged();
    tokio::time::sleep(Duration::from_millis(random.random_range(20..300))).await;
    // On a busy machine little is acknowledged by then: a kill that interrupts nothing would prove nothing.
    for _ in 0..600 {
        if acknowledged() >= before + ACKS_BEFORE_A_KILL {
            break;
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(5..30))).await;
    }
    server.kill();
    for poster in posters {
        let noticed = tokio::time::timeout(Duration::from_secs(60), poster).await;
        assert!(noticed.is_ok(), "a client does not notice that the server is gone");
        noticed.unwrap().unwrap();
    }
}

async fn kill_cycles(cycles: u64, seed: u64, database: bool) -> Option<Verdict> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut total = Verdict::default();
    let (mut done, mut at_start) = (0, 0);
    while done < cycles {
        let url = if database { Some(postgres_database().await?) } else { None };
        let data = Data::init(url);
        let journal = Shared::default();
        for _ in 0..CYCLES_OF_A_LEDGER.min(cycles - done) {
            if let Some(url) = &data.database {
                lease_end(url).await;
            }
            // Now and then it dies while it is still getting up from the last time.
            if random.random_bool(0.15) {
                Server::start_and_kill(&data, Duration::from_millis(random.random_range(5..250))).await;
                at_start += 1;
                if let Some(url) = &data.database {
                    lease_end(url).await;
                }
            }
            let server = Server::start(&data).await;
            post_and_kill(server, &data, &journal, &mut random).await;
            done += 1;
        }
        let verdict = judge(&data, &snapshot(&journal)).await;
        verdict.assert_clean();
        total.add(verdict);
    }
    println!("{done} kills under load and {at_start} during a start: {}", total.figures());
    let name = if database { "kill-postgres" } else { "kill-sqlite" };
    let figures = json!({
        "kills": done, "kills_during_start": at_start, "seed": seed, "found": total.figures(),
        // No failure in n trials: below 3/n with 95 % confidence.
        "lossy_kills_per_thousand_below": 3_000 / done,
    });
    evidence::write(name, &figures);
    Some(total)
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_events_survive_kills_on_sqlite() {
    let cycles = if evidence::long() { 1_000 } else { 200 };
    let verdict = kill_cycles(cycles, 61, false).await.unwrap();
    assert!(verdict.acknowledged > cycles * 10, "too few acknowledgements to prove anything: {verdict:?}");
    assert!(verdict.acknowledged < verdict.intents, "no kill cut a request short: {verdict:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_events_survive_kills_on_postgres() {
    let cycles = if evidence::long() { 500 } else { 50 };
    let Some(verdict) = kill_cycles(cycles, 62, true).await else { return };
    assert!(verdict.acknowledged > cycles * 10, "too few acknowledgements to prove anything: {verdict:?}");
    assert!(verdict.acknowledged < verdict.intents, "no kill cut a request short: {verdict:?}");
}

// -- the control: a server that acknowledges before it commits ---------------------------------------------------------

/// Answers at once, posts behind: what a server would be that trusts its memory. Dies with the server behind it.
async fn hasty_front(real: std::net::SocketAddr, key: String) -> (std::net::SocketAddr, [JoinHandle<()>; 2]) {
    let (queue, mut queued) = mpsc::unbounded_channel::<Bytes>();
    let behind = Tasks::default().spawn(async move {
        let Ok(mut client) = Client::connect(real, &key).await else { return };
        while let Some(body) = queued.recv().await {
            if client.send("POST", "/v1/events", "application/json", body).await.is_err() {
                return;
            }
        }
    });
    let router = Router::new().fallback(hasty_answer).with_state(queue);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let front = Tasks::default().spawn(async move { axum::serve(listener, router).await.unwrap() });
    (address, [front, behind])
}

async fn hasty_answer(State(queue): State<mpsc::UnboundedSender<Bytes>>, body: Bytes) -> String {
    let events: Value = serde_json::from_slice(&body).unwrap();
    let recorded = json!({ "status": "recorded" });
    let answer = match &events {
        Value::Array(events) => json!({ "results": vec![recorded; events.len()] }),
        _ => recorded,
    };
    let _gone = queue.send(body);
    answer.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn control_that_acknowledges_before_commit_loses_events() {
    let mut random = StdRng::seed_from_u64(63);
    let data = Data::init(None);
    let journal = Shared::default();
    let (mut kills, mut verdict) = (0, Verdict::default());
    while verdict.lost == 0 && kills < 40 {
        let server = Server::start(&data).await;
        let (address, tasks) = hasty_front(server.address, data.key.clone()).await;
        let posters: Vec<JoinHandle<()>> = (0..POSTERS)
            .map(|_| {
                let (key, journal) = (data.key.clone(), Arc::clone(&journal));
                Tasks::default().spawn(post_until_cut(address, key, journal, random.random()))
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(random.random_range(20..300))).await;
        server.kill();
        tasks.iter().chain(&posters).for_each(JoinHandle::abort);
        for task in tasks.into_iter().chain(posters) {
            let _cancelled = task.await;
        }
        kills += 1;
        verdict = judge(&data, &snapshot(&journal)).await;
    }
    println!("control: {} of {} acknowledged events lost in {kills} kills", verdict.lost, verdict.acknowledged);
    assert!(verdict.lost > 0, "the judge cannot see loss: {verdict:?}");
    assert_eq!((verdict.doubled, verdict.problems.len()), (0, 0), "the log itself is sound: {verdict:?}");
}

/// The judge's other eyes: each kind of wrong log is called by its name.
#[tokio::test(flavor = "multi_thread")]
async fn judge_sees_loss_doubling_moving_and_strangers() {
    let bench = scratch(None, 64).await;
    let mut journal = Journal::default();
    for number in 0..20 {
        journal.intents.insert(number, 1);
        let outcome =
            bench.ledger.submit(vec![received(script::event(number, 50))], options()).await.unwrap().remove(0);
        let receipt = crate::support::recorded(outcome);
        let answer = json!({ "status": "recorded", "position": receipt.position, "leaf": receipt.leaf.to_string() });
        journal.answered(number, &answer);
    }
    let dedupe = |number: u64| bench.ledger.secrets.dedupe.dedupe(script::SOURCE, &script::id(number));
    let entries = bench.ledger.store().entries_from(0, bench.ledger.size()).await.unwrap();
    assert_eq!((weigh(&entries, &journal, dedupe).lost, weigh(&entries, &journal, dedupe).doubled), (0, 0));
    let place = journal.acks[&7].position.unwrap();
    let at = entries.iter().position(|(position, _)| *position == place).unwrap();

    let mut without = entries.clone();
    without.remove(at);
    assert_eq!(weigh(&without, &journal, dedupe), Verdict { lost: 1, ..weigh(&without, &journal, dedupe) });
    let mut twice = entries.clone();
    twice.push((entries.len() as u64, entries[at].1.clone()));
    assert_eq!(weigh(&twice, &journal, dedupe).doubled, 1);
    let mut moved = entries.clone();
    moved[at].0 += 1_000;
    assert_eq!(weigh(&moved, &journal, dedupe).moved, 1);
    let mut altered = entries.clone();
    let mut entry = Entry::decode(&altered[at].1).unwrap();
    entry.actor = crate::tampering::other_actor();
    altered[at].1 = entry.encode().unwrap();
    assert_eq!(weigh(&altered, &journal, dedupe).moved, 1);
    journal.intents.remove(&7);
    assert_eq!(weigh(&entries, &journal, dedupe).foreign, 1);
    journal.answered(8, &json!({ "status": "recorded", "position": 0, "leaf": "other" }));
    assert_eq!(weigh(&entries, &journal, dedupe).contradictions.len(), 1);
}
