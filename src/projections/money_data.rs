//! Business fields of money events, and which accounts each event moves.

use std::borrow::Cow;

use serde::Deserialize;

use super::fact::FoldError;
use crate::domain::money::{Currency, Micros};
use crate::domain::time::{MICROS_PER_DAY, parse_day};
use crate::store::views::{Account, LineKind};

/// Longest period over whose days one cost is spread; a longer one stands on its first day.
const SPREAD_DAYS_MAX: i64 = 400;

/// Business fields of every type that moves money or is counted; each type has some of them.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Data<'a> {
    #[serde(borrow)]
    pub kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub amount: Option<Amount<'a>>,
    #[serde(borrow)]
    pub fee: Option<Amount<'a>>,
    #[serde(borrow)]
    pub reason: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub status: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub campaign: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub channel: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub attribution_channel: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub source: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub seller: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub vendor: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub state: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub allocation: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub driver: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub earned_on: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub received_on: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub sent_on: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub period_from: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub period_to: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub record: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub accrued: Option<Amount<'a>>,
    #[serde(borrow)]
    pub payouts: Vec<Payout<'a>>,
    #[serde(borrow)]
    pub lines: Vec<InvoiceLine<'a>>,
    #[serde(borrow)]
    pub rounding: Option<Amount<'a>>,
    pub accepted: bool,
    pub estimate: bool,
    pub replaces_estimate: bool,
    pub position: Option<i64>,
}

/// Who is paid out of a price.
#[derive(Deserialize)]
pub(super) struct Payout<'a> {
    #[serde(borrow)]
    pub party: Cow<'a, str>,
    #[serde(borrow)]
    pub amount: Amount<'a>,
}

/// A line of one of our invoices.
#[derive(Deserialize)]
pub(super) struct InvoiceLine<'a> {
    #[serde(borrow)]
    pub kind: Cow<'a, str>,
    #[serde(borrow)]
    pub amount: Amount<'a>,
    #[serde(default)]
    pub accrues: bool,
}

/// Money as it stands in data.
#[derive(Deserialize)]
pub(super) struct Amount<'a> {
    #[serde(borrow)]
    pub amount: Cow<'a, str>,
    #[serde(borrow)]
    pub currency: Cow<'a, str>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Refs<'a> {
    #[serde(borrow)]
    pub sale: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub cost: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub lead: Option<Cow<'a, str>>,
}

/// Half of a posting: the amount is added to `debit` and taken from `credit`.
#[derive(Clone, Copy)]
pub(super) struct Posting<'a> {
    pub debit: Account,
    pub credit: Account,
    pub kind: LineKind,
    pub micros: i64,
    pub currency: [u8; 3],
    /// Who is owed it, where that is not the event's vendor.
    pub party: Option<&'a str>,
}

impl Posting<'_> {
    /// The memo of the cash that it moves.
    pub fn cash(&self, micros: i64) -> Option<(Account, i64)> {
        match (self.debit, self.credit, self.kind) {
            (Account::Cash, _, LineKind::Payment) => Some((Account::CashReceived, micros)),
            (Account::Cash, _, _) => Some((Account::CashPaid, -micros)),
            (_, Account::Cash, _) => Some((Account::CashPaid, micros)),
            (_, _, _) => None,
        }
    }
}

impl Amount<'_> {
    pub fn parse(&self) -> Result<(i64, [u8; 3]), FoldError> {
        let micros = Micros::parse(&self.amount).map_err(|_| FoldError("amount_unreadable"))?.micros();
        // The negated amount must exist too.
        if micros == i64::MIN {
            return Err(FoldError("amount_unreadable"));
        }
        let currency = Currency::parse(&self.currency).map_err(|_| FoldError("currency_unknown"))?;
        let code = <[u8; 3]>::try_from(currency.code().as_bytes()).map_err(|_| FoldError("currency_unknown"))?;
        Ok((micros, code))
    }
}

