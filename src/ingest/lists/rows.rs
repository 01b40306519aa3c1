//! Reading a list's file, line by line: registry copies and change files, lists of states and vendors, the deletion platform's
//! hashes, answers of the reassigned numbers database.
//!
//! Nothing is guessed: a line that does not say a number, a hash or an answer is told by its number and the rule it breaks,
//! and never by what it says.

use std::io::{BufRead, BufReader, Read};

use csv::{ByteRecord, ReaderBuilder};
use data_encoding::BASE64;

use crate::domain::list::{List, ListChange};
use crate::domain::phone::Phone;
use crate::domain::time::Timestamp;

/// Longest line: more means that the file is something else.
const LINE_BYTES_MAX: usize = 16 << 10;
/// Bytes looked at to tell the separator and whether there is a header.
const HEAD_BYTES: usize = 64 << 10;

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// An answer of the reassigned numbers database.
    Answer(Answer),
    /// A hash of the deletion platform.
    Hash([u8; 32]),
    /// A number.
    Phone(Phone),
}

/// An answer of the reassigned numbers database, DA 21-1649.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub phone: Phone,
    /// The date asked about, `YYYY-MM-DD`.
    pub reference: String,
    /// `yes`, `no` or `no_data`.
    pub result: &'static str,
    /// The provider's id of the query.
    pub query: Option<String>,
}

/// A line that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// Its number, from 1.
    pub line: u64,
    pub value: Value,
    /// The value leaves the list.
    pub removes: bool,
}

/// A line that was not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// Its number, from 1.
    pub line: u64,
    /// The rule it breaks.
    pub what: String,
}

/// Why a file cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// A column is missing.
    #[error("the header names no column {0}")]
    Column(&'static str),
    /// Not lines of values.
    #[error(
        "the file is not lines of text separated by commas, semicolons or tabs; of the registry, take the flat file"
    )]
    Format,
    /// It ended early, or the disk failed.
    #[error("the file cannot be read to its end")]
    Read(#[from] std::io::Error),
}

/// Where in a line the parts are.
#[derive(Debug, Default, Clone, Copy)]
struct Columns {
    value: usize,
    area: Option<usize>,
    op: Option<usize>,
    date: Option<usize>,
    answer: Option<usize>,
    query: Option<usize>,
}

const PHONE: &[&str] = &[
    "phone",
    "phone_number",
    "phonenumber",
    "number",
    "telephone",
    "telephone_number",
    "tel",
    "tn",
    "mobile",
    "cell",
    "msisdn",
    "dnc",
];
const AREA: &[&str] = &["area_code", "areacode", "area", "npa"];
const OP: &[&str] = &["change", "change_type", "action", "op", "operation", "type", "add_delete"];
const DATE: &[&str] = &["date", "reference_date", "consent_date", "query_date", "date_asked"];
const ANSWER: &[&str] = &["answer", "result", "response", "status", "reassigned"];
const QUERY: &[&str] = &["query", "query_id", "id", "transaction_id"];

/// Reads every line of a file, and gives each to `row` or `bad`; either may end the reading by an error of its own.
pub(super) fn read<E: From<FileError>>(
    list: &List,
    change: ListChange,
    source: impl Read,
    mut row: impl FnMut(Row) -> Result<(), E>,
    mut bad: impl FnMut(BadLine) -> Result<(), E>,
) -> Result<u64, E> {
    let mut source = BufReader::with_capacity(HEAD_BYTES, ShortLines { inner: source, run: 0 });
    let head = source.fill_buf().map_err(unread)?;
    let skip = if head.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let delimiter = delimiter_of(head.get(skip..).unwrap_or_default())?;
    source.consume(skip);
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(source);
    let mut record = ByteRecord::new();
    let mut columns = None;
    let mut rows = 0;
    while reader.read_byte_record(&mut record).map_err(broken)? {
        if record.iter().all(<[u8]>::is_empty) {
            continue;
        }
        let at = match columns {
            Some(columns) => columns,
            None => {
                let (found, header) = columns_of(list, &record)?;
                columns = Some(found);
                if header {
                    continue;
                }
                found
            }
        };
        rows += 1;
        let line = record.position().map_or(rows, csv::Position::line);
        match value_of(list, &at, &record).and_then(|value| Ok((value, removes(change, &at, &record)?))) {
            Ok((value, removes)) => row(Row { line, value, removes })?,
            Err(what) => bad(BadLine { line, what })?,
        }
    }
    Ok(rows)
}

