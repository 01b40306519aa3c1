//! Where the next dollar earns most: asked, and recorded as a suggestion. Nothing here spends.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::views::{caught_up, day, seen};
use crate::domain::attribution::bands::REPLICATES_MAX;
use crate::domain::ids::{EventId, uuid_v7};
use crate::domain::money::{Currency, Micros};
use crate::domain::time::Timestamp;
use crate::http::csv::{Cell, table};
use crate::http::error::Problem;
use crate::http::front::Caller;
use crate::http::paging::json_response;
use crate::http::request::{self, Params, wants_csv};
use crate::ingest::Ledger;
use crate::views::optimisation::{Optimisation, OptimisationError, OptimisationQuery, Waste, optimisation};

/// Weeks that are looked at where nothing else is asked.
const WEEKS: u64 = 12;
/// Longest span.
const WEEKS_MAX: u64 = 104;
/// Models that credit touch by touch.
const MODELS: [&str; 6] = ["first", "last", "linear", "position_40_20_40", "time_decay_7d", "w_shaped_30_30_30_10"];
/// Rule of the alert for spend without accepted leads.
const WASTE_RULE: &str = "spend-without-accepted-leads";
/// Channels that one suggestion may limit, and rows that one event holds.
const CHANNELS_MAX: usize = 200;

impl From<OptimisationError> for Problem {
    fn from(error: OptimisationError) -> Problem {
        match error {
            OptimisationError::Attribution(error) => error.into(),
            OptimisationError::Currencies(seen) => {
                Problem::parameter("currency", &format!("must name one: money was spent in {seen}"))
            }
            OptimisationError::Plan(error) => Problem::parameter("budget", &format!("has no solution: {error}")),
            OptimisationError::View(error) => error.into(),
        }
    }
}

/// What to look at, and within which limits.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SuggestionQuestion {
    /// Weeks that are looked at; 12 if absent.
    pub weeks: Option<u64>,
    /// The day after the last one, `YYYY-MM-DD`; today if absent.
    pub to: Option<String>,
    /// Model that says what touches earned; `linear` if absent.
    pub model: Option<String>,
    /// Days of lookback; 90 if absent.
    pub lookback_days: Option<u64>,
    /// ISO 4217 code; needed where money is in several.
    pub currency: Option<String>,
    /// Major units a week to share out; what was spent a week if absent.
    pub budget: Option<String>,
    /// How far a channel may move, in percent of what it spent; 20 if absent.
    pub change_percent: Option<u64>,
    /// Replicates of the bands, 20 or more; 400 if absent.
    pub bands: Option<u64>,
    /// Their seed; 0 if absent.
    pub seed: Option<u64>,
    /// Days in which spend without an accepted lead is waste; 14 if absent.
    pub waste_days: Option<u64>,
    /// Major units from which it is; any if absent.
    pub waste_from: Option<String>,
    /// Limits of single channels.
    #[serde(default)]
    pub limits: Vec<ChannelLimit>,
    /// Only what was recorded by then.
    pub known_at: Option<String>,
}

/// What a channel gets at least and at most, in major units a week.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelLimit {
    /// Channel.
    pub channel: String,
    /// At least.
    pub least: Option<String>,
    /// At most.
    pub most: Option<String>,
}

/// Where the next dollar earns most
///
/// By marketing channel: money and earnings a week, the marginal return with its 90 % band, and the budget that earns most without
/// moving any channel further than `change_percent`. `clear` says whether the bands bear the move out. Beside it spend that brought
/// no accepted lead. An answer, never an act. `ops/optimisation.md` says what is assumed.
#[utoipa::path(
    get,
    path = "/v1/views/optimisation",
    tag = "views",
    params(
        ("weeks" = Option<u64>, Query, description = "Weeks that are looked at; 12 if absent"),
        ("to" = Option<String>, Query, description = "The day after the last one; today if absent"),
        ("model" = Option<String>, Query, description = "Model that says what touches earned; `linear` if absent"),
        ("lookback_days" = Option<u64>, Query, description = "Days of lookback; 90 if absent"),
        ("currency" = Option<String>, Query, description = "Needed where money is in several"),
        ("budget" = Option<String>, Query, description = "Major units a week to share out; as much as was spent if absent"),
        ("change_percent" = Option<u64>, Query, description = "How far a channel may move; 20 if absent"),
        ("bands" = Option<u64>, Query, description = "Bootstrap replicates, 20 or more; 400 if absent"),
        ("seed" = Option<u64>, Query, description = "Seed of the bootstrap; 0 if absent"),
        ("waste_days" = Option<u64>, Query, description = "Days in which spend without an accepted lead is waste; 14 if absent"),
        ("waste_from" = Option<String>, Query, description = "Major units from which it is"),
        ("known_at" = Option<String>, Query, description = "Only what was recorded by then"),
        ("after" = Option<u64>, Query, description = "Wait until the view has seen this position"),
    ),
    responses(
        (status = 200, description = "Channels and waste", body = Optimisation),
        (status = 503, description = "`projection_behind`")
    )
)]
pub async fn view_optimisation(caller: Caller, params: Params, headers: HeaderMap) -> Result<Response<Body>, Problem> {
    const NUMBERS: [&str; 6] = ["weeks", "lookback_days", "change_percent", "bands", "seed", "waste_days"];
    let params = params.only(&[
        "weeks",
        "to",
        "model",
        "lookback_days",
        "currency",
        "budget",
        "change_percent",
        "bands",
        "seed",
        "waste_days",
        "waste_from",
        "known_at",
        "after",
    ])?;
    caught_up(&caller, &params, &headers).await?;
    let [weeks, lookback_days, change_percent, bands, seed, waste_days] = NUMBERS.map(|name| params.number(name));
    let owned = |name: &str| params.text(name).map(str::to_owned);
    // Only to be told of a day that is none by its name.
    day(&params, "to")?;
    let question = SuggestionQuestion {
        weeks: weeks?,
        to: owned("to"),
        model: owned("model"),
        lookback_days: lookback_days?,
        currency: owned("currency"),
        budget: owned("budget"),
        change_percent: change_percent?,
        bands: bands?,
        seed: seed?,
        waste_days: waste_days?,
        waste_from: owned("waste_from"),
        limits: Vec::new(),
        known_at: owned("known_at"),
    };
    let ledger = &caller.service.ledger;
    let answer = optimisation(&ledger.store(), &question.query(ledger)?).await?;
    if wants_csv(&headers) { Ok(csv(&answer)) } else { Ok(json_response(&answer)) }
}

