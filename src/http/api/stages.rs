//! How far people come: funnel, business metrics, cohorts.

use axum::body::Body;
use axum::http::{HeaderMap, Response};
use serde_json::json;

use super::views::{caught_up, day};
use crate::domain::money::Currency;
use crate::domain::time::Timestamp;
use crate::http::csv::{Cell, table};
use crate::http::error::Problem;
use crate::http::front::Caller;
use crate::http::paging::json_response;
use crate::http::request::{Params, wants_csv};
use crate::views::cohorts::{Cohort, cohorts};
use crate::views::stages::{Funnel, Metrics, Stage, StagesQuery, funnel, metrics};

/// Steps where none are named.
const STEPS: &str = "lead,contacted,replied,booked,shown,sold";

fn asked(params: &Params) -> Result<StagesQuery, Problem> {
    Ok(StagesQuery {
        day_from: day(params, "from")?.unwrap_or(i64::MIN),
        day_to: day(params, "to")?.unwrap_or(i64::MAX),
        campaign: params.text("campaign").map(str::to_owned),
        as_of: params.time("as_of")?.unwrap_or(Timestamp::MAX),
        known_at: params.time("known_at")?.unwrap_or(Timestamp::MAX),
    })
}

/// Funnel
///
/// How many persons came through the stages in that order in time, and how many ever came to each; rates of the step before and of the first
/// step with Wilson's 95 % interval, null below 30; median hours. Persons are those whose first lead, or first event, falls on the days.
#[utoipa::path(
    get,
    path = "/v1/views/funnel",
    tag = "views",
    params(
        ("stages" = Option<String>, Query, description = "Of lead, accepted, contacted, delivered, opened, clicked, replied, booked, shown, sold, comma-separated, in order; `lead,contacted,replied,booked,shown,sold` if absent"),
        ("by" = Option<String>, Query, description = "`campaign`, or together if absent"),
        ("from" = Option<String>, Query, description = "First day"),
        ("to" = Option<String>, Query, description = "The day after the last one"),
        ("campaign" = Option<String>, Query, description = "Only persons whose lead is of this campaign"),
        ("as_of" = Option<String>, Query, description = "Only what had happened by then"),
        ("known_at" = Option<String>, Query, description = "Only what was recorded by then"),
        ("after" = Option<u64>, Query, description = "Wait until the view has seen this position"),
    ),
    responses((status = 200, description = "`items`, one a group", body = Vec<Funnel>), (status = 503, description = "`projection_behind`"))
)]
pub async fn view_funnel(caller: Caller, params: Params, headers: HeaderMap) -> Result<Response<Body>, Problem> {
    let params = params.only(&["stages", "by", "from", "to", "campaign", "as_of", "known_at", "after"])?;
    caught_up(&caller, &params, &headers).await?;
    let named = params.text("stages").unwrap_or(STEPS).split(',').map(Stage::from_name).collect::<Option<Vec<_>>>();
    let unknown = || Problem::parameter("stages", "lists 2 to 10 different stages, such as lead,contacted,sold");
    let stages = named.filter(|stages| (2..=10).contains(&stages.len())).ok_or_else(unknown)?;
    if stages.iter().enumerate().any(|(at, stage)| stages.iter().take(at).any(|before| before == stage)) {
        return Err(unknown());
    }
    let by_campaign = match params.text("by") {
        None => false,
        Some("campaign") => true,
        Some(_) => return Err(Problem::parameter("by", "is campaign")),
    };
    let items = funnel(&caller.service.ledger.store(), &asked(&params)?, &stages, by_campaign).await?;
    if !wants_csv(&headers) {
        return Ok(json_response(&json!({ "items": items })));
    }
    let columns = ["campaign", "stage", "ordered", "any_order", "step_rate", "cumulative_rate", "median_hours"];
    let rows = items.iter().flat_map(|item| {
        item.steps.iter().map(|step| {
            vec![
                Cell::text(item.campaign.as_deref()),
                Cell::Plain(step.stage.clone()),
                Cell::number(step.ordered),
                Cell::number(step.any_order),
                Cell::Plain(step.step.rate.clone().unwrap_or_default()),
                Cell::Plain(step.cumulative.rate.clone().unwrap_or_default()),
                step.median_hours.map_or(Cell::Plain(String::new()), Cell::number),
            ]
        })
    });
    Ok(table(&columns, &rows.collect::<Vec<_>>()))
}

