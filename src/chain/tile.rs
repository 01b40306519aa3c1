//! The log as static files: C2SP tlog-tiles.
//!
//! Promises: paths, widths and bytes are those of the specification, so that other people's clients read them. Must never
//! name an empty tile, hash a partial tile into the level above, or take a path that is not the canonical one.

use std::fmt;

use crate::chain::tree::{HashReader, Node, TreeError, root_of};
use crate::crypto::hash::Digest;

/// Hashes in a full tile, entries in a full bundle.
pub const TILE_WIDTH: u16 = 256;
/// Levels of the tree that one tile spans.
pub const TILE_HEIGHT: u8 = 8;
/// Tile levels of any tree of fewer than 2^63 leaves.
const LEVELS: u8 = 8;
const HASH_BYTES: usize = 32;

/// What a tile holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TileKind {
    /// Entries, each behind its length.
    Entries,
    /// Hashes of complete subtrees of 256^level leaves.
    Hashes(u8),
}

/// One resource of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    /// What it holds.
    pub kind: TileKind,
    /// Which tile of its kind, from 0.
    pub index: u64,
    /// Hashes or entries in it: 1 to 256; below 256 it is partial.
    pub width: u16,
}

/// Why something is not a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TileError {
    /// The path is not the canonical path of a tile.
    #[error("not the path of a tile")]
    Path,
    /// The bytes do not hold what the tile's width says.
    #[error("the bytes do not make a tile of width {width}")]
    Width {
        /// Hashes or entries expected.
        width: u16,
    },
    /// An entry is too long for a bundle's length prefix.
    #[error("an entry of {bytes} bytes does not fit a bundle")]
    EntryTooLong {
        /// Length of the entry.
        bytes: usize,
    },
}

impl Tile {
    /// The tile of its kind at `index` in a tree of `size` leaves, as wide as it then is; none if it would be empty.
    pub fn at(kind: TileKind, index: u64, size: u64) -> Option<Tile> {
        let items = items(kind, size);
        let start = index.checked_mul(u64::from(TILE_WIDTH))?;
        let width = items.checked_sub(start)?.min(u64::from(TILE_WIDTH));
        u16::try_from(width).ok().filter(|width| *width > 0).map(|width| Tile { kind, index, width })
    }

    /// Whether the tile has all its 256 items and so will never change.
    pub const fn is_full(&self) -> bool {
        self.width == TILE_WIDTH
    }

    /// The full tile at the same place, where a client looks when a partial one is gone.
    pub const fn full(&self) -> Tile {
        Tile { width: TILE_WIDTH, ..*self }
    }

    /// Path below the log's prefix: `tile/<L>/<N>[.p/<W>]` or `tile/entries/<N>[.p/<W>]`.
    pub fn path(&self) -> String {
        self.to_string()
    }

    /// Reads a path as [`Tile::path`] writes it.
    ///
    /// # Errors
    /// [`TileError::Path`] for every other text.
    pub fn parse(path: &str) -> Result<Tile, TileError> {
        let (kind, place) = path.strip_prefix("tile/").and_then(|rest| rest.split_once('/')).ok_or(TileError::Path)?;
        let kind = match kind {
            "entries" => TileKind::Entries,
            level => TileKind::Hashes(decimal(level).filter(|level| *level < 64).ok_or(TileError::Path)?),
        };
        let (place, width) = match place.split_once(".p/") {
            Some((place, width)) => {
                (place, decimal::<u16>(width).filter(|w| (1..TILE_WIDTH).contains(w)).ok_or(TileError::Path)?)
            }
            None => (place, TILE_WIDTH),
        };
        let index = place_index(place).ok_or(TileError::Path)?;
        let tile = Tile { kind, index, width };
        // An index has one spelling only; this refuses needless leading groups.
        if tile.path() == path { Ok(tile) } else { Err(TileError::Path) }
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Entries => f.write_str("tile/entries/")?,
            TileKind::Hashes(level) => write!(f, "tile/{level}/")?,
        }
        write_index(f, self.index / 1000)?;
        write!(f, "{:03}", self.index % 1000)?;
        if self.is_full() { Ok(()) } else { write!(f, ".p/{}", self.width) }
    }
}

/// Every resource that a tree of `size` leaves has: entry bundles, then hash tiles by level. A partial tile comes after
/// the full ones of its level.
pub fn tiles_at(size: u64) -> impl Iterator<Item = Tile> {
    tiles_between(0, size)
}

