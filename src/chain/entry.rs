//! The entry: canonical bytes of a recorded event's envelope, and the leaf of the tree.
//!
//! Promises: one entry has exactly one encoding (deterministic CBOR, RFC 8949 section 4.2.1; `schemas/entry.cddl`), and
//! what decodes encodes to the same bytes again. Must never hold personal data, and never be hashed from anything but its
//! stored bytes. Reading is in [`crate::chain::decode`], writing in [`crate::chain::encode`].

use crate::crypto::hash::Digest;
use crate::domain::ids::{EventId, KeyId, LedgerId, PrincipalId, SubjectId};
use crate::domain::parts::{PartKind, RetentionClass};
use crate::domain::time::Timestamp;

pub use crate::chain::decode::{EntryRef, Parts};
pub use crate::chain::encode::{Draft, EntryBody, Link};

/// The only format version there is.
pub const FORMAT: u32 = 1;
/// Longest entry: what the length prefix of an entry bundle can say (C2SP tlog-tiles).
pub const MAX_ENTRY_BYTES: usize = 65_535;
/// Most parts of an entry: public, business, ten classes of personal, raw, and room for kinds to come.
pub const MAX_PARTS: usize = 16;
/// Longest event type.
pub const MAX_TYPE_BYTES: usize = 128;
/// Highest position: stores keep positions in signed 64-bit columns.
pub const MAX_POSITION: u64 = i64::MAX as u64;
/// Type of the entry at position 0.
pub const LEDGER_CREATED: &str = "ledger.created";

/// A piece of an event's data, as its entry commits to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// What it is.
    pub kind: PartKind,
    /// How it is sealed: 0 for a public part, 1 (AES-256-GCM) for every other.
    pub suite: u8,
    /// How long its key lives.
    pub class: RetentionClass,
    /// The key that seals it; none for a public part.
    pub key: Option<KeyId>,
    /// SHA-256 of the stored bytes: sealed, except for a public part.
    pub digest: Digest,
    /// Key commitment C (design section 4); none for a public part.
    pub commitment: Option<[u8; 32]>,
    /// Root of the by-field tree; personal parts only.
    pub fields_root: Option<Digest>,
}

/// Where an entry stands in the history of its subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubjectLink {
    /// Pseudonym of the person.
    pub subject: SubjectId,
    /// 1 for the subject's first entry, then 2, 3 and so on.
    pub sequence: u64,
    /// Position of the subject's entry before this one; none for the first.
    pub previous: Option<u64>,
}

/// An entry in full, owning what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Format version, [`FORMAT`].
    pub format: u32,
    /// The ledger it belongs to.
    pub ledger: LedgerId,
    /// Gap-free index in the ledger, from 0.
    pub position: u64,
    /// Leaf hash of the entry before; 32 zero bytes at position 0.
    pub previous: Digest,
    /// Our id of the event.
    pub event: EventId,
    /// `family.verb_past`: ASCII lower case, digits, `.`, `_` and `-`.
    pub event_type: String,
    /// SHA-256 of the schema file that the event was validated by.
    pub schema: Digest,
    /// The person it is about, if it is about one.
    pub subject: Option<SubjectLink>,
    /// When the ledger learnt it; from 1970 on.
    pub recorded: Timestamp,
    /// Who posted it, an opaque id.
    pub actor: PrincipalId,
    /// Position that this answers to.
    pub cause: Option<u64>,
    /// Position that this corrects.
    pub corrects: Option<u64>,
    /// Keyed hash of the client's (source, id).
    pub dedupe: [u8; 32],
    /// Pieces of its data; a part's number is its place here.
    pub parts: Vec<Part>,
}

