// SPDX-License-Identifier: GPL-2.0

//! What a guest's driver would have in memory: a shared region, rings and posted buffers.

use crate::ktap::Result;
use crate::vfio::Function;
use crate::vfio::IOVA;
use crate::vfio::PAGE;
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

/// Where the capability is in a function's configuration space.
pub(crate) fn find_capability(function: &Function) -> Result<u64> {
    let mut at = function.config_u8(0x34)?;
    for _ in 0..48 {
        if at == 0 {
            return Err("the function has no CompSC capability".into());
        }
        let base = u64::from(at);
        if function.config_u8(at)? == cap::CAP_ID
            && function.config_u32(base + cap::OFFSET_SIGNATURE as u64)? == cap::SIGNATURE
        {
            return Ok(base);
        }
        at = function.config_u8(at + 1)?;
    }
    Err("the capabilities do not end".into())
}

/// Announces a region; returns whether it was accepted.
pub(crate) fn announce(function: &Function, address: u64, len: u32) -> Result<bool> {
    let base = find_capability(function)?;
    let write = |offset: usize, value: u32| {
        function.write_config(base + offset as u64, &value.to_le_bytes())
    };
    write(cap::OFFSET_REGION_LENGTH, len)?;
    write(cap::OFFSET_REGION_ADDRESS_LOW, address as u32)?;
    write(cap::OFFSET_REGION_ADDRESS_HIGH, (address >> 32) as u32)?;
    write(cap::OFFSET_CONTROL, cap::CONTROL_ANNOUNCE)?;
    is_accepted(function)
}

/// Whether the host knows a region.
pub(crate) fn is_accepted(function: &Function) -> Result<bool> {
    let base = find_capability(function)?;
    Ok(function.config_u32(base + cap::OFFSET_CONTROL as u64)? & cap::STATUS_ACCEPTED != 0)
}

/// Descriptors per ring.
pub(crate) const RING: u32 = 256;
/// Bytes per receive buffer.
pub(crate) const BUFFER: u32 = 2048;
/// Offset of the region in the memory.
pub(crate) const REGION: usize = 16 * PAGE;
/// Offsets of the rings.
pub(crate) const RX_RING: usize = 64 * PAGE;
/// Offset of the transmit ring.
pub(crate) const TX_RING: usize = 66 * PAGE;
/// Offset of the head write-back.
pub(crate) const WRITEBACK: usize = 68 * PAGE;
/// Offset of the buffers, two per page.
pub(crate) const BUFFERS: usize = 128 * PAGE;
/// Vector that the host is to raise.
pub(crate) const KICK: u16 = 2;

/// The counters that the guest names.
pub(crate) const COUNTERS: [usize; 3] =
    [vf::VFGPRC::OFFSET, vf::VFGPTC::OFFSET, vf::VFGORC::OFFSET];

/// A guest with one receive and one transmit queue.
#[derive(Debug)]
pub(crate) struct Guest {
    /// Where everything is in the region.
    pub(crate) layout: Layout,
}

impl Guest {
    /// Writes everything to the function's memory. Buffers are posted in all slots but one.
    pub(crate) fn new(function: &Function) -> Result<Self> {
        let queues = [(QueueKind::Rx, RING), (QueueKind::Tx, RING)];
        let layout = Layout::new(vf_slots(), COUNTERS.len(), &queues).map_err(|e| e.to_string())?;
        let put = |at: usize, data: &[u8]| function.memory.put(REGION + at, data);
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
                    entry.ring_addr = U64::new(IOVA + RX_RING as u64);
                    entry.buffer_len = U32::new(BUFFER);
                    entry.next_to_use = U32::new(ring_len - 1);
                    entry.table_offset = U32::new(layout.table_offset(i as u32));
                }
                QueueKind::Tx => {
                    entry.ring_addr = U64::new(IOVA + TX_RING as u64);
                    entry.writeback_addr = U64::new(IOVA + WRITEBACK as u64);
                }
            }
            put(layout.queue_offset(i as u32) as usize, entry.as_bytes());
        }
        for slot in 0..RING as usize - 1 {
            let address = IOVA + (BUFFERS + slot * BUFFER as usize) as u64;
            put(
                layout.table_offset(0) as usize + slot * 8,
                &address.to_le_bytes(),
            );
        }
        Ok(Self { layout })
    }

    /// Writes everything and announces it.
    pub(crate) fn announced(function: &Function) -> Result<Self> {
        let guest = Self::new(function)?;
        function.set_bus_master(true)?;
        if !announce(function, IOVA + REGION as u64, guest.length())? {
            return Err("the region was not accepted".into());
        }
        Ok(guest)
    }

    /// Length of the region, in whole pages.
    pub(crate) fn length(&self) -> u32 {
        self.layout.len().next_multiple_of(PAGE as u32)
    }

    /// The gate word.
    pub(crate) fn gate(&self, function: &Function) -> u32 {
        function.memory.u32(REGION + offset::GATE_WORD)
    }

    /// Does what the guest's restore does to the region.
    pub(crate) fn restore(&self, function: &Function) {
        let word = gate::with_dummy_writes(self.gate(function), false);
        let at = REGION + offset::RESTORED_WORD;
        function.memory.put(at, &word.to_le_bytes());
    }

    /// Pages that the device may have written, by page number in the memory.
    pub(crate) fn device_pages(&self) -> Vec<usize> {
        let buffers = (RING as usize - 1) * BUFFER as usize;
        let mut pages = vec![RX_RING / PAGE, TX_RING / PAGE, WRITEBACK / PAGE];
        pages.extend(BUFFERS / PAGE..=(BUFFERS + buffers - 1) / PAGE);
        pages
    }

    /// Pages of the region.
    pub(crate) fn region_pages(&self) -> std::ops::Range<usize> {
        REGION / PAGE..REGION / PAGE + self.length() as usize / PAGE
    }
}

fn vf_slots() -> usize {
    <vf::Vf82576 as compsc_core::regs::Map>::SLOTS
}
