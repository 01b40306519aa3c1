//! Checkpoints: a signed statement of (origin, size, root). C2SP tlog-checkpoint.
//!
//! Promises: a checkpoint opens only with a good signature by a key that the reader brought, under the checkpoint's own
//! origin. Must never be signed below or beside one signed before: that check needs storage and is the signer's caller's.

use std::fmt;

use data_encoding::BASE64;

use crate::chain::entry::MAX_POSITION;
use crate::chain::note::{KeyKind, Note, NoteError, VerifierKey, check_name};
use crate::crypto::hash::Digest;
use crate::crypto::sign::SigningKey;

/// Where a log stood: the text of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Identity of the log, and name of its key.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Digest,
    /// Further lines; ours have none.
    pub extensions: Vec<String>,
}

/// Why something is not a checkpoint that can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The text is not that of a checkpoint.
    #[error("not the text of a checkpoint")]
    Form,
    /// The note is not in form or not verified.
    #[error("the checkpoint's note: {0}")]
    Note(#[from] NoteError),
    /// Good signatures there are, but none by a key named as the origin.
    #[error("no signature by the log's own key")]
    NotByLog,
}

impl Checkpoint {
    /// A checkpoint of ours.
    ///
    /// # Errors
    /// [`NoteError::KeyName`] if the origin cannot name a key.
    pub fn new(origin: &str, size: u64, root: Digest) -> Result<Checkpoint, NoteError> {
        check_name(origin)?;
        Ok(Checkpoint { origin: origin.to_owned(), size, root, extensions: Vec::new() })
    }

    /// Reads the text of a checkpoint.
    ///
    /// # Errors
    /// [`CheckpointError::Form`] for what is not exactly in form.
    pub fn parse_text(text: &str) -> Result<Checkpoint, CheckpointError> {
        let mut lines = text.strip_suffix('\n').ok_or(CheckpointError::Form)?.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(CheckpointError::Form);
        };
        let extensions: Vec<_> = lines.map(str::to_owned).collect();
        let size = size_of_text(size).ok_or(CheckpointError::Form)?;
        let root = root_of_text(root).ok_or(CheckpointError::Form)?;
        if origin.is_empty() || extensions.iter().any(String::is_empty) {
            return Err(CheckpointError::Form);
        }
        Ok(Checkpoint { origin: origin.to_owned(), size, root, extensions })
    }

    /// Signs with every given key, all under the origin's name: one as a rule, two while the log's key changes.
    ///
    /// # Errors
    /// [`NoteError`] if the origin cannot name a key or the text cannot stand in a note.
    pub fn sign(&self, keys: &[&SigningKey]) -> Result<Note, NoteError> {
        let mut note = Note::new(self.to_string())?;
        keys.iter().try_for_each(|key| note.sign(&self.origin, key))?;
        Ok(note)
    }

    /// Reads and verifies a signed checkpoint. `keys` are those the reader trusts, cosigners' among them; at least one
    /// good signature must be by an Ed25519 key with the origin's name.
    ///
    /// # Errors
    /// [`CheckpointError`] says what is wrong.
    pub fn open(bytes: &[u8], keys: &[VerifierKey]) -> Result<(Checkpoint, Note), CheckpointError> {
        let note = Note::parse(bytes)?;
        let checkpoint = Checkpoint::verify(&note, keys)?;
        Ok((checkpoint, note))
    }

    /// As [`Checkpoint::open`], for a note already read.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn verify(note: &Note, keys: &[VerifierKey]) -> Result<Checkpoint, CheckpointError> {
        let verified = note.verify(keys)?;
        let checkpoint = Checkpoint::parse_text(note.text())?;
        let by_log = |key: &VerifierKey| key.kind() == KeyKind::Ed25519 && key.name() == checkpoint.origin;
        if verified.iter().any(|signature| by_log(signature.key)) {
            Ok(checkpoint)
        } else {
            Err(CheckpointError::NotByLog)
        }
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, BASE64.encode(self.root.as_bytes()))?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// A tree size or index: decimal, no sign, no needless zeros, at most [`MAX_POSITION`].
pub(super) fn size_of_text(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = digits && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|size| canonical && *size <= MAX_POSITION)
}

