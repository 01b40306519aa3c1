//! Promises of the module as a whole, on two small schemas and on every file that ships.

use serde_json::{Map, Value, json};

use super::*;
use crate::domain::identifier::IdentifierKind;
use crate::domain::parts::{PartKind, RetentionClass};
use crate::schema::upcast::Upcast;

/// A schema with every kind of field. Tests change it by JSON pointer.
pub(super) fn sale() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://tallystick.local/schemas/x.sale.v1",
        "title": "Sale", "description": "A sale.", "type": "object",
        "x-type": "x.sale", "x-version": 1, "x-class": "billing", "x-subject": true, "x-service": false,
        "properties": {
            "kind": {"type": "string", "description": "d", "enum": ["new", "renewal"], "maxLength": 7, "x-business": true},
            "amount": {"type": "object", "description": "d", "required": ["amount", "currency"], "properties": {
                "amount": {"type": "string", "description": "d", "maxLength": 20, "x-format": "amount", "x-business": true},
                "currency": {"type": "string", "description": "d", "maxLength": 3, "x-format": "currency", "x-business": true}}},
            "count": {"type": "integer", "description": "d", "minimum": 1, "maximum": 9, "x-business": true},
            "sellers": {"type": "array", "description": "d", "minItems": 1, "maxItems": 3, "uniqueItems": true, "x-business": true,
                "items": {"type": "string", "description": "d", "pattern": "^[a-z-]{1,20}$", "maxLength": 20, "x-business": true}},
            "lines": {"type": "array", "description": "d", "maxItems": 4, "x-business": true,
                "items": {"type": "object", "description": "d", "additionalProperties": false, "required": ["units"], "properties": {
                    "units": {"type": "integer", "description": "d", "minimum": 0, "maximum": 100, "x-business": true}}}},
            "sale": {"type": "string", "description": "d", "minLength": 1, "maxLength": 40, "x-ref": "sale", "x-category": "user.unique_id"},
            "call": {"type": "object", "description": "d", "properties": {
                "id": {"type": "string", "description": "d", "maxLength": 40, "x-ref": "call", "x-category": "user.unique_id"}}},
            "tags": {"type": "array", "description": "d", "maxItems": 3, "items": {"type": "string", "description": "d", "maxLength": 9, "x-category": "user.content.private"}},
            "client": {"type": "string", "description": "d", "maxLength": 40, "x-identifier": "ref", "x-category": "user.unique_id"},
            "phone": {"type": "string", "description": "d", "maxLength": 32, "x-format": "phone", "x-identifier": "phone", "x-category": "user.contact.phone_number"},
            "email": {"type": "string", "description": "d", "maxLength": 254, "x-format": "email", "x-identifier": "email", "x-category": "user.contact.email"},
            "address": {"type": "object", "description": "d", "properties": {
                "state": {"type": "string", "description": "d", "pattern": "^[A-Z]{2}$", "maxLength": 2, "x-business": true},
                "zip": {"type": "string", "description": "d", "maxLength": 10, "x-category": "user.contact.address.postal_code", "x-retention": "profile"}}},
            "note": {"type": ["string", "null"], "description": "d", "minLength": 2, "maxLength": 12, "x-category": "user.content.private", "x-retention": "profile"},
            "score": {"type": "number", "description": "d", "minimum": 0, "maximum": 1.5, "x-business": true},
            "extra": {"type": "object", "description": "d", "maxProperties": 2, "x-category": "user.content.private"}
        },
        "required": ["kind", "amount"],
        "anyOf": [{"required": ["phone"]}, {"required": ["email"]}]
    })
}

pub(super) fn data() -> Value {
    json!({
        "kind": "new", "amount": {"amount": "12.34", "currency": "USD", "memo": "gift"}, "count": 2, "sellers": ["broker-a", "b"],
        "lines": [{"units": 1}, {"units": 2}], "sale": "S-1", "call": {"id": "C-1"}, "tags": ["hot"], "client": "lead-7",
        "phone": "(614) 555-0142", "email": "Ann@Example.com", "address": {"state": "OH", "zip": "43004"}, "note": "hello",
        "score": 0.5, "extra": {"pet": "cat"}, "surprise": {"deep": [1]}
    })
}

pub(super) fn registry(schema: &Value) -> Result<Registry, SchemaError> {
    Registry::from_files([("x.sale.v1.json", schema.to_string().as_bytes())], &[])
}

