//! When: windows of local time, Sundays and holidays, in every zone and state the person may be in (items 5-8).
//!
//! A window is half-open and read on the clock of each zone. The federal one and a state's are rules of their own: outside
//! both, both speak. On a closed day the ban speaks and the windows are read as well.

use super::calendar::{SATURDAY, SUNDAY, Zone};
use super::codes::Code;
use super::context::Context;
use super::pack::{Kind, Rule, Window};

const MINUTE_SECONDS: i64 = 60;

/// What one row says at one instant.
enum Hour {
    Open,
    /// Closed, at least until this instant.
    Closed(i64),
}

impl Context<'_> {
    /// Judges the hour of a marketing call or text. Gives the instant before which it cannot be open again, if it is closed.
    pub fn hours(&mut self) -> Option<i64> {
        let mut opens = None;
        for kind in [Kind::Hours, Kind::SundayBan, Kind::HolidayBan] {
            let pack = self.pack;
            for rule in pack.of_kind(kind) {
                let federal = rule.jurisdiction == "US";
                if !(federal || self.ground.states.contains(&rule.jurisdiction.as_str())) || self.lifted(rule, federal)
                {
                    continue;
                }
                let closed = self.closed_until(kind, rule);
                let code = match kind {
                    Kind::SundayBan => Code::SundayBan,
                    Kind::HolidayBan => Code::HolidayBan,
                    _ if federal => Code::QuietHoursFederal,
                    _ => Code::QuietHoursState,
                };
                self.judge(rule, closed.is_some(), code);
                opens = opens.max(closed);
            }
        }
        opens
    }

    /// Consent, or the kind of line, lifts the row.
    fn lifted(&self, rule: &Rule, federal: bool) -> bool {
        if federal {
            let waived = self.facts.switches.consent_waives_federal_quiet_hours && self.express;
            return waived || !self.is_residential_solicitation();
        }
        if rule.switch.as_deref() == Some("oklahoma_holiday_ban") && !self.facts.switches.oklahoma_holiday_ban {
            return true;
        }
        self.express && self.rules(Kind::ConsentWaiver).any(|waiver| waiver.jurisdiction == rule.jurisdiction)
    }

    /// The latest of the instants at which a clock of this row may open again; none if all are open.
    fn closed_until(&self, kind: Kind, rule: &Rule) -> Option<i64> {
        let fixed =
            rule.fixed_clock.filter(|_| kind == Kind::Hours).map(|minutes| Zone::Fixed(minutes * MINUTE_SECONDS));
        let clocks = self.ground.zones.iter().copied().chain(fixed);
        let closed = clocks.filter_map(|zone| match self.hour(kind, rule, zone) {
            Hour::Open => None,
            Hour::Closed(until) => Some(until),
        });
        closed.max()
    }

    fn hour(&self, kind: Kind, rule: &Rule, zone: Zone) -> Hour {
        let local = zone.local(self.now);
        let in_force =
            local.day >= rule.effective_from.day() && rule.effective_to.is_none_or(|end| local.day < end.day());
        if !in_force {
            return Hour::Open;
        }
        // Never further than to the next day: another row may hold then.
        let tomorrow = || zone.instant(self.now, local.day + 1, 0);
        match kind {
            Kind::SundayBan if local.weekday() == SUNDAY => Hour::Closed(tomorrow()),
            Kind::HolidayBan if self.is_holiday(rule, local.day) => Hour::Closed(tomorrow()),
            Kind::Hours => match rule.window(local.weekday()) {
                Some(window) if local.second < window.open => {
                    Hour::Closed(zone.instant(self.now, local.day, window.open))
                }
                Some(window) if local.second >= window.close => Hour::Closed(tomorrow()),
                _ => Hour::Open,
            },
            _ => Hour::Open,
        }
    }

    fn is_holiday(&self, rule: &Rule, day: i64) -> bool {
        let kept = |place: &str| place == "US" || place == rule.jurisdiction;
        self.pack.holidays.iter().any(|holiday| kept(&holiday.jurisdiction) && holiday.kept_on(day))
    }
}

impl Rule {
    /// The window of a weekday; days without one of their own have that of Monday to Friday.
    fn window(&self, weekday: i64) -> Option<Window> {
        match weekday {
            SATURDAY => self.saturday.or(self.hours),
            SUNDAY => self.sunday.or(self.hours),
            _ => self.hours,
        }
    }
}
