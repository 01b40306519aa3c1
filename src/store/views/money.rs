//! Reading the journal: sums for the views, and what completing a batch must look up.

use std::ops::Range;

use futures_util::stream::{BoxStream, Stream, StreamExt};
use sqlx::FromRow;

use super::columns::{Bulk, pack, postgres_query, sqlite_query};
use super::rows::{DimsRow, LineRow, NAMES, PERIOD_DAYS, RecordAt, UndoneRow, period_of};
use super::sql;
use crate::domain::time::{MICROS_PER_DAY, Timestamp};
use crate::store::db::{Db, on_db};
use crate::store::pack::ROWS_MAX;
use crate::store::rows::array;
use crate::store::{Store, StoreError};

/// What a sum is grouped by and restricted to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MoneyFilter {
    /// First accounting day.
    pub day_from: i64,
    /// The day after the last one.
    pub day_to: i64,
    /// Group by accounting day.
    pub by_day: bool,
    /// Group by each of [`NAMES`].
    pub by: [bool; NAMES.len()],
    /// Only this one of each of [`NAMES`], but for the last: what is spread in what way is no question of its own.
    pub only: [Option<String>; NAMES.len() - 1],
}

impl MoneyFilter {
    /// The whole periods within its days: the first day of the first one, and of the one after the last; equal if days must stay apart
    /// or there are none.
    fn whole_periods(&self) -> (i64, i64) {
        let from = self.day_from.checked_add(PERIOD_DAYS - 1).map_or(i64::MAX, |day| day.div_euclid(PERIOD_DAYS));
        let (from, to) = (from.saturating_mul(PERIOD_DAYS), self.day_to.div_euclid(PERIOD_DAYS) * PERIOD_DAYS);
        let from = if self.day_from == i64::MIN { i64::MIN } else { from };
        let to = if self.day_to == i64::MAX { i64::MAX } else { to };
        if self.by_day || from >= to { (self.day_to, self.day_to) } else { (from, to) }
    }
}

/// The period that an instant breaks and the instant at which it begins; of no instant, the end of time.
fn broken(at: Timestamp) -> (i64, i64) {
    if at == Timestamp::MAX {
        return (i64::MAX, i64::MAX);
    }
    let period = period_of(at.micros());
    (period, period.saturating_mul(PERIOD_DAYS * MICROS_PER_DAY))
}

/// One sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoneySum {
    /// Accounting day, 0 unless grouped by it.
    pub day: i64,
    /// [`NAMES`]; each empty unless grouped by it.
    pub names: [String; NAMES.len()],
    /// Code of the account or counter; income is positive, and so are costs.
    pub measure: i64,
    /// ISO 4217 code, or [`super::NO_CURRENCY`].
    pub currency: String,
    /// Micro-units, or a count.
    pub value: i64,
}

/// What a line of the journal or of a counter adds to a measure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoveLine {
    /// The entry that made it.
    pub position: u64,
    /// The entry whose effect it is; another one where that is undone or put back.
    pub origin: u64,
    /// Code of its kind.
    pub kind: i64,
    /// When it happened.
    pub occurred: i64,
    /// When the ledger learnt it.
    pub recorded: i64,
    /// Code of the account or counter; income is positive, and so are costs.
    pub measure: i64,
    /// ISO 4217 code, or [`super::NO_CURRENCY`].
    pub currency: String,
    /// Micro-units, or a count.
    pub value: i64,
}

/// A record found by its client's id, with the names it was recorded under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRow {
    /// The record.
    pub at: RecordAt,
    /// Its names.
    pub dims: DimsRow,
}

/// position, line, account, kind, amount, dims, day, occurred, currency, record, lead; of a whole line with origin and recorded before the lead.
type Line = (i64, i64, i64, i64, i64, i64, i64, i64, String, Vec<u8>, Vec<u8>);
type WholeLine = (i64, i64, i64, i64, i64, i64, i64, i64, String, Vec<u8>, i64, i64, Vec<u8>);

