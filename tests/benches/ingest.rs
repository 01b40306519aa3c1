//! `cargo bench --bench ingest`: the whole service over HTTP on loopback, everything on, with the same engine's bare-table
//! rate and the device's sync latency measured in the same run.
//!
//! TALLYSTICK_BENCH_EVENTS   events a throughput row posts (default 300000)
//! TALLYSTICK_BENCH_STORED   events to load before a second round of the rows (default 0; 10000000 for the long lane)
//! TALLYSTICK_BENCH_ROWS     some of dry,batches,single,fixed,decisions,routing,import (default all)
//! TALLYSTICK_BENCH_POSTGRES a Postgres URL to measure that engine too; its database should be empty
//! TALLYSTICK_BENCH_ENGINES  some of sqlite,postgres (default all)
//! TALLYSTICK_BENCH_FOLDER   measure the rows on a data directory that is there already (after loading TALLYSTICK_BENCH_STORED
//!                           events into it), and nothing else; its admin key in TALLYSTICK_BENCH_KEY
//! TALLYSTICK_BENCH_ROUNDS   how often to measure those rows there, in one run of the server (default 1)
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::float_arithmetic,
    clippy::indexing_slicing,
    reason = "a bench that cannot go on has failed, and rates are floats"
)]
#![allow(clippy::disallowed_methods, clippy::cast_precision_loss, reason = "a bench reads the clock")]

mod bare;
mod client;
mod workload;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use client::{Connection, number};
use workload::{LOADERS, People, Workload};

