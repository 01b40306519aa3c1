//! Reads canonical JSON (RFC 8785) into its leaves without building a tree: each leaf's value is a slice of the input, so
//! what is hashed is what was sealed.
//!
//! It refuses what RFC 8785 would not write: white space, unsorted or repeated members, other escapes. A repeated member
//! would give two leaves one path. Of numbers only the grammar is checked: their text is hashed as it stands.

use std::borrow::Cow;
use std::ops::Range;

use super::fields::FieldError;

/// Deepest nesting accepted; `serde_json` reads no deeper.
const DEPTH_MAX: u32 = 128;

/// The leaves of one document, in the order of their path's bytes.
pub(super) struct Leaves<'a> {
    paths: String,
    leaves: Vec<Leaf<'a>>,
}

struct Leaf<'a> {
    path: Range<usize>,
    value: &'a str,
}

impl<'a> Leaves<'a> {
    /// The leaves of `json`; at least one, since an empty container is a leaf.
    pub(super) fn parse(json: &'a [u8]) -> Result<Leaves<'a>, FieldError> {
        let text = std::str::from_utf8(json).map_err(|error| FieldError::NotCanonical { at: error.valid_up_to() })?;
        let mut scanner = Scanner {
            text,
            at: 0,
            path: String::with_capacity(64),
            found: Leaves { paths: String::with_capacity(256), leaves: Vec::with_capacity(16) },
        };
        scanner.value(0)?;
        if scanner.at != text.len() {
            return Err(scanner.refused());
        }
        let mut found = scanner.found;
        let paths = &found.paths;
        let path = |leaf: &Leaf<'_>| &paths.as_bytes()[leaf.path.clone()];
        // Members come in UTF-16 order of their names, which is nearly always path order already.
        if !found.leaves.is_sorted_by(|left, right| path(left) < path(right)) {
            found.leaves.sort_unstable_by(|left, right| path(left).cmp(path(right)));
        }
        Ok(found)
    }

    /// Path and value of each leaf.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &'a str)> {
        self.leaves.iter().map(|leaf| (&self.paths[leaf.path.clone()], leaf.value))
    }
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    path: String,
    found: Leaves<'a>,
}

impl<'a> Scanner<'a> {
    fn value(&mut self, depth: u32) -> Result<(), FieldError> {
        if depth > DEPTH_MAX {
            return Err(FieldError::TooDeep);
        }
        let start = self.at;
        match self.peek() {
            Some(b'{') => return self.object(depth),
            Some(b'[') => return self.array(depth),
            Some(b'"') => {
                self.string()?;
            }
            Some(b't') => self.literal("true")?,
            Some(b'f') => self.literal("false")?,
            Some(b'n') => self.literal("null")?,
            Some(_) | None => self.number()?,
        }
        self.leaf(start);
        Ok(())
    }

    fn object(&mut self, depth: u32) -> Result<(), FieldError> {
        let (start, prefix) = (self.at, self.path.len());
        self.at += 1;
        if self.take(b'}') {
            self.leaf(start);
            return Ok(());
        }
        let mut previous: Option<Cow<'a, str>> = None;
        loop {
            let key_at = self.at;
            let key = self.key()?;
            if previous.as_deref().is_some_and(|previous| !utf16_less(previous, &key)) {
                return Err(FieldError::NotCanonical { at: key_at });
            }
            self.expect(b':')?;
            self.push_segment(&key);
            self.value(depth + 1)?;
            self.path.truncate(prefix);
            previous = Some(key);
            if !self.take(b',') {
                return self.expect(b'}');
            }
        }
    }

    fn array(&mut self, depth: u32) -> Result<(), FieldError> {
        let (start, prefix) = (self.at, self.path.len());
        self.at += 1;
        if self.take(b']') {
            self.leaf(start);
            return Ok(());
        }
        for index in 0_u64.. {
            self.push_segment(&index.to_string());
            self.value(depth + 1)?;
            self.path.truncate(prefix);
            if !self.take(b',') {
                break;
            }
        }
        self.expect(b']')
    }

    /// Adds the text from `start` to here as a leaf at the current path.
    fn leaf(&mut self, start: usize) {
        let from = self.found.paths.len();
        self.found.paths.push_str(&self.path);
        let path = from..self.found.paths.len();
        self.found.leaves.push(Leaf { path, value: &self.text[start..self.at] });
    }

    /// One reference token of RFC 6901 section 3: `~` and `/` are escaped.
    fn push_segment(&mut self, segment: &str) {
        self.path.push('/');
        if !segment.bytes().any(|byte| matches!(byte, b'~' | b'/')) {
            self.path.push_str(segment);
            return;
        }
        for letter in segment.chars() {
            match letter {
                '~' => self.path.push_str("~0"),
                '/' => self.path.push_str("~1"),
                letter => self.path.push(letter),
            }
        }
    }

