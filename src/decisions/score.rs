//! What a lead is worth: asked, computed from the person's history in the log and what is stated, recorded, answered.
//!
//! The history is read from the log itself, never from a projection, and the score is refused at commit if the person's head moved since:
//! then it is made again. What a card looks at is recorded with the score, so it comes out the same years later: acts as their ages,
//! which survive an erasure; stated features as personal data, which do not.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::gate::{DecideError, Gate, LeadFacts};
use super::packs;
use super::question::RecipientDoc;
use super::route::{RouteError, Router};
use crate::domain::ids::{EventId, PrincipalId, uuid_v7};
use crate::domain::parts::PartKind;
use crate::domain::time::{MICROS_PER_SECOND, Timestamp};
use crate::ingest::admit::SubmitOptions;
use crate::ingest::forms::Received;
use crate::ingest::read::Opened;
use crate::ingest::{Ledger, Outcome, Receipt, SubmitError};
use crate::policy::scoring::{Act, Card, Condition, Facts, Scored, Stated, evaluate};

const ASSIGNED: &str = "score.assigned";
/// Name under which scores of cards are recorded.
pub const CARD: &str = "card";
/// How often a score is made again because the person's head moved.
const ATTEMPTS_MAX: usize = 16;
/// Entries of a person that are looked through, the newest.
const ENTRIES_MAX: usize = 5_000;
/// Entries opened together.
const CHUNK: usize = 200;
/// Acts of a kind that are recorded: more than any rule counts.
const AGES_MAX: usize = 50;

/// Which lead to score.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScoreQuestion {
    /// Whose lead it is.
    pub recipient: RecipientDoc,
    /// What is stated of it, as the card declares.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub features: BTreeMap<String, Stated>,
    /// Your record id of the lead.
    pub lead: Option<String>,
    /// Campaign.
    pub campaign: Option<String>,
    /// Where it came from.
    pub source: Option<String>,
    /// Score it only if the lead may go to this seller at all.
    pub seller: Option<String>,
}

/// A score.
#[derive(Debug, Clone)]
pub struct ScoreAnswer {
    /// Where it is; none: a dry run, or refused.
    pub receipt: Option<Receipt>,
    /// What was recorded, or would be.
    pub data: Map<String, Value>,
    /// Codes that refuse the lead to the seller: no score was made.
    pub refused: Vec<&'static str>,
}

/// A score computed again.
#[derive(Debug, Clone)]
pub struct ScoreReplay {
    /// What it recorded.
    pub recorded: Map<String, Value>,
    /// `all`, or `acts` where stated features were erased or never were: rules on features cannot be computed again then.
    pub from: &'static str,
    /// Members that came out otherwise; none if it stands.
    pub differs: Vec<&'static str>,
    /// Score and band by the card in force now; none where features are gone.
    pub today: Option<(i64, Option<String>)>,
}

impl Router {
    /// Scores a lead by the card in force and records the score first, unless it is a dry run.
    ///
    /// # Errors
    /// [`RouteError`]; after `Submit` the outcome is unknown: ask again.
    pub async fn score(
        &self,
        ledger: &Ledger,
        gate: &Gate,
        question: &ScoreQuestion,
        actor: PrincipalId,
        now: Option<Timestamp>,
        dry: bool,
    ) -> Result<ScoreAnswer, RouteError> {
        let card = self.card(ledger).await?;
        let stated = Facts { acts: BTreeMap::new(), features: question.features.clone() };
        stated.check(&card)?;
        for _ in 0..ATTEMPTS_MAX {
            let head = ledger.head().map_or(Timestamp::MIN, |head| head.recorded);
            let instant = now.unwrap_or_else(|| ledger.now().max(head));
            let known = gate.lead_facts(ledger, &question.recipient, instant).await?;
            let subject = known.subject().ok_or(RouteError::Unknown)?;
            if let Some(seller) = &question.seller
                && let Err(refused) = gate.lets_lead_go(&known, seller, false)
            {
                return Ok(ScoreAnswer { receipt: None, data: Map::new(), refused });
            }
            let facts = Facts { acts: acts_of(ledger, &known, &card, instant).await?, ..stated.clone() };
            let mut data = data_of(question, &card, &facts, &evaluate(&card, &facts));
            data.insert("now".to_owned(), json!(instant));
            data.insert("known_at".to_owned(), json!(known.known_at()));
            data.insert("heads".to_owned(), json!(known.heads()));
            if dry {
                return Ok(ScoreAnswer { receipt: None, data, refused: Vec::new() });
            }
            self.card_registered(ledger, &card, now).await?;
            let id = EventId::from_bytes(uuid_v7(ledger.now().unix_ms(), ledger.random.bytes())).to_string();
            let event = json!({
                "specversion": "1.0", "id": id, "source": "/tallystick", "type": ASSIGNED, "subject": subject, "data": data,
            });
            let options = SubmitOptions { actor, strict: false, dry_run: false, now, service: true, closing: None };
            let outcome =
                ledger.submit_citing(vec![Received { raw: event.to_string().into() }], options, known.cites()).await?;
            match outcome.into_iter().next() {
                Some(Outcome::Recorded(receipt)) => {
                    return Ok(ScoreAnswer { receipt: Some(receipt), data, refused: Vec::new() });
                }
                Some(Outcome::Refused { code: "head_moved", .. }) => {}
                Some(other) => return Err(DecideError::Refused(format!("{other:?}")).into()),
                None => return Err(SubmitError::Stopping.into()),
            }
        }
        Err(DecideError::Busy.into())
    }

