//! Keyed hashes that let equal things be found without being readable: duplicates, client record refs, identifiers,
//! suppressed values. HMAC-SHA-256 over deterministic CBOR, so that no two inputs share a preimage.
//!
//! Each purpose has its own random key (K_dedupe, K_ref, index, suppression, API-key pepper). The labels keep purposes apart
//! even if keys were confused; the formats without a label are fixed by the design and differ in shape from all others.

use std::fmt;

use super::cbor;
use super::hash::Digest;
use super::mac::{MacState, Message};
use super::secret::Secret;
use crate::domain::identifier::IdentifierKind;
use crate::domain::ids::EventId;

/// A MAC key, prepared once. Kept as hash state; the bytes given are wiped here.
pub struct MacKey(MacState);

impl MacKey {
    /// Prepares the key and drops, and so wipes, its bytes.
    pub fn new(key: Secret<32>) -> MacKey {
        MacKey(MacState::new(key.expose()))
    }

    /// Dedupe value of a posted event: CBOR[source, id]. `source` is never empty in an accepted event.
    pub fn dedupe(&self, source: &str, id: &str) -> [u8; 32] {
        self.mac(|out| {
            cbor::array(out, 2);
            cbor::text(out, source);
            cbor::text(out, id);
        })
    }

    /// Dedupe value of an event that the service itself writes: CBOR["", event id as bytes].
    pub fn dedupe_own(&self, event: &EventId) -> [u8; 32] {
        self.mac(|out| {
            cbor::array(out, 2);
            cbor::text(out, "");
            cbor::bytes(out, event.as_bytes());
        })
    }

    /// Dedupe value of a quarantined item: CBOR["quarantine", source or null, id or null, body digest]. It leaves the pair
    /// (source, id) free, so that a corrected retry is recorded.
    pub fn dedupe_quarantine(&self, source: Option<&str>, id: Option<&str>, body: &Digest) -> [u8; 32] {
        self.mac(|out| {
            cbor::array(out, 4);
            cbor::text(out, "quarantine");
            cbor::text_or_null(out, source);
            cbor::text_or_null(out, id);
            cbor::bytes(out, body.as_bytes());
        })
    }

    /// What a business part holds instead of a client's record id (`x-ref`): CBOR[kind, source, id], cut to 16 bytes.
    pub fn record_ref(&self, kind: &str, source: &str, id: &str) -> [u8; 16] {
        cut(self.mac(|out| {
            cbor::array(out, 3);
            cbor::text(out, kind);
            cbor::text(out, source);
            cbor::text(out, id);
        }))
    }

    /// Where the index finds an identifier: CBOR["blind-index", kind, value], cut to 16 bytes. `value` is normalised.
    pub fn blind_index(&self, kind: IdentifierKind, value: &str) -> [u8; 16] {
        cut(self.identifier("blind-index", kind, value))
    }

    /// What a suppression keeps of an identifier after erasure: CBOR["suppression", kind, value], all 32 bytes.
    pub fn suppression_token(&self, kind: IdentifierKind, value: &str) -> [u8; 32] {
        self.identifier("suppression", kind, value)
    }

    /// What an imported list keeps of a number, address or hash: CBOR["list", kind, value], cut to 16 bytes. One number has
    /// one token in every list of the ledger, so one look answers for all of them.
    pub fn list_token(&self, kind: ListKey, value: &[u8]) -> [u8; 16] {
        cut(self.mac(|out| {
            cbor::array(out, 3);
            cbor::text(out, "list");
            cbor::text(out, kind.name());
            cbor::bytes(out, value);
        }))
    }

    fn identifier(&self, label: &str, kind: IdentifierKind, value: &str) -> [u8; 32] {
        self.mac(|out| {
            cbor::array(out, 3);
            cbor::text(out, label);
            cbor::text(out, kind.name());
            cbor::text(out, value);
        })
    }

    pub(super) fn mac(&self, write: impl FnOnce(&mut Message)) -> [u8; 32] {
        self.0.sign(write)
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey(..)")
    }
}

/// What a token of a list is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListKey {
    /// One answer of a database, as its line.
    Answer,
    /// SHA-256 of an e-mail address, as the deletion platform hashes it.
    EmailHash,
    /// A number in E.164.
    Phone,
    /// SHA-256 of a number's last ten digits, as the deletion platform hashes it.
    PhoneHash,
}

impl ListKey {
    const fn name(self) -> &'static str {
        match self {
            ListKey::Answer => "answer",
            ListKey::EmailHash => "email-sha256",
            ListKey::Phone => "phone",
            ListKey::PhoneHash => "phone-sha256",
        }
    }
}

/// The first half of a MAC: 128 bits are enough where only the holder of the key can make values.
fn cut(mac: [u8; 32]) -> [u8; 16] {
    let mut out = [0; 16];
    out.copy_from_slice(&mac[..16]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn key(byte: u8) -> MacKey {
        MacKey::new(Secret::new([byte; 32]))
    }

    #[test]
    fn no_two_purposes_or_shapes_share_a_value() {
        let (key, event) = (key(1), EventId::from_bytes([2; 16]));
        let body = Digest::from_bytes([3; 32]);
        let values = [
            key.dedupe("a", "bc"),
            key.dedupe("ab", "c"),
            key.dedupe("", "\u{2}\u{2}\u{2}\u{2}\u{2}\u{2}\u{2}\u{2}\u{2}\u{2}\u{2}\u{2}\u{2}\u{2}\u{2}\u{2}"),
            key.dedupe_own(&event),
            key.dedupe_quarantine(None, None, &body),
            key.dedupe_quarantine(Some("a"), None, &body),
            key.dedupe_quarantine(None, Some("a"), &body),
            key.dedupe_quarantine(Some("a"), Some("a"), &body),
            key.dedupe_quarantine(Some("a"), Some("a"), &Digest::ZERO),
            key.suppression_token(IdentifierKind::Phone, "+12125550100"),
            key.suppression_token(IdentifierKind::Ref, "+12125550100"),
        ];
        assert_eq!(BTreeSet::from(values).len(), values.len());
        let short = [
            key.record_ref("sale", "/crm", "1"),
            key.record_ref("invoice", "/crm", "1"),
            key.record_ref("sale", "/crm1", ""),
            key.blind_index(IdentifierKind::Phone, "+12125550100"),
            key.blind_index(IdentifierKind::Ref, "+12125550100"),
            cut(key.suppression_token(IdentifierKind::Phone, "+12125550100")),
            key.list_token(ListKey::Phone, b"+12125550100"),
            key.list_token(ListKey::PhoneHash, b"+12125550100"),
            key.list_token(ListKey::EmailHash, b"+12125550100"),
            key.list_token(ListKey::Answer, b"+12125550100"),
        ];
        assert_eq!(BTreeSet::from(short).len(), short.len());
    }

    #[test]
    fn another_key_gives_another_value() {
        assert_eq!(key(1).dedupe("/s", "1"), key(1).dedupe("/s", "1"));
        assert_ne!(key(1).dedupe("/s", "1"), key(2).dedupe("/s", "1"));
        assert_eq!(format!("{:?}", key(1)), "MacKey(..)");
    }
}
