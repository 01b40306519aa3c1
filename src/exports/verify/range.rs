//! Verifying a bundle of a range of the log: the chain from end to end, and what is opened of it.

use std::collections::BTreeMap;

use super::bundle::Bundle;
use crate::chain::checkpoint::Checkpoint;
use crate::chain::entry::{EntryRef, Part};
use crate::chain::leaf::leaf_hash;
use crate::chain::proof::InclusionFile;
use crate::chain::tree::verify_inclusion;
use crate::crypto::derive::PartSecret;
use crate::crypto::hash::Digest;
use crate::domain::ids::SubjectId;
use crate::domain::parts::PartKind;
use crate::domain::time::Timestamp;
use crate::exports::manifest::{CHECKPOINT, proof_name};
use crate::exports::parts::{check_digest, data_of, open_part};
use crate::exports::report::Findings;
use crate::exports::scope::{BLOCKS, BlockPart, Scope, entries_name, entries_of, parts_name};

/// What was found in the blocks.
#[derive(Default)]
pub(super) struct RangeFound {
    pub(super) opened: u64,
    pub(super) gone: u64,
}

/// Checks the blocks one by one; each is read once and forgotten.
pub(super) fn check(
    bundle: &Bundle<'_>,
    scope: &Scope,
    checkpoint: Option<&Checkpoint>,
    findings: &mut Findings,
) -> RangeFound {
    if !bundle.manifest.subjects.is_empty() {
        findings.whole("a bundle of a range names persons");
    }
    let ends = checkpoint.is_none_or(|checkpoint| scope.end <= checkpoint.size);
    if scope.first > scope.end || !ends || !scope.types.is_sorted_by(|before, after| before < after) {
        findings.whole("the scope is not in its form, or ends behind the checkpoint");
        return RangeFound::default();
    }
    let mut walk = Walk {
        bundle,
        scope,
        next: scope.first,
        previous: None,
        recorded: None,
        persons: BTreeMap::new(),
        found: RangeFound::default(),
    };
    let mut known = Vec::new();
    while walk.next < scope.end {
        let (entries, parts) = (entries_name(walk.next), parts_name(walk.next));
        let Some(block) = bundle.file(&entries) else {
            findings.at(walk.next, "the entries from here on are missing");
            return walk.found;
        };
        let lines = bundle.file(&parts).unwrap_or_default();
        let before = walk.next;
        walk.block(block, lines, findings);
        if walk.next == before {
            return walk.found;
        }
        known.extend([entries, parts]);
    }
    if walk.next != scope.end {
        findings.at(scope.end, "entries behind the range");
    }
    for file in bundle.files().iter().filter(|file| file.name.starts_with(BLOCKS)) {
        if !known.iter().any(|name| name == file.name) {
            findings.whole(format_args!("{}: a block that does not belong to the range", file.name));
        }
    }
    walk.end(checkpoint, findings);
    walk.found
}

struct Walk<'b, 'a> {
    bundle: &'b Bundle<'a>,
    scope: &'b Scope,
    next: u64,
    previous: Option<Digest>,
    recorded: Option<Timestamp>,
    /// Of an audit by campaign: whether the person is opened, and the first of his entries that is not.
    persons: BTreeMap<SubjectId, (bool, Option<u64>)>,
    found: RangeFound,
}

