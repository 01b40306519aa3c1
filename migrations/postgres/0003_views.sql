-- Rows of projections of all ledgers of this database; columns are explained in the SQLite file of the same name.
CREATE TABLE views.cursors (
    ledger     BYTEA   NOT NULL,
    projection TEXT    NOT NULL,
    generation BIGINT NOT NULL,
    version    BIGINT NOT NULL,
    state      BIGINT NOT NULL,
    position   BIGINT NOT NULL,
    recorded   BIGINT NOT NULL,
    PRIMARY KEY (ledger, projection, generation)
);

CREATE TABLE views.parked (
    ledger     BYTEA   NOT NULL,
    generation BIGINT NOT NULL,
    projection TEXT    NOT NULL,
    position   BIGINT NOT NULL,
    reason     TEXT    NOT NULL,
    PRIMARY KEY (ledger, generation, projection, position)
);

CREATE TABLE views.consent_acts (
    ledger       BYTEA   NOT NULL,
    generation   BIGINT NOT NULL,
    subject      BYTEA   NOT NULL,
    position     BIGINT NOT NULL,
    line         BIGINT NOT NULL,
    act          BIGINT NOT NULL,
    channels     BIGINT NOT NULL,
    purposes     BIGINT NOT NULL,
    technologies BIGINT NOT NULL,
    flags        BIGINT NOT NULL,
    effective    BIGINT NOT NULL,
    occurred     BIGINT NOT NULL,
    recorded     BIGINT NOT NULL,
    valid_from   BIGINT NOT NULL,
    valid_until  BIGINT NOT NULL,
    target       BIGINT NOT NULL,
    seller       TEXT    NOT NULL,
    kind         TEXT    NOT NULL,
    method       TEXT    NOT NULL,
    record       BYTEA   NOT NULL,
    PRIMARY KEY (ledger, generation, subject, position, line)
);

CREATE TABLE views.money_dims (
    ledger     BYTEA   NOT NULL,
    generation BIGINT NOT NULL,
    id         BIGINT NOT NULL,
    campaign   TEXT    NOT NULL,
    channel    TEXT    NOT NULL,
    source     TEXT    NOT NULL,
    seller     TEXT    NOT NULL,
    vendor     TEXT    NOT NULL,
    PRIMARY KEY (ledger, generation, id)
);

CREATE TABLE views.money_lines (
    ledger     BYTEA   NOT NULL,
    generation BIGINT NOT NULL,
    position   BIGINT NOT NULL,
    line       BIGINT NOT NULL,
    origin     BIGINT NOT NULL,
    account    BIGINT NOT NULL,
    kind       BIGINT NOT NULL,
    amount     BIGINT NOT NULL,
    dims       BIGINT NOT NULL,
    day        BIGINT NOT NULL,
    occurred   BIGINT NOT NULL,
    recorded   BIGINT NOT NULL,
    currency   TEXT    NOT NULL,
    record     BYTEA   NOT NULL,
    PRIMARY KEY (ledger, generation, position, line)
);

CREATE TABLE views.money_records (
    ledger     BYTEA   NOT NULL,
    generation BIGINT NOT NULL,
    record     BYTEA   NOT NULL,
    position   BIGINT NOT NULL,
    dims       BIGINT NOT NULL,
    estimate   BIGINT NOT NULL,
    PRIMARY KEY (ledger, generation, record, position)
);

CREATE TABLE views.money_undone (
    ledger     BYTEA   NOT NULL,
    generation BIGINT NOT NULL,
    position   BIGINT NOT NULL,
    root       BIGINT NOT NULL,
    live       BIGINT NOT NULL,
    PRIMARY KEY (ledger, generation, position, root)
);
CREATE INDEX money_undone_root ON views.money_undone (ledger, generation, root, position);

CREATE TABLE views.money_daily (
    ledger     BYTEA   NOT NULL,
    generation BIGINT NOT NULL,
    day        BIGINT NOT NULL,
    dims       BIGINT NOT NULL,
    measure    BIGINT NOT NULL,
    currency   TEXT    NOT NULL,
    value      BIGINT NOT NULL,
    PRIMARY KEY (ledger, generation, day, dims, measure, currency)
);

CREATE TABLE views.health_daily (
    ledger     BYTEA   NOT NULL,
    generation BIGINT NOT NULL,
    day        BIGINT NOT NULL,
    event_type TEXT    NOT NULL,
    events     BIGINT NOT NULL,
    absent     BIGINT NOT NULL,
    PRIMARY KEY (ledger, generation, day, event_type)
);

CREATE TABLE views.health_last (
    ledger     BYTEA   NOT NULL,
    generation BIGINT NOT NULL,
    scope      BIGINT NOT NULL,
    name       TEXT    NOT NULL,
    position   BIGINT NOT NULL,
    recorded   BIGINT NOT NULL,
    events     BIGINT NOT NULL,
    PRIMARY KEY (ledger, generation, scope, name)
);

CREATE TABLE views.quarantine_items (
    ledger          BYTEA   NOT NULL,
    generation      BIGINT NOT NULL,
    position        BIGINT NOT NULL,
    bytes           BIGINT NOT NULL,
    problems        BIGINT NOT NULL,
    recorded        BIGINT NOT NULL,
    state           BIGINT NOT NULL,
    closed_position BIGINT NOT NULL,
    closed_recorded BIGINT NOT NULL,
    result          BIGINT NOT NULL,
    event           BYTEA   NOT NULL,
    pair            BYTEA   NOT NULL,
    reason          TEXT    NOT NULL,
    via             TEXT    NOT NULL,
    code            TEXT    NOT NULL,
    outcome         TEXT    NOT NULL,
    PRIMARY KEY (ledger, generation, position)
);
CREATE INDEX quarantine_items_state ON views.quarantine_items (ledger, generation, state, position);
