//! `tallystick pricing`: read contracts, and price billable events by them in their order. Nothing is recorded.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Failure, Outcome, failed, print_json};
use crate::domain::money::{Currency, Micros};
use crate::domain::time::Timestamp;
use crate::policy::pricing::{Billable, BillableEvent, Contract, Usage, builtin, price};

/// Longest line of an event.
const LINE_BYTES_MAX: usize = 1 << 20;

/// What to do with contracts.
#[derive(Debug, Subcommand)]
pub(super) enum Pricing {
    /// Read a contract file and say what is in it
    Check(Check),
    /// Price the billable events of a file, each with every rule's verdict
    Rate(Rate),
}

/// Check.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// Contract file, in the form of policies/pricing.toml; that of this build if absent
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Rate.
#[derive(Debug, Args)]
pub(super) struct Rate {
    /// File with one event a line as JSON: {"on": "lead", "seller": "broker-a", "occurred": "2026-11-03T16:40:00Z", "consent": true}
    #[arg(value_name = "FILE")]
    events: PathBuf,
    /// Contract file
    #[arg(long, value_name = "FILE")]
    contract: PathBuf,
}

/// A billable event of a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventLine {
    on: Billable,
    seller: String,
    occurred: String,
    campaign: Option<String>,
    source: Option<String>,
    state: Option<String>,
    band: Option<String>,
    #[serde(default)]
    consent: bool,
    seconds: Option<i64>,
    stated: Option<Amount>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Amount {
    amount: String,
    currency: String,
}

impl EventLine {
    fn event(self) -> Result<BillableEvent, &'static str> {
        let stated = match self.stated {
            None => None,
            Some(stated) => {
                let micros = Micros::parse(&stated.amount).map_err(|_| "stated is no amount such as 12.34")?;
                let currency = Currency::parse(&stated.currency).map_err(|_| "stated has no currency of ISO 4217")?;
                Some((micros.micros(), currency))
            }
        };
        Ok(BillableEvent {
            on: self.on,
            seller: self.seller,
            occurred: Timestamp::parse_rfc3339(&self.occurred).map_err(|_| "occurred is no RFC 3339 time")?,
            campaign: self.campaign,
            source: self.source,
            state: self.state,
            band: self.band,
            consent: self.consent,
            seconds: self.seconds,
            stated,
        })
    }
}

fn read(path: &Path) -> Result<Contract, Failure> {
    let name = path.display();
    let text =
        std::fs::read_to_string(path).map_err(|error| Failure::Failed(format!("cannot read {name}: {error}")))?;
    Contract::parse(&text).map_err(|error| Failure::Failed(format!("{name}: {error}")))
}

impl Pricing {
    pub fn run(self) -> Outcome {
        match self {
            Pricing::Check(check) => check.run(),
            Pricing::Rate(rate) => rate.run(),
        }
    }
}

impl Check {
    fn run(self) -> Outcome {
        let built =
            || builtin().cloned().ok_or_else(|| Failure::Failed("the contracts of this build do not read".to_owned()));
        let contract = self.file.as_deref().map_or_else(built, read)?;
        let rules: Vec<Value> =
            contract.rules.iter().map(|rule| json!({ "id": rule.id, "seller": rule.seller })).collect();
        let terms: Vec<&String> = contract.terms.keys().collect();
        if self.json {
            return print_json(
                &json!({ "pack_sha256": contract.digest, "version": contract.version, "rules": rules, "terms": terms }),
            );
        }
        println!(
            "contracts {} ({}): {} rules, terms of {} sellers",
            contract.version,
            contract.digest,
            rules.len(),
            terms.len()
        );
        Ok(())
    }
}

impl Rate {
    /// Prices line by line: what came before counts for tiers and caps.
    fn run(self) -> Outcome {
        let contract = read(&self.contract)?;
        let name = self.events.display().to_string();
        let file = std::fs::File::open(&self.events)
            .map_err(|error| Failure::Failed(format!("cannot read {name}: {error}")))?;
        let mut usage = Usage::default();
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
            let read: EventLine = serde_json::from_str(&line).map_err(|_| wrong("not a billable event"))?;
            let event = read.event().map_err(wrong)?;
            let too_large = |_| wrong("an amount is too large");
            let priced = price(&contract, &event, &usage).map_err(too_large)?;
            if let Some(rule) = priced.rule {
                usage.count(rule, event.occurred, priced.amount).map_err(too_large)?;
            }
            let money = |micros: i64| {
                priced.rule.map(|rule| json!({ "amount": Micros::from_micros(micros).to_string(), "currency": rule.currency.code() }))
            };
            let payouts: Vec<Value> = priced
                .payouts
                .iter()
                .map(|paid| json!({ "party": paid.party, "kind": paid.kind, "amount": money(paid.amount) }))
                .collect();
            let verdicts: Vec<Value> = priced
                .verdicts
                .iter()
                .map(|verdict| json!({ "rule": verdict.rule, "code": verdict.code.code() }))
                .collect();
            let answer = json!({ "line": at + 1, "pack_sha256": contract.digest, "rule": priced.rule.map(|rule| &rule.id),
                "price": money(priced.amount), "payouts": payouts, "verdicts": verdicts });
            writeln!(out, "{answer}").map_err(failed)?;
        }
        out.flush().map_err(failed)
    }
}
