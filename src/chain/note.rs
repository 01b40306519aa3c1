//! Signed notes and verifier keys: C2SP signed-note.
//!
//! Promises: what is written opens with other people's tools, and what is read is exactly in form. A signature by an
//! unknown key is ignored; a bad one by a known key rejects the note, and so does the absence of any good one. Must never
//! hand out the text of a note as trusted without [`Note::verify`].

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE64, HEXLOWER};

use crate::chain::cosign;
use crate::crypto::hash::sha256_parts;
use crate::crypto::sign::{self, SigningKey};

/// Longest note that is read.
pub const NOTE_BYTES_MAX: usize = 1_000_000;
/// Most signatures that are read; the specification asks for at least 16.
pub const SIGNATURES_MAX: usize = 100;

/// Why something is not a note, a key, or verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// A signature by a known key does not verify.
    #[error("a signature by a known key does not verify")]
    BadSignature,
    /// Not UTF-8, a control character, or no text ending in a newline.
    #[error("not the text of a note")]
    Text,
    /// A signature line is not in form, or there is none.
    #[error("not signature lines")]
    SignatureLine,
    /// Over [`NOTE_BYTES_MAX`] or [`SIGNATURES_MAX`].
    #[error("too long a note")]
    TooLong,
    /// No signature is by a known key.
    #[error("no signature by a known key")]
    Unsigned,
    /// A key name is empty or has a space, a plus or a control character.
    #[error("not a key name")]
    KeyName,
    /// Not a verifier key, or one whose id is not that of its name and key.
    #[error("not a verifier key")]
    VerifierKey,
}

/// What kind of signatures a key makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// Type 0x01: Ed25519 over the note's text.
    Ed25519,
    /// Type 0x04: Ed25519 over a time and the checkpoint's text (C2SP tlog-cosignature).
    Cosignature,
}

impl KeyKind {
    /// The signature type byte.
    pub const fn code(self) -> u8 {
        match self {
            KeyKind::Ed25519 => 0x01,
            KeyKind::Cosignature => 0x04,
        }
    }
}

/// A public key with its name, as a reader of notes gets it elsewhere ("vkey").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    kind: KeyKind,
    public: [u8; 32],
}

impl VerifierKey {
    /// A key under a name.
    ///
    /// # Errors
    /// [`NoteError::KeyName`] if the name cannot stand in a signature line.
    pub fn new(name: &str, kind: KeyKind, public: [u8; 32]) -> Result<VerifierKey, NoteError> {
        check_name(name)?;
        Ok(VerifierKey { name: name.to_owned(), kind, public })
    }

    /// The name in signature lines; for a log's key its origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it signs.
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The Ed25519 public key.
    pub const fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// First four bytes of SHA-256(name || 0x0A || type || public key).
    pub fn id(&self) -> [u8; 4] {
        let digest = sha256_parts(&[self.name.as_bytes(), b"\n", &[self.kind.code()], &self.public]);
        let [b0, b1, b2, b3, ..] = *digest.as_bytes();
        [b0, b1, b2, b3]
    }

    /// Checks one signature over `text`; gives the time of a cosignature.
    fn verify(&self, text: &str, signature: &[u8]) -> Result<Option<u64>, NoteError> {
        match self.kind {
            KeyKind::Ed25519 => {
                let signature = signature.try_into().map_err(|_| NoteError::BadSignature)?;
                let good = sign::verify(&self.public, text.as_bytes(), signature);
                if good { Ok(None) } else { Err(NoteError::BadSignature) }
            }
            KeyKind::Cosignature => cosign::verify(&self.public, text, signature).map(Some),
        }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![self.kind.code()];
        key.extend_from_slice(&self.public);
        write!(f, "{}+{}+{}", self.name, HEXLOWER.encode(&self.id()), BASE64.encode(&key))
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<VerifierKey, NoteError> {
        let (name, rest) = text.split_once('+').ok_or(NoteError::VerifierKey)?;
        let (id, key) = rest.split_once('+').ok_or(NoteError::VerifierKey)?;
        let key = BASE64.decode(key.as_bytes()).map_err(|_| NoteError::VerifierKey)?;
        let (kind, public) = match key.split_first() {
            Some((0x01, public)) => (KeyKind::Ed25519, public),
            Some((0x04, public)) => (KeyKind::Cosignature, public),
            Some(_) | None => return Err(NoteError::VerifierKey),
        };
        let public = public.try_into().map_err(|_| NoteError::VerifierKey)?;
        let key = VerifierKey::new(name, kind, public)?;
        // The id guards against a name or a key that was copied wrongly.
        if HEXLOWER.encode(&key.id()) == id { Ok(key) } else { Err(NoteError::VerifierKey) }
    }
}

/// One signature line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    /// Name of the key.
    pub name: String,
    /// Id of the key.
    pub id: [u8; 4],
    /// What the key's algorithm gives.
    pub signature: Vec<u8>,
}

/// A signature that was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified<'k> {
    /// The key that made it.
    pub key: &'k VerifierKey,
    /// When a cosigner says it was made, POSIX seconds; none for other kinds.
    pub time: Option<u64>,
}

