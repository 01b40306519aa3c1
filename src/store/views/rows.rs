//! What projections write, one struct a table. Positions and times are `i64` as the columns are.

use super::JourneyStep;
use crate::domain::time::MICROS_PER_DAY;

/// What stands in the place of a currency where a number is not money.
pub const NO_CURRENCY: [u8; 3] = *b"---";

/// An entry that a projection could not fold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedRow {
    /// The projection.
    pub projection: &'static str,
    /// Its generation.
    pub generation: i64,
    /// Where.
    pub position: i64,
    /// Why, a code.
    pub reason: &'static str,
}

/// One act of one person for one seller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentRow {
    /// The person's pseudonym.
    pub subject: [u8; 16],
    /// The entry.
    pub position: i64,
    /// Number of the row within the entry.
    pub line: i64,
    /// [`super::ConsentAct`].
    pub act: i64,
    /// Bits of [`super::CHANNELS`].
    pub channels: i64,
    /// Bits of [`super::PURPOSES`].
    pub purposes: i64,
    /// Bits of [`super::TECHNOLOGIES`]; 0: not limited or not said.
    pub technologies: i64,
    /// Bits that the projection defines.
    pub flags: i64,
    /// When it counts from.
    pub effective: i64,
    /// When it happened.
    pub occurred: i64,
    /// When the ledger learnt it.
    pub recorded: i64,
    /// First instant of validity.
    pub valid_from: i64,
    /// End of validity, exclusive; `i64::MAX`: none.
    pub valid_until: i64,
    /// Position annulled, corrected or carried; -1: none.
    pub target: i64,
    /// Seller; empty: every seller.
    pub seller: String,
    /// Quality of a grant, or kind of evidence.
    pub kind: String,
    /// How it reached us, or why.
    pub method: String,
    /// Keyed hash of the client's record id of the consent; empty: none.
    pub record: Vec<u8>,
}

/// What lines are grouped by, in the order of the columns: campaign; marketing channel; list, publisher or form; seller; vendor or publisher
/// paid; state and month (`YYYY-MM`) of the person's lead; and of a cost how it is to be spread over leads, `none`, `direct`, `fixed` or a driver.
pub const NAMES: [&str; 8] = ["campaign", "channel", "source", "seller", "vendor", "state", "cohort", "allocation"];

/// The names that lines are grouped by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct DimsRow {
    /// Hash of the names.
    pub id: i64,
    /// In the order of [`NAMES`]; empty where there is none.
    pub names: [String; NAMES.len()],
}

/// A line of the journal, or a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineRow {
    /// The entry.
    pub position: i64,
    /// Number of the line within the entry.
    pub line: i64,
    /// The entry whose effect this is.
    pub origin: i64,
    /// [`super::Account`].
    pub account: i64,
    /// [`super::LineKind`].
    pub kind: i64,
    /// Micro-units, debit positive; or a count.
    pub amount: i64,
    /// [`DimsRow::id`].
    pub dims: i64,
    /// Accounting day.
    pub day: i64,
    /// When it happened.
    pub occurred: i64,
    /// When the ledger learnt it.
    pub recorded: i64,
    /// ISO 4217 code; [`NO_CURRENCY`] for counts.
    pub currency: [u8; 3],
    /// Keyed hash of the sale or cost; zeros: none.
    pub record: [u8; 16],
    /// Pseudonym of the person whose lead it is about; zeros: of nobody.
    pub lead: [u8; 16],
}

/// What an event is to the journey of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JourneyRow {
    /// The person's pseudonym; zeros: of nobody.
    pub subject: [u8; 16],
    /// The entry.
    pub position: i64,
    /// What it is.
    pub step: JourneyStep,
    /// When it happened.
    pub occurred: i64,
    /// When the ledger learnt it.
    pub recorded: i64,
    /// Micro-units earned, or taken back below zero.
    pub micros: i64,
    /// Position annulled or corrected; -1: none.
    pub target: i64,
    /// Marketing channel of a touch; empty: none.
    pub channel: String,
    /// Milestone, or how a touch was taken up; empty: none.
    pub mark: String,
    /// Campaign; empty: none.
    pub campaign: String,
    /// Seller; empty: none.
    pub seller: String,
    /// ISO 4217 code; [`NO_CURRENCY`] where there is no money.
    pub currency: [u8; 3],
    /// Keyed hash of the sale, call or message; zeros: none.
    pub record: [u8; 16],
}

/// What a contact leans on; a row of projection `trails`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrailRow {
    /// The person's pseudonym.
    pub subject: [u8; 16],
    /// The entry.
    pub position: i64,
    /// What it is.
    pub act: super::TrailAct,
    /// When it happened; of a decision: from when it may be used.
    pub occurred: i64,
    /// When the ledger learnt it.
    pub recorded: i64,
    /// Of a decision: until when it may be used, inclusive; else [`i64::MAX`].
    pub until: i64,
    /// Bits of [`super::CHANNELS`]; 0: none said.
    pub channels: i64,
    /// Of a decision: position of the consent that it rests on; -1: none.
    pub grant: i64,
    /// Purpose; empty: none said.
    pub purpose: String,
    /// Seller; empty: none said, of a stop: all.
    pub seller: String,
    /// Id of the decision, or of the one that a contact names; zeros: it names none.
    pub decision: [u8; 16],
}

