//! Reports of a range of the log, made while it streams past: the log of requests of 11 CCR 7101, the summary of an audit,
//! and the record of processing activities, which comes from the schemas alone.
//!
//! Promises: memory grows with the number of requests and of types, not with the range. Must never hold personal values.

use std::collections::BTreeMap;

use super::{Found, Section, TableFile};
use crate::exports::csv::{self, Cell};
use crate::exports::manifest::Profile;
use crate::exports::page::PageEntry;

/// Most requests on the page; the table has all.
const ON_PAGE_MAX: usize = 200;

/// What has been seen so far.
#[derive(Debug, Default)]
pub struct RangeReport {
    requests: BTreeMap<String, RequestRow>,
    signals: Vec<Vec<String>>,
    types: BTreeMap<String, (u64, u64)>,
    decisions: [u64; 2],
    undecided: u64,
}

/// One request, as 11 CCR 7101(b) wants it logged.
#[derive(Debug, Clone, Default)]
struct RequestRow {
    position: u64,
    received: String,
    right: String,
    regime: String,
    manner: String,
    by_agent: String,
    identity: String,
    extended_until: String,
    answered: String,
    response: String,
    denial_basis: String,
}

const REQUEST_COLUMNS: [&str; 12] = [
    "request",
    "position",
    "date_of_request",
    "nature_of_request",
    "regime",
    "manner",
    "by_agent",
    "identity",
    "extended_until",
    "date_of_response",
    "nature_of_response",
    "basis_of_denial",
];
const SIGNAL_COLUMNS: [&str; 7] = ["position", "type", "date", "source", "value", "confirmation_shown", "state"];

impl RangeReport {
    /// Takes an entry with what is shown of it; `shown` says whether anything is.
    pub fn take(&mut self, entry: &PageEntry, shown: bool) {
        let (entries, opened) = self.types.entry(entry.event_type.clone()).or_default();
        *entries += 1;
        *opened += u64::from(shown);
        if !shown {
            return;
        }
        match entry.event_type.as_str() {
            "decision.contact_recorded" => {
                let allowed = entry.text("/data/allow").as_deref() == Some("true");
                let [refused, given] = &mut self.decisions;
                *(if allowed { given } else { refused }) += 1;
            }
            "contact.attempted" if entry.text("/data/decision").is_none() => self.undecided += 1,
            "privacy.opted_out" | "privacy.opted_in" | "privacy.signal_received" => self.signal(entry),
            event_type if event_type.starts_with("privacy.request_") => self.request(entry),
            _ => {}
        }
    }

    fn signal(&mut self, entry: &PageEntry) {
        let text = |pointer: &str| entry.text(pointer).unwrap_or_default();
        self.signals.push(vec![
            entry.position.to_string(),
            entry.event_type.clone(),
            entry.when(),
            [text("/data/source"), text("/data/signal")].concat(),
            [text("/data/rights"), text("/data/value")].concat(),
            text("/data/confirmation_shown"),
            text("/data/state"),
        ]);
    }

    fn request(&mut self, entry: &PageEntry) {
        let text = |pointer: &str| entry.text(pointer).unwrap_or_default();
        let Some(id) = entry.text("/refs/request") else { return };
        let row = self.requests.entry(id).or_default();
        match entry.event_type.as_str() {
            "privacy.request_received" => {
                row.position = entry.position;
                row.received = entry.text("/data/received_at").unwrap_or_else(|| entry.when());
                row.right = text("/data/right");
                row.regime = text("/data/regime");
                row.manner = text("/data/received_via");
                row.by_agent = text("/data/by_agent");
            }
            "privacy.request_verified" => row.identity = [text("/data/result"), text("/data/method")].join(" "),
            "privacy.request_extended" => row.extended_until = text("/data/until"),
            "privacy.request_completed" => {
                (row.answered, row.response) = (entry.when(), text("/data/result"));
            }
            "privacy.request_denied" => {
                let response = if text("/data/partly") == "true" { "partly denied" } else { "denied" };
                (row.answered, row.response) = (entry.when(), response.to_owned());
                row.denial_basis = text("/data/basis");
            }
            _ => {}
        }
    }

