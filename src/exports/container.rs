//! The canonical ZIP that a bundle is: one list of files has exactly one container.
//!
//! Promises: stored entries only, names in ascending byte order, times zero (1980-01-01), no extra fields, comments,
//! attributes or gaps. Reading parses, writes the same files again and compares every byte, so that no byte of a container
//! can change without being noticed: there is no place that a reader skips. Must never create a path outside the folder
//! that somebody unpacks into.

use std::ops::Range;

/// Longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 255;
/// Most files: far above what one person's history needs.
pub const FILES_MAX: usize = 2_000_000;
/// Longest container: offsets are 32 bits wide, and the highest value has another meaning (APPNOTE 4.4.1.4).
pub const CONTAINER_BYTES_MAX: usize = 0xffff_fffe;

/// From this number of files on the end record cannot count them (APPNOTE 4.4.1.4) and a ZIP64 record does.
const FILES_WIDE: usize = 0xffff;
const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END_WIDE: u32 = 0x0606_4b50;
const LOCATOR_WIDE: u32 = 0x0706_4b50;
/// PKZIP 2.0: the first version with folders in names.
const VERSION: u16 = 20;
const VERSION_WIDE: u16 = 45;
/// 1980-01-01 in the DOS form, where no zero month or day exists.
const DATE: u16 = 0x0021;
const LOCAL_BYTES: usize = 30;
const CENTRAL_BYTES: usize = 46;

/// Why files make no container, or bytes are none of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ContainerError {
    /// The bytes are not those that its own files give when written again.
    #[error("the container is not in its only allowed form from byte {at} on")]
    Form {
        /// Offset of the first byte that differs, as far as it is known.
        at: usize,
    },
    /// A name is not a plain relative path, or names are not in ascending order.
    #[error("file {number} has a name that is not allowed or not in order")]
    Name {
        /// Which file, from 0.
        number: usize,
    },
    /// Over [`CONTAINER_BYTES_MAX`] or [`FILES_MAX`].
    #[error("the container is too large")]
    TooLarge,
}

/// A file in a container that was read: where its bytes lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile<'a> {
    /// Relative path.
    pub name: &'a str,
    /// Content.
    pub bytes: &'a [u8],
}

/// Writes files as a container.
///
/// # Errors
/// [`ContainerError::Name`] unless names are plain and ascending, [`ContainerError::TooLarge`] over the limits.
pub fn write(files: &[(String, Vec<u8>)]) -> Result<Vec<u8>, ContainerError> {
    let files: Vec<_> = files.iter().map(|(name, bytes)| StoredFile { name, bytes }).collect();
    let overhead = |file: &StoredFile<'_>| LOCAL_BYTES + CENTRAL_BYTES + 2 * file.name.len() + file.bytes.len();
    let size = files.iter().map(overhead).try_fold(98_usize, usize::checked_add).ok_or(ContainerError::TooLarge)?;
    if size > CONTAINER_BYTES_MAX {
        return Err(ContainerError::TooLarge);
    }
    let mut out = Vec::with_capacity(size);
    emit(&files, &mut |bytes| {
        out.extend_from_slice(bytes);
        Ok(())
    })?;
    Ok(out)
}

/// Writes a container piece by piece: one file is in memory at a time, and of those before only names and places.
#[derive(Default)]
pub struct Stream {
    places: Vec<(String, Place)>,
    offset: usize,
}

impl Stream {
    /// The bytes of the next file, header and content.
    ///
    /// # Errors
    /// As [`write`].
    pub fn file(&mut self, name: &str, bytes: &[u8]) -> Result<Vec<u8>, ContainerError> {
        let number = self.places.len();
        if !is_plain_name(name) || self.places.last().is_some_and(|(last, _)| last.as_str() >= name) {
            return Err(ContainerError::Name { number });
        }
        if number >= FILES_MAX {
            return Err(ContainerError::TooLarge);
        }
        let place = Place::of(&StoredFile { name, bytes }, self.offset)?;
        let mut out = place.local(name)?;
        out.extend_from_slice(bytes);
        self.offset += out.len();
        self.places.push((name.to_owned(), place));
        Ok(out)
    }

    /// The bytes behind the last file.
    ///
    /// # Errors
    /// [`ContainerError::TooLarge`].
    pub fn end(self) -> Result<Vec<u8>, ContainerError> {
        let mut out = Vec::new();
        for (name, place) in &self.places {
            out.extend_from_slice(&place.central(name)?);
        }
        out.extend_from_slice(&end_records(self.places.len(), self.offset, self.offset + out.len())?);
        if self.offset + out.len() > CONTAINER_BYTES_MAX { Err(ContainerError::TooLarge) } else { Ok(out) }
    }
}