impl Data<'_> {
    /// How a cost says that it is to be spread over leads: `none`, `direct`, `fixed`, or the driver that it goes by; empty if it does not say.
    pub fn spread(&self) -> &str {
        match (self.allocation.as_deref(), self.driver.as_deref()) {
            (Some("even"), _) | (Some("proportional"), None) => "leads",
            (Some("proportional"), Some(driver)) => driver,
            (Some(said), _) => said,
            (None, _) => "",
        }
    }

    /// Campaign, channel, source, seller, vendor. A contact's own channel gives way to the one that attribution counts.
    pub fn names(&self) -> [&str; 5] {
        let channel = self.attribution_channel.as_deref().or(self.channel.as_deref());
        [self.campaign.as_deref(), channel, self.source.as_deref(), self.seller.as_deref(), self.vendor.as_deref()]
            .map(Option::unwrap_or_default)
    }

    /// The accounting days of an event and how many they are, from the first.
    pub fn days(&self, event_type: &str, occurred: i64) -> Result<(i64, i64), FoldError> {
        // What a document books belongs to its last day.
        if let (true, Some(last)) = (event_type.starts_with("billing."), &self.period_to) {
            return Ok((day(last)?, 1));
        }
        let stated = [&self.earned_on, &self.received_on, &self.sent_on, &self.period_from];
        let stated = stated.into_iter().find_map(Option::as_deref);
        let first = stated.map_or(Ok(occurred.div_euclid(MICROS_PER_DAY)), day)?;
        let last = match (&self.period_from, &self.period_to) {
            (Some(_), Some(last)) => day(last)?,
            (_, _) => first,
        };
        let count = last - first + 1;
        Ok((first, if (1..=SPREAD_DAYS_MAX).contains(&count) { count } else { 1 }))
    }

    fn amount(&self) -> Result<(i64, [u8; 3]), FoldError> {
        self.amount.as_ref().ok_or(FoldError("amount_missing"))?.parse()
    }

    /// What the event posts. The chart of accounts is that of the revenue background, 2.2; amounts are accrued.
    pub fn postings(&self, event_type: &str) -> Result<Vec<Posting<'_>>, FoldError> {
        let kind = self.kind.as_deref().unwrap_or_default();
        let mut postings = Vec::with_capacity(2);
        let mut post = |debit, credit, kind, (micros, currency): (i64, [u8; 3])| {
            postings.push(Posting { debit, credit, kind, micros, currency, party: None });
        };
        match event_type {
            "revenue.recorded" => post(Account::Receivable, income(kind), LineKind::Revenue, self.amount()?),
            "revenue.refunded" => {
                let account = match self.reason.as_deref() {
                    Some("goodwill" | "billing_error") => Account::Credits,
                    Some(_) | None => Account::Returns,
                };
                post(account, Account::Receivable, LineKind::Refund, self.amount()?);
            }
            // Money is gone when the dispute is lost; an open one is no loss yet, a won one is none.
            "revenue.chargeback_recorded" if !matches!(self.status.as_deref(), Some("opened" | "won")) => {
                post(Account::Chargebacks, Account::Receivable, LineKind::Chargeback, self.amount()?);
            }
            "revenue.adjusted" => {
                let account = match kind {
                    "clawback" => Account::Clawbacks,
                    "write_off" => Account::WriteOffs,
                    "share_settlement" => Account::RevenueShare,
                    _ => Account::Adjustments,
                };
                post(Account::Receivable, account, LineKind::Adjustment, self.amount()?);
            }
            "cost.recorded" => post(expense(kind), self.paid_from(), LineKind::Cost, self.amount()?),
            "cost.reversed" => post(self.paid_from(), expense(kind), LineKind::CostReversal, self.amount()?),
            "payment.received" => {
                let account = match kind {
                    "prepayment" | "deposit" => Account::BrokerDeposit,
                    _ => Account::Receivable,
                };
                let (micros, currency) = self.amount()?;
                // Sent back: negative as the schema says, or stated by its kind.
                let micros = if kind == "refund_sent" { -micros.abs() } else { micros };
                post(Account::Cash, account, LineKind::Payment, (micros, currency));
            }
            "payment.sent" => {
                let (micros, currency) = self.amount()?;
                // Came back: negative as the schema says, or stated by its kind.
                let micros = if kind == "refund_received" { -micros.abs() } else { micros };
                post(Account::Payable, Account::Cash, LineKind::Payment, (micros, currency));
            }
            "billing.return_judged" if self.accepted => {
                post(Account::Returns, Account::Receivable, LineKind::Refund, self.amount()?);
            }
            "billing.invoice_issued" => return self.document(1),
            "billing.credit_note_issued" => return self.document(-1),
            "decision.price_recorded" => return self.price(kind),
            _ => {}
        }
        if let Some(fee) = &self.fee {
            post(Account::PaymentFees, Account::Cash, LineKind::Fee, fee.parse()?);
        }
        Ok(postings)
    }

    /// A price adds to the books what posted revenue has not booked of it; who is paid out of it is owed that.
    fn price(&self, kind: &str) -> Result<Vec<Posting<'_>>, FoldError> {
        // Nothing was priced, and so nobody is paid.
        let Some(amount) = &self.amount else { return Ok(Vec::new()) };
        let (micros, currency) = amount.parse()?;
        let (accrued, of) = self.accrued.as_ref().map_or(Ok((0, currency)), Amount::parse)?;
        let micros = micros.checked_sub(accrued).filter(|_| of == currency).ok_or(FoldError("amount_unreadable"))?;
        let (debit, credit) = (Account::Receivable, income(kind));
        let mut postings = vec![Posting { debit, credit, kind: LineKind::Revenue, micros, currency, party: None }];
        for payout in &self.payouts {
            let (micros, currency) = payout.amount.parse()?;
            let (debit, credit, party) = (Account::Payout, Account::Payable, Some(payout.party.as_ref()));
            postings.push(Posting { debit, credit, kind: LineKind::Cost, micros, currency, party });
        }
        Ok(postings)
    }

    /// A document books only what nothing before it did: minimums not reached, settlements, and its rounding.
    fn document(&self, sign: i64) -> Result<Vec<Posting<'_>>, FoldError> {
        let mut postings = Vec::new();
        let debit = Account::Receivable;
        let own = self.lines.iter().filter(|line| line.accrues).map(|line| {
            let least = line.kind == "minimum_commitment";
            (if least { Account::MinimumCommitments } else { Account::Adjustments }, &line.amount)
        });
        for (credit, amount) in own.chain(self.rounding.as_ref().map(|amount| (Account::Rounding, amount))) {
            let (micros, currency) = amount.parse()?;
            if micros != 0 {
                let micros = sign * micros;
                postings.push(Posting { debit, credit, kind: LineKind::Invoiced, micros, currency, party: None });
            }
        }
        Ok(postings)
    }

    /// A cost with a vendor is owed to him; one without was paid.
    const fn paid_from(&self) -> Account {
        if self.vendor.is_some() { Account::Payable } else { Account::Cash }
    }
}

