//! The section `keys`: where the key-encryption key comes from, and how a new one is made.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use super::Config;
use crate::crypto::keyring::{KekSource, Keyring, KeyringError};
use crate::crypto::kms::{KmsCommand, KmsError, SealedEpoch};
use crate::crypto::secret::Secret;

/// How long one exchange with an external key command may take.
const COMMAND_TIME_LIMIT: Duration = Duration::from_secs(20);

/// Why there is no source of keys.
#[derive(Debug, thiserror::Error)]
pub enum KeySourceError {
    /// The provider lacks what it needs.
    #[error("{0}")]
    Missing(&'static str),
    /// A file of it cannot be used.
    #[error("cannot use {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The external command failed.
    #[error(transparent)]
    Command(#[from] KmsError),
    /// The keyring refuses.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
}

fn kek_file(config: &Config, folder: &Path) -> PathBuf {
    config.optional("keys.file").map_or_else(|| folder.join("kek"), PathBuf::from)
}

fn sealed_file(folder: &Path) -> PathBuf {
    folder.join("kek.sealed")
}

fn command(config: &Config) -> Result<KmsCommand, KeySourceError> {
    let mut words = config.text("keys.command").split_whitespace();
    let program =
        words.next().ok_or(KeySourceError::Missing("keys.provider is command, but keys.command is not set"))?;
    let args = words.map(Into::into).collect();
    Ok(KmsCommand { program: program.into(), args, time_limit: COMMAND_TIME_LIMIT })
}

/// The configured source.
///
/// # Errors
/// [`KeySourceError`] when the provider lacks what it needs.
pub fn source(config: &Config, folder: &Path) -> Result<KekSource, KeySourceError> {
    match config.text("keys.provider") {
        "environment" => match config.optional("keys.value") {
            Some(value) => Ok(KekSource::Value(Zeroizing::new(value.to_owned()))),
            None => Err(KeySourceError::Missing("keys.provider is environment, but TALLYSTICK_KEYS_VALUE is not set")),
        },
        "command" => {
            let path = sealed_file(folder);
            let text = std::fs::read_to_string(&path).map_err(|source| KeySourceError::File { path, source })?;
            let sealed = text.lines().filter_map(|line| {
                let (epoch, bytes) = line.split_once(':')?;
                let bytes = data_encoding::BASE64.decode(bytes.as_bytes()).ok()?;
                Some(SealedEpoch { epoch: epoch.parse().ok()?, bytes })
            });
            Ok(KekSource::Command { command: command(config)?, sealed: sealed.collect() })
        }
        _ => Ok(KekSource::File(kek_file(config, folder))),
    }
}

/// Makes the first key of a new data directory, where the provider does not bring one of its own.
///
/// # Errors
/// [`KeySourceError`]; an existing key file is never replaced.
pub fn create(config: &Config, folder: &Path, key: Secret<32>) -> Result<(), KeySourceError> {
    match config.text("keys.provider") {
        "file" => {
            let path = kek_file(config, folder);
            if path.exists() && config.optional("keys.file").is_some() {
                return Ok(());
            }
            let keyring = Keyring::from_epochs(vec![(1, key)])?;
            write_private(&path, keyring.to_text().as_bytes())
        }
        "command" => {
            let sealed = command(config)?.wrap(1, &key)?;
            let line = format!("{}:{}\n", sealed.epoch, data_encoding::BASE64.encode(&sealed.bytes));
            write_private(&sealed_file(folder), line.as_bytes())
        }
        _ => Ok(()),
    }
}

/// Adds a key as the next epoch of the configured source, durably, so that it wraps from the next start on.
///
/// # Errors
/// [`KeySourceError::Missing`] where the operator brings the keys: then he adds the epoch himself.
pub fn rotate(config: &Config, folder: &Path, key: Secret<32>) -> Result<u32, KeySourceError> {
    let mut keyring = Keyring::open(&source(config, folder)?)?;
    match config.text("keys.provider") {
        "environment" => Err(KeySourceError::Missing(
            "keys.provider is environment: add a line with the next epoch to TALLYSTICK_KEYS_VALUE, then call this again",
        )),
        "command" => {
            let path = sealed_file(folder);
            let epoch = keyring.current_epoch().saturating_add(1);
            let sealed = command(config)?.wrap(epoch, &key)?;
            let text = std::fs::read_to_string(&path);
            let mut text = text.map_err(|source| KeySourceError::File { path: path.clone(), source })?;
            text.push_str(&format!("{}:{}\n", sealed.epoch, data_encoding::BASE64.encode(&sealed.bytes)));
            replace_private(&path, text.as_bytes())?;
            Ok(epoch)
        }
        _ => {
            let epoch = keyring.epoch_add(key)?;
            replace_private(&kek_file(config, folder), keyring.to_text().as_bytes())?;
            Ok(epoch)
        }
    }
}

/// Replaces a private file so that a crash leaves the old one or the new one.
fn replace_private(path: &Path, bytes: &[u8]) -> Result<(), KeySourceError> {
    let fail = |source| KeySourceError::File { path: path.to_path_buf(), source };
    let temporary = path.with_extension("new");
    let _left_by_a_crash = std::fs::remove_file(&temporary);
    write_private(&temporary, bytes)?;
    std::fs::rename(&temporary, path).map_err(fail)?;
    let folder = path.parent().map(std::fs::File::open).transpose().map_err(fail)?;
    folder.map_or(Ok(()), |folder| folder.sync_all()).map_err(fail)
}

/// Writes a file that only its owner can read; refuses to replace one.
///
/// # Errors
/// [`KeySourceError::File`].
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), KeySourceError> {
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    written
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .map_err(|source| KeySourceError::File { path: path.to_path_buf(), source })
}
