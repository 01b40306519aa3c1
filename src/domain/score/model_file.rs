//! A trained model as a file: what it needs to be applied anywhere, and how it was made.
//!
//! A model file is named by its SHA-256; `score.model_activated` names the same digest. Points are the log odds on a scale
//! that people can remember: so many points at even odds, so many more for twice the odds.
#![expect(clippy::float_arithmetic, reason = "a statistical model; no money is here")]
#![expect(clippy::cast_possible_truncation, reason = "clamped to the range of a score before it is rounded")]

use serde::{Deserialize, Serialize};

use super::logistic::Logistic;

/// The only format there is.
pub const MODEL_FORMAT: &str = "tallystick-model/1";
/// Greatest number of points either way: what `score.assigned` can carry.
const POINTS_MAX: f64 = 100_000.0;

/// One feature of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureWeight {
    /// Name of its column.
    pub name: String,
    /// Log odds that one unit adds.
    pub coefficient: f64,
    /// Mean in training.
    pub mean: f64,
}

/// How log odds become points.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// Points at even odds.
    pub even: f64,
    /// Points that twice the odds add.
    pub double: f64,
}

/// A model file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFile {
    /// [`MODEL_FORMAT`].
    pub format: String,
    /// Name of the model.
    pub model: String,
    /// Its version.
    pub version: String,
    /// Column that it predicts.
    pub outcome: String,
    /// Log odds where all features are zero.
    pub intercept: f64,
    /// Its features, in order.
    pub features: Vec<FeatureWeight>,
    /// How log odds become points.
    pub scale: Scale,
    /// Inverse penalty it was trained with.
    pub c: f64,
    /// Rows it was trained on.
    pub rows: u64,
    /// Of these, those whose outcome came.
    pub positives: u64,
    /// SHA-256 of the file it was trained on.
    pub trained_on: String,
    /// Bands of its points, the highest first; none: its scores have no band.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bands: Vec<ModelBand>,
}

/// A band of points.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelBand {
    /// Its name: a capital, and a digit or none.
    pub name: String,
    /// Least points.
    pub from: i32,
}

/// A model file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelFileError {
    /// Another format.
    #[error("the format is not {MODEL_FORMAT}")]
    Format,
    /// A number that is not finite, or a scale that does not rise.
    #[error("a number of the model cannot be used")]
    Number,
    /// A feature that stands twice.
    #[error("a feature stands twice")]
    FeatureTwice,
    /// Bands that do not descend, or a name that is none.
    #[error("bands are a capital with a digit or none, the highest first")]
    Bands,
}

impl ModelFile {
    /// Checks what the file's form does not say.
    ///
    /// # Errors
    /// [`ModelFileError`].
    pub fn check(&self) -> Result<(), ModelFileError> {
        if self.format != MODEL_FORMAT {
            return Err(ModelFileError::Format);
        }
        let weights = self.features.iter().flat_map(|feature| [feature.coefficient, feature.mean]);
        let numbers = weights.chain([self.intercept, self.scale.even, self.scale.double, self.c]);
        if numbers.into_iter().any(|number| !number.is_finite()) || self.scale.double <= 0.0 {
            return Err(ModelFileError::Number);
        }
        let named = |band: &ModelBand| match band.name.as_bytes() {
            [letter] => letter.is_ascii_uppercase(),
            [letter, digit] => letter.is_ascii_uppercase() && digit.is_ascii_digit(),
            _ => false,
        };
        let descend = self.bands.iter().zip(self.bands.iter().skip(1)).all(|(higher, lower)| higher.from > lower.from);
        if !descend || !self.bands.iter().all(named) {
            return Err(ModelFileError::Bands);
        }
        let mut names: Vec<&str> = self.features.iter().map(|feature| feature.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        if names.len() == self.features.len() { Ok(()) } else { Err(ModelFileError::FeatureTwice) }
    }

    /// The model.
    pub fn logistic(&self) -> Logistic {
        Logistic {
            intercept: self.intercept,
            coefficients: self.features.iter().map(|feature| feature.coefficient).collect(),
            means: self.features.iter().map(|feature| feature.mean).collect(),
        }
    }

    fn to_points(&self, logit: f64) -> i32 {
        let points = logit * self.scale.double / std::f64::consts::LN_2;
        points.clamp(-POINTS_MAX, POINTS_MAX).round() as i32
    }

    /// Points of log odds.
    pub fn points(&self, logit: f64) -> i32 {
        let points = self.scale.even + logit * self.scale.double / std::f64::consts::LN_2;
        points.clamp(-POINTS_MAX, POINTS_MAX).round() as i32
    }

    /// The band of points.
    pub fn band(&self, points: i32) -> Option<&str> {
        self.bands.iter().find(|band| points >= band.from).map(|band| band.name.as_str())
    }

    /// What each feature of a row adds to the points of the mean row; largest first, and none that adds nothing.
    pub fn reasons(&self, row: &[f64]) -> Vec<(String, i32)> {
        let parts = self.logistic().contributions(row);
        let told = self.features.iter().zip(parts).map(|(feature, part)| (feature.name.clone(), self.to_points(part)));
        let mut reasons: Vec<(String, i32)> = told.filter(|(_, points)| *points != 0).collect();
        reasons.sort_by_key(|(_, points)| std::cmp::Reverse(points.unsigned_abs()));
        reasons
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> ModelFile {
        let feature =
            |name: &str, coefficient: f64, mean: f64| FeatureWeight { name: name.to_owned(), coefficient, mean };
        ModelFile {
            format: MODEL_FORMAT.to_owned(),
            model: "fit".to_owned(),
            version: "1".to_owned(),
            outcome: "sale".to_owned(),
            intercept: 0.0,
            features: vec![feature("equity", 1.0, 0.5), feature("age", -2.0, 0.0)],
            scale: Scale { even: 500.0, double: 20.0 },
            c: 1.0,
            rows: 2,
            positives: 1,
            trained_on: "0".repeat(64),
            bands: vec![ModelBand { name: "A".to_owned(), from: 510 }, ModelBand { name: "B2".to_owned(), from: 0 }],
        }
    }

    #[test]
    fn twice_the_odds_are_so_many_points_more() {
        let model = file();
        assert_eq!((model.points(0.0), model.points(std::f64::consts::LN_2), model.points(-1e9)), (500, 520, -100_000));
        assert_eq!((model.band(510), model.band(509), model.band(-1)), (Some("A"), Some("B2"), None));
        assert_eq!(model.reasons(&[1.0, 1.0]), [("age".to_owned(), -58), ("equity".to_owned(), 14)]);
    }

    #[test]
    fn a_file_that_cannot_be_used_is_refused() {
        assert_eq!(file().check(), Ok(()));
        let with = |change: fn(&mut ModelFile)| {
            let mut model = file();
            change(&mut model);
            model.check()
        };
        assert_eq!(with(|model| model.format = "other/1".to_owned()), Err(ModelFileError::Format));
        assert_eq!(with(|model| model.intercept = f64::NAN), Err(ModelFileError::Number));
        assert_eq!(with(|model| model.scale.double = 0.0), Err(ModelFileError::Number));
        assert_eq!(with(|model| model.bands.reverse()), Err(ModelFileError::Bands));
        assert_eq!(with(|model| model.bands[0].name = "a".to_owned()), Err(ModelFileError::Bands));
        assert_eq!(with(|model| model.features[1].name = "equity".to_owned()), Err(ModelFileError::FeatureTwice));
    }
}
