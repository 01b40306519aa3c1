//! Completing a batch of `money` from rows committed before it.
//!
//! The order of positions decides, never the order of batches: what a line takes from another event, that event must have
//! said at a lower position, in this batch or before it. So folding all at once and folding in pieces give the same rows.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Projection;
use super::dims::DimsTable;
use super::money::{Money, Pending, Undo};
use crate::store::views::{
    Account, DimsRow, LineRow, NAMES, PERIOD_DAYS, PeriodRow, RecordAt, RecordRow, SumRow, UndoneRow, ViewsBatch,
    period_of,
};
use crate::store::{Store, StoreError};

/// What was looked up.
#[derive(Default)]
struct Known {
    records: HashMap<[u8; 16], Vec<RecordAt>>,
    names: HashMap<i64, DimsRow>,
    /// What was said about whether an entry counts, by the entry that said it and by the one it is about.
    undone: Vec<UndoneRow>,
    /// Lines that entries made themselves.
    lines: HashMap<i64, Vec<LineRow>>,
}

/// Fills in what is pending and sums the lines by days and periods. Reads committed rows only if something is pending.
///
/// # Errors
/// [`StoreError`] if they cannot be read; nothing was written.
pub async fn complete(store: &Store, money: Money, batch: &mut ViewsBatch) -> Result<(), StoreError> {
    let Some(generation) = batch.generation("money") else { return Ok(()) };
    let mut money = money;
    if !money.pending.is_empty() {
        let pending = std::mem::take(&mut money.pending);
        let mut known = records_known(store, generation, &pending, &money).await?;
        let undos = fill(&pending, &mut money, &known);
        undone_known(store, generation, &undos, &money, &mut known).await?;
        for undo in undos {
            apply(undo, &mut money.lines, &mut batch.undone, &mut known);
        }
    }
    batch.sums = summed(&money.lines);
    batch.periods = periods(&money.lines);
    money.finish(batch);
    // In the order of keys: sequential pages, and the same lock order on every server.
    batch.dims.sort_by_key(|row| row.id);
    batch.lines.sort_by_key(|row| (row.position, row.line));
    batch.records.sort_by_key(|row| (row.record, row.position));
    Ok(())
}

async fn records_known(
    store: &Store,
    generation: i64,
    pending: &[Pending],
    money: &Money,
) -> Result<Known, StoreError> {
    let mut wanted: BTreeSet<[u8; 16]> = BTreeSet::new();
    for pending in pending {
        match pending {
            Pending::Names { record, .. } | Pending::ReplaceEstimate { record, .. } => _ = wanted.insert(*record),
            Pending::Lead { key, .. } => _ = wanted.insert(*key),
            Pending::Undo(_) => {}
        }
    }
    let mut known = Known::default();
    known.look_up(store, generation, wanted.iter().copied()).await?;
    // A cost names a lead by its id; what is known of the lead stands under the person.
    let batch = money.records.iter().filter(|at| wanted.contains(&at.record));
    let people = known.records.values().flatten().chain(batch).map(|at| at.lead);
    let people: BTreeSet<[u8; 16]> = people.filter(|lead| *lead != [0; 16] && !wanted.contains(lead)).collect();
    known.look_up(store, generation, people.into_iter()).await?;
    for at in &money.records {
        known.records.entry(at.record).or_default().push(*at);
        if let Some(names) = money.dims.names(at.dims) {
            known.names.insert(at.dims, names.clone());
        }
    }
    for records in known.records.values_mut() {
        records.sort_by_key(|at| at.position);
    }
    Ok(known)
}

/// Fills in names and says what is to be undone, in order of position.
fn fill(pending: &[Pending], money: &mut Money, known: &Known) -> Vec<Undo> {
    let mut undos = Vec::new();
    for pending in pending {
        match pending {
            Pending::Names { first, end, record } => {
                let (dims, lines) = (&mut money.dims, &mut money.lines);
                let Some(lines) = lines.get_mut(*first..*end) else { continue };
                name_lines(lines, *record, dims, known);
            }
            Pending::Lead { first, end, key } => {
                let (dims, lines) = (&mut money.dims, &mut money.lines);
                let Some(lines) = lines.get_mut(*first..*end) else { continue };
                lead_lines(lines, key, dims, known);
            }
            Pending::Undo(undo) => undos.push(*undo),
            Pending::ReplaceEstimate { record, undo } => {
                let records = known.records.get(record).map_or(&[][..], Vec::as_slice);
                let last = records.iter().rev().find(|at| at.estimate && at.position < undo.position);
                undos.extend(last.map(|at| Undo { target: at.position, ..*undo }));
            }
        }
    }
    undos
}

