//! `ops/format-log.md` says what the bytes are; these tests read its worked example and hold the code to it.

use std::path::Path;
use std::str::FromStr;

use tallystick::chain::checkpoint::Checkpoint;
use tallystick::chain::entry::{Entry, EntryRef};
use tallystick::chain::heads::Share;
use tallystick::chain::leaf::leaf_hash;
use tallystick::chain::note::VerifierKey;
use tallystick::chain::proof::{ConsistencyFile, InclusionFile};
use tallystick::chain::subjects::{SubjectHead, SubjectsBuilder};
use tallystick::chain::tree::{MemoryTree, consistency, inclusion, root_at};
use tallystick::chain::verify::ChainVerifier;
use tallystick::crypto::hash::Digest;
use tallystick::crypto::secret::Secret;
use tallystick::crypto::sign::SigningKey;

fn document() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("ops/format-log.md")).unwrap()
}

/// The fenced block with this label, as it stands.
fn block(label: &str) -> String {
    let document = document();
    let (_, rest) = document.split_once(&format!("\n```{label}\n")).unwrap_or_else(|| panic!("no block {label}"));
    let (block, _) = rest.split_once("```").unwrap();
    block.to_owned()
}

/// The bytes of a block of hex; `;` starts a remark.
fn hex(label: &str) -> Vec<u8> {
    let block = block(label);
    let digits =
        block.lines().flat_map(|line| line.split(';').next()).flat_map(str::split_whitespace).collect::<String>();
    data_encoding::HEXLOWER.decode(digits.as_bytes()).unwrap()
}

fn entries() -> Vec<Vec<u8>> {
    ["hex entry-0", "hex entry-1", "hex entry-2"].map(hex).into()
}

/// `name value` lines of the block of results.
fn result<T: FromStr>(name: &str) -> T {
    let results = block("text results");
    let line = results.lines().find_map(|line| line.strip_prefix(name).and_then(|rest| rest.strip_prefix(' ')));
    line.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("no result {name}"))
}

fn signer() -> SigningKey {
    SigningKey::from_seed(&Secret::new(hex("hex seed").try_into().unwrap()))
}

#[test]
fn entries_of_the_document_decode_encode_and_hash_as_it_says() {
    for (number, bytes) in entries().iter().enumerate() {
        let entry = Entry::decode(bytes).unwrap();
        assert_eq!(entry.position, number as u64);
        assert_eq!(&entry.encode().unwrap(), bytes);
        assert_eq!(leaf_hash(bytes), result(&format!("leaf-{number}")), "leaf {number}");
    }
    let bytes = entries().swap_remove(1);
    let entry = EntryRef::decode(&bytes).unwrap();
    assert_eq!(entry.event_type, "consent.granted");
    assert_eq!(entry.ledger.to_string(), "01994c61-0000-7000-8000-00000000001e");
    assert_eq!(entry.recorded.to_string(), "2026-11-03T16:40:00.000000Z");
    assert_eq!(entry.subject.unwrap().subject.to_string(), "01994c61-0001-7000-8000-000000000005");
    assert_eq!((entry.subject.unwrap().sequence, entry.subject.unwrap().previous), (1, None));
    let parts: Vec<_> = entry.parts().map(|part| (part.kind.name(), part.class.name())).collect();
    assert_eq!(parts, [("business", "consent"), ("personal", "consent"), ("raw", "raw")]);
    let next = EntryRef::decode(&entries()[2]).map(|entry| entry.subject.unwrap()).unwrap();
    assert_eq!((next.sequence, next.previous), (2, Some(1)));
}

#[test]
fn chain_of_the_document_verifies_to_its_root() {
    let entries = entries();
    let mut verifier = ChainVerifier::new(Entry::decode(&entries[0]).unwrap().ledger, Share::ALL);
    for (position, bytes) in (0..).zip(&entries) {
        verifier.feed(position, bytes).unwrap();
    }
    verifier.finish(Some((3, result("root-3")))).unwrap();
    let tree = MemoryTree::from_leaves(entries.iter().map(|entry| leaf_hash(entry)));
    assert_eq!(root_at(&tree, 2).unwrap(), result("root-2"));
    let mut forged = entries;
    forged[1][100] ^= 1;
    let mut verifier = ChainVerifier::new(Entry::decode(&forged[0]).unwrap().ledger, Share::ALL);
    let fed: Result<Vec<_>, _> = (0..).zip(&forged).map(|(position, bytes)| verifier.feed(position, bytes)).collect();
    assert!(fed.is_err());
}

#[test]
fn subjects_map_of_the_document_has_its_root() {
    let entry = Entry::decode(&entries()[2]).unwrap();
    let link = entry.subject.unwrap();
    let head = SubjectHead { subject: link.subject, sequence: link.sequence, position: entry.position };
    assert_eq!(head.leaf_bytes(), hex("hex subject-leaf"));
    let mut builder = SubjectsBuilder::default();
    builder.push(&head).unwrap();
    assert_eq!(builder.root().root, result::<Digest>("subjects-root-3"));
}

#[test]
fn checkpoint_and_proofs_of_the_document_are_what_we_write_and_verify() {
    let entries = entries();
    let tree = MemoryTree::from_leaves(entries.iter().map(|entry| leaf_hash(entry)));
    let keys: [VerifierKey; 1] = [result("verifier-key")];
    assert_eq!(keys[0].public(), &signer().public());
    let checkpoint = Checkpoint::new(keys[0].name(), 3, tree.root()).unwrap();
    let signed = checkpoint.sign(&[&signer()]).unwrap().to_string();
    assert_eq!(signed, block("text checkpoint"));
    let hashes = inclusion(&tree, 1, 3).unwrap();
    let file = InclusionFile { extra: None, index: 1, hashes, checkpoint: signed.clone() };
    assert_eq!(file.to_string(), block("text tlog-proof"));
    let read = InclusionFile::parse(block("text tlog-proof").as_bytes()).unwrap();
    assert_eq!(read.verify(&leaf_hash(&entries[1]), &keys), Ok(checkpoint));
    assert!(read.verify(&leaf_hash(&entries[2]), &keys).is_err());
    let hashes = consistency(&tree, 2, 3).unwrap();
    let file = ConsistencyFile { old: 2, hashes, checkpoint: signed };
    assert_eq!(file.to_string(), block("text consistency"));
    let old = Checkpoint::new(keys[0].name(), 2, result("root-2")).unwrap();
    let read = ConsistencyFile::parse(block("text consistency").as_bytes()).unwrap();
    assert!(read.verify(&old, &keys).is_ok());
    let forked = Checkpoint::new(keys[0].name(), 2, result("root-3")).unwrap();
    assert!(read.verify(&forked, &keys).is_err());
}
