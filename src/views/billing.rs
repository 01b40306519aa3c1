//! What sellers owe: earned, given back, invoiced, credited, paid, overdue; money paid ahead; what vendors and partners are owed.
//!
//! Payments and credit notes settle invoices in the order of their due days, oldest first: a payment's own reference to an invoice is a
//! keyed hash under the payer's source and need not be that of the invoice.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use utoipa::ToSchema;

use super::{Money, ViewError, more};
use crate::domain::time::Timestamp;
use crate::store::Store;
use crate::store::views::{Account, BillingAct, BillingDocument, LineKind, SellerBalance};

/// Days whose earnings say how long money paid ahead will last.
const BURN_DAYS: i64 = 30;

/// A question about receivables.
#[derive(Debug, Clone, Default)]
pub struct BillingQuery {
    /// Only this seller.
    pub seller: Option<String>,
    /// What had occurred by then; none: all.
    pub as_of: Option<Timestamp>,
    /// What had been recorded by then; none: all.
    pub known_at: Option<Timestamp>,
    /// The day from which invoices are overdue, since 1970-01-01.
    pub today: i64,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Billing {
    /// One row a seller and currency.
    pub sellers: Vec<SellerRow>,
    /// One row a vendor, publisher or agent and currency: what he earned, was paid and is owed.
    pub payable: Vec<PayableRow>,
}

/// What one seller owes in one currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SellerRow {
    /// Seller; empty where events named none.
    pub seller: String,
    /// Earned: sales, adjustments, minimums and rounding, less what was annulled or corrected.
    pub earned: Money,
    /// Refunds, returns and chargebacks.
    pub given_back: Money,
    /// Given back / earned to 4 decimals; null when nothing was earned.
    #[schema(example = "0.0500")]
    pub return_rate: Option<String>,
    /// Invoices that count.
    pub invoiced: Money,
    /// Credit notes that count.
    pub credited: Money,
    /// Earned less given back that stands on no document yet.
    pub open: Money,
    /// Payments received less those sent back.
    pub paid: Money,
    /// Receivable: earned less given back less paid.
    pub balance: Money,
    /// What of the invoices is unpaid, by days since they were due.
    pub outstanding: Aging,
    /// Paid ahead and not drawn: a liability.
    pub prepaid: Money,
    /// How many days the money paid ahead lasts at the last 30 days' earnings; null without either.
    pub prepaid_days: Option<i64>,
}

/// Unpaid parts of invoices by age.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Aging {
    /// Not due yet.
    pub not_due: Money,
    /// 1 to 30 days overdue.
    pub days_30: Money,
    /// 31 to 60 days.
    pub days_60: Money,
    /// 61 to 90 days.
    pub days_90: Money,
    /// More than 90 days.
    pub older: Money,
}

/// What somebody whom we pay earned, was paid and is owed in one currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PayableRow {
    /// Vendor, publisher or agent.
    pub vendor: String,
    /// Accrued: costs and payouts, less what was reversed, annulled or corrected.
    pub accrued: Money,
    /// Payments sent less those that came back.
    pub paid: Money,
    /// Accrued less paid; negative where he was paid ahead.
    pub owed: Money,
}

#[derive(Default)]
struct Sums {
    earned: i64,
    given_back: i64,
    paid: i64,
    prepaid: i64,
    burn: i64,
}

#[derive(Default)]
struct Owed {
    accrued: i64,
    paid: i64,
}

