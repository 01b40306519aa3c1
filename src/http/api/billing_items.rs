//! What stands behind a line of an invoice, and behind a commission: the price, what it is for, the routing, the contacts, the consent.

use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, Response};
use serde_json::{Map, Value, json};

use super::attribution::behind;
use super::billing::run;
use super::views::{caught_up, day};
use crate::decisions::replay_price;
use crate::domain::ids::SubjectId;
use crate::domain::money::Micros;
use crate::domain::parts::PartKind;
use crate::domain::time::day_text;
use crate::http::csv::{Cell, table};
use crate::http::error::Problem;
use crate::http::front::Caller;
use crate::http::paging::json_response;
use crate::http::request::{Params, wants_csv};
use crate::ingest::Ledger;
use crate::ingest::read::Opened;

/// Entries of the person that are looked through, the latest before the item.
const ENTRIES_MAX: usize = 1_000;
/// Commissions in one answer.
const COMMISSIONS_MAX: usize = 1_000;
/// Members of a price decision that say how the price came about.
const PRICE: [&str; 12] = [
    "accrued",
    "amount",
    "band",
    "campaign",
    "consent",
    "pack_sha256",
    "payouts",
    "price_rule",
    "price_rule_version",
    "rules",
    "stated",
    "usage",
];

/// The items of a line
///
/// Each entry that the line sums, with a link to what stands behind it.
#[utoipa::path(
    get,
    path = "/v1/billing/documents/{position}/lines/{line}",
    tag = "billing",
    params(
        ("position" = u64, Path, description = "Position of the document"),
        ("line" = usize, Path, description = "Place of the line, from 0"),
    ),
    responses(
        (status = 200, description = "`items` in order of the log", body = serde_json::Value),
        (status = 404, description = "No such document or line")
    )
)]
pub async fn billing_line(
    caller: Caller,
    Path((position, line)): Path<(u64, usize)>,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    let (_, _, drawn, _) = caller.service.biller.redrawn(run(&caller, None), position).await?;
    let found = drawn.lines.get(line).ok_or_else(|| Problem::absent("line"))?;
    let code = drawn.currency.code();
    if wants_csv(&headers) {
        let row = |item: &crate::decisions::Item| {
            let day = Cell::Plain(day_text(item.day));
            let amount = Cell::number(Micros::from_micros(item.amount));
            vec![Cell::number(item.position), Cell::number(item.origin), day, Cell::Plain(code.to_owned()), amount]
        };
        let rows: Vec<Vec<Cell>> = found.items.iter().map(row).collect();
        return Ok(table(&["position", "origin", "day", "currency", "amount"], &rows));
    }
    let items: Vec<Value> = found
        .items
        .iter()
        .map(|item| {
            json!({
                "position": item.position, "origin": item.origin, "day": day_text(item.day),
                "amount": { "amount": Micros::from_micros(item.amount).to_string(), "currency": code },
                "opens": format!("/v1/billing/items/{}", item.origin),
            })
        })
        .collect();
    Ok(json_response(&json!({ "document": position, "line": line, "kind": found.kind, "items": items })))
}

