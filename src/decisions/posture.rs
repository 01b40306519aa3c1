//! What holds for everybody: emergencies, registrations, the switches in force; and what is known of people by their
//! identifiers alone: tokens that outlived an erasure, and items in quarantine that may be a STOP.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::gate::DecideError;
use crate::domain::email::Email;
use crate::domain::identifier::{Identifier, IdentifierKind};
use crate::domain::parts::PartKind;
use crate::domain::phone::Phone;
use crate::domain::time::Timestamp;
use crate::ingest::Ledger;
use crate::ingest::noted::NotedFor;
use crate::ingest::read::Opened;
use crate::policy::contact::{Act, Number, Switches, What};

/// Identifiers taken from one item in quarantine.
const ITEM_IDENTIFIERS_MAX: usize = 64;

/// What a question needs of it.
#[derive(Debug, Default)]
pub(super) struct Posture {
    pub acts: Vec<Act>,
    pub switches: Switches,
}

/// The fold of every noted entry so far.
#[derive(Debug, Default)]
struct Folded {
    read: usize,
    acts: Vec<Act>,
    switches: Switches,
    /// Kept suppression tokens, in hexadecimal, with the time each was recorded.
    tokens: HashMap<String, Timestamp>,
    /// Items that named a blind index.
    suspects: HashMap<[u8; 16], Vec<Suspect>>,
    /// What an open item named.
    items: HashMap<u64, Vec<[u8; 16]>>,
}

/// An item in quarantine that may be a STOP.
#[derive(Debug, Clone, Copy)]
struct Suspect {
    position: u64,
    opened: Timestamp,
    closed: Option<Timestamp>,
}

/// The newest fold.
#[derive(Debug, Default)]
pub(super) struct Postures {
    folded: tokio::sync::Mutex<Folded>,
}

impl Postures {
    /// The posture up to now, with what was known of these identifiers by `known`.
    pub async fn of(
        &self,
        ledger: &Ledger,
        identifiers: &[Identifier],
        known: Timestamp,
    ) -> Result<Posture, DecideError> {
        let mut folded = self.folded.lock().await;
        for position in ledger.noted_from(NotedFor::Gate, folded.read).await? {
            let opened = ledger.open_entry(position).await?;
            folded.add(ledger, &opened);
            folded.read += 1;
        }
        let mut acts = folded.acts.clone();
        for identifier in identifiers {
            acts.extend(folded.known_of(ledger, identifier, known));
        }
        Ok(Posture { acts, switches: folded.switches })
    }
}

fn by_identifier(recorded: Timestamp, position: Option<u64>, what: What) -> Act {
    Act { at: recorded, recorded, number: Number::Unsaid, position, what }
}

impl Folded {
    fn known_of(&self, ledger: &Ledger, identifier: &Identifier, known: Timestamp) -> Vec<Act> {
        let token = ledger.secrets.suppression.suppression_token(identifier.kind, &identifier.value);
        let erased = self.tokens.get(&data_encoding::HEXLOWER.encode(&token));
        let erased = erased.map(|recorded| by_identifier(*recorded, None, What::Erased { token_kept: true }));
        let blind = ledger.secrets.blind.blind_index(identifier.kind, &identifier.value);
        let items = self.suspects.get(&blind).into_iter().flatten();
        let open = items.filter(|item| item.closed.is_none_or(|closed| closed > known));
        let items = open.map(|item| by_identifier(item.opened, Some(item.position), What::Reviewed));
        erased.into_iter().chain(items).collect()
    }