/// A score that a lead was given; a row of projection `scores`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScoreRow {
    /// The person's pseudonym.
    pub subject: [u8; 16],
    /// The entry.
    pub position: i64,
    /// When it was made.
    pub occurred: i64,
    /// When the ledger learnt it.
    pub recorded: i64,
    /// The score.
    pub points: i64,
    /// Probability of the outcome in billionths, if it was stated.
    pub chance: Option<i64>,
    /// A challenger's: nobody acted on it.
    pub aside: bool,
    /// Model.
    pub model: String,
    /// Its version.
    pub version: String,
    /// Band; empty: none.
    pub band: String,
    /// Campaign; empty: none.
    pub campaign: String,
}

/// The sale or cost that a record id stands for, or the lead that a person, or the id of a lead, call or message, stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordAt {
    /// Keyed hash of kind and id, or the person's pseudonym.
    pub record: [u8; 16],
    /// Whose lead it is about; zeros: nobody's.
    pub lead: [u8; 16],
    /// The entry that recorded it.
    pub position: i64,
    /// Its [`DimsRow::id`].
    pub dims: i64,
    /// Whether it was an estimate.
    pub estimate: bool,
}

/// From `position` on, `root` counts or does not, in what had occurred by `since` or later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UndoneRow {
    /// The entry that says so.
    pub position: i64,
    /// The entry it speaks of.
    pub root: i64,
    /// Whether it counts.
    pub live: bool,
    /// From when on; [`i64::MIN`]: at every instant.
    pub since: i64,
}

/// Days of a period, by which sums are kept apart.
pub const PERIOD_DAYS: i64 = 32;

/// The period of an instant in microseconds, counted from 1970-01-01.
pub const fn period_of(micros: i64) -> i64 {
    micros.div_euclid(PERIOD_DAYS * MICROS_PER_DAY)
}

/// An addition to a sum of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SumRow {
    /// Accounting days that it sums: 1, or [`PERIOD_DAYS`].
    pub span: i64,
    /// The first of them.
    pub day: i64,
    /// [`DimsRow::id`].
    pub dims: i64,
    /// Code of the account or counter.
    pub measure: i64,
    /// ISO 4217 code; [`NO_CURRENCY`] for counts.
    pub currency: [u8; 3],
    /// Period in which the lines were recorded.
    pub known: i64,
    /// Period in which they had occurred.
    pub since: i64,
    /// What is added.
    pub value: i64,
}

/// Where the lines recorded in a period begin, unless an earlier batch said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeriodRow {
    /// The period.
    pub known: i64,
    /// Position of its first entry with lines.
    pub first: i64,
}

/// An addition to the counts of a day and event type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthDailyRow {
    /// Recorded day.
    pub day: i64,
    /// Event type.
    pub event_type: String,
    /// Entries.
    pub events: i64,
    /// Entries whose business part could not be opened.
    pub absent: i64,
}

/// The last entry of a type or of a principal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthLastRow {
    /// 1 event type, 2 principal.
    pub scope: i64,
    /// Event type, or the principal's id.
    pub name: String,
    /// Its last entry.
    pub position: i64,
    /// When that was recorded.
    pub recorded: i64,
    /// Entries to add to its count.
    pub events: i64,
}

/// An item that came into quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemRow {
    /// The entry that received it.
    pub position: i64,
    /// Its size.
    pub bytes: i64,
    /// Problems found.
    pub problems: i64,
    /// When it came.
    pub recorded: i64,
    /// Event id of the entry.
    pub event: [u8; 16],
    /// Why it is here.
    pub reason: String,
    /// Way it came.
    pub via: String,
    /// Why more exactly; empty: not said.
    pub code: String,
    /// Keyed hash of the client's (source, id), by which a corrected retry finds it; empty: none.
    pub pair: Vec<u8>,
}

/// What bears on what a seller is billed; rows of projection `billing`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BillingRow {
    /// The entry.
    pub position: i64,
    /// What it is.
    pub act: super::BillingAct,
    /// Position priced, judged or undone; of a document: the size of the log it was drawn from; -1: none.
    pub target: i64,
    /// Accounting day, since 1970-01-01; of a document: the last day billed.
    pub day: i64,
    /// Micro-units added to the receivable; of a document: its total.
    pub amount: i64,
    /// Of a price: micro-units that posted revenue had booked of it; of a document: the day payment is due.
    pub covered: i64,
    /// When it was recorded, microseconds.
    pub recorded: i64,
    /// ISO 4217 code, or [`NO_CURRENCY`].
    pub currency: [u8; 3],
    /// Seller; empty: none named.
    pub seller: String,
    /// Price rule; empty: none.
    pub rule: String,
    /// Digest of the contract, in hex; empty: none.
    pub pack: String,
    /// Keyed hash of the sale; zeros: none.
    pub record: [u8; 16],
}

/// The last act on an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemUpdate {
    /// Position of the item.
    pub item: i64,
    /// [`super::ItemState`].
    pub state: i64,
    /// The entry that acted.
    pub position: i64,
    /// When.
    pub recorded: i64,
    /// Position that the item became; -1: none.
    pub result: i64,
    /// Outcome or reason, a code.
    pub outcome: String,
}
