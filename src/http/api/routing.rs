//! Who gets a lead: asked, recorded, answered; the plan; how it went.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Response, StatusCode};
use serde_json::{Map, Value, json};

use crate::decisions::{ModelError, RouteError, RouteQuestion};
use crate::domain::parts::PartKind;
use crate::domain::time::Timestamp;
use crate::http::codes;
use crate::http::csv::{Cell, table};
use crate::http::error::Problem;
use crate::http::front::Caller;
use crate::http::paging::json_response;
use crate::http::request::{self, Params, wants_csv};
use crate::ingest::noted::NotedFor;
use crate::policy::routing::Plan;

/// Longest plan.
const PLAN_BYTES_MAX: usize = 1 << 20;
/// Members of a decision's data that are only a machine's.
const WITHHELD: [&str; 6] = ["had", "kind", "pack", "pass", "released", "virtual_time"];
/// Decisions that one view counts.
const DECISIONS_MAX: usize = 1_000_000;

impl From<RouteError> for Problem {
    fn from(error: RouteError) -> Problem {
        match error {
            RouteError::Card(error) => Problem::new(codes::CARD_INVALID, format!("The card is not taken: {error}.")),
            RouteError::Decide(error) => error.into(),
            RouteError::Facts(error) => Problem::member("/features", "feature_invalid", &error.to_string()),
            RouteError::NoCard => Problem::new(codes::PACK_UNKNOWN, "The score card that is cited is not here."),
            RouteError::Model(ModelError::NotInForce) => Problem::absent("model in force"),
            RouteError::Model(error) => Problem::new(codes::MODEL_INVALID, format!("The model is not taken: {error}.")),
            RouteError::NoModel => Problem::new(
                codes::PACK_UNKNOWN,
                "The model that is in force or cited is not in the log: send its file to /v1/scoring/models.",
            ),
            RouteError::NoPlan => {
                Problem::new(codes::ROUTING_REFUSED, "No routing plan is in force: send one to /v1/routing/plan.")
            }
            RouteError::NoPool => Problem::new(codes::ROUTING_REFUSED, "No pool of the plan takes this lead."),
            RouteError::Plan(error) => Problem::new(codes::PLAN_INVALID, format!("The plan is not taken: {error}.")),
            RouteError::Question(error) => Problem::member(error.pointer, error.code, &error.detail),
            RouteError::Unknown => Problem::absent("person; record the lead first"),
            RouteError::Submit(error) => error.into(),
            RouteError::Read(_) => Problem::failed(&error),
        }
    }
}

/// Ask who gets a lead
///
/// Everybody of the pool is chosen, in line, or refused with the first reason that speaks against him; the consent that the pool asks
/// for is checked inside, seller by seller in line. The answer is in the log before it is given, and names the routing decision
/// before it. `reassigns` takes an earlier decision back: its turn is returned and whoever had the lead is left out.
#[utoipa::path(
    post,
    path = "/v1/decisions/route",
    tag = "decisions",
    params(("Tallystick-Now" = Option<String>, Header, description = "The caller's clock, on a scratch ledger")),
    request_body = RouteQuestion,
    responses(
        (status = 200, description = "The decision; `chosen` is null where nobody gets it", body = serde_json::Value),
        (status = 404, description = "The person is not known"),
        (status = 409, description = "`routing_refused`: no plan in force, or no pool takes the lead"),
        (status = 422, description = "`request_invalid`: what is wrong with the question"),
        (status = 503, description = "Not recorded, so not answered: ask again")
    )
)]
pub async fn decision_route(caller: Caller, request: Request) -> Result<Response<Body>, Problem> {
    let (parts, body) = request.into_parts();
    let question: RouteQuestion = request::json(&parts.headers, body).await?;
    let service = &caller.service;
    let now = request::now(&parts.headers, &service.ledger)?;
    let routed = service.router.route(&service.ledger, &service.gate, &question, caller.principal, now).await?;
    let mut view =
        Map::from_iter([("position".to_owned(), json!(routed.receipt.position)), ("chosen".to_owned(), Value::Null)]);
    view.extend(routed.data.into_iter().filter(|(name, _)| !WITHHELD.contains(&name.as_str())));
    Ok(json_response(&Value::Object(view)))
}

/// The routing plan in force
#[utoipa::path(
    get,
    path = "/v1/routing/plan",
    tag = "decisions",
    responses((status = 200, description = "Digest, version, pools and how many buyers each has", body = serde_json::Value))
)]
pub async fn routing_plan_read(caller: Caller, params: Params) -> Result<Response<Body>, Problem> {
    params.only(&[])?;
    let plan = caller.service.router.plan(&caller.service.ledger).await?;
    Ok(json_response(&plan_view(&plan)))
}

