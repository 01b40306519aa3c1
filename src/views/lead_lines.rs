//! Reading the journal's lines lead by lead, in the order of the persons' pseudonyms.

use std::ops::Range;
use std::pin::Pin;

use futures_util::stream::{Peekable, Stream, StreamExt};

use super::ViewError;
use crate::domain::time::Timestamp;
use crate::store::views::LineRow;
use crate::store::{Store, StoreError};

/// Lines of nobody's lead that are given together.
const NOBODYS_MAX: usize = 20_000;
/// Whose lines are of nobody's lead.
pub(super) const NOBODY: [u8; 16] = [0; 16];

type Lines<'a> = Peekable<Pin<Box<dyn Stream<Item = Result<LineRow, StoreError>> + Send + 'a>>>;

/// Each person's lines in turn, in the order of the log; those of nobody's lead first, in pieces. Memory is bounded by one person's.
pub(super) struct LeadLines<'a> {
    lines: Lines<'a>,
}

impl LeadLines<'_> {
    /// Of some accounts and counters, and of what counts at `instants` (occurred, recorded).
    pub fn new(store: &Store, instants: (Timestamp, Timestamp), accounts: Range<i64>) -> LeadLines<'_> {
        let lines: Pin<Box<dyn Stream<Item = Result<LineRow, StoreError>> + Send + '_>> =
            Box::pin(store.money_lead_lines(instants, accounts));
        LeadLines { lines: lines.peekable() }
    }

    /// The next person with his lines; none after the last.
    pub async fn next(&mut self) -> Result<Option<([u8; 16], Vec<LineRow>)>, ViewError> {
        let Some(first) = self.lines.next().await.transpose()? else { return Ok(None) };
        let lead = first.lead;
        let mut lines = vec![first];
        let same = |line: &Result<LineRow, StoreError>| line.as_ref().is_ok_and(|line| line.lead == lead);
        while lead != NOBODY || lines.len() < NOBODYS_MAX {
            let Some(line) = Pin::new(&mut self.lines).next_if(&same).await else { break };
            lines.push(line?);
        }
        Ok(Some((lead, lines)))
    }
}
