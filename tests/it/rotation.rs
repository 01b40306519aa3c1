//! `tallystick keys rotate`: a new wrapping key for all that the vault holds, and a new log key beside a running server.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::engines::postgres_database;
use crate::journal::{Shared, judge, lock, post, snapshot};
use crate::server::{Client, Data, PROGRAM, Server};

fn run(folder: &Path, arguments: &[&str]) -> (bool, Value, String) {
    let mut command = Command::new(PROGRAM);
    let output = command.args(arguments).arg("--data").arg(folder).arg("--json").output().unwrap();
    let told = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.success(), told, String::from_utf8_lossy(&output.stderr).into_owned())
}

async fn post_some(data: &Data, journal: &Shared, from: u64) {
    let server = Server::start(data).await;
    let mut client = Client::connect(server.address, &data.key).await.unwrap();
    for number in from..from + 12 {
        lock(journal).intents.insert(number, 1);
        assert!(matches!(post(&mut client, journal, &[number]).await.unwrap(), 200 | 201), "{}", server.log());
    }
    server.stop_and_log().await;
}

async fn wrapping_key_changes(data: Data) {
    let journal = Shared::default();
    post_some(&data, &journal, 1).await;
    let before = std::fs::read_to_string(data.path().join("kek")).unwrap();
    let (done, told, complaint) = run(&data.path(), &["keys", "rotate", "--kek"]);
    assert!(done, "{complaint}");
    assert_eq!((told["from_epoch"].as_u64(), told["to_epoch"].as_u64()), (Some(1), Some(2)));
    let rewrapped = told["rewrapped"].as_u64().unwrap();
    assert!(rewrapped > 6 && told["remaining"] == 0, "{told}");
    // Everything opens, old and new, also without the old epoch: that is what makes destroying it safe.
    post_some(&data, &journal, 100).await;
    let both = std::fs::read_to_string(data.path().join("kek")).unwrap();
    assert!(both.starts_with(&before) && both.lines().count() == 2, "the old epoch is still there");
    let newest = both.lines().last().unwrap();
    std::fs::write(data.path().join("kek"), format!("{newest}\n")).unwrap();
    post_some(&data, &journal, 200).await;
    let verdict = judge(&data, &snapshot(&journal)).await;
    verdict.assert_clean();
    let (done, verified, complaint) = run(&data.path(), &["verify"]);
    assert!(done && verified["opened"].as_u64().unwrap() > 100, "{verified} {complaint}");
    // The twin: without the new epoch nothing opens.
    std::fs::write(data.path().join("kek"), &before).unwrap();
    assert!(!run(&data.path(), &["keys", "list"]).0, "the old key alone opens a vault that was wrapped anew");
    println!("{rewrapped} keys wrapped anew, {} parts open with the new key alone", verified["opened"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrapping_key_changes_on_sqlite() {
    wrapping_key_changes(Data::init(None)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrapping_key_changes_on_postgres() {
    let Some(url) = postgres_database().await else { return };
    wrapping_key_changes(Data::init(Some(url))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn log_key_changes_beside_a_running_server_and_without_one() {
    let data = Data::init(None);
    let server = Server::start(&data).await;
    let (done, told, complaint) = run(&data.path(), &["keys", "rotate", "--log"]);
    assert!(done && told["overlap_until"].is_string(), "{told} {complaint}");
    let (done, _, _) = run(&data.path(), &["keys", "rotate", "--kek"]);
    assert!(!done, "the wrapping key does not change under a running server");
    server.stop_and_log().await;
    let (done, again, complaint) =
        run(&data.path(), &["keys", "rotate", "--log", "--overlap-days", "0", "--reason", "lost"]);
    assert!(done && again["verifier_key"] != told["verifier_key"], "{again} {complaint}");
    let (done, verified, complaint) = run(&data.path(), &["verify"]);
    assert!(done, "{verified} {complaint}");
    assert!(!run(&data.path(), &["keys", "rotate"]).0, "which key is to be said");
}
