// SPDX-License-Identifier: GPL-2.0

//! A host for the model: memory, a clock, and a record of what the device did.

#![allow(dead_code, reason = "each test program uses a part")]

pub(crate) mod hostile;

use model_82599::Config;
use model_82599::Device;
use model_82599::Function;
use model_82599::Host;
use model_82599::Receive;
use model_82599::Violation;
use model_82599::packet;

pub(crate) const MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x10];
pub(crate) const MEMORY: usize = 1 << 20;
/// A strict device whose intervals are the silicon's.
pub(crate) const CONFIG: Config = Config {
    mac: MAC,
    strict: true,
    trace: false,
    eitr_scale: 1,
};

/// The surroundings.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) memory: Vec<u8>,
    pub(crate) interrupts: Vec<(Function, u16)>,
    pub(crate) sent: Vec<Vec<u8>>,
    pub(crate) now: u64,
    pub(crate) wake: Option<u64>,
    pub(crate) again: usize,
    pub(crate) pin: bool,
    pub(crate) violations: Vec<Violation>,
    /// Functions that accessed memory.
    pub(crate) masters: Vec<Function>,
    /// Memory accesses so far.
    pub(crate) accesses: u64,
}

impl Host for World {
    fn dma_read(&mut self, function: Function, address: u64, data: &mut [u8]) -> bool {
        self.accesses += 1;
        if self.masters.last() != Some(&function) && self.masters.len() < 1000 {
            self.masters.push(function);
        }
        let Ok(start) = usize::try_from(address) else {
            return false;
        };
        let Some(source) = start
            .checked_add(data.len())
            .and_then(|end| self.memory.get(start..end))
        else {
            return false;
        };
        data.copy_from_slice(source);
        true
    }

    fn dma_write(&mut self, function: Function, address: u64, data: &[u8]) -> bool {
        self.accesses += 1;
        if self.masters.last() != Some(&function) && self.masters.len() < 1000 {
            self.masters.push(function);
        }
        let Ok(start) = usize::try_from(address) else {
            return false;
        };
        let Some(target) = start
            .checked_add(data.len())
            .and_then(|end| self.memory.get_mut(start..end))
        else {
            return false;
        };
        target.copy_from_slice(data);
        true
    }

    fn interrupt(&mut self, function: Function, vector: u16) {
        self.interrupts.push((function, vector));
    }

    fn pin(&mut self, asserted: bool) {
        self.pin = asserted;
    }

    fn send(&mut self, frame: &[u8]) {
        self.sent.push(frame.to_vec());
    }

    fn now(&mut self) -> u64 {
        self.now
    }

    fn wake_at(&mut self, time: u64) {
        self.wake = Some(time);
    }

    fn receive_again(&mut self) {
        self.again += 1;
    }

    fn report(&mut self, violation: &Violation) {
        self.violations.push(*violation);
    }
}

/// A device in its world.
pub(crate) struct Bench {
    pub(crate) device: Device,
    pub(crate) world: World,
}

/// A function as software sees it.
pub(crate) const PF: Function = Function::Pf;

impl Bench {
    /// A strict device with the cable plugged in.
    pub(crate) fn new() -> Self {
        Self::with(CONFIG)
    }

    pub(crate) fn with(config: Config) -> Self {
        let mut bench = Self {
            device: Device::new(config),
            world: World {
                memory: vec![0; MEMORY],
                now: 1_000_000,
                ..World::default()
            },
        };
        bench.device.set_cable(&mut bench.world, true);
        bench
    }

    pub(crate) fn read(&mut self, function: Function, offset: u32) -> u32 {
        self.device.read(&mut self.world, function, offset)
    }

    pub(crate) fn write(&mut self, function: Function, offset: u32, value: u32) {
        self.device.write(&mut self.world, function, offset, value);
    }

    pub(crate) fn get(&mut self, offset: u32) -> u32 {
        self.read(PF, offset)
    }

    pub(crate) fn set(&mut self, offset: u32, value: u32) {
        self.write(PF, offset, value);
    }

    pub(crate) fn receive(&mut self, frame: &[u8]) -> Receive {
        self.device.receive(&mut self.world, frame)
    }

    /// Lets time pass, with the timer's calls in it.
    pub(crate) fn pass(&mut self, ns: u64) {
        let end = self.world.now + ns;
        while let Some(wake) = self.world.wake.filter(|wake| *wake <= end) {
            self.world.wake = None;
            self.world.now = self.world.now.max(wake);
            self.device.timer(&mut self.world);
        }
        self.world.now = end;
    }

    pub(crate) fn poke(&mut self, address: usize, data: &[u8]) {
        self.world.memory[address..address + data.len()].copy_from_slice(data);
    }

    pub(crate) fn peek(&self, address: usize, length: usize) -> &[u8] {
        &self.world.memory[address..address + length]
    }

    /// Puts a descriptor of four dwords into a ring.
    pub(crate) fn descriptor(&mut self, ring: usize, index: usize, words: [u32; 4]) {
        for (i, word) in words.iter().enumerate() {
            self.poke(ring + 16 * index + 4 * i, &word.to_le_bytes());
        }
    }

    pub(crate) fn dword(&self, address: usize) -> u32 {
        u32::from_le_bytes(self.peek(address, 4).try_into().unwrap())
    }

