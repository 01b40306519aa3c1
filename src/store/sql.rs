//! Every statement, named. One text serves both engines; the exceptions are the bulk statements, whose rows SQLite cuts
//! out of packed bytes (`pack.rs`) and Postgres out of arrays. A test prepares each on the engine it is for.

pub(super) const HEAD_READ: &str = "SELECT size, leaf, recorded, epoch FROM heads WHERE ledger = $1";
pub(super) const HEAD_CREATE: &str =
    "INSERT INTO heads (ledger, size, leaf, recorded, epoch) VALUES ($1, $2, $3, $4, $5)";
pub(super) const HEAD_SWAP: &str = "UPDATE heads SET size = $2, leaf = $3, recorded = $4 \
     WHERE ledger = $1 AND size = $5 AND leaf = $6 AND epoch = $7";
pub(super) const HEAD_FENCE: &str = "UPDATE heads SET epoch = $2 WHERE ledger = $1 AND epoch < $2";

pub(super) const ENTRY_AT: &str = "SELECT entry FROM entries WHERE ledger = $1 AND position = $2";
pub(super) const ENTRIES_FROM: &str = "SELECT position, entry FROM entries \
     WHERE ledger = $1 AND position >= $2 AND position < $3 ORDER BY position";
pub(super) const ENTRIES_COUNT: &str = "SELECT COUNT(*) FROM entries WHERE ledger = $1";

pub(super) const PAYLOADS_OF: &str =
    "SELECT part, sealed FROM payloads WHERE ledger = $1 AND position = $2 ORDER BY part";
pub(super) const PAYLOADS_FROM: &str = "SELECT position, part, sealed FROM payloads \
     WHERE ledger = $1 AND position >= $2 AND position < $3 AND kind <= $4 ORDER BY position, part";
pub(super) const PAYLOAD_ROWS: &str = "SELECT position, part, kind, sealed FROM payloads \
     WHERE ledger = $1 AND position >= $2 AND position < $3 ORDER BY position, part";
pub(super) const PAYLOAD_DELETE: &str = "DELETE FROM payloads WHERE ledger = $1 AND position = $2 AND part = $3";

pub(super) const SUBTREES_FROM: &str =
    "SELECT number, hash FROM subtrees WHERE ledger = $1 AND number >= $2 ORDER BY number";

/// Rows where no reader of the log comes by. Asked by the ends of the keys, so cheap at any size.
pub(super) const STRAY_ENTRIES: &str =
    "SELECT MIN(position) FROM entries WHERE ledger = $1 AND (position < 0 OR position >= $2)";
pub(super) const STRAY_PAYLOADS: &str = "SELECT MIN(p.position) FROM payloads p \
     WHERE p.ledger = $1 AND (p.position < 0 OR p.position >= $2) \
     AND NOT EXISTS (SELECT 1 FROM entries e WHERE e.ledger = p.ledger AND e.position = p.position)";
pub(super) const STRAY_SUBTREES: &str = "SELECT MIN(number) FROM subtrees WHERE ledger = $1 \
     AND (number < 0 OR number >= (SELECT size FROM heads WHERE ledger = $1) / $2)";

pub(super) const CHECKPOINT_INSERT: &str =
    "INSERT INTO checkpoints (ledger, size, note) VALUES ($1, $2, $3) ON CONFLICT (ledger, size) DO NOTHING";
pub(super) const CHECKPOINT_LAST: &str =
    "SELECT size, note FROM checkpoints WHERE ledger = $1 ORDER BY size DESC LIMIT 1";

pub(super) const LEASE_TAKE: &str = "INSERT INTO leases (ledger, holder, epoch, expires) VALUES ($1, $2, 1, $3) \
     ON CONFLICT (ledger) DO UPDATE SET \
       epoch = CASE WHEN leases.holder = $2 THEN leases.epoch ELSE leases.epoch + 1 END, holder = $2, expires = $3 \
     WHERE leases.holder = $2 OR leases.expires < $4";
pub(super) const LEASE_READ: &str = "SELECT holder, epoch, expires FROM leases WHERE ledger = $1";

pub(super) const DEK_DELETE: &str = "DELETE FROM deks WHERE ledger = $1 AND owner = $2 AND class = $3 AND quarter = $4";

pub(super) const DEKS_OF: &str =
    "SELECT class, quarter, key_id, epoch, wrapped FROM deks WHERE ledger = $1 AND owner = $2 ORDER BY class, quarter";
pub(super) const DEKS_DUE: &str = "SELECT owner, key_id FROM deks \
     WHERE ledger = $1 AND owner >= $2 AND class = $3 AND quarter = $4 ORDER BY owner LIMIT $5";
pub(super) const DEK_SLOTS: &str =
    "SELECT class, quarter, COUNT(*) FROM deks WHERE ledger = $1 GROUP BY class, quarter ORDER BY class, quarter";

pub(super) const SECRET_INSERT: &str = "INSERT INTO secrets (ledger, name, version, epoch, wrapped) \
     VALUES ($1, $2, $3, $4, $5)";
