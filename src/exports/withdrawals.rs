//! Which entries say that a person does not want to be contacted, and what of them was known when a contact was recorded.
//!
//! Promises: what an entry is called decides, which nobody can seal away; for inbound messages the reply class that the
//! ledger gave them decides. Must never say whether a withdrawal covers a contact: that is the decision's to say.

use crate::exports::parts::Derived;

/// Types that withdraw, whatever they say inside.
const WITHDRAWING: [&str; 7] = [
    "consent.revoked",
    "privacy.objected",
    "privacy.opted_out",
    "suppression.added",
    "suppression.dnc_requested",
    "suppression.email_opted_out",
    "suppression.wrong_number_reported",
];
/// An inbound message: its reply class decides.
const RECEIVED: &str = "contact.received";
/// A contact that was made.
pub const ATTEMPTED: &str = "contact.attempted";
/// Most contacts that are spoken of one by one.
pub const CONTACTS_MAX: usize = 50;

/// An entry of the person, as far as it matters here.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// Where it stands.
    pub position: u64,
    /// Its type.
    pub event_type: &'a str,
    /// Its business part, if it is opened.
    pub business: Option<&'a [u8]>,
}

/// What the log held when a contact was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Position of the contact.
    pub contact: u64,
    /// Entries of the person before it.
    pub entries: usize,
    /// Positions of withdrawals before it.
    pub withdrawals: Vec<u64>,
    /// Positions of inbound messages before it whose class is not shown.
    pub unread: Vec<u64>,
}

/// Whether an entry withdraws; none if that stands in a part that is not shown.
pub fn withdraws(told: &Told<'_>) -> Option<bool> {
    if told.event_type != RECEIVED {
        return Some(WITHDRAWING.contains(&told.event_type));
    }
    let derived = Derived::read(told.business?)?;
    Some(matches!(derived.reply_class.as_deref(), Some("opt_out" | "wrong_number" | "review")))
}

/// For each contact of a person, what was known then. `told` is by position and complete.
pub fn known(told: &[Told<'_>]) -> Vec<Known> {
    let (mut withdrawals, mut unread, mut all) = (Vec::new(), Vec::new(), Vec::new());
    for (entries, entry) in told.iter().enumerate() {
        if entry.event_type == ATTEMPTED {
            let (withdrawals, unread) = (withdrawals.clone(), unread.clone());
            all.push(Known { contact: entry.position, entries, withdrawals, unread });
        }
        match withdraws(entry) {
            Some(true) => withdrawals.push(entry.position),
            Some(false) => {}
            None => unread.push(entry.position),
        }
    }
    all
}

impl Known {
    /// It in words.
    pub fn sentence(&self) -> String {
        let Known { contact, entries, withdrawals, unread } = self;
        let list = |positions: &[u64]| positions.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        let mut said = if withdrawals.is_empty() {
            format!(
                "when the contact at position {contact} was recorded, no withdrawal was known: none of the person's {entries} \
                 entries before it revokes consent, opts out, objects, asks not to be called or reports a wrong number"
            )
        } else {
            format!(
                "when the contact at position {contact} was recorded, withdrawals were known: positions {}",
                list(withdrawals)
            )
        };
        if !unread.is_empty() {
            said.push_str(&format!("; what the messages at positions {} asked for is not shown", list(unread)));
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told<'a>(position: u64, event_type: &'a str, business: Option<&'a [u8]>) -> Told<'a> {
        Told { position, event_type, business }
    }

    #[test]
    fn a_withdrawal_counts_for_contacts_after_it_only() {
        let stop = br#"{"data":{},"derived":{"reply_class":"opt_out"}}"#;
        let hello = br#"{"data":{},"derived":{"reply_class":"other"}}"#;
        let all = [
            told(1, "consent.granted", None),
            told(2, "contact.received", Some(hello)),
            told(5, "contact.attempted", None),
            told(6, "contact.received", Some(stop)),
            told(7, "contact.received", None),
            told(9, "contact.attempted", None),
        ];
        let found = known(&all);
        let first = Known { contact: 5, entries: 2, withdrawals: vec![], unread: vec![] };
        assert_eq!(found, [first, Known { contact: 9, entries: 5, withdrawals: vec![6], unread: vec![7] }]);
        assert!(found[0].sentence().contains("no withdrawal was known"));
        assert!(found[1].sentence().contains("positions 6; what the messages at positions 7"));
    }

    #[test]
    fn every_type_named_is_one_that_ships() {
        let registry = crate::schema::Registry::builtin().unwrap();
        for name in WITHDRAWING.into_iter().chain([RECEIVED, ATTEMPTED]) {
            assert!(registry.current(name).is_some(), "{name}");
        }
    }
}