/// Answers a question about receivables.
///
/// # Errors
/// [`ViewError::TooLarge`] if a total leaves 64 bits of micro-units.
pub async fn billing(store: &Store, query: &BillingQuery) -> Result<Billing, ViewError> {
    let (as_of, known_at) = (query.as_of.unwrap_or(Timestamp::MAX), query.known_at.unwrap_or(Timestamp::MAX));
    let balances = store.seller_balances(as_of, known_at).await?;
    let documents = store.billing_documents(query.seller.as_deref()).await?;
    let known: Vec<&BillingDocument> = documents.iter().filter(|document| document.recorded <= known_at).collect();
    let asked = |seller: &str| query.seller.as_deref().is_none_or(|wanted| wanted == seller);
    let mut sums: BTreeMap<(String, String), Sums> = BTreeMap::new();
    let mut payable: BTreeMap<(String, String), Owed> = BTreeMap::new();
    for balance in balances {
        if balance.account == Account::Payable {
            if query.seller.is_none() {
                let owed = payable.entry((balance.vendor, balance.currency)).or_default();
                match balance.kind {
                    LineKind::Payment => more(&mut owed.paid, balance.amount)?,
                    _ => more(&mut owed.accrued, -balance.amount)?,
                }
            }
        } else if asked(&balance.seller) {
            let key = (balance.seller.clone(), balance.currency.clone());
            take(sums.entry(key).or_default(), &balance, query.today)?;
        }
    }
    let mut keys: BTreeSet<(String, String)> = sums.keys().cloned().collect();
    keys.extend(known.iter().map(|document| (document.seller.clone(), document.currency.clone())));
    let mut sellers = Vec::with_capacity(keys.len());
    for (seller, currency) in keys {
        let of = |document: &&&BillingDocument| document.seller == seller && document.currency == currency;
        let own: Vec<&BillingDocument> = known.iter().filter(of).copied().collect();
        let sum = sums.remove(&(seller.clone(), currency.clone())).unwrap_or_default();
        sellers.push(row(seller, &currency, &sum, &own, query.today)?);
    }
    let payable = payable.into_iter().filter(|(_, owed)| (owed.accrued, owed.paid) != (0, 0));
    let payable = payable.map(|((vendor, currency), Owed { accrued, paid })| {
        let money = |micros| Money::of(micros, &currency);
        let owed = accrued.checked_sub(paid).ok_or(ViewError::TooLarge)?;
        Ok(PayableRow { vendor, accrued: money(accrued), paid: money(paid), owed: money(owed) })
    });
    Ok(Billing { sellers, payable: payable.collect::<Result<_, ViewError>>()? })
}

fn take(sums: &mut Sums, balance: &SellerBalance, today: i64) -> Result<(), ViewError> {
    if balance.account == Account::BrokerDeposit {
        return more(&mut sums.prepaid, -balance.amount);
    }
    match balance.kind {
        LineKind::Payment | LineKind::Fee => more(&mut sums.paid, -balance.amount),
        LineKind::Refund | LineKind::Chargeback => more(&mut sums.given_back, -balance.amount),
        _ => {
            if balance.day > today - BURN_DAYS && balance.day <= today {
                more(&mut sums.burn, balance.amount)?;
            }
            more(&mut sums.earned, balance.amount)
        }
    }
}

fn row(
    seller: String,
    currency: &str,
    sums: &Sums,
    documents: &[&BillingDocument],
    today: i64,
) -> Result<SellerRow, ViewError> {
    let counts =
        |act: BillingAct| documents.iter().filter(move |document| document.act == act && document.annulled.is_none());
    let total = |act: BillingAct| -> Result<i64, ViewError> {
        counts(act).try_fold(0_i64, |sum, document| sum.checked_add(document.total.abs())).ok_or(ViewError::TooLarge)
    };
    let (invoiced, credited) = (total(BillingAct::Invoice)?, total(BillingAct::CreditNote)?);
    let money = |micros: i64| Money::of(micros, currency);
    let mut invoices: Vec<(i64, i64)> =
        counts(BillingAct::Invoice).map(|document| (document.due, document.total)).collect();
    invoices.sort_unstable();
    // Money and credits settle the oldest first.
    let mut settled = sums.paid.max(0).saturating_add(credited);
    let mut ages = [0_i64; 5];
    for (due, total) in invoices {
        let unpaid = total - total.min(settled);
        settled -= total - unpaid;
        let [not_due, days_30, days_60, days_90, older] = &mut ages;
        let age = match today - due {
            ..=0 => not_due,
            1..=30 => days_30,
            31..=60 => days_60,
            61..=90 => days_90,
            91.. => older,
        };
        more(age, unpaid)?;
    }
    let [not_due, days_30, days_60, days_90, older] = ages.map(money);
    let net = sums.earned.checked_sub(sums.given_back).ok_or(ViewError::TooLarge)?;
    let lasts = |burn: i64| i64::try_from(i128::from(sums.prepaid) * i128::from(BURN_DAYS) / i128::from(burn)).ok();
    Ok(SellerRow {
        seller,
        earned: money(sums.earned),
        given_back: money(sums.given_back),
        return_rate: super::roi::ratio(sums.given_back, sums.earned),
        invoiced: money(invoiced),
        credited: money(credited),
        open: money(net.checked_sub(invoiced - credited).ok_or(ViewError::TooLarge)?),
        paid: money(sums.paid),
        balance: money(net.checked_sub(sums.paid).ok_or(ViewError::TooLarge)?),
        outstanding: Aging { not_due, days_30, days_60, days_90, older },
        prepaid: money(sums.prepaid),
        prepaid_days: Some(sums.burn).filter(|burn| *burn > 0 && sums.prepaid > 0).and_then(lasts),
    })
}
