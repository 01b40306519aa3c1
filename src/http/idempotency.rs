//! Remembered answers by `Idempotency-Key`: a second request with the same key and body gets the first one's answer.
//!
//! A convenience, not the safety: events are recognised by their own (source, id) for ever, on every server, after every
//! restart. This store lives in memory, is bounded, and forgets after a day.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use bytes::Bytes;

use super::codes;
use super::error::Problem;
use crate::crypto::hash::{Digest, sha256_parts};
use crate::domain::ids::PrincipalId;

/// How long an answer is remembered.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);
const ANSWERS_MAX: usize = 10_000;
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Longest key taken.
pub const KEY_BYTES_MAX: usize = 255;

/// An answer worth giving again.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its media type.
    pub content_type: &'static str,
    /// Its body.
    pub body: Bytes,
}

#[derive(Debug)]
struct Slot {
    body: Digest,
    answer: Option<Arc<Answer>>,
    since: Duration,
}

#[derive(Debug, Default)]
struct Slots {
    by_key: HashMap<Digest, Slot>,
    bytes: usize,
}

/// Remembered answers of one process.
#[derive(Debug, Default)]
pub struct Idempotency(Mutex<Slots>);

/// What a request with a key is to do.
pub enum Turn<'a> {
    /// It is the first: carry it out and tell the ticket.
    First(Ticket<'a>),
    /// It was answered before.
    Again(Arc<Answer>),
}

/// The right to answer for a key. Dropped without an answer, the key is free again.
pub struct Ticket<'a> {
    store: &'a Idempotency,
    key: Digest,
    done: bool,
}

impl Idempotency {
    /// Takes a turn for a key.
    ///
    /// # Errors
    /// `idempotency_key_reused` for another body, `idempotency_key_in_use` while the first request runs.
    pub fn turn(
        &self,
        principal: PrincipalId,
        key: &str,
        route: &str,
        body: Digest,
        elapsed: Duration,
    ) -> Result<Turn<'_>, Problem> {
        let key = sha256_parts(&[principal.as_bytes(), route.as_bytes(), b"\0", key.as_bytes()]);
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match slots.by_key.get(&key) {
            Some(slot) if slot.body != body => {
                let detail =
                    "This Idempotency-Key was used with another request body; use a new key for a new request.";
                return Err(Problem::new(codes::IDEMPOTENCY_KEY_REUSED, detail));
            }
            Some(Slot { answer: Some(answer), .. }) => return Ok(Turn::Again(Arc::clone(answer))),
            Some(_) => {
                let detail = "The first request with this Idempotency-Key is still being answered.";
                return Err(Problem::new(codes::IDEMPOTENCY_KEY_IN_USE, detail));
            }
            None => {}
        }
        while slots.by_key.len() >= ANSWERS_MAX || slots.bytes > ANSWER_BYTES_MAX {
            let oldest =
                slots.by_key.iter().filter(|(_, slot)| slot.answer.is_some()).min_by_key(|(_, slot)| slot.since);
            let Some(oldest) = oldest.map(|(key, _)| *key) else { break };
            slots.remove(&oldest);
        }
        slots.by_key.insert(key, Slot { body, answer: None, since: elapsed });
        Ok(Turn::First(Ticket { store: self, key, done: false }))
    }

    /// Drops what is over.
    pub fn expire(&self, elapsed: Duration) {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let over: Vec<Digest> = slots
            .by_key
            .iter()
            .filter(|(_, slot)| elapsed.saturating_sub(slot.since) > REMEMBERED)
            .map(|(key, _)| *key)
            .collect();
        over.iter().for_each(|key| slots.remove(key));
    }
}

impl Slots {
    fn remove(&mut self, key: &Digest) {
        if let Some(Slot { answer: Some(answer), .. }) = self.by_key.remove(key) {
            self.bytes = self.bytes.saturating_sub(answer.body.len());
        }
    }
}

impl Ticket<'_> {
    /// Remembers the answer. Answers that ask to try again are not remembered.
    pub fn answered(mut self, answer: Answer) {
        if answer.status.is_server_error() {
            return;
        }
        let mut slots = self.store.0.lock().unwrap_or_else(PoisonError::into_inner);
        slots.bytes += answer.body.len();
        if let Some(slot) = slots.by_key.get_mut(&self.key) {
            slot.answer = Some(Arc::new(answer));
        }
        self.done = true;
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.store.0.lock().unwrap_or_else(PoisonError::into_inner).by_key.remove(&self.key);
        }
    }
}

/// The key's text: a structured-field string, quoted, or the bare text that most tools send.
///
/// # Errors
/// `idempotency_key_invalid` when empty, too long or not printable ASCII.
pub fn key_of(value: &[u8]) -> Result<&str, Problem> {
    let invalid = || {
        let detail = format!("The Idempotency-Key is 1 to {KEY_BYTES_MAX} printable ASCII characters, quoted or not.");
        Problem::new(codes::IDEMPOTENCY_KEY_INVALID, detail)
    };
    let text = std::str::from_utf8(value).map_err(|_| invalid())?.trim();
    let text = text.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(text);
    let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if text.is_empty() || text.len() > KEY_BYTES_MAX || !printable { Err(invalid()) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::hash::sha256;

    const WHO: PrincipalId = PrincipalId::from_bytes([1; 16]);

    fn answer() -> Answer {
        Answer { status: StatusCode::CREATED, content_type: "application/json", body: Bytes::from_static(b"{}") }
    }

    #[test]
    fn a_key_answers_again_refuses_other_bodies_and_is_free_after_a_drop() {
        let store = Idempotency::default();
        let (a, b) = (sha256(b"a"), sha256(b"b"));
        let Ok(Turn::First(ticket)) = store.turn(WHO, "k", "r", a, Duration::ZERO) else { panic!("not first") };
        assert_eq!(store.turn(WHO, "k", "r", a, Duration::ZERO).err().unwrap().code, codes::IDEMPOTENCY_KEY_IN_USE);
        ticket.answered(answer());
        assert!(matches!(store.turn(WHO, "k", "r", a, Duration::ZERO), Ok(Turn::Again(_))));
        assert_eq!(store.turn(WHO, "k", "r", b, Duration::ZERO).err().unwrap().code, codes::IDEMPOTENCY_KEY_REUSED);
        let other = PrincipalId::from_bytes([2; 16]);
        let Ok(Turn::First(ticket)) = store.turn(other, "k", "r", b, Duration::ZERO) else { panic!("keys are shared") };
        drop(ticket);
        assert!(matches!(store.turn(other, "k", "r", a, Duration::ZERO), Ok(Turn::First(_))));
        store.expire(REMEMBERED + Duration::from_secs(1));
        assert!(matches!(store.turn(WHO, "k", "r", b, Duration::ZERO), Ok(Turn::First(_))));
    }

    #[test]
    fn keys_are_taken_quoted_or_bare() {
        assert_eq!(key_of(b"\"abc\"").unwrap(), "abc");
        assert_eq!(key_of(b" abc ").unwrap(), "abc");
        assert!(key_of(b"\"\"").is_err());
        assert!(key_of(&[b'a'; 256]).is_err());
        assert!(key_of("é".as_bytes()).is_err());
    }
}
