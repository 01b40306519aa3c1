//! That the entries of each person are all there: 1 to n, linked, and n is what the log's own map says.

use serde::Deserialize;

use super::bundle::Bundle;
use super::entries::Item;
use super::parts::PartsFound;
use crate::chain::subjects::SubjectProof;
use crate::crypto::hash::Digest;
use crate::domain::ids::SubjectId;
use crate::exports::manifest::{Head, Seal};
use crate::exports::parts::data_of;
use crate::exports::report::Findings;

/// Type of the entry that seals the map.
const SUBJECTS_SEALED: &str = "subjects.sealed";
/// Type of the entry that records an export.
pub(super) const EXPORT_CREATED: &str = "export.created";

#[derive(Deserialize)]
struct Sealed {
    size: u64,
    count: u64,
    root: Digest,
}

#[derive(Deserialize)]
struct Created {
    export: String,
}

/// Checks the seal, the map proofs, the lists, and that the export itself is in them.
pub(super) fn check(bundle: &Bundle<'_>, items: &[Item<'_>], parts: &PartsFound<'_>, findings: &mut Findings) {
    let Some(completeness) = &bundle.completeness else { return };
    let seal = &completeness.seal;
    check_seal(bundle, items, seal, findings);
    let subjects = &bundle.manifest.subjects;
    if subjects.is_empty() || !subjects.is_sorted_by(|before, after| before < after) {
        findings.whole("the manifest's subjects are not in order");
    }
    if !completeness.heads.iter().map(|head| &head.subject).eq(subjects) {
        findings.whole("the completeness file is not about the manifest's subjects");
    }
    for head in &completeness.heads {
        if head.position >= seal.size {
            findings.at(head.position, "the last entry lies behind what the sealed map covers");
        }
        if let Err(error) = SubjectProof::from(head).verify(&seal.map()) {
            findings.at(head.position, format_args!("not the last entry that the sealed map names: {error}"));
        }
        check_list(items, head, findings);
        check_export(bundle, items, parts, head, findings);
    }
}

fn check_seal(bundle: &Bundle<'_>, items: &[Item<'_>], seal: &Seal, findings: &mut Findings) {
    let item = items.iter().find(|item| item.position == seal.position);
    let Some(item) = item.filter(|item| item.entry.event_type == SUBJECTS_SEALED) else {
        return findings.at(seal.position, "the entry that seals the subjects map is missing");
    };
    match data_of::<Sealed>(item.public(bundle).unwrap_or_default()) {
        Ok(said) if said.size == seal.size && said.count == seal.count && said.root == seal.root => {}
        Ok(_) => findings.at(seal.position, "the entry seals another map than the completeness file says"),
        Err(error) => findings.at(seal.position, error),
    }
    if seal.size > seal.position {
        findings.at(seal.position, "the map is sealed for entries that come after the seal");
    }
}

/// The subject's entries count from 1 to the head's sequence, each naming the position of the one before.
fn check_list(items: &[Item<'_>], head: &Head, findings: &mut Findings) {
    let mut links = own(items, &head.subject).peekable();
    let mut previous = None;
    let mut expected = 1;
    while expected <= head.sequence {
        let Some((position, link)) = links.next_if(|(_, link)| link.sequence == expected) else {
            // The next entry, or the map, says where the missing one stands.
            let place = match links.peek() {
                Some((_, link)) if link.sequence == expected + 1 => link.previous.unwrap_or(head.position),
                Some((position, _)) => *position,
                None => head.position,
            };
            findings.at(place, format_args!("entry {expected} of {} of the person is missing", head.sequence));
            return;
        };
        if link.previous != previous {
            findings.at(position, "names another entry of the person before it");
        }
        previous = Some(position);
        expected += 1;
    }
    if previous != Some(head.position) {
        findings.at(head.position, "the person's last entry is not where the sealed map says");
    }
    if let Some((position, _)) = links.next() {
        findings.at(position, "an entry of the person beyond what the sealed map counts");
    }
}

fn own<'i>(
    items: &'i [Item<'_>],
    subject: &'i SubjectId,
) -> impl Iterator<Item = (u64, crate::chain::entry::SubjectLink)> + 'i {
    items
        .iter()
        .filter_map(|item| Some((item.position, item.entry.subject?)))
        .filter(|(_, link)| link.subject == *subject)
}

/// An export that could record itself did: the map is therefore not older than the export.
fn check_export(bundle: &Bundle<'_>, items: &[Item<'_>], parts: &PartsFound<'_>, head: &Head, findings: &mut Findings) {
    let Some(export) = &bundle.manifest.export else { return };
    let recorded = items
        .iter()
        .filter(|item| item.entry.event_type == EXPORT_CREATED)
        .filter(|item| item.entry.subject.is_some_and(|link| link.subject == head.subject))
        .filter_map(|item| parts.business.get(&item.position))
        .any(|business| data_of::<Created>(business).is_ok_and(|created| created.export == *export));
    if !recorded {
        findings.at(head.position, "the export is not recorded among the person's entries");
    }
}
