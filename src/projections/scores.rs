//! Projection `scores`: every score that a lead was given, so that what came of it can be held against it.

use std::borrow::Cow;

use serde::Deserialize;

use super::Projection;
use super::fact::{Fact, FoldError};
use crate::store::views::{ScoreRow, ViewsBatch};

/// A batch of `scores`.
#[derive(Debug, Default)]
pub struct Scores {
    rows: Vec<ScoreRow>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    model: Cow<'a, str>,
    #[serde(borrow)]
    model_version: Cow<'a, str>,
    score: i64,
    #[serde(borrow, default)]
    band: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    probability: Option<Cow<'a, str>>,
    #[serde(default = "acted_on")]
    champion: bool,
    #[serde(borrow, default)]
    campaign: Option<Cow<'a, str>>,
}

/// A score is used unless it says that it is not.
const fn acted_on() -> bool {
    true
}

impl Projection for Scores {
    const NAME: &'static str = "scores";
    const VERSION: i64 = 1;

    fn reads(event_type: &str) -> bool {
        event_type == "score.assigned"
    }

    fn fold(&mut self, fact: &Fact<'_>) -> Result<(), FoldError> {
        let (Some(link), Some(business)) = (fact.entry.subject, fact.business()?) else { return Ok(()) };
        let data: Data<'_> = business.data()?;
        let owned = |text: Option<Cow<'_, str>>| text.unwrap_or_default().into_owned();
        self.rows.push(ScoreRow {
            subject: *link.subject.as_bytes(),
            position: fact.position,
            occurred: business.occurred(fact)?,
            recorded: fact.recorded(),
            points: data.score,
            chance: data.probability.as_deref().map(billionths).transpose()?,
            aside: !data.champion,
            model: data.model.into_owned(),
            version: data.model_version.into_owned(),
            band: owned(data.band),
            campaign: owned(data.campaign),
        });
        Ok(())
    }

    fn finish(self, batch: &mut ViewsBatch) {
        batch.scores = self.rows;
    }
}

/// A decimal from 0 to 1 with at most nine decimals.
fn billionths(text: &str) -> Result<i64, FoldError> {
    let unreadable = FoldError("probability_unreadable");
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    if decimals.is_empty() || decimals.len() > 9 || !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Err(unreadable);
    }
    let read = |digits: &str| digits.parse::<i64>().map_err(|_| unreadable);
    let value = read(whole)?.saturating_mul(1_000_000_000).saturating_add(read(&format!("{decimals:0<9}"))?);
    if value > 1_000_000_000 { Err(unreadable) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probability_is_read_to_the_billionth_and_nothing_else_is_one() {
        for (text, value) in
            [("0", 0), ("1", 1_000_000_000), ("0.184", 184_000_000), ("0.000000001", 1), ("1.0", 1_000_000_000)]
        {
            assert_eq!(billionths(text), Ok(value), "{text}");
        }
        for text in ["", ".", "0.", ".5", "1.1", "-0.5", "0.0000000001", "2", "0.1.2"] {
            assert!(billionths(text).is_err(), "{text}");
        }
    }
}
