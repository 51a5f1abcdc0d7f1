// SPDX-License-Identifier: GPL-2.0

//! Any bytes as a guest: register accesses, descriptors, frames, resets, time. Used by a test with random bytes
//! and by the fuzz target.

use super::Bench;
use super::MEMORY;
use super::PF;
use model_82599::Function;

/// Registers that lead somewhere, chosen more often than the rest.
const POPULAR: &[u32] = &[
    0x0000, 0x0018, 0x0028, 0x0800, 0x0808, 0x0810, 0x0880, 0x0890, 0x0898, 0x0900, 0x0A00, 0x0A90,
    0x0AA0, 0x1000, 0x1004, 0x1008, 0x1010, 0x1014, 0x1018, 0x1028, 0x102C, 0x11AC, 0x1040, 0x1048,
    0x1054, 0x1058, 0x1068, 0x2F00, 0x2F04, 0x3000, 0x4240, 0x4268, 0x42A0, 0x4A80, 0x4B00, 0x5080,
    0x5088, 0x5128, 0x5188, 0x51B0, 0x51E0, 0x5480, 0x5818, 0x6000, 0x6004, 0x6008, 0x6010, 0x6018,
    0x6028, 0x6038, 0x603C, 0x6040, 0x6048, 0x6058, 0x6068, 0x8000, 0x8110, 0x8120, 0x8200, 0x8220,
    0x8C00, 0x8C14, 0xA204, 0xEE00, 0xEE28, 0xEE2C, 0xF000, 0xF100, 0xF200, 0x10014, 0x11050,
    // Filters, classes, mirrors, rates.
    0x3020, 0x4904, 0x4980, 0x4984, 0x512C, 0xE000, 0xE400, 0xE600, 0xE800, 0xEC04, 0xEC30, 0xEC70,
    0xEE70, 0xF600, 0xF610, 0xF630,
];

/// The same for a VF.
const POPULAR_VF: &[u32] = &[
    0x0000, 0x0100, 0x0104, 0x0108, 0x0110, 0x0114, 0x0120, 0x0140, 0x0200, 0x02FC, 0x0300, 0x1000,
    0x1008, 0x1014, 0x1018, 0x1028, 0x2000, 0x2008, 0x2010, 0x2018, 0x2028, 0x2038,
];

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn dword(&mut self) -> Option<u32> {
        let mut bytes = [0; 4];
        for byte in &mut bytes {
            *byte = self.byte()?;
        }
        Some(u32::from_le_bytes(bytes))
    }
}

/// Values that mean something to a register, or any.
fn value(input: &mut Input<'_>) -> Option<u32> {
    Some(match input.byte()? % 8 {
        0 => 0,
        1 => !0,
        2 => 1 << (input.byte()? % 32),
        3 => u32::from(input.byte()?),
        // Somewhere in memory, or a length.
        4 => u32::from(input.byte()?) << 12,
        5 => u32::from(input.byte()?) << 7,
        6 => 1 << 25 | u32::from(input.byte()?),
        _ => input.dword()?,
    })
}

/// Runs a guest made of `data`, and returns how many operations that was. Panics if the model does.
pub(crate) fn run(data: &[u8]) -> u64 {
    let mut input = Input(data);
    let mut bench = Bench::new();
    // Half of the guests find a device that is already at work.
    if input.byte().is_some_and(|b| b & 1 != 0) {
        bench.virtualize(3);
        for (function, local, q) in QUEUES {
            bench.rx_ring(function, local, q);
            bench.tx_ring(function, local, q);
        }
    }
    let mut operations = 0;
    let _ = step_all(&mut bench, &mut input, &mut operations);
    // The device is alive: a reset brings it back.
    bench.set(0x0000, 1 << 26);
    assert_eq!(bench.get(0xA200), u32::from_le_bytes([0x02, 0, 0, 0]));
    assert_eq!(bench.get(0x1028), 0);
    operations
}

/// Queues that are set up when the device is at work: function, queue of the function, queue.
const QUEUES: [(Function, u32, usize); 3] =
    [(Function::Vf(0), 0, 0), (Function::Vf(1), 1, 3), (PF, 6, 6)];

/// A transmit descriptor that is mostly right.
fn descriptor(input: &mut Input<'_>, q: usize) -> Option<[u32; 4]> {
    const LENGTHS: [u32; 8] = [0, 1, 14, 60, 300, 1514, 9000, 0xFFFF];
    let kind = input.byte()?;
    let shape = input.byte()?;
    Some(match kind % 8 {
        // Context: lengths, command, segment size.
        0 | 1 => {
            let size = LENGTHS[usize::from(shape % 8)];
            [
                14 << 9 | 20 | u32::from(shape) << 16,
                0,
                0x2020_0000 | u32::from(kind) << 7,
                size << 16 | 20 << 8,
            ]
        }
        // Legacy, and anything.
        2 => [
            super::tx_buffer(q) as u32,
            0,
            u32::from(kind) << 24 | 0x0100_0040,
            input.dword()?,
        ],
        3 => [
            input.dword()?,
            u32::from(kind >> 3),
            input.dword()?,
            input.dword()?,
        ],
        _ => {
            let length = LENGTHS[usize::from(shape % 8)];
            let end = if shape & 8 != 0 { 0x0900_0000 } else { 0 };
            let options = u32::from(shape >> 4) << 28 & 0xC000_0000 | end;
            let address = super::tx_buffer(q) as u32 + (u32::from(kind) << 4);
            [
                address,
                0,
                0x2030_0000 | options | length,
                length << 14 | u32::from(shape & 0x30) << 4,
            ]
        }
    })
}

