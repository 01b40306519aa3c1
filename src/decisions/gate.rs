//! The gate: one question in, one recorded answer out.
//!
//! Order, and what each step's death means: gather and judge, in memory only; record, refused at commit if a cited head
//! moved, and then all is done again; answer. A process that dies before the commit has answered nothing; after it the
//! decision is in the log, answered or not.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use super::history::{History, Scored};
use super::memory::{Histories, Remembered};
use super::packs::Rules;
use super::posture::Postures;
use super::question::{Asked, ContactDoc, ContactQuestion, QuestionError, RecipientDoc};
use super::record::{Basis, Recorded, event_data, heads_json, lists_json};
use super::replay::{Replay, ReplayError, Stored};
use super::sources::{Named, Sources, acts, cited, facts, list_act, recipient};
use crate::chain::decode::EntryRef;
use crate::domain::ids::{EventId, PrincipalId, SubjectId, uuid_v7};
use crate::domain::list::List;
use crate::domain::time::Timestamp;
use crate::ingest::admit::SubmitOptions;
use crate::ingest::lists::ListImportError;
use crate::ingest::read::ReadError;
use crate::ingest::subjects::SubjectsSealError;
use crate::ingest::{CitedHeads, Ledger, Outcome, Receipt, SubmitError};
use crate::policy::contact::{
    Act, Answer, Channel, Code, Facts, Pack, Purpose, SwitchError, Technology, evaluate, refusals,
};
use crate::store::StoreError;
use crate::store::index::SubjectHead;

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
    /// A list that counts cannot be asked.
    #[error(transparent)]
    List(#[from] ListImportError),
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
    pub data: serde_json::Map<String, serde_json::Value>,
}

/// What a question was judged from.
struct Gathered {
    facts: Facts,
    heads: Vec<(SubjectId, Option<SubjectHead>)>,
    lists: Vec<(String, String, Option<String>)>,
    /// What was recorded by then was seen.
    known_at: Timestamp,
    /// The newest score of any of them.
    scored: Option<Scored>,
}

/// Histories and policy kept at hand for one ledger.
#[derive(Debug, Default)]
pub struct Gate {
    histories: Arc<Histories>,
    postures: Postures,
    /// Other rules than this build's.
    rules: Option<Arc<Rules>>,
}

impl Gate {
    /// A gate that judges by other rules than this build's.
    pub fn under(rules: Rules) -> Gate {
        Gate { rules: Some(Arc::new(rules)), ..Gate::default() }
    }

    /// Has the histories of a ledger's people read into memory and kept there, as many as may be, so that decisions find them.
    /// Decisions do not wait for it: whoever is not there yet is read for the question.
    pub fn remember(&self, ledger: &Arc<Ledger>) {
        self.histories.follow(ledger);
    }

    /// Whose histories are in memory.
    pub fn remembered(&self) -> Remembered {
        self.histories.remembered()
    }

    fn rules(&self) -> Result<&Rules, DecideError> {
        self.rules.as_deref().or_else(|| Rules::builtin()).ok_or(DecideError::NoPack)
    }

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
        let rules = self.rules()?;
        rules.register(ledger, now).await?;
        let pack = rules.pack.as_ref();
        for _ in 0..ATTEMPTS_MAX {
            // Never behind the log: what another server with a faster clock acknowledged has been recorded before the question.
            let head = ledger.head().map_or(Timestamp::MIN, |head| head.recorded);
            let instant = now.unwrap_or_else(|| ledger.now().max(head));
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
        let pack = self.rules()?.pack.as_ref();
        let mut facts = self.gather(ledger, &asked, at, known).await?.facts;
        facts.acts.retain(|act| act.position != Some(own));
        Ok(evaluate(pack, &facts))
    }

    /// Computes a recorded decision again. While what it was made from can still be read, its reduced inputs are first
    /// gathered again from the log, up to the heads that it cites: a decision that left something out shows as other acts.
    ///
    /// # Errors
    /// [`ReplayError`].
    pub async fn replay(&self, ledger: &Ledger, id: &str) -> Result<Replay, ReplayError> {
        let stored = Stored::find(ledger, id).await?;
        let gathered = self.acts_again(ledger, &stored).await?;
        stored.replay(ledger, gathered).await
    }

