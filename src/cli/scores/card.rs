//! Score cards on the command line: read one, and score leads by it. Nothing is recorded.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::show;
use crate::cli::{Failure, Outcome, failed};
use crate::policy::scoring::{Card, Facts, builtin, evaluate};

/// Longest line of facts.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Card.
#[derive(Debug, Args)]
pub(in crate::cli) struct CardCheck {
    /// Card file, in the form of policies/scoring.toml; that of this build if absent
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Assign.
#[derive(Debug, Args)]
pub(in crate::cli) struct Assign {
    /// File with the facts of one lead a line, as JSON: {"acts": {"reply": [3600]}, "features": {"equity_percent": 60}}
    #[arg(value_name = "FILE")]
    facts: PathBuf,
    /// Card file; that of this build if absent
    #[arg(long, value_name = "FILE")]
    card: Option<PathBuf>,
}

fn read_card(path: Option<&Path>) -> Result<Card, Failure> {
    let Some(path) = path else {
        return builtin().cloned().ok_or_else(|| Failure::Failed("the card of this build does not read".to_owned()));
    };
    let name = path.display();
    let text =
        std::fs::read_to_string(path).map_err(|error| Failure::Failed(format!("cannot read {name}: {error}")))?;
    Card::parse(&text).map_err(|error| Failure::Failed(format!("{name}: {error}")))
}

impl CardCheck {
    pub fn run(self) -> Outcome {
        let card = read_card(self.file.as_deref())?;
        let bands: Vec<_> = card.bands.iter().map(|band| json!({ "name": band.name, "from": band.from })).collect();
        let features: Vec<&str> = card.features.iter().map(|feature| feature.name()).collect();
        let rules: Vec<_> = card.rules.iter().map(|rule| json!({ "id": rule.id, "points": rule.points })).collect();
        let answer = json!({ "pack_sha256": card.digest, "version": card.version, "base": card.base,
            "features": features, "rules": rules, "bands": bands });
        show(&answer, self.json)
    }
}

impl Assign {
    /// Scores line by line, so that memory does not grow with the file.
    pub fn run(self) -> Outcome {
        let card = read_card(self.card.as_deref())?;
        let name = self.facts.display().to_string();
        let file = std::fs::File::open(&self.facts)
            .map_err(|error| Failure::Failed(format!("cannot read {name}: {error}")))?;
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        for (at, line) in BufReader::new(file).lines().enumerate() {
            let wrong = |what: &str| Failure::Failed(format!("{name}, line {}: {what}", at + 1));
            let line = line.map_err(|_| wrong("not UTF-8 text"))?;
            if line.len() > LINE_BYTES_MAX {
                return Err(wrong("longer than a megabyte"));
            }
            if line.trim().is_empty() {
                continue;
            }
            // The reader's own text may repeat what stands in the line.
            let facts: Facts = serde_json::from_str(&line).map_err(|_| wrong("not the facts of a lead"))?;
            facts.check(&card).map_err(|error| wrong(&error.to_string()))?;
            let scored = evaluate(&card, &facts);
            let answer = json!({ "line": at + 1, "pack_sha256": card.digest, "version": card.version,
                "score": scored.score, "band": scored.band, "base": scored.base, "reasons": scored.reasons });
            writeln!(out, "{answer}").map_err(failed)?;
        }
        out.flush().map_err(failed)
    }
}
