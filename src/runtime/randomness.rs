//! Random bytes: the operating system's, or a seeded stream so that two runs of one script give one root.

use std::sync::{Arc, Mutex, PoisonError};

use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};

/// A source of random bytes. Cheap to clone; clones draw from one stream.
#[derive(Debug, Clone)]
pub enum Randomness {
    /// A generator per thread, keyed and re-keyed by the operating system.
    System,
    /// A stream that a test can repeat.
    Seeded(Arc<Mutex<StdRng>>),
}

impl Randomness {
    /// A repeatable stream.
    pub fn seeded(seed: u64) -> Randomness {
        Randomness::Seeded(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// Fills `bytes`.
    pub fn fill(&self, bytes: &mut [u8]) {
        match self {
            Randomness::System => rand::rng().fill_bytes(bytes),
            Randomness::Seeded(stream) => stream.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(bytes),
        }
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// A generator for one batch, keyed from this source: drawing a nonce from it takes no lock, and which nonces a batch
    /// gets does not depend on what other batches draw meanwhile.
    pub fn fork(&self) -> BatchRandom {
        BatchRandom(StdRng::from_seed(self.bytes()))
    }
}

/// Random bytes for one batch.
#[derive(Debug)]
pub struct BatchRandom(StdRng);

impl BatchRandom {
    /// `N` random bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill_bytes(&mut bytes);
        bytes
    }
}
