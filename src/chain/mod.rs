//! The entry, the hash chain and the Merkle tree over it, and the public formats that prove them.
//!
//! Promises: the formats are those of RFC 6962, C2SP tlog-tiles, signed-note, tlog-checkpoint, tlog-cosignature and
//! tlog-proof, and of `ops/format-log.md`; a stranger can check them without this code. Everything here is computed from
//! its arguments: no IO, no clock, no randomness. Must never see personal data: the chain commits to sealed bytes.
//!
//! Reading order: [`entry`] (with [`encode`] and [`decode`]), [`leaf`], [`tree`] (with [`path`] and [`memory`]), [`tile`],
//! [`note`], [`checkpoint`], [`cosign`], [`proof`]; then [`subjects`], [`blocks`], [`heads`]; then [`segment`] and
//! [`verify`].

pub mod blocks;
pub mod checkpoint;
pub mod cosign;
pub mod decode;
pub mod encode;
pub mod entry;
pub mod heads;
pub mod leaf;
pub mod memory;
pub mod note;
pub mod path;
pub mod proof;
pub mod segment;
pub mod subjects;
pub mod tile;
pub mod tree;
pub mod verify;

#[cfg(test)]
mod samples;
