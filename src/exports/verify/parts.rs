//! The parts of a bundle's entries: each one is public, opened, shown by field, withheld or excused, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use super::bundle::Bundle;
use super::entries::Item;
use crate::chain::entry::Part;
use crate::crypto::derive::PartSecret;
use crate::crypto::hash::sha256;
use crate::domain::ids::KeyId;
use crate::domain::parts::PartKind;
use crate::exports::covers::{Cover, cover_of, is_cover_type};
use crate::exports::manifest::{PartRecord, PartState, part_name, plaintext_name, schema_name};
use crate::exports::notices::TextsNamed;
use crate::exports::parts::{check_digest, open_part};
use crate::exports::report::Findings;

/// What was found about the parts.
#[derive(Default)]
pub(super) struct PartsFound<'a> {
    pub(super) opened: u64,
    pub(super) fields: u64,
    pub(super) withheld: u64,
    pub(super) erased: u64,
    pub(super) schemas_missing: bool,
    /// Texts that the parts shown name by their hash.
    pub(super) named: TextsNamed,
    /// Plaintexts of opened business parts, by position.
    pub(super) business: BTreeMap<u64, &'a [u8]>,
}

/// Checks every part of every entry.
pub(super) fn check<'a>(bundle: &Bundle<'a>, items: &[Item<'_>], findings: &mut Findings) -> PartsFound<'a> {
    let mut found = PartsFound::default();
    let covers = covers(bundle, items, findings);
    let destroyed: BTreeSet<KeyId> = covers.values().flat_map(|cover| cover.keys.iter().copied()).collect();
    check_records(bundle, items, findings);
    for item in items {
        for (number, part) in (0..).zip(item.entry.parts()) {
            let Some(record) = bundle.record(item.position, number) else {
                findings.at(item.position, format_args!("part {number}: the disclosures do not say how it stands"));
                continue;
            };
            let place = Place { bundle, item, number, part, record };
            if let Err(what) = place.check(&covers, &destroyed, &mut found) {
                findings.at(item.position, format_args!("part {number}: {what}"));
            }
        }
        match bundle.file(&schema_name(&item.entry.schema)) {
            None => found.schemas_missing = true,
            Some(schema) if sha256(schema) != item.entry.schema => {
                findings.at(item.position, "the schema is not the one that the entry names");
            }
            Some(_) => {}
        }
    }
    found
}

/// Keys that entries of the bundle say were destroyed, by the position that says so.
fn covers(bundle: &Bundle<'_>, items: &[Item<'_>], findings: &mut Findings) -> BTreeMap<u64, Cover> {
    let mut covers = BTreeMap::new();
    for item in items.iter().filter(|item| is_cover_type(item.entry.event_type)) {
        match cover_of(item.entry.event_type, item.public(bundle).unwrap_or_default()) {
            Ok(cover) => {
                covers.insert(item.position, cover);
            }
            Err(error) => findings.at(item.position, error),
        }
    }
    covers
}

/// Records stand in order, each once, each for a part that exists, each with what its state needs and no more.
fn check_records(bundle: &Bundle<'_>, items: &[Item<'_>], findings: &mut Findings) {
    let records = &bundle.disclosures.parts;
    let place = |record: &PartRecord| (record.position, record.part);
    if !records.is_sorted_by(|before, after| place(before) < place(after)) {
        findings.whole("the disclosures are not in order");
    }
    for record in records {
        let item = items.binary_search_by_key(&record.position, |item| item.position).ok().and_then(|at| items.get(at));
        if item.is_none_or(|item| item.entry.parts().len() <= usize::from(record.part)) {
            findings.at(record.position, format_args!("part {}: disclosed, but there is no such part", record.part));
        }
        let given = (record.secret.is_some(), record.fields.is_some(), record.covered_by.is_some());
        let needed = match record.state {
            PartState::Opened => (true, false, false),
            PartState::Fields => (false, true, false),
            PartState::Erased => (false, false, true),
            PartState::Public | PartState::Withheld => (false, false, false),
        };
        if given != needed {
            findings.at(record.position, format_args!("part {}: not disclosed as its state asks for", record.part));
        }
    }
}

