//! Closed lists that stand as numbers in rows of projections. A code is never given another meaning: rows of an older
//! version are rebuilt, but exports may carry them.

/// Defines an enum whose variants have a stable code and a stable name.
macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $code:literal, $text:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant = $code,)+
        }

        impl $name {
            /// Every variant, by code.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The number in rows.
            pub const fn code(self) -> i64 {
                match self {
                    $($name::$variant => $code,)+
                }
            }

            /// The variant of a number in a row.
            pub const fn from_code(code: i64) -> Option<$name> {
                match code {
                    $($code => Some($name::$variant),)+
                    _ => None,
                }
            }

            /// The name in answers.
            pub const fn name(self) -> &'static str {
                match self {
                    $($name::$variant => $text,)+
                }
            }
        }
    };
}

codes! {
    /// What an event is to the journey of a person.
    JourneyStep {
        /// A stage that earns no credit: its mark says which.
        Stage = 0, "stage";
        /// A touch that we made.
        Touch = 1, "touch";
        /// A touch that the person made, or took up.
        EngagedTouch = 2, "engaged_touch";
        /// The person took up an earlier touch.
        Engagement = 3, "engagement";
        /// What the latest touch led to.
        Milestone = 4, "milestone";
        /// Money earned.
        Conversion = 5, "conversion";
        /// Money of a conversion taken back, or added to.
        Reversal = 6, "reversal";
        /// Another row does not count.
        Undo = 7, "undo";
    }
}

codes! {
    /// What a person, or somebody about a person, did that bears on contact.
    ConsentAct {
        /// `consent.granted`.
        Granted = 1, "granted";
        /// `consent.carried`: a consent in force, re-recorded.
        Carried = 2, "carried";
        /// `consent.confirmed`.
        Confirmed = 3, "confirmed";
        /// `consent.evidence_attached`.
        Evidence = 4, "evidence";
        /// `privacy.opted_in`.
        OptedIn = 5, "opted_in";
        /// `suppression.removed`.
        SuppressionRemoved = 6, "suppression_removed";
        /// An inbound text that asks to start again.
        ReplyStart = 7, "reply_start";
        /// `privacy.restriction_lifted`.
        RestrictionLifted = 8, "restriction_lifted";
        /// `consent.revoked`, and a revocation carried.
        Revoked = 20, "revoked";
        /// An inbound message that asks to stop.
        ReplyOptOut = 21, "reply_opt_out";
        /// `suppression.email_opted_out`.
        EmailOptedOut = 22, "email_opted_out";
        /// `suppression.dnc_requested`.
        DncRequested = 23, "dnc_requested";
        /// A wrong number or address, reported or replied.
        WrongNumber = 24, "wrong_number";
        /// `suppression.added`.
        Suppressed = 25, "suppressed";
        /// `suppression.drop_matched`.
        DropMatched = 26, "drop_matched";
        /// `privacy.opted_out`, or a signal that says so.
        OptedOut = 27, "opted_out";
        /// `privacy.objected`.
        Objected = 28, "objected";
        /// `privacy.processing_restricted`.
        Restricted = 29, "restricted";
        /// An inbound message with a stop word that a person must read.
        ReplyReview = 40, "reply_review";
        /// `event.annulled`: another event of the person does not count.
        Annulled = 60, "annulled";
    }
}

impl ConsentAct {
    /// Whether a person stops contact by it.
    pub const fn stops(self) -> bool {
        matches!(
            self,
            ConsentAct::Revoked | ConsentAct::ReplyOptOut | ConsentAct::EmailOptedOut | ConsentAct::DncRequested
        )
    }
}

codes! {
    /// What a contact leans on.
    TrailAct {
        /// `contact.attempted`.
        Contact = 1, "contact";
        /// `decision.contact_recorded` that allowed.
        Allowed = 2, "allowed";
        /// `decision.contact_recorded` that refused.
        Refused = 3, "refused";
        /// `consent.granted`, or one carried.
        Consent = 4, "consent";
        /// The person stopped contact.
        Stop = 5, "stop";
    }
}

