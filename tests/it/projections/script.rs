//! Logs written by hand, folding them, and everything that readers can see of the result.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tallystick::chain::entry::{Entry, SubjectLink};
use tallystick::crypto::hash::Digest;
use tallystick::domain::ids::{EventId, LedgerId, PrincipalId, SubjectId};
use tallystick::domain::time::Timestamp;
use tallystick::ingest::ledger::RawFact;
use tallystick::projections::{Folder, PROJECTIONS};
use tallystick::store::views::{ProjectionCursor, Track};
use tallystick::store::{Location, Store};
use tallystick::views::roi::{Dimension, RoiQuery, roi};
use tallystick::views::{Instants, PageRequest, consent, health, quarantine};

pub const BASE: i64 = 1_790_000_000_000_000;
pub const HOUR: i64 = 3_600_000_000;
pub const PERSON: [u8; 16] = [9; 16];
pub const EVER: Instants = Instants { as_of: Timestamp::MAX, known_at: Timestamp::MAX };

/// A log written by hand: an entry an hour.
#[derive(Default, Clone)]
pub struct Script(pub Vec<RawFact>);

impl Script {
    pub fn push(&mut self, event_type: &str, corrects: Option<u64>, business: Option<Value>) -> u64 {
        self.push_of(PERSON[0], event_type, corrects, business)
    }

    /// The same of a person of one's choice.
    pub fn push_of(&mut self, person: u8, event_type: &str, corrects: Option<u64>, business: Option<Value>) -> u64 {
        let subject = SubjectId::from_bytes([person; 16]);
        let position = self.0.len() as u64;
        let person = !event_type.starts_with("cost.") && !event_type.starts_with("quarantine.");
        let subject = SubjectLink { subject, sequence: 1, previous: None };
        let entry = Entry {
            format: 1,
            ledger: LedgerId::from_bytes([3; 16]),
            position,
            previous: Digest::ZERO,
            event: EventId::from_bytes([u8::try_from(position % 251).unwrap(); 16]),
            event_type: event_type.to_owned(),
            schema: Digest::ZERO,
            subject: person.then_some(subject),
            recorded: Timestamp::from_micros(BASE + i64::try_from(position).unwrap() * HOUR),
            actor: PrincipalId::from_bytes([1; 16]),
            cause: None,
            corrects,
            dedupe: [0; 32],
            parts: Vec::new(),
        };
        let business = business.map(|value| value.to_string().into_bytes());
        self.0.push(RawFact { position, entry: entry.encode().unwrap(), business });
        position
    }

    pub fn data(&mut self, event_type: &str, data: Value) -> u64 {
        self.push(event_type, None, Some(json!({ "data": data })))
    }

    pub fn of(&mut self, person: u8, event_type: &str, data: Value, refs: Value) -> u64 {
        self.push_of(person, event_type, None, Some(json!({ "data": data, "refs": refs })))
    }

    pub fn with_refs(&mut self, event_type: &str, data: Value, refs: Value) -> u64 {
        self.push(event_type, None, Some(json!({ "data": data, "refs": refs })))
    }
}

pub fn usd(amount: &str) -> Value {
    json!({ "amount": amount, "currency": "USD" })
}

pub fn hash(number: u8) -> String {
    format!("{number:032x}")
}

pub fn recorded_at(position: u64) -> Timestamp {
    Timestamp::from_micros(BASE + i64::try_from(position).unwrap() * HOUR)
}

/// Folds a log into a ledger of its own, in batches of the given sizes (the last one again and again).
pub async fn fold(store: &Store, ledger: u8, script: &Script, sizes: &[usize]) -> Store {
    let store = store.for_ledger(LedgerId::from_bytes([ledger; 16]));
    fold_into(&store, script, sizes).await;
    store
}

pub async fn fold_into(store: &Store, script: &Script, sizes: &[usize]) {
    let cursors: Vec<ProjectionCursor> =
        PROJECTIONS.iter().map(|(projection, _)| ProjectionCursor { projection, generation: 1 }).collect();
    for (cursor, (_, version)) in cursors.iter().zip(PROJECTIONS) {
        store.views_cursor_create(*cursor, *version, Track::Live).await.unwrap();
    }
    let (mut rest, mut next, mut batch) = (script.0.as_slice(), 0, 0);
    while !rest.is_empty() {
        let size = sizes.get(batch).or(sizes.last()).copied().unwrap_or(rest.len()).clamp(1, rest.len());
        let (now, later) = rest.split_at(size);
        let mut folder = Folder::new(Track::Live, &cursors, next);
        now.iter().for_each(|fact| folder.take(fact));
        next = folder.next();
        folder.finish().commit(store).await.unwrap();
        (rest, batch) = (later, batch + 1);
    }
}

