//! Texts that entries name by their hash: notices, disclosures, agreements, scripts.
//!
//! Promises: a text is taken only under its own SHA-256, and only if a part that is shown names that hash, in a member whose
//! name ends in `sha256`; so a text cannot be exchanged for another. Must never be taken for what a person saw: that the
//! text was shown is what the poster of the entry said.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::crypto::fields::FieldDisclosure;
use crate::crypto::hash::{Digest, sha256};

/// What parts shown say of texts.
#[derive(Debug, Clone, Default)]
pub struct TextsNamed {
    /// Hashes that are named.
    pub digests: BTreeSet<Digest>,
    /// Texts that stand in the parts themselves, beside their hash.
    pub texts: BTreeMap<Digest, Vec<u8>>,
}

impl TextsNamed {
    /// Takes a part that is shown whole: JSON, or nothing is taken.
    pub fn take_json(&mut self, plaintext: &[u8]) {
        if let Ok(value) = serde_json::from_slice::<Value>(plaintext) {
            self.take_value(&value);
        }
    }

    /// Takes single fields of a part.
    pub fn take_fields(&mut self, fields: &[FieldDisclosure]) {
        let texts: Vec<(&str, String)> = fields
            .iter()
            .filter_map(|field| Some((field.path.as_str(), serde_json::from_str::<String>(&field.value).ok()?)))
            .collect();
        for (path, value) in &texts {
            let Some(stem) = path.strip_suffix("sha256") else { continue };
            let beside = stem.strip_suffix('_').unwrap_or(stem);
            let text = texts.iter().find(|(path, _)| *path == beside).map(|(_, text)| text.as_str());
            self.take(value, text);
        }
    }

    fn take_value(&mut self, value: &Value) {
        match value {
            Value::Object(members) => {
                for (name, inner) in members {
                    if let (Some(stem), Value::String(hex)) = (name.strip_suffix("sha256"), inner) {
                        let beside = stem.strip_suffix('_').unwrap_or(stem);
                        self.take(hex, members.get(beside).and_then(Value::as_str));
                    }
                    self.take_value(inner);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.take_value(item)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// `hex` names a text; `text` stands beside it, and counts only if it is that text.
    fn take(&mut self, hex: &str, text: Option<&str>) {
        let Ok(digest) = hex.parse::<Digest>() else { return };
        self.digests.insert(digest);
        if let Some(text) = text.filter(|text| sha256(text.as_bytes()) == digest) {
            self.texts.insert(digest, text.as_bytes().to_vec());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_taken_only_under_their_own_hash() {
        let (good, other) = (sha256(b"I agree"), sha256(b"I do not"));
        let json = serde_json::json!({ "data": { "evidence": { "text": "I agree", "text_sha256": good } },
            "list": [{ "file_sha256": other, "file": "I agree" }], "sha256": "short", "digest": other });
        let mut named = TextsNamed::default();
        named.take_json(json.to_string().as_bytes());
        named.take_json(b"not json");
        assert_eq!(named.digests, BTreeSet::from([good, other]));
        assert_eq!(named.texts, BTreeMap::from([(good, b"I agree".to_vec())]));
    }

    #[test]
    fn single_fields_name_texts_too() {
        let field = |path: &str, value: String| FieldDisclosure {
            path: path.to_owned(),
            value: format!("\"{value}\""),
            salt: [0; 32],
            index: 0,
            size: 2,
            proof: Vec::new(),
        };
        let digest = sha256(b"I agree");
        let mut named = TextsNamed::default();
        named.take_fields(&[field("/data/text_sha256", digest.to_string())]);
        assert!(named.digests.contains(&digest) && named.texts.is_empty());
        named.take_fields(&[field("/data/text", "I agree".to_owned()), field("/data/text_sha256", digest.to_string())]);
        assert_eq!(named.texts.len(), 1);
    }
}
