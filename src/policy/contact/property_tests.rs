use super::calendar::MINUTE_MICROS;
use super::*;
use crate::domain::phone::Phone;
use crate::domain::time::{MICROS_PER_DAY, MICROS_PER_SECOND, Timestamp};

/// SplitMix64: the cases are many and need no shrinking, their number is enough to build one again.
pub(crate) struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    fn of<T: Clone>(&mut self, list: &[T]) -> T {
        list[usize::try_from(self.roll(list.len() as u64)).unwrap()].clone()
    }

    fn some<T: Clone>(&mut self, list: &[T]) -> Vec<T> {
        list.iter().filter(|_| self.roll(3) > 0).cloned().collect()
    }
}

const PHONES: [(&str, &str); 12] = [
    ("+16145550101", "43215"),
    ("+14075550101", ""),
    ("+12145550101", "75201"),
    ("+19285550101", ""),
    ("+12195550101", "46402"),
    ("+18015550101", "84101"),
    ("+12155550101", "19103"),
    ("+14015550101", ""),
    ("+16015550101", ""),
    ("+12055550101", "30303"),
    ("+18335550101", ""),
    ("+12125550101", "98101"),
];
const SELLERS: [&str; 2] = ["broker-a", "broker-b"];
const PHONE_CHANNELS: [Channel; 2] = [Channel::Voice, Channel::Sms];
const TECHNOLOGIES: [Technology; 4] =
    [Technology::Manual, Technology::Autodialed, Technology::Prerecorded, Technology::AiVoice];

fn stop(dice: &mut Dice) -> What {
    What::Stopped {
        by: dice.of(&[StopBy::Reply, StopBy::Revoked, StopBy::DncRequest, StopBy::Objection, StopBy::Suppression]),
        seller: dice.of(&[None, Some("broker-a".to_owned()), Some("broker-b".to_owned())]),
        category: dice.of(&[None, Some(Category::Marketing), Some(Category::Informational), Some(Category::All)]),
        phone: dice.roll(4) > 0,
        email: dice.roll(2) > 0,
    }
}

fn grant(dice: &mut Dice, now: Timestamp) -> What {
    let near = |dice: &mut Dice| now.checked_add_micros((dice.roll(60) as i64 - 30) * MICROS_PER_DAY / 2);
    What::Granted(Grant {
        kind: dice.of(&[
            ConsentKind::Pewc,
            ConsentKind::Pewc,
            ConsentKind::Pec,
            ConsentKind::Oral,
            ConsentKind::EmailOptIn,
            ConsentKind::GdprConsent,
        ]),
        sellers: dice.some(&SELLERS.map(str::to_owned)),
        channels: dice.some(&[Channel::Voice, Channel::Sms, Channel::Email]),
        technologies: dice.some(&TECHNOLOGIES),
        purposes: dice.some(&[Purpose::Marketing, Purpose::Informational]),
        signed: dice.roll(5) > 0,
        disclosed: dice.roll(5) > 0,
        valid_from: if dice.roll(4) == 0 { near(dice) } else { None },
        valid_until: if dice.roll(6) == 0 { near(dice) } else { None },
    })
}

fn what(dice: &mut Dice, now: Timestamp) -> What {
    let seller = dice.of(&SELLERS).to_owned();
    match dice.roll(16) {
        0..=3 => grant(dice, now),
        4 => stop(dice),
        5 => What::Started,
        6 | 7 => What::Attempted {
            channel: dice.of(&PHONE_CHANNELS),
            technology: dice.of(&TECHNOLOGIES),
            purpose: dice.of(&[Purpose::Marketing, Purpose::Informational, Purpose::OptOutConfirmation]),
            seller,
            topic: dice.of(&[None, Some("a".to_owned()), Some("b".to_owned())]),
        },
        8..=10 => What::ListChecked {
            list: dice.of(&["ndnc", "ndnc", "rnd", "litigator"]).to_owned(),
            result: dice.of(&["not_listed", "not_listed", "listed", "no", "yes"]).to_owned(),
            copy_of: None,
        },
        11 => What::Transacted { seller, similar_products: true, opt_out_offered: dice.roll(2) > 0 },
        12 => What::Inquired { seller },
        13 => What::Emergency {
            state: dice.of(&["NY", "LA", "FL"]).to_owned(),
            from: now.checked_add_micros(-MICROS_PER_DAY).unwrap(),
            until: now.checked_add_micros((dice.roll(40) as i64) * MICROS_PER_DAY / 7).unwrap(),
        },
        14 => What::EmailOptedOut { sender: Some(seller) },
        _ => dice.of(&[
            What::Reviewed,
            What::WrongNumber,
            What::Objected,
            What::CcpaOptedOut { gpc: true },
            What::CcpaOptedIn,
            What::Cleared { phone: true, email: true },
        ]),
    }
}

