//! Entries and chains for this layer's tests.

use proptest::prelude::*;

use crate::chain::entry::{Entry, FORMAT, LEDGER_CREATED, Part, SubjectLink};
use crate::chain::leaf::leaf_hash;
use crate::crypto::hash::Digest;
use crate::domain::ids::{EventId, KeyId, LedgerId, PrincipalId, SubjectId};
use crate::domain::parts::{PartKind, RetentionClass};
use crate::domain::time::Timestamp;

pub(super) const LEDGER: LedgerId = LedgerId::from_bytes([1; 16]);

pub(super) fn subject(number: u64) -> SubjectId {
    let mut bytes = [0x70; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    SubjectId::from_bytes(bytes)
}

pub(super) fn sealed(kind: PartKind, class: RetentionClass) -> Part {
    let fields_root = (kind == PartKind::Personal).then(|| Digest::from_bytes([0xf0; 32]));
    Part {
        kind,
        suite: 1,
        class,
        key: Some(KeyId::from_bytes([0xee; 16])),
        digest: Digest::from_bytes([0xdd; 32]),
        commitment: Some([0xcc; 32]),
        fields_root,
    }
}

pub(super) fn public() -> Part {
    let digest = Digest::from_bytes([0xdd; 32]);
    Part {
        kind: PartKind::Public,
        suite: 0,
        class: RetentionClass::System,
        key: None,
        digest,
        commitment: None,
        fields_root: None,
    }
}

/// An entry with every key and every kind of part.
pub(super) fn full_entry() -> Entry {
    Entry {
        format: FORMAT,
        ledger: LEDGER,
        position: 1000,
        previous: Digest::from_bytes([4; 32]),
        event: EventId::from_bytes([5; 16]),
        event_type: "consent.granted".to_owned(),
        schema: Digest::from_bytes([7; 32]),
        subject: Some(SubjectLink { subject: subject(8), sequence: 3, previous: Some(900) }),
        recorded: Timestamp::from_micros(1_793_724_000_000_000),
        actor: PrincipalId::from_bytes([12; 16]),
        cause: Some(999),
        corrects: Some(24),
        dedupe: [15; 32],
        parts: vec![
            public(),
            sealed(PartKind::Business, RetentionClass::Consent),
            sealed(PartKind::Personal, RetentionClass::Profile),
            sealed(PartKind::Personal, RetentionClass::Consent),
            sealed(PartKind::Raw, RetentionClass::Raw),
        ],
    }
}

/// An entry about nobody at a position.
pub(super) fn entry_at(position: u64, previous: Digest) -> Entry {
    let event_type = if position == 0 { LEDGER_CREATED } else { "cost.recorded" };
    let parts = vec![public(), sealed(PartKind::Business, RetentionClass::Billing)];
    let recorded = Timestamp::from_micros(1_793_724_000_000_000);
    Entry {
        position,
        previous,
        event_type: event_type.to_owned(),
        subject: None,
        recorded,
        cause: None,
        corrects: None,
        parts,
        ..full_entry()
    }
}

/// A chain of entries; each number names a subject, 0 nobody. Position 0 comes before them.
pub(super) fn chain(subjects: &[u64]) -> Vec<Entry> {
    let mut entries = vec![entry_at(0, Digest::ZERO)];
    for number in subjects {
        let last = entries.iter().rfind(|entry| entry.subject.is_some_and(|link| link.subject == subject(*number)));
        let link = SubjectLink {
            subject: subject(*number),
            sequence: last.and_then(|entry| entry.subject).map_or(1, |link| link.sequence + 1),
            previous: last.map(|entry| entry.position),
        };
        let mut entry = entry_at(entries.len() as u64, Digest::ZERO);
        entry.subject = (*number != 0).then_some(link);
        entries.push(entry);
    }
    relink(&mut entries);
    entries
}

/// Makes every entry name the leaf hash of the one before.
pub(super) fn relink(entries: &mut [Entry]) {
    let mut previous = Digest::ZERO;
    for entry in entries {
        entry.previous = previous;
        previous = leaf_hash(&entry.encode().unwrap());
    }
}

pub(super) fn any_entry() -> impl Strategy<Value = Entry> {
    let numbers = (1_u64..=i64::MAX as u64, any::<[u8; 32]>(), 0..=i64::MAX, any::<[u8; 16]>());
    let optional = (prop::option::of(any::<prop::sample::Index>()), any::<bool>(), any::<bool>(), any::<bool>());
    let parts = prop::collection::btree_set(1_u8..=10, 0..5);
    let text = "[a-z0-9._-]{1,128}";
    (numbers, optional, parts, text, any::<(bool, bool, bool)>()).prop_map(
        |((position, bytes, recorded, id), (subject_at, first, cause, corrects), classes, event_type, has)| {
            let below = |index: &prop::sample::Index| index.index(usize::try_from(position).unwrap()) as u64;
            let link = subject_at.map(|index| SubjectLink {
                subject: SubjectId::from_bytes(id),
                sequence: if first { 1 } else { 2 + below(&index) % 3 % (below(&index) + 1) },
                previous: (!first).then(|| below(&index)),
            });
            let mut parts: Vec<_> = has.0.then(public).into_iter().collect();
            parts.extend(has.1.then(|| sealed(PartKind::Business, RetentionClass::Consent)));
            let personal = classes.into_iter().filter_map(RetentionClass::from_code);
            parts.extend(personal.map(|class| sealed(PartKind::Personal, class)));
            parts.extend(has.2.then(|| sealed(PartKind::Raw, RetentionClass::Raw)));
            Entry {
                position,
                previous: Digest::from_bytes(bytes),
                subject: link,
                recorded: Timestamp::from_micros(recorded),
                event_type,
                cause: cause.then_some(position - 1),
                corrects: corrects.then_some(position / 2).filter(|corrects| *corrects < position),
                parts,
                ..full_entry()
            }
        },
    )
}