    /// Switches virtualization on as the PF driver does, with 64 pools and the switch.
    pub(crate) fn virtualize(&mut self, vfs: u16) {
        self.device.set_num_vfs(vfs);
        self.set(0x11050, 3);
        self.set(0x51B0, 1 | 1 << 30 | u32::from(vfs) << 7);
        self.set(0x8120, 0x6);
        self.set(0x5818, 0xB);
        self.set(0x8220, 1);
        for register in [0x51E0, 0x51E4, 0x8110, 0x8114] {
            self.set(register, !0);
        }
        for pool in 0..=u32::from(vfs) {
            self.set(0xF000 + 4 * pool, 1 << 24 | 1 << 27);
            // Address filter n + 1 is VF n's, filter 0 the PF's.
            let entry = if pool == u32::from(vfs) { 0 } else { pool + 1 };
            let mac = pool_mac(pool as u8, vfs as u8);
            self.set(
                0xA200 + 8 * entry,
                u32::from_le_bytes(mac[..4].try_into().unwrap()),
            );
            self.set(
                0xA204 + 8 * entry,
                u32::from_le_bytes([mac[4], mac[5], 0, 0x80]),
            );
            self.set(0xA600 + 8 * entry, if pool < 32 { 1 << pool } else { 0 });
            self.set(
                0xA604 + 8 * entry,
                if pool < 32 { 0 } else { 1 << (pool - 32) },
            );
        }
    }

    /// A receive ring of 32 descriptors with 2 KB buffers; returns nothing, all is at fixed places.
    pub(crate) fn rx_ring(&mut self, function: Function, local: u32, q: usize) {
        let (ring, base) = (rx_ring(q), 0x1000 + 0x40 * local);
        for i in 0..32 {
            let buffer = rx_buffer(q, i) as u32;
            self.descriptor(ring, i, [buffer, 0, buffer + 1024, 0]);
        }
        self.write(function, base, ring as u32);
        self.write(function, base + 8, 512);
        let srrctl = 0x1000_0000 | 1 << 25 | 1;
        self.write(function, base + 0x14, srrctl);
        self.write(function, base + 0x28, 1 << 25);
        self.write(function, base + 0x18, 31);
        self.set(0x3000, 1);
    }

    /// A transmit ring of 32 descriptors.
    pub(crate) fn tx_ring(&mut self, function: Function, local: u32, q: usize) {
        let base = if function == PF { 0x6000 } else { 0x2000 } + 0x40 * local;
        self.write(function, base, tx_ring(q) as u32);
        self.write(function, base + 8, 512);
        self.write(function, base + 0x28, 1 << 25);
        self.set(0x4A80, 0x8100_0001);
    }

    /// Sends a frame with one advanced descriptor at `index`.
    pub(crate) fn transmit(
        &mut self,
        function: Function,
        local: u32,
        q: usize,
        index: usize,
        frame: &[u8],
    ) {
        self.poke(tx_buffer(q), frame);
        let length = frame.len() as u32;
        let command = 0x2B30_0000 | length;
        self.descriptor(
            tx_ring(q),
            index,
            [tx_buffer(q) as u32, 0, command, length << 14],
        );
        let base = if function == PF { 0x6000 } else { 0x2000 } + 0x40 * local;
        self.write(function, base + 0x18, (index as u32 + 1) % 32);
    }

    /// What a receive descriptor says: dwords 0 to 3.
    pub(crate) fn rx_status(&self, q: usize, index: usize) -> [u32; 4] {
        [0, 4, 8, 12].map(|i| self.dword(rx_ring(q) + 16 * index + i))
    }
}

/// The address of a pool's function; pool `vfs` is the PF's.
pub(crate) fn pool_mac(pool: u8, vfs: u8) -> [u8; 6] {
    if pool == vfs {
        MAC
    } else {
        [0x02, 0, 0, 0, 1, pool]
    }
}

/// Places of the rings and buffers of a few queues.
pub(crate) fn rx_ring(q: usize) -> usize {
    0x10000 + 0x400 * (q % 16)
}

pub(crate) fn tx_ring(q: usize) -> usize {
    0x18000 + 0x400 * (q % 16)
}

pub(crate) fn rx_buffer(q: usize, i: usize) -> usize {
    0x20000 + (q % 8) * 0x10000 + i * 2048
}

pub(crate) fn tx_buffer(q: usize) -> usize {
    0xA0000 + (q % 8) * 0x4000
}

/// An Ethernet frame.
pub(crate) fn frame(to: [u8; 6], from: [u8; 6], kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = to.to_vec();
    frame.extend(from);
    frame.extend(kind.to_be_bytes());
    frame.extend(payload);
    frame.resize(frame.len().max(60), 0);
    frame
}

/// An IPv4 packet with a TCP segment; the checksums are those that hardware is asked to complete.
pub(crate) fn tcp(port: u16, payload: &[u8]) -> Vec<u8> {
    let total = (40 + payload.len()) as u16;
    let mut packet = vec![0x45, 0];
    packet.extend(total.to_be_bytes());
    packet.extend([0x12, 0x34, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    packet.extend(port.to_be_bytes());
    packet.extend([
        0, 80, 0, 0, 0x10, 0, 0, 0, 0, 0, 0x50, 0x19, 1, 0, 0, 0, 0, 0,
    ]);
    packet.extend(payload);
    packet
}

/// A TCP segment in a frame, with right checksums.
pub(crate) fn segment(to: [u8; 6], port: u16, sequence: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut data = frame(to, [0x02, 9, 9, 9, 9, 9], 0x0800, &tcp(port, payload));
    data[38..42].copy_from_slice(&sequence.to_be_bytes());
    data[47] = flags;
    data[50..52].fill(0);
    let sum = packet::fold(packet::sum(0, &data[14..34]));
    data[24..26].copy_from_slice(&sum.to_be_bytes());
    let p = packet::parse(&data, packet::ETHERTYPE_VLAN);
    let start = packet::pseudo(&data, &p, packet::TCP, 20 + payload.len());
    let sum = packet::fold(packet::sum(start, &data[34..54 + payload.len()]));
    data[50..52].copy_from_slice(&sum.to_be_bytes());
    data
}
