//! Compliant ROI: what is left of revenue when the money of leads whose trail of consent or contact is broken is taken out.
//!
//! Each amount is judged by the trail of its person up to the moment at which the sale happened that it belongs to, as the ledger knew it at
//! `known_at`. Its trail is *broken* by a contact that leaned on no decision which allowed it then, or on a consent that has since been annulled or
//! corrected, or that was made after a stop of which the gate had not been told; *whole* when there is a contact or a consent and none is
//! broken; *unproven* when there is neither, or no person. Only whole trails count: what is not known is not compliant. Costs stay all in.
//!
//! Everything here is read from entries and business parts, so erasing a person changes no figure.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::pin::pin;

use futures_util::StreamExt;
use serde::Serialize;
use utoipa::ToSchema;

use super::attribution::undone;
use super::lead_lines::{LeadLines, NOBODY};
use super::roi::{RoiKey, RoiNames, RoiQuery, ratio};
use super::{Money, ViewError, more};
use crate::domain::ids::SubjectId;
use crate::domain::time::Timestamp;
use crate::store::Store;
use crate::store::views::{Account, DimsRow, LineRow, MoneyFilter, MoneySum, TrailAct, TrailRow, measures_cost};

/// Broken contacts that one answer names.
const NAMED_MAX: usize = 1_000;

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Compliant {
    /// One row a group and currency, in the order of groups.
    pub rows: Vec<CompliantRow>,
    /// All of each currency.
    pub totals: Vec<CompliantRow>,
    /// Persons with money in the answer, by trail: `whole`, `broken`, `unproven`. One whose trail broke between two sales is `broken`.
    pub persons: BTreeMap<&'static str, u64>,
    /// Contacts that broke a trail on which money of the answer rests, by the person, at most 1,000.
    pub broken: Vec<BrokenContact>,
    /// Whether there are more of them.
    pub more_broken: bool,
}

/// Money of a group in one currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CompliantRow {
    /// What it is grouped by.
    #[serde(flatten)]
    pub names: RoiNames,
    /// Income less what was given back: whole, broken and unproven together, as `/v1/views/roi` has it.
    pub revenue: Money,
    /// Of this, with a whole trail.
    pub compliant_revenue: Money,
    /// Of this, with a broken one.
    pub broken_revenue: Money,
    /// Of this, with no trail at all.
    pub unproven_revenue: Money,
    /// Revenue by what broke its trail; an amount stands under each.
    pub broken_by: BTreeMap<&'static str, Money>,
    /// All costs.
    pub cost: Money,
    /// (revenue - cost) / cost.
    pub roi: Option<String>,
    /// (compliant revenue - cost) / cost: the return that would stand before a court.
    pub compliant_roi: Option<String>,
    /// Compliant revenue / revenue; null where nothing was earned.
    pub compliant_share: Option<String>,
}

/// A contact that broke a trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct BrokenContact {
    /// The contact's entry.
    pub position: u64,
    /// Whom it reached.
    pub subject: String,
    /// When.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// What is wrong with it.
    pub why: &'static str,
}

/// What breaks a trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Break {
    /// The contact names no decision.
    NoDecision,
    /// It names one that was never made about this person.
    DecisionUnknown,
    /// It names one about another channel, purpose or seller, or one that refused.
    DecisionOther,
    /// It was made before its decision, or when that was over.
    DecisionExpired,
    /// The consent that its decision rests on was annulled or corrected.
    ConsentAnnulled,
    /// The person had stopped contact before, and the gate had not been told.
    StopUnheard,
}

impl Break {
    const fn name(self) -> &'static str {
        match self {
            Break::NoDecision => "no_decision",
            Break::DecisionUnknown => "decision_unknown",
            Break::DecisionOther => "decision_other",
            Break::DecisionExpired => "decision_expired",
            Break::ConsentAnnulled => "consent_annulled",
            Break::StopUnheard => "stop_unheard",
        }
    }
}

