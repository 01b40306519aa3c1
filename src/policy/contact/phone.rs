//! Calls and texts in the United States: everything but the hours, which `hours` judges.

use super::codes::Code;
use super::context::Context;
use super::facts::{Channel, ConsentKind, LineType, Number, Purpose, Technology, What};
use super::grants::{EXPRESS, Standing, WRITTEN};
use super::pack::Kind;
use super::registry::Registry;
use super::switches::ConsentStandard;
use crate::domain::time::{MICROS_PER_DAY, MICROS_PER_SECOND};

const MINUTE: i64 = 60 * MICROS_PER_SECOND;

impl Context<'_> {
    /// Judges a call or text for any purpose but an emergency and the confirmation of an opt-out.
    pub fn phone(&mut self) {
        self.express = self.standing(EXPRESS).is_valid();
        if self.is_marketing() { self.marketing() } else { self.informational() }
    }

    fn marketing(&mut self) {
        self.location();
        self.caller();
        let kinds = if self.oral_is_enough() { EXPRESS } else { WRITTEN };
        let reopened = self.reopened_at(kinds);
        self.blocks(reopened);
        self.internal(reopened);
        self.erased(reopened);
        self.caps();
        self.emergency_bans();
        self.registration();
        let consent = self.standing(kinds);
        self.written_consent(&consent, kinds);
        let asked_by_state = self.state_consent(&consent);
        let registry = self.registry_or_consent(&consent, asked_by_state);
        if consent.is_valid() && (self.doubt(&consent).is_none() || !self.codes.is_empty()) {
            self.grant = consent.position();
            let written = consent.found.is_some_and(|(_, grant)| grant.kind == ConsentKind::Pewc);
            self.allow_by(if written { Code::BasisPewc } else { Code::BasisPec });
        }
        if let Registry::Relationship(code) = registry {
            self.allow_by(code);
        }
        self.allow_by(Code::BasisNoConsentRequired);
    }

    /// Asks the registry where consent does not lift it, and relies on the consent where something needs it.
    fn registry_or_consent(&mut self, consent: &Standing<'_>, asked_by_state: bool) -> Registry {
        let needed = asked_by_state || self.federally_automated() && self.has(Kind::WrittenConsent);
        if !consent.is_valid() || needed || self.doubt(consent).is_none() {
            let written = self.standing(WRITTEN);
            let registry = self.registry(&written);
            if consent.is_valid() {
                self.rely(consent);
            }
            return registry;
        }
        // A doubtful consent that nothing needs so far: if the registry has no objection either, it is not relied on.
        let (codes, rows) = (self.codes, self.verdicts.as_ref().map(Vec::len));
        let registry = self.registry(&Standing::none());
        if self.codes == codes {
            return registry;
        }
        self.codes = codes;
        if let (Some(verdicts), Some(rows)) = (&mut self.verdicts, rows) {
            verdicts.truncate(rows);
        }
        self.rely(consent);
        Registry::NotAsked
    }

    fn informational(&mut self) {
        let reopened = self.reopened_at(EXPRESS);
        self.blocks(reopened);
        if self.facts.contact.purpose != Purpose::Transactional {
            self.erased(reopened);
        }
        let consent = self.standing(EXPRESS);
        let holds = consent.is_valid() && self.doubt(&consent).is_none();
        if holds {
            self.rely(&consent);
            self.grant = consent.position();
            self.allow_by(Code::BasisPec);
        } else if self.federally_automated() {
            let landline = self.facts.recipient.line_type == LineType::Landline && !self.is_text();
            if landline {
                self.residential(reopened);
            } else if consent.is_valid() {
                self.rely(&consent);
            } else {
                self.express_consent(&consent);
            }
        }
        self.allow_by(Code::BasisNoConsentRequired);
    }

    // -- the person and the number ----------------------------------------------------------------------------------

    fn location(&mut self) {
        if let Some(rule) = self.rule(Kind::Location) {
            self.judge(rule, self.ground.zones.is_empty(), Code::LocationUnknown);
        }
    }

    fn caller(&mut self) {
        if let Some(rule) = self.rule(Kind::CallerId) {
            self.judge(rule, self.facts.contact.caller_id_missing, Code::CallerIdMissing);
        }
        let Some(campaign) = self.facts.contact.campaign else { return };
        if let Some(rule) = self.rule(Kind::Abandonment) {
            let allowed = u128::from(campaign.answered_live_30d) * u128::from(rule.percent.unwrap_or(0));
            self.judge(rule, u128::from(campaign.abandoned_30d) * 100 > allowed, Code::AbandonRate);
        }
    }

    /// What closes a number whatever consent there is: doubt, a stranger, a litigant.
    fn blocks(&mut self, reopened: i64) {
        let open = |context: &Context<'_>, wanted: fn(&What) -> bool| {
            context.acts().filter(|act| act.number != Number::Other && wanted(&act.what)).any(|act| {
                let at = act.at.micros();
                at >= reopened && !context.undone(at, false)
            })
        };
        if let Some(rule) = self.rule(Kind::ReplyReview) {
            let doubt = open(self, |what| matches!(what, What::Reviewed));
            self.judge(rule, doubt, Code::RevocationReview);
        }
        if let Some(rule) = self.rule(Kind::WrongNumber) {
            let stranger = open(self, |what| matches!(what, What::WrongNumber));
            self.judge(rule, stranger, Code::WrongNumber);
        }
        if let Some(rule) = self.rule(Kind::Litigator) {
            let listed = self.list_answer("litigator").is_some_and(|(_, result, _)| result == "listed");
            self.judge(rule, listed, Code::LitigatorHold);
        }
    }

    /// The company's own do-not-call list: it never lapses.
    fn internal(&mut self, reopened: i64) {
        let first = self.stops().filter(|at| *at >= reopened && !self.undone(*at, true)).min();
        self.stopped_at = first;
        if let Some(rule) = self.rule(Kind::InternalDnc) {
            self.judge(rule, first.is_some(), Code::InternalDnc);
        }
        if let Some(rule) = self.rule(Kind::InternalList) {
            let listed = self.list_answer("internal");
            let listed = listed.is_some_and(|(act, result, _)| result == "listed" && act.at.micros() >= reopened);
            self.judge(rule, listed, Code::InternalDnc);
        }
    }

    /// Suppression outlives an erasure: a list bought later must not bring the person back.
    pub fn erased(&mut self, reopened: i64) {
        let Some(rule) = self.rule(Kind::Erased) else { return };
        let erased =
            self.acts().any(|act| matches!(act.what, What::Erased { token_kept: true }) && act.at.micros() >= reopened);
        self.judge(rule, erased, Code::ErasedSuppressed);
    }

    // -- what states add --------------------------------------------------------------------------------------------

    fn caps(&mut self) {
        for rule in self.state_rules(Kind::FrequencyCap) {
            let contact = &self.facts.contact;
            let counted = self.acts().filter(|act| match &act.what {
                What::Attempted { channel, purpose, seller, topic, .. } => {
                    let same_topic = topic.is_none() || contact.topic.is_none() || *topic == contact.topic;
                    channel.is_phone()
                        && *purpose == Purpose::Marketing
                        && *seller == contact.seller
                        && same_topic
                        && !self.reached(act.at.micros().saturating_add(MICROS_PER_DAY))
                }
                _ => false,
            });
            let full = counted.count() >= rule.max.unwrap_or(0);
            self.judge(rule, full, Code::FreqCap24h);
        }
    }

    fn emergency_bans(&mut self) {
        for rule in self.state_rules(Kind::EmergencyBan) {
            let declared = self.acts().filter(|act| match &act.what {
                What::Emergency { state, from, until } => {
                    let begun = self.reached(from.micros());
                    let ended = self.reached(until.micros());
                    *state == rule.jurisdiction && begun && !ended
                }
                _ => false,
            });
            let banned = declared.count() > 0;
            self.judge(rule, banned, Code::StateEmergency);
        }
    }

    fn registration(&mut self) {
        for rule in self.state_rules(Kind::Registration) {
            let registered = self.acts().any(|act| match &act.what {
                What::Registered { state, from, until, holder } => {
                    *state == rule.jurisdiction
                        && holder.as_ref().is_none_or(|holder| *holder == self.facts.contact.seller)
                        && self.reached(from.micros())
                        && !until.is_some_and(|until| self.reached(until.micros()))
                }
                _ => false,
            });
            match (registered, self.facts.switches.enforce_registration) {
                (true, _) => self.pass(rule),
                (false, true) => self.fail(rule, Code::StateRegistration),
                (false, false) => self.warn(rule, Code::StateRegistration),
            }
        }
    }

    /// Consent that states ask for. True if one did, and there is the consent that federal law would ask for too.
    fn state_consent(&mut self, consent: &Standing<'_>) -> bool {
        let written = self.standing(WRITTEN).is_valid();
        let (mut asked, mut express_asked) = (false, false);
        for rule in self.state_rules(Kind::StateWrittenConsent) {
            if self.automated() || !rule.automated {
                asked = true;
                self.judge(rule, !written, Code::StatePewcRequired);
            }
        }
        for rule in self.state_rules(Kind::StateTextConsent) {
            if self.is_text() {
                express_asked = true;
                self.judge(rule, !self.express, Code::StateTextConsent);
            }
        }
        for rule in self.state_rules(Kind::StateMobileBan) {
            // A line of unknown kind may be a mobile.
            if matches!(self.facts.recipient.line_type, LineType::Mobile | LineType::Unknown) {
                express_asked = true;
                self.judge(rule, !self.express, Code::StateMobileBan);
            }
        }
        if express_asked && self.express && !consent.is_valid() {
            let express = self.standing(EXPRESS);
            self.rely(&express);
        }
        asked || express_asked
    }

    // -- consent ----------------------------------------------------------------------------------------------------

    /// The 5th Circuit's reading: only for numbers wholly inside it, never for recordings or generated voices.
    fn oral_is_enough(&self) -> bool {
        let dialled = match self.facts.contact.technology {
            Technology::Autodialed => true,
            Technology::Automated => self.is_text(),
            Technology::Manual | Technology::Prerecorded | Technology::AiVoice | Technology::Api => false,
        };
        let switched = self.facts.switches.federal_consent_standard == ConsentStandard::Bradford5thCir;
        if !switched || !dialled || self.ground.states.is_empty() {
            return false;
        }
        let circuit = self.state_rules(Kind::OralConsentCircuit);
        self.ground.states.iter().all(|state| circuit.iter().any(|rule| rule.jurisdiction == *state))
    }

    fn written_consent(&mut self, consent: &Standing<'_>, kinds: &[ConsentKind]) {
        let Some(rule) = self.rule(Kind::WrittenConsent).filter(|_| self.federally_automated()) else { return };
        if consent.found.is_none() {
            let code = if kinds.len() > 1 { Code::NoPec } else { Code::NoPewc };
            return self.fail(rule, code);
        }
        consent.codes.iter().for_each(|code| self.codes.insert(code));
        match consent.codes.iter().next() {
            Some(code) => self.fail(rule, code),
            None => self.pass(rule),
        }
    }

    fn express_consent(&mut self, consent: &Standing<'_>) {
        let Some(rule) = self.rule(Kind::ExpressConsent) else { return };
        if consent.found.is_none() {
            return self.fail(rule, Code::NoPec);
        }
        if consent.codes.contains(Code::ConsentRevoked) {
            self.stopped_at = self.stops().filter(|at| !self.undone(*at, true)).min();
        }
        consent.codes.iter().for_each(|code| self.codes.insert(code));
        if let Some(code) = consent.codes.iter().next() {
            self.fail(rule, code);
        }
    }

    /// Recorded calls to a residential line without consent: few, and none after an opt-out, 64.1200(a)(3)(ii)-(iii).
    fn residential(&mut self, reopened: i64) {
        let stopped = self.stops().filter(|at| *at >= reopened && !self.undone(*at, true)).min();
        if let (Some(rule), Some(at)) = (self.rule(Kind::Revocation), stopped) {
            self.stopped_at = Some(at);
            return self.fail(rule, Code::ConsentRevoked);
        }
        let Some(rule) = self.rule(Kind::ResidentialExemption) else {
            return self.express_consent(&Standing::none());
        };
        let span = rule.days.unwrap_or(0) * MICROS_PER_DAY;
        let counted = self.acts().filter(|act| match &act.what {
            What::Attempted { channel: Channel::Voice, technology, purpose, .. } => {
                *technology != Technology::Manual
                    && matches!(purpose, Purpose::Informational | Purpose::Transactional)
                    && !self.reached(act.at.micros().saturating_add(span))
            }
            _ => false,
        });
        let full = counted.count() >= rule.max.unwrap_or(0);
        self.judge(rule, full, Code::ResExemptLimit);
        self.allow_by(Code::BasisResExempt);
    }

    // -- what skips every other rule --------------------------------------------------------------------------------

    /// One text that confirms an opt-out, within minutes, 64.1200(a)(12).
    pub fn confirmation(&mut self) {
        let Some(rule) = self.rule(Kind::Confirmation) else {
            self.codes.insert(Code::ConfirmationLimit);
            return;
        };
        let stops = self.acts().filter(|act| matches!(act.what, What::Stopped { phone: true, .. }));
        let latest = stops.map(|act| act.at.micros()).max();
        let sent = |since: i64| {
            let confirmations = self.acts().filter(|act| {
                matches!(act.what, What::Attempted { purpose: Purpose::OptOutConfirmation, .. })
                    && act.at.micros() >= since
            });
            confirmations.count()
        };
        let allowed = latest.is_some_and(|at| {
            let span = rule.minutes.unwrap_or(0) * MINUTE;
            self.is_text()
                && !self.reached(at.saturating_add(span).saturating_add(1))
                && sent(at) < rule.max.unwrap_or(0)
        });
        self.judge(rule, !allowed, Code::ConfirmationLimit);
        self.allow_by(Code::BasisOptOutConfirmation);
    }
}
