//! Checks this layer against the vectors of `ops/format-crypto.md`, which `tests/format/crypto_vectors.py` recomputes without
//! any of our code. A vector that is missing, or that nobody checks, fails.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use data_encoding::HEXLOWER;
use ring::hmac;

use super::blind::MacKey;
use super::derive::{Dek, PartSecret};
use super::fields::{FieldDisclosure, field_paths, field_proof, field_root};
use super::hash::{Digest, sha256};
use super::keyring::Keyring;
use super::seal::{PartContext, associated_data, open, seal};
use super::secret::Secret;
use super::sign::{SigningKey, verify};
use super::token;
use crate::domain::identifier::{Identifier, IdentifierKind};
use crate::domain::ids::{EventId, KeyId, LedgerId, SubjectId};
use crate::domain::parts::RetentionClass;

const DOCUMENT: &str = include_str!("../../ops/format-crypto.md");

struct Vectors {
    given: BTreeMap<&'static str, Vec<u8>>,
    used: RefCell<BTreeSet<String>>,
}

impl Vectors {
    fn read() -> Vectors {
        let mut given = BTreeMap::new();
        let mut inside = false;
        for line in DOCUMENT.lines() {
            match (inside, line) {
                (false, "```vectors") => inside = true,
                (true, "```") => inside = false,
                (true, line) => {
                    let (name, hex) = line.split_once(" = ").unwrap();
                    let repeated = given.insert(name, HEXLOWER.decode(hex.as_bytes()).unwrap());
                    assert!(repeated.is_none(), "{name} stands twice");
                }
                (false, _) => {}
            }
        }
        Vectors { given, used: RefCell::default() }
    }

    fn bytes(&self, name: &str) -> &[u8] {
        self.used.borrow_mut().insert(name.to_owned());
        self.given.get(name).unwrap_or_else(|| panic!("{name} is missing"))
    }

    fn array<const N: usize>(&self, name: &str) -> [u8; N] {
        self.bytes(name).try_into().unwrap_or_else(|_| panic!("{name} has a wrong length"))
    }

    fn text(&self, name: &str) -> &str {
        std::str::from_utf8(self.bytes(name)).unwrap()
    }

    fn check(&self, name: &str, computed: &[u8]) {
        assert_eq!(HEXLOWER.encode(computed), HEXLOWER.encode(self.bytes(name)), "{name}");
    }
}

#[test]
fn every_vector_of_the_format_document_holds() {
    let vectors = Vectors::read();
    let secret = check_part(&vectors);
    check_fields(&vectors, &secret);
    check_keyed_hashes(&vectors);
    check_keys(&vectors);
    let unused: Vec<_> = vectors.given.keys().filter(|name| !vectors.used.borrow().contains(**name)).collect();
    assert!(unused.is_empty(), "nobody checks {unused:?}");
}

fn check_part(vectors: &Vectors) -> PartSecret {
    // Kept inside a `Dek`, so it is extracted here by hand.
    let salt = hmac::Key::new(hmac::HMAC_SHA256, b"tallystick/v1");
    vectors.check("prk", hmac::sign(&salt, vectors.bytes("dek")).as_ref());
    let dek = Dek::new(&Secret::new(vectors.array("dek")));
    vectors.check("key_id", dek.id().as_bytes());
    let event = EventId::from_bytes(vectors.array("event"));
    let [part_no] = vectors.array("part_no");
    let secret = dek.part_secret(&event, part_no);
    vectors.check("part_secret", &secret.disclose());
    vectors.check("part_key", secret.key().expose());
    vectors.check("commitment", &secret.commitment());

    let [class] = vectors.array("class");
    let (ledger, subject) =
        (LedgerId::from_bytes(vectors.array("ledger")), SubjectId::from_bytes(vectors.array("subject")));
    let (schema, key): (_, KeyId) = (Digest::from_bytes(vectors.array("schema")), dek.id());
    let context = PartContext {
        ledger: &ledger,
        event: &event,
        event_type: vectors.text("event_type"),
        schema: &schema,
        subject: Some(&subject),
        part_no,
        class: RetentionClass::from_code(class).unwrap(),
        key: &key,
    };
    vectors.check("aad", &associated_data(&context));
    vectors.check("aad_no_subject", &associated_data(&PartContext { subject: None, ..context }));
    let plaintext = vectors.bytes("plaintext");
    vectors.check("sealed", &seal(&secret, &context, vectors.array("nonce"), plaintext));
    let opened = open(&secret, &context, &vectors.array("commitment"), vectors.bytes("sealed")).unwrap();
    assert_eq!(opened.as_slice(), plaintext);
    secret
}

