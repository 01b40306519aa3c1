//! Routing decisions computed again, in order, from the plans, leads and draws that the log keeps.

use serde_json::{Map, Value, json};

use super::record::{Basis, data_of};
use super::{RouteError, State, apply, business};
use crate::domain::money::{Currency, Micros};
use crate::domain::time::Timestamp;
use crate::ingest::Ledger;
use crate::ingest::noted::NotedFor;
use crate::policy::routing::{Lead, Price, choose};

/// A routing decision computed again.
#[derive(Debug, Clone)]
pub struct RouteReplay {
    /// Its position.
    pub position: u64,
    /// What it recorded.
    pub recorded: Map<String, Value>,
    /// Members that came out otherwise; none if it stands.
    pub differs: Vec<String>,
}

/// Computes every routing decision up to `last` again, in order, from the plans, leads and draws that the log keeps; the answers
/// of the consent are taken as recorded. `told` is called with each.
///
/// # Errors
/// [`RouteError`] when the log, or a plan in it, cannot be read.
pub async fn replay_routes(ledger: &Ledger, last: u64, mut told: impl FnMut(RouteReplay)) -> Result<(), RouteError> {
    let mut state = State::default();
    for position in ledger.noted_from(NotedFor::Routing, 0).await? {
        if position > last {
            break;
        }
        if let Some(recorded) = business(ledger, position).await?
            && recorded.contains_key("pool")
            && recorded.contains_key("eligible")
        {
            let differs = again(ledger, &mut state, &recorded).await?;
            told(RouteReplay { position, recorded, differs });
        }
        state.take(ledger, position).await?;
    }
    Ok(())
}

async fn again(ledger: &Ledger, state: &mut State, recorded: &Map<String, Value>) -> Result<Vec<String>, RouteError> {
    let text = |name: &str| recorded.get(name).and_then(Value::as_str).map(str::to_owned);
    let unknown = || RouteError::NoPlan;
    let digest = text("pack_sha256").ok_or_else(unknown)?;
    let active = state.active.replace(digest);
    let plan = state.plan(ledger).await;
    state.active = active;
    let plan = plan?;
    let pool = text("pool").and_then(|pool| plan.pool(&pool).cloned()).ok_or(RouteError::NoPool)?;
    let items = |name: &str| recorded.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let price = |value: &Value| -> Option<Price> {
        let micros = Micros::parse(value.get("amount")?.as_str()?).ok()?.micros();
        Some(Price { micros, currency: Currency::parse(value.get("currency")?.as_str()?).ok()? })
    };
    let bids = items("bids");
    let bid = |item: &Value| Some((item.get("candidate")?.as_str()?.to_owned(), price(item.get("price")?)?));
    let lead = Lead {
        campaign: text("campaign"),
        source: text("lead_source"),
        vertical: text("vertical"),
        state: text("state"),
        band: text("band"),
        score: recorded.get("score").and_then(Value::as_i64),
        exclude: items("excluded").iter().filter_map(|seller| seller.as_str().map(str::to_owned)).collect(),
        bids: bids.iter().filter_map(bid).collect(),
    };
    let refused_by_consent: Vec<String> =
        items("consent").iter().filter_map(|item| item.get("candidate")?.as_str().map(str::to_owned)).collect();
    let now = text("now").and_then(|now| Timestamp::parse_rfc3339(&now).ok()).ok_or_else(unknown)?;
    let mut draw = [0; 32];
    if let Some(seed) = text("seed") {
        data_encoding::HEXLOWER.decode_mut(seed.as_bytes(), &mut draw).map_err(|_| unknown())?;
    }
    let mut given_back = None;
    if let Some(released) = recorded.get("released") {
        let mut standings = state.standings.clone();
        let members = [("released".to_owned(), released.clone()), ("zone".to_owned(), json!(plan.zone.name()))];
        apply(&mut standings, &Map::from_iter(members));
        given_back = Some(standings);
    }
    let standings = given_back.as_ref().unwrap_or(&state.standings);
    let mut consent = |seller: &str| {
        if refused_by_consent.iter().any(|refused| refused == seller) { Err(Vec::new()) } else { Ok(()) }
    };
    let choice = choose(&plan, &pool, &lead, standings, now, &draw, &mut consent);
    let basis = Basis {
        plan: &plan,
        pool: &pool,
        lead: &lead,
        id: "",
        now,
        draw: &draw,
        previous: state.last,
        released: &None,
    };
    let data = data_of(&basis, &choice);
    let names = [
        "chosen",
        "pass",
        "virtual_time",
        "price",
        "probability",
        "eligible",
        "in_line",
        "refused",
        "previous",
        "respond_by",
    ];
    let differs = names.iter().filter(|name| data.get(**name) != recorded.get(**name)).map(|name| (*name).to_owned());
    Ok(differs.collect())
}