    fn add(&mut self, ledger: &Ledger, opened: &Opened) {
        let entry = &opened.entry;
        let json = |kind| -> Value {
            opened.plaintext(kind).and_then(|bytes| serde_json::from_slice(bytes).ok()).unwrap_or(Value::Null)
        };
        match entry.event_type.as_str() {
            "quarantine.received" => {
                let named = identifiers_in(&json(PartKind::Raw));
                let blinds = named.iter().map(|named| ledger.secrets.blind.blind_index(named.kind, &named.value));
                let blinds: Vec<[u8; 16]> = blinds.collect();
                for blind in &blinds {
                    let item = Suspect { position: entry.position, opened: entry.recorded, closed: None };
                    self.suspects.entry(*blind).or_default().push(item);
                }
                self.items.insert(entry.position, blinds);
            }
            closing if closing.starts_with("quarantine.") => {
                let public = json(PartKind::Public);
                let item = public.get("data").and_then(|data| data.get("item")).and_then(Value::as_u64);
                for blind in item.and_then(|item| self.items.remove(&item)).unwrap_or_default() {
                    let named = self.suspects.get_mut(&blind).into_iter().flatten();
                    for suspect in named.filter(|suspect| Some(suspect.position) == item) {
                        suspect.closed = Some(entry.recorded);
                    }
                }
            }
            event_type => self.policy(event_type, entry.recorded, entry.position, &json(PartKind::Business)),
        }
    }

    fn policy(&mut self, event_type: &str, recorded: Timestamp, position: u64, business: &Value) {
        let none = Value::Null;
        let data = business.get("data").unwrap_or(&none);
        let time = |of: &Value, name: &str| of.get(name).and_then(Value::as_str).and_then(|text| text.parse().ok());
        let text = |name: &str| data.get(name).and_then(Value::as_str).map(str::to_owned);
        let at: Timestamp = time(business, "occurred").unwrap_or(recorded).min(recorded);
        let what = match event_type {
            "policy.emergency_declared" => match (text("state"), time(data, "until")) {
                (Some(state), Some(until)) => What::Emergency { state, from: time(data, "from").unwrap_or(at), until },
                _ => return,
            },
            "policy.registration_recorded" => match text("state") {
                Some(state) => What::Registered {
                    state,
                    from: time(data, "from").unwrap_or(at),
                    until: time(data, "until"),
                    holder: text("holder"),
                },
                None => return,
            },
            "policy.pack_activated" => {
                let set = data.get("switches").and_then(Value::as_array).into_iter().flatten();
                let set: Map<String, Value> = set.filter_map(switch).collect();
                // A switch that this version does not know leaves the strict reading.
                self.switches = self.switches.with(&set).unwrap_or(self.switches);
                return;
            }
            "suppression.token_kept" => {
                self.tokens.extend(text("token").map(|token| (token, recorded)));
                return;
            }
            _ => return,
        };
        self.acts.push(Act { at, recorded, number: Number::Unsaid, position: Some(position), what });
    }
}

/// `{"switch": "name", "value": "text"}`; the words true and false are booleans.
fn switch(item: &Value) -> Option<(String, Value)> {
    let name = item.get("switch")?.as_str()?.to_owned();
    let value = match item.get("value")?.as_str()? {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        word => Value::String(word.to_owned()),
    };
    Some((name, value))
}

/// Phone numbers and addresses that an item names, under members that usually hold them. Too many is safe: contact waits.
fn identifiers_in(item: &Value) -> Vec<Identifier> {
    let mut found = Vec::new();
    collect(item, false, &mut found);
    found
}

fn collect(value: &Value, named: bool, found: &mut Vec<Identifier>) {
    if found.len() >= ITEM_IDENTIFIERS_MAX {
        return;
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, named, found)),
        Value::Object(members) => {
            for (name, value) in members {
                let name = name.to_ascii_lowercase();
                let holds = ["phone", "mobile", "number", "email", "mail"].iter().any(|word| name.contains(word));
                collect(value, holds || name == "from" || name == "lead", found);
            }
        }
        Value::String(text) if named && text.len() <= 254 => {
            if let Ok(email) = Email::parse(text) {
                found.push(Identifier { kind: IdentifierKind::Email, value: email.into_string() });
            } else if let Ok(phone) = Phone::parse(text, Phone::DEFAULT_COUNTRY) {
                found.push(Identifier { kind: IdentifierKind::Phone, value: phone.into_string() });
            }
        }
        _ => {}
    }
}