fn step_all(bench: &mut Bench, input: &mut Input<'_>, operations: &mut u64) -> Option<()> {
    loop {
        let before = bench.world.accesses;
        let op = input.byte()?;
        let function = if op & 0x80 != 0 {
            Function::Vf(op >> 4 & 3)
        } else {
            PF
        };
        let popular = if function == PF { POPULAR } else { POPULAR_VF };
        match op & 0xF {
            0 | 1 => {
                let offset = popular[usize::from(input.byte()?) % popular.len()];
                let value = value(input)?;
                bench.write(function, offset, value);
            }
            2 => {
                let offset = input.dword()? & 0x1_FFFF;
                let value = value(input)?;
                bench.write(function, offset, value);
            }
            3 => {
                let offset = input.dword()? & 0x1_FFFF;
                bench.read(function, offset);
            }
            4..=7 => {
                // Some descriptors in a ring, then the tail.
                let (function, local, q) = QUEUES[usize::from(op >> 4) % 3];
                let base = if function == PF { 0x6000 } else { 0x2000 } + 0x40 * local;
                let first = bench.read(function, base + 0x18) as usize % 32;
                let count = usize::from(input.byte()? % 8);
                for i in 0..count {
                    let words = descriptor(input, q)?;
                    bench.descriptor(super::tx_ring(q), (first + i) % 32, words);
                }
                bench.write(function, base + 0x18, ((first + count) % 32) as u32);
            }
            8 => {
                // Bytes of a packet that is sent later: addresses of this port, IPv4, then anything.
                let q = QUEUES[usize::from(op >> 4) % 3].2;
                let kind = input.byte()?;
                let mut frame = super::frame(
                    super::pool_mac(kind % 4, 3),
                    super::pool_mac(kind >> 4 & 3, 3),
                    0x0800,
                    &[],
                );
                if kind & 4 != 0 {
                    frame[..6].fill(0xFF);
                }
                frame.truncate(14);
                frame.extend(super::tcp(u16::from(kind), &[kind; 200]));
                let at = 14 + usize::from(input.byte()?) % 60;
                frame[at] ^= input.byte()?;
                bench.poke(
                    super::tx_buffer(q) + (usize::from(input.byte()?) << 4),
                    &frame,
                );
            }
            9 => {
                // Room for received frames.
                let (function, local, q) = QUEUES[usize::from(op >> 4) % 3];
                let buffer = value(input)?;
                let index = usize::from(input.byte()?) % 32;
                if index & 1 != 0 {
                    bench.descriptor(
                        super::rx_ring(q),
                        index,
                        [buffer, 0, buffer.wrapping_add(512), 0],
                    );
                }
                bench.write(function, 0x1018 + 0x40 * local, index as u32);
            }
            10 => {
                // Parts of a stream, mostly one after the other.
                let size = usize::from(input.byte()?) * 8;
                let first = u32::from(input.byte()? % 4) * 100;
                let to = super::pool_mac(op >> 4 & 3, 3);
                for i in 0..u32::from(input.byte()? % 8) {
                    let flags = if input.byte()? % 8 == 0 { 0x18 } else { 0x10 };
                    let payload = vec![op; size];
                    let data = super::segment(to, 5, first + i * size as u32, flags, &payload);
                    let _ = bench.receive(&data);
                }
            }
            11 => {
                let length = usize::from(input.byte()?) * usize::from(input.byte()?);
                let start = super::tx_buffer(0) + (usize::from(input.byte()?) << 4);
                let mut frame = bench.peek(start, length.min(MEMORY - start)).to_vec();
                if let Some(first) = frame.get_mut(..6) {
                    first.copy_from_slice(&if op & 0x40 != 0 {
                        [0xFF; 6]
                    } else {
                        super::pool_mac(op >> 4 & 3, 3)
                    });
                }
                let _ = bench.receive(&frame);
            }
            12 => bench.pass(u64::from(input.byte()?) << 14),
            13 => bench.device.set_num_vfs(u16::from(input.byte()?)),
            14 => bench.device.vf_reset(&mut bench.world, input.byte()?),
            _ => match input.byte()? % 4 {
                0 => bench.device.system_reset(&mut bench.world),
                1 => bench.device.set_cable(&mut bench.world, op & 0x40 != 0),
                2 => bench.device.bus_master(&mut bench.world),
                _ => bench.device.pf_flr(&mut bench.world),
            },
        }
        // One call does a bounded amount of work: a turn of all queues, each of which ends with a request that
        // may become 4096 frames for 64 pools.
        let work = bench.world.accesses - before;
        assert!(work < 64_000_000, "{work} memory accesses in one call");
        assert!(bench.world.sent.len() < 1_000_000);
        bench.world.interrupts.clear();
        bench.world.sent.clear();
        bench.world.violations.clear();
        *operations += 1;
    }
}
