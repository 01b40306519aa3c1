//! Whether a key's own clock is over: business keys and most classes run from the end of the quarter, the others from the
//! person's last use of a consent, last activity, or the end of a matter.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;

use super::RetainError;
use super::due::Fate;
use crate::chain::decode::EntryRef;
use crate::domain::hold::is_held;
use crate::domain::ids::SubjectId;
use crate::domain::parts::{PartKind, RetentionClass};
use crate::domain::time::Timestamp;
use crate::ingest::Ledger;
use crate::ingest::read::ReadError;
use crate::policy::retention::{ClassClock, Retention};
use crate::store::{DekSlot, NO_OWNER};
use crate::views::matters::Matters;

/// What a person's history says about their clocks.
#[derive(Debug, Clone, Copy)]
struct Life {
    /// Last entry that is not the service's own bookkeeping.
    last_activity: Option<Timestamp>,
    /// End of the last consent: its revocation, its expiry, or the last contact after it.
    consent_ended: Option<Timestamp>,
    /// A consent may still be in force.
    consent_live: bool,
    /// Last entry about a request or hold.
    last_matter: Option<Timestamp>,
}

/// Answers for one run at one instant.
pub(super) struct Clocks<'a> {
    ledger: &'a Arc<Ledger>,
    now: Timestamp,
    matters: Matters,
    lives: HashMap<SubjectId, Life>,
}

#[derive(Deserialize)]
struct Part {
    data: Data,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Data {
    valid_until: Option<Timestamp>,
    seller: Option<String>,
    channels: Vec<String>,
    category: Option<String>,
}

impl Data {
    /// Whether a revocation takes everything back.
    fn takes_all(&self) -> bool {
        self.seller.is_none() && self.channels.is_empty() && self.category.as_deref().is_none_or(|of| of == "all")
    }
}

/// Business data of an entry; nothing where it is gone.
async fn data(ledger: &Ledger, position: u64) -> Result<Option<Data>, RetainError> {
    let opened = ledger.open_entry(position).await?;
    let business = opened.plaintext(PartKind::Business);
    Ok(business.and_then(|bytes| serde_json::from_slice::<Part>(bytes).ok()).map(|part| part.data))
}

/// Persons whose histories are remembered within a run.
const LIVES_MAX: usize = 20_000;

impl<'a> Clocks<'a> {
    pub(super) async fn new(ledger: &'a Arc<Ledger>, now: Timestamp) -> Result<Clocks<'a>, RetainError> {
        let mut matters = Matters::default();
        matters.catch_up(ledger).await?;
        Ok(Clocks { ledger, now, matters, lives: HashMap::new() })
    }

    /// Whether any hold in force covers a class: a business key is everybody's. A hold must stay readable while it holds,
    /// so each of them covers the class of its own entry.
    pub(super) fn anybody_holds(&self, class: RetentionClass) -> bool {
        let mut holds = self.matters.holds().filter(|(_, hold)| hold.in_force(self.now));
        holds.any(|(_, hold)| class == RetentionClass::Privacy || hold.covers(class))
    }

    /// What becomes of a key whose class's days since the end of its quarter are over.
    pub(super) async fn fate(&mut self, slot: &DekSlot) -> Result<Fate, RetainError> {
        let Some(class) = RetentionClass::from_code(slot.class) else { return Ok(Fate::Waits) };
        if slot.owner == NO_OWNER {
            // Balances are re-recorded by nobody yet: without that, ending the key would change sums.
            let carried = class != RetentionClass::Billing;
            return Ok(match (self.anybody_holds(class), carried) {
                (true, _) => Fate::Held,
                (false, true) => Fate::Ends,
                (false, false) => Fate::Waits,
            });
        }
        if class == RetentionClass::Quarantine {
            return Ok(Fate::Ends);
        }
        let subject = SubjectId::from_bytes(slot.owner);
        if is_held(&self.matters.holds_of(&subject), class, self.now) {
            return Ok(Fate::Held);
        }
        let rule = Retention::builtin()?.rule(class);
        let Some((clock, days)) = rule.and_then(|rule| rule.clock.zip(rule.days)) else { return Ok(Fate::Waits) };
        if matches!(clock, ClassClock::QuarterEnd | ClassClock::Received) {
            return Ok(Fate::Ends);
        }
        let life = self.life(subject).await?;
        let open = self.matters.requests().into_iter().any(|request| request.subject == subject && request.is_open());
        let from = match clock {
            ClassClock::LastUse if life.consent_live => return Ok(Fate::Waits),
            ClassClock::LastUse => life.consent_ended,
            ClassClock::LastActivity => life.last_activity,
            ClassClock::Closed if open => return Ok(Fate::Waits),
            ClassClock::Closed => life.last_matter,
            ClassClock::QuarterEnd | ClassClock::Received => None,
        };
        // Without anything to run from, the quarter's end was the start.
        let over = from.is_none_or(|from| from.checked_add_days(i64::from(days)).is_some_and(|end| self.now >= end));
        Ok(if over { Fate::Ends } else { Fate::Waits })
    }

    async fn life(&mut self, subject: SubjectId) -> Result<Life, RetainError> {
        if let Some(known) = self.lives.get(&subject) {
            return Ok(*known);
        }
        if self.lives.len() >= LIVES_MAX {
            self.lives.clear();
        }
        let life = life(self.ledger, subject, self.now).await?;
        self.lives.insert(subject, life);
        Ok(life)
    }
}

async fn life(ledger: &Ledger, subject: SubjectId, now: Timestamp) -> Result<Life, RetainError> {
    let mut life = Life { last_activity: None, consent_ended: None, consent_live: false, last_matter: None };
    let store = ledger.store();
    let (mut revoked, mut contact) = (false, None);
    let mut next = ledger.subject_head(&subject)?.map(|head| head.position);
    // From the last entry to the first: what is seen first is later.
    while let Some(position) = next {
        let bytes = store.entry_at(position).await?.ok_or(ReadError::Absent(position))?;
        let entry = EntryRef::decode(&bytes).map_err(|source| ReadError::Entry { position, source })?;
        let (kind, at) = (entry.event_type, entry.recorded);
        match kind {
            "consent.revoked" => {
                // One of a narrower scope leaves the rest alive.
                revoked |= data(ledger, position).await?.is_none_or(|data| data.takes_all());
                life.consent_ended = life.consent_ended.or(Some(at));
            }
            "consent.granted" | "consent.carried" => {
                let until = data(ledger, position).await?.and_then(|data| data.valid_until);
                let expired = until.is_some_and(|until| until <= now);
                life.consent_live |= !revoked && !expired;
                life.consent_ended = life.consent_ended.max(until.filter(|_| expired));
            }
            _ if kind.starts_with("contact.") => contact = contact.or(Some(at)),
            _ if kind.starts_with("privacy.") || kind.starts_with("hold.") || kind.starts_with("subject.eras") => {
                life.last_matter = life.last_matter.or(Some(at));
            }
            _ => {}
        }
        if !kind.starts_with("subject.") && kind != "export.created" {
            life.last_activity = life.last_activity.or(Some(at));
        }
        next = entry.subject.filter(|link| link.subject == subject).and_then(|link| link.previous);
    }
    life.consent_ended = life.consent_ended.max(contact);
    Ok(life)
}
