//! Erasing persons: what goes is gone from every file, what law obliges to keep stays and verifies, sums do not move, and a
//! death at any step changes nothing of the end.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tallystick::decisions::{Audit, ContactQuestion, Gate, Span, audit};
use tallystick::domain::attribution::journey::Lookback;
use tallystick::domain::identifier::{Identifier, IdentifierKind};
use tallystick::domain::ids::SubjectId;
use tallystick::domain::parts::{PartKind, RetentionClass};
use tallystick::domain::phone::Phone;
use tallystick::domain::time::Timestamp;
use tallystick::exports::ledger_verify::{VaultKeys, VerifyOptions, verify_ledger};
use tallystick::exports::report::Report;
use tallystick::ingest::erasure::Standing;
use tallystick::ingest::{Ledger, Limits, Outcome};
use tallystick::jobs::erase::{EraseError, EraseOptions, Erasure, Journal, STEPS, State, Step, begin, resume, run};
use tallystick::policy::contact::Code;
use tallystick::projections::Projections;
use tallystick::store::Store;
use tallystick::views::attribution::{Attribution, AttributionQuery, attribution};
use tallystick::views::roi::{Roi, RoiQuery, roi};

use crate::evidence;
use crate::support::{Bench, keyring, options, post, received, recorded, scratch, time};

/// Entries of a run of the index here, so that what is to be forgotten stands in files.
const TAIL: u64 = 60;

pub fn phone(person: usize) -> String {
    format!("+1614{:03}{:04}", 555 + person / 10_000, person % 10_000)
}

fn marker(person: usize) -> String {
    format!("marker{person:05}x")
}

/// What somebody tells of one person: consent, a contact, a lead, money.
pub fn story(person: usize) -> Vec<Value> {
    let (phone, marker) = (phone(person), marker(person));
    let event = |kind: &str, data: Value| {
        json!({ "specversion": "1.0", "id": format!("{kind}-{person}"), "source": "/crm", "type": kind,
            "subject": format!("lead-{person}"), "time": "2026-11-19T12:00:00Z", "data": data })
    };
    vec![
        event(
            "lead.received",
            json!({ "lead": format!("L-{person}"), "phone": phone, "email": format!("{marker}@example.com"),
            "name": marker, "campaign": "spring" }),
        ),
        event(
            "consent.granted",
            json!({ "kind": "pewc", "phone": phone, "sellers": ["broker-a"], "channels": ["voice", "sms"],
            "purposes": ["marketing"], "evidence": { "text": format!("I agree {marker}") } }),
        ),
        event("contact.received", json!({ "channel": "sms", "phone": phone, "body": format!("hello {marker}") })),
        event(
            "revenue.recorded",
            json!({ "sale": format!("s-{person}"), "kind": "lead_sale", "campaign": "spring",
            "amount": { "amount": "10.00", "currency": "USD" } }),
        ),
    ]
}

/// A ledger with `people` persons, its index mostly in files; the persons' pseudonyms in order.
async fn told(seed: u64, people: usize) -> (Bench, Vec<SubjectId>) {
    told_on(scratch(None, seed).await, people).await
}

