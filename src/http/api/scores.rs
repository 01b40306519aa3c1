//! Scores of leads by the card in force: asked, recorded, answered; the card; scores computed again.

use axum::body::Body;
use axum::extract::{Path, Request};
use axum::http::{HeaderMap, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::views::{caught_up, day};
use crate::decisions::{Model, ModelRole, ScoreAnswer, ScoreQuestion, Shadow};
use crate::domain::time::Timestamp;
use crate::http::codes;
use crate::http::csv::{Cell, table};
use crate::http::error::Problem;
use crate::http::front::Caller;
use crate::http::paging::json_response;
use crate::http::request::{self, Params, wants_csv};
use crate::policy::scoring::Card;
use crate::views::scores::{Foretold, ModelScores, ScoresQuery, scores};
use crate::views::stages::Rate;

/// Longest card.
const CARD_BYTES_MAX: usize = 1 << 20;
/// Leads of one request.
const LEADS_MAX: usize = 500;
/// Members of a score's data that are only a machine's.
const WITHHELD: [&str; 4] = ["acts", "features", "features_sha256", "heads"];

/// Leads to score.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScoresDoc {
    /// Leads; at most 500.
    pub leads: Vec<ScoreQuestion>,
    /// Score, and record nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// Score leads
///
/// Each lead is scored by the card or model in force, from the person's history in the log and what is stated of the lead, with reasons that add up
/// to the score. Challengers score it in their shadow (`shadows`): recorded, and acted on by nobody. A score is in the log before it is answered, and is made again if the person's history moved meanwhile. With `seller`, a
/// lead that may not go to him is not scored: `refused` says why. Leads are answered in order; one that cannot be scored carries its `error`
/// and the others stand.
#[utoipa::path(
    post,
    path = "/v1/scores",
    tag = "decisions",
    params(("Tallystick-Now" = Option<String>, Header, description = "The caller's clock, on a scratch ledger")),
    request_body = ScoresDoc,
    responses(
        (status = 200, description = "`items` in the order asked", body = serde_json::Value),
        (status = 422, description = "`request_invalid`: no lead, or more than 500"),
        (status = 503, description = "Not recorded, so not answered: ask again")
    )
)]
pub async fn scores_assign(caller: Caller, request: Request) -> Result<Response<Body>, Problem> {
    let (parts, body) = request.into_parts();
    let asked: ScoresDoc = request::json(&parts.headers, body).await?;
    if asked.leads.is_empty() || asked.leads.len() > LEADS_MAX {
        return Err(Problem::member("/leads", "leads_count", "holds 1 to 500 leads"));
    }
    let service = &caller.service;
    let now = request::now(&parts.headers, &service.ledger)?;
    let mut items = Vec::with_capacity(asked.leads.len());
    for question in &asked.leads {
        let router = &service.router;
        let scored = router.score(&service.ledger, &service.gate, question, caller.principal, now, asked.dry_run).await;
        items.push(match scored.map_err(Problem::from) {
            Ok(answer) => score_view(&answer),
            // What is wrong with one lead is said beside it; what is wrong with the service is said for all.
            Err(problem) if problem.code.status.is_client_error() => {
                json!({ "error": { "code": problem.name, "detail": problem.detail, "errors": problem.errors } })
            }
            Err(problem) => return Err(problem),
        });
    }
    Ok(json_response(&json!({ "items": items })))
}

fn score_view(answer: &ScoreAnswer) -> Value {
    if !answer.refused.is_empty() {
        return json!({ "position": null, "refused": answer.refused });
    }
    let position = answer.receipt.as_ref().map(|receipt| receipt.position);
    let mut view = Map::from_iter([("position".to_owned(), json!(position))]);
    let data = answer.data.iter().filter(|(name, _)| !WITHHELD.contains(&name.as_str()));
    view.extend(data.map(|(name, value)| (name.clone(), value.clone())));
    if !answer.shadows.is_empty() {
        view.insert("shadows".to_owned(), answer.shadows.iter().map(shadow_view).collect());
    }
    Value::Object(view)
}

