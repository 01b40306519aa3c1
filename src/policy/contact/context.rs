//! One evaluation: the facts at one instant, the codes found, and until when they hold.

use std::cell::Cell;

use super::answer::{RuleVerdict, Verdict};
use super::calendar::{DAY, HOUR_MICROS, Zone};
use super::codes::{Code, Codes};
use super::facts::{Act, Category, Facts, Number, Purpose, StopBy, Technology, What};
use super::pack::{Kind, Pack, Rule};
use super::switches::{AtdsDefinition, InternalDncScope, RevocationScope};
use crate::domain::time::{MICROS_PER_DAY, MICROS_PER_SECOND};

/// Where the person may be, ready for use.
#[derive(Debug)]
pub(super) struct Ground<'a> {
    pub zones: Vec<Zone>,
    pub zone_names: Vec<&'a str>,
    pub states: Vec<&'a str>,
}

impl<'a> Ground<'a> {
    pub fn of(facts: &'a Facts) -> Ground<'a> {
        let zone_names = facts.recipient.place.zones(facts.recipient.line_type);
        // A zone that this build does not know would let a window pass unseen: then the place is unknown, which refuses.
        let zones: Option<Vec<Zone>> = zone_names.iter().map(|name| name.parse().ok().map(Zone::Named)).collect();
        let zones = zones.unwrap_or_default();
        Ground { zones, zone_names, states: facts.recipient.place.states() }
    }
}

pub(super) struct Context<'a> {
    pub pack: &'a Pack,
    pub facts: &'a Facts,
    pub ground: &'a Ground<'a>,
    /// The instant, microseconds.
    pub now: i64,
    /// The first instant after `now` at which a check may say otherwise; `i64::MAX` if none can.
    until: Cell<i64>,
    pub codes: Codes,
    pub warnings: Codes,
    pub basis: Option<Code>,
    pub grant: Option<u64>,
    /// Consent of any express kind covers the question: it lifts what rows of kind `consent-waiver` name.
    pub express: bool,
    /// The first revocation that is not yet cleared, and the kind of deadline row for it.
    pub stopped_at: Option<i64>,
    pub verdicts: Option<Vec<RuleVerdict>>,
}