async fn told_on(mut bench: Bench, people: usize) -> (Bench, Vec<SubjectId>) {
    bench.options.limits = Limits { index_tail_positions: TAIL, ..Limits::default() };
    bench.reopen().await;
    let mut subjects = Vec::new();
    let everybody: Vec<usize> = (0..people).collect();
    for some in everybody.chunks(50) {
        let events: Vec<_> = some.iter().flat_map(|person| story(*person)).map(received).collect();
        let receipts = bench.ledger.submit(events, options()).await.unwrap().into_iter().map(recorded);
        subjects.extend(receipts.step_by(4).map(|receipt| receipt.subject.unwrap()));
        // The runs are written behind the commits.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(subjects.iter().collect::<BTreeSet<_>>().len(), people);
    (bench, subjects)
}

fn asked(ledger: &Ledger) -> EraseOptions {
    EraseOptions { settle: Duration::ZERO, ..EraseOptions::new(options().actor, ledger) }
}

async fn erase(
    ledger: &Arc<Ledger>,
    subjects: &[SubjectId],
    stop_after: Option<Step>,
) -> Result<Vec<Erasure>, EraseError> {
    let options = EraseOptions { stop_after, ..asked(ledger) };
    let mut begun = Vec::new();
    for subject in subjects {
        begun.push(begin(ledger, *subject, "ccpa_105", Some("PR-7".to_owned()), &options).await?.0);
    }
    run(ledger, begun, &options, &|_| {}).await
}

pub async fn verified(bench: &Bench) -> Report {
    let store = Store::open_reading(&bench.options.location, bench.ledger.id).await.unwrap();
    let keys = Arc::new(VaultKeys::new(store.clone(), keyring(), bench.clock.clone()));
    let asked = VerifyOptions { workers: 2, ..VerifyOptions::default() };
    let report = verify_ledger(&store, &bench.tasks, Some(keys), &asked, &|_| ()).await.unwrap();
    store.close().await;
    report
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for item in fs::read_dir(folder).unwrap() {
        let path = item.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// Which of the needles stand in any file of a folder, by a search of every byte.
fn scan(folder: &Path, needles: &BTreeSet<Vec<u8>>) -> BTreeSet<Vec<u8>> {
    const LENGTH: usize = 16;
    let starts: std::collections::HashMap<&[u8], &Vec<u8>> =
        needles.iter().map(|needle| (&needle[..LENGTH], needle)).collect();
    let mut found = BTreeSet::new();
    let mut paths = Vec::new();
    files(folder, &mut paths);
    for path in paths {
        let bytes = fs::read(&path).unwrap();
        for (at, window) in bytes.windows(LENGTH).enumerate() {
            if let Some(needle) = starts.get(window)
                && bytes[at..].starts_with(needle)
            {
                found.insert((*needle).clone());
            }
        }
    }
    found
}

/// What of a person must leave the disk: sealed bytes, wrapped keys, rows that find them.
async fn traces(ledger: &Ledger, person: usize, subject: SubjectId) -> BTreeSet<Vec<u8>> {
    let mut needles = BTreeSet::new();
    let gone = |class: RetentionClass| matches!(class, RetentionClass::Profile | RetentionClass::Raw);
    let mut next = ledger.subject_head(&subject).unwrap().map(|head| head.position);
    while let Some(position) = next {
        let opened = ledger.open_entry(position).await.unwrap();
        for part in &opened.parts {
            let personal = matches!(part.part.kind, PartKind::Personal | PartKind::Raw);
            needles.extend(part.sealed.clone().filter(|_| personal && gone(part.part.class)));
        }
        next = opened.entry.subject.unwrap().previous;
    }
    for (slot, row) in ledger.store().deks_of(subject.as_bytes()).await.unwrap() {
        if gone(RetentionClass::from_code(slot.class).unwrap()) {
            needles.insert(row.wrapped);
        }
    }
    let blind = |kind, value: &str| ledger.secrets.blind.blind_index(kind, value).to_vec();
    needles.insert(blind(IdentifierKind::Phone, &phone(person)));
    needles.insert(blind(IdentifierKind::Email, &format!("{}@example.com", marker(person))));
    needles.insert(blind(IdentifierKind::Ref, &format!("/crm\u{1f}lead-{person}")));
    needles
}

fn of_phone(person: usize) -> Identifier {
    let value = Phone::parse(&phone(person), "US").unwrap().into_string();
    Identifier { kind: IdentifierKind::Phone, value }
}

/// What was earned and spent, and which channel earned it.
async fn sums(ledger: &Arc<Ledger>, projections: &Projections) -> (Roi, Attribution) {
    projections.wait_for(ledger.size() - 1, Duration::from_secs(60)).await.unwrap();
    let query = AttributionQuery {
        models: ["first", "linear", "markov:1", "shapley_sets"].map(str::to_owned).to_vec(),
        lookback: Lookback { days: None, steps: None },
        from: None,
        to: None,
        as_of: Timestamp::MAX,
        known_at: Timestamp::MAX,
        seller: None,
        campaign: None,
        currency: None,
        engaged: false,
        replicates: 0,
        seed: 0,
    };
    let store = ledger.store();
    (roi(&store, &RoiQuery::default()).await.unwrap(), attribution(&store, &query).await.unwrap())
}

/// How many persons, and how many of them are erased. The whole of it with `TALLYSTICK_LONG=1`.
fn counts() -> (usize, usize) {
    if evidence::long() { (10_000, 1_000) } else { (300, 30) }
}

#[tokio::test(flavor = "multi_thread")]
async fn erased_persons_leave_every_file_and_no_sum_moves() {
    let (people, erased) = counts();
    let (mut bench, subjects) = told(2101, people).await;
    // So that the last positions stand in runs as well.
    recorded(
        post(
            &bench.ledger,
            json!({ "specversion": "1.0", "id": "last", "source": "/crm", "type": "lead.received",
        "subject": "lead-x", "data": { "lead": "L-x" } }),
        )
        .await,
    );
    let chosen: Vec<usize> = (0..people).step_by(people / erased).collect();
    for person in chosen.iter().flat_map(|person| [*person, person + 1]) {
        called(&bench.ledger, person).await;
    }
    let calls = chosen.len() * 2;
    let projections = Projections::start(Arc::clone(&bench.ledger));
    let before = sums(&bench.ledger, &projections).await;
    let kept = compliance(&bench.ledger).await;
    let counted = [kept.contacts, kept.decided, kept.unreadable];
    assert_eq!(counted.map(|count| usize::try_from(count).unwrap()), [2 * calls, calls, 0]);
    assert_eq!(kept.revocations.len(), calls);
    // Each of those who were called bought once more after it.
    let channels = &before.1.models[0].channels;
    let credited: f64 =
        channels.iter().filter(|row| row.channel != "(unattributed)").filter_map(|row| row.conversions).sum();
    assert_eq!(credited, calls as f64, "{channels:?}");
    // An hour on: at the same instant the erasure would count before the calls.
    bench.clock.set(time("2026-11-20T13:00:00Z"));
    let (size, root) = bench.ledger.root_now();
    let whom: Vec<SubjectId> = chosen.iter().map(|person| subjects[*person]).collect();
    let (mut needles, mut others) = (BTreeSet::new(), BTreeSet::new());
    for person in &chosen {
        needles.extend(traces(&bench.ledger, *person, subjects[*person]).await);
        others.extend(traces(&bench.ledger, person + 1, subjects[person + 1]).await);
    }
    let folder = bench.folder.path().to_path_buf();
    let there = scan(&folder, &needles);
    // The control: the same search, the same files, the same needles.
    let indexed = |found: &BTreeSet<Vec<u8>>| found.iter().filter(|needle| needle.len() == 16).count();
    let sealed = |found: &BTreeSet<Vec<u8>>| found.iter().filter(|needle| needle.len() > 16).count();
    assert_eq!(sealed(&there), sealed(&needles), "every sealed part and wrapped key is on the disk before");
    assert!(indexed(&there) * 10 >= indexed(&needles) * 7, "most of the index is in files: {}", indexed(&there));

    let started = std::time::Instant::now();
    let done = erase(&bench.ledger, &whom, None).await.unwrap();
    let took = started.elapsed();
    println!("{} of {people} persons erased in {took:?}", done.len());
    assert!(done.iter().all(|erasure| erasure.state == State::Done && erasure.recorded_at.len() == 1));
    let left = scan(&folder, &needles);
    assert_eq!(left.len(), 0, "of {} traces", needles.len());
    assert_eq!(sealed(&scan(&folder, &others)), sealed(&others), "nobody else lost anything");

    assert_eq!(bench.ledger.root_at(size).await.unwrap(), root, "the log of before is the log of before");
    assert_eq!(sums(&bench.ledger, &projections).await, before);
    // Of a contact law keeps the number for its years, so every rule can still be asked of it.
    assert_eq!(compliance(&bench.ledger).await, kept);
    let report = verified(&bench).await;
    assert!(report.ok, "{:?}", report.problems);
    for person in &chosen {
        assert_eq!(bench.ledger.standing(&subjects[*person]).unwrap(), Standing::Erased);
        assert!(bench.ledger.subject_find(&phone(*person), None).is_err());
        assert!(bench.ledger.is_suppressed(&of_phone(*person)).unwrap());
        assert!(!bench.ledger.is_suppressed(&of_phone(person + 1)).unwrap());
        assert_eq!(bench.ledger.subject_erased_find(&phone(*person)).unwrap(), subjects[*person]);
    }
    projections.rebuild();
    while projections.status().rebuilding.is_some() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(sums(&bench.ledger, &projections).await, before, "also from the log alone");

    // Index and views made anew from the log say the same of everybody.
    drop(projections);
    bench.ledger.close();
    bench.tasks.stop().await;
    bench.ledger.store().close().await;
    fs::remove_dir_all(folder.join("index")).unwrap();
    for file in ["views.db", "views.db-wal", "views.db-shm"] {
        let _absent = fs::remove_file(folder.join(file));
    }
    bench.reopen().await;
    let projections = Projections::start(Arc::clone(&bench.ledger));
    assert_eq!(sums(&bench.ledger, &projections).await, before);
    assert_eq!(compliance(&bench.ledger).await, kept, "also from the log alone");
    assert_eq!(scan(&folder, &needles).len(), 0);
    for person in &chosen {
        assert_eq!(bench.ledger.standing(&subjects[*person]).unwrap(), Standing::Erased);
        assert!(bench.ledger.subject_find(&phone(*person), None).is_err());
        assert!(bench.ledger.is_suppressed(&of_phone(*person)).unwrap());
        assert_eq!(bench.ledger.subject_erased_find(&phone(*person)).unwrap(), subjects[*person]);
        assert_eq!(bench.ledger.subject_find(&phone(person + 1), None).unwrap(), subjects[person + 1]);
    }
    // The gate refuses each of them for the erasure, and nobody else for it.
    let gate = Gate::default();
    for person in &chosen {
        assert!(refused_as_erased(&bench.ledger, &gate, *person).await, "{person}");
    }
    assert!(!refused_as_erased(&bench.ledger, &gate, chosen[0] + 1).await);
    // A bought list brings the number back: somebody new, and suppressed all the same.
    let again = recorded(
        post(
            &bench.ledger,
            json!({ "specversion": "1.0", "id": "bought", "source": "/list",
        "type": "lead.imported", "data": { "phone": phone(chosen[0]), "source": "list-7" } }),
        )
        .await,
    );
    assert_ne!(again.subject.unwrap(), subjects[chosen[0]]);
    assert!(bench.ledger.is_suppressed(&of_phone(chosen[0])).unwrap());
    let figures = json!({ "persons": people, "erased": done.len(), "seconds": took.as_secs(), "traces": needles.len(),
        "traces_found_before": there.len(), "traces_found_after": left.len(), "root_unchanged": true, "refused_by_the_gate": chosen.len(),
        "sums_unchanged_after_rebuild": true, "attribution_unchanged_after_rebuild": true, "compliance_unchanged": true,
        "contacts_evaluated": kept.contacts, "revocations": kept.revocations.len() });
    evidence::write("erasure", &figures);
}

/// Calls a person twice, once by a decision and once without, and is told to stop.
async fn called(ledger: &Arc<Ledger>, person: usize) {
    let question: ContactQuestion = serde_json::from_value(json!({
        "recipient": { "phone": phone(person), "line_type": "mobile", "zip": "43215" },
        "contact": { "channel": "voice", "technology": "manual", "purpose": "informational", "seller": "broker-a", "topic": "x" },
    }))
    .unwrap();
    let decided = Gate::default().decide(ledger, &question, options().actor, None).await.unwrap();
    assert!(decided.answer.allow, "{:?}", decided.answer.reasons);
    let event = |id: &str, kind: &str, data: Value| {
        json!({ "specversion": "1.0", "id": format!("{id}-{person}"), "source": "/crm", "type": kind,
            "subject": format!("lead-{person}"), "data": data })
    };
    let call = json!({ "channel": "voice", "technology": "manual", "purpose": "informational", "seller": "broker-a",
        "topic": "x", "phone": phone(person), "from": "+18005550100", "attribution_channel": "outbound_call" });
    let mut by_decision = call.clone();
    by_decision["decision"] = json!(decided.decision);
    let stop = json!({ "channel": "sms", "phone": phone(person), "body": "STOP" });
    let sold = json!({ "sale": format!("again-{person}"), "kind": "lead_sale", "campaign": "spring",
        "amount": { "amount": "7.01", "currency": "USD" } });
    for told in [
        event("decided", "contact.attempted", by_decision),
        event("undecided", "contact.attempted", call),
        event("stop", "contact.received", stop),
        event("sold", "revenue.recorded", sold),
    ] {
        recorded(post(ledger, told).await);
    }
}

async fn compliance(ledger: &Arc<Ledger>) -> Audit {
    audit(ledger, &Gate::default(), &Span::ALL).await.unwrap()
}

/// Whether the gate refuses a call to a person because of an erasure.
async fn refused_as_erased(ledger: &Ledger, gate: &Gate, person: usize) -> bool {
    let question: ContactQuestion = serde_json::from_value(json!({
        "recipient": { "phone": phone(person), "line_type": "mobile", "zip": "43215" },
        "contact": { "channel": "voice", "technology": "manual", "purpose": "marketing", "seller": "broker-a", "topic": "x" },
    }))
    .unwrap();
    let answer = gate.decide(ledger, &question, options().actor, None).await.unwrap().answer;
    !answer.allow && answer.reasons.contains(&Code::ErasedSuppressed)
}

/// How often each type stands in the log.
pub async fn types(ledger: &Ledger) -> std::collections::BTreeMap<String, usize> {
    let mut counts = std::collections::BTreeMap::new();
    for (_, entry) in ledger.store().entries_from(0, ledger.size()).await.unwrap() {
        let entry = tallystick::chain::entry::EntryRef::decode(&entry).unwrap();
        *counts.entry(entry.event_type.to_owned()).or_default() += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn a_death_between_any_two_steps_comes_to_the_same_end() {
    let mut ends = Vec::new();
    for stop in STEPS.into_iter().map(Some).chain([None]) {
        let (mut bench, subjects) = told(2102, 12).await;
        let needles = traces(&bench.ledger, 3, subjects[3]).await;
        post(
            &bench.ledger,
            json!({ "id": "bad", "source": "/crm", "type": "lead.recieved", "data": { "phone": phone(3) } }),
        )
        .await;
        let first = erase(&bench.ledger, &subjects[3..5], stop).await;
        match stop {
            Some(step) => assert!(matches!(first, Err(EraseError::Stopped(at)) if at == step)),
            None => assert_eq!(first.unwrap().len(), 2),
        }
        bench.reopen().await;
        let resumed = resume(&bench.ledger, &asked(&bench.ledger), &|_| {}).await.unwrap();
        assert_eq!(resumed.len(), if stop.is_some() { 2 } else { 0 }, "{stop:?}");
        let report = verified(&bench).await;
        assert!(report.ok, "{stop:?}: {:?}", report.problems);
        assert_eq!(scan(bench.folder.path(), &needles).len(), 0, "{stop:?}");
        let journal = Journal::of(&bench.ledger).all().unwrap();
        assert!(journal.iter().all(|erasure| erasure.state == State::Done && erasure.request.is_none()));
        assert_eq!(journal.iter().map(|erasure| erasure.items.len()).sum::<usize>(), 1, "{stop:?}");
        let mut keys: Vec<usize> = journal.iter().map(|erasure| erasure.keys.len()).collect();
        keys.sort_unstable();
        ends.push((types(&bench.ledger).await, keys, report.opened));
        bench.ledger.close();
        bench.tasks.stop().await;
    }
    assert!(ends.windows(2).all(|pair| pair[0] == pair[1]), "{ends:#?}");
    let (types, ..) = &ends[0];
    for (name, count) in [
        ("subject.erasure_started", 2),
        ("subject.erased", 2),
        ("suppression.token_kept", 4),
        ("quarantine.resolved", 1),
    ] {
        assert_eq!(types.get(name), Some(&count), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_the_fence_no_key_is_minted_and_a_stop_counts() {
    let (mut bench, subjects) = told(2103, 8).await;
    let stopped = erase(&bench.ledger, &subjects[2..3], Some(Step::Fenced)).await;
    assert!(matches!(stopped, Err(EraseError::Stopped(Step::Fenced))));
    let keys = bench.ledger.store().deks_of(subjects[2].as_bytes()).await.unwrap().len();
    assert_eq!(bench.ledger.standing(&subjects[2]).unwrap(), Standing::Fenced);
    assert!(!bench.ledger.is_suppressed(&of_phone(2)).unwrap());
    let stop = json!({ "specversion": "1.0", "id": "stop", "source": "/sms", "type": "contact.received",
        "data": { "channel": "sms", "phone": phone(2), "body": "STOP" } });
    let Outcome::Quarantined { code, .. } = post(&bench.ledger, stop.clone()).await else { panic!("not kept") };
    assert_eq!(code, "subject_being_erased");
    assert!(bench.ledger.is_suppressed(&of_phone(2)).unwrap(), "the STOP counts at once");
    let Outcome::Quarantined { code, .. } = post(&bench.ledger, stop.clone()).await else { panic!("not kept") };
    assert_eq!(code, "already_quarantined");
    // By our own pseudonym and by reference it is the same person; a strict batch is refused whole.
    let named = json!({ "specversion": "1.0", "id": "named", "source": "/sms", "type": "lead.received",
        "subject": subjects[2].to_string(), "data": { "lead": "L-again" } });
    assert!(matches!(post(&bench.ledger, named).await, Outcome::Quarantined { code: "subject_being_erased", .. }));
    let strict = tallystick::ingest::admit::SubmitOptions { strict: true, ..options() };
    let enriched = json!({ "specversion": "1.0", "id": "strict", "source": "/crm", "type": "lead.received",
        "subject": "lead-2", "data": { "lead": "L-again" } });
    let refused = bench.ledger.submit(vec![received(enriched)], strict).await.unwrap().remove(0);
    assert!(matches!(refused, Outcome::Refused { code: "subject_being_erased", .. }), "{refused:?}");
    // Others are not held up.
    recorded(
        post(
            &bench.ledger,
            json!({ "specversion": "1.0", "id": "other", "source": "/crm", "type": "lead.received",
        "subject": "lead-5", "data": { "lead": "L-again" } }),
        )
        .await,
    );
    assert_eq!(bench.ledger.store().deks_of(subjects[2].as_bytes()).await.unwrap().len(), keys, "no key was minted");
    bench.reopen().await;
    assert_eq!(bench.ledger.standing(&subjects[2]).unwrap(), Standing::Fenced);
    let done = resume(&bench.ledger, &asked(&bench.ledger), &|_| {}).await.unwrap();
    assert_eq!(done[0].state, State::Done);
    // Resolved afresh: the STOP is recorded, about somebody new.
    let Outcome::Duplicate { receipt, .. } = post(&bench.ledger, stop).await else { panic!("not recorded") };
    assert_ne!(receipt.subject, Some(subjects[2]));
    assert!(bench.ledger.is_suppressed(&of_phone(2)).unwrap());
    let kept: Vec<_> = bench.ledger.store().deks_of(subjects[2].as_bytes()).await.unwrap();
    let classes: BTreeSet<u8> = kept.iter().map(|(slot, _)| slot.class).collect();
    let lawful = [RetentionClass::Consent, RetentionClass::Contact, RetentionClass::Billing, RetentionClass::Privacy];
    assert_eq!(classes, lawful.iter().map(|class| class.code()).collect());
    assert!(verified(&bench).await.ok);
    assert!(matches!(erase(&bench.ledger, &subjects[2..3], None).await, Err(EraseError::Erased)));
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_forgets_as_sqlite_does() {
    let Some(engine) = crate::engines::Engine::postgres().await else { return };
    let (mut bench, subjects) = told_on(engine.bench(2106).await, 20).await;
    let (size, root) = bench.ledger.root_now();
    let stopped = erase(&bench.ledger, &subjects[2..5], Some(Step::Destroyed)).await;
    assert!(matches!(stopped, Err(EraseError::Stopped(Step::Destroyed))));
    bench.reopen().await;
    let done = resume(&bench.ledger, &asked(&bench.ledger), &|_| {}).await.unwrap();
    assert!(done.len() == 3 && done.iter().all(|erasure| erasure.state == State::Done));
    assert_eq!(bench.ledger.root_at(size).await.unwrap(), root);
    for (person, subject) in subjects.iter().enumerate() {
        let erased = (2..5).contains(&person);
        let standing = if erased { Standing::Erased } else { Standing::Live };
        assert_eq!(bench.ledger.standing(subject).unwrap(), standing, "{person}");
        assert_eq!(bench.ledger.subject_find(&phone(person), None).is_err(), erased);
        assert_eq!(bench.ledger.is_suppressed(&of_phone(person)).unwrap(), erased);
        let keys = bench.ledger.store().deks_of(subject.as_bytes()).await.unwrap();
        let profile = keys.iter().any(|(slot, _)| slot.class == RetentionClass::Profile.code());
        assert_eq!(profile, !erased);
    }
    assert!(crate::engines::assert_verified(&bench.ledger.store()).await.ok);
    // What a second erasure of nobody new would find.
    assert!(matches!(erase(&bench.ledger, &subjects[2..3], None).await, Err(EraseError::Erased)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absence_that_no_entry_covers_is_still_found() {
    let (bench, subjects) = told(2104, 6).await;
    erase(&bench.ledger, &subjects[..1], None).await.unwrap();
    assert!(verified(&bench).await.ok);
    // A key of somebody else, destroyed without a word.
    let keys = bench.ledger.store().deks_of(subjects[1].as_bytes()).await.unwrap();
    let (slot, _) = keys.iter().find(|(slot, _)| slot.class == RetentionClass::Profile.code()).unwrap();
    bench.ledger.store().dek_delete(slot).await.unwrap();
    let report = verified(&bench).await;
    assert!(!report.ok && report.problems[0].what.contains("no later entry says"), "{:?}", report.problems);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_wins_and_its_release_runs_what_waited() {
    let (bench, subjects) = told(2105, 6).await;
    let place = |id: &str, person: usize, classes: Value| {
        let mut data = json!({ "hold": format!("matter-{id}"), "reason": "litigation" });
        if !classes.is_null() {
            data["classes"] = classes;
        }
        json!({ "specversion": "1.0", "id": format!("hold-{id}"), "source": "/legal", "type": "hold.placed",
            "subject": subjects[person].to_string(), "data": data })
    };
    recorded(post(&bench.ledger, place("a", 0, Value::Null)).await);
    recorded(post(&bench.ledger, place("b", 1, json!(["raw"]))).await);
    let done = erase(&bench.ledger, &subjects[..2], None).await.unwrap();
    let state = |erasures: &[Erasure], subject: SubjectId| {
        erasures.iter().find(|erasure| erasure.subjects.contains(&subject)).unwrap().clone()
    };
    assert_eq!(state(&done, subjects[0]).state, State::Waiting);
    assert_eq!(bench.ledger.standing(&subjects[0]).unwrap(), Standing::Live);
    let partly = state(&done, subjects[1]);
    assert_eq!(partly.state, State::Done);
    assert!(partly.kept.iter().any(|kept| kept.class == RetentionClass::Raw && kept.ground == "hold"));
    let release = json!({ "specversion": "1.0", "id": "release-a", "source": "/legal", "type": "hold.released",
        "subject": subjects[0].to_string(), "data": { "hold": "matter-a", "reason": "settled" } });
    recorded(post(&bench.ledger, release).await);
    let ran = resume(&bench.ledger, &asked(&bench.ledger), &|_| {}).await.unwrap();
    assert_eq!((ran.len(), ran[0].state), (1, State::Done));
    assert_eq!(bench.ledger.standing(&subjects[0]).unwrap(), Standing::Erased);
    assert!(verified(&bench).await.ok);
}

/// The command as users run it: what it will do first, then `--yes`, then a certificate that a stranger verifies.
#[test]
fn the_commands_show_what_they_do_and_want_a_yes() {
    let data = crate::server::Data::init(None);
    let events = data.folder.path().join("events.ndjson");
    let lines: Vec<String> = (0..4).flat_map(story).map(|event| event.to_string()).collect();
    fs::write(&events, lines.join("\n")).unwrap();
    let call = |args: &[&str]| {
        let mut command = std::process::Command::new(crate::server::PROGRAM);
        let (before, after) = args.split_at(1);
        let output = command.args(before).arg("--data").arg(data.path()).args(after).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code().unwrap(), text, String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let mut import = std::process::Command::new(crate::server::PROGRAM);
    let import = import.args(["events", "import"]).arg(&events).arg("--data").arg(data.path()).output().unwrap();
    assert!(import.status.success(), "{}", String::from_utf8_lossy(&import.stderr));
    let (one, two) = (phone(1), phone(2));
    let (code, text, _) = call(&["erase", "--subject", &one, "--dry-run"]);
    assert!(code == 0 && text.contains("keys destroyed for good"), "{text}");
    let (code, _, error) = call(&["erase", "--subject", &one]);
    assert!(code == 1 && error.contains("add --yes"), "{error}");
    let (code, text, error) =
        call(&["erase", "--subject", &one, "--subject", &two, "--basis", "ccpa_105", "--yes", "--json"]);
    assert_eq!(code, 0, "{error}");
    let done: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((done["items"].as_array().unwrap().len(), done["items"][0]["state"].as_str()), (2, Some("done")));
    assert!(data.path().join("erasures").join(data.ledger.to_string()).is_dir());
    let (code, text, _) = call(&["verify", "--json"]);
    assert!(code == 0 && text.contains("\"ok\":true"), "{text}");
    let bundle = data.folder.path().join("certificate.zip");
    let (code, _, error) =
        call(&["export", "--profile", "erasure", "--subject", &one, "--out", bundle.to_str().unwrap()]);
    assert_eq!(code, 0, "{error}");
    let verify = std::process::Command::new(crate::server::PROGRAM).arg("verify").arg(&bundle).output().unwrap();
    assert!(verify.status.success(), "{}", String::from_utf8_lossy(&verify.stdout));
    let (code, _, error) = call(&["erase", "--subject", &one, "--yes"]);
    assert!(code == 1 && error.contains("erased already"), "{error}");
    let (code, text, _) = call(&["retain", "--dry-run", "--json"]);
    assert!(code == 0 && text.contains("\"due\":[]"), "{text}");
}
