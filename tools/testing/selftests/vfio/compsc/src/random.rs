// SPDX-License-Identifier: GPL-2.0

//! Pseudo-random numbers, the same in each run.

/// Small generator (xorshift64*).
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// A sequence of its own for each seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 11) % limit
    }

    /// A number of the kind that breaks checks; `address` is one that could be right.
    pub fn odd(&mut self, address: u64) -> u64 {
        match self.below(6) {
            0 => self.next(),
            1 => u64::MAX - self.below(4096),
            2 => 1 << self.below(64),
            3 => (1u64 << self.below(64)).wrapping_sub(1),
            4 => self.below(64),
            // Inside the memory, and a little beyond its end.
            _ => address + self.below((2 << 20) + 4096),
        }
    }
}
