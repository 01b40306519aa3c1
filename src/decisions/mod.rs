//! Recorded answers. The gate of contacts: gather what the log says of a person, judge it by the pack, record the answer,
//! give it.
//!
//! ```text
//! question -> subjects and their heads -> histories (the log itself, never a projection) -> facts -> answer
//!          -> decision.contact_recorded, refused at commit if a cited head moved -> answer given
//! ```
//!
//! Promises: an answer that was given is in the log; what was acknowledged before the question is in the answer; a decision
//! is computed again from its own entry to the same answer as long as that entry opens.

mod audit;
mod billing;
mod compliance;
mod fold;
mod gate;
mod history;
mod inputs;
mod memory;
mod packs;
mod posture;
mod question;
mod record;
mod replay;
mod route;
mod score;
pub mod scratch;
mod sources;

pub use audit::{Audit, AuditError, Decision, Finding, Revocation, Span, audit};
pub use billing::{
    Biller, BillingError, DocumentAsked, Drawn, InvoiceAsked, Item, Line, PriceReplay, Rated, Run, replay_price,
};
pub use compliance::{Compliance, FindingRow, Lags, RevocationRow};
pub use gate::{DecideError, Decided, Gate};
pub use memory::Remembered;
pub use packs::{Rules, pack_of};
pub use question::{ContactDoc, ContactQuestion, MailDoc, QuestionError, RecipientDoc, StatsDoc};
pub use replay::{Replay, ReplayError, Stored};
pub use route::{
    AmountDoc, LeadDoc, ReassignDoc, RouteError, RouteQuestion, RouteReplay, Routed, Router, replay_routes,
};
pub use score::{Model, ModelError, ModelRole, ScoreAnswer, ScoreQuestion, ScoreReplay, Shadow};