/// The trail of a person: what broke it and when, and from when on there is anything.
#[derive(Debug, Default)]
struct Trail {
    broken: Vec<(i64, i64, Break)>,
    since: Option<i64>,
}

impl Trail {
    /// Judges the acts of a person that count.
    fn of(acts: &[TrailRow], gone: &BTreeSet<i64>) -> Trail {
        let mut trail = Trail::default();
        let kept = |act: &&TrailRow| !gone.contains(&act.position);
        // A decision that was annulled is none.
        let decisions: HashMap<[u8; 16], &TrailRow> = acts
            .iter()
            .filter(kept)
            .filter(|act| matches!(act.act, TrailAct::Allowed | TrailAct::Refused))
            .map(|act| (act.decision, act))
            .collect();
        let stops: Vec<&TrailRow> = acts.iter().filter(kept).filter(|act| act.act == TrailAct::Stop).collect();
        for act in acts.iter().filter(kept) {
            match act.act {
                TrailAct::Consent => {}
                TrailAct::Contact => {
                    let why = broken(act, decisions.get(&act.decision).copied(), &stops, gone);
                    trail.broken.extend(why.map(|why| (act.occurred, act.position, why)));
                }
                TrailAct::Allowed | TrailAct::Refused | TrailAct::Stop => continue,
            }
            trail.since = Some(trail.since.map_or(act.occurred, |since| since.min(act.occurred)));
        }
        trail.broken.sort_unstable();
        trail
    }

    /// Of what was sold at an instant.
    fn verdict(&self, at: i64) -> Verdict {
        let why: BTreeSet<Break> = self.broken.iter().filter(|(when, ..)| *when <= at).map(|(.., why)| *why).collect();
        match (why.is_empty(), self.since.is_some_and(|since| since <= at)) {
            (false, _) => Verdict::Broken(why),
            (true, true) => Verdict::Whole,
            (true, false) => Verdict::Unproven,
        }
    }
}

/// What is wrong with a contact; of several things the first.
fn broken(contact: &TrailRow, decision: Option<&TrailRow>, stops: &[&TrailRow], gone: &BTreeSet<i64>) -> Option<Break> {
    if contact.decision == [0; 16] {
        return Some(Break::NoDecision);
    }
    let Some(decision) = decision else { return Some(Break::DecisionUnknown) };
    let same = decision.channels == contact.channels
        && decision.purpose == contact.purpose
        && decision.seller == contact.seller;
    if decision.act != TrailAct::Allowed || !same {
        return Some(Break::DecisionOther);
    }
    if contact.occurred < decision.occurred || contact.occurred > decision.until {
        return Some(Break::DecisionExpired);
    }
    if gone.contains(&decision.grant) {
        return Some(Break::ConsentAnnulled);
    }
    let unheard = |stop: &&&TrailRow| {
        let covers = stop.channels & contact.channels != 0;
        let theirs = stop.seller.is_empty() || stop.seller == contact.seller;
        covers && theirs && stop.occurred < contact.occurred && stop.position > decision.position
    };
    stops.iter().find(unheard).map(|_| Break::StopUnheard)
}

/// Micro-units of a group in one currency.
#[derive(Default)]
struct Sums {
    revenue: i64,
    whole: i64,
    broken: i64,
    unproven: i64,
    by: BTreeMap<Break, i64>,
    cost: i64,
}

impl Sums {
    fn add(&mut self, amount: i64, verdict: &Verdict) -> Result<(), ViewError> {
        more(&mut self.revenue, amount)?;
        match verdict {
            Verdict::Whole => more(&mut self.whole, amount),
            Verdict::Unproven => more(&mut self.unproven, amount),
            Verdict::Broken(why) => {
                more(&mut self.broken, amount)?;
                why.iter().try_for_each(|why| more(self.by.entry(*why).or_default(), amount))
            }
        }
    }

    fn is_empty(&self) -> bool {
        [self.revenue, self.whole, self.broken, self.unproven, self.cost] == [0; 5]
    }

