//! Projection `trails`: what a contact of a person leans on: contacts with the decision that each names, decisions with what they rested on,
//! consents, and stops. One row an act.
//!
//! The rows say what happened; whether a trail is whole at an instant is worked out when it is read (`views::compliant`). What annuls or
//! corrects an act stands in the rows of `journeys`, which take it from every event.

use std::borrow::Cow;

use serde::Deserialize;

use super::Projection;
use super::consent::stop_of;
use super::fact::{Fact, FoldError, bits, time};
use crate::store::views::{CHANNELS, TrailAct, TrailRow, ViewsBatch};

/// Bits of a decision about something else than a contact, and of a contact without a channel.
const NO_CHANNEL: i64 = 0;

/// A batch of `trails`.
#[derive(Debug, Default)]
pub struct Trails {
    rows: Vec<TrailRow>,
}

/// Business fields of a contact or decision.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Data<'a> {
    #[serde(borrow)]
    channel: Option<Cow<'a, str>>,
    #[serde(borrow)]
    purpose: Option<Cow<'a, str>>,
    #[serde(borrow)]
    seller: Option<Cow<'a, str>>,
    #[serde(borrow)]
    decision: Option<Cow<'a, str>>,
    #[serde(borrow)]
    now: Option<Cow<'a, str>>,
    #[serde(borrow)]
    expires_at: Option<Cow<'a, str>>,
    allow: bool,
    grant_position: Option<i64>,
}

impl Data<'_> {
    fn channel(&self) -> i64 {
        self.channel.as_deref().map_or(NO_CHANNEL, |channel| bits(&[channel], &CHANNELS, "").unwrap_or(NO_CHANNEL))
    }
}

/// Bytes of the id of a decision; ones, which no id is, of a text that is none.
fn id(text: &str) -> [u8; 16] {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').map(|byte| byte.to_ascii_lowercase()).collect();
    super::fact::record(std::str::from_utf8(&digits).unwrap_or_default()).unwrap_or([0xff; 16])
}

impl Projection for Trails {
    const NAME: &'static str = "trails";
    const VERSION: i64 = 1;

    fn reads(event_type: &str) -> bool {
        matches!(
            event_type,
            "consent.carried"
                | "consent.granted"
                | "consent.revoked"
                | "contact.attempted"
                | "contact.received"
                | "decision.contact_recorded"
                | "subject.carried"
                | "suppression.dnc_requested"
                | "suppression.email_opted_out"
        )
    }

    fn fold(&mut self, fact: &Fact<'_>) -> Result<(), FoldError> {
        let (Some(link), Some(business)) = (fact.entry.subject, fact.business()?) else { return Ok(()) };
        let recorded = fact.recorded();
        // A clock ahead of ours does not make an act later than its record.
        let occurred = business.occurred(fact)?.min(recorded);
        let row = |act| TrailRow {
            subject: *link.subject.as_bytes(),
            position: fact.position,
            act,
            occurred,
            recorded,
            until: i64::MAX,
            channels: NO_CHANNEL,
            grant: -1,
            purpose: String::new(),
            seller: String::new(),
            decision: [0; 16],
        };
        match fact.entry.event_type {
            "consent.carried" | "consent.granted" => self.rows.push(row(TrailAct::Consent)),
            "contact.attempted" => {
                let data: Data<'_> = business.data()?;
                self.rows.push(TrailRow {
                    channels: data.channel(),
                    purpose: data.purpose.as_deref().unwrap_or_default().to_owned(),
                    seller: data.seller.as_deref().unwrap_or_default().to_owned(),
                    decision: data.decision.as_deref().map(id).unwrap_or_default(),
                    ..row(TrailAct::Contact)
                });
            }
            "decision.contact_recorded" => {
                let data: Data<'_> = business.data()?;
                let from = data.now.as_deref().map(time).transpose()?;
                self.rows.push(TrailRow {
                    occurred: from.unwrap_or(occurred),
                    // Without an end it may not be used at all.
                    until: data.expires_at.as_deref().map(time).transpose()?.unwrap_or(i64::MIN),
                    channels: data.channel(),
                    grant: data.grant_position.unwrap_or(-1),
                    purpose: data.purpose.as_deref().unwrap_or_default().to_owned(),
                    seller: data.seller.as_deref().unwrap_or_default().to_owned(),
                    decision: data.decision.as_deref().map(id).unwrap_or([0xff; 16]),
                    ..row(if data.allow { TrailAct::Allowed } else { TrailAct::Refused })
                });
            }
            _ => {
                if let Some((channels, seller)) = stop_of(fact.entry.event_type, &business)? {
                    self.rows.push(TrailRow { channels, seller, ..row(TrailAct::Stop) });
                }
            }
        }
        Ok(())
    }

    fn finish(self, batch: &mut ViewsBatch) {
        batch.trails = self.rows;
    }
}
