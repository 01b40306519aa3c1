//! What a start (and a server that follows another one) learns from the log: tree, index tail, head. Everything derived is
//! made by the same code whether it is new, lost or behind.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::ledger::{Ledger, OpenError};
use super::tree::TreeState;
use crate::chain::decode::EntryRef;
use crate::chain::leaf::leaf_hash;
use crate::crypto::hash::Digest;
use crate::domain::identifier::{Identifier, IdentifierKind};
use crate::domain::parts::PartKind;
use crate::store::Head;
use crate::store::index::NOBODY;

/// Entries read at a time.
const CHUNK: u64 = 4_096;

/// The personal part of `identifier.bound`.
#[derive(Deserialize)]
struct BoundPart {
    data: BoundData,
}

#[derive(Deserialize)]
struct BoundData {
    values: Vec<BoundValue>,
}

#[derive(Deserialize)]
struct BoundValue {
    kind: IdentifierKind,
    value: String,
}

fn log(position: u64, what: impl ToString) -> OpenError {
    OpenError::Log { position, what: what.to_string() }
}

impl Ledger {
    /// Builds tree and index from the log at a start, and checks that the tree ends in the committed head.
    pub(super) async fn rebuild(self: &Arc<Ledger>) -> Result<(), OpenError> {
        let mut tree = TreeState::default();
        for (number, hash) in self.store().subtrees_from(0).await? {
            if number * 256 != tree.size() {
                return Err(log(number * 256, "a subtree hash is missing"));
            }
            tree.push_subtree(hash).map_err(|error| log(number * 256, error))?;
        }
        // After the subtrees, so that the head covers what another server completes meanwhile.
        let head = self.store().head().await?;
        let size = head.map_or(0, |head| head.size);
        if tree.size() > size {
            return Err(log(size, "subtree hashes reach beyond the head"));
        }
        *self.tree_write() = tree;
        let read_from = self.index_read().covered();
        if let Some(head) = head {
            self.catch_up_to(head).await?;
        }
        self.noted_resume(read_from);
        Ok(())
    }

    /// Takes in what was committed since, by this process before it lost its way or by another server.
    pub(super) async fn catch_up(&self) -> Result<(), crate::store::StoreError> {
        let _one_at_a_time = self.catch_up_lock().await;
        let head = self.store().head().await?;
        match head {
            Some(head) if Some(head) != self.head() => {
                let done = self.catch_up_to(head).await;
                // After, not before: what the lane judged while the index grew was judged on the old ground.
                self.generation_next();
                done.map_err(|error| crate::store::StoreError::Check(error.to_string()))
            }
            _ => Ok(()),
        }
    }

    /// As a server that does not append: takes in what the one that does has written.
    ///
    /// # Errors
    /// What the store says, or that the log does not fit what is known of it.
    pub async fn follow(&self) -> Result<(), crate::store::StoreError> {
        self.catch_up().await?;
        let failed = |error: super::custom_types::CustomTypeError| crate::store::StoreError::Check(error.to_string());
        self.custom_types_load().await.map_err(failed)?;
        self.log_signers_load().await.map_err(|error| crate::store::StoreError::Check(error.to_string()))
    }

    async fn catch_up_to(&self, head: Head) -> Result<(), OpenError> {
        let (tree_from, index_from) = {
            let covered = self.index_read().covered();
            let known = self.head().map_or(covered, |head| head.size);
            (self.tree_read().size(), covered.max(known).min(head.size))
        };
        let mut next = tree_from.min(index_from);
        let mut last = None;
        while next < head.size {
            let end = head.size.min(next + CHUNK);
            let entries = self.store().entries_from(next, end).await?;
            if entries.len() as u64 != end - next {
                return Err(log(next, "entries are missing"));
            }
            for (position, bytes) in entries {
                let leaf = leaf_hash(&bytes);
                if position >= tree_from {
                    self.tree_write().push(leaf);
                }
                if position >= index_from {
                    self.index_entry(position, &bytes).await?;
                }
                last = Some(leaf);
            }
            next = end;
        }
        if last.is_some_and(|leaf: Digest| leaf != head.leaf) || self.tree_read().size() != head.size {
            return Err(log(head.size, "the log does not end in the head that was committed"));
        }
        self.head_set(head);
        Ok(())
    }

    async fn index_entry(&self, position: u64, bytes: &[u8]) -> Result<(), OpenError> {
        let entry = EntryRef::decode(bytes).map_err(|error| log(position, error))?;
        self.note(position, super::noted::noted_for(entry.event_type));
        let mut blinds: Vec<[u8; 16]> = Vec::new();
        let mut bare_refs: Vec<[u8; 16]> = Vec::new();
        let bound = entry.event_type == "identifier.bound";
        if bound || entry.event_type == "identifier.released" {
            // Gone with the person: then nothing is to be bound either.
            let opened = self.open_entry(position).await.map_err(|error| log(position, error))?;
            if let Some(personal) = opened.plaintext(PartKind::Personal) {
                let part: BoundPart =
                    serde_json::from_slice(personal).map_err(|_| log(position, "values unreadable"))?;
                for BoundValue { kind, value } in part.data.values {
                    blinds.push(self.secrets.blind.blind_index(kind, &value));
                    bare_refs.extend(self.bare_reference(&Identifier { kind, value }));
                }
            }
        }
        if entry.event_type.starts_with("quarantine.") {
            self.item_entry(position, &entry).await.map_err(|error| log(position, error))?;
        }
        let merged = entry.subject.as_ref().filter(|_| entry.event_type == super::merge::MERGED);
        let merge_mark = merged.map(|link| self.merge_mark(&link.subject));
        let marks = if super::erasure::is_marking(entry.event_type) {
            let opened = self.open_entry(position).await.map_err(|error| log(position, error))?;
            let data = |kind| {
                let part: Value = serde_json::from_slice(opened.plaintext(kind)?).ok()?;
                part.get("data").cloned()
            };
            let business = data(PartKind::Business).or_else(|| data(PartKind::Public));
            let subject = entry.subject.map(|link| link.subject);
            super::erasure::marks(
                &self.secrets,
                entry.event_type,
                subject.as_ref(),
                business.as_ref(),
                data(PartKind::Personal).as_ref(),
            )
        } else {
            Vec::new()
        };
        if let ("subject.erased", Some(link)) = (entry.event_type, &entry.subject) {
            self.erased_read(link.subject);
        }
        let mut index = self.index_write();
        let tail = index.tail_mut();
        let owner = entry.subject.map_or(NOBODY, |link| *link.subject.as_bytes());
        marks.into_iter().for_each(|mark| tail.bind(mark, owner));
        let link = entry.subject.as_ref().map(|link| (link.subject.as_bytes(), link.sequence));
        tail.entry(position, &entry.dedupe, link);
        if let Some(link) = &entry.subject {
            if let Some(mark) = merge_mark {
                tail.bind(mark, *link.subject.as_bytes());
            }
            for blind in blinds {
                tail.bind(blind, if bound { *link.subject.as_bytes() } else { [0; 16] });
            }
            for bare in bare_refs.into_iter().filter(|_| bound) {
                index.bind_bare(bare, *link.subject.as_bytes());
            }
        }
        Ok(())
    }
}