/// A question with a history, all made up.
pub(crate) fn any_facts(seed: u64) -> Facts {
    let dice = &mut Dice(seed);
    let begin = Timestamp::parse_rfc3339("2026-09-01T00:00:00Z").unwrap();
    let now = begin.checked_add_micros(dice.roll(400 * 86_400) as i64 * MICROS_PER_SECOND).unwrap();
    let (phone, zip) = dice.of(&PHONES);
    let (country, place) = phone_place(&Phone::parse(phone, "US").unwrap());
    let channel =
        dice.of(&[Channel::Voice, Channel::Voice, Channel::Sms, Channel::Sms, Channel::Email, Channel::DataTransfer]);
    let country = if dice.roll(10) == 0 { Some("DE".to_owned()) } else { country.map(str::to_owned) };
    let mut acts: Vec<Act> = (0..dice.roll(9))
        .map(|_| {
            // Mostly recent, so that caps and windows matter; some long ago.
            let days = if dice.roll(3) > 0 { 2 } else { 600 };
            let at = now.checked_add_micros(-(dice.roll(days * 86_400) as i64) * MICROS_PER_SECOND).unwrap();
            let number = dice.of(&[Number::Same, Number::Same, Number::Same, Number::Unsaid, Number::Other]);
            Act { at, recorded: at, number, position: None, what: what(dice, now) }
        })
        .collect();
    if dice.roll(4) > 0 {
        let at = now.checked_add_micros(-(dice.roll(35 * 86_400) as i64) * MICROS_PER_SECOND).unwrap();
        let what = What::ListChecked { list: "ndnc".to_owned(), result: "not_listed".to_owned(), copy_of: None };
        acts.push(Act { at, recorded: at, number: Number::Same, position: None, what });
    }
    acts.sort_by_key(|act| act.at);
    let mut set = serde_json::Map::new();
    for name in ["consent_waives_federal_quiet_hours", "enforce_registration"] {
        if dice.roll(8) == 0 {
            set.insert(name.to_owned(), serde_json::Value::Bool(true));
        }
    }
    if dice.roll(8) == 0 {
        set.insert("revocation_scope".to_owned(), serde_json::Value::String("category".to_owned()));
    }
    Facts {
        now,
        recipient: Recipient {
            country,
            line_type: dice.of(&[LineType::Mobile, LineType::Mobile, LineType::Landline, LineType::Unknown]),
            place: place.with_home(home_of(Some(zip).filter(|zip| !zip.is_empty()), None)),
            wireless_domain: dice.roll(20) == 0,
        },
        contact: Contact {
            channel,
            technology: dice.of(&TECHNOLOGIES),
            purpose: match channel {
                Channel::DataTransfer => Purpose::SellLead,
                _ => dice.of(&[
                    Purpose::Marketing,
                    Purpose::Marketing,
                    Purpose::Marketing,
                    Purpose::Informational,
                    Purpose::OptOutConfirmation,
                ]),
            },
            sub_purpose: None,
            seller: dice.of(&SELLERS).to_owned(),
            topic: dice.of(&[None, Some("a".to_owned())]),
            mail: Some(Mail { physical_address: true, opt_out_mechanism: dice.roll(9) > 0 }),
            caller_id_missing: dice.roll(20) == 0,
            campaign: None,
        },
        acts,
        switches: Switches::default().with(&set).unwrap(),
    }
}

