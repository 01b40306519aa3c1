//! Computing a recorded decision again, from its own entry: the same rules on the same reduced inputs must give the same
//! answer, years later and after an erasure. And what today's rules would say.

use serde_json::{Map, Value};

use super::gate::DecideError;
use super::inputs::facts_of;
use super::packs::pack_of;
use super::record::answer_data;
use crate::domain::email::Email;
use crate::domain::identifier::{Identifier, IdentifierKind};
use crate::domain::ids::SubjectId;
use crate::domain::parts::PartKind;
use crate::domain::phone::Phone;
use crate::domain::time::Timestamp;
use crate::ingest::Ledger;
use crate::ingest::read::{Opened, ReadError};
use crate::ingest::subjects::SubjectsSealError;
use crate::policy::contact::{Act, Answer, Channel, Pack, builtin, evaluate};

/// Why a decision cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// There is no such decision.
    #[error("there is no such decision")]
    Absent,
    /// Its business part is gone: its retention is over.
    #[error("what the decision was made from is gone")]
    Gone,
    /// Neither this build nor the ledger has the pack that it cites.
    #[error("the pack that the decision cites is not here")]
    PackUnknown,
    /// What it was made from cannot be gathered again.
    #[error("gather")]
    Gather(#[from] Box<DecideError>),
    /// The log cannot be read.
    #[error("read")]
    Read(#[from] ReadError),
    /// The index cannot be read.
    #[error("index")]
    Index(#[from] SubjectsSealError),
}

/// A decision as it was recorded.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its position.
    pub position: u64,
    /// When it was recorded.
    pub recorded: Timestamp,
    /// The person.
    pub subject: Option<String>,
    /// The business data of its entry.
    pub data: Map<String, Value>,
    /// Number and address asked about, where the personal part still opens.
    named: Option<(Option<Phone>, Option<Email>)>,
}

/// What a decision was about, to gather its inputs again.
pub(super) struct About {
    pub heads: Vec<(SubjectId, u64)>,
    pub phone: Option<Phone>,
    pub email: Option<Email>,
    pub channel: Channel,
    pub states: Vec<String>,
    pub now: Timestamp,
    pub known_at: Timestamp,
}

impl About {
    pub fn identifiers(&self) -> Vec<Identifier> {
        let phone = self.phone.iter().map(|phone| (IdentifierKind::Phone, phone.as_str().to_owned()));
        let email = self.email.iter().map(|email| (IdentifierKind::Email, email.as_str().to_owned()));
        phone.chain(email).map(|(kind, value)| Identifier { kind, value }).collect()
    }
}

impl From<DecideError> for ReplayError {
    fn from(error: DecideError) -> ReplayError {
        ReplayError::Gather(Box::new(error))
    }
}

/// A decision computed again.
#[derive(Debug, Clone)]
pub struct Replay {
    /// The decision.
    pub stored: Stored,
    /// What it was computed from: `raw`, the log itself up to the heads that it cites; `reduced`, the inputs in its own entry,
    /// where parts of what it was made from are gone.
    pub from: &'static str,
    /// Members that came out otherwise; none if the decision stands.
    pub differs: Vec<String>,
    /// Digest of the pack used.
    pub pack_sha256: String,
    /// What today's pack says of the same inputs, and which members it would change.
    pub today: Answer,
    /// Members that today's pack changes.
    pub today_differs: Vec<String>,
}

impl Stored {
    /// Finds a decision by its id.
    ///
    /// # Errors
    /// [`ReplayError::Absent`]; [`ReplayError::Gone`] when its retention is over.
    pub async fn find(ledger: &Ledger, id: &str) -> Result<Stored, ReplayError> {
        let position = ledger.service_event(id)?.ok_or(ReplayError::Absent)?;
        Stored::of(&ledger.open_entry(position).await?)
    }

    /// Reads a decision from its opened entry.
    ///
    /// # Errors
    /// As [`Stored::find`].
    pub fn of(opened: &Opened) -> Result<Stored, ReplayError> {
        if opened.entry.event_type != "decision.contact_recorded" {
            return Err(ReplayError::Absent);
        }
        let business = opened.plaintext(PartKind::Business).ok_or(ReplayError::Gone)?;
        let business: Value = serde_json::from_slice(business).map_err(|_| ReplayError::Gone)?;
        let data = business.get("data").and_then(Value::as_object).cloned().ok_or(ReplayError::Gone)?;
        let personal: Option<Value> =
            opened.plaintext(PartKind::Personal).and_then(|bytes| serde_json::from_slice(bytes).ok());
        let text = |name: &str| Some(personal.as_ref()?.get("data")?.get(name)?.as_str()?.to_owned());
        let named = personal.is_some().then(|| {
            let phone = text("phone").and_then(|phone| Phone::parse(&phone, Phone::DEFAULT_COUNTRY).ok());
            (phone, text("email").and_then(|email| Email::parse(&email).ok()))
        });
        Ok(Stored {
            position: opened.entry.position,
            recorded: opened.entry.recorded,
            subject: opened.entry.subject.map(|link| link.subject.to_string()),
            data,
            named,
        })
    }

    /// What it was about; none where that is gone.
    pub(super) fn about(&self) -> Option<About> {
        let (phone, email) = self.named.clone()?;
        let facts = facts_of(&self.data)?;
        let mut heads = Vec::new();
        for head in self.data.get("heads").and_then(Value::as_array).into_iter().flatten() {
            heads.push((head.get("subject")?.as_str()?.parse().ok()?, head.get("position")?.as_u64()?));
        }
        let known_at = Timestamp::parse_rfc3339(self.data.get("known_at")?.as_str()?).ok()?;
        let states = facts.recipient.place.states().into_iter().map(str::to_owned).collect();
        Some(About { heads, phone, email, channel: facts.contact.channel, states, now: facts.now, known_at })
    }

    /// What a pack makes of the decision's reduced inputs; `None` where they do not read.
    pub fn answer_by(&self, pack: &Pack) -> Option<Answer> {
        let facts = facts_of(&self.data)?;
        Some(evaluate(pack, &facts))
    }

    /// Computes the decision again, by the rules that it cites and by those of this build, from the acts that were gathered
    /// again, or from those in its own entry.
    ///
    /// # Errors
    /// [`ReplayError::PackUnknown`] when neither this build nor the log has the rules that it cites.
    pub async fn replay(self, ledger: &Ledger, gathered: Option<Vec<Act>>) -> Result<Replay, ReplayError> {
        let today = builtin().ok_or(ReplayError::PackUnknown)?;
        let cited = self.data.get("pack_sha256").and_then(Value::as_str).unwrap_or_default().to_owned();
        let pack = pack_of(ledger, &cited).await?;
        let mut facts = facts_of(&self.data).ok_or(ReplayError::Gone)?;
        let from = if gathered.is_some() { "raw" } else { "reduced" };
        let other = gathered.filter(|acts| *acts != facts.acts);
        let left_out = other.is_some();
        facts.acts = other.unwrap_or(facts.acts);
        let again = |pack: &Pack| {
            let answer = evaluate(pack, &facts);
            let data = answer_data(pack, &facts, &answer);
            (answer, differences(&self.data, &data))
        };
        let (_, mut differs) = again(&pack);
        let (answer, today_differs) = again(today);
        differs.extend(left_out.then(|| "acts".to_owned()));
        Ok(Replay { from, today_differs, differs, pack_sha256: cited, today: answer, stored: self })
    }
}

/// Members of the recomputed data that the record has not, or has otherwise.
fn differences(stored: &Map<String, Value>, again: &Map<String, Value>) -> Vec<String> {
    let names = [
        "allow",
        "reasons",
        "warnings",
        "rules",
        "next_allowed_at",
        "honor_by",
        "expires_at",
        "states",
        "zones",
        "local_times",
        "grant_position",
        "now",
        "channel",
        "technology",
        "purpose",
        "sub_purpose",
        "seller",
        "tzdb",
        "pack_sha256",
    ];
    // An empty list and none are the same: sealing keeps no empty ones of some kinds.
    fn member<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
        map.get(name).filter(|value| value.as_array().is_none_or(|list| !list.is_empty()))
    }
    names.iter().filter(|name| member(stored, name) != member(again, name)).map(|name| (*name).to_owned()).collect()
}
