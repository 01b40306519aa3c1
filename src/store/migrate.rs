//! Schema versions. A database newer than this program, or one whose past migrations were changed, is refused.

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{Executor, PgPool};

use super::StoreError;
use super::db::Files;

fn migrator(files: &[(i64, &'static str, &'static str)]) -> Migrator {
    Migrator::with_migrations(
        files
            .iter()
            .map(|&(version, name, text)| {
                let sql = sqlx::SqlSafeStr::into_sql_str(text);
                Migration::new(version, name.into(), MigrationType::Simple, sql, false)
            })
            .collect(),
    )
}

const SQLITE_LOG: &[(i64, &str, &str)] = &[(1, "log", include_str!("../../migrations/sqlite/log/0001_log.sql"))];
const SQLITE_VAULT: &[(i64, &str, &str)] =
    &[(1, "vault", include_str!("../../migrations/sqlite/vault/0001_vault.sql"))];
const SQLITE_VIEWS: &[(i64, &str, &str)] = &[
    (1, "views", include_str!("../../migrations/sqlite/views/0001_views.sql")),
    (20, "consent targets", include_str!("../../migrations/sqlite/views/0020_consent_targets.sql")),
    (22, "journeys", include_str!("../../migrations/sqlite/views/0022_journeys.sql")),
    (24, "billing", include_str!("../../migrations/sqlite/views/0024_billing.sql")),
    (25, "undone since", include_str!("../../migrations/sqlite/views/0025_undone_since.sql")),
    (26, "scores", include_str!("../../migrations/sqlite/views/0026_scores.sql")),
    (27, "money sums", include_str!("../../migrations/sqlite/views/0027_money_sums.sql")),
    (28, "money leads", include_str!("../../migrations/sqlite/views/0028_money_leads.sql")),
    (29, "money late", include_str!("../../migrations/sqlite/views/0029_money_late.sql")),
];
const POSTGRES: &[(i64, &str, &str)] = &[
    (1, "log", include_str!("../../migrations/postgres/0001_log.sql")),
    (2, "vault", include_str!("../../migrations/postgres/0002_vault.sql")),
    (3, "views", include_str!("../../migrations/postgres/0003_views.sql")),
    (4, "grants", include_str!("../../migrations/postgres/0004_grants.sql")),
    (20, "consent targets", include_str!("../../migrations/postgres/0020_consent_targets.sql")),
    (21, "rewrap", include_str!("../../migrations/postgres/0021_rewrap.sql")),
    (22, "lists", include_str!("../../migrations/postgres/0022_lists.sql")),
    (23, "journeys", include_str!("../../migrations/postgres/0023_journeys.sql")),
    (24, "billing", include_str!("../../migrations/postgres/0024_billing.sql")),
    (25, "undone since", include_str!("../../migrations/postgres/0025_undone_since.sql")),
    (26, "scores", include_str!("../../migrations/postgres/0026_scores.sql")),
    (27, "money sums", include_str!("../../migrations/postgres/0027_money_sums.sql")),
    (28, "money leads", include_str!("../../migrations/postgres/0028_money_leads.sql")),
    (29, "money late", include_str!("../../migrations/postgres/0029_money_late.sql")),
];

/// Brings the three files of one ledger to this program's schema version.
pub(super) async fn sqlite(pools: &Files) -> Result<(), StoreError> {
    for (files, pool) in
        [(SQLITE_LOG, &pools.log_write), (SQLITE_VAULT, &pools.vault_write), (SQLITE_VIEWS, &pools.views_write)]
    {
        migrator(files).run(pool).await?;
    }
    Ok(())
}

/// Creates schemas and roles if they are missing and brings the database to this program's schema version.
pub(super) async fn postgres(owner: &PgPool) -> Result<(), StoreError> {
    owner.execute(include_str!("../../migrations/postgres/0000_schemas.sql")).await?;
    migrator(POSTGRES).run(owner).await?;
    Ok(())
}
