-- An annulment or correction is looked for by what it undoes. Few rows undo anything, so few stand here.
CREATE INDEX consent_targets ON consent_acts (ledger, generation, target) WHERE target >= 0;
