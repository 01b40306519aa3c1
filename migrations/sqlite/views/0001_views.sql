-- Rows of projections. All of it can be rebuilt from the log; nothing here is evidence.
-- generation: a rebuild writes beside the rows in use and swaps them by one row of cursors.
-- Times are UTC microseconds, money micro-units, days since 1970-01-01; codes are named in src/store/views/codes.rs.
CREATE TABLE cursors (
    ledger     BLOB    NOT NULL,
    projection TEXT    NOT NULL,
    generation INTEGER NOT NULL,
    version    INTEGER NOT NULL, -- of the folding code that wrote the rows
    state      INTEGER NOT NULL, -- 0 being built, 1 in use, 2 retired: rows are being deleted, 3 in use, older code's
    position   INTEGER NOT NULL, -- the next position to fold
    recorded   INTEGER NOT NULL, -- recorded time of the last entry folded, 0 before the first
    PRIMARY KEY (ledger, projection, generation)
) WITHOUT ROWID;

-- Entries that a projection could not fold. The reason is a code; no value stands here.
CREATE TABLE parked (
    ledger     BLOB    NOT NULL,
    generation INTEGER NOT NULL,
    projection TEXT    NOT NULL,
    position   INTEGER NOT NULL,
    reason     TEXT    NOT NULL,
    PRIMARY KEY (ledger, generation, projection, position)
) WITHOUT ROWID;

-- What persons agreed to and refused: a history, one row an act and seller. Purposes and channels are bit sets.
CREATE TABLE consent_acts (
    ledger       BLOB    NOT NULL,
    generation   INTEGER NOT NULL,
    subject      BLOB    NOT NULL,
    position     INTEGER NOT NULL,
    line         INTEGER NOT NULL,
    act          INTEGER NOT NULL,
    channels     INTEGER NOT NULL,
    purposes     INTEGER NOT NULL,
    technologies INTEGER NOT NULL,
    flags        INTEGER NOT NULL,
    effective    INTEGER NOT NULL, -- when it counts from; a revocation's receipt
    occurred     INTEGER NOT NULL,
    recorded     INTEGER NOT NULL,
    valid_from   INTEGER NOT NULL,
    valid_until  INTEGER NOT NULL, -- exclusive; largest number: no end
    target       INTEGER NOT NULL, -- position annulled, corrected or carried; -1: none
    seller       TEXT    NOT NULL, -- empty: every seller
    kind         TEXT    NOT NULL,
    method       TEXT    NOT NULL,
    record       BLOB    NOT NULL, -- keyed hash of the client's record id of the consent; empty: none
    PRIMARY KEY (ledger, generation, subject, position, line)
) WITHOUT ROWID;

CREATE TABLE money_dims (
    ledger     BLOB    NOT NULL,
    generation INTEGER NOT NULL,
    id         INTEGER NOT NULL, -- hash of the five names
    campaign   TEXT    NOT NULL,
    channel    TEXT    NOT NULL,
    source     TEXT    NOT NULL,
    seller     TEXT    NOT NULL,
    vendor     TEXT    NOT NULL,
    PRIMARY KEY (ledger, generation, id)
) WITHOUT ROWID;

-- The journal (accounts below 1000; debit positive, every event sums to zero in each currency) and counters (from 1000).
CREATE TABLE money_lines (
    ledger     BLOB    NOT NULL,
    generation INTEGER NOT NULL,
    position   INTEGER NOT NULL,
    line       INTEGER NOT NULL,
    origin     INTEGER NOT NULL, -- position whose effect this is; another one where it is undone or put back
    account    INTEGER NOT NULL,
    kind       INTEGER NOT NULL,
    amount     INTEGER NOT NULL,
    dims       INTEGER NOT NULL,
    day        INTEGER NOT NULL, -- accounting day
    occurred   INTEGER NOT NULL,
    recorded   INTEGER NOT NULL,
    currency   TEXT    NOT NULL, -- '---' for counters
    record     BLOB    NOT NULL, -- keyed hash of the sale or cost; zeros: none
    PRIMARY KEY (ledger, generation, position, line)
) WITHOUT ROWID;

