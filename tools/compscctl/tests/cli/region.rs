// SPDX-License-Identifier: GPL-2.0

//! A shared region for tests.

use compsc_core::gate::DUMMY_WRITES;
use compsc_core::log::slot_of;
use compsc_core::region::DeviceState;
use compsc_core::region::Layout;
use compsc_core::region::QueueKind;
use compsc_core::regs::Map;
use compsc_core::regs::Register;
use compsc_regs::vf82576::EIMS;
use compsc_regs::vf82576::RXDCTL;
use compsc_regs::vf82576::Vf82576;
use zerocopy::IntoBytes;

/// The region of a function that is up, with two registers recorded.
pub(crate) fn region() -> Vec<u8> {
    let queues = [(QueueKind::Rx, 256), (QueueKind::Tx, 256)];
    let layout = Layout::new(Vf82576::SLOTS, 9, &queues).unwrap();
    let mut bytes = vec![0; layout.len() as usize];
    let mut header = layout.header(Vf82576::CHIP, Vf82576::ROLE, 2);
    header.device_state.set(DeviceState::Up as u32);
    header.gate_word.set(3 << 8 | DUMMY_WRITES);
    header.restores.set(5);
    header.dummy_pages.set(17);
    bytes[..header.as_bytes().len()].copy_from_slice(header.as_bytes());
    let mut put = |slot: usize, value: u32| {
        let at = layout.log_offset() as usize + slot * 8;
        bytes[at..at + 8].copy_from_slice(&slot_of(value).to_le_bytes());
    };
    put(RXDCTL::SLOT + 1, 0x0200_0008);
    put(EIMS::SLOT, 7);
    bytes
}
