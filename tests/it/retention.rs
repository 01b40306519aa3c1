//! Keys end by age, quarter by quarter, and what is still live goes on living.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tallystick::domain::ids::SubjectId;
use tallystick::domain::parts::RetentionClass;
use tallystick::domain::time::Timestamp;
use tallystick::http::state::Settings;
use tallystick::ingest::admit::SubmitOptions;
use tallystick::jobs::retention::{Report, RetainError, RetainOptions, Verdict, plan, run};
use tallystick::projections::Projections;
use tallystick::views::Instants;
use tallystick::views::consent::{ConsentStanding, state};

use crate::erasure::{types, verified};
use crate::http::serve_bench;
use crate::support::{Bench, options, received, recorded, scratch, time};

async fn tell(bench: &Bench, now: &str, person: usize, kind: &str, data: Value) -> SubjectId {
    let event = json!({ "specversion": "1.0", "id": format!("{kind}-{person}-{now}"), "source": "/crm", "type": kind,
        "subject": format!("lead-{person}"), "data": data });
    let asked = SubmitOptions { now: Some(time(now)), ..options() };
    recorded(bench.ledger.submit(vec![received(event)], asked).await.unwrap().remove(0)).subject.unwrap()
}

fn phone(person: usize) -> String {
    format!("+1614555{:04}", 100 + person)
}

fn consent(person: usize) -> Value {
    json!({ "kind": "pewc", "phone": phone(person), "sellers": ["broker-a"], "channels": ["sms"], "purposes": ["marketing"] })
}

async fn retain(bench: &Bench, now: &str, stop_after: Option<u64>) -> Result<Report, RetainError> {
    let asked = RetainOptions { now: Some(time(now)), stop_after, ..RetainOptions::new(options().actor) };
    run(&bench.ledger, &asked, &|_| {}).await
}

async fn classes(bench: &Bench, subject: SubjectId) -> Vec<&'static str> {
    let keys = bench.ledger.store().deks_of(subject.as_bytes()).await.unwrap();
    let mut names: Vec<_> = keys.iter().filter_map(|(slot, _)| RetentionClass::from_code(slot.class)).collect();
    names.dedup();
    names.into_iter().map(RetentionClass::name).collect()
}