fn income(kind: &str) -> Account {
    match kind {
        "lead_sale" => Account::LeadSales,
        "call" => Account::CallSales,
        "appointment" => Account::AppointmentFees,
        "show" => Account::ShowFees,
        "revenue_share" => Account::RevenueShare,
        "retainer" => Account::Retainers,
        "minimum_commitment" => Account::MinimumCommitments,
        _ => Account::OtherIncome,
    }
}

fn expense(kind: &str) -> Account {
    match kind {
        "media" => Account::Media,
        "data" => Account::Data,
        "telephony" => Account::Telephony,
        "sms" => Account::Sms,
        "email" => Account::Email,
        "enrichment" => Account::Enrichment,
        "labour" => Account::Labour,
        "software" => Account::Software,
        "compliance" => Account::Compliance,
        "payout" => Account::Payout,
        "payment_fees" => Account::PaymentFees,
        _ => Account::OtherCost,
    }
}

/// Days since 1970-01-01 of `YYYY-MM-DD`.
pub(super) fn day(text: &str) -> Result<i64, FoldError> {
    // The schema's pattern lets 31 February through; such a day is none.
    parse_day(text).ok_or(FoldError("day_unreadable"))
}

/// The counter that an event moves.
pub(super) fn counter(event_type: &str, data: &Data<'_>) -> Option<Account> {
    match event_type {
        "lead.received" | "lead.imported" => Some(Account::Leads),
        "lead.accepted" => Some(Account::AcceptedLeads),
        "contact.attempted" => Some(Account::Contacts),
        "appointment.booked" => Some(Account::Appointments),
        "appointment.shown" => Some(Account::Shows),
        "revenue.recorded" => Some(Account::Sales),
        // What posted revenue covers was counted with it.
        "decision.price_recorded" if data.amount.is_some() && data.accrued.is_none() => Some(Account::Sales),
        "revenue.refunded" => Some(Account::Refunds),
        "billing.return_judged" if data.accepted => Some(Account::Refunds),
        _ => None,
    }
}

/// Part `index` of `micros` cut into `count` parts that differ by at most one micro-unit and sum to it exactly.
pub(super) fn share(micros: i64, count: i64, index: i64) -> i64 {
    micros.div_euclid(count) + i64::from(index < micros.rem_euclid(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_sum_to_the_amount() {
        for (micros, count) in [(100, 3), (-100, 3), (1, 31), (-1, 31), (0, 5), (i64::MAX, 400)] {
            let shares: Vec<i64> = (0..count).map(|index| share(micros, count, index)).collect();
            assert_eq!(shares.iter().sum::<i64>(), micros);
            let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
            assert!(most - least <= 1);
        }
    }
}
