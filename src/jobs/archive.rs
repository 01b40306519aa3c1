//! The archive: the log in C2SP tile layout (checkpoint, hash tiles, entry bundles) with the sealed parts beside it, in
//! object storage. Incremental by nature: full tiles once, the partial edge at each checkpoint.
//!
//! Layout under `<ledger>/`: `checkpoint`, `checkpoints/<size, 20 digits>`, `tile/...` as C2SP tlog-tiles,
//! `payloads/<N>[.p/<W>]` numbered as entry bundles: a CBOR sequence of [position, part, sealed bytes].

use crate::blob::{Archive, BlobError};
use crate::chain::tile::{Tile, TileError, TileKind, bundle_push, tiles_between};
use crate::crypto::cbor;
use crate::ingest::Ledger;
use crate::ingest::proofs::ProofReadError;

/// Why the archive could not be extended.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The object store failed.
    #[error("object store")]
    Blob(#[from] BlobError),
    /// Tree hashes cannot be read.
    #[error("tree")]
    Proof(#[from] ProofReadError),
    /// Rows cannot be read.
    #[error("store")]
    Store(#[from] crate::store::StoreError),
    /// A tile cannot be built.
    #[error("tile")]
    Tile(#[from] TileError),
}

/// Brings the archive to `size` entries and then puts the checkpoint there: first data, then hashes, last the statement
/// about them, so that what a reader can see is always whole.
///
/// # Errors
/// [`ArchiveError`]; the archive then holds what it held, and perhaps some tiles more.
pub async fn extend(ledger: &Ledger, archive: &Archive, size: u64, note: &str) -> Result<(), ArchiveError> {
    let held = archive.size(&ledger.id).await?;
    for tile in tiles_between(held, size) {
        let path = tile.path();
        if let TileKind::Entries = tile.kind {
            let first = tile.index * 256;
            let end = (first + 256).min(size);
            let store = ledger.store();
            let mut bundle = Vec::new();
            for (_, entry) in store.entries_from(first, end).await? {
                bundle_push(&mut bundle, &entry)?;
            }
            let mut payloads = Vec::new();
            for (position, part, sealed) in store.payloads_from(first, end).await? {
                cbor::array(&mut payloads, 3);
                cbor::uint(&mut payloads, position);
                cbor::uint(&mut payloads, part.into());
                cbor::bytes(&mut payloads, &sealed);
            }
            archive.put(&ledger.id, &path.replacen("tile/entries", "payloads", 1), payloads).await?;
            archive.put(&ledger.id, &path, bundle).await?;
        } else {
            archive.put(&ledger.id, &path, hash_tile(ledger, &tile).await?).await?;
        }
    }
    archive.put_new(&ledger.id, &format!("checkpoints/{size:020}"), note.as_bytes().to_vec()).await?;
    archive.put(&ledger.id, "checkpoint", note.as_bytes().to_vec()).await?;
    Ok(())
}

/// Bytes of a hash tile.
///
/// # Errors
/// [`ProofReadError`] when it reaches beyond the log.
pub async fn hash_tile(ledger: &Ledger, tile: &Tile) -> Result<Vec<u8>, ProofReadError> {
    ledger.tile(tile).await
}