impl<'a> Context<'a> {
    pub fn new(pack: &'a Pack, facts: &'a Facts, ground: &'a Ground<'a>, now: i64, record: bool) -> Context<'a> {
        Context {
            pack,
            facts,
            ground,
            now,
            until: Cell::new(i64::MAX),
            codes: Codes::default(),
            warnings: Codes::default(),
            basis: None,
            grant: None,
            express: false,
            stopped_at: None,
            verdicts: record.then(Vec::new),
        }
    }

    /// Until when what was found holds.
    pub fn until(&self) -> i64 {
        self.until.get()
    }

    fn note(&self, instant: i64) {
        self.until.set(self.until.get().min(instant));
    }

    /// The instant has come; if not, the evaluation holds no longer than to it.
    pub fn reached(&self, instant: i64) -> bool {
        if self.now < instant {
            self.note(instant);
        }
        self.now >= instant
    }

    /// It is this day or a later one, in the zone that is furthest on.
    pub fn latest_day_reached(&self, day: i64) -> bool {
        self.day_reached(day, |days| days.max())
    }

    /// It is this day or a later one in every zone.
    pub fn every_day_reached(&self, day: i64) -> bool {
        self.day_reached(day, |days| days.min())
    }

    fn day_reached(&self, day: i64, which: impl Fn(&mut dyn Iterator<Item = i64>) -> Option<i64>) -> bool {
        // No zone is more than 14 hours from UTC: outside that belt the answer needs no zone, inside it is asked hourly.
        let midnight = day.saturating_mul(MICROS_PER_DAY);
        let (first, last) = (midnight.saturating_sub(14 * HOUR_MICROS), midnight.saturating_add(14 * HOUR_MICROS));
        if !self.reached(first) {
            return false;
        }
        if self.now >= last {
            return true;
        }
        self.note((self.now.div_euclid(HOUR_MICROS) + 1) * HOUR_MICROS);
        let mut days = self.ground.zones.iter().map(|zone| zone.local(self.now).day);
        which(&mut days).unwrap_or_else(|| self.now.div_euclid(MICROS_PER_DAY)) >= day
    }

    /// The latest local date at an instant among the candidate zones; UTC where there are none.
    pub fn latest_day(&self, micros: i64) -> i64 {
        let days = self.ground.zones.iter().map(|zone| zone.local(micros).day);
        days.max().unwrap_or_else(|| micros.div_euclid(MICROS_PER_SECOND).div_euclid(DAY))
    }

    /// The earliest local date at an instant among the candidate zones; UTC where there are none.
    pub fn earliest_day(&self, micros: i64) -> i64 {
        let days = self.ground.zones.iter().map(|zone| zone.local(micros).day);
        days.min().unwrap_or_else(|| micros.div_euclid(MICROS_PER_SECOND).div_euclid(DAY))
    }

    /// A row holds now, in some zone.
    pub fn in_force(&self, rule: &Rule) -> bool {
        self.latest_day_reached(rule.effective_from.day())
            && rule.effective_to.is_none_or(|end| !self.every_day_reached(end.day()))
    }

    /// Rows of a kind that hold now, in any jurisdiction.
    pub fn rules(&self, kind: Kind) -> impl Iterator<Item = &'a Rule> {
        let pack: &'a Pack = self.pack;
        pack.of_kind(kind).filter(|rule| self.in_force(rule))
    }

    /// Rows of a kind that hold now for the states considered.
    pub fn state_rules(&self, kind: Kind) -> Vec<&'a Rule> {
        let ground: &'a Ground<'a> = self.ground;
        self.rules(kind).filter(|rule| ground.states.contains(&rule.jurisdiction.as_str())).collect()
    }

    pub fn rule(&self, kind: Kind) -> Option<&'a Rule> {
        self.rules(kind).next()
    }

    pub fn has(&self, kind: Kind) -> bool {
        self.rule(kind).is_some()
    }

    pub fn fail(&mut self, rule: &Rule, code: Code) {
        self.codes.insert(code);
        self.say(rule, Verdict::Fail, Some(code));
    }

    pub fn pass(&mut self, rule: &Rule) {
        self.say(rule, Verdict::Pass, None);
    }

    pub fn warn(&mut self, rule: &Rule, code: Code) {
        self.warnings.insert(code);
        self.say(rule, Verdict::Warn, Some(code));
    }

    /// Fails with the code, or passes.
    pub fn judge(&mut self, rule: &Rule, fails: bool, code: Code) {
        if fails { self.fail(rule, code) } else { self.pass(rule) }
    }

    fn say(&mut self, rule: &Rule, verdict: Verdict, code: Option<Code>) {
        if let Some(verdicts) = &mut self.verdicts {
            verdicts.push(RuleVerdict { rule: rule.id.clone(), verdict, code });
        }
    }

    /// Takes a ground for allowing, unless an earlier one was taken.
    pub fn allow_by(&mut self, code: Code) {
        if self.basis.is_none() {
            self.basis = Some(code);
        }
    }

    // -- the question -----------------------------------------------------------------------------------------------

    pub fn acts(&self) -> impl DoubleEndedIterator<Item = &'a Act> + Clone {
        let facts: &'a Facts = self.facts;
        facts.acts.iter()
    }

    pub fn is_text(&self) -> bool {
        self.facts.contact.channel.is_text()
    }

    /// The technology counts as automated for federal law.
    pub fn federally_automated(&self) -> bool {
        let switches = &self.facts.switches;
        match self.facts.contact.technology {
            Technology::Manual => false,
            Technology::Autodialed => switches.atds_definition == AtdsDefinition::AnyAutomation,
            Technology::AiVoice => switches.ai_voice_is_artificial,
            Technology::Prerecorded | Technology::Automated | Technology::Api => true,
        }
    }

    /// The technology counts as automated for state laws, which the federal readings do not change.
    pub fn automated(&self) -> bool {
        self.facts.contact.technology != Technology::Manual
    }

    pub fn is_marketing(&self) -> bool {
        self.facts.contact.purpose == Purpose::Marketing
    }

    // -- stops ------------------------------------------------------------------------------------------------------

    /// Requests to stop that reach the question, with their instants.
    pub fn stops(&self) -> impl Iterator<Item = i64> {
        self.acts().filter(|act| self.stop_reaches(act)).map(|act| act.at.micros())
    }

    fn stop_reaches(&self, act: &Act) -> bool {
        match &act.what {
            What::Stopped { by, seller, category, phone, email } => {
                let channel = &self.facts.contact.channel;
                let reaches = if channel.is_phone() { *phone } else { *email };
                let binds = self.facts.switches.internal_dnc_scope == InternalDncScope::Telemarketer
                    || seller.as_ref().is_none_or(|seller| *seller == self.facts.contact.seller);
                reaches && binds && self.stop_is_of_purpose(*by, *category)
            }
            // An objection to direct marketing is a revocation by a reasonable means.
            What::Objected => self.stop_is_of_purpose(StopBy::Objection, None),
            _ => false,
        }
    }

    fn stop_is_of_purpose(&self, by: StopBy, category: Option<Category>) -> bool {
        if self.facts.switches.revocation_scope == RevocationScope::All {
            return true;
        }
        let category = match (by, category) {
            (StopBy::Revoked | StopBy::Suppression, category) => category.unwrap_or(Category::All),
            (StopBy::Reply | StopBy::DncRequest | StopBy::Objection, _) => Category::Marketing,
        };
        match category {
            Category::All => true,
            Category::Marketing => self.is_marketing(),
            Category::Informational => !self.is_marketing(),
        }
    }

    /// An act no later than `at` (a stop wins a tie, so equal instants do not count) is undone by a later START or an entry
    /// that calls it an error.
    pub fn undone(&self, at: i64, by_start: bool) -> bool {
        let restarts = by_start && self.is_text() && self.has(Kind::TextRestart);
        self.acts().any(|act| {
            act.at.micros() > at
                && match act.what {
                    What::Started => restarts,
                    What::Cleared { phone, email } => {
                        if self.facts.contact.channel.is_phone() {
                            phone
                        } else {
                            email
                        }
                    }
                    _ => false,
                }
        })
    }

    /// The newest answer of a list about the number.
    pub fn list_answer(&self, list: &str) -> Option<(&'a Act, &'a str, i64)> {
        let answers = self.acts().filter_map(move |act| match &act.what {
            What::ListChecked { list: its, result, copy_of }
                if its == list && act.number != Number::Other && result != "unknown" =>
            {
                // A copy of the registry is as old as the registry was, not as the look-up.
                let at = copy_of.map_or(act.at.micros(), |copy| copy.micros().min(act.at.micros()));
                Some((act, result.as_str(), at))
            }
            _ => None,
        });
        answers.max_by_key(|(act, ..)| act.at)
    }
}
