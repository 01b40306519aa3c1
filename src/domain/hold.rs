//! Legal holds: while one is in force, nothing of the classes that it names is destroyed, whoever asks.

use serde::{Deserialize, Serialize};

use super::parts::RetentionClass;
use super::time::Timestamp;

/// A hold as its entries state it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Its name.
    pub hold: String,
    /// Why, as in `hold.placed`.
    pub reason: String,
    /// Classes held; empty: all.
    pub classes: Vec<RetentionClass>,
    /// First instant at which it no longer holds by itself; none: until it is released.
    pub until: Option<Timestamp>,
    /// Position of `hold.placed`.
    pub placed: u64,
    /// Position of `hold.released`, where it was released.
    pub released: Option<u64>,
}

impl Hold {
    /// Whether it holds at `now`.
    pub fn in_force(&self, now: Timestamp) -> bool {
        self.released.is_none() && self.until.is_none_or(|until| now < until)
    }

    /// Whether it names a class.
    pub fn covers(&self, class: RetentionClass) -> bool {
        self.classes.is_empty() || self.classes.contains(&class)
    }
}

/// Whether a class is held at `now` by any of them.
pub fn is_held(holds: &[Hold], class: RetentionClass, now: Timestamp) -> bool {
    holds.iter().any(|hold| hold.in_force(now) && hold.covers(class))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_covers_what_it_names_while_it_lasts() {
        let at = |text| Timestamp::parse_rfc3339(text).unwrap();
        let mut hold = Hold {
            hold: "smith-v-us".into(),
            reason: "litigation".into(),
            classes: vec![RetentionClass::Consent],
            until: Some(at("2027-01-01T00:00:00Z")),
            placed: 4,
            released: None,
        };
        let before = at("2026-12-31T23:59:59.999999Z");
        assert!(is_held(std::slice::from_ref(&hold), RetentionClass::Consent, before));
        assert!(!is_held(std::slice::from_ref(&hold), RetentionClass::Contact, before));
        assert!(!is_held(std::slice::from_ref(&hold), RetentionClass::Consent, at("2027-01-01T00:00:00Z")));
        hold.classes.clear();
        assert!(is_held(std::slice::from_ref(&hold), RetentionClass::Contact, before));
        hold.released = Some(9);
        assert!(!is_held(&[hold], RetentionClass::Contact, before));
    }
}
