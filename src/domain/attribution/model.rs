//! The names of the models, as in scripts and reports, and the rules behind them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Vocabulary;
use super::counts::ORDER_MAX;
use super::names::NameError;
use super::rules::{MILESTONES_MAX, Milestone, PERCENT_MAX, Rule, Shape, WEIGHT_MAX};
use crate::domain::time::MICROS_PER_DAY;

/// An attribution model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Model {
    /// A rule of the user's own, by name and, if they pin it, version.
    Custom(String, Option<String>),
    /// All to the first touch.
    First,
    /// Milestones: first touch, lead, opportunity and sale a quarter of 90 % each, 10 % to the rest.
    FullPath,
    /// All to the last touch.
    Last,
    /// Even.
    Linear,
    /// Markov removal effects of this order.
    Markov(u8),
    /// 40 % first, 40 % last, 20 % between them.
    Position,
    /// What each touch adds to the conversion rate of its own path; true: neighbouring repeats are one touch.
    ShapleyCounterfactual(bool),
    /// Shapley value of the conversion rate by channels in order of their first touch.
    ShapleyOrdered,
    /// Shapley value of the conversion rate by set of channels.
    ShapleyRate,
    /// Shapley value of conversions within a set of channels.
    ShapleySets,
    /// Halved with each such age, in microseconds.
    TimeDecay(i64),
    /// Milestones: 40 % first touch, 40 % lead, 20 % the rest.
    UShaped,
    /// Milestones: 30 % first touch, lead and opportunity each, 10 % the rest.
    WShaped,
}

/// Why a text names no model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// A half-life that is not a number of days or hours.
    #[error("a half-life is whole days or hours from 1 to 3650, such as time_decay_7d or time_decay_12h")]
    HalfLife,
    /// An order that is not supported.
    #[error("a Markov model has an order from 1 to {ORDER_MAX}, such as markov:1")]
    Order,
    /// A model that a path file cannot feed.
    #[error("{0} needs touches with times and milestones, which a path file does not have")]
    NeedsTouches(String),
    /// No such model.
    #[error("no model is called so; models are {}", Model::NAMES.join(", "))]
    Unknown,
    /// A custom rule that was not given.
    #[error("no rule called {0} was given")]
    UnknownRule(String),
    /// A custom rule of another version.
    #[error("rule {name} is version {given}, not {asked}")]
    Version {
        /// The rule.
        name: String,
        /// The version that was given.
        given: String,
        /// The version that was asked for.
        asked: String,
    },
    /// A custom rule with a weight or factor out of range.
    #[error(
        "rule {0}: weights are at most {WEIGHT_MAX}, percentages at most {PERCENT_MAX}, milestones at most {MILESTONES_MAX}"
    )]
    RuleRange(String),
    /// A name in a rule that cannot be taken.
    #[error("rule {0}: {1}")]
    RuleName(String, NameError),
}

impl Model {
    /// The names there are, `<n>` standing for a number.
    pub const NAMES: [&str; 14] = [
        "first",
        "last",
        "linear",
        "position_40_20_40",
        "time_decay_<n>d",
        "u_shaped_40_40_20",
        "w_shaped_30_30_30_10",
        "full_path_22.5x4_10",
        "custom:<rule>[@<version>]",
        "markov:<order>",
        "shapley_sets",
        "shapley_rate",
        "shapley_ordered",
        "shapley_counterfactual_path[:exposure]",
    ];

    /// Reads a model's name. `position`, `u_shaped`, `w_shaped` and `full_path` do without their numbers.
    ///
    /// # Errors
    /// [`ModelError::Unknown`], [`ModelError::Order`] or [`ModelError::HalfLife`].
    pub fn parse(name: &str) -> Result<Model, ModelError> {
        Ok(match name {
            "first" => Model::First,
            "full_path" | "full_path_22.5x4_10" => Model::FullPath,
            "last" => Model::Last,
            "linear" => Model::Linear,
            "position" | "position_40_20_40" => Model::Position,
            "shapley_counterfactual_path" => Model::ShapleyCounterfactual(false),
            "shapley_counterfactual_path:exposure" => Model::ShapleyCounterfactual(true),
            "shapley_ordered" => Model::ShapleyOrdered,
            "shapley_rate" => Model::ShapleyRate,
            "shapley_sets" => Model::ShapleySets,
            "u_shaped" | "u_shaped_40_40_20" => Model::UShaped,
            "w_shaped" | "w_shaped_30_30_30_10" => Model::WShaped,
            other => return Model::parse_with_number(other),
        })
    }

    fn parse_with_number(name: &str) -> Result<Model, ModelError> {
        if let Some(order) = name.strip_prefix("markov:") {
            let order = order.parse().ok().filter(|order| (1..=ORDER_MAX).contains(order));
            return Ok(Model::Markov(order.ok_or(ModelError::Order)?));
        }
        if let Some(rule) = name.strip_prefix("custom:").filter(|rule| !rule.is_empty()) {
            let (rule, version) = rule.split_once('@').map_or((rule, None), |(rule, version)| (rule, Some(version)));
            return Ok(Model::Custom(rule.to_owned(), version.map(str::to_owned)));
        }
        let half_life = name.strip_prefix("time_decay_").ok_or(ModelError::Unknown)?;
        let (number, unit) = match (half_life.strip_suffix('d'), half_life.strip_suffix('h')) {
            (Some(days), _) => (days, MICROS_PER_DAY),
            (None, Some(hours)) => (hours, MICROS_PER_DAY / 24),
            (None, None) => return Err(ModelError::HalfLife),
        };
        let number: i64 = number.parse().map_err(|_| ModelError::HalfLife)?;
        if (1..=3650).contains(&number) { Ok(Model::TimeDecay(number * unit)) } else { Err(ModelError::HalfLife) }
    }

