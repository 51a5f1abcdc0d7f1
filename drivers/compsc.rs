// SPDX-License-Identifier: GPL-2.0

//! Shared device layer of the CompSC drivers: what the `kernel` crate lacks for a NIC driver, and what
//! is the same for all chips and functions.
//!
//! | module | job |
//! |---|---|
//! | [`adapter`] | a network function: slow path, data path, restore |
//! | [`queue`] | transmit and receive rings |
//! | [`i82576`] | ring and interrupt registers of an 82576 |
//! | [`mailbox`] | messages between a VF and its PF |
//! | [`region`] | the shared region from the guest's side, and the offer to migrate |
//! | [`net`] | packets, NAPI, network devices |
//! | [`pci`], [`mmio`], [`irq`], [`work`] | PCI functions, registers, vectors, deferred work |
//! | [`sync`] | words shared between CPUs |
//! | [`sysfs`] | attributes of devices |
//! | [`trace`] | tracepoints |
//!
//! All unsafe code of the guest side is in this crate; the drivers on top hold none.

use kernel::prelude::*;

pub mod adapter;
pub mod bindings;
pub mod i82576;
pub mod irq;
pub mod mailbox;
pub mod mmio;
pub mod net;
pub mod pci;
pub mod queue;
pub mod region;
pub mod sync;
pub mod sysfs;
pub mod trace;
pub mod work;

module! {
    type: Compsc,
    name: "compsc",
    authors: ["The CompSC authors"],
    description: "CompSC recorder and shared device layer for Intel SR-IOV NICs",
    license: "GPL v2",
}

struct Compsc {
    _debugfs: adapter::debugfs::Root,
}

impl kernel::Module for Compsc {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        // The bindings were made by another compiler than the kernel: were the flags different, every
        // offset would be wrong.
        // SAFETY: The functions return constants.
        let agree = unsafe {
            bindings::compsc_sizeof_net_device() == size_of::<bindings::net_device>()
                && bindings::compsc_sizeof_sk_buff() == size_of::<bindings::sk_buff>()
                && bindings::compsc_sizeof_napi_struct() == size_of::<bindings::napi_struct>()
        };
        if !agree {
            pr_err!("this module's bindings do not match its C code; build it again from a clean tree\n");
            return Err(ENOEXEC);
        }
        Ok(Compsc {
            _debugfs: adapter::debugfs::Root::new(),
        })
    }
}
