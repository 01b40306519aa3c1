//! What the certificate of an erasure says: the request, the keys that were destroyed, what is kept and on which ground.

use std::collections::BTreeMap;

use super::{Found, Material, Section};
use crate::exports::manifest::PartState;
use crate::exports::page::PageEntry;

pub(super) fn sections(material: &Material<'_>) -> Vec<Section> {
    let mut sections = vec![requests(material)];
    let certificates: Vec<&PageEntry> = material.of("subject.erased").collect();
    if certificates.is_empty() {
        sections.push(Section::new("Erasure").note("absent: no erasure of this person is recorded."));
    }
    sections.extend(certificates.into_iter().map(certificate));
    sections.push(remains(material));
    sections
}

fn requests(material: &Material<'_>) -> Section {
    let mut section = Section::new("Request");
    for (name, event_type, pointers) in [
        ("Received", "privacy.request_received", &["/data/right", "/data/regime", "/data/received_via"][..]),
        ("Identity", "privacy.request_verified", &["/data/result", "/data/method", "/data/level"]),
        ("Recipient told", "privacy.recipient_notified", &["/data/recipient", "/data/about", "/data/method"]),
        ("Hold", "hold.placed", &["/data/hold", "/data/reason"]),
        ("Answered", "privacy.request_completed", &["/data/result", "/data/retained", "/data/status_reported"]),
        ("Denied", "privacy.request_denied", &["/data/basis"]),
    ] {
        for entry in material.of(event_type) {
            let found = match Found::of(entry, pointers) {
                Found::Value(text, positions) => Found::Value(format!("{}: {text}", entry.when()), positions),
                other => other,
            };
            section.row(name, found);
        }
    }
    if section.rows.is_empty() { section.note("No request is recorded with this person.") } else { section }
}

fn certificate(entry: &PageEntry) -> Section {
    let mut section = Section::new(format!("Certificate of erasure at position {}", entry.position));
    section.row("Recorded", Found::value(entry.recorded.to_string(), &[entry.position]));
    for (name, pointer) in [
        ("Erasure", "/data/erasure"),
        ("Suppressed by a token from now on", "/data/suppression_token_kept"),
        ("Token can be traced to the person until", "/data/map_until"),
        ("Key epoch whose end makes it irrecoverable", "/data/kek_epoch"),
        ("Irrecoverable on", "/data/irrecoverable_on"),
    ] {
        section.row(name, Found::of(entry, &[pointer]));
    }
    let mut keys: BTreeMap<(String, String), usize> = BTreeMap::new();
    for item in entry.items("/data/keys") {
        let member = |name: &str| entry.text(&format!("{item}/{name}")).unwrap_or_default();
        *keys.entry((member("class"), member("quarter"))).or_default() += 1;
    }
    for ((class, quarter), count) in keys {
        section.row("Keys destroyed", Found::value(format!("{count} of class {class}, quarter {quarter}"), &[]));
    }
    let kept = entry.items("/data/kept");
    if kept.is_empty() {
        section.row("Kept", Found::value("no sealed personal data", &[entry.position]));
    }
    for item in kept {
        let member = |name: &str| entry.text(&format!("{item}/{name}")).unwrap_or_default();
        let what = format!("class {}, ground {}", member("class"), member("ground"));
        section.row("Kept", Found::value(what, &[entry.position]));
    }
    section
}

/// Parts about the person by what can still be done with them.
fn remains(material: &Material<'_>) -> Section {
    let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for part in material.own().flat_map(|entry| &entry.parts) {
        let state = match part.state {
            PartState::Erased => "key destroyed",
            PartState::Fields | PartState::Opened => "shown",
            PartState::Public => "never sealed, not personal",
            PartState::Withheld => "closed in this bundle",
        };
        *counts.entry((part.class.name(), state)).or_default() += 1;
    }
    let mut section = Section::new("Parts of the entries about the person");
    for ((class, state), count) in counts {
        section.row(&format!("Class {class}"), Found::value(format!("{count} {state}"), &[]));
    }
    section
}
