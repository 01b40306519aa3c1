//! Projection `money`: the journal and the counters behind ROI by day, names, and state and month of the lead.
//!
//! Every event posts lines that sum to zero in each currency. Lines are never changed: an annulled or corrected event gets
//! the opposite lines at the position that undid it, so `known_at` before it sees the old and after it the new.
//!
//! Folding is pure. What it cannot know from the event alone (the names of the sale that a refund speaks of, the lines of
//! an event that is undone) it leaves as [`Pending`], in order of position; `complete` fills it in from rows that were
//! committed before, so that the result does not depend on where a batch ends.

use super::Projection;
use super::dims::DimsTable;
use super::fact::{Business, Fact, FoldError, record};
use super::money_data::{Data, Refs, counter, share};
use crate::domain::time::{MICROS_PER_DAY, day_text};
use crate::store::views::{Account, LineKind, LineRow, NO_CURRENCY, RecordAt, ViewsBatch};

/// A batch of `money`.
#[derive(Debug, Default)]
pub struct Money {
    pub(super) dims: DimsTable,
    pub(super) lines: Vec<LineRow>,
    pub(super) records: Vec<RecordAt>,
    pub(super) pending: Vec<Pending>,
}

/// What needs committed rows to be known.
#[derive(Debug, Clone)]
pub(super) enum Pending {
    /// Lines take the names they lack from the sale or cost that they speak of.
    Names {
        /// First line in the batch.
        first: usize,
        /// The line after the last one.
        end: usize,
        /// The record they speak of.
        record: [u8; 16],
    },
    /// Lines take the person, state and cohort of the lead that they are about.
    Lead {
        /// First line in the batch.
        first: usize,
        /// The line after the last one.
        end: usize,
        /// What the lead is found by: the person, or its id.
        key: [u8; 16],
    },
    /// An event is undone, or its undoing is.
    Undo(Undo),
    /// The last estimate under a record id is undone.
    ReplaceEstimate {
        /// The cost.
        record: [u8; 16],
        /// What to write; its target is not known yet.
        undo: Undo,
    },
}

/// Says at `position` that `target` does not count.
#[derive(Debug, Clone, Copy)]
pub(super) struct Undo {
    /// The entry that says so.
    pub position: i64,
    /// When it was recorded.
    pub recorded: i64,
    /// The entry it speaks of.
    pub target: i64,
    /// Why.
    pub kind: LineKind,
    /// When what takes the target's place happened: sums as of an instant before it still have the target. [`i64::MIN`] where nothing takes
    /// its place: that it was wrong is knowledge, and holds for every instant.
    pub occurred: i64,
}

/// What all lines of an event share.
struct Common {
    position: i64,
    dims: i64,
    occurred: i64,
    recorded: i64,
    record: [u8; 16],
    lead: [u8; 16],
}

impl Projection for Money {
    const NAME: &'static str = "money";
    const VERSION: i64 = 4;

    fn reads(event_type: &str) -> bool {
        matches!(
            event_type,
            "appointment.booked"
                | "appointment.shown"
                | "billing.credit_note_issued"
                | "billing.invoice_issued"
                | "billing.return_judged"
                | "contact.attempted"
                | "cost.recorded"
                | "cost.reversed"
                | "decision.price_recorded"
                | "event.annulled"
                | "lead.accepted"
                | "lead.imported"
                | "lead.received"
                | "payment.received"
                | "payment.sent"
                | "revenue.adjusted"
                | "revenue.chargeback_recorded"
                | "revenue.recorded"
                | "revenue.refunded"
        )
    }

    fn fold(&mut self, fact: &Fact<'_>) -> Result<(), FoldError> {
        let corrects = fact.entry.corrects.map(i64::try_from).transpose().map_err(|_| FoldError("entry_unreadable"))?;
        let read = if Money::reads(fact.entry.event_type) { fact.business()? } else { None };
        let Some(business) = read else {
            // The entry alone says that another one is corrected.
            return corrects.map_or(Ok(()), |target| self.undo(fact, target, LineKind::Correction, i64::MIN));
        };
        let data: Data<'_> = business.data()?;
        if fact.entry.event_type == "event.annulled" {
            let target = data.position.ok_or(FoldError("target_missing"))?;
            return self.undo(fact, target, LineKind::Annulment, i64::MIN);
        }
        self.event(fact, &business, &data, corrects)
    }

    fn finish(self, batch: &mut ViewsBatch) {
        batch.dims = self.dims.into_rows();
        batch.lines = self.lines;
        batch.records = self.records;
    }
}

impl Money {
    fn undo(&mut self, fact: &Fact<'_>, target: i64, kind: LineKind, occurred: i64) -> Result<(), FoldError> {
        if !(0..fact.position).contains(&target) {
            return Err(FoldError("target_not_before"));
        }
        let undo = Undo { position: fact.position, recorded: fact.recorded(), target, kind, occurred };
        self.pending.push(Pending::Undo(undo));
        Ok(())
    }

