//! Which touches earned what, and what stands behind each credited cent.

use axum::body::Body;
use axum::http::{HeaderMap, Response};
use serde_json::{Value, json};

use super::views::caught_up;
use crate::decisions::Stored;
use crate::domain::attribution::Model;
use crate::domain::attribution::bands::REPLICATES_MAX;
use crate::domain::attribution::journey::Lookback;
use crate::domain::parts::PartKind;
use crate::domain::time::Timestamp;
use crate::http::csv::{Cell, table};
use crate::http::error::Problem;
use crate::http::front::Caller;
use crate::http::paging::json_response;
use crate::http::request::{Params, wants_csv};
use crate::ingest::Ledger;
use crate::views::attribution::{self, Attribution, AttributionError, AttributionQuery, ConversionCredit, MODELS_MAX};

/// Models where none are named.
const MODELS: &str = "first,last,linear,position_40_20_40,time_decay_7d,w_shaped_30_30_30_10,markov:1,shapley_sets";
/// Days of lookback where none are stated.
const LOOKBACK_DAYS: u32 = 90;

impl From<AttributionError> for Problem {
    fn from(error: AttributionError) -> Problem {
        match error {
            AttributionError::Currencies(seen) => {
                Problem::parameter("currency", &format!("must name one: conversions are in {seen}"))
            }
            AttributionError::Model(_, error) => {
                let known = Model::NAMES.join(", ");
                Problem::parameter(
                    "models",
                    &format!("names a model that cannot be asked ({error}); known are {known}"),
                )
            }
            AttributionError::View(error) => error.into(),
        }
    }
}

/// Which touches earned what
///
/// Any of the models side by side, by marketing channel: conversions, value, whole cents credited, and what is left of them after
/// refunds. `conversion` asks about one conversion instead: each touch with its cents, and the decision and consent behind it.
/// `ops/attribution.md` says what each model means. Bands are 90 % bootstrap bands; nobody should move budget on noise.
#[utoipa::path(
    get,
    path = "/v1/views/attribution",
    tag = "views",
    params(
        ("models" = Option<String>, Query, description = "Names with commas; the usual ones if absent"),
        ("lookback_days" = Option<u32>, Query, description = "Days before a conversion in which touches earn; 90 if absent"),
        ("lookback_steps" = Option<u32>, Query, description = "Last touches before a conversion that earn; all if absent"),
        ("touches" = Option<String>, Query, description = "`all` (if absent), or `engaged`: those the person made or took up"),
        ("from" = Option<String>, Query, description = "First instant of conversions"),
        ("to" = Option<String>, Query, description = "The instant after the last"),
        ("seller" = Option<String>, Query, description = "Only conversions for this seller"),
        ("campaign" = Option<String>, Query, description = "Only conversions of this campaign"),
        ("currency" = Option<String>, Query, description = "Needed where conversions are in several"),
        ("as_of" = Option<String>, Query, description = "Only what had happened by then"),
        ("known_at" = Option<String>, Query, description = "Only what was recorded by then"),
        ("bands" = Option<u32>, Query, description = "Bootstrap replicates, 20 or more"),
        ("seed" = Option<u64>, Query, description = "Seed of the bootstrap; 0 if absent"),
        ("conversion" = Option<u64>, Query, description = "Position of one conversion to open"),
        ("after" = Option<u64>, Query, description = "Wait until the view has seen this position"),
    ),
    responses(
        (status = 200, description = "By model and channel; or one conversion by touch", body = Attribution),
        (status = 404, description = "There is no such conversion"),
        (status = 503, description = "`projection_behind`")
    )
)]
pub async fn view_attribution(caller: Caller, params: Params, headers: HeaderMap) -> Result<Response<Body>, Problem> {
    let params = params.only(&[
        "models",
        "lookback_days",
        "lookback_steps",
        "touches",
        "from",
        "to",
        "seller",
        "campaign",
        "currency",
        "as_of",
        "known_at",
        "bands",
        "seed",
        "conversion",
        "after",
    ])?;
    caught_up(&caller, &params, &headers).await?;
    let query = query(&params)?;
    let ledger = &caller.service.ledger;
    if let Some(position) = params.number("conversion")? {
        let credit = opened(ledger, &query, position).await?;
        return Ok(json_response(&credit));
    }
    let answer = attribution::attribution(&ledger.store(), &query).await?;
    if wants_csv(&headers) { Ok(csv(&answer)) } else { Ok(json_response(&answer)) }
}