CREATE TABLE money_records (
    ledger     BLOB    NOT NULL,
    generation INTEGER NOT NULL,
    record     BLOB    NOT NULL,
    position   INTEGER NOT NULL,
    dims       INTEGER NOT NULL,
    estimate   INTEGER NOT NULL,
    PRIMARY KEY (ledger, generation, record, position)
) WITHOUT ROWID;

-- From position on, root counts (live 1) or does not (0).
CREATE TABLE money_undone (
    ledger     BLOB    NOT NULL,
    generation INTEGER NOT NULL,
    position   INTEGER NOT NULL,
    root       INTEGER NOT NULL,
    live       INTEGER NOT NULL,
    PRIMARY KEY (ledger, generation, position, root)
) WITHOUT ROWID;
CREATE INDEX money_undone_root ON money_undone (ledger, generation, root, position);

-- The lines summed by accounting day, for questions that look from now.
CREATE TABLE money_daily (
    ledger     BLOB    NOT NULL,
    generation INTEGER NOT NULL,
    day        INTEGER NOT NULL,
    dims       INTEGER NOT NULL,
    measure    INTEGER NOT NULL,
    currency   TEXT    NOT NULL,
    value      INTEGER NOT NULL,
    PRIMARY KEY (ledger, generation, day, dims, measure, currency)
) WITHOUT ROWID;

CREATE TABLE health_daily (
    ledger     BLOB    NOT NULL,
    generation INTEGER NOT NULL,
    day        INTEGER NOT NULL, -- recorded day
    event_type TEXT    NOT NULL,
    events     INTEGER NOT NULL,
    absent     INTEGER NOT NULL, -- entries whose business part could not be opened
    PRIMARY KEY (ledger, generation, day, event_type)
) WITHOUT ROWID;

CREATE TABLE health_last (
    ledger     BLOB    NOT NULL,
    generation INTEGER NOT NULL,
    scope      INTEGER NOT NULL, -- 1 event type, 2 principal that posts
    name       TEXT    NOT NULL,
    position   INTEGER NOT NULL,
    recorded   INTEGER NOT NULL,
    events     INTEGER NOT NULL,
    PRIMARY KEY (ledger, generation, scope, name)
) WITHOUT ROWID;

CREATE TABLE quarantine_items (
    ledger          BLOB    NOT NULL,
    generation      INTEGER NOT NULL,
    position        INTEGER NOT NULL,
    bytes           INTEGER NOT NULL,
    problems        INTEGER NOT NULL,
    recorded        INTEGER NOT NULL,
    state           INTEGER NOT NULL,
    closed_position INTEGER NOT NULL, -- position of the last act on it; -1: none yet
    closed_recorded INTEGER NOT NULL,
    result          INTEGER NOT NULL, -- position that it became; -1: none
    event           BLOB    NOT NULL,
    pair            BLOB    NOT NULL, -- keyed hash of (source, id); empty: none
    reason          TEXT    NOT NULL,
    via             TEXT    NOT NULL,
    code            TEXT    NOT NULL, -- finer than the reason
    outcome         TEXT    NOT NULL,
    PRIMARY KEY (ledger, generation, position)
) WITHOUT ROWID;
CREATE INDEX quarantine_items_state ON quarantine_items (ledger, generation, state, position);

-- Counts the rows of a bulk statement: SQLite has no arrays, and a recursive query queues every number through a table of
-- its own. Bulk statements are cut into runs of as many rows (src/store/pack.rs).
CREATE TABLE series (i INTEGER PRIMARY KEY);
INSERT INTO series WITH RECURSIVE r(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM r WHERE i < 4095) SELECT i FROM r;