    fn join(&mut self, other: &Sums) -> Result<(), ViewError> {
        more(&mut self.revenue, other.revenue)?;
        more(&mut self.whole, other.whole)?;
        more(&mut self.broken, other.broken)?;
        more(&mut self.unproven, other.unproven)?;
        more(&mut self.cost, other.cost)?;
        other.by.iter().try_for_each(|(why, amount)| more(self.by.entry(*why).or_default(), *amount))
    }

    fn row(&self, names: RoiNames, currency: [u8; 3]) -> Result<CompliantRow, ViewError> {
        // Codes are ASCII: they come from a parsed currency.
        let currency = std::str::from_utf8(&currency).unwrap_or("---");
        let money = |micros: i64| Money::of(micros, currency);
        let less = |revenue: i64| revenue.checked_sub(self.cost).ok_or(ViewError::TooLarge);
        let by = self.by.iter().filter(|(_, micros)| **micros != 0);
        Ok(CompliantRow {
            names,
            revenue: money(self.revenue),
            compliant_revenue: money(self.whole),
            broken_revenue: money(self.broken),
            unproven_revenue: money(self.unproven),
            broken_by: by.map(|(why, micros)| (why.name(), money(*micros))).collect(),
            cost: money(self.cost),
            roi: ratio(less(self.revenue)?, self.cost),
            compliant_roi: ratio(less(self.whole)?, self.cost),
            compliant_share: ratio(self.whole, self.revenue),
        })
    }
}

/// What is said of an amount.
enum Verdict {
    Whole,
    Broken(BTreeSet<Break>),
    Unproven,
}

impl Verdict {
    const fn name(&self) -> &'static str {
        match self {
            Verdict::Whole => "whole",
            Verdict::Broken(_) => "broken",
            Verdict::Unproven => "unproven",
        }
    }
}

/// The trail of everybody, as it was at `instants` (occurred, recorded). Read before the lines, not beside them: a question never holds one
/// connection while it waits for another.
async fn trails(
    store: &Store,
    instants: (Timestamp, Timestamp),
    gone: &BTreeSet<i64>,
) -> Result<HashMap<[u8; 16], Trail>, ViewError> {
    let (as_of, known_at) = (instants.0.micros(), instants.1.micros());
    let mut found = HashMap::new();
    let mut person: Vec<TrailRow> = Vec::new();
    let mut acts = pin!(store.trail_acts());
    while let Some(act) = acts.next().await {
        let act = act?;
        if let Some(subject) = person.first().map(|first| first.subject).filter(|subject| *subject != act.subject) {
            found.insert(subject, Trail::of(&person, gone));
            person.clear();
        }
        // A decision is made for an instant that may lie ahead of its record; it counts from its record.
        if act.occurred.min(act.recorded) <= as_of && act.recorded <= known_at {
            person.push(act);
        }
    }
    if let Some(first) = person.first() {
        found.insert(first.subject, Trail::of(&person, gone));
    }
    Ok(found)
}

/// Answers what of revenue has a whole trail, by the same groups and instants as `/v1/views/roi`.
///
/// # Errors
/// [`ViewError::TooLarge`] if a total leaves 64 bits of micro-units.
pub async fn compliant(store: &Store, query: &RoiQuery) -> Result<Compliant, ViewError> {
    let open = Timestamp::MAX;
    let instants = (query.as_of.unwrap_or(open), query.known_at.unwrap_or(open));
    let dims = store.money_dims().await?.into_iter().map(|row| (row.id, row)).collect();
    let gone = undone(&store.journey_reversals().await?, instants.1);
    let trails = trails(store, instants, &gone).await?;
    let none = Trail::default();
    let filter = query.filter();
    let sums = store.money_sums(&filter, instants.0, instants.1).await?;
    let (groups, persons, broken) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    let mut judged = Judged { query, filter, dims, groups, persons, broken };
    for sum in sums {
        judged.spend(query.group_of(&sum, &judged.filter), &sum)?;
    }
    let mut leads = LeadLines::new(store, instants, Account::LeadSales.code()..Account::Media.code());
    while let Some((lead, lines)) = leads.next().await? {
        judged.take(&lead, &lines, trails.get(&lead).unwrap_or(&none))?;
    }
    judged.shown()
}

