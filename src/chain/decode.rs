//! Reading entries.
//!
//! Promises: bytes decode if and only if they are the one encoding of an entry that keeps every rule of the format. Keys
//! must come in order, in their shortest form, none unknown and none twice. Nothing is allocated: [`EntryRef`] borrows, and
//! its parts are read again as they are iterated. Must never take bytes on trust: they may come from a hostile bundle.

use crate::chain::entry::{
    Entry, EntryError, FORMAT, MAX_ENTRY_BYTES, MAX_PARTS, MAX_POSITION, Part, PartRules, SubjectLink, check_links,
    check_type,
};
use crate::crypto::hash::Digest;
use crate::domain::ids::{EventId, KeyId, LedgerId, PrincipalId, SubjectId};
use crate::domain::parts::{PartKind, RetentionClass};
use crate::domain::time::Timestamp;

/// CBOR initial byte of a 16-byte string (RFC 8949 section 3: major type 2, length 16).
const BYTES_16: u8 = 0x50;
/// CBOR initial bytes of a 32-byte string.
const BYTES_32: [u8; 2] = [0x58, 0x20];
const UINT: u8 = 0;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;

/// An entry that borrows its bytes; every rule of the format was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryRef<'a> {
    /// The ledger it belongs to.
    pub ledger: LedgerId,
    /// Gap-free index in the ledger.
    pub position: u64,
    /// Leaf hash of the entry before.
    pub previous: Digest,
    /// Our id of the event.
    pub event: EventId,
    /// `family.verb_past`.
    pub event_type: &'a str,
    /// SHA-256 of the schema file.
    pub schema: Digest,
    /// The person it is about, and where in that person's history it stands.
    pub subject: Option<SubjectLink>,
    /// When the ledger learnt it.
    pub recorded: Timestamp,
    /// Who posted it.
    pub actor: PrincipalId,
    /// Position that this answers to.
    pub cause: Option<u64>,
    /// Position that this corrects.
    pub corrects: Option<u64>,
    /// Keyed hash of the client's (source, id).
    pub dedupe: [u8; 32],
    parts: Parts<'a>,
}

/// The parts of an entry, in order; reads them from the entry's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts<'a> {
    bytes: &'a [u8],
    number: u8,
    count: u8,
}

impl<'a> EntryRef<'a> {
    /// Reads an entry.
    ///
    /// # Errors
    /// [`EntryError`] says where the bytes leave the format.
    pub fn decode(bytes: &'a [u8]) -> Result<EntryRef<'a>, EntryError> {
        if bytes.len() > MAX_ENTRY_BYTES {
            return Err(EntryError::TooLong { bytes: bytes.len() });
        }
        let mut cursor = Cursor { bytes };
        let announced = cursor.small_head(MAP).ok_or(EntryError::Form { key: 0 })?;
        if cursor.uint(1)? != u64::from(FORMAT) {
            return Err(EntryError::Form { key: 1 });
        }
        let ledger = LedgerId::from_bytes(cursor.bytes_16(2)?);
        let position = cursor.uint(3)?;
        let previous = Digest::from_bytes(cursor.bytes_32(4)?);
        let event = EventId::from_bytes(cursor.bytes_16(5)?);
        let event_type = cursor.event_type()?;
        let schema = Digest::from_bytes(cursor.bytes_32(7)?);
        let subject = cursor.subject()?;
        let recorded = cursor.uint(11)?;
        let actor = PrincipalId::from_bytes(cursor.bytes_16(12)?);
        let cause = cursor.optional_uint(13)?;
        let corrects = cursor.optional_uint(14)?;
        let dedupe = cursor.bytes_32(15)?;
        let parts = cursor.parts()?;

        let back = subject.and_then(|link| link.previous);
        let optional = [subject.is_some(), subject.is_some(), back.is_some(), cause.is_some(), corrects.is_some()];
        let found = 11 + optional.into_iter().map(u8::from).sum::<u8>();
        if announced != found {
            return Err(EntryError::Count { announced, found });
        }
        if !cursor.bytes.is_empty() {
            return Err(EntryError::Trailing { bytes: cursor.bytes.len() });
        }
        check_links(position, subject.map(|link| (link.sequence, link.previous)), cause, corrects)?;
        let recorded = i64::try_from(recorded).map(Timestamp::from_micros).map_err(|_| EntryError::Form { key: 11 })?;
        Ok(EntryRef {
            ledger,
            position,
            previous,
            event,
            event_type,
            schema,
            subject,
            recorded,
            actor,
            cause,
            corrects,
            dedupe,
            parts,
        })
    }

    /// The entry's parts, in order.
    pub const fn parts(&self) -> Parts<'a> {
        self.parts
    }

    /// A copy that owns what it says.
    pub fn to_entry(&self) -> Entry {
        Entry {
            format: FORMAT,
            ledger: self.ledger,
            position: self.position,
            previous: self.previous,
            event: self.event,
            event_type: self.event_type.to_owned(),
            schema: self.schema,
            subject: self.subject,
            recorded: self.recorded,
            actor: self.actor,
            cause: self.cause,
            corrects: self.corrects,
            dedupe: self.dedupe,
            parts: self.parts.collect(),
        }
    }
}

