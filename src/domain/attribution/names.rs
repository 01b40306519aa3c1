//! Names and the small numbers that stand for them while credit is computed.

use super::fast_hash::FastMap;

/// The number of a name in its [`Names`], from 0 in order of first sight.
pub type NameId = u32;

/// How many names one table holds: a window of five fits a 128-bit key.
pub const NAMES_MAX: usize = (1 << 24) - 2;

/// A table of names.
#[derive(Debug, Clone, Default)]
pub struct Names {
    ids: FastMap<Box<[u8]>, NameId>,
    texts: Vec<Box<str>>,
}

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
    pub fn id(&mut self, name: &[u8]) -> Result<NameId, NameError> {
        if let Some(id) = self.ids.get(name) {
            return Ok(*id);
        }
        let text = std::str::from_utf8(name).map_err(|_| NameError::NotText)?;
        if self.texts.len() >= NAMES_MAX {
            return Err(NameError::TooMany);
        }
        let id = self.texts.len() as NameId;
        self.ids.insert(name.into(), id);
        self.texts.push(text.into());
        Ok(id)
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
