//! Reading what bears on bills: what is to be priced, what a sale still stands at, which documents took what.

use super::sql;
use super::{Account, BillingAct, LineKind};
use crate::domain::time::Timestamp;
use crate::store::db::on_db;
use crate::store::rows::{array, to_i64, to_u64};
use crate::store::{Store, StoreError};

const TABLE: &str = "billing_acts";

/// An event that a contract may price and no decision of a rule speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unrated {
    /// Its position.
    pub position: u64,
    /// What it is.
    pub act: BillingAct,
    /// Who would pay.
    pub seller: String,
}

/// Something that moved the receivable of one sale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaleMove {
    /// The entry.
    pub position: u64,
    /// What it is.
    pub act: BillingAct,
    /// Accounting day.
    pub day: i64,
    /// Micro-units added to the receivable.
    pub amount: i64,
    /// Of a price: what posted revenue had booked of it.
    pub covered: i64,
    /// ISO 4217 code.
    pub currency: String,
    /// Seller; empty: none named.
    pub seller: String,
}

/// An invoice or a credit note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BillingDocument {
    /// Its position.
    pub position: u64,
    /// [`BillingAct::Invoice`] or [`BillingAct::CreditNote`].
    pub act: BillingAct,
    /// The size of the log that it was drawn from.
    pub considered: u64,
    /// The last day billed.
    pub day_to: i64,
    /// What it adds to what the seller is asked for, in micro-units: below zero for a credit note.
    pub total: i64,
    /// The day payment is due, since 1970-01-01; none stated: its last day.
    pub due: i64,
    /// When it was recorded.
    pub recorded: Timestamp,
    /// ISO 4217 code.
    pub currency: String,
    /// Seller.
    pub seller: String,
    /// Its number.
    pub number: String,
    /// The entry that annulled it: what it took is free again from there on.
    pub annulled: Option<u64>,
}

/// A line of the journal on the receivable, with what stands on the other side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receivable {
    /// The entry that made the line.
    pub position: u64,
    /// The entry whose line it is or undoes.
    pub origin: u64,
    /// Why it stands in the journal.
    pub kind: LineKind,
    /// Accounting day.
    pub day: i64,
    /// Micro-units, positive where the seller owes more.
    pub amount: i64,
    /// Income or contra income.
    pub other: Account,
    /// Campaign; empty: none named.
    pub campaign: String,
}

/// What a party is paid out of a price, or gives back where the price does not stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayoutLine {
    /// The entry that made the line.
    pub position: u64,
    /// The price.
    pub origin: u64,
    /// Accounting day.
    pub day: i64,
    /// Micro-units.
    pub amount: i64,
    /// ISO 4217 code.
    pub currency: String,
    /// Who paid the price.
    pub seller: String,
    /// Campaign; empty: none named.
    pub campaign: String,
}

/// Sum of an account of the balance sheet for one partner and day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SellerBalance {
    /// [`Account::Receivable`], [`Account::BrokerDeposit`] or [`Account::Payable`].
    pub account: Account,
    /// Seller; empty: none.
    pub seller: String,
    /// Vendor; empty: none.
    pub vendor: String,
    /// ISO 4217 code.
    pub currency: String,
    /// Why the lines stand there; of what was undone or put back, why they stood there.
    pub kind: LineKind,
    /// Accounting day.
    pub day: i64,
    /// Micro-units, debit positive.
    pub amount: i64,
}

fn act(code: i64) -> Result<BillingAct, StoreError> {
    BillingAct::from_code(code).ok_or_else(|| StoreError::inconsistent(TABLE, format!("act {code}")))
}

fn account(code: i64) -> Result<Account, StoreError> {
    Account::from_code(code).ok_or_else(|| StoreError::inconsistent("money_lines", format!("account {code}")))
}

fn line_kind(code: i64) -> Result<LineKind, StoreError> {
    LineKind::from_code(code).ok_or_else(|| StoreError::inconsistent("money_lines", format!("kind {code}")))
}

