//! Parts that are not there or do not open, and what excuses them. Kept by key: a retention run ends many parts at once.

use std::collections::{HashMap, HashSet};

use crate::domain::ids::KeyId;
use crate::domain::parts::RetentionClass;
use crate::exports::covers::Cover;
use crate::exports::report::Findings;

#[derive(Debug, Clone, Copy)]
struct Span {
    first: (u64, u8),
    last: (u64, u8),
    items_only: bool,
}

/// What is missing, what excuses it, and which keys still open something.
#[derive(Debug, Default)]
pub(super) struct Missing {
    spans: HashMap<KeyId, Span>,
    /// Last position that says a key was destroyed: for all classes, and for quarantined items only.
    covers: HashMap<KeyId, (Option<u64>, Option<u64>)>,
    opened: HashSet<KeyId>,
}

impl Missing {
    /// A part that its key no longer opens, or whose bytes are gone.
    pub(super) fn part(&mut self, key: KeyId, class: RetentionClass, position: u64, part: u8) {
        let items_only = class == RetentionClass::Quarantine;
        let place = (position, part);
        let span = self.spans.entry(key).or_insert(Span { first: place, last: place, items_only });
        span.first = span.first.min(place);
        span.last = span.last.max(place);
        span.items_only &= items_only;
    }

    /// An entry that says keys were destroyed.
    pub(super) fn cover(&mut self, position: u64, cover: &Cover) {
        for key in &cover.keys {
            let (all, items) = self.covers.entry(*key).or_default();
            let last = if cover.items_only { items } else { all };
            *last = (*last).max(Some(position));
        }
    }

    /// A key that opened a part.
    pub(super) fn opened(&mut self, key: KeyId) {
        self.opened.insert(key);
    }

    pub(super) fn extend(&mut self, other: Missing) {
        for (key, span) in other.spans {
            let known = self.spans.entry(key).or_insert(span);
            known.first = known.first.min(span.first);
            known.last = known.last.max(span.last);
            known.items_only &= span.items_only;
        }
        for (key, (all, items)) in other.covers {
            let known = self.covers.entry(key).or_default();
            *known = (known.0.max(all), known.1.max(items));
        }
        self.opened.extend(other.opened);
    }

    /// Keys with parts missing.
    pub(super) fn keys(&self) -> usize {
        self.spans.len()
    }

    /// Every missing part has a later entry that names its key; no key that was destroyed opens anything.
    pub(super) fn check(&self, findings: &mut Findings) {
        let mut found: Vec<(u64, String)> = Vec::new();
        for (key, Span { first, last, items_only }) in &self.spans {
            let (all, items) = self.covers.get(key).copied().unwrap_or_default();
            let cover = if *items_only { all.max(items) } else { all };
            let (position, part) = if cover.is_some() { last } else { first };
            if cover.is_none_or(|cover| cover <= last.0) {
                let what =
                    format!("part {part}: missing or closed, and no later entry says that its key was destroyed");
                found.push((*position, what));
            }
        }
        for key in &self.opened {
            if let Some((all, items)) = self.covers.get(key) {
                let position = all.max(items).unwrap_or_default();
                found.push((position, "says that a key was destroyed which still opens parts".to_owned()));
            }
        }
        found.sort_unstable();
        found.into_iter().for_each(|(position, what)| findings.at(position, what));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exports::report::Statements;

    const KEY: KeyId = KeyId::from_bytes([7; 16]);

    fn positions(missing: &Missing) -> Vec<Option<u64>> {
        let mut findings = Findings::default();
        missing.check(&mut findings);
        findings.report(0, None, 0, Statements::default()).problems.iter().map(|problem| problem.position).collect()
    }

    fn covered_at(position: u64, items_only: bool) -> Missing {
        let mut missing = Missing::default();
        missing.cover(position, &Cover { keys: vec![KEY], items_only });
        missing
    }

    #[test]
    fn only_a_later_entry_that_names_the_key_excuses() {
        let mut missing = Missing::default();
        missing.part(KEY, RetentionClass::Raw, 5, 2);
        missing.part(KEY, RetentionClass::Raw, 9, 2);
        assert_eq!(positions(&missing), [Some(5)]);
        missing.extend(covered_at(9, false));
        assert_eq!(positions(&missing), [Some(9)]);
        missing.extend(covered_at(10, true));
        assert_eq!(positions(&missing), [Some(9)], "the end of an item excuses no person's part");
        missing.extend(covered_at(10, false));
        assert_eq!(positions(&missing), []);
    }

    #[test]
    fn end_of_an_item_excuses_the_item() {
        let mut missing = covered_at(3, true);
        missing.part(KEY, RetentionClass::Quarantine, 2, 1);
        assert_eq!(positions(&missing), []);
    }

    #[test]
    fn destroyed_key_that_still_opens_is_found() {
        let mut missing = covered_at(4, false);
        missing.opened(KEY);
        assert_eq!(positions(&missing), [Some(4)]);
    }
}
