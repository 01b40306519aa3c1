//! What the way in knows of erasures: marks in the index that say where a person stands, and tokens that outlive one.
//!
//! `subject.erasure_started` binds a mark to the person when it commits, and the lane sees it from the moment it admits it:
//! from there on no key of theirs is minted. `subject.erased` binds the second mark. Both come back from the log when the
//! index is rebuilt. A suppression token is bound to nobody; the restricted map from token to pseudonym is bound by the
//! fence from its personal part, so it dies with the key of that part.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, Weak};

use serde_json::{Map, Value};

use super::accept::Validated;
use super::ledger::Ledger;
use super::resolve::{PendingBindings, owner_of};
use super::secrets::LedgerSecrets;
use super::subjects::{FindError, SubjectsSealError};
use crate::domain::email::Email;
use crate::domain::identifier::{Identifier, IdentifierKind};
use crate::domain::ids::{KeyId, SubjectId};
use crate::domain::parts::RetentionClass;
use crate::domain::phone::Phone;
use crate::store::DekSlot;
use crate::store::index::{Forget, Index, RunError};

/// What keeps something that was opened with data keys, and gives it up when they are destroyed.
pub trait Forgets: Send + Sync {
    /// Nothing stays of what keys of these owners opened; [`crate::store::NO_OWNER`] stands for the keys of business parts.
    fn forget(&self, owners: &HashSet<[u8; 16]>);
}

/// Where a person stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nobody asked to forget them.
    Live,
    /// Behind the fence: being erased.
    Fenced,
    /// Erased.
    Erased,
}

/// Channels that a token of a kind of identifier suppresses.
pub const fn channels_of(kind: IdentifierKind) -> &'static [&'static str] {
    match kind {
        IdentifierKind::Phone => &["voice", "sms", "mms"],
        IdentifierKind::Email => &["email"],
        IdentifierKind::Ref => &[],
    }
}

/// The first mark of a person. Not a keyed hash: it says nothing that the pseudonym does not.
fn fence_mark(subject: &SubjectId) -> [u8; 16] {
    subject.as_bytes().map(|byte| !byte)
}

/// The second mark.
fn erased_mark(subject: &SubjectId) -> [u8; 16] {
    let mut mark = *subject.as_bytes();
    // The byte that says "UUIDv7": no pseudonym has another one there.
    if let Some(version) = mark.get_mut(6) {
        *version = !*version;
    }
    mark
}

/// Where a person stands, with what is on its way into the log.
pub(super) fn standing(index: &Index, pending: &PendingBindings, subject: &SubjectId) -> Result<Standing, RunError> {
    if owner_of(index, pending, &fence_mark(subject))?.is_none() {
        return Ok(Standing::Live);
    }
    let erased = owner_of(index, pending, &erased_mark(subject))?.is_some();
    Ok(if erased { Standing::Erased } else { Standing::Fenced })
}

/// Halves of a token: the index finds suppression by the first and the restricted map by the second.
fn halves(token: &[u8; 32]) -> ([u8; 16], [u8; 16]) {
    let (mut first, mut second) = ([0; 16], [0; 16]);
    let (left, right) = token.split_at(16);
    first.copy_from_slice(left);
    second.copy_from_slice(right);
    (first, second)
}

fn token(text: &Value) -> Option<[u8; 32]> {
    data_encoding::HEXLOWER.decode(text.as_str()?.as_bytes()).ok()?.try_into().ok()
}

/// Whether entries of a type bind marks or tokens.
pub(super) fn is_marking(event_type: &str) -> bool {
    matches!(event_type, "subject.erasure_started" | "subject.erased" | "subject.carried" | "suppression.token_kept")
}

