//! Subjects that are one person, annulments that name somebody else, items that a retry closes, and the log key's change.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use tallystick::chain::note::VerifierKey;
use tallystick::exports::ledger_verify::{NamedCheckpoint, VerifyOptions};
use tallystick::exports::verify::verify_bundle;
use tallystick::policy::access::Role;

use super::{Served, served};
use crate::engines::verify;
use crate::support::{consent, keyring};

async fn subject_of(served: &Served, event: &Value) -> String {
    served.post(event).await.ok(201)["subject"].as_str().unwrap().to_owned()
}

fn later(clock: &tallystick::runtime::Clock, seconds: i64) {
    clock.set(clock.now().checked_add_micros(seconds * 1_000_000).unwrap());
}

/// Standings of text messages for marketing, by seller.
async fn standings(served: &Served, subject: &str, query: &str) -> Vec<String> {
    let consent = served.get(&format!("/v1/subjects/{subject}/consent{query}")).await.ok(200);
    let cells = consent["cells"].as_array().unwrap().iter();
    cells.map(|cell| cell["standing"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn merged_subjects_are_read_as_one_person_until_they_are_parted() {
    let served = served(1001).await;
    let one = subject_of(&served, &consent("a", "lead-1", "+16145550101")).await;
    let mut stop = json!({
        "specversion": "1.0", "id": "stop", "source": "/test", "type": "consent.revoked", "subject": "lead-2",
        "time": "2026-11-19T13:00:00Z", "data": { "phone": "+16145550102", "method": "reply" },
    });
    let other = subject_of(&served, &stop).await;
    assert_eq!(standings(&served, &one, "").await, ["granted"]);
    let before = served.bench.clock.now();

    let path = format!("/v1/subjects/{one}/merge");
    let body = json!({ "other": other, "reason": "operator", "note": "same owner" });
    served.call(Role::Reader, "POST", &path, &[], body.to_string()).await.refused(403, "forbidden");
    served.manage(&path, &json!({ "other": one, "reason": "operator" })).await.refused(409, "merge_refused");
    served.manage(&path, &json!({ "other": other, "reason": "boredom" })).await.refused(422, "request_invalid");
    let nobody = "01a1a1ec-9980-7000-8000-000000000000";
    served.manage(&path, &json!({ "other": nobody, "reason": "operator" })).await.refused(404, "not_found");
    later(&served.bench.clock, 60);
    let merged = served.manage(&path, &body).await.ok(201);
    assert_eq!(merged["subjects"], json!([one, other]));
    served.manage(&path, &body).await.refused(409, "merge_refused");

    // Either name reads the union: the revocation of one ends the consent of the other.
    for subject in [&one, &other] {
        assert!(standings(&served, subject, "").await.iter().all(|standing| standing == "revoked"));
        let timeline = served.get(&format!("/v1/subjects/{subject}/timeline")).await.ok(200);
        let types: Vec<&str> =
            timeline["items"].as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap()).collect();
        assert_eq!(types.iter().filter(|kind| **kind == "subject.merged").count(), 2, "{types:?}");
        assert!(types.contains(&"consent.granted") && types.contains(&"consent.revoked"), "{types:?}");
    }
    // What was known before the merge is read as it was.
    assert_eq!(standings(&served, &one, &format!("?known_at={before}")).await, ["granted"]);
    // Pages of the union have neither gap nor repeat.
    let whole = served.get(&format!("/v1/subjects/{one}/timeline?limit=100")).await.ok(200)["items"].clone();
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = served.get(&format!("/v1/subjects/{one}/timeline?limit=2{cursor}")).await.ok(200);
        paged.extend(page["items"].as_array().unwrap().clone());
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(Value::from(paged), whole);
    // The bundle shows both.
    let export = served.manage("/v1/exports", &json!({ "subject": one })).await.ok(201);
    let bundle = served.get(&format!("/v1/exports/{}/bundle", export["id"].as_str().unwrap())).await;
    let report = verify_bundle(&bundle.bytes, None);
    assert!(report.ok, "{:?}", report.problems);
    let text = String::from_utf8_lossy(&bundle.bytes).into_owned();
    assert!(text.contains(&one) && text.contains(&other));

    // After a start too: what the index remembers is built from the log.
    let index = served.bench.folder.path().join("index");
    let _none_yet = std::fs::remove_dir_all(index);
    let mut bench = served.bench;
    bench.reopen().await;
    let served = super::serve_bench(bench, tallystick::http::state::Settings::default()).await;
    let read = served.get(&format!("/v1/subjects/{other}")).await.ok(200);
    assert_eq!(read["subjects"], json!([other, one]));

    let part = json!({ "other": one, "reason": "entered_in_error" });
    let parted = served.manage(&format!("/v1/subjects/{other}/unmerge"), &part).await.ok(201);
    assert_eq!(parted["subjects"], json!([other]));
    assert_eq!(standings(&served, &one, "").await, ["granted"]);
    served.manage(&format!("/v1/subjects/{other}/unmerge"), &part).await.refused(409, "merge_refused");
    // And joined again.
    served.manage(&format!("/v1/subjects/{one}/merge"), &json!({ "other": other, "reason": "operator" })).await.ok(201);
    stop["id"] = "stop-2".into();
    served.post(&stop).await.ok(201);
    assert!(standings(&served, &one, "").await.iter().all(|standing| standing == "revoked"));
    let report = verify(&served.bench.ledger.store(), Some(keyring()), &VerifyOptions::default()).await;
    assert!(report.ok, "{:?}", report.problems);
}

#[tokio::test(flavor = "multi_thread")]
async fn annulments_and_corrections_count_for_the_person_they_are_about() {
    let served = served(1002).await;
    let granted = served.post(&consent("a", "lead-1", "+16145550101")).await.ok(201);
    let one = granted["subject"].as_str().unwrap();
    subject_of(&served, &consent("b", "lead-2", "+16145550102")).await;
    // The poster names another person: the entry stands with the one whose event it annuls.
    let annul = |id: &str, position: &Value| {
        json!({
            "specversion": "1.0", "id": id, "source": "/test", "type": "event.annulled", "subject": "lead-2",
            "data": { "position": position, "reason_code": "wrong_subject" },
        })
    };
    let annulled = served.post(&annul("c", &granted["position"])).await.ok(201);
    assert_eq!(annulled["subject"], one);
    assert!(standings(&served, one, "").await.is_empty());
    // Annulling the annulment brings it back.
    served.post(&annul("d", &annulled["position"])).await.ok(201);
    assert_eq!(standings(&served, one, "").await, ["granted"]);
    // A correction that says that it was another person's ends it here.
    let mut moved = consent("e", "lead-3", "+16145550103");
    moved["corrects"] = granted["position"].as_u64().unwrap().to_string().into();
    let moved = served.post(&moved).await.ok(201);
    assert!(standings(&served, one, &format!("?after={}", moved["position"])).await.is_empty());
    let third = moved["subject"].as_str().unwrap();
    assert_eq!(standings(&served, third, "").await, ["granted"]);
    // And annulling the correction brings it back once more.
    let last = served.post(&annul("f", &moved["position"])).await.ok(201);
    assert_eq!(standings(&served, one, &format!("?after={}", last["position"])).await, ["granted"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn corrected_retry_closes_every_item_of_its_pair_also_after_a_start() {
    let served = served(1003).await;
    let mut wrong = consent("a", "lead-1", "+16145550101");
    let mut positions = Vec::new();
    for phone in ["12", "13", "14"] {
        wrong["data"]["phone"] = phone.into();
        positions.push(served.post(&wrong).await.json()["quarantine"]["position"].as_u64().unwrap());
    }
    // One of them is given up: it stays so.
    let discard = format!("/v1/quarantine/{}/discard", positions[1]);
    served.manage(&discard, &json!({ "reason": "test" })).await.ok(200);
    let fix = format!("/v1/quarantine/{}/fix", positions[1]);
    served.manage(&fix, &consent("x", "lead-1", "+16145550101")).await.refused(410, "gone");
    let open = async |served: &Served| {
        let list = served.get(&format!("/v1/quarantine?after={}", served.bench.ledger.size() - 1)).await;
        let all = served.get("/v1/quarantine").await.ok(200);
        assert_eq!(list.status, 200);
        all["items"].as_array().unwrap().iter().map(|item| item["position"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(open(&served).await, [positions[0], positions[2]]);
    let mut bench = served.bench;
    bench.reopen().await;
    let served = super::serve_bench(bench, tallystick::http::state::Settings::default()).await;
    tallystick::jobs::items::start(&served.bench.ledger, &served.state.services()[0].runner);
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    let recorded = served.post(&consent("a", "lead-1", "+16145550101")).await.ok(201)["position"].as_u64().unwrap();
    assert_eq!(open(&served).await, Vec::<u64>::new());
    for (back, item) in (1..).zip([positions[0], positions[2]]) {
        let entry = served.get(&format!("/v1/events/{}", recorded + back)).await.ok(200);
        assert_eq!((&entry["type"], &entry["data"]["item"]), (&json!("quarantine.resolved"), &json!(item)));
        assert_eq!(entry["cause"], json!(recorded), "{entry}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_log_key_signs_with_the_old_one_until_the_overlap_is_over() {
    let served = served(1004).await;
    let checkpoints = served.state.services()[0].checkpoints.clone();
    let old: VerifierKey = tallystick::jobs::checkpoint::verifier_key(&served.bench.ledger).unwrap();
    served.post(&consent("a", "lead-1", "+16145550101")).await.ok(201);
    served.manage("/v1/admin/log-key", &json!({ "reason": "boredom" })).await.refused(422, "request_invalid");
    let far = json!({ "reason": "scheduled", "overlap_days": 4_000 });
    served.manage("/v1/admin/log-key", &far).await.refused(422, "request_invalid");
    let rotated =
        served.manage("/v1/admin/log-key", &json!({ "reason": "scheduled", "overlap_days": 2 })).await.ok(201);
    let new: VerifierKey = rotated["verifier_key"].as_str().unwrap().parse().unwrap();
    assert_ne!(old, new);
    served.post(&consent("b", "lead-1", "+16145550101")).await.ok(201);
    let wait = std::time::Duration::from_secs(5);
    let both = checkpoints.wait_for(served.bench.ledger.size(), wait).await.unwrap();
    let signed = |note: &str, key: &VerifierKey| {
        tallystick::chain::checkpoint::Checkpoint::open(note.as_bytes(), std::slice::from_ref(key)).is_ok()
    };
    assert!(signed(&both.note, &old) && signed(&both.note, &new));

    // A bundle of these days verifies by either key; a flipped bit of either signature does not pass.
    let export = served.manage("/v1/exports", &json!({ "subject": "lead-1" })).await.ok(201);
    let path = format!("/v1/exports/{}/bundle", export["id"].as_str().unwrap());
    let bundle = served.get(&path).await.bytes;
    for key in [None, Some(&old), Some(&new)] {
        let report = verify_bundle(&bundle, key);
        assert!(report.ok, "{key:?}: {:?}", report.problems);
    }
    let stranger = VerifierKey::new(&served.bench.ledger.origin, old.kind(), [7; 32]).unwrap();
    assert!(!verify_bundle(&bundle, Some(&stranger)).ok);
    let options = |note: &str, key: &VerifierKey| VerifyOptions {
        key: Some(key.clone()),
        checkpoints: vec![NamedCheckpoint {
            name: "kept".to_owned(),
            note: note.as_bytes().to_vec(),
            from_outside: true,
        }],
        ..VerifyOptions::default()
    };
    for key in [&old, &new] {
        let report = verify(&served.bench.ledger.store(), Some(keyring()), &options(&both.note, key)).await;
        assert!(report.ok, "{:?}", report.problems);
    }

    // A start knows who signs; when the days are over, the old key signs nothing more.
    let mut bench = served.bench;
    later(&bench.clock, 3 * 86_400);
    bench.reopen().await;
    let served = super::serve_bench(bench, tallystick::http::state::Settings::default()).await;
    served.post(&consent("c", "lead-1", "+16145550101")).await.ok(201);
    let checkpoints = served.state.services()[0].checkpoints.clone();
    let one = checkpoints.wait_for(served.bench.ledger.size(), wait).await.unwrap();
    assert!(!signed(&one.note, &old) && signed(&one.note, &new));
    let report = verify(&served.bench.ledger.store(), Some(keyring()), &options(&one.note, &old)).await;
    assert!(!report.ok, "the old key is no longer enough");
    // A key that is known to others is dropped at once.
    let dropped = json!({ "reason": "compromised", "overlap_days": 0 });
    let last = served.manage("/v1/admin/log-key", &dropped).await.ok(201);
    assert_eq!(last["overlap_until"], Value::Null);
    let note = checkpoints.wait_for(served.bench.ledger.size(), wait).await.unwrap().note.clone();
    assert!(!signed(&note, &new) && signed(&note, &last["verifier_key"].as_str().unwrap().parse().unwrap()));
    let public = Request::builder().uri(format!("/log/{}/checkpoint", served.bench.ledger.id)).body(Body::empty());
    assert_eq!(served.send(public.unwrap()).await.text(), note);
}
