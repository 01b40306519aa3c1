//! What each lead cost and brought, and what of revenue has a whole trail: figures worked out by hand, on both engines.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tallystick::domain::ids::LedgerId;
use tallystick::domain::time::Timestamp;
use tallystick::store::{Location, Store};
use tallystick::views::PageRequest;
use tallystick::views::compliant::compliant;
use tallystick::views::leads::{self, Driver, LeadGroup, LeadsQuery, lead_groups};
use tallystick::views::roi::{Dimension, RoiQuery, roi};

use super::script::{Script, assert_balanced, fold_into, hash, recorded_at, sqlite, usd};
use crate::support::postgres_url;

const DECISION: &str = "018f0000-0000-7000-8000-000000000001";

/// Three leads of a day and what happened to them.
fn story() -> Script {
    let mut script = Script::default();
    let lead = |campaign: &str, state: &str| json!({ "campaign": campaign, "state": state });
    script.of(1, "lead.received", lead("spring", "TX"), json!({ "lead": hash(1) }));
    script.of(2, "lead.received", lead("spring", "CA"), json!({ "lead": hash(2) }));
    script.of(3, "lead.received", lead("autumn", "TX"), json!({}));
    let cost = |kind: &str, amount: &str, more: Value| {
        let mut cost = json!({ "kind": kind, "amount": usd(amount) });
        cost.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        cost
    };
    let even = json!({ "campaign": "spring", "allocation": "proportional", "driver": "leads" });
    script.data("cost.recorded", cost("media", "10.00", even));
    script.data("cost.recorded", cost("data", "0.000003", json!({ "campaign": "spring", "allocation": "even" })));
    let of_second = json!({ "allocation": "direct" });
    script.with_refs("cost.recorded", cost("sms", "0.0146", of_second), json!({ "lead": hash(2) }));
    script.data("cost.recorded", cost("labour", "30.00", json!({ "allocation": "none" })));
    script.data("cost.recorded", cost("software", "7.00", json!({ "vendor": "tool" })));
    script.data("cost.recorded", cost("other", "3.00", json!({ "allocation": "fixed" })));
    let consent = script.of(
        1,
        "consent.granted",
        json!({ "kind": "pewc", "sellers": ["broker-a"], "channels": ["sms"], "purposes": ["marketing"] }),
        json!({}),
    );
    let contact = json!({ "channel": "sms", "purpose": "marketing", "seller": "broker-a", "decision": DECISION });
    let mut decision = contact.clone();
    let (now, until) = (recorded_at(consent + 1), recorded_at(consent + 2));
    let more = json!({ "allow": true, "grant_position": consent, "now": now, "expires_at": until });
    decision.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    script.of(1, "decision.contact_recorded", decision, json!({}));
    script.of(1, "contact.attempted", contact, json!({ "message": hash(40) }));
    script.with_refs("cost.recorded", cost("sms", "0.02", json!({})), json!({ "lead": hash(1), "message": hash(40) }));
    let sale = |amount: &str| json!({ "kind": "lead_sale", "amount": usd(amount), "seller": "broker-a" });
    script.of(1, "revenue.recorded", sale("80.00"), json!({ "sale": hash(10) }));
    let payout = json!({
        "kind": "lead_sale", "amount": usd("80.00"), "accrued": usd("80.00"), "seller": "broker-a", "record": hash(10),
        "payouts": [{ "party": "pub-1", "amount": usd("20.00") }],
    });
    script.of(1, "decision.price_recorded", payout, json!({}));
    script.of(2, "revenue.recorded", sale("50.00"), json!({ "sale": hash(11) }));
    let undecided = json!({ "channel": "voice", "purpose": "marketing", "seller": "broker-a" });
    script.of(2, "contact.attempted", undecided, json!({}));
    script.of(
        2,
        "revenue.refunded",
        json!({ "amount": usd("10.00"), "reason": "quality" }),
        json!({ "sale": hash(11) }),
    );
    script.of(2, "revenue.recorded", sale("5.00"), json!({ "sale": hash(12) }));
    script
}