fn broken(error: csv::Error) -> FileError {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => unread(error),
        _ => FileError::Format,
    }
}

/// A line without end is no failure of the disk.
fn unread(error: std::io::Error) -> FileError {
    if error.kind() == std::io::ErrorKind::InvalidData { FileError::Format } else { FileError::Read(error) }
}

/// The separator of the first line. One column alone has none; a comma then does no harm.
fn delimiter_of(head: &[u8]) -> Result<u8, FileError> {
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if line.first().is_some_and(|first| matches!(first, b'<' | b'{' | b'[')) || line.starts_with(b"PK") {
        return Err(FileError::Format);
    }
    Ok([b',', b';', b'\t', b'|'].into_iter().find(|separator| line.contains(separator)).unwrap_or(b','))
}

/// Where things are: by the header's names, or by the order in which such files have them. And whether there is a header: a
/// first line without any digit.
fn columns_of(list: &List, record: &ByteRecord) -> Result<(Columns, bool), FileError> {
    let is_header = match list {
        List::Drop(_) => !record.iter().any(|text| text.len() == 44 && BASE64.decode(text).is_ok()),
        _ => !record.iter().flatten().any(u8::is_ascii_digit),
    };
    if is_header {
        let names: Vec<String> = record
            .iter()
            .map(|name| String::from_utf8_lossy(name).trim().to_ascii_lowercase().replace([' ', '-'], "_"))
            .collect();
        let find = |known: &[&str]| names.iter().position(|name| known.contains(&name.as_str()));
        let must = |known: &[&str], name| find(known).ok_or(FileError::Column(name));
        let mut columns =
            Columns { area: find(AREA), op: find(OP), date: find(DATE), query: find(QUERY), ..Columns::default() };
        match list {
            List::Drop(_) => columns.value = must(&["hash"], "hash")?,
            List::Rnd => {
                columns.value = must(PHONE, "phone")?;
                columns.date = Some(must(DATE, "date")?);
                columns.answer = Some(must(ANSWER, "answer")?);
            }
            _ => columns.value = must(PHONE, "phone")?,
        }
        return Ok((columns, true));
    }
    let digits = |at: usize| record.get(at).map_or(0, |text| text.iter().filter(|byte| byte.is_ascii_digit()).count());
    let columns = match list {
        List::Drop(_) => Columns { value: usize::from(record.len() > 1), ..Columns::default() },
        List::Rnd => Columns { value: 0, date: Some(1), answer: Some(2), query: Some(3), ..Columns::default() },
        // The registry's flat file: area code, then seven digits.
        _ if digits(0) == 3 && digits(1) == 7 => Columns { value: 1, area: Some(0), ..Columns::default() },
        _ => Columns::default(),
    };
    Ok((columns, false))
}