    /// Registers a card and puts it in force.
    ///
    /// # Errors
    /// [`RouteError::Card`] names what is wrong with it; nothing is recorded then.
    pub async fn card_activate(
        &self,
        ledger: &Ledger,
        text: &str,
        actor: PrincipalId,
        now: Option<Timestamp>,
    ) -> Result<(Card, Receipt), RouteError> {
        let card = Card::parse(text)?;
        packs::register_document(ledger, "scoring", &card.version, text, now).await?;
        let version: String = card.digest.to_string().chars().take(16).collect();
        let data = json!({ "pack": "scoring", "version": version, "pack_sha256": card.digest, "kind": "scoring" });
        let receipt = ledger.record_own("policy.pack_activated", None, data, actor, now).await?;
        Ok((card, receipt))
    }

    /// The build's card is in the log before the first score that cites it, so that a later build computes the score again.
    async fn card_registered(&self, ledger: &Ledger, card: &Card, now: Option<Timestamp>) -> Result<(), RouteError> {
        if crate::policy::scoring::builtin().is_some_and(|built| built.digest == card.digest) {
            packs::register_document(ledger, "scoring", &card.version, crate::policy::scoring::TEXT, now).await?;
        }
        Ok(())
    }

    /// Computes a recorded score again.
    ///
    /// # Errors
    /// [`RouteError::Unknown`] if no score of a card stands there.
    pub async fn score_replay(&self, ledger: &Ledger, position: u64) -> Result<ScoreReplay, RouteError> {
        if position >= ledger.size() {
            return Err(RouteError::Unknown);
        }
        let opened = ledger.open_entry(position).await?;
        let recorded = data_in(&opened, PartKind::Business).filter(|_| opened.entry.event_type.as_str() == ASSIGNED);
        let recorded = recorded.ok_or(RouteError::Unknown)?;
        let digest = recorded.get("pack_sha256").and_then(Value::as_str).ok_or(RouteError::Unknown)?;
        let card = self.card_of(ledger, digest).await?;
        let personal = data_in(&opened, PartKind::Personal);
        let features = personal.as_ref().and_then(|data| data.get("features")).and_then(Value::as_array);
        let looks = card.rules.iter().any(|rule| !matches!(rule.when, Condition::Acts { .. }));
        let whole = features.is_some() || !looks || recorded.get("features_sha256").is_none();
        let facts =
            Facts { acts: acts_in(&recorded), features: features.into_iter().flatten().filter_map(stated).collect() };
        let again = outcome(&evaluate(&card, &facts));
        let compared: &[&'static str] = if whole { &["band", "base", "reasons", "score"] } else { &[] };
        let differs = compared.iter().copied().filter(|name| recorded.get(*name) != again.get(*name)).collect();
        let today = match whole {
            true => {
                let current = self.card(ledger).await?;
                let scored = evaluate(&current, &facts);
                facts.check(&current).is_ok().then(|| (scored.score, scored.band.map(str::to_owned)))
            }
            false => None,
        };
        Ok(ScoreReplay { recorded, from: if whole { "all" } else { "acts" }, differs, today })
    }
}

/// The person's latest score in the log, whoever made it: points and band.
pub(super) async fn latest(ledger: &Ledger, known: &LeadFacts) -> Result<(Option<i64>, Option<String>), RouteError> {
    let positions = positions_of(ledger, known)?;
    for chunk in positions.rchunks(CHUNK) {
        let opened = ledger.open_entries(chunk, |entry, _| entry.event_type == ASSIGNED).await?;
        let last = opened.iter().rev().find(|opened| opened.entry.event_type.as_str() == ASSIGNED);
        if let Some(opened) = last
            && let Some(data) = data_in(opened, PartKind::Business)
        {
            let band = data.get("band").and_then(Value::as_str).map(str::to_owned);
            return Ok((data.get("score").and_then(Value::as_i64), band));
        }
    }
    Ok((None, None))
}

/// Where the person's newest entries stand, in order.
fn positions_of(ledger: &Ledger, known: &LeadFacts) -> Result<Vec<u64>, RouteError> {
    let mut all = BTreeSet::new();
    for subject in known.subjects() {
        let heads = ledger.subject_entries(&subject, 0).map_err(DecideError::from)?;
        all.extend(heads.into_iter().map(|head| head.position));
    }
    let all: Vec<u64> = all.into_iter().collect();
    let first = all.len().saturating_sub(ENTRIES_MAX);
    Ok(all.get(first..).unwrap_or_default().to_vec())
}

fn data_in(opened: &Opened, kind: PartKind) -> Option<Map<String, Value>> {
    let part: Value = serde_json::from_slice(opened.plaintext(kind)?).ok()?;
    // A business part has its data under a name, a personal part is its data.
    match part.get("data").and_then(Value::as_object) {
        Some(data) => Some(data.clone()),
        None => part.as_object().cloned(),
    }
}

/// Ages of the acts that a card looks at.
async fn acts_of(
    ledger: &Ledger,
    known: &LeadFacts,
    card: &Card,
    now: Timestamp,
) -> Result<BTreeMap<Act, Vec<u64>>, RouteError> {
    let wanted: BTreeSet<Act> = card
        .rules
        .iter()
        .filter_map(|rule| match rule.when {
            Condition::Acts { act, .. } => Some(act),
            Condition::Number { .. } | Condition::Word { .. } => None,
        })
        .collect();
    let mut found: Vec<(u64, Act, Timestamp)> = Vec::new();
    let mut undone: BTreeSet<u64> = BTreeSet::new();
    for chunk in positions_of(ledger, known)?.chunks(CHUNK) {
        for opened in ledger.open_entries(chunk, |_, part| part.kind == PartKind::Business).await? {
            undone.extend(opened.entry.corrects);
            let Some(bytes) = opened.plaintext(PartKind::Business) else { continue };
            let Ok(part) = serde_json::from_slice::<Value>(bytes) else { continue };
            if opened.entry.event_type.as_str() == "event.annulled" {
                undone.extend(part.get("data").and_then(|data| data.get("position")?.as_u64()));
                continue;
            }
            let Some(act) = act_of(opened.entry.event_type.as_str(), &part).filter(|act| wanted.contains(act)) else {
                continue;
            };
            let stated = part.get("occurred").and_then(Value::as_str);
            let occurred = stated.and_then(|at| Timestamp::parse_rfc3339(at).ok()).unwrap_or(opened.entry.recorded);
            found.push((opened.entry.position, act, occurred));
        }
    }
    let mut acts: BTreeMap<Act, Vec<u64>> = BTreeMap::new();
    for (position, act, occurred) in found {
        let age = now.micros_since(occurred) / MICROS_PER_SECOND;
        if let (Ok(age), false) = (u64::try_from(age), undone.contains(&position)) {
            acts.entry(act).or_default().push(age);
        }
    }
    for ages in acts.values_mut() {
        ages.sort_unstable();
        ages.truncate(AGES_MAX);
    }
    Ok(acts)
}

/// What an event of a person is to a score.
fn act_of(event_type: &str, part: &Value) -> Option<Act> {
    let data = part.get("data");
    let is = |name: &str| data.and_then(|data| data.get(name)?.as_bool()).unwrap_or(false);
    let text = |name: &str| data.and_then(|data| data.get(name)?.as_str());
    let class = part.get("derived").and_then(|derived| derived.get("reply_class")?.as_str());
    match event_type {
        "appointment.booked" => Some(Act::Booking),
        "appointment.no_show" => Some(Act::NoShow),
        "appointment.shown" => Some(Act::Show),
        "consent.granted" => Some(Act::Consent),
        "consent.revoked" | "suppression.dnc_requested" | "suppression.email_opted_out" => Some(Act::Stop),
        "contact.clicked" if !is("machine") => Some(Act::Click),
        "contact.connected" if text("answered_by") != Some("machine") => Some(Act::AnsweredCall),
        "contact.received" if class == Some("opt_out") => Some(Act::Stop),
        "contact.received" if !is("automatic") => Some(Act::Reply),
        "decision.price_recorded" if data.is_some_and(|data| data.get("amount").is_some()) => Some(Act::Sale),
        "lead.imported" | "lead.received" => Some(Act::Lead),
        "revenue.recorded" => Some(Act::Sale),
        "billing.return_judged" if is("accepted") => Some(Act::Refund),
        "revenue.refunded" => Some(Act::Refund),
        _ => None,
    }
}

fn name_of(act: Act) -> Value {
    serde_json::to_value(act).unwrap_or_default()
}

fn outcome(scored: &Scored<'_>) -> Map<String, Value> {
    let reasons: Vec<Value> = scored
        .reasons
        .iter()
        .map(|reason| {
            let mut said = json!({ "rule": reason.code, "points": reason.points });
            if let (true, Value::Object(said)) = (reason.bound, &mut said) {
                said.insert("bound".to_owned(), json!(true));
            }
            said
        })
        .collect();
    let mut all = Map::from_iter([
        ("score".to_owned(), json!(scored.score)),
        ("base".to_owned(), json!(scored.base)),
        ("reasons".to_owned(), json!(reasons)),
    ]);
    all.extend(scored.band.map(|band| ("band".to_owned(), json!(band))));
    all
}

/// The data of `score.assigned`, but for instants and heads.
fn data_of(question: &ScoreQuestion, card: &Card, facts: &Facts, scored: &Scored<'_>) -> Map<String, Value> {
    let mut data = outcome(scored);
    let acts: Vec<Value> = facts.acts.iter().map(|(act, ages)| json!({ "act": name_of(*act), "ages": ages })).collect();
    let features: Vec<Value> = facts
        .features
        .iter()
        .map(|(name, stated)| match stated {
            Stated::Number(number) => json!({ "name": name, "number": number }),
            Stated::Word(word) => json!({ "name": name, "word": word }),
        })
        .collect();
    let text = |name: &str, value: &Option<String>| value.as_ref().map(|value| (name.to_owned(), json!(value)));
    data.extend([
        ("model".to_owned(), json!(CARD)),
        ("model_version".to_owned(), json!(card.version)),
        ("pack_sha256".to_owned(), json!(card.digest)),
        ("acts".to_owned(), json!(acts)),
    ]);
    if !features.is_empty() {
        let digest = crate::crypto::hash::sha256(json!(features).to_string().as_bytes());
        data.insert("features_sha256".to_owned(), json!(digest));
        data.insert("features".to_owned(), json!(features));
    }
    data.extend(text("lead", &question.lead));
    data.extend(text("campaign", &question.campaign));
    data.extend(text("source", &question.source));
    data.extend(text("seller", &question.seller));
    data
}

fn acts_in(recorded: &Map<String, Value>) -> BTreeMap<Act, Vec<u64>> {
    let items = recorded.get("acts").and_then(Value::as_array).into_iter().flatten();
    items
        .filter_map(|item| {
            let act = serde_json::from_value(item.get("act")?.clone()).ok()?;
            let ages = item.get("ages")?.as_array()?.iter().filter_map(Value::as_u64).collect();
            Some((act, ages))
        })
        .collect()
}

fn stated(item: &Value) -> Option<(String, Stated)> {
    let name = item.get("name")?.as_str()?.to_owned();
    let value = match (item.get("number").and_then(Value::as_i64), item.get("word").and_then(Value::as_str)) {
        (Some(number), _) => Stated::Number(number),
        (None, Some(word)) => Stated::Word(word.to_owned()),
        (None, None) => return None,
    };
    Some((name, value))
}
