// SPDX-License-Identifier: GPL-2.0

//! 82576 virtual function.

use super::Chip;
use compsc_core::{
    region::ABI_VERSION,
    regs::{
        Map,
        Register,
        RegisterDesc, //
    },
    stream::Identity,
};
use compsc_regs::vf82576::{
    Vf82576,
    EICR,
    EICS,
    EIMS,
    QUEUES,
    RXDCTL,
    TDH,
    TDLEN,
    TDT,
    TXDCTL,
    VECTORS, //
};

/// 82576 virtual function.
pub(super) struct E82576Vf;

/// Byte offset of element `n` of a register.
const fn at<R: Register>(n: u16) -> u32 {
    // CAST: the register window has 16 KiB.
    (R::OFFSET + n as usize * R::STRIDE) as u32
}

impl Chip for E82576Vf {
    fn name(&self) -> &'static str {
        "82576 VF"
    }

    fn identity(&self) -> Identity {
        Identity {
            vendor: 0x8086,
            device: 0x10ca,
            chip: Vf82576::CHIP,
            role: Vf82576::ROLE,
            // CAST: 2.
            max_queues: QUEUES as u16,
            abi: ABI_VERSION,
        }
    }

    fn registers(&self) -> &'static [RegisterDesc] {
        Vf82576::TABLE
    }

    fn rxdctl(&self, n: u16) -> u32 {
        at::<RXDCTL>(n)
    }

    fn txdctl(&self, n: u16) -> u32 {
        at::<TXDCTL>(n)
    }

    fn tdh(&self, n: u16) -> u32 {
        at::<TDH>(n)
    }

    fn tdt(&self, n: u16) -> u32 {
        at::<TDT>(n)
    }

    fn tdlen(&self, n: u16) -> u32 {
        at::<TDLEN>(n)
    }

    fn eims(&self) -> u32 {
        at::<EIMS>(0)
    }

    fn eics(&self) -> u32 {
        at::<EICS>(0)
    }

    fn eicr(&self) -> u32 {
        at::<EICR>(0)
    }

    fn vectors(&self) -> u16 {
        // CAST: 3.
        VECTORS as u16
    }

    fn window(&self) -> u32 {
        // CAST: 16 KiB.
        Vf82576::SIZE as u32
    }
}
