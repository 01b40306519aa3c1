-- What attribution needs of each person, by projection journeys.
CREATE TABLE views.journey_steps (
    ledger     BYTEA NOT NULL,
    generation BIGINT NOT NULL,
    subject    BYTEA NOT NULL, -- zeros: of nobody
    position   BIGINT NOT NULL,
    step       BIGINT NOT NULL,
    occurred   BIGINT NOT NULL,
    recorded   BIGINT NOT NULL,
    micros     BIGINT NOT NULL, -- earned, or taken back below zero
    target     BIGINT NOT NULL, -- position annulled or corrected; -1: none
    channel    TEXT NOT NULL,
    mark       TEXT NOT NULL,
    campaign   TEXT NOT NULL,
    seller     TEXT NOT NULL,
    currency   TEXT NOT NULL, -- '---' where there is no money
    record     BYTEA NOT NULL, -- keyed hash of the sale, call or message; zeros: none
    PRIMARY KEY (ledger, generation, subject, position)
);
-- What speaks of other rows is read before them. Few rows do.
CREATE INDEX journey_steps_aside ON views.journey_steps (ledger, generation, position) WHERE step >= 6 OR target >= 0;
GRANT SELECT, INSERT, UPDATE, DELETE ON views.journey_steps TO tallystick_appender;