/// A text with signatures, not trusted until verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl Note {
    /// A note without signatures yet.
    ///
    /// # Errors
    /// [`NoteError::Text`] unless the text ends in a newline and has no other control character.
    pub fn new(text: String) -> Result<Note, NoteError> {
        if !text.ends_with('\n') || text.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
            return Err(NoteError::Text);
        }
        Ok(Note { text, signatures: Vec::new() })
    }

    /// Adds the signature of an Ed25519 key under `name`.
    ///
    /// # Errors
    /// [`NoteError::KeyName`] if the name cannot stand in a signature line.
    pub fn sign(&mut self, name: &str, key: &SigningKey) -> Result<(), NoteError> {
        let verifier = VerifierKey::new(name, KeyKind::Ed25519, key.public())?;
        let signature = key.sign(self.text.as_bytes()).to_vec();
        self.signatures.push(NoteSignature { name: verifier.name.clone(), id: verifier.id(), signature });
        Ok(())
    }

    /// Adds a signature line made elsewhere, such as a witness's. It is not checked here.
    pub fn push(&mut self, signature: NoteSignature) {
        self.signatures.push(signature);
    }

    /// Reads a note.
    ///
    /// # Errors
    /// [`NoteError`] for what is not exactly in form.
    pub fn parse(bytes: &[u8]) -> Result<Note, NoteError> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLong);
        }
        let whole = std::str::from_utf8(bytes).map_err(|_| NoteError::Text)?;
        // The last empty line separates; the text itself may have empty lines, signature lines cannot.
        let (before, lines) = whole.rsplit_once("\n\n").ok_or(NoteError::SignatureLine)?;
        let mut note = Note::new(format!("{before}\n"))?;
        note.signatures = parse_signatures(lines)?;
        Ok(note)
    }

    /// The text, newline included; not to be trusted before [`Note::verify`].
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature lines, in order.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Checks every signature by one of `keys`.
    ///
    /// # Errors
    /// [`NoteError::BadSignature`] if one of them does not hold, [`NoteError::Unsigned`] if there is none.
    pub fn verify<'k>(&self, keys: &'k [VerifierKey]) -> Result<Vec<Verified<'k>>, NoteError> {
        let mut verified = Vec::new();
        for signature in &self.signatures {
            for key in keys.iter().filter(|key| key.name == signature.name && key.id() == signature.id) {
                verified.push(Verified { key, time: key.verify(&self.text, &signature.signature)? });
            }
        }
        if verified.is_empty() { Err(NoteError::Unsigned) } else { Ok(verified) }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.id.to_vec();
        bytes.extend_from_slice(&self.signature);
        write!(f, "\u{2014} {} {}", self.name, BASE64.encode(&bytes))
    }
}

impl FromStr for NoteSignature {
    type Err = NoteError;

    fn from_str(line: &str) -> Result<NoteSignature, NoteError> {
        let rest = line.strip_prefix("\u{2014} ").ok_or(NoteError::SignatureLine)?;
        let (name, signature) = rest.split_once(' ').ok_or(NoteError::SignatureLine)?;
        check_name(name).map_err(|_| NoteError::SignatureLine)?;
        let bytes = BASE64.decode(signature.as_bytes()).map_err(|_| NoteError::SignatureLine)?;
        match bytes.split_first_chunk::<4>() {
            Some((id, signature)) if !signature.is_empty() => {
                Ok(NoteSignature { name: name.to_owned(), id: *id, signature: signature.to_vec() })
            }
            Some(_) | None => Err(NoteError::SignatureLine),
        }
    }
}

/// Signature lines as a note ends with them and as a witness answers with them; at least one.
///
/// # Errors
/// [`NoteError::SignatureLine`] if one is not in form, [`NoteError::TooLong`] over [`SIGNATURES_MAX`].
pub fn parse_signatures(lines: &str) -> Result<Vec<NoteSignature>, NoteError> {
    let lines = lines.strip_suffix('\n').ok_or(NoteError::SignatureLine)?;
    if lines.split('\n').nth(SIGNATURES_MAX).is_some() {
        return Err(NoteError::TooLong);
    }
    lines.split('\n').map(str::parse).collect()
}

