//! The bundle as files, checked against its manifest; nothing is trusted yet.

use std::collections::BTreeSet;

use super::entries::Item;
use crate::crypto::hash::sha256;
use crate::domain::parts::PartKind;
use crate::exports::container::{self, StoredFile};
use crate::exports::manifest::{
    BUNDLE_FORMAT, CERTIFICATION, CHECKPOINT, COMPLETENESS, Completeness, DISCLOSURES, Disclosures, MANIFEST,
    MANIFEST_SIGNATURE, Manifest, PAGE, PartRecord, PartState, README, REPORT, VERIFY_PAGE, entry_name, from_bytes,
    part_name, plaintext_name, proof_name, schema_name,
};
use crate::exports::report::Findings;
use crate::exports::reports::TABLES;
use crate::exports::scope::BLOCKS;
use crate::exports::since::{SINCE_CHECKPOINT, SINCE_CONSISTENCY};

pub(super) struct Bundle<'a> {
    files: Vec<StoredFile<'a>>,
    pub(super) manifest: Manifest,
    pub(super) manifest_bytes: &'a [u8],
    /// None for a range of the log, which is complete by its chain.
    pub(super) completeness: Option<Completeness>,
    pub(super) disclosures: Disclosures,
}

impl<'a> Bundle<'a> {
    /// Reads the container and the three JSON files; none if one of them cannot be read.
    pub(super) fn read(bytes: &'a [u8], findings: &mut Findings) -> Option<Bundle<'a>> {
        let files = match container::read(bytes) {
            Ok(files) => files,
            Err(error) => {
                findings.whole(error);
                return None;
            }
        };
        let manifest_bytes = find(&files, MANIFEST).unwrap_or_default();
        let manifest: Manifest = json(&files, MANIFEST, findings)?;
        if manifest.format != BUNDLE_FORMAT {
            findings.whole("the manifest is of a format that this program does not know");
            return None;
        }
        check_digests(&files, &manifest, findings);
        let completeness = match manifest.scope {
            Some(_) => None,
            None => Some(json(&files, COMPLETENESS, findings)?),
        };
        let disclosures = json(&files, DISCLOSURES, findings)?;
        Some(Bundle { files, manifest, manifest_bytes, completeness, disclosures })
    }

    pub(super) fn file(&self, name: &str) -> Option<&'a [u8]> {
        find(&self.files, name)
    }

    /// Files of a folder: position in the name, whether the name is in its one form, bytes.
    pub(super) fn files(&self) -> &[StoredFile<'a>] {
        &self.files
    }

    /// The record of one part; records are in order, which `parts` checks.
    pub(super) fn record(&self, position: u64, part: u8) -> Option<&PartRecord> {
        let records = &self.disclosures.parts;
        let at = records.binary_search_by_key(&(position, part), |record| (record.position, record.part)).ok()?;
        records.get(at)
    }

    /// Every file must be one that something else needs: there is no room for a file that nothing vouches for.
    pub(super) fn check_names(&self, items: &[Item<'_>], findings: &mut Findings) {
        let mut known: BTreeSet<String> =
            [MANIFEST, MANIFEST_SIGNATURE, CHECKPOINT, COMPLETENESS, DISCLOSURES, PAGE, README, CERTIFICATION]
                .into_iter()
                .map(str::to_owned)
                .collect();
        known.extend(
            [REPORT, VERIFY_PAGE, SINCE_CHECKPOINT, SINCE_CONSISTENCY].into_iter().chain(TABLES).map(str::to_owned),
        );
        for item in items {
            known.extend([entry_name(item.position), proof_name(item.position), schema_name(&item.entry.schema)]);
            for (number, part) in (0..).zip(item.entry.parts()) {
                let Some(record) = self.record(item.position, number) else { continue };
                known.insert(part_name(item.position, number, part.kind != PartKind::Public));
                if record.state == PartState::Opened {
                    known.insert(plaintext_name(item.position, number, part.kind != PartKind::Raw));
                }
            }
        }
        // Notices are looked at one by one elsewhere.
        let looked_at =
            |name: &str| name.starts_with("notices/") || (self.manifest.scope.is_some() && self.is_of_range(name));
        let unknown = |file: &&StoredFile<'_>| !known.contains(file.name) && !looked_at(file.name);
        for file in self.files.iter().filter(unknown) {
            note(findings, file.name, "a file that does not belong to the bundle");
        }
    }
}

impl Bundle<'_> {
    /// Blocks, which are looked at one by one, the proof of the last entry, and schemas that blocks may name.
    fn is_of_range(&self, name: &str) -> bool {
        let last = self.manifest.scope.as_ref().and_then(|scope| scope.end.checked_sub(1));
        let schema = || {
            let hex = name.strip_prefix("schemas/").and_then(|name| name.strip_suffix(".json"));
            let digest = hex.and_then(|hex| hex.parse().ok());
            digest.is_some_and(|digest| self.file(name).is_some_and(|bytes| sha256(bytes) == digest))
        };
        name.starts_with(BLOCKS) || last.is_some_and(|last| proof_name(last) == name) || schema()
    }
}

fn find<'a>(files: &[StoredFile<'a>], name: &str) -> Option<&'a [u8]> {
    let at = files.binary_search_by_key(&name, |file| file.name).ok()?;
    files.get(at).map(|file| file.bytes)
}

fn json<T: serde::Serialize + serde::de::DeserializeOwned>(
    files: &[StoredFile<'_>],
    name: &str,
    findings: &mut Findings,
) -> Option<T> {
    let Some(bytes) = find(files, name) else {
        findings.whole(format_args!("{name} is missing"));
        return None;
    };
    match from_bytes(bytes) {
        Ok(file) => Some(file),
        Err(error) => {
            findings.whole(format_args!("{name} {error}"));
            None
        }
    }
}

/// The manifest lists exactly the files of the container but itself and its signature, in order, with their digests.
fn check_digests(files: &[StoredFile<'_>], manifest: &Manifest, findings: &mut Findings) {
    let mut stated = manifest.files.iter().peekable();
    for file in files.iter().filter(|file| file.name != MANIFEST && file.name != MANIFEST_SIGNATURE) {
        while let Some(missing) = stated.next_if(|stated| stated.name.as_str() < file.name) {
            note(findings, &missing.name, "the manifest lists a file that is not there");
        }
        match stated.next_if(|stated| stated.name == file.name) {
            None => note(findings, file.name, "a file that the manifest does not list"),
            Some(stated) if stated.bytes != file.bytes.len() as u64 || stated.sha256 != sha256(file.bytes) => {
                note(findings, file.name, "not the file that the manifest lists");
            }
            Some(_) => {}
        }
    }
    stated.for_each(|missing| note(findings, &missing.name, "the manifest lists a file that is not there"));
}

/// A finding about a file, at the position in its name if there is one. Names are checked paths or the manifest's words,
/// so only their plain form is repeated.
fn note(findings: &mut Findings, name: &str, what: &str) {
    let name = if container::is_plain_name(name) { name } else { "(a name that is not allowed)" };
    match position_of(name) {
        Some(position) => findings.at(position, format_args!("{name}: {what}")),
        None => findings.whole(format_args!("{name}: {what}")),
    }
}

fn position_of(name: &str) -> Option<u64> {
    let (folder, file) = name.split_once('/')?;
    let digits = file.split(['.', '-']).next()?;
    if matches!(folder, "blocks" | "schemas" | "notices") { None } else { digits.parse().ok() }
}
