// SPDX-License-Identifier: GPL-2.0

//! Reproducible content: a seeded generator for what is sent, and checksums of what arrived.

use xxhash_rust::xxh64::Xxh64;
use xxhash_rust::xxh64::xxh64;

/// A fast pseudo-random generator (splitmix64). Both ends of a stream could produce the same bytes
/// from the same seed; the receiver only hashes, because a guest's processor is precious.
#[derive(Clone, Debug)]
pub struct Generator(u64);

impl Generator {
    /// A generator that starts from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Fills `buffer` with the next bytes.
    pub fn fill(&mut self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            let word = self.next_word().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}

/// Bytes between two intermediate hashes of a stream.
pub const CHECKPOINT: u64 = 4 << 20;

/// Hash of a byte stream with intermediate values, so that a difference can be located.
#[derive(Clone)]
pub struct StreamHash {
    state: Xxh64,
    bytes: u64,
    checkpoints: Vec<u64>,
}

impl Default for StreamHash {
    fn default() -> Self {
        Self::new()
    }
}

impl StreamHash {
    /// The hash of nothing yet.
    pub fn new() -> Self {
        Self {
            state: Xxh64::new(0),
            bytes: 0,
            checkpoints: Vec::new(),
        }
    }

    /// Adds bytes.
    pub fn update(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let room = CHECKPOINT - self.bytes % CHECKPOINT;
            let take = data.len().min(usize::try_from(room).unwrap_or(usize::MAX));
            self.state.update(&data[..take]);
            self.bytes += take as u64;
            data = &data[take..];
            if self.bytes % CHECKPOINT == 0 {
                self.checkpoints.push(self.state.digest());
            }
        }
    }

    /// Bytes so far, intermediate hashes and the hash of everything.
    pub fn finish(&self) -> (u64, Vec<u64>, u64) {
        (self.bytes, self.checkpoints.clone(), self.state.digest())
    }
}

/// Size of a datagram's header in bytes.
pub const HEADER: usize = 32;
const MAGIC: u32 = 0xc05c_0001;

/// Builds datagram number `seq` of a stream into `buffer`, which gives its size.
///
/// # Panics
///
/// If the buffer is smaller than [`HEADER`].
pub fn build_datagram(buffer: &mut [u8], seed: u64, seq: u64, sent_ns: u64) {
    assert!(buffer.len() >= HEADER, "a datagram has at least a header");
    let length = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
    Generator::new(seed ^ seq).fill(&mut buffer[HEADER..]);
    buffer[0..4].copy_from_slice(&MAGIC.to_le_bytes());
    buffer[4..8].copy_from_slice(&length.to_le_bytes());
    buffer[8..16].copy_from_slice(&seq.to_le_bytes());
    buffer[16..24].copy_from_slice(&sent_ns.to_le_bytes());
    buffer[24..32].fill(0);
    let sum = xxh64(buffer, seed);
    buffer[24..32].copy_from_slice(&sum.to_le_bytes());
}

/// Checks a received datagram; its number, or `None` if it is not what was sent.
pub fn check_datagram(buffer: &mut [u8], seed: u64) -> Option<u64> {
    if buffer.len() < HEADER || buffer[0..4] != MAGIC.to_le_bytes() {
        return None;
    }
    let word = |range: std::ops::Range<usize>| {
        let mut bytes = [0; 8];
        bytes[..range.len()].copy_from_slice(&buffer[range]);
        u64::from_le_bytes(bytes)
    };
    let (length, seq, sum) = (word(4..8), word(8..16), word(24..32));
    if length != buffer.len() as u64 {
        return None;
    }
    buffer[24..32].fill(0);
    (xxh64(buffer, seed) == sum).then_some(seq)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagram_survives_only_unchanged() {
        let mut data = [0; 200];
        build_datagram(&mut data, 7, 42, 1000);
        assert_eq!(check_datagram(&mut data.clone(), 7), Some(42));
        assert_eq!(check_datagram(&mut data.clone(), 8), None);
        assert_eq!(check_datagram(&mut { data }[..199], 7), None);
        for bit in 0..data.len() * 8 {
            let mut bad = data;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(check_datagram(&mut bad, 7), None, "bit {bit}");
        }
    }

    #[test]
    fn stream_hash_does_not_depend_on_chunks() {
        let mut content = vec![0; usize::try_from(CHECKPOINT).unwrap() + 12345];
        Generator::new(1).fill(&mut content);
        let mut whole = StreamHash::new();
        whole.update(&content);
        let mut parts = StreamHash::new();
        for chunk in content.chunks(7777) {
            parts.update(chunk);
        }
        assert_eq!(whole.finish(), parts.finish());
        assert_eq!(whole.finish().1.len(), 1);
        content[3] ^= 1;
        let mut other = StreamHash::new();
        other.update(&content);
        assert_ne!(whole.finish(), other.finish());
    }
}
