//! RFC 8785: one JSON text for each JSON value, so that equal data has equal bytes and equal digests.
//!
//! Promises: members sorted by the UTF-16 code units of their names, numbers as ECMAScript prints them, the shortest
//! escapes, no blanks. Refuses integers beyond 2^53 - 1 instead of letting two readers see two numbers.

use serde_json::{Map, Number, Value};

/// The largest integer that every reader of JSON holds exactly (RFC 8785 section 3.2.2.3, RFC 7493 section 2.2).
pub const INTEGER_MAX: u64 = (1 << 53) - 1;

/// Why a value has no canonical text. Never carries the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JcsError {
    /// A number that is not exact in every reader.
    #[error("a number lies beyond 2^53 - 1 and would not be exact")]
    NumberNotExact,
}

/// Appends the canonical text of `value` to `out`. On an error `out` holds a useless beginning.
///
/// # Errors
/// [`JcsError::NumberNotExact`].
pub fn canonical_json(value: &Value, out: &mut Vec<u8>) -> Result<(), JcsError> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => write_number(number, out)?,
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                canonical_json(item, out)?;
            }
            out.push(b']');
        }
        Value::Object(members) => canonical_object(members, out)?,
    }
    Ok(())
}

/// As [`canonical_json`] for the members of an object.
///
/// # Errors
/// [`JcsError::NumberNotExact`].
pub fn canonical_object(members: &Map<String, Value>, out: &mut Vec<u8>) -> Result<(), JcsError> {
    out.push(b'{');
    // The map is sorted by UTF-8 bytes. That is also the order by UTF-16 units unless a name has a character from U+E000
    // up, where surrogate pairs (U+D800..) sort first although their code points are higher.
    if members.keys().all(|name| name.bytes().all(|byte| byte < 0xee)) {
        write_members(members.iter(), out)?;
    } else {
        let mut sorted: Vec<(&String, &Value)> = members.iter().collect();
        sorted.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
        write_members(sorted.into_iter(), out)?;
    }
    out.push(b'}');
    Ok(())
}

/// True if `number` is finite and no larger than 2^53 - 1, so that every reader holds what the writer meant.
pub fn is_exact(number: &Number) -> bool {
    if let Some(integer) = number.as_i64() {
        return integer.unsigned_abs() <= INTEGER_MAX;
    }
    // Also covers integers too large for 64 bits, which arrive here as floating point already rounded.
    number.as_u64().is_none() && number.as_f64().is_some_and(|float| float.abs() <= 9_007_199_254_740_991.0)
}

fn write_members<'a>(
    members: impl Iterator<Item = (&'a String, &'a Value)>,
    out: &mut Vec<u8>,
) -> Result<(), JcsError> {
    for (place, (name, value)) in members.enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write_string(name, out);
        out.push(b':');
        canonical_json(value, out)?;
    }
    Ok(())
}

fn write_number(number: &Number, out: &mut Vec<u8>) -> Result<(), JcsError> {
    if !number.is_f64() && !is_exact(number) {
        return Err(JcsError::NumberNotExact);
    }
    if let Some(integer) = number.as_i64() {
        write_integer(integer, out);
        return Ok(());
    }
    match number.as_f64() {
        Some(float) if float.is_finite() => {
            out.extend_from_slice(ryu_js::Buffer::new().format_finite(float).as_bytes());
            Ok(())
        }
        _ => Err(JcsError::NumberNotExact),
    }
}

fn write_integer(integer: i64, out: &mut Vec<u8>) {
    if integer < 0 {
        out.push(b'-');
    }
    let mut digits = [0_u8; 20];
    let mut rest = integer.unsigned_abs();
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        // A remainder by ten fits u8.
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    out.extend(digits.iter().skip(digits.len() - used));
}

