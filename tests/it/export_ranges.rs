//! Exports of a range of the log: whole by its chain, opened as its scope says, streamed block by block.

use std::sync::Arc;

use serde_json::{Value, json};
use tallystick::domain::ids::SubjectId;
use tallystick::exports::manifest::{MANIFEST, Manifest, Profile, from_bytes, to_bytes};
use tallystick::exports::range::{RangeRequest, begin_range, finish_range};
use tallystick::exports::redaction::Redaction;
use tallystick::exports::scope::{BlockPart, entries_name, entries_of, parts_name, push_entry};
use tallystick::exports::subject::{ExportError, Extras};
use tallystick::ingest::Ledger;

use crate::export_profiles::{Files, contains, fails, files, forged, holds, independent, signed, text};
use crate::support::{Bench, options, post, received, recorded, scratch, time};

fn event(id: &str, person: &str, kind: &str, data: Value) -> Value {
    json!({ "specversion": "1.0", "id": id, "source": "/crm", "type": kind, "subject": person,
        "time": "2026-11-19T12:00:00Z", "data": data })
}

fn phone(person: usize) -> String {
    format!("+1419555{person:04}")
}

/// Three persons: two of campaign spring, the first of whom revoked; rights requests of the third.
async fn told(seed: u64) -> (Bench, Vec<SubjectId>, u64) {
    let bench = scratch(None, seed).await;
    let mut subjects = Vec::new();
    let mut revoked = 0;
    for (person, campaign) in [(1, "spring"), (2, "spring"), (3, "winter")] {
        let name = format!("lead-{person}");
        let granted = json!({ "kind": "pewc", "phone": phone(person), "name": format!("Quickfoot {person}"), "sellers": ["broker-a"],
            "channels": ["voice"], "purposes": ["marketing"], "campaign": campaign });
        let receipt =
            recorded(post(&bench.ledger, event(&format!("c{person}"), &name, "consent.granted", granted)).await);
        subjects.push(receipt.subject.unwrap());
        let attempted = json!({ "channel": "voice", "purpose": "marketing", "seller": "broker-a", "phone": phone(person),
            "campaign": campaign });
        post(&bench.ledger, event(&format!("a{person}"), &name, "contact.attempted", attempted)).await;
        if person == 1 {
            // It names no campaign, and belongs to the campaign's story all the same.
            let data = json!({ "method": "reply", "phone": phone(person) });
            revoked = recorded(post(&bench.ledger, event("r1", &name, "consent.revoked", data)).await).position;
        }
    }
    for (id, kind, data) in [
        (
            "p1",
            "privacy.request_received",
            json!({ "request": "PR-1", "right": "know", "regime": "ccpa", "received_via": "email" }),
        ),
        ("p2", "privacy.request_denied", json!({ "request": "PR-1", "basis": "not_verified" })),
        (
            "p3",
            "privacy.request_received",
            json!({ "request": "PR-2", "right": "access", "regime": "gdpr", "received_via": "form" }),
        ),
        ("p4", "privacy.signal_received", json!({ "signal": "gpc", "value": "opt_out", "confirmation_shown": true })),
    ] {
        recorded(post(&bench.ledger, event(id, "lead-3", kind, data)).await);
    }
    (bench, subjects, revoked)
}

fn asked(profile: Profile) -> RangeRequest {
    let extras = Extras::default();
    RangeRequest { profile, from: None, to: None, campaign: None, extras, actor: options().actor, now: None }
}

/// The bundle, and the longest piece of it that was in memory.
async fn exported(ledger: &Arc<Ledger>, request: RangeRequest) -> Result<(Vec<u8>, usize), ExportError> {
    let begun = begin_range(ledger, request).await?;
    let (size, root) = ledger.root_now();
    let (sink, mut blocks) = tokio::sync::mpsc::channel(1);
    let checkpoint = signed(ledger, size, root);
    let own = Arc::clone(ledger);
    let making = tokio::spawn(async move { finish_range(&own, &begun, &checkpoint, &sink).await });
    let (mut bundle, mut longest) = (Vec::new(), 0);
    while let Some(block) = blocks.recv().await {
        let block = block.unwrap();
        longest = longest.max(block.len());
        bundle.extend_from_slice(&block);
    }
    making.await.unwrap()?;
    Ok((bundle, longest))
}

