//! What the log holds of a person: their pseudonyms, sealed parts, identifiers, holds, and what was said of their erasure.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Deserialize;

use super::EraseError;
use crate::chain::decode::EntryRef;
use crate::domain::hold::Hold;
use crate::domain::identifier::{Identifier, IdentifierKind};
use crate::domain::ids::{EventId, KeyId, SubjectId};
use crate::domain::parts::{PartKind, RetentionClass};
use crate::domain::time::Timestamp;
use crate::ingest::Ledger;
use crate::ingest::read::{Opened, ReadError, slot_of};
use crate::store::DekSlot;

/// Pseudonyms of one person that an erasure takes together (`subject.erasure_started`).
const SUBJECTS_MAX: usize = 64;

/// A sealed part that dies with a key of the person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldPart {
    /// Its entry.
    pub position: u64,
    /// Its number there.
    pub part: u8,
    /// Its key's place in the vault.
    pub slot: DekSlot,
    /// Its key.
    pub key: KeyId,
}

/// Everything that an erasure has to know of a person.
#[derive(Debug, Default)]
pub struct Person {
    /// Their pseudonyms: the one asked for and those merged with it.
    pub subjects: Vec<SubjectId>,
    /// Sealed parts under their keys, whether their bytes still exist or not.
    pub parts: Vec<HeldPart>,
    /// Phones and e-mails, as far as they can still be read.
    pub identifiers: BTreeSet<Identifier>,
    /// Holds ever placed, by name.
    pub holds: Vec<Hold>,
    /// Erasures begun: id and position of the fence.
    pub fences: Vec<(EventId, SubjectId, u64)>,
    /// Erasures completed: id and pseudonym.
    pub erased: Vec<(EventId, SubjectId)>,
    /// Suppression tokens that fences carry, as far as they can still be read.
    pub tokens: BTreeSet<[u8; 32]>,
}

#[derive(Deserialize)]
struct Part<T> {
    data: T,
}

#[derive(Deserialize)]
struct Bound {
    values: Vec<Value>,
}

#[derive(Deserialize)]
struct Value {
    kind: IdentifierKind,
    value: String,
}

#[derive(Deserialize)]
struct Carried {
    identifier_kind: Option<IdentifierKind>,
}

#[derive(Deserialize)]
struct CarriedValue {
    value: Option<String>,
}

#[derive(Deserialize)]
struct Merged {
    other: SubjectId,
}

#[derive(Deserialize)]
struct Placed {
    hold: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    classes: Vec<RetentionClass>,
    #[serde(default)]
    until: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Named {
    erasure: EventId,
}

#[derive(Deserialize)]
struct Tokens {
    #[serde(default)]
    tokens: Vec<String>,
}

fn read<T: serde::de::DeserializeOwned>(opened: &Opened, kind: PartKind) -> Option<T> {
    let part: Part<T> = serde_json::from_slice(opened.plaintext(kind)?).ok()?;
    Some(part.data)
}

impl Person {
    /// Reads a person's histories: their own and those of the pseudonyms merged with it.
    ///
    /// # Errors
    /// What the store answers; [`EraseError::TooMany`] where more pseudonyms are merged than one erasure takes.
    pub async fn read(ledger: &Ledger, subject: SubjectId) -> Result<Person, EraseError> {
        let mut person = Person::default();
        let mut merged: BTreeMap<SubjectId, bool> = BTreeMap::new();
        let mut queue = VecDeque::from([subject]);
        let mut seen = BTreeSet::from([subject]);
        while let Some(subject) = queue.pop_front() {
            person.subjects.push(subject);
            let mut own: BTreeMap<SubjectId, bool> = BTreeMap::new();
            person.history(ledger, subject, &mut own).await?;
            merged.append(&mut own);
            for (other, _) in merged.iter().filter(|(_, together)| **together) {
                if seen.insert(*other) {
                    queue.push_back(*other);
                }
            }
            if seen.len() > SUBJECTS_MAX {
                return Err(EraseError::TooMany(SUBJECTS_MAX));
            }
        }
        person.subjects.sort_unstable();
        Ok(person)
    }

    /// Whether the person is under a hold that lets an erasure not even begin: all classes, or the one of identifiers.
    pub fn waits(&self, now: Timestamp) -> bool {
        crate::domain::hold::is_held(&self.holds, RetentionClass::Profile, now)
    }

