//! The last step of an erasure: `subject.erased`, which whoever verifies later takes as the reason for what is missing.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::EraseError;
use super::journal::{DoomedKey, Erasure, State};
use super::person::{Person, erased_at};
use super::steps::Run;
use crate::domain::ids::{EventId, SubjectId};
use crate::domain::time::Quarter;
use crate::ingest::Ledger;

/// Keys that one `subject.erased` names; its schema takes 500.
const KEYS_AN_ENTRY: usize = 500;

impl Run<'_> {
    /// Records the end of each erasure that is not recorded yet.
    pub(super) async fn record(&mut self, people: &BTreeMap<EventId, Person>) -> Result<(), EraseError> {
        let size = self.ledger.size();
        let (mut events, mut of) = (Vec::new(), Vec::new());
        for (number, erasure) in self.going.iter().enumerate() {
            let said = |subject: &SubjectId| {
                let person = people.get(&erasure.erasure);
                person.is_some_and(|person| person.erased.contains(&(erasure.erasure, *subject)))
            };
            if erasure.subjects.iter().all(said) {
                continue;
            }
            for item in &erasure.items {
                let data = json!({ "item": item.position, "outcome": "erased", "key": item.key.key });
                events.push(("quarantine.resolved", None, data));
            }
            for subject in erasure.subjects.iter().filter(|subject| !said(subject)) {
                // Keys of items are named with the first pseudonym.
                let first = erasure.subjects.first() == Some(subject);
                let known = |key: &&DoomedKey| erasure.subjects.contains(&key.owner);
                let own = erasure.keys.iter().filter(|key| key.owner == *subject || first && !known(key));
                let own: Vec<&DoomedKey> = own.collect();
                let mut chunks: Vec<&[&DoomedKey]> = own.chunks(KEYS_AN_ENTRY).collect();
                if chunks.is_empty() {
                    chunks.push(&[]);
                }
                for keys in chunks {
                    of.push((events.len(), number));
                    events.push(("subject.erased", Some(*subject), erased_data(erasure, keys, size)));
                }
            }
        }
        let positions = self.say(events).await?;
        for (event, number) in of {
            if let (Some(position), Some(erasure)) = (positions.get(event), self.going.get_mut(number)) {
                erasure.recorded_at.push(*position);
            }
        }
        Ok(())
    }

    /// Closes the journal objects.
    pub(super) async fn finish(&mut self) -> Result<(), EraseError> {
        let mut going = std::mem::take(&mut self.going);
        for erasure in &mut going {
            if erasure.recorded_at.is_empty() {
                erasure.recorded_at = recorded_at(self.ledger, erasure).await?;
            }
            erasure.state = State::Done;
            erasure.done = Some(self.now);
            self.save(erasure)?;
        }
        self.going = going;
        Ok(())
    }
}

/// Where an erasure was recorded by a process that died right after.
async fn recorded_at(ledger: &Ledger, erasure: &Erasure) -> Result<Vec<u64>, EraseError> {
    let mut positions = Vec::new();
    for subject in &erasure.subjects {
        positions.extend(erased_at(ledger, *subject, &erasure.erasure).await?);
    }
    positions.sort_unstable();
    Ok(positions)
}

fn erased_data(erasure: &Erasure, keys: &[&DoomedKey], size: u64) -> Value {
    let keys: Vec<Value> = keys
        .iter()
        .map(|key| json!({ "key": key.key, "class": key.class.name(), "quarter": key.quarter_text() }))
        .collect();
    let kept: Vec<Value> =
        erasure.kept.iter().map(|kept| json!({ "class": kept.class.name(), "ground": kept.ground })).collect();
    let mut data = json!({
        "erasure": erasure.erasure,
        "keys": keys,
        "kept": kept,
        "suppression_token_kept": erasure.tokens > 0,
        "kek_epoch": erasure.kek_epoch,
        "irrecoverable_on": erasure.irrecoverable_on,
        "ledger_size": size,
    });
    let until = erasure.kept.iter().map(|kept| kept.until).max().flatten();
    if let (Some(until), true, Value::Object(data)) = (until, erasure.tokens > 0, &mut data) {
        data.insert("map_until".to_owned(), Value::String(Quarter::of(until).to_string()));
    }
    data
}
