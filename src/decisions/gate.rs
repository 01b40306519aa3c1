//! The gate: one question in, one recorded answer out.
//!
//! Order, and what each step's death means: gather and judge, in memory only; record, refused at commit if a cited head
//! moved, and then all is done again; answer. A process that dies before the commit has answered nothing; after it the
//! decision is in the log, answered or not.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::history::{Histories, History, topic_hash};
use super::inputs::relevant;
use super::posture::{Posture, Postures};
use super::question::{Asked, ContactQuestion, QuestionError};
use super::record::{Basis, event_data};
use crate::chain::decode::EntryRef;
use crate::domain::identifier::IdentifierKind;
use crate::domain::ids::{EventId, PrincipalId, SubjectId, uuid_v7};
use crate::domain::time::Timestamp;
use crate::ingest::admit::SubmitOptions;
use crate::ingest::forms::Received;
use crate::ingest::read::ReadError;
use crate::ingest::subjects::SubjectsSealError;
use crate::ingest::{Ledger, Outcome, Receipt, SubmitError};
use crate::policy::contact::{
    Act, Answer, Channel, Contact, Facts, Number, Pack, Recipient, SwitchError, What, builtin, evaluate, home_of,
    phone_place,
};
use crate::schema::derive::email_facts;
use crate::store::StoreError;

/// How often a decision is made again because a cited head moved, before the caller is asked to try later.
const ATTEMPTS_MAX: usize = 16;
/// Subjects that one decision may depend on; the schema takes no more heads.
const SUBJECTS_MAX: usize = 32;

