//! Histories in memory, folded, so that a decision about one of a million people reads nothing that lies somewhere in the log.
//!
//! One task reads the log in order and folds it, from its beginning on and then what is appended. A question takes what is there and
//! reads only what that lacks, by the person's own chain: a task that is behind makes answers slower and never other. Those of
//! whom was longest nothing said or asked leave when there is no more room, and whoever is forgotten leaves at once.

use std::collections::HashSet;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::gate::DecideError;
use super::history::{History, read, tells};
use crate::domain::ids::SubjectId;
use crate::ingest::Ledger;
use crate::ingest::erasure::Forgets;
use crate::ingest::noted::NotedFor;
use crate::ingest::read::{Opened, ReadError};
use crate::policy::contact::What;
use crate::store::NO_OWNER;
use crate::store::index::{IdMap, SubjectHead};

/// Shares of the people, each with a lock of its own, so that one that grows keeps few questions waiting.
const SHARES: usize = 16;
/// Entries that the task reads at once.
const CHUNK: u64 = 1_024;
/// How long the task rests when there is nothing to read, or when reading failed.
const REST: Duration = Duration::from_secs(1);
/// Different acts that are kept once, of each share.
const WORDS_MAX: usize = 4_096;
/// What a map needs for a person beside the history: key, pointer, counters, and room to grow.
const PLACE_BYTES: usize = 72;

/// What is in memory of a ledger's people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remembered {
    /// People whose histories are there, of the whole ledger or of as many as there is room for.
    pub people: usize,
    /// Bytes that they take, near enough.
    pub bytes: usize,
    /// Position up to which the log was read for them.
    pub read_to: u64,
}

/// Histories by subject.
#[derive(Debug, Default)]
pub(super) struct Histories {
    shares: [Mutex<Share>; SHARES],
    /// How often somebody was forgotten: what was opened before that is not kept.
    forgotten: AtomicU64,
    /// Position that the task reads on from.
    read_to: AtomicU64,
    /// Somebody left who may have to come back.
    missed: AtomicBool,
    /// Retention runs that the log told of.
    retained: AtomicU64,
}

/// A share of the people, in two ages: when the young fill half of the room, the old leave and the young grow old.
#[derive(Debug, Default)]
struct Share {
    young: IdMap<SubjectId, Arc<History>>,
    old: IdMap<SubjectId, Arc<History>>,
    /// Bytes of the young, and of the old when they grew old.
    bytes: usize,
    old_bytes: usize,
    /// Most people's acts are the same few.
    words: HashSet<Arc<What>>,
}

impl Share {
    /// The history of somebody, who is young again.
    fn find(&mut self, subject: &SubjectId, room: usize) -> Option<Arc<History>> {
        if self.old.contains_key(subject)
            && let Some(old) = self.remove(subject)
        {
            self.keep(*subject, old, room);
        }
        self.young.get(subject).or_else(|| self.old.get(subject)).cloned()
    }

    fn head(&self, subject: &SubjectId) -> Option<SubjectHead> {
        self.young.get(subject).or_else(|| self.old.get(subject)).map(|known| known.head)
    }

    fn remove(&mut self, subject: &SubjectId) -> Option<Arc<History>> {
        let (bytes, known) = match self.young.remove(subject) {
            Some(known) => (&mut self.bytes, known),
            None => (&mut self.old_bytes, self.old.remove(subject)?),
        };
        *bytes -= known.bytes() + PLACE_BYTES;
        Some(known)
    }

    fn keep(&mut self, subject: SubjectId, history: Arc<History>, room: usize) {
        self.remove(&subject);
        self.bytes += history.bytes() + PLACE_BYTES;
        self.young.insert(subject, history);
        if self.bytes > room / 2 {
            self.old_bytes = mem::take(&mut self.bytes);
            self.old = mem::take(&mut self.young);
        }
    }

