//! Figures of the long lanes, kept in `ops/evidence/`.

use std::path::Path;

/// Whether this run is a long one (`TALLYSTICK_LONG=1`).
pub fn long() -> bool {
    std::env::var_os("TALLYSTICK_LONG").is_some_and(|value| value == "1")
}

/// Writes the figures of a long lane; a short run leaves what the last long one found.
pub fn write(name: &str, figures: &serde_json::Value) {
    if long() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("ops/evidence");
        std::fs::create_dir_all(&folder).unwrap();
        let text = serde_json::to_string_pretty(figures).unwrap();
        std::fs::write(folder.join(format!("{name}.json")), text + "\n").unwrap();
    }
}
