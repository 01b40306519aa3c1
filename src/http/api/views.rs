//! Questions over everybody: what it cost and earned, whether everything comes in, what was agreed to. As JSON or CSV.
//!
//! Views follow the log. `after=<position>` waits until the view has seen that entry, so who wrote it reads it; a view that
//! does not get there in time answers 503 `projection_behind` instead of an old truth.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, Response};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::subjects;
use crate::domain::parts::RetentionClass;
use crate::domain::time::{Timestamp, parse_day};
use crate::http::codes;
use crate::http::csv::{Cell, table};
use crate::http::error::Problem;
use crate::http::front::Caller;
use crate::http::paging::json_response;
use crate::http::request::{Params, Preferences, wants_csv};
use crate::ingest::Ledger;
use crate::store::views::Account;
use crate::views::consent::{ConsentCell, HistoryAct};
use crate::views::moves::{self, Move};
use crate::views::roi::{Dimension, Roi, RoiMoney, RoiNames, RoiQuery};
use crate::views::{Instants, Money, Page, PageRequest, ViewError, consent, health, quarantine, roi};

/// How long a read waits for its view by default.
const WAIT: Duration = Duration::from_secs(2);
/// Days that the health view shows by default.
const HEALTH_DAYS: i64 = 14;

impl From<ViewError> for Problem {
    fn from(error: ViewError) -> Problem {
        match error {
            ViewError::Cursor(_) => {
                Problem::new(codes::CURSOR_INVALID, "The cursor is not one that this list gave out.")
            }
            ViewError::Store(source) => source.into(),
            ViewError::TooLarge => Problem::failed(&error),
            ViewError::TooMany(of) => {
                Problem::parameter("known_at", &format!("must be earlier: there are more {of} than one answer weighs"))
            }
        }
    }
}

/// Waits until the views have seen the entry that `after` names.
///
/// # Errors
/// `projection_behind`.
pub async fn caught_up(caller: &Caller, params: &Params, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(position) = params.number("after")? else { return Ok(()) };
    seen(caller, position, headers).await
}

/// Waits until the views have seen an entry.
///
/// # Errors
/// `projection_behind`.
pub async fn seen(caller: &Caller, position: u64, headers: &HeaderMap) -> Result<(), Problem> {
    let wait = Preferences::read(headers).wait.unwrap_or(WAIT);
    caller.service.runner.wait_for(position, wait).await.map_err(|error| {
        let detail = format!("The view stands at position {} and has not seen {} yet.", error.at, error.wanted);
        Problem::new(codes::PROJECTION_BEHIND, detail)
    })
}

/// A day as `YYYY-MM-DD`, in days since 1970-01-01.
///
/// # Errors
/// `parameter_invalid`.
pub fn day(params: &Params, name: &str) -> Result<Option<i64>, Problem> {
    let Some(text) = params.text(name) else { return Ok(None) };
    parse_day(text).map(Some).ok_or_else(|| Problem::parameter(name, "is a day, such as 2026-11-03"))
}

/// What every question about return on investment may be restricted to.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes parameters; `roi_query` reads them")]
pub(super) struct RoiFilters {
    /// First accounting day
    from: Option<String>,
    /// The day after the last one
    to: Option<String>,
    /// Only this campaign
    campaign: Option<String>,
    /// Only this channel
    channel: Option<String>,
    /// Only this source
    source: Option<String>,
    /// Only this seller
    seller: Option<String>,
    /// Only this vendor
    vendor: Option<String>,
    /// Only leads of this state
    state: Option<String>,
    /// Only leads of this month, such as 2026-10
    cohort: Option<String>,
    /// Only what had happened by then
    as_of: Option<String>,
    /// Only what was recorded by then
    known_at: Option<String>,
    /// Wait until the view has seen this position
    after: Option<u64>,
}

