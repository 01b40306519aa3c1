//! Rights requests and legal holds as they stand, folded from the log itself: whoever recorded something sees it at once.
//!
//! The fold keeps its place and reads only what is new, at the positions that `ingest/noted.rs` lists; nothing of it is stored, so
//! there is nothing that an erasure would have to reach. What it holds is pseudonymous: names and texts are opened when one request is
//! read.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::domain::hold::Hold;
use crate::domain::ids::SubjectId;
use crate::domain::parts::{PartKind, RetentionClass};
use crate::domain::privacy::{Answered, Identity, Request};
use crate::domain::time::{MICROS_PER_DAY, Timestamp};
use crate::ingest::Ledger;
use crate::ingest::noted::NotedFor;
use crate::ingest::read::Opened;
use crate::policy::rights::{Clock, Rights, Verify};

/// Entries read at a time.
const READ_ENTRIES: usize = 1_000;

/// Why the log cannot be folded.
#[derive(Debug, thiserror::Error)]
pub enum MattersError {
    /// The store failed.
    #[error("store")]
    Store(#[from] crate::store::StoreError),
    /// An entry cannot be read.
    #[error("read")]
    Read(#[from] crate::ingest::read::ReadError),
}

/// All requests and holds of a ledger.
#[derive(Debug, Default)]
pub struct Matters {
    /// Noted entries taken in.
    read: usize,
    requests: BTreeMap<[u8; 16], Request>,
    holds: BTreeMap<(SubjectId, String), Hold>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Data {
    right: String,
    regime: String,
    received_at: Option<Timestamp>,
    result: String,
    basis: String,
    partly: bool,
    until: Option<Timestamp>,
    export: Option<String>,
    erasure: Option<String>,
    retained: Vec<String>,
    recipient: String,
    hold: String,
    reason: String,
    classes: Vec<RetentionClass>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Refs {
    request: Option<String>,
}

#[derive(Deserialize)]
struct Part {
    data: Data,
    #[serde(default)]
    refs: Refs,
    #[serde(default)]
    occurred: Option<Timestamp>,
}

impl Matters {
    /// Takes in what the log gained.
    ///
    /// # Errors
    /// [`MattersError`] when it cannot be read.
    pub async fn catch_up(&mut self, ledger: &Ledger) -> Result<(), MattersError> {
        let positions = ledger.noted_from(NotedFor::Matters, self.read).await?;
        for piece in positions.chunks(READ_ENTRIES) {
            for opened in ledger.open_entries(piece, |_, part| part.kind == PartKind::Business).await? {
                self.take(&opened, opened.entry.position);
                self.read += 1;
            }
        }
        Ok(())
    }

    fn take(&mut self, opened: &Opened, position: u64) {
        let Some(subject) = opened.entry.subject.map(|link| link.subject) else { return };
        // Gone by retention: then the matter is over as well.
        let Some(bytes) = opened.plaintext(PartKind::Business) else { return };
        let Ok(Part { data, refs, occurred }) = serde_json::from_slice::<Part>(bytes) else { return };
        let at = occurred.unwrap_or(opened.entry.recorded);
        let id = refs.request.as_deref().and_then(id_of);
        match opened.entry.event_type.as_str() {
            "hold.placed" => {
                let Data { hold, reason, classes, until, .. } = data;
                let placed = Hold { hold: hold.clone(), reason, classes, until, placed: position, released: None };
                self.holds.insert((subject, hold), placed);
            }
            "hold.released" => {
                if let Some(hold) = self.holds.get_mut(&(subject, data.hold)) {
                    hold.released = Some(position);
                }
            }
            "privacy.request_received" => {
                let Some(id) = id else { return };
                let request = Request {
                    id,
                    subject,
                    right: data.right,
                    regime: data.regime,
                    position,
                    received: data.received_at.unwrap_or(at),
                    identity: None,
                    acknowledged: None,
                    extended: None,
                    told: Default::default(),
                    answered: None,
                };
                // A reference that comes again is the same request.
                self.requests.entry(id).or_insert(request);
            }
            event_type => {
                if let Some(request) = id.and_then(|id| self.requests.get_mut(&id)) {
                    act(request, event_type, data, at, position);
                }
            }
        }
    }

    /// All requests, the one due first first; answered ones behind, the last answered first.
    pub fn requests(&self) -> Vec<&Request> {
        let mut all: Vec<&Request> = self.requests.values().collect();
        all.sort_by_key(|request| match &request.answered {
            None => (false, due(request).unwrap_or(Timestamp::MAX).micros()),
            Some(answered) => (true, -answered.at.micros()),
        });
        all
    }

    /// One request.
    pub fn request(&self, id: &[u8; 16]) -> Option<&Request> {
        self.requests.get(id)
    }

    /// All holds, by person and name.
    pub fn holds(&self) -> impl Iterator<Item = (&SubjectId, &Hold)> {
        self.holds.iter().map(|((subject, _), hold)| (subject, hold))
    }

    /// Holds of one person.
    pub fn holds_of(&self, subject: &SubjectId) -> Vec<Hold> {
        let from = (*subject, String::new());
        let own = self.holds.range(from..).take_while(|((of, _), _)| of == subject);
        own.map(|(_, hold)| hold.clone()).collect()
    }
}

fn act(request: &mut Request, event_type: &str, data: Data, at: Timestamp, position: u64) {
    let answered = |denied, how| Answered {
        position,
        at,
        denied,
        how,
        export: data.export.clone(),
        erasure: data.erasure.clone(),
        retained: data.retained.clone(),
    };
    match event_type {
        "privacy.request_verified" => {
            request.identity = Some(match data.result.as_str() {
                "verified" => Identity::Verified,
                "not_required" => Identity::NotRequired,
                _ => Identity::Failed,
            });
        }
        "privacy.request_extended" => request.extended = data.until,
        "privacy.notice_sent" => request.acknowledged = request.acknowledged.or(Some(at)),
        "privacy.recipient_notified" => {
            request.told.insert(data.recipient);
        }
        "privacy.request_completed" => request.answered = Some(answered(false, data.result.clone())),
        // A denial in part leaves the rest to be answered.
        "privacy.request_denied" if !data.partly => request.answered = Some(answered(true, data.basis.clone())),
        _ => {}
    }
}

/// The id of a request as paths name it.
pub fn id_of(text: &str) -> Option<[u8; 16]> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}

/// The clock of a request; none where no law that this program knows gives one.
pub fn clock(request: &Request) -> Option<&'static Clock> {
    Rights::builtin().ok()?.clock(&request.regime, &request.right, request.received)
}

/// When the answer is due: the end of the extension where there is one.
pub fn due(request: &Request) -> Option<Timestamp> {
    request.extended.or_else(|| clock(request).map(|clock| clock.answer_by(request.received)))
}

/// Whether the person must be identified before the right is given. Unknown is a yes.
pub fn needs_identity(request: &Request) -> bool {
    clock(request).is_none_or(|clock| clock.verify != Verify::No)
}

/// Whole days from `now` to `end`, rounded down; negative when it is past.
fn days_left(now: Timestamp, end: Timestamp) -> i64 {
    end.micros_since(now).div_euclid(MICROS_PER_DAY)
}

/// What is to be done about a request, the next first.
fn tasks(request: &Request, recipients: &[String]) -> Vec<Value> {
    let mut tasks = Vec::new();
    let Some(clock) = clock(request) else {
        return vec![
            json!({ "task": "find_clock", "why": "no row of policies/rights.toml knows this right and regime" }),
        ];
    };
    if let (Some(by), None) = (clock.confirm_by(request.received), request.acknowledged) {
        tasks.push(json!({ "task": "confirm_receipt", "by": by, "source": clock.source }));
    }
    let known = matches!(request.identity, Some(Identity::Verified | Identity::NotRequired));
    if clock.verify != Verify::No && !known {
        tasks.push(json!({ "task": "verify_identity", "level": clock.verify.name(), "source": clock.source }));
    }
    tasks.push(json!({ "task": "answer", "by": due(request), "source": clock.source }));
    if matches!(request.right.as_str(), "delete" | "correct" | "restrict" | "opt_out_sale") {
        let open = recipients.iter().filter(|recipient| !request.told.contains(*recipient));
        tasks.extend(open.map(|recipient| json!({ "task": "tell_recipient", "recipient": recipient })));
    }
    tasks
}

/// A request as answers show it. `recipients` are those who were given the person's lead, where they were looked up.
pub fn request_view(request: &Request, now: Timestamp, recipients: &[String]) -> Value {
    let clock = clock(request);
    let due = due(request);
    let mut view = json!({
        "id": data_encoding::HEXLOWER.encode(&request.id),
        "subject": request.subject,
        "right": request.right,
        "regime": request.regime,
        "state": match &request.answered { None => "open", Some(answered) if answered.denied => "denied", Some(_) => "completed" },
        "position": request.position,
        "received": request.received,
        "due": due,
        "identity": request.identity,
        "acknowledged": request.acknowledged,
        "extended_until": request.extended,
        "recipients_told": request.told,
        "clock": clock.map(|clock| json!({
            "source": clock.source, "certainty": clock.certainty, "answer_by": clock.answer_by(request.received),
            "confirm_by": clock.confirm_by(request.received), "extend_to": clock.extend_to(request.received),
            "verify": clock.verify.name(),
        })),
    });
    if let Value::Object(view) = &mut view {
        match &request.answered {
            Some(answered) => {
                let late = due.is_some_and(|due| answered.at > due);
                view.insert("answered".to_owned(), json!(answered));
                view.insert("late".to_owned(), Value::Bool(late));
            }
            None => {
                view.insert("days_left".to_owned(), json!(due.map(|due| days_left(now, due))));
                view.insert("overdue".to_owned(), json!(due.map(|due| now > due)));
                view.insert("tasks".to_owned(), Value::Array(tasks(request, recipients)));
            }
        }
    }
    view
}
