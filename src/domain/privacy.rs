//! A rights request from receipt to answer: what may follow what. Clocks are policy; here is only the order of acts.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::ids::SubjectId;
use super::time::Timestamp;

/// Whether the person was identified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Identity {
    /// Yes.
    Verified,
    /// It was tried and failed; it may be tried again.
    Failed,
    /// The right needs none.
    NotRequired,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// Position of the entry that says so.
    pub position: u64,
    /// When.
    pub at: Timestamp,
    /// Denied, wholly or in part.
    pub denied: bool,
    /// Result or basis, as in `privacy.request_completed` and `privacy.request_denied`.
    pub how: String,
    /// Export that answered it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub export: Option<String>,
    /// Erasure that answered it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub erasure: Option<String>,
    /// Grounds on which something was retained.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub retained: Vec<String>,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Keyed hash of its reference.
    pub id: [u8; 16],
    /// Whose.
    pub subject: SubjectId,
    /// Right, as in `privacy.request_received`.
    pub right: String,
    /// Regime, as there.
    pub regime: String,
    /// Position of `privacy.request_received`.
    pub position: u64,
    /// When the clock began.
    pub received: Timestamp,
    /// Identification, as it stands.
    pub identity: Option<Identity>,
    /// First notice to the person about it.
    pub acknowledged: Option<Timestamp>,
    /// End of the extension.
    pub extended: Option<Timestamp>,
    /// Recipients told.
    pub told: BTreeSet<String>,
    /// The answer.
    pub answered: Option<Answered>,
}

/// Why an act cannot follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It has its answer.
    #[error("the request was answered already")]
    Answered,
    /// The person must be identified first.
    #[error("the person must be identified before this right is given")]
    NotVerified,
    /// It was extended before.
    #[error("the request was extended already")]
    ExtendedBefore,
    /// The law gives no extension.
    #[error("this clock has no extension")]
    NoExtension,
    /// The first clock is over.
    #[error("an extension must be told before the first clock ends")]
    ExtensionLate,
    /// It goes further than the law.
    #[error("the extension ends later than the law allows")]
    ExtensionLong,
}

impl Request {
    /// Whether it waits for its answer.
    pub const fn is_open(&self) -> bool {
        self.answered.is_none()
    }

    /// Whether anything may still be done about it.
    ///
    /// # Errors
    /// [`RequestError::Answered`].
    pub const fn check_open(&self) -> Result<(), RequestError> {
        if self.is_open() { Ok(()) } else { Err(RequestError::Answered) }
    }

    /// Whether it may be granted; `needs_identity` is what the clock says.
    ///
    /// # Errors
    /// [`RequestError::NotVerified`] where the person must be identified and is not.
    pub fn check_grant(&self, needs_identity: bool) -> Result<(), RequestError> {
        self.check_open()?;
        let known = matches!(self.identity, Some(Identity::Verified | Identity::NotRequired));
        if needs_identity && !known { Err(RequestError::NotVerified) } else { Ok(()) }
    }

    /// Whether it may be extended to `until`, told at `now`.
    ///
    /// # Errors
    /// [`RequestError`] names the rule.
    pub fn check_extension(
        &self,
        until: Timestamp,
        now: Timestamp,
        answer_by: Timestamp,
        extend_to: Option<Timestamp>,
    ) -> Result<(), RequestError> {
        self.check_open()?;
        let latest = extend_to.ok_or(RequestError::NoExtension)?;
        if self.extended.is_some() {
            Err(RequestError::ExtendedBefore)
        } else if now > answer_by {
            Err(RequestError::ExtensionLate)
        } else if until > latest {
            Err(RequestError::ExtensionLong)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: u8) -> Timestamp {
        Timestamp::from_date(2026, 11, day).unwrap()
    }

    fn request() -> Request {
        Request {
            id: [1; 16],
            subject: SubjectId::from_bytes([2; 16]),
            right: "access".into(),
            regime: "gdpr".into(),
            position: 3,
            received: at(1),
            identity: None,
            acknowledged: None,
            extended: None,
            told: BTreeSet::new(),
            answered: None,
        }
    }

    #[test]
    fn identity_comes_before_the_answer() {
        let mut request = request();
        assert_eq!(request.check_grant(true), Err(RequestError::NotVerified));
        assert_eq!(request.check_grant(false), Ok(()));
        request.identity = Some(Identity::Failed);
        assert_eq!(request.check_grant(true), Err(RequestError::NotVerified));
        request.identity = Some(Identity::Verified);
        assert_eq!(request.check_grant(true), Ok(()));
    }

    #[test]
    fn an_extension_is_told_in_time_once_and_not_too_long() {
        let mut request = request();
        assert_eq!(request.check_extension(at(20), at(5), at(10), None), Err(RequestError::NoExtension));
        assert_eq!(request.check_extension(at(20), at(11), at(10), Some(at(20))), Err(RequestError::ExtensionLate));
        assert_eq!(request.check_extension(at(21), at(5), at(10), Some(at(20))), Err(RequestError::ExtensionLong));
        assert_eq!(request.check_extension(at(20), at(10), at(10), Some(at(20))), Ok(()));
        request.extended = Some(at(20));
        assert_eq!(request.check_extension(at(20), at(5), at(10), Some(at(20))), Err(RequestError::ExtendedBefore));
    }
}
