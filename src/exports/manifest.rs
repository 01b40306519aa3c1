//! The JSON files of a bundle: manifest, completeness, disclosures; and the note that signs the manifest.
//!
//! Promises: each file has one form, RFC 8785 text of exactly these members, so that what was signed is what was read.
//! Must never be trusted before the note's signature and the digests were checked.

use std::fmt;
use std::str::FromStr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::chain::subjects::{SubjectHead, SubjectProof, SubjectsRoot};
use crate::crypto::fields::FieldDisclosure;
use crate::crypto::hash::{Digest, sha256};
use crate::domain::ids::{LedgerId, SubjectId};
use crate::domain::time::Timestamp;
use crate::exports::scope::Scope;
use crate::schema::{JcsError, canonical_json};

/// The only format there is.
pub const BUNDLE_FORMAT: &str = "tallystick-bundle/1";
/// First line of the signed note. It has spaces, so no checkpoint can begin with it: its first line would be an origin.
pub const NOTE_HEADER: &str = "tallystick bundle manifest v1";

/// Name of the manifest.
pub const MANIFEST: &str = "manifest.json";
/// Name of the note that signs it.
pub const MANIFEST_SIGNATURE: &str = "manifest.sig";
/// Name of the checkpoint.
pub const CHECKPOINT: &str = "checkpoint";
/// Name of the completeness file.
pub const COMPLETENESS: &str = "completeness.json";
/// Name of the disclosures.
pub const DISCLOSURES: &str = "disclosures.json";
/// Name of the readable page.
pub const PAGE: &str = "index.html";
/// Name of the page that verifies the bundle in a browser.
pub const VERIFY_PAGE: &str = "verify.html";
/// Name of the report for printing.
pub const REPORT: &str = "report.pdf";
/// Name of the text that says what is what.
pub const README: &str = "README.txt";
/// Name of the custodian's certification, to be filled in.
pub const CERTIFICATION: &str = "certification.txt";

/// What a bundle is for; the profiles of `export.created`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// Accounts and money.
    Accounting,
    /// The record of processing activities (GDPR article 30).
    #[serde(rename = "article_30")]
    Article30,
    /// Whoever audits the ledger.
    Audit,
    /// The log of requests of CCPA regulations section 7101.
    CcpaLog,
    /// What a person is entitled to (GDPR articles 15 and 20).
    Dsar,
    /// That a person's keys were destroyed.
    ErasureCertificate,
    /// A contact and the consent it rested on.
    TcpaCall,
}

/// Every profile.
pub const PROFILES: [Profile; 7] = [
    Profile::Accounting,
    Profile::Article30,
    Profile::Audit,
    Profile::CcpaLog,
    Profile::Dsar,
    Profile::ErasureCertificate,
    Profile::TcpaCall,
];

/// A name that is not a profile's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown profile; known are accounting, article_30, audit, ccpa_log, dsar, erasure_certificate, tcpa_call")]
pub struct UnknownProfile;

impl Profile {
    /// Its name in events, manifests and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Profile::Accounting => "accounting",
            Profile::Article30 => "article_30",
            Profile::Audit => "audit",
            Profile::CcpaLog => "ccpa_log",
            Profile::Dsar => "dsar",
            Profile::ErasureCertificate => "erasure_certificate",
            Profile::TcpaCall => "tcpa_call",
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(name: &str) -> Result<Profile, UnknownProfile> {
        // What people call it.
        let name = if name == "erasure" { Profile::ErasureCertificate.name() } else { name };
        PROFILES.into_iter().find(|profile| profile.name() == name).ok_or(UnknownProfile)
    }
}

