//! Promises held against data that nobody thought of: the examples of every schema, changed at random.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::tests::{data, registry, sale, with, without};
use super::*;

/// A JSON value of any kind, small, with strings that sometimes fit.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (-3_i64..200).prop_map(Value::from),
        Just(json!(1.0)),
        Just(json!(0.75)),
        Just(json!(u64::MAX)),
        prop_oneof![
            "[A-Za-z0-9._-]{0,8}",
            ".{0,300}",
            Just(String::from("USD")),
            Just(String::from("2026-11-03T16:40:00Z"))
        ]
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            proptest::collection::btree_map("[a-z_]{1,8}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Every place in a value that can be changed.
fn places(value: &Value, pointer: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let below = format!("{pointer}/{name}");
                found.push(below.clone());
                places(value, &below, found);
            }
        }
        Value::Array(items) => {
            for (place, item) in items.iter().enumerate() {
                let below = format!("{pointer}/{place}");
                found.push(below.clone());
                places(item, &below, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn mutated(data: &Value, kind: u8, choice: usize, new: Value) -> Value {
    let mut found = Vec::new();
    places(data, "", &mut found);
    let Some(pointer) = found.get(choice % found.len().max(1)) else { return new };
    let (above, _) = pointer.rsplit_once('/').unwrap();
    match kind {
        0 if data.pointer(above).unwrap().is_object() => without(data.clone(), pointer),
        1 if data.pointer(above).unwrap().is_object() => with(data.clone(), &format!("{above}/unknown_one"), new),
        _ => with(data.clone(), pointer, new),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever is not accepted has problems to show, and what is accepted has a canonical text and can be divided.
    #[test]
    fn every_refusal_is_explained(
        schema_choice: usize, changes in proptest::collection::vec((0_u8..4, any::<usize>(), any_value()), 0..3),
    ) {
        thread_local! {
            static ALL: Vec<(std::sync::Arc<EventSchema>, Value)> = {
                let own = registry(&sale()).unwrap();
                let mut all = vec![(own.all()[0].clone(), data()); 20];
                for schema in Registry::builtin().unwrap().all() {
                    all.push((schema.clone(), schema.example().unwrap()["data"].clone()));
                }
                all
            };
        }
        ALL.with(|all| {
            let (schema, example) = &all[schema_choice % all.len()];
            let changed = changes.into_iter().fold(example.clone(), |data, (kind, choice, new)| mutated(&data, kind, choice, new));
            match schema.validate(&changed) {
                Err(found) => {
                    prop_assert!(!found.is_empty() && found.iter().all(|problem| problem.code != "schema_mismatch"), "{:?}", found);
                    prop_assert!(found.iter().all(|problem| !problem.detail.is_empty()));
                }
                Ok(()) => prop_assert!(canonical_json(&changed, &mut Vec::new()).is_ok(), "{}", changed),
            }
            Ok(())
        })?;
    }

    /// Nothing is lost, doubled or moved where it must not be.
    #[test]
    fn parts_put_together_are_the_data(changes in proptest::collection::vec((0_u8..4, any::<usize>(), any_value()), 0..4)) {
        fn merge(into: &mut Map<String, Value>, from: Map<String, Value>) {
            for (name, value) in from {
                match (into.get_mut(&name), value) {
                    (Some(Value::Object(a)), Value::Object(b)) => merge(a, b),
                    (None, value) => { into.insert(name, value); }
                    (Some(_), _) => panic!("{name} stands in two parts"),
                }
            }
        }
        let registry = registry(&sale()).unwrap();
        let changed = changes.into_iter().fold(data(), |data, (kind, choice, new)| mutated(&data, kind, choice, new));
        prop_assume!(changed.is_object());
        let split = registry.all()[0].split(changed.clone());
        let mut whole = split.business;
        split.personal.into_iter().for_each(|(_, members)| merge(&mut whole, members));
        prop_assert_eq!(Value::Object(whole), changed);
    }
}
