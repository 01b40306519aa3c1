//! What an erasure would do: computed the same way for a dry run and for the real one.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::EraseError;
use super::journal::{DoomedKey, Kept};
use super::person::Person;
use crate::domain::hold::{Hold, is_held};
use crate::domain::ids::SubjectId;
use crate::domain::parts::RetentionClass;
use crate::domain::time::{Quarter, Timestamp};
use crate::ingest::Ledger;
use crate::policy::retention::Retention;
use crate::policy::rights::Rights;

/// What becomes of the parts of one class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClassFate {
    /// The class.
    pub class: RetentionClass,
    /// Parts whose keys are destroyed.
    pub destroyed: u64,
    /// Parts that stay.
    pub kept: u64,
}

/// What an erasure of one person does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The person's pseudonyms.
    pub subjects: Vec<SubjectId>,
    /// A hold keeps it from beginning.
    pub waits: bool,
    /// Parts by class.
    pub classes: Vec<ClassFate>,
    /// Keys that are destroyed.
    pub keys: Vec<DoomedKey>,
    /// What stays, why and how long.
    pub kept: Vec<Kept>,
    /// Holds in force.
    pub holds: Vec<Hold>,
    /// Phones and e-mails that stay suppressed by a token.
    pub suppressed: u64,
}

/// Plans the erasure of a person at `now`.
///
/// # Errors
/// What the vault or the rules answer.
pub async fn plan(ledger: &Ledger, person: &Person, now: Timestamp) -> Result<Plan, EraseError> {
    let (rights, retention) = (Rights::builtin()?, Retention::builtin()?);
    let mut parts: BTreeMap<(SubjectId, RetentionClass, u16), u64> = BTreeMap::new();
    for part in &person.parts {
        if let Some(class) = RetentionClass::from_code(part.slot.class) {
            *parts.entry((SubjectId::from_bytes(part.slot.owner), class, part.slot.quarter)).or_default() += 1;
        }
    }
    let mut fates: BTreeMap<RetentionClass, ClassFate> = BTreeMap::new();
    let mut kept: BTreeMap<RetentionClass, Kept> = BTreeMap::new();
    let mut keys = Vec::new();
    for subject in &person.subjects {
        for (slot, row) in ledger.store().deks_of(subject.as_bytes()).await? {
            let Some(class) = RetentionClass::from_code(slot.class) else { continue };
            let count = parts.get(&(*subject, class, slot.quarter)).copied().unwrap_or(0);
            let fate = fates.entry(class).or_insert(ClassFate { class, destroyed: 0, kept: 0 });
            let quarter = Quarter::from_ordinal(slot.quarter);
            let end = quarter.and_then(|quarter| retention.end(class, quarter));
            let over = end.is_some_and(|end| now >= end);
            let held = is_held(&person.holds, class, now);
            let rule = rights.keep(class, now).filter(|_| !over);
            // A key that sealed nothing keeps nothing.
            let ground = match (held, rule) {
                _ if count == 0 => None,
                (true, _) => Some(("hold", "a legal hold is in force")),
                (false, Some(rule)) => Some((rule.ground.as_str(), rule.source.as_str())),
                (false, None) => None,
            };
            let Some((ground, source)) = ground else {
                fate.destroyed += count;
                keys.push(DoomedKey { owner: *subject, key: row.key, class, quarter: slot.quarter });
                continue;
            };
            fate.kept += count;
            let stays = kept.entry(class).or_insert_with(|| Kept {
                class,
                ground: ground.to_owned(),
                parts: 0,
                until: end.filter(|_| !held),
                source: source.to_owned(),
            });
            stays.parts += count;
            stays.until = if held { None } else { stays.until.max(end) };
        }
    }
    let tokens = person.identifiers.iter().filter(|found| ledger.suppression_token(found).is_some()).count() as u64;
    Ok(Plan {
        subjects: person.subjects.clone(),
        waits: person.waits(now),
        classes: fates.into_values().filter(|fate| fate.destroyed + fate.kept > 0).collect(),
        keys,
        kept: kept.into_values().collect(),
        holds: person.holds.iter().filter(|hold| hold.in_force(now)).cloned().collect(),
        suppressed: if rights.suppress() { tokens } else { 0 },
    })
}

impl Plan {
    /// Classes kept by a hold, and by a rule.
    pub fn kept_classes(&self) -> (BTreeSet<RetentionClass>, BTreeSet<RetentionClass>) {
        let (held, lawful): (Vec<&Kept>, Vec<&Kept>) = self.kept.iter().partition(|kept| kept.ground == "hold");
        let classes = |kept: Vec<&Kept>| kept.into_iter().map(|kept| kept.class).collect();
        (classes(held), classes(lawful))
    }
}
