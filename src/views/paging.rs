//! Pages of a list. A cursor is opaque to clients: it names the list it belongs to and the last row they saw, so that rows
//! that come meanwhile neither repeat nor vanish.

use serde::Serialize;
use utoipa::ToSchema;

/// Rows of a page unless the client asks for fewer or more.
pub const LIMIT_DEFAULT: u32 = 100;
/// Most rows of a page.
pub const LIMIT_MAX: u32 = 1_000;
/// First byte of a cursor; another form of it gets another number.
const FORM: u8 = 1;

/// The text is no cursor of this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of this list")]
pub struct CursorError;

/// The last row that a client saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Which list, a tag of the view.
    pub list: u8,
    /// Position of the last row.
    pub after: u64,
}

/// Part of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// What to ask with for the next page; absent after the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// Whether there is a next page.
    pub has_more: bool,
}

/// What part of a list is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    /// Where the last page ended.
    pub after: Option<u64>,
    /// Rows wanted, 1 to [`LIMIT_MAX`].
    pub limit: u32,
}

impl Cursor {
    /// The text that clients get.
    pub fn encode(self) -> String {
        let mut bytes = [0; 10];
        let (head, after) = bytes.split_at_mut(2);
        head.copy_from_slice(&[FORM, self.list]);
        after.copy_from_slice(&self.after.to_be_bytes());
        data_encoding::BASE64URL_NOPAD.encode(&bytes)
    }

    /// Reads a text that [`Cursor::encode`] gave for the same list.
    ///
    /// # Errors
    /// [`CursorError`] for anything else.
    pub fn decode(text: &str, list: u8) -> Result<Cursor, CursorError> {
        let bytes = data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| CursorError)?;
        let bytes = <[u8; 10]>::try_from(bytes.as_slice()).map_err(|_| CursorError)?;
        let [form, of, a, b, c, d, e, f, g, h] = bytes;
        if form != FORM || of != list {
            return Err(CursorError);
        }
        Ok(Cursor { list, after: u64::from_be_bytes([a, b, c, d, e, f, g, h]) })
    }
}

impl PageRequest {
    /// A request as clients state it. A limit out of range is moved into it.
    ///
    /// # Errors
    /// [`CursorError`] if the cursor is not of this list.
    pub fn new(cursor: Option<&str>, limit: Option<u32>, list: u8) -> Result<PageRequest, CursorError> {
        let after = cursor.map(|text| Cursor::decode(text, list)).transpose()?.map(|cursor| cursor.after);
        Ok(PageRequest { after, limit: limit.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX) })
    }

    /// Rows to ask the store for: one more than wanted says whether there is a next page.
    pub fn rows_max(&self) -> i64 {
        i64::from(self.limit) + 1
    }
}

impl<T> Page<T> {
    /// A page of the rows that the store gave for `request`.
    pub fn of(mut items: Vec<T>, request: &PageRequest, list: u8, position: impl Fn(&T) -> u64) -> Page<T> {
        let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
        let has_more = items.len() > limit;
        items.truncate(limit);
        let last = items.last().map(position).filter(|_| has_more);
        Page { next_cursor: last.map(|after| Cursor { list, after }.encode()), items, has_more }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_reads_back_for_its_own_list_only() {
        let text = Cursor { list: 7, after: 123_456 }.encode();
        assert_eq!(Cursor::decode(&text, 7), Ok(Cursor { list: 7, after: 123_456 }));
        assert_eq!(Cursor::decode(&text, 8), Err(CursorError));
        for text in ["", "AA", "not a cursor", "123456"] {
            assert_eq!(Cursor::decode(text, 7), Err(CursorError));
        }
    }

    #[test]
    fn pages_follow_each_other_without_gap() {
        let rows: Vec<u64> = (10..25).collect();
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let request = PageRequest::new(cursor.as_deref(), Some(4), 1).unwrap();
            let found: Vec<u64> =
                rows.iter().copied().filter(|row| request.after.is_none_or(|after| *row > after)).take(5).collect();
            let page = Page::of(found, &request, 1, |row| *row);
            seen.extend(page.items);
            assert_eq!(page.has_more, page.next_cursor.is_some());
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, rows);
    }
}
