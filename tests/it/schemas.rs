//! Golden files of the schemas: what each version is, and what of it survives an erasure.
//!
//! A digest that changes breaks every entry that names it, and a new line in `business_fields.txt` is data that erasure
//! will not reach: both must be seen in review. `TALLYSTICK_BLESS=1 cargo test --test it schemas` writes the files anew.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use tallystick::schema::derive::DERIVED_FACTS;
use tallystick::schema::{FieldPlace, Registry, canonical_json};

#[expect(clippy::disallowed_methods, reason = "the one switch of this test")]
fn compare(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var("TALLYSTICK_BLESS").is_ok_and(|value| value == "1") {
        assert!(std::fs::write(&path, actual).is_ok(), "tests/golden/{name} cannot be written");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    let changed = |a: &str, b: &str| a.lines().filter(|line| !b.contains(line)).take(12).collect::<Vec<_>>().join("\n");
    assert!(
        expected == actual,
        "tests/golden/{name} differs.\nonly in the golden file:\n{}\nonly now:\n{}\nIf that is meant: TALLYSTICK_BLESS=1 cargo test --test it schemas",
        changed(&expected, actual),
        changed(actual, &expected),
    );
}

#[test]
fn published_schemas_never_change() {
    let mut text = String::new();
    for schema in Registry::builtin().unwrap().all() {
        writeln!(text, "{} {} {}", schema.event_type, schema.version, schema.digest).unwrap();
    }
    compare("schemas.txt", &text);
}

#[test]
fn business_fields_are_a_closed_list() {
    let mut text =
        String::from("# Fields that outlive an erasure: business, public (unsealed), ref (a keyed hash), derived.\n");
    for schema in Registry::builtin().unwrap().all() {
        for field in schema.fields() {
            match &field.place {
                FieldPlace::Business if schema.public => writeln!(text, "{} {} public", schema.name(), field.pointer),
                FieldPlace::Business => writeln!(text, "{} {} business", schema.name(), field.pointer),
                FieldPlace::Ref(_, kind) => writeln!(text, "{} {} ref {kind}", schema.name(), field.pointer),
                FieldPlace::Personal(_) => Ok(()),
            }
            .unwrap();
        }
    }
    for (name, meaning) in DERIVED_FACTS {
        writeln!(text, "derived {name}: {meaning}").unwrap();
    }
    compare("business_fields.txt", &text);
}

/// Prints what one event costs: `cargo test --profile ci --test it -- --ignored --nocapture costs`.
#[test]
#[ignore = "prints figures"]
fn costs() {
    let started = Instant::now();
    let registry = Registry::builtin().unwrap();
    println!("registry of {} schemas: {:?}", registry.all().len(), started.elapsed());
    for event_type in ["consent.granted", "contact.attempted", "revenue.recorded", "lead.received"] {
        let schema = registry.current(event_type).unwrap();
        let reference = jsonschema::options().should_validate_formats(false).build(&schema.document).unwrap();
        let data = &schema.example().unwrap()["data"];
        let bytes = data.to_string().len();
        let time = |name: &str, work: &mut dyn FnMut()| {
            let rounds = 20_000;
            let started = Instant::now();
            (0..rounds).for_each(|_| work());
            println!("{event_type} ({bytes} B) {name}: {} ns", started.elapsed().as_nanos() / rounds);
        };
        time("jsonschema alone", &mut || assert!(reference.is_valid(data)));
        time("validate", &mut || assert!(schema.validate(data).is_ok()));
        time("clone", &mut || drop(data.clone()));
        time("clone + split", &mut || drop(schema.split(data.clone())));
        time("derive", &mut || drop(schema.derive(data)));
        let mut out = Vec::with_capacity(2 * bytes);
        time("canonical_json", &mut || {
            out.clear();
            canonical_json(data, &mut out).unwrap();
        });
        time("serde_json::to_writer", &mut || {
            out.clear();
            serde_json::to_writer(&mut out, data).unwrap();
        });
    }
}
