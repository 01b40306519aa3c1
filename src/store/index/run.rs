//! One sorted run on disk: rows of 32 bytes (key 16, value 16), named by what it covers and by its own SHA-256.
//!
//! A run is written to a temporary name, synced, renamed, and the folder synced. Opening reads it whole and compares the
//! digest, so a flipped bit anywhere makes it "no run" instead of a wrong answer.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::Kind;
use super::filter::Filter;
use crate::crypto::hash::sha256;

/// Key and value.
pub(super) type Row = ([u8; 16], [u8; 16]);

const ROW_BYTES: usize = 32;
/// Rows between two keys kept in memory: one read of 4 KiB answers a question.
const STRIDE: usize = 128;

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

    pub(super) fn write(folder: &Path, kind: Kind, first: u64, end: u64, rows: &[Row]) -> io::Result<Run> {
        let mut bytes = Vec::with_capacity(rows.len() * ROW_BYTES);
        for (key, value) in rows {
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(value);
        }
        let name = format!("{}-{first:020}-{end:020}-{}.run", kind.name(), sha256(&bytes));
        let path = folder.join(name);
        let temporary = folder.join(format!("{}-{first:020}-{end:020}.tmp", kind.name()));
        let mut file = File::create(&temporary)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        File::open(folder)?.sync_all()?;
        Ok(Run::from_rows(path.clone(), File::open(&path)?, first, end, rows.iter().map(|(key, _)| *key), rows.len()))
    }

    fn from_rows(
        path: PathBuf,
        file: File,
        first: u64,
        end: u64,
        keys: impl Iterator<Item = [u8; 16]>,
        count: usize,
    ) -> Run {
        let mut filter = Filter::with_capacity(count);
        let mut fence = Vec::with_capacity(count / STRIDE + 1);
        for (row, key) in keys.enumerate() {
            filter.insert(&key);
            if row % STRIDE == 0 {
                fence.push(key);
            }
        }
        Run { path, file, first, end, count, filter, fence }
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
        let keys = bytes.chunks_exact(ROW_BYTES).map(|row| row_of(row).0);
        let count = bytes.len() / ROW_BYTES;
        Ok((kind, Run::from_rows(path.to_path_buf(), file, first, end, keys, count)))
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

    pub(super) fn rows(&self) -> Result<Vec<Row>, RunError> {
        let mut bytes = vec![0; self.count * ROW_BYTES];
        self.file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes.chunks_exact(ROW_BYTES).map(row_of).collect())
    }
}

fn row_of(bytes: &[u8]) -> Row {
    let (mut key, mut value) = ([0; 16], [0; 16]);
    let (left, right) = bytes.split_at(16);
    key.copy_from_slice(left);
    value.copy_from_slice(right);
    (key, value)
}

/// Merges sorted sources, oldest first: for equal keys the newest source's value stays.
pub(super) fn merge_rows(sources: &[Vec<Row>]) -> Vec<Row> {
    let mut cursors = vec![0usize; sources.len()];
    let mut merged = Vec::with_capacity(sources.iter().map(Vec::len).max().unwrap_or(0));
    loop {
        let heads = sources.iter().zip(&cursors).filter_map(|(rows, cursor)| rows.get(*cursor));
        let Some(least) = heads.map(|row| row.0).min() else { return merged };
        let mut value = [0; 16];
        for (rows, cursor) in sources.iter().zip(cursors.iter_mut()) {
            if let Some(row) = rows.get(*cursor).filter(|row| row.0 == least) {
                value = row.1;
                *cursor += 1;
            }
        }
        merged.push((least, value));
    }
}
