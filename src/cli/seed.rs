//! Realistic data for the demo: a lead business's last 120 days, made up from one seed. Names, numbers and addresses are
//! reserved for examples (555-01xx, example.com, 192.0.2.0/24).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::domain::money::Micros;
use crate::domain::time::{Timestamp, day_text};

/// Days of history.
pub(super) const DAYS: i64 = 120;
const DAY_MICROS: i64 = 86_400_000_000;
const MINUTE_MICROS: i64 = 60_000_000;
const LEADS_PER_DAY: u64 = 6;
/// Leads come from nine in the morning on the west coast to six in the evening on the east coast: people may be called then.
const MORNING_MICROS: i64 = 17 * 3_600_000_000;
const LEADS_MINUTES: u64 = 5 * 60;

struct Campaign {
    name: &'static str,
    channel: &'static str,
    source: &'static str,
    vendor: &'static str,
    /// Media spend of a day, in cents.
    spend_cents: u64,
    price_cents: u64,
    /// Of a hundred leads, how many become a sale.
    sales_percent: u64,
}

const CAMPAIGNS: [Campaign; 4] = [
    Campaign {
        name: "fall-owners",
        channel: "paid_search",
        source: "quote-form",
        vendor: "pub-12",
        spend_cents: 9_500,
        price_cents: 6_500,
        sales_percent: 58,
    },
    Campaign {
        name: "equity-mailer",
        channel: "outbound_sms",
        source: "ohio-owners",
        vendor: "signalwire",
        spend_cents: 2_600,
        price_cents: 4_500,
        sales_percent: 36,
    },
    Campaign {
        name: "absentee-voice",
        channel: "outbound_voice",
        source: "absentee-list",
        vendor: "signalwire",
        spend_cents: 5_400,
        price_cents: 8_500,
        sales_percent: 31,
    },
    Campaign {
        name: "nurture-email",
        channel: "outbound_email",
        source: "past-leads",
        vendor: "instantly",
        spend_cents: 900,
        price_cents: 3_000,
        sales_percent: 22,
    },
];
/// Who buys.
pub(super) const SELLERS: [&str; 3] = ["broker-a", "broker-b", "broker-c"];
const AREA_CODES: [(&str, &str); 6] =
    [("614", "OH"), ("512", "TX"), ("303", "CO"), ("206", "WA"), ("404", "GA"), ("602", "AZ")];

/// A small repeatable stream (SplitMix64): the demo looks the same on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (word ^ (word >> 31)) % sides.max(1)
    }
}

/// One event and when the ledger learns it.
pub(super) struct Seeded {
    pub recorded: Timestamp,
    pub event: Value,
}

struct Story<'a> {
    events: &'a mut Vec<Seeded>,
    dice: &'a mut Dice,
    number: &'a mut u64,
    subject: Option<String>,
    at: i64,
}

impl Story<'_> {
    fn after(&mut self, minutes: u64) {
        let minutes = i64::try_from(minutes + self.dice.roll(minutes.max(2) / 2 + 1)).unwrap_or(1);
        self.at += minutes * MINUTE_MICROS;
    }

    fn tell(&mut self, event_type: &str, data: Value) {
        *self.number += 1;
        let occurred = Timestamp::from_micros(self.at);
        let mut event = json!({
            "specversion": "1.0", "id": format!("demo-{:06}", self.number), "source": "/demo/leads",
            "type": event_type, "time": occurred.to_string(), "datacontenttype": "application/json", "data": data,
        });
        if let (Some(subject), Value::Object(event)) = (&self.subject, &mut event) {
            event.insert("subject".to_owned(), Value::String(subject.clone()));
        }
        // Learnt a few seconds after it happened.
        let recorded = Timestamp::from_micros(self.at + 3_000_000);
        self.events.push(Seeded { recorded, event });
    }
}

fn money(cents: u64) -> Value {
    json!({ "amount": format!("{}.{:02}", cents / 100, cents % 100), "currency": "USD" })
}

