//! Several models over the same journeys in one pass.

use super::bands::{Bands, Sample};
use super::journey::Touch;
use super::model::{CustomRules, Model, ModelError};
use super::path_file::Walk;
use super::tally::{Answer, Tally};
use super::{NameId, Vocabulary};

/// Models and what they have taken in.
#[derive(Debug, Clone)]
pub struct Study {
    /// Names of channels and marks.
    pub words: Vocabulary,
    models: Vec<(String, Tally)>,
    /// The models as they were before the first journey, and the journeys, when bands are wanted.
    sample: Option<(Vec<Tally>, Sample)>,
}

/// One channel in a model's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelCredit {
    /// The channel; [`NOBODY`] for what no touch could earn.
    pub channel: String,
    /// Conversions; none where the model has nothing to go by.
    pub conversions: Option<f64>,
    /// Value, in the unit that went in; none where the model has nothing to go by.
    pub value: Option<f64>,
    /// Removal effects on conversions and value, of a Markov model.
    pub effects: Option<(Option<f64>, Option<f64>)>,
    /// Bands, when they were asked for.
    pub bands: Option<Bands>,
}

/// The name under which conversions stand that no touch could earn.
pub const NOBODY: &str = "(unattributed)";

impl Study {
    /// A study of models by name. `paths_only` says that journeys come without times and milestones, `banded` that they
    /// are to be kept for bands.
    ///
    /// # Errors
    /// The name that is no model here, and why.
    pub fn new<'a>(
        names: impl IntoIterator<Item = &'a str>,
        paths_only: bool,
        banded: bool,
        custom: &CustomRules,
    ) -> Result<Study, (String, ModelError)> {
        let mut words = Vocabulary::default();
        let mut models: Vec<(String, Tally)> = Vec::new();
        for name in names {
            if models.iter().any(|(known, _)| known == name) {
                continue;
            }
            let tally = Model::parse(name).and_then(|model| Tally::new(&model, name, paths_only, custom, &mut words));
            models.push((name.to_owned(), tally.map_err(|error| (name.to_owned(), error))?));
        }
        let empty = || models.iter().map(|(_, tally)| tally.clone()).collect();
        let sample = banded.then(|| (empty(), Sample::default()));
        Ok(Study { words, models, sample })
    }

    /// Takes in journeys that took the same steps.
    #[inline]
    pub fn add(&mut self, walk: &Walk<'_>) {
        for (_, tally) in &mut self.models {
            tally.add(walk);
        }
        if let Some((_, sample)) = &mut self.sample {
            sample.add(walk);
        }
    }

    /// Takes in one journey: the touches that count in order, and the cents of its conversion if it converted. What rule
    /// models give each touch is handed to `credited` with the model's name.
    pub fn add_journey(&mut self, touches: &[Touch], cents: Option<i64>, mut credited: impl FnMut(&str, &Touch, i64)) {
        for (name, tally) in &mut self.models {
            tally.add_journey(touches, cents, 1.0, |touch, part| credited(name, touch, part));
        }
        if let Some((_, sample)) = &mut self.sample {
            sample.add_journey(touches, cents);
        }
    }

    /// The models and their answers, channels by name.
    pub fn answers(&self, replicates: u32, seed: u64) -> Vec<(&str, Vec<ChannelCredit>)> {
        let channels = self.words.channels.len();
        let answer = |(at, (_, tally)): (usize, &'_ (String, Tally))| {
            let sampled = self.sample.as_ref().and_then(|(empty, sample)| Some((empty.get(at)?, sample)));
            let bands = sampled.map(|(empty, sample)| sample.bands(empty, channels, replicates, seed));
            self.by_channel(&tally.answer(channels), bands.as_deref())
        };
        let names = self.models.iter().map(|(name, _)| name.as_str());
        names.zip(self.models.iter().enumerate().map(answer)).collect()
    }

    fn by_channel(&self, answer: &Answer, bands: Option<&[Bands]>) -> Vec<ChannelCredit> {
        let mut rows: Vec<ChannelCredit> = (answer.sums.channels.iter().enumerate())
            .map(|(at, credit)| ChannelCredit {
                channel: self.words.channels.text(at as NameId).to_owned(),
                conversions: answer.has_conversions.then_some(credit.conversions),
                value: answer.has_value.then_some(credit.value),
                effects: answer.effects.as_ref().map(|effects| {
                    let of = |effects: &Option<Vec<f64>>| effects.as_ref()?.get(at).copied();
                    (of(&effects.conversions), of(&effects.value))
                }),
                bands: bands.and_then(|bands| bands.get(at).copied()),
            })
            .collect();
        rows.sort_by(|a, b| a.channel.cmp(&b.channel));
        let nobody = answer.sums.nobody;
        if nobody.conversions != 0.0 || nobody.value != 0.0 {
            rows.push(ChannelCredit {
                channel: NOBODY.to_owned(),
                conversions: Some(nobody.conversions),
                value: Some(nobody.value),
                effects: None,
                bands: None,
            });
        }
        rows
    }
}
