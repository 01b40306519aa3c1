//! Re-recording what is still live before the keys of its entries end: consents in force and revocations before consent's
//! business key, bindings before a person's profile key, merges before profile's business key.
//!
//! Each copy names the original position and times, is read back, and is made once: an original that has a copy already is
//! left alone. A copy that comes of age is carried again under its first original.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::RetainError;
use crate::chain::decode::EntryRef;
use crate::domain::ids::{PrincipalId, SubjectId};
use crate::domain::parts::{PartKind, RetentionClass};
use crate::domain::time::{Quarter, Timestamp};
use crate::ingest::Ledger;
use crate::ingest::erasure::Standing;
use crate::ingest::read::{Opened, ReadError};

/// Entries read at a time.
const READ_ENTRIES: u64 = 4096;
/// Copies that one request to the lane carries.
const COPIES_AT_ONCE: usize = 200;

/// A copy to be made.
struct Copy {
    original: u64,
    event_type: &'static str,
    subject: SubjectId,
    data: Value,
}

/// Makes copies and remembers what has one.
pub(super) struct Carrier<'a> {
    ledger: &'a Arc<Ledger>,
    actor: PrincipalId,
    now: Option<Timestamp>,
    /// (original position, what of it) of every copy in the log.
    known: HashSet<(u64, String)>,
    /// Copies made.
    pub(super) made: u64,
}

/// Positions in `[first, end)` whose type is wanted, with their subjects.
async fn positions(
    ledger: &Ledger,
    (mut first, end): (u64, u64),
    wanted: fn(&str) -> bool,
) -> Result<Vec<(u64, Option<SubjectId>)>, RetainError> {
    let mut found = Vec::new();
    while first < end {
        let next = end.min(first + READ_ENTRIES);
        for (position, bytes) in ledger.store().entry_block(first, next).await?.iter() {
            let entry = EntryRef::decode(bytes).map_err(|source| ReadError::Entry { position, source })?;
            if wanted(entry.event_type) {
                found.push((position, entry.subject.map(|link| link.subject)));
            }
        }
        first = next;
    }
    Ok(found)
}

fn part(opened: &Opened, kind: PartKind) -> Option<Map<String, Value>> {
    serde_json::from_slice(opened.plaintext(kind)?).ok()
}

fn business_data(opened: &Opened) -> Option<Map<String, Value>> {
    match part(opened, PartKind::Business)?.remove("data")? {
        Value::Object(data) => Some(data),
        _ => None,
    }
}

