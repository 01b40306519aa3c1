-- Billable events, prices, returns and documents, by projection billing.
CREATE TABLE views.billing_acts (
    ledger     BYTEA NOT NULL,
    generation BIGINT NOT NULL,
    position   BIGINT NOT NULL,
    act        BIGINT NOT NULL,
    target     BIGINT NOT NULL, -- position priced, judged or undone; of a document: the size of the log it was drawn from; -1: none
    day        BIGINT NOT NULL, -- accounting day; of a document: the last day billed
    amount     BIGINT NOT NULL, -- micro-units added to the receivable; of a document: its total
    covered    BIGINT NOT NULL, -- of a price: what posted revenue had booked of it; of a document: the day it is due
    recorded   BIGINT NOT NULL,
    currency   TEXT NOT NULL, -- '---' where there is no money
    seller     TEXT NOT NULL,
    rule       TEXT NOT NULL,
    pack       TEXT NOT NULL, -- digest of the contract
    record     BYTEA NOT NULL, -- keyed hash of the sale; zeros: none
    PRIMARY KEY (ledger, generation, position, act)
);
CREATE INDEX billing_acts_target ON views.billing_acts (ledger, generation, target, act) WHERE target >= 0;
CREATE INDEX billing_acts_record ON views.billing_acts (ledger, generation, record, act);
CREATE INDEX billing_acts_seller ON views.billing_acts (ledger, generation, act, seller, day);
GRANT SELECT, INSERT, UPDATE, DELETE ON views.billing_acts TO tallystick_appender;
