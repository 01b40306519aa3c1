//! Who gets this lead: asked, chosen in one lane, recorded, answered.
//!
//! Order, and what each step's death means: the lane is taken, and with it the standings, a fold of the decisions in the log; the
//! choice is made in memory only; it is recorded, refused at commit if the person's head moved, and then all is done again; the
//! lane is given back. A process that dies before the commit has promised the lead to nobody; after it the decision is in the log,
//! answered or not. One lane per ledger, on the server that appends, so that caps and weights cannot race; each decision names the
//! one before it.

mod cards;
mod record;
mod replay;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::gate::{DecideError, Gate};
use super::packs;
use super::question::{QuestionError, RecipientDoc};
use super::record::Recorded;
use super::score::{InForce, MODEL_ACTIVATED, Model, ModelError};
use crate::chain::decode::EntryRef;
use crate::domain::ids::{EventId, PrincipalId, uuid_v7};
use crate::domain::money::{Currency, Micros};
use crate::domain::nanp::area_codes;
use crate::domain::parts::PartKind;
use crate::domain::time::Timestamp;
use crate::ingest::admit::SubmitOptions;
use crate::ingest::noted::NotedFor;
use crate::ingest::read::ReadError;
use crate::ingest::{Ledger, Outcome, Receipt, SubmitError};
use crate::policy::routing::{Assigned, ConsentRule, Lead, Plan, PlanError, Pool, Price, Standings, builtin, choose};
use crate::policy::scoring::{Card, CardError, FactsError};

use record::{Basis, data_of};
pub use replay::{RouteReplay, replay_routes};

const RECORDED: &str = "decision.routing_recorded";
const ACTIVATED: &str = "policy.pack_activated";
/// How often a choice is made again because the person's head moved.
const ATTEMPTS_MAX: usize = 16;
/// Sellers that a decision names under one reason; all are counted.
const NAMED_MAX: usize = 200;

/// Who should get a lead.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteQuestion {
    /// Whose lead it is.
    pub recipient: RecipientDoc,
    /// The lead.
    #[serde(default)]
    pub lead: LeadDoc,
    /// Pool; absent: the first that takes the lead.
    pub pool: Option<String>,
    /// Sellers who must not get it.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Offers by seller, where the pool goes by offers.
    #[serde(default)]
    pub bids: BTreeMap<String, AmountDoc>,
    /// The lead was given before, and goes to another one now.
    pub reassigns: Option<ReassignDoc>,
}

/// A lead, without a person in it.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LeadDoc {
    /// Your record id of the lead.
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    /// Campaign.
    pub campaign: Option<String>,
    /// Where it came from.
    pub source: Option<String>,
    /// Vertical.
    pub vertical: Option<String>,
    /// State. Absent: that of the recipient, where stated.
    pub state: Option<String>,
    /// Score band.
    pub band: Option<String>,
    /// Score.
    pub score: Option<i64>,
}

/// Money of an offer.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AmountDoc {
    /// Major units.
    pub amount: String,
    /// ISO 4217 code.
    pub currency: String,
}

/// Which decision is taken back, and why.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReassignDoc {
    /// Its id.
    pub decision: String,
    /// `timeout`, `rejected`, `returned` or `other`.
    pub reason: String,
}

