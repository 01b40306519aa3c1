//! What an export shows, to whom, and what it carries beside the entries: redaction, notices, a reader's checkpoint, and
//! the content of each profile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tallystick::chain::checkpoint::Checkpoint;
use tallystick::chain::entry::Entry;
use tallystick::chain::note::Note;
use tallystick::crypto::hash::{Digest, sha256};
use tallystick::domain::ids::SubjectId;
use tallystick::exports::container;
use tallystick::exports::manifest::{
    DISCLOSURES, Disclosures, FileDigest, MANIFEST, MANIFEST_SIGNATURE, Manifest, PartState, Profile, from_bytes,
    note_text, to_bytes,
};
use tallystick::exports::redaction::Redaction;
use tallystick::exports::report::Report;
use tallystick::exports::subject::{Disclosure, ExportError, ExportRequest, Extras, begin, finish};
use tallystick::exports::verify::{verify_bundle, verify_bundle_since};
use tallystick::ingest::Ledger;
use tallystick::jobs::checkpoint::verifier_key;
use tallystick::jobs::erase::{self, EraseOptions};

use crate::support::{Bench, options, post, received, recorded, scratch};

const PHONE: &str = "+14195550187";
const NAME: &str = "Wilhelmina Quickfoot";
const AGREED: &str = "By ticking this box I agree that Broker A may call me with automated technology.";

pub type Files = BTreeMap<String, Vec<u8>>;

fn event(id: &str, kind: &str, time: &str, data: Value) -> Value {
    json!({ "specversion": "1.0", "id": id, "source": "/crm", "type": kind, "subject": "lead-1", "time": time, "data": data })
}

/// One person: a lead, a consent with its text, a call, and no revocation.
async fn told(seed: u64) -> (Bench, SubjectId) {
    let bench = scratch(None, seed).await;
    let lead = json!({ "lead": "L-1", "phone": PHONE, "name": NAME, "campaign": "spring", "source": "form-7" });
    let granted = json!({
        "kind": "pewc", "phone": PHONE, "name": NAME, "sellers": ["broker-a"], "channels": ["voice"],
        "technologies": ["automated"], "purposes": ["marketing"], "signature": "checkbox_and_submit", "campaign": "spring",
        "disclosure": { "authorizes_automated": true, "not_condition_of_purchase": true },
        "evidence": { "text": AGREED, "text_sha256": sha256(AGREED.as_bytes()), "ip": "198.51.100.7" }
    });
    let attempted = json!({
        "channel": "voice", "technology": "autodialed", "purpose": "marketing", "seller": "broker-a", "phone": PHONE,
        "from": "+16145550100", "caller_name": "EXAMPLE LEADS", "telemarketer": "example-leads", "product": "home-offer",
        "script": "offer-1", "call": "C-1", "campaign": "spring", "agent": "agent-4"
    });
    let completed =
        json!({ "channel": "voice", "outcome": "answered", "duration_seconds": 61, "call": "C-1", "phone": PHONE });
    let mut subject = None;
    for told in [
        event("1", "lead.received", "2026-11-18T09:00:00Z", lead),
        event("2", "consent.granted", "2026-11-18T09:00:01Z", granted),
        event("3", "contact.attempted", "2026-11-19T16:00:00Z", attempted),
        event("4", "contact.completed", "2026-11-19T16:01:05Z", completed),
    ] {
        subject = recorded(post(&bench.ledger, told).await).subject;
    }
    (bench, subject.unwrap())
}

pub fn signed(ledger: &Ledger, size: u64, root: Digest) -> String {
    let checkpoint = Checkpoint::new(&ledger.origin, size, root).unwrap();
    checkpoint.sign(&[&ledger.log_signer()]).unwrap().to_string()
}

pub async fn exported(
    ledger: &Arc<Ledger>,
    subject: SubjectId,
    profile: Profile,
    extras: Extras,
) -> Result<Vec<u8>, ExportError> {
    let disclosure = Disclosure::of(profile);
    let subjects = vec![subject];
    let request = ExportRequest { profile, subjects, disclosure, extras, actor: options().actor, now: None };
    let begun = begin(ledger, request).await?;
    let (size, root) = ledger.root_now();
    finish(ledger, &begun, &signed(ledger, size, root)).await
}

