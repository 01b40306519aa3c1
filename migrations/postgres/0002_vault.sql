-- Keys of all ledgers of this database, wrapped under a key-encryption key that is never here.
CREATE TABLE vault.deks (
    ledger  BYTEA  NOT NULL,
    owner   BYTEA  NOT NULL,
    class   BIGINT NOT NULL,
    quarter BIGINT NOT NULL,
    key_id  BYTEA  NOT NULL,
    epoch   BIGINT NOT NULL,
    wrapped BYTEA  NOT NULL,
    PRIMARY KEY (ledger, owner, class, quarter)
);

CREATE TABLE vault.secrets (
    ledger  BYTEA  NOT NULL,
    name    TEXT   NOT NULL,
    version BIGINT NOT NULL,
    epoch   BIGINT NOT NULL,
    wrapped BYTEA  NOT NULL,
    PRIMARY KEY (ledger, name, version)
);

CREATE TABLE vault.api_keys (
    ledger    BYTEA  NOT NULL,
    principal BYTEA  NOT NULL,
    hash      BYTEA  NOT NULL,
    role      TEXT   NOT NULL,
    label     TEXT   NOT NULL,
    created   BIGINT NOT NULL,
    revoked   BIGINT,
    PRIMARY KEY (ledger, principal)
);

CREATE TABLE vault.ledgers (
    ledger  BYTEA  NOT NULL PRIMARY KEY,
    origin  TEXT   NOT NULL,
    scratch BIGINT NOT NULL,
    created BIGINT NOT NULL
);
