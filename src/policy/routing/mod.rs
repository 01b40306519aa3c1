//! Who gets this lead: pools, buyers, caps and weights as data; the choice as a pure function.
//!
//! ```text
//! plan (policies/routing.toml or an own one) + lead + standings (fold of earlier decisions) + consent -> choice
//! ```
//!
//! Promises: the same plan, lead, standings, draw and consent give the same choice, years later; every buyer of the pool is chosen,
//! in line behind the one chosen, or refused with the first reason that speaks against it; shares follow the weights within one
//! assignment while all are open, and who was closed for a while is not flooded afterwards. Consent is asked buyer by buyer in
//! order, so nobody is asked about who would not have got the lead.

mod choose;
mod plan;
mod standings;

pub use choose::{Choice, Consent, Lead, Refusal, choose};
pub use plan::{Buyer, ConsentRule, Plan, PlanError, Pool, Price, Strategy, builtin};
pub use standings::{Assigned, Standings};