impl RoiFilters {
    /// Their names, and those that a route has besides.
    pub(super) fn with<const N: usize>(more: [&'static str; N]) -> Vec<&'static str> {
        let names = ["from", "to", "campaign", "channel", "source", "seller", "vendor", "state", "cohort"];
        names.into_iter().chain(["as_of", "known_at", "after"]).chain(more).collect()
    }
}

/// Return on investment
///
/// Cost by kind, revenue gross and net, margin, what a lead and a sale cost, and counts by any of `day`, `week`, `month`, `campaign`,
/// `channel`, `source`, `seller`, `vendor`, and by `state` and `cohort` (month) of the lead. Accrued, with cash beside it. Nothing is converted between currencies; `ops/roi.md` says each formula. As CSV, a group's counts stand in its first currency's row only, so that columns can be summed.
#[utoipa::path(
    get,
    path = "/v1/views/roi",
    tag = "views",
    params(
        ("by" = Option<String>, Query, description = "Dimensions, comma-separated; `campaign` if absent"),
        RoiFilters,
    ),
    responses(
        (status = 200, description = "Rows and totals", body = Roi),
        (status = 503, description = "`projection_behind`")
    )
)]
pub async fn view_roi(caller: Caller, params: Params, headers: HeaderMap) -> Result<Response<Body>, Problem> {
    let params = params.only(&RoiFilters::with(["by"]))?;
    caught_up(&caller, &params, &headers).await?;
    let query = RoiQuery { by: dimensions(&params)?, ..roi_query(&params)? };
    let answer = roi::roi(&caller.service.ledger.store(), &query).await?;
    if wants_csv(&headers) { Ok(roi_csv(&answer, &query)) } else { Ok(json_response(&answer)) }
}

/// What a question about ROI is grouped by: campaign, if it does not say.
pub(super) fn dimensions(params: &Params) -> Result<BTreeSet<Dimension>, Problem> {
    let names = params.text("by").unwrap_or("campaign").split(',').filter(|name| !name.is_empty());
    let unknown = "lists day, week, month, campaign, channel, source, seller, vendor, state or cohort";
    names.map(Dimension::from_name).collect::<Option<_>>().ok_or_else(|| Problem::parameter("by", unknown))
}

/// What a question about ROI says besides its groups.
pub(super) fn roi_query(params: &Params) -> Result<RoiQuery, Problem> {
    let owned = |name: &str| params.text(name).map(str::to_owned);
    Ok(RoiQuery {
        day_from: day(params, "from")?,
        day_to: day(params, "to")?,
        by: BTreeSet::new(),
        campaign: owned("campaign"),
        channel: owned("channel"),
        source: owned("source"),
        seller: owned("seller"),
        vendor: owned("vendor"),
        state: owned("state"),
        cohort: owned("cohort"),
        as_of: params.time("as_of")?,
        known_at: params.time("known_at")?,
    })
}

/// The events that moved return on investment
///
/// Which events, recorded after `known_from` and by `known_at`, moved the figures, in the order of the log, and by how much: what all pages hold adds
/// up to the difference between the answers of `/v1/views/roi` at the two instants. `about` names the entries that an event took out of
/// the figures or put back.
#[utoipa::path(
    get,
    path = "/v1/views/roi/moves",
    tag = "views",
    params(
        ("known_from" = String, Query, description = "Recorded after this instant"),
        RoiFilters,
        ("limit" = Option<u32>, Query, description = "1 to 1000; 100 if absent"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses(
        (status = 200, description = "A page of events", body = Page<Move>),
        (status = 400, description = "`parameter_invalid`"),
        (status = 503, description = "`projection_behind`")
    )
)]
pub async fn view_roi_moves(caller: Caller, params: Params, headers: HeaderMap) -> Result<Response<Body>, Problem> {
    let params = params.only(&RoiFilters::with(["known_from", "limit", "cursor"]))?;
    caught_up(&caller, &params, &headers).await?;
    let known_from = params.time("known_from")?;
    let known_from = known_from.ok_or_else(|| Problem::parameter("known_from", "is needed: an instant, RFC 3339"))?;
    let request = page_request(&params, moves::LIST)?;
    let ledger = &caller.service.ledger;
    let mut page = moves::moves(&ledger.store(), &roi_query(&params)?, known_from, &request).await?;
    let positions: Vec<u64> = page.items.iter().map(|item| item.position).collect();
    let entries = ledger.open_entries(&positions, |_, _| false).await?;
    for (item, opened) in page.items.iter_mut().zip(entries) {
        item.event_type = opened.entry.event_type.as_str().to_owned();
    }
    Ok(json_response(&page))
}

/// The money of a row, in the order of its columns; blank where there is none.
fn roi_money_cells(money: Option<&RoiMoney>) -> Vec<Cell> {
    let Some(money) = money else { return vec![Cell::Plain(String::new()); 17 + roi::COST_KINDS.len()] };
    let text = |text: &Option<String>| Cell::Plain(text.clone().unwrap_or_default());
    let sum = |sum: &Money| Cell::Plain(sum.amount.clone());
    let each = |each: &Option<Money>| Cell::Plain(each.as_ref().map_or_else(String::new, |money| money.amount.clone()));
    let mut cells = vec![
        Cell::Plain(money.revenue.currency.clone()),
        sum(&money.revenue),
        sum(&money.cost),
        sum(&money.margin),
        text(&money.roi),
        sum(&money.gross),
        sum(&money.returns),
        text(&money.return_rate),
        sum(&money.contribution),
        each(&money.cpl),
        each(&money.cpl_gross),
        each(&money.cac),
        each(&money.effective_price),
        text(&money.roas),
        sum(&money.received),
        sum(&money.paid),
        sum(&money.cash_flow),
    ];
    let of = |kind: Account| money.costs.get(kind.name()).map_or_else(String::new, |money| money.amount.clone());
    cells.extend(roi::COST_KINDS.map(|kind| Cell::Plain(of(kind))));
    cells
}

