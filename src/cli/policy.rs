//! `tallystick policy check | test | diff | activate`: the rules of contact, held against their cases, against acceptance
//! vectors through the whole path, and against what was decided.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{DataArgs, Failure, Outcome, failed, print_json};
use crate::app::{App, InitOptions};
use crate::chain::decode::EntryRef;
use crate::decisions::{Compliance, FindingRow, Gate, RevocationRow, Span, Stored, audit, scratch};
use crate::ingest::Ledger;
use crate::ingest::create::SERVICE;
use crate::policy::contact::{
    self, Pack, PackText, Switches, Vector, VectorError, builtin, compare, evaluate, vectors,
};
use crate::policy::exposure::Laws;

/// Files of a pack, by name.
const NAMES: [&str; 4] = ["calling", "consent", "email", "privacy"];
/// Entries read at a time.
const CHUNK: u64 = 4_096;

/// What to do with rules.
#[derive(Debug, Subcommand)]
pub(super) enum Policy {
    /// Read a pack and run the cases beside it
    Check(Check),
    /// Run acceptance vectors through the whole path, each in a scratch ledger of its own
    Test(Test),
    /// Say which rows differ from the pack in use, and which recorded decisions would change
    Diff(Diff),
    /// Judge every contact in the log as known then and as known now, and its decision; exit 3 when there are findings
    Audit(AuditArgs),
    /// Record the pack of this build, and readings of open questions, as in force from now on
    Activate(Activate),
}

#[derive(Debug, Args)]
pub(super) struct Check {
    /// Folder with calling.toml, consent.toml, email.toml, privacy.toml and their cases; the built-in pack without it
    folder: Option<PathBuf>,
    /// Take out each row in turn and say which cases notice; exit 3 when none does
    #[arg(long)]
    mutate: bool,
    /// With --mutate: acceptance vectors to hold against each mutant too
    #[arg(long, value_name = "FILE", requires = "mutate")]
    vectors: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Test {
    /// File with vectors
    vectors: PathBuf,
    /// Postgres to make the ledgers in; SQLite files in a temporary folder without it
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Diff {
    /// Folder with the other pack
    folder: PathBuf,
    #[command(flatten)]
    data: DataArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct AuditArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Activate {
    #[command(flatten)]
    data: DataArgs,
    /// A reading: switch=value; may be given several times
    #[arg(long = "switch", value_name = "NAME=VALUE")]
    switches: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Policy {
    pub async fn run(self) -> Outcome {
        match self {
            Policy::Check(check) => check.run(),
            Policy::Test(test) => test.run().await,
            Policy::Diff(diff) => diff.run().await,
            Policy::Audit(audit) => audit.run().await,
            Policy::Activate(activate) => activate.run().await,
        }
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure::Failed(format!("cannot read {}: {error}", path.display())))
}

/// The pack of a folder, with the texts of its cases.
fn pack_of(folder: &Path) -> Result<(Pack, Vec<Vector>), Failure> {
    let mut texts = Vec::new();
    let mut all = Vec::new();
    for name in NAMES {
        texts.push((name, read(&folder.join(format!("{name}.toml")))?));
        let cases = folder.join(format!("{name}.cases.toml"));
        if cases.exists() {
            all.extend(contact::cases(&read(&cases)?).map_err(failed)?);
        }
    }
    let texts: Vec<PackText<'_>> = texts.iter().map(|(name, text)| PackText { name, text }).collect();
    Ok((Pack::parse(&texts).map_err(failed)?, all))
}

fn pack_in_use() -> Result<&'static Pack, Failure> {
    builtin().ok_or_else(|| Failure::Failed("the pack of this build does not read".to_owned()))
}

impl Check {
    fn run(self) -> Outcome {
        let (pack, cases) = match &self.folder {
            Some(folder) => pack_of(folder)?,
            None => (pack_in_use()?.clone(), contact::builtin_cases().map_err(failed)?),
        };
        if self.mutate {
            return self.mutants(&pack, &cases);
        }
        let wrong = wrong(&pack, &cases);
        let found = json!({
            "ok": wrong.is_empty(), "version": pack.version, "pack_sha256": pack.digest.to_string(),
            "rows": pack.ids().len(), "passed": cases.len() - wrong.len(), "failed": wrong,
        });
        if self.json {
            print_json(&found)?;
        } else {
            println!(
                "{} rows, {} cases passed, {} failed {wrong:?}",
                pack.ids().len(),
                cases.len() - wrong.len(),
                wrong.len()
            );
        }
        if wrong.is_empty() { Ok(()) } else { Err(Failure::NotVerified) }
    }
}

/// Ids of the cases that a pack does not answer as they say.
fn wrong<'a>(pack: &Pack, cases: &'a [Vector]) -> Vec<&'a str> {
    let failed = cases.iter().filter(|case| !compare(&case.expected, &evaluate(pack, &case.facts)));
    failed.map(|case| case.id.as_str()).collect()
}

impl Check {
    /// The pack without each of its rows in turn: a row whose absence no case notices is a rule that nobody has tested.
    fn mutants(&self, pack: &Pack, cases: &[Vector]) -> Outcome {
        let outside: Vec<Vector> = match &self.vectors {
            Some(file) => vectors(&read(file)?).map_err(failed)?.into_iter().filter_map(Result::ok).collect(),
            None => Vec::new(),
        };
        let mut unseen = Vec::new();
        let mut rows = Vec::new();
        for id in pack.ids() {
            let mutant = pack.without(id);
            let (by_cases, by_vectors) = (wrong(&mutant, cases), wrong(&mutant, &outside));
            if by_cases.is_empty() && by_vectors.is_empty() {
                unseen.push(id);
            }
            rows.push(json!({ "row": id, "cases": by_cases, "vectors": by_vectors }));
        }
        // Without a row removed, nothing fails: else a failure would say nothing about the row.
        let before: Vec<&str> = wrong(pack, cases).into_iter().chain(wrong(pack, &outside)).collect();
        let found = json!({
            "ok": unseen.is_empty() && before.is_empty(), "pack_sha256": pack.digest.to_string(), "rows": rows.len(),
            "cases": cases.len(), "vectors": outside.len(), "failed_before": before, "unseen": unseen, "removed": rows,
        });
        if self.json {
            print_json(&found)?;
        } else {
            println!("{} rows taken out one at a time; {} unseen {unseen:?}", rows.len(), unseen.len());
        }
        if found.get("ok") == Some(&Value::Bool(true)) { Ok(()) } else { Err(Failure::NotVerified) }
    }
}

impl Test {
    async fn run(self) -> Outcome {
        let vectors = vectors(&read(&self.vectors)?).map_err(failed)?;
        let name = data_encoding::HEXLOWER.encode(&crate::runtime::Randomness::System.bytes::<8>());
        let folder = crate::config::temporary_folder().join(format!("tallystick-policy-{name}"));
        let cases = self.cases(&folder, &vectors).await;
        // Scratch: whatever came of it, nothing of it is kept.
        if let Err(error) = std::fs::remove_dir_all(&folder) {
            eprintln!("tallystick: cannot remove {}: {error}", folder.display());
        }
        let cases = cases?;
        let passed = cases.iter().filter(|case| case.get("ok") == Some(&Value::Bool(true))).count();
        let failed = cases.len() - passed;
        if self.json {
            print_json(&json!({ "passed": passed, "failed": failed, "cases": cases }))?;
        } else {
            for case in cases.iter().filter(|case| case.get("ok") != Some(&Value::Bool(true))) {
                println!("{case}");
            }
            println!("{passed} passed, {failed} failed");
        }
        if failed == 0 { Ok(()) } else { Err(Failure::Failed(format!("{failed} of {} vectors failed", cases.len()))) }
    }