/// Whether a text can be a key name: not empty, no Unicode space, no plus, no control character.
pub(super) fn check_name(name: &str) -> Result<(), NoteError> {
    let forbidden = |letter: char| letter.is_whitespace() || letter.is_control() || letter == '+';
    if name.is_empty() || name.contains(forbidden) { Err(NoteError::KeyName) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::secret::Secret;

    /// The example of C2SP signed-note.
    const KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    const NOTE: &str = "This is an example message.\n\n\u{2014} example.com/foo \
        Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

    fn key() -> VerifierKey {
        KEY.parse().unwrap()
    }

    #[test]
    fn example_of_the_specification_verifies() {
        let note = Note::parse(NOTE.as_bytes()).unwrap();
        assert_eq!(HEXLOWER.encode(&key().id()), "530d903a");
        assert_eq!(key().to_string(), KEY);
        assert_eq!(note.verify(&[key()]).unwrap(), vec![Verified { key: &key(), time: None }]);
        assert_eq!(note.text(), "This is an example message.\n");
        assert_eq!(note.to_string(), NOTE);
    }

    #[test]
    fn changed_text_or_signature_is_rejected() {
        for (from, to) in [("message", "massage"), ("example message.", "example message. "), ("Uw2QOkn8", "Uw2QOkn9")]
        {
            let note = Note::parse(NOTE.replacen(from, to, 1).as_bytes()).unwrap();
            assert_eq!(note.verify(&[key()]), Err(NoteError::BadSignature), "{from}");
        }
        let short = NOTE.replace("IneyaQM=", "IneyaQ==");
        assert_eq!(Note::parse(short.as_bytes()).unwrap().verify(&[key()]), Err(NoteError::BadSignature));
    }

    #[test]
    fn unknown_keys_are_ignored_and_never_enough() {
        let other = SigningKey::from_seed(&Secret::new([9; 32]));
        let mut note = Note::parse(NOTE.as_bytes()).unwrap();
        note.sign("example.com/foo", &other).unwrap();
        assert_eq!(note.verify(&[key()]).unwrap().len(), 1);
        let same_name = VerifierKey::new("example.com/foo", KeyKind::Ed25519, other.public()).unwrap();
        assert_eq!(note.verify(&[key(), same_name]).unwrap().len(), 2);
        let same_key_other_name = VerifierKey::new("example.com/bar", KeyKind::Ed25519, *key().public()).unwrap();
        assert_eq!(note.verify(&[same_key_other_name]), Err(NoteError::Unsigned));
        let same_key_other_kind = VerifierKey::new("example.com/foo", KeyKind::Cosignature, *key().public()).unwrap();
        assert_eq!(note.verify(&[same_key_other_kind]), Err(NoteError::Unsigned));
        assert_eq!(note.verify(&[]), Err(NoteError::Unsigned));
    }

    #[test]
    fn second_signature_by_a_known_key_must_hold_too() {
        let line = NOTE.lines().last().unwrap().replace("Uw2QOkn8", "Uw2QOkn9");
        let note = Note::parse(format!("{NOTE}{line}\n").as_bytes()).unwrap();
        assert_eq!(note.verify(&[key()]), Err(NoteError::BadSignature));
    }

    #[test]
    fn text_may_have_empty_lines_and_separates_at_the_last() {
        let signer = SigningKey::from_seed(&Secret::new([3; 32]));
        let mut note = Note::new("one\n\ntwo\n".to_owned()).unwrap();
        note.sign("example.com/log", &signer).unwrap();
        let read = Note::parse(note.to_string().as_bytes()).unwrap();
        assert_eq!(read, note);
        let key = VerifierKey::new("example.com/log", KeyKind::Ed25519, signer.public()).unwrap();
        assert_eq!(read.verify(&[key]).unwrap().len(), 1);
    }

    #[test]
    fn loose_notes_are_refused() {
        let line = NOTE.lines().last().unwrap();
        for note in [
            String::new(),
            "text\n".to_owned(),
            "text\n\n".to_owned(),
            format!("text\n{line}\n"),
            format!("text\n\n{line}"),
            format!("te\txt\n\n{line}\n"),
            format!("text\r\n\n{line}\n"),
            format!("text\n\n{line} \n"),
            format!("text\n\n{}\n", line.replace('\u{2014}', "-")),
            format!("text\n\n{}\n", line.replace("example.com/foo", "example.com+foo")),
            format!("text\n\n{}\n", line.replace("example.com/foo", "")),
            format!("text\n\n{}\n", line.replace("IneyaQM=", "IneyaQM")),
            format!("text\n\n{}\n", line.replace("IneyaQM=", "IneyaQN=")),
            "text\n\n\u{2014} name AAAAAA==\n".to_owned(),
            format!("text\n\n{}", format!("{line}\n").repeat(SIGNATURES_MAX + 1)),
        ] {
            assert!(Note::parse(note.as_bytes()).is_err(), "{note}");
        }
        assert!(Note::parse(format!("text\n\n{}", format!("{line}\n").repeat(16)).as_bytes()).is_ok());
        assert_eq!(Note::parse(&vec![b'a'; NOTE_BYTES_MAX + 1]), Err(NoteError::TooLong));
    }

    #[test]
    fn loose_keys_are_refused() {
        for key in [
            "",
            "example.com/foo",
            "example.com/foo+530d903a",
            &KEY.replace("530d903a", "530d903b"),
            &KEY.replace("530d903a", "530D903A"),
            &KEY.replace("foo", "fop"),
            &KEY.replace("AekyeRrm", "AukyeRrm"),
            &KEY[..KEY.len() - 4],
            &KEY.replace("example.com/foo", ""),
        ] {
            assert!(key.parse::<VerifierKey>().is_err(), "{key}");
        }
        for name in ["", "a b", "a+b", "a\u{a0}b", "a\nb"] {
            assert_eq!(VerifierKey::new(name, KeyKind::Ed25519, [0; 32]), Err(NoteError::KeyName));
        }
    }
}