async fn standing(bench: &Bench, subject: SubjectId, at: Timestamp) -> Vec<ConsentStanding> {
    let projections = Projections::start(Arc::clone(&bench.ledger));
    projections.rebuild();
    projections.wait_for(bench.ledger.size() - 1, Duration::from_secs(20)).await.unwrap();
    while projections.status().rebuilding.is_some() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let cells = state(&bench.ledger.store(), &[subject], Instants { as_of: at, known_at: at }).await.unwrap();
    cells.into_iter().map(|cell| cell.standing).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_end_when_their_days_are_over_and_what_lives_is_carried() {
    let mut bench = scratch(None, 2201).await;
    let start = "2026-11-20T12:00:00Z";
    let live = tell(&bench, start, 1, "consent.granted", consent(1)).await;
    let gone = tell(&bench, start, 2, "lead.received", json!({ "lead": "L-2", "phone": phone(2) })).await;
    let stopped = tell(&bench, start, 3, "consent.granted", consent(3)).await;
    tell(&bench, start, 3, "consent.revoked", json!({ "phone": phone(3), "method": "reply" })).await;

    // One microsecond before, nothing is due; the control is the instant itself.
    let early = time("2027-03-31T23:59:59.999999Z");
    assert_eq!(plan(&bench.ledger, early).await.unwrap(), []);
    let due = plan(&bench.ledger, time("2027-04-01T00:00:00Z")).await.unwrap();
    assert_eq!((due.len(), due[0].class, due[0].keys, due[0].verdict), (1, RetentionClass::Raw, 3, Verdict::Destroy));
    let report = retain(&bench, "2027-04-01T00:00:00Z", None).await.unwrap();
    assert_eq!((report.keys, report.parts, report.carried), (3, 4, 0));
    assert!(verified(&bench).await.ok);
    assert!(!classes(&bench, live).await.contains(&"raw"));

    // Two years on: profiles end; who has a consent on record stays findable, who has nothing else is forgotten.
    let report = retain(&bench, "2029-01-02T00:00:00Z", None).await.unwrap();
    assert!(report.carried >= 2, "{report:?}");
    assert!(verified(&bench).await.ok);
    assert_eq!(bench.ledger.subject_find(&phone(1), None).unwrap(), live);
    assert_eq!(bench.ledger.subject_find(&phone(3), None).unwrap(), stopped);
    bench.reopen().await;
    std::fs::remove_dir_all(bench.folder.path().join("index")).unwrap();
    bench.reopen().await;
    assert_eq!(bench.ledger.subject_find(&phone(1), None).unwrap(), live, "the copy binds as the original did");
    assert!(!classes(&bench, gone).await.contains(&"profile"));

    // Five years on: the consent in force lives, and so does the revocation; their first entries cannot be opened any more.
    let now = "2032-01-03T00:00:00Z";
    let report = retain(&bench, now, None).await.unwrap();
    assert!(report.due.iter().any(|due| due.class == RetentionClass::Consent && due.business), "{report:?}");
    assert!(verified(&bench).await.ok);
    assert!(classes(&bench, live).await.contains(&"consent"), "a consent in force keeps its evidence");
    assert_eq!(standing(&bench, live, time(now)).await, [ConsentStanding::Granted]);
    let revoked = standing(&bench, stopped, time(now)).await;
    assert!(!revoked.contains(&ConsentStanding::Granted), "{revoked:?}");
    let counts = types(&bench.ledger).await;
    assert!(counts["consent.carried"] >= 1 && counts["retention.completed"] >= 3, "{counts:?}");
    // Nothing is left to do, and doing it again does nothing.
    assert_eq!(retain(&bench, now, None).await.unwrap().keys, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_cut_short_is_finished_by_the_next() {
    let mut bench = scratch(None, 2202).await;
    for person in 0..5 {
        tell(&bench, "2026-11-20T12:00:00Z", person, "consent.granted", consent(person)).await;
    }
    let now = "2029-01-02T00:00:00Z";
    assert!(matches!(retain(&bench, now, Some(1)).await, Err(RetainError::Stopped)));
    // Keys are gone and no entry says so yet: exactly that is found.
    assert!(!verified(&bench).await.ok);
    bench.reopen().await;
    let report = retain(&bench, now, None).await.unwrap();
    assert!(report.keys >= 10, "{report:?}");
    assert!(verified(&bench).await.ok);
    assert_eq!(retain(&bench, now, None).await.unwrap().keys, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_stops_every_clock() {
    let bench = scratch(None, 2203).await;
    let start = "2026-11-20T12:00:00Z";
    let held = tell(&bench, start, 1, "consent.granted", consent(1)).await;
    tell(&bench, start, 2, "consent.granted", consent(2)).await;
    tell(&bench, start, 1, "hold.placed", json!({ "hold": "h-1", "reason": "litigation", "classes": ["raw"] })).await;
    let due = plan(&bench.ledger, time("2027-04-01T00:00:00Z")).await.unwrap();
    assert_eq!((due[0].keys, due[0].held), (1, 1));
    assert_eq!(retain(&bench, "2027-04-01T00:00:00Z", None).await.unwrap().keys, 1);
    assert!(classes(&bench, held).await.contains(&"raw"));
    tell(&bench, "2027-04-02T00:00:00Z", 1, "hold.released", json!({ "hold": "h-1", "reason": "settled" })).await;
    let report = retain(&bench, "2027-04-02T00:00:00Z", None).await.unwrap();
    assert_eq!(report.keys, 1, "the release let it go");
    assert!(verified(&bench).await.ok);
}

/// What was known before the first instant that is kept has no answer any more, and says so.
#[tokio::test(flavor = "multi_thread")]
async fn an_instant_before_what_is_kept_is_refused() {
    let bench = scratch(None, 2204).await;
    let subject = tell(&bench, "2026-11-20T12:00:00Z", 1, "consent.granted", consent(1)).await;
    let served = serve_bench(bench, Settings::default()).await;
    let ask = async |query: &str| served.get(&format!("/v1/subjects/{subject}/consent{query}")).await;
    ask("?as_of=2026-12-01T00:00:00Z").await.ok(200);
    let now = "2032-01-03T00:00:00Z";
    retain(&served.bench, now, None).await.unwrap();
    let problem = ask("?as_of=2026-12-01T00:00:00Z").await.refused(410, "history_expired");
    assert!(problem["detail"].as_str().unwrap().contains("2027-01-01T00:00:00.000000Z"), "{problem}");
    ask("?known_at=2026-12-31T23:59:59.999999Z").await.refused(410, "history_expired");
    served.get("/v1/views/consent?known_at=2026-12-01T00:00:00Z").await.refused(410, "history_expired");
    // From the first instant on, and now: the consent in force was carried.
    ask("?as_of=2027-01-01T00:00:00Z").await.ok(200);
    assert!(ask("").await.ok(200).to_string().contains("granted"));
}