/// The first record under an id is the sale; a refund that came before it keeps what names it has.
fn name_lines(lines: &mut [LineRow], record: [u8; 16], dims: &mut DimsTable, known: &Known) {
    let Some(line) = lines.first().copied() else { return };
    let sale = known.records.get(&record).and_then(|records| records.first());
    let Some(names) = sale.filter(|at| at.position < line.position).and_then(|at| known.names.get(&at.dims)) else {
        return;
    };
    let Some(own) = dims.names(line.dims).cloned() else { return };
    // How a cost is spread is said of that cost alone.
    let whole = |place: &usize| NAMES.get(*place) != Some(&"allocation");
    let filled: [&str; NAMES.len()] = std::array::from_fn(|place| {
        let [own, sale] = [&own, names].map(|row| row.names.get(place).map(String::as_str).unwrap_or_default());
        if own.is_empty() && whole(&place) { sale } else { own }
    });
    let id = dims.intern(filled);
    for line in lines {
        line.dims = id;
    }
}

/// Lines are of the cohort of the person's first lead, and of the state that was said last; both as the log had it before them.
fn lead_lines(lines: &mut [LineRow], key: &[u8; 16], dims: &mut DimsTable, known: &Known) {
    let Some(line) = lines.first().copied() else { return };
    let before = |key: &[u8; 16]| {
        let records = known.records.get(key).map_or(&[][..], Vec::as_slice);
        records.iter().filter(move |at| at.position < line.position)
    };
    let person = before(key).map(|at| at.lead).find(|lead| *lead != [0; 16]);
    let Some(person) = person.or(Some(line.lead).filter(|lead| *lead != [0; 16])) else { return };
    let said = |name: &str| {
        let place = NAMES.iter().position(|known| *known == name);
        let of = move |at: &RecordAt| known.names.get(&at.dims)?.names.get(place?).filter(|text| !text.is_empty());
        before(&person).filter_map(of)
    };
    let (state, cohort) = (said("state").next_back(), said("cohort").next());
    // Lines of an event share one or two sets of names: the last is at hand.
    let mut last = (0, None);
    for line in lines {
        line.lead = person;
        if let (before, Some(named)) = last
            && before == line.dims
        {
            line.dims = named;
            continue;
        }
        let Some(own) = dims.names(line.dims).cloned() else { continue };
        let [campaign, channel, source, seller, vendor, own_state, own_cohort, allocation] =
            own.names.each_ref().map(String::as_str);
        let state = if own_state.is_empty() { state.map_or("", String::as_str) } else { own_state };
        let cohort = cohort.map_or(own_cohort, String::as_str);
        let named = dims.intern([campaign, channel, source, seller, vendor, state, cohort, allocation]);
        last = (line.dims, Some(named));
        line.dims = named;
    }
}

async fn undone_known(
    store: &Store,
    generation: i64,
    undos: &[Undo],
    money: &Money,
    known: &mut Known,
) -> Result<(), StoreError> {
    if undos.is_empty() {
        return Ok(());
    }
    let targets: BTreeSet<i64> = undos.iter().map(|undo| undo.target).collect();
    let targets: Vec<i64> = targets.into_iter().collect();
    let said = store.money_undone_at(generation, &targets).await?;
    let mut roots: BTreeSet<i64> = targets.iter().copied().collect();
    roots.extend(said.iter().map(|state| state.root));
    let roots: Vec<i64> = roots.into_iter().collect();
    known.undone = store.money_undone_of(generation, &roots).await?;
    known.undone.extend(said);
    for line in store.money_lines_at(generation, &roots).await? {
        known.lines.entry(line.position).or_default().push(line);
    }
    for line in &money.lines {
        // Lines of this batch that may be undone in it.
        if line.origin == line.position {
            known.lines.entry(line.position).or_default().push(*line);
        }
    }
    Ok(())
}

impl Known {
    /// Reads what is recorded under ids.
    async fn look_up(
        &mut self,
        store: &Store,
        generation: i64,
        wanted: impl Iterator<Item = [u8; 16]>,
    ) -> Result<(), StoreError> {
        let wanted: Vec<[u8; 16]> = wanted.collect();
        for RecordRow { at, dims } in store.money_records(generation, &wanted).await? {
            self.records.entry(at.record).or_default().push(at);
            self.names.insert(dims.id, dims);
        }
        Ok(())
    }

