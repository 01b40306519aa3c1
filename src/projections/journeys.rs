//! Projection `journeys`: what attribution needs of each person: touches that name a marketing channel, what they led to,
//! money that they earned and money that went back.
//!
//! A touch is an event that says which channel counts it: a contact attempted (its `attribution_channel`, else its `channel`), a
//! lead received or imported through a `channel`, a touch recorded as such. Opens are never touches: machines open mail. What a person did about a
//! touch (a reply, a click by hand, an answered call) engages it; milestones mark the touch that they follow.

use std::borrow::Cow;

use serde::Deserialize;

use super::Projection;
use super::fact::{Fact, FoldError, record};
use super::money_data::Amount;
use crate::store::views::marks::{self, IMPORTED, LEAD_CREATED, OPPORTUNITY_CREATED};
use crate::store::views::{JourneyRow, JourneyStep, NO_CURRENCY, ViewsBatch};

/// A batch of `journeys`.
#[derive(Debug, Default)]
pub struct Journeys {
    rows: Vec<JourneyRow>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Data<'a> {
    #[serde(borrow)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    amount: Option<Amount<'a>>,
    #[serde(borrow)]
    channel: Option<Cow<'a, str>>,
    #[serde(borrow)]
    attribution_channel: Option<Cow<'a, str>>,
    #[serde(borrow)]
    milestone: Option<Cow<'a, str>>,
    #[serde(borrow)]
    campaign: Option<Cow<'a, str>>,
    #[serde(borrow)]
    seller: Option<Cow<'a, str>>,
    #[serde(borrow)]
    status: Option<Cow<'a, str>>,
    #[serde(borrow)]
    answered_by: Option<Cow<'a, str>>,
    #[serde(borrow)]
    accrued: Option<Amount<'a>>,
    #[serde(borrow)]
    record: Option<Cow<'a, str>>,
    accepted: bool,
    machine: bool,
    automatic: bool,
    position: Option<i64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Refs<'a> {
    #[serde(borrow)]
    sale: Option<Cow<'a, str>>,
    #[serde(borrow)]
    call: Option<Cow<'a, str>>,
    #[serde(borrow)]
    message: Option<Cow<'a, str>>,
    #[serde(borrow)]
    in_reply_to: Option<Cow<'a, str>>,
}

/// What an event is to a journey.
struct Role<'a> {
    step: JourneyStep,
    channel: &'a str,
    mark: &'a str,
    micros: i64,
    currency: [u8; 3],
    record: Option<&'a str>,
}

impl<'a> Role<'a> {
    fn plain(step: JourneyStep, channel: Option<&'a str>, mark: &'a str, record: Option<&'a str>) -> Role<'a> {
        Role { step, channel: channel.unwrap_or_default(), mark, micros: 0, currency: NO_CURRENCY, record }
    }

    fn money(step: JourneyStep, data: &Data<'_>, sign: i64, record: Option<&'a str>) -> Result<Role<'a>, FoldError> {
        let (micros, currency) = data.amount.as_ref().ok_or(FoldError("amount_missing"))?.parse()?;
        Ok(Role { step, channel: "", mark: "", micros: sign * micros, currency, record })
    }
}

impl Projection for Journeys {
    const NAME: &'static str = "journeys";
    const VERSION: i64 = 3;

    fn reads(event_type: &str) -> bool {
        matches!(
            event_type,
            "appointment.booked"
                | "appointment.no_show"
                | "appointment.shown"
                | "billing.return_judged"
                | "contact.attempted"
                | "contact.clicked"
                | "contact.connected"
                | "contact.message_delivered"
                | "contact.opened"
                | "contact.received"
                | "decision.price_recorded"
                | "event.annulled"
                | "lead.accepted"
                | "lead.imported"
                | "lead.qualified"
                | "lead.received"
                | "revenue.adjusted"
                | "revenue.chargeback_recorded"
                | "revenue.recorded"
                | "revenue.refunded"
                | "touch.recorded"
        )
    }

    fn fold(&mut self, fact: &Fact<'_>) -> Result<(), FoldError> {
        let corrects = fact.entry.corrects.map(i64::try_from).transpose().map_err(|_| FoldError("entry_unreadable"))?;
        let subject = fact.entry.subject.map_or([0; 16], |link| *link.subject.as_bytes());
        let undo = |target: i64| JourneyRow {
            subject,
            position: fact.position,
            step: JourneyStep::Undo,
            occurred: fact.recorded(),
            recorded: fact.recorded(),
            micros: 0,
            target,
            channel: String::new(),
            mark: String::new(),
            campaign: String::new(),
            seller: String::new(),
            currency: NO_CURRENCY,
            record: [0; 16],
        };
        if corrects.is_some_and(|target| !(0..fact.position).contains(&target)) {
            return Err(FoldError("target_not_before"));
        }
        let read = if Journeys::reads(fact.entry.event_type) { fact.business()? } else { None };
        let Some(business) = read else {
            self.rows.extend(corrects.map(undo));
            return Ok(());
        };
        let data: Data<'_> = business.data()?;
        let refs: Refs<'_> = business.refs()?.unwrap_or_default();
        if fact.entry.event_type == "event.annulled" {
            let target = data.position.ok_or(FoldError("target_missing"))?;
            if !(0..fact.position).contains(&target) {
                return Err(FoldError("target_not_before"));
            }
            self.rows.push(undo(target));
            return Ok(());
        }
        let Some(role) = role(fact.entry.event_type, &data, &refs)? else {
            self.rows.extend(corrects.map(undo));
            return Ok(());
        };
        let occurred = business.occurred(fact)?;
        let owned = |text: &Option<Cow<'_, str>>| text.as_deref().unwrap_or_default().to_owned();
        self.rows.push(JourneyRow {
            step: role.step,
            occurred,
            micros: role.micros,
            // A row may undo another one and count itself.
            target: corrects.unwrap_or(-1),
            channel: role.channel.to_owned(),
            mark: role.mark.to_owned(),
            campaign: owned(&data.campaign),
            seller: owned(&data.seller),
            currency: role.currency,
            record: role.record.map(record).transpose()?.unwrap_or_default(),
            ..undo(-1)
        });
        Ok(())
    }