pub(super) fn with(mut value: Value, pointer: &str, new: Value) -> Value {
    let (above, name) = pointer.rsplit_once('/').unwrap();
    let place = value.pointer_mut(above).unwrap();
    match place {
        Value::Array(items) => items[name.parse::<usize>().unwrap()] = new,
        _ => place[name] = new,
    }
    value
}

pub(super) fn without(mut value: Value, pointer: &str) -> Value {
    let (above, name) = pointer.rsplit_once('/').unwrap();
    value.pointer_mut(above).unwrap().as_object_mut().unwrap().remove(name).unwrap();
    value
}

#[test]
fn data_is_divided_by_marks_alone() {
    let registry = registry(&sale()).unwrap();
    let schema = registry.current("x.sale").unwrap();
    schema.validate(&data()).unwrap();
    let split = schema.split(data());
    assert_eq!(
        Value::Object(split.business),
        json!({
            "kind": "new", "amount": {"amount": "12.34", "currency": "USD"}, "count": 2, "sellers": ["broker-a", "b"],
            "lines": [{"units": 1}, {"units": 2}], "address": {"state": "OH"}, "score": 0.5
        })
    );
    let personal: Vec<_> = split.personal.into_iter().map(|(class, members)| (class, Value::Object(members))).collect();
    assert_eq!(
        personal,
        [
            (RetentionClass::Profile, json!({"address": {"zip": "43004"}, "note": "hello"})),
            (
                RetentionClass::Billing,
                json!({
                    "amount": {"memo": "gift"}, "sale": "S-1", "call": {"id": "C-1"}, "tags": ["hot"], "client": "lead-7",
                    "phone": "(614) 555-0142", "email": "Ann@Example.com", "extra": {"pet": "cat"}, "surprise": {"deep": [1]}
                })
            ),
        ]
    );
    let refs: Vec<_> =
        split.refs.iter().map(|field| (&*field.pointer, &*field.kind, &*field.value, field.identifies)).collect();
    assert_eq!(
        refs,
        [("/call/id", "call", "C-1", false), ("/client", "subject", "lead-7", true), ("/sale", "sale", "S-1", false)]
    );
    let identifiers: Vec<_> = split.identifiers.iter().map(|one| (one.kind, &*one.value)).collect();
    assert_eq!(identifiers, [(IdentifierKind::Email, "ann@example.com"), (IdentifierKind::Phone, "+16145550142")]);
}

#[test]
fn types_without_subject_have_and_keep_nothing_personal() {
    let headless = with(sale(), "/x-subject", json!(false));
    let SchemaError::Rules { breaks, .. } = registry(&headless).unwrap_err() else { panic!() };
    assert!(breaks.iter().any(|one| one.pointer == "/properties/note" && one.what.contains("no key would die")));
    assert!(!breaks.iter().any(|one| one.pointer == "/properties/sale"), "references may be there: {breaks:?}");
    // Past the rules on purpose: unknown properties of such a type are personal too.
    let split = unruled(headless).split(data());
    assert!(split.personal.is_empty() && !split.business.is_empty() && split.refs.len() == 3);
}

/// A schema that no rule has looked at.
fn unruled(schema: Value) -> EventSchema {
    let Value::Object(document) = schema else { panic!("not an object") };
    EventSchema::new("x.sale", 1, crate::crypto::hash::sha256(b""), document).unwrap()
}

