//! The outside client: it writes down what it is about to post and what was acknowledged, and the judge holds that against
//! the log.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use tallystick::chain::entry::EntryRef;
use tallystick::chain::leaf::leaf_hash;
use tallystick::exports::ledger_verify::VerifyOptions;
use tallystick::ingest::secrets::LedgerSecrets;

use crate::engines::verify;
use crate::script;
use crate::server::{Client, Data};

/// What a poster was told: the position and leaf hash, where the answer had them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    pub position: Option<u64>,
    pub leaf: Option<String>,
}

/// Intents and acknowledgements of every poster.
#[derive(Clone, Default)]
pub struct Journal {
    /// Event numbers posted, each with how often.
    pub intents: HashMap<u64, u32>,
    pub acks: HashMap<u64, Ack>,
    /// Two acknowledgements of one event that disagree.
    pub contradictions: Vec<String>,
    next: u64,
}

/// A journal that posters share.
pub type Shared = Arc<Mutex<Journal>>;

pub fn lock(journal: &Shared) -> MutexGuard<'_, Journal> {
    journal.lock().unwrap()
}

/// The journal as it is now.
pub fn snapshot(journal: &Shared) -> Journal {
    lock(journal).clone()
}

impl Journal {
    /// Numbers of the next events to post: new ones, and now and then one that nobody has acknowledged yet.
    pub fn next(&mut self, count: usize, random: &mut StdRng) -> Vec<u64> {
        let mut numbers = Vec::with_capacity(count);
        for _ in 0..count {
            let open = if random.random_bool(0.1) { self.unanswered(random) } else { None };
            let number = open.filter(|open| !numbers.contains(open)).unwrap_or_else(|| {
                self.next += 1;
                self.next
            });
            *self.intents.entry(number).or_default() += 1;
            numbers.push(number);
        }
        numbers
    }

    fn unanswered(&self, random: &mut StdRng) -> Option<u64> {
        let number = random.random_range(1..=self.next.max(1));
        (number..=self.next).take(400).find(|number| !self.acks.contains_key(number))
    }

    /// Takes in one event's answer. What was neither recorded nor a duplicate is no acknowledgement.
    pub fn answered(&mut self, number: u64, result: &Value) {
        if !matches!(result["status"].as_str(), Some("recorded" | "duplicate")) {
            self.contradictions.push(format!("event {number} was answered {result}"));
            return;
        }
        let ack = Ack { position: result["position"].as_u64(), leaf: result["leaf"].as_str().map(str::to_owned) };
        if let Some(known) = self.acks.insert(number, ack.clone())
            && known != ack
        {
            self.contradictions.push(format!("event {number} was acknowledged as {known:?} and as {ack:?}"));
        }
    }
}

/// Posts until the connection dies: single events and batches, as fast as they are answered.
pub async fn post_until_cut(address: SocketAddr, key: String, journal: Shared, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let Ok(mut client) = Client::connect(address, &key).await else { return };
    loop {
        let count = if random.random_bool(0.6) { 1 } else { random.random_range(2..=12) };
        let numbers = lock(&journal).next(count, &mut random);
        if post(&mut client, &journal, &numbers).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_micros(random.random_range(0..4_000))).await;
    }
}

/// Posts events and takes in the answer; the status, or what cut the connection.
pub async fn post(client: &mut Client, journal: &Shared, numbers: &[u64]) -> Result<u16, std::io::Error> {
    let events: Vec<Value> = numbers.iter().map(|number| script::event(*number, 50)).collect();
    let body = match events.as_slice() {
        [only] => only.to_string(),
        all => Value::from(all).to_string(),
    };
    let (status, body) = client.send("POST", "/v1/events", "application/json", body).await?;
    if !matches!(status, 200 | 201) {
        assert_eq!(status, 503, "{}", String::from_utf8_lossy(&body));
        tokio::time::sleep(Duration::from_millis(5)).await;
        return Ok(status);
    }
    let answer: Value = serde_json::from_slice(&body).unwrap();
    let results = answer["results"].as_array().cloned().unwrap_or_else(|| vec![answer]);
    assert_eq!(results.len(), numbers.len());
    let mut journal = lock(journal);
    numbers.iter().zip(&results).for_each(|(number, result)| journal.answered(*number, result));
    Ok(status)
}

