//! Console sessions: an opaque random token in a cookie, its digest here. They live in memory: a restart logs everybody out.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::keys::Known;
use crate::crypto::hash::{Digest, sha256};
use crate::domain::ids::LedgerId;

/// How long a session lives.
pub const SESSION: Duration = Duration::from_secs(12 * 3600);
const SESSIONS_MAX: usize = 1_000;

/// Who is logged in, on which ledger.
#[derive(Debug, Clone, Copy)]
pub struct Session {
    /// The ledger.
    pub ledger: LedgerId,
    /// The key that logged in; checked again at each request, so a revoked key ends its sessions.
    pub known: Known,
    ends: Duration,
}

/// Open sessions by the digest of their token.
#[derive(Debug, Default)]
pub struct Sessions(Mutex<HashMap<Digest, Session>>);

impl Sessions {
    /// Begins a session and gives its token.
    pub fn begin(&self, ledger: LedgerId, known: Known, random: [u8; 32], elapsed: Duration) -> String {
        let token = data_encoding::BASE64URL_NOPAD.encode(&random);
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.len() >= SESSIONS_MAX {
            let oldest = sessions.iter().min_by_key(|(_, session)| session.ends).map(|(digest, _)| *digest);
            oldest.and_then(|digest| sessions.remove(&digest));
        }
        sessions.insert(sha256(token.as_bytes()), Session { ledger, known, ends: elapsed + SESSION });
        token
    }

    /// The session of a token.
    pub fn find(&self, token: &str, elapsed: Duration) -> Option<Session> {
        let sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.get(&sha256(token.as_bytes())).filter(|session| session.ends > elapsed).copied()
    }

    /// Ends a session.
    pub fn end(&self, token: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&sha256(token.as_bytes()));
    }

    /// Drops what is over.
    pub fn expire(&self, elapsed: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, session| session.ends > elapsed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::PrincipalId;
    use crate::policy::access::Role;

    #[test]
    fn a_session_ends_by_time_and_by_hand() {
        let sessions = Sessions::default();
        let known = Known { principal: PrincipalId::from_bytes([1; 16]), role: Role::Reader };
        let ledger = LedgerId::from_bytes([2; 16]);
        let token = sessions.begin(ledger, known, [3; 32], Duration::ZERO);
        assert_eq!(sessions.find(&token, Duration::from_secs(1)).map(|session| session.ledger), Some(ledger));
        assert!(sessions.find("other", Duration::ZERO).is_none());
        assert!(sessions.find(&token, SESSION).is_none());
        sessions.end(&token);
        assert!(sessions.find(&token, Duration::ZERO).is_none());
    }
}
