//! From lines in any order to a sorted token file, in bounded memory: runs are sorted in memory and put on disk, then merged
//! with each other and with the version before. Only tokens reach the disk, never what they were made from.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use super::file::{TOKEN, Token};
use crate::crypto::hash::{Digest, Sha256};

/// Records of one run: 48 MB.
const RUN_RECORDS: usize = 2 << 20;
/// Bytes of a record on disk: token, then the line's number with what it does.
const RECORD: usize = TOKEN + 8;

/// A token with the order of its line. The last line about a token wins.
type Record = (Token, u64);

/// What came of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Built {
    /// SHA-256 of the token file.
    pub version: Digest,
    /// Tokens in it.
    pub entries: u64,
    /// Tokens that the base had not.
    pub added: u64,
    /// Tokens that the base had and this has not.
    pub removed: u64,
    /// Where it is, until it is renamed.
    pub path: PathBuf,
}

/// Sorted runs under way, in a folder that is removed at the end.
#[derive(Debug)]
pub(super) struct Runs {
    folder: PathBuf,
    records: Vec<Record>,
    files: Vec<PathBuf>,
    next: u64,
    run_records: usize,
}

impl Runs {
    /// Begins in a folder of its own, which it makes.
    pub fn new(folder: PathBuf) -> std::io::Result<Runs> {
        Runs::of(folder, RUN_RECORDS)
    }

    fn of(folder: PathBuf, run_records: usize) -> std::io::Result<Runs> {
        std::fs::create_dir_all(&folder)?;
        Ok(Runs { folder, records: Vec::new(), files: Vec::new(), next: 0, run_records })
    }

    /// Takes a token.
    pub fn push(&mut self, token: Token, removes: bool) -> std::io::Result<()> {
        self.records.push((token, self.next << 1 | u64::from(removes)));
        self.next += 1;
        if self.records.len() >= self.run_records {
            self.spill()?;
        }
        Ok(())
    }

    fn spill(&mut self) -> std::io::Result<()> {
        self.records.sort_unstable();
        let path = self.folder.join(format!("run-{}", self.files.len()));
        let mut file = BufWriter::with_capacity(1 << 20, File::create(&path)?);
        for (token, order) in self.records.drain(..) {
            file.write_all(&token)?;
            file.write_all(&order.to_be_bytes())?;
        }
        file.flush()?;
        self.files.push(path);
        Ok(())
    }

    /// Merges all runs. With `keeps`, what the version before holds stays unless a line removes it; without, the version
    /// before is only compared with.
    pub fn finish(mut self, base: Option<&Path>, keeps: bool) -> std::io::Result<Built> {
        self.spill()?;
        // The sorted runs are on disk; the memory goes to the buffers of the merge.
        self.records = Vec::new();
        let mut runs = Merged::open(&self.files)?;
        let mut base = Tokens::open(base)?;
        let mut out = Out::create(self.folder.join("tokens"))?;
        let (mut line, mut old) = (runs.next_last()?, base.next()?);
        loop {
            // What of the next token is known: whether the base has it, and what the last line about it says.
            let (token, before, said) = match (line, old) {
                (None, None) => break,
                (Some((token, removes)), Some(known)) if token == known => (token, true, Some(!removes)),
                (Some((token, removes)), known) if known.is_none_or(|known| token < known) => {
                    (token, false, Some(!removes))
                }
                (_, Some(known)) => (known, true, None),
                (Some(_), None) => break,
            };
            if said.is_some() {
                line = runs.next_last()?;
            }
            if before {
                old = base.next()?;
            }
            out.take(token, before, said.unwrap_or(before && keeps))?;
        }
        out.finish()
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        for file in &self.files {
            // A run left behind is swept with its folder at the next import.
            let _left = std::fs::remove_file(file);
        }
    }
}

/// The file being written, and its figures.
struct Out {
    path: PathBuf,
    file: BufWriter<File>,
    hasher: Sha256,
    piece: Vec<u8>,
    entries: u64,
    added: u64,
    removed: u64,
}

impl Out {
    fn create(path: PathBuf) -> std::io::Result<Out> {
        let file = BufWriter::with_capacity(1 << 20, File::create(&path)?);
        Ok(Out { path, file, hasher: Sha256::default(), piece: Vec::new(), entries: 0, added: 0, removed: 0 })
    }

    fn take(&mut self, token: Token, before: bool, after: bool) -> std::io::Result<()> {
        self.added += u64::from(after && !before);
        self.removed += u64::from(before && !after);
        if !after {
            return Ok(());
        }
        self.entries += 1;
        self.piece.extend(token);
        if self.piece.len() >= 64 << 10 { self.put() } else { Ok(()) }
    }