/// Every fortnight each seller pays for what he bought in the one before, less what he gave back, and each vendor is paid what he is owed
/// for it.
fn payments(events: &mut Vec<Seeded>, first: i64) {
    // Micro-units by fortnight, event type of the payment, and partner.
    let mut due: BTreeMap<(i64, &str, String), i64> = BTreeMap::new();
    for Seeded { event, .. } in events.iter() {
        let (kind, partner, sign) = match event.get("type").and_then(Value::as_str) {
            Some("revenue.recorded") => ("payment.received", "seller", 1),
            Some("revenue.refunded") => ("payment.received", "seller", -1),
            Some("cost.recorded") => ("payment.sent", "vendor", 1),
            _ => continue,
        };
        let Some(data) = event.get("data") else { continue };
        let amount = data.get("amount").and_then(|amount| amount.get("amount")?.as_str());
        let micros = amount.and_then(|text| Micros::parse(text).ok()).map_or(0, Micros::micros);
        let time = event.get("time").and_then(Value::as_str).and_then(|text| Timestamp::parse_rfc3339(text).ok());
        let (Some(partner), Some(time)) = (data.get(partner).and_then(Value::as_str), time) else { continue };
        let fortnight = (time.micros() - first).div_euclid(14 * DAY_MICROS);
        *due.entry((fortnight, kind, partner.to_owned())).or_default() += sign * micros;
    }
    for ((fortnight, kind, partner), micros) in due {
        let cents = u64::try_from(micros / 10_000).unwrap_or(0);
        if cents == 0 {
            continue;
        }
        let at = first + (fortnight + 1) * 14 * DAY_MICROS + 3 * DAY_MICROS + MORNING_MICROS;
        let (occurred, recorded) = (Timestamp::from_micros(at), Timestamp::from_micros(at + 3_000_000));
        let id = format!("demo-{kind}-{partner}-{fortnight}");
        let mut data = json!({ "payment": id, "amount": money(cents), "method": "ach" });
        let (name, settles) = if kind == "payment.sent" { ("vendor", "payable") } else { ("seller", "invoice") };
        if let Value::Object(data) = &mut data {
            data.insert(name.to_owned(), Value::String(partner));
            data.insert("kind".to_owned(), Value::String(settles.to_owned()));
        }
        let event = json!({
            "specversion": "1.0", "id": id, "source": "/demo/books", "type": kind, "time": occurred.to_string(),
            "datacontenttype": "application/json", "data": data,
        });
        events.push(Seeded { recorded, event });
    }
}

/// Events of the 120 days before `now`, in the order in which they were learnt.
pub(super) fn events(now: Timestamp) -> Vec<Seeded> {
    let mut events = Vec::new();
    let mut dice = Dice(2026);
    let mut number = 0;
    let mut lead = 0;
    let first = (now.unix_days() - DAYS) * DAY_MICROS;
    for day in 0..DAYS {
        let morning = first + day * DAY_MICROS + MORNING_MICROS;
        for campaign in &CAMPAIGNS {
            let mut story =
                Story { events: &mut events, dice: &mut dice, number: &mut number, subject: None, at: morning };
            let spend = campaign.spend_cents * (80 + story.dice.roll(40)) / 100;
            story.after(30);
            story.tell(
                "cost.recorded",
                json!({
                    "kind": "media", "amount": money(spend), "campaign": campaign.name, "channel": campaign.channel,
                    "source": campaign.source, "vendor": campaign.vendor, "allocation": "even", "driver": "leads",
                    "cost": format!("media-{day}-{}", campaign.name),
                }),
            );
        }
        for _ in 0..LEADS_PER_DAY {
            lead += 1;
            let at = morning + i64::try_from(dice.roll(LEADS_MINUTES)).unwrap_or(0) * MINUTE_MICROS;
            let subject = Some(format!("lead-{:05}", 10_000 + lead));
            let story = Story { events: &mut events, dice: &mut dice, number: &mut number, subject, at };
            lead_story(story, lead);
        }
    }
    payments(&mut events, first);
    events.retain(|seeded| seeded.recorded < now);
    events.sort_by_key(|seeded| seeded.recorded);
    events
}

/// What the demo's sellers pay besides the revenue that was posted: a fee for each appointment that was kept, part of which goes to whoever
/// booked it, and a least amount a month.
pub(super) fn contract(now: Timestamp) -> String {
    let from = day_text(now.unix_days() - 150);
    let of = |seller: &str| {
        format!(
            "[[rule]]\nid = '{seller}-shows'\nseller = '{seller}'\non = 'show'\neffective_from = '{from}'\ncurrency = 'USD'\n\
             price = {{ kind = 'graduated', period = 'month', tiers = [{{ from = 1, amount = '12.00' }}, {{ from = 11, amount = '9.50' }}] }}\n\
             payouts = [{{ party = 'call-desk', kind = 'agent', percent = '25' }}]\n\
             [[terms]]\nseller = '{seller}'\ncurrency = 'USD'\nminimum = {{ period = 'month', amount = '250.00' }}\n"
        )
    };
    let sellers: String = SELLERS.iter().map(|seller| of(seller)).collect();
    format!("pack = 'pricing'\nversion = 'demo-1'\n{sellers}")
}