fn plan_view(plan: &Plan) -> Value {
    let pools: Vec<Value> = plan
        .pools
        .iter()
        .map(|pool| json!({ "pool": pool.id, "strategy": pool.strategy.name(), "buyers": pool.buyers.len() }))
        .collect();
    json!({ "pack_sha256": plan.digest, "version": plan.version, "zone": plan.zone.name(), "pools": pools })
}

/// Put a routing plan in force
///
/// The body is the plan as TOML, in the form of `policies/routing.toml`. It is registered in the log, and each decision cites its
/// digest. A plan with anything that does not read is refused whole, and the one before stays in force.
#[utoipa::path(
    post,
    path = "/v1/routing/plan",
    tag = "decisions",
    params(("Tallystick-Now" = Option<String>, Header, description = "The caller's clock, on a scratch ledger")),
    request_body(content = String, description = "The plan", content_type = "application/toml"),
    responses(
        (status = 201, description = "It is in force", body = serde_json::Value),
        (status = 422, description = "`plan_invalid`: which part is wrong")
    )
)]
pub async fn routing_plan_activate(caller: Caller, request: Request) -> Result<Response<Body>, Problem> {
    let (parts, body) = request.into_parts();
    let bytes = request::body(&parts.headers, body, PLAN_BYTES_MAX).await?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Problem::new(codes::PLAN_INVALID, "The plan is not UTF-8."))?;
    let service = &caller.service;
    let now = request::now(&parts.headers, &service.ledger)?;
    let (plan, receipt) = service.router.activate(&service.ledger, text, caller.principal, now).await?;
    let mut view = plan_view(&plan);
    if let Value::Object(view) = &mut view {
        view.insert("position".to_owned(), json!(receipt.position));
    }
    let mut response = json_response(&view);
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

/// Figures of one seller in one pool.
#[derive(Default)]
struct Figures {
    chosen: u64,
    reassigned: u64,
    refused: BTreeMap<String, u64>,
    answers: [u64; 2],
    late: u64,
    value: BTreeMap<String, i64>,
}

/// How leads were routed
///
/// By pool and seller: leads given and taken back, share of the pool beside the share of the weight in force, refusals by reason, what
/// sellers answered, and how many leads wait beyond their time. Sellers refused in crowds of more than 200 are counted up to there.
#[utoipa::path(
    get,
    path = "/v1/views/routing",
    tag = "views",
    params(
        ("from" = Option<String>, Query, description = "First instant of decisions"),
        ("to" = Option<String>, Query, description = "The instant after the last"),
        ("pool" = Option<String>, Query, description = "Only this pool"),
    ),
    responses((status = 200, description = "`items` by pool and seller", body = serde_json::Value))
)]
pub async fn view_routing(caller: Caller, params: Params, headers: HeaderMap) -> Result<Response<Body>, Problem> {
    let params = params.only(&["from", "to", "pool"])?;
    let ledger = &caller.service.ledger;
    let plan = caller.service.router.plan(ledger).await?;
    let (from, to) = (params.time("from")?.unwrap_or(Timestamp::MIN), params.time("to")?.unwrap_or(Timestamp::MAX));
    let positions = ledger.noted_from(NotedFor::Routing, 0).await?;
    if positions.len() > DECISIONS_MAX {
        return Err(Problem::parameter("from", "and to must span less"));
    }
    let mut found: BTreeMap<(String, String), Figures> = BTreeMap::new();
    // Decision to the pool, seller and time that it waits for.
    let mut waits: BTreeMap<String, (String, String, Option<Timestamp>)> = BTreeMap::new();
    for position in positions {
        let opened = ledger.open_entry(position).await?;
        let part = opened.plaintext(PartKind::Business).and_then(|bytes| serde_json::from_slice::<Value>(bytes).ok());
        let Some(data) = part.as_ref().and_then(|part| part.get("data")) else { continue };
        match opened.entry.event_type.as_str() {
            "decision.routing_recorded" if (from..to).contains(&opened.entry.recorded) => {
                decided(data, params.text("pool"), &mut found, &mut waits);
            }
            kind @ ("lead.accepted" | "lead.rejected") => {
                let of = data.get("decision").and_then(Value::as_str).and_then(|decision| waits.remove(decision));
                if let Some((pool, seller, _)) = of {
                    let figures = found.entry((pool, seller)).or_default();
                    let [taken, refused] = &mut figures.answers;
                    *(if kind == "lead.accepted" { taken } else { refused }) += 1;
                }
            }
            _ => {}
        }
    }
    let now = ledger.now();
    for (pool, seller, respond_by) in waits.into_values() {
        if respond_by.is_some_and(|by| by < now) {
            found.entry((pool, seller)).or_default().late += 1;
        }
    }
    let items = items(&plan, &found);
    if wants_csv(&headers) { Ok(csv(&items)) } else { Ok(json_response(&json!({ "items": items }))) }
}