impl Parts<'_> {
    fn read(&mut self) -> Result<Part, EntryError> {
        let mut cursor = Cursor { bytes: self.bytes };
        let part = cursor.part().map_err(|key| EntryError::Part {
            part: self.number,
            key,
            rule: "missing, out of order or not in its only allowed form",
        })?;
        self.bytes = cursor.bytes;
        self.number += 1;
        Ok(part)
    }
}

impl Iterator for Parts<'_> {
    type Item = Part;

    /// The next part. All of them were read once when the entry was decoded, so that none can fail here.
    fn next(&mut self) -> Option<Part> {
        if self.number == self.count { None } else { self.read().ok() }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::from(self.count - self.number);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Parts<'_> {}

struct Cursor<'a> {
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// A head whose argument is below 24, in its single byte.
    fn small_head(&mut self, major: u8) -> Option<u8> {
        let (&first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        (first >> 5 == major && first & 31 < 24).then_some(first & 31)
    }

    /// A head of any size; none if it is cut short, of another major type or longer than it need be.
    fn head(&mut self, major: u8) -> Option<u64> {
        let (&first, rest) = self.bytes.split_first()?;
        if first >> 5 != major {
            return None;
        }
        let (value, least, rest) = match first & 31 {
            small @ 0..=23 => (u64::from(small), 0, rest),
            24 => take(rest, |[byte]: [u8; 1]| u64::from(byte)).map(|(value, rest)| (value, 24, rest))?,
            25 => take(rest, |bytes| u64::from(u16::from_be_bytes(bytes))).map(|(v, rest)| (v, 0x100, rest))?,
            26 => take(rest, |bytes| u64::from(u32::from_be_bytes(bytes))).map(|(v, rest)| (v, 0x1_0000, rest))?,
            27 => take(rest, u64::from_be_bytes).map(|(value, rest)| (value, 0x1_0000_0000, rest))?,
            _ => return None,
        };
        self.bytes = rest;
        (value >= least).then_some(value)
    }

    /// Whether `key` comes next. Keys are below 24, so that each is its own encoding.
    fn at(&self, key: u8) -> bool {
        self.bytes.first() == Some(&key)
    }

    fn lead<const N: usize>(&mut self, lead: [u8; N], key: u8) -> Result<(), EntryError> {
        match self.bytes.split_first_chunk::<N>() {
            Some((found, rest)) if *found == lead => {
                self.bytes = rest;
                Ok(())
            }
            Some(_) => Err(EntryError::Form { key }),
            None => Err(EntryError::Truncated { key }),
        }
    }

    fn array<const N: usize>(&mut self, key: u8) -> Result<[u8; N], EntryError> {
        let (value, rest) = self.bytes.split_first_chunk::<N>().ok_or(EntryError::Truncated { key })?;
        self.bytes = rest;
        Ok(*value)
    }

    fn bytes_16(&mut self, key: u8) -> Result<[u8; 16], EntryError> {
        self.lead([key, BYTES_16], key)?;
        self.array(key)
    }

    fn bytes_32(&mut self, key: u8) -> Result<[u8; 32], EntryError> {
        self.lead([key, BYTES_32[0], BYTES_32[1]], key)?;
        self.array(key)
    }

    fn uint(&mut self, key: u8) -> Result<u64, EntryError> {
        self.lead([key], key)?;
        match self.head(UINT) {
            Some(value) if value <= MAX_POSITION => Ok(value),
            Some(_) | None => Err(EntryError::Form { key }),
        }
    }

    fn optional_uint(&mut self, key: u8) -> Result<Option<u64>, EntryError> {
        if self.at(key) { self.uint(key).map(Some) } else { Ok(None) }
    }

    fn event_type(&mut self) -> Result<&'a str, EntryError> {
        self.lead([6], 6)?;
        let length = self.head(TEXT).ok_or(EntryError::Form { key: 6 })?;
        let length = usize::try_from(length).map_err(|_| EntryError::Type)?;
        let (text, rest) = self.bytes.split_at_checked(length).ok_or(EntryError::Truncated { key: 6 })?;
        check_type(text)?;
        self.bytes = rest;
        std::str::from_utf8(text).map_err(|_| EntryError::Type)
    }

    fn subject(&mut self) -> Result<Option<SubjectLink>, EntryError> {
        if !self.at(8) {
            return Ok(None);
        }
        let subject = SubjectId::from_bytes(self.bytes_16(8)?);
        let sequence = self.uint(9)?;
        let previous = self.optional_uint(10)?;
        Ok(Some(SubjectLink { subject, sequence, previous }))
    }

    fn parts(&mut self) -> Result<Parts<'a>, EntryError> {
        self.lead([16], 16)?;
        let count = self.small_head(ARRAY).ok_or(EntryError::Form { key: 16 })?;
        if usize::from(count) > MAX_PARTS {
            return Err(EntryError::Form { key: 16 });
        }
        let all = Parts { bytes: self.bytes, number: 0, count };
        let mut rules = PartRules::default();
        let mut left = all;
        for _ in 0..count {
            rules.check(&left.read()?)?;
        }
        self.bytes = left.bytes;
        Ok(all)
    }

    /// One part, or the key at which it leaves the format.
    fn part(&mut self) -> Result<Part, u8> {
        let announced = self.small_head(MAP).ok_or(0)?;
        let kind = self.code(1, PartKind::from_code)?;
        let suite = self.code(2, Some)?;
        let class = self.code(3, RetentionClass::from_code)?;
        let key = if self.at(4) { Some(KeyId::from_bytes(self.bytes_16(4).map_err(|_| 4)?)) } else { None };
        let digest = Digest::from_bytes(self.bytes_32(5).map_err(|_| 5)?);
        let commitment = if self.at(6) { Some(self.bytes_32(6).map_err(|_| 6)?) } else { None };
        let fields_root = if self.at(7) { Some(Digest::from_bytes(self.bytes_32(7).map_err(|_| 7)?)) } else { None };
        let optional = [key.is_some(), commitment.is_some(), fields_root.is_some()];
        if announced != 4 + optional.into_iter().map(u8::from).sum::<u8>() {
            return Err(0);
        }
        Ok(Part { kind, suite, class, key, digest, commitment, fields_root })
    }

    fn code<T>(&mut self, key: u8, known: impl Fn(u8) -> Option<T>) -> Result<T, u8> {
        self.lead([key], key).map_err(|_| key)?;
        self.small_head(UINT).and_then(known).ok_or(key)
    }
}

