//! Mail in the United States: nobody has to ask first, everybody has to stop (CAN-SPAM; compliance rules, section 1.8).

use super::codes::Code;
use super::context::Context;
use super::facts::{Purpose, What};
use super::grants::MAIL;
use super::pack::Kind;

impl Context<'_> {
    /// Rules of commercial mail, whatever the country.
    pub fn commercial_mail(&mut self) {
        let mail = self.facts.contact.mail.unwrap_or_default();
        if let Some(rule) = self.rule(Kind::MailFooter) {
            self.judge(rule, !(mail.physical_address && mail.opt_out_mechanism), Code::EmailFooterMissing);
        }
        let consent = self.standing(MAIL);
        if let Some(rule) = self.rule(Kind::WirelessDomain) {
            let forbidden = self.facts.recipient.wireless_domain && !consent.is_valid();
            self.judge(rule, forbidden, Code::EmailWirelessDomain);
        }
        let reopened = if self.has(Kind::MailOptIn) { self.reopened_at(MAIL) } else { i64::MIN };
        if let Some(rule) = self.rule(Kind::MailOptOut) {
            let unsubscribed = self.acts().filter(|act| match &act.what {
                What::EmailOptedOut { sender } => {
                    sender.as_ref().is_none_or(|sender| *sender == self.facts.contact.seller)
                }
                _ => false,
            });
            // Abroad a withdrawal or an objection has a rule of its own.
            let stops = self.stops().filter(|_| super::answer::is_domestic(self.facts));
            let opted_out = unsubscribed.map(|act| act.at.micros()).chain(stops);
            let first = opted_out.filter(|at| *at >= reopened && !self.undone(*at, false)).min();
            self.stopped_at = first;
            self.judge(rule, first.is_some(), Code::EmailOptedOut);
        }
        self.erased(reopened);
    }

    /// Judges a mail to the United States.
    pub fn mail(&mut self) {
        let commercial = matches!(self.facts.contact.purpose, Purpose::Marketing);
        if !commercial && let Some(rule) = self.rule(Kind::Transactional) {
            self.pass(rule);
            return self.allow_by(Code::BasisTransactional);
        }
        self.commercial_mail();
        self.allow_by(Code::BasisCanSpam);
    }
}