    fn finish(self, batch: &mut ViewsBatch) {
        batch.journeys = self.rows;
    }
}

fn role<'a>(event_type: &str, data: &'a Data<'_>, refs: &'a Refs<'_>) -> Result<Option<Role<'a>>, FoldError> {
    let sale = refs.sale.as_deref().or(data.record.as_deref());
    let contact = refs.call.as_deref().or(refs.message.as_deref());
    let engaged = |mark, record| Some(Role::plain(JourneyStep::Engagement, None, mark, record));
    let milestone = |mark| Some(Role::plain(JourneyStep::Milestone, None, mark, None));
    let channel = data.channel.as_deref();
    let stage = |mark, record| Some(Role::plain(JourneyStep::Stage, channel, mark, record));
    Ok(match event_type {
        "contact.attempted" => {
            let named = data.attribution_channel.as_deref().or(channel);
            named.map(|channel| Role::plain(JourneyStep::Touch, Some(channel), marks::ATTEMPT, contact))
        }
        "touch.recorded" => {
            let mark = data.milestone.as_deref().unwrap_or_default();
            let mut role = Role::plain(JourneyStep::Touch, channel, mark, None);
            if data.kind.as_deref() == Some("engaged") {
                role.step = JourneyStep::EngagedTouch;
            }
            Some(role)
        }
        // A lead came through a channel by the person's own act; one without a channel says what an earlier touch led to.
        "lead.received" if channel.is_some() => {
            Some(Role::plain(JourneyStep::EngagedTouch, channel, LEAD_CREATED, None))
        }
        "lead.received" => milestone(LEAD_CREATED),
        "lead.imported" if channel.is_some() => Some(Role::plain(JourneyStep::Touch, channel, IMPORTED, None)),
        "lead.imported" => stage(IMPORTED, None),
        "lead.qualified" => milestone(OPPORTUNITY_CREATED),
        "appointment.booked" => {
            Some(Role::plain(JourneyStep::Milestone, Some(marks::BOOKED), OPPORTUNITY_CREATED, None))
        }
        "appointment.shown" => stage(marks::SHOWN, None),
        "appointment.no_show" => stage(marks::NO_SHOW, None),
        "lead.accepted" => stage(marks::ACCEPTED, None),
        "contact.message_delivered" => stage(marks::DELIVERED, contact),
        "contact.opened" if data.machine => stage(marks::OPENED_BY_MACHINE, contact),
        "contact.opened" => stage(marks::OPENED, contact),
        "contact.received" if !data.automatic => engaged(marks::REPLY, refs.in_reply_to.as_deref().or(contact)),
        "contact.clicked" if !data.machine => engaged(marks::CLICK, contact),
        "contact.connected" if data.answered_by.as_deref() != Some("machine") => engaged(marks::ANSWERED, contact),
        "revenue.recorded" => Some(Role::money(JourneyStep::Conversion, data, 1, sale)?),
        "revenue.refunded" => Some(Role::money(JourneyStep::Reversal, data, -1, sale)?),
        "revenue.chargeback_recorded" if !matches!(data.status.as_deref(), Some("opened" | "won")) => {
            Some(Role::money(JourneyStep::Reversal, data, -1, sale)?)
        }
        "revenue.adjusted" => Some(Role::money(JourneyStep::Reversal, data, 1, sale)?),
        "billing.return_judged" if data.accepted => Some(Role::money(JourneyStep::Reversal, data, -1, sale)?),
        "decision.price_recorded" if data.amount.is_some() => Some(priced(data, sale)?),
        _ => None,
    })
}

/// A price is money earned; where posted revenue had booked some of it, the rest adds to that sale.
fn priced<'a>(data: &'a Data<'_>, sale: Option<&'a str>) -> Result<Role<'a>, FoldError> {
    let Some(accrued) = &data.accrued else { return Role::money(JourneyStep::Conversion, data, 1, sale) };
    let mut role = Role::money(JourneyStep::Reversal, data, 1, sale)?;
    role.micros = role.micros.checked_sub(accrued.parse()?.0).ok_or(FoldError("amount_unreadable"))?;
    Ok(role)
}
