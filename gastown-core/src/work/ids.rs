//! Ids and other random choices, from a seed that comes in.

/// A stream of random numbers from a seed: the same seed gives the same ids.
///
/// The generator is SplitMix64; it is good enough for names, and never used for secrets.
#[derive(Clone, Debug)]
pub(crate) struct Ids(u64);

impl Ids {
    /// The stream of this seed.
    pub(crate) const fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// That many random base-36 digits.
    pub(crate) fn base36(&mut self, digits: usize) -> String {
        const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
        (0..digits)
            .map(|_| {
                let at = usize::try_from(self.next_u64() % 36).expect("below 36");
                char::from(DIGITS[at])
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_ids() {
        let (mut a, mut b) = (Ids::from_seed(7), Ids::from_seed(7));
        assert_eq!(a.base36(20), b.base36(20));
        assert_ne!(a.base36(20), Ids::from_seed(8).base36(20));
    }
}
