//! Erasures as callers see them: asked for, carried out many at once, taken up again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::journal::{DoomedKey, Erasure, FORMAT, Journal, State};
use super::person::Person;
use super::plan::{Plan, plan};
use super::steps::{ROWS_AT_ONCE, Run};
use super::{BASES, EraseError};
use crate::blob::Archive;
use crate::domain::ids::{EventId, PrincipalId, SubjectId, uuid_v7};
use crate::domain::time::Timestamp;
use crate::ingest::Ledger;
use crate::ingest::erasure::Standing;
use crate::store::DekSlot;

/// How long another server may still hold a key that was destroyed: the age of its cache, and a second.
const SERVERS_SETTLE: Duration = Duration::from_secs(61);

/// The steps, in order. Each leaves a state from which the whole can be run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The journal object is written.
    Planned,
    /// The fence stands.
    Fenced,
    /// Suppression tokens are recorded.
    Tokens,
    /// The keys are listed in the journal.
    Listed,
    /// The keys are destroyed.
    Destroyed,
    /// The sealed bytes are deleted.
    Removed,
    /// The index rows are removed.
    Forgotten,
    /// The write-ahead logs are emptied and other servers' caches have expired.
    Emptied,
    /// `subject.erased` is recorded.
    Recorded,
    /// Items that waited are resolved afresh.
    Replayed,
}

/// Every step.
pub const STEPS: [Step; 10] = [
    Step::Planned,
    Step::Fenced,
    Step::Tokens,
    Step::Listed,
    Step::Destroyed,
    Step::Removed,
    Step::Forgotten,
    Step::Emptied,
    Step::Recorded,
    Step::Replayed,
];

/// How erasures are carried out.
#[derive(Clone)]
pub struct EraseOptions {
    /// Who asks.
    pub actor: PrincipalId,
    /// The caller's clock, on a scratch ledger.
    pub now: Option<Timestamp>,
    /// How long to wait until other servers have forgotten the keys.
    pub settle: Duration,
    /// Where journal objects are copied to.
    pub archive: Option<Arc<Archive>>,
    /// Ends after this step as if the process had died there.
    pub stop_after: Option<Step>,
}

impl EraseOptions {
    /// As a server does it.
    pub fn new(actor: PrincipalId, ledger: &Ledger) -> EraseOptions {
        let alone = ledger.store().engine() == "sqlite";
        let settle = if alone { Duration::ZERO } else { SERVERS_SETTLE };
        EraseOptions { actor, now: None, settle, archive: None, stop_after: None }
    }
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The step.
    pub step: Step,
    /// Persons done in it.
    pub done: usize,
    /// Persons to do.
    pub of: usize,
}

/// Tells how far a run is.
pub type Told<'a> = &'a (dyn Fn(Progress) + Send + Sync);

pub(super) fn journal_error(journal: &Journal) -> impl FnOnce(std::io::Error) -> EraseError {
    let folder = journal.folder().to_path_buf();
    move |source| EraseError::Journal { folder, source }
}

/// Asks for the erasure of a person: writes its journal object. Nothing is destroyed yet; [`run`] does that. Under a hold on
/// identifiers or on everything it waits.
///
/// # Errors
/// [`EraseError::Unknown`], [`EraseError::Erased`], [`EraseError::Basis`] before anything is written.
pub async fn begin(
    ledger: &Ledger,
    subject: SubjectId,
    basis: &str,
    request: Option<String>,
    options: &EraseOptions,
) -> Result<(Erasure, Plan), EraseError> {
    if !BASES.contains(&basis) {
        return Err(EraseError::Basis);
    }
    ledger.subject_head(&subject)?.ok_or(EraseError::Unknown)?;
    let now = options.now.unwrap_or_else(|| ledger.now());
    let person = Person::read(ledger, subject).await?;
    let planned = plan(ledger, &person, now).await?;
    let journal = Journal::of(ledger);
    let standing = ledger.standing(&subject)?;
    if standing != Standing::Live {
        let known = journal.all().map_err(journal_error(&journal))?;
        let same = known.into_iter().find(|known| known.subjects.contains(&subject) && known.state != State::Done);
        if let Some(known) = same {
            return Ok((known, planned));
        }
        if standing == Standing::Erased && planned.keys.is_empty() {
            return Err(EraseError::Erased);
        }
    }
    let erasure = Erasure {
        format: FORMAT.to_owned(),
        ledger: ledger.id,
        erasure: EventId::from_bytes(uuid_v7(now.unix_ms(), ledger.random.bytes())),
        basis: basis.to_owned(),
        request,
        subjects: person.subjects.clone(),
        state: if planned.waits { State::Waiting } else { State::Planned },
        asked: now,
        keys: Vec::new(),
        items: Vec::new(),
        kept: Vec::new(),
        tokens: 0,
        done: None,
        recorded_at: Vec::new(),
        kek_epoch: 0,
        irrecoverable_on: String::new(),
    };
    journal.save(&erasure).map_err(journal_error(&journal))?;
    Ok((erasure, planned))
}

