//! Rating: every billable event that no rule priced yet is asked of the contract in force, in the order of the log.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{Biller, BillingError, Run, active, amount, business, member, money, said};
use crate::crypto::hash::Digest;
use crate::decisions::question::RecipientDoc;
use crate::domain::ids::{EventId, SubjectId, uuid_v7};
use crate::domain::money::Currency;
use crate::domain::parts::PartKind;
use crate::domain::time::Timestamp;
use crate::ingest::admit::SubmitOptions;
use crate::ingest::forms::Received;
use crate::ingest::read::Opened;
use crate::ingest::{Outcome, SubmitError};
use crate::policy::pricing::{Billable, BillableEvent, Contract, Priced, Rule, RuleUsage, Usage, VerdictCode, price};
use crate::store::views::{BillingAct, Unrated};

pub(super) const PRICED: &str = "decision.price_recorded";
/// Events that are read, priced and recorded together.
const PAGE: i64 = 500;

/// What a run of rating did.
#[derive(Debug, Clone, Default)]
pub struct Rated {
    /// Contract that was asked.
    pub contract: Option<Digest>,
    /// Events that a rule priced.
    pub priced: u64,
    /// Events of sellers with a contract that no rule priced, by the first reason that was no mere other event.
    pub refused: u64,
    /// Prices taken back because what they priced was annulled or corrected.
    pub taken_back: u64,
    /// Returns credited.
    pub returns_accepted: u64,
    /// Returns refused.
    pub returns_refused: u64,
    /// Prices by currency, in micro-units.
    pub amounts: BTreeMap<String, i64>,
}

/// A price or a judged return on its way into the log.
pub(super) struct Draft {
    pub data: Map<String, Value>,
    pub subject: Option<SubjectId>,
    /// When what it is about happened: its accounting day.
    pub occurred: Timestamp,
}

/// What a run knows of prices that it has recorded itself, beside the rows.
#[derive(Default)]
struct Known {
    usage: HashMap<String, Usage>,
    /// What of a sale's posted revenue was counted against a price.
    covered: HashMap<[u8; 16], i64>,
}

impl Biller {
    /// Prices what is to be priced, takes back what lost its ground, judges returns; all of it recorded.
    ///
    /// # Errors
    /// [`BillingError`]; what was recorded before it stands, and the next run goes on from there.
    pub async fn rate(&self, run: Run<'_>) -> Result<Rated, BillingError> {
        let mut lane = self.lane.lock().await;
        run.caught_up().await?;
        nothing_parked(run).await?;
        let contract = active(run.ledger, &mut lane).await?;
        let mut rated = Rated { contract: Some(contract.digest), ..Rated::default() };
        take_back(run, &mut rated).await?;
        run.caught_up().await?;
        rate_all(run, &contract, &mut rated).await?;
        run.caught_up().await?;
        super::returns::judge_all(run, &contract, &mut rated).await?;
        Ok(rated)
    }
}

/// An entry that the rows could not take may be a price or a return: nothing is priced until it is known which.
async fn nothing_parked(run: Run<'_>) -> Result<(), BillingError> {
    let parked = run.ledger.store().views_parked_count().await?;
    match parked.into_iter().find(|(projection, _)| projection == "billing") {
        Some((_, entries)) => Err(BillingError::Parked(entries)),
        None => Ok(()),
    }
}

/// A price whose event does not count is annulled, and the journal with it.
async fn take_back(run: Run<'_>, rated: &mut Rated) -> Result<(), BillingError> {
    for position in run.ledger.store().billing_void(i64::MAX).await? {
        let data = json!({ "position": position, "reason": "the event that was priced does not count" });
        run.ledger.record_own("event.annulled", None, data, run.actor, run.now).await?;
        rated.taken_back += 1;
    }
    Ok(())
}

async fn rate_all(run: Run<'_>, contract: &Arc<Contract>, rated: &mut Rated) -> Result<(), BillingError> {
    let digest = contract.digest.to_string();
    let mut known = Known::default();
    let mut after = None;
    loop {
        let page = run.ledger.store().billing_unrated(after, &digest, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.position);
        let asked: Vec<&Unrated> =
            page.iter().filter(|event| contract.rules.iter().any(|rule| may_price(rule, event))).collect();
        let positions: Vec<u64> = asked.iter().map(|event| event.position).collect();
        let opened = run.ledger.open_entries(&positions, |_, part| part.kind == PartKind::Business).await?;
        let mut drafts = Vec::with_capacity(asked.len());
        for (event, entry) in asked.into_iter().zip(opened) {
            drafts.extend(draft(run, contract, event, &entry, &mut known, rated).await?);
        }
        record_all(run, PRICED, drafts).await?;
    }
}

