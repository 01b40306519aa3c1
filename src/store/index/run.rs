//! One sorted run on disk: rows of 32 bytes (key 16, value 16), named by what it covers and by its own SHA-256.
//!
//! A run is written to a temporary name, synced, renamed, and the folder synced. Opening reads it whole and compares the
//! digest, so a flipped bit anywhere makes it "no run" instead of a wrong answer.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::Kind;
use super::filter::Filter;
use crate::crypto::hash::{Sha256, sha256};

/// Key and value.
pub(super) type Row = ([u8; 16], [u8; 16]);

const ROW_BYTES: usize = 32;
/// Rows between two keys kept in memory: one read of 4 KiB answers a question.
const STRIDE: usize = 128;
/// Rows that a merge reads at a time.
const READ_ROWS: usize = 4_096;

/// Why a run cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The file cannot be read.
    #[error("index run cannot be read")]
    Read(#[from] io::Error),
    /// It is not what its name says.
    #[error("index run is damaged: {0}")]
    Damaged(&'static str),
}

/// A sorted run that covers positions `[first, end)`.
#[derive(Debug)]
pub struct Run {
    path: PathBuf,
    file: File,
    first: u64,
    end: u64,
    count: usize,
    filter: Filter,
    fence: Vec<[u8; 16]>,
}

impl Run {
    /// First position covered.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Position after the last one covered.
    pub fn end(&self) -> u64 {
        self.end
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a run from sorted rows; `count_max` bounds how many come. Holds a buffer, never the rows.
    pub(super) fn write(
        folder: &Path,
        kind: Kind,
        (first, end): (u64, u64),
        count_max: usize,
        mut next: impl FnMut() -> Result<Option<Row>, RunError>,
    ) -> Result<Run, RunError> {
        let temporary = folder.join(format!("{}-{first:020}-{end:020}.tmp", kind.name()));
        let mut file = BufWriter::with_capacity(1 << 20, File::create(&temporary)?);
        let mut hasher = Sha256::default();
        let mut keys = Keys::with_capacity(count_max);
        while let Some((key, value)) = next()? {
            hasher.update(&key);
            hasher.update(&value);
            file.write_all(&key)?;
            file.write_all(&value)?;
            keys.push(&key);
        }
        let file = file.into_inner().map_err(|error| error.into_error())?;
        file.sync_all()?;
        let path = folder.join(format!("{}-{first:020}-{end:020}-{}.run", kind.name(), hasher.finish()));
        fs::rename(&temporary, &path)?;
        File::open(folder)?.sync_all()?;
        Ok(keys.into_run(path.clone(), File::open(&path)?, first, end))
    }

    pub(super) fn open(path: &Path) -> Result<(Kind, Run), RunError> {
        let stem = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_suffix(".run"))
            .ok_or(RunError::Damaged("name"))?;
        let mut fields = stem.split('-');
        let kind = fields
            .next()
            .and_then(|name| Kind::ALL.into_iter().find(|kind| kind.name() == name))
            .ok_or(RunError::Damaged("kind"))?;
        let mut number = || fields.next().and_then(|field| field.parse::<u64>().ok()).ok_or(RunError::Damaged("range"));
        let (first, end) = (number()?, number()?);
        let digest = fields.next().ok_or(RunError::Damaged("digest"))?;
        let mut bytes = Vec::new();
        let mut file = File::open(path)?;
        file.read_to_end(&mut bytes)?;
        if sha256(&bytes).to_string() != digest {
            return Err(RunError::Damaged("content"));
        }
        if bytes.len() % ROW_BYTES != 0 || first >= end {
            return Err(RunError::Damaged("length"));
        }
        let mut keys = Keys::with_capacity(bytes.len() / ROW_BYTES);
        bytes.chunks_exact(ROW_BYTES).for_each(|row| keys.push(&row_of(row).0));
        Ok((kind, keys.into_run(path.to_path_buf(), file, first, end)))
    }

    pub(super) fn search(&self, key: &[u8; 16]) -> Result<Option<[u8; 16]>, RunError> {
        if !self.filter.may_contain(key) {
            return Ok(None);
        }
        let Some(stride) = self.fence.partition_point(|fence| fence <= key).checked_sub(1) else { return Ok(None) };
        let start = stride * STRIDE;
        let rows = STRIDE.min(self.count - start);
        let mut buffer = [0; STRIDE * ROW_BYTES];
        let bytes = buffer.split_at_mut(rows * ROW_BYTES).0;
        self.file.read_exact_at(bytes, (start * ROW_BYTES) as u64)?;
        let mut rows = bytes.chunks_exact(ROW_BYTES).map(row_of);
        Ok(rows.find(|row| row.0 == *key).map(|row| row.1))
    }

    /// Every value of a key, in order.
    pub(super) fn search_all(&self, key: &[u8; 16]) -> Result<Vec<[u8; 16]>, RunError> {
        let mut values = Vec::new();
        if !self.filter.may_contain(key) {
            return Ok(values);
        }
        // Rows of the key may begin within the stride before the first one that begins with it.
        let stride = self.fence.partition_point(|fence| fence < key).saturating_sub(1);
        let mut at = stride * STRIDE;
        let mut buffer = [0; STRIDE * ROW_BYTES];
        while at < self.count {
            let rows = STRIDE.min(self.count - at);
            let bytes = buffer.split_at_mut(rows * ROW_BYTES).0;
            self.file.read_exact_at(bytes, (at * ROW_BYTES) as u64)?;
            for (found, value) in bytes.chunks_exact(ROW_BYTES).map(row_of) {
                if found > *key {
                    return Ok(values);
                }
                values.extend((found == *key).then_some(value));
            }
            at += rows;
        }
        Ok(values)
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Shows every row in order.
    pub(super) fn each(&self, mut each: impl FnMut(&Row)) -> Result<(), RunError> {
        let mut source = Source::disk(self);
        while let Some(row) = source.next()? {
            each(&row);
        }
        Ok(())
    }

    /// Writes zeros over the file and deletes it. Nobody may search it any more.
    pub(super) fn wipe(&self) -> io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).open(&self.path)?;
        let zeros = [0; READ_ROWS];
        let mut left = self.count * ROW_BYTES;
        while left > 0 {
            let length = left.min(zeros.len());
            file.write_all(zeros.split_at(length).0)?;
            left -= length;
        }
        file.sync_all()?;
        fs::remove_file(&self.path)
    }
}

