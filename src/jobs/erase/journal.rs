//! The erasure journal: one object an erasure, in `DIR/erasures/<ledger>/`, durable before anything is destroyed.
//!
//! It says what is to be destroyed by key id, so that a start finishes what was begun and a restore destroys again what an
//! old backup brought back. It holds no personal data: pseudonyms, classes, quarters, fingerprints.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::domain::ids::{EventId, KeyId, LedgerId, SubjectId};
use crate::domain::parts::RetentionClass;
use crate::domain::time::{Quarter, Timestamp};
use crate::ingest::Ledger;
use crate::jobs::checkpoint::write_durably;
use crate::store::DekSlot;

/// The only form there is.
pub const FORMAT: &str = "tallystick-erasure/1";

/// How far an erasure is, as far as a restart has to know. What lies between is done again and changes nothing then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// A hold keeps it from beginning.
    Waiting,
    /// Asked for; the fence may or may not stand.
    Planned,
    /// The keys to destroy are listed here; some may be gone.
    Listed,
    /// All of it is done and recorded.
    Done,
}

/// A key that is destroyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoomedKey {
    /// Whose: a person, or an item in quarantine.
    pub owner: SubjectId,
    /// Fingerprint.
    pub key: KeyId,
    /// Class.
    pub class: RetentionClass,
    /// Ordinal of the recorded quarter.
    pub quarter: u16,
}

impl DoomedKey {
    /// Its place in the vault.
    pub const fn slot(&self) -> DekSlot {
        DekSlot { owner: *self.owner.as_bytes(), class: self.class.code(), quarter: self.quarter }
    }

    /// The quarter as certificates write it.
    pub fn quarter_text(&self) -> String {
        Quarter::from_ordinal(self.quarter).map(|quarter| quarter.to_string()).unwrap_or_default()
    }
}

/// A class of parts that stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The class.
    pub class: RetentionClass,
    /// Ground as in `subject.erased`.
    pub ground: String,
    /// Parts that stay.
    pub parts: u64,
    /// When the last key of it ends by its class; none under a hold.
    pub until: Option<Timestamp>,
    /// The rule.
    pub source: String,
}

/// An item in quarantine that named the person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Position of its `quarantine.received`.
    pub position: u64,
    /// Number of its sealed part.
    pub part: u8,
    /// Its key.
    pub key: DoomedKey,
}

/// One erasure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasure {
    /// [`FORMAT`].
    pub format: String,
    /// The ledger.
    pub ledger: LedgerId,
    /// Its id.
    pub erasure: EventId,
    /// Basis as in `subject.erasure_started`.
    pub basis: String,
    /// Reference of the rights request; forgotten once the fence stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The person's pseudonyms.
    pub subjects: Vec<SubjectId>,
    /// How far it is.
    pub state: State,
    /// When it was asked for.
    pub asked: Timestamp,
    /// Keys that are destroyed; filled when `Listed`.
    #[serde(default)]
    pub keys: Vec<DoomedKey>,
    /// Items in quarantine that are destroyed; filled when `Listed`.
    #[serde(default)]
    pub items: Vec<Item>,
    /// What stays; filled when `Listed`.
    #[serde(default)]
    pub kept: Vec<Kept>,
    /// Tokens kept; filled when `Listed`.
    #[serde(default)]
    pub tokens: u64,
    /// When it was recorded as done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<Timestamp>,
    /// Positions of its `subject.erased` entries.
    #[serde(default)]
    pub recorded_at: Vec<u64>,
    /// Epoch of the key-encryption key when the keys were destroyed.
    #[serde(default)]
    pub kek_epoch: u32,
    /// Day after which no backup can open what was destroyed.
    #[serde(default)]
    pub irrecoverable_on: String,
}

/// The journal of one ledger.
#[derive(Debug, Clone)]
pub struct Journal {
    folder: PathBuf,
}

impl Journal {
    /// `DIR/erasures/<ledger>`, from the ledger's folder `DIR/ledgers/<ledger>`; `erasures` inside a folder that stands
    /// elsewhere.
    pub fn of(ledger: &Ledger) -> Journal {
        let own = ledger.folder.parent().filter(|parent| parent.file_name().is_some_and(|name| name == "ledgers"));
        let folder = match own.and_then(Path::parent) {
            Some(directory) => directory.join("erasures").join(ledger.id.to_string()),
            None => ledger.folder.join("erasures"),
        };
        Journal { folder }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn path(&self, erasure: &EventId) -> PathBuf {
        self.folder.join(format!("{erasure}.json"))
    }

    /// Writes an object: after a crash it is the old one or the new one.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, erasure: &Erasure) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let text = serde_json::to_vec_pretty(erasure).map_err(io::Error::other)?;
        write_durably(&self.path(&erasure.erasure), &text)
    }

    /// One object.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn load(&self, erasure: &EventId) -> io::Result<Option<Erasure>> {
        match fs::read(self.path(erasure)) {
            Ok(text) => read(&text).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All objects, oldest first.
    ///
    /// # Errors
    /// When one cannot be read: an erasure that cannot be understood must be seen, not skipped.
    pub fn all(&self) -> io::Result<Vec<Erasure>> {
        let mut found = Vec::new();
        let items = match fs::read_dir(&self.folder) {
            Ok(items) => items,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
            Err(error) => return Err(error),
        };
        for item in items {
            let path = item?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                found.push(read(&fs::read(&path)?)?);
            }
        }
        found.sort_by_key(|erasure: &Erasure| erasure.erasure);
        Ok(found)
    }
}

fn read(text: &[u8]) -> io::Result<Erasure> {
    let erasure: Erasure = serde_json::from_slice(text).map_err(io::Error::other)?;
    if erasure.format != FORMAT {
        return Err(io::Error::other("an erasure of another format"));
    }
    Ok(erasure)
}
