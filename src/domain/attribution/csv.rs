//! Lines of comma or semicolon separated files (RFC 4180, one record a line), and errors that name their place.

use std::borrow::Cow;
use std::fmt;

use crate::domain::time::TimeError;

use super::fields::find;
use super::names::NameError;

/// What is wrong in a file and where. Never carries the text that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileError {
    /// The line, from 1.
    pub line: u64,
    /// The column, from 1, and its name; none where the whole line is meant.
    pub column: Option<(usize, &'static str)>,
    /// What is wrong.
    pub what: Problem,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.column {
            Some((column, name)) => write!(f, "line {}, column {column} ({name}): {}", self.line, self.what),
            None => write!(f, "line {}: {}", self.line, self.what),
        }
    }
}

impl std::error::Error for FileError {}

/// What can be wrong in a file of paths, touches or journeys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A line without a record before the end of the file.
    #[error("an empty line; only the end of a file may have one")]
    BlankLine,
    /// Two columns of the same meaning.
    #[error("the column stands twice in the header")]
    ColumnTwice,
    /// A converted journey without an instant or an amount, or one of them without a conversion.
    #[error("a converted journey has a time and a value, one that did not convert has neither")]
    Conversion,
    /// An empty step between two separators, or at an end.
    #[error("an empty step; a path is channel names with a separator between them")]
    EmptyStep,
    /// An empty field that must say something.
    #[error("empty")]
    Empty,
    /// More or fewer fields than the header has.
    #[error("{found} fields where the header has {expected}")]
    Fields {
        /// How many the header has.
        expected: usize,
        /// How many the line has.
        found: usize,
    },
    /// Not `0` or `1`.
    #[error("not 0 or 1")]
    Flag,
    /// Journeys of one id with and without a conversion, or twice without.
    #[error("this journey has more lines than its conversions")]
    JourneyTwice,
    /// No such column in the header.
    #[error("the header has no such column")]
    NoColumn,
    /// Not a whole number of cents, or a sequence number.
    #[error("not a whole number that fits 64 bits")]
    NotWhole,
    /// A name that cannot be taken.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Not a finite decimal number.
    #[error("not a decimal number with a point, such as 12 or 12.34")]
    Number,
    /// A count below zero.
    #[error("below zero")]
    Negative,
    /// A quoted field without its end on the same line, or with text after it.
    #[error("a quoted field that does not end at its closing quote on this line")]
    Quote,
    /// A touch whose sequence number is not above that of the touch before it.
    #[error("the sequence number does not grow within this journey")]
    SequenceOrder,
    /// Not an instant.
    #[error(transparent)]
    Time(#[from] TimeError),
    /// A journey with more touches than can be weighed.
    #[error("more than {} touches in one journey", super::rules::TOUCHES_MAX)]
    TooManyTouches,
    /// A touch of a journey that the journey file does not list next.
    #[error("a touch of no journey here: both files list the same journeys in the same order, touches side by side")]
    UnknownJourney,
}

impl Problem {
    /// This problem with a whole line.
    pub(super) fn on(self, line: u64) -> FileError {
        FileError { line, column: None, what: self }
    }
}

/// A byte order mark before a header.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Header and place in a file: gives the fields of each line and counts lines.
#[derive(Debug, Clone)]
pub(super) struct Table {
    delimiter: u8,
    width: usize,
    line: u64,
    blank: bool,
}

