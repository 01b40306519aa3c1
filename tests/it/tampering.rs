//! Ways to tamper with a stored ledger, generated from its rows: what to change, and how to put it back.

use tallystick::chain::entry::Entry;
use tallystick::chain::leaf::leaf_hash;
use tallystick::chain::tree::root_of;
use tallystick::crypto::hash::Digest;

use crate::engines::Shell;

/// One payload row: position, part, sealed bytes.
pub type PayloadRow = (i64, i64, Vec<u8>);

/// The key of a payload row.
fn slot(position: i64, part: i64) -> i64 {
    position * 256 + part
}

/// All rows of a log, as they were.
#[derive(Clone, PartialEq, Eq)]
pub struct Rows {
    pub ledger: Vec<u8>,
    pub size: i64,
    pub recorded: i64,
    pub leaf: Vec<u8>,
    pub entries: Vec<Vec<u8>>,
    pub payloads: Vec<PayloadRow>,
    pub subtrees: Vec<Vec<u8>>,
    postgres: bool,
}

/// A change and its undoing.
pub struct Tamper {
    /// What kind of change, for the count.
    pub class: &'static str,
    /// Which row, byte or bit.
    pub place: String,
    pub apply: String,
    pub undo: String,
}

/// How much of a catalogue to make: of every `rows`-th row, every `stride`-th byte gets one flipped bit, and all bits of the
/// rows in `exhaustive` are flipped one by one.
#[derive(Clone, Copy)]
pub struct Density {
    pub rows: usize,
    pub stride: usize,
    pub exhaustive: fn(usize) -> bool,
}

impl Rows {
    pub async fn read(shell: &mut Shell) -> Rows {
        let heads = shell.rows("SELECT size, recorded, ledger, leaf FROM heads", 2, 2).await;
        let entries = shell.rows("SELECT position, entry FROM entries ORDER BY position", 1, 1).await;
        let payloads = shell.rows("SELECT slot, sealed FROM payloads ORDER BY slot", 1, 1).await;
        let subtrees = shell.rows("SELECT number, hash FROM subtrees ORDER BY number", 1, 1).await;
        let (numbers, blobs) = &heads[0];
        Rows {
            ledger: blobs[0].clone(),
            size: numbers[0],
            recorded: numbers[1],
            leaf: blobs[1].clone(),
            entries: entries.into_iter().map(|(_, mut blobs)| blobs.remove(0)).collect(),
            payloads: payloads
                .into_iter()
                .map(|(numbers, mut blobs)| (numbers[0] / 256, numbers[0] % 256, blobs.remove(0)))
                .collect(),
            subtrees: subtrees.into_iter().map(|(_, mut blobs)| blobs.remove(0)).collect(),
            postgres: matches!(shell, Shell::Postgres(_)),
        }
    }

    fn blob(&self, bytes: &[u8]) -> String {
        let hex = data_encoding::HEXLOWER.encode(bytes);
        if self.postgres { format!("'\\x{hex}'::bytea") } else { format!("x'{hex}'") }
    }

    fn set_entry(&self, position: usize, bytes: &[u8]) -> String {
        format!("UPDATE entries SET entry = {} WHERE position = {position};", self.blob(bytes))
    }

    fn insert_entry(&self, position: i64, bytes: &[u8]) -> String {
        let (ledger, entry) = (self.blob(&self.ledger), self.blob(bytes));
        if !self.postgres {
            return format!("INSERT INTO entries (ledger, position, entry) VALUES ({ledger}, {position}, {entry});");
        }
        // The columns that repeat what the entry says; their own uniqueness was dropped with the triggers.
        let decoded = Entry::decode(bytes).ok();
        let dedupe = self.blob(decoded.as_ref().map_or(&[0; 32], |entry| &entry.dedupe));
        let link = decoded.and_then(|entry| entry.subject);
        let (subject, sequence) = link.map_or(("NULL".to_owned(), "NULL".to_owned()), |link| {
            (self.blob(link.subject.as_bytes()), link.sequence.to_string())
        });
        format!("INSERT INTO entries VALUES ({ledger}, {position}, {entry}, {dedupe}, {subject}, {sequence});")
    }