pub fn groupings() -> Vec<BTreeSet<Dimension>> {
    let all = [Dimension::Day, Dimension::Campaign, Dimension::Channel, Dimension::Source, Dimension::Seller];
    let mut some: Vec<BTreeSet<Dimension>> =
        (0..32).map(|bits| (0..5).filter(|place| bits >> place & 1 == 1).map(|place| all[place]).collect()).collect();
    let others = [Dimension::Week, Dimension::Month, Dimension::Vendor, Dimension::State, Dimension::Cohort];
    some.extend(others.map(|dimension| BTreeSet::from([dimension])));
    some.push(others.into_iter().chain([Dimension::Seller]).collect());
    some
}

/// Everything that readers can see of a ledger.
pub async fn dump(store: &Store) -> Value {
    let lines = store.money_lines(0, i64::MAX, i64::MAX).await.unwrap();
    // As known at the last line, what was recorded in its period is added up line by line.
    let known_at = lines.iter().map(|line| Timestamp::from_micros(line.recorded)).max();
    let lines: Vec<String> = lines.iter().map(|line| format!("{line:?}")).collect();
    let mut money = Vec::new();
    for by in groupings() {
        let sums = roi(store, &RoiQuery { by: by.clone(), ..RoiQuery::default() }).await.unwrap();
        let exact = RoiQuery { by, known_at, ..RoiQuery::default() };
        assert_eq!(sums, roi(store, &exact).await.unwrap(), "sums and lines agree");
        money.push(sums);
    }
    let subject = [SubjectId::from_bytes(PERSON)];
    let health = health::health(store, i64::MIN, i64::MAX).await.unwrap();
    json!({
        "money": money,
        "lines": lines,
        "consent": consent::state(store, &subject, EVER).await.unwrap(),
        "history": consent::history(store, &subject, EVER).await.unwrap(),
        "days": health.days,
        "types": health.types,
        "principals": health.principals,
        "parked": health::parked(store, 0, 10_000).await.unwrap(),
        "quarantine": quarantine::items(store, &PageRequest::new(None, Some(1_000), 1).unwrap(), true).await.unwrap(),
    })
}

/// Every event's lines sum to zero in each currency.
pub async fn assert_balanced(store: &Store) {
    let mut sums: BTreeMap<(i64, [u8; 3]), i64> = BTreeMap::new();
    for line in store.money_lines(0, i64::MAX, i64::MAX).await.unwrap() {
        if line.account < 1_000 {
            *sums.entry((line.position, line.currency)).or_default() += line.amount;
        }
    }
    assert!(sums.values().all(|sum| *sum == 0), "{sums:?}");
}

/// A store on SQLite whose folder lives as long as the first of the pair.
pub async fn sqlite() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Sqlite(folder.path().to_path_buf());
    let store = Store::open(&location, LedgerId::from_bytes([0; 16])).await.unwrap();
    (folder, store)
}

