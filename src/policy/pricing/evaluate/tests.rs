//! Prices, verdicts and caps, and what holds of all of them.

use proptest::prelude::*;

use super::*;

fn contract(on: &str, rest: &str) -> Contract {
    let rule =
        format!("[[rule]]\nid='r'\nseller='a'\non='{on}'\neffective_from='2026-10-01'\ncurrency='USD'\n{rest}\n");
    Contract::parse(&format!("pack='pricing'\nversion='1'\n{rule}")).unwrap()
}

fn event(on: Billable) -> BillableEvent {
    BillableEvent {
        on,
        seller: "a".to_owned(),
        occurred: Timestamp::parse_rfc3339("2026-11-20T12:00:00Z").unwrap(),
        campaign: Some("c".to_owned()),
        source: None,
        state: Some("OH".to_owned()),
        band: Some("B".to_owned()),
        consent: true,
        seconds: Some(61),
        stated: Some((200_000_000, Currency::USD)),
    }
}

/// Amount and the only rule's verdict.
fn told(on: Billable, rest: &str, change: impl Fn(&mut BillableEvent)) -> (i64, &'static str) {
    let name = match on {
        Billable::Appointment => "appointment",
        Billable::Call => "call",
        Billable::Lead => "lead",
        Billable::Sale => "sale",
        Billable::Show => "show",
    };
    let (contract, mut event) = (contract(name, rest), event(on));
    change(&mut event);
    let priced = price(&contract, &event, &Usage::default()).unwrap();
    (priced.amount, priced.verdicts.first().unwrap().code.code())
}

#[test]
fn each_kind_of_price_comes_out_and_each_refusal_has_its_reason() {
    use Billable::*;
    let same = |_: &mut BillableEvent| ();
    let fixed = "price={kind='fixed',amount='45.00'}\n";
    let bands = "price={kind='band',bands={A='60.00',B='40.00'}}";
    let call = "price={kind='call',over_seconds=60,amount='35.00'}";
    let steps = "price={kind='duration',steps=[{from_seconds=20,amount='5'},{from_seconds=60,amount='30'}]}";
    let share = "price={kind='share',percent='12.5',floor='10.00',cap='50.00'}";
    for on in [Appointment, Lead, Show] {
        assert_eq!(told(on, fixed, same), (45_000_000, "PRICE_APPLIED"));
    }
    assert_eq!(told(Lead, bands, same), (40_000_000, "PRICE_APPLIED"));
    assert_eq!(told(Lead, bands, |event| event.band = None), (0, "BAND"));
    assert_eq!(told(Lead, "price={kind='offer'}", same), (200_000_000, "PRICE_APPLIED"));
    assert_eq!(told(Lead, "price={kind='offer'}", |event| event.stated = None), (0, "NO_STATED_AMOUNT"));
    assert_eq!(told(Call, call, same), (35_000_000, "PRICE_APPLIED"));
    assert_eq!(told(Call, call, |event| event.seconds = Some(60)), (0, "DURATION"), "over, not at, the threshold");
    assert_eq!(told(Call, steps, same), (30_000_000, "PRICE_APPLIED"));
    assert_eq!(told(Call, steps, |event| event.seconds = Some(59)), (5_000_000, "PRICE_APPLIED"));
    assert_eq!(told(Call, steps, |event| event.seconds = Some(19)), (0, "DURATION"));
    for (sale, fee) in [(200_000_000, 25_000_000), (8_000_000, 10_000_000), (900_000_000, 50_000_000)] {
        let found = told(Sale, share, |event| event.stated = Some((sale, Currency::USD)));
        assert_eq!(found, (fee, "PRICE_APPLIED"));
    }
    let euro = Currency::parse("EUR").unwrap();
    assert_eq!(told(Sale, share, |event| event.stated = Some((1, euro))), (0, "NO_STATED_AMOUNT"));
    for (when, code) in [
        ("campaigns=['d']", "CAMPAIGN"),
        ("sources=['s']", "SOURCE"),
        ("states=['MI']", "STATE"),
        ("bands=['A']", "BAND"),
        ("consent=false", "CONSENT"),
    ] {
        assert_eq!(told(Lead, &format!("{fixed}when={{{when}}}"), same), (0, code));
    }
    let day = |text| move |event: &mut BillableEvent| event.occurred = Timestamp::parse_rfc3339(text).unwrap();
    let dated = format!("{fixed}effective_to='2026-11-20'");
    assert_eq!(told(Lead, &dated, day("2026-09-30T23:59:59Z")), (0, "NOT_IN_FORCE"));
    assert_eq!(told(Lead, &dated, day("2026-10-01T00:00:00Z")), (45_000_000, "PRICE_APPLIED"));
    assert_eq!(told(Lead, &dated, day("2026-11-19T23:59:59Z")), (45_000_000, "PRICE_APPLIED"));
    assert_eq!(told(Lead, &dated, day("2026-11-20T00:00:00Z")), (0, "NOT_IN_FORCE"));
    assert_eq!(told(Lead, fixed, |event| event.on = Show), (0, "OTHER_EVENT"));
}