/// Reads a container and checks that it is the only one its files can have.
///
/// # Errors
/// [`ContainerError`] says where it is not.
pub fn read(bytes: &[u8]) -> Result<Vec<StoredFile<'_>>, ContainerError> {
    if bytes.len() > CONTAINER_BYTES_MAX {
        return Err(ContainerError::TooLarge);
    }
    let mut files = Vec::new();
    let mut at = 0;
    while number32(bytes, at) == Some(LOCAL) {
        let file = local_file(bytes, at).ok_or(ContainerError::Form { at })?;
        at = file.1.end;
        if files.len() >= FILES_MAX {
            return Err(ContainerError::TooLarge);
        }
        files.push(StoredFile { name: file.0, bytes: bytes.get(file.1).ok_or(ContainerError::Form { at })? });
    }
    let mut compared = 0;
    emit(&files, &mut |expected| {
        let found = bytes.get(compared..).unwrap_or_default();
        if !found.starts_with(expected) {
            let same = found.iter().zip(expected).take_while(|(found, expected)| found == expected).count();
            return Err(ContainerError::Form { at: compared + same });
        }
        compared += expected.len();
        Ok(())
    })?;
    if compared == bytes.len() { Ok(files) } else { Err(ContainerError::Form { at: compared }) }
}

/// Whether a name is a relative path of plain segments: nothing that a file system could read as more than a name.
pub fn is_plain_name(name: &str) -> bool {
    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-');
    let segment = |segment: &str| !segment.is_empty() && !segment.starts_with(['.', '-']) && segment.bytes().all(plain);
    name.len() <= NAME_BYTES_MAX && name.split('/').all(segment)
}

/// Name and content range of the local file at an offset, as its header has them.
fn local_file(bytes: &[u8], at: usize) -> Option<(&str, Range<usize>)> {
    let size = usize::try_from(number32(bytes, at + 22)?).ok()?;
    let name_bytes = usize::from(u16::from_le_bytes(bytes.get(at + 26..at + 28)?.try_into().ok()?));
    let start = at + LOCAL_BYTES + name_bytes;
    let name = std::str::from_utf8(bytes.get(at + LOCAL_BYTES..start)?).ok()?;
    let end = start.checked_add(size).filter(|end| *end <= bytes.len())?;
    Some((name, start..end))
}

fn number32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// Gives the container's bytes piece by piece.
fn emit(
    files: &[StoredFile<'_>],
    out: &mut impl FnMut(&[u8]) -> Result<(), ContainerError>,
) -> Result<(), ContainerError> {
    if files.len() > FILES_MAX {
        return Err(ContainerError::TooLarge);
    }
    let mut places = Vec::with_capacity(files.len());
    let mut offset = 0_usize;
    let mut last: Option<&str> = None;
    for (number, file) in files.iter().enumerate() {
        if !is_plain_name(file.name) || last.is_some_and(|last| last >= file.name) {
            return Err(ContainerError::Name { number });
        }
        last = Some(file.name);
        let place = Place::of(file, offset)?;
        let header = place.local(file.name)?;
        out(&header)?;
        out(file.bytes)?;
        offset += header.len() + file.bytes.len();
        places.push(place);
    }
    let start = offset;
    for (file, place) in files.iter().zip(&places) {
        let header = place.central(file.name)?;
        out(&header)?;
        offset += header.len();
    }
    out(&end_records(files.len(), start, offset)?)
}

/// What a file's two headers say beside its name.
struct Place {
    crc: u32,
    offset: u32,
    size: u32,
}

impl Place {
    fn of(file: &StoredFile<'_>, offset: usize) -> Result<Place, ContainerError> {
        Ok(Place { crc: crc32fast::hash(file.bytes), offset: narrow(offset)?, size: narrow(file.bytes.len())? })
    }

    /// Local header (APPNOTE 4.3.7) and name.
    fn local(&self, name: &str) -> Result<Vec<u8>, ContainerError> {
        let mut header = Vec::with_capacity(LOCAL_BYTES + name.len());
        header.extend_from_slice(&LOCAL.to_le_bytes());
        self.common(name, &mut header)?;
        header.extend_from_slice(name.as_bytes());
        Ok(header)
    }

    /// Central header (APPNOTE 4.3.12) and name.
    fn central(&self, name: &str) -> Result<Vec<u8>, ContainerError> {
        let mut header = Vec::with_capacity(CENTRAL_BYTES + name.len());
        header.extend_from_slice(&CENTRAL.to_le_bytes());
        header.extend_from_slice(&VERSION.to_le_bytes());
        self.common(name, &mut header)?;
        // Comment length, disk, internal and external attributes.
        header.extend_from_slice(&[0; 10]);
        header.extend_from_slice(&self.offset.to_le_bytes());
        header.extend_from_slice(name.as_bytes());
        Ok(header)
    }

    /// Version needed, flags, method, time, date, CRC, both sizes, both lengths: the same in both headers.
    fn common(&self, name: &str, header: &mut Vec<u8>) -> Result<(), ContainerError> {
        let name_bytes = u16::try_from(name.len()).map_err(|_| ContainerError::TooLarge)?;
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&[0; 6]);
        header.extend_from_slice(&DATE.to_le_bytes());
        for number in [self.crc, self.size, self.size] {
            header.extend_from_slice(&number.to_le_bytes());
        }
        header.extend_from_slice(&name_bytes.to_le_bytes());
        header.extend_from_slice(&[0; 2]);
        Ok(())
    }
}

