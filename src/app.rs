//! Putting a service together: a data directory, its lock, its keys, its ledgers. Every command that opens a ledger does it
//! here, so that `serve`, `import` and `verify` see the same start-up checks.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::blob::{Archive, BlobError};
use crate::config::keys::{self, KeySourceError};
use crate::config::{Config, ConfigError};
use crate::crypto::keyring::{Keyring, KeyringError};
use crate::crypto::secret::Secret;
use crate::crypto::token;
use crate::domain::ids::{LedgerId, PrincipalId, uuid_v7};
use crate::domain::time::Timestamp;
use crate::ingest::create::{NewLedger, SERVICE};
use crate::ingest::{Ledger, LedgerOptions, Limits, OpenError, SubmitError};
use crate::jobs::checkpoint::{Checkpoints, verifier_key};
use crate::jobs::{erase, lease, retention, seal_subjects, wal};
use crate::runtime::{Clock, Randomness, Tasks};
use crate::store::{Location, PrincipalRow, StoreError};

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A file or folder of it.
    #[error("cannot use {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// Another process has it.
    #[error("{0} is in use by another process: stop it, or let the running server do this")]
    Locked(PathBuf),
    /// `init` on a directory that has a ledger.
    #[error("{0} holds a ledger already")]
    Used(PathBuf),
    /// No ledger there, or several and none named.
    #[error("{0}")]
    Ledger(String),
    /// Configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Keys.
    #[error("key-encryption key: {0}")]
    Keyring(#[from] KeyringError),
    /// Their source.
    #[error("key-encryption key: {0}")]
    KeySource(#[from] KeySourceError),
    /// A ledger does not open.
    #[error("ledger does not open: {}", source_text(.0))]
    Open(#[from] OpenError),
    /// Store.
    #[error("store: {}", source_text(.0))]
    Store(#[from] StoreError),
    /// The archive.
    #[error("archive: {0}")]
    Archive(#[from] BlobError),
    /// The ledger did not take an entry of the service.
    #[error(transparent)]
    Submit(#[from] SubmitError),
}

/// An error with the causes behind it, outermost first, for a person at a terminal.
pub fn source_text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}

/// What `init` returns once.
#[derive(Debug, serde::Serialize)]
pub struct Initialised {
    /// The ledger's id.
    pub ledger: LedgerId,
    /// Its origin name.
    pub origin: String,
    /// Its public key in C2SP form.
    pub verifier_key: String,
    /// The admin key, shown this once.
    pub admin_key: String,
}

/// An open data directory. Dropping it releases the lock.
pub struct App {
    /// The directory.
    pub folder: PathBuf,
    /// The effective configuration.
    pub config: Config,
    /// The keyring.
    pub keyring: Arc<Keyring>,
    /// The clock.
    pub clock: Clock,
    /// Randomness.
    pub random: Randomness,
    /// Running tasks.
    pub tasks: Tasks,
    _lock: File,
}

fn file_error(path: &Path) -> impl FnOnce(std::io::Error) -> AppError {
    let path = path.to_path_buf();
    move |source| AppError::File { path, source }
}

impl App {
    /// Opens a data directory for writing commands and the service: takes its lock, reads its configuration and keys.
    ///
    /// # Errors
    /// [`AppError::Locked`] while another process has it.
    pub fn open(folder: &Path, flags: &[(&'static str, String)]) -> Result<App, AppError> {
        let lock = lock(folder)?;
        let config = Config::load(Some(folder), flags)?;
        let keyring = Arc::new(Keyring::open(&keys::source(&config, folder)?)?);
        Ok(App {
            folder: folder.to_path_buf(),
            config,
            keyring,
            clock: Clock::system(),
            random: Randomness::System,
            tasks: Tasks::default(),
            _lock: lock,
        })
    }

    /// Makes a data directory with one ledger and one admin key.
    ///
    /// # Errors
    /// [`AppError::Used`] when it has a ledger.
    pub async fn init(
        folder: &Path,
        flags: &[(&'static str, String)],
        new: InitOptions,
    ) -> Result<(App, Arc<Ledger>, Initialised), AppError> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(file_error(folder))?;
        if folder.join("ledgers").exists() {
            return Err(AppError::Used(folder.to_path_buf()));
        }
        let config = Config::load(Some(folder), flags)?;
        keys::write_private(&folder.join(crate::config::FILE), config_text(&config).as_bytes())?;
        keys::create(&config, folder, Secret::new(Randomness::System.bytes()))?;
        let app = App::open(folder, flags)?;
        let (ledger, made) = app.ledger_create(new).await?;
        Ok((app, ledger, made))
    }

    /// Makes a ledger with one admin key in this directory.
    ///
    /// # Errors
    /// What the store or the keyring refuses.
    pub async fn ledger_create(&self, new: InitOptions) -> Result<(Arc<Ledger>, Initialised), AppError> {
        let begins = new.begins.unwrap_or_else(|| self.clock.now());
        let id = LedgerId::from_bytes(uuid_v7(begins.unix_ms(), self.random.bytes()));
        let origin = new.origin.unwrap_or_else(|| {
            if new.scratch { format!("scratch.tallystick.local/{id}") } else { format!("tallystick.local/{id}") }
        });
        let options = self.ledger_options(id);
        fs::create_dir_all(&options.folder).map_err(file_error(&options.folder))?;
        let wanted = NewLedger { id, origin: origin.clone(), scratch: new.scratch, begins: new.begins };
        let ledger = Ledger::create(
            wanted,
            options,
            Arc::clone(&self.keyring),
            self.clock.clone(),
            self.random.clone(),
            self.tasks.clone(),
        )
        .await?;
        let admin_key = self.key_create(&ledger, "admin", "made with the ledger", new.begins).await?.1;
        let verifier_key = verifier_key(&ledger).map_err(|error| AppError::Ledger(error.to_string()))?.to_string();
        Ok((ledger, Initialised { ledger: id, origin, verifier_key, admin_key }))
    }

    /// Makes an API key: an entry says so, the vault keeps its keyed hash, the caller gets the key once.
    ///
    /// # Errors
    /// What the ledger or the vault refuses.
    pub async fn key_create(
        &self,
        ledger: &Arc<Ledger>,
        role: &str,
        label: &str,
        now: Option<Timestamp>,
    ) -> Result<(PrincipalId, String), AppError> {
        let principal = PrincipalId::from_bytes(uuid_v7(self.clock.now().unix_ms(), self.random.bytes()));
        let key = token::mint(&ledger.id, &self.random.bytes());
        let parsed = token::parse(&key).map_err(|error| AppError::Ledger(error.to_string()))?;
        let data = serde_json::json!({ "principal": principal.to_string(), "role": role });
        ledger.record_own("access.key_created", None, data, SERVICE, now).await?;
        let row = PrincipalRow {
            principal,
            hash: token::hash(&ledger.secrets.pepper, &parsed),
            role: role.to_owned(),
            label: label.to_owned(),
            created: ledger.now(),
            revoked: None,
        };
        ledger.store().principal_insert(&row).await?;
        Ok((principal, key))
    }

    /// Ids of the ledgers in this directory.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn ledger_ids(&self) -> Result<Vec<LedgerId>, AppError> {
        ledger_ids(&self.folder)
    }

    /// Opens one ledger with its jobs: lease, published checkpoints, write-ahead log upkeep.
    ///
    /// # Errors
    /// [`AppError::Open`] says which check refused.
    pub async fn ledger_open(&self, id: LedgerId) -> Result<(Arc<Ledger>, Checkpoints), AppError> {
        let ledger = Ledger::open(
            id,
            self.ledger_options(id),
            Arc::clone(&self.keyring),
            self.clock.clone(),
            self.random.clone(),
            self.tasks.clone(),
        )
        .await?;
        let checkpoints = self.jobs_start(&ledger).await?;
        Ok((ledger, checkpoints))
    }

    /// Starts the jobs of an open ledger.
    ///
    /// # Errors
    /// [`OpenError::Rollback`] when the log is behind what was published.
    pub async fn jobs_start(&self, ledger: &Arc<Ledger>) -> Result<Checkpoints, AppError> {
        let archive = match self.config.optional("archive.url") {
            Some(url) => Some(Arc::new(Archive::open(url)?)),
            None => None,
        };
        let checkpoints = Checkpoints::start(ledger, archive.clone()).await?;
        lease::start(ledger).await;
        wal::start(ledger);
        ledger.noted_start();
        seal_subjects::start(ledger);
        erase::start(ledger, archive);
        retention::start(ledger);
        Ok(checkpoints)
    }

    /// Picks the ledger that a command means: the named one, or the only one.
    ///
    /// # Errors
    /// [`AppError::Ledger`] when there is none or the choice is open.
    pub fn ledger_pick(&self, named: Option<LedgerId>) -> Result<LedgerId, AppError> {
        ledger_pick(&self.folder, named)
    }

    /// Ends everything: what was accepted is answered, a last checkpoint published, write-ahead logs emptied.
    pub async fn close(&self, ledgers: &[Arc<Ledger>]) {
        ledgers.iter().for_each(|ledger| ledger.close());
        self.tasks.stop().await;
        for ledger in ledgers {
            let store = ledger.store();
            if let Err(error) = store.wal_truncate().await {
                tracing::warn!(error = %error, "wal.truncate failed");
            }
            store.close().await;
        }
    }

    fn ledger_options(&self, id: LedgerId) -> LedgerOptions {
        let folder = self.folder.join("ledgers").join(id.to_string());
        LedgerOptions { location: location(&self.config, &folder), folder, limits: limits(&self.config) }
    }
}

/// What a command that only reads a data directory needs. It takes no lock and writes nothing, so it works beside a running
/// server and on a copy.
pub struct Reading {
    /// The ledger's rows.
    pub store: crate::store::Store,
    /// The ledger's folder.
    pub folder: PathBuf,
    /// The keyring, where there is one: without it everything but opening parts works.
    pub keyring: Option<Arc<Keyring>>,
    /// Tasks of the command.
    pub tasks: Tasks,
}

/// Opens one ledger of a data directory for reading.
///
/// # Errors
/// What the store refuses.
pub async fn reading(
    folder: &Path,
    flags: &[(&'static str, String)],
    named: Option<LedgerId>,
) -> Result<Reading, AppError> {
    let config = Config::load(Some(folder), flags)?;
    let id = ledger_pick(folder, named)?;
    let ledger_folder = folder.join("ledgers").join(id.to_string());
    let store = crate::store::Store::open_reading(&location(&config, &ledger_folder), id).await?;
    let keyring = keys::source(&config, folder).ok().and_then(|source| Keyring::open(&source).ok()).map(Arc::new);
    Ok(Reading { store, folder: ledger_folder, keyring, tasks: Tasks::default() })
}

/// What a new ledger is to be.
#[derive(Debug, Clone, Default)]
pub struct InitOptions {
    /// Origin name; `None` makes one from the id.
    pub origin: Option<String>,
    /// Whether it takes its clock from the caller.
    pub scratch: bool,
    /// When its history begins, for a seeded scratch ledger.
    pub begins: Option<Timestamp>,
}

/// Where a ledger's rows are.
pub fn location(config: &Config, ledger_folder: &Path) -> Location {
    match config.optional("database.url") {
        Some(url) => Location::Postgres(url.to_owned()),
        None => Location::Sqlite(ledger_folder.to_path_buf()),
    }
}

/// Ids of the ledgers in a data directory.
///
/// # Errors
/// When the folder cannot be read.
pub fn ledger_ids(folder: &Path) -> Result<Vec<LedgerId>, AppError> {
    let ledgers = folder.join("ledgers");
    let mut ids = Vec::new();
    for item in fs::read_dir(&ledgers).map_err(file_error(&ledgers))? {
        let name = item.map_err(file_error(&ledgers))?.file_name();
        ids.extend(name.to_str().and_then(|name| name.parse::<LedgerId>().ok()));
    }
    ids.sort_unstable();
    Ok(ids)
}

/// The named ledger, or the only one.
///
/// # Errors
/// [`AppError::Ledger`] when there is none or the choice is open.
pub fn ledger_pick(folder: &Path, named: Option<LedgerId>) -> Result<LedgerId, AppError> {
    let ids = ledger_ids(folder)?;
    match (named, ids.as_slice()) {
        (Some(id), ids) if ids.contains(&id) => Ok(id),
        (Some(id), _) => Err(AppError::Ledger(format!("{} holds no ledger {id}", folder.display()))),
        (None, [only]) => Ok(*only),
        (None, []) => {
            Err(AppError::Ledger(format!("{} holds no ledger: run `tallystick init` first", folder.display())))
        }
        (None, _) => {
            Err(AppError::Ledger(format!("{} holds several ledgers: name one with --ledger", folder.display())))
        }
    }
}

/// Limits by name.
pub fn limits(config: &Config) -> Limits {
    Limits {
        body_bytes_max: config.number("limits.body_bytes"),
        batch_events_max: config.number("limits.batch_events"),
        event_bytes_max: config.number("limits.event_bytes"),
        nesting_max: config.number("limits.nesting"),
        queue_requests_max: config.number("limits.queue_requests"),
        histories_bytes_max: config.number("limits.histories_bytes"),
        ..Limits::default()
    }
}

fn lock(folder: &Path) -> Result<File, AppError> {
    let path = folder.join("lock");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(file_error(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(AppError::Locked(folder.to_path_buf())),
        Err(fs::TryLockError::Error(source)) => Err(AppError::File { path, source }),
    }
}

/// The settings that `init` was given, so that every later `--data` finds them.
fn config_text(config: &Config) -> String {
    let mut text = String::from("# Written by `tallystick init`; `tallystick config show` lists every setting.\n");
    for section in ["database", "keys", "archive"] {
        let mut lines = String::new();
        for (setting, _, source) in config.shown() {
            let Some(name) = setting.key.strip_prefix(section).and_then(|rest| rest.strip_prefix('.')) else {
                continue;
            };
            if source == crate::config::Source::Flag {
                let value = toml::Value::String(config.text(setting.key).to_owned());
                lines.push_str(&format!("{name} = {value}\n"));
            }
        }
        if !lines.is_empty() {
            text.push_str(&format!("\n[{section}]\n{lines}"));
        }
    }
    text
}
