//! The journal as plain text that bookkeepers' own programs check: hledger, and Beancount.
//!
//! One transaction an event, in micro-units' exact decimals, with the entry and its leaf hash as metadata: each figure leads
//! back to the log. Accounts are `Assets:Receivable` and the like; campaign, seller and the other names are metadata of the
//! posting. The last lines assert every balance as this ledger has it, so that the reader's program checks ours by reading
//! the file. Must never hold anything of a person: the journal knows none.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;

use crate::crypto::hash::Digest;
use crate::domain::money::Micros;
use crate::domain::time::Timestamp;
use crate::store::views::{Account, DimsRow, LineKind, LineRow, NAMES};

/// Whose program reads the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// hledger 1.25 or later.
    Hledger,
    /// Beancount 2 and 3.
    Beancount,
}

impl Dialect {
    /// The dialect of a name.
    pub fn from_name(name: &str) -> Option<Dialect> {
        match name {
            "hledger" => Some(Dialect::Hledger),
            "beancount" => Some(Dialect::Beancount),
            _ => None,
        }
    }

    const fn comment(self) -> &'static str {
        match self {
            Dialect::Hledger => "; ",
            Dialect::Beancount => ";; ",
        }
    }
}

/// A line whose account or kind is not known to this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the journal's line at position {0} has an account or kind that this version does not know")]
pub struct UnknownLine(pub i64);

/// Name of an account; both programs read it.
pub fn account_name(account: Account) -> String {
    let group = match account {
        Account::Receivable | Account::Cash => "Assets",
        Account::BrokerDeposit | Account::Payable => "Liabilities",
        Account::Returns | Account::Chargebacks | Account::Clawbacks | Account::Credits | Account::WriteOffs => {
            "Income:Reversals"
        }
        account if account.code() >= Account::Media.code() => "Expenses",
        _ => "Income",
    };
    let words = account.name().split('_').map(|word| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
    });
    format!("{group}:{}", words.collect::<Vec<_>>().join("-"))
}

/// An event that moved money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventMark {
    /// Its type.
    pub event_type: String,
    /// Leaf hash of its entry.
    pub leaf: Digest,
}

/// Writes a journal, event by event.
#[derive(Debug)]
pub struct Journal {
    dialect: Dialect,
    dims: HashMap<i64, DimsRow>,
    balances: BTreeMap<(Account, [u8; 3]), i128>,
    opened: BTreeSet<Account>,
    last_day: i64,
}

fn currency_text(currency: &[u8; 3]) -> String {
    String::from_utf8_lossy(currency).into_owned()
}

/// Exact decimals of a sum of micro-units that may be wider than one line's.
fn amount_text(micros: i128) -> String {
    if let Ok(narrow) = i64::try_from(micros) {
        return Micros::from_micros(narrow).to_string();
    }
    let (sign, size) = (if micros < 0 { "-" } else { "" }, micros.unsigned_abs());
    format!("{sign}{}.{:06}", size / 1_000_000, size % 1_000_000)
}

fn date(day: i64) -> String {
    Timestamp::from_micros(day.saturating_mul(86_400_000_000)).to_string().chars().take(10).collect()
}

/// A name inside quotes, or in a comment's tag: nothing that would end either.
fn plain(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() || matches!(letter, '"' | '\\' | ',') { ' ' } else { letter })
        .collect()
}

impl Journal {
    /// Begins with what the reader should know: whose journal, up to which position.
    pub fn begin(dialect: Dialect, dims: Vec<DimsRow>, ledger: &str, position: u64) -> (Journal, String) {
        let comment = dialect.comment();
        let text = format!(
            "{comment}Journal of ledger {ledger} from the entries before position {position}.\n\
             {comment}Each transaction names its entry and the entry's leaf hash; the log proves both.\n\n"
        );
        let dims = dims.into_iter().map(|row| (row.id, row)).collect();
        let (balances, opened) = (BTreeMap::new(), BTreeSet::new());
        (Journal { dialect, dims, balances, opened, last_day: i64::MIN }, text)
    }

    /// One event's lines as a transaction; empty where it only counted something.
    ///
    /// # Errors
    /// [`UnknownLine`].
    pub fn transaction(&mut self, lines: &[LineRow], mark: &EventMark) -> Result<String, UnknownLine> {
        let mut text = String::new();
        // An event may speak of several days (a correction takes back what stood on another).
        let days: BTreeSet<i64> = lines.iter().map(|line| line.day).collect();
        for day in days {
            let of_day: Vec<&LineRow> = lines.iter().filter(|line| line.day == day).collect();
            self.day(&mut text, day, &of_day, mark)?;
        }
        Ok(text)
    }