fn value_of(list: &List, columns: &Columns, record: &ByteRecord) -> Result<Value, String> {
    let text = text_at(record, columns.value)?;
    if let List::Drop(_) = list {
        let hash = BASE64.decode(text.as_bytes()).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        return hash.map(Value::Hash).ok_or_else(|| "the hash is not Base64 of 32 bytes".to_owned());
    }
    let phone = match columns.area {
        Some(area) => phone(&format!("{}{text}", text_at(record, area)?)),
        None => phone(text),
    }?;
    if !matches!(list, List::Rnd) {
        return Ok(Value::Phone(phone));
    }
    let at = |column: Option<usize>| column.map_or(Err("a column is missing".to_owned()), |at| text_at(record, at));
    let result = match at(columns.answer)?.to_ascii_lowercase().as_str() {
        "yes" | "y" => "yes",
        "no" | "n" => "no",
        "no_data" | "no data" | "nodata" | "no-data" => "no_data",
        _ => return Err("the answer is not yes, no or no data".to_owned()),
    };
    let reference = day_of(at(columns.date)?).ok_or_else(|| "the date is not YYYY-MM-DD or MM/DD/YYYY".to_owned())?;
    let query = columns.query.and_then(|at| text_at(record, at).ok()).filter(|text| !text.is_empty());
    Ok(Value::Answer(Answer { phone, reference, result, query: query.map(str::to_owned) }))
}

fn text_at(record: &ByteRecord, at: usize) -> Result<&str, String> {
    let bytes = record.get(at).ok_or_else(|| "a column is missing".to_owned())?;
    std::str::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())
}

/// A number as such files write it: most often ten digits, and nothing else.
fn phone(text: &str) -> Result<Phone, String> {
    let mut plain = [0_u8; 12];
    let digits = text.strip_prefix('1').filter(|rest| rest.len() == 10).unwrap_or(text);
    let parsed = if digits.len() == 10 && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        plain[..2].copy_from_slice(b"+1");
        plain[2..].copy_from_slice(digits.as_bytes());
        Phone::parse(std::str::from_utf8(&plain).unwrap_or(text), Phone::DEFAULT_COUNTRY)
    } else {
        Phone::parse(text, Phone::DEFAULT_COUNTRY)
    };
    parsed.map_err(|error| error.to_string())
}

/// The date as `YYYY-MM-DD`, from that or from `MM/DD/YYYY`.
fn day_of(text: &str) -> Option<String> {
    let iso = match text.split('/').collect::<Vec<_>>().as_slice() {
        [month, day, year] => format!("{year}-{month:0>2}-{day:0>2}"),
        _ => text.get(..10)?.to_owned(),
    };
    Timestamp::parse_rfc3339(&format!("{iso}T00:00:00Z")).ok().map(|_| iso)
}

/// Whether a line removes. Of a change file every line must say so, in a named column or in any behind the number.
fn removes(change: ListChange, columns: &Columns, record: &ByteRecord) -> Result<bool, String> {
    match change {
        ListChange::Full => return Ok(false),
        ListChange::Removals => return Ok(true),
        ListChange::Changes => {}
    }
    let word = |text: &[u8]| match text.to_ascii_lowercase().as_slice() {
        b"a" | b"add" | b"added" => Some(false),
        b"d" | b"del" | b"delete" | b"deleted" | b"r" | b"remove" | b"removed" => Some(true),
        _ => None,
    };
    let said = match columns.op {
        Some(at) => record.get(at).and_then(word),
        None => record.iter().skip(columns.value + 1).find_map(word),
    };
    said.ok_or_else(|| "the line does not say whether it adds (A) or deletes (D)".to_owned())
}

/// Refuses a line without end before it fills the memory.
struct ShortLines<R> {
    inner: R,
    run: usize,
}

