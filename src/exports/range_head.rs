//! What a bundle of a range says of itself: its manifest, but for the list of files.
//!
//! Promises: the sentences are those of [`RangeFacts`], which the verifier makes again from what it found.

use crate::domain::ids::LedgerId;
use crate::domain::time::Timestamp;
use crate::exports::bundle::TOOL;
use crate::exports::manifest::{BUNDLE_FORMAT, Manifest, Profile, TreeHead};
use crate::exports::scope::{RangeFacts, Scope};
use crate::exports::statements::KeySource;

/// What a bundle of a range says of itself beside its files.
#[derive(Debug, Clone, Copy)]
pub(super) struct RangeHead<'a> {
    pub(super) ledger: LedgerId,
    pub(super) origin: &'a str,
    pub(super) scratch: bool,
    pub(super) profile: Profile,
    pub(super) export: &'a str,
    pub(super) created: Timestamp,
    pub(super) checkpoint: &'a str,
    pub(super) tree: TreeHead,
    pub(super) scope: &'a Scope,
    pub(super) opened: u64,
    pub(super) gone: u64,
    pub(super) since: Option<u64>,
}

impl RangeHead<'_> {
    /// The manifest without its list of files.
    pub(super) fn manifest(&self) -> Manifest {
        let statements = RangeFacts {
            origin: self.origin,
            size: self.tree.size,
            scope: self.scope,
            opened: self.opened,
            gone: self.gone,
            recorded: true,
            scratch: self.scratch,
            since: self.since,
            key: KeySource::Unchecked,
        }
        .statements();
        Manifest {
            format: BUNDLE_FORMAT.to_owned(),
            ledger: self.ledger,
            origin: self.origin.to_owned(),
            scratch: self.scratch,
            profile: self.profile,
            export: Some(self.export.to_owned()),
            tool: TOOL.to_owned(),
            created: self.created,
            scope: Some(self.scope.clone()),
            subjects: Vec::new(),
            checkpoint: self.tree,
            files: Vec::new(),
            proves: statements.proves,
            does_not_prove: statements.does_not_prove,
        }
    }
}
