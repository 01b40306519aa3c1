-- Sums of the lines by accounting day, and by 32 days, for each pair of 32 days in which lines were recorded and had occurred: a question of any two
-- instants adds up rows and reads the lines of two broken periods alone.
CREATE TABLE views.money_sums (
    ledger     BYTEA  NOT NULL,
    generation BIGINT NOT NULL,
    span       BIGINT NOT NULL, -- accounting days that the row sums, 1 or 32
    day        BIGINT NOT NULL, -- the first of them, since 1970-01-01
    dims       BIGINT NOT NULL,
    measure    BIGINT NOT NULL,
    currency   TEXT    NOT NULL, -- '---' for counts
    known      BIGINT NOT NULL, -- period of 32 days since 1970-01-01 in which the lines were recorded
    since      BIGINT NOT NULL, -- and in which they had occurred
    value      BIGINT NOT NULL,
    PRIMARY KEY (ledger, generation, span, day, dims, measure, currency, known, since)
);
-- Where the lines recorded in a period begin.
CREATE TABLE views.money_periods (
    ledger     BYTEA  NOT NULL,
    generation BIGINT NOT NULL,
    known      BIGINT NOT NULL,
    first      BIGINT NOT NULL, -- position
    PRIMARY KEY (ledger, generation, known)
);
CREATE INDEX money_lines_occurred ON views.money_lines (ledger, generation, occurred);
INSERT INTO views.money_sums (ledger, generation, span, day, dims, measure, currency, known, since, value)
    SELECT ledger, generation, 1, day, dims, account, currency,
        (recorded - CASE WHEN recorded < 0 THEN 2764799999999 ELSE 0 END) / 2764800000000,
        (occurred - CASE WHEN occurred < 0 THEN 2764799999999 ELSE 0 END) / 2764800000000,
        CAST(SUM(CASE WHEN account < 300 THEN -amount ELSE amount END) AS BIGINT)
    FROM views.money_lines WHERE account >= 100 GROUP BY 1, 2, 4, 5, 6, 7, 8, 9;
INSERT INTO views.money_sums (ledger, generation, span, day, dims, measure, currency, known, since, value)
    SELECT ledger, generation, 32, (day - CASE WHEN day < 0 THEN 31 ELSE 0 END) / 32 * 32, dims, measure, currency, known, since,
        CAST(SUM(value) AS BIGINT)
    FROM views.money_sums GROUP BY 1, 2, 4, 5, 6, 7, 8, 9;
INSERT INTO views.money_periods (ledger, generation, known, first)
    SELECT ledger, generation, (recorded - CASE WHEN recorded < 0 THEN 2764799999999 ELSE 0 END) / 2764800000000, MIN(position)
    FROM views.money_lines GROUP BY 1, 2, 3;
DROP TABLE views.money_daily;
GRANT SELECT, INSERT, UPDATE, DELETE ON views.money_sums, views.money_periods TO tallystick_appender;