/// What an entry of a marking type binds, from the data of its parts.
pub(super) fn marks(
    secrets: &LedgerSecrets,
    event_type: &str,
    subject: Option<&SubjectId>,
    business: Option<&Value>,
    personal: Option<&Value>,
) -> Vec<[u8; 16]> {
    match (event_type, subject) {
        ("subject.erasure_started", Some(subject)) => {
            let tokens = personal.and_then(|data| data.get("tokens")).and_then(Value::as_array);
            let map = tokens.into_iter().flatten().filter_map(token).map(|token| halves(&token).1);
            std::iter::once(fence_mark(subject)).chain(map).collect()
        }
        ("subject.erased", Some(subject)) => vec![fence_mark(subject), erased_mark(subject)],
        ("subject.carried", Some(_)) => {
            let kind = business.and_then(|data| data.get("identifier_kind")).and_then(Value::as_str);
            let kind = kind.and_then(|kind| kind.parse::<IdentifierKind>().ok());
            let value = personal.and_then(|data| data.get("value")).and_then(Value::as_str);
            kind.zip(value).map(|(kind, value)| secrets.blind.blind_index(kind, value)).into_iter().collect()
        }
        ("suppression.token_kept", None) => {
            let kept = business.and_then(|data| data.get("token")).and_then(token);
            kept.map(|token| halves(&token).0).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// As [`marks`], for an event that was just accepted.
pub(super) fn marks_of(secrets: &LedgerSecrets, event: &Validated, subject: Option<&SubjectId>) -> Vec<[u8; 16]> {
    if !event.schema.service || !is_marking(&event.schema.event_type) {
        return Vec::new();
    }
    let personal = event.personal.iter().find(|(class, _)| *class == event.schema.class);
    let personal = personal.and_then(|(_, part): &(_, Map<String, Value>)| part.get("data"));
    marks(secrets, &event.schema.event_type, subject, event.business.get("data"), personal)
}

/// Data of `suppression.token_kept`.
pub fn token_data(ledger: &Ledger, kind: IdentifierKind, token: &[u8; 32], reason: &str) -> Value {
    serde_json::json!({
        "token": data_encoding::HEXLOWER.encode(token),
        "token_key": ledger.suppression_key(),
        "identifier_kind": kind.name(),
        "channels": channels_of(kind),
        "reason": reason,
    })
}

/// Whether an event takes something back: these count at once, whatever becomes of the event. Unsure is a yes.
pub(super) fn takes_back(event: &Validated) -> bool {
    let class = event.business.get("derived").and_then(|derived| derived.get("reply_class")).and_then(Value::as_str);
    match event.schema.event_type.as_str() {
        "contact.received" => class.is_some_and(|class| !matches!(class, "start" | "other")),
        "consent.revoked" | "privacy.opted_out" | "privacy.objected" => true,
        "suppression.removed" | "suppression.list_checked" => false,
        other => other.starts_with("suppression."),
    }
}

impl Ledger {
    /// Where a person stands in the committed log.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn standing(&self, subject: &SubjectId) -> Result<Standing, SubjectsSealError> {
        Ok(standing(&self.index_read(), &PendingBindings::default(), subject)?)
    }

    /// The token that outlives the erasure of whoever an identifier is of; none for references.
    pub fn suppression_token(&self, identifier: &Identifier) -> Option<[u8; 32]> {
        match identifier.kind {
            IdentifierKind::Phone | IdentifierKind::Email => {
                Some(self.secrets.suppression.suppression_token(identifier.kind, &identifier.value))
            }
            IdentifierKind::Ref => None,
        }
    }

    /// Name of the key that tokens are made with. Its version is never destroyed while a token lives.
    pub fn suppression_key(&self) -> KeyId {
        KeyId::from_bytes(self.secrets.suppression.record_ref("token-key", "", "1"))
    }

    /// Whether a phone or e-mail is of somebody who was erased, or refused while being erased: then it must not be
    /// contacted, whoever it is bound to by now, unless they agreed anew.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn is_suppressed(&self, identifier: &Identifier) -> Result<bool, SubjectsSealError> {
        let Some(token) = self.suppression_token(identifier) else { return Ok(false) };
        Ok(self.index_read().identifier(&halves(&token).0)?.is_some())
    }

    /// The erased person that a phone or e-mail was of, while what law obliges to keep of them exists. Restricted: for a
    /// privacy officer or an auditor.
    ///
    /// # Errors
    /// [`FindError::Unknown`] when the map does not name it (any more).
    pub fn subject_erased_find(&self, text: &str) -> Result<SubjectId, FindError> {
        let phone = Phone::parse(text, Phone::DEFAULT_COUNTRY).ok();
        let phone = phone.map(|phone| Identifier { kind: IdentifierKind::Phone, value: phone.into_string() });
        let email = Email::parse(text).ok();
        let email = email.map(|email| Identifier { kind: IdentifierKind::Email, value: email.into_string() });
        for token in [phone, email].into_iter().flatten().filter_map(|found| self.suppression_token(&found)) {
            if let Some(subject) = self.index_read().identifier(&halves(&token).1).map_err(SubjectsSealError::from)? {
                return Ok(SubjectId::from_bytes(subject));
            }
        }
        Err(FindError::Unknown)
    }

    /// Finds a person as [`Ledger::subject_find`], and one who was erased by the restricted map.
    ///
    /// # Errors
    /// As [`Ledger::subject_find`].
    pub fn subject_find_restricted(&self, text: &str, source: Option<&str>) -> Result<SubjectId, FindError> {
        match self.subject_find(text, source) {
            // A person who came anew under the number is found first; their own export names them.
            Err(FindError::Unknown) => self.subject_erased_find(text),
            found => found,
        }
    }

    /// Persons whose `subject.erased` was read from the log since this was last asked, and not written by this process.
    pub fn erased_elsewhere(&self) -> Vec<SubjectId> {
        std::mem::take(&mut *self.erased_elsewhere.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn erased_read(&self, subject: SubjectId) {
        self.erased_elsewhere.lock().unwrap_or_else(PoisonError::into_inner).push(subject);
    }

    /// Forgets the unwrapped keys of slots that were destroyed, and what they opened.
    pub fn keys_forget(&self, slots: &[DekSlot]) {
        self.deks.evict_owners(&slots.iter().map(|slot| slot.owner).collect());
        // Nobody keeps what raw parts say, and they go by the million.
        let kept = slots.iter().filter(|slot| slot.class != RetentionClass::Raw.code());
        self.opened_forget(&kept.map(|slot| slot.owner).collect());
    }

    /// The same for all keys of a person, destroyed by another server.
    pub fn person_forget(&self, subject: &SubjectId) {
        let owner = HashSet::from([*subject.as_bytes()]);
        self.deks.evict_owners(&owner);
        self.opened_forget(&owner);
    }

    fn opened_forget(&self, owners: &HashSet<[u8; 16]>) {
        let mut keepers = self.forgetting.lock().unwrap_or_else(PoisonError::into_inner);
        keepers.retain(|keeper| keeper.strong_count() > 0);
        let keepers: Vec<Arc<dyn Forgets>> = keepers.iter().filter_map(Weak::upgrade).collect();
        keepers.iter().filter(|_| !owners.is_empty()).for_each(|keeper| keeper.forget(owners));
    }

    /// Has a keeper of opened data told whenever keys are destroyed.
    pub fn forgets_too(&self, keeper: Weak<dyn Forgets>) {
        self.forgetting.lock().unwrap_or_else(PoisonError::into_inner).push(keeper);
    }

    /// Epoch of the key-encryption key that wraps now.
    pub fn kek_epoch(&self) -> u32 {
        self.keyring.current_epoch()
    }

    /// Removes every row that says which identifiers were these people's, from memory and from the files. `tokens` are
    /// those whose map entries stay. Returns the rows that went from files.
    ///
    /// # Errors
    /// When a file cannot be read or written: run it again.
    pub async fn index_forget(
        self: &Arc<Ledger>,
        subjects: &[SubjectId],
        tokens: &[[u8; 32]],
    ) -> Result<usize, SubjectsSealError> {
        let mut forget = Forget::default();
        for subject in subjects {
            forget.subjects.insert(*subject.as_bytes());
            forget.keep.extend([fence_mark(subject), erased_mark(subject)]);
        }
        forget.keep.extend(tokens.iter().map(|token| halves(token).1));
        let ledger = Arc::clone(self);
        let work = move || -> Result<usize, RunError> {
            let _alone = ledger.index_work.lock().unwrap_or_else(PoisonError::into_inner);
            let plan = ledger.index_read().forget_plan();
            let forgotten = plan.run(&forget)?;
            let rows = forgotten.rows;
            ledger.index_write().install_forgotten(&forget, forgotten)?;
            Ok(rows)
        };
        Ok(self.tasks.spawn_blocking(work).await.map_err(|_| SubjectsSealError::Cut)??)
    }
}