fn shadow_view(shadow: &Shadow) -> Value {
    let (model, version) = &shadow.model;
    let position = shadow.receipt.as_ref().map(|receipt| receipt.position);
    match &shadow.said {
        Ok((score, probability)) => json!({ "model": model, "model_version": version, "position": position,
            "score": score, "probability": probability }),
        Err(why) => json!({ "model": model, "model_version": version, "position": null, "error": why }),
    }
}

/// Compute a score again
///
/// From what it recorded and the card that the log keeps, and what the card in force now would say. `from` is `acts` where stated features
/// were erased: then only that the score is here can be said.
#[utoipa::path(
    post,
    path = "/v1/scores/{position}/replay",
    tag = "decisions",
    params(("position" = u64, Path, description = "Position of a score of a card")),
    responses(
        (status = 200, description = "`identical`, and what differs", body = serde_json::Value),
        (status = 404, description = "No score of a card stands there")
    )
)]
pub async fn score_replay(caller: Caller, Path(position): Path<u64>) -> Result<Response<Body>, Problem> {
    let service = &caller.service;
    let replay = service.router.score_replay(&service.ledger, position).await?;
    let today = replay.today.map(|(score, band)| json!({ "score": score, "band": band }));
    Ok(json_response(&json!({
        "position": position, "from": replay.from,
        "identical": (replay.from == "all").then_some(replay.differs.is_empty()),
        "differs": replay.differs, "recorded": { "score": replay.recorded.get("score"), "band": replay.recorded.get("band") },
        "today": today,
    })))
}

/// The score card in force
#[utoipa::path(
    get,
    path = "/v1/scoring/card",
    tag = "decisions",
    responses((status = 200, description = "Digest, version, base, features, rules and bands", body = serde_json::Value))
)]
pub async fn scoring_card_read(caller: Caller, params: Params) -> Result<Response<Body>, Problem> {
    params.only(&[])?;
    let card = caller.service.router.card(&caller.service.ledger).await?;
    Ok(json_response(&card_view(&card)))
}

fn card_view(card: &Card) -> Value {
    let bands: Vec<Value> = card.bands.iter().map(|band| json!({ "name": band.name, "from": band.from })).collect();
    let rules: Vec<Value> = card.rules.iter().map(|rule| json!({ "id": rule.id, "points": rule.points })).collect();
    let features: Vec<&str> = card.features.iter().map(|feature| feature.name()).collect();
    json!({ "pack_sha256": card.digest, "version": card.version, "base": card.base, "features": features,
        "rules": rules, "bands": bands })
}

/// Put a score card in force
///
/// The body is the card as TOML, in the form of `policies/scoring.toml`. It is registered in the log, and each score cites its digest.
#[utoipa::path(
    post,
    path = "/v1/scoring/card",
    tag = "decisions",
    params(("Tallystick-Now" = Option<String>, Header, description = "The caller's clock, on a scratch ledger")),
    request_body(content = String, description = "The card", content_type = "application/toml"),
    responses(
        (status = 201, description = "It is in force", body = serde_json::Value),
        (status = 422, description = "`card_invalid`: which part is wrong")
    )
)]
pub async fn scoring_card_activate(caller: Caller, request: Request) -> Result<Response<Body>, Problem> {
    let (parts, body) = request.into_parts();
    let bytes = request::body(&parts.headers, body, CARD_BYTES_MAX).await?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Problem::new(codes::CARD_INVALID, "The card is not UTF-8."))?;
    let service = &caller.service;
    let now = request::now(&parts.headers, &service.ledger)?;
    let (card, receipt) = service.router.card_activate(&service.ledger, text, caller.principal, now).await?;
    let mut view = card_view(&card);
    if let Value::Object(view) = &mut view {
        view.insert("position".to_owned(), json!(receipt.position));
    }
    let mut response = json_response(&view);
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

/// The models in force
///
/// The champion, null where a card answers, and the challengers that score in the shadow.
#[utoipa::path(
    get,
    path = "/v1/scoring/models",
    tag = "decisions",
    responses((status = 200, description = "`champion` and `challengers`", body = serde_json::Value))
)]
pub async fn scoring_models_read(caller: Caller, params: Params) -> Result<Response<Body>, Problem> {
    params.only(&[])?;
    let (champion, challengers) = caller.service.router.models(&caller.service.ledger).await?;
    let challengers: Vec<Value> = challengers.iter().map(|model| model_view(model)).collect();
    let champion = champion.as_deref().map(model_view);
    Ok(json_response(&json!({ "champion": champion, "challengers": challengers })))
}

