//! Consent: which one covers the question, and what it lacks (compliance rules, items 9 and 14).

use super::codes::{Code, Codes};
use super::context::Context;
use super::facts::{Act, ConsentKind, Grant, Number, Purpose, Technology, What};
use super::pack::Kind;

/// Any express consent.
pub(super) const EXPRESS: &[ConsentKind] = &[ConsentKind::Pewc, ConsentKind::Pec, ConsentKind::Oral];
/// Prior express written consent.
pub(super) const WRITTEN: &[ConsentKind] = &[ConsentKind::Pewc];
/// Consent to mail.
pub(super) const MAIL: &[ConsentKind] =
    &[ConsentKind::EmailOptIn, ConsentKind::GdprConsent, ConsentKind::SoftOptIn, ConsentKind::Pewc, ConsentKind::Pec];

/// The consent that fits best, and what it lacks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing<'a> {
    pub found: Option<(&'a Act, &'a Grant)>,
    pub codes: Codes,
}

impl Standing<'_> {
    pub const fn none() -> Standing<'static> {
        Standing { found: None, codes: Codes::new() }
    }

    pub fn is_valid(&self) -> bool {
        self.found.is_some() && self.codes.is_empty()
    }

    pub fn at(&self) -> i64 {
        self.found.map_or(i64::MIN, |(act, _)| act.at.micros())
    }

    pub fn position(&self) -> Option<u64> {
        self.found.and_then(|(act, _)| act.position)
    }
}

impl<'a> Context<'a> {
    /// The consent of these kinds with the fewest codes; of equals the latest.
    pub fn standing(&self, kinds: &[ConsentKind]) -> Standing<'a> {
        let mut best = Standing { found: None, codes: Codes::new() };
        for (act, grant) in self.grants(kinds) {
            let codes = self.grant_codes(act, grant);
            let better = match best.found {
                None => true,
                Some((known, _)) => (codes.len(), -act.at.micros()) <= (best.codes.len(), -known.at.micros()),
            };
            if better {
                best = Standing { found: Some((act, grant)), codes };
            }
        }
        best
    }

    fn grants(&self, kinds: &[ConsentKind]) -> impl Iterator<Item = (&'a Act, &'a Grant)> {
        self.acts().filter_map(move |act| match &act.what {
            What::Granted(grant) if kinds.contains(&grant.kind) => Some((act, grant)),
            _ => None,
        })
    }

    fn grant_codes(&self, act: &Act, grant: &Grant) -> Codes {
        let mut codes = self.scope_codes(act, grant);
        let contact = &self.facts.contact;
        let covered = grant.technologies.iter().any(|covered| covers(*covered, contact.technology, self.is_text()));
        if contact.channel.is_phone() && !covered && self.has(Kind::ScopeTechnology) {
            codes.insert(Code::ConsentScopeTechnology);
        }
        let at = act.at.micros();
        if self.has(Kind::Revocation) && self.stops().any(|stop| stop >= at && !self.undone(stop, true)) {
            codes.insert(Code::ConsentRevoked);
        }
        codes
    }

    /// What a grant lacks of itself: scope but for technology, form and time. Revocations are not asked.
    fn scope_codes(&self, act: &Act, grant: &Grant) -> Codes {
        let contact = &self.facts.contact;
        let mut codes = Codes::default();
        let mut lacks = |lacks: bool, kind: Kind, code: Code| {
            if lacks && self.has(kind) {
                codes.insert(code);
            }
        };
        lacks(!grant.sellers.contains(&contact.seller), Kind::ScopeSeller, Code::ConsentScopeSeller);
        let number = act.number == Number::Same || act.number == Number::Unsaid && !contact.channel.is_phone();
        lacks(!number, Kind::ScopeNumber, Code::ConsentScopeNumber);
        let channel = grant.channels.iter().any(|channel| channel.same_kind(contact.channel));
        lacks(!channel, Kind::ScopeChannel, Code::ConsentScopeChannel);
        let purpose = grant.purposes.contains(&contact.purpose)
            || contact.purpose == Purpose::Transactional && grant.purposes.contains(&Purpose::Informational);
        lacks(!purpose, Kind::ScopePurpose, Code::ConsentScopePurpose);
        let written = grant.kind == ConsentKind::Pewc;
        lacks(written && !(grant.signed && grant.disclosed), Kind::ConsentDefective, Code::ConsentDefective);
        let begun = grant.valid_from.is_none_or(|from| self.reached(from.micros()));
        let ended = grant.valid_until.is_some_and(|until| self.reached(until.micros()));
        lacks(!begun || ended, Kind::ConsentInEffect, Code::ConsentNotInEffect);
        codes
    }

    /// The instant of the newest grant that is valid in every respect: it re-opens what was closed before it. A person who
    /// dials by hand is covered by consent to machines.
    pub fn reopened_at(&self, kinds: &[ConsentKind]) -> i64 {
        if !self.has(Kind::ReConsent) {
            return i64::MIN;
        }
        let by_hand = self.facts.contact.technology == Technology::Manual;
        let valid = self.grants(kinds).filter(|(act, grant)| {
            let codes = if by_hand { self.scope_codes(act, grant) } else { self.grant_codes(act, grant) };
            let at = act.at.micros();
            codes.is_empty() && !self.stops().any(|stop| stop >= at && !self.undone(stop, true))
        });
        valid.map(|(act, _)| act.at.micros()).max().unwrap_or(i64::MIN)
    }
}

/// A grant's technology covers the one asked about.
fn covers(granted: Technology, asked: Technology, text: bool) -> bool {
    match (granted, asked) {
        _ if granted == asked => true,
        (Technology::Automated, Technology::Autodialed | Technology::Prerecorded | Technology::AiVoice) => true,
        // A tool that sends texts dials them automatically; "automated" on a call may be a recording, so it needs its own.
        (Technology::Autodialed, Technology::Automated | Technology::Api) => text,
        _ => false,
    }
}