    fn put(&mut self) -> std::io::Result<()> {
        self.hasher.update(&self.piece);
        self.file.write_all(&self.piece)?;
        self.piece.clear();
        Ok(())
    }

    fn finish(mut self) -> std::io::Result<Built> {
        self.put()?;
        // On disk before it is named: an entry must never cite a file that a power cut takes.
        self.file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
        let (version, entries, added, removed) = (self.hasher.finish(), self.entries, self.added, self.removed);
        Ok(Built { version, entries, added, removed, path: self.path })
    }
}

/// The tokens of a version, in order.
struct Tokens(Option<BufReader<File>>);

impl Tokens {
    fn open(path: Option<&Path>) -> std::io::Result<Tokens> {
        Ok(Tokens(path.map(File::open).transpose()?.map(|file| BufReader::with_capacity(1 << 20, file))))
    }

    fn next(&mut self) -> std::io::Result<Option<Token>> {
        match &mut self.0 {
            Some(reader) => read_array(reader),
            None => Ok(None),
        }
    }
}

/// All runs as one, in order.
struct Merged {
    readers: Vec<BufReader<File>>,
    heap: BinaryHeap<Reverse<(Record, usize)>>,
}

impl Merged {
    fn open(paths: &[PathBuf]) -> std::io::Result<Merged> {
        let mut merged = Merged { readers: Vec::new(), heap: BinaryHeap::new() };
        for path in paths {
            merged.readers.push(BufReader::with_capacity(256 << 10, File::open(path)?));
            merged.refill(merged.readers.len() - 1)?;
        }
        Ok(merged)
    }

    fn refill(&mut self, run: usize) -> std::io::Result<()> {
        let Some(reader) = self.readers.get_mut(run) else { return Ok(()) };
        if let Some(bytes) = read_array::<RECORD>(reader)? {
            let (token, order) = bytes.split_at(TOKEN);
            let token = token.try_into().unwrap_or([0; TOKEN]);
            let order = order.try_into().map_or(0, u64::from_be_bytes);
            self.heap.push(Reverse(((token, order), run)));
        }
        Ok(())
    }

    fn pop(&mut self) -> std::io::Result<Option<Record>> {
        let Some(Reverse((record, run))) = self.heap.pop() else { return Ok(None) };
        self.refill(run)?;
        Ok(Some(record))
    }

    /// The next token, with what its last line does.
    fn next_last(&mut self) -> std::io::Result<Option<(Token, bool)>> {
        let Some((token, mut order)) = self.pop()? else { return Ok(None) };
        while self.heap.peek().is_some_and(|Reverse(((next, _), _))| *next == token) {
            order = self.pop()?.map_or(order, |(_, later)| later);
        }
        Ok(Some((token, order & 1 == 1)))
    }
}

fn read_array<const N: usize>(reader: &mut impl Read) -> std::io::Result<Option<[u8; N]>> {
    let mut bytes = [0; N];
    match reader.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(bytes)),
        // Files are written whole by this module; what is shorter is the end.
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    use super::*;
    use crate::crypto::hash::sha256;

    fn token(number: u8) -> Token {
        let digest = sha256(&[number]);
        digest.as_bytes()[..TOKEN].try_into().unwrap()
    }

    fn file(tokens: &BTreeSet<Token>) -> Vec<u8> {
        tokens.iter().flatten().copied().collect()
    }

    proptest! {
        #[test]
        fn merging_equals_doing_line_by_line(
            base in proptest::collection::btree_set(any::<u8>(), 0..60),
            lines in proptest::collection::vec((any::<u8>(), any::<bool>()), 0..200),
            keeps in any::<bool>(),
            with_base in any::<bool>(),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let base: BTreeSet<Token> = base.into_iter().map(token).filter(|_| with_base).collect();
            let base_path = folder.path().join("base");
            std::fs::write(&base_path, file(&base)).unwrap();
            let mut runs = Runs::of(folder.path().join("runs"), 7).unwrap();
            let mut expected = if keeps { base.clone() } else { BTreeSet::new() };
            for (number, removes) in &lines {
                runs.push(token(*number), *removes).unwrap();
                if *removes { expected.remove(&token(*number)) } else { expected.insert(token(*number)) };
            }
            let built = runs.finish(with_base.then_some(base_path.as_path()), keeps).unwrap();
            let bytes = std::fs::read(&built.path).unwrap();
            prop_assert_eq!(&bytes, &file(&expected));
            prop_assert_eq!(built.version, sha256(&bytes));
            prop_assert_eq!(built.entries as usize, expected.len());
            prop_assert_eq!(built.added as usize, expected.difference(&base).count());
            prop_assert_eq!(built.removed as usize, base.difference(&expected).count());
        }
    }
}