    fn insert_payload(&self, (position, part, sealed): &PayloadRow) -> String {
        let (ledger, sealed) = (self.blob(&self.ledger), self.blob(sealed));
        format!("INSERT INTO payloads VALUES ({ledger}, {}, {sealed});", slot(*position, *part))
    }

    fn set_head(&self) -> String {
        let leaf = self.blob(&self.leaf);
        format!("UPDATE heads SET size = {}, recorded = {}, leaf = {leaf};", self.size, self.recorded)
    }

    fn insert_subtree(&self, number: usize, hash: &[u8]) -> String {
        format!("INSERT INTO subtrees VALUES ({}, {number}, {});", self.blob(&self.ledger), self.blob(hash))
    }

    /// Statements that put exactly these rows in place of whatever there is.
    pub fn written(&self) -> String {
        let mut sql = String::from("DELETE FROM entries; DELETE FROM payloads; DELETE FROM subtrees;");
        for (position, entry) in (0..).zip(&self.entries) {
            sql.push_str(&self.insert_entry(position, entry));
        }
        self.payloads.iter().for_each(|row| sql.push_str(&self.insert_payload(row)));
        for (number, hash) in self.subtrees.iter().enumerate() {
            sql.push_str(&self.insert_subtree(number, hash));
        }
        sql.push_str(&self.set_head());
        sql
    }

    // -- histories that are consistent in themselves -----------------------------------------------------------------

    /// The first `size` entries with everything that belongs to them, and a head that says so.
    pub fn cut(&self, size: usize) -> Rows {
        let mut rows = self.clone();
        rows.entries.truncate(size);
        rows.payloads.retain(|(position, ..)| *position < size as i64);
        rows.settled()
    }

    /// Entry `at` changed by `change`, every later entry linked anew.
    pub fn rewritten(&self, at: usize, change: impl Fn(&mut Entry)) -> Rows {
        let mut rows = self.clone();
        let mut entry = Entry::decode(&rows.entries[at]).unwrap();
        change(&mut entry);
        rows.entries[at] = entry.encode().unwrap();
        rows.linked(at + 1)
    }

    /// Entry `at` taken out, every later one moved up, counted anew in its subject's history and linked anew.
    pub fn without(&self, at: usize) -> Rows {
        let mut rows = self.clone();
        let removed = Entry::decode(&rows.entries.remove(at)).unwrap();
        let gone = removed.subject;
        let at = at as u64;
        let moved = |position: u64| if position > at { position - 1 } else { position };
        for (position, bytes) in rows.entries.iter_mut().enumerate().skip(at as usize) {
            let mut entry = Entry::decode(bytes).unwrap();
            entry.position = position as u64;
            entry.cause = entry.cause.map(moved);
            entry.corrects = entry.corrects.map(moved);
            if let Some(link) = &mut entry.subject {
                let same = gone.filter(|gone| gone.subject == link.subject);
                let before = link.previous;
                link.previous = before.map(moved);
                if let Some(gone) = same {
                    link.sequence -= 1;
                    if before == Some(at) {
                        link.previous = gone.previous;
                    }
                }
            }
            *bytes = entry.encode().unwrap();
        }
        rows.payloads.retain(|(position, ..)| *position != at as i64);
        for (position, ..) in &mut rows.payloads {
            *position -= i64::from(*position > at as i64);
        }
        rows.linked(at as usize)
    }

    /// Links entries from `first` on to the ones before, and settles what is derived.
    fn linked(mut self, first: usize) -> Rows {
        for at in first.max(1)..self.entries.len() {
            let mut entry = Entry::decode(&self.entries[at]).unwrap();
            entry.previous = leaf_hash(&self.entries[at - 1]);
            self.entries[at] = entry.encode().unwrap();
        }
        self.settled()
    }

