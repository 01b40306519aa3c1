//! Statements of the projections' tables. One text serves both engines except for the bulk statements, whose rows SQLite
//! cuts out of packed bytes (`columns.rs`) and Postgres out of arrays. A test prepares those of SQLite; `tests/it/projections.rs`
//! runs all of them on both engines.

pub(super) const CURSORS_READ: &str = "SELECT projection, generation, version, state, position, recorded FROM cursors WHERE ledger = $1 ORDER BY \
     projection, generation";
pub(super) const CURSOR_CREATE: &str = "INSERT INTO cursors (ledger, projection, generation, version, state, position, recorded) VALUES ($1, $2, $3, \
     $4, $5, 0, 0) ON CONFLICT (ledger, projection, generation) DO NOTHING";
/// Moves every cursor of a track at once: a compare-and-swap on where they stand.
pub(super) const CURSORS_MOVE: &str =
    "UPDATE cursors SET position = $2, recorded = $3 WHERE ledger = $1 AND state = $4 AND position = $5";
pub(super) const CURSOR_RETIRE: &str =
    "UPDATE cursors SET state = 2 WHERE ledger = $1 AND projection = $2 AND generation <> $3 AND state IN (1, 3)";
pub(super) const CURSOR_PROMOTE: &str = "UPDATE cursors SET state = 1 WHERE ledger = $1 AND projection = $2 AND generation = $3 AND state = 0 AND \
     position = $4";
/// Takes a set of rows that older code wrote off the track; it stays in use until a rebuilt one takes its place.
pub(super) const CURSOR_FREEZE: &str =
    "UPDATE cursors SET state = 3 WHERE ledger = $1 AND projection = $2 AND generation = $3 AND state = 1";
pub(super) const CURSOR_ABANDON: &str =
    "UPDATE cursors SET state = 2 WHERE ledger = $1 AND projection = $2 AND generation = $3 AND state = 0";
pub(super) const CURSOR_DELETE: &str =
    "DELETE FROM cursors WHERE ledger = $1 AND projection = $2 AND generation = $3 AND state = 2";
pub(super) const PARKED_COUNT: &str = "SELECT p.projection, COUNT(*) FROM parked p JOIN cursors c ON c.ledger = p.ledger AND c.projection = \
     p.projection AND c.generation = p.generation AND c.state IN (1, 3) WHERE p.ledger = $1 GROUP BY p.projection ORDER BY \
     p.projection";
pub(super) const PARKED_FROM: &str = "SELECT p.projection, p.position, p.reason FROM parked p JOIN cursors c ON c.ledger = p.ledger AND c.projection \
     = p.projection AND c.generation = p.generation AND c.state IN (1, 3) WHERE p.ledger = $1 AND p.position >= $2 ORDER \
     BY p.position, p.projection LIMIT $3";
/// Deletes the first rows of a generation in order of the table's key. By one bound, not by a list of keys: for a list,
/// Postgres without fresh statistics compares every row with every other.
macro_rules! delete_first {
    ($table:literal, $key:literal, $backward:literal) => {
        concat!(
            "DELETE FROM ",
            $table,
            " WHERE ledger = $1 AND generation = $2 AND (",
            $key,
            ") <= (SELECT ",
            $key,
            " FROM (SELECT ",
            $key,
            " FROM ",
            $table,
            " WHERE ledger = $1 AND generation = $2 ORDER BY ",
            $key,
            " LIMIT $3) AS first_rows ORDER BY ",
            $backward,
            " LIMIT 1)"
        )
    };
}
pub(super) const DELETE_CONSENT_ACTS: &str =
    delete_first!("consent_acts", "subject, position, line", "subject DESC, position DESC, line DESC");
pub(super) const DELETE_JOURNEY_STEPS: &str =
    delete_first!("journey_steps", "subject, position", "subject DESC, position DESC");
pub(super) const DELETE_SCORES: &str = delete_first!("scores", "subject, position", "subject DESC, position DESC");
pub(super) const DELETE_TRAIL_ACTS: &str = delete_first!("trail_acts", "position", "position DESC");
pub(super) const DELETE_MONEY_DIMS: &str = delete_first!("money_dims", "id", "id DESC");
pub(super) const DELETE_MONEY_LINES: &str = delete_first!("money_lines", "position, line", "position DESC, line DESC");
pub(super) const DELETE_MONEY_RECORDS: &str =
    delete_first!("money_records", "record, position", "record DESC, position DESC");
pub(super) const DELETE_MONEY_UNDONE: &str =
    delete_first!("money_undone", "position, root", "position DESC, root DESC");
pub(super) const DELETE_MONEY_SUMS: &str = delete_first!(
    "money_sums",
    "span, day, dims, measure, currency, known, since",
    "span DESC, day DESC, dims DESC, measure DESC, currency DESC, known DESC, since DESC"
);
pub(super) const DELETE_MONEY_PERIODS: &str = delete_first!("money_periods", "known", "known DESC");
pub(super) const DELETE_HEALTH_DAILY: &str =
    delete_first!("health_daily", "day, event_type", "day DESC, event_type DESC");
pub(super) const DELETE_HEALTH_LAST: &str = delete_first!("health_last", "scope, name", "scope DESC, name DESC");
pub(super) const DELETE_QUARANTINE_ITEMS: &str = delete_first!("quarantine_items", "position", "position DESC");
pub(super) const DELETE_BILLING_ACTS: &str = delete_first!("billing_acts", "position, act", "position DESC, act DESC");
pub(super) const DELETE_PARKED: &str = "DELETE FROM parked WHERE ledger = $1 AND generation = $2 AND projection = $3";
pub(super) const CONSENT_OF: &str = "SELECT position, line, act, channels, purposes, technologies, flags, effective, occurred, recorded, valid_from, \
     valid_until, target, seller, kind, method, record FROM consent_acts WHERE ledger = $1 AND generation = (SELECT \
     generation FROM cursors WHERE ledger = $1 AND projection = 'consent' AND state IN (1, 3)) AND subject = $2 AND \
     recorded <= $3 ORDER BY position, line";
/// $4 is the code of an act whose target is no undoing.
pub(super) const CONSENT_UNDOING: &str = "WITH RECURSIVE u(subject, position, target) AS (SELECT subject, position, target FROM consent_acts \
     WHERE ledger = $1 AND generation = (SELECT generation FROM cursors WHERE ledger = $1 AND projection = 'consent' AND \
     state IN (1, 3)) AND subject = $2 AND recorded <= $3 UNION SELECT c.subject, c.position, c.target FROM u JOIN \
     consent_acts c ON c.ledger = $1 AND c.generation = (SELECT generation FROM cursors WHERE ledger = $1 AND \
     projection = 'consent' AND state IN (1, 3)) AND c.target = u.position AND c.target >= 0 AND c.act <> $4 AND \
     c.recorded <= $3) SELECT position, target FROM u WHERE subject <> $2 ORDER BY position";
pub(super) const CONSENT_ACTIVITY: &str = "SELECT act, channels, seller, COUNT(*) FROM consent_acts WHERE ledger = $1 AND generation = (SELECT generation \
     FROM cursors WHERE ledger = $1 AND projection = 'consent' AND state IN (1, 3)) AND effective >= $2 AND effective < $3 \
     AND recorded <= $4 GROUP BY act, channels, seller ORDER BY act, channels, seller";
