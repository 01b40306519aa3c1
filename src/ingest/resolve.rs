//! Whose event is this? An identifier belongs to one subject at a time; the first that is known decides, in the order our
//! subject id, reference, phone, e-mail (design section 5a). A contradiction is recorded, never merged by itself.

use crate::domain::ids::{SubjectId, uuid_v7};
use crate::domain::time::Timestamp;
use crate::runtime::Randomness;
use crate::store::index::{IdMap, Index, RunError};

use super::accept::{Identified, Validated};
use super::erasure::{Standing, standing};

/// Bindings that are on their way into the log: admitted, not yet committed.
pub(super) type PendingBindings = IdMap<[u8; 16], SubjectId>;

/// What resolving an event found.
#[derive(Debug)]
pub(super) struct Resolution {
    pub subject: SubjectId,
    /// The subject was made for this event.
    pub minted: bool,
    /// Another of the event's identifiers belongs to somebody else.
    pub conflict: bool,
    /// Those others, with the kind of identifier that is theirs.
    pub others: Vec<(SubjectId, crate::domain::identifier::IdentifierKind)>,
    /// Identifiers that belong to nobody yet: they are bound to the subject with this event.
    pub bind: Vec<Identified>,
    /// Whether the subject is being erased.
    pub standing: Standing,
}

/// Mints subject pseudonyms in strictly growing order, so that they append to the right edge of every sorted structure.
#[derive(Debug, Default)]
pub(super) struct SubjectMint {
    last: [u8; 16],
}

impl SubjectMint {
    fn mint(&mut self, now: Timestamp, random: &Randomness) -> SubjectId {
        let mut id = uuid_v7(now.unix_ms(), random.bytes());
        // Within one millisecond the random bits decide; draw again until they grow, and after a few draws move on a
        // millisecond, which a reader cannot tell from a slow clock.
        let mut ahead = 0;
        while id <= self.last {
            ahead += 1;
            id = uuid_v7(now.unix_ms() + ahead / 4, random.bytes());
            if ahead > 400 {
                break;
            }
        }
        self.last = id;
        SubjectId::from_bytes(id)
    }
}

pub(super) fn owner_of(
    index: &Index,
    pending: &PendingBindings,
    blind: &[u8; 16],
) -> Result<Option<SubjectId>, RunError> {
    if let Some(subject) = pending.get(blind) {
        return Ok(Some(*subject));
    }
    Ok(index.identifier(blind)?.map(SubjectId::from_bytes))
}

/// Resolves or mints the subject of an event whose type has one. Only the `service` may speak of somebody erased: whoever
/// else names their pseudonym speaks of nobody that the ledger knows.
pub(super) fn resolve(
    index: &Index,
    pending: &PendingBindings,
    mint: &mut SubjectMint,
    event: &Validated,
    (now, random): (Timestamp, &Randomness),
    service: bool,
) -> Result<Resolution, RunError> {
    let own = match event.subject.as_deref().and_then(|text| text.parse::<SubjectId>().ok()) {
        Some(subject)
            if index.head(subject.as_bytes())?.is_some() || pending.values().any(|known| *known == subject) =>
        {
            Some(subject)
        }
        Some(_) | None => None,
    };
    let erased = |subject: &SubjectId| Ok::<_, RunError>(standing(index, pending, subject)? == Standing::Erased);
    let own = match own {
        Some(subject) if !service && erased(&subject)? => None,
        own => own,
    };
    let mut found = own;
    let mut conflict = false;
    let mut bind = Vec::new();
    let mut others: Vec<(SubjectId, crate::domain::identifier::IdentifierKind)> = Vec::new();
    for identified in &event.identifiers {
        // A subject's own id is no reference: it identifies by itself.
        let is_own = own.is_some_and(|own| identified.identifier.value.ends_with(&own.to_string()));
        if is_own {
            continue;
        }
        match (owner_of(index, pending, &identified.blind)?, found) {
            (Some(owner), None) => found = Some(owner),
            (Some(owner), Some(subject)) if owner != subject => {
                conflict = true;
                if !others.iter().any(|(known, _)| *known == owner) {
                    others.push((owner, identified.identifier.kind));
                }
            }
            (Some(_), Some(_)) => {}
            (None, _) => bind.push(identified.clone()),
        }
    }
    let minted = found.is_none();
    let subject = found.unwrap_or_else(|| mint.mint(now, random));
    let standing = if minted { Standing::Live } else { standing(index, pending, &subject)? };
    if standing != Standing::Live {
        bind.clear();
    }
    Ok(Resolution { subject, minted, conflict, others, bind, standing })
}