#[test]
fn problems_name_place_and_rule_but_never_the_value() {
    let registry = registry(&sale()).unwrap();
    let schema = registry.current("x.sale").unwrap();
    let check = |changed: Value, expected: &[(&str, &str)]| {
        let found = schema.validate(&changed).unwrap_err();
        let got: Vec<_> = found.iter().map(|problem| (&*problem.pointer, problem.code)).collect();
        assert_eq!(got, expected, "{changed}");
        assert!(!format!("{found:?}").contains("SECRET"), "{found:?}");
    };
    check(json!([]), &[("", "wrong_type")]);
    check(without(data(), "/kind"), &[("/kind", "required_missing")]);
    check(without(data(), "/amount/currency"), &[("/amount/currency", "required_missing")]);
    check(without(without(data(), "/phone"), "/email"), &[("", "no_alternative_fits")]);
    for (pointer, value, code) in [
        ("/kind", json!("SECRET"), "not_in_enum"),
        ("/kind", json!(7), "wrong_type"),
        ("/amount/amount", json!("SECRET"), "amount_invalid"),
        ("/amount/amount", json!("1.0000001"), "amount_invalid"),
        ("/amount/amount", json!(12.5), "wrong_type"),
        ("/amount/currency", json!("ZZZ"), "currency_unknown"),
        ("/count", json!(10), "too_large"),
        ("/count", json!(0), "too_small"),
        ("/count", json!(1.5), "wrong_type"),
        ("/score", json!(1.6), "too_large"),
        ("/sellers", json!([]), "too_few_items"),
        ("/sellers", json!(["a", "b", "c", "d"]), "too_many_items"),
        ("/sellers", json!(["a", "a"]), "items_not_unique"),
        ("/sellers/1", json!("SECRET"), "pattern_mismatch"),
        ("/lines/0/units", json!(-1), "too_small"),
        ("/sale", json!(""), "too_short"),
        ("/phone", json!("SECRET"), "not_e164"),
        ("/email", json!("SECRET"), "email_invalid"),
        ("/note", json!("SECRET SECRET"), "too_long"),
        ("/extra", json!({"a": 1, "b": 2, "SECRET": 3}), "too_many_properties"),
        ("/extra/pet", json!(9_007_199_254_740_992_u64), "number_not_exact"),
        ("/surprise", json!(-9_007_199_254_740_992_i64), "number_not_exact"),
        ("/surprise", json!(1e300), "number_not_exact"),
    ] {
        check(with(data(), pointer, value), &[(pointer, code)]);
    }
    check(with(data(), "/lines/0/SECRET 1", json!(1)), &[("/lines/0", "property_unknown")]);
    check(with(data(), "/lines/0/color", json!("SECRET")), &[("/lines/0/color", "property_unknown")]);
    check(with(data(), "/614-555-SECRET", json!(1e300)), &[("", "number_not_exact")]);
    let detail = schema.validate(&without(without(data(), "/phone"), "/email")).unwrap_err()[0].detail.clone();
    assert_eq!(detail, "one of these is required: phone, email");
}

#[test]
fn what_json_schema_allows_passes() {
    let registry = registry(&sale()).unwrap();
    let schema = registry.current("x.sale").unwrap();
    for (pointer, value) in [
        ("/count", json!(2.0)),
        ("/note", Value::Null),
        ("/note", json!("éééééééééééé")),
        ("/sellers", json!(["a"])),
        ("/surprise", json!("\u{0}")),
        ("/extra", json!({})),
    ] {
        assert_eq!(schema.validate(&with(data(), pointer, value)), Ok(()), "{pointer}");
    }
}

#[test]
fn unmarked_items_keep_an_array_personal() {
    let named = json!([{"units": 1, "who": "Ann"}]);
    let open = unruled(with(sale(), "/properties/lines/items/additionalProperties", json!(true)));
    let closed = unruled(sale());
    for (schema, lines) in [(&open, named.clone()), (&open, json!([{"units": 1}])), (&closed, named)] {
        let split = schema.split(json!({ "lines": lines.clone() }));
        assert!(split.business.is_empty(), "neither an open item nor unchecked data is trusted");
        assert_eq!(split.personal[0].1["lines"], lines);
    }
}

#[test]
fn schemas_that_mark_personal_data_as_business_are_refused() {
    let business = |keywords: Value| {
        let mut node = json!({"type": "string", "description": "d", "maxLength": 20, "x-business": true});
        node.as_object_mut().unwrap().extend(keywords.as_object().unwrap().clone());
        node
    };
    let refused = |name: &str, node: Value| {
        let error = registry(&with(sale(), &format!("/properties/{name}"), node)).unwrap_err();
        let SchemaError::Rules { breaks, .. } = error else { panic!("{error}") };
        assert!(breaks.iter().all(|one| one.pointer.starts_with(&format!("/properties/{name}"))), "{breaks:?}");
        breaks[0].what.clone()
    };
    assert!(refused("color", business(json!({}))).contains("business text needs"));
    assert!(refused("color", business(json!({"pattern": "^.*$"}))).contains("matches personal text"));
    assert!(refused("color", business(json!({"pattern": "[a-z]+"}))).contains("business text needs"));
    assert!(
        refused("color", business(json!({"pattern": "^[a-z]{1,99}$", "maxLength": 99})))
            .contains("business text needs")
    );
    assert!(refused("zip", business(json!({"pattern": "^[0-9]{5}$"}))).contains("sounds personal"));
    assert!(refused("home_address", business(json!({"pattern": "^[a-z]{1,9}$"}))).contains("sounds personal"));
    assert!(
        refused(
            "phone_2",
            json!({"type": "integer", "description": "d", "minimum": 0, "maximum": 9, "x-business": true})
        )
        .contains("sounds personal")
    );
    assert!(refused("phone_2", business(json!({"x-format": "phone"}))).contains("sounds personal"));
    assert!(
        refused("blob", json!({"type": "object", "description": "d", "x-business": true})).contains("never business")
    );
    assert!(refused("derived", business(json!({"enum": ["a"]}))).contains("kept for derived"));
    let items =
        |items: Value| json!({"type": "array", "description": "d", "maxItems": 3, "x-business": true, "items": items});
    let person = json!({"type": "string", "description": "d", "maxLength": 9, "x-category": "user.name"});
    assert!(refused("people", items(person)).contains("only if all its items are"));
    let open = json!({"type": "object", "description": "d", "properties": {"n": business(json!({"enum": ["a"]}))}});
    assert!(refused("people", items(open)).contains("objects closed"));
    assert!(registry(&with(sale(), "/properties/color", business(json!({"pattern": "^[a-z]{1,9}$"})))).is_ok());
    assert!(
        registry(&with(
            sale(),
            "/properties/zip_known",
            json!({"type": "boolean", "description": "d", "x-business": true})
        ))
        .is_ok()
    );
}