fn line_row(row: WholeLine) -> Result<LineRow, StoreError> {
    let (position, line, account, kind, amount, dims, day, occurred, currency, record, origin, recorded, lead) = row;
    let currency = array("money_lines", currency.as_bytes())?;
    let (record, lead) = (array("money_lines", &record)?, array("money_lines", &lead)?);
    Ok(LineRow { position, line, origin, account, kind, amount, dims, day, occurred, recorded, currency, record, lead })
}

fn undone_row((position, root, live, since): (i64, i64, i64, i64)) -> UndoneRow {
    UndoneRow { position, root, live: live == 1, since }
}

/// position, origin, kind, occurred, recorded, measure, currency, value.
type Moved = (i64, i64, i64, i64, i64, i64, String, i64);
/// The names of a row, as the columns say.
type Names = (String, String, String, String, String, String, String, String);
type Sum = (i64, String, String, String, String, String, String, String, String, i64, String, i64);
/// lead, position, line, account, kind, amount, dims, day, occurred, currency, record, origin, recorded.
type OfLead = (Vec<u8>, i64, i64, i64, i64, i64, i64, i64, i64, String, Vec<u8>, i64, i64);

fn names((campaign, channel, source, seller, vendor, state, cohort, allocation): Names) -> [String; NAMES.len()] {
    [campaign, channel, source, seller, vendor, state, cohort, allocation]
}

struct Position(i64);

impl Bulk<1, 0, 0> for Position {
    fn numbers(&self) -> [i64; 1] {
        [self.0]
    }

    fn texts(&self) -> [&str; 0] {
        []
    }

    fn bytes(&self) -> [&[u8]; 0] {
        []
    }
}

macro_rules! at_positions {
    ($store:expr, $statement:ident, $generation:expr, $positions:expr, $row:ty) => {{
        let positions: Vec<Position> = $positions.iter().map(|position| Position(*position)).collect();
        let rows: Vec<$row> = match &$store.db {
            Db::Sqlite(pools) => {
                let mut rows = Vec::new();
                for positions in positions.chunks(ROWS_MAX) {
                    let query = sqlite_query(sql::sqlite::$statement, $store.key(), $generation, pack(positions));
                    rows.extend(query.try_map(|row| <$row>::from_row(&row)).fetch_all(&pools.views_write).await?);
                }
                rows
            }
            Db::Postgres(pools) => {
                let query = postgres_query(sql::postgres::$statement, $store.key(), Some($generation), &positions);
                query.try_map(|row| <$row>::from_row(&row)).fetch_all(&pools.views_write).await?
            }
        };
        rows
    }};
}

