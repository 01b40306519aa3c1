//! Event scripts: the same events in the same order, for whoever asks.

use std::sync::Arc;

use serde_json::{Value, json};
use tallystick::chain::entry::EntryRef;
use tallystick::ingest::{Ledger, Outcome, Receipt};

/// SplitMix64: a repeatable stream.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % sides
    }

    pub fn of<T: Clone>(&mut self, list: &[T]) -> T {
        list[usize::try_from(self.roll(list.len() as u64)).unwrap()].clone()
    }
}

/// Where all of them come from.
pub const SOURCE: &str = "/script";

/// The id of event `number`.
pub fn id(number: u64) -> String {
    format!("event-{number}")
}

/// Event `number` of a script about `people` persons.
pub fn event(number: u64, people: u64) -> Value {
    let person = number % people;
    let phone = format!("+161455501{:02}", person % 100);
    let (event_type, data) = match number % 4 {
        0 | 1 => (
            "consent.granted",
            json!({
                "kind": "pewc", "phone": phone, "sellers": ["broker-a"], "channels": ["sms"], "purposes": ["marketing"],
                "note": format!("form {number}"),
            }),
        ),
        2 => ("consent.revoked", json!({ "phone": phone, "method": "reply", "text": format!("STOP {number}") })),
        _ => (
            "lead.received",
            json!({ "lead": format!("L-{number}"), "phone": phone, "email": format!("lead{person}@example.com") }),
        ),
    };
    json!({
        "specversion": "1.0", "id": id(number), "source": SOURCE, "type": event_type,
        "subject": format!("lead-{person}"), "time": "2026-11-19T12:00:00Z", "data": data,
    })
}

/// Types that the service writes beside what is posted.
pub const OWN: [&str; 8] = [
    "access.key_created",
    "identifier.bound",
    "identifier.conflict",
    "key.rotated",
    "ledger.created",
    "log.key_rotated",
    "subjects.sealed",
    "quarantine.resolved",
];

/// How many entries somebody posted.
pub async fn posted(ledger: &Arc<Ledger>) -> u64 {
    let store = ledger.store();
    let size = store.head().await.unwrap().map_or(0, |head| head.size);
    let entries = store.entries_from(0, size).await.unwrap();
    let types = entries.iter().map(|(_, entry)| EntryRef::decode(entry).unwrap().event_type);
    types.filter(|found| !OWN.contains(found)).count() as u64
}

/// The first receipt of an event that was posted again.
pub fn duplicate(outcome: Outcome) -> Receipt {
    match outcome {
        Outcome::Duplicate { receipt, compared: true } => receipt,
        other => panic!("not a duplicate: {other:?}"),
    }
}