    /// One act for all who did the same, of those from `first` on.
    fn share_words(&mut self, history: &mut History, first: usize) {
        for seen in history.seen.iter_mut().skip(first) {
            if let Some(known) = self.words.get(&seen.what) {
                seen.what = Arc::clone(known);
                continue;
            }
            if self.words.len() >= WORDS_MAX {
                self.words.retain(|word| Arc::strong_count(word) > 1);
            }
            if self.words.len() < WORDS_MAX {
                self.words.insert(Arc::clone(&seen.what));
            }
        }
    }

    /// Takes in an entry whose turn it is; whoever is not here from the beginning on is left to the questions.
    fn take(&mut self, ledger: &Ledger, opened: &Opened, room: usize) {
        let Some(link) = opened.entry.subject else { return };
        let head = SubjectHead { sequence: link.sequence, position: opened.entry.position };
        let mut history = match self.remove(&link.subject) {
            None if link.sequence > 1 => return,
            None => Arc::new(History::begun()),
            Some(known) => known,
        };
        if link.sequence == history.head.sequence + 1 && link.previous.is_none_or(|at| at == history.head.position) {
            let next = Arc::make_mut(&mut history);
            let first = next.seen.len();
            next.add(ledger, opened);
            next.head = head;
            self.share_words(next, first);
        }
        self.keep(link.subject, history, room);
    }
}

/// Bytes that one share may take.
fn room(ledger: &Ledger) -> usize {
    ledger.options.limits.histories_bytes_max / SHARES
}

impl Histories {
    /// The history up to the subject's head as it is now; none for a subject without entries.
    pub async fn of(&self, ledger: &Ledger, subject: SubjectId) -> Result<Option<Arc<History>>, DecideError> {
        let Some(head) = ledger.subject_head(&subject)? else { return Ok(None) };
        self.retention_look(ledger);
        let forgotten = self.forgotten.load(Ordering::SeqCst);
        let known = self.share(&subject).find(&subject, room(ledger));
        // Of two heads with one sequence the log must say which it is: then all is read.
        let base = known.filter(|known| known.head == head || known.head.sequence < head.sequence);
        if let Some(base) = &base
            && base.head == head
        {
            return Ok(Some(Arc::clone(base)));
        }
        let news = read(ledger, subject, head, base.as_ref().map(|base| base.head)).await?;
        let mut history = base.map_or_else(History::begun, |base| History::clone(&base));
        let first = history.seen.len();
        history.head = head;
        news.iter().for_each(|opened| history.add(ledger, opened));
        let mut share = self.share(&subject);
        share.share_words(&mut history, first);
        let history = Arc::new(history);
        // Somebody else may have read further meanwhile, or the person may have been forgotten.
        let behind = share.head(&subject).is_none_or(|other| other.sequence < head.sequence);
        if behind && self.forgotten.load(Ordering::SeqCst) == forgotten {
            share.keep(subject, Arc::clone(&history), room(ledger));
        }
        Ok(Some(history))
    }

    /// Who is there.
    pub fn remembered(&self) -> Remembered {
        let mut all = Remembered { people: 0, bytes: 0, read_to: self.read_to.load(Ordering::SeqCst) };
        for share in &self.shares {
            let share = share.lock().unwrap_or_else(PoisonError::into_inner);
            all.people += share.young.len() + share.old.len();
            all.bytes += share.bytes + share.old_bytes;
        }
        all
    }

    fn share(&self, subject: &SubjectId) -> MutexGuard<'_, Share> {
        // The last bits of a pseudonym are random.
        let [.., last] = *subject.as_bytes();
        let [first, ..] = &self.shares;
        self.shares.get(usize::from(last) % SHARES).unwrap_or(first).lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A retention run ended: who left for it comes back with what is left of their history. On a server that did not run it all leave,
    /// because nothing told it whose parts went.
    fn retention_look(&self, ledger: &Ledger) {
        let Some(count) = ledger.noted_count(NotedFor::Retention) else { return };
        if self.retained.swap(count, Ordering::SeqCst) == count {
            return;
        }
        if !ledger.is_leader() {
            self.forget(&HashSet::from([NO_OWNER]));
        } else if self.missed.swap(false, Ordering::SeqCst) {
            self.read_to.store(0, Ordering::SeqCst);
        }
    }