/// What a party is paid out of prices
///
/// Each payout of a publisher or agent, with a link to the price that it is a part of. A payout of a price that does not stand comes
/// back with the opposite sign.
#[utoipa::path(
    get,
    path = "/v1/billing/commissions",
    tag = "billing",
    params(
        ("party" = String, Query, description = "Publisher or agent"),
        ("from" = Option<String>, Query, description = "First accounting day"),
        ("to" = Option<String>, Query, description = "The day after the last one"),
        ("beyond" = Option<u64>, Query, description = "Only entries after this position: `next` of the answer before"),
        ("after" = Option<u64>, Query, description = "Wait until the view has seen this position"),
    ),
    responses((status = 200, description = "`items` in order of the log, `next` where there are more", body = serde_json::Value))
)]
pub async fn billing_commissions(
    caller: Caller,
    params: Params,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    let params = params.only(&["party", "from", "to", "beyond", "after"])?;
    caught_up(&caller, &params, &headers).await?;
    let party = params.text("party").ok_or_else(|| Problem::parameter("party", "names a publisher or agent"))?;
    let (from, to) = (day(&params, "from")?.unwrap_or(i64::MIN), day(&params, "to")?.unwrap_or(i64::MAX));
    let store = caller.service.ledger.store();
    let rows_max = i64::try_from(COMMISSIONS_MAX).unwrap_or(i64::MAX);
    let lines = store.payout_lines(party, from, to, params.number("beyond")?, rows_max).await?;
    if wants_csv(&headers) {
        let row = |line: &crate::store::views::PayoutLine| {
            let amount = Cell::number(Micros::from_micros(line.amount));
            let (day, currency) = (Cell::Plain(day_text(line.day)), Cell::Plain(line.currency.clone()));
            let (seller, campaign) = (Cell::Text(line.seller.clone()), Cell::Text(line.campaign.clone()));
            vec![Cell::number(line.position), Cell::number(line.origin), day, seller, campaign, currency, amount]
        };
        let rows: Vec<Vec<Cell>> = lines.iter().map(row).collect();
        return Ok(table(&["position", "price", "day", "seller", "campaign", "currency", "amount"], &rows));
    }
    let items: Vec<Value> = lines
        .iter()
        .map(|line| {
            json!({
                "position": line.position, "price": line.origin, "day": day_text(line.day), "seller": line.seller,
                "campaign": line.campaign,
                "amount": { "amount": Micros::from_micros(line.amount).to_string(), "currency": line.currency },
                "opens": format!("/v1/billing/items/{}", line.origin),
            })
        })
        .collect();
    let next = (lines.len() == COMMISSIONS_MAX).then(|| lines.last().map(|line| line.position)).flatten();
    Ok(json_response(&json!({ "party": party, "items": items, "next": next })))
}

/// What stands behind an item
///
/// The price with the rule in force and every verdict, the event that is billed, the decision that gave the lead to the seller, and the
/// person's contacts and consents before it, each contact with its decision and the consent that the decision relied on.
#[utoipa::path(
    get,
    path = "/v1/billing/items/{position}",
    tag = "billing",
    params(("position" = u64, Path, description = "A price, posted revenue, a refund or a judged return")),
    responses(
        (status = 200, description = "Links down to contact, decision and consent", body = serde_json::Value),
        (status = 404, description = "Nothing that moves a receivable stands there")
    )
)]
pub async fn billing_item(caller: Caller, Path(position): Path<u64>) -> Result<Response<Body>, Problem> {
    let ledger = &caller.service.ledger;
    let absent = || Problem::absent("item of a bill");
    if position >= ledger.size() {
        return Err(absent());
    }
    let opened = ledger.open_entry(position).await?;
    let event_type = opened.entry.event_type.as_str().to_owned();
    if !event_type.starts_with("revenue.")
        && !matches!(event_type.as_str(), "decision.price_recorded" | "billing.return_judged")
    {
        return Err(absent());
    }
    let data = data_of(&opened).ok_or_else(absent)?;
    let text = |name: &str| data.get(name).and_then(Value::as_str);
    let mut view = Map::from_iter([
        ("position".to_owned(), json!(position)),
        ("event".to_owned(), json!(event_type)),
        ("recorded".to_owned(), json!(opened.entry.recorded)),
        ("seller".to_owned(), json!(text("seller"))),
        ("amount".to_owned(), data.get("amount").cloned().unwrap_or_default()),
        ("opens".to_owned(), json!(format!("/v1/events/{position}"))),
    ]);
    if event_type == "decision.price_recorded" {
        let price: Map<String, Value> =
            PRICE.iter().filter_map(|name| Some(((*name).to_owned(), data.get(*name)?.clone()))).collect();
        view.insert("price".to_owned(), Value::Object(price));
        view.insert("replay".to_owned(), json!(format!("/v1/billing/items/{position}/replay")));
    }
    let below = data.get("billed").or_else(|| data.get("sold")).and_then(Value::as_u64);
    if let Some(billed) = below {
        let of = ledger.open_entry(billed).await?;
        view.insert(
            "billed".to_owned(),
            json!({ "position": billed, "event": of.entry.event_type.as_str(), "opens": format!("/v1/events/{billed}") }),
        );
    }
    if let Some(decision) =
        text("routing_decision").or_else(|| text("decision").filter(|_| event_type == "revenue.recorded"))
    {
        view.insert("routing".to_owned(), routing(ledger, decision).await?);
    }
    let subject = opened.entry.subject.map(|link| link.subject);
    view.insert("subject".to_owned(), json!(subject.map(|subject| subject.to_string())));
    let (contacts, consents) = match subject {
        Some(subject) => history(ledger, &subject, below.unwrap_or(position)).await?,
        None => (Vec::new(), Vec::new()),
    };
    view.insert("contacts".to_owned(), json!(contacts));
    view.insert("consents".to_owned(), json!(consents));
    Ok(json_response(&Value::Object(view)))
}