/// Sums by day, names and measure: from whole periods recorded before $17 and occurred before $18, of days from $15 to $16 by whole periods
/// of days; and from the lines of the two broken periods, recorded by $19 and occurred by $20. $21 and $22 are where the broken periods begin.
/// What occurred in the broken period stands in the log where that period was recorded, but for what was recorded in another one: an index
/// has those lines alone, by this very expression.
pub(super) const MONEY_SUMS: &str = "WITH r AS (SELECT CASE WHEN CAST($4 AS BIGINT) = 1 THEN day ELSE 0 END AS day, dims, measure, currency, value \
     FROM money_sums WHERE ledger = $1 AND generation = (SELECT generation FROM cursors WHERE ledger = $1 AND \
     projection = 'money' AND state IN (1, 3)) AND span = 1 AND day >= $2 AND day < $15 AND known < $17 AND since < \
     $18 UNION ALL SELECT CASE WHEN CAST($4 AS BIGINT) = 1 THEN day ELSE 0 END AS day, dims, measure, currency, value \
     FROM money_sums WHERE ledger = $1 AND generation = (SELECT generation FROM cursors WHERE ledger = $1 AND \
     projection = 'money' AND state IN (1, 3)) AND span = 1 AND day >= $16 AND day < $3 AND known < $17 AND since < \
     $18 UNION ALL SELECT CASE WHEN CAST($4 AS BIGINT) = 1 THEN day ELSE 0 END AS day, dims, measure, currency, value \
     FROM money_sums WHERE ledger = $1 AND generation = (SELECT generation FROM cursors WHERE ledger = $1 AND \
     projection = 'money' AND state IN (1, 3)) AND span = 32 AND day >= $15 AND day < $16 AND known < $17 AND since < \
     $18 UNION ALL SELECT CASE WHEN CAST($4 AS BIGINT) = 1 THEN day ELSE 0 END AS day, dims, account AS measure, \
     currency, CASE WHEN account < 300 THEN -amount ELSE amount END AS value FROM money_lines WHERE ledger = $1 AND \
     generation = (SELECT generation FROM cursors WHERE ledger = $1 AND projection = 'money' AND state IN (1, 3)) AND \
     position >= (SELECT first FROM money_periods WHERE ledger = $1 AND generation = (SELECT generation FROM cursors \
     WHERE ledger = $1 AND projection = 'money' AND state IN (1, 3)) AND known = $17) AND position < COALESCE((SELECT \
     MIN(first) FROM money_periods WHERE ledger = $1 AND generation = (SELECT generation FROM cursors WHERE ledger = \
     $1 AND projection = 'money' AND state IN (1, 3)) AND known > $17), 9223372036854775807) AND recorded <= $19 AND \
     occurred <= $20 AND day >= $2 AND day < $3 AND account >= 100 UNION ALL SELECT CASE WHEN CAST($4 AS BIGINT) = 1 \
     THEN day ELSE 0 END AS day, dims, account AS measure, currency, CASE WHEN account < 300 THEN -amount ELSE amount \
     END AS value FROM money_lines WHERE ledger = $1 AND generation = (SELECT generation FROM cursors WHERE ledger = \
     $1 AND projection = 'money' AND state IN (1, 3)) AND position >= (SELECT first FROM money_periods WHERE ledger = \
     $1 AND generation = (SELECT generation FROM cursors WHERE ledger = $1 AND projection = 'money' AND state IN (1, \
     3)) AND known = $18) AND position < COALESCE((SELECT MIN(first) FROM money_periods WHERE ledger = $1 AND \
     generation = (SELECT generation FROM cursors WHERE ledger = $1 AND projection = 'money' AND state IN (1, 3)) AND \
     (known > $18 OR known >= $17)), 9223372036854775807) AND recorded / 2764800000000 = occurred / 2764800000000 AND \
     occurred <= $20 AND day >= $2 AND day < $3 AND account >= 100 UNION ALL SELECT CASE WHEN CAST($4 AS BIGINT) = 1 \
     THEN day ELSE 0 END AS day, dims, account AS measure, currency, CASE WHEN account < 300 THEN -amount ELSE amount \
     END AS value FROM money_lines WHERE ledger = $1 AND generation = (SELECT generation FROM cursors WHERE ledger = \
     $1 AND projection = 'money' AND state IN (1, 3)) AND recorded / 2764800000000 <> occurred / 2764800000000 AND \
     occurred >= $21 AND recorded < $22 AND occurred <= $20 AND day >= $2 AND day < $3 AND account >= 100), s AS (SELECT day, dims, measure, currency, CAST(SUM(value) AS \
     BIGINT) AS value FROM r GROUP BY day, dims, measure, currency), g AS (SELECT s.day AS day, CASE WHEN CAST($5 AS \
     BIGINT) = 1 THEN d.campaign ELSE '' END AS campaign, CASE WHEN CAST($6 AS BIGINT) = 1 THEN d.channel ELSE '' END \
     AS channel, CASE WHEN CAST($7 AS BIGINT) = 1 THEN d.source ELSE '' END AS source, CASE WHEN CAST($8 AS BIGINT) = \
     1 THEN d.seller ELSE '' END AS seller, CASE WHEN CAST($9 AS BIGINT) = 1 THEN d.vendor ELSE '' END AS vendor, \
     CASE WHEN CAST($23 AS BIGINT) = 1 THEN d.state ELSE '' END AS state, CASE WHEN CAST($24 AS BIGINT) = 1 THEN \
     d.cohort ELSE '' END AS cohort, CASE WHEN CAST($25 AS BIGINT) = 1 THEN d.allocation ELSE '' END AS allocation, \
     s.measure AS measure, s.currency AS currency, s.value AS value FROM s JOIN money_dims d ON d.ledger = $1 AND \
     d.generation = (SELECT generation FROM cursors WHERE ledger = $1 AND projection = 'money' AND state IN (1, 3)) \
     AND d.id = s.dims WHERE (CAST($10 AS TEXT) IS NULL OR d.campaign = $10) AND (CAST($11 AS TEXT) IS NULL OR \
     d.channel = $11) AND (CAST($12 AS TEXT) IS NULL OR d.source = $12) AND (CAST($13 AS TEXT) IS NULL OR d.seller = \
     $13) AND (CAST($14 AS TEXT) IS NULL OR d.vendor = $14) AND (CAST($26 AS TEXT) IS NULL OR d.state = $26) AND \
     (CAST($27 AS TEXT) IS NULL OR d.cohort = $27)) SELECT day, campaign, channel, source, seller, vendor, state, \
     cohort, allocation, measure, currency, CAST(SUM(value) AS BIGINT) FROM g GROUP BY day, campaign, channel, \
     source, seller, vendor, state, cohort, allocation, measure, currency ORDER BY day, measure";
/// Lines recorded after $4, which lies in period $3, and by $5, in the order of the log; $2 is the last position seen.
pub(super) const MONEY_MOVES: &str = "SELECT l.position, l.origin, l.kind, l.occurred, l.recorded, l.account, l.currency, CASE WHEN l.account < 300 \
     THEN -l.amount ELSE l.amount END FROM money_lines l JOIN money_dims d ON d.ledger = $1 AND d.generation = \
     l.generation AND d.id = l.dims WHERE l.ledger = $1 AND l.generation = (SELECT generation FROM cursors WHERE \
     ledger = $1 AND projection = 'money' AND state IN (1, 3)) AND l.position > $2 AND l.position >= COALESCE((SELECT \
     MAX(first) FROM money_periods WHERE ledger = $1 AND generation = (SELECT generation FROM cursors WHERE ledger = \
     $1 AND projection = 'money' AND state IN (1, 3)) AND known <= $3), 0) AND l.recorded > $4 AND l.recorded <= $5 \
     AND l.occurred <= $6 AND l.day >= $7 AND l.day < $8 AND l.account >= 100 AND (CAST($9 AS TEXT) IS NULL OR \
     d.campaign = $9) AND (CAST($10 AS TEXT) IS NULL OR d.channel = $10) AND (CAST($11 AS TEXT) IS NULL OR d.source = \
     $11) AND (CAST($12 AS TEXT) IS NULL OR d.seller = $12) AND (CAST($13 AS TEXT) IS NULL OR d.vendor = $13) AND \
     (CAST($15 AS TEXT) IS NULL OR d.state = $15) AND (CAST($16 AS TEXT) IS NULL OR d.cohort = $16) ORDER BY \
     l.position, l.line LIMIT $14";
pub(super) const MONEY_BALANCES: &str = "SELECT l.account, l.currency, CAST(SUM(l.amount) AS BIGINT) FROM money_lines l WHERE l.ledger = $1 AND \
     l.generation = (SELECT generation FROM cursors WHERE ledger = $1 AND projection = 'money' AND state IN (1, 3)) AND \
     l.account < 1000 AND l.occurred <= $2 AND l.recorded <= $3 GROUP BY l.account, l.currency ORDER BY l.account, \
     l.currency";
pub(super) const MONEY_LINES_OF: &str = "SELECT position, line, account, kind, amount, dims, day, occurred, currency, record, origin, recorded, lead FROM \
     money_lines WHERE ledger = $1 AND generation = (SELECT generation FROM cursors WHERE ledger = $1 AND projection \
     = 'money' AND state IN (1, 3)) AND position >= $2 AND position < $3 ORDER BY position, line LIMIT $4";
/// Lines by person, those of nobody's lead first; accounts from $4 to before $5; what counts at ($2, $3).
pub(super) const MONEY_LEAD_LINES: &str = "SELECT lead, position, line, account, kind, amount, dims, day, occurred, currency, record, origin, recorded FROM \
     money_lines WHERE ledger = $1 AND generation = (SELECT generation FROM cursors WHERE ledger = $1 AND projection \
     = 'money' AND state IN (1, 3)) AND account >= $4 AND account < $5 AND occurred <= $2 AND recorded <= $3 ORDER BY \
     lead, position, line";
