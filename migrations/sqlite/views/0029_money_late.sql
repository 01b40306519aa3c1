-- What happened in one period of 32 days and was recorded in another is found by when it happened; all else by where it stands.
DROP INDEX money_lines_occurred;
CREATE INDEX money_lines_late ON money_lines (ledger, generation, occurred)
    WHERE recorded / 2764800000000 <> occurred / 2764800000000;
