//! Key-encryption keys (KEKs): they wrap data keys and MAC keys for the vault, and are never stored beside it.
//!
//! Epochs are numbered from 1 and the highest wraps; older ones only unwrap, until everything is rewrapped and the epoch is
//! destroyed. Keys are read at start and rotation only. Text form, of a file or an environment value: `epoch:64 hex digits`
//! per line (or separated by commas), `#` starts a comment.
//!
//! A wrapped key is AES-256-GCM under the KEK: nonce || ciphertext || tag, associated data = the caller's context, so a row
//! moved to another owner does not unwrap. Nonces are random: an epoch may wrap 2^32 keys at most.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER_PERMISSIVE;
use zeroize::Zeroizing;

use super::aead;
use super::kms::{KmsCommand, KmsError, SealedEpoch};
use super::secret::Secret;

/// Largest key file, in bytes.
const FILE_BYTES_MAX: usize = 64 * 1024;

/// Where key-encryption keys come from.
#[derive(Debug)]
pub enum KekSource {
    /// An external command before a key-management service, and the keys that it wrapped.
    Command {
        /// How to ask the service.
        command: KmsCommand,
        /// One per epoch, from the vault.
        sealed: Vec<SealedEpoch>,
    },
    /// A file that only its owner may write and others may not read.
    File(PathBuf),
    /// The value of an environment variable, read by the caller.
    Value(Zeroizing<String>),
}

/// Why there is no key. Never echoes key text.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// An epoch stands twice or is 0.
    #[error("key epoch {epoch} is repeated or zero")]
    Epoch {
        /// The number.
        epoch: u32,
    },
    /// The current epoch cannot be destroyed; add a newer one first.
    #[error("key epoch {epoch} is the current one")]
    EpochCurrent {
        /// The number.
        epoch: u32,
    },
    /// The epoch that wrapped this key is not here: destroyed, or another keyring's.
    #[error("key epoch {epoch} is not in the keyring")]
    EpochUnknown {
        /// The number.
        epoch: u32,
    },
    /// The file cannot be read.
    #[error("key file {path} cannot be read")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is readable by others, writable by its group, or too large to be a key file.
    #[error("key file {path} is too large, readable by others or writable by its group")]
    FileUnsafe {
        /// The file.
        path: PathBuf,
    },
    /// The external command gave no key.
    #[error(transparent)]
    Kms(#[from] KmsError),
    /// A source without any key.
    #[error("no key epoch given")]
    NoEpoch,
    /// A line is not `epoch:64 hex digits`.
    #[error("line {line} is not `epoch:64 hex digits`")]
    Text {
        /// Number of the line, from 1.
        line: usize,
    },
    /// The wrapped key was altered or belongs to another context.
    #[error("wrapped key was altered or moved")]
    Wrapped,
}

/// A key as the vault stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapped {
    /// The epoch that wrapped it.
    pub epoch: u32,
    /// Nonce || ciphertext || tag, 60 bytes.
    pub bytes: Vec<u8>,
}

/// All epochs of the key-encryption key, unwrapped, in ascending order and never empty.
#[derive(Debug)]
pub struct Keyring {
    epochs: Vec<(u32, Secret<32>)>,
}

impl Keyring {
    /// Fetches the keys from their source.
    ///
    /// # Errors
    /// [`KeyringError`]: without a key there is no start.
    pub fn open(source: &KekSource) -> Result<Keyring, KeyringError> {
        match source {
            KekSource::Command { command, sealed } => Keyring::from_epochs(
                sealed
                    .iter()
                    .map(|sealed| Ok((sealed.epoch, command.unwrap_key(sealed)?)))
                    .collect::<Result<_, KmsError>>()?,
            ),
            KekSource::File(path) => Keyring::from_text(&file_text(path)?),
            KekSource::Value(text) => Keyring::from_text(text.as_bytes()),
        }
    }

    /// A keyring of these epochs.
    ///
    /// # Errors
    /// When there is none, or one is 0 or repeated.
    pub fn from_epochs(mut epochs: Vec<(u32, Secret<32>)>) -> Result<Keyring, KeyringError> {
        epochs.sort_unstable_by_key(|(epoch, _)| *epoch);
        let mut previous = 0;
        for (epoch, _) in &epochs {
            if *epoch == previous {
                return Err(KeyringError::Epoch { epoch: *epoch });
            }
            previous = *epoch;
        }
        if epochs.is_empty() { Err(KeyringError::NoEpoch) } else { Ok(Keyring { epochs }) }
    }

    /// A keyring from its text form.
    ///
    /// # Errors
    /// When a line is not `epoch:64 hex digits`, or as [`Keyring::from_epochs`].
    pub fn from_text(text: &[u8]) -> Result<Keyring, KeyringError> {
        let mut epochs = Vec::new();
        for (line, text) in text.split(|byte| matches!(byte, b'\n' | b',')).enumerate() {
            let text = text.trim_ascii();
            if !text.is_empty() && !text.starts_with(b"#") {
                epochs.push(epoch_line(text).ok_or(KeyringError::Text { line: line + 1 })?);
            }
        }
        Keyring::from_epochs(epochs)
    }

