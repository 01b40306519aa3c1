//! What the log said since the last run, in memory.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use super::run::Row;
use super::{Kind, SubjectHead};

/// Keys are HMACs or UUIDs whose last eight bytes are random and not chosen by a client: they are their own hash.
#[derive(Debug, Default)]
pub struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        // The table takes its bucket from the low bits, so the well-mixed high ones are brought there.
        (self.0 ^ self.0.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(26)
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.rchunks(8).take(1) {
            self.0 = chunk.iter().fold(self.0, |word, byte| (word << 8) | u64::from(*byte));
        }
    }

    fn write_usize(&mut self, _length: usize) {}
}

/// A map keyed by ids or keyed hashes.
pub type IdMap<K, V> = HashMap<K, V, BuildHasherDefault<KeyHasher>>;
/// A set of ids or keyed hashes.
pub type IdSet<K> = HashSet<K, BuildHasherDefault<KeyHasher>>;

type KeyMap<V> = HashMap<[u8; 16], V, BuildHasherDefault<KeyHasher>>;

/// The index over positions `[first, ..)`.
#[derive(Debug, Clone)]
pub struct Tail {
    first: u64,
    dedupe: KeyMap<u64>,
    /// Where in `links` each subject's last entry is.
    heads: KeyMap<usize>,
    /// Entries of subjects in their order, each with the place of the same subject's one before.
    links: Vec<(SubjectHead, Option<usize>)>,
    identifiers: KeyMap<[u8; 16]>,
}

impl Tail {
    pub(super) fn new(first: u64) -> Tail {
        Tail {
            first,
            dedupe: KeyMap::default(),
            heads: KeyMap::default(),
            links: Vec::new(),
            identifiers: KeyMap::default(),
        }
    }

    /// First position covered.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Takes in a committed entry.
    pub fn entry(&mut self, position: u64, dedupe: &[u8; 32], subject: Option<(&[u8; 16], u64)>) {
        self.dedupe.insert(super::first_half(dedupe), position);
        if let Some((subject, sequence)) = subject {
            let before = self.heads.insert(*subject, self.links.len());
            self.links.push((SubjectHead { sequence, position }, before));
        }
    }

    /// Takes in a committed binding; all zero releases.
    pub fn bind(&mut self, blind: [u8; 16], subject: [u8; 16]) {
        self.identifiers.insert(blind, subject);
    }

    pub(super) fn dedupe(&self, key: &[u8; 16]) -> Option<u64> {
        self.dedupe.get(key).copied()
    }

    pub(super) fn head(&self, subject: &[u8; 16]) -> Option<SubjectHead> {
        self.history(subject, 0).next()
    }

    /// A subject's entries with a sequence above `after`, newest first.
    pub(super) fn history(&self, subject: &[u8; 16], after: u64) -> impl Iterator<Item = SubjectHead> {
        self.links_from(self.heads.get(subject).copied()).take_while(move |entry| entry.sequence > after)
    }

    fn links_from(&self, last: Option<usize>) -> impl Iterator<Item = SubjectHead> {
        let link = |at: usize| self.links.get(at);
        std::iter::successors(last.and_then(link), move |(_, before)| before.and_then(link)).map(|(entry, _)| *entry)
    }

    pub(super) fn identifier(&self, blind: &[u8; 16]) -> Option<[u8; 16]> {
        self.identifiers.get(blind).copied()
    }

    /// Drops bindings.
    pub(super) fn identifiers_retain(&mut self, mut keep: impl FnMut(&Row) -> bool) {
        self.identifiers.retain(|blind, subject| keep(&(*blind, *subject)));
    }

    pub(super) fn identifier_rows(&self) -> impl Iterator<Item = Row> {
        self.identifiers.iter().map(|(blind, subject)| (*blind, *subject))
    }

    pub(super) fn rows(&self, kind: Kind) -> Vec<Row> {
        let pair = |high: u64, low: u64| {
            let mut value = [0; 16];
            let (left, right) = value.split_at_mut(8);
            left.copy_from_slice(&high.to_be_bytes());
            right.copy_from_slice(&low.to_be_bytes());
            value
        };
        let mut rows: Vec<Row> = match kind {
            Kind::Dedupe => self.dedupe.iter().map(|(key, position)| (*key, pair(*position, 0))).collect(),
            Kind::Head | Kind::History => {
                let entries = if kind == Kind::Head { 1 } else { usize::MAX };
                let of = |last: usize| self.links_from(Some(last)).take(entries);
                let row = |key: &[u8; 16], entry: SubjectHead| (*key, pair(entry.sequence, entry.position));
                self.heads.iter().flat_map(|(key, last)| of(*last).map(move |entry| row(key, entry))).collect()
            }
            Kind::Identifier => self.identifiers.iter().map(|(key, subject)| (*key, *subject)).collect(),
        };
        rows.sort_unstable();
        rows
    }
}
