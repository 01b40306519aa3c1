//! The gate of contacts through the whole path: events in a scratch ledger, the question, the record, the replay.

use std::sync::Arc;

use serde_json::{Value, json};
use tallystick::decisions::{ContactQuestion, DecideError, Gate, Rules, Stored, scratch};
use tallystick::domain::ids::{LedgerId, PrincipalId, uuid_v7};
use tallystick::domain::time::Timestamp;
use tallystick::ingest::create::NewLedger;
use tallystick::ingest::{Ledger, LedgerOptions, Limits, Outcome};
use tallystick::policy::contact::{PackText, Vector, builtin, builtin_cases, builtin_texts, vectors};
use tallystick::runtime::{Clock, Randomness, Tasks};
use tallystick::store::Location;

use crate::support::{self, keyring, options, post, postgres_url, received, recorded, time};

const ACTOR: PrincipalId = PrincipalId::from_bytes([9; 16]);

async fn played(
    location: Option<Location>,
    seed: u64,
    vector: &Vector,
) -> Result<scratch::Played, scratch::ScratchError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_path_buf();
    let location = location.unwrap_or_else(|| Location::Sqlite(path.clone()));
    let ledger_options = LedgerOptions { folder: path, location, limits: Limits::default() };
    let clock = Clock::manual(time("2026-11-20T12:00:00Z"));
    let random = Randomness::System;
    let id = LedgerId::from_bytes(uuid_v7(clock.now().unix_ms() + seed, random.bytes()));
    let tasks = Tasks::default();
    let begins = Some(scratch::begins(vector));
    let new = NewLedger { id, origin: format!("test.example/{id}"), scratch: true, begins };
    let ledger = Ledger::create(new, ledger_options, keyring(), clock, random, tasks.clone()).await.unwrap();
    let played = scratch::play(&ledger, &Gate::default(), vector, ACTOR).await;
    ledger.close();
    tasks.stop().await;
    ledger.store().close().await;
    played
}

/// Acceptance vectors that do not live in this repository, where they are beside it; else every fifth case of the packs.
pub fn cases() -> Vec<Vector> {
    let near = ["/../shared/vectors/decisions.json", "/../../shared/vectors/decisions.json"];
    let found =
        near.iter().find_map(|path| std::fs::read_to_string(format!("{}{path}", env!("CARGO_MANIFEST_DIR"))).ok());
    match found {
        Some(text) => vectors(&text).unwrap().into_iter().map(Result::unwrap).collect(),
        None => builtin_cases().unwrap().into_iter().step_by(5).collect(),
    }
}

async fn all_hold(location: impl Fn() -> Option<Location>) {
    let mut wrong = Vec::new();
    let cases = cases();
    for (seed, vector) in (0..).zip(&cases) {
        match played(location(), seed, vector).await {
            Ok(played) if played.ok => {}
            Ok(played) => wrong.push(format!("{}: {}", vector.id, played.got)),
            Err(error) => wrong.push(format!("{}: {error:?}", vector.id)),
        }
    }
    assert!(wrong.is_empty(), "{} of {} wrong:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn cases_hold_through_the_whole_path_on_sqlite() {
    all_hold(|| None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cases_hold_through_the_whole_path_on_postgres() {
    let Some(url) = postgres_url() else { return };
    all_hold(|| Some(Location::Postgres(url.clone()))).await;
}

fn question(phone: &str) -> ContactQuestion {
    serde_json::from_value(json!({
        "recipient": { "phone": phone, "line_type": "mobile", "zip": "43215" },
        "contact": {
            "channel": "sms", "technology": "autodialed", "purpose": "marketing", "seller": "broker-a", "topic": "listing"
        }
    }))
    .unwrap()
}

fn consent(id: &str, subject: &str, phone: &str) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "/test", "type": "consent.granted", "subject": subject,
        "time": "2026-11-19T12:00:00Z",
        "data": {
            "kind": "pewc", "phone": phone, "sellers": ["broker-a"], "channels": ["sms"], "purposes": ["marketing"],
            "technologies": ["autodialed"], "signature": "checkbox_and_submit",
            "disclosure": { "authorizes_automated": true, "not_condition_of_purchase": true }
        }
    })
}

