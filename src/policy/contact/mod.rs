//! May we contact this person, on this channel, for this seller, now? The answer, from facts and rules alone.
//!
//! ```text
//! pack (dated rules, policies/*.toml) + facts (reduced history, place, question, switches) + instant -> answer
//! ```
//!
//! Promises: [`evaluate`] is a pure function, so that a recorded decision is computed again to the same bytes years later;
//! [`Facts`] hold no personal data, so that they can be kept with the decision and outlive an erasure; every failing rule is
//! reported, not the first; what is unknown refuses. No rule lives in code alone: a check runs only where a row of the pack
//! calls for it, and a test removes each row and sees a case fail.

mod answer;
mod calendar;
mod codes;
mod context;
mod facts;
mod grants;
mod hours;
mod mail;
mod pack;
mod phone;
mod place;
mod privacy;
mod registry;
mod search;
mod switches;
mod vectors;

#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod tests;

pub use answer::{Answer, LocalTime, RuleVerdict, Verdict, evaluate, refusals};
pub use calendar::tzdb_version;
pub use codes::Code;
pub use facts::{
    Act, Campaign, Category, Channel, ConsentKind, Contact, Facts, Grant, LineType, Mail, Number, Purpose, Recipient,
    StopBy, SubPurpose, Technology, What,
};
pub use pack::{Pack, PackError, PackText, RuleChange, builtin, builtin_texts};
pub use place::{Home, Place, home_of, phone_place, zip_table};
pub use switches::{SwitchError, Switches};
pub use vectors::{Expected, Vector, VectorError, builtin_cases, cases, compare, vectors};