/// What the judge found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub intents: u64,
    pub acknowledged: u64,
    pub entries: u64,
    /// Acknowledged and not in the log.
    pub lost: u64,
    /// In the log more than once, acknowledged or not.
    pub doubled: u64,
    /// Acknowledged at another position, or with other bytes, than the log has.
    pub moved: u64,
    /// Posted by somebody, and nobody meant to.
    pub foreign: u64,
    /// What `verify` says, with every key.
    pub problems: Vec<String>,
    pub contradictions: Vec<String>,
}

impl Verdict {
    pub fn add(&mut self, other: Verdict) {
        self.intents += other.intents;
        self.acknowledged += other.acknowledged;
        self.entries += other.entries;
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.moved += other.moved;
        self.foreign += other.foreign;
        self.problems.extend(other.problems);
        self.contradictions.extend(other.contradictions);
    }

    /// Nothing that was acknowledged is missing, and nothing is there twice.
    pub fn assert_clean(&self) {
        let found = (self.lost, self.doubled, self.moved, self.foreign);
        assert!(found == (0, 0, 0, 0) && self.problems.is_empty() && self.contradictions.is_empty(), "{self:#?}");
    }

    pub fn figures(&self) -> Value {
        serde_json::json!({
            "intents": self.intents, "acknowledged": self.acknowledged, "entries": self.entries, "lost": self.lost,
            "doubled": self.doubled, "moved": self.moved, "foreign": self.foreign, "problems": self.problems.len(),
        })
    }
}

/// Holds a journal against the log as it is stored: every acknowledged event exactly once, where and as it was acknowledged;
/// every other one at most once; nothing else; and the whole verifies.
pub async fn judge(data: &Data, journal: &Journal) -> Verdict {
    let source = data.reading().await;
    let keyring = source.keyring.clone().unwrap();
    let secrets = LedgerSecrets::open(&source.store, &keyring).await.unwrap();
    let size = source.store.head().await.unwrap().unwrap().size;
    let entries = source.store.entries_from(0, size).await.unwrap();
    let dedupe = |number: u64| secrets.dedupe.dedupe(script::SOURCE, &script::id(number));
    let mut verdict = weigh(&entries, journal, dedupe);
    let report = verify(&source.store, Some(keyring), &VerifyOptions::default()).await;
    verdict.problems = report.problems.iter().map(|problem| format!("{problem:?}")).collect();
    let closed = tokio::time::timeout(std::time::Duration::from_secs(60), source.store.close()).await;
    assert!(closed.is_ok(), "the store that was read does not close");
    verdict
}

/// The judgement itself, on entries as they are stored.
pub fn weigh(entries: &[(u64, Vec<u8>)], journal: &Journal, dedupe: impl Fn(u64) -> [u8; 32]) -> Verdict {
    let mut found: HashMap<[u8; 32], Vec<(u64, String)>> = HashMap::new();
    for (position, bytes) in entries {
        let entry = EntryRef::decode(bytes).unwrap();
        if !script::OWN.contains(&entry.event_type) {
            found.entry(entry.dedupe).or_default().push((*position, leaf_hash(bytes).to_string()));
        }
    }
    let mut verdict = Verdict {
        intents: journal.intents.len() as u64,
        acknowledged: journal.acks.len() as u64,
        entries: entries.len() as u64,
        contradictions: journal.contradictions.clone(),
        ..Verdict::default()
    };
    let mut meant = HashSet::new();
    for number in journal.intents.keys() {
        let dedupe = dedupe(*number);
        meant.insert(dedupe);
        let places = found.get(&dedupe).map(Vec::as_slice).unwrap_or_default();
        verdict.doubled += u64::from(places.len() > 1);
        let Some(ack) = journal.acks.get(number) else { continue };
        let Some((position, leaf)) = places.first() else {
            verdict.lost += 1;
            continue;
        };
        let agrees =
            ack.position.is_none_or(|acked| acked == *position) && ack.leaf.as_ref().is_none_or(|acked| acked == leaf);
        verdict.moved += u64::from(!agrees);
    }
    verdict.foreign = found.keys().filter(|dedupe| !meant.contains(*dedupe)).count() as u64;
    verdict
}
