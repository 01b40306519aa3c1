//! Rights requests, holds and erasures by HTTP: clocks, identity, what is done, what can be shown afterwards.

use axum::body::Body;
use serde_json::{Value, json};
use tallystick::exports::container;
use tallystick::exports::verify::verify_bundle;
use tallystick::policy::access::Role;

use super::{Served, served};

async fn told(served: &Served, person: &str, phone: &str) {
    let event = |id: &str, kind: &str, data: Value| {
        json!({ "specversion": "1.0", "id": format!("{id}-{person}"), "source": "/crm", "type": kind, "subject": person,
            "data": data })
    };
    let lead = json!({ "lead": format!("L-{person}"), "phone": phone, "email": format!("{person}@example.com"), "name": "Profilename" });
    served.post(&event("lead", "lead.received", lead)).await.ok(201);
    let consent = json!({ "kind": "pewc", "phone": phone, "sellers": ["broker-a"], "channels": ["sms"],
        "purposes": ["marketing"], "evidence": { "text": "I agree to texts" } });
    served.post(&event("consent", "consent.granted", consent)).await.ok(201);
    let offered = json!({ "lead": format!("L-{person}"), "seller": "broker-a", "offer": "o-1" });
    served.post(&event("offered", "lead.offered", offered)).await.ok(201);
}

/// Every opened text of a bundle, in one.
fn opened(bundle: &[u8]) -> String {
    let files = container::read(bundle).unwrap();
    let texts = files.iter().filter(|file| file.name.starts_with("plaintext/") || file.name.ends_with(".html"));
    texts.map(|file| String::from_utf8_lossy(file.bytes).into_owned()).collect()
}