impl Store {
    /// Billable events after `after` that no rule priced and that the contract `pack` has not refused, in order.
    pub async fn billing_unrated(
        &self,
        after: Option<u64>,
        pack: &str,
        rows_max: i64,
    ) -> Result<Vec<Unrated>, StoreError> {
        let rows: Vec<(i64, i64, String)> = on_db!(self.db, views_read, pool => {
            sqlx::query_as(sql::BILLING_UNRATED)
                .bind(self.key())
                .bind(after.map_or(-1, to_i64))
                .bind(pack)
                .bind(rows_max)
                .fetch_all(pool)
                .await
        })?;
        rows.into_iter()
            .map(|(position, code, seller)| Ok(Unrated { position: to_u64(TABLE, position)?, act: act(code)?, seller }))
            .collect()
    }

    /// Price decisions that still count though what they price was undone, in order.
    pub async fn billing_void(&self, rows_max: i64) -> Result<Vec<u64>, StoreError> {
        let rows: Vec<(i64,)> = on_db!(self.db, views_read, pool => {
            sqlx::query_as(sql::BILLING_VOID).bind(self.key()).bind(rows_max).fetch_all(pool).await
        })?;
        rows.into_iter().map(|(position,)| to_u64(TABLE, position)).collect()
    }

    /// What the rules of a seller priced: rule, accounting day, events, micro-units.
    pub async fn billing_usage(&self, seller: &str) -> Result<Vec<(String, i64, u64, i64)>, StoreError> {
        let rows: Vec<(String, i64, i64, i64)> = on_db!(self.db, views_read, pool => {
            sqlx::query_as(sql::BILLING_USAGE).bind(self.key()).bind(seller).fetch_all(pool).await
        })?;
        rows.into_iter().map(|(rule, day, count, spend)| Ok((rule, day, to_u64(TABLE, count)?, spend))).collect()
    }

    /// Returns that nobody judged: position, seller, sale.
    pub async fn billing_returns(&self, rows_max: i64) -> Result<Vec<(u64, String, [u8; 16])>, StoreError> {
        let rows: Vec<(i64, String, Vec<u8>)> = on_db!(self.db, views_read, pool => {
            sqlx::query_as(sql::BILLING_RETURNS).bind(self.key()).bind(rows_max).fetch_all(pool).await
        })?;
        rows.into_iter()
            .map(|(position, seller, record)| Ok((to_u64(TABLE, position)?, seller, array(TABLE, &record)?)))
            .collect()
    }

    /// Everything that moved the receivable of a sale and counts, in order.
    pub async fn billing_of_record(&self, record: &[u8; 16]) -> Result<Vec<SaleMove>, StoreError> {
        let rows: Vec<(i64, i64, i64, i64, i64, String, String)> = on_db!(self.db, views_read, pool => {
            sqlx::query_as(sql::BILLING_OF_RECORD).bind(self.key()).bind(record.as_slice()).fetch_all(pool).await
        })?;
        rows.into_iter()
            .map(|(position, code, day, amount, covered, currency, seller)| {
                Ok(SaleMove {
                    position: to_u64(TABLE, position)?,
                    act: act(code)?,
                    day,
                    amount,
                    covered,
                    currency,
                    seller,
                })
            })
            .collect()
    }

    /// What a seller was billed, and what judged returns took off it, for days in `[from, to)`: act, currency, micro-units.
    pub async fn billing_totals(
        &self,
        seller: &str,
        from: i64,
        to: i64,
    ) -> Result<Vec<(BillingAct, String, i64)>, StoreError> {
        let rows: Vec<(i64, String, i64)> = on_db!(self.db, views_read, pool => {
            sqlx::query_as(sql::BILLING_TOTALS).bind(self.key()).bind(seller).bind(from).bind(to).fetch_all(pool).await
        })?;
        rows.into_iter().map(|(code, currency, amount)| Ok((act(code)?, currency, amount))).collect()
    }

