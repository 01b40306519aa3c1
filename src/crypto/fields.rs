//! The by-field tree of a personal part: lets a bundle show one field and prove that it was in the sealed part, while the
//! others stay hidden.
//!
//! Leaves are scalars and empty containers; path = RFC 6901 pointer, value = its RFC 8785 text. Leaf = SHA-256(0x00 ||
//! CBOR[path, value, salt]), sorted by path bytes, tree as RFC 6962. The salt comes from the part's secret: a root tells
//! nothing about values, and erasure ends the salts with the key.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::derive::PartSecret;
use super::hash::{Digest, sha256};
use super::json::Leaves;
use super::{cbor, hex32};

/// Longest proof accepted: a part cannot have more leaves than a 64-bit index.
const PROOF_LEN_MAX: usize = 64;

/// Why there is no tree or no proof. Never names a path or a value: unknown properties are personal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// No leaf has this path.
    #[error("no field at this path")]
    NoField,
    /// The text is not RFC 8785 JSON.
    #[error("not canonical json at byte {at}")]
    NotCanonical {
        /// Offset of the first byte that is wrong.
        at: usize,
    },
    /// More levels than can be read.
    #[error("json nested too deeply")]
    TooDeep,
}

/// One field of a part, with what a stranger needs to check it against `fields_root` of the entry.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldDisclosure {
    /// RFC 6901 pointer into the part.
    pub path: String,
    /// RFC 8785 text of the value.
    pub value: String,
    /// The salt of this path; reveals nothing about others.
    #[serde(with = "hex32")]
    pub salt: [u8; 32],
    /// Index of the leaf, from 0.
    pub index: u64,
    /// Leaves in the tree.
    pub size: u64,
    /// Siblings from the leaf up (RFC 6962 section 2.1.1).
    pub proof: Vec<Digest>,
}

/// The root over all fields of a personal part, as it stands in the entry.
///
/// # Errors
/// When `canonical_json` is not RFC 8785 text.
pub fn field_root(secret: &PartSecret, canonical_json: &[u8]) -> Result<Digest, FieldError> {
    let mut level = leaf_hashes(secret, &Leaves::parse(canonical_json)?);
    while level.len() > 1 {
        level_up(&mut level);
    }
    // A document has at least one leaf.
    level.first().copied().ok_or(FieldError::NoField)
}

/// The paths that [`field_proof`] can disclose, in the order of their bytes.
///
/// # Errors
/// When `canonical_json` is not RFC 8785 text.
pub fn field_paths(canonical_json: &[u8]) -> Result<Vec<String>, FieldError> {
    Ok(Leaves::parse(canonical_json)?.iter().map(|(path, _)| path.to_owned()).collect())
}

/// The field at `path`, to be disclosed alone.
///
/// # Errors
/// When no leaf is at `path` (a container that is not empty is none) or the text is not RFC 8785.
pub fn field_proof(secret: &PartSecret, canonical_json: &[u8], path: &str) -> Result<FieldDisclosure, FieldError> {
    let leaves = Leaves::parse(canonical_json)?;
    let found = leaves.iter().enumerate().find(|(_, (found, _))| *found == path);
    let (mut at, (_, value)) = found.ok_or(FieldError::NoField)?;
    let mut level = leaf_hashes(secret, &leaves);
    let (index, size) = (at as u64, level.len() as u64);
    let mut proof = Vec::new();
    while level.len() > 1 {
        // The last of an odd level has no sibling and goes up unchanged.
        proof.extend(level.get(at ^ 1).copied());
        level_up(&mut level);
        at >>= 1;
    }
    Ok(FieldDisclosure { path: path.to_owned(), value: value.to_owned(), salt: secret.salt(path), index, size, proof })
}

impl FieldDisclosure {
    /// Whether this field, at this path with this value, is under `root` (RFC 9162 section 2.1.3.2).
    pub fn verify(&self, root: &Digest) -> bool {
        if self.index >= self.size || self.proof.len() > PROOF_LEN_MAX {
            return false;
        }
        let (mut node, mut last) = (self.index, self.size - 1);
        let mut hash = leaf_hash(&mut Vec::new(), &self.path, &self.value, &self.salt);
        for sibling in &self.proof {
            if last == 0 {
                return false;
            }
            if node & 1 == 1 || node == last {
                hash = node_hash(sibling, &hash);
                while node & 1 == 0 && node != 0 {
                    node >>= 1;
                    last >>= 1;
                }
            } else {
                hash = node_hash(&hash, sibling);
            }
            node >>= 1;
            last >>= 1;
        }
        last == 0 && hash == *root
    }
}

impl std::fmt::Debug for FieldDisclosure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FieldDisclosure({} of {}, ..)", self.index, self.size)
    }
}

fn leaf_hashes(secret: &PartSecret, leaves: &Leaves<'_>) -> Vec<Digest> {
    let mut preimage = Zeroizing::new(Vec::with_capacity(256));
    leaves.iter().map(|(path, value)| leaf_hash(&mut preimage, path, value, &secret.salt(path))).collect()
}

/// SHA-256(0x00 || CBOR[path, value, salt]); `preimage` is room to write it in.
fn leaf_hash(preimage: &mut Vec<u8>, path: &str, value: &str, salt: &[u8; 32]) -> Digest {
    preimage.clear();
    preimage.push(0x00);
    cbor::array(preimage, 3);
    cbor::text(preimage, path);
    cbor::text(preimage, value);
    cbor::bytes(preimage, salt);
    sha256(preimage)
}

