//! The entries of a bundle: their bytes, their place in the tree, and what the log says about its own keys.

use std::collections::BTreeSet;

use super::bundle::Bundle;
use crate::chain::checkpoint::Checkpoint;
use crate::chain::entry::EntryRef;
use crate::chain::leaf::leaf_hash;
use crate::chain::proof::InclusionFile;
use crate::chain::tree::verify_inclusion;
use crate::crypto::hash::Digest;
use crate::domain::parts::PartKind;
use crate::exports::log_keys::{LogKeys, is_key_type};
use crate::exports::manifest::{CHECKPOINT, entry_name, part_name, proof_name};
use crate::exports::parts::check_digest;
use crate::exports::report::Findings;

pub(super) struct Item<'a> {
    pub(super) position: u64,
    pub(super) entry: EntryRef<'a>,
    pub(super) leaf: Digest,
}

impl Item<'_> {
    /// The entry's public part, if it has one and its bytes are those that the entry names.
    pub(super) fn public<'b>(&self, bundle: &Bundle<'b>) -> Option<&'b [u8]> {
        let part = self.entry.parts().next().filter(|part| part.kind == PartKind::Public)?;
        let bytes = bundle.file(&part_name(self.position, 0, false))?;
        check_digest(&part, bytes).ok().map(|()| bytes)
    }
}

/// Reads every entry and checks what the entries show of themselves and of each other. By position.
pub(super) fn load<'a>(bundle: &Bundle<'a>, findings: &mut Findings) -> Vec<Item<'a>> {
    let mut items = Vec::new();
    for file in bundle.files().iter().filter(|file| file.name.starts_with("entries/")) {
        let digits = file.name.trim_start_matches("entries/").trim_end_matches(".cbor");
        let Some(position) = digits.parse().ok().filter(|position| entry_name(*position) == file.name) else {
            findings.whole("an entry's file has a name that is none");
            continue;
        };
        match EntryRef::decode(file.bytes) {
            Err(error) => findings.at(position, format_args!("not an entry: {error}")),
            Ok(entry) if entry.position != position => findings.at(position, "the entry stands at another position"),
            Ok(entry) if entry.ledger != bundle.manifest.ledger => {
                findings.at(position, "the entry is of another ledger")
            }
            Ok(entry) => items.push(Item { position, entry, leaf: leaf_hash(file.bytes) }),
        }
    }
    items.sort_unstable_by_key(|item| item.position);
    for pair in items.windows(2) {
        let [before, after] = pair else { continue };
        if before.position + 1 == after.position && after.entry.previous != before.leaf {
            findings.at(after.position, "previous is not the leaf hash of the entry before");
        }
        if after.entry.recorded < before.entry.recorded {
            findings.at(after.position, "recorded before an entry before it");
        }
    }
    let subjects: BTreeSet<_> = bundle.manifest.subjects.iter().collect();
    for item in &items {
        if item.entry.subject.is_some_and(|link| !subjects.contains(&link.subject)) {
            findings.at(item.position, "an entry about a person that the bundle is not about");
        }
    }
    items
}

/// The keys that the log names, from position 0 on.
pub(super) fn log_keys(bundle: &Bundle<'_>, items: &[Item<'_>], findings: &mut Findings) -> LogKeys {
    let mut keys = LogKeys::default();
    if items.first().is_none_or(|item| item.position != 0) {
        findings.at(0, "the log's first entry is missing");
    }
    for item in items.iter().filter(|item| is_key_type(item.entry.event_type)) {
        let public = item.public(bundle).unwrap_or_default();
        if let Err(error) = keys.take(&item.entry, public) {
            findings.at(item.position, error);
        }
    }
    keys
}

/// Every entry has a proof of its own that it is in the checkpoint's tree.
pub(super) fn check_proofs(bundle: &Bundle<'_>, items: &[Item<'_>], checkpoint: &Checkpoint, findings: &mut Findings) {
    let signed = bundle.file(CHECKPOINT).unwrap_or_default();
    for item in items {
        let Some(bytes) = bundle.file(&proof_name(item.position)) else {
            findings.at(item.position, "the proof of inclusion is missing");
            continue;
        };
        let proof = match InclusionFile::parse(bytes) {
            Ok(proof) => proof,
            Err(error) => {
                findings.at(item.position, error);
                continue;
            }
        };
        let whole = proof.extra.is_none() && proof.index == item.position && proof.checkpoint.as_bytes() == signed;
        if !whole || proof.to_string().as_bytes() != bytes {
            findings.at(item.position, "the proof of inclusion is for another entry or another checkpoint");
            continue;
        }
        if let Err(error) =
            verify_inclusion(&item.leaf, item.position, checkpoint.size, &proof.hashes, &checkpoint.root)
        {
            findings.at(item.position, format_args!("not in the tree of the checkpoint: {error}"));
        }
    }
}
