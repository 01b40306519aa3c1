//! Rows that no reader of the log would ever come across, and columns that say something else than the entry beside them:
//! what `verify` has to look for, because nothing else stumbles over it.

use super::db::{Db, on_db};
use super::payloads::slot_bound;
use super::rows::{to_i64, to_u64};
use super::{Store, StoreError, sql};

/// What Postgres keeps beside an entry to refuse forks and copies: position, dedupe, subject, sequence.
pub type EntryColumns = (u64, Vec<u8>, Option<Vec<u8>>, Option<i64>);

/// The same as the database has it.
type EntryColumnsRow = (i64, Vec<u8>, Option<Vec<u8>>, Option<i64>);

/// A row outside of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stray {
    /// Its table.
    pub table: &'static str,
    /// Its position, or the number of its subtree.
    pub at: i64,
}

impl Store {
    /// The first row of each table that lies outside of a log of `size` entries. An entry behind the head is not looked for
    /// (who knows the head finds it), and a server may append meanwhile: what it adds has its entry in the same statement's
    /// eyes.
    pub async fn stray_rows(&self, size: u64) -> Result<Vec<Stray>, StoreError> {
        let mut strays = Vec::new();
        let statements = [
            ("entries", sql::STRAY_ENTRIES, i64::MAX),
            ("payloads", sql::STRAY_PAYLOADS, slot_bound(size)),
            // The head's own size in the same statement: a server may append meanwhile.
            ("subtrees", sql::STRAY_SUBTREES, 256),
        ];
        for (table, statement, bound) in statements {
            let (at,): (Option<i64>,) = on_db!(self.db, log_read, pool => {
                sqlx::query_as(statement).bind(self.key()).bind(bound).fetch_one(pool).await
            })?;
            // Slots below zero floor to the position below zero.
            let at = if table == "payloads" { at.map(|slot| slot.div_euclid(256)) } else { at };
            strays.extend(at.map(|at| Stray { table, at }));
        }
        Ok(strays)
    }

    /// The columns beside the entries of `[first, end)`, in order; none on SQLite, which has none.
    pub async fn entry_columns(&self, first: u64, end: u64) -> Result<Vec<EntryColumns>, StoreError> {
        let Db::Postgres(pools) = &self.db else { return Ok(Vec::new()) };
        let rows: Vec<EntryColumnsRow> = sqlx::query_as(sql::postgres::ENTRY_COLUMNS)
            .bind(self.key())
            .bind(to_i64(first))
            .bind(to_i64(end))
            .fetch_all(&pools.log_read)
            .await?;
        rows.into_iter()
            .map(|(position, dedupe, subject, sequence)| Ok((to_u64("entries", position)?, dedupe, subject, sequence)))
            .collect()
    }
}
