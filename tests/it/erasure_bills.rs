//! Bills and erasure: money that a person brought stays billed, also where the person was erased before the price was made, and
//! bills come out the same from rows that were built anew.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tallystick::decisions::{Biller, DocumentAsked, Gate, InvoiceAsked, Run};
use tallystick::domain::ids::PrincipalId;
use tallystick::domain::time::Timestamp;
use tallystick::ingest::Ledger;
use tallystick::jobs::erase::{EraseOptions, begin, run as erase};
use tallystick::projections::Projections;
use tallystick::views::billing::{Billing, BillingQuery, billing};

use crate::support::{Bench, options, post, recorded, scratch};

const CONTRACT: &str = "pack='pricing'\nversion='1'\n[[rule]]\nid='leads'\nseller='broker-a'\non='lead'\n\
    effective_from='2026-11-01'\ncurrency='USD'\nprice={kind='fixed',amount='45.00'}\n\
    payouts=[{party='pub-1',kind='publisher',percent='20'}]";

async fn view(ledger: &Ledger) -> Billing {
    let query = BillingQuery {
        today: Timestamp::parse_rfc3339("2026-12-10T00:00:00Z").unwrap().unix_days(),
        ..BillingQuery::default()
    };
    billing(&ledger.store(), &query).await.unwrap()
}

async fn rows(bench: &Bench) -> Projections {
    let rows = Projections::start(Arc::clone(&bench.ledger));
    rows.wait_for(bench.ledger.size() - 1, Duration::from_secs(30)).await.unwrap();
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn what_erased_persons_brought_stays_billed() {
    let bench = scratch(None, 2121).await;
    let rows = rows(&bench).await;
    let (biller, gate) = (Biller::default(), Gate::default());
    let run =
        |rows| Run { ledger: &bench.ledger, rows, gate: &gate, actor: PrincipalId::from_bytes([1; 16]), now: None };
    biller.activate(run(&rows), CONTRACT).await.unwrap();
    let mut subjects = Vec::new();
    for person in 0..4 {
        let event = json!({ "specversion": "1.0", "id": format!("lead-{person}"), "source": "/crm", "type": "lead.accepted",
            "subject": format!("p-{person}"), "time": "2026-11-19T12:00:00Z",
            "data": { "seller": "broker-a", "sale": format!("S-{person}"), "phone": format!("+1614555010{person}") } });
        subjects.push(recorded(post(&bench.ledger, event).await).subject.unwrap());
        if person == 1 {
            // The first two are priced before the erasure, the others after it.
            assert_eq!(biller.rate(run(&rows)).await.unwrap().priced, 2);
        }
    }
    let asked = EraseOptions { settle: Duration::ZERO, ..EraseOptions::new(options().actor, &bench.ledger) };
    for subject in [subjects[1], subjects[2]] {
        let begun = begin(&bench.ledger, subject, "ccpa_105", None, &asked).await.unwrap().0;
        erase(&bench.ledger, vec![begun], &asked, &|_| {}).await.unwrap();
    }
    let rated = biller.rate(run(&rows)).await.unwrap();
    assert_eq!((rated.priced, rated.refused), (2, 0), "also of the one who was erased before");
    let invoice = DocumentAsked {
        number: "i-1".to_owned(),
        seller: "broker-a".to_owned(),
        currency: None,
        day_to: 20_787,
        invoice: Some(InvoiceAsked { day_from: 20_758, due: None }),
    };
    let (drawn, issued) = biller.document(run(&rows), &invoice, false).await.unwrap();
    assert_eq!((drawn.total, drawn.lines[0].items.len()), (180_000_000, 4));
    rows.wait_for(bench.ledger.size() - 1, Duration::from_secs(30)).await.unwrap();
    let before = view(&bench.ledger).await;
    assert_eq!((before.sellers[0].earned.amount.as_str(), before.payable[0].owed.amount.as_str()), ("180.00", "36.00"));

    // All of it again from the log alone.
    rows.rebuild();
    while rows.status().rebuilding.is_some() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(view(&bench.ledger).await, before);
    let position = issued.unwrap().position;
    let (_, _, again, differs) = biller.redrawn(run(&rows), position).await.unwrap();
    assert_eq!((again.total, differs), (180_000_000, Vec::new()));
    for item in &again.lines[0].items {
        let replay = tallystick::decisions::replay_price(&bench.ledger, item.position).await.unwrap();
        assert!(replay.differs.is_empty(), "{:?}", replay.differs);
    }
}
