//! Pricing through the command line: tiers by what came before, caps, consent, payouts, and who refuses what by name.

use std::process::Command;

use serde_json::{Value, json};

const CONTRACT: &str = r#"
pack = "pricing"
version = "test-1"

[[rule]]
id = "a-leads"
seller = "broker-a"
on = "lead"
effective_from = "2026-10-01"
effective_to = "2026-12-01"
currency = "USD"
when = { states = ["OH"], consent = true }
price = { kind = "graduated", period = "month", tiers = [{ from = 1, amount = "50.00" }, { from = 3, amount = "45.00" }] }
caps = { period = "day", count = 3 }
payouts = [{ party = "pub-12", kind = "publisher", percent = "30" }, { party = "agent-7", kind = "agent", amount = "2.00" }]

[[rule]]
id = "a-calls"
seller = "broker-a"
on = "call"
effective_from = "2026-10-01"
currency = "USD"
price = { kind = "call", over_seconds = 90, amount = "35.00" }

[[rule]]
id = "a-share"
seller = "broker-a"
on = "sale"
effective_from = "2026-10-01"
currency = "USD"
price = { kind = "share", percent = "12.5", floor = "10.00", cap = "500.00" }
"#;

fn rate(lines: &[Value]) -> Result<Vec<Value>, String> {
    let folder = tempfile::tempdir().unwrap();
    let (contract, events) = (folder.path().join("contract.toml"), folder.path().join("events.ndjson"));
    std::fs::write(&contract, CONTRACT).unwrap();
    std::fs::write(&events, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tallystick"));
    let done = command.args(["pricing", "rate"]).arg(events).arg("--contract").arg(contract).output().unwrap();
    if !done.status.success() {
        return Err(String::from_utf8(done.stderr).unwrap());
    }
    let lines = String::from_utf8(done.stdout).unwrap();
    Ok(lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn lead(day: u32) -> Value {
    json!({ "on": "lead", "seller": "broker-a", "occurred": format!("2026-11-{day:02}T12:00:00Z"), "state": "OH", "consent": true })
}

#[test]
fn events_are_priced_in_order_and_every_rule_says_why() {
    let mut without = lead(5);
    without["consent"] = json!(false);
    let mut late = lead(5);
    late["occurred"] = json!("2026-12-01T00:00:00Z");
    let call = |seconds: i64| json!({ "on": "call", "seller": "broker-a", "occurred": "2026-11-05T12:00:00Z", "seconds": seconds });
    let sale = |amount: &str, currency: &str| {
        json!({ "on": "sale", "seller": "broker-a", "occurred": "2026-11-05T12:00:00Z",
            "stated": { "amount": amount, "currency": currency } })
    };
    let lines = [
        lead(3),
        lead(3),
        lead(3),
        lead(3),
        lead(4),
        without,
        late,
        call(90),
        call(91),
        sale("1000.00", "USD"),
        sale("40.00", "USD"),
        sale("9000.00", "USD"),
        sale("10.00", "EUR"),
    ];
    let priced = rate(&lines).unwrap();
    let prices: Vec<&str> = priced.iter().map(|line| line["price"]["amount"].as_str().unwrap_or("-")).collect();
    assert_eq!(
        prices,
        ["50.00", "50.00", "45.00", "-", "45.00", "-", "-", "-", "35.00", "125.00", "10.00", "500.00", "-"]
    );
    let code = |line: usize, rule: usize| priced[line]["verdicts"][rule]["code"].clone();
    assert_eq!(
        [code(3, 0), code(5, 0), code(6, 0), code(7, 1), code(8, 0), code(12, 2)],
        ["CAP_COUNT", "CONSENT", "NOT_IN_FORCE", "DURATION", "OTHER_EVENT", "NO_STATED_AMOUNT"].map(Value::from)
    );
    assert_eq!(
        priced[0]["payouts"],
        json!([
            { "party": "pub-12", "kind": "publisher", "amount": { "amount": "15.00", "currency": "USD" } },
            { "party": "agent-7", "kind": "agent", "amount": { "amount": "2.00", "currency": "USD" } },
        ])
    );
    // Whoever nobody has a contract with is billed nothing, and no rule speaks.
    let mut stranger = lead(3);
    stranger["seller"] = json!("broker-z");
    let priced = rate(&[stranger]).unwrap();
    assert_eq!((&priced[0]["price"], &priced[0]["verdicts"]), (&Value::Null, &json!([])));
}

#[test]
fn events_that_cannot_be_priced_are_named_by_their_line() {
    for (change, expected) in [
        (json!({ "occurred": "yesterday" }), "line 2: occurred is no RFC 3339 time"),
        (json!({ "stated": { "amount": "1.2345678", "currency": "USD" } }), "line 2: stated is no amount"),
        (json!({ "stated": { "amount": "1", "currency": "QQQ" } }), "line 2: stated has no currency"),
        (json!({ "phone": "secret-word" }), "line 2: not a billable event"),
    ] {
        let mut wrong = lead(3);
        for (name, value) in change.as_object().unwrap() {
            wrong[name] = value.clone();
        }
        let error = rate(&[lead(3), wrong]).unwrap_err();
        assert!(error.contains(expected) && !error.contains("secret-word"), "{error}");
    }
}
