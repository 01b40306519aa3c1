//! Two servers on one Postgres and one ledger: one appends, the other follows; whoever is stopped or killed, there is one
//! history, and everything that either of them acknowledged is in it once.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sqlx::{Connection, PgConnection};
use tallystick::chain::entry::Entry;
use tallystick::chain::leaf::leaf_hash;
use tallystick::exports::ledger_verify::{NamedCheckpoint, VerifyOptions};
use tallystick::runtime::Tasks;
use tallystick::store::Location;
use tokio::task::JoinHandle;

use crate::engines::{Shell, postgres_database, verify};
use crate::journal::{Shared, judge, lock, post, snapshot};
use crate::server::{Client, Data, PATIENCE, PROGRAM, Server};

const POSTERS: u64 = 6;

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
    Server::spawn(Command::new(PROGRAM), folder).await
}

/// Clients that post to whichever server takes their events, until they are told to stop.
struct Crowd {
    journal: Shared,
    addresses: Arc<[std::sync::Mutex<SocketAddr>; 2]>,
    stop: Arc<AtomicBool>,
    posters: Vec<JoinHandle<[u64; 2]>>,
}

impl Crowd {
    fn start(servers: [SocketAddr; 2], key: &str, seed: u64) -> Crowd {
        let journal = Shared::default();
        let stop = Arc::new(AtomicBool::new(false));
        let addresses = Arc::new(servers.map(std::sync::Mutex::new));
        let posters = (0..POSTERS)
            .map(|poster| {
                let (addresses, journal, stop) = (Arc::clone(&addresses), Arc::clone(&journal), Arc::clone(&stop));
                Tasks::default().spawn(post_to_both(addresses, key.to_owned(), journal, seed + poster, stop))
            })
            .collect();
        Crowd { journal, addresses, stop, posters }
    }

