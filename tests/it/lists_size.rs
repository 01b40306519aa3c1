//! A registry of ten million numbers (with `TALLYSTICK_LONG=1`; else fewer), through the program itself: time, memory, and that
//! everybody on it is found.

use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::evidence;
use crate::script::Dice;

/// Numbers asked about afterwards, on the list and off it.
const ASKED: u64 = 5;

fn numbers() -> u64 {
    if evidence::long() { 10_000_000 } else { 100_000 }
}

const AREAS: [u64; 16] = [212, 213, 214, 215, 216, 312, 313, 314, 404, 412, 512, 513, 614, 702, 713, 801];

/// Number `at` of the registry: area code and seven digits, in no order.
fn number(at: u64) -> (u64, u64) {
    let mixed = at.wrapping_mul(0x9e37_79b1) & 0x00ff_ffff;
    (AREAS[usize::try_from(mixed % 16).unwrap()], 2_000_000 + mixed / 16 * 7)
}

fn write_file(path: &Path) -> u64 {
    let mut file = BufWriter::new(std::fs::File::create(path).unwrap());
    let mut dice = Dice(9);
    for at in 0..numbers() {
        let (area, line) = number(at);
        writeln!(file, "{area},{line}").unwrap();
        if dice.roll(1_000) == 0 {
            writeln!(file, "{area},{line}").unwrap();
        }
    }
    file.into_inner().unwrap().metadata().unwrap().len()
}

/// Runs a command to its end; how long it took and its peak memory in MB.
fn watched(command: &mut Command) -> (Duration, u64, Vec<u8>) {
    let begun = Instant::now();
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with("VmHWM"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1)).and_then(|kib| kib.parse::<u64>().ok());
        peak = peak.max(kib.unwrap_or(0) / 1024);
        std::thread::sleep(Duration::from_millis(20));
    }
    let took = begun.elapsed();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    (took, peak, output.stdout)
}

fn tallystick() -> Command {
    Command::new(env!("CARGO_BIN_EXE_tallystick"))
}

#[test]
fn a_registry_is_taken_in_bounded_memory() {
    let folder = tempfile::tempdir().unwrap();
    let (file, data) = (folder.path().join("registry.csv"), folder.path().join("data"));
    let bytes = write_file(&file);
    assert!(tallystick().args(["init", "--json", "--data"]).arg(&data).output().unwrap().status.success());
    let import = ["lists", "import", "--list", "ndnc", "--as-of", "2026-11-02", "--json", "--data"];
    let (took, peak, output) = watched(tallystick().args(import).arg(&data).arg(&file));
    let done: Value = serde_json::from_slice(&output).unwrap();
    // What the machine needs to bring the same lines in order and drop repeats, with as much memory for it.
    let sorted = folder.path().join("sorted");
    let mut sort = Command::new("sort");
    sort.env("LC_ALL", "C").args(["-u", "-S", "64M", "-T"]).arg(folder.path()).arg("-o").arg(&sorted).arg(&file);
    let (limit, _, _) = watched(&mut sort);
    let distinct = std::fs::read_to_string(&sorted).unwrap().lines().count();
    assert_eq!(done["entries"], json!(distinct));
    for at in 0..ASKED {
        let (area, line) = number(at * (numbers() / ASKED));
        for (line, listed) in [(line, true), (2_000_007 + at, false)] {
            let phone = format!("+1{area}{line}");
            let decide = ["decide", "--json", "--seller", "broker-a", "--phone", &phone, "--data"];
            let answer = tallystick().args(decide).arg(&data).output().unwrap();
            let answer: Value = serde_json::from_slice(&answer.stdout).unwrap();
            let said = answer["reasons"].as_array().unwrap().contains(&json!("NATIONAL_DNC"));
            let on_list = std::process::Command::new("grep")
                .args(["-c", "-x", &format!("{},{}", &phone[2..5], &phone[5..])])
                .arg(&sorted)
                .output()
                .unwrap();
            let on_list = String::from_utf8_lossy(&on_list.stdout).trim() == "1";
            assert_eq!(said, on_list, "{answer}");
            assert!(!listed || said);
        }
    }
    let seconds = |took: Duration| (took.as_secs_f64() * 10.0).round() / 10.0;
    let found = json!({
        "what": "a copy of the national registry through the command line: SQLite, one process",
        "lines": done["rows"], "bytes": bytes, "entries": done["entries"],
        "seconds": seconds(took), "peak_memory_mb": peak,
        "sort_seconds": seconds(limit), "ratio_to_sort": (took.as_secs_f64() / limit.as_secs_f64() * 100.0).round() / 100.0,
        "asked": ASKED * 2, "wrong": 0,
    });
    evidence::write("lists", &found);
    eprintln!("{found}");
}
