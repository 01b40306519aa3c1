//! Invoices and credit notes, drawn from the receivable.
//!
//! The rule of what a document takes: every line of the journal on the seller's receivable whose entry stands below the size that the
//! document was drawn from, whose accounting day is not after its last day, and which no earlier document of the same kind, seller
//! and currency that counts took by the same rule. Income goes on invoices, contra income on credit notes; what a document
//! books itself, payments and write-offs are on none.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value, json};

use super::{Biller, BillingError, Run, active, amount, business, by_digest, member, money, said};
use crate::domain::money::{Currency, Micros, MoneyError};
use crate::domain::parts::PartKind;
use crate::domain::time::{Timestamp, day_text, parse_day};
use crate::ingest::Receipt;
use crate::policy::pricing::{Contract, Period, Pricing, true_up, volume_settled};
use crate::store::views::{Account, BillingAct, BillingDocument, LineKind, Receivable};

/// Lines of a document.
const LINES_MAX: usize = 500;
/// Entries opened together.
const CHUNK: usize = 500;
/// Periods that one invoice settles.
const PERIODS_MAX: usize = 400;

/// A document to be drawn.
#[derive(Debug, Clone)]
pub struct DocumentAsked {
    /// Its number; used once.
    pub number: String,
    /// Who pays or is credited.
    pub seller: String,
    /// ISO 4217 code; absent: the only one that the seller has receivables in.
    pub currency: Option<String>,
    /// Last day billed or credited, since 1970-01-01.
    pub day_to: i64,
    /// What an invoice has besides; none: a credit note.
    pub invoice: Option<InvoiceAsked>,
}

/// What an invoice has besides.
#[derive(Debug, Clone, Copy)]
pub struct InvoiceAsked {
    /// First day of the period whose minimums and settlements are due. Open items of earlier days are on it too.
    pub day_from: i64,
    /// Day payment is due.
    pub due: Option<i64>,
}

/// An entry on a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The entry whose journal line it is.
    pub position: u64,
    /// The entry that was earned or given back: another one where this entry undoes it.
    pub origin: u64,
    /// Accounting day, since 1970-01-01.
    pub day: i64,
    /// Micro-units, as they stand on the document.
    pub amount: i64,
}

/// A line: all items of one kind, rule and campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What is billed or credited.
    pub kind: &'static str,
    /// Price rule and its version; none where the revenue was posted without one.
    pub rule: Option<(String, String)>,
    /// Campaign.
    pub campaign: Option<String>,
    /// Its items, in order.
    pub items: Vec<Item>,
    /// Micro-units.
    pub amount: i64,
    /// The invoice itself books it.
    pub accrues: bool,
}

/// A document as it comes out of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drawn {
    /// Its lines.
    pub lines: Vec<Line>,
    /// What is due or credited: whole minor units, in micro-units.
    pub total: i64,
    /// Total less the lines.
    pub rounding: i64,
    /// Currency.
    pub currency: Currency,
    /// The size of the log that it was drawn from.
    pub considered: u64,
}

/// What a document is drawn for.
struct Drawing<'a> {
    act: BillingAct,
    seller: &'a str,
    currency: Currency,
    /// Settled periods begin here; none on credit notes.
    day_from: Option<i64>,
    day_to: i64,
    considered: u64,
    /// Documents that count for this one: earlier ones stand below this position.
    below: u64,
}

