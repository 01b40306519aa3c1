//! Bills over HTTP: contracts, prices with every verdict, returns, invoices and credit notes drawn from the receivable, and what stands
//! behind each line.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tallystick::http::state::Settings;
use tallystick::policy::access::Role;

use super::{Answer, Served, serve_bench, served};
use crate::engines::Engine;

const NOW: &str = "2026-12-01T09:00:00Z";
const CONTRACT: &str = "pack='pricing'\nversion='2026-11-1'
[[rule]]
id='a-leads'\nseller='broker-a'\non='lead'\neffective_from='2026-11-01'\ncurrency='USD'
price={kind='graduated',period='month',tiers=[{from=1,amount='50.00'},{from=3,amount='45.004'}]}
payouts=[{party='pub-12',kind='publisher',percent='30'}]
[[rule]]
id='a-calls'\nseller='broker-a'\non='call'\neffective_from='2026-11-01'\ncurrency='USD'
price={kind='call',over_seconds=90,amount='35.00'}\ncaps={period='day',count=1}
[[rule]]
id='b-leads'\nseller='broker-b'\non='lead'\neffective_from='2026-11-01'\ncurrency='USD'
when={consent=true}\nprice={kind='fixed',amount='20.00'}
[[rule]]
id='c-leads'\nseller='broker-c'\non='lead'\neffective_from='2026-11-01'\ncurrency='USD'
price={kind='volume',period='month',tiers=[{from=1,amount='10.00'},{from=3,amount='8.00'}]}
[[rule]]
id='d-sales'\nseller='broker-d'\non='sale'\neffective_from='2026-11-01'\ncurrency='USD'
price={kind='share',percent='12.5',floor='10.00',cap='500.00'}
[[terms]]
seller='broker-a'\ncurrency='USD'\nreturns={reasons=['duplicate','wrong_number'],days=14,rate_percent='50'}
[[terms]]
seller='broker-b'\ncurrency='USD'\nminimum={period='month',amount='100.00'}
";

fn usd(amount: &str) -> Value {
    json!({ "amount": amount, "currency": "USD" })
}

/// Posts events one by one, each recorded when it happened, and gives their positions by id.
async fn told(served: &Served, events: &[(&str, &str, u64, &str, Value)]) -> BTreeMap<String, u64> {
    let mut at = BTreeMap::new();
    for (id, kind, person, time, data) in events {
        let mut event =
            json!({ "specversion": "1.0", "id": id, "source": "/t", "type": kind, "time": time, "data": data });
        if *person > 0 {
            event["subject"] = json!(format!("p-{person}"));
        }
        let headers = [("tallystick-now", NOW), ("content-type", "application/json")];
        let answer = served.post_with("/v1/events", &headers, &event).await.ok(201);
        let position = answer["position"].as_u64().unwrap_or_else(|| panic!("{answer}"));
        at.insert((*id).to_owned(), position);
    }
    at
}

fn lead(person: u64, seller: &str) -> Value {
    json!({ "seller": seller, "sale": format!("S-{person}"), "lead": format!("L-{person}"), "campaign": "spring", "source": "form-1" })
}

fn call(seconds: u64) -> Value {
    json!({ "channel": "voice", "outcome": "answered", "duration_seconds": seconds, "seller": "broker-a", "campaign": "spring" })
}

async fn manage(served: &Served, path: &str, body: Value) -> Answer {
    let headers = [("tallystick-now", NOW), ("content-type", "application/json")];
    served.call(Role::Admin, "POST", path, &headers, body.to_string()).await
}

async fn contract(served: &Served, text: &str) -> Answer {
    served.call(Role::Admin, "POST", "/v1/billing/contract", &[("tallystick-now", NOW)], text.to_owned()).await
}

async fn rate(served: &Served) -> Value {
    served.call(Role::Admin, "POST", "/v1/billing/rate", &[("tallystick-now", NOW)], "").await.ok(200)
}

async fn view(served: &Served, path: &str) -> Value {
    let joint = if path.contains('?') { '&' } else { '?' };
    served.get(&format!("{path}{joint}after={}", served.bench.ledger.size() - 1)).await.ok(200)
}