/// Record a suggested budget
///
/// Answers as the view does, and keeps the answer in the log as `budget.suggested`, with an `alert.raised` for each spend without
/// accepted leads. Nothing is spent: whoever moves the money does it elsewhere.
#[utoipa::path(
    post,
    path = "/v1/optimisation/suggestions",
    tag = "views",
    request_body = SuggestionQuestion,
    responses(
        (status = 201, description = "The answer, its `suggestion` and `position`", body = serde_json::Value),
        (status = 422, description = "`parameter_invalid`: what is wrong with the question")
    )
)]
pub async fn suggestion_record(caller: Caller, request: Request) -> Result<Response<Body>, Problem> {
    let (parts, body) = request.into_parts();
    let question: SuggestionQuestion = request::json(&parts.headers, body).await?;
    let ledger = &caller.service.ledger;
    let now = request::now(&parts.headers, ledger)?;
    let query = question.query(ledger)?;
    // What was acknowledged before the question counts.
    seen(&caller, ledger.size().saturating_sub(1), &parts.headers).await?;
    let answer = optimisation(&ledger.store(), &query).await?;
    let id = || EventId::from_bytes(uuid_v7(ledger.now().unix_ms(), ledger.random.bytes())).to_string();
    let suggestion = id();
    let mut events = vec![("budget.suggested", None, suggested(&suggestion, &query, &answer))];
    events
        .extend(answer.waste.iter().take(CHANNELS_MAX).map(|waste| ("alert.raised", None, alert(id(), &query, waste))));
    let receipts = ledger.record_own_all(events, caller.principal, now).await?;
    let mut view = json!(answer);
    if let Value::Object(view) = &mut view {
        view.insert("suggestion".to_owned(), json!(suggestion));
        view.insert("position".to_owned(), json!(receipts.first().map(|receipt| receipt.position)));
        let alerts: Vec<u64> = receipts.iter().skip(1).map(|receipt| receipt.position).collect();
        view.insert("alerts".to_owned(), json!(alerts));
    }
    let mut response = json_response(&view);
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

fn suggested(id: &str, query: &OptimisationQuery, answer: &Optimisation) -> Value {
    let channels: Vec<Value> = answer
        .channels
        .iter()
        .take(CHANNELS_MAX)
        .map(|row| {
            let named = Some(row.channel.as_str()).filter(|channel| !channel.is_empty());
            let mut line =
                json!({ "spend": row.spend, "earned": row.earned, "suggested": row.suggested, "clear": row.clear });
            if let Value::Object(line) = &mut line {
                line.extend(named.map(|channel| ("channel".to_owned(), json!(channel))));
                line.extend(row.marginal_return.as_ref().map(|value| ("marginal_return".to_owned(), json!(value))));
                if let Some([low, high]) = &row.marginal_band {
                    line.insert("marginal_low".to_owned(), json!(low));
                    line.insert("marginal_high".to_owned(), json!(high));
                }
            }
            line
        })
        .collect();
    let mut data = json!({
        "suggestion": id, "model": answer.model, "period_from": answer.from, "period_to": answer.to, "weeks": answer.weeks,
        "change_percent": query.change_percent, "replicates": query.replicates, "seed": query.seed.to_string(), "channels": channels,
    });
    if let (Value::Object(data), Some(_)) = (&mut data, &answer.currency) {
        data.insert("budget".to_owned(), json!(answer.budget));
        data.insert("expected_change".to_owned(), json!(answer.expected_change));
    }
    data
}

fn alert(id: String, query: &OptimisationQuery, waste: &Waste) -> Value {
    let threshold = Micros::from_micros(query.waste_from).to_string();
    let mut data = json!({
        "alert": id, "rule": WASTE_RULE, "severity": "warning", "area": "revenue", "value": waste.spend.amount,
        "threshold": threshold,
    });
    if let Value::Object(data) = &mut data
        && !waste.campaign.is_empty()
    {
        data.insert("campaign".to_owned(), json!(waste.campaign));
    }
    data
}

impl SuggestionQuestion {
    fn query(&self, ledger: &Ledger) -> Result<OptimisationQuery, Problem> {
        let within = |name: &str, given: Option<u64>, default: u64, least: u64, most: u64| -> Result<u32, Problem> {
            let number = given.unwrap_or(default);
            let fits = u32::try_from(number).ok().filter(|_| (least..=most).contains(&number));
            fits.ok_or_else(|| Problem::parameter(name, &format!("is from {least} to {most}")))
        };
        let money = |name: &str, text: &Option<String>| -> Result<Option<i64>, Problem> {
            let parse = |text: &String| {
                let micros = Micros::parse(text).ok().map(Micros::micros).filter(|micros| *micros >= 0);
                micros.ok_or_else(|| Problem::parameter(name, "is an amount from 0, such as 1200.00"))
            };
            text.as_ref().map(parse).transpose()
        };
        let model = self.model.as_deref().unwrap_or("linear");
        if !MODELS.contains(&model) {
            return Err(Problem::parameter(
                "model",
                &format!("is one that credits touch by touch: {}", MODELS.join(", ")),
            ));
        }
        let currency = self
            .currency
            .as_ref()
            .map(|code| Currency::parse(code).map_err(|_| Problem::parameter("currency", "is a code of ISO 4217")));
        let to = match &self.to {
            None => ledger.now().unix_days(),
            Some(text) => {
                let midnight = Timestamp::parse_rfc3339(&format!("{text}T00:00:00Z"));
                midnight.map_err(|_| Problem::parameter("to", "is a day, such as 2026-11-03"))?.unix_days()
            }
        };
        if self.limits.len() > CHANNELS_MAX {
            return Err(Problem::parameter("limits", &format!("names at most {CHANNELS_MAX} channels")));
        }
        let mut limits = BTreeMap::new();
        for limit in &self.limits {
            let (least, most) = (money("limits", &limit.least)?, money("limits", &limit.most)?);
            if least.zip(most).is_some_and(|(least, most)| least > most) {
                return Err(Problem::parameter("limits", "has a least above its most"));
            }
            if limits.insert(limit.channel.clone(), (least, most)).is_some() {
                return Err(Problem::parameter("limits", "names a channel twice"));
            }
        }
        let known_at = self.known_at.as_deref().map(Timestamp::parse_rfc3339).transpose();
        Ok(OptimisationQuery {
            weeks: within("weeks", self.weeks, WEEKS, 1, WEEKS_MAX)?,
            to,
            model: model.to_owned(),
            lookback_days: within("lookback_days", self.lookback_days, 90, 1, 3_650)?,
            currency: currency.transpose()?,
            budget: money("budget", &self.budget)?,
            change_percent: within("change_percent", self.change_percent, 20, 0, 1_000)?,
            limits,
            replicates: within("bands", self.bands, 400, 20, u64::from(REPLICATES_MAX.min(10_000)))?,
            seed: self.seed.unwrap_or(0),
            waste_days: within("waste_days", self.waste_days, 14, 1, 366)?,
            waste_from: money("waste_from", &self.waste_from)?.unwrap_or(0),
            known_at: known_at
                .map_err(|_| Problem::parameter("known_at", "is an RFC 3339 time, such as 2026-11-03T16:40:00Z"))?,
        })
    }
}

fn csv(answer: &Optimisation) -> Response<Body> {
    const COLUMNS: [&str; 11] = [
        "channel",
        "currency",
        "spend",
        "earned",
        "average_return",
        "marginal_return",
        "marginal_low",
        "marginal_high",
        "suggested",
        "clear",
        "weeks_with_spend",
    ];
    let plain = |text: Option<&String>| Cell::Plain(text.cloned().unwrap_or_default());
    let rows: Vec<Vec<Cell>> = answer
        .channels
        .iter()
        .map(|row| {
            let [low, high] = row.marginal_band.as_ref().map_or([None, None], |[low, high]| [Some(low), Some(high)]);
            vec![
                Cell::Text(row.channel.clone()),
                Cell::Plain(row.spend.currency.clone()),
                Cell::Plain(row.spend.amount.clone()),
                Cell::Plain(row.earned.amount.clone()),
                plain(row.average_return.as_ref()),
                plain(row.marginal_return.as_ref()),
                plain(low),
                plain(high),
                Cell::Plain(row.suggested.amount.clone()),
                Cell::Plain(row.clear.to_string()),
                Cell::Plain(row.weeks_with_spend.to_string()),
            ]
        })
        .collect();
    table(&COLUMNS, &rows)
}
