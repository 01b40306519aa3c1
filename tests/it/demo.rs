//! The demo as a newcomer meets it: it starts, prints three commands, and each of them works as printed.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::server::PROGRAM;

/// A running demo; dropping it ends it.
pub struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _ended = self.0.wait();
    }
}

/// Starts the demo on a free port and returns the lines that it prints until it serves.
pub fn start(folder: &Path) -> (Demo, Vec<String>) {
    let mut child = Command::new(PROGRAM)
        .args(["demo", "--listen", "127.0.0.1:0", "--seconds", "300", "--data"])
        .arg(folder.join("demo"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stdout = child.stdout.take().unwrap();
    let (said, heard) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _nobody = said.send(line);
        }
    });
    let mut lines = Vec::new();
    while lines.last().is_none_or(|line: &String| !line.starts_with("Ctrl-C")) {
        lines.push(heard.recv_timeout(Duration::from_secs(180)).unwrap_or_else(|_| panic!("no demo after {lines:#?}")));
    }
    (Demo(child), lines)
}

/// Runs a line as a person would who copies it into a shell: status, output and what it complained of.
fn shell(line: &str, folder: &Path) -> (bool, String, String) {
    let mut child = Command::new("sh")
        .args(["-c", line])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut output, mut complaint) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut output).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
    (child.wait().unwrap().success(), output, complaint)
}

#[test]
fn commands_that_the_demo_prints_work_as_printed() {
    let folder = tempfile::tempdir().unwrap();
    let started = std::time::Instant::now();
    let (_demo, lines) = start(folder.path());
    let next = lines.iter().position(|line| line.starts_with("Next,")).unwrap();
    let commands: Vec<&str> = lines[next + 1..].iter().filter_map(|line| line.strip_prefix("  ")).collect();
    assert_eq!(commands.len(), 3, "{lines:#?}");
    let ready = started.elapsed();
    for command in &commands {
        let (done, output, complaint) = shell(command, folder.path());
        assert!(done && output.trim().len() > 20, "{command}\n{output}\n{complaint}");
    }
    let (_, roi, _) = shell(commands[0], folder.path());
    let roi: serde_json::Value = serde_json::from_str(&roi).unwrap();
    let rows = roi["rows"].as_array().unwrap();
    assert!(rows.len() > 2, "{roi:#}");
    // Contacts were asked about first, all but some: most money stands on a whole trail, some does not, and costs find their leads.
    let fetch = |path: &str| -> serde_json::Value {
        let (_, answer, _) = shell(&commands[0].replace("/v1/views/roi?by=campaign", path), folder.path());
        serde_json::from_str(&answer).unwrap()
    };
    let compliant = fetch("/v1/views/roi/compliant?by=");
    let share: f64 = compliant["totals"][0]["compliant_share"].as_str().unwrap().parse().unwrap();
    assert!((0.5..0.99).contains(&share), "{share}");
    assert!(!compliant["broken"].as_array().unwrap().is_empty() && !compliant["exposure"].is_null());
    let money = fetch("/v1/views/roi?by=")["totals"]["money"][0].clone();
    for cash in ["received", "paid"] {
        let amount: f64 = money[cash]["amount"].as_str().unwrap().parse().unwrap();
        assert!(amount > 100.0, "sellers and vendors are settled every fortnight: {money}");
    }
    let states = fetch("/v1/views/leads?by=state&allocate=leads");
    assert_eq!(states["items"].as_array().unwrap().len(), 6, "{states:#}");
    assert_eq!(states["totals"]["leads"]["difference"]["amount"], "0.00");
    let (_, verified, _) = shell(commands[1], folder.path());
    assert!(verified.contains("VERIFIED"), "{verified}");
    assert!(folder.path().join("bundle.zip").is_file());
    // The twin: the same commands fail where they should. Another key does not fetch, another bundle does not verify.
    let refused = commands[0].replace("tsk_", "tsk_x");
    assert!(shell(&refused, folder.path()).1.contains("\"code\""), "a wrong key is answered with a problem");
    let mut bundle = std::fs::read(folder.path().join("bundle.zip")).unwrap();
    let middle = bundle.len() / 2;
    bundle[middle] ^= 1;
    std::fs::write(folder.path().join("bundle.zip"), bundle).unwrap();
    let (_, verify) = commands[2].split_once("&&").unwrap();
    assert!(!shell(verify, folder.path()).0, "a bundle with a flipped bit verifies");
    println!("demo ready after {ready:?}; 3 of 3 printed commands work, {} campaigns", rows.len());
}

#[test]
fn a_demo_for_some_seconds_ends_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(PROGRAM)
        .args(["demo", "--listen", "127.0.0.1:0", "--seconds", "1", "--data"])
        .arg(folder.path().join("demo"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Seeding takes some seconds; one that waits for a signal would never end.
    for _ in 0..1_200 {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{status}");
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    child.kill().unwrap();
    panic!("the demo did not end");
}