impl Store {
    /// What is recorded under the given record ids, in no order.
    pub async fn money_records(&self, generation: i64, records: &[[u8; 16]]) -> Result<Vec<RecordRow>, StoreError> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        type Found = (Vec<u8>, i64, i64, Vec<u8>, i64, String, String, String, String, String, String, String, String);
        let rows: Vec<Found> = match &self.db {
            Db::Sqlite(pools) => {
                let mut rows = Vec::new();
                for records in records.chunks(ROWS_MAX) {
                    let count = i64::try_from(records.len()).unwrap_or(i64::MAX);
                    let query = sqlx::query_as(sql::sqlite::RECORDS_AT).bind(self.key()).bind(count);
                    let query = query.bind(records.as_flattened()).bind(generation);
                    rows.extend(query.fetch_all(&pools.views_write).await?);
                }
                rows
            }
            Db::Postgres(pools) => {
                let records: Vec<&[u8]> = records.iter().map(<[u8; 16]>::as_slice).collect();
                sqlx::query_as(sql::postgres::RECORDS_AT)
                    .bind(self.key())
                    .bind(generation)
                    .bind(records)
                    .fetch_all(&pools.views_write)
                    .await?
            }
        };
        rows.into_iter()
            .map(|(record, position, estimate, lead, id, a, b, c, d, e, f, g, h)| {
                Ok(RecordRow {
                    at: RecordAt {
                        record: array("money_records", &record)?,
                        lead: array("money_records", &lead)?,
                        position,
                        dims: id,
                        estimate: estimate == 1,
                    },
                    dims: DimsRow { id, names: names((a, b, c, d, e, f, g, h)) },
                })
            })
            .collect()
    }

    /// What the entries at the given positions undid or put back.
    pub async fn money_undone_at(&self, generation: i64, positions: &[i64]) -> Result<Vec<UndoneRow>, StoreError> {
        let rows = at_positions!(self, UNDONE_AT, generation, positions, (i64, i64, i64, i64));
        Ok(rows.into_iter().map(undone_row).collect())
    }

    /// Everything that was said about whether the given entries count.
    pub async fn money_undone_of(&self, generation: i64, roots: &[i64]) -> Result<Vec<UndoneRow>, StoreError> {
        let rows = at_positions!(self, UNDONE_OF, generation, roots, (i64, i64, i64, i64));
        Ok(rows.into_iter().map(undone_row).collect())
    }

    /// The lines that the entries at the given positions made themselves. Their recorded time is not read.
    pub async fn money_lines_at(&self, generation: i64, positions: &[i64]) -> Result<Vec<LineRow>, StoreError> {
        let rows = at_positions!(self, LINES_AT, generation, positions, Line);
        rows.into_iter()
            .map(|(position, line, account, kind, amount, dims, day, occurred, currency, record, lead)| {
                let row =
                    (position, line, account, kind, amount, dims, day, occurred, currency, record, position, 0, lead);
                line_row(row)
            })
            .collect()
    }

    /// Sums of what had occurred at `as_of`, as the ledger knew it at `known_at`; [`Timestamp::MAX`] leaves an axis open.
    pub async fn money_sums(
        &self,
        filter: &MoneyFilter,
        as_of: Timestamp,
        known_at: Timestamp,
    ) -> Result<Vec<MoneySum>, StoreError> {
        let [campaign, channel, source, seller, vendor, state, cohort] = &filter.only;
        let [by_campaign, by_channel, by_source, by_seller, by_vendor, by_state, by_cohort, by_allocation] =
            filter.by.map(i64::from);
        let (whole_from, whole_to) = filter.whole_periods();
        let (known, known_begins) = broken(known_at);
        let (since, since_begins) = broken(as_of);
        let rows: Vec<Sum> = on_db!(self.db, views_read, pool => {
            sqlx::query_as(sql::MONEY_SUMS)
                .bind(self.key())
                .bind(filter.day_from)
                .bind(filter.day_to)
                .bind(i64::from(filter.by_day))
                .bind(by_campaign)
                .bind(by_channel)
                .bind(by_source)
                .bind(by_seller)
                .bind(by_vendor)
                .bind(campaign)
                .bind(channel)
                .bind(source)
                .bind(seller)
                .bind(vendor)
                .bind(whole_from)
                .bind(whole_to)
                .bind(known)
                .bind(since)
                .bind(known_at.micros())
                .bind(as_of.micros())
                .bind(since_begins)
                .bind(known_begins)
                .bind(by_state)
                .bind(by_cohort)
                .bind(by_allocation)
                .bind(state)
                .bind(cohort)
                .fetch_all(pool)
                .await
        })?;
        Ok(rows.into_iter().map(MoneySum::from).collect())
    }

    /// Lines recorded after `known_from` that count at `instants` (occurred, recorded), of entries behind `after`, in the order of the log, at most
    /// `lines_max`. What the filter groups by does not matter.
    pub async fn money_moves(
        &self,
        filter: &MoneyFilter,
        known_from: Timestamp,
        instants: (Timestamp, Timestamp),
        after: i64,
        lines_max: i64,
    ) -> Result<Vec<MoveLine>, StoreError> {
        let [campaign, channel, source, seller, vendor, state, cohort] = &filter.only;
        let rows: Vec<Moved> = on_db!(self.db, views_read, pool => {
            sqlx::query_as(sql::MONEY_MOVES)
                .bind(self.key())
                .bind(after)
                .bind(period_of(known_from.micros()))
                .bind(known_from.micros())
                .bind(instants.1.micros())
                .bind(instants.0.micros())
                .bind(filter.day_from)
                .bind(filter.day_to)
                .bind(campaign)
                .bind(channel)
                .bind(source)
                .bind(seller)
                .bind(vendor)
                .bind(lines_max)
                .bind(state)
                .bind(cohort)
                .fetch_all(pool)
                .await
        })?;
        let place = |number: i64| {
            u64::try_from(number).map_err(|_| StoreError::inconsistent("money_lines", "a position below 0"))
        };
        rows.into_iter()
            .map(|(position, origin, kind, occurred, recorded, measure, currency, value)| {
                let (position, origin) = (place(position)?, place(origin)?);
                Ok(MoveLine { position, origin, kind, occurred, recorded, measure, currency, value })
            })
            .collect()
    }

    /// Balance of each account and currency, debit positive: account, currency, micro-units.
    pub async fn money_balances(
        &self,
        as_of: Timestamp,
        known_at: Timestamp,
    ) -> Result<Vec<(i64, String, i64)>, StoreError> {
        Ok(on_db!(self.db, views_read, pool => {
            sqlx::query_as(sql::MONEY_BALANCES)
                .bind(self.key())
                .bind(as_of.micros())
                .bind(known_at.micros())
                .fetch_all(pool)
                .await
        })?)
    }

    /// The names that lines are grouped by: as many as there are combinations of campaigns, sources and partners.
    pub async fn money_dims(&self) -> Result<Vec<DimsRow>, StoreError> {
        type Row = (i64, String, String, String, String, String, String, String, String);
        let rows: Vec<Row> = on_db!(self.db, views_read, pool => {
            sqlx::query_as(sql::MONEY_DIMS_ALL).bind(self.key()).fetch_all(pool).await
        })?;
        let row = |(id, a, b, c, d, e, f, g, h): Row| DimsRow { id, names: names((a, b, c, d, e, f, g, h)) };
        Ok(rows.into_iter().map(row).collect())
    }

    /// Lines in the order of persons and, of each, of the log, of some accounts and of what counts at `instants` (occurred, recorded); those of nobody's lead under
    /// zeros, before all others. The database sorts them: nothing is kept in that order, which would cost every write.
    pub fn money_lead_lines(
        &self,
        instants: (Timestamp, Timestamp),
        accounts: Range<i64>,
    ) -> impl Stream<Item = Result<LineRow, StoreError>> + Send + '_ {
        let rows: BoxStream<'_, Result<OfLead, sqlx::Error>> = on_db!(self.db, views_read, pool => {
            sqlx::query_as(sql::MONEY_LEAD_LINES)
                .bind(self.key())
                .bind(instants.0.micros())
                .bind(instants.1.micros())
                .bind(accounts.start)
                .bind(accounts.end)
                .fetch(pool)
        });
        rows.map(|row| {
            let (lead, position, line, account, kind, amount, dims, day, occurred, currency, record, origin, recorded) =
                row?;
            line_row((
                position, line, account, kind, amount, dims, day, occurred, currency, record, origin, recorded, lead,
            ))
        })
    }

    /// Lines of the entries in `[first, end)` in order, at most `rows_max`.
    pub async fn money_lines(&self, first: i64, end: i64, rows_max: i64) -> Result<Vec<LineRow>, StoreError> {
        let rows: Vec<WholeLine> = on_db!(self.db, views_read, pool => {
            sqlx::query_as(sql::MONEY_LINES_OF)
                .bind(self.key())
                .bind(first)
                .bind(end)
                .bind(rows_max)
                .fetch_all(pool)
                .await
        })?;
        rows.into_iter().map(line_row).collect()
    }
}

impl From<Sum> for MoneySum {
    fn from((day, a, b, c, d, e, f, g, h, measure, currency, value): Sum) -> MoneySum {
        MoneySum { day, names: names((a, b, c, d, e, f, g, h)), measure, currency, value }
    }
}
