//! Every statement, named. One text serves both engines; the exceptions are the bulk statements, whose rows SQLite cuts
//! out of packed bytes (`pack.rs`) and Postgres out of arrays. A test prepares each on the engine it is for.

pub(super) const HEAD_READ: &str = "SELECT size, leaf, recorded, epoch FROM heads WHERE ledger = $1";
pub(super) const HEAD_FENCE: &str = "UPDATE heads SET epoch = $2 WHERE ledger = $1 AND epoch < $2";

pub(super) const ENTRIES_FROM: &str = "SELECT position, entry FROM entries \
     WHERE ledger = $1 AND position >= $2 AND position < $3 ORDER BY position";
pub(super) const ENTRIES_COUNT: &str = "SELECT COUNT(*) FROM entries WHERE ledger = $1";

/// One entry and its stored parts in one statement, -1 in the place of a slot for the entry: walking a person's history asks for
/// one after the other, and on SQLite a statement costs more than its rows.
pub(super) const ENTRY_WITH_PARTS: &str = "SELECT CAST(-1 AS BIGINT) AS slot, entry AS bytes FROM entries \
     WHERE ledger = $1 AND position = $2 UNION ALL \
     SELECT slot, sealed AS bytes FROM payloads WHERE ledger = $1 AND slot >= $3 AND slot < $4";
pub(super) const PAYLOADS_FROM: &str = "SELECT slot, sealed FROM payloads \
     WHERE ledger = $1 AND slot >= $2 AND slot < $3 ORDER BY slot";
/// Part 0 of each entry alone: what keyless readers and projections fold.
pub(super) const FIRST_PARTS_FROM: &str = "SELECT slot, sealed FROM payloads \
     WHERE ledger = $1 AND slot >= $2 AND slot < $3 AND slot % 256 = 0 ORDER BY slot";
pub(super) const PAYLOAD_DELETE: &str = "DELETE FROM payloads WHERE ledger = $1 AND slot = $2";

pub(super) const SUBTREES_FROM: &str =
    "SELECT number, hash FROM subtrees WHERE ledger = $1 AND number >= $2 ORDER BY number";

/// Rows where no reader of the log comes by. Asked by the ends of the keys, so cheap at any size.
pub(super) const STRAY_ENTRIES: &str =
    "SELECT MIN(position) FROM entries WHERE ledger = $1 AND (position < 0 OR position >= $2)";
pub(super) const STRAY_PAYLOADS: &str = "SELECT MIN(p.slot) FROM payloads p \
     WHERE p.ledger = $1 AND (p.slot < 0 OR p.slot >= $2 \
     AND NOT EXISTS (SELECT 1 FROM entries e WHERE e.ledger = p.ledger AND e.position = p.slot / 256))";
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

pub(super) const SECRET_REWRAP: &str = "UPDATE secrets SET epoch = $4, wrapped = $5 \
     WHERE ledger = $1 AND name = $2 AND version = $3 AND epoch = $6";
/// $2 is the epoch that is not looked for; $3 is 1 to begin at the first row, else it begins after ($4, $5, $6).
pub(super) const DEKS_PAGE: &str = "SELECT owner, class, quarter, key_id, epoch, wrapped FROM deks \
     WHERE ledger = $1 AND epoch <> $2 AND (CAST($3 AS BIGINT) = 1 OR (owner, class, quarter) > ($4, $5, $6)) \
     ORDER BY owner, class, quarter LIMIT $7";
pub(super) const DEK_REWRAP: &str = "UPDATE deks SET epoch = $5, wrapped = $6 \
     WHERE ledger = $1 AND owner = $2 AND class = $3 AND quarter = $4 AND epoch = $7 AND key_id = $8";
pub(super) const KEYS_REMAINING: &str = "SELECT CAST((SELECT COUNT(*) FROM deks WHERE ledger = $1 AND epoch <> $2) AS BIGINT) \
     + CAST((SELECT COUNT(*) FROM secrets WHERE ledger = $1 AND epoch <> $2) AS BIGINT)";