async fn on_both(check: impl AsyncFn(&Store)) {
    let (_folder, store) = sqlite().await;
    check(&store).await;
    let Some(url) = postgres_url() else { return };
    let unique = tallystick::runtime::Randomness::System.bytes::<16>();
    check(&Store::open(&Location::Postgres(url), LedgerId::from_bytes(unique)).await.unwrap()).await;
}

fn asked(unsaid: Option<Driver>) -> LeadsQuery {
    LeadsQuery {
        day_from: i64::MIN,
        day_to: i64::MAX,
        campaign: None,
        state: None,
        currency: *b"USD",
        unsaid,
        as_of: Timestamp::MAX,
        known_at: Timestamp::MAX,
    }
}

async fn rows(store: &Store, query: &LeadsQuery) -> Value {
    let request = PageRequest::new(None, None, leads::LIST).unwrap();
    serde_json::to_value(leads::leads(store, query, &request).await.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_lead_reconciles_and_all_of_them_with_the_rest_are_roi() {
    on_both(async |store| {
        fold_into(store, &story(), &[4]).await;
        assert_balanced(store).await;
        let found = rows(store, &asked(Some(Driver::Leads))).await;
        let lead = |at: usize| found["items"][at].clone();
        assert_eq!(lead(0)["position"], 0);
        assert_eq!((lead(0)["campaign"].clone(), lead(0)["state"].clone()), (json!("spring"), json!("TX")));
        // 80 = 20 payout + 0.02 of the message + 5 + 0.000002 + 2.333334 shares + margin; the earlier lead bears what is left over.
        assert_eq!(lead(0)["costs"], json!({ "sms": usd("0.02") }));
        let shares = json!({ "data": usd("0.000002"), "media": usd("5.00"), "software": usd("2.333334") });
        assert_eq!(lead(0)["allocated"], shares);
        assert_eq!((lead(0)["payout"].clone(), lead(0)["margin"].clone()), (usd("20.00"), usd("52.646664")));
        let shares = json!({ "data": usd("0.000001"), "media": usd("5.00"), "software": usd("2.333333") });
        assert_eq!((lead(1)["allocated"].clone(), lead(1)["costs"].clone()), (shares, json!({ "sms": usd("0.0146") })));
        assert_eq!((lead(1)["revenue"].clone(), lead(1)["margin"].clone()), (usd("45.00"), usd("37.652066")));
        assert_eq!(lead(2)["margin"], usd("-2.333333"));
        for at in 0..3 {
            assert_eq!(lead(at)["difference"], usd("0.00"), "{at}");
        }
        let left = json!([
            { "why": "said_none", "cost": usd("30.00") }, { "why": "shares_unknown", "cost": usd("3.00") },
        ]);
        assert_eq!(found["totals"]["unallocated"], left);
        let whole = roi(store, &RoiQuery::default()).await.unwrap().totals;
        let totals = (found["totals"]["revenue"].clone(), found["totals"]["cost"].clone());
        let of_roi = serde_json::to_value(&whole.money[0]).unwrap();
        assert_eq!(totals, (of_roi["revenue"].clone(), of_roi["cost"].clone()));
        // The cost of a vendor is owed, all others were paid; nobody paid us yet.
        assert_eq!((of_roi["paid"].clone(), of_roi["received"].clone()), (usd("43.034603"), usd("0.00")));

        let unsaid = rows(store, &asked(None)).await;
        assert_eq!(unsaid["totals"]["unallocated"][2], json!({ "why": "unsaid", "cost": usd("7.00") }));
        assert_eq!(unsaid["totals"]["cost"], found["totals"]["cost"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn states_and_cohorts_have_roi_and_the_months_until_they_paid() {
    on_both(async |store| {
        fold_into(store, &story(), &[5]).await;
        let groups = lead_groups(store, &asked(Some(Driver::Leads)), LeadGroup::State).await.unwrap();
        let groups = serde_json::to_value(groups).unwrap();
        let group = |at: usize| groups["items"][at].clone();
        assert_eq!((group(0)["name"].clone(), group(0)["leads"].clone()), (json!("CA"), json!(1)));
        assert_eq!(
            (group(1)["name"].clone(), group(1)["leads"].clone(), group(1)["sold"].clone()),
            (json!("TX"), json!(2), json!(1))
        );
        // TX: 80 less 20 paid out; 0.02 + 5.000002 + 2.333334 + 2.333333 to get there.
        assert_eq!((group(1)["ltv"].clone(), group(1)["cac"].clone()), (usd("60.00"), usd("9.686669")));
        assert_eq!((group(1)["ltv_to_cac"].clone(), group(1)["payback_months"].clone()), (json!("6.1941"), json!(1)));

        let by = BTreeSet::from([Dimension::State, Dimension::Cohort]);
        let answer = roi(store, &RoiQuery { by, ..RoiQuery::default() }).await.unwrap();
        let names = |state: &str| (Some(state.to_owned()), Some("2026-09".to_owned()));
        let row =
            answer.rows.iter().find(|row| (row.names.state.clone(), row.names.cohort.clone()) == names("TX")).unwrap();
        assert_eq!((row.leads, row.contacts, row.money[0].revenue.amount.as_str()), (2, 1, "80.00"));
        assert_eq!(row.money[0].cost.amount, "20.02");
        let only = RoiQuery { state: Some("CA".to_owned()), ..RoiQuery::default() };
        let of_state = roi(store, &only).await.unwrap().totals;
        assert_eq!((of_state.leads, of_state.money[0].revenue.amount.as_str()), (1, "45.00"));
    })
    .await;
}

/// revenue, whole, broken, unproven.
async fn cut(store: &Store, known_at: Option<Timestamp>) -> (Value, Value) {
    let answer = compliant(store, &RoiQuery { known_at, ..RoiQuery::default() }).await.unwrap();
    let answer = serde_json::to_value(answer).unwrap();
    let total = &answer["totals"][0];
    let of = |name: &str| total[name]["amount"].clone();
    let sums = json!([of("revenue"), of("compliant_revenue"), of("broken_revenue"), of("unproven_revenue")]);
    (sums, answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn money_on_a_broken_trail_is_taken_out_with_the_contact_that_broke_it() {
    on_both(async |store| {
        let mut script = story();
        let contact = 11;
        let annulled = script.of(1, "event.annulled", json!({ "position": 9, "reason": "wrong" }), json!({}));
        fold_into(store, &script, &[3]).await;
        // Known before the consent was annulled: 80 on a decision; 50 less 10 with no trail at all; 5 after a contact that nobody decided.
        let (sums, answer) = cut(store, Some(recorded_at(annulled - 1))).await;
        assert_eq!(sums, json!(["125.00", "80.00", "5.00", "40.00"]));
        assert_eq!(answer["persons"], json!({ "whole": 1, "broken": 1 }));
        assert_eq!(answer["totals"][0]["broken_by"], json!({ "no_decision": usd("5.00") }));
        assert_eq!(answer["broken"][0]["why"], "no_decision");
        assert_eq!(answer["broken"].as_array().unwrap().len(), 1);
        // 125 and 80 over 70.034603 of cost.
        assert_eq!(
            (answer["totals"][0]["roi"].clone(), answer["totals"][0]["compliant_roi"].clone()),
            (json!("0.7848"), json!("0.1423"))
        );
        // Now the consent is gone, and with it what rested on it.
        let (sums, answer) = cut(store, None).await;
        assert_eq!(sums, json!(["125.00", "0.00", "85.00", "40.00"]));
        let by = json!({ "consent_annulled": usd("80.00"), "no_decision": usd("5.00") });
        assert_eq!(answer["totals"][0]["broken_by"], by);
        assert_eq!(answer["broken"][0]["position"], contact);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_break_a_trail_is_found_and_a_whole_one_is_not() {
    let now = recorded_at(10);
    let contact = json!({ "channel": "sms", "purpose": "marketing", "seller": "broker-a", "decision": DECISION });
    let with = |changes: Value| {
        let mut data = contact.clone();
        data.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        data
    };
    let decided = json!({ "allow": true, "now": recorded_at(0), "expires_at": recorded_at(50) });
    let stop = |occurred: u64, seller: &str| {
        let data = json!({ "method": "phone", "category": "all", "channels": ["sms"], "seller": seller });
        json!({ "data": data, "occurred": recorded_at(occurred) })
    };
    for (name, decision, contact, after, why) in [
        ("whole", decided.clone(), contact.clone(), None, None),
        ("none named", decided.clone(), json!({ "channel": "sms" }), None, Some("no_decision")),
        ("unknown", decided.clone(), with(json!({ "decision": "of-a-dream" })), None, Some("decision_unknown")),
        ("other channel", decided.clone(), with(json!({ "channel": "voice" })), None, Some("decision_other")),
        ("other seller", decided.clone(), with(json!({ "seller": "broker-b" })), None, Some("decision_other")),
        ("refused", json!({ "allow": false, "now": recorded_at(0) }), contact.clone(), None, Some("decision_other")),
        (
            "too late",
            json!({ "allow": true, "now": recorded_at(0), "expires_at": recorded_at(1) }),
            contact.clone(),
            None,
            Some("decision_expired"),
        ),
        (
            "too early",
            json!({ "allow": true, "now": now, "expires_at": recorded_at(50) }),
            contact.clone(),
            None,
            Some("decision_expired"),
        ),
        ("annulled", decided.clone(), contact.clone(), Some(json!(null)), Some("decision_unknown")),
        ("stop unheard", decided.clone(), contact.clone(), Some(stop(0, "")), Some("stop_unheard")),
        ("stop of another seller", decided.clone(), contact.clone(), Some(stop(0, "broker-b")), None),
        ("stop afterwards", decided.clone(), contact.clone(), Some(stop(4, "")), None),
    ] {
        let (_folder, store) = sqlite().await;
        let mut script = Script::default();
        let mut decision = decision;
        let scope = json!({ "channel": "sms", "purpose": "marketing", "seller": "broker-a", "decision": DECISION });
        decision.as_object_mut().unwrap().extend(scope.as_object().unwrap().clone());
        script.of(1, "lead.received", json!({}), json!({}));
        script.of(1, "decision.contact_recorded", decision, json!({}));
        script.of(1, "contact.attempted", contact, json!({}));
        script.of(
            1,
            "revenue.recorded",
            json!({ "kind": "lead_sale", "amount": usd("9.00") }),
            json!({ "sale": hash(1) }),
        );
        match after {
            Some(Value::Null) => {
                _ = script.of(1, "event.annulled", json!({ "position": 1, "reason": "wrong" }), json!({}))
            }
            Some(stop) => _ = script.push_of(1, "consent.revoked", None, Some(stop)),
            None => {}
        }
        fold_into(&store, &script, &[2]).await;
        let (sums, answer) = cut(&store, None).await;
        let (whole, broken) = if why.is_none() { ("9.00", "0.00") } else { ("0.00", "9.00") };
        assert_eq!(sums, json!(["9.00", whole, broken, "0.00"]), "{name}");
        let found: Vec<&str> =
            answer["broken"].as_array().unwrap().iter().filter_map(|one| one["why"].as_str()).collect();
        assert_eq!(found, why.into_iter().collect::<Vec<_>>(), "{name}");
    }
}
