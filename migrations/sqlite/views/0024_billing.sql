-- Billable events, prices, returns and documents, by projection billing.
CREATE TABLE billing_acts (
    ledger     BLOB NOT NULL,
    generation INTEGER NOT NULL,
    position   INTEGER NOT NULL,
    act        INTEGER NOT NULL,
    target     INTEGER NOT NULL, -- position priced, judged or undone; of a document: the size of the log it was drawn from; -1: none
    day        INTEGER NOT NULL, -- accounting day; of a document: the last day billed
    amount     INTEGER NOT NULL, -- micro-units added to the receivable; of a document: its total
    covered    INTEGER NOT NULL, -- of a price: what posted revenue had booked of it; of a document: the day it is due
    recorded   INTEGER NOT NULL,
    currency   TEXT NOT NULL, -- '---' where there is no money
    seller     TEXT NOT NULL,
    rule       TEXT NOT NULL,
    pack       TEXT NOT NULL, -- digest of the contract
    record     BLOB NOT NULL, -- keyed hash of the sale; zeros: none
    PRIMARY KEY (ledger, generation, position, act)
) WITHOUT ROWID;
CREATE INDEX billing_acts_target ON billing_acts (ledger, generation, target, act) WHERE target >= 0;
CREATE INDEX billing_acts_record ON billing_acts (ledger, generation, record, act);
CREATE INDEX billing_acts_seller ON billing_acts (ledger, generation, act, seller, day);
