//! What a lead is worth: asked, computed from the person's history in the log and what is stated, recorded, answered.
//!
//! The history is read from the log itself, never from a projection, and the score is refused at commit if the person's head moved since:
//! then it is made again. What a card looks at is recorded with the score, so it comes out the same years later: acts as their ages,
//! which survive an erasure; stated features as personal data, which do not.

mod models;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use self::models::Scorer;
pub(super) use self::models::{ACTIVATED as MODEL_ACTIVATED, InForce};
pub use self::models::{Model, ModelError, ModelRole};
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
use crate::policy::scoring::{Act, Card, Condition, Facts, FactsError, Scored, Stated, evaluate};

pub(super) const ASSIGNED: &str = "score.assigned";
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
    /// What the challengers said of the same lead.
    pub shadows: Vec<Shadow>,
}

/// What a challenger said of a lead: nobody acts on it.
#[derive(Debug, Clone)]
pub struct Shadow {
    /// The model and its version.
    pub model: (String, String),
    /// Where its score is; none: a dry run, or none was made.
    pub receipt: Option<Receipt>,
    /// Its points and probability, or why it made none.
    pub said: Result<(i64, String), String>,
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
    /// Scores a lead by the card or model in force and records the score first, unless it is a dry run; then lets the challengers score it.
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
        let (scorer, challengers) = self.scorers(ledger).await?;
        check(&scorer, &challengers, &question.features)?;
        let acts = scorer.acts().into_iter().chain(challengers.iter().flat_map(|model| model.acts())).collect();
        for _ in 0..ATTEMPTS_MAX {
            let head = ledger.head().map_or(Timestamp::MIN, |head| head.recorded);
            let instant = now.unwrap_or_else(|| ledger.now().max(head));
            let known = gate.lead_facts(ledger, &question.recipient, instant).await?;
            let subject = known.subject().ok_or(RouteError::Unknown)?;
            if let Some(seller) = &question.seller
                && let Err(refused) = gate.lets_lead_go(&known, seller, false)
            {
                return Ok(ScoreAnswer { receipt: None, data: Map::new(), refused, shadows: Vec::new() });
            }
            let facts =
                Facts { acts: acts_of(ledger, &known, &acts, instant).await?, features: question.features.clone() };
            let whole = |scored: Map<String, Value>, facts: &Facts| {
                let mut data = data_of(question, scored, facts);
                data.insert("now".to_owned(), json!(instant));
                data.insert("known_at".to_owned(), json!(known.known_at()));
                data.insert("heads".to_owned(), json!(known.heads()));
                data
            };
            let own = scorer.facts(&facts);
            let data = whole(scorer.score(&own)?, &own);
            let mut shadows: Vec<(Shadow, Option<Map<String, Value>>)> = Vec::new();
            for model in &challengers {
                let scored = Scorer::Model(Arc::clone(model));
                let own = scored.facts(&facts);
                let name = (model.file.model.clone(), model.file.version.clone());
                shadows.push(match scored.score(&own) {
                    Ok(mut scored) => {
                        scored.insert("champion".to_owned(), json!(false));
                        let text = |name: &str| scored.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
                        let points = scored.get("score").and_then(Value::as_i64).unwrap_or_default();
                        let said = Ok((points, text("probability")));
                        (Shadow { model: name, receipt: None, said }, Some(whole(scored, &own)))
                    }
                    Err(why) => (Shadow { model: name, receipt: None, said: Err(why.to_string()) }, None),
                });
            }
            if dry {
                let shadows = shadows.into_iter().map(|(shadow, _)| shadow).collect();
                return Ok(ScoreAnswer { receipt: None, data, refused: Vec::new(), shadows });
            }
            if let Scorer::Card(card) = &scorer {
                self.card_registered(ledger, card, now).await?;
            }
            let event = |data: &Map<String, Value>| {
                let id = EventId::from_bytes(uuid_v7(ledger.now().unix_ms(), ledger.random.bytes())).to_string();
                let event = json!({
                    "specversion": "1.0", "id": id, "source": "/tallystick", "type": ASSIGNED, "subject": subject, "data": data,
                });
                Received { raw: event.to_string().into() }
            };
            let options = || SubmitOptions { actor, strict: false, dry_run: false, now, service: true, closing: None };
            let outcome = ledger.submit_citing(vec![event(&data)], options(), known.cites()).await?;
            match outcome.into_iter().next() {
                Some(Outcome::Recorded(receipt)) => {
                    let shadows = shaded(ledger, shadows, &event, options()).await;
                    return Ok(ScoreAnswer { receipt: Some(receipt), data, refused: Vec::new(), shadows });
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
        let scorer = match recorded.contains_key("probability") {
            true => Scorer::Model(self.model_of(ledger, digest).await?),
            false => Scorer::Card(self.card_of(ledger, digest).await?),
        };
        let personal = data_in(&opened, PartKind::Personal);
        let features = personal.as_ref().and_then(|data| data.get("features")).and_then(Value::as_array);
        let whole = features.is_some() || !scorer.looks() || recorded.get("features_sha256").is_none();
        let facts =
            Facts { acts: acts_in(&recorded), features: features.into_iter().flatten().filter_map(stated).collect() };
        let again = if whole { scorer.score(&facts)? } else { Map::new() };
        let compared: &[&'static str] =
            if whole { &["band", "base", "outcome", "probability", "reasons", "score"] } else { &[] };
        let differs = compared.iter().copied().filter(|name| recorded.get(*name) != again.get(*name)).collect();
        let today = match whole {
            true => {
                let (current, _) = self.scorers(ledger).await?;
                let taken = check(&current, &[], &facts.features).is_ok();
                let scored = current.score(&facts).ok().filter(|_| taken);
                scored.and_then(|scored| {
                    let band = scored.get("band").and_then(Value::as_str).map(str::to_owned);
                    Some((scored.get("score")?.as_i64()?, band))
                })
            }
            false => None,
        };
        Ok(ScoreReplay { recorded, from: if whole { "all" } else { "acts" }, differs, today })
    }
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

impl Scorer {
    /// Acts that it looks at.
    fn acts(&self) -> Vec<Act> {
        match self {
            Scorer::Card(card) => {
                let act = |condition: &Condition| match condition {
                    Condition::Acts { act, .. } => Some(*act),
                    Condition::Number { .. } | Condition::Word { .. } => None,
                };
                card.rules.iter().filter_map(|rule| act(&rule.when)).collect()
            }
            Scorer::Model(model) => model.acts().collect(),
        }
    }

    /// Whether it looks at anything that was stated.
    fn looks(&self) -> bool {
        match self {
            Scorer::Card(card) => card.rules.iter().any(|rule| !matches!(rule.when, Condition::Acts { .. })),
            Scorer::Model(model) => model.file.features.iter().any(|feature| model.takes(&feature.name)),
        }
    }

    fn takes(&self, name: &str) -> bool {
        match self {
            Scorer::Card(card) => card.features.iter().any(|feature| feature.name() == name),
            Scorer::Model(model) => model.takes(name),
        }
    }

    /// The facts that it looks at, which is what its score records.
    fn facts(&self, facts: &Facts) -> Facts {
        let acts = self.acts();
        Facts {
            acts: facts
                .acts
                .iter()
                .filter(|(act, _)| acts.contains(act))
                .map(|(act, ages)| (*act, ages.clone()))
                .collect(),
            features: facts
                .features
                .iter()
                .filter(|(name, _)| self.takes(name))
                .map(|(name, stated)| (name.clone(), stated.clone()))
                .collect(),
        }
    }

    /// What it says of a lead.
    fn score(&self, facts: &Facts) -> Result<Map<String, Value>, FactsError> {
        match self {
            Scorer::Card(card) => {
                let mut data = outcome(&evaluate(card, facts));
                data.insert("model".to_owned(), json!(CARD));
                data.insert("model_version".to_owned(), json!(card.version));
                data.insert("pack_sha256".to_owned(), json!(card.digest));
                Ok(data)
            }
            Scorer::Model(model) => model.score(facts),
        }
    }
}

/// A feature misspelt and ignored would be another lead's score: each must be one that somebody in force takes.
fn check(scorer: &Scorer, challengers: &[Arc<Model>], features: &BTreeMap<String, Stated>) -> Result<(), FactsError> {
    let taken = |name: &&String| scorer.takes(name) || challengers.iter().any(|model| model.takes(name));
    if let Some(name) = features.keys().find(|name| !taken(name)) {
        return Err(FactsError::Unknown(name.clone()));
    }
    let facts = Facts { acts: BTreeMap::new(), features: features.clone() };
    match scorer {
        Scorer::Card(card) => scorer.facts(&facts).check(card),
        Scorer::Model(_) => Ok(()),
    }
}

/// Records what the challengers said. The score that is acted on stands already, so what fails here is told beside it.
async fn shaded(
    ledger: &Ledger,
    shadows: Vec<(Shadow, Option<Map<String, Value>>)>,
    event: &(dyn Fn(&Map<String, Value>) -> Received + Sync),
    options: SubmitOptions,
) -> Vec<Shadow> {
    let events: Vec<Received> = shadows.iter().filter_map(|(_, data)| data.as_ref()).map(event).collect();
    if events.is_empty() {
        return shadows.into_iter().map(|(shadow, _)| shadow).collect();
    }
    let mut outcomes = ledger.submit(events, options).await.unwrap_or_default().into_iter();
    let recorded = shadows.into_iter().map(|(mut shadow, data)| {
        if data.is_some() {
            match outcomes.next() {
                Some(Outcome::Recorded(receipt)) => shadow.receipt = Some(receipt),
                Some(_) | None => shadow.said = Err("its score was not recorded".to_owned()),
            }
        }
        shadow
    });
    recorded.collect()
}

/// Ages of the acts that are looked at.
async fn acts_of(
    ledger: &Ledger,
    known: &LeadFacts,
    wanted: &BTreeSet<Act>,
    now: Timestamp,
) -> Result<BTreeMap<Act, Vec<u64>>, RouteError> {
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
fn data_of(question: &ScoreQuestion, scored: Map<String, Value>, facts: &Facts) -> Map<String, Value> {
    let mut data = scored;
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
    data.insert("acts".to_owned(), json!(acts));
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
