//! What each lead cost and brought, and what of revenue has a whole trail.

use axum::body::Body;
use axum::http::{HeaderMap, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::views::{RoiFilters, caught_up, day, dimensions, name_cells, name_columns, page_request, roi_query};
use crate::decisions::{AuditError, Span, audit};
use crate::domain::money::Currency;
use crate::domain::time::{MICROS_PER_DAY, Timestamp};
use crate::http::csv::{Cell, table};
use crate::http::error::Problem;
use crate::http::front::Caller;
use crate::http::paging::json_response;
use crate::http::request::{Params, wants_csv};
use crate::policy::exposure::{Exposure, Laws};
use crate::store::views::Account;
use crate::views::compliant::{Compliant, compliant};
use crate::views::leads::{self, Driver, LeadGroup, LeadMoney, LeadRow, Leads, LeadsGroup, LeadsQuery};
use crate::views::roi::{COST_KINDS, RoiQuery};

/// Compliant ROI, with what the contacts of the same days may cost.
#[derive(Debug, Serialize, ToSchema)]
pub struct CompliantView {
    #[serde(flatten)]
    answer: Compliant,
    /// What contacts of the days may cost by statute, by all that is known: exposure, no booked cost. Null where there are more contacts than one
    /// answer judges.
    exposure: Option<Vec<Exposure>>,
}

fn leads_query(params: &Params) -> Result<LeadsQuery, Problem> {
    let currency = params.text("currency").unwrap_or("USD");
    let wrong = || Problem::parameter("currency", "is a currency of ISO 4217");
    let currency = Currency::parse(currency).map_err(|_| wrong())?;
    let driver = |name| {
        let wrong = "is leads, accepted_leads, contacts, sales or revenue";
        Driver::from_name(name).ok_or_else(|| Problem::parameter("allocate", wrong))
    };
    Ok(LeadsQuery {
        day_from: day(params, "from")?.unwrap_or(i64::MIN),
        day_to: day(params, "to")?.unwrap_or(i64::MAX),
        campaign: params.text("campaign").map(str::to_owned),
        state: params.text("state").map(str::to_owned),
        currency: currency.code().as_bytes().try_into().map_err(|_| wrong())?,
        unsaid: params.text("allocate").map(driver).transpose()?,
        as_of: params.time("as_of")?.unwrap_or(Timestamp::MAX),
        known_at: params.time("known_at")?.unwrap_or(Timestamp::MAX),
    })
}

/// What each lead cost and brought
///
/// By lead, in the order of the log: price, payout, costs of its own, its shares of costs of nobody's lead, and the margin, read from the other side of
/// the books; `difference` is zero where they balance. With `by`, the same by `cohort` (month), `state`, `campaign`, `channel`, `source` or `vendor` of the lead,
/// with ROI, acquisition cost and value a lead that sold, and the months until the value had paid for the acquisition. Costs are spread as they say,
/// those that do not say as `allocate` says; what cannot be spread stays visible under `totals`, so that everything adds up to
/// `/v1/views/roi`.
#[utoipa::path(
    get,
    path = "/v1/views/leads",
    tag = "views",
    params(
        ("by" = Option<String>, Query, description = "`cohort`, `state`, `campaign`, `channel`, `source` or `vendor`; lead by lead if absent"),
        ("allocate" = Option<String>, Query, description = "How costs are spread that do not say how: by `leads`, `accepted_leads`, `contacts`, `sales` or `revenue` of their day; not at all if absent"),
        ("currency" = Option<String>, Query, description = "`USD` if absent"),
        ("from" = Option<String>, Query, description = "First day of leads"),
        ("to" = Option<String>, Query, description = "The day after the last one"),
        ("campaign" = Option<String>, Query, description = "Only leads of this campaign"),
        ("state" = Option<String>, Query, description = "Only leads of this state"),
        ("as_of" = Option<String>, Query, description = "Only what had happened by then"),
        ("known_at" = Option<String>, Query, description = "Only what was recorded by then"),
        ("limit" = Option<u32>, Query, description = "1 to 1000; 100 if absent"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
        ("after" = Option<u64>, Query, description = "Wait until the view has seen this position"),
    ),
    responses(
        (status = 200, description = "Leads and totals; with `by`, groups", body = Leads<LeadRow>),
        (status = 400, description = "`parameter_invalid`"),
        (status = 503, description = "`projection_behind`")
    )
)]
pub async fn view_leads(caller: Caller, params: Params, headers: HeaderMap) -> Result<Response<Body>, Problem> {
    let params = params.only(&[
        "by", "allocate", "currency", "from", "to", "campaign", "state", "as_of", "known_at", "limit", "cursor",
        "after",
    ])?;
    caught_up(&caller, &params, &headers).await?;
    let (query, store) = (leads_query(&params)?, caller.service.ledger.store());
    let Some(by) = params.text("by") else {
        let found = leads::leads(&store, &query, &page_request(&params, leads::LIST)?).await?;
        return Ok(if wants_csv(&headers) { leads_csv(&found) } else { json_response(&found) });
    };
    let by = LeadGroup::from_name(by)
        .ok_or_else(|| Problem::parameter("by", "is cohort, state, campaign, channel, source or vendor"))?;
    let found = leads::lead_groups(&store, &query, by).await?;
    Ok(if wants_csv(&headers) { groups_csv(&found, by) } else { json_response(&found) })
}