    fn key(&mut self) -> Result<Cow<'a, str>, FieldError> {
        if self.peek() != Some(b'"') {
            return Err(self.refused());
        }
        let start = self.at;
        let escaped = self.string()?;
        let token = &self.text[start + 1..self.at - 1];
        if !escaped {
            return Ok(Cow::Borrowed(token));
        }
        // The escapes were checked, so this reads them all.
        serde_json::from_str(&self.text[start..self.at])
            .map(Cow::Owned)
            .map_err(|_| FieldError::NotCanonical { at: start })
    }

    /// Passes a string token; says whether it holds escapes. RFC 8785 section 3.2.2.2 leaves one spelling per character.
    fn string(&mut self) -> Result<bool, FieldError> {
        self.at += 1;
        let mut escaped = false;
        loop {
            let rest = &self.text.as_bytes()[self.at..];
            let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
            self.at += plain.unwrap_or(rest.len());
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) | None => return Err(self.refused()),
            }
        }
    }

    fn escape(&mut self) -> Result<(), FieldError> {
        let rest = &self.text.as_bytes()[self.at..];
        let len = match rest {
            [_, b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't', ..] => 2,
            // \b \t \n \f \r have short forms, so their long ones are not canonical.
            [_, b'u', b'0', b'0', b'0', b'0'..=b'7' | b'b' | b'e' | b'f', ..] => 6,
            [_, b'u', b'0', b'0', b'1', b'0'..=b'9' | b'a'..=b'f', ..] => 6,
            _ => return Err(self.refused()),
        };
        self.at += len;
        Ok(())
    }

    fn literal(&mut self, literal: &str) -> Result<(), FieldError> {
        if !self.text[self.at..].starts_with(literal) {
            return Err(self.refused());
        }
        self.at += literal.len();
        Ok(())
    }

    /// RFC 8259 section 6: [-] int [frac] [exp].
    fn number(&mut self) -> Result<(), FieldError> {
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') {
            let _sign = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), FieldError> {
        let len = self.text.as_bytes()[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if len == 0 {
            return Err(self.refused());
        }
        self.at += len;
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), FieldError> {
        if self.take(byte) { Ok(()) } else { Err(self.refused()) }
    }

    fn refused(&self) -> FieldError {
        FieldError::NotCanonical { at: self.at }
    }
}

/// RFC 8785 section 3.2.3 sorts by UTF-16 code units; for ASCII that is the order of bytes.
fn utf16_less(left: &str, right: &str) -> bool {
    if left.is_ascii() && right.is_ascii() {
        return left < right;
    }
    left.encode_utf16().lt(right.encode_utf16())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(json: &str) -> Vec<(String, String)> {
        let found = Leaves::parse(json.as_bytes()).unwrap();
        found.iter().map(|(path, value)| (path.to_owned(), value.to_owned())).collect()
    }

    fn check(json: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(path, value)| (path.to_string(), value.to_string())).collect();
        assert_eq!(leaves(json), expected, "{json}");
    }

    #[test]
    fn scalars_and_empty_containers_are_leaves() {
        check("{}", &[("", "{}")]);
        check("[]", &[("", "[]")]);
        check("null", &[("", "null")]);
        check(
            r#"{"a":[],"b":{},"c":[true,{"d":-1.5e+30}]}"#,
            &[("/a", "[]"), ("/b", "{}"), ("/c/0", "true"), ("/c/1/d", "-1.5e+30")],
        );
    }

    #[test]
    fn paths_are_escaped_and_sorted_by_their_bytes() {
        check(r#"{"":1,"a/b":2,"m~n":3}"#, &[("/", "1"), ("/a~1b", "2"), ("/m~0n", "3")]);
        check(r#"{"a":{"b":1},"a!":2}"#, &[("/a!", "2"), ("/a/b", "1")]);
        check(
            "[0,1,2,3,4,5,6,7,8,9,10]",
            &[
                ("/0", "0"),
                ("/1", "1"),
                ("/10", "10"),
                ("/2", "2"),
                ("/3", "3"),
                ("/4", "4"),
                ("/5", "5"),
                ("/6", "6"),
                ("/7", "7"),
                ("/8", "8"),
                ("/9", "9"),
            ],
        );
        check(r#"{"\n\"\\":"\u001f"}"#, &[("/\n\"\\", r#""\u001f""#)]);
        // U+10000 sorts before U+E000 in UTF-16 and behind it in bytes.
        check("{\"\u{10000}\":1,\"\u{e000}\":2}", &[("/\u{e000}", "2"), ("/\u{10000}", "1")]);
    }

    #[test]
    fn what_rfc_8785_would_not_write_is_refused() {
        for json in [
            "",
            " 1",
            "1 ",
            "{\"a\": 1}",
            r#"{"b":1,"a":2}"#,
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,"\u0061":2}"#,
            "{\"\u{e000}\":2,\"\u{10000}\":1}",
            r#"{"a":1,}"#,
            r#"{"a"}"#,
            r#"{a:1}"#,
            "[1,]",
            "[1",
            "\"a",
            r#""\/""#,
            r#""\u0041""#,
            r#""\u000a""#,
            r#""\u001F""#,
            r#""\"#,
            "\"\u{1}\"",
            "01",
            "1.",
            "-",
            "+1",
            "1E5",
            ".5",
            "tru",
            "nulll",
            "NaN",
        ] {
            let refused = Leaves::parse(json.as_bytes()).map(|_| ()).unwrap_err();
            assert!(matches!(refused, FieldError::NotCanonical { .. }), "{json}");
        }
        assert!(Leaves::parse(&[b'"', 0xff, b'"']).is_err());
    }

    #[test]
    fn nesting_beyond_the_limit_is_refused() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(Leaves::parse(nested(129).as_bytes()).is_ok());
        assert_eq!(Leaves::parse(nested(130).as_bytes()).map(|_| ()).unwrap_err(), FieldError::TooDeep);
    }
}
