//! What an entry says of a person, as an act that the rules know. Business parts decide; of personal parts only the number
//! that an act names and the topic are read, and both are kept as keyed hashes.

use serde_json::Value;

use crate::domain::time::Timestamp;
use crate::policy::contact::{Category, Channel, Grant, LineType, Purpose, StopBy, Technology, What};

/// Whether events of a type can say anything here; the others are not opened.
pub(super) fn bears(event_type: &str) -> bool {
    match event_type.split('.').next() {
        Some("lead" | "privacy" | "relationship" | "subject" | "suppression") => true,
        Some("consent") => matches!(event_type, "consent.carried" | "consent.granted" | "consent.revoked"),
        Some("contact") => matches!(event_type, "contact.attempted" | "contact.message_sent" | "contact.received"),
        _ => matches!(event_type, "event.annulled" | "identifier.conflict" | "identifier.moved"),
    }
}

/// An event, opened as far as it opens.
pub(super) struct Event<'a> {
    pub event_type: &'a str,
    pub recorded: Timestamp,
    /// `data` of the business or public part.
    pub data: &'a Value,
    pub derived: &'a Value,
    /// Keyed hash of the topic, where it can still be read.
    pub topic: Option<String>,
}

impl Event<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        self.data.get(name).and_then(Value::as_str)
    }

    fn owned(&self, name: &str) -> Option<String> {
        self.text(name).map(str::to_owned)
    }

    fn flag(&self, name: &str) -> bool {
        self.data.get(name) == Some(&Value::Bool(true))
    }

    fn time(&self, name: &str) -> Option<Timestamp> {
        self.text(name).and_then(|text| Timestamp::parse_rfc3339(text).ok())
    }

    fn words<T: serde::de::DeserializeOwned>(&self, name: &str) -> Vec<T> {
        let list = self.data.get(name).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(|word| serde_json::from_value(word.clone()).ok()).collect()
    }

    fn word<T: serde::de::DeserializeOwned>(&self, name: &str) -> Option<T> {
        self.data.get(name).and_then(|word| serde_json::from_value(word.clone()).ok())
    }

    fn holds(&self, list: &str, words: &[&str]) -> bool {
        let list = self.data.get(list).and_then(Value::as_array);
        // No list means all.
        list.is_none_or(|list| {
            list.is_empty() || list.iter().filter_map(Value::as_str).any(|word| words.contains(&word))
        })
    }

    fn reaches_phone(&self) -> bool {
        self.holds("channels", &["voice", "sms", "mms"])
    }

    fn reaches_email(&self) -> bool {
        self.holds("channels", &["email"])
    }

    /// When it happened: as stated, but never after the ledger learnt it, so that a provider's fast clock hides nothing.
    pub fn at(&self, occurred: Option<Timestamp>) -> Timestamp {
        let carried = self.data.get("carried").and_then(|carried| carried.get("occurred")).and_then(Value::as_str);
        let carried = carried.and_then(|text| Timestamp::parse_rfc3339(text).ok());
        let stated = carried.or(occurred).unwrap_or(self.recorded).min(self.recorded);
        match self.event_type {
            // A revocation counts from the moment it reached the company, 47 CFR 64.1200(a)(10).
            "consent.revoked" => self.time("received_at").map_or(stated, |received| received.min(stated)),
            _ => stated,
        }
    }

    fn stop(&self, by: StopBy, phone: bool, email: bool) -> What {
        What::Stopped { by, seller: self.owned("seller"), category: self.word::<Category>("category"), phone, email }
    }

    /// The acts that this event is; none for most types.
    pub fn acts(&self) -> Vec<What> {
        match self.event_type.split('.').next() {
            Some("consent") => self.consent(),
            Some("contact") => self.contact(),
            Some("privacy") => self.privacy(),
            Some("suppression") => self.suppression(),
            Some("relationship" | "lead" | "subject") => self.person(),
            _ => Vec::new(),
        }
    }

    fn consent(&self) -> Vec<What> {
        match self.event_type {
            "consent.granted" | "consent.carried" => {
                let derived = |name: &str| self.derived.get(name) == Some(&Value::Bool(true));
                let Some(kind) = self.word("kind") else { return Vec::new() };
                vec![What::Granted(Grant {
                    kind,
                    sellers: self.words("sellers"),
                    channels: self.words("channels"),
                    technologies: self.words("technologies"),
                    purposes: self.words("purposes"),
                    signed: derived("signature_present"),
                    disclosed: derived("disclosures_complete"),
                    valid_from: self.time("valid_from"),
                    valid_until: self.time("valid_until"),
                })]
            }
            "consent.revoked" => vec![self.stop(StopBy::Revoked, self.reaches_phone(), self.reaches_email())],
            _ => Vec::new(),
        }
    }

    fn contact(&self) -> Vec<What> {
        let channel: Option<Channel> = self.word("channel");
        match self.event_type {
            "contact.received" => {
                let by_mail = channel == Some(Channel::Email);
                match self.derived.get("reply_class").and_then(Value::as_str) {
                    Some("opt_out") => vec![self.stop(StopBy::Reply, !by_mail, by_mail)],
                    Some("start") if !by_mail => vec![What::Started],
                    Some("review") => vec![What::Reviewed],
                    Some("wrong_number") if !by_mail => vec![What::WrongNumber],
                    _ => Vec::new(),
                }
            }
            "contact.attempted" => {
                let (Some(channel), Some(purpose)) = (channel, self.word("purpose")) else { return Vec::new() };
                vec![What::Attempted {
                    channel,
                    // Not said: counted as a machine, which is the safe side of every limit.
                    technology: self.word("technology").unwrap_or(Technology::Automated),
                    purpose,
                    seller: self.owned("seller").unwrap_or_default(),
                    topic: self.topic.clone(),
                }]
            }
            "contact.message_sent" if self.flag("opt_out_confirmation") => vec![What::Attempted {
                channel: channel.unwrap_or(Channel::Sms),
                technology: Technology::Automated,
                purpose: Purpose::OptOutConfirmation,
                seller: self.owned("seller").unwrap_or_default(),
                topic: None,
            }],
            _ => Vec::new(),
        }
    }

    fn privacy(&self) -> Vec<What> {
        let sale = self.holds("rights", &["sale", "sharing"]);
        match self.event_type {
            "privacy.objected" if self.holds("against", &["marketing", "legitimate_interest"]) => vec![What::Objected],
            "privacy.opted_out" if sale => vec![What::CcpaOptedOut { gpc: self.text("source") == Some("gpc") }],
            "privacy.opted_in" if sale => vec![What::CcpaOptedIn],
            "privacy.signal_received" if self.text("value") == Some("opt_out") => {
                vec![What::CcpaOptedOut { gpc: true }]
            }
            "privacy.processing_restricted" => vec![self.stop(StopBy::Suppression, true, true)],
            _ => Vec::new(),
        }
    }

    fn suppression(&self) -> Vec<What> {
        let (phone, email) = (self.reaches_phone(), self.reaches_email());
        match self.event_type {
            "suppression.dnc_requested" => vec![self.stop(StopBy::DncRequest, true, false)],
            "suppression.drop_matched" => {
                let status = self.data.get("status_reported").and_then(Value::as_u64);
                vec![What::DropMatched { status: status.and_then(|status| u8::try_from(status).ok()) }]
            }
            "suppression.email_opted_out" => vec![What::EmailOptedOut { sender: self.owned("sender") }],
            "suppression.list_checked" => {
                let copy_of = self.text("list_date").map(|date| format!("{date}T00:00:00Z"));
                let (Some(list), Some(result)) = (self.owned("list"), self.owned("result")) else { return Vec::new() };
                let copy_of = copy_of.and_then(|text| Timestamp::parse_rfc3339(&text).ok());
                vec![What::ListChecked { list, result, copy_of }]
            }
            "suppression.wrong_number_reported" if self.text("channel") != Some("email") => vec![What::WrongNumber],
            "suppression.added" => self.suppressed(phone, email),
            "suppression.removed" => match self.text("reason") {
                Some("start_keyword") if phone => vec![What::Started],
                Some("entered_in_error") => vec![What::Cleared { phone, email }],
                Some("list_removed") => vec![What::DropReleased],
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    fn suppressed(&self, phone: bool, email: bool) -> Vec<What> {
        let listed =
            |list: &str| What::ListChecked { list: list.to_owned(), result: "listed".to_owned(), copy_of: None };
        vec![match self.text("reason") {
            Some("ccpa_opt_out") => What::CcpaOptedOut { gpc: false },
            Some("drop") => What::DropMatched { status: None },
            Some("email_opt_out") => What::EmailOptedOut { sender: self.owned("seller") },
            Some("erased") => What::Erased { token_kept: true },
            Some("gdpr_objection") => What::Objected,
            Some("hard_bounce") => self.stop(StopBy::Suppression, false, true),
            Some("litigator") => listed("litigator"),
            Some("wrong_number") => What::WrongNumber,
            _ => self.stop(StopBy::Suppression, phone, email),
        }]
    }

    fn person(&self) -> Vec<What> {
        let listed =
            |list: &str| What::ListChecked { list: list.to_owned(), result: "listed".to_owned(), copy_of: None };
        let seller = || self.owned("seller").unwrap_or_default();
        match self.event_type {
            "relationship.inquiry_recorded" => vec![What::Inquired { seller: seller() }],
            "relationship.transaction_recorded" => vec![What::Transacted {
                seller: seller(),
                similar_products: self.flag("similar_products"),
                opt_out_offered: self.flag("opt_out_offered"),
            }],
            "lead.imported" => {
                // What the seller of the list says against the person is believed.
                let dnc = self.flag("dnc_flagged").then(|| listed("ndnc"));
                dnc.into_iter().chain(self.flag("litigator").then(|| listed("litigator"))).collect()
            }
            "subject.carried" if self.text("kind") == Some("revocation") => {
                vec![self.stop(StopBy::Revoked, self.reaches_phone(), self.reaches_email())]
            }
            "subject.erased" => vec![What::Erased { token_kept: self.flag("suppression_token_kept") }],
            "subject.erasure_started" => vec![What::Erased { token_kept: true }],
            _ => Vec::new(),
        }
    }

    /// Other people whose history belongs to the same identifier.
    pub fn linked(&self) -> Vec<String> {
        let one = |name: &str| self.owned(name).into_iter().collect();
        match self.event_type {
            "identifier.moved" => one("from_subject"),
            "identifier.conflict" => {
                let candidates = self.data.get("candidates").and_then(Value::as_array).into_iter().flatten();
                candidates.filter_map(|one| one.get("subject")?.as_str().map(str::to_owned)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Whom the person is read together with from here on, or no longer.
    pub fn merged(&self) -> Option<(String, bool)> {
        match self.event_type {
            "subject.merged" => Some((self.owned("other")?, true)),
            "subject.unmerged" => Some((self.owned("other")?, false)),
            "subject.carried" if self.text("kind") == Some("merge") => Some((self.owned("other")?, true)),
            _ => None,
        }
    }

    /// The kind of line, where the event knows it.
    pub fn line_type(&self) -> Option<LineType> {
        self.word::<LineType>("line_type").filter(|line| *line != LineType::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Registry;

    /// What an event says, judged by the example of its schema.
    fn says(example: &Value) -> bool {
        let event_type = example.get("type").and_then(Value::as_str).unwrap();
        let none = Value::Null;
        let (data, derived) = (example.get("data").unwrap_or(&none), &none);
        let event = Event { event_type, recorded: Timestamp::MIN, data, derived, topic: None };
        let (linked, merged) = (event.linked().is_empty(), event.merged().is_none());
        !(event.acts().is_empty() && linked && merged && event.line_type().is_none())
    }

    #[test]
    fn types_that_are_not_opened_say_nothing() {
        let registry = Registry::builtin().unwrap();
        let (mut told, mut silent) = (0, 0);
        for example in registry.all().iter().filter_map(|schema| schema.example()) {
            if bears(example.get("type").and_then(Value::as_str).unwrap()) {
                told += u32::from(says(example));
            } else {
                assert!(!says(example), "{example}");
                silent += 1;
            }
        }
        assert!(told > 15 && silent > 60, "{told} say something, {silent} are not opened");
    }
}
