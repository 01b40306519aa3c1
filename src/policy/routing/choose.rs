//! The choice: who may have the lead, in which order, and who of them the consent lets through.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, Timelike};

use super::plan::{Buyer, Plan, Pool, Price, Strategy};
use super::standings::{Assigned, ROUNDING, Standing, Standings, TURN, periods};
use crate::crypto::hash::sha256;
use crate::domain::time::{MICROS_PER_SECOND, Timestamp};

/// What is known of the lead, without a person in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lead {
    /// Campaign.
    pub campaign: Option<String>,
    /// Where it came from.
    pub source: Option<String>,
    /// Vertical.
    pub vertical: Option<String>,
    /// State.
    pub state: Option<String>,
    /// Score band.
    pub band: Option<String>,
    /// Score.
    pub score: Option<i64>,
    /// Sellers who had it, or must not have it.
    pub exclude: Vec<String>,
    /// Offers by seller, where the pool goes by offers.
    pub bids: BTreeMap<String, Price>,
}

/// Why a buyer does not get the lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Refusal {
    Paused,
    Excluded,
    Territory,
    TerritoryUnknown,
    Licence,
    Band,
    Score,
    Hours,
    CapHour,
    CapDay,
    CapMonth,
    BudgetDay,
    BudgetMonth,
    NoBid,
    BelowReserve,
    Consent,
}

impl Refusal {
    /// Code in decisions.
    pub const fn code(self) -> &'static str {
        match self {
            Refusal::Paused => "BUYER_PAUSED",
            Refusal::Excluded => "BUYER_EXCLUDED",
            Refusal::Territory => "TERRITORY",
            Refusal::TerritoryUnknown => "TERRITORY_UNKNOWN",
            Refusal::Licence => "LICENCE",
            Refusal::Band => "SCORE_BAND",
            Refusal::Score => "SCORE_TOO_LOW",
            Refusal::Hours => "CLOSED",
            Refusal::CapHour => "CAP_HOUR",
            Refusal::CapDay => "CAP_DAY",
            Refusal::CapMonth => "CAP_MONTH",
            Refusal::BudgetDay => "BUDGET_DAY",
            Refusal::BudgetMonth => "BUDGET_MONTH",
            Refusal::NoBid => "NO_BID",
            Refusal::BelowReserve => "BELOW_RESERVE",
            Refusal::Consent => "CONSENT",
        }
    }
}

/// Whether the consent lets a lead go to a seller; else why not.
pub type Consent<'a> = dyn FnMut(&str) -> Result<(), Vec<&'static str>> + 'a;

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// What it does to the standings; none: nobody gets the lead.
    pub assigned: Option<Assigned>,
    /// What the chosen one pays.
    pub price: Option<Price>,
    /// Chance that he was chosen, in millionths, where chance had a part.
    pub probability: Option<u32>,
    /// Those who were in line, the chosen one first, at most so many as a decision names.
    pub in_line: Vec<String>,
    /// How many were in line.
    pub eligible: usize,
    /// Everybody else, by reason, in the order of the plan.
    pub refused: BTreeMap<Refusal, Vec<String>>,
    /// What the consent said to whom, of those who were asked.
    pub consent: Vec<(String, Vec<&'static str>)>,
}

/// Sellers in line that a choice names.
const IN_LINE_MAX: usize = 20;
/// The whole, in millionths.
const WHOLE: u32 = 1_000_000;