    async fn cases(&self, folder: &Path, vectors: &[Result<Vector, VectorError>]) -> Result<Vec<Value>, Failure> {
        let flags: Vec<(&'static str, String)> =
            self.database.iter().map(|url| ("database.url", url.clone())).collect();
        let (app, first, _) =
            App::init(folder, &flags, InitOptions { scratch: true, ..InitOptions::default() }).await?;
        let mut cases = Vec::with_capacity(vectors.len());
        for vector in vectors {
            cases.push(match vector {
                Ok(vector) => case(&app, vector).await?,
                Err(error) => json!({ "id": error.id, "ok": false, "got": { "error": error.what } }),
            });
        }
        app.close(&[first]).await;
        Ok(cases)
    }
}

async fn case(app: &App, vector: &Vector) -> Result<Value, Failure> {
    let begins = Some(scratch::begins(vector));
    let (ledger, _) = app.ledger_create(InitOptions { origin: None, scratch: true, begins }).await?;
    let played = scratch::play(&ledger, &Gate::default(), vector, SERVICE).await;
    ledger.close();
    ledger.store().close().await;
    Ok(match played {
        Ok(played) => json!({ "id": vector.id, "ok": played.ok, "got": played.got }),
        Err(error) => json!({ "id": vector.id, "ok": false, "got": { "error": crate::app::source_text(&error) } }),
    })
}

impl Diff {
    async fn run(self) -> Outcome {
        let (other, _) = pack_of(&self.folder)?;
        let rows: Vec<Value> = pack_in_use()?
            .changes(&other)
            .into_iter()
            .map(|row| json!({ "rule": row.rule, "change": row.change }))
            .collect();
        let app = App::open(&self.data.data, &self.data.flags())?;
        let (ledger, _) = app.ledger_open(app.ledger_pick(self.data.ledger)?).await?;
        let found = changed(&ledger, &other).await;
        app.close(&[ledger]).await;
        let (seen, changed) = found?;
        if self.json {
            return print_json(&json!({ "rows": rows, "decisions": seen, "changed": changed }));
        }
        rows.iter().for_each(|row| println!("{row}"));
        changed.iter().for_each(|decision| println!("{decision}"));
        println!("{} rows differ; {} of {seen} decisions would change", rows.len(), changed.len());
        Ok(())
    }
}

/// Every recorded decision that the other pack would answer otherwise, and how many were looked at.
async fn changed(ledger: &Ledger, other: &Pack) -> Result<(u64, Vec<Value>), Failure> {
    let (mut seen, mut changed) = (0, Vec::new());
    let mut next = 0;
    while next < ledger.size() {
        let end = ledger.size().min(next + CHUNK);
        for (position, bytes) in ledger.store().entries_from(next, end).await.map_err(failed)? {
            let entry = EntryRef::decode(&bytes).map_err(failed)?;
            if entry.event_type != "decision.contact_recorded" {
                continue;
            }
            // Gone with its retention: then there is nothing to compare.
            let opened = ledger.open_entry(position).await.map_err(failed)?;
            let Ok(stored) = Stored::of(&opened) else { continue };
            let Some(answer) = stored.answer_by(other) else { continue };
            seen += 1;
            let reasons: Vec<&str> = answer.reasons.iter().map(|code| code.name()).collect();
            if stored.data.get("reasons") != Some(&json!(reasons)) {
                changed.push(json!({
                    "decision": stored.data.get("decision"), "position": position,
                    "recorded": stored.data.get("reasons"), "then": reasons,
                }));
            }
        }
        next = end;
    }
    Ok((seen, changed))
}

impl AuditArgs {
    async fn run(self) -> Outcome {
        let app = App::open(&self.data.data, &self.data.flags())?;
        let (ledger, _) = app.ledger_open(app.ledger_pick(self.data.ledger)?).await?;
        let found = audit(&ledger, &Gate::default(), &Span::ALL).await;
        app.close(&[ledger]).await;
        let found = found.map_err(failed)?;
        let compliance = Compliance::of(&found, Laws::builtin().map_err(failed)?);
        let findings: Vec<FindingRow> = found.findings.iter().map(FindingRow::from).collect();
        if self.json {
            let revocations: Vec<RevocationRow> = found.revocations.iter().map(RevocationRow::from).collect();
            print_json(&json!({ "compliance": compliance, "findings": findings, "revocations": revocations }))?;
        } else {
            for finding in &findings {
                println!(
                    "{}  {}  decision {}  then {:?}  now {:?}",
                    finding.position, finding.at, finding.decision, finding.then, finding.now
                );
            }
            println!(
                "{} of {} contacts have a valid decision; {} findings; {} stops, {} of them known too late",
                compliance.decided,
                compliance.contacts,
                compliance.findings,
                compliance.revocations.stops,
                compliance.revocations.late
            );
            for law in &compliance.exposure {
                println!("{}: {} contacts, {} to {} USD", law.citation, law.contacts, law.usd, law.usd_willful);
            }
        }
        if found.findings.is_empty() { Ok(()) } else { Err(Failure::NotVerified) }
    }
}

impl Activate {
    async fn run(self) -> Outcome {
        let pack = pack_in_use()?;
        let mut set = serde_json::Map::new();
        let mut listed = Vec::new();
        for pair in &self.switches {
            let (name, value) =
                pair.split_once('=').ok_or_else(|| Failure::Failed(format!("{pair} is no NAME=VALUE")))?;
            let word = value.parse::<bool>().map_or_else(|_| json!(value), Value::Bool);
            set.insert(name.to_owned(), word);
            listed.push(json!({ "switch": name, "value": value }));
        }
        Switches::default().with(&set).map_err(failed)?;
        let digest = pack.digest.to_string();
        let version: String = digest.chars().take(16).collect();
        let data = json!({
            "pack": "contact", "version": version, "pack_sha256": digest, "kind": "compliance", "switches": listed,
        });
        let app = App::open(&self.data.data, &self.data.flags())?;
        let (ledger, _) = app.ledger_open(app.ledger_pick(self.data.ledger)?).await?;
        let recorded = ledger.record_own("policy.pack_activated", None, data, SERVICE, None).await;
        app.close(&[ledger]).await;
        let receipt = recorded.map_err(failed)?;
        if self.json {
            return print_json(&json!({ "position": receipt.position, "pack_sha256": digest, "switches": set }));
        }
        println!("in force from position {}: pack {digest}", receipt.position);
        Ok(())
    }
}