/// Four leads of broker-a, one with revenue that was posted; three calls; a return that is agreed and one that is not.
async fn story(served: &Served) -> BTreeMap<String, u64> {
    let own = json!({ "sale": "S-4", "kind": "lead_sale", "amount": usd("30.00"), "seller": "broker-a", "campaign": "spring" });
    let back = |person: u64, reason: &str| json!({ "seller": "broker-a", "reason": reason, "status": "requested", "sale": format!("S-{person}") });
    told(
        served,
        &[
            ("lead-1", "lead.accepted", 1, "2026-11-05T15:00:00Z", lead(1, "broker-a")),
            ("lead-2", "lead.accepted", 2, "2026-11-06T15:00:00Z", lead(2, "broker-a")),
            ("lead-3", "lead.accepted", 3, "2026-11-07T15:00:00Z", lead(3, "broker-a")),
            ("own-4", "revenue.recorded", 4, "2026-11-08T15:00:00Z", own),
            ("lead-4", "lead.accepted", 4, "2026-11-08T15:00:00Z", lead(4, "broker-a")),
            ("call-1", "contact.completed", 1, "2026-11-05T15:10:00Z", call(120)),
            ("call-2", "contact.completed", 2, "2026-11-05T15:20:00Z", call(120)),
            ("call-3", "contact.completed", 3, "2026-11-07T15:10:00Z", call(60)),
            // No rule of his is for shows, so nothing is said of it.
            (
                "show",
                "appointment.shown",
                3,
                "2026-11-07T15:10:00Z",
                json!({ "appointment": "AP-3", "seller": "broker-a" }),
            ),
            ("back-1", "lead.returned", 1, "2026-11-12T15:00:00Z", back(1, "duplicate")),
            ("back-2", "lead.returned", 2, "2026-11-12T15:00:00Z", back(2, "other")),
        ],
    )
    .await
}

async fn decisions(served: &Served) -> Vec<Value> {
    let mut all = Vec::new();
    for position in 0..served.bench.ledger.size() {
        let event = served.get(&format!("/v1/events/{position}")).await.ok(200);
        if event["type"] == json!("decision.price_recorded") {
            all.push(event);
        }
    }
    all
}

