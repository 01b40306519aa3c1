//! Verifying a bundle: from its bytes alone, or with the log's key that the reader got elsewhere.
//!
//! Promises: a bundle passes only if its container is canonical, every file is the one that the log's key signed for, every
//! entry is in the tree of the signed checkpoint, each person's entries are all there as the log's own map counts them,
//! every opened part is what was sealed, and every missing part is excused by a later entry. Nothing is taken on trust but
//! the key, and without a key the report says so. Must never need a network, a database or a clock.

mod beside;
mod bundle;
mod entries;
mod parts;
mod range;
mod subjects;

use crate::chain::checkpoint::Checkpoint;
use crate::chain::note::{KeyKind, Note, VerifierKey};
use crate::exports::manifest::{CHECKPOINT, MANIFEST_SIGNATURE, Profile, note_text};
use crate::exports::report::{Findings, Report, Statements};
use crate::exports::scope::RangeFacts;
use crate::exports::statements::{Facts, KeySource};
use crate::exports::withdrawals::{Known, Told, known};

use bundle::Bundle;
use entries::Item;
use parts::PartsFound;

/// Verifies a bundle. `key` is the log's verifier key from outside; without it the keys that the log itself names are used,
/// which shows that the bundle is of one piece and not whose it is.
pub fn verify_bundle(bytes: &[u8], key: Option<&VerifierKey>) -> Report {
    verify_bundle_since(bytes, key, None)
}

/// As [`verify_bundle`]; with `kept`, a checkpoint that the reader kept, the bundle must also prove that the log has only
/// grown since.
pub fn verify_bundle_since(bytes: &[u8], key: Option<&VerifierKey>, kept: Option<&str>) -> Report {
    let mut findings = Findings::default();
    let Some(bundle) = Bundle::read(bytes, &mut findings) else {
        let does_not_prove = vec!["anything: the bundle cannot be read".to_owned()];
        return findings.report(0, None, 0, Statements { proves: Vec::new(), does_not_prove });
    };
    let items = entries::load(&bundle, &mut findings);
    let keys = trusted_keys(&bundle, &items, key, &mut findings);
    check_manifest_signature(&bundle, &keys, &mut findings);
    let checkpoint = open_checkpoint(&bundle, &keys, &mut findings);
    if let Some(checkpoint) = &checkpoint {
        entries::check_proofs(&bundle, &items, checkpoint, &mut findings);
    }
    let parts = parts::check(&bundle, &items, &mut findings);
    subjects::check(&bundle, &items, &parts, &mut findings);
    let notices = beside::check_notices(&bundle, &parts.named, &mut findings);
    let since = beside::check_since(&bundle, checkpoint.as_ref(), &keys, kept, &mut findings);
    let size = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.size);
    let root = checkpoint.as_ref().map(|checkpoint| checkpoint.root);
    let source = if key.is_some() { KeySource::Outside } else { KeySource::Log };
    if let Some(scope) = &bundle.manifest.scope {
        let found = range::check(&bundle, scope, checkpoint.as_ref(), &mut findings);
        let exports = items.iter().filter(|item| item.entry.event_type == subjects::EXPORT_CREATED);
        let business = exports.filter_map(|item| parts.business.get(&item.position).copied());
        range::check_export(&bundle, scope, business, &mut findings);
        bundle.check_names(&items, &mut findings);
        let facts = RangeFacts {
            origin: &bundle.manifest.origin,
            size,
            scope,
            opened: found.opened,
            gone: found.gone,
            recorded: bundle.manifest.export.is_some(),
            scratch: bundle.manifest.scratch,
            since,
            key: source,
        };
        return findings.report(size, root, parts.opened + found.opened, facts.statements());
    }
    let Some(completeness) = &bundle.completeness else {
        return findings.report(size, root, parts.opened, Statements::default());
    };
    let known = known_at_contacts(&bundle, &items, &parts);
    bundle.check_names(&items, &mut findings);
    let facts = Facts {
        origin: &bundle.manifest.origin,
        size,
        scratch: bundle.manifest.scratch,
        recorded: bundle.manifest.export.is_some(),
        seal: &completeness.seal,
        heads: &completeness.heads,
        entries: items.len() as u64,
        opened: parts.opened,
        fields: parts.fields,
        withheld: parts.withheld,
        erased: parts.erased,
        schemas_missing: parts.schemas_missing,
        known: &known,
        notices,
        since,
        key: source,
    };
    findings.report(size, root, parts.opened, facts.statements())
}

/// For a bundle about calls: what the log held of withdrawals when each contact was recorded. The entries' types say it,
/// which nobody can seal away, and the lists are complete.
fn known_at_contacts(bundle: &Bundle<'_>, items: &[Item<'_>], parts: &PartsFound<'_>) -> Vec<Known> {
    if bundle.manifest.profile != Profile::TcpaCall {
        return Vec::new();
    }
    let own = items.iter().filter(|item| item.entry.subject.is_some());
    let told = own.map(|item| Told {
        position: item.position,
        event_type: item.entry.event_type,
        business: parts.business.get(&item.position).copied(),
    });
    known(&told.collect::<Vec<_>>())
}

