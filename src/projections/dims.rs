//! The names that money is grouped by, interned: lines carry an 8-byte hash of them, so that a million lines do not
//! repeat a dozen campaigns, and the same names get the same number on every engine and after every rebuild.

use std::collections::HashMap;

use crate::crypto::hash::sha256;
use crate::store::views::{DimsRow, NAMES};

/// Names of one batch.
#[derive(Debug, Default)]
pub struct DimsTable {
    ids: HashMap<Vec<u8>, i64>,
    rows: HashMap<i64, DimsRow>,
    key: Vec<u8>,
}

impl DimsTable {
    /// The number of names, in the order of [`NAMES`]; empty where there is none.
    pub fn intern(&mut self, names: [&str; NAMES.len()]) -> i64 {
        self.key.clear();
        for name in names {
            self.key.extend_from_slice(name.as_bytes());
            // Ids have no control characters, so the names cannot run into each other.
            self.key.push(0x1f);
        }
        if let Some(id) = self.ids.get(&self.key) {
            return *id;
        }
        let id = id_of(&self.key);
        self.rows.insert(id, DimsRow { id, names: names.map(str::to_owned) });
        self.ids.insert(self.key.clone(), id);
        id
    }

    /// The names of a number interned here.
    pub fn names(&self, id: i64) -> Option<&DimsRow> {
        self.rows.get(&id)
    }

    /// Everything interned.
    pub fn into_rows(self) -> Vec<DimsRow> {
        self.rows.into_values().collect()
    }
}

/// 63 bits of SHA-256: among a million different sets of names the odds of two sharing a number are 1 in 10 million.
fn id_of(key: &[u8]) -> i64 {
    let digest = sha256(key);
    let [a, b, c, d, e, f, g, h, ..] = *digest.as_bytes();
    i64::from_be_bytes([a & 0x7f, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_interned_once_and_by_place() {
        let mut table = DimsTable::default();
        let first = table.intern(["spring", "", "", "broker-a", "", "", "", ""]);
        assert_eq!(table.intern(["spring", "", "", "broker-a", "", "", "", ""]), first);
        assert_ne!(table.intern(["", "spring", "", "broker-a", "", "", "", ""]), first);
        assert_eq!(table.names(first).map(|row| row.names[0].as_str()), Some("spring"));
        assert_eq!(table.into_rows().len(), 2);
    }
}
