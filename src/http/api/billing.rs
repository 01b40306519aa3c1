//! Contracts, rating, invoices and credit notes.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::billing_documents::drawn_view;
use super::views::{caught_up, day};
use crate::decisions::{BillingError, DocumentAsked, Drawn, InvoiceAsked, Rated, Run};
use crate::domain::money::{Currency, Micros};
use crate::domain::time::{Timestamp, day_text, parse_day};
use crate::http::codes;
use crate::http::csv::{Cell, table};
use crate::http::error::Problem;
use crate::http::front::Caller;
use crate::http::paging::json_response;
use crate::http::request::{self, Params, wants_csv};
use crate::policy::pricing::Contract;
use crate::views::billing::{Billing, BillingQuery, SellerRow, billing};

/// Longest contract.
const CONTRACT_BYTES_MAX: usize = 1 << 20;

impl From<BillingError> for Problem {
    fn from(error: BillingError) -> Problem {
        let refused = |detail: String| Problem::new(codes::BILLING_REFUSED, detail);
        match error {
            BillingError::Behind(error) => Problem::new(
                codes::PROJECTION_BEHIND,
                format!("The rows stand at position {} and have not seen {} yet.", error.at, error.wanted),
            ),
            BillingError::Contract(error) => {
                Problem::new(codes::CONTRACT_INVALID, format!("The contract is not taken: {error}."))
            }
            BillingError::Decide(error) => error.into(),
            BillingError::NoContract => {
                refused("No contract is in force: send one to /v1/billing/contract.".to_owned())
            }
            BillingError::Currencies(_)
            | BillingError::Lines(_)
            | BillingError::Nothing
            | BillingError::NumberUsed(_)
            | BillingError::Parked(_)
            | BillingError::Sign(_) => {
                let text = error.to_string();
                let (first, rest) = text.split_at(text.chars().next().map_or(0, char::len_utf8));
                refused(format!("{}{rest}.", first.to_uppercase()))
            }
            BillingError::Unknown(what) => Problem::absent(what),
            BillingError::Submit(error) => error.into(),
            BillingError::Store(error) => error.into(),
            BillingError::Money(_) | BillingError::Read(_) | BillingError::Replay(_) => Problem::failed(&error),
        }
    }
}

/// What a run of billing needs of a request.
pub fn run<'a>(caller: &'a Caller, now: Option<Timestamp>) -> Run<'a> {
    let service = &caller.service;
    Run { ledger: &service.ledger, rows: &service.runner, gate: &service.gate, actor: caller.principal, now }
}

/// Money outside.
pub fn money(micros: i64, currency: Currency) -> Value {
    json!({ "amount": Micros::from_micros(micros).to_string(), "currency": currency.code() })
}

/// The contract in force
#[utoipa::path(
    get,
    path = "/v1/billing/contract",
    tag = "billing",
    responses(
        (status = 200, description = "Digest, version, rules and sellers with terms", body = serde_json::Value),
        (status = 409, description = "`billing_refused`: none was put in force")
    )
)]
pub async fn billing_contract_read(caller: Caller, params: Params) -> Result<Response<Body>, Problem> {
    params.only(&[])?;
    let contract = caller.service.biller.contract(run(&caller, None)).await?;
    Ok(json_response(&contract_view(&contract)))
}

fn contract_view(contract: &Contract) -> Value {
    let rules: Vec<Value> = contract
        .rules
        .iter()
        .map(|rule| {
            let to = rule.to.map(day_text);
            json!({ "rule": rule.id, "seller": rule.seller, "on": rule.on.revenue_kind(),
                "effective_from": day_text(rule.from), "effective_to": to })
        })
        .collect();
    let terms: Vec<&String> = contract.terms.keys().collect();
    json!({ "pack_sha256": contract.digest, "version": contract.version, "rules": rules, "terms": terms })
}

