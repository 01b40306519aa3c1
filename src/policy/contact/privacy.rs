//! Passing on a lead (CCPA/CPRA, Delete Act), and contact outside the United States (GDPR, ePrivacy).

use super::codes::Code;
use super::context::Context;
use super::facts::{ConsentKind, Purpose, What};
use super::grants::MAIL;
use super::pack::Kind;

/// Statuses of the deletion platform: 5 is "not found".
const NOT_FOUND: u8 = 5;

impl Context<'_> {
    /// Judges the transfer of a lead for value. A marketing opt-out does not bind here, and this does not bind marketing.
    pub fn data_transfer(&mut self) {
        let opted_in = self.acts().filter(|act| act.what == What::CcpaOptedIn).map(|act| act.at.micros()).max();
        let opted_in = opted_in.filter(|_| self.has(Kind::SaleOptIn)).unwrap_or(i64::MIN);
        for (kind, by_signal, code) in
            [(Kind::SaleOptOut, false, Code::CcpaOptOut), (Kind::SaleSignal, true, Code::CcpaOptOutGpc)]
        {
            let out = self.acts().any(|act| {
                matches!(act.what, What::CcpaOptedOut { gpc } if gpc == by_signal) && act.at.micros() >= opted_in
            });
            if let Some(rule) = self.rule(kind) {
                self.judge(rule, out, code);
            }
        }
        if let Some(rule) = self.rule(Kind::DeletionPlatform) {
            let released = self.acts().filter(|act| act.what == What::DropReleased).map(|act| act.at.micros()).max();
            let matched = self.acts().any(|act| {
                matches!(act.what, What::DropMatched { status } if status != Some(NOT_FOUND))
                    && released.is_none_or(|released| act.at.micros() >= released)
            });
            self.judge(rule, matched, Code::DataBrokerDrop);
        }
        let reopened = self.reopened_at(MAIL);
        self.erased(reopened);
        self.allow_by(Code::BasisNotOptedOut);
    }

    /// Judges any contact outside the United States: the first of objection, withdrawal, consent, existing customer, nothing.
    pub fn gdpr(&mut self) {
        if self.facts.contact.purpose == Purpose::Transactional
            && let Some(rule) = self.rule(Kind::Transactional)
        {
            self.pass(rule);
            return self.allow_by(Code::BasisTransactional);
        }
        let consents: Vec<ConsentKind> = match self.has(Kind::GdprConsent) {
            true => vec![ConsentKind::GdprConsent, ConsentKind::EmailOptIn, ConsentKind::Pewc],
            false => Vec::new(),
        };
        let reopened = self.reopened_at(&consents);
        if let Some(rule) = self.rule(Kind::GdprObjection) {
            let objected = self.acts().any(|act| {
                act.what == What::Objected && act.at.micros() >= reopened && !self.undone(act.at.micros(), false)
            });
            if objected {
                return self.fail(rule, Code::GdprObjection);
            }
        }
        let consent = self.standing(&consents);
        if let Some(rule) = self.rule(Kind::GdprWithdrawal)
            && consent.found.is_some()
            && consent.codes.contains(Code::ConsentRevoked)
        {
            self.stopped_at = self.stops().min();
            return self.fail(rule, Code::GdprConsentWithdrawn);
        }
        if consent.is_valid() {
            self.grant = consent.position();
            return self.allow_by(Code::BasisGdprConsent);
        }
        if let Some(rule) = self.rule(Kind::SoftOptIn).filter(|_| self.is_customer()) {
            self.pass(rule);
            return self.allow_by(Code::BasisSoftOptIn);
        }
        match self.rule(Kind::GdprNoBasis) {
            Some(rule) => self.fail(rule, Code::GdprNoBasis),
            None => self.allow_by(Code::BasisNoConsentRequired),
        }
    }

    /// A customer of this seller for similar products, who could opt out then and can now, ePrivacy Art. 13(2). Mail only;
    /// ended by a later stop.
    fn is_customer(&self) -> bool {
        let contact = &self.facts.contact;
        let offered = contact.mail.is_some_and(|mail| mail.opt_out_mechanism);
        let marketing = contact.purpose == Purpose::Marketing && contact.channel == super::facts::Channel::Email;
        marketing
            && offered
            && self.acts().any(|act| match &act.what {
                What::Transacted { seller, similar_products: true, opt_out_offered: true } => {
                    let at = act.at.micros();
                    *seller == contact.seller && !self.stops().any(|stop| stop >= at && !self.undone(stop, false))
                }
                _ => false,
            })
    }
}
