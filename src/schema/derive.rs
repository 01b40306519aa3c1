//! Facts computed from personal data at seal time that may outlive it: a closed list, in a golden file.
//!
//! They go into the business part under [`DERIVED`], so that gates and totals work after an erasure without any name or
//! number. Each is a closed enum, a flag, or a place no smaller than a state. Nothing here looks anything up elsewhere: the
//! tables are part of the build and their versions are derived facts too.

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::domain::email::Email;
use crate::domain::nanp::area_codes;
use crate::domain::phone::Phone;
use crate::domain::reply;

/// The member of the business part that holds derived facts; no schema may define a property of this name.
pub const DERIVED: &str = "derived";

/// Every derived fact and what it says, sorted by name.
pub const DERIVED_FACTS: &[(&str, &str)] = &[
    ("area_codes", "version of policies/area-codes.toml; present with country"),
    ("caller_id_present", "a call or text names the number it comes from"),
    ("country", "ISO 3166 country of the phone number; absent if it is no one country's"),
    ("disclosures_complete", "a consent text disclosed automation and that consent is no condition of purchase"),
    ("footer_complete", "a mail carries a working opt-out and a postal address"),
    ("replies", "version of policies/replies.toml; present with reply_class"),
    ("reply_class", "opt_out, start, wrong_number, review or other: what an inbound text asks for"),
    ("signature_present", "a consent was signed, and not by a box checked beforehand"),
    ("states", "postal codes of the states of the phone number's area code"),
    ("wireless_domain", "the e-mail address is at a domain that carries mail to phones"),
    ("wireless_domains", "version of policies/wireless-domains.toml; present with wireless_domain"),
    ("zones", "candidate IANA time zones of the phone number's area code"),
];

const WIRELESS_TEXT: &str = include_str!("../../policies/wireless-domains.toml");

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct WirelessDomains {
    version: String,
    /// Sorted.
    domains: Vec<String>,
}

fn wireless_domains() -> &'static WirelessDomains {
    // A test proves that the file reads; if it did not, no address would be at such a domain.
    static DOMAINS: LazyLock<WirelessDomains> = LazyLock::new(|| toml::from_str(WIRELESS_TEXT).unwrap_or_default());
    &DOMAINS
}

/// Version and text of the table of domains that carry mail to phones, for the log.
pub fn wireless_table() -> (&'static str, &'static str) {
    (&wireless_domains().version, WIRELESS_TEXT)
}

/// The derived facts of an event's data, before it is divided. Empty for most types.
pub fn derive(event_type: &str, data: &Value) -> Map<String, Value> {
    let mut facts = Map::new();
    let text = |name: &str| data.get(name).and_then(Value::as_str);
    let identifier =
        |kind: &str| text("value").filter(|_| event_type.starts_with("identifier.") && text("kind") == Some(kind));
    if let Some(phone) = text("phone").or_else(|| identifier("phone")) {
        phone_facts(phone, &mut facts);
    }
    if let Some(email) = text("email").or_else(|| identifier("email")) {
        email_facts(email, &mut facts);
    }
    match event_type {
        "consent.carried" | "consent.granted" => consent_facts(data, &mut facts),
        "contact.attempted" | "contact.message_sent" => contact_facts(data, &mut facts),
        "contact.received" => reply_facts(text("body"), &mut facts),
        _ => {}
    }
    facts
}

/// Country and, under +1, candidate states and zones of a number.
pub fn phone_facts(phone: &str, facts: &mut Map<String, Value>) {
    let Ok(phone) = Phone::parse(phone, Phone::DEFAULT_COUNTRY) else { return };
    let Some(country) = phone.country() else { return };
    put(facts, "country", country);
    let Some(area) = phone.area_code().and_then(|code| area_codes().area(code)) else { return };
    put(facts, "area_codes", area_codes().version.as_str());
    if let Some(state) = &area.state {
        put(facts, "states", vec![Value::from(state.as_str())]);
        put(facts, "zones", area.zones.iter().map(|zone| Value::from(zone.as_str())).collect::<Vec<_>>());
    }
}

/// Whether an address is at a domain that carries mail to phones.
pub fn email_facts(email: &str, facts: &mut Map<String, Value>) {
    let Ok(email) = Email::parse(email) else { return };
    put(facts, "wireless_domain", is_wireless_domain(email.domain()));
    put(facts, "wireless_domains", wireless_domains().version.as_str());
}

fn is_wireless_domain(domain: &str) -> bool {
    let listed = &wireless_domains().domains;
    let starts = std::iter::once(0).chain(domain.match_indices('.').map(|(place, _)| place + 1));
    starts
        .filter_map(|start| domain.get(start..))
        .any(|parent| listed.binary_search_by(|known| known.as_str().cmp(parent)).is_ok())
}

