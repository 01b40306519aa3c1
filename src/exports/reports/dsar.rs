//! Access and portability: what GDPR articles 15(1) and 20 ask for, in sentences, and the data itself as tables.
//!
//! `tables/data.csv` and `tables/data.json` are everything that the bundle shows of the person; `tables/portability.json` is
//! what the person provided (article 20). Categories come from the entries' schemas, times of keeping from
//! `policies/retention.toml`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{Found, Material, Section, TableFile};
use crate::crypto::hash::Digest;
use crate::exports::csv::{self, Cell};
use crate::exports::page::PageEntry;
use crate::exports::redaction::category_of;
use crate::policy::retention::Retention;
use crate::schema::{FieldNote, Registry};

/// Families whose data the person provided, and that rest on consent or a contract (article 20(1)).
const PROVIDED: [&str; 7] = [
    "lead.received",
    "consent.",
    "contact.received",
    "appointment.",
    "privacy.request_received",
    "privacy.opted_",
    "relationship.inquiry_recorded",
];

pub(super) fn sections(material: &Material<'_>) -> Vec<Section> {
    vec![
        purposes(material),
        categories(material),
        recipients(material),
        keeping(material),
        sources(material),
        automated(material),
        rights(),
    ]
}

/// Article 15(1)(a).
fn purposes(material: &Material<'_>) -> Section {
    let mut section = Section::new("Purposes of the processing (GDPR Art. 15(1)(a))");
    let contacts: Vec<&PageEntry> = material.of("contact.").collect();
    let consents: Vec<&PageEntry> = material.of("consent.granted").collect();
    section.row("Purposes consented to", Found::among(&consents, &["/data/purposes"]));
    section.row("Purposes of contacts", Found::among(&contacts, &["/data/purpose"]));
    let families: BTreeSet<&str> =
        material.own().filter_map(|entry| entry.event_type.split_once('.').map(|(family, _)| family)).collect();
    let families: Vec<&str> = families.into_iter().collect();
    section.row("Kinds of records", Found::value(families.join(", "), &[]));
    section
}

/// Article 15(1)(b).
fn categories(material: &Material<'_>) -> Section {
    let mut section = Section::new("Categories of personal data (GDPR Art. 15(1)(b))");
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let notes = Categories::of_entries(material);
    for entry in material.own() {
        for pointer in entry.values.keys() {
            *counts.entry(notes.of(entry, pointer)).or_default() += 1;
        }
    }
    for (category, count) in counts {
        section.row(&category, Found::value(format!("{count} values"), &[]));
    }
    section
}

/// Article 15(1)(c): recipients by name (C-154/21).
fn recipients(material: &Material<'_>) -> Section {
    let mut section = Section::new("Recipients (GDPR Art. 15(1)(c))");
    for (name, prefix, pointers) in [
        ("Offered to", "lead.offered", &["/data/seller"]),
        ("Given to", "lead.accepted", &["/data/seller"]),
        ("Assigned to", "lead.assigned", &["/data/seller"]),
        ("Told of a request", "privacy.recipient_notified", &["/data/recipient"]),
        ("Transferred to", "contact.completed", &["/data/transferred_to"]),
        ("Contacted on behalf of", "contact.attempted", &["/data/seller"]),
        ("Service providers", "contact.attempted", &["/data/vendor"]),
    ] {
        let entries: Vec<&PageEntry> = material.of(prefix).collect();
        section.row(name, if entries.is_empty() { Found::Absent } else { Found::among(&entries, pointers) });
    }
    section
}

/// Article 15(1)(d).
fn keeping(material: &Material<'_>) -> Section {
    let mut section = Section::new("How long it is kept (GDPR Art. 15(1)(d))");
    let classes: BTreeSet<_> = material.own().flat_map(|entry| entry.parts.iter().map(|part| part.class)).collect();
    for class in classes {
        let rule = Retention::builtin().ok().and_then(|rules| rules.rule(class));
        let Some(rule) = rule else { continue };
        let days = rule.days.map_or_else(|| "no end by time".to_owned(), |days| format!("{days} days"));
        section.row(class.name(), Found::value(format!("{days}; {}", rule.source), &[]));
    }
    section
}

/// Article 15(1)(g).
fn sources(material: &Material<'_>) -> Section {
    let mut section = Section::new("Where it came from (GDPR Art. 15(1)(g))");
    for prefix in ["lead.received", "lead.imported", "lead.enriched", "consent.granted"] {
        let entries: Vec<&PageEntry> = material.of(prefix).collect();
        if !entries.is_empty() {
            let found = Found::among(&entries, &["/data/source", "/data/vendor", "/data/list", "/attributes/source"]);
            section.row(prefix, found);
        }
    }
    section
}

