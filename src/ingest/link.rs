//! Linking: a sealed event gets its position, its predecessor's hash and its place in its subject's history. Only the
//! appender links, under the head it is about to swap.

use super::receipt::Receipt;
use super::seal::{Cause, Sealed};
use super::tree::TreeState;
use crate::chain::encode::Link;
use crate::chain::entry::EntryError;
use crate::chain::leaf::leaf_hash;
use crate::crypto::hash::Digest;
use crate::domain::ids::SubjectId;
use crate::domain::time::Timestamp;
use crate::store::index::{IdMap, SubjectHead};
use crate::store::{AppendBatch, EntryKeys, Head, PayloadRow};

/// A batch that fits the head it was linked to, and what to tell about each event once it is committed. Made only here.
pub(super) struct Linked {
    pub batch: AppendBatch,
    /// What the tree gains.
    pub growth: TreeState,
    pub events: Vec<LinkedEvent>,
}

/// One event's place.
pub(super) struct LinkedEvent {
    pub receipt: Receipt,
    pub sequence: u64,
    pub length: usize,
    pub sealed: SealedRest,
}

/// What is left of a sealed event when its bytes went into the batch.
pub(super) struct SealedRest {
    pub dedupe: [u8; 32],
    pub binds: Vec<[u8; 16]>,
    pub bare_refs: Vec<[u8; 16]>,
    pub business: Vec<u8>,
    pub item: Option<super::items::ItemChange>,
    pub noted: &'static [super::noted::NotedFor],
    pub reply: Option<super::seal::Answer>,
}

/// Links events to the end of the log. `head_of` knows committed heads of subjects.
pub(super) fn link<E: From<EntryError>>(
    head: Option<Head>,
    tree: &TreeState,
    recorded: Timestamp,
    events: Vec<Sealed>,
    mut head_of: impl FnMut(&SubjectId) -> Result<Option<SubjectHead>, E>,
) -> Result<Linked, E> {
    let first = head.map_or(0, |head| head.size);
    let mut previous = head.map_or(Digest::ZERO, |head| head.leaf);
    let mut tree = tree.growth();
    let mut entries = Vec::with_capacity(events.iter().map(|event| event.draft.bytes_max()).sum());
    let mut keys = Vec::with_capacity(events.len());
    let mut payloads = Vec::with_capacity(events.len() * 3);
    let mut subtrees = Vec::new();
    let mut linked = Vec::with_capacity(events.len());
    let mut heads: IdMap<SubjectId, SubjectHead> = IdMap::default();
    for (position, event) in (first..).zip(events) {
        let last = match &event.subject {
            None => None,
            Some(subject) => match heads.get(subject) {
                Some(head) => Some(*head),
                None => head_of(subject)?,
            },
        };
        let sequence = last.map_or(1, |head| head.sequence + 1);
        let place = Link {
            position,
            previous,
            recorded,
            subject: event.subject.map(|_| (sequence, last.map(|head| head.position))),
            cause: match event.cause {
                Cause::None => None,
                Cause::Position(position) => Some(position),
                Cause::Back(places) => position.checked_sub(places),
            },
        };
        let start = entries.len();
        event.draft.link_into(&place, &mut entries)?;
        let bytes = entries.get(start..).unwrap_or_default();
        let leaf = leaf_hash(bytes);
        let length = bytes.len();
        subtrees.extend(tree.push(leaf));
        previous = leaf;
        if let Some(subject) = event.subject {
            heads.insert(subject, SubjectHead { sequence, position });
        }
        let subject = event.subject.map(|subject| (*subject.as_bytes(), sequence));
        keys.push(EntryKeys { length, dedupe: event.dedupe, subject });
        for (part, sealed) in event.payloads {
            payloads.push(PayloadRow { position, part, sealed });
        }
        linked.push(LinkedEvent {
            receipt: Receipt { event: event.event, position, leaf, subject: event.subject, recorded },
            sequence,
            length,
            sealed: SealedRest {
                dedupe: event.dedupe,
                binds: event.binds,
                bare_refs: event.bare_refs,
                business: event.business,
                item: event.item,
                noted: event.noted,
                reply: event.reply,
            },
        });
    }
    let size = first + linked.len() as u64;
    let next = Head { size, leaf: previous, recorded, epoch: head.map_or(0, |head| head.epoch) };
    Ok(Linked {
        batch: AppendBatch { expected: head, next, entries, keys, payloads, subtrees },
        growth: tree,
        events: linked,
    })
}
