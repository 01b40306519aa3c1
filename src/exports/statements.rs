//! What a bundle shows and what it does not, in words: the same in the manifest, on the page and in the report.
//!
//! Promises: no sentence claims more than `verify` checked. Must never hold a personal value.

use crate::exports::manifest::{Head, Seal};
use crate::exports::report::Statements;
use crate::exports::withdrawals::{CONTACTS_MAX, Known};

/// Where the key comes from that the signatures were checked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeySource {
    /// The reader brought it.
    Outside,
    /// The log names it; nobody else vouches for it.
    Log,
    /// Not checked yet: the bundle speaks of itself.
    Unchecked,
}

/// What the sentences depend on.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// Origin of the log.
    pub origin: &'a str,
    /// Size of the checkpoint's tree.
    pub size: u64,
    /// Times come from whoever called.
    pub scratch: bool,
    /// The export is recorded in the log itself.
    pub recorded: bool,
    /// The sealed map.
    pub seal: &'a Seal,
    /// Last entries of the subjects.
    pub heads: &'a [Head],
    /// Entries in the bundle.
    pub entries: u64,
    /// Parts opened.
    pub opened: u64,
    /// Parts shown by field.
    pub fields: u64,
    /// Parts present and not opened.
    pub withheld: u64,
    /// Parts whose key was destroyed.
    pub erased: u64,
    /// Schemas of some entries are not in the bundle.
    pub schemas_missing: bool,
    /// What was known of withdrawals at each contact; for bundles about calls.
    pub known: &'a [Known],
    /// Texts that lie beside the entries which name their hash.
    pub notices: u64,
    /// Size of the checkpoint that the reader kept, if he named one.
    pub since: Option<u64>,
    /// Who vouches for the log's key.
    pub key: KeySource,
}

impl Facts<'_> {
    /// The sentences.
    pub fn statements(&self) -> Statements {
        Statements { proves: self.proves(), does_not_prove: self.does_not_prove() }
    }

    fn proves(&self) -> Vec<String> {
        let Facts { origin, size, entries, opened, fields, erased, notices, since, known, .. } = self;
        let Seal { position: sealed_at, size: sealed, .. } = self.seal;
        let mut said = vec![format!(
            "{entries} entries stand unchanged in the log {origin} at the positions shown, in the tree of {size} entries \
             that the log's key signed"
        )];
        for Head { subject, sequence, position, .. } in self.heads {
            said.push(format!(
                "all entries of person {subject} among the log's first {sealed} entries are here: 1 to {sequence}, the last \
                 at position {position}, as the subjects map sealed at position {sealed_at} counts them"
            ));
        }
        if *opened > 0 {
            said.push(format!(
                "{opened} parts were opened, and each plaintext is the only one that its entry commits to"
            ));
        }
        if *fields > 0 {
            said.push(format!("the single fields shown of {fields} parts were in what was sealed"));
        }
        if *erased > 0 {
            said.push(format!(
                "{erased} parts have no key any more: a later entry of the log says that it was destroyed"
            ));
        }
        said.extend(known.iter().take(CONTACTS_MAX).map(Known::sentence));
        if *notices > 0 {
            said.push(format!("{notices} texts under notices/ are those whose hash an entry shown names"));
        }
        if let Some(from) = since {
            said.push(format!(
                "the log has only grown since the checkpoint of {from} entries that the reader kept: nothing before it was \
                 changed or taken out"
            ));
        }
        said
    }

    fn does_not_prove(&self) -> Vec<String> {
        let sealed = self.seal.size;
        let mut said = vec![
            "that phone numbers, addresses and references were bound to the right person".to_owned(),
            "that what was recorded is true: captured forms, times and contents are as whoever posted them said".to_owned(),
            format!("that nothing was recorded about the person at position {sealed} or later"),
            "that the sealed subjects map is that of the whole log: `tallystick verify --data` on the ledger recomputes it"
                .to_owned(),
            "that everybody is shown the same log: compare the checkpoint with one kept elsewhere or with a witness's".to_owned(),
            "that the readable reports and tables say the same as the files under plaintext/".to_owned(),
        ];
        match self.key {
            KeySource::Outside => {}
            KeySource::Log => said.push(
                "whose log this is: the key was taken from the bundle itself; give the verifier key that you got elsewhere".to_owned(),
            ),
            KeySource::Unchecked => {
                said.push("whose log this is: that takes the log's verifier key, from elsewhere".to_owned());
            }
        }
        if !self.recorded {
            said.push(
                "that the map is the newest: the bundle was made from a copy that cannot record exports".to_owned(),
            );
        }
        if self.scratch {
            said.push("any time: a scratch ledger takes its clock from whoever calls it".to_owned());
        }
        if self.withheld + self.fields > 0 {
            let parts = self.withheld + self.fields;
            said.push(format!("what is in {parts} parts that this bundle does not open, or not in full"));
        }
        if self.schemas_missing {
            said.push("which rules some entries were checked by: their schemas are not in the bundle".to_owned());
        }
        said
    }
}
