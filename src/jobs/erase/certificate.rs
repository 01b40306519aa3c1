//! The certificate of an erasure in words: what was destroyed, what stays and why, and from when nobody can bring it back.
//!
//! It says nothing that `subject.erased` does not; the bundle of profile `erasure_certificate` proves it. Holds no personal
//! data.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::journal::{Erasure, State};
use crate::domain::parts::RetentionClass;

/// The text.
pub fn certificate(origin: &str, erasure: &Erasure) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _infallible = write(&mut text, origin, erasure);
    text
}

fn write(text: &mut String, origin: &str, erasure: &Erasure) -> std::fmt::Result {
    writeln!(text, "Certificate of erasure {}", erasure.erasure)?;
    writeln!(text, "Ledger {origin}")?;
    let subjects: Vec<String> = erasure.subjects.iter().map(ToString::to_string).collect();
    writeln!(text, "Person {} (pseudonym)", subjects.join(", "))?;
    writeln!(text, "Basis {}, asked for on {}", erasure.basis, erasure.asked)?;
    match (erasure.state, erasure.done) {
        (State::Done, Some(done)) => writeln!(text, "Done on {done}")?,
        (State::Waiting, _) => return writeln!(text, "Not begun: a legal hold is in force."),
        _ => return writeln!(text, "Not done yet."),
    }
    writeln!(text)?;
    writeln!(text, "Destroyed: {} keys. What they sealed cannot be opened from that moment on.", erasure.keys.len())?;
    let mut classes: BTreeMap<RetentionClass, usize> = BTreeMap::new();
    for key in &erasure.keys {
        *classes.entry(key.class).or_default() += 1;
    }
    for (class, count) in classes {
        writeln!(text, "  {class}: {count}")?;
    }
    for key in &erasure.keys {
        writeln!(text, "  {} {} {}", key.key, key.class, key.quarter_text())?;
    }
    writeln!(
        text,
        "Deleted as well: the sealed bytes, and every row that found the person by phone, e-mail or reference."
    )?;
    writeln!(
        text,
        "Backups of wrapped keys can open nothing of it any more after {} (key-encryption epoch {}).",
        erasure.irrecoverable_on, erasure.kek_epoch
    )?;
    writeln!(text)?;
    if erasure.kept.is_empty() {
        writeln!(text, "Nothing stays.")?;
    } else {
        writeln!(text, "What stays, and why:")?;
    }
    for kept in &erasure.kept {
        let until =
            kept.until.map_or_else(|| "until the hold is released".to_owned(), |until| format!("until {until}"));
        writeln!(text, "  {}: {} parts, {}, {until}. {}", kept.class, kept.parts, kept.ground, kept.source)?;
    }
    if !erasure.kept.is_empty() && erasure.tokens > 0 {
        writeln!(
            text,
            "While that exists, a restricted map from a keyed token to the pseudonym stays, for a privacy officer or auditor."
        )?;
    }
    if erasure.tokens > 0 {
        writeln!(text, "{} keyed tokens stay, so that a bought list does not bring the person back.", erasure.tokens)?;
    }
    writeln!(text)?;
    let positions: Vec<String> = erasure.recorded_at.iter().map(ToString::to_string).collect();
    writeln!(text, "Recorded at position {} of the log, which still verifies as a whole.", positions.join(", "))
}