#[test]
fn unbounded_unmarked_and_unknown_keywords_are_refused() {
    for (pointer, value, what) in [
        ("/properties/note", json!({"type": "string", "description": "d", "x-category": "user.name"}), "maxLength"),
        ("/properties/note", json!({"type": "string", "description": "d", "maxLength": 3}), "x-category"),
        ("/properties/note", json!({"type": "string", "maxLength": 3, "x-category": "user.name"}), "description"),
        ("/properties/note", json!({"description": "d", "x-category": "user.name"}), "type"),
        ("/properties/tags/maxItems", Value::Null, "maxItems"),
        ("/properties/tags/items/x-ref", json!("tag"), "inside an array"),
        ("/properties/count/maximum", Value::Null, "minimum and maximum"),
        ("/properties/note/x-buisness", json!(true), "x-buisness"),
        ("/properties/note/$ref", json!("https://example.com/x"), "$ref"),
        ("/properties/note/format", json!("email"), "format"),
        ("/properties/note/x-retention", json!("forever"), "x-retention"),
        ("/properties/note/x-format", json!("zip"), "x-format"),
        ("/properties/note/x-identifier", json!("phone"), "x-identifier"),
        ("/properties/sale/x-business", json!(true), "stays personal"),
        ("/properties/note/pattern", json!("^(?=a)b$"), "pattern"),
        ("/required", json!(["kind", "nothing"]), "not a property"),
        ("/anyOf", json!([{"properties": {"note": {"x-business": true}}}]), "not mark"),
        ("/x-class", json!("forever"), "x-class"),
        ("/x-version", json!(2), "x-version"),
        ("/$id", json!("x"), "$id"),
    ] {
        let error = registry(&with(sale(), pointer, value)).unwrap_err();
        let SchemaError::Rules { breaks, .. } = &error else { panic!("{error}") };
        assert!(breaks.iter().any(|one| one.what.contains(what)), "{pointer}: {breaks:?}");
    }
    let files = |name| Registry::from_files([(name, sale().to_string().as_bytes())], &[]).map(|_| ());
    assert!(matches!(files("x.sale.json"), Err(SchemaError::FileName(_))));
    assert!(matches!(files("x.sale.v01.json"), Err(SchemaError::FileName(_))));
    assert!(matches!(files("x.other.v1.json"), Err(SchemaError::Rules { .. })));
}

#[test]
fn customers_register_types_in_order_and_twice_without_harm() {
    let empty = Registry::from_files([], &[]).unwrap();
    let one = empty.with_custom(sale().to_string().as_bytes()).unwrap();
    assert!(empty.current("x.sale").is_none(), "a registry is a value");
    assert_eq!(one.with_custom(sale().to_string().as_bytes()).unwrap().all().len(), 1);
    let version = |number: u32| {
        let id = format!("https://tallystick.local/schemas/x.sale.v{number}");
        with(with(sale(), "/x-version", json!(number)), "/$id", json!(id)).to_string()
    };
    let two = one.with_custom(version(2).as_bytes()).unwrap();
    assert_eq!((two.current("x.sale").unwrap().version, two.version("x.sale", 1).unwrap().version), (2, 1));
    let old = two.version("x.sale", 1).unwrap();
    assert_eq!(two.by_digest(&old.digest).unwrap().version, 1);
    assert_eq!(old.upcast(PartKind::Business, Map::new()), Map::new());
    let refused =
        |json: String| assert!(matches!(one.with_custom(json.as_bytes()), Err(SchemaError::Custom(_))), "{json}");
    refused(version(1).replace("A sale.", "Another sale."));
    refused(version(3));
    refused(version(2).replace("\"billing\"", "\"suppression\""));
    refused(version(2).replace("\"x-service\":false", "\"x-service\":true"));
    refused(version(2).replace("\"x.sale\"", "\"sale.made\""));
    refused(version(2).replace("\"x.sale\"", "\"x.Sale\""));
    refused(format!("{}{}", version(2), " ".repeat(registry::CUSTOM_BYTES_MAX)));
    assert!(matches!(one.with_custom(b"[]"), Err(SchemaError::NotJson(_))));
    let bad_example = with(sale(), "/examples", json!([{"type": "x.sale", "data": {}}])).to_string();
    assert!(matches!(empty.with_custom(bad_example.as_bytes()), Err(SchemaError::Example { .. })));
}