    /// The text form, for the key file after a rotation.
    pub fn to_text(&self) -> Zeroizing<String> {
        // 75 = ten digits, colon, 64 hex digits; one more for the end of the line. Growing would leave copies behind.
        let mut text = Zeroizing::new(String::with_capacity(self.epochs.len() * 76));
        for (epoch, key) in &self.epochs {
            let hex = Zeroizing::new(HEXLOWER_PERMISSIVE.encode(key.expose()));
            text.push_str(&epoch.to_string());
            text.push(':');
            text.push_str(&hex);
            text.push('\n');
        }
        text
    }

    /// The epoch that wraps.
    pub fn current_epoch(&self) -> u32 {
        self.current().0
    }

    /// All epochs, ascending.
    pub fn epochs(&self) -> impl DoubleEndedIterator<Item = u32> + ExactSizeIterator {
        self.epochs.iter().map(|(epoch, _)| *epoch)
    }

    /// Adds a key as the next epoch, which wraps from now on, and returns its number. Make the key durable at its source
    /// first: what it wraps is lost with it.
    ///
    /// # Errors
    /// When there is no next number.
    pub fn epoch_add(&mut self, key: Secret<32>) -> Result<u32, KeyringError> {
        let current = self.current_epoch();
        let epoch = current.checked_add(1).ok_or(KeyringError::Epoch { epoch: current })?;
        self.epochs.push((epoch, key));
        Ok(epoch)
    }

    /// Forgets an epoch: what it wrapped and nobody rewrapped is lost, which is how erasure becomes irrecoverable.
    ///
    /// # Errors
    /// When it is the current one or not here.
    pub fn epoch_remove(&mut self, epoch: u32) -> Result<(), KeyringError> {
        if epoch == self.current_epoch() {
            return Err(KeyringError::EpochCurrent { epoch });
        }
        let at = self.epochs.iter().position(|(found, _)| *found == epoch);
        self.epochs.remove(at.ok_or(KeyringError::EpochUnknown { epoch })?);
        Ok(())
    }

    /// Wraps a key under the current epoch. `context` names its place in the vault; `nonce` is 96 random bits.
    pub fn wrap(&self, context: &[u8], secret: &[u8; 32], nonce: [u8; 12]) -> Wrapped {
        let (epoch, key) = self.current();
        Wrapped { epoch: *epoch, bytes: aead::seal(key.expose(), nonce, context, secret) }
    }

    /// Unwraps a key.
    ///
    /// # Errors
    /// When its epoch is not here, a bit was altered, or it was wrapped for another context.
    pub fn unwrap_key(&self, context: &[u8], wrapped: &Wrapped) -> Result<Secret<32>, KeyringError> {
        let epoch = wrapped.epoch;
        let found = self.epochs.iter().find(|(found, _)| *found == epoch);
        let (_, key) = found.ok_or(KeyringError::EpochUnknown { epoch })?;
        let opened = aead::open(key.expose(), context, &wrapped.bytes).ok_or(KeyringError::Wrapped)?;
        let secret: &[u8; 32] = opened.as_slice().try_into().map_err(|_| KeyringError::Wrapped)?;
        Ok(Secret::fill(|out| out.copy_from_slice(secret)))
    }

    fn current(&self) -> &(u32, Secret<32>) {
        // Every constructor refuses an empty list and `epoch_remove` keeps the last.
        &self.epochs[self.epochs.len() - 1]
    }
}

fn epoch_line(text: &[u8]) -> Option<(u32, Secret<32>)> {
    let (epoch, hex) = std::str::from_utf8(text).ok()?.split_once(':')?;
    let epoch = epoch.trim_ascii().parse().ok()?;
    let hex = hex.trim_ascii().as_bytes();
    if hex.len() != 64 {
        return None;
    }
    let mut valid = false;
    let key = Secret::fill(|out| valid = HEXLOWER_PERMISSIVE.decode_mut(hex, out).is_ok());
    valid.then_some((epoch, key))
}

fn file_text(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
    let failed = |source| KeyringError::File { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    // Of the open file, so that nothing can be put in its place between the check and the read.
    if open_to_others(&metadata) {
        return Err(KeyringError::FileUnsafe { path: path.to_owned() });
    }
    let mut text = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX + 64));
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() > FILE_BYTES_MAX {
        return Err(KeyringError::FileUnsafe { path: path.to_owned() });
    }
    Ok(text)
}

/// Others may not touch it and the group may not write it; a group may read it, as secret mounts of orchestrators need.
#[cfg(unix)]
fn open_to_others(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o027 != 0
}