struct Server {
    child: Child,
    address: SocketAddr,
    key: String,
    folder: PathBuf,
}

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_tallystick"))
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Server {
    fn start(folder: &Path, database: Option<&str>) -> Server {
        let mut init = program();
        init.args(["init", "--json", "--data"]).arg(folder);
        if let Some(url) = database {
            init.args(["--database", url]);
        }
        let made = init.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let made: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
        Server::serve(folder, made["admin_key"].as_str().unwrap())
    }

    fn serve(folder: &Path, key: &str) -> Server {
        let address = free_address();
        let child = program()
            .args(["serve", "--listen", &address.to_string(), "--data"])
            .arg(folder)
            .env("TALLYSTICK_TELEMETRY_LEVEL", "warn")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let server = Server { child, address, key: key.to_owned(), folder: folder.to_path_buf() };
        for _ in 0..600 {
            if std::net::TcpStream::connect(address).is_ok() && server.connection().get("/readyz").0 == 200 {
                return server;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the server did not become ready");
    }

    fn connection(&self) -> Connection {
        Connection::open(self.address, &self.key)
    }

    fn memory_mb(&self, field: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = text.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    }

    fn cpu_seconds(&self) -> f64 {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = text.rsplit(')').next().unwrap().split_whitespace().collect();
        (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()) as f64 / 100.0
    }

    fn lag(&self) -> u64 {
        let mut connection = self.connection();
        number(connection.get("/v1/admin/ledger").1, "lag_events").unwrap_or(u64::MAX)
    }

    fn size(&self) -> u64 {
        let mut connection = self.connection();
        number(connection.get("/v1/admin/ledger").1, "size").unwrap_or(0)
    }

    /// Waits until everything that is derived from the log is, and says how long that took.
    fn settle(&self) -> Duration {
        let begun = Instant::now();
        loop {
            let mut connection = self.connection();
            let (_, body) = connection.get("/v1/admin/ledger");
            let read_to = number(body, "read_to").unwrap_or(0);
            if number(body, "lag_events") == Some(0) && Some(read_to) >= number(body, "size") {
                return begun.elapsed();
            }
            std::thread::sleep(Duration::from_millis(250));
        }
    }

    /// Asks for a rebuild and waits until it is in use.
    fn rebuild(&self) -> Duration {
        let mut connection = self.connection();
        let begun = Instant::now();
        assert_eq!(connection.send("POST", "/v1/admin/projections/rebuild", "application/json", b"").0, 202);
        loop {
            std::thread::sleep(Duration::from_millis(20));
            let (_, body) = connection.get("/v1/admin/ledger");
            if String::from_utf8_lossy(body).replace(' ', "").contains("\"rebuilding\":null") {
                return begun.elapsed();
            }
        }
    }

    fn stop(mut self) {
        let id = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status().unwrap();
        self.child.wait().unwrap();
    }
}

/// Keeps serials of all phases apart and remembers whom the generators have shown.
struct Phase {
    serial: AtomicU64,
    seen: AtomicU64,
}

fn rate(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

fn now_text() -> String {
    "2026-11-19T12:00:00Z".to_owned()
}

/// Posts `events` events in lists of `size` on `connections` connections.
fn throughput(
    server: &Server,
    phase: &Phase,
    people: People,
    events: u64,
    size: u64,
    connections: u64,
) -> (f64, Vec<Duration>, u64) {
    let first = phase.serial.fetch_add(events + 1_000, Ordering::SeqCst);
    let seen = phase.seen.load(Ordering::SeqCst);
    let posted = AtomicU64::new(0);
    let lag_max = AtomicU64::new(0);
    let started = Instant::now();
    let mut latencies = Vec::new();
    std::thread::scope(|scope| {
        let posted = &posted;
        let lag_max = &lag_max;
        let threads: Vec<_> = (0..connections)
            .map(|lane| {
                scope.spawn(move || {
                    let mut connection = server.connection();
                    let mut work = Workload::new(lane, people, first, now_text());
                    work.people_seen(seen / connections);
                    let (mut body, mut latencies) = (String::new(), Vec::new());
                    while posted.fetch_add(size, Ordering::Relaxed) < events {
                        body.clear();
                        if size > 1 {
                            body.push('[');
                        }
                        for index in 0..size {
                            if index > 0 {
                                body.push(',');
                            }
                            work.event(&mut body);
                        }
                        if size > 1 {
                            body.push(']');
                        }
                        let begun = Instant::now();
                        let (status, answer) = connection.post("application/json", body.as_bytes());
                        latencies.push(begun.elapsed());
                        let recorded = if size > 1 { number(answer, "recorded") } else { (status == 201).then_some(1) };
                        assert_eq!(
                            recorded,
                            Some(size),
                            "{status}: {}",
                            String::from_utf8_lossy(&answer[..answer.len().min(600)])
                        );
                    }
                    (latencies, work.seen())
                })
            })
            .collect();
        let watcher = scope.spawn(move || {
            while posted.load(Ordering::Relaxed) < events {
                lag_max.fetch_max(server.lag(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(250));
            }
        });
        let mut seen_now = 0;
        for thread in threads {
            let (own, seen) = thread.join().unwrap();
            latencies.extend(own);
            seen_now += seen;
        }
        if people == People::Mixed {
            phase.seen.fetch_max(seen_now, Ordering::SeqCst);
        }
        watcher.join().unwrap();
    });
    let took = started.elapsed();
    latencies.sort_unstable();
    (rate(events, took), latencies, lag_max.load(Ordering::Relaxed))
}

/// What a row at a fixed rate posts.
struct Posts {
    path: &'static str,
    status: u16,
    body: fn(&mut Workload, &mut String),
}

const EVENTS: Posts = Posts { path: "/v1/events", status: 201, body: Workload::event };
const DECISIONS: Posts = Posts { path: "/v1/decisions/contact", status: 200, body: Workload::question };
const ROUTES: Posts = Posts { path: "/v1/decisions/route", status: 200, body: Workload::route };

/// A plan with a thousand buyers who differ in weight, price, caps and budget, none of which runs out.
fn thousand_buyers() -> String {
    let buyer = |at: u64| {
        format!(
            "[[buyer]]\npool='p'\nseller='broker-{at}'\nweight={}\nstates=['OH','MI']\ncaps={{hour={},day=9000}}\nprice={{amount='{}.00',currency='USD'}}\nbudget={{day='400000.00'}}\n",
            1 + at % 9,
            2_000 + at % 4,
            20 + at % 30
        )
    };
    let buyers: Vec<String> = (0..1_000).map(buyer).collect();
    format!(
        "pack='routing'\nversion='1'\n[[pool]]\nid='p'\nstrategy='weighted'\nconsent='transfer'\nsla_minutes=15\n{}",
        buyers.concat()
    )
}

/// Seconds at the rate that are not counted: connections open and caches fill.
const WARM_UP: u64 = 2;

/// Posts one by one at a fixed rate; latencies count from when each should have started.
fn fixed_rate(
    server: &Server,
    phase: &Phase,
    posts: &Posts,
    per_second: u64,
    seconds: u64,
    connections: u64,
) -> Vec<Duration> {
    let events = per_second * (WARM_UP + seconds);
    let first = phase.serial.fetch_add(events + 1_000, Ordering::SeqCst);
    let seen = phase.seen.load(Ordering::SeqCst);
    let started = Instant::now() + Duration::from_millis(50);
    let mut all: Vec<Duration> = Vec::new();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..connections)
            .map(|lane| {
                scope.spawn(move || {
                    let mut connection = server.connection();
                    let mut work = Workload::new(lane, People::Mixed, first, now_text());
                    // Questions are about those whom the loaders have shown, events about those of their own connection.
                    work.people_seen(seen / if posts.path == EVENTS.path { connections } else { LOADERS });
                    let (mut body, mut latencies) = (String::new(), Vec::new());
                    let mut turn = lane;
                    while turn < events {
                        body.clear();
                        (posts.body)(&mut work, &mut body);
                        let intended = started + Duration::from_nanos(turn * 1_000_000_000 / per_second);
                        if let Some(wait) = intended.checked_duration_since(Instant::now()) {
                            std::thread::sleep(wait);
                        }
                        let (mut status, mut answer) =
                            connection.send("POST", posts.path, "application/json", body.as_bytes());
                        while status == 404 && posts.path == ROUTES.path {
                            // Somebody of whom only a sale was recorded has no number yet: the next one's turn.
                            body.clear();
                            (posts.body)(&mut work, &mut body);
                            (status, answer) = connection.send("POST", posts.path, "application/json", body.as_bytes());
                        }
                        assert_eq!(status, posts.status, "{}", String::from_utf8_lossy(answer));
                        if turn >= per_second * WARM_UP {
                            latencies.push(intended.elapsed());
                        }
                        turn += connections;
                    }
                    latencies
                })
            })
            .collect();
        for thread in threads {
            all.extend(thread.join().unwrap());
        }
    });
    all.sort_unstable();
    all
}

fn quantile(sorted: &[Duration], thousandths: usize) -> String {
    let at = (sorted.len() * thousandths / 1000).min(sorted.len() - 1);
    format!("{:.2} ms", sorted[at].as_secs_f64() * 1e3)
}

fn quantiles(sorted: &[Duration]) -> String {
    let [half, most, nearly] = [500, 990, 999].map(|thousandths| quantile(sorted, thousandths));
    format!("p50 {half}, p99 {most}, p99.9 {nearly} from intended start")
}

/// The limit of a row at a fixed rate: the device with nothing before it.
fn device_row(server: &Server, at: &str) {
    let waited = bare::device(&server.folder, 1_000, 10, 8_192);
    println!(
        "| the device alone: 1,000 records of 8 KiB/s, synced | {at} | 1000 records/s | | {} |",
        quantiles(&waited)
    );
}

/// Whether a variable's list names it; an absent list names all.
fn named(variable: &str, name: &str) -> bool {
    std::env::var(variable).map_or(true, |names| names.split(',').any(|named| named == name))
}

/// Whether a row is wanted.
fn wanted(row: &str) -> bool {
    named("TALLYSTICK_BENCH_ROWS", row)
}

fn rows(server: &Server, phase: &Phase, bare: f64, at: &str) {
    let events = variable("TALLYSTICK_BENCH_EVENTS", 300_000);
    if wanted("batches") {
        let (batches, latency, lag) = throughput(server, phase, People::Mixed, events, 100, 8);
        println!(
            "| batches of 100, 8 connections | {at} | {batches:.0} events/s | {:.2} of bare | p50 {}, p99 {}, lag at most {lag} |",
            batches / bare,
            quantile(&latency, 500),
            quantile(&latency, 990)
        );
    }
    if wanted("single") {
        let (single, latency, lag) = throughput(server, phase, People::Mixed, events / 4, 1, 32);
        println!(
            "| one event a request, 32 connections | {at} | {single:.0} events/s | {:.2} of bare | p50 {}, p99 {}, lag at most {lag} |",
            single / bare,
            quantile(&latency, 500),
            quantile(&latency, 990)
        );
    }
    if wanted("fixed") {
        let fixed = fixed_rate(server, phase, &EVENTS, 5_000, 10, 32);
        println!(
            "| fixed 5,000 single events/s, 32 connections | {at} | 5000 events/s | | p50 {}, p99 {} from intended start |",
            quantile(&fixed, 500),
            quantile(&fixed, 990)
        );
    }
    if wanted("decisions") {
        device_row(server, at);
        let cpu = server.cpu_seconds();
        let decided = fixed_rate(server, phase, &DECISIONS, 1_000, 20, 32);
        println!(
            "| fixed 1,000 contact decisions/s, each recorded, 32 connections | {at} | 1000 decisions/s | {:.2} ms of CPU each | {} |",
            (server.cpu_seconds() - cpu) / 22.0,
            quantiles(&decided)
        );
        device_row(server, at);
    }
    if wanted("routing") {
        let mut connection = server.connection();
        let (status, answer) =
            connection.send("POST", "/v1/routing/plan", "application/toml", thousand_buyers().as_bytes());
        assert_eq!(status, 201, "{}", String::from_utf8_lossy(answer));
        let routed = fixed_rate(server, phase, &ROUTES, 100, 20, 8);
        println!(
            "| fixed 100 routing decisions/s among 1,000 buyers, with the consent check, each recorded, 8 connections | {at} | 100 decisions/s | | {} |",
            quantiles(&routed)
        );
    }
    if wanted("import") {
        let (new, _, lag) = throughput(server, phase, People::New, events, 100, 8);
        println!(
            "| import of new people, batches of 100 | {at} | {new:.0} events/s | {:.2} of bare | lag at most {lag} |",
            new / bare
        );
    }
}

/// How many questions one core judges a second, in memory: facts of every case of the packs in turn, nothing recorded.
fn dry(seconds: u64) {
    let pack = tallystick::policy::contact::builtin().unwrap();
    let cases = tallystick::policy::contact::builtin_cases().unwrap();
    let (begun, mut judged) = (Instant::now(), 0_u64);
    while begun.elapsed() < Duration::from_secs(seconds) {
        for case in &cases {
            std::hint::black_box(tallystick::policy::contact::evaluate(pack, std::hint::black_box(&case.facts)));
        }
        judged += cases.len() as u64;
    }
    println!(
        "dry evaluation of {} cases in turn: {:.0} a second on one core",
        cases.len(),
        rate(judged, begun.elapsed())
    );
}

fn engine(name: &str, folder: &Path, database: Option<&str>, bare: f64) {
    let server = Server::start(folder, database);
    let phase = Phase { serial: AtomicU64::new(1), seen: AtomicU64::new(1) };
    println!("\n### {name}\n");
    println!(
        "bare table, 1,000 rows a commit, same engine and settings: {bare:.0} events/s (one entry and three payload rows)\n"
    );
    println!("| row | stored before | rate | ratio | latency |");
    println!("|---|---|---|---|---|");
    throughput(&server, &phase, People::Mixed, 20_000, 100, LOADERS);
    rows(&server, &phase, bare, "0");
    let stored = variable("TALLYSTICK_BENCH_STORED", 0);
    if stored > 0 {
        let (loaded, _, lag) = throughput(&server, &phase, People::Mixed, stored, 1_000, LOADERS);
        println!(
            "| loading, batches of 1,000, 8 connections | {stored} loaded | {loaded:.0} events/s | {:.2} of bare | lag at most {lag} |",
            loaded / bare
        );
        rows(&server, &phase, bare, &format!("{stored}"));
        let begun = Instant::now();
        let (status, _) = server.connection().get(&format!("/v1/events/{}/proof", stored / 2));
        println!("\nproof of entry {}: HTTP {status} in {:.2} ms", stored / 2, begun.elapsed().as_secs_f64() * 1e3);
    }
    let size = server.size();
    let begun = Instant::now();
    let rebuilt = server.rebuild();
    println!(
        "\nrebuild of all projections: {:.0} entries/s ({size} entries in {:.1} s)",
        rate(size, rebuilt),
        begun.elapsed().as_secs_f64()
    );
    println!(
        "server memory: {} MB peak, {} MB now; {:.1} s of CPU",
        server.memory_mb("VmHWM"),
        server.memory_mb("VmRSS"),
        server.cpu_seconds()
    );
    let folder = server.folder.clone();
    server.stop();
    for (what, switches) in [("chain and tree only", &["--entries-only"][..]), ("every part opened", &[])] {
        let begun = Instant::now();
        let verified = program().args(["verify", "--json", "--data"]).arg(&folder).args(switches).output().unwrap();
        let took = begun.elapsed();
        let report: serde_json::Value = serde_json::from_slice(&verified.stdout).unwrap_or_default();
        let size = report["size"].as_u64().unwrap_or(0);
        println!(
            "verify, {what}: ok={} {size} entries in {:.1} s, {:.0} entries/s on 2 cores",
            report["ok"],
            took.as_secs_f64(),
            rate(size, took)
        );
    }
}

fn main() {
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    if wanted("dry") {
        dry(3);
    }
    if let Ok(folder) = std::env::var("TALLYSTICK_BENCH_FOLDER") {
        let server = Server::serve(Path::new(&folder), &std::env::var("TALLYSTICK_BENCH_KEY").unwrap());
        let stored = variable("TALLYSTICK_BENCH_STORED", 0);
        if stored > 0 {
            let phase = Phase { serial: AtomicU64::new(1), seen: AtomicU64::new(1) };
            let (loaded, _, lag) = throughput(&server, &phase, People::Mixed, stored, 1_000, LOADERS);
            println!("loading {stored}, batches of 1,000, 8 connections: {loaded:.0} events/s, lag at most {lag}");
        }
        let size = server.size();
        println!("projections and histories at the end of the log after {:.0} s", server.settle().as_secs_f64());
        // Serials beyond what an earlier run used; people who are surely there, as every tenth event shows a new one up to a million.
        let phase = Phase { serial: AtomicU64::new(size), seen: AtomicU64::new((size / 12).min(800_000)) };
        println!("sync of 4 KiB on this device: {}", bare::sync_latency(Path::new(&folder)));
        for _ in 0..variable("TALLYSTICK_BENCH_ROUNDS", 1) {
            rows(&server, &phase, f64::NAN, &server.size().to_string());
        }
        println!("server memory: {} MB peak, {:.1} s of CPU", server.memory_mb("VmHWM"), server.cpu_seconds());
        return server.stop();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if named("TALLYSTICK_BENCH_ENGINES", "sqlite") {
        let folder = tempfile::tempdir().unwrap();
        println!("sync of 4 KiB on this device: {}", bare::sync_latency(folder.path()));
        let bare = runtime.block_on(bare::sqlite(folder.path()));
        engine("SQLite, synchronous=FULL", &folder.path().join("data"), None, bare);
    }
    let postgres = std::env::var("TALLYSTICK_BENCH_POSTGRES").ok();
    if let Some(url) = postgres.filter(|_| named("TALLYSTICK_BENCH_ENGINES", "postgres")) {
        let folder = tempfile::tempdir().unwrap();
        println!("\nsync of 4 KiB on this device: {}", bare::sync_latency(folder.path()));
        let bare = runtime.block_on(bare::postgres(&url));
        engine("Postgres, synchronous_commit=on", &folder.path().join("data"), Some(&url), bare);
    }
}
