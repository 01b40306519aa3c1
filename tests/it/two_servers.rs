//! Two servers on one Postgres and one ledger: one appends, the other follows; whoever is stopped, there is one history.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tallystick::runtime::Tasks;

use crate::engines::postgres_database;
use crate::journal::{Shared, judge, lock, post, snapshot};
use crate::server::{Client, Data, PATIENCE, Server};

/// Files of a data directory that every server needs: settings, the key-encryption key, which ledgers there are.
fn second_folder(first: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["tallystick.toml", "kek"] {
        std::fs::copy(first.join(name), folder.path().join(name)).unwrap();
    }
    for ledger in std::fs::read_dir(first.join("ledgers")).unwrap() {
        let name = ledger.unwrap().file_name();
        std::fs::create_dir_all(folder.path().join("ledgers").join(name)).unwrap();
    }
    folder
}

/// Starts a server that may have to wait for the lease; it serves reads meanwhile.
async fn start(folder: &Path) -> Server {
    Server::spawn(std::process::Command::new(crate::server::PROGRAM), folder).await
}

/// Posts to both servers in turn until told to stop; an event that one did not acknowledge is tried at the other.
async fn post_to_both(
    addresses: [std::net::SocketAddr; 2],
    key: String,
    journal: Shared,
    seed: u64,
    stop: Arc<AtomicBool>,
) -> [u64; 2] {
    let mut random = StdRng::seed_from_u64(seed);
    let mut taken = [0, 0];
    let mut clients: [Option<Client>; 2] = [None, None];
    while !stop.load(Ordering::SeqCst) {
        let at = random.random_range(0..2);
        let numbers = lock(&journal).next(random.random_range(1..6), &mut random);
        if clients[at].is_none() {
            clients[at] = Client::connect(addresses[at], &key).await.ok();
        }
        let Some(client) = &mut clients[at] else { continue };
        // A stopped server answers nothing: the request stays where it is, and is there when the server wakes up.
        match tokio::time::timeout(Duration::from_millis(400), post(client, &journal, &numbers)).await {
            Ok(Ok(503)) => tokio::time::sleep(Duration::from_millis(5)).await,
            Ok(Ok(_)) => taken[at] += numbers.len() as u64,
            Ok(Err(_)) | Err(_) => clients[at] = None,
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..10))).await;
    }
    taken
}

/// Waits until events are acknowledged that nobody had acknowledged when it was called.
async fn progress(journal: &Shared, events: usize, what: &str) {
    let before = lock(journal).acks.len();
    let waited = tokio::time::timeout(PATIENCE, async {
        while lock(journal).acks.len() < before + events {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(waited.await.is_ok(), "no events are acknowledged: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_leader_wakes_up_into_one_history() {
    let Some(url) = postgres_database().await else { return };
    let data = Data::init(Some(url));
    let folder = second_folder(&data.path());
    let servers = [start(&data.path()).await, start(folder.path()).await];
    let journal = Shared::default();
    let stop = Arc::new(AtomicBool::new(false));
    let addresses = [servers[0].address, servers[1].address];
    let posters: Vec<_> = (0..6)
        .map(|seed| {
            Tasks::default().spawn(post_to_both(
                addresses,
                data.key.clone(),
                Arc::clone(&journal),
                70 + seed,
                Arc::clone(&stop),
            ))
        })
        .collect();
    progress(&journal, 200, "at the beginning").await;
    // In turn each server is the one that appends, is stopped in the middle of it, and wakes up as one that may not.
    for (turn, server) in [&servers[0], &servers[1], &servers[0]].into_iter().enumerate() {
        server.signal("STOP");
        progress(&journal, 200, &format!("while server {} stands still", turn % 2)).await;
        server.signal("CONT");
        progress(&journal, 200, "after it goes on").await;
    }
    stop.store(true, Ordering::SeqCst);
    let mut taken = [0, 0];
    for poster in posters {
        let [one, other] = poster.await.unwrap();
        taken = [taken[0] + one, taken[1] + other];
    }
    for server in servers {
        server.kill();
    }
    let verdict = judge(&data, &snapshot(&journal)).await;
    println!("one history by two servers, which took {taken:?} events: {}", verdict.figures());
    verdict.assert_clean();
    assert!(taken.iter().all(|taken| *taken > 100), "both servers appended: {taken:?}");
}
