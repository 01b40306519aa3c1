//! Projection `billing`: what contracts may price, what they priced, returns, invoices and credit notes.
//!
//! Rows say where a thing stands in the log and what it moved; the rest is read from the log when it is needed. An event that another one
//! annuls or corrects does not count; that it counts again once its annulment is annulled is not looked at here, so what was
//! priced is annulled and priced anew by hand then.

use std::borrow::Cow;

use serde::Deserialize;

use super::Projection;
use super::fact::{Fact, FoldError, record};
use super::money_data::{Amount, day};
use crate::domain::time::MICROS_PER_DAY;
use crate::store::views::{BillingAct, BillingRow, NO_CURRENCY, ViewsBatch};

/// A batch of `billing`.
#[derive(Debug, Default)]
pub struct Billing {
    rows: Vec<BillingRow>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Data<'a> {
    #[serde(borrow)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    status: Option<Cow<'a, str>>,
    #[serde(borrow)]
    outcome: Option<Cow<'a, str>>,
    #[serde(borrow)]
    seller: Option<Cow<'a, str>>,
    #[serde(borrow)]
    amount: Option<Amount<'a>>,
    #[serde(borrow)]
    accrued: Option<Amount<'a>>,
    #[serde(borrow)]
    total: Option<Amount<'a>>,
    #[serde(borrow)]
    value: Option<Amount<'a>>,
    #[serde(borrow)]
    number: Option<Cow<'a, str>>,
    #[serde(borrow)]
    price_rule: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pack_sha256: Option<Cow<'a, str>>,
    #[serde(borrow)]
    record: Option<Cow<'a, str>>,
    #[serde(borrow)]
    period_to: Option<Cow<'a, str>>,
    #[serde(borrow)]
    due_on: Option<Cow<'a, str>>,
    #[serde(borrow)]
    earned_on: Option<Cow<'a, str>>,
    #[serde(borrow)]
    sold_on: Option<Cow<'a, str>>,
    accepted: bool,
    billed: Option<i64>,
    returned: Option<i64>,
    considered: Option<i64>,
    position: Option<i64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Refs<'a> {
    #[serde(borrow)]
    sale: Option<Cow<'a, str>>,
}

impl Projection for Billing {
    const NAME: &'static str = "billing";
    const VERSION: i64 = 1;

    fn reads(event_type: &str) -> bool {
        matches!(
            event_type,
            "appointment.booked"
                | "appointment.shown"
                | "billing.credit_note_issued"
                | "billing.invoice_issued"
                | "billing.return_judged"
                | "contact.completed"
                | "decision.price_recorded"
                | "event.annulled"
                | "lead.accepted"
                | "lead.closed"
                | "lead.returned"
                | "policy.pack_activated"
                | "revenue.adjusted"
                | "revenue.chargeback_recorded"
                | "revenue.recorded"
                | "revenue.refunded"
        )
    }

    fn fold(&mut self, fact: &Fact<'_>) -> Result<(), FoldError> {
        let corrects = fact.entry.corrects.map(i64::try_from).transpose().map_err(|_| FoldError("entry_unreadable"))?;
        let read = if Billing::reads(fact.entry.event_type) { fact.business()? } else { None };
        let mut undone = corrects;
        let mut row = None;
        if let Some(business) = read {
            let data: Data<'_> = business.data()?;
            let refs: Refs<'_> = business.refs()?.unwrap_or_default();
            if fact.entry.event_type == "event.annulled" {
                undone = Some(data.position.ok_or(FoldError("target_missing"))?);
            } else {
                row = row_of(fact, business.occurred(fact)?, &data, &refs)?;
            }
        }
        if undone.is_some_and(|target| !(0..fact.position).contains(&target)) {
            return Err(FoldError("target_not_before"));
        }
        self.rows.extend(row);
        self.rows.extend(undone.map(|target| BillingRow { target, ..plain(fact, BillingAct::Undo) }));
        Ok(())
    }

    fn finish(self, batch: &mut ViewsBatch) {
        batch.billing = self.rows;
    }
}

fn plain(fact: &Fact<'_>, act: BillingAct) -> BillingRow {
    BillingRow {
        position: fact.position,
        act,
        target: -1,
        day: fact.recorded().div_euclid(MICROS_PER_DAY),
        amount: 0,
        covered: 0,
        recorded: fact.recorded(),
        currency: NO_CURRENCY,
        seller: String::new(),
        rule: String::new(),
        pack: String::new(),
        record: [0; 16],
    }
}