    fn settled(mut self) -> Rows {
        let last = self.entries.last().unwrap();
        self.size = self.entries.len() as i64;
        self.leaf = leaf_hash(last).as_bytes().to_vec();
        self.recorded = Entry::decode(last).unwrap().recorded.micros();
        let leaves: Vec<Digest> = self.entries.iter().map(|entry| leaf_hash(entry)).collect();
        let subtrees = leaves.chunks_exact(256).map(|leaves| root_of(leaves.iter().copied()));
        self.subtrees = subtrees.map(|hash| hash.as_bytes().to_vec()).collect();
        self
    }

    // -- single changes ----------------------------------------------------------------------------------------------

    /// Every change of the catalogue. None is a change to nothing, and none leaves a history that is consistent in itself.
    pub fn catalogue(&self, density: Density) -> Vec<Tamper> {
        let mut all = Vec::new();
        self.flips(density, &mut all);
        self.deletions(density, &mut all);
        self.swaps(density, &mut all);
        self.insertions(density, &mut all);
        self.moves(density, &mut all);
        self.half_done(density, &mut all);
        all
    }

    fn push(&self, all: &mut Vec<Tamper>, class: &'static str, place: String, apply: String, undo: String) {
        all.push(Tamper { class, place, apply, undo });
    }

    fn flips(&self, density: Density, all: &mut Vec<Tamper>) {
        for (position, entry) in self.entries.iter().enumerate().step_by(density.rows) {
            for (byte, bit) in bits(entry.len(), position, density) {
                let apply = self.set_entry(position, &flipped(entry, byte, bit));
                let undo = self.set_entry(position, entry);
                self.push(all, "flip a bit of an entry", format!("{position}: byte {byte} bit {bit}"), apply, undo);
            }
        }
        let few = Density { stride: density.stride * 4, exhaustive: |_| false, ..density };
        for row @ (position, part, sealed) in self.payloads.iter().step_by(density.rows) {
            for (byte, bit) in bits(sealed.len(), (position + part) as usize, few) {
                let undo = self.set_payload(row, sealed);
                let apply = self.set_payload(row, &flipped(sealed, byte, bit));
                let place = format!("{position}/{part}: byte {byte} bit {bit}");
                self.push(all, "flip a bit of a part", place, apply, undo);
            }
        }
        for (number, hash) in self.subtrees.iter().enumerate() {
            let set = |hash: &[u8]| format!("UPDATE subtrees SET hash = {} WHERE number = {number};", self.blob(hash));
            for (byte, bit) in bits(hash.len(), number, density) {
                let apply = set(&flipped(hash, byte, bit));
                self.push(
                    all,
                    "flip a bit of a subtree hash",
                    format!("{number}: byte {byte} bit {bit}"),
                    apply,
                    set(hash),
                );
            }
        }
        for (byte, bit) in bits(32, 0, Density { exhaustive: |_| true, ..density }) {
            let changed = Rows { leaf: flipped(&self.leaf, byte, bit), ..self.clone() };
            self.push(
                all,
                "flip a bit of the head",
                format!("leaf: byte {byte} bit {bit}"),
                changed.set_head(),
                self.set_head(),
            );
        }
        for bit in 0..20 {
            let size = Rows { size: self.size ^ (1 << bit), ..self.clone() };
            self.push(all, "flip a bit of the head", format!("size: bit {bit}"), size.set_head(), self.set_head());
            let recorded = Rows { recorded: self.recorded ^ (1 << bit), ..self.clone() };
            self.push(
                all,
                "flip a bit of the head",
                format!("recorded: bit {bit}"),
                recorded.set_head(),
                self.set_head(),
            );
        }
    }

    fn set_payload(&self, (position, part, ..): &PayloadRow, sealed: &[u8]) -> String {
        let sealed = self.blob(sealed);
        format!("UPDATE payloads SET sealed = {sealed} WHERE slot = {};", slot(*position, *part))
    }