/// Chooses a buyer of a pool. `draw` is random bytes that the decision keeps; only a bandit looks at them.
pub fn choose(
    plan: &Plan,
    pool: &Pool,
    lead: &Lead,
    standings: &Standings,
    now: Timestamp,
    draw: &[u8; 32],
    consent: &mut Consent<'_>,
) -> Choice {
    let at = periods(plan.zone, now);
    let before = standings.virtual_time(&pool.id);
    let mut choice = Choice::default();
    let mut open: Vec<Open<'_>> = Vec::with_capacity(pool.buyers.len());
    for buyer in &pool.buyers {
        let standing = standings.of(&pool.id, &buyer.seller);
        match refusal(pool, buyer, lead, standing, &at, now) {
            Some(reason) => choice.refused.entry(reason).or_default().push(buyer.seller.clone()),
            None => open.push(Open::of(pool, buyer, standing, before)),
        }
    }
    // Worst-case fair weighted queueing (WF2Q+, Bennett and Zhang 1997): of the buyers whose turn has begun, the one whose turn
    // ends first. Who goes by the end alone serves a heavy buyer ahead of his share.
    let time = open.iter().map(|open| open.begin).min().unwrap_or(0).max(before);
    let by_turn = |open: &Open<'_>| (open.begin > time + ROUNDING, open.end, open.buyer.priority);
    match pool.strategy {
        Strategy::Weighted | Strategy::RoundRobin => open.sort_by_key(by_turn),
        Strategy::Priority => open.sort_by_key(|open| (open.buyer.priority, by_turn(open))),
        Strategy::HighestBid => {
            open.sort_by_cached_key(|open| (std::cmp::Reverse(bid(lead, open.buyer)), by_turn(open)));
        }
        Strategy::Bandit => {
            open.sort_by_key(by_turn);
            choice.probability = bandit(pool, draw, &mut open);
        }
    }
    choice.eligible = open.len();
    let mut weights: u128 = open.iter().map(|open| open.weight).sum();
    let mut in_line = open.into_iter();
    let chosen = in_line.by_ref().find(|open| match consent(&open.buyer.seller) {
        Ok(()) => true,
        Err(codes) => {
            weights -= open.weight;
            choice.refused.entry(Refusal::Consent).or_default().push(open.buyer.seller.clone());
            choice.consent.push((open.buyer.seller.clone(), codes));
            false
        }
    });
    let Some(chosen) = chosen else { return choice };
    let seller = &chosen.buyer.seller;
    let price = lead.bids.get(seller).copied().filter(|_| pool.strategy == Strategy::HighestBid).or(chosen.buyer.price);
    choice.price = price;
    choice.in_line =
        std::iter::once(seller).chain(in_line.map(|open| &open.buyer.seller)).take(IN_LINE_MAX).cloned().collect();
    choice.assigned = Some(Assigned {
        pool: pool.id.clone(),
        seller: seller.clone(),
        now,
        pass: chosen.end,
        virtual_time: time + TURN / weights,
        micros: price.map_or(0, |price| price.micros),
    });
    choice
}

/// A buyer who may have the lead, with what his place in line depends on.
struct Open<'a> {
    buyer: &'a Buyer,
    standing: Option<&'a Standing>,
    weight: u128,
    /// Virtual times at which his turn begins and ends.
    begin: u128,
    end: u128,
}

impl<'a> Open<'a> {
    fn of(pool: &Pool, buyer: &'a Buyer, standing: Option<&'a Standing>, before: u128) -> Open<'a> {
        let weight = u128::from(pool.weight_of(buyer));
        let (turn, served) = (TURN / weight, standing.map_or(0, |standing| standing.pass));
        // An open buyer is never a whole turn behind. Who is was closed, and makes up for nothing.
        let begin = if served + turn < before { before } else { served };
        Open { buyer, standing, weight, begin, end: begin + turn }
    }
}

fn bid(lead: &Lead, buyer: &Buyer) -> i64 {
    lead.bids.get(&buyer.seller).map_or(0, |price| price.micros)
}