fn data_of(opened: &Opened) -> Option<Value> {
    let part: Value = serde_json::from_slice(opened.plaintext(PartKind::Business)?).ok()?;
    part.get("data").cloned()
}

async fn routing(ledger: &Ledger, decision: &str) -> Result<Value, Problem> {
    let found = ledger.service_event(decision).map_err(|error| Problem::failed(&error))?;
    let Some(position) = found else { return Ok(json!({ "decision": decision, "position": null })) };
    let opened = ledger.open_entry(position).await?;
    let data = data_of(&opened).unwrap_or_default();
    Ok(json!({
        "decision": decision, "position": position, "event": opened.entry.event_type.as_str(),
        "pool": data.get("pool"), "chosen": data.get("chosen"), "opens": format!("/v1/events/{position}"),
    }))
}

/// The person's contacts and consents up to a position, the latest first looked for, in order.
async fn history(ledger: &Ledger, subject: &SubjectId, up_to: u64) -> Result<(Vec<Value>, Vec<Value>), Problem> {
    let heads = ledger.subject_entries(subject, 0).map_err(|error| Problem::failed(&error))?;
    let mut positions: Vec<u64> = heads.iter().map(|head| head.position).filter(|at| *at <= up_to).collect();
    positions.sort_unstable();
    let first = positions.len().saturating_sub(ENTRIES_MAX);
    let latest = positions.split_off(first);
    let (mut contacts, mut consents) = (Vec::new(), Vec::new());
    for opened in ledger.open_entries(&latest, |_, part| part.kind == PartKind::Business).await? {
        let (position, event_type) = (opened.entry.position, opened.entry.event_type.as_str());
        let mut link = Map::from_iter([
            ("position".to_owned(), json!(position)),
            ("event".to_owned(), json!(event_type)),
            ("recorded".to_owned(), json!(opened.entry.recorded)),
            ("opens".to_owned(), json!(format!("/v1/events/{position}"))),
        ]);
        if event_type.starts_with("contact.") {
            link.extend(behind(ledger, position).await?);
            contacts.push(Value::Object(link));
        } else if event_type.starts_with("consent.") {
            consents.push(Value::Object(link));
        }
    }
    Ok((contacts, consents))
}

/// Compute a price again
///
/// From what it recorded and the contract that the log keeps, and what the contract in force now would say.
#[utoipa::path(
    post,
    path = "/v1/billing/items/{position}/replay",
    tag = "billing",
    params(("position" = u64, Path, description = "Position of a price decision")),
    responses(
        (status = 200, description = "`identical`, and what differs", body = serde_json::Value),
        (status = 404, description = "No price decision stands there")
    )
)]
pub async fn billing_item_replay(caller: Caller, Path(position): Path<u64>) -> Result<Response<Body>, Problem> {
    let replay = replay_price(&caller.service.ledger, position).await?;
    let today = replay.today.map(|(differs, amount)| json!({ "differs": differs, "amount": amount }));
    Ok(json_response(&json!({
        "position": replay.position, "identical": replay.differs.is_empty(), "differs": replay.differs,
        "recorded": { "amount": replay.recorded.get("amount"), "price_rule": replay.recorded.get("price_rule") },
        "today": today,
    })))
}
