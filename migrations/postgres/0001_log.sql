-- The log of all ledgers of this database. The schemas log, vault and views exist before this runs (store/roles.rs).
CREATE TABLE log.heads (
    ledger   BYTEA  NOT NULL PRIMARY KEY,
    size     BIGINT NOT NULL,
    leaf     BYTEA  NOT NULL,
    recorded BIGINT NOT NULL,
    epoch    BIGINT NOT NULL
);

-- dedupe, subject and sequence repeat what the entry says, so that a fork, a second copy of an event or a second
-- "third event" of a person cannot even be stored, whatever a server believes.
CREATE TABLE log.entries (
    ledger   BYTEA  NOT NULL,
    position BIGINT NOT NULL,
    entry    BYTEA  NOT NULL,
    dedupe   BYTEA  NOT NULL,
    subject  BYTEA,
    sequence BIGINT,
    PRIMARY KEY (ledger, position),
    CONSTRAINT entries_dedupe UNIQUE (ledger, dedupe),
    CONSTRAINT entries_sequence UNIQUE (ledger, subject, sequence)
);
ALTER TABLE log.entries ALTER COLUMN entry SET STORAGE EXTERNAL;

CREATE TABLE log.payloads (
    ledger BYTEA  NOT NULL,
    slot   BIGINT NOT NULL, -- position * 256 + index in the entry's list of parts
    sealed BYTEA  NOT NULL,
    PRIMARY KEY (ledger, slot)
);
-- Sealed bytes do not compress; trying costs time.
ALTER TABLE log.payloads ALTER COLUMN sealed SET STORAGE EXTERNAL;

CREATE TABLE log.subtrees (
    ledger BYTEA  NOT NULL,
    number BIGINT NOT NULL,
    hash   BYTEA  NOT NULL,
    PRIMARY KEY (ledger, number)
);

CREATE TABLE log.leases (
    ledger  BYTEA  NOT NULL PRIMARY KEY,
    holder  TEXT   NOT NULL,
    epoch   BIGINT NOT NULL,
    expires BIGINT NOT NULL
);

CREATE TABLE log.checkpoints (
    ledger BYTEA  NOT NULL,
    size   BIGINT NOT NULL,
    note   TEXT   NOT NULL,
    PRIMARY KEY (ledger, size)
);

CREATE FUNCTION log.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'entries are append-only'; END $$;
CREATE TRIGGER entries_no_change BEFORE UPDATE OR DELETE ON log.entries FOR EACH STATEMENT EXECUTE FUNCTION log.refuse_change();
CREATE TRIGGER entries_no_truncate BEFORE TRUNCATE ON log.entries FOR EACH STATEMENT EXECUTE FUNCTION log.refuse_change();