fn stop(id: &str, subject: &str, phone: Option<&str>) -> Value {
    let mut data = json!({ "channel": "sms", "body": "STOP" });
    if let (Some(phone), Value::Object(data)) = (phone, &mut data) {
        data.insert("phone".to_owned(), json!(phone));
    }
    json!({ "specversion": "1.0", "id": id, "source": "/test", "type": "contact.received", "subject": subject, "data": data })
}

/// Tuesday noon in Ohio.
fn noon() -> Timestamp {
    time("2026-11-24T17:00:00Z")
}

async fn decide(ledger: &Arc<Ledger>, gate: &Gate, phone: &str) -> (bool, Vec<&'static str>, String) {
    let decided = gate.decide(ledger, &question(phone), ACTOR, Some(noon())).await.unwrap();
    (decided.answer.allow, decided.answer.reasons.iter().map(|code| code.name()).collect(), decided.decision)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_was_acknowledged_is_in_the_next_answer() {
    let bench = support::scratch(None, 71).await;
    let (ledger, gate) = (&bench.ledger, Gate::default());
    recorded(post(ledger, consent("c1", "lead-1", "+16145550101")).await);
    assert_eq!(decide(ledger, &gate, "+16145550101").await.1, ["BASIS_PEWC"]);
    let now = support::options();
    let at = tallystick::ingest::admit::SubmitOptions { now: Some(noon()), ..now };
    let outcome = ledger.submit(vec![received(stop("s1", "lead-1", None))], at).await.unwrap().remove(0);
    recorded(outcome);
    assert_eq!(decide(ledger, &gate, "+16145550101").await.1, ["CONSENT_REVOKED", "DNC_SCRUB_STALE", "INTERNAL_DNC"]);
    // Somebody of whom nothing is known, and who is known by the decision afterwards.
    assert_eq!(decide(ledger, &gate, "+16145550109").await.1, ["DNC_SCRUB_STALE", "NO_PEWC"]);
    assert_eq!(decide(ledger, &gate, "+16145550109").await.1, ["DNC_SCRUB_STALE", "NO_PEWC"]);
}

/// The stop names the number of one person and the reference of another: both are stopped.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_recorded_for_another_person_reaches_the_owner_of_the_number() {
    let bench = support::scratch(None, 72).await;
    let (ledger, gate) = (&bench.ledger, Gate::default());
    recorded(post(ledger, consent("c1", "lead-1", "+16145550101")).await);
    recorded(post(ledger, consent("c2", "lead-2", "+16145550102")).await);
    recorded(post(ledger, stop("s1", "lead-2", Some("+16145550101"))).await);
    for phone in ["+16145550101", "+16145550102"] {
        let (allow, reasons, _) = decide(ledger, &gate, phone).await;
        assert!(!allow && reasons.contains(&"CONSENT_REVOKED"), "{phone}: {reasons:?}");
    }
}