/// Whether a rule is for such events of the seller at all; calls of a seller who pays for leads need no decision each.
fn may_price(rule: &Rule, event: &Unrated) -> bool {
    let on = match event.act {
        BillingAct::Appointment => Billable::Appointment,
        BillingAct::Call => Billable::Call,
        BillingAct::Lead => Billable::Lead,
        BillingAct::Sale => Billable::Sale,
        BillingAct::Show => Billable::Show,
        _ => return false,
    };
    rule.seller == event.seller && rule.on == on
}

/// Prices one event; none if its business part is gone.
async fn draft(
    run: Run<'_>,
    contract: &Arc<Contract>,
    unrated: &Unrated,
    entry: &Opened,
    known: &mut Known,
    rated: &mut Rated,
) -> Result<Option<Draft>, BillingError> {
    let Some(part) = business(entry) else { return Ok(None) };
    let Some((event, routed)) = billable(run, contract, unrated, entry, &part).await? else { return Ok(None) };
    let usage = match known.usage.remove(&event.seller) {
        Some(usage) => usage,
        None => usage_of(run, contract, &event.seller).await?,
    };
    let priced = price(contract, &event, &usage)?;
    let record = part.get("refs").and_then(|refs| refs.get("sale")?.as_str());
    let mut data = data_of(contract, unrated, entry, &event, &priced, &usage);
    data.extend(routed.map(|decision| ("routing_decision".to_owned(), json!(decision))));
    data.extend(record.map(|record| ("record".to_owned(), json!(record))));
    let mut usage = usage;
    match priced.rule {
        Some(rule) => {
            usage.count(rule, event.occurred, priced.amount)?;
            rated.priced += 1;
            let sum = rated.amounts.entry(rule.currency.code().to_owned()).or_default();
            *sum = sum.saturating_add(priced.amount);
            if let Some(accrued) = accrued(run, record, priced.amount, rule.currency, known).await? {
                data.insert("accrued".to_owned(), money(accrued, rule.currency.code()));
            }
        }
        None => rated.refused += 1,
    }
    known.usage.insert(event.seller.clone(), usage);
    let subject = entry.entry.subject.map(|link| link.subject);
    Ok(Some(Draft { data, subject, occurred: event.occurred }))
}

/// What the books have of a sale from posted revenue that no price was counted against: at most the price.
async fn accrued(
    run: Run<'_>,
    record: Option<&str>,
    price: i64,
    currency: Currency,
    known: &mut Known,
) -> Result<Option<i64>, BillingError> {
    let mut key = [0; 16];
    let Some(text) = record else { return Ok(None) };
    if data_encoding::HEXLOWER.decode_mut(text.as_bytes(), &mut key).is_err() {
        return Ok(None);
    }
    let moves = run.ledger.store().billing_of_record(&key).await?;
    let mine = moves.iter().filter(|moved| moved.currency == currency.code());
    let sum = |act: BillingAct| mine.clone().filter(move |moved| moved.act == act);
    let posted: i64 = sum(BillingAct::Accrued).map(|moved| moved.amount).sum();
    // What this run recorded may not be in the rows yet, and what is in them may be this run's: the greater knows more.
    let before: i64 = sum(BillingAct::Priced).map(|moved| moved.covered).sum();
    let covered = known.covered.entry(key).or_insert(before);
    *covered = (*covered).max(before);
    let left = (posted - *covered).clamp(0, price.max(0));
    *covered += left;
    Ok(Some(left).filter(|left| *left > 0))
}

async fn usage_of(run: Run<'_>, contract: &Contract, seller: &str) -> Result<Usage, BillingError> {
    let mut usage = Usage::default();
    for (rule, day, count, spend) in run.ledger.store().billing_usage(seller).await? {
        if let Some(rule) = contract.rules.iter().find(|known| known.id == rule && known.seller == seller) {
            usage.add(rule, day, RuleUsage { count, spend })?;
        }
    }
    Ok(usage)
}