#[test]
fn old_data_is_read_step_by_step_and_a_missing_step_stops_the_start() {
    let file = |version: u32| {
        let id = format!("https://tallystick.local/schemas/test.sold.v{version}");
        with(with(with(sale(), "/x-version", json!(version)), "/$id", json!(id)), "/x-type", json!("test.sold"))
            .to_string()
    };
    let (one, two, three) = (file(1), file(2), file(3));
    let files = || {
        [
            ("test.sold.v2.json", two.as_bytes()),
            ("test.sold.v1.json", one.as_bytes()),
            ("test.sold.v3.json", three.as_bytes()),
        ]
    };
    fn rename(part: PartKind, members: &mut Map<String, Value>) {
        if part == PartKind::Business
            && let Some(value) = members.remove("type")
        {
            members.insert("kind".into(), value);
        }
    }
    fn count(_: PartKind, members: &mut Map<String, Value>) {
        members.entry("count").or_insert(json!(1));
    }
    let steps = [
        Upcast { event_type: "test.sold", from: 2, apply: count },
        Upcast { event_type: "test.sold", from: 1, apply: rename },
    ];
    let registry = Registry::from_files(files(), &steps).unwrap();
    let members = json!({"type": "new"}).as_object().unwrap().clone();
    let read = |version, part| registry.version("test.sold", version).unwrap().upcast(part, members.clone());
    assert_eq!(Value::Object(read(1, PartKind::Business)), json!({"kind": "new", "count": 1}));
    assert_eq!(Value::Object(read(1, PartKind::Personal)), json!({"type": "new", "count": 1}));
    assert_eq!(Value::Object(read(3, PartKind::Business)), json!({"type": "new"}));
    let missing = Registry::from_files(files(), &steps[..1]).unwrap_err();
    assert_eq!(missing, SchemaError::UpcastMissing { event_type: "test.sold".into(), from: 1 });
}

#[test]
fn every_shipped_file_keeps_the_rules() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    let mut breaks = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if !name.ends_with(".json") {
            continue;
        }
        let content = std::fs::read(&path).unwrap();
        match Registry::from_files([(name, content.as_slice())], &[]) {
            Err(SchemaError::Rules { name, breaks: found }) => {
                breaks.extend(found.iter().map(|one| format!("{name} {one}")))
            }
            Err(error) => breaks.push(error.to_string()),
            Ok(_) => {}
        }
    }
    breaks.sort();
    assert!(breaks.is_empty(), "{}", breaks.join("\n"));
}

#[test]
fn every_shipped_schema_keeps_the_rules_and_its_example_passes() {
    let registry = Registry::builtin().unwrap();
    for schema in registry.all() {
        schema.check_example().unwrap_or_else(|error| panic!("{error}"));
        let data = schema.example().unwrap()["data"].clone();
        let split = schema.split(data.clone());
        let mut count = split.business.len();
        count += split.personal.iter().map(|(_, members)| members.len()).sum::<usize>();
        let kept = schema.needs_subject || schema.subject_optional;
        assert!(!kept || count >= data.as_object().unwrap().len(), "{} loses a field", schema.name());
        assert!(!schema.needs_subject || !schema.subject_optional, "{}", schema.name());
    }
}

#[test]
fn every_file_of_the_folder_is_built_in() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    let listed = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut listed: Vec<String> = listed.filter(|name| name.ends_with(".json")).collect();
    listed.sort();
    let mut built: Vec<String> =
        Registry::builtin().unwrap().all().iter().map(|schema| schema.name() + ".json").collect();
    built.sort();
    assert_eq!(built, listed, "touch src/schema/registry.rs: the compiler does not see new files");
}
