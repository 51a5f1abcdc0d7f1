// SPDX-License-Identifier: GPL-2.0

//! What a guest's driver would have in memory (a shared region, rings and posted buffers), and what a hostile
//! guest makes of it.

use crate::random::Random;
use compsc_core::capability as cap;
use compsc_core::gate;
use compsc_core::region::offset;
use compsc_core::region::role;
use compsc_core::region::CounterEntry;
use compsc_core::region::Layout;
use compsc_core::region::QueueEntry;
use compsc_core::region::QueueKind;
use compsc_core::region::DESC_SIZE;
use compsc_core::regs::Register;
use compsc_regs::chip;
use compsc_regs::vf82576 as vf;
use zerocopy::little_endian::U16;
use zerocopy::little_endian::U32;
use zerocopy::little_endian::U64;
use zerocopy::FromZeros;
use zerocopy::IntoBytes;

/// Result of an access to a machine.
pub type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Size of a page.
pub const PAGE: usize = 4096;

/// A function and memory that it can reach.
pub trait Machine {
    /// Bus address of the first byte of the memory.
    fn bus_address(&self) -> u64;

    /// Writes to the memory.
    fn put(&self, offset: usize, data: &[u8]);

    /// Reads the memory.
    fn get(&self, offset: usize, len: usize) -> Vec<u8>;

    /// Reads the function's configuration space.
    ///
    /// # Errors
    ///
    /// Those of the system.
    fn read_config(&self, offset: u64, data: &mut [u8]) -> std::io::Result<usize>;

    /// Writes to the function's configuration space.
    ///
    /// # Errors
    ///
    /// Those of the system.
    fn write_config(&self, offset: u64, data: &[u8]) -> std::io::Result<usize>;

    /// Reads a byte of the configuration space.
    ///
    /// # Errors
    ///
    /// Those of the system.
    fn config_u8(&self, offset: u8) -> std::io::Result<u8> {
        let mut data = [0];
        self.read_config(offset.into(), &mut data)?;
        Ok(data[0])
    }

    /// Reads a 32-bit word of the configuration space.
    ///
    /// # Errors
    ///
    /// Those of the system.
    fn config_u32(&self, offset: u64) -> std::io::Result<u32> {
        let mut data = [0; 4];
        self.read_config(offset, &mut data)?;
        Ok(u32::from_le_bytes(data))
    }

    /// Switches bus mastering.
    ///
    /// # Errors
    ///
    /// Those of the system.
    fn set_bus_master(&self, on: bool) -> std::io::Result<()> {
        const COMMAND: u8 = 4;
        const BUS_MASTER: u8 = 1 << 2;
        let mut value = self.config_u8(COMMAND)? & !BUS_MASTER;
        if on {
            value |= BUS_MASTER;
        }
        self.write_config(COMMAND.into(), &[value]).map(drop)
    }
}

/// Where the capability is in a function's configuration space.
pub fn find_capability(machine: &impl Machine) -> Result<u64> {
    let mut at = machine.config_u8(0x34)?;
    for _ in 0..48 {
        if at == 0 {
            return Err("the function has no CompSC capability".into());
        }
        let base = u64::from(at);
        if machine.config_u8(at)? == cap::CAP_ID
            && machine.config_u32(base + cap::OFFSET_SIGNATURE as u64)? == cap::SIGNATURE
        {
            return Ok(base);
        }
        at = machine.config_u8(at + 1)?;
    }
    Err("the capabilities do not end".into())
}

/// Announces a region; returns whether it was accepted.
pub fn announce(machine: &impl Machine, address: u64, len: u32) -> Result<bool> {
    let base = find_capability(machine)?;
    let write = |offset: usize, value: u32| {
        machine.write_config(base + offset as u64, &value.to_le_bytes())
    };
    write(cap::OFFSET_REGION_LENGTH, len)?;
    write(cap::OFFSET_REGION_ADDRESS_LOW, address as u32)?;
    write(cap::OFFSET_REGION_ADDRESS_HIGH, (address >> 32) as u32)?;
    write(cap::OFFSET_CONTROL, cap::CONTROL_ANNOUNCE)?;
    is_accepted(machine)
}

/// Whether the host knows a region.
pub fn is_accepted(machine: &impl Machine) -> Result<bool> {
    let base = find_capability(machine)?;
    Ok(machine.config_u32(base + cap::OFFSET_CONTROL as u64)? & cap::STATUS_ACCEPTED != 0)
}

/// Writes random bytes into the capability at `base`. The bytes before and after are other capabilities and are left
/// alone.
///
/// # Errors
///
/// Those of the system.
pub fn scribble(machine: &impl Machine, base: u64, random: &mut Random) -> std::io::Result<()> {
    let mut data = [0; cap::LENGTH];
    data.fill_with(|| random.below(256) as u8);
    if random.below(3) == 0 {
        let value = random.odd(machine.bus_address()).to_le_bytes();
        data[..8].copy_from_slice(&value);
    }
    let offset = random.below(data.len() as u64);
    let most = data.len() - offset as usize;
    let len = (1 + random.below(data.len() as u64) as usize).min(most);
    machine.write_config(base + offset, &data[..len]).map(drop)
}

/// Descriptors per ring.
pub const RING: u32 = 256;
/// Bytes per receive buffer.
pub const BUFFER: u32 = 2048;
/// Offset of the region in the memory.
pub const REGION: usize = 16 * PAGE;
/// Offsets of the rings.
pub const RX_RING: usize = 64 * PAGE;
/// Offset of the transmit ring.
pub const TX_RING: usize = 66 * PAGE;
/// Offset of the head write-back.
pub const WRITEBACK: usize = 68 * PAGE;
/// Offset of the buffers, two per page.
pub const BUFFERS: usize = 128 * PAGE;
/// Vector that the host is to raise.
pub const KICK: u16 = 2;

