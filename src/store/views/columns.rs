//! Bulk rows on both engines from one description: a row is its numbers, then its texts, then its bytes, in the order of
//! the statement's columns.
//!
//! SQLite gets heads of fixed width (20 characters a number, start and length of each text) and a body; Postgres gets one
//! array a column. Both come from the same trait, so that neither engine can lack a column that the other has.

use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{PgConnection, Postgres, Sqlite, SqliteConnection};

use super::rows::{
    BillingRow, ConsentRow, DimsRow, HealthDailyRow, HealthLastRow, ItemRow, ItemUpdate, JourneyRow, LineRow, NAMES,
    ParkedRow, PeriodRow, RecordAt, ScoreRow, SumRow, TrailRow, UndoneRow,
};
use super::{ItemState, sql};
use crate::store::pack::{NUMBER, Packed, ROWS_MAX};

/// A row of a bulk statement.
pub(super) trait Bulk<const N: usize, const T: usize, const B: usize> {
    fn numbers(&self) -> [i64; N];
    fn texts(&self) -> [&str; T];
    fn bytes(&self) -> [&[u8]; B];
}

/// Appends a number that may be negative: a sign and 19 digits, which `CAST(... AS INTEGER)` reads back.
fn pack_signed(heads: &mut Vec<u8>, value: i64) {
    let mut digits = [b'0'; NUMBER];
    let mut rest = value.unsigned_abs();
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if let (true, Some(sign)) = (value < 0, digits.first_mut()) {
        *sign = b'-';
    }
    heads.extend_from_slice(&digits);
}

pub(super) fn pack<R, const N: usize, const T: usize, const B: usize>(rows: &[R]) -> Packed
where
    R: Bulk<N, T, B>,
{
    let mut packed = Packed::with_capacity(rows.len(), NUMBER * (N + 2 * (T + B)), rows.len() * 24 * (T + B));
    for row in rows {
        packed.row();
        for number in row.numbers() {
            pack_signed(&mut packed.heads, number);
        }
        for text in row.texts() {
            packed.bytes(text.as_bytes());
        }
        for bytes in row.bytes() {
            packed.bytes(bytes);
        }
    }
    if packed.body.is_empty() {
        // SQLite takes an empty parameter for NULL, and cuts NULL texts out of it.
        packed.body.push(0);
    }
    packed
}

pub(super) fn sqlite_query<'q>(
    statement: &'static str,
    ledger: &'q [u8],
    generation: i64,
    packed: Packed,
) -> Query<'q, Sqlite, SqliteArguments> {
    sqlx::query(statement).bind(ledger).bind(packed.count).bind(packed.heads).bind(generation).bind(packed.body)
}

pub(super) async fn sqlite_insert<R, const N: usize, const T: usize, const B: usize>(
    tx: &mut SqliteConnection,
    statement: &'static str,
    ledger: &[u8],
    generation: i64,
    rows: &[R],
) -> Result<(), sqlx::Error>
where
    R: Bulk<N, T, B>,
{
    for rows in rows.chunks(ROWS_MAX) {
        sqlite_query(statement, ledger, generation, pack(rows)).execute(&mut *tx).await?;
    }
    Ok(())
}

/// Binds one array a column, after ledger and, if the statement has one, generation.
pub(super) fn postgres_query<'q, R, const N: usize, const T: usize, const B: usize>(
    statement: &'static str,
    ledger: &'q [u8],
    generation: Option<i64>,
    rows: &'q [R],
) -> Query<'q, Postgres, PgArguments>
where
    R: Bulk<N, T, B>,
{
    let mut numbers: [Vec<i64>; N] = std::array::from_fn(|_| Vec::with_capacity(rows.len()));
    let mut texts: [Vec<&str>; T] = std::array::from_fn(|_| Vec::with_capacity(rows.len()));
    let mut bytes: [Vec<&[u8]>; B] = std::array::from_fn(|_| Vec::with_capacity(rows.len()));
    for row in rows {
        row.numbers().into_iter().zip(&mut numbers).for_each(|(value, column)| column.push(value));
        row.texts().into_iter().zip(&mut texts).for_each(|(value, column)| column.push(value));
        row.bytes().into_iter().zip(&mut bytes).for_each(|(value, column)| column.push(value));
    }
    let mut query = sqlx::query(statement).bind(ledger);
    if let Some(generation) = generation {
        query = query.bind(generation);
    }
    for column in numbers {
        query = query.bind(column);
    }
    for column in texts {
        query = query.bind(column);
    }
    for column in bytes {
        query = query.bind(column);
    }
    query
}

pub(super) async fn postgres_insert<R, const N: usize, const T: usize, const B: usize>(
    tx: &mut PgConnection,
    statement: &'static str,
    ledger: &[u8],
    generation: i64,
    rows: &[R],
) -> Result<(), sqlx::Error>
where
    R: Bulk<N, T, B>,
{
    if rows.is_empty() {
        return Ok(());
    }
    let generation = (statement != sql::postgres::PARKED_INSERT).then_some(generation);
    postgres_query(statement, ledger, generation, rows).execute(tx).await.map(|_| ())
}

