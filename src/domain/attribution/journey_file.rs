//! Journey files: touches with times, and what came of each journey, read side by side in one pass.
//!
//! Touches: `journey_id`, `seq`, `ts`, `channel`, optional `milestone` and `kind`. Journeys: `journey_id`, `converted` (0 or
//! 1), `conversion_ts`, `value_cents`. Both list the same journeys in the same order, so that no file is ever held whole. A
//! journey with several conversions has a line for each; every one of them credits the touches before it. A journey
//! without touches is taken: nobody earns its conversion.

use std::borrow::Cow;

use crate::domain::time::Timestamp;

use super::Vocabulary;
use super::csv::{Column, FileError, Problem, Table};
use super::fields::{instant, whole};
use super::journey::Touch;
use super::rules::TOUCHES_MAX;

/// A touch and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TouchLine {
    /// The journey's id as the file has it.
    pub journey: Box<str>,
    /// The touch.
    pub touch: Touch,
}

/// One line of a journey file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JourneyLine {
    /// The journey's id as the file has it.
    pub journey: Box<str>,
    /// When it converted and for how many cents; none if it did not.
    pub conversion: Option<(Timestamp, i64)>,
}

const JOURNEY: &str = "journey_id";

fn needed(columns: &[Column]) -> Result<(), FileError> {
    match columns.iter().find(|(_, place)| place.is_none()) {
        Some((name, _)) => Err(FileError { line: 1, column: Some((1, name)), what: Problem::NoColumn }),
        None => Ok(()),
    }
}

fn text(field: &[u8]) -> Result<Box<str>, Problem> {
    let text = std::str::from_utf8(field).map_err(|_| Problem::Name(super::names::NameError::NotText))?.trim();
    if text.is_empty() { Err(Problem::Empty) } else { Ok(text.into()) }
}

/// Reads a touch file line by line.
#[derive(Debug, Clone)]
pub struct TouchFile {
    table: Table,
    columns: [Column; 6],
}

impl TouchFile {
    /// Reads the header line. Gives also the columns that are not read.
    ///
    /// # Errors
    /// A needed column is missing, or one stands there twice.
    pub fn open(header: &[u8]) -> Result<(TouchFile, Vec<String>), FileError> {
        let mut columns = [JOURNEY, "seq", "ts", "channel", "milestone", "kind"].map(|name| (name, None));
        let (table, unread) = Table::open(header, JOURNEY, &mut columns)?;
        needed(&columns[..4])?;
        Ok((TouchFile { table, columns }, unread))
    }

    /// Reads the next line; none for the empty line at the end of a file.
    ///
    /// # Errors
    /// [`FileError`] with line and column.
    pub fn line(&mut self, line: &[u8], words: &mut Vocabulary) -> Result<Option<TouchLine>, FileError> {
        let at = self.table.line() + 1;
        let mut journey: Box<str> = "".into();
        let mut touch = Touch { at: Timestamp::EPOCH, seq: 0, channel: 0, milestone: None, kind: None };
        let columns = self.columns;
        let found = self.table.fields(line, |place, field: Cow<'_, [u8]>| {
            let Some(which) = columns.iter().position(|(_, column)| *column == Some(place)) else { return Ok(()) };
            let name = columns.get(which).map_or("", |(name, _)| name);
            let mut read = || -> Result<(), Problem> {
                let mark = field.trim_ascii();
                match which {
                    0 => journey = text(&field)?,
                    1 => touch.seq = whole(&field)?,
                    2 => touch.at = instant(&field)?,
                    3 if mark.is_empty() => return Err(Problem::Empty),
                    3 => touch.channel = words.channels.id(mark)?,
                    _ if mark.is_empty() => (),
                    4 => touch.milestone = Some(words.marks.id(mark)?),
                    _ => touch.kind = Some(words.marks.id(mark)?),
                }
                Ok(())
            };
            read().map_err(|what| FileError { line: at, column: Some((place + 1, name)), what })
        })?;
        Ok(found.then_some(TouchLine { journey, touch }))
    }

    /// Adds a touch to its journey's.
    ///
    /// # Errors
    /// Its sequence number does not grow, or the journey is too long.
    pub fn gather(&self, touch: Touch, touches: &mut Vec<Touch>) -> Result<(), FileError> {
        let seq = (self.columns[1].1.unwrap_or_default() + 1, self.columns[1].0);
        if touches.last().is_some_and(|last| last.seq >= touch.seq) {
            return Err(FileError { line: self.table.line(), column: Some(seq), what: Problem::SequenceOrder });
        }
        if touches.len() >= TOUCHES_MAX {
            return Err(Problem::TooManyTouches.on(self.table.line()));
        }
        touches.push(touch);
        Ok(())
    }

    /// The error of a touch whose journey does not come next in the journey file.
    pub fn unknown_journey(&self) -> FileError {
        let place = (self.columns[0].1.unwrap_or_default() + 1, JOURNEY);
        FileError { line: self.table.line(), column: Some(place), what: Problem::UnknownJourney }
    }
}