/// The counters that the guest names.
pub const COUNTERS: [usize; 3] = [vf::VFGPRC::OFFSET, vf::VFGPTC::OFFSET, vf::VFGORC::OFFSET];

/// A guest with one receive and one transmit queue.
#[derive(Debug)]
pub struct Guest {
    /// Where everything is in the region.
    pub layout: Layout,
}

impl Guest {
    /// Writes everything to the function's memory. Buffers are posted in all slots but one.
    pub fn new(machine: &impl Machine) -> Result<Self> {
        let queues = [(QueueKind::Rx, RING), (QueueKind::Tx, RING)];
        let layout = Layout::new(vf_slots(), COUNTERS.len(), &queues).map_err(|e| e.to_string())?;
        let put = |at: usize, data: &[u8]| machine.put(REGION + at, data);
        put(0, &vec![0; layout.len() as usize]);
        put(0, layout.header(chip::I82576, role::VF, KICK).as_bytes());
        for (i, &register) in COUNTERS.iter().enumerate() {
            let mut entry = CounterEntry::new_zeroed();
            entry.register = U32::new(register as u32);
            entry.width = 32;
            put(layout.counter_offset(i as u32) as usize, entry.as_bytes());
        }
        for (i, &(kind, ring_len)) in queues.iter().enumerate() {
            let mut entry = QueueEntry::new_zeroed();
            entry.kind = U16::new(kind as u16);
            entry.ring_len = U32::new(ring_len);
            entry.desc_size = U16::new(DESC_SIZE);
            match kind {
                QueueKind::Rx => {
                    entry.ring_addr = U64::new(machine.bus_address() + RX_RING as u64);
                    entry.buffer_len = U32::new(BUFFER);
                    entry.next_to_use = U32::new(ring_len - 1);
                    entry.table_offset = U32::new(layout.table_offset(i as u32));
                }
                QueueKind::Tx => {
                    entry.ring_addr = U64::new(machine.bus_address() + TX_RING as u64);
                    entry.writeback_addr = U64::new(machine.bus_address() + WRITEBACK as u64);
                }
            }
            put(layout.queue_offset(i as u32) as usize, entry.as_bytes());
        }
        for slot in 0..RING as usize - 1 {
            let address = machine.bus_address() + (BUFFERS + slot * BUFFER as usize) as u64;
            put(
                layout.table_offset(0) as usize + slot * 8,
                &address.to_le_bytes(),
            );
        }
        Ok(Self { layout })
    }

    /// Writes everything and announces it.
    pub fn announced(machine: &impl Machine) -> Result<Self> {
        let guest = Self::new(machine)?;
        machine.set_bus_master(true)?;
        if !announce(
            machine,
            machine.bus_address() + REGION as u64,
            guest.length(),
        )? {
            return Err("the region was not accepted".into());
        }
        Ok(guest)
    }

    /// Puts numbers that break checks somewhere into the region.
    pub fn forge(&self, machine: &impl Machine, random: &mut Random) {
        let area = match random.below(3) {
            0 => 0..0x44,
            1 => self.layout.queue_offset(0) as usize..self.layout.queue_offset(1) as usize + 64,
            _ => 0..self.layout.len() as usize,
        };
        for _ in 0..=random.below(3) {
            let at = area.start + random.below((area.end - area.start) as u64 / 4) as usize * 4;
            let len = [1, 2, 4, 8][random.below(4) as usize];
            let value = random.odd(machine.bus_address());
            machine.put(REGION + at, &value.to_le_bytes()[..len]);
        }
    }

    /// Changes a number anywhere in the region for a moment.
    pub fn flicker(&self, machine: &impl Machine, random: &mut Random) {
        let at = REGION + random.below(u64::from(self.layout.len()) / 4) as usize * 4;
        let before = machine.get(at, 4);
        let value = random.odd(machine.bus_address());
        machine.put(at, &value.to_le_bytes()[..4]);
        std::hint::spin_loop();
        machine.put(at, &before);
    }

    /// Length of the region, in whole pages.
    pub fn length(&self) -> u32 {
        self.layout.len().next_multiple_of(PAGE as u32)
    }

    /// The gate word.
    pub fn gate(&self, machine: &impl Machine) -> u32 {
        u32::from_le_bytes(
            machine
                .get(REGION + offset::GATE_WORD, 4)
                .try_into()
                .unwrap_or_default(),
        )
    }

    /// Does what the guest's restore does to the region.
    pub fn restore(&self, machine: &impl Machine) {
        let word = gate::with_dummy_writes(self.gate(machine), false);
        let at = REGION + offset::RESTORED_WORD;
        machine.put(at, &word.to_le_bytes());
    }

    /// Pages that the device may have written, by page number in the memory.
    pub fn device_pages(&self) -> Vec<usize> {
        let buffers = (RING as usize - 1) * BUFFER as usize;
        let mut pages = vec![RX_RING / PAGE, TX_RING / PAGE, WRITEBACK / PAGE];
        pages.extend(BUFFERS / PAGE..=(BUFFERS + buffers - 1) / PAGE);
        pages
    }

    /// Pages of the region.
    pub fn region_pages(&self) -> std::ops::Range<usize> {
        REGION / PAGE..REGION / PAGE + self.length() as usize / PAGE
    }
}

fn vf_slots() -> usize {
    <vf::Vf82576 as compsc_core::regs::Map>::SLOTS
}