#[test]
fn the_first_rule_that_takes_the_event_prices_it_and_all_are_named() {
    let rule = |id: &str, amount: &str, more: &str| {
        format!(
            "[[rule]]\nid='{id}'\nseller='a'\non='lead'\neffective_from='2026-10-01'\ncurrency='USD'\nprice={{kind='fixed',amount='{amount}'}}\n{more}\n"
        )
    };
    let other = rule("x", "1", "").replace("seller='a'", "seller='b'");
    let text = [
        rule("no-consent", "20", "when={consent=false}"),
        rule(
            "first",
            "45",
            "payouts=[{party='p',kind='publisher',percent='33.3333'},{party='g',kind='agent',amount='2'}]",
        ),
        rule("second", "40", ""),
        other,
    ];
    let contract = Contract::parse(&format!("pack='pricing'\nversion='1'\n{}", text.concat())).unwrap();
    let priced = price(&contract, &event(Billable::Lead), &Usage::default()).unwrap();
    let verdicts: Vec<(&str, &str)> =
        priced.verdicts.iter().map(|verdict| (verdict.rule.as_str(), verdict.code.code())).collect();
    assert_eq!(verdicts, [("no-consent", "CONSENT"), ("first", "PRICE_APPLIED"), ("second", "EARLIER_RULE")]);
    assert_eq!(priced.payouts.iter().map(|paid| paid.amount).collect::<Vec<_>>(), [14_999_985, 2_000_000]);
    // Consent is part of the price: without it, the other rule is the first.
    let without = BillableEvent { consent: false, ..event(Billable::Lead) };
    assert_eq!(price(&contract, &without, &Usage::default()).unwrap().amount, 20_000_000);
    let stranger = BillableEvent { seller: "c".to_owned(), ..event(Billable::Lead) };
    let none = price(&contract, &stranger, &Usage::default()).unwrap();
    assert_eq!((none.rule, none.amount, none.verdicts), (None, 0, Vec::new()));
}

/// Amounts of `count` events one after the other.
fn run(contract: &Contract, count: u64) -> Vec<i64> {
    let (event, mut usage, mut amounts) = (event(Billable::Lead), Usage::default(), Vec::new());
    for _ in 0..count {
        let priced = price(contract, &event, &usage).unwrap();
        if let Some(rule) = priced.rule {
            usage.count(rule, event.occurred, priced.amount).unwrap();
            amounts.push(priced.amount);
        }
    }
    amounts
}

#[test]
fn caps_end_a_period_and_the_next_one_begins_anew() {
    let price_text = "price={kind='fixed',amount='45.00'}\n";
    assert_eq!(run(&contract("lead", &format!("{price_text}caps={{period='month',count=3}}")), 9).len(), 3);
    assert_eq!(run(&contract("lead", &format!("{price_text}caps={{period='month',spend='100'}}")), 9).len(), 2);
    assert_eq!(run(&contract("lead", price_text), 9).len(), 9, "the twin without a cap");
    let capped = contract("lead", &format!("{price_text}caps={{period='month',count=1}}"));
    let (first, mut usage) = (event(Billable::Lead), Usage::default());
    usage.count(&capped.rules[0], first.occurred, 45_000_000).unwrap();
    assert_eq!(price(&capped, &first, &usage).unwrap().verdicts[0].code, VerdictCode::CapCount);
    for (at, amount) in [("2026-11-30T23:59:59Z", 0), ("2026-12-01T00:00:00Z", 45_000_000)] {
        let later = BillableEvent { occurred: Timestamp::parse_rfc3339(at).unwrap(), ..first.clone() };
        assert_eq!(price(&capped, &later, &usage).unwrap().amount, amount, "{at}");
    }
}

#[test]
fn graduated_tiers_price_each_unit_and_volume_tiers_all() {
    let tiers = "tiers=[{from=1,amount='50'},{from=3,amount='40'}]}";
    let graduated = contract("lead", &format!("price={{kind='graduated',period='month',{tiers}"));
    assert_eq!(run(&graduated, 4), [50_000_000, 50_000_000, 40_000_000, 40_000_000]);
    let volume = contract("lead", &format!("price={{kind='volume',period='month',{tiers}"));
    let Pricing::Volume(_, tiers) = &volume.rules[0].price else { panic!("no volume") };
    assert_eq!((volume_settled(tiers, 2), volume_settled(tiers, 4)), (Ok(100_000_000), Ok(160_000_000)));
    assert_eq!(volume_settled(tiers, 0), Ok(0));
    assert_eq!(volume_settled(tiers, u64::MAX), Err(MoneyError::Range));
}

proptest! {
    /// More units never cost less together, where each has the price of its tier.
    #[test]
    fn graduated_tiers_are_monotone(steps in prop::collection::vec((1_u64..20, 0_i64..1_000), 1..6), count in 0_u64..60) {
        let mut from = 1;
        let mut tiers = Vec::new();
        for (width, amount) in steps {
            tiers.push(format!("{{from={from},amount='{amount}'}}"));
            from += width;
        }
        let text = format!("price={{kind='graduated',period='lifetime',tiers=[{}]}}", tiers.join(","));
        let graduated = contract("lead", &text);
        let (fewer, more): (i64, i64) = (run(&graduated, count).iter().sum(), run(&graduated, count + 1).iter().sum());
        prop_assert!(fewer <= more);
    }

    /// A share lies between its floor and its cap, and percentages of a price never pay out more than the price.
    #[test]
    fn parts_stay_within_the_whole(sale in 0_i64..1 << 50, first in 0_u32..=50, second in 0_u32..=50) {
        let text = format!("price={{kind='share',percent='12.5',floor='10',cap='500'}}\npayouts=[{{party='p',kind='agent',percent='{first}'}},{{party='q',kind='publisher',percent='{second}'}}]");
        let (contract, event) = (contract("sale", &text), BillableEvent { stated: Some((sale, Currency::USD)), ..event(Billable::Sale) });
        let priced = price(&contract, &event, &Usage::default()).unwrap();
        prop_assert!((10_000_000..=500_000_000).contains(&priced.amount));
        prop_assert!(priced.payouts.iter().map(|paid| paid.amount).sum::<i64>() <= priced.amount);
    }
}