    /// The acts of a decision from the log itself; none where parts of what it was made from are gone.
    async fn acts_again(&self, ledger: &Ledger, stored: &Stored) -> Result<Option<Vec<Act>>, ReplayError> {
        let Some(about) = stored.about() else { return Ok(None) };
        let mut histories = Vec::new();
        for (subject, head) in &about.heads {
            match self.histories.of(ledger, *subject).await.map_err(ReplayError::from)? {
                Some(history) if history.whole => histories.push((history, *head)),
                _ => return Ok(None),
            }
        }
        let at = (about.now, about.known_at);
        let posture = self.postures.of(ledger, &about.identifiers(), about.known_at).await?;
        let (phone, email) = (about.phone.as_ref(), about.email.as_ref());
        let mut answers = ledger.lists_ask(at, phone, email).await.map_err(DecideError::from)?;
        answers.retain(|answer| match &answer.version.list {
            List::State(state) => about.states.contains(state),
            _ => true,
        });
        let named = Named { phone, email, channel: about.channel };
        let histories = histories.iter().map(|(history, last)| (history.as_ref(), *last));
        let others = posture.acts.into_iter().chain(answers.iter().filter_map(list_act));
        Ok(Some(acts(ledger, &named, histories, others, at)))
    }

    async fn gather(
        &self,
        ledger: &Ledger,
        asked: &Asked,
        now: Timestamp,
        known: Timestamp,
    ) -> Result<Gathered, DecideError> {
        // Before anything is read, so that the decision never claims to have known what came while it was made.
        let known_at = ledger.head().map_or(now, |head| head.recorded);
        let posture = self.postures.of(ledger, &asked.identifiers(), known).await?;
        let mut answers = ledger.lists_ask((now, known), asked.phone.as_ref(), asked.email.as_ref()).await?;
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
            heads.push((subject, history.as_ref().map(|history| history.head)));
            if let Some(history) = history {
                waiting.extend(history.linked.iter().chain(&history.merged).copied());
                histories.push(history);
            }
        }
        let recipient = recipient(asked, &histories);
        let states: Vec<&str> = recipient.place.states();
        answers.retain(|answer| match &answer.version.list {
            List::State(state) => states.contains(&state.as_str()),
            _ => true,
        });
        let sources = Sources { recipient, posture, answers: &answers, histories: &histories };
        let facts = facts(ledger, asked, sources, (now, known))?;
        let lists = cited(&histories, &answers, now);
        let scored = histories.iter().filter_map(|history| history.scored.clone()).max_by_key(|said| said.position);
        Ok(Gathered { facts, heads, lists, known_at, scored })
    }
}

/// What is known of the person whose lead is routed.
pub(super) struct LeadFacts {
    transfer: Facts,
    gathered: Gathered,
    /// The answers for a seller whom nothing known of the person names: without and with consent by name.
    unnamed: [OnceLock<Verdict>; 2],
}

/// Whether a lead may go to a seller, and else the codes that refuse.
type Verdict = Result<(), Vec<&'static str>>;

impl LeadFacts {
    /// The person; none where nobody is known by the identifiers.
    pub fn subject(&self) -> Option<String> {
        self.gathered.heads.iter().find(|(_, head)| head.is_some()).map(|(subject, _)| subject.to_string())
    }

    /// The person's subjects: several where they are merged or share the identifier.
    pub fn subjects(&self) -> impl Iterator<Item = SubjectId> {
        self.gathered.heads.iter().map(|(subject, _)| *subject)
    }

    pub fn cites(&self) -> CitedHeads {
        self.gathered.heads.iter().copied().collect()
    }

    /// The newest score that anybody acts on.
    pub fn scored(&self) -> Option<&Scored> {
        self.gathered.scored.as_ref()
    }

    pub fn heads(&self) -> Vec<serde_json::Value> {
        heads_json(&self.gathered.heads)
    }

    pub fn lists(&self) -> Vec<serde_json::Value> {
        lists_json(&self.gathered.lists)
    }

    pub fn known_at(&self) -> Timestamp {
        self.gathered.known_at
    }
}