/// Without one entry of the first block, and without its parts.
fn without(files: &mut Files, position: u64) {
    let block = files[&entries_name(0)].clone();
    let mut left = Vec::new();
    for (at, entry) in (0..).zip(entries_of(&block).unwrap()) {
        if at != position {
            push_entry(&mut left, entry).unwrap();
        }
    }
    files.insert(entries_name(0), left);
    edit_lines(files, |part| part.position != position);
}

fn edit_lines(files: &mut Files, mut keep: impl FnMut(&mut BlockPart) -> bool) {
    let lines = String::from_utf8(files[&parts_name(0)].clone()).unwrap();
    let mut out = Vec::new();
    for line in lines.lines() {
        let mut part = BlockPart::read(line.as_bytes()).unwrap();
        if keep(&mut part) {
            part.line(&mut out).unwrap();
        }
    }
    files.insert(parts_name(0), out);
}

#[tokio::test(flavor = "multi_thread")]
async fn audit_of_a_period_is_whole_and_what_is_taken_out_is_found() {
    let (bench, _, revoked) = told(3201).await;
    let ledger = &bench.ledger;
    let size = ledger.size();
    let (bundle, _) = exported(ledger, asked(Profile::Audit)).await.unwrap();
    let report = holds(ledger, &bundle);
    assert!(report.proves.iter().any(|said| said.contains(&format!("all {size} entries"))), "{:#?}", report.proves);
    assert!(report.opened > 8 && !contains(&bundle, "Quickfoot"), "business parts are opened, personal ones are not");
    assert!(text(&files(&bundle), "tables/summary.csv").contains("consent.revoked,1,1\r\n"));
    let hidden = forged(ledger, &bundle, |files| without(files, revoked));
    fails(ledger, &hidden, "an entry is missing or stands at another position");
    let closed = forged(ledger, &bundle, |files| edit_lines(files, |part| part.position != revoked));
    fails(ledger, &closed, "closed, though the scope says that it is opened");
    let exchanged = forged(ledger, &bundle, |files| {
        let mut first = None;
        edit_lines(files, |part| {
            first = first.take().or_else(|| part.stored.clone());
            if part.position == revoked {
                part.stored.clone_from(&first);
            }
            true
        });
    });
    fails(ledger, &exchanged, "do not have the digest");
    // The newest entry left out, with the range in the manifest made to fit.
    let cut = forged(ledger, &bundle, |files| {
        without(files, size - 1);
        let mut manifest: Manifest = from_bytes(&files[MANIFEST]).unwrap();
        manifest.scope.as_mut().unwrap().end = size - 1;
        files.insert(MANIFEST.to_owned(), to_bytes(&manifest).unwrap());
    });
    fails(ledger, &cut, "the proof of inclusion of the range's last entry is missing");
    fails(ledger, &cut, "not recorded in the log with this range");
    for (name, bundle, code) in
        [("good.zip", &bundle, 0), ("hidden.zip", &hidden, 3), ("closed.zip", &closed, 3), ("cut.zip", &cut, 3)]
    {
        independent(ledger, name, bundle, code);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn audit_of_a_campaign_opens_its_persons_and_no_others() {
    let (bench, _, revoked) = told(3202).await;
    let ledger = &bench.ledger;
    let request = RangeRequest { campaign: Some("spring".to_owned()), ..asked(Profile::Audit) };
    let (bundle, _) = exported(ledger, request).await.unwrap();
    holds(ledger, &bundle);
    let lines = String::from_utf8(files(&bundle)[&parts_name(0)].clone()).unwrap();
    let opened: Vec<u64> = lines.lines().map(|line| BlockPart::read(line.as_bytes()).unwrap().position).collect();
    assert!(opened.contains(&revoked), "a withdrawal belongs to its person, whatever it names");
    let summary = text(&files(&bundle), "tables/summary.csv").to_owned();
    assert!(
        summary.contains("consent.granted,3,2\r\n") && summary.contains("privacy.request_received,2,0\r\n"),
        "{summary}"
    );
    let hidden = forged(ledger, &bundle, |files| edit_lines(files, |part| part.position != revoked));
    fails(ledger, &hidden, "closed, though other entries of the person are opened for the campaign");
    independent(ledger, "campaign.zip", &bundle, 0);
    independent(ledger, "campaign-hidden.zip", &hidden, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn personal_parts_of_a_range_are_opened_only_by_rules() {
    let (bench, ..) = told(3203).await;
    let counsel = Extras { redaction: Some(Arc::new(Redaction::named("counsel").unwrap())), ..Extras::default() };
    let (bundle, _) = exported(&bench.ledger, RangeRequest { extras: counsel, ..asked(Profile::Audit) }).await.unwrap();
    let with = holds(&bench.ledger, &bundle).opened;
    let rules = json!({ "otherwise": "none", "rule": [
        { "types": ["consent.*"], "parts": ["personal"], "show": "fields", "fields": ["/data/name"] } ] });
    let rules = Redaction::from_json(rules.to_string().as_bytes()).unwrap();
    let extras = Extras { redaction: Some(Arc::new(rules)), ..Extras::default() };
    let (bundle, _) = exported(&bench.ledger, RangeRequest { extras, ..asked(Profile::Audit) }).await.unwrap();
    assert!(holds(&bench.ledger, &bundle).opened < with);
    let lines = text(&files(&bundle), &parts_name(0)).to_owned();
    assert!(lines.contains("Quickfoot 1") && !lines.contains("+1419555"), "{lines}");
    let lie = forged(&bench.ledger, &bundle, |files| {
        edit_lines(files, |part| {
            for field in part.fields.iter_mut().flatten() {
                field.value = "\"Slowfoot\"".to_owned();
            }
            true
        });
    });
    fails(&bench.ledger, &lie, "a field shown is not one that was sealed");
    independent(&bench.ledger, "fields.zip", &bundle, 0);
    independent(&bench.ledger, "fields-lie.zip", &lie, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn log_of_requests_has_what_11_ccr_7101_asks_for() {
    let (bench, ..) = told(3204).await;
    let (bundle, _) = exported(&bench.ledger, asked(Profile::CcpaLog)).await.unwrap();
    holds(&bench.ledger, &bundle);
    let files = files(&bundle);
    let requests = text(&files, "tables/requests.csv");
    let mut lines = requests.lines();
    assert!(lines.next().unwrap().starts_with("request,position,date_of_request,nature_of_request,regime,manner"));
    let row = lines.next().unwrap();
    assert!(row.contains(",know,ccpa,email,") && row.ends_with(",denied,not_verified"), "{row}");
    assert_eq!(lines.next(), None, "a request under another law is not in this log");
    assert!(
        text(&files, "tables/signals.csv")
            .contains(",privacy.signal_received,2026-11-19T12:00:00.000000Z,gpc,opt_out,true,")
    );
    // Nothing of other families is opened, though the entries are there.
    let lines = text(&files, &parts_name(0));
    assert_eq!(lines.lines().count(), 4);
    // 24 months by default; an end by time cuts.
    let request = RangeRequest { to: Some(time("2026-01-01T00:00:00Z")), ..asked(Profile::CcpaLog) };
    let (empty, _) = exported(&bench.ledger, request).await.unwrap();
    assert!(!holds(&bench.ledger, &empty).proves.iter().any(|said| said.contains("entries of the log")));
}

#[tokio::test(flavor = "multi_thread")]
async fn record_of_processing_comes_from_the_schemas() {
    let (bench, ..) = told(3205).await;
    let (bundle, _) = exported(&bench.ledger, asked(Profile::Article30)).await.unwrap();
    let report = holds(&bench.ledger, &bundle);
    assert!(report.opened <= 1, "it opens nobody's data");
    let files = files(&bundle);
    let record = text(&files, "tables/processing.csv");
    assert!(
        record.lines().any(|line| line.starts_with("consent,") && line.contains("user.contact.phone_number")),
        "{record}"
    );
    assert!(
        record.contains("consent: 1827 days") && files.keys().filter(|name| name.starts_with("schemas/")).count() > 100
    );
    independent(&bench.ledger, "article30.zip", &bundle, 0);
    let refused = exported(&bench.ledger, asked(Profile::Dsar)).await.unwrap_err();
    assert!(matches!(refused, ExportError::NeedsSubject));
}

#[tokio::test(flavor = "multi_thread")]
async fn range_streams_in_pieces_that_do_not_grow_with_it() {
    let bench = scratch(None, 3206).await;
    let mut longest = Vec::new();
    for round in 0..2 {
        for some in 0..6 {
            let events: Vec<_> = (0..500)
                .map(|number| {
                    let id = format!("{round}-{some}-{number}");
                    let data = json!({ "amount": { "amount": "1.00", "currency": "USD" }, "kind": "media", "campaign": "spring" });
                    received(json!({ "specversion": "1.0", "id": id, "source": "/crm", "type": "cost.recorded", "time": "2026-11-19T12:00:00Z", "data": data }))
                })
                .collect();
            for outcome in bench.ledger.submit(events, options()).await.unwrap() {
                recorded(outcome);
            }
        }
        let (bundle, piece) = exported(&bench.ledger, asked(Profile::Audit)).await.unwrap();
        holds(&bench.ledger, &bundle);
        longest.push((bundle.len(), piece));
    }
    assert!(longest[1].0 > longest[0].0 * 3 / 2, "the second is larger: {longest:?}");
    assert!(longest[1].1 < longest[0].1 * 11 / 10, "and its pieces are not: {longest:?}");
}

/// Not a check: `cargo test -- --ignored --nocapture export_speed`, with the number of persons in `TALLYSTICK_EXPORT_PERSONS`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints figures"]
#[expect(clippy::disallowed_methods, reason = "a test that measures")]
async fn export_speed() {
    let persons = std::env::var("TALLYSTICK_EXPORT_PERSONS").ok().and_then(|count| count.parse().ok()).unwrap_or(2_000);
    let bench = scratch(None, 3207).await;
    let all: Vec<usize> = (0..persons).collect();
    let mut subject = None;
    for some in all.chunks(500) {
        let events = some.iter().map(|person| {
            let granted = json!({ "kind": "pewc", "phone": format!("+1{}", 2_125_550_000_usize + person), "sellers": ["broker-a"],
                "channels": ["voice"], "purposes": ["marketing"], "campaign": "spring" });
            received(event(&format!("c{person}"), &format!("lead-{person}"), "consent.granted", granted))
        });
        for outcome in bench.ledger.submit(events.collect(), options()).await.unwrap() {
            subject = recorded(outcome).subject;
        }
    }
    for round in 0..20 {
        let data = json!({ "channel": "voice", "purpose": "marketing", "seller": "broker-a", "campaign": "spring" });
        let mut told = event(&format!("call-{round}"), "", "contact.attempted", data);
        told["subject"] = json!(subject.unwrap().to_string());
        recorded(post(&bench.ledger, told).await);
    }
    let start = std::time::Instant::now();
    let dossier =
        crate::export_profiles::exported(&bench.ledger, subject.unwrap(), Profile::TcpaCall, Extras::default());
    println!("dossier of 21 entries: {} bytes in {:?}", dossier.await.unwrap().len(), start.elapsed());
    let start = std::time::Instant::now();
    let request = RangeRequest { campaign: Some("spring".to_owned()), ..asked(Profile::Audit) };
    let (bundle, piece) = exported(&bench.ledger, request).await.unwrap();
    println!(
        "audit of {persons} persons: {} bytes in {:?}, longest piece {piece} bytes",
        bundle.len(),
        start.elapsed()
    );
    let start = std::time::Instant::now();
    let report = holds(&bench.ledger, &bundle);
    println!("verified: {} parts opened in {:?}", report.opened, start.elapsed());
}