fn redacted(rules: Redaction) -> Extras {
    Extras { redaction: Some(Arc::new(rules)), ..Extras::default() }
}

pub fn files(bundle: &[u8]) -> Files {
    container::read(bundle).unwrap().iter().map(|file| (file.name.to_owned(), file.bytes.to_vec())).collect()
}

pub fn text<'a>(files: &'a Files, name: &str) -> &'a str {
    std::str::from_utf8(files.get(name).unwrap_or_else(|| panic!("no {name} among {:?}", files.keys()))).unwrap()
}

pub fn contains(bundle: &[u8], needle: &str) -> bool {
    bundle.windows(needle.len()).any(|window| window == needle.as_bytes())
}

/// Changes files and signs the manifest again with the log's own key: what an operator could do.
pub fn forged(ledger: &Ledger, bundle: &[u8], change: impl FnOnce(&mut Files)) -> Vec<u8> {
    let mut files = files(bundle);
    change(&mut files);
    let mut manifest: Manifest = from_bytes(&files[MANIFEST]).unwrap();
    manifest.files = files
        .iter()
        .filter(|(name, _)| ![MANIFEST, MANIFEST_SIGNATURE].contains(&name.as_str()))
        .map(|(name, bytes)| FileDigest { name: name.clone(), bytes: bytes.len() as u64, sha256: sha256(bytes) })
        .collect();
    let manifest = to_bytes(&manifest).unwrap();
    let mut note = Note::new(note_text(&ledger.origin, &manifest)).unwrap();
    note.sign(&ledger.origin, &ledger.log_signer()).unwrap();
    files.insert(MANIFEST.to_owned(), manifest);
    files.insert(MANIFEST_SIGNATURE.to_owned(), note.to_string().into_bytes());
    container::write(&files.into_iter().collect::<Vec<_>>()).unwrap()
}

#[track_caller]
pub fn holds(ledger: &Ledger, bundle: &[u8]) -> Report {
    let report = verify_bundle(bundle, Some(&verifier_key(ledger).unwrap()));
    assert_eq!((report.ok, &report.problems), (true, &Vec::new()));
    report
}

#[track_caller]
pub fn fails(ledger: &Ledger, bundle: &[u8], what: &str) {
    let report = verify_bundle(bundle, Some(&verifier_key(ledger).unwrap()));
    assert!(report.problems.iter().any(|problem| problem.what.contains(what)), "{what}: {:#?}", report.problems);
}