    fn deletions(&self, density: Density, all: &mut Vec<Tamper>) {
        for (position, entry) in (0_i64..).zip(&self.entries).step_by(density.rows) {
            let apply = format!("DELETE FROM entries WHERE position = {position};");
            self.push(all, "delete an entry", position.to_string(), apply, self.insert_entry(position, entry));
        }
        for row @ (position, part, ..) in self.payloads.iter().step_by(density.rows) {
            let apply = format!("DELETE FROM payloads WHERE slot = {};", slot(*position, *part));
            self.push(all, "delete a part", format!("{position}/{part}"), apply, self.insert_payload(row));
        }
        for (number, hash) in self.subtrees.iter().enumerate() {
            let apply = format!("DELETE FROM subtrees WHERE number = {number};");
            self.push(all, "delete a subtree hash", number.to_string(), apply, self.insert_subtree(number, hash));
        }
        let epoch = "SELECT * FROM heads";
        let apply = format!("CREATE TABLE kept_heads AS {epoch}; DELETE FROM heads;");
        let undo = "INSERT INTO heads SELECT * FROM kept_heads; DROP TABLE kept_heads;".to_owned();
        self.push(all, "delete the head", String::new(), apply, undo);
        let tail = self.entries.len() - 1;
        for from in (1..tail).step_by(density.rows) {
            let apply = format!("DELETE FROM entries WHERE position >= {from};");
            let undo = (from..=tail).map(|at| self.insert_entry(at as i64, &self.entries[at])).collect();
            self.push(all, "cut the tail, head left", from.to_string(), apply, undo);
        }
    }

    fn swaps(&self, density: Density, all: &mut Vec<Tamper>) {
        let count = self.entries.len();
        for one in (0..count).step_by(density.rows) {
            for other in [one + 1, (one * 7 + 3) % count].into_iter().filter(|other| *other < count && *other != one) {
                let (a, b) = (&self.entries[one], &self.entries[other]);
                let apply = self.set_entry(one, b) + &self.set_entry(other, a);
                let undo = self.set_entry(one, a) + &self.set_entry(other, b);
                self.push(all, "swap two entries", format!("{one}, {other}"), apply, undo);
            }
        }
        for (at, one) in self.payloads.iter().enumerate().step_by(density.rows) {
            let other = &self.payloads[(at * 5 + 4) % self.payloads.len()];
            if one.2 != other.2 {
                let apply = self.set_payload(one, &other.2) + &self.set_payload(other, &one.2);
                let undo = self.set_payload(one, &one.2) + &self.set_payload(other, &other.2);
                let place = format!("{}/{} and {}/{}", one.0, one.1, other.0, other.1);
                self.push(all, "swap two parts", place, apply, undo);
            }
        }
    }

    fn insertions(&self, density: Density, all: &mut Vec<Tamper>) {
        let count = self.entries.len() as i64;
        for (position, entry) in (0_i64..).zip(&self.entries).step_by(density.rows) {
            for place in [count, count + 5, -1] {
                let apply = self.insert_entry(place, entry);
                let undo = format!("DELETE FROM entries WHERE position = {place};");
                self.push(all, "insert a copy of an entry", format!("{position} at {place}"), apply, undo);
            }
        }
        for (position, part, sealed) in self.payloads.iter().step_by(density.rows) {
            for (at, number) in [(*position, part + 7), (count, 0), (-1, 0)] {
                let apply = self.insert_payload(&(at, number, sealed.clone()));
                let undo = format!("DELETE FROM payloads WHERE slot = {};", slot(at, number));
                self.push(all, "insert a copy of a part", format!("{position}/{part} at {at}/{number}"), apply, undo);
            }
        }
        let number = self.subtrees.len();
        let apply = self.insert_subtree(number, &self.leaf);
        let undo = format!("DELETE FROM subtrees WHERE number = {number};");
        self.push(all, "insert a subtree hash", number.to_string(), apply, undo);
    }

