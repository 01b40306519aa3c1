//! `cargo bench --bench revenue`: leads scored on one core; ROI over a million money events, now and at past instants, beside one
//! plain sum over the same lines; the same where every tenth event is a lead of its own person, in twelve states and as many months.
//!
//! TALLYSTICK_BENCH_MONEY    money events (default 1000000)
#![expect(
    clippy::unwrap_used,
    clippy::float_arithmetic,
    clippy::disallowed_methods,
    reason = "a bench that cannot go on has failed; it reads the clock and the environment, and rates are floats"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tallystick::chain::entry::{Entry, SubjectLink};
use tallystick::crypto::hash::Digest;
use tallystick::domain::ids::{EventId, LedgerId, PrincipalId, SubjectId};
use tallystick::domain::time::Timestamp;
use tallystick::ingest::ledger::RawFact;
use tallystick::policy::scoring::{Act, Facts, Stated, builtin, evaluate};
use tallystick::projections::{Folder, PROJECTIONS};
use tallystick::store::views::{ProjectionCursor, Track};
use tallystick::store::{Location, Store};
use tallystick::views::compliant::compliant;
use tallystick::views::leads::{Driver, LeadGroup, LeadsQuery, lead_groups};
use tallystick::views::roi::{Dimension, RoiQuery, roi};

const BASE: i64 = 1_760_000_000_000_000;
const BATCH: u64 = 20_000;
const ROUNDS: usize = 40;

fn main() {
    scoring();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(returns(false));
    runtime.block_on(returns(true));
}

/// Facts of leads as they come: some acts of some ages, some features.
fn leads(count: u64) -> Vec<Facts> {
    (0..count)
        .map(|lead| {
            let mixed = lead.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let ages = |times: u64| (0..times).map(|turn| 3_600 * (1 + (mixed >> 7) % 500 + turn * 97)).collect();
            let acts = [Act::Reply, Act::AnsweredCall, Act::Click, Act::Lead];
            let acts = acts.into_iter().zip([mixed % 3, (mixed >> 3) % 3, (mixed >> 5) % 4, 1]);
            let number = i64::try_from((mixed >> 20) % 101).unwrap();
            Facts {
                acts: acts.map(|(act, times)| (act, ages(times))).collect::<BTreeMap<Act, Vec<u64>>>(),
                features: BTreeMap::from([
                    ("equity_percent".to_owned(), Stated::Number(number)),
                    ("ownership".to_owned(), Stated::Word("absentee".to_owned())),
                ]),
            }
        })
        .collect()
}

fn scoring() {
    let card = builtin().unwrap();
    let leads = leads(100_000);
    let mut best = Duration::MAX;
    for _ in 0..7 {
        let begun = Instant::now();
        for facts in &leads {
            facts.check(card).unwrap();
            black_box(evaluate(card, facts));
        }
        best = best.min(begun.elapsed());
    }
    println!("leads scored by the card of this build, with reasons, one core: {:.0}/s", 100_000.0 / best.as_secs_f64());
}

fn fact(position: u64, leads: bool) -> RawFact {
    let campaign = format!("campaign-{}", position % 40);
    let seller = format!("broker-{}", position % 7);
    let amount = json!({ "amount": format!("{}.{:02}", 5 + position % 90, position % 100), "currency": "USD" });
    let lead = position / 10;
    let (event_type, data, refs) = match (position + 1) % 10 {
        0 if leads => (
            "lead.received",
            json!({ "campaign": format!("campaign-{}", lead % 40), "channel": "outbound_call", "source": "form-1", "state": format!("S{}", lead % 12) }),
            json!({ "lead": format!("{lead:032x}") }),
        ),
        _ => money(position, &campaign, &seller, &amount),
    };
    // Whoever came last has what comes until the next one.
    let person =
        if leads { (lead - u64::from(!(position + 1).is_multiple_of(10) && lead > 0)).to_be_bytes() } else { [9; 8] };
    let mut subject = [9; 16];
    subject[..8].copy_from_slice(&person);
    let subject = SubjectLink { subject: SubjectId::from_bytes(subject), sequence: 1, previous: None };
    let recorded = BASE + i64::try_from(position).unwrap() * 31_000_000;
    let entry = Entry {
        format: 1,
        ledger: LedgerId::from_bytes([3; 16]),
        position,
        previous: Digest::ZERO,
        event: EventId::from_bytes([7; 16]),
        event_type: event_type.to_owned(),
        schema: Digest::ZERO,
        subject: (!event_type.starts_with("cost")).then_some(subject),
        recorded: Timestamp::from_micros(recorded),
        actor: PrincipalId::from_bytes([1; 16]),
        cause: None,
        corrects: None,
        dedupe: [0; 32],
        parts: Vec::new(),
    };
    let business = json!({ "data": data, "refs": refs }).to_string().into_bytes();
    RawFact { position, entry: entry.encode().unwrap(), business: Some(business) }
}

