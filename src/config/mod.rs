//! Configuration: flags over `TALLYSTICK_*` over `tallystick.toml` over defaults. The only reader of the environment.
//!
//! One table names every setting once; `config show` prints it with each value's source. Unknown keys are refused.
//! Modules receive values, never this.

pub mod keys;
mod settings;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use settings::{SETTINGS, Setting};

/// Name of the file in a data directory.
pub const FILE: &str = "tallystick.toml";

/// Where a value comes from, strongest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Built in.
    Default,
    /// `tallystick.toml` of the data directory.
    File,
    /// The environment.
    Environment,
    /// The command line.
    Flag,
}

impl Source {
    /// Its name in `config show`.
    pub fn name(self) -> &'static str {
        match self {
            Source::Default => "default",
            Source::File => "file",
            Source::Environment => "environment",
            Source::Flag => "flag",
        }
    }
}

/// Why a configuration cannot be used. Never echoes a secret value.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{path} is not TOML: {what}")]
    Toml {
        /// The file.
        path: PathBuf,
        /// The reader's reason.
        what: String,
    },
    /// A key that no setting has.
    #[error("{path}: unknown setting {key}")]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
    },
    /// A value that does not fit.
    #[error("setting {key} {what}")]
    Value {
        /// The setting.
        key: &'static str,
        /// What it must be.
        what: String,
    },
}

/// The effective configuration.
#[derive(Debug, Clone)]
pub struct Config {
    values: BTreeMap<&'static str, (String, Source)>,
}

impl Config {
    /// Reads the configuration for a data directory. `flags` are settings given on the command line.
    ///
    /// # Errors
    /// [`ConfigError`] for an unreadable file, an unknown key or a value that does not fit.
    pub fn load(folder: Option<&Path>, flags: &[(&'static str, String)]) -> Result<Config, ConfigError> {
        let mut values: BTreeMap<&'static str, (String, Source)> =
            SETTINGS.iter().map(|setting| (setting.key, (setting.default.to_owned(), Source::Default))).collect();
        if let Some(folder) = folder {
            for (key, value) in file_values(&folder.join(FILE))? {
                values.insert(key, (value, Source::File));
            }
        }
        for setting in SETTINGS {
            if let Some(value) = environment(&setting.variable()) {
                values.insert(setting.key, (value, Source::Environment));
            }
        }
        for (key, value) in flags {
            values.insert(key, (value.clone(), Source::Flag));
        }
        let config = Config { values };
        for setting in SETTINGS {
            (setting.check)(config.text(setting.key))
                .map_err(|what| ConfigError::Value { key: setting.key, what: what.to_owned() })?;
        }
        Ok(config)
    }

    /// A setting's text; empty when it has none.
    pub fn text(&self, key: &str) -> &str {
        self.values.get(key).map_or("", |(value, _)| value.as_str())
    }

    /// A setting's text, or `None` when it is empty.
    pub fn optional(&self, key: &str) -> Option<&str> {
        Some(self.text(key)).filter(|value| !value.is_empty())
    }

    /// A number that [`Config::load`] has checked.
    pub fn number(&self, key: &str) -> usize {
        self.text(key).parse().unwrap_or_default()
    }

    /// A switch that [`Config::load`] has checked.
    pub fn switch(&self, key: &str) -> bool {
        self.text(key) == "true"
    }

    /// Every setting with its value, secrets struck out, and its source.
    pub fn shown(&self) -> impl Iterator<Item = (&'static Setting, String, Source)> {
        SETTINGS.iter().map(|setting| {
            let (value, source) = self.values.get(setting.key).cloned().unwrap_or((String::new(), Source::Default));
            let value = if setting.secret && !value.is_empty() { "(set)".to_owned() } else { value };
            (setting, value, source)
        })
    }
}

/// A variable of the environment.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The system's folder for temporary files.
pub fn temporary_folder() -> PathBuf {
    std::env::temp_dir()
}

/// How this program was called, so that commands it prints work as printed.
pub fn program() -> String {
    std::env::current_exe().map_or_else(|_| "tallystick".to_owned(), |path| path.display().to_string())
}

fn file_values(path: &Path) -> Result<Vec<(&'static str, String)>, ConfigError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(ConfigError::Read { path: path.to_path_buf(), source }),
    };
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| ConfigError::Toml {
        path: path.to_path_buf(),
        what: error.message().to_owned(),
    })?;
    let mut values = Vec::new();
    for (section, content) in table {
        let unknown = |key: String| ConfigError::Unknown { path: path.to_path_buf(), key };
        let toml::Value::Table(content) = content else { return Err(unknown(section)) };
        for (name, value) in content {
            let key = format!("{section}.{name}");
            let setting = SETTINGS.iter().find(|setting| setting.key == key).ok_or_else(|| unknown(key))?;
            let text = match value {
                toml::Value::String(text) => text,
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Boolean(switch) => switch.to_string(),
                toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Array(_) | toml::Value::Table(_) => {
                    let what = "must be a string, a whole number or true/false".to_owned();
                    return Err(ConfigError::Value { key: setting.key, what });
                }
            };
            values.push((setting.key, text));
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_beat_the_file_and_the_file_beats_defaults() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), "[server]\nlisten = \"127.0.0.1:1\"\n[limits]\nbatch_events = 7\n")
            .unwrap();
        let config = Config::load(Some(folder.path()), &[("server.listen", "127.0.0.1:2".to_owned())]).unwrap();
        assert_eq!(config.text("server.listen"), "127.0.0.1:2");
        assert_eq!(config.number("limits.batch_events"), 7);
        assert_eq!(config.number("limits.nesting"), 32);
    }

    #[test]
    fn unknown_keys_and_unfit_values_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), "[server]\nlisten_on = \"x\"\n").unwrap();
        assert!(matches!(Config::load(Some(folder.path()), &[]), Err(ConfigError::Unknown { .. })));
        let bad = [("limits.nesting", "many".to_owned())];
        assert!(matches!(Config::load(None, &bad), Err(ConfigError::Value { key: "limits.nesting", .. })));
    }

    #[test]
    fn a_database_url_is_not_shown() {
        let config = Config::load(None, &[("database.url", "postgres://u:secret@127.0.0.1/x".to_owned())]).unwrap();
        let shown: String = config.shown().map(|(_, value, _)| value).collect();
        assert!(!shown.contains("secret"));
    }
}