pub(super) const SECRETS_READ: &str =
    "SELECT name, version, epoch, wrapped FROM secrets WHERE ledger = $1 ORDER BY name, version";

pub(super) const PRINCIPAL_INSERT: &str = "INSERT INTO api_keys (ledger, principal, hash, role, label, created) \
     VALUES ($1, $2, $3, $4, $5, $6)";
pub(super) const PRINCIPAL_REVOKE: &str =
    "UPDATE api_keys SET revoked = $3 WHERE ledger = $1 AND principal = $2 AND revoked IS NULL";
pub(super) const PRINCIPALS_READ: &str = "SELECT principal, hash, role, label, created, revoked FROM api_keys \
     WHERE ledger = $1 ORDER BY principal";

pub(super) const LEDGER_INSERT: &str = "INSERT INTO ledgers (ledger, origin, scratch, created) VALUES ($1, $2, $3, $4)";
pub(super) const LEDGER_READ: &str = "SELECT ledger, origin, scratch, created FROM ledgers WHERE ledger = $1";
pub(super) const LEDGERS_READ: &str = "SELECT ledger, origin, scratch, created FROM ledgers ORDER BY ledger";

/// Statements that both engines run as they stand.
#[cfg(test)]
pub(super) const SHARED: &[&str] = &[
    HEAD_READ,
    HEAD_CREATE,
    HEAD_SWAP,
    HEAD_FENCE,
    ENTRY_AT,
    ENTRIES_FROM,
    ENTRIES_COUNT,
    PAYLOADS_OF,
    PAYLOADS_FROM,
    PAYLOAD_ROWS,
    PAYLOAD_DELETE,
    SUBTREES_FROM,
    STRAY_ENTRIES,
    STRAY_PAYLOADS,
    STRAY_SUBTREES,
    CHECKPOINT_INSERT,
    CHECKPOINT_LAST,
    LEASE_TAKE,
    LEASE_READ,
    DEK_DELETE,
    DEKS_OF,
    DEKS_DUE,
    DEK_SLOTS,
    SECRET_INSERT,
    SECRETS_READ,
    PRINCIPAL_INSERT,
    PRINCIPAL_REVOKE,
    PRINCIPALS_READ,
    LEDGER_INSERT,
    LEDGER_READ,
    LEDGERS_READ,
];

/// Bulk statements for SQLite. `$2` is the number of rows, `$3` their heads, `$4` the body.
pub(super) mod sqlite {
    pub(in crate::store) const ENTRIES_INSERT: &str = "WITH RECURSIVE r(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM r WHERE i + 1 < $2) \
         INSERT INTO entries (ledger, position, entry) SELECT $1, CAST(substr($3, i * 60 + 1, 20) AS INTEGER), \
         substr($4, CAST(substr($3, i * 60 + 21, 20) AS INTEGER), CAST(substr($3, i * 60 + 41, 20) AS INTEGER)) FROM r";
    pub(in crate::store) const PAYLOADS_INSERT: &str = "WITH RECURSIVE r(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM r WHERE i + 1 < $2) \
         INSERT INTO payloads (ledger, position, part, kind, sealed) SELECT $1, CAST(substr($3, i * 100 + 1, 20) AS INTEGER), \
         CAST(substr($3, i * 100 + 21, 20) AS INTEGER), CAST(substr($3, i * 100 + 41, 20) AS INTEGER), \
         substr($4, CAST(substr($3, i * 100 + 61, 20) AS INTEGER), CAST(substr($3, i * 100 + 81, 20) AS INTEGER)) FROM r";
    pub(in crate::store) const SUBTREES_INSERT: &str = "WITH RECURSIVE r(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM r WHERE i + 1 < $2) \
         INSERT INTO subtrees (ledger, number, hash) SELECT $1, CAST(substr($3, i * 52 + 1, 20) AS INTEGER), \
         substr($3, i * 52 + 21, 32) FROM r";
    pub(in crate::store) const ENTRIES_AT: &str = "WITH RECURSIVE r(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM r WHERE i + 1 < $2) \
         SELECT e.position, e.entry FROM r CROSS JOIN entries e \
         WHERE e.ledger = $1 AND e.position = CAST(substr($3, r.i * 20 + 1, 20) AS INTEGER)";
    /// Rows of 116 bytes: owner 16, class 20, quarter 20, then key id 16, epoch 20, wrapped key in the body.
    pub(in crate::store) const DEKS_INSERT: &str = "WITH RECURSIVE r(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM r WHERE i + 1 < $2) \
         INSERT INTO deks (ledger, owner, class, quarter, key_id, epoch, wrapped) SELECT $1, substr($3, i * 132 + 1, 16), \
         CAST(substr($3, i * 132 + 17, 20) AS INTEGER), CAST(substr($3, i * 132 + 37, 20) AS INTEGER), \
         substr($3, i * 132 + 57, 16), CAST(substr($3, i * 132 + 73, 20) AS INTEGER), \
         substr($4, CAST(substr($3, i * 132 + 93, 20) AS INTEGER), CAST(substr($3, i * 132 + 113, 20) AS INTEGER)) FROM r WHERE true \
         ON CONFLICT (ledger, owner, class, quarter) DO NOTHING";
    pub(in crate::store) const DEKS_AT: &str = "WITH RECURSIVE r(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM r WHERE i + 1 < $2) \
         SELECT r.i, d.key_id, d.epoch, d.wrapped FROM r CROSS JOIN deks d WHERE d.ledger = $1 \
         AND d.owner = substr($3, r.i * 56 + 1, 16) AND d.class = CAST(substr($3, r.i * 56 + 17, 20) AS INTEGER) \
         AND d.quarter = CAST(substr($3, r.i * 56 + 37, 20) AS INTEGER)";
    pub(in crate::store) const DEKS_DELETE: &str = "WITH RECURSIVE r(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM r WHERE i + 1 < $2) \
         DELETE FROM deks WHERE ledger = $1 AND (owner, class, quarter) IN (SELECT substr($3, i * 56 + 1, 16), \
         CAST(substr($3, i * 56 + 17, 20) AS INTEGER), CAST(substr($3, i * 56 + 37, 20) AS INTEGER) FROM r)";
    pub(in crate::store) const PAYLOADS_DELETE: &str = "WITH RECURSIVE r(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM r WHERE i + 1 < $2) \
         DELETE FROM payloads WHERE ledger = $1 AND (position, part) IN (SELECT CAST(substr($3, i * 40 + 1, 20) AS INTEGER), \
         CAST(substr($3, i * 40 + 21, 20) AS INTEGER) FROM r)";