/// The first thing that speaks against a buyer.
fn refusal(
    pool: &Pool,
    buyer: &Buyer,
    lead: &Lead,
    standing: Option<&Standing>,
    at: &[i64; 3],
    now: Timestamp,
) -> Option<Refusal> {
    if buyer.paused {
        return Some(Refusal::Paused);
    }
    if lead.exclude.contains(&buyer.seller) {
        return Some(Refusal::Excluded);
    }
    // What is not known fits no list.
    let state = lead.state.as_deref();
    match state {
        Some(state) if !buyer.states.is_empty() && !buyer.states.contains(state) => return Some(Refusal::Territory),
        None if !buyer.states.is_empty() || buyer.licences.is_some() => return Some(Refusal::TerritoryUnknown),
        _ => {}
    }
    if let Some(licences) = &buyer.licences {
        let today = now.unix_days();
        if !licences.iter().any(|(licensed, last)| Some(licensed.as_str()) == state && today <= *last) {
            return Some(Refusal::Licence);
        }
    }
    if !buyer.bands.is_empty() && !lead.band.as_ref().is_some_and(|band| buyer.bands.contains(band)) {
        return Some(Refusal::Band);
    }
    if buyer.score_min.is_some_and(|least| lead.score.is_none_or(|score| score < least)) {
        return Some(Refusal::Score);
    }
    if buyer.hours.is_some_and(|hours| !is_open(&hours, now)) {
        return Some(Refusal::Hours);
    }
    limits(pool, buyer, lead, standing, at)
}

fn limits(pool: &Pool, buyer: &Buyer, lead: &Lead, standing: Option<&Standing>, at: &[i64; 3]) -> Option<Refusal> {
    let leads = standing.map_or([0; 3], |standing| standing.leads(at));
    for ((cap, count), reason) in
        buyer.caps.iter().zip(leads).zip([Refusal::CapHour, Refusal::CapDay, Refusal::CapMonth])
    {
        if cap.is_some_and(|cap| count >= cap) {
            return Some(reason);
        }
    }
    let offer = lead.bids.get(&buyer.seller);
    let price = if pool.strategy == Strategy::HighestBid { offer.copied() } else { buyer.price };
    let spent = standing.map_or([0; 2], |standing| standing.spent(at));
    for ((budget, sum), reason) in buyer.budget.iter().zip(spent).zip([Refusal::BudgetDay, Refusal::BudgetMonth]) {
        let next = price.map_or(0, |price| price.micros);
        if budget.is_some_and(|budget| sum.saturating_add(next) > budget) {
            return Some(reason);
        }
    }
    if pool.strategy == Strategy::HighestBid && offer.is_none() {
        return Some(Refusal::NoBid);
    }
    let below =
        |reserve: &Price| price.is_none_or(|price| price.currency != reserve.currency || price.micros < reserve.micros);
    pool.reserve.as_ref().is_some_and(below).then_some(Refusal::BelowReserve)
}

fn is_open(hours: &super::plan::Hours, now: Timestamp) -> bool {
    let utc = DateTime::from_timestamp(now.micros().div_euclid(MICROS_PER_SECOND), 0).unwrap_or_default();
    let local = utc.with_timezone(&hours.zone);
    let weekday = usize::try_from(local.weekday().num_days_from_monday()).unwrap_or(0);
    let second = i64::from(local.num_seconds_from_midnight());
    hours.days.get(weekday) == Some(&true) && (hours.from..hours.to).contains(&second)
}