/// Decisions and stops race: whatever was recorded behind a stop refuses.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_allow_is_recorded_behind_a_stop() {
    let bench = support::scratch(None, 73).await;
    let ledger = &bench.ledger;
    let gate = Arc::new(Gate::default());
    // From here on the ledger's clock stands at noon.
    decide(ledger, &gate, "+16145550199").await;
    let (mut raced, mut allowed) = (0, 0);
    for round in 0..20 {
        let phone = format!("+1614555{:04}", 100 + round);
        let lead = format!("lead-{round}");
        recorded(post(ledger, consent(&format!("c{round}"), &lead, &phone)).await);
        let asks = (0..6).map(|_| {
            let (ledger, gate, phone) = (Arc::clone(ledger), Arc::clone(&gate), phone.clone());
            bench.tasks.spawn(async move { gate.decide(&ledger, &question(&phone), ACTOR, None).await })
        });
        let asks: Vec<_> = asks.collect();
        if round % 2 == 0 {
            // Every second stop comes late enough for one to be allowed before it.
            for _ in 0..500 {
                if asks.iter().any(tokio::task::JoinHandle::is_finished) {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        }
        let stopped = recorded(post(ledger, stop(&format!("s{round}"), &lead, None)).await);
        for ask in asks {
            let decided = match ask.await.unwrap() {
                Ok(decided) => decided,
                Err(DecideError::Busy) => continue,
                Err(error) => panic!("{error}"),
            };
            let behind = decided.receipt.position > stopped.position;
            assert!(!(behind && decided.answer.allow), "an allow stands behind a stop");
            raced += u32::from(behind);
            allowed += u32::from(decided.answer.allow);
        }
    }
    // The control: some were allowed before their stop.
    assert!(allowed > 0, "no decision was allowed at all");
    eprintln!("{allowed} were allowed, {raced} of 120 decisions were recorded behind the stop they raced with");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_is_computed_again_from_its_own_entry() {
    let mut bench = support::scratch(None, 74).await;
    let gate = Gate::default();
    recorded(post(&bench.ledger, consent("c1", "lead-1", "+16145550101")).await);
    let (_, _, allowed) = decide(&bench.ledger, &gate, "+16145550101").await;
    let (_, _, refused) = decide(&bench.ledger, &gate, "+16145550102").await;
    bench.reopen().await;
    let gate = Gate::default();
    for decision in [&allowed, &refused] {
        let replay = gate.replay(&bench.ledger, decision).await.unwrap();
        assert_eq!((replay.from, replay.differs), ("raw", Vec::<String>::new()));
        let reduced = Stored::find(&bench.ledger, decision).await.unwrap().replay(&bench.ledger, None).await.unwrap();
        assert_eq!((reduced.from, reduced.differs), ("reduced", Vec::<String>::new()));
    }
    // The controls: a record that says otherwise is noticed, and one that left something out.
    let mut stored = Stored::find(&bench.ledger, &refused).await.unwrap();
    stored.data.insert("allow".to_owned(), json!(true));
    assert_eq!(stored.replay(&bench.ledger, None).await.unwrap().differs, ["allow"]);
    let stored = Stored::find(&bench.ledger, &allowed).await.unwrap();
    let differs = stored.replay(&bench.ledger, Some(Vec::new())).await.unwrap().differs;
    assert!(differs.contains(&"acts".to_owned()) && differs.contains(&"allow".to_owned()), "{differs:?}");
    assert!(Stored::find(&bench.ledger, "01a1a1ec-9980-7000-8000-000000000000").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_questions_are_refused_by_name_and_leave_no_trace() {
    let bench = support::scratch(None, 75).await;
    let (ledger, gate) = (&bench.ledger, Gate::default());
    let size = ledger.size();
    let good = json!({
        "recipient": { "phone": "+16145550101" },
        "contact": { "channel": "voice", "technology": "manual", "purpose": "marketing", "seller": "broker-a" }
    });
    for (pointer, value, code) in [
        ("/recipient/phone", json!("12"), "phone_invalid"),
        ("/recipient/state", json!("ZZ"), "state_unknown"),
        ("/recipient/zip", json!("4321"), "zip_invalid"),
        ("/recipient/country", json!("XX"), "country_unknown"),
        ("/recipient/line_type", json!("pager"), "enum_unknown"),
        ("/contact/channel", json!("fax"), "enum_unknown"),
        ("/contact/channel", json!("email"), "email_required"),
        ("/contact/purpose", json!("sell_lead"), "purpose_not_for_channel"),
        ("/contact/seller", json!("a b"), "id_invalid"),
        ("/contact/topic", json!(""), "topic_invalid"),
    ] {
        let mut body = good.clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap().as_object_mut().unwrap().insert(name.to_owned(), value);
        let question: ContactQuestion = serde_json::from_value(body).unwrap();
        match gate.decide(ledger, &question, ACTOR, None).await {
            Err(DecideError::Question(error)) => assert_eq!(error.code, code, "{pointer}"),
            other => panic!("{pointer}: {other:?}"),
        }
    }
    assert_eq!(ledger.size(), size);
    // The control: the question itself is answered, and recorded.
    let question: ContactQuestion = serde_json::from_value(good).unwrap();
    gate.decide(ledger, &question, ACTOR, None).await.unwrap();
    assert!(ledger.size() > size);
}

/// Emergencies and readings come from the log, and are there again after a restart.
#[tokio::test(flavor = "multi_thread")]
async fn policy_events_bind_from_their_acknowledgement_on() {
    let mut bench = support::scratch(None, 76).await;
    let ask = json!({
        "recipient": { "phone": "+12125550101", "line_type": "landline" },
        "contact": { "channel": "voice", "technology": "manual", "purpose": "marketing", "seller": "broker-a" }
    });
    let ask: ContactQuestion = serde_json::from_value(ask).unwrap();
    let reasons = async |ledger: &Arc<Ledger>, gate: &Gate| -> Vec<&'static str> {
        let decided = gate.decide(ledger, &ask, ACTOR, Some(noon())).await.unwrap();
        decided.answer.reasons.iter().map(|code| code.name()).collect()
    };
    let gate = Gate::default();
    assert_eq!(reasons(&bench.ledger, &gate).await, ["DNC_SCRUB_STALE"]);
    let emergency = json!({
        "specversion": "1.0", "id": "e1", "source": "/test", "type": "policy.emergency_declared",
        "time": "2026-11-24T16:00:00Z", "data": { "state": "NY", "until": "2026-11-30T00:00:00Z" }
    });
    let at = tallystick::ingest::admit::SubmitOptions { now: Some(noon()), ..options() };
    let outcome = bench.ledger.submit(vec![received(emergency)], at).await.unwrap().remove(0);
    assert!(matches!(outcome, Outcome::Recorded(_)), "{outcome:?}");
    assert_eq!(reasons(&bench.ledger, &gate).await, ["DNC_SCRUB_STALE", "STATE_EMERGENCY"]);
    bench.reopen().await;
    assert_eq!(reasons(&bench.ledger, &Gate::default()).await, ["DNC_SCRUB_STALE", "STATE_EMERGENCY"]);
}

/// A text that could not be recorded may be a STOP: contact waits until a person has looked.
#[tokio::test(flavor = "multi_thread")]
async fn an_item_in_quarantine_holds_its_number() {
    let mut bench = support::scratch(None, 77).await;
    let gate = Gate::default();
    recorded(post(&bench.ledger, consent("c1", "lead-1", "+16145550101")).await);
    recorded(post(&bench.ledger, consent("c2", "lead-2", "+16145550102")).await);
    let broken = json!({
        "specversion": "1.0", "id": "s1", "source": "/test", "type": "contact.received", "subject": "lead-9",
        "data": { "channel": "pager", "phone": "(614) 555-0101", "body": "STOP" }
    });
    let outcome = post(&bench.ledger, broken).await;
    let Outcome::Quarantined { receipt, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(decide(&bench.ledger, &gate, "+16145550101").await.1, ["REVOCATION_REVIEW"]);
    assert_eq!(decide(&bench.ledger, &gate, "+16145550102").await.1, ["BASIS_PEWC"]);
    bench.reopen().await;
    assert_eq!(decide(&bench.ledger, &Gate::default(), "+16145550101").await.1, ["REVOCATION_REVIEW"]);
    bench.ledger.item_discard(receipt.position, "test", ACTOR).await.unwrap();
    assert_eq!(decide(&bench.ledger, &gate, "+16145550101").await.1, ["BASIS_PEWC"]);
}

/// An imported call without a decision: lawful by what was known then, not by what is known now.
#[tokio::test(flavor = "multi_thread")]
async fn contacts_are_judged_as_known_then_and_as_known_now() {
    use tallystick::decisions::{Decision, Span, audit};
    use tallystick::policy::exposure::Laws;
    let bench = support::scratch(None, 78).await;
    let (ledger, gate) = (&bench.ledger, Gate::default());
    recorded(post(ledger, consent("c1", "lead-1", "+16145550101")).await);
    let attempt = |id: &str, time: &str, decision: Option<String>| {
        json!({
            "specversion": "1.0", "id": id, "source": "/test", "type": "contact.attempted", "subject": "lead-1", "time": time,
            "data": {
                "channel": "sms", "technology": "autodialed", "purpose": "marketing", "seller": "broker-a", "topic": "listing",
                "phone": "+16145550101", "from": "+18005550100", "decision": decision
            }
        })
    };
    let at = |now: &str| tallystick::ingest::admit::SubmitOptions { now: Some(time(now)), ..options() };
    let submit = async |event: Value, now: &str| {
        recorded(ledger.submit(vec![received(event)], at(now)).await.unwrap().remove(0));
    };
    let decided = gate.decide(ledger, &question("+16145550101"), ACTOR, Some(noon())).await.unwrap();
    assert!(decided.answer.allow);
    submit(attempt("a1", "2026-11-24T17:00:30Z", Some(decided.decision.clone())), "2026-11-24T17:00:31Z").await;
    submit(attempt("a2", "2026-11-24T17:05:00Z", Some(decided.decision)), "2026-11-24T17:05:01Z").await;
    let mut plain = attempt("a3", "2026-11-24T18:00:00Z", None);
    plain["data"].as_object_mut().unwrap().remove("decision");
    submit(plain, "2026-11-24T18:30:00Z").await;
    let mut late = stop("s1", "lead-1", None);
    late["time"] = json!("2026-11-24T17:30:00Z");
    submit(late, "2026-11-24T19:00:00Z").await;
    let found = audit(ledger, &gate, &Span::ALL).await.unwrap();
    assert_eq!((found.contacts, found.decided), (3, 1));
    let shown: Vec<(Decision, usize, usize)> = found
        .findings
        .iter()
        .map(|finding| {
            let count = |codes: &Option<Vec<_>>| codes.as_ref().map_or(99, Vec::len);
            (finding.decision, count(&finding.then), count(&finding.now))
        })
        .collect();
    // After the stop the registry has a say too, and was never asked.
    assert_eq!(shown, [(Decision::Expired, 0, 0), (Decision::None, 0, 3)]);
    assert_eq!(found.by_rule_now["CONSENT_REVOKED"], 1);
    assert_eq!(found.compliance_per_10_000(), Some(3_333));
    assert_eq!((found.by_decision["valid"], found.by_decision["expired"], found.by_decision["none"]), (1, 1, 1));
    // The stop reached us at 17:30 and was known at 19:00: within the ten business days, which Thanksgiving makes longer.
    let [stop] = found.revocations.as_slice() else { panic!("{:?}", found.revocations) };
    assert_eq!((stop.lag_micros() / 60_000_000, stop.is_late()), (90, false));
    assert_eq!(stop.honor_by, Some(time("2026-12-09T00:00:00Z").unix_days()));
    // One text after a stop: the statute's amount for one automated contact; the do-not-call law asks for two.
    let laws = Laws::builtin().unwrap();
    let exposure = found.exposure(laws);
    let shown: Vec<_> = exposure.iter().map(|law| (law.law.as_str(), law.contacts, law.usd, law.usd_willful)).collect();
    assert_eq!(shown, [("tcpa_227_b", 1, 500, 1_500), ("tcpa_227_c", 0, 0, 0)]);
    // As it was known before the stop arrived nothing was wrong but the missing decisions.
    let before = Span { known_at: time("2026-11-24T18:45:00Z"), ..Span::ALL };
    let known = audit(ledger, &gate, &before).await.unwrap();
    assert_eq!((known.contacts, known.revocations.len(), known.by_rule_now.len()), (3, 0, 0));
    assert_eq!(known.exposure(laws)[0].contacts, 0);
    let span = Span { from: time("2026-11-24T17:05:00Z"), to: time("2026-11-24T18:00:00Z"), ..Span::ALL };
    assert_eq!(audit(ledger, &gate, &span).await.unwrap().contacts, 1);
    // What is annulled is neither a contact nor a stop; as it was known before the annulment it still is.
    for (id, position, now) in
        [("n1", found.findings[1].position, "2026-11-24T20:00:00Z"), ("n2", stop.position, "2026-11-24T20:00:01Z")]
    {
        let data = json!({ "position": position, "reason": "entered_in_error" });
        let annulled = json!({ "specversion": "1.0", "id": id, "source": "/test", "type": "event.annulled", "subject": "lead-1", "data": data });
        submit(annulled, now).await;
    }
    let left = audit(ledger, &gate, &Span::ALL).await.unwrap();
    assert_eq!((left.contacts, left.decided, left.findings.len(), left.revocations.len()), (2, 1, 1, 0));
    let before = Span { known_at: time("2026-11-24T19:30:00Z"), ..Span::ALL };
    assert_eq!(audit(ledger, &gate, &before).await.unwrap(), found);
}

/// Prints what an evaluation costs: `cargo test --release --test it -- --ignored --nocapture an_evaluation_costs`.
#[test]
#[ignore = "prints figures"]
fn an_evaluation_costs() {
    use tallystick::policy::contact::{builtin, evaluate};
    let cases = cases();
    let pack = builtin().unwrap();
    let started = std::time::Instant::now();
    let (mut done, mut allowed) = (0u32, 0u32);
    while done < 50_000 {
        for case in &cases {
            allowed += u32::from(evaluate(pack, &case.facts).allow);
            done += 1;
        }
    }
    let took = started.elapsed();
    println!("{done} evaluations with their next minute in {took:?}: {:?} each, {allowed} allowed", took / done);
}

/// A decision made under rules of another day, as the log has them.
async fn rules_of_another_day(location: Option<Location>, seed: u64) {
    let mut bench = support::scratch(location, seed).await;
    let texts: Vec<(String, String)> = builtin_texts()
        .iter()
        .map(|file| (file.name.to_owned(), file.text.replace("hours = \"08:00-21:00\"", "hours = \"08:00-09:00\"")))
        .collect();
    let texts: Vec<PackText<'_>> = texts.iter().map(|(name, text)| PackText { name, text }).collect();
    let rules = Rules::parse(&texts).unwrap();
    let digest = rules.pack.digest.to_string();
    assert_ne!(digest, builtin().unwrap().digest.to_string());
    recorded(post(&bench.ledger, consent("c1", "lead-1", "+16145550101")).await);
    let (_, reasons, decision) = decide(&bench.ledger, &Gate::under(rules), "+16145550101").await;
    assert!(reasons.contains(&"QUIET_HOURS_FEDERAL"), "{reasons:?}");
    bench.reopen().await;
    let replay = Gate::default().replay(&bench.ledger, &decision).await.unwrap();
    assert_eq!((replay.from, replay.differs, replay.pack_sha256), ("raw", Vec::<String>::new(), digest));
    assert!(replay.today.allow, "today's rules say otherwise");
    assert!(["allow", "pack_sha256"].iter().all(|name| replay.today_differs.iter().any(|member| member == name)));
    // The files are in the log once, however many decisions cite them.
    let size = bench.ledger.size();
    let (_, _, again) = decide(&bench.ledger, &Gate::default(), "+16145550101").await;
    let first = bench.ledger.size() - size;
    decide(&bench.ledger, &Gate::default(), "+16145550101").await;
    assert_eq!(bench.ledger.size() - size - first, 1, "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_is_computed_again_under_the_rules_of_its_day() {
    rules_of_another_day(None, 171).await;
    let Some(engine) = crate::engines::Engine::postgres().await else { return };
    let crate::engines::Engine::Postgres(url) = engine else { return };
    rules_of_another_day(Some(Location::Postgres(url)), 172).await;
}