    /// Reads the log from its beginning on, for as long as this memory and the ledger are there.
    pub fn follow(self: &Arc<Self>, ledger: &Arc<Ledger>) {
        let memory: Arc<dyn Forgets> = Arc::clone(self) as _;
        ledger.forgets_too(Arc::downgrade(&memory));
        let (memory, tasks) = (Arc::downgrade(self), ledger.tasks.clone());
        let ledger = Arc::downgrade(ledger);
        tasks.clone().spawn(async move {
            let mut near = false;
            while let Some(rest) = read_on(&memory, &ledger, &mut near).await {
                tokio::select! {
                    () = tasks.stopping() => return,
                    () = tokio::time::sleep(rest) => {}
                }
            }
        });
    }

    /// Takes in the next entries. Gives whether there were any.
    async fn take_in(self: &Arc<Self>, ledger: &Arc<Ledger>) -> Result<bool, ReadError> {
        let (forgotten, from) = (self.forgotten.load(Ordering::SeqCst), self.read_to.load(Ordering::SeqCst));
        let end = ledger.size().min(from + CHUNK);
        if end <= from {
            return Ok(false);
        }
        let all = ledger.open_range(from, end, tells).await?;
        let (memory, log) = (Arc::clone(self), Arc::clone(ledger));
        // Folding computes for milliseconds: not where answers wait.
        let folded = ledger.tasks.spawn_blocking(move || {
            for opened in &all {
                let Some(link) = opened.entry.subject else { continue };
                let mut share = memory.share(&link.subject);
                if memory.forgotten.load(Ordering::SeqCst) != forgotten {
                    return false;
                }
                share.take(&log, opened, room(&log));
            }
            true
        });
        match folded.await {
            Ok(true) => {}
            // Once more.
            Ok(false) => return Ok(true),
            Err(_cut) => return Ok(false),
        }
        // Where it was told to begin again meanwhile, that stands; who was forgotten behind this loop may have to be read again.
        let _told = self.read_to.compare_exchange(from, end, Ordering::SeqCst, Ordering::SeqCst);
        if self.forgotten.load(Ordering::SeqCst) != forgotten {
            self.read_to.fetch_min(from, Ordering::SeqCst);
        }
        Ok(true)
    }
}

/// The task's next step, and how long it then rests: a little, so that there is always room beside it. None when memory or ledger
/// are gone.
async fn read_on(memory: &Weak<Histories>, ledger: &Weak<Ledger>, near: &mut bool) -> Option<Duration> {
    let (memory, ledger) = (memory.upgrade()?, ledger.upgrade()?);
    let started = ledger.clock.elapsed();
    match memory.take_in(&ledger).await {
        Ok(true) => Some(ledger.clock.elapsed().saturating_sub(started) / 4),
        Ok(false) => {
            // Reading the whole log drove the keys, which decisions are sealed with, out of the memory of the operating system.
            if !mem::replace(near, true)
                && let Err(error) = ledger.store().deks_near().await
            {
                tracing::warn!(error = %error, "memory.keys cannot be brought near");
            }
            Some(REST)
        }
        Err(error) => {
            tracing::warn!(error = %error, position = memory.remembered().read_to, "memory.histories cannot be read on");
            Some(REST)
        }
    }
}

impl Forgets for Histories {
    fn forget(&self, owners: &HashSet<[u8; 16]>) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        if owners.contains(&NO_OWNER) {
            // Business parts are of everybody.
            for share in &self.shares {
                *share.lock().unwrap_or_else(PoisonError::into_inner) = Share::default();
            }
            self.read_to.store(0, Ordering::SeqCst);
            return;
        }
        for owner in owners {
            let subject = SubjectId::from_bytes(*owner);
            self.share(&subject).remove(&subject);
        }
        self.missed.store(true, Ordering::SeqCst);
    }
}