/// Puts the one that takes leads most often first, or with a share of the draws anybody. Gives the first one's chance.
fn bandit(pool: &Pool, draw: &[u8; 32], open: &mut [Open<'_>]) -> Option<u32> {
    let count = u64::try_from(open.len()).ok().filter(|count| *count > 0)?;
    // (taken + 1) / (answers + 2): one of whom nothing is known stands in the middle. Compared without fractions.
    let rate = |open: &Open<'_>| {
        let (taken, refused) = open.standing.map_or((0, 0), |found| (found.taken, found.refused));
        (u128::from(taken) + 1, u128::from(taken) + u128::from(refused) + 2)
    };
    let better = |a: &Open<'_>, b: &Open<'_>| {
        let ((at, aw), (bt, bw)) = (rate(a), rate(b));
        (at * bw) > (bt * aw)
    };
    let mut best = 0;
    for (place, buyer) in open.iter().enumerate() {
        if open.get(best).is_some_and(|leader| better(buyer, leader)) {
            best = place;
        }
    }
    let explore = pool.explore_percent * (WHOLE / 100);
    let each = u64::from(explore) / count;
    let word = |part: u8| {
        let digest = sha256(&[draw.as_slice(), &[part]].concat());
        digest.as_bytes().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
    };
    let explores = word(0) % u64::from(WHOLE) < u64::from(explore);
    let place = if explores { usize::try_from(word(1) % count).unwrap_or(0) } else { best };
    open.get_mut(..=place)?.rotate_right(1);
    let chance = each + if place == best { u64::from(WHOLE - explore) } else { 0 };
    u32::try_from(chance).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::routing::Plan;

    fn plan(pool: &str, buyers: &[&str]) -> Plan {
        let buyers: Vec<String> = buyers.iter().map(|buyer| format!("[[buyer]]\npool='p'\n{buyer}\n")).collect();
        let text =
            format!("pack='routing'\nversion='1'\n[[pool]]\nid='p'\nconsent='none'\n{pool}\n{}", buyers.join(""));
        Plan::parse(&text).unwrap()
    }

    fn time(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    fn route(plan: &Plan, lead: &Lead, standings: &mut Standings, now: Timestamp, draw: u64) -> Choice {
        let draw = *sha256(&draw.to_be_bytes()).as_bytes();
        let choice = choose(plan, &plan.pools[0], lead, standings, now, &draw, &mut |_| Ok(()));
        if let Some(assigned) = &choice.assigned {
            standings.assign(assigned, plan.zone);
        }
        choice
    }

    fn seller(choice: &Choice) -> &str {
        choice.assigned.as_ref().map_or("-", |assigned| &assigned.seller)
    }

    #[test]
    fn shares_stay_within_one_assignment_of_the_weights() {
        // One heavy buyer among many light ones is where going by the end of the turn alone fails.
        let many = [vec![50], vec![1; 50]].concat();
        for weights in [vec![1, 1], vec![5, 1, 1], vec![10, 1], vec![3, 2, 7, 1], vec![1000, 1], vec![17, 19, 23], many]
        {
            let buyers: Vec<String> =
                weights.iter().enumerate().map(|(at, weight)| format!("seller='s{at}'\nweight={weight}")).collect();
            let plan = plan("strategy='weighted'", &buyers.iter().map(String::as_str).collect::<Vec<_>>());
            let whole: u64 = weights.iter().sum();
            let (mut standings, mut counts) = (Standings::default(), vec![0_u64; weights.len()]);
            for turn in 1..=3_000_u64 {
                let choice = route(&plan, &Lead::default(), &mut standings, time("2026-11-24T17:00:00Z"), 0);
                counts[seller(&choice)[1..].parse::<usize>().unwrap()] += 1;
                for (count, weight) in counts.iter().zip(&weights) {
                    // |count - turn * weight / whole| <= 1, without fractions.
                    let gap = (count * whole).abs_diff(turn * weight);
                    assert!(gap <= whole, "{weights:?} after {turn}: {counts:?}");
                }
            }
        }
    }

    #[test]
    fn who_was_closed_makes_up_for_nothing() {
        let hours = "hours={zone='UTC',from='09:00',to='17:00'}";
        let plan = plan("strategy='weighted'", &["seller='a'", &format!("seller='b'\n{hours}")]);
        let mut standings = Standings::default();
        for _ in 0..500 {
            let choice = route(&plan, &Lead::default(), &mut standings, time("2026-11-24T03:00:00Z"), 0);
            assert_eq!(seller(&choice), "a");
            assert_eq!(choice.refused[&Refusal::Hours], ["b"]);
        }
        let mut counts = [0, 0];
        for _ in 0..100 {
            let choice = route(&plan, &Lead::default(), &mut standings, time("2026-11-24T10:00:00Z"), 0);
            counts[usize::from(seller(&choice) == "b")] += 1;
        }
        assert_eq!(counts, [50, 50]);
    }

    #[test]
    fn each_limit_refuses_by_its_own_code() {
        let lead =
            Lead { state: Some("OH".to_owned()), band: Some("B".to_owned()), score: Some(50), ..Lead::default() };
        let now = time("2026-11-24T17:30:00Z");
        for (buyer, code) in [
            ("paused=true", Refusal::Paused),
            ("states=['MI']", Refusal::Territory),
            ("licences=[{state='OH',until='2026-11-23'}]", Refusal::Licence),
            ("bands=['A']", Refusal::Band),
            ("score_min=51", Refusal::Score),
            ("hours={zone='America/New_York',days=['mon'],from='09:00',to='18:00'}", Refusal::Hours),
            ("hours={zone='America/New_York',from='09:00',to='12:30'}", Refusal::Hours),
            ("caps={hour=0}", Refusal::CapHour),
            ("caps={day=0}", Refusal::CapDay),
            ("caps={month=0}", Refusal::CapMonth),
            ("price={amount='45.00',currency='USD'}\nbudget={day='44.99'}", Refusal::BudgetDay),
            ("price={amount='45.00',currency='USD'}\nbudget={month='44.99'}", Refusal::BudgetMonth),
            ("price={amount='45.00',currency='USD'}", Refusal::BelowReserve),
        ] {
            let pool = if code == Refusal::BelowReserve { "\nreserve={amount='50.00',currency='USD'}" } else { "" };
            let plan = plan(&format!("strategy='weighted'{pool}"), &[&format!("seller='a'\n{buyer}")]);
            let choice = route(&plan, &lead, &mut Standings::default(), now, 0);
            assert_eq!((seller(&choice), choice.refused.keys().collect::<Vec<_>>()), ("-", vec![&code]), "{buyer}");
        }
        // The twin: with none of them he gets it; and of a lead whose state is unknown no list of states is served.
        let open = plan(
            "strategy='weighted'",
            &["seller='a'\nstates=['OH']\nbands=['B']\nscore_min=50\nlicences=[{state='OH',until='2026-11-24'}]"],
        );
        assert_eq!(seller(&route(&open, &lead, &mut Standings::default(), now, 0)), "a");
        let unknown = Lead { state: None, ..lead };
        let choice = route(&open, &unknown, &mut Standings::default(), now, 0);
        assert_eq!(choice.refused.keys().collect::<Vec<_>>(), [&Refusal::TerritoryUnknown]);
    }

    #[test]
    fn caps_and_budgets_begin_anew_with_their_period() {
        let buyer = "seller='a'\ncaps={hour=2,day=3}\nprice={amount='10.00',currency='USD'}\nbudget={month='45.00'}";
        let plan = plan("strategy='weighted'", &[buyer]);
        let mut standings = Standings::default();
        let mut got = Vec::new();
        for now in ["01T10:00", "01T10:59", "01T10:59", "01T11:00", "01T12:00", "02T00:00", "02T01:00"] {
            let choice = route(&plan, &Lead::default(), &mut standings, time(&format!("2026-11-{now}:00Z")), 0);
            got.push(choice.refused.keys().next().map_or(seller(&choice), |reason| reason.code()).to_owned());
        }
        assert_eq!(got, ["a", "a", "CAP_HOUR", "a", "CAP_DAY", "a", "BUDGET_MONTH"]);
    }

    #[test]
    fn the_best_offer_wins_and_consent_is_asked_in_line() {
        let plan = plan("strategy='highest_bid'", &["seller='a'", "seller='b'", "seller='c'"]);
        let price = |text: &str| Price {
            micros: text.parse::<i64>().unwrap() * 1_000_000,
            currency: crate::domain::money::Currency::parse("USD").unwrap(),
        };
        let bids = [("a", "10"), ("b", "30")].map(|(seller, amount)| (seller.to_owned(), price(amount))).into();
        let lead = Lead { bids, ..Lead::default() };
        let mut asked = Vec::new();
        let now = time("2026-11-24T17:00:00Z");
        let choice = choose(&plan, &plan.pools[0], &lead, &Standings::default(), now, &[0; 32], &mut |seller| {
            asked.push(seller.to_owned());
            if seller == "b" { Err(vec!["NO_PEWC"]) } else { Ok(()) }
        });
        assert_eq!((seller(&choice), asked), ("a", vec!["b".to_owned(), "a".to_owned()]));
        assert_eq!(choice.consent, [("b".to_owned(), vec!["NO_PEWC"])]);
        assert_eq!(choice.refused[&Refusal::NoBid], ["c"]);
        assert_eq!(choice.price, Some(price("10")));
    }

    #[test]
    fn a_bandit_logs_the_chance_it_gave() {
        let plan = plan("strategy='bandit'\nexplore_percent=20", &["seller='a'", "seller='b'"]);
        let mut standings = Standings::default();
        (0..10).for_each(|_| standings.answered("p", "b", true));
        let mut counts = [0, 0];
        for turn in 0..4_000 {
            let choice = route(&plan, &Lead::default(), &mut standings, time("2026-11-24T17:00:00Z"), turn);
            let is_b = seller(&choice) == "b";
            assert_eq!(choice.probability, Some(if is_b { 900_000 } else { 100_000 }));
            counts[usize::from(is_b)] += 1;
        }
        assert!((300..=500).contains(&counts[0]), "{counts:?} and a tenth was meant for a");
    }

    #[test]
    fn a_lead_taken_back_gives_its_turn_back() {
        let plan = plan("strategy='weighted'", &["seller='a'\ncaps={day=1}", "seller='b'"]);
        let (mut standings, now) = (Standings::default(), time("2026-11-24T17:00:00Z"));
        let first = route(&plan, &Lead::default(), &mut standings, now, 0).assigned.unwrap();
        assert_eq!(first.seller, "a");
        standings.release(&first, 1, plan.zone);
        assert_eq!(seller(&route(&plan, &Lead::default(), &mut standings, now, 0)), "a", "his cap has room again");
    }

    #[test]
    fn a_hundred_thousand_choices_are_computed_again_to_the_same() {
        let buyers: Vec<String> = (0..40)
            .map(|at| {
                format!(
                    "seller='s{at}'\nweight={}\nstates=['OH','MI']\ncaps={{hour={},day=300}}",
                    1 + at % 7,
                    5 + at % 9
                )
            })
            .collect();
        let buyers: Vec<&str> = buyers.iter().map(String::as_str).collect();
        let plans = [
            plan("strategy='weighted'", &buyers),
            plan("strategy='bandit'", &buyers),
            plan("strategy='priority'", &buyers),
        ];
        let begin = time("2026-11-24T00:00:00Z");
        let run = || {
            let mut standings = Standings::default();
            let mut all = Vec::new();
            for turn in 0..100_000_u64 {
                let plan = &plans[usize::try_from(turn % 3).unwrap()];
                let state = ["OH", "MI", "TX"][usize::try_from(turn * 7 % 3).unwrap()];
                let lead = Lead { state: Some(state.to_owned()), ..Lead::default() };
                let now = begin.checked_add_micros(i64::try_from(turn).unwrap() * 37_000_000).unwrap();
                let choice = route(plan, &lead, &mut standings, now, turn);
                standings.answered("p", seller(&choice), turn % 5 > 0);
                all.push((seller(&choice).to_owned(), choice.eligible, choice.probability));
            }
            all
        };
        assert!(run() == run());
    }
}
