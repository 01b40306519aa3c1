//! Rows of projections: written in bulk with the cursor in one transaction, read by the views.
//!
//! Promises: a batch is written whole or not at all, and only if the cursor still stands where the batch began; readers see
//! only the generation in use. Must never hold personal data: rows come from entries and business parts alone.

mod billing;
mod codes;
mod columns;
mod commit;
mod consent;
mod cursors;
mod health;
mod journeys;
pub mod marks;
mod money;
mod quarantine;
mod rows;
mod scores;
pub(super) mod sql;
mod trails;

pub use billing::{BillingDocument, PayoutLine, Receivable, SaleMove, SellerBalance, Unrated};
pub use codes::{
    Account, BillingAct, CHANNELS, CONSENT_FLAGS, ConsentAct, ItemState, JourneyStep, LineKind, PURPOSES, TECHNOLOGIES,
    TrailAct, measures_cash, measures_cost, measures_revenue,
};
pub use commit::{ProjectionCursor, Track, ViewsBatch};
pub use cursors::{CursorRow, Stage};
pub use health::{HealthDay, HealthLast};
pub use money::{MoneyFilter, MoneySum, MoveLine, RecordRow};
pub use quarantine::QuarantineItem;
pub use rows::{
    BillingRow, ConsentRow, DimsRow, HealthDailyRow, HealthLastRow, ItemRow, ItemUpdate, JourneyRow, LineRow, NAMES,
    NO_CURRENCY, PERIOD_DAYS, ParkedRow, PeriodRow, RecordAt, ScoreRow, SumRow, TrailRow, UndoneRow, period_of,
};