/// `manifest.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`BUNDLE_FORMAT`].
    pub format: String,
    /// The ledger.
    pub ledger: LedgerId,
    /// Its origin: first line of its checkpoints and name of its key.
    pub origin: String,
    /// A scratch ledger takes its clock from whoever calls it: its times prove nothing.
    pub scratch: bool,
    /// What the bundle is for.
    pub profile: Profile,
    /// Id of the export that `export.created` records; absent on a read-only copy, which cannot record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export: Option<String>,
    /// Program and version that wrote it.
    pub tool: String,
    /// When it was written, by that program's clock.
    pub created: Timestamp,
    /// What a bundle of a range of the log is about; absent from one about a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// The person's pseudonyms, ascending: more than one if several were merged or share an identifier; none for a range.
    pub subjects: Vec<SubjectId>,
    /// Size and root of `checkpoint`.
    pub checkpoint: TreeHead,
    /// Every other file but the manifest's own signature, by name.
    pub files: Vec<FileDigest>,
    /// What the bundle shows, in words.
    pub proves: Vec<String>,
    /// What it does not show.
    pub does_not_prove: Vec<String>,
}

/// Size and root of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TreeHead {
    /// Leaves.
    pub size: u64,
    /// Root over them.
    pub root: Digest,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileDigest {
    /// Name in the container.
    pub name: String,
    /// Length.
    pub bytes: u64,
    /// SHA-256 of the content.
    pub sha256: Digest,
}

/// `completeness.json`: that nothing was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Completeness {
    /// The `subjects.sealed` entry.
    pub seal: Seal,
    /// One for each of the manifest's subjects, in their order.
    pub heads: Vec<Head>,
}

/// What a `subjects.sealed` entry says, and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    /// Position of the entry.
    pub position: u64,
    /// The map is that of the first `size` entries.
    pub size: u64,
    /// Subjects in the map.
    pub count: u64,
    /// Root of the map.
    pub root: Digest,
}

impl Seal {
    /// What a map proof is verified against.
    pub const fn map(&self) -> SubjectsRoot {
        SubjectsRoot { count: self.count, root: self.root }
    }
}

/// A subject's last entry, with the proof that the map says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The subject.
    pub subject: SubjectId,
    /// Sequence of its last entry: how many there are.
    pub sequence: u64,
    /// Position of its last entry.
    pub position: u64,
    /// Index of its leaf in the map.
    pub index: u64,
    /// Hashes from the leaf's sibling upward.
    pub hashes: Vec<Digest>,
}

impl From<&SubjectProof> for Head {
    fn from(proof: &SubjectProof) -> Head {
        let SubjectHead { subject, sequence, position } = proof.head;
        Head { subject, sequence, position, index: proof.index, hashes: proof.hashes.clone() }
    }
}

impl From<&Head> for SubjectProof {
    fn from(head: &Head) -> SubjectProof {
        let Head { subject, sequence, position, index, .. } = *head;
        SubjectProof { head: SubjectHead { subject, sequence, position }, index, hashes: head.hashes.clone() }
    }
}

/// `disclosures.json`: the state of every part of every entry, and what opens it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disclosures {
    /// By position, then part number.
    pub parts: Vec<PartRecord>,
}

/// One part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartRecord {
    /// Position of its entry.
    pub position: u64,
    /// Its number in the entry.
    pub part: u8,
    /// How it stands in the bundle.
    pub state: PartState,
    /// S, in hex: opens this part and no other. State `opened` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Digest>,
    /// Fields shown one by one, by path. State `fields` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<Vec<FieldDisclosure>>,
    /// Position of the entry that says the part's key was destroyed. State `erased` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub covered_by: Option<u64>,
}

/// How a part stands in a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartState {
    /// Never sealed; stands in `parts/`.
    Public,
    /// Sealed bytes, secret and plaintext are there.
    Opened,
    /// Sealed bytes are there, and single fields with proofs.
    Fields,
    /// Sealed bytes are there and no secret: not disclosed in this bundle.
    Withheld,
    /// The key was destroyed; sealed bytes may be there or not.
    Erased,
}

/// Why a file is not in its one form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// Not the members that belong there; no value is echoed.
    #[error("is not JSON of the expected form, line {line} column {column}")]
    Form {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// The right members in another spelling.
    #[error("is not RFC 8785 text")]
    NotCanonical,
}