fn node_hash(left: &Digest, right: &Digest) -> Digest {
    let mut preimage = [0x01; 65];
    preimage[1..33].copy_from_slice(left.as_bytes());
    preimage[33..].copy_from_slice(right.as_bytes());
    sha256(&preimage)
}

/// Pairs up one level in place. Carrying the odd last one up unchanged gives the splits of RFC 6962 section 2.1.
fn level_up(level: &mut Vec<Digest>) {
    let pairs = level.len() / 2;
    for pair in 0..pairs {
        level[pair] = node_hash(&level[2 * pair], &level[2 * pair + 1]);
    }
    if level.len() % 2 == 1 {
        level[pairs] = level[2 * pairs];
        level.truncate(pairs + 1);
    } else {
        level.truncate(pairs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> PartSecret {
        PartSecret::from_disclosed([7; 32])
    }

    /// RFC 6962 section 2.1 word for word: split at the largest power of two below n.
    fn tree_hash(leaves: &[Digest]) -> Digest {
        if let [leaf] = leaves {
            return *leaf;
        }
        let split = leaves.len().next_power_of_two() / 2;
        node_hash(&tree_hash(&leaves[..split]), &tree_hash(&leaves[split..]))
    }

    fn document(fields: usize) -> Vec<u8> {
        let items: Vec<String> = (0..fields).map(|value| value.to_string()).collect();
        format!("[{}]", items.join(",")).into_bytes()
    }

    #[test]
    fn root_is_the_rfc_6962_tree_over_salted_leaves() {
        for fields in 1..40 {
            let json = document(fields);
            let mut paths: Vec<(String, String)> = (0..fields).map(|n| (format!("/{n}"), n.to_string())).collect();
            paths.sort();
            let leaves: Vec<Digest> = paths
                .iter()
                .map(|(path, value)| leaf_hash(&mut Vec::new(), path, value, &secret().salt(path)))
                .collect();
            assert_eq!(field_root(&secret(), &json).unwrap(), tree_hash(&leaves), "{fields} fields");
        }
    }

    #[test]
    fn every_field_proves_itself_and_nothing_else() {
        for fields in 1..40 {
            let json = document(fields);
            let root = field_root(&secret(), &json).unwrap();
            for path in field_paths(&json).unwrap() {
                let shown = field_proof(&secret(), &json, &path).unwrap();
                assert!(shown.verify(&root), "{path} of {fields}");
                let forged = [
                    FieldDisclosure { value: "99".into(), ..shown.clone() },
                    FieldDisclosure { path: "/x".into(), ..shown.clone() },
                    FieldDisclosure { salt: [0; 32], ..shown.clone() },
                    FieldDisclosure { size: shown.index, ..shown.clone() },
                    FieldDisclosure { size: shown.size * 2 + 1, ..shown.clone() },
                    FieldDisclosure { proof: [&shown.proof[..], &[root]].concat(), ..shown.clone() },
                    FieldDisclosure { proof: vec![root; 65], ..shown.clone() },
                ];
                assert!(!forged.iter().any(|forged| forged.verify(&root)), "{path} of {fields}");
                for at in 0..shown.proof.len() {
                    let mut forged = shown.clone();
                    forged.proof[at] = Digest::ZERO;
                    assert!(!forged.verify(&root));
                    forged.proof.remove(at);
                    assert!(!forged.verify(&root));
                }
            }
        }
    }

    #[test]
    fn another_secret_or_value_gives_another_root() {
        let root = field_root(&secret(), br#"{"a":1,"b":2}"#).unwrap();
        assert_ne!(root, field_root(&secret(), br#"{"a":1,"b":3}"#).unwrap());
        assert_ne!(root, field_root(&secret(), br#"{"a":1,"c":2}"#).unwrap());
        assert_ne!(root, field_root(&secret(), br#"{"a":1}"#).unwrap());
        assert_ne!(root, field_root(&PartSecret::from_disclosed([8; 32]), br#"{"a":1,"b":2}"#).unwrap());
    }

    #[test]
    fn containers_and_absent_paths_cannot_be_disclosed() {
        let json = br#"{"a":{"b":1}}"#;
        for path in ["", "/a", "/b", "a/b", "/a/b/"] {
            assert_eq!(field_proof(&secret(), json, path).unwrap_err(), FieldError::NoField);
        }
        assert_eq!(field_root(&secret(), b"{ }").unwrap_err(), FieldError::NotCanonical { at: 1 });
    }

    #[test]
    fn disclosure_round_trips_as_json_and_hides_in_debug() {
        let json = br#"{"name":"Ada","zip":"00501"}"#;
        let shown = field_proof(&secret(), json, "/zip").unwrap();
        let text = serde_json::to_string(&shown).unwrap();
        assert_eq!(serde_json::from_str::<FieldDisclosure>(&text).unwrap(), shown);
        assert!(serde_json::from_str::<FieldDisclosure>(&text.replacen("\"salt\":\"", "\"salt\":\"0", 1)).is_err());
        assert_eq!(format!("{shown:?}"), "FieldDisclosure(1 of 2, ..)");
    }
}