/// Reads a journey file line by line.
#[derive(Debug, Clone)]
pub struct JourneyFile {
    table: Table,
    columns: [Column; 4],
    last: Option<JourneyLine>,
}

impl JourneyFile {
    /// Reads the header line. Gives also the columns that are not read.
    ///
    /// # Errors
    /// A needed column is missing, or one stands there twice.
    pub fn open(header: &[u8]) -> Result<(JourneyFile, Vec<String>), FileError> {
        let mut columns = [JOURNEY, "converted", "conversion_ts", "value_cents"].map(|name| (name, None));
        let (table, unread) = Table::open(header, JOURNEY, &mut columns)?;
        needed(&columns)?;
        Ok((JourneyFile { table, columns, last: None }, unread))
    }

    /// Reads the next line; none for the empty line at the end of a file.
    ///
    /// # Errors
    /// [`FileError`] with line and column.
    pub fn line(&mut self, line: &[u8]) -> Result<Option<JourneyLine>, FileError> {
        let at = self.table.line() + 1;
        let columns = self.columns;
        let mut read: [Cow<'_, [u8]>; 4] = Default::default();
        let found = self.table.fields(line, |place, field| {
            let which = columns.iter().position(|(_, column)| *column == Some(place));
            if let Some(slot) = which.and_then(|which| read.get_mut(which)) {
                *slot = field;
            }
            Ok(())
        })?;
        if !found {
            return Ok(None);
        }
        let wrong = |which: usize| {
            let column = columns.get(which).and_then(|(name, place)| Some((place.as_ref()? + 1, *name)));
            move |what| FileError { line: at, column, what }
        };
        let [journey, converted, time, cents] = &read;
        let journey = text(journey).map_err(wrong(0))?;
        let blank = |field: &[u8]| field.trim_ascii().is_empty();
        let conversion = match converted.trim_ascii() {
            b"1" if blank(time) => return Err(wrong(2)(Problem::Conversion)),
            b"1" if blank(cents) => return Err(wrong(3)(Problem::Conversion)),
            b"1" => Some((instant(time).map_err(wrong(2))?, whole(cents).map_err(wrong(3))?)),
            b"0" if !blank(time) => return Err(wrong(2)(Problem::Conversion)),
            b"0" if !blank(cents) && whole(cents).map_err(wrong(3))? != 0 => {
                return Err(wrong(3)(Problem::Conversion));
            }
            b"0" => None,
            _ => return Err(wrong(1)(Problem::Flag)),
        };
        let this = JourneyLine { journey, conversion };
        let again = self.last.as_ref().filter(|last| last.journey == this.journey);
        if again.is_some_and(|last| last.conversion.is_none() || this.conversion.is_none()) {
            return Err(wrong(0)(Problem::JourneyTwice));
        }
        self.last = Some(this.clone());
        Ok(Some(this))
    }
}
