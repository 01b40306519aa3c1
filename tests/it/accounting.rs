//! The journal as hledger and Beancount read it: they accept it, their balances are ours, and a wrong figure is refused.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tallystick::domain::money::Micros;
use tallystick::domain::time::Timestamp;
use tallystick::exports::accounting::account_name;
use tallystick::store::views::Account;
use tallystick::store::{Location, Store};

use crate::demo::start;
use crate::server::PROGRAM;

/// A program of somebody else's; where it is missing the test says so, and fails where the suite must be whole.
fn program(name: &str, variable: &str) -> Option<PathBuf> {
    let named = std::env::var_os(variable).map(PathBuf::from);
    let found = named.unwrap_or_else(|| PathBuf::from(name));
    if Command::new(&found).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok() {
        return Some(found);
    }
    assert!(std::env::var_os("CI").is_none(), "{name} is missing, and CI must have it");
    eprintln!("NOT TESTED: {name} is not here; ops/test installs it");
    None
}

fn journal(data: &Path, format: &str) -> String {
    let done = Command::new(PROGRAM).args(["journal", "--format", format, "--data"]).arg(data).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// Runs a program on a text: whether it accepts it, and what it prints.
fn read_by(program: &Path, arguments: &[&str], text: &str) -> (bool, String) {
    let mut file = tempfile::Builder::new().suffix(".journal").tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let path = file.path().to_str().unwrap();
    let arguments: Vec<&str> =
        arguments.iter().map(|argument| if *argument == "FILE" { path } else { argument }).collect();
    let done = Command::new(program).args(arguments).output().unwrap();
    (done.status.success(), String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr))
}

type Balances = BTreeMap<(String, String), i64>;

async fn ours(data: &Path) -> Balances {
    let ledger = std::fs::read_dir(data.join("ledgers")).unwrap().next().unwrap().unwrap();
    let id = ledger.file_name().to_str().unwrap().parse().unwrap();
    let store = Store::open_reading(&Location::Sqlite(ledger.path()), id).await.unwrap();
    let rows = store.money_balances(Timestamp::MAX, Timestamp::MAX).await.unwrap();
    let rows = rows
        .into_iter()
        .map(|(code, currency, micros)| ((account_name(Account::from_code(code).unwrap()), currency), micros));
    rows.filter(|(_, micros)| *micros != 0).collect()
}

/// Lines `account,currency,amount`.
fn theirs(text: &str) -> Balances {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let lines = lines.map(|line| {
        let fields: Vec<&str> = line.split(',').map(|field| field.trim().trim_matches('"')).collect();
        let [account, currency, amount] = fields[..] else { panic!("{line}") };
        ((account.to_owned(), currency.to_owned()), Micros::parse(amount).unwrap().micros())
    });
    lines.filter(|(_, micros)| *micros != 0).collect()
}

/// The text with one posting a cent larger.
fn with_a_cent_more(text: &str) -> String {
    let (before, after) = text.split_once("Income:Lead-Sales  -").unwrap();
    let (amount, rest) = after.split_once(' ').unwrap();
    let more = Micros::parse(amount).unwrap().plus(Micros::from_micros(10_000)).unwrap();
    format!("{before}Income:Lead-Sales  -{more} {rest}")
}

#[tokio::test(flavor = "multi_thread")]
async fn bookkeepers_programs_accept_the_journal_and_have_our_balances() {
    let folder = tempfile::tempdir().unwrap();
    let (_demo, _) = start(folder.path());
    let data = folder.path().join("demo");
    let ours = ours(&data).await;
    assert!(ours.len() > 5, "{ours:?}");
    if let Some(hledger) = program("hledger", "TALLYSTICK_TEST_HLEDGER") {
        let text = journal(&data, "hledger");
        let (accepted, said) = read_by(&hledger, &["-f", "FILE", "check"], &text);
        assert!(accepted, "{said}");
        let format = ["-f", "FILE", "balance", "--flat", "--no-total", "--layout=tidy", "-O", "csv"];
        let (_, said) = read_by(&hledger, &format, &text);
        // Columns of the tidy layout: account, period, start, end, commodity, value.
        let rows = said.lines().skip(1).map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            format!("{},{},{}\n", fields[0], fields[fields.len() - 2], fields[fields.len() - 1])
        });
        assert_eq!(theirs(&rows.collect::<String>()), ours);
        let (accepted, _) = read_by(&hledger, &["-f", "FILE", "check"], &with_a_cent_more(&text));
        assert!(!accepted, "a cent too much was accepted");
    }
    if let Some(check) = program("bean-check", "TALLYSTICK_TEST_BEAN_CHECK") {
        let text = journal(&data, "beancount");
        let (accepted, said) = read_by(&check, &["FILE"], &text);
        assert!(accepted, "{said}");
        let sums = "import sys, collections\nfrom beancount import loader\nfrom beancount.core import data\n\
            sums = collections.Counter()\nentries, errors, _ = loader.load_file(sys.argv[1])\nassert not errors\n\
            for entry in entries:\n    for posting in getattr(entry, 'postings', []) or []:\n        \
            sums[posting.account, posting.units.currency] += posting.units.number\n\
            for (account, currency), amount in sums.items(): print(f'{account},{currency},{amount:f}')";
        let python = check.with_file_name("python3");
        let (_, said) = read_by(&python, &["-c", sums, "FILE"], &text);
        assert_eq!(theirs(&said), ours);
        let (accepted, _) = read_by(&check, &["FILE"], &with_a_cent_more(&text));
        assert!(!accepted, "a cent too much was accepted");
    }
}
