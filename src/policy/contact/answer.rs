//! The answer: all failing codes or the ground for allowing, when it may be asked again, and what each row said.

use super::calendar::business_days_after;
use super::codes::Code;
use super::context::{Context, Ground};
use super::facts::{Channel, Facts, Purpose};
use super::pack::{Kind, Pack, Rule};
use super::search::next_allowed;
use crate::domain::time::{Timestamp, day_text};

/// How far the westernmost zone considered, Honolulu, is behind UTC.
const WESTERNMOST_MICROS: i64 = 10 * 3_600 * 1_000_000;

/// What a row said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It refuses.
    Fail,
    /// It has no objection.
    Pass,
    /// It would refuse under another reading.
    Warn,
}

impl Verdict {
    /// The name in decisions.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Fail => "fail",
            Verdict::Pass => "pass",
            Verdict::Warn => "warn",
        }
    }
}

/// A row that applied, and what it said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleVerdict {
    /// Id of the row.
    pub rule: String,
    /// What it said.
    pub verdict: Verdict,
    /// The code it gave.
    pub code: Option<Code>,
}

/// A candidate zone and what its clocks show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalTime {
    /// IANA zone.
    pub zone: String,
    /// `YYYY-MM-DDThh:mm:ss`, without an offset.
    pub local: String,
}

/// The answer of the contact gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The contact is allowed.
    pub allow: bool,
    /// All failing codes, sorted by name; on allow the one ground.
    pub reasons: Vec<Code>,
    /// Codes that warn without refusing.
    pub warnings: Vec<Code>,
    /// First allowed whole minute after `now` without new events; none when allowed now, or never within 400 days.
    pub next_allowed_at: Option<Timestamp>,
    /// Last day on which the law lets the first open revocation be honoured, `YYYY-MM-DD`. Evidence, not an allowance.
    pub honor_by: Option<String>,
    /// Candidate zones, sorted.
    pub zones: Vec<String>,
    /// Candidate states, sorted.
    pub states: Vec<String>,
    /// The clocks of the candidate zones.
    pub local_times: Vec<LocalTime>,
    /// Every row that applied. Rows that are not named did not apply.
    pub rules: Vec<RuleVerdict>,
    /// Position of the consent relied on.
    pub grant: Option<u64>,
}

/// Answers the question of `facts` by the rules of `pack`. Pure: the same facts and pack give the same answer.
pub fn evaluate(pack: &Pack, facts: &Facts) -> Answer {
    let ground = Ground::of(facts);
    let mut context = Context::new(pack, facts, &ground, facts.now.micros(), true);
    judge(&mut context);
    context.hours_if_bound();
    let allow = context.codes.is_empty();
    let next_allowed_at = if allow { None } else { next_allowed(pack, facts, &ground) };
    let honor_by = context.honor_by();
    let reasons = match context.basis {
        Some(basis) if allow => vec![basis],
        _ => context.codes.sorted(),
    };
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let local_times = ground.zones.iter().zip(&ground.zone_names).map(|(zone, name)| {
        let local = zone.local(facts.now.micros());
        let (hour, minute, second) = (local.second / 3600, local.second / 60 % 60, local.second % 60);
        LocalTime {
            zone: (*name).to_owned(),
            local: format!("{}T{hour:02}:{minute:02}:{second:02}", day_text(local.day)),
        }
    });
    Answer {
        allow,
        reasons,
        warnings: context.warnings.sorted(),
        next_allowed_at,
        honor_by,
        zones: owned(&ground.zone_names),
        states: owned(&ground.states),
        local_times: local_times.collect(),
        grant: context.grant.filter(|_| allow),
        rules: context.verdicts.unwrap_or_default(),
    }
}

/// All failing codes, and nothing else: what a choice among many needs of each.
pub fn refusals(pack: &Pack, facts: &Facts) -> Vec<Code> {
    let ground = Ground::of(facts);
    let mut context = Context::new(pack, facts, &ground, facts.now.micros(), false);
    judge(&mut context);
    context.hours_if_bound();
    context.codes.sorted()
}

/// A call or text that the law of the United States governs.
pub(super) fn is_domestic_phone(facts: &Facts) -> bool {
    facts.contact.channel.is_phone() && is_domestic(facts)
}

pub(super) fn is_domestic(facts: &Facts) -> bool {
    facts.recipient.country.as_deref().is_none_or(|country| country == "US")
}

/// Everything but the hours.
pub(super) fn judge(context: &mut Context<'_>) {
    let facts = context.facts;
    match facts.contact.purpose {
        Purpose::Emergency => {
            if let Some(rule) = context.rule(Kind::EmergencyPurpose) {
                context.pass(rule);
                return context.allow_by(Code::BasisEmergency);
            }
        }
        Purpose::OptOutConfirmation => return context.confirmation(),
        _ => {}
    }
    match facts.contact.channel {
        channel if !is_domestic(facts) => {
            if channel == Channel::Email && facts.contact.purpose == Purpose::Marketing {
                context.commercial_mail();
            }
            context.gdpr();
        }
        Channel::DataTransfer => context.data_transfer(),
        Channel::Email => context.mail(),
        Channel::Voice | Channel::Sms | Channel::Mms => context.phone(),
    }
}

impl Context<'_> {
    /// The law's last day for the first revocation that stands: business days after the day of its receipt.
    fn honor_by(&self) -> Option<String> {
        let stopped = self.stopped_at?;
        let mail = self.facts.contact.channel == Channel::Email;
        let rule = self.rule(if mail { Kind::MailHonorDeadline } else { Kind::HonorDeadline })?;
        Some(day_text(self.pack.honor_day(rule, self.earliest_day(stopped))))
    }
}

impl Pack {
    fn honor_day(&self, rule: &Rule, received: i64) -> i64 {
        let federal = self.holidays.iter().filter(|holiday| holiday.jurisdiction == "US");
        business_days_after(received, u32::try_from(rule.days.unwrap_or(0)).unwrap_or(0), federal)
    }

    /// The law's last day for a revocation, in days since 1970-01-01, where no place is known: counted from the day that it
    /// was in the westernmost zone, which is the earliest. None where no row held then.
    pub fn honor_limit(&self, by_mail: bool, received: Timestamp) -> Option<i64> {
        let day = Timestamp::from_micros(received.micros() - WESTERNMOST_MICROS).unix_days();
        let kind = if by_mail { Kind::MailHonorDeadline } else { Kind::HonorDeadline };
        let held =
            |rule: &&Rule| rule.effective_from.day() <= day && rule.effective_to.is_none_or(|end| day < end.day());
        Some(self.honor_day(self.of_kind(kind).find(held)?, day))
    }
}