/// Put a contract in force
///
/// The body is the contract as TOML, in the form of `policies/pricing.toml`. It is registered in the log, and each price cites its
/// digest. Prices that were recorded stand; what the contract before refused to price is asked again at the next rating.
#[utoipa::path(
    post,
    path = "/v1/billing/contract",
    tag = "billing",
    params(("Tallystick-Now" = Option<String>, Header, description = "The caller's clock, on a scratch ledger")),
    request_body(content = String, description = "The contract", content_type = "application/toml"),
    responses(
        (status = 201, description = "It is in force", body = serde_json::Value),
        (status = 422, description = "`contract_invalid`: which part is wrong")
    )
)]
pub async fn billing_contract_activate(caller: Caller, request: Request) -> Result<Response<Body>, Problem> {
    let (parts, body) = request.into_parts();
    let bytes = request::body(&parts.headers, body, CONTRACT_BYTES_MAX).await?;
    let text =
        std::str::from_utf8(&bytes).map_err(|_| Problem::new(codes::CONTRACT_INVALID, "The contract is not UTF-8."))?;
    let now = request::now(&parts.headers, &caller.service.ledger)?;
    let (contract, receipt) = caller.service.biller.activate(run(&caller, now), text).await?;
    let mut view = contract_view(&contract);
    if let Value::Object(view) = &mut view {
        view.insert("position".to_owned(), json!(receipt.position));
    }
    Ok(created(&view))
}

fn created(view: &Value) -> Response<Body> {
    let mut response = json_response(view);
    *response.status_mut() = StatusCode::CREATED;
    response
}

/// Price what is to be priced
///
/// Every billable event that no rule priced yet is asked of the contract in force, in the order of the log; each answer is recorded
/// with every rule's verdict before the next request is answered. Prices of events that were annulled or corrected are taken back, and
/// returns that wait are judged. Running it twice prices nothing twice.
#[utoipa::path(
    post,
    path = "/v1/billing/rate",
    tag = "billing",
    params(("Tallystick-Now" = Option<String>, Header, description = "The caller's clock, on a scratch ledger")),
    responses(
        (status = 200, description = "How many events were priced, refused, taken back; returns", body = serde_json::Value),
        (status = 409, description = "`billing_refused`: no contract is in force"),
        (status = 503, description = "`projection_behind`")
    )
)]
pub async fn billing_rate(caller: Caller, headers: HeaderMap) -> Result<Response<Body>, Problem> {
    let now = request::now(&headers, &caller.service.ledger)?;
    let rated: Rated = caller.service.biller.rate(run(&caller, now)).await?;
    let amounts: Vec<Value> = rated
        .amounts
        .iter()
        .map(|(currency, micros)| json!({ "amount": Micros::from_micros(*micros).to_string(), "currency": currency }))
        .collect();
    Ok(json_response(&json!({
        "pack_sha256": rated.contract, "priced": rated.priced, "refused": rated.refused,
        "taken_back": rated.taken_back, "returns_accepted": rated.returns_accepted,
        "returns_refused": rated.returns_refused, "amounts": amounts,
    })))
}

/// An invoice to be drawn.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InvoiceDoc {
    /// Its number; used once.
    #[schema(example = "2026-11-broker-a")]
    pub number: String,
    /// Who pays.
    pub seller: String,
    /// ISO 4217 code; absent: the only one that the seller has receivables in.
    pub currency: Option<String>,
    /// First day of the period: minimums and settlements of its whole months or days are due.
    #[schema(example = "2026-11-01")]
    pub period_from: String,
    /// Last day billed.
    #[schema(example = "2026-11-30")]
    pub period_to: String,
    /// Day payment is due.
    pub due_on: Option<String>,
    /// Draw it, and record nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// A credit note to be drawn.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreditDoc {
    /// Its number; used once.
    pub number: String,
    /// Who is credited.
    pub seller: String,
    /// ISO 4217 code; absent: the only one that the seller has receivables in.
    pub currency: Option<String>,
    /// Last day of what is credited.
    pub period_to: String,
    /// Draw it, and record nothing.
    #[serde(default)]
    pub dry_run: bool,
}