const MONEY_COLUMNS: [&str; 5] = ["currency", "revenue", "payout", "margin", "difference"];

fn kind_columns() -> Vec<String> {
    let kinds = || COST_KINDS.into_iter().filter(|kind| *kind != Account::Payout);
    let own = kinds().map(|kind| format!("cost_{}", kind.name()));
    own.chain(kinds().map(|kind| format!("allocated_{}", kind.name()))).collect()
}

fn money_cells(money: &LeadMoney) -> Vec<Cell> {
    let LeadMoney { revenue, payout, costs, allocated, margin, difference } = money;
    let mut cells = vec![Cell::Plain(revenue.currency.clone())];
    cells.extend([revenue, payout, margin, difference].map(|money| Cell::Plain(money.amount.clone())));
    for sums in [costs, allocated] {
        let kinds = COST_KINDS.into_iter().filter(|kind| *kind != Account::Payout);
        let of = |kind: Account| sums.get(kind.name()).map_or_else(String::new, |money| money.amount.clone());
        cells.extend(kinds.map(|kind| Cell::Plain(of(kind))));
    }
    cells
}

fn leads_csv(found: &Leads<LeadRow>) -> Response<Body> {
    let kinds = kind_columns();
    let mut columns = vec!["position", "subject", "day", "campaign", "channel", "source", "vendor", "state"];
    columns.extend(MONEY_COLUMNS);
    columns.extend(kinds.iter().map(String::as_str));
    let rows = found.page.items.iter().map(|lead| {
        let mut cells =
            vec![Cell::number(lead.position), Cell::Plain(lead.subject.clone()), Cell::Plain(lead.day.clone())];
        let names = [&lead.campaign, &lead.channel, &lead.source, &lead.vendor, &lead.state];
        cells.extend(names.map(|name| Cell::Text(name.clone())));
        cells.extend(money_cells(&lead.money));
        cells
    });
    table(&columns, &rows.collect::<Vec<_>>())
}

