//! What a billable event costs its seller, and who is paid for it.
//!
//! Promises: a price is a function of the contract, the event and the usage before it, so that it comes out the same years later; every
//! rule of the seller keeps its verdict; nothing is rounded before an invoice. Must never read a clock or a store.

mod contract;
mod evaluate;
mod returns;
mod text;

pub use contract::{
    Billable, Caps, Contract, ContractError, Cut, Payout, Period, Pricing, Returns, Rule, Step, Terms, Tier, When,
    builtin,
};
pub use evaluate::{BillableEvent, Paid, Priced, RuleUsage, Usage, Verdict, VerdictCode, price, volume_settled};
pub use returns::{ReturnAsked, ReturnRefusal, ReturnTotals, return_judged, true_up};
