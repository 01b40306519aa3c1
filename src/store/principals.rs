//! Who may call, and which ledgers a database holds. API keys are stored as keyed hashes only.

use super::db::on_db;
use super::rows::array;
use super::{Store, StoreError, sql};
use crate::domain::ids::{LedgerId, PrincipalId};
use crate::domain::time::Timestamp;

/// An API key's row.
#[derive(Debug, Clone)]
pub struct PrincipalRow {
    /// Opaque id that entries name as their actor.
    pub principal: PrincipalId,
    /// Keyed hash of the key.
    pub hash: [u8; 32],
    /// Role name.
    pub role: String,
    /// What its owner calls it.
    pub label: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it was revoked.
    pub revoked: Option<Timestamp>,
}

/// A ledger's row.
#[derive(Debug, Clone)]
pub struct LedgerRow {
    /// Its id.
    pub ledger: LedgerId,
    /// Its origin name, fixed for ever.
    pub origin: String,
    /// Whether its clock is the caller's.
    pub scratch: bool,
    /// When it was made.
    pub created: Timestamp,
}

type PrincipalColumns = (Vec<u8>, Vec<u8>, String, String, i64, Option<i64>);
type LedgerColumns = (Vec<u8>, String, i64, i64);

fn ledger_row((ledger, origin, scratch, created): LedgerColumns) -> Result<LedgerRow, StoreError> {
    Ok(LedgerRow {
        ledger: LedgerId::from_bytes(array("ledgers", &ledger)?),
        origin,
        scratch: scratch != 0,
        created: Timestamp::from_micros(created),
    })
}

impl Store {
    /// Stores a new API key's hash.
    pub async fn principal_insert(&self, row: &PrincipalRow) -> Result<(), StoreError> {
        on_db!(self.db, vault_write, pool => {
            sqlx::query(sql::PRINCIPAL_INSERT)
                .bind(self.key())
                .bind(row.principal.as_bytes().as_slice())
                .bind(row.hash.as_slice())
                .bind(row.role.as_str())
                .bind(row.label.as_str())
                .bind(row.created.micros())
                .execute(pool)
                .await
                .map(|_| ())
        })?;
        Ok(())
    }

    /// Marks an API key revoked; `false` when there is no such live key.
    pub async fn principal_revoke(&self, principal: PrincipalId, at: Timestamp) -> Result<bool, StoreError> {
        let changed = on_db!(self.db, vault_write, pool => {
            sqlx::query(sql::PRINCIPAL_REVOKE)
                .bind(self.key())
                .bind(principal.as_bytes().as_slice())
                .bind(at.micros())
                .execute(pool)
                .await
                .map(|done| done.rows_affected())
        })?;
        Ok(changed == 1)
    }

    /// All API keys of the ledger, revoked ones too.
    pub async fn principals(&self) -> Result<Vec<PrincipalRow>, StoreError> {
        let rows: Vec<PrincipalColumns> = on_db!(self.db, vault_read, pool => {
            sqlx::query_as(sql::PRINCIPALS_READ).bind(self.key()).fetch_all(pool).await
        })?;
        rows.into_iter()
            .map(|(principal, hash, role, label, created, revoked)| {
                Ok(PrincipalRow {
                    principal: PrincipalId::from_bytes(array("api_keys", &principal)?),
                    hash: array("api_keys", &hash)?,
                    role,
                    label,
                    created: Timestamp::from_micros(created),
                    revoked: revoked.map(Timestamp::from_micros),
                })
            })
            .collect()
    }

    /// Registers this ledger in its database.
    pub async fn ledger_insert(&self, row: &LedgerRow) -> Result<(), StoreError> {
        on_db!(self.db, vault_write, pool => {
            sqlx::query(sql::LEDGER_INSERT)
                .bind(row.ledger.as_bytes().as_slice())
                .bind(row.origin.as_str())
                .bind(i64::from(row.scratch))
                .bind(row.created.micros())
                .execute(pool)
                .await
                .map(|_| ())
        })?;
        Ok(())
    }

    /// This ledger's row, or `None` before `init`.
    pub async fn ledger_row(&self) -> Result<Option<LedgerRow>, StoreError> {
        let row: Option<LedgerColumns> = on_db!(self.db, vault_read, pool => {
            sqlx::query_as(sql::LEDGER_READ).bind(self.key()).fetch_optional(pool).await
        })?;
        row.map(ledger_row).transpose()
    }

    /// All ledgers of the database (on SQLite: the one of this folder).
    pub async fn ledgers(&self) -> Result<Vec<LedgerRow>, StoreError> {
        let rows: Vec<LedgerColumns> = on_db!(self.db, vault_read, pool => {
            sqlx::query_as(sql::LEDGERS_READ).fetch_all(pool).await
        })?;
        rows.into_iter().map(ledger_row).collect()
    }
}