fn lead_story(mut story: Story<'_>, lead: u64) {
    let pick = |dice: &mut Dice, length: usize| usize::try_from(dice.roll(length as u64)).unwrap_or(0);
    let Some(campaign) = CAMPAIGNS.get(pick(story.dice, CAMPAIGNS.len())) else { return };
    let Some(seller) = SELLERS.get(pick(story.dice, SELLERS.len())) else { return };
    let Some((area, state)) = AREA_CODES.get(pick(story.dice, AREA_CODES.len())) else { return };
    // 100 numbers an area code are reserved for fiction; several leads share one as people in a household do.
    let phone = format!("+1{area}55501{:02}", lead % 100);
    let reference = story.subject.clone().unwrap_or_default();
    let email = format!("{reference}@example.com");
    story.tell(
        "lead.received",
        json!({
            "lead": reference, "campaign": campaign.name, "channel": campaign.channel, "source": campaign.source,
            "vendor": campaign.vendor, "kind": "form", "state": state, "phone": phone, "email": email,
            "name": format!("Pat Example {lead}"), "ip": format!("192.0.2.{}", lead % 250),
        }),
    );
    let consented = story.dice.roll(100) < 92;
    if consented {
        story.after(1);
        story.tell("consent.granted", json!({
            "kind": "pewc", "phone": phone, "sellers": [seller], "channels": ["voice", "sms"],
            "technologies": ["manual", "automated"], "purposes": ["marketing"],
            "disclosure": { "authorizes_automated": true, "not_condition_of_purchase": true },
            "signature": "checkbox_and_submit", "campaign": campaign.name, "source": campaign.source,
            "evidence": { "text": format!("I agree that {seller} may call and text me at this number by autodialer. Not a condition of purchase."), "page_url": "https://example.com/quote" },
        }));
    }
    story.after(2);
    let score = 30 + story.dice.roll(65);
    story.tell("score.assigned", json!({
        "model": "owner-fit", "model_version": "3.2", "score": score, "band": if score > 70 { "A" } else if score > 50 { "B" } else { "C" },
        "campaign": campaign.name, "lead": reference, "phone": phone,
    }));
    // A challenger in the shadow of the model in use: it sees the same lead less clearly and says how likely a sale is.
    let likely = campaign.sales_percent * (score + 30 + story.dice.roll(65)) / 124;
    story.tell("score.assigned", json!({
        "model": "owner-fit", "model_version": "4.0", "score": likely * 10, "champion": false, "probability": format!("0.{likely:02}"),
        "outcome": "sale", "campaign": campaign.name, "lead": reference, "phone": phone,
    }));
    let message = format!("SM-{lead}");
    if consented {
        story.after(5);
        story.tell("contact.attempted", json!({
            "channel": "sms", "technology": "automated", "purpose": "marketing", "seller": seller, "topic": "listing-offer",
            "message": message, "campaign": campaign.name, "phone": phone, "from": "+18005550100",
        }));
        story.tell("cost.recorded", json!({
            "kind": "sms", "amount": { "amount": "0.0146", "currency": "USD" }, "quantity": "2", "unit": "segment",
            "campaign": campaign.name, "channel": campaign.channel, "source": campaign.source, "seller": seller,
            "vendor": "signalwire", "allocation": "direct", "cost": format!("sms-{lead}"), "lead": reference, "message": message,
        }));
    }
    if story.dice.roll(100) < 8 {
        story.after(90);
        story.tell("contact.received", json!({
            "channel": "sms", "seller": seller, "campaign": campaign.name, "message": format!("SM-R{lead}"), "phone": phone,
            "body": "STOP",
        }));
        story.tell("consent.revoked", json!({
            "method": "reply", "keyword": "stop", "category": "all", "phone": phone, "text": "STOP", "campaign": campaign.name,
        }));
        return;
    }
    // High scores sell more often; 62 is the mean.
    if story.dice.roll(100) < campaign.sales_percent * score / 62 {
        sale_story(story, lead, campaign, seller, &reference, &phone);
    }
}

fn sale_story(mut story: Story<'_>, lead: u64, campaign: &Campaign, seller: &str, reference: &str, phone: &str) {
    story.after(240);
    let appointment = format!("AP-{lead}");
    let starts_at = Timestamp::from_micros(story.at + 2 * DAY_MICROS).to_string();
    story.tell("appointment.booked", json!({
        "mode": "phone", "starts_at": starts_at, "duration_minutes": 30, "seller": seller, "campaign": campaign.name,
        "source": campaign.source, "appointment": appointment, "lead": reference, "phone": phone,
    }));
    story.after(2_900);
    if story.dice.roll(100) < 78 {
        story.tell(
            "appointment.shown",
            json!({
                "confirmed_by": "seller", "duration_minutes": 25, "seller": seller, "campaign": campaign.name,
                "source": campaign.source, "appointment": appointment, "lead": reference, "phone": phone,
            }),
        );
    }
    story.after(60);
    let sale = format!("S-{lead}");
    story.tell("revenue.recorded", json!({
        "sale": sale, "kind": "lead_sale", "amount": money(campaign.price_cents), "campaign": campaign.name,
        "channel": campaign.channel, "source": campaign.source, "seller": seller, "vendor": campaign.vendor, "lead": reference,
    }));
    if story.dice.roll(100) < 6 {
        story.after(4_000);
        story.tell("revenue.refunded", json!({
            "sale": sale, "amount": money(campaign.price_cents), "reason": "returned", "full": true,
            "campaign": campaign.name, "channel": campaign.channel, "seller": seller, "refund": format!("RF-{lead}"), "lead": reference,
        }));
    }
}