fn check_fields(vectors: &Vectors, secret: &PartSecret) {
    let plaintext = vectors.bytes("plaintext");
    let root = field_root(secret, plaintext).unwrap();
    vectors.check("fields_root", root.as_bytes());
    let shown = |path: &str| field_proof(secret, plaintext, path).unwrap();
    for (index, path) in field_paths(plaintext).unwrap().iter().enumerate() {
        let FieldDisclosure { value, salt, .. } = shown(path);
        vectors.check(&format!("field_{index}_path"), path.as_bytes());
        vectors.check(&format!("field_{index}_value"), value.as_bytes());
        vectors.check(&format!("field_{index}_salt"), &salt);
        // A disclosure whose tree is the leaf alone has the leaf as its root.
        let alone = FieldDisclosure { index: 0, size: 1, proof: Vec::new(), ..shown(path) };
        assert!(alone.verify(&Digest::from_bytes(vectors.array(&format!("field_{index}_leaf")))), "{path}");
        assert!(shown(path).verify(&root), "{path}");
    }
    let disclosure = shown(vectors.text("field_proof_path"));
    vectors.check("field_proof_index", &[u8::try_from(disclosure.index).unwrap()]);
    vectors.check("field_proof_size", &[u8::try_from(disclosure.size).unwrap()]);
    let proof: Vec<u8> = disclosure.proof.iter().flat_map(|digest| *digest.as_bytes()).collect();
    vectors.check("field_proof", &proof);
}

fn check_keyed_hashes(vectors: &Vectors) {
    let key = MacKey::new(Secret::new(vectors.array("mac_key")));
    let (source, id) = (vectors.text("source"), vectors.text("id"));
    let body = sha256(vectors.bytes("body"));
    vectors.check("dedupe", &key.dedupe(source, id));
    vectors.check("dedupe_own", &key.dedupe_own(&EventId::from_bytes(vectors.array("event"))));
    vectors.check("dedupe_quarantine", &key.dedupe_quarantine(Some(source), Some(id), &body));
    vectors.check("dedupe_quarantine_unnamed", &key.dedupe_quarantine(None, None, &body));
    vectors.check("record_ref", &key.record_ref(vectors.text("record_kind"), source, id));
    let reference = Identifier::reference(source, id).unwrap();
    for (kind, value) in [
        (IdentifierKind::Phone, vectors.text("phone")),
        (IdentifierKind::Email, vectors.text("email")),
        (IdentifierKind::Ref, &reference.value),
    ] {
        vectors.check(&format!("blind_index_{kind}"), &key.blind_index(kind, value));
        vectors.check(&format!("suppression_token_{kind}"), &key.suppression_token(kind, value));
    }
}

fn check_keys(vectors: &Vectors) {
    let keyring = Keyring::from_epochs(vec![(1, Secret::new(vectors.array("kek")))]).unwrap();
    let wrapped =
        keyring.wrap(vectors.bytes("wrap_context"), &vectors.array("wrap_secret"), vectors.array("wrap_nonce"));
    vectors.check("wrapped", &wrapped.bytes);

    let ledger = LedgerId::from_bytes(vectors.array("ledger"));
    let text = token::mint(&ledger, &vectors.array("api_random"));
    vectors.check("api_key", text.as_bytes());
    let pepper = MacKey::new(Secret::new(vectors.array("pepper")));
    vectors.check("api_key_hash", &token::hash(&pepper, &token::parse(&text).unwrap()));

    let signer = SigningKey::from_seed(&Secret::new(vectors.array("sign_seed")));
    let message = vectors.bytes("sign_message");
    vectors.check("sign_public", &signer.public());
    vectors.check("signature", &signer.sign(message));
    assert!(verify(&vectors.array("sign_public"), message, &vectors.array("signature")));
}
