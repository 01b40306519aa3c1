//! `cargo bench --bench attribution`: attribution on one core, beside how fast the same bytes can be read at all.
//!
//! TALLYSTICK_BENCH_PYTHON   a Python with the peers installed (tests/benches/peers/install), to time them in the same run
//! TALLYSTICK_BENCH_TOUCHES  touches of the bounded-memory row (default 10000000)
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::float_arithmetic,
    clippy::disallowed_methods,
    reason = "a bench that cannot go on has failed; it reads the clock and the environment, and rates are floats"
)]

use std::fmt::Write as _;
use std::io::{BufRead, Cursor};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tallystick::domain::attribution::counts::Counts;
use tallystick::domain::attribution::journey::{Lookback, sort};
use tallystick::domain::attribution::journey_file::{JourneyFile, TouchFile};
use tallystick::domain::attribution::markov::removal_effects;
use tallystick::domain::attribution::study::Study;
use tallystick::domain::attribution::{CustomRules, NameId, PathFile, Walk};

const CHANNELS: usize = 12;
const ROUNDS: usize = 7;
const FIVE: [&str; 5] = ["first", "last", "linear", "position", "shapley_sets"];

/// A small generator of draws; the set is the same on every machine.
struct Draws(u64);

impl Draws {
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn uniform(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn pick(&mut self, weights: &[f64]) -> usize {
        let mut left = self.uniform() * weights.iter().sum::<f64>();
        weights
            .iter()
            .position(|weight| {
                left -= weight;
                left < 0.0
            })
            .unwrap_or(0)
    }
}

struct Row {
    steps: Vec<NameId>,
    conversions: f64,
    nulls: f64,
    value: f64,
}

impl Row {
    fn walk(&self) -> Walk<'_> {
        Walk { steps: &self.steps, conversions: self.conversions, nulls: self.nulls, value: self.value }
    }
}

/// Paths of 12 channels, a few common and many rare, sticky, mostly short with a long tail.
fn generate(rows: usize) -> Vec<Row> {
    let mut draws = Draws(1);
    let share: Vec<f64> = (0..CHANNELS).map(|channel| 0.55_f64.powi(channel as i32)).collect();
    let next: Vec<Vec<f64>> = (0..CHANNELS)
        .map(|from| {
            let weight = |to: usize, draws: &mut Draws| {
                if from == to { 2.5 * share[to] + 0.05 } else { share[to] * (0.3 + 1.4 * draws.uniform()) }
            };
            (0..CHANNELS).map(|to| weight(to, &mut draws)).collect()
        })
        .collect();
    let mut row = || {
        let mut steps = vec![draws.pick(&share) as NameId];
        let mean = if draws.uniform() < 0.05 { 20.0 } else { 7.0 };
        while draws.uniform() < 1.0 - 1.0 / mean && steps.len() < 89 {
            let last = steps.last().map_or(0, |step| *step as usize);
            steps.push(draws.pick(&next[last]) as NameId);
        }
        let conversions = if draws.uniform() < 0.3 { 1.0 + (draws.uniform() * 12.0).floor() } else { 0.0 };
        let nulls = (draws.uniform() * 12.0).floor();
        Row { steps, conversions, nulls, value: conversions * (1.0 + (draws.uniform() * 600.0).floor() / 100.0) }
    };
    (0..rows).map(|_| row()).collect()
}

fn text_of(rows: &[Row]) -> String {
    let mut text = String::from("path,total_conversions,total_conversion_value,total_null\n");
    for row in rows {
        let steps: Vec<String> = row.steps.iter().map(|step| format!("channel{step}")).collect();
        writeln!(text, "{},{},{:.2},{}", steps.join(" > "), row.conversions, row.value, row.nulls).unwrap();
    }
    text
}

/// The best of several rounds: the machine has other work, and what it takes away is no property of this code.
fn best(mut work: impl FnMut()) -> Duration {
    let mut once = || {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    (0..ROUNDS).map(|_| once()).min().unwrap()
}

fn print(what: &str, rows: usize, time: Duration, limit: &str) {
    let (ms, rate) = (time.as_secs_f64() * 1e3, rows as f64 / time.as_secs_f64());
    println!("{what:<52} {ms:>10.2} ms {rate:>14.0} rows/s   {limit}");
}

fn from_text(models: &[&str], text: &str) {
    let mut study = Study::new(models.iter().copied(), true, false, &CustomRules::default()).unwrap();
    let (mut reader, mut line) = (Cursor::new(text), Vec::new());
    reader.read_until(b'\n', &mut line).unwrap();
    let (mut file, _) = PathFile::open(&line, b'>').unwrap();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line).unwrap() == 0 {
            break;
        }
        let walk = file.line(&line, &mut study.words.channels).unwrap().unwrap();
        study.add(&walk);
    }
    std::hint::black_box(study.answers(0, 0));
}

fn from_rows(models: &[&str], rows: &[Row]) {
    let mut study = Study::new(models.iter().copied(), true, false, &CustomRules::default()).unwrap();
    for channel in 0..CHANNELS {
        study.words.channels.id(format!("channel{channel}").as_bytes()).unwrap();
    }
    rows.iter().for_each(|row| study.add(&row.walk()));
    std::hint::black_box(study.answers(0, 0));
}

fn read_only(text: &str) {
    let (mut reader, mut line, mut bytes) = (Cursor::new(text), Vec::new(), 0);
    loop {
        line.clear();
        match reader.read_until(b'\n', &mut line).unwrap() {
            0 => break,
            count => bytes += count,
        }
    }
    std::hint::black_box(bytes);
}

