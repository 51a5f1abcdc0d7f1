// SPDX-License-Identifier: GPL-2.0

//! A packet costs no allocation in the model. It stands here and not with the model, because an allocator that counts
//! is unsafe code.

use model_82599::Config;
use model_82599::Device;
use model_82599::Function;
use model_82599::Host;
use model_82599::Receive;
use model_82599::Violation;
use std::alloc::GlobalAlloc;
use std::alloc::Layout;
use std::alloc::System;
use std::cell::Cell;

thread_local! {
    /// Allocations of this thread.
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: Everything is handed to the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: As the caller guarantees.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: As the caller guarantees.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Memory and counters, all made beforehand.
struct World {
    memory: Vec<u8>,
    sent: u64,
    interrupts: u64,
    now: u64,
}

impl World {
    fn part(&mut self, address: u64, length: usize) -> Option<&mut [u8]> {
        let start = usize::try_from(address).ok()?;
        self.memory.get_mut(start..start.checked_add(length)?)
    }

    fn set(&mut self, address: u64, dwords: [u32; 4]) {
        for (i, dword) in dwords.into_iter().enumerate() {
            let bytes = dword.to_le_bytes();
            self.part(address + 4 * i as u64, 4)
                .unwrap()
                .copy_from_slice(&bytes);
        }
    }
}

impl Host for World {
    fn dma_read(&mut self, _function: Function, address: u64, data: &mut [u8]) -> bool {
        let Some(part) = self.part(address, data.len()) else {
            return false;
        };
        data.copy_from_slice(part);
        true
    }

    fn dma_write(&mut self, _function: Function, address: u64, data: &[u8]) -> bool {
        let Some(part) = self.part(address, data.len()) else {
            return false;
        };
        part.copy_from_slice(data);
        true
    }

    fn interrupt(&mut self, _function: Function, _vector: u16) {
        self.interrupts += 1;
    }

    fn pin(&mut self, _asserted: bool) {}

    fn send(&mut self, _frame: &[u8]) {
        self.sent += 1;
    }

    fn now(&mut self) -> u64 {
        self.now
    }

    fn wake_at(&mut self, _time: u64) {}

    fn receive_again(&mut self) {}

    fn report(&mut self, _violation: &Violation) {}
}

const RX_RING: u64 = 0x1000;
const TX_RING: u64 = 0x2000;
const TX_BUFFER: u64 = 0x2_0000;
const RX_BUFFER: u64 = 0x4_0000;
const BROADCAST: [u8; 6] = [0xFF; 6];

#[test]
fn packets_cost_no_allocation() {
    let mut world = World {
        memory: vec![0; 1 << 20],
        sent: 0,
        interrupts: 0,
        now: 1_000_000,
    };
    let mac = [0x02, 0, 0, 0, 0, 0x10];
    let config = Config {
        mac,
        strict: true,
        trace: false,
        eitr_scale: 1,
    };
    let mut device = Device::new(config);
    device.set_cable(&mut world, true);
    // Filters, RSS, hash filters of the flow director, LRO and checksums are at work; the VF's pool gets a copy.
    let pf = [
        (0x1_1050, 3),
        (0x51B0, 1 | 1 << 30 | 1 << 7),
        (0x8120, 6),
        (0x5818, 0x0033_000B),
        (0x8220, 1),
        (0x51E0, 3),
        (0x8110, 3),
        (0xF000, 0x0900_0000),
        (0xF004, 0x0900_0000),
        (0xEE00, 1 | 6 << 16),
        (0xEE28, 0x0001_0001),
        (0xEE2C, 1),
        (0x4A80, 0x8100_0001),
        (0x3000, 1),
        (0x0898, 0x10),
        (0x0880, 0xFFFF),
        (0x0904, 0x8180),
    ];
    device.set_num_vfs(1);
    for (offset, value) in pf {
        device.write(&mut world, Function::Pf, offset, value);
    }
    // Queue 0 is the VF's, queue 2 the PF's.
    for (ring, space) in [(RX_RING, 0x1000), (RX_RING + 0x800, 0x1080)] {
        let registers = [
            (0x00, ring as u32),
            (0x08, 1024),
            (0x14, 0x1200_0002),
            (0x2C, 0xD),
            (0x28, 1 << 25),
        ];
        for (offset, value) in registers {
            device.write(&mut world, Function::Pf, space + offset, value);
        }
    }
    let registers = [(0x00, TX_RING as u32), (0x08, 1024), (0x28, 1 << 25)];
    for (offset, value) in registers {
        device.write(&mut world, Function::Pf, 0x6000 + offset, value);
    }
    let mut frame = [7u8; 4000];
    frame[..6].copy_from_slice(&BROADCAST);
    frame[6..14].copy_from_slice(&[0x02, 9, 9, 9, 9, 9, 8, 0]);
    let ip = [
        0x45, 0, 0, 200, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
    ];
    frame[14..34].copy_from_slice(&ip);
    frame[46] = 0x50;
    world
        .part(TX_BUFFER, frame.len())
        .unwrap()
        .copy_from_slice(&frame);

    let round = |device: &mut Device, world: &mut World, n: u32| {
        for i in 0..64 {
            let buffer = RX_BUFFER as u32 + 2048 * i;
            world.set(RX_RING + 16 * u64::from(i), [buffer, 0, 0, 0]);
            world.set(RX_RING + 0x800 + 16 * u64::from(i), [buffer, 0, 0, 0]);
        }
        for space in [0x1000, 0x1080] {
            let head = device.read(world, Function::Pf, space + 0x10);
            device.write(world, Function::Pf, space + 0x18, (head + 63) % 64);
        }
        // A context, a request of three segments, a frame of its own.
        let at = |i: u32| TX_RING + 16 * u64::from(i % 64);
        let context = [14 << 9 | 20, 0, 0x2020_0C00, 1300 << 16 | 20 << 8];
        world.set(at(n), context);
        world.set(
            at(n + 1),
            [TX_BUFFER as u32, 0, 0xAB30_0000 | 3954, 3900 << 14 | 0x300],
        );
        world.set(
            at(n + 2),
            [TX_BUFFER as u32, 0, 0x2B30_0000 | 214, 214 << 14],
        );
        device.write(world, Function::Pf, 0x6018, (n + 3) % 64);
        for _ in 0..4 {
            assert_eq!(device.receive(world, &frame[..214]), Receive::Taken);
        }
        world.now += 1_000_000;
        device.timer(world);
    };
    round(&mut device, &mut world, 0);
    let (before, sent) = (COUNT.with(Cell::get), world.sent);
    for n in 1..500 {
        round(&mut device, &mut world, 3 * n % 64);
    }
    assert_eq!(COUNT.with(Cell::get) - before, 0, "allocations");
    assert!(
        world.sent - sent >= 4 * 499,
        "{} frames were sent",
        world.sent - sent
    );
    let received = device.read(&mut world, Function::Vf(0), 0x101C);
    assert!(received >= 4 * 499, "{received} frames were received");
    assert_eq!(device.violations(), 0);
}
