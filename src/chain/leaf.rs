//! Hashes of the RFC 6962 tree.
//!
//! Promises: leaves and inner nodes are hashed under different prefixes (RFC 6962 section 2.1), so no entry can pass for
//! an inner node. Must never hash anything but the stored bytes: an entry is not serialised again before it is hashed.

use crate::crypto::hash::{Digest, sha256, sha256_parts};

/// Leaf hash of an entry: SHA-256(0x00 || entry). It is both the link that the next entry carries and the tree's leaf.
pub fn leaf_hash(entry: &[u8]) -> Digest {
    sha256_parts(&[&[0x00], entry])
}

/// Hash of an inner node: SHA-256(0x01 || left || right).
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    let mut bytes = [0x01; 65];
    let (_, children) = bytes.split_at_mut(1);
    let (first, second) = children.split_at_mut(32);
    first.copy_from_slice(left.as_bytes());
    second.copy_from_slice(right.as_bytes());
    sha256(&bytes)
}

/// Root of the tree without leaves: SHA-256 of the empty string.
pub fn empty_root() -> Digest {
    sha256(b"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_match_the_known_vectors() {
        let hex = |digest: Digest| digest.to_string();
        assert_eq!(hex(leaf_hash(b"")), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
        assert_eq!(hex(empty_root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        let pair = node_hash(&leaf_hash(b""), &leaf_hash(&[0x00]));
        assert_eq!(hex(pair), "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125");
    }

    #[test]
    fn leaf_that_spells_a_node_is_not_that_node() {
        let (left, right) = (leaf_hash(b"a"), leaf_hash(b"b"));
        let mut spelled = left.as_bytes().to_vec();
        spelled.extend_from_slice(right.as_bytes());
        assert_ne!(leaf_hash(&spelled), node_hash(&left, &right));
        assert_ne!(node_hash(&left, &right), node_hash(&right, &left));
    }
}
