//! What the engine does without us: one entry row and three payload rows an event, 1,000 events a commit, full durability.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Executor, postgres::PgPoolOptions};

const COMMITS: i64 = 200;
const EVENTS: i64 = 1_000;
const ENTRY_BYTES: usize = 430;
const PAYLOAD_BYTES: [usize; 3] = [230, 320, 520];

pub fn sync_latency(folder: &Path) -> String {
    let file = File::create(folder.join("sync")).unwrap();
    let mut times: Vec<Duration> = (0..200)
        .map(|turn| {
            file.write_all_at(&[7; 4096], turn * 4096).unwrap();
            let begun = Instant::now();
            file.sync_data().unwrap();
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    format!("p50 {:.2} ms, p99 {:.2} ms", times[100].as_secs_f64() * 1e3, times[197].as_secs_f64() * 1e3)
}

/// What the device alone makes of records of `bytes` that come at a fixed rate: all that are due are written together, over blocks
/// that the file has already, and synced. How long each waited from when it was due.
pub fn device(folder: &Path, per_second: u64, seconds: u64, bytes: usize) -> Vec<Duration> {
    let file = File::create(folder.join("sync")).unwrap();
    let (length, zeros) = (64_u64 << 20, vec![0; 1 << 20]);
    (0..length >> 20).for_each(|piece| file.write_all_at(&zeros, piece << 20).unwrap());
    file.sync_all().unwrap();
    let (started, count) = (Instant::now(), per_second * seconds);
    let due = |record: u64| Duration::from_nanos(record * 1_000_000_000 / per_second);
    let (mut waited, mut written, mut at) = (Vec::new(), 0, 0);
    while written < count {
        let now = started.elapsed();
        let end = (written..count).find(|record| due(*record) > now).unwrap_or(count);
        if end == written {
            std::thread::sleep(due(written).saturating_sub(now));
            continue;
        }
        let size = usize::try_from(end - written).unwrap() * bytes;
        at = if at + size as u64 > length { 0 } else { at };
        file.write_all_at(&vec![7; size], at).unwrap();
        file.sync_data().unwrap();
        at += size as u64;
        let done = started.elapsed();
        waited.extend((written..end).map(|record| done.saturating_sub(due(record))));
        written = end;
    }
    waited.sort_unstable();
    waited
}

pub async fn sqlite(folder: &Path) -> f64 {
    let options = SqliteConnectOptions::new()
        .filename(folder.join("bare.db"))
        .create_if_missing(true)
        .page_size(8192)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    pool.execute(
        "CREATE TABLE e (l BLOB NOT NULL, p INTEGER NOT NULL, b BLOB NOT NULL, PRIMARY KEY (l, p)) WITHOUT ROWID",
    )
    .await
    .unwrap();
    pool.execute("CREATE TABLE s (l BLOB NOT NULL, p INTEGER NOT NULL, n INTEGER NOT NULL, b BLOB NOT NULL, PRIMARY KEY (l, p, n)) WITHOUT ROWID").await.unwrap();
    let (ledger, bytes) = (vec![1u8; 16], vec![7u8; 2_000_000]);
    let begun = Instant::now();
    for commit in 0..COMMITS {
        let mut tx = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
        sqlx::query("WITH RECURSIVE r(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM r WHERE i + 1 < 1000) INSERT INTO e SELECT $1, $2 + i, substr($3, i * 430 + 1, 430) FROM r")
            .bind(&ledger).bind(commit * EVENTS).bind(&bytes).execute(&mut *tx).await.unwrap();
        sqlx::query("WITH RECURSIVE r(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM r WHERE i + 1 < 3000) INSERT INTO s SELECT $1, $2 + i / 3, i % 3, substr($3, i * 357 + 1, 230 + 145 * (i % 3)) FROM r")
            .bind(&ledger).bind(commit * EVENTS).bind(&bytes).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    }
    let took = begun.elapsed();
    pool.close().await;
    (COMMITS * EVENTS) as f64 / took.as_secs_f64()
}

pub async fn postgres(url: &str) -> f64 {
    let pool = PgPoolOptions::new().max_connections(1).connect(url).await.unwrap();
    pool.execute("DROP SCHEMA IF EXISTS bare CASCADE; CREATE SCHEMA bare; CREATE TABLE bare.e (l BYTEA, p BIGINT, b BYTEA, d BYTEA, PRIMARY KEY (l, p), UNIQUE (l, d)); CREATE TABLE bare.s (l BYTEA, p BIGINT, n BIGINT, b BYTEA, PRIMARY KEY (l, p, n))").await.unwrap();
    let ledger = vec![1u8; 16];
    let begun = Instant::now();
    for commit in 0..COMMITS {
        let mut tx = pool.begin().await.unwrap();
        let positions: Vec<i64> = (0..EVENTS).map(|event| commit * EVENTS + event).collect();
        let entries: Vec<Vec<u8>> = positions.iter().map(|_| vec![7; ENTRY_BYTES]).collect();
        let keys: Vec<Vec<u8>> = positions
            .iter()
            .map(|position| (position.wrapping_mul(0x09E3_779B_97F4_A7C1)).to_be_bytes().repeat(4))
            .collect();
        sqlx::query("INSERT INTO bare.e SELECT $1, * FROM UNNEST($2::bigint[], $3::bytea[], $4::bytea[])")
            .bind(&ledger)
            .bind(&positions)
            .bind(entries)
            .bind(keys)
            .execute(&mut *tx)
            .await
            .unwrap();
        let rows: Vec<(i64, i64, Vec<u8>)> = positions
            .iter()
            .flat_map(|position| {
                (0..3).map(|part| (*position, part, vec![7; PAYLOAD_BYTES[usize::try_from(part).unwrap()]]))
            })
            .collect();
        sqlx::query("INSERT INTO bare.s SELECT $1, * FROM UNNEST($2::bigint[], $3::bigint[], $4::bytea[])")
            .bind(&ledger)
            .bind(rows.iter().map(|row| row.0).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.1).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.2.clone()).collect::<Vec<_>>())
            .execute(&mut *tx)
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }
    let took = begun.elapsed();
    pool.close().await;
    (COMMITS * EVENTS) as f64 / took.as_secs_f64()
}
