//! What fields of the files hold: bytes found, numbers, instants.
#![expect(clippy::float_arithmetic, reason = "numbers of a path file are weights of an analysis, not booked money")]

use crate::domain::time::{TimeError, Timestamp};

use super::csv::Problem;

/// Where a byte first stands, eight bytes at a time: the carry of a subtraction marks the first zero byte of the difference.
#[inline]
pub(super) fn find(text: &[u8], byte: u8) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let (words, rest) = text.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let differs = u64::from_le_bytes(*word) ^ (ONES * byte as u64);
        let zeros = differs.wrapping_sub(ONES) & !differs & (ONES << 7);
        if zeros != 0 {
            return Some(at * 8 + zeros.trailing_zeros() as usize / 8);
        }
    }
    rest.iter().position(|other| *other == byte).map(|at| words.len() * 8 + at)
}

/// Reads a decimal number: digits with an optional sign, point and exponent.
#[inline]
pub(super) fn number(text: &[u8]) -> Result<f64, Problem> {
    // Nearly always a short run of digits with a point in it. Both the digits and the power of ten are then exact floats,
    // and one division rounds as a parser would.
    if let (Some(first), true) = (text.first(), text.len() < 16)
        && first.is_ascii_digit()
    {
        let (mut digits, mut scale, mut plain) = (0_u64, None, true);
        for byte in text {
            match byte {
                b'0'..=b'9' => {
                    digits = digits * 10 + u64::from(byte - b'0');
                    scale = scale.map(|scale: f64| scale * 10.0);
                }
                b'.' if scale.is_none() => scale = Some(1.0),
                _ => plain = false,
            }
        }
        if plain {
            return Ok(digits as f64 / scale.unwrap_or(1.0));
        }
    }
    let text = text.trim_ascii();
    if text.is_empty() {
        return Err(Problem::Empty);
    }
    // Rust also reads "inf" and "nan"; a number here is digits.
    let plain = text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E'));
    let parsed = std::str::from_utf8(text).ok().filter(|_| plain).and_then(|text| text.parse::<f64>().ok());
    parsed.filter(|number| number.is_finite()).ok_or(Problem::Number)
}

/// Reads a whole number.
pub(super) fn whole(text: &[u8]) -> Result<i64, Problem> {
    let text = text.trim_ascii();
    if text.is_empty() {
        return Err(Problem::Empty);
    }
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(Problem::NotWhole)
}

/// Reads an instant.
pub(super) fn instant(text: &[u8]) -> Result<Timestamp, Problem> {
    let text = std::str::from_utf8(text.trim_ascii()).map_err(|_| Problem::Time(TimeError::Form))?;
    Ok(Timestamp::parse_rfc3339(text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_found_where_they_first_stand() {
        let text: Vec<u8> = (0..40).map(|at| [b'a', b'`', 0x80, 0xff, 0, b'b'][at % 6]).collect();
        for length in 0..text.len() {
            for byte in [b'a', b'`', 0x80, 0xff, 0, b'b', b'c', 1, 0x7f] {
                let text = &text[length / 3..length];
                assert_eq!(find(text, byte), text.iter().position(|other| *other == byte), "{text:?} {byte}");
            }
        }
    }

    #[test]
    fn numbers_are_plain_decimals() {
        for (text, expected) in
            [("0", 0.0), ("007", 7.0), ("12.50", 12.5), (" -3e2 ", -300.0), ("999999999999999", 1e15 - 1.0)]
        {
            assert_eq!(number(text.as_bytes()), Ok(expected), "{text}");
        }
        for text in ["0.1", "19.99", "123456789012.34", "0.00000001", "5.", "74802.97"] {
            assert_eq!(number(text.as_bytes()), Ok(text.parse().unwrap()), "{text}");
        }
        for text in ["1,5", "1.2.3", "0x10", "nan", "inf", "-", "1e999", "1 000", "\u{663}"] {
            assert_eq!(number(text.as_bytes()), Err(Problem::Number), "{text}");
        }
        assert_eq!(number(b"  "), Err(Problem::Empty));
        assert_eq!(whole(b"12.0"), Err(Problem::NotWhole));
        assert_eq!(whole(b"-12"), Ok(-12));
    }
}