fn allowed_at(facts: &Facts, micros: i64) -> bool {
    let facts = Facts { now: Timestamp::from_micros(micros), ..facts.clone() };
    let ground = super::context::Ground::of(&facts);
    let mut context = super::context::Context::new(builtin().unwrap(), &facts, &ground, micros, false);
    super::answer::judge(&mut context);
    context.hours_if_bound();
    context.codes.is_empty()
}

#[test]
fn next_allowed_at_is_the_first_allowed_minute() {
    let (mut found, mut none, mut plain) = (0, 0, 0);
    for seed in 0..6_000 {
        let facts = any_facts(seed);
        let answer = evaluate(builtin().unwrap(), &facts);
        let now = facts.now.micros();
        if answer.allow {
            assert_eq!(answer.next_allowed_at, None);
            continue;
        }
        let end = now + super::search::DAYS_AHEAD * MICROS_PER_DAY;
        match answer.next_allowed_at.map(Timestamp::micros) {
            Some(next) => {
                assert!(next > now && next % MINUTE_MICROS == 0 && next <= end, "seed {seed}");
                assert!(allowed_at(&facts, next), "seed {seed}: refused at {next}");
                assert!(
                    next - MINUTE_MICROS <= now || !allowed_at(&facts, next - MINUTE_MICROS),
                    "seed {seed}: allowed before"
                );
                found += 1;
            }
            None => {
                let dice = &mut Dice(seed);
                for _ in 0..60 {
                    let minute =
                        (now + dice.roll((end - now).unsigned_abs()) as i64).div_euclid(MINUTE_MICROS) * MINUTE_MICROS;
                    assert!(minute <= now || !allowed_at(&facts, minute), "seed {seed}: allowed at {minute}");
                }
                none += 1;
            }
        }
        // The plain search, minute by minute, over the first three days of every twentieth case.
        if seed % 20 == 0 {
            let first = (now.div_euclid(MINUTE_MICROS) + 1) * MINUTE_MICROS;
            let naive = (0..3 * 1440).map(|minute| first + minute * MINUTE_MICROS).find(|at| allowed_at(&facts, *at));
            let near =
                answer.next_allowed_at.map(Timestamp::micros).filter(|next| *next < first + 3 * 1440 * MINUTE_MICROS);
            assert_eq!(near, naive, "seed {seed}");
            plain += 1;
        }
    }
    eprintln!("{found} with a next minute, {none} without, {plain} against the plain search");
    assert!(found > 100 && none > 500 && plain > 50);
}

#[test]
fn a_stop_never_turns_a_refusal_into_an_allowance() {
    let (mut refused, mut turned) = (0, 0);
    for seed in 0..20_000 {
        let facts = any_facts(seed);
        if facts.contact.purpose == Purpose::OptOutConfirmation {
            continue;
        }
        let before = evaluate(builtin().unwrap(), &facts).allow;
        let dice = &mut Dice(seed ^ 0xffff);
        let at = facts.now.checked_add_micros(-(dice.roll(90 * 86_400) as i64) * MICROS_PER_SECOND).unwrap();
        let mut more = facts.clone();
        more.acts.push(Act { at, recorded: at, number: Number::Unsaid, position: None, what: stop(dice) });
        more.acts.sort_by_key(|act| act.at);
        let after = evaluate(builtin().unwrap(), &more).allow;
        assert!(before || !after, "seed {seed}: a stop allowed what was refused");
        refused += u32::from(!before);
        turned += u32::from(before && !after);
    }
    eprintln!("{refused} refused before, {turned} refused by the stop");
    // The control: stops do refuse.
    assert!(refused > 1_000 && turned > 100);
}

#[test]
fn facts_come_back_from_their_text_and_give_the_same_answer() {
    for seed in 0..10_000 {
        let facts = any_facts(seed);
        let text = serde_json::to_vec(&facts).unwrap();
        let again: Facts = serde_json::from_slice(&text).unwrap();
        assert_eq!(again, facts, "seed {seed}");
        assert_eq!(serde_json::to_vec(&again).unwrap(), text);
        assert_eq!(evaluate(builtin().unwrap(), &again), evaluate(builtin().unwrap(), &facts));
    }
}
