//! Trained models in force: registered in the log, put in force by an event, and applied like the card.
//!
//! What was put in force last answers, a card or a model that is `champion`. Challengers score the same leads in their shadow: their scores are
//! recorded as not acted on. Nothing comes into force by itself.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::crypto::hash::{Digest, sha256};
use crate::decisions::packs;
use crate::decisions::route::{RouteError, Router, State};
use crate::domain::ids::PrincipalId;
use crate::domain::score::model_file::{ModelFile, ModelFileError};
use crate::domain::time::Timestamp;
use crate::ingest::{Ledger, Receipt};
use crate::policy::scoring::{Act, Card, Facts, FactsError, Stated};

/// The event that puts a model in force.
pub(in crate::decisions) const ACTIVATED: &str = "score.model_activated";
/// Outcomes that a score can name.
const OUTCOMES: [&str; 5] = ["accepted", "appointment", "return", "sale", "show"];
/// What begins the name of a feature that counts acts in the log.
const COUNTS: &str = "acts.";
/// Models in force at once.
const MODELS_MAX: usize = 16;

/// A model with the digest of its file.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// SHA-256 of the file's text: what scores cite.
    pub digest: Digest,
    /// The file.
    pub file: ModelFile,
}

/// How a model is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelRole {
    /// Its scores are acted on.
    Champion,
    /// It scores in the shadow.
    Challenger,
    /// Not at all.
    Retired,
}

impl ModelRole {
    /// The role of a name.
    pub fn from_name(name: &str) -> Option<ModelRole> {
        match name {
            "champion" => Some(ModelRole::Champion),
            "challenger" => Some(ModelRole::Challenger),
            "retired" => Some(ModelRole::Retired),
            _ => None,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            ModelRole::Champion => "champion",
            ModelRole::Challenger => "challenger",
            ModelRole::Retired => "retired",
        }
    }
}