/// What makes one line of several items: kind, rule with its version, campaign.
type Group = (&'static str, Option<(String, String)>, String);

/// What the entry behind an item says of it.
#[derive(Debug, Clone, Default)]
struct Origin {
    rule: Option<(String, String)>,
    price: Option<i64>,
}

impl Biller {
    /// Rates, draws an invoice or a credit note and, unless `dry`, issues it.
    ///
    /// # Errors
    /// [`BillingError::Nothing`], [`BillingError::Sign`], [`BillingError::NumberUsed`], [`BillingError::Currencies`], and as
    /// [`Biller::rate`].
    pub async fn document(
        &self,
        run: Run<'_>,
        asked: &DocumentAsked,
        dry: bool,
    ) -> Result<(Drawn, Option<Receipt>), BillingError> {
        if !dry {
            match self.rate(run).await {
                // Whoever posts revenue that he priced himself needs no contract.
                Ok(_) | Err(BillingError::NoContract) => {}
                Err(error) => return Err(error),
            }
        }
        let mut lane = self.lane.lock().await;
        run.caught_up().await?;
        number_free(run, &asked.number).await?;
        let contract = match active(run.ledger, &mut lane).await {
            Ok(contract) => Some(contract),
            Err(BillingError::NoContract) => None,
            Err(error) => return Err(error),
        };
        // What was given back is given back under no contract: only invoices settle.
        let contract = contract.filter(|_| asked.invoice.is_some());
        let of = Drawing {
            act: if asked.invoice.is_some() { BillingAct::Invoice } else { BillingAct::CreditNote },
            seller: &asked.seller,
            currency: currency_of(run, &asked.seller, asked.currency.as_deref()).await?,
            day_from: asked.invoice.map(|invoice| invoice.day_from),
            day_to: asked.day_to,
            considered: run.ledger.size(),
            below: u64::MAX,
        };
        let drawn = draw(run, &of, contract.as_deref()).await?;
        checked(&drawn)?;
        if dry {
            return Ok((drawn, None));
        }
        let mut data = said(json!({
            "number": asked.number, "seller": asked.seller, "period_from": of.day_from.map(day_text),
            "period_to": day_text(asked.day_to), "due_on": asked.invoice.and_then(|invoice| invoice.due).map(day_text),
            "pack_sha256": contract.map(|contract| contract.digest),
        }));
        data.extend(drawn.data());
        let event_type = match of.act {
            BillingAct::Invoice => "billing.invoice_issued",
            _ => "billing.credit_note_issued",
        };
        let receipt = run.ledger.record_own(event_type, None, Value::Object(data), run.actor, run.now).await?;
        Ok((drawn, Some(receipt)))
    }

    /// Draws an issued document again from the log as it was: what it recorded, what comes out, and the members that differ.
    ///
    /// # Errors
    /// [`BillingError::Unknown`] if there is no such document.
    pub async fn redrawn(
        &self,
        run: Run<'_>,
        position: u64,
    ) -> Result<(BillingDocument, Value, Drawn, Vec<&'static str>), BillingError> {
        let mut lane = self.lane.lock().await;
        run.caught_up().await?;
        let documents = run.ledger.store().billing_documents(None).await?;
        let document = documents.into_iter().find(|document| document.position == position);
        let document = document.ok_or(BillingError::Unknown("invoice or credit note"))?;
        let part = business(&run.ledger.open_entry(position).await?).ok_or(BillingError::Unknown("document"))?;
        let contract = match member(&part, "pack_sha256") {
            Some(digest) => Some(by_digest(run.ledger, &mut lane, digest).await?),
            None => None,
        };
        let of = Drawing {
            act: document.act,
            seller: &document.seller,
            currency: Currency::parse(&document.currency)?,
            day_from: member(&part, "period_from").and_then(parse_day),
            day_to: document.day_to,
            considered: document.considered,
            below: position,
        };
        let drawn = draw(run, &of, contract.as_deref()).await?;
        let recorded = part.get("data").cloned().unwrap_or_default();
        let again = drawn.data();
        let names = ["considered", "lines", "rounding", "total"];
        let differs = names.into_iter().filter(|name| recorded.get(*name) != again.get(*name)).collect();
        Ok((document, recorded, drawn, differs))
    }
}

impl Drawn {
    fn data(&self) -> serde_json::Map<String, Value> {
        let code = self.currency.code();
        let lines: Vec<Value> = self
            .lines
            .iter()
            .map(|line| {
                Value::Object(said(json!({
                    "kind": line.kind,
                    "price_rule": line.rule.as_ref().map(|(rule, _)| rule),
                    "price_rule_version": line.rule.as_ref().map(|(_, version)| version),
                    "campaign": line.campaign,
                    "items": line.items.len(),
                    "amount": money(line.amount, code),
                    "accrues": line.accrues.then_some(true),
                })))
            })
            .collect();
        said(json!({
            "considered": self.considered, "lines": lines, "rounding": money(self.rounding, code),
            "total": money(self.total, code),
        }))
    }
}

/// A number stands on one document, annulled or not.
async fn number_free(run: Run<'_>, number: &str) -> Result<(), BillingError> {
    let documents = run.ledger.store().billing_documents(None).await?;
    match documents.iter().find(|document| document.number == number) {
        Some(document) => Err(BillingError::NumberUsed(document.position)),
        None => Ok(()),
    }
}

fn checked(drawn: &Drawn) -> Result<(), BillingError> {
    if drawn.lines.is_empty() {
        return Err(BillingError::Nothing);
    }
    if drawn.lines.len() > LINES_MAX {
        return Err(BillingError::Lines(LINES_MAX));
    }
    if drawn.total <= 0 {
        let total = Micros::from_micros(drawn.total);
        return Err(BillingError::Sign(format!("{total} {}", drawn.currency.code())));
    }
    Ok(())
}

/// The currency asked for, else the only one that the seller has receivables in.
async fn currency_of(run: Run<'_>, seller: &str, asked: Option<&str>) -> Result<Currency, BillingError> {
    if let Some(code) = asked {
        return Ok(Currency::parse(code)?);
    }
    let (all, ever) = (Timestamp::MAX, Timestamp::MAX);
    let balances = run.ledger.store().seller_balances(all, ever).await?;
    let found: BTreeSet<String> = balances
        .into_iter()
        .filter(|balance| balance.account == Account::Receivable && balance.seller == seller)
        .map(|balance| balance.currency)
        .collect();
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (None, _) => Err(BillingError::Nothing),
        (Some(code), None) => Ok(Currency::parse(&code)?),
        (Some(first), Some(second)) => Err(BillingError::Currencies(format!("{first}, {second}"))),
    }
}