/// Why nobody was chosen or nothing could be.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// The score card.
    #[error(transparent)]
    Card(#[from] CardError),
    /// The gate.
    #[error(transparent)]
    Decide(#[from] DecideError),
    /// Stated features that the card does not take.
    #[error(transparent)]
    Facts(#[from] FactsError),
    /// The card that a score cites is not in the log.
    #[error("the score card is not here")]
    NoCard,
    /// A model file.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The model that was put in force, or that a score cites, is not in the log.
    #[error("the model is not here")]
    NoModel,
    /// No plan was activated.
    #[error("no routing plan is in force")]
    NoPlan,
    /// No pool takes the lead, or the one named is none of the plan.
    #[error("no pool of the plan takes this lead")]
    NoPool,
    /// The plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Part of the question.
    #[error(transparent)]
    Question(#[from] QuestionError),
    /// The person is not known: the lead must be recorded first.
    #[error("the person is not known: record the lead first")]
    Unknown,
    /// The log cannot be read.
    #[error("read")]
    Read(#[from] ReadError),
    /// The ledger did not take the record.
    #[error(transparent)]
    Submit(#[from] SubmitError),
}

/// A decision that is in the log.
#[derive(Debug, Clone)]
pub struct Routed {
    /// Where it is.
    pub receipt: Receipt,
    /// What was recorded.
    pub data: Map<String, Value>,
}

/// The lane of one ledger: standings and the plan in force.
#[derive(Debug, Default)]
pub struct Router {
    pub(super) state: tokio::sync::Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    noted_read: usize,
    standings: Standings,
    last: Option<u64>,
    /// What this lane recorded last, and where: not to be read back.
    fresh: Option<(u64, Map<String, Value>)>,
    active: Option<String>,
    plans: HashMap<String, Arc<Plan>>,
    card: Option<String>,
    cards: HashMap<String, Arc<Card>>,
    pub(super) in_force: InForce,
    pub(super) models: HashMap<String, Arc<Model>>,
}

impl State {
    pub(super) async fn catch_up(&mut self, ledger: &Ledger) -> Result<(), RouteError> {
        for position in ledger.noted_from(NotedFor::Routing, self.noted_read).await? {
            self.take(ledger, position).await?;
            self.noted_read += 1;
        }
        Ok(())
    }

    async fn take(&mut self, ledger: &Ledger, position: u64) -> Result<(), RouteError> {
        if let Some((at, data)) = self.fresh.take()
            && at == position
        {
            self.routed(position, &data);
            return Ok(());
        }
        let bytes = ledger.store().entry_at(position).await.map_err(ReadError::from)?;
        let bytes = bytes.ok_or(ReadError::Absent(position))?;
        let entry = EntryRef::decode(&bytes).map_err(|source| ReadError::Entry { position, source })?;
        if !matches!(entry.event_type, RECORDED | ACTIVATED | MODEL_ACTIVATED | "lead.accepted" | "lead.rejected") {
            return Ok(());
        }
        let event_type = entry.event_type.to_owned();
        let Some(data) = business(ledger, position).await? else { return Ok(()) };
        let text = |name: &str| data.get(name).and_then(Value::as_str);
        match event_type.as_str() {
            ACTIVATED if text("kind") == Some("routing") => self.active = text("pack_sha256").map(str::to_owned),
            ACTIVATED if text("kind") == Some("scoring") => {
                // What was put in force last answers.
                self.card = text("pack_sha256").map(str::to_owned);
                self.in_force.champion = None;
            }
            ACTIVATED => {}
            MODEL_ACTIVATED => self.in_force.take(&data),
            RECORDED => self.routed(position, &data),
            _ => self.answered(ledger, &data, event_type == "lead.accepted").await?,
        }
        Ok(())
    }

    fn routed(&mut self, position: u64, data: &Map<String, Value>) {
        self.last = Some(position);
        apply(&mut self.standings, data);
    }

    /// A seller's answer counts for the pool of the decision that gave him the lead.
    async fn answered(&mut self, ledger: &Ledger, data: &Map<String, Value>, took: bool) -> Result<(), RouteError> {
        let text = |name: &str| data.get(name).and_then(Value::as_str);
        let (Some(seller), Some(decision)) = (text("seller"), text("decision")) else { return Ok(()) };
        let Some(position) = ledger.service_event(decision).map_err(DecideError::from)? else { return Ok(()) };
        if let Some(routed) = business(ledger, position).await?
            && let Some(pool) = routed.get("pool").and_then(Value::as_str)
        {
            self.standings.answered(pool, seller, took);
        }
        Ok(())
    }

    async fn plan(&mut self, ledger: &Ledger) -> Result<Arc<Plan>, RouteError> {
        let digest = self.active.clone().ok_or(RouteError::NoPlan)?;
        if let Some(plan) = self.plans.get(&digest) {
            return Ok(Arc::clone(plan));
        }
        let text = packs::document(ledger, &digest).await.map_err(|_| RouteError::NoPlan)?;
        let plan = Arc::new(Plan::parse(&text)?);
        self.plans.insert(digest, Arc::clone(&plan));
        Ok(plan)
    }
}

/// Business data of an entry; none where it is gone.
async fn business(ledger: &Ledger, position: u64) -> Result<Option<Map<String, Value>>, ReadError> {
    let opened = ledger.open_entry(position).await?;
    let part = opened.plaintext(PartKind::Business).and_then(|bytes| serde_json::from_slice::<Value>(bytes).ok());
    Ok(part.and_then(|part| part.get("data").and_then(Value::as_object).cloned()))
}

/// What a recorded decision does to the standings.
fn apply(standings: &mut Standings, data: &Map<String, Value>) {
    let zone = data.get("zone").and_then(Value::as_str).and_then(|zone| zone.parse().ok()).unwrap_or(chrono_tz::UTC);
    if let Some(released) = data.get("released").and_then(Value::as_object)
        && let Some(assigned) = assigned_of(released)
    {
        let weight = released.get("weight").and_then(Value::as_u64).and_then(|weight| u32::try_from(weight).ok());
        standings.release(&assigned, weight.unwrap_or(1), zone);
    }
    if let Some(assigned) = assigned_of(data) {
        standings.assign(&assigned, zone);
    }
}

fn assigned_of(data: &Map<String, Value>) -> Option<Assigned> {
    let text = |name: &str| data.get(name).and_then(Value::as_str);
    let number = |name: &str| text(name).and_then(|digits| digits.parse().ok());
    let amount = data.get("price").and_then(|price| price.get("amount")?.as_str());
    Some(Assigned {
        pool: text("pool")?.to_owned(),
        seller: text("chosen")?.to_owned(),
        now: Timestamp::parse_rfc3339(text("now")?).ok()?,
        pass: number("pass").unwrap_or(0),
        virtual_time: number("virtual_time").unwrap_or(0),
        micros: amount.and_then(|amount| Micros::parse(amount).ok()).map_or(0, Micros::micros),
    })
}

fn wrong(pointer: &'static str, code: &'static str, detail: &str) -> QuestionError {
    QuestionError { pointer, code, detail: detail.to_owned() }
}

impl RouteQuestion {
    fn lead(&self) -> Result<Lead, QuestionError> {
        let state = self.lead.state.as_ref().or(self.recipient.state.as_ref()).map(|state| state.to_ascii_uppercase());
        if state.as_deref().is_some_and(|state| area_codes().state_zones(state).is_empty()) {
            return Err(wrong("/lead/state", "state_unknown", "is no state of the United States"));
        }
        let mut bids = BTreeMap::new();
        for (seller, bid) in &self.bids {
            let micros = Micros::parse(&bid.amount)
                .map_err(|_| wrong("/bids", "amount_invalid", "has amounts such as 12.34"))?;
            let currency = Currency::parse(&bid.currency);
            let currency = currency.map_err(|_| wrong("/bids", "currency_unknown", "names currencies of ISO 4217"))?;
            bids.insert(seller.clone(), Price { micros: micros.micros(), currency });
        }
        let lead = &self.lead;
        for (pointer, id) in
            [("/lead/campaign", &lead.campaign), ("/lead/source", &lead.source), ("/lead/vertical", &lead.vertical)]
        {
            if id.as_ref().is_some_and(|id| !is_id(id)) {
                return Err(wrong(pointer, "id_invalid", "is letters, digits, . _ - and at most 64 of them"));
            }
        }
        if lead.band.as_ref().is_some_and(|band| !is_band(band)) {
            return Err(wrong("/lead/band", "band_invalid", "is a capital letter, and at most a digit"));
        }
        if self.reassigns.as_ref().is_some_and(|of| !REASONS.contains(&of.reason.as_str())) {
            return Err(wrong("/reassigns/reason", "enum_unknown", "is timeout, rejected, returned or other"));
        }
        Ok(Lead {
            campaign: lead.campaign.clone(),
            source: lead.source.clone(),
            vertical: lead.vertical.clone(),
            state,
            band: lead.band.clone(),
            score: lead.score,
            exclude: self.exclude.clone(),
            bids,
        })
    }
}

const REASONS: [&str; 4] = ["timeout", "rejected", "returned", "other"];

fn is_id(text: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    text.len() <= 64 && text.bytes().all(inside) && text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
}

fn is_band(text: &str) -> bool {
    match text.as_bytes() {
        [letter] => letter.is_ascii_uppercase(),
        [letter, digit] => letter.is_ascii_uppercase() && digit.is_ascii_digit(),
        _ => false,
    }
}

/// The pool of a lead: the one named, else the first that takes it.
fn pool_of<'a>(plan: &'a Plan, named: Option<&str>, lead: &Lead) -> Option<&'a Pool> {
    let takes = |list: &[String], value: &Option<String>| {
        list.is_empty() || value.as_ref().is_some_and(|value| list.contains(value))
    };
    match named {
        Some(id) => plan.pool(id),
        None => plan.pools.iter().find(|pool| {
            takes(&pool.takes.campaigns, &lead.campaign)
                && takes(&pool.takes.sources, &lead.source)
                && takes(&pool.takes.verticals, &lead.vertical)
                && takes(&pool.takes.states, &lead.state)
        }),
    }
}

/// A decision that is taken back.
struct Released {
    data: Value,
    decision: String,
    reason: String,
    sellers: Vec<String>,
}

impl Router {
    /// Chooses who gets a lead and records the choice first.
    ///
    /// # Errors
    /// [`RouteError`]; after `Submit` the outcome is unknown, and nothing may be done on its strength: ask again.
    pub async fn route(
        &self,
        ledger: &Ledger,
        gate: &Gate,
        question: &RouteQuestion,
        actor: PrincipalId,
        now: Option<Timestamp>,
    ) -> Result<Routed, RouteError> {
        let mut lead = question.lead()?;
        let mut state = self.state.lock().await;
        for _ in 0..ATTEMPTS_MAX {
            state.catch_up(ledger).await?;
            let plan = state.plan(ledger).await?;
            let head = ledger.head().map_or(Timestamp::MIN, |head| head.recorded);
            let instant = now.unwrap_or_else(|| ledger.now().max(head));
            let released = match &question.reassigns {
                Some(of) => Some(self.released(ledger, &plan, of).await?),
                None => None,
            };
            lead.exclude = question.exclude.clone();
            lead.exclude.extend(released.iter().flat_map(|released| released.sellers.clone()));
            let pool = pool_of(&plan, question.pool.as_deref(), &lead).ok_or(RouteError::NoPool)?;
            let known = gate.lead_facts(ledger, &question.recipient, instant).await?;
            let subject = known.subject().ok_or(RouteError::Unknown)?;
            if question.lead.score.is_none() && question.lead.band.is_none() {
                let scored = known.scored();
                lead.score = scored.and_then(|said| said.score);
                lead.band = scored.and_then(|said| said.band.clone());
            }
            let mut standings = None;
            if let Some(released) = &released {
                // The turn comes back before the next one is chosen.
                let mut given_back = state.standings.clone();
                apply(
                    &mut given_back,
                    &Map::from_iter([
                        ("released".to_owned(), released.data.clone()),
                        ("zone".to_owned(), json!(plan.zone.name())),
                    ]),
                );
                standings = Some(given_back);
            }
            let draw = ledger.random.bytes();
            let mut consent = |seller: &str| match pool.consent {
                ConsentRule::None => Ok(()),
                ConsentRule::Transfer => gate.lets_lead_go(&known, seller, false),
                ConsentRule::Seller => gate.lets_lead_go(&known, seller, true),
            };
            let of = standings.as_ref().unwrap_or(&state.standings);
            let choice = choose(&plan, pool, &lead, of, instant, &draw, &mut consent);
            let id = EventId::from_bytes(uuid_v7(ledger.now().unix_ms(), ledger.random.bytes())).to_string();
            let basis = Basis {
                plan: &plan,
                pool,
                lead: &lead,
                id: &id,
                now: instant,
                draw: &draw,
                previous: state.last,
                released: &released,
            };
            let mut data = data_of(&basis, &choice);
            data.insert("known_at".to_owned(), json!(known.known_at()));
            data.insert("heads".to_owned(), Value::Array(known.heads()));
            data.insert("lists".to_owned(), Value::Array(known.lists()));
            data.extend(question.lead.reference.as_ref().map(|reference| ("lead".to_owned(), json!(reference))));
            let event = Recorded::new(&id, RECORDED, Some(subject), &data).received()?;
            let options = SubmitOptions { actor, strict: false, dry_run: false, now, service: true, closing: None };
            let outcome = ledger.submit_citing(vec![event], options, known.cites()).await?;
            match outcome.into_iter().next() {
                Some(Outcome::Recorded(receipt)) => {
                    state.fresh = Some((receipt.position, data.clone()));
                    return Ok(Routed { receipt, data });
                }
                Some(Outcome::Refused { code: "head_moved", .. }) => {}
                Some(other) => return Err(DecideError::Refused(format!("{other:?}")).into()),
                None => return Err(SubmitError::Stopping.into()),
            }
        }
        Err(DecideError::Busy.into())
    }

    async fn released(&self, ledger: &Ledger, plan: &Plan, of: &ReassignDoc) -> Result<Released, RouteError> {
        let absent = || wrong("/reassigns/decision", "decision_unknown", "is no routing decision that chose somebody");
        let position = ledger.service_event(&of.decision).map_err(DecideError::from)?.ok_or_else(absent)?;
        let before = business(ledger, position).await?.ok_or_else(absent)?;
        let assigned = assigned_of(&before).ok_or_else(absent)?;
        let weight = plan.pool(&assigned.pool).and_then(|pool| {
            pool.buyers.iter().find(|buyer| buyer.seller == assigned.seller).map(|buyer| pool.weight_of(buyer))
        });
        let mut data = json!({
            "pool": assigned.pool, "chosen": assigned.seller, "now": assigned.now, "weight": weight.unwrap_or(1),
        });
        if let (Value::Object(data), Some(price)) = (&mut data, before.get("price")) {
            data.insert("price".to_owned(), price.clone());
        }
        // Whoever had the lead before this one must not get it either.
        let mut sellers = vec![assigned.seller];
        let earlier = before.get("had").and_then(Value::as_array).into_iter().flatten();
        sellers.extend(earlier.filter_map(|seller| seller.as_str().map(str::to_owned)));
        Ok(Released { data, decision: of.decision.clone(), reason: of.reason.clone(), sellers })
    }

    /// Registers a plan and puts it in force.
    ///
    /// # Errors
    /// [`RouteError::Plan`] names what is wrong with it; nothing is recorded then.
    pub async fn activate(
        &self,
        ledger: &Ledger,
        text: &str,
        actor: PrincipalId,
        now: Option<Timestamp>,
    ) -> Result<(Plan, Receipt), RouteError> {
        let plan = Plan::parse(text)?;
        packs::register_document(ledger, "routing", &plan.version, text, now).await?;
        let version: String = plan.digest.to_string().chars().take(16).collect();
        let data = json!({ "pack": "routing", "version": version, "pack_sha256": plan.digest, "kind": "routing" });
        let receipt = ledger.record_own(ACTIVATED, None, data, actor, now).await?;
        Ok((plan, receipt))
    }

    /// The plan in force; that of the build, which routes nothing, where none was activated.
    ///
    /// # Errors
    /// [`RouteError`] when the log cannot be read.
    pub async fn plan(&self, ledger: &Ledger) -> Result<Arc<Plan>, RouteError> {
        let mut state = self.state.lock().await;
        state.catch_up(ledger).await?;
        match state.plan(ledger).await {
            Err(RouteError::NoPlan) => builtin().map(|plan| Arc::new(plan.clone())).ok_or(RouteError::NoPlan),
            other => other,
        }
    }

    /// A copy of the standings as they are.
    ///
    /// # Errors
    /// [`RouteError`] when the log cannot be read.
    pub async fn standings(&self, ledger: &Ledger) -> Result<Standings, RouteError> {
        let mut state = self.state.lock().await;
        state.catch_up(ledger).await?;
        Ok(state.standings.clone())
    }
}