pub(super) const PRINCIPAL_INSERT: &str = "INSERT INTO api_keys (ledger, principal, hash, role, label, created) \
     VALUES ($1, $2, $3, $4, $5, $6)";
pub(super) const PRINCIPAL_REVOKE: &str =
    "UPDATE api_keys SET revoked = $3 WHERE ledger = $1 AND principal = $2 AND revoked IS NULL";
pub(super) const PRINCIPALS_READ: &str = "SELECT principal, hash, role, label, created, revoked FROM api_keys \
     WHERE ledger = $1 ORDER BY principal";

pub(super) const LEDGER_INSERT: &str = "INSERT INTO ledgers (ledger, origin, scratch, created) VALUES ($1, $2, $3, $4)";
pub(super) const LEDGER_READ: &str = "SELECT ledger, origin, scratch, created FROM ledgers WHERE ledger = $1";
pub(super) const LEDGERS_READ: &str = "SELECT ledger, origin, scratch, created FROM ledgers ORDER BY ledger";

/// For Postgres alone, where servers share a database and with it lists; on SQLite a list is a file.
pub(super) const LIST_CHUNK_INSERT: &str = "INSERT INTO list_chunks (ledger, version, chunk, tokens) \
     VALUES ($1, $2, $3, $4) ON CONFLICT (ledger, version, chunk) DO NOTHING";
pub(super) const LIST_CHUNK: &str = "SELECT tokens FROM list_chunks WHERE ledger = $1 AND version = $2 AND chunk = $3";

/// Statements that both engines run as they stand.
#[cfg(test)]
pub(super) const SHARED: &[&str] = &[
    HEAD_READ,
    HEAD_FENCE,
    ENTRIES_FROM,
    ENTRIES_COUNT,
    ENTRY_WITH_PARTS,
    PAYLOADS_FROM,
    FIRST_PARTS_FROM,
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
    SECRET_REWRAP,
    DEKS_PAGE,
    DEK_REWRAP,
    KEYS_REMAINING,
    PRINCIPAL_INSERT,
    PRINCIPAL_REVOKE,
    PRINCIPALS_READ,
    LEDGER_INSERT,
    LEDGER_READ,
    LEDGERS_READ,
];