pub(super) const MONEY_DIMS_ALL: &str = "SELECT id, campaign, channel, source, seller, vendor, state, cohort, allocation FROM money_dims WHERE ledger = \
     $1 AND generation = (SELECT generation FROM cursors WHERE ledger = $1 AND projection = 'money' AND state IN (1, \
     3)) ORDER BY id";
pub(super) const JOURNEYS_FROM: &str = "SELECT subject, position, step, occurred, recorded, micros, target, channel, mark, campaign, seller, \
     currency, record FROM journey_steps WHERE ledger = $1 AND generation = (SELECT generation FROM cursors WHERE \
     ledger = $1 AND projection = 'journeys' AND state IN (1, 3)) AND (subject, position) > ($2, $3) ORDER BY \
     subject, position LIMIT $4";
/// What speaks of other rows: $1 alone.
pub(super) const JOURNEYS_ASIDE: &str = "SELECT subject, position, step, occurred, recorded, micros, target, channel, mark, campaign, seller, \
     currency, record FROM journey_steps WHERE ledger = $1 AND generation = (SELECT generation FROM cursors WHERE \
     ledger = $1 AND projection = 'journeys' AND state IN (1, 3)) AND (step >= 6 OR target >= 0) ORDER BY \
     position";
pub(super) const TRAILS_ALL: &str = "SELECT subject, position, act, occurred, recorded, until, channels, granted, purpose, seller, decision FROM \
     trail_acts WHERE ledger = $1 AND generation = (SELECT generation FROM cursors WHERE ledger = $1 AND projection = \
     'trails' AND state IN (1, 3)) ORDER BY subject, position";
pub(super) const SCORES_FROM: &str = "SELECT subject, position, occurred, recorded, points, chance, aside, model, version, band, campaign FROM \
     scores WHERE ledger = $1 AND generation = (SELECT generation FROM cursors WHERE ledger = $1 AND projection = \
     'scores' AND state IN (1, 3)) AND (subject, position) > ($2, $3) ORDER BY subject, position LIMIT $4";
pub(super) const HEALTH_DAYS: &str = "SELECT day, event_type, events, absent FROM health_daily WHERE ledger = $1 AND generation = (SELECT generation \
     FROM cursors WHERE ledger = $1 AND projection = 'health' AND state IN (1, 3)) AND day >= $2 AND day < $3 ORDER BY \
     day, event_type";
pub(super) const HEALTH_LAST: &str = "SELECT scope, name, position, recorded, events FROM health_last WHERE ledger = $1 AND generation = (SELECT \
     generation FROM cursors WHERE ledger = $1 AND projection = 'health' AND state IN (1, 3)) ORDER BY scope, name";
pub(super) const ITEMS_COUNT: &str = "SELECT state, COUNT(*), CAST(MIN(recorded) AS BIGINT) FROM quarantine_items WHERE ledger = $1 AND generation = \
     (SELECT generation FROM cursors WHERE ledger = $1 AND projection = 'quarantine' AND state IN (1, 3)) GROUP BY state \
     ORDER BY state";
pub(super) const ITEMS_OPEN: &str = "SELECT position, bytes, problems, recorded, state, closed_position, closed_recorded, result, event, reason, \
     via, code, outcome, pair FROM quarantine_items WHERE ledger = $1 AND generation = (SELECT generation FROM cursors \
     WHERE ledger = $1 AND projection = 'quarantine' AND state IN (1, 3)) AND state = 1 AND position > $2 ORDER BY \
     position LIMIT $3";
pub(super) const ITEMS_ALL: &str = "SELECT position, bytes, problems, recorded, state, closed_position, closed_recorded, result, event, reason, \
     via, code, outcome, pair FROM quarantine_items WHERE ledger = $1 AND generation = (SELECT generation FROM cursors \
     WHERE ledger = $1 AND projection = 'quarantine' AND state IN (1, 3)) AND position > $2 ORDER BY position LIMIT $3";
pub(super) const ITEM_AT: &str = "SELECT position, bytes, problems, recorded, state, closed_position, closed_recorded, result, event, reason, \
     via, code, outcome, pair FROM quarantine_items WHERE ledger = $1 AND generation = (SELECT generation FROM cursors \
     WHERE ledger = $1 AND projection = 'quarantine' AND state IN (1, 3)) AND position = $2";
/// Billable events after $2 that no price decision of a rule, and none under the contract $3, speaks of.
pub(super) const BILLING_UNRATED: &str = "SELECT b.position, b.act, b.seller FROM billing_acts b WHERE b.ledger = $1 AND b.generation = (SELECT \
     generation FROM cursors WHERE ledger = $1 AND projection = 'billing' AND state IN (1, 3)) AND b.act <= 5 AND \
     b.position > $2 AND b.seller <> '' AND NOT EXISTS (SELECT 1 FROM billing_acts u WHERE u.ledger = $1 AND \
     u.generation = (SELECT generation FROM cursors WHERE ledger = $1 AND projection = 'billing' AND state IN (1, \
     3)) AND u.target = b.position AND u.act = 40) AND NOT EXISTS (SELECT 1 FROM billing_acts d WHERE d.ledger = \
     $1 AND d.generation = (SELECT generation FROM cursors WHERE ledger = $1 AND projection = 'billing' AND state \
     IN (1, 3)) AND d.target = b.position AND d.act = 20 AND (d.rule <> '' OR d.pack = $3) AND NOT EXISTS (SELECT \
     1 FROM billing_acts u WHERE u.ledger = $1 AND u.generation = (SELECT generation FROM cursors WHERE ledger = \
     $1 AND projection = 'billing' AND state IN (1, 3)) AND u.target = d.position AND u.act = 40)) ORDER BY \
     b.position LIMIT $4";
/// Price decisions that still count though the event they price was undone.
pub(super) const BILLING_VOID: &str = "SELECT d.position FROM billing_acts d WHERE d.ledger = $1 AND d.generation = (SELECT generation FROM cursors \
     WHERE ledger = $1 AND projection = 'billing' AND state IN (1, 3)) AND d.act = 20 AND d.rule <> '' AND EXISTS \
     (SELECT 1 FROM billing_acts v WHERE v.ledger = $1 AND v.generation = (SELECT generation FROM cursors WHERE \
     ledger = $1 AND projection = 'billing' AND state IN (1, 3)) AND v.target = d.target AND v.act = 40) AND NOT \
     EXISTS (SELECT 1 FROM billing_acts u WHERE u.ledger = $1 AND u.generation = (SELECT generation FROM cursors \
     WHERE ledger = $1 AND projection = 'billing' AND state IN (1, 3)) AND u.target = d.position AND u.act = 40) \
     ORDER BY d.position LIMIT $2";
/// What rules of a seller priced, by day.
pub(super) const BILLING_USAGE: &str = "SELECT d.rule, d.day, COUNT(*), CAST(SUM(d.amount + d.covered) AS BIGINT) FROM billing_acts d WHERE d.ledger \
     = $1 AND d.generation = (SELECT generation FROM cursors WHERE ledger = $1 AND projection = 'billing' AND \
     state IN (1, 3)) AND d.act = 20 AND d.seller = $2 AND d.rule <> '' AND NOT EXISTS (SELECT 1 FROM \
     billing_acts u WHERE u.ledger = $1 AND u.generation = (SELECT generation FROM cursors WHERE ledger = $1 AND \
     projection = 'billing' AND state IN (1, 3)) AND u.target = d.position AND u.act = 40) GROUP BY d.rule, d.day \
     ORDER BY d.rule, d.day";
/// Returns asked for that nobody judged.
pub(super) const BILLING_RETURNS: &str = "SELECT b.position, b.seller, b.record FROM billing_acts b WHERE b.ledger = $1 AND b.generation = (SELECT \
     generation FROM cursors WHERE ledger = $1 AND projection = 'billing' AND state IN (1, 3)) AND b.act = 10 AND \
     NOT EXISTS (SELECT 1 FROM billing_acts u WHERE u.ledger = $1 AND u.generation = (SELECT generation FROM \
     cursors WHERE ledger = $1 AND projection = 'billing' AND state IN (1, 3)) AND u.target = b.position AND \
     u.act = 40) AND NOT EXISTS (SELECT 1 FROM billing_acts d WHERE d.ledger = $1 AND d.generation = (SELECT \
     generation FROM cursors WHERE ledger = $1 AND projection = 'billing' AND state IN (1, 3)) AND d.target = \
     b.position AND d.act = 21) ORDER BY b.position LIMIT $2";
