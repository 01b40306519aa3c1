//! Returns that sellers ask for, judged by the contract in force.

use serde_json::{Map, Value, json};

use super::price::{Draft, Rated, record_all};
use super::{BillingError, Run, amount, business, member, money, said};
use crate::domain::time::{MICROS_PER_DAY, Timestamp, day_text};
use crate::policy::pricing::{Contract, ReturnAsked, ReturnTotals, return_judged};
use crate::store::views::{BillingAct, SaleMove};

const JUDGED: &str = "billing.return_judged";

/// Judges every return that waits, in order; each is recorded before the next is looked at, because it counts against the cap.
pub(super) async fn judge_all(run: Run<'_>, contract: &Contract, rated: &mut Rated) -> Result<(), BillingError> {
    for (position, seller, record) in run.ledger.store().billing_returns(i64::MAX).await? {
        if !contract.terms.contains_key(&seller) && !contract.rules.iter().any(|rule| rule.seller == seller) {
            continue;
        }
        let entry = run.ledger.open_entry(position).await?;
        let Some(part) = business(&entry) else { continue };
        let moves = run.ledger.store().billing_of_record(&record).await?;
        let sold = moves.iter().find(|moved| matches!(moved.act, BillingAct::Accrued | BillingAct::Priced));
        let stated = part.get("occurred").and_then(Value::as_str).and_then(|at| Timestamp::parse_rfc3339(at).ok());
        let occurred = stated.unwrap_or(entry.entry.recorded);
        let mut data = judged(run, contract, &seller, &part, &moves, sold, occurred).await?;
        if data.get("accepted") == Some(&Value::Bool(true)) {
            rated.returns_accepted += 1;
        } else {
            rated.returns_refused += 1;
        }
        data.insert("returned".to_owned(), json!(position));
        data.insert("record".to_owned(), json!(data_encoding::HEXLOWER.encode(&record)));
        data.extend(member(&part, "campaign").map(|campaign| ("campaign".to_owned(), json!(campaign))));
        let subject = entry.entry.subject.map(|link| link.subject);
        record_all(run, JUDGED, vec![Draft { data, subject, occurred }]).await?;
        run.caught_up().await?;
    }
    Ok(())
}

async fn judged(
    run: Run<'_>,
    contract: &Contract,
    seller: &str,
    part: &Value,
    moves: &[SaleMove],
    sold: Option<&SaleMove>,
    occurred: Timestamp,
) -> Result<Map<String, Value>, BillingError> {
    let reason = member(part, "reason").unwrap_or("other");
    let common = json!({ "seller": seller, "reason": reason, "pack_sha256": contract.digest });
    let with = |more: Value| {
        let mut all = said(common.clone());
        all.extend(said(more));
        all
    };
    let Some(sold) = sold else { return Ok(with(json!({ "accepted": false, "code": "RETURN_SALE_UNKNOWN" }))) };
    if !sold.seller.is_empty() && sold.seller != seller {
        return Ok(with(json!({ "accepted": false, "code": "RETURN_OTHER_SELLER", "sold": sold.position })));
    }
    let left: i64 = moves.iter().filter(|moved| moved.currency == sold.currency).map(|moved| moved.amount).sum();
    let asked = amount(part.get("data").and_then(|data| data.get("amount")));
    let billed = Timestamp::from_micros(sold.day.saturating_mul(MICROS_PER_DAY));
    // By days: a sale of the morning and a return of the evening are of one day.
    let returned = Timestamp::from_micros(occurred.unix_days().saturating_mul(MICROS_PER_DAY));
    let totals = totals(run, seller, sold).await?;
    let question = ReturnAsked {
        reason,
        billed,
        returned,
        left,
        amount: asked.filter(|(_, currency)| currency.code() == sold.currency).map(|(micros, _)| micros),
    };
    let verdict = return_judged(contract.terms.get(seller), &question, totals);
    let code = sold.currency.as_str();
    Ok(with(json!({
        "accepted": verdict.is_ok(),
        "code": verdict.err().map(|refusal| refusal.code()),
        "sold": sold.position,
        "sold_on": day_text(sold.day),
        "asked": asked.map(|(micros, currency)| money(micros, currency.code())),
        "left": money(left, code),
        "billed_total": money(totals.billed, code),
        "credited_total": money(totals.credited, code),
        "amount": verdict.ok().map(|micros| money(micros, code)),
    })))
}

/// What the seller was billed and credited in the month of a sale.
async fn totals(run: Run<'_>, seller: &str, sold: &SaleMove) -> Result<ReturnTotals, BillingError> {
    let from = crate::policy::pricing::Period::Month.begins(sold.day);
    let to = crate::policy::pricing::Period::Month.begins(from + 31);
    let mut totals = ReturnTotals::default();
    for (act, currency, micros) in run.ledger.store().billing_totals(seller, from, to).await? {
        if currency == sold.currency {
            match act {
                BillingAct::ReturnJudged => totals.credited -= micros,
                _ => totals.billed += micros,
            }
        }
    }
    Ok(totals)
}