/// End of central directory (APPNOTE 4.3.16), with the ZIP64 records (4.3.14, 4.3.15) where the count needs them.
fn end_records(files: usize, start: usize, end: usize) -> Result<Vec<u8>, ContainerError> {
    let (size, offset) = (narrow(end - start)?, narrow(start)?);
    let mut out = Vec::with_capacity(98);
    if files >= FILES_WIDE {
        let count = (files as u64).to_le_bytes();
        out.extend_from_slice(&END_WIDE.to_le_bytes());
        // Bytes of this record that follow.
        out.extend_from_slice(&44_u64.to_le_bytes());
        out.extend_from_slice(&VERSION_WIDE.to_le_bytes());
        out.extend_from_slice(&VERSION_WIDE.to_le_bytes());
        out.extend_from_slice(&[0; 8]);
        out.extend_from_slice(&count);
        out.extend_from_slice(&count);
        out.extend_from_slice(&u64::from(size).to_le_bytes());
        out.extend_from_slice(&u64::from(offset).to_le_bytes());
        out.extend_from_slice(&LOCATOR_WIDE.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&(end as u64).to_le_bytes());
        out.extend_from_slice(&1_u32.to_le_bytes());
    }
    let count = u16::try_from(files.min(FILES_WIDE)).unwrap_or(u16::MAX).to_le_bytes();
    out.extend_from_slice(&END.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&count);
    out.extend_from_slice(&count);
    out.extend_from_slice(&size.to_le_bytes());
    out.extend_from_slice(&offset.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    Ok(out)
}

fn narrow(value: usize) -> Result<u32, ContainerError> {
    u32::try_from(value).ok().filter(|value| *value < u32::MAX).ok_or(ContainerError::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Vec<(String, Vec<u8>)> {
        vec![
            ("a.txt".to_owned(), b"one".to_vec()),
            ("b/2.bin".to_owned(), Vec::new()),
            ("b/c".to_owned(), vec![0x50, 0x4b, 3, 4, 0x50, 0x4b, 1, 2]),
        ]
    }

    #[test]
    fn container_reads_back_as_its_files() {
        let written = write(&files()).unwrap();
        let read = read(&written).unwrap();
        let owned: Vec<_> = read.iter().map(|file| (file.name.to_owned(), file.bytes.to_vec())).collect();
        assert_eq!(owned, files());
        assert_eq!(read_names(&write(&[]).unwrap()), Vec::<String>::new());
    }

    #[test]
    fn what_is_streamed_is_what_is_written() {
        let mut stream = Stream::default();
        let mut out = Vec::new();
        for (name, bytes) in files() {
            out.extend(stream.file(&name, &bytes).unwrap());
        }
        assert_eq!(stream.file("a", b""), Err(ContainerError::Name { number: 3 }));
        out.extend(stream.end().unwrap());
        assert_eq!(out, write(&files()).unwrap());
    }

    fn read_names(bytes: &[u8]) -> Vec<String> {
        read(bytes).unwrap().iter().map(|file| file.name.to_owned()).collect()
    }

    #[test]
    fn any_other_byte_is_refused_or_gives_other_files() {
        let written = write(&files()).unwrap();
        for at in 0..written.len() {
            for bit in 0..8 {
                let mut changed = written.clone();
                changed[at] ^= 1 << bit;
                assert!(read(&changed).is_err(), "byte {at} bit {bit}");
            }
        }
    }

    #[test]
    fn anything_before_between_or_behind_is_refused() {
        let written = write(&files()).unwrap();
        for at in 0..=written.len() {
            let mut longer = written.clone();
            longer.insert(at, 0);
            assert!(read(&longer).is_err(), "inserted at {at}");
            assert!(read(&written[..at]).is_err() || at == written.len(), "cut at {at}");
        }
        assert_eq!(read(b""), Err(ContainerError::Form { at: 0 }));
    }

    #[test]
    fn names_that_leave_the_folder_or_the_order_are_refused() {
        for name in ["", "/a", "a/", "a//b", "..", "a/../b", ".hidden", "a b", "a\\b", "c:x", "-rf", "\u{e4}"] {
            assert_eq!(write(&[(name.to_owned(), Vec::new())]), Err(ContainerError::Name { number: 0 }), "{name}");
        }
        let mut unordered = files();
        unordered.swap(0, 1);
        assert_eq!(write(&unordered), Err(ContainerError::Name { number: 1 }));
        let twice = [("a".to_owned(), Vec::new()), ("a".to_owned(), Vec::new())];
        assert_eq!(write(&twice), Err(ContainerError::Name { number: 1 }));
    }

    #[test]
    fn more_files_than_the_end_record_counts_still_read_back() {
        let many: Vec<_> = (0..70_000).map(|number| (format!("{number:06}"), Vec::new())).collect();
        let written = write(&many).unwrap();
        assert_eq!(read(&written).unwrap().len(), 70_000);
        let end = written.len() - 22;
        assert_eq!(&written[end + 8..end + 12], &[0xff; 4]);
        let exactly: Vec<_> = many[..FILES_WIDE - 1].to_vec();
        assert_eq!(read(&write(&exactly).unwrap()).unwrap().len(), FILES_WIDE - 1);
    }
}