fn markov(rows: &[Row]) {
    for (order, limit) in [(1, "<= 10 ms"), (2, "<= 15 ms"), (3, "<= 60 ms"), (4, "<= 300 ms"), (5, "")] {
        let mut shape = (0, 0);
        let time = best(|| {
            let mut counts = Counts::new(order);
            for row in rows {
                counts.add(&row.steps, row.conversions, row.nulls, row.value);
            }
            shape = (counts.states(), counts.transitions());
            std::hint::black_box(removal_effects(&counts, CHANNELS));
        });
        let what = format!("markov:{order} exact, {} states, {} transitions", shape.0, shape.1);
        print(&what, rows.len(), time, limit);
    }
}

/// Journeys of eight touches, their lines made on the fly, so that the file is never anywhere whole.
fn touches_in_bounded_memory() {
    let touches: usize =
        std::env::var("TALLYSTICK_BENCH_TOUCHES").ok().and_then(|count| count.parse().ok()).unwrap_or(10_000_000);
    let models = ["linear", "position", "time_decay_7d", "w_shaped", "markov:3", "shapley_sets"];
    let mut study = Study::new(models, false, false, &CustomRules::default()).unwrap();
    let (mut touch_file, _) = TouchFile::open(b"journey_id,seq,ts,channel,milestone").unwrap();
    let (mut journey_file, _) = JourneyFile::open(b"journey_id,converted,conversion_ts,value_cents").unwrap();
    let (mut draws, mut line, mut gathered) = (Draws(2), String::new(), Vec::new());
    let lookback = Lookback { days: Some(90), steps: None };
    let before = peak_memory();
    let start = Instant::now();
    for journey in 0..touches / 8 {
        gathered.clear();
        for seq in 1..=8 {
            let (day, channel) = (seq * 3 + draws.draw() % 3, draws.draw() % 12);
            let mark = if seq == 2 { "lead_created" } else { "" };
            line.clear();
            write!(line, "J{journey:08},{seq},2026-03-{day:02}T10:00:00Z,channel{channel},{mark}").unwrap();
            let read = touch_file.line(line.as_bytes(), &mut study.words).unwrap().unwrap();
            touch_file.gather(read.touch, &mut gathered).unwrap();
        }
        line.clear();
        if journey % 8 == 0 {
            write!(line, "J{journey:08},1,2026-03-28T10:00:00Z,{}", 1_000 + draws.draw() % 90_000).unwrap();
        } else {
            write!(line, "J{journey:08},0,,0").unwrap();
        }
        let end = journey_file.line(line.as_bytes()).unwrap().unwrap();
        sort(&mut gathered);
        let window = lookback.window(&gathered, end.conversion.map(|(at, _)| at));
        study.add_journey(window, end.conversion.map(|(_, cents)| cents), |_, _, _| ());
    }
    std::hint::black_box(study.answers(0, 0));
    let what = format!("{} touches of journeys, {} models", touches, models.len());
    let grown = peak_memory().zip(before).map_or(0, |(after, before)| after.saturating_sub(before));
    print(&what, touches, start.elapsed(), &format!("peak memory grew by {grown} KiB"));
}

/// The most memory this process ever had, in KiB, where the system says it.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix("kB")?.trim().parse().ok()
}

fn peers(small: &Path, large: &Path) {
    let Ok(python) = std::env::var("TALLYSTICK_BENCH_PYTHON") else {
        println!("peers: not timed, TALLYSTICK_BENCH_PYTHON is not set");
        return;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/benches/peers/attribution.py");
    let status = Command::new(python).arg(script).args([small, large]).status().expect("the peers' Python starts");
    assert!(status.success(), "the peers' script failed");
}

fn main() {
    let (rows, many) = (generate(10_000), generate(500_000));
    let mut distinct: Vec<&[NameId]> = rows.iter().map(|row| row.steps.as_slice()).collect();
    distinct.sort_unstable();
    distinct.dedup();
    let longest = rows.iter().map(|row| row.steps.len()).max().unwrap();
    let conversions: f64 = rows.iter().map(|row| row.conversions).sum();
    println!(
        "{} rows, {CHANNELS} channels, {} distinct paths, longest {longest}, {conversions} conversions; best of {ROUNDS}",
        rows.len(),
        distinct.len()
    );
    markov(&rows);
    let (small, large) = (text_of(&rows), text_of(&many));
    println!("text of {} bytes a row:", small.len() / rows.len());
    for (text, rows) in [(&small, rows.len()), (&large, many.len())] {
        print("reading lines alone (the limit)", rows, best(|| read_only(text)), "");
        print(
            "first, last, linear, position, shapley_sets",
            rows,
            best(|| from_text(&FIVE, text)),
            ">= 1500000 rows/s",
        );
        print("markov:1 from text", rows, best(|| from_text(&["markov:1"], text)), "500000 rows: <= 150 ms");
    }
    print("the five from coded paths", many.len(), best(|| from_rows(&FIVE, &many)), ">= 5000000 rows/s");
    print("shapley_sets from coded paths", rows.len(), best(|| from_rows(&["shapley_sets"], &rows)), "<= 5 ms");
    for game in ["shapley_rate", "shapley_ordered", "shapley_counterfactual_path"] {
        print(&format!("{game} from coded paths"), rows.len(), best(|| from_rows(&[game], &rows)), "rate: <= 50 ms");
    }
    touches_in_bounded_memory();
    let folder = tempfile::tempdir().unwrap();
    let (small_path, large_path) = (folder.path().join("small.csv"), folder.path().join("large.csv"));
    std::fs::write(&small_path, &small).unwrap();
    std::fs::write(&large_path, &large).unwrap();
    peers(&small_path, &large_path);
}