/// Bulk statements for SQLite. `$2` is the number of rows, `$3` their heads, `$4` the body. The table `series` counts them: a
/// recursive query would queue every number through a table of its own, which costs more than the row.
pub(super) mod sqlite {
    /// One append in one text, so that it is one message to the connection's thread: `$head` creates or moves the head, and
    /// rows go in only behind the head it made. `$4` is the position of the first entry.
    macro_rules! append_text {
        ($head:literal, $end:literal) => {
            concat!(
                $head,
                "INSERT INTO entries (ledger, position, entry) SELECT $1, $4 + r.i, \
                 substr($5, CAST(substr($3, r.i * 40 + 1, 20) AS INTEGER), CAST(substr($3, r.i * 40 + 21, 20) AS INTEGER)) \
                 FROM series r WHERE r.i < $2 AND (SELECT leaf = $12 FROM heads WHERE ledger = $1); \
                 INSERT INTO payloads (ledger, slot, sealed) SELECT $1, CAST(substr($7, r.i * 60 + 1, 20) AS INTEGER), \
                 substr($8, CAST(substr($7, r.i * 60 + 21, 20) AS INTEGER), CAST(substr($7, r.i * 60 + 41, 20) AS INTEGER)) \
                 FROM series r WHERE r.i < $6 AND (SELECT leaf = $12 FROM heads WHERE ledger = $1); \
                 INSERT INTO subtrees (ledger, number, hash) SELECT $1, CAST(substr($10, r.i * 52 + 1, 20) AS INTEGER), \
                 substr($10, r.i * 52 + 21, 32) \
                 FROM series r WHERE r.i < $9 AND (SELECT leaf = $12 FROM heads WHERE ledger = $1)",
                $end
            )
        };
    }
    pub(in crate::store) const APPEND_FIRST: &str = append_text!(
        "BEGIN IMMEDIATE; INSERT INTO heads (ledger, size, leaf, recorded, epoch) VALUES ($1, $11, $12, $13, $16); ",
        "; COMMIT"
    );
    pub(in crate::store) const APPEND: &str = append_text!(
        "BEGIN IMMEDIATE; UPDATE heads SET size = $11, leaf = $12, recorded = $13 \
         WHERE ledger = $1 AND size = $14 AND leaf = $15 AND epoch = $16; ",
        "; COMMIT"
    );
    /// The beginning of an append whose rows do not fit into one text; `APPEND_MORE` and a `COMMIT` follow.
    pub(in crate::store) const APPEND_LARGE: &str = append_text!(
        "BEGIN IMMEDIATE; UPDATE heads SET size = $11, leaf = $12, recorded = $13 \
         WHERE ledger = $1 AND size = $14 AND leaf = $15 AND epoch = $16; ",
        ""
    );
    pub(in crate::store) const APPEND_MORE: &str = append_text!("", "");
    /// By their keys, one row a question (`lookup`).
    pub(in crate::store) const ENTRY_AT: &str =
        "SELECT position, entry FROM entries WHERE ledger = $1 AND position = $2";
    /// The plus keeps the planner from indexing the whole table by ledger for one question.
    pub(in crate::store) const PART_AT: &str = "SELECT slot, sealed FROM payloads WHERE +ledger = $1 AND slot = $2";
    /// With the number of the question before the key.
    pub(in crate::store) const DEK_AT: &str = "SELECT $1, key_id, epoch, wrapped FROM deks \
         WHERE ledger = $2 AND owner = $3 AND class = $4 AND quarter = $5";
    /// Rows of 132 bytes: owner 16, class 20, quarter 20, key id 16, epoch 20, then where the wrapped key stands in the body.
    pub(in crate::store) const DEKS_INSERT: &str = "INSERT INTO deks (ledger, owner, class, quarter, key_id, epoch, wrapped) SELECT $1, substr($3, i * 132 + 1, 16), \
         CAST(substr($3, i * 132 + 17, 20) AS INTEGER), CAST(substr($3, i * 132 + 37, 20) AS INTEGER), \
         substr($3, i * 132 + 57, 16), CAST(substr($3, i * 132 + 73, 20) AS INTEGER), \
         substr($4, CAST(substr($3, i * 132 + 93, 20) AS INTEGER), CAST(substr($3, i * 132 + 113, 20) AS INTEGER)) FROM series r WHERE i < $2 \
         ON CONFLICT (ledger, owner, class, quarter) DO NOTHING";
    pub(in crate::store) const DEKS_DELETE: &str = "DELETE FROM deks WHERE ledger = $1 AND (owner, class, quarter) IN (SELECT substr($3, i * 56 + 1, 16), \
         CAST(substr($3, i * 56 + 17, 20) AS INTEGER), CAST(substr($3, i * 56 + 37, 20) AS INTEGER) \
         FROM series r WHERE i < $2)";
    pub(in crate::store) const PAYLOADS_DELETE: &str = "DELETE FROM payloads WHERE ledger = $1 AND slot IN \
         (SELECT CAST(substr($3, i * 20 + 1, 20) AS INTEGER) FROM series r WHERE i < $2)";

    /// Statements that stand alone; the tests append to prepare the others.
    #[cfg(test)]
    pub(in crate::store) const ALL: &[&str] = &[ENTRY_AT, PART_AT, DEK_AT, DEKS_INSERT, DEKS_DELETE, PAYLOADS_DELETE];
}