fn currency(code: &[u8; 3]) -> &str {
    // Codes come from a parsed currency or from NO_CURRENCY, all ASCII.
    std::str::from_utf8(code).unwrap_or("---")
}

macro_rules! bulk {
    ($row:ident, $this:ident, [$($number:expr),* $(,)?], [$($text:expr),* $(,)?], [$($bytes:expr),* $(,)?]) => {
        impl Bulk<{ [$(stringify!($number)),*].len() }, { <[&str]>::len(&[$(stringify!($text)),*]) }, { <[&str]>::len(&[$(stringify!($bytes)),*]) }> for $row {
            fn numbers(&self) -> [i64; { [$(stringify!($number)),*].len() }] {
                let $this = self;
                [$($number),*]
            }

            fn texts(&self) -> [&str; { <[&str]>::len(&[$(stringify!($text)),*]) }] {
                let $this = self;
                let _ = $this;
                [$($text),*]
            }

            fn bytes(&self) -> [&[u8]; { <[&str]>::len(&[$(stringify!($bytes)),*]) }] {
                let $this = self;
                let _ = $this;
                [$($bytes),*]
            }
        }
    };
}

bulk!(ParkedRow, row, [row.generation, row.position], [row.projection, row.reason], []);
bulk!(
    BillingRow,
    row,
    [row.position, row.act.code(), row.target, row.day, row.amount, row.covered, row.recorded],
    [currency(&row.currency), &row.seller, &row.rule, &row.pack],
    [&row.record]
);
bulk!(
    ConsentRow,
    row,
    [
        row.position,
        row.line,
        row.act,
        row.channels,
        row.purposes,
        row.technologies,
        row.flags,
        row.effective,
        row.occurred,
        row.recorded,
        row.valid_from,
        row.valid_until,
        row.target,
    ],
    [&row.seller, &row.kind, &row.method],
    [&row.subject, &row.record]
);
impl Bulk<1, { NAMES.len() }, 0> for DimsRow {
    fn numbers(&self) -> [i64; 1] {
        [self.id]
    }

    fn texts(&self) -> [&str; NAMES.len()] {
        self.names.each_ref().map(String::as_str)
    }

    fn bytes(&self) -> [&[u8]; 0] {
        []
    }
}

bulk!(
    LineRow,
    row,
    [
        row.position,
        row.line,
        row.origin,
        row.account,
        row.kind,
        row.amount,
        row.dims,
        row.day,
        row.occurred,
        row.recorded,
    ],
    [currency(&row.currency)],
    [&row.record, &row.lead]
);
bulk!(RecordAt, row, [row.position, row.dims, i64::from(row.estimate)], [], [&row.record, &row.lead]);
bulk!(UndoneRow, row, [row.position, row.root, i64::from(row.live), row.since], [], []);
bulk!(
    SumRow,
    row,
    [row.span, row.day, row.dims, row.measure, row.known, row.since, row.value],
    [currency(&row.currency)],
    []
);
bulk!(PeriodRow, row, [row.known, row.first], [], []);
bulk!(HealthDailyRow, row, [row.day, row.events, row.absent], [&row.event_type], []);
bulk!(HealthLastRow, row, [row.scope, row.position, row.recorded, row.events], [&row.name], []);
bulk!(
    ItemRow,
    row,
    [row.position, row.bytes, row.problems, row.recorded, ItemState::Open.code(), -1, -1, -1],
    [&row.reason, &row.via, &row.code, ""],
    [&row.event, &row.pair]
);
bulk!(
    JourneyRow,
    row,
    [row.position, row.step.code(), row.occurred, row.recorded, row.micros, row.target],
    [&row.channel, &row.mark, &row.campaign, &row.seller, currency(&row.currency)],
    [&row.subject, &row.record]
);
bulk!(
    TrailRow,
    row,
    [row.position, row.act.code(), row.occurred, row.recorded, row.until, row.channels, row.grant],
    [&row.purpose, &row.seller],
    [&row.subject, &row.decision]
);
bulk!(
    ScoreRow,
    row,
    [row.position, row.occurred, row.recorded, row.points, row.chance.unwrap_or(-1), i64::from(row.aside)],
    [&row.model, &row.version, &row.band, &row.campaign],
    [&row.subject]
);
bulk!(ItemUpdate, row, [row.item, row.state, row.position, row.recorded, row.result], [&row.outcome], []);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_sign_and_width() {
        for (value, text) in [
            (0, "00000000000000000000"),
            (-1, "-0000000000000000001"),
            (i64::MAX, "09223372036854775807"),
            (i64::MIN, "-9223372036854775808"),
        ] {
            let mut heads = Vec::new();
            pack_signed(&mut heads, value);
            assert_eq!(heads, text.as_bytes());
        }
    }
}