    async fn history(
        &mut self,
        ledger: &Ledger,
        subject: SubjectId,
        merged: &mut BTreeMap<SubjectId, bool>,
    ) -> Result<(), EraseError> {
        let store = ledger.store();
        let mut positions = Vec::new();
        let mut next = ledger.subject_head(&subject)?.map(|head| head.position);
        while let Some(position) = next {
            let bytes = store.entry_at(position).await?.ok_or(ReadError::Absent(position))?;
            let entry = EntryRef::decode(&bytes).map_err(|source| ReadError::Entry { position, source })?;
            for (part_no, part) in (0u8..).zip(entry.parts()) {
                if let (PartKind::Personal | PartKind::Raw, Some(key)) = (part.kind, part.key) {
                    self.parts.push(HeldPart { position, part: part_no, slot: slot_of(&entry, &part), key });
                }
            }
            if speaks(entry.event_type) {
                positions.push(position);
            }
            // Back positions strictly descend, so this ends.
            next = entry.subject.filter(|link| link.subject == subject).and_then(|link| link.previous);
        }
        for position in positions.into_iter().rev() {
            let opened = ledger.open_entry(position).await?;
            self.take(&opened, position, subject, merged);
        }
        Ok(())
    }

    /// Takes in an entry whose content matters, in the order of the log.
    fn take(&mut self, opened: &Opened, position: u64, subject: SubjectId, merged: &mut BTreeMap<SubjectId, bool>) {
        let identifier = |kind, value| Identifier { kind, value };
        match opened.entry.event_type.as_str() {
            "identifier.bound" => {
                let values = read::<Bound>(opened, PartKind::Personal).map_or_else(Vec::new, |bound| bound.values);
                self.identifiers.extend(values.into_iter().map(|found| identifier(found.kind, found.value)));
            }
            "subject.carried" => {
                let kind = read::<Carried>(opened, PartKind::Business).and_then(|carried| carried.identifier_kind);
                let value = read::<CarriedValue>(opened, PartKind::Personal).and_then(|carried| carried.value);
                self.identifiers.extend(kind.zip(value).map(|(kind, value)| identifier(kind, value)));
            }
            "subject.merged" | "subject.unmerged" => {
                let together = opened.entry.event_type == "subject.merged";
                if let Some(Merged { other }) = read(opened, PartKind::Business) {
                    merged.insert(other, together);
                }
            }
            "hold.placed" => {
                if let Some(Placed { hold, reason, classes, until }) = read(opened, PartKind::Business) {
                    self.holds.retain(|known| known.hold != hold);
                    self.holds.push(Hold { hold, reason, classes, until, placed: position, released: None });
                }
            }
            "hold.released" => {
                if let Some(Placed { hold, .. }) = read(opened, PartKind::Business)
                    && let Some(known) = self.holds.iter_mut().find(|known| known.hold == hold)
                {
                    known.released = Some(position);
                }
            }
            "subject.erasure_started" => {
                let id = read::<Named>(opened, PartKind::Business).map(|named| (named.erasure, subject, position));
                self.fences.extend(id);
                let tokens = read::<Tokens>(opened, PartKind::Personal).map_or_else(Vec::new, |found| found.tokens);
                let bytes = tokens.iter().filter_map(|token| data_encoding::HEXLOWER.decode(token.as_bytes()).ok());
                self.tokens.extend(bytes.filter_map(|token| <[u8; 32]>::try_from(token).ok()));
            }
            "subject.erased" => {
                self.erased.extend(read::<Named>(opened, PartKind::Public).map(|named| (named.erasure, subject)));
            }
            _ => {}
        }
    }
}

/// Types whose content an erasure reads.
fn speaks(event_type: &str) -> bool {
    matches!(
        event_type,
        "identifier.bound"
            | "subject.carried"
            | "subject.merged"
            | "subject.unmerged"
            | "hold.placed"
            | "hold.released"
            | "subject.erasure_started"
            | "subject.erased"
    )
}

/// Positions of the `subject.erased` entries of one erasure in a person's history.
///
/// # Errors
/// What the store answers.
pub(super) async fn erased_at(ledger: &Ledger, subject: SubjectId, erasure: &EventId) -> Result<Vec<u64>, EraseError> {
    let store = ledger.store();
    let mut positions = Vec::new();
    let mut next = ledger.subject_head(&subject)?.map(|head| head.position);
    while let Some(position) = next {
        let bytes = store.entry_at(position).await?.ok_or(ReadError::Absent(position))?;
        let entry = EntryRef::decode(&bytes).map_err(|source| ReadError::Entry { position, source })?;
        if entry.event_type == "subject.erased" {
            let opened = ledger.open_entry(position).await?;
            if read::<Named>(&opened, PartKind::Public).is_some_and(|named| named.erasure == *erasure) {
                positions.push(position);
            }
        }
        next = entry.subject.filter(|link| link.subject == subject).and_then(|link| link.previous);
    }
    Ok(positions)
}
