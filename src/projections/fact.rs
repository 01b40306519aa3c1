//! What a projection sees of an entry: the entry and its business part, read without copying.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::chain::decode::EntryRef;
use crate::domain::time::Timestamp;

/// Why an entry cannot be folded: a code. Never carries a value of the entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FoldError(pub &'static str);

/// An entry and what is readable of it without personal data.
#[derive(Debug, Clone, Copy)]
pub struct Fact<'a> {
    /// The entry.
    pub entry: EntryRef<'a>,
    /// Its position as rows carry it.
    pub position: i64,
    /// Plaintext of the business or public part; none when its key or payload is gone.
    pub business: Option<&'a [u8]>,
}

/// A business or public part. Its members are fixed by `ingest::accept`.
#[derive(Debug, Deserialize)]
pub struct Business<'a> {
    /// Business fields of the event's data.
    #[serde(borrow)]
    pub data: &'a RawValue,
    /// Facts computed at seal time.
    #[serde(borrow, default)]
    pub derived: Option<&'a RawValue>,
    /// When it happened, if the poster said.
    #[serde(borrow, default)]
    pub occurred: Option<&'a str>,
    /// Keyed hashes of record ids, by field.
    #[serde(borrow, default)]
    pub refs: Option<&'a RawValue>,
}

impl<'a> Fact<'a> {
    /// Reads stored bytes.
    ///
    /// # Errors
    /// [`FoldError`] if they are no entry: the log was altered, which `verify` will say in full.
    pub fn decode(entry: &'a [u8], business: Option<&'a [u8]>) -> Result<Fact<'a>, FoldError> {
        let entry = EntryRef::decode(entry).map_err(|_| FoldError("entry_unreadable"))?;
        let position = i64::try_from(entry.position).map_err(|_| FoldError("entry_unreadable"))?;
        Ok(Fact { entry, position, business })
    }

    /// The business part, or `None` when it is gone: then there is nothing to fold, and that is not an error.
    ///
    /// # Errors
    /// [`FoldError`] if it is not of the form that sealing gives.
    pub fn business(&self) -> Result<Option<Business<'a>>, FoldError> {
        let Some(bytes) = self.business else { return Ok(None) };
        serde_json::from_slice(bytes).map(Some).map_err(|_| FoldError("business_unreadable"))
    }

    /// Recorded time in microseconds.
    pub const fn recorded(&self) -> i64 {
        self.entry.recorded.micros()
    }
}

impl<'a> Business<'a> {
    /// When it happened: as stated, else when it was recorded.
    ///
    /// # Errors
    /// [`FoldError`] if the stated time is none.
    pub fn occurred(&self, fact: &Fact<'_>) -> Result<i64, FoldError> {
        self.occurred.map_or(Ok(fact.recorded()), time)
    }

    /// The data in the form of a type.
    ///
    /// # Errors
    /// [`FoldError`] if a field is of another kind than the schema says.
    pub fn data<T: Deserialize<'a>>(&self) -> Result<T, FoldError> {
        serde_json::from_str(self.data.get()).map_err(|_| FoldError("data_unreadable"))
    }

    /// Derived facts in the form of a type; none where the event has none.
    ///
    /// # Errors
    /// As [`Business::data`].
    pub fn derived<T: Deserialize<'a>>(&self) -> Result<Option<T>, FoldError> {
        self.derived
            .map(|derived| serde_json::from_str(derived.get()).map_err(|_| FoldError("derived_unreadable")))
            .transpose()
    }

    /// Record ids in the form of a type; none where the event has none.
    ///
    /// # Errors
    /// As [`Business::data`].
    pub fn refs<T: Deserialize<'a>>(&self) -> Result<Option<T>, FoldError> {
        self.refs.map(|refs| serde_json::from_str(refs.get()).map_err(|_| FoldError("refs_unreadable"))).transpose()
    }
}

/// Reads a time of a business field, in microseconds.
///
/// # Errors
/// [`FoldError`] if it is none.
pub fn time(text: &str) -> Result<i64, FoldError> {
    Timestamp::parse_rfc3339(text).map(Timestamp::micros).map_err(|_| FoldError("time_unreadable"))
}

/// Reads a keyed hash of a record id.
///
/// # Errors
/// [`FoldError`] if it is not 32 hex digits.
pub fn record(text: &str) -> Result<[u8; 16], FoldError> {
    let mut record = [0; 16];
    let unreadable = FoldError("refs_unreadable");
    if text.len() != 32 {
        return Err(unreadable);
    }
    data_encoding::HEXLOWER.decode_mut(text.as_bytes(), &mut record).map_err(|_| unreadable)?;
    Ok(record)
}

/// Bits of the names in a list; none of an empty list.
///
/// # Errors
/// [`FoldError`] with `code` if a name is not in the list.
pub fn bits<T: AsRef<str>>(names: &[T], list: &[&str], code: &'static str) -> Result<i64, FoldError> {
    names.iter().try_fold(0, |bits, name| {
        let place = list.iter().position(|known| *known == name.as_ref()).ok_or(FoldError(code))?;
        Ok(bits | 1 << place)
    })
}
