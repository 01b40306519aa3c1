//! Subjects that are one person. `subject.merged` and `subject.unmerged` change reads, not entries (design section 5a).
//!
//! Each act is two entries in one commit, one in either person's history, so that the history of each names the other and
//! a reader of one finds both. The index remembers who was ever merged, so that reading somebody who never was costs one
//! look; whom with, the person's own entries say.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::admit::SubmitOptions;
use super::forms::Received;
use super::ledger::Ledger;
use super::read::ReadError;
use super::receipt::{Outcome, Receipt, SubmitError};
use super::subjects::SubjectsSealError;
use crate::chain::decode::EntryRef;
use crate::domain::identifier::IdentifierKind;
use crate::domain::ids::{PrincipalId, SubjectId};
use crate::domain::parts::PartKind;
use crate::domain::time::Timestamp;

/// Type of the entries that join.
pub(super) const MERGED: &str = "subject.merged";
/// Type of the entries that part again.
const UNMERGED: &str = "subject.unmerged";
/// Subjects that may be one person: a bound for every reader of the union.
pub const UNION_MAX: usize = 64;
/// Times an act is tried again because somebody's history grew meanwhile.
const TRIES: usize = 8;

/// What to join or part, why, and who says so.
#[derive(Debug, Clone)]
pub struct MergeRequest {
    /// One subject.
    pub subject: SubjectId,
    /// The other.
    pub other: SubjectId,
    /// A reason that the schema lists.
    pub reason: String,
    /// Why, in words; sealed with each person.
    pub note: Option<String>,
    /// Entry of the conflict that it settles.
    pub conflict: Option<u64>,
    /// Who asks.
    pub actor: PrincipalId,
    /// The caller's clock, on a scratch ledger.
    pub now: Option<Timestamp>,
}

