//! The page that bundles carry: its verifier outside of a browser on whatever the others verify, and the page itself in one.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/exports/verify/page/verify.html")
}

/// What the page's verifier says of a bundle; none where there is no Node, which is a failure in CI.
pub fn verify(bundle: &Path, key: &str) -> Option<(i32, Value)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/format/verify_page.mjs");
    let run = Command::new("node").arg(script).arg(page()).arg(bundle).arg(key).output();
    let found = run.ok().and_then(|output| Some((output.status.code()?, serde_json::from_slice(&output.stdout).ok()?)));
    if found.is_none() {
        assert!(std::env::var("CI").is_err(), "CI must have Node to run the page's verifier");
        eprintln!("!!! THE PAGE'S VERIFIER WAS NOT RUN: it needs Node");
    }
    found
}

#[test]
fn the_first_format_verifies_and_no_flipped_byte_does() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/bundle-format-1.zip");
    let Some((code, report)) = verify(&golden, "") else { return };
    assert_eq!((code, &report["size"], &report["opened"]), (0, &Value::from(9), &Value::from(6)), "{report}");
    let bytes = std::fs::read(&golden).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flipped.zip");
    for at in (0..bytes.len()).step_by(bytes.len() / 40) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        std::fs::write(&path, &flipped).unwrap();
        let (code, report) = verify(&path, "").unwrap();
        assert_eq!(code, 3, "byte {at}: {report}");
        assert!(report["problems"][0]["what"].is_string(), "{report}");
    }
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(verify(&path, "").unwrap().0, 3);
}

/// The page's policy lets its own script run and nothing else: an edit needs the new digests.
#[test]
fn the_policy_of_the_page_names_its_own_script_and_style() {
    let text = std::fs::read_to_string(page()).unwrap();
    for (tag, directive) in [("script", "script-src"), ("style", "style-src")] {
        let (_, rest) = text.split_once(&format!("<{tag}>")).unwrap();
        let (content, _) = rest.split_once(&format!("</{tag}>")).unwrap();
        let digest = tallystick::crypto::hash::sha256(content.as_bytes());
        let named = format!("{directive} 'sha256-{}'", data_encoding::BASE64.encode(digest.as_bytes()));
        assert!(text.contains(&named), "{directive} must be {named}");
    }
    assert!(text.contains("default-src 'none'") && !text.contains("connect-src"));
}

#[test]
fn the_program_prints_the_page() {
    let printed = Command::new(env!("CARGO_BIN_EXE_tallystick")).args(["verify", "--page"]).output().unwrap();
    assert_eq!(printed.stdout, std::fs::read(page()).unwrap());
}

/// In a browser, from a file, as a reader would: a good bundle, and one with a byte flipped.
#[test]
fn a_reader_sees_the_verdict() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let golden = root.join("tests/golden/bundle-format-1.zip");
    let folder = tempfile::tempdir().unwrap();
    let flipped = folder.path().join("flipped.zip");
    let mut bytes = std::fs::read(&golden).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&flipped, bytes).unwrap();
    let run = Command::new("python3")
        .arg(root.join("tests/e2e/verify_page.py"))
        .args([page(), golden, flipped, folder.path().join("page.png")])
        .output();
    match run.ok().and_then(|output| Some((output.status.code()?, output))) {
        Some((0, _)) => {}
        Some((2, output)) => {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(std::env::var("CI").is_err(), "CI must have chromium and chromedriver: {said}");
            eprintln!("!!! THE PAGE WAS NOT OPENED IN A BROWSER: {said}");
        }
        Some((code, output)) => {
            panic!("{code}: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
        }
        None => assert!(std::env::var("CI").is_err(), "CI must have python3"),
    }
}