    /// The rule of a rule model; none for a model that looks at all journeys together. Milestones are
    /// `lead_created`, `opportunity_created` and `closed_won` (the last touch where none is marked).
    ///
    /// # Errors
    /// What is wrong with a custom rule.
    pub fn rule(&self, custom: &CustomRules, words: &mut Vocabulary) -> Result<Option<Rule>, ModelError> {
        let shape = match self {
            Model::Custom(name, version) => return custom.rule(name, version.as_deref(), words).map(Some),
            Model::First => Shape { first: 1, ..Shape::default() },
            Model::FullPath => Shape {
                first: 225,
                milestones: vec![
                    words.milestone("lead_created", 225, false)?,
                    words.milestone("opportunity_created", 225, false)?,
                    words.milestone("closed_won", 225, true)?,
                ],
                rest: 100,
                ..Shape::default()
            },
            Model::Last => Shape { last: 1, ..Shape::default() },
            Model::Linear => Shape { rest: 1, ..Shape::default() },
            Model::Position => Shape { first: 40, last: 40, rest: 20, ..Shape::default() },
            Model::TimeDecay(half_life) => return Ok(Some(Rule::Decay(*half_life))),
            Model::UShaped => Shape {
                first: 40,
                milestones: vec![words.milestone("lead_created", 40, false)?],
                rest: 20,
                ..Shape::default()
            },
            Model::WShaped => Shape {
                first: 30,
                milestones: vec![
                    words.milestone("lead_created", 30, false)?,
                    words.milestone("opportunity_created", 30, false)?,
                ],
                rest: 10,
                ..Shape::default()
            },
            Model::Markov(_)
            | Model::ShapleyCounterfactual(_)
            | Model::ShapleyOrdered
            | Model::ShapleyRate
            | Model::ShapleySets => return Ok(None),
        };
        Ok(Some(Rule::Shape(shape)))
    }
}

impl Vocabulary {
    fn milestone(&mut self, name: &str, weight: u32, else_last: bool) -> Result<Milestone, ModelError> {
        let mark = self.marks.id(name.as_bytes()).map_err(|error| ModelError::RuleName(name.to_owned(), error))?;
        Ok(Milestone { mark, weight, else_last })
    }
}

/// Rules of the user's own by name, as a file has them: tables `[<rule>]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct CustomRules(BTreeMap<String, CustomRule>);

/// One rule: relative weights by role, and factors in percent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomRule {
    /// Names this state of the rule; results cite it.
    pub version: String,
    /// Weight of the first touch.
    #[serde(default)]
    pub first: u32,
    /// Weight of the last touch.
    #[serde(default)]
    pub last: u32,
    /// Weight of all touches without a role together.
    #[serde(default)]
    pub rest: u32,
    /// Weights of the first touch that reached each milestone.
    #[serde(default)]
    pub milestones: BTreeMap<String, u32>,
    /// Percent by channel, 100 where not listed.
    #[serde(default)]
    pub channels: BTreeMap<String, u32>,
    /// Percent by kind of touch, 100 where not listed; 0 takes machine opens out.
    #[serde(default)]
    pub kinds: BTreeMap<String, u32>,
}

impl CustomRules {
    fn rule(&self, name: &str, version: Option<&str>, words: &mut Vocabulary) -> Result<Rule, ModelError> {
        let rule = self.0.get(name).ok_or_else(|| ModelError::UnknownRule(name.to_owned()))?;
        if let Some(asked) = version.filter(|asked| *asked != rule.version) {
            return Err(ModelError::Version {
                name: name.to_owned(),
                given: rule.version.clone(),
                asked: asked.to_owned(),
            });
        }
        let weights = rule.milestones.values().chain([&rule.first, &rule.last, &rule.rest]);
        let percents = rule.channels.values().chain(rule.kinds.values());
        let fits = weights.max().is_none_or(|weight| *weight <= WEIGHT_MAX)
            && percents.max().is_none_or(|percent| *percent <= PERCENT_MAX)
            && rule.milestones.len() <= MILESTONES_MAX;
        if !fits {
            return Err(ModelError::RuleRange(name.to_owned()));
        }
        let named = |error| ModelError::RuleName(name.to_owned(), error);
        let mut shape = Shape { first: rule.first, last: rule.last, rest: rule.rest, ..Shape::default() };
        for (mark, weight) in &rule.milestones {
            shape.milestones.push(words.milestone(mark, *weight, false)?);
        }
        for (channel, percent) in &rule.channels {
            shape.channels.insert(words.channels.id(channel.as_bytes()).map_err(named)?, *percent);
        }
        for (kind, percent) in &rule.kinds {
            shape.kinds.insert(words.marks.id(kind.as_bytes()).map_err(named)?, *percent);
        }
        Ok(Rule::Shape(shape))
    }
}