/// The resources of a tree of `new` leaves that a tree of `old` leaves did not have: what is published when it grows.
pub fn tiles_between(old: u64, new: u64) -> impl Iterator<Item = Tile> {
    let kinds = std::iter::once(TileKind::Entries).chain((0..LEVELS).map(TileKind::Hashes));
    kinds.flat_map(move |kind| {
        let (before, after) = (items(kind, old), items(kind, new));
        let tiles =
            if before < after { before / u64::from(TILE_WIDTH)..after.div_ceil(u64::from(TILE_WIDTH)) } else { 0..0 };
        tiles.filter_map(move |index| Tile::at(kind, index, new))
    })
}

/// Items of a kind in a tree of `size` leaves.
fn items(kind: TileKind, size: u64) -> u64 {
    match kind {
        TileKind::Entries => size,
        TileKind::Hashes(level) => size.checked_shr(u32::from(level) * u32::from(TILE_HEIGHT)).unwrap_or(0),
    }
}

/// Bytes of a hash tile.
///
/// # Errors
/// What the reader answers; [`TreeError::OutOfRange`] for an entry bundle or a tile beyond any tree.
pub fn tile_bytes<R: HashReader + ?Sized>(reader: &R, tile: &Tile) -> Result<Vec<u8>, TreeError> {
    let outside = TreeError::OutOfRange { asked: tile.index, size: 0 };
    let TileKind::Hashes(level) = tile.kind else { return Err(outside) };
    let level = level.checked_mul(TILE_HEIGHT).filter(|level| *level < 64).ok_or(outside.clone())?;
    let first = tile.index.checked_mul(u64::from(TILE_WIDTH)).ok_or(outside)?;
    let mut bytes = Vec::with_capacity(usize::from(tile.width) * HASH_BYTES);
    for offset in 0..u64::from(tile.width) {
        bytes.extend_from_slice(reader.subtree(level, first + offset)?.as_bytes());
    }
    Ok(bytes)
}

/// The hashes of a hash tile.
///
/// # Errors
/// [`TileError::Width`] unless there are exactly `width`.
pub fn tile_hashes(bytes: &[u8], width: u16) -> Result<Vec<Digest>, TileError> {
    let (hashes, rest) = bytes.as_chunks::<HASH_BYTES>();
    if hashes.len() != usize::from(width) || !rest.is_empty() {
        return Err(TileError::Width { width });
    }
    Ok(hashes.iter().map(|hash| Digest::from_bytes(*hash)).collect())
}

/// Appends an entry to a bundle: its length as big-endian 16 bits, then its bytes.
///
/// # Errors
/// [`TileError::EntryTooLong`] over 65,535 bytes.
pub fn bundle_push(bundle: &mut Vec<u8>, entry: &[u8]) -> Result<(), TileError> {
    let length = u16::try_from(entry.len()).map_err(|_| TileError::EntryTooLong { bytes: entry.len() })?;
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
    Ok(())
}

/// The entries of a bundle.
///
/// # Errors
/// [`TileError::Width`] unless there are exactly `width` and nothing else.
pub fn bundle_entries(bundle: &[u8], width: u16) -> Result<Vec<&[u8]>, TileError> {
    let mut entries = Vec::with_capacity(usize::from(width));
    let mut rest = bundle;
    while let Some((length, bytes)) = rest.split_first_chunk::<2>() {
        let (entry, after) =
            bytes.split_at_checked(usize::from(u16::from_be_bytes(*length))).ok_or(TileError::Width { width })?;
        entries.push(entry);
        rest = after;
    }
    if entries.len() == usize::from(width) && rest.is_empty() { Ok(entries) } else { Err(TileError::Width { width }) }
}

/// The hash tiles from which the hashes of `nodes` can be had in a tree of `size` leaves, each once, in order.
pub fn tiles_for(nodes: &[Node], size: u64) -> Vec<Tile> {
    let mut tiles: Vec<_> = nodes.iter().filter_map(|node| place(*node, size).map(|(tile, _)| tile)).collect();
    tiles.sort_unstable();
    tiles.dedup();
    tiles
}

/// Hash tiles in memory, read as a tree. Load what [`tiles_for`] names.
#[derive(Debug, Clone)]
pub struct LoadedTiles {
    size: u64,
    tiles: Vec<(Tile, Vec<Digest>)>,
}

impl LoadedTiles {
    /// No tile of a tree of `size` leaves.
    pub const fn new(size: u64) -> LoadedTiles {
        LoadedTiles { size, tiles: Vec::new() }
    }

    /// Adds a tile. The bytes may be those of the full tile where a partial one was asked for.
    ///
    /// # Errors
    /// [`TileError::Width`] if the bytes are neither.
    pub fn insert(&mut self, tile: Tile, bytes: &[u8]) -> Result<(), TileError> {
        let mut hashes = tile_hashes(bytes, tile.width)
            .or_else(|wrong| if tile.is_full() { Err(wrong) } else { tile_hashes(bytes, TILE_WIDTH) })?;
        hashes.truncate(usize::from(tile.width));
        match self.tiles.binary_search_by_key(&tile, |(known, _)| *known) {
            Ok(_) => {}
            Err(place) => self.tiles.insert(place, (tile, hashes)),
        }
        Ok(())
    }
}

