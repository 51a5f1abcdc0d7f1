// SPDX-License-Identifier: GPL-2.0

//! Receive side scaling (datasheet 7.1.2.8), hash and redirection table, and what it makes with pools and traffic
//! classes: the queue of a frame that no filter sends elsewhere.

use crate::device::Device;
use crate::packet;
use crate::packet::Packet;
use crate::regs::at;

// MRQC: which packets are hashed.
const IPV4_TCP: u32 = 1 << 16;
const IPV4: u32 = 1 << 17;
const IPV6: u32 = 1 << 20;
const IPV6_TCP: u32 = 1 << 21;
const IPV4_UDP: u32 = 1 << 22;
const IPV6_UDP: u32 = 1 << 23;

/// A hash, and the descriptor's RSS type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hash {
    /// 0: not hashed.
    pub kind: u32,
    /// The hash.
    pub value: u32,
}

/// The Toeplitz hash. `key` has 40 bytes in the order of the registers' bytes.
pub fn toeplitz(key: &[u8; 40], input: &[u8]) -> u32 {
    let mut window = u64::from_be_bytes([
        key[0], key[1], key[2], key[3], key[4], key[5], key[6], key[7],
    ]);
    let mut hash = 0;
    for (i, byte) in input.iter().enumerate().take(36) {
        let mut bits = *byte;
        for shift in 0..8u32 {
            if bits & 0x80 != 0 {
                hash ^= (window << shift >> 32) as u32;
            }
            bits <<= 1;
        }
        window = window << 8 | u64::from(key.get(i + 8).copied().unwrap_or(0));
    }
    hash
}

impl Device {
    /// The receive queue of a frame by its pool, its traffic class and its hash (MRQC.MRQE; datasheet 7.1.2.1 and 7.1.2.2).
    pub(crate) fn default_queue(
        &self,
        frame: &[u8],
        p: &Packet,
        pool: Option<u8>,
    ) -> (Hash, usize) {
        let base = pool.map_or(0, |n| usize::from(n) * self.queues_per_pool());
        let class = || {
            let priority = 3 * (p.vlan.unwrap_or(0) >> 13);
            (self.reg(at::RTRUP2TC) >> priority & 7) as usize
        };
        // Entries of the redirection table; RQTC says how many bits of them a class uses, PSRTYPE.RQPL a pool.
        let hashed = |mask: u32| {
            let hash = self.rss_hash(frame, p);
            (hash, (self.rss_entry(hash) & mask) as usize)
        };
        let of_class = |tc: usize, space: usize| {
            let bits = self.reg(at::RQTC) >> (4 * tc) & 7;
            let (hash, entry) = hashed((1 << bits) - 1);
            (hash, tc * space + entry)
        };
        let of_pool = |mask: u32| {
            let bits = pool.map_or(7, |n| self.reg(at::PSRTYPE + 4 * u32::from(n)) >> 29);
            let (hash, entry) = hashed(mask & ((1 << bits) - 1));
            (hash, base + entry)
        };
        match self.reg(at::MRQC) & 0xF {
            0x1 => of_pool(0xF),
            // Traffic classes: 8 with 16 queues each, 4 with 32.
            0x2 => (Hash::default(), 16 * class()),
            0x3 => (Hash::default(), 32 * (class() & 3)),
            0x4 => of_class(class(), 16),
            0x5 => of_class(class() & 3, 32),
            0xA => of_pool(0x3),
            0xB => of_pool(0x1),
            // Pools with a queue for each class.
            0xC => (Hash::default(), base + class()),
            0xD => (Hash::default(), base + (class() & 3)),
            _ => (Hash::default(), base),
        }
    }

    fn rss_hash(&self, frame: &[u8], p: &Packet) -> Hash {
        let fields = self.reg(at::MRQC);
        let enabled = |bit: u32| fields & bit != 0;
        let ports = |protocol: u8| p.data != 0 && p.protocol == protocol;
        let (kind, with_ports) = if p.ipv4 {
            if ports(packet::TCP) && enabled(IPV4_TCP) {
                (1, true)
            } else if ports(packet::UDP) && enabled(IPV4_UDP) {
                (7, true)
            } else if enabled(IPV4) {
                (2, false)
            } else {
                return Hash::default();
            }
        } else if p.ipv6 {
            if ports(packet::TCP) && enabled(IPV6_TCP) {
                (3, true)
            } else if ports(packet::UDP) && enabled(IPV6_UDP) {
                (8, true)
            } else if enabled(IPV6) {
                (5, false)
            } else {
                return Hash::default();
            }
        } else {
            return Hash::default();
        };
        let addresses = if p.ipv4 {
            p.l3 + 12..p.l3 + 20
        } else {
            p.l3 + 8..p.l3 + 40
        };
        let Some(addresses) = frame.get(addresses) else {
            return Hash::default();
        };
        let mut input = [0u8; 36];
        let mut len = addresses.len();
        input[..len].copy_from_slice(addresses);
        if let (true, Some(ports)) = (with_ports, frame.get(p.l4..p.l4 + 4)) {
            input[len..len + 4].copy_from_slice(ports);
            len += 4;
        }
        let mut key = [0u8; 40];
        for (i, bytes) in key.chunks_exact_mut(4).enumerate() {
            bytes.copy_from_slice(&self.reg(at::RSSRK + 4 * i as u32).to_le_bytes());
        }
        Hash {
            kind,
            value: toeplitz(&key, &input[..len]),
        }
    }

    /// The entry of the redirection table for a hash.
    fn rss_entry(&self, hash: Hash) -> u32 {
        if hash.kind == 0 {
            return 0;
        }
        let index = hash.value & 0x7F;
        self.reg(at::RETA + index / 4 * 4) >> (8 * (index % 4)) & 0xF
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_hashes() {
        // The verification suite that the datasheet repeats in 7.1.2.8.3.
        let key: [u8; 40] = [
            0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
            0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
            0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
        ];
        let input = [66, 9, 149, 187, 161, 142, 100, 80, 0x0A, 0xEA, 0x06, 0xE6];
        assert_eq!(toeplitz(&key, &input), 0x51cc_c178);
        assert_eq!(toeplitz(&key, &input[..8]), 0x323e_8fc2);
    }
}
