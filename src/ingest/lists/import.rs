//! Taking in a list: read, sorted, checked, kept, recorded.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};

use super::file::TOKEN;
use super::rows::{self, Answer, BadLine, FileError, Row};
use super::sort::{Built, Runs};
use super::{ListVersion, day};
use crate::crypto::blind::ListKey;
use crate::crypto::hash::Digest;
use crate::domain::ids::PrincipalId;
use crate::domain::list::{DropList, List, ListChange};
use crate::domain::time::{Timestamp, day_text};
use crate::ingest::admit::SubmitOptions;
use crate::ingest::forms::Received;
use crate::ingest::ledger::Ledger;
use crate::ingest::read::ReadError;
use crate::ingest::receipt::{Outcome, Receipt, SubmitError};
use crate::store::StoreError;

/// Bad lines that an answer names.
const BAD_LINES_SHOWN: usize = 20;
/// Answers of the reassigned numbers database in one file: they are held until all are read.
const ANSWERS_MAX: usize = 1_000_000;
/// Answers recorded in one request.
const ANSWERS_BATCH: usize = 500;
/// Bytes of a version in one row on Postgres.
const CHUNK_BYTES: usize = 256 << 10;
/// Begins the name of a folder in which an import works.
const WORK_PREFIX: &str = ".import-";

/// What is imported, and what is known of it.
#[derive(Debug, Clone)]
pub struct ListImport {
    /// Which list.
    pub list: List,
    /// What the file is.
    pub change: ListChange,
    /// Day of the copy at its source: its first instant in UTC, which is early everywhere in the United States.
    pub as_of: Timestamp,
    /// When it was obtained.
    pub accessed_at: Option<Timestamp>,
    /// Subscription account number, 16 CFR 310.5(a)(11).
    pub san: Option<String>,
    /// Campaign that it was obtained for.
    pub campaign: Option<String>,
    /// Where it came from.
    pub vendor: Option<String>,
    /// Area codes that the copy covers; none stated: those that occur in it. The registry is sold by area code, so that of
    /// a number under another code a copy says nothing.
    pub coverage: Coverage,
    /// Lines that may be unreadable before the file is refused.
    pub rejected_max: u64,
    /// The copy may have less than half of what the one before had.
    pub may_shrink: bool,
}

/// Area codes that a copy of the national registry covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Coverage {
    /// Every one.
    All,
    /// Those that occur in it.
    Found,
    /// These.
    Stated(BTreeSet<u16>),
}

/// Names of what is known of a file, as a request and the command line give them.
pub const PARAMETERS: [&str; 10] =
    ["list", "as_of", "kind", "accessed_at", "area_codes", "san", "campaign", "vendor", "rejected_max", "may_shrink"];

impl ListImport {
    /// Reads what is known of a file from texts by name.
    ///
    /// # Errors
    /// The name of the text that is missing or wrong, and what it must be.
    pub fn read<'a>(of: impl Fn(&str) -> Option<&'a str>) -> Result<ListImport, (&'static str, String)> {
        let list = of("list").ok_or(("list", "is required".to_owned()))?;
        let list: List = list.parse().map_err(|error: crate::domain::list::ListError| ("list", error.to_string()))?;
        let as_of = of("as_of").ok_or(("as_of", "is required: the day of the copy at its source".to_owned()))?;
        let as_of = day(as_of).ok_or(("as_of", "is a day, such as 2026-11-02".to_owned()))?;
        let change = ListChange::from_name(of("kind").unwrap_or("full"));
        let change = change.ok_or(("kind", "is full, changes or removals".to_owned()))?;
        if list == List::Rnd && change != ListChange::Full {
            return Err(("kind", "is full for answers: each stands for itself".to_owned()));
        }
        let accessed_at = of("accessed_at").map(Timestamp::parse_rfc3339).transpose();
        let accessed_at = accessed_at.map_err(|error| ("accessed_at", format!("is no time: {error}")))?;
        let id = |name: &'static str| match of(name) {
            Some(text) if !is_id(text) => {
                Err((name, "has 1 to 64 letters, digits, dots, underscores, hyphens".to_owned()))
            }
            text => Ok(text.map(str::to_owned)),
        };
        let rejected_max = of("rejected_max").unwrap_or("0").parse();
        let may_shrink = of("may_shrink").unwrap_or("false").parse();
        Ok(ListImport {
            change,
            as_of,
            accessed_at,
            san: id("san")?,
            campaign: id("campaign")?,
            vendor: id("vendor")?,
            coverage: coverage(&list, of("area_codes"))?,
            rejected_max: rejected_max.map_err(|_| ("rejected_max", "is a whole number from 0".to_owned()))?,
            may_shrink: may_shrink.map_err(|_| ("may_shrink", "is true or false".to_owned()))?,
            list,
        })
    }
}

