//! Ten thousand decisions about people with made-up histories, each recorded and computed again from the log.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tallystick::decisions::{ContactQuestion, Gate, Remembered};
use tallystick::domain::ids::{PrincipalId, SubjectId};
use tallystick::domain::parts::RetentionClass;
use tallystick::domain::time::Timestamp;
use tallystick::ingest::Limits;
use tallystick::store::{DekSlot, NO_OWNER};

use crate::script::Dice;
use crate::support::{Bench, options, received, recorded, scratch};

const ACTOR: PrincipalId = PrincipalId::from_bytes([9; 16]);
const PEOPLE: u64 = 400;
const DECISIONS: u64 = 10_000;
/// Decisions under way at once.
const WIDTH: usize = 32;
const SELLERS: [&str; 2] = ["broker-a", "broker-b"];
/// Area codes of one zone, of two, of a state with hours of its own, of a state that closes on Sundays, of none.
const AREAS: [&str; 8] = ["614", "850", "928", "212", "801", "401", "215", "833"];

fn phone(person: u64) -> String {
    format!("+1{}555{person:04}", AREAS[usize::try_from(person % 8).unwrap()])
}

/// Something that happened to a person: of any of the kinds that rules look at.
fn event(dice: &mut Dice, number: u64, now: Timestamp) -> Value {
    let person = dice.roll(PEOPLE);
    let seller = dice.of(&SELLERS);
    let technologies = dice.of(&[json!(["manual"]), json!(["automated"]), json!(["manual", "automated"])]);
    let phone = phone(person);
    let (event_type, data) = match dice.roll(14) {
        0..=3 => (
            "consent.granted",
            json!({ "kind": dice.of(&["pewc", "pewc", "pec", "oral"]), "phone": phone, "sellers": [seller],
                "channels": ["voice", "sms"], "technologies": technologies, "purposes": ["marketing", "informational"],
                "disclosure": { "authorizes_automated": dice.roll(5) > 0, "not_condition_of_purchase": true },
                "signature": dice.of(&["checkbox_and_submit", "checkbox_and_submit", "prechecked_box"]) }),
        ),
        4 => ("consent.revoked", json!({ "method": "reply", "phone": phone })),
        5 => (
            "contact.received",
            json!({ "channel": "sms", "phone": phone, "body": dice.of(&["STOP", "ok", "please stop it", "START", "who is this? wrong number"]) }),
        ),
        6..=8 => (
            "contact.attempted",
            json!({ "channel": dice.of(&["voice", "sms"]), "technology": dice.of(&["manual", "ai_voice"]),
                "purpose": "marketing", "seller": seller, "phone": phone, "topic": "house" }),
        ),
        9 | 10 => (
            "suppression.list_checked",
            json!({ "list": dice.of(&["ndnc", "ndnc", "rnd", "litigator"]), "phone": phone,
                "result": dice.of(&["not_listed", "listed", "not_listed", "no"]) }),
        ),
        11 => ("suppression.dnc_requested", json!({ "method": "voice", "phone": phone, "seller": seller })),
        12 => ("relationship.inquiry_recorded", json!({ "seller": seller, "phone": phone })),
        _ => ("privacy.objected", json!({ "against": ["marketing"], "phone": phone })),
    };
    let time = now.checked_add_micros(-i64::try_from(dice.roll(3 * 86_400_000_000)).unwrap()).unwrap();
    json!({ "specversion": "1.0", "id": format!("e-{number}"), "source": "/dice", "type": event_type,
        "subject": format!("lead-{person}"), "time": time, "data": data })
}

