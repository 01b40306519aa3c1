-- What the service can do to the log: add to it. What it can never do: change or delete an entry.
GRANT USAGE ON SCHEMA log, vault, views TO tallystick_appender, tallystick_shredder;
GRANT SELECT, INSERT ON log.entries, log.payloads, log.subtrees, log.checkpoints TO tallystick_appender;
GRANT SELECT, INSERT, UPDATE ON log.heads, log.leases TO tallystick_appender;
GRANT SELECT, INSERT ON vault.deks, vault.secrets, vault.ledgers TO tallystick_appender;
GRANT SELECT, INSERT, UPDATE ON vault.api_keys TO tallystick_appender;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA views TO tallystick_appender;
GRANT CREATE ON SCHEMA views TO tallystick_appender;
GRANT SELECT, DELETE ON log.payloads, vault.deks TO tallystick_shredder;
