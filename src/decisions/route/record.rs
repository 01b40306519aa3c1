//! What a routing decision says in the log.

use serde_json::{Map, Value, json};

use super::{NAMED_MAX, Released};
use crate::domain::money::Micros;
use crate::domain::time::{MICROS_PER_SECOND, Timestamp};
use crate::policy::routing::{Choice, Lead, Plan, Pool, Price};

/// What a decision was made from.
pub(super) struct Basis<'a> {
    pub plan: &'a Plan,
    pub pool: &'a Pool,
    pub lead: &'a Lead,
    pub id: &'a str,
    pub now: Timestamp,
    pub draw: &'a [u8; 32],
    pub previous: Option<u64>,
    pub released: &'a Option<Released>,
}

/// The data of `decision.routing_recorded`.
pub(super) fn data_of(basis: &Basis<'_>, choice: &Choice) -> Map<String, Value> {
    let Basis { plan, pool, lead, .. } = basis;
    let refused: Vec<Value> = choice
        .refused
        .iter()
        .map(|(reason, sellers)| {
            let named: Vec<&String> = sellers.iter().take(NAMED_MAX).collect();
            json!({ "code": reason.code(), "count": sellers.len(), "sellers": named })
        })
        .collect();
    let consent: Vec<Value> = choice
        .consent
        .iter()
        .take(NAMED_MAX)
        .map(|(seller, codes)| json!({ "candidate": seller, "codes": codes }))
        .collect();
    let money = |price: &Price| json!({ "amount": Micros::from_micros(price.micros).to_string(), "currency": price.currency.code() });
    let bids: Vec<Value> = lead
        .bids
        .iter()
        .take(NAMED_MAX)
        .map(|(seller, price)| json!({ "candidate": seller, "price": money(price) }))
        .collect();
    let assigned = choice.assigned.as_ref();
    let respond_by = pool
        .sla_minutes
        .filter(|_| assigned.is_some())
        .and_then(|minutes| basis.now.checked_add_micros(i64::from(minutes) * 60 * MICROS_PER_SECOND));
    let had: Vec<&String> = basis.released.iter().flat_map(|released| &released.sellers).collect();
    let all = json!({
        "decision": basis.id,
        "pack": "routing",
        "pack_sha256": plan.digest,
        "zone": plan.zone.name(),
        "now": basis.now,
        "pool": pool.id,
        "kind": "seller",
        "strategy": pool.strategy.name(),
        "chosen": assigned.map(|assigned| &assigned.seller),
        "pass": assigned.map(|assigned| assigned.pass.to_string()),
        "virtual_time": assigned.map(|assigned| assigned.virtual_time.to_string()),
        "price": choice.price.as_ref().map(money),
        "probability": choice.probability.map(probability),
        "seed": choice.probability.map(|_| data_encoding::HEXLOWER.encode(basis.draw)),
        "eligible": choice.eligible,
        "in_line": choice.in_line,
        "campaign": lead.campaign,
        "lead_source": lead.source,
        "vertical": lead.vertical,
        "state": lead.state,
        "band": lead.band,
        "score": lead.score,
        "excluded": lead.exclude,
        "previous": basis.previous,
        "respond_by": respond_by,
        "reassigns": basis.released.as_ref().map(|released| &released.decision),
        "reassign_reason": basis.released.as_ref().map(|released| &released.reason),
        "released": basis.released.as_ref().map(|released| &released.data),
        "had": had,
    });
    let Value::Object(mut all) = all else { return Map::new() };
    // Moved, not written by the macro, which would copy them.
    let lists = [("refused", refused), ("consent", consent), ("bids", bids)];
    all.extend(lists.map(|(name, list)| (name.to_owned(), Value::Array(list))));
    all.retain(|_, value| !(value.is_null() || value.as_array().is_some_and(Vec::is_empty)));
    all
}

/// Millionths as a decimal text.
fn probability(millionths: u32) -> String {
    if millionths >= 1_000_000 { "1".to_owned() } else { format!("0.{millionths:06}") }
}