fn is_id(text: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    text.len() <= 64 && text.bytes().all(inside) && text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
}

fn coverage(list: &List, text: Option<&str>) -> Result<Coverage, (&'static str, String)> {
    let Some(text) = text else { return Ok(Coverage::Found) };
    if *list != List::Ndnc {
        return Err(("area_codes", "belongs to the national registry alone".to_owned()));
    }
    if text == "all" {
        return Ok(Coverage::All);
    }
    let codes: Result<BTreeSet<u16>, _> = text.split(',').map(|code| code.trim().parse::<u16>()).collect();
    let codes = codes.ok().filter(|codes| codes.iter().all(|code| (200..1000).contains(code)));
    codes.map(Coverage::Stated).ok_or(("area_codes", "is all, or area codes with commas, such as 212,614".to_owned()))
}

/// What an import did.
#[derive(Debug, Clone)]
pub struct ListImported {
    /// Where `list.imported` is.
    pub receipt: Receipt,
    /// What was recorded.
    pub data: Value,
    /// Lines read.
    pub rows: u64,
    /// The first lines that could not be read.
    pub bad: Vec<BadLine>,
    /// Answers recorded, known already, and kept in quarantine.
    pub answers: [u64; 3],
}

/// Why a list was not imported, or cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum ListImportError {
    /// More answers than one file may hold.
    #[error("more than {ANSWERS_MAX} answers in one file")]
    Answers,
    /// The service is stopping.
    #[error("the import was cut short")]
    Cut,
    /// Nothing in it.
    #[error("the file holds no line")]
    Empty,
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The copy is of a day that has not begun.
    #[error("the copy is of a day that has not begun")]
    Future,
    /// Lines that cannot be read.
    #[error("{rejected} lines cannot be read")]
    Lines {
        /// How many.
        rejected: u64,
        /// The first of them.
        bad: Vec<BadLine>,
    },
    /// A version that the log cites is not here, or is not what its name says.
    #[error("list version {version} cannot be read")]
    Missing {
        /// The version.
        version: Digest,
        /// Why.
        source: std::io::Error,
    },
    /// Changes without a copy that they change.
    #[error("there is no copy of this list yet that the file could change")]
    NoBase,
    /// A newer copy is here.
    #[error("a copy of a later day is here already")]
    Older,
    /// Less than half of the copy before.
    #[error("the copy holds {after} entries, and the one before {before}")]
    Shrunk {
        /// Entries of the copy before.
        before: u64,
        /// Entries of this one.
        after: u64,
    },
    /// The log cannot be read.
    #[error("read")]
    Read(#[from] ReadError),
    /// The store failed.
    #[error("store")]
    Store(#[from] StoreError),
    /// The ledger did not take the record.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The token file cannot be written.
    #[error("the token file cannot be written")]
    Write(#[from] std::io::Error),
}

impl Ledger {
    /// Takes in a list. Bounded memory at any size; nothing counts before all of it is in.
    ///
    /// # Errors
    /// [`ListImportError`]; nothing of the list counts then. Answers of a database that were recorded stay: they are true.
    pub async fn list_import(
        self: &Arc<Ledger>,
        import: ListImport,
        source: impl Read + Send + 'static,
        actor: PrincipalId,
        now: Option<Timestamp>,
    ) -> Result<ListImported, ListImportError> {
        let _one_at_a_time = self.importing.lock().await;
        let at = now.unwrap_or_else(|| self.now());
        if import.as_of > at {
            return Err(ListImportError::Future);
        }
        let before = self.list_versions_at((Timestamp::MAX, Timestamp::MAX)).await?;
        let base = before.into_iter().find(|version| version.list == import.list);
        if base.as_ref().is_some_and(|base| base.as_of > import.as_of) {
            return Err(ListImportError::Older);
        }
        if base.is_none() && import.change != ListChange::Full {
            return Err(ListImportError::NoBase);
        }
        // Fetched and checked before anything is compared with it. A copy that is gone is replaced by a whole one.
        let compared = match &base {
            None => None,
            Some(base) => match self.list_file(&base.version).await {
                Ok(_) => Some(self.lists_folder().join(base.version.to_string())),
                Err(ListImportError::Missing { .. }) if import.change == ListChange::Full => None,
                Err(error) => return Err(error),
            },
        };
        let work = Work { ledger: Arc::clone(self), folder: self.work_folder()?, base: compared, import };
        let built = self.tasks.spawn_blocking(move || work.run(source)).await;
        let mut found = built.map_err(|_| ListImportError::Cut)??;
        found.check(base.as_deref())?;
        self.list_keep(&found.built).await?;
        let data = found.event_data(base.as_deref());
        let answers = self.answers_record(&found, actor, now).await?;
        let receipt = self.record_own("list.imported", None, data.clone(), actor, now).await?;
        Ok(ListImported { receipt, data, rows: found.rows, bad: std::mem::take(&mut found.bad), answers })
    }

    /// A fresh folder to work in; those of imports that died are removed.
    fn work_folder(&self) -> std::io::Result<PathBuf> {
        let lists = self.lists_folder();
        std::fs::create_dir_all(&lists)?;
        for entry in std::fs::read_dir(&lists)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(WORK_PREFIX) {
                std::fs::remove_dir_all(entry.path())?;
            }
        }
        let name = data_encoding::HEXLOWER.encode(&self.random.bytes::<8>());
        Ok(lists.join(format!("{WORK_PREFIX}{name}")))
    }

    /// Puts a version where every server finds it.
    async fn list_keep(&self, built: &Built) -> Result<(), ListImportError> {
        if self.store().shares_lists() {
            let mut file = std::fs::File::open(&built.path)?;
            let mut piece = vec![0; CHUNK_BYTES];
            for chunk in 0.. {
                let read = read_full(&mut file, &mut piece)?;
                if read == 0 {
                    break;
                }
                self.store().list_chunk_insert(&built.version, chunk, piece.get(..read).unwrap_or_default()).await?;
            }
        }
        std::fs::rename(&built.path, self.lists_folder().join(built.version.to_string()))?;
        // The name too must survive a power cut before an entry cites it.
        std::fs::File::open(self.lists_folder())?.sync_all()?;
        if let Some(folder) = built.path.parent() {
            std::fs::remove_dir_all(folder)?;
        }
        Ok(())
    }

    /// Records each answer of a database as an event of its person. The same answer again is a duplicate.
    async fn answers_record(
        &self,
        found: &Found,
        actor: PrincipalId,
        now: Option<Timestamp>,
    ) -> Result<[u64; 3], ListImportError> {
        let mut counts = [0; 3];
        for batch in found.answers.chunks(ANSWERS_BATCH) {
            let events = batch.iter().map(|answer| self.answer_event(found, answer)).collect();
            let options = SubmitOptions { actor, strict: false, dry_run: false, now, service: false, closing: None };
            for outcome in self.submit(events, options).await? {
                let at = match outcome {
                    Outcome::Recorded(_) => 0,
                    Outcome::Duplicate { .. } => 1,
                    Outcome::Quarantined { .. } | Outcome::Refused { .. } | Outcome::DryRun { .. } => 2,
                };
                if let Some(count) = counts.get_mut(at) {
                    *count += 1;
                }
            }
        }
        Ok(counts)
    }

    fn answer_event(&self, found: &Found, answer: &Answer) -> Received {
        let import = &found.import;
        let said = format!("{} {} {}", answer.phone.as_str(), answer.reference, answer.result);
        let as_of = day_text(import.as_of.unix_days());
        let id = self.secrets.refs.record_ref("rnd-answer", &as_of, &said);
        let mut data = json!({
            "list": "rnd", "result": answer.result, "reference_date": answer.reference, "phone": answer.phone.as_str(),
            "list_version": found.built.version, "list_date": as_of,
        });
        if let Value::Object(data) = &mut data {
            let more = [("query", &answer.query), ("vendor", &import.vendor)];
            data.extend(more.into_iter().filter_map(|(name, text)| Some((name.to_owned(), json!(text.as_ref()?)))));
        }
        let event = json!({
            "specversion": "1.0", "id": data_encoding::HEXLOWER.encode(&id), "source": "/lists/rnd",
            "type": "suppression.list_checked", "time": import.accessed_at.unwrap_or(import.as_of), "data": data,
        });
        Received { raw: event.to_string().into() }
    }
}

fn read_full(file: &mut std::fs::File, piece: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = piece.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read(rest)? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

/// The part of an import that computes and waits for the disk.
struct Work {
    ledger: Arc<Ledger>,
    import: ListImport,
    folder: PathBuf,
    base: Option<PathBuf>,
}

/// What was read.
struct Found {
    import: ListImport,
    built: Built,
    rows: u64,
    rejected: u64,
    bad: Vec<BadLine>,
    areas: BTreeSet<u16>,
    answers: Vec<Answer>,
}

impl Work {
    fn run(self, source: impl Read) -> Result<Found, ListImportError> {
        let mut runs = Runs::new(self.folder.clone())?;
        let keys = &self.ledger.secrets.suppression;
        let (mut rejected, mut bad, mut answers) = (0, Vec::new(), Vec::new());
        let mut seen = vec![false; 1000];
        let (list, change) = (&self.import.list, self.import.change);
        let take = |row: Row| {
            let token: [u8; TOKEN] = match &row.value {
                rows::Value::Phone(phone) => {
                    if let Some(code) = phone.area_code().and_then(|code| seen.get_mut(usize::from(code))) {
                        *code = true;
                    }
                    keys.list_token(ListKey::Phone, phone.as_str().as_bytes())
                }
                rows::Value::Hash(hash) => {
                    let email = matches!(list, List::Drop(DropList::Email));
                    keys.list_token(if email { ListKey::EmailHash } else { ListKey::PhoneHash }, hash)
                }
                rows::Value::Answer(answer) => {
                    if answers.len() >= ANSWERS_MAX {
                        return Err(ListImportError::Answers);
                    }
                    answers.push(answer.clone());
                    let line = format!("{} {} {}", answer.phone.as_str(), answer.reference, answer.result);
                    keys.list_token(ListKey::Answer, line.as_bytes())
                }
            };
            Ok(runs.push(token, row.removes)?)
        };
        let refuse = |line: BadLine| {
            rejected += 1;
            if bad.len() < BAD_LINES_SHOWN {
                bad.push(line);
            }
            Ok(())
        };
        let read = rows::read::<ListImportError>(list, change, source, take, refuse)?;
        let built = runs.finish(self.base.as_deref(), change != ListChange::Full)?;
        let areas = (0_u16..).zip(seen).filter(|(_, seen)| *seen).map(|(code, _)| code).collect();
        Ok(Found { import: self.import, built, rows: read, rejected, bad, areas, answers })
    }
}

impl Found {
    /// What speaks against taking it as it is.
    fn check(&self, base: Option<&ListVersion>) -> Result<(), ListImportError> {
        if self.rejected > self.import.rejected_max {
            return Err(ListImportError::Lines { rejected: self.rejected, bad: self.bad.clone() });
        }
        let full = self.import.change == ListChange::Full;
        if full && self.built.entries == 0 {
            return Err(ListImportError::Empty);
        }
        // A copy cut short on its way would take half of a list off it, and nobody would notice.
        match base {
            Some(base) if full && !self.import.may_shrink && self.built.entries < base.entries / 2 => {
                Err(ListImportError::Shrunk { before: base.entries, after: self.built.entries })
            }
            _ => Ok(()),
        }
    }

    fn event_data(&self, base: Option<&ListVersion>) -> Value {
        let (import, built) = (&self.import, &self.built);
        let covered = match (&import.list, &import.coverage, import.change) {
            (List::Ndnc, Coverage::Found, ListChange::Full) => Some(self.areas.clone()),
            (List::Ndnc, Coverage::Found, _) => base.and_then(|base| base.area_codes.clone()),
            (List::Ndnc, Coverage::Stated(codes), _) => Some(codes.clone()),
            _ => None,
        };
        let drop_list = match import.list {
            List::Drop(kind) => Some(kind.name()),
            _ => None,
        };
        let data = json!({
            "list": import.list.family(),
            "drop_list": drop_list,
            "version": built.version,
            "entries": built.entries,
            "rejected": self.rejected,
            "added": built.added,
            "removed": built.removed,
            "bytes": built.entries * TOKEN as u64,
            "kind": import.change.name(),
            "base": base.map(|base| base.version),
            "as_of": day_text(import.as_of.unix_days()),
            "accessed_at": import.accessed_at,
            "area_codes": covered.map(|codes| codes.iter().map(u16::to_string).collect::<Vec<_>>()),
            "san": import.san,
            "campaign": import.campaign,
            "vendor": import.vendor,
        });
        match data {
            Value::Object(data) => Value::Object(data.into_iter().filter(|(_, value)| !value.is_null()).collect()),
            other => other,
        }
    }
}