/// Why a text is no model that can be put in force.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Not of the form of a model file.
    #[error("it is no model file: {0}")]
    Form(#[from] serde_json::Error),
    /// A number, feature or band that cannot be used.
    #[error(transparent)]
    File(#[from] ModelFileError),
    /// A name that an entry cannot carry.
    #[error("{0} is not 1 to 64 letters, digits, '.', '_' or '-', with a letter or digit first")]
    Name(String),
    /// A feature that counts acts which nobody knows.
    #[error("{0} counts no act that is known")]
    Act(String),
    /// It is not in force.
    #[error("it is not in force")]
    NotInForce,
    /// More than can be in force.
    #[error("{MODELS_MAX} models are in force: retire one first")]
    TooMany,
}

/// Digests of the models in force.
#[derive(Debug, Default, Clone)]
pub(in crate::decisions) struct InForce {
    pub champion: Option<String>,
    pub challengers: Vec<String>,
}

impl InForce {
    /// Takes an activation.
    pub fn take(&mut self, data: &Map<String, Value>) {
        let text = |name: &str| data.get(name).and_then(Value::as_str);
        let (Some("logistic"), Some(digest)) = (text("kind"), text("file_sha256")) else { return };
        self.challengers.retain(|known| known != digest);
        if self.champion.as_deref() == Some(digest) {
            self.champion = None;
        }
        match text("role").and_then(ModelRole::from_name) {
            Some(ModelRole::Champion) => self.champion = Some(digest.to_owned()),
            Some(ModelRole::Challenger) => self.challengers.push(digest.to_owned()),
            Some(ModelRole::Retired) | None => {}
        }
    }
}

/// What scores a lead.
#[derive(Debug, Clone)]
pub(super) enum Scorer {
    Card(Arc<Card>),
    Model(Arc<Model>),
}

impl Model {
    /// Reads a model file.
    ///
    /// # Errors
    /// [`ModelError`] names what is wrong.
    pub fn parse(text: &str) -> Result<Model, ModelError> {
        let file: ModelFile = serde_json::from_str(text)?;
        file.check()?;
        let names = file.features.iter().map(|feature| &feature.name).chain([&file.model, &file.version]);
        for name in names {
            let mut letters = name.bytes();
            let first = letters.next().is_some_and(|byte| byte.is_ascii_alphanumeric());
            let rest = letters.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
            if !first || !rest || name.len() > 64 {
                return Err(ModelError::Name(name.clone()));
            }
            if name.starts_with(COUNTS) && act(name).is_none() {
                return Err(ModelError::Act(name.clone()));
            }
        }
        Ok(Model { digest: sha256(text.as_bytes()), file })
    }

    /// Acts that it counts.
    pub(super) fn acts(&self) -> impl Iterator<Item = Act> {
        self.file.features.iter().filter_map(|feature| act(&feature.name))
    }

    /// Whether a stated feature is one of its own.
    pub(super) fn takes(&self, name: &str) -> bool {
        self.file.features.iter().any(|feature| feature.name == name && act(name).is_none())
    }

    /// Scores a lead: points, probability, and what each feature adds to the points of the mean lead.
    ///
    /// # Errors
    /// [`FactsError`] names a feature that is missing or no number: a guess would be another lead's score.
    pub(super) fn score(&self, facts: &Facts) -> Result<Map<String, Value>, FactsError> {
        let value = |name: &String| match (act(name), facts.features.get(name)) {
            #[expect(clippy::cast_precision_loss, reason = "at most some dozens of acts are counted")]
            (Some(act), _) => Ok(facts.acts.get(&act).map_or(0, Vec::len) as f64),
            (None, Some(stated)) => number(stated).ok_or_else(|| FactsError::Value(name.clone())),
            (None, None) => Err(FactsError::Missing(name.clone())),
        };
        let row = self.file.features.iter().map(|feature| value(&feature.name)).collect::<Result<Vec<f64>, _>>()?;
        let logistic = self.file.logistic();
        let logit = logistic.logit(&row);
        let points = self.file.points(logit);
        let reasons: Vec<Value> = self
            .file
            .reasons(&row)
            .into_iter()
            .map(|(name, points)| json!({ "rule": name, "points": points }))
            .collect();
        let mut data = Map::from_iter([
            ("model".to_owned(), json!(self.file.model)),
            ("model_version".to_owned(), json!(self.file.version)),
            ("pack_sha256".to_owned(), json!(self.digest)),
            ("score".to_owned(), json!(points)),
            ("probability".to_owned(), json!(format!("{:.9}", logistic.probability(&row)))),
            ("reasons".to_owned(), json!(reasons)),
        ]);
        let outcome = Some(&self.file.outcome).filter(|outcome| OUTCOMES.contains(&outcome.as_str()));
        data.extend(outcome.map(|outcome| ("outcome".to_owned(), json!(outcome))));
        data.extend(self.file.band(points).map(|band| ("band".to_owned(), json!(band))));
        Ok(data)
    }
}

/// The act that a feature counts.
fn act(name: &str) -> Option<Act> {
    serde_json::from_value(json!(name.strip_prefix(COUNTS)?)).ok()
}

/// A stated number: whole, or a decimal in a string.
fn number(stated: &Stated) -> Option<f64> {
    match stated {
        #[expect(clippy::cast_precision_loss, reason = "the schema takes numbers up to 2^53")]
        Stated::Number(number) => Some(*number as f64),
        Stated::Word(word) => {
            let digits = word.strip_prefix('-').unwrap_or(word);
            let plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
            word.parse::<f64>().ok().filter(|number| plain && number.is_finite())
        }
    }
}

impl State {
    pub(super) async fn model(&mut self, ledger: &Ledger, digest: &str) -> Result<Arc<Model>, RouteError> {
        if let Some(model) = self.models.get(digest) {
            return Ok(Arc::clone(model));
        }
        let text = packs::document(ledger, digest).await.map_err(|_| RouteError::NoModel)?;
        let model = Arc::new(Model::parse(&text)?);
        self.models.insert(digest.to_owned(), Arc::clone(&model));
        Ok(model)
    }
}

impl Router {
    /// What scores a lead now: the one that answers, and its challengers.
    pub(super) async fn scorers(&self, ledger: &Ledger) -> Result<(Scorer, Vec<Arc<Model>>), RouteError> {
        let (champion, challengers) = self.models(ledger).await?;
        let first = match champion {
            Some(model) => Scorer::Model(model),
            None => Scorer::Card(self.card(ledger).await?),
        };
        Ok((first, challengers))
    }

    /// The models in force: the champion, unless a card is, and the challengers.
    ///
    /// # Errors
    /// [`RouteError::NoModel`] if one was put in force whose file is not in the log.
    pub async fn models(&self, ledger: &Ledger) -> Result<(Option<Arc<Model>>, Vec<Arc<Model>>), RouteError> {
        let mut state = self.state.lock().await;
        state.catch_up(ledger).await?;
        let InForce { champion, challengers } = state.in_force.clone();
        let champion = match champion {
            Some(digest) => Some(state.model(ledger, &digest).await?),
            None => None,
        };
        let mut found = Vec::with_capacity(challengers.len());
        for digest in challengers {
            found.push(state.model(ledger, &digest).await?);
        }
        Ok((champion, found))
    }

    /// The model of a digest, as the log keeps it.
    pub(super) async fn model_of(&self, ledger: &Ledger, digest: &str) -> Result<Arc<Model>, RouteError> {
        self.state.lock().await.model(ledger, digest).await
    }

    /// Registers a model and puts it in force.
    ///
    /// # Errors
    /// [`RouteError::Model`] names what is wrong with it; nothing is recorded then.
    pub async fn model_activate(
        &self,
        ledger: &Ledger,
        text: &str,
        role: ModelRole,
        actor: PrincipalId,
        now: Option<Timestamp>,
    ) -> Result<(Model, Receipt), RouteError> {
        let model = Model::parse(text)?;
        let (_, challengers) = self.models(ledger).await?;
        if challengers.len() >= MODELS_MAX {
            return Err(ModelError::TooMany.into());
        }
        packs::register_document(ledger, "scoring", &model.file.version, text, now).await?;
        let receipt = self.model_told(ledger, &model, role, actor, now).await?;
        Ok((model, receipt))
    }

    /// Takes a model out of force.
    ///
    /// # Errors
    /// [`ModelError::NotInForce`] if none of that digest is.
    pub async fn model_retire(
        &self,
        ledger: &Ledger,
        digest: &str,
        actor: PrincipalId,
        now: Option<Timestamp>,
    ) -> Result<Receipt, RouteError> {
        let (champion, challengers) = self.models(ledger).await?;
        let mut all = champion.into_iter().chain(challengers);
        let model = all.find(|model| model.digest.to_string() == digest).ok_or(ModelError::NotInForce)?;
        self.model_told(ledger, &model, ModelRole::Retired, actor, now).await
    }

    async fn model_told(
        &self,
        ledger: &Ledger,
        model: &Model,
        role: ModelRole,
        actor: PrincipalId,
        now: Option<Timestamp>,
    ) -> Result<Receipt, RouteError> {
        let file = &model.file;
        let mut data = json!({
            "model": file.model, "model_version": file.version, "kind": "logistic", "role": role.name(),
            "file_sha256": model.digest, "rows": file.rows,
        });
        if let (true, Value::Object(data)) = (OUTCOMES.contains(&file.outcome.as_str()), &mut data) {
            data.insert("outcome".to_owned(), json!(file.outcome));
        }
        Ok(ledger.record_own(ACTIVATED, None, data, actor, now).await?)
    }
}
