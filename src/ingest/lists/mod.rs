//! Lists of numbers and addresses: taken in as a stream in bounded memory, kept as immutable files of keyed hashes, asked by the
//! gate.
//!
//! Order of an import, and what a death at each step leaves: (1) the file is read and sorted into a temporary folder, which the
//! next import sweeps; (2) the token file is on disk under its digest, and on Postgres in its rows: a version that nothing
//! cites; (3) answers of a database are events of their people; (4) `list.imported` names the version: from its commit on the
//! gate asks it. A version is never changed and never removed.

mod file;
mod import;
mod rows;
mod sort;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

pub use import::{Coverage, ListImport, ListImportError, ListImported, PARAMETERS};
pub use rows::{BadLine, FileError};

use self::file::{ListFile, Token};
use super::ledger::Ledger;
use super::noted::NotedFor;
use super::read::ReadError;
use crate::chain::decode::EntryRef;
use crate::crypto::blind::ListKey;
use crate::crypto::hash::{Digest, sha256};
use crate::domain::email::Email;
use crate::domain::list::{DropList, List};
use crate::domain::parts::PartKind;
use crate::domain::phone::Phone;
use crate::domain::time::{MICROS_PER_DAY, Timestamp, parse_day};

/// A version that is in the log.
#[derive(Debug, Clone)]
pub struct ListVersion {
    /// Which list.
    pub list: List,
    /// Position of its `list.imported`.
    pub position: u64,
    /// When that was recorded.
    pub recorded: Timestamp,
    /// SHA-256 of the token file.
    pub version: Digest,
    /// Tokens in it.
    pub entries: u64,
    /// Day of the copy: its first instant in UTC.
    pub as_of: Timestamp,
    /// Area codes that it covers; none: all.
    pub area_codes: Option<BTreeSet<u16>>,
    /// What was recorded of it.
    pub data: serde_json::Map<String, Value>,
}

/// What a list says of a number or address.
#[derive(Debug, Clone)]
pub struct ListAnswer {
    /// The version asked.
    pub version: Arc<ListVersion>,
    /// Whether it is in there; none: the copy does not cover it.
    pub listed: Option<bool>,
}

/// Versions of the log, as far as it was read for them, and those that are open.
#[derive(Debug, Default)]
pub(super) struct Lists {
    noted_read: usize,
    versions: Vec<Arc<ListVersion>>,
    open: HashMap<Digest, Arc<ListFile>>,
}

impl ListVersion {
    fn read(position: u64, recorded: Timestamp, business: &Value) -> Option<ListVersion> {
        let data = business.get("data")?.as_object()?.clone();
        let text = |name: &str| data.get(name).and_then(Value::as_str);
        let list = match text("list")? {
            "drop" => format!("drop:{}", text("drop_list")?),
            other => other.to_owned(),
        };
        let codes = data.get("area_codes").and_then(Value::as_array);
        let codes = codes.map(|codes| codes.iter().filter_map(|code| code.as_str()?.parse().ok()).collect());
        Some(ListVersion {
            list: list.parse().ok()?,
            position,
            recorded,
            version: text("version")?.parse().ok()?,
            entries: data.get("entries")?.as_u64()?,
            as_of: day(text("as_of")?)?,
            area_codes: codes,
            data,
        })
    }

    /// Whether the copy says anything of a number.
    fn covers(&self, phone: &Phone) -> bool {
        match &self.area_codes {
            None => true,
            Some(codes) => phone.area_code().is_some_and(|code| codes.contains(&code)),
        }
    }
}

/// The first instant of a day written `YYYY-MM-DD`, in UTC.
pub fn day(text: &str) -> Option<Timestamp> {
    parse_day(text).map(|day| Timestamp::from_micros(day * MICROS_PER_DAY))
}

impl Ledger {
    /// Every version that is in the log, oldest first.
    ///
    /// # Errors
    /// [`ListImportError::Read`].
    pub async fn list_versions(&self) -> Result<Vec<Arc<ListVersion>>, ListImportError> {
        let mut lists = self.lists.lock().await;
        for position in self.noted_from(NotedFor::Lists, lists.noted_read).await? {
            if let Some(version) = self.list_version_at(position).await? {
                lists.versions.push(Arc::new(version));
            }
            lists.noted_read += 1;
        }
        Ok(lists.versions.clone())
    }

    async fn list_version_at(&self, position: u64) -> Result<Option<ListVersion>, ListImportError> {
        let bytes = self.store().entry_at(position).await.map_err(ReadError::from)?;
        let bytes = bytes.ok_or(ReadError::Absent(position))?;
        let entry = EntryRef::decode(&bytes).map_err(|source| ReadError::Entry { position, source })?;
        if entry.event_type != "list.imported" {
            return Ok(None);
        }
        let opened = self.open_entry(position).await?;
        let business = opened.plaintext(PartKind::Business).and_then(|bytes| serde_json::from_slice(bytes).ok());
        let business: Value = business.unwrap_or_default();
        Ok(ListVersion::read(position, opened.entry.recorded, &business))
    }

