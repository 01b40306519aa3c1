//! Sealing: the last place that sees plaintext. `Admitted` events become [`Sealed`]: ciphertext, digests and a draft entry.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use crate::chain::encode::{Draft, EntryBody};
use crate::chain::entry::{EntryError, Part};
use crate::crypto::derive::Dek;
use crate::crypto::fields::{FieldError, field_root};
use crate::crypto::hash::sha256;
use crate::crypto::seal::{PartContext, SUITE_AES_256_GCM, SUITE_NONE, seal as seal_part};
use crate::domain::ids::{EventId, LedgerId, PrincipalId, SubjectId};
use crate::domain::parts::{PartKind, RetentionClass};
use crate::runtime::randomness::BatchRandom;
use crate::schema::{EventSchema, JcsError, canonical_json};
use crate::store::index::SubjectHead;

use super::items::ItemChange;
use super::receipt::ReplySlot;

/// Room for the canonical text of most parts, so that it does not grow step by step.
const JSON_BYTES: usize = 768;

/// A part before sealing.
pub(super) struct PlainPart {
    pub kind: PartKind,
    pub class: RetentionClass,
    /// `None` for public parts only.
    pub key: Option<Arc<Dek>>,
    pub content: Content,
}

/// What a part holds.
pub(super) enum Content {
    /// Written as RFC 8785 JSON.
    Json(Value),
    /// As received.
    Bytes(Bytes),
}

/// What an entry answers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    None,
    Position(u64),
    /// The entry so many places before, in the same commit.
    Back(u64),
}

/// An event that the lane has let in: subject, keys and duplicates are settled. Made only by `admit`.
pub(super) struct Admitted {
    pub event: EventId,
    pub schema: Arc<EventSchema>,
    pub subject: Option<SubjectId>,
    pub actor: PrincipalId,
    pub cause: Cause,
    pub corrects: Option<u64>,
    pub dedupe: [u8; 32],
    pub parts: Vec<PlainPart>,
    /// Identifiers that this entry binds.
    pub binds: Vec<[u8; 16]>,
    /// References among them by their text alone, so that a person can be found without naming the source.
    pub bare_refs: Vec<[u8; 16]>,
    /// What it changes about the items that wait in quarantine.
    pub item: Option<ItemChange>,
    pub reply: Option<Answer>,
}

/// Subjects and their last entries, as the log itself has them, that an event was made from; none for one that has no entry.
pub type CitedHeads = Arc<[(SubjectId, Option<SubjectHead>)]>;

/// Whom to tell, and what, once the entry is committed.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    Recorded(ReplySlot),
    /// As `Recorded`, if every head that the event cites still is the subject's last; else nothing is recorded.
    Cited(ReplySlot, CitedHeads),
    Quarantined(ReplySlot, &'static str, Vec<crate::schema::FieldProblem>),
}

/// An event whose parts are sealed for their place in the ledger. Only [`seal`] makes one, so an append of readable
/// personal data does not compile.
pub(super) struct Sealed {
    pub draft: Draft,
    pub event: EventId,
    pub subject: Option<SubjectId>,
    pub cause: Cause,
    pub dedupe: [u8; 32],
    pub payloads: Vec<(u8, Vec<u8>)>,
    /// Canonical JSON of the business or public part, for live projections.
    pub business: Vec<u8>,
    pub binds: Vec<[u8; 16]>,
    pub bare_refs: Vec<[u8; 16]>,
    /// What it changes about the items that wait in quarantine.
    pub item: Option<ItemChange>,
    /// Part of the policy that decisions are made by: its position is kept at hand.
    pub noted: &'static [super::noted::NotedFor],
    /// It binds identifiers for the event directly behind it.
    pub binding: bool,
    pub reply: Option<Answer>,
}

/// Why an event cannot be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealEventError {
    /// Its data has no canonical form.
    #[error("the data has no canonical JSON form")]
    Canonical(#[from] JcsError),
    /// Its fields do not form a tree.
    #[error("the personal part has no field tree")]
    Fields(#[from] FieldError),
    /// Its entry breaks a rule of the format.
    #[error("the entry breaks the format")]
    Entry(#[from] EntryError),
    /// A part that must be sealed came without a key.
    #[error("a part came without its key")]
    KeyMissing,
}

/// Seals one event.
pub(super) fn seal(ledger: LedgerId, random: &mut BatchRandom, admitted: Admitted) -> Result<Sealed, SealEventError> {
    let mut parts = Vec::with_capacity(admitted.parts.len());
    let mut payloads = Vec::with_capacity(admitted.parts.len());
    let mut business = Vec::new();
    for (part_no, plain) in (0u8..).zip(admitted.parts) {
        let mut json = Vec::with_capacity(match &plain.content {
            Content::Json(_) => JSON_BYTES,
            Content::Bytes(_) => 0,
        });
        let plaintext: &[u8] = match &plain.content {
            Content::Json(value) => {
                canonical_json(value, &mut json)?;
                &json
            }
            Content::Bytes(bytes) => bytes,
        };
        let Some(key) = plain.key.as_ref() else {
            if plain.kind != PartKind::Public {
                return Err(SealEventError::KeyMissing);
            }
            parts.push(Part {
                kind: plain.kind,
                suite: SUITE_NONE,
                class: plain.class,
                key: None,
                digest: sha256(plaintext),
                commitment: None,
                fields_root: None,
            });
            payloads.push((part_no, plaintext.to_vec()));
            business = json;
            continue;
        };
        let key_id = key.id();
        let secret = key.part_secret(&admitted.event, part_no);
        let context = PartContext {
            ledger: &ledger,
            event: &admitted.event,
            event_type: &admitted.schema.event_type,
            schema: &admitted.schema.digest,
            subject: admitted.subject.as_ref(),
            part_no,
            class: plain.class,
            key: &key_id,
        };
        let sealed = seal_part(&secret, &context, random.bytes(), plaintext);
        let fields_root = match plain.kind {
            PartKind::Personal => Some(field_root(&secret, plaintext)?),
            PartKind::Public | PartKind::Business | PartKind::Raw => None,
        };
        parts.push(Part {
            kind: plain.kind,
            suite: SUITE_AES_256_GCM,
            class: plain.class,
            key: Some(key_id),
            digest: sha256(&sealed),
            commitment: Some(secret.commitment()),
            fields_root,
        });
        payloads.push((part_no, sealed));
        if plain.kind == PartKind::Business {
            business = json;
        }
    }
    let draft = Draft::new(&EntryBody {
        ledger,
        event: admitted.event,
        event_type: &admitted.schema.event_type,
        schema: admitted.schema.digest,
        subject: admitted.subject,
        actor: admitted.actor,
        corrects: admitted.corrects,
        dedupe: admitted.dedupe,
        parts: &parts,
    })?;
    Ok(Sealed {
        draft,
        event: admitted.event,
        subject: admitted.subject,
        cause: admitted.cause,
        dedupe: admitted.dedupe,
        payloads,
        business,
        binds: admitted.binds,
        bare_refs: admitted.bare_refs,
        item: admitted.item,
        noted: super::noted::noted_for(&admitted.schema.event_type),
        binding: admitted.schema.event_type == "identifier.bound",
        reply: admitted.reply,
    })
}
