//! Which entries say that a key was destroyed, and so why a part may be missing.
//!
//! Promises: a part is excused only by a later entry that names its key: `subject.erased`, `retention.completed`, and for
//! quarantined items also `quarantine.discarded` and `key.destroyed`. Must never excuse a part for its class or its age.

use serde::Deserialize;

use crate::domain::ids::KeyId;
use crate::domain::parts::RetentionClass;
use crate::exports::parts::{PartError, data_of};

/// The keys that an entry says were destroyed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cover {
    /// Their ids.
    pub keys: Vec<KeyId>,
    /// It excuses parts of class quarantine only.
    pub items_only: bool,
}

impl Cover {
    /// Whether it excuses a part of this class under this key.
    pub fn excuses(&self, key: &KeyId, class: RetentionClass) -> bool {
        (!self.items_only || class == RetentionClass::Quarantine) && self.keys.contains(key)
    }
}

/// Whether entries of a type can excuse parts.
pub fn is_cover_type(event_type: &str) -> bool {
    matches!(event_type, "subject.erased" | "retention.completed" | "quarantine.discarded" | "key.destroyed")
}

#[derive(Deserialize)]
struct Erased {
    keys: Vec<ErasedKey>,
}

#[derive(Deserialize)]
struct ErasedKey {
    key: KeyId,
}

#[derive(Deserialize)]
struct Retained {
    #[serde(default)]
    key_ids: Vec<KeyId>,
}

#[derive(Deserialize)]
struct Discarded {
    key: KeyId,
}

#[derive(Deserialize)]
struct Destroyed {
    key: KeyId,
    kind: String,
    reason: String,
}

/// What an entry of one of the types covers, from its public part.
///
/// # Errors
/// [`PartError::Plaintext`] if the public part is not that of its type.
pub fn cover_of(event_type: &str, public: &[u8]) -> Result<Cover, PartError> {
    match event_type {
        "subject.erased" => {
            let keys = data_of::<Erased>(public)?.keys.into_iter().map(|found| found.key).collect();
            Ok(Cover { keys, items_only: false })
        }
        "retention.completed" => Ok(Cover { keys: data_of::<Retained>(public)?.key_ids, items_only: false }),
        "quarantine.discarded" => Ok(Cover { keys: vec![data_of::<Discarded>(public)?.key], items_only: true }),
        "key.destroyed" => {
            let found = data_of::<Destroyed>(public)?;
            // Only an item that is done may lose its key this way: anything else would be an erasure without certificate.
            let done = found.kind == "dek" && found.reason == "item_done";
            Ok(Cover { keys: if done { vec![found.key] } else { Vec::new() }, items_only: true })
        }
        _ => Ok(Cover::default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: KeyId = KeyId::from_bytes([7; 16]);

    fn cover(event_type: &str, data: serde_json::Value) -> Cover {
        cover_of(event_type, serde_json::json!({ "data": data }).to_string().as_bytes()).unwrap()
    }

    #[test]
    fn examples_of_the_schemas_cover_the_keys_they_name() {
        for (event_type, file) in [
            ("subject.erased", include_str!("../../schemas/subject.erased.v1.json")),
            ("retention.completed", include_str!("../../schemas/retention.completed.v1.json")),
            ("quarantine.discarded", include_str!("../../schemas/quarantine.discarded.v1.json")),
        ] {
            let schema: serde_json::Value = serde_json::from_str(file).unwrap();
            let found = cover(event_type, schema["examples"][0]["data"].clone());
            assert!(is_cover_type(event_type) && !found.keys.is_empty(), "{event_type}");
            let class = if found.items_only { RetentionClass::Quarantine } else { RetentionClass::Profile };
            assert!(found.excuses(&found.keys[0], class) && !found.excuses(&KEY, class));
        }
    }

    #[test]
    fn discarding_an_item_excuses_no_person() {
        let found = cover("quarantine.discarded", serde_json::json!({"item": 1, "reason": "test", "key": KEY}));
        assert!(found.excuses(&KEY, RetentionClass::Quarantine) && !found.excuses(&KEY, RetentionClass::Consent));
        let orphan = cover("key.destroyed", serde_json::json!({"key": KEY, "kind": "dek", "reason": "orphan"}));
        assert!(orphan.keys.is_empty());
        assert!(cover("consent.granted", serde_json::json!({"key": KEY})).keys.is_empty());
    }
}