codes! {
    /// An account of the journal (below 1000; `domain` background, revenue 2.2) a counter or a memo (from 1000).
    Account {
        /// Asset: owed by the seller.
        Receivable = 1, "receivable";
        /// Asset: money in hand.
        Cash = 2, "cash";
        /// Liability: paid ahead by the seller.
        BrokerDeposit = 20, "broker_deposit";
        /// Liability: owed to the vendor.
        Payable = 21, "payable";
        /// Income.
        LeadSales = 100, "lead_sales";
        /// Income.
        CallSales = 101, "call_sales";
        /// Income.
        AppointmentFees = 102, "appointment_fees";
        /// Income.
        ShowFees = 103, "show_fees";
        /// Income.
        RevenueShare = 104, "revenue_share";
        /// Income.
        Retainers = 105, "retainers";
        /// Income.
        MinimumCommitments = 106, "minimum_commitments";
        /// Income.
        OtherIncome = 107, "other_income";
        /// Income, either way: bonuses, corrections, true-ups.
        Adjustments = 108, "adjustments";
        /// Income, either way: what whole minor units of a document leave over.
        Rounding = 109, "rounding";
        /// Contra income.
        Returns = 200, "returns";
        /// Contra income.
        Chargebacks = 201, "chargebacks";
        /// Contra income.
        Clawbacks = 202, "clawbacks";
        /// Contra income.
        Credits = 203, "credits";
        /// Contra income.
        WriteOffs = 204, "write_offs";
        /// Expense.
        Media = 300, "media";
        /// Expense.
        Data = 301, "data";
        /// Expense.
        Telephony = 302, "telephony";
        /// Expense.
        Sms = 303, "sms";
        /// Expense.
        Email = 304, "email";
        /// Expense.
        Enrichment = 305, "enrichment";
        /// Expense.
        Labour = 306, "labour";
        /// Expense.
        Software = 307, "software";
        /// Expense.
        Compliance = 308, "compliance";
        /// Expense.
        Payout = 309, "payout";
        /// Expense.
        PaymentFees = 310, "payment_fees";
        /// Expense.
        OtherCost = 311, "other";
        /// Counter: `lead.received` and `lead.imported`.
        Leads = 1000, "leads";
        /// Counter: `contact.attempted`.
        Contacts = 1001, "contacts";
        /// Counter: `appointment.booked`.
        Appointments = 1002, "appointments";
        /// Counter: `appointment.shown`.
        Shows = 1003, "shows";
        /// Counter: `revenue.recorded`.
        Sales = 1004, "sales";
        /// Counter: `revenue.refunded`.
        Refunds = 1005, "refunds";
        /// Counter: `lead.accepted`.
        AcceptedLeads = 1006, "accepted_leads";
        /// Memo of cash, in money: received from sellers, less what was sent back to them.
        CashReceived = 1100, "cash_received";
        /// Memo of cash, in money: paid to vendors and for costs and fees, less what came back.
        CashPaid = 1101, "cash_paid";
    }
}

/// Whether a measure of sums is income or contra income, credit positive.
pub const fn measures_revenue(measure: i64) -> bool {
    matches!(measure, 100..300)
}

/// Whether a measure of sums is a memo of cash.
pub const fn measures_cash(measure: i64) -> bool {
    matches!(measure, 1100..1200)
}

/// Whether a measure of sums is an expense, debit positive.
pub const fn measures_cost(measure: i64) -> bool {
    matches!(measure, 300..1000)
}

impl Account {
    /// Which sum a line belongs to, the account's own code, and with which sign; none for the balance sheet. The same rule stands in
    /// SQL (`MONEY_SUMS`), and a test holds both to it.
    pub const fn measure(self) -> Option<(i64, i64)> {
        match self.code() {
            code @ 100..300 => Some((code, -1)),
            code @ 300.. => Some((code, 1)),
            _ => None,
        }
    }

    /// Whether it is a counter or memo and no account of the journal.
    pub const fn is_counter(self) -> bool {
        self.code() >= 1000
    }
}

