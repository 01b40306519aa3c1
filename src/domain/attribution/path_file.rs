//! Path files: how many journeys took which steps, one path a line.
//!
//! Columns `path`, `total_conversions`, optional `total_conversion_value` (the sum on the line) and `total_null` or
//! `total_non_conversions` (journeys that did not convert), with `,` or `;` between them. A step is what stands between two
//! separators, without blanks around it: a channel whose own name holds the separator needs a file with another one.

use std::borrow::Cow;

use super::csv::{Column, FileError, Problem, Table};
use super::fields::{find, number};
use super::names::{NameId, Names};

/// Journeys that took the same steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Walk<'a> {
    /// The channels in order.
    pub steps: &'a [NameId],
    /// How many of them converted.
    pub conversions: f64,
    /// How many did not.
    pub nulls: f64,
    /// What the conversions are worth together; below zero after refunds.
    pub value: f64,
}

/// Reads a path file line by line.
#[derive(Debug, Clone)]
pub struct PathFile {
    table: Table,
    separator: u8,
    path: usize,
    conversions: usize,
    value: Option<usize>,
    nulls: Option<(usize, &'static str)>,
    steps: Vec<NameId>,
}

const PATH: &str = "path";
const CONVERSIONS: &str = "total_conversions";
const VALUE: &str = "total_conversion_value";
const NULL: &str = "total_null";
const NON_CONVERSIONS: &str = "total_non_conversions";

impl PathFile {
    /// Reads the header line. Gives also the columns that are not read, for the user to know.
    ///
    /// # Errors
    /// A needed column is missing, or one stands there twice under either name.
    pub fn open(header: &[u8], separator: u8) -> Result<(PathFile, Vec<String>), FileError> {
        let mut columns: [Column; 5] =
            [(PATH, None), (CONVERSIONS, None), (VALUE, None), (NULL, None), (NON_CONVERSIONS, None)];
        let (table, unread) = Table::open(header, PATH, &mut columns)?;
        let [(_, path), (_, conversions), (_, value), null, non_conversions] = columns;
        let needed = |place: Option<usize>, name| {
            place.ok_or(FileError { line: 1, column: Some((1, name)), what: Problem::NoColumn })
        };
        let nulls = match (null, non_conversions) {
            ((_, Some(_)), (name, Some(at))) => {
                return Err(FileError { line: 1, column: Some((at + 1, name)), what: Problem::ColumnTwice });
            }
            ((name, Some(at)), _) | (_, (name, Some(at))) => Some((at, name)),
            _ => None,
        };
        let (path, conversions) = (needed(path, PATH)?, needed(conversions, CONVERSIONS)?);
        let file = PathFile { table, separator, path, conversions, value, nulls, steps: Vec::new() };
        Ok((file, unread))
    }

    /// Whether the file says what conversions are worth.
    pub fn has_value(&self) -> bool {
        self.value.is_some()
    }

    /// Whether the file counts journeys that did not convert.
    pub fn has_nulls(&self) -> bool {
        self.nulls.is_some()
    }

    /// Reads the next line; none for the empty line at the end of a file.
    ///
    /// # Errors
    /// [`FileError`] with line and column. Nothing is skipped.
    #[inline]
    pub fn line(&mut self, line: &[u8], channels: &mut Names) -> Result<Option<Walk<'_>>, FileError> {
        let (mut conversions, mut nulls, mut value) = (0.0, 0.0, 0.0);
        let (steps, separator, at) = (&mut self.steps, self.separator, self.table.line() + 1);
        let (path, counted, valued, missed) = (self.path, self.conversions, self.value, self.nulls);
        let found = self.table.fields(line, |place, field: Cow<'_, [u8]>| {
            let wrong = |name| move |what| FileError { line: at, column: Some((place + 1, name)), what };
            if place == path {
                read_steps(&field, separator, channels, steps).map_err(wrong(PATH))?;
            } else if place == counted {
                conversions = number(&field).and_then(count).map_err(wrong(CONVERSIONS))?;
            } else if Some(place) == valued {
                value = number(&field).map_err(wrong(VALUE))?;
            } else if let Some((_, name)) = missed.filter(|(missed, _)| *missed == place) {
                nulls = number(&field).and_then(count).map_err(wrong(name))?;
            }
            Ok(())
        })?;
        Ok(found.then_some(Walk { steps: &self.steps, conversions, nulls, value }))
    }
}

fn count(number: f64) -> Result<f64, Problem> {
    if number < 0.0 { Err(Problem::Negative) } else { Ok(number) }
}

