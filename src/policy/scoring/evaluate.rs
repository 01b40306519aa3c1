//! Points of one lead by a card, with the reasons that add up to them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::card::{Act, Card, Condition, Feature, POINTS_MAX, Rule};
use super::decay::decayed;

/// What is known of a lead.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Facts {
    /// Ages of acts in seconds, the newest first.
    pub acts: BTreeMap<Act, Vec<u64>>,
    /// What the caller states.
    pub features: BTreeMap<String, Stated>,
}

/// A stated feature.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Stated {
    /// A whole number.
    Number(i64),
    /// A word.
    Word(String),
}

/// Facts that a card does not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FactsError {
    /// Not declared.
    #[error("no feature {0} is declared")]
    Unknown(String),
    /// Of another kind, out of bounds, or another word.
    #[error("feature {0} has no such value")]
    Value(String),
    /// Needed by a model, and not stated.
    #[error("feature {0} is needed and was not stated")]
    Missing(String),
    /// Ages that do not ascend.
    #[error("ages of acts begin with the newest")]
    Order,
}

/// Why points were given or taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Reason<'a> {
    /// Id of the rule, or name of the group whose bound cut the sum.
    pub code: &'a str,
    /// Points added.
    pub points: i64,
    /// The bound of a group, not a rule.
    pub bound: bool,
}

/// A lead's score.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Scored<'a> {
    /// Points.
    pub score: i64,
    /// Band of the card.
    pub band: Option<&'a str>,
    /// Points that everybody has.
    pub base: i64,
    /// What else adds up to the score, the largest first.
    pub reasons: Vec<Reason<'a>>,
}

impl Facts {
    /// Checks that a card takes these facts: a feature misspelt and ignored would be another lead's score.
    ///
    /// # Errors
    /// [`FactsError`] names the feature, never its value.
    pub fn check(&self, card: &Card) -> Result<(), FactsError> {
        for (name, stated) in &self.features {
            let feature = card.features.iter().find(|feature| feature.name() == name);
            let feature = feature.ok_or_else(|| FactsError::Unknown(name.clone()))?;
            let fits = match (feature, stated) {
                (Feature::Number { from, to, .. }, Stated::Number(number)) => (from..=to).contains(&number),
                (Feature::Word { words, .. }, Stated::Word(word)) => words.contains(word),
                (Feature::Number { .. }, Stated::Word(_)) | (Feature::Word { .. }, Stated::Number(_)) => false,
            };
            if !fits {
                return Err(FactsError::Value(name.clone()));
            }
        }
        match self.acts.values().all(|ages| ages.is_sorted()) {
            true => Ok(()),
            false => Err(FactsError::Order),
        }
    }
}

/// Scores a lead whose facts were checked.
pub fn evaluate<'a>(card: &'a Card, facts: &Facts) -> Scored<'a> {
    let mut sums = vec![0i64; card.groups.len()];
    let mut reasons = Vec::new();
    let mut score = card.base;
    for rule in &card.rules {
        let points = points_of(rule, facts);
        if points == 0 {
            continue;
        }
        reasons.push(Reason { code: &rule.id, points, bound: false });
        match rule.group.and_then(|place| sums.get_mut(place)) {
            Some(sum) => *sum += points,
            None => score += points,
        }
    }
    for (group, sum) in card.groups.iter().zip(sums) {
        let bounded = sum.max(group.min.unwrap_or(i64::MIN)).min(group.max.unwrap_or(i64::MAX));
        if bounded != sum {
            reasons.push(Reason { code: &group.name, points: bounded - sum, bound: true });
        }
        score += bounded;
    }
    let clamped = score.clamp(-POINTS_MAX, POINTS_MAX);
    if clamped != score {
        reasons.push(Reason { code: "range", points: clamped - score, bound: true });
    }
    // Stable: rules of the same weight stay in the order of the card.
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.points.unsigned_abs()));
    Scored { score: clamped, band: card.band(clamped), base: card.base, reasons }
}

