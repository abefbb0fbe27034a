//! Pseudo-random numbers from a seed.

/// A generator of pseudo-random numbers.
#[derive(Debug)]
pub struct Rng(u64);

impl Rng {
    /// Creates a generator from a seed.
    #[must_use]
    pub fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    /// Creates a generator that is independent of this one from now on.
    #[must_use]
    pub fn fork(&mut self) -> Rng {
        Rng(self.next())
    }

    /// Returns the next number, which is a counter with its bits mixed.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        for (shift, factor) in [(32, 0xd6e8_feb8_6659_fd93), (29, 0xa076_1d64_78bd_642f)] {
            bits = (bits ^ (bits >> shift)).wrapping_mul(factor);
        }
        bits ^ (bits >> 32)
    }

    /// Returns a number below `end`, which is not zero.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// Returns true once in `count` times, on average.
    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}
