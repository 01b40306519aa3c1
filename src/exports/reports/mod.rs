//! What a bundle says to people, profile by profile: sections for the page and the PDF, and tables to work with.
//!
//! Promises: everything is taken from what the bundle shows, so a report never says more than its disclosures; what was not
//! found is said to be absent, and what is closed is said to be closed. Must never be taken for the evidence: reports are
//! renderings, and the manifest says so.

mod dsar;
mod erasure;
mod processing;
mod range;
mod tcpa;

pub use range::RangeReport;

use crate::exports::manifest::{Completeness, PartState, Profile};
use crate::exports::page::PageEntry;

/// Names of all tables that a bundle can hold.
pub const TABLES: [&str; 7] = [
    "tables/data.csv",
    "tables/data.json",
    "tables/portability.json",
    "tables/processing.csv",
    "tables/requests.csv",
    "tables/signals.csv",
    "tables/summary.csv",
];

/// A piece of a report.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Section {
    /// Its heading.
    pub title: String,
    /// Sentences under it.
    pub notes: Vec<String>,
    /// Names with what was found.
    pub rows: Vec<Row>,
}

/// One line of a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What it is.
    pub name: String,
    /// What was found.
    pub found: Found,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing recorded.
    Absent,
    /// It may stand in parts that this bundle does not open.
    Closed,
    /// It may have stood in parts whose key was destroyed.
    Erased,
    /// This, at the positions named.
    Value(String, Vec<u64>),
}

/// A file to work with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableFile {
    /// One of [`TABLES`].
    pub name: &'static str,
    /// Content.
    pub bytes: Vec<u8>,
}

/// What a report is made from.
#[derive(Debug, Clone, Copy)]
pub struct Material<'a> {
    /// Entries with what is shown of them, by position.
    pub entries: &'a [PageEntry],
    /// Whose history it is and how far it is complete.
    pub completeness: &'a Completeness,
}

/// The sections that a profile adds.
pub fn sections(profile: Profile, material: &Material<'_>) -> Vec<Section> {
    match profile {
        Profile::TcpaCall => tcpa::sections(material),
        Profile::Dsar => dsar::sections(material),
        Profile::ErasureCertificate => erasure::sections(material),
        Profile::Accounting | Profile::Article30 | Profile::Audit | Profile::CcpaLog => Vec::new(),
    }
}

/// The tables that a profile adds.
pub fn tables(profile: Profile, material: &Material<'_>) -> Vec<TableFile> {
    match profile {
        Profile::Dsar => dsar::tables(material),
        Profile::Accounting
        | Profile::Article30
        | Profile::Audit
        | Profile::CcpaLog
        | Profile::ErasureCertificate
        | Profile::TcpaCall => Vec::new(),
    }
}

impl<'a> Material<'a> {
    /// Entries about the person, of a type or of a family (`consent.`).
    fn of(&self, prefix: &'a str) -> impl Iterator<Item = &'a PageEntry> + use<'a> {
        self.own().filter(move |entry| {
            let rest = entry.event_type.strip_prefix(prefix);
            rest.is_some_and(|rest| rest.is_empty() || prefix.ends_with('.'))
        })
    }

    /// Entries about the person.
    fn own(&self) -> impl Iterator<Item = &'a PageEntry> + use<'a> {
        self.entries.iter().filter(|entry| entry.subject.is_some())
    }
}

impl Section {
    fn new(title: impl Into<String>) -> Section {
        Section { title: title.into(), notes: Vec::new(), rows: Vec::new() }
    }

    fn note(mut self, text: impl Into<String>) -> Section {
        self.notes.push(text.into());
        self
    }

    fn row(&mut self, name: &str, found: Found) {
        self.rows.push(Row { name: name.to_owned(), found });
    }
}

impl Found {
    /// A field of an entry: its value, or why there is none. Only the parts in which it could stand excuse it.
    fn of(entry: &PageEntry, pointers: &[&str]) -> Found {
        Found::among(&[entry], pointers)
    }

    /// The same field in several entries that belong together.
    fn among(entries: &[&PageEntry], pointers: &[&str]) -> Found {
        let mut values: Vec<String> = Vec::new();
        let mut positions = Vec::new();
        for entry in entries {
            let found: Vec<String> = pointers.iter().filter_map(|pointer| entry.text(pointer)).collect();
            if found.is_empty() {
                continue;
            }
            let joined = found.join(", ");
            if !values.contains(&joined) {
                values.push(joined);
            }
            positions.push(entry.position);
        }
        if !values.is_empty() {
            return Found::Value(values.join("; "), positions);
        }
        let has = |state| entries.iter().any(|entry| entry.parts.iter().any(|part| part.state == state));
        if has(PartState::Withheld) || has(PartState::Fields) {
            Found::Closed
        } else if has(PartState::Erased) {
            Found::Erased
        } else {
            Found::Absent
        }
    }

    fn value(text: impl Into<String>, positions: &[u64]) -> Found {
        Found::Value(text.into(), positions.to_vec())
    }

    /// It in words.
    pub fn words(&self) -> String {
        match self {
            Found::Absent => "absent: not recorded".to_owned(),
            Found::Closed => "not shown: closed in this bundle, if it was recorded".to_owned(),
            Found::Erased => "not shown: its key was destroyed, if it was recorded".to_owned(),
            Found::Value(text, positions) if positions.is_empty() => text.clone(),
            Found::Value(text, positions) => {
                let positions: Vec<String> = positions.iter().map(u64::to_string).collect();
                format!("{text} [{}]", positions.join(", "))
            }
        }
    }
}