fn model_view(model: &Model) -> Value {
    let file = &model.file;
    let features: Vec<&str> = file.features.iter().map(|feature| feature.name.as_str()).collect();
    json!({ "file_sha256": model.digest, "model": file.model, "model_version": file.version, "outcome": file.outcome,
        "features": features, "bands": file.bands, "rows": file.rows, "positives": file.positives,
        "trained_on": file.trained_on })
}

/// Put a trained model in force
///
/// The body is a model file as `tallystick scores train --out` writes it; `bands` may be added to it. It is registered in the log, each of its
/// scores cites its digest, and `score.model_activated` says who put it in force. As `champion` its scores are acted on until a card or another
/// model takes its place; as `challenger` it scores in the shadow. Features are stated with each lead, as whole numbers or as decimals in
/// strings; one whose name is `acts.` and an act of the card's counts these acts in the log.
#[utoipa::path(
    post,
    path = "/v1/scoring/models",
    tag = "decisions",
    params(
        ("role" = String, Query, description = "`champion` or `challenger`"),
        ("Tallystick-Now" = Option<String>, Header, description = "The caller's clock, on a scratch ledger")
    ),
    request_body = serde_json::Value,
    responses(
        (status = 201, description = "It is in force", body = serde_json::Value),
        (status = 422, description = "`model_invalid`: what is wrong")
    )
)]
pub async fn scoring_model_activate(
    caller: Caller,
    params: Params,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let role = params.only(&["role"])?.text("role").and_then(ModelRole::from_name);
    let role = role.filter(|role| *role != ModelRole::Retired);
    let role = role.ok_or_else(|| Problem::parameter("role", "is champion or challenger"))?;
    let (parts, body) = request.into_parts();
    let bytes = request::body(&parts.headers, body, CARD_BYTES_MAX).await?;
    let wrong = |_| Problem::new(codes::MODEL_INVALID, "The model is not UTF-8.");
    let text = std::str::from_utf8(&bytes).map_err(wrong)?;
    let service = &caller.service;
    let now = request::now(&parts.headers, &service.ledger)?;
    let (model, receipt) = service.router.model_activate(&service.ledger, text, role, caller.principal, now).await?;
    let mut view = model_view(&model);
    if let Value::Object(view) = &mut view {
        view.insert("role".to_owned(), json!(role.name()));
        view.insert("position".to_owned(), json!(receipt.position));
    }
    let mut response = json_response(&view);
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

/// Take a model out of force
///
/// After the champion the card answers again.
#[utoipa::path(
    delete,
    path = "/v1/scoring/models/{file_sha256}",
    tag = "decisions",
    params(
        ("file_sha256" = String, Path, description = "Digest of its file"),
        ("Tallystick-Now" = Option<String>, Header, description = "The caller's clock, on a scratch ledger")
    ),
    responses(
        (status = 200, description = "`position` of the entry that says so", body = serde_json::Value),
        (status = 404, description = "It is not in force")
    )
)]
pub async fn scoring_model_retire(
    caller: Caller,
    Path(digest): Path<String>,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    let service = &caller.service;
    let now = request::now(&headers, &service.ledger)?;
    let receipt = service.router.model_retire(&service.ledger, &digest, caller.principal, now).await?;
    Ok(json_response(&json!({ "position": receipt.position })))
}