/// Why there is no answer. There never is an allow without its record.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// The question.
    #[error(transparent)]
    Question(#[from] QuestionError),
    /// A switch of the question.
    #[error(transparent)]
    Switch(#[from] SwitchError),
    /// Switches are set by the question on scratch ledgers alone.
    #[error("only a scratch ledger takes switches from the question")]
    PolicyNotAllowed,
    /// The pack of this build does not read.
    #[error("there are no rules to judge by")]
    NoPack,
    /// The person's entries changed each time.
    #[error("the person's history kept changing while the decision was made")]
    Busy,
    /// The history is longer than is walked.
    #[error("the history is too long to be walked")]
    HistoryTooLong,
    /// More people share the identifiers than a decision can cite.
    #[error("more subjects than one decision can cite share these identifiers")]
    TooManySubjects,
    /// The log contradicts itself.
    #[error("the entry at {0} is not where the person's history says")]
    Log(u64),
    /// The ledger did not take the record.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The record was refused: a defect that must be seen.
    #[error("the decision was not recorded: {0}")]
    Refused(String),
    /// The log cannot be read.
    #[error("read")]
    Read(#[from] ReadError),
    /// The index cannot be read.
    #[error("index")]
    Index(#[from] SubjectsSealError),
    /// The store failed.
    #[error("store")]
    Store(#[from] StoreError),
}

/// A decision that is in the log.
#[derive(Debug, Clone)]
pub struct Decided {
    /// Its id.
    pub decision: String,
    /// Where it is.
    pub receipt: Receipt,
    /// The answer.
    pub answer: Answer,
    /// What was recorded, as the entry's data.
    pub data: serde_json::Value,
}

/// What a question was judged from.
struct Gathered {
    facts: Facts,
    heads: Vec<(SubjectId, Option<(u64, u64)>)>,
    lists: Vec<(String, String, Option<String>)>,
}

/// Histories and policy kept at hand for one ledger.
#[derive(Debug, Default)]
pub struct Gate {
    histories: Histories,
    postures: Postures,
}

impl Gate {
    /// Answers a question and records the answer first.
    ///
    /// # Errors
    /// [`DecideError`]; after `Submit` the outcome is unknown, and nothing may be done on its strength: ask again.
    pub async fn decide(
        &self,
        ledger: &Ledger,
        question: &ContactQuestion,
        actor: PrincipalId,
        now: Option<Timestamp>,
    ) -> Result<Decided, DecideError> {
        let asked = question.asked()?;
        if !asked.policy.is_empty() && !ledger.scratch {
            return Err(DecideError::PolicyNotAllowed);
        }
        let pack = builtin().ok_or(DecideError::NoPack)?;
        for _ in 0..ATTEMPTS_MAX {
            let instant = now.unwrap_or_else(|| ledger.now());
            let gathered = self.gather(ledger, &asked, instant, instant).await?;
            let answer = evaluate(pack, &gathered.facts);
            if let Some(decided) = record(ledger, &asked, pack, gathered, answer, actor, now).await? {
                return Ok(decided);
            }
        }
        Err(DecideError::Busy)
    }

    /// Judges a contact that happened, by what was recorded up to `known`, leaving out the entry that reports it. Records
    /// nothing and allows nothing.
    pub(super) async fn judge_past(
        &self,
        ledger: &Ledger,
        question: &ContactQuestion,
        at: Timestamp,
        known: Timestamp,
        own: u64,
    ) -> Result<Answer, DecideError> {
        let asked = question.asked()?;
        let pack = builtin().ok_or(DecideError::NoPack)?;
        let mut facts = self.gather(ledger, &asked, at, known).await?.facts;
        facts.acts.retain(|act| act.position != Some(own));
        Ok(evaluate(pack, &facts))
    }

    async fn gather(
        &self,
        ledger: &Ledger,
        asked: &Asked,
        now: Timestamp,
        known: Timestamp,
    ) -> Result<Gathered, DecideError> {
        let posture = self.postures.of(ledger, &asked.identifiers()).await?;
        let mut waiting: Vec<SubjectId> = subjects_of(ledger, asked)?;
        let mut met: BTreeSet<SubjectId> = BTreeSet::new();
        let mut histories: Vec<Arc<History>> = Vec::new();
        let mut heads = Vec::new();
        while let Some(subject) = waiting.pop() {
            if !met.insert(subject) {
                continue;
            }
            if met.len() > SUBJECTS_MAX {
                return Err(DecideError::TooManySubjects);
            }
            let history = self.histories.of(ledger, subject).await?;
            heads.push((subject, history.as_ref().map(|history| (history.head.sequence, history.head.position))));
            if let Some(history) = history {
                waiting.extend(history.linked.iter().chain(&history.merged).copied());
                histories.push(history);
            }
        }
        let facts = facts(ledger, asked, &posture, &histories, (now, known))?;
        let lists = lists(&histories, now);
        Ok(Gathered { facts, heads, lists })
    }
}

/// Everybody whom an identifier of the question names.
fn subjects_of(ledger: &Ledger, asked: &Asked) -> Result<Vec<SubjectId>, DecideError> {
    let mut found: Vec<SubjectId> = Vec::new();
    if let Some(subject) = asked.subject.as_deref().and_then(|text| text.parse::<SubjectId>().ok()) {
        found.push(subject);
    }
    for identifier in asked.identifiers() {
        found.extend(ledger.subject_of(&identifier)?);
    }
    Ok(found)
}

fn facts(
    ledger: &Ledger,
    asked: &Asked,
    posture: &Posture,
    histories: &[Arc<History>],
    (now, known): (Timestamp, Timestamp),
) -> Result<Facts, DecideError> {
    let blind = |kind, value: &str| ledger.secrets.blind.blind_index(kind, value);
    let phone = asked.phone.as_ref().map(|phone| blind(IdentifierKind::Phone, phone.as_str()));
    let email = asked.email.as_ref().map(|email| blind(IdentifierKind::Email, email.as_str()));
    let by_mail = asked.channel == Channel::Email;
    let number = |named: Option<[u8; 16]>| match named {
        None => Number::Unsaid,
        Some(named) if Some(named) == (if by_mail { email } else { phone }) => Number::Same,
        Some(_) => Number::Other,
    };
    // What is annulled later counted until then.
    let void = histories.iter().flat_map(|history| &history.void).filter(|(_, recorded)| *recorded <= known);
    let void: BTreeSet<u64> = void.map(|(position, _)| *position).collect();
    let seen = histories.iter().flat_map(|history| &history.seen).filter(|seen| !void.contains(&seen.position));
    let mut acts: Vec<Act> = seen
        .map(|seen| Act {
            at: seen.at,
            recorded: seen.recorded,
            number: number(if by_mail { seen.email } else { seen.phone }),
            position: Some(seen.position),
            what: seen.what.clone(),
        })
        .chain(posture.acts.iter().cloned())
        .filter(|act| act.at <= now && act.recorded <= known)
        .collect();
    acts.sort_by_key(|act| (act.at, act.position));
    relevant(&mut acts, now);
    Ok(Facts {
        now,
        recipient: recipient(asked, histories),
        contact: Contact {
            channel: asked.channel,
            technology: asked.technology,
            purpose: asked.purpose,
            sub_purpose: asked.sub_purpose,
            seller: asked.seller.clone(),
            topic: asked.topic.as_deref().map(|topic| topic_hash(ledger, topic)),
            mail: asked.mail,
            caller_id_missing: asked.caller_id_missing,
            campaign: asked.stats,
        },
        acts,
        switches: posture.switches.with(&asked.policy)?,
    })
}

fn recipient(asked: &Asked, histories: &[Arc<History>]) -> Recipient {
    let (of_number, place) = asked.phone.as_ref().map(phone_place).unwrap_or_default();
    let said = asked.zip.is_some() || asked.state.is_some();
    let known = histories.iter().rev().map(|history| &history.known);
    let home = if said {
        home_of(asked.zip.as_deref(), asked.state.as_deref())
    } else {
        let known = known.clone().find(|known| known.zip.is_some() || known.state.is_some());
        known.map(|known| home_of(known.zip.as_deref(), known.state.as_deref())).unwrap_or_default()
    };
    let line_type = asked.line_type.or_else(|| known.clone().find_map(|known| known.line_type)).unwrap_or_default();
    let by_table = asked.email.as_ref().is_some_and(|email| {
        let mut facts = serde_json::Map::new();
        email_facts(email.as_str(), &mut facts);
        facts.get("wireless_domain") == Some(&serde_json::Value::Bool(true))
    });
    Recipient {
        country: asked.country.clone().or_else(|| of_number.map(str::to_owned)),
        line_type,
        place: place.with_home(home),
        wireless_domain: asked.wireless_said || by_table,
    }
}

/// Versions of the lists that the newest answers came from.
fn lists(histories: &[Arc<History>], now: Timestamp) -> Vec<(String, String, Option<String>)> {
    let mut newest: std::collections::BTreeMap<String, (Timestamp, String, Option<String>)> = Default::default();
    for seen in histories.iter().flat_map(|history| &history.seen).filter(|seen| seen.recorded <= now) {
        if let (What::ListChecked { list, .. }, Some((version, date))) = (&seen.what, &seen.version)
            && newest.get(list).is_none_or(|(at, ..)| *at <= seen.at)
        {
            newest.insert(list.clone(), (seen.at, version.clone(), date.clone()));
        }
    }
    newest.into_iter().map(|(list, (_, version, date))| (list, version, date)).take(SUBJECTS_MAX).collect()
}

/// Records the answer; `None` when a cited head moved and all must be done again.
async fn record(
    ledger: &Ledger,
    asked: &Asked,
    pack: &Pack,
    gathered: Gathered,
    answer: Answer,
    actor: PrincipalId,
    now: Option<Timestamp>,
) -> Result<Option<Decided>, DecideError> {
    let decision = EventId::from_bytes(uuid_v7(ledger.now().unix_ms(), ledger.random.bytes())).to_string();
    let known_at = ledger.head().map_or(gathered.facts.now, |head| head.recorded);
    let basis = Basis { decision: &decision, pack, heads: &gathered.heads, lists: &gathered.lists, known_at };
    let data = event_data(asked, &gathered.facts, &answer, &basis);
    let mut event = serde_json::json!({
        "specversion": "1.0", "id": decision, "source": "/tallystick", "type": "decision.contact_recorded", "data": data,
    });
    let known = gathered.heads.iter().find(|(_, head)| head.is_some()).map(|(subject, _)| *subject);
    if let (Some(subject), serde_json::Value::Object(event)) = (known, &mut event) {
        event.insert("subject".to_owned(), serde_json::Value::String(subject.to_string()));
    }
    let cites = gathered.heads.iter().map(|(subject, head)| (*subject, head.map(|(_, position)| position))).collect();
    let options = SubmitOptions { actor, strict: false, dry_run: false, now, service: true, closing: None };
    let outcomes = ledger.submit_citing(vec![Received { raw: event.to_string().into() }], options, cites).await?;
    let receipt = match outcomes.into_iter().next() {
        Some(Outcome::Recorded(receipt)) => receipt,
        Some(Outcome::Refused { code: "head_moved", .. }) => return Ok(None),
        Some(other) => return Err(DecideError::Refused(format!("{other:?}"))),
        None => return Err(SubmitError::Stopping.into()),
    };
    // Nobody was known and somebody is now: the person came into being meanwhile, with a history that was not judged.
    if known.is_none() && !is_first(ledger, &receipt).await? {
        return Ok(None);
    }
    Ok(Some(Decided { decision, receipt, answer, data }))
}

/// The decision begins the person's history: nothing stands before it but the binding of its own identifiers.
async fn is_first(ledger: &Ledger, receipt: &Receipt) -> Result<bool, DecideError> {
    let bytes = ledger.store().entry_at(receipt.position).await?.ok_or(DecideError::Log(receipt.position))?;
    let entry = EntryRef::decode(&bytes).map_err(|_| DecideError::Log(receipt.position))?;
    Ok(entry.subject.is_none_or(|link| {
        link.sequence == 1 || link.sequence == 2 && link.previous == receipt.position.checked_sub(1)
    }))
}