    /// Invoices and credit notes in order, of one seller or of all.
    pub async fn billing_documents(&self, seller: Option<&str>) -> Result<Vec<BillingDocument>, StoreError> {
        type Row = (i64, i64, i64, i64, i64, i64, i64, String, String, String, i64);
        let rows: Vec<Row> = on_db!(self.db, views_read, pool => {
            sqlx::query_as(sql::BILLING_DOCUMENTS).bind(self.key()).bind(seller).fetch_all(pool).await
        })?;
        rows.into_iter()
            .map(|(position, code, considered, day_to, total, due, recorded, currency, seller, number, annulled)| {
                Ok(BillingDocument {
                    position: to_u64(TABLE, position)?,
                    act: act(code)?,
                    considered: to_u64(TABLE, considered)?,
                    day_to,
                    total,
                    due,
                    recorded: Timestamp::from_micros(recorded),
                    currency,
                    seller,
                    number,
                    annulled: u64::try_from(annulled).ok(),
                })
            })
            .collect()
    }

    /// The contract in force: where it was activated, and its digest.
    pub async fn billing_contract(&self) -> Result<Option<(u64, String)>, StoreError> {
        let row: Option<(i64, String)> = on_db!(self.db, views_read, pool => {
            sqlx::query_as(sql::BILLING_CONTRACT).bind(self.key()).fetch_optional(pool).await
        })?;
        row.map(|(position, pack)| Ok((to_u64(TABLE, position)?, pack))).transpose()
    }

    /// What moved a seller's receivable by earning or giving back, on days up to `day_to`, by entries in `[first, end)`.
    pub async fn receivable_lines(
        &self,
        seller: &str,
        currency: &str,
        day_to: i64,
        first: u64,
        end: u64,
    ) -> Result<Vec<Receivable>, StoreError> {
        let rows: Vec<(i64, i64, i64, i64, i64, i64, String)> = on_db!(self.db, views_read, pool => {
            sqlx::query_as(sql::MONEY_RECEIVABLE)
                .bind(self.key())
                .bind(seller)
                .bind(currency)
                .bind(day_to)
                .bind(to_i64(first))
                .bind(to_i64(end))
                .fetch_all(pool)
                .await
        })?;
        rows.into_iter()
            .map(|(position, origin, kind, day, amount, other, campaign)| {
                let (position, origin) = (to_u64("money_lines", position)?, to_u64("money_lines", origin)?);
                let (kind, other) = (line_kind(kind)?, account(other)?);
                Ok(Receivable { position, origin, kind, day, amount, other, campaign })
            })
            .collect()
    }

    /// What partners owe and are owed, by day and reason, as of `as_of` and as known at `known_at`.
    pub async fn seller_balances(
        &self,
        as_of: Timestamp,
        known_at: Timestamp,
    ) -> Result<Vec<SellerBalance>, StoreError> {
        let rows: Vec<(i64, String, String, String, i64, i64, i64)> = on_db!(self.db, views_read, pool => {
            sqlx::query_as(sql::MONEY_SELLERS)
                .bind(self.key())
                .bind(as_of.micros())
                .bind(known_at.micros())
                .fetch_all(pool)
                .await
        })?;
        rows.into_iter()
            .map(|(code, seller, vendor, currency, kind, day, amount)| {
                let (account, kind) = (account(code)?, line_kind(kind)?);
                Ok(SellerBalance { account, seller, vendor, currency, kind, day, amount })
            })
            .collect()
    }

    /// What a party is paid out of prices on days in `[from, to)`, by entries after `after`, in order.
    pub async fn payout_lines(
        &self,
        party: &str,
        from: i64,
        to: i64,
        after: Option<u64>,
        rows_max: i64,
    ) -> Result<Vec<PayoutLine>, StoreError> {
        let rows: Vec<(i64, i64, i64, i64, String, String, String)> = on_db!(self.db, views_read, pool => {
            sqlx::query_as(sql::MONEY_PAYOUTS)
                .bind(self.key())
                .bind(party)
                .bind(from)
                .bind(to)
                .bind(after.map_or(-1, to_i64))
                .bind(rows_max)
                .fetch_all(pool)
                .await
        })?;
        rows.into_iter()
            .map(|(position, origin, day, amount, currency, seller, campaign)| {
                let (position, origin) = (to_u64("money_lines", position)?, to_u64("money_lines", origin)?);
                Ok(PayoutLine { position, origin, day, amount, currency, seller, campaign })
            })
            .collect()
    }
}