    fn event(
        &mut self,
        fact: &Fact<'_>,
        business: &Business<'_>,
        data: &Data<'_>,
        corrects: Option<i64>,
    ) -> Result<(), FoldError> {
        let event_type = fact.entry.event_type;
        // Everything that can fail comes before the first row: an entry is folded whole or parked whole.
        let occurred = business.occurred(fact)?;
        let postings = data.postings(event_type)?;
        let (first_day, days) = data.days(event_type, occurred)?;
        let refs: Refs<'_> = business.refs()?.unwrap_or_default();
        let is_cost = event_type.starts_with("cost.");
        let named = if is_cost { &refs.cost } else { &refs.sale };
        // Our own decisions name a sale by the hash that the event they are about has.
        let of = named.as_deref().or(data.record.as_deref()).map(record).transpose()?;
        let counter = counter(event_type, data);
        if let Some(target) = corrects {
            let takes_place = !postings.is_empty() || counter.is_some();
            self.undo(fact, target, LineKind::Correction, if takes_place { occurred } else { i64::MIN })?;
        }

        let of_lead = refs.lead.as_deref().map(record).transpose()?;
        let subject = fact.entry.subject.map(|link| *link.subject.as_bytes());
        let is_lead = matches!(event_type, "lead.imported" | "lead.received");
        let month = if is_lead { month(occurred) } else { String::new() };
        let state = data.state.as_deref().filter(|_| is_lead).unwrap_or_default();
        let spread = if is_cost { data.spread() } else { "" };
        let [campaign, channel, source, seller, vendor] = data.names();
        let mut intern = |vendor| self.dims.intern([campaign, channel, source, seller, vendor, state, &month, spread]);
        let common = Common {
            position: fact.position,
            dims: intern(vendor),
            occurred,
            recorded: fact.recorded(),
            record: of.unwrap_or_default(),
            lead: subject.unwrap_or_default(),
        };
        let first = self.lines.len();
        let mut number = 0;
        for posting in &postings {
            // A payout is owed to somebody of its own.
            let dims = posting.party.map(&mut intern);
            for index in 0..days {
                let amount = share(posting.micros, days, index);
                let memo = posting.cash(amount);
                for (account, amount) in [(posting.debit, amount), (posting.credit, -amount)].into_iter().chain(memo) {
                    let line = common.line(number, account, posting.kind, amount, first_day + index);
                    self.lines.push(LineRow { currency: posting.currency, dims: dims.unwrap_or(line.dims), ..line });
                    number += 1;
                }
            }
        }
        if let Some(account) = counter {
            self.lines.push(common.line(number, account, LineKind::Count, 1, first_day));
        }

        self.pending_lead(first, subject, of_lead);
        let mut known = |record| {
            let (position, dims, lead) = (common.position, common.dims, common.lead);
            self.records.push(RecordAt { record, lead, position, dims, estimate: false });
        };
        // Later events find the lead by the person or by its id. Ids of contacts are not kept: their keys fall everywhere, and each would cost a page.
        if is_lead {
            subject.into_iter().chain(of_lead).for_each(&mut known);
        }

        let Some(record) = of else { return Ok(()) };
        let records = matches!(event_type, "revenue.recorded" | "cost.recorded" | "decision.price_recorded");
        if event_type == "cost.recorded" && data.replaces_estimate {
            let (position, recorded, kind) = (fact.position, fact.recorded(), LineKind::EstimateReplaced);
            let undo = Undo { position, recorded, target: -1, kind, occurred };
            self.pending.push(Pending::ReplaceEstimate { record, undo });
        }
        if records {
            let (position, dims, lead) = (common.position, common.dims, common.lead);
            self.records.push(RecordAt { record, lead, position, dims, estimate: data.estimate });
        } else if data.names().iter().any(|name| name.is_empty()) {
            self.pending.push(Pending::Names { first, end: self.lines.len(), record });
        }
        Ok(())
    }

    /// The lead that the lines from `first` on are about is looked up, if anything names it.
    fn pending_lead(&mut self, first: usize, subject: Option<[u8; 16]>, lead: Option<[u8; 16]>) {
        let end = self.lines.len();
        if let (true, Some(key)) = (first < end, subject.or(lead)) {
            self.pending.push(Pending::Lead { first, end, key });
        }
    }
}

/// The month of an instant, `YYYY-MM`.
fn month(micros: i64) -> String {
    day_text(micros.div_euclid(MICROS_PER_DAY)).chars().take(7).collect()
}

impl Common {
    const fn line(&self, line: i64, account: Account, kind: LineKind, amount: i64, day: i64) -> LineRow {
        LineRow {
            position: self.position,
            line,
            origin: self.position,
            account: account.code(),
            kind: kind.code(),
            amount,
            dims: self.dims,
            day,
            occurred: self.occurred,
            recorded: self.recorded,
            currency: NO_CURRENCY,
            record: self.record,
            lead: self.lead,
        }
    }
}