impl Walk<'_, '_> {
    fn block(&mut self, block: &[u8], lines: &[u8], findings: &mut Findings) {
        let Some(entries) = entries_of(block).filter(|entries| !entries.is_empty()) else {
            return findings.at(self.next, "the block of entries from here on is cut");
        };
        let mut shown: BTreeMap<(u64, u8), BlockPart> = BTreeMap::new();
        let mut last = None;
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let read = line.strip_suffix(b"\n").and_then(BlockPart::read);
            let Some(part) = read.filter(|part| last < Some((part.position, part.part))) else {
                findings.at(self.next, "a line of the block's parts is not in its only form or not in order");
                continue;
            };
            last = Some((part.position, part.part));
            shown.insert((part.position, part.part), part);
        }
        for bytes in entries {
            let position = self.next;
            self.next += 1;
            match EntryRef::decode(bytes) {
                Err(error) => {
                    findings.at(position, format_args!("not an entry: {error}"));
                    self.previous = None;
                }
                Ok(entry) => self.entry(&entry, position, bytes, &mut shown, findings),
            }
        }
        if let Some(((position, part), _)) = shown.pop_first() {
            findings.at(position, format_args!("part {part}: disclosed, but there is no such part in the block"));
        }
    }

    fn entry(
        &mut self,
        entry: &EntryRef<'_>,
        position: u64,
        bytes: &[u8],
        shown: &mut BTreeMap<(u64, u8), BlockPart>,
        findings: &mut Findings,
    ) {
        if entry.position != position {
            findings.at(position, "an entry is missing or stands at another position");
        }
        if entry.ledger != self.bundle.manifest.ledger {
            findings.at(position, "the entry is of another ledger");
        }
        if self.previous.is_some_and(|previous| previous != entry.previous) {
            findings.at(position, "previous is not the leaf hash of the entry before");
        }
        if self.recorded.is_some_and(|before| entry.recorded < before) {
            findings.at(position, "recorded before the entry before it");
        }
        (self.previous, self.recorded) = (Some(leaf_hash(bytes)), Some(entry.recorded));
        for (number, part) in (0_u8..).zip(entry.parts()) {
            let given = shown.remove(&(position, number));
            if part.kind == PartKind::Business && self.scope.opens(entry.event_type) {
                self.expect(entry, position, given.is_some(), findings);
            }
            let Some(given) = given else { continue };
            if let Err(what) = self.part(entry, number, &part, &given) {
                findings.at(position, format_args!("part {number}: {what}"));
            }
        }
    }

    /// Whether a business part of the scope has to be shown.
    fn expect(&mut self, entry: &EntryRef<'_>, position: u64, shown: bool, findings: &mut Findings) {
        match (&self.scope.campaign, entry.subject) {
            (None, _) if !shown => findings.at(position, "closed, though the scope says that it is opened"),
            (Some(_), Some(link)) => {
                let (open, closed) = self.persons.entry(link.subject).or_default();
                *open |= shown;
                if !shown && closed.is_none() {
                    *closed = Some(position);
                }
            }
            (None, _) | (Some(_), None) => {}
        }
    }

    fn part(&mut self, entry: &EntryRef<'_>, number: u8, part: &Part, given: &BlockPart) -> Result<(), String> {
        let BlockPart { fields, secret, stored, .. } = given;
        match (part.kind == PartKind::Public, fields, secret, stored) {
            (true, None, None, Some(_)) => {
                let bytes = given.stored().ok_or("the stored bytes are no base64")?;
                check_digest(part, &bytes).map_err(|error| error.to_string())
            }
            (false, None, Some(secret), Some(_)) => {
                let bytes = given.stored().ok_or("the stored bytes are no base64")?;
                check_digest(part, &bytes).map_err(|error| error.to_string())?;
                let secret = PartSecret::from_disclosed(*secret.as_bytes());
                open_part(entry, number, part, &secret, &bytes).map_err(|error| error.to_string())?;
                self.found.opened += 1;
                Ok(())
            }
            (false, Some(fields), None, None) => {
                let root = part.fields_root.ok_or("has no tree of fields")?;
                let ordered = !fields.is_empty() && fields.is_sorted_by(|before, after| before.path < after.path);
                let size = fields.first().map_or(0, |field| field.size);
                let good = ordered && fields.iter().all(|field| field.size == size && field.verify(&root));
                if good { Ok(()) } else { Err("a field shown is not one that was sealed".to_owned()) }
            }
            (false, None, None, None) => {
                self.found.gone += 1;
                Ok(())
            }
            _ => Err("not disclosed in one of the forms that there are".to_owned()),
        }
    }

    fn end(&self, checkpoint: Option<&Checkpoint>, findings: &mut Findings) {
        for (open, closed) in self.persons.values() {
            if let (true, Some(position)) = (open, closed) {
                findings.at(*position, "closed, though other entries of the person are opened for the campaign");
            }
        }
        let (Some(leaf), Some(last)) = (self.previous, self.scope.end.checked_sub(1)) else { return };
        let Some(checkpoint) = checkpoint else { return };
        let proof = self.bundle.file(&proof_name(last)).and_then(|bytes| InclusionFile::parse(bytes).ok());
        let Some(proof) = proof.filter(|proof| proof.index == last && proof.extra.is_none()) else {
            return findings.at(last, "the proof of inclusion of the range's last entry is missing");
        };
        if proof.checkpoint.as_bytes() != self.bundle.file(CHECKPOINT).unwrap_or_default() {
            findings.at(last, "the proof of inclusion is for another checkpoint");
        }
        if let Err(error) = verify_inclusion(&leaf, last, checkpoint.size, &proof.hashes, &checkpoint.root) {
            findings.at(last, format_args!("not in the tree of the checkpoint: {error}"));
        }
    }
}

#[derive(serde::Deserialize)]
struct Created {
    export: String,
    #[serde(default)]
    from_position: Option<u64>,
    #[serde(default)]
    to_position: Option<u64>,
    #[serde(default)]
    campaign: Option<String>,
}

/// The export recorded itself, with this range. `business`: opened business parts of `export.created` entries.
pub(super) fn check_export<'b>(
    bundle: &Bundle<'_>,
    scope: &Scope,
    mut business: impl Iterator<Item = &'b [u8]>,
    findings: &mut Findings,
) {
    let Some(export) = &bundle.manifest.export else { return };
    let recorded = business.any(|business| {
        data_of::<Created>(business).is_ok_and(|created| {
            created.export == *export
                && created.from_position == Some(scope.first)
                && created.to_position == Some(scope.end)
                && created.campaign == scope.campaign
        })
    });
    if !recorded {
        findings.whole("the export is not recorded in the log with this range");
    }
}