fn groups_csv(found: &Leads<LeadsGroup>, by: LeadGroup) -> Response<Body> {
    let kinds = kind_columns();
    let mut columns = vec![by.name(), "leads", "sold", "roi", "cac", "ltv", "ltv_to_cac", "payback_months"];
    columns.extend(MONEY_COLUMNS);
    columns.extend(kinds.iter().map(String::as_str));
    let rows = found.page.items.iter().map(|group| {
        let text = |text: &Option<String>| Cell::Plain(text.clone().unwrap_or_default());
        let mut cells = vec![
            Cell::Text(group.name.clone()),
            Cell::number(group.leads),
            Cell::number(group.sold),
            text(&group.roi),
            text(&group.cac.as_ref().map(|money| money.amount.clone())),
            text(&group.ltv.as_ref().map(|money| money.amount.clone())),
            text(&group.ltv_to_cac),
            text(&group.payback_months.map(|months| months.to_string())),
        ];
        cells.extend(money_cells(&group.money));
        cells
    });
    table(&columns, &rows.collect::<Vec<_>>())
}

/// Compliant ROI
///
/// Revenue by groups as in `/v1/views/roi`, cut in three: with a whole trail of consent and contact, with a broken one, and with none; and the return that
/// is left of the first. A trail breaks by a contact without a decision that allowed it then, on a consent that was annulled or corrected since,
/// or after a stop of which the gate had not been told; each such contact is named. Costs stay all in. Beside it the statutory exposure of the days'
/// contacts.
#[utoipa::path(
    get,
    path = "/v1/views/roi/compliant",
    tag = "views",
    params(
        ("by" = Option<String>, Query, description = "Dimensions, comma-separated; `campaign` if absent"),
        RoiFilters,
    ),
    responses(
        (status = 200, description = "Rows, totals, broken contacts and exposure", body = CompliantView),
        (status = 400, description = "`parameter_invalid`"),
        (status = 503, description = "`projection_behind`")
    )
)]
pub async fn view_roi_compliant(caller: Caller, params: Params, headers: HeaderMap) -> Result<Response<Body>, Problem> {
    let params = params.only(&RoiFilters::with(["by"]))?;
    caught_up(&caller, &params, &headers).await?;
    let query = RoiQuery { by: dimensions(&params)?, ..roi_query(&params)? };
    let service = &caller.service;
    let answer = compliant(&service.ledger.store(), &query).await?;
    if wants_csv(&headers) {
        return Ok(compliant_csv(&answer, &query));
    }
    let instant = |day: i64| Timestamp::from_micros(day.saturating_mul(MICROS_PER_DAY));
    let span = Span {
        from: query.day_from.map_or(Timestamp::MIN, instant),
        to: query.day_to.map_or(Timestamp::MAX, instant).min(query.as_of.unwrap_or(Timestamp::MAX)),
        known_at: query.known_at.unwrap_or(Timestamp::MAX),
    };
    let exposure = match audit(&service.ledger, &service.gate, &span).await {
        Ok(audit) => Some(audit.exposure(Laws::builtin().map_err(|error| Problem::failed(&error))?)),
        Err(AuditError::TooMany) => None,
        Err(error) => return Err(error.into()),
    };
    Ok(json_response(&CompliantView { answer, exposure }))
}

fn compliant_csv(answer: &Compliant, query: &RoiQuery) -> Response<Body> {
    let mut columns = name_columns(query);
    columns.extend(["currency", "revenue", "compliant_revenue", "broken_revenue", "unproven_revenue", "cost"]);
    columns.extend(["roi", "compliant_roi", "compliant_share"]);
    let rows = answer.rows.iter().map(|row| {
        let mut cells = name_cells(&row.names);
        cells.push(Cell::Plain(row.revenue.currency.clone()));
        let money = [&row.revenue, &row.compliant_revenue, &row.broken_revenue, &row.unproven_revenue, &row.cost];
        cells.extend(money.map(|money| Cell::Plain(money.amount.clone())));
        let ratios = [&row.roi, &row.compliant_roi, &row.compliant_share];
        cells.extend(ratios.map(|ratio| Cell::Plain(ratio.clone().unwrap_or_default())));
        cells
    });
    table(&columns, &rows.collect::<Vec<_>>())
}
