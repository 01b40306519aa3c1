-- Whose lead money is about: his pseudonym with each line, the state and the month of his lead among the names, and how a cost is to be spread over leads.
ALTER TABLE views.money_dims ADD COLUMN state TEXT NOT NULL DEFAULT '';
ALTER TABLE views.money_dims ADD COLUMN cohort TEXT NOT NULL DEFAULT '';
ALTER TABLE views.money_dims ADD COLUMN allocation TEXT NOT NULL DEFAULT '';
ALTER TABLE views.money_lines ADD COLUMN lead BYTEA NOT NULL DEFAULT decode('00000000000000000000000000000000', 'hex');
ALTER TABLE views.money_records ADD COLUMN lead BYTEA NOT NULL DEFAULT decode('00000000000000000000000000000000', 'hex');
-- What a contact leans on, by projection trails; in the order of the log, and sorted by person when it is read.
CREATE TABLE views.trail_acts (
    ledger     BYTEA NOT NULL,
    generation BIGINT NOT NULL,
    subject    BYTEA NOT NULL,
    position   BIGINT NOT NULL,
    act        BIGINT NOT NULL,
    occurred   BIGINT NOT NULL, -- of a decision: from when it may be used
    recorded   BIGINT NOT NULL,
    until      BIGINT NOT NULL, -- of a decision: until when it may be used
    channels   BIGINT NOT NULL, -- bits; 0: none said
    granted    BIGINT NOT NULL, -- position of the consent that a decision rests on; -1: none
    purpose    TEXT NOT NULL,
    seller     TEXT NOT NULL,
    decision   BYTEA NOT NULL, -- id of the decision, or of the one that a contact names; zeros: none
    PRIMARY KEY (ledger, generation, position)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON views.trail_acts TO tallystick_appender;