/// What an account's money is called on a document of a kind; none: it is on none.
fn kind_of(act: BillingAct, account: Account) -> Option<&'static str> {
    let (invoice, name) = match account {
        Account::LeadSales => (true, "lead_sale"),
        Account::CallSales => (true, "call"),
        Account::AppointmentFees => (true, "appointment"),
        Account::ShowFees => (true, "show"),
        Account::RevenueShare => (true, "revenue_share"),
        Account::Retainers => (true, "retainer"),
        Account::MinimumCommitments => (true, "minimum_commitment"),
        Account::OtherIncome => (true, "other"),
        Account::Adjustments => (true, "adjustment"),
        Account::Returns => (false, "returns"),
        Account::Chargebacks => (false, "chargebacks"),
        Account::Clawbacks => (false, "clawbacks"),
        Account::Credits => (false, "credits"),
        _ => return None,
    };
    (invoice == (act == BillingAct::Invoice)).then_some(name)
}

/// Whether a document counts for what is drawn from the first `considered` entries.
fn counts(document: &BillingDocument, considered: u64) -> bool {
    document.annulled.is_none_or(|at| at >= considered)
}

/// The document that a line of the journal stands on, as the first `considered` entries have it: the first that found it free. One that was
/// annulled gave it back to those drawn after that.
fn holder<'a>(line: &Receivable, before: &[&'a BillingDocument], considered: u64) -> Option<&'a BillingDocument> {
    let mut holder: Option<&BillingDocument> = None;
    for document in before {
        let covers = line.position < document.considered && line.day <= document.day_to;
        if covers && holder.is_none_or(|holder| !counts(holder, document.considered)) {
            holder = Some(document);
        }
    }
    holder.filter(|holder| counts(holder, considered))
}

async fn draw(run: Run<'_>, asked: &Drawing<'_>, contract: Option<&Contract>) -> Result<Drawn, BillingError> {
    let store = run.ledger.store();
    let all = store.billing_documents(Some(asked.seller)).await?;
    let earlier = |document: &&BillingDocument| {
        document.act == asked.act && document.currency == asked.currency.code() && document.position < asked.below
    };
    let before: Vec<&BillingDocument> = all.iter().filter(earlier).collect();
    let lines = store.receivable_lines(asked.seller, asked.currency.code(), asked.day_to, 0, asked.considered).await?;
    // What a document booked itself is on it, also where that is undone.
    let own = |line: &Receivable| {
        line.kind == LineKind::Invoiced || all.iter().any(|document| document.position == line.origin)
    };
    let lines: Vec<Receivable> = lines.into_iter().filter(|line| !own(line)).collect();
    let free = |line: &Receivable| holder(line, &before, asked.considered).is_none();
    let settles = asked.day_from.unwrap_or(i64::MAX);
    let wanted = lines.iter().filter(|line| free(line) || line.day >= settles);
    let origins = origins_of(run, wanted.map(|line| line.origin).collect()).await?;
    let mut groups: BTreeMap<Group, Line> = BTreeMap::new();
    let sign = if asked.act == BillingAct::Invoice { 1 } else { -1 };
    for line in lines.iter().filter(|line| free(line)) {
        let Some(kind) = kind_of(asked.act, line.other) else { continue };
        let rule = origins.get(&line.origin).and_then(|origin| origin.rule.clone()).filter(|_| sign == 1);
        let campaign = Some(line.campaign.clone()).filter(|campaign| !campaign.is_empty());
        let group = groups.entry((kind, rule.clone(), line.campaign.clone())).or_insert_with(|| Line {
            kind,
            rule,
            campaign,
            items: Vec::new(),
            amount: 0,
            accrues: false,
        });
        let amount = sign * line.amount;
        group.amount = group.amount.checked_add(amount).ok_or(MoneyError::Range)?;
        group.items.push(Item { position: line.position, origin: line.origin, day: line.day, amount });
    }
    let mut drawn: Vec<Line> = groups.into_values().collect();
    if let (Some(contract), Some(day_from)) = (contract, asked.day_from) {
        let counting: Vec<&BillingDocument> =
            before.iter().filter(|document| counts(document, asked.considered)).copied().collect();
        let settled = settled_before(run, &counting).await?;
        drawn.extend(settlements(contract, asked, day_from, &settled, &lines, &origins)?);
    }
    let sum = drawn.iter().try_fold(0_i64, |sum, line| sum.checked_add(line.amount)).ok_or(MoneyError::Range)?;
    let (minor, _) = Micros::from_micros(sum).to_minor(asked.currency);
    let total = Micros::from_minor(minor, asked.currency)?.micros();
    Ok(Drawn { lines: drawn, total, rounding: total - sum, currency: asked.currency, considered: asked.considered })
}

