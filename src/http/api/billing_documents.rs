//! Invoices and credit notes that were issued: listed, read, drawn again, as CSV and PDF.

use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, Response, header};
use serde_json::{Map, Value, json};

use super::billing::{money, run};
use super::views::caught_up;
use crate::decisions::Drawn;
use crate::domain::money::Micros;
use crate::domain::time::day_text;
use crate::http::csv::{Cell, table};
use crate::http::error::Problem;
use crate::http::front::Caller;
use crate::http::paging::json_response;
use crate::http::request::{Params, wants_csv, wants_pdf};
use crate::store::views::{BillingAct, BillingDocument};

/// A document's lines and sums, each line with where it opens once it is in the log.
pub fn drawn_view(drawn: &Drawn, position: Option<u64>) -> Map<String, Value> {
    let lines: Vec<Value> = drawn
        .lines
        .iter()
        .enumerate()
        .map(|(at, line)| {
            let items = position.map(|position| format!("/v1/billing/documents/{position}/lines/{at}"));
            json!({
                "kind": line.kind, "price_rule": line.rule.as_ref().map(|(rule, _)| rule),
                "price_rule_version": line.rule.as_ref().map(|(_, version)| version), "campaign": line.campaign,
                "items": line.items.len(), "amount": money(line.amount, drawn.currency), "accrues": line.accrues,
                "opens": items,
            })
        })
        .collect();
    Map::from_iter([
        ("lines".to_owned(), json!(lines)),
        ("rounding".to_owned(), money(drawn.rounding, drawn.currency)),
        ("total".to_owned(), money(drawn.total, drawn.currency)),
        ("considered".to_owned(), json!(drawn.considered)),
    ])
}

fn document_view(document: &BillingDocument) -> Value {
    json!({
        "position": document.position, "kind": document.act.name(), "number": document.number,
        "seller": document.seller, "recorded": document.recorded, "period_to": day_text(document.day_to),
        "due_on": (document.act == BillingAct::Invoice).then(|| day_text(document.due)),
        "total": { "amount": Micros::from_micros(document.total.saturating_abs()).to_string(), "currency": document.currency },
        "annulled": document.annulled, "opens": format!("/v1/billing/documents/{}", document.position),
    })
}

/// Invoices and credit notes
#[utoipa::path(
    get,
    path = "/v1/billing/documents",
    tag = "billing",
    params(
        ("seller" = Option<String>, Query, description = "Only this seller"),
        ("after" = Option<u64>, Query, description = "Wait until the view has seen this position"),
    ),
    responses((status = 200, description = "`items` in order of the log", body = serde_json::Value))
)]
pub async fn billing_documents(caller: Caller, params: Params, headers: HeaderMap) -> Result<Response<Body>, Problem> {
    let params = params.only(&["seller", "after"])?;
    caught_up(&caller, &params, &headers).await?;
    let documents = caller.service.ledger.store().billing_documents(params.text("seller")).await?;
    let items: Vec<Value> = documents.iter().map(document_view).collect();
    Ok(json_response(&json!({ "items": items })))
}

/// One invoice or credit note
///
/// As it was issued, and drawn again from the log as the log was: `redrawn.identical` says whether the lines come out the same. As CSV its
/// lines; as PDF for printing.
#[utoipa::path(
    get,
    path = "/v1/billing/documents/{position}",
    tag = "billing",
    params(("position" = u64, Path, description = "Its position")),
    responses(
        (status = 200, description = "The document", body = serde_json::Value),
        (status = 404, description = "No document stands there")
    )
)]
pub async fn billing_document(
    caller: Caller,
    Path(position): Path<u64>,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    let (document, recorded, drawn, differs) = caller.service.biller.redrawn(run(&caller, None), position).await?;
    if wants_csv(&headers) {
        return Ok(lines_csv(&document, &drawn));
    }
    if wants_pdf(&headers) {
        return pdf(&document, &recorded, &drawn);
    }
    let mut view = drawn_view(&drawn, Some(position));
    if let Value::Object(head) = document_view(&document) {
        view.extend(head);
    }
    view.insert("recorded_data".to_owned(), recorded);
    view.insert("redrawn".to_owned(), json!({ "identical": differs.is_empty(), "differs": differs }));
    Ok(json_response(&view))
}

fn lines_csv(document: &BillingDocument, drawn: &Drawn) -> Response<Body> {
    let columns =
        ["number", "seller", "kind", "price_rule", "price_rule_version", "campaign", "items", "currency", "amount"];
    let rows: Vec<Vec<Cell>> = drawn
        .lines
        .iter()
        .map(|line| {
            vec![
                Cell::Text(document.number.clone()),
                Cell::Text(document.seller.clone()),
                Cell::Plain(line.kind.to_owned()),
                Cell::text(line.rule.as_ref().map(|(rule, _)| rule.as_str())),
                Cell::text(line.rule.as_ref().map(|(_, version)| version.as_str())),
                Cell::text(line.campaign.as_deref()),
                Cell::number(line.items.len()),
                Cell::Plain(drawn.currency.code().to_owned()),
                Cell::number(Micros::from_micros(line.amount)),
            ]
        })
        .collect();
    table(&columns, &rows)
}

fn pdf(document: &BillingDocument, recorded: &Value, drawn: &Drawn) -> Result<Response<Body>, Problem> {
    let text = |name: &str| recorded.get(name).and_then(Value::as_str).unwrap_or_default();
    let code = drawn.currency.code();
    let amount = |micros: i64| format!("{} {code}", Micros::from_micros(micros));
    let title = if document.act == BillingAct::Invoice { "Invoice" } else { "Credit note" };
    let mut head = vec![format!("Seller: {}", document.seller), format!("Issued: {}", document.recorded)];
    if document.act == BillingAct::Invoice {
        head.push(format!("Period: {} to {}", text("period_from"), text("period_to")));
        head.push(format!("Due: {}", day_text(document.due)));
    } else {
        head.push(format!("Up to: {}", text("period_to")));
    }
    let lines = drawn.lines.iter().map(|line| {
        let rule = line.rule.as_ref().map(|(rule, version)| format!(", rule {rule} of {version}")).unwrap_or_default();
        let campaign = line.campaign.as_ref().map(|campaign| format!(", campaign {campaign}")).unwrap_or_default();
        format!("{} x {}{rule}{campaign}: {}", line.items.len(), line.kind, amount(line.amount))
    });
    let sums = vec![format!("Rounding: {}", amount(drawn.rounding)), format!("Total: {}", amount(drawn.total))];
    let evidence = vec![
        format!("Entry {} of the ledger, drawn from its first {} entries.", document.position, drawn.considered),
        "Each line opens to its entries, and each entry to the decision, the contacts and the consent behind it."
            .to_owned(),
    ];
    let sections = [
        (String::new(), head),
        ("Lines".to_owned(), lines.collect()),
        ("Total".to_owned(), sums),
        ("Evidence".to_owned(), evidence),
    ];
    let bytes = crate::exports::pdf::document(&format!("{title} {}", document.number), &sections)
        .map_err(|error| Problem::failed(&error))?;
    let mut response = Response::new(Body::from(bytes));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/pdf"));
    Ok(response)
}
