//! The head of the log: its size and last leaf hash. Moved only by the append transaction.

use super::db::on_db;
use super::rows::{digest, to_u64};
use super::{Store, StoreError, sql};
use crate::crypto::hash::Digest;
use crate::domain::time::Timestamp;

/// Where a ledger's log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Entries in the log; the next position.
    pub size: u64,
    /// Leaf hash of the last entry, 32 zero bytes when there is none.
    pub leaf: Digest,
    /// Recorded time of the last entry.
    pub recorded: Timestamp,
    /// Fencing number that an append must present.
    pub epoch: i64,
}

type HeadRow = (i64, Vec<u8>, i64, i64);

impl Store {
    /// The committed head, or `None` before the first entry.
    pub async fn head(&self) -> Result<Option<Head>, StoreError> {
        let row: Option<HeadRow> = on_db!(self.db, log_read, pool => {
            sqlx::query_as(sql::HEAD_READ).bind(self.key()).fetch_optional(pool).await
        })?;
        row.map(|(size, leaf, recorded, epoch)| {
            Ok(Head {
                size: to_u64("heads", size)?,
                leaf: digest("heads", &leaf)?,
                recorded: Timestamp::from_micros(recorded),
                epoch,
            })
        })
        .transpose()
    }

    /// Raises the fencing number of the head to the lease's, so that an append under an older lease fails.
    pub async fn head_fence(&self, epoch: i64) -> Result<(), StoreError> {
        on_db!(self.db, log_write, pool => {
            sqlx::query(sql::HEAD_FENCE).bind(self.key()).bind(epoch).execute(pool).await.map(|_| ())
        })?;
        Ok(())
    }
}
