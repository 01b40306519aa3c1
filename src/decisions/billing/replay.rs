//! A recorded price computed again, from what it recorded and the contract that the log keeps.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::price::{PRICED, verdicts};
use super::{BillingError, active, amount, business, by_digest, money};
use crate::domain::money::Micros;
use crate::domain::time::Timestamp;
use crate::ingest::Ledger;
use crate::policy::pricing::{Billable, BillableEvent, Period, Priced, RuleUsage, Usage, price};

/// A price computed again.
#[derive(Debug, Clone)]
pub struct PriceReplay {
    /// Its position.
    pub position: u64,
    /// What it recorded.
    pub recorded: Map<String, Value>,
    /// Members that came out otherwise; none if it stands.
    pub differs: Vec<&'static str>,
    /// What the contract in force now would say of the same event and usage: members that differ, and the price.
    pub today: Option<(Vec<&'static str>, Value)>,
}

const COMPARED: [&str; 4] = ["amount", "payouts", "price_rule", "rules"];

/// Computes the price at `position` again.
///
/// # Errors
/// [`BillingError::Unknown`] if there is none, or its business part is gone.
pub async fn replay_price(ledger: &Ledger, position: u64) -> Result<PriceReplay, BillingError> {
    let absent = || BillingError::Unknown("price decision");
    if position >= ledger.size() {
        return Err(absent());
    }
    let opened = ledger.open_entry(position).await?;
    if opened.entry.event_type.as_str() != PRICED {
        return Err(absent());
    }
    let part = business(&opened).ok_or_else(absent)?;
    let recorded = part.get("data").and_then(Value::as_object).cloned().ok_or_else(absent)?;
    let digest = recorded.get("pack_sha256").and_then(Value::as_str).ok_or_else(absent)?;
    let mut contracts = HashMap::new();
    let contract = by_digest(ledger, &mut contracts, digest).await?;
    let event = event_of(&recorded).ok_or_else(absent)?;
    let usage = usage_of(&recorded, event.occurred);
    let again = outcome(&price(&contract, &event, &usage)?);
    let differs = differing(&recorded, &again);
    let today = match active(ledger, &mut contracts).await {
        Ok(current) => {
            let said = outcome(&price(&current, &event, &usage)?);
            Some((differing(&recorded, &said), said.get("amount").cloned().unwrap_or(Value::Null)))
        }
        Err(BillingError::NoContract) => None,
        Err(error) => return Err(error),
    };
    Ok(PriceReplay { position, recorded, differs, today })
}

fn differing(recorded: &Map<String, Value>, again: &Map<String, Value>) -> Vec<&'static str> {
    COMPARED.into_iter().filter(|name| recorded.get(*name) != again.get(*name)).collect()
}

fn event_of(recorded: &Map<String, Value>) -> Option<BillableEvent> {
    let text = |name: &str| recorded.get(name).and_then(Value::as_str).map(str::to_owned);
    Some(BillableEvent {
        on: Billable::of_type(recorded.get("billed_type")?.as_str()?)?,
        seller: text("seller")?,
        occurred: Timestamp::parse_rfc3339(recorded.get("now")?.as_str()?).ok()?,
        campaign: text("campaign"),
        source: text("source"),
        state: text("state"),
        band: text("band"),
        consent: recorded.get("consent").and_then(Value::as_bool).unwrap_or(false),
        seconds: recorded.get("seconds").and_then(Value::as_i64),
        stated: amount(recorded.get("stated")),
    })
}

fn usage_of(recorded: &Map<String, Value>, at: Timestamp) -> Usage {
    let mut usage = Usage::default();
    for used in recorded.get("usage").and_then(Value::as_array).into_iter().flatten() {
        let text = |name: &str| used.get(name).and_then(Value::as_str);
        let spend = used.get("spend").and_then(|spend| Micros::parse(spend.get("amount")?.as_str()?).ok());
        if let (Some(rule), Some(period)) = (text("rule"), text("period").and_then(Period::from_name)) {
            let count = used.get("count").and_then(Value::as_u64).unwrap_or(0);
            usage.set(rule, period, at.unix_days(), RuleUsage { count, spend: spend.map_or(0, Micros::micros) });
        }
    }
    usage
}

fn outcome(priced: &Priced<'_>) -> Map<String, Value> {
    let mut all = Map::from_iter([("rules".to_owned(), verdicts(priced))]);
    if let Some(rule) = priced.rule {
        let code = rule.currency.code();
        all.insert("price_rule".to_owned(), json!(rule.id));
        all.insert("amount".to_owned(), money(priced.amount, code));
        let payouts: Vec<Value> = priced
            .payouts
            .iter()
            .map(|paid| json!({ "party": paid.party, "kind": paid.kind, "amount": money(paid.amount, code) }))
            .collect();
        if !payouts.is_empty() {
            all.insert("payouts".to_owned(), json!(payouts));
        }
    }
    all
}