/// Everything that moved the receivable of one sale.
pub(super) const BILLING_OF_RECORD: &str = "SELECT b.position, b.act, b.day, b.amount, b.covered, b.currency, b.seller FROM billing_acts b WHERE \
     b.ledger = $1 AND b.generation = (SELECT generation FROM cursors WHERE ledger = $1 AND projection = \
     'billing' AND state IN (1, 3)) AND b.record = $2 AND b.act BETWEEN 11 AND 21 AND NOT EXISTS (SELECT 1 FROM \
     billing_acts u WHERE u.ledger = $1 AND u.generation = (SELECT generation FROM cursors WHERE ledger = $1 AND \
     projection = 'billing' AND state IN (1, 3)) AND u.target = b.position AND u.act = 40) ORDER BY b.position, \
     b.act";
/// What a seller was billed and credited for returns on days in [$3, $4), by act and currency.
pub(super) const BILLING_TOTALS: &str = "SELECT b.act, b.currency, CAST(SUM(b.amount) AS BIGINT) FROM billing_acts b WHERE b.ledger = $1 AND \
     b.generation = (SELECT generation FROM cursors WHERE ledger = $1 AND projection = 'billing' AND state IN (1, \
     3)) AND b.act IN (11, 20, 21) AND b.seller = $2 AND b.day >= $3 AND b.day < $4 AND NOT EXISTS (SELECT 1 FROM \
     billing_acts u WHERE u.ledger = $1 AND u.generation = (SELECT generation FROM cursors WHERE ledger = $1 AND \
     projection = 'billing' AND state IN (1, 3)) AND u.target = b.position AND u.act = 40) GROUP BY b.act, \
     b.currency ORDER BY b.act, b.currency";
/// Invoices and credit notes; $2: of one seller, null: of all.
pub(super) const BILLING_DOCUMENTS: &str = "SELECT b.position, b.act, b.target, b.day, b.amount, b.covered, b.recorded, b.currency, b.seller, b.rule, CAST(COALESCE((SELECT \
     MIN(u.position) FROM billing_acts u WHERE u.ledger = $1 AND u.generation = (SELECT generation FROM cursors \
     WHERE ledger = $1 AND projection = 'billing' AND state IN (1, 3)) AND u.target = b.position AND u.act = 40), \
     -1) AS BIGINT) FROM billing_acts b WHERE b.ledger = $1 AND b.generation = (SELECT generation FROM cursors \
     WHERE ledger = $1 AND projection = 'billing' AND state IN (1, 3)) AND b.act IN (30, 31) AND (CAST($2 AS \
     TEXT) IS NULL OR b.seller = $2) ORDER BY b.position, b.act";
/// The contract in force: the last one activated.
pub(super) const BILLING_CONTRACT: &str = "SELECT b.position, b.pack FROM billing_acts b WHERE b.ledger = $1 AND b.generation = (SELECT generation FROM \
     cursors WHERE ledger = $1 AND projection = 'billing' AND state IN (1, 3)) AND b.act = 50 ORDER BY b.position \
     DESC LIMIT 1";
/// What moved the receivable by earning or giving back, with the account on the other side: of one seller and currency, days to $4, entries in [$5, $6).
pub(super) const MONEY_RECEIVABLE: &str = "SELECT l.position, l.origin, l.kind, l.day, l.amount, o.account, d.campaign FROM money_lines l JOIN \
     money_dims d ON d.ledger = $1 AND d.generation = (SELECT generation FROM cursors WHERE ledger = $1 AND \
     projection = 'money' AND state IN (1, 3)) AND d.id = l.dims JOIN money_lines o ON o.ledger = $1 AND \
     o.generation = (SELECT generation FROM cursors WHERE ledger = $1 AND projection = 'money' AND state IN (1, \
     3)) AND o.position = l.position AND o.line >= l.line - 1 AND o.line <= l.line + 1 AND o.line <> l.line AND \
     o.amount = -l.amount AND o.account >= 100 AND o.account < 300 WHERE l.ledger = $1 AND l.generation = (SELECT \
     generation FROM cursors WHERE ledger = $1 AND projection = 'money' AND state IN (1, 3)) AND l.account = 1 \
     AND d.seller = $2 AND l.currency = $3 AND l.day <= $4 AND l.position >= $5 AND l.position < $6 ORDER BY \
     l.position, l.line";
/// Balance of receivable, paid-ahead money and payable by seller, vendor and currency. What undoes a line, or puts it back (kinds 9 to 11),
/// goes with the line.
pub(super) const MONEY_SELLERS: &str = "SELECT l.account, d.seller, d.vendor, l.currency, l.kind, l.day, CAST(SUM(l.amount) AS BIGINT) FROM \
     (SELECT m.account AS account, m.dims AS dims, m.currency AS currency, m.day AS day, m.amount AS amount, CASE WHEN \
     m.kind >= 9 AND m.kind <= 11 THEN COALESCE((SELECT MIN(o.kind) FROM money_lines o WHERE o.ledger = $1 AND \
     o.generation = m.generation AND o.position = m.origin AND o.origin = m.origin AND o.account = m.account), m.kind) \
     ELSE m.kind END AS kind FROM money_lines m WHERE m.ledger = $1 AND m.generation = (SELECT generation FROM cursors \
     WHERE ledger = $1 AND projection = 'money' AND state IN (1, 3)) AND m.account IN (1, 20, 21) AND m.occurred <= $2 \
     AND m.recorded <= $3) l JOIN money_dims d ON d.ledger = $1 AND d.generation = (SELECT generation FROM cursors WHERE \
     ledger = $1 AND projection = 'money' AND state IN (1, 3)) AND d.id = l.dims GROUP BY l.account, d.seller, \
     d.vendor, l.currency, l.kind, l.day ORDER BY l.account, d.seller, d.vendor, l.currency, l.day, l.kind";

/// What a party was paid out of prices, or gave back, on days in [$3, $4), by entries after $5.
pub(super) const MONEY_PAYOUTS: &str = "SELECT l.position, l.origin, l.day, l.amount, l.currency, d.seller, d.campaign FROM money_lines l JOIN \
     money_dims d ON d.ledger = $1 AND d.generation = (SELECT generation FROM cursors WHERE ledger = $1 AND \
     projection = 'money' AND state IN (1, 3)) AND d.id = l.dims WHERE l.ledger = $1 AND l.generation = (SELECT \
     generation FROM cursors WHERE ledger = $1 AND projection = 'money' AND state IN (1, 3)) AND l.account = 309 \
     AND d.vendor = $2 AND l.day >= $3 AND l.day < $4 AND l.position > $5 ORDER BY l.position, l.line LIMIT $6";

/// Statements that both engines run as they stand.
#[cfg(test)]
pub(in crate::store) const SHARED: &[&str] = &[
    CURSORS_READ,
    CURSOR_CREATE,
    CURSORS_MOVE,
    CURSOR_RETIRE,
    CURSOR_PROMOTE,
    CURSOR_FREEZE,
    CURSOR_ABANDON,
    CURSOR_DELETE,
    PARKED_COUNT,
    PARKED_FROM,
    DELETE_CONSENT_ACTS,
    DELETE_MONEY_DIMS,
    DELETE_MONEY_LINES,
    DELETE_MONEY_RECORDS,
    DELETE_MONEY_UNDONE,
    DELETE_MONEY_SUMS,
    DELETE_MONEY_PERIODS,
    DELETE_HEALTH_DAILY,
    DELETE_HEALTH_LAST,
    DELETE_QUARANTINE_ITEMS,
    DELETE_PARKED,
    CONSENT_OF,
    CONSENT_UNDOING,
    CONSENT_ACTIVITY,
    MONEY_SUMS,
    MONEY_MOVES,
    MONEY_BALANCES,
    MONEY_LINES_OF,
    MONEY_LEAD_LINES,
    MONEY_DIMS_ALL,
    JOURNEYS_FROM,
    JOURNEYS_ASIDE,
    DELETE_JOURNEY_STEPS,
    DELETE_SCORES,
    SCORES_FROM,
    TRAILS_ALL,
    DELETE_TRAIL_ACTS,
    HEALTH_DAYS,
    HEALTH_LAST,
    ITEMS_COUNT,
    ITEMS_OPEN,
    ITEMS_ALL,
    ITEM_AT,
    DELETE_BILLING_ACTS,
    BILLING_UNRATED,
    BILLING_VOID,
    BILLING_USAGE,
    BILLING_RETURNS,
    BILLING_OF_RECORD,
    BILLING_TOTALS,
    BILLING_DOCUMENTS,
    BILLING_CONTRACT,
    MONEY_RECEIVABLE,
    MONEY_PAYOUTS,
    MONEY_SELLERS,
];