/// What of an original a copy is of: the identifier of a binding, else nothing further.
fn piece(data: &Map<String, Value>) -> String {
    data.get("identifier").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Original position, type and times: of the entry, or of the one that it is a copy of.
fn origin(opened: &Opened, data: &Map<String, Value>) -> (u64, Value) {
    if let Some(carried) = data.get("carried") {
        let position = carried.get("position").and_then(Value::as_u64).unwrap_or(opened.entry.position);
        return (position, carried.clone());
    }
    let recorded = opened.entry.recorded.to_string();
    let occurred = part(opened, PartKind::Business).and_then(|part| part.get("occurred").cloned());
    let occurred = occurred.unwrap_or_else(|| Value::String(recorded.clone()));
    let carried = json!({
        "position": opened.entry.position, "type": opened.entry.event_type, "occurred": occurred, "recorded": recorded,
    });
    (opened.entry.position, carried)
}

impl<'a> Carrier<'a> {
    pub(super) async fn new(
        ledger: &'a Arc<Ledger>,
        actor: PrincipalId,
        now: Option<Timestamp>,
    ) -> Result<Carrier<'a>, RetainError> {
        let mut known = HashSet::new();
        let copies = positions(ledger, (0, ledger.size()), |kind| kind.ends_with(".carried")).await?;
        let fresh = Quarter::of(now.unwrap_or_else(|| ledger.now()));
        for (position, _) in copies {
            let opened = ledger.open_entry(position).await?;
            // A copy of an earlier quarter may itself come of age: only this quarter's are as good as new.
            if Quarter::of(opened.entry.recorded) != fresh {
                continue;
            }
            if let Some(data) = business_data(&opened) {
                known.insert((origin(&opened, &data).0, piece(&data)));
            }
        }
        Ok(Carrier { ledger, actor, now, known, made: 0 })
    }

    /// Carries what rests on the business key of a class and quarter.
    pub(super) async fn business(&mut self, class: RetentionClass, quarter: Quarter) -> Result<(), RetainError> {
        let wanted: fn(&str) -> bool = match class {
            RetentionClass::Consent => |kind| matches!(kind, "consent.granted" | "consent.carried" | "consent.revoked"),
            RetentionClass::Profile => |kind| matches!(kind, "subject.merged" | "subject.carried"),
            _ => return Ok(()),
        };
        let range = (
            self.ledger.position_recorded_from(quarter.start()).await?,
            self.ledger.position_recorded_from(quarter.end()).await?,
        );
        let mut copies = Vec::new();
        for (position, subject) in positions(self.ledger, range, wanted).await? {
            if let Some(subject) = subject
                && self.ledger.standing(&subject)? == Standing::Live
            {
                copies.extend(self.fact(position, subject).await?);
            }
        }
        self.make(copies).await
    }

    async fn fact(&self, position: u64, subject: SubjectId) -> Result<Option<Copy>, RetainError> {
        let opened = self.ledger.open_entry(position).await?;
        let Some(mut data) = business_data(&opened) else { return Ok(None) };
        let (original, carried) = origin(&opened, &data);
        let now = self.now.unwrap_or_else(|| self.ledger.now());
        let (event_type, data) = match opened.entry.event_type.as_str() {
            "consent.granted" | "consent.carried" => {
                let until = data.get("valid_until").and_then(Value::as_str).map(Timestamp::parse_rfc3339);
                if matches!(until, Some(Ok(until)) if until <= now) {
                    return Ok(None);
                }
                // What can still be read of the person's side goes along, sealed under their key of this quarter.
                if let Some(Value::Object(personal)) =
                    part(&opened, PartKind::Personal).and_then(|mut part| part.remove("data"))
                {
                    merge(&mut data, personal);
                }
                data.insert("carried".to_owned(), carried);
                ("consent.carried", Value::Object(data))
            }
            "consent.revoked" => {
                let mut revocation = json!({ "carried": carried, "kind": "revocation" });
                copy_members(&data, &mut revocation, &["seller", "category", "channels"]);
                ("subject.carried", revocation)
            }
            "subject.merged" => {
                let mut merged = json!({ "carried": carried, "kind": "merge" });
                copy_members(&data, &mut merged, &["other"]);
                ("subject.carried", merged)
            }
            // Bindings are carried with the person's own key.
            _ if data.get("kind").and_then(Value::as_str) == Some("binding") => return Ok(None),
            _ => ("subject.carried", Value::Object(data)),
        };
        Ok(Some(Copy { original, event_type, subject, data }))
    }

    /// Carries the bindings of a person that stand in entries of a quarter: what is kept of them must stay findable.
    pub(super) async fn bindings(&mut self, subject: SubjectId, quarter: Quarter) -> Result<(), RetainError> {
        let mut copies = Vec::new();
        let mut next = self.ledger.subject_head(&subject)?.map(|head| head.position);
        while let Some(position) = next {
            let bytes = self.ledger.store().entry_at(position).await?.ok_or(ReadError::Absent(position))?;
            let entry = EntryRef::decode(&bytes).map_err(|source| ReadError::Entry { position, source })?;
            let binds = matches!(entry.event_type, "identifier.bound" | "subject.carried");
            if binds && Quarter::of(entry.recorded) == quarter {
                let opened = self.ledger.open_entry(position).await?;
                copies.extend(bound(&opened, subject));
            }
            next = entry.subject.filter(|link| link.subject == subject).and_then(|link| link.previous);
        }
        self.make(copies).await
    }

    async fn make(&mut self, mut copies: Vec<Copy>) -> Result<(), RetainError> {
        copies.retain(|copy| {
            let piece = copy.data.as_object().map(piece).unwrap_or_default();
            self.known.insert((copy.original, piece))
        });
        for some in copies.chunks(COPIES_AT_ONCE) {
            let events = some.iter().map(|copy| (copy.event_type, Some(copy.subject), copy.data.clone())).collect();
            let receipts = self.ledger.record_own_all(events, self.actor, self.now).await?;
            for (copy, receipt) in some.iter().zip(receipts) {
                let opened = self.ledger.open_entry(receipt.position).await?;
                let back = business_data(&opened).map(|data| origin(&opened, &data).0);
                if back != Some(copy.original) {
                    return Err(RetainError::NotCarried(copy.original));
                }
                self.made += 1;
            }
        }
        Ok(())
    }
}

/// Adds members of `from` that `into` lacks, object by object.
fn merge(into: &mut Map<String, Value>, from: Map<String, Value>) {
    for (name, value) in from {
        match (into.get_mut(&name), value) {
            (Some(Value::Object(inner)), Value::Object(more)) => merge(inner, more),
            (Some(_), _) => {}
            (None, value) => {
                into.insert(name, value);
            }
        }
    }
}

fn copy_members(from: &Map<String, Value>, into: &mut Value, names: &[&str]) {
    for name in names {
        if let (Some(value), Value::Object(into)) = (from.get(*name), &mut *into) {
            into.insert((*name).to_owned(), value.clone());
        }
    }
}

/// A copy of each identifier that an entry binds and that can still be read.
fn bound(opened: &Opened, subject: SubjectId) -> Vec<Copy> {
    let Some(Value::Object(personal)) = part(opened, PartKind::Personal).and_then(|mut part| part.remove("data"))
    else {
        return Vec::new();
    };
    let business = business_data(opened).unwrap_or_default();
    let (original, carried) = origin(opened, &business);
    let copy = |identifier: &Value, kind: &Value, value: &Value| Copy {
        original,
        event_type: "subject.carried",
        subject,
        data: json!({
            "carried": carried, "kind": "binding", "identifier": identifier, "identifier_kind": kind, "value": value,
        }),
    };
    if opened.entry.event_type == "subject.carried" {
        let members = business.get("identifier").zip(business.get("identifier_kind")).zip(personal.get("value"));
        return members.map(|((identifier, kind), value)| copy(identifier, kind, value)).into_iter().collect();
    }
    let values = personal.get("values").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let each =
        values.iter().filter_map(|found| Some(copy(found.get("identifier")?, found.get("kind")?, found.get("value")?)));
    each.collect()
}