codes! {
    /// Why a line stands in the journal.
    LineKind {
        /// Earned.
        Revenue = 1, "revenue";
        /// Given back.
        Refund = 2, "refund";
        /// Taken back by the payer's bank.
        Chargeback = 3, "chargeback";
        /// Changed after the fact.
        Adjustment = 4, "adjustment";
        /// Spent.
        Cost = 5, "cost";
        /// A cost that does not stand.
        CostReversal = 6, "cost_reversal";
        /// Money in or out.
        Payment = 7, "payment";
        /// A processor's fee.
        Fee = 8, "fee";
        /// The event that made the line was annulled, or its annulment was.
        Annulment = 9, "annulment";
        /// A later event corrects the one that made the line.
        Correction = 10, "correction";
        /// A figure replaced the estimate that made the line.
        EstimateReplaced = 11, "estimate_replaced";
        /// A counter.
        Count = 12, "count";
        /// Booked by an invoice or credit note itself: rounding, minimums, settlements.
        Invoiced = 13, "invoiced";
    }
}

codes! {
    /// What an entry is to billing. Below 10: what contracts may price.
    BillingAct {
        /// `appointment.booked`.
        Appointment = 1, "appointment";
        /// `contact.completed` of an answered call.
        Call = 2, "call";
        /// `lead.accepted`.
        Lead = 3, "lead";
        /// `lead.closed` as won, with its value.
        Sale = 4, "sale";
        /// `appointment.shown`.
        Show = 5, "show";
        /// `lead.returned` that is asked for.
        ReturnAsked = 10, "return_asked";
        /// `revenue.recorded`: the poster priced it.
        Accrued = 11, "accrued";
        /// `revenue.refunded`, `revenue.chargeback_recorded`, `revenue.adjusted`.
        Changed = 12, "changed";
        /// `decision.price_recorded`.
        Priced = 20, "priced";
        /// `billing.return_judged`.
        ReturnJudged = 21, "return_judged";
        /// `billing.invoice_issued`.
        Invoice = 30, "invoice";
        /// `billing.credit_note_issued`.
        CreditNote = 31, "credit_note";
        /// The entry at `target` does not count.
        Undo = 40, "undo";
        /// `policy.pack_activated` of a contract.
        Contract = 50, "contract";
    }
}

codes! {
    /// Where an item of the quarantine stands.
    ItemState {
        /// Nothing was done yet.
        Open = 1, "open";
        /// Became an event in a corrected form.
        Fixed = 2, "fixed";
        /// Became an event, or the duplicate of one.
        Replayed = 3, "replayed";
        /// Settled by something else.
        Resolved = 4, "resolved";
        /// Thrown away by a person.
        Discarded = 5, "discarded";
        /// An adapter could read it at last.
        Translated = 6, "translated";
    }
}

impl ItemState {
    /// Whether it still waits for someone.
    pub const fn is_open(self) -> bool {
        matches!(self, ItemState::Open)
    }
}

/// Channels of consent by bit.
pub const CHANNELS: [&str; 4] = ["voice", "sms", "mms", "email"];
/// Purposes of consent by bit.
pub const PURPOSES: [&str; 6] = ["marketing", "informational", "transactional", "sell_lead", "profiling", "recording"];
/// Technologies of consent by bit.
pub const TECHNOLOGIES: [&str; 5] = ["manual", "autodialed", "prerecorded", "ai_voice", "automated"];
/// Flags of consent by bit. The last three speak of attached evidence.
pub const CONSENT_FLAGS: [&str; 8] = [
    "signature_present",
    "disclosures_complete",
    "authorizes_automated",
    "not_condition_of_purchase",
    "confirmed",
    "identity_match",
    "disclosure_match",
    "one_to_one",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back() {
        assert!(Account::ALL.iter().all(|account| Account::from_code(account.code()) == Some(*account)));
        assert!(ConsentAct::ALL.iter().all(|act| ConsentAct::from_code(act.code()) == Some(*act)));
        assert!(LineKind::ALL.iter().all(|kind| LineKind::from_code(kind.code()) == Some(*kind)));
        assert!(ItemState::ALL.iter().all(|state| ItemState::from_code(state.code()) == Some(*state)));
        assert_eq!(Account::from_code(0), None);
    }

    #[test]
    fn income_counts_when_credited_and_expense_when_debited() {
        assert_eq!(Account::LeadSales.measure(), Some((100, -1)));
        assert_eq!(Account::Returns.measure(), Some((200, -1)));
        assert_eq!(Account::Media.measure(), Some((300, 1)));
        assert!(measures_revenue(200) && measures_cost(300) && !measures_cost(1000) && !measures_revenue(1));
        assert_eq!(Account::Leads.measure(), Some((1000, 1)));
        assert_eq!(Account::Receivable.measure(), None);
    }
}
