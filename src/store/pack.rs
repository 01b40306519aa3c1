//! Rows of one bulk statement packed into two byte strings: fixed-width heads and a body they point into.
//!
//! SQLite has no arrays. A statement through sqlx costs some 45 us whatever it carries, so a commit sends one statement a
//! table and the statement cuts its rows out of the two parameters with `substr`. Numbers are ASCII decimals because
//! that is what SQL can turn back into integers (`CAST(substr(...) AS INTEGER)`).

/// Rows of one statement at most: as many as the table `series` of each SQLite file counts.
pub(super) const ROWS_MAX: usize = 4096;
/// Width of a packed number: 20 ASCII digits hold any non-negative `i64`.
pub(super) const NUMBER: usize = 20;
/// Packed rows: `heads` holds `count` rows of equal width, `body` the bytes of variable length.
#[derive(Debug, Default)]
pub(super) struct Packed {
    pub heads: Vec<u8>,
    pub body: Vec<u8>,
    pub count: i64,
}

impl Packed {
    /// Room for `rows` rows whose variable bytes add up to `body` bytes.
    pub fn with_capacity(rows: usize, width: usize, body: usize) -> Packed {
        Packed { heads: Vec::with_capacity(rows * width), body: Vec::with_capacity(body), count: 0 }
    }

    /// Starts the next row.
    pub fn row(&mut self) -> &mut Packed {
        self.count += 1;
        self
    }

    /// Appends a number to the current row's head.
    pub fn number(&mut self, value: u64) -> &mut Packed {
        let mut digits = [b'0'; NUMBER];
        let mut rest = value;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.heads.extend_from_slice(&digits);
        self
    }

    /// Appends bytes of a width that all rows share to the current row's head.
    pub fn fixed(&mut self, bytes: &[u8]) -> &mut Packed {
        self.heads.extend_from_slice(bytes);
        self
    }

    /// Appends bytes to the body, and where they start (from 1, as `substr` counts) and how long they are to the head.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Packed {
        let start = self.body.len() as u64 + 1;
        self.body.extend_from_slice(bytes);
        self.number(start).number(bytes.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_fixed_width_whatever_it_holds() {
        let mut packed = Packed::default();
        packed.row().number(0).bytes(b"abc");
        packed.row().number(i64::MAX as u64).bytes(b"");
        assert_eq!(packed.count, 2);
        assert_eq!(packed.heads.len(), 2 * 3 * NUMBER);
        assert_eq!(&packed.heads[..NUMBER], b"00000000000000000000");
        assert_eq!(&packed.heads[3 * NUMBER..4 * NUMBER], b"09223372036854775807");
        assert_eq!(packed.body, b"abc");
    }
}
