//! Items in quarantine and erasures: those that name the person go with them, those that came behind the fence wait and
//! are resolved afresh.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use super::EraseError;
use super::journal::{DoomedKey, Item};
use crate::chain::decode::EntryRef;
use crate::domain::email::Email;
use crate::domain::identifier::{Identifier, IdentifierKind};
use crate::domain::ids::{PrincipalId, SubjectId};
use crate::domain::parts::{PartKind, RetentionClass};
use crate::domain::phone::Phone;
use crate::domain::time::{Quarter, Timestamp};
use crate::ingest::{Ledger, Outcome};

/// Entries read at a time.
const READ_ENTRIES: u64 = 4096;
/// An item lives 90 days from the end of its quarter: older ones have no bytes.
const LIFE_DAYS: i64 = 190;
/// Longest text that can be an identifier.
const TEXT_MAX: usize = 512;

/// An item whose bytes can still be opened.
pub(super) struct Found {
    pub(super) position: u64,
    /// Why it is here.
    pub(super) code: String,
    /// Whom it names, of everybody that the ledger knows.
    pub(super) names: BTreeSet<SubjectId>,
    pub(super) item: Item,
}

#[derive(Deserialize)]
struct Part {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    #[serde(default)]
    code: String,
}

/// Items of `[from, end)` that can be opened; `from` may be none for as far back as an item can live.
pub(super) async fn open_items(
    ledger: &Ledger,
    from: Option<u64>,
    end: u64,
    now: Timestamp,
) -> Result<Vec<Found>, EraseError> {
    let oldest = now.checked_add_days(-LIFE_DAYS).unwrap_or(Timestamp::MIN);
    let mut first = match from {
        Some(first) => first,
        None => ledger.position_recorded_from(oldest).await?,
    };
    let store = ledger.store();
    let mut found = Vec::new();
    while first < end {
        let next = end.min(first + READ_ENTRIES);
        let block = store.entry_block(first, next).await?;
        let received = block
            .iter()
            .filter(|(_, bytes)| EntryRef::decode(bytes).is_ok_and(|entry| entry.event_type == "quarantine.received"));
        let positions: Vec<u64> = received.map(|(position, _)| position).collect();
        for position in positions {
            found.extend(open_item(ledger, position).await?);
        }
        first = next;
    }
    Ok(found)
}

async fn open_item(ledger: &Ledger, position: u64) -> Result<Option<Found>, EraseError> {
    let opened = ledger.open_entry(position).await?;
    let part = (0u8..).zip(&opened.parts).find(|(_, part)| part.part.kind == PartKind::Raw);
    let Some((number, part)) = part else { return Ok(None) };
    let (Some(raw), Some(key)) = (&part.plaintext, part.part.key) else { return Ok(None) };
    let key = DoomedKey {
        owner: SubjectId::from_bytes(*opened.entry.event.as_bytes()),
        key,
        class: RetentionClass::Quarantine,
        quarter: Quarter::of(opened.entry.recorded).ordinal(),
    };
    let public = opened.plaintext(PartKind::Public).and_then(|bytes| serde_json::from_slice::<Part>(bytes).ok());
    let code = public.map(|part| part.data.code).unwrap_or_default();
    let names = names(ledger, raw)?;
    Ok(Some(Found { position, code, names, item: Item { position, part: number, key } }))
}

/// Whom bytes name: every text in them that is the phone, e-mail, reference or pseudonym of somebody known.
fn names(ledger: &Ledger, raw: &[u8]) -> Result<BTreeSet<SubjectId>, EraseError> {
    let text = String::from_utf8_lossy(raw);
    let mut texts: Vec<String> = Vec::new();
    let mut source = None;
    match serde_json::from_str::<Value>(&text) {
        Ok(value) => {
            source = value.get("source").and_then(Value::as_str).map(str::to_owned);
            collect(&value, &mut texts);
        }
        // Not JSON, or not any more: every word of it.
        Err(_) => {
            let between = |c: char| c.is_whitespace() || "\"',;:<>{}[]()=&".contains(c);
            texts.extend(text.split(between).map(str::to_owned));
        }
    }
    let mut found = BTreeSet::new();
    for text in texts.iter().map(|text| text.trim()).filter(|text| !text.is_empty() && text.len() <= TEXT_MAX) {
        let phone = Phone::parse(text, Phone::DEFAULT_COUNTRY).ok();
        let phone = phone.map(|phone| Identifier { kind: IdentifierKind::Phone, value: phone.into_string() });
        let email = Email::parse(text).ok();
        let email = email.map(|email| Identifier { kind: IdentifierKind::Email, value: email.into_string() });
        let reference = source.as_deref().and_then(|source| Identifier::reference(source, text).ok());
        for identifier in [phone, email, reference].into_iter().flatten() {
            found.extend(ledger.subject_of(&identifier)?);
        }
        if let Ok(subject) = text.parse::<SubjectId>()
            && ledger.subject_head(&subject)?.is_some()
        {
            found.insert(subject);
        }
    }
    Ok(found)
}

fn collect(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Number(number) => texts.push(number.to_string()),
        Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
        Value::Object(members) => members.values().for_each(|member| collect(member, texts)),
        Value::Null | Value::Bool(_) => {}
    }
}

/// Offers the items that came behind fences again, from `first` on. What is still behind another fence stays.
pub(super) async fn replay_fenced(
    ledger: &Ledger,
    first: u64,
    actor: PrincipalId,
    now: Timestamp,
) -> Result<u64, EraseError> {
    let mut replayed = 0;
    for found in open_items(ledger, Some(first), ledger.size(), now).await? {
        if found.code != "subject_being_erased" {
            continue;
        }
        if let Outcome::Recorded(_) = ledger.item_replay(found.position, None, actor).await? {
            replayed += 1;
        }
    }
    Ok(replayed)
}