/// The event as contracts see it, and the routing decision that it names.
async fn billable(
    run: Run<'_>,
    contract: &Contract,
    unrated: &Unrated,
    entry: &Opened,
    part: &Value,
) -> Result<Option<(BillableEvent, Option<String>)>, BillingError> {
    let Some(on) = Billable::of_type(entry.entry.event_type.as_str()) else { return Ok(None) };
    let text = |name: &str| member(part, name).map(str::to_owned);
    let stated_time = part.get("occurred").and_then(Value::as_str);
    let occurred = stated_time.and_then(|at| Timestamp::parse_rfc3339(at).ok()).unwrap_or(entry.entry.recorded);
    let decision = text("decision").filter(|_| on == Billable::Lead);
    let mut routed = None;
    if let Some(decision) = &decision
        && let Some(position) = run.ledger.service_event(decision).map_err(crate::decisions::DecideError::from)?
    {
        routed = business(&run.ledger.open_entry(position).await?);
    }
    let routed_text = |name: &str| routed.as_ref().and_then(|part| member(part, name)).map(str::to_owned);
    let own = |name: &str| amount(part.get("data").and_then(|data| data.get(name)));
    let offer = routed.as_ref().and_then(|part| amount(part.get("data")?.get("price")));
    let asks = |rule: &&Rule| rule.seller == unrated.seller && rule.on == on && rule.when.consent.is_some();
    let consent = match (contract.rules.iter().any(|rule| asks(&rule)), entry.entry.subject) {
        (true, Some(link)) => {
            let phone = phone_of(run, &link.subject).await?;
            let recipient = RecipientDoc { subject: Some(link.subject.to_string()), phone, ..RecipientDoc::default() };
            let facts = run.gate.lead_facts_then(run.ledger, &recipient, occurred).await?;
            run.gate.lets_lead_go(&facts, &unrated.seller, true).is_ok()
        }
        _ => false,
    };
    let event = BillableEvent {
        on,
        seller: unrated.seller.clone(),
        occurred,
        campaign: text("campaign").or_else(|| routed_text("campaign")),
        source: text("source").or_else(|| routed_text("lead_source")),
        state: routed_text("state"),
        band: routed_text("band"),
        consent,
        seconds: part
            .get("data")
            .and_then(|data| data.get("duration_seconds")?.as_i64())
            .filter(|_| on == Billable::Call),
        stated: match on {
            Billable::Lead => offer.or_else(|| own("price")),
            Billable::Sale => own("value"),
            Billable::Appointment | Billable::Call | Billable::Show => None,
        },
    };
    Ok(Some((event, decision.filter(|_| routed.is_some()))))
}

/// The number that was bound to a person last: consent is for a number. None once he is erased, and then no consent is found.
async fn phone_of(run: Run<'_>, subject: &SubjectId) -> Result<Option<String>, BillingError> {
    let heads = run.ledger.subject_entries(subject, 0).map_err(crate::decisions::DecideError::from)?;
    let mut positions: Vec<u64> = heads.into_iter().map(|head| head.position).collect();
    positions.sort_unstable();
    for chunk in positions.rchunks(200) {
        let opened = run.ledger.open_entries(chunk, |entry, _| entry.event_type == "identifier.bound").await?;
        let bound = opened.iter().rev().filter_map(|entry| entry.plaintext(PartKind::Personal));
        for part in bound.filter_map(|bytes| serde_json::from_slice::<Value>(bytes).ok()) {
            let values = part.get("data").and_then(|data| data.get("values")?.as_array()).into_iter().flatten();
            let phone = values.filter(|value| value.get("kind").and_then(Value::as_str) == Some("phone"));
            if let Some(number) = phone.filter_map(|value| value.get("value")?.as_str()).next_back() {
                return Ok(Some(number.to_owned()));
            }
        }
    }
    Ok(None)
}

