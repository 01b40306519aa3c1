//! Reads old events as if they had been posted under the newest schema of their type.
//!
//! How to add one: write `schemas/<type>.v<N+1>.json`, add a row here from `N`, and a case in the tests of the projection
//! that needed it. Functions are pure and total, see the data of one part at a time, and only add, rename or convert; what
//! is stored never changes. A missing row stops the program from starting. Customers' types (`x.`) have no rows: a newer
//! version of theirs reads old data as it is.

use serde_json::{Map, Value};

use crate::domain::parts::PartKind;

/// One step of one type.
#[derive(Clone, Copy, Debug)]
pub struct Upcast {
    /// The type.
    pub event_type: &'static str,
    /// The version whose data `apply` takes; it makes data of the next.
    pub from: u32,
    /// Changes the members of one part of an event.
    pub apply: fn(PartKind, &mut Map<String, Value>),
}

/// Every step there is.
pub const UPCASTS: &[Upcast] = &[
    // Version 2 knows one profile and the campaign of an audit more; what was recorded before is as it was.
    Upcast { event_type: "export.created", from: 1, apply: |_, _| () },
    // Version 2 groups refusals by reason, names the decision before it, and says what a reassignment gives back.
    Upcast { event_type: "decision.routing_recorded", from: 1, apply: |_, _| () },
    // Version 2 says what is priced and from what; no decision was ever recorded under version 1.
    Upcast { event_type: "decision.price_recorded", from: 1, apply: |_, _| () },
    // Version 2 says which card scored and from what; a score of before is as it was.
    Upcast { event_type: "score.assigned", from: 1, apply: |_, _| () },
    // Version 2 carries the text of a file, or names the files of a pack.
    Upcast { event_type: "policy.pack_registered", from: 1, apply: |_, _| () },
    // Version 2 says which area codes a copy covers, and knows removals; a copy that does not say covers all.
    Upcast { event_type: "list.imported", from: 1, apply: |_, _| () },
];

/// The steps from `version` of a type to `newest`, in order, or the version from which one is missing.
pub(super) fn steps(table: &[Upcast], event_type: &str, version: u32, newest: u32) -> Result<Vec<Upcast>, u32> {
    if event_type.starts_with("x.") {
        return Ok(Vec::new());
    }
    (version..newest)
        .map(|from| table.iter().find(|step| step.event_type == event_type && step.from == from).copied().ok_or(from))
        .collect()
}