fn day_at(pointer: &str, text: &str) -> Result<i64, Problem> {
    parse_day(text).ok_or_else(|| Problem::member(pointer, "day_invalid", "is a day, such as 2026-11-30"))
}

fn id_at(pointer: &str, text: &str) -> Result<(), Problem> {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let first = text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    if first && text.len() <= 64 && text.bytes().all(inside) {
        return Ok(());
    }
    Err(Problem::member(pointer, "id_invalid", "is letters, digits, . _ - and at most 64 of them"))
}

fn currency_at(code: Option<&str>) -> Result<(), Problem> {
    match code.map(Currency::parse) {
        Some(Err(_)) => Err(Problem::member("/currency", "currency_unknown", "is a currency of ISO 4217")),
        Some(Ok(_)) | None => Ok(()),
    }
}

/// Issue an invoice
///
/// What is to be priced is priced first. The invoice takes every receivable entry of the seller up to its last day that no earlier
/// invoice took, late ones too, and settles minimums and volume tiers of whole periods that no invoice settled. Whole minor units;
/// what they leave over is booked as rounding. `dry_run` prices and records nothing, and shows what is priced so far.
#[utoipa::path(
    post,
    path = "/v1/billing/invoices",
    tag = "billing",
    params(("Tallystick-Now" = Option<String>, Header, description = "The caller's clock, on a scratch ledger")),
    request_body = InvoiceDoc,
    responses(
        (status = 201, description = "Issued", body = serde_json::Value),
        (status = 200, description = "A dry run", body = serde_json::Value),
        (status = 409, description = "`billing_refused`: nothing to bill, a negative sum, a number used before, several currencies"),
        (status = 422, description = "`request_invalid`"),
        (status = 503, description = "`projection_behind`")
    )
)]
pub async fn billing_invoice(caller: Caller, request: Request) -> Result<Response<Body>, Problem> {
    let (parts, body) = request.into_parts();
    let asked: InvoiceDoc = request::json(&parts.headers, body).await?;
    id_at("/number", &asked.number)?;
    id_at("/seller", &asked.seller)?;
    currency_at(asked.currency.as_deref())?;
    let (day_from, day_to) = (day_at("/period_from", &asked.period_from)?, day_at("/period_to", &asked.period_to)?);
    if day_to < day_from {
        return Err(Problem::member("/period_to", "period_reversed", "is not before period_from"));
    }
    let due = asked.due_on.as_deref().map(|due| day_at("/due_on", due)).transpose()?;
    let now = request::now(&parts.headers, &caller.service.ledger)?;
    let of = DocumentAsked {
        number: asked.number,
        seller: asked.seller,
        currency: asked.currency,
        day_to,
        invoice: Some(InvoiceAsked { day_from, due }),
    };
    let (drawn, receipt) = caller.service.biller.document(run(&caller, now), &of, asked.dry_run).await?;
    Ok(issued(&of.number, &drawn, receipt.map(|receipt| receipt.position)))
}

/// Issue a credit note
///
/// It takes every return, refund, chargeback and clawback of the seller up to its last day that no earlier credit note took.
#[utoipa::path(
    post,
    path = "/v1/billing/credit-notes",
    tag = "billing",
    params(("Tallystick-Now" = Option<String>, Header, description = "The caller's clock, on a scratch ledger")),
    request_body = CreditDoc,
    responses(
        (status = 201, description = "Issued", body = serde_json::Value),
        (status = 200, description = "A dry run", body = serde_json::Value),
        (status = 409, description = "`billing_refused`: nothing to credit, a number used before, several currencies"),
        (status = 422, description = "`request_invalid`"),
        (status = 503, description = "`projection_behind`")
    )
)]
pub async fn billing_credit_note(caller: Caller, request: Request) -> Result<Response<Body>, Problem> {
    let (parts, body) = request.into_parts();
    let asked: CreditDoc = request::json(&parts.headers, body).await?;
    id_at("/number", &asked.number)?;
    id_at("/seller", &asked.seller)?;
    currency_at(asked.currency.as_deref())?;
    let day_to = day_at("/period_to", &asked.period_to)?;
    let now = request::now(&parts.headers, &caller.service.ledger)?;
    let of =
        DocumentAsked { number: asked.number, seller: asked.seller, currency: asked.currency, day_to, invoice: None };
    let (drawn, receipt) = caller.service.biller.document(run(&caller, now), &of, asked.dry_run).await?;
    Ok(issued(&of.number, &drawn, receipt.map(|receipt| receipt.position)))
}