/// The data of `decision.price_recorded`, but for what the sale adds.
fn data_of(
    contract: &Contract,
    unrated: &Unrated,
    entry: &Opened,
    event: &BillableEvent,
    priced: &Priced<'_>,
    usage: &Usage,
) -> Map<String, Value> {
    let asked = contract
        .rules
        .iter()
        .any(|rule| rule.seller == event.seller && rule.on == event.on && rule.when.consent.is_some());
    let looked: Vec<Value> = usage
        .looked_at(contract, &event.seller, event.occurred)
        .into_iter()
        .map(|(rule, period, used)| {
            let spend = money(used.spend, rule.currency.code());
            json!({ "rule": rule.id, "period": period.name(), "count": used.count, "spend": spend })
        })
        .collect();
    let currency = priced.rule.map(|rule| rule.currency.code());
    let payouts: Vec<Value> = priced
        .payouts
        .iter()
        .map(|paid| json!({ "party": paid.party, "kind": paid.kind, "amount": money(paid.amount, currency.unwrap_or("XXX")) }))
        .collect();
    said(json!({
        "pack": "pricing",
        "pack_sha256": contract.digest,
        "now": event.occurred,
        "billed": unrated.position,
        "billed_type": entry.entry.event_type.as_str(),
        "kind": event.on.revenue_kind(),
        "seller": event.seller,
        "campaign": event.campaign,
        "source": event.source,
        "state": event.state,
        "band": event.band,
        "consent": asked.then_some(event.consent),
        "seconds": event.seconds,
        "stated": event.stated.map(|(micros, currency)| money(micros, currency.code())),
        "usage": looked,
        "rules": verdicts(priced),
        "price_rule": priced.rule.map(|rule| &rule.id),
        "price_rule_version": priced.rule.map(|_| &contract.version),
        "amount": currency.map(|currency| money(priced.amount, currency)),
        "payouts": (!payouts.is_empty()).then_some(payouts),
    }))
}

pub(super) fn verdicts(priced: &Priced<'_>) -> Value {
    let verdict = |code: VerdictCode| match code {
        VerdictCode::Applied => "pass",
        VerdictCode::Earlier | VerdictCode::NotInForce | VerdictCode::OtherEvent => "not_applicable",
        VerdictCode::Band
        | VerdictCode::Campaign
        | VerdictCode::CapCount
        | VerdictCode::CapSpend
        | VerdictCode::Consent
        | VerdictCode::Duration
        | VerdictCode::Source
        | VerdictCode::State
        | VerdictCode::Stated => "fail",
    };
    priced
        .verdicts
        .iter()
        .map(|said| json!({ "rule": said.rule, "verdict": verdict(said.code), "code": said.code.code() }))
        .collect()
}

/// Records drafts in order, in one request.
pub(super) async fn record_all(run: Run<'_>, event_type: &str, drafts: Vec<Draft>) -> Result<(), BillingError> {
    if drafts.is_empty() {
        return Ok(());
    }
    let outcomes = submit(run, drafts.iter().map(|draft| event(run, event_type, draft, draft.subject))).await?;
    for (draft, outcome) in drafts.iter().zip(outcomes) {
        match outcome {
            Outcome::Recorded(_) => {}
            // The person is being erased or was: it stands in the books without him.
            Outcome::Refused { .. } | Outcome::Quarantined { .. } if draft.subject.is_some() => {
                let again = submit(run, std::iter::once(event(run, event_type, draft, None))).await?;
                if !matches!(again.as_slice(), [Outcome::Recorded(_)]) {
                    return Err(refused(&again));
                }
            }
            other => return Err(refused(&[other])),
        }
    }
    Ok(())
}

fn refused(outcomes: &[Outcome]) -> BillingError {
    SubmitError::ReadOnly(format!("what was decided was not recorded: {outcomes:?}")).into()
}

fn event(run: Run<'_>, event_type: &str, draft: &Draft, subject: Option<SubjectId>) -> Value {
    let id = EventId::from_bytes(uuid_v7(run.ledger.now().unix_ms(), run.ledger.random.bytes())).to_string();
    let mut data = draft.data.clone();
    if event_type == PRICED {
        data.insert("decision".to_owned(), json!(id));
    }
    let mut event = json!({
        "specversion": "1.0", "id": id, "source": "/tallystick", "type": event_type, "time": draft.occurred, "data": data,
    });
    if let (Some(subject), Value::Object(event)) = (subject, &mut event) {
        event.insert("subject".to_owned(), json!(subject.to_string()));
    }
    event
}

async fn submit(run: Run<'_>, events: impl Iterator<Item = Value>) -> Result<Vec<Outcome>, BillingError> {
    let options =
        SubmitOptions { actor: run.actor, strict: false, dry_run: false, now: run.now, service: true, closing: None };
    let received = events.map(|event| Received { raw: event.to_string().into() }).collect();
    Ok(run.ledger.submit(received, options).await?)
}