fn query(params: &Params) -> Result<AttributionQuery, Problem> {
    let models: Vec<String> =
        params.text("models").unwrap_or(MODELS).split(',').map(|name| name.trim().to_owned()).collect();
    if models.len() > MODELS_MAX {
        return Err(Problem::parameter("models", &format!("names at most {MODELS_MAX}")));
    }
    let small = |name: &str| -> Result<Option<u32>, Problem> {
        let number = params.number(name)?.map(u32::try_from).transpose();
        number.map_err(|_| Problem::parameter(name, "is too large"))
    };
    let replicates = small("bands")?.unwrap_or(0);
    if replicates != 0 && !(20..=REPLICATES_MAX).contains(&replicates) {
        return Err(Problem::parameter("bands", &format!("is from 20 to {REPLICATES_MAX}")));
    }
    let steps = small("lookback_steps")?;
    if steps == Some(0) {
        return Err(Problem::parameter("lookback_steps", "is 1 or more"));
    }
    let engaged = match params.text("touches") {
        None | Some("all") => false,
        Some("engaged") => true,
        Some(_) => return Err(Problem::parameter("touches", "is all or engaged")),
    };
    let owned = |name: &str| params.text(name).map(str::to_owned);
    Ok(AttributionQuery {
        models,
        lookback: Lookback { days: Some(small("lookback_days")?.unwrap_or(LOOKBACK_DAYS)), steps },
        from: params.time("from")?,
        to: params.time("to")?,
        as_of: params.time("as_of")?.unwrap_or(Timestamp::MAX),
        known_at: params.time("known_at")?.unwrap_or(Timestamp::MAX),
        seller: owned("seller"),
        campaign: owned("campaign"),
        currency: owned("currency"),
        engaged,
        replicates,
        seed: params.number("seed")?.unwrap_or(0),
    })
}

/// One conversion with the decision and the consent behind each touch.
async fn opened(ledger: &Ledger, query: &AttributionQuery, position: u64) -> Result<Value, Problem> {
    let absent = || Problem::absent("conversion");
    if position >= ledger.size() {
        return Err(absent());
    }
    let entry = ledger.open_entry(position).await?.entry;
    let subject = entry.subject.ok_or_else(absent)?.subject;
    let found = attribution::conversion(&ledger.store(), query, position, subject.as_bytes()).await?;
    let found: ConversionCredit = found.ok_or_else(absent)?;
    let mut view = serde_json::to_value(&found).map_err(|error| Problem::failed(&error))?;
    for touch in view.get_mut("touches").and_then(Value::as_array_mut).into_iter().flatten() {
        let at = touch.get("position").and_then(Value::as_u64);
        if let (Some(at), Value::Object(touch)) = (at, touch) {
            touch.extend(behind(ledger, at).await?);
        }
    }
    Ok(view)
}

/// The decision that a touch names, and the consent that the decision relied on.
pub async fn behind(ledger: &Ledger, touch: u64) -> Result<serde_json::Map<String, Value>, Problem> {
    let mut links = serde_json::Map::new();
    let opened = ledger.open_entry(touch).await?;
    links.insert("event".to_owned(), json!(opened.entry.event_type));
    let business = opened.plaintext(PartKind::Business).and_then(|bytes| serde_json::from_slice::<Value>(bytes).ok());
    let decision = business.as_ref().and_then(|business| business.get("data")?.get("decision")?.as_str());
    let Some(decision) = decision else { return Ok(links) };
    links.insert("decision".to_owned(), json!(decision));
    if let Ok(stored) = Stored::find(ledger, decision).await {
        links.insert("decision_position".to_owned(), json!(stored.position));
        links.insert("allowed".to_owned(), stored.data.get("allow").cloned().unwrap_or_default());
        if let Some(grant) = stored.data.get("grant_position") {
            links.insert("consent_position".to_owned(), grant.clone());
        }
    }
    Ok(links)
}

fn csv(answer: &Attribution) -> Response<Body> {
    let mut rows = Vec::new();
    for model in &answer.models {
        for row in &model.channels {
            let amount = |money: Option<&String>| Cell::text(money.map(String::as_str));
            rows.push(vec![
                Cell::Plain(model.model.clone()),
                Cell::Text(row.channel.clone()),
                Cell::Plain(row.conversions.map_or_else(String::new, |conversions| conversions.to_string())),
                Cell::Plain(answer.currency.clone().unwrap_or_default()),
                amount(row.value.as_ref().map(|money| &money.amount)),
                amount(row.credit.as_ref().map(|money| &money.amount)),
                amount(row.net.as_ref().map(|money| &money.amount)),
            ]);
        }
    }
    table(&["model", "channel", "conversions", "currency", "value", "credit", "net"], &rows)
}
