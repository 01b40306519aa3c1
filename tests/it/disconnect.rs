//! Clients that go away at the worst moment: no connection to the database is left in a transaction, nothing acknowledged is
//! lost, and the server goes on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sqlx::{Connection, Executor, PgConnection};
use tallystick::runtime::Tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::engines::postgres_database;
use crate::journal::{Shared, judge, lock, post, snapshot};
use crate::script;
use crate::server::{Client, Data, PATIENCE, Server};

const ABORTS: u64 = 2_000;
const CLIENTS: u64 = 20;

/// Sends a request up to a random point, or reads its answer up to one, and goes away.
async fn abort(address: SocketAddr, key: &str, journal: &Shared, random: &mut StdRng) -> Result<(), std::io::Error> {
    let mut stream = TcpStream::connect(address).await?;
    let numbers = lock(journal).next(random.random_range(1..8), random);
    let events: Vec<serde_json::Value> = numbers.iter().map(|number| script::event(*number, 50)).collect();
    let body = serde_json::Value::from(events).to_string();
    let request = format!(
        "POST /v1/events HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let bytes = request.as_bytes();
    match random.random_range(0..5) {
        // Connected, and nothing more.
        0 => {}
        // Within the headers, or within the body.
        1 | 2 => stream.write_all(&bytes[..random.random_range(0..bytes.len())]).await?,
        // Everything, then gone before the answer.
        3 => {
            stream.write_all(bytes).await?;
            tokio::time::sleep(Duration::from_micros(random.random_range(0..3_000))).await;
        }
        // With a reset instead of a farewell, or in the middle of the answer.
        _ => {
            stream.write_all(bytes).await?;
            stream.set_zero_linger()?;
            let mut answer = [0; 40];
            let wait = Duration::from_micros(random.random_range(0..5_000));
            let _some = tokio::time::timeout(wait, stream.read(&mut answer)).await;
        }
    }
    Ok(())
}

/// Connections of the program that are in a transaction and do nothing.
async fn idle_in_transaction(url: &str) -> i64 {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let sql = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'tallystick' \
               AND state LIKE 'idle in transaction%'";
    sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
}

async fn aborted_requests_poison_nothing(data: Data, seed: u64) {
    let server = Server::start(&data).await;
    let journal = Shared::default();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (address, key, journal) = (server.address, data.key.clone(), Arc::clone(&journal));
            Tasks::default().spawn(async move {
                let mut random = StdRng::seed_from_u64(seed + client);
                let mut aborted = 0;
                for _ in 0..ABORTS / CLIENTS {
                    aborted += u64::from(abort(address, &key, &journal, &mut random).await.is_ok());
                }
                aborted
            })
        })
        .collect();
    let mut aborted = 0;
    for client in clients {
        aborted += client.await.unwrap();
    }
    assert_eq!(aborted, ABORTS);
    // The same server, over the connections it has: more requests than it has connections are answered.
    let mut client = Client::connect(server.address, &data.key).await.unwrap();
    for number in 1..=40 {
        let status = post(&mut client, &journal, &[1_000_000 + number]).await.unwrap();
        lock(&journal).intents.insert(1_000_000 + number, 1);
        assert!(matches!(status, 200 | 201), "{status}: {}", server.log());
    }
    if let Some(url) = &data.database {
        // A transaction that is under way may be seen between two of its statements: poisoned is what stays so.
        let settled = async {
            while idle_in_transaction(url).await > 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let settled = tokio::time::timeout(PATIENCE / 6, settled).await;
        assert!(settled.is_ok(), "{} connections stay in a transaction", idle_in_transaction(url).await);
        // The twin: one that is left in a transaction is seen as long as it is there, whatever transactions pass beside it.
        let mut left = PgConnection::connect(&format!("{url}?application_name=tallystick")).await.unwrap();
        left.execute("BEGIN").await.unwrap();
        left.execute("SELECT size FROM log.heads").await.unwrap();
        let mut least = i64::MAX;
        for _ in 0..20 {
            least = least.min(idle_in_transaction(url).await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(least, 1);
    }
    server.kill();
    let verdict = judge(&data, &snapshot(&journal)).await;
    println!("{aborted} requests aborted: {}", verdict.figures());
    verdict.assert_clean();
    assert!(verdict.entries > 200, "some of the aborted requests were recorded: {verdict:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn aborted_requests_poison_no_connection_on_sqlite() {
    aborted_requests_poison_nothing(Data::init(None), 81).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn aborted_requests_poison_no_connection_on_postgres() {
    let Some(url) = postgres_database().await else { return };
    aborted_requests_poison_nothing(Data::init(Some(url)), 82).await;
}
