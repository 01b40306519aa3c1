//! The text of contracts, read strictly: what is not understood is refused, so that nobody is billed by half a rule.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::contract::{
    Billable, Caps, ContractError, Cut, Payout, Period, Pricing, Returns, Rule, Step, Terms, Tier, When,
};
use crate::domain::money::{Currency, Micros};
use crate::domain::nanp::area_codes;
use crate::domain::time::parse_day;

/// Rules of one ledger: each verdict of each is in a decision.
const RULES_MAX: usize = 1_000;
/// Rules of one seller: a decision lists all of them.
const RULES_OF_SELLER_MAX: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    pack: String,
    version: String,
    #[serde(default)]
    rule: Vec<RuleText>,
    #[serde(default)]
    terms: Vec<TermsText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    id: String,
    seller: String,
    on: Billable,
    effective_from: String,
    effective_to: Option<String>,
    currency: String,
    #[serde(default)]
    when: When,
    price: PriceText,
    caps: Option<CapsText>,
    #[serde(default)]
    payouts: Vec<PayoutText>,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum PriceText {
    Band { bands: BTreeMap<String, String> },
    Call { over_seconds: i64, amount: String },
    Duration { steps: Vec<StepText> },
    Fixed { amount: String },
    Graduated { period: Period, tiers: Vec<TierText> },
    Offer {},
    Share { percent: String, floor: Option<String>, cap: Option<String> },
    Volume { period: Period, tiers: Vec<TierText> },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StepText {
    from_seconds: i64,
    amount: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TierText {
    from: u64,
    amount: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CapsText {
    period: Period,
    count: Option<u64>,
    spend: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PayoutText {
    party: String,
    kind: String,
    percent: Option<String>,
    amount: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TermsText {
    seller: String,
    currency: String,
    minimum: Option<MinimumText>,
    prepaid: Option<PrepaidText>,
    returns: Option<ReturnsText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MinimumText {
    period: Period,
    amount: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PrepaidText {
    recharge_at: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReturnsText {
    reasons: BTreeSet<String>,
    days: i64,
    rate_percent: Option<String>,
}

type Read = (String, Vec<Rule>, BTreeMap<String, Terms>);

/// Version, rules and terms of a text.
pub(super) fn read(text: &str) -> Result<Read, ContractError> {
    let file: File = toml::from_str(text).map_err(|error| ContractError::Text(error.to_string()))?;
    if file.pack != "pricing" {
        return Err(ContractError::Part("pack".to_owned(), "must be pricing"));
    }
    if !is_id(&file.version) {
        return Err(ContractError::Part("version".to_owned(), "is letters, digits, . _ - and at most 64 of them"));
    }
    if file.rule.len() > RULES_MAX {
        return Err(ContractError::Part("rule".to_owned(), "there are more than 1,000"));
    }
    let mut rules: Vec<Rule> = Vec::with_capacity(file.rule.len());
    for text in file.rule {
        if !is_id(&text.id) || rules.iter().any(|known| known.id == text.id) {
            return Err(ContractError::Part(text.id, "the id is no id, or is used twice"));
        }
        if rules.iter().filter(|known| known.seller == text.seller).count() >= RULES_OF_SELLER_MAX {
            return Err(ContractError::Part(text.seller, "has more than 100 rules"));
        }
        rules.push(rule_of(text)?);
    }
    let mut terms = BTreeMap::new();
    for text in file.terms {
        let seller = text.seller.clone();
        if !is_id(&seller) || terms.insert(seller.clone(), terms_of(text)?).is_some() {
            return Err(ContractError::Part(seller, "is no id, or has terms twice"));
        }
    }
    Ok((file.version, rules, terms))
}

fn rule_of(text: RuleText) -> Result<Rule, ContractError> {
    let of = text.id.as_str();
    let wrong = |what| ContractError::Part(of.to_owned(), what);
    if !is_id(&text.seller) {
        return Err(wrong("the seller is no id"));
    }
    if !text.when.states.iter().all(|state| !area_codes().state_zones(state).is_empty()) {
        return Err(wrong("names a state that there is not"));
    }
    let from = day(of, &text.effective_from)?;
    let to = text.effective_to.as_deref().map(|text| day(of, text)).transpose()?;
    if to.is_some_and(|to| to <= from) {
        return Err(wrong("ends before it begins"));
    }
    let price = price_of(of, &text.price)?;
    let needs = match &price {
        Pricing::Call { .. } | Pricing::Duration(_) => Some(Billable::Call),
        Pricing::Share { .. } => Some(Billable::Sale),
        Pricing::Band(_) | Pricing::Fixed(_) | Pricing::Graduated(..) | Pricing::Offer | Pricing::Volume(..) => None,
    };
    if needs.is_some_and(|needs| needs != text.on) {
        return Err(wrong("prices by duration are for calls, shares are for sales"));
    }
    let caps = text.caps.as_ref().map(|caps| -> Result<Caps, ContractError> {
        let spend = caps.spend.as_deref().map(|text| amount(of, text)).transpose()?;
        Ok(Caps { period: caps.period, count: caps.count, spend })
    });
    let payouts = text.payouts.iter().map(|payout| payout_of(of, payout)).collect::<Result<Vec<_>, _>>()?;
    let percents = payouts.iter().map(|payout| if let Cut::Millionths(part) = payout.cut { part } else { 0 });
    if percents.sum::<i64>() > 1_000_000 {
        return Err(wrong("pays out more than the price"));
    }
    Ok(Rule {
        currency: currency(of, &text.currency)?,
        caps: caps.transpose()?,
        seller: text.seller.clone(),
        on: text.on,
        from,
        to,
        when: text.when.clone(),
        price,
        payouts,
        id: text.id,
    })
}

fn price_of(of: &str, text: &PriceText) -> Result<Pricing, ContractError> {
    let wrong = |what| ContractError::Part(of.to_owned(), what);
    Ok(match text {
        PriceText::Band { bands } => {
            let read = bands.iter().map(|(band, text)| Ok((band.clone(), amount(of, text)?)));
            Pricing::Band(read.collect::<Result<_, ContractError>>()?)
        }
        PriceText::Call { over_seconds, amount: text } => {
            if *over_seconds < 0 {
                return Err(wrong("seconds are 0 or more"));
            }
            Pricing::Call { over_seconds: *over_seconds, amount: amount(of, text)? }
        }
        PriceText::Duration { steps } => {
            let mut read: Vec<Step> = Vec::with_capacity(steps.len());
            for step in steps {
                if step.from_seconds < 0 || read.last().is_some_and(|last| last.from_seconds >= step.from_seconds) {
                    return Err(wrong("steps go up in seconds"));
                }
                read.push(Step { from_seconds: step.from_seconds, amount: amount(of, &step.amount)? });
            }
            Pricing::Duration(read)
        }
        PriceText::Fixed { amount: text } => Pricing::Fixed(amount(of, text)?),
        PriceText::Graduated { period, tiers } => Pricing::Graduated(*period, tiers_of(of, tiers)?),
        PriceText::Offer {} => Pricing::Offer,
        PriceText::Share { percent: text, floor, cap } => {
            let bound = |text: &Option<String>| text.as_deref().map(|text| amount(of, text)).transpose();
            let (floor, cap) = (bound(floor)?, bound(cap)?);
            if floor.zip(cap).is_some_and(|(floor, cap)| floor > cap) {
                return Err(wrong("the floor is above the cap"));
            }
            Pricing::Share { millionths: percent(of, text)?, floor, cap }
        }
        PriceText::Volume { period, tiers } => Pricing::Volume(*period, tiers_of(of, tiers)?),
    })
}

fn tiers_of(of: &str, text: &[TierText]) -> Result<Vec<Tier>, ContractError> {
    let mut read: Vec<Tier> = Vec::with_capacity(text.len());
    for tier in text {
        let follows = read.last().map_or(tier.from == 1, |last| last.from < tier.from);
        if !follows {
            return Err(ContractError::Part(of.to_owned(), "tiers begin at 1 and go up"));
        }
        read.push(Tier { from: tier.from, amount: amount(of, &tier.amount)? });
    }
    if read.is_empty() { Err(ContractError::Part(of.to_owned(), "tiers begin at 1 and go up")) } else { Ok(read) }
}

fn payout_of(of: &str, text: &PayoutText) -> Result<Payout, ContractError> {
    let wrong = |what| ContractError::Part(of.to_owned(), what);
    if !is_id(&text.party) || !["publisher", "agent", "referral"].contains(&text.kind.as_str()) {
        return Err(wrong("a payout names a party, and is of kind publisher, agent or referral"));
    }
    let cut = match (&text.percent, &text.amount) {
        (Some(text), None) => Cut::Millionths(percent(of, text)?),
        (None, Some(text)) => Cut::Amount(amount(of, text)?),
        (Some(_), Some(_)) | (None, None) => return Err(wrong("a payout is a percent or an amount")),
    };
    Ok(Payout { party: text.party.clone(), kind: text.kind.clone(), cut })
}

fn terms_of(text: TermsText) -> Result<Terms, ContractError> {
    let of = text.seller.as_str();
    let wrong = |what| ContractError::Part(of.to_owned(), what);
    let minimum = text.minimum.as_ref().map(|least| Ok((least.period, amount(of, &least.amount)?))).transpose()?;
    let recharge_at = text.prepaid.as_ref().map(|prepaid| amount(of, &prepaid.recharge_at)).transpose()?;
    let returns = match &text.returns {
        None => None,
        Some(returns) if !(0..=366).contains(&returns.days) => return Err(wrong("returns end within 366 days")),
        Some(returns) if !returns.reasons.iter().all(|reason| REASONS.contains(&reason.as_str())) => {
            return Err(wrong("names a reason of returns that there is not"));
        }
        Some(returns) => {
            let rate_millionths = returns.rate_percent.as_deref().map(|text| percent(of, text)).transpose()?;
            Some(Returns { reasons: returns.reasons.clone(), days: returns.days, rate_millionths })
        }
    };
    Ok(Terms { currency: currency(of, &text.currency)?, minimum, recharge_at, returns })
}

/// Reasons that `lead.returned` knows.
const REASONS: [&str; 8] = [
    "wrong_number",
    "disconnected",
    "duplicate",
    "outside_criteria",
    "did_not_ask",
    "no_consent",
    "unreachable",
    "other",
];

fn is_id(text: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    text.len() <= 64 && text.bytes().all(inside) && text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
}

fn day(of: &str, text: &str) -> Result<i64, ContractError> {
    parse_day(text).ok_or_else(|| ContractError::Part(of.to_owned(), "a day is such as 2026-10-01"))
}

fn currency(of: &str, text: &str) -> Result<Currency, ContractError> {
    Currency::parse(text).map_err(|_| ContractError::Part(of.to_owned(), "names a currency that is none of ISO 4217"))
}

fn amount(of: &str, text: &str) -> Result<i64, ContractError> {
    let read = Micros::parse(text).map(Micros::micros).ok().filter(|micros| *micros >= 0);
    read.ok_or_else(|| ContractError::Part(of.to_owned(), "an amount is such as 45.00, and not below zero"))
}

/// Millionths of a percentage with at most four decimals, from 0 to 100.
fn percent(of: &str, text: &str) -> Result<i64, ContractError> {
    let micros = Micros::parse(text).map(Micros::micros).ok();
    let read = micros.filter(|micros| micros % 100 == 0 && (0..=100_000_000).contains(micros));
    let wrong = || ContractError::Part(of.to_owned(), "a percentage is from 0 to 100 with at most 4 decimals");
    read.map(|micros| micros / 100).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::super::{Contract, builtin};

    const RULE: &str = "[[rule]]\nid='r'\nseller='a'\non='lead'\neffective_from='2026-10-01'\ncurrency='USD'\n";
    const FIXED: &str = "price={kind='fixed',amount='45.00'}\n";

    fn parse(text: &str) -> Result<Contract, String> {
        Contract::parse(&format!("pack='pricing'\nversion='1'\n{text}")).map_err(|error| error.to_string())
    }

    #[test]
    fn the_shipped_contract_reads_and_prices_nothing() {
        assert_eq!(builtin().map(|contract| contract.rules.len()), Some(0));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(parse(&format!("{RULE}{FIXED}")).is_ok());
        for (text, what) in [
            (format!("{RULE}{FIXED}{RULE}{FIXED}"), "r: the id is no id, or is used twice"),
            (format!("{RULE}{FIXED}effective_to='2026-10-01'"), "r: ends before it begins"),
            (format!("{RULE}{FIXED}when={{states=['ZZ']}}"), "r: names a state"),
            (format!("{RULE}{FIXED}payouts=[{{party='p',kind='agent'}}]"), "r: a payout is"),
            (
                format!(
                    "{RULE}{FIXED}payouts=[{{party='p',kind='agent',percent='60'}},{{party='q',kind='agent',percent='41'}}]"
                ),
                "r: pays out more",
            ),
            (format!("{RULE}{FIXED}nonsense=1"), "nonsense"),
            (format!("{RULE}price={{kind='fixed',amount='-1'}}"), "r: an amount"),
            (format!("{RULE}price={{kind='fixed',amount='1.0000001'}}"), "r: an amount"),
            (format!("{RULE}price={{kind='share',percent='10'}}"), "r: prices by duration"),
            (format!("{RULE}price={{kind='volume',period='month',tiers=[{{from=2,amount='1'}}]}}"), "r: tiers begin"),
            (format!("{RULE}price={{kind='volume',period='month',tiers=[]}}"), "r: tiers begin"),
            (format!("{}price={{kind='share',percent='100.1'}}", RULE.replace("'lead'", "'sale'")), "r: a percentage"),
            (
                format!("{}price={{kind='share',percent='5',floor='2',cap='1'}}", RULE.replace("'lead'", "'sale'")),
                "r: the floor",
            ),
            ("[[terms]]\nseller='a'\ncurrency='ZZZ'\n".to_owned(), "a: names a currency"),
            (
                "[[terms]]\nseller='a'\ncurrency='USD'\nreturns={reasons=['whim'],days=1}\n".to_owned(),
                "a: names a reason",
            ),
            ("[[terms]]\nseller='a'\ncurrency='USD'\n".repeat(2), "a: is no id, or has terms twice"),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(what), "{error} instead of {what}");
        }
    }
}