/// Why bytes are not an entry, or an entry has no bytes. Map keys are those of `schemas/entry.cddl`; no value is echoed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// The map announces another number of pairs than it holds.
    #[error("the map announces {announced} pairs and holds {found}")]
    Count {
        /// Pairs in the head.
        announced: u8,
        /// Pairs that follow.
        found: u8,
    },
    /// A key is missing, unknown, repeated or out of order, or its value is not in the one form that is allowed.
    #[error("key {key}: missing, out of order or not in its only allowed form")]
    Form {
        /// The key that had to come.
        key: u8,
    },
    /// A link field breaks a rule between fields.
    #[error("key {key}: {rule}")]
    Link {
        /// The key whose value breaks it.
        key: u8,
        /// What must hold.
        rule: &'static str,
    },
    /// A part is not in form, or breaks a rule.
    #[error("part {part}, key {key}: {rule}")]
    Part {
        /// Number of the part, from 0.
        part: u8,
        /// Key in the part's map; 0 for the map itself.
        key: u8,
        /// What must hold.
        rule: &'static str,
    },
    /// More bytes than [`MAX_ENTRY_BYTES`].
    #[error("{bytes} bytes, over the 65535 that an entry may have")]
    TooLong {
        /// Bytes counted.
        bytes: usize,
    },
    /// Bytes follow the end of the map.
    #[error("{bytes} bytes after the end of the entry")]
    Trailing {
        /// Bytes left over.
        bytes: usize,
    },
    /// The bytes stop inside a value.
    #[error("key {key}: the bytes end too early")]
    Truncated {
        /// The key being read.
        key: u8,
    },
    /// The event type is empty, too long or uses other characters.
    #[error("key 6: an event type has 1 to 128 of a-z 0-9 . _ -")]
    Type,
}

impl Entry {
    /// The entry's only encoding.
    ///
    /// # Errors
    /// [`EntryError`] if the fields break a rule that [`Entry::decode`] would refuse.
    pub fn encode(&self) -> Result<Vec<u8>, EntryError> {
        let mut out = Vec::with_capacity(256 + 192 * self.parts.len());
        self.encode_into(&mut out)?;
        Ok(out)
    }

    /// Appends the entry's only encoding to `out`, and nothing if it has none.
    ///
    /// # Errors
    /// As [`Entry::encode`].
    pub fn encode_into(&self, out: &mut Vec<u8>) -> Result<(), EntryError> {
        if self.format != FORMAT {
            return Err(EntryError::Form { key: 1 });
        }
        let body = EntryBody {
            ledger: self.ledger,
            event: self.event,
            event_type: &self.event_type,
            schema: self.schema,
            subject: self.subject.map(|link| link.subject),
            actor: self.actor,
            corrects: self.corrects,
            dedupe: self.dedupe,
            parts: &self.parts,
        };
        let link = Link {
            position: self.position,
            previous: self.previous,
            recorded: self.recorded,
            subject: self.subject.map(|link| (link.sequence, link.previous)),
            cause: self.cause,
        };
        Draft::new(&body)?.link_into(&link, out)
    }

    /// Reads an entry.
    ///
    /// # Errors
    /// [`EntryError`] for everything but the one encoding that [`Entry::encode`] gives.
    pub fn decode(bytes: &[u8]) -> Result<Entry, EntryError> {
        EntryRef::decode(bytes).map(|entry| entry.to_entry())
    }
}

/// The rules of an event type's text.
pub(super) fn check_type(event_type: &[u8]) -> Result<(), EntryError> {
    let allowed = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
    let length_allowed = (1..=MAX_TYPE_BYTES).contains(&event_type.len());
    if length_allowed && event_type.iter().all(allowed) { Ok(()) } else { Err(EntryError::Type) }
}

/// The rules between the fields that say where an entry stands.
pub(super) fn check_links(
    position: u64,
    subject: Option<(u64, Option<u64>)>,
    cause: Option<u64>,
    corrects: Option<u64>,
) -> Result<(), EntryError> {
    let broken = |key, rule| Err(EntryError::Link { key, rule });
    if position > MAX_POSITION {
        return broken(3, "a position fits 63 bits");
    }
    match subject {
        None | Some((1, None)) => {}
        Some((0, _)) => return broken(9, "a subject's sequence starts at 1"),
        Some((1, Some(_))) => return broken(10, "the first entry of a subject has none before it"),
        Some((_, None)) => return broken(10, "a later entry of a subject names the one before it"),
        Some((sequence, Some(back))) => {
            if back >= position {
                return broken(10, "the subject's previous entry lies before this one");
            }
            // `back` has at most `back` entries before it, so its own sequence is at most `back + 1`.
            if sequence > back + 2 {
                return broken(9, "a subject has no more entries than the ledger");
            }
        }
    }
    if cause.is_some_and(|cause| cause >= position) {
        return broken(13, "a cause lies before its answer");
    }
    if corrects.is_some_and(|corrects| corrects >= position) {
        return broken(14, "what is corrected lies before its correction");
    }
    Ok(())
}

/// Checks the parts one after the other, in order.
#[derive(Default)]
pub(super) struct PartRules {
    last: Option<PartKind>,
    personal_classes: u16,
    number: u8,
}