fn issued(number: &str, drawn: &Drawn, position: Option<u64>) -> Response<Body> {
    let mut view = drawn_view(drawn, position);
    view.insert("number".to_owned(), json!(number));
    view.insert("position".to_owned(), json!(position));
    match position {
        Some(_) => created(&Value::Object(view)),
        None => json_response(&view),
    }
}

/// Receivables
///
/// By seller and currency: earned, given back, invoiced, credited, open, paid, balance, invoices by age, money paid ahead; and what vendors,
/// publishers and agents are owed.
#[utoipa::path(
    get,
    path = "/v1/views/billing",
    tag = "views",
    params(
        ("seller" = Option<String>, Query, description = "Only this seller"),
        ("today" = Option<String>, Query, description = "The day from which invoices are overdue; the ledger's day if absent"),
        ("as_of" = Option<String>, Query, description = "Only what had happened by then"),
        ("known_at" = Option<String>, Query, description = "Only what was recorded by then"),
        ("after" = Option<u64>, Query, description = "Wait until the view has seen this position"),
    ),
    responses((status = 200, description = "Sellers and payables", body = Billing), (status = 503, description = "`projection_behind`"))
)]
pub async fn view_billing(caller: Caller, params: Params, headers: HeaderMap) -> Result<Response<Body>, Problem> {
    let params = params.only(&["seller", "today", "as_of", "known_at", "after"])?;
    caught_up(&caller, &params, &headers).await?;
    let query = BillingQuery {
        seller: params.text("seller").map(str::to_owned),
        as_of: params.time("as_of")?,
        known_at: params.time("known_at")?,
        today: day(&params, "today")?.unwrap_or_else(|| caller.service.ledger.now().unix_days()),
    };
    let answer = billing(&caller.service.ledger.store(), &query).await?;
    if !wants_csv(&headers) {
        return Ok(json_response(&answer));
    }
    let columns = [
        "seller",
        "currency",
        "earned",
        "given_back",
        "return_rate",
        "invoiced",
        "credited",
        "open",
        "paid",
        "balance",
        "not_due",
        "days_30",
        "days_60",
        "days_90",
        "older",
        "prepaid",
        "prepaid_days",
    ];
    let cells = |row: &SellerRow| -> Vec<Cell> {
        let aging = &row.outstanding;
        let money = [
            &row.invoiced,
            &row.credited,
            &row.open,
            &row.paid,
            &row.balance,
            &aging.not_due,
            &aging.days_30,
            &aging.days_60,
            &aging.days_90,
            &aging.older,
            &row.prepaid,
        ];
        let mut cells = vec![Cell::Text(row.seller.clone()), Cell::Plain(row.earned.currency.clone())];
        cells.extend([&row.earned, &row.given_back].map(|money| Cell::Plain(money.amount.clone())));
        cells.push(Cell::Plain(row.return_rate.clone().unwrap_or_default()));
        cells.extend(money.map(|money| Cell::Plain(money.amount.clone())));
        cells.push(row.prepaid_days.map_or(Cell::Plain(String::new()), Cell::number));
        cells
    };
    Ok(table(&columns, &answer.sellers.iter().map(cells).collect::<Vec<_>>()))
}
