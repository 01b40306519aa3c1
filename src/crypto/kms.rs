//! A key-management service behind an external command: it holds the master key, this process gets key-encryption keys
//! unwrapped at start and wrapped at rotation, and never anything else.
//!
//! Protocol, one exchange per run of the command. Standard input is one line, then end of file; standard output is one line;
//! exit code 0 means done. Standard error is passed through for the operator.
//!
//! ```text
//! in   tallystick-kms-1 wrap 3 <base64 of the 32-byte key>        out  <base64 of what to store>
//! in   tallystick-kms-1 unwrap 3 <base64 of what was stored>      out  <base64 of the 32-byte key>
//! ```
//!
//! The epoch number is there for a service that binds it as context. Every exchange is bounded in time and size. This blocks:
//! call it where blocking is allowed.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use data_encoding::BASE64;
use zeroize::Zeroizing;

use super::secret::Secret;

/// Longest answer, in bytes: a wrapped key of any service is far shorter.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// How often and how long an answered command is waited for until it exits.
const EXIT_POLLS_MAX: u32 = 100;
const EXIT_POLL: Duration = Duration::from_millis(10);

/// The command and its time limit. Arguments are passed as they are, without a shell.
#[derive(Clone, Debug)]
pub struct KmsCommand {
    /// The program to run.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// How long one exchange may take; one second more until the process has ended.
    pub time_limit: Duration,
}

/// A key-encryption key as the service wrapped it; safe to store beside the vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedEpoch {
    /// Number of the key.
    pub epoch: u32,
    /// What the service answered; opaque.
    pub bytes: Vec<u8>,
}

/// Why the service gave no key. Never echoes what it said.
#[derive(Debug, thiserror::Error)]
pub enum KmsError {
    /// The answer is not one line of base64 with the right content.
    #[error("key command for epoch {epoch} gave a malformed answer")]
    Answer {
        /// Epoch asked for.
        epoch: u32,
    },
    /// The command exited with an error.
    #[error("key command for epoch {epoch} failed")]
    Failed {
        /// Epoch asked for.
        epoch: u32,
    },
    /// The command could not be run or talked to.
    #[error("key command for epoch {epoch} could not be run")]
    Run {
        /// Epoch asked for.
        epoch: u32,
        /// What the system says.
        source: std::io::Error,
    },
    /// No answer, or no exit after the answer, within the limit. The command was killed.
    #[error("key command for epoch {epoch} took too long")]
    Timeout {
        /// Epoch asked for.
        epoch: u32,
    },
}

impl KmsCommand {
    /// Has the service wrap a new key-encryption key.
    ///
    /// # Errors
    /// [`KmsError`]; then the key must not be used, since no restart could unwrap it.
    pub fn wrap(&self, epoch: u32, key: &Secret<32>) -> Result<SealedEpoch, KmsError> {
        let bytes = self.exchange("wrap", epoch, key.expose())?.to_vec();
        if bytes.is_empty() { Err(KmsError::Answer { epoch }) } else { Ok(SealedEpoch { epoch, bytes }) }
    }

    /// Has the service unwrap a key-encryption key.
    ///
    /// # Errors
    /// [`KmsError`]; also when the answer is not 32 bytes.
    pub fn unwrap_key(&self, sealed: &SealedEpoch) -> Result<Secret<32>, KmsError> {
        let bytes = self.exchange("unwrap", sealed.epoch, &sealed.bytes)?;
        let key: &[u8; 32] = bytes.as_slice().try_into().map_err(|_| KmsError::Answer { epoch: sealed.epoch })?;
        Ok(Secret::fill(|out| out.copy_from_slice(key)))
    }

    fn exchange(&self, verb: &str, epoch: u32, payload: &[u8]) -> Result<Zeroizing<Vec<u8>>, KmsError> {
        let payload = Zeroizing::new(BASE64.encode(payload));
        let request = Zeroizing::new(format!("tallystick-kms-1 {verb} {epoch} {}\n", *payload));
        let run = |source| KmsError::Run { epoch, source };
        let mut child = Command::new(&self.program)
            .args(&self.args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(run)?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            end(&mut child);
            return Err(KmsError::Failed { epoch });
        };
        // The pipes are used on a thread of their own: a command that neither reads nor answers, or whose child keeps the pipe
        // open, blocks that thread and not the caller.
        let (sender, receiver) = mpsc::sync_channel(1);
        thread::spawn(move || drop(sender.send(talk(stdin, stdout, &request))));
        let Ok(answer) = receiver.recv_timeout(self.time_limit) else {
            end(&mut child);
            return Err(KmsError::Timeout { epoch });
        };
        match exit(&mut child) {
            Some(true) => {}
            Some(false) => return Err(KmsError::Failed { epoch }),
            None => return Err(KmsError::Timeout { epoch }),
        }
        decode(&answer.map_err(run)?).ok_or(KmsError::Answer { epoch })
    }
}