/// Keys whose signatures count.
struct LogKeyring {
    /// Those that the log names as its own, oldest first.
    named: Vec<VerifierKey>,
    /// The one that the reader brought.
    outside: Option<VerifierKey>,
}

impl LogKeyring {
    /// Keys that may sign a manifest: the reader's own, and those that the log handed over to after it. The hand-over is an
    /// entry of the tree, and for the tree the reader's key itself must have signed.
    fn of_manifest(&self) -> &[VerifierKey] {
        let Some(outside) = &self.outside else { return &self.named };
        let at = self.named.iter().position(|key| key == outside);
        at.and_then(|at| self.named.get(at..)).unwrap_or(std::slice::from_ref(outside))
    }

    /// Keys whose signatures on the checkpoint are checked.
    fn of_checkpoint(&self) -> Vec<VerifierKey> {
        let unnamed = self.outside.iter().filter(|key| !self.named.contains(key));
        self.named.iter().chain(unnamed).cloned().collect()
    }
}

/// The keys whose signatures count, after checking what the log says about its own keys.
fn trusted_keys(
    bundle: &Bundle<'_>,
    items: &[Item<'_>],
    key: Option<&VerifierKey>,
    findings: &mut Findings,
) -> LogKeyring {
    let named = entries::log_keys(bundle, items, findings);
    if named.origin() != bundle.manifest.origin {
        findings.whole("the manifest names another origin than the log gives itself");
    }
    if named.scratch() != bundle.manifest.scratch {
        findings.whole("the manifest hides or invents that this is a scratch ledger");
    }
    let Some(key) = key else { return LogKeyring { named: named.keys().to_vec(), outside: None } };
    if key.kind() != KeyKind::Ed25519 {
        findings.whole("the key given is a cosigner's, not a log's");
    } else if !named.keys().contains(key) {
        findings.whole("the key given is not one that the log names as its own");
    }
    LogKeyring { named: named.keys().to_vec(), outside: Some(key.clone()) }
}

/// The note over the manifest has exactly one signature: a second one by a key that nobody knows could be changed unseen.
fn check_manifest_signature(bundle: &Bundle<'_>, keys: &LogKeyring, findings: &mut Findings) {
    let bytes = bundle.file(MANIFEST_SIGNATURE).unwrap_or_default();
    let note = match Note::parse(bytes) {
        Ok(note) => note,
        Err(error) => return findings.whole(format_args!("{MANIFEST_SIGNATURE}: {error}")),
    };
    if note.signatures().len() != 1 || note.to_string().as_bytes() != bytes {
        findings.whole(format_args!("{MANIFEST_SIGNATURE}: not a note with one signature in its only form"));
    }
    if note.text() != note_text(&bundle.manifest.origin, bundle.manifest_bytes) {
        findings.whole(format_args!("{MANIFEST_SIGNATURE}: signs another manifest"));
    }
    if let Err(error) = note.verify(keys.of_manifest()) {
        findings.whole(format_args!("{MANIFEST_SIGNATURE}: {error}"));
    }
}

/// The checkpoint, also if its signature is bad: what else is wrong is worth knowing.
fn open_checkpoint(bundle: &Bundle<'_>, keys: &LogKeyring, findings: &mut Findings) -> Option<Checkpoint> {
    let bytes = bundle.file(CHECKPOINT).unwrap_or_default();
    let note = match Note::parse(bytes) {
        Ok(note) => note,
        Err(error) => {
            findings.whole(format_args!("{CHECKPOINT}: {error}"));
            return None;
        }
    };
    let all = keys.of_checkpoint();
    if let Err(error) = Checkpoint::verify(&note, &all) {
        findings.whole(format_args!("{CHECKPOINT}: {error}"));
    }
    if let Some(outside) = &keys.outside
        && let Err(error) = Checkpoint::verify(&note, std::slice::from_ref(outside))
    {
        findings.whole(format_args!("{CHECKPOINT}: by the key given: {error}"));
    }
    if note.verify(&all).is_ok_and(|verified| verified.len() != note.signatures().len()) {
        // It could be changed unseen.
        findings.whole(format_args!("{CHECKPOINT}: has a signature by a key that is not the log's"));
    }
    let checkpoint = match Checkpoint::parse_text(note.text()) {
        Ok(checkpoint) => checkpoint,
        Err(error) => {
            findings.whole(format_args!("{CHECKPOINT}: {error}"));
            return None;
        }
    };
    let stated = &bundle.manifest.checkpoint;
    if checkpoint.origin != bundle.manifest.origin || checkpoint.size != stated.size || checkpoint.root != stated.root {
        findings.whole("the manifest states another origin, size or root than the checkpoint");
    }
    Some(checkpoint)
}
