//! Failed writes: nothing is acknowledged that is not stored, and what is stored stays readable; when writing works again, so
//! does the server.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sqlx::{Connection, PgConnection};
use tallystick::runtime::Tasks;
use tokio::task::JoinHandle;

use crate::engines::postgres_database;
use crate::journal::{Shared, judge, lock, post, snapshot};
use crate::server::{Client, Data, PATIENCE, PROGRAM, Server};

/// A file may grow to this many KiB, then writing fails with EFBIG, as it does with ENOSPC on a full disk.
const FILE_KIB_MAX: u64 = 3_000;

/// Posts until the server has refused a few requests in a row, and says how many it refused in all.
async fn post_until_refused(client: &mut Client, journal: &Shared, seed: u64) -> u64 {
    let mut random = StdRng::seed_from_u64(seed);
    let mut refused = 0;
    let refusing = async {
        while refused < 30 {
            let numbers = lock(journal).next(random.random_range(1..40), &mut random);
            refused += u64::from(post(client, journal, &numbers).await.unwrap() == 503);
        }
    };
    assert!(tokio::time::timeout(PATIENCE, refusing).await.is_ok(), "the server does not refuse");
    refused
}

async fn post_until_taken(client: &mut Client, journal: &Shared, server: &Server) {
    let mut random = StdRng::seed_from_u64(7);
    let taking = async {
        loop {
            let numbers = lock(journal).next(3, &mut random);
            if post(client, journal, &numbers).await.unwrap() != 503 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, taking).await.is_ok(), "writes do not come back: {}", server.log());
}

/// Starts the server with a limit on the size of its files that can be lifted while it runs.
async fn start_limited(data: &Data) -> Server {
    let mut command = Command::new("bash");
    let line = format!("trap '' XFSZ; ulimit -S -f {FILE_KIB_MAX}; exec \"$@\"");
    command.args(["-c", &line, "bash", PROGRAM]);
    Server::spawn(command, &data.path()).await
}

fn limit_lift(server: &Server) {
    let lifted =
        Command::new("prlimit").args(["--pid", &server.id().to_string(), "--fsize=unlimited:"]).status().unwrap();
    assert!(lifted.success(), "prlimit");
}

#[tokio::test(flavor = "multi_thread")]
async fn full_disk_costs_no_acknowledged_event() {
    let data = Data::init(None);
    let server = start_limited(&data).await;
    let journal = Shared::default();
    let posters: Vec<JoinHandle<u64>> = (0..3)
        .map(|seed| {
            let (address, key, journal) = (server.address, data.key.clone(), Arc::clone(&journal));
            Tasks::default().spawn(async move {
                let mut client = Client::connect(address, &key).await.unwrap();
                post_until_refused(&mut client, &journal, 90 + seed).await
            })
        })
        .collect();
    let mut refused = 0;
    for poster in posters {
        refused += poster.await.unwrap();
    }
    let acknowledged = lock(&journal).acks.len();
    assert!(acknowledged > 0, "nothing was taken before the limit was met");
    // It says why, and still answers readers.
    let (status, body) = server.get("/readyz", "").await.unwrap();
    assert!(status == 503 && String::from_utf8_lossy(&body).contains("read_only"), "{status} {body:?}");
    let (status, _) = server.get("/v1/events/1", &data.key).await.unwrap();
    assert_eq!(status, 200);

    limit_lift(&server);
    let mut client = Client::connect(server.address, &data.key).await.unwrap();
    post_until_taken(&mut client, &journal, &server).await;
    server.kill();
    let first = judge(&data, &snapshot(&journal)).await;
    first.assert_clean();

    // Met again, it dies with the limit still there, and starts without it.
    let server = start_limited(&data).await;
    let mut client = Client::connect(server.address, &data.key).await.unwrap();
    refused += post_until_refused(&mut client, &journal, 99).await;
    server.kill();
    let server = Server::start(&data).await;
    let mut client = Client::connect(server.address, &data.key).await.unwrap();
    post_until_taken(&mut client, &journal, &server).await;
    server.kill();
    let verdict = judge(&data, &snapshot(&journal)).await;
    println!("{refused} requests refused by failed writes: {}", verdict.figures());
    verdict.assert_clean();
}

/// The twin of the judge here: an acknowledgement given for a request that was refused is found out.
#[tokio::test(flavor = "multi_thread")]
async fn acknowledgement_of_a_failed_write_would_be_seen() {
    let data = Data::init(None);
    let server = start_limited(&data).await;
    let journal = Shared::default();
    let mut client = Client::connect(server.address, &data.key).await.unwrap();
    post_until_refused(&mut client, &journal, 95).await;
    server.kill();
    let mut journal = snapshot(&journal);
    let refused: Vec<u64> =
        journal.intents.keys().filter(|number| !journal.acks.contains_key(*number)).copied().collect();
    for number in &refused {
        journal.answered(*number, &serde_json::json!({ "status": "recorded" }));
    }
    let verdict = judge(&data, &journal).await;
    println!("control: {} of {} wrongly acknowledged events missing", verdict.lost, refused.len());
    assert!(verdict.lost > 0, "{verdict:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn read_only_postgres_costs_no_acknowledged_event() {
    let Some(url) = postgres_database().await else { return };
    let data = Data::init(Some(url.clone()));
    let server = Server::start(&data).await;
    let journal = Shared::default();
    let mut client = Client::connect(server.address, &data.key).await.unwrap();
    post_until_taken(&mut client, &journal, &server).await;
    let mut shell = PgConnection::connect(&url).await.unwrap();
    // What a full disk or a switch-over looks like from here: connections die, and new ones do not write.
    let cut = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$; \
               SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND application_name = 'tallystick'";
    sqlx::raw_sql(cut).execute(&mut shell).await.unwrap();
    let refused = post_until_refused(&mut client, &journal, 97).await;
    let back = "SET default_transaction_read_only = off; \
                DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET default_transaction_read_only', current_database()); END $$; \
                SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                WHERE datname = current_database() AND application_name = 'tallystick'";
    sqlx::raw_sql(back).execute(&mut shell).await.unwrap();
    post_until_taken(&mut client, &journal, &server).await;
    server.kill();
    let verdict = judge(&data, &snapshot(&journal)).await;
    println!("{refused} requests refused by a read-only Postgres: {}", verdict.figures());
    verdict.assert_clean();
}
