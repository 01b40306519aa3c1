-- From when on a statement of money_undone holds, in occurred time; the least number: at every instant.
ALTER TABLE money_undone ADD COLUMN since INTEGER NOT NULL DEFAULT -9223372036854775808;