fn take<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> u64) -> Option<(u64, &[u8])> {
    bytes.split_first_chunk::<N>().map(|(chunk, rest)| (value(*chunk), rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chain::samples::{any_entry, entry_at};

    #[test]
    fn longer_spellings_of_the_same_values_are_refused() {
        let entry = entry_at(5, Digest::ZERO);
        let bytes = entry.encode().unwrap();
        let spelled = |at: usize, old: usize, new: &[u8]| {
            let mut other = bytes.clone();
            other.splice(at..at + old, new.iter().copied());
            // A lenient reader still takes it, so that only the rule of determinism is what refuses it.
            minicbor::Decoder::new(&other).skip().unwrap();
            Entry::decode(&other)
        };
        // Head of the map in two bytes; position 5 in two, three, five and nine; the ledger's length in two; indefinite map.
        assert_eq!(spelled(0, 1, &[0xb8, bytes[0] & 31]), Err(EntryError::Form { key: 0 }));
        assert_eq!(spelled(22, 1, &[0x18, 5]), Err(EntryError::Form { key: 3 }));
        assert_eq!(spelled(22, 1, &[0x19, 0, 5]), Err(EntryError::Form { key: 3 }));
        assert_eq!(spelled(22, 1, &[0x1a, 0, 0, 0, 5]), Err(EntryError::Form { key: 3 }));
        assert_eq!(spelled(22, 1, &[0x1b, 0, 0, 0, 0, 0, 0, 0, 5]), Err(EntryError::Form { key: 3 }));
        assert_eq!(spelled(4, 1, &[0x58, 16]), Err(EntryError::Form { key: 2 }));
        assert_eq!(spelled(1, 1, &[0x18, 1]), Err(EntryError::Form { key: 1 }));
    }

    #[test]
    fn other_order_counts_and_tails_are_refused() {
        let bytes = entry_at(5, Digest::ZERO).encode().unwrap();
        let mut swapped = bytes.clone();
        // Keys 1 and 2 exchanged: map head, then the ledger's 18 bytes, then the format's 2.
        swapped[1..21].rotate_left(2);
        assert_eq!(Entry::decode(&swapped), Err(EntryError::Form { key: 1 }));
        let mut counted = bytes.clone();
        counted[0] += 1;
        assert!(matches!(Entry::decode(&counted), Err(EntryError::Count { .. })));
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(Entry::decode(&longer), Err(EntryError::Trailing { bytes: 1 }));
        for length in 0..bytes.len() {
            assert!(Entry::decode(&bytes[..length]).is_err(), "{length}");
        }
        assert_eq!(Entry::decode(&[0; MAX_ENTRY_BYTES + 1]), Err(EntryError::TooLong { bytes: MAX_ENTRY_BYTES + 1 }));
    }

    proptest! {
        #[test]
        fn every_entry_round_trips(entry in any_entry()) {
            let bytes = entry.encode().unwrap();
            let read = EntryRef::decode(&bytes).unwrap();
            prop_assert_eq!(read.parts().len(), entry.parts.len());
            prop_assert_eq!(read.to_entry(), entry);
        }

        #[test]
        fn what_decodes_encodes_to_the_same_bytes(entry in any_entry(), at: prop::sample::Index, value: u8) {
            let mut bytes = entry.encode().unwrap();
            let at = at.index(bytes.len());
            bytes[at] = value;
            if let Ok(read) = Entry::decode(&bytes) {
                prop_assert_eq!(read.encode().unwrap(), bytes);
            }
        }

        #[test]
        fn no_bytes_panic_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(Entry::decode(&bytes).is_err());
        }
    }
}
