-- The log of one ledger. Nobody updates or deletes an entry; retention and erasure alone delete payloads.
-- WITHOUT ROWID for small rows: one b-tree a table, keyed as every table of the project is, with the ledger first.
CREATE TABLE heads (
    ledger   BLOB    NOT NULL PRIMARY KEY, -- 16 bytes
    size     INTEGER NOT NULL,             -- entries in the log
    leaf     BLOB    NOT NULL,             -- leaf hash of the last entry
    recorded INTEGER NOT NULL,             -- recorded time of the last entry, UTC microseconds
    epoch    INTEGER NOT NULL              -- fencing number of the lease that may append
) WITHOUT ROWID;

-- A rowid table whose key is the position: SQLite appends to it without rebalancing pages, and inner nodes hold keys only
-- (WITHOUT ROWID would keep whole rows in them). The file holds one ledger, so its id need not lead the key.
CREATE TABLE entries (
    ledger   BLOB    NOT NULL,
    position INTEGER NOT NULL PRIMARY KEY,
    entry    BLOB    NOT NULL -- deterministic CBOR, hashed as stored
);

CREATE TABLE payloads (
    ledger BLOB    NOT NULL,
    slot   INTEGER NOT NULL PRIMARY KEY, -- position * 256 + index in the entry's list of parts
    sealed BLOB    NOT NULL
);

-- Hash of each complete subtree of 256 leaves, so that a start reads 1/256 of the log to know the whole tree.
CREATE TABLE subtrees (
    ledger BLOB    NOT NULL,
    number INTEGER NOT NULL, -- covers leaves [256 * number, 256 * number + 256)
    hash   BLOB    NOT NULL,
    PRIMARY KEY (ledger, number)
) WITHOUT ROWID;

CREATE TABLE leases (
    ledger  BLOB    NOT NULL PRIMARY KEY,
    holder  TEXT    NOT NULL,
    epoch   INTEGER NOT NULL,
    expires INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE checkpoints (
    ledger BLOB    NOT NULL,
    size   INTEGER NOT NULL,
    note   TEXT    NOT NULL,
    PRIMARY KEY (ledger, size)
) WITHOUT ROWID;

-- Counts the rows of a bulk statement: SQLite has no arrays, and a recursive query queues every number through a table of
-- its own. Bulk statements are cut into runs of as many rows (src/store/pack.rs).
CREATE TABLE series (i INTEGER PRIMARY KEY);
INSERT INTO series WITH RECURSIVE r(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM r WHERE i < 4095) SELECT i FROM r;

-- Defence in depth: safety comes from the chain, this only turns an accident into an error.
CREATE TRIGGER entries_no_update BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'entries are append-only'); END;
CREATE TRIGGER entries_no_delete BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'entries are append-only'); END;
CREATE TRIGGER payloads_no_update BEFORE UPDATE ON payloads BEGIN SELECT RAISE(ABORT, 'payloads are never changed'); END;
