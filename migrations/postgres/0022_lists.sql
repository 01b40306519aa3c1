-- Versions of lists, for every server of the database: sorted tokens in pieces, immutable. On SQLite they are files.
CREATE TABLE log.list_chunks (
    ledger  BYTEA  NOT NULL,
    version BYTEA  NOT NULL,
    chunk   BIGINT NOT NULL,
    tokens  BYTEA  NOT NULL,
    PRIMARY KEY (ledger, version, chunk)
);
GRANT SELECT, INSERT ON log.list_chunks TO tallystick_appender;
