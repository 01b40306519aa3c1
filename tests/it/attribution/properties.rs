use proptest::prelude::*;
use tallystick::domain::attribution::books::{Books, Credited};
use tallystick::domain::attribution::counts::Counts;
use tallystick::domain::attribution::journey::{Lookback, Touch, sort};
use tallystick::domain::attribution::markov::removal_effects;
use tallystick::domain::attribution::study::{ChannelCredit, NOBODY, Study};
use tallystick::domain::attribution::{CustomRules, Model, Vocabulary, Walk};
use tallystick::domain::time::{MICROS_PER_DAY, Timestamp};

use super::reference::{self, Row};

const CHANNELS: u32 = 5;
const WALK_MODELS: [&str; 9] = [
    "first",
    "last",
    "linear",
    "position",
    "markov:1",
    "shapley_sets",
    "shapley_rate",
    "shapley_ordered",
    "shapley_counterfactual_path",
];
const RULES: [&str; 8] = ["first", "last", "linear", "position", "time_decay_7d", "u_shaped", "w_shaped", "full_path"];

fn row() -> impl Strategy<Value = Row> {
    let steps = prop::collection::vec(0..CHANNELS, 1..9);
    (steps, 0_u32..5, 0_u32..9, -40_i32..200).prop_map(|(steps, conversions, nulls, value)| Row {
        steps,
        conversions,
        nulls,
        value: if conversions > 0 { value } else { 0 },
    })
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    prop::collection::vec(row(), 1..25)
}

fn walk(row: &Row) -> Walk<'_> {
    let (conversions, nulls) = (f64::from(row.conversions), f64::from(row.nulls));
    Walk { steps: &row.steps, conversions, nulls, value: f64::from(row.value) }
}

fn counts_of(rows: &[Row], order: u8) -> Counts {
    let mut counts = Counts::new(order);
    for row in rows {
        let walk = walk(row);
        counts.add(walk.steps, walk.conversions, walk.nulls, walk.value);
    }
    counts
}

fn study(models: &[&str], paths_only: bool) -> Study {
    let mut study = Study::new(models.iter().copied(), paths_only, false, &CustomRules::default()).unwrap();
    for channel in 0..CHANNELS {
        study.words.channels.id(format!("c{channel}").as_bytes()).unwrap();
    }
    study
}

fn answers(rows: &[Row], models: &[&str]) -> Vec<(String, Vec<ChannelCredit>)> {
    let mut study = study(models, true);
    rows.iter().for_each(|row| study.add(&walk(row)));
    study.answers(0, 0).into_iter().map(|(name, rows)| (name.to_owned(), rows)).collect()
}

fn conversions(rows: &[Row], model: &str) -> Vec<f64> {
    let answers = answers(rows, &[model]);
    answers[0].1.iter().filter(|credit| credit.channel != NOBODY).map(|credit| credit.conversions.unwrap()).collect()
}

fn close(a: f64, b: f64, relative: f64) -> bool {
    (a - b).abs() <= relative * a.abs().max(b.abs()).max(1.0)
}