/// What was judged so far.
struct Judged<'a> {
    query: &'a RoiQuery,
    filter: MoneyFilter,
    dims: HashMap<i64, DimsRow>,
    groups: BTreeMap<(RoiKey, [u8; 3]), Sums>,
    persons: BTreeMap<&'static str, u64>,
    broken: Vec<([u8; 16], i64, i64, Break)>,
}

impl Judged<'_> {
    /// Costs are nobody's to judge.
    fn spend(&mut self, key: RoiKey, sum: &MoneySum) -> Result<(), ViewError> {
        if let (true, Ok(currency)) = (measures_cost(sum.measure), sum.currency.as_bytes().try_into()) {
            more(&mut self.groups.entry((key, currency)).or_default().cost, sum.value)?;
        }
        Ok(())
    }

    fn take(&mut self, lead: &[u8; 16], lines: &[LineRow], trail: &Trail) -> Result<(), ViewError> {
        // Money that goes back, and what undoes an entry, is of the sale that it speaks of and shares its verdict.
        let sale = |line: &LineRow| if line.record == [0; 16] { (line.origin, NOBODY) } else { (-1, line.record) };
        let mut sold: HashMap<(i64, [u8; 16]), i64> = HashMap::new();
        for line in lines {
            let at = sold.entry(sale(line)).or_insert(line.occurred);
            *at = line.occurred.min(*at);
        }
        let mut last: Option<i64> = None;
        let mut verdicts: BTreeSet<&'static str> = BTreeSet::new();
        for line in lines {
            let Some(key) = self.dims.get(&line.dims).and_then(|dims| self.query.key_of(&self.filter, line.day, dims))
            else {
                continue;
            };
            let sums = self.groups.entry((key, line.currency)).or_default();
            let at = sold.get(&sale(line)).copied().unwrap_or(line.occurred);
            let verdict = trail.verdict(at);
            sums.add(-line.amount, &verdict)?;
            verdicts.insert(verdict.name());
            if matches!(verdict, Verdict::Broken(_)) {
                last = last.max(Some(at));
            }
        }
        if *lead != NOBODY
            && let Some(worst) = ["broken", "unproven", "whole"].into_iter().find(|name| verdicts.contains(name))
        {
            *self.persons.entry(worst).or_default() += 1;
        }
        let named = trail.broken.iter().filter(|(at, ..)| last.is_some_and(|last| *at <= last));
        self.broken.extend(named.map(|(at, position, why)| (*lead, *at, *position, *why)).take(NAMED_MAX + 1));
        self.broken.truncate(NAMED_MAX + 1);
        Ok(())
    }

    fn shown(mut self) -> Result<Compliant, ViewError> {
        let mut totals: BTreeMap<[u8; 3], Sums> = BTreeMap::new();
        let mut rows = Vec::new();
        for ((key, currency), sums) in self.groups.into_iter().filter(|(_, sums)| !sums.is_empty()) {
            totals.entry(currency).or_default().join(&sums)?;
            rows.push(sums.row(self.query.names(key), currency)?);
        }
        let totals = totals.into_iter().map(|(currency, sums)| sums.row(RoiNames::default(), currency));
        let more_broken = self.broken.len() > NAMED_MAX;
        self.broken.truncate(NAMED_MAX);
        let broken = self.broken.into_iter().map(|(lead, at, position, why)| BrokenContact {
            position: position.unsigned_abs(),
            subject: SubjectId::from_bytes(lead).to_string(),
            at: Timestamp::from_micros(at),
            why: why.name(),
        });
        let totals = totals.collect::<Result<_, _>>()?;
        Ok(Compliant { rows, totals, persons: self.persons, broken: broken.collect(), more_broken })
    }
}
