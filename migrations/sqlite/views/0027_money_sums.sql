-- Sums of the lines by accounting day, and by 32 days, for each pair of 32 days in which lines were recorded and had occurred: a question of any two
-- instants adds up rows and reads the lines of two broken periods alone.
CREATE TABLE money_sums (
    ledger     BLOB    NOT NULL,
    generation INTEGER NOT NULL,
    span       INTEGER NOT NULL, -- accounting days that the row sums, 1 or 32
    day        INTEGER NOT NULL, -- the first of them, since 1970-01-01
    dims       INTEGER NOT NULL,
    measure    INTEGER NOT NULL,
    currency   TEXT    NOT NULL, -- '---' for counts
    known      INTEGER NOT NULL, -- period of 32 days since 1970-01-01 in which the lines were recorded
    since      INTEGER NOT NULL, -- and in which they had occurred
    value      INTEGER NOT NULL,
    PRIMARY KEY (ledger, generation, span, day, dims, measure, currency, known, since)
) WITHOUT ROWID;
-- Where the lines recorded in a period begin.
CREATE TABLE money_periods (
    ledger     BLOB    NOT NULL,
    generation INTEGER NOT NULL,
    known      INTEGER NOT NULL,
    first      INTEGER NOT NULL, -- position
    PRIMARY KEY (ledger, generation, known)
) WITHOUT ROWID;
CREATE INDEX money_lines_occurred ON money_lines (ledger, generation, occurred);
INSERT INTO money_sums (ledger, generation, span, day, dims, measure, currency, known, since, value)
    SELECT ledger, generation, 1, day, dims, account, currency,
        (recorded - CASE WHEN recorded < 0 THEN 2764799999999 ELSE 0 END) / 2764800000000,
        (occurred - CASE WHEN occurred < 0 THEN 2764799999999 ELSE 0 END) / 2764800000000,
        CAST(SUM(CASE WHEN account < 300 THEN -amount ELSE amount END) AS BIGINT)
    FROM money_lines WHERE account >= 100 GROUP BY 1, 2, 4, 5, 6, 7, 8, 9;
INSERT INTO money_sums (ledger, generation, span, day, dims, measure, currency, known, since, value)
    SELECT ledger, generation, 32, (day - CASE WHEN day < 0 THEN 31 ELSE 0 END) / 32 * 32, dims, measure, currency, known, since,
        CAST(SUM(value) AS BIGINT)
    FROM money_sums GROUP BY 1, 2, 4, 5, 6, 7, 8, 9;
INSERT INTO money_periods (ledger, generation, known, first)
    SELECT ledger, generation, (recorded - CASE WHEN recorded < 0 THEN 2764799999999 ELSE 0 END) / 2764800000000, MIN(position)
    FROM money_lines GROUP BY 1, 2, 3;
DROP TABLE money_daily;
