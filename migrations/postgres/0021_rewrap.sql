-- Wrapping keys anew when the key-encryption key changes: the wrapping may be replaced, nothing else of a key.
GRANT SELECT ON vault.secrets TO tallystick_shredder;
GRANT UPDATE (epoch, wrapped) ON vault.deks, vault.secrets TO tallystick_shredder;