/// Article 15(1)(h).
fn automated(material: &Material<'_>) -> Section {
    let mut section = Section::new("Automated decisions and scores (GDPR Art. 15(1)(h), Art. 22)");
    let mut any = false;
    for (name, prefix, pointers) in [
        (
            "Score",
            "score.assigned",
            &["/data/model", "/data/model_version", "/data/score", "/data/band", "/data/reasons"][..],
        ),
        ("Decision on a contact", "decision.contact_recorded", &["/data/allow", "/data/reasons", "/data/now"]),
        ("Decision on routing", "decision.routing_recorded", &["/data/seller", "/data/reasons"]),
    ] {
        for entry in material.of(prefix) {
            any = true;
            section.row(name, Found::of(entry, pointers));
        }
    }
    if any { section } else { section.note("None is recorded.") }
}

/// Article 15(1)(e), (f).
fn rights() -> Section {
    Section::new("Your rights (GDPR Art. 15(1)(e), (f))")
        .note("You may ask for rectification, erasure or restriction, and object (GDPR Art. 16 to 21).")
        .note("You may complain to the data protection authority of the place where you live or work (GDPR Art. 77).")
        .note("tables/portability.json holds what you provided, in a form that machines read (GDPR Art. 20).")
}

pub(super) fn tables(material: &Material<'_>) -> Vec<TableFile> {
    let file = |name, bytes| TableFile { name, bytes };
    let provided = |entry: &&PageEntry| PROVIDED.iter().any(|prefix| entry.event_type.starts_with(prefix));
    vec![
        file("tables/data.csv", data_csv(material).into_bytes()),
        file("tables/data.json", structured(material.own())),
        file("tables/portability.json", structured(material.own().filter(provided))),
    ]
}

fn data_csv(material: &Material<'_>) -> String {
    let notes = Categories::of_entries(material);
    let mut rows = Vec::new();
    for entry in material.own() {
        for pointer in entry.values.keys() {
            let value = entry.text(pointer);
            rows.push(vec![
                Cell::number(entry.position),
                Cell::Plain(entry.event_type.clone()),
                Cell::Plain(entry.when()),
                Cell::number(entry.recorded),
                Cell::Text(pointer.trim_start_matches('/').to_owned()),
                Cell::Text(notes.of(entry, pointer)),
                Cell::text(value.as_deref()),
            ]);
        }
    }
    csv::table(&["position", "type", "occurred", "recorded", "field", "category", "value"], &rows)
}

/// One object for each entry, its fields by pointer: what was shown of single fields has no other form.
fn structured<'a>(entries: impl Iterator<Item = &'a PageEntry>) -> Vec<u8> {
    let items: Vec<Value> = entries
        .map(|entry| {
            let fields: Map<String, Value> =
                entry.values.iter().map(|(pointer, value)| (pointer.clone(), value.clone())).collect();
            json!({
                "position": entry.position, "type": entry.event_type, "occurred": entry.when(),
                "recorded": entry.recorded, "schema_sha256": entry.schema, "fields": fields,
            })
        })
        .collect();
    let mut bytes =
        serde_json::to_vec_pretty(&json!({ "format": "tallystick-person/1", "entries": items })).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// Categories of the fields of the entries shown, by the schemas that ship.
struct Categories(BTreeMap<Digest, Vec<FieldNote>>);

impl Categories {
    fn of_entries(material: &Material<'_>) -> Categories {
        let mut notes = BTreeMap::new();
        let registry = Registry::builtin().ok();
        for entry in material.own() {
            let schema = registry.as_ref().and_then(|registry| registry.by_digest(&entry.schema));
            if let Some(schema) = schema {
                notes.entry(entry.schema).or_insert_with(|| schema.fields());
            }
        }
        Categories(notes)
    }

    fn of(&self, entry: &PageEntry, pointer: &str) -> String {
        let Some(data) = pointer.strip_prefix("/data") else { return "record keeping".to_owned() };
        let notes = self.0.get(&entry.schema).map(Vec::as_slice).unwrap_or_default();
        let above = |note: &FieldNote| {
            let named = note.pointer.split("/*").next().unwrap_or_default();
            data.strip_prefix(named).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        match category_of(notes, data) {
            Some(category) => category.to_owned(),
            None if notes.iter().any(above) => "facts without a category".to_owned(),
            None => "not described".to_owned(),
        }
    }
}
