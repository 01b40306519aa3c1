//! A person's history: the linked list of their entries, found in the index at once and borne out by the links in the log, folded
//! to what a decision needs of it.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::fold::{Event, bears};
use super::gate::DecideError;
use super::score::ASSIGNED;
use crate::chain::decode::EntryRef;
use crate::chain::entry::Part;
use crate::domain::email::Email;
use crate::domain::identifier::IdentifierKind;
use crate::domain::ids::SubjectId;
use crate::domain::parts::PartKind;
use crate::domain::phone::Phone;
use crate::domain::time::Timestamp;
use crate::ingest::Ledger;
use crate::ingest::read::Opened;
use crate::policy::contact::{LineType, What};
use crate::store::index::SubjectHead;

/// Longest history that is walked.
const WALK_MAX: u64 = 50_000;
/// Entries of it that are read at once.
const READ_AT_ONCE: usize = 1_000;

/// An act with the number and address it names, as blind indexes.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub position: u64,
    pub at: Timestamp,
    pub recorded: Timestamp,
    pub phone: Option<[u8; 16]>,
    pub email: Option<[u8; 16]>,
    /// Most people's acts are the same few, so they may be shared.
    pub what: Arc<What>,
    /// List version and date, of a list check.
    pub version: Option<Box<(String, Option<String>)>>,
}

/// The last score that anybody acts on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scored {
    pub position: u64,
    pub score: Option<i64>,
    pub band: Option<String>,
}

/// An address, as far as it helps to find zone and state.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    pub zip: Option<String>,
    pub state: Option<String>,
    pub line_type: Option<LineType>,
}

/// What the log says of one person.
#[derive(Debug, Clone)]
pub(super) struct History {
    pub head: SubjectHead,
    pub seen: Vec<Seen>,
    /// Positions that later entries corrected or annulled, and when that was recorded.
    pub void: Vec<(u64, Timestamp)>,
    /// Subjects whose history belongs to this one's.
    pub linked: Vec<SubjectId>,
    /// Subjects that are read together with this one.
    pub merged: Vec<SubjectId>,
    pub known: Known,
    pub scored: Option<Scored>,
    /// Every part of every entry that bears on contact could be read.
    pub whole: bool,
}

/// Which parts of an entry say something of a person's history.
pub(super) fn tells(entry: &EntryRef<'_>, part: &Part) -> bool {
    match entry.event_type {
        ASSIGNED => part.kind == PartKind::Business,
        other => part.kind != PartKind::Raw && bears(other),
    }
}

/// Entries of a subject with a sequence above `read_to`, oldest first.
pub(super) async fn read(
    ledger: &Ledger,
    subject: SubjectId,
    head: SubjectHead,
    read_to: Option<SubjectHead>,
) -> Result<Vec<Opened>, DecideError> {
    let after = read_to.map_or(0, |head| head.sequence);
    if head.sequence - after > WALK_MAX {
        return Err(DecideError::HistoryTooLong);
    }
    let mut listed = ledger.subject_entries(&subject, after)?;
    listed.retain(|entry| entry.sequence <= head.sequence);
    let whole = listed.last() == Some(&head) && listed.len() as u64 == head.sequence - after;
    let mut news = Vec::with_capacity(listed.len());
    if whole {
        for piece in listed.chunks(READ_AT_ONCE) {
            let positions: Vec<u64> = piece.iter().map(|entry| entry.position).collect();
            news.extend(ledger.open_entries(&positions, tells).await?);
        }
        if is_chain(&news, subject, read_to) {
            return Ok(news);
        }
    }
    // The list is derived; the chain in the log decides.
    tracing::warn!(position = head.position, "index.history does not fit the log, reading entry by entry");
    walk(ledger, subject, head, after).await
}

/// Each entry is the subject's next after the one before it, and says so.
fn is_chain(entries: &[Opened], subject: SubjectId, before: Option<SubjectHead>) -> bool {
    let mut before = before;
    entries.iter().all(|opened| {
        let next = before.map_or(1, |head| head.sequence + 1);
        let fits = opened.entry.subject.is_some_and(|link| {
            link.subject == subject && link.sequence == next && link.previous == before.map(|head| head.position)
        });
        before = Some(SubjectHead { sequence: next, position: opened.entry.position });
        fits
    })
}

/// The same entry by entry, from the newest back along the chain.
async fn walk(ledger: &Ledger, subject: SubjectId, head: SubjectHead, after: u64) -> Result<Vec<Opened>, DecideError> {
    let (mut position, mut sequence) = (head.position, head.sequence);
    let mut news = Vec::new();
    while sequence > after {
        let opened = ledger.open_entry(position).await?;
        let link = opened.entry.subject.filter(|link| link.subject == subject && link.sequence == sequence);
        let link = link.ok_or(DecideError::Log(position))?;
        news.push(opened);
        sequence -= 1;
        match link.previous {
            Some(previous) => position = previous,
            None if sequence == 0 => break,
            None => return Err(DecideError::Log(position)),
        }
    }
    news.reverse();
    Ok(news)
}

fn json(opened: &Opened, kind: PartKind) -> Value {
    opened.plaintext(kind).and_then(|bytes| serde_json::from_slice(bytes).ok()).unwrap_or(Value::Null)
}