/// Why subjects are not joined or parted.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// They are read together already.
    #[error("the two subjects are read together already")]
    Merged,
    /// They were not joined with each other.
    #[error("the two subjects are not merged with each other")]
    NotMerged,
    /// Both are the same.
    #[error("a subject cannot be merged with itself")]
    Same,
    /// One of them is not in the log.
    #[error("there is no subject {0}")]
    Unknown(SubjectId),
    /// Too many subjects would be one person.
    #[error("more than {UNION_MAX} subjects would be one person")]
    TooMany,
    /// The schema refuses reason or note.
    #[error("{0}")]
    Refused(String),
    /// Their histories kept growing meanwhile.
    #[error("the subjects' histories kept growing; try again")]
    Busy,
    /// A history cannot be read.
    #[error("read")]
    Read(#[from] ReadError),
    /// The index cannot be read.
    #[error("index")]
    Index(#[from] SubjectsSealError),
    /// The ledger did not take the entries.
    #[error(transparent)]
    Submit(#[from] SubmitError),
}

#[derive(Deserialize)]
struct BusinessPart {
    data: Other,
}

#[derive(Deserialize)]
struct Other {
    other: SubjectId,
}

/// A subject that another one is joined with, and the position of the entry that says so.
type Edge = (SubjectId, u64);

impl Ledger {
    /// Key under which the index remembers that a subject was merged at some time.
    pub(super) fn merge_mark(&self, subject: &SubjectId) -> [u8; 16] {
        // No reference begins with a control character that a source may not hold, so this is nobody's identifier.
        self.secrets.blind.blind_index(IdentifierKind::Ref, &format!("\u{1f}\u{1f}merged\u{1f}{subject}"))
    }

    /// All subjects that are read together with `subject` as known at `known_at`: itself first, then the others.
    ///
    /// # Errors
    /// [`ReadError`] when a history cannot be read; an answer is never a part of the union.
    pub async fn union_of(&self, subject: &SubjectId, known_at: Timestamp) -> Result<Vec<SubjectId>, MergeError> {
        let mut union = vec![*subject];
        let mut at = 0;
        while let Some(next) = union.get(at).copied() {
            at += 1;
            for (other, _) in self.merged_with(&next, known_at).await? {
                if !union.contains(&other) {
                    union.push(other);
                }
            }
        }
        Ok(union)
    }

    /// Subjects that this one itself is joined with.
    async fn merged_with(&self, subject: &SubjectId, known_at: Timestamp) -> Result<Vec<Edge>, MergeError> {
        let mark = self.merge_mark(subject);
        let (marked, head) = {
            let index = self.index_read();
            let marked = index.identifier(&mark).map_err(SubjectsSealError::from)?.is_some();
            (marked, index.head(subject.as_bytes()).map_err(SubjectsSealError::from)?.map(|found| found.head))
        };
        let mut at = head.filter(|_| marked).map(|head| head.position);
        let mut said: Vec<SubjectId> = Vec::new();
        let mut edges = Vec::new();
        while let Some(position) = at {
            let bytes = self.store().entry_at(position).await.map_err(ReadError::from)?;
            let bytes = bytes.ok_or(ReadError::Absent(position))?;
            let entry = EntryRef::decode(&bytes).map_err(|source| ReadError::Entry { position, source })?;
            let link = entry.subject.filter(|link| link.subject == *subject);
            at = link.ok_or(ReadError::Absent(position))?.previous;
            if entry.recorded > known_at || !matches!(entry.event_type, MERGED | UNMERGED) {
                continue;
            }
            let opened = self.open_entry(position).await?;
            let business = opened.plaintext(PartKind::Business).and_then(|bytes| serde_json::from_slice(bytes).ok());
            // Its key is gone with its quarter; what was still in force then was recorded anew.
            let Some(BusinessPart { data }) = business else { continue };
            // Walking back, the first word about another subject is the last that was said.
            if !said.contains(&data.other) {
                said.push(data.other);
                edges.extend((entry.event_type == MERGED).then_some((data.other, position)));
            }
        }
        Ok(edges)
    }

    /// Joins two subjects: from now on they are read as one person. One entry in the history of each, in one commit.
    ///
    /// # Errors
    /// [`MergeError`]; nothing is recorded then.
    pub async fn subjects_merge(&self, request: &MergeRequest) -> Result<[Receipt; 2], MergeError> {
        if request.subject == request.other {
            return Err(MergeError::Same);
        }
        for _ in 0..TRIES {
            let heads = self.heads_of(request)?;
            let union = self.union_of(&request.subject, Timestamp::MAX).await?;
            if union.contains(&request.other) {
                return Err(MergeError::Merged);
            }
            if union.len() + self.union_of(&request.other, Timestamp::MAX).await?.len() > UNION_MAX {
                return Err(MergeError::TooMany);
            }
            let data = |other: SubjectId| {
                let mut data = self.act(request, other);
                data.extend(request.conflict.map(|position| ("conflict_position".to_owned(), json!(position))));
                data
            };
            let events = [(request.subject, data(request.other)), (request.other, data(request.subject))];
            if let Some(receipts) = self.act_record(MERGED, request, events, heads).await? {
                return Ok(receipts);
            }
        }
        Err(MergeError::Busy)
    }

    /// Parts two subjects that were joined with each other.
    ///
    /// # Errors
    /// [`MergeError`]; nothing is recorded then.
    pub async fn subjects_unmerge(&self, request: &MergeRequest) -> Result<[Receipt; 2], MergeError> {
        for _ in 0..TRIES {
            let heads = self.heads_of(request)?;
            let mut events = Vec::with_capacity(2);
            for (subject, other) in [(request.subject, request.other), (request.other, request.subject)] {
                let edges = self.merged_with(&subject, Timestamp::MAX).await?;
                let merge = edges.into_iter().find(|(joined, _)| *joined == other).ok_or(MergeError::NotMerged)?.1;
                let mut data = self.act(request, other);
                data.insert("merge_position".to_owned(), json!(merge));
                events.push((subject, data));
            }
            let Ok(events) = <[_; 2]>::try_from(events) else { return Err(MergeError::NotMerged) };
            if let Some(receipts) = self.act_record(UNMERGED, request, events, heads).await? {
                return Ok(receipts);
            }
        }
        Err(MergeError::Busy)
    }

    fn act(&self, request: &MergeRequest, other: SubjectId) -> Map<String, Value> {
        let mut data = Map::new();
        data.insert("other".to_owned(), json!(other));
        data.insert("reason".to_owned(), json!(request.reason));
        data.extend(request.note.as_ref().map(|note| ("note".to_owned(), json!(note))));
        data
    }

    fn heads_of(&self, request: &MergeRequest) -> Result<[u64; 2], MergeError> {
        let head = |subject: &SubjectId| -> Result<u64, MergeError> {
            Ok(self.subject_head(subject)?.ok_or(MergeError::Unknown(*subject))?.position)
        };
        Ok([head(&request.subject)?, head(&request.other)?])
    }

    /// Records both entries if neither history has grown; `None` if one has.
    async fn act_record(
        &self,
        event_type: &str,
        request: &MergeRequest,
        events: [(SubjectId, Map<String, Value>); 2],
        heads: [u64; 2],
    ) -> Result<Option<[Receipt; 2]>, MergeError> {
        let events = events.into_iter().zip(heads).map(|((subject, data), head)| {
            let mut event = self.own_event(event_type, Some(subject), Value::Object(data));
            if let Value::Object(event) = &mut event {
                event.insert("expect".to_owned(), Value::String(head.to_string()));
            }
            Received { raw: event.to_string().into() }
        });
        let options = SubmitOptions {
            actor: request.actor,
            strict: true,
            dry_run: false,
            now: request.now,
            service: true,
            closing: None,
        };
        let outcomes = self.submit(events.collect(), options).await?;
        let mut receipts = Vec::with_capacity(2);
        for outcome in outcomes {
            match outcome {
                Outcome::Recorded(receipt) => receipts.push(receipt),
                Outcome::Refused { code: "expect_failed" | "batch_refused", .. } => {}
                Outcome::DryRun { problems, .. } if !problems.is_empty() => {
                    let told = problems.first().map(|problem| format!("{}: {}", problem.pointer, problem.detail));
                    return Err(MergeError::Refused(told.unwrap_or_default()));
                }
                other => return Err(MergeError::Refused(format!("the entry was not taken: {other:?}"))),
            }
        }
        Ok(<[Receipt; 2]>::try_from(receipts).ok())
    }
}
