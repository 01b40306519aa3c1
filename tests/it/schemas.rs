//! Golden files of the schemas: what each version is, and what of it survives an erasure.
//!
//! A digest that changes breaks every entry that names it, and a new line in `business_fields.txt` is data that erasure
//! will not reach: both must be seen in review. `TALLYSTICK_BLESS=1 cargo test --test it schemas` writes the files anew.

use std::fmt::Write as _;
use std::path::Path;

use tallystick::schema::derive::DERIVED_FACTS;
use tallystick::schema::{FieldPlace, Registry};

#[expect(clippy::disallowed_methods, reason = "the one switch of this test")]
fn compare(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var("TALLYSTICK_BLESS").is_ok_and(|value| value == "1") {
        std::fs::write(&path, actual).unwrap();
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