/// How scores have done
///
/// Each version of each model held against what the scored leads did within `within` days of their score: AUC, Gini, KS, lift by decile,
/// Brier, log loss and calibration (of probabilities), drift between the earlier and the later half, the outcome by band with Wilson's
/// 95 % interval, and each version against the one whose scores were acted on most. A person counts once a version, by his first score in
/// the span; leads whose days are not over are told apart (`open`). Posted scores and those of a card count alike.
#[utoipa::path(
    get,
    path = "/v1/views/scores",
    tag = "views",
    params(
        ("outcome" = Option<String>, Query, description = "`accepted`, `appointment`, `show`, `sale` (if absent) or `return`"),
        ("within" = Option<i64>, Query, description = "Days after the score within which the outcome counts, 1 to 366; 30 if absent"),
        ("model" = Option<String>, Query, description = "Only this model"),
        ("from" = Option<String>, Query, description = "First day of scores"),
        ("to" = Option<String>, Query, description = "The day after the last one"),
        ("campaign" = Option<String>, Query, description = "Only scores of this campaign"),
        ("as_of" = Option<String>, Query, description = "Only what had happened by then"),
        ("known_at" = Option<String>, Query, description = "Only what was recorded by then"),
        ("after" = Option<u64>, Query, description = "Wait until the view has seen this position"),
    ),
    responses(
        (status = 200, description = "`items`, one a version of a model; as CSV one a band", body = Vec<ModelScores>),
        (status = 503, description = "`projection_behind`")
    )
)]
pub async fn view_scores(caller: Caller, params: Params, headers: HeaderMap) -> Result<Response<Body>, Problem> {
    let params =
        params.only(&["outcome", "within", "model", "from", "to", "campaign", "as_of", "known_at", "after"])?;
    caught_up(&caller, &params, &headers).await?;
    let outcome = Foretold::from_name(params.text("outcome").unwrap_or("sale"))
        .ok_or_else(|| Problem::parameter("outcome", "is accepted, appointment, show, sale or return"))?;
    let within = params.number("within")?.unwrap_or(30);
    let within = i64::try_from(within).ok().filter(|days| (1..=366).contains(days));
    let query = ScoresQuery {
        day_from: day(&params, "from")?.unwrap_or(i64::MIN),
        day_to: day(&params, "to")?.unwrap_or(i64::MAX),
        outcome,
        within: within.ok_or_else(|| Problem::parameter("within", "is 1 to 366 days"))?,
        model: params.text("model").map(str::to_owned),
        campaign: params.text("campaign").map(str::to_owned),
        as_of: params.time("as_of")?.unwrap_or(Timestamp::MAX),
        known_at: params.time("known_at")?.unwrap_or(Timestamp::MAX),
    };
    let ledger = &caller.service.ledger;
    // What nobody knew yet cannot make a lead's days be over.
    let now = ledger.now().min(query.as_of).min(query.known_at);
    let items = scores(&ledger.store(), &query, now).await?;
    if !wants_csv(&headers) {
        return Ok(json_response(&json!({ "items": items })));
    }
    let columns = [
        "model", "version", "band", "persons", "open", "hits", "of", "rate", "low", "high", "auc", "ks", "brier", "psi",
    ];
    Ok(table(&columns, &items.iter().flat_map(rows).collect::<Vec<_>>()))
}

/// A version's line, then its bands'.
fn rows(item: &ModelScores) -> Vec<Vec<Cell>> {
    let empty = || Cell::Plain(String::new());
    let figure = |from: &Option<Value>, pointer: &str| {
        let value = from.as_ref().and_then(|from| from.pointer(pointer)?.as_f64());
        value.map_or_else(empty, Cell::number)
    };
    let row = |band: Cell, people: [Cell; 2], rate: &Rate, figures: [Cell; 4]| {
        let mut cells = vec![Cell::Plain(item.model.clone()), Cell::Plain(item.version.clone()), band];
        cells.extend(people);
        cells.extend([Cell::number(rate.hits), Cell::number(rate.of)]);
        cells.push(Cell::Plain(rate.rate.clone().unwrap_or_default()));
        let [low, high] = rate.band.clone().unwrap_or_default();
        cells.extend([Cell::Plain(low), Cell::Plain(high)]);
        cells.extend(figures);
        cells
    };
    let figures = [
        figure(&item.performance, "/auc"),
        figure(&item.performance, "/ks/value"),
        figure(&item.performance, "/brier"),
        figure(&item.drift, "/psi"),
    ];
    let mut all = vec![row(empty(), [Cell::number(item.persons), Cell::number(item.open)], &item.outcome, figures)];
    let bands = item.bands.iter().filter(|band| !band.band.is_empty());
    all.extend(bands.map(|band| {
        let figures = std::array::from_fn(|_| empty());
        row(Cell::Plain(band.band.clone()), [empty(), empty()], &band.outcome, figures)
    }));
    all
}