/// What a run keeps in memory of its keys, gathered in order.
struct Keys {
    count: usize,
    filter: Filter,
    fence: Vec<[u8; 16]>,
}

impl Keys {
    fn with_capacity(count: usize) -> Keys {
        Keys { count: 0, filter: Filter::with_capacity(count), fence: Vec::with_capacity(count / STRIDE + 1) }
    }

    fn push(&mut self, key: &[u8; 16]) {
        self.filter.insert(key);
        if self.count.is_multiple_of(STRIDE) {
            self.fence.push(*key);
        }
        self.count += 1;
    }

    fn into_run(self, path: PathBuf, file: File, first: u64, end: u64) -> Run {
        Run { path, file, first, end, count: self.count, filter: self.filter, fence: self.fence }
    }
}

/// Sorted rows, from memory or read from a run piece by piece.
pub(super) enum Source<'a> {
    Memory(std::vec::IntoIter<Row>),
    Disk { run: &'a Run, next: usize, buffer: std::vec::IntoIter<Row> },
}

impl<'a> Source<'a> {
    pub fn disk(run: &'a Run) -> Source<'a> {
        Source::Disk { run, next: 0, buffer: Vec::new().into_iter() }
    }

    pub(super) fn next(&mut self) -> Result<Option<Row>, RunError> {
        match self {
            Source::Memory(rows) => Ok(rows.next()),
            Source::Disk { run, next, buffer } => {
                if buffer.len() == 0 {
                    let rows = READ_ROWS.min(run.count - *next);
                    let mut bytes = vec![0; rows * ROW_BYTES];
                    run.file.read_exact_at(&mut bytes, (*next * ROW_BYTES) as u64)?;
                    *next += rows;
                    *buffer = bytes.chunks_exact(ROW_BYTES).map(row_of).collect::<Vec<_>>().into_iter();
                }
                Ok(buffer.next())
            }
        }
    }
}

/// Merges sorted sources, oldest first. Of equal keys the newest source's value stays, or every value where the kind has several.
pub(super) struct Merge<'a> {
    single: bool,
    sources: Vec<(Option<Row>, Source<'a>)>,
}

impl<'a> Merge<'a> {
    pub fn new(kind: Kind, sources: Vec<Source<'a>>) -> Result<Merge<'a>, RunError> {
        let sources = sources.into_iter().map(|mut source| Ok((source.next()?, source)));
        Ok(Merge { single: kind.is_single(), sources: sources.collect::<Result<_, RunError>>()? })
    }

    pub fn next(&mut self) -> Result<Option<Row>, RunError> {
        let Some(least) = self.sources.iter().filter_map(|(row, _)| *row).min() else { return Ok(None) };
        let mut value = least.1;
        for (row, source) in &mut self.sources {
            if let Some((_, newest)) = row.filter(|row| if self.single { row.0 == least.0 } else { *row == least }) {
                value = newest;
                *row = source.next()?;
            }
        }
        Ok(Some((least.0, value)))
    }
}

fn row_of(bytes: &[u8]) -> Row {
    let (mut key, mut value) = ([0; 16], [0; 16]);
    let (left, right) = bytes.split_at(16);
    key.copy_from_slice(left);
    value.copy_from_slice(right);
    (key, value)
}