fn consent_facts(data: &Value, facts: &mut Map<String, Value>) {
    let signature = data.get("signature").and_then(Value::as_str);
    put(facts, "signature_present", signature.is_some_and(|how| how != "none" && how != "prechecked_box"));
    let disclosed = |flag: &str| data.get("disclosure").and_then(|all| all.get(flag)) == Some(&Value::Bool(true));
    put(facts, "disclosures_complete", disclosed("authorizes_automated") && disclosed("not_condition_of_purchase"));
}

fn contact_facts(data: &Value, facts: &mut Map<String, Value>) {
    if data.get("channel").and_then(Value::as_str) == Some("email") {
        let carries = |flag: &str| data.get("footer").and_then(|footer| footer.get(flag)) == Some(&Value::Bool(true));
        put(facts, "footer_complete", carries("opt_out_mechanism") && carries("physical_address"));
    } else {
        let from = data.get("from").and_then(Value::as_str);
        put(facts, "caller_id_present", from.is_some_and(|from| !from.trim().is_empty()));
    }
}

fn reply_facts(body: Option<&str>, facts: &mut Map<String, Value>) {
    let (Some(body), Some(replies)) = (body, reply::replies()) else { return };
    put(facts, "reply_class", replies.classify(body).name());
    put(facts, "replies", replies.version.as_str());
}

fn put(facts: &mut Map<String, Value>, name: &'static str, value: impl Into<Value>) {
    debug_assert!(DERIVED_FACTS.binary_search_by_key(&name, |(known, _)| known).is_ok(), "{name} is not in the list");
    facts.insert(name.to_owned(), value.into());
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn facts(event_type: &str, data: Value) -> Value {
        Value::Object(derive(event_type, &data))
    }

    #[test]
    fn lists_and_tables_are_in_order() {
        assert!(DERIVED_FACTS.is_sorted_by_key(|(name, _)| name));
        let table: WirelessDomains = toml::from_str(WIRELESS_TEXT).unwrap();
        assert!(table.domains.is_sorted() && !table.version.is_empty());
    }

    #[test]
    fn a_phone_number_leaves_country_states_and_zones() {
        let version = area_codes().version.as_str();
        assert_eq!(
            facts("lead.received", json!({"phone": "(219) 555-0100"})),
            json!({"country": "US", "states": ["IN"], "zones": ["America/New_York", "America/Chicago"], "area_codes": version})
        );
        assert_eq!(
            facts("lead.received", json!({"phone": "+14165550100"})),
            json!({"country": "CA", "area_codes": version})
        );
        assert_eq!(facts("lead.received", json!({"phone": "+4930901820"})), json!({"country": "DE"}));
        assert_eq!(facts("lead.received", json!({"phone": "+18005550100"})), json!({}));
        assert_eq!(
            facts("identifier.bound", json!({"kind": "phone", "value": "+4930901820"})),
            json!({"country": "DE"})
        );
        assert_eq!(facts("identifier.bound", json!({"kind": "ref", "value": "+4930901820"})), json!({}));
    }

    #[test]
    fn mail_to_phones_is_flagged_by_domain_and_subdomain() {
        for (email, wireless) in [
            ("6145550100@mms.example", true),
            ("6145550100@VTEXT.com", true),
            ("x@sub.vtext.com", true),
            ("x@notvtext.com", false),
            ("x@example.com", false),
        ] {
            assert_eq!(facts("lead.received", json!({"email": email}))["wireless_domain"], json!(wireless), "{email}");
        }
    }

    #[test]
    fn consent_flags_need_what_the_rule_needs() {
        let full = json!({"signature": "drawn", "disclosure": {"authorizes_automated": true, "not_condition_of_purchase": true}});
        assert_eq!(facts("consent.granted", full), json!({"signature_present": true, "disclosures_complete": true}));
        let half = json!({"signature": "prechecked_box", "disclosure": {"authorizes_automated": true}});
        assert_eq!(facts("consent.granted", half), json!({"signature_present": false, "disclosures_complete": false}));
        assert_eq!(facts("consent.granted", json!({}))["signature_present"], json!(false));
    }

    #[test]
    fn contact_flags_follow_the_channel() {
        let footer = json!({"opt_out_mechanism": true, "physical_address": true});
        assert_eq!(
            facts("contact.attempted", json!({"channel": "email", "footer": footer})),
            json!({"footer_complete": true})
        );
        assert_eq!(facts("contact.attempted", json!({"channel": "email"})), json!({"footer_complete": false}));
        assert_eq!(
            facts("contact.attempted", json!({"channel": "voice", "from": " "})),
            json!({"caller_id_present": false})
        );
        assert_eq!(
            facts("contact.attempted", json!({"channel": "sms", "from": "+16145550100"})),
            json!({"caller_id_present": true})
        );
    }

    #[test]
    fn inbound_text_leaves_its_class() {
        let got = facts("contact.received", json!({"channel": "sms", "body": "Stop."}));
        assert_eq!(got["reply_class"], json!("opt_out"));
        assert_eq!(facts("contact.received", json!({"channel": "voice"})), json!({}));
        assert_eq!(
            facts("contact.attempted", json!({"channel": "sms", "body": "STOP"})),
            json!({"caller_id_present": false})
        );
    }
}
