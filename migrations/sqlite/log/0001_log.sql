-- The log of one ledger. Nobody updates or deletes an entry; retention and erasure alone delete payloads.
-- WITHOUT ROWID: one b-tree a table, keyed as every table of the project is, with the ledger first.
CREATE TABLE heads (
    ledger   BLOB    NOT NULL PRIMARY KEY, -- 16 bytes
    size     INTEGER NOT NULL,             -- entries in the log
    leaf     BLOB    NOT NULL,             -- leaf hash of the last entry
    recorded INTEGER NOT NULL,             -- recorded time of the last entry, UTC microseconds
    epoch    INTEGER NOT NULL              -- fencing number of the lease that may append
) WITHOUT ROWID;

CREATE TABLE entries (
    ledger   BLOB    NOT NULL,
    position INTEGER NOT NULL,
    entry    BLOB    NOT NULL, -- deterministic CBOR, hashed as stored
    PRIMARY KEY (ledger, position)
) WITHOUT ROWID;

CREATE TABLE payloads (
    ledger   BLOB    NOT NULL,
    position INTEGER NOT NULL,
    part     INTEGER NOT NULL, -- index in the entry's list of parts
    kind     INTEGER NOT NULL, -- 0 public, 1 business, 2 personal, 3 raw
    sealed   BLOB    NOT NULL,
    PRIMARY KEY (ledger, position, part)
) WITHOUT ROWID;

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

-- Defence in depth: safety comes from the chain, this only turns an accident into an error.
CREATE TRIGGER entries_no_update BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'entries are append-only'); END;
CREATE TRIGGER entries_no_delete BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'entries are append-only'); END;
CREATE TRIGGER payloads_no_update BEFORE UPDATE ON payloads BEGIN SELECT RAISE(ABORT, 'payloads are never changed'); END;