/// Which columns of a table a reader wants.
pub(super) type Column = (&'static str, Option<usize>);

impl Table {
    /// Reads a header line: the delimiter is the one that splits it so that `key` is a column. Gives the place of each
    /// wanted name and the names of columns that nobody wants.
    ///
    /// # Errors
    /// [`Problem::NoColumn`] for `key`, [`Problem::ColumnTwice`], [`Problem::Quote`].
    pub fn open(header: &[u8], key: &'static str, wanted: &mut [Column]) -> Result<(Table, Vec<String>), FileError> {
        let header = trimmed(header.strip_prefix(BYTE_ORDER_MARK).unwrap_or(header));
        let split = |delimiter| -> Result<Vec<String>, FileError> {
            let fields = Fields { rest: Some(header), delimiter };
            let name = |field: Result<Cow<'_, [u8]>, Problem>| {
                field.map(|name| String::from_utf8_lossy(&name).trim().to_owned()).map_err(|what| what.on(1))
            };
            fields.map(name).collect()
        };
        let missing = FileError { line: 1, column: Some((1, key)), what: Problem::NoColumn };
        let (delimiter, names) = [b',', b';']
            .into_iter()
            .filter_map(|delimiter| Some((delimiter, split(delimiter).ok()?)))
            .find(|(_, names)| names.iter().any(|name| name == key))
            .ok_or(missing)?;
        let mut unread = Vec::new();
        for (at, name) in names.iter().enumerate() {
            match wanted.iter_mut().find(|(wanted, _)| wanted == name) {
                Some((_, place @ None)) => *place = Some(at),
                Some((name, Some(_))) => {
                    return Err(FileError { line: 1, column: Some((at + 1, name)), what: Problem::ColumnTwice });
                }
                None => unread.push(name.clone()),
            }
        }
        Ok((Table { delimiter, width: names.len(), line: 1, blank: false }, unread))
    }

    /// The number of the line read last.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Splits the next line and gives each field with its place to `take`; false for the empty line at the end of a file.
    ///
    /// # Errors
    /// What `take` says, and [`Problem::BlankLine`], [`Problem::Fields`] or [`Problem::Quote`].
    #[inline]
    pub fn fields<'a>(
        &mut self,
        line: &'a [u8],
        mut take: impl FnMut(usize, Cow<'a, [u8]>) -> Result<(), FileError>,
    ) -> Result<bool, FileError> {
        self.line += 1;
        if self.blank {
            return Err(Problem::BlankLine.on(self.line - 1));
        }
        let line = trimmed(line);
        if line.is_empty() {
            self.blank = true;
            return Ok(false);
        }
        let mut found = 0;
        for field in (Fields { rest: Some(line), delimiter: self.delimiter }) {
            let field = field.map_err(|what| what.on(self.line))?;
            if found < self.width {
                take(found, field)?;
            }
            found += 1;
        }
        if found == self.width { Ok(true) } else { Err(Problem::Fields { expected: self.width, found }.on(self.line)) }
    }
}

/// A line without its line break.
fn trimmed(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The fields of one line.
struct Fields<'a> {
    rest: Option<&'a [u8]>,
    delimiter: u8,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Cow<'a, [u8]>, Problem>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let line = self.rest.take()?;
        if let Some(quoted) = line.strip_prefix(b"\"") {
            return Some(self.quoted(quoted));
        }
        let end = find(line, self.delimiter);
        let (field, rest) = match end {
            Some(end) => (line.get(..end).unwrap_or_default(), line.get(end + 1..)),
            None => (line, None),
        };
        self.rest = rest;
        Some(Ok(Cow::Borrowed(field)))
    }
}

impl<'a> Fields<'a> {
    fn quoted(&mut self, mut line: &'a [u8]) -> Result<Cow<'a, [u8]>, Problem> {
        let mut field = Vec::new();
        loop {
            let end = find(line, b'"').ok_or(Problem::Quote)?;
            let (text, after) = line.split_at(end);
            field.extend_from_slice(text);
            match after {
                [_, b'"', rest @ ..] => {
                    field.push(b'"');
                    line = rest;
                }
                [_, next, rest @ ..] if *next == self.delimiter => {
                    self.rest = Some(rest);
                    return Ok(Cow::Owned(field));
                }
                [_] => return Ok(Cow::Owned(field)),
                _ => return Err(Problem::Quote),
            }
        }
    }
}