impl History {
    /// The history of somebody of whom nothing was read yet: before sequence 1.
    pub fn begun() -> History {
        History {
            head: SubjectHead { sequence: 0, position: 0 },
            seen: Vec::new(),
            void: Vec::new(),
            linked: Vec::new(),
            merged: Vec::new(),
            known: Known::default(),
            scored: None,
            whole: true,
        }
    }

    /// Bytes that it takes in memory, near enough.
    pub fn bytes(&self) -> usize {
        let list = |length: usize, each: usize| length.next_power_of_two() * each;
        size_of::<History>()
            + list(self.seen.len(), size_of::<Seen>())
            + list(self.void.len(), size_of::<(u64, Timestamp)>())
            + list(self.linked.len() + self.merged.len(), size_of::<SubjectId>())
    }

    /// Takes in the subject's next entry.
    pub fn add(&mut self, ledger: &Ledger, opened: &Opened) {
        let entry = &opened.entry;
        self.void.extend(entry.corrects.map(|position| (position, entry.recorded)));
        if entry.event_type == ASSIGNED {
            self.scored = scored(opened).or(self.scored.take());
        }
        if !bears(&entry.event_type) {
            return;
        }
        // Raw parts go first, and say nothing that the others do not.
        self.whole &= opened.parts.iter().all(|part| part.part.kind == PartKind::Raw || part.plaintext.is_some());
        let mut business = json(opened, PartKind::Business);
        if business.is_null() {
            business = json(opened, PartKind::Public);
        }
        let personals: Vec<Value> = opened
            .parts
            .iter()
            .filter(|part| part.part.kind == PartKind::Personal)
            .filter_map(|part| serde_json::from_slice(part.plaintext.as_deref()?).ok())
            .collect();
        let personal = |name: &str| personals.iter().find_map(|part| part.get("data")?.get(name));
        let text = |name: &str| personal(name).and_then(Value::as_str);
        let none = Value::Null;
        let data = business.get("data").unwrap_or(&none);
        if entry.event_type == "event.annulled" {
            let target = data.get("position").and_then(Value::as_u64);
            self.void.extend(target.map(|position| (position, entry.recorded)));
        }
        let topic = text("topic").map(|topic| topic_hash(ledger, topic));
        let event = Event {
            event_type: &entry.event_type,
            recorded: entry.recorded,
            data,
            derived: business.get("derived").unwrap_or(&none),
            topic,
        };
        if let Some((other, together)) = event.merged()
            && let Ok(other) = other.parse::<SubjectId>()
        {
            self.merged.retain(|known| *known != other);
            self.merged.extend(Some(other).filter(|_| together));
        }
        for subject in event.linked().iter().filter_map(|subject| subject.parse::<SubjectId>().ok()) {
            if !self.linked.contains(&subject) {
                self.linked.push(subject);
            }
        }
        if entry.event_type.starts_with("lead.") {
            let address = personal("address");
            let zip = address.and_then(|address| address.get("postal_code")).and_then(Value::as_str).map(str::to_owned);
            self.known.zip = zip.or(self.known.zip.take());
            let state = data.get("state").and_then(Value::as_str).map(str::to_owned);
            self.known.state = state.or(self.known.state.take());
        }
        if matches!(entry.event_type.as_str(), "subject.erased" | "subject.erasure_started") {
            self.known = Known::default();
        }
        self.known.line_type = event.line_type().or(self.known.line_type);
        let occurred = business.get("occurred").and_then(Value::as_str);
        let at = event.at(occurred.and_then(|text| Timestamp::parse_rfc3339(text).ok()));
        let blind = |kind, value: Option<String>| value.map(|value| ledger.secrets.blind.blind_index(kind, &value));
        let phone = text("phone").and_then(|phone| Phone::parse(phone, Phone::DEFAULT_COUNTRY).ok());
        let email = text("email").and_then(|email| Email::parse(email).ok());
        let phone = blind(IdentifierKind::Phone, phone.map(Phone::into_string));
        let email = blind(IdentifierKind::Email, email.map(Email::into_string));
        let version = data
            .get("list_version")
            .and_then(Value::as_str)
            .map(|version| (version.to_owned(), data.get("list_date").and_then(Value::as_str).map(str::to_owned)))
            .map(Box::new);
        for what in event.acts() {
            let version = version.clone();
            self.seen.push(Seen {
                position: entry.position,
                at,
                recorded: entry.recorded,
                phone,
                email,
                what: Arc::new(what),
                version,
            });
        }
    }
}

/// What a score says, unless it is a challenger's, on which nobody acts.
fn scored(opened: &Opened) -> Option<Scored> {
    let part: Map<String, Value> = serde_json::from_slice(opened.plaintext(PartKind::Business)?).ok()?;
    let data = part.get("data")?;
    let band = data.get("band").and_then(Value::as_str).map(str::to_owned);
    let said = Scored { position: opened.entry.position, score: data.get("score").and_then(Value::as_i64), band };
    (data.get("champion") != Some(&Value::Bool(false))).then_some(said)
}

/// What a contact is about, as facts carry it: a keyed hash of its own kind, the same whoever says it.
pub(super) fn topic_hash(ledger: &Ledger, topic: &str) -> String {
    data_encoding::HEXLOWER.encode(&ledger.secrets.refs.record_ref("topic", "/tallystick", topic))
}