struct Place<'b, 'a> {
    bundle: &'b Bundle<'a>,
    item: &'b Item<'b>,
    number: u8,
    part: Part,
    record: &'b PartRecord,
}

impl<'a> Place<'_, 'a> {
    fn check(
        &self,
        covers: &BTreeMap<u64, Cover>,
        destroyed: &BTreeSet<KeyId>,
        found: &mut PartsFound<'a>,
    ) -> Result<(), String> {
        let is_public = self.part.kind == PartKind::Public;
        if is_public != (self.record.state == PartState::Public) {
            return Err("sealed where it cannot be, or unsealed where it must not be".to_owned());
        }
        let stored = self.bundle.file(&part_name(self.item.position, self.number, !is_public));
        if let Some(stored) = stored {
            check_digest(&self.part, stored).map_err(|error| error.to_string())?;
        }
        let missing = || "the stored bytes are missing".to_owned();
        match self.record.state {
            PartState::Public => {
                found.named.take_json(stored.ok_or_else(missing)?);
                Ok(())
            }
            PartState::Withheld => {
                found.withheld += 1;
                stored.map(|_| ()).ok_or_else(missing)
            }
            PartState::Erased => {
                found.erased += 1;
                self.check_excuse(covers)
            }
            PartState::Fields => {
                found.fields += 1;
                stored.ok_or_else(missing).and_then(|_| self.check_fields())?;
                found.named.take_fields(self.record.fields.as_deref().unwrap_or_default());
                Ok(())
            }
            PartState::Opened => {
                if self.part.key.is_some_and(|key| destroyed.contains(&key)) {
                    return Err("opened, though an entry says that its key was destroyed".to_owned());
                }
                let plaintext = self.open(stored.ok_or_else(missing)?)?;
                found.opened += 1;
                if self.part.kind != PartKind::Raw {
                    found.named.take_json(plaintext);
                }
                if self.part.kind == PartKind::Business {
                    found.business.insert(self.item.position, plaintext);
                }
                Ok(())
            }
        }
    }

    fn open(&self, sealed: &[u8]) -> Result<&'a [u8], String> {
        let secret = self.record.secret.ok_or_else(|| "the secret is missing".to_owned())?;
        let secret = PartSecret::from_disclosed(*secret.as_bytes());
        let opened =
            open_part(&self.item.entry, self.number, &self.part, &secret, sealed).map_err(|error| error.to_string())?;
        let name = plaintext_name(self.item.position, self.number, self.part.kind != PartKind::Raw);
        match self.bundle.file(&name) {
            None => Err("the plaintext is missing".to_owned()),
            Some(plaintext) if plaintext != opened.as_slice() => {
                Err("the plaintext shown is not what was sealed".to_owned())
            }
            Some(plaintext) => Ok(plaintext),
        }
    }

    fn check_fields(&self) -> Result<(), String> {
        let fields = self.record.fields.as_deref().unwrap_or_default();
        let root = self.part.fields_root.ok_or_else(|| "has no tree of fields".to_owned())?;
        if fields.is_empty() || !fields.is_sorted_by(|before, after| before.path < after.path) {
            return Err("fields are not in order".to_owned());
        }
        let size = fields.first().map_or(0, |field| field.size);
        let holds = fields.iter().all(|field| field.size == size && field.verify(&root));
        if holds { Ok(()) } else { Err("a field shown is not one that was sealed".to_owned()) }
    }

    /// A later entry has to name the part's own key.
    fn check_excuse(&self, covers: &BTreeMap<u64, Cover>) -> Result<(), String> {
        let excuse = self.record.covered_by.filter(|by| *by > self.item.position).and_then(|by| covers.get(&by));
        let excused = excuse.zip(self.part.key).is_some_and(|(cover, key)| cover.excuses(&key, self.part.class));
        if excused { Ok(()) } else { Err("missing, and no later entry says that its key was destroyed".to_owned()) }
    }
}
