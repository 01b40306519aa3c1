-- Whose lead money is about: his pseudonym with each line, the state and the month of his lead among the names, and how a cost is to be spread over leads.
ALTER TABLE money_dims ADD COLUMN state TEXT NOT NULL DEFAULT '';
ALTER TABLE money_dims ADD COLUMN cohort TEXT NOT NULL DEFAULT '';
ALTER TABLE money_dims ADD COLUMN allocation TEXT NOT NULL DEFAULT '';
ALTER TABLE money_lines ADD COLUMN lead BLOB NOT NULL DEFAULT x'00000000000000000000000000000000';
ALTER TABLE money_records ADD COLUMN lead BLOB NOT NULL DEFAULT x'00000000000000000000000000000000';
-- What a contact leans on, by projection trails; in the order of the log, and sorted by person when it is read.
CREATE TABLE trail_acts (
    ledger     BLOB NOT NULL,
    generation INTEGER NOT NULL,
    subject    BLOB NOT NULL,
    position   INTEGER NOT NULL,
    act        INTEGER NOT NULL,
    occurred   INTEGER NOT NULL, -- of a decision: from when it may be used
    recorded   INTEGER NOT NULL,
    until      INTEGER NOT NULL, -- of a decision: until when it may be used
    channels   INTEGER NOT NULL, -- bits; 0: none said
    granted    INTEGER NOT NULL, -- position of the consent that a decision rests on; -1: none
    purpose    TEXT NOT NULL,
    seller     TEXT NOT NULL,
    decision   BLOB NOT NULL, -- id of the decision, or of the one that a contact names; zeros: none
    PRIMARY KEY (ledger, generation, position)
) WITHOUT ROWID;
