-- Keys of one ledger, all wrapped under the key-encryption key. Never part of an event backup.
CREATE TABLE deks (
    ledger  BLOB    NOT NULL,
    owner   BLOB    NOT NULL, -- subject, item, or 16 zero bytes for none
    class   INTEGER NOT NULL, -- retention class code
    quarter INTEGER NOT NULL, -- recorded quarter: year * 4 + quarter - 1
    key_id  BLOB    NOT NULL, -- fingerprint of the key, as entries cite it
    epoch   INTEGER NOT NULL, -- KEK epoch that wraps it
    wrapped BLOB    NOT NULL,
    PRIMARY KEY (ledger, owner, class, quarter)
) WITHOUT ROWID;

CREATE TABLE secrets (
    ledger  BLOB    NOT NULL,
    name    TEXT    NOT NULL,
    version INTEGER NOT NULL,
    epoch   INTEGER NOT NULL,
    wrapped BLOB    NOT NULL,
    PRIMARY KEY (ledger, name, version)
) WITHOUT ROWID;

CREATE TABLE api_keys (
    ledger    BLOB    NOT NULL,
    principal BLOB    NOT NULL, -- opaque id, as entries name their actor
    hash      BLOB    NOT NULL, -- keyed hash of the key; the key itself is shown once and never stored
    role      TEXT    NOT NULL,
    label     TEXT    NOT NULL,
    created   INTEGER NOT NULL,
    revoked   INTEGER,
    PRIMARY KEY (ledger, principal)
) WITHOUT ROWID;

CREATE TABLE ledgers (
    ledger  BLOB    NOT NULL PRIMARY KEY,
    origin  TEXT    NOT NULL,
    scratch INTEGER NOT NULL,
    created INTEGER NOT NULL
) WITHOUT ROWID;

-- Counts the rows of a bulk statement: SQLite has no arrays, and a recursive query queues every number through a table of
-- its own. Bulk statements are cut into runs of as many rows (src/store/pack.rs).
CREATE TABLE series (i INTEGER PRIMARY KEY);
INSERT INTO series WITH RECURSIVE r(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM r WHERE i < 4095) SELECT i FROM r;