/// Columns of the names that were asked for, in the order of dimensions.
pub(super) fn name_columns(query: &RoiQuery) -> Vec<&'static str> {
    let names = ["day", "week", "month", "campaign", "channel", "source", "seller", "vendor", "state", "cohort"];
    let asked = |name: &str| Dimension::from_name(name).is_some_and(|dimension| query.by.contains(&dimension));
    names.into_iter().filter(|name| asked(name)).collect()
}

/// The names of a group that were asked for, in the order of dimensions.
pub(super) fn name_cells(names: &RoiNames) -> Vec<Cell> {
    let RoiNames { day, week, month, campaign, channel, source, seller, vendor, state, cohort } = names;
    let all = [day, week, month, campaign, channel, source, seller, vendor, state, cohort];
    all.into_iter().filter_map(|name| Some(Cell::Text(name.clone()?))).collect()
}

fn roi_csv(answer: &Roi, query: &RoiQuery) -> Response<Body> {
    let kinds = roi::COST_KINDS.map(|kind| format!("cost_{}", kind.name()));
    let mut columns = name_columns(query);
    columns.extend(["currency", "revenue", "cost", "margin", "roi", "gross", "returns", "return_rate", "contribution"]);
    columns.extend(["cpl", "cpl_gross", "cac", "effective_price", "roas", "received", "paid", "cash_flow"]);
    columns.extend(kinds.iter().map(String::as_str));
    columns.extend(["leads", "accepted_leads", "contacts", "appointments", "shows", "sales", "refunds"]);
    let mut rows = Vec::new();
    for row in &answer.rows {
        let names = name_cells(&row.names);
        let counts = [row.leads, row.accepted_leads, row.contacts, row.appointments, row.shows, row.sales, row.refunds];
        let none: [Option<&RoiMoney>; 1] = [None];
        let money: Vec<Option<&RoiMoney>> = row.money.iter().map(Some).collect();
        let lines = if money.is_empty() { none.to_vec() } else { money };
        for (at, money) in lines.into_iter().enumerate() {
            let mut cells = names.clone();
            cells.extend(roi_money_cells(money));
            cells.extend(counts.iter().map(|count| if at == 0 { Cell::number(count) } else { Cell::text(None) }));
            rows.push(cells);
        }
    }
    table(&columns, &rows)
}

/// Health of what comes in
///
/// Entries by recorded day and family, the last of each type and principal, projections, quarantine.
#[utoipa::path(
    get,
    path = "/v1/views/health",
    tag = "views",
    params(
        ("from" = Option<String>, Query, description = "First day; 14 days back if absent"),
        ("to" = Option<String>, Query, description = "The day after the last one"),
        ("after" = Option<u64>, Query, description = "Wait until the view has seen this position"),
    ),
    responses((status = 200, description = "Health", body = health::Health))
)]
pub async fn view_health(caller: Caller, params: Params, headers: HeaderMap) -> Result<Response<Body>, Problem> {
    let params = params.only(&["from", "to", "after"])?;
    caught_up(&caller, &params, &headers).await?;
    let today = caller.service.ledger.now().unix_days();
    let (from, to) =
        (day(&params, "from")?.unwrap_or(today - HEALTH_DAYS + 1), day(&params, "to")?.unwrap_or(today + 1));
    let answer = health::health(&caller.service.ledger.store(), from, to).await?;
    if !wants_csv(&headers) {
        return Ok(json_response(&answer));
    }
    let mut rows = Vec::new();
    for day in &answer.days {
        for (event_type, events) in &day.types {
            rows.push(vec![
                Cell::Plain(day.day.clone()),
                Cell::Text(day.family.clone()),
                Cell::Text(event_type.clone()),
                Cell::number(events),
            ]);
        }
    }
    Ok(table(&["day", "family", "type", "events"], &rows))
}

/// A person's consent at two instants, and the acts behind it.
#[derive(Debug, Serialize, ToSchema)]
pub struct SubjectConsent {
    /// The person.
    pub subject: String,
    /// What had happened by then counts.
    pub as_of: String,
    /// What was recorded by then counts.
    pub known_at: String,
    /// Where each channel, purpose and seller stands.
    pub cells: Vec<ConsentCell>,
    /// The acts, in order.
    pub acts: Vec<HistoryAct>,
}