impl PartRules {
    /// Checks the next part. Kinds stand in the order of their codes; only personal parts may be several, one a class.
    pub(super) fn check(&mut self, part: &Part) -> Result<(), EntryError> {
        let number = self.number;
        let broken = |key, rule| Err(EntryError::Part { part: number, key, rule });
        let class_bit = 1_u16.checked_shl(u32::from(part.class.code())).unwrap_or(0);
        if self.last.is_some_and(|last| last > part.kind || (last == part.kind && part.kind != PartKind::Personal)) {
            return broken(
                1,
                "parts stand in the order public, business, personal, raw, and only personal ones repeat",
            );
        }
        if part.kind == PartKind::Personal && self.personal_classes & class_bit != 0 {
            return broken(3, "one personal part for each retention class");
        }
        let sealed = part.kind != PartKind::Public;
        if part.suite != u8::from(sealed) {
            return broken(2, "a public part has suite 0, every other suite 1");
        }
        if part.key.is_some() != sealed {
            return broken(4, "a sealed part names its key, a public one has none");
        }
        if part.commitment.is_some() != sealed {
            return broken(6, "a sealed part commits to its key, a public one does not");
        }
        if part.fields_root.is_some() && part.kind != PartKind::Personal {
            return broken(7, "only a personal part has a tree of fields");
        }
        if part.kind == PartKind::Personal {
            self.personal_classes |= class_bit;
        }
        self.last = Some(part.kind);
        self.number += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;
    use crate::chain::samples::{entry_at, full_entry, sealed};

    #[test]
    fn encoding_is_deterministic_cbor_and_round_trips() {
        let entry = full_entry();
        let bytes = entry.encode().unwrap();
        assert_eq!(Entry::decode(&bytes), Ok(entry));
        // All sixteen keys: map(16), 1: 1, 2: bytes(16).
        assert!(HEXLOWER.encode(&bytes).starts_with("b00101025001"));
        // Keys in ascending order is RFC 8949 section 4.2.1's order for keys below 24.
        let mut decoder = minicbor::Decoder::new(&bytes);
        assert_eq!(decoder.map().unwrap(), Some(16));
        for key in 1..=16 {
            assert_eq!(decoder.u8().unwrap(), key);
            decoder.skip().unwrap();
        }
        assert_eq!(decoder.position(), bytes.len());
    }

    #[test]
    fn draft_linked_anywhere_is_the_entry_encoded_there() {
        let entry = full_entry();
        let body = EntryBody {
            ledger: entry.ledger,
            event: entry.event,
            event_type: &entry.event_type,
            schema: entry.schema,
            subject: entry.subject.map(|link| link.subject),
            actor: entry.actor,
            corrects: entry.corrects,
            dedupe: entry.dedupe,
            parts: &entry.parts,
        };
        let draft = Draft::new(&body).unwrap();
        let mut out = b"kept".to_vec();
        for position in [300, 70_000, MAX_POSITION] {
            let (previous, recorded) = (Digest::from_bytes([9; 32]), Timestamp::from_micros(i64::MAX));
            let subject = Some((17, Some(299)));
            let link = Link { position, previous, recorded, subject, cause: Some(40) };
            out.truncate(4);
            draft.link_into(&link, &mut out).unwrap();
            let subject = entry.subject.map(|link| SubjectLink { sequence: 17, previous: Some(299), ..link });
            let linked = Entry { position, previous, recorded, subject, cause: Some(40), ..entry.clone() };
            assert_eq!(Entry::decode(&out[4..]), Ok(linked));
            assert!(out.len() - 4 <= draft.bytes_max());
        }
        let orphan = Link {
            position: 300,
            previous: Digest::ZERO,
            recorded: Timestamp::from_micros(0),
            subject: None,
            cause: None,
        };
        assert!(matches!(draft.link_into(&orphan, &mut out), Err(EntryError::Link { key: 9, .. })));
    }

    #[test]
    fn largest_entry_stays_far_below_the_limit() {
        // A public, a business, a personal part of each class, a raw part: no rule admits more.
        let mut parts = full_entry().parts[..2].to_vec();
        parts.extend(RetentionClass::ALL.map(|class| sealed(PartKind::Personal, class)));
        parts.push(sealed(PartKind::Raw, RetentionClass::Raw));
        assert!(parts.len() <= MAX_PARTS);
        let back = MAX_POSITION - 1;
        let subject = full_entry().subject.map(|link| SubjectLink { sequence: back, previous: Some(back), ..link });
        let largest = Entry {
            position: MAX_POSITION,
            event_type: "a".repeat(MAX_TYPE_BYTES),
            recorded: Timestamp::from_micros(i64::MAX),
            subject,
            cause: Some(back),
            corrects: Some(back),
            parts,
            ..full_entry()
        };
        let bytes = largest.encode().unwrap();
        assert!(bytes.len() < 4096 && bytes.len() < MAX_ENTRY_BYTES);
        assert_eq!(Entry::decode(&bytes), Ok(largest));
    }

    #[test]
    fn failed_encoding_leaves_the_buffer_alone() {
        let mut out = b"kept".to_vec();
        let entry = Entry { recorded: Timestamp::from_micros(-1), ..full_entry() };
        assert!(matches!(entry.encode_into(&mut out), Err(EntryError::Link { key: 11, .. })));
        assert_eq!(out, b"kept");
        assert_eq!(Entry { format: 2, ..full_entry() }.encode(), Err(EntryError::Form { key: 1 }));
    }

    #[test]
    fn broken_links_are_refused_on_both_sides() {
        let link = |sequence, previous| full_entry().subject.map(|link| SubjectLink { sequence, previous, ..link });
        for (entry, key) in [
            (Entry { position: MAX_POSITION + 1, ..full_entry() }, 3),
            (Entry { subject: link(0, None), ..full_entry() }, 9),
            (Entry { subject: link(1, Some(4)), ..full_entry() }, 10),
            (Entry { subject: link(2, None), ..full_entry() }, 10),
            (Entry { subject: link(2, Some(full_entry().position)), ..full_entry() }, 10),
            (Entry { subject: link(9, Some(6)), ..full_entry() }, 9),
            (Entry { cause: Some(full_entry().position), ..full_entry() }, 13),
            (Entry { corrects: Some(full_entry().position + 1), ..full_entry() }, 14),
        ] {
            assert!(matches!(entry.encode(), Err(EntryError::Link { key: found, .. }) if found == key), "key {key}");
        }
        let answer = Entry { cause: Some(4), ..entry_at(5, Digest::ZERO) };
        let mut bytes = answer.encode().unwrap();
        // Key 3 follows the ledger: 1 + 2 + 18 bytes.
        assert_eq!(bytes[21..23], [3, 5]);
        bytes[22] = 4;
        assert!(matches!(Entry::decode(&bytes), Err(EntryError::Link { key: 13, .. })));
    }

    #[test]
    fn broken_parts_are_refused() {
        let parts = full_entry().parts;
        let (public, business, personal, raw) = (parts[0], parts[1], parts[2], parts[4]);
        for (parts, number, key) in [
            (vec![business, public], 1, 1),
            (vec![public, public], 1, 1),
            (vec![business, business], 1, 1),
            (vec![raw, raw], 1, 1),
            (vec![raw, personal], 1, 1),
            (vec![personal, personal], 1, 3),
            (vec![Part { suite: 1, ..public }], 0, 2),
            (vec![Part { suite: 0, ..business }], 0, 2),
            (vec![Part { suite: 2, ..business }], 0, 2),
            (vec![Part { key: business.key, ..public }], 0, 4),
            (vec![Part { key: None, ..raw }], 0, 4),
            (vec![Part { commitment: None, ..personal }], 0, 6),
            (vec![Part { commitment: business.commitment, ..public }], 0, 6),
            (vec![Part { fields_root: personal.fields_root, ..business }], 0, 7),
        ] {
            let error = Entry { parts, ..full_entry() }.encode();
            assert!(
                matches!(error, Err(EntryError::Part { part, key: k, .. }) if (part, k) == (number, key)),
                "{error:?}"
            );
        }
        assert!(Entry { parts: vec![Part { fields_root: None, ..personal }], ..full_entry() }.encode().is_ok());
        assert_eq!(Entry { parts: vec![personal; 17], ..full_entry() }.encode(), Err(EntryError::Form { key: 16 }));
    }

    #[test]
    fn event_types_outside_the_alphabet_are_refused() {
        for event_type in ["", "Consent.granted", "a b", "a\u{e9}", &"a".repeat(129)] {
            let entry = Entry { event_type: event_type.to_owned(), ..full_entry() };
            assert_eq!(entry.encode(), Err(EntryError::Type), "{event_type}");
        }
        assert!(Entry { event_type: "x.door-knock_2".to_owned(), ..full_entry() }.encode().is_ok());
    }
}