/// Bulk statements for Postgres, with one array a column.
pub(super) mod postgres {
    /// One append in one statement, so that it is one round trip and one commit: the head is created or moved first, and rows
    /// go in only if it was. Answers how many heads moved: one or none.
    macro_rules! append_text {
        ($head:literal) => {
            concat!(
                "WITH moved AS (",
                $head,
                " RETURNING 1), \
                 entry_rows AS (INSERT INTO entries (ledger, position, entry, dedupe, subject, sequence) SELECT $1, r.* \
                 FROM UNNEST($8::bigint[], $9::bytea[], $10::bytea[], $11::bytea[], $12::bigint[]) AS r \
                 WHERE EXISTS (SELECT FROM moved)), \
                 payload_rows AS (INSERT INTO payloads (ledger, slot, sealed) SELECT $1, r.* \
                 FROM UNNEST($13::bigint[], $14::bytea[]) AS r WHERE EXISTS (SELECT FROM moved)), \
                 subtree_rows AS (INSERT INTO subtrees (ledger, number, hash) SELECT $1, r.* \
                 FROM UNNEST($15::bigint[], $16::bytea[]) AS r WHERE EXISTS (SELECT FROM moved)) \
                 SELECT COUNT(*) FROM moved"
            )
        };
    }
    pub(in crate::store) const APPEND_FIRST: &str = append_text!(
        "INSERT INTO heads (ledger, size, leaf, recorded, epoch) SELECT $1, $2, $3, $4, $7 \
         WHERE $5::bigint IS NULL AND $6::bytea IS NULL"
    );
    /// Lock and move the head before any row is written: two writers that share a head would each produce a valid link and
    /// fork the chain.
    pub(in crate::store) const APPEND: &str = append_text!(
        "UPDATE heads SET size = $2, leaf = $3, recorded = $4 WHERE ledger = $1 AND size = $5 AND leaf = $6 AND epoch = $7"
    );
    pub(in crate::store) const ENTRIES_AT: &str = "SELECT position, entry FROM entries \
         WHERE ledger = $1 AND position = ANY($2::bigint[])";
    /// A look into the keys' index for each row, as `DEKS_AT`.
    pub(in crate::store) const PARTS_AT: &str = "SELECT w.slot, w.sealed FROM UNNEST($2::bigint[]) AS r(slot) \
         CROSS JOIN LATERAL (SELECT slot, sealed FROM payloads WHERE ledger = $1 AND slot = r.slot LIMIT 1) AS w";
    pub(in crate::store) const ENTRY_COLUMNS: &str = "SELECT position, dedupe, subject, sequence FROM entries \
         WHERE ledger = $1 AND position >= $2 AND position < $3 ORDER BY position";
    pub(in crate::store) const DEKS_INSERT: &str = "INSERT INTO deks (ledger, owner, class, quarter, key_id, epoch, wrapped) \
         SELECT $1, * FROM UNNEST($2::bytea[], $3::bigint[], $4::bigint[], $5::bytea[], $6::bigint[], $7::bytea[]) \
         ON CONFLICT (ledger, owner, class, quarter) DO NOTHING";
    /// A look into the key's index for each row: as a join, without fresh statistics, Postgres reads the whole table instead.
    pub(in crate::store) const DEKS_AT: &str = "SELECT r.i, d.key_id, d.epoch, d.wrapped \
         FROM UNNEST($2::bigint[], $3::bytea[], $4::bigint[], $5::bigint[]) AS r(i, owner, class, quarter) \
         CROSS JOIN LATERAL (SELECT key_id, epoch, wrapped FROM deks WHERE ledger = $1 AND owner = r.owner \
         AND class = r.class AND quarter = r.quarter LIMIT 1) AS d";
    pub(in crate::store) const DEKS_DELETE: &str = "DELETE FROM deks d \
         USING UNNEST($2::bytea[], $3::bigint[], $4::bigint[]) AS r(owner, class, quarter) \
         WHERE d.ledger = $1 AND d.owner = r.owner AND d.class = r.class AND d.quarter = r.quarter";
    pub(in crate::store) const PAYLOADS_DELETE: &str = "DELETE FROM payloads \
         WHERE ledger = $1 AND slot = ANY($2::bigint[])";

    #[cfg(test)]
    pub(in crate::store) const ALL: &[&str] = &[
        APPEND_FIRST,
        APPEND,
        ENTRIES_AT,
        PARTS_AT,
        ENTRY_COLUMNS,
        DEKS_INSERT,
        DEKS_AT,
        DEKS_DELETE,
        PAYLOADS_DELETE,
        super::LIST_CHUNK_INSERT,
        super::LIST_CHUNK,
    ];
}
