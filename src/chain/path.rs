//! Checking inclusion and consistency proofs.
//!
//! Promises: the loops are those of RFC 9162 sections 2.1.3.2 and 2.1.4.2, and share no code with what makes proofs. Must
//! never trust a length, an index or a size that came with a proof: each is checked before it is used.

use crate::chain::leaf::{empty_root, node_hash};
use crate::crypto::hash::Digest;

/// Why a proof does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The index or the old size is outside the tree.
    #[error("the proof is about something outside the tree")]
    OutOfRange,
    /// More or fewer hashes than the sizes call for.
    #[error("the proof has the wrong number of hashes")]
    Length,
    /// The hashes do not lead to the root of the (new) tree.
    #[error("the proof does not lead to the root")]
    Root,
    /// The hashes do not lead to the root of the old tree.
    #[error("the proof does not lead to the old root")]
    OldRoot,
}

/// Checks an inclusion proof (RFC 9162 section 2.1.3.2).
///
/// # Errors
/// [`ProofError`] says what does not hold.
pub fn verify_inclusion(
    leaf: &Digest,
    index: u64,
    size: u64,
    proof: &[Digest],
    root: &Digest,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::OutOfRange);
    }
    let (mut left, mut last) = (index, size - 1);
    let mut node = *leaf;
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if left & 1 == 1 || left == last {
            node = node_hash(sibling, &node);
            skip_to_right_child(&mut left, &mut last);
        } else {
            node = node_hash(&node, sibling);
        }
        left >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    if node == *root { Ok(()) } else { Err(ProofError::Root) }
}

