//! The record of processing activities (GDPR article 30), generated from the schemas and the rules of retention: it cannot
//! say less than what the ledger accepts. What no program can know, the controller fills in.

use std::collections::{BTreeMap, BTreeSet};

use super::{Found, Section, TableFile};
use crate::exports::csv::{self, Cell};
use crate::policy::retention::Retention;
use crate::schema::{FieldPlace, Registry};

const COLUMNS: [&str; 8] = [
    "activity",
    "types",
    "purpose",
    "data_subjects",
    "personal_data",
    "recipients",
    "time_limits",
    "source_of_time_limits",
];

/// Purpose, data subjects and recipients of a family of types: article 30(1)(b), (c), (d).
const FAMILIES: [(&str, &str, &str, &str); 14] = [
    ("access", "control of access to the ledger", "users of the ledger", "none"),
    ("appointment", "appointments with interested persons", "leads", "sellers who take the appointment"),
    ("consent", "proof of consent and of its withdrawal", "leads", "sellers named in the consent"),
    (
        "contact",
        "contacting persons by phone, text and e-mail, and its records",
        "leads",
        "sellers on whose behalf, carriers and senders",
    ),
    ("decision", "checking before each contact whether it is allowed", "leads", "none"),
    ("export", "evidence for persons, authorities and courts", "leads", "whoever the export is made for"),
    ("hold", "keeping what a dispute needs", "leads", "courts and counsel"),
    ("identifier", "knowing which records are about the same person", "leads", "none"),
    ("lead", "receiving, qualifying and selling leads", "leads", "sellers who are offered or given the lead"),
    ("privacy", "answering requests of persons about their data", "leads", "recipients who have to be told"),
    ("relationship", "knowing existing business relationships", "leads and customers", "none"),
    ("revenue", "accounts of sales, costs and refunds", "leads and customers", "tax advisers and authorities"),
    ("score", "estimating the value of a lead", "leads", "none"),
    (
        "suppression",
        "not contacting persons who do not want it",
        "persons who asked not to be contacted",
        "list providers that are queried",
    ),
];

/// One activity: a family of event types.
#[derive(Default)]
struct Activity {
    types: BTreeSet<String>,
    categories: BTreeSet<String>,
    classes: BTreeSet<crate::domain::parts::RetentionClass>,
}

fn activities() -> BTreeMap<String, Activity> {
    let mut all: BTreeMap<String, Activity> = BTreeMap::new();
    let Ok(registry) = Registry::builtin() else { return all };
    for schema in registry.all() {
        let notes = schema.fields();
        let personal = notes.iter().filter(|note| note.place != FieldPlace::Business);
        let family = schema.event_type.split('.').next().unwrap_or_default().to_owned();
        for note in personal {
            let activity = all.entry(family.clone()).or_default();
            activity.types.insert(schema.event_type.clone());
            activity.categories.extend(note.category.clone());
            if let FieldPlace::Personal(class) | FieldPlace::Ref(class, _) = &note.place {
                activity.classes.insert(*class);
            }
        }
    }
    all
}

/// One row for each activity, in the order of [`COLUMNS`].
fn rows() -> Vec<[String; 8]> {
    let join = |texts: &BTreeSet<String>| texts.iter().cloned().collect::<Vec<_>>().join(", ");
    let row = |(family, activity): (String, Activity)| {
        let known = FAMILIES.iter().find(|(name, ..)| *name == family);
        let of = |pick: fn(&(&'static str, &'static str, &'static str, &'static str)) -> &'static str| {
            known.map_or("to be described by the controller", pick).to_owned()
        };
        let rules = activity.classes.iter().filter_map(|class| Some((class, Retention::builtin().ok()?.rule(*class)?)));
        let (mut limits, mut sources) = (Vec::new(), Vec::new());
        for (class, rule) in rules {
            let days = rule.days.map_or_else(|| "no end by time".to_owned(), |days| format!("{days} days"));
            limits.push(format!("{class}: {days}"));
            sources.push(format!("{class}: {}", rule.source));
        }
        [
            family,
            join(&activity.types),
            of(|known| known.1),
            of(|known| known.2),
            join(&activity.categories),
            of(|known| known.3),
            limits.join("; "),
            sources.join("; "),
        ]
    };
    activities().into_iter().map(row).collect()
}

pub(super) fn sections() -> Vec<Section> {
    let mut general = Section::new("Record of processing activities (GDPR Art. 30(1))");
    for (name, value) in [
        ("(a) Controller, representative, data protection officer", "to be filled in by the controller"),
        (
            "(e) Transfers to third countries",
            "none by the ledger itself; recipients elsewhere to be filled in by the controller",
        ),
        (
            "(g) Security measures (Art. 32(1))",
            "each event is sealed with AES-256-GCM under keys of its own person, class and quarter; keys are wrapped and kept apart; \
             entries are chained, signed and verified; access by role; erasure destroys keys",
        ),
        (
            "Where the rules stand",
            "schemas/*.json and policies/retention.toml of this program; the schemas are in this bundle",
        ),
    ] {
        general.row(name, Found::value(value, &[]));
    }
    let mut sections = vec![general];
    for row in rows() {
        let [family, types, purpose, subjects, categories, recipients, limits, sources] = row;
        let mut section = Section::new(format!("Activity: {family}"));
        for (name, value) in [
            ("(b) Purpose", purpose),
            ("(c) Persons", subjects),
            ("(c) Categories of data", categories),
            ("(d) Categories of recipients", recipients),
            ("(f) Time limits", limits),
            ("Source of the time limits", sources),
            ("Event types", types),
        ] {
            section.row(name, Found::value(value, &[]));
        }
        sections.push(section);
    }
    sections
}

pub(super) fn tables() -> Vec<TableFile> {
    let cells: Vec<Vec<Cell>> = rows().into_iter().map(|row| row.into_iter().map(Cell::Text).collect()).collect();
    vec![TableFile { name: "tables/processing.csv", bytes: csv::table(&COLUMNS, &cells).into_bytes() }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_with_personal_fields_is_in_the_record() {
        let rows = rows();
        let registry = Registry::builtin().unwrap();
        for schema in registry.all() {
            // One row a type, over all versions of it: what was recorded under an old one is still here.
            let versions = registry.all().iter().filter(|other| other.event_type == schema.event_type);
            let personal: Vec<_> =
                versions.flat_map(|other| other.fields()).filter(|note| note.place != FieldPlace::Business).collect();
            let row = rows.iter().find(|row| row[1].split(", ").any(|name| name == schema.event_type));
            assert_eq!(row.is_some(), !personal.is_empty(), "{}", schema.event_type);
            for note in personal {
                let category = note.category.unwrap_or_default();
                assert!(row.unwrap()[4].contains(&category), "{} {}", schema.event_type, note.pointer);
            }
        }
    }
}
