//! `tallystick scores`: score leads by a card, train a model from outcomes, say how well scores did, and recommend. Nothing switches by itself: a model
//! comes into use by the event `score.model_activated`, which names the model file's digest.
#![expect(clippy::float_arithmetic, reason = "scores are real numbers; money is counted in micro-units")]

mod card;
mod table;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use self::card::{Assign, CardCheck};
use self::table::Table;
use super::{Failure, Outcome, failed, print_json};
use crate::crypto::hash::sha256;
use crate::domain::money::Micros;
use crate::domain::score::compare::{Pair, difference};
use crate::domain::score::cutoff::{Cutoff, Stakes, at, best};
use crate::domain::score::drift::drift;
use crate::domain::score::logistic::{Rows, train};
use crate::domain::score::model_file::{FeatureWeight, MODEL_FORMAT, ModelFile, Scale};
use crate::domain::score::{Sample, Scored};
use crate::views::scores::{moved, performance};

/// What to do with scores.
#[derive(Debug, Subcommand)]
pub(super) enum Scores {
    /// Train a logistic model from a file of features and outcomes
    Train(Train),
    /// Say how well a score or a model did: AUC, KS, Brier, calibration, lift, drift
    Evaluate(Evaluate),
    /// Train a challenger, hold it against the champion on later rows, and say what would pay
    Recommend(Recommend),
    /// Check a score card and say what is in it
    Card(CardCheck),
    /// Score leads by a card, one a line, with reasons
    Assign(Assign),
}

/// Which rows and columns to train on.
#[derive(Debug, Args)]
struct Training {
    /// CSV file with a header, one lead a row, oldest first
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Column of 0 and 1: whether the outcome came
    #[arg(long, value_name = "COLUMN", default_value = "outcome")]
    outcome: String,
    /// Columns to train on; all others if absent
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    features: Vec<String>,
    /// Inverse strength of the penalty
    #[arg(long, value_name = "NUMBER", default_value_t = 1.0)]
    c: f64,
    /// Name of the model
    #[arg(long, value_name = "NAME", default_value = "logistic")]
    model: String,
    /// Version of the model
    #[arg(long, value_name = "VERSION", default_value = "1")]
    model_version: String,
    /// Write the model to this file
    #[arg(long, value_name = "MODEL")]
    out: Option<PathBuf>,
}

/// Train.
#[derive(Debug, Args)]
pub(super) struct Train {
    #[command(flatten)]
    training: Training,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Evaluate.
#[derive(Debug, Args)]
pub(super) struct Evaluate {
    /// CSV file with a header, one lead a row
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Column of 0 and 1: whether the outcome came
    #[arg(long, value_name = "COLUMN", default_value = "outcome")]
    outcome: String,
    /// Column of scores
    #[arg(long, value_name = "COLUMN", default_value = "score", conflicts_with = "model")]
    score: String,
    /// Model file to score the rows with
    #[arg(long, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// Earlier file of the same columns, to measure drift against
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Bins of the drift
    #[arg(long, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..=100))]
    bins: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Recommend.
#[derive(Debug, Args)]
pub(super) struct Recommend {
    #[command(flatten)]
    training: Training,
    /// Model file in use
    #[arg(long, value_name = "MODEL")]
    champion: Option<PathBuf>,
    /// Earned by an outcome that comes, as 120.00
    #[arg(long, value_name = "AMOUNT")]
    price: String,
    /// Spent on each lead that is worked, as 3.50
    #[arg(long, value_name = "AMOUNT")]
    cost: String,
    /// Percent of the rows, the last ones, that are held out from training
    #[arg(long, value_name = "PERCENT", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=90))]
    holdout: u32,
    /// Leads of the held-out rows that can be worked at most
    #[arg(long, value_name = "COUNT")]
    capacity: Option<u64>,
    /// Points from which leads are worked today
    #[arg(long, value_name = "POINTS", requires = "champion", allow_negative_numbers = true)]
    threshold: Option<i32>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Scores {
    pub fn run(self) -> Outcome {
        match self {
            Scores::Train(train) => train.run(),
            Scores::Evaluate(evaluate) => evaluate.run(),
            Scores::Recommend(recommend) => recommend.run(),
            Scores::Card(card) => card.run(),
            Scores::Assign(assign) => assign.run(),
        }
    }
}

fn show(value: &Value, json: bool) -> Outcome {
    if json {
        return print_json(value);
    }
    println!("{}", serde_json::to_string_pretty(value).map_err(failed)?);
    Ok(())
}

fn read_model(path: &Path) -> Result<ModelFile, Failure> {
    let name = path.display();
    let text = std::fs::read(path).map_err(|error| Failure::Failed(format!("cannot read {name}: {error}")))?;
    let model: ModelFile = serde_json::from_slice(&text)
        .map_err(|error| Failure::Failed(format!("{name} is not a model file: {error}")))?;
    model.check().map_err(|error| Failure::Failed(format!("{name}: {error}")))?;
    Ok(model)
}

/// Probabilities that a model gives to the rows of a table.
fn scores_of(model: &ModelFile, table: &Table, outcome: &str) -> Result<Vec<Sample>, Failure> {
    let names: Vec<String> = model.features.iter().map(|feature| feature.name.clone()).collect();
    let rows = table.features(&names, outcome)?;
    let logistic = model.logistic();
    let row =
        |(at, positive): (usize, &bool)| Sample { score: logistic.probability(rows.row(at)), positive: *positive };
    Ok(rows.outcomes.iter().enumerate().map(row).collect())
}

impl Training {
    fn features(&self, table: &Table) -> Vec<String> {
        let all = || table.columns().iter().filter(|column| **column != self.outcome).cloned().collect();
        if self.features.is_empty() { all() } else { self.features.clone() }
    }