async fn bundle(served: &Served, profile: &str, subject: &str) -> Vec<u8> {
    let body = json!({ "profile": profile, "subject": subject }).to_string();
    let made = served.call(Role::Auditor, "POST", "/v1/exports", &[], body).await.ok(201);
    let path = format!("/v1/exports/{}/bundle", made["id"].as_str().unwrap());
    let bundle = served.call(Role::Auditor, "GET", &path, &[], Body::empty()).await;
    assert_eq!(bundle.status.as_u16(), 200, "{}", bundle.text());
    let key = tallystick::jobs::checkpoint::verifier_key(&served.bench.ledger).unwrap();
    let report = verify_bundle(&bundle.bytes, Some(&key));
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    bundle.bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_request_runs_from_receipt_to_certificate() {
    let served = served(1201).await;
    told(&served, "lead-1", "+16145550101").await;
    told(&served, "lead-2", "+16145550102").await;
    let new =
        json!({ "right": "delete", "regime": "ccpa", "subject": "lead-1", "source": "/crm", "received_via": "form" });
    let made = served.manage("/v1/privacy-requests", &new).await.ok(201);
    let id = made["id"].as_str().unwrap().to_owned();
    // The bench's clock stands at 2026-11-20T12:00:00Z: 45 days on.
    assert_eq!(made["due"], "2027-01-04T23:59:59.999999Z");
    assert_eq!((made["days_left"].as_i64(), made["state"].as_str()), (Some(45), Some("open")));
    assert_eq!(made["recipients"], json!(["broker-a"]));
    let tasks = |view: &Value| -> Vec<String> {
        view["tasks"].as_array().unwrap().iter().map(|task| task["task"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(tasks(&made), ["confirm_receipt", "verify_identity", "answer", "tell_recipient"]);
    let acts = format!("/v1/privacy-requests/{id}/acts");
    let act = async |body: Value| served.manage(&acts, &body).await;
    act(json!({ "act": "complete" })).await.refused(409, "identity_not_verified");
    act(json!({ "act": "dance" })).await.refused(422, "request_invalid");
    act(json!({ "act": "verify", "result": "perhaps" })).await.refused(422, "request_invalid");
    act(json!({ "act": "acknowledge", "channel": "email" })).await.ok(200);
    act(json!({ "act": "verify", "result": "verified", "method": "data_match", "level": "reasonably_high" }))
        .await
        .ok(200);
    let late = json!({ "act": "extend", "reason": "complexity", "until": "2027-03-01T00:00:00Z" });
    act(late).await.refused(422, "extension_refused");
    let told = act(json!({ "act": "notify", "recipient": "broker-a", "method": "email" })).await.ok(200);
    assert_eq!(tasks(&told), ["answer"]);
    let queue = served.get("/v1/privacy-requests?state=open").await.ok(200);
    assert_eq!(
        (queue["open"].as_i64(), queue["overdue"].as_i64(), queue["items"][0]["id"].as_str()),
        (Some(1), Some(0), Some(&*id))
    );
    served.get("/v1/privacy-requests?state=x").await.refused(400, "parameter_invalid");

    let before = opened(&bundle(&served, "tcpa_call", "+16145550101").await);
    assert!(before.contains("Profilename") && before.contains("lead-1@example.com") && before.contains("I agree"));
    let done = act(json!({ "act": "complete", "answered_via": "email" })).await.ok(200);
    assert_eq!((done["state"].as_str(), done["answered"]["how"].as_str()), (Some("completed"), Some("partly_deleted")));
    assert_eq!(done["late"], false);
    act(json!({ "act": "complete" })).await.refused(409, "request_answered");
    let letter = served.get(&format!("/v1/privacy-requests/{id}/letter")).await;
    assert!(letter.text().contains("your data was deleted, except"), "{}", letter.text());
    assert!(letter.text().contains("Kept: the proof of your consent."));

    let erasure = done["answered"]["erasure"].as_str().unwrap();
    let read = served.get(&format!("/v1/retention/erasures/{erasure}")).await.ok(200);
    let certificate = read["certificate"].as_str().unwrap();
    assert!(certificate.contains("What stays, and why:") && certificate.contains("16 CFR 310.5"), "{certificate}");
    assert!(!certificate.contains("+1614"));
    assert_eq!(served.get("/v1/retention/erasures").await.ok(200)["items"].as_array().unwrap().len(), 1);

    let search = json!({ "phone": "+16145550101" });
    let found = served.manage("/v1/subjects/search", &search).await.ok(200);
    assert_eq!(found["items"], json!([]), "nobody is found by the number any more");
    // What law obliges to keep is shown, and nothing else; found by the restricted map.
    let kept = opened(&bundle(&served, "tcpa_call", "+16145550101").await);
    assert!(kept.contains("I agree to texts"));
    assert!(!kept.contains("Profilename") && !kept.contains("lead-1@example.com"), "{kept}");
    let certified = opened(&bundle(&served, "erasure", "+16145550101").await);
    assert!(certified.contains(erasure) && !certified.contains("I agree to texts"));
    // Nobody else is touched.
    assert!(opened(&bundle(&served, "tcpa_call", "+16145550102").await).contains("Profilename"));
    let again = json!({ "subjects": ["+16145550101"], "basis": "operator" });
    served.manage("/v1/retention/erasures", &again).await.refused(409, "already_erased");
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_other_than_deletion_do_what_they_say() {
    let served = served(1202).await;
    told(&served, "lead-1", "+16145550101").await;
    for (right, regime, how) in [
        ("opt_out_sale", "ccpa", "opted_out"),
        ("limit_sensitive", "ccpa", "limited"),
        ("object", "gdpr", "objection_accepted"),
        ("withdraw_consent", "gdpr", "opted_out"),
        ("restrict", "gdpr", "restricted"),
        ("correct", "us_state", "corrected"),
        ("access", "gdpr", "provided"),
        ("portability", "other", "provided"),
    ] {
        let new =
            json!({ "right": right, "regime": regime, "phone": "+16145550101", "request": format!("PR-{right}") });
        let made = served.manage("/v1/privacy-requests", &new).await.ok(201);
        let acts = format!("/v1/privacy-requests/{}/acts", made["id"].as_str().unwrap());
        if made["clock"]["verify"] != "no" {
            let verify = json!({ "act": "verify", "result": "verified", "method": "account" });
            served.manage(&acts, &verify).await.ok(200);
        }
        let done = served.manage(&acts, &json!({ "act": "complete" })).await.ok(200);
        assert_eq!(done["answered"]["how"], how, "{right}");
        if how == "provided" {
            let path = format!("/v1/exports/{}/bundle", done["answered"]["export"].as_str().unwrap());
            assert_eq!(served.get(&path).await.status.as_u16(), 200);
        }
    }
    let new = json!({ "right": "delete", "regime": "gdpr", "phone": "+16145550101" });
    let made = served.manage("/v1/privacy-requests", &new).await.ok(201);
    let acts = format!("/v1/privacy-requests/{}/acts", made["id"].as_str().unwrap());
    let denied = served.manage(&acts, &json!({ "act": "deny", "basis": "not_verified" })).await.ok(200);
    assert_eq!((denied["state"].as_str(), denied["answered"]["how"].as_str()), (Some("denied"), Some("not_verified")));
    let all = served.get("/v1/privacy-requests").await.ok(200);
    assert_eq!((all["items"].as_array().unwrap().len(), all["open"].as_i64()), (9, Some(0)));
    served
        .manage("/v1/privacy-requests", &json!({ "right": "delete", "regime": "gdpr" }))
        .await
        .refused(422, "request_invalid");
    served.get("/v1/privacy-requests/00").await.refused(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_keeps_a_request_open_and_its_release_runs_it() {
    let served = served(1203).await;
    told(&served, "lead-1", "+16145550101").await;
    let hold = json!({ "hold": "smith-v-us", "subject": "+16145550101", "reason": "litigation", "note": "case 7" });
    served.manage("/v1/holds", &hold).await.ok(201);
    served
        .manage("/v1/holds", &json!({ "hold": "x", "subject": "+16145550101", "reason": "why not" }))
        .await
        .refused(422, "request_invalid");
    let dry = json!({ "subjects": ["lead-1"], "source": "/crm", "basis": "ccpa_105", "dry_run": true });
    let plan = served.manage("/v1/retention/erasures", &dry).await.ok(200);
    assert_eq!(
        (plan["items"][0]["waits"].as_bool(), plan["items"][0]["holds"][0]["hold"].as_str()),
        (Some(true), Some("smith-v-us"))
    );
    let wanted = json!({ "subjects": ["lead-1"], "source": "/crm", "basis": "ccpa_105" });
    let waiting = served.manage("/v1/retention/erasures", &wanted).await.ok(202);
    assert_eq!(waiting["items"][0]["state"], "waiting");
    assert_eq!(served.get("/v1/holds?in_force=true").await.ok(200)["items"].as_array().unwrap().len(), 1);
    let found = served.manage("/v1/subjects/search", &json!({ "phone": "+16145550101" })).await.ok(200);
    assert_eq!(found["items"].as_array().unwrap().len(), 1, "nothing was destroyed");
    served.manage("/v1/holds/nothing/release", &json!({ "reason": "settled" })).await.refused(404, "not_found");
    let released = served.manage("/v1/holds/smith-v-us/release", &json!({ "reason": "settled" })).await.ok(200);
    assert_eq!(released["erasures"][0]["state"], "done");
    let found = served.manage("/v1/subjects/search", &json!({ "phone": "+16145550101" })).await.ok(200);
    assert_eq!(found["items"], json!([]));
    assert_eq!(served.get("/v1/holds?in_force=true").await.ok(200)["items"], json!([]));
    let unknown = json!({ "subjects": ["nobody"], "basis": "operator" });
    served.manage("/v1/retention/erasures", &unknown).await.refused(404, "not_found");
    let basis = json!({ "subjects": ["+16145550101"], "basis": "because" });
    assert!(served.manage("/v1/retention/erasures", &basis).await.status.is_client_error());
    let rules = served.get("/v1/retention").await.ok(200);
    assert_eq!((rules["classes"].as_array().unwrap().len(), rules["due"].as_array().unwrap().len()), (10, 0));
    assert_eq!(served.manage("/v1/retention/runs", &json!({ "dry_run": true })).await.ok(200)["due"], json!([]));
}
