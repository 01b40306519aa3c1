-- Run at every start by the owner, before the numbered migrations: their bookkeeping table needs a schema to live in.
CREATE SCHEMA IF NOT EXISTS log;
CREATE SCHEMA IF NOT EXISTS vault;
CREATE SCHEMA IF NOT EXISTS views;
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tallystick_appender') THEN
        CREATE ROLE tallystick_appender NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tallystick_shredder') THEN
        CREATE ROLE tallystick_shredder NOLOGIN;
    END IF;
    EXECUTE format('GRANT tallystick_appender, tallystick_shredder TO %I', current_user);
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL; -- another server made them a moment ago
END $$;
