// SPDX-License-Identifier: GPL-2.0

//! 82576: a virtual function, and the physical one. While a guest owns the latter there are no virtual functions.

use super::{
    present,
    Chip, //
};
use crate::vfio_core::VfioCore;
use compsc_core::{
    region::ABI_VERSION,
    regs::{
        Register,
        RegisterDesc, //
    },
    stream::Identity,
};
use compsc_regs::{
    i82576::Function,
    pf82576::{
        self,
        Pf82576,
        GPIE,
        RCTL, //
    },
    vf82576::{
        self,
        Vf82576, //
    },
};
use core::marker::PhantomData;
use kernel::prelude::*;

/// A function of an 82576, by its register map.
pub(super) struct E82576<M>(PhantomData<M>);

pub(super) static PF: E82576<Pf82576> = E82576(PhantomData);
pub(super) static VF: E82576<Vf82576> = E82576(PhantomData);

/// What differs besides the places of registers.
trait Kind: Function + Sync {
    /// Name in messages.
    const TITLE: &'static str;
    /// PCI device id.
    const DEVICE: u16;
    /// Queues in each direction.
    const QUEUES: usize;
    /// Interrupt vectors.
    const VECTORS: usize;
    /// Whether the function has the port, and the modes of the device.
    const PHYSICAL: bool;
}

impl Kind for Pf82576 {
    const TITLE: &'static str = "82576 PF";
    const DEVICE: u16 = 0x10c9;
    const QUEUES: usize = pf82576::QUEUES;
    const VECTORS: usize = pf82576::VECTORS;
    const PHYSICAL: bool = true;
}

impl Kind for Vf82576 {
    const TITLE: &'static str = "82576 VF";
    const DEVICE: u16 = 0x10ca;
    const QUEUES: usize = vf82576::QUEUES;
    const VECTORS: usize = vf82576::VECTORS;
    const PHYSICAL: bool = false;
}

/// Byte offset of element `n` of a register.
const fn at<R: Register>(n: u16) -> u32 {
    // CAST: the register window has 128 KiB at most.
    (R::OFFSET + n as usize * R::STRIDE) as u32
}

impl<M: Kind> Chip for E82576<M> {
    fn name(&self) -> &'static str {
        M::TITLE
    }

    fn identity(&self) -> Identity {
        Identity {
            vendor: 0x8086,
            device: M::DEVICE,
            chip: M::CHIP,
            role: M::ROLE,
            // CAST: 16 at most.
            max_queues: M::QUEUES as u16,
            abi: ABI_VERSION,
        }
    }

    fn registers(&self) -> &'static [RegisterDesc] {
        M::TABLE
    }

    fn rxdctl(&self, n: u16) -> u32 {
        at::<M::Rxdctl>(n)
    }

    fn txdctl(&self, n: u16) -> u32 {
        at::<M::Txdctl>(n)
    }

    fn tdh(&self, n: u16) -> u32 {
        at::<M::Tdh>(n)
    }

    fn tdt(&self, n: u16) -> u32 {
        at::<M::Tdt>(n)
    }

    fn tdlen(&self, n: u16) -> u32 {
        at::<M::Tdlen>(n)
    }

    fn eims(&self) -> u32 {
        at::<M::Eims>(0)
    }

    fn eics(&self) -> u32 {
        at::<M::Eics>(0)
    }

    fn eicr(&self) -> u32 {
        at::<M::Eicr>(0)
    }

    fn vectors(&self) -> u16 {
        // CAST: 10 at most.
        M::VECTORS as u16
    }

    fn window(&self) -> u32 {
        // CAST: 128 KiB at most.
        M::SIZE as u32
    }

    fn stop_port(&self, io: &VfioCore) -> Result<u32> {
        if !M::PHYSICAL {
            return Ok(0);
        }
        // What no queue takes would fill the packet buffer, and the link partner would be told to pause.
        let rctl = RCTL::from_raw(present(io.read32(at::<RCTL>(0))?)?);
        io.write32(at::<RCTL>(0), rctl.clear(RCTL::RXEN).raw())?;
        Ok(rctl.raw())
    }

    fn start_port(&self, io: &VfioCore, before: u32) -> Result {
        if !M::PHYSICAL {
            return Ok(());
        }
        io.write32(at::<RCTL>(0), before)
    }

    fn prepare_kick(&self, io: &VfioCore) -> Result {
        if !M::PHYSICAL {
            return Ok(());
        }
        // A device that was reset knows one vector only, for all causes.
        let gpie = GPIE::from_raw(present(io.read32(at::<GPIE>(0))?)?);
        io.write32(at::<GPIE>(0), gpie.set(GPIE::MSIX_MODE).raw())
    }
}