fn money(position: u64, campaign: &str, seller: &str, amount: &Value) -> (&'static str, Value, Value) {
    let record = format!("{position:032x}");
    match position % 10 {
        0..4 => (
            "revenue.recorded",
            json!({ "kind": "lead_sale", "amount": amount, "campaign": campaign, "seller": seller, "channel": "outbound_call", "source": "form-1" }),
            json!({ "sale": record }),
        ),
        4 => (
            "revenue.refunded",
            json!({ "amount": { "amount": "5.00", "currency": "USD" }, "reason": "returned" }),
            json!({ "sale": format!("{:032x}", position - 4) }),
        ),
        _ => (
            "cost.recorded",
            json!({ "kind": "media", "amount": amount, "campaign": campaign, "seller": seller, "channel": "outbound_call", "source": "form-1" }),
            json!({ "cost": record }),
        ),
    }
}

async fn filled(store: &Store, events: u64, leads: bool) {
    let cursors: Vec<ProjectionCursor> =
        PROJECTIONS.iter().map(|(projection, _)| ProjectionCursor { projection, generation: 1 }).collect();
    for (cursor, (_, version)) in cursors.iter().zip(PROJECTIONS) {
        store.views_cursor_create(*cursor, *version, Track::Live).await.unwrap();
    }
    let mut next = 0;
    while next < events {
        let mut folder = Folder::new(Track::Live, &cursors, next);
        (next..events.min(next + BATCH)).for_each(|position| folder.take(&fact(position, leads)));
        next = folder.next();
        folder.finish().commit(store).await.unwrap();
    }
}

fn figures(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |part: usize| times[(times.len() * part / 100).min(times.len() - 1)].as_secs_f64() * 1e3;
    format!("p50 {:.1} ms, p95 {:.1} ms", at(50), at(95))
}

async fn returns(leads: bool) {
    let events = std::env::var("TALLYSTICK_BENCH_MONEY").ok().map_or(1_000_000, |count| count.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Sqlite(folder.path().to_path_buf());
    let store = Store::open(&location, LedgerId::from_bytes([0; 16])).await.unwrap();
    let begun = Instant::now();
    filled(&store, events, leads).await;
    let kind = if leads { "events of money, a tenth of them leads," } else { "money events" };
    println!("{events} {kind} folded: {:.0}/s", events as f64 / begun.elapsed().as_secs_f64());
    let instant = |turn: usize| {
        let share = (turn as u64 * 37) % 100;
        Timestamp::from_micros(BASE + i64::try_from(events * share / 100).unwrap() * 31_000_000)
    };
    let by = BTreeSet::from([Dimension::Campaign]);
    let mut rows: Vec<(&str, Vec<Duration>)> = Vec::new();
    for (name, past) in [("now, by campaign", false), ("any past instant known, by campaign", true)] {
        let mut times = Vec::new();
        for turn in 0..ROUNDS {
            let known_at = past.then(|| instant(turn));
            let query = RoiQuery { by: by.clone(), known_at, as_of: known_at, ..RoiQuery::default() };
            let begun = Instant::now();
            black_box(roi(&store, &query).await.unwrap());
            times.push(begun.elapsed());
        }
        rows.push((name, times));
    }
    if leads {
        let by = BTreeSet::from([Dimension::State, Dimension::Cohort]);
        let begun = Instant::now();
        black_box(roi(&store, &RoiQuery { by, ..RoiQuery::default() }).await.unwrap());
        println!("ROI now, by state and cohort: {:.1} ms", begun.elapsed().as_secs_f64() * 1e3);
        let begun = Instant::now();
        black_box(compliant(&store, &RoiQuery::default()).await.unwrap());
        println!("compliant ROI: {:.0} ms", begun.elapsed().as_secs_f64() * 1e3);
        let query = LeadsQuery {
            day_from: i64::MIN,
            day_to: i64::MAX,
            campaign: None,
            state: None,
            currency: *b"USD",
            unsaid: Some(Driver::Leads),
            as_of: Timestamp::MAX,
            known_at: Timestamp::MAX,
        };
        let begun = Instant::now();
        black_box(lead_groups(&store, &query, LeadGroup::Cohort).await.unwrap());
        println!("leads by cohort, every cost spread: {:.0} ms", begun.elapsed().as_secs_f64() * 1e3);
    }
    let mut plain = Vec::new();
    for _ in 0..ROUNDS / 4 {
        let begun = Instant::now();
        black_box(store.money_balances(Timestamp::MAX, Timestamp::MAX).await.unwrap());
        plain.push(begun.elapsed());
    }
    for (name, times) in rows {
        println!("ROI {name}: {}", figures(times));
    }
    println!("one sum over all lines, the limit of reading them: {}", figures(plain));
}
