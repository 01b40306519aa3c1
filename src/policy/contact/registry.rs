//! Do-not-call: the national registry and state lists, business relationships, numbers that changed hands (items 10-12).

use super::calendar::months_later;
use super::codes::Code;
use super::context::Context;
use super::facts::{Act, Category, ConsentKind, LineType, SubPurpose, What};
use super::grants::Standing;
use super::pack::Kind;
use crate::domain::time::MICROS_PER_DAY;

/// What the registry said, where it had a say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Registry {
    /// It does not bind here, or consent lifts it.
    NotAsked,
    /// Not listed, or not known.
    NotListed,
    /// Listed, and lifted by a relationship.
    Relationship(Code),
    /// Listed.
    Listed,
}

impl Context<'_> {
    /// A call or text to this line is a solicitation of a residential subscriber, as the switches read it.
    pub fn is_residential_solicitation(&self) -> bool {
        let (switches, contact) = (&self.facts.switches, &self.facts.contact);
        let residential = switches.mobile_is_residential || self.facts.recipient.line_type != LineType::Mobile;
        let offer = contact.sub_purpose == Some(SubPurpose::OfferToPurchaseProperty);
        residential && (switches.offer_to_buy_is_solicitation || !offer)
    }

    /// Asks the registry and the lists of the states.
    pub fn registry(&mut self, written: &Standing<'_>) -> Registry {
        let permission = self.standing(&[ConsentKind::DncPermission]);
        let permitted = written.is_valid()
            || permission.found.is_some() && {
                // Written permission names the seller and the number; how the call is dialled is another rule's matter.
                let mut left = permission.codes.iter().filter(|code| *code != Code::ConsentScopeTechnology);
                left.next().is_none()
            };
        if permitted {
            return Registry::NotAsked;
        }
        let related = self.relationship();
        let national = self.national(related);
        let states = self.state_lists(related);
        match (national, states) {
            (Registry::Listed, _) | (_, Registry::Listed) => Registry::Listed,
            (Registry::Relationship(code), _) | (_, Registry::Relationship(code)) => Registry::Relationship(code),
            (other, _) => other,
        }
    }

    fn national(&mut self, related: Option<Code>) -> Registry {
        let binds =
            self.is_residential_solicitation() && (self.facts.switches.texts_are_calls_for_dnc || !self.is_text());
        let Some(rule) = self.rule(Kind::NationalRegistry).filter(|_| binds) else { return Registry::NotAsked };
        let answer = self.list_answer("ndnc");
        if let Some(age) = self.rule(Kind::RegistryAge) {
            let days = age.days.unwrap_or(0) * MICROS_PER_DAY;
            let stale = answer.is_none_or(|(_, _, at)| self.reached(at.saturating_add(days).saturating_add(1)));
            self.judge(age, stale, Code::DncScrubStale);
            if stale {
                return Registry::NotListed;
            }
        }
        match (answer, related) {
            (Some((_, "listed", _)), Some(code)) => {
                self.pass(rule);
                Registry::Relationship(code)
            }
            (Some((_, "listed", _)), None) => {
                self.fail(rule, Code::NationalDnc);
                Registry::Listed
            }
            _ => {
                self.pass(rule);
                Registry::NotListed
            }
        }
    }

    fn state_lists(&mut self, related: Option<Code>) -> Registry {
        let Some(rule) = self.rule(Kind::StateRegistry) else { return Registry::NotAsked };
        let ground = self.ground;
        let listed = ground
            .states
            .iter()
            .any(|state| self.list_answer(&format!("state:{state}")).is_some_and(|(_, result, _)| result == "listed"));
        match (listed, related) {
            (false, _) => Registry::NotListed,
            (true, Some(code)) => Registry::Relationship(code),
            (true, None) => {
                self.fail(rule, Code::NationalDnc);
                Registry::Listed
            }
        }
    }

    /// A live business relationship with the seller: months by the calendar, the anniversary included, ended by a request.
    fn relationship(&self) -> Option<Code> {
        let seller = &self.facts.contact.seller;
        let lives = |kind: Kind, mine: fn(&Act, &str) -> bool| {
            self.rule(kind).is_some_and(|rule| {
                let months = rule.months.unwrap_or(0);
                self.acts().filter(|act| mine(act, seller)).any(|act| {
                    let at = act.at.micros();
                    let last = months_later(self.latest_day(at), months);
                    !self.latest_day_reached(last + 1) && !self.ended_by_request(at)
                })
            })
        };
        let bought =
            |act: &Act, seller: &str| matches!(&act.what, What::Transacted { seller: its, .. } if its == seller);
        let asked = |act: &Act, seller: &str| matches!(&act.what, What::Inquired { seller: its } if its == seller);
        if lives(Kind::EbrTransaction, bought) {
            return Some(Code::BasisEbrTransaction);
        }
        lives(Kind::EbrInquiry, asked).then_some(Code::BasisEbrInquiry)
    }

    /// A request to this seller, or to none in particular, at or after an instant.
    fn ended_by_request(&self, at: i64) -> bool {
        self.acts().filter(|act| act.at.micros() >= at).any(|act| match &act.what {
            What::Stopped { seller, category, phone, .. } => {
                *phone
                    && *category != Some(Category::Informational)
                    && seller.as_ref().is_none_or(|seller| *seller == self.facts.contact.seller)
            }
            What::Objected => true,
            _ => false,
        })
    }

    /// What speaks against relying on a consent to this number: it may be somebody else's by now, 64.1200(m).
    pub fn doubt(&self, consent: &Standing<'_>) -> Option<Code> {
        let since = consent.at();
        if self.has(Kind::NumberReassigned)
            && self.acts().any(|act| self.rnd_says(act, "yes") && act.at.micros() >= since)
        {
            return Some(Code::RndReassigned);
        }
        let rule = self.rule(Kind::NumberUnverified)?;
        let old = self.reached(since.saturating_add(rule.days.unwrap_or(0) * MICROS_PER_DAY));
        let span = rule.check_days.unwrap_or(0) * MICROS_PER_DAY;
        let checked = self
            .acts()
            .filter(|act| self.rnd_says(act, "no"))
            .any(|act| !self.reached(act.at.micros().saturating_add(span).saturating_add(1)));
        (old && !checked).then_some(Code::RndUnverified)
    }

    /// Relies on a consent: then what speaks against it refuses. Consent that nothing needs is not relied on, or else
    /// taking it back would allow what it forbade.
    pub fn rely(&mut self, consent: &Standing<'_>) {
        let doubt = self.doubt(consent);
        for (kind, code) in
            [(Kind::NumberReassigned, Code::RndReassigned), (Kind::NumberUnverified, Code::RndUnverified)]
        {
            if let Some(rule) = self.rule(kind) {
                self.judge(rule, doubt == Some(code), code);
            }
        }
    }

    fn rnd_says(&self, act: &Act, answer: &str) -> bool {
        act.number != super::facts::Number::Other
            && matches!(&act.what, What::ListChecked { list, result, .. } if list == "rnd" && result == answer)
    }
}