fn assert_close(a: &[f64], b: &[f64], what: &str) {
    assert_eq!(a.len(), b.len());
    assert!(a.iter().zip(b).all(|(a, b)| close(*a, *b, 1e-9)), "{what}: {a:?} {b:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn markov_equals_a_dense_solution_per_removal(rows in rows(), order in 1_u8..=5) {
        let found = removal_effects(&counts_of(&rows, order), CHANNELS as usize);
        let expected = reference::markov_effects(&rows, usize::from(order), CHANNELS);
        prop_assert_eq!(found.conversions.is_some(), expected.is_some());
        if let (Some(found_conversions), Some((conversions, value))) = (found.conversions, expected) {
            assert_close(&found_conversions, &conversions, "conversions");
            if let (Some(found), Some(expected)) = (found.value, value) {
                // Values of both signs may nearly cancel in the total that the effects are taken of.
                prop_assert!(found.iter().zip(&expected).all(|(a, b)| close(*a, *b, 1e-7)), "{:?} {:?}", found, expected);
            }
        }
    }

    #[test]
    fn shapley_equals_its_definition(rows in rows()) {
        assert_close(&conversions(&rows, "shapley_sets"), &reference::shapley_sets(&rows, CHANNELS), "sets");
        assert_close(&conversions(&rows, "shapley_rate"), &reference::shapley_rate(&rows, CHANNELS, false), "rate");
        assert_close(&conversions(&rows, "shapley_ordered"), &reference::shapley_rate(&rows, CHANNELS, true), "ordered");
    }

    #[test]
    fn credit_sums_to_what_was_earned(rows in rows()) {
        let total: f64 = rows.iter().map(|row| f64::from(row.conversions)).sum();
        let value: f64 = rows.iter().map(|row| f64::from(row.value)).sum();
        for (model, credits) in answers(&rows, &WALK_MODELS) {
            if let Some(sum) = credits.iter().map(|credit| credit.conversions).sum::<Option<f64>>() {
                prop_assert!(close(sum, total, 1e-9), "{model}: {sum} of {total}");
            }
            if let Some(sum) = credits.iter().map(|credit| credit.value).sum::<Option<f64>>() {
                prop_assert!(close(sum, value, 1e-9), "{model}: {sum} of {value}");
            }
        }
    }

    #[test]
    fn the_order_of_rows_changes_nothing(rows in rows(), seed: u64) {
        let mut shuffled = rows.clone();
        shuffled.sort_by_key(|row| (seed ^ u64::from(row.nulls)).wrapping_mul(0x9e37_79b9 + row.steps.len() as u64));
        for ((model, a), (_, b)) in answers(&rows, &WALK_MODELS).iter().zip(answers(&shuffled, &WALK_MODELS)) {
            for (a, b) in a.iter().zip(b) {
                prop_assert_eq!(a.conversions.is_some(), b.conversions.is_some());
                let (a, b) = (a.conversions.unwrap_or_default(), b.conversions.unwrap_or_default());
                prop_assert!(close(a, b, 1e-12), "{model}: {a} {b}");
            }
        }
    }

    #[test]
    fn journeys_without_conversion_are_never_ignored(mut rows in rows()) {
        // The twin of the peer that gives them weight 0: more of them lower the rate that the effects rest on.
        let before = removal_effects(&counts_of(&rows, 1), CHANNELS as usize).conversion_rate;
        rows.push(Row { steps: vec![0, 1], conversions: 0, nulls: 50, value: 0 });
        let after = removal_effects(&counts_of(&rows, 1), CHANNELS as usize).conversion_rate.unwrap();
        prop_assert!(after < before.unwrap_or(0.0) || after == 0.0);
    }
}

#[derive(Debug, Clone)]
struct Journey {
    touches: Vec<(i64, u32, Option<usize>)>,
    cents: i64,
    refunds: Vec<u32>,
    annulled: bool,
    converts: bool,
}

fn journey() -> impl Strategy<Value = Journey> {
    let touch = (0_i64..200, 0..CHANNELS, prop::option::weighted(0.3, 0_usize..3));
    (
        prop::collection::vec(touch, 0..9),
        prop_oneof![4 => 1_i64..100_000, 1 => -5_000_i64..=0],
        prop::collection::vec(1_u32..60_000, 0..3),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.8),
    )
        .prop_map(|(touches, cents, refunds, annulled, converts)| Journey {
            touches,
            cents,
            refunds,
            annulled,
            converts,
        })
}

const AT: i64 = 150;

fn at(day: i64) -> Timestamp {
    Timestamp::from_micros(day * MICROS_PER_DAY)
}

fn touches(journey: &Journey, words: &mut Vocabulary) -> Vec<Touch> {
    let marks = ["lead_created", "opportunity_created", "closed_won"];
    let mut touches: Vec<Touch> = (journey.touches.iter().enumerate())
        .map(|(seq, (day, channel, mark))| Touch {
            at: at(*day),
            seq: seq as i64,
            channel: *channel,
            milestone: mark.map(|mark| words.marks.id(marks[mark].as_bytes()).unwrap()),
            kind: None,
        })
        .collect();
    sort(&mut touches);
    touches
}

const LOOKBACK: Lookback = Lookback { days: Some(60), steps: Some(5) };

fn books(words: &mut Vocabulary) -> Books {
    let rule = |name: &&str| Model::parse(name).unwrap().rule(&CustomRules::default(), words).unwrap().unwrap();
    Books::new(LOOKBACK, RULES.iter().map(rule).collect(), &[1, 3])
}

