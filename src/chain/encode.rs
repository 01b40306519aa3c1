//! Writing entries.
//!
//! Promises: a [`Draft`] holds every byte of an entry that does not depend on its place in the chain, so that the single
//! appender only copies them around the few that do. What a draft accepted always links, whatever place it gets. Must
//! never write a form that [`crate::chain::decode`] refuses.

use crate::chain::entry::{EntryError, FORMAT, MAX_PARTS, Part, PartRules, check_links, check_type};
use crate::crypto::cbor;
use crate::crypto::hash::Digest;
use crate::domain::ids::{EventId, LedgerId, PrincipalId, SubjectId};
use crate::domain::time::Timestamp;

/// Most bytes that linking adds to a draft: map head, keys 1 to 4, 9 to 11 and 13 with their values.
const LINK_BYTES_MAX: usize = 1 + 2 + 18 + 10 + 35 + 10 + 10 + 10 + 10;

/// What an entry says apart from its place: known when its parts are sealed.
#[derive(Debug, Clone, Copy)]
pub struct EntryBody<'a> {
    /// The ledger it belongs to.
    pub ledger: LedgerId,
    /// Our id of the event.
    pub event: EventId,
    /// `family.verb_past`.
    pub event_type: &'a str,
    /// SHA-256 of the schema file.
    pub schema: Digest,
    /// The person it is about.
    pub subject: Option<SubjectId>,
    /// Who posted it.
    pub actor: PrincipalId,
    /// Position that this corrects.
    pub corrects: Option<u64>,
    /// Keyed hash of the client's (source, id).
    pub dedupe: [u8; 32],
    /// Pieces of its data, in order.
    pub parts: &'a [Part],
}

/// An entry's place: known only to the appender, under the head it extends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Gap-free index in the ledger.
    pub position: u64,
    /// Leaf hash of the entry before.
    pub previous: Digest,
    /// When the ledger learns it.
    pub recorded: Timestamp,
    /// Sequence and back position in the subject's history; given if and only if the entry has a subject.
    pub subject: Option<(u64, Option<u64>)>,
    /// Position that this answers to; it may lie in the same commit.
    pub cause: Option<u64>,
}

/// An entry ready to be linked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    ledger: LedgerId,
    corrects: Option<u64>,
    has_subject: bool,
    /// Keys 5 to 8, then 12, then 14 to 16, each with its value.
    bytes: Vec<u8>,
    /// Where key 12 starts in `bytes`.
    actor_at: usize,
    /// Where key 14 (or 15) starts in `bytes`.
    tail_at: usize,
}

impl Draft {
    /// Encodes what does not depend on the place.
    ///
    /// # Errors
    /// [`EntryError`] if a field breaks a rule of the format. Types and parts are bounded so that no entry comes near
    /// [`crate::chain::entry::MAX_ENTRY_BYTES`].
    pub fn new(body: &EntryBody<'_>) -> Result<Draft, EntryError> {
        check_type(body.event_type.as_bytes())?;
        if body.parts.len() > MAX_PARTS {
            return Err(EntryError::Form { key: 16 });
        }
        let mut bytes = Vec::with_capacity(160 + body.event_type.len() + 160 * body.parts.len());
        let out = &mut bytes;
        put_bytes(out, 5, body.event.as_bytes());
        put_key(out, 6);
        cbor::text(out, body.event_type);
        put_bytes(out, 7, body.schema.as_bytes());
        if let Some(subject) = &body.subject {
            put_bytes(out, 8, subject.as_bytes());
        }
        let actor_at = out.len();
        put_bytes(out, 12, body.actor.as_bytes());
        let tail_at = out.len();
        if let Some(corrects) = body.corrects {
            put_uint(out, 14, corrects);
        }
        put_bytes(out, 15, &body.dedupe);
        put_key(out, 16);
        cbor::array(out, body.parts.len() as u64);
        let mut rules = PartRules::default();
        for part in body.parts {
            rules.check(part)?;
            put_part(out, part);
        }
        let has_subject = body.subject.is_some();
        Ok(Draft { ledger: body.ledger, corrects: body.corrects, has_subject, bytes, actor_at, tail_at })
    }

    /// Appends the linked entry to `out`, and nothing if the link breaks a rule.
    ///
    /// # Errors
    /// [`EntryError`] if the link contradicts itself or the draft.
    pub fn link_into(&self, link: &Link, out: &mut Vec<u8>) -> Result<(), EntryError> {
        check_links(link.position, link.subject, link.cause, self.corrects)?;
        if link.subject.is_some() != self.has_subject {
            return Err(EntryError::Link { key: 9, rule: "an entry has a sequence if and only if it has a subject" });
        }
        let recorded = u64::try_from(link.recorded.micros())
            .map_err(|_| EntryError::Link { key: 11, rule: "recorded time is not before 1970" })?;
        let back = link.subject.and_then(|(_, back)| back);
        let optional =
            [self.has_subject, self.has_subject, back.is_some(), link.cause.is_some(), self.corrects.is_some()];
        let (middle, tail) = self.bytes.split_at(self.tail_at);
        let (head, actor) = middle.split_at(self.actor_at);

        out.reserve(LINK_BYTES_MAX + self.bytes.len());
        cbor::map(out, 11 + optional.into_iter().map(u64::from).sum::<u64>());
        put_uint(out, 1, u64::from(FORMAT));
        put_bytes(out, 2, self.ledger.as_bytes());
        put_uint(out, 3, link.position);
        put_bytes(out, 4, link.previous.as_bytes());
        out.extend_from_slice(head);
        if let Some((sequence, back)) = link.subject {
            put_uint(out, 9, sequence);
            if let Some(back) = back {
                put_uint(out, 10, back);
            }
        }
        put_uint(out, 11, recorded);
        out.extend_from_slice(actor);
        if let Some(cause) = link.cause {
            put_uint(out, 13, cause);
        }
        out.extend_from_slice(tail);
        Ok(())
    }

    /// Most bytes that the linked entry can have.
    pub fn bytes_max(&self) -> usize {
        self.bytes.len() + LINK_BYTES_MAX
    }
}

fn put_part(out: &mut Vec<u8>, part: &Part) {
    let optional = [part.key.is_some(), part.commitment.is_some(), part.fields_root.is_some()];
    cbor::map(out, 4 + optional.into_iter().map(u64::from).sum::<u64>());
    put_uint(out, 1, u64::from(part.kind.code()));
    put_uint(out, 2, u64::from(part.suite));
    put_uint(out, 3, u64::from(part.class.code()));
    if let Some(key) = &part.key {
        put_bytes(out, 4, key.as_bytes());
    }
    put_bytes(out, 5, part.digest.as_bytes());
    if let Some(commitment) = &part.commitment {
        put_bytes(out, 6, commitment);
    }
    if let Some(root) = &part.fields_root {
        put_bytes(out, 7, root.as_bytes());
    }
}

fn put_key(out: &mut Vec<u8>, key: u8) {
    cbor::uint(out, u64::from(key));
}

fn put_uint(out: &mut Vec<u8>, key: u8, value: u64) {
    put_key(out, key);
    cbor::uint(out, value);
}

fn put_bytes(out: &mut Vec<u8>, key: u8, value: &[u8]) {
    put_key(out, key);
    cbor::bytes(out, value);
}
