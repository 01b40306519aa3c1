//! Reads the journal page by page and gives it as text: bounded memory however long it is.

use std::collections::HashMap;

use crate::chain::decode::EntryRef;
use crate::chain::leaf::leaf_hash;
use crate::exports::accounting::{Dialect, EventMark, Journal, UnknownLine};
use crate::store::views::{LineRow, Stage};
use crate::store::{Store, StoreError};

/// Lines read at a time.
const PAGE_LINES: i64 = 2_000;

/// Why a journal cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The store failed.
    #[error("store")]
    Store(#[from] StoreError),
    /// A line of a later version.
    #[error(transparent)]
    Line(#[from] UnknownLine),
    /// An entry that a line names cannot be read.
    #[error("the entry at position {0}, which the journal names, cannot be read")]
    Entry(i64),
    /// The journal has not been made yet.
    #[error("there is no journal yet; start the service once")]
    Absent,
}

/// A journal on its way out.
pub struct JournalText {
    store: Store,
    journal: Option<Journal>,
    opening: Option<String>,
    next: i64,
    end: i64,
}

impl JournalText {
    /// Begins a journal of what the money projection has seen.
    ///
    /// # Errors
    /// [`JournalError::Absent`] before the first projection, and failures of the store.
    pub async fn begin(store: Store, dialect: Dialect) -> Result<JournalText, JournalError> {
        let cursors = store.views_cursors().await?;
        let money = cursors
            .iter()
            .find(|cursor| cursor.projection == "money" && matches!(cursor.stage, Stage::Live | Stage::Frozen));
        let end = money.ok_or(JournalError::Absent)?.position;
        let dims = store.money_dims().await?;
        let (journal, opening) = Journal::begin(dialect, dims, &store.ledger().to_string(), end);
        let end = i64::try_from(end).unwrap_or(i64::MAX);
        Ok(JournalText { store, journal: Some(journal), opening: Some(opening), next: 0, end })
    }

    /// The next piece; none at the end.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn next(&mut self) -> Result<Option<String>, JournalError> {
        if let Some(opening) = self.opening.take() {
            return Ok(Some(opening));
        }
        let Some(mut journal) = self.journal.take() else { return Ok(None) };
        let mut lines = self.store.money_lines(self.next, self.end, PAGE_LINES).await?;
        let whole = i64::try_from(lines.len()).unwrap_or(PAGE_LINES) < PAGE_LINES;
        let Some(last) = lines.last().map(|line| line.position) else { return Ok(Some(journal.end())) };
        if whole {
            self.next = self.end;
        } else {
            // The page may end within an event: that event is read again whole with the next page.
            self.next = last;
            if lines.first().is_some_and(|first| first.position == last) {
                lines = self.store.money_lines(last, last + 1, i64::MAX).await?;
                self.next = last + 1;
            } else {
                lines.retain(|line| line.position < last);
            }
        }
        let text = self.page(&mut journal, &lines).await?;
        self.journal = Some(journal);
        Ok(Some(text))
    }

    async fn page(&self, journal: &mut Journal, lines: &[LineRow]) -> Result<String, JournalError> {
        let mut positions: Vec<u64> = lines.iter().filter_map(|line| u64::try_from(line.position).ok()).collect();
        positions.dedup();
        let mut marks = HashMap::with_capacity(positions.len());
        for (position, bytes) in self.store.entries_at(&positions).await? {
            let position = i64::try_from(position).unwrap_or(i64::MAX);
            let entry = EntryRef::decode(&bytes).map_err(|_| JournalError::Entry(position))?;
            marks.insert(position, EventMark { event_type: entry.event_type.to_owned(), leaf: leaf_hash(&bytes) });
        }
        let mut text = String::new();
        for event in lines.chunk_by(|one, other| one.position == other.position) {
            let Some(first) = event.first() else { continue };
            let mark = marks.get(&first.position).ok_or(JournalError::Entry(first.position))?;
            text += &journal.transaction(event, mark)?;
        }
        Ok(text)
    }
}