/// Read a person's consent
///
/// For each channel, purpose and seller where it stands, and the acts that decide. It informs; it is not the contact gate.
#[utoipa::path(
    get,
    path = "/v1/subjects/{subject}/consent",
    tag = "subjects",
    params(
        ("subject" = String, Path, description = "Pseudonym"),
        ("as_of" = Option<String>, Query, description = "At this instant; now if absent"),
        ("known_at" = Option<String>, Query, description = "As known at this instant; now if absent"),
        ("after" = Option<u64>, Query, description = "Wait until the view has seen this position"),
    ),
    responses(
        (status = 200, description = "The consent", body = SubjectConsent),
        (status = 404, description = "There is no such subject")
    )
)]
pub async fn subject_consent(
    caller: Caller,
    Path(subject): Path<String>,
    params: Params,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    let params = params.only(&["as_of", "known_at", "after"])?;
    let ledger = &caller.service.ledger;
    let (subject, head) = subjects::known(ledger, &subject)?;
    caught_up(&caller, &params, &headers).await?;
    if params.number("after")?.is_none() {
        // Without a position of the caller's own: what the log says of this person now must be in the view.
        let behind = |_| Problem::new(codes::PROJECTION_BEHIND, "The view has not seen this person's last entry yet.");
        caller.service.runner.wait_for(head.position, WAIT).await.map_err(behind)?;
    }
    let now = ledger.now();
    let at = Instants {
        as_of: params.time("as_of")?.unwrap_or(now),
        known_at: params.time("known_at")?.unwrap_or(Timestamp::MAX),
    };
    kept(ledger, &[RetentionClass::Consent], at.as_of.min(at.known_at)).await?;
    let store = ledger.store();
    let subjects = ledger.union_of(&subject, at.known_at).await?;
    let cells = consent::state(&store, &subjects, at).await?;
    let acts = consent::history(&store, &subjects, at).await?;
    Ok(json_response(&SubjectConsent {
        subject: subject.to_string(),
        as_of: at.as_of.to_string(),
        known_at: params.time("known_at")?.unwrap_or(now).to_string(),
        cells,
        acts,
    }))
}

/// Refuses a question about an instant of which not everything is kept.
///
/// # Errors
/// `history_expired`, with the first instant that can be asked about.
pub(super) async fn kept(ledger: &Ledger, classes: &[RetentionClass], at: Timestamp) -> Result<(), Problem> {
    match ledger.history_begins(classes).await? {
        Some(begins) if at < begins => Err(Problem::new(
            codes::HISTORY_EXPIRED,
            format!("Not all of what was known then is kept; the first instant that can be asked about is {begins}."),
        )),
        _ => Ok(()),
    }
}

/// List what waits in quarantine
///
/// In the order it came, only what is open unless `state=all`.
#[utoipa::path(
    get,
    path = "/v1/quarantine",
    tag = "quarantine",
    params(
        ("state" = Option<String>, Query, description = "`open` (if absent) or `all`"),
        ("limit" = Option<u64>, Query, description = "Most items, 1 to 1000, 100 if absent"),
        ("cursor" = Option<String>, Query, description = "The last page's `next_cursor`"),
        ("after" = Option<u64>, Query, description = "Wait until the view has seen this position"),
    ),
    responses((status = 200, description = "A page of items", body = serde_json::Value))
)]
pub async fn quarantine_list(caller: Caller, params: Params, headers: HeaderMap) -> Result<Response<Body>, Problem> {
    let params = params.only(&["state", "limit", "cursor", "after"])?;
    caught_up(&caller, &params, &headers).await?;
    let all = match params.text("state") {
        None | Some("open") => false,
        Some("all") => true,
        Some(_) => return Err(Problem::parameter("state", "is open or all")),
    };
    let request = page_request(&params, quarantine::LIST)?;
    let page = quarantine::items(&caller.service.ledger.store(), &request, all).await?;
    Ok(json_response(&page))
}

/// Which page of a list is asked for.
pub(super) fn page_request(params: &Params, list: u8) -> Result<PageRequest, Problem> {
    let limit = params.number("limit")?.map(u32::try_from).transpose();
    let limit =
        limit.ok().filter(|limit| *limit != Some(0)).ok_or_else(|| Problem::parameter("limit", "is from 1 to 1000"))?;
    Ok(PageRequest::new(params.text("cursor"), limit, list).map_err(ViewError::from)?)
}
