//! A blocked Bloom filter: one cache line a question. It answers "surely not here" or "look".

const BLOCK_WORDS: usize = 8;
const BITS_PER_KEY: usize = 12;
const PROBES: u32 = 6;

#[derive(Debug)]
pub(super) struct Filter {
    blocks: Vec<[u64; BLOCK_WORDS]>,
}

/// Keys are HMACs or UUIDs; multiplying spreads the time bits of the latter over the word.
fn mix(key: &[u8; 16]) -> u64 {
    let (high, low) = key.split_at(8);
    let word = |bytes: &[u8]| bytes.iter().fold(0u64, |word, byte| (word << 8) | u64::from(*byte));
    let mut hash = word(low) ^ word(high).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    hash ^= hash >> 32;
    hash.wrapping_mul(0xD6E8_FEB8_6659_FD93)
}

impl Filter {
    pub fn with_capacity(keys: usize) -> Filter {
        let blocks = (keys * BITS_PER_KEY).div_ceil(512).max(1);
        Filter { blocks: vec![[0; BLOCK_WORDS]; blocks] }
    }

    fn block(&self, hash: u64) -> usize {
        // The high half picks the block, the low half the bits in it.
        let wide = u128::from(hash >> 32) * (self.blocks.len() as u128);
        usize::try_from(wide >> 32).unwrap_or(0)
    }

    pub fn insert(&mut self, key: &[u8; 16]) {
        let hash = mix(key);
        let at = self.block(hash);
        if let Some(block) = self.blocks.get_mut(at) {
            for (word, bit) in bits(hash) {
                if let Some(word) = block.get_mut(word) {
                    *word |= bit;
                }
            }
        }
    }

    pub fn may_contain(&self, key: &[u8; 16]) -> bool {
        let hash = mix(key);
        let Some(block) = self.blocks.get(self.block(hash)) else { return true };
        bits(hash).all(|(word, bit)| block.get(word).is_none_or(|word| word & bit != 0))
    }
}

fn bits(hash: u64) -> impl Iterator<Item = (usize, u64)> {
    let mut rest = hash.wrapping_mul(0x2545_F491_4F6C_DD1D);
    (0..PROBES).map(move |_| {
        let nine = rest >> 55;
        rest = rest.rotate_left(9).wrapping_mul(0x9FB2_1C65_1E98_DF25);
        (usize::try_from(nine >> 6).unwrap_or(0), 1u64 << (nine & 63))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::hash::sha256;

    fn key(n: u32) -> [u8; 16] {
        let digest = sha256(&n.to_be_bytes());
        let mut key = [0; 16];
        key.copy_from_slice(&digest.as_bytes()[..16]);
        key
    }

    #[test]
    fn no_key_that_was_put_in_is_missed_and_few_others_are_found() {
        let mut filter = Filter::with_capacity(20_000);
        (0..20_000).for_each(|n| filter.insert(&key(n)));
        assert!((0..20_000).all(|n| filter.may_contain(&key(n))));
        let false_hits = (20_000..60_000).filter(|n| filter.may_contain(&key(*n))).count();
        assert!(false_hits < 40_000 / 50, "{false_hits} of 40000 foreign keys pass");
    }
}
