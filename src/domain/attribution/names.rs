//! Names and the small numbers that stand for them while credit is computed.

use std::hash::Hasher;

use super::fast_hash::FastHasher;

/// The number of a name in its [`Names`], from 0 in order of first sight.
pub type NameId = u32;

/// How many names one table holds: a window of five fits a 128-bit key.
pub const NAMES_MAX: usize = (1 << 24) - 2;

/// A table of names.
///
/// Looked up for every step of every path, so it is an open table of numbers beside the texts: a quarter of the time that a
/// general map takes.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// Numbers plus one, 0 for an empty slot; a power of two of them, at most half taken.
    slots: Vec<u32>,
    texts: Vec<Box<str>>,
}

/// Slots of a table with its first name.
const SLOTS_MIN: usize = 64;

/// Why a name gets no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not UTF-8.
    #[error("not UTF-8 text")]
    NotText,
    /// [`NAMES_MAX`] names are taken.
    #[error("more than {NAMES_MAX} names")]
    TooMany,
}

impl Names {
    /// The number of a name, a new one at first sight.
    ///
    /// # Errors
    /// [`NameError`].
    #[inline]
    pub fn id(&mut self, name: &[u8]) -> Result<NameId, NameError> {
        match self.find(name) {
            Some(id) => Ok(id),
            None => self.add(name),
        }
    }

    #[inline]
    fn find(&self, name: &[u8]) -> Option<NameId> {
        let mut at = hash(name);
        loop {
            // An empty table has no slot at all.
            let id = self.slots.get(at & self.slots.len().wrapping_sub(1))?.checked_sub(1)?;
            if self.text(id).as_bytes() == name {
                return Some(id);
            }
            at = at.wrapping_add(1);
        }
    }

    #[cold]
    fn add(&mut self, name: &[u8]) -> Result<NameId, NameError> {
        let text = std::str::from_utf8(name).map_err(|_| NameError::NotText)?;
        if self.texts.len() >= NAMES_MAX {
            return Err(NameError::TooMany);
        }
        self.texts.push(text.into());
        if self.texts.len() * 2 > self.slots.len() {
            self.slots = vec![0; (self.slots.len() * 2).max(SLOTS_MIN)];
            for id in 1..self.texts.len() as u32 {
                self.put(id);
            }
        }
        let id = self.texts.len() as u32;
        self.put(id);
        Ok(id - 1)
    }

    /// Puts a number plus one into the first free slot from its name's on.
    fn put(&mut self, id: u32) {
        let (mut at, mask) = (hash(self.text(id - 1).as_bytes()), self.slots.len() - 1);
        while let Some(slot) = self.slots.get_mut(at & mask) {
            if *slot == 0 {
                *slot = id;
                return;
            }
            at = at.wrapping_add(1);
        }
    }

    /// The name of a number; empty for a number that was never given.
    pub fn text(&self, id: NameId) -> &str {
        self.texts.get(id as usize).map_or("", |text| text)
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }
}

#[inline]
fn hash(name: &[u8]) -> usize {
    let mut hasher = FastHasher::default();
    hasher.write(name);
    hasher.finish() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_of_names_keep_their_numbers() {
        let mut names = Names::default();
        let name = |at: u32| format!("campaign {}", at * 7).into_bytes();
        for round in 0..2 {
            for at in 0..5_000 {
                assert_eq!(names.id(&name(at)), Ok(at), "round {round}");
            }
        }
        assert_eq!((names.len(), names.text(3), names.text(5_000)), (5_000, "campaign 21", ""));
        assert_eq!(names.id(b"\xff"), Err(NameError::NotText));
        assert_eq!(names.id(b""), Ok(5_000));
    }
}