    fn day(&mut self, text: &mut String, day: i64, lines: &[&LineRow], mark: &EventMark) -> Result<(), UnknownLine> {
        let mut postings = Vec::with_capacity(lines.len());
        for line in lines {
            let unknown = UnknownLine(line.position);
            let account = Account::from_code(line.account).ok_or(unknown)?;
            let kind = LineKind::from_code(line.kind).ok_or(unknown)?;
            if !account.is_counter() && line.amount != 0 {
                postings.push((account, kind, *line));
            }
        }
        let Some((_, kind, first)) = postings.first().copied() else { return Ok(()) };
        self.last_day = self.last_day.max(day);
        if self.dialect == Dialect::Beancount {
            let new: Vec<Account> =
                postings.iter().map(|(account, ..)| *account).filter(|account| self.opened.insert(*account)).collect();
            for account in new {
                let _ = writeln!(text, "1970-01-01 open {}", account_name(account));
            }
        }
        let (title, entry) = (format!("{} {}", mark.event_type, kind.name()), first.position);
        let recorded = Timestamp::from_micros(first.recorded);
        let _ = match self.dialect {
            Dialect::Hledger => writeln!(
                text,
                "{} ({entry}) {title}\n    ; entry:{entry}, origin:{}, recorded:{recorded}, leaf:{}",
                date(day),
                first.origin,
                mark.leaf
            ),
            Dialect::Beancount => writeln!(
                text,
                "{} * \"{title}\"\n  entry: {entry}\n  origin: {}\n  recorded: \"{recorded}\"\n  leaf: \"{}\"",
                date(day),
                first.origin,
                mark.leaf
            ),
        };
        for (account, _, line) in postings {
            *self.balances.entry((account, line.currency)).or_default() += i128::from(line.amount);
            self.posting(text, account, line);
        }
        text.push('\n');
        Ok(())
    }

    fn posting(&self, text: &mut String, account: Account, line: &LineRow) {
        let (name, amount) = (account_name(account), amount_text(line.amount.into()));
        let currency = currency_text(&line.currency);
        let dims = self.dims.get(&line.dims);
        let names = dims.map(|dims| NAMES.iter().zip(&dims.names));
        let names = names.into_iter().flatten().filter(|(_, value)| !value.is_empty());
        match self.dialect {
            Dialect::Hledger => {
                let _ = write!(text, "    {name}  {amount} {currency}");
                for (at, (key, value)) in names.enumerate() {
                    let _ = write!(text, "{}{key}:{}", if at == 0 { "  ; " } else { ", " }, plain(value));
                }
                text.push('\n');
            }
            Dialect::Beancount => {
                let _ = writeln!(text, "  {name}  {amount} {currency}");
                for (key, value) in names {
                    let _ = writeln!(text, "    {key}: \"{}\"", plain(value));
                }
            }
        }
    }

    /// Every balance as this ledger has it, asserted on the day after the last one.
    pub fn end(self) -> String {
        let mut text = String::new();
        if self.balances.is_empty() {
            return text;
        }
        let day = date(self.last_day.saturating_add(1));
        if self.dialect == Dialect::Hledger {
            let _ = writeln!(text, "{day} balances");
        }
        for ((account, currency), balance) in &self.balances {
            let (name, balance, currency) = (account_name(*account), amount_text(*balance), currency_text(currency));
            let _ = match self.dialect {
                Dialect::Hledger => writeln!(text, "    {name}  0 {currency} = {balance} {currency}"),
                Dialect::Beancount => writeln!(text, "{day} balance {name}  {balance} ~ 0 {currency}"),
            };
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::hash::sha256;

    fn line(account: Account, amount: i64) -> LineRow {
        LineRow {
            position: 7,
            line: 0,
            origin: 7,
            account: account.code(),
            kind: LineKind::Revenue.code(),
            amount,
            dims: 1,
            day: 20_000,
            occurred: 0,
            recorded: 0,
            currency: *b"USD",
            record: [0; 16],
            lead: [0; 16],
        }
    }

    fn journal(dialect: Dialect) -> String {
        let mut dims = DimsRow { id: 1, ..DimsRow::default() };
        dims.names[3] = "acme \"x\", inc".to_owned();
        let (mut journal, mut text) = Journal::begin(dialect, vec![dims], "l", 8);
        let mark = EventMark { event_type: "revenue.recorded".to_owned(), leaf: sha256(b"x") };
        let lines =
            [line(Account::Receivable, 120_500_000), line(Account::LeadSales, -120_500_000), line(Account::Sales, 1)];
        text += &journal.transaction(&lines, &mark).unwrap();
        assert_eq!(journal.transaction(&[line(Account::Sales, 1)], &mark).unwrap(), "");
        text + &journal.end()
    }

    #[test]
    fn a_transaction_names_its_entry_and_a_name_cannot_break_out() {
        let text = journal(Dialect::Hledger);
        assert!(text.contains("2024-10-04 (7) revenue.recorded revenue\n"), "{text}");
        assert!(text.contains("    Assets:Receivable  120.50 USD  ; seller:acme  x   inc\n"), "{text}");
        assert!(text.contains("    Income:Lead-Sales  0 USD = -120.50 USD\n"), "{text}");
        let text = journal(Dialect::Beancount);
        assert!(
            text.contains("1970-01-01 open Income:Lead-Sales\n") && text.contains("  Income:Lead-Sales  -120.50 USD\n")
        );
        assert!(text.contains("2024-10-05 balance Assets:Receivable  120.50 ~ 0 USD\n"), "{text}");
    }

    #[test]
    fn an_unknown_account_is_an_error_and_not_left_out() {
        let (mut journal, _) = Journal::begin(Dialect::Hledger, Vec::new(), "l", 1);
        let mark = EventMark { event_type: "x".to_owned(), leaf: sha256(b"x") };
        let strange = LineRow { account: 999, ..line(Account::Cash, 1) };
        assert_eq!(journal.transaction(&[strange], &mark), Err(UnknownLine(7)));
    }

    #[test]
    fn every_account_has_its_own_name() {
        let accounts = Account::ALL.iter().filter(|account| !account.is_counter());
        let names: BTreeSet<String> = accounts.clone().map(|account| account_name(*account)).collect();
        assert_eq!(names.len(), accounts.count());
        assert!(names.contains("Income:Reversals:Write-Offs") && names.contains("Expenses:Payment-Fees"));
    }
}