/// Business metrics
///
/// Leads accepted a day against 100; open rates with machines' opens apart; reply rate; show rates of those booked, of those who answered
/// and of all leads. Each rate says what it is of, with Wilson's 95 % interval, beside what is wanted; null below 30.
#[utoipa::path(
    get,
    path = "/v1/views/metrics",
    tag = "views",
    params(
        ("from" = Option<String>, Query, description = "First day"),
        ("to" = Option<String>, Query, description = "The day after the last one"),
        ("campaign" = Option<String>, Query, description = "Only persons whose lead is of this campaign"),
        ("as_of" = Option<String>, Query, description = "Only what had happened by then"),
        ("known_at" = Option<String>, Query, description = "Only what was recorded by then"),
        ("after" = Option<u64>, Query, description = "Wait until the view has seen this position"),
    ),
    responses((status = 200, description = "The figures", body = Metrics), (status = 503, description = "`projection_behind`"))
)]
pub async fn view_metrics(caller: Caller, params: Params, headers: HeaderMap) -> Result<Response<Body>, Problem> {
    let params = params.only(&["from", "to", "campaign", "as_of", "known_at", "after"])?;
    caught_up(&caller, &params, &headers).await?;
    Ok(json_response(&metrics(&caller.service.ledger.store(), &asked(&params)?).await?))
}

/// Cohorts
///
/// What the leads of each week or month brought by age: earned, given back, net a lead. A cell is `complete` once every person of the cohort is
/// of that age.
#[utoipa::path(
    get,
    path = "/v1/views/cohorts",
    tag = "views",
    params(
        ("by" = Option<String>, Query, description = "`week` (if absent) or `month`"),
        ("currency" = Option<String>, Query, description = "`USD` if absent"),
        ("from" = Option<String>, Query, description = "First day"),
        ("to" = Option<String>, Query, description = "The day after the last one"),
        ("campaign" = Option<String>, Query, description = "Only persons whose lead is of this campaign"),
        ("as_of" = Option<String>, Query, description = "Only what had happened by then"),
        ("known_at" = Option<String>, Query, description = "Only what was recorded by then"),
        ("after" = Option<u64>, Query, description = "Wait until the view has seen this position"),
    ),
    responses((status = 200, description = "`items`, one a week or month", body = Vec<Cohort>), (status = 503, description = "`projection_behind`"))
)]
pub async fn view_cohorts(caller: Caller, params: Params, headers: HeaderMap) -> Result<Response<Body>, Problem> {
    let params = params.only(&["by", "currency", "from", "to", "campaign", "as_of", "known_at", "after"])?;
    caught_up(&caller, &params, &headers).await?;
    let months = match params.text("by").unwrap_or("week") {
        "week" => false,
        "month" => true,
        _ => return Err(Problem::parameter("by", "is week or month")),
    };
    let currency = params.text("currency").unwrap_or("USD");
    Currency::parse(currency).map_err(|_| Problem::parameter("currency", "is a currency of ISO 4217"))?;
    let query = asked(&params)?;
    let ledger = &caller.service.ledger;
    let now = ledger.now().min(query.as_of);
    let items = cohorts(&ledger.store(), &query, currency, months, now).await?;
    if !wants_csv(&headers) {
        return Ok(json_response(&json!({ "items": items })));
    }
    let columns = ["cohort", "leads", "sold", "age", "currency", "gross", "returns", "net_per_lead", "complete"];
    let rows = items.iter().flat_map(|item| {
        item.ages.iter().map(|age| {
            vec![
                Cell::Plain(item.cohort.clone()),
                Cell::number(item.leads),
                Cell::number(item.sold),
                Cell::number(age.age),
                Cell::Plain(age.gross.currency.clone()),
                Cell::Plain(age.gross.amount.clone()),
                Cell::Plain(age.returns.amount.clone()),
                Cell::Plain(age.net_per_lead.amount.clone()),
                Cell::number(age.complete),
            ]
        })
    });
    Ok(table(&columns, &rows.collect::<Vec<_>>()))
}
