-- Scores of leads, by projection scores.
CREATE TABLE scores (
    ledger     BLOB NOT NULL,
    generation INTEGER NOT NULL,
    subject    BLOB NOT NULL,
    position   INTEGER NOT NULL,
    occurred   INTEGER NOT NULL,
    recorded   INTEGER NOT NULL,
    points     INTEGER NOT NULL,
    chance     INTEGER NOT NULL, -- probability in billionths; -1: none
    aside      INTEGER NOT NULL, -- 1: a challenger's, nobody acted on it
    model      TEXT NOT NULL,
    version    TEXT NOT NULL,
    band       TEXT NOT NULL,
    campaign   TEXT NOT NULL,
    PRIMARY KEY (ledger, generation, subject, position)
) WITHOUT ROWID;
