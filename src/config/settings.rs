//! Every setting, once.

/// A setting.
#[derive(Debug)]
pub struct Setting {
    /// `section.name`, as in the file.
    pub key: &'static str,
    /// Value when nobody says otherwise.
    pub default: &'static str,
    /// What it does.
    pub what: &'static str,
    /// Whether its value is never shown.
    pub secret: bool,
    /// Says what a value must be when it does not fit.
    pub check: fn(&str) -> Result<(), &'static str>,
}

impl Setting {
    /// Its environment variable: `server.listen` is `TALLYSTICK_SERVER_LISTEN`.
    pub fn variable(&self) -> String {
        format!("TALLYSTICK_{}", self.key.replace('.', "_").to_ascii_uppercase())
    }
}

fn any(_: &str) -> Result<(), &'static str> {
    Ok(())
}

fn number(value: &str) -> Result<(), &'static str> {
    match value.parse::<usize>() {
        Ok(1..) => Ok(()),
        Ok(0) | Err(_) => Err("must be a whole number above 0"),
    }
}

fn switch(value: &str) -> Result<(), &'static str> {
    if matches!(value, "true" | "false") { Ok(()) } else { Err("must be true or false") }
}

fn address(value: &str) -> Result<(), &'static str> {
    let parsed = value.parse::<std::net::SocketAddr>();
    if parsed.is_ok() || value.starts_with("localhost:") { Ok(()) } else { Err("must be HOST:PORT") }
}

fn database(value: &str) -> Result<(), &'static str> {
    let fits = value.is_empty() || value.starts_with("postgres://") || value.starts_with("postgresql://");
    if fits { Ok(()) } else { Err("must be a postgres:// URL, or empty for SQLite") }
}

fn provider(value: &str) -> Result<(), &'static str> {
    if matches!(value, "file" | "environment" | "command") {
        Ok(())
    } else {
        Err("must be file, environment or command")
    }
}

fn log_format(value: &str) -> Result<(), &'static str> {
    if matches!(value, "text" | "json") { Ok(()) } else { Err("must be text or json") }
}

const fn setting(
    key: &'static str,
    default: &'static str,
    check: fn(&str) -> Result<(), &'static str>,
    what: &'static str,
) -> Setting {
    Setting { key, default, what, secret: false, check }
}

const fn secret(key: &'static str, check: fn(&str) -> Result<(), &'static str>, what: &'static str) -> Setting {
    Setting { key, default: "", what, secret: true, check }
}

/// All settings in the order of `config show`.
pub const SETTINGS: &[Setting] = &[
    setting("server.listen", "127.0.0.1:8480", address, "address to serve on; loopback unless you say otherwise"),
    secret("database.url", database, "Postgres URL; empty keeps the ledger in SQLite in the data directory"),
    setting("keys.provider", "file", provider, "where the key-encryption key comes from: file, environment or command"),
    setting("keys.file", "", any, "key file; empty is kek in the data directory"),
    secret("keys.value", any, "the key itself, for the provider environment (set TALLYSTICK_KEYS_VALUE)"),
    setting("keys.command", "", any, "program and arguments that wrap and unwrap, for the provider command"),
    setting("archive.url", "", any, "folder or file:// URL of the archive; empty is none"),
    setting("log.public", "true", switch, "serve checkpoints and hash tiles without a key"),
    setting("limits.body_bytes", "8388608", number, "largest request body"),
    setting("limits.batch_events", "5000", number, "most events of one request"),
    setting("limits.event_bytes", "65535", number, "largest event as received"),
    setting("limits.nesting", "32", number, "deepest JSON"),
    setting("limits.queue_requests", "1024", number, "most requests waiting for a ledger"),
    setting("limits.histories_bytes", "1073741824", number, "memory for folded histories of one ledger's people"),
    setting("telemetry.format", "text", log_format, "log lines as text or json"),
    setting("telemetry.level", "info", any, "log filter, as tracing's EnvFilter reads it"),
];
