//! Writes a log as the folder that other people's tools read: checkpoint, hash tiles, entry bundles, proof files.

use std::path::Path;

use tallystick::chain::checkpoint::Checkpoint;
use tallystick::chain::entry::{Entry, FORMAT, Part, SubjectLink};
use tallystick::chain::leaf::leaf_hash;
use tallystick::chain::note::{KeyKind, VerifierKey};
use tallystick::chain::proof::{ConsistencyFile, InclusionFile};
use tallystick::chain::tile::{TileKind, bundle_push, tile_bytes, tiles_at};
use tallystick::chain::tree::{MemoryTree, consistency, inclusion, root_at};
use tallystick::crypto::hash::Digest;
use tallystick::crypto::secret::Secret;
use tallystick::crypto::sign::SigningKey;
use tallystick::domain::ids::{EventId, KeyId, LedgerId, PrincipalId, SubjectId};
use tallystick::domain::parts::{PartKind, RetentionClass};
use tallystick::domain::time::Timestamp;

pub const ORIGIN: &str = "log.example.com/it";
pub const LEDGER: LedgerId = LedgerId::from_bytes([1; 16]);

/// A log in memory, able to write itself as files.
pub struct Log {
    pub entries: Vec<Vec<u8>>,
    pub tree: MemoryTree,
}

pub fn signer() -> SigningKey {
    SigningKey::from_seed(&Secret::new([42; 32]))
}

pub fn verifier_key() -> VerifierKey {
    VerifierKey::new(ORIGIN, KeyKind::Ed25519, signer().public()).unwrap()
}

fn sealed(kind: PartKind, class: RetentionClass, fill: u8) -> Part {
    let fields_root = (kind == PartKind::Personal).then(|| Digest::from_bytes([fill ^ 1; 32]));
    Part {
        kind,
        suite: 1,
        class,
        key: Some(KeyId::from_bytes([fill; 16])),
        digest: Digest::from_bytes([fill ^ 2; 32]),
        commitment: Some([fill ^ 3; 32]),
        fields_root,
    }
}

pub fn subject(number: u64) -> SubjectId {
    let mut bytes = [0x70; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    SubjectId::from_bytes(bytes)
}

/// An entry with a business, a personal and perhaps a raw part: about 420 bytes without the raw one.
pub fn entry(position: u64, previous: Digest, link: Option<SubjectLink>, raw: bool) -> Entry {
    let mut parts = vec![
        sealed(PartKind::Business, RetentionClass::Consent, 0x10),
        sealed(PartKind::Personal, RetentionClass::Consent, 0x20),
    ];
    if raw {
        parts.push(sealed(PartKind::Raw, RetentionClass::Raw, 0x30));
    }
    let mut event = [5; 16];
    event[8..].copy_from_slice(&position.to_be_bytes());
    Entry {
        format: FORMAT,
        ledger: LEDGER,
        position,
        previous,
        event: EventId::from_bytes(event),
        event_type: if position == 0 { "ledger.created".to_owned() } else { "consent.granted".to_owned() },
        schema: Digest::from_bytes([7; 32]),
        subject: link,
        recorded: Timestamp::from_micros(1_793_724_000_000_000 + i64::try_from(position).unwrap()),
        actor: PrincipalId::from_bytes([12; 16]),
        cause: None,
        corrects: None,
        dedupe: [15; 32],
        parts,
    }
}

/// A chain over `subjects` people who take turns.
pub fn chain(size: u64, subjects: u64) -> Vec<Vec<u8>> {
    let mut previous = Digest::ZERO;
    let mut entries = Vec::new();
    for position in 0..size {
        let link = position.checked_sub(1).map(|turn| SubjectLink {
            subject: subject(turn % subjects),
            sequence: turn / subjects + 1,
            previous: position.checked_sub(subjects).filter(|back| *back > 0),
        });
        let bytes = entry(position, previous, link, false).encode().unwrap();
        previous = leaf_hash(&bytes);
        entries.push(bytes);
    }
    entries
}

impl Log {
    /// A log of small opaque entries: the formats around the chain do not look inside.
    pub fn opaque(size: u64) -> Log {
        let entries: Vec<Vec<u8>> = (0..size).map(|number| format!("entry {number}").into_bytes()).collect();
        Log::over(entries)
    }

    pub fn over(entries: Vec<Vec<u8>>) -> Log {
        let tree = MemoryTree::from_leaves(entries.iter().map(|entry| leaf_hash(entry)));
        Log { entries, tree }
    }

    pub fn checkpoint(&self, size: u64) -> Checkpoint {
        Checkpoint::new(ORIGIN, size, root_at(&self.tree, size).unwrap()).unwrap()
    }

    pub fn signed(&self, size: u64) -> String {
        self.checkpoint(size).sign(&[&signer()]).unwrap().to_string()
    }

    pub fn inclusion(&self, index: u64) -> InclusionFile {
        let size = self.tree.size();
        let hashes = inclusion(&self.tree, index, size).unwrap();
        InclusionFile { extra: None, index, hashes, checkpoint: self.signed(size) }
    }

    pub fn consistency(&self, old: u64) -> ConsistencyFile {
        let size = self.tree.size();
        let hashes = consistency(&self.tree, old, size).unwrap();
        ConsistencyFile { old, hashes, checkpoint: self.signed(size) }
    }

    /// Writes checkpoint, tiles and bundles in the layout of C2SP tlog-tiles.
    pub fn write(&self, folder: &Path) {
        let size = self.tree.size();
        write(&folder.join("checkpoint"), self.signed(size).as_bytes());
        for tile in tiles_at(size) {
            let bytes = match tile.kind {
                TileKind::Hashes(_) => tile_bytes(&self.tree, &tile).unwrap(),
                TileKind::Entries => {
                    let first = usize::try_from(tile.index).unwrap() * 256;
                    let mut bundle = Vec::new();
                    for entry in &self.entries[first..first + usize::from(tile.width)] {
                        bundle_push(&mut bundle, entry).unwrap();
                    }
                    bundle
                }
            };
            write(&folder.join(tile.path()), &bytes);
        }
    }
}

pub fn write(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}