/// Runs of characters that need no escape are copied whole.
fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(place) = rest.iter().position(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        let (run, from_escape) = rest.split_at(place);
        out.extend_from_slice(run);
        if let Some((&byte, after)) = from_escape.split_first() {
            write_escape(byte, out);
            rest = after;
        }
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

fn write_escape(byte: u8, out: &mut Vec<u8>) {
    let letter = match byte {
        b'"' => b'"',
        b'\\' => b'\\',
        0x08 => b'b',
        0x09 => b't',
        0x0a => b'n',
        0x0c => b'f',
        0x0d => b'r',
        _ => {
            out.extend_from_slice(b"\\u00");
            out.push(hex_digit(byte >> 4));
            out.push(hex_digit(byte & 15));
            return;
        }
    };
    out.push(b'\\');
    out.push(letter);
}

const fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn canonical(value: &Value) -> Result<String, JcsError> {
        let mut out = Vec::new();
        canonical_json(value, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    /// RFC 8785 section 3.2.2: literals, numbers and strings.
    #[test]
    fn rfc_example_is_reproduced() {
        let input = r#"{"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
            "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false]}"#;
        let expected = "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\
            \"string\":\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}";
        assert_eq!(canonical(&serde_json::from_str(input).unwrap()).unwrap(), expected);
    }

    /// RFC 8785 section 3.2.3: names sort by UTF-16 code units.
    #[test]
    fn rfc_sorting_example_is_reproduced() {
        let input = r#"{"\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh",
            "1": "One", "\ud83d\ude00": "Emoji: Grinning Face", "\u0080": "Control", "\u00f6": "Latin Small Letter O With Diaeresis"}"#;
        let text = canonical(&serde_json::from_str(input).unwrap()).unwrap();
        let order = ["Carriage Return", "One", "Control", "Latin Small", "Euro Sign", "Emoji", "Hebrew"];
        let places: Vec<usize> = order.iter().map(|name| text.find(name).unwrap()).collect();
        assert!(places.is_sorted(), "{text}");
    }

    /// RFC 8785 appendix B, by bit pattern.
    #[test]
    fn rfc_number_samples_are_reproduced() {
        for (bits, expected) in [
            (0x0000000000000000_u64, "0"),
            (0x8000000000000000, "0"),
            (0x0000000000000001, "5e-324"),
            (0x8000000000000001, "-5e-324"),
            (0x7fefffffffffffff, "1.7976931348623157e+308"),
            (0xffefffffffffffff, "-1.7976931348623157e+308"),
            (0x4340000000000000, "9007199254740992"),
            (0xc340000000000000, "-9007199254740992"),
            (0x4430000000000000, "295147905179352830000"),
            (0x44b52d02c7e14af5, "9.999999999999997e+22"),
            (0x44b52d02c7e14af6, "1e+23"),
            (0x44b52d02c7e14af7, "1.0000000000000001e+23"),
            (0x444b1ae4d6e2ef4e, "999999999999999700000"),
            (0x444b1ae4d6e2ef4f, "999999999999999900000"),
            (0x444b1ae4d6e2ef50, "1e+21"),
            (0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"),
            (0x3eb0c6f7a0b5ed8d, "0.000001"),
            (0x41b3de4355555553, "333333333.3333332"),
            (0x41b3de4355555554, "333333333.33333325"),
            (0x41b3de4355555555, "333333333.3333333"),
            (0x41b3de4355555556, "333333333.3333334"),
            (0x41b3de4355555557, "333333333.33333343"),
            (0xbecbf647612f3696, "-0.0000033333333333333333"),
            (0x43143ff3c1cb0959, "1424953923781206.2"),
        ] {
            assert_eq!(canonical(&json!(f64::from_bits(bits))).unwrap(), expected, "{bits:016x}");
        }
    }

    #[test]
    fn integers_that_readers_would_round_are_refused() {
        for text in ["9007199254740992", "-9007199254740992", "18446744073709551615"] {
            let value: Value = serde_json::from_str(text).unwrap();
            assert_eq!(canonical(&value), Err(JcsError::NumberNotExact));
        }
        for text in ["9007199254740992", "18446744073709551616", "1e300", "-1e300"] {
            let number: Number = serde_json::from_str(text).unwrap();
            assert!(!is_exact(&number), "{text}");
        }
        for text in ["9007199254740991", "-9007199254740991", "0.1", "-0.0", "1.5e10"] {
            let number: Number = serde_json::from_str(text).unwrap();
            assert!(is_exact(&number), "{text}");
        }
        assert_eq!(
            canonical(&json!([0, -1, 42, i64::from(i32::MIN), 1.0, -0.0])).unwrap(),
            "[0,-1,42,-2147483648,1,0]"
        );
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            (-9_007_199_254_740_991_i64..=9_007_199_254_740_991).prop_map(Value::from),
            any::<f64>().prop_filter("not whole", |x| x.is_finite() && x.fract() != 0.0).prop_map(Value::from),
            any::<String>().prop_map(Value::String),
        ];
        leaf.prop_recursive(4, 48, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
                proptest::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn canonical_text_reads_back_and_is_a_fixed_point(value in any_value()) {
            let text = canonical(&value).unwrap();
            let read: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&read, &value);
            prop_assert_eq!(canonical(&read).unwrap(), text);
        }
    }
}