fn points_of(rule: &Rule, facts: &Facts) -> i64 {
    match &rule.when {
        Condition::Acts { act, within, half_life, times } => {
            let ages = facts.acts.get(act).into_iter().flatten().copied();
            let young = ages.take_while(|age| within.is_none_or(|within| *age <= within));
            let counted = young.take(usize::try_from(*times).unwrap_or(usize::MAX));
            counted.map(|age| half_life.map_or(rule.points, |half| decayed(rule.points, age, half))).sum()
        }
        Condition::Number { feature, from, to } => match facts.features.get(feature) {
            Some(Stated::Number(number))
                if from.is_none_or(|from| *number >= from) && to.is_none_or(|to| *number <= to) =>
            {
                rule.points
            }
            _ => 0,
        },
        Condition::Word { feature, words } => match facts.features.get(feature) {
            Some(Stated::Word(word)) if words.contains(word) => rule.points,
            _ => 0,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::scoring::builtin;

    const DAY: u64 = 86_400;

    fn card(text: &str) -> Card {
        Card::parse(&format!("pack='scoring'\nversion='1'\n{text}")).unwrap()
    }

    fn acts(act: Act, days: &[u64]) -> Facts {
        let ages = days.iter().map(|day| day * DAY).collect();
        Facts { acts: BTreeMap::from([(act, ages)]), ..Facts::default() }
    }

    fn told<'a>(scored: &Scored<'a>) -> Vec<(&'a str, i64)> {
        scored.reasons.iter().map(|reason| (reason.code, reason.points)).collect()
    }

    #[test]
    fn nobody_known_has_the_base_and_no_reasons() {
        let card = card("base=7\n[[rule]]\nid='r'\npoints=5\nact='reply'");
        let scored = evaluate(&card, &Facts::default());
        assert_eq!((scored.score, scored.band, scored.reasons.len()), (7, None, 0));
    }

    #[test]
    fn acts_count_by_age_as_often_as_said_and_no_longer_than_said() {
        let card = card("[[rule]]\nid='r'\npoints=40\nact='reply'\nwithin_days=30\nhalf_life_days=10\ntimes=3");
        // 40, 20 and 10; the fourth is one too many.
        assert_eq!(evaluate(&card, &acts(Act::Reply, &[0, 10, 20, 21])).score, 70);
        // The last day counts, the one after does not.
        assert_eq!(evaluate(&card, &acts(Act::Reply, &[30])).score, 5);
        assert_eq!(evaluate(&card, &acts(Act::Reply, &[31])).score, 0);
        assert_eq!(evaluate(&card, &acts(Act::Click, &[0])).score, 0, "another act is no reply");
    }

    #[test]
    fn groups_bound_both_ways_and_say_so() {
        let bounds = "[[group]]\nname='up'\nmax=30\n[[group]]\nname='down'\nmin=-25\n";
        let rules = "[[rule]]\nid='a'\ngroup='up'\npoints=20\nact='reply'\ntimes=2\n\
                     [[rule]]\nid='b'\ngroup='down'\npoints=-20\nact='stop'\ntimes=2\n\
                     [[rule]]\nid='c'\npoints=20\nact='sale'\ntimes=2";
        let card = card(&format!("{bounds}{rules}"));
        let up = evaluate(&card, &acts(Act::Reply, &[1, 2]));
        assert_eq!((up.score, told(&up)), (30, vec![("a", 40), ("up", -10)]));
        let down = evaluate(&card, &acts(Act::Stop, &[1, 2]));
        assert_eq!((down.score, told(&down)), (-25, vec![("b", -40), ("down", 15)]));
        // The twins within bounds are not cut.
        assert_eq!(told(&evaluate(&card, &acts(Act::Reply, &[1]))), [("a", 20)]);
        assert_eq!(told(&evaluate(&card, &acts(Act::Sale, &[1, 2]))), [("c", 40)], "no group, no bound");
    }

    #[test]
    fn bands_begin_at_their_points() {
        let card = card("[[band]]\nname='A'\nfrom=50\n[[band]]\nname='B'\nfrom=0\n[[band]]\nname='C'");
        let bands: Vec<Option<&str>> = [51, 50, 49, 0, -1].iter().map(|score| card.band(*score)).collect();
        assert_eq!(bands, [Some("A"), Some("A"), Some("B"), Some("B"), Some("C")]);
    }

    #[test]
    fn reasons_add_up_to_the_score_whatever_the_facts() {
        let card = builtin().unwrap();
        let mut word = 9u64;
        let mut roll = |sides: u64| {
            word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (word >> 33) % sides
        };
        let mut cut = 0;
        for _ in 0..2_000 {
            let mut facts = Facts::default();
            for act in [Act::Reply, Act::AnsweredCall, Act::Booking, Act::Click, Act::NoShow, Act::Stop] {
                let mut ages: Vec<u64> = (0..roll(5)).map(|_| roll(120 * DAY)).collect();
                ages.sort_unstable();
                facts.acts.insert(act, ages);
            }
            let equity = i64::try_from(roll(101)).unwrap();
            facts.features.insert("equity_percent".to_owned(), Stated::Number(equity));
            facts.check(card).unwrap();
            let scored = evaluate(card, &facts);
            assert_eq!(scored.base + scored.reasons.iter().map(|reason| reason.points).sum::<i64>(), scored.score);
            cut += u32::from(scored.reasons.iter().any(|reason| reason.bound));
            assert_eq!(scored, evaluate(card, &facts.clone()), "the same facts, the same score");
        }
        assert!(cut > 100, "bounds were met: {cut}");
    }

    #[test]
    fn a_total_outside_the_range_of_scores_is_cut_and_says_so() {
        let card = card("base=100000\n[[rule]]\nid='r'\npoints=5\nact='sale'");
        let scored = evaluate(&card, &acts(Act::Sale, &[1]));
        assert_eq!((scored.score, told(&scored)), (100_000, vec![("r", 5), ("range", -5)]));
    }

    #[test]
    fn what_the_card_does_not_declare_is_refused_and_its_twin_is_taken() {
        let card = builtin().unwrap();
        let with = |name: &str, stated: Stated| {
            Facts { features: BTreeMap::from([(name.to_owned(), stated)]), ..Facts::default() }.check(card)
        };
        let word = |text: &str| Stated::Word(text.to_owned());
        assert_eq!(with("equity_percent", Stated::Number(100)), Ok(()));
        assert_eq!(with("ownership", word("absentee")), Ok(()));
        assert_eq!(with("equity", Stated::Number(1)), Err(FactsError::Unknown("equity".to_owned())));
        for (name, stated) in [
            ("equity_percent", Stated::Number(101)),
            ("equity_percent", word("high")),
            ("ownership", word("rented")),
            ("ownership", Stated::Number(1)),
        ] {
            assert_eq!(with(name, stated), Err(FactsError::Value(name.to_owned())));
        }
        assert_eq!(acts(Act::Reply, &[2, 1]).check(card), Err(FactsError::Order));
    }
}