    /// The sections of a profile.
    pub fn sections(&self, profile: Profile) -> Vec<Section> {
        match profile {
            Profile::CcpaLog => vec![self.requests_section()],
            Profile::Article30 => super::processing::sections(),
            Profile::Accounting | Profile::Audit | Profile::Dsar | Profile::ErasureCertificate | Profile::TcpaCall => {
                vec![self.summary()]
            }
        }
    }

    /// The tables of a profile.
    pub fn tables(&self, profile: Profile) -> Vec<TableFile> {
        let file = |name, text: String| TableFile { name, bytes: text.into_bytes() };
        match profile {
            Profile::CcpaLog => {
                let rows: Vec<_> = self.logged().map(|(id, row)| row.cells(id)).collect();
                let signals = self.signals.iter().map(|row| row.iter().cloned().map(Cell::Text).collect());
                let signals: Vec<Vec<Cell>> = signals.collect();
                vec![
                    file("tables/requests.csv", csv::table(&REQUEST_COLUMNS, &rows)),
                    file("tables/signals.csv", csv::table(&SIGNAL_COLUMNS, &signals)),
                ]
            }
            Profile::Article30 => super::processing::tables(),
            Profile::Accounting | Profile::Audit | Profile::Dsar | Profile::ErasureCertificate | Profile::TcpaCall => {
                let row = |(name, (entries, shown)): (&String, &(u64, u64))| {
                    vec![Cell::Plain(name.clone()), Cell::number(entries), Cell::number(shown)]
                };
                let rows: Vec<_> = self.types.iter().map(row).collect();
                vec![file("tables/summary.csv", csv::table(&["type", "entries", "opened"], &rows))]
            }
        }
    }

    /// Requests that the CCPA or the Delete Act governs, and those whose receipt lies before the range.
    fn logged(&self) -> impl Iterator<Item = (&String, &RequestRow)> {
        self.requests.iter().filter(|(_, row)| matches!(row.regime.as_str(), "ccpa" | "delete_act" | ""))
    }

    fn requests_section(&self) -> Section {
        let mut section = Section::new("Requests and responses (11 CCR 7101)").note(format!(
            "{} requests and {} opt-outs and signals; tables/requests.csv and tables/signals.csv have all of them.",
            self.logged().count(),
            self.signals.len()
        ));
        for (id, row) in self.logged().take(ON_PAGE_MAX) {
            let answered =
                if row.answered.is_empty() { "open".to_owned() } else { format!("{} {}", row.answered, row.response) };
            let mut said = format!("{} {} by {}: {answered}", row.received, row.right, row.manner);
            if !row.denial_basis.is_empty() {
                said.push_str(&format!(", basis {}", row.denial_basis));
            }
            let positions = if row.received.is_empty() { Vec::new() } else { vec![row.position] };
            section.row(id, Found::Value(said, positions));
        }
        section
    }

    fn summary(&self) -> Section {
        let [refused, allowed] = self.decisions;
        let mut section = Section::new("What the range holds");
        for (name, value) in [
            ("Contact decisions that allow", allowed),
            ("Contact decisions that refuse", refused),
            ("Contacts that name no decision", self.undecided),
        ] {
            section.row(name, Found::value(value.to_string(), &[]));
        }
        for (name, (entries, shown)) in &self.types {
            section.row(name, Found::value(format!("{entries} entries, {shown} opened"), &[]));
        }
        section
    }
}

impl RequestRow {
    fn cells(&self, id: &str) -> Vec<Cell> {
        let position = if self.received.is_empty() { String::new() } else { self.position.to_string() };
        let mut cells = vec![Cell::Plain(id.to_owned()), Cell::Plain(position)];
        let texts = [
            &self.received,
            &self.right,
            &self.regime,
            &self.manner,
            &self.by_agent,
            &self.identity,
            &self.extended_until,
            &self.answered,
            &self.response,
            &self.denial_basis,
        ];
        cells.extend(texts.map(|text| Cell::Text(text.clone())));
        cells
    }
}
