//! `tallystick attribute`: credit by channel from a file of paths, or from touches and journeys with their times.

mod files;

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value, json};

use self::files::{CreditFile, Lines, Pairs};
use super::{Failure, Outcome, failed, print_json};
use crate::domain::attribution::bands::{Band, REPLICATES_MAX};
use crate::domain::attribution::journey::{Lookback, Touch};
use crate::domain::attribution::study::{ChannelCredit, Study};
use crate::domain::attribution::{CustomRules, PathFile};

/// What to attribute and how.
#[derive(Debug, Args)]
pub(super) struct Attribute {
    /// Path file: path, total_conversions, total_conversion_value, total_null or total_non_conversions; - for standard input
    #[arg(long, value_name = "FILE", required_unless_present = "touches", conflicts_with = "touches")]
    paths: Option<PathBuf>,
    /// Touch file: journey_id, seq, ts, channel, milestone, kind
    #[arg(long, value_name = "FILE", requires = "journeys")]
    touches: Option<PathBuf>,
    /// Journey file, same journeys in the same order: journey_id, converted, conversion_ts, value_cents
    #[arg(long, value_name = "FILE", requires = "touches")]
    journeys: Option<PathBuf>,
    /// Models, as first,linear,markov:1,shapley_sets
    #[arg(long, value_name = "NAMES", value_delimiter = ',', required = true)]
    models: Vec<String>,
    /// TOML file of the custom rules that models name
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// Days before a conversion in which touches count
    #[arg(long, value_name = "DAYS", requires = "touches")]
    lookback_days: Option<u32>,
    /// Last touches before a conversion that count
    #[arg(long, value_name = "COUNT", requires = "touches", value_parser = clap::value_parser!(u32).range(1..))]
    lookback_steps: Option<u32>,
    /// Write whole cents by conversion, touch and rule model to this CSV file
    #[arg(long, value_name = "FILE", requires = "touches")]
    credits: Option<PathBuf>,
    /// Add 90 % bands from so many bootstrap replicates; keeps all journeys in memory
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(20..=i64::from(REPLICATES_MAX)))]
    bands: Option<u32>,
    /// Seed of the bootstrap
    #[arg(long, value_name = "NUMBER", default_value_t = 0, requires = "bands")]
    seed: u64,
    /// Add removal effects of Markov models
    #[arg(long)]
    effects: bool,
    /// Character between the steps of a path
    #[arg(long, value_name = "CHARACTER", default_value = ">", requires = "paths")]
    separator: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Attribute {
    pub fn run(self) -> Outcome {
        let custom = match &self.rules {
            Some(path) => read_rules(path)?,
            None => CustomRules::default(),
        };
        let names = self.models.iter().map(|name| name.trim());
        let mut study = Study::new(names, self.paths.is_some(), self.bands.is_some(), &custom)
            .map_err(|(name, error)| Failure::Failed(format!("model {name}: {error}")))?;
        let valued = match (&self.paths, &self.touches, &self.journeys) {
            (Some(paths), _, _) => self.read_paths(paths, &mut study)?,
            (None, Some(touches), Some(journeys)) => self.read_journeys(touches, journeys, &mut study)?,
            _ => return Err(Failure::Failed("name --paths, or --touches and --journeys".to_owned())),
        };
        let answers = study.answers(self.bands.unwrap_or_default(), self.seed);
        for (name, rows) in &answers {
            if rows.iter().any(|row| row.conversions.is_none() || (valued && row.value.is_none())) {
                note(&format!("{name}: nothing to go by, as no channel's removal would change anything"));
            }
        }
        if self.json {
            let model = |(name, rows): &(&str, Vec<ChannelCredit>)| {
                let rows = rows.iter().map(|row| (row.channel.clone(), self.json_of(row, valued)));
                ((*name).to_owned(), Value::Object(rows.collect()))
            };
            print_json(&answers.iter().map(model).collect::<Map<_, _>>())
        } else {
            self.print(&answers, valued)
        }
    }

    /// Reads a path file line by line; says whether it has values.
    fn read_paths(&self, path: &Path, study: &mut Study) -> Result<bool, Failure> {
        let separator = match self.separator.as_bytes() {
            [byte] if byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';') => *byte,
            _ => {
                return Err(Failure::Failed(
                    "--separator is one visible ASCII character, not a quote, , or ;".to_owned(),
                ));
            }
        };
        let mut lines = Lines::open(path)?;
        let (mut file, unread) =
            PathFile::open(lines.read()?.unwrap_or_default(), separator).map_err(|error| lines.wrong(error))?;
        lines.note_unread(&unread);
        if !file.has_nulls() {
            note("journeys that did not convert are not counted: rates are 1, and Markov effects only count visits");
        }
        while let Some(line) = lines.read()? {
            match file.line(line, &mut study.words.channels) {
                Ok(Some(walk)) => study.add(&walk),
                Ok(None) => (),
                Err(error) => return Err(lines.wrong(error)),
            }
        }
        Ok(file.has_value())
    }

    /// Reads touches and journeys side by side.
    fn read_journeys(&self, touches: &Path, journeys: &Path, study: &mut Study) -> Result<bool, Failure> {
        let mut pairs = Pairs::open(touches, journeys)?;
        let mut credits = self.credits.as_deref().map(CreditFile::create).transpose()?;
        let lookback = Lookback { days: self.lookback_days, steps: self.lookback_steps };
        let mut gathered = Vec::new();
        let mut next = pairs.journey()?;
        while let Some(journey) = next {
            pairs.touches_of(&journey, &mut gathered, study)?;
            let mut current = journey;
            loop {
                let window = lookback.window(&gathered, current.conversion.map(|(at, _)| at));
                let mut rows: Vec<(String, Touch, i64)> = Vec::new();
                study.add_journey(window, current.conversion.map(|(_, cents)| cents), |model, touch, cents| {
                    if credits.is_some() {
                        rows.push((model.to_owned(), *touch, cents));
                    }
                });
                if let Some(credits) = &mut credits {
                    credits.write(&current.journey, rows, study)?;
                }
                next = pairs.journey()?;
                match next.take_if(|following| following.journey == current.journey) {
                    Some(again) => current = again,
                    None => break,
                }
            }
        }
        pairs.end()?;
        if let Some(credits) = credits {
            credits.close()?;
        }
        Ok(true)
    }

    fn json_of(&self, row: &ChannelCredit, valued: bool) -> Value {
        let value = row.value.filter(|_| valued);
        let mut credit = json!({ "conversions": row.conversions, "value": value });
        let band = |band: Option<Band>| band.map(|(low, high)| json!([low, high]));
        if let (Some(object), Some(bands)) = (credit.as_object_mut(), &row.bands) {
            object.insert("conversions_band".to_owned(), json!(band(bands.conversions)));
            object.insert("value_band".to_owned(), json!(band(bands.value).filter(|_| valued)));
        }
        if let (true, Some(object), Some((conversions, value))) = (self.effects, credit.as_object_mut(), &row.effects) {
            let value = value.filter(|_| valued);
            object.insert("removal_effect".to_owned(), json!({ "conversions": conversions, "value": value }));
        }
        credit
    }

    fn print(&self, answers: &[(&str, Vec<ChannelCredit>)], valued: bool) -> Outcome {
        let mut out = BufWriter::new(std::io::stdout().lock());
        let number = |number: Option<f64>, decimals: usize| {
            number.map_or_else(|| "unknown".to_owned(), |number| format!("{number:.decimals$}"))
        };
        let band = |band: Option<Band>| band.map_or_else(String::new, |(low, high)| format!("  [{low:.2}, {high:.2}]"));
        let mut print = || -> std::io::Result<()> {
            for (name, rows) in answers {
                writeln!(out, "{name}")?;
                let width = rows.iter().map(|row| row.channel.chars().count()).max().unwrap_or_default();
                for row in rows {
                    write!(out, "  {:width$}  {:>14}", row.channel, number(row.conversions, 4))?;
                    write!(out, "{}", band(row.bands.and_then(|bands| bands.conversions)))?;
                    if valued {
                        write!(out, "  {:>16}", number(row.value, 2))?;
                        write!(out, "{}", band(row.bands.and_then(|bands| bands.value)))?;
                    }
                    if let (true, Some((conversions, _))) = (self.effects, row.effects) {
                        write!(out, "  removal {}", number(conversions, 6))?;
                    }
                    writeln!(out)?;
                }
            }
            out.flush()
        };
        print().map_err(failed)
    }
}

fn note(text: &str) {
    eprintln!("tallystick: {text}");
}

fn read_rules(path: &Path) -> Result<CustomRules, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::Failed(format!("cannot read {}: {error}", path.display())))?;
    toml::from_str(&text).map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))
}