/// What the verifier that shares no code with this one says, where it can be run.
#[track_caller]
pub fn independent(ledger: &Ledger, name: &str, bundle: &[u8], code: i32) {
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/format/verify_bundle.py");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bundle).unwrap();
    let key = verifier_key(ledger).unwrap().to_string();
    let run = std::process::Command::new("python3").arg(&script).arg(&path).arg(key).output();
    match run
        .ok()
        .and_then(|output| Some((output.status.code()?, String::from_utf8_lossy(&output.stdout).into_owned())))
    {
        Some((found @ (0 | 3), said)) => assert_eq!(found, code, "{name}: {said}"),
        _ => assert!(std::env::var("CI").is_err(), "CI must have python3 with the package cryptography"),
    }
    let key = verifier_key(ledger).unwrap().to_string();
    if let Some((found, said)) = crate::verify_page::verify(&path, &key) {
        assert_eq!(found, code, "{name}: {said}");
        let report = verify_bundle(bundle, Some(&verifier_key(ledger).unwrap()));
        if code == 0 {
            let root = report.root.map(|root| root.to_string());
            assert_eq!((said["size"].as_u64(), said["root"].as_str()), (Some(report.size), root.as_deref()), "{name}");
            assert_eq!(said["opened"].as_u64(), Some(report.opened), "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_disclosed_opens_and_its_neighbours_stay_sealed() {
    let (bench, subject) = told(3101).await;
    let whole = exported(&bench.ledger, subject, Profile::TcpaCall, Extras::default()).await.unwrap();
    // The control: without rules the values are there to be found.
    for value in [PHONE, NAME, "198.51.100.7", AGREED] {
        assert!(contains(&whole, value), "{value}");
    }
    let counterparty = redacted(Redaction::named("counterparty").unwrap());
    let bundle = exported(&bench.ledger, subject, Profile::TcpaCall, counterparty).await.unwrap();
    let report = holds(&bench.ledger, &bundle);
    assert!(contains(&bundle, AGREED), "the text agreed to is shown");
    for value in [PHONE, NAME, "198.51.100.7", "EXAMPLE LEADS", "4195550187"] {
        assert!(!contains(&bundle, value), "{value} stands in the bundle");
    }
    assert!(report.does_not_prove.iter().any(|said| said.contains("does not open")), "{:#?}", report.does_not_prove);
    let disclosures: Disclosures = from_bytes(&files(&bundle)[DISCLOSURES]).unwrap();
    let by_field: Vec<_> = disclosures.parts.iter().filter(|part| part.state == PartState::Fields).collect();
    let shown: Vec<_> =
        by_field.iter().flat_map(|part| part.fields.iter().flatten()).map(|field| &field.path).collect();
    assert_eq!(shown, ["/data/evidence/text", "/data/evidence/text_sha256"]);
    // A field that was never sealed there is found, though the log's own key signs for it.
    let lie = forged(&bench.ledger, &bundle, |files| {
        let mut disclosures: Disclosures = from_bytes(&files[DISCLOSURES]).unwrap();
        let part = disclosures.parts.iter_mut().find(|part| part.state == PartState::Fields).unwrap();
        part.fields.as_mut().unwrap()[0].value = "\"I agree to everything.\"".to_owned();
        files.insert(DISCLOSURES.to_owned(), to_bytes(&disclosures).unwrap());
    });
    fails(&bench.ledger, &lie, "a field shown is not one that was sealed");
    independent(&bench.ledger, "redacted.zip", &bundle, 0);
    independent(&bench.ledger, "redacted-lie.zip", &lie, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_choose_by_position_part_and_field() {
    let (bench, subject) = told(3102).await;
    let consent = recorded(
        post(
            &bench.ledger,
            event(
                "9",
                "contact.received",
                "2026-11-19T17:00:00Z",
                json!({ "channel": "sms", "phone": PHONE, "body": "who is this?" }),
            ),
        )
        .await,
    )
    .position;
    let rules = json!({ "otherwise": "none", "rule": [
        { "positions": [consent], "parts": ["personal"], "show": "fields", "fields": ["/data/body"] },
        { "types": ["consent.*"], "parts": ["business"], "show": "whole" },
    ] });
    let rules = Redaction::from_json(rules.to_string().as_bytes()).unwrap();
    let bundle = exported(&bench.ledger, subject, Profile::Dsar, redacted(rules)).await.unwrap();
    holds(&bench.ledger, &bundle);
    let disclosures: Disclosures = from_bytes(&files(&bundle)[DISCLOSURES]).unwrap();
    let opened = disclosures.parts.iter().filter(|part| part.state == PartState::Opened).count();
    // The consent's business part and the record of the export.
    assert_eq!(opened, 2);
    assert!(contains(&bundle, "who is this?") && !contains(&bundle, PHONE) && !contains(&bundle, AGREED));
    let created = disclosures.parts.iter().filter(|part| part.state == PartState::Fields).count();
    assert_eq!(created, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn swapped_notice_text_fails_with_the_reason() {
    let (bench, subject) = told(3103).await;
    let notice = "Privacy notice, version 3: we sell leads to Broker A.";
    let sent = json!({ "notice": "at_collection", "version": "3", "channel": "web", "phone": PHONE,
        "notice_sha256": sha256(notice.as_bytes()) });
    recorded(post(&bench.ledger, event("5", "privacy.notice_sent", "2026-11-18T09:00:00Z", sent)).await);
    let extras = Extras { notices: vec![notice.as_bytes().to_vec()], ..Extras::default() };
    let bundle = exported(&bench.ledger, subject, Profile::TcpaCall, extras).await.unwrap();
    let report = holds(&bench.ledger, &bundle);
    assert!(report.proves.iter().any(|said| said.starts_with("2 texts under notices/")), "{:#?}", report.proves);
    let name = format!("notices/{}.txt", sha256(notice.as_bytes()));
    assert_eq!(text(&files(&bundle), &name), notice);
    assert_eq!(text(&files(&bundle), &format!("notices/{}.txt", sha256(AGREED.as_bytes()))), AGREED);
    let other = b"Privacy notice, version 3: we sell nothing.".to_vec();
    let swapped = forged(&bench.ledger, &bundle, |files| {
        files.insert(name.clone(), other.clone());
    });
    fails(&bench.ledger, &swapped, "the text is not the one whose hash an entry names");
    independent(&bench.ledger, "notice.zip", &bundle, 0);
    independent(&bench.ledger, "swapped.zip", &swapped, 3);
    let renamed = forged(&bench.ledger, &bundle, |files| {
        files.remove(&name);
        files.insert(format!("notices/{}.txt", sha256(&other)), other.clone());
    });
    fails(&bench.ledger, &renamed, "no entry shown names the hash of this text");
    independent(&bench.ledger, "renamed.zip", &renamed, 3);
    let extras = Extras { notices: vec![other], ..Extras::default() };
    let refused = exported(&bench.ledger, subject, Profile::TcpaCall, extras).await;
    assert!(refused.is_err(), "a text that no entry names makes no bundle");
}

#[tokio::test(flavor = "multi_thread")]
async fn bundle_proves_that_the_log_only_grew_since_the_readers_checkpoint() {
    let (bench, subject) = told(3104).await;
    let ledger = &bench.ledger;
    let (size, root) = ledger.root_now();
    let kept = signed(ledger, size, root);
    post(ledger, event("6", "consent.revoked", "2026-11-19T18:00:00Z", json!({ "method": "reply", "phone": PHONE })))
        .await;
    let extras = Extras { since: Some(kept.clone()), ..Extras::default() };
    let bundle = exported(ledger, subject, Profile::TcpaCall, extras).await.unwrap();
    let report = holds(ledger, &bundle);
    assert!(report.proves.iter().any(|said| said.contains(&format!("since the checkpoint of {size} entries"))));
    assert!(verify_bundle_since(&bundle, None, Some(&kept)).ok);
    // The reader holds another one in his hand than the one that the bundle begins at.
    let other = signed(ledger, size - 1, ledger.root_at(size - 1).await.unwrap());
    let report = verify_bundle_since(&bundle, None, Some(&other));
    assert!(report.problems[0].what.contains("another checkpoint than the one given"), "{:#?}", report.problems);
    let plain = exported(ledger, subject, Profile::TcpaCall, Extras::default()).await.unwrap();
    assert!(verify_bundle_since(&plain, None, Some(&kept)).problems[0].what.contains("no proof from the checkpoint"));
    // Another history: signed by the same key, and not what this log grew from.
    let fork = signed(ledger, size, Digest::ZERO);
    let lie = forged(ledger, &bundle, |files| {
        files.insert("since/checkpoint".to_owned(), fork.clone().into_bytes());
    });
    fails(ledger, &lie, "forked or rewritten");
    independent(ledger, "since.zip", &bundle, 0);
    independent(ledger, "since-lie.zip", &lie, 3);
    let before = ledger.size();
    for (note, what) in
        [(fork, "forked"), (signed(ledger, size + 99, root), "rolled back"), ("x".to_owned(), "not a signed")]
    {
        let extras = Extras { since: Some(note), ..Extras::default() };
        let error = exported(ledger, subject, Profile::Dsar, extras).await.unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
    assert_eq!(ledger.size(), before, "a checkpoint that does not fit is refused before anything is recorded");
}

#[tokio::test(flavor = "multi_thread")]
async fn further_entries_are_named_by_position_and_are_about_nobody() {
    let (bench, subject) = told(3105).await;
    let script = b"Hello, this is Example Leads for Broker A.".to_vec();
    let creative = json!({ "specversion": "1.0", "id": "c", "source": "/crm", "type": "policy.creative_registered",
        "time": "2026-11-01T00:00:00Z", "data": { "creative": "offer-1", "version": "1", "kind": "script",
        "file_sha256": sha256(&script) } });
    let outcome = bench.ledger.submit(vec![received(creative)], options()).await.unwrap().remove(0);
    let position = recorded(outcome).position;
    let extras = Extras { include: vec![position], notices: vec![script.clone()], ..Extras::default() };
    let bundle = exported(&bench.ledger, subject, Profile::TcpaCall, extras).await.unwrap();
    holds(&bench.ledger, &bundle);
    assert_eq!(files(&bundle)[&format!("notices/{}.txt", sha256(&script))], script);
    for wrong in [1, 9_999] {
        let extras = Extras { include: vec![wrong], ..Extras::default() };
        assert!(exported(&bench.ledger, subject, Profile::TcpaCall, extras).await.is_err());
    }
}

/// The dossier's line about a field of the contact's record.
fn line<'a>(page: &'a str, name: &str) -> &'a str {
    let start = page.find(&format!("<dt>{name}</dt>")).unwrap_or_else(|| panic!("no line {name}"));
    &page[start..start + page[start..].find("</dd>").unwrap()]
}

#[tokio::test(flavor = "multi_thread")]
async fn call_dossier_says_every_field_found_or_absent_and_that_no_revocation_was_known() {
    let (bench, subject) = told(3106).await;
    let bundle = exported(&bench.ledger, subject, Profile::TcpaCall, Extras::default()).await.unwrap();
    let report = holds(&bench.ledger, &bundle);
    let proved = report.proves.iter().find(|said| said.contains("no withdrawal was known"));
    assert!(proved.is_some(), "{:#?}", report.proves);
    let files = files(&bundle);
    let page = text(&files, "index.html");
    for (name, value) in [
        ("(a)(2) Telemarketer", "example-leads"),
        ("(a)(2) Seller", "broker-a"),
        ("(a)(2) Good or service", "home-offer"),
        ("(a)(2) Prerecorded or automated", "autodialed"),
        ("(a)(2) Calling number", "+16145550100"),
        ("(a)(2) Called number", PHONE),
        ("(a)(2) Date and time", "2026-11-19T16:00:00"),
        ("(a)(2) Duration in seconds", "61"),
        ("(a)(1), (a)(2) Script or message", "offer-1"),
        ("(a)(2) Caller ID name transmitted", "EXAMPLE LEADS"),
        ("(a)(2) Disposition", "answered"),
        ("(a)(7) Agent", "agent-4"),
        ("(a)(8) Name", NAME),
        ("(a)(8) Request as presented", AGREED),
        ("(a)(8) Consent given by", "checkbox_and_submit"),
        ("(a)(2) To a business", "absent"),
        ("(a)(2) Authorisation to use it", "absent"),
        ("(a)(2) Transferred", "absent"),
        ("(a)(11) Registry consulted", "absent"),
    ] {
        assert!(line(page, name).contains(value), "{}", line(page, name));
    }
    assert!(page.contains("names no recorded decision, which is itself a finding"));
    // The twin: a revocation before the call changes what the log knew, and hiding it is found.
    let (bench, subject) = told(3107).await;
    let revoked = event("r", "consent.revoked", "2026-11-19T17:00:00Z", json!({ "method": "reply", "phone": PHONE }));
    let revoked = recorded(post(&bench.ledger, revoked).await).position;
    let again = json!({ "channel": "voice", "purpose": "marketing", "seller": "broker-a", "phone": PHONE });
    let again =
        recorded(post(&bench.ledger, event("7", "contact.attempted", "2026-11-19T18:00:00Z", again)).await).position;
    let bundle = exported(&bench.ledger, subject, Profile::TcpaCall, Extras::default()).await.unwrap();
    let report = holds(&bench.ledger, &bundle);
    let known = format!("contact at position {again} was recorded, withdrawals were known: positions {revoked}");
    assert!(report.proves.iter().any(|said| said.contains(&known)), "{:#?}", report.proves);
    let hidden = forged(&bench.ledger, &bundle, |files| {
        files.retain(|name, _| {
            let number = name.split_once('/').map_or("", |(_, file)| file.split(['.', '-']).next().unwrap_or_default());
            number != revoked.to_string()
        });
        let mut disclosures: Disclosures = from_bytes(&files[DISCLOSURES]).unwrap();
        disclosures.parts.retain(|part| part.position != revoked);
        files.insert(DISCLOSURES.to_owned(), to_bytes(&disclosures).unwrap());
    });
    fails(&bench.ledger, &hidden, "of the person is missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn access_copy_holds_the_persons_data_and_is_safe_in_a_spreadsheet() {
    let (bench, subject) = told(3108).await;
    let formula = "=HYPERLINK(\"http://evil.example\",\"x\")";
    let sms = json!({ "channel": "sms", "phone": PHONE, "body": formula });
    recorded(post(&bench.ledger, event("8", "contact.received", "2026-11-19T19:00:00Z", sms)).await);
    let bundle = exported(&bench.ledger, subject, Profile::Dsar, Extras::default()).await.unwrap();
    holds(&bench.ledger, &bundle);
    let files = files(&bundle);
    let table = text(&files, "tables/data.csv");
    assert!(table.contains("data/phone,user.contact.phone_number,'+14195550187\r\n"), "{table}");
    assert!(table.contains("\"'=HYPERLINK(\"\"http://evil.example\"\",\"\"x\"\")\""), "{table}");
    let data: Value = serde_json::from_str(text(&files, "tables/data.json")).unwrap();
    let portable: Value = serde_json::from_str(text(&files, "tables/portability.json")).unwrap();
    let types = |value: &Value| -> Vec<String> {
        value["entries"].as_array().unwrap().iter().map(|entry| entry["type"].as_str().unwrap().to_owned()).collect()
    };
    assert!(types(&data).contains(&"contact.attempted".to_owned()));
    // What was made about the person is not what he provided.
    assert_eq!(types(&portable), ["lead.received", "consent.granted", "contact.received"]);
    assert_eq!(portable["entries"][0]["fields"]["/data/name"], NAME);
    let page = text(&files, "index.html");
    assert!(line(page, "user.contact.phone_number").contains("values"));
    assert!(
        line(page, "Contacted on behalf of").contains("broker-a") && line(page, "lead.received").contains("form-7")
    );
    assert!(line(page, "consent").contains("1827 days"));
}

#[tokio::test(flavor = "multi_thread")]
async fn dossier_of_an_erased_person_shows_what_law_obliges_to_keep_and_nothing_else() {
    let (bench, subject) = told(3109).await;
    let ledger = &bench.ledger;
    // The control: before the erasure the lead's own data is there, and its business part too.
    let before = exported(ledger, subject, Profile::TcpaCall, Extras::default()).await.unwrap();
    assert!(contains(&before, "form-7") && contains(&before, PHONE));
    let asked = EraseOptions { settle: Duration::ZERO, ..EraseOptions::new(options().actor, ledger) };
    let begun = erase::begin(ledger, subject, "ccpa_105", Some("PR-7".to_owned()), &asked).await.unwrap().0;
    erase::run(ledger, vec![begun], &asked, &|_| {}).await.unwrap();
    for profile in [Profile::TcpaCall, Profile::Dsar, Profile::ErasureCertificate] {
        let bundle = exported(ledger, subject, profile, Extras::default()).await.unwrap();
        let report = holds(ledger, &bundle);
        assert!(report.proves.iter().any(|said| said.contains("no key any more")), "{:#?}", report.proves);
        // Source of the lead: profile data, whose business key lives on for everybody.
        assert!(!contains(&bundle, "form-7"), "{profile}");
        let files = files(&bundle);
        let disclosures: Disclosures = from_bytes(&files[DISCLOSURES]).unwrap();
        for part in disclosures.parts.iter().filter(|part| part.state == PartState::Opened) {
            let bytes = &files[&format!("entries/{}.cbor", part.position)];
            let entry = Entry::decode(bytes).unwrap();
            let class = entry.parts[usize::from(part.part)].class;
            let kept = ["consent", "contact", "billing", "privacy", "suppression", "system"].contains(&class.name());
            assert!(kept, "{profile}: class {class} of {}", entry.event_type);
        }
    }
    let dossier = files(&exported(ledger, subject, Profile::TcpaCall, Extras::default()).await.unwrap());
    // The record of the call and the consent outlive the erasure, because 16 CFR 310.5 says so.
    let page = text(&dossier, "index.html");
    assert!(line(page, "(a)(2) Called number").contains(PHONE) && line(page, "(a)(8) Name").contains(NAME));
    let certificate = files(&exported(ledger, subject, Profile::ErasureCertificate, Extras::default()).await.unwrap());
    let page = text(&certificate, "index.html");
    assert!(page.contains("Certificate of erasure at position"), "{page}");
    assert!(line(page, "Kept").contains("class consent, ground") && !page.contains(NAME) && !page.contains(PHONE));
}