#[cfg(not(unix))]
fn open_to_others(_: &std::fs::Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyring() -> Keyring {
        Keyring::from_epochs(vec![(2, Secret::new([2; 32])), (1, Secret::new([1; 32]))]).unwrap()
    }

    #[test]
    fn wrapped_key_unwraps_in_its_context() {
        let wrapped = keyring().wrap(b"dek 7", &[9; 32], [5; 12]);
        assert_eq!((wrapped.epoch, wrapped.bytes.len()), (2, 60));
        assert_eq!(keyring().unwrap_key(b"dek 7", &wrapped).unwrap().expose(), &[9; 32]);
    }

    #[test]
    fn any_flipped_bit_another_context_or_epoch_fails() {
        let mut wrapped = keyring().wrap(b"dek 7", &[9; 32], [5; 12]);
        for bit in 0..wrapped.bytes.len() * 8 {
            wrapped.bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(keyring().unwrap_key(b"dek 7", &wrapped), Err(KeyringError::Wrapped)), "bit {bit}");
            wrapped.bytes[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(matches!(keyring().unwrap_key(b"dek 8", &wrapped), Err(KeyringError::Wrapped)));
        let other = Wrapped { epoch: 1, ..wrapped.clone() };
        assert!(matches!(keyring().unwrap_key(b"dek 7", &other), Err(KeyringError::Wrapped)));
        let unknown = Wrapped { epoch: 3, ..wrapped.clone() };
        assert!(matches!(keyring().unwrap_key(b"dek 7", &unknown), Err(KeyringError::EpochUnknown { epoch: 3 })));
        let short = Wrapped { epoch: 2, bytes: aead::seal(&[2; 32], [5; 12], b"dek 7", &[9; 31]) };
        assert!(matches!(keyring().unwrap_key(b"dek 7", &short), Err(KeyringError::Wrapped)));
    }

    #[test]
    fn rotation_wraps_anew_and_a_removed_epoch_opens_nothing() {
        let mut keyring = keyring();
        let old = keyring.wrap(b"x", &[9; 32], [5; 12]);
        assert_eq!(keyring.epoch_add(Secret::new([3; 32])).unwrap(), 3);
        let new = keyring.wrap(b"x", keyring.unwrap_key(b"x", &old).unwrap().expose(), [6; 12]);
        assert_eq!(new.epoch, 3);
        assert!(matches!(keyring.epoch_remove(3), Err(KeyringError::EpochCurrent { epoch: 3 })));
        keyring.epoch_remove(2).unwrap();
        assert!(matches!(keyring.epoch_remove(2), Err(KeyringError::EpochUnknown { epoch: 2 })));
        assert!(matches!(keyring.unwrap_key(b"x", &old), Err(KeyringError::EpochUnknown { epoch: 2 })));
        assert_eq!(keyring.unwrap_key(b"x", &new).unwrap().expose(), &[9; 32]);
        assert_eq!(keyring.epochs().collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn text_form_round_trips() {
        let text = keyring().to_text();
        assert_eq!(*text, format!("1:{}\n2:{}\n", "01".repeat(32), "02".repeat(32)));
        let spelled = format!("# keys\r\n\n 2 : {} ,1:{}", "02".repeat(32), "01".repeat(32));
        assert_eq!(Keyring::from_text(spelled.as_bytes()).unwrap().to_text(), text);
        let value = KekSource::Value(Zeroizing::new(spelled));
        assert_eq!(Keyring::open(&value).unwrap().current_epoch(), 2);
        assert!(!format!("{:?}", keyring()).contains("02, 02"));
    }

    #[test]
    fn malformed_text_names_the_line_and_nothing_else() {
        let good = format!("1:{}", "01".repeat(32));
        for wrong in ["1", "one:00", "1:00", &good[2..], &format!("{good}0"), &good.replacen('0', "g", 1), "é:é"] {
            let refused = Keyring::from_text(format!("\n{wrong}").as_bytes()).unwrap_err();
            assert_eq!(refused.to_string(), "line 2 is not `epoch:64 hex digits`", "{wrong}");
        }
        assert!(matches!(Keyring::from_text(b"# none\n"), Err(KeyringError::NoEpoch)));
        let twice = format!("{good}\n{good}");
        assert!(matches!(Keyring::from_text(twice.as_bytes()), Err(KeyringError::Epoch { epoch: 1 })));
        let zero = good.replacen('1', "0", 1);
        assert!(matches!(Keyring::from_text(zero.as_bytes()), Err(KeyringError::Epoch { epoch: 0 })));
    }

    #[cfg(unix)]
    #[test]
    fn key_file_open_to_others_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kek");
        std::fs::write(&path, keyring().to_text().as_bytes()).unwrap();
        for (mode, safe) in [(0o600, true), (0o440, true), (0o604, false), (0o620, false), (0o602, false)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(Keyring::open(&KekSource::File(path.clone())).is_ok(), safe, "{mode:o}");
        }
        let absent = KekSource::File(folder.path().join("none"));
        assert!(matches!(Keyring::open(&absent), Err(KeyringError::File { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn keys_come_from_a_command() {
        let command = KmsCommand {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), "read tag verb epoch payload; echo $payload".into()],
            time_limit: std::time::Duration::from_secs(5),
        };
        let sealed =
            vec![command.wrap(1, &Secret::new([1; 32])).unwrap(), command.wrap(2, &Secret::new([2; 32])).unwrap()];
        let opened = Keyring::open(&KekSource::Command { command, sealed }).unwrap();
        assert_eq!(opened.to_text(), keyring().to_text());
    }
}