    /// Waits until events are acknowledged that nobody had acknowledged when it was called.
    async fn progress(&self, events: usize, what: &str, servers: &[Server]) {
        let before = lock(&self.journal).acks.len();
        let waited = tokio::time::timeout(PATIENCE, async {
            while lock(&self.journal).acks.len() < before + events {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        if waited.await.is_err() {
            let logs: Vec<String> = servers.iter().map(Server::log).collect();
            panic!("no events are acknowledged {what}: {}", logs.join("\n---\n"));
        }
    }

    /// Ends the posting; how many events each server took.
    async fn end(self) -> (Shared, [u64; 2]) {
        self.stop.store(true, Ordering::SeqCst);
        let mut taken = [0, 0];
        for poster in self.posters {
            let [one, other] = poster.await.unwrap();
            taken = [taken[0] + one, taken[1] + other];
        }
        (self.journal, taken)
    }
}

/// Posts to both servers in turn until told to stop; an event that one did not acknowledge is tried at the other.
async fn post_to_both(
    addresses: Arc<[std::sync::Mutex<SocketAddr>; 2]>,
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
            let address = *addresses[at].lock().unwrap();
            // Nobody takes connections of a stopped server out of its backlog: once that is full, connecting waits as well.
            let connecting = tokio::time::timeout(Duration::from_millis(200), Client::connect(address, &key)).await;
            clients[at] = connecting.ok().and_then(Result::ok);
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

/// Every checkpoint that either server published, held against the log: each must be a prefix of it.
async fn checkpoints_of(data: &Data) -> (usize, Vec<String>) {
    let mut connection = PgConnection::connect(data.database.as_ref().unwrap()).await.unwrap();
    let notes: Vec<String> =
        sqlx::query_scalar("SELECT note FROM log.checkpoints ORDER BY size").fetch_all(&mut connection).await.unwrap();
    let checkpoints: Vec<NamedCheckpoint> = notes
        .into_iter()
        .map(|note| NamedCheckpoint { name: "published".to_owned(), note: note.into_bytes(), from_outside: false })
        .collect();
    let count = checkpoints.len();
    let source = data.reading().await;
    let options = VerifyOptions { checkpoints, ..VerifyOptions::default() };
    let report = verify(&source.store, source.keyring.clone(), &options).await;
    source.store.close().await;
    (count, report.problems.iter().map(|problem| format!("{problem:?}")).collect())
}

async fn settle(data: &Data, crowd: Crowd, servers: Vec<Server>, what: &str) {
    let (journal, taken) = crowd.end().await;
    servers.into_iter().for_each(Server::kill);
    let verdict = judge(data, &snapshot(&journal)).await;
    let (checkpoints, problems) = checkpoints_of(data).await;
    println!("{what}: the servers took {taken:?} events, {checkpoints} checkpoints: {}", verdict.figures());
    verdict.assert_clean();
    assert!(problems.is_empty(), "{problems:#?}");
    assert!(checkpoints > 5, "too few checkpoints to prove anything: {checkpoints}");
    assert!(taken.iter().all(|taken| *taken > 100), "both servers appended: {taken:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_leader_wakes_up_into_one_history() {
    let Some(url) = postgres_database().await else { return };
    let data = Data::init(Some(url));
    let folder = second_folder(&data.path());
    let servers = vec![start(&data.path()).await, start(folder.path()).await];
    let crowd = Crowd::start([servers[0].address, servers[1].address], &data.key, 70);
    crowd.progress(200, "at the beginning", &servers).await;
    // In turn each server is the one that appends, is stopped in the middle of it beyond its lease, and wakes up as one that
    // may not.
    for turn in [0, 1, 0, 1] {
        servers[turn].signal("STOP");
        crowd.progress(200, &format!("while server {turn} stands still"), &servers).await;
        servers[turn].signal("CONT");
        crowd.progress(200, &format!("after server {turn} goes on"), &servers).await;
    }
    settle(&data, crowd, servers, "a leader stopped 4 times beyond its lease").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_leader_is_succeeded_in_one_history() {
    let Some(url) = postgres_database().await else { return };
    let data = Data::init(Some(url));
    let folder = second_folder(&data.path());
    let folders = [data.path(), folder.path().to_path_buf()];
    let mut servers = vec![start(&folders[0]).await, start(&folders[1]).await];
    let crowd = Crowd::start([servers[0].address, servers[1].address], &data.key, 90);
    crowd.progress(200, "at the beginning", &servers).await;
    for turn in [0, 1, 0] {
        let other = servers.remove(1 - turn);
        servers.remove(0).kill();
        servers.push(other);
        crowd.progress(200, &format!("after server {turn} was killed"), &servers).await;
        let risen = start(&folders[turn]).await;
        *crowd.addresses[turn].lock().unwrap() = risen.address;
        servers.insert(turn, risen);
        crowd.progress(100, &format!("after server {turn} came back"), &servers).await;
    }
    settle(&data, crowd, servers, "a leader killed 3 times").await;
}

/// The control: writers that swap the head without comparing it, which no server of ours is, and what they do is seen.
#[tokio::test(flavor = "multi_thread")]
async fn control_that_swaps_the_head_without_comparing_is_seen() {
    let Some(url) = postgres_database().await else { return };
    let data = Data::init(Some(url.clone()));
    let server = start(&data.path()).await;
    let journal = Shared::default();
    let mut client = Client::connect(server.address, &data.key).await.unwrap();
    let mut random = StdRng::seed_from_u64(71);
    let posting = async {
        while lock(&journal).acks.len() < 30 {
            let numbers = lock(&journal).next(3, &mut random);
            post(&mut client, &journal, &numbers).await.unwrap();
        }
    };
    assert!(tokio::time::timeout(PATIENCE, posting).await.is_ok(), "{}", server.log());
    server.kill();
    judge(&data, &snapshot(&journal)).await.assert_clean();
    let mut shell = Shell::open(&Location::Postgres(url)).await;
    shell.drop_triggers().await;
    let rows = shell.rows("SELECT position, entry FROM entries ORDER BY position", 1, 1).await;
    let entries: Vec<Vec<u8>> = rows.into_iter().map(|(_, mut blobs)| blobs.remove(0)).collect();
    let size = entries.len();
    let last = Entry::decode(&entries[size - 1]).unwrap();

    // It linked to the head that it had read, while the other one moved on: two entries name the same predecessor.
    let forked = Entry { position: size as u64, previous: leaf_hash(&entries[size - 2]), ..last.clone() };
    let written = append_uncompared(&mut shell, size, &forked).await;
    let fork = judge(&data, &snapshot(&journal)).await;
    assert!(!fork.problems.is_empty(), "a fork passes: {fork:?}");
    assert_eq!(fork.doubled, 1, "{fork:?}");
    remove(&mut shell, size, &entries[size - 1]).await;

    // It linked well, but judged duplicates before it knew what the other one wrote.
    let doubled = Entry { position: size as u64, previous: leaf_hash(&entries[size - 1]), ..last.clone() };
    append_uncompared(&mut shell, size, &doubled).await;
    assert_eq!(judge(&data, &snapshot(&journal)).await.doubled, 1);
    remove(&mut shell, size, &entries[size - 1]).await;

    // It wrote over what the other one had acknowledged.
    let over = Entry { dedupe: [9; 32], ..last };
    let blob = shell.blob(&over.encode().unwrap());
    shell.run(&format!("UPDATE entries SET entry = {blob} WHERE position = {}", size - 1)).await.unwrap();
    let lost = judge(&data, &snapshot(&journal)).await;
    assert_eq!((lost.lost, lost.foreign), (1, 1), "{lost:?}");
    println!("control: a fork, a doubled and a lost event among {written} entries were each seen");
}

/// Puts an entry at the end and the head behind it, whatever the head was.
async fn append_uncompared(shell: &mut Shell, size: usize, entry: &Entry) -> usize {
    let bytes = entry.encode().unwrap();
    let (blob, leaf) = (shell.blob(&bytes), shell.blob(leaf_hash(&bytes).as_bytes()));
    let insert = format!(
        "INSERT INTO entries SELECT ledger, {size}, {blob}, dedupe, subject, sequence FROM entries WHERE position = {}; \
         INSERT INTO payloads SELECT ledger, slot + 256, sealed FROM payloads WHERE slot / 256 = {}; \
         UPDATE heads SET size = {}, leaf = {leaf};",
        size - 1,
        size - 1,
        size + 1
    );
    shell.run(&insert).await.unwrap();
    size + 1
}

async fn remove(shell: &mut Shell, size: usize, last: &[u8]) {
    let leaf = shell.blob(leaf_hash(last).as_bytes());
    let delete = format!(
        "DELETE FROM entries WHERE position = {size}; DELETE FROM payloads WHERE slot / 256 = {size}; \
         UPDATE heads SET size = {size}, leaf = {leaf};"
    );
    shell.run(&delete).await.unwrap();
}
