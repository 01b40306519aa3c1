//! What lies beside the entries: texts that they name by hash, and the checkpoint that the reader kept.

use super::LogKeyring;
use super::bundle::Bundle;
use crate::chain::checkpoint::Checkpoint;
use crate::crypto::hash::{Digest, sha256};
use crate::exports::manifest::{from_bytes, notice_name};
use crate::exports::notices::TextsNamed;
use crate::exports::report::Findings;
use crate::exports::since::{self, SINCE_CHECKPOINT, SINCE_CONSISTENCY, Since, SinceError};

/// Each text is the one that its name says, and an entry shown names it; how many there are.
pub(super) fn check_notices(bundle: &Bundle<'_>, named: &TextsNamed, findings: &mut Findings) -> u64 {
    let mut count = 0;
    for file in bundle.files().iter().filter(|file| file.name.starts_with("notices/")) {
        let hex = file.name.trim_start_matches("notices/").trim_end_matches(".txt");
        let digest = hex.parse::<Digest>().ok().filter(|digest| notice_name(digest) == file.name);
        let Some(digest) = digest else {
            findings.whole("a notice's file has a name that is none");
            continue;
        };
        if sha256(file.bytes) != digest {
            findings.whole(format_args!("{}: the text is not the one whose hash an entry names", file.name));
        } else if !named.digests.contains(&digest) {
            findings.whole(format_args!("{}: no entry shown names the hash of this text", file.name));
        } else {
            count += 1;
        }
    }
    count
}

/// The kept checkpoint is a prefix of the bundle's; its size. `kept` is the one that the reader holds in his hand.
pub(super) fn check_since(
    bundle: &Bundle<'_>,
    newer: Option<&Checkpoint>,
    keys: &LogKeyring,
    kept: Option<&str>,
    findings: &mut Findings,
) -> Option<u64> {
    let (note, proof) = (bundle.file(SINCE_CHECKPOINT), bundle.file(SINCE_CONSISTENCY));
    if kept.is_some() && note.is_none() {
        findings.whole("the bundle holds no proof from the checkpoint given: export it with --since-checkpoint");
    }
    let (note, proof) = match (note, proof) {
        (None, None) => return None,
        (Some(note), Some(proof)) => (note, proof),
        _ => {
            findings.whole("since/: the checkpoint and its proof belong together");
            return None;
        }
    };
    let Ok(note) = std::str::from_utf8(note) else {
        findings.whole(format_args!("{SINCE_CHECKPOINT}: {}", SinceError::Form));
        return None;
    };
    let proof = match from_bytes(proof) {
        Ok(proof) => proof,
        Err(error) => {
            findings.whole(format_args!("{SINCE_CONSISTENCY} {error}"));
            return None;
        }
    };
    let newer = newer?;
    let held = Since { note: note.to_owned(), proof };
    let verified = held.verify(newer, &keys.of_checkpoint());
    if let Some(kept) = kept {
        let same = since::read(kept, &newer.origin).and_then(|kept| {
            let shown = since::read(note, &newer.origin)?;
            Ok((kept.size, kept.root) == (shown.size, shown.root))
        });
        match same {
            Ok(true) => {}
            Ok(false) => findings.whole("the bundle's proof begins at another checkpoint than the one given"),
            Err(error) => findings.whole(format_args!("the checkpoint given: {error}")),
        }
    }
    match verified {
        Ok(size) => Some(size),
        Err(error) => {
            findings.whole(format_args!("{SINCE_CHECKPOINT}: {error}"));
            None
        }
    }
}