impl HashReader for LoadedTiles {
    fn subtree(&self, level: u8, index: u64) -> Result<Digest, TreeError> {
        let missing = TreeError::Missing { level, index };
        let (tile, offset) = place(Node { level, index }, self.size).ok_or(missing.clone())?;
        let found = self.tiles.binary_search_by_key(&tile, |(known, _)| *known).ok();
        let hashes = found.and_then(|place| self.tiles.get(place)).ok_or(missing.clone())?;
        let count = 1_usize << (level % TILE_HEIGHT);
        let hashes = hashes.1.get(offset..offset + count).ok_or(missing)?;
        Ok(root_of(hashes.iter().copied()))
    }
}

/// The tile that holds a complete subtree, and the place of the subtree's first hash in it.
fn place(node: Node, size: u64) -> Option<(Tile, usize)> {
    let first = node.index.checked_mul(1 << (node.level % TILE_HEIGHT))?;
    let width = u64::from(TILE_WIDTH);
    let tile = Tile::at(TileKind::Hashes(node.level / TILE_HEIGHT), first / width, size)?;
    Some((tile, usize::try_from(first % width).ok()?))
}

fn write_index(f: &mut fmt::Formatter<'_>, thousands: u64) -> fmt::Result {
    if thousands == 0 {
        return Ok(());
    }
    write_index(f, thousands / 1000)?;
    write!(f, "x{:03}/", thousands % 1000)
}

fn place_index(place: &str) -> Option<u64> {
    let mut index = 0_u64;
    let mut groups = place.split('/').peekable();
    while let Some(group) = groups.next() {
        let digits = if groups.peek().is_some() { group.strip_prefix('x')? } else { group };
        if digits.len() != 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        index = index.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
    }
    Some(index)
}