/// RFC 8785 text of a file.
///
/// # Errors
/// [`JcsError`] if a number is not exact: positions beyond 2^53.
pub fn to_bytes<T: Serialize>(file: &T) -> Result<Vec<u8>, JcsError> {
    // The file types have string keys and no floats, so that they always have a value.
    let value = serde_json::to_value(file).map_err(|_| JcsError::NumberNotExact)?;
    let mut out = Vec::new();
    canonical_json(&value, &mut out)?;
    Ok(out)
}

/// Reads a file.
///
/// # Errors
/// [`FileError`] unless the bytes are what [`to_bytes`] gives.
pub fn from_bytes<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, FileError> {
    let file: T = serde_json::from_slice(bytes)
        .map_err(|error| FileError::Form { line: error.line(), column: error.column() })?;
    if to_bytes(&file).is_ok_and(|again| again == bytes) { Ok(file) } else { Err(FileError::NotCanonical) }
}

/// Text of the note that signs a manifest: header, origin, SHA-256 of the manifest's bytes.
pub fn note_text(origin: &str, manifest: &[u8]) -> String {
    format!("{NOTE_HEADER}\n{origin}\n{}\n", sha256(manifest))
}

/// `entries/<position>.cbor`.
pub fn entry_name(position: u64) -> String {
    format!("entries/{position}.cbor")
}

/// `proofs/<position>.tlog-proof`.
pub fn proof_name(position: u64) -> String {
    format!("proofs/{position}.tlog-proof")
}

/// `parts/<position>-<part>.sealed`, or `.json` for a part that was never sealed.
pub fn part_name(position: u64, part: u8, sealed: bool) -> String {
    format!("parts/{position}-{part}.{}", if sealed { "sealed" } else { "json" })
}

/// `plaintext/<position>-<part>.json`, or `.bin` for bytes as received.
pub fn plaintext_name(position: u64, part: u8, json: bool) -> String {
    format!("plaintext/{position}-{part}.{}", if json { "json" } else { "bin" })
}

/// `schemas/<sha256>.json`.
pub fn schema_name(digest: &Digest) -> String {
    format!("schemas/{digest}.json")
}

/// `notices/<sha256>.txt`.
pub fn notice_name(digest: &Digest) -> String {
    format!("notices/{digest}.txt")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_have_one_name_everywhere() {
        for profile in PROFILES {
            assert_eq!(profile.name().parse(), Ok(profile));
            assert_eq!(serde_json::to_value(profile).unwrap(), profile.name());
        }
        assert_eq!("tcpa".parse::<Profile>(), Err(UnknownProfile));
    }

    #[test]
    fn profiles_are_those_of_the_event_that_records_an_export() {
        let schema: serde_json::Value =
            serde_json::from_slice(include_bytes!("../../schemas/export.created.v2.json")).unwrap();
        let mut named: Vec<_> = PROFILES.map(Profile::name).into();
        named.sort_unstable();
        let mut allowed: Vec<_> = schema["properties"]["profile"]["enum"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|name| name.as_str())
            .collect();
        allowed.sort_unstable();
        assert_eq!(named, allowed);
    }

    #[test]
    fn only_the_one_form_is_read() {
        let file = TreeHead { size: 7, root: Digest::ZERO };
        let bytes = to_bytes(&file).unwrap();
        assert_eq!(from_bytes::<TreeHead>(&bytes), Ok(file));
        let text = String::from_utf8(bytes).unwrap();
        let (spaced, unknown, twice) =
            (text.replace(':', ": "), text.replace('7', "7,\"z\":1"), text.replace('7', "7,\"size\":7"));
        let list = format!("[7,\"{}\"]", Digest::ZERO);
        for other in
            [spaced, unknown, twice, list, format!("{text}\n"), text.replace('7', "7e0"), text.replace('7', "07")]
        {
            assert!(from_bytes::<TreeHead>(other.as_bytes()).is_err(), "{other}");
        }
    }

    #[test]
    fn a_signed_manifest_is_never_a_checkpoint() {
        let text = note_text("example.com/log", b"{}");
        assert!(crate::chain::checkpoint::Checkpoint::parse_text(&text).is_err());
        assert_eq!(text.lines().count(), 3);
    }
}