impl<R: Read> Read for ShortLines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        for piece in buffer.get(..read).unwrap_or_default().split_inclusive(|byte| *byte == b'\n') {
            self.run += piece.len();
            if self.run > LINE_BYTES_MAX {
                return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "a line is too long"));
            }
            if piece.ends_with(b"\n") {
                self.run = 0;
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(list: &str, change: ListChange, text: &str) -> Result<(Vec<Row>, Vec<BadLine>), FileError> {
        let (mut rows, mut bad) = (Vec::new(), Vec::new());
        read::<FileError>(
            &list.parse().unwrap(),
            change,
            text.as_bytes(),
            |row| {
                rows.push(row);
                Ok(())
            },
            |line| {
                bad.push(line);
                Ok(())
            },
        )?;
        Ok((rows, bad))
    }

    fn phones(list: &str, text: &str) -> Vec<String> {
        let (rows, bad) = all(list, ListChange::Full, text).unwrap();
        assert_eq!(bad, []);
        let phone = |row: &Row| match &row.value {
            Value::Phone(phone) => phone.as_str().to_owned(),
            other => panic!("{other:?}"),
        };
        rows.iter().map(phone).collect()
    }

    #[test]
    fn a_number_is_found_however_the_file_writes_it() {
        for text in [
            "614,5550142\n",
            "6145550142\r\n",
            "16145550142",
            "\u{feff}Phone\n(614) 555-0142\n",
            "name;telephone\n;614.555.0142\n",
            "NPA\tNumber\n614\t5550142\n\n",
            "+16145550142,extra,columns\n",
        ] {
            assert_eq!(phones("ndnc", text), ["+16145550142"], "{text}");
        }
    }

    #[test]
    fn a_change_file_says_what_each_line_does() {
        let (rows, bad) =
            all("ndnc", ListChange::Changes, "614,5550142,2026-11-01,A\n614,5550143,D\n614,5550144\n").unwrap();
        assert_eq!(rows.iter().map(|row| (row.line, row.removes)).collect::<Vec<_>>(), [(1, false), (2, true)]);
        assert_eq!(bad.len(), 1);
        assert!(bad[0].line == 3 && bad[0].what.contains("adds (A) or deletes (D)"));
        let (rows, _) = all("internal", ListChange::Changes, "action,phone\nremove,6145550142\n").unwrap();
        assert!(rows[0].removes && rows[0].line == 2);
    }

    #[test]
    fn hashes_and_answers_are_read_and_nothing_is_guessed() {
        let hash = "vGM7y5n+hBXRSEAklhHDPCbysyNgYTmXdMcagGUOY8E=";
        let (rows, bad) = all("drop:phone", ListChange::Full, &format!("ID,Hash\n77,{hash}\n78,4155559317\n")).unwrap();
        assert!(matches!(rows[0].value, Value::Hash(_)) && rows.len() == 1);
        assert_eq!(bad, [BadLine { line: 3, what: "the hash is not Base64 of 32 bytes".to_owned() }]);
        let (rows, bad) = all(
            "rnd",
            ListChange::Full,
            "Phone,Date,Answer\n6145550142,06/01/2026,No\n6145550143,2026-06-01,no data\n6145550144,2026-02-30,yes\n",
        )
        .unwrap();
        let Value::Answer(first) = &rows[0].value else { panic!("{rows:?}") };
        assert_eq!((first.reference.as_str(), first.result, rows.len(), bad.len()), ("2026-06-01", "no", 2, 1));
    }

    #[test]
    fn bad_lines_are_told_by_number_and_rule_and_never_by_content() {
        let (rows, bad) =
            all("litigator", ListChange::Full, "phone\n6145550142\n614555\nnobody\n1145550142\n").unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!(bad.iter().map(|bad| bad.line).collect::<Vec<_>>(), [3, 4, 5]);
        assert!(bad.iter().all(|bad| !bad.what.contains("nobody") && !bad.what.contains("614555")));
    }

    #[test]
    fn what_is_no_list_is_refused_whole() {
        for text in ["<list><number/></list>", "{\"phone\":1}", "PK\u{3}\u{4}"] {
            assert!(matches!(all("ndnc", ListChange::Full, text), Err(FileError::Format)), "{text}");
        }
        assert!(matches!(all("ndnc", ListChange::Full, &"5".repeat(1 << 20)), Err(FileError::Format)));
        assert!(matches!(all("ndnc", ListChange::Full, "name,city\n"), Err(FileError::Column("phone"))));
    }
}
