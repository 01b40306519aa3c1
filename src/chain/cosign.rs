//! Cosignatures of checkpoints, type 0x04: C2SP tlog-cosignature.
//!
//! Promises: message and line are those of the specification, so that public witnesses' lines verify here and ours with
//! them. Must never be made for a checkpoint whose consistency with the last one was not checked; that check is the
//! caller's, and one key belongs to one cosigner.

use crate::chain::note::{KeyKind, NoteError, NoteSignature, VerifierKey};
use crate::crypto::sign::{self, SigningKey};

/// Latest time that a cosignature may carry.
const TIME_MAX: u64 = i64::MAX as u64;

/// What a cosigner signs: a header line, a time line (POSIX seconds), then the checkpoint's text.
pub fn message(time: u64, text: &str) -> Vec<u8> {
    format!("cosignature/v1\ntime {time}\n{text}").into_bytes()
}

/// The signature line of a cosigner called `name` for a checkpoint's text, at `time` (POSIX seconds).
///
/// # Errors
/// [`NoteError::KeyName`] if the name cannot stand in a signature line.
pub fn cosign(name: &str, key: &SigningKey, time: u64, text: &str) -> Result<NoteSignature, NoteError> {
    let verifier = VerifierKey::new(name, KeyKind::Cosignature, key.public())?;
    let mut signature = time.to_be_bytes().to_vec();
    signature.extend_from_slice(&key.sign(&message(time, text)));
    Ok(NoteSignature { name: name.to_owned(), id: verifier.id(), signature })
}

/// Checks the blob of a cosignature (8 bytes of time, 64 of signature) over a checkpoint's text and gives its time.
///
/// # Errors
/// [`NoteError::BadSignature`] if it does not hold.
pub fn verify(public: &[u8; 32], text: &str, blob: &[u8]) -> Result<u64, NoteError> {
    let (time, signature) = blob.split_first_chunk::<8>().ok_or(NoteError::BadSignature)?;
    let time = u64::from_be_bytes(*time);
    let signature = signature.try_into().map_err(|_| NoteError::BadSignature)?;
    let good = time <= TIME_MAX && sign::verify(public, &message(time, text), signature);
    if good { Ok(time) } else { Err(NoteError::BadSignature) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::note::Note;
    use crate::crypto::secret::Secret;

    const TEXT: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    #[test]
    fn message_is_that_of_the_specification() {
        let expected = "cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\n\
                        CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        assert_eq!(message(1_679_315_147, TEXT), expected.as_bytes());
    }

    #[test]
    fn cosignature_holds_for_its_time_and_text_only() {
        let witness = SigningKey::from_seed(&Secret::new([4; 32]));
        let key = VerifierKey::new("witness.example.com/w1", KeyKind::Cosignature, witness.public()).unwrap();
        let line = cosign("witness.example.com/w1", &witness, 1_679_315_147, TEXT).unwrap();
        assert_eq!(line.signature.len(), 72);
        let note_of = |line: NoteSignature, text: &str| {
            let mut note = Note::new(text.to_owned()).unwrap();
            note.push(line);
            Note::parse(note.to_string().as_bytes()).unwrap()
        };
        let keys = [key.to_string().parse::<VerifierKey>().unwrap()];
        assert_eq!(note_of(line.clone(), TEXT).verify(&keys).unwrap()[0].time, Some(1_679_315_147));
        assert_eq!(
            note_of(line.clone(), &TEXT.replace("20852163", "20852164")).verify(&keys),
            Err(NoteError::BadSignature)
        );
        let mut later = line.clone();
        later.signature[7] ^= 1;
        assert_eq!(note_of(later, TEXT).verify(&keys), Err(NoteError::BadSignature));
        let mut short = line;
        short.signature.truncate(71);
        assert_eq!(note_of(short, TEXT).verify(&keys), Err(NoteError::BadSignature));
        let far = cosign("witness.example.com/w1", &witness, TIME_MAX + 1, TEXT).unwrap();
        assert_eq!(note_of(far, TEXT).verify(&keys), Err(NoteError::BadSignature));
    }
}
