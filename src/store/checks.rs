//! What must hold before a store may serve. Each check refuses with the reason; none repairs anything.

use super::db::{self, APPENDER, Db, SHREDDER};
use super::{Head, Store, StoreError};
use crate::chain::leaf::leaf_hash;

/// What the start-up checks found, for the log and the health view.
#[derive(Debug, Clone, Copy)]
pub struct StartupReport {
    /// The committed head; `None` before `init`.
    pub head: Option<Head>,
}

/// Privileges that must be as stated: role, table, privilege, whether the role has it.
const GRANTS: &[(&str, &str, &str, bool)] = &[
    (APPENDER, "log.entries", "INSERT", true),
    (APPENDER, "log.entries", "UPDATE", false),
    (APPENDER, "log.entries", "DELETE", false),
    (APPENDER, "log.entries", "TRUNCATE", false),
    (APPENDER, "log.payloads", "UPDATE", false),
    (APPENDER, "log.payloads", "DELETE", false),
    (APPENDER, "vault.deks", "DELETE", false),
    (SHREDDER, "log.entries", "INSERT", false),
    (SHREDDER, "log.entries", "UPDATE", false),
    (SHREDDER, "log.entries", "DELETE", false),
    (SHREDDER, "log.payloads", "DELETE", true),
];

const PRIVILEGE: &str = "SELECT has_table_privilege($1, $2, $3)";

impl Store {
    /// Runs the engine's checks and compares the head row with the last stored entry.
    ///
    /// # Errors
    /// [`StoreError::Check`] says which check failed and why; the caller must not serve.
    pub async fn startup_check(&self) -> Result<StartupReport, StoreError> {
        match &self.db {
            Db::Sqlite(pools) => db::sqlite_check(pools).await?,
            Db::Postgres(pools) => {
                for &(role, table, privilege, wanted) in GRANTS {
                    let has: bool = sqlx::query_scalar(PRIVILEGE)
                        .bind(role)
                        .bind(table)
                        .bind(privilege)
                        .fetch_one(&pools.log_read)
                        .await?;
                    if has != wanted {
                        let state = if has { "has" } else { "lacks" };
                        return Err(StoreError::check(format!("role {role} {state} {privilege} on {table}")));
                    }
                }
                let sync: String = sqlx::query_scalar("SHOW synchronous_commit").fetch_one(&pools.log_read).await?;
                if sync != "on" && sync != "remote_apply" {
                    return Err(StoreError::check(format!("synchronous_commit is {sync}; on is needed")));
                }
            }
        }
        self.head_checked().await.map(|head| StartupReport { head })
    }

    /// The head, once it agrees with the rows. Another server may be appending between two of these reads: what does not
    /// agree is wrong only if the head stands still.
    async fn head_checked(&self) -> Result<Option<Head>, StoreError> {
        let mut head = self.head().await?;
        loop {
            let checked = self.head_check(head).await;
            let now = self.head().await?;
            if checked.is_ok() || now == head {
                return checked.map(|()| head);
            }
            head = now;
        }
    }

    /// The head must name the last stored entry and nothing may stand beyond it: a row cut off or slipped in behind the
    /// service's back shows here first.
    async fn head_check(&self, head: Option<Head>) -> Result<(), StoreError> {
        let size = head.map_or(0, |head| head.size);
        if self.entry_at(size).await?.is_some() {
            return Err(StoreError::check(format!("the log holds an entry at {size}, beyond its head")));
        }
        let Some(head) = head else { return Ok(()) };
        let Some(position) = head.size.checked_sub(1) else {
            return Err(StoreError::check("the head row says size 0".to_owned()));
        };
        match self.entry_at(position).await? {
            None => Err(StoreError::check(format!("entry {position} is missing, though the head says size {size}"))),
            Some(entry) if leaf_hash(&entry) != head.leaf => {
                Err(StoreError::check(format!("entry {position} is not the one that the head names")))
            }
            Some(_) => Ok(()),
        }
    }
}