    fn moves(&self, density: Density, all: &mut Vec<Tamper>) {
        let count = self.entries.len() as i64;
        for position in (0..count).step_by(density.rows) {
            let to = count + 3;
            let update = |from, to| format!("UPDATE entries SET position = {to} WHERE position = {from};");
            self.push(
                all,
                "edit a position",
                format!("{position} to {to}"),
                update(position, to),
                update(to, position),
            );
        }
        for (position, part, _) in self.payloads.iter().step_by(density.rows) {
            let update = |from, to| format!("UPDATE payloads SET slot = {to} WHERE slot = {from};");
            let here = slot(*position, *part);
            for (class, there) in [
                ("edit a part's position", slot(count + 9, *part)),
                ("edit a part's number", slot(*position, part + 20)),
            ] {
                self.push(all, class, format!("{position}/{part}"), update(here, there), update(there, here));
            }
        }
        if self.postgres {
            self.columns(all);
        }
    }

    /// What Postgres keeps beside the entry to refuse forks and copies.
    fn columns(&self, all: &mut Vec<Tamper>) {
        for (position, bytes) in self.entries.iter().enumerate() {
            let entry = Entry::decode(bytes).unwrap();
            let set = |what: String| format!("UPDATE entries SET {what} WHERE position = {position};");
            let dedupe = |bytes: &[u8]| set(format!("dedupe = {}", self.blob(bytes)));
            let apply = dedupe(&flipped(&entry.dedupe, position % 32, 0));
            self.push(
                all,
                "edit a column that repeats the entry",
                format!("{position} dedupe"),
                apply,
                dedupe(&entry.dedupe),
            );
            if let Some(link) = entry.subject {
                let subject = self.blob(link.subject.as_bytes());
                let undo = set(format!("subject = {subject}, sequence = {}", link.sequence));
                let apply = set(format!("sequence = {}", link.sequence + 100));
                self.push(
                    all,
                    "edit a column that repeats the entry",
                    format!("{position} sequence"),
                    apply,
                    undo.clone(),
                );
                let apply = set("subject = NULL, sequence = NULL".to_owned());
                self.push(all, "edit a column that repeats the entry", format!("{position} subject"), apply, undo);
            }
        }
    }

    /// Rewrites that stop short of the end: the next entry, or all but the head, linked anew.
    fn half_done(&self, density: Density, all: &mut Vec<Tamper>) {
        let count = self.entries.len();
        for at in (1..count - 1).step_by(density.rows) {
            let rows = self.rewritten(at, |entry| entry.actor = other_actor());
            if at + 2 < count {
                let apply = self.set_entry(at, &rows.entries[at]) + &self.set_entry(at + 1, &rows.entries[at + 1]);
                let back = self.set_entry(at, &self.entries[at]) + &self.set_entry(at + 1, &self.entries[at + 1]);
                self.push(all, "re-link the next entry only", at.to_string(), apply, back);
            }
            if at % 5 == 1 {
                let apply: String = (at..count).map(|at| self.set_entry(at, &rows.entries[at])).collect();
                let undo: String = (at..count).map(|at| self.set_entry(at, &self.entries[at])).collect();
                self.push(all, "re-link all, head left", at.to_string(), apply, undo);
            }
        }
    }
}

/// An actor that no entry names.
pub fn other_actor() -> tallystick::domain::ids::PrincipalId {
    tallystick::domain::ids::PrincipalId::from_bytes([0xee; 16])
}

fn bits(length: usize, row: usize, density: Density) -> Vec<(usize, u8)> {
    if (density.exhaustive)(row) {
        return (0..length).flat_map(|byte| (0..8).map(move |bit| (byte, bit))).collect();
    }
    // Rows differ in which bytes and bits they lose, so that over all rows every offset comes up.
    (row % density.stride..length).step_by(density.stride).map(|byte| (byte, ((byte + row) % 8) as u8)).collect()
}

fn flipped(bytes: &[u8], byte: usize, bit: u8) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    changed[byte] ^= 1 << bit;
    changed
}
