//! Computing a recorded decision again, from its own entry: the same rules on the same reduced inputs must give the same
//! answer, years later and after an erasure. And what today's rules would say.

use serde_json::{Map, Value};

use super::inputs::facts_of;
use super::record::answer_data;
use crate::domain::parts::PartKind;
use crate::domain::time::Timestamp;
use crate::ingest::Ledger;
use crate::ingest::read::{Opened, ReadError};
use crate::ingest::subjects::SubjectsSealError;
use crate::policy::contact::{Answer, Pack, builtin, evaluate};

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
}

/// A decision computed again.
#[derive(Debug, Clone)]
pub struct Replay {
    /// The decision.
    pub stored: Stored,
    /// What it was computed from: `reduced`, the inputs in its own entry.
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
        Ok(Stored {
            position: opened.entry.position,
            recorded: opened.entry.recorded,
            subject: opened.entry.subject.map(|link| link.subject.to_string()),
            data,
        })
    }

    /// What a pack makes of the decision's reduced inputs; `None` where they do not read.
    pub fn answer_by(&self, pack: &Pack) -> Option<Answer> {
        let facts = facts_of(&self.data)?;
        Some(evaluate(pack, &facts))
    }

    /// Computes the decision again.
    ///
    /// # Errors
    /// [`ReplayError::PackUnknown`] when the pack that it cites is not of this build.
    pub fn replay(self) -> Result<Replay, ReplayError> {
        let today = builtin().ok_or(ReplayError::PackUnknown)?;
        let cited = self.data.get("pack_sha256").and_then(Value::as_str).unwrap_or_default();
        if cited != today.digest.to_string() {
            return Err(ReplayError::PackUnknown);
        }
        let facts = facts_of(&self.data).ok_or(ReplayError::Gone)?;
        let again = |pack: &Pack| {
            let answer = evaluate(pack, &facts);
            let data = answer_data(pack, &facts, &answer);
            (answer, differences(&self.data, &data))
        };
        let (answer, differs) = again(today);
        let pack_sha256 = today.digest.to_string();
        Ok(Replay {
            from: "reduced",
            today_differs: differs.clone(),
            differs,
            pack_sha256,
            today: answer,
            stored: self,
        })
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