/// A decimal without sign or needless zeros.
fn decimal<T: std::str::FromStr>(text: &str) -> Option<T> {
    let canonical = text == "0" || (!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()));
    if canonical { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chain::leaf::leaf_hash;
    use crate::chain::tree::{MemoryTree, inclusion, inclusion_nodes, root_at, root_nodes};

    fn count(size: u64, kind: TileKind) -> (usize, Option<u16>) {
        let tiles: Vec<_> = tiles_at(size).filter(|tile| tile.kind == kind).collect();
        let partial: Vec<_> = tiles.iter().filter(|tile| !tile.is_full()).collect();
        assert!(partial.len() <= 1);
        (tiles.len() - partial.len(), partial.first().map(|tile| tile.width))
    }

    #[test]
    fn tree_of_70000_has_the_tiles_that_the_specification_names() {
        assert_eq!(count(70_000, TileKind::Entries), (273, Some(112)));
        assert_eq!(count(70_000, TileKind::Hashes(0)), (273, Some(112)));
        assert_eq!(count(70_000, TileKind::Hashes(1)), (1, Some(17)));
        assert_eq!(count(70_000, TileKind::Hashes(2)), (0, Some(1)));
        assert_eq!(count(70_000, TileKind::Hashes(3)), (0, None));
        assert_eq!(count(256, TileKind::Hashes(0)), (1, None));
        assert_eq!(count(256, TileKind::Hashes(1)), (0, Some(1)));
        assert_eq!(tiles_at(0).count(), 0);
    }

    #[test]
    fn paths_are_those_of_the_specification() {
        for (tile, path) in [
            (Tile { kind: TileKind::Hashes(0), index: 1_234_067, width: 256 }, "tile/0/x001/x234/067"),
            (Tile { kind: TileKind::Hashes(0), index: 0, width: 256 }, "tile/0/000"),
            (Tile { kind: TileKind::Hashes(63), index: 273, width: 112 }, "tile/63/273.p/112"),
            (Tile { kind: TileKind::Entries, index: 1000, width: 1 }, "tile/entries/x001/000.p/1"),
            (
                Tile { kind: TileKind::Entries, index: u64::MAX, width: 255 },
                "tile/entries/x018/x446/x744/x073/x709/x551/615.p/255",
            ),
        ] {
            assert_eq!(tile.path(), path);
            assert_eq!(Tile::parse(path), Ok(tile));
        }
    }

    #[test]
    fn other_spellings_of_a_path_are_refused() {
        for path in [
            "",
            "tile",
            "tile/",
            "tile/0",
            "tile/0/",
            "tile/0/0",
            "tile/0/0000",
            "tile/00/000",
            "tile/64/000",
            "tile/8/0/000",
            "/tile/0/000",
            "tile/0/000/",
            "tile/0/x000/000",
            "tile/0/001/000",
            "tile/0/x001",
            "tile/0/x1/000",
            "tile/-1/000",
            "tile/0/000.p",
            "tile/0/000.p/",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/0/000.p/+1",
            "tile/0/000.p/1.p/1",
            "tile/0/../000",
            "tile/Entries/000",
            "tile/entries/+01",
            "tile/+1/000",
            "tile/0/x018/x446/x744/x073/x709/x551/616",
        ] {
            assert_eq!(Tile::parse(path), Err(TileError::Path), "{path}");
        }
    }

    #[test]
    fn growth_publishes_what_was_not_there_before() {
        for (old, new) in [(0, 1), (1, 255), (255, 256), (256, 257), (300, 300), (255, 66_000), (65_536, 70_000)] {
            let before: Vec<_> = tiles_at(old).collect();
            let expected: Vec<_> = tiles_at(new).filter(|tile| !before.contains(tile)).collect();
            assert_eq!(tiles_between(old, new).collect::<Vec<_>>(), expected, "{old} to {new}");
        }
    }

    #[test]
    fn bundle_gives_back_its_entries_and_nothing_else_will_do() {
        let entries: [&[u8]; 3] = [b"one", b"", &[7; 300]];
        let mut bundle = Vec::new();
        for entry in entries {
            bundle_push(&mut bundle, entry).unwrap();
        }
        assert_eq!(bundle_entries(&bundle, 3).unwrap(), entries);
        assert_eq!(bundle_entries(&bundle, 2), Err(TileError::Width { width: 2 }));
        assert_eq!(bundle_entries(&bundle[..bundle.len() - 1], 3), Err(TileError::Width { width: 3 }));
        bundle.push(0);
        assert_eq!(bundle_entries(&bundle, 3), Err(TileError::Width { width: 3 }));
        assert_eq!(bundle_push(&mut bundle, &[0; 65_536]), Err(TileError::EntryTooLong { bytes: 65_536 }));
        assert_eq!(tile_hashes(&[0; 33], 1), Err(TileError::Width { width: 1 }));
    }

    fn tree_of(size: u64) -> MemoryTree {
        MemoryTree::from_leaves((0..size).map(|number| leaf_hash(&number.to_be_bytes())))
    }

    fn load(tree: &MemoryTree, tiles: Vec<Tile>, size: u64) -> LoadedTiles {
        let mut loaded = LoadedTiles::new(size);
        for tile in tiles {
            loaded.insert(tile, &tile_bytes(tree, &tile).unwrap()).unwrap();
        }
        loaded
    }

    #[test]
    fn tiles_alone_give_root_and_proofs() {
        let size = 70_000;
        let tree = tree_of(size);
        let loaded = load(&tree, tiles_for(&root_nodes(size), size), size);
        assert_eq!(root_at(&loaded, size).unwrap(), tree.root());
        assert_eq!(root_at(&LoadedTiles::new(size), size), Err(TreeError::Missing { level: 16, index: 0 }));
        for index in [0, 255, 256, 65_535, 65_536, 69_887, 69_888, 69_999] {
            let loaded = load(&tree, tiles_for(&inclusion_nodes(index, size).unwrap(), size), size);
            assert_eq!(inclusion(&loaded, index, size).unwrap(), inclusion(&tree, index, size).unwrap());
        }
    }

    #[test]
    fn full_tile_serves_where_the_partial_one_is_gone() {
        let (tree, size) = (tree_of(300), 270);
        let partial = Tile::at(TileKind::Hashes(0), 0, 200).unwrap();
        let mut loaded = LoadedTiles::new(200);
        loaded.insert(partial, &tile_bytes(&tree, &partial.full()).unwrap()).unwrap();
        assert_eq!(root_at(&loaded, 200).unwrap(), root_at(&tree, 200).unwrap());
        assert_eq!(Tile::at(TileKind::Hashes(0), 2, size), None);
        assert!(LoadedTiles::new(200).insert(partial, &[0; 64]).is_err());
    }

    proptest! {
        #[test]
        fn every_tile_path_round_trips(level in 0_u8..64, index: u64, width in 1_u16..=256, entries: bool) {
            let kind = if entries { TileKind::Entries } else { TileKind::Hashes(level) };
            let tile = Tile { kind, index, width };
            prop_assert_eq!(Tile::parse(&tile.path()), Ok(tile));
        }

        #[test]
        fn no_text_panics_the_path_reader(path in "(tile/)?[0-9x/.pe]{0,24}") {
            if let Ok(tile) = Tile::parse(&path) {
                prop_assert_eq!(tile.path(), path);
            }
        }
    }
}