async fn origins_of(run: Run<'_>, wanted: BTreeSet<u64>) -> Result<HashMap<u64, Origin>, BillingError> {
    let wanted: Vec<u64> = wanted.into_iter().collect();
    let mut found = HashMap::with_capacity(wanted.len());
    for positions in wanted.chunks(CHUNK) {
        let opened = run.ledger.open_entries(positions, |_, part| part.kind == PartKind::Business).await?;
        for (position, entry) in positions.iter().zip(opened) {
            let Some(part) = business(&entry) else { continue };
            let rule = member(&part, "price_rule")
                .map(|rule| (rule.to_owned(), member(&part, "price_rule_version").unwrap_or_default().to_owned()));
            let price = amount(part.get("data").and_then(|data| data.get("amount"))).map(|(micros, _)| micros);
            found.insert(*position, Origin { rule, price });
        }
    }
    Ok(found)
}

/// First and last days of the periods that invoices before settled.
async fn settled_before(run: Run<'_>, before: &[&BillingDocument]) -> Result<Vec<(i64, i64)>, BillingError> {
    let mut all = Vec::with_capacity(before.len());
    for document in before {
        let part = business(&run.ledger.open_entry(document.position).await?);
        let from = part.as_ref().and_then(|part| member(part, "period_from")).and_then(parse_day);
        all.extend(from.map(|from| (from, document.day_to)));
    }
    Ok(all)
}

/// Minimums that were not reached and units that fell into a cheaper tier, of whole periods that no invoice settled before.
fn settlements(
    contract: &Contract,
    asked: &Drawing<'_>,
    day_from: i64,
    settled: &[(i64, i64)],
    lines: &[Receivable],
    origins: &HashMap<u64, Origin>,
) -> Result<Vec<Line>, BillingError> {
    let due = |period: Period| -> Vec<(i64, i64)> {
        let mut all = Vec::new();
        let mut begin = period.begins(day_from);
        while period != Period::Lifetime && begin <= asked.day_to && all.len() < PERIODS_MAX {
            let end = match period {
                Period::Day | Period::Lifetime => begin + 1,
                Period::Month => period.begins(begin + 31),
            };
            let whole = begin >= day_from && end - 1 <= asked.day_to;
            if whole && !settled.iter().any(|(from, to)| *from <= begin && *to >= end - 1) {
                all.push((begin, end));
            }
            begin = end;
        }
        all
    };
    let own = |kind: &'static str, rule: Option<(String, String)>, amount: i64| Line {
        kind,
        rule,
        campaign: None,
        items: Vec::new(),
        amount,
        accrues: true,
    };
    let within = |line: &&Receivable, (begin, end): (i64, i64)| line.day >= begin && line.day < end;
    let mut all = Vec::new();
    let mut added = 0_i64;
    for rule in contract.rules.iter().filter(|rule| rule.seller == asked.seller && rule.currency == asked.currency) {
        let Pricing::Volume(period, tiers) = &rule.price else { continue };
        for span in due(*period) {
            let (mut count, mut spend) = (0_i64, 0_i64);
            for line in lines.iter().filter(|line| within(line, span)) {
                let Some(origin) = origins.get(&line.origin) else { continue };
                if origin.rule.as_ref().is_some_and(|(id, _)| *id == rule.id)
                    && let Some(price) = origin.price
                {
                    let sign = if line.origin == line.position || line.amount > 0 { 1 } else { -1 };
                    count += sign;
                    spend = spend.checked_add(sign * price).ok_or(MoneyError::Range)?;
                }
            }
            let amount = volume_settled(tiers, u64::try_from(count).unwrap_or(0))? - spend;
            if amount != 0 {
                added += amount;
                all.push(own("volume_settlement", Some((rule.id.clone(), contract.version.clone())), amount));
            }
        }
    }
    let terms = contract.terms.get(asked.seller).filter(|terms| terms.currency == asked.currency);
    if let Some((period, _)) = terms.and_then(|terms| terms.minimum) {
        for span in due(period) {
            let billed: i64 = lines
                .iter()
                .filter(|line| within(line, span) && kind_of(BillingAct::Invoice, line.other).is_some())
                .map(|line| line.amount)
                .sum();
            let lacking = true_up(terms, billed.saturating_add(std::mem::take(&mut added)));
            if lacking > 0 {
                all.push(own("minimum_commitment", None, lacking));
            }
        }
    }
    Ok(all)
}
