//! Reading the journal's lines lead by lead, in the order of the persons' pseudonyms.

use super::ViewError;
use crate::domain::time::Timestamp;
use crate::store::Store;
use crate::store::views::LineRow;

/// Lines read at a time.
const PAGE_ROWS: i64 = 20_000;
/// Whose lines are of nobody's lead.
pub(super) const NOBODY: [u8; 16] = [0; 16];

/// Each person's lines in turn, in the order of the log; those of nobody's lead first, in pieces. Memory is bounded by a page and one person.
pub(super) struct LeadLines<'a> {
    store: &'a Store,
    instants: (Timestamp, Timestamp),
    after: ([u8; 16], i64, i64),
    page: std::iter::Peekable<std::vec::IntoIter<LineRow>>,
}

impl LeadLines<'_> {
    /// Of what counts at `instants` (occurred, recorded).
    pub fn new(store: &Store, instants: (Timestamp, Timestamp)) -> LeadLines<'_> {
        LeadLines { store, instants, after: (NOBODY, -1, -1), page: Vec::new().into_iter().peekable() }
    }

    async fn turn(&mut self) -> Result<(), ViewError> {
        let page = self.store.money_lead_lines(self.after, self.instants, PAGE_ROWS).await?;
        if let Some(last) = page.last() {
            self.after = (last.lead, last.position, last.line);
        }
        self.page = page.into_iter().peekable();
        Ok(())
    }

    /// The next person with his lines; none after the last.
    pub async fn next(&mut self) -> Result<Option<([u8; 16], Vec<LineRow>)>, ViewError> {
        let mut lines: Vec<LineRow> = Vec::new();
        loop {
            if self.page.peek().is_none() {
                self.turn().await?;
            }
            let lead = lines.first().map(|line| line.lead);
            let Some(first) = self.page.peek().map(|line| line.lead) else { break };
            if lead.is_some_and(|lead| lead != first) {
                break;
            }
            while let Some(line) = self.page.next_if(|line| line.lead == first) {
                lines.push(line);
            }
            // Nobody's may be more than memory should hold.
            if first == NOBODY || self.page.peek().is_some() {
                break;
            }
        }
        Ok(lines.first().map(|line| line.lead).map(|lead| (lead, lines)))
    }
}
