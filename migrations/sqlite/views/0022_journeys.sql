-- What attribution needs of each person, by projection journeys.
CREATE TABLE journey_steps (
    ledger     BLOB NOT NULL,
    generation INTEGER NOT NULL,
    subject    BLOB NOT NULL, -- zeros: of nobody
    position   INTEGER NOT NULL,
    step       INTEGER NOT NULL,
    occurred   INTEGER NOT NULL,
    recorded   INTEGER NOT NULL,
    micros     INTEGER NOT NULL, -- earned, or taken back below zero
    target     INTEGER NOT NULL, -- position annulled or corrected; -1: none
    channel    TEXT NOT NULL,
    mark       TEXT NOT NULL,
    campaign   TEXT NOT NULL,
    seller     TEXT NOT NULL,
    currency   TEXT NOT NULL, -- '---' where there is no money
    record     BLOB NOT NULL, -- keyed hash of the sale, call or message; zeros: none
    PRIMARY KEY (ledger, generation, subject, position)
) WITHOUT ROWID;
-- What speaks of other rows is read before them. Few rows do.
CREATE INDEX journey_steps_aside ON journey_steps (ledger, generation, position) WHERE step >= 6 OR target >= 0;
