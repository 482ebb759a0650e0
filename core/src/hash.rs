//! The one hasher of the machines' maps.

use core::hash::BuildHasher;

use foldhash::quality::{FixedState, FoldHasher};

/// Hashes with a seed that the host chooses, so that the same seed and inputs give the same outputs. A secret seed keeps
/// strangers from guessing collisions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hasher {
    seed: u64,
}

impl Hasher {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { seed }
    }
}

impl BuildHasher for Hasher {
    type Hasher = FoldHasher<'static>;

    fn build_hasher(&self) -> Self::Hasher {
        FixedState::with_seed(self.seed).build_hasher()
    }
}