/// Goes on with every erasure of the journal that is not done; those whose hold is over begin.
///
/// # Errors
/// As [`run`].
pub async fn resume(ledger: &Arc<Ledger>, options: &EraseOptions, told: Told<'_>) -> Result<Vec<Erasure>, EraseError> {
    let journal = Journal::of(ledger);
    let all = journal.all().map_err(journal_error(&journal))?;
    let open: Vec<Erasure> = all.into_iter().filter(|erasure| erasure.state != State::Done).collect();
    if open.is_empty() { Ok(open) } else { run(ledger, open, options, told).await }
}

/// Runs what a hold kept: erasures that waited, and what erasures of these persons had to leave.
///
/// # Errors
/// As [`run`].
pub async fn after_release(
    ledger: &Arc<Ledger>,
    subjects: &[SubjectId],
    options: &EraseOptions,
) -> Result<Vec<Erasure>, EraseError> {
    let journal = Journal::of(ledger);
    let all = journal.all().map_err(journal_error(&journal))?;
    let mut going: Vec<Erasure> = all.iter().filter(|erasure| erasure.state == State::Waiting).cloned().collect();
    for erasure in all.iter().filter(|erasure| erasure.state == State::Done) {
        let left = erasure.kept.iter().any(|kept| kept.ground == "hold");
        let whose = erasure.subjects.iter().find(|subject| subjects.contains(subject));
        if let (true, Some(subject)) = (left, whose) {
            match begin(ledger, *subject, &erasure.basis, None, options).await {
                Ok((erasure, _)) => going.push(erasure),
                Err(EraseError::Erased) => {}
                Err(error) => return Err(error),
            }
        }
    }
    run(ledger, going, options, &|_| {}).await
}

/// Takes up again what the journal says was done and a restored backup undid: keys that are back, or a log that does not
/// say it yet. Keys that are back are destroyed at once; the rest goes its usual way with [`resume`]. Returns how many
/// erasures.
///
/// # Errors
/// What journal or vault answer.
pub async fn apply_journal(ledger: &Arc<Ledger>) -> Result<usize, EraseError> {
    let journal = Journal::of(ledger);
    let mut again = 0;
    for mut erasure in journal.all().map_err(journal_error(&journal))? {
        if erasure.state != State::Done {
            continue;
        }
        let mut back: Vec<DoomedKey> = Vec::new();
        for owner in erasure.keys.iter().map(|key| key.owner).collect::<BTreeSet<SubjectId>>() {
            let there = ledger.store().deks_of(owner.as_bytes()).await?;
            back.extend(erasure.keys.iter().filter(|key| there.iter().any(|(_, row)| row.key == key.key)));
        }
        let mut unsaid = false;
        for subject in &erasure.subjects {
            let known = ledger.subject_head(subject)?.is_some();
            unsaid |= known && ledger.standing(subject)? != Standing::Erased;
        }
        if unsaid || !back.is_empty() {
            erasure.state = State::Planned;
            journal.save(&erasure).map_err(journal_error(&journal))?;
            destroy(ledger, &back).await?;
            again += 1;
        }
    }
    Ok(again)
}

/// Carries erasures out to their end. Waiting ones whose hold is still in force are returned as they are.
///
/// # Errors
/// [`EraseError`]; what was begun goes on where it stopped, with [`resume`].
pub async fn run(
    ledger: &Arc<Ledger>,
    erasures: Vec<Erasure>,
    options: &EraseOptions,
    told: Told<'_>,
) -> Result<Vec<Erasure>, EraseError> {
    let _alone = ledger.destroying.lock().await;
    let now = options.now.unwrap_or_else(|| ledger.now());
    let journal = Journal::of(ledger);
    let (mut waiting, mut going) = (Vec::new(), Vec::new());
    for erasure in erasures {
        // Another run may have come first.
        let known = journal.load(&erasure.erasure).map_err(journal_error(&journal))?;
        let mut erasure = known.unwrap_or(erasure);
        if erasure.state == State::Done {
            waiting.push(erasure);
            continue;
        }
        if erasure.state == State::Waiting {
            if held(ledger, &erasure, now).await? {
                waiting.push(erasure);
                continue;
            }
            erasure.state = State::Planned;
        }
        going.push(erasure);
    }
    let mut run = Run { ledger, journal, options, now, told, going };
    if !run.going.is_empty() {
        run.all().await?;
    }
    waiting.append(&mut run.going);
    Ok(waiting)
}

/// Copies a journal object to the archive, so that a restore from there destroys again what it brings back.
pub(super) async fn copy_out(archive: &Archive, erasure: &Erasure) -> Result<(), EraseError> {
    let name = format!("erasures/{}.json", erasure.erasure);
    let text = serde_json::to_vec(erasure).unwrap_or_default();
    Ok(archive.put(&erasure.ledger, &name, text).await?)
}

async fn held(ledger: &Ledger, erasure: &Erasure, now: Timestamp) -> Result<bool, EraseError> {
    for subject in &erasure.subjects {
        if Person::read(ledger, *subject).await?.waits(now) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Destroys keys and forgets their unwrapped copies.
pub(super) async fn destroy(ledger: &Ledger, keys: &[DoomedKey]) -> Result<(), EraseError> {
    let slots: Vec<DekSlot> = keys.iter().map(DoomedKey::slot).collect();
    for slots in slots.chunks(ROWS_AT_ONCE) {
        ledger.store().deks_delete(slots).await?;
    }
    ledger.keys_forget(&slots);
    Ok(())
}