fn decided(
    data: &Value,
    only: Option<&str>,
    found: &mut BTreeMap<(String, String), Figures>,
    waits: &mut BTreeMap<String, (String, String, Option<Timestamp>)>,
) {
    let text = |name: &str| data.get(name).and_then(Value::as_str);
    let Some(pool) = text("pool").filter(|pool| only.is_none_or(|only| only == *pool)) else { return };
    if let Some(before) = text("reassigns").and_then(|decision| waits.remove(decision)) {
        found.entry((before.0, before.1)).or_default().reassigned += 1;
    }
    if let Some(seller) = text("chosen") {
        let figures = found.entry((pool.to_owned(), seller.to_owned())).or_default();
        figures.chosen += 1;
        if let Some(price) = data.get("price")
            && let (Some(amount), Some(currency)) =
                (price.get("amount").and_then(Value::as_str), price.get("currency").and_then(Value::as_str))
        {
            let micros = crate::domain::money::Micros::parse(amount).map_or(0, crate::domain::money::Micros::micros);
            *figures.value.entry(currency.to_owned()).or_default() += micros;
        }
        let by = text("respond_by").and_then(|by| Timestamp::parse_rfc3339(by).ok());
        if let Some(decision) = text("decision") {
            waits.insert(decision.to_owned(), (pool.to_owned(), seller.to_owned(), by));
        }
    }
    for group in data.get("refused").and_then(Value::as_array).into_iter().flatten() {
        let code = group.get("code").and_then(Value::as_str).unwrap_or_default();
        for seller in group.get("sellers").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            let figures = found.entry((pool.to_owned(), seller.to_owned())).or_default();
            *figures.refused.entry(code.to_owned()).or_default() += 1;
        }
    }
}

fn items(plan: &Plan, found: &BTreeMap<(String, String), Figures>) -> Vec<Value> {
    let chosen_in =
        |pool: &str| found.iter().filter(|((of, _), _)| of == pool).map(|(_, figures)| figures.chosen).sum::<u64>();
    let share = |part: u64, whole: u64| {
        // To 4 decimals, in integers.
        (whole > 0).then(|| part * 10_000 / whole).map(|share| format!("{}.{:04}", share / 10_000, share % 10_000))
    };
    found
        .iter()
        .map(|((pool, seller), figures)| {
            let in_plan = plan.pool(pool);
            let weight = in_plan.and_then(|pool| pool.buyers.iter().find(|buyer| buyer.seller == *seller)).map(|buyer| buyer.weight);
            let weights = in_plan.map_or(0, |pool| pool.buyers.iter().map(|buyer| u64::from(buyer.weight)).sum());
            let value: Vec<Value> = figures
                .value
                .iter()
                .map(|(currency, micros)| json!({ "amount": crate::domain::money::Micros::from_micros(*micros).to_string(), "currency": currency }))
                .collect();
            let [accepted, rejected] = figures.answers;
            json!({
                "pool": pool, "seller": seller, "chosen": figures.chosen, "reassigned": figures.reassigned,
                "share": share(figures.chosen, chosen_in(pool)), "weight": weight,
                "weight_share": weight.and_then(|weight| share(u64::from(weight), weights)),
                "accepted": accepted, "rejected": rejected, "late": figures.late, "refused": figures.refused, "value": value,
            })
        })
        .collect()
}

fn csv(items: &[Value]) -> Response<Body> {
    const COLUMNS: [&str; 10] =
        ["pool", "seller", "chosen", "reassigned", "share", "weight", "weight_share", "accepted", "rejected", "late"];
    let cell = |value: &Value| match value {
        Value::String(text) => Cell::Text(text.clone()),
        Value::Null => Cell::Plain(String::new()),
        other => Cell::Plain(other.to_string()),
    };
    let row =
        |item: &Value| COLUMNS.iter().map(|name| cell(item.get(*name).unwrap_or(&Value::Null))).collect::<Vec<_>>();
    table(&COLUMNS, &items.iter().map(row).collect::<Vec<_>>())
}