/// Codes that say of a person's consent what no hour and no place can cure.
const OF_CONSENT: [Code; 16] = [
    Code::CcpaOptOut,
    Code::ConsentDefective,
    Code::ConsentNotInEffect,
    Code::ConsentRevoked,
    Code::ConsentScopeChannel,
    Code::ConsentScopeNumber,
    Code::ConsentScopePurpose,
    Code::ConsentScopeSeller,
    Code::ConsentScopeTechnology,
    Code::ErasedSuppressed,
    Code::InternalDnc,
    Code::LitigatorHold,
    Code::NoPewc,
    Code::RevocationReview,
    Code::RndReassigned,
    Code::WrongNumber,
];

impl Gate {
    /// Gathers what is known of a person whose lead is to be routed, once for all sellers.
    pub(super) async fn lead_facts(
        &self,
        ledger: &Ledger,
        recipient: &RecipientDoc,
        now: Timestamp,
    ) -> Result<LeadFacts, DecideError> {
        self.lead_facts_known(ledger, recipient, now, now).await
    }

    /// The same for an instant that has passed, with all that is known of it by now.
    pub(super) async fn lead_facts_then(
        &self,
        ledger: &Ledger,
        recipient: &RecipientDoc,
        then: Timestamp,
    ) -> Result<LeadFacts, DecideError> {
        self.lead_facts_known(ledger, recipient, then, Timestamp::MAX).await
    }

    async fn lead_facts_known(
        &self,
        ledger: &Ledger,
        recipient: &RecipientDoc,
        now: Timestamp,
        known_at: Timestamp,
    ) -> Result<LeadFacts, DecideError> {
        let question =
            ContactQuestion { recipient: recipient.clone(), contact: ContactDoc::transfer("seller"), policy: None };
        let asked = question.asked()?;
        let gathered = self.gather(ledger, &asked, now, known_at).await?;
        Ok(LeadFacts { transfer: gathered.facts.clone(), gathered, unnamed: Default::default() })
    }

    /// Whether a lead may go to a seller; with `named`, only where written consent in force names him. Else the codes that refuse.
    pub(super) fn lets_lead_go(&self, known: &LeadFacts, seller: &str, named: bool) -> Verdict {
        if known.transfer.names(seller) {
            return self.judge_lead(known, seller, named);
        }
        // A plan may have a thousand sellers, and a person names a handful: the others are one question.
        let [without, with] = &known.unnamed;
        let unnamed = if named { with } else { without };
        unnamed.get_or_init(|| self.judge_lead(known, seller, named)).clone()
    }

    fn judge_lead(&self, known: &LeadFacts, seller: &str, named: bool) -> Verdict {
        let Ok(rules) = self.rules() else { return Err(vec!["NO_RULES"]) };
        let pack = rules.pack.as_ref();
        let mut facts = known.transfer.clone();
        seller.clone_into(&mut facts.contact.seller);
        let codes = |codes: Vec<Code>| codes.into_iter().map(Code::name).collect::<Vec<_>>();
        let refused = refusals(pack, &facts);
        if !refused.is_empty() {
            return Err(codes(refused));
        }
        if !named {
            return Ok(());
        }
        facts.contact.purpose = Purpose::Marketing;
        facts.contact.technology = Technology::Autodialed;
        let mut first = Vec::new();
        for channel in [Channel::Voice, Channel::Sms] {
            facts.contact.channel = channel;
            let refused: Vec<Code> =
                refusals(pack, &facts).into_iter().filter(|code| OF_CONSENT.contains(code)).collect();
            if refused.is_empty() {
                return Ok(());
            }
            if first.is_empty() {
                first = refused;
            }
        }
        Err(codes(first))
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
    let Gathered { heads, lists, known_at, .. } = &gathered;
    let basis = Basis { decision: &decision, pack, heads, lists, known_at: *known_at };
    let data = event_data(asked, &gathered.facts, &answer, &basis);
    let known = gathered.heads.iter().find(|(_, head)| head.is_some()).map(|(subject, _)| *subject);
    let subject = known.map(|subject| subject.to_string());
    let event = Recorded::new(&decision, "decision.contact_recorded", subject, &data).received()?;
    let cites = gathered.heads.iter().copied().collect();
    let options = SubmitOptions { actor, strict: false, dry_run: false, now, service: true, closing: None };
    let outcomes = ledger.submit_citing(vec![event], options, cites).await?;
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