/// How a generation's rows of each projection are deleted: `$3` rows at a time.
pub(super) const DELETES: &[(&str, &[&str])] = &[
    ("consent", &[DELETE_CONSENT_ACTS]),
    ("journeys", &[DELETE_JOURNEY_STEPS]),
    ("scores", &[DELETE_SCORES]),
    ("trails", &[DELETE_TRAIL_ACTS]),
    (
        "money",
        &[
            DELETE_MONEY_LINES,
            DELETE_MONEY_RECORDS,
            DELETE_MONEY_UNDONE,
            DELETE_MONEY_SUMS,
            DELETE_MONEY_PERIODS,
            DELETE_MONEY_DIMS,
        ],
    ),
    ("health", &[DELETE_HEALTH_DAILY, DELETE_HEALTH_LAST]),
    ("quarantine", &[DELETE_QUARANTINE_ITEMS]),
    ("billing", &[DELETE_BILLING_ACTS]),
];

/// Bulk statements for SQLite: `$1` ledger, `$2` number of rows (at most as many as `series` counts), `$3` their heads, `$4`
/// generation, `$5` the body.
pub(in crate::store) mod sqlite {
    pub(in crate::store::views) const PARKED_INSERT: &str = "INSERT INTO parked \
         (ledger, generation, position, projection, reason) SELECT $1, CAST(substr($3, i * 120 + 1, 20) AS INTEGER), \
         CAST(substr($3, i * 120 + 21, 20) AS INTEGER), CAST(substr($5, CAST(substr($3, i * 120 + 41, 20) AS \
         INTEGER), CAST(substr($3, i * 120 + 61, 20) AS INTEGER)) AS TEXT), CAST(substr($5, CAST(substr($3, i * 120 \
         + 81, 20) AS INTEGER), CAST(substr($3, i * 120 + 101, 20) AS INTEGER)) AS TEXT) FROM series r WHERE i < $2 ON \
         CONFLICT (ledger, generation, projection, position) DO NOTHING";
    pub(in crate::store::views) const CONSENT_INSERT: &str = "INSERT INTO consent_acts \
         (ledger, generation, position, line, act, channels, purposes, technologies, flags, effective, occurred, \
         recorded, valid_from, valid_until, target, seller, kind, method, subject, record) SELECT $1, $4, \
         CAST(substr($3, i * 460 + 1, 20) AS INTEGER), CAST(substr($3, i * 460 + 21, 20) AS INTEGER), \
         CAST(substr($3, i * 460 + 41, 20) AS INTEGER), CAST(substr($3, i * 460 + 61, 20) AS INTEGER), \
         CAST(substr($3, i * 460 + 81, 20) AS INTEGER), CAST(substr($3, i * 460 + 101, 20) AS INTEGER), \
         CAST(substr($3, i * 460 + 121, 20) AS INTEGER), CAST(substr($3, i * 460 + 141, 20) AS INTEGER), \
         CAST(substr($3, i * 460 + 161, 20) AS INTEGER), CAST(substr($3, i * 460 + 181, 20) AS INTEGER), \
         CAST(substr($3, i * 460 + 201, 20) AS INTEGER), CAST(substr($3, i * 460 + 221, 20) AS INTEGER), \
         CAST(substr($3, i * 460 + 241, 20) AS INTEGER), CAST(substr($5, CAST(substr($3, i * 460 + 261, 20) AS \
         INTEGER), CAST(substr($3, i * 460 + 281, 20) AS INTEGER)) AS TEXT), CAST(substr($5, CAST(substr($3, i * 460 \
         + 301, 20) AS INTEGER), CAST(substr($3, i * 460 + 321, 20) AS INTEGER)) AS TEXT), CAST(substr($5, \
         CAST(substr($3, i * 460 + 341, 20) AS INTEGER), CAST(substr($3, i * 460 + 361, 20) AS INTEGER)) AS TEXT), \
         substr($5, CAST(substr($3, i * 460 + 381, 20) AS INTEGER), CAST(substr($3, i * 460 + 401, 20) AS INTEGER)), \
         substr($5, CAST(substr($3, i * 460 + 421, 20) AS INTEGER), CAST(substr($3, i * 460 + 441, 20) AS INTEGER)) \
         FROM series r WHERE i < $2";
    pub(in crate::store::views) const DIMS_INSERT: &str = "INSERT INTO money_dims (ledger, generation, id, campaign, channel, source, seller, vendor, state, cohort, \
         allocation) SELECT $1, $4, CAST(substr($3, i * 340 + 1, 20) AS INTEGER), CAST(substr($5, CAST(substr($3, i * 340 \
         + 21, 20) AS INTEGER), CAST(substr($3, i * 340 + 41, 20) AS INTEGER)) AS TEXT), CAST(substr($5, CAST(substr($3, \
         i * 340 + 61, 20) AS INTEGER), CAST(substr($3, i * 340 + 81, 20) AS INTEGER)) AS TEXT), CAST(substr($5, \
         CAST(substr($3, i * 340 + 101, 20) AS INTEGER), CAST(substr($3, i * 340 + 121, 20) AS INTEGER)) AS TEXT), \
         CAST(substr($5, CAST(substr($3, i * 340 + 141, 20) AS INTEGER), CAST(substr($3, i * 340 + 161, 20) AS INTEGER)) \
         AS TEXT), CAST(substr($5, CAST(substr($3, i * 340 + 181, 20) AS INTEGER), CAST(substr($3, i * 340 + 201, 20) AS \
         INTEGER)) AS TEXT), CAST(substr($5, CAST(substr($3, i * 340 + 221, 20) AS INTEGER), CAST(substr($3, i * 340 + \
         241, 20) AS INTEGER)) AS TEXT), CAST(substr($5, CAST(substr($3, i * 340 + 261, 20) AS INTEGER), CAST(substr($3, \
         i * 340 + 281, 20) AS INTEGER)) AS TEXT), CAST(substr($5, CAST(substr($3, i * 340 + 301, 20) AS INTEGER), \
         CAST(substr($3, i * 340 + 321, 20) AS INTEGER)) AS TEXT) FROM series r WHERE i < $2 ON CONFLICT (ledger, \
         generation, id) DO NOTHING";
    pub(in crate::store::views) const LINES_INSERT: &str = "INSERT INTO money_lines (ledger, generation, position, line, origin, account, kind, amount, dims, day, occurred, \
         recorded, currency, record, lead) SELECT $1, $4, CAST(substr($3, i * 320 + 1, 20) AS INTEGER), CAST(substr($3, i \
         * 320 + 21, 20) AS INTEGER), CAST(substr($3, i * 320 + 41, 20) AS INTEGER), CAST(substr($3, i * 320 + 61, 20) AS \
         INTEGER), CAST(substr($3, i * 320 + 81, 20) AS INTEGER), CAST(substr($3, i * 320 + 101, 20) AS INTEGER), \
         CAST(substr($3, i * 320 + 121, 20) AS INTEGER), CAST(substr($3, i * 320 + 141, 20) AS INTEGER), CAST(substr($3, \
         i * 320 + 161, 20) AS INTEGER), CAST(substr($3, i * 320 + 181, 20) AS INTEGER), CAST(substr($5, CAST(substr($3, \
         i * 320 + 201, 20) AS INTEGER), CAST(substr($3, i * 320 + 221, 20) AS INTEGER)) AS TEXT), substr($5, \
         CAST(substr($3, i * 320 + 241, 20) AS INTEGER), CAST(substr($3, i * 320 + 261, 20) AS INTEGER)), substr($5, \
         CAST(substr($3, i * 320 + 281, 20) AS INTEGER), CAST(substr($3, i * 320 + 301, 20) AS INTEGER)) FROM series r \
         WHERE i < $2";
    pub(in crate::store::views) const SCORES_INSERT: &str = "INSERT INTO scores (ledger, generation, position, occurred, recorded, points, chance, aside, model, version, \
         band, campaign, subject) SELECT $1, $4, CAST(substr($3, i * 320 + 1, 20) AS INTEGER), CAST(substr($3, i * 320 \
         + 21, 20) AS INTEGER), CAST(substr($3, i * 320 + 41, 20) AS INTEGER), CAST(substr($3, i * 320 + 61, 20) AS \
         INTEGER), CAST(substr($3, i * 320 + 81, 20) AS INTEGER), CAST(substr($3, i * 320 + 101, 20) AS INTEGER), \
         CAST(substr($5, CAST(substr($3, i * 320 + 121, 20) AS INTEGER), CAST(substr($3, i * 320 + 141, 20) AS \
         INTEGER)) AS TEXT), CAST(substr($5, CAST(substr($3, i * 320 + 161, 20) AS INTEGER), CAST(substr($3, i * 320 + \
         181, 20) AS INTEGER)) AS TEXT), CAST(substr($5, CAST(substr($3, i * 320 + 201, 20) AS INTEGER), \
         CAST(substr($3, i * 320 + 221, 20) AS INTEGER)) AS TEXT), CAST(substr($5, CAST(substr($3, i * 320 + 241, 20) \
         AS INTEGER), CAST(substr($3, i * 320 + 261, 20) AS INTEGER)) AS TEXT), substr($5, CAST(substr($3, i * 320 + \
         281, 20) AS INTEGER), CAST(substr($3, i * 320 + 301, 20) AS INTEGER)) FROM series r WHERE i < $2";
    pub(in crate::store::views) const TRAILS_INSERT: &str = "INSERT INTO trail_acts (ledger, generation, position, act, occurred, recorded, until, channels, granted, \
         purpose, seller, subject, decision) SELECT $1, $4, CAST(substr($3, i * 300 + 1, 20) AS INTEGER), CAST(substr($3, \
         i * 300 + 21, 20) AS INTEGER), CAST(substr($3, i * 300 + 41, 20) AS INTEGER), CAST(substr($3, i * 300 + 61, 20) \
         AS INTEGER), CAST(substr($3, i * 300 + 81, 20) AS INTEGER), CAST(substr($3, i * 300 + 101, 20) AS INTEGER), \
         CAST(substr($3, i * 300 + 121, 20) AS INTEGER), CAST(substr($5, CAST(substr($3, i * 300 + 141, 20) AS INTEGER), \
         CAST(substr($3, i * 300 + 161, 20) AS INTEGER)) AS TEXT), CAST(substr($5, CAST(substr($3, i * 300 + 181, 20) AS \
         INTEGER), CAST(substr($3, i * 300 + 201, 20) AS INTEGER)) AS TEXT), substr($5, CAST(substr($3, i * 300 + 221, \
         20) AS INTEGER), CAST(substr($3, i * 300 + 241, 20) AS INTEGER)), substr($5, CAST(substr($3, i * 300 + 261, 20) \
         AS INTEGER), CAST(substr($3, i * 300 + 281, 20) AS INTEGER)) FROM series r WHERE i < $2";
    pub(in crate::store::views) const JOURNEYS_INSERT: &str = "INSERT INTO journey_steps (ledger, generation, position, step, occurred, recorded, micros, target, channel, \
         mark, campaign, seller, currency, subject, record) SELECT $1, $4, CAST(substr($3, i * 400 + 1, 20) AS \
         INTEGER), CAST(substr($3, i * 400 + 21, 20) AS INTEGER), CAST(substr($3, i * 400 + 41, 20) AS INTEGER), \
         CAST(substr($3, i * 400 + 61, 20) AS INTEGER), CAST(substr($3, i * 400 + 81, 20) AS INTEGER), \
         CAST(substr($3, i * 400 + 101, 20) AS INTEGER), CAST(substr($5, CAST(substr($3, i * 400 + 121, 20) AS \
         INTEGER), CAST(substr($3, i * 400 + 141, 20) AS INTEGER)) AS TEXT), CAST(substr($5, CAST(substr($3, i * 400 \
         + 161, 20) AS INTEGER), CAST(substr($3, i * 400 + 181, 20) AS INTEGER)) AS TEXT), CAST(substr($5, \
         CAST(substr($3, i * 400 + 201, 20) AS INTEGER), CAST(substr($3, i * 400 + 221, 20) AS INTEGER)) AS TEXT), \
         CAST(substr($5, CAST(substr($3, i * 400 + 241, 20) AS INTEGER), CAST(substr($3, i * 400 + 261, 20) AS \
         INTEGER)) AS TEXT), CAST(substr($5, CAST(substr($3, i * 400 + 281, 20) AS INTEGER), CAST(substr($3, i * 400 \
         + 301, 20) AS INTEGER)) AS TEXT), substr($5, CAST(substr($3, i * 400 + 321, 20) AS INTEGER), CAST(substr($3, \
         i * 400 + 341, 20) AS INTEGER)), substr($5, CAST(substr($3, i * 400 + 361, 20) AS INTEGER), CAST(substr($3, \
         i * 400 + 381, 20) AS INTEGER)) FROM series r WHERE i < $2";
    pub(in crate::store::views) const RECORDS_INSERT: &str = "INSERT INTO money_records (ledger, generation, position, dims, estimate, record, lead) SELECT $1, $4, \
         CAST(substr($3, i * 140 + 1, 20) AS INTEGER), CAST(substr($3, i * 140 + 21, 20) AS INTEGER), CAST(substr($3, i * \
         140 + 41, 20) AS INTEGER), substr($5, CAST(substr($3, i * 140 + 61, 20) AS INTEGER), CAST(substr($3, i * 140 + \
         81, 20) AS INTEGER)), substr($5, CAST(substr($3, i * 140 + 101, 20) AS INTEGER), CAST(substr($3, i * 140 + 121, \
         20) AS INTEGER)) FROM series r WHERE i < $2";
    pub(in crate::store::views) const UNDONE_INSERT: &str = "INSERT INTO money_undone \
         (ledger, generation, position, root, live, since) SELECT $1, $4, CAST(substr($3, i * 80 + 1, 20) AS INTEGER), \
         CAST(substr($3, i * 80 + 21, 20) AS INTEGER), CAST(substr($3, i * 80 + 41, 20) AS INTEGER), \
         CAST(substr($3, i * 80 + 61, 20) AS INTEGER) FROM series r WHERE i < $2";
    pub(in crate::store::views) const SUMS_INSERT: &str = "INSERT INTO money_sums (ledger, generation, span, day, dims, measure, known, since, value, currency) SELECT $1, \
         $4, CAST(substr($3, i * 180 + 1, 20) AS INTEGER), CAST(substr($3, i * 180 + 21, 20) AS INTEGER), CAST(substr($3, \
         i * 180 + 41, 20) AS INTEGER), CAST(substr($3, i * 180 + 61, 20) AS INTEGER), CAST(substr($3, i * 180 + 81, 20) \
         AS INTEGER), CAST(substr($3, i * 180 + 101, 20) AS INTEGER), CAST(substr($3, i * 180 + 121, 20) AS INTEGER), \
         CAST(substr($5, CAST(substr($3, i * 180 + 141, 20) AS INTEGER), CAST(substr($3, i * 180 + 161, 20) AS INTEGER)) \
         AS TEXT) FROM series r WHERE i < $2 ON CONFLICT (ledger, generation, span, day, dims, measure, currency, known, \
         since) DO UPDATE SET value = money_sums.value + excluded.value";
    pub(in crate::store::views) const PERIODS_INSERT: &str = "INSERT INTO money_periods (ledger, generation, known, first) SELECT $1, $4, CAST(substr($3, i * 40 + 1, 20) AS \
         INTEGER), CAST(substr($3, i * 40 + 21, 20) AS INTEGER) FROM series r WHERE i < $2 ON CONFLICT (ledger, \
         generation, known) DO NOTHING";
    pub(in crate::store::views) const HEALTH_DAILY_INSERT: &str = "INSERT INTO health_daily \
         (ledger, generation, day, events, absent, event_type) SELECT $1, $4, CAST(substr($3, i * 100 + 1, 20) AS \
         INTEGER), CAST(substr($3, i * 100 + 21, 20) AS INTEGER), CAST(substr($3, i * 100 + 41, 20) AS INTEGER), \
         CAST(substr($5, CAST(substr($3, i * 100 + 61, 20) AS INTEGER), CAST(substr($3, i * 100 + 81, 20) AS \
         INTEGER)) AS TEXT) FROM series r WHERE i < $2 ON CONFLICT (ledger, generation, day, event_type) DO UPDATE SET events \
         = health_daily.events + excluded.events, absent = health_daily.absent + excluded.absent";
    pub(in crate::store::views) const HEALTH_LAST_INSERT: &str = "INSERT INTO health_last \
         (ledger, generation, scope, position, recorded, events, name) SELECT $1, $4, CAST(substr($3, i * 120 + 1, \
         20) AS INTEGER), CAST(substr($3, i * 120 + 21, 20) AS INTEGER), CAST(substr($3, i * 120 + 41, 20) AS \
         INTEGER), CAST(substr($3, i * 120 + 61, 20) AS INTEGER), CAST(substr($5, CAST(substr($3, i * 120 + 81, 20) \
         AS INTEGER), CAST(substr($3, i * 120 + 101, 20) AS INTEGER)) AS TEXT) FROM series r WHERE i < $2 ON CONFLICT \
         (ledger, generation, scope, name) DO UPDATE SET position = excluded.position, recorded = excluded.recorded, \
         events = health_last.events + excluded.events";
    pub(in crate::store::views) const ITEMS_INSERT: &str = "INSERT INTO \
         quarantine_items (ledger, generation, position, bytes, problems, recorded, state, closed_position, \
         closed_recorded, result, reason, via, code, outcome, event, pair) SELECT $1, $4, CAST(substr($3, i * 400 + \
         1, 20) AS INTEGER), CAST(substr($3, i * 400 + 21, 20) AS INTEGER), CAST(substr($3, i * 400 + 41, 20) AS \
         INTEGER), CAST(substr($3, i * 400 + 61, 20) AS INTEGER), CAST(substr($3, i * 400 + 81, 20) AS INTEGER), \
         CAST(substr($3, i * 400 + 101, 20) AS INTEGER), CAST(substr($3, i * 400 + 121, 20) AS INTEGER), \
         CAST(substr($3, i * 400 + 141, 20) AS INTEGER), CAST(substr($5, CAST(substr($3, i * 400 + 161, 20) AS \
         INTEGER), CAST(substr($3, i * 400 + 181, 20) AS INTEGER)) AS TEXT), CAST(substr($5, CAST(substr($3, i * 400 \
         + 201, 20) AS INTEGER), CAST(substr($3, i * 400 + 221, 20) AS INTEGER)) AS TEXT), CAST(substr($5, \
         CAST(substr($3, i * 400 + 241, 20) AS INTEGER), CAST(substr($3, i * 400 + 261, 20) AS INTEGER)) AS TEXT), \
         CAST(substr($5, CAST(substr($3, i * 400 + 281, 20) AS INTEGER), CAST(substr($3, i * 400 + 301, 20) AS \
         INTEGER)) AS TEXT), substr($5, CAST(substr($3, i * 400 + 321, 20) AS INTEGER), CAST(substr($3, i * 400 + \
         341, 20) AS INTEGER)), substr($5, CAST(substr($3, i * 400 + 361, 20) AS INTEGER), CAST(substr($3, i * 400 + \
         381, 20) AS INTEGER)) FROM series r WHERE i < $2";
    pub(in crate::store::views) const BILLING_INSERT: &str = "INSERT INTO billing_acts (ledger, generation, position, act, target, day, amount, covered, recorded, \
         currency, seller, rule, pack, record) SELECT $1, $4, CAST(substr($3, i * 340 + 1, 20) AS INTEGER), \
         CAST(substr($3, i * 340 + 21, 20) AS INTEGER), CAST(substr($3, i * 340 + 41, 20) AS INTEGER), \
         CAST(substr($3, i * 340 + 61, 20) AS INTEGER), CAST(substr($3, i * 340 + 81, 20) AS INTEGER), \
         CAST(substr($3, i * 340 + 101, 20) AS INTEGER), CAST(substr($3, i * 340 + 121, 20) AS INTEGER), \
         CAST(substr($5, CAST(substr($3, i * 340 + 141, 20) AS INTEGER), CAST(substr($3, i * 340 + 161, 20) AS \
         INTEGER)) AS TEXT), CAST(substr($5, CAST(substr($3, i * 340 + 181, 20) AS INTEGER), CAST(substr($3, i * \
         340 + 201, 20) AS INTEGER)) AS TEXT), CAST(substr($5, CAST(substr($3, i * 340 + 221, 20) AS INTEGER), \
         CAST(substr($3, i * 340 + 241, 20) AS INTEGER)) AS TEXT), CAST(substr($5, CAST(substr($3, i * 340 + 261, \
         20) AS INTEGER), CAST(substr($3, i * 340 + 281, 20) AS INTEGER)) AS TEXT), substr($5, CAST(substr($3, i \
         * 340 + 301, 20) AS INTEGER), CAST(substr($3, i * 340 + 321, 20) AS INTEGER)) FROM series r WHERE i < $2";
    pub(in crate::store::views) const ITEMS_UPDATE: &str = "UPDATE quarantine_items \
         SET state = u.state, closed_position = u.position, closed_recorded = u.recorded, result = u.result, outcome \
         = u.outcome FROM (SELECT CAST(substr($3, i * 140 + 1, 20) AS INTEGER) AS item, CAST(substr($3, i * 140 + \
         21, 20) AS INTEGER) AS state, CAST(substr($3, i * 140 + 41, 20) AS INTEGER) AS position, CAST(substr($3, i \
         * 140 + 61, 20) AS INTEGER) AS recorded, CAST(substr($3, i * 140 + 81, 20) AS INTEGER) AS result, \
         CAST(substr($5, CAST(substr($3, i * 140 + 101, 20) AS INTEGER), CAST(substr($3, i * 140 + 121, 20) AS \
         INTEGER)) AS TEXT) AS outcome FROM series r WHERE i < $2) AS u WHERE quarantine_items.ledger = $1 AND quarantine_items.position \
         = u.item AND quarantine_items.generation = $4";
    pub(in crate::store::views) const RECORDS_AT: &str = "SELECT m.record, m.position, m.estimate, m.lead, d.id, d.campaign, d.channel, d.source, d.seller, d.vendor, \
         d.state, d.cohort, d.allocation FROM series r CROSS JOIN money_records m JOIN money_dims d ON d.ledger = \
         m.ledger AND d.generation = m.generation AND d.id = m.dims WHERE r.i < $2 AND m.ledger = $1 AND m.generation = \
         $4 AND m.record = substr($3, r.i * 16 + 1, 16)";
    pub(in crate::store::views) const UNDONE_AT: &str = "SELECT m.position, m.root, \
         m.live, m.since FROM series r CROSS JOIN money_undone m WHERE r.i < $2 AND m.ledger = $1 AND m.generation = $4 AND m.position = \
         CAST(substr($3, r.i * 20 + 1, 20) AS INTEGER)";
    pub(in crate::store::views) const UNDONE_OF: &str = "SELECT m.position, m.root, \
         m.live, m.since FROM series r CROSS JOIN money_undone m WHERE r.i < $2 AND m.ledger = $1 AND m.generation = $4 AND m.root = \
         CAST(substr($3, r.i * 20 + 1, 20) AS INTEGER)";
    pub(in crate::store::views) const LINES_AT: &str = "SELECT m.position, m.line, m.account, m.kind, m.amount, m.dims, m.day, m.occurred, m.currency, m.record, m.lead \
         FROM series r CROSS JOIN money_lines m WHERE r.i < $2 AND m.ledger = $1 AND m.generation = $4 AND m.position = \
         CAST(substr($3, r.i * 20 + 1, 20) AS INTEGER) AND m.origin = m.position";