    /// Trains on the first `count` rows.
    fn train(&self, table: &Table, count: usize) -> Result<(ModelFile, u32), Failure> {
        let names = self.features(table);
        let mut rows: Rows = table.features(&names, &self.outcome)?;
        rows.values.truncate(count * rows.features);
        rows.outcomes.truncate(count);
        let trained = train(&rows, self.c).map_err(failed)?;
        let weights = trained.model.coefficients.iter().zip(&trained.model.means).zip(names);
        let feature = |((coefficient, mean), name): ((&f64, &f64), String)| FeatureWeight {
            name,
            coefficient: *coefficient,
            mean: *mean,
        };
        let model = ModelFile {
            format: MODEL_FORMAT.to_owned(),
            model: self.model.clone(),
            version: self.model_version.clone(),
            outcome: self.outcome.clone(),
            intercept: trained.model.intercept,
            features: weights.map(feature).collect(),
            scale: Scale { even: 500.0, double: 20.0 },
            c: self.c,
            rows: rows.outcomes.len() as u64,
            positives: rows.outcomes.iter().filter(|outcome| **outcome).count() as u64,
            trained_on: sha256(&std::fs::read(&self.file).map_err(failed)?).to_string(),
            bands: Vec::new(),
        };
        model.check().map_err(failed)?;
        Ok((model, trained.steps))
    }

    /// Writes the model where it was asked for; gives the file's digest.
    fn write(&self, model: &ModelFile) -> Result<String, Failure> {
        let mut text = serde_json::to_string_pretty(model).map_err(failed)?;
        text.push('\n');
        if let Some(path) = &self.out {
            std::fs::write(path, &text)
                .map_err(|error| Failure::Failed(format!("cannot write {}: {error}", path.display())))?;
        }
        Ok(sha256(text.as_bytes()).to_string())
    }
}

impl Train {
    fn run(self) -> Outcome {
        let table = Table::read(&self.training.file)?;
        let (model, steps) = self.training.train(&table, table.len())?;
        let digest = self.training.write(&model)?;
        let sample = scores_of(&model, &table, &self.training.outcome)?;
        let answer = json!({ "model": model, "file_sha256": digest, "steps": steps,
            "training": performance(&sample).map_err(failed)? });
        show(&answer, self.json)
    }
}

impl Evaluate {
    fn sample(&self, path: &Path, model: Option<&ModelFile>) -> Result<Vec<Sample>, Failure> {
        let table = Table::read(path)?;
        match model {
            Some(model) => scores_of(model, &table, &self.outcome),
            None => {
                let scores = table.numbers(&self.score)?.into_iter().zip(table.outcomes(&self.outcome)?);
                Ok(scores.map(|(score, positive)| Sample { score, positive }).collect())
            }
        }
    }