fn talk(mut stdin: ChildStdin, stdout: ChildStdout, request: &str) -> std::io::Result<Zeroizing<Vec<u8>>> {
    stdin.write_all(request.as_bytes())?;
    drop(stdin);
    // Room for all of it at once: growing would leave copies of a key behind.
    let mut answer = Zeroizing::new(Vec::with_capacity(ANSWER_BYTES_MAX + 64));
    stdout.take(ANSWER_BYTES_MAX as u64 + 1).read_to_end(&mut answer)?;
    Ok(answer)
}

/// Whether the command succeeded; none if it had to be killed.
fn exit(child: &mut Child) -> Option<bool> {
    for _ in 0..EXIT_POLLS_MAX {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status.success()),
            Ok(None) => thread::sleep(EXIT_POLL),
            Err(_) => break,
        }
    }
    end(child);
    None
}

/// Kills and reaps. A failure means that it has ended already.
fn end(child: &mut Child) {
    let _ended = child.kill().and_then(|()| child.wait());
}

fn decode(answer: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    if answer.len() > ANSWER_BYTES_MAX {
        return None;
    }
    let line = answer.strip_suffix(b"\n").unwrap_or(answer);
    BASE64.decode(line).ok().map(Zeroizing::new)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str) -> KmsCommand {
        KmsCommand {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            time_limit: Duration::from_secs(5),
        }
    }

    /// A service that wraps by doing nothing, but checks the request.
    const ECHO: &str =
        r#"read tag verb epoch payload; [ "$tag" = tallystick-kms-1 ] && [ "$epoch" = 3 ] && echo "$payload""#;

    #[test]
    fn key_survives_wrap_and_unwrap() {
        let sealed = shell(ECHO).wrap(3, &Secret::new([7; 32])).unwrap();
        assert_eq!(sealed.epoch, 3);
        assert_eq!(shell(ECHO).unwrap_key(&sealed).unwrap().expose(), &[7; 32]);
    }

    #[test]
    fn failure_of_the_command_is_no_key() {
        let failed = shell("cat >/dev/null; echo AAAA; exit 3").wrap(3, &Secret::new([7; 32]));
        assert!(matches!(failed, Err(KmsError::Failed { epoch: 3 })));
        let absent = KmsCommand { program: "/nonexistent/kms".into(), ..shell("") };
        assert!(matches!(absent.wrap(3, &Secret::new([7; 32])), Err(KmsError::Run { epoch: 3, .. })));
        assert!(shell("exit 0").wrap(3, &Secret::new([7; 32])).is_err());
    }

    #[test]
    fn malformed_answers_are_no_key() {
        let sealed = SealedEpoch { epoch: 3, bytes: vec![1; 32] };
        for answer in ["not base64", "AAAA", "", "AAAA AAAA"] {
            let refused = shell(&format!("cat >/dev/null; echo '{answer}'")).unwrap_key(&sealed);
            assert!(matches!(refused, Err(KmsError::Answer { epoch: 3 })), "{answer}");
        }
        let endless = shell("cat >/dev/null; head -c 100000 /dev/zero | tr '\\0' A").unwrap_key(&sealed);
        assert!(matches!(endless, Err(KmsError::Answer { .. } | KmsError::Failed { .. })));
    }

    #[test]
    fn silent_command_is_killed_at_the_limit() {
        let sealed = SealedEpoch { epoch: 3, bytes: vec![1; 32] };
        let silent = KmsCommand { time_limit: Duration::from_millis(100), ..shell("exec sleep 600") };
        assert!(matches!(silent.unwrap_key(&sealed), Err(KmsError::Timeout { epoch: 3 })));
        // Answered, but does not exit.
        let stuck = shell("cat >/dev/null; echo AAAA; exec >&-; exec sleep 600");
        assert!(matches!(stuck.wrap(3, &Secret::new([7; 32])), Err(KmsError::Timeout { epoch: 3 })));
    }
}