/// One event of a random log; targets and records are drawn small so that they meet.
pub fn step(script: &mut Script, draw: (u8, u8, u8, u16)) {
    let (what, record, shape, amount) = draw;
    let (record, position) = (hash(record % 4), script.0.len() as u64);
    let amount = format!("{}.{:02}", i32::from(amount) - 9_000, amount % 100);
    let mut names = json!({});
    for (bit, name) in ["campaign", "channel", "source", "seller", "vendor"].iter().enumerate() {
        if shape >> bit & 1 == 1 {
            names[*name] = format!("{name}-{}", shape % 3).into();
        }
    }
    let data = |extra: Value| {
        let mut data = names.clone();
        data.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        data
    };
    let sale = json!({ "sale": record });
    match what % 20 {
        0 | 1 => {
            script.with_refs("revenue.recorded", data(json!({ "kind": "lead_sale", "amount": usd(&amount) })), sale)
        }
        2 => script.with_refs("revenue.refunded", data(json!({ "amount": usd(&amount), "reason": "returned" })), sale),
        3 => script.with_refs("revenue.adjusted", data(json!({ "amount": usd(&amount), "kind": "clawback" })), sale),
        4 => script.with_refs(
            "revenue.chargeback_recorded",
            data(json!({ "amount": usd(&amount), "fee": usd("15.00"), "status": "lost" })),
            sale,
        ),
        5 | 6 => script.with_refs(
            "cost.recorded",
            data(json!({ "kind": "media", "amount": { "amount": amount, "currency": "EUR" },
                "estimate": shape % 2 == 0, "replaces_estimate": shape % 3 == 0,
                "period_from": "2026-09-01", "period_to": "2026-09-07" })),
            json!({ "cost": record, "lead": hash(100 + shape % 2) }),
        ),
        7 => script.with_refs(
            "cost.reversed",
            data(json!({ "kind": "media", "amount": usd(&amount) })),
            json!({ "cost": record }),
        ),
        8 if shape % 2 == 0 => script.data("payment.sent", data(json!({ "amount": usd(&amount), "fee": usd("0.20") }))),
        8 => script.data("payment.received", data(json!({ "amount": usd(&amount), "fee": usd("0.30") }))),
        9 => script.with_refs(
            "lead.received",
            data(json!({ "state": if shape % 2 == 0 { "TX" } else { "CA" } })),
            json!({ "lead": hash(100 + shape % 2) }),
        ),
        10 => script.data("contact.attempted", data(json!({ "channel": "sms", "attribution_channel": "cold_sms" }))),
        11..=13 => script.data("event.annulled", json!({ "position": u64::from(shape) % (position + 1) })),
        14 => {
            let corrected = position.checked_sub(1).map(|last| u64::from(shape) % (last + 1));
            let data = data(json!({ "kind": "call", "amount": usd(&amount) }));
            script.push("revenue.recorded", corrected, Some(json!({ "data": data, "refs": sale })))
        }
        15 => script.data("revenue.recorded", json!({ "kind": "call", "amount": usd("lots") })),
        16 => script.push("revenue.recorded", None, None),
        17 => script.data(
            "consent.granted",
            json!({ "kind": "pewc", "sellers": ["a", "b"], "channels": ["sms"], "purposes": ["marketing"] }),
        ),
        18 => script.data("consent.revoked", json!({ "method": "reply", "channels": ["sms", "voice"] })),
        _ if position % 2 == 0 => {
            script.data("quarantine.received", json!({ "reason": "unknown_type", "via": "api", "bytes": 12 }))
        }
        _ => script.data("quarantine.discarded", json!({ "item": u64::from(shape) % position, "reason": "test" })),
    };
}

pub fn sample() -> Script {
    let mut script = Script::default();
    for round in 0..400_u32 {
        let [a, b, c, d] = round.wrapping_mul(2_654_435_761).to_be_bytes();
        step(&mut script, (a, b, c, u16::from_be_bytes([d, a])));
    }
    script
}

/// A day of lead generation: mostly leads and contacts, some consent, a little money.
pub fn busy(count: u32) -> Script {
    let mut script = Script::default();
    for id in 0..count {
        let campaign = format!("campaign-{}", id % 20);
        match id % 20 {
            0..8 => script.data("lead.received", json!({ "campaign": campaign, "channel": "web", "source": "form-1" })),
            8..14 => script.data(
                "contact.attempted",
                json!({ "campaign": campaign, "channel": "sms", "purpose": "marketing", "seller": "broker-a" }),
            ),
            14..18 => script.data(
                "consent.granted",
                json!({ "kind": "pewc", "sellers": ["broker-a"], "channels": ["sms"], "purposes": ["marketing"] }),
            ),
            18 => script.with_refs(
                "revenue.recorded",
                json!({ "kind": "lead_sale", "amount": usd("40.00"), "campaign": campaign, "seller": "broker-a" }),
                json!({ "sale": format!("{id:032x}") }),
            ),
            _ => script.data("cost.recorded", json!({ "kind": "media", "amount": usd("12.50"), "campaign": campaign })),
        };
    }
    script
}

pub async fn totals(store: &Store, query: RoiQuery) -> (Vec<(String, String)>, i64) {
    let totals = roi(store, &query).await.unwrap().totals;
    let money = totals.money.iter().map(|money| (money.revenue.amount.clone(), money.cost.amount.clone())).collect();
    (money, totals.sales)
}