/// A hash in standard base64.
pub(super) fn root_of_text(text: &str) -> Option<Digest> {
    let bytes = BASE64.decode(text.as_bytes()).ok()?;
    bytes.try_into().ok().map(Digest::from_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::cosign::cosign;
    use crate::chain::leaf::leaf_hash;
    use crate::crypto::secret::Secret;

    /// Text of the example in C2SP tlog-checkpoint.
    const TEXT: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    fn signer(seed: u8) -> SigningKey {
        SigningKey::from_seed(&Secret::new([seed; 32]))
    }

    fn key(name: &str, seed: u8) -> VerifierKey {
        VerifierKey::new(name, KeyKind::Ed25519, signer(seed).public()).unwrap()
    }

    #[test]
    fn text_of_the_specification_round_trips() {
        let checkpoint = Checkpoint::parse_text(TEXT).unwrap();
        assert_eq!((checkpoint.origin.as_str(), checkpoint.size), ("example.com/behind-the-sofa", 20_852_163));
        assert_eq!(checkpoint.to_string(), TEXT);
        let extended = format!("{TEXT}something\nelse\n");
        assert_eq!(Checkpoint::parse_text(&extended).unwrap().to_string(), extended);
    }

    #[test]
    fn loose_texts_are_refused() {
        for text in [
            "",
            "\n",
            "a\n1\n",
            TEXT.trim_end(),
            &TEXT.replace("20852163", "020852163"),
            &TEXT.replace("20852163", "+1"),
            &TEXT.replace("20852163", ""),
            &TEXT.replace("20852163", "9223372036854775808"),
            &TEXT.replace("2I=", "2J="),
            &TEXT.replace("2I=", "=="),
            &format!("{TEXT}\n"),
            &format!("{TEXT}a\n\nb\n"),
            &TEXT["example.com/behind-the-sofa".len()..],
        ] {
            assert_eq!(Checkpoint::parse_text(text), Err(CheckpointError::Form), "{text}");
        }
    }

    #[test]
    fn signed_checkpoint_opens_and_its_twins_do_not() {
        let checkpoint = Checkpoint::new("example.com/log", 7, leaf_hash(b"root")).unwrap();
        let signed = checkpoint.sign(&[&signer(1)]).unwrap().to_string();
        let keys = [key("example.com/log", 1)];
        assert_eq!(Checkpoint::open(signed.as_bytes(), &keys).unwrap().0, checkpoint);
        let forged = signed.replacen("\n7\n", "\n8\n", 1);
        assert_eq!(Checkpoint::open(forged.as_bytes(), &keys), Err(CheckpointError::Note(NoteError::BadSignature)));
        let stranger = [key("example.com/log", 2)];
        assert_eq!(Checkpoint::open(signed.as_bytes(), &stranger), Err(CheckpointError::Note(NoteError::Unsigned)));
        assert_eq!(Checkpoint::new("two words", 7, leaf_hash(b"root")), Err(NoteError::KeyName));
    }

    #[test]
    fn good_signature_by_another_name_or_kind_is_not_the_logs() {
        let checkpoint = Checkpoint::new("example.com/log", 7, leaf_hash(b"root")).unwrap();
        let mut note = Note::new(checkpoint.to_string()).unwrap();
        note.sign("example.com/other", &signer(1)).unwrap();
        let other = [key("example.com/other", 1)];
        assert_eq!(Checkpoint::verify(&note, &other), Err(CheckpointError::NotByLog));
        let mut note = Note::new(checkpoint.to_string()).unwrap();
        note.push(cosign("example.com/log", &signer(1), 1, note.text()).unwrap());
        let cosigner = [VerifierKey::new("example.com/log", KeyKind::Cosignature, signer(1).public()).unwrap()];
        assert_eq!(Checkpoint::verify(&note, &cosigner), Err(CheckpointError::NotByLog));
    }

    #[test]
    fn either_key_opens_what_was_signed_while_the_key_changed() {
        let checkpoint = Checkpoint::new("example.com/log", 7, leaf_hash(b"root")).unwrap();
        let signed = checkpoint.sign(&[&signer(1), &signer(2)]).unwrap().to_string();
        for seed in [1, 2] {
            assert!(Checkpoint::open(signed.as_bytes(), &[key("example.com/log", seed)]).is_ok());
        }
    }
}
