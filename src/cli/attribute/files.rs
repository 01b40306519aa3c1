//! The files of `tallystick attribute`: read line by line, never whole.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use super::super::{Failure, Outcome};
use super::note;
use crate::domain::attribution::FileError;
use crate::domain::attribution::journey::{self, Touch};
use crate::domain::attribution::journey_file::{JourneyFile, JourneyLine, TouchFile, TouchLine};
use crate::domain::attribution::study::Study;
use crate::http::csv::{self, Cell};

/// No line is longer: memory stays bounded whatever the file holds.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// The lines of a file, one in memory at a time.
pub(super) struct Lines {
    path: PathBuf,
    reader: BufReader<Box<dyn Read>>,
    line: Vec<u8>,
    count: u64,
}

impl Lines {
    pub fn open(path: &Path) -> Result<Lines, Failure> {
        let reader: Box<dyn Read> = if path == Path::new("-") {
            Box::new(std::io::stdin())
        } else {
            let opened = File::open(path);
            Box::new(opened.map_err(|error| Failure::Failed(format!("cannot read {}: {error}", path.display())))?)
        };
        let reader = BufReader::with_capacity(1 << 18, reader);
        Ok(Lines { path: path.to_owned(), reader, line: Vec::new(), count: 0 })
    }

    /// The next line with its line break; none at the end.
    pub fn read(&mut self) -> Result<Option<&[u8]>, Failure> {
        self.line.clear();
        let read = self.reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut self.line);
        let read = read.map_err(|error| Failure::Failed(format!("cannot read {}: {error}", self.path.display())))?;
        self.count += 1;
        if read as u64 == LINE_BYTES_MAX && !self.line.ends_with(b"\n") {
            let (path, line) = (self.path.display(), self.count);
            return Err(Failure::Failed(format!("{path}: line {line}: longer than {LINE_BYTES_MAX} bytes")));
        }
        Ok((read > 0).then_some(self.line.as_slice()))
    }

    pub fn wrong(&self, error: FileError) -> Failure {
        Failure::Failed(format!("{}: {error}", self.path.display()))
    }

    pub fn note_unread(&self, columns: &[String]) {
        if !columns.is_empty() {
            note(&format!("{}: columns that are not read: {}", self.path.display(), columns.join(", ")));
        }
    }
}

/// Touches and journeys, read side by side.
pub(super) struct Pairs {
    touch_lines: Lines,
    touch_file: TouchFile,
    /// A touch of a journey that has not come up yet.
    waiting: Option<TouchLine>,
    journey_lines: Lines,
    journey_file: JourneyFile,
}

impl Pairs {
    pub fn open(touches: &Path, journeys: &Path) -> Result<Pairs, Failure> {
        let mut touch_lines = Lines::open(touches)?;
        let opened = TouchFile::open(touch_lines.read()?.unwrap_or_default());
        let (touch_file, unread) = opened.map_err(|error| touch_lines.wrong(error))?;
        touch_lines.note_unread(&unread);
        let mut journey_lines = Lines::open(journeys)?;
        let opened = JourneyFile::open(journey_lines.read()?.unwrap_or_default());
        let (journey_file, unread) = opened.map_err(|error| journey_lines.wrong(error))?;
        journey_lines.note_unread(&unread);
        Ok(Pairs { touch_lines, touch_file, waiting: None, journey_lines, journey_file })
    }

    pub fn journey(&mut self) -> Result<Option<JourneyLine>, Failure> {
        while let Some(line) = self.journey_lines.read()? {
            if let Some(journey) = self.journey_file.line(line).map_err(|error| self.journey_lines.wrong(error))? {
                return Ok(Some(journey));
            }
        }
        Ok(None)
    }

    /// Reads the touches of a journey into `touches`, in order of time.
    pub fn touches_of(&mut self, journey: &JourneyLine, touches: &mut Vec<Touch>, study: &mut Study) -> Outcome {
        touches.clear();
        loop {
            if self.waiting.is_none() {
                let Some(line) = self.touch_lines.read()? else { break };
                let read = self.touch_file.line(line, &mut study.words);
                self.waiting = read.map_err(|error| self.touch_lines.wrong(error))?;
            }
            match self.waiting.take_if(|waiting| waiting.journey == journey.journey) {
                Some(TouchLine { touch, .. }) => {
                    self.touch_file.gather(touch, touches).map_err(|error| self.touch_lines.wrong(error))?;
                }
                None if self.waiting.is_some() => break,
                None => (),
            }
        }
        journey::sort(touches);
        Ok(())
    }

    /// Makes sure that no touch is left without its journey.
    pub fn end(&mut self) -> Outcome {
        while self.waiting.is_none() {
            let Some(line) = self.touch_lines.read()? else { return Ok(()) };
            let read = self.touch_file.line(line, &mut Default::default());
            self.waiting = read.map_err(|error| self.touch_lines.wrong(error))?;
        }
        Err(self.touch_lines.wrong(self.touch_file.unknown_journey()))
    }
}

/// Whole cents by conversion, touch and model.
pub(super) struct CreditFile {
    path: PathBuf,
    out: BufWriter<File>,
}

impl CreditFile {
    pub fn create(path: &Path) -> Result<CreditFile, Failure> {
        let file = File::create(path).map_err(|error| unwritten(path, &error))?;
        let mut out = BufWriter::new(file);
        out.write_all(b"journey_id,seq,channel,model,cents\n").map_err(|error| unwritten(path, &error))?;
        Ok(CreditFile { path: path.to_owned(), out })
    }

    pub fn write(&mut self, journey: &str, rows: Vec<(String, Touch, i64)>, study: &Study) -> Outcome {
        let mut text = String::new();
        for (model, touch, cents) in rows {
            let channel = Cell::text(Some(study.words.channels.text(touch.channel)));
            let journey = Cell::text(Some(journey));
            let row = [journey, Cell::number(touch.seq), channel, Cell::Text(model), Cell::number(cents)];
            csv::row(&mut text, &row);
            text.push('\n');
        }
        self.out.write_all(text.as_bytes()).map_err(|error| unwritten(&self.path, &error))
    }

    pub fn close(mut self) -> Outcome {
        self.out.flush().map_err(|error| unwritten(&self.path, &error))
    }
}

fn unwritten(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Failed(format!("cannot write {}: {error}", path.display()))
}