    /// Whether an entry counted in what had occurred by `at`, as the entries before `position` have it: the last word of those that
    /// hold by then.
    fn counted(&self, root: i64, position: i64, at: i64) -> bool {
        let said = self.undone.iter().filter(|said| said.root == root && said.position < position && said.since <= at);
        said.max_by_key(|said| said.position).is_none_or(|said| said.live)
    }

    /// Instants from `first` on at which a new last word changes whether an entry counts, each with the sign of the change: where it comes to
    /// hold, and where words before it would have changed the matter later and no longer do.
    fn changes(&self, word: UndoneRow, first: i64) -> Vec<(i64, i64)> {
        let UndoneRow { position, root, live, since } = word;
        let from = since.max(first);
        let value = |counts: bool| i64::from(counts);
        let mut before = value(self.counted(root, position, from));
        let mut changes = vec![(from, value(live) - before)];
        let earlier =
            self.undone.iter().filter(|said| said.root == root && said.position < position && said.since > from);
        let later: BTreeSet<i64> = earlier.map(|said| said.since).collect();
        for at in later {
            let next = value(self.counted(root, position, at));
            changes.push((at, before - next));
            before = next;
        }
        changes.retain(|(_, sign)| *sign != 0);
        changes
    }
}

/// Undoing an event takes it out of the sums and puts back what that event had taken out. The last word about an event
/// counts; what is said of an instant counts only what had happened by then, so a word holds from when its event happened, and one that
/// turns another word around from when both had.
fn apply(undo: Undo, lines: &mut Vec<LineRow>, undone: &mut Vec<UndoneRow>, known: &mut Known) {
    let turned = known.undone.iter().filter(|said| said.position == undo.target);
    let mut words: BTreeMap<i64, (bool, i64)> =
        turned.map(|said| (said.root, (!said.live, said.since.max(undo.occurred)))).collect();
    words.insert(undo.target, (false, undo.occurred));
    for (root, (live, since)) in words {
        if undone.iter().any(|row| row.position == undo.position && row.root == root) {
            continue;
        }
        let word = UndoneRow { position: undo.position, root, live, since };
        let own = known.lines.get(&root).map_or(&[][..], Vec::as_slice);
        // All lines of an entry happened at one instant.
        let first = own.first().map_or(since, |line| line.occurred);
        for (occurred, sign) in known.changes(word, first) {
            let numbers = next_line(lines, undo.position)..;
            for (number, line) in numbers.zip(own) {
                lines.push(LineRow {
                    position: undo.position,
                    line: number,
                    origin: root,
                    kind: undo.kind.code(),
                    amount: sign * line.amount,
                    occurred,
                    recorded: undo.recorded,
                    ..*line
                });
            }
        }
        undone.push(word);
        known.undone.push(word);
    }
}

/// The number after the last line of an entry that undoes: its own lines stand before those of what it undid.
fn next_line(lines: &[LineRow], position: i64) -> i64 {
    lines.iter().filter(|line| line.position == position).map(|line| line.line + 1).max().unwrap_or(0)
}

/// Sums by day and by period of days, for each pair of periods in which lines were recorded and had occurred.
fn summed(lines: &[LineRow]) -> Vec<SumRow> {
    let mut sums: HashMap<SumRow, i64> = HashMap::new();
    for line in lines {
        let Some((measure, sign)) = Account::from_code(line.account).and_then(Account::measure) else { continue };
        let of_day = SumRow {
            span: 1,
            day: line.day,
            dims: line.dims,
            measure,
            currency: line.currency,
            known: period_of(line.recorded),
            since: period_of(line.occurred),
            value: 0,
        };
        let first = line.day.div_euclid(PERIOD_DAYS) * PERIOD_DAYS;
        for key in [of_day, SumRow { span: PERIOD_DAYS, day: first, ..of_day }] {
            let sum = sums.entry(key).or_default();
            // A sum beyond 64 bits of micro-units is nine trillion units: it stands at the end of the scale.
            *sum = sum.saturating_add(sign * line.amount);
        }
    }
    let some = sums.into_iter().filter(|(_, value)| *value != 0);
    let mut rows: Vec<SumRow> = some.map(|(key, value)| SumRow { value, ..key }).collect();
    rows.sort_unstable();
    rows
}

fn periods(lines: &[LineRow]) -> Vec<PeriodRow> {
    let mut first: BTreeMap<i64, i64> = BTreeMap::new();
    for line in lines {
        let position = first.entry(period_of(line.recorded)).or_insert(line.position);
        *position = line.position.min(*position);
    }
    first.into_iter().map(|(known, first)| PeriodRow { known, first }).collect()
}