/// Checks that the tree of `new` leaves is an extension of the tree of `old` leaves (RFC 9162 section 2.1.4.2; the cases
/// of equal sizes and of an empty old tree, which it leaves out, take an empty proof).
///
/// # Errors
/// [`ProofError`] says what does not hold.
pub fn verify_consistency(
    old: u64,
    new: u64,
    proof: &[Digest],
    old_root: &Digest,
    new_root: &Digest,
) -> Result<(), ProofError> {
    if old > new {
        return Err(ProofError::OutOfRange);
    }
    if old == 0 || old == new {
        if !proof.is_empty() {
            return Err(ProofError::Length);
        }
        let known = if old == 0 { empty_root() } else { *new_root };
        return if *old_root == known { Ok(()) } else { Err(ProofError::OldRoot) };
    }
    let (mut left, mut last) = (old - 1, new - 1);
    let whole_levels = left.trailing_ones();
    left = left.checked_shr(whole_levels).unwrap_or(0);
    last = last.checked_shr(whole_levels).unwrap_or(0);
    // An old tree that is one complete subtree is itself the first node of the path, and so is left out of the proof.
    let (seed, path) = if old.is_power_of_two() {
        (old_root, proof)
    } else {
        let (seed, path) = proof.split_first().ok_or(ProofError::Length)?;
        (seed, path)
    };
    let (mut old_node, mut new_node) = (*seed, *seed);
    for sibling in path {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if left & 1 == 1 || left == last {
            old_node = node_hash(sibling, &old_node);
            new_node = node_hash(sibling, &new_node);
            skip_to_right_child(&mut left, &mut last);
        } else {
            new_node = node_hash(&new_node, sibling);
        }
        left >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    if old_node != *old_root {
        return Err(ProofError::OldRoot);
    }
    if new_node == *new_root { Ok(()) } else { Err(ProofError::Root) }
}

/// On the right edge a node without sibling rises unchanged: go up until it is a right child, or the only node left.
fn skip_to_right_child(left: &mut u64, last: &mut u64) {
    while *left & 1 == 0 && *left != 0 {
        *left >>= 1;
        *last >>= 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chain::leaf::leaf_hash;
    use crate::chain::tree::{
        Frontier, HashReader, MemoryTree, TreeError, consistency, consistency_nodes, inclusion, inclusion_nodes,
        root_at,
    };

    /// The test inputs of RFC 6962 implementations, and their roots from transparency-dev/merkle.
    fn known_leaves() -> Vec<Digest> {
        let inputs: [&[u8]; 8] = [
            &[],
            &[0x00],
            &[0x10],
            &[0x20, 0x21],
            &[0x30, 0x31],
            &[0x40, 0x41, 0x42, 0x43],
            &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
            &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f],
        ];
        inputs.into_iter().map(leaf_hash).collect()
    }

    fn tree_of(size: u64) -> MemoryTree {
        MemoryTree::from_leaves((0..size).map(|number| leaf_hash(&number.to_be_bytes())))
    }

    /// RFC 6962 section 2.1, word for word.
    fn root_by_definition(leaves: &[Digest]) -> Digest {
        match leaves {
            [] => empty_root(),
            [leaf] => *leaf,
            _ => {
                let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
                node_hash(&root_by_definition(left), &root_by_definition(right))
            }
        }
    }

    #[test]
    fn roots_match_the_known_vectors() {
        let tree = MemoryTree::from_leaves(known_leaves());
        for (size, root) in [
            (0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
            (2, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
            (3, "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
            (8, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
        ] {
            assert_eq!(root_at(&tree, size).unwrap().to_string(), root, "size {size}");
        }
    }

    #[test]
    fn every_way_to_a_root_agrees_for_all_small_sizes() {
        let tree = tree_of(130);
        let mut frontier = Frontier::new();
        for size in 0..=130_u64 {
            let leaves: Vec<_> = (0..size).map(|number| leaf_hash(&number.to_be_bytes())).collect();
            let root = root_by_definition(&leaves);
            assert_eq!(root_at(&tree, size).unwrap(), root);
            assert_eq!(frontier.root(), root);
            assert_eq!(Frontier::from_parts(size, frontier.edge().to_vec()).unwrap(), frontier);
            assert_eq!(Frontier::read(&tree, size).unwrap(), frontier);
            frontier.push(leaf_hash(&size.to_be_bytes()));
        }
    }

    #[test]
    fn every_inclusion_proof_of_every_small_tree_holds_and_its_twins_fail() {
        let tree = tree_of(130);
        for size in 1..=130 {
            let root = root_at(&tree, size).unwrap();
            for index in 0..size {
                let leaf = tree.subtree(0, index).unwrap();
                let proof = inclusion(&tree, index, size).unwrap();
                assert_eq!(verify_inclusion(&leaf, index, size, &proof, &root), Ok(()));
                let other = (index + 1) % size;
                if other != index {
                    assert!(
                        verify_inclusion(&leaf, other, size, &proof, &root).is_err(),
                        "{index} as {other} of {size}"
                    );
                }
                let mut longer = proof.clone();
                longer.push(root);
                assert_eq!(verify_inclusion(&leaf, index, size, &longer, &root), Err(ProofError::Length));
                if let Some((_, shorter)) = proof.split_last() {
                    assert_eq!(verify_inclusion(&leaf, index, size, shorter, &root), Err(ProofError::Length));
                }
                assert_eq!(verify_inclusion(&leaf, size, size, &proof, &root), Err(ProofError::OutOfRange));
            }
        }
    }

    #[test]
    fn every_consistency_proof_of_every_small_tree_holds_and_its_twins_fail() {
        let tree = tree_of(130);
        for new in 0..=130 {
            let new_root = root_at(&tree, new).unwrap();
            for old in 0..=new {
                let old_root = root_at(&tree, old).unwrap();
                let proof = consistency(&tree, old, new).unwrap();
                assert_eq!(verify_consistency(old, new, &proof, &old_root, &new_root), Ok(()), "{old} to {new}");
                assert!(verify_consistency(old, new, &proof, &leaf_hash(b"fork"), &new_root).is_err());
                if old > 0 {
                    assert!(verify_consistency(old, new, &proof, &old_root, &leaf_hash(b"fork")).is_err());
                    assert!(verify_consistency(old - 1, new, &proof, &old_root, &new_root).is_err());
                }
                assert!(verify_consistency(new + 1, new, &proof, &old_root, &new_root).is_err());
                let mut longer = proof.clone();
                longer.push(new_root);
                assert!(verify_consistency(old, new, &longer, &old_root, &new_root).is_err());
                if let Some((_, shorter)) = proof.split_last() {
                    assert!(verify_consistency(old, new, shorter, &old_root, &new_root).is_err());
                }
            }
        }
    }

    #[test]
    fn the_plan_of_a_proof_names_what_the_proof_reads() {
        struct Only(MemoryTree, Vec<crate::chain::tree::Node>);
        impl HashReader for Only {
            fn subtree(&self, level: u8, index: u64) -> Result<Digest, TreeError> {
                assert!(self.1.contains(&crate::chain::tree::Node { level, index }));
                self.0.subtree(level, index)
            }
        }
        let planned = Only(tree_of(77), inclusion_nodes(52, 77).unwrap());
        inclusion(&planned, 52, 77).unwrap();
        let planned = Only(tree_of(77), consistency_nodes(45, 77).unwrap());
        consistency(&planned, 45, 77).unwrap();
        assert_eq!(inclusion(&tree_of(3), 3, 3), Err(TreeError::OutOfRange { asked: 3, size: 3 }));
        assert_eq!(consistency(&tree_of(3), 4, 3), Err(TreeError::OutOfRange { asked: 4, size: 3 }));
        assert_eq!(root_at(&tree_of(3), 4), Err(TreeError::Missing { level: 2, index: 0 }));
    }

    #[test]
    fn subtrees_stand_for_their_leaves_only_where_they_fit() {
        let tree = tree_of(24);
        let mut frontier = Frontier::new();
        frontier.push_subtree(4, tree.subtree(4, 0).unwrap()).unwrap();
        assert!(matches!(frontier.clone().push_subtree(5, empty_root()), Err(TreeError::Unaligned { .. })));
        frontier.push_subtree(3, tree.subtree(3, 2).unwrap()).unwrap();
        assert_eq!(frontier.root(), tree.root());
        assert!(matches!(frontier.push_subtree(64, empty_root()), Err(TreeError::Unaligned { .. })));
        assert!(matches!(Frontier::new().push_subtree(63, empty_root()), Err(TreeError::Unaligned { .. })));
        assert!(matches!(Frontier::from_parts(1 << 63, vec![empty_root()]), Err(TreeError::OutOfRange { .. })));
        assert!(matches!(Frontier::from_parts(3, vec![empty_root()]), Err(TreeError::Edge { expected: 2, .. })));
    }

    proptest! {
        #[test]
        fn flipped_bit_in_an_inclusion_proof_is_noticed(
            size in 2_u64..2000, pick in any::<prop::sample::Index>(), bit in 0_usize..256, hash in any::<prop::sample::Index>(),
        ) {
            let tree = tree_of(size);
            let index = pick.index(size as usize) as u64;
            let leaf = tree.subtree(0, index).unwrap();
            let mut proof = inclusion(&tree, index, size).unwrap();
            prop_assert_eq!(verify_inclusion(&leaf, index, size, &proof, &tree.root()), Ok(()));
            let place = hash.index(proof.len());
            proof[place] = flipped(proof[place], bit);
            prop_assert_eq!(verify_inclusion(&leaf, index, size, &proof, &tree.root()), Err(ProofError::Root));
        }

        #[test]
        fn flipped_bit_in_a_consistency_proof_is_noticed(
            new in 2_u64..2000, pick in any::<prop::sample::Index>(), bit in 0_usize..256, hash in any::<prop::sample::Index>(),
        ) {
            let tree = tree_of(new);
            let old = 1 + pick.index(new as usize - 1) as u64;
            let old_root = root_at(&tree, old).unwrap();
            let mut proof = consistency(&tree, old, new).unwrap();
            prop_assert_eq!(verify_consistency(old, new, &proof, &old_root, &tree.root()), Ok(()));
            let place = hash.index(proof.len());
            proof[place] = flipped(proof[place], bit);
            prop_assert!(verify_consistency(old, new, &proof, &old_root, &tree.root()).is_err());
        }

        #[test]
        fn hostile_sizes_never_panic(index: u64, size: u64, length in 0_usize..70) {
            let proof = vec![empty_root(); length];
            let root = leaf_hash(b"root");
            prop_assert!(verify_inclusion(&root, index, size, &proof, &empty_root()).is_err());
            prop_assert!(index == size || verify_consistency(index, size, &proof, &root, &empty_root()).is_err());
        }
    }

    fn flipped(digest: Digest, bit: usize) -> Digest {
        let mut bytes = *digest.as_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        Digest::from_bytes(bytes)
    }
}