#[inline]
fn read_steps(path: &[u8], separator: u8, channels: &mut Names, steps: &mut Vec<NameId>) -> Result<(), Problem> {
    steps.clear();
    if path.trim_ascii().is_empty() {
        return Err(Problem::Empty);
    }
    let mut rest = Some(path);
    while let Some(path) = rest {
        let (step, after) = match find(path, separator) {
            Some(end) => (path.get(..end).unwrap_or_default(), path.get(end + 1..)),
            None => (path, None),
        };
        let name = step.trim_ascii();
        if name.is_empty() {
            return Err(Problem::EmptyStep);
        }
        steps.push(channels.id(name)?);
        rest = after;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps, conversions, journeys without, value.
    type Line = (Vec<String>, f64, f64, f64);

    fn read(text: &str) -> Result<Vec<Line>, String> {
        let mut lines = text.as_bytes().split_inclusive(|byte| *byte == b'\n');
        let header = lines.next().unwrap_or_default();
        let (mut file, _) = PathFile::open(header, b'>').map_err(|error| error.to_string())?;
        let (mut channels, mut rows) = (Names::default(), Vec::new());
        for line in lines {
            let Some(walk) = file.line(line, &mut channels).map_err(|error| error.to_string())? else { continue };
            let (steps, numbers) = (walk.steps.to_vec(), (walk.conversions, walk.nulls, walk.value));
            let names = steps.iter().map(|step| channels.text(*step).to_owned()).collect();
            rows.push((names, numbers.0, numbers.1, numbers.2));
        }
        Ok(rows)
    }

    fn row(steps: &[&str], conversions: f64, nulls: f64, value: f64) -> Line {
        (steps.iter().map(|step| (*step).to_owned()).collect(), conversions, nulls, value)
    }

    #[test]
    fn both_delimiters_quotes_and_line_ends_read() {
        let expected = vec![row(&["a", "b", "a"], 3.0, 4.0, 12.5), row(&["x;y, z"], 0.0, 1.0, -2.0)];
        for text in [
            "path,total_conversions,total_conversion_value,total_null\na > b > a,3,12.5,4\n\"x;y, z\",0,-2,1\n",
            "\u{feff}total_null;path;total_conversions;total_conversion_value\r\n4;a>b>a;3;12.50\r\n1;\"x;y, z\";0;-2e0\r\n\r\n",
            "\"path\";\"total_conversions\";\"total_non_conversions\";\"total_conversion_value\"\n\"a > b > a\";3;4;12.5\n\"x;y, z\";0;1;-2",
        ] {
            assert_eq!(read(text), Ok(expected.clone()), "{text}");
        }
        assert_eq!(read("path,total_conversions\n\"a \"\"b\"\"\",1\n"), Ok(vec![row(&["a \"b\""], 1.0, 0.0, 0.0)]));
    }

    #[test]
    fn what_is_wrong_is_said_with_line_and_column() {
        let head = "path,total_conversions,total_null";
        for (body, error) in [
            (
                "a,1,2\na > ,1,2",
                "line 3, column 1 (path): an empty step; a path is channel names with a separator between them",
            ),
            (" ,1,2", "line 2, column 1 (path): empty"),
            ("a,,2", "line 2, column 2 (total_conversions): empty"),
            ("a,x,2", "line 2, column 2 (total_conversions): not a decimal number with a point, such as 12 or 12.34"),
            ("a,inf,2", "line 2, column 2 (total_conversions): not a decimal number with a point, such as 12 or 12.34"),
            ("a,1,-2", "line 2, column 3 (total_null): below zero"),
            ("a,1", "line 2: 2 fields where the header has 3"),
            ("a,1,2,3", "line 2: 4 fields where the header has 3"),
            ("\"a,1,2", "line 2: a quoted field that does not end at its closing quote on this line"),
            ("\"a\"b,1,2", "line 2: a quoted field that does not end at its closing quote on this line"),
            ("a,1,2\n\nb,1,2", "line 3: an empty line; only the end of a file may have one"),
        ] {
            assert_eq!(read(&format!("{head}\n{body}")), Err(error.to_owned()), "{body}");
        }
        for (header, error) in [
            ("", "line 1, column 1 (path): the header has no such column"),
            ("path,total", "line 1, column 1 (total_conversions): the header has no such column"),
            ("path,path,total_conversions", "line 1, column 2 (path): the column stands twice in the header"),
            (
                "path,total_conversions,total_null,total_non_conversions",
                "line 1, column 4 (total_non_conversions): the column stands twice in the header",
            ),
        ] {
            assert_eq!(read(header), Err(error.to_owned()), "{header}");
        }
        let invalid = PathFile::open(b"path,total_conversions", b'>')
            .and_then(|(mut file, _)| file.line(b"\xff,1", &mut Names::default()).map(|walk| walk.is_some()));
        assert_eq!(
            invalid.map_err(|error| error.to_string()),
            Err("line 2, column 1 (path): not UTF-8 text".to_owned())
        );
    }

    #[test]
    fn columns_that_are_not_read_are_told() {
        let (file, unread) = PathFile::open(b"path,days,total_conversions", b'>').unwrap();
        assert_eq!((unread, file.has_value(), file.has_nulls()), (vec!["days".to_owned()], false, false));
    }
}
