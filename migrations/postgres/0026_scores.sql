-- Scores of leads, by projection scores.
CREATE TABLE views.scores (
    ledger     BYTEA NOT NULL,
    generation BIGINT NOT NULL,
    subject    BYTEA NOT NULL,
    position   BIGINT NOT NULL,
    occurred   BIGINT NOT NULL,
    recorded   BIGINT NOT NULL,
    points     BIGINT NOT NULL,
    chance     BIGINT NOT NULL, -- probability in billionths; -1: none
    aside      BIGINT NOT NULL, -- 1: a challenger's, nobody acted on it
    model      TEXT NOT NULL,
    version    TEXT NOT NULL,
    band       TEXT NOT NULL,
    campaign   TEXT NOT NULL,
    PRIMARY KEY (ledger, generation, subject, position)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON views.scores TO tallystick_appender;