fn question(dice: &mut Dice) -> ContactQuestion {
    let person = dice.roll(PEOPLE + 20);
    let body = json!({
        "recipient": { "phone": phone(person), "line_type": dice.of(&["mobile", "landline", "unknown"]) },
        "contact": { "channel": dice.of(&["voice", "sms"]), "technology": dice.of(&["manual", "autodialed", "ai_voice"]),
            "purpose": dice.of(&["marketing", "marketing", "informational"]), "seller": dice.of(&SELLERS), "topic": "house" },
    });
    serde_json::from_value(body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_decisions_are_computed_again_to_the_same() {
    let mut bench = scratch(None, 981).await;
    let gate = Arc::new(Gate::default());
    let mut dice = Dice(77);
    let (mut decisions, mut allowed, mut events) = (Vec::new(), 0, 0);
    let begin = bench.clock.now();
    for round in 0..DECISIONS / 250 {
        // Six hours and a bit on each round: every hour of the day and both days of a weekend are asked about.
        bench.clock.set(begin.checked_add_micros(i64::try_from(round * 22_300_000_000).unwrap()).unwrap());
        bench.ledger.clock_confirm();
        let batch: Vec<_> = (0..60).map(|at| received(event(&mut dice, events + at, bench.clock.now()))).collect();
        events += 60;
        bench.ledger.submit(batch, options()).await.unwrap();
        let questions: Vec<ContactQuestion> = (0..250).map(|_| question(&mut dice)).collect();
        let asked = stream::iter(questions).map(|question| {
            let (ledger, gate) = (Arc::clone(&bench.ledger), Arc::clone(&gate));
            async move { gate.decide(&ledger, &question, ACTOR, None).await.unwrap() }
        });
        for decided in asked.buffer_unordered(WIDTH).collect::<Vec<_>>().await {
            allowed += u64::from(decided.answer.allow);
            decisions.push(decided.decision);
        }
    }
    assert_eq!(decisions.len() as u64, DECISIONS);
    assert!(allowed > DECISIONS / 50 && allowed < DECISIONS / 2, "{allowed} allowed: the cases say nothing");
    bench.reopen().await;
    assert_same_again(&bench, &decisions).await;
    eprintln!("{DECISIONS} decisions, {allowed} allowed; all computed again from the log itself, all identical");
}

/// A gate that has read nothing yet gathers the same from the log itself, on the ledger as it is now, and judges the same.
async fn assert_same_again(bench: &Bench, decisions: &[String]) {
    let fresh = Gate::default();
    for decision in decisions {
        let replay = fresh.replay(&bench.ledger, decision).await.unwrap();
        assert_eq!((replay.differs, replay.from), (Vec::<String>::new(), "raw"), "{decision}");
    }
}

/// Waits until the gate has read the whole log.
async fn read_up(bench: &Bench, gate: &Gate) -> Remembered {
    for _ in 0..600 {
        if gate.remembered().read_to == bench.ledger.size() {
            return gate.remembered();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{:?} of {}", gate.remembered(), bench.ledger.size());
}

/// Room for all, for some of them, for nobody.
#[tokio::test(flavor = "multi_thread")]
async fn decisions_from_memory_are_those_that_the_log_gives() {
    for (room, at_least, at_most) in [(1 << 30, PEOPLE - 20, PEOPLE), (120_000, 40, 200), (0, 0, 16)] {
        let mut bench = scratch(None, 982).await;
        bench.options.limits = Limits { histories_bytes_max: room, ..Limits::default() };
        bench.reopen().await;
        let (mut dice, mut decisions) = (Dice(78), Vec::new());
        let mut said =
            (0..3_000).map(|number| received(event(&mut dice, number, bench.clock.now()))).collect::<Vec<_>>();
        let later = said.split_off(2_000);
        bench.ledger.submit(said, options()).await.unwrap();
        let gate = Gate::default();
        gate.remember(&bench.ledger);
        let remembered = read_up(&bench, &gate).await;
        let people = remembered.people as u64;
        assert!(people >= at_least && people <= at_most, "{room}: {remembered:?}");
        assert!(remembered.bytes <= room + 16 * 4_096, "{remembered:?}");
        for event in later {
            // What was just acknowledged is in the answer, whether the memory read it or not.
            bench.ledger.submit(vec![event], options()).await.unwrap();
            decisions.push(gate.decide(&bench.ledger, &question(&mut dice), ACTOR, None).await.unwrap().decision);
        }
        assert_same_again(&bench, &decisions).await;
    }
}

/// A ledger of one person who gave consent and then sent a text.
async fn texted(body: &str) -> (Bench, Vec<Option<SubjectId>>) {
    let bench = scratch(None, 984).await;
    let event = |id: &str, event_type: &str, data: Value| {
        received(
            json!({ "specversion": "1.0", "id": id, "source": "/dice", "type": event_type, "subject": "lead-1", "data": data }),
        )
    };
    let grant = json!({ "kind": "pewc", "phone": phone(0), "sellers": SELLERS, "channels": ["voice", "sms"],
        "technologies": ["manual", "automated"], "purposes": ["marketing"], "signature": "checkbox_and_submit",
        "disclosure": { "authorizes_automated": true, "not_condition_of_purchase": true } });
    let text = json!({ "channel": "sms", "phone": phone(0), "body": body });
    let said = vec![event("1", "consent.granted", grant), event("2", "contact.received", text)];
    let receipts = bench.ledger.submit(said, options()).await.unwrap().into_iter().map(recorded);
    let subjects = receipts.map(|receipt| receipt.subject).collect();
    (bench, subjects)
}

/// The twin of the two above: the same check finds out a memory that does not hold what the log says.
#[tokio::test(flavor = "multi_thread")]
async fn a_memory_without_the_stop_is_found_out() {
    let ((stopped, person), (other, same)) = (texted("STOP").await, texted("ok").await);
    assert_eq!((&person, stopped.ledger.size()), (&same, other.ledger.size()), "one person at one head in both");
    let body = json!({ "recipient": { "phone": phone(0), "line_type": "mobile" },
        "contact": { "channel": "sms", "technology": "manual", "purpose": "marketing", "seller": SELLERS[0], "topic": "house" } });
    let question: ContactQuestion = serde_json::from_value(body).unwrap();
    let gate = Gate::default();
    gate.remember(&other.ledger);
    read_up(&other, &gate).await;
    for (gate, right) in [(gate, false), (Gate::default(), true)] {
        let decided = gate.decide(&stopped.ledger, &question, ACTOR, None).await.unwrap();
        let replay = Gate::default().replay(&stopped.ledger, &decided.decision).await.unwrap();
        assert_eq!(replay.differs.is_empty(), right, "{:?}", replay.differs);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_forgotten_leaves_the_memory_at_once() {
    let bench = scratch(None, 983).await;
    let mut dice = Dice(79);
    let said = (0..2_000).map(|number| received(event(&mut dice, number, bench.clock.now()))).collect();
    let receipts = bench.ledger.submit(said, options()).await.unwrap().into_iter().map(recorded);
    let subjects: BTreeSet<SubjectId> = receipts.filter_map(|receipt| receipt.subject).collect();
    let gate = Gate::default();
    gate.remember(&bench.ledger);
    assert_eq!(read_up(&bench, &gate).await.people, subjects.len());
    let known: Vec<SubjectId> = subjects.into_iter().collect();
    bench.ledger.person_forget(&known[7]);
    assert_eq!(gate.remembered().people, known.len() - 1);
    // Keys of raw parts opened nothing that is here.
    let slot = |class: RetentionClass, owner: [u8; 16]| DekSlot { owner, class: class.code(), quarter: 0 };
    bench.ledger.keys_forget(&[slot(RetentionClass::Raw, *known[8].as_bytes())]);
    assert_eq!(gate.remembered().people, known.len() - 1);
    bench.ledger.keys_forget(&[slot(RetentionClass::Contact, *known[8].as_bytes())]);
    assert_eq!(gate.remembered().people, known.len() - 2);
    // Business parts are of everybody: all leave, and come back with what can still be opened.
    bench.ledger.keys_forget(&[slot(RetentionClass::Contact, NO_OWNER)]);
    assert!(gate.remembered().people < known.len() / 2);
    assert_eq!(read_up(&bench, &gate).await.people, known.len());
}