/// What an event is to billing, and by how much it moves the receivable.
fn act_of(event_type: &str, data: &Data<'_>) -> Result<Option<(BillingAct, i64, [u8; 3])>, FoldError> {
    let money = |amount: &Option<Amount<'_>>, sign: i64| {
        let (micros, currency) = amount.as_ref().ok_or(FoldError("amount_missing"))?.parse()?;
        Ok((sign * micros, currency))
    };
    let with = |act, (micros, currency): (i64, [u8; 3])| Some((act, micros, currency));
    let bare = |act| Some((act, 0, NO_CURRENCY));
    Ok(match event_type {
        "appointment.booked" => bare(BillingAct::Appointment),
        "appointment.shown" => bare(BillingAct::Show),
        "contact.completed" if data.outcome.as_deref() == Some("answered") => bare(BillingAct::Call),
        "lead.accepted" => bare(BillingAct::Lead),
        "lead.closed" if data.outcome.as_deref() == Some("won") && data.value.is_some() => bare(BillingAct::Sale),
        "lead.returned" if data.status.as_deref().is_none_or(|status| status == "requested") => {
            bare(BillingAct::ReturnAsked)
        }
        "revenue.recorded" => with(BillingAct::Accrued, money(&data.amount, 1)?),
        "revenue.adjusted" => with(BillingAct::Changed, money(&data.amount, 1)?),
        "revenue.refunded" => with(BillingAct::Changed, money(&data.amount, -1)?),
        "revenue.chargeback_recorded" if !matches!(data.status.as_deref(), Some("opened" | "won")) => {
            with(BillingAct::Changed, money(&data.amount, -1)?)
        }
        "decision.price_recorded" if data.amount.is_some() => with(BillingAct::Priced, money(&data.amount, 1)?),
        "decision.price_recorded" => bare(BillingAct::Priced),
        "billing.return_judged" if data.accepted => with(BillingAct::ReturnJudged, money(&data.amount, -1)?),
        "billing.return_judged" => bare(BillingAct::ReturnJudged),
        "billing.invoice_issued" => with(BillingAct::Invoice, money(&data.total, 1)?),
        "billing.credit_note_issued" => with(BillingAct::CreditNote, money(&data.total, -1)?),
        "policy.pack_activated" if data.kind.as_deref() == Some("pricing") => bare(BillingAct::Contract),
        _ => None,
    })
}

fn row_of(fact: &Fact<'_>, occurred: i64, data: &Data<'_>, refs: &Refs<'_>) -> Result<Option<BillingRow>, FoldError> {
    let Some((act, amount, currency)) = act_of(fact.entry.event_type, data)? else { return Ok(None) };
    let covered = match (&data.accrued, act) {
        (Some(accrued), BillingAct::Priced) => accrued.parse()?.0,
        (_, BillingAct::Invoice | BillingAct::CreditNote) => {
            data.due_on.as_deref().or(data.period_to.as_deref()).map_or(Ok(0), day)?
        }
        _ => 0,
    };
    let named = refs.sale.as_deref().or(data.record.as_deref());
    let stated = data.period_to.as_deref().filter(|_| matches!(act, BillingAct::Invoice | BillingAct::CreditNote));
    let stated = stated.or(data.earned_on.as_deref()).or(data.sold_on.as_deref());
    let owned = |text: &Option<Cow<'_, str>>| text.as_deref().unwrap_or_default().to_owned();
    Ok(Some(BillingRow {
        target: data.billed.or(data.returned).or(data.considered).unwrap_or(-1),
        day: stated.map_or(Ok(occurred.div_euclid(MICROS_PER_DAY)), day)?,
        amount: match act {
            BillingAct::Priced => amount.checked_sub(covered).ok_or(FoldError("amount_unreadable"))?,
            _ => amount,
        },
        covered,
        currency,
        seller: owned(&data.seller),
        // Of a document its number.
        rule: data.price_rule.as_deref().or(data.number.as_deref()).unwrap_or_default().to_owned(),
        pack: owned(&data.pack_sha256),
        record: named.map(record).transpose()?.unwrap_or_default(),
        ..plain(fact, act)
    }))
}