fn assert_sums(credited: &Credited, refunded: i64) {
    for lines in credited.rules.iter().filter(|lines| !lines.is_empty()) {
        let (cents, left) = lines.iter().fold((0, 0), |sum, line| (sum.0 + line.cents, sum.1 + line.left));
        assert_eq!((cents, left), (credited.left + refunded, credited.left));
        assert!(lines.iter().all(|line| line.left.abs() <= line.cents.abs() && line.left * line.cents >= 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn books_kept_step_by_step_equal_a_full_recount(journeys in prop::collection::vec(journey(), 1..20)) {
        let mut study = study(&RULES, false);
        let mut words = study.words.clone();
        let mut books = books(&mut words);
        let mut counts = [Counts::new(1), Counts::new(3)];
        for journey in &journeys {
            let touches = touches(journey, &mut words);
            let seen: Vec<u32> = LOOKBACK.window(&touches, None).iter().map(|touch| touch.channel).collect();
            // Each journey is first seen unconverted, one touch at a time.
            for end in 1..=seen.len() {
                books.walk(seen.get(..end - 1).filter(|before| !before.is_empty()), seen.get(..end));
            }
            let open = (!seen.is_empty()).then_some(seen.as_slice());
            if !journey.converts {
                counts.iter_mut().for_each(|counts| {
                    open.iter().for_each(|steps| counts.add(steps, 0.0, 1.0, 0.0));
                });
                continue;
            }
            books.walk(open, None);
            let mut credited = books.convert(&touches, at(AT), journey.cents);
            assert_sums(&credited, 0);
            for refund in &journey.refunds {
                let before = credited.clone();
                match books.refund(&mut credited, i64::from(*refund)) {
                    Ok(given) => {
                        let sums = given.iter().filter(|given| !given.is_empty()).map(|given| given.iter().sum::<i64>());
                        prop_assert!(sums.clone().all(|sum| sum == i64::from(*refund)));
                        assert_sums(&credited, journey.cents - credited.left);
                    }
                    Err(error) => {
                        prop_assert!(i64::from(*refund) > before.left && error.left == before.left);
                        prop_assert_eq!(&before, &credited);
                    }
                }
            }
            if journey.annulled {
                books.annul(&credited);
                continue;
            }
            counts.iter_mut().for_each(|counts| counts.add(&credited.steps, 1.0, 0.0, credited.left as f64));
            study.add_journey(LOOKBACK.window(&touches, Some(at(AT))), Some(journey.cents), |_, _, _| ());
            if credited.left != journey.cents {
                // The recount knows the refund only as the lines that are left.
                for (rule, lines) in credited.rules.iter().enumerate() {
                    let taken: i64 = lines.iter().map(|line| line.cents - line.left).sum();
                    prop_assert!(lines.is_empty() || taken == journey.cents - credited.left, "{}", RULES[rule]);
                }
            }
        }
        for (order, (kept, fresh)) in books.counts().iter().zip(&counts).enumerate() {
            let (kept, fresh) = (removal_effects(kept, CHANNELS as usize), removal_effects(fresh, CHANNELS as usize));
            prop_assert_eq!(kept.conversions.is_some(), fresh.conversions.is_some(), "order {}", order);
            if let (Some(kept), Some(fresh)) = (kept.conversions, fresh.conversions) {
                assert_close(&kept, &fresh, "effects");
            }
        }
        let refunded = journeys.iter().any(|journey| journey.converts && !journey.annulled && !journey.refunds.is_empty());
        for (rule, (name, fresh)) in study.answers(0, 0).into_iter().enumerate() {
            for (channel, total) in books.totals(rule).iter().enumerate() {
                let fresh = &fresh.iter().find(|credit| credit.channel == format!("c{channel}")).unwrap();
                prop_assert!(close(total.conversions, fresh.conversions.unwrap(), 1e-12), "{} {}", name, channel);
                prop_assert!(refunded || total.cents as f64 == fresh.value.unwrap(), "{} {}", name, channel);
            }
        }
    }

    #[test]
    fn a_full_refund_takes_back_the_same_cents(journey in journey(), parts in prop::collection::vec(1_i64..30_000, 0..4)) {
        prop_assume!(journey.cents > 0);
        let mut words = Vocabulary::default();
        let touches = touches(&journey, &mut words);
        let mut books = books(&mut words);
        let credited = books.convert(&touches, at(AT), journey.cents);
        let mut whole = credited.clone();
        let given = books.clone().refund(&mut whole, journey.cents).unwrap();
        for (given, lines) in given.iter().zip(&credited.rules) {
            prop_assert!(given.iter().zip(lines).all(|(given, line)| *given == line.cents));
        }
        // In parts it comes to the same, and nobody gives back more than they got.
        let mut piecemeal = credited.clone();
        for part in parts {
            let part = part.min(piecemeal.left);
            if part > 0 {
                books.refund(&mut piecemeal, part).unwrap();
                assert_sums(&piecemeal, journey.cents - piecemeal.left);
            }
        }
        if piecemeal.left > 0 {
            let rest = piecemeal.left;
            books.refund(&mut piecemeal, rest).unwrap();
        }
        for rule in 0..RULES.len() {
            prop_assert!(books.totals(rule).iter().all(|total| total.cents == 0));
            prop_assert_eq!(books.nobody(rule).cents, 0);
        }
    }
}

#[test]
fn a_refund_of_more_than_is_left_changes_nothing() {
    let mut words = Vocabulary::default();
    let mut books = books(&mut words);
    let touch = Touch { at: at(140), seq: 1, channel: 0, milestone: None, kind: None };
    let mut credited = books.convert(&[touch], at(AT), 500);
    let before = (books.totals(0).to_vec(), credited.clone());
    for cents in [501, 0, -1] {
        assert_eq!(books.refund(&mut credited, cents).map_err(|error| error.left), Err(500));
        assert_eq!((books.totals(0).to_vec(), credited.clone()), before);
    }
    assert!(books.refund(&mut credited, 500).is_ok());
    assert_eq!(books.refund(&mut credited, 1).map_err(|error| error.left), Err(0));
}

#[test]
fn a_channel_that_never_leads_to_a_conversion_has_no_effect_at_all() {
    let rows = [
        Row { steps: vec![0, 1], conversions: 3, nulls: 7, value: 9 },
        Row { steps: vec![2, 2], conversions: 0, nulls: 4, value: 0 },
    ];
    let effects = removal_effects(&counts_of(&rows, 2), 4).conversions.unwrap();
    assert_eq!(effects, [1.0, 1.0, 0.0, 0.0]);
}

#[test]
fn where_nothing_converts_there_is_nothing_to_go_by() {
    let rows = [Row { steps: vec![0, 1], conversions: 0, nulls: 7, value: 0 }];
    let markov = &answers(&rows, &["markov:3"])[0].1;
    assert!(markov.iter().all(|credit| credit.conversions.is_none() && credit.value.is_none()), "{markov:?}");
    let linear = &answers(&rows, &["linear"])[0].1;
    assert!(
        linear.iter().all(|credit| credit.conversions == Some(0.0)),
        "no conversion earned nothing, and that is known"
    );
}

#[test]
fn many_channels_in_one_journey_need_no_two_to_the_n() {
    let steps: Vec<u32> = (0..200).collect();
    let mut study = Study::new(["shapley_rate", "shapley_ordered"], true, false, &CustomRules::default()).unwrap();
    for channel in &steps {
        study.words.channels.id(format!("c{channel}").as_bytes()).unwrap();
    }
    study.add(&Walk { steps: &steps, conversions: 8.0, nulls: 2.0, value: 0.0 });
    study.add(&Walk { steps: &[7], conversions: 1.0, nulls: 9.0, value: 0.0 });
    for (model, credits) in study.answers(0, 0) {
        let sum: f64 = credits.iter().map(|credit| credit.conversions.unwrap()).sum();
        assert!(close(sum, 9.0, 1e-12), "{model}: {sum}");
        let of = |name: &str| credits.iter().find(|credit| credit.channel == name).unwrap().conversions.unwrap();
        // By hand: 8 conversions at rate 0.8 spread evenly, and channel 7 alone at rate 0.1.
        let alone = 0.1 / 0.8 / 200.0 * 8.0;
        assert!(close(of("c8"), 8.0 / 200.0 - alone / 199.0, 1e-12), "{model}: {}", of("c8"));
        assert!(close(of("c7"), 8.0 / 200.0 + alone + 1.0, 1e-12), "{model}: {}", of("c7"));
    }
}
