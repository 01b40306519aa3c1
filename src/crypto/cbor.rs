//! A writer of deterministic CBOR (RFC 8949 section 4.2.1): shortest heads, definite lengths. It writes the preimages of
//! every keyed hash, the associated data and the entries, so what it writes may never change.
//!
//! It writes no floats, tags or indefinite items. Map keys are the caller's to sort. It writes straight into a hash or MAC
//! as well as into bytes, so that a preimage need not be built only to be hashed.

/// Where encoded bytes go.
pub trait Sink {
    /// Appends `bytes`.
    fn put(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl Sink for sha2::Sha256 {
    fn put(&mut self, bytes: &[u8]) {
        sha2::Digest::update(self, bytes);
    }
}

const UINT: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;

/// An unsigned integer (major type 0).
pub fn uint(out: &mut impl Sink, value: u64) {
    head(out, UINT, value);
}

/// A signed integer: major type 0 from zero up, 1 below.
pub fn int(out: &mut impl Sink, value: i64) {
    match u64::try_from(value) {
        Ok(value) => head(out, UINT, value),
        // CBOR stores n as -1 - n, which is the bitwise complement.
        Err(_) => head(out, NEGATIVE, (!value).cast_unsigned()),
    }
}

/// A byte string (major type 2).
pub fn bytes(out: &mut impl Sink, value: &[u8]) {
    head(out, BYTES, value.len() as u64);
    out.put(value);
}

/// A text string (major type 3), UTF-8.
pub fn text(out: &mut impl Sink, value: &str) {
    head(out, TEXT, value.len() as u64);
    out.put(value.as_bytes());
}

/// The head of an array (major type 4); `len` items must follow.
pub fn array(out: &mut impl Sink, len: u64) {
    head(out, ARRAY, len);
}

/// The head of a map (major type 5); `len` pairs must follow, sorted by the bytes of their encoded keys.
pub fn map(out: &mut impl Sink, len: u64) {
    head(out, MAP, len);
}

/// The simple value null.
pub fn null(out: &mut impl Sink) {
    out.put(&[0xf6]);
}

/// A text string, or null when there is none.
pub fn text_or_null(out: &mut impl Sink, value: Option<&str>) {
    match value {
        Some(value) => text(out, value),
        None => null(out),
    }
}

/// A byte string, or null when there is none.
pub fn bytes_or_null(out: &mut impl Sink, value: Option<&[u8]>) {
    match value {
        Some(value) => bytes(out, value),
        None => null(out),
    }
}

fn head(out: &mut impl Sink, major: u8, value: u64) {
    let [b0, b1, b2, b3, b4, b5, b6, b7] = value.to_be_bytes();
    let major = major << 5;
    match value {
        0..=23 => out.put(&[major | b7]),
        24..=0xff => out.put(&[major | 24, b7]),
        0x100..=0xffff => out.put(&[major | 25, b6, b7]),
        0x1_0000..=0xffff_ffff => out.put(&[major | 26, b4, b5, b6, b7]),
        0x1_0000_0000.. => out.put(&[major | 27, b0, b1, b2, b3, b4, b5, b6, b7]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;

    fn hex(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        HEXLOWER.encode(&out)
    }

    /// RFC 8949 appendix A.
    #[test]
    fn integers_match_rfc_8949_appendix_a() {
        for (value, expected) in [
            (0, "00"),
            (10, "0a"),
            (23, "17"),
            (24, "1818"),
            (100, "1864"),
            (1000, "1903e8"),
            (1_000_000, "1a000f4240"),
            (1_000_000_000_000, "1b000000e8d4a51000"),
            (u64::MAX, "1bffffffffffffffff"),
        ] {
            assert_eq!(hex(|out| uint(out, value)), expected);
        }
        for (value, expected) in [(-1, "20"), (-10, "29"), (-100, "3863"), (-1000, "3903e7"), (1000, "1903e8")] {
            assert_eq!(hex(|out| int(out, value)), expected);
        }
        assert_eq!(hex(|out| int(out, i64::MIN)), "3b7fffffffffffffff");
    }

    #[test]
    fn strings_and_containers_match_rfc_8949_appendix_a() {
        assert_eq!(hex(|out| bytes(out, &[1, 2, 3, 4])), "4401020304");
        assert_eq!(hex(|out| text(out, "")), "60");
        assert_eq!(hex(|out| text(out, "\u{6c34}")), "63e6b0b4");
        assert_eq!(hex(|out| array(out, 25)), "9819");
        assert_eq!(hex(|out| map(out, 2)), "a2");
        assert_eq!(hex(|out| text_or_null(out, None)), "f6");
        assert_eq!(hex(|out| bytes_or_null(out, Some(&[]))), "40");
    }

    #[test]
    fn heads_are_the_shortest_at_every_edge() {
        for (value, len) in [(23, 1), (24, 2), (0xff, 2), (0x100, 3), (0xffff, 3), (0x1_0000, 5), (0x1_0000_0000, 9)] {
            assert_eq!(hex(|out| uint(out, value)).len(), len * 2, "{value}");
        }
    }

    #[test]
    fn a_hash_takes_the_same_bytes_as_a_vector() {
        let mut out = Vec::new();
        let mut context = sha2::Sha256::default();
        text(&mut out, "tallystick");
        text(&mut context, "tallystick");
        assert_eq!(
            super::super::hash::Digest::from_bytes(sha2::Digest::finalize(context).into()),
            super::super::hash::sha256(&out)
        );
    }
}