async fn bills_are_drawn_from_the_log(served: &Served) {
    let invoice = |number: &str, more: Value| {
        let mut body = json!({ "number": number, "seller": "broker-a", "period_from": "2026-11-01", "period_to": "2026-11-30",
            "due_on": "2026-12-15" });
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    };
    let at = story(served).await;
    served
        .call(Role::Admin, "POST", "/v1/billing/rate", &[("tallystick-now", NOW)], "")
        .await
        .refused(409, "billing_refused");
    let made = contract(served, CONTRACT).await.ok(201);
    assert_eq!(made["terms"], json!(["broker-a", "broker-b"]));
    let rated = rate(served).await;
    assert_eq!(
        (&rated["priced"], &rated["refused"], &rated["amounts"], &rated["returns_accepted"], &rated["returns_refused"]),
        (&json!(5), &json!(2), &json!([usd("225.008")]), &json!(1), &json!(1)),
        "{rated}"
    );
    let again = rate(served).await;
    assert_eq!((&again["priced"], &again["refused"], &again["returns_accepted"]), (&json!(0), &json!(0), &json!(0)));

    // Each price says every rule's verdict, and comes out the same from what it recorded.
    let prices = decisions(served).await;
    let by = |billed: &str| {
        prices.iter().find(|price| price["data"]["billed"] == json!(at[billed])).unwrap_or_else(|| panic!("{billed}"))
    };
    assert_eq!(by("lead-1")["data"]["amount"], usd("50.00"));
    assert_eq!(
        by("lead-1")["data"]["payouts"],
        json!([{ "party": "pub-12", "kind": "publisher", "amount": usd("15.00") }])
    );
    assert_eq!((&by("lead-4")["data"]["amount"], &by("lead-4")["data"]["accrued"]), (&usd("45.004"), &usd("30.00")));
    assert_eq!(
        by("call-2")["data"]["rules"],
        json!([
            { "rule": "a-leads", "verdict": "not_applicable", "code": "OTHER_EVENT" },
            { "rule": "a-calls", "verdict": "fail", "code": "CAP_COUNT" },
        ])
    );
    assert_eq!(by("call-3")["data"]["rules"][1]["code"], json!("DURATION"));
    for price in &prices {
        let path = format!("/v1/billing/items/{}/replay", price["position"]);
        let replay = served.call(Role::Auditor, "POST", &path, &[], "").await.ok(200);
        assert_eq!((&replay["identical"], &replay["today"]["differs"]), (&json!(true), &json!([])), "{replay}");
    }

    // A dry run records nothing; the invoice takes each entry once; whole cents, the rest is booked.
    let size = served.bench.ledger.size();
    let dry = manage(served, "/v1/billing/invoices", invoice("2026-11-a", json!({ "dry_run": true }))).await.ok(200);
    assert_eq!(served.bench.ledger.size(), size);
    let issued = manage(served, "/v1/billing/invoices", invoice("2026-11-a", json!({}))).await.ok(201);
    assert_eq!((&issued["total"], &issued["rounding"]), (&usd("225.01"), &usd("0.002")));
    assert_eq!(dry["total"], issued["total"]);
    let lines: Vec<Value> = issued["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| json!([line["kind"], line["price_rule"], line["items"], line["amount"]["amount"]]))
        .collect();
    assert_eq!(
        lines,
        [
            json!(["call", "a-calls", 1, "35.00"]),
            json!(["lead_sale", null, 1, "30.00"]),
            json!(["lead_sale", "a-leads", 4, "160.008"]),
        ]
    );
    manage(served, "/v1/billing/invoices", invoice("2026-11-a", json!({}))).await.refused(409, "billing_refused");
    let nothing = manage(served, "/v1/billing/invoices", invoice("b", json!({}))).await.refused(409, "billing_refused");
    assert_eq!(nothing["detail"], json!("Nothing is left to put on it."));

    // A late lead of November is on the next invoice, alone.
    told(served, &[("lead-9", "lead.accepted", 9, "2026-11-20T15:00:00Z", lead(9, "broker-a"))]).await;
    let late = manage(served, "/v1/billing/invoices", invoice("2026-11-a2", json!({}))).await.ok(201);
    assert_eq!((&late["total"], late["lines"].as_array().unwrap().len()), (&usd("45.00"), 1));
    let credit = json!({ "number": "c-1", "seller": "broker-a", "period_to": "2026-11-30" });
    let credit = manage(served, "/v1/billing/credit-notes", credit).await.ok(201);
    assert_eq!(credit["total"], usd("50.00"));

    // Every document is drawn again from the log as it was, and comes out the same.
    let documents = view(served, "/v1/billing/documents?seller=broker-a").await;
    let documents = documents["items"].as_array().unwrap();
    assert_eq!(documents.len(), 3);
    for document in documents {
        let read = served.get(document["opens"].as_str().unwrap()).await.ok(200);
        assert_eq!(read["redrawn"], json!({ "identical": true, "differs": [] }), "{read}");
    }
    let first = documents[0]["opens"].as_str().unwrap();
    let csv = served.call(Role::Reader, "GET", first, &[("accept", "text/csv")], "").await;
    assert_eq!(csv.text().lines().count(), 4, "{}", csv.text());
    let pdf = served.call(Role::Reader, "GET", first, &[("accept", "application/pdf")], "").await;
    assert!(pdf.header("content-type") == "application/pdf" && pdf.text().starts_with("%PDF-"));

    let paid = json!({ "payment": "P-1", "seller": "broker-a", "amount": usd("100.00"), "kind": "invoice" });
    let paid = told(served, &[("paid", "payment.received", 0, "2026-12-01T08:00:00Z", paid)]).await["paid"];
    let billing = view(served, "/v1/views/billing?today=2026-12-20").await;
    let row = &billing["sellers"][0];
    let shown = |name: &str| row[name]["amount"].as_str().unwrap().to_owned();
    // 225.008 and 45.004 earned, and 0.002 less 0.004 of rounding.
    assert_eq!([shown("earned"), shown("given_back"), shown("invoiced")], ["270.01", "50.00", "270.01"]);
    assert_eq!(
        [shown("credited"), shown("open"), shown("paid"), shown("balance")],
        ["50.00", "0.00", "100.00", "120.01"]
    );
    assert_eq!(row["outstanding"]["days_30"], usd("120.01"));
    // 30 % of 50 + 50 + 45.004 x 3; a price is paid out whatever of it was posted before.
    let accrued = |paid: &str, owed: &str| json!([{ "vendor": "pub-12", "accrued": usd("70.5036"), "paid": usd(paid), "owed": usd(owed) }]);
    assert_eq!(billing["payable"], accrued("0.00", "70.5036"));

    // What a publisher is paid is cash and settles what he is owed; part of it came back.
    let sent = json!({ "payment": "W-1", "vendor": "pub-12", "amount": usd("60.00"), "fee": usd("0.50"), "sent_on": "2026-12-01" });
    let back = json!({ "payment": "W-2", "vendor": "pub-12", "amount": usd("10.00"), "kind": "refund_received" });
    let payments = told(
        served,
        &[
            ("sent", "payment.sent", 0, "2026-12-01T08:10:00Z", sent),
            ("back", "payment.sent", 0, "2026-12-01T08:20:00Z", back),
        ],
    )
    .await;
    let billing = view(served, "/v1/views/billing?today=2026-12-20").await;
    assert_eq!(billing["payable"], accrued("50.00", "20.5036"));
    let december = view(served, "/v1/views/roi?from=2026-12-01").await["totals"]["money"][0].clone();
    assert_eq!(
        [&december["received"], &december["paid"], &december["cash_flow"]],
        [&usd("100.00"), &usd("50.50"), &usd("49.50")]
    );
    assert_eq!(december["cost"], usd("0.50"), "a payment is no cost; its fee is");

    // An annulled payment was none: it goes from what was paid, and adds nothing to what was earned.
    let annul = |id, position: u64| {
        (id, "event.annulled", 0, "2026-12-01T08:25:00Z", json!({ "position": position, "reason": "booked twice" }))
    };
    told(served, &[annul("not-sent", payments["sent"])]).await;
    let billing = view(served, "/v1/views/billing?today=2026-12-20").await;
    assert_eq!(billing["payable"], accrued("-10.00", "80.5036"));
    told(served, &[annul("not-paid", paid)]).await;
    let row = view(served, "/v1/views/billing?today=2026-12-20").await["sellers"][0].clone();
    assert_eq!(
        [&row["earned"], &row["given_back"], &row["paid"], &row["balance"]],
        [&usd("270.01"), &usd("50.00"), &usd("0.00"), &usd("220.01")]
    );

    // An invoice that is annulled frees what it took.
    let wrong = documents[0]["position"].as_u64().unwrap();
    told(
        served,
        &[(
            "void",
            "event.annulled",
            0,
            "2026-12-01T08:30:00Z",
            json!({ "position": wrong, "reason": "wrong address" }),
        )],
    )
    .await;
    let anew = manage(served, "/v1/billing/invoices", invoice("2026-11-a3", json!({}))).await.ok(201);
    assert_eq!(anew["total"], usd("225.01"));
    let old = served.get(first).await.ok(200);
    assert_eq!(old["redrawn"]["identical"], json!(true), "also after it was annulled: {old}");

    // A price whose lead is annulled is taken back, and the books with it.
    told(
        served,
        &[(
            "no-3",
            "event.annulled",
            0,
            "2026-12-01T08:40:00Z",
            json!({ "position": at["lead-3"], "reason": "test lead" }),
        )],
    )
    .await;
    assert_eq!(rate(served).await["taken_back"], json!(1));
    let billing = view(served, "/v1/views/billing").await;
    assert_eq!(billing["sellers"][0]["earned"], usd("225.006"));
    assert_eq!(billing["payable"][0]["accrued"], usd("57.0024"));
    assert_eq!(rate(served).await["priced"], json!(0), "what does not count is not priced again");
}

#[tokio::test(flavor = "multi_thread")]
async fn bills_are_drawn_from_the_log_on_sqlite() {
    bills_are_drawn_from_the_log(&served(991).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bills_are_drawn_from_the_log_on_postgres() {
    let Some(engine) = Engine::postgres().await else { return };
    bills_are_drawn_from_the_log(&serve_bench(engine.bench(992).await, Settings::default()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_and_a_commission_open_down_to_contact_decision_and_consent() {
    let served = served(993).await;
    let grant = json!({ "kind": "pewc", "phone": "+16145550111", "sellers": ["broker-a", "broker-b"], "channels": ["voice"],
        "technologies": ["automated"], "purposes": ["marketing"], "signature": "checkbox_and_submit",
        "disclosure": { "authorizes_automated": true, "not_condition_of_purchase": true } });
    told(&served, &[("grant", "consent.granted", 1, "2026-11-04T15:00:00Z", grant)]).await;
    let question = json!({ "recipient": { "phone": "+16145550111", "line_type": "mobile", "zip": "43215" },
        "contact": { "channel": "voice", "technology": "manual", "purpose": "marketing", "seller": "broker-a", "topic": "listing" } });
    let headers = [("tallystick-now", NOW), ("content-type", "application/json")];
    let asked =
        served.call(Role::Recorder, "POST", "/v1/decisions/contact", &headers, question.to_string()).await.ok(200);
    let attempt = json!({ "channel": "voice", "technology": "manual", "purpose": "marketing", "seller": "broker-a",
        "call": "C-1", "decision": asked["decision"], "phone": "+16145550111" });
    let at = told(
        &served,
        &[
            ("attempt", "contact.attempted", 1, "2026-12-01T08:59:00Z", attempt),
            ("lead", "lead.accepted", 1, "2026-12-01T08:59:30Z", lead(1, "broker-a")),
            ("lead-b", "lead.accepted", 1, "2026-12-01T08:59:30Z", lead(1, "broker-b")),
            ("lead-none", "lead.accepted", 2, "2026-12-01T08:59:30Z", lead(2, "broker-b")),
        ],
    )
    .await;
    contract(&served, CONTRACT).await.ok(201);
    let rated = rate(&served).await;
    // Who has no consent that names broker-b is not billed to him: the twin of the one who has.
    assert_eq!((&rated["priced"], &rated["refused"]), (&json!(2), &json!(1)), "{rated}");
    let body = json!({ "number": "i", "seller": "broker-a", "period_from": "2026-12-01", "period_to": "2026-12-31" });
    let invoice = manage(&served, "/v1/billing/invoices", body).await.ok(201);
    let line = served.get(invoice["lines"][0]["opens"].as_str().unwrap()).await.ok(200);
    let item = served.get(line["items"][0]["opens"].as_str().unwrap()).await.ok(200);
    let commissions = view(&served, "/v1/billing/commissions?party=pub-12").await;
    assert_eq!(commissions["items"][0]["amount"], usd("15.00"));
    for opened in [item, served.get(commissions["items"][0]["opens"].as_str().unwrap()).await.ok(200)] {
        assert_eq!(
            (&opened["price"]["price_rule"], &opened["billed"]["position"]),
            (&json!("a-leads"), &json!(at["lead"]))
        );
        let contact = &opened["contacts"][0];
        assert_eq!(
            (&contact["position"], &contact["decision"]),
            (&json!(at["attempt"]), &asked["decision"]),
            "{opened}"
        );
        let decision = served.get(&format!("/v1/events/{}", contact["decision_position"])).await.ok(200);
        assert_eq!(decision["type"], json!("decision.contact_recorded"));
        let consent = served.get(opened["consents"][0]["opens"].as_str().unwrap()).await.ok(200);
        assert_eq!(consent["type"], json!("consent.granted"));
    }
    served.get("/v1/billing/items/0").await.refused(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn minimums_volumes_and_shares_are_settled_once() {
    let served = served(994).await;
    contract(&served, CONTRACT).await.ok(201);
    let won = json!({ "outcome": "won", "seller": "broker-d", "sale": "S-50", "value": usd("6000.00") });
    let small = json!({ "outcome": "won", "seller": "broker-d", "sale": "S-51", "value": usd("40.00") });
    let mut events: Vec<(&str, &str, u64, &str, Value)> = vec![
        ("won", "lead.closed", 50, "2026-11-20T15:00:00Z", won),
        ("small", "lead.closed", 51, "2026-11-20T15:00:00Z", small),
        (
            "own",
            "revenue.recorded",
            52,
            "2026-11-20T15:00:00Z",
            json!({ "sale": "S-52", "kind": "lead_sale", "amount": usd("60.00"), "seller": "broker-b" }),
        ),
    ];
    for (id, person) in [("c-1", 61), ("c-2", 62), ("c-3", 63), ("c-4", 64)] {
        events.push((id, "lead.accepted", person, "2026-11-10T15:00:00Z", lead(person, "broker-c")));
    }
    told(&served, &events).await;
    let invoice = async |number: &str, seller: &str| {
        let body =
            json!({ "number": number, "seller": seller, "period_from": "2026-11-01", "period_to": "2026-11-30" });
        manage(&served, "/v1/billing/invoices", body).await
    };
    let shares = invoice("d", "broker-d").await.ok(201);
    assert_eq!(shares["total"], usd("510.00"), "the cap of 500 and the floor of 10");
    let least = invoice("b", "broker-b").await.ok(201);
    assert_eq!(least["total"], usd("100.00"));
    assert_eq!(
        (&least["lines"][1]["kind"], &least["lines"][1]["amount"]),
        (&json!("minimum_commitment"), &usd("40.00"))
    );
    // 10 + 10 + 8 + 8 as priced; all four cost 8.
    let volume = invoice("c", "broker-c").await.ok(201);
    assert_eq!((&volume["total"], &volume["lines"][1]["amount"]), (&usd("32.00"), &usd("-4.00")));
    for seller in ["broker-b", "broker-c", "broker-d"] {
        invoice(&format!("{seller}-2"), seller).await.refused(409, "billing_refused");
    }
    let billing = view(&served, "/v1/views/billing").await;
    let earned: Vec<&Value> =
        billing["sellers"].as_array().unwrap().iter().map(|row| &row["earned"]["amount"]).collect();
    assert_eq!(earned, [&json!("100.00"), &json!("32.00"), &json!("510.00")]);
    assert!(billing["sellers"].as_array().unwrap().iter().all(|row| row["open"] == usd("0.00")), "{billing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bills_that_cannot_be_are_refused_by_name() {
    let served = served(995).await;
    let broken = CONTRACT.replace("kind='fixed',amount='20.00'", "kind='fixed',amount='20.0000001'");
    let problem = contract(&served, &broken).await.refused(422, "contract_invalid");
    assert!(problem["detail"].as_str().unwrap().contains("b-leads"), "{problem}");
    let size = served.bench.ledger.size();
    for (body, pointer) in [
        (json!({ "number": "a b", "seller": "x", "period_from": "2026-11-01", "period_to": "2026-11-30" }), "/number"),
        (json!({ "number": "a", "seller": "", "period_from": "2026-11-01", "period_to": "2026-11-30" }), "/seller"),
        (
            json!({ "number": "a", "seller": "x", "period_from": "2026-11-31", "period_to": "2026-11-30" }),
            "/period_from",
        ),
        (json!({ "number": "a", "seller": "x", "period_from": "2026-11-30", "period_to": "2026-11-01" }), "/period_to"),
        (
            json!({ "number": "a", "seller": "x", "currency": "XXQ", "period_from": "2026-11-01", "period_to": "2026-11-30" }),
            "/currency",
        ),
    ] {
        let problem = manage(&served, "/v1/billing/invoices", body).await.refused(422, "request_invalid");
        assert_eq!(problem["errors"][0]["pointer"], json!(format!("#{pointer}")));
    }
    let none = json!({ "number": "a", "seller": "nobody", "period_from": "2026-11-01", "period_to": "2026-11-30" });
    manage(&served, "/v1/billing/invoices", none.clone()).await.refused(409, "billing_refused");
    let headers = [("content-type", "application/json")];
    served
        .call(Role::Reader, "POST", "/v1/billing/invoices", &headers, none.to_string())
        .await
        .refused(403, "forbidden");
    served.get("/v1/billing/documents/0").await.refused(404, "not_found");
    served.get("/v1/billing/commissions").await.refused(400, "parameter_invalid");
    assert_eq!(served.bench.ledger.size(), size, "nothing was recorded");
}