    #[cfg(test)]
    pub(in crate::store) const ALL: &[&str] = &[
        PARKED_INSERT,
        CONSENT_INSERT,
        DIMS_INSERT,
        JOURNEYS_INSERT,
        SCORES_INSERT,
        TRAILS_INSERT,
        LINES_INSERT,
        RECORDS_INSERT,
        UNDONE_INSERT,
        SUMS_INSERT,
        PERIODS_INSERT,
        HEALTH_DAILY_INSERT,
        HEALTH_LAST_INSERT,
        BILLING_INSERT,
        ITEMS_INSERT,
        ITEMS_UPDATE,
        RECORDS_AT,
        UNDONE_AT,
        UNDONE_OF,
        LINES_AT,
    ];
}

/// Bulk statements for Postgres: `$1` ledger, `$2` generation, then one array a column.
pub(in crate::store) mod postgres {
    pub(in crate::store::views) const PARKED_INSERT: &str = "INSERT INTO parked (ledger, generation, position, projection, reason) SELECT $1::bytea, * FROM \
         UNNEST($2::bigint[], $3::bigint[], $4::text[], $5::text[]) AS r WHERE true ON CONFLICT (ledger, generation, \
         projection, position) DO NOTHING";
    pub(in crate::store::views) const CONSENT_INSERT: &str = "INSERT INTO consent_acts (ledger, generation, position, line, act, channels, purposes, technologies, flags, \
         effective, occurred, recorded, valid_from, valid_until, target, seller, kind, method, subject, record) \
         SELECT $1::bytea, $2::bigint, * FROM UNNEST($3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], \
         $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], \
         $14::bigint[], $15::bigint[], $16::text[], $17::text[], $18::text[], $19::bytea[], $20::bytea[])";
    pub(in crate::store::views) const DIMS_INSERT: &str = "INSERT INTO money_dims (ledger, generation, id, campaign, channel, source, seller, vendor, state, cohort, \
         allocation) SELECT $1::bytea, $2::bigint, * FROM UNNEST($3::bigint[], $4::text[], $5::text[], $6::text[], \
         $7::text[], $8::text[], $9::text[], $10::text[], $11::text[]) AS r WHERE true ON CONFLICT (ledger, generation, \
         id) DO NOTHING";
    pub(in crate::store::views) const LINES_INSERT: &str = "INSERT INTO money_lines (ledger, generation, position, line, origin, account, kind, amount, dims, day, occurred, \
         recorded, currency, record, lead) SELECT $1::bytea, $2::bigint, * FROM UNNEST($3::bigint[], $4::bigint[], \
         $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], \
         $12::bigint[], $13::text[], $14::bytea[], $15::bytea[])";
    pub(in crate::store::views) const SCORES_INSERT: &str = "INSERT INTO scores (ledger, generation, position, occurred, recorded, points, chance, aside, model, version, \
         band, campaign, subject) SELECT $1::bytea, $2::bigint, * FROM UNNEST($3::bigint[], $4::bigint[], $5::bigint[], \
         $6::bigint[], $7::bigint[], $8::bigint[], $9::text[], $10::text[], $11::text[], $12::text[], $13::bytea[])";
    pub(in crate::store::views) const TRAILS_INSERT: &str = "INSERT INTO trail_acts (ledger, generation, position, act, occurred, recorded, until, channels, granted, \
         purpose, seller, subject, decision) SELECT $1::bytea, $2::bigint, * FROM UNNEST($3::bigint[], $4::bigint[], \
         $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::text[], $11::text[], $12::bytea[], \
         $13::bytea[])";
    pub(in crate::store::views) const JOURNEYS_INSERT: &str = "INSERT INTO journey_steps (ledger, generation, position, step, occurred, recorded, micros, target, channel, \
         mark, campaign, seller, currency, subject, record) SELECT $1::bytea, $2::bigint, * FROM UNNEST($3::bigint[], \
         $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::text[], $10::text[], $11::text[], \
         $12::text[], $13::text[], $14::bytea[], $15::bytea[])";
    pub(in crate::store::views) const RECORDS_INSERT: &str = "INSERT INTO money_records (ledger, generation, position, dims, estimate, record, lead) SELECT $1::bytea, \
         $2::bigint, * FROM UNNEST($3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[], $7::bytea[])";
    pub(in crate::store::views) const UNDONE_INSERT: &str = "INSERT INTO money_undone (ledger, generation, position, root, live, since) SELECT $1::bytea, $2::bigint, * FROM \
         UNNEST($3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])";
    pub(in crate::store::views) const SUMS_INSERT: &str = "INSERT INTO money_sums (ledger, generation, span, day, dims, measure, known, since, value, currency) SELECT \
         $1::bytea, $2::bigint, * FROM UNNEST($3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], \
         $8::bigint[], $9::bigint[], $10::text[]) AS r WHERE true ON CONFLICT (ledger, generation, span, day, dims, \
         measure, currency, known, since) DO UPDATE SET value = money_sums.value + excluded.value";
    pub(in crate::store::views) const PERIODS_INSERT: &str = "INSERT INTO money_periods (ledger, generation, known, first) SELECT $1::bytea, $2::bigint, * FROM \
         UNNEST($3::bigint[], $4::bigint[]) AS r WHERE true ON CONFLICT (ledger, generation, known) DO NOTHING";
    pub(in crate::store::views) const HEALTH_DAILY_INSERT: &str = "INSERT INTO health_daily (ledger, generation, day, events, absent, event_type) SELECT $1::bytea, \
         $2::bigint, * FROM UNNEST($3::bigint[], $4::bigint[], $5::bigint[], $6::text[]) AS r WHERE true ON CONFLICT \
         (ledger, generation, day, event_type) DO UPDATE SET events = health_daily.events + excluded.events, absent \
         = health_daily.absent + excluded.absent";
    pub(in crate::store::views) const HEALTH_LAST_INSERT: &str = "INSERT INTO health_last (ledger, generation, scope, position, recorded, events, name) SELECT $1::bytea, \
         $2::bigint, * FROM UNNEST($3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[]) AS r WHERE \
         true ON CONFLICT (ledger, generation, scope, name) DO UPDATE SET position = excluded.position, recorded = \
         excluded.recorded, events = health_last.events + excluded.events";
    pub(in crate::store::views) const ITEMS_INSERT: &str = "INSERT INTO quarantine_items (ledger, generation, position, bytes, problems, recorded, state, \
         closed_position, closed_recorded, result, reason, via, code, outcome, event, pair) SELECT $1::bytea, \
         $2::bigint, * FROM UNNEST($3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], \
         $8::bigint[], $9::bigint[], $10::bigint[], $11::text[], $12::text[], $13::text[], $14::text[], \
         $15::bytea[], $16::bytea[])";
    pub(in crate::store::views) const BILLING_INSERT: &str = "INSERT INTO billing_acts (ledger, generation, position, act, target, day, amount, covered, recorded, \
         currency, seller, rule, pack, record) SELECT $1::bytea, $2::bigint, * FROM UNNEST($3::bigint[], \
         $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::text[], \
         $11::text[], $12::text[], $13::text[], $14::bytea[])";
    pub(in crate::store::views) const ITEMS_UPDATE: &str = "UPDATE quarantine_items SET state = u.state, closed_position = u.position, closed_recorded = u.recorded, \
         result = u.result, outcome = u.outcome FROM UNNEST($3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], \
         $7::bigint[], $8::text[]) AS u(item, state, position, recorded, result, outcome) WHERE \
         quarantine_items.ledger = $1 AND quarantine_items.position = u.item AND quarantine_items.generation = $2";
    pub(in crate::store::views) const RECORDS_AT: &str = "SELECT m.record, m.position, m.estimate, m.lead, d.id, d.campaign, d.channel, d.source, d.seller, d.vendor, \
         d.state, d.cohort, d.allocation FROM money_records m JOIN money_dims d ON d.ledger = m.ledger AND d.generation = \
         m.generation AND d.id = m.dims WHERE m.ledger = $1 AND m.generation = $2 AND m.record = ANY($3::bytea[])";
    pub(in crate::store::views) const UNDONE_AT: &str = "SELECT m.position, m.root, m.live, m.since FROM money_undone m WHERE m.ledger = $1 AND m.generation = $2 AND \
         m.position = ANY($3::bigint[])";
    pub(in crate::store::views) const UNDONE_OF: &str = "SELECT m.position, m.root, m.live, m.since FROM money_undone m WHERE m.ledger = $1 AND m.generation = $2 AND m.root \
         = ANY($3::bigint[])";
    pub(in crate::store::views) const LINES_AT: &str = "SELECT m.position, m.line, m.account, m.kind, m.amount, m.dims, m.day, m.occurred, m.currency, m.record, m.lead \
         FROM money_lines m WHERE m.ledger = $1 AND m.generation = $2 AND m.position = ANY($3::bigint[]) AND m.origin = \
         m.position";