    #[cfg(test)]
    pub(in crate::store) const ALL: &[&str] = &[
        ENTRIES_INSERT,
        PAYLOADS_INSERT,
        SUBTREES_INSERT,
        ENTRIES_AT,
        DEKS_INSERT,
        DEKS_AT,
        DEKS_DELETE,
        PAYLOADS_DELETE,
    ];
}

/// Bulk statements for Postgres, with one array a column.
pub(super) mod postgres {
    pub(in crate::store) const ENTRIES_INSERT: &str = "INSERT INTO entries (ledger, position, entry, dedupe, subject, sequence) \
         SELECT $1, * FROM UNNEST($2::bigint[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bigint[])";
    pub(in crate::store) const PAYLOADS_INSERT: &str = "INSERT INTO payloads (ledger, position, part, kind, sealed) \
         SELECT $1, * FROM UNNEST($2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[])";
    pub(in crate::store) const SUBTREES_INSERT: &str = "INSERT INTO subtrees (ledger, number, hash) \
         SELECT $1, * FROM UNNEST($2::bigint[], $3::bytea[])";
    pub(in crate::store) const ENTRIES_AT: &str = "SELECT position, entry FROM entries \
         WHERE ledger = $1 AND position = ANY($2::bigint[])";
    pub(in crate::store) const ENTRY_COLUMNS: &str = "SELECT position, dedupe, subject, sequence FROM entries \
         WHERE ledger = $1 AND position >= $2 AND position < $3 ORDER BY position";
    pub(in crate::store) const DEKS_INSERT: &str = "INSERT INTO deks (ledger, owner, class, quarter, key_id, epoch, wrapped) \
         SELECT $1, * FROM UNNEST($2::bytea[], $3::bigint[], $4::bigint[], $5::bytea[], $6::bigint[], $7::bytea[]) \
         ON CONFLICT (ledger, owner, class, quarter) DO NOTHING";
    pub(in crate::store) const DEKS_AT: &str = "SELECT r.i, d.key_id, d.epoch, d.wrapped \
         FROM UNNEST($2::bigint[], $3::bytea[], $4::bigint[], $5::bigint[]) AS r(i, owner, class, quarter) \
         JOIN deks d ON d.ledger = $1 AND d.owner = r.owner AND d.class = r.class AND d.quarter = r.quarter";
    pub(in crate::store) const DEKS_DELETE: &str = "DELETE FROM deks d \
         USING UNNEST($2::bytea[], $3::bigint[], $4::bigint[]) AS r(owner, class, quarter) \
         WHERE d.ledger = $1 AND d.owner = r.owner AND d.class = r.class AND d.quarter = r.quarter";
    pub(in crate::store) const PAYLOADS_DELETE: &str = "DELETE FROM payloads p \
         USING UNNEST($2::bigint[], $3::bigint[]) AS r(position, part) \
         WHERE p.ledger = $1 AND p.position = r.position AND p.part = r.part";

    #[cfg(test)]
    pub(in crate::store) const ALL: &[&str] = &[
        ENTRIES_INSERT,
        PAYLOADS_INSERT,
        SUBTREES_INSERT,
        ENTRIES_AT,
        ENTRY_COLUMNS,
        DEKS_INSERT,
        DEKS_AT,
        DEKS_DELETE,
        PAYLOADS_DELETE,
    ];
}