    fn run(self) -> Outcome {
        let model = self.model.as_deref().map(read_model).transpose()?;
        let sample = self.sample(&self.file, model.as_ref())?;
        let mut answer = performance(&sample).map_err(failed)?;
        if let (Some(path), Some(answer)) = (&self.baseline, answer.as_object_mut()) {
            let earlier: Vec<f64> = self.sample(path, model.as_ref())?.iter().map(|row| row.score).collect();
            let later: Vec<f64> = sample.iter().map(|row| row.score).collect();
            let drift = drift(&earlier, &later, self.bins);
            answer.insert("drift".to_owned(), drift.as_ref().map_or(Value::Null, moved));
        }
        show(&answer, self.json)
    }
}

impl Recommend {
    fn run(self) -> Outcome {
        let amount = |name: &str, text: &str| {
            let parsed = Micros::parse(text).map_err(|error| Failure::Failed(format!("--{name}: {error}")))?;
            if parsed.micros() < 0 {
                Err(Failure::Failed(format!("--{name} is below zero")))
            } else {
                Ok(parsed.micros())
            }
        };
        let stakes = Stakes { price: amount("price", &self.price)?, cost: amount("cost", &self.cost)? };
        let table = Table::read(&self.training.file)?;
        let holdout = table.len() * self.holdout as usize / 100;
        let (challenger, _) = self.training.train(&table, table.len() - holdout)?;
        let digest = self.training.write(&challenger)?;
        let outcome = &self.training.outcome;
        let held_out = |model: &ModelFile| -> Result<Vec<Sample>, Failure> {
            Ok(scores_of(model, &table, outcome)?.split_off(table.len() - holdout))
        };
        let new = held_out(&challenger)?;
        let ranked = Scored::new(&new).map_err(failed)?;
        let found = best(&ranked, stakes, self.capacity);
        let mut answer = json!({
            "held_out": { "rows": holdout, "percent": self.holdout },
            "challenger": { "model": challenger, "file_sha256": digest, "performance": performance(&new).map_err(failed)? },
            "threshold": cutoff_json(&found, &challenger),
            "work_everybody": cutoff_json(&at(&ranked, stakes, 0.0), &challenger),
        });
        let told = match self.champion.as_deref().map(read_model).transpose()? {
            None => json!({ "act": "review", "why": "there is no champion to hold the challenger against" }),
            Some(champion) => {
                let old = held_out(&champion)?;
                let pairs: Vec<Pair> = old
                    .iter()
                    .zip(&new)
                    .map(|(old, new)| Pair { champion: old.score, challenger: new.score, positive: old.positive })
                    .collect();
                let gap = difference(&pairs).map_err(failed)?;
                if let Some(answer) = answer.as_object_mut() {
                    let figures = performance(&old).map_err(failed)?;
                    answer.insert("champion".to_owned(), json!({ "performance": figures }));
                    let band = json!({ "low": gap.band.0, "high": gap.band.1 });
                    answer.insert(
                        "auc_difference".to_owned(),
                        json!({ "value": gap.challenger - gap.champion, "band_95": band }),
                    );
                    let today = self.threshold.map(|points| {
                        let ranked = Scored::new(&old);
                        ranked.map(|ranked| at(&ranked, stakes, probability_of(&champion, points)))
                    });
                    let today = today.transpose().map_err(failed)?;
                    answer
                        .insert("today".to_owned(), today.map_or(Value::Null, |today| cutoff_json(&today, &champion)));
                }
                let why =
                    "whether the challenger ranks later leads better than the champion, beyond chance (DeLong, 95 %)";
                let act = if gap.band.0 > 0.0 { "activate_challenger" } else { "keep_champion" };
                json!({ "act": act, "why": why })
            }
        };
        if let Some(answer) = answer.as_object_mut() {
            answer.insert("recommendation".to_owned(), told);
        }
        show(&answer, self.json)
    }
}

/// The probability that has so many points.
fn probability_of(model: &ModelFile, points: i32) -> f64 {
    // Half a point lower: points are rounded.
    let logit = (f64::from(points) - 0.5 - model.scale.even) * std::f64::consts::LN_2 / model.scale.double;
    1.0 / (1.0 + (-logit).exp())
}

fn cutoff_json(found: &Cutoff, model: &ModelFile) -> Value {
    let points = found
        .threshold
        .filter(|share| *share > 0.0 && *share < 1.0)
        .map(|share| model.points((share / (1.0 - share)).ln()));
    let profit = i64::try_from(found.profit).ok().map(|micros| Micros::from_micros(micros).to_string());
    json!({ "probability": found.threshold, "points": points, "leads": found.leads, "positives": found.positives,
        "profit": profit })
}