    /// The version of each list that counts at `now`, as known at `known`: of those the newest copy, of two of one day the later.
    async fn list_versions_at(
        &self,
        (now, known): (Timestamp, Timestamp),
    ) -> Result<Vec<Arc<ListVersion>>, ListImportError> {
        let mut newest: HashMap<List, Arc<ListVersion>> = HashMap::new();
        for version in self.list_versions().await? {
            let older = newest.get(&version.list).is_some_and(|other| other.as_of > version.as_of);
            if version.recorded <= known && version.as_of <= now && !older {
                newest.insert(version.list.clone(), version);
            }
        }
        let mut found: Vec<_> = newest.into_values().collect();
        found.sort_by(|a, b| a.list.cmp(&b.list));
        Ok(found)
    }

    /// What the lists say of a number and an address.
    ///
    /// # Errors
    /// [`ListImportError::Missing`] when a version that counts cannot be asked: then nobody knows who is on it.
    pub async fn lists_ask(
        &self,
        at: (Timestamp, Timestamp),
        phone: Option<&Phone>,
        email: Option<&Email>,
    ) -> Result<Vec<ListAnswer>, ListImportError> {
        let mut answers = Vec::new();
        for version in self.list_versions_at(at).await? {
            let asked = match (&version.list, phone, email) {
                (List::Rnd, ..) => None,
                (List::Drop(DropList::Email), _, Some(email)) => {
                    Some(self.hash_token(ListKey::EmailHash, email.as_str().to_lowercase().as_bytes()))
                }
                (List::Drop(DropList::Phone), Some(phone), _) => {
                    let digits = phone.as_str().trim_start_matches('+').as_bytes();
                    Some(self.hash_token(ListKey::PhoneHash, digits.last_chunk::<10>().map_or(digits, |last| last)))
                }
                (List::Drop(_), ..) => None,
                (_, Some(phone), _) => {
                    Some(self.secrets.suppression.list_token(ListKey::Phone, phone.as_str().as_bytes()))
                }
                (_, None, _) => None,
            };
            let Some(token) = asked else { continue };
            let listed = match phone.is_none_or(|phone| version.covers(phone)) {
                true => Some(self.list_contains(&version, &token).await?),
                false => None,
            };
            answers.push(ListAnswer { version, listed });
        }
        Ok(answers)
    }

    fn hash_token(&self, key: ListKey, value: &[u8]) -> Token {
        self.secrets.suppression.list_token(key, sha256(value).as_bytes())
    }

    async fn list_contains(&self, version: &ListVersion, token: &Token) -> Result<bool, ListImportError> {
        let file = self.list_file(&version.version).await?;
        file.contains(token).map_err(|source| ListImportError::Missing { version: version.version, source })
    }

    fn lists_folder(&self) -> PathBuf {
        self.folder.join("lists")
    }

    /// An open version; where another server took it in, its bytes are fetched from the shared rows first.
    async fn list_file(&self, version: &Digest) -> Result<Arc<ListFile>, ListImportError> {
        let mut lists = self.lists.lock().await;
        if let Some(open) = lists.open.get(version) {
            return Ok(Arc::clone(open));
        }
        let missing = |source| ListImportError::Missing { version: *version, source };
        let path = self.lists_folder().join(version.to_string());
        if self.store().shares_lists() && !path.exists() {
            self.list_fetch(version, &path).await?;
        }
        let opened = {
            let version = *version;
            self.tasks.spawn_blocking(move || ListFile::open(&path, &version))
        };
        let file = Arc::new(opened.await.map_err(|_| ListImportError::Cut)?.map_err(missing)?);
        lists.open.insert(*version, Arc::clone(&file));
        Ok(file)
    }

    async fn list_fetch(&self, version: &Digest, path: &Path) -> Result<(), ListImportError> {
        std::fs::create_dir_all(self.lists_folder())?;
        let part = path.with_extension("part");
        let mut file = std::fs::File::create(&part)?;
        for chunk in 0.. {
            let Some(bytes) = self.store().list_chunk(version, chunk).await? else { break };
            std::io::Write::write_all(&mut file, &bytes)?;
        }
        // What came is checked against its name when it is opened.
        std::fs::rename(part, path)?;
        Ok(())
    }
}

/// When what a copy says was so, at the latest: the end of its day, or its import.
pub fn said_at(version: &ListVersion) -> Timestamp {
    let end = version.as_of.checked_add_micros(MICROS_PER_DAY - 1).unwrap_or(version.as_of);
    end.min(version.recorded)
}