    #[cfg(test)]
    pub(in crate::store) const ALL: &[&str] = &[
        PARKED_INSERT,
        CONSENT_INSERT,
        DIMS_INSERT,
        JOURNEYS_INSERT,
        SCORES_INSERT,
        TRAILS_INSERT,
        LINES_INSERT,
        RECORDS_INSERT,
        UNDONE_INSERT,
        SUMS_INSERT,
        PERIODS_INSERT,
        HEALTH_DAILY_INSERT,
        HEALTH_LAST_INSERT,
        BILLING_INSERT,
        ITEMS_INSERT,
        ITEMS_UPDATE,
        RECORDS_AT,
        UNDONE_AT,
        UNDONE_OF,
        LINES_AT,
    ];
}

#[cfg(test)]
mod tests {
    use sqlx::{Executor, SqlSafeStr};

    use super::*;
    use crate::domain::ids::LedgerId;
    use crate::store::db::Db;
    use crate::store::{Location, Store};

    #[tokio::test]
    async fn every_statement_prepares_on_sqlite() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::Sqlite(folder.path().to_path_buf());
        let store = Store::open(&location, LedgerId::from_bytes([1; 16])).await.unwrap();
        let Db::Sqlite(pools) = &store.db else { panic!("asked for SQLite") };
        for statement in SHARED.iter().chain(sqlite::ALL) {
            if let Err(error) = pools.views_read.prepare((*statement).into_sql_str()).await {
                panic!("{statement}: {error}");
            }
        }
    }
}
